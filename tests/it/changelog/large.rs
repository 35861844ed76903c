//! Texts of 20 MB.

use std::fmt::Write;

use crate::support::{Fleet, MariaDb, Options, postgres};

use super::{cell, versions};

/// A table and 20 MB of rows for it, in statements of `per_statement` rows of 1000 bytes.
fn twenty_megabytes(per_statement: usize) -> String {
    let mut text = String::from("CREATE TABLE t (a int, b text);\n");
    let row = "x".repeat(1000);
    for start in (0..20_000).step_by(per_statement) {
        let rows: Vec<String> = (start..start + per_statement).map(|n| format!("({n}, '{row}')")).collect();
        writeln!(text, "INSERT INTO t VALUES {};", rows.join(",\n")).unwrap();
    }
    assert!(text.len() > 20_000_000);
    text
}

#[test]
fn a_text_of_20_mb_in_many_statements_goes_to_every_engine() {
    let mut fleet = Fleet::new();
    let server = MariaDb::start(Options::default());
    fleet.postgres_database("pg", postgres(0)).mariadb("my", &server).sqlite("lite");
    fleet.changeset("V1__seed.sql", &twenty_megabytes(200));
    fleet.run(&["up"]).expect(0);
    for tenant in ["pg", "my", "lite"] {
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t"), "20000", "{tenant}");
    }
}

/// Covers row 27 of docs/failures.md.
#[test]
fn a_statement_over_max_allowed_packet_is_refused_before_anything_of_its_text_ran() {
    let mut fleet = Fleet::new();
    let server = MariaDb::start(Options::default());
    fleet.postgres_database("pg", postgres(0)).mariadb("my", &server).sqlite("lite");
    fleet.changeset("V1__seed.sql", &twenty_megabytes(20_000));
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("MT209") && output.stderr.contains("max_allowed_packet"), "{output}");
    assert!(output.stderr.contains("V1__seed.sql:2:1"), "{output}");
    assert!(output.stderr.len() < 10_000, "the statement itself is not shown: {} bytes", output.stderr.len());
    assert!(fleet.query("my", "SHOW TABLES LIKE 't'").is_empty(), "the text began");
    // Raised, the rest goes through.
    server.execute("", "SET GLOBAL max_allowed_packet = 67108864");
    fleet.run(&["up"]).expect(0);
    for tenant in ["pg", "my", "lite"] {
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t"), "20000", "{tenant}");
        assert_eq!(versions(&fleet, tenant), ["1"]);
    }
}

#[test]
fn an_error_at_the_end_of_20_mb_is_found_at_its_line_on_every_engine() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).sqlite("lite");
    let text = twenty_megabytes(200);
    let line = text.lines().count() + 2;
    fleet.changeset("V1__seed.sql", &format!("{text}\n  SELEKT 1;\n"));
    let output = fleet.run(&["up", "--jobs", "1"]).expect(1);
    assert!(output.stderr.contains(&format!("V1__seed.sql:{line}:3")), "{output}");
    fleet.forget_tenant("pg");
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains(&format!("V1__seed.sql:{line}:3")), "{output}");
}
