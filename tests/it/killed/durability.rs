//! What is committed asynchronously within a step, and a PostgreSQL server that crashes before it is on its disk.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use super::random::Random;
use super::{LOCK_WAIT, assert_applied_once};
use crate::support::{Fleet, Options, Postgres};

/// What is committed stays in the server's memory until somebody flushes it, and goes with its processes. With
/// `wal_level=minimal` a crash also takes numbers of a new table's sequence back, whoever committed how.
const FORGETS: &[(&str, &str)] =
    &[("wal_writer_delay", "10s"), ("wal_writer_flush_after", "1GB"), ("wal_level", "replica")];

/// How often a server is killed during a run.
const KILLS: usize = 6;

/// The tenants of the first server, then those of the second.
const TENANTS: [[&str; 4]; 2] = [["a", "b", "c", "d"], ["e", "f", "g", "h"]];

const CHANGESETS: usize = 60;

fn server() -> Postgres {
    Postgres::start(Options { conf: FORGETS, ..Options::default() })
}

fn versions(fleet: &Fleet, tenant: &str) -> BTreeSet<usize> {
    let there = fleet.query(tenant, "SELECT to_regclass('refinery_schema_history')");
    if there[0][0].is_none() {
        return BTreeSet::new();
    }
    let rows = fleet.query(tenant, "SELECT version FROM refinery_schema_history");
    rows.into_iter().filter_map(|row| row[0].as_ref()?.parse().ok()).collect()
}

/// Nobody has a version while another lacks the one before it.
#[track_caller]
fn assert_lockstep(fleet: &Fleet) -> usize {
    let has: Vec<usize> = TENANTS
        .as_flattened()
        .iter()
        .map(|tenant| {
            let has = versions(fleet, tenant);
            assert!(has.iter().copied().eq(1..=has.len()), "{tenant}: {has:?}");
            has.len()
        })
        .collect();
    let (least, most) = (has.iter().min().copied().unwrap_or(0), has.iter().max().copied().unwrap_or(0));
    assert!(most - least <= 1, "not in lockstep: {has:?}");
    least
}

/// Covers row 17 of docs/failures.md.
#[test]
fn a_postgres_server_that_crashes_before_a_commit_is_on_its_disk_breaks_no_lockstep() {
    let servers = [server(), server()];
    let mut fleet = Fleet::new();
    for (server, tenants) in servers.iter().zip(TENANTS) {
        for tenant in tenants {
            fleet.postgres_database(tenant, server);
        }
        // What a crash must not take: the databases themselves.
        server.execute("postgres", "CHECKPOINT");
    }
    for no in 1..=CHANGESETS {
        fleet.changeset(
            &format!("V{no}__t{no}.sql"),
            &format!("CREATE TABLE t{no} (id int);\nINSERT INTO t{no} VALUES ({no});"),
        );
    }
    let mut random = Random::new();
    for kill in 0..KILLS {
        let running = fleet.spawn(&["up", "--verify", "run", "--lock-wait", LOCK_WAIT]);
        sleep(random.millis(150, 900));
        let killed = &servers[kill % 2];
        killed.kill();
        let said = running.wait();
        killed.restart();
        let least = assert_lockstep(&fleet);
        if said.status == 0 {
            assert_eq!(least, CHANGESETS, "{said}");
            break;
        }
        assert!([1, 5].contains(&said.status), "{said}");
    }
    fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
    assert_applied_once(&fleet, TENANTS.as_flattened(), CHANGESETS);
    for tenant in TENANTS.as_flattened() {
        let rows = fleet.query(tenant, "SELECT count(*) FROM t1 JOIN t60 ON t1.id = 1 AND t60.id = 60");
        assert_eq!(rows[0][0].as_deref(), Some("1"), "{tenant}");
    }
}

/// Covers row 17 of docs/failures.md.
#[test]
fn what_a_run_says_to_be_applied_survives_the_crash_of_its_server() {
    let server = server();
    let mut fleet = Fleet::new();
    for tenant in TENANTS[0] {
        fleet.postgres_database(tenant, &server);
    }
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)").changeset("V2__rows.sql", "INSERT INTO t VALUES (1)");
    server.execute("postgres", "CHECKPOINT");
    for (verify, newest) in [("off", 2), ("run", 3)] {
        fleet.run(&["up", "--verify", verify]).expect(0);
        server.kill();
        server.restart();
        for tenant in TENANTS[0] {
            assert_eq!(versions(&fleet, tenant).len(), newest, "{tenant} after --verify {verify}");
        }
        fleet.changeset("V3__more.sql", "INSERT INTO t VALUES (2)");
    }
}

/// Covers row 17 of docs/failures.md.
#[test]
fn what_went_statement_by_statement_survives_too_whatever_the_text_and_the_database_say() {
    let server = server();
    let mut fleet = Fleet::new();
    for tenant in TENANTS[0] {
        fleet.postgres_database_named(tenant, &server, tenant);
    }
    for tenant in ["a", "b"] {
        server.execute("postgres", &format!("ALTER DATABASE {tenant} SET synchronous_commit = off"));
    }
    let text = "-- mtmigrate: no-transaction\nSET synchronous_commit = off;\nCREATE TABLE t (id int);\nINSERT INTO t VALUES (1);";
    fleet.changeset("V1__t.sql", text).changeset("V2__more.sql", "INSERT INTO t VALUES (2)");
    server.execute("postgres", "CHECKPOINT");
    for target in ["1", "2"] {
        fleet.run(&["up", "--verify", "off", "--to", target]).expect(0);
        server.kill();
        server.restart();
        for tenant in TENANTS[0] {
            assert_eq!(versions(&fleet, tenant).len().to_string(), target, "{tenant}");
            let rows = fleet.query(tenant, "SELECT count(*) FROM t");
            assert_eq!(rows[0][0].as_deref(), Some(target), "{tenant}");
        }
    }
}

/// A commit by itself, without the flush, is not on the disk: what this module relies on.
#[test]
fn an_asynchronous_commit_is_lost_with_the_server() {
    let server = server();
    server.execute("postgres", "CREATE TABLE t (id int); CHECKPOINT");
    sleep(Duration::from_millis(100));
    server.execute("postgres", "BEGIN; SET LOCAL synchronous_commit = off; INSERT INTO t VALUES (1); COMMIT");
    server.kill();
    server.restart();
    assert_eq!(server.query("postgres", "SELECT count(*) FROM t")[0][0].as_deref(), Some("0"));
}
