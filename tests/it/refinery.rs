//! Compatible with refinery: what either brought up, the other finds complete.
//!
//! Stock refinery runs as a program, in both widths: see [`crate::support::oracle`].

mod table;
mod widening;

use crate::support::{Fleet, Width, mariadb, oracle, postgres};

const TENANTS: [&str; 4] = ["database", "schema", "mysql", "file"];

const SMALL: [(&str, &str); 3] = [
    ("V1__orders.sql", "CREATE TABLE orders (id int PRIMARY KEY, ref varchar(20));\n"),
    ("V2__order_lines.sql", "CREATE TABLE order_lines (id int, order_id int);\n-- Grüße: a text is more than ASCII\n"),
    ("V3__rows.sql", "INSERT INTO orders VALUES (1, 'A-1');\nINSERT INTO order_lines VALUES (1, 1);"),
];

const WIDE: [(&str, &str); 2] = [
    ("V20261121093000__notes.sql", "CREATE TABLE notes (id int);\n"),
    ("V20261121093001__note_text.sql", "ALTER TABLE notes ADD COLUMN text varchar(50);\n"),
];

/// A tenant of each kind: a PostgreSQL database and schema, a MariaDB database, a SQLite file.
fn fleet(changesets: &[(&str, &str)]) -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet
        .postgres_database("database", postgres(0))
        .postgres_schema("schema", postgres(0), &shared)
        .mariadb("mysql", mariadb(0))
        .sqlite("file");
    add(&mut fleet, changesets);
    fleet
}

fn add(fleet: &mut Fleet, changesets: &[(&str, &str)]) {
    for (file, sql) in changesets {
        fleet.changeset(file, sql);
    }
}

/// Runs refinery on every tenant; it must apply these, `["V1__orders"]`.
#[track_caller]
fn refinery_applies(fleet: &Fleet, width: Width, expected: &[&str]) {
    for tenant in TENANTS {
        let output = oracle(width).run(fleet.place(tenant), &fleet.migrations());
        assert_eq!(output.status, 0, "{tenant} {width:?}: {output}");
        assert_eq!(output.stdout.lines().collect::<Vec<_>>(), expected, "{tenant} {width:?}");
    }
}

/// Runs refinery on every tenant: it has nothing to do and changes nothing.
#[track_caller]
fn refinery_finds_nothing_to_do(fleet: &Fleet, width: Width) {
    let before = fleet.dumps();
    refinery_applies(fleet, width, &[]);
    assert_eq!(fleet.dumps(), before, "{width:?}");
}

