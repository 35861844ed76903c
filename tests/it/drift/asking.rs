//! First contact: tenants of which nothing is recorded.

use crate::support::kinds::fleet_of;
use crate::support::{Fleet, KINDS, Kind, Width, oracle};

/// Tenants that refinery brought up, the last of which got an index by hand.
fn brought_up_by_refinery(kind: Kind, tenants: usize) -> Fleet {
    let mut fleet = fleet_of(kind, tenants);
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int, ref varchar(40));");
    for tenant in fleet.names() {
        oracle(Width::Int4).run(fleet.place(&tenant), &fleet.migrations()).expect(0);
    }
    let last = fleet.names().pop().unwrap();
    fleet.execute(&last, "CREATE INDEX orders_ref ON orders (ref);");
    fleet.changeset("V2__items.sql", "CREATE TABLE items (id int);");
    fleet
}

#[test]
fn the_majority_is_the_reference_where_nothing_is_recorded() {
    for kind in KINDS {
        let fleet = brought_up_by_refinery(kind, 3);
        let before = fleet.dumps();
        let output = fleet.run(&["up"]).expect(3);
        assert!(output.stderr.contains("MT411") && output.stderr.contains("t03"), "{kind:?}: {output}");
        fleet.run(&["drift"]).expect(3).says(&["orders_ref", "2 tenants"]);
        assert_eq!(fleet.dumps(), before, "{kind:?}");
        // The journal is made by the acceptance.
        fleet.run(&["accept", "--tenant", "t03", "--reason", "the search is slow there"]).expect(0);
        fleet.run(&["up"]).expect(0);
        fleet.run(&["drift"]).expect(0);
    }
}

#[test]
fn without_a_majority_the_report_says_so_and_a_person_decides() {
    for kind in KINDS {
        let fleet = brought_up_by_refinery(kind, 2);
        let output = fleet.run(&["up"]).expect(3);
        assert!(output.stderr.contains("MT412") && output.stderr.contains("mtmigrate accept"), "{kind:?}: {output}");
        fleet.run(&["drift"]).expect(3).says(&["t01", "t02"]);
        fleet.run(&["accept", "--tenant", "t01", "--reason", "this one is right"]).expect(0);
        // Now there is a reference, and the other one is not like it.
        fleet.run(&["up"]).expect(3).says(&["MT411", "t02", "orders_ref"]);
        fleet.run(&["accept", "--tenant", "t02", "--reason", "this one may keep its index"]).expect(0);
        fleet.run(&["up"]).expect(0);
        fleet.run(&["drift"]).expect(0);
    }
}

#[test]
fn a_lone_tenant_is_its_own_reference_at_first_and_then_its_record_is() {
    for kind in KINDS {
        let mut fleet = brought_up_by_refinery(kind, 1);
        fleet.run(&["drift"]).expect(0);
        fleet.run(&["up"]).expect(0);
        fleet.execute("t01", "ALTER TABLE orders ADD COLUMN note int;");
        fleet.changeset("V3__more.sql", "CREATE TABLE more (id int);");
        // What it was is in its journal: the difference can be named without any other tenant.
        fleet.run(&["up"]).expect(3).says(&["MT410", "orders.note", "+  column orders.note"]);
    }
}
