//! The runner is killed while it works on PostgreSQL: its backend goes on for a moment.

use std::thread::sleep;

use super::random::Random;
use super::{KILLS, LOCK_WAIT, TENANTS, assert_applied_once, end_state, wait_for_rows, wait_until};
use crate::limits::blocker::Blocker;
use crate::support::{Fleet, Running, postgres};

/// Six databases, six changesets that take a moment each.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    for tenant in TENANTS {
        fleet.postgres_database(tenant, postgres(1));
    }
    for version in 1..=6 {
        let text = format!(
            "CREATE TABLE t{version} (id int PRIMARY KEY);
             SELECT pg_sleep(0.04);
             INSERT INTO t{version} SELECT generate_series(1, 50);
             SELECT pg_sleep(0.04);
             CREATE INDEX i{version} ON t{version} (id);\n"
        );
        fleet.changeset(&format!("V{version}__t{version}.sql"), &text);
    }
    fleet
}

#[test]
fn a_runner_killed_on_postgres_at_any_moment_leaves_databases_that_the_next_up_brings_to_the_end() {
    let twin = fleet();
    twin.run(&["up"]).expect(0);
    let expected = end_state(&twin, &TENANTS);
    let mut random = Random::new();
    let mut kills = 0;
    while kills < KILLS {
        let fleet = fleet();
        for _ in 0..4 {
            let running = fleet.spawn(&["up", "--lock-wait", LOCK_WAIT]);
            sleep(random.millis(20, 700));
            let output = running.kill_9();
            if output.status != 128 + 9 {
                output.expect(0);
                break;
            }
            kills += 1;
        }
        fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
        assert_applied_once(&fleet, &TENANTS, 6);
        assert_eq!(end_state(&fleet, &TENANTS), expected);
    }
}

/// A database with a changeset that sleeps this long in its middle, and `up` killed while it sleeps. Where the machine is
/// too slow for so short a sleep, another one is tried.
fn killed_while_it_sleeps(seconds: f32, applied_before: bool) -> Fleet {
    (0..40).find_map(|_| try_to_kill_while_it_sleeps(seconds, applied_before)).expect("a kill in time")
}

fn try_to_kill_while_it_sleeps(seconds: f32, applied_before: bool) -> Option<Fleet> {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(1));
    if applied_before {
        fleet.changeset("V1__first.sql", "CREATE TABLE first (id int)");
        fleet.run(&["up"]).expect(0);
    }
    // Nothing in it fails the second time: a text that runs twice is seen by its row alone.
    fleet.changeset(
        "V2__long.sql",
        &format!(
            "CREATE TABLE IF NOT EXISTS t (at timestamptz DEFAULT clock_timestamp());
             INSERT INTO t DEFAULT VALUES;
             SELECT pg_sleep({seconds});"
        ),
    );
    let mut running = fleet.spawn(&["up"]);
    wait_until("it sleeps or has ended", || !fleet.query("a", ASLEEP).is_empty() || !running.is_running());
    (running.kill_9().status == 128 + 9).then_some(fleet)
}

const ASLEEP: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";

fn wait_for_sleep(fleet: &Fleet) {
    wait_for_rows(fleet, "a", ASLEEP);
}

#[track_caller]
fn assert_ran_once(fleet: &Fleet) {
    assert_eq!(fleet.query("a", "SELECT count(*) FROM t"), [[Some("1".to_string())]]);
    let row = "SELECT count(*) FROM refinery_schema_history WHERE version = 2";
    assert_eq!(fleet.query("a", row), [[Some("1".to_string())]]);
    let row = "SELECT count(*) FROM mtmigrate_journal WHERE version = 2 AND outcome = 'applied'";
    assert_eq!(fleet.query("a", row), [[Some("1".to_string())]]);
}

