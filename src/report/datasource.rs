//! One tenant's datasource for a script: its URL, variables of the environment, `mtmigrate.datasource/1`.

use serde::Serialize;

use crate::tenant::{Endpoint, Fleet, Outward, Tenant};

use super::wire::pretty;

/// The forms of a datasource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasourceFormat {
    /// One line.
    Url,
    /// Lines that a shell reads.
    Env,
    /// `mtmigrate.datasource/1`.
    Json,
}

/// Returns a tenant's datasource as text that ends with a line feed, with the password if it is given.
pub fn datasource(fleet: &Fleet, tenant: &Tenant, password: Option<&str>, format: DatasourceFormat) -> String {
    let server = fleet.server(tenant.server);
    let outward = Outward { server, tenant };
    match format {
        DatasourceFormat::Url => outward.url(password) + "\n",
        DatasourceFormat::Env => {
            let line =
                |(name, value): (&str, std::ffi::OsString)| format!("{name}={}\n", in_shell(&value.to_string_lossy()));
            outward.environment(password).into_iter().map(line).collect()
        }
        DatasourceFormat::Json => pretty(&document(fleet, tenant, password)),
    }
}

/// Quotes a word for a shell where it needs that. Control characters are written as escapes, which bash, zsh and ksh
/// read. <https://www.gnu.org/software/bash/manual/html_node/ANSI_002dC-Quoting.html>
fn in_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.,:/@%+=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    if !word.chars().any(char::is_control) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let mut made = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => made.extend(['\\', c]),
            c if c.is_control() => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| made += &format!("\\{byte:03o}")),
            c => made.push(c),
        }
    }
    made + "'"
}

fn document<'a>(fleet: &'a Fleet, tenant: &'a Tenant, password: Option<&'a str>) -> impl Serialize + 'a {
    let server = fleet.server(tenant.server);
    let tls = &tenant.access.tls;
    let file = |path: &std::path::Path| path.display().to_string();
    let places = server.address.places();
    Document {
        schema: "mtmigrate.datasource/1",
        tenant: Datasource {
            name: &tenant.name,
            engine: tenant.datasource.engine().as_str(),
            server: fleet.server_name(tenant),
            hosts: places.iter().map(Host::of).collect(),
            database: tenant.datasource.database(),
            file: match &tenant.datasource {
                crate::tenant::Datasource::Sqlite { file: path, .. } => Some(file(path)),
                _ => None,
            },
            schema: tenant.datasource.schema(),
            user: tenant.access.user.as_deref(),
            password,
            tls: (!places.is_empty()).then(|| Tls {
                mode: tls.mode.as_str(),
                ca_file: tls.ca_file.as_deref().map(file),
                client_cert: tls.client.as_ref().map(|client| file(&client.cert_file)),
                client_key: tls.client.as_ref().map(|client| file(&client.key_file)),
            }),
            url: Outward { server, tenant }.url(password),
        },
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    tenant: Datasource<'a>,
}

#[derive(Serialize)]
struct Datasource<'a> {
    name: &'a str,
    engine: &'static str,
    server: &'a str,
    hosts: Vec<Host>,
    database: &'a str,
    file: Option<String>,
    schema: Option<&'a str>,
    user: Option<&'a str>,
    password: Option<&'a str>,
    tls: Option<Tls>,
    url: String,
}

#[derive(Serialize)]
struct Host {
    host: Option<String>,
    port: Option<u16>,
    socket: Option<String>,
}

impl Host {
    fn of(place: &Endpoint) -> Self {
        match place {
            Endpoint::Tcp { host, port } => Self { host: Some(host.clone()), port: Some(*port), socket: None },
            Endpoint::Socket(file) => Self { host: None, port: None, socket: Some(file.display().to_string()) },
        }
    }
}

#[derive(Serialize)]
struct Tls {
    mode: &'static str,
    ca_file: Option<String>,
    client_cert: Option<String>,
    client_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::Sample;
    use crate::sql::EngineKind::{MySql, Postgres, Sqlite};

    #[test]
    fn the_json_format_is_pinned() {
        let fleet = Sample::of(&[("acme", Postgres)], 1).fleet;
        let made = datasource(&fleet, &fleet.tenants[0], None, DatasourceFormat::Json);
        assert_eq!(made, include_str!("pinned/datasource.json"));
    }

    #[test]
    fn a_password_stands_where_it_was_asked_for_and_nowhere_else() {
        let fleet = Sample::of(&[("acme", Postgres), ("hooli", MySql)], 1).fleet;
        for tenant in &fleet.tenants {
            for format in [DatasourceFormat::Url, DatasourceFormat::Env, DatasourceFormat::Json] {
                assert!(datasource(&fleet, tenant, Some("hunter2"), format).contains("hunter2"), "{format:?}");
            }
        }
        let file = Sample::of(&[("demo", Sqlite)], 1).fleet;
        assert!(!datasource(&file, &file.tenants[0], Some("hunter2"), DatasourceFormat::Url).contains("hunter2"));
    }

    #[test]
    fn a_word_is_one_word_for_a_shell_whatever_it_holds() {
        for (word, quoted) in [
            ("db.eu:5432", "db.eu:5432"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's; $(rm)", "'it'\\''s; $(rm)'"),
            ("a\u{1b}b\n'\\", "$'a\\033b\\012\\'\\\\'"),
            ("\u{9b}", "$'\\302\\233'"),
        ] {
            assert_eq!(in_shell(word), quoted);
        }
    }
}
