//! A changeset fails on one of twenty tenants: the run halts there, says everything, and the next run ends it.

use crate::support::kinds::fleet_of;
use crate::support::{Fleet, KINDS, Kind, Output};

const TENANTS: usize = 20;
const UNLUCKY: &str = "t07";

/// Everybody has `orders`; the unlucky one has two that are called alike.
fn fleet_with_a_duplicate(kind: Kind) -> Fleet {
    let mut fleet = fleet_of(kind, TENANTS);
    fleet.changeset(
        "V1__orders.sql",
        "CREATE TABLE orders (id int, ref varchar(40));\nCREATE TABLE done (version int);",
    );
    fleet.run(&["up"]).expect(0);
    fleet.execute(UNLUCKY, "INSERT INTO orders (id, ref) VALUES (1, 'A-17'), (2, 'A-17')");
    fleet.changeset("V3__next.sql", "INSERT INTO done (version) VALUES (3);");
    fleet
}

/// What each server calls it.
fn duplicate(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Schema | Kind::Database => &["23505", "could not create unique index", "(ref)=(A-17)"],
        Kind::MariaDb => &["1062", "Duplicate entry 'A-17'"],
        Kind::Sqlite => &["UNIQUE constraint failed: orders.ref"],
    }
}

/// Checks what everybody has after V2 failed on the unlucky one, and that the report says so.
fn assert_halted_at_v2(fleet: &Fleet, output: &Output, kind: Kind) {
    let have = fleet.all_versions();
    assert_eq!(have[UNLUCKY], [1], "{kind:?}");
    for (tenant, versions) in &have {
        assert!(versions[..] == [1] || versions[..] == [1, 2], "{kind:?} {tenant} has {versions:?}");
    }
    let finished = have.values().filter(|versions| versions.contains(&2)).count();
    let not_started = TENANTS - finished - 1;
    let counts = match finished {
        1 => "1 tenant has V2; 19 do not".to_string(),
        19 => "19 tenants have V2; 1 does not".to_string(),
        _ => format!("{finished} tenants have V2; {} do not", TENANTS - finished),
    };
    for text in [&*counts, "nobody has V3", "mtmigrate up"] {
        assert!(output.stderr.contains(text), "no {text:?} in:\n{output}");
    }
    assert_eq!(not_started > 0, output.stderr.contains("; not started: t"), "{output}");
}

/// Checks that `up` does only what is missing, once the duplicate is gone.
fn assert_up_finishes_the_rest(fleet: &Fleet, kind: Kind) {
    let finished: Vec<String> =
        fleet.all_versions().into_iter().filter(|(_, versions)| versions.contains(&2)).map(|(name, _)| name).collect();
    let row = "SELECT applied_on FROM refinery_schema_history WHERE version = 2";
    let before: Vec<String> = finished.iter().map(|tenant| fleet.cell(tenant, row)).collect();
    fleet.execute(UNLUCKY, "UPDATE orders SET ref = 'A-18' WHERE id = 2");
    fleet.run(&["up"]).expect(0);
    let after: Vec<String> = finished.iter().map(|tenant| fleet.cell(tenant, row)).collect();
    assert_eq!(before, after, "{kind:?}: finished tenants are touched no more");
    for (tenant, versions) in fleet.all_versions() {
        assert_eq!(versions, [1, 2, 3], "{kind:?} {tenant}");
        let applied = "SELECT count(*) FROM mtmigrate_journal WHERE outcome = 'applied' AND version = 2";
        assert_eq!(fleet.cell(&tenant, applied), "1", "{kind:?} {tenant}");
    }
}

#[test]
fn a_statement_that_fails_on_one_of_twenty_tenants_halts_all_and_is_continued_once_mended() {
    for kind in KINDS {
        let mut fleet = fleet_with_a_duplicate(kind);
        fleet.changeset("V2__unique.sql", "-- no two orders\nCREATE UNIQUE INDEX orders_ref ON orders (ref);");
        let before = fleet.dump(UNLUCKY);
        let output = fleet.run(&["up"]).expect(1);
        let output = output.says(duplicate(kind)).says(&["MT204", "tenant t07", "migrations/V2__unique.sql:2:1"]);
        assert_halted_at_v2(&fleet, &output, kind);
        let after = fleet.dump(UNLUCKY);
        assert_eq!(objects(&before), objects(&after), "{kind:?}: nothing but the journal's row is left");
        assert!(output.stderr.contains("t07 is unchanged"), "{output}");
        assert_eq!(fleet.status().state(UNLUCKY), "failed", "{kind:?}");
        fleet.run(&["status", "--check"]).expect(4);
        let last = fleet.run(&["history", "--tenant", UNLUCKY]).expect(0);
        assert!(last.stdout.contains("failed"), "{last}");
        fleet.run(&["up"]).expect(1);
        assert_up_finishes_the_rest(&fleet, kind);
    }
}

