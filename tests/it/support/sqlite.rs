//! Looks into SQLite files.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{Rows, quoted};

/// Runs statements; makes the file if it is missing.
#[track_caller]
pub fn execute(path: &Path, sql: &str) {
    let connection = Connection::open(path).expect("a SQLite file");
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// The rows of one statement, as text. Never makes a file.
#[track_caller]
pub fn query(path: &Path, sql: &str) -> Rows {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    rows(&connection, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Everything in a file: objects, rows, the versions in its header. A missing file says so.
pub fn dump(path: &Path) -> String {
    if !path.exists() {
        return "no file\n".into();
    }
    // Not read-only: a file in WAL mode could then not be read without its `-shm`.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).expect("a SQLite file");
    dump_all(&connection).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dump_all(connection: &Connection) -> rusqlite::Result<String> {
    let mut dump = String::new();
    for pragma in ["user_version", "application_id"] {
        let value = rows(connection, &format!("PRAGMA {pragma}"))?;
        dump += &format!("{pragma} {value:?}\n");
    }
    let objects = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name";
    for object in rows(connection, objects)? {
        let [Some(kind), Some(name), sql] = &object[..] else {
            continue;
        };
        dump += &format!("{kind} {name}: {}\n", sql.as_deref().unwrap_or("(implied)"));
        if kind == "table" {
            let mut lines = lines(connection, name)?;
            lines.sort_unstable();
            dump += &lines.concat();
        }
    }
    Ok(dump)
}

fn lines(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let table = quoted(table, '"');
    let rows = rows(connection, &format!("SELECT * FROM {table}"))?;
    Ok(rows.iter().map(|row| format!("  {row:?}\n")).collect())
}

fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    statement.query_map([], |row| (0..columns).map(|n| Ok(text(row.get_ref(n)?))).collect())?.collect()
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Some(format!("{bytes:02x?}")),
    }
}
