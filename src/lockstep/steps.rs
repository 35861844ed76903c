//! The steps of a run: one version after the other, each with its check and its barrier; where the fleet goes in waves, in
//! legs, each with a barrier of its own, and with the gates of the waves before it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicUsize;

use futures_util::future::join;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::changeset::{Changeset, Version};
use crate::error::{Code, Diagnostic, ExitStatus};
use crate::plan::Plan;
use crate::planted::{self, Bug};
use crate::sql::{EngineKind, is_plain};
use crate::tenant::{TenantId, Verify};

use super::barrier::{self, Decision, Reason};
use super::converge::Watch;
use super::event::{Ending, Event, RunOutcome};
use super::judge::Refusal;
use super::ledger::Ledger;
use super::locks::Locks;
use super::run::{Run, ended, refused};
use super::step::{StepResult, Stepping};
use super::survey::Survey;
use super::verdict::{Gained, Verdict};
use super::words::{Telling, When};

/// How the steps went.
pub(crate) struct Steps {
    pub ending: Ending,
    /// The last version that was begun, and what came of it.
    pub last: Option<(Version, StepResult)>,
    /// How the fleet stands now, in words.
    pub fleet: String,
    /// The tenants whose drift is in the ending.
    pub told: BTreeSet<TenantId>,
}

/// What a step left that is not alike.
#[derive(Default)]
struct Apart {
    said: Vec<Diagnostic>,
    tenants: BTreeSet<TenantId>,
}

