//! The hash of a fleet's resolved list: which names at which places a run worked on. Pure.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::{Address, Server, Tenant};

/// The version of what is hashed.
const FORMAT: &str = "fleet 2";

/// Returns 16 hexadecimal digits: SipHash-1-3 with zero keys over the format and, for each tenant in order of name, its name,
/// engine, address, database and schema, each with its length before it.
///
/// It holds no secret and no path of this machine: a SQLite file counts as it is written. Runs are compared by it, so it can
/// only change with the format.
pub(super) fn hash(servers: &[Server], tenants: &[Tenant]) -> String {
    let mut hasher = SipHasher13::new();
    take(&mut hasher, FORMAT);
    let addresses: Vec<String> = servers.iter().map(|server| address(&server.address)).collect();
    // A registry may answer in any order.
    let mut tenants: Vec<&Tenant> = tenants.iter().collect();
    tenants.sort_by(|one, other| one.name.cmp(&other.name));
    for tenant in tenants {
        take(&mut hasher, &tenant.name);
        take(&mut hasher, tenant.datasource.engine().as_str());
        take(&mut hasher, addresses.get(tenant.server.0).map_or("", String::as_str));
        take(&mut hasher, tenant.datasource.database());
        // No schema is another place than one without letters.
        match tenant.datasource.schema() {
            Some(schema) => take(&mut hasher, schema),
            None => hasher.write_u64(u64::MAX),
        }
    }
    format!("{:016x}", hasher.finish())
}

/// Returns an address as it is hashed. A directory is this machine's, and the files in it are hashed as they are written.
fn address(address: &Address) -> String {
    match address {
        Address::Tcp { host, port } => format!("{host}:{port}"),
        Address::Directory(_) => String::new(),
        other => other.to_string(),
    }
}

fn take(hasher: &mut SipHasher13, text: &str) {
    hasher.write_u64(text.len() as u64);
    hasher.write(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::{Datasource, ServerId, TenantId};
    use super::*;

    fn of(text: &str) -> String {
        let env: std::collections::HashMap<&str, &str> = Default::default();
        super::super::parse(std::path::Path::new("tenants.yaml"), text, &env).unwrap().hash
    }

    #[test]
    fn the_hash_is_of_names_and_places_and_of_nothing_else() {
        const FLEET: &str = "\
servers: { eu: { url: \"postgres://u:secret@h\" } }
tenants:
  - { name: a, server: eu, database: x, schema: s }
  - { name: b, server: eu, database: y }
  - { name: c, url: \"mysql://u@h/z\" }
  - { name: d, url: \"sqlite://data/d.db\" }
";
        let hash = of(FLEET);
        assert_eq!(hash, "f51537bbc7876033");
        for same in [
            FLEET.replace("secret", "other"),
            FLEET.replace("eu", "us"),
            FLEET.replace("schema: s", "schema: s, labels: [x], quarantined: why"),
        ] {
            assert_eq!(of(&same), hash, "{same}");
        }
        for other in [
            FLEET.replace("name: a", "name: e"),
            FLEET.replace("@h\"", "@i\""),
            FLEET.replace("database: y", "database: y, schema: s"),
            FLEET.replace("schema: s", "schema: t"),
            FLEET.replace("mysql://u@h/z", "postgres://u@h/z"),
            FLEET.replace("d.db", "e.db"),
        ] {
            assert_ne!(of(&other), hash, "{other}");
        }
    }

    #[test]
    fn two_names_are_not_one_longer_name() {
        let tenant =
            |name: &str| Tenant::new(TenantId(0), name, ServerId(0), Datasource::MySql { database: String::new() });
        assert_ne!(hash(&[], &[tenant("ab"), tenant("")]), hash(&[], &[tenant("a"), tenant("b")]));
    }
}
