//! Where tenants come from beside the file's own list: templates, registries, discovery, commands.
//!
//! An [`Entry`](entry::Entry) of `sources:` becomes rows, and a row becomes a tenant as an entry of `tenants:` does
//! ([`rows`]). What only a server or a program can tell is a [`Question`]; this module asks nothing itself.

mod command;
mod discover;
mod discovery;
pub(super) mod entry;
mod files;
mod glob;
mod names;
mod naming;
mod pattern;
mod question;
mod registry;
pub(super) mod rows;

pub(super) use discovery::find_tenants;
pub use discovery::{Discovery, Match};
pub use question::{Answer, Ask, Hidden, Question, Reply, Way};

use std::fmt;

use crate::error::{Code, Diagnostic, Place, count};

/// An entry of `sources:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// The line of `tenants.yaml` where it stands.
    pub line: usize,
    /// How many tenants it gave.
    pub found: usize,
    /// The fewest of them that `up` must work on. Zero also where the file itself says the state of them all.
    pub least_active: usize,
    /// What was seen there, if it is a discovery.
    pub discovery: Option<Discovery>,
}

/// What a source is. The words are those of `tenants.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A datasource in which a name is filled in.
    Template,
    /// A query whose rows are tenants.
    Registry,
    /// Schemas, databases or files that are there.
    Discover,
    /// A program that prints the list.
    Command,
}

impl SourceKind {
    /// Every kind.
    pub const ALL: [SourceKind; 4] = [Self::Template, Self::Registry, Self::Discover, Self::Command];

    /// Returns its key in `tenants.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Registry => "registry",
            Self::Discover => "discover",
            Self::Command => "command",
        }
    }

    /// Returns what one of its tenants is there, for sentences.
    fn unit(self) -> &'static str {
        match self {
            Self::Template => "name",
            Self::Registry => "row",
            Self::Discover => "match",
            Self::Command => "entry",
        }
    }
}

/// Where a tenant is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The index in [`super::Fleet::sources`]; the file's own list without.
    pub source: Option<usize>,
    /// Its place there, from 1: the entry of the list, the row of the registry.
    pub position: usize,
}

/// The row of a source, for sentences: `row 3 of the registry in line 20`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowOf {
    pub(super) kind: SourceKind,
    pub(super) line: usize,
    pub(super) position: usize,
}

impl fmt::Display for RowOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.kind.unit(), self.position, InLine(self.kind, self.line))
    }
}

/// A source, for sentences: `the registry in line 20`.
#[derive(Clone, Copy, Debug)]
pub(super) struct InLine(pub(super) SourceKind, pub(super) usize);

impl fmt::Display for InLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0 {
            SourceKind::Discover => "discovery",
            other => other.as_str(),
        };
        write!(f, "the {what} in line {}", self.1)
    }
}

impl super::Fleet {
    /// Returns where a tenant of this fleet is listed, in words: `entry 3 of tenants`, `row 3 of the registry in line 20`.
    pub fn origin(&self, tenant: &super::Tenant) -> String {
        let Origin { source, position } = tenant.origin;
        match source.and_then(|index| self.sources.get(index)) {
            Some(source) => RowOf { kind: source.kind, line: source.line, position }.to_string(),
            None => format!("entry {position} of tenants"),
        }
    }

    /// Checks that there is somebody to work on: each source gives its `min_tenants` of active tenants, and all together
    /// any. A fleet that its file lists may be left out as a whole.
    ///
    /// # Errors
    /// `MT322` for each source that gives too few.
    pub fn check_active(&self) -> Result<(), Vec<Diagnostic>> {
        let mut active = vec![0; self.sources.len()];
        let mut all = 0;
        for tenant in self.tenants.iter().filter(|tenant| tenant.is_active()) {
            all += 1;
            if let Some(count) = tenant.origin.source.and_then(|index| active.get_mut(index)) {
                *count += 1;
            }
        }
        let few = |message: String, line: usize| {
            let place = Place { line, ..Place::file(self.config.display().to_string()) };
            Diagnostic::new(Code::TOO_FEW_TENANTS, message).at(place).state("nothing was touched").hint(
                "who is quarantined or being provisioned does not count; look at their `state`, or lower `min_tenants`",
            )
        };
        let sources = self.sources.iter().zip(&active).filter(|(source, active)| **active < source.least_active);
        let mut mistakes: Vec<Diagnostic> = sources
            .map(|(source, active)| {
                let (who, found) = (InLine(source.kind, source.line), count(source.found, "tenant"));
                let least = source.least_active;
                few(format!("{who} gives {found}, {active} of them active, and `min_tenants` is {least}"), source.line)
            })
            .collect();
        if let (0, Some(first), true) = (all, self.sources.first(), mistakes.is_empty()) {
            let message = "the fleet has no active tenant, and an empty fleet is no success".to_owned();
            mistakes.push(few(message, first.line));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}
