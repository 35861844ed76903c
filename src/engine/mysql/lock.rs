//! The run lock: `GET_LOCK` for each database, on a connection of its own.
//!
//! These locks are the server's, not a database's; they live as long as their session, so a killed runner leaves
//! nothing to clear. <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html#function_get-lock>,
//! <https://mariadb.com/kb/en/get_lock/>.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::pool::Close;
use crate::engine::tables::attempt;
use crate::engine::{Holder, JournalFormat, LockAttempt, RunIdentity};
use crate::error::{Code, Diagnostic, Result, short};
use crate::tenant::{Access, Tenant};

use super::link::{ANSWER_LIMIT, Cells, Link, Trouble};
use super::{MySqlServer, fault, sql};

/// How much of a statement is shown, in characters.
const STATEMENT_LENGTH: usize = 100;

/// How many locks one question takes or checks.
const CHUNK: usize = 100;

/// How long the giving back may take: a server that does not answer frees the locks by itself.
const RELEASED: Duration = Duration::from_secs(5);

/// The first MySQL whose second `GET_LOCK` keeps the first lock (MariaDB since 10.0.2, which counts higher).
const SEVERAL_LOCKS: (u16, u16, u16) = (5, 7, 5);

/// Locks that are held, and the connection that they live on.
pub(super) struct Held {
    pub link: Link,
    pub access: Arc<Access>,
    names: Vec<String>,
}

/// Returns the name of a database's run lock.
fn lock_name(database: &str, folds_case: bool) -> String {
    sql::lock_name("mtmigrate:", database, folds_case)
}

/// Why not all locks could be taken: the first that stands in the way.
struct InTheWay<'t> {
    name: String,
    tenant: &'t Tenant,
    /// Whether it is the work lock of a session, and not a run's lock.
    orphan: bool,
}

/// Tries once to take the locks of these tenants' databases, all or nothing.
pub(super) async fn try_lock(server: &MySqlServer, run: &RunIdentity, tenants: &[&Tenant]) -> Result<LockAttempt> {
    let mut slot = server.lock.lock().await;
    if let Some(before) = slot.take() {
        before.link.close().await;
    }
    let Some(first) = tenants.first() else { return Ok(LockAttempt::Taken) };
    let access = first.server_access();
    let name = run.session_name();
    let mut link = server.pool.beside(|| server.connector.connect(access, Some(&name))).await?;
    let taken = take(server, &mut link, tenants).await;
    match taken {
        Ok(Ok(names)) => {
            *slot = Some(Held { link, access: access.clone(), names });
            Ok(LockAttempt::Taken)
        }
        Ok(Err(InTheWay { name, tenant, orphan })) => {
            let attempt = match orphan {
                true => LockAttempt::Busy(orphan_of(&mut link, tenant).await),
                false => LockAttempt::Held(holder(&mut link, &name, tenant).await),
            };
            link.close().await;
            Ok(attempt)
        }
        Err(diagnostic) => {
            link.close().await;
            Err(diagnostic)
        }
    }
}

/// Checks that the locks are still held; without any, answers that they are.
pub(super) async fn check(server: &MySqlServer) -> Result<()> {
    let mut slot = server.lock.lock().await;
    let Some(held) = slot.as_mut() else { return Ok(()) };
    let mut lost = None;
    for names in held.names.chunks(CHUNK) {
        let ours = names.iter().map(|name| format!("IS_USED_LOCK({}) <=> CONNECTION_ID()", sql::literal(name)));
        let question = format!("SELECT {}", ours.collect::<Vec<_>>().join(" AND "));
        match held.link.ask(&question, ANSWER_LIMIT).await {
            Ok(sets) => {
                if cell(sets).as_deref() != Some("1") {
                    lost = Some("another session may hold it now".to_owned());
                }
            }
            Err(Trouble::Refused { error, .. }) => lost = Some(fault::server_words(&error)),
            Err(Trouble::Lost(cause)) => lost = Some(cause),
        }
        if lost.is_some() {
            break;
        }
    }
    match lost {
        None => Ok(()),
        Some(cause) => {
            if let Some(held) = slot.take() {
                held.link.close().await;
            }
            Err(Diagnostic::new(Code::LOCK_LOST, format!("the run lock on server {} was lost", server.shown()))
                .cause(cause)
                .hint("run `mtmigrate up` again: finished tenants are skipped"))
        }
    }
}

/// Gives the locks back.
pub(super) async fn unlock(server: &MySqlServer) {
    if let Some(mut held) = server.lock.lock().await.take() {
        // So that the next run finds them free at once; the end of the session would free them a little later.
        // Servers before MySQL 5.7.5 and MariaDB 10.5.2 do not know the function, and the session's end is enough.
        let _ = held.link.ask("DO RELEASE_ALL_LOCKS()", RELEASED).await;
        held.link.close().await;
    }
}

