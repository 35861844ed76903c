//! Records that a person accepts a tenant's schema as it is. Runs no text.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::changeset::Version;
use crate::engine::{Acceptance, RunIdentity};
use crate::error::{Code, Diagnostic, Result};
use crate::history::OutOfOrder;
use crate::schema::{Difference, Fingerprint, Member, Recorded, Snapshot, Verdict, broken, differences};
use crate::tenant::TenantId;

use super::drift::{FleetCohort, SchemaDrift};
use super::event::Sink;
use super::expected::{Entry, Expectations, is_measured_by_others, json, record, still};
use super::jitter::Jitter;
use super::judge::half_applied;
use super::locks::{Locks, Waiting};
use super::schemas::Schemas;
use super::standing::{Found, Position};
use super::stop::Stop;
use super::survey::{Depth, Scope, Survey, survey_with};
use super::words::sentences;

/// What a person accepts.
#[derive(Clone, Debug)]
pub struct Accept<'a> {
    /// Whose schema.
    pub tenant: TenantId,
    /// Why, in the person's words.
    pub reason: &'a str,
    /// How long to wait for another run's lock.
    pub lock_wait: Duration,
}

/// What was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The schema's fingerprint.
    pub fingerprint: Fingerprint,
    /// What differs from what was expected; nothing where nothing was known to be expected.
    pub differences: Vec<Difference>,
}

/// Records under the lock that the tenant's present schema is expected from now on, with the differences from its
/// cohort in the scope, which is to be the whole fleet.
///
/// Where nothing says what the cohort should have, the tenant's schema is that from now on.
///
/// # Errors
/// `MT114` when the schema is as expected already, or nothing is expected yet; `MT211` when the tenant is half applied;
/// `MT301` when another run holds the lock; what the server answers.
pub async fn accept(
    scope: Scope<'_>,
    accept: &Accept<'_>,
    run: &RunIdentity,
    stop: &Stop,
    events: Sink<'_>,
) -> Result<Accepted> {
    let selection = [accept.tenant];
    let locked = Scope { selection: &selection, ..scope };
    let jitter = Jitter::new(&run.run_id);
    let waiting = Waiting { run, wait: accept.lock_wait, stop, events, jitter: &jitter };
    let locks = Locks::take(locked, &waiting).await?;
    let accepted = under_lock(scope, accept, run).await;
    locks.release().await;
    accepted
}

async fn under_lock(scope: Scope<'_>, accept: &Accept<'_>, run: &RunIdentity) -> Result<Accepted> {
    let tenant = &scope.fleet.tenants[accept.tenant.0];
    let (survey, schemas) = survey_with(&scope, OutOfOrder::Allow, Depth::Schemas).await;
    let position = position(&scope, &survey, accept.tenant)?;
    let case = Case::new(&scope, &survey, &schemas, accept.tenant, position)?;
    let (differences, accepted) = case.decide()?;
    let newest = position.newest.unwrap_or(Version(0));
    let name = scope.changelog.get(newest).map_or("", |changeset| changeset.name.as_str());
    let words = match sentences(&differences) {
        none if none.is_empty() => accept.reason.to_owned(),
        said => format!("{}: {}", accept.reason, said.join("; ")),
    };
    let acceptance = Acceptance {
        tenant,
        tables: position.tables,
        run,
        version: (newest, name),
        snapshot: &case.live,
        record: &record(case.live.fingerprint(), &position.applied),
        accepted: accepted.as_deref(),
        skipped: position.last.as_ref().map_or(&[], |last| &last.skipped),
        words: &words,
    };
    scope.servers[tenant.server.0].accept(acceptance).await?;
    Ok(Accepted { fingerprint: case.live.fingerprint().clone(), differences })
}

/// What to do about a tenant that is being made.
pub(super) const PROVISION: &str = "finish it with `mtmigrate provision`, then write `state: active` in tenants.yaml";

/// Returns where the tenant stands, if its schema can be accepted there.
fn position<'s>(scope: &Scope<'_>, survey: &'s Survey, id: TenantId) -> Result<&'s Position> {
    let tenant = &scope.fleet.tenants[id.0];
    let position = match survey.standings.iter().find(|standing| standing.tenant == id).map(|s| &s.found) {
        Some(Found::Read(position)) => position,
        Some(Found::Unreadable(diagnostic)) => return Err(diagnostic.clone()),
        Some(Found::Quarantined(reason)) => {
            let message = format!("tenant {} is quarantined: {reason}", tenant.name);
            return Err(refused(message, "take `quarantined:` out of tenants.yaml first"));
        }
        Some(Found::Provisioning) => {
            return Err(refused(format!("tenant {} is being provisioned", tenant.name), PROVISION));
        }
        None => return Err(refused(format!("tenant {} is not among those that are meant", tenant.name), WHO)),
    };
    if position.unfinished.is_some() {
        let alone = Scope { selection: &[id], ..*scope };
        let said = half_applied(&alone, survey, None).into_iter().next();
        let message = format!("tenant {} is half applied: its schema is not what anybody meant it to be", tenant.name);
        let hint = "run `mtmigrate up` first, which continues the changeset";
        return Err(said.unwrap_or_else(|| Diagnostic::new(Code::HALF_APPLIED, message).hint(hint)).state(RECORDED));
    }
    if position.newest.is_none() {
        let message = format!("tenant {} has no history yet: nothing is expected of its schema", tenant.name);
        return Err(refused(message, "run `mtmigrate up`; its first changeset makes it one of a cohort"));
    }
    Ok(position)
}

