//! Several deployers at one moment, and the names under which they keep each other out.

use super::{FIRST, assert_each_once, finish, more};
use crate::killed::{wait_for_rows, wait_until};
use crate::support::fleet::Place;
use crate::support::kinds::{fleet_of, fleet_of_all, numbered};
use crate::support::{Fleet, Kind, MariaDb, Options, Running, mariadb, postgres};

/// Covers row 7 of docs/failures.md.
#[test]
fn two_deployers_that_make_the_history_tables_at_once_both_come_to_the_end() {
    for _ in 0..3 {
        let mut fleet = fleet_of_all(2);
        fleet.changeset("V1__effects.sql", FIRST);
        more(&mut fleet, 2);
        let runs: Vec<Running> = (0..4).map(|_| fleet.spawn(&["up", "--lock-wait", "60s"])).collect();
        for run in runs {
            let output = run.wait().expect(0);
            assert!(!output.stderr.contains("error["), "{output}");
        }
        assert_each_once(&fleet, 2);
    }
}

/// Covers row 7 of docs/failures.md.
/// Another program makes the tables while a run is about to.
#[test]
fn a_history_table_that_appears_at_the_same_moment_is_taken() {
    let fleet = {
        let mut fleet = fleet_of(Kind::Database, 2);
        fleet.changeset("V1__effects.sql", FIRST);
        fleet
    };
    let Place::Postgres { server, database, .. } = fleet.place("t01").clone() else { unreachable!("a database") };
    let make = "CREATE TABLE refinery_schema_history (version int4 PRIMARY KEY, name VARCHAR(255), \
                applied_on VARCHAR(255), checksum VARCHAR(255)); SELECT pg_sleep(3)";
    std::thread::scope(|scope| {
        let other = scope.spawn(|| server.execute(&database, make));
        // Not yet committed: only its session shows that it is there.
        wait_for_rows(
            &fleet,
            "t01",
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
        fleet.run(&["up"]).expect(0);
        other.join().expect("the other program");
    });
    assert_each_once(&fleet, 1);
}

/// V2 on MariaDB is at work until the gate is open, and then leaves its mark.
fn gated(fleet: &mut Fleet) {
    let text = format!("{}\nINSERT INTO effects VALUES (2);", Kind::MariaDb.gate());
    fleet.variant("mysql", "V2__slow.sql", &text);
}

/// Covers row 8 of docs/failures.md.
/// The longest names, equal in their first 60 characters, do not meet in one lock.
#[test]
fn the_lock_of_a_mariadb_database_is_its_own_and_on_one_connection() {
    let server = MariaDb::start(Options::default());
    let long = "a_customer_with_a_very_long_name_of_which_only_the_end_differs";
    assert_eq!(long.len(), 62);
    let names = [format!("{long}_1"), format!("{long}_2")];
    let fleets: Vec<Fleet> = names
        .iter()
        .map(|database| {
            let mut fleet = Fleet::new();
            fleet.mariadb_named("my", &server, database).changeset("V1__effects.sql", FIRST);
            gated(&mut fleet);
            fleet
        })
        .collect();
    let first = fleets[0].spawn(&["up"]);
    fleets[0].wait_at_gate("my");
    // The neighbour is free, the database itself is not.
    let second = fleets[1].spawn(&["up", "--lock-wait", "0"]);
    let kept_out = fleets[0].run(&["up", "--lock-wait", "0"]).expect(5);
    kept_out.says(&["MT301", "nothing was changed"]);
    fleets[1].wait_at_gate("my");
    // Another product's lock on the same server, of the same database's name, is none of ours.
    let taken = format!("SELECT GET_LOCK('{}', 0)", names[0]);
    assert_eq!(server.query("", &taken), [[Some("1".to_string())]]);
    // The session that holds the lock is there as long as the run, and no longer.
    let lock = "SELECT count(*) FROM information_schema.processlist WHERE user = 'migrator'";
    assert!(server.query("", lock)[0][0].as_deref().unwrap().parse::<u32>().unwrap() >= 4, "two for each run");
    fleets.iter().for_each(|fleet| fleet.open_gate("my"));
    first.wait().expect(0);
    second.wait().expect(0);
    fleets.iter().for_each(|fleet| assert_each_once(fleet, 2));
    wait_until("all sessions end", || server.sessions() == 0);
}

/// Covers row 8 of docs/failures.md.
/// The lock goes with its connection, and the run notices before its next step.
#[test]
fn a_mariadb_lock_whose_connection_is_killed_halts_before_the_next_step() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.mariadb("my", &server).changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    gated(&mut fleet);
    more(&mut fleet, 3);
    let running = fleet.spawn(&["up"]);
    fleet.wait_at_gate("my");
    // The one that is idle and not the harness's.
    let idle =
        server.query("", "SELECT id FROM information_schema.processlist WHERE user = 'migrator' AND command = 'Sleep'");
    for row in &idle {
        server.execute("", &format!("KILL CONNECTION {}", row[0].as_deref().unwrap()));
    }
    // What was answered about the lock a moment ago still holds for the next step.
    std::thread::sleep(std::time::Duration::from_secs(1));
    fleet.open_gate("my");
    running.wait().expect(1).says(&["MT213", "0 tenants have V3"]);
    assert_eq!(fleet.versions("my"), [1, 2]);
    finish(&fleet);
    assert_each_once(&fleet, 3);
}

