//! Real faults on real servers: networks that cut and freeze, servers that die, disks that are full, standbys.
//!
//! `killed` has what happens when the runner itself dies.

mod cut;
mod deployers;
mod differing;
mod disk;
mod frozen;
mod servers;
mod slow;
mod standby;

use std::time::{Duration, Instant};

use crate::support::fleet::Place;
use crate::support::{Fleet, Output};

/// How long the next `up` may wait until a server has noticed that a session is dead.
const LOCK_WAIT: &str = "10s";

/// Starts with a table `effects`, into which [`more`] writes.
const FIRST: &str = "CREATE TABLE effects (version int);\nINSERT INTO effects VALUES (1);";

/// A changeset that leaves its version in `effects`, and whose text can be told on the wire: `/*mark 2*/`.
fn more(fleet: &mut Fleet, version: i64) {
    let text = format!("INSERT INTO effects /*mark {version}*/ VALUES ({version});");
    fleet.changeset(&format!("V{version}__more.sql"), &text);
}

/// The text of [`more`] that no other message has.
fn mark(version: i64) -> String {
    format!("/*mark {version}*/")
}

/// Version and statement of which nobody knows, by tenant.
fn uncertain(fleet: &Fleet) -> Vec<(String, i64, usize)> {
    let last = "SELECT outcome, version, statement_no FROM mtmigrate_journal ORDER BY id DESC LIMIT 1";
    let names = fleet.names().into_iter().filter(|tenant| fleet.has_table(tenant, "mtmigrate_journal"));
    names
        .filter_map(|tenant| {
            let rows = fleet.query(&tenant, last);
            let cell = |i: usize| rows.first().and_then(|row| row[i].clone()).unwrap_or_default();
            let version = cell(1).parse().ok()?;
            let open = cell(0) == "started" && !fleet.versions(&tenant).contains(&version);
            open.then(|| (tenant, version, cell(2).parse().expect("a statement")))
        })
        .collect()
}

/// Brings the fleet to its end. Where a statement is undecided the test plays the person: looks whether the version is
/// among the effects (each changeset there has one statement that leaves it), and says so.
#[track_caller]
fn finish(fleet: &Fleet) -> Output {
    let begun = Instant::now();
    loop {
        let output = fleet.run(&["up", "--lock-wait", LOCK_WAIT]);
        match output.status {
            6 => {}
            // A statement whose connection was lost is still at work.
            5 if begun.elapsed() < Duration::from_secs(90) => continue,
            _ => return output.expect(0),
        }
        let open = uncertain(fleet);
        assert!(!open.is_empty() && output.stderr.contains("MT211"), "{output}");
        assert!(begun.elapsed() < Duration::from_secs(180), "{output}");
        for (tenant, version, _) in open {
            let done = fleet.effects(&tenant).contains(&version);
            let mark = if done { "--mark-done" } else { "--mark-undone" };
            fleet.run(&["repair", "--tenant", &tenant, mark, "--reason", "looked", "--lock-wait", LOCK_WAIT]).expect(0);
        }
    }
}

/// Every changeset had its effect once on every tenant, and is once in its history and once in its journal as applied.
#[track_caller]
fn assert_each_once(fleet: &Fleet, last: i64) {
    let all: Vec<i64> = (1..=last).collect();
    for tenant in fleet.names() {
        assert_eq!(fleet.effects(&tenant), all, "effects of {tenant}");
        assert_eq!(fleet.versions(&tenant), all, "history of {tenant}");
        let applied = "SELECT count(DISTINCT version), count(*) FROM mtmigrate_journal WHERE outcome = 'applied'";
        let count = Some(last.to_string());
        assert_eq!(fleet.query(&tenant, applied), [[count.clone(), count]], "journal of {tenant}");
    }
}

/// True where a text and its history row commit together.
fn is_transactional(fleet: &Fleet, tenant: &str) -> bool {
    !matches!(fleet.place(tenant), Place::MariaDb { .. })
}
