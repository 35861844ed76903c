//! TLS means what it says: for every mode and every kind of server, encrypted as asked, or refused.
//!
//! Whether a session was encrypted is asked of the server, by a changeset that records it.

use std::path::Path;

use crate::support::tls::{Mode, files};
use crate::support::{CANARY, Fleet, MariaDb, Options, Output, Postgres, USER};

const MODES: [&str; 5] = ["disable", "prefer", "require", "verify-ca", "verify-full"];

/// One server of each engine.
struct Servers {
    postgres: Postgres,
    mariadb: MariaDb,
}

/// How an `up` ended.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Plain,
    Encrypted,
    /// With this code.
    Refused(&'static str),
}

use Seen::{Encrypted, Plain, Refused};

/// No TLS connection can be made.
const NO_TLS: Seen = Refused("MT314");

/// The server refuses the user: without encryption, or without a certificate.
const NOT_LET_IN: Seen = Refused("MT311");

const ENGINES: [&str; 2] = ["postgres", "mariadb"];

impl Servers {
    fn start(tls: Mode) -> Servers {
        let options = Options { conf: &[], tls };
        Servers { postgres: Postgres::start(options), mariadb: MariaDb::start(options) }
    }

    /// A fleet of one new tenant, `a`, with these keys and URL parameters.
    fn fleet(&self, engine: &str, host: &str, parameters: &str, keys: &[(&str, &str)]) -> Fleet {
        let mut fleet = Fleet::new();
        let url = match engine {
            "postgres" => {
                fleet.changeset("V1__seen.sql", SEEN_BY_POSTGRES);
                let database = self.postgres.create_database();
                fleet.postgres_database_named("a", &self.postgres, &format!("{database}_a"));
                self.postgres.url_as(USER, CANARY, host, &format!("{database}_a"))
            }
            _ => {
                fleet.changeset("V1__seen.sql", SEEN_BY_MARIADB);
                let database = self.mariadb.create_database();
                fleet.mariadb_named("a", &self.mariadb, &format!("{database}_a"));
                self.mariadb.url_as(USER, CANARY, host, &format!("{database}_a"))
            }
        };
        fleet.set("a", "url", &json(&(url + parameters)));
        for (key, value) in keys {
            fleet.set("a", key, &json(value));
        }
        fleet
    }

    /// Runs `up` on a new tenant with these keys.
    #[track_caller]
    fn up(&self, engine: &str, keys: &[(&str, &str)]) -> Seen {
        self.up_at(engine, "localhost", "", keys)
    }

