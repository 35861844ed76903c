//! One connection: messages of several statements, every result read.
//!
//! `mysql_async` is not cancel-safe: after an abandoned query the next one reads the stale answer. So a link knows
//! whether it is in the middle of an answer, and one that is can only be closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, ServerError, Value};

use crate::engine::Answer;
use crate::engine::pool::Close;
use crate::engine::question::take;
use crate::tenant::Access;

use super::fault;
use super::watch::Watch;

/// The longest wait for the server to see the end of a connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The longest wait for the answer to a question of our own that waits for no lock.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// One row, as text.
pub(super) type Cells = Vec<Option<String>>;

/// The rows of each statement of a message.
pub(super) type Sets = Vec<Vec<Cells>>;

/// A connection.
pub(super) struct Link {
    conn: Conn,
    midway: bool,
    /// Who looks whether the server still works on what it was sent; nobody for the run lock's connection.
    watch: Option<(Arc<Watch>, Arc<Access>)>,
    /// Whether a text may have taken a role, which no reset takes away (MariaDB 10.11).
    may_have_role: bool,
    standing: Standing,
}

/// How a session stands between two orders.
#[derive(Debug, Default)]
struct Standing {
    /// What a session of this connection was like before anything was set in it.
    greeting: Option<Greeting>,
    /// The settings of the last order, where nobody has taken them back.
    settings: Option<String>,
    /// When the server answered last.
    answered: Option<Instant>,
}

/// What the server says of a session that it has just begun or reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// As the server writes it.
    pub sql_mode: String,
    /// The longest message that it takes, in bytes.
    pub max_packet: usize,
}

/// Above this length a message is not looked through: it counts as one that may take a role.
const LOOKED_THROUGH: usize = 64 << 10;

/// Words of a text that may take a role: itself, or by code that only the server sees.
const TAKE_A_ROLE: [&str; 3] = ["role", "call", "execute"];

/// Why a message was not answered to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server refused a statement: it had no effect, and those after it were not run.
    Refused {
        /// How many statements of the message were executed before.
        done: usize,
        error: ServerError,
    },
    /// The connection is gone or was given up: nobody knows. In words.
    Lost(String),
}

/// What the server said with its last OK.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    pub warnings: bool,
    pub in_transaction: bool,
    /// Whether a statement commits by itself, outside of a transaction.
    pub autocommit: bool,
}

impl Link {
    /// Takes a connection that is ready for a command.
    pub fn new(conn: Conn) -> Self {
        Self { conn, midway: false, watch: None, may_have_role: false, standing: Standing::default() }
    }

    /// Lets the server be asked, over another connection, whether it still works when it is silent for long.
    pub fn watched(mut self, watch: Arc<Watch>, access: Arc<Access>) -> Self {
        self.watch = Some((watch, access));
        self
    }

    /// Whether it was given up in the middle of an answer.
    pub fn is_spoiled(&self) -> bool {
        self.midway
    }

    /// What is known of its sessions.
    pub fn greeting(&self) -> Option<&Greeting> {
        self.standing.greeting.as_ref()
    }

    /// Whether the server answered within this time.
    pub fn answered_within(&self, time: Duration) -> bool {
        self.standing.answered.is_some_and(|answered| answered.elapsed() < time)
    }

    /// Whether these settings of an order still stand.
    pub fn has_settings(&self, settings: &str) -> bool {
        self.standing.settings.as_deref() == Some(settings)
    }

    /// Keeps in mind what was learned of the session, and with which settings an order began there.
    pub fn begin(&mut self, greeting: Greeting, settings: String) {
        self.standing.greeting = Some(greeting);
        self.standing.settings = Some(settings);
    }

    /// Whether the session is that of an order, which only another order may go on with as it is.
    pub fn is_worn(&self) -> bool {
        self.standing.settings.is_some()
    }

    /// Whether a text may have taken a role.
    pub fn may_have_role(&self) -> bool {
        self.may_have_role
    }

    /// Returns the server's number for this connection.
    pub fn id(&self) -> u32 {
        self.conn.id()
    }

    /// Returns the server's version, as numbers.
    pub fn version(&self) -> (u16, u16, u16) {
        self.conn.server_version()
    }

    /// Returns what the server said with its last OK.
    pub fn status(&self) -> Status {
        let ok = self.conn.last_ok_packet();
        Status {
            warnings: ok.is_some_and(|ok| ok.warnings() > 0),
            in_transaction: ok.is_some_and(|ok| ok.status_flags().contains(StatusFlags::SERVER_STATUS_IN_TRANS)),
            autocommit: ok.is_some_and(|ok| ok.status_flags().contains(StatusFlags::SERVER_STATUS_AUTOCOMMIT)),
        }
    }

