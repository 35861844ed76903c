//! Reads where a tenant stands, as a stranger wrote it.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::file::File;
use crate::changeset::{Version, Width};
use crate::engine::tables::{HISTORY, JOURNAL, JOURNAL_COLUMNS, JOURNAL_FORMAT};
use crate::engine::{Reading, Tables};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{self, Attempt, AttemptOutcome};
use crate::tenant::Tenant;

/// Reads a tenant's history and the last row of its journal.
pub(super) fn read(tenant: &Tenant) -> Result<Reading> {
    let file = File::of(tenant)?;
    let found = file.read(|connection| {
        let tables = tables(connection)?;
        let rows = if tables.history.is_some() { history_rows(connection)? } else { Vec::new() };
        let last = if tables.journal { journal_rows(connection, 1)? } else { Vec::new() };
        Ok((tables, rows, last))
    })?;
    let (tables, rows, last) = found.unwrap_or((Tables { history: None, journal: false }, Vec::new(), Vec::new()));
    let last = last.into_iter().next().map(|row| row.attempt(file.shown)).transpose()?;
    let read_only = (!file.takes_writes()).then(|| "the file is write-protected for this user".to_owned());
    let server_version = rusqlite::version().to_owned();
    Ok(Reading { rows, tables, last, server_version, read_only, folds_case: false })
}

/// Reads the newest rows of a tenant's journal.
pub(super) fn journal(tenant: &Tenant, limit: u32) -> Result<Vec<Attempt>> {
    let file = File::of(tenant)?;
    let found = file.read(|connection| match tables(connection)?.journal {
        true => journal_rows(connection, limit),
        false => Ok(Vec::new()),
    })?;
    found.unwrap_or_default().into_iter().map(|row| row.attempt(file.shown)).collect()
}

fn tables(connection: &Connection) -> rusqlite::Result<Tables> {
    let is_there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    let journal = connection.query_row(is_there, [JOURNAL], |_| Ok(())).optional()?.is_some();
    let declared = "SELECT type FROM pragma_table_info(?1) WHERE name = 'version' COLLATE NOCASE";
    let history = match connection.query_row(is_there, [HISTORY], |_| Ok(())).optional()? {
        Some(()) => connection.query_row(declared, [HISTORY], |row| row.get::<_, String>(0)).optional()?,
        None => return Ok(Tables { history: None, journal }),
    };
    // A table without such a column fails when its rows are read.
    let wide = history.is_some_and(|declared| ["int8", "bigint"].contains(&declared.to_ascii_lowercase().as_str()));
    Ok(Tables { history: Some(if wide { Width::Int8 } else { Width::Int4 }), journal })
}

fn history_rows(connection: &Connection) -> rusqlite::Result<Vec<history::Row>> {
    let mut statement = connection.prepare(&format!(
        "SELECT CAST(version AS TEXT), CAST(name AS TEXT), CAST(applied_on AS TEXT), CAST(checksum AS TEXT)
         FROM {HISTORY}"
    ))?;
    let rows = statement.query_map([], |row| {
        Ok(history::Row {
            version: text(row, 0)?,
            name: text(row, 1)?,
            applied_on: text(row, 2)?,
            checksum: text(row, 3)?,
        })
    })?;
    rows.collect()
}

/// A journal row as text, before anything in it is believed.
struct JournalText {
    id: i64,
    /// As in [`JOURNAL_COLUMNS`].
    columns: Vec<Option<String>>,
}

/// Reads journal rows, newest first.
fn journal_rows(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<JournalText>> {
    let columns = JOURNAL_COLUMNS.map(|name| format!("CAST({name} AS TEXT)")).join(", ");
    let sql = format!("SELECT id, {columns} FROM {JOURNAL} ORDER BY id DESC LIMIT ?1");
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([limit], |row| {
        let columns = (1..=JOURNAL_COLUMNS.len()).map(|at| text(row, at)).collect::<rusqlite::Result<_>>()?;
        Ok(JournalText { id: row.get(0)?, columns })
    })?;
    rows.collect()
}

/// Returns a column's text, whatever bytes are in it.
fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    })
}

impl JournalText {
    fn attempt(self, shown: &str) -> Result<Attempt> {
        let id = self.id;
        self.parse().map_err(|(code_hint, what)| {
            Diagnostic::new(Code::READ_FAILED, format!("row {id} of {JOURNAL} in {shown} is not understood"))
                .cause(what)
                .hint(code_hint)
        })
    }

    fn parse(&self) -> Result<Attempt, (&'static str, String)> {
        const STRANGE: &str = "somebody else wrote this row: look at it, and remove it or mend it";
        let get = |name: &str| {
            let at = JOURNAL_COLUMNS.iter().position(|column| *column == name);
            at.and_then(|at| self.columns.get(at)?.as_deref())
        };
        let need = |name: &str| get(name).ok_or_else(|| (STRANGE, format!("{name} is NULL")));
        let wrong = |name: &str| (STRANGE, format!("{name} is `{}`", get(name).unwrap_or("NULL")));
        let number = |name: &str| need(name)?.parse::<i64>().map_err(|_| wrong(name));
        let count = |name: &str| get(name).map(|n| n.parse::<u32>().map_err(|_| wrong(name))).transpose();
        let instant = |name: &str| OffsetDateTime::parse(need(name)?, &Rfc3339).map_err(|_| wrong(name));
        let format = number("format")?;
        if format > i64::from(JOURNAL_FORMAT) {
            let newer = format!("its format is {format}, and this mtmigrate knows {JOURNAL_FORMAT}");
            return Err(("a newer mtmigrate wrote it: use that one", newer));
        }
        Ok(Attempt {
            id: self.id,
            run_id: need("run_id")?.to_owned(),
            version: Version(number("version")?),
            name: need("name")?.to_owned(),
            outcome: AttemptOutcome::parse(need("outcome")?).ok_or_else(|| wrong("outcome"))?,
            statement_no: count("statement_no")?,
            statements: count("statements")?,
            prefix: get("prefix").map(str::to_owned),
            who: need("who")?.to_owned(),
            host: need("host")?.to_owned(),
            tool: need("tool")?.to_owned(),
            started_at: instant("started_at")?,
            finished_at: instant("finished_at")?,
            duration_ms: number("duration_ms")?,
            error: get("error").map(str::to_owned),
        })
    }
}
