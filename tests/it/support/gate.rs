//! Texts that are at work until the test lets them end: whatever is to happen meanwhile has all the time it needs.

use std::time::{Duration, Instant};

use super::fleet::Place;
use super::{Fleet, Kind};

/// The longest wait for what a test waits for by looking again and again. Nothing is as slow as that.
const LIMIT: Duration = Duration::from_secs(90);

impl Kind {
    /// A statement that is at work until [`Fleet::open_gate`], with nothing changed. SQLite has none: it works within the
    /// runner and sees nothing of others in its transaction.
    pub fn gate(self) -> &'static str {
        match self {
            Kind::Schema | Kind::Database => {
                "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'gate_is_open') LOOP \
                 PERFORM pg_sleep(0.05); END LOOP; END $$;"
            }
            Kind::MariaDb => {
                "BEGIN NOT ATOMIC WHILE NOT EXISTS (SELECT 1 FROM information_schema.schemata WHERE schema_name = \
                 CONCAT('open_', MD5(DATABASE()))) DO DO SLEEP(0.05); END WHILE; END;"
            }
            Kind::Sqlite => unreachable!("no gate on SQLite"),
        }
    }
}

impl Fleet {
    /// Lets the [`Kind::gate`] of a tenant's database end, and all that are to come.
    #[track_caller]
    pub fn open_gate(&self, tenant: &str) {
        match self.place(tenant) {
            Place::Postgres { server, database, .. } => {
                server.execute(database, "CREATE SCHEMA IF NOT EXISTS gate_is_open");
            }
            Place::MariaDb { server, database } => {
                // A name of its own may be as long as names can be.
                let open = format!("CONCAT('CREATE DATABASE IF NOT EXISTS open_', MD5('{database}'))");
                server.execute("", &format!("EXECUTE IMMEDIATE {open}"));
            }
            Place::Sqlite(_) => unreachable!("no gate on SQLite"),
        }
    }

    /// Waits until a text of a tenant's database stands before its gate.
    #[track_caller]
    pub fn wait_at_gate(&self, tenant: &str) {
        let at_gate = match self.place(tenant) {
            Place::Postgres { .. } => {
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
            }
            Place::MariaDb { .. } => {
                "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User sleep'"
            }
            Place::Sqlite(_) => unreachable!("no gate on SQLite"),
        };
        wait_until(at_gate, || !self.query(tenant, at_gate).is_empty());
    }
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
