//! The names and columns of the two tables that a tenant has of ours, and what is written there.
//!
//! Persisted: the history is refinery's and can never change; the journal carries [`JOURNAL_FORMAT`].

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::changeset::{Version, Width};
use crate::error::{Code, Diagnostic, Result, short};
use crate::history::{Attempt, AttemptOutcome};

use super::traced::Traced;
use super::{Acceptance, Finder, JournalFormat, Order, Record, Resume, RunIdentity};

/// refinery's table.
pub(crate) const HISTORY: &str = "refinery_schema_history";

/// Our table of attempts.
pub(crate) const JOURNAL: &str = "mtmigrate_journal";

/// The journal's format, in every row.
pub(crate) const JOURNAL_FORMAT: i16 = 4;

/// The journal's columns but for its number, in the order in which all engines read them.
pub(crate) const JOURNAL_COLUMNS: [&str; 22] = [
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
    "fingerprint",
    "accepted",
    TRACE,
    SKIPPED,
    FLEET,
];

/// What formats 2, 3 and 4 added to the journal's table, in the order of its columns; all of them texts that may be NULL.
pub(crate) const JOURNAL_ADDED: [&str; 6] = ["fingerprint", "accepted", SNAPSHOT, TRACE, SKIPPED, FLEET];

/// The journal's column with what tells afterwards whether a statement took effect: in `started` rows.
pub(crate) const TRACE: &str = "trace";

/// The journal's column with the versions that were skipped on the tenant: ascending, with commas; in every row.
pub(crate) const SKIPPED: &str = "skipped";

/// The journal's column with the hash of the list of tenants that the run was for.
pub(crate) const FLEET: &str = "fleet";

/// Returns what a journal of this format lacks.
pub(crate) fn lacking(format: JournalFormat) -> &'static [&'static str] {
    match format {
        JournalFormat::One => &JOURNAL_ADDED,
        JournalFormat::Two => &[TRACE, SKIPPED, FLEET],
        JournalFormat::Three => &[SKIPPED, FLEET],
        JournalFormat::Four => &[],
    }
}

/// The columns that tell a journal's format: one that each of the formats 2 to 4 added.
pub(crate) const TELLING: [&str; 3] = [JOURNAL_ADDED[0], TRACE, SKIPPED];

/// Tells a journal's format by which of [`TELLING`] it has.
pub(crate) fn journal_format(has: impl Fn(&str) -> bool) -> JournalFormat {
    match TELLING.iter().take_while(|column| has(column)).count() {
        0 => JournalFormat::One,
        1 => JournalFormat::Two,
        2 => JournalFormat::Three,
        _ => JournalFormat::Four,
    }
}

/// The journal's column with the last recorded schema: in one row at most, and never read with the others.
pub(crate) const SNAPSHOT: &str = "snapshot";

/// The tables that no description of a schema shows, with everything that belongs to them: ours, and those in which other
/// tools keep their histories. In lower case; compared without case.
pub(crate) const LEFT_OUT: [&str; 18] = [
    HISTORY,
    JOURNAL,
    "flyway_schema_history",
    "databasechangelog",
    "databasechangeloglock",
    "schema_migrations",
    "ar_internal_metadata",
    "__diesel_schema_migrations",
    "_sqlx_migrations",
    "goose_db_version",
    "django_migrations",
    "atlas_schema_revisions",
    "__efmigrationshistory",
    "knex_migrations",
    "knex_migrations_lock",
    "alembic_version",
    "gorp_migrations",
    "_prisma_migrations",
];

/// The longest error that the journal keeps, in characters.
pub(crate) const ERROR_LIMIT: usize = 2000;

/// The action of a row that `up` writes.
pub(crate) const ACTION_UP: &str = "up";

/// The action of a row that `accept` writes.
pub(crate) const ACTION_ACCEPT: &str = "accept";

