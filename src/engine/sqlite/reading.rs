//! Reads where a tenant stands, as a stranger wrote it.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::file::File;
use crate::changeset::Width;
use crate::engine::tables::{self, HISTORY, JOURNAL, JOURNAL_COLUMNS, attempt, lacking};
use crate::engine::{JournalFormat, Reading, Tables};
use crate::error::Result;
use crate::history::{self, Attempt};
use crate::tenant::Tenant;

/// Reads a tenant's history and the last row of its journal.
pub(super) fn read(tenant: &Tenant) -> Result<Reading> {
    let file = File::of(tenant)?;
    let found = file.read(|connection| {
        let tables = tables(connection)?;
        let rows = if tables.history.is_some() { history_rows(connection)? } else { Vec::new() };
        let last = journal_rows(connection, tables.journal, 1)?;
        Ok((tables, rows, last))
    })?;
    let (tables, rows, last) = found.unwrap_or((Tables { history: None, journal: None }, Vec::new(), Vec::new()));
    let last = last.first().map(|row| attempt(&tenant.name, row)).transpose()?;
    let read_only = (!file.takes_writes()).then(|| "the file is write-protected for this user".to_owned());
    let server_version = rusqlite::version().to_owned();
    Ok(Reading { rows, tables, last, server_version, read_only, folds_case: false })
}

/// Reads the newest rows of a tenant's journal.
pub(super) fn journal(tenant: &Tenant, limit: u32) -> Result<Vec<Attempt>> {
    let file = File::of(tenant)?;
    let found = file.read(|connection| journal_rows(connection, tables(connection)?.journal, limit))?;
    found.unwrap_or_default().iter().map(|row| attempt(&tenant.name, row)).collect()
}

/// Looks which of our tables there are.
fn tables(connection: &Connection) -> rusqlite::Result<Tables> {
    let is_there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    let journal = journal_format(connection)?;
    let declared = "SELECT type FROM pragma_table_info(?1) WHERE name = 'version' COLLATE NOCASE";
    let history = match connection.query_row(is_there, [HISTORY], |_| Ok(())).optional()? {
        Some(()) => connection.query_row(declared, [HISTORY], |row| row.get::<_, String>(0)).optional()?,
        None => return Ok(Tables { history: None, journal }),
    };
    // A table without such a column fails when its rows are read.
    let wide = history.is_some_and(|declared| ["int8", "bigint"].contains(&declared.to_ascii_lowercase().as_str()));
    Ok(Tables { history: Some(if wide { Width::Int8 } else { Width::Int4 }), journal })
}

/// Looks of which format the journal is.
pub(super) fn journal_format(connection: &Connection) -> rusqlite::Result<Option<JournalFormat>> {
    let sql = "SELECT lower(name) FROM pragma_table_info(?1, 'main')
               WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE)";
    let mut statement = connection.prepare(sql)?;
    let columns: Vec<String> = statement.query_map([JOURNAL], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let format = tables::journal_format(|name| columns.iter().any(|column| column == name));
    Ok((!columns.is_empty()).then_some(format))
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

/// Reads journal rows, newest first; what its format has no column for is NULL.
fn journal_rows(
    connection: &Connection,
    format: Option<JournalFormat>,
    limit: u32,
) -> rusqlite::Result<Vec<Vec<Option<String>>>> {
    let Some(format) = format else { return Ok(Vec::new()) };
    let column = |name: &str| match lacking(format).contains(&name) {
        true => "NULL".to_owned(),
        false => format!("CAST({name} AS TEXT)"),
    };
    let columns = JOURNAL_COLUMNS.map(column).join(", ");
    let sql = format!("SELECT id, {columns} FROM {JOURNAL} ORDER BY id DESC LIMIT ?1");
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([limit], |row| (0..=JOURNAL_COLUMNS.len()).map(|at| text(row, at)).collect())?;
    rows.collect()
}

/// Returns a column's text, whatever bytes are in it.
pub(super) fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    })
}
