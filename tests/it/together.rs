//! Several runs at once: one works, the others wait or give way, and every changeset runs once.

use rustix::process::Signal;

use crate::support::kinds::{fleet_of, fleet_of_all};
use crate::support::{Fleet, KINDS, Kind, Output, Running};

/// Each changeset leaves a row wherever it ran; the table takes any number of them.
fn changesets(fleet: &mut Fleet, count: i64) {
    fleet.changeset("V1__effects.sql", "CREATE TABLE effects (version int);\nINSERT INTO effects VALUES (1);");
    for version in 2..=count {
        let file = format!("V{version}__more.sql");
        fleet.changeset(&file, &format!("INSERT INTO effects VALUES ({version});"));
    }
}

#[track_caller]
fn assert_each_ran_once(fleet: &Fleet, count: i64) {
    let all: Vec<i64> = (1..=count).collect();
    for tenant in fleet.names() {
        assert_eq!(fleet.effects(&tenant), all, "{tenant}");
        assert_eq!(fleet.versions(&tenant), all, "{tenant}");
        let applied = "SELECT version FROM mtmigrate_journal WHERE outcome = 'applied' ORDER BY id";
        let applied: Vec<Option<String>> =
            fleet.query(&tenant, applied).into_iter().map(|mut row| row.remove(0)).collect();
        let wanted: Vec<Option<String>> = all.iter().map(|version| Some(version.to_string())).collect();
        assert_eq!(applied, wanted, "{tenant}");
        let failed = "SELECT count(*) FROM mtmigrate_journal WHERE outcome = 'failed'";
        assert_eq!(fleet.cell(&tenant, failed), "0", "{tenant}");
    }
}

fn spawn_five(fleet: &Fleet, args: &[&str]) -> Vec<Output> {
    let running: Vec<Running> = (0..5).map(|_| fleet.spawn(args)).collect();
    running.into_iter().map(Running::wait).collect()
}

#[test]
fn five_runs_at_once_on_twenty_tenants_of_all_engines_apply_each_changeset_once() {
    for args in [&["up"][..], &["up", "--lock-wait", "0"]] {
        let mut fleet = fleet_of_all(5);
        changesets(&mut fleet, 6);
        fleet
            .variant(
                "postgres",
                "V3__more.sql",
                "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY e ON effects (version);\n\
                 INSERT INTO effects VALUES (3);",
            )
            .variant("mysql", "V3__more.sql", "CREATE INDEX e ON effects (version);\nINSERT INTO effects VALUES (3);");
        let ended = spawn_five(&fleet, args);
        let statuses: Vec<i32> = ended.iter().map(|output| output.status).collect();
        assert!(statuses.iter().all(|status| [0, 5].contains(status)), "{statuses:?}: {}", ended[0]);
        assert!(statuses.contains(&0) || args.len() > 1, "{statuses:?}");
        if args.len() == 1 {
            assert_eq!(statuses, [0; 5], "the others wait for the one that works");
        }
        for loser in ended.iter().filter(|output| output.status == 5) {
            assert!(loser.stderr.contains("MT301") && loser.stderr.contains("nothing was changed"), "{loser}");
        }
        // Where all five gave way to each other, nothing was begun; `up` always ends it.
        fleet.run(&["up"]).expect(0);
        assert_each_ran_once(&fleet, 6);
    }
}

/// Covers row 1 of docs/failures.md.
#[test]
fn who_does_not_wait_exits_5_and_names_the_run_that_holds_the_lock() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 4);
        changesets(&mut fleet, 1);
        fleet.variants("V2__slow.sql", |kind| format!("INSERT INTO effects VALUES (2);\n{}", kind.slow(3)));
        fleet.changeset("V3__more.sql", "INSERT INTO effects VALUES (3);");
        let mut holder = fleet.spawn(&["-vv", "up", "--format", "json"]);
        holder.wait_for("version=2");
        let process = format!("{}@", holder.pid());
        // It keeps the lock, and comes to no end before the losers have come to theirs.
        holder.signal(Signal::STOP);
        let losers: Vec<Output> = {
            let running: Vec<Running> = (0..4).map(|_| fleet.spawn(&["up", "--lock-wait", "0"])).collect();
            running.into_iter().map(Running::wait).collect()
        };
        fleet.run(&["status"]).expect(0);
        holder.signal(Signal::CONT);
        let report = holder.wait().expect(0).json();
        let run_id = report["run_id"].as_str().unwrap();
        for loser in losers {
            let loser = loser.expect(5).says(&["MT301", "another run holds the lock", run_id, "--lock-wait"]);
            assert!(kind == Kind::MariaDb || loser.stderr.contains(&process), "no {process:?} in {loser}");
        }
        assert_each_ran_once(&fleet, 3);
    }
}

#[test]
fn a_run_that_waits_names_the_holder_meanwhile_and_then_finds_nothing_to_do() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 2);
        changesets(&mut fleet, 1);
        fleet.variants("V2__slow.sql", |kind| format!("INSERT INTO effects VALUES (2);\n{}", kind.slow(2)));
        let mut first = fleet.spawn(&["-vv", "up"]);
        first.wait_for("version=2");
        first.signal(Signal::STOP);
        let mut second = fleet.spawn(&["-v", "up"]);
        second.wait_for("waiting for the lock");
        assert!(first.is_running(), "{kind:?}");
        first.signal(Signal::CONT);
        first.wait().expect(0);
        second.wait().expect(0).says(&["nothing to do: 2 tenants have V2"]);
        assert_each_ran_once(&fleet, 2);
    }
}

#[test]
fn runs_on_tenants_that_share_nothing_do_not_wait_for_each_other() {
    for kind in [Kind::Database, Kind::MariaDb] {
        let mut fleet = fleet_of(kind, 2);
        changesets(&mut fleet, 1);
        fleet.variants("V2__slow.sql", |kind| format!("INSERT INTO effects VALUES (2);\n{}", kind.slow(3)));
        let mut first = fleet.spawn(&["-vv", "up", "--tenant", "t01"]);
        first.wait_for("version=2");
        first.signal(Signal::STOP);
        fleet.run(&["up", "--tenant", "t02", "--lock-wait", "0", "--to", "1"]).expect(0);
        assert!(first.is_running(), "{kind:?}");
        first.signal(Signal::CONT);
        first.wait().expect(0);
        fleet.run(&["up"]).expect(0);
        assert_each_ran_once(&fleet, 2);
    }
}
