//! The checker: after everything that happens it looks whether the invariants hold.
//!
//! What a run may know is one thing, what is true another: [`State::effects`](super::state::State) and `applied` are the
//! truth, which no fault and no hand changes.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::changeset::Version;
use crate::engine::{Failure, Left, Order};
use crate::error::{Code, ExitStatus};
use crate::history::Unfinished;
use crate::lockstep::barrier::Decision;
use crate::lockstep::{Ending, Event, FRESH, RunOutcome};
use crate::plan::skips;
use crate::sql::{Dialect, EngineKind, split};
use crate::tenant::Verify;

use super::runs::{RunView, Said, process_of};
use super::world::{ProcessId, Session, SessionId, World};

/// Tenants that should be alike: their engine, what they have, and what of it they skipped.
type Cohort<'s> = (EngineKind, &'s BTreeSet<i64>, &'s BTreeSet<i64>);

impl World {
    /// An order is given to a server.
    pub fn check_order(&mut self, order: &Order<'_>, width: usize) {
        let (process, tenant, version) = (process_of(&order.run.run_id), order.tenant.id.0, order.changeset.version.0);
        let (server, database) = (order.tenant.server.0, order.tenant.datasource.database().to_owned());
        let holder = self.lock_holder(server, &database);
        let begun = self.tenants[tenant].open().is_some_and(|open| version_of(&open).0 == version);
        let Some(view) = self.runs.get_mut(process) else { return };
        let mut wrong = Vec::new();
        if !view.scope.contains(&tenant) {
            wrong.push("it is none of the run's tenants, or is left out".to_owned());
        }
        if view.target.is_some_and(|target| Version(version) > target) {
            wrong.push("it is above the target".to_owned());
        }
        let step = view.steps.get(&version).copied();
        match (holder == Some(process), view.lost_lock, step) {
            (true, ..) => {}
            // The answer to the check before a step may be that old.
            (false, Some(lost), Some(step)) if step <= lost + FRESH => {}
            (false, Some(_), _) => wrong.push("the lock was lost before the step began".to_owned()),
            (false, None, _) => wrong.push("the run does not hold the lock".to_owned()),
        }
        if view.final_failures.contains(&(tenant, version)) {
            wrong.push("it is tried again after a failure that does not pass".to_owned());
        }
        view.ordered.insert((tenant, version));
        // While the lock is lost another run may begin it.
        if view.lost_lock.is_none() && order.skips != (skips(order.changeset, order.tenant) && !begun) {
            let what = if order.skips { "is skipped" } else { "is not skipped" };
            wrong.push(format!("it {what}, and the text is for others or begun: {begun}"));
        }
        if order.skips {
            view.skipping.insert((tenant, version));
        }
        let in_flight = view.in_flight.entry(server).or_default();
        *in_flight += 1;
        if *in_flight > width {
            wrong.push(format!("server {server} has {in_flight} orders at once and takes {width}"));
        }
        wrong.extend(self.before(process, tenant, version));
        for wrong in wrong {
            self.violate(format!("order of V{version} for t{tenant} by r{process}: {wrong}"));
        }
    }

    /// The answer to an order is there.
    pub fn check_answer(&mut self, order: &Order<'_>, failure: Option<&Failure>) {
        let (process, tenant, version) = (process_of(&order.run.run_id), order.tenant.id.0, order.changeset.version.0);
        let Some(view) = self.runs.get_mut(process) else { return };
        if let Some(in_flight) = view.in_flight.get_mut(&order.tenant.server.0) {
            *in_flight -= 1;
        }
        if failure.is_some_and(|failure| !failure.retry) {
            view.final_failures.insert((tenant, version));
        }
    }

