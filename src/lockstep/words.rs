//! Schema drift in words, for whoever is woken by it: who has what, what was expected, what to do.

use std::collections::{BTreeSet, HashMap};

use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::error::{Code, Diagnostic, count, names};
use crate::history::{Attempt, AttemptOutcome};
use crate::schema::{Cohort, Difference, Group, Ignores, Snapshot, Verdict, unified};
use crate::tenant::TenantId;

use super::drift::{FleetCohort, SchemaDrift};
use super::expected::{expired, recorded, today};
use super::standing::Position;
use super::survey::{Scope, Survey};

/// How many tenants one message names.
pub(crate) const NAMES: usize = 5;

/// How many differences one message tells; the unified diff has all.
const TOLD: usize = 10;

/// How many schemas one message lists where nothing says which is right.
const SCHEMAS: usize = 10;

/// What is to be told of schema drift.
pub(crate) struct Telling<'t> {
    pub scope: &'t Scope<'t>,
    pub survey: &'t Survey,
    pub drift: &'t SchemaDrift,
    pub when: When<'t>,
}

/// When it was found.
pub(crate) enum When<'t> {
    /// Before anything was changed.
    Survey,
    /// After a step: which changeset these tenants got, and how the fleet stands now.
    Step { changeset: &'t str, tenants: &'t BTreeSet<TenantId>, fleet: &'t str },
    /// At the end of a run, which left the fleet so; tenants that were told of before are left out.
    End { fleet: &'t str, told: &'t BTreeSet<TenantId> },
}

