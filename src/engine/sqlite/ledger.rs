//! Writes to the two tables that a tenant has of ours.
//!
//! Start at [`make_tables`]. The history is refinery's, to the letter; times in the journal are RFC 3339, UTC, with
//! milliseconds.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Error, ErrorCode, OptionalExtension, params};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{fault, reading};
use crate::engine::stepwise::failed;
use crate::engine::tables::{
    HISTORY, JOURNAL, JOURNAL_COLUMNS, JOURNAL_FORMAT, JournalRow, applied_on_now, lacking, version_type,
};
use crate::engine::{JournalFormat, Order};
use crate::error::{Code, Diagnostic};

/// How times are written.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// When an attempt began.
pub(super) struct Start {
    text: String,
    instant: Instant,
}

impl Start {
    /// Notes that an attempt begins now.
    pub fn now() -> Self {
        Self { text: now(), instant: Instant::now() }
    }

    fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc();
    now.format(TIME).unwrap_or_else(|_| now.to_string())
}

/// Makes what is missing of both tables, and gives a narrow history refinery's wide checksums. Either integer type has the affinity of 64 bits: none is ever widened.
///
/// <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>
pub(super) fn make_tables(connection: &Connection, order: &Order<'_>) -> rusqlite::Result<()> {
    let version = version_type(order.width);
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS main.{HISTORY}(
             version {version} PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255))"
    ))?;
    for (version, checksum) in &order.rewrite {
        let sql = format!("UPDATE main.{HISTORY} SET checksum = ?1 WHERE version = ?2");
        connection.execute(&sql, params![checksum.to_string(), version.0])?;
    }
    make_journal(connection)
}

/// Writes the history row of an order, and sees to it that both tables are as they must be: in a transaction that has
/// begun. Where they are already, which is the rule, nothing is asked.
pub(super) fn enter_history(connection: &Connection, order: &Order<'_>) -> rusqlite::Result<()> {
    if !order.rewrite.is_empty() {
        make_tables(connection, order)?;
        return insert_history(connection, order);
    }
    match insert_history(connection, order) {
        // There is no such table, or it is another one than expected: the second try says so.
        Err(e) if fault::kind(&e) == Some(ErrorCode::Unknown) => {
            make_tables(connection, order)?;
            insert_history(connection, order)
        }
        // The row was written by what the connection knows of the schema, so that is how the schema is.
        Ok(()) if reading::journal_format(connection)? != Some(JournalFormat::Four) => make_journal(connection),
        entered => entered,
    }
}

/// Makes the journal if it is missing; gives one that an older mtmigrate made what it lacks.
pub(super) fn make_journal(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS main.{JOURNAL}(
             id INTEGER PRIMARY KEY AUTOINCREMENT,
             format INTEGER NOT NULL,
             run_id TEXT NOT NULL,
             action TEXT NOT NULL,
             version INTEGER NOT NULL,
             name TEXT NOT NULL,
             checksum TEXT NOT NULL,
             outcome TEXT NOT NULL,
             statement_no INTEGER,
             statements INTEGER,
             prefix TEXT,
             who TEXT NOT NULL,
             host TEXT NOT NULL,
             tool TEXT NOT NULL,
             started_at TEXT NOT NULL,
             finished_at TEXT NOT NULL,
             duration_ms INTEGER NOT NULL,
             error TEXT,
             fingerprint TEXT,
             accepted TEXT,
             snapshot TEXT,
             trace TEXT,
             skipped TEXT,
             fleet TEXT)"
    ))?;
    for column in reading::journal_format(connection)?.map_or(&[][..], lacking) {
        if connection.column_exists(Some("main"), JOURNAL, *column)? {
            continue;
        }
        connection.execute_batch(&format!("ALTER TABLE main.{JOURNAL} ADD COLUMN {column} TEXT"))?;
    }
    Ok(())
}

