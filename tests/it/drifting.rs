//! Drift of the history in one tenant halts everything, and not one row or object changes in any tenant.

use crate::support::kinds::{fleet_of, fleet_of_all};
use crate::support::{Fleet, KINDS, Kind, Output};

const TENANTS: usize = 3;

/// Three tenants at V4; V5 is pending.
fn fleet(kind: Kind) -> Fleet {
    let mut fleet = fleet_of(kind, TENANTS);
    at_v4(&mut fleet);
    fleet
}

fn at_v4(fleet: &mut Fleet) {
    fleet
        .changeset("V1__orders.sql", "CREATE TABLE orders (id int);")
        .changeset("V2__lines.sql", "CREATE TABLE order_lines (id int);")
        .changeset("V4__items.sql", "CREATE TABLE items (id int);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V5__pending.sql", "CREATE TABLE pending (id int);");
}

/// Runs everything that could change something or tell: halted with 3, and all tenants are as they were.
#[track_caller]
fn assert_halts(fleet: &Fleet, state: &str, drifted: &[&str], says: &[&str]) {
    let before = fleet.dumps();
    for args in [&["up"][..], &["up", "--lock-wait", "0"], &["plan"], &["plan", "--check"], &["status", "--check"]] {
        let output = fleet.run(args).expect(3);
        assert_says(&output, says, args);
    }
    let report = fleet.run(&["up", "--format", "json"]).expect(3).json();
    assert_eq!((report["outcome"].as_str(), report["exit_status"].as_i64()), (Some("drift"), Some(3)), "{report}");
    assert_eq!(report["steps"].as_array().map(Vec::len), Some(0), "{report}");
    assert_says(&fleet.run(&["status"]), says, &["status"]);
    let status = fleet.status();
    assert_eq!(status.count(state), drifted.len() as u64, "{}", status.0);
    for tenant in drifted {
        assert_eq!(status.state(tenant), state, "{}", status.0);
        assert_eq!(status.tenant(tenant)["drift"].as_array().map(Vec::len), Some(1), "{}", status.0);
    }
    assert_eq!(fleet.dumps(), before);
}

#[track_caller]
fn assert_says(output: &Output, says: &[&str], args: &[&str]) {
    for text in says {
        assert!(output.stderr.contains(text), "{args:?}: no {text:?} in:\n{output}");
    }
}

/// The checksum that a tenant's history has of a version.
fn recorded(fleet: &Fleet, tenant: &str, version: i64) -> String {
    fleet.cell(tenant, &format!("SELECT checksum FROM refinery_schema_history WHERE version = {version}"))
}

/// The checksum that a text would get, by `plan` on an empty tenant.
fn checksum_of(kind: Kind, file: &str, text: &str) -> String {
    let mut other = fleet_of(kind, 1);
    other.changeset(file, text);
    let plan = other.run(&["plan", "--format", "json"]).expect(0).json();
    plan["steps"][0]["texts"][0]["checksum"].as_str().unwrap_or_else(|| panic!("{plan}")).to_string()
}

#[test]
fn an_edited_file_halts_all_and_both_checksums_are_shown() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        let edited = "CREATE TABLE order_lines (id bigint);";
        fleet.edit("V2__lines.sql", edited);
        let (old, new) = (recorded(&fleet, "t01", 2), checksum_of(kind, "V2__lines.sql", edited));
        let says = ["MT401", "V2__lines", "t01, t02, t03", "migrations/V2__lines.sql", &old, &new, "restore the text"];
        assert_halts(&fleet, "drifted", &["t01", "t02", "t03"], &says);
        fleet.edit("V2__lines.sql", "CREATE TABLE order_lines (id int);");
        fleet.run(&["up"]).expect(0);
    }
}

#[test]
fn a_text_that_one_tenant_alone_got_otherwise_halts_all() {
    for kind in KINDS {
        let fleet = fleet(kind);
        fleet.execute("t02", "UPDATE refinery_schema_history SET checksum = '17' WHERE version = 2");
        let says = ["MT401", "V2__lines", "to tenant t02", "checksum 17 is recorded", &recorded(&fleet, "t01", 2)];
        assert_halts(&fleet, "drifted", &["t02"], &says);
        let status = fleet.status();
        assert_eq!(status.tenant("t02")["drift"][0]["version"], "2", "{}", status.0);
        assert_eq!((status.state("t01"), status.state("t03")), ("behind", "behind"), "{}", status.0);
    }
}

#[test]
fn a_removed_file_halts_all() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.remove("V2__lines.sql");
        let says = ["V2__lines", "t01, t02, t03", "its file is missing", "put the file back into"];
        assert_halts(&fleet, "drifted", &["t01", "t02", "t03"], &says);
    }
}

