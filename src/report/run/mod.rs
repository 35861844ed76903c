//! What a run did: a fold of its events. Memory grows with tenants, and not with tenants × changesets.

mod human;
mod json;

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use time::OffsetDateTime;

use crate::changeset::Version;
use crate::engine::{Applied, Failure, Left, NOTICE_LIMIT};
use crate::error::{Diagnostic, ExitStatus, Paint};
use crate::lockstep::barrier::{Decision, Tally};
use crate::lockstep::{ByTenant, Condition, Ending, Event, RunOutcome, Scope};
use crate::tenant::{LeftOut, TenantId};

use super::wire::{pretty, write_pretty};

/// The most notices that a report keeps of a whole run; the number of all is kept beside them.
const NOTICES_KEPT: usize = 2_000;

/// The report of a run. Whole at any moment: what has not happened yet is not in it.
#[derive(Clone, Debug)]
pub struct RunReport {
    started_at: OffsetDateTime,
    run_id: Option<String>,
    target: Option<Version>,
    quarantined: Vec<Quarantined>,
    /// The tenants that are being made.
    provisioning: Vec<String>,
    /// The tenants that are not left out, in the fleet's order.
    tenants: Vec<TenantRun>,
    index: ByTenant<usize>,
    steps: Vec<Step>,
    /// What was waited for between waves, in order.
    gates: Vec<Gate>,
    notices: usize,
    notices_kept: usize,
    /// Servers with fewer free connections than their budget, in the order in which it was noticed.
    lowered: Vec<Lowered>,
    /// How many tenants' schemas stand in their journals now; nothing, if none was to be recorded.
    recorded: Option<usize>,
    ending: Option<Ending>,
}

/// A server that works on fewer tenants at once than its budget says.
#[derive(Clone, Debug)]
struct Lowered {
    server: String,
    from: usize,
    to: usize,
}

/// A tenant that is left out on purpose.
#[derive(Clone, Debug)]
struct Quarantined {
    name: String,
    reason: String,
}

/// What a run did to one tenant.
#[derive(Clone, Debug)]
struct TenantRun {
    name: String,
    /// The last thing that is known of it; nothing, if no step came to it.
    turn: Option<Turn>,
    /// How many changesets it got.
    applied: usize,
    /// How many it skipped.
    skipped: usize,
    /// Whether it skipped the last one.
    skipped_last: bool,
    /// The last one.
    version: Option<Version>,
    /// The one before it.
    before: Option<Version>,
    duration: Duration,
    retries: u32,
    notices: Vec<String>,
    error: Option<Diagnostic>,
}

/// How a tenant's last turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    InFlight,
    Applied,
    Failed,
    HalfApplied,
    Unknown,
    NotStarted,
    /// It has the changeset, and another schema than its cohort.
    Diverged,
}

/// What was waited for between two waves.
#[derive(Clone, Debug)]
struct Gate {
    version: Version,
    /// The wave that had the version.
    wave: String,
    condition: Condition,
    /// Whether it opened, and after how long; nothing while it is shut.
    went: Option<(bool, Duration)>,
}

/// One step; where the fleet goes in waves, of one of these.
#[derive(Clone, Debug)]
struct Step {
    version: Version,
    title: String,
    wave: Option<String>,
    tenants: usize,
    /// How many tenants of later waves lacked the version when it began.
    later: usize,
    /// Whether the schemas were compared after it, and are alike.
    verified: bool,
    barrier: Option<Barrier>,
}

/// What was known when all outcomes of a step were in.
#[derive(Clone, Copy, Debug)]
struct Barrier {
    tally: Tally,
    decision: Decision,
    elapsed: Duration,
}

