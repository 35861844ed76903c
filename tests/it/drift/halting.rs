//! A schema that a hand changed halts everything before anything is changed, until a person has looked.

use crate::support::kinds::fleet_of;
use crate::support::{Fleet, KINDS, Kind, Output};

/// Five tenants at V2; V3 is pending.
fn fleet(kind: Kind) -> Fleet {
    let mut fleet = fleet_of(kind, 5);
    fleet
        .changeset("V1__orders.sql", "CREATE TABLE orders (id int PRIMARY KEY, ref varchar(40));")
        .changeset("V2__index.sql", "CREATE INDEX orders_ref ON orders (ref);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V3__items.sql", "CREATE TABLE items (id int);");
    fleet
}

const BY_HAND: &str = "ALTER TABLE orders ADD COLUMN note int;";
const UNDONE: &str = "ALTER TABLE orders DROP COLUMN note;";

/// Nobody gets anything, and every way to look names the tenant and the column.
#[track_caller]
fn assert_halts(fleet: &Fleet, tenant: &str) {
    let before = fleet.dumps();
    for args in [&["up"][..], &["up", "--verify", "run"], &["plan"], &["drift"], &["drift", "--format", "markdown"]] {
        let output = fleet.run(args).expect(3);
        let all = format!("{}{}", output.stdout, output.stderr);
        for text in [tenant, "orders.note", "+  column orders.note"] {
            assert!(all.contains(text), "{args:?}: no {text:?} in:\n{output}");
        }
    }
    let report = fleet.run(&["up", "--format", "json"]).expect(3).json();
    assert_eq!((report["outcome"].as_str(), report["steps"].as_array().map(Vec::len)), (Some("drift"), Some(0)));
    fleet.run(&["status", "--check"]).expect(3);
    let status = fleet.status();
    assert_eq!((status.count("drifted"), status.state(tenant)), (1, "drifted"), "{}", status.0);
    let drift = &status.tenant(tenant)["drift"];
    assert_eq!(drift.as_array().map(Vec::len), Some(1), "{drift}");
    assert_eq!((drift[0]["kind"].as_str(), drift[0]["object"].as_str()), (Some("column"), Some("orders.note")));
    assert!(drift[0]["expected"].is_null() && drift[0]["found"].is_string(), "{drift}");
    assert_eq!(fleet.dumps(), before);
}

#[test]
fn a_change_by_hand_in_one_tenant_halts_all_and_undoing_it_lets_them_go_on() {
    for kind in KINDS {
        let fleet = fleet(kind);
        fleet.run(&["drift"]).expect(0);
        fleet.execute("t03", BY_HAND);
        assert_halts(&fleet, "t03");
        let said = fleet.run(&["up"]).expect(3).stderr;
        assert!(said.contains("MT410") && said.contains("changed by hand"), "{kind:?}: {said}");
        fleet.execute("t03", UNDONE);
        fleet.run(&["drift"]).expect(0);
        fleet.run(&["up"]).expect(0);
        assert_eq!(fleet.versions("t03"), [1, 2, 3], "{kind:?}");
    }
}

#[test]
fn drift_halts_also_when_nothing_is_pending() {
    for kind in KINDS {
        let fleet = fleet(kind);
        fleet.run(&["up"]).expect(0);
        fleet.execute("t01", "DROP INDEX orders_ref".to_owned().as_str().replace("orders_ref", drop(kind)).as_str());
        let output = fleet.run(&["up"]).expect(3);
        assert!(output.stderr.contains("orders_ref") && output.stderr.contains("is missing"), "{kind:?}: {output}");
    }

    fn drop(kind: Kind) -> &'static str {
        if kind == Kind::MariaDb { "orders_ref ON orders" } else { "orders_ref" }
    }
}

