//! `tenants.yaml` → the fleet: servers, tenants, labels, credentials.
//!
//! Start at [`load`]. Opens no connection. Every mistake in the file is found in one go.

mod address;
mod claims;
mod create;
mod credentials;
mod draft;
mod drift;
mod file_schema;
mod hash;
mod hosts;
mod interpolate;
mod labels;
mod listing;
mod load;
mod locate;
mod mistakes;
mod names;
mod nesting;
mod outward;
mod password;
mod password_file;
mod references;
mod rollout;
mod secret_command;
mod select;
mod servers;
mod session;
mod settings;
mod sources;
mod suggest;
mod tenants;
#[cfg(test)]
mod tests;
mod tree;
mod url;
mod vars;
mod walk;
mod yaml;

pub use address::{Address, Endpoint, SessionTarget};
pub use create::Create;
pub use draft::{ConfigFile, Draft};
pub use file_schema::FILE_SCHEMA;
pub use interpolate::{Environment, ProcessEnvironment};
pub use load::{load, migrations_folder, parse};
pub use outward::{Outward, mysql_mode};
pub use password::{Given, Late, NoPassword, Password};
pub use password_file::{Asker, PasswordFile};
pub use rollout::{
    CHECK_TIMEOUT, Check, OnFailure, REST, Rollout, RolloutOrder, Share, Takes, Wave, WaveCheck, WaveId,
};
pub use select::Selection;
pub use session::{SessionSettings, Setting};
use sources::RowOf;
pub use sources::{Answer, Ask, Discovery, Hidden, Match, Origin, Question, Reply, Source, SourceKind, Way};
pub use vars::Vars;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::schema::{Ignore, Include};
use crate::sql::EngineKind;

/// All servers and tenants of one `tenants.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// The file, as the user named it.
    pub config: PathBuf,
    /// The folder of changesets: the `migrations:` key, else `migrations/` beside the file.
    pub migrations: PathBuf,
    /// The servers, in order of first mention.
    pub servers: Vec<Server>,
    /// The tenants, in the file's order, those that are left out too.
    pub tenants: Vec<Tenant>,
    /// What counts as schema drift.
    pub drift: DriftSettings,
    /// When `up` checks that schemas are alike.
    pub verify: Verify,
    /// Where tenants come from beside the file's own list.
    pub sources: Vec<Source>,
    /// In which waves a changeset reaches the fleet.
    pub rollout: Rollout,
    /// The hash of the resolved list: names and places, in order of name, without secrets.
    pub hash: String,
}

/// What counts as schema drift: the `drift:` key.
#[derive(Clone, Debug, Default)]
pub struct DriftSettings {
    /// What is compared beside the schema itself.
    pub include: Include,
    /// What may differ.
    pub ignore: Vec<Ignore>,
}

/// When `up` checks that the tenants of a cohort have one schema: the `verify:` key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Before the first step and after every one.
    #[default]
    Step,
    /// Before the first step and at the end of the run.
    Run,
    /// Never: `up` neither looks at schemas nor records what they are.
    Off,
}

impl Verify {
    /// Every choice.
    pub const ALL: [Verify; 3] = [Self::Step, Self::Run, Self::Off];

    /// Returns the word for it in `tenants.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Run => "run",
            Self::Off => "off",
        }
    }

    /// Returns the choice that a word of `tenants.yaml` means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verify| verify.as_str() == word)
    }
}

impl Fleet {
    /// Returns a server of this fleet.
    ///
    /// An id of another fleet may panic: ids are places in a list.
    pub fn server(&self, id: ServerId) -> &Server {
        &self.servers[id.0]
    }

    /// Returns what a tenant's server is called where the tenant is defined. Two names of one address are one [`Server`],
    /// which bears the first of them.
    pub fn server_name<'f>(&'f self, tenant: &'f Tenant) -> &'f str {
        tenant.way.as_ref().map_or_else(|| self.server(tenant.server).name.as_str(), |way| way.name.as_str())
    }

    /// Returns a tenant of this fleet.
    ///
    /// An id of another fleet may panic: ids are places in a list.
    pub fn tenant(&self, id: TenantId) -> &Tenant {
        &self.tenants[id.0]
    }
}

/// A name that leads to a server: one under `servers:`, or `host:port` (or the directory) of a tenant's own URL.
#[derive(Debug)]
pub struct NamedWay {
    /// The name.
    pub name: String,
    /// How `servers:` says to get in, if it names a user.
    pub access: Option<Arc<Access>>,
}

/// One database server process, or one directory of SQLite files: connection budgets belong to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// The name under `servers:`, or `host:port` (or the directory) for a tenant with a URL of its own; of several the
    /// first.
    pub name: String,
    /// All its names, the first one too; empty where no file defines it.
    pub ways: Vec<Arc<NamedWay>>,
    /// What it speaks.
    pub engine: EngineKind,
    /// Where it is.
    pub address: Address,
    /// The most connections that a run may hold there at once, the lock's connection included; at least 2.
    pub max_connections: NonZeroU32,
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// After how long a silent statement is asked about on another connection; the pause doubles.
    pub silence_check: Duration,
    /// PostgreSQL: the database in which the run lock is taken; advisory locks belong to a database.
    pub lock_database: String,
}

/// The index of a server in [`Fleet::servers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub usize);

/// The index of a tenant in [`Fleet::tenants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub usize);

