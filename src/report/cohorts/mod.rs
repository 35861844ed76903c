//! The cohorts of a survey as reports tell them: tenants with one schema, what that means, and how it differs.

mod wire;

pub(super) use wire::WireCohort;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use time::{Date, OffsetDateTime};

use crate::changeset::Version;
use crate::error::names;
use crate::lockstep::{FleetCohort, Position, Scope, Survey};
use crate::schema::{Difference, Fingerprint, Group, Ignores, Snapshot, Verdict, differences, unified};
use crate::sql::EngineKind;
use crate::tenant::{Fleet, TenantId};

/// Tenants that must be alike.
#[derive(Clone, Debug)]
pub(super) struct Cohort {
    pub engine: EngineKind,
    /// The newest version that they have.
    pub version: Option<Version>,
    /// How many changesets they have.
    pub changesets: usize,
    /// Those that they all skipped.
    pub skipped: Arc<[Version]>,
    pub basis: String,
    /// The cohort in words, unlike any other's: `postgres, V42`.
    pub label: String,
    pub size: usize,
    /// What they should have, if anything says so.
    pub reference: Option<Fingerprint>,
    /// At least one.
    pub groups: Vec<Schema>,
}

/// Tenants with one schema.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub state: SchemaState,
    pub tenants: Vec<String>,
    pub fingerprint: Fingerprint,
    /// What was expected, if it is not that.
    pub expected: Option<Fingerprint>,
    pub differences: Vec<Difference>,
    /// What differs and is no drift.
    pub excused: Vec<Excused>,
    /// What was expected and what is there, as `diff -u` writes it. Where nothing is expected, it is compared with the
    /// first schema of its cohort.
    pub diff: Option<String>,
    /// When the record was made that it is not like any more, of one tenant.
    pub recorded_at: Option<OffsetDateTime>,
}

/// What is to be said of a schema. The words are part of the reports' formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaState {
    Expected,
    Excused,
    Changed,
    Deviates,
    Undecided,
    /// Compared with one tenant's.
    Same,
    Differs,
    NotComparable,
}

/// A difference that is no drift.
#[derive(Clone, Debug)]
pub(super) struct Excused {
    pub difference: Difference,
    /// The reason of the rule that ignores it; a person accepted it if there is none.
    pub rule: Option<String>,
}

impl SchemaState {
    /// Returns the word in reports; persisted there.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Excused => "excused",
            Self::Changed => "changed",
            Self::Deviates => "deviates",
            Self::Undecided => "undecided",
            Self::Same => "same",
            Self::Differs => "differs",
            Self::NotComparable => "not-comparable",
        }
    }

    /// Returns whether a person must look.
    pub fn is_drift(self) -> bool {
        matches!(self, Self::Changed | Self::Deviates | Self::Undecided | Self::Differs)
    }

    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Expected => Self::Expected,
            Verdict::Excused => Self::Excused,
            Verdict::Changed { .. } => Self::Changed,
            Verdict::Deviates { .. } => Self::Deviates,
            Verdict::Undecided => Self::Undecided,
        }
    }
}

/// Returns the differences without what goes with a relation that is missing or not expected as a whole.
pub(super) fn in_short(differences: &[Difference]) -> Vec<&Difference> {
    let whole = |difference: &&Difference| difference.expected.is_none() || difference.found.is_none();
    let relations = differences.iter().filter(whole).filter(|difference| difference.parent.is_none());
    let relations: HashSet<&str> = relations.map(|difference| difference.object.as_str()).collect();
    let told =
        |one: &&Difference| !one.parent.as_deref().is_some_and(|parent| whole(one) && relations.contains(parent));
    differences.iter().filter(told).collect()
}

/// Folds a survey's schemas; nothing if they were not looked at.
pub(super) fn of(scope: &Scope<'_>, survey: &Survey, today: Date) -> Vec<Cohort> {
    let found = survey.schemas.as_ref().map(|schemas| schemas.cohorts.as_slice()).unwrap_or_default();
    let positions: HashMap<TenantId, &Position> = match found.iter().any(|cohort| cohort.cohort.is_drift()) {
        true => survey.positions().collect(),
        false => HashMap::new(),
    };
    let fold = Fold { fleet: scope.fleet, positions, today };
    found.iter().map(|cohort| fold.cohort(cohort, label(cohort, found))).collect()
}

