//! Reads the schemas of many tenants, and keeps equal ones once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::error::{Code, Diagnostic, Result};
use crate::schema::{Fingerprint, Snapshot};
use crate::tenant::{ServerId, Tenant, TenantId};

use super::by_tenant::ByTenant;
use super::survey::{READINGS, Scope, chunk};

/// How many tenants' journals are asked for one recorded schema before it counts as not known any more.
const ASKED: usize = 3;

/// Schemas by fingerprint: those that live tenants have, and those that journals keep.
#[derive(Default)]
pub(crate) struct Schemas(HashMap<Fingerprint, Arc<Snapshot>>);

/// What a server answered to one slice of its tenants.
type Answers<'t> = (&'t [&'t Tenant], Vec<Result<Arc<Snapshot>>>);

impl Schemas {
    /// Returns a schema that was met before.
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<&Arc<Snapshot>> {
        self.0.get(fingerprint)
    }

    /// Reads what these tenants' schemas are now, in parallel over servers; one answer for each.
    pub async fn inspect(
        &mut self,
        scope: &Scope<'_>,
        tenants: impl IntoIterator<Item = &Tenant>,
    ) -> ByTenant<Result<Arc<Snapshot>>> {
        let by_server = by_server(tenants);
        let per_server = by_server.iter().map(|(id, tenants)| -> BoxStream<'_, Answers<'_>> {
            let server = &scope.servers[id.0];
            let answers = stream::iter(tenants.chunks(chunk(tenants.len(), server.width())))
                .map(move |chunk| async move { (chunk, server.inspect(chunk).await) });
            Box::pin(answers.buffer_unordered(READINGS.min(server.width())))
        });
        let mut answers = stream::select_all(per_server);
        let mut found = ByTenant::default();
        while let Some((chunk, snapshots)) = answers.next().await {
            let mut snapshots = snapshots.into_iter();
            for tenant in chunk {
                let snapshot = snapshots.next().unwrap_or_else(|| Err(no_answer(tenant)));
                found.insert(tenant.id, snapshot.map(|snapshot| self.shared(snapshot)));
            }
        }
        found
    }

    /// Reads from journals the recorded schemas that no live tenant has. What none keeps stays unknown.
    pub async fn fetch(&mut self, scope: &Scope<'_>, wanted: BTreeMap<Fingerprint, Vec<TenantId>>) {
        let unknown = wanted.into_iter().filter(|(fingerprint, _)| !self.0.contains_key(fingerprint));
        let fetched = stream::iter(unknown.collect::<Vec<_>>()).map(|(fingerprint, tenants)| async move {
            for id in tenants.into_iter().take(ASKED) {
                let tenant = &scope.fleet.tenants[id.0];
                match scope.servers[tenant.server.0].recorded(tenant).await {
                    Ok(Some(snapshot)) if *snapshot.fingerprint() == fingerprint => return Some(snapshot),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(tenant = tenant.name, error = error.one_line(), "no recorded schema");
                    }
                }
            }
            None
        });
        let fetched: Vec<Option<Snapshot>> = fetched.buffer_unordered(READINGS).collect().await;
        for snapshot in fetched.into_iter().flatten() {
            self.shared(Arc::new(snapshot));
        }
    }

    fn shared(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        self.0.entry(snapshot.fingerprint().clone()).or_insert(snapshot).clone()
    }
}

/// Returns the tenants by server, in order.
pub(crate) fn by_server<'t>(tenants: impl IntoIterator<Item = &'t Tenant>) -> BTreeMap<ServerId, Vec<&'t Tenant>> {
    let mut by_server: BTreeMap<ServerId, Vec<&Tenant>> = BTreeMap::new();
    for tenant in tenants {
        by_server.entry(tenant.server).or_default().push(tenant);
    }
    by_server
}

/// An engine answers for every tenant, so this is a bug.
fn no_answer(tenant: &Tenant) -> Diagnostic {
    Diagnostic::new(Code::BUG, format!("the server gave no answer about the schema of tenant {}", tenant.name))
}