/// One customer's schema.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its place in [`Fleet::tenants`].
    pub id: TenantId,
    /// Its name: data from strangers, any characters.
    pub name: String,
    /// The server it lives on.
    pub server: ServerId,
    /// By which of the server's names it is defined; none where no file defines it.
    pub way: Option<Arc<NamedWay>>,
    /// The database or schema there.
    pub datasource: Datasource,
    /// How to get in.
    pub access: Arc<Access>,
    /// Its labels, the defaults' included; tenants with the same ones share them.
    pub labels: Arc<BTreeSet<String>>,
    /// Where it is listed.
    pub origin: Origin,
    /// Why it is left out, if it is.
    pub quarantined: Option<String>,
    /// Whether it is being made: left out until then.
    pub provisioning: bool,
    /// In which wave changesets reach it.
    pub wave: WaveId,
    /// The wave that it names itself, by the key `wave`.
    pub own_wave: Option<WaveId>,
    /// What changesets that are templates may ask for; tenants with the same ones share them.
    pub vars: Arc<Vars>,
    /// What its sessions begin with; tenants with the same share it.
    pub session: Arc<SessionSettings>,
    /// What it says of how its schema, database or file is made; [`Tenant::made_how`] is what may be done.
    pub create: Option<Arc<Create>>,
    /// Limits for its statements, unless a changeset says otherwise.
    pub limits: Limits,
}

/// Why a tenant is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It is left out on purpose; the reason.
    Quarantined(String),
    /// It is being made.
    Provisioning,
}

impl Tenant {
    /// Returns why the tenant is passed over, if it is.
    pub fn left_out(&self) -> Option<LeftOut> {
        match &self.quarantined {
            Some(reason) => Some(LeftOut::Quarantined(reason.clone())),
            None => self.provisioning.then_some(LeftOut::Provisioning),
        }
    }

    /// Returns how its schema, database or file is made by `provision`, if it may be.
    pub fn made_how(&self) -> Option<&Create> {
        self.create.as_deref().filter(|create| !create.refused)
    }

    /// Whether the tenant gets changesets and is compared with the others.
    pub fn is_active(&self) -> bool {
        self.quarantined.is_none() && !self.provisioning
    }

    /// Returns how to get in for what concerns the whole server, its lock for one: as the server's own URL says if it names
    /// a user, and else as the tenant does.
    pub fn server_access(&self) -> &Arc<Access> {
        self.way.as_ref().and_then(|way| way.access.as_ref()).unwrap_or(&self.access)
    }

    /// Makes a tenant of which only its place is known: no user, nothing set.
    pub fn new(id: TenantId, name: impl Into<String>, server: ServerId, datasource: Datasource) -> Self {
        Self {
            id,
            name: name.into(),
            server,
            way: None,
            datasource,
            access: Arc::new(Access { user: None, password: Password::None, tls: Tls::default() }),
            labels: Arc::default(),
            origin: Origin { source: None, position: id.0 + 1 },
            quarantined: None,
            provisioning: false,
            wave: WaveId::default(),
            own_wave: None,
            vars: Arc::default(),
            session: Arc::default(),
            create: None,
            limits: Limits::default(),
        }
    }
}

/// Where a tenant lives on its server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Datasource {
    /// A database, or with `schema` a schema in it. Without, the server's own `search_path` decides.
    Postgres { database: String, schema: Option<String> },
    /// A database.
    MySql { database: String },
    /// A file: as the user wrote it, and absolute. `create` when the URL says `mode=rwc`.
    Sqlite { shown: String, file: PathBuf, create: bool },
}

impl Datasource {
    /// Returns what it speaks.
    pub fn engine(&self) -> EngineKind {
        match self {
            Self::Postgres { .. } => EngineKind::Postgres,
            Self::MySql { .. } => EngineKind::MySql,
            Self::Sqlite { .. } => EngineKind::Sqlite,
        }
    }

    /// Returns the database's name, or the file as the user wrote it.
    pub fn database(&self) -> &str {
        match self {
            Self::Postgres { database, .. } | Self::MySql { database } => database,
            Self::Sqlite { shown, .. } => shown,
        }
    }

    /// Returns the schema, if the tenant has one of its own.
    pub fn schema(&self) -> Option<&str> {
        match self {
            Self::Postgres { schema, .. } => schema.as_deref(),
            _ => None,
        }
    }
}

/// Credentials and TLS. Tenants with equal ones share connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The user; absent for SQLite.
    pub user: Option<String>,
    /// The password, or where it comes from.
    pub password: Password,
    /// How the connection is encrypted.
    pub tls: Tls,
}

/// How a connection is encrypted, and who is believed: one model for both servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// How much is asked for.
    pub mode: TlsMode,
    /// The authority to believe (PEM) in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A certificate to show: PEM files of the certificate chain and of its key.
    pub client: Option<ClientCertificate>,
}

/// The files of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM, the certificate first.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
}

/// How much is asked of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it; the certificate is not checked.
    #[default]
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; the certificate must come from a believed authority.
    VerifyCa,
    /// Always; and it must bear the host's name.
    VerifyFull,
}

/// How long a changeset's statements may wait and run, and how often it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait for a lock; zero waits for ever.
    pub lock_timeout: Duration,
    /// The longest run of one statement; zero is no limit.
    pub statement_timeout: Duration,
    /// How often an order is tried again after what may pass: a lock timeout, a deadlock, a serialisation failure, no
    /// session. Zero tries once.
    pub retries: u32,
    /// The mean pause before the first retry; it doubles with each.
    pub retry_pause: Duration,
}

/// How often an order is tried again if the file does not say.
pub const RETRIES: u32 = 3;

impl Default for Limits {
    /// Five seconds for a lock (the readers queue behind the wait), no limit for a statement, three retries.
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::ZERO,
            retries: RETRIES,
            retry_pause: Duration::from_millis(200),
        }
    }
}