/// Runs mtmigrate: it has nothing to do, changes nothing, not even makes a journal.
#[track_caller]
fn mtmigrate_finds_nothing_to_do(fleet: &Fleet) {
    let before = fleet.dumps();
    fleet.run(&["plan", "--check"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.dumps(), before);
}

#[test]
fn refinery_finds_nothing_to_do_after_mtmigrate_for_small_versions() {
    let fleet = fleet(&SMALL);
    fleet.run(&["up"]).expect(0);
    refinery_finds_nothing_to_do(&fleet, Width::Int4);
}

#[test]
fn refinery_finds_nothing_to_do_after_mtmigrate_for_versions_of_14_digits() {
    for changesets in [WIDE.to_vec(), [SMALL.to_vec(), WIDE.to_vec()].concat()] {
        let fleet = fleet(&changesets);
        fleet.run(&["up"]).expect(0);
        refinery_finds_nothing_to_do(&fleet, Width::Int8);
    }
}

#[test]
fn mtmigrate_finds_nothing_to_do_after_refinery_of_either_width() {
    for (width, changesets) in [
        (Width::Int4, SMALL.to_vec()),
        (Width::Int8, SMALL.to_vec()),
        (Width::Int8, [SMALL.to_vec(), WIDE.to_vec()].concat()),
    ] {
        let fleet = fleet(&changesets);
        let names: Vec<&str> = changesets.iter().map(|(file, _)| file.trim_end_matches(".sql")).collect();
        refinery_applies(&fleet, width, &names);
        mtmigrate_finds_nothing_to_do(&fleet);
    }
}

#[test]
fn refinery_and_mtmigrate_take_turns_on_one_tenant() {
    for width in [Width::Int4, Width::Int8] {
        let mut fleet = fleet(&SMALL);
        refinery_applies(&fleet, width, &["V1__orders", "V2__order_lines", "V3__rows"]);
        fleet.changeset("V4__paid.sql", "ALTER TABLE orders ADD COLUMN paid int;\n");
        fleet.run(&["up"]).expect(0);
        refinery_finds_nothing_to_do(&fleet, width);
        fleet.changeset("V5__sent.sql", "ALTER TABLE orders ADD COLUMN sent int;\n");
        refinery_applies(&fleet, width, &["V5__sent"]);
        mtmigrate_finds_nothing_to_do(&fleet);
        fleet.changeset("V6__gone.sql", "ALTER TABLE orders ADD COLUMN gone int;\n");
        fleet.run(&["up"]).expect(0);
        refinery_finds_nothing_to_do(&fleet, width);
    }
}

#[test]
fn a_changeset_without_order_is_applied_late_by_both_and_known_to_both() {
    let mut fleet = fleet(&SMALL);
    fleet.run(&["up"]).expect(0);
    add(&mut fleet, &[("U2__again.sql", "CREATE TABLE again (id int);\n")]);
    // One version with two letters is one version.
    let refused = fleet.run(&["up"]).expect(2);
    assert!(refused.stderr.contains("MT121"), "{refused}");
    fleet.remove("U2__again.sql");

    add(&mut fleet, &[("V9__late.sql", "CREATE TABLE late (id int);\n")]);
    fleet.run(&["up"]).expect(0);
    add(&mut fleet, &[("U7__any_time.sql", "CREATE TABLE any_time (id int);\n")]);
    fleet.run(&["up"]).expect(0);
    refinery_finds_nothing_to_do(&fleet, Width::Int4);
    add(&mut fleet, &[("U6__earlier.sql", "CREATE TABLE earlier (id int);\n")]);
    refinery_applies(&fleet, Width::Int4, &["U6__earlier"]);
    mtmigrate_finds_nothing_to_do(&fleet);
}

/// Covers rows 36, 38 of docs/failures.md.
#[test]
fn a_file_with_crlf_or_a_byte_order_mark_that_refinery_applied_is_recognised_in_any_form() {
    let lf = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n";
    let crlf = lf.replace('\n', "\r\n");
    for width in [Width::Int4, Width::Int8] {
        let mut fleet = fleet(&[("V1__tables.sql", &crlf)]);
        refinery_applies(&fleet, width, &["V1__tables"]);
        mtmigrate_finds_nothing_to_do(&fleet);
        for text in [lf, &format!("\u{feff}{lf}"), &format!("\u{feff}{crlf}")] {
            fleet.edit("V1__tables.sql", text);
            mtmigrate_finds_nothing_to_do(&fleet);
        }
        fleet.edit("V1__tables.sql", "CREATE TABLE a (id int);\nCREATE TABLE c (id int);\n");
        let drift = fleet.run(&["up"]).expect(3);
        assert!(drift.stderr.contains("MT401"), "{drift}");
    }
}

#[test]
fn a_text_that_was_edited_after_refinery_applied_it_is_drift_to_both() {
    let mut fleet = fleet(&SMALL);
    refinery_applies(&fleet, Width::Int4, &["V1__orders", "V2__order_lines", "V3__rows"]);
    fleet.edit("V2__order_lines.sql", "CREATE TABLE order_lines (id int);\n");
    let before = fleet.dumps();
    let drift = fleet.run(&["up"]).expect(3);
    assert!(drift.stderr.contains("MT401") && drift.stderr.contains("V2__order_lines"), "{drift}");
    for tenant in TENANTS {
        oracle(Width::Int4).run(fleet.place(tenant), &fleet.migrations()).expect(1);
    }
    assert_eq!(fleet.dumps(), before);
}
