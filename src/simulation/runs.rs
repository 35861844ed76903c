//! What the checker knows of each run: what it was asked for, what it said, what it did.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use crate::changeset::{Changelog, Version};
use crate::lockstep::Ending;
use crate::tenant::{Fleet, OnFailure, RolloutOrder, Verify};

use super::world::ProcessId;

/// All runs, by process.
#[derive(Default)]
pub(super) struct Runs(BTreeMap<ProcessId, RunView>);

/// One run.
pub(super) struct RunView {
    pub fleet: Arc<Fleet>,
    pub changelog: Arc<Changelog>,
    /// The tenants that are selected and not left out.
    pub scope: BTreeSet<usize>,
    pub target: Option<Version>,
    pub verify: Verify,
    /// When all its locks were its own.
    pub locked: Option<Instant>,
    /// When it lost one of them, if it did.
    pub lost_lock: Option<Instant>,
    /// When each step began, as it said.
    pub steps: BTreeMap<i64, Instant>,
    /// The tenants and versions whose order was given.
    pub ordered: BTreeSet<(usize, i64)>,
    /// Those of them whose text was not to run.
    pub skipping: BTreeSet<(usize, i64)>,
    /// Orders under way, by server.
    pub in_flight: BTreeMap<usize, usize>,
    /// Orders that the engine said are not to be tried again.
    pub final_failures: BTreeSet<(usize, i64)>,
    /// Orders of which a message or an answer was lost.
    pub lost: BTreeSet<(usize, i64)>,
    /// Orders of which it said that they left everything as it was.
    pub unchanged: BTreeSet<(usize, i64)>,
    /// What it said of each tenant last.
    pub said: BTreeMap<usize, Said>,
    /// The version of which it said last that a tenant has it now.
    pub claims: BTreeMap<usize, i64>,
    /// How many tenants it said failed.
    pub failures: usize,
    /// Whether one of them is not as it was.
    pub bad: bool,
    /// Whether a gate between waves stayed shut.
    pub shut: bool,
    /// Whether it was asked to stop.
    pub stopping: bool,
    /// Statements that took effect in its name.
    pub effects: usize,
    pub ending: Option<Ending>,
}

/// What a run said of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Started,
    Applied,
    Unchanged,
    Half,
    Unknown,
    NotStarted,
}

impl Runs {
    pub fn add(&mut self, process: ProcessId, view: RunView) {
        self.0.insert(process, view);
    }

    pub fn get(&self, process: ProcessId) -> Option<&RunView> {
        self.0.get(&process)
    }

    pub fn get_mut(&mut self, process: ProcessId) -> Option<&mut RunView> {
        self.0.get_mut(&process)
    }

    /// A session with run locks of a process is over.
    pub fn unlocked(&mut self, process: ProcessId) {
        if let Some(view) = self.0.get_mut(&process) {
            view.lost_lock.get_or_insert_with(Instant::now);
        }
    }
}

impl RunView {
    pub fn new(fleet: Arc<Fleet>, changelog: Arc<Changelog>, scope: BTreeSet<usize>) -> Self {
        Self {
            fleet,
            changelog,
            scope,
            target: None,
            verify: Verify::Off,
            locked: None,
            lost_lock: None,
            steps: BTreeMap::new(),
            ordered: BTreeSet::new(),
            skipping: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            final_failures: BTreeSet::new(),
            lost: BTreeSet::new(),
            unchanged: BTreeSet::new(),
            said: BTreeMap::new(),
            claims: BTreeMap::new(),
            failures: 0,
            bad: false,
            shut: false,
            stopping: false,
            effects: 0,
            ending: None,
        }
    }

    /// Whether others of a wave may be started after what failed in it.
    pub fn may_start(&self) -> bool {
        let most = match self.fleet.rollout.on_failure {
            OnFailure::Halt => 0,
            OnFailure::FinishWave => self.fleet.rollout.max_failures.unwrap_or(usize::MAX),
        };
        !self.bad && !self.shut && self.failures <= most
    }

    /// Returns up to which version another tenant must have everything before a tenant gets one.
    pub fn bound(&self, other: usize, tenant: usize, version: i64) -> i64 {
        let wave = |tenant: usize| self.fleet.tenants[tenant].wave;
        let rollout = &self.fleet.rollout;
        match (rollout.has_waves(), rollout.order, wave(other).cmp(&wave(tenant))) {
            (true, RolloutOrder::Step, Ordering::Less) => version + 1,
            (true, RolloutOrder::Wave, Ordering::Less) => self.target.map_or(i64::MAX, |target| target.0 + 1),
            (true, RolloutOrder::Wave, Ordering::Greater) => i64::MIN,
            _ => version,
        }
    }

    /// Returns the versions below one that its changelog has.
    pub fn below(&self, version: i64) -> impl Iterator<Item = i64> {
        self.changelog.changesets().iter().map(|c| c.version.0).take_while(move |v| *v < version)
    }
}

/// Returns the process of a run id, `r7`.
pub(super) fn process_of(run_id: &str) -> ProcessId {
    run_id.trim_start_matches('r').parse().unwrap_or_default()
}
