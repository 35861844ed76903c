//! Tries every datasource: can it be reached and read, may its user create there, over what connection.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::engine::{Examined, Reading, Right, Server};
use crate::error::{Code, Diagnostic, count, names};
use crate::tenant::{ServerId, Tenant, TenantId};

use super::by_tenant::ByTenant;
use super::schemas::by_server;
use super::survey::{READINGS, Scope, chunk, or_provision};

/// How many tenants' names a diagnostic has, at most.
const NAMED: usize = 5;

/// One tenant's datasource, tried.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Whose.
    pub tenant: TenantId,
    /// What was found.
    pub tried: Tried,
}

/// What came of trying a datasource.
#[derive(Clone, Debug)]
pub enum Tried {
    /// It was not tried: the tenant is left out on purpose, or is being made.
    PassedOver,
    /// It cannot be reached or read.
    Failed(Diagnostic),
    /// It can be read.
    Read(Box<Read>),
}

/// What is true of a datasource that can be read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The server's version, as it names itself.
    pub server_version: Arc<str>,
    /// Why the server takes no writes, if it takes none.
    pub read_only: Option<String>,
    /// How its user comes in, and what it may do.
    pub examined: Examined,
}

/// Tries the selected tenants' datasources, all servers at once, each within its budget; in the selection's order.
pub async fn check(scope: &Scope<'_>) -> Vec<Checked> {
    let asked = scope.tenants().filter(|tenant| !is_passed_over(tenant));
    let by_server = by_server(asked);
    let per_server = by_server.iter().map(|(id, tenants)| -> BoxStream<'_, Vec<(TenantId, Tried)>> {
        let server = scope.servers[id.0].as_ref();
        let tried = stream::iter(tenants.chunks(chunk(tenants.len(), server.width())))
            .map(move |chunk| async move { try_all(server, chunk).await });
        Box::pin(tried.buffer_unordered(READINGS.min(server.width())))
    });
    let mut per_server = stream::select_all(per_server);
    let mut found: ByTenant<Tried> = ByTenant::default();
    while let Some(tried) = per_server.next().await {
        found.extend(tried);
    }
    let checked = scope.selection.iter().map(|&tenant| {
        let tried = found.remove(tenant).unwrap_or(Tried::PassedOver);
        Checked { tenant, tried }
    });
    checked.collect()
}

fn is_passed_over(tenant: &Tenant) -> bool {
    tenant.quarantined.is_some() || tenant.provisioning
}

/// Tries some tenants of a server: who cannot be read is not examined.
async fn try_all(server: &dyn Server, tenants: &[&Tenant]) -> Vec<(TenantId, Tried)> {
    let mut tried = Vec::with_capacity(tenants.len());
    let mut readable: Vec<(&Tenant, Reading)> = Vec::new();
    for (tenant, answer) in tenants.iter().zip(server.read(tenants).await) {
        match answer {
            Ok(reading) => readable.push((tenant, reading)),
            Err(diagnostic) => tried.push((tenant.id, Tried::Failed(or_provision(tenant, diagnostic)))),
        }
    }
    let asked: Vec<&Tenant> = readable.iter().map(|(tenant, _)| *tenant).collect();
    let examined = server.examine(&asked).await;
    let mut version: Arc<str> = Arc::default();
    for ((tenant, reading), examined) in readable.into_iter().zip(examined) {
        if *version != *reading.server_version {
            version = reading.server_version.into();
        }
        let read = |examined| Read { server_version: version.clone(), read_only: reading.read_only, examined };
        let found = examined.map_or_else(Tried::Failed, |examined| Tried::Read(Box::new(read(examined))));
        tried.push((tenant.id, found));
    }
    tried
}

/// Returns what is wrong with datasources; what is the same for many tenants once.
pub fn check_findings(scope: &Scope<'_>, checked: &[Checked]) -> Vec<Diagnostic> {
    let mut lacking: BTreeMap<(ServerId, &str, &str), Vec<TenantId>> = BTreeMap::new();
    let mut wrong: Vec<(TenantId, Diagnostic)> = Vec::new();
    for one in checked {
        match (&one.tried, finding(scope, one)) {
            // Each names its own schema: 1,000 of them are one finding.
            (Tried::Read(read), Some(found)) if found.code() == Code::NO_PRIVILEGE => {
                let Right::Lacking { who, kind, .. } = &read.examined.create else { continue };
                let tenants = lacking.entry((scope.fleet.tenant(one.tenant).server, who, kind)).or_default();
                if tenants.is_empty() {
                    wrong.push((one.tenant, found));
                }
                tenants.push(one.tenant);
            }
            (_, found) => wrong.extend(found.map(|found| (one.tenant, found))),
        }
    }
    let of_many: BTreeMap<TenantId, Vec<TenantId>> =
        lacking.into_values().map(|tenants| (tenants[0], tenants)).collect();
    let name = |id: TenantId| scope.fleet.tenant(id).name.as_str();
    let said = |(diagnostic, tenants): (Diagnostic, Vec<TenantId>)| {
        let tenants = tenants.first().and_then(|first| of_many.get(first)).cloned().unwrap_or(tenants);
        let who = names(tenants.iter().map(|id| name(*id)), NAMED);
        diagnostic.state(format!("{}: {who}", count(tenants.len(), "tenant")))
    };
    together(&wrong).into_iter().map(said).collect()
}

/// Returns each of the diagnostics once, with all tenants that have the same.
fn together(all: &[(TenantId, Diagnostic)]) -> Vec<(Diagnostic, Vec<TenantId>)> {
    let mut same: Vec<(Diagnostic, Vec<TenantId>)> = Vec::new();
    let mut index: HashMap<(Code, String), usize> = HashMap::new();
    for (tenant, diagnostic) in all {
        let at = *index.entry((diagnostic.code(), diagnostic.one_line())).or_insert_with(|| {
            same.push((diagnostic.clone(), Vec::new()));
            same.len() - 1
        });
        same[at].1.push(*tenant);
    }
    same
}

/// Returns what is wrong with one datasource: why it cannot be read, takes no writes, or lets nobody create.
pub fn finding(scope: &Scope<'_>, checked: &Checked) -> Option<Diagnostic> {
    let read = match &checked.tried {
        Tried::PassedOver => return None,
        Tried::Failed(diagnostic) => return Some(diagnostic.clone()),
        Tried::Read(read) => read,
    };
    if let Some(why) = &read.read_only {
        let server = scope.fleet.server_name(scope.fleet.tenant(checked.tenant));
        let message = format!("server {server} takes no writes: {why}");
        return Some(
            Diagnostic::new(Code::READ_ONLY, message).hint("name in tenants.yaml the server that takes writes"),
        );
    }
    match &read.examined.create {
        Right::Lacking { who, what, grant, .. } => {
            Some(Diagnostic::new(Code::NO_PRIVILEGE, format!("{who} may not {what}")).hint(grant.as_str()))
        }
        Right::Granted | Right::Unknown(_) => None,
    }
}
