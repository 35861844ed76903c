//! A runner that died between a statement and its answer: what the next `up` finds out, and what a person is told.
//!
//! The journal is put back to where such a runner leaves it: the text is run to its end, and then its history row and the
//! journal's last row are taken away. The row that is left is the one that mtmigrate wrote before the last statement.

mod mariadb;
mod postgres;
mod sessions;
mod sqlite;

use crate::support::{Fleet, Output};

/// Makes the last changeset that was applied one whose runner died behind its last statement.
fn die_at_the_last_statement(fleet: &Fleet, tenant: &str) {
    let version = "SELECT max(version) FROM refinery_schema_history";
    let version = fleet.cell(tenant, version);
    let begun = format!("SELECT max(id) FROM mtmigrate_journal WHERE version = {version} AND outcome = 'started'");
    let id = fleet.cell(tenant, &begun);
    fleet.execute(tenant, &format!("DELETE FROM mtmigrate_journal WHERE id > {id}"));
    fleet.execute(tenant, &format!("DELETE FROM refinery_schema_history WHERE version = {version}"));
    let last = fleet.cell(tenant, "SELECT outcome FROM mtmigrate_journal ORDER BY id DESC LIMIT 1");
    assert_eq!(last, "started", "{tenant}");
}

/// A tenant's data without what differs between two runs.
fn state(fleet: &Fleet, tenant: &str) -> String {
    let mut own = false;
    let dump = fleet.dump(tenant);
    let foreign = dump.lines().filter(|line| {
        let begins = line.contains("mtmigrate_journal") || line.contains("refinery_schema_history");
        // The rest of a definition of ours, and in SQLite's dump its rows.
        own = begins || (own && line.starts_with([' ', ')']));
        !own && !line.contains("sqlite_sequence")
    });
    foreign.collect::<Vec<_>>().join("\n")
}

/// What the journal says of the statement that was in doubt.
fn verdict(fleet: &Fleet, tenant: &str) -> String {
    fleet.cell(tenant, "SELECT error FROM mtmigrate_journal WHERE error LIKE 'marked%' ORDER BY id DESC LIMIT 1")
}

/// `up` stops with 6 and changes nothing; the account holds these words, and the two commands.
#[track_caller]
fn assert_stops(fleet: &Fleet, tenant: &str, words: &[&str]) -> Output {
    let before = fleet.dump(tenant);
    let stopped = fleet.run(&["up"]).expect(6);
    let done = format!("`mtmigrate repair --tenant {tenant} --mark-done --reason \"…\"` if it did");
    let undone = format!("`mtmigrate repair --tenant {tenant} --mark-undone --reason \"…\"` if it did not");
    let always = ["error[MT211]", "is half applied", "nothing was changed by this run", &done, &undone];
    for said in always.iter().chain(words) {
        assert!(stopped.stderr.contains(said), "no {said:?} in {stopped}");
    }
    assert_eq!(fleet.dump(tenant), before);
    stopped
}

/// A changeset that is tried both ways: done by a runner that died, and not done.
struct Case<'c> {
    statement: &'c str,
    /// What takes it back, past mtmigrate.
    back: &'c str,
    /// What shows that it was done.
    done: &'c str,
    /// What shows that it was not.
    undone: &'c str,
}

/// Tries each, as a changeset of one tenant, in their order.
#[track_caller]
fn try_both_ways(fleet: &mut Fleet, tenant: &str, head: &str, cases: &[Case<'_>]) {
    for (at, case) in cases.iter().enumerate() {
        let version = at + 2;
        fleet.changeset(&format!("V{version}__case.sql"), &format!("{head}{};\n", case.statement));
        fleet.run(&["up"]).expect(0);
        let expected = state(fleet, tenant);
        for (was_done, shows) in [(true, case.done), (false, case.undone)] {
            die_at_the_last_statement(fleet, tenant);
            if !was_done {
                fleet.execute(tenant, case.back);
            }
            let status = fleet.run(&["status"]).expect(0);
            assert!(status.stdout.contains("half-applied"), "{}: {status}", case.statement);
            let up = fleet.run(&["up"]).expect(0);
            let again = case.done == case.undone;
            let mark = if was_done && !again { "done" } else { "undone" };
            assert_eq!(verdict(fleet, tenant), format!("marked {mark} by this run: {shows}"), "{}", case.statement);
            assert!(up.stdout.contains(shows) || up.stderr.contains(shows), "{shows} {up}");
            assert_eq!(state(fleet, tenant), expected, "{} {mark}", case.statement);
            let rows = "SELECT count(*) FROM refinery_schema_history WHERE version =";
            assert_eq!(fleet.cell(tenant, &format!("{rows} {version}")), "1");
        }
    }
    fleet.run(&["status", "--check"]).expect(0);
}
