//! MariaDB: what DDL makes is looked up; data commit with their intent.

use super::{Case, assert_stops, die_at_the_last_statement, state, try_both_ways, verdict};
use crate::limits::blocker::Blocker;
use crate::support::{Fleet, MariaDb, Options, mariadb};

/// One tenant with two tables and some rows.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.mariadb("acme", mariadb(0));
    fleet.changeset(
        "V1__tables.sql",
        "CREATE TABLE Orders (id int PRIMARY KEY, ref varchar(20), old int, `e` int);
         CREATE TABLE parts (id int, of int);
         INSERT INTO Orders VALUES (1, 'A', 1, 1), (2, 'B', 2, 2);\n",
    );
    fleet.run(&["up"]).expect(0);
    fleet
}

/// Covers row 16 of docs/failures.md.
#[test]
fn what_a_definition_made_or_took_away_tells_whether_it_ran() {
    let case = |statement, back, done, undone| Case { statement, back, done, undone };
    let cases = [
        case(
            "ALTER TABLE Orders ADD COLUMN note text, MODIFY ref varchar(40)",
            "ALTER TABLE Orders DROP COLUMN note, MODIFY ref varchar(20)",
            "column Orders.note is there, and was not before",
            "column Orders.note is not there, as before",
        ),
        case(
            "ALTER TABLE Orders DROP COLUMN old",
            "ALTER TABLE Orders ADD COLUMN old int AFTER ref",
            "column Orders.old is gone, and was there before",
            "column Orders.old is there, as before",
        ),
        case(
            "ALTER TABLE Orders RENAME COLUMN ref TO reference, ADD `é` int",
            "ALTER TABLE Orders RENAME COLUMN reference TO ref, DROP `é`",
            "column Orders.ref is gone, and was there before; column Orders.reference is there, and was not before; \
             column Orders.é is there, and was not before",
            "column Orders.ref is there, as before; column Orders.reference is not there, as before; \
             column Orders.é is not there, as before",
        ),
        case(
            "CREATE TABLE `my items` (id int)",
            "DROP TABLE `my items`",
            "table my items is there, and was not before",
            "table my items is not there, as before",
        ),
        case(
            "CREATE INDEX by_of ON parts (of)",
            "DROP INDEX by_of ON parts",
            "index by_of of table parts is there, and was not before",
            "index by_of of table parts is not there, as before",
        ),
        case(
            "ALTER TABLE parts ADD CONSTRAINT lines_of FOREIGN KEY (of) REFERENCES Orders (id)",
            "ALTER TABLE parts DROP FOREIGN KEY lines_of",
            "constraint lines_of of table parts is there, and was not before",
            "constraint lines_of of table parts is not there, as before",
        ),
        case(
            "CREATE VIEW open_orders AS SELECT id FROM Orders",
            "DROP VIEW open_orders",
            "view open_orders is there, and was not before",
            "view open_orders is not there, as before",
        ),
        case(
            "CREATE PROCEDURE tidy() DELETE FROM parts WHERE of IS NULL",
            "DROP PROCEDURE tidy",
            "procedure tidy is there, and was not before",
            "procedure tidy is not there, as before",
        ),
        case(
            "CREATE TRIGGER stamp BEFORE INSERT ON parts FOR EACH ROW SET NEW.id = COALESCE(NEW.id, 1)",
            "DROP TRIGGER stamp",
            "trigger stamp is there, and was not before",
            "trigger stamp is not there, as before",
        ),
        case(
            "RENAME TABLE `my items` TO items",
            "RENAME TABLE items TO `my items`",
            "table my items is gone, and was there before; table items is there, and was not before",
            "table my items is there, as before; table items is not there, as before",
        ),
        case(
            "DROP TABLE items",
            "CREATE TABLE items (id int)",
            "table items is gone, and was there before",
            "table items is there, as before",
        ),
        case(
            "CREATE TABLE IF NOT EXISTS again (id int)",
            "DROP TABLE again",
            "running it again changes nothing more",
            "running it again changes nothing more",
        ),
    ];
    try_both_ways(&mut fleet(), "acme", "", &cases);
}

#[test]
fn data_are_committed_with_the_row_that_says_so() {
    let mut fleet = fleet();
    fleet.changeset("V2__rows.sql", "UPDATE Orders SET old = old + 1;\nINSERT INTO parts VALUES (1, 1);\n");
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked done by this run: it was committed together with its journal row");
    assert_eq!(state(&fleet, "acme"), expected);

    // Behind a definition another row says that the definition is done.
    fleet.changeset("V3__more.sql", "CREATE TABLE more (id int);\nINSERT INTO more VALUES (1);\n");
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    // The statement and its own row were rolled back.
    fleet.execute("acme", "DELETE FROM mtmigrate_journal ORDER BY id DESC LIMIT 1; DELETE FROM more");
    let trace = fleet.cell("acme", "SELECT trace FROM mtmigrate_journal ORDER BY id DESC LIMIT 1");
    assert!(trace.ends_with(" ahead"), "{trace}");
    fleet.run(&["up"]).expect(0);
    assert_eq!(
        verdict(&fleet, "acme"),
        "marked undone by this run: it would have been committed together with another journal row, and there is none"
    );
    assert_eq!(state(&fleet, "acme"), expected);
}