#[test]
fn the_line_of_the_third_statement_is_named_on_each_engine_and_mariadb_continues_there() {
    for kind in KINDS {
        let mut fleet = fleet_with_a_duplicate(kind);
        let text = "INSERT INTO done (version) VALUES (2);\n\
                    ALTER TABLE orders\n  ADD COLUMN note varchar(10);\n\n\
                    /* no two\n   orders */\nCREATE UNIQUE INDEX orders_ref\n  ON orders (ref);\n\
                    INSERT INTO done (version) VALUES (22);\n";
        fleet.changeset("V2__unique.sql", text);
        let status = if kind.is_transactional() { 1 } else { 6 };
        let output = fleet.run(&["up"]).expect(status);
        let output = output.says(duplicate(kind)).says(&["tenant t07", "migrations/V2__unique.sql:7:1"]);
        assert_halted_at_v2(&fleet, &output, kind);
        let committed = "SELECT count(*) FROM done";
        if kind.is_transactional() {
            assert_eq!(fleet.cell(UNLUCKY, committed), "0", "{kind:?}");
            assert_eq!(fleet.status().state(UNLUCKY), "failed", "{kind:?}");
            assert_eq!(fleet.journal(UNLUCKY).last().unwrap(), "V2 failed", "{kind:?}");
        } else {
            assert_eq!(fleet.cell(UNLUCKY, committed), "1", "{kind:?}");
            assert_half_applied_at_3_of_4(&mut fleet, text);
        }
        assert_up_finishes_the_rest(&fleet, kind);
        for tenant in fleet.names() {
            let done = fleet.query(&tenant, "SELECT version FROM done ORDER BY version");
            let done: Vec<&str> = done.iter().map(|row| row[0].as_deref().unwrap()).collect();
            assert_eq!(done, ["2", "3", "22"], "{kind:?} {tenant}: every statement once");
        }
    }
}

/// MariaDB: two of four statements are committed, and stay what they were.
fn assert_half_applied_at_3_of_4(fleet: &mut Fleet, text: &str) {
    let journal = fleet.journal(UNLUCKY);
    assert_eq!(journal[journal.len() - 4..], ["V2 started 1/4", "V2 started 2/4", "V2 started 3/4", "V2 failed 3/4"]);
    assert_eq!(fleet.status().state(UNLUCKY), "half-applied");
    fleet.run(&["status", "--check"]).expect(6);
    let output = fleet.run(&["status"]);
    output.says(&["half-applied", "t07"]);
    // Not yet mended: the same again, at the same statement.
    fleet.run(&["up"]).expect(6).says(&["2 of 4 statements are committed", "migrations/V2__unique.sql:7:1"]);
    assert_eq!(fleet.cell(UNLUCKY, "SELECT count(*) FROM done"), "1");

    // Its text before the third statement may not change any more; for those that have V2 that is drift.
    let before = fleet.dumps();
    fleet.edit("V2__unique.sql", &text.replace("VALUES (2)", "VALUES (-2)"));
    let alone = fleet.run(&["up", "--tenant", UNLUCKY]).expect(6);
    alone.says(&["MT211", "the text of it was changed since", "restore these statements"]);
    fleet.run(&["up"]).expect(6).says(&["MT211", "MT401"]);
    assert_eq!(fleet.dumps(), before);
    fleet.edit("V2__unique.sql", text);
}

/// The lines of a dump that are no rows of tables.
fn objects(dump: &str) -> Vec<&str> {
    let counters = ["INSERT INTO", "SELECT pg_catalog.setval", ") ENGINE=InnoDB", "  ["];
    dump.lines().filter(|line| !counters.iter().any(|counter| line.starts_with(counter))).collect()
}