/// A tenant among those that must be like it.
struct Case<'c> {
    name: &'c str,
    id: TenantId,
    verdict: &'c Verdict,
    cohort: &'c FleetCohort,
    live: Arc<Snapshot>,
    /// All of its cohort, itself too.
    members: Vec<Member<TenantId>>,
    position: &'c Position,
}

impl<'c> Case<'c> {
    fn new(
        scope: &Scope<'c>,
        survey: &'c Survey,
        schemas: &Schemas,
        id: TenantId,
        position: &'c Position,
    ) -> Result<Self> {
        let name = scope.fleet.tenants[id.0].name.as_str();
        let has = |cohort: &&FleetCohort| cohort.cohort.groups.iter().any(|group| group.tenants.contains(&id));
        let cohort = survey.schemas.iter().flat_map(|schemas| &schemas.cohorts).find(has);
        let (Some(verdict), Some(cohort), Some(live)) = (&position.verdict, cohort, &position.schema) else {
            return Err(Diagnostic::new(Code::BUG, format!("the schema of tenant {name} was not judged")));
        };
        let mut expectations = Expectations::new(scope.fleet);
        let engine = scope.fleet.tenants[id.0].datasource.engine();
        let entries = survey.positions().filter_map(|(tenant, p)| expectations.entry(tenant, p, schemas));
        let alike = entries.filter(|entry| {
            (entry.engine, &entry.applied, &entry.skipped) == (engine, &position.applied, &position.skipped)
        });
        let members = alike.map(|entry| entry.member).collect();
        Ok(Self { name, id, verdict, cohort, live: live.clone(), members, position })
    }

    /// Returns what is accepted now, and all that is accepted with what was before, as JSON.
    fn decide(&self) -> Result<(Vec<Difference>, Option<String>)> {
        let own = self.members.iter().find(|member| member.tenant == self.id);
        let Some(own) = own else {
            return Err(Diagnostic::new(Code::BUG, format!("the schema of tenant {} was not judged", self.name)));
        };
        let excused = matches!(self.verdict, Verdict::Excused);
        // A rule may end: who accepts what only a rule excuses means what the rule excuses.
        let meant = |difference: &Difference| excused || !own.ignores.excuse(difference);
        let reference = self.cohort.cohort.reference.as_ref();
        let expected = reference.or_else(|| self.verdict.expected());
        let mut all: Vec<Difference> = expected.map(|expected| differences(expected, &self.live)).unwrap_or_default();
        if !matches!(self.verdict, Verdict::Undecided) {
            all.extend(broken(&self.live));
        }
        all.retain(meant);
        let is_kept = own.recorded.as_ref().is_some_and(|r| r.fingerprint == *self.live.fingerprint());
        let nothing_new = excused && is_kept && all.iter().all(|difference| own.accepted.contains(difference));
        if matches!(self.verdict, Verdict::Expected) || nothing_new {
            let message = format!("the schema of tenant {} is as expected already", self.name);
            return Err(refused(message, "`mtmigrate drift` shows which tenants have another one"));
        }
        // What differs from the cohort is what must be excused later; what was told is what the person has in mind.
        let shown = if all.is_empty() { self.verdict.differences().to_vec() } else { named(&all) };
        let unlike_none: HashSet<TenantId> =
            self.members.iter().filter(|member| member.accepted.is_empty()).map(|member| member.tenant).collect();
        let others = is_measured_by_others(&self.cohort.cohort, |tenant| unlike_none.contains(&tenant));
        let mut accepted = match reference {
            Some(reference) if others => still(&own.accepted, reference, &self.live),
            _ => own.accepted.to_vec(),
        };
        accepted.extend(all.into_iter().filter(|difference| !own.accepted.contains(difference)));
        if self.is_green_with(&accepted) { Ok((shown, json(&accepted))) } else { Ok((shown, None)) }
    }

    /// Whether the tenant is as expected once these differences are accepted. If not, nothing says what its cohort
    /// should have, and accepting says it.
    fn is_green_with(&self, accepted: &[Difference]) -> bool {
        let mut members = self.members.clone();
        for member in members.iter_mut().filter(|member| member.tenant == self.id) {
            let (fingerprint, snapshot) = (self.live.fingerprint().clone(), Some(self.live.clone()));
            member.recorded = Some(Recorded { fingerprint, snapshot, chosen: accepted.is_empty() });
            member.accepted = accepted.into();
        }
        let (engine, applied, skipped) = (self.cohort.engine, &self.position.applied, &self.position.skipped);
        let entries = members.into_iter().map(|member| {
            let (applied, skipped) = (applied.clone(), skipped.clone());
            Entry { engine, applied, skipped, member }
        });
        SchemaDrift::of(entries.collect()).verdicts().get(self.id).is_some_and(|verdict| !verdict.is_drift())
    }
}

/// Returns the differences without those that only say of an object named already that it does not work.
fn named(all: &[Difference]) -> Vec<Difference> {
    let mut named: Vec<Difference> = Vec::new();
    for difference in all {
        if !named.iter().any(|other| (other.kind, &other.object) == (difference.kind, &difference.object)) {
            named.push(difference.clone());
        }
    }
    named
}

const RECORDED: &str = "nothing was recorded";

const WHO: &str = "`mtmigrate status` shows the tenants";

fn refused(message: String, hint: &str) -> Diagnostic {
    Diagnostic::new(Code::USAGE, message).state(RECORDED).hint(hint)
}