/// Covers row 14 of docs/failures.md.
#[test]
fn what_leaves_no_trace_is_a_persons_to_decide_and_the_account_says_how() {
    let mut fleet = fleet();
    for (version, mark, statement) in [
        (2, "--mark-done", "ALTER TABLE Orders MODIFY ref varchar(40)"),
        (3, "--mark-undone", "ALTER TABLE Orders MODIFY ref varchar(80)"),
        (4, "--mark-done", "TRUNCATE parts"),
    ] {
        let file = format!("V{version}__x.sql");
        fleet.changeset(&file, &format!("CREATE TABLE t{version} (id int);\n\n{statement};\n"));
        fleet.run(&["up"]).expect(0);
        let expected = state(&fleet, "acme");
        die_at_the_last_statement(&fleet, "acme");
        let place = format!("migrations/{file}:3:1");
        let title = format!("error[MT211]: V{version}__x is half applied on tenant acme");
        let stopped = assert_stops(
            &fleet,
            "acme",
            &[
                &title,
                &place,
                statement,
                "statement 2 of 2 was begun and its end is not recorded",
                "looked at: nothing that can be looked up would show whether it took effect",
                "cause: run ",
            ],
        );
        assert!(!stopped.stderr.contains("MT410"), "{stopped}");
        fleet.run(&["plan"]).expect(6);
        fleet.run(&["repair", "--tenant", "acme", mark, "--reason", "I looked"]).expect(0);
        let word = mark.trim_start_matches("--mark-");
        assert_eq!(verdict(&fleet, "acme"), format!("marked {word} by a person: I looked"));
        fleet.run(&["up"]).expect(0);
        assert_eq!(state(&fleet, "acme"), expected);
    }
}

#[test]
fn data_of_tables_that_do_not_roll_back_are_a_persons_to_decide() {
    let mut fleet = fleet();
    let text = "CREATE TABLE logs (id int) ENGINE = MyISAM;\nINSERT INTO logs VALUES (1);\n";
    fleet.changeset("V2__logs.sql", text);
    fleet.run(&["up"]).expect(0);
    die_at_the_last_statement(&fleet, "acme");
    assert_stops(&fleet, "acme", &["statement 2 of 2", "INSERT INTO logs VALUES (1);"]);
    fleet.run(&["repair", "--tenant", "acme", "--mark-done", "--reason", "the row is there"]).expect(0);
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM logs"), "1");
    // One that fails in its middle has left a row.
    fleet.changeset("V3__more.sql", "ALTER TABLE logs ADD PRIMARY KEY (id);\nINSERT INTO logs VALUES (2), (2);\n");
    let failed = fleet.run(&["up"]).expect(6);
    assert!(failed.stderr.contains("1062") && failed.stderr.contains("what this statement committed"), "{failed}");
    assert_stops(&fleet, "acme", &["statement 2 of 2", "INSERT INTO logs VALUES (2), (2);"]);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM logs"), "2");
}

#[test]
fn a_statement_that_was_changed_since_or_changed_things_otherwise_is_not_guessed_at() {
    let mut fleet = fleet();
    fleet.changeset("V2__two.sql", "ALTER TABLE Orders ADD a int, ADD b int;\n");
    fleet.run(&["up"]).expect(0);
    die_at_the_last_statement(&fleet, "acme");
    fleet.edit("V2__two.sql", "ALTER TABLE Orders ADD a int, ADD c int;\n");
    assert_stops(&fleet, "acme", &["looked at: its text was changed since it was begun"]);
    fleet.edit("V2__two.sql", "ALTER TABLE Orders ADD a int, ADD b int;\n");
    fleet.execute("acme", "ALTER TABLE Orders DROP a");
    let half = "looked at: it is half done: column Orders.a is not there, as before; \
                column Orders.b is there, and was not before";
    assert_stops(&fleet, "acme", &[half]);
    fleet.execute("acme", "UPDATE mtmigrate_journal SET trace = NULL");
    assert_stops(&fleet, "acme", &["looked at: its journal row says nothing that would tell"]);
    fleet.execute("acme", "UPDATE mtmigrate_journal SET trace = '2 x things'");
    assert_stops(&fleet, "acme", &["looked at: a newer mtmigrate began it"]);
}

