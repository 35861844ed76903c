//! SQLite: a no-transaction text commits each statement with its row.

use super::{Case, die_at_the_last_statement, state, try_both_ways, verdict};
use crate::support::Fleet;

const HEAD: &str = "-- mtmigrate: no-transaction\n";

fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.sqlite("acme").changeset("V1__t.sql", "CREATE TABLE orders (id INTEGER PRIMARY KEY, ref TEXT);");
    fleet.run(&["up"]).expect(0);
    fleet
}

#[test]
fn every_statement_is_committed_with_the_row_that_says_so() {
    let mut fleet = fleet();
    let text = "VACUUM;\nINSERT INTO orders VALUES (1, 'A');\nCREATE TABLE more (id);\nINSERT INTO more VALUES (1);\n";
    fleet.changeset("V2__rows.sql", &format!("{HEAD}{text}"));
    fleet.run(&["up"]).expect(0);
    let expected = state(&fleet, "acme");
    die_at_the_last_statement(&fleet, "acme");
    fleet.run(&["up"]).expect(0);
    assert_eq!(verdict(&fleet, "acme"), "marked done by this run: it was committed together with its journal row");
    assert_eq!(state(&fleet, "acme"), expected);
    let words =
        "SELECT group_concat(substr(trace, 20), ' ') FROM mtmigrate_journal WHERE trace IS NOT NULL ORDER BY id";
    assert_eq!(fleet.cell("acme", words), "again ahead atomic atomic atomic");
}

#[test]
fn what_cannot_be_in_a_transaction_is_run_again() {
    let again = "running it again changes nothing more";
    let case = |statement| Case { statement, back: "SELECT 1", done: again, undone: again };
    try_both_ways(&mut fleet(), "acme", HEAD, &[case("VACUUM"), case("PRAGMA journal_mode = WAL")]);
}

#[test]
fn what_was_accepted_of_a_schema_outlives_a_repair() {
    let mut fleet = fleet();
    fleet.sqlite("b").sqlite("c");
    fleet.run(&["up"]).expect(0);
    fleet.execute("acme", "CREATE INDEX own ON orders (ref)");
    fleet.run(&["accept", "--tenant", "acme", "--reason", "their own index"]).expect(0);
    fleet.changeset(
        "V2__bad.sql",
        &format!("{HEAD}INSERT INTO orders VALUES (1, 'A');\nINSERT INTO nowhere VALUES (1);\n"),
    );
    fleet.run(&["up", "--tenant", "acme"]).expect(6);
    fleet.run(&["repair", "--tenant", "acme", "--mark-undone", "--reason", "no such table"]).expect(0);
    let accepted = "SELECT accepted IS NOT NULL FROM mtmigrate_journal ORDER BY id DESC LIMIT 1";
    assert_eq!(fleet.cell("acme", accepted), "1");
    fleet.edit(
        "V2__bad.sql",
        &format!("{HEAD}INSERT INTO orders VALUES (1, 'A');\nINSERT INTO orders VALUES (2, 'B');\n"),
    );
    fleet.run(&["up"]).expect(0);
    fleet.run(&["drift"]).expect(0);
}
