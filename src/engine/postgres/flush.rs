//! What is committed and may not be on the server's disk yet, and how it gets there.
//!
//! Within a step a changeset's message commits asynchronously: history row, journal row and text are one transaction, so a
//! server that crashes loses all of it or nothing. Before the barrier opens one synchronous transaction makes the
//! server write its log up to there, whoever wrote it: the log is one for all its databases.
//! <https://www.postgresql.org/docs/current/wal-async-commit.html>
//!
//! A flush proves nothing after a crash: what it would have flushed may be gone. So it goes over a session that was there
//! before the first of the commits, for a crash ends every session of a server.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::error::{Code, Diagnostic, Result};

use super::Postgres;
use super::fault::{code, is_lost, words};
use super::session::{Key, Session};

/// How long the server may take to write its log, and to wait for its standbys where they are synchronous.
const FLUSHED: Duration = Duration::from_secs(60);

/// What says that we may not write a record, or cannot: no privilege, no such function.
const NOT_OURS: [&str; 2] = ["42501", "42883"];

/// The values of `synchronous_commit`, the weakest first.
/// <https://www.postgresql.org/docs/current/runtime-config-wal.html#GUC-SYNCHRONOUS-COMMIT>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Commits {
    Off,
    #[default]
    Local,
    RemoteWrite,
    On,
    RemoteApply,
}

impl Commits {
    /// Reads a setting; nothing where it is none that is known.
    pub fn parse(setting: &str) -> Option<Self> {
        let all = [Self::Off, Self::Local, Self::RemoteWrite, Self::On, Self::RemoteApply];
        all.into_iter().find(|one| one.as_str() == setting)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::RemoteWrite => "remote_write",
            Self::On => "on",
            Self::RemoteApply => "remote_apply",
        }
    }
}

/// What may not be on the server's disk yet.
#[derive(Default)]
pub(super) struct Unflushed(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether the server has flushed since this process holds its lock; until then commits are as the session has them.
    able: bool,
    /// The strongest that any session began with: what a person asked for somewhere holds for the flush of all.
    strongest: Commits,
    /// When the first of the commits was sent, and over which kind of session.
    since: Option<(Instant, Key)>,
}

impl Unflushed {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what a new session's own setting is.
    pub fn opened(&self, session: &Session) {
        let mut state = self.state();
        state.strongest = state.strongest.max(session.commits.unwrap_or(Commits::On));
    }

    /// Returns the statement that makes the transaction of a message asynchronous; nothing where it stays what it is.
    /// Before the message is sent.
    pub fn asynchronous(&self, session: &Session, key: &Key) -> &'static str {
        let is_off = session.commits == Some(Commits::Off);
        match self.writes(key) {
            // The server will not flush for us, so what a session or its text leaves to chance it would lose.
            false if is_off => "SET LOCAL synchronous_commit = local;\n",
            true if !is_off && session.commits.is_some() => "SET LOCAL synchronous_commit = off;\n",
            _ => "",
        }
    }

    /// Takes note that something is about to be committed over this kind of session: a text may make its own commits
    /// asynchronous. Returns whether the server flushes for us.
    pub fn writes(&self, key: &Key) -> bool {
        let mut state = self.state();
        if state.able {
            state.since.get_or_insert_with(|| (Instant::now(), key.clone()));
        }
        state.able
    }

    /// Commits as the sessions have them: the run lock is gone, and what comes next is another run's.
    pub fn unlocked(&self) {
        self.state().able = false;
    }
}

/// Returns the flushing transaction. It writes a record of its own, for a transaction that writes none flushes nothing;
/// everybody may write this one, in any database, and nobody reads it.
/// <https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION>
fn transaction(commits: Commits) -> String {
    format!(
        "SET LOCAL synchronous_commit = {};\nSELECT pg_catalog.pg_logical_emit_message(true, 'mtmigrate', '');\n",
        commits.as_str()
    )
}

/// Makes durable what was committed.
pub(super) async fn flush(server: &Postgres) -> Result<()> {
    let (since, able, sql) = {
        let state = server.unflushed.state();
        (state.since.clone(), state.able, transaction(state.strongest.max(Commits::Local)))
    };
    if able && since.is_none() {
        return Ok(());
    }
    let answer = match server.locked.lock().await.as_ref() {
        Some(locked) => Some(timeout(FLUSHED, locked.session.ask(&sql)).await),
        None => None,
    };
    let why = match answer {
        Some(Ok(Ok(_))) => {
            let mut state = server.unflushed.state();
            (state.able, state.since) = (true, None);
            return Ok(());
        }
        // The server does not let us write a record: then every commit is synchronous.
        Some(Ok(Err(error))) if since.is_none() && NOT_OURS.contains(&code(&error)) => {
            tracing::debug!(%error, "no flush");
            return Ok(());
        }
        // With its session the lock is gone, and the check before the first step says so.
        Some(Ok(Err(error))) if since.is_none() && is_lost(&error) => return Ok(()),
        Some(Ok(Err(error))) => words(&error),
        Some(Err(_)) => format!("no answer within {} s", FLUSHED.as_secs()),
        None if since.is_none() => return Ok(()),
        None => "the session of the run lock is gone".to_owned(),
    };
    let unconfirmed = || {
        let message = format!("server {} did not confirm that what was committed is on its disk", server.server.name);
        Diagnostic::new(Code::OUTCOME_UNKNOWN, message).cause(&why)
    };
    let Some((since, key)) = since else { return Err(unconfirmed()) };
    match timeout(FLUSHED, by_an_older_session(server, since, &key, &sql)).await {
        Ok(true) => {
            server.unflushed.state().since = None;
            Ok(())
        }
        _ => Err(unconfirmed()),
    }
}

/// Flushes over a session that was there before the first of the commits, if one is left.
async fn by_an_older_session(server: &Postgres, since: Instant, key: &Key, sql: &str) -> bool {
    let Ok(session) = server.session_with(0, key).await else { return false };
    let older = session.opened <= since;
    let flushed = older && session.reset().await.is_ok() && session.ask(sql).await.is_ok();
    match flushed || !older {
        true => session.keep(),
        false => session.discard().await,
    }
    flushed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_never_weaker_than_a_write_to_the_servers_own_disk() {
        assert_eq!(Commits::default(), Commits::Local);
        let all = ["off", "local", "remote_write", "on", "remote_apply"].map(Commits::parse);
        assert!(all.is_sorted() && all.iter().all(Option::is_some), "{all:?}");
        assert_eq!(Commits::parse("quorum"), None, "of a setting that is not known nothing is taken away");
    }
}
