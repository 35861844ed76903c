//! The engine on real files: each test has a folder of its own.

mod applying;
mod broken_files;
mod foreign_keys;
mod journal;
mod kept;
mod locks;
mod reading;
mod schemas;
mod stopping;
mod without_transaction;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::changeset::{Changeset, Checksums, Directives, Kind, Text, Version, Width};
use crate::engine::{Failure, Known, Order, Outcome, Resume, RunIdentity, Server, Tables};
use crate::schema::Include;
use crate::sql::EngineKind;
use crate::tenant::{self, Address, Datasource, Limits, ServerId, Tenant, TenantId};

/// A folder, the server that it is, and a run.
struct Scene {
    folder: Folder,
    server: Arc<dyn Server>,
    run: RunIdentity,
    limits: Limits,
    cancel: CancellationToken,
    resume: Option<Resume>,
    width: Width,
}

enum Folder {
    Own(TempDir),
    Others(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Others(folder) => folder,
        }
    }
}

impl Scene {
    fn new() -> Self {
        Self::on(Folder::Own(tempfile::tempdir().unwrap()))
    }

    /// A scene in the folder of another process's.
    fn of(folder: PathBuf) -> Self {
        Self::on(Folder::Others(folder))
    }

    fn on(folder: Folder) -> Self {
        let server = server_of(folder.path());
        let limits = Limits { lock_timeout: Duration::from_millis(100), ..Limits::default() };
        let (cancel, run) = (CancellationToken::new(), RunIdentity::new());
        Self { folder, server, run, limits, cancel, resume: None, width: Width::Int4 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A tenant whose file is there.
    fn tenant(&self, name: &str) -> Tenant {
        drop(std::fs::File::create_new(self.path(&format!("{name}.db"))));
        self.absent(name, false)
    }

    /// A tenant whose file is not.
    fn absent(&self, name: &str, create: bool) -> Tenant {
        let file = self.path(&format!("{name}.db"));
        let datasource = Datasource::Sqlite { shown: format!("data/{name}.db"), file, create };
        Tenant::new(TenantId(0), name, ServerId(0), datasource)
    }

    fn db(&self, tenant: &Tenant) -> Connection {
        Connection::open(self.path(&format!("{}.db", tenant.name))).unwrap()
    }

    /// Runs a query and returns its rows, columns joined by `|`.
    fn rows(&self, tenant: &Tenant, sql: &str) -> Vec<String> {
        rows(&self.db(tenant), sql)
    }

    async fn apply(&self, tenant: &Tenant, version: i64, sql: &str) -> Outcome {
        let no_transaction = sql.starts_with("-- mtmigrate: no-transaction");
        let (changeset, text) = changeset(version, sql, no_transaction);
        self.server
            .apply(Order {
                lane: 0,
                tenant,
                changeset: &changeset,
                text: &text,
                skips: false,
                width: self.width,
                run: &self.run,
                tables: Tables { history: None, journal: None },
                rewrite: Vec::new(),
                resume: self.resume.clone(),
                known: Known { journal_end: self.journal_end(tenant), ..Known::default() },
                limits: self.limits,
                cancel: self.cancel.clone(),
            })
            .await
    }

    /// The number of the journal's last row, as a survey reads it.
    fn journal_end(&self, tenant: &Tenant) -> Option<i64> {
        self.path(&format!("{}.db", tenant.name)).exists().then(|| self.db(tenant))?;
        let db = self.db(tenant);
        // A test may hold a lock on it.
        db.busy_timeout(Duration::ZERO).ok()?;
        db.query_row("SELECT max(id) FROM mtmigrate_journal", [], |row| row.get(0)).ok().flatten()
    }

    async fn applied(&self, tenant: &Tenant, version: i64, sql: &str) {
        match self.apply(tenant, version, sql).await {
            Outcome::Applied(applied) => assert!(!applied.by_another),
            Outcome::Failed(failure) => panic!("{}", failure.diagnostic),
        }
    }

    async fn failed(&self, tenant: &Tenant, version: i64, sql: &str) -> Failure {
        match self.apply(tenant, version, sql).await {
            Outcome::Applied(_) => panic!("it was applied"),
            Outcome::Failed(failure) => failure,
        }
    }
}

fn server_of(folder: &Path) -> Arc<dyn Server> {
    let server = tenant::Server {
        name: "data".into(),
        ways: Vec::new(),
        engine: EngineKind::Sqlite,
        address: Address::Directory(folder.to_owned()),
        max_connections: NonZeroU32::new(4).unwrap(),
        connect_timeout: Duration::from_secs(1),
        silence_check: Duration::from_secs(30),
        lock_database: String::new(),
    };
    super::open(server, Include::default()).unwrap()
}

fn changeset(version: i64, sql: &str, no_transaction: bool) -> (Changeset, Text) {
    let text = Text {
        file: format!("migrations/V{version}__x.sql"),
        sql: sql.into(),
        directives: Directives { no_transaction, ..Directives::default() },
        empty: false,
        checksums: Checksums::new(Version(version), "x", sql, None),
        origin: None,
    };
    let changeset = Changeset {
        version: Version(version),
        name: "x".into(),
        kind: Kind::Versioned,
        default: None,
        variants: BTreeMap::new(),
        down: None,
        down_variants: BTreeMap::new(),
    };
    (changeset, text)
}

fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let column = |at| row.get::<_, rusqlite::types::Value>(at).unwrap();
        let words = |value| match value {
            rusqlite::types::Value::Null => "NULL".to_owned(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        Ok((0..columns).map(|at| words(column(at))).collect::<Vec<_>>().join("|"))
    });
    rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Every file of the folder with its bytes.
fn dump(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}