/// Writes the history row of an order.
pub(super) fn insert_history(connection: &Connection, order: &Order<'_>) -> rusqlite::Result<()> {
    let sql = format!("INSERT INTO main.{HISTORY} (version, name, applied_on, checksum) VALUES (?1, ?2, ?3, ?4)");
    let checksum = order.text.checksum(order.width).to_string();
    let changeset = order.changeset;
    connection.execute(&sql, params![changeset.version.0, changeset.name, applied_on_now(), checksum]).map(drop)
}

/// Writes a journal row.
pub(super) fn insert_journal(connection: &Connection, start: &Start, row: &JournalRow<'_>) -> rusqlite::Result<()> {
    let columns = JOURNAL_COLUMNS.join(", ");
    let sql = format!(
        "INSERT INTO main.{JOURNAL} ({columns})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
             ?22)"
    );
    let statement = row.statement.as_ref();
    connection
        .execute(
            &sql,
            params![
                JOURNAL_FORMAT,
                row.run.run_id,
                row.action,
                row.version,
                row.name,
                row.checksum.to_string(),
                row.outcome.as_str(),
                statement.map(|s| s.statement_no),
                statement.map(|s| s.statements),
                statement.map(|s| &s.prefix),
                row.run.who,
                row.run.host,
                row.run.tool,
                start.text,
                now(),
                i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX),
                row.error,
                row.fingerprint,
                row.accepted,
                // Nothing is asked before a statement here: there are no probes.
                row.trace.as_ref().map(|traced| traced.head()),
                row.skipped,
                row.fleet(),
            ],
        )
        .map(drop)
}

/// Returns number and run of the journal's last row.
pub(super) fn journal_end(connection: &Connection) -> rusqlite::Result<Option<(i64, String)>> {
    let sql = format!("SELECT id, CAST(run_id AS TEXT) FROM main.{JOURNAL} ORDER BY id DESC LIMIT 1");
    connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// Returns the checksum in the history row of the order's version, if there is a row.
pub(super) fn recorded_checksum(connection: &Connection, order: &Order<'_>) -> rusqlite::Result<Option<String>> {
    let sql = format!("SELECT CAST(checksum AS TEXT) FROM main.{HISTORY} WHERE version = ?1");
    let version = order.changeset.version.0;
    Ok(connection.query_row(&sql, [version], |row| row.get::<_, Option<String>>(0)).optional()?.flatten())
}

/// Returns whether a history row could not be written because its version is there already.
pub(super) fn is_taken(error: &Error) -> bool {
    fault::kind(error) == Some(ErrorCode::ConstraintViolation)
}

/// Makes the diagnostic of an order whose version is in the history with another text.
pub(super) fn recorded_otherwise(order: &Order<'_>, recorded: &str) -> Diagnostic {
    let ours = order.text.checksum(order.width);
    failed(order, Code::CHANGESET_FAILED)
        .cause(format!("a moment ago another run recorded it with checksum {recorded}; this text has {ours}"))
        .hint("two runs have different changelogs: look at `mtmigrate status` before anything else")
}

/// Makes the diagnostic of a text that took its own history row away.
pub(super) fn unrecorded(order: &Order<'_>) -> Diagnostic {
    failed(order, Code::CHANGESET_FAILED)
        .cause(format!("the text removed its own row from {HISTORY}: it would be applied again"))
        .hint("leave the history to mtmigrate")
}

/// Writes a journal row in a transaction of its own, and the journal with it if it is missing.
pub(super) fn note(connection: &Connection, start: &Start, row: &JournalRow<'_>) -> rusqlite::Result<()> {
    in_transaction(connection, || {
        make_journal(connection)?;
        insert_journal(connection, start, row)
    })
}

/// Commits what is written, or leaves nothing of it.
pub(super) fn in_transaction(
    connection: &Connection,
    write: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    write().and_then(|()| connection.execute_batch("COMMIT")).inspect_err(|_| {
        // Some errors have rolled it back already; otherwise the connection's end does what this cannot.
        if !connection.is_autocommit() {
            drop(connection.execute_batch("ROLLBACK"));
        }
    })
}
