//! PostgreSQL: a no-transaction text. Nearly everything commits with its intent; indexes and enum values are looked up.

use super::{Case, assert_stops, die_at_the_last_statement, state, try_both_ways, verdict};
use crate::support::{Fleet, Options, Postgres, postgres};

const HEAD: &str = "-- mtmigrate: no-transaction\n";

fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("acme", postgres(0));
    fleet.changeset(
        "V1__tables.sql",
        "CREATE TABLE orders (id int, ref text); CREATE TYPE mood AS ENUM ('ok'); INSERT INTO orders VALUES (1, 'A')",
    );
    fleet.run(&["up"]).expect(0);
    fleet
}

#[test]
fn what_cannot_be_in_a_transaction_is_looked_up() {
    let cases = [
        Case {
            statement: "CREATE INDEX CONCURRENTLY IF NOT EXISTS Orders_Ref ON orders (ref)",
            back: "DROP INDEX orders_ref",
            done: "index orders_ref is there, and was not before",
            undone: "index orders_ref is not there, as before",
        },
        Case {
            statement: "DROP INDEX CONCURRENTLY orders_ref",
            back: "CREATE INDEX orders_ref ON orders (ref)",
            done: "index orders_ref is gone, and was there before",
            undone: "index orders_ref is there, as before",
        },
        Case {
            statement: "VACUUM orders",
            back: "SELECT 1",
            done: "running it again changes nothing more",
            undone: "running it again changes nothing more",
        },
    ];
    try_both_ways(&mut fleet(), "acme", HEAD, &cases);
}

#[test]
fn a_value_of_an_enumeration_is_looked_up() {
    let mut fleet = fleet();
    fleet.changeset("V2__mood.sql", &format!("{HEAD}ALTER TYPE mood ADD VALUE 'it''s fine' BEFORE 'ok';\n"));
    fleet.run(&["up"]).expect(0);
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(0);
    let shows = "marked done by this run: value it's fine of type mood is there, and was not before";
    assert_eq!(verdict(&fleet, "acme"), shows);
    // As if it had not been made: a value cannot be dropped.
    die_at_the_last_statement(&fleet, "acme");
    fleet.execute("acme", "DELETE FROM mtmigrate_journal WHERE outcome = 'failed'");
    fleet.execute("acme", "ALTER TYPE mood RENAME VALUE 'it''s fine' TO 'other'");
    fleet.run(&["up", "--verify", "off"]).expect(0);
    let shows = "marked undone by this run: value it's fine of type mood is not there, as before";
    assert_eq!(verdict(&fleet, "acme"), shows);
    assert_eq!(fleet.cell("acme", "SELECT enum_range(NULL::mood)"), "{other,\"it's fine\",ok}");
}

