//! The servers of a fleet: one for each address, however many names and URLs lead there.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::settings::Settings;
use super::{Access, Address, NamedWay, Server, ServerId};
use crate::error::Secret;
use crate::sql::EngineKind;

/// How long a connection attempt may take if the file does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// After how long a silent statement is asked about if the file does not say.
const SILENCE_CHECK: Duration = Duration::from_secs(30);

/// Where PostgreSQL's run lock is taken if the file does not say: the database that every installation has.
const LOCK_DATABASE: &str = "postgres";

/// The connections that a run may hold on a server if the file does not say.
const CONNECTIONS: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The same for a directory of SQLite files: each file has one writer at a time.
const SQLITE_CONNECTIONS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// One way to a server, as a name or a URL of the file defines it.
#[derive(Clone)]
pub(super) struct Definition {
    pub(super) id: ServerId,
    /// The name that it has in the file.
    pub(super) way: Arc<NamedWay>,
    pub(super) engine: EngineKind,
    /// How to get in.
    pub(super) access: Arc<Access>,
    /// Its settings over the defaults.
    pub(super) settings: Settings,
    /// The file of passwords that its URL names.
    pub(super) password_file: Option<String>,
    /// SQLite: the directory as written, and whether files in it may be made.
    pub(super) directory: Option<(String, bool)>,
}

/// The servers so far.
#[derive(Default)]
pub(super) struct Servers {
    servers: Vec<Draft>,
    by_address: HashMap<(EngineKind, Address), ServerId>,
    accesses: HashMap<u64, Vec<Arc<Access>>>,
    directories: HashMap<PathBuf, PathBuf>,
}

struct Draft {
    name: String,
    engine: EngineKind,
    address: Address,
    max_connections: Option<NonZeroU32>,
    connect_timeout: Option<Duration>,
    silence_check: Option<Duration>,
    lock_database: Option<String>,
    /// Each name once.
    ways: Vec<Arc<NamedWay>>,
}

/// Two definitions of one server name two databases for its lock.
#[derive(Debug)]
pub(super) struct LockDatabasesDiffer;

impl Servers {
    /// Returns the server at an address; a new one bears this name.
    ///
    /// Of several budgets that are set for it the smallest holds. `settings` are its own, without the defaults.
    pub(super) fn at(
        &mut self,
        name: impl FnOnce() -> String,
        engine: EngineKind,
        address: Address,
        settings: &Settings,
    ) -> Result<ServerId, LockDatabasesDiffer> {
        let next = ServerId(self.servers.len());
        let id = *self.by_address.entry((engine, address.clone())).or_insert(next);
        if id == next {
            self.servers.push(Draft {
                name: name(),
                engine,
                address,
                max_connections: None,
                connect_timeout: None,
                silence_check: None,
                lock_database: None,
                ways: Vec::new(),
            });
        }
        let draft = &mut self.servers[id.0];
        draft.max_connections = [draft.max_connections, settings.max_connections].into_iter().flatten().min();
        draft.connect_timeout = draft.connect_timeout.or(settings.connect_timeout);
        draft.silence_check = draft.silence_check.or(settings.silence_check);
        match (&draft.lock_database, &settings.lock_database) {
            (Some(one), Some(other)) if one != other => return Err(LockDatabasesDiffer),
            (None, Some(_)) => draft.lock_database.clone_from(&settings.lock_database),
            _ => {}
        }
        Ok(id)
    }

    /// Returns the one shared copy of a server's name: thousands of tenants have a URL of their own.
    pub(super) fn way(&mut self, id: ServerId, name: &str, access: Option<&Arc<Access>>) -> Arc<NamedWay> {
        let ways = &mut self.servers[id.0].ways;
        let is_it = |way: &&Arc<NamedWay>| way.name == name && way.access.as_ref() == access;
        if let Some(found) = ways.iter().find(is_it) {
            return Arc::clone(found);
        }
        let made = Arc::new(NamedWay { name: name.to_owned(), access: access.cloned() });
        ways.push(Arc::clone(&made));
        made
    }

    /// Returns the one shared copy of equal credentials: connections are shared by it.
    pub(super) fn share(&mut self, access: Access) -> Arc<Access> {
        let mut hasher = DefaultHasher::new();
        access.user.hash(&mut hasher);
        access.password.known().map(Secret::reveal).hash(&mut hasher);
        let equal = self.accesses.entry(hasher.finish()).or_default();
        if let Some(found) = equal.iter().find(|found| ***found == access) {
            return Arc::clone(found);
        }
        let made = Arc::new(access);
        equal.push(Arc::clone(&made));
        made
    }

    /// Returns the one name of a directory, links and `..` resolved as far as it exists.
    pub(super) fn directory(&mut self, path: &Path) -> PathBuf {
        if let Some(found) = self.directories.get(path) {
            return found.clone();
        }
        let made = canonical(path);
        self.directories.insert(path.to_owned(), made.clone());
        made
    }

    /// Returns the servers, with the defaults where nothing is set.
    pub(super) fn finish(&self, defaults: &Settings) -> Vec<Server> {
        (0..self.servers.len()).map(|idx| self.finished(ServerId(idx), defaults)).collect()
    }

    /// Returns one of them as it would be now.
    pub(super) fn finished(&self, id: ServerId, defaults: &Settings) -> Server {
        let draft = &self.servers[id.0];
        Server {
            name: draft.name.clone(),
            ways: draft.ways.clone(),
            max_connections: draft.max_connections.or(defaults.max_connections).unwrap_or(match draft.engine {
                EngineKind::Sqlite => SQLITE_CONNECTIONS,
                _ => CONNECTIONS,
            }),
            engine: draft.engine,
            address: draft.address.clone(),
            connect_timeout: draft.connect_timeout.or(defaults.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
            silence_check: draft.silence_check.or(defaults.silence_check).unwrap_or(SILENCE_CHECK),
            lock_database: draft.lock_database.clone().unwrap_or_else(|| LOCK_DATABASE.to_owned()),
        }
    }
}

/// Returns an absolute path without `.`, `..` and links. What does not exist is taken by its letters.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let mut made = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                made.pop();
            }
            // Links are resolved step by step, since `..` after one leads elsewhere.
            Component::Normal(_) => {
                made.push(component);
                if made.is_symlink() {
                    made = made.canonicalize().unwrap_or(made);
                }
            }
            Component::RootDir | Component::Prefix(_) => made.push(component),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_canonical_form_whether_or_not_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let root = canonical(folder.path());
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::os::unix::fs::symlink(root.join("real/deep"), root.join("link")).unwrap();
        for (path, same) in [
            ("a/../b.db", "b.db"),
            ("./b.db", "b.db"),
            ("none/../../x", "../x"),
            ("link/x.db", "real/deep/x.db"),
            ("link/../x.db", "real/x.db"),
        ] {
            assert_eq!(canonical(&root.join(path)), canonical(&root.join(same)), "{path}");
        }
        assert_ne!(canonical(&root.join("a.db")), canonical(&root.join("b.db")));
    }
}
