//! Datasource URLs: pure parsing, engine by engine. Start at [`parse`].
//!
//! A URL may hold secrets from variables. A mistake quotes a word of it only if the word stands in the file's own text,
//! passwords masked ([`Quoted`]).

use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::address::{Address, SessionTarget};
use super::hosts::{Authority, WayParameters, address};
use super::interpolate::shown;
use super::{Password, TlsMode};
use crate::error::Secret;
use crate::sql::EngineKind;

/// What a URL says.
#[derive(Clone, PartialEq)]
pub(super) struct DatasourceUrl {
    pub(super) engine: EngineKind,
    pub(super) target: Target,
    pub(super) user: Option<String>,
    pub(super) password: Password,
    pub(super) parameters: Parameters,
}

/// Where a URL leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A server, and maybe a database there. Hosts are in lower case.
    Server { address: Address, database: Option<String> },
    /// A SQLite file, or a directory of them; `create` when it may be made.
    Path { path: String, create: bool },
}

/// The parameters after `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) tls: Option<TlsMode>,
    pub(super) ca_file: Option<String>,
    pub(super) client_cert: Option<String>,
    pub(super) client_key: Option<String>,
    pub(super) connect_timeout: Option<Duration>,
    /// A file of passwords: PostgreSQL's `passfile`, MySQL's `defaults-file`.
    pub(super) password_file: Option<String>,
}

impl Parameters {
    /// Whether one of them is a file: of passwords, or of TLS.
    pub(super) fn names_a_file(&self) -> bool {
        [&self.ca_file, &self.client_cert, &self.client_key, &self.password_file].into_iter().any(Option::is_some)
    }
}

/// What is wrong with a URL, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlMistake {
    pub(super) message: String,
    pub(super) hint: String,
}

pub(super) fn mistake(message: impl Into<String>, hint: impl Into<String>) -> UrlMistake {
    UrlMistake { message: message.into(), hint: hint.into() }
}

/// The URL as it is written in the file: what a message may quote, passwords masked.
pub(super) struct Quoted<'w>(&'w str);

impl Quoted<'_> {
    /// Returns ``: `word` `` if the file itself shows the word, else nothing.
    pub(super) fn word(&self, word: &str) -> String {
        if !word.is_empty() && shown(self.0).contains(word) { format!(": `{word}`") } else { String::new() }
    }
}

const SCHEMES: &str = "the schemes are postgres, postgresql, mysql, mariadb and sqlite";
const POSTGRES_PARAMETERS: &str = "the parameters are host, port, target_session_attrs, sslmode, sslrootcert, sslcert, sslkey, connect_timeout, user, password \
     and passfile";
const MYSQL_PARAMETERS: &str =
    "the parameters are socket, ssl-mode, ssl-ca, ssl-cert, ssl-key, connect_timeout and defaults-file";
const SQLITE_PARAMETERS: &str = "the one parameter is mode: `mode=rw` or `mode=rwc`, which creates the file";
const ENCODE: &str = "percent-encode `/`, `?`, `#`, `@`, `:` and `%` in user and password, \
                      or write the password as `${VAR}`, which may hold any characters";

const PORT: &str = "what follows the host's `:` is the port; if it is a password's part, percent-encode the password, \
                    or write it as `${VAR}`, which may hold any characters";

/// Parses a URL. `written` is what stands in the file.
pub(super) fn parse(url: &str, written: &str) -> Result<DatasourceUrl, Vec<UrlMistake>> {
    let quoted = Quoted(written);
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(vec![mistake("the URL has no scheme", SCHEMES)]);
    };
    match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => server(EngineKind::Postgres, url, &quoted),
        "mysql" | "mariadb" => server(EngineKind::MySql, url, &quoted),
        "sqlite" => sqlite(rest, &quoted),
        _ => Err(vec![mistake(format!("the URL's scheme is unknown{}", quoted.word(scheme)), SCHEMES)]),
    }
}

