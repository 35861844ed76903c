//! SIGINT and SIGTERM: what is in flight finishes, or is rolled back when asked twice; `up` goes on from there.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::limits::blocker::Blocker;
use crate::support::kinds::fleet_of;
use crate::support::{Fleet, KINDS, Kind, Output, Running};

/// Four tenants; V2 takes this long on each.
fn fleet(kind: Kind, seconds: u32) -> Fleet {
    let mut fleet = fleet_of(kind, 4);
    fleet
        .changeset("V1__effects.sql", "CREATE TABLE effects (version int);\nINSERT INTO effects VALUES (1);")
        .variants("V2__slow.sql", |kind| kind.slow_effect(2, seconds))
        .changeset("V3__more.sql", "INSERT INTO effects VALUES (3);");
    fleet.run(&["up", "--to", "1"]).expect(0);
    fleet
}

/// Starts `up` for two tenants at once, and waits until both were given V2.
fn two_in_flight(fleet: &Fleet) -> Running {
    let mut running = fleet.spawn(&["-vv", "up", "--jobs", "2", "--format", "json"]);
    running.wait_for("tenant=\"t02\"");
    running
}

/// Sends the first signal and waits until it is noticed: two that arrive together are one.
#[track_caller]
fn first_signal(running: &mut Running, signal: Signal) {
    running.signal(signal);
    running.wait_for("in flight are finished");
}

#[track_caller]
fn assert_interrupted(output: Output, status: i32) -> Output {
    let output = output.expect(status);
    let report = output.json();
    assert_eq!(report["outcome"], "interrupted", "{output}");
    assert_eq!(report["exit_status"], status, "{output}");
    assert!(output.stderr.contains("interrupted at V2__slow"), "{output}");
    assert!(output.stderr.contains("run `mtmigrate up` again"), "{output}");
    output
}

#[track_caller]
fn assert_up_goes_on(fleet: &Fleet) {
    fleet.run(&["up"]).expect(0);
    for tenant in fleet.names() {
        assert_eq!(fleet.versions(&tenant), [1, 2, 3], "{tenant}");
        assert_eq!(fleet.effects(&tenant), [1, 2, 3], "{tenant}");
    }
}

#[test]
fn a_signal_lets_those_in_flight_finish_and_starts_nobody_else() {
    for kind in KINDS {
        for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut fleet = fleet(kind, 0);
            let names = fleet.names();
            names.iter().for_each(|name| _ = fleet.set(name, "lock_timeout", "60s"));
            // Both wait for these until the signal has arrived.
            let blockers: Vec<Blocker> =
                names.iter().map(|name| Blocker::of_writers(&fleet, name, "effects")).collect();
            let mut running = two_in_flight(&fleet);
            first_signal(&mut running, signal);
            blockers.into_iter().for_each(Blocker::leave);
            let output = assert_interrupted(running.wait(), status);
            assert!(output.stderr.contains("in flight are finished"), "{output}");
            let have = fleet.all_versions();
            let finished = have.values().filter(|versions| versions[..] == [1, 2]).count();
            let untouched = have.values().filter(|versions| versions[..] == [1]).count();
            assert_eq!((finished, untouched), (2, 2), "{kind:?} {have:?} {output}");
            assert!(output.stderr.contains("2 tenants have V2; 2 do not; nobody has V3"), "{output}");
            fleet.run(&["status", "--check"]).expect(4);
            assert_up_goes_on(&fleet);
        }
    }
}

#[test]
fn a_second_signal_rolls_back_what_is_in_flight() {
    for kind in KINDS {
        for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let mut fleet = fleet(kind, 60);
            let mut running = two_in_flight(&fleet);
            match kind {
                Kind::Sqlite => sleep(Duration::from_millis(500)),
                _ => fleet.wait_at_gate("t01"),
            }
            first_signal(&mut running, signal);
            running.signal(signal);
            let output = assert_interrupted(running.wait(), status);
            assert!(output.stderr.contains("rolled back"), "{output}");
            for tenant in fleet.names() {
                assert_eq!(fleet.versions(&tenant), [1], "{kind:?} {tenant}");
                assert_eq!(fleet.effects(&tenant), [1], "{kind:?} {tenant}");
            }
            let status = fleet.status();
            assert_eq!(status.count("half-applied"), 0, "{kind:?} {}", status.0);
            // Nobody has it, so its text may become a faster one.
            fleet.variants("V2__slow.sql", |_| "INSERT INTO effects VALUES (2);".into());
            assert_up_goes_on(&fleet);
        }
    }
}

#[test]
fn where_statements_commit_one_by_one_a_second_signal_leaves_a_part_that_up_continues() {
    for kind in [Kind::Schema, Kind::MariaDb] {
        let mut fleet = fleet_of(kind, 2);
        let header = if kind == Kind::MariaDb { "" } else { "-- mtmigrate: no-transaction\n" };
        let text =
            |slow: &str| format!("{header}INSERT INTO effects VALUES (2);\n{slow}\nINSERT INTO effects VALUES (22);");
        fleet
            .changeset("V1__effects.sql", "CREATE TABLE effects (version int);\nCREATE TABLE slow (version int);")
            .variant(kind.engine(), "V2__slow.sql", &text(&kind.slow_effect(21, 60)));
        fleet.run(&["up", "--to", "1"]).expect(0);
        let mut running = fleet.spawn(&["-vv", "up"]);
        fleet.wait_at_gate("t01");
        first_signal(&mut running, Signal::TERM);
        running.signal(Signal::TERM);
        let output = running.wait().expect(6);
        let half: Vec<String> =
            fleet.names().into_iter().filter(|tenant| fleet.status().state(tenant) == "half-applied").collect();
        assert!(!half.is_empty(), "{output}");
        for tenant in &half {
            assert_eq!(fleet.effects(tenant), [2], "{kind:?} {tenant}");
            assert_eq!(fleet.journal(tenant).last().unwrap(), "V2 failed 2/3", "{kind:?} {tenant}");
        }
        // The statement that was ended may be mended; those before it stay.
        fleet.variant(kind.engine(), "V2__slow.sql", &text("INSERT INTO effects VALUES (21);"));
        fleet.run(&["up"]).expect(0);
        for tenant in fleet.names() {
            assert_eq!(fleet.effects(&tenant), [2, 21, 22], "{kind:?} {tenant}");
        }
    }
}

#[test]
fn a_signal_while_waiting_for_the_lock_ends_the_wait() {
    let fleet = fleet(Kind::Database, 5);
    let mut holder = two_in_flight(&fleet);
    // It keeps the lock and comes to no end before the waiter has come to its own.
    holder.signal(Signal::STOP);
    let mut waiter = fleet.spawn(&["-v", "up"]);
    waiter.wait_for("waiting for the lock");
    waiter.signal(Signal::INT);
    let output = waiter.wait();
    assert_eq!(output.status, 130, "{output}");
    assert!(holder.is_running());
    holder.signal(Signal::CONT);
    holder.wait().expect(0);
    assert_up_goes_on(&fleet);
}
