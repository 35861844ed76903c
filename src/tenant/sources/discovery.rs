//! What a discovery saw, and which of it are tenants. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use super::super::servers::canonical;
use super::super::{Datasource, ServerId, Tenant, TenantId};
use crate::sql::EngineKind;

/// What a discovery saw: everything that matches its pattern, whether or not it is in the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// What it speaks.
    pub engine: EngineKind,
    /// The server; none for files.
    pub server: Option<ServerId>,
    /// The pattern, as it stands in the file.
    pub pattern: String,
    /// What matches, in order of name; what `except:` leaves out too.
    pub matches: Vec<Match>,
}

/// A schema, database or file that matches a discovery's pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The name that it has, or would have, as a tenant.
    pub name: String,
    /// What it is.
    pub datasource: Datasource,
    /// Whether `except:` leaves it out.
    pub is_excepted: bool,
    /// The first tenant of the fleet that lives there, wherever that is listed.
    pub tenant: Option<TenantId>,
}

/// Says of everything that discoveries saw which tenant lives there.
pub(in crate::tenant) fn find_tenants<'d>(discoveries: impl Iterator<Item = &'d mut Discovery>, tenants: &[Tenant]) {
    let mut discoveries = discoveries.peekable();
    if discoveries.peek().is_none() {
        return;
    }
    let mut homes: HashMap<(Option<ServerId>, Home), TenantId> = HashMap::new();
    for tenant in tenants {
        for home in homes_of(&tenant.datasource) {
            let server = (!matches!(home, Home::File(_))).then_some(tenant.server);
            homes.entry((server, home)).or_insert(tenant.id);
        }
    }
    for discovery in discoveries {
        let server = discovery.server;
        for found in &mut discovery.matches {
            let home = homes_of(&found.datasource).into_iter().next();
            found.tenant = home.and_then(|home| homes.get(&(server, home)).copied());
        }
    }
}

/// A place as a discovery sees it.
#[derive(PartialEq, Eq, Hash)]
enum Home {
    Schema(String, String),
    Database(String),
    File(PathBuf),
}

/// Returns the place, the narrowest first: a schema lies in its database too.
fn homes_of(datasource: &Datasource) -> Vec<Home> {
    match datasource {
        Datasource::Postgres { database, schema: Some(schema) } => {
            vec![Home::Schema(database.clone(), schema.clone()), Home::Database(database.clone())]
        }
        Datasource::Postgres { database, schema: None } | Datasource::MySql { database } => {
            vec![Home::Database(database.clone())]
        }
        Datasource::Sqlite { file, .. } => vec![Home::File(canonical(file))],
    }
}
