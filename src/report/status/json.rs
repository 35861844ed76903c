//! `mtmigrate.status/1`: a contract, described in `docs/formats.md`.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::BTreeSet;

use crate::history::Attempt;
use crate::lockstep::State;
use crate::report::cohorts::WireCohort;
use crate::report::wire::{WireError, WireVersion, WireVersions, rfc3339};

use super::{Row, StatusReport};

/// Returns the document.
pub(super) fn document(report: &StatusReport<'_>) -> impl Serialize {
    Document {
        schema: "mtmigrate.status/1",
        target: report.target.map(WireVersion),
        summary: Summary(report),
        tenants: Tenants(&report.rows),
        cohorts: report.cohorts.iter().map(WireCohort::of).collect(),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    target: Option<WireVersion>,
    summary: Summary<'a>,
    tenants: Tenants<'a>,
    cohorts: Vec<WireCohort<'a>>,
}

/// The number of tenants, and of those in each state.
struct Summary<'a>(&'a StatusReport<'a>);

impl Serialize for Summary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + State::ALL.len()))?;
        map.serialize_entry("tenants", &self.0.rows.len())?;
        for state in State::ALL {
            map.serialize_entry(state.as_str(), &self.0.tally(state))?;
        }
        map.end()
    }
}

/// Each is made when it is its turn.
struct Tenants<'a>(&'a [Row<'a>]);

impl Serialize for Tenants<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Tenant::of))
    }
}

#[derive(Serialize)]
struct Tenant<'a> {
    name: &'a str,
    engine: &'static str,
    server: &'a str,
    server_version: Option<&'a str>,
    database: &'a str,
    schema: Option<&'a str>,
    labels: &'a BTreeSet<String>,
    state: &'static str,
    version: Option<WireVersion>,
    pending: Option<WireVersions<'a>>,
    skipped: Option<WireVersions<'a>>,
    drift: Option<Vec<Drift<'a>>>,
    fingerprint: Option<String>,
    last: Option<Last<'a>>,
    error: Option<WireError<'a>>,
    quarantined: Option<&'a str>,
}

#[derive(Serialize)]
struct Drift<'a> {
    kind: &'a str,
    version: Option<WireVersion>,
    object: Option<&'a str>,
    expected: Option<&'a str>,
    found: Option<&'a str>,
    detail: &'a str,
}

#[derive(Serialize)]
struct Last<'a> {
    outcome: &'static str,
    version: WireVersion,
    at: String,
    duration_ms: i64,
    run_id: &'a str,
    error: Option<&'a str>,
}

impl<'a> Tenant<'a> {
    fn of(row: &'a Row<'a>) -> Self {
        let drift = row.drift.iter().map(|found| Drift {
            kind: found.kind,
            version: found.version.map(WireVersion),
            object: found.object.as_deref(),
            expected: found.expected.as_deref(),
            found: found.found.as_deref(),
            detail: &found.detail,
        });
        Self {
            name: row.name(),
            engine: row.engine().as_str(),
            server: row.server,
            server_version: row.read.map(|position| &*position.server_version),
            database: row.tenant.datasource.database(),
            schema: row.tenant.datasource.schema(),
            labels: &row.tenant.labels,
            state: row.state.as_str(),
            version: row.version().map(WireVersion),
            // A tenant that was not read lacks nothing that is known, which is not the same as nothing.
            pending: row.pending.map(WireVersions),
            skipped: row.read.map(|position| WireVersions(&position.skipped)),
            drift: row.pending.is_some().then(|| drift.collect()),
            fingerprint: row.fingerprint().map(ToString::to_string),
            last: row.last().map(Last::of),
            error: row.error.map(WireError::of),
            quarantined: row.quarantined,
        }
    }
}

impl<'a> Last<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            outcome: attempt.outcome.as_str(),
            version: WireVersion(attempt.version),
            at: rfc3339(attempt.finished_at),
            duration_ms: attempt.duration_ms,
            run_id: &attempt.run_id,
            error: attempt.error.as_deref(),
        }
    }
}
