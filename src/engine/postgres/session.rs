//! A connection: what is sent over it, what the server says meanwhile, closing it. It is opened in [`opening`].

mod opening;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, CancelToken, Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::pool::Close;
use crate::engine::question::take;
use crate::engine::{Answer as Answered, NOTICE_LIMIT};
use crate::tenant::{Access, Endpoint, Limits, Server};

use super::flush::Commits;
use super::hosts::Choice;
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
    /// The schema in which none of our tables was when they were last looked for. A guess what the next look will find,
    /// and no more: texts, other sessions and other runs make them.
    lacking: Mutex<Option<String>>,
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
    /// Lets the server be asked, over another session, whether it still works when it is silent for long.
    pub fn watched(mut self, watch: Arc<Watch>, key: Key) -> Self {
        self.watch = Some((watch, key));
        self
    }

    /// Returns why the connection was given up while the server was silent, if it was.
    pub fn given_up(&self) -> Option<&str> {
        self.given_up.get().map(String::as_str)
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

    /// Whether the last look found none of our tables in this schema.
    pub fn lacks_tables_in(&self, schema: &str) -> bool {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(schema)
    }

    /// Notes in which schema a look found none of our tables.
    pub fn lacks_tables(&self, schema: Option<String>) {
        *self.lacking.lock().unwrap_or_else(PoisonError::into_inner) = schema;
    }

    /// Puts the session back to its start if a text ran here that may have changed it, then sends the text's message, in
    /// one flight: the first cannot fail unless the connection does, and then the second fails too. From `begun` on, a
    /// cancel request meets the message and not the reset. With `as_it_is` the message counts on what stands.
    /// <https://www.postgresql.org/docs/current/sql-discard.html>
    pub async fn send_text(&self, sql: &str, as_it_is: bool, begun: &Notify) -> Answer {
        self.stands(None);
        self.lacks_tables(None);
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
