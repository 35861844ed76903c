//! A tenant's datasource as other programs take it: a URL, or variables of the environment. Pure.
//!
//! Start at [`Outward`]. The password is the caller's to give: without it none is in what is made.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::{ClientCertificate, Datasource, Endpoint, Server, SessionTarget, Tenant, Tls, TlsMode};

/// What stands in a URL as it is. <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same and `/`, for paths and the values of parameters.
const KEPT_IN_PATHS: &AsciiSet = &KEPT.remove(b'/');

/// A tenant and its server, to be shown to other programs.
#[derive(Clone, Copy, Debug)]
pub struct Outward<'f> {
    /// Where it lives.
    pub server: &'f Server,
    /// Whose datasource it is.
    pub tenant: &'f Tenant,
}

impl Outward<'_> {
    /// Returns the URL, as libpq, MySQL's clients and `tenants.yaml` write one.
    ///
    /// PostgreSQL's has the tenant's schema as `options=-csearch_path=…`, which `tenants.yaml` says otherwise.
    pub fn url(&self, password: Option<&str>) -> String {
        match &self.tenant.datasource {
            Datasource::Postgres { database, .. } => self.server_url("postgres", database, password, self.postgres()),
            Datasource::MySql { database } => self.server_url("mysql", database, password, self.mysql()),
            Datasource::Sqlite { file, create, .. } => {
                let mode = if *create { "?mode=rwc" } else { "" };
                format!("sqlite://{}{mode}", percent_encode(bytes(file.as_os_str()), KEPT_IN_PATHS))
            }
        }
    }

    /// Returns the variables that the engine's clients understand, and for what these have none for `MYSQL_HOST`,
    /// `MYSQL_USER`, `MYSQL_DATABASE` and `SQLITE_FILE`, as other programs name them.
    ///
    /// <https://www.postgresql.org/docs/current/libpq-envars.html>,
    /// <https://dev.mysql.com/doc/refman/8.4/en/environment-variables.html>
    pub fn environment(&self, password: Option<&str>) -> Vec<(&'static str, OsString)> {
        let access = &self.tenant.access;
        let mut made: Vec<(&'static str, OsString)> = Vec::new();
        let mut add = |name, value: Option<OsString>| made.extend(value.map(|value| (name, value)));
        let places = self.server.address.places();
        let joined =
            |part: &dyn Fn(&Endpoint) -> String| Some(places.iter().map(part).collect::<Vec<_>>().join(",").into());
        let text = |text: &str| Some(OsString::from(text));
        match &self.tenant.datasource {
            Datasource::Postgres { database, .. } => {
                add("PGHOST", joined(&|place| place.named().0.to_owned()));
                add("PGPORT", joined(&|place| place.named().1.to_string()));
                add("PGUSER", access.user.as_deref().and_then(text));
                add("PGDATABASE", text(database));
                add("PGPASSWORD", password.and_then(text));
                let names =
                    ["PGSSLMODE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGTARGETSESSIONATTRS", "PGOPTIONS"];
                names.into_iter().zip(self.postgres()).for_each(|(name, (_, value))| add(name, value));
                add("PGCONNECT_TIMEOUT", text(&self.server.connect_timeout.as_secs().max(1).to_string()));
            }
            Datasource::MySql { database } => {
                for place in &places {
                    match place {
                        Endpoint::Tcp { host, port } => {
                            add("MYSQL_HOST", text(host));
                            add("MYSQL_TCP_PORT", text(&port.to_string()));
                        }
                        Endpoint::Socket(file) => add("MYSQL_UNIX_PORT", Some(file.clone().into())),
                    }
                }
                add("MYSQL_USER", access.user.as_deref().and_then(text));
                add("MYSQL_DATABASE", text(database));
                add("MYSQL_PWD", password.and_then(text));
                let names = ["MYSQL_SSL_MODE", "MYSQL_SSL_CA", "MYSQL_SSL_CERT", "MYSQL_SSL_KEY"];
                names.into_iter().zip(self.mysql()).for_each(|(name, (_, value))| add(name, value));
            }
            Datasource::Sqlite { file, .. } => add("SQLITE_FILE", Some(file.clone().into())),
        }
        made
    }

    fn server_url(
        &self,
        scheme: &str,
        database: &str,
        password: Option<&str>,
        parameters: Vec<(&'static str, Option<OsString>)>,
    ) -> String {
        let user = self.tenant.access.user.as_deref().map(encoded);
        let login = match (user, password.map(encoded)) {
            (None, None) => String::new(),
            (user, None) => format!("{}@", user.unwrap_or_default()),
            (user, Some(password)) => format!("{}:{password}@", user.unwrap_or_default()),
        };
        let places = self.server.address.places();
        let mut parameters = parameters;
        let hosts: Vec<String> = match places.as_slice() {
            // MySQL's URLs have a socket as a parameter.
            [Endpoint::Socket(file)] if scheme == "mysql" => {
                parameters.push(("socket", Some(file.clone().into())));
                vec!["localhost".to_owned()]
            }
            places => places.iter().map(host).collect(),
        };
        let pairs = parameters.iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        let query: Vec<String> =
            pairs.map(|(key, value)| format!("{key}={}", percent_encode(bytes(value), KEPT_IN_PATHS))).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        format!("{scheme}://{login}{}/{}{query}", hosts.join(","), encoded(database))
    }

    /// Returns the tenant's TLS; its files are found from every folder.
    pub fn tls(&self) -> Tls {
        let absolute = |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let Tls { mode, ca_file, client } = &self.tenant.access.tls;
        let client = client.as_ref().map(|client| ClientCertificate {
            cert_file: absolute(&client.cert_file),
            key_file: absolute(&client.key_file),
        });
        Tls { mode: *mode, ca_file: ca_file.as_ref().map(absolute), client }
    }

    /// Returns libpq's parameters, in the order of [`Outward::environment`]'s variables.
    fn postgres(&self) -> Vec<(&'static str, Option<OsString>)> {
        let Tls { mode, ca_file, client } = &self.tls();
        let wanted = self.server.address.wanted();
        // Without a word libpq looks for authorities in the user's home alone.
        let system = (*mode == TlsMode::VerifyFull).then(|| "system".into());
        vec![
            ("sslmode", (*mode != TlsMode::Prefer).then(|| mode.as_str().into())),
            ("sslrootcert", ca_file.clone().map(Into::into).or(system)),
            ("sslcert", client.as_ref().map(|client| client.cert_file.clone().into())),
            ("sslkey", client.as_ref().map(|client| client.key_file.clone().into())),
            ("target_session_attrs", (wanted != SessionTarget::Any).then(|| wanted.as_str().into())),
            ("options", self.search_path().map(|path| format!("-csearch_path={}", in_options(&path)).into())),
        ]
    }

    /// Returns what the tenant's `search_path` is, if it has a schema of its own.
    fn search_path(&self) -> Option<String> {
        let own = self.tenant.datasource.schema()?;
        let extensions = self.tenant.session.extensions_schema.as_deref();
        Some([Some(own), extensions].into_iter().flatten().map(identifier).collect::<Vec<_>>().join(","))
    }

    /// Returns the parameters of MySQL's URLs.
    /// <https://dev.mysql.com/doc/refman/8.4/en/connecting-using-uri-or-key-value-pairs.html>
    fn mysql(&self) -> Vec<(&'static str, Option<OsString>)> {
        let Tls { mode, ca_file, client } = &self.tls();
        vec![
            ("ssl-mode", (*mode != TlsMode::Prefer).then(|| mysql_mode(*mode).into())),
            ("ssl-ca", ca_file.clone().map(Into::into)),
            ("ssl-cert", client.as_ref().map(|client| client.cert_file.clone().into())),
            ("ssl-key", client.as_ref().map(|client| client.key_file.clone().into())),
        ]
    }
}

/// Returns MySQL's word for a mode.
pub fn mysql_mode(mode: TlsMode) -> &'static str {
    match mode {
        TlsMode::Disable => "DISABLED",
        TlsMode::Prefer => "PREFERRED",
        TlsMode::Require => "REQUIRED",
        TlsMode::VerifyCa => "VERIFY_CA",
        TlsMode::VerifyFull => "VERIFY_IDENTITY",
    }
}

fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), KEPT).to_string()
}

/// Returns a place as a URL's host; of a socket its folder, percent-encoded, as libpq reads it.
fn host(place: &Endpoint) -> String {
    match place {
        Endpoint::Tcp { .. } => place.to_string(),
        Endpoint::Socket(_) => {
            let (folder, port) = place.named();
            format!("{}:{port}", encoded(folder))
        }
    }
}

/// Quotes an identifier where it needs that.
fn identifier(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// Writes a value for `options`, which the server splits at spaces.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-OPTIONS>
fn in_options(value: &str) -> String {
    let mut made = String::with_capacity(value.len());
    for c in value.chars() {
        if c == '\\' || c.is_ascii_whitespace() {
            made.push('\\');
        }
        made.push(c);
    }
    made
}

#[cfg(unix)]
fn bytes(text: &OsStr) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(text)
}

#[cfg(not(unix))]
fn bytes(text: &OsStr) -> &[u8] {
    text.to_str().unwrap_or_default().as_bytes()
}
