//! The end of a run, however it ended: what the schemas of those that it changed are now is read in full, judged once
//! more, and recorded in their journals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::{self, BoxStream};
use tokio::time::Instant;

use crate::changeset::Version;
use crate::engine::{Keep, Left, RunIdentity};
use crate::error::{Code, Diagnostic, ExitStatus, Result, count, names};
use crate::schema::Snapshot;
use crate::tenant::{ServerId, TenantId, Verify};

use super::converge::Watch;
use super::drift::SchemaDrift;
use super::event::{Ending, Event, RunOutcome, Sink};
use super::expected::{is_measured_by_others, json, record, still};
use super::judge::together;
use super::locks::Locks;
use super::step::StepResult;
use super::survey::{READINGS, Scope, Survey, chunk};
use super::words::{NAMES, Telling, When};

/// What the end of a run needs beside what the run watched.
pub(crate) struct Closing<'c> {
    pub scope: Scope<'c>,
    pub run: &'c RunIdentity,
    pub events: Sink<'c>,
    pub verify: Verify,
    pub survey: &'c Survey,
    pub locks: &'c Locks<'c>,
    /// The last version that was begun, and what came of it.
    pub last: (Version, &'c StepResult),
    /// How the fleet stands now, in words.
    pub fleet: &'c str,
    /// The tenants whose drift is in the ending already.
    pub told: &'c BTreeSet<TenantId>,
}

/// What is to be recorded of one tenant.
struct Kept {
    tenant: TenantId,
    /// Tenants with one schema have one.
    record: Arc<str>,
    accepted: Option<String>,
}