    /// Returns what forbids that a tenant gets anything of a version in a run's name: lockstep, and the halt on drift.
    fn before(&self, process: ProcessId, tenant: usize, version: i64) -> Vec<String> {
        let Some(view) = self.runs.get(process) else { return Vec::new() };
        let mut wrong = Vec::new();
        for &other in &view.scope {
            let (has, bound) = (&self.tenants[other].applied, view.bound(other, tenant, version));
            if let Some(lacks) = view.below(bound).find(|below| !has.contains(below)) {
                wrong.push(format!("lockstep: t{other} lacks V{lacks}"));
            }
            if let Some(may_lose) = self.may_lose(other, bound) {
                wrong.push(format!("lockstep: t{other} may lose V{may_lose} again"));
            }
            let drifted = self.tenants[other].drifted;
            if drifted.zip(view.locked).is_some_and(|(since, locked)| since < locked) {
                wrong.push(format!("the history of t{other} had drifted before the lock was taken"));
            }
        }
        if !view.scope.contains(&tenant) {
            wrong.push("it is none of the run's tenants".to_owned());
        }
        wrong
    }

    /// A statement takes effect.
    pub fn effect(&mut self, run_id: &str, by: SessionId, at: (usize, i64, u32), text: &str) {
        let ((tenant, version, statement_no), process) = (at, process_of(run_id));
        let state = &mut self.tenants[tenant];
        state.take_effect(process, version, statement_no, text);
        if self.odd.contains(&(tenant, version)) {
            state.objects.insert(format!("view odd{version}"), "SELECT 2".into());
        }
        let times = state.times(version, statement_no);
        let mut wrong = self.before(process, tenant, version);
        if times != 1 {
            wrong.push(format!("once: it took effect {times} times"));
        }
        let beside =
            |(id, session): (&SessionId, &Session)| *id != by && session.busy && session.works_on == Some(tenant);
        if self.sessions.iter().any(beside) {
            wrong.push("another session is at work there".to_owned());
        }
        if let Some(view) = self.runs.get_mut(process) {
            view.effects += 1;
            if view.unchanged.contains(&(tenant, version)) {
                wrong.push("the run had said that it left everything as it was".to_owned());
            }
        }
        for wrong in wrong {
            self.violate(format!("t{tenant} V{version} statement {statement_no} by r{process}: {wrong}"));
        }
    }

    /// A history row is committed, by a run whose changelog says what must have run before it.
    pub fn recorded(&mut self, run_id: &str, tenant: usize, version: i64) {
        let process = process_of(run_id);
        self.tell(format!("t{tenant} has V{version} by r{process}"));
        let mut wrong = self.before(process, tenant, version);
        if !self.tenants[tenant].applied.insert(version) {
            wrong.push("once: its row was committed before".to_owned());
        }
        let skips = self.runs.get(process).is_some_and(|view| view.skipping.contains(&(tenant, version)));
        if skips {
            self.tenants[tenant].skipped.insert(version);
            if self.tenants[tenant].has_any(version, None) {
                wrong.push("it is recorded as skipped, and some of it ran".to_owned());
            }
        } else if let Some(view) = self.runs.get(process) {
            wrong.extend(self.missing(view, tenant, version));
        }
        for wrong in wrong {
            self.violate(format!("t{tenant} V{version} recorded by r{process}: {wrong}"));
        }
    }

    /// Returns the first statement of a recorded version that is not there as the changelog has it.
    fn missing(&self, view: &RunView, tenant: usize, version: i64) -> Option<String> {
        let engine = view.fleet.tenants[tenant].datasource.engine();
        let text = view.changelog.get(Version(version))?.text(engine)?;
        let statements = split(&text.sql, Dialect::default_for(engine)).ok()?;
        let effects = &self.tenants[tenant].effects;
        let found = statements.iter().enumerate().find(|(idx, statement)| {
            let effect = effects.get(&(version, *idx as u32 + 1));
            effect.is_none_or(|effect| effect.times != 1 || effect.text != statement.text)
        });
        found.map(|(idx, _)| format!("once: statement {} of it did not run exactly so, once", idx + 1))
    }

