//! Rows that violate a foreign key: counted, and compared with those that were there before.

use std::collections::BTreeMap;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::fault;

/// How many violations are named to a person.
const NAMED: usize = 5;

/// The violations in a file.
#[derive(Debug, Default)]
pub(super) struct Violations(BTreeMap<Key, Rows>);

/// Which foreign key. By its columns, not by its number: a rebuilt table may number its keys otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Rows {
        table: String,
        columns: String,
        parent: String,
    },
    /// A key that cannot be checked at all: the parent has no such unique columns.
    Mismatch {
        table: String,
        message: String,
    },
}

#[derive(Debug, Default)]
struct Rows {
    count: u64,
    /// The first ones; absent for a table without rowid.
    first: Vec<Option<i64>>,
}

impl Violations {
    /// Finds the violations in the file as the connection sees it.
    ///
    /// <https://www.sqlite.org/pragma.html#pragma_foreign_key_check>
    pub fn find(connection: &Connection) -> rusqlite::Result<Self> {
        let mut found = Self::default();
        match found.look(connection, "PRAGMA main.foreign_key_check") {
            // One key that cannot be checked hides the others: each table is asked by itself.
            Err(e) if fault::kind(&e) == Some(ErrorCode::Unknown) => found = Self::by_table(connection)?,
            looked => looked?,
        }
        Ok(found)
    }

    /// Returns those of which there are more than before, in words; at most [`NAMED`] of them, then how many others.
    pub fn added_to(&self, before: &Self) -> Vec<String> {
        let count_before = |key: &Key| before.0.get(key).map_or(0, |rows| rows.count);
        let mut words = Vec::new();
        let mut unnamed = 0;
        for (key, rows) in &self.0 {
            let added = rows.count.saturating_sub(count_before(key));
            let named = rows.first.len().min(added as usize).min(NAMED - words.len());
            words.extend(rows.first.iter().take(named).map(|rowid| key.in_words(*rowid)));
            unnamed += added - named as u64;
        }
        if unnamed > 0 {
            words.push(format!("and {unnamed} more"));
        }
        words
    }

    fn look(&mut self, connection: &Connection, pragma: &str) -> rusqlite::Result<()> {
        let mut columns = BTreeMap::new();
        let mut statement = connection.prepare(pragma)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (table, rowid): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
            let (parent, number): (String, i64) = (row.get(2)?, row.get(3)?);
            let columns = match columns.get(&(table.clone(), number)) {
                Some(known) => known,
                None => columns.entry((table.clone(), number)).or_insert(key_columns(connection, &table, number)?),
            };
            let seen = self.0.entry(Key::Rows { table, columns: columns.clone(), parent }).or_default();
            seen.count += 1;
            if seen.first.len() < NAMED {
                seen.first.push(rowid);
            }
        }
        Ok(())
    }

    fn by_table(connection: &Connection) -> rusqlite::Result<Self> {
        let mut found = Self::default();
        let mut statement = connection.prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table'")?;
        let tables = statement.query_map([], |row| row.get::<_, String>(0))?;
        for table in tables {
            let table = table?;
            let quoted = table.replace('"', "\"\"");
            match found.look(connection, &format!("PRAGMA main.foreign_key_check(\"{quoted}\")")) {
                Err(e) if fault::kind(&e) == Some(ErrorCode::Unknown) => {
                    let message = fault::cause(&e);
                    found.0.insert(Key::Mismatch { table, message }, Rows { count: 1, first: vec![None] });
                }
                looked => looked?,
            }
        }
        Ok(found)
    }
}

impl Key {
    fn in_words(&self, rowid: Option<i64>) -> String {
        match (self, rowid) {
            (Self::Rows { table, columns, parent }, Some(rowid)) => {
                format!("table {table}, rowid {rowid}: ({columns}) has no row in {parent}")
            }
            (Self::Rows { table, columns, parent }, None) => {
                format!("table {table}: ({columns}) has no row in {parent}")
            }
            (Self::Mismatch { table, message }, _) => format!("table {table}: {message}"),
        }
    }
}

fn key_columns(connection: &Connection, table: &str, number: i64) -> rusqlite::Result<String> {
    let sql = "SELECT group_concat(\"from\", ', ') FROM pragma_foreign_key_list(?1, 'main') WHERE id = ?2";
    let columns = connection.query_row(sql, (table, number), |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(columns.flatten().unwrap_or_default())
}
