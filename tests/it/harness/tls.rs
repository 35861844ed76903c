//! Servers with TLS let in whom they should, and only them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::runtime;
use crate::support::tls::{Mode, files};
use crate::support::{CANARY, MariaDb, Options, Postgres, USER};

#[test]
fn a_server_with_tls_convinces_who_trusts_its_ca_and_nobody_else() {
    let files = files();
    let right = Trust::ca(&files.ca);
    let wrong = Trust::ca(&files.wrong_ca);
    for mode in [Mode::Optional, Mode::Required] {
        let server = Server::start(mode);
        for host in ["localhost", "127.0.0.1"] {
            server.connect(host, &right).unwrap();
            server.connect(host, &wrong).unwrap_err();
        }
        let plain = server.connect("127.0.0.1", &Trust::Plain);
        assert_eq!(plain.is_ok(), mode == Mode::Optional, "{plain:?}");
    }
    Server::start(Mode::OtherHost).connect("localhost", &right).unwrap_err();
}

#[test]
fn a_server_that_wants_client_certificates_refuses_who_has_none_and_who_has_a_wrong_one() {
    let files = files();
    let server = Server::start(Mode::ClientCertificate);
    let with = |certificate: &Path, key: &Path| Trust::Ca {
        ca: files.ca.clone(),
        client: Some((certificate.into(), key.into())),
    };
    let right = with(&files.client_certificate, &files.client_key);
    let wrong = with(&files.wrong_client_certificate, &files.wrong_client_key);
    server.connect("localhost", &right).unwrap();
    server.connect("localhost", &wrong).unwrap_err();
    server.connect("localhost", &Trust::ca(&files.ca)).unwrap_err();
    server.connect("localhost", &Trust::Plain).unwrap_err();
}

/// One server of each engine, to ask both the same.
struct Server {
    postgres: Postgres,
    mariadb: MariaDb,
}

/// Whom a client trusts, and what it shows.
enum Trust {
    Plain,
    Ca { ca: PathBuf, client: Option<(PathBuf, PathBuf)> },
}

impl Trust {
    fn ca(ca: &Path) -> Trust {
        Trust::Ca { ca: ca.into(), client: None }
    }
}

impl Server {
    fn start(tls: Mode) -> Server {
        let options = Options { conf: &[], tls };
        Server { postgres: Postgres::start(options), mariadb: MariaDb::start(options) }
    }

    /// Connects to both; they must agree on the outcome.
    #[track_caller]
    fn connect(&self, host: &str, trust: &Trust) -> Result<(), String> {
        let url = self.postgres.url_as(USER, CANARY, host, "postgres");
        let postgres = runtime().block_on(connect_postgres(&url, trust));
        let url = self.mariadb.url_as(USER, CANARY, host, "mysql");
        let mariadb = runtime().block_on(connect_mariadb(&url, trust));
        assert_eq!(postgres.is_ok(), mariadb.is_ok(), "{postgres:?} {mariadb:?}");
        postgres.and(mariadb)
    }
}

async fn connect_postgres(url: &str, trust: &Trust) -> Result<(), String> {
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    let Trust::Ca { ca, client } = trust else {
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        return config.connect(tokio_postgres::NoTls).await.map(drop).map_err(|e| e.to_string());
    };
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder().with_root_certificates(Arc::new(roots));
    let tls = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    };
    let connected = config.connect(MakeRustlsConnect::new(tls)).await;
    connected.map(drop).map_err(|error| error.to_string())
}

async fn connect_mariadb(url: &str, trust: &Trust) -> Result<(), String> {
    let opts = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).prefer_socket(false);
    let opts = match trust {
        Trust::Plain => opts,
        Trust::Ca { ca, client } => {
            let identity = client
                .clone()
                .map(|(certificate, key)| mysql_async::ClientIdentity::new(certificate.into(), key.into()));
            let tls = SslOpts::default()
                .with_disable_built_in_roots(true)
                .with_root_certs(vec![ca.clone().into()])
                .with_client_identity(identity);
            opts.ssl_opts(tls)
        }
    };
    Conn::new(opts).await.map(drop).map_err(|error| error.to_string())
}