    /// A run says something.
    pub fn event(&mut self, process: ProcessId, event: &Event) {
        self.tell(format!("r{process} {}", line(event)));
        let now = Instant::now();
        let mut wrong = Vec::new();
        let locked: BTreeSet<usize> =
            self.sessions.values().filter(|s| s.process == process && !s.locks.is_empty()).map(|s| s.server).collect();
        let Some(view) = self.runs.get_mut(process) else { return };
        match event {
            Event::LockTaken { servers, .. } => {
                view.locked = Some(now);
                // What was given back while it waited for others is no loss.
                if locked.len() == *servers {
                    view.lost_lock = None;
                }
            }
            Event::StepStarted { version, .. } => {
                if view.failures > 0 || view.shut {
                    wrong.push(format!("it begins V{version} after a failure or at a shut gate"));
                }
                view.steps.insert(version.0, now);
            }
            Event::GateWaiting { version, wave, .. } => {
                let of_wave = |tenant: &&usize| view.fleet.rollout.name(view.fleet.tenants[**tenant].wave) == wave;
                let lacks = |tenant: &&usize| !self.tenants[**tenant].applied.contains(&version.0);
                if let Some(tenant) = view.scope.iter().filter(of_wave).find(lacks) {
                    wrong.push(format!("it stands after wave {wave}, and t{tenant} lacks V{version}"));
                }
            }
            Event::GateShut { .. } => view.shut = true,
            Event::TenantStarted { tenant, .. } => {
                if !view.may_start() {
                    wrong.push(format!("it starts t{} after a failure", tenant.0));
                }
                if view.stopping {
                    wrong.push(format!("it starts t{} after it was asked to stop", tenant.0));
                }
                view.said.insert(tenant.0, Said::Started);
            }
            Event::TenantApplied { tenant, version, .. } => {
                view.said.insert(tenant.0, Said::Applied);
                view.claims.insert(tenant.0, version.0);
                // A crash may have taken it back since; the barrier shows whether the run knows.
                if !self.taken_back.contains(&(tenant.0, version.0))
                    && !self.tenants[tenant.0].applied.contains(&version.0)
                {
                    wrong.push(format!("it says that t{} has V{version}", tenant.0));
                }
            }
            Event::TenantFailed { tenant, version, failure } => {
                view.failures += 1;
                view.bad |= failure.left != Left::Unchanged;
                let said = match failure.left {
                    Left::Unchanged => Said::Unchanged,
                    Left::Half { .. } => Said::Half,
                    Left::Unknown => Said::Unknown,
                };
                view.said.insert(tenant.0, said);
                view.claims.remove(&tenant.0);
                if said == Said::Unchanged {
                    view.unchanged.insert((tenant.0, version.0));
                }
                wrong.extend(self.failed(process, tenant.0, version.0, failure));
            }
            Event::TenantNotStarted { tenant, version } => {
                view.said.insert(tenant.0, Said::NotStarted);
                if view.ordered.contains(&(tenant.0, version.0)) {
                    wrong.push(format!("it says that t{} was not started with V{version}", tenant.0));
                }
            }
            Event::Barrier { version, decision, .. } => {
                wrong.extend(self.claimed(process));
                if *decision == Decision::Proceed {
                    wrong.extend(self.unlike(process, version.0));
                }
            }
            Event::RunFinished(ending) => {
                view.ending = Some(ending.clone());
                wrong.extend(self.ended(process, ending));
            }
            _ => {}
        }
        for wrong in wrong {
            self.violate(format!("r{process}: {wrong}"));
        }
    }

    /// Returns what a run says at a barrier to be applied, and what a crash took back or may take back.
    fn claimed(&self, process: ProcessId) -> Option<String> {
        let view = self.runs.get(process)?;
        let (tenant, version) = view.claims.iter().find(|(tenant, version)| {
            !self.tenants[**tenant].applied.contains(*version) || self.may_lose(**tenant, **version + 1).is_some()
        })?;
        Some(format!("it says at a barrier that t{tenant} has V{version}, and it is not durable"))
    }

