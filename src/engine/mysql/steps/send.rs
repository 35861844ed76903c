//! Sends a statement until it ends or is to end, and keeps what the server warns of.

use std::time::Duration;

use crate::engine::NOTICE_LIMIT;
use crate::engine::mysql::fault::Ended;
use crate::engine::mysql::link::{ANSWER_LIMIT, Cells, Trouble};
use crate::engine::stepwise::Fault;
use crate::error::short;
use crate::sql::Statement;

use super::MySqlSteps;

/// How long a statement that was told to end may take to do so.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The longest notice that is kept, in characters.
const NOTICE_LENGTH: usize = 300;

impl MySqlSteps<'_> {
    /// Sends a message and reads every result; returns the rows of the result that is to be kept.
    ///
    /// Goes on until the order is cancelled or the statement's time is over: then the server is told to end it, and its
    /// last answer is awaited, for that says what became of it.
    pub(super) async fn send(
        &mut self,
        message: &str,
        kept: Option<usize>,
    ) -> (Result<Vec<Cells>, Trouble>, Option<Ended>) {
        let connection = self.lease.id();
        let work = self.lease.send_keeping(message, kept.unwrap_or(usize::MAX));
        tokio::pin!(work);
        let ended = tokio::select! {
            biased;
            sent = &mut work => return (sent, None),
            () = self.order.cancel.cancelled() => Ended::Cancelled,
            () = expiry(self.order.limits.statement_timeout) => Ended::Deadline,
        };
        let killed = self.server.kill(&self.order.tenant.access, connection).await;
        // Dropped when the limit is over, the work leaves the connection midway, and it will be closed.
        let sent = tokio::time::timeout(END_LIMIT, work).await.unwrap_or_else(|_| {
            let why = killed.err().unwrap_or_else(|| "the server did not end it".into());
            Err(Trouble::Lost(format!("the statement was given up while it ran: {why}")))
        });
        (sent, Some(ended))
    }

    pub(super) async fn warnings(&mut self, statement: &Statement<'_>) -> Result<(), Fault> {
        let sets = self.lease.ask("SHOW WARNINGS", ANSWER_LIMIT).await.map_err(|t| self.fault(t, None))?;
        self.tell(statement, sets.into_iter().flatten().collect());
        Ok(())
    }

    /// Keeps the server's warnings about a statement.
    pub(super) fn tell(&mut self, statement: &Statement<'_>, rows: Vec<Cells>) {
        for row in rows {
            let [Some(level), Some(code), Some(message)] = &row[..] else { continue };
            if self.notices.len() < NOTICE_LIMIT {
                let notice = format!("line {}: {} {code}: {message}", statement.line, level.to_uppercase());
                self.notices.push(short(&notice, NOTICE_LENGTH));
            }
        }
    }
}

/// Ends when the time is over; zero never does.
async fn expiry(limit: Duration) {
    match limit {
        Duration::ZERO => std::future::pending().await,
        limit => tokio::time::sleep(limit).await,
    }
}
