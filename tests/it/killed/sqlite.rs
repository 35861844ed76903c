//! The runner is killed while it works on SQLite files.

use std::thread::sleep;

use super::random::Random;
use super::{KILLS, LOCK_WAIT, TENANTS, assert_applied_once, end_state};
use crate::support::Fleet;

/// Six files, six changesets. Each works a while and writes more than the page cache holds, so that a kill in its
/// middle leaves a journal to roll back; one file is in WAL mode.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    for tenant in TENANTS {
        fleet.sqlite(tenant);
    }
    for version in 1..=6 {
        let text = format!(
            "CREATE TABLE t{version} (id INTEGER PRIMARY KEY, text TEXT);
             INSERT INTO t{version} (text)
               WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
               SELECT i || hex(zeroblob(1000)) FROM n;
             CREATE INDEX i{version} ON t{version} (text);
             UPDATE t{version} SET text = 'x' || text WHERE id % 3 = 0;\n"
        );
        fleet.changeset(&format!("V{version}__t{version}.sql"), &text);
    }
    fleet.execute("a", "PRAGMA journal_mode = WAL");
    fleet
}

/// Covers row 28 of docs/failures.md.
#[test]
fn a_runner_killed_on_sqlite_at_any_moment_leaves_files_that_the_next_up_brings_to_the_end() {
    let twin = fleet();
    twin.run(&["up"]).expect(0);
    let expected = end_state(&twin, &TENANTS);
    let mut random = Random::new();
    let mut kills = 0;
    while kills < KILLS {
        let fleet = fleet();
        loop {
            let running = fleet.spawn(&["up", "--lock-wait", LOCK_WAIT]);
            sleep(random.millis(20, 500));
            let output = running.kill_9();
            if output.status != 128 + 9 {
                output.expect(0);
                break;
            }
            kills += 1;
            fleet.run(&["status"]).expect(0);
            for tenant in TENANTS.into_iter().filter(|tenant| fleet.dump(tenant) != "no file\n") {
                let check = fleet.query(tenant, "PRAGMA integrity_check");
                assert_eq!(check[0][0].as_deref(), Some("ok"), "{tenant}");
            }
            if kills % 4 == 0 {
                break;
            }
        }
        fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
        assert_applied_once(&fleet, &TENANTS, 6);
        assert_eq!(end_state(&fleet, &TENANTS), expected);
    }
}

#[test]
fn a_file_with_a_transaction_to_roll_back_does_not_stop_the_next_up() {
    let mut fleet = Fleet::new();
    fleet.sqlite("a").sqlite("b").changeset("V1__a.sql", "CREATE TABLE a (id int);");
    fleet.run(&["up"]).expect(0);
    let text = "CREATE TABLE t (text TEXT);
         INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
           SELECT i || hex(zeroblob(1000)) FROM n;\n";
    // It comes to no end by itself.
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;";
    fleet.changeset("V2__long.sql", &format!("{text}{endless}"));
    let running = fleet.spawn(&["up"]);
    let crate::support::fleet::Place::Sqlite(path) = fleet.place("a").clone() else { unreachable!() };
    let journal = std::path::PathBuf::from(format!("{}-journal", path.display()));
    super::wait_until("pages are in the file before the commit", || {
        std::fs::metadata(&path).is_ok_and(|file| file.len() > 1_000_000) && journal.exists()
    });
    assert_eq!(running.kill_9().status, 128 + 9);
    assert!(journal.exists(), "nothing to roll back: the kill came too late");
    fleet.edit("V2__long.sql", text);
    fleet.run(&["up", "--lock-wait", LOCK_WAIT]).expect(0);
    assert_applied_once(&fleet, &["a", "b"], 2);
    let rows = fleet.query("a", "SELECT count(*) FROM t");
    assert_eq!(rows[0][0].as_deref(), Some("20000"));
}

#[test]
fn a_no_transaction_text_of_sqlite_is_continued_when_its_runner_was_killed() {
    let mut fleet = Fleet::new();
    fleet.sqlite("a").changeset("V1__a.sql", "CREATE TABLE a (id INTEGER PRIMARY KEY, text TEXT);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset(
        "V2__long.sql",
        "-- mtmigrate: no-transaction
         INSERT INTO a (id) VALUES (1);
         INSERT INTO a (text) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
           SELECT 'x' FROM n;
         INSERT INTO a (id) VALUES (-1);",
    );
    let running = fleet.spawn(&["up"]);
    // The second statement is at work, so the first is committed.
    let crate::support::fleet::Place::Sqlite(path) = fleet.place("a").clone() else { unreachable!() };
    let journal = std::path::PathBuf::from(format!("{}-journal", path.display()));
    super::wait_until("pages are in the file before the commit", || {
        std::fs::metadata(&path).is_ok_and(|file| file.len() > 1_000_000) && journal.exists()
    });
    assert_eq!(running.kill_9().status, 128 + 9);
    // Read by another program, which rolls the second statement back.
    assert_eq!(fleet.query("a", "SELECT count(*) FROM a"), [[Some("1".to_string())]]);
    let plan = fleet.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("V2__long"), "{plan}");
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.query("a", "SELECT count(*) FROM a"), [[Some("3000002".to_string())]]);
    assert_applied_once(&fleet, &["a"], 2);
}
