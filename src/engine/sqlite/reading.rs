//! Reads where a tenant stands, as a stranger wrote it.

use std::cell::Cell;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::file::File;
use super::kept::Shelf;
use crate::changeset::Width;
use crate::engine::tables::{self, HISTORY, JOURNAL, JOURNAL_COLUMNS, attempt, lacking};
use crate::engine::{JournalFormat, Reading, Tables};
use crate::error::Result;
use crate::history::{self, Attempt};
use crate::tenant::Tenant;

/// Reads a tenant's history and the last row of its journal.
pub(super) fn read(tenant: &Tenant, shelf: &Shelf) -> Result<Reading> {
    let file = File::of(tenant, shelf)?;
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
pub(super) fn journal(tenant: &Tenant, shelf: &Shelf, limit: u32) -> Result<Vec<Attempt>> {
    let file = File::of(tenant, shelf)?;
    let found = file.read(|connection| journal_rows(connection, tables(connection)?.journal, limit))?;
    found.unwrap_or_default().iter().map(|row| attempt(&tenant.name, row)).collect()
}

/// Looks which of our tables there are. The connection must have read already in its transaction.
fn tables(connection: &Connection) -> rusqlite::Result<Tables> {
    let journal = journal_format(connection)?;
    if !connection.table_exists(Some("main"), HISTORY)? {
        return Ok(Tables { history: None, journal });
    }
    // A table without such a column fails when its rows are read.
    let wide = connection.column_exists(Some("main"), HISTORY, "version")? && {
        let declared = connection.column_metadata(Some("main"), HISTORY, "version")?.0;
        let is = |name: &str| declared.is_some_and(|it| it.to_bytes().eq_ignore_ascii_case(name.as_bytes()));
        is("int8") || is("bigint")
    };
    Ok(Tables { history: Some(if wide { Width::Int8 } else { Width::Int4 }), journal })
}

/// Looks of which format the journal is. The connection must have read or written already in its transaction.
pub(super) fn journal_format(connection: &Connection) -> rusqlite::Result<Option<JournalFormat>> {
    if !connection.table_exists(Some("main"), JOURNAL)? {
        return Ok(None);
    }
    let failed = Cell::new(None);
    let format = tables::journal_format(|name| {
        let found = connection.column_exists(Some("main"), JOURNAL, name);
        found.map_err(|error| failed.set(Some(error))).is_ok_and(|is_there| is_there)
    });
    failed.take().map_or(Ok(Some(format)), Err)
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