impl Closing<'_> {
    /// Returns the ending with what was found, and records what is as it should be.
    ///
    /// Tenants of which nobody knows where they stand are left alone. Of a cohort that is not alike nothing is
    /// recorded: nobody knows yet which of its schemas is right, and mending the others would look like a change by
    /// hand.
    pub async fn close(&self, mut ending: Ending, watch: &mut Watch<'_>) -> Ending {
        let began = Instant::now();
        let (changed, unsure) = self.changed(watch);
        if changed.is_empty() {
            return ending;
        }
        let ((drift, unread), checked) = join(watch.confirm(&changed, &unsure), self.locks.check_ahead()).await;
        self.judge(&mut ending, &drift, &unread);
        let kept = self.kept(watch, &drift, &changed);
        if kept.is_empty() {
            return ending;
        }
        if let Err(lost) = self.locks.check_after(Some(checked)).await {
            let tenants = kept.iter().map(|kept| self.name(kept.tenant)).collect();
            ending.diagnostics.push(not_recorded(&lost, tenants));
            return ending;
        }
        let failed = self.record(watch, &kept).await;
        (self.events)(Event::Recorded { tenants: kept.len() - failed.len(), elapsed: began.elapsed() });
        let failed = failed.iter().map(|(tenant, diagnostic)| (*tenant, diagnostic));
        let said = together(&self.scope, failed).into_iter().map(|(why, tenants)| not_recorded(&why, tenants));
        ending.diagnostics.extend(said);
        ending
    }

    /// Returns the tenants with a journal row of this run whose state is known, and those whose state is not.
    fn changed(&self, watch: &Watch<'_>) -> (BTreeSet<TenantId>, BTreeSet<TenantId>) {
        let (failed, unsure): (Vec<_>, Vec<_>) =
            self.last.1.failures.iter().partition(|(_, failure)| failure.left == Left::Unchanged);
        let unsure: BTreeSet<TenantId> = unsure.into_iter().map(|(tenant, _)| *tenant).collect();
        let failed = failed.into_iter().map(|(tenant, _)| *tenant);
        let changed = watch.touched().chain(failed).filter(|tenant| !unsure.contains(tenant)).collect();
        (changed, unsure)
    }

    /// Adds what was found to the ending.
    fn judge(&self, ending: &mut Ending, drift: &SchemaDrift, unread: &[(TenantId, Diagnostic)]) {
        let when = When::End { fleet: self.fleet, told: self.told };
        let said = Telling { scope: &self.scope, survey: self.survey, drift, when }.diagnostics();
        if !said.is_empty() {
            for tenant in drift.deviating().filter(|tenant| !self.told.contains(tenant)) {
                (self.events)(Event::Diverged { tenant, version: self.last.0 });
            }
            ending.diagnostics.extend(said);
            halt(ending, ExitStatus::Drift);
        }
        // Each step was checked already; without, nobody knows whether all are alike.
        let unchecked = self.verify == Verify::Run;
        for (diagnostic, tenants) in together(&self.scope, unread.iter().map(|(tenant, why)| (*tenant, why))) {
            if !unchecked {
                ending.diagnostics.push(not_recorded(&diagnostic, tenants));
                continue;
            }
            let exit = match diagnostic.code().exit() {
                ExitStatus::Unreachable => ExitStatus::Unreachable,
                _ => ExitStatus::Failed,
            };
            let state = format!(
                "whether the changesets had the same effect everywhere is not known: {} not readable ({}); {}",
                count(tenants.len(), "schema"),
                names(tenants, NAMES),
                self.fleet
            );
            let hint = "remove the cause, then run `mtmigrate drift`";
            ending.diagnostics.push(diagnostic.state(state).hint(hint));
            halt(ending, exit);
        }
    }

    /// Returns what is to be recorded: the changed tenants of cohorts that are alike.
    fn kept(&self, watch: &mut Watch<'_>, drift: &SchemaDrift, changed: &BTreeSet<TenantId>) -> Vec<Kept> {
        let mut kept = Vec::new();
        for cohort in drift.cohorts.iter().filter(|cohort| !cohort.cohort.is_drift()) {
            let measured = is_measured_by_others(&cohort.cohort, |tenant| watch.accepted(tenant).is_empty());
            let mut last: Option<(Arc<Snapshot>, Arc<str>)> = None;
            for tenant in cohort.cohort.groups.iter().flat_map(|group| &group.tenants) {
                if !changed.contains(tenant) {
                    continue;
                }
                let accepted = watch.accepted(*tenant);
                let accepted = match (&cohort.cohort.reference, watch.schema(*tenant)) {
                    (Some(reference), Some(live)) if measured => json(&still(&accepted, reference, live)),
                    _ => json(&accepted),
                };
                let Some(live) = watch.schema(*tenant) else { continue };
                let record = match &last {
                    Some((schema, record)) if Arc::ptr_eq(schema, live) => record.clone(),
                    _ => record(live.fingerprint(), &cohort.applied).into(),
                };
                last = Some((live.clone(), record.clone()));
                kept.push(Kept { tenant: *tenant, record, accepted });
            }
        }
        kept.sort_by_key(|kept| kept.tenant);
        kept
    }

    /// Records, in parallel over servers; returns what could not be.
    async fn record(&self, watch: &Watch<'_>, kept: &[Kept]) -> Vec<(TenantId, Diagnostic)> {
        let mut by_server: BTreeMap<ServerId, Vec<Keep<'_>>> = BTreeMap::new();
        for Kept { tenant, record, accepted } in kept {
            let Some(snapshot) = watch.schema(*tenant) else { continue };
            let tenant = &self.scope.fleet.tenants[tenant.0];
            let keep = Keep { tenant, snapshot, record, accepted: accepted.as_deref() };
            by_server.entry(tenant.server).or_default().push(keep);
        }
        let per_server = by_server.iter().map(|(id, kept)| -> BoxStream<'_, (&[Keep<'_>], Vec<Result<()>>)> {
            let server = &self.scope.servers[id.0];
            let answers = stream::iter(kept.chunks(chunk(kept.len(), server.width())))
                .map(move |chunk| async move { (chunk, server.keep(self.run, chunk).await) });
            Box::pin(answers.buffer_unordered(READINGS.min(server.width())))
        });
        let mut failed = Vec::new();
        let mut answers = stream::select_all(per_server);
        while let Some((chunk, answers)) = answers.next().await {
            for (keep, answer) in chunk.iter().zip(answers) {
                failed.extend(answer.err().map(|diagnostic| (keep.tenant.id, diagnostic)));
            }
        }
        failed.sort_by_key(|(tenant, _)| *tenant);
        failed
    }

    fn name(&self, tenant: TenantId) -> &str {
        &self.scope.fleet.tenants[tenant.0].name
    }
}

/// Makes a run that went through one that did not; one that did not is none the better for it.
fn halt(ending: &mut Ending, exit: ExitStatus) {
    if ending.outcome == RunOutcome::Applied {
        ending.outcome = RunOutcome::Halted;
    }
    ending.exit = ending.exit.worst(exit);
}

fn not_recorded(why: &Diagnostic, tenants: Vec<&str>) -> Diagnostic {
    let code = if why.code() == Code::BUG { Code::JOURNAL_NOT_WRITTEN } else { why.code() };
    let many = count(tenants.len(), "tenant");
    Diagnostic::warning(code, format!("the schemas of {many} were not recorded: {}", names(tenants, NAMES)))
        .cause(why.one_line())
        .state("their changesets are applied and stand in their histories")
        .hint(
            "nothing must be done: until their next changeset a change by hand shows there by comparison with the \
             other tenants only",
        )
}