fn server(engine: EngineKind, text: &str, quoted: &Quoted<'_>) -> Result<DatasourceUrl, Vec<UrlMistake>> {
    if text.contains('#') {
        return Err(vec![mistake("`#` begins a fragment, which a datasource has not", ENCODE)]);
    }
    let authority = Authority::of(text);
    let named = match &authority {
        Some(authority) => authority.named(engine, quoted).map_err(|mistake| vec![mistake])?,
        None => Vec::new(),
    };
    let with_host = authority.as_ref().map(Authority::with_one_host);
    let url = Url::parse(with_host.as_deref().unwrap_or(text)).map_err(|error| vec![not_a_url(error)])?;
    let example = match engine {
        EngineKind::Postgres => "write `postgres://user@host:5432/database`",
        _ => "write `mysql://user@host:3306/database`",
    };
    let mut mistakes = Vec::new();
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if path.contains('/') {
        mistakes.push(mistake("the URL's path has several parts", format!("{example}; in a name write `/` as %2F")));
    }
    let mut decode = |encoded: &str, what: &str| match decoded(encoded) {
        Some(text) => Some(text).filter(|text| !text.is_empty()),
        None => {
            mistakes.push(mistake(format!("the {what} is not UTF-8 text after percent-decoding"), ENCODE));
            None
        }
    };
    let database = decode(path, "database");
    let user = decode(url.username(), "user");
    let password = decode(url.password().unwrap_or_default(), "password");
    let mut found = Found { user, password, ..Found::default() };
    for (key, value) in pairs(url.query()) {
        let result = match engine {
            EngineKind::Postgres => postgres_parameter(&mut found, &key, value, quoted),
            _ => mysql_parameter(&mut found, &key, value, quoted),
        };
        mistakes.extend(result.err());
    }
    match address(engine, named, found.way, quoted) {
        Ok(address) if mistakes.is_empty() => Ok(DatasourceUrl {
            engine,
            target: Target::Server { address, database },
            user: found.user,
            password: found.password.map_or(Password::None, |password| Password::Known(Secret::new(password))),
            parameters: found.parameters,
        }),
        answer => {
            mistakes.extend(answer.err());
            Err(mistakes)
        }
    }
}

/// What a server's URL says beside its hosts.
#[derive(Default)]
struct Found {
    user: Option<String>,
    password: Option<String>,
    way: WayParameters,
    parameters: Parameters,
}

pub(super) fn not_a_url(error: url::ParseError) -> UrlMistake {
    match error {
        url::ParseError::EmptyHost => mistake("the URL names no host", "write `scheme://user@host:port/database`"),
        url::ParseError::InvalidPort => mistake("the URL's port is not a number up to 65535", PORT),
        url::ParseError::InvalidIpv6Address => {
            mistake("the URL's IPv6 address is not understood", "write it in brackets: `[::1]:5432`")
        }
        _ => mistake("the URL's host is not understood", ENCODE),
    }
}

fn decoded(encoded: &str) -> Option<String> {
    percent_decode_str(encoded).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// Returns the pairs of a query. `+` means itself: this is not a web form.
fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let lossy = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
            (lossy(key), lossy(value))
        })
        .collect()
}

/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
fn postgres_parameter(url: &mut Found, key: &str, value: String, quoted: &Quoted<'_>) -> Result<(), UrlMistake> {
    let parameters = &mut url.parameters;
    match key {
        "sslmode" => {
            let mode = match value.as_str() {
                // `allow` tries without first; nobody wants that order, so it is as `prefer` here.
                "allow" => Some(TlsMode::Prefer),
                word => TlsMode::parse(word),
            };
            let hint = "the modes are disable, allow, prefer, require, verify-ca and verify-full";
            once(&mut parameters.tls, key, mode.ok_or_else(|| unknown_mode(key, &value, hint, quoted))?)
        }
        "sslrootcert" => once(&mut parameters.ca_file, key, value),
        "sslcert" => once(&mut parameters.client_cert, key, value),
        "sslkey" => once(&mut parameters.client_key, key, value),
        "connect_timeout" => once(&mut parameters.connect_timeout, key, seconds(&value)?),
        "passfile" => once(&mut parameters.password_file, key, value),
        "host" => once(&mut url.way.host, key, value),
        "port" => once(&mut url.way.port, key, value),
        "target_session_attrs" => {
            let wanted = SessionTarget::parse(&value);
            let hint = "it is any, read-write, read-only, primary, standby or prefer-standby";
            once(&mut url.way.wanted, key, wanted.ok_or_else(|| unknown_mode(key, &value, hint, quoted))?)
        }
        "user" => once(&mut url.user, key, value),
        "password" => once(&mut url.password, key, value),
        _ => Err(unknown_parameter(key, POSTGRES_PARAMETERS, quoted)),
    }
}

