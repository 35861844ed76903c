//! `mtmigrate.plan/1`: a contract, described in `docs/formats.md`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::changeset::Version;
use crate::report::wire::{WireQuarantined, WireVersion, millis};
use crate::tenant::RolloutOrder;

use super::{EngineText, Gate, PlanReport, Step};

/// Returns the document.
pub(super) fn document(report: &PlanReport) -> impl Serialize {
    Document {
        schema: "mtmigrate.plan/1",
        summary: Summary {
            tenants: report.plan.tenants(),
            steps: report.steps.len(),
            changesets: report.steps.iter().map(|step| step.tenants).sum(),
        },
        order: report.order.map(RolloutOrder::as_str),
        quarantined: report.quarantined.iter().map(|(name, reason)| WireQuarantined { name, reason }).collect(),
        provisioning: &report.provisioning,
        steps: report.steps.iter().map(|step| WireStep::of(report, step)).collect(),
        gates: report.gates.iter().map(WireGate::of).collect(),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    summary: Summary,
    order: Option<&'static str>,
    quarantined: Vec<WireQuarantined<'a>>,
    provisioning: &'a [String],
    steps: Vec<WireStep<'a>>,
    gates: Vec<WireGate<'a>>,
}

#[derive(Serialize)]
struct WireGate<'a> {
    version: WireVersion,
    after_wave: &'a str,
    before_wave: &'a str,
    conditions: Vec<WireCondition>,
}

#[derive(Serialize)]
struct WireCondition {
    kind: &'static str,
    what: String,
}

#[derive(Serialize)]
struct WireWave<'a> {
    wave: &'a str,
    tenants: usize,
}

impl<'a> WireGate<'a> {
    fn of(gate: &'a Gate) -> Self {
        let conditions = gate.conditions.iter();
        Self {
            version: WireVersion(gate.version),
            after_wave: &gate.after,
            before_wave: &gate.before,
            conditions: conditions.map(|one| WireCondition { kind: one.as_str(), what: one.to_string() }).collect(),
        }
    }
}

#[derive(Serialize)]
struct Summary {
    tenants: usize,
    steps: usize,
    changesets: usize,
}

#[derive(Serialize)]
struct WireStep<'a> {
    version: WireVersion,
    changeset: &'a str,
    tenants: Names<'a>,
    waves: Vec<WireWave<'a>>,
    texts: Vec<Text<'a>>,
    continues: Vec<Continues<'a>>,
    skipped: Vec<&'a str>,
}

/// The names of a step's tenants, looked up as they are written.
struct Names<'a> {
    report: &'a PlanReport,
    version: Version,
}

impl Serialize for Names<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.report.tenants_at(self.version))
    }
}

#[derive(Serialize)]
struct Text<'a> {
    engine: &'static str,
    tenants: usize,
    own: bool,
    file: Option<&'a str>,
    checksum: Option<String>,
    no_transaction: bool,
    template: bool,
    lock_timeout_ms: Option<u64>,
    statement_timeout_ms: Option<u64>,
    empty: bool,
    sql: Option<&'a str>,
}

#[derive(Serialize)]
struct Continues<'a> {
    tenant: Option<&'a str>,
    statement_no: u32,
}

impl<'a> WireStep<'a> {
    fn of(report: &'a PlanReport, step: &'a Step) -> Self {
        let continues = step
            .continues
            .iter()
            .map(|(tenant, statement_no)| Continues { tenant: report.name(*tenant), statement_no: *statement_no });
        Self {
            version: WireVersion(step.version),
            changeset: &step.title,
            tenants: Names { report, version: step.version },
            waves: step.waves.iter().map(|(wave, tenants)| WireWave { wave, tenants: *tenants }).collect(),
            texts: step.texts.iter().map(Text::of).collect(),
            continues: continues.collect(),
            skipped: step.skips.iter().filter_map(|id| report.name(*id)).collect(),
        }
    }
}

impl<'a> Text<'a> {
    fn of(text: &'a EngineText) -> Self {
        let planned = text.text.as_ref();
        let directives = planned.map(|planned| planned.directives.clone()).unwrap_or_default();
        let limit = |limit: Option<Duration>| limit.map(millis);
        Self {
            engine: text.engine.as_str(),
            tenants: text.tenants,
            own: text.own,
            file: planned.map(|planned| planned.file.as_str()),
            checksum: planned.map(|planned| planned.checksum.to_string()),
            no_transaction: directives.no_transaction,
            template: directives.template,
            lock_timeout_ms: limit(directives.lock_timeout),
            statement_timeout_ms: limit(directives.statement_timeout),
            empty: planned.is_some_and(|planned| planned.empty),
            sql: planned.and_then(|planned| planned.sql.as_deref()),
        }
    }
}
