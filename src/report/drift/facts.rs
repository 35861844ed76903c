//! What a survey says beside its cohorts.

use std::collections::BTreeMap;

use time::Date;

use crate::error::Diagnostic;
use crate::history::Finding;
use crate::lockstep::{Found, Scope, Survey};
use crate::tenant::TenantId;

use super::{HistoryDrift, Rule};

/// Returns the history drift, each piece with all tenants that have it.
pub(super) fn history(scope: &Scope<'_>, survey: &Survey) -> Vec<HistoryDrift> {
    let mut by_finding: BTreeMap<&Finding, Vec<String>> = BTreeMap::new();
    for (tenant, position) in survey.positions() {
        for finding in &position.findings {
            by_finding.entry(finding).or_default().push(name(scope, tenant));
        }
    }
    let told = by_finding.into_iter().map(|(finding, tenants)| HistoryDrift {
        kind: finding.kind(),
        version: finding.version(),
        detail: finding.detail(),
        tenants,
    });
    told.collect()
}

/// Returns what could not be compared, in sentences.
pub(super) fn not_comparable(scope: &Scope<'_>, survey: &Survey) -> Vec<String> {
    let Some(schemas) = &survey.schemas else { return Vec::new() };
    schemas.incomparable().iter().map(|what| what.sentence(scope.fleet)).collect()
}

/// Returns the rules, those that are over too.
pub(super) fn rules(scope: &Scope<'_>, today: Date) -> Vec<Rule> {
    let told = scope.fleet.drift.ignore.iter().map(|rule| Rule {
        objects: rule.objects.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        labels: rule.labels.clone(),
        reason: rule.reason.clone(),
        until: rule.until,
        over: rule.is_expired(today),
    });
    told.collect()
}

/// Returns who could not be looked at, and why.
pub(super) fn unreadable(scope: &Scope<'_>, survey: &Survey) -> Vec<(String, Diagnostic)> {
    let told = survey.standings.iter().filter_map(|standing| match &standing.found {
        Found::Unreadable(why) => Some((name(scope, standing.tenant), why.clone())),
        Found::Read(_) | Found::Quarantined(_) | Found::Provisioning => None,
    });
    told.collect()
}

/// Returns the tenants of which nothing is expected yet.
pub(super) fn without_history(scope: &Scope<'_>, survey: &Survey) -> Vec<String> {
    let without = survey.positions().filter(|(_, position)| position.newest.is_none());
    without.map(|(tenant, _)| name(scope, tenant)).collect()
}

/// Returns who is left out on purpose, and why.
pub(super) fn quarantined(scope: &Scope<'_>, survey: &Survey) -> Vec<(String, String)> {
    let told = survey.standings.iter().filter_map(|standing| match &standing.found {
        Found::Quarantined(reason) => Some((name(scope, standing.tenant), reason.clone())),
        Found::Read(_) | Found::Unreadable(_) | Found::Provisioning => None,
    });
    told.collect()
}

/// Returns who is being made.
pub(super) fn provisioning(scope: &Scope<'_>, survey: &Survey) -> Vec<String> {
    let told = survey.standings.iter().filter(|standing| matches!(standing.found, Found::Provisioning));
    told.map(|standing| name(scope, standing.tenant)).collect()
}

fn name(scope: &Scope<'_>, tenant: TenantId) -> String {
    scope.fleet.tenants[tenant.0].name.clone()
}
