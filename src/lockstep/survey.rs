//! Reads where every tenant stands. Nothing is written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};

use crate::changeset::{Changelog, Version};
use crate::engine::{Reading, Servers};
use crate::error::Result;
use crate::history::{self, OutOfOrder, Unfinished};
use crate::tenant::{Fleet, ServerId, Tenant, TenantId};

use super::standing::{Found, Position, Standing};

/// How many tenants are asked about in one reading: bounds memory and the length of one query.
const CHUNK: usize = 500;

/// How many readings of one server are under way at once.
const READINGS: usize = 4;

/// What a survey is about.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// Its changelog.
    pub changelog: &'a Changelog,
    /// Its servers, in the fleet's order.
    pub servers: &'a Servers,
    /// The tenants that are meant, quarantined ones too, in the fleet's order.
    pub selection: &'a [TenantId],
}

impl<'a> Scope<'a> {
    /// Returns the tenants that are not left out, by server.
    pub(crate) fn by_server(&self) -> BTreeMap<ServerId, Vec<&'a Tenant>> {
        let mut by_server: BTreeMap<ServerId, Vec<&Tenant>> = BTreeMap::new();
        for tenant in self.tenants().filter(|t| t.quarantined.is_none()) {
            by_server.entry(tenant.server).or_default().push(tenant);
        }
        by_server
    }

    /// Returns the selected tenants.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &'a Tenant> + use<'a> {
        let fleet = self.fleet;
        self.selection.iter().map(move |id| &fleet.tenants[id.0])
    }
}

/// Where every selected tenant stands, in the selection's order.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// One for each tenant.
    pub standings: Vec<Standing>,
}

impl Survey {
    /// Returns those that were read.
    pub fn positions(&self) -> impl Iterator<Item = (TenantId, &Position)> {
        self.standings.iter().filter_map(|s| s.position().map(|p| (s.tenant, p)))
    }
}

/// Reads every selected tenant that is not quarantined. A tenant that cannot be read does not stop the others.
pub async fn survey(scope: &Scope<'_>, out_of_order: OutOfOrder) -> Survey {
    let mut found: HashMap<TenantId, Found> = HashMap::with_capacity(scope.selection.len());
    for tenant in scope.tenants() {
        if let Some(reason) = &tenant.quarantined {
            found.insert(tenant.id, Found::Quarantined(reason.clone()));
        }
    }
    let by_server = scope.by_server();
    let mut per_server: FuturesUnordered<_> = by_server
        .iter()
        .map(|(id, tenants)| async move {
            let server = &scope.servers[id.0];
            let readings = stream::iter(tenants.chunks(CHUNK))
                .map(|chunk| async move { (chunk, server.read(chunk).await) })
                .buffer_unordered(READINGS.min(server.width()));
            let mut compared = Vec::with_capacity(tenants.len());
            let mut shared = Shared::default();
            futures_util::pin_mut!(readings);
            while let Some((chunk, answers)) = readings.next().await {
                for (tenant, answer) in chunk.iter().zip(answers) {
                    compared.push((tenant.id, shared.found(scope.changelog, tenant, answer, out_of_order)));
                }
            }
            compared
        })
        .collect();
    while let Some(compared) = per_server.next().await {
        found.extend(compared);
    }
    let standings = scope.selection.iter().filter_map(|&tenant| {
        let found = found.remove(&tenant)?;
        Some(Standing { tenant, found })
    });
    Survey { standings: standings.collect() }
}

/// Version lists that many tenants share.
#[derive(Default)]
struct Shared {
    lists: HashMap<Vec<Version>, Arc<[Version]>>,
    texts: HashMap<String, Arc<str>>,
}

impl Shared {
    fn found(
        &mut self,
        changelog: &Changelog,
        tenant: &Tenant,
        answer: Result<Reading>,
        out_of_order: OutOfOrder,
    ) -> Found {
        let reading = match answer {
            Ok(reading) => reading,
            Err(diagnostic) => return Found::Unreadable(diagnostic),
        };
        let compared = history::compare(&reading.rows, changelog, tenant.datasource.engine(), out_of_order);
        let open = reading.last.as_ref().and_then(history::unfinished);
        let unfinished = open.filter(|open| !compared.applied.contains(&version_of(open)));
        Found::Read(Box::new(Position {
            applied: self.list(compared.applied),
            pending: self.list(compared.pending),
            newest: compared.newest,
            findings: compared.findings,
            last: reading.last,
            unfinished,
            tables: reading.tables,
            server_version: self.text(reading.server_version),
            read_only: reading.read_only,
            folds_case: reading.folds_case,
        }))
    }

    fn list(&mut self, versions: Vec<Version>) -> Arc<[Version]> {
        if let Some(known) = self.lists.get(&versions) {
            return known.clone();
        }
        let made: Arc<[Version]> = versions.clone().into();
        self.lists.insert(versions, made.clone());
        made
    }

    fn text(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return known.clone();
        }
        let made: Arc<str> = text.clone().into();
        self.texts.insert(text, made.clone());
        made
    }
}

/// Returns the version that an open text is of.
pub(crate) fn version_of(open: &Unfinished) -> Version {
    match open {
        Unfinished::FailedAt { version, .. } | Unfinished::Uncertain { version, .. } => *version,
    }
}
