//! What `defaults`, a server and a tenant with a URL of its own can set alike, and which of them wins.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::create::{self, Create};
use super::interpolate::shown;
use super::locate::Path;
use super::names::check_postgres;
use super::session::{self, SessionSettings};
use super::suggest::did_you_mean;
use super::url::Parameters;
use super::vars::{self, Vars};
use super::walk::{Fields, Walk, Zero};
use super::{ClientCertificate, Limits, Tls, TlsMode};
use crate::error::Code;
use crate::sql::EngineKind;

/// The keys of TLS.
pub(super) const TLS_KEYS: [&str; 4] = ["tls", "ca_file", "client_cert", "client_key"];

impl TlsMode {
    /// Every mode, from none to full.
    pub const ALL: [TlsMode; 5] = [Self::Disable, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    /// Returns the word for it in `tenants.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }

    /// Returns the mode that a word of `tenants.yaml` means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// What is set at one place; the rest is inherited.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) labels: Arc<BTreeSet<String>>,
    pub(super) max_connections: Option<NonZeroU32>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) silence_check: Option<Duration>,
    pub(super) lock_timeout: Option<Duration>,
    pub(super) statement_timeout: Option<Duration>,
    pub(super) retries: Option<u32>,
    pub(super) retry_pause: Option<Duration>,
    pub(super) lock_database: Option<String>,
    pub(super) tls: Option<TlsMode>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client: Option<ClientCertificate>,
    pub(super) vars: Arc<Vars>,
    pub(super) session: Arc<SessionSettings>,
    pub(super) create: Option<Arc<Create>>,
}

impl Settings {
    /// Reads what a mapping sets. Keys that it cannot have were refused before.
    pub(super) fn read(walk: &mut Walk<'_>, fields: &Fields<'_>) -> Self {
        let mut made = Self::default();
        if let Some((value, at)) = fields.get("labels") {
            made.labels = Arc::new(walk.labels(value, at));
        }
        if let Some((value, at)) = fields.get("max_connections") {
            let why = "one connection holds the run's lock, and one works";
            made.max_connections = walk.count(value, at, "max_connections", 2, why).and_then(NonZeroU32::new);
        }
        if let Some((value, at)) = fields.get("retries") {
            let why = "how often a changeset is tried again; 0 tries once";
            made.retries = walk.count(value, at, "retries", 0, why);
        }
        let mut duration = |key, zero| fields.get(key).and_then(|(value, at)| walk.duration(value, at, key, zero));
        made.connect_timeout = duration("connect_timeout", Zero::Refused);
        made.silence_check = duration("silence_check", Zero::Refused);
        made.lock_timeout = duration("lock_timeout", Zero::NoLimit);
        made.statement_timeout = duration("statement_timeout", Zero::NoLimit);
        made.retry_pause = duration("retry_pause", Zero::Refused);
        made.lock_database = fields.get("lock_database").and_then(|(value, at)| {
            let text = walk.text(value, at, "lock_database")?;
            if let Err(refusal) = check_postgres(text.value()) {
                let message = format!("the database of `lock_database` {}", refusal.why);
                walk.wrong(Code::BAD_NAME, at, message, refusal.hint);
                return None;
            }
            Some(text.into_value())
        });
        made.read_tls(walk, fields);
        made.vars = Arc::new(vars::read(walk, fields));
        made.session = Arc::new(session::read(walk, fields));
        made.create = create::read(walk, fields);
        made
    }

    fn read_tls(&mut self, walk: &mut Walk<'_>, fields: &Fields<'_>) {
        if let Some((value, at)) = fields.get("tls")
            && let Some(text) = walk.text(value, at, "tls")
        {
            self.tls = TlsMode::parse(text.value());
            if self.tls.is_none() {
                let known = TlsMode::ALL.map(TlsMode::as_str);
                let hint = did_you_mean(&text.shown(), known, &format!("the modes are {}", known.join(", ")));
                walk.wrong(Code::BAD_VALUE, at, format!("`{}` is no mode of `tls`", text.shown()), hint);
            }
        }
        let mut file = |key| fields.get(key).and_then(|(value, at)| walk.tls_file(value, at, key));
        self.ca_file = file("ca_file");
        let (cert_file, key_file) = (file("client_cert"), file("client_key"));
        let at = |key| fields.get(key).map(|(_, at)| at);
        self.client = pair(walk, at("client_cert"), at("client_key"), cert_file, key_file);
    }

    /// Adds what the parameters of the URL set, which is written so. A key beside the URL that says something else is a mistake.
    pub(super) fn join(&mut self, walk: &mut Walk<'_>, parameters: Parameters, written: &str, at: Path<'_>) {
        let mut existing = |file: Option<&String>, key| walk.existing_file(file?, &shown(written), at, key);
        let ca_file = existing(parameters.ca_file.as_ref(), "sslrootcert");
        let cert_file = existing(parameters.client_cert.as_ref(), "sslcert");
        let key_file = existing(parameters.client_key.as_ref(), "sslkey");
        let cert_at = parameters.client_cert.map(|_| at);
        let key_at = parameters.client_key.map(|_| at);
        let client = pair(walk, cert_at, key_at, cert_file, key_file);
        let mut differ = |what: &str| {
            let message = format!("`{what}` and the URL's parameters differ");
            walk.wrong(Code::BAD_VALUE, at, message, "say it once, here or there");
        };
        agree(&mut self.tls, parameters.tls, || differ("tls"));
        agree(&mut self.connect_timeout, parameters.connect_timeout, || differ("connect_timeout"));
        agree(&mut self.ca_file, ca_file, || differ("ca_file"));
        agree(&mut self.client, client, || differ("client_cert"));
    }