    /// Returns what must not be at a barrier that opens in a run that looks after each step: tenants with the same
    /// versions and other schemas. Those that share a database are not measured after a plain text; who was asked to stop
    /// leaves the last step to the reading at the end.
    fn unlike(&self, process: ProcessId, version: i64) -> Option<String> {
        let view = self.runs.get(process).filter(|view| view.verify == Verify::Step && !view.stopping)?;
        let mut schemas: BTreeMap<Cohort<'_>, (usize, String)> = BTreeMap::new();
        for &tenant in &view.scope {
            let (state, known) = (&self.tenants[tenant], &view.fleet.tenants[tenant]);
            let shares = known.datasource.schema().is_some();
            if shares || !state.edits.is_empty() || state.open().is_some() || !state.applied.contains(&version) {
                continue;
            }
            let place = (known.datasource.engine(), &state.applied, &state.skipped);
            let (other, schema) = schemas.entry(place).or_insert_with(|| (tenant, state.signature()));
            if *schema != state.signature() {
                return Some(format!("V{version} is over, and t{other} and t{tenant} are not alike"));
            }
        }
        None
    }

    /// Returns what is not true of a failure that a run tells of.
    fn failed(&self, process: ProcessId, tenant: usize, version: i64, failure: &Failure) -> Vec<String> {
        let (state, mut wrong) = (&self.tenants[tenant], Vec::new());
        let Some(view) = self.runs.get(process) else { return wrong };
        let unknown = failure.diagnostic.code() == Code::OUTCOME_UNKNOWN;
        match &failure.left {
            // While its lock is lost others may be at work: it speaks for itself.
            Left::Unchanged if state.has_any(version, view.lost_lock.map(|_| process)) => {
                wrong.push(format!("it says that V{version} left t{tenant} unchanged"));
            }
            Left::Half { statement_no, .. } => {
                if let Some(no) = (1..*statement_no).find(|no| state.times(version, *no) == 0) {
                    wrong.push(format!("it says that statement {no} of V{version} is committed in t{tenant}"));
                }
                let alone = view.lost_lock.is_none();
                if !unknown && alone && (state.times(version, *statement_no) > 0 || state.applied.contains(&version)) {
                    wrong.push(format!("it says that t{tenant} stopped at statement {statement_no} of V{version}"));
                }
            }
            Left::Unchanged | Left::Unknown => {}
        }
        if (unknown || failure.left == Left::Unknown) && !view.lost.contains(&(tenant, version)) {
            wrong.push(format!("it does not know about V{version} in t{tenant}, though nothing was lost"));
        }
        wrong
    }

    /// Returns what is not true of how a run says that it ended.
    fn ended(&self, process: ProcessId, ending: &Ending) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some(view) = self.runs.get(process) else { return wrong };
        let complete = matches!(ending.outcome, RunOutcome::UpToDate | RunOutcome::Applied);
        if complete != (ending.exit == ExitStatus::Done) {
            wrong.push(format!("{:?} exits with {:?}", ending.outcome, ending.exit));
        }
        let wanted: Vec<i64> = view
            .changelog
            .changesets()
            .iter()
            .map(|c| c.version)
            .filter(|v| view.target.is_none_or(|t| *v <= t))
            .map(|v| v.0)
            .collect();
        let lacking =
            view.scope.iter().find(|&&tenant| wanted.iter().any(|v| !self.tenants[tenant].applied.contains(v)));
        if let Some(tenant) = lacking.filter(|_| complete) {
            wrong.push(format!("it says {:?}, and t{tenant} lacks a version", ending.outcome));
        }
        let nothing = matches!(ending.outcome, RunOutcome::UpToDate | RunOutcome::Drift | RunOutcome::Refused);
        if nothing && view.effects > 0 {
            wrong.push(format!("it says {:?}, and changed something", ending.outcome));
        }
        let said: BTreeSet<u8> = view.said.values().map(|said| *said as u8).collect();
        let half = said.contains(&(Said::Half as u8));
        let told = ending.diagnostics.iter().any(|d| d.code() == Code::HALF_APPLIED);
        if half && ending.exit != ExitStatus::HalfApplied {
            wrong.push(format!("a tenant is half applied, and it exits with {:?}", ending.exit));
        }
        if ending.exit == ExitStatus::HalfApplied && !half && !told {
            wrong.push("it says that a tenant is half applied, and none is".to_owned());
        }
        if ending.exit == ExitStatus::Bug {
            wrong.push(format!("it found a bug in itself: {:?}", ending.diagnostics.first().map(|d| d.one_line())));
        }
        let failed = said.contains(&(Said::Unchanged as u8)) || said.contains(&(Said::Unknown as u8));
        let interrupted = matches!(ending.exit, ExitStatus::Interrupted | ExitStatus::Terminated);
        if interrupted && !view.stopping {
            wrong.push("it says that it was interrupted, and nobody asked".to_owned());
        }
        if failed && !half && !matches!(ending.exit, ExitStatus::Failed) && !interrupted {
            wrong.push(format!("a tenant failed, and it exits with {:?}", ending.exit));
        }
        if view.said.values().any(|said| *said == Said::Started) {
            wrong.push("it ends, and a tenant that it started has no outcome".to_owned());
        }
        wrong
    }
}