/// Takes the locks in order of name; answers the names, or the first that somebody else holds, and whose it is; or a
/// database in which a session is still at work for a run that is gone.
///
/// Two runs that try in the same order and stop at the first held lock never both fail because of each other. CASE
/// tries one after the other and stops there; a lock that cannot be asked for (NULL) counts as -1.
async fn take<'t>(
    server: &MySqlServer,
    link: &mut Link,
    tenants: &[&'t Tenant],
) -> Result<Result<Vec<String>, InTheWay<'t>>> {
    let failed = |cause: String| {
        Diagnostic::new(Code::LOCK_FAILED, format!("the run lock on server {} cannot be taken", server.shown()))
            .cause(cause)
    };
    let refused = |trouble| match trouble {
        Trouble::Refused { error, .. } => failed(fault::server_words(&error)),
        Trouble::Lost(cause) => server.connector.unreachable(&cause),
    };
    let opening = format!(
        "SET SESSION wait_timeout={}; SET NAMES utf8mb4; SELECT VERSION(), @@lower_case_table_names, CONNECTION_ID()",
        sql::FOREVER_S
    );
    let opened = link.ask(&opening, ANSWER_LIMIT).await.map_err(refused)?;
    let mut facts = opened.into_iter().flatten().flatten().map(Option::unwrap_or_default);
    let mut next = || facts.next().unwrap_or_default();
    let (version, folds, id) = (next(), next(), next());
    if !is_served_by(link.id(), &id) {
        return Err(pooled(server).cause(format!("connection {} was served as connection {id}", link.id())));
    }
    if link.version() < SEVERAL_LOCKS {
        return Err(failed(format!("server version {version} gives a session one lock only"))
            .hint("MySQL 5.7.5 or MariaDB 10.0.2 and later give several"));
    }
    let mut wanted: Vec<(String, &Tenant)> =
        tenants.iter().map(|tenant| (lock_name(tenant.datasource.database(), folds != "0"), *tenant)).collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.dedup_by(|a, b| a.0 == b.0);
    for chunk in wanted.chunks(CHUNK) {
        let tries = chunk.iter().enumerate().map(|(at, (name, tenant))| {
            let (lock, work) = (sql::literal(name), sql::work_lock(tenant.datasource.database()));
            format!(
                "WHEN COALESCE(GET_LOCK({lock}, 0), -1) <> 1 THEN {at} WHEN IS_USED_LOCK({work}) IS NOT NULL THEN {}",
                at + chunk.len()
            )
        });
        let question = format!("SELECT CASE {} ELSE -1 END", tries.collect::<Vec<_>>().join(" "));
        let answer = link.ask(&question, ANSWER_LIMIT).await.map_err(refused)?;
        let answer = cell(answer).and_then(|cell| cell.parse::<i64>().ok());
        let answer = answer.ok_or_else(|| failed("the server's answer is not understood".into()))?;
        let Ok(answer) = usize::try_from(answer) else { continue };
        let orphan = answer >= chunk.len();
        if let Some((name, tenant)) = chunk.get(answer % chunk.len()) {
            return Ok(Err(InTheWay { name: name.clone(), tenant, orphan }));
        }
    }
    Ok(Ok(wanted.into_iter().map(|(name, _)| name).collect()))
}

/// Whether the session that answers is the one that greeted us. The greeting has room for the lower half of its number.
/// <https://dev.mysql.com/doc/refman/8.4/en/information-functions.html#function_connection-id>
fn is_served_by(greeted: u32, answered: &str) -> bool {
    answered.parse::<u64>().is_ok_and(|id| id as u32 == greeted)
}

/// Says that a proxy answers for the server and gives its sessions to several connections.
fn pooled(server: &MySqlServer) -> Diagnostic {
    Diagnostic::new(
        Code::POOLED,
        format!("a proxy shares sessions between mtmigrate and server {}", server.shown()),
    )
    .state("nothing was changed")
    .hint(
        "name the server's own host and port in tenants.yaml (ProxySQL, MaxScale and their like may stay in front of the \
         application): run lock and settings belong to one session",
    )
}

/// Says who holds a lock, as far as this user may see.
async fn holder(link: &mut Link, name: &str, tenant: &Tenant) -> Holder {
    let database = sql::name(tenant.datasource.database());
    let id = link.ask(&format!("SELECT IS_USED_LOCK({})", sql::literal(name)), ANSWER_LIMIT).await.ok().and_then(cell);
    let Some(id) = id else {
        return Holder {
            description: format!("a session that has just ended; the lock of database {database} is free again"),
            run_id: None,
        };
    };
    let mut description = format!("connection {id}, which locks database {database}");
    let process = process(link, &id).await.map(|process| format!(" {process}"));
    let session = session_name(link, &id).await;
    let run_id = session.as_deref().and_then(|name| name.strip_prefix("mtmigrate ")?.split(' ').next());
    let run_id = run_id.map(str::to_owned);
    let session = session.map(|session| format!(" ({session})"));
    let writer = last_writer(link, tenant).await.map(|writer| format!("; {writer}"));
    for said in [process, session, writer].into_iter().flatten() {
        description.push_str(&said);
    }
    Holder { description, run_id }
}

