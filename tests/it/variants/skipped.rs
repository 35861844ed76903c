//! Changesets that are not for everybody: recorded as skipped, and compared with those alone that skipped the same.

use crate::support::kinds::{fleet_of, fleet_of_all};
use crate::support::{Fleet, KINDS, Kind, MariaDb, Options, Postgres};

const ORDERS: &str = "CREATE TABLE orders (id int);\n";
const EU_ONLY: &str = "-- mtmigrate: only label=eu\nCREATE TABLE vat (id int);\n";
const MORE: &str = "CREATE TABLE more (id int);\n";

/// Gives these tenants the label `eu`.
fn in_the_eu(fleet: &mut Fleet, tenants: &[&str]) {
    for tenant in tenants {
        fleet.set(tenant, "labels", "[eu]");
    }
}

/// What a journal says of each version, its last rows' `skipped` at the end.
fn journal(fleet: &Fleet, tenant: &str) -> Vec<String> {
    let sql =
        "SELECT version, outcome, coalesce(skipped, '-') FROM mtmigrate_journal WHERE outcome <> 'started' ORDER BY id";
    let rows = fleet.query(tenant, sql).into_iter();
    rows.map(|row| row.into_iter().map(|cell| cell.unwrap_or_default()).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn who_a_changeset_is_not_for_has_it_recorded_as_skipped_and_nobody_calls_it_drift() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 4);
        in_the_eu(&mut fleet, &["t01", "t03"]);
        fleet.changeset("V1__orders.sql", ORDERS).changeset("V2__vat.sql", EU_ONLY).changeset("V3__more.sql", MORE);
        let plan = fleet.run(&["plan"]).expect(0).stdout;
        assert!(
            plan.contains("only label=eu") && plan.contains("recorded as skipped on 2 tenants: t02, t04"),
            "{plan}"
        );
        let output = fleet.run(&["up"]).expect(0);
        assert!(output.stdout.contains("(3 steps, 10 changesets applied, 2 skipped)"), "{kind:?}: {output}");
        for tenant in ["t01", "t02", "t03", "t04"] {
            let is_eu = ["t01", "t03"].contains(&tenant);
            assert_eq!(fleet.versions(tenant), [1, 2, 3], "{kind:?} {tenant}");
            assert_eq!(fleet.has_table(tenant, "vat"), is_eu, "{kind:?} {tenant}");
            let expected = match is_eu {
                true => ["1 applied -", "2 applied -", "3 applied -"],
                false => ["1 applied -", "2 skipped 2", "3 applied 2"],
            };
            assert_eq!(journal(&fleet, tenant), expected, "{kind:?} {tenant}");
        }
        let sums = |tenant: &str| fleet.cell(tenant, "SELECT checksum FROM refinery_schema_history WHERE version = 2");
        assert_eq!(sums("t01"), sums("t02"), "{kind:?}: refinery sees the same changeset");
        let drift = fleet.run(&["drift"]).expect(0).stdout;
        assert!(drift.contains("V3, skipped V2"), "{kind:?}: {drift}");
        let status: serde_json::Value =
            serde_json::from_str(&fleet.run(&["status", "--format", "json"]).expect(0).stdout).unwrap();
        let skipped: Vec<String> =
            status["tenants"].as_array().unwrap().iter().map(|t| t["skipped"].to_string()).collect();
        assert_eq!(skipped, ["[]", "[\"2\"]", "[]", "[\"2\"]"], "{kind:?}");
        let history = fleet.run(&["history", "--tenant", "t02"]).expect(0).stdout;
        assert!(history.contains("skipped"), "{history}");
        let again = fleet.run(&["up"]).expect(0);
        assert!(again.stdout.contains("nothing to do"), "{again}");
    }
}

#[test]
fn who_lost_what_the_others_of_its_cohort_have_is_drift_and_who_skipped_it_is_not() {
    for kind in [Kind::Database, Kind::MariaDb, Kind::Sqlite] {
        let mut fleet = fleet_of(kind, 6);
        in_the_eu(&mut fleet, &["t01", "t02", "t03"]);
        fleet.changeset("V1__orders.sql", ORDERS).changeset("V2__vat.sql", EU_ONLY);
        fleet.run(&["up"]).expect(0);
        // It should have run it, and has not got what it made.
        fleet.execute("t01", "DROP TABLE vat");
        let drift = fleet.run(&["drift"]).expect(3).stdout;
        assert!(drift.contains("t01") && !drift.contains("t04\n+"), "{kind:?}: {drift}");
        assert!(drift.contains("table `vat` is missing") || drift.contains("-table vat"), "{kind:?}: {drift}");
        fleet.execute("t01", "CREATE TABLE vat (id int)");
        fleet.run(&["drift"]).expect(0);
        // It skipped it, and somebody made it by hand.
        fleet.execute("t05", "CREATE TABLE vat (id int)");
        let drift = fleet.run(&["drift"]).expect(3).stdout;
        assert!(drift.contains("t05") && drift.contains("skipped V2"), "{kind:?}: {drift}");
        fleet.changeset("V3__more.sql", MORE);
        fleet.run(&["up"]).expect(3);
        let accepted = fleet.run(&["accept", "--tenant", "t05", "--reason", "it is wanted there"]);
        accepted.expect(0);
        fleet.run(&["up"]).expect(0);
        assert_eq!(journal(&fleet, "t05"), ["1 applied -", "2 skipped 2", "2 accepted 2", "3 applied 2"], "{kind:?}");
        fleet.run(&["drift"]).expect(0);
    }
}

