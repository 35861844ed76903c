//! Where a tenant stands: what was read from it, compared with the changelog.

use std::sync::Arc;

use crate::changeset::Version;
use crate::engine::Tables;
use crate::error::Diagnostic;
use crate::history::{Attempt, AttemptOutcome, Finding, Unfinished};
use crate::schema::{Snapshot, Verdict};
use crate::tenant::TenantId;

/// One tenant of a survey.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose.
    pub tenant: TenantId,
    /// What was found.
    pub found: Found,
}

/// What a survey found of a tenant.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is left out on purpose, and was not asked.
    Quarantined(String),
    /// It is being made, and was not asked.
    Provisioning,
    /// It could not be read.
    Unreadable(Diagnostic),
    /// It was read.
    Read(Box<Position>),
}

/// A tenant's history against the changelog. Equal version lists are shared between tenants.
#[derive(Clone, Debug)]
pub struct Position {
    /// The versions that it has and the changelog knows, in order.
    pub applied: Arc<[Version]>,
    /// Those of them that were skipped: it has them in its history, and their texts did not run.
    pub skipped: Arc<[Version]>,
    /// The versions that it lacks, in order.
    pub pending: Arc<[Version]>,
    /// The highest version in its history, known or not.
    pub newest: Option<Version>,
    /// History drift.
    pub findings: Vec<Finding>,
    /// The journal's last row.
    pub last: Option<Attempt>,
    /// A text of which a part is committed, and whose version the history lacks.
    pub unfinished: Option<Unfinished>,
    /// What it has of our tables.
    pub tables: Tables,
    /// Its server's version.
    pub server_version: Arc<str>,
    /// Why its server takes no writes, if it takes none.
    pub read_only: Option<String>,
    /// Whether its server folds the case of database names.
    pub folds_case: bool,
    /// Its live schema, if it was looked at.
    pub schema: Option<Arc<Snapshot>>,
    /// What that means; absent where nothing is expected yet.
    pub verdict: Option<Verdict>,
}

/// A tenant's state in a word, for `status`. In order of urgency: what needs a person comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// A text of which a part is committed.
    HalfApplied,
    /// The last attempt failed, and its changeset is still pending.
    Failed,
    /// Its history is not what the changelog says, or its schema not what is expected.
    Drifted,
    /// It could not be read.
    Unreachable,
    /// It has versions above the changelog's newest.
    Ahead,
    /// It lacks changesets.
    Behind,
    /// It has no history yet.
    New,
    /// It is left out on purpose.
    Quarantined,
    /// It is being made.
    Provisioning,
    /// It has every changeset.
    Current,
}

impl State {
    /// Every state, the most urgent first.
    pub const ALL: [State; 10] = [
        Self::HalfApplied,
        Self::Failed,
        Self::Drifted,
        Self::Unreachable,
        Self::Ahead,
        Self::Behind,
        Self::New,
        Self::Quarantined,
        Self::Provisioning,
        Self::Current,
    ];

    /// Returns the word in reports; persisted there.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HalfApplied => "half-applied",
            Self::Failed => "failed",
            Self::Drifted => "drifted",
            Self::Unreachable => "unreachable",
            Self::Ahead => "ahead",
            Self::Behind => "behind",
            Self::New => "new",
            Self::Quarantined => "quarantined",
            Self::Provisioning => "provisioning",
            Self::Current => "current",
        }
    }
}

impl Standing {
    /// Returns the state in a word.
    pub fn state(&self) -> State {
        match &self.found {
            Found::Quarantined(_) => State::Quarantined,
            Found::Provisioning => State::Provisioning,
            Found::Unreadable(_) => State::Unreachable,
            Found::Read(position) => position.state(),
        }
    }

    /// Returns what was read, if it was.
    pub fn position(&self) -> Option<&Position> {
        match &self.found {
            Found::Read(position) => Some(position),
            _ => None,
        }
    }
}

impl Position {
    /// Returns the state in a word.
    pub fn state(&self) -> State {
        let ahead = |finding: &Finding| matches!(finding, Finding::Unknown { .. });
        if self.unfinished.is_some() {
            return State::HalfApplied;
        }
        let drifted = self.verdict.as_ref().is_some_and(Verdict::is_drift);
        if drifted || self.findings.iter().any(|finding| !ahead(finding)) {
            return State::Drifted;
        }
        if !self.findings.is_empty() {
            return State::Ahead;
        }
        if self.failed_last() {
            return State::Failed;
        }
        match (self.pending.is_empty(), self.newest) {
            (true, _) => State::Current,
            (false, None) => State::New,
            (false, Some(_)) => State::Behind,
        }
    }

    /// Whether another reading found the same history, and nothing new in the journal.
    pub(crate) fn is_where(&self, other: &Self) -> bool {
        self.applied == other.applied
            && self.newest == other.newest
            && self.last == other.last
            && self.unfinished == other.unfinished
    }

    /// Returns whether the last attempt failed and its changeset is still pending.
    fn failed_last(&self) -> bool {
        let failed = |last: &Attempt| last.outcome == AttemptOutcome::Failed && self.pending.contains(&last.version);
        self.last.as_ref().is_some_and(failed)
    }
}
