//! Stock refinery runs here, in both widths: what the compatibility tests compare with.

use crate::support::sandbox::expect_panic;
use crate::support::{Fleet, Width, mariadb, oracle, postgres};

const TENANTS: [&str; 4] = ["database", "schema", "mysql", "file"];

fn fleet_on_every_engine() -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet
        .postgres_database("database", postgres(0))
        .postgres_schema("schema", postgres(0), &shared)
        .mariadb("mysql", mariadb(0))
        .sqlite("file");
    fleet
}

#[test]
fn refinery_applies_small_versions_in_both_widths_and_finds_nothing_to_do_again() {
    for width in [Width::Int4, Width::Int8] {
        let mut fleet = fleet_on_every_engine();
        fleet
            .changeset("V1__orders.sql", "CREATE TABLE orders (id int);")
            .changeset("V2__lines.sql", "CREATE TABLE order_lines (id int);");
        for tenant in TENANTS {
            let refinery = || oracle(width).run(fleet.place(tenant), &fleet.migrations()).expect(0);
            assert_eq!(refinery().stdout, "V1__orders\nV2__lines\n", "{tenant} {width:?}");
            let before = fleet.dump(tenant);
            assert_eq!(refinery().stdout, "", "{tenant} {width:?}");
            assert_eq!(fleet.dump(tenant), before, "{tenant} {width:?}");
        }
    }
}

#[test]
fn refinery_takes_a_timestamp_as_version_in_the_wide_build_alone() {
    let mut fleet = fleet_on_every_engine();
    fleet.changeset("V20261121093000__orders.sql", "CREATE TABLE orders (id int);");
    for tenant in TENANTS {
        let refinery = |width| oracle(width).run(fleet.place(tenant), &fleet.migrations());
        refinery(Width::Int4).expect(1);
        let applied = refinery(Width::Int8).expect(0).stdout;
        assert_eq!(applied, "V20261121093000__orders\n", "{tenant}");
        let history = fleet.query(tenant, "SELECT version FROM refinery_schema_history");
        assert_eq!(history, [[Some("20261121093000".to_string())]], "{tenant}");
    }
}

#[test]
fn the_two_widths_record_different_checksums_of_one_text() {
    let [narrow, wide] = [Width::Int4, Width::Int8].map(|width| {
        let mut fleet = Fleet::new();
        fleet.sqlite("a").changeset("V1__a.sql", "CREATE TABLE a (id int);");
        oracle(width).run(fleet.place("a"), &fleet.migrations()).expect(0);
        fleet.query("a", "SELECT checksum FROM refinery_schema_history")
    });
    assert_ne!(narrow, wide);
}

#[test]
fn a_failing_migration_ends_refinery_with_status_1_and_no_history_row() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0)).changeset("V1__a.sql", "CREATE TABLE a (id no_such_type);");
    let output = oracle(Width::Int4).run(fleet.place("a"), &fleet.migrations()).expect(1);
    assert!(output.stderr.contains("no_such_type"), "{output}");
    let history = fleet.query("a", "SELECT version FROM refinery_schema_history");
    assert!(history.is_empty(), "{history:?}");
    let message = expect_panic(|| drop(output.expect(0)));
    assert!(message.contains("no_such_type"), "{message}");
}