#[test]
fn what_a_person_accepts_is_expected_from_then_on_and_the_journal_tells() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.execute("t03", BY_HAND);
        let accepted = fleet.run(&["accept", "--tenant", "t03", "--reason", "ticket 812: a report needs it"]).expect(0);
        assert!(accepted.stdout.contains("orders.note"), "{kind:?}: {accepted}");
        fleet.run(&["drift"]).expect(0);
        fleet.run(&["status", "--check"]).expect(4);
        fleet.run(&["up"]).expect(0);
        assert_eq!(fleet.versions("t03"), [1, 2, 3], "{kind:?}");
        // Changesets that come later keep what was accepted accepted.
        fleet.changeset("V4__more.sql", "ALTER TABLE orders ADD COLUMN more int;");
        fleet.run(&["up"]).expect(0);
        fleet.run(&["drift"]).expect(0);
        fleet.run(&["status", "--check"]).expect(0);

        let history = fleet.run(&["history", "--tenant", "t03"]).expect(0);
        assert!(history.stdout.contains("accepted"), "{kind:?}: {history}");
        let history = fleet.run(&["history", "--tenant", "t03", "--format", "json"]).expect(0).json();
        let attempts = history["tenants"][0]["attempts"].as_array().unwrap();
        let row = attempts.iter().find(|attempt| attempt["outcome"] == "accepted").unwrap();
        let said = row["error"].as_str().unwrap();
        assert!(said.contains("ticket 812") && said.contains("orders.note"), "{kind:?}: {row}");
        assert!(row["who"].is_string() && row["fingerprint"].is_string() && row["run_id"].is_string(), "{row}");

        // Another change comes on top: that one was not accepted.
        fleet.execute("t03", "ALTER TABLE orders ADD COLUMN other int;");
        let output = fleet.run(&["up"]).expect(3);
        assert!(output.stderr.contains("orders.other"), "{kind:?}: {output}");
        assert!(!output.stderr.contains("`orders.note`"), "{kind:?}: {output}");
    }
}

#[test]
fn every_tenant_changed_alike_is_still_changed_by_hand() {
    for kind in KINDS {
        let fleet = fleet(kind);
        for tenant in fleet.names() {
            fleet.execute(&tenant, BY_HAND);
        }
        let output = fleet.run(&["up"]).expect(3);
        let text = output.stderr.as_str();
        assert!(
            text.contains("MT410") && text.contains("5 tenants") && text.contains("orders.note"),
            "{kind:?}: {output}"
        );
    }
}

#[test]
fn a_rule_says_what_may_differ_until_its_last_day() {
    for kind in KINDS {
        let mut fleet = fleet(kind);
        fleet.execute("t03", "CREATE TABLE tmp_import (id int PRIMARY KEY);");
        fleet.run(&["up"]).expect(3).says(&["tmp_import"]);
        let rule = |until: &str| {
            format!("{{ ignore: [{{ objects: [\"table tmp_*\"], reason: \"an import, ticket 9\", until: {until} }}] }}")
        };
        fleet.set_top("drift", &rule("2026-01-31"));
        let output: Output = fleet.run(&["up"]).expect(3);
        assert!(output.stderr.contains("ticket 9") && output.stderr.contains("2026-01-31"), "{kind:?}: {output}");
        fleet.set_top("drift", &rule("2999-12-31"));
        fleet.run(&["drift"]).expect(0);
        fleet.run(&["up"]).expect(0);
        assert_eq!(fleet.versions("t03"), [1, 2, 3], "{kind:?}");
        fleet.run(&["drift"]).expect(0);
    }
}

#[test]
fn the_draft_of_a_repair_makes_the_tenant_like_its_cohort() {
    for kind in KINDS {
        let fleet = fleet(kind);
        fleet.run(&["up"]).expect(0);
        let on = if kind == Kind::MariaDb { " ON orders" } else { "" };
        fleet.execute("t03", &format!("DROP TABLE items; DROP INDEX orders_ref{on}; {BY_HAND}"));
        let output = fleet.run(&["drift", "--repair-sql"]).expect(3);
        assert!(!output.stdout.to_lowercase().contains("drop"), "{kind:?}: {output}");
        fleet.execute("t03", &output.stdout);
        let left = fleet.run(&["drift"]).expect(3);
        assert!(left.stdout.contains("orders.note") && !left.stdout.contains("`orders_ref`"), "{kind:?}: {left}");
        fleet.execute("t03", UNDONE);
        fleet.run(&["drift"]).expect(0);
    }
}

#[test]
fn two_tenants_are_compared_whatever_the_rest_is() {
    for kind in KINDS {
        let fleet = fleet(kind);
        fleet.execute("t02", BY_HAND);
        let same = fleet.run(&["drift", "--tenant", "t01", "--against", "t03"]).expect(0);
        assert!(same.stdout.contains("t01"), "{kind:?}: {same}");
        let output = fleet.run(&["drift", "--tenant", "t02", "--against", "t01"]).expect(3);
        assert!(output.stdout.contains("+  column orders.note"), "{kind:?}: {output}");
    }
}
