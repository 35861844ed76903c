//! Reads what a tenant's schema is.
//!
//! A schema is a function of what SQLite has stored of it, the rows of `sqlite_schema`: those are hashed, and only the
//! first file of each hash is looked at closely (`catalog`). Comments and privileges do not exist on SQLite; where they
//! are asked for, the description is the same, and its basis says that they were.

mod catalog;
mod table;
mod text;
mod tokens;
mod words;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::file::File;
use super::kept::Shelf;
use super::reading;
use crate::engine::Gauge;
use crate::engine::tables::LEFT_OUT;
use crate::error::Result;
use crate::schema::{Basis, Include, Object, Snapshot};
use crate::tenant::Tenant;

/// What descriptions are based on: SQLite 3 has described itself in one way since it began.
const ENGINE: &str = "sqlite-3";

/// The schemas that were seen, each of them once.
pub(super) struct Seen {
    basis: Basis,
    snapshots: Mutex<Snapshots>,
}

#[derive(Default)]
struct Snapshots {
    /// By the hash of the stored rows.
    by_rows: HashMap<u128, Arc<Snapshot>>,
    /// By their own fingerprint: other rows may mean the same.
    by_fingerprint: HashMap<String, Arc<Snapshot>>,
}

impl Seen {
    /// Begins without any.
    pub fn new(include: Include) -> Arc<Self> {
        Arc::new(Self { basis: Basis::new(ENGINE, include), snapshots: Mutex::default() })
    }

    fn get(&self, hash: u128) -> Option<Arc<Snapshot>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).by_rows.get(&hash).cloned()
    }

    fn add(&self, hash: u128, objects: Vec<Object>) -> Arc<Snapshot> {
        let made = Snapshot::new(&self.basis, objects);
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        let one =
            snapshots.by_fingerprint.entry(made.fingerprint().to_string()).or_insert_with(|| Arc::new(made)).clone();
        snapshots.by_rows.insert(hash, one.clone());
        one
    }
}

/// Reads a tenant's schema; a file that is still to be made has an empty one.
pub(super) fn inspect(tenant: &Tenant, shelf: &Shelf, seen: &Seen) -> Result<Arc<Snapshot>> {
    let found = File::of(tenant, shelf)?.read(|connection| {
        let stored = stored(connection)?;
        let hash = hash(&stored);
        match seen.get(hash) {
            Some(known) => Ok(known),
            None => Ok(seen.add(hash, catalog::objects(connection, &stored)?)),
        }
    })?;
    Ok(found.unwrap_or_else(|| seen.add(hash(&[]), Vec::new())))
}

/// Measures a tenant's schema.
pub(super) fn gauge(tenant: &Tenant, shelf: &Shelf) -> Result<Gauge> {
    let value = File::of(tenant, shelf)?.read(|connection| Ok(hash(&stored(connection)?)))?;
    Ok(Gauge { value: value.unwrap_or_else(|| hash(&[])), mark: 0 })
}

/// A row of `sqlite_schema`.
struct Stored {
    kind: String,
    name: String,
    /// The table that it belongs to, or itself.
    table: String,
    sql: String,
}

/// Reads the rows, without those of SQLite's own objects and of [`LEFT_OUT`].
fn stored(connection: &Connection) -> rusqlite::Result<Vec<Stored>> {
    // What has no text, an automatic index, follows from its table's. In one order: that of the rows is of no meaning.
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let text = |at| Ok::<_, rusqlite::Error>(reading::text(row, at)?.unwrap_or_default());
        Ok(Stored { kind: text(0)?, name: text(1)?, table: text(2)?, sql: text(3)? })
    })?;
    let own = |row: &Stored| {
        row.name.get(..7).is_some_and(|name| name.eq_ignore_ascii_case("sqlite_"))
            || LEFT_OUT.iter().any(|table| row.table.eq_ignore_ascii_case(table))
    };
    rows.filter(|row| !row.as_ref().is_ok_and(own)).collect()
}

fn hash(stored: &[Stored]) -> u128 {
    let mut hasher = Sha256::new();
    for Stored { kind, name, table, sql } in stored {
        for text in [kind, name, table, sql] {
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
    }
    let digest = hasher.finalize();
    digest.iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}