/// <https://dev.mysql.com/doc/refman/8.4/en/connecting-using-uri-or-key-value-pairs.html>
fn mysql_parameter(url: &mut Found, key: &str, value: String, quoted: &Quoted<'_>) -> Result<(), UrlMistake> {
    let parameters = &mut url.parameters;
    match key.replace('_', "-").as_str() {
        "ssl-mode" | "sslmode" => {
            let mode = match value.to_ascii_lowercase().replace('_', "-").as_str() {
                "disabled" => Some(TlsMode::Disable),
                "preferred" => Some(TlsMode::Prefer),
                "required" => Some(TlsMode::Require),
                "verify-ca" => Some(TlsMode::VerifyCa),
                "verify-identity" => Some(TlsMode::VerifyFull),
                _ => None,
            };
            let hint = "the modes are DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY";
            once(&mut parameters.tls, key, mode.ok_or_else(|| unknown_mode(key, &value, hint, quoted))?)
        }
        "socket" => once(&mut url.way.socket, key, value),
        "defaults-file" => once(&mut parameters.password_file, key, value),
        "ssl-ca" => once(&mut parameters.ca_file, key, value),
        "ssl-cert" => once(&mut parameters.client_cert, key, value),
        "ssl-key" => once(&mut parameters.client_key, key, value),
        "connect-timeout" => once(&mut parameters.connect_timeout, key, seconds(&value)?),
        _ => Err(unknown_parameter(key, MYSQL_PARAMETERS, quoted)),
    }
}

/// Sets a parameter that has no value yet, or the same.
fn once<T: PartialEq>(slot: &mut Option<T>, key: &str, value: T) -> Result<(), UrlMistake> {
    if slot.as_ref().is_some_and(|found| *found != value) {
        return Err(mistake(format!("the URL gives `{key}` twice, with two values"), "keep one of the two"));
    }
    *slot = Some(value);
    Ok(())
}

fn unknown_mode(key: &str, value: &str, hint: &str, quoted: &Quoted<'_>) -> UrlMistake {
    mistake(format!("the value of `{key}` is unknown{}", quoted.word(value)), hint)
}

fn unknown_parameter(key: &str, known: &str, quoted: &Quoted<'_>) -> UrlMistake {
    mistake(format!("the URL has an unknown parameter{}", quoted.word(key)), known)
}

fn seconds(value: &str) -> Result<Duration, UrlMistake> {
    let seconds = value.parse::<u32>().ok().filter(|&seconds| seconds > 0);
    seconds.map(|seconds| Duration::from_secs(seconds.into())).ok_or_else(|| {
        mistake("`connect_timeout` of the URL takes a whole number of seconds, at least 1", "`connect_timeout=10`")
    })
}

/// Parses what follows `sqlite:`. The path is percent-decoded; a relative one stays relative.
fn sqlite(rest: &str, quoted: &Quoted<'_>) -> Result<DatasourceUrl, Vec<UrlMistake>> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.contains('#') {
        return Err(vec![mistake("`#` begins a fragment, which a file has not", "in a file's name write it as %23")]);
    }
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut mistakes = Vec::new();
    let path = decoded(path).unwrap_or_else(|| {
        mistakes.push(mistake("the path is not UTF-8 text after percent-decoding", "write `%` as %25"));
        "?".to_owned()
    });
    if path.is_empty() || path.contains('\0') {
        mistakes.push(mistake("the URL names no file", "write `sqlite://data/acme.db?mode=rwc`"));
    } else if path == ":memory:" {
        let hint = "a database in memory is gone with its connection: name a file";
        mistakes.push(mistake("`:memory:` cannot be a tenant", hint));
    }
    let mut create = None;
    for (key, value) in pairs(query) {
        let result = match (key.as_str(), value.as_str()) {
            ("mode", "rw") => once(&mut create, "mode", false),
            ("mode", "rwc") => once(&mut create, "mode", true),
            ("mode", word) => Err(unknown_mode("mode", word, SQLITE_PARAMETERS, quoted)),
            _ => Err(unknown_parameter(&key, SQLITE_PARAMETERS, quoted)),
        };
        mistakes.extend(result.err());
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(DatasourceUrl {
        engine: EngineKind::Sqlite,
        target: Target::Path { path, create: create.unwrap_or(false) },
        user: None,
        password: Password::None,
        parameters: Parameters::default(),
    })
}
