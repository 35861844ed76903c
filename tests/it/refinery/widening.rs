//! The first version of 14 digits: a narrow history becomes one of refinery's `int8-versions` build.

use super::{SMALL, WIDE, add, fleet, mtmigrate_finds_nothing_to_do, refinery_applies, refinery_finds_nothing_to_do};
use crate::support::{Fleet, Width, oracle};

const BY_REFINERY: [&str; 3] = ["V1__orders", "V2__order_lines", "V3__rows"];

/// Has mtmigrate apply the wide changesets to a narrow fleet, and both agree.
#[track_caller]
fn widen(fleet: &mut Fleet) {
    add(fleet, &WIDE[..1]);
    fleet.run(&["up"]).expect(0);
    refinery_finds_nothing_to_do(fleet, Width::Int8);
    add(fleet, &WIDE[1..]);
    refinery_applies(fleet, Width::Int8, &["V20261121093001__note_text"]);
    mtmigrate_finds_nothing_to_do(fleet);
}

#[test]
fn a_history_that_refinery_made_is_widened_for_the_first_version_of_14_digits() {
    let mut fleet = fleet(&SMALL);
    refinery_applies(&fleet, Width::Int4, &BY_REFINERY);
    widen(&mut fleet);
}

#[test]
fn a_history_that_mtmigrate_made_is_widened_for_the_first_version_of_14_digits() {
    let mut fleet = fleet(&SMALL);
    fleet.run(&["up"]).expect(0);
    refinery_finds_nothing_to_do(&fleet, Width::Int4);
    widen(&mut fleet);
}

#[test]
fn a_history_is_widened_also_by_a_changeset_of_small_version_that_comes_with_wide_ones() {
    let mut fleet = fleet(&SMALL[..2]);
    refinery_applies(&fleet, Width::Int4, &BY_REFINERY[..2]);
    add(&mut fleet, &SMALL[2..]);
    widen(&mut fleet);
}

#[test]
fn a_history_of_which_a_file_is_in_crlf_is_widened_too() {
    let mut fleet = fleet(&SMALL[..1]);
    let crlf = SMALL[1].1.replace('\n', "\r\n");
    fleet.changeset(SMALL[1].0, &crlf);
    refinery_applies(&fleet, Width::Int4, &BY_REFINERY[..2]);
    // The checksum that is rewritten is of the normalised text, as a checkout elsewhere has it.
    fleet.edit(SMALL[1].0, SMALL[1].1);
    widen(&mut fleet);
}

#[test]
fn a_failing_first_wide_changeset_leaves_the_narrow_history_as_it_was() {
    let mut fleet = fleet(&SMALL);
    fleet.run(&["up"]).expect(0);
    fleet.changeset(WIDE[0].0, "CREATE TABLE notes (id no_such_type REFERENCES nowhere (x) nonsense);\n");
    fleet.run(&["up"]).expect(1);
    // The text of SQLite and PostgreSQL rolls back with the widening; MariaDB's ALTER commits, and is done again.
    fleet.remove(WIDE[0].0);
    for tenant in ["database", "schema", "file"] {
        let output = oracle(Width::Int4).run(fleet.place(tenant), &fleet.migrations());
        assert_eq!((output.status, &*output.stdout), (0, ""), "{tenant}: {output}");
    }
    mtmigrate_finds_nothing_to_do(&fleet);
    widen(&mut fleet);
}
