//! Looks over another connection whether the server still works on a statement.
//!
//! The driver shows nobody its socket, so how long sent bytes may stay unacknowledged is the system's own (on Linux a
//! quarter of an hour, `net.ipv4.tcp_retries2`); this notices earlier.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::engine::pool::Close;
use crate::engine::silence::{Sight, sending, until_dead};
use crate::error::Code;
use crate::tenant::Access;

use super::connect::Connector;
use super::fault::server_words;
use super::link::{ANSWER_LIMIT, Sets, Trouble};
use super::lock::Held;

/// Watches the statements of a server's connections, over the run lock's. Without one it opens a connection in its place
/// in the budget.
pub(super) struct Watch {
    pub connector: Arc<Connector>,
    pub lock: Arc<Mutex<Option<Held>>>,
    /// After how long a silent statement is asked about.
    pub silence_check: Duration,
    /// How long the answer may take.
    pub limit: Duration,
}

impl Watch {
    /// Ends when the server has stopped working on the `bytes` that were sent over this connection, or cannot be
    /// reached. Returns why, in words.
    pub fn until_dead(
        self: &Arc<Self>,
        connection: u32,
        access: &Arc<Access>,
        bytes: usize,
    ) -> BoxFuture<'static, String> {
        let (watch, access) = (self.clone(), access.clone());
        let look = move || {
            let (watch, access) = (watch.clone(), access.clone());
            // A look is finished in any case: an abandoned question would spoil the lock's connection.
            let looking = tokio::spawn(async move { watch.look(connection, &access).await });
            async move { looking.await.unwrap_or(Sight::AtWork) }
        };
        until_dead(self.silence_check + sending(bytes), look).boxed()
    }

    async fn look(&self, connection: u32, access: &Arc<Access>) -> Sight {
        // A session that nobody's transaction waits for, and that waits for nobody's.
        let question = format!("SELECT COMMAND FROM information_schema.PROCESSLIST WHERE ID = {connection}");
        let mut slot = self.lock.lock().await;
        if let Some(held) = slot.as_mut().filter(|held| !held.link.is_spoiled()) {
            // Not given up early: the run lock would go with the link.
            let asked = held.link.ask(&question, ANSWER_LIMIT).await;
            return sight(connection, asked, held.access == *access);
        }
        let mut link = match self.connector.connect(access, None).await {
            Ok(link) => link,
            Err(diagnostic) if diagnostic.code() == Code::UNREACHABLE => {
                return Sight::Unreachable(diagnostic.one_line());
            }
            // The server answers; what it works on it does not tell.
            Err(_) => return Sight::AtWork,
        };
        let asked = link.ask(&question, self.limit).await;
        link.close().await;
        sight(connection, asked, true)
    }
}

/// Tells what a list of processes shows. Another user's may lack the connection because it may not be seen.
/// <https://dev.mysql.com/doc/refman/8.4/en/information-schema-processlist-table.html>
fn sight(connection: u32, asked: Result<Sets, Trouble>, same_user: bool) -> Sight {
    let command = match asked {
        Ok(sets) => sets.into_iter().flatten().next().and_then(|row| row.into_iter().next()),
        Err(Trouble::Lost(why)) => return Sight::Unreachable(why),
        Err(Trouble::Refused { error, .. }) => {
            tracing::debug!(error = server_words(&error), "the list of processes cannot be read");
            return Sight::AtWork;
        }
    };
    match command.flatten() {
        Some(command) if command == "Sleep" => {
            Sight::Over(format!("the server is done on connection {connection}, and its answer did not arrive"))
        }
        None if same_user => Sight::Over(format!("connection {connection} is gone on the server")),
        _ => Sight::AtWork,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_at_work_unless_it_sleeps_or_is_seen_to_be_gone() {
        let seen = |command: Option<&str>, same_user: bool| {
            let rows = command.iter().map(|command| vec![Some((*command).to_owned())]).collect();
            sight(7, Ok(vec![rows]), same_user) == Sight::AtWork
        };
        assert!(seen(Some("Query"), true) && seen(Some("Killed"), true) && seen(None, false));
        assert!(!seen(Some("Sleep"), true) && !seen(Some("Sleep"), false) && !seen(None, true));
        let lost = sight(7, Err(Trouble::Lost("no answer".into())), true);
        assert_eq!(lost, Sight::Unreachable("no answer".into()));
    }
}
