//! Opens a session: the one door to a PostgreSQL server.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::off_runtime::off_runtime;
use crate::engine::postgres::fault::{self, Opening, no_password, unreachable};
use crate::engine::postgres::flush::Commits;
use crate::engine::postgres::greeting::greeted_by;
use crate::engine::postgres::hosts;
use crate::engine::postgres::pooler::Way;
use crate::engine::postgres::socket::Socket;
use crate::engine::postgres::watch::Backend;
use crate::engine::tables::HISTORY;
use crate::error::{Code, Result};
use crate::tenant::{Asker, Endpoint, Given, SessionTarget, TlsMode};

use super::{Door, Key, Session, drive, handshake};

impl Session {
    /// Connects and asks for the server's version and the session's schema. Of several hosts it is the one that is worked on.
    ///
    /// # Errors
    /// `MT31x` by what the server or the network answers; `MT115` for TLS files, `MT117` where there is no password,
    /// `MT323` where no host will do.
    pub async fn open(door: &Arc<Door>, key: &Key, name: &str) -> Result<Self> {
        let places = door.server.address.places();
        match places.as_slice() {
            [] => Err(unreachable(&door.server, key, "the server has no network address")),
            [place] if door.server.address.wanted() == SessionTarget::Any => {
                Self::open_at(door, key, name, place).await
            }
            places => hosts::open(door, key, name, places).await,
        }
    }

    /// As [`Session::open`], there. A password that is refused, and that is another one by now, is tried once more.
    ///
    /// # Errors
    /// Likewise.
    pub async fn open_at(door: &Arc<Door>, key: &Key, name: &str, place: &Endpoint) -> Result<Self> {
        let password = &key.access.password;
        let user = key.access.user.as_deref().unwrap_or_default();
        let (host, port) = place.named();
        let asker = Asker { user, host, port, database: &key.database };
        let given = password.get(&asker).await.map_err(|why| no_password(&door.server, key, &why))?;
        let refusal = match Self::try_at(door, key, name, (place, &given)).await {
            Err(refusal) if refusal.code() == Code::ACCESS_DENIED => refusal,
            answer => return answer,
        };
        match password.renewed(&given).await {
            Ok(Some(renewed)) => Self::try_at(door, key, name, (place, &renewed)).await,
            Ok(None) => Err(refusal),
            Err(why) => Err(why.causes().iter().fold(refusal, |refusal, why| refusal.cause(why))),
        }
    }

    async fn try_at(door: &Arc<Door>, key: &Key, name: &str, (place, given): (&Endpoint, &Given)) -> Result<Self> {
        let server = &door.server;
        let mut config = Config::new();
        config.dbname(&key.database).application_name(name);
        if let Some(user) = &key.access.user {
            config.user(user);
        }
        if let Some(password) = &given.secret {
            config.password(password.reveal());
        }
        let mode = match place {
            Endpoint::Tcp { .. } => key.access.tls.mode,
            // A socket's bytes stay on this machine, and servers offer no TLS there.
            Endpoint::Socket(_) => TlsMode::Disable,
        };
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let starting = {
            let (door, key, place) = (door.clone(), key.clone(), place.clone());
            async move { Self::start(&config, &door, &key, &place).await }
        };
        let opened = tokio::time::timeout(server.connect_timeout, async {
            let session = match given.secret.is_some() || mode != TlsMode::Disable {
                // Logins and handshakes take the processor.
                true => off_runtime(starting)
                    .await
                    .unwrap_or_else(|| Err(unreachable(server, key, "the connection was not made").into())),
                false => starting.await,
            };
            session?.know_itself().await.map_err(Opening::Server)
        });
        match opened.await {
            Ok(session) => session.map_err(|error| error.diagnostic(server, key, given)),
            Err(_) => {
                let waited = fault::no_answer(server.connect_timeout);
                Err(unreachable(server, key, &waited))
            }
        }
    }

