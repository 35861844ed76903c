//! The run lock: session-level advisory locks, one for each database, taken on a session of their own.
//!
//! Advisory locks belong to the database that they are taken in, so all runs meet in one agreed database of the
//! server. They die with the session: nothing is left to clear.
//! <https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS>

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join4;
use tokio::time::timeout;

use crate::engine::pool::Close;
use crate::engine::{Holder, LockAttempt, RunIdentity};
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::Tenant;

use super::fault::words;
use super::pooler::{Way, probe, probe_with};
use super::session::{Key, Session};
use super::sql::PG_CATALOG_ALONE;
use super::{Postgres, work};

/// How long the lock's session may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Lets the server notice within a minute that the runner's machine is gone; by default it takes two hours.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#RUNTIME-CONFIG-TCP-SETTINGS>
const NOTICES_DEATH: &str =
    "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";

/// The session that holds, or asks for, the locks.
pub(super) struct Locked {
    pub session: Session,
    /// Whose.
    run: RunIdentity,
    /// The keys that are held; none while they are asked for.
    keys: Vec<i64>,
}

/// Returns the advisory lock's key for a database.
///
/// SipHash-1-3 with zero keys over this text. Two versions of mtmigrate must agree on it, so it can never change.
pub(super) fn key(database: &str) -> i64 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(b"mtmigrate/1\0");
    hasher.write(database.as_bytes());
    hasher.finish() as i64
}

pub(super) async fn try_lock(server: &Postgres, run: &RunIdentity, tenants: &[&Tenant]) -> Result<LockAttempt> {
    let Some(first) = tenants.first() else { return Ok(LockAttempt::Taken) };
    let databases: BTreeSet<&str> = tenants.iter().map(|t| t.datasource.database()).collect();
    let keys: Vec<i64> = databases.iter().map(|database| key(database)).collect();
    let mut locked = server.locked.lock().await;
    if let Some(Locked { run, keys, .. }) = locked.as_ref()
        && !keys.is_empty()
    {
        // A session may take its own advisory lock twice, so another run of this process would not be kept out.
        let description = format!("run {} of this process", run.run_id);
        return Ok(LockAttempt::Held(Holder { description, run_id: Some(run.run_id.clone()) }));
    }
    if locked.is_none() {
        let at = Key { access: first.server_access().clone(), database: server.server.lock_database.clone() };
        let name = server.session_name();
        let open = || server.pool.beside(|| Session::open(&server.door, &at, &name));
        let opened = open().await;
        let mut session = opened.map_err(|diagnostic| no_lock_session(server, diagnostic))?;
        if session.way != Way::Direct {
            server.doubtful(&at);
        }
        let doubtful = std::mem::take(&mut *server.doubtful.lock().unwrap_or_else(PoisonError::into_inner));
        if !doubtful.is_empty() {
            session = match look_into(server, &at, &doubtful, session).await {
                Ok(Some(session)) => session,
                Ok(None) => open().await.map_err(|diagnostic| no_lock_session(server, diagnostic))?,
                Err(shared) => {
                    // The next try for the lock looks again.
                    doubtful.iter().for_each(|key| server.doubtful(key));
                    return Err(no_lock_session(server, shared));
                }
            };
        }
        *locked = Some(Locked { session, run: run.clone(), keys: Vec::new() });
    }
    let answer = match locked.as_mut() {
        Some(asked) => ask(asked, &keys, &databases).await,
        None => Ok(LockAttempt::Taken),
    };
    match answer {
        Ok(answer) => Ok(answer),
        Err(why) => {
            // The session may be half way through: give it up, and with it whatever it took.
            if let Some(broken) = locked.take() {
                broken.session.close().await;
            }
            Err(Diagnostic::new(
                Code::LOCK_FAILED,
                format!("the run lock cannot be taken on server {}", server.server.name),
            )
            .cause(why)
            .state("nothing was changed")
            .hint("run `mtmigrate up` again"))
        }
    }
}

/// Looks for poolers before each of these keys. Returns the lock's session if it is still there: where another database is
/// looked into, its place is needed.
async fn look_into(server: &Postgres, at: &Key, doubtful: &[Key], session: Session) -> Result<Option<Session>> {
    if doubtful.iter().all(|key| key == at) {
        return probe_with(server, at, session).await.map(Some);
    }
    session.close().await;
    for key in doubtful {
        probe(server, key).await?;
    }
    Ok(None)
}

