//! One execution of `up`: look, lock, look again, go step by step, record.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::RunIdentity;
use crate::error::{Code, Diagnostic, ExitStatus};
use crate::plan::Plan;
use crate::planted::{self, Bug};
use crate::tenant::{TenantId, Verify};

use super::UpOptions;
use super::budgets::Budgets;
use super::closing::Closing;
use super::converge::{Gauges, Watch};
use super::event::{Ending, Event, RunOutcome, Sink};
use super::jitter::Jitter;
use super::judge::{Refusal, judge};
use super::locks::{Locks, Waiting};
use super::schemas::Schemas;
use super::stop::Stop;
use super::survey::{Depth, Scope, Survey, survey_with};
use super::uncertain::settle;

/// One execution of `up`.
pub(crate) struct Run<'r> {
    pub scope: Scope<'r>,
    pub options: &'r UpOptions,
    pub run: &'r RunIdentity,
    pub stop: &'r Stop,
    pub events: Sink<'r>,
    pub jitter: &'r Jitter,
    pub budgets: &'r Budgets<'r>,
}

/// What a survey found.
struct Surveyed {
    survey: Survey,
    schemas: Schemas,
    judged: Result<Plan, Refusal>,
}

impl Run<'_> {
    /// Runs.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn whole(&self) -> Result<Ending, Refusal> {
        let first = self.survey().await?;
        match &first.judged {
            Ok(plan) if plan.is_empty() => return Ok(ended(RunOutcome::UpToDate, ExitStatus::Done)),
            Ok(_) => {}
            // A text that goes statement by statement looks half applied while another run is at work on it: only
            // under the lock is it known to be nobody's.
            Err(refusal) if refusal.exit == ExitStatus::HalfApplied => {}
            Err(refusal) => return Err(refusal.clone()),
        }
        if let Ok(plan) = &first.judged {
            self.can_be_confirmed(&first.survey, plan)?;
        }
        self.not_stopped()?;
        let pending: Vec<TenantId> = first
            .survey
            .positions()
            .filter(|(_, position)| !position.pending.is_empty())
            .map(|(tenant, _)| tenant)
            .collect();
        let first = planted::is(Bug::NotReadAgain).then_some(first);
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
        self.budgets.tell(self.events);
        let ending = self.under_lock(&locks, &pending, first).await;
        locks.release().await;
        ending
    }

    /// Reads again what another run may have changed before the lock was ours, then goes step by step.
    async fn under_lock(
        &self,
        locks: &Locks<'_>,
        pending: &[TenantId],
        stale: Option<Surveyed>,
    ) -> Result<Ending, Refusal> {
        let gauges = self.measure(pending).await?;
        let Surveyed { mut survey, schemas, judged } = match stale {
            Some(stale) => stale,
            None => self.survey().await?,
        };
        let plan = match judged {
            Err(refusal) if refusal.is_half_applied_alone() => {
                settle(&self.scope, &mut survey, self.run, self.events).await.map_err(refused)?;
                judge(&self.scope, &survey, self.options.target)?
            }
            judged => judged?,
        };
        if plan.is_empty() {
            return Ok(ended(RunOutcome::UpToDate, ExitStatus::Done));
        }
        self.can_be_confirmed(&survey, &plan)?;
        self.not_stopped()?;
        let looks = self.options.verify != Verify::Off;
        let mut watch = looks.then(|| Watch::new(self.scope, &survey, schemas, gauges));
        let steps = self.steps(locks, &survey, &plan, watch.as_mut()).await?;
        let (Some(watch), Some((version, result))) = (&mut watch, &steps.last) else { return Ok(steps.ending) };
        if result.tally.lock_lost {
            return Ok(steps.ending);
        }
        let closing = Closing {
            scope: self.scope,
            run: self.run,
            events: self.events,
            verify: self.options.verify,
            survey: &survey,
            locks,
            last: (*version, result),
            fleet: &steps.fleet,
            told: &steps.told,
        };
        let insisted = steps.ending.clone();
        tokio::select! {
            biased;
            ending = closing.close(steps.ending, watch) => Ok(ending),
            () = self.stop.hard().cancelled() => Ok(self.cut_short(insisted, &steps.fleet)),
        }
    }

    /// Measures the tenants that are to get something, where steps are checked by it.
    async fn measure(&self, tenants: &[TenantId]) -> Result<Gauges, Refusal> {
        if self.options.verify != Verify::Step {
            return Ok(Gauges::default());
        }
        tokio::select! {
            biased;
            gauges = Gauges::take(&self.scope, tenants.iter().map(|id| &self.scope.fleet.tenants[id.0])) => Ok(gauges),
            () = self.stop.wait() => Err(self.stopped(Vec::new())),
        }
    }

    /// Reads where everybody stands.
    ///
    /// # Errors
    /// Somebody asked to stop meanwhile.
    async fn survey(&self) -> Result<Surveyed, Refusal> {
        let began = Instant::now();
        let depth = Depth::of(self.options.verify);
        // Reading changes nothing, so it is not waited for: a server that does not answer would hold up the stop.
        let (survey, schemas) = tokio::select! {
            biased;
            survey = survey_with(&self.scope, self.options.out_of_order, depth) => survey,
            () = self.stop.wait() => return Err(self.stopped(Vec::new())),
        };
        self.budgets.tell(self.events);
        let judged = judge(&self.scope, &survey, self.options.target);
        (self.events)(Event::Surveyed {
            readable: survey.positions().count(),
            behind: judged.as_ref().map_or(0, Plan::tenants),
            steps: judged.as_ref().map_or(0, |plan| plan.steps().len()),
            elapsed: began.elapsed(),
        });
        Ok(Surveyed { survey, schemas, judged })
    }

    /// Answers a stop that was asked for before anything was changed.
    fn not_stopped(&self) -> Result<(), Refusal> {
        if self.stop.asked() { Err(self.stopped(Vec::new())) } else { Ok(()) }
    }

    /// Answers a stop that was insisted on while the end of the run was read: nobody knows whether all are alike.
    fn cut_short(&self, mut ending: Ending, fleet: &str) -> Ending {
        let message = "the run was interrupted before it had looked at all schemas once more";
        ending.diagnostics.push(
            Diagnostic::warning(Code::CANCELLED, message)
                .state(format!("{fleet}; what the schemas are now is not recorded"))
                .hint("`mtmigrate drift` shows whether they are alike"),
        );
        match ending.outcome {
            RunOutcome::Applied => {
                Ending { diagnostics: ending.diagnostics, ..ended(RunOutcome::Interrupted, self.stop.exit()) }
            }
            _ => ending,
        }
    }

    pub(crate) fn stopped(&self, diagnostics: Vec<Diagnostic>) -> Refusal {
        Refusal { outcome: RunOutcome::Interrupted, exit: self.stop.exit(), diagnostics }
    }
}

/// Makes an ending of which there is nothing to say.
pub(crate) fn ended(outcome: RunOutcome, exit: ExitStatus) -> Ending {
    Ending { outcome, exit, diagnostics: Vec::new(), elapsed: Duration::ZERO }
}

/// Makes the refusal of one reason.
pub(crate) fn refused(diagnostic: Diagnostic) -> Refusal {
    Refusal { outcome: RunOutcome::Refused, exit: diagnostic.code().exit(), diagnostics: vec![diagnostic] }
}