#[test]
fn a_renamed_file_halts_all() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.remove("V2__lines.sql").changeset("V2__order_lines.sql", "CREATE TABLE order_lines (id int);");
        let says =
            ["V2__order_lines was renamed", "t01, t02, t03", "the name lines is recorded", "V2__lines.sql again"];
        assert_halts(&fleet, "drifted", &["t01", "t02", "t03"], &says);
    }
}

#[test]
fn a_late_merged_file_halts_all_until_it_is_allowed() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.changeset("V3__late.sql", "CREATE TABLE late (id int);");
        let says = ["V3__late is older than version 4", "t01, t02, t03", "a version above 5", "--allow-out-of-order"];
        assert_halts(&fleet, "drifted", &["t01", "t02", "t03"], &says);
        fleet.run(&["plan", "--allow-out-of-order"]).expect(0).says(&["V3__late", "V5__pending"]);
        fleet.run(&["up", "--allow-out-of-order"]).expect(0);
        for (tenant, versions) in fleet.all_versions() {
            assert_eq!(versions, [1, 2, 3, 4, 5], "{kind:?} {tenant}");
            assert!(fleet.has_table(&tenant, "late"), "{kind:?} {tenant}");
        }
        fleet.run(&["status", "--check"]).expect(0);
        fleet.run(&["up"]).expect(0);
    }
}

#[test]
fn a_late_u_changeset_is_no_drift() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.changeset("U3__late.sql", "CREATE TABLE late (id int);");
        fleet.run(&["status", "--check"]).expect(4);
        fleet.run(&["up"]).expect(0);
        for (tenant, versions) in fleet.all_versions() {
            assert_eq!(versions, [1, 2, 3, 4, 5], "{kind:?} {tenant}");
        }
    }
}

#[test]
fn a_tenant_that_a_newer_release_was_at_is_ahead_and_halts_all() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.changeset("V6__newer.sql", "CREATE TABLE newer (id int);");
        fleet.run(&["up", "--tenant", "t03"]).expect(0);
        fleet.remove("V6__newer.sql");
        let says = ["V6__newer was applied to tenant t03", "ends at version 5", "check out the one that has"];
        assert_halts(&fleet, "ahead", &["t03"], &says);
        assert_eq!(fleet.status().tenant("t03")["version"], "6");
    }
}

#[test]
fn a_strange_row_halts_all_and_is_shown() {
    for kind in KINDS {
        let fleet = fleet(kind);
        for (column, value, what, shown) in [
            ("checksum", "'twelve'", "its checksum is no decimal number of 64 bits", "checksum \"twelve\""),
            ("checksum", "'18446744073709551616'", "its checksum is no decimal number of 64 bits", "lines"),
            ("checksum", "NULL", "its checksum is null", "checksum null"),
            ("applied_on", "'yesterday'", "its applied_on is no RFC 3339 time", "applied_on \"yesterday\""),
            ("name", "NULL", "its name is null", "name null"),
            ("version", "-2", "its version is no whole number from 0 up", "version \"-2\""),
        ] {
            let right = fleet.cell("t02", &format!("SELECT {column} FROM refinery_schema_history WHERE version = 2"));
            let set = format!("UPDATE refinery_schema_history SET {column} = ");
            fleet.execute("t02", &format!("{set}{value} WHERE version = 2"));
            let before = fleet.dumps();
            for args in [["up"], ["plan"]] {
                fleet.run(&args).expect(3).says(&["tenant t02", what, shown, "correct the row"]);
            }
            fleet.run(&["status", "--check"]).expect(3);
            assert_eq!(fleet.status().state("t02"), "drifted", "{kind:?} {column} {value}");
            assert_eq!(fleet.dumps(), before, "{kind:?} {column} {value}");
            let changed = if column == "version" { "-2" } else { "2" };
            fleet.execute("t02", &format!("{set}'{right}' WHERE version = {changed}"));
        }
        fleet.run(&["up"]).expect(0);
    }
}

#[test]
fn drift_on_one_engine_halts_the_tenants_of_all_others() {
    let mut fleet = fleet_of_all(2);
    at_v4(&mut fleet);
    for kind in KINDS {
        let tenant = format!("{kind:?}2").to_lowercase();
        let right = recorded(&fleet, &tenant, 4);
        fleet.execute(&tenant, "UPDATE refinery_schema_history SET checksum = '17' WHERE version = 4");
        assert_halts(&fleet, "drifted", &[&tenant], &["MT401", &tenant, "checksum 17 is recorded"]);
        fleet.execute(&tenant, &format!("UPDATE refinery_schema_history SET checksum = '{right}' WHERE version = 4"));
    }
    fleet.run(&["up"]).expect(0);
}