impl Telling<'_> {
    /// Returns one diagnostic for each deviating group of tenants; one for a whole cohort where nothing says who is
    /// right.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut said = Vec::new();
        let mut of_tenant: HashMap<TenantId, &Position> = HashMap::new();
        if self.drift.is_drift() {
            of_tenant.extend(self.survey.positions());
        }
        for cohort in &self.drift.cohorts {
            let drifting = cohort.cohort.groups.iter().filter(|group| group.verdict.is_drift());
            let (undecided, groups): (Vec<_>, Vec<_>) = drifting
                .filter(|group| !self.is_told(group))
                .partition(|group| matches!(group.verdict, Verdict::Undecided));
            said.extend(groups.into_iter().map(|group| self.group(cohort, group, &of_tenant)));
            if !undecided.is_empty() {
                said.push(self.undecided(cohort, &undecided));
            }
        }
        // What was changed by hand comes before what merely differs from others.
        said.sort_by_key(Diagnostic::code);
        said
    }

    fn is_told(&self, group: &Group<TenantId>) -> bool {
        match &self.when {
            When::End { told, .. } => group.tenants.iter().all(|tenant| told.contains(tenant)),
            When::Survey | When::Step { .. } => false,
        }
    }

    fn group(
        &self,
        cohort: &FleetCohort,
        group: &Group<TenantId>,
        positions: &HashMap<TenantId, &Position>,
    ) -> Diagnostic {
        let changed = matches!(group.verdict, Verdict::Changed { .. });
        let code = if changed { Code::SCHEMA_CHANGED } else { Code::SCHEMA_DEVIATES };
        let differences = group.verdict.differences();
        let failed = failed_last(group, positions);
        let mut made = Diagnostic::new(code, self.message(cohort, group, failed.is_none()));
        for sentence in sentences(differences) {
            made = made.cause(sentence);
        }
        if let Some(last) = failed {
            made = made.cause(format!(
                "V{} failed there at {}, and may have left this: {}",
                last.version,
                minute(last.finished_at),
                last.error.as_deref().unwrap_or("no error is recorded")
            ));
        }
        if changed {
            for said in self.record(group, positions) {
                made = made.cause(said);
            }
        }
        for said in self.rules_that_are_over(group) {
            made = made.cause(said);
        }
        if let Some(expected) = group.verdict.expected() {
            made = made.diff(self.diff("expected", expected, group));
        }
        let undo = if changed { "undo the change" } else { "make it like its cohort" };
        made.state(self.state(&cohort.cohort, &cohort.label())).hint(format!(
            "{undo}; or, if it is right, run `mtmigrate accept --tenant {} --reason …`{}; or add a rule under \
             `drift: ignore:` in tenants.yaml{}",
            self.name(group.tenants[0]),
            if group.tenants.len() > 1 { " for each of them" } else { "" },
            self.again(),
        ))
    }

    fn message(&self, cohort: &FleetCohort, group: &Group<TenantId>, by_hand: bool) -> String {
        let tenants = &group.tenants;
        let listed = names(tenants.iter().map(|id| self.name(*id)), NAMES);
        if matches!(group.verdict, Verdict::Changed { .. }) {
            let how = if by_hand { "changed by hand" } else { "changed" };
            let since = match cohort.applied.last() {
                Some(version) => format!("{how} since V{version}"),
                None => format!("{how} since it was recorded"),
            };
            return match tenants.len() {
                1 => format!("the schema of tenant {listed} was {since}"),
                many => format!("the schemas of {many} tenants were {since}: {listed}"),
            };
        }
        if let When::Step { changeset, tenants: step, .. } = &self.when
            && tenants.iter().all(|tenant| step.contains(tenant))
        {
            return match tenants.len() {
                1 => format!("{changeset} left tenant {listed} with another schema than its cohort"),
                many => format!("{changeset} left {many} tenants with another schema than their cohort: {listed}"),
            };
        }
        let label = cohort.label();
        match tenants.len() {
            1 => format!("the schema of tenant {listed} is not what its cohort has ({label})"),
            many => format!("the schemas of {many} tenants are not what their cohort has ({label}): {listed}"),
        }
    }

    /// Tells a cohort of which nobody knows what it should have.
    fn undecided(&self, cohort: &FleetCohort, groups: &[&Group<TenantId>]) -> Diagnostic {
        let many: usize = groups.iter().map(|group| group.tenants.len()).sum();
        let after = match &self.when {
            When::Step { changeset, .. } => format!("after {changeset}, "),
            When::Survey | When::End { .. } => String::new(),
        };
        let message = format!(
            "{after}{} of one cohort ({}) have {} different schemas, and nothing says which is right",
            count(many, "tenant"),
            cohort.label(),
            groups.len(),
        );
        let mut made = Diagnostic::new(Code::SCHEMA_UNDECIDED, message);
        for group in groups.iter().take(SCHEMAS) {
            let tenants = names(group.tenants.iter().map(|id| self.name(*id)), NAMES);
            let many = count(group.tenants.len(), "tenant");
            made = made.cause(format!("fingerprint {}: {many}: {tenants}", group.live.fingerprint().short()));
        }
        if groups.len() > SCHEMAS {
            made = made.cause(format!("and {} more", count(groups.len() - SCHEMAS, "schema")));
        }
        if let [one, other, ..] = groups {
            made = made.diff(self.diff(&self.side(one), &one.live, other));
        }
        made.state(self.state(&cohort.cohort, &cohort.label())).hint(format!(
            "find out which is right: `mtmigrate accept --tenant {} --reason …` records the schema of one tenant as the \
             one that its cohort should have; make the others like it, or accept what is special to them in the same way{}",
            self.name(groups[0].tenants[0]),
            self.again(),
        ))
    }

    /// Says when what is expected was recorded, and by whom.
    fn record(&self, group: &Group<TenantId>, positions: &HashMap<TenantId, &Position>) -> Vec<String> {
        let of = group.tenants.first().and_then(|tenant| {
            let position = positions.get(tenant)?;
            Some((tenant, position.last.as_ref()?, recorded(position)?))
        });
        let Some((tenant, last, fingerprint)) = of else { return Vec::new() };
        let of = if group.tenants.len() > 1 { format!(" of {}", self.name(*tenant)) } else { String::new() };
        let mut said = vec![format!(
            "fingerprint {}{of} was recorded by run {} of {}@{} at {}",
            fingerprint.short(),
            last.run_id,
            last.who,
            last.host,
            minute(last.finished_at)
        )];
        if group.verdict.expected().is_none_or(|expected| *expected.fingerprint() != fingerprint) {
            said.push(
                "what exactly was recorded is not known any more: the journal keeps no snapshot of it".to_owned(),
            );
        }
        said
    }

    /// Says which rules would excuse some of it if they were not over.
    fn rules_that_are_over(&self, group: &Group<TenantId>) -> Vec<String> {
        let Some(tenant) = group.tenants.first().map(|id| &self.scope.fleet.tenants[id.0]) else { return Vec::new() };
        let mut said = Vec::new();
        for rule in expired(self.scope.fleet, today()) {
            let Some(until) = rule.until else { continue };
            let was = Ignores::of(std::slice::from_ref(rule), |label| tenant.labels.contains(label), until);
            if group.verdict.differences().iter().any(|difference| was.excuse(difference)) {
                let objects: Vec<&str> = rule.objects.iter().map(|pattern| pattern.as_str()).collect();
                let objects = objects.join("`, `");
                said.push(format!("the rule that `{objects}` may differ ({}) ended on {until}", rule.reason));
            }
        }
        said
    }

    fn diff(&self, from: &str, expected: &Snapshot, group: &Group<TenantId>) -> String {
        unified((from, expected), (&self.side(group), &group.live), &group.ignores)
    }

    /// Names a side of a diff: `acme and 1 more`.
    fn side(&self, group: &Group<TenantId>) -> String {
        names(group.tenants.iter().map(|id| self.name(*id)), 1)
    }

    fn state(&self, cohort: &Cohort<TenantId>, label: &str) -> String {
        let many = |drift: fn(&Verdict) -> bool| {
            cohort.groups.iter().filter(|g| drift(&g.verdict)).map(|g| g.tenants.len()).sum::<usize>()
        };
        let expected = many(|verdict| matches!(verdict, Verdict::Expected));
        let excused = many(|verdict| matches!(verdict, Verdict::Excused));
        let mut said = Vec::new();
        if let (Some(reference), 1..) = (&cohort.reference, expected) {
            said.push(format!(
                "{} of this cohort ({label}) {} fingerprint {} and {} as expected",
                count(expected, "tenant"),
                if expected == 1 { "has" } else { "have" },
                reference.fingerprint().short(),
                if expected == 1 { "is" } else { "are" },
            ));
        }
        if excused > 0 {
            let verb = if excused == 1 { "differs" } else { "differ" };
            said.push(format!("{} {verb} only in what was accepted or is ignored", count(excused, "tenant")));
        }
        match &self.when {
            When::Survey => said.push("nothing was changed".to_owned()),
            When::Step { fleet, .. } | When::End { fleet, .. } => said.push((*fleet).to_owned()),
        }
        said.join("; ")
    }

    fn again(&self) -> &'static str {
        match &self.when {
            When::Survey => "",
            When::Step { .. } | When::End { .. } => "; then run `mtmigrate up` again",
        }
    }

    fn name(&self, tenant: TenantId) -> &str {
        &self.scope.fleet.tenants[tenant.0].name
    }
}

/// Returns the failed attempt that the journal of a group's first tenant ends with: what a text does outside a
/// transaction may outlive its failure, as an index does that could not be built.
fn failed_last<'p>(group: &Group<TenantId>, positions: &HashMap<TenantId, &'p Position>) -> Option<&'p Attempt> {
    let last = positions.get(group.tenants.first()?)?.last.as_ref()?;
    (last.outcome == AttemptOutcome::Failed).then_some(last)
}

/// Returns a time as people say it, in UTC.
pub(crate) fn minute(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    at.to_offset(UtcOffset::UTC).format(format).unwrap_or_else(|_| at.to_string())
}

/// Returns differences as clauses, at most [`TOLD`] of them and the number of the rest.
pub(crate) fn sentences(differences: &[Difference]) -> Vec<String> {
    let mut said: Vec<String> = differences.iter().take(TOLD).map(Difference::sentence).collect();
    if let more @ 1.. = differences.len().saturating_sub(TOLD) {
        said.push(format!("and {more} more"));
    }
    said
}