impl RunReport {
    /// Makes the report of a run that starts now.
    pub fn new(scope: &Scope<'_>, started_at: OffsetDateTime) -> Self {
        let chosen = || scope.selection.iter().map(|id| &scope.fleet.tenants[id.0]);
        let quarantined = chosen().filter_map(|tenant| {
            let reason = tenant.quarantined.clone()?;
            Some(Quarantined { name: tenant.name.clone(), reason })
        });
        let provisioning = chosen().filter(|tenant| tenant.left_out() == Some(LeftOut::Provisioning));
        let taken: Vec<_> = chosen().filter(|tenant| tenant.is_active()).collect();
        Self {
            started_at,
            run_id: None,
            target: None,
            quarantined: quarantined.collect(),
            provisioning: provisioning.map(|tenant| tenant.name.clone()).collect(),
            tenants: taken.iter().map(|tenant| TenantRun::new(tenant.name.clone())).collect(),
            index: taken.iter().enumerate().map(|(idx, tenant)| (tenant.id, idx)).collect(),
            steps: Vec::new(),
            gates: Vec::new(),
            notices: 0,
            notices_kept: 0,
            lowered: Vec::new(),
            recorded: None,
            ending: None,
        }
    }

    /// Takes the next event.
    pub fn fold(&mut self, event: &Event) {
        match event {
            Event::RunStarted { run_id, target, .. } => {
                self.run_id = Some(run_id.clone());
                self.target = *target;
            }
            Event::StepStarted { version, title, wave, tenants, later, .. } => {
                let (version, title, wave) = (*version, title.clone(), wave.clone());
                let (tenants, later) = (*tenants, *later);
                self.steps.push(Step { version, title, wave, tenants, later, verified: false, barrier: None });
            }
            Event::TenantStarted { tenant, .. } => self.turn(*tenant, Turn::InFlight),
            Event::TenantNotStarted { tenant, .. } => self.turn(*tenant, Turn::NotStarted),
            Event::TenantRetried { tenant, .. } => {
                if let Some(tenant) = self.tenant(*tenant) {
                    tenant.retries += 1;
                }
            }
            Event::TenantSettled { tenant, version, statement_no, statements, mark, words } => {
                let mark = mark.as_str();
                let begun = format!("statement {statement_no} of {statements} of version {version} was begun before");
                self.notice(*tenant, format!("{begun}; {mark}: {words}"));
            }
            Event::TenantApplied { tenant, version, applied, skipped } => {
                self.applied(*tenant, *version, applied, *skipped);
            }
            Event::TenantFailed { tenant, version, failure } => self.failed(*tenant, *version, failure),
            Event::Barrier { version, tally, decision, elapsed, .. } => {
                let step = self.steps.iter_mut().rev().find(|step| step.version == *version);
                if let Some(step) = step {
                    step.barrier = Some(Barrier { tally: *tally, decision: *decision, elapsed: *elapsed });
                }
            }
            Event::GateWaiting { version, wave, condition } => {
                let (version, wave, condition) = (*version, wave.clone(), condition.clone());
                self.gates.push(Gate { version, wave, condition, went: None });
            }
            Event::GatePassed { elapsed, .. } => self.went(true, *elapsed),
            Event::GateShut { elapsed, .. } => self.went(false, *elapsed),
            Event::RunFinished(ending) => self.ending = Some(ending.clone()),
            Event::Verified { version, .. } => {
                if let Some(step) = self.steps.iter_mut().rev().find(|step| step.version == *version) {
                    step.verified = true;
                }
            }
            Event::Diverged { tenant, .. } => self.turn(*tenant, Turn::Diverged),
            Event::Recorded { tenants, .. } => self.recorded = Some(*tenants),
            Event::BudgetLowered { server, from, to } => self.lowered(server, *from, *to),
            Event::Surveyed { .. } | Event::LockWaiting { .. } | Event::LockTaken { .. } | Event::Stopping { .. } => {}
        }
    }

    /// Returns `mtmigrate.run/1`, ended by a line feed.
    pub fn json(&self) -> String {
        pretty(&json::document(self))
    }

