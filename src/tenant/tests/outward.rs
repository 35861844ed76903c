//! Datasources as other programs take them.

use proptest::prelude::*;

use super::super::Outward;
use super::*;

/// Returns the URL of the first tenant of a file, with this password.
fn url_of(text: &str, password: Option<&str>) -> String {
    let fleet = fleet(text);
    let tenant = &fleet.tenants[0];
    Outward { server: fleet.server(tenant.server), tenant }.url(password)
}

fn environment_of(text: &str, password: Option<&str>) -> String {
    let fleet = fleet(text);
    let tenant = &fleet.tenants[0];
    let all = Outward { server: fleet.server(tenant.server), tenant }.environment(password);
    all.iter().map(|(name, value)| format!("{name}={}", value.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_datasource_is_the_url_that_its_engines_programs_take() {
    for (keys, password, url) in [
        (r#"url: "postgres://app@db.eu/acme""#, None, "postgres://app@db.eu:5432/acme"),
        (r#"url: "postgres://app:x@db.eu:6432/acme""#, Some("x"), "postgres://app:x@db.eu:6432/acme"),
        (r#"url: "postgres://db.eu/acme""#, None, "postgres://db.eu:5432/acme"),
        (
            r#"url: "postgres://app@[::1]/a%2Fb""#,
            Some("p@:/?#%é"),
            "postgres://app:p%40%3A%2F%3F%23%25%C3%A9@[::1]:5432/a%2Fb",
        ),
        (
            r#"url: "postgres://app@h1,h2:5433/acme?target_session_attrs=read-write""#,
            None,
            "postgres://app@h1:5432,h2:5433/acme?target_session_attrs=read-write",
        ),
        (r#"url: "postgres://app@h/acme", tls: disable"#, None, "postgres://app@h:5432/acme?sslmode=disable"),
        (
            r#"url: "postgres://app@h/acme", tls: verify-full"#,
            None,
            "postgres://app@h:5432/acme?sslmode=verify-full&sslrootcert=system",
        ),
        (
            r#"url: "postgres://app@h/shared", schema: acme"#,
            None,
            "postgres://app@h:5432/shared?options=-csearch_path%3Dacme",
        ),
        (
            r#"url: "postgres://app@h/shared", schema: "a b\"\\c""#,
            None,
            "postgres://app@h:5432/shared?options=-csearch_path%3D%22a%5C%20b%22%22%5C%5Cc%22",
        ),
        (r#"url: "mysql://app@h/acme", tls: require"#, Some("x y"), "mysql://app:x%20y@h:3306/acme?ssl-mode=REQUIRED"),
        (
            r#"url: "mysql://app@localhost/acme?socket=/run/mysqld/mysqld.sock""#,
            None,
            "mysql://app@localhost/acme?socket=/run/mysqld/mysqld.sock",
        ),
        (r#"url: "sqlite:///data/a%23b.db?mode=rwc""#, None, "sqlite:///data/a%23b.db?mode=rwc"),
        (r#"url: "sqlite:///data/a.db""#, Some("unused"), "sqlite:///data/a.db"),
    ] {
        assert_eq!(url_of(&format!("tenants: [{{ name: acme, {keys} }}]"), password), url, "{keys}");
    }
}

#[test]
fn the_variables_are_those_of_the_engines_own_programs() {
    for (keys, password, variables) in [
        (
            r#"url: "postgres://app@h1,h2:5433/acme?target_session_attrs=primary", tls: require, schema: Ä"#,
            Some("x"),
            "PGHOST=h1,h2 PGPORT=5432,5433 PGUSER=app PGDATABASE=acme PGPASSWORD=x PGSSLMODE=require \
             PGTARGETSESSIONATTRS=primary PGOPTIONS=-csearch_path=\"Ä\" PGCONNECT_TIMEOUT=10",
        ),
        (
            r#"url: "postgres:///acme?host=/run/pg&port=5433""#,
            None,
            "PGHOST=/run/pg PGPORT=5433 PGDATABASE=acme PGCONNECT_TIMEOUT=10",
        ),
        (
            r#"url: "mysql://app@h/acme?ssl-mode=VERIFY_CA""#,
            Some("x"),
            "MYSQL_HOST=h MYSQL_TCP_PORT=3306 MYSQL_USER=app MYSQL_DATABASE=acme MYSQL_PWD=x MYSQL_SSL_MODE=VERIFY_CA",
        ),
        (
            r#"url: "mysql://app@localhost/acme?socket=/run/m.sock""#,
            None,
            "MYSQL_UNIX_PORT=/run/m.sock MYSQL_USER=app MYSQL_DATABASE=acme",
        ),
        (r#"url: "sqlite:///data/a b.db""#, None, "SQLITE_FILE=/data/a b.db"),
    ] {
        assert_eq!(environment_of(&format!("tenants: [{{ name: acme, {keys} }}]"), password), variables, "{keys}");
    }
}

proptest! {
    /// Whatever user, password and database are, what reads a URL as `tenants.yaml` does reads the same.
    #[test]
    fn a_url_is_read_back_as_what_it_was_made_from(user in "\\PC{1,8}", password in "\\PC{1,8}", database in "[a-zé /?#%:@&=\"']{1,8}") {
        let mut one = fleet("tenants: [{ name: acme, url: \"postgres://x@h/y\" }]");
        let mut access = (*one.tenants[0].access).clone();
        access.user = Some(user.clone());
        one.tenants[0].access = access.into();
        one.tenants[0].datasource = super::super::Datasource::Postgres { database: database.clone(), schema: None };
        let url = Outward { server: &one.servers[0], tenant: &one.tenants[0] }.url(Some(&password));
        let text = format!("tenants: [{{ name: acme, url: {} }}]", serde_json::to_string(&url.replace("${", "$${")).unwrap());
        let read = fleet(&text);
        prop_assert_eq!(read.tenants[0].access.user.as_deref(), Some(user.as_str()));
        let known = read.tenants[0].access.password.known().map(|secret| secret.reveal().to_owned());
        prop_assert_eq!(known, Some(password));
        prop_assert_eq!(read.tenants[0].datasource.database(), database);
    }
}

#[test]
fn files_of_tls_are_found_from_every_folder() {
    let here = std::env::current_dir().unwrap();
    for (url, keys) in [
        ("postgres://u@h/d", ["sslrootcert", "sslcert", "sslkey"]),
        ("mysql://u@h/d", ["ssl-ca", "ssl-cert", "ssl-key"]),
    ] {
        let text = format!(
            "tenants: [{{ name: a, url: \"{url}\", tls: verify-ca, ca_file: Cargo.toml, client_cert: src/lib.rs, client_key: README.md }}]"
        );
        let made = url_of(&text, None);
        let decoded = percent_encoding::percent_decode_str(&made).decode_utf8().unwrap().into_owned();
        for (key, file) in keys.into_iter().zip(["Cargo.toml", "src/lib.rs", "README.md"]) {
            let expected = format!("{key}={}/{file}", here.display());
            assert!(decoded.contains(&expected), "{expected}: {decoded}");
        }
    }
}