    #[track_caller]
    fn up_at(&self, engine: &str, host: &str, parameters: &str, keys: &[(&str, &str)]) -> Seen {
        let fleet = self.fleet(engine, host, parameters, keys);
        let before = fleet.dump("a");
        let output = fleet.run(&["up"]);
        if output.status == 0 {
            return match fleet.query("a", "SELECT how FROM seen")[0][0].as_deref() {
                Some("t") => Encrypted,
                Some("f") => Plain,
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(fleet.dump("a"), before);
        refused(&output)
    }
}

#[track_caller]
fn refused(output: &Output) -> Seen {
    assert_eq!(output.status, 5, "{output}");
    assert!(output.stderr.contains("\nhint: "), "{output}");
    let code = ["MT311", "MT314"].into_iter().find(|code| output.stderr.contains(&format!("error[{code}]")));
    Refused(code.unwrap_or_else(|| panic!("{output}")))
}

const SEEN_BY_POSTGRES: &str = "CREATE TABLE seen AS SELECT CASE WHEN ssl THEN 't' ELSE 'f' END AS how FROM pg_stat_ssl WHERE pid = pg_backend_pid();";

const SEEN_BY_MARIADB: &str = "CREATE TABLE seen AS SELECT IF(VARIABLE_VALUE = '', 'f', 't') AS how
     FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher';";

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The keys of a mode that trusts the right authority.
fn keys(mode: &str) -> Vec<(&str, &str)> {
    let mut keys = vec![("tls", mode)];
    if mode.starts_with("verify") {
        keys.push(("ca_file", text(&files().ca)));
    }
    keys
}

#[track_caller]
fn assert_modes(servers: &Servers, more: &[(&str, &str)], expected: [Seen; 5]) {
    for engine in ENGINES {
        for (mode, expected) in MODES.into_iter().zip(&expected) {
            let keys = [keys(mode), more.to_vec()].concat();
            assert_eq!(servers.up(engine, &keys), *expected, "{engine} {mode}");
        }
    }
}

/// Covers row 52 of docs/failures.md.
#[test]
fn a_server_without_tls_gets_plain_text_from_who_does_not_insist_and_nothing_from_who_does() {
    assert_modes(&Servers::start(Mode::Off), &[], [Plain, Plain, NO_TLS, NO_TLS, NO_TLS]);
}

#[test]
fn a_server_that_leaves_the_choice_gets_tls_from_everybody_who_does_not_disable_it() {
    let servers = Servers::start(Mode::Optional);
    assert_modes(&servers, &[], [Plain, Encrypted, Encrypted, Encrypted, Encrypted]);
    for engine in ENGINES {
        // The certificate names the address too.
        assert_eq!(servers.up_at(engine, "127.0.0.1", "", &keys("verify-full")), Encrypted, "{engine}");
        // Without a word about TLS it is `prefer`.
        assert_eq!(servers.up(engine, &[]), Encrypted, "{engine}");
    }
}

/// Covers row 52 of docs/failures.md.
#[test]
fn a_certificate_for_another_host_is_refused_by_verify_full_alone() {
    let servers = Servers::start(Mode::OtherHost);
    assert_modes(&servers, &[], [Plain, Encrypted, Encrypted, Encrypted, NO_TLS]);
    for engine in ENGINES {
        assert_eq!(servers.up_at(engine, "127.0.0.1", "", &keys("verify-full")), NO_TLS, "{engine}");
        assert_eq!(servers.up_at(engine, "127.0.0.1", "", &keys("verify-ca")), Encrypted, "{engine}");
    }
}

#[test]
fn a_server_that_requires_tls_refuses_who_disables_it() {
    assert_modes(&Servers::start(Mode::Required), &[], [NOT_LET_IN, Encrypted, Encrypted, Encrypted, Encrypted]);
}

#[test]
fn a_server_that_requires_a_client_certificate_lets_in_who_has_one_of_its_authority() {
    let servers = Servers::start(Mode::ClientCertificate);
    assert_modes(&servers, &[], [NOT_LET_IN; 5]);
    let files = files();
    let right = [("client_cert", text(&files.client_certificate)), ("client_key", text(&files.client_key))];
    assert_modes(&servers, &right, [NOT_LET_IN, Encrypted, Encrypted, Encrypted, Encrypted]);
    let wrong = [("client_cert", text(&files.wrong_client_certificate)), ("client_key", text(&files.wrong_client_key))];
    assert_modes(&servers, &wrong, [NOT_LET_IN, NO_TLS, NO_TLS, NO_TLS, NO_TLS]);
}

#[test]
fn prefer_falls_back_to_plain_text_only_where_the_server_has_no_tls_never_after_a_certificate_error() {
    let files = files();
    let wrong = [
        ("tls", "prefer"),
        ("client_cert", text(&files.wrong_client_certificate)),
        ("client_key", text(&files.wrong_client_key)),
    ];
    let [off, optional] = [Mode::Off, Mode::Optional].map(Servers::start);
    for engine in ENGINES {
        assert_eq!(off.up(engine, &wrong), Plain, "{engine}");
        let refused = off.fleet(engine, "localhost", "", &[("tls", "require")]).run(&["up"]).expect(5);
        assert!(refused.stderr.contains("hint: set up TLS on the server"), "{engine} {refused}");
        // This server would take plain text.
        assert_eq!(optional.up(engine, &wrong), NO_TLS, "{engine}");
    }
}

/// Covers row 52 of docs/failures.md.
#[test]
fn a_wrong_authority_is_refused_by_who_verifies_and_so_is_none() {
    let files = files();
    let servers = Servers::start(Mode::Optional);
    for engine in ENGINES {
        for mode in ["verify-ca", "verify-full"] {
            let wrong = [("tls", mode), ("ca_file", text(&files.wrong_ca))];
            assert_eq!(servers.up(engine, &wrong), NO_TLS, "{engine} {mode}");
            // The system's authorities: none of them signed it. On a system without any it is refused as well.
            let fleet = servers.fleet(engine, "localhost", "", &[("tls", mode)]);
            let output = fleet.run(&["up"]);
            let said = ["MT314", "MT115"].iter().any(|code| output.stderr.contains(code));
            assert!([2, 5].contains(&output.status) && said, "{engine} {mode} {output}");
        }
        // Who does not verify is not stopped by a file that was left in the configuration.
        for mode in ["prefer", "require"] {
            let wrong = [("tls", mode), ("ca_file", text(&files.wrong_ca))];
            assert_eq!(servers.up(engine, &wrong), Encrypted, "{engine} {mode}");
        }
    }
}

#[test]
fn the_parameters_of_urls_do_what_the_keys_do() {
    let files = files();
    let (ca, wrong_ca) = (text(&files.ca), text(&files.wrong_ca));
    let [optional, other] = [Mode::Optional, Mode::OtherHost].map(Servers::start);
    for (servers, postgres, mariadb, expected) in [
        (&optional, "sslmode=disable".to_string(), "ssl-mode=DISABLED".to_string(), Plain),
        (&optional, "sslmode=allow".into(), "ssl-mode=PREFERRED".into(), Encrypted),
        (&optional, "sslmode=require".into(), "ssl-mode=REQUIRED".into(), Encrypted),
        (
            &optional,
            format!("sslmode=verify-full&sslrootcert={ca}"),
            format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"),
            Encrypted,
        ),
        (
            &optional,
            format!("sslmode=verify-ca&sslrootcert={wrong_ca}"),
            format!("ssl-mode=VERIFY_CA&ssl-ca={wrong_ca}"),
            NO_TLS,
        ),
        (&other, format!("sslmode=verify-ca&sslrootcert={ca}"), format!("ssl-mode=VERIFY_CA&ssl-ca={ca}"), Encrypted),
        (
            &other,
            format!("sslmode=verify-full&sslrootcert={ca}"),
            format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}"),
            NO_TLS,
        ),
    ] {
        for (engine, parameters) in [("postgres", postgres), ("mariadb", mariadb)] {
            let seen = servers.up_at(engine, "localhost", &format!("?{parameters}"), &[]);
            assert_eq!(seen, expected, "{engine} {parameters}");
        }
    }
}

#[test]
fn client_certificates_are_taken_from_url_parameters_and_from_named_servers_too() {
    let files = files();
    let servers = Servers::start(Mode::ClientCertificate);
    let [ca, certificate, key] = [&files.ca, &files.client_certificate, &files.client_key].map(|path| text(path));
    let postgres = format!("?sslmode=verify-full&sslrootcert={ca}&sslcert={certificate}&sslkey={key}");
    let mariadb = format!("?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}&ssl-cert={certificate}&ssl-key={key}");
    for (engine, parameters) in [("postgres", postgres), ("mariadb", mariadb)] {
        assert_eq!(servers.up_at(engine, "localhost", &parameters, &[]), Encrypted, "{engine}");
    }
    let mut fleet = Fleet::new();
    let database = servers.postgres.create_database();
    let name = format!("pg{}", servers.postgres.port());
    fleet
        .postgres_schema("a", &servers.postgres, &database)
        .postgres_schema("b", &servers.postgres, &database)
        .set_server(&name, "url", &json(&servers.postgres.url_as(USER, CANARY, "localhost", "")))
        .changeset("V1__seen.sql", SEEN_BY_POSTGRES);
    for (key, value) in [("tls", "verify-full"), ("ca_file", ca), ("client_cert", certificate), ("client_key", key)] {
        fleet.set_server(&name, key, &json(value));
    }
    fleet.run(&["up"]).expect(0);
    for tenant in ["a", "b"] {
        assert_eq!(fleet.query(tenant, "SELECT how FROM seen"), [[Some("t".to_string())]]);
    }
}
