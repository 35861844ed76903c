//! A server dies in the middle of a step, is stopped, hangs, or comes back under two runs.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::{FIRST, LOCK_WAIT, assert_each_once, finish, more};
use crate::killed::wait_until;
use crate::support::kinds::Kind;
use crate::support::{Fleet, MariaDb, Options, Postgres, mariadb, postgres};

/// Two tenants on each of four servers, of which `dying` and `falling` are this test's own; V2 stands before its gate.
fn fleet(dying: &Postgres, falling: &MariaDb) -> Fleet {
    let mut fleet = Fleet::new();
    for number in 1..=2 {
        fleet.postgres_database(&format!("dying{number}"), dying);
        fleet.mariadb(&format!("falling{number}"), falling);
        fleet.postgres_database(&format!("pg{number}"), postgres(0));
        fleet.mariadb(&format!("my{number}"), mariadb(0));
    }
    fleet.changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    gated(&mut fleet, &[Kind::Database, Kind::MariaDb]);
    more(&mut fleet, 3);
    fleet
}

/// Writes V2: it is at work until the gate is open, and then leaves its mark.
fn gated(fleet: &mut Fleet, kinds: &[Kind]) {
    for kind in kinds {
        let text = format!("{}\nINSERT INTO effects VALUES (2);", kind.gate());
        fleet.variant(kind.engine(), "V2__slow.sql", &text);
    }
}

/// Lets the tenants of the servers that live go on.
fn open_gates_but_of(fleet: &Fleet, dead: &str) {
    fleet.names().iter().filter(|name| !name.starts_with(dead)).for_each(|name| fleet.open_gate(name));
}

/// The tenants of the servers that live have V2 and no more.
#[track_caller]
fn assert_others_finished_v2(fleet: &Fleet, dead: &str) {
    for (tenant, versions) in fleet.names().into_iter().filter(|name| !name.starts_with(dead)).map(|name| {
        let versions = fleet.versions(&name);
        (name, versions)
    }) {
        assert_eq!(versions, [1, 2], "{tenant} was in flight and finishes");
    }
}

/// Covers row 17 of docs/failures.md.
/// PostgreSQL's tenants are untouched, the other servers' finish and wait.
#[test]
fn one_of_four_servers_dies_in_a_step_the_others_finish_it_and_the_run_halts_there() {
    let (dying, falling) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    for stop in [Postgres::kill, Postgres::stop_immediate] {
        let fleet = fleet(&dying, &falling);
        let running = fleet.spawn(&["up"]);
        fleet.names().iter().for_each(|tenant| fleet.wait_at_gate(tenant));
        stop(&dying);
        open_gates_but_of(&fleet, "dying");
        let output = running.wait().expect(1);
        assert_others_finished_v2(&fleet, "dying");
        let output = output.says(&["MT205", "V2__slow", "dying1", "dying2", "nobody has V3"]);
        assert!(output.stderr.contains("6 tenants have V2; 2 do not"), "{output}");
        // Still dead: nothing is changed anywhere.
        let before: Vec<String> = ["falling1", "pg1", "my1"].map(|tenant| fleet.dump(tenant)).into();
        fleet.run(&["up"]).expect(5).says(&["MT310", "nothing was changed"]);
        fleet.run(&["status"]).says(&["dying1"]);
        assert_eq!(before, ["falling1", "pg1", "my1"].map(|tenant| fleet.dump(tenant)));
        dying.restart();
        for tenant in ["dying1", "dying2"] {
            assert_eq!(fleet.versions(tenant), [1], "PostgreSQL rolled back");
            fleet.open_gate(tenant);
        }
        fleet.run(&["up"]).expect(0);
        assert_each_once(&fleet, 3);
    }
}

/// Covers rows 15, 17 of docs/failures.md.
/// MariaDB's tenants say where they stand.
#[test]
fn a_mariadb_server_that_falls_in_a_step_leaves_tenants_that_say_where_they_stand() {
    let (dying, falling) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    for stop in [MariaDb::kill, MariaDb::stop] {
        let fleet = fleet(&dying, &falling);
        let running = fleet.spawn(&["up"]);
        fleet.names().iter().for_each(|tenant| fleet.wait_at_gate(tenant));
        stop(&falling);
        open_gates_but_of(&fleet, "falling");
        let output = running.wait();
        assert!([1, 6].contains(&output.status), "{output}");
        assert_others_finished_v2(&fleet, "falling");
        output.says(&["V2__slow", "falling1", "falling2", "nobody has V3"]);
        fleet.run(&["up"]).expect(5).says(&["MT310", "nothing was changed"]);
        falling.restart();
        ["falling1", "falling2"].iter().for_each(|tenant| fleet.open_gate(tenant));
        finish(&fleet);
        assert_each_once(&fleet, 3);
    }
}

