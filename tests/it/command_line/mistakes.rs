//! Mistakes in files: all of them at once, each with its place.

use super::sqlite_fleet;
use crate::support::Fleet;

#[test]
fn five_mistakes_in_tenants_yaml_are_reported_at_once_with_line_and_column() {
    let mut fleet = Fleet::new();
    fleet.tenants_yaml(
        "defaults:
  lock_timeot: 5s
servers:
  eu: { url: \"postgres://u:${NOT_SET}@h:5432\", max_connections: 0 }
tenants:
  - { name: a, url: \"sqlite://data/a.db\" }
  - { name: a, url: \"sqlite://data/b.db\" }
  - { name: c, server: us, database: c }
  - { name: d, url: \"sqlite://data/a.db\" }
",
    );
    let output = fleet.run(&["validate"]).expect(2);
    for (code, place) in [
        ("MT103", "tenants.yaml:2:3"),
        ("MT107", "tenants.yaml:4:"),
        ("MT104", "tenants.yaml:4:"),
        ("MT105", "tenants.yaml:7:"),
        ("MT109", "tenants.yaml:8:"),
        ("MT106", "tenants.yaml:9:"),
    ] {
        assert!(output.stderr.contains(&format!("error[{code}]")), "no {code}: {output}");
        assert!(output.stderr.contains(place), "no {place}: {output}");
    }
    assert!(output.stderr.contains("lock_timeout"), "the right key is offered: {output}");
    assert!(output.stdout.is_empty());
    // Every verb that needs the file says the same.
    for verb in ["plan", "up", "status", "history"] {
        assert_eq!(fleet.run(&[verb]).expect(2).stderr, output.stderr, "{verb}");
    }
}

#[test]
fn mistakes_of_tenants_yaml_and_of_the_changelog_come_together() {
    let mut fleet = sqlite_fleet(1);
    fleet.tenants_yaml("tenants:\n  - { name: a, url: \"sqlite://a.db\", color: red }\n");
    fleet
        .changeset("V2_misnamed.sql", "SELECT 1;")
        .changeset("V3__directive.sql", "-- mtmigrate: no-transactoin\nSELECT 1;")
        .changeset("V1__again.sql", "SELECT 1;")
        .file("migrations/V4__latin.sql", b"SELECT '\xe9';");
    let output = fleet.run(&["validate"]).expect(2);
    for code in ["MT103", "MT120", "MT121", "MT122", "MT123"] {
        assert_eq!(output.stderr.matches(&format!("error[{code}]")).count(), 1, "{code}: {output}");
    }
    assert!(output.stderr.contains("V3__directive.sql:1:1") && output.stderr.contains("no-transaction"), "{output}");
}

#[test]
fn texts_that_cannot_run_on_an_engine_of_the_fleet_are_reported_at_once() {
    let mut fleet = sqlite_fleet(1);
    fleet
        .changeset("V2__open.sql", "SELECT 'open;")
        .changeset("V3__begin.sql", "BEGIN;\nSELECT 1;\nCOMMIT;")
        .changeset("V4__dot.sql", ".tables\n")
        .changeset("postgres/V5__only.sql", "SELECT 1;");
    let output = fleet.run(&["validate"]).expect(2);
    for code in ["MT124", "MT125", "MT126", "MT127"] {
        assert_eq!(output.stderr.matches(&format!("error[{code}]")).count(), 1, "{code}: {output}");
    }
}

#[test]
fn a_file_that_is_no_yaml_is_one_mistake_with_its_place() {
    let mut fleet = Fleet::new();
    fleet.tenants_yaml("tenants:\n  - { name: a\n  - [\n");
    let output = fleet.run(&["validate"]).expect(2);
    assert!(output.stderr.contains("MT102") && output.stderr.contains("tenants.yaml:"), "{output}");
    assert_eq!(output.stderr.matches("error[").count(), 1, "{output}");
}
