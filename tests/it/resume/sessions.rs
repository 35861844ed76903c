//! What the statements before left in a session that is over.

use crate::support::{Fleet, mariadb, postgres};

/// A text stops at a statement that fails, and goes on when the cause is mended.
fn broken(tenant: &str, text: &str) -> Fleet {
    let mut fleet = Fleet::new();
    match tenant {
        "maria" => fleet.mariadb("maria", mariadb(0)),
        _ => fleet.postgres_database("pg", postgres(0)),
    };
    fleet.changeset("V1__t.sql", text);
    fleet.run(&["up"]).expect(6);
    fleet
}

#[test]
fn plain_settings_are_made_again_where_a_text_goes_on() {
    let fleet = broken(
        "maria",
        "SET FOREIGN_KEY_CHECKS = 0;
         SET @name = 'from before', sql_mode = 'ANSI_QUOTES';
         CREATE TABLE t (name varchar(20), \"quoted\" int);
         INSERT INTO later VALUES (1);
         CREATE TABLE child (id int, of int, FOREIGN KEY (of) REFERENCES parent (id));
         INSERT INTO t VALUES (@name, 1);\n",
    );
    fleet.execute("maria", "CREATE TABLE later (id int)");
    fleet.run(&["up", "--verify", "off"]).expect(0);
    assert_eq!(fleet.cell("maria", "SELECT name FROM t"), "from before");

    let fleet = broken(
        "pg",
        "-- mtmigrate: no-transaction
         SET DateStyle TO 'German';
         CREATE TABLE t (day text);
         INSERT INTO later VALUES (1);
         INSERT INTO t SELECT date '2026-11-22';\n",
    );
    fleet.execute("pg", "CREATE TABLE later (id int)");
    fleet.run(&["up", "--verify", "off"]).expect(0);
    assert_eq!(fleet.cell("pg", "SELECT day FROM t"), "22.11.2026");
}

#[test]
fn a_text_that_needs_what_is_over_stops_and_says_which_statement_needs_what() {
    for (tenant, head, makes, needs, what) in [
        ("maria", "", "SET @n = (SELECT MAX(id) FROM t)", "INSERT INTO t VALUES (@n + 1)", "variable @n"),
        ("maria", "", "CREATE TEMPORARY TABLE x (id int)", "INSERT INTO t SELECT id FROM x", "temporary table x"),
        ("maria", "", "PREPARE s FROM 'INSERT INTO t VALUES (9)'", "EXECUTE s", "prepared statement s"),
        (
            "maria",
            "",
            "INSERT INTO serial VALUES (NULL)",
            "INSERT INTO t VALUES (LAST_INSERT_ID())",
            "the number of the row that was written last",
        ),
        (
            "pg",
            "-- mtmigrate: no-transaction\n",
            "CREATE TEMP TABLE x (id int)",
            "INSERT INTO t SELECT id FROM x",
            "temporary table x",
        ),
    ] {
        let first = match tenant {
            "maria" => "CREATE TABLE t (id int); CREATE TABLE serial (id int PRIMARY KEY AUTO_INCREMENT)",
            _ => "CREATE TABLE t (id int); CREATE TABLE serial (id serial)",
        };
        let fleet = broken(tenant, &format!("{head}{first};\n{makes};\nINSERT INTO later VALUES (1);\n{needs};\n"));
        fleet.execute(tenant, "CREATE TABLE later (id int)");
        let stopped = fleet.run(&["up", "--verify", "off"]).expect(6);
        let account = format!(
            "it continues at statement 4 on a new session, and statement 5 needs {what}, which statement 3 left"
        );
        for said in ["MT211", &account, needs, &format!("mtmigrate repair --tenant {tenant} --mark-done")] {
            assert!(stopped.stderr.contains(said), "no {said:?} in {stopped}");
        }
        assert_eq!(fleet.cell(tenant, "SELECT count(*) FROM later"), "0", "{what}: nothing ran");
        // What is left is done by hand, and marked.
        for _ in 0..2 {
            fleet.run(&["repair", "--tenant", tenant, "--mark-done", "--reason", "by hand"]).expect(0);
        }
        fleet.run(&["up", "--verify", "off"]).expect(0);
        assert_eq!(fleet.cell(tenant, "SELECT count(*) FROM refinery_schema_history"), "1");
    }
}
