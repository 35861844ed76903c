//! `kill -9`, of the runner and of the server, in the middle of a step: `up` again reaches the end state of an
//! undisturbed twin, or says what is half done.
//!
//! The moments are random. A failing test prints its seed; `MTMIGRATE_SEED` runs it again.

mod durability;
mod fleet;
mod mariadb;
mod postgres;
mod random;
mod server;
mod sqlite;

pub use crate::support::gate::wait_until;

use crate::support::Fleet;

const TENANTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// How long the next `up` may wait for the lock of a killed one: the server must have noticed, which takes it a second or
/// two. Less than a minute, after which the longest statements end by themselves.
const LOCK_WAIT: &str = "40s";

/// The least kills that must have hit a running `up`, for each engine by itself: `fleet` has fifty over all.
const KILLS: usize = 4;

/// The tenants' contents without what differs between two undisturbed runs: the journal and `applied_on`.
///
/// Drops these: the fleet is at its end.
fn end_state(fleet: &Fleet, tenants: &[&str]) -> Vec<String> {
    let content = |tenant: &&str| {
        fleet.execute(tenant, "DROP TABLE mtmigrate_journal; UPDATE refinery_schema_history SET applied_on = ''");
        fleet.dump(tenant)
    };
    tenants.iter().map(content).collect()
}

/// Every changeset is once in every history, and once in every journal as applied.
#[track_caller]
fn assert_applied_once(fleet: &Fleet, tenants: &[&str], versions: usize) {
    for tenant in tenants {
        let history = fleet.query(tenant, "SELECT version FROM refinery_schema_history");
        let journal = fleet.query(tenant, "SELECT version FROM mtmigrate_journal WHERE outcome = 'applied'");
        assert_eq!((history.len(), journal.len()), (versions, versions), "{tenant}: {history:?} {journal:?}");
    }
}

/// Waits until a query on a tenant has rows.
#[track_caller]
pub fn wait_for_rows(fleet: &Fleet, tenant: &str, sql: &str) {
    wait_until(sql, || !fleet.query(tenant, sql).is_empty());
}
