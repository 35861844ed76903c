//! `mtmigrate.history/1`: a contract, described in `docs/formats.md`.

use serde::Serialize;
use serde_json::Value;

use crate::history::Attempt;
use crate::report::wire::{WireError, WireVersion, WireVersions, pretty, rfc3339};

use super::{HistoryReport, TenantHistory};

pub(super) fn render(report: &HistoryReport) -> String {
    pretty(&Document { schema: "mtmigrate.history/1", tenants: report.entries.iter().map(Tenant::of).collect() })
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    tenants: Vec<Tenant<'a>>,
}

#[derive(Serialize)]
struct Tenant<'a> {
    name: &'a str,
    attempts: Option<Vec<WireAttempt<'a>>>,
    error: Option<WireError<'a>>,
}

#[derive(Serialize)]
struct WireAttempt<'a> {
    id: i64,
    run_id: &'a str,
    version: WireVersion,
    name: &'a str,
    outcome: &'static str,
    statement_no: Option<u32>,
    statements: Option<u32>,
    prefix: Option<&'a str>,
    who: &'a str,
    host: &'a str,
    tool: &'a str,
    started_at: String,
    finished_at: String,
    duration_ms: i64,
    error: Option<&'a str>,
    fingerprint: Option<&'a str>,
    accepted: Option<Value>,
    skipped: WireVersions<'a>,
}

impl<'a> Tenant<'a> {
    fn of(entry: &'a TenantHistory) -> Self {
        let attempts = entry.attempts.as_ref();
        Self {
            name: &entry.tenant,
            attempts: attempts.ok().map(|attempts| attempts.iter().map(WireAttempt::of).collect()),
            error: attempts.err().map(WireError::of),
        }
    }
}

impl<'a> WireAttempt<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            id: attempt.id,
            run_id: &attempt.run_id,
            version: WireVersion(attempt.version),
            name: &attempt.name,
            outcome: attempt.outcome.as_str(),
            statement_no: attempt.statement_no,
            statements: attempt.statements,
            prefix: attempt.prefix.as_deref(),
            who: &attempt.who,
            host: &attempt.host,
            tool: &attempt.tool,
            started_at: rfc3339(attempt.started_at),
            finished_at: rfc3339(attempt.finished_at),
            duration_ms: attempt.duration_ms,
            error: attempt.error.as_deref(),
            fingerprint: attempt.fingerprint.as_deref(),
            // What a stranger wrote there may be no JSON.
            accepted: attempt.accepted.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            skipped: WireVersions(&attempt.skipped),
        }
    }
}
