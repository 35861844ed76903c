//! A changeset that has not the same effect everywhere halts the run before the next version.

use crate::support::kinds::fleet_of;
use crate::support::{Fleet, KINDS, Kind};

/// The run ended after V`version` with 3, everybody has it and nobody has more; the message shows the diff.
#[track_caller]
fn assert_halted_after(fleet: &Fleet, args: &[&str], version: i64, says: &[&str]) {
    let output = fleet.run(args).expect(3);
    for text in says {
        assert!(output.stderr.contains(text), "no {text:?} in:\n{output}");
    }
    for (tenant, versions) in fleet.all_versions() {
        assert_eq!(versions.last(), Some(&version), "{tenant}");
    }
}

#[test]
fn if_not_exists_over_an_older_table_halts_before_the_next_version() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 5);
        fleet.execute("t03", "CREATE TABLE orders (id int);");
        fleet
            .changeset("V1__orders.sql", "CREATE TABLE IF NOT EXISTS orders (id int, note varchar(80));")
            .changeset("V2__items.sql", "CREATE TABLE items (id int);");
        assert_halted_after(&fleet, &["up"], 1, &["MT411", "t03", "`orders.note` is missing", "-  column orders.note"]);
        // Nothing is changed by trying again.
        let before = fleet.dumps();
        fleet.run(&["up"]).expect(3).says(&["orders.note"]);
        assert_eq!(fleet.dumps(), before, "{kind:?}");
        fleet.execute("t03", "ALTER TABLE orders ADD COLUMN note varchar(80);");
        fleet.run(&["up"]).expect(0);
        fleet.run(&["drift"]).expect(0);
    }
}

/// A guard that looks at the whole catalog: the first tenant gets the index, and the others find it there.
fn guarded(kind: Kind) -> &'static str {
    match kind {
        Kind::Schema => {
            "DO $$ BEGIN
               IF NOT EXISTS (SELECT 1 FROM information_schema.columns
                              WHERE table_name = 'orders' AND column_name = 'note') THEN
                 ALTER TABLE orders ADD COLUMN note text;
               END IF;
             END $$;"
        }
        Kind::MariaDb => {
            "SET @guarded = IF((SELECT count(*) FROM information_schema.statistics WHERE index_name = 'orders_guarded') = 0,
                               'CREATE INDEX orders_guarded ON orders (id)', 'DO 0');
             PREPARE guarded FROM @guarded;
             EXECUTE guarded;
             DEALLOCATE PREPARE guarded;"
        }
        Kind::Database | Kind::Sqlite => unreachable!("its catalog holds one tenant"),
    }
}

/// Covers row 31 of docs/failures.md.
#[test]
fn a_guard_that_sees_the_neighbours_table_halts_before_the_next_version() {
    for (kind, object) in [(Kind::Schema, "orders.note"), (Kind::MariaDb, "orders_guarded")] {
        let mut fleet = fleet_of(kind, 5);
        fleet
            .changeset("V1__orders.sql", "CREATE TABLE orders (id int);")
            .variant(kind.engine(), "V2__guarded.sql", guarded(kind))
            .changeset("V2__guarded.sql", "SELECT 1;")
            .changeset("V3__items.sql", "CREATE TABLE items (id int);");
        fleet.run(&["up", "--to", "1"]).expect(0);
        assert_halted_after(&fleet, &["up", "--jobs", "1"], 2, &["MT411", "t01", object, "4 tenants"]);
        // The others get by hand what the text meant for them.
        for tenant in &fleet.names()[1..] {
            let by_hand = match kind {
                Kind::Schema => "ALTER TABLE orders ADD COLUMN note text;",
                _ => "CREATE INDEX orders_guarded ON orders (id);",
            };
            fleet.execute(tenant, by_hand);
        }
        fleet.run(&["up"]).expect(0);
        fleet.run(&["drift"]).expect(0);
    }
}

#[test]
fn with_verify_run_all_steps_go_and_the_end_tells() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 3);
        fleet.execute("t02", "CREATE TABLE orders (id int);");
        fleet
            .changeset("V1__orders.sql", "CREATE TABLE IF NOT EXISTS orders (id int, note varchar(80));")
            .changeset("V2__items.sql", "CREATE TABLE items (id int);");
        assert_halted_after(&fleet, &["up", "--verify", "run"], 2, &["t02", "orders.note"]);
        fleet.run(&["up"]).expect(3);
    }
}

#[test]
fn with_verify_off_nobody_looks() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 3);
        fleet.execute("t02", "CREATE TABLE orders (id int);");
        fleet.set_top("verify", "off");
        fleet
            .changeset("V1__orders.sql", "CREATE TABLE IF NOT EXISTS orders (id int, note varchar(80));")
            .changeset("V2__items.sql", "CREATE TABLE items (id int);");
        fleet.run(&["up"]).expect(0);
        fleet.run(&["drift"]).expect(3).says(&["orders.note"]);
        fleet.run(&["up", "--verify", "step"]).expect(3);
    }
}

#[test]
fn a_tenant_that_catches_up_must_arrive_where_the_others_are() {
    for kind in KINDS {
        let mut fleet = fleet_of(kind, 4);
        fleet
            .changeset("V1__orders.sql", "CREATE TABLE IF NOT EXISTS orders (id int, note varchar(80));")
            .changeset("V2__items.sql", "CREATE TABLE items (id int);");
        fleet.run(&["up", "--tenant", "t01", "--tenant", "t02", "--tenant", "t03"]).expect(0);
        fleet.execute("t04", "CREATE TABLE orders (id int);");
        // Alone at V1 it is like itself; at V2 it is not like the others.
        assert_halted_after(&fleet, &["up"], 2, &["MT411", "t04", "orders.note"]);
    }
}
