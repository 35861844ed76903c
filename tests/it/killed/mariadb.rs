//! The runner is killed while it works on MariaDB, whose statements commit one by one.

use std::thread::sleep;

use super::random::Random;
use super::{KILLS, LOCK_WAIT, TENANTS, assert_applied_once, end_state};
use crate::support::{Fleet, MariaDb, Options};

/// The four statements of a changeset, and the query that has a row if the statement took effect.
const STATEMENTS: [(&str, &str); 4] = [
    (
        "CREATE TABLE t# (id int PRIMARY KEY, a int)",
        "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 't#'",
    ),
    ("INSERT INTO t# VALUES (1, SLEEP(0.03))", "SELECT 1 FROM t# WHERE id = 1"),
    (
        "ALTER TABLE t# ADD COLUMN b int",
        "SELECT 1 FROM information_schema.columns
         WHERE table_schema = DATABASE() AND table_name = 't#' AND column_name = 'b'",
    ),
    ("INSERT INTO t# VALUES (2, SLEEP(0.03), 2)", "SELECT 1 FROM t# WHERE id = 2"),
];

/// Six databases, six changesets of four statements.
pub fn fleet(server: &MariaDb) -> Fleet {
    let mut fleet = Fleet::new();
    for tenant in TENANTS {
        fleet.mariadb(tenant, server);
    }
    for version in 1..=6 {
        let text: String = STATEMENTS.map(|(sql, _)| format!("{sql};\n")).concat();
        fleet.changeset(&format!("V{version}__t.sql"), &text.replace('#', &version.to_string()));
    }
    fleet
}

/// Version and statement of which nobody knows, by tenant.
pub fn uncertain(fleet: &Fleet) -> Vec<(&'static str, String, usize)> {
    let last = "SELECT outcome, version, statement_no FROM mtmigrate_journal ORDER BY id DESC LIMIT 1";
    let made = "SELECT 1 FROM information_schema.tables
                WHERE table_schema = DATABASE() AND table_name = 'mtmigrate_journal'";
    TENANTS
        .into_iter()
        .filter(|tenant| !fleet.query(tenant, made).is_empty())
        .filter_map(|tenant| match &fleet.query(tenant, last)[..] {
            [row] if row[0].as_deref() == Some("started") => {
                Some((tenant, row[1].clone().unwrap(), row[2].as_deref().unwrap().parse().unwrap()))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn a_runner_killed_on_mariadb_at_any_moment_is_continued_by_the_next_up_and_nothing_runs_twice() {
    let server = MariaDb::start(Options::default());
    let twin = fleet(&server);
    twin.run(&["up"]).expect(0);
    let expected = end_state(&twin, &TENANTS);
    let mut random = Random::new();
    let (mut kills, mut in_the_middle) = (0, 0);
    while kills < KILLS || in_the_middle == 0 {
        let fleet = fleet(&server);
        for _ in 0..4 {
            let running = fleet.spawn(&["up", "--lock-wait", LOCK_WAIT]);
            sleep(random.millis(20, 900));
            let output = running.kill_9();
            if output.status != 128 + 9 {
                output.expect(0);
                break;
            }
            kills += 1;
            in_the_middle += usize::from(!uncertain(&fleet).is_empty());
        }
        // At once: the server may still be busy with the orphans' statements.
        fleet.run(&["up"]).expect(0);
        assert_applied_once(&fleet, &TENANTS, 6);
        assert_eq!(end_state(&fleet, &TENANTS), expected);
    }
}

/// Covers row 16 of docs/failures.md.
#[test]
fn a_statement_that_the_server_finishes_after_its_runner_was_killed_is_waited_for_and_not_run_again() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.mariadb("a", &server);
    fleet.changeset(
        "V1__t.sql",
        "CREATE TABLE t (id int);\nINSERT INTO t SELECT SLEEP(15);\nINSERT INTO t VALUES (2);\n",
    );
    let running = fleet.spawn(&["up"]);
    let busy = "SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep'";
    super::wait_for_rows(&fleet, "a", busy);
    assert_eq!(running.kill_9().status, 128 + 9);
    let before = fleet.dump("a");
    let stopped = fleet.run(&["up", "--lock-wait", "0"]).expect(5);
    for said in
        ["MT303", "still at work", "connection ", "INSERT INTO t SELECT SLEEP(15)", "`KILL ", "nothing was changed"]
    {
        assert!(stopped.stderr.contains(said), "no {said:?} in {stopped}");
    }
    assert_eq!(fleet.dump("a"), before);
    let status = fleet.run(&["status"]).expect(0);
    assert!(status.stdout.contains("half-applied"), "{status}");
    // Whether the server finished it or gave it up, there is one row of it.
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.query("a", "SELECT count(*), max(id) FROM t"), [["2", "2"].map(|n| Some(n.to_string()))]);
    fleet.run(&["status", "--check"]).expect(0);
}
