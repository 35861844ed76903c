//! Writes how a text ended: history and journal where it is done, the journal alone where it is not.

use std::time::Duration;

use mysql_async::ServerError;

use crate::engine::mysql::fault::{self, DUPLICATE};
use crate::engine::mysql::link::{ANSWER_LIMIT, Trouble};
use crate::engine::mysql::sql;
use crate::engine::stepwise::{Fault, failed};
use crate::engine::tables::{HISTORY, JournalRow, StatementMark};
use crate::error::Code;
use crate::history::prefix_hash;

use super::{MySqlSteps, first};

impl MySqlSteps<'_> {
    /// Writes history and journal of a text that is done.
    pub(super) async fn write_end(&mut self, row: &JournalRow<'_>) -> Result<(), Fault> {
        let history = sql::insert_history(self.database, row);
        let journal = sql::insert_journal(self.database, row, &self.session.began);
        let limit = self.own_limit();
        let both = format!("{}; START TRANSACTION; {history}; {journal}; COMMIT", sql::UNLIMITED);
        match self.lease.ask(&both, limit).await {
            Ok(_) => Ok(()),
            Err(Trouble::Refused { done: 2, error }) if error.code == DUPLICATE => self.by_another(row, &error).await,
            Err(trouble @ Trouble::Refused { .. }) => {
                self.lease.ask("ROLLBACK", ANSWER_LIMIT).await.map_err(|t| self.fault(t, None))?;
                Err(self.fault(trouble, None))
            }
            Err(lost) => Err(self.fault(lost, None)),
        }
    }

    /// Writes to the journal how far a text came that is not done.
    pub(super) async fn write_note(&mut self, row: &mut JournalRow<'_>) -> Result<(), Trouble> {
        if let (Some(since), Some(mark)) = (self.open_since, &mut row.statement) {
            let last = sql::select_last_intent(self.database, row.run, row.version);
            let sets = self.lease.ask(&format!("ROLLBACK; {last}"), ANSWER_LIMIT).await?;
            let last = first(sets).into_iter().next().flatten().and_then(|no| no.parse::<u32>().ok()).unwrap_or(0);
            // The intent of the statement that failed is left only if that statement committed what was open before
            // it, as DDL does even when it fails. Otherwise everything since the last commit is gone.
            if last < mark.statement_no {
                let again = last.max(since);
                let before = self.statements.iter().take(again as usize - 1).map(|statement| statement.text);
                *mark = StatementMark { statement_no: again, statements: mark.statements, prefix: prefix_hash(before) };
                self.rolled_back_to = Some(again);
            }
        }
        let journal = sql::insert_journal(self.database, row, &self.session.began);
        let limit = self.own_limit();
        self.lease
            .ask(&format!("{}; ROLLBACK; START TRANSACTION; {journal}; COMMIT", sql::UNLIMITED), limit)
            .await
            .map(|_| ())
    }

    /// Answers a history row that is there already: with our checksum it is another run's, of the same changeset.
    async fn by_another(&mut self, row: &JournalRow<'_>, duplicate: &ServerError) -> Result<(), Fault> {
        let checksum = format!(
            "ROLLBACK; SELECT CAST(`checksum` AS CHAR) FROM {} WHERE `version` = {}",
            sql::table(self.database, HISTORY),
            row.version
        );
        let sets = self.lease.ask(&checksum, ANSWER_LIMIT).await.map_err(|t| self.fault(t, None))?;
        let (theirs, ours) = (first(sets).into_iter().next().flatten().unwrap_or_default(), row.checksum.to_string());
        if theirs != ours {
            let diagnostic = failed(self.order, Code::CHANGESET_FAILED)
                .cause(format!(
                    "its history has version {} meanwhile, of another text: {theirs}, not {ours}",
                    row.version
                ))
                .cause(fault::server_words(duplicate))
                .hint("somebody else writes to this history: find out who, then run `mtmigrate status`");
            return Err(Fault::Refused { diagnostic, retry: false });
        }
        self.by_another = true;
        let journal = sql::insert_journal(self.database, row, &self.session.began);
        let limit = self.own_limit();
        let noted = self.lease.ask(&format!("START TRANSACTION; {journal}; COMMIT"), limit).await;
        noted.map(|_| ()).map_err(|t| self.fault(t, None))
    }

    /// Returns the longest wait for a statement of our own that may wait for locks.
    fn own_limit(&self) -> Duration {
        match self.order.limits.lock_timeout {
            Duration::ZERO => Duration::from_secs(sql::FOREVER_S),
            wait => wait + ANSWER_LIMIT,
        }
    }
}
