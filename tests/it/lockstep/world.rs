//! What outlives a simulated runner: tenants, their schemas and journals, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};

use mtmigrate::history::{Attempt, Row};
use mtmigrate::schema::{Kind, Object};

/// What goes wrong for a tenant at a version, once.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The text fails and is rolled back.
    Fails,
    /// It fails with what may pass, this many times.
    Passing(u32),
    /// The connection is lost before the commit.
    LostBefore,
    /// The connection is lost after the commit: the row is there.
    LostAfter,
    /// Statement 3 of 5 fails, two are committed.
    Half,
    /// The runner dies while statement 3 of 5 runs.
    DiesHalf,
    /// It hangs until it is cancelled.
    Hangs,
}

/// What a changeset does to a tenant in place of its table with one column.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Nothing: it met something that made it skip.
    Skips,
    /// The column has another type.
    OtherType,
    /// It leaves an index that does not work.
    Breaks,
}

/// What a tenant has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub rows: Vec<Row>,
    pub journal: Vec<Attempt>,
    pub objects: Vec<Object>,
    /// What was changed of them, one after the other.
    pub changes: Vec<String>,
    /// The snapshot that the journal keeps.
    pub kept: Option<String>,
    /// How often each version's text took effect: more than once is the bug that we look for.
    pub effects: BTreeMap<i64, u32>,
}

impl State {
    /// Adds an object as a hand or a changeset does.
    pub fn add(&mut self, object: Object) {
        self.changes.push(format!("+ {object:?}"));
        self.objects.push(object);
    }

    /// Removes an object.
    pub fn remove(&mut self, name: &str) {
        self.changes.push(format!("- {name}"));
        self.objects.retain(|object| object.name != name);
    }

    /// Adds a column to a table by hand.
    pub fn add_column(&mut self, table: &str, name: &str) {
        self.add(Object::new(Kind::Column, Some(table), format!("{table}.{name}")).with("type", "text"));
    }

    /// Adds a row to its journal.
    pub fn journalled(&mut self, attempt: Attempt) {
        let id = self.journal.len() as i64 + 1;
        self.journal.push(Attempt { id, ..attempt });
    }

    /// Does what a changeset does.
    pub fn take_effect(&mut self, version: i64, effect: Option<&Effect>) {
        let table = format!("t{version}");
        let kind = match effect {
            Some(Effect::Skips) => return self.changes.push("touched".into()),
            Some(Effect::OtherType) => "varchar(80)",
            Some(Effect::Breaks) | None => "int",
        };
        self.add(Object::new(Kind::Table, None, table.as_str()));
        self.add(Object::new(Kind::Column, Some(&table), format!("{table}.a")).with("type", kind));
        if matches!(effect, Some(Effect::Breaks)) {
            self.add(Object::new(Kind::Index, Some(&table), format!("{table}_a")).with_flag("invalid", true));
        }
    }
}

/// What outlives a runner: the tenants, their faults, the lock.
#[derive(Default)]
pub struct World {
    pub tenants: BTreeMap<String, State>,
    pub faults: BTreeMap<(String, i64), Fault>,
    pub effects: BTreeMap<(String, i64), Effect>,
    /// Whose schema cannot be read once it has this version.
    pub blind_from: BTreeMap<String, i64>,
    /// Who is measured otherwise than anybody else.
    pub odd_gauges: BTreeSet<String>,
    /// Whose journal cannot keep a snapshot.
    pub keep_fails: BTreeSet<String>,
    /// Whom another run changes whenever their schema is about to be read.
    pub busy: BTreeSet<String>,
    /// Tenants on servers of another major version.
    pub upgraded: BTreeSet<String>,
    /// What happens by hand right after a tenant got a version.
    pub after: BTreeMap<(String, i64), Object>,
    /// Whose schemas were read in full, in order.
    pub inspected: Vec<String>,
    pub unreachable: BTreeSet<String>,
    pub read_only: Option<String>,
    pub slow_ms: BTreeMap<String, u64>,
    pub lock: Option<String>,
    pub lock_lost: bool,
    pub log: Vec<String>,
    pub in_flight_peak: usize,
    /// What tenants answer to the checks of waves.
    pub answers: BTreeMap<String, Option<String>>,
    /// What was asked of whom.
    pub log_asked: Vec<String>,
    /// The resume that each order of a tenant carried.
    pub resumes: Vec<(String, Option<u32>)>,
}