#[test]
fn a_text_without_an_effect_halts_the_step_in_the_cohort_that_should_have_it() {
    for kind in [Kind::Schema, Kind::MariaDb, Kind::Sqlite] {
        let mut fleet = fleet_of(kind, 6);
        in_the_eu(&mut fleet, &["t01", "t02", "t03"]);
        fleet.changeset("V1__orders.sql", ORDERS);
        // What only t01 has makes the text do nothing there.
        fleet.changeset(
            "V2__vat.sql",
            "-- mtmigrate: template\n-- mtmigrate: only label=eu\nCREATE TABLE ${ident:table} (id int);\n",
        );
        fleet.set_top("defaults", "{ vars: { table: vat } }").set("t01", "vars", "{ table: other }");
        let output = fleet.run(&["up"]).expect(3);
        assert!(
            output.stderr.contains("V2__vat left tenant t01 with another schema than its cohort"),
            "{kind:?}: {output}"
        );
        assert!(!output.stderr.contains("t04") && !output.stderr.contains("t05"), "{kind:?}: {output}");
    }
}

#[test]
fn a_tenant_that_is_labelled_later_keeps_what_really_happened() {
    let mut fleet = fleet_of_all(3);
    let names = fleet.names();
    let eu: Vec<&str> = names.iter().filter(|name| name.ends_with('1')).map(String::as_str).collect();
    in_the_eu(&mut fleet, &eu);
    fleet.changeset("V1__orders.sql", ORDERS).changeset("V2__vat.sql", EU_ONLY);
    fleet.run(&["up"]).expect(0);
    let moved: Vec<&str> = names.iter().filter(|name| name.ends_with('2')).map(String::as_str).collect();
    in_the_eu(&mut fleet, &moved);
    for command in ["status", "drift", "plan"] {
        fleet.run(&[command]).expect(0);
    }
    fleet
        .changeset("V3__more.sql", MORE)
        .changeset("V4__vat.sql", "-- mtmigrate: except label=eu\nCREATE TABLE rest (id int);\n");
    fleet.run(&["up"]).expect(0);
    fleet.run(&["drift"]).expect(0);
    for name in &names {
        let (kept, number) = (journal(&fleet, name), name.chars().last());
        let expected = match number {
            Some('1') => "4 skipped 4",
            Some('2') => "4 skipped 2,4",
            _ => "4 applied 2",
        };
        assert_eq!(kept.last().map(String::as_str), Some(expected), "{name}: {kept:?}");
    }
}

#[test]
fn whom_only_and_except_mean_is_by_label_name_and_engine_and_by_the_engines_own_text() {
    let mut fleet = fleet_of_all(2);
    in_the_eu(&mut fleet, &["schema1", "mariadb2"]);
    fleet.changeset("V1__a.sql", "-- mtmigrate: only label=eu tenant=sqlite*\nCREATE TABLE a (id int);\n");
    fleet.changeset("V2__b.sql", "-- mtmigrate: except engine=sqlite,mysql\nCREATE TABLE b (id serial);\n");
    fleet.changeset("V3__c.sql", "CREATE TABLE c (id int);\n");
    fleet.variant("sqlite", "V3__c.sql", "-- mtmigrate: only tenant=*1\nCREATE TABLE c (id int);\n");
    let output = fleet.run(&["up"]).expect(0);
    assert!(output.stdout.contains("(3 steps, 15 changesets applied, 9 skipped)"), "{output}");
    let has = |table: &str| -> Vec<String> {
        fleet.names().into_iter().filter(|name| fleet.has_table(name, table)).collect()
    };
    assert_eq!(has("a"), ["schema1", "mariadb2", "sqlite1", "sqlite2"]);
    assert_eq!(has("b"), ["schema1", "schema2", "database1", "database2"]);
    assert_eq!(has("c"), ["schema1", "schema2", "database1", "database2", "mariadb1", "mariadb2", "sqlite1"]);
    fleet.changeset("V4__d.sql", "-- mtmigrate: only label=ue\nCREATE TABLE d (id int);\n");
    let warned = fleet.run(&["validate"]).expect(0).stderr;
    assert!(
        warned.contains("warning[MT123]: migrations/V4__d.sql: `only label=ue` means no tenant of this fleet"),
        "{warned}"
    );
}

#[test]
fn what_was_begun_is_ended_whatever_the_labels_say_since() {
    let mut fleet = fleet_of(Kind::MariaDb, 2);
    in_the_eu(&mut fleet, &["t01"]);
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int PRIMARY KEY);\nINSERT INTO orders VALUES (1);\n");
    let text = "-- mtmigrate: only label=eu\nCREATE TABLE vat (id int);\nINSERT INTO orders VALUES (1);\n";
    fleet.changeset("V2__vat.sql", text);
    fleet.run(&["up"]).expect(6);
    fleet.set("t01", "labels", "[us]");
    fleet.execute("t01", "DELETE FROM orders");
    fleet.run(&["up"]).expect(0);
    assert!(fleet.has_table("t01", "vat"));
    assert_eq!(journal(&fleet, "t01").last().map(String::as_str), Some("2 applied -"));
    assert_eq!(journal(&fleet, "t02").last().map(String::as_str), Some("2 skipped 2"));
}

#[test]
fn the_hash_of_the_resolved_list_is_in_every_row_that_a_run_writes() {
    let (postgres, mariadb) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", &postgres).mariadb("maria", &mariadb).sqlite("lite");
    fleet.changeset("V1__orders.sql", ORDERS);
    fleet.run(&["up"]).expect(0);
    let listed = fleet.run(&["tenants", "list", "--format", "json"]).expect(0).json();
    let hash = listed["hash"].as_str().expect("a hash");
    assert_eq!(hash.len(), 16, "{hash}");
    for tenant in ["pg", "maria", "lite"] {
        assert_eq!(fleet.cell(tenant, "SELECT DISTINCT fleet FROM mtmigrate_journal"), hash, "{tenant}");
    }
}