    /// Writes what [`RunReport::json`] returns, as it is made.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()> {
        write_pretty(out, &json::document(self))
    }

    /// Returns the final summary, ended by a line feed: failures in full, successes counted.
    pub fn human(&self, paint: Paint) -> String {
        human::render(self, paint)
    }

    /// Returns the exit status; of a run that never ended, a bug's.
    pub fn exit(&self) -> ExitStatus {
        self.ending.as_ref().map_or(ExitStatus::Bug, |ending| ending.exit)
    }

    fn tenant(&mut self, id: TenantId) -> Option<&mut TenantRun> {
        self.index.get(id).map(|idx| &mut self.tenants[*idx])
    }

    fn turn(&mut self, id: TenantId, turn: Turn) {
        if let Some(tenant) = self.tenant(id) {
            tenant.turn = Some(turn);
        }
    }

    fn went(&mut self, open: bool, elapsed: Duration) {
        if let Some(gate) = self.gates.last_mut() {
            gate.went = Some((open, elapsed));
        }
    }

    fn notice(&mut self, id: TenantId, notice: String) {
        if let Some(tenant) = self.tenant(id) {
            tenant.notices.push(notice);
            self.notices += 1;
            self.notices_kept += 1;
        }
    }

    /// Keeps one for each server: what it began with, and what it came to.
    fn lowered(&mut self, server: &str, from: usize, to: usize) {
        match self.lowered.iter_mut().find(|lowered| lowered.server == server) {
            Some(lowered) => lowered.to = to,
            None => self.lowered.push(Lowered { server: server.to_owned(), from, to }),
        }
    }

    fn applied(&mut self, id: TenantId, version: Version, applied: &Applied, skipped: bool) {
        let room = NOTICES_KEPT.saturating_sub(self.notices_kept);
        let Some(tenant) = self.tenant(id) else { return };
        tenant.turn = Some(Turn::Applied);
        tenant.skipped_last = skipped;
        if skipped {
            tenant.skipped += 1;
        } else {
            tenant.applied += 1;
        }
        tenant.before = tenant.version.replace(version);
        tenant.duration += applied.duration;
        let kept = applied.notices.len().min(NOTICE_LIMIT.saturating_sub(tenant.notices.len())).min(room);
        tenant.notices.extend_from_slice(&applied.notices[..kept]);
        self.notices += applied.notices.len();
        self.notices_kept += kept;
    }

    fn failed(&mut self, id: TenantId, version: Version, failure: &Failure) {
        let Some(tenant) = self.tenant(id) else { return };
        if tenant.turn == Some(Turn::Applied) && tenant.version == Some(version) {
            // It was committed, and then its server did not confirm that it is on its disk.
            match tenant.skipped_last {
                true => tenant.skipped -= 1,
                false => tenant.applied -= 1,
            }
            tenant.version = tenant.before.take();
        }
        tenant.turn = Some(match failure.left {
            Left::Unchanged => Turn::Failed,
            Left::Half { .. } => Turn::HalfApplied,
            Left::Unknown => Turn::Unknown,
        });
        tenant.duration += failure.duration;
        tenant.error = Some(failure.diagnostic.clone());
    }

    /// Returns whether every tenant has everything up to the target.
    fn complete(&self) -> bool {
        let outcome = self.ending.as_ref().map(|ending| ending.outcome);
        matches!(outcome, Some(RunOutcome::Applied | RunOutcome::UpToDate))
    }

    /// Returns how many tenants have another schema than their cohort.
    fn diverged(&self) -> usize {
        self.tenants.iter().filter(|tenant| tenant.turn == Some(Turn::Diverged)).count()
    }

    /// Returns how many changesets were skipped, over all tenants.
    fn skipped(&self) -> usize {
        self.tenants.iter().map(|tenant| tenant.skipped).sum()
    }

    /// Returns how many changesets were applied, over all tenants.
    fn changesets(&self) -> usize {
        self.tenants.iter().map(|tenant| tenant.applied).sum()
    }
}

impl TenantRun {
    fn new(name: String) -> Self {
        Self {
            name,
            turn: None,
            applied: 0,
            skipped: 0,
            skipped_last: false,
            version: None,
            before: None,
            duration: Duration::ZERO,
            retries: 0,
            notices: Vec::new(),
            error: None,
        }
    }
}

impl Gate {
    /// Returns the word in reports.
    fn outcome(&self) -> Option<&'static str> {
        self.went.map(|(open, _)| if open { "passed" } else { "shut" })
    }
}

impl Step {
    /// Returns the tenants of the step that were not started. Counted from what is known: a step that was never
    /// begun, because the lock was lost, has no outcomes at all.
    fn not_started(&self) -> usize {
        let tally = self.barrier.map(|barrier| barrier.tally).unwrap_or_default();
        self.tenants.saturating_sub(tally.applied + tally.failed + tally.half + tally.unknown)
    }
}