/// Covers row 2 of docs/failures.md.
#[test]
fn an_orphaned_backend_in_a_long_statement_is_ended_by_its_server_and_holds_nobody_up() {
    for applied_before in [false, true] {
        let mut fleet = killed_while_it_sleeps(100.0, applied_before);
        fleet.edit(
            "V2__long.sql",
            "CREATE TABLE IF NOT EXISTS t (at timestamptz DEFAULT clock_timestamp());
             INSERT INTO t DEFAULT VALUES;",
        );
        // It would hold its lock for longer than that.
        fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
        assert_ran_once(&fleet);
    }
}

#[test]
fn an_orphaned_backend_that_still_commits_is_not_repeated() {
    for applied_before in [true, false] {
        // Shorter than the server's look at its client: it ends and commits after its runner is gone.
        let fleet = killed_while_it_sleeps(0.45, applied_before);
        fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
        assert_ran_once(&fleet);
    }
}

/// A table whose index is being built concurrently, held up by a transaction, when the runner is killed.
fn killed_while_it_builds_an_index() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(1));
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int, ref text); INSERT INTO orders VALUES (1, 'A')");
    fleet.run(&["up"]).expect(0);
    fleet.changeset(
        "V2__index.sql",
        "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS orders_ref ON orders (ref);\n",
    );
    let writer = Blocker::writing(&fleet, "a", "orders");
    let running = fleet.spawn(&["up"]);
    // The index is there, not valid, and waits for the transaction.
    wait_for_rows(&fleet, "a", "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('orders_ref')::oid");
    assert_eq!(running.kill_9().status, 128 + 9);
    wait_for_end_of_sessions(&fleet);
    writer.leave();
    let valid = fleet.query("a", "SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_ref'::regclass");
    assert_eq!(valid, [[Some("f".to_string())]], "the kill came too late");
    fleet
}

fn wait_for_end_of_sessions(fleet: &Fleet) {
    let none = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND application_name LIKE 'mtmigrate%')";
    wait_for_rows(fleet, "a", none);
}

/// Covers row 18 of docs/failures.md.
#[test]
fn an_index_left_invalid_by_a_killed_runner_is_noticed_though_if_not_exists_hides_it() {
    let fleet = killed_while_it_builds_an_index();
    let before = fleet.dump("a");
    let stopped = fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(6);
    let type_this = "index orders_ref is there and is not valid: its building was interrupted. Type \
                     `DROP INDEX CONCURRENTLY \"orders_ref\"`, then mark the statement undone";
    for said in ["MT211", "V2__index", "tenant a", "statement 1 of 1", type_this] {
        assert!(stopped.stderr.contains(said), "no {said:?} in {stopped}");
    }
    assert_eq!(fleet.dump("a"), before);

    // A person says: it had no effect. It had.
    fleet.run(&["repair", "--tenant", "a", "--mark-undone", "--reason", "no such index?"]).expect(0);
    let noticed = fleet.run(&["up"]).expect(3);
    assert!(noticed.stderr.contains("index `orders_ref` is `invalid`, expected `valid`"), "{noticed}");
    let noticed = fleet.run(&["up", "--verify", "off"]).expect(6);
    assert!(noticed.stderr.contains("MT208") && noticed.stderr.contains("orders_ref"), "{noticed}");
    let history = "SELECT version FROM refinery_schema_history ORDER BY version";
    assert_eq!(fleet.query("a", history), [[Some("1".to_string())]]);

    fleet.execute("a", "REINDEX INDEX orders_ref");
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.query("a", history).len(), 2);
    fleet.run(&["status", "--check"]).expect(0);
}

/// Covers rows 1, 2 of docs/failures.md.
#[test]
fn two_runners_killed_one_after_the_other_leave_no_lock() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(1)).changeset("V1__a.sql", "SELECT pg_sleep(60)");
    for _ in 0..3 {
        let running: Running = fleet.spawn(&["up", "--lock-wait", LOCK_WAIT]);
        wait_for_sleep(&fleet);
        running.kill_9();
        wait_for_end_of_sessions(&fleet);
    }
    fleet.edit("V1__a.sql", "CREATE TABLE a (id int)");
    fleet.run(&["up", "--lock-wait", "0"]).expect(0);
}
