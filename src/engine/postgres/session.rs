//! A connection: opening it, what is sent over it, what the server says meanwhile, closing it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::engine::NOTICE_LIMIT;
use crate::engine::pool::Close;
use crate::error::Result;
use crate::tenant::{Access, Address, Server, TlsMode};

use super::fault::unreachable;
use super::socket::Socket;
use super::tls::client_config;

/// How long the server may take to end a session that was said goodbye to.
const GOODBYE: Duration = Duration::from_secs(2);

/// Which connections are alike: those to one database with one user.
#[derive(Clone)]
pub(super) struct Key {
    pub access: Arc<Access>,
    pub database: String,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.access, &other.access) || self.access == other.access;
        same && self.database == other.database
    }
}

/// One session.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    notices: Arc<Mutex<Vec<String>>>,
    peer: (String, u16),
    tls: Option<MakeRustlsConnect>,
    /// The server's version as a number: 150004.
    pub version_num: u32,
    /// The schema that an unqualified name means at the session's start.
    pub home: Option<String>,
}

/// An answered message: how many statements completed, and the rows of all of them.
pub(super) struct Answer {
    pub completed: usize,
    pub rows: Vec<Vec<Option<String>>>,
    pub error: Option<tokio_postgres::Error>,
}

impl Session {
    /// Connects and asks for the server's version and the session's schema.
    ///
    /// # Errors
    /// `MT31x` by what the server or the network answers; `MT115` for TLS files.
    pub async fn open(server: &Server, key: &Key, name: &str) -> Result<Self> {
        let Address::Tcp { host, port } = &server.address else {
            return Err(unreachable(server, key, "the server has no network address"));
        };
        let mut config = Config::new();
        config.dbname(&key.database).application_name(name);
        if let Some(user) = &key.access.user {
            config.user(user);
        }
        if let Some(password) = &key.access.password {
            config.password(password.reveal());
        }
        let mode = key.access.tls.mode;
        config.ssl_mode(match mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let opened =
            tokio::time::timeout(server.connect_timeout, Self::start(&config, server, key, (host, *port))).await;
        let (client, driver, notices, tls) = match opened {
            Ok(started) => started.map_err(|error| error.diagnostic(server, key))?,
            Err(_) => {
                let waited = format!("no answer within {:.1} s", server.connect_timeout.as_secs_f64());
                return Err(unreachable(server, key, &waited));
            }
        };
        let mut session =
            Self { client, driver, notices, peer: (host.clone(), *port), tls, version_num: 0, home: None };
        let facts = session.ask("SELECT current_setting('server_version_num'), current_schema()").await;
        let facts = facts.map_err(|error| super::fault::connecting(server, key, &error))?;
        if let Some([version, home]) = facts.first().map(Vec::as_slice) {
            session.version_num = version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0);
            session.home.clone_from(home);
        }
        Ok(session)
    }

    async fn start(
        config: &Config,
        server: &Server,
        key: &Key,
        (host, port): (&str, u16),
    ) -> Result<Started, super::fault::Opening> {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let tls = match key.access.tls.mode {
            TlsMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(client_config(&key.access.tls)?)),
        };
        let socket = Socket::connect(host, port).await;
        let socket =
            socket.map_err(|error| unreachable(server, key, &format!("error connecting to server: {error}")))?;
        let Some(tls) = tls else {
            let (client, connection) = config.connect_raw(socket, NoTls).await?;
            let driver = tokio::spawn(drive(connection, notices.clone()));
            return Ok((client, driver, notices, None));
        };
        let (client, connection) = config.connect_raw(socket, handshake(&tls, host)).await?;
        let driver = tokio::spawn(drive(connection, notices.clone()));
        Ok((client, driver, notices, Some(tls)))
    }

    /// Sends one simple-query message and returns its rows as text.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub async fn ask(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let answer = self.send(sql).await;
        match answer.error {
            Some(error) => Err(error),
            None => Ok(answer.rows),
        }
    }

    /// Sends one simple-query message and reads every result of it.
    pub async fn send(&self, sql: &str) -> Answer {
        self.exchange(sql, true).await
    }

    async fn exchange(&self, sql: &str, keep_rows: bool) -> Answer {
        let mut answer = Answer { completed: 0, rows: Vec::new(), error: None };
        let messages = match self.client.simple_query_raw(sql).await {
            Ok(messages) => messages,
            Err(error) => return Answer { error: Some(error), ..answer },
        };
        futures_util::pin_mut!(messages);
        while let Some(message) = messages.next().await {
            match message {
                Ok(SimpleQueryMessage::CommandComplete(_)) => answer.completed += 1,
                Ok(SimpleQueryMessage::Row(row)) if keep_rows => {
                    let cells = (0..row.len()).map(|i| row.try_get(i).ok().flatten().map(str::to_owned));
                    answer.rows.push(cells.collect());
                }
                Ok(_) => {}
                Err(error) => {
                    answer.error = Some(error);
                    break;
                }
            }
        }
        answer
    }

    /// Puts the session back to its start, then sends the message, in one flight: the first cannot fail unless the
    /// connection does, and then the second fails too.
    /// <https://www.postgresql.org/docs/current/sql-discard.html>
    pub async fn reset_and_send(&self, sql: &str) -> Answer {
        let (reset, mut answer) = future::join(self.client.batch_execute("DISCARD ALL"), self.send_counting(sql)).await;
        if let (Err(error), None) = (reset, &answer.error) {
            answer.error = Some(error);
        }
        answer
    }

    /// As [`Session::send`], without keeping rows: a changeset's own SELECTs may be large.
    pub async fn send_counting(&self, sql: &str) -> Answer {
        self.exchange(sql, false).await
    }

    /// Takes what the server said since the last call.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what cancels the statement that runs on this session.
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), peer: self.peer.clone(), tls: self.tls.clone() }
    }
}

type Started = (Client, JoinHandle<()>, Arc<Mutex<Vec<String>>>, Option<MakeRustlsConnect>);

/// Asks the server to cancel what runs on a session.
pub(super) struct Canceller {
    token: CancelToken,
    peer: (String, u16),
    tls: Option<MakeRustlsConnect>,
}

impl Canceller {
    /// Asks once, and waits until the server has taken note; the answer comes over the session itself.
    pub async fn cancel(&self) {
        let asked = tokio::time::timeout(GOODBYE, self.ask()).await;
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a cancel request did not get through"),
            Err(_) => tracing::debug!("a cancel request got no answer"),
        }
    }

    async fn ask(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (host, port) = &self.peer;
        let socket = Socket::connect(host, *port).await?;
        match &self.tls {
            Some(tls) => self.token.cancel_query_raw(socket, handshake(tls, host)).await?,
            None => self.token.cancel_query_raw(socket, NoTls).await?,
        }
        Ok(())
    }
}

/// Makes what shakes hands with this host.
fn handshake(tls: &MakeRustlsConnect, host: &str) -> <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect {
    let Ok(handshake) = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls.clone(), host);
    handshake
}

impl Close for Session {
    async fn close(self) {
        let Self { client, driver, .. } = self;
        drop(client);
        // The driver ends when the server has closed its side: see [`Socket`].
        let _ = tokio::time::timeout(GOODBYE, driver).await;
    }
}

async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, notices: Arc<Mutex<Vec<String>>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                let mut kept = notices.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < NOTICE_LIMIT {
                    kept.push(format!("{}: {}", notice.severity(), notice.message()));
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a connection ended");
                return;
            }
        }
    }
}
