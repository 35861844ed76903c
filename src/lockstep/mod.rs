//! The lockstep: no tenant gets changeset k+1 before every tenant has changeset k.
//!
//! Start at [`up`]. Survey → judge → lock → survey again → for each version: step, barrier → report. It emits events
//! and prints nothing; it knows no engine, only [`crate::engine::Server`].

pub mod barrier;
mod event;
mod jitter;
mod judge;
mod ledger;
mod locks;
mod repair;
mod standing;
mod step;
mod stop;
mod survey;
mod verdict;

pub use event::{Ending, Event, RunOutcome, Sink};
pub use jitter::Jitter;
pub use judge::{Refusal, drift, half_applied, judge, unreadable};
pub use repair::{Repair, Repaired, repair};
pub use standing::{Found, Position, Standing, State};
pub use step::RETRIES;
pub use stop::{Signal, Stop};
pub use survey::{Scope, Survey, survey};

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::changeset::{Changelog, Version};
use crate::engine::RunIdentity;
use crate::error::{Code, Diagnostic, ExitStatus, Result};
use crate::history::OutOfOrder;
use crate::plan::Plan;

use barrier::{Decision, Reason};
use ledger::Ledger;
use locks::{Locks, Waiting};
use step::Stepping;

/// What `up` is asked for beside its scope.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The version to bring the fleet to; the changelog's newest without.
    pub target: Option<Version>,
    /// The most tenants in flight over all servers; the servers' budgets without.
    pub jobs: Option<NonZeroUsize>,
    /// How long to wait for another run's locks; zero tries once.
    pub lock_wait: Duration,
    /// Whether changesets below a tenant's newest are applied.
    pub out_of_order: OutOfOrder,
}

/// Checks that a target is in the changelog.
///
/// # Errors
/// `MT111` with the nearest versions.
pub fn check_target(changelog: &Changelog, target: Option<Version>) -> Result<()> {
    let Some(target) = target else { return Ok(()) };
    if changelog.get(target).is_some() {
        return Ok(());
    }
    let versions: Vec<Version> = changelog.changesets().iter().map(|c| c.version).collect();
    let above = versions.partition_point(|version| *version < target);
    let near: Vec<String> =
        versions[above.saturating_sub(2)..(above + 2).min(versions.len())].iter().map(ToString::to_string).collect();
    let hint = match near.is_empty() {
        true => format!("there is no changeset in {}", changelog.folder.display()),
        false => format!("the versions near it are {}", near.join(", ")),
    };
    Err(Diagnostic::new(Code::UNKNOWN_TARGET, format!("version {target} is not in the changelog"))
        .state("nothing was touched")
        .hint(hint))
}

/// Brings the scope's tenants to the target, in lockstep, and says how it ended. Every fact goes to `events`.
///
/// The last event is [`Event::RunFinished`] with the same ending.
pub async fn up(scope: Scope<'_>, options: &UpOptions, run: &RunIdentity, stop: &Stop, events: Sink<'_>) -> Ending {
    let began = Instant::now();
    let quarantined = scope.tenants().filter(|t| t.quarantined.is_some()).count();
    events(Event::RunStarted {
        run_id: run.run_id.clone(),
        tenants: scope.selection.len() - quarantined,
        quarantined,
        target: options.target.or(scope.changelog.newest()),
    });
    let jitter = Jitter::new(&run.run_id);
    let going = Run { scope, options, run, stop, events, jitter: &jitter };
    let mut ending = match going.whole().await {
        Ok(ending) => ending,
        Err(refusal) => Ending {
            outcome: refusal.outcome,
            exit: refusal.exit,
            diagnostics: refusal.diagnostics,
            elapsed: Duration::ZERO,
        },
    };
    ending.elapsed = began.elapsed();
    events(Event::RunFinished(ending.clone()));
    ending
}

/// One execution of `up`.
struct Run<'r> {
    scope: Scope<'r>,
    options: &'r UpOptions,
    run: &'r RunIdentity,
    stop: &'r Stop,
    events: Sink<'r>,
    jitter: &'r Jitter,
}

