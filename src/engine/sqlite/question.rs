//! One question of a person's, on a connection that may only read.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::engine::Answer;
use crate::engine::question::{bounded, check, failed, refused, take};
use crate::error::Result;
use crate::tenant::Tenant;

use super::fault;
use super::file::File;
use super::kept::Shelf;

/// What came of a question that SQLite understood.
enum Asked {
    Answered(Answer),
    Refused(String),
}

pub(super) fn ask(tenant: &Tenant, shelf: &Shelf, question: &str, limit: usize) -> Result<Answer> {
    check(tenant, question)?;
    let asked = File::of(tenant, shelf)?.read(|connection| {
        Ok(match answer(connection, question, limit) {
            Ok(asked) => asked,
            Err(error) => Asked::Refused(fault::cause(&error)),
        })
    })?;
    match asked {
        Some(Asked::Answered(answer)) => bounded(tenant, answer, limit),
        Some(Asked::Refused(why)) => Err(refused(tenant, &why)),
        None => Err(failed(tenant, "the file is not there yet", "make it first")),
    }
}

fn answer(connection: &Connection, question: &str, limit: usize) -> rusqlite::Result<Asked> {
    let mut statement = connection.prepare(question)?;
    if !statement.readonly() {
        return Ok(Asked::Refused("it would write".into()));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut made = Answer { columns, rows: Vec::new() };
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if made.rows.len() > limit {
            break;
        }
        let cells = (0..made.columns.len()).map(|idx| Ok(text(row.get_ref(idx)?)));
        let cells = cells.collect::<rusqlite::Result<_>>()?;
        take(&mut made, limit, || cells);
    }
    Ok(Asked::Answered(made))
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
