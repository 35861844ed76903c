//! One question of a person's, on a connection that may only read.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};

use crate::engine::Answer;
use crate::engine::question::{ANSWERED_WITHIN, bounded, check, failed, refused, take, unanswered};
use crate::error::Result;
use crate::tenant::Tenant;

use super::fault;
use super::file::File;
use super::kept::Shelf;

/// What came of a question that SQLite understood.
enum Asked {
    Answered(Answer),
    Refused(String),
    /// It took too long.
    Over,
}

pub(super) fn ask(tenant: &Tenant, shelf: &Shelf, question: &str, limit: usize) -> Result<Answer> {
    check(tenant, question)?;
    let asked = File::of(tenant, shelf)?.read(|connection| {
        match limited(connection, ANSWERED_WITHIN, || answer(connection, question, limit)) {
            // The file's fault, or another connection's, and not the question's.
            Err(error) if fault::kind(&error).is_some_and(is_the_files) => Err(error),
            Err(error) => Ok(Asked::Refused(fault::cause(&error))),
            asked => asked,
        }
    })?;
    match asked {
        Some(Asked::Answered(answer)) => bounded(tenant, answer, limit),
        Some(Asked::Refused(why)) => Err(refused(tenant, &why)),
        Some(Asked::Over) => {
            Err(unanswered(format!("no answer within {}", humantime::format_duration(ANSWERED_WITHIN))))
        }
        None => Err(failed(tenant, "the file is not there yet", "make it first")),
    }
}

fn is_the_files(kind: ErrorCode) -> bool {
    use ErrorCode as E;
    [E::DatabaseBusy, E::DatabaseLocked, E::SystemIoFailure, E::DatabaseCorrupt, E::CannotOpen, E::NotADatabase]
        .contains(&kind)
}

/// Ends what a connection does when it takes longer. <https://www.sqlite.org/c3ref/interrupt.html>
fn limited(
    connection: &Connection,
    limit: Duration,
    work: impl FnOnce() -> rusqlite::Result<Asked>,
) -> rusqlite::Result<Asked> {
    let (handle, (ended, end)) = (connection.get_interrupt_handle(), channel::<()>());
    let done = thread::scope(|scope| {
        scope.spawn(move || {
            // Its sender is dropped when the work is done; whoever waits for this thread waits no longer than that.
            if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let done = work();
        drop(ended);
        done
    });
    match done {
        Err(error) if fault::kind(&error) == Some(ErrorCode::OperationInterrupted) => Ok(Asked::Over),
        done => done,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_never_ends_is_ended_and_the_connection_serves_the_next_one() {
        let connection = Connection::open_in_memory().unwrap();
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let limit = Duration::from_millis(30);
        let asked = limited(&connection, limit, || answer(&connection, endless, 1)).unwrap();
        assert!(matches!(asked, Asked::Over));
        std::thread::sleep(limit);
        let asked = limited(&connection, limit, || answer(&connection, "SELECT 1", 1)).unwrap();
        assert!(matches!(asked, Asked::Answered(_)));
    }
}
