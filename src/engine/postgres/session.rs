//! A connection: opening it, what is sent over it, what the server says meanwhile, closing it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::off_runtime::off_runtime;
use crate::engine::pool::Close;
use crate::engine::question::take;
use crate::engine::{Answer as Answered, NOTICE_LIMIT};
use crate::error::{Code, Result};
use crate::tenant::{Access, Asker, Endpoint, Given, Limits, Server, SessionTarget, TlsMode};

use super::fault::{Opening, no_password, unreachable};
use super::flush::Commits;
use super::greeting::greeted_by;
use super::hosts::{self, Choice};
use super::pooler::Way;
use super::socket::Socket;
use super::tls::Configs;
use super::watch::{Backend, Watch};

/// How long the server may take to end a session that was said goodbye to.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a cancel request may take to be delivered.
const DELIVERY: Duration = Duration::from_secs(5);

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

/// What all sessions of a server are opened with.
pub(super) struct Door {
    pub server: Server,
    tls: Configs,
    /// Which of the server's hosts is worked on.
    pub choice: tokio::sync::Mutex<Choice>,
}

impl Door {
    /// Opens nothing yet, and reads no file.
    pub fn new(server: Server) -> Self {
        Self { server, tls: Configs::default(), choice: tokio::sync::Mutex::default() }
    }
}

/// One session.
pub(super) struct Session {
    client: Client,
    /// Dropping it closes the socket, so that the server rolls back what an abandoned run left in flight.
    driver: AbortOnDropHandle<()>,
    notices: Arc<Mutex<Vec<String>>>,
    peer: Endpoint,
    tls: Option<MakeRustlsConnect>,
    /// Whether a text ran here since the session was at its start.
    used: AtomicBool,
    /// The limits that hold for the whole session, where nothing else was changed in it.
    standing: Mutex<Option<Limits>>,
    /// Whether code may run at every definition: somebody's event trigger.
    pub has_event_triggers: bool,
    /// Whether the server can notice by itself that its client died.
    pub checks_client: bool,
    /// The schema that an unqualified name means at the session's start.
    pub home: Option<String>,
    /// The session's own `synchronous_commit` at its start; nothing for a value that is not known.
    pub commits: Option<Commits>,
    /// Whether its server is a standby, and whether its transactions take no writes.
    pub kind: (bool, bool),
    /// When it was ready: whatever it sent was sent later.
    pub opened: Instant,
    /// The server process that serves it.
    pub backend: Backend,
    /// How it reaches that process.
    pub way: Way,
    /// Our own end's address.
    ours: Option<SocketAddr>,
    /// Who looks whether the server still works on what it was sent; nobody for the run lock's session.
    watch: Option<(Arc<Watch>, Key)>,
    /// Why the connection was given up while the server was silent.
    given_up: OnceLock<String>,
}