    /// Sends a message and returns the rows of each of its statements.
    ///
    /// # Errors
    /// [`Trouble`]; after `limit` without an answer the connection counts as lost.
    pub async fn ask(&mut self, message: &str, limit: Duration) -> Result<Sets, Trouble> {
        let mut sets = Sets::new();
        let asked = self.converse(message, |done, row| {
            sets.resize_with(sets.len().max(done + 1), Vec::new);
            sets[done].push(cells(row));
        });
        let answered = tokio::time::timeout(limit, asked).await;
        match answered {
            Ok(answered) => {
                let done = answered?;
                sets.resize_with(done, Vec::new);
                Ok(sets)
            }
            Err(_) => Err(Trouble::Lost(format!("no answer within {}", humantime::format_duration(limit)))),
        }
    }

    /// Asks one question and returns its rows with the columns' names, up to one row more than `rows`.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub async fn ask_table(&mut self, question: &str, limit: Duration, rows: usize) -> Result<Answer, Trouble> {
        self.may_have_role = true;
        let mut answer = Answer::default();
        let asked = self.converse(question, |_, row| {
            if answer.rows.is_empty() {
                answer.columns = row.columns_ref().iter().map(|column| column.name_str().into_owned()).collect();
            }
            take(&mut answer, rows, || cells(row));
        });
        match tokio::time::timeout(limit, asked).await {
            Ok(answered) => answered.map(|_| answer),
            Err(_) => Err(Trouble::Lost(format!("no answer within {}", humantime::format_duration(limit)))),
        }
    }

    /// Sends a message, waits as long as it takes, and drops all rows but those of one of its statements (from 0).
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn send_keeping(&mut self, message: &str, kept: usize) -> Result<Vec<Cells>, Trouble> {
        self.may_have_role = self.may_have_role || may_take_role(message);
        let mut rows = Vec::new();
        let keep = |done, row| {
            if done == kept {
                rows.push(cells(row));
            }
        };
        self.converse(message, keep).await?;
        Ok(rows)
    }

    /// Makes the session as good as new; answers whether it could.
    ///
    /// Temporary tables, variables, locks and an open transaction go; the current database stays, and a role: a
    /// connection that may have one is not as good as new.
    /// <https://dev.mysql.com/doc/c-api/8.4/en/mysql-reset-connection.html>
    pub async fn reset(&mut self) -> bool {
        if self.midway || self.may_have_role {
            return false;
        }
        self.midway = true;
        let reset = tokio::time::timeout(ANSWER_LIMIT, self.conn.reset()).await;
        self.midway = !matches!(reset, Ok(Ok(true)));
        self.standing.settings = None;
        !self.midway
    }

    /// Reads every result of a message, and returns how many statements it had.
    async fn converse(&mut self, message: &str, mut each: impl FnMut(usize, Row) + Send) -> Result<usize, Trouble> {
        if self.midway {
            return Err(Trouble::Lost("the connection was given up before".into()));
        }
        self.midway = true;
        let mut done = 0;
        let id = self.conn.id();
        let ended = {
            let work = converse(&mut self.conn, message, &mut done, &mut each);
            tokio::pin!(work);
            match &self.watch {
                None => work.await,
                Some((watch, access)) => tokio::select! {
                    biased;
                    ended = &mut work => ended,
                    why = watch.until_dead(id, access, message.len()) => return Err(Trouble::Lost(why)),
                },
            }
        };
        self.midway = matches!(&ended, Err(error) if fault::is_lost(error));
        self.standing.answered = (!self.midway).then(Instant::now);
        match ended {
            Ok(()) => Ok(done),
            Err(Error::Server(error)) if !self.midway => Err(Trouble::Refused { done, error }),
            Err(error) => Err(Trouble::Lost(fault::words(&error))),
        }
    }
}

/// Counts in `done` the statements whose results were read to their end.
///
/// The driver's `is_empty` is true after an error in a later statement, so the walk ends only when the next result
/// was asked for and there is none.
async fn converse(
    conn: &mut Conn,
    message: &str,
    done: &mut usize,
    each: &mut (impl FnMut(usize, Row) + Send),
) -> Result<(), Error> {
    let mut result = conn.query_iter(message).await?;
    loop {
        let pending = result.columns().is_some();
        while let Some(row) = result.next().await? {
            each(*done, row);
        }
        if !pending {
            return result.drop_result().await;
        }
        *done += 1;
    }
}

/// Answers whether a text may take a role, by a word of it.
fn may_take_role(text: &str) -> bool {
    let has = |word: &str| text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    text.len() > LOOKED_THROUGH || TAKE_A_ROLE.into_iter().any(has)
}

fn cells(row: Row) -> Cells {
    row.unwrap_raw()
        .into_iter()
        .map(|value| match value {
            None | Some(Value::NULL) => None,
            Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Some(other) => Some(other.as_sql(true)),
        })
        .collect()
}

impl Close for Link {
    async fn close(self) {
        if !self.midway {
            // Dropped when the limit is over, the driver closes the socket without a word.
            let _ = tokio::time::timeout(CLOSE_LIMIT, self.conn.disconnect()).await;
        }
    }
}
