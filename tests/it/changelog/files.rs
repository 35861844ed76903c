//! Files: names, encodings, what only a client understands. Refused before any tenant, or applied as meant.

use crate::support::Fleet;

use super::{cell, one_of_each, refused, versions};

/// Covers row 36 of docs/failures.md.
#[test]
fn a_checkout_with_bom_and_crlf_applies_and_is_the_same_changeset_as_one_without() {
    let mut fleet = one_of_each();
    let unix = "-- comment\nCREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n";
    fleet.changeset("V1__t.sql", &format!("\u{feff}{}", unix.replace('\n', "\r\n")));
    fleet.run(&["up"]).expect(0);
    let windows = fleet.dumps();
    fleet.edit("V1__t.sql", unix);
    assert!(fleet.run(&["up"]).expect(0).stdout.contains("nothing to do"));
    fleet.edit("V1__t.sql", &format!("\u{feff}{unix}"));
    fleet.run(&["status", "--check"]).expect(0);
    assert_eq!(fleet.dumps(), windows);
}

/// Covers row 36 of docs/failures.md.
/// Lines inside a literal are normalised too, so every checkout stores the same value.
#[test]
fn a_line_end_inside_a_literal_is_stored_as_a_line_feed() {
    let mut fleet = one_of_each();
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a varchar(10));\r\nINSERT INTO t VALUES ('x\r\ny');\r\n");
    fleet.run(&["up"]).expect(0);
    for tenant in ["pg", "schema", "my", "lite"] {
        assert_eq!(cell(&fleet, tenant, "SELECT a FROM t"), "x\ny", "{tenant}");
    }
}

/// Covers row 37 of docs/failures.md.
#[test]
fn latin_1_utf_16_and_nul_bytes_are_refused_with_the_offset_before_any_tenant() {
    let mut fleet = one_of_each();
    fleet
        .changeset("V1__ok.sql", "CREATE TABLE t (a int);")
        .file("migrations/V2__latin.sql", b"SELECT 1;\nSELECT 'Gr\xf6\xdfe';\n")
        .file("migrations/V3__wide.sql", b"\xff\xfeS\0E\0L\0")
        .file("migrations/V4__nul.sql", b"SELECT 1;\nSELECT \0 2;\n");
    refused(
        &fleet,
        &["MT122", "byte 0xf6 at offset 20", "V2__latin.sql:2:11", "V3__wide.sql is UTF-16", "byte offset 17"],
    );
}

/// Covers row 39 of docs/failures.md.
#[test]
fn duplicate_versions_are_refused_with_both_files_named_also_with_leading_zeros() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset("V1__a.sql", "SELECT 1;").changeset("V01__b.sql", "SELECT 1;");
    refused(&fleet, &["MT121", "V1__a.sql", "V01__b.sql"]);
}

/// Covers row 40 of docs/failures.md.
#[test]
fn every_misnamed_file_is_named_in_one_go_with_the_right_name() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset("V1__ok.sql", "SELECT 1;");
    for file in ["V3_add.sql", "V4__add-users.sql", "v5__x.sql", "notes.sql", "V__x.sql", "mysqll/V6__x.sql"] {
        fleet.changeset(file, "SELECT 1;");
    }
    let output = refused(
        &fleet,
        &["V3_add.sql", "V3__add.sql", "V4__add_users.sql", "V5__x.sql", "notes.sql", "V__x.sql", "mysqll"],
    );
    assert!(output.stderr.matches("error[MT120]").count() >= 6, "{output}");
}

/// Covers row 41 of docs/failures.md.
#[test]
fn changesets_run_in_numeric_order_whatever_their_length() {
    let mut fleet = one_of_each();
    let steps = ["2", "10", "9", "100", "20261121093000", "9223372036854775807", "1"];
    for version in steps {
        let sql = match version {
            "1" => "CREATE TABLE t (a varchar(20));".to_string(),
            version => format!("INSERT INTO t VALUES ('{version}');"),
        };
        fleet.changeset(&format!("V{version}__x.sql"), &sql);
    }
    let output = fleet.run(&["up", "--format", "json"]).expect(0);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let order: Vec<&str> =
        report["steps"].as_array().unwrap().iter().map(|step| step["version"].as_str().unwrap()).collect();
    assert_eq!(order, ["1", "2", "9", "10", "100", "20261121093000", "9223372036854775807"]);
    for tenant in ["pg", "schema", "my", "lite"] {
        assert_eq!(versions(&fleet, tenant), order, "{tenant}");
    }
    fleet.run(&["status", "--check"]).expect(0);
}

/// Covers row 42 of docs/failures.md.
#[test]
fn an_edited_a_removed_and_a_renamed_file_halt_before_any_ddl_and_name_the_tenants() {
    for (change, said) in [("edit", "MT401"), ("remove", "MT402"), ("rename", "MT401")] {
        let mut fleet = one_of_each();
        fleet.changeset("V1__a.sql", "CREATE TABLE a (a int);").changeset("V2__b.sql", "CREATE TABLE b (a int);");
        fleet.run(&["up"]).expect(0);
        fleet.changeset("V3__c.sql", "CREATE TABLE c (a int);");
        match change {
            "edit" => drop(fleet.edit("V1__a.sql", "CREATE TABLE a (a bigint);")),
            "remove" => drop(fleet.remove("V1__a.sql")),
            _ => drop(fleet.remove("V1__a.sql").changeset("V1__other.sql", "CREATE TABLE a (a int);")),
        }
        let before = fleet.dumps();
        let output = fleet.run(&["up"]).expect(3);
        assert!(output.stderr.contains(said), "{change}: {output}");
        for tenant in ["pg", "schema", "my", "lite"] {
            assert!(output.stderr.contains(tenant), "{change}: no {tenant} in {output}");
        }
        assert_eq!(fleet.dumps(), before);
    }
}