/// A run that lost its lock and does not know: another one wrote to the journal since this one read it.
#[test]
fn a_tenant_that_somebody_else_was_at_since_the_survey_is_not_begun() {
    let mut fleet = fleet();
    fleet.execute(
        "acme",
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO mtmigrate_journal (format, run_id, action, version, name, checksum, outcome, who, host, tool,
             started_at, finished_at, duration_ms)
           SELECT 3, 'another', 'up', 9, 'x', 0, 'failed', 'w', 'h', 't', now(), now(), 0; RETURN NULL; END $$;
         CREATE TRIGGER other AFTER INSERT ON mtmigrate_journal FOR EACH ROW WHEN (NEW.version = 2) EXECUTE FUNCTION other()",
    );
    fleet.changeset("V2__plain.sql", "CREATE TABLE plain (id int)");
    fleet.changeset("V3__steps.sql", &format!("{HEAD}INSERT INTO orders VALUES (7, 'G');\n"));
    let refused = fleet.run(&["up", "--verify", "off"]);
    for said in ["MT303", "V3__steps was not begun on tenant acme", "of run another, which was not there"] {
        assert!(refused.stderr.contains(said), "no {said:?} in {refused}");
    }
    assert_ne!(refused.status, 0);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM orders WHERE id = 7"), "0");
    // The next run reads it, and goes on.
    fleet.run(&["up", "--verify", "off"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM orders WHERE id = 7"), "1");
}

#[test]
fn data_and_definitions_are_committed_with_the_row_that_says_so() {
    let mut fleet = fleet();
    let text = "CREATE INDEX CONCURRENTLY i ON orders (id);\nINSERT INTO orders VALUES (2, 'B');\nALTER TABLE orders ADD note text;\n";
    fleet.changeset("V2__rows.sql", &format!("{HEAD}{text}"));
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked done by this run: it was committed together with its journal row");
    assert_eq!(state(&fleet, "acme"), expected);
    let words =
        "SELECT string_agg(split_part(trace, ' ', 3), ' ' ORDER BY id) FROM mtmigrate_journal WHERE trace <> ''";
    assert_eq!(fleet.cell("acme", words), "things ahead atomic atomic");
}

#[test]
fn a_transaction_of_the_texts_own_is_begun_again_or_is_done() {
    let mut fleet = fleet();
    let text = "BEGIN;\nINSERT INTO orders VALUES (2, 'B');\nCOMMIT;\n";
    fleet.changeset("V2__own.sql", &format!("{HEAD}{text}"));
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked done by this run: it was committed together with its journal row");
    assert_eq!(state(&fleet, "acme"), expected);
    // Rolled back: only the intent of BEGIN is left.
    die_at_the_last_statement(&fleet, "acme");
    fleet.execute(
        "acme",
        "DELETE FROM mtmigrate_journal WHERE version = 2 AND (statement_no > 1 OR outcome = 'failed')",
    );
    fleet.execute("acme", "DELETE FROM orders WHERE id = 2");
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked undone by this run: running it again changes nothing more");
    assert_eq!(state(&fleet, "acme"), expected);
}

#[test]
fn what_may_commit_a_part_of_itself_is_a_persons_to_decide() {
    let mut fleet = fleet();
    fleet.changeset("V2__do.sql", &format!("{HEAD}DO $$ BEGIN INSERT INTO orders VALUES (3, 'C'); COMMIT; END $$;\n"));
    fleet.run(&["up"]).expect(0);
    die_at_the_last_statement(&fleet, "acme");
    assert_stops(&fleet, "acme", &["statement 1 of 1", "DO $$ BEGIN", "migrations/V2__do.sql:2:1"]);
    fleet.run(&["repair", "--tenant", "acme", "--mark-done", "--reason", "the row is there"]).expect(0);
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM orders WHERE id = 3"), "1");
}

/// Covers row 19 of docs/failures.md.
#[test]
fn a_text_of_many_statements_is_sent_one_by_one() {
    let mut fleet = fleet();
    let text =
        "CREATE INDEX CONCURRENTLY a ON orders (id);\nCREATE INDEX CONCURRENTLY b ON orders (ref);\nVACUUM orders;\n";
    fleet.changeset("V2__many.sql", &format!("{HEAD}{text}"));
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM pg_indexes WHERE tablename = 'orders'"), "2");
}

/// Covers row 22 of docs/failures.md.
#[test]
fn a_constraint_that_fails_at_the_commit_fails_its_statement_and_leaves_no_row() {
    let mut fleet = fleet();
    fleet.changeset(
        "V2__deferred.sql",
        "CREATE TABLE one (id int PRIMARY KEY);
         CREATE TABLE many (of int REFERENCES one DEFERRABLE INITIALLY DEFERRED)",
    );
    fleet.changeset("V3__rows.sql", &format!("{HEAD}INSERT INTO one VALUES (1);\nINSERT INTO many VALUES (7);\n"));
    let failed = fleet.run(&["up"]).expect(6);
    for said in ["23503", "migrations/V3__rows.sql:3:1", "1 of 2 statements are committed"] {
        assert!(failed.stderr.contains(said), "no {said:?} in {failed}");
    }
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM many"), "0");
    fleet.edit("V3__rows.sql", &format!("{HEAD}INSERT INTO one VALUES (1);\nINSERT INTO many VALUES (1);\n"));
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT (SELECT count(*) FROM one) + count(*) FROM many"), "2");
    // In one transaction with its history row it is the changeset that fails, and nothing of it is left.
    fleet.changeset("V4__whole.sql", "INSERT INTO one VALUES (2); INSERT INTO many VALUES (9)");
    let failed = fleet.run(&["up"]).expect(1);
    assert!(failed.stderr.contains("23503"), "{failed}");
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM one"), "1");
}

/// A constraint that is checked at COMMIT: what came since BEGIN is rolled back, and is not called committed.
#[test]
fn a_transaction_of_the_texts_own_that_fails_at_its_end_begins_anew() {
    let mut fleet = fleet();
    fleet.changeset("V2__key.sql", "ALTER TABLE orders ADD CONSTRAINT once UNIQUE (id) DEFERRABLE INITIALLY DEFERRED");
    let text = "INSERT INTO orders VALUES (3, 'C');\nBEGIN;\nINSERT INTO orders VALUES (1, 'B');\nCOMMIT;\n";
    fleet.changeset("V3__own.sql", &format!("{HEAD}{text}"));
    fleet.run(&["up"]).expect(6).says(&["23505", "1 of 4 statements are committed"]);
    assert_eq!(fleet.cell("acme", "SELECT string_agg(ref, ' ' ORDER BY ref) FROM orders"), "A C");
    fleet.execute("acme", "DELETE FROM orders WHERE ref = 'A'");
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT string_agg(ref, ' ' ORDER BY ref) FROM orders"), "B C");
}

/// Statements that the server refuses in a transaction, though nothing in their words tells.
#[test]
fn what_turns_out_to_take_no_transaction_is_run_by_itself() {
    let server = Postgres::start(Options { conf: &[("wal_level", "logical")], ..Options::default() });
    let mut fleet = Fleet::new();
    fleet.postgres_database("acme", &server);
    let text = "CREATE TABLE t (id int);\nSELECT pg_create_logical_replication_slot('mine', 'pgoutput');\n";
    fleet.changeset("V1__slot.sql", &format!("{HEAD}{text}"));
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'mine'"), "1");
    let words =
        "SELECT string_agg(split_part(trace, ' ', 3), ' ' ORDER BY id) FROM mtmigrate_journal WHERE trace <> ''";
    assert_eq!(fleet.cell("acme", words), "atomic nothing");
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(6).says(&["MT211"]);
}

/// Who looked before the server was done with it would have it run twice.
#[test]
fn a_statement_that_took_effect_is_not_marked_undone() {
    let mut fleet = fleet();
    fleet.changeset("V2__row.sql", &format!("{HEAD}INSERT INTO orders VALUES (2, 'B');\n"));
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    let mark = ["repair", "--tenant", "acme", "--mark-undone", "--reason", "no row 2"];
    fleet.run(&mark).expect(6).says(&["MT211", "statement 1 of V2__row took effect", "nothing was recorded"]);
    fleet.run(&["up"]).expect(0);
    assert_eq!(state(&fleet, "acme"), expected);
}
