//! Looks over another session whether the server still works on a statement.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::engine::pool::Close;
use crate::engine::silence::{Sight, sending, until_dead};
use crate::error::Code;

use super::fault::{no_answer, words};
use super::lock::Locked;
use super::session::{Door, Key, Session};

/// A server process: its number, and when it began, which tells it from a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    pub pid: i32,
    /// As [`Backend::BEGAN`] says it; nothing where its user took a role that may not see it.
    pub began: Option<u64>,
}

impl Backend {
    /// When a process began, as an SQL expression over `backend_start`: the eight bytes that the server sends to programs,
    /// in hexadecimal. No setting changes them, no operator of a tenant's is called, and a fresh process looks up little.
    /// <https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES>
    pub const BEGAN: &str = "pg_catalog.encode(pg_catalog.timestamptz_send(backend_start), 'hex')";

    /// Reads what [`Backend::BEGAN`] says.
    pub fn began(said: &str) -> Option<u64> {
        u64::from_str_radix(said, 16).ok().filter(|_| said.len() == 16)
    }

    /// Picks its row of `pg_stat_activity`, where other users' sessions do not show when they began.
    /// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW>
    pub fn row(self) -> String {
        let mut row = format!("pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) {}", self.pid);
        if let Some(began) = self.began {
            let same = format!("{} OPERATOR(pg_catalog.=) '{began:016x}'", Self::BEGAN);
            let _ = write!(row, " AND (backend_start IS NULL OR {same})");
        }
        row
    }
}

/// Watches the statements of a server's sessions, over the run lock's session. Without one it opens a session in its
/// place in the budget.
pub(super) struct Watch {
    pub door: Arc<Door>,
    pub locked: Arc<Mutex<Option<Locked>>>,
}

impl Watch {
    /// Ends when the server has stopped working on the `bytes` that this process was sent, or cannot be reached. Returns
    /// why, in words.
    pub fn until_dead<'a>(&'a self, backend: Backend, key: &'a Key, bytes: usize) -> BoxFuture<'a, String> {
        let first = self.door.server.silence_check + sending(bytes);
        // Boxed, for a look is an exchange too.
        until_dead(first, move || self.look(backend, key)).boxed()
    }

    async fn look(&self, backend: Backend, key: &Key) -> Sight {
        let sql = question(backend);
        let slot = self.locked.lock().await;
        let asked = match slot.as_ref().filter(|locked| !locked.session.is_closed()) {
            Some(locked) => timeout(self.door.server.connect_timeout, locked.session.ask(&sql)).await,
            None => {
                let session = match Session::open(&self.door, key, "mtmigrate").await {
                    Ok(session) => session,
                    Err(diagnostic) if diagnostic.code() == Code::UNREACHABLE => {
                        return Sight::Unreachable(diagnostic.one_line());
                    }
                    // The server answers; what it works on it does not tell.
                    Err(_) => return Sight::AtWork,
                };
                let asked = timeout(self.door.server.connect_timeout, session.ask(&sql)).await;
                session.close().await;
                asked
            }
        };
        match asked {
            Ok(Ok(rows)) => sight(backend, rows.first().map(Vec::as_slice)),
            Ok(Err(error)) => Sight::Unreachable(words(&error)),
            Err(_) => Sight::Unreachable(no_answer(self.door.server.connect_timeout)),
        }
    }
}

/// Every transaction holds a lock on its own number, which everybody may see; what a session does only its user may.
/// <https://www.postgresql.org/docs/current/view-pg-locks.html>
fn question(backend: Backend) -> String {
    format!(
        "SELECT state, EXISTS (SELECT 1 FROM pg_catalog.pg_locks l WHERE l.pid OPERATOR(pg_catalog.=) {} \
         AND l.locktype OPERATOR(pg_catalog.=) 'virtualxid' AND l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock' AND l.granted)::text FROM {}",
        backend.pid,
        backend.row()
    )
}

fn sight(backend: Backend, row: Option<&[Option<String>]>) -> Sight {
    let pid = backend.pid;
    let Some(row) = row else { return Sight::Over(format!("server process {pid} is gone")) };
    let cell = |at: usize| row.get(at).and_then(Option::as_deref);
    let at_work = match cell(0) {
        None | Some("disabled") => cell(1) == Some("true"),
        Some(state) => !state.starts_with("idle"),
    };
    match at_work {
        true => Sight::AtWork,
        false => Sight::Over(format!("server process {pid} is done, and its answer did not arrive")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_looked_for_by_what_it_said_of_itself() {
        let said = "000303dc3d59eb01";
        let row = Backend { pid: 7, began: Backend::began(said) }.row();
        assert!(row.contains(" 7 AND ") && row.ends_with(&format!("'{said}')")), "{row}");
        for said in ["", "303dc3d59eb01", "000303dc3d59eb0g", "000303dc3d59eb0100"] {
            assert_eq!(Backend::began(said), None, "{said}");
        }
    }

    #[test]
    fn a_process_is_at_work_when_it_says_so_or_where_it_may_not_say_is_in_a_transaction() {
        let seen = |state: Option<&str>, in_transaction: &str| {
            let row = [state.map(str::to_owned), Some(in_transaction.to_owned())];
            sight(Backend { pid: 7, began: None }, Some(&row)) == Sight::AtWork
        };
        assert!(seen(Some("active"), "false") && seen(None, "true") && seen(Some("disabled"), "true"));
        assert!(!seen(Some("idle"), "false") && !seen(None, "false") && !seen(Some("idle in transaction"), "true"));
        assert_eq!(sight(Backend { pid: 7, began: None }, None), Sight::Over("server process 7 is gone".into()));
    }
}