impl Run<'_> {
    /// Goes step by step to the end or to the first barrier that does not open.
    pub(crate) async fn steps(
        &self,
        locks: &Locks<'_>,
        survey: &Survey,
        plan: &Plan,
        mut watch: Option<&mut Watch<'_>>,
    ) -> Result<Steps, Refusal> {
        let jobs = Semaphore::new(self.options.jobs.map_or(Semaphore::MAX_PERMITS, NonZeroUsize::get));
        let ledger = Ledger::new(survey);
        let stepping = Stepping {
            scope: self.scope,
            run: self.run,
            stop: self.stop,
            events: self.events,
            jitter: self.jitter,
            budgets: self.budgets,
            jobs: &jobs,
            ledger: &ledger,
            begun: AtomicUsize::new(0),
        };
        // Nothing was changed yet, so a server that does not answer does not hold up the stop.
        let relied = tokio::select! {
            biased;
            relied = stepping.rely() => relied,
            () = self.stop.wait() => return Err(self.stopped(Vec::new())),
        };
        relied.map_err(|why| {
            let state = "nothing was changed; whether what an earlier run committed is durable is not known";
            refused(why.state(state).hint("run `mtmigrate up` again"))
        })?;
        let legs = self.legs(survey, plan);
        let mut gained = Gained::new();
        let mut done = None;
        let mut checked = None;
        for (idx, leg) in legs.iter().enumerate() {
            let version = leg.version;
            let Some(changeset) = self.scope.changelog.get(version) else {
                return Err(refused(Diagnostic::new(Code::BUG, format!("step {version} is not in the changelog"))));
            };
            let verdict = Verdict { scope: self.scope, survey, plan, version, gained: &gained };
            if let Err(ending) = self.pass(locks, leg, &verdict).await {
                let (fleet, told) = (verdict.fleet(&StepResult::default()), BTreeSet::new());
                return Ok(Steps { ending: *ending, last: done, fleet, told });
            }
            let (tenants, began) = (plan.tenants_of(leg, self.scope.fleet), Instant::now());
            let wave = leg.wave.map(|wave| self.scope.fleet.rollout.name(wave).to_owned());
            (self.events)(Event::StepStarted {
                version,
                title: changeset.to_string(),
                wave: wave.clone(),
                tenants: tenants.len(),
                later: leg.later,
                step_no: plan.steps().partition_point(|step| *step < version) + 1,
                steps: plan.steps().len(),
            });
            let lock = locks.check_after(checked.take()).await;
            let last = idx + 1 == legs.len();
            let mut result = match &lock {
                Ok(()) => {
                    // The question before the next leg travels with the last orders of this one. After a gate it is asked anew.
                    let next = legs.get(idx + 1).is_some_and(|next| next.gates.is_empty());
                    let last_turn = Notify::new();
                    let ahead = async {
                        last_turn.notified().await;
                        if next { Some(locks.check_ahead().await) } else { None }
                    };
                    let ahead = async {
                        tokio::select! {
                            biased;
                            ahead = ahead => ahead,
                            () = self.stop.hard().cancelled() => None,
                        }
                    };
                    let (result, ahead) = join(stepping.run(changeset, &tenants, &last_turn), ahead).await;
                    checked = ahead;
                    result
                }
                Err(_) => stepping.none(version, &tenants),
            };
            stepping.flush(changeset, &mut result).await;
            result.tally.lock_lost = lock.is_err();
            result.tally.interrupted &= !last;
            let mut apart = Apart::default();
            if let Some(watch) = watch.as_deref_mut() {
                watch.applied(version, &result.applied, &result.skipped);
                let looks = self.options.verify == Verify::Step && !planted::is(Bug::StepNotVerified);
                if looks && barrier::decide(&result.tally) == Decision::Proceed {
                    apart = self.converge(&verdict, watch, changeset, &mut result).await;
                    result.tally.interrupted &= !last;
                }
            }
            let decision = barrier::decide(&result.tally);
            (self.events)(Event::Barrier { version, wave, tally: result.tally, decision, elapsed: began.elapsed() });
            let skipped = leg.later > 0 && planted::is(Bug::WaveBarrierSkipped);
            if let (Decision::Halt(reason), false) = (decision, skipped) {
                let said = match reason {
                    Reason::Diverged | Reason::Unverified => apart.said,
                    _ => verdict.diagnostics(&result, lock.err()),
                };
                let (ending, fleet) = (self.halted(reason, said), verdict.fleet(&result));
                return Ok(Steps { ending, last: Some((version, result)), fleet, told: apart.tenants });
            }
            *gained.entry(version).or_default() += result.tally.applied;
            done = Some((version, result));
        }
        let ending = ended(RunOutcome::Applied, ExitStatus::Done);
        Ok(Steps { ending, last: done, fleet: "every changeset of this run is applied".into(), told: BTreeSet::new() })
    }

    /// Checks that a step had the same effect on all; what it finds goes into the tally.
    async fn converge(
        &self,
        verdict: &Verdict<'_>,
        watch: &mut Watch<'_>,
        changeset: &Changeset,
        result: &mut StepResult,
    ) -> Apart {
        let (began, version) = (Instant::now(), changeset.version);
        let plain = |engine: EngineKind| {
            let text = changeset.text(engine).filter(|text| {
                // Of a template each tenant may have got another text.
                !text.directives.no_transaction && !text.directives.template && !result.by_another
            });
            text.is_some_and(|text| is_plain(&text.sql, engine))
        };
        let engines = self.scope.fleet.servers.iter().map(|server| server.engine);
        let plain: BTreeSet<EngineKind> = engines.filter(|engine| plain(*engine)).collect();
        // As with the survey: reading changes nothing, so it does not hold up the stop. The end of the run reads all.
        let checked = tokio::select! {
            biased;
            checked = watch.check(&result.applied, &plain) => checked,
            () = self.stop.wait() => {
                result.tally.interrupted = true;
                return Apart::default();
            }
        };
        match checked {
            Ok(checked) if !checked.drift.is_drift() => {
                let (tenants, elapsed) = (result.applied.len(), began.elapsed());
                (self.events)(Event::Verified { version, tenants, cohorts: checked.cohorts, elapsed });
                Apart::default()
            }
            Ok(checked) => {
                let tenants: BTreeSet<TenantId> = checked.drift.deviating().collect();
                result.tally.diverged = tenants.len();
                for &tenant in &tenants {
                    (self.events)(Event::Diverged { tenant, version });
                }
                let (fleet, title) = (verdict.fleet(result), changeset.to_string());
                let step = result.applied.iter().copied().collect();
                let when = When::Step { changeset: &title, tenants: &step, fleet: &fleet };
                let telling = Telling { scope: &self.scope, survey: verdict.survey, drift: &checked.drift, when };
                Apart { said: telling.diagnostics(), tenants }
            }
            Err(failed) => {
                result.tally.unverified = failed.len();
                Apart { said: verdict.unverified(result, &failed), tenants: BTreeSet::new() }
            }
        }
    }

    fn halted(&self, reason: Reason, diagnostics: Vec<Diagnostic>) -> Ending {
        let (outcome, exit) = match reason {
            _ if planted::is(Bug::HaltExitsAsDone) => (RunOutcome::Halted, ExitStatus::Done),
            Reason::HalfApplied if planted::is(Bug::HalfExitsAsFailed) => (RunOutcome::Halted, ExitStatus::Failed),
            Reason::HalfApplied => (RunOutcome::Halted, ExitStatus::HalfApplied),
            Reason::Failed | Reason::LockLost => (RunOutcome::Halted, ExitStatus::Failed),
            Reason::Diverged => (RunOutcome::Halted, ExitStatus::Drift),
            Reason::Unverified => {
                let gone = |d: &Diagnostic| d.code().exit() == ExitStatus::Unreachable;
                let exit = if diagnostics.iter().all(gone) { ExitStatus::Unreachable } else { ExitStatus::Failed };
                (RunOutcome::Halted, exit)
            }
            Reason::Interrupted => (RunOutcome::Interrupted, self.stop.exit()),
        };
        // A changeset that was rolled back because somebody insisted is no failure of its own.
        let cancelled = |d: &Diagnostic| d.code() == Code::CANCELLED;
        if reason == Reason::Failed && !diagnostics.is_empty() && diagnostics.iter().all(cancelled) {
            return Ending { diagnostics, ..ended(RunOutcome::Interrupted, self.stop.exit()) };
        }
        Ending { diagnostics, ..ended(outcome, exit) }
    }
}
