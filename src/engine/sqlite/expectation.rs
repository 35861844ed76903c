//! Keeps in a tenant's journal what its schema is expected to be.

use std::sync::Arc;

use rusqlite::{Connection, Error, OptionalExtension, params};

use super::fault;
use super::file::File;
use super::kept::Shelf;
use super::ledger::{self, Start};
use super::reading;
use crate::engine::tables::{JOURNAL, JournalRow, SNAPSHOT};
use crate::engine::{Acceptance, JournalFormat};
use crate::error::{Code, Diagnostic, Result};
use crate::schema::Snapshot;
use crate::tenant::Tenant;

/// Reads the schema that the journal keeps.
pub(super) fn recorded(tenant: &Tenant, shelf: &Shelf) -> Result<Option<Snapshot>> {
    let found = File::of(tenant, shelf)?.read(|connection| {
        if reading::journal_format(connection)? < Some(JournalFormat::Two) {
            return Ok(None);
        }
        let sql = format!("SELECT {SNAPSHOT} FROM {JOURNAL} WHERE {SNAPSHOT} IS NOT NULL ORDER BY id DESC LIMIT 1");
        Ok(connection.query_row(&sql, [], |row| reading::text(row, 0)).optional()?.flatten())
    })?;
    Ok(found.flatten().and_then(|text| Snapshot::parse(&text).ok()))
}

/// What the last row of a run is given.
pub(super) struct Kept {
    pub run_id: String,
    pub fingerprint: String,
    pub accepted: Option<String>,
    pub snapshot: Arc<str>,
}

/// Writes it, if the journal's last row is the run's.
///
/// # Errors
/// `MT212` when it cannot be written.
pub(super) fn keep(tenant: &Tenant, shelf: &Shelf, kept: &Kept) -> Result<()> {
    let file = File::of(tenant, shelf)?;
    // Without a file, or without such a journal, there is no row of this run.
    let is_there = file.read(reading::journal_format)?.flatten() >= Some(JournalFormat::Two);
    if !is_there {
        return Ok(());
    }
    let connection = file.to_write_again()?;
    let sql = format!(
        "UPDATE main.{JOURNAL} SET fingerprint = ?1, accepted = ?2, {SNAPSHOT} = ?3
         WHERE id = (SELECT max(id) FROM main.{JOURNAL}) AND run_id = ?4 RETURNING id"
    );
    let written = ledger::in_transaction(&connection, || {
        let Kept { run_id, fingerprint, accepted, snapshot } = kept;
        let row = params![fingerprint, accepted, snapshot, run_id];
        match connection.query_row(&sql, row, |row| row.get(0)).optional()? {
            Some(id) => forget_before(&connection, id),
            None => Ok(()),
        }
    });
    written.map_err(|error| unwritten(tenant, &error))
}

/// Journals that a person accepted a schema; makes the journal, or what it lacks, if need be.
///
/// # Errors
/// `MT212` when it cannot be written.
pub(super) fn accept(acceptance: &Acceptance<'_>, shelf: &Shelf) -> Result<()> {
    let connection = File::of(acceptance.tenant, shelf)?.to_write()?;
    let row = JournalRow::of_acceptance(acceptance);
    let start = Start::now();
    let written = ledger::in_transaction(&connection, || {
        ledger::make_journal(&connection)?;
        ledger::insert_journal(&connection, &start, &row)?;
        let id = connection.last_insert_rowid();
        let sql = format!("UPDATE main.{JOURNAL} SET {SNAPSHOT} = ?1 WHERE id = ?2");
        connection.execute(&sql, params![acceptance.snapshot.to_text(), id])?;
        forget_before(&connection, id)
    });
    written.map_err(|error| unwritten(acceptance.tenant, &error))
}

/// Takes the snapshots out of all rows before this one.
fn forget_before(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    let sql = format!("UPDATE main.{JOURNAL} SET {SNAPSHOT} = NULL WHERE {SNAPSHOT} IS NOT NULL AND id < ?1");
    connection.execute(&sql, [id]).map(drop)
}

fn unwritten(tenant: &Tenant, error: &Error) -> Diagnostic {
    let message = format!("the schema of tenant {} could not be recorded in its journal", tenant.name);
    Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, message).cause(fault::cause(error)).state("nothing was recorded")
}
