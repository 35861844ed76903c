//! What is on the servers of a fleet and is no tenant of it: schemas, databases and files that a pattern names.
//!
//! Writes nothing, and removes nothing: a person decides.

use crate::changeset::Version;
use crate::engine::Tables;
use crate::error::Diagnostic;
use crate::history::Row;
use crate::tenant::{Address, Datasource, Fleet, ServerId, Tenant, TenantId};

use super::survey::{Scope, chunk};

/// Something that is there and in no list.
#[derive(Clone, Debug)]
pub struct Stray {
    /// The name that it would have as a tenant.
    pub name: String,
    /// The pattern that names it, as it stands in the fleet's file.
    pub pattern: String,
    /// Its server; for files, the one whose directory they are in.
    pub server: Option<ServerId>,
    /// Where it is.
    pub datasource: Datasource,
}

/// A stray thing, and what is known of its past.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// What it is.
    pub stray: Stray,
    /// What was read in it.
    pub past: Past,
}

/// What an orphan's own tables say.
#[derive(Clone, Debug)]
pub enum Past {
    /// It was a tenant: it has a history or a journal, and the newest version in it.
    Tenant(Option<Version>),
    /// It has no table of ours.
    None,
    /// It could not be read.
    Unreadable(Diagnostic),
    /// No tenant of the fleet is on its server, so nobody knows how to get in.
    Unasked,
}

/// Looks into each of them, with the credentials of the tenants beside it. In the order given.
pub async fn orphans(scope: &Scope<'_>, strays: Vec<Stray>) -> Vec<Orphan> {
    let mut found: Vec<Orphan> = strays.into_iter().map(|stray| Orphan { stray, past: Past::Unasked }).collect();
    for at in 0..scope.fleet.servers.len() {
        let server = &scope.servers[at];
        let (mut whose, mut tenants) = (Vec::new(), Vec::new());
        for (idx, orphan) in found.iter().enumerate() {
            if home(scope.fleet, &orphan.stray) == Some(ServerId(at))
                && let Some(tenant) = as_tenant(scope.fleet, &orphan.stray, ServerId(at))
            {
                whose.push(idx);
                tenants.push(tenant);
            }
        }
        let size = chunk(tenants.len(), server.width());
        for (whose, tenants) in whose.chunks(size).zip(tenants.chunks(size)) {
            let asked: Vec<&Tenant> = tenants.iter().collect();
            for (idx, reading) in whose.iter().zip(server.read(&asked).await) {
                found[*idx].past = match reading {
                    Err(why) => Past::Unreadable(why),
                    Ok(reading) if reading.tables == (Tables { history: None, journal: None }) => Past::None,
                    Ok(reading) => Past::Tenant(reading.rows.iter().filter_map(version_of).max()),
                };
            }
        }
    }
    found
}

fn version_of(row: &Row) -> Option<Version> {
    row.version.as_deref()?.parse().ok().map(Version)
}

/// Returns the server on which it is.
fn home(fleet: &Fleet, stray: &Stray) -> Option<ServerId> {
    let of_directory = || {
        let Datasource::Sqlite { file, .. } = &stray.datasource else { return None };
        let directory = file.parent()?.canonicalize().ok()?;
        let at = fleet.servers.iter().position(|server| match &server.address {
            Address::Directory(path) => *path == directory || path.canonicalize().is_ok_and(|path| path == directory),
            _ => false,
        })?;
        Some(ServerId(at))
    };
    stray.server.or_else(of_directory)
}

/// Returns it as if it were a tenant, to be looked at: with the credentials of one in the same database, or else of one
/// on the same server.
fn as_tenant(fleet: &Fleet, stray: &Stray, server: ServerId) -> Option<Tenant> {
    let beside = || fleet.tenants.iter().filter(|tenant| tenant.server == server);
    let same = |tenant: &&Tenant| tenant.datasource.database() == stray.datasource.database();
    let like = beside().find(same).or_else(|| beside().next())?;
    let id = TenantId(fleet.tenants.len());
    Some(Tenant {
        access: like.access.clone(),
        ..Tenant::new(id, stray.name.clone(), server, stray.datasource.clone())
    })
}
