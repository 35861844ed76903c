//! What PostgreSQL and the network answer, as diagnostics.

use tokio_postgres::error::{ErrorPosition, Severity, SqlState};

use crate::engine::Order;
use crate::engine::stepwise::{RUN_LONGER, WAIT_LONGER, failed};
use crate::error::{Code, Diagnostic, Secret};
use crate::tenant::{Address, Given, NoPassword, Server};

use super::session::Key;
use super::sql::ident;

/// Why a session could not be opened.
pub(super) enum Opening {
    Files(Diagnostic),
    Server(tokio_postgres::Error),
}

impl From<Diagnostic> for Opening {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Files(diagnostic)
    }
}

impl From<tokio_postgres::Error> for Opening {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl Opening {
    pub fn diagnostic(self, server: &Server, key: &Key, given: &Given) -> Diagnostic {
        match self {
            Self::Files(diagnostic) => diagnostic,
            Self::Server(error) => connecting_with(server, key, given.secret.as_ref(), &error),
        }
    }
}

/// Returns the server's own words: `23505: message; detail`, or the chain of causes of a network error.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        let mut words = format!("{}: {}", db.code().code(), db.message());
        for more in [db.detail(), db.hint()].into_iter().flatten() {
            words.push('\n');
            words.push_str(more);
        }
        return words;
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        source = cause.source();
    }
    words
}

/// Returns a server as messages name it.
pub(super) fn place(server: &Server) -> String {
    match &server.address {
        Address::Directory(path) => path.display().to_string(),
        address => format!("{} ({address})", server.name),
    }
}

/// What is said of a server that is silent.
const NO_ANSWER: &str = "no answer within";

/// What to do about a server that is full.
const FREE_SOME: &str = "see who holds them (`SELECT usename, application_name, count(*) FROM pg_stat_activity GROUP BY 1, \
    2`), free at least two, or raise max_connections there (or the role's or the database's own limit); then run the \
    command again";

/// Says how long a server was silent.
pub(super) fn no_answer(waited: std::time::Duration) -> String {
    format!("{NO_ANSWER} {:.1} s", waited.as_secs_f64())
}

/// Whether a server was waited for in vain.
pub(super) fn is_silence(diagnostic: &Diagnostic) -> bool {
    diagnostic.code() == Code::NO_CONNECTION
        || [Code::UNREACHABLE, Code::NO_HOST].contains(&diagnostic.code())
            && diagnostic.causes().iter().any(|why| why.starts_with(NO_ANSWER))
}

/// Says that a server cannot be reached.
pub(super) fn unreachable(server: &Server, key: &Key, why: &str) -> Diagnostic {
    let user = key.access.user.as_deref().unwrap_or("(none)");
    Diagnostic::new(Code::UNREACHABLE, format!("cannot reach server {} as {user}", place(server)))
        .cause(why)
        .hint("check that it runs, and its host and port in tenants.yaml; then try again")
}

/// Says that a pooler shares one session among several of ours.
pub(super) fn pooled(server: &Server, database: &str) -> Diagnostic {
    let place = place(server);
    Diagnostic::new(
        Code::POOLED,
        format!("a connection pooler shares sessions between mtmigrate and database `{database}` on server {place}"),
    )
    .hint(
        "name the server's own host and port in tenants.yaml, or let the pooler give this user sessions of its own \
         (pgbouncer: `pool_mode = session`): run lock and settings belong to one session",
    )
}

/// Whether these are a pooler's words that has no place left itself; pgbouncer has no code of its own for it.
fn is_full_pooler(why: &str) -> bool {
    why.contains("no more connections allowed (max_client_conn)")
}

/// Whether these are a pooler's words: pgbouncer refuses transactions in statement pooling, and settings at the start.
fn is_poolers(why: &str) -> bool {
    why.contains("pooling mode") || why.contains("unsupported startup parameter")
}

/// Says why a session could not be opened.
pub(super) fn connecting(server: &Server, key: &Key, error: &tokio_postgres::Error) -> Diagnostic {
    connecting_with(server, key, key.access.password.at_hand().as_ref(), error)
}

/// Says that there is no password to connect with.
pub(super) fn no_password(server: &Server, key: &Key, why: &NoPassword) -> Diagnostic {
    why.diagnostic(&place(server), key.access.user.as_deref().unwrap_or("(none)"))
}