    /// Refuses what an engine has not: TLS for a file, a lock database outside PostgreSQL.
    pub(super) fn fit(walk: &mut Walk<'_>, fields: &Fields<'_>, engine: EngineKind) {
        let mut refuse = |key, why: &str| {
            if let Some((_, at)) = fields.get(key) {
                let message = format!("`{key}` has no meaning for {engine}");
                walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, why);
            }
        };
        if engine != EngineKind::Postgres {
            refuse("lock_database", "only PostgreSQL's advisory locks belong to a database: remove it");
        }
        if engine == EngineKind::Sqlite {
            for key in TLS_KEYS {
                refuse(key, "a file has no connection to encrypt: remove it");
            }
        }
        Self::fit_what_is_inherited(walk, fields, engine);
    }

    /// Refuses what an engine has not, of the keys that a tenant may have whatever way it is reached.
    pub(super) fn fit_what_is_inherited(walk: &mut Walk<'_>, fields: &Fields<'_>, engine: EngineKind) {
        session::fit(walk, fields, engine);
        create::fit(walk, fields, engine);
    }

    /// Returns these settings, and where they are silent those of `base`. Labels add up.
    pub(super) fn over(self, base: &Self) -> Self {
        // An authority, a certificate and a mode are one decision each, inherited one by one.
        Self {
            labels: match (self.labels.is_empty(), base.labels.is_empty()) {
                (true, _) => base.labels.clone(),
                (false, true) => self.labels,
                (false, false) => Arc::new(base.labels.union(&self.labels).cloned().collect()),
            },
            max_connections: self.max_connections.or(base.max_connections),
            connect_timeout: self.connect_timeout.or(base.connect_timeout),
            silence_check: self.silence_check.or(base.silence_check),
            lock_timeout: self.lock_timeout.or(base.lock_timeout),
            statement_timeout: self.statement_timeout.or(base.statement_timeout),
            retries: self.retries.or(base.retries),
            retry_pause: self.retry_pause.or(base.retry_pause),
            lock_database: self.lock_database.or_else(|| base.lock_database.clone()),
            tls: self.tls.or(base.tls),
            ca_file: self.ca_file.or_else(|| base.ca_file.clone()),
            client: self.client.or_else(|| base.client.clone()),
            vars: merged(&self.vars, &base.vars, Vars::is_empty, |own, base| {
                base.iter().chain(own).map(|(name, value)| (name.clone(), value.clone())).collect()
            }),
            session: merged(
                &self.session,
                &base.session,
                |session| *session == SessionSettings::default(),
                SessionSettings::over,
            ),
            create: self.create.or_else(|| base.create.clone()),
        }
    }

    /// Returns the TLS that they make.
    pub(super) fn tls(&self) -> Tls {
        Tls { mode: self.tls.unwrap_or_default(), ca_file: self.ca_file.clone(), client: self.client.clone() }
    }

    /// Returns the limits that they make.
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            lock_timeout: self.lock_timeout.unwrap_or(default.lock_timeout),
            statement_timeout: self.statement_timeout.unwrap_or(default.statement_timeout),
            retries: self.retries.unwrap_or(default.retries),
            retry_pause: self.retry_pause.unwrap_or(default.retry_pause),
        }
    }
}

/// Merges what two places set; where one of them is silent the other's copy is shared.
fn merged<T>(own: &Arc<T>, base: &Arc<T>, is_silent: impl Fn(&T) -> bool, merge: impl FnOnce(&T, &T) -> T) -> Arc<T> {
    match (is_silent(own), is_silent(base)) {
        (true, _) => base.clone(),
        (false, true) => own.clone(),
        (false, false) => Arc::new(merge(own, base)),
    }
}

/// Takes the second of two values if there is no first, and complains if both are there and differ.
fn agree<T: PartialEq>(first: &mut Option<T>, second: Option<T>, differ: impl FnOnce()) {
    match (&first, second) {
        (_, None) => {}
        (None, second) => *first = second,
        (Some(value), Some(second)) if *value == second => {}
        _ => differ(),
    }
}

/// Makes a client certificate of its two files. One without the other is a mistake.
fn pair(
    walk: &mut Walk<'_>,
    cert_at: Option<Path<'_>>,
    key_at: Option<Path<'_>>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
) -> Option<ClientCertificate> {
    let (at, has, lacks) = match (cert_at, key_at) {
        (Some(at), None) => (at, "certificate", "key"),
        (None, Some(at)) => (at, "key", "certificate"),
        _ => return Some(ClientCertificate { cert_file: cert_file?, key_file: key_file? }),
    };
    let message = format!("a client {has} without its {lacks}");
    walk.wrong(Code::BAD_TLS, at, message, "name both files, `client_cert` and `client_key`, at one place");
    None
}
