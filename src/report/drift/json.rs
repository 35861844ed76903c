//! `mtmigrate.drift/1`: a contract, described in `docs/formats.md`.

use serde::Serialize;

use crate::report::cohorts::{SchemaState, WireCohort};
use crate::report::wire::{WireError, WireQuarantined, WireVersion, pretty};

use super::{DriftReport, HistoryDrift, Rule};

pub(super) fn render(report: &DriftReport) -> String {
    pretty(&Document {
        schema: "mtmigrate.drift/1",
        exit_status: report.exit().code(),
        against: report.against.as_deref(),
        summary: Summary::of(report),
        cohorts: report.cohorts.iter().map(WireCohort::of).collect(),
        history: report.history.iter().map(History::of).collect(),
        not_comparable: &report.not_comparable,
        ignore: report.rules.iter().map(WireRule::of).collect(),
        unreadable: report
            .unreadable
            .iter()
            .map(|(name, why)| Unreadable { name, error: WireError::of(why) })
            .collect(),
        without_history: &report.without_history,
        quarantined: report.quarantined.iter().map(|(name, reason)| WireQuarantined { name, reason }).collect(),
        provisioning: &report.provisioning,
    })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    exit_status: u8,
    against: Option<&'a str>,
    summary: Summary,
    cohorts: Vec<WireCohort<'a>>,
    history: Vec<History<'a>>,
    not_comparable: &'a [String],
    ignore: Vec<WireRule<'a>>,
    unreadable: Vec<Unreadable<'a>>,
    without_history: &'a [String],
    quarantined: Vec<WireQuarantined<'a>>,
    provisioning: &'a [String],
}

#[derive(Serialize)]
struct Summary {
    tenants: usize,
    drifting: usize,
    expected: usize,
    excused: usize,
    changed: usize,
    deviates: usize,
    undecided: usize,
    same: usize,
    differs: usize,
    #[serde(rename = "not-comparable")]
    not_comparable: usize,
}

#[derive(Serialize)]
struct History<'a> {
    kind: &'static str,
    version: Option<WireVersion>,
    detail: &'a str,
    tenants: &'a [String],
}

#[derive(Serialize)]
struct WireRule<'a> {
    objects: &'a [String],
    labels: &'a [String],
    reason: &'a str,
    until: Option<String>,
    over: bool,
}

#[derive(Serialize)]
struct Unreadable<'a> {
    name: &'a str,
    error: WireError<'a>,
}

impl Summary {
    fn of(report: &DriftReport) -> Self {
        let with = |wanted: SchemaState| report.with(|state| state == wanted);
        Self {
            tenants: report.compared(),
            drifting: report.drifting(),
            expected: with(SchemaState::Expected),
            excused: with(SchemaState::Excused),
            changed: with(SchemaState::Changed),
            deviates: with(SchemaState::Deviates),
            undecided: with(SchemaState::Undecided),
            same: with(SchemaState::Same),
            differs: with(SchemaState::Differs),
            not_comparable: with(SchemaState::NotComparable),
        }
    }
}

impl<'a> History<'a> {
    fn of(found: &'a HistoryDrift) -> Self {
        Self {
            kind: found.kind,
            version: found.version.map(WireVersion),
            detail: &found.detail,
            tenants: &found.tenants,
        }
    }
}

impl<'a> WireRule<'a> {
    fn of(rule: &'a Rule) -> Self {
        Self {
            objects: &rule.objects,
            labels: &rule.labels,
            reason: &rule.reason,
            until: rule.until.map(|until| until.to_string()),
            over: rule.over,
        }
    }
}