/// Covers row 5 of docs/failures.md.
/// The siblings' sessions in the same database, and in its neighbours, sit in no
/// transaction while indexes are built, whatever the number of connections.
#[test]
fn indexes_are_built_concurrently_on_every_schema_and_database_at_once_and_none_waits_for_a_sibling() {
    let mut fleet = Fleet::new();
    let names = numbered(6);
    Kind::Schema.add(&mut fleet, &names);
    fleet.postgres_database("own", postgres(0));
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nINSERT INTO t SELECT generate_series(1, 2000);");
    fleet.changeset(
        "V2__index.sql",
        "-- mtmigrate: no-transaction\n-- mtmigrate: statement-timeout 20s\n\
         CREATE INDEX CONCURRENTLY t_a ON t (a);\nSELECT pg_sleep(0.1);\nCREATE INDEX CONCURRENTLY t_b ON t (a, a);",
    );
    fleet.changeset("V3__more.sql", "INSERT INTO t VALUES (0);");
    fleet.run(&["up", "--jobs", "7"]).expect(0);
    for tenant in fleet.names() {
        assert_eq!(fleet.versions(&tenant), [1, 2, 3], "{tenant}");
        let valid = "SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid = 't'::regclass";
        assert_eq!(fleet.cell(&tenant, valid), "2", "{tenant}");
    }
}

/// Covers row 45 of docs/failures.md.
/// These have no place in the prepared protocol (1295) and go by the text protocol.
#[test]
fn statements_that_the_prepared_protocol_refuses_are_run() {
    let mut fleet = Fleet::new();
    fleet.mariadb("my", mariadb(0));
    fleet.changeset(
        "V1__t.sql",
        "CREATE TABLE t (a int);\nLOCK TABLES t WRITE;\nINSERT INTO t VALUES (1);\nUNLOCK TABLES;\n\
         CREATE PROCEDURE p() BEGIN INSERT INTO t VALUES (2); END;\nCALL p();\n\
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 10;\nINSERT INTO t VALUES (3);\n\
         PREPARE s FROM 'INSERT INTO t VALUES (?)';\nEXECUTE s USING 4;\nDEALLOCATE PREPARE s;\n\
         BEGIN NOT ATOMIC INSERT INTO t VALUES (5); END;\nSHOW WARNINGS;\nFLUSH TABLES t;\nANALYZE TABLE t;",
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("my", "SELECT group_concat(a ORDER BY a) FROM t"), "1,2,13,14,15");
    assert_eq!(fleet.versions("my"), [1]);
}