/// An answered message: how many statements completed, and the rows of all of them.
pub(super) struct Answer {
    pub completed: usize,
    pub rows: Vec<Vec<Option<String>>>,
    pub error: Option<tokio_postgres::Error>,
    /// Whether the server ended the session before it saw anything of the message.
    pub unseen: bool,
}

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
                let waited = super::fault::no_answer(server.connect_timeout);
                Err(unreachable(server, key, &waited))
            }
        }
    }

    async fn know_itself(mut self) -> Result<Self, tokio_postgres::Error> {
        let sql = format!(
            "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.version(), \
             pg_catalog.current_schema(), pid, {}, pg_catalog.host(pg_catalog.inet_client_addr()), \
             pg_catalog.inet_client_port(), pg_catalog.current_setting('synchronous_commit'), \
             EXISTS (SELECT 1 FROM pg_catalog.pg_event_trigger)::pg_catalog.text, \
             pg_catalog.pg_is_in_recovery()::pg_catalog.text, pg_catalog.current_setting('transaction_read_only') \
             FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())",
            Backend::BEGAN
        );
        let mut rows = self.ask(&sql).await?;
        if let Some([number, words, home, pid, began, address, port, commits, triggers, recovers, reads]) =
            rows.first_mut().map(Vec::as_mut_slice)
        {
            let number = number.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0);
            self.checks_client = checks_client(number, words.as_deref().unwrap_or_default());
            self.home = home.take();
            self.commits = commits.as_deref().and_then(Commits::parse);
            self.has_event_triggers = triggers.as_deref() != Some("false");
            self.kind = (recovers.as_deref() == Some("true"), reads.as_deref() == Some("on"));
            self.opened = Instant::now();
            let pid = pid.as_deref().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            self.backend = Backend { pid, began: began.as_deref().and_then(|at| at.parse().ok()) };
            let greeted = greeted_by(&self.client.cancel_token()).await;
            self.way = Way::of((address.as_deref(), port.as_deref()), self.ours, greeted, pid);
        }
        Ok(self)
    }

    /// Lets the server be asked, over another session, whether it still works when it is silent for long.
    pub fn watched(mut self, watch: Arc<Watch>, key: Key) -> Self {
        self.watch = Some((watch, key));
        self
    }

    /// Returns why the connection was given up while the server was silent, if it was.
    pub fn given_up(&self) -> Option<&str> {
        self.given_up.get().map(String::as_str)
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

    /// Asks one question and returns its rows with the columns' names, up to one row more than `limit`.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub async fn ask_table(&self, question: &str, limit: usize) -> Result<Answered, tokio_postgres::Error> {
        let mut answer = Answered::default();
        let messages = self.client.simple_query_raw(question).await?;
        futures_util::pin_mut!(messages);
        while let Some(message) = messages.next().await {
            let SimpleQueryMessage::Row(row) = message? else { continue };
            if answer.rows.is_empty() {
                answer.columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
            }
            let cells = (0..row.len()).map(|i| row.try_get(i).ok().flatten().map(str::to_owned));
            take(&mut answer, limit, || cells.collect());
        }
        Ok(answer)
    }

    /// Sends a message and waits for its answer for as long as the server works on it.
    async fn exchange(&self, sql: &str, keep_rows: bool) -> Answer {
        let answering = self.answer(sql, keep_rows);
        let Some((watch, key)) = &self.watch else { return answering.await };
        futures_util::pin_mut!(answering);
        let why = tokio::select! {
            biased;
            answer = &mut answering => return answer,
            why = watch.until_dead(self.backend, key, sql.len()) => why,
        };
        let _ = self.given_up.set(why);
        // The answer is now that the connection is closed.
        self.driver.abort();
        answering.await
    }

    async fn answer(&self, sql: &str, keep_rows: bool) -> Answer {
        let mut answer = Answer { completed: 0, rows: Vec::new(), error: None, unseen: false };
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

    /// Returns the limits that hold for the whole session; nothing where anything may have been changed in it.
    pub fn standing(&self) -> Option<Limits> {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a text left: these limits and nothing else, or anything.
    pub fn stands(&self, limits: Option<Limits>) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// Puts the session back to its start if a text ran here that may have changed it, then sends the text's message, in
    /// one flight: the first cannot fail unless the connection does, and then the second fails too. From `begun` on, a
    /// cancel request meets the message and not the reset. With `as_it_is` the message counts on what stands.
    /// <https://www.postgresql.org/docs/current/sql-discard.html>
    pub async fn send_text(&self, sql: &str, as_it_is: bool, begun: &Notify) -> Answer {
        self.stands(None);
        if !self.used.swap(true, Ordering::SeqCst) || as_it_is {
            begun.notify_one();
            return self.send_counting(sql).await;
        }
        let reset = async {
            let reset = self.client.batch_execute("DISCARD ALL").await;
            begun.notify_one();
            reset
        };
        let (reset, mut answer) = future::join(reset, self.send_counting(sql)).await;
        if let (Err(error), Some(_)) = (reset, &answer.error)
            && super::fault::is_fatal(&error)
        {
            // The server answers in order: its last words came before it read the message.
            answer.unseen = true;
            answer.error = Some(error);
        }
        answer
    }

    /// Puts the session back to its start if a text ran here.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub async fn reset(&self) -> Result<(), tokio_postgres::Error> {
        if self.used.load(Ordering::SeqCst) {
            self.stands(None);
            self.client.batch_execute("DISCARD ALL").await?;
            self.used.store(false, Ordering::SeqCst);
        }
        Ok(())
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

/// Whether `client_connection_check_interval` may be set: from version 14 on, where the system can tell.
/// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL>
fn checks_client(version_num: u32, version: &str) -> bool {
    let windows = ["windows", "Visual C++", "mingw", "msvc"].iter().any(|word| version.contains(word));
    version_num >= 140_000 && !windows
}

/// Asks the server to cancel what runs on a session.
pub(super) struct Canceller {
    token: CancelToken,
    peer: Endpoint,
    tls: Option<MakeRustlsConnect>,
}

impl Canceller {
    /// Asks once, and waits until the server has taken note; the answer comes over the session itself.
    pub async fn cancel(&self) {
        let asked = tokio::time::timeout(DELIVERY, self.ask()).await;
        match asked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a cancel request did not get through"),
            Err(_) => tracing::debug!("a cancel request got no answer"),
        }
    }

    async fn ask(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let socket = Socket::connect(&self.peer).await?;
        match &self.tls {
            Some(tls) => self.token.cancel_query_raw(socket, handshake(tls, self.peer.named().0)).await?,
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
    fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

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
