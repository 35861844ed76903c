//! The names and columns of the two tables that a tenant has of ours, and what is written there.
//!
//! Persisted: the history is refinery's and can never change; the journal carries [`JOURNAL_FORMAT`].

use crate::changeset::Width;
use crate::history::AttemptOutcome;

use super::{Order, RunIdentity};

/// refinery's table.
pub(crate) const HISTORY: &str = "refinery_schema_history";

/// Our table of attempts.
pub(crate) const JOURNAL: &str = "mtmigrate_journal";

/// The journal's format, in every row.
pub(crate) const JOURNAL_FORMAT: i16 = 1;

/// The journal's columns but for its number, in the order in which all engines read them.
pub(crate) const JOURNAL_COLUMNS: [&str; 17] = [
    "format",
    "run_id",
    "action",
    "version",
    "name",
    "checksum",
    "outcome",
    "statement_no",
    "statements",
    "prefix",
    "who",
    "host",
    "tool",
    "started_at",
    "finished_at",
    "duration_ms",
    "error",
];

/// The longest error that the journal keeps, in characters.
pub(crate) const ERROR_LIMIT: usize = 2000;

/// The action of a row that `up` writes.
pub(crate) const ACTION_UP: &str = "up";

/// A journal row to be written, but for the server's clock.
#[derive(Clone, Debug)]
pub(crate) struct JournalRow<'a> {
    pub run: &'a RunIdentity,
    pub version: i64,
    pub name: &'a str,
    pub checksum: u64,
    pub outcome: AttemptOutcome,
    pub statement: Option<StatementMark>,
    pub error: Option<String>,
}

/// Which statement a journal row is about.
#[derive(Clone, Debug)]
pub(crate) struct StatementMark {
    /// From 1.
    pub statement_no: u32,
    pub statements: u32,
    pub prefix: String,
}

impl<'a> JournalRow<'a> {
    /// Makes the row of an order's outcome.
    pub fn of(order: &Order<'a>, outcome: AttemptOutcome) -> Self {
        Self {
            run: order.run,
            version: order.changeset.version.0,
            name: &order.changeset.name,
            checksum: order.text.checksum(order.width),
            outcome,
            statement: None,
            error: None,
        }
    }

    /// Adds the statement it is about.
    pub fn at(mut self, statement: StatementMark) -> Self {
        self.statement = Some(statement);
        self
    }

    /// Adds the error, cut to [`ERROR_LIMIT`].
    pub fn error(mut self, error: &str) -> Self {
        self.error = Some(crate::error::short(error, ERROR_LIMIT));
        self
    }
}

/// Returns the SQL type of the history's version column, as refinery spells it.
pub(crate) fn version_type(width: Width) -> &'static str {
    match width {
        Width::Int4 => "int4",
        Width::Int8 => "int8",
    }
}

/// Returns the time that goes to `applied_on`: RFC 3339, UTC, as refinery writes it.
pub(crate) fn applied_on_now() -> String {
    let now = time::OffsetDateTime::now_utc();
    now.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| now.to_string())
}
