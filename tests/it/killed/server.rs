//! The server is killed in the middle of a step, and started again.

use std::thread::sleep;

use super::mariadb;
use super::random::Random;
use super::{LOCK_WAIT, TENANTS, assert_applied_once, end_state, wait_for_rows};
use crate::support::{Fleet, MariaDb, Options, Postgres};

fn postgres_fleet(server: &Postgres, sleep: &str) -> Fleet {
    let mut fleet = Fleet::new();
    for tenant in ["a", "b"] {
        fleet.postgres_database(tenant, server);
    }
    fleet
        .changeset("V1__t.sql", "CREATE TABLE t (id int)")
        .changeset("V2__rows.sql", &format!("INSERT INTO t VALUES (1);\nSELECT pg_sleep({sleep});"))
        .changeset("V3__more.sql", "INSERT INTO t VALUES (2)");
    fleet
}

/// Covers row 17 of docs/failures.md.
#[test]
fn a_postgres_server_killed_in_the_middle_of_a_step_is_told_as_unknown_and_the_next_up_reaches_the_end() {
    let server = Postgres::start(Options::default());
    let twin = postgres_fleet(&server, "0");
    twin.run(&["up"]).expect(0);
    let fleet = postgres_fleet(&server, "60");
    let running = fleet.spawn(&["up"]);
    for tenant in ["a", "b"] {
        let asleep = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        wait_for_rows(&fleet, tenant, asleep);
    }
    server.kill();
    let lost = running.wait().expect(1);
    for said in ["MT205", "V2__rows", "lost", "nobody knows"] {
        assert!(lost.stderr.contains(said), "no {said:?} in {lost}");
    }
    fleet.run(&["up"]).expect(5);
    server.restart();
    drop(fleet);
    // The rest needs no sleep; the texts differ from the twin's in nothing else.
    let mut fleet = postgres_fleet(&server, "60");
    let running = fleet.spawn(&["up"]);
    let asleep = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    wait_for_rows(&fleet, "b", asleep);
    server.kill();
    assert_eq!(running.wait().status, 1);
    server.restart();
    fleet.edit("V2__rows.sql", "INSERT INTO t VALUES (1);\nSELECT pg_sleep(0);");
    fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
    assert_applied_once(&fleet, &["a", "b"], 3);
    assert_eq!(end_state(&fleet, &["a", "b"]), end_state(&twin, &["a", "b"]));
}

/// Covers rows 15, 17 of docs/failures.md.
#[test]
fn a_mariadb_server_killed_in_the_middle_of_a_text_leaves_it_half_applied_and_the_next_up_goes_on() {
    let server = MariaDb::start(Options::default());
    let twin = mariadb::fleet(&server);
    twin.run(&["up"]).expect(0);
    let fleet = mariadb::fleet(&server);
    let mut random = Random::new();
    for _ in 0..3 {
        let running = fleet.spawn(&["up", "--lock-wait", LOCK_WAIT]);
        sleep(random.millis(150, 700));
        server.kill();
        let lost = running.wait();
        server.restart();
        if lost.status == 0 {
            break;
        }
        // Not 0, and never silent about what is not known.
        let open = mariadb::uncertain(&fleet);
        let said = lost.stderr.contains("lost") || lost.stderr.contains("cannot reach");
        assert!([1, 5, 6].contains(&lost.status) && said, "{lost}");
        // What an earlier round left half applied a run that did not get past its reading says nothing of.
        if !open.is_empty() && !lost.stderr.contains("nothing was changed") {
            assert_eq!(lost.status, 6, "{open:?} {lost}");
        }
    }
    fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
    assert_applied_once(&fleet, &TENANTS, 6);
    assert_eq!(end_state(&fleet, &TENANTS), end_state(&twin, &TENANTS));
}