/// Returns a cohort's words, with as much as tells it from the others.
pub(super) fn label(cohort: &FleetCohort, all: &[FleetCohort]) -> String {
    let label = cohort.label();
    let like = |other: &&FleetCohort| !std::ptr::eq(*other, cohort) && other.label() == label;
    let others: Vec<&FleetCohort> = all.iter().filter(like).collect();
    let mut words = label.clone();
    if others.iter().any(|other| other.cohort.basis != cohort.cohort.basis) {
        words = words.replacen(&cohort.engine.to_string(), &cohort.cohort.basis.engine, 1);
    }
    if others.iter().any(|other| other.applied != cohort.applied) {
        words = format!("{words}, {}", crate::error::count(cohort.applied.len(), "changeset"));
    }
    words
}

struct Fold<'f> {
    fleet: &'f Fleet,
    positions: HashMap<TenantId, &'f Position>,
    today: Date,
}

impl Fold<'_> {
    fn cohort(&self, found: &FleetCohort, label: String) -> Cohort {
        let cohort = &found.cohort;
        let undecided = cohort.groups.iter().find(|group| matches!(group.verdict, Verdict::Undecided));
        Cohort {
            engine: found.engine,
            version: found.applied.last().copied(),
            changesets: found.applied.len(),
            skipped: found.skipped.clone(),
            basis: cohort.basis.to_string(),
            label,
            size: found.tenants(),
            reference: cohort.reference.as_ref().map(|reference| reference.fingerprint().clone()),
            groups: cohort
                .groups
                .iter()
                .map(|group| self.schema(group, cohort.reference.as_deref(), undecided))
                .collect(),
        }
    }

    fn schema(
        &self,
        group: &Group<TenantId>,
        reference: Option<&Snapshot>,
        undecided: Option<&Group<TenantId>>,
    ) -> Schema {
        let expected = group.verdict.expected();
        let diff = match (&group.verdict, expected, undecided) {
            (Verdict::Undecided, _, Some(first)) if !std::ptr::eq(first, group) => {
                unified((&self.side(first), &first.live), (&self.side(group), &group.live), &group.ignores)
            }
            (_, Some(expected), _) => unified(("expected", expected), (&self.side(group), &group.live), &group.ignores),
            _ => String::new(),
        };
        let last = match (&group.verdict, group.tenants.as_slice()) {
            (Verdict::Changed { .. }, [one]) => self.positions.get(one).and_then(|position| position.last.as_ref()),
            _ => None,
        };
        Schema {
            state: SchemaState::of(&group.verdict),
            tenants: self.names(group).map(str::to_owned).collect(),
            fingerprint: group.live.fingerprint().clone(),
            expected: expected.map(|expected| expected.fingerprint().clone()),
            differences: group.verdict.differences().to_vec(),
            excused: self.excused(group, expected.map(|expected| &**expected).or(reference)),
            diff: (!diff.is_empty()).then_some(diff),
            recorded_at: last.filter(|last| last.fingerprint.is_some()).map(|last| last.finished_at),
        }
    }

    /// Returns what differs and is no drift, of a group that is not as expected to the letter.
    fn excused(&self, group: &Group<TenantId>, expected: Option<&Snapshot>) -> Vec<Excused> {
        let (Some(expected), false) = (expected, matches!(group.verdict, Verdict::Expected)) else { return Vec::new() };
        let told = group.verdict.differences();
        let excused = differences(expected, &group.live).into_iter().filter(|difference| !told.contains(difference));
        excused.map(|difference| Excused { rule: self.rule(group, &difference), difference }).collect()
    }

    /// Returns the reason of the rule that ignores a difference.
    fn rule(&self, group: &Group<TenantId>, difference: &Difference) -> Option<String> {
        let tenant = &self.fleet.tenants[group.tenants.first()?.0];
        let excuses = |rule: &&crate::schema::Ignore| {
            let labels = |label: &str| tenant.labels.contains(label);
            Ignores::of(std::slice::from_ref(rule), labels, self.today).excuse(difference)
        };
        self.fleet.drift.ignore.iter().find(excuses).map(|rule| rule.reason.clone())
    }

    fn names(&self, group: &Group<TenantId>) -> impl Iterator<Item = &str> {
        group.tenants.iter().map(|id| self.fleet.tenants[id.0].name.as_str())
    }

    /// Names a side of a diff: `acme and 1 more`.
    fn side(&self, group: &Group<TenantId>) -> String {
        names(self.names(group), 1).replace('\n', " ")
    }
}