/// The driver's words where the server answers that it has no TLS.
const WITHOUT_TLS: &str = "server does not support TLS";

fn connecting_with(server: &Server, key: &Key, secret: Option<&Secret>, error: &tokio_postgres::Error) -> Diagnostic {
    let user = key.access.user.as_deref().unwrap_or("(none)");
    let why = Secret::hide(secret, user, words(error));
    let database = &key.database;
    let Some(code) = error.code() else {
        if why.contains("password missing") {
            return Diagnostic::new(
                Code::ACCESS_DENIED,
                format!("server {} asks user {user} for a password", place(server)),
            )
            .cause(why)
            .hint("give one in the URL, best as `${VAR}`, `${file:…}` or `${cmd:…}`, or in ~/.pgpass");
        }
        let failed = tls_error(error);
        if failed.is_some() || why.contains("TLS") || why.contains("certificate") {
            // <https://www.rfc-editor.org/rfc/rfc8446#section-6>
            let hint = match failed {
                Some(rustls::Error::AlertReceived(_)) => {
                    "the server ended the handshake: check `client_cert:` and which authority the server trusts"
                }
                _ if why.contains(WITHOUT_TLS) => {
                    "set up TLS on the server; `tls: prefer` or `disable` would send everything in the clear"
                }
                _ => "check `tls:` and `ca_file:` of the server in tenants.yaml, and the certificate it shows",
            };
            return Diagnostic::new(Code::TLS_FAILED, format!("no TLS connection to server {}", place(server)))
                .cause(why)
                .hint(hint);
        }
        return unreachable(server, key, &why);
    };
    if is_poolers(&why) {
        return pooled(server, database).cause(why);
    }
    match *code {
        SqlState::INVALID_CATALOG_NAME => no_database(server, database).cause(why),
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Diagnostic::new(
            Code::ACCESS_DENIED,
            format!("server {} refuses user {user}", place(server)),
        )
        .cause(why)
        .hint(
            "check user and password in tenants.yaml; a `${VAR}` inside a URL is taken as it is, not percent-encoded",
        ),
        SqlState::INSUFFICIENT_PRIVILEGE => {
            Diagnostic::new(Code::NO_PRIVILEGE, format!("user {user} may not connect to database `{database}`"))
                .cause(why)
                .hint(format!("GRANT CONNECT ON DATABASE {} TO {}", ident(database), ident(user)))
        }
        _ if *code == SqlState::TOO_MANY_CONNECTIONS || is_full_pooler(&why) => {
            Diagnostic::new(Code::NO_CONNECTION, format!("server {} has no free connection", place(server)))
                .cause(why)
                .hint(FREE_SOME)
        }
        _ => unreachable(server, key, &why),
    }
}

/// Returns what TLS itself complains of, wherever the driver has wrapped it.
///
/// With TLS 1.3 a refused client certificate shows only in the first read after the handshake.
fn tls_error(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // An I/O error does not show the error that it wraps as its source.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = cause.downcast_ref().or_else(|| wrapped?.downcast_ref());
        if found.is_some() {
            return found;
        }
        source = cause.source();
    }
    None
}

/// Says that a database does not exist.
pub(super) fn no_database(server: &Server, database: &str) -> Diagnostic {
    Diagnostic::new(Code::NO_DATABASE, format!("database `{database}` does not exist on server {}", place(server)))
        .hint(format!("create it (CREATE DATABASE {}) or correct `database:` in tenants.yaml", ident(database)))
}

/// Says that a schema does not exist; `None` when the session has none at all.
pub(super) fn no_schema(server: &Server, database: &str, schema: Option<&str>) -> Diagnostic {
    match schema {
        Some(schema) => Diagnostic::new(
            Code::NO_SCHEMA,
            format!("schema `{schema}` does not exist in database `{database}` on server {}", place(server)),
        )
        .hint(format!("create it (CREATE SCHEMA {}) or correct `schema:` in tenants.yaml", ident(schema))),
        None => Diagnostic::new(
            Code::NO_SCHEMA,
            format!("database `{database}` on server {} has no schema for new objects", place(server)),
        )
        .cause("current_schema() is NULL: no schema of the role's search_path exists")
        .hint("create schema public, or name the tenant's schema with `schema:` in tenants.yaml"),
    }
}

