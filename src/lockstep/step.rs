//! One step: one changeset to every tenant that lacks it, under the budget of their servers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, Semaphore};

use crate::changeset::{Changeset, Version, Width};
use crate::engine::{Applied, Failure, Left, Order, Outcome, Resume, RunIdentity};
use crate::error::{Code, Diagnostic};
use crate::history::Unfinished;
use crate::plan::{recipient, skips};
use crate::planted::{self, Bug};
use crate::tenant::{OnFailure, Rollout, ServerId, Tenant, TenantId};

use super::barrier::Tally;
use super::budgets::Budgets;
use super::event::{Event, Sink};
use super::jitter::Jitter;
use super::lanes::Lanes;
use super::ledger::Ledger;
use super::stop::Stop;
use super::survey::Scope;

/// The longest mean pause before a retry that the doubling makes.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a step needs beside its changeset.
pub(crate) struct Stepping<'s> {
    pub scope: Scope<'s>,
    pub run: &'s RunIdentity,
    pub stop: &'s Stop,
    pub events: Sink<'s>,
    pub jitter: &'s Jitter,
    pub budgets: &'s Budgets<'s>,
    /// The most tenants in flight over all servers.
    pub jobs: &'s Semaphore,
    pub ledger: &'s Ledger,
    /// How many steps were begun.
    pub begun: AtomicUsize,
}

/// What the failures of a step mean for those who wait for their turn.
struct Halting {
    halts: AtomicBool,
    failed: AtomicUsize,
    /// So many that leave their tenants unchanged stop nobody.
    most: usize,
}

impl Halting {
    fn new(rollout: &Rollout) -> Self {
        let most = match rollout.on_failure {
            OnFailure::Halt => 0,
            OnFailure::FinishWave => rollout.max_failures.unwrap_or(usize::MAX),
        };
        Self { halts: AtomicBool::new(false), failed: AtomicUsize::new(0), most }
    }

    fn take(&self, failure: &Failure) {
        let failed = self.failed.fetch_add(1, Ordering::SeqCst) + 1;
        // Nobody knows how bad it is where a tenant is not as it was: a person must look before others get it.
        let bad = failure.left != Left::Unchanged || failed > self.most;
        if bad && !(self.most > 0 && planted::is(Bug::FailuresNotCounted)) {
            self.halts.store(true, Ordering::SeqCst);
        }
    }