/// The action of a row that `repair` writes.
pub(crate) const ACTION_REPAIR: &str = "repair";

/// A journal row to be written, but for the server's clock.
#[derive(Clone, Debug)]
pub(crate) struct JournalRow<'a> {
    pub run: &'a RunIdentity,
    /// What mtmigrate was asked to do.
    pub action: &'static str,
    pub version: i64,
    pub name: &'a str,
    pub checksum: u64,
    pub outcome: AttemptOutcome,
    pub statement: Option<StatementMark>,
    pub error: Option<String>,
    /// Of the schema that it leaves, where that is known.
    pub fingerprint: Option<&'a str>,
    /// The accepted differences.
    pub accepted: Option<&'a str>,
    /// Of an intent.
    pub trace: Option<Traced>,
    /// The versions that were skipped on the tenant, this one's included.
    pub skipped: Option<String>,
}

/// Which statement a journal row is about.
#[derive(Clone, Debug)]
pub(crate) struct StatementMark {
    /// From 1.
    pub statement_no: u32,
    pub statements: u32,
    pub prefix: String,
}

impl StatementMark {
    /// Returns where a text continues that stopped there.
    pub fn resume(&self) -> Resume {
        Resume { statement_no: self.statement_no, prefix: self.prefix.clone() }
    }
}

impl<'a> JournalRow<'a> {
    /// Makes the row of an order's outcome.
    pub fn of(order: &'a Order<'_>, outcome: AttemptOutcome) -> Self {
        // What failed as a whole has left the schema as it was.
        let unchanged = outcome == AttemptOutcome::Failed;
        let outcome = match outcome {
            AttemptOutcome::Applied if order.skips => AttemptOutcome::Skipped,
            outcome => outcome,
        };
        Self {
            run: order.run,
            action: ACTION_UP,
            version: order.changeset.version.0,
            name: &order.changeset.name,
            checksum: order.text.checksum(order.width),
            outcome,
            statement: None,
            error: None,
            fingerprint: order.known.fingerprint.as_deref().filter(|_| unchanged),
            accepted: order.known.accepted.as_deref(),
            trace: None,
            skipped: skipped_after(&order.known.skipped, order.changeset.version, outcome),
        }
    }

    /// Makes the row of what was found out about a statement.
    pub fn of_record(record: &Record<'a>, statement: StatementMark) -> Self {
        let (action, error) = match record.finder {
            Finder::Person => (ACTION_REPAIR, format!("{} by a person: {}", record.mark.as_str(), record.reason)),
            Finder::Run => (ACTION_UP, format!("{} by this run: {}", record.mark.as_str(), record.reason)),
        };
        Self {
            run: record.run,
            action,
            version: record.changeset.version.0,
            name: &record.changeset.name,
            checksum: record.text.checksum(record.width),
            outcome: AttemptOutcome::Failed,
            statement: Some(statement),
            error: None,
            fingerprint: None,
            accepted: record.accepted,
            trace: None,
            skipped: written(record.skipped),
        }
        .error(&error)
    }

    /// Makes the row of a schema that a person accepted.
    pub fn of_acceptance(acceptance: &Acceptance<'a>) -> Self {
        let (version, name) = acceptance.version;
        Self {
            run: acceptance.run,
            action: ACTION_ACCEPT,
            version: version.0,
            name,
            checksum: 0,
            outcome: AttemptOutcome::Accepted,
            statement: None,
            error: None,
            fingerprint: Some(acceptance.record),
            accepted: acceptance.accepted,
            trace: None,
            skipped: written(acceptance.skipped),
        }
        .error(acceptance.words)
    }

    /// Adds the statement it is about.
    pub fn at(mut self, statement: StatementMark) -> Self {
        self.fingerprint = self.fingerprint.filter(|_| statement.statement_no <= 1);
        self.statement = Some(statement);
        self
    }