/// Covers rows 15, 17 of docs/failures.md.
#[test]
fn a_server_killed_in_the_middle_of_an_alter_is_asked_what_it_kept() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.mariadb("acme", &server);
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a varchar(200));\n");
    fleet.run(&["up"]).expect(0);
    fleet.execute("acme", "INSERT INTO t (a) SELECT REPEAT('x', 200) FROM seq_1_to_300000");
    fleet.changeset("V2__slow.sql", "CREATE TABLE first (id int);\nALTER TABLE t ADD COLUMN b int, ALGORITHM=COPY;\n");
    let running = fleet.spawn(&["up"]);
    let busy = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'ALTER%' AND state LIKE 'copy%'";
    crate::killed::wait_for_rows(&fleet, "acme", busy);
    server.kill();
    let lost = running.wait().expect(6);
    assert!(lost.stderr.contains("1 of 2 statements are committed"), "{lost}");
    server.restart();
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked undone by this run: column t.b is not there, as before");
    assert_eq!(fleet.cell("acme", "SELECT count(b) + count(*) FROM t"), "300000");
    let journal = "SELECT count(*) FROM mtmigrate_journal WHERE version = 2 AND statement_no = 1";
    assert_eq!(fleet.cell("acme", journal), "1", "the first statement ran once");
}

/// Covers row 16 of docs/failures.md.
#[test]
fn an_alter_that_outlives_its_killed_runner_is_waited_for_and_found_applied() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.mariadb("acme", &server);
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, a varchar(200));\n");
    fleet.run(&["up"]).expect(0);
    fleet.execute("acme", "INSERT INTO t (a) SELECT REPEAT('x', 200) FROM seq_1_to_30000");
    fleet.changeset("V2__slow.sql", "ALTER TABLE t ADD COLUMN b int, ALGORITHM=COPY;\n");
    fleet.set("acme", "lock_timeout", "100s");
    // It has all copied and waits for the reader before it puts the copy in the table's place.
    let reader = Blocker::reading(&fleet, "acme");
    let running = fleet.spawn(&["up"]);
    let busy = "SELECT 1 FROM information_schema.processlist
                WHERE info LIKE 'ALTER%' AND state LIKE 'Waiting for table metadata lock%'";
    crate::killed::wait_for_rows(&fleet, "acme", busy);
    assert_eq!(running.kill_9().status, 128 + 9);
    let mut next = fleet.spawn(&["up", "-v"]);
    next.wait_for("run started");
    reader.leave();
    next.wait().expect(0);
    // History and journal were in the message of the last statement, and the server went on to them.
    let ran = "SELECT GROUP_CONCAT(outcome ORDER BY id) FROM mtmigrate_journal WHERE version = 2";
    assert_eq!(fleet.cell("acme", ran), "started,applied");
    fleet.run(&["status", "--check"]).expect(0);
}

#[test]
fn a_transaction_of_the_texts_own_is_begun_again_or_is_done_where_all_tables_roll_back() {
    let mut fleet = fleet();
    let text = "-- mtmigrate: no-transaction\nSTART TRANSACTION;\nINSERT INTO parts VALUES (1, 1);\nCOMMIT;\n";
    fleet.changeset("V2__own.sql", text);
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked done by this run: it was committed together with its journal row");
    assert_eq!(state(&fleet, "acme"), expected);
    let rolled_back = "DELETE FROM mtmigrate_journal WHERE version > 1 AND (statement_no > 1 OR outcome = 'failed')";
    die_at_the_last_statement(&fleet, "acme");
    fleet.execute("acme", &format!("{rolled_back}; DELETE FROM parts"));
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked undone by this run: running it again changes nothing more");
    assert_eq!(state(&fleet, "acme"), expected);
    // Rows of such a table stay when the transaction goes.
    fleet.execute("acme", "CREATE TABLE stays (id int) ENGINE = MyISAM");
    fleet.changeset("V3__own.sql", &text.replace("parts VALUES (1, 1)", "stays VALUES (1)"));
    fleet.run(&["up", "--verify", "off"]).expect(0);
    die_at_the_last_statement(&fleet, "acme");
    fleet.execute("acme", &rolled_back.replace("> 1 AND", "= 3 AND"));
    assert_stops(&fleet, "acme", &["statement 1 of 3", "START TRANSACTION"]);
}

/// A transaction of ours would end the locks.
#[test]
fn between_lock_tables_and_unlock_tables_nothing_is_journalled_and_nothing_is_guessed() {
    let mut fleet = fleet();
    let text = "LOCK TABLES parts WRITE;\nINSERT INTO parts VALUES (1, 1);\nINSERT INTO parts VALUES (2, 2);\n\
                UNLOCK TABLES;\nINSERT INTO parts VALUES (3, 2);\n";
    fleet.changeset("V2__dump.sql", text);
    fleet.run(&["up"]).expect(0);
    let rows = "SELECT GROUP_CONCAT(statement_no, ' ', SUBSTRING_INDEX(trace, ' ', -1) ORDER BY id) \
                FROM mtmigrate_journal WHERE version = 2 AND outcome = 'started'";
    assert_eq!(fleet.cell("acme", rows), "1 nothing,5 ahead,5 atomic");
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM parts"), "3");
    die_at_the_last_statement(&fleet, "acme");
    fleet.execute("acme", "DELETE FROM mtmigrate_journal WHERE version = 2 AND statement_no = 5");
    assert_stops(&fleet, "acme", &["statement 1 of 5", "LOCK TABLES parts WRITE"]);
}