    fn halts(&self) -> bool {
        self.halts.load(Ordering::SeqCst)
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub(crate) struct StepResult {
    pub tally: Tally,
    /// Those that have the version now.
    pub applied: Vec<TenantId>,
    /// Those of them that skipped it.
    pub skipped: BTreeSet<TenantId>,
    /// Whether another runner applied it to any of them: what text ran there is not known.
    pub by_another: bool,
    /// In the order in which they happened.
    pub failures: Vec<(TenantId, Failure)>,
    pub not_started: Vec<TenantId>,
}

/// How it went for one tenant.
enum Turn {
    /// Its outcome, and whether the tenant skips the changeset.
    Ended(Outcome, bool),
    NotStarted,
}

impl Stepping<'_> {
    /// Applies the changeset to these tenants. After a failure nobody else is started, unless the wave is to be finished;
    /// those in flight finish. Notifies when nobody waits for a turn any more.
    pub async fn run(&self, changeset: &Changeset, tenants: &[TenantId], last_turn: &Notify) -> StepResult {
        let halting = Halting::new(&self.scope.fleet.rollout);
        let waiting = &AtomicUsize::new(tenants.len());
        if tenants.is_empty() {
            last_turn.notify_one();
        }
        let begin = || {
            if waiting.fetch_sub(1, Ordering::SeqCst) == 1 {
                last_turn.notify_one();
            }
        };
        let mut by_server: BTreeMap<ServerId, Vec<&Tenant>> = BTreeMap::new();
        for id in tenants {
            let tenant = &self.scope.fleet.tenants[id.0];
            by_server.entry(tenant.server).or_default().push(tenant);
        }
        let back = self.begun.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        let (halting, result) = (&halting, &Mutex::new(StepResult::default()));
        // As many at work as the server has room for, each with one tenant after the other: what a tenant's turn needs
        // to remember is made once for each of them, and not once for each tenant.
        let mut at_work: FuturesUnordered<_> = by_server
            .into_iter()
            .flat_map(|(server, tenants)| {
                let width = self.scope.servers[server.0].width() * if planted::is(Bug::WidthIgnored) { 2 } else { 1 };
                // To and fro: the connections that the step before used last are the first ones of this step. From end
                // to end again, a server with more databases than its budget would find none of them.
                let lanes = Arc::new(Lanes::new(tenants, width, back));
                (0..lanes.count()).map(move |lane| (lanes.clone(), lane))
            })
            .map(|(lanes, lane)| async move {
                while let Some(tenant) = lanes.next(lane) {
                    begin();
                    let turn = self.turn(changeset, tenant, lane, halting).await;
                    held(result).take(tenant.id, turn);
                }
            })
            .collect();
        while at_work.next().await.is_some() {}
        drop(at_work);
        let mut result = std::mem::take(&mut *held(result));
        result.not_started.sort();
        result.tally.interrupted = self.stop.asked();
        result
    }

    /// Answers for a step that does not begin.
    pub fn none(&self, version: Version, tenants: &[TenantId]) -> StepResult {
        let mut result = StepResult::default();
        for &tenant in tenants {
            (self.events)(Event::TenantNotStarted { tenant, version });
            result.take(tenant, Turn::NotStarted);
        }
        result.tally.interrupted = self.stop.asked();
        result
    }

    async fn turn(&self, changeset: &Changeset, tenant: &Tenant, lane: usize, halting: &Halting) -> Turn {
        let version = changeset.version;
        let Ok(_job) = self.jobs.acquire().await else { return Turn::NotStarted };
        let halts = halting.halts() && !planted::is(Bug::HaltingIgnored);
        if halts || self.stop.asked() && !planted::is(Bug::StopIgnored) {
            (self.events)(Event::TenantNotStarted { tenant: tenant.id, version });
            return Turn::NotStarted;
        }
        (self.events)(Event::TenantStarted { tenant: tenant.id, version });
        let outcome = mistaken(self.order(changeset, tenant, lane, halting).await);
        // Another runner may have run the text.
        let by_another = matches!(&outcome, Outcome::Applied(applied) if applied.by_another);
        let skips = self.skips(changeset, tenant) && !by_another;
        self.budgets.tell_of(tenant.server, self.events);
        match &outcome {
            Outcome::Applied(applied) => {
                let told = skips && !planted::is(Bug::SkipsForgotten);
                self.ledger.applied(tenant.id, self.width(tenant), version, told);
                let applied = applied.clone();
                (self.events)(Event::TenantApplied { tenant: tenant.id, version, applied, skipped: skips });
            }
            Outcome::Failed(failure) => {
                halting.take(failure);
                (self.events)(Event::TenantFailed { tenant: tenant.id, version, failure: failure.clone() });
            }
        }
        Turn::Ended(outcome, skips)
    }

    /// Whether a tenant skips a changeset. What was begun is ended, whatever the tenant's labels are now.
    fn skips(&self, changeset: &Changeset, tenant: &Tenant) -> bool {
        let begun = self.resume(changeset, tenant).is_some() && !planted::is(Bug::BegunIsSkipped);
        skips(changeset, tenant) && !begun && !planted::is(Bug::SkipsIgnored)
    }

    /// Gives the order to the server, again for a moment's trouble.
    async fn order(&self, changeset: &Changeset, tenant: &Tenant, lane: usize, halting: &Halting) -> Outcome {
        let Some(text) = changeset.text(tenant.datasource.engine()) else {
            return Outcome::Failed(no_text(changeset, tenant));
        };
        let skips = self.skips(changeset, tenant);
        let made = match skips {
            true => Ok(Cow::Owned(text.skipped())),
            false => text.rendered(&recipient(tenant)),
        };
        let text = match &made {
            Ok(text) => &**text,
            Err(why) => return Outcome::Failed(unfilled(why.clone(), self.resume(changeset, tenant))),
        };
        let mut limits = tenant.limits;
        limits.lock_timeout = text.directives.lock_timeout.unwrap_or(limits.lock_timeout);
        limits.statement_timeout = text.directives.statement_timeout.unwrap_or(limits.statement_timeout);
        let mut attempt = 0;
        loop {
            let order = Order {
                tenant,
                changeset,
                text,
                skips,
                width: self.width(tenant),
                run: self.run,
                tables: self.ledger.tables(tenant.id),
                rewrite: self.rewrite(tenant),
                resume: self.resume(changeset, tenant),
                known: self.ledger.known(tenant.id),
                limits,
                lane,
                cancel: self.stop.hard().clone(),
            };
            let outcome = self.scope.servers[tenant.server.0].apply(order).await;
            let Outcome::Failed(failure) = &outcome else { return outcome };
            attempt += 1;
            let give_up = halting.halts() || self.stop.asked();
            if !(failure.retry || planted::is(Bug::EverythingRetried)) || attempt > limits.retries || give_up {
                return outcome;
            }
            let (tenant, diagnostic) = (tenant.id, failure.diagnostic.clone());
            (self.events)(Event::TenantRetried { tenant, version: changeset.version, attempt, diagnostic });
            tokio::select! {
                // Without it the choice is by chance, and a simulated run would not repeat itself.
                biased;
                () = tokio::time::sleep(self.jitter.around(pause(limits.retry_pause, attempt))) => {}
                () = self.stop.wait() => return outcome,
            }
            if halting.halts() {
                return outcome;
            }
        }
    }

    /// Returns the width in which a tenant's history goes on: a wide one stays wide, for it is that of refinery's
    /// `int8-versions` build, whose checksums are others also for small versions.
    fn width(&self, tenant: &Tenant) -> Width {
        let has = self.ledger.tables(tenant.id).history;
        has.map_or(self.scope.changelog.width(), |has| has.max(self.scope.changelog.width()))
    }

    /// Returns the checksums that change when a tenant's narrow history is widened.
    fn rewrite(&self, tenant: &Tenant) -> Vec<(Version, u64)> {
        let widens = self.ledger.tables(tenant.id).history == Some(Width::Int4);
        if !widens || self.scope.changelog.width() == Width::Int4 {
            return Vec::new();
        }
        let narrow = self.scope.changelog.changesets().iter().take_while(|c| c.version.0 <= i64::from(i32::MAX));
        let engine = tenant.datasource.engine();
        narrow.filter_map(|c| Some((c.version, c.text(engine)?.checksum(Width::Int8)))).collect()
    }

    fn resume(&self, changeset: &Changeset, tenant: &Tenant) -> Option<Resume> {
        if planted::is(Bug::ResumeIgnored) {
            return None;
        }
        match self.ledger.unfinished(tenant.id) {
            Some(Unfinished::FailedAt { version, statement_no, prefix }) if *version == changeset.version => {
                Some(Resume { statement_no: *statement_no, prefix: prefix.clone() })
            }
            _ => None,
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the mean pause before a retry, the first being 1: it doubles, but not for ever.
fn pause(first: Duration, attempt: u32) -> Duration {
    let doubled = first.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)));
    doubled.min(LONGEST_PAUSE.max(first))
}

/// Takes an outcome for another one, if such a bug is planted.
fn mistaken(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(failure) if failure.left == Left::Unknown && planted::is(Bug::LostIsApplied) => {
            Outcome::Applied(Applied { duration: failure.duration, notices: Vec::new(), by_another: false })
        }
        Outcome::Failed(mut failure) if failure.left == Left::Unknown && planted::is(Bug::LostIsUnchanged) => {
            failure.left = Left::Unchanged;
            Outcome::Failed(failure)
        }
        outcome => outcome,
    }
}