/// Polls: a session that is blocked in `pg_advisory_lock` deadlocks with `CREATE INDEX CONCURRENTLY` in the holder.
async fn ask(locked: &mut Locked, keys: &[i64], databases: &BTreeSet<&str>) -> Result<LockAttempt, String> {
    let array = array(keys);
    let take = format!("SELECT k FROM unnest({array}) AS k WHERE NOT pg_catalog.pg_try_advisory_lock(k)");
    let databases: Vec<&str> = databases.iter().copied().collect();
    let at_work = work::at_work_query(&databases);
    // In one flight, and answered in this order: who is at work is seen when the locks are taken. The first is refused by
    // old servers, which have no such limit.
    let (_, _, refused, orphans) = join4(
        asking(&locked.session, "SET idle_session_timeout = 0"),
        asking(&locked.session, NOTICES_DEATH),
        asking(&locked.session, &take),
        asking(&locked.session, &at_work),
    )
    .await;
    let (refused, mut orphans) = (refused?, orphans?);
    if !refused.is_empty() {
        orphans.clear();
    }
    if refused.is_empty() && orphans.is_empty() {
        locked.keys = keys.to_vec();
        return Ok(LockAttempt::Taken);
    }
    asking(&locked.session, "SELECT pg_catalog.pg_advisory_unlock_all()").await?;
    locked.keys.clear();
    if let Some(row) = orphans.first() {
        return Ok(LockAttempt::Busy(Holder { description: work::at_work(row), run_id: None }));
    }
    let refused: Vec<i64> = refused.iter().filter_map(|row| row.first()?.as_deref()?.parse().ok()).collect();
    let found = asking(&locked.session, &holder_query(&refused)).await?;
    Ok(LockAttempt::Held(holder(found.first().map_or(&[][..], Vec::as_slice))))
}

async fn asking(session: &Session, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let sql = format!("{PG_CATALOG_ALONE}{sql}");
    match timeout(ANSWER, session.ask(&sql)).await {
        Ok(answer) => answer.map_err(|error| words(&error)),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

fn array(keys: &[i64]) -> String {
    let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
    format!("'{{{}}}'::int8[]", keys.join(","))
}

/// A bigint key stands in `pg_locks` as two halves, with objsubid 1.
/// <https://www.postgresql.org/docs/current/view-pg-locks.html>
fn holder_query(keys: &[i64]) -> String {
    format!(
        "SELECT a.application_name, a.pid::text, a.usename::text, a.client_addr::text, \
         to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid() \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
         AND ((l.classid::int8 << 32) | l.objid::int8) = ANY ({}) ORDER BY a.backend_start LIMIT 1",
        array(keys)
    )
}

fn holder(row: &[Option<String>]) -> Holder {
    let cell = |i: usize| row.get(i).and_then(Option::as_deref).unwrap_or("?");
    if row.is_empty() {
        return Holder { description: "a session that has just ended".into(), run_id: None };
    }
    let run_id = cell(0).strip_prefix("mtmigrate ").and_then(|rest| rest.split(' ').next());
    let who = match run_id {
        Some(run_id) => {
            format!("run {run_id}{}", cell(0).rsplit_once(' ').map_or(String::new(), |(_, p)| format!(" ({p})")))
        }
        None => format!("`{}`", cell(0)),
    };
    Holder {
        description: format!(
            "{who}, server process {} of user {} from {}, since {} UTC",
            cell(1),
            cell(2),
            cell(3),
            cell(4)
        ),
        run_id: run_id.map(str::to_owned),
    }
}

fn no_lock_session(server: &Postgres, diagnostic: Diagnostic) -> Diagnostic {
    let elsewhere = [Code::UNREACHABLE, Code::NO_CONNECTION, Code::POOLED, Code::NO_PASSWORD, Code::NO_HOST];
    if elsewhere.contains(&diagnostic.code()) {
        return diagnostic;
    }
    let database = &server.server.lock_database;
    Diagnostic::new(Code::LOCK_FAILED, format!("the run lock cannot be taken on server {}", server.server.name))
        .cause(diagnostic.one_line())
        .state("nothing was changed")
        .hint(format!(
            "all runs meet in database `{database}` there: let the user connect to it, or name another one that every \
             run may use with `lock_database:` under the server"
        ))
}

pub(super) async fn check(server: &Postgres) -> Result<()> {
    let locked = server.locked.lock().await;
    let Some(Locked { session, keys, .. }) = locked.as_ref() else { return Ok(()) };
    let sql = "SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted \
               AND pid = pg_catalog.pg_backend_pid()";
    let why = match asking(session, sql).await {
        Ok(rows) => {
            let held = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0);
            if held >= keys.len() {
                return Ok(());
            }
            format!("{held} of its {} locks are left", keys.len())
        }
        Err(why) => why,
    };
    let lost = format!("the run lock on server {} was lost", server.server.name);
    Err(Diagnostic::new(Code::LOCK_LOST, lost).cause(why))
}

pub(super) async fn unlock(server: &Postgres) {
    if let Some(locked) = server.locked.lock().await.take() {
        server.unflushed.unlocked();
        locked.session.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_database_never_changes() {
        assert_eq!(key("shared"), 743379993312173409);
        assert_ne!(key("shared"), key("Shared"));
    }

    #[test]
    fn a_holder_is_named_by_run_process_host_and_time() {
        let row = ["mtmigrate 0192-aa 4711@ci-7", "812", "migrator", "10.0.0.9", "2026-11-21 09:30:00"];
        let found = holder(&row.map(|cell| Some(cell.to_owned())));
        assert_eq!(found.run_id.as_deref(), Some("0192-aa"));
        assert_eq!(
            found.description,
            "run 0192-aa (4711@ci-7), server process 812 of user migrator from 10.0.0.9, since 2026-11-21 09:30:00 UTC"
        );
    }
}
