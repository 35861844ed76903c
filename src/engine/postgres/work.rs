//! The work lock: held by every session that runs a text statement by statement, until that session ends.
//!
//! The server goes on with a statement whose runner is dead, and a run that lost its lock may not know it yet. So a run
//! takes no lock while another one's session is at work ([`super::lock`]), and a session that begins sees that nobody else
//! wrote to its tenant's journal meanwhile.

use std::hash::Hasher;
use std::time::{Duration, Instant};

use crate::engine::Order;
use crate::engine::stepwise::{Fault, failed, unmoved};
use crate::engine::tables::JOURNAL;
use crate::error::Code;

use super::fault;
use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, literal, table};

/// The first half of the lock's key: `mtwk`. Two versions of mtmigrate must agree on it, so it can never change.
pub(super) const FAMILY: i32 = 0x6d74_776b;

/// The pause between two tries.
const POLL: Duration = Duration::from_millis(100);

/// The longest wait where the order's locks are waited for without a limit.
const LONGEST: Duration = Duration::from_secs(50);

/// Returns the second half of the lock's key for a schema: SipHash-1-3 with zero keys over its name, cut to 32 bits.
/// Likewise fixed. Two schemas with one key only wait for each other.
fn key(schema: &str) -> i32 {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(schema.as_bytes());
    hasher.finish() as i32
}

/// Takes the work lock, and sees that nobody else wrote to the journal since the run read it.
///
/// Polls: a session that waits inside a statement holds up `CREATE INDEX CONCURRENTLY` in the one that it waits for.
///
/// # Errors
/// `MT303`.
pub(super) async fn begin(order: &Order<'_>, session: &Session, schema: &str) -> Result<(), Fault> {
    let lost = |error: &tokio_postgres::Error| match fault::is_lost(error) {
        true => Fault::Lost(fault::lost(order, error)),
        false => {
            let (diagnostic, retry) = fault::refused(order, error);
            Fault::Refused { diagnostic, retry }
        }
    };
    let limit = Some(order.limits.lock_timeout).filter(|limit| !limit.is_zero()).unwrap_or(LONGEST);
    let began = Instant::now();
    while !take(session, schema).await.map_err(|error| lost(&error))? {
        if began.elapsed() >= limit || order.cancel.is_cancelled() {
            return Err(still_at_work(order, session).await);
        }
        tokio::time::sleep(POLL).await;
    }
    let there = match order.tables.journal {
        Some(_) => true,
        // Made since the survey, by a try of this order before this one or by somebody else?
        None => {
            let made = format!("SELECT pg_catalog.to_regclass({})", literal(&table(schema, JOURNAL)));
            cell(&session.ask(&made).await.map_err(|error| lost(&error))?).is_some()
        }
    };
    let rows = match there {
        true => {
            let last = format!("SELECT id, run_id FROM {} ORDER BY id DESC LIMIT 1", table(schema, JOURNAL));
            session.ask(&last).await.map_err(|error| lost(&error))?
        }
        false => Vec::new(),
    };
    let last = match rows.first().map(Vec::as_slice) {
        Some([Some(id), Some(run_id)]) => id.parse().ok().map(|id| (id, run_id.as_str())),
        _ => None,
    };
    unmoved(order, last)
}

/// Tries once to take the work lock.
pub(super) async fn take(session: &Session, schema: &str) -> Result<bool, tokio_postgres::Error> {
    let rows = session.ask(&format!("SELECT pg_catalog.pg_try_advisory_lock({FAMILY}, {})", key(schema))).await?;
    Ok(cell(&rows) == Some("t"))
}

fn cell(rows: &[Vec<Option<String>>]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}

async fn still_at_work(order: &Order<'_>, session: &Session) -> Fault {
    let question = at_work_query(&[order.tenant.datasource.database()]);
    let rows = session.ask(&format!("{PG_CATALOG_ALONE}{question}")).await.unwrap_or_default();
    let who = rows.first().map_or("a session that has just ended".to_owned(), |row| at_work(row));
    let diagnostic = failed(order, Code::STILL_AT_WORK)
        .cause(who)
        .hint("wait until it has ended, or end that session, and run `mtmigrate up` again");
    Fault::Refused { diagnostic, retry: false }
}

/// Asks which session is at work in one of these databases, whatever database it is asked in.
/// <https://www.postgresql.org/docs/current/view-pg-locks.html>
pub(super) fn at_work_query(databases: &[&str]) -> String {
    let databases: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    format!(
        "SELECT l.pid::text, d.datname::text, a.usename::text, a.client_addr::text, \
         EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::int8::text, \
         pg_catalog.left(pg_catalog.regexp_replace(a.query, '\\s+', ' ', 'g'), 100) \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database \
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid::int8 = {FAMILY} \
         AND l.pid <> pg_catalog.pg_backend_pid() AND d.datname::text = ANY (ARRAY[{}]::text[]) LIMIT 1",
        databases.join(", ")
    )
}

/// Describes a row of [`at_work_query`].
pub(super) fn at_work(row: &[Option<String>]) -> String {
    let cell = |i: usize| row.get(i).and_then(Option::as_deref).unwrap_or("?");
    format!(
        "server process {pid} in database `{}` of user {} from {}, for {} s at: {}; `SELECT pg_terminate_backend({pid})` \
         ends it",
        cell(1),
        cell(2),
        cell(3),
        cell(4),
        cell(5),
        pid = cell(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_work_lock_never_changes() {
        assert_eq!(FAMILY, 1_836_349_291);
        assert_eq!(key("public"), -896_808_724);
        assert_ne!(key("public"), key("Public"));
    }
}
