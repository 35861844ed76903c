//! Cohorts as JSON: one shape in every format that has them.

use serde::Serialize;

use crate::report::wire::{WireVersion, WireVersions};
use crate::schema::Difference;

use super::{Cohort, Excused, Schema};

/// Tenants that must be alike.
#[derive(Serialize)]
pub(crate) struct WireCohort<'a> {
    engine: &'static str,
    version: Option<WireVersion>,
    changesets: usize,
    skipped: WireVersions<'a>,
    basis: &'a str,
    size: usize,
    fingerprint: Option<String>,
    groups: Vec<WireSchema<'a>>,
}

/// Tenants with one schema.
#[derive(Serialize)]
struct WireSchema<'a> {
    state: &'static str,
    size: usize,
    fingerprint: String,
    expected: Option<String>,
    differences: Vec<WireDifference<'a>>,
    excused: Vec<WireExcused<'a>>,
    diff: Option<&'a str>,
    tenants: &'a [String],
}

/// One object that is not the same.
#[derive(Serialize)]
struct WireDifference<'a> {
    kind: &'static str,
    object: &'a str,
    expected: Option<&'a str>,
    found: Option<&'a str>,
    detail: String,
}

/// One that is not the same, and is no drift.
#[derive(Serialize)]
struct WireExcused<'a> {
    #[serde(flatten)]
    difference: WireDifference<'a>,
    because: &'static str,
    reason: Option<&'a str>,
}

impl<'a> WireCohort<'a> {
    pub fn of(cohort: &'a Cohort) -> Self {
        Self {
            engine: cohort.engine.as_str(),
            version: cohort.version.map(WireVersion),
            changesets: cohort.changesets,
            skipped: WireVersions(&cohort.skipped),
            basis: &cohort.basis,
            size: cohort.size,
            fingerprint: cohort.reference.as_ref().map(ToString::to_string),
            groups: cohort.groups.iter().map(WireSchema::of).collect(),
        }
    }
}

impl<'a> WireSchema<'a> {
    fn of(schema: &'a Schema) -> Self {
        Self {
            state: schema.state.as_str(),
            size: schema.tenants.len(),
            fingerprint: schema.fingerprint.to_string(),
            expected: schema.expected.as_ref().map(ToString::to_string),
            differences: schema.differences.iter().map(WireDifference::of).collect(),
            excused: schema.excused.iter().map(WireExcused::of).collect(),
            diff: schema.diff.as_deref(),
            tenants: &schema.tenants,
        }
    }
}

impl<'a> WireDifference<'a> {
    fn of(difference: &'a Difference) -> Self {
        Self {
            kind: difference.kind.as_str(),
            object: &difference.object,
            expected: difference.expected.as_deref(),
            found: difference.found.as_deref(),
            detail: difference.sentence(),
        }
    }
}

impl<'a> WireExcused<'a> {
    fn of(excused: &'a Excused) -> Self {
        Self {
            difference: WireDifference::of(&excused.difference),
            because: if excused.rule.is_some() { "ignored" } else { "accepted" },
            reason: excused.rule.as_deref(),
        }
    }
}