impl Run<'_> {
    async fn whole(&self) -> Result<Ending, Refusal> {
        match self.survey().await {
            Ok((_, plan)) if plan.is_empty() => return Ok(ended(RunOutcome::UpToDate, ExitStatus::Done)),
            Ok(_) => {}
            // A text that goes statement by statement looks half applied while another run is at work on it: only
            // under the lock is it known to be nobody's.
            Err(refusal) if refusal.exit == ExitStatus::HalfApplied => {}
            Err(refusal) => return Err(refusal),
        }
        self.not_stopped()?;
        let waiting = Waiting {
            run: self.run,
            wait: self.options.lock_wait,
            stop: self.stop,
            events: self.events,
            jitter: self.jitter,
        };
        let locks = match Locks::take(self.scope, &waiting).await {
            Ok(locks) => locks,
            Err(held) if self.stop.asked() => return Err(self.stopped(vec![held])),
            Err(refusal) => return Err(refused(refusal)),
        };
        let ending = self.under_lock(&locks).await;
        locks.release().await;
        ending
    }

    /// Reads again what another run may have changed before the lock was ours, then goes step by step.
    async fn under_lock(&self, locks: &Locks<'_>) -> Result<Ending, Refusal> {
        let (survey, plan) = self.survey().await?;
        if plan.is_empty() {
            return Ok(ended(RunOutcome::UpToDate, ExitStatus::Done));
        }
        self.not_stopped()?;
        let jobs = Semaphore::new(self.options.jobs.map_or(Semaphore::MAX_PERMITS, NonZeroUsize::get));
        let ledger = Ledger::new(&survey);
        let stepping = Stepping {
            scope: self.scope,
            run: self.run,
            stop: self.stop,
            events: self.events,
            jitter: self.jitter,
            jobs: &jobs,
            ledger: &ledger,
        };
        for (idx, &version) in plan.steps().iter().enumerate() {
            let Some(changeset) = self.scope.changelog.get(version) else {
                return Err(refused(Diagnostic::new(Code::BUG, format!("step {version} is not in the changelog"))));
            };
            let tenants = plan.tenants_at(version);
            let began = Instant::now();
            (self.events)(Event::StepStarted {
                version,
                title: changeset.to_string(),
                tenants: tenants.len(),
                step_no: idx + 1,
                steps: plan.steps().len(),
            });
            let lock = locks.check().await;
            let mut result = match &lock {
                Ok(()) => stepping.run(changeset, &tenants).await,
                Err(_) => stepping.none(version, &tenants),
            };
            result.tally.lock_lost = lock.is_err();
            let last = idx + 1 == plan.steps().len();
            result.tally.interrupted &= !last;
            let decision = barrier::decide(&result.tally);
            (self.events)(Event::Barrier { version, tally: result.tally, decision, elapsed: began.elapsed() });
            if let Decision::Halt(reason) = decision {
                let verdict = verdict::Verdict { scope: self.scope, survey: &survey, plan: &plan, version };
                return Ok(self.halted(reason, verdict.diagnostics(&result, lock.err())));
            }
        }
        Ok(ended(RunOutcome::Applied, ExitStatus::Done))
    }

    async fn survey(&self) -> Result<(Survey, Plan), Refusal> {
        let began = Instant::now();
        // Reading changes nothing, so it is not waited for: a server that does not answer would hold up the stop.
        let survey = tokio::select! {
            biased;
            survey = survey(&self.scope, self.options.out_of_order) => survey,
            () = self.stop.wait() => return Err(self.stopped(Vec::new())),
        };
        let judged = judge(&self.scope, &survey, self.options.target);
        (self.events)(Event::Surveyed {
            readable: survey.positions().count(),
            behind: judged.as_ref().map_or(0, Plan::tenants),
            steps: judged.as_ref().map_or(0, |plan| plan.steps().len()),
            elapsed: began.elapsed(),
        });
        Ok((survey, judged?))
    }

    /// Answers a stop that was asked for before anything was changed.
    fn not_stopped(&self) -> Result<(), Refusal> {
        if self.stop.asked() { Err(self.stopped(Vec::new())) } else { Ok(()) }
    }

    fn stopped(&self, diagnostics: Vec<Diagnostic>) -> Refusal {
        Refusal { outcome: RunOutcome::Interrupted, exit: self.stop.exit(), diagnostics }
    }

    fn halted(&self, reason: Reason, diagnostics: Vec<Diagnostic>) -> Ending {
        let (outcome, exit) = match reason {
            Reason::HalfApplied => (RunOutcome::Halted, ExitStatus::HalfApplied),
            Reason::Failed | Reason::LockLost => (RunOutcome::Halted, ExitStatus::Failed),
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

fn ended(outcome: RunOutcome, exit: ExitStatus) -> Ending {
    Ending { outcome, exit, diagnostics: Vec::new(), elapsed: Duration::ZERO }
}

fn refused(diagnostic: Diagnostic) -> Refusal {
    Refusal { outcome: RunOutcome::Refused, exit: diagnostic.code().exit(), diagnostics: vec![diagnostic] }
}