    async fn know_itself(mut self) -> Result<Self, tokio_postgres::Error> {
        // Whatever a fresh process looks up is dear: so no function, operator or cast that can be done without.
        let sql = format!(
            "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.version(), \
             pg_catalog.current_schema(), pid, {}, pg_catalog.inet_client_addr(), pg_catalog.inet_client_port(), \
             pg_catalog.current_setting('synchronous_commit'), \
             pg_catalog.pg_relation_size('pg_catalog.pg_event_trigger', 'main'), pg_catalog.pg_is_in_recovery(), \
             pg_catalog.current_setting('transaction_read_only'), pg_catalog.to_regclass('{HISTORY}')::pg_catalog.oid \
             FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())",
            Backend::BEGAN
        );
        let mut rows = self.ask(&sql).await?;
        if let Some([number, words, home, pid, began, address, port, commits, triggers, recovers, reads, history]) =
            rows.first_mut().map(Vec::as_mut_slice)
        {
            let number = number.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0);
            self.checks_client = checks_client(number, words.as_deref().unwrap_or_default());
            self.lacks_tables(home.clone().filter(|_| history.is_none()));
            self.home = home.take();
            self.commits = commits.as_deref().and_then(Commits::parse);
            self.kind = (recovers.as_deref() == Some("t"), reads.as_deref() == Some("on"));
            self.opened = Instant::now();
            let pid = pid.as_deref().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            self.backend = Backend { pid, began: began.as_deref().and_then(Backend::began) };
            let greeted = greeted_by(&self.client.cancel_token()).await;
            self.way = Way::of((address.as_deref(), port.as_deref()), self.ours, greeted, pid);
            // Without a byte there is no row; where there once was one the rows are asked for.
            self.has_event_triggers = triggers.as_deref() != Some("0") && self.finds_event_triggers().await?;
        }
        Ok(self)
    }

    /// Whether the database has an event trigger.
    async fn finds_event_triggers(&self) -> Result<bool, tokio_postgres::Error> {
        let rows = self.ask("SELECT 1 FROM pg_catalog.pg_event_trigger LIMIT 1").await?;
        Ok(!rows.is_empty())
    }

    async fn start(config: &Config, door: &Door, key: &Key, place: &Endpoint) -> Result<Self, Opening> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let tls = match place {
            Endpoint::Tcp { .. } => door.tls.of(&key.access.tls)?,
            Endpoint::Socket(_) => None,
        };
        let socket = Socket::connect(place).await;
        let socket =
            socket.map_err(|error| unreachable(&door.server, key, &format!("error connecting to server: {error}")))?;
        let ours = socket.local_addr();
        let Some(tls) = tls else {
            let (client, connection) = config.connect_raw(socket, NoTls).await?;
            let driver = tokio::spawn(drive(connection, notices.clone()));
            return Ok(Self { ours, ..Self::new(client, driver, notices, place.clone(), None) });
        };
        let (client, connection) = config.connect_raw(socket, handshake(&tls, place.named().0)).await?;
        let driver = tokio::spawn(drive(connection, notices.clone()));
        Ok(Self { ours, ..Self::new(client, driver, notices, place.clone(), Some(tls)) })
    }

    fn new(
        client: Client,
        driver: JoinHandle<()>,
        notices: Arc<Mutex<Vec<String>>>,
        peer: Endpoint,
        tls: Option<MakeRustlsConnect>,
    ) -> Self {
        Self {
            client,
            driver: AbortOnDropHandle::new(driver),
            notices,
            peer,
            tls,
            used: AtomicBool::new(false),
            standing: Mutex::new(None),
            lacking: Mutex::default(),
            has_event_triggers: true,
            checks_client: false,
            home: None,
            commits: None,
            kind: (false, false),
            opened: Instant::now(),
            backend: Backend { pid: 0, began: None },
            way: Way::Unknown,
            ours: None,
            watch: None,
            given_up: OnceLock::new(),
        }
    }
}

/// Whether `client_connection_check_interval` may be set: from version 14 on, where the system can tell.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL>
fn checks_client(version_num: u32, version: &str) -> bool {
    let windows = ["windows", "Visual C++", "mingw", "msvc"].iter().any(|word| version.contains(word));
    version_num >= 140_000 && !windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_watch_its_clients_is_not_asked_to() {
        for (number, version, checks) in [
            (150_008, "PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc", true),
            (130_012, "PostgreSQL 13.12 on x86_64-pc-linux-gnu, compiled by gcc", false),
            (150_003, "PostgreSQL 15.3, compiled by Visual C++ build 1914, 64-bit", false),
            (170_000, "PostgreSQL 17.0 on x86_64-windows, compiled by msvc-19.41.34120, 64-bit", false),
        ] {
            assert_eq!(checks_client(number, version), checks, "{version}");
        }
    }
}
