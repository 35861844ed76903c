//! What the live schemas of a survey come to: cohorts, and who deviates.

use std::collections::HashMap;
use std::sync::Arc;

use crate::changeset::Version;
use crate::error::{Diagnostic, count, names};
use crate::schema::{Cohort, Member, Verdict, judge};
use crate::sql::EngineKind;
use crate::tenant::{Fleet, TenantId};

use super::by_tenant::ByTenant;
use super::expected::Entry;
use super::survey::{Scope, Survey};
use super::words::{NAMES, Telling, When};

/// The schemas of a survey, by cohort.
#[derive(Clone, Debug, Default)]
pub struct SchemaDrift {
    /// One for each engine, list of applied versions and basis; those with most tenants first.
    pub cohorts: Vec<FleetCohort>,
    /// Tenants without history: nothing is expected of them yet.
    pub without_history: usize,
}

/// Tenants that must be alike: of one engine, with the same changesets.
#[derive(Clone, Debug)]
pub struct FleetCohort {
    /// What they speak.
    pub engine: EngineKind,
    /// What they all have.
    pub applied: Arc<[Version]>,
    /// Those of them that they all skipped.
    pub skipped: Arc<[Version]>,
    /// Who has what, and what that means.
    pub cohort: Cohort<TenantId>,
}

/// What is neither equal nor different, because the descriptions have another basis.
#[derive(Clone, Debug)]
pub enum Incomparable<'d> {
    /// What is recorded of some tenants of a cohort says nothing about what they have now.
    Records(&'d FleetCohort),
    /// Tenants of one engine with the same changesets, on servers that describe schemas differently.
    Bases(Vec<&'d FleetCohort>),
}

/// Tenants that must be alike, before they are judged.
struct Alike {
    engine: EngineKind,
    applied: Arc<[Version]>,
    skipped: Arc<[Version]>,
    members: Vec<Member<TenantId>>,
}

/// What makes tenants alike: what they speak, the versions that they have, and those of them that they skipped.
type Had<L> = (EngineKind, L, L);

/// Where the tenants with the same lists are; these are kept, so that no other comes to lie in their place.
struct Placed {
    at: usize,
    _kept: [Arc<[Version]>; 2],
}

impl SchemaDrift {
    /// Judges tenants with those that must be like them.
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        let mut alike: Vec<Alike> = Vec::new();
        let mut by_list: HashMap<Had<Arc<[Version]>>, usize> = HashMap::new();
        // Most lists are shared: their place in memory saves hashing them.
        let mut by_place: HashMap<(EngineKind, *const Version, *const Version), Placed> = HashMap::new();
        for Entry { engine, applied, skipped, member } in entries {
            let Placed { at, .. } = by_place.entry((engine, applied.as_ptr(), skipped.as_ptr())).or_insert_with(|| {
                let at = *by_list.entry((engine, applied.clone(), skipped.clone())).or_insert_with(|| {
                    let (applied, skipped) = (applied.clone(), skipped.clone());
                    alike.push(Alike { engine, applied, skipped, members: Vec::new() });
                    alike.len() - 1
                });
                Placed { at, _kept: [applied, skipped] }
            });
            alike[*at].members.push(member);
        }
        let judged = alike.into_iter().flat_map(|Alike { engine, applied, skipped, members }| {
            let made = move |cohort| FleetCohort { engine, applied: applied.clone(), skipped: skipped.clone(), cohort };
            judge(members).into_iter().map(made)
        });
        let mut cohorts: Vec<FleetCohort> = judged.collect();
        cohorts.sort_by_key(|cohort| std::cmp::Reverse(cohort.tenants()));
        Self { cohorts, without_history: 0 }
    }

    /// Whether a person must look.
    pub fn is_drift(&self) -> bool {
        self.cohorts.iter().any(|cohort| cohort.cohort.is_drift())
    }

    /// Returns the tenants of whom a person must look at, those of one group together.
    pub fn deviating(&self) -> impl Iterator<Item = TenantId> {
        let groups = self.cohorts.iter().flat_map(|cohort| &cohort.cohort.groups);
        groups.filter(|group| group.verdict.is_drift()).flat_map(|group| group.tenants.iter().copied())
    }

    /// Returns what could not be compared. It is no drift, and no proof that there is none.
    pub fn incomparable(&self) -> Vec<Incomparable<'_>> {
        let stale = self.cohorts.iter().filter(|cohort| !cohort.cohort.not_comparable.is_empty());
        let mut found: Vec<Incomparable<'_>> = stale.map(Incomparable::Records).collect();
        let mut by_list: HashMap<Had<&[Version]>, Vec<&FleetCohort>> = HashMap::new();
        for cohort in &self.cohorts {
            by_list.entry((cohort.engine, &cohort.applied, &cohort.skipped)).or_default().push(cohort);
        }
        let mut several: Vec<Vec<&FleetCohort>> = by_list.into_values().filter(|same| same.len() > 1).collect();
        several.sort_by_key(|same| (same[0].engine, same[0].applied.clone(), same[0].skipped.clone()));
        found.extend(several.into_iter().map(Incomparable::Bases));
        found
    }

    /// Returns what is to be said of each tenant.
    pub(crate) fn verdicts(&self) -> ByTenant<&Verdict> {
        let groups = self.cohorts.iter().flat_map(|cohort| &cohort.cohort.groups);
        groups.flat_map(|group| group.tenants.iter().map(|tenant| (*tenant, &group.verdict))).collect()
    }
}

impl FleetCohort {
    /// Returns how many tenants it has.
    pub fn tenants(&self) -> usize {
        self.cohort.groups.iter().map(|group| group.tenants.len()).sum()
    }

    /// Returns it in words: `postgres, V42`, `postgres, V42, skipped V7`.
    pub fn label(&self) -> String {
        let label = match self.applied.last() {
            Some(version) => format!("{}, V{version}", self.engine),
            None => format!("{}, no changeset of this changelog", self.engine),
        };
        let skipped: Vec<String> = self.skipped.iter().map(|version| format!("V{version}")).collect();
        match skipped.is_empty() {
            true => label,
            false => format!("{label}, skipped {}", names(skipped.iter().map(String::as_str), NAMES)),
        }
    }
}

impl Incomparable<'_> {
    /// Returns it as a sentence without a period.
    pub fn sentence(&self, fleet: &Fleet) -> String {
        match self {
            Self::Records(cohort) => {
                let tenants = cohort.cohort.not_comparable.iter().map(|id| fleet.tenants[id.0].name.as_str());
                let many = count(cohort.cohort.not_comparable.len(), "tenant");
                format!(
                    "what is recorded of {many} ({}) cannot be compared with what is there now ({}): another version of \
                     the server or of mtmigrate recorded it, or `drift: include:` was another; the next changeset \
                     records it anew",
                    names(tenants, NAMES),
                    cohort.cohort.basis
                )
            }
            Self::Bases(cohorts) => {
                let each: Vec<String> = cohorts
                    .iter()
                    .map(|cohort| format!("{} on {}", count(cohort.tenants(), "tenant"), cohort.cohort.basis.engine))
                    .collect();
                let label = cohorts.first().map(|cohort| cohort.label()).unwrap_or_default();
                format!(
                    "tenants with the same changesets ({label}) are compared only among themselves: {}",
                    each.join(", ")
                )
            }
        }
    }
}

/// Returns the schema drift of a survey: one diagnostic for each deviating group of tenants, with a unified diff.
/// Nothing if schemas were not looked at.
pub fn schema_drift(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let Some(drift) = &survey.schemas else { return Vec::new() };
    Telling { scope, survey, drift, when: When::Survey }.diagnostics()
}