    /// Adds what will tell whether the statement took effect.
    pub fn traced(mut self, trace: Traced) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Whether it commits together with its statement.
    pub fn is_atomic(&self) -> bool {
        self.trace.as_ref().is_some_and(Traced::is_atomic)
    }

    /// Returns the hash of the list of tenants that the run is for; nothing where there is none.
    pub fn fleet(&self) -> Option<&'a str> {
        Some(self.run.fleet.as_str()).filter(|hash| !hash.is_empty())
    }

    /// Adds the error, cut to [`ERROR_LIMIT`].
    pub fn error(mut self, error: &str) -> Self {
        self.error = Some(crate::error::short(error, ERROR_LIMIT));
        self
    }
}

/// Returns what stands in [`SKIPPED`] after this outcome of a version; nothing where nothing was skipped.
fn skipped_after(before: &[Version], version: Version, outcome: AttemptOutcome) -> Option<String> {
    let mut versions = before.to_vec();
    match (versions.binary_search(&version), outcome) {
        (Err(at), AttemptOutcome::Skipped) => versions.insert(at, version),
        (Ok(at), AttemptOutcome::Applied) => drop(versions.remove(at)),
        _ => {}
    }
    written(&versions)
}

fn written(skipped: &[Version]) -> Option<String> {
    let versions: Vec<String> = skipped.iter().map(ToString::to_string).collect();
    (!versions.is_empty()).then(|| versions.join(","))
}

/// Reads what stands in [`SKIPPED`]; nothing where it is no ascending list of versions.
fn skipped(text: &str) -> Option<Vec<Version>> {
    let read = text.split(',').map(|version| version.parse().ok().filter(|&version| version >= 0).map(Version));
    let read: Vec<Version> = read.collect::<Option<_>>()?;
    read.windows(2).all(|pair| pair[0] < pair[1]).then_some(read)
}

/// Reads a row of the journal `of` this tenant: its number, then [`JOURNAL_COLUMNS`] as text, times in RFC 3339.
///
/// # Errors
/// `MT318` for a row of another format, or one that a stranger wrote; the row's number and what is odd are named.
pub(crate) fn attempt(of: &str, cells: &[Option<String>]) -> Result<Attempt> {
    parse(cells).map_err(|what| {
        let id = cells.first().and_then(Option::as_deref).unwrap_or("NULL");
        Diagnostic::new(Code::READ_FAILED, format!("the journal of tenant {of} is not understood"))
            .cause(format!("row {id} of {JOURNAL}: {what}"))
            .hint("look at that row; `docs/formats.md` says what mtmigrate writes there")
    })
}