/// Returns the version that is half applied.
fn version_of(open: &Unfinished) -> Version {
    let (Unfinished::FailedAt { version, .. } | Unfinished::Uncertain { version, .. }) = open;
    *version
}

/// Tells an event in a line, without times.
fn line(event: &Event) -> String {
    match event {
        Event::RunStarted { tenants, target, .. } => format!("begins: {tenants} tenants to {target:?}"),
        Event::Surveyed { readable, behind, steps, .. } => format!("read {readable}, {behind} behind, {steps} steps"),
        Event::LockWaiting { server, holder } => format!("waits for {server}, held by {holder}"),
        Event::LockTaken { .. } => "locked".into(),
        Event::TenantSettled { tenant, version, statement_no, mark, .. } => {
            format!("t{} V{version} statement {statement_no}: {}", tenant.0, mark.as_str())
        }
        Event::StepStarted { version, tenants, wave, .. } => {
            let wave = wave.as_ref().map_or_else(String::new, |wave| format!(", wave {wave}"));
            format!("step V{version}{wave}, {tenants} tenants")
        }
        Event::GateWaiting { version, wave, condition } => format!("V{version} after {wave}: {condition} …"),
        Event::GatePassed { version, wave, condition, .. } => format!("V{version} after {wave}: {condition} passed"),
        Event::GateShut { version, wave, condition, .. } => format!("V{version} after {wave}: {condition} not passed"),
        Event::TenantStarted { tenant, version } => format!("t{} V{version} …", tenant.0),
        Event::TenantRetried { tenant, version, attempt, .. } => format!("t{} V{version} retry {attempt}", tenant.0),
        Event::TenantApplied { tenant, version, applied, skipped } => {
            let how = if *skipped { "skipped" } else { "applied" };
            format!("t{} V{version} {how}{}", tenant.0, if applied.by_another { " by another" } else { "" })
        }
        Event::TenantFailed { tenant, version, failure } => {
            format!("t{} V{version} {}, left {:?}", tenant.0, failure.diagnostic.one_line(), failure.left)
        }
        Event::TenantNotStarted { tenant, version } => format!("t{} V{version} not started", tenant.0),
        Event::Barrier { version, decision, .. } => format!("barrier V{version}: {decision:?}"),
        Event::Verified { version, tenants, .. } => format!("verified V{version}: {tenants} tenants"),
        Event::Diverged { tenant, version } => format!("t{} diverged at V{version}", tenant.0),
        Event::Recorded { tenants, .. } => format!("recorded {tenants}"),
        Event::RunFinished(ending) => {
            let said: Vec<String> =
                ending.diagnostics.iter().map(|d| format!("{} {}", d.code(), d.message())).collect();
            format!("ends {:?}, exit {:?}: {}", ending.outcome, ending.exit, said.join(" | "))
        }
        Event::BudgetLowered { .. } | Event::Stopping { .. } => "…".into(),
    }
}