#[test]
fn a_server_that_hangs_for_a_while_in_a_step_is_waited_for() {
    let (postgres, mariadb) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", &postgres).mariadb("my", &mariadb).changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    gated(&mut fleet, &[Kind::Database, Kind::MariaDb]);
    more(&mut fleet, 3);
    let mut running = fleet.spawn(&["up"]);
    ["pg", "my"].iter().for_each(|tenant| fleet.wait_at_gate(tenant));
    postgres.signal_all(Signal::STOP);
    mariadb.signal_all(Signal::STOP);
    sleep(Duration::from_secs(3));
    assert!(running.is_running(), "nobody has V2 yet");
    postgres.signal_all(Signal::CONT);
    mariadb.signal_all(Signal::CONT);
    ["pg", "my"].iter().for_each(|tenant| fleet.open_gate(tenant));
    running.wait().expect(0);
    assert_each_once(&fleet, 3);
}

#[test]
fn two_runs_while_their_server_restarts_leave_each_changeset_once() {
    for kind in [Kind::Database, Kind::MariaDb] {
        let servers = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
        let mut fleet = Fleet::new();
        for name in ["a", "b"] {
            match kind {
                Kind::MariaDb => fleet.mariadb(name, &servers.1),
                _ => fleet.postgres_database(name, &servers.0),
            };
        }
        fleet.changeset("V1__effects.sql", FIRST);
        fleet.run(&["up"]).expect(0);
        gated(&mut fleet, &[kind]);
        more(&mut fleet, 3);
        let worker = fleet.spawn(&["up"]);
        fleet.wait_at_gate("a");
        let mut waiter = fleet.spawn(&["-v", "up", "--lock-wait", "30s"]);
        waiter.wait_for("waiting for the lock");
        match kind {
            Kind::MariaDb => (servers.1.kill(), servers.1.restart()),
            _ => (servers.0.kill(), servers.0.restart()),
        };
        ["a", "b"].iter().for_each(|tenant| fleet.open_gate(tenant));
        let worker = worker.wait();
        assert!([1, 6].contains(&worker.status), "{worker}");
        // It lost its session too: it gives up with nothing changed, or goes on where the other one stopped.
        let waiter = waiter.wait();
        assert!([0, 1, 5, 6].contains(&waiter.status), "{waiter}");
        finish(&fleet);
        assert_each_once(&fleet, 3);
        let sessions = || if kind == Kind::MariaDb { servers.1.sessions() } else { servers.0.sessions() };
        wait_until("all sessions end", || sessions() == 0);
        fleet.run(&["up", "--lock-wait", "0"]).expect(0);
    }
}

#[test]
fn a_server_that_takes_no_new_connections_in_mid_run_halts_the_run_and_the_next_goes_on() {
    use crate::support::Proxy;
    use crate::support::proxy::{Deed, Point, Trap};
    for kind in [Kind::Database, Kind::MariaDb] {
        let mut fleet = Fleet::new();
        let proxy = match kind {
            Kind::MariaDb => Proxy::to(mariadb(0).port()),
            _ => Proxy::to(postgres(0).port()),
        };
        kind.add(&mut fleet, &["a".to_string(), "b".to_string()]);
        fleet.behind("a", &proxy).changeset("V1__effects.sql", FIRST);
        fleet.run(&["up"]).expect(0);
        more(&mut fleet, 2);
        more(&mut fleet, 3);
        proxy.arm(Trap::at_text(&super::mark(2), Point::Before, Deed::Freeze));
        let running = fleet.spawn(&["up"]);
        proxy.wait_sprung(1);
        proxy.refuse();
        proxy.cut();
        let output = running.wait();
        assert!([1, 6].contains(&output.status), "{output}");
        output.says(&["V2__more", "tenant a"]);
        assert_eq!(fleet.effects("a"), [1]);
        fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(5).says(&["MT310", "nothing was changed"]);
        proxy.allow();
        finish(&fleet);
        assert_each_once(&fleet, 3);
    }
}
