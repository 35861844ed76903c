//! `mtmigrate.tenants/1`: a contract, described in `docs/formats.md`.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};

use crate::tenant::{REST, SourceKind};

use super::{State, TenantsReport, tls};

/// Returns the document.
pub(super) fn document(report: &TenantsReport<'_>) -> impl Serialize {
    let fleet = report.fleet;
    Document {
        schema: "mtmigrate.tenants/1",
        config: fleet.config.display().to_string(),
        hash: Some(fleet.hash.as_str()).filter(|hash| !hash.is_empty()),
        summary: Summary {
            tenants: report.selection.len(),
            active: report.tally(State::Active),
            provisioning: report.tally(State::Provisioning),
            quarantined: report.tally(State::Quarantined),
        },
        sources: fleet
            .sources
            .iter()
            .map(|source| Source { kind: kind(source.kind), line: source.line, found: source.found })
            .collect(),
        waves: fleet.rollout.waves.iter().map(|wave| wave.name.as_str()).chain([REST]).collect(),
        tenants: Tenants(report),
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    config: String,
    hash: Option<&'a str>,
    summary: Summary,
    sources: Vec<Source>,
    waves: Vec<&'a str>,
    tenants: Tenants<'a>,
}

#[derive(Serialize)]
struct Summary {
    tenants: usize,
    active: usize,
    provisioning: usize,
    quarantined: usize,
}

#[derive(Serialize)]
struct Source {
    kind: &'static str,
    line: usize,
    found: usize,
}

fn kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Template => "template",
        SourceKind::Registry => "registry",
        SourceKind::Discover => "discover",
        SourceKind::Command => "command",
    }
}

/// Each is made when it is its turn.
struct Tenants<'a>(&'a TenantsReport<'a>);

impl Serialize for Tenants<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fleet = self.0.fleet;
        serializer.collect_seq(self.0.tenants().map(|tenant| Tenant {
            name: &tenant.name,
            engine: tenant.datasource.engine().as_str(),
            server: fleet.server_name(tenant),
            address: fleet.server(tenant.server).address.to_string(),
            database: tenant.datasource.database(),
            schema: tenant.datasource.schema(),
            user: tenant.access.user.as_deref(),
            tls: tls(tenant),
            labels: &tenant.labels,
            wave: fleet.wave_name(tenant),
            state: State::of(tenant).as_str(),
            quarantined: tenant.quarantined.as_deref(),
            origin: Origin { source: tenant.origin.source.map(|source| source + 1), position: tenant.origin.position },
        }))
    }
}

#[derive(Serialize)]
struct Tenant<'a> {
    name: &'a str,
    engine: &'static str,
    server: &'a str,
    address: String,
    database: &'a str,
    schema: Option<&'a str>,
    user: Option<&'a str>,
    tls: Option<&'static str>,
    labels: &'a BTreeSet<String>,
    wave: &'a str,
    state: &'static str,
    quarantined: Option<&'a str>,
    origin: Origin,
}

#[derive(Serialize)]
struct Origin {
    source: Option<usize>,
    position: usize,
}