/// Says which session is still at work in a database, and at what, as far as this user may see.
async fn orphan_of(link: &mut Link, tenant: &Tenant) -> Holder {
    let database = tenant.datasource.database();
    let question = format!("SELECT IS_USED_LOCK({})", sql::work_lock(database));
    let id = link.ask(&question, ANSWER_LIMIT).await.ok().and_then(cell);
    let description = match id {
        Some(id) => at_work(link, &id, database).await,
        None => format!("a session in database {} that has just ended", sql::name(database)),
    };
    Holder { description, run_id: None }
}

/// Describes a session that holds a work lock: `connection 12 in database `a`, at this for 3 s: ALTER …`.
pub(super) async fn at_work(link: &mut Link, id: &str, database: &str) -> String {
    let rows = link.ask("SHOW FULL PROCESSLIST", ANSWER_LIMIT).await.unwrap_or_default().into_iter().flatten();
    let row: Option<Cells> = rows.into_iter().find(|row| row.first().is_some_and(|cell| cell.as_deref() == Some(id)));
    let cell = |at: usize| row.as_ref().and_then(|row| row.get(at)?.as_deref()).unwrap_or_default();
    let mut said = format!("connection {id} in database {}", sql::name(database));
    if row.is_some() {
        let statement = short(&cell(7).split_whitespace().collect::<Vec<_>>().join(" "), STATEMENT_LENGTH);
        said.push_str(&format!(" of user {:?} from {}, for {} s at: {statement}", cell(1), cell(2), cell(5)));
    }
    format!("{said}; `KILL {id}` ends it")
}

async fn process(link: &mut Link, id: &str) -> Option<String> {
    // Without the PROCESS privilege the list holds the user's own sessions only.
    let mut rows = link.ask("SHOW PROCESSLIST", ANSWER_LIMIT).await.ok()?.into_iter().flatten();
    let row: Cells = rows.find(|row| row.first().is_some_and(|cell| cell.as_deref() == Some(id)))?;
    let cell = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    Some(format!("of user {:?} from {}, idle for {} s", cell(1), cell(2), cell(5)))
}

/// Reads how the session named itself, where the performance schema is on.
async fn session_name(link: &mut Link, id: &str) -> Option<String> {
    let id: u64 = id.parse().ok()?;
    let question = format!(
        "SELECT ATTR_VALUE FROM performance_schema.session_account_connect_attrs \
         WHERE PROCESSLIST_ID = {id} AND ATTR_NAME = 'program_name'"
    );
    link.ask(&question, ANSWER_LIMIT).await.ok().and_then(cell)
}

async fn last_writer(link: &mut Link, tenant: &Tenant) -> Option<String> {
    let question = sql::select_journal(tenant.datasource.database(), JournalFormat::One, 0, 1);
    let mut cells = link.ask(&question, ANSWER_LIMIT).await.ok()?.into_iter().flatten().next()?;
    cells.remove(0);
    let last = attempt(&tenant.name, &cells).ok()?;
    Some(format!("last wrote there: run {} of {}@{} at {}", last.run_id, last.who, last.host, last.finished_at))
}

fn cell(sets: Vec<Vec<Cells>>) -> Option<String> {
    sets.into_iter().flatten().next()?.into_iter().next()?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_session_is_known_by_the_lower_half_of_its_number() {
        assert!(is_served_by(7, "7") && is_served_by(7, "4294967303"));
        assert!(!is_served_by(7, "8") && !is_served_by(7, "") && !is_served_by(7, "x"));
    }

    #[test]
    fn the_names_of_locks_never_change_and_fit_the_server() {
        assert_eq!(lock_name("acme", false), "mtmigrate:df5824f31374cf9b128f98ac14cbe2af");
        assert_eq!(lock_name("ACME", true), lock_name("acme", false));
        let names: BTreeSet<_> = ["acme", "Acme", "acme "].map(|name| lock_name(name, false)).into();
        assert_eq!(names.len(), 3);
        assert!(names.iter().all(|name| name.len() <= 64));
        let work = sql::work_lock("acme");
        assert!(work.contains(&sql::literal("mtmigrate:work:df5824f31374cf9b128f98ac14cbe2af")), "{work}");
    }
}
