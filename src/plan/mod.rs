//! Which tenants get which changeset: histories in, steps out.
//!
//! Pure. Tenants with the same pending versions are kept as one cohort, so that a plan grows with tenants, and not
//! with tenants × changesets.

mod legs;
mod recipient;

pub use legs::{Gate, Leg};
pub use recipient::{recipient, skips};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::changeset::Version;
use crate::tenant::TenantId;

/// What `up` would do, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Version>,
    cohorts: Vec<Cohort>,
}

/// Tenants that lack the same versions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cohort {
    pending: BTreeSet<Version>,
    tenants: Vec<TenantId>,
}

impl Plan {
    /// Makes the plan that brings each tenant's pending versions, in order of version, up to and including `target`.
    ///
    /// Without a target, all of them.
    pub fn new(pending: impl IntoIterator<Item = (TenantId, Arc<[Version]>)>, target: Option<Version>) -> Self {
        let mut cohorts: BTreeMap<Arc<[Version]>, Vec<TenantId>> = BTreeMap::new();
        for (tenant, versions) in pending {
            cohorts.entry(versions).or_default().push(tenant);
        }
        let within = |version: &Version| target.is_none_or(|target| *version <= target);
        let cohorts: Vec<Cohort> = cohorts
            .into_iter()
            .map(|(versions, tenants)| Cohort { pending: versions.iter().copied().filter(within).collect(), tenants })
            .filter(|cohort| !cohort.pending.is_empty())
            .collect();
        let steps: BTreeSet<Version> = cohorts.iter().flat_map(|c| c.pending.iter().copied()).collect();
        Self { steps: steps.into_iter().collect(), cohorts }
    }

    /// Returns the versions of the steps, in order.
    pub fn steps(&self) -> &[Version] {
        &self.steps
    }

    /// Returns whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Returns the tenants that lack this version, in the fleet's order.
    pub fn tenants_at(&self, version: Version) -> Vec<TenantId> {
        let lacking = self.cohorts.iter().filter(|c| c.pending.contains(&version));
        let mut tenants: Vec<TenantId> = lacking.flat_map(|c| c.tenants.iter().copied()).collect();
        tenants.sort_unstable();
        tenants
    }

    /// Returns how many tenants get at least one changeset.
    pub fn tenants(&self) -> usize {
        self.cohorts.iter().map(|c| c.tenants.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pending: &[&[i64]], target: Option<i64>) -> Vec<(i64, Vec<usize>)> {
        let tenants = pending.iter().enumerate();
        let made = Plan::new(
            tenants.map(|(i, versions)| (TenantId(i), versions.iter().map(|v| Version(*v)).collect())),
            target.map(Version),
        );
        let tenants_at = |v: &Version| made.tenants_at(*v).into_iter().map(|t| t.0).collect();
        made.steps().iter().map(|v| (v.0, tenants_at(v))).collect()
    }

    #[test]
    fn a_tenant_that_is_behind_catches_up_through_the_same_steps() {
        assert_eq!(plan(&[&[3], &[1, 2, 3], &[], &[2, 3]], None), [(1, vec![1]), (2, vec![1, 3]), (3, vec![0, 1, 3])]);
    }

    #[test]
    fn a_target_ends_the_plan_there() {
        assert_eq!(plan(&[&[3], &[1, 2, 3]], Some(2)), [(1, vec![1]), (2, vec![1])]);
        assert_eq!(plan(&[&[3]], Some(2)), []);
    }
}
