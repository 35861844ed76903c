//! `status` for a person.

use crate::support::{Fleet, mariadb, postgres};

use super::sqlite_fleet;

#[test]
fn what_needs_a_person_comes_first_and_the_unreachable_hide_nobody() {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet.postgres_schema("current", postgres(0), &shared).sqlite("behind").sqlite("new").sqlite("failed");
    fleet.postgres_database("drifted", postgres(0)).mariadb("half", mariadb(0)).mariadb("gone", mariadb(0));
    fleet.sqlite("out").set("out", "quarantined", "\"on purpose\"");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);");
    for tenant in ["current", "behind", "failed", "drifted", "half"] {
        fleet.run(&["up", "--tenant", tenant]).expect(0);
    }
    fleet.changeset("V2__u.sql", "CREATE TABLE u (a int);\nCREATE UNIQUE INDEX t_a ON t (a);");
    fleet.run(&["up", "--tenant", "current"]).expect(0);
    for (tenant, exit) in [("failed", 1), ("half", 6)] {
        fleet.execute(tenant, "INSERT INTO t VALUES (1), (1)");
        fleet.run(&["up", "--tenant", tenant]).expect(exit);
    }
    fleet.execute("drifted", "UPDATE refinery_schema_history SET checksum = '1'");
    fleet.set("gone", "url", "\"mysql://nobody@127.0.0.1:1/gone\"");

    let output = fleet.run(&["status"]).expect(5);
    let rows: Vec<Vec<&str>> = output.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let states: Vec<(&str, &str)> = rows[1..9].iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(
        states,
        [
            ("half", "half-applied"),
            ("failed", "failed"),
            ("drifted", "drifted"),
            ("gone", "unreachable"),
            ("behind", "behind"),
            ("new", "new"),
            ("out", "quarantined"),
            ("current", "current"),
        ],
        "{output}"
    );
    assert!(output.stdout.contains("on purpose"), "{output}");
    assert!(output.stderr.contains("MT401") && output.stderr.contains("MT310"), "{output}");
    fleet.run(&["status", "--check"]).expect(6);
    fleet.run(&["status", "--check", "--tenant", "failed"]).expect(4);
    fleet.run(&["status", "--check", "--tenant", "drifted", "--tenant", "gone"]).expect(3);
    fleet.run(&["status", "--check", "--tenant", "current", "--tenant", "out"]).expect(0);
}

#[test]
fn a_fleet_of_300_has_a_row_each_and_a_summary() {
    let mut fleet = sqlite_fleet(300);
    fleet.run(&["up", "--tenant", "t1*"]).expect(0);
    let output = fleet.run(&["status"]).expect(0);
    let rows = output.stdout.lines().filter(|line| {
        line.starts_with("t0") || line.starts_with("t1") || line.starts_with("t2") || line.starts_with("t3")
    });
    assert_eq!(rows.count(), 300, "{output}");
    assert!(output.stdout.lines().count() <= 304, "{output}");
    assert!(output.stdout.lines().all(|line| line.chars().count() <= 120), "{output}");
    let summary = output.stdout.lines().last().unwrap();
    assert!(summary.contains("300 tenants") && summary.contains("100 current"), "{summary}");
    assert!(output.stderr.is_empty(), "{output}");
    // What is read makes nothing.
    assert!(!fleet.folder().join("data/t001.db").exists());
    fleet.remove("V1__t.sql").changeset("V1__t.sql", "CREATE TABLE changed (a int);");
    let output = fleet.run(&["status"]).expect(0);
    assert!(output.stderr.lines().count() < 20, "100 tenants drifted in one way are one message: {output}");
}
