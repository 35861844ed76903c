//! The one diagnostic type: code, message, place, causes, state, hint.
//!
//! Start at [`Diagnostic`]. Every failure of the crate is one of these, from a typing mistake in `tenants.yaml` to a
//! lost commit; a second failure joins the first ([`Diagnostic::join`]) and never replaces it.

mod code;
mod exit;
mod place;
mod render;
mod secret;
mod text;

pub use code::Code;
pub use exit::ExitStatus;
pub use place::Place;
pub use render::{Paint, painted_diff, render, render_all};
pub use secret::{Secret, mask};
pub use text::{count, names, plain, plain_json, short};

use std::fmt;

use secret::mask_quoted;

/// A result whose failure is one [`Diagnostic`].
pub type Result<T, E = Diagnostic> = std::result::Result<T, E>;

/// How much a diagnostic weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something did not happen, or must not.
    Error,
    /// Something happened, and a person should know.
    Warning,
}

/// What went wrong, for whom, where, why, what is true now, and what to do next.
#[derive(Clone)]
pub struct Diagnostic(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    code: Code,
    severity: Severity,
    message: String,
    place: Option<Place>,
    causes: Vec<String>,
    diff: Option<String>,
    state: Option<String>,
    hint: Option<String>,
    joined: Vec<Diagnostic>,
}

impl Diagnostic {
    /// Makes an error. The message is lower case and has no final period.
    ///
    /// A password in a URL is masked here and in all that is added: people type URLs where names and paths are meant.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            severity: Severity::Error,
            message: mask_quoted(message.into()),
            place: None,
            causes: Vec::new(),
            diff: None,
            state: None,
            hint: None,
            joined: Vec::new(),
        }))
    }

    /// Makes a warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        let mut made = Self::new(code, message);
        made.0.severity = Severity::Warning;
        made
    }

    /// Adds the file, line and column it is about.
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Adds a cause; the first one added is the nearest.
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.0.causes.push(mask_quoted(cause.into()));
        self
    }

    /// Adds a unified diff of what was expected and what was found, as `diff -u` writes it.
    pub fn diff(mut self, diff: impl Into<String>) -> Self {
        self.0.diff = Some(diff.into());
        self
    }

    /// Says before the message what larger thing it is about: `row 3 of the registry: …`.
    pub fn within(mut self, what: &str) -> Self {
        self.0.message = mask_quoted(format!("{what}: {}", self.0.message));
        self
    }

    /// Says what is true now.
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.0.state = Some(mask_quoted(state.into()));
        self
    }

    /// Says what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(mask_quoted(hint.into()));
        self
    }

    /// Adds a failure that happened while this one was dealt with.
    pub fn join(mut self, later: Diagnostic) -> Self {
        self.0.joined.push(later);
        self
    }

    /// Returns the stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns whether it is an error or a warning.
    pub fn severity(&self) -> Severity {
        self.0.severity
    }

    /// Returns the message alone.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the file, line and column, if there is one.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Returns the causes, nearest first.
    pub fn causes(&self) -> &[String] {
        &self.0.causes
    }

    /// Returns the unified diff, if there is one.
    pub fn unified_diff(&self) -> Option<&str> {
        self.0.diff.as_deref()
    }

    /// Returns what is true now, if it was said.
    pub fn state_now(&self) -> Option<&str> {
        self.0.state.as_deref()
    }

    /// Returns what to do next, if it was said.
    pub fn what_next(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the failures that joined this one.
    pub fn joined(&self) -> &[Diagnostic] {
        &self.0.joined
    }

    /// Returns message and nearest cause on one line, for a table cell or a journal row.
    pub fn one_line(&self) -> String {
        let line = match self.0.causes.first() {
            Some(cause) => format!("{}: {}", self.0.message, cause),
            None => self.0.message.clone(),
        };
        plain(&line.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render(self, Paint::Plain))
    }
}

impl fmt::Debug for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Diagnostic {}