/// Whether the connection itself is gone, or the server ended the session: what ran may or may not have committed.
pub(super) fn is_lost(error: &tokio_postgres::Error) -> bool {
    let Some(db) = error.as_db_error() else { return true };
    let code = db.code();
    is_fatal(error)
        || code.code().starts_with("08")
        || [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW].contains(code)
}

/// Whether these are the server's last words: it has ended the session, whose transaction can never commit now.
/// <https://www.postgresql.org/docs/current/runtime-config-logging.html#RUNTIME-CONFIG-SEVERITY-LEVELS>
pub(super) fn is_fatal(error: &tokio_postgres::Error) -> bool {
    let severity = error.as_db_error().and_then(|db| db.parsed_severity());
    matches!(severity, Some(Severity::Fatal | Severity::Panic))
}

/// Says why an order failed on the server, and whether it may succeed in a moment.
pub(super) fn refused(order: &Order<'_>, error: &tokio_postgres::Error) -> (Diagnostic, bool) {
    let why = words(error);
    let state = error.code().cloned().unwrap_or(SqlState::INTERNAL_ERROR);
    if state == SqlState::LOCK_NOT_AVAILABLE {
        let hint = format!(
            "see who holds it in pg_stat_activity and pg_locks, and run `mtmigrate up` again; or {WAIT_LONGER}"
        );
        return (failed(order, Code::LOCK_TIMEOUT).cause(why).hint(hint), true);
    }
    if state == SqlState::QUERY_CANCELED {
        let code = match order.cancel.is_cancelled() {
            true => Code::CANCELLED,
            // Somebody called pg_cancel_backend; in another language than English it reads as a timeout.
            false if why.contains("user request") => Code::CHANGESET_FAILED,
            false => Code::STATEMENT_TIMEOUT,
        };
        let diagnostic = failed(order, code).cause(why);
        return match code {
            Code::STATEMENT_TIMEOUT => (diagnostic.hint(RUN_LONGER), false),
            _ => (diagnostic, false),
        };
    }
    let passing = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    let retry = passing.contains(&state);
    let diagnostic = failed(order, Code::CHANGESET_FAILED).cause(why);
    let user = order.tenant.access.user.as_deref().unwrap_or("(none)");
    let diagnostic = match state {
        SqlState::INSUFFICIENT_PRIVILEGE => diagnostic.hint(format!(
            "let role {user} own the object or grant it what the message names, then run `mtmigrate up` again"
        )),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            diagnostic.hint("the server takes no writes: name the primary in tenants.yaml")
        }
        _ => diagnostic,
    };
    (diagnostic, retry)
}

/// Says that the connection was lost while an order ran.
pub(super) fn lost(order: &Order<'_>, error: &tokio_postgres::Error) -> Diagnostic {
    failed(order, Code::OUTCOME_UNKNOWN).cause(words(error))
}

/// Returns where in the message the error is, in characters from 0, if the server says so.
pub(super) fn position(error: &tokio_postgres::Error) -> Option<usize> {
    match error.as_db_error()?.position()? {
        ErrorPosition::Original(at) => (*at as usize).checked_sub(1),
        ErrorPosition::Internal { .. } => None,
    }
}

/// Returns the server's code, or nothing.
pub(super) fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("", SqlState::code)
}

/// Whether two sessions made the same thing at the same moment, in spite of `IF NOT EXISTS`.
pub(super) fn is_race(error: &tokio_postgres::Error) -> bool {
    let Some(db) = error.as_db_error() else { return false };
    let made_twice = [SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT].contains(db.code());
    made_twice || (*db.code() == SqlState::UNIQUE_VIOLATION && db.schema() == Some("pg_catalog"))
}

/// Whether the server names this table of this schema as the one that an error is about.
pub(super) fn is_about(error: &tokio_postgres::Error, schema: &str, table: &str) -> bool {
    error.as_db_error().is_some_and(|db| db.schema() == Some(schema) && db.table() == Some(table))
}

/// Whether a table of ours was made by another session while we were about to: an orphan of a killed run, or refinery.
///
/// `IF NOT EXISTS` looks before the other one commits, and its row in the catalogs then collides with theirs.
pub(super) fn is_making_what_is_there(error: &tokio_postgres::Error) -> bool {
    let collides = error.code() == Some(&SqlState::UNIQUE_VIOLATION);
    collides && error.as_db_error().is_some_and(|db| db.schema() == Some("pg_catalog"))
}
