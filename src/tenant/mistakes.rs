//! Gathers the mistakes of one file, so that a person mends them all in one go.

use super::locate::{Located, Path, locate};
use crate::error::{Code, Diagnostic, Place};

/// The most mistakes that are shown; the others are counted.
const SHOWN: usize = 20;

/// The mistakes found so far.
pub(super) struct Mistakes<'t> {
    /// The file as the user named it.
    file: String,
    text: &'t str,
    found: Vec<Diagnostic>,
    /// How many more there are, and the first one's code.
    more: usize,
}

impl<'t> Mistakes<'t> {
    /// Begins with none in a file's text.
    pub(super) fn new(file: String, text: &'t str) -> Self {
        Self { file, text, found: Vec::new(), more: 0 }
    }

    /// Adds a mistake at a node. It is made only if it will be shown: its words and its place cost time.
    pub(super) fn add(&mut self, at: Path<'_>, make: impl FnOnce(&Lines<'_>) -> Diagnostic) {
        if self.found.len() == SHOWN {
            self.more += 1;
            return;
        }
        let place = match locate(self.text, at) {
            Some(Located { line, column, len }) => Place::in_text(&self.file, self.text, line, column, len),
            None => Place::file(&self.file),
        };
        self.found.push(make(&Lines { text: self.text }).at(place));
    }

    /// Returns the number of mistakes, shown or not.
    pub(super) fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// Returns the mistakes in the file's order, or nothing.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|found| found.place().map(|place| (place.line, place.column)));
        if self.more > 0 {
            let message = format!("and {} more mistakes in {}", self.more, self.file);
            let and_more = Diagnostic::new(Code::BAD_VALUE, message).hint("mend these first, then look again");
            self.found.push(and_more);
        }
        self.found
    }
}

/// Tells the lines of other nodes that a message speaks of.
pub(super) struct Lines<'t> {
    text: &'t str,
}

impl Lines<'_> {
    /// Returns ` (line 7)` for a node, or nothing if it is not found.
    pub(super) fn of(&self, at: Path<'_>) -> String {
        locate(self.text, at).map(|found| format!(" (line {})", found.line)).unwrap_or_default()
    }
}