fn parse(cells: &[Option<String>]) -> Result<Attempt, String> {
    let cell = |i: usize| cells.get(i).and_then(Option::as_deref);
    let name = |i: usize| if i == 0 { "id" } else { JOURNAL_COLUMNS.get(i - 1).copied().unwrap_or("?") };
    let text = |i: usize| cell(i).ok_or_else(|| format!("{} is NULL", name(i)));
    let strange = |i: usize| move |value: &str| format!("{} is `{}`", name(i), short(value, 80));
    let number = |i: usize| text(i).and_then(|value| value.parse::<i64>().map_err(|_| strange(i)(value)));
    let small = |i: usize| cell(i).map(|value| value.parse::<u32>().map_err(|_| strange(i)(value))).transpose();
    let time =
        |i: usize| text(i).and_then(|value| OffsetDateTime::parse(value, &Rfc3339).map_err(|_| strange(i)(value)));
    let format = number(1)?;
    if !(1..=i64::from(JOURNAL_FORMAT)).contains(&format) {
        return Err(format!(
            "its format is {format}, and this mtmigrate knows 1 to {JOURNAL_FORMAT}: a newer mtmigrate wrote it, use that one"
        ));
    }
    let outcome = text(7)?;
    Ok(Attempt {
        id: number(0)?,
        run_id: text(2)?.to_owned(),
        version: Version(number(4)?),
        name: text(5)?.to_owned(),
        outcome: AttemptOutcome::parse(outcome).ok_or_else(|| strange(7)(outcome))?,
        statement_no: small(8)?,
        statements: small(9)?,
        prefix: cell(10).map(str::to_owned),
        who: text(11)?.to_owned(),
        host: text(12)?.to_owned(),
        tool: text(13)?.to_owned(),
        started_at: time(14)?,
        finished_at: time(15)?,
        duration_ms: number(16)?,
        error: cell(17).map(str::to_owned),
        fingerprint: cell(18).map(str::to_owned),
        accepted: cell(19).map(str::to_owned),
        trace: cell(20).map(str::to_owned),
        skipped: cell(21).map_or(Ok(Vec::new()), |text| skipped(text).ok_or_else(|| strange(21)(text)))?,
    })
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
    let now = OffsetDateTime::now_utc();
    now.format(&Rfc3339).unwrap_or_else(|_| now.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as every engine reads it.
    fn row() -> Vec<Option<String>> {
        let cells = [
            "7",
            "1",
            "0192",
            "up",
            "42",
            "orders_ref",
            "17",
            "failed",
            "2",
            "3",
            "00",
            "ci",
            "host",
            "mtmigrate 0.1.0",
            "2026-11-21T09:30:00.000001Z",
            "2026-11-21T09:30:01Z",
            "1000",
            "23505: no",
            "1/postgres-15/0123456789abcdef0123456789abcdef",
            "[]",
            "1 d1fba762150c532c atomic",
            "7,9",
            "00ff",
        ];
        cells.map(|cell| Some(cell.to_owned())).to_vec()
    }

    #[test]
    fn a_journal_row_is_read_back() {
        let read = attempt("acme", &row()).unwrap();
        assert_eq!((read.id, read.version, read.outcome), (7, Version(42), AttemptOutcome::Failed));
        assert_eq!((read.statement_no, read.statements, read.duration_ms), (Some(2), Some(3), 1000));
        assert_eq!(read.trace.as_deref(), Some("1 d1fba762150c532c atomic"));
        assert_eq!(read.skipped, [Version(7), Version(9)]);
    }

    #[test]
    fn a_version_is_among_the_skipped_ones_until_its_text_runs() {
        use AttemptOutcome::{Applied, Failed, Skipped};
        let after = |before: &[i64], outcome| {
            let before: Vec<Version> = before.iter().copied().map(Version).collect();
            skipped_after(&before, Version(7), outcome)
        };
        for (before, outcome, expected) in [
            (&[][..], Applied, None),
            (&[], Skipped, Some("7")),
            (&[3, 12], Skipped, Some("3,7,12")),
            (&[3, 12], Applied, Some("3,12")),
            (&[7], Skipped, Some("7")),
            (&[7], Failed, Some("7")),
            (&[7], Applied, None),
        ] {
            assert_eq!(after(before, outcome).as_deref(), expected, "{before:?} {outcome:?}");
        }
    }

    #[test]
    fn a_strange_journal_row_is_shown_and_never_believed() {
        for (column, value, said) in [
            (0, Some("x"), "id is `x`"),
            (1, Some("5"), "its format is 5"),
            (1, None, "format is NULL"),
            (7, Some("maybe"), "outcome is `maybe`"),
            (8, Some("-1"), "statement_no is `-1`"),
            (14, Some("yesterday"), "started_at is `yesterday`"),
            (21, Some("9,7"), "skipped is `9,7`"),
            (21, Some("7,"), "skipped is `7,`"),
        ] {
            let mut cells = row();
            cells[column] = value.map(str::to_owned);
            let refused = attempt("acme", &cells).unwrap_err();
            assert_eq!(refused.code(), Code::READ_FAILED);
            assert!(refused.causes()[0].contains(said), "{refused}");
        }
        assert!(attempt("acme", &[]).is_err());
    }
}