/// Covers row 43 of docs/failures.md.
#[test]
fn a_late_merge_halts_until_it_is_allowed() {
    let mut fleet = one_of_each();
    fleet.changeset("V1__a.sql", "CREATE TABLE a (a int);").changeset("V3__c.sql", "CREATE TABLE c (a int);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V2__late.sql", "CREATE TABLE late (a int);");
    let before = fleet.dumps();
    let output = fleet.run(&["up"]).expect(3);
    assert!(output.stderr.contains("MT403") && output.stderr.contains("--allow-out-of-order"), "{output}");
    assert_eq!(fleet.dumps(), before);
    fleet.run(&["up", "--allow-out-of-order"]).expect(0);
    assert_eq!(versions(&fleet, "my"), ["1", "2", "3"]);
}

/// Covers rows 47, 48 of docs/failures.md.
#[test]
fn what_only_a_client_program_understands_is_refused_with_its_line() {
    for (file, sql, line) in [
        ("postgres/V1__x.sql", "CREATE TABLE t (a int);\nCOPY t FROM STDIN;\n1\n2\n\\.\n", "postgres/V1__x.sql:2:"),
        ("postgres/V1__x.sql", "\\restrict abc\nCREATE TABLE t (a int);\n", "postgres/V1__x.sql:1:"),
        ("postgres/V1__x.sql", "SELECT 1;\n\\connect other\nCREATE TABLE t (a int);\n", "postgres/V1__x.sql:2:"),
        ("mysql/V1__x.sql", "CREATE TABLE t (a int);\n\nsource other.sql\n", "mysql/V1__x.sql:3:"),
        ("sqlite/V1__x.sql", "CREATE TABLE t (a int);\n.import a.csv t\n", "sqlite/V1__x.sql:2:"),
    ] {
        let mut fleet = one_of_each();
        fleet.changeset("V1__x.sql", "SELECT 1;").changeset(file, sql);
        refused(&fleet, &["MT125", line]);
    }
}

/// Covers row 49 of docs/failures.md.
#[test]
fn empty_files_and_files_of_comments_alone_are_no_ops_with_a_warning() {
    let mut fleet = one_of_each();
    fleet
        .changeset("V1__empty.sql", "")
        .changeset("V2__lines.sql", "\n \n\t\n")
        .changeset("V3__comments.sql", "-- one\n/* two */\n-- three, without line feed")
        .changeset("V4__t.sql", "CREATE TABLE t (a int)");
    let checked = fleet.run(&["validate"]).expect(0);
    assert_eq!(checked.stderr.matches("warning[MT129]").count(), 3, "{checked}");
    fleet.run(&["up"]).expect(0);
    for tenant in ["pg", "schema", "my", "lite"] {
        assert_eq!(versions(&fleet, tenant), ["1", "2", "3", "4"], "{tenant}");
    }
    fleet.run(&["status", "--check"]).expect(0);
}

#[test]
fn a_last_line_that_is_a_comment_or_lacks_its_semicolon_needs_no_line_feed() {
    let mut fleet = one_of_each();
    fleet
        .changeset("V1__a.sql", "CREATE TABLE a (a int); -- the end")
        .changeset("V2__b.sql", "CREATE TABLE b (a int)")
        .changeset("V3__c.sql", "CREATE TABLE c (a int) /* the end */ -- really")
        .changeset("V4__d.sql", "CREATE TABLE d (a int);;\n;")
        .changeset("V5__e.sql", "-- mtmigrate: no-transaction\nCREATE TABLE e (a int) -- the end");
    fleet.run(&["up"]).expect(0);
    for tenant in ["pg", "schema", "my", "lite"] {
        for table in ["a", "b", "c", "d", "e"] {
            assert_eq!(cell(&fleet, tenant, &format!("SELECT count(*) FROM {table}")), "0");
        }
    }
}

#[test]
fn rows_that_a_text_selects_are_read_and_dropped() {
    let mut fleet = one_of_each();
    let numbers = "SELECT a.x, b.x, repeat('x', 50) FROM generate_series(1, 500) a(x), generate_series(1, 400) b(x);";
    let after = "CREATE TABLE t (a int);\nSELECT * FROM t;\n";
    fleet
        .changeset("V1__x.sql", after)
        .variant("postgres", "V1__x.sql", &format!("{numbers}\n{after}"))
        .variant("mysql", "V1__x.sql", &format!("SELECT seq, repeat('x', 50) FROM seq_1_to_200000;\n{after}"))
        .variant(
            "sqlite",
            "V1__x.sql",
            &format!(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200000) SELECT x FROM n;\n{after}"
            ),
        );
    let output = fleet.run(&["up"]).expect(0);
    assert!(!output.stdout.contains("xxxxxx"), "{output}");
    assert_eq!(versions(&fleet, "my"), ["1"]);
}
