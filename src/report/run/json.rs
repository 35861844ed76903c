//! `mtmigrate.run/1`: a contract, described in `docs/formats.md`.

use serde::{Serialize, Serializer};

use crate::lockstep::barrier::Decision;
use crate::report::wire::{WireDiagnostic, WireError, WireQuarantined, WireVersion, millis, rfc3339};

use super::{Gate, RunReport, Step, TenantRun, Turn};

/// Returns the document.
pub(super) fn document(report: &RunReport) -> impl Serialize {
    let ending = report.ending.as_ref();
    Document {
        schema: "mtmigrate.run/1",
        run_id: report.run_id.as_deref(),
        outcome: ending.map(|ending| ending.outcome.as_str()),
        exit_status: report.exit().code(),
        target: report.target.map(WireVersion),
        started_at: rfc3339(report.started_at),
        duration_ms: ending.map(|ending| millis(ending.elapsed)),
        tenants_total: report.tenants.len(),
        recorded: report.recorded,
        lowered: report
            .lowered
            .iter()
            .map(|one| WireLowered { server: &one.server, from: one.from, to: one.to })
            .collect(),
        quarantined: report
            .quarantined
            .iter()
            .map(|left_out| WireQuarantined { name: &left_out.name, reason: &left_out.reason })
            .collect(),
        provisioning: &report.provisioning,
        steps: report.steps.iter().map(WireStep::of).collect(),
        gates: report.gates.iter().map(WireGate::of).collect(),
        tenants: Tenants(report),
        diagnostics: ending.iter().flat_map(|ending| &ending.diagnostics).map(WireDiagnostic::of).collect(),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    run_id: Option<&'a str>,
    outcome: Option<&'static str>,
    exit_status: u8,
    target: Option<WireVersion>,
    started_at: String,
    duration_ms: Option<u64>,
    tenants_total: usize,
    recorded: Option<usize>,
    lowered: Vec<WireLowered<'a>>,
    quarantined: Vec<WireQuarantined<'a>>,
    provisioning: &'a [String],
    steps: Vec<WireStep<'a>>,
    gates: Vec<WireGate<'a>>,
    tenants: Tenants<'a>,
    diagnostics: Vec<WireDiagnostic<'a>>,
}

#[derive(Serialize)]
struct WireLowered<'a> {
    server: &'a str,
    from: usize,
    to: usize,
}

#[derive(Serialize)]
struct WireStep<'a> {
    version: WireVersion,
    changeset: &'a str,
    wave: Option<&'a str>,
    tenants: usize,
    applied: usize,
    skipped: usize,
    failed: usize,
    half_applied: usize,
    unknown: usize,
    diverged: usize,
    unverified: usize,
    not_started: usize,
    verified: bool,
    outcome: Option<&'static str>,
    duration_ms: Option<u64>,
}

#[derive(Serialize)]
struct WireGate<'a> {
    version: WireVersion,
    after_wave: &'a str,
    kind: &'static str,
    what: String,
    outcome: Option<&'static str>,
    duration_ms: Option<u64>,
}

impl<'a> WireGate<'a> {
    fn of(gate: &'a Gate) -> Self {
        Self {
            version: WireVersion(gate.version),
            after_wave: &gate.wave,
            kind: gate.condition.as_str(),
            what: gate.condition.to_string(),
            outcome: gate.outcome(),
            duration_ms: gate.went.map(|(_, elapsed)| millis(elapsed)),
        }
    }
}

/// Each is made when it is its turn.
struct Tenants<'a>(&'a RunReport);

impl Serialize for Tenants<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let complete = self.0.complete();
        serializer.collect_seq(self.0.tenants.iter().map(|tenant| Tenant::of(tenant, complete)))
    }
}

#[derive(Serialize)]
struct Tenant<'a> {
    name: &'a str,
    outcome: &'static str,
    applied: usize,
    skipped: usize,
    version: Option<WireVersion>,
    duration_ms: u64,
    retries: u32,
    notices: &'a [String],
    error: Option<WireError<'a>>,
}

impl<'a> WireStep<'a> {
    fn of(step: &'a Step) -> Self {
        let tally = step.barrier.map(|barrier| barrier.tally).unwrap_or_default();
        Self {
            version: WireVersion(step.version),
            changeset: &step.title,
            wave: step.wave.as_deref(),
            tenants: step.tenants,
            applied: tally.applied - tally.skipped,
            skipped: tally.skipped,
            failed: tally.failed,
            half_applied: tally.half,
            unknown: tally.unknown,
            diverged: tally.diverged,
            unverified: tally.unverified,
            not_started: step.not_started(),
            verified: step.verified,
            outcome: step.barrier.map(|barrier| match barrier.decision {
                Decision::Proceed => "proceeded",
                Decision::Halt(_) => "halted",
            }),
            duration_ms: step.barrier.map(|barrier| millis(barrier.elapsed)),
        }
    }
}

impl<'a> Tenant<'a> {
    fn of(tenant: &'a TenantRun, complete: bool) -> Self {
        let outcome = match tenant.turn {
            Some(Turn::Applied) => "applied",
            Some(Turn::Failed) => "failed",
            Some(Turn::HalfApplied) => "half-applied",
            // In flight when the report was made: nobody knows either.
            Some(Turn::Unknown | Turn::InFlight) => "unknown",
            Some(Turn::NotStarted) => "not-started",
            Some(Turn::Diverged) => "diverged",
            None if complete => "up-to-date",
            None => "not-reached",
        };
        Self {
            name: &tenant.name,
            outcome,
            applied: tenant.applied,
            skipped: tenant.skipped,
            version: tenant.version.map(WireVersion),
            duration_ms: millis(tenant.duration),
            retries: tenant.retries,
            notices: &tenant.notices,
            error: tenant.error.as_ref().map(WireError::of),
        }
    }
}