/// The loader refuses a fleet without the variables that its changesets ask for, so this is a bug.
fn unfilled(why: Diagnostic, resume: Option<Resume>) -> Failure {
    let moment = crate::engine::Moment::Prepare;
    // What an earlier run committed of it stays.
    let left = match resume {
        Some(Resume { statement_no, .. }) if statement_no > 1 => Left::Half { statement_no, statements: statement_no },
        _ => Left::Unchanged,
    };
    Failure { diagnostic: why, moment, left, retry: false, duration: Duration::ZERO }
}

/// The loader refuses a changelog without a text for an engine of the fleet, so this is a bug.
fn no_text(changeset: &Changeset, tenant: &Tenant) -> Failure {
    let engine = tenant.datasource.engine();
    Failure {
        diagnostic: Diagnostic::new(Code::BUG, format!("changeset {changeset} has no text for {engine}")),
        moment: crate::engine::Moment::Prepare,
        left: Left::Unchanged,
        retry: false,
        duration: Duration::ZERO,
    }
}

impl StepResult {
    /// Takes a tenant back that is among the applied no more.
    pub fn take_back(&mut self, tenant: TenantId, failure: Failure) {
        self.tally.applied -= 1;
        self.tally.skipped -= usize::from(self.skipped.remove(&tenant));
        self.take(tenant, Turn::Ended(Outcome::Failed(failure), false));
    }

    fn take(&mut self, tenant: TenantId, turn: Turn) {
        match turn {
            Turn::NotStarted => {
                self.tally.not_started += 1;
                self.not_started.push(tenant);
            }
            Turn::Ended(Outcome::Applied(applied), skipped) => {
                self.tally.applied += 1;
                if skipped {
                    self.tally.skipped += 1;
                    self.skipped.insert(tenant);
                }
                self.by_another |= applied.by_another;
                self.applied.push(tenant);
            }
            Turn::Ended(Outcome::Failed(failure), _) => {
                match failure.left {
                    Left::Unchanged => self.tally.failed += 1,
                    Left::Half { .. } => self.tally.half += 1,
                    Left::Unknown => self.tally.unknown += 1,
                }
                self.failures.push((tenant, failure));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_half_a_minute_and_is_never_shorter_than_it_was_set() {
        let ms = Duration::from_millis;
        assert_eq!([1, 2, 3, 4].map(|attempt| pause(ms(200), attempt)), [200, 400, 800, 1600].map(ms));
        assert_eq!([9, 40, u32::MAX].map(|attempt| pause(ms(200), attempt)), [LONGEST_PAUSE; 3]);
        assert_eq!(pause(Duration::from_secs(60), 7), Duration::from_secs(60));
    }
}
