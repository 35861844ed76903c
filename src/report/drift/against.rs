//! The tenants of a survey beside one of them.

use std::cmp::Reverse;
use std::collections::HashMap;

use time::Date;

use crate::error::{Code, Diagnostic, Result, names};
use crate::lockstep::{Found, Position, Scope, Survey};
use crate::report::cohorts::{Cohort, Schema, SchemaState};
use crate::schema::{Basis, Difference, Ignores, Snapshot, differences, unified};
use crate::tenant::{Tenant, TenantId};

/// Returns the others by what they have.
///
/// # Errors
/// Why the one could not be looked at.
pub(super) fn cohort(scope: &Scope<'_>, survey: &Survey, reference: TenantId, today: Date) -> Result<Cohort> {
    let one = &scope.fleet.tenants[reference.0];
    let (position, expected) = looked_at(survey, one)?;
    let mut alike: Vec<Alike<'_>> = Vec::new();
    let mut index: HashMap<(&Basis, Vec<Difference>), usize> = HashMap::new();
    for (tenant, position) in survey.positions().filter(|(tenant, _)| *tenant != reference) {
        let tenant = &scope.fleet.tenants[tenant.0];
        let Some(live) = position.schema.as_deref() else { continue };
        let ignores = Ignores::of(&scope.fleet.drift.ignore, |label| tenant.labels.contains(label), today);
        let comparable = live.is_comparable_with(expected);
        let mut apart = if comparable { differences(expected, live) } else { Vec::new() };
        apart.retain(|difference| !ignores.excuse(difference));
        let at = *index.entry((live.basis(), apart.clone())).or_insert_with(|| {
            alike.push(Alike { tenants: Vec::new(), live, comparable, differences: apart, ignores });
            alike.len() - 1
        });
        alike[at].tenants.push(&tenant.name);
    }
    alike.sort_by_key(|group| (group.rank(), Reverse(group.tenants.len())));
    let engine = one.datasource.engine();
    Ok(Cohort {
        engine,
        version: position.newest,
        changesets: position.applied.len(),
        skipped: position.skipped.clone(),
        basis: expected.basis().to_string(),
        label: match position.newest {
            Some(version) => format!("{engine}, V{version}"),
            None => engine.to_string(),
        },
        size: alike.iter().map(|group| group.tenants.len()).sum(),
        reference: Some(expected.fingerprint().clone()),
        groups: alike.into_iter().map(|group| group.schema(&one.name, expected)).collect(),
    })
}

/// Tenants that differ from the one in the same way, or not at all, but for what rules ignore.
struct Alike<'s> {
    tenants: Vec<&'s str>,
    live: &'s Snapshot,
    comparable: bool,
    differences: Vec<Difference>,
    ignores: Ignores,
}

impl Alike<'_> {
    fn state(&self) -> SchemaState {
        match (self.comparable, self.differences.is_empty()) {
            (false, _) => SchemaState::NotComparable,
            (true, true) => SchemaState::Same,
            (true, false) => SchemaState::Differs,
        }
    }

    fn rank(&self) -> u8 {
        match self.state() {
            SchemaState::Same => 0,
            SchemaState::Differs => 1,
            _ => 2,
        }
    }

    fn schema(self, one: &str, expected: &Snapshot) -> Schema {
        let state = self.state();
        let from = one.replace('\n', " ");
        let to = names(self.tenants.iter().copied(), 1).replace('\n', " ");
        let diff = (state == SchemaState::Differs).then(|| unified((&from, expected), (&to, self.live), &self.ignores));
        Schema {
            state,
            tenants: self.tenants.into_iter().map(str::to_owned).collect(),
            fingerprint: self.live.fingerprint().clone(),
            expected: (state != SchemaState::Same).then(|| expected.fingerprint().clone()),
            differences: self.differences,
            excused: Vec::new(),
            diff,
            recorded_at: None,
        }
    }
}

/// Returns what was seen of the one that the others are compared with.
fn looked_at<'s>(survey: &'s Survey, one: &Tenant) -> Result<(&'s Position, &'s Snapshot)> {
    match survey.standings.iter().find(|standing| standing.tenant == one.id).map(|standing| &standing.found) {
        Some(Found::Unreadable(why)) => Err(why.clone()),
        Some(Found::Quarantined(reason)) => {
            Err(Diagnostic::new(Code::USAGE, format!("tenant {} is quarantined: {reason}", one.name))
                .hint("compare with another one, or take `quarantined:` out of tenants.yaml"))
        }
        Some(Found::Provisioning) => {
            Err(Diagnostic::new(Code::USAGE, format!("tenant {} is being provisioned", one.name))
                .hint("compare with another one, or finish it with `mtmigrate provision`"))
        }
        Some(Found::Read(position)) => match position.schema.as_deref() {
            Some(live) => Ok((position, live)),
            None => Err(Diagnostic::new(Code::BUG, format!("the schema of tenant {} was not read", one.name))),
        },
        None => Err(Diagnostic::new(Code::BUG, format!("tenant {} was not surveyed", one.name))),
    }
}
