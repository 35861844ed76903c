//! A transactional changeset on one tenant: one message, one implicit transaction, one round trip.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::engine::pool::Lease;
use crate::engine::stepwise::{failed, place_at, place_of};
use crate::engine::tables::{HISTORY, JournalRow};
use crate::engine::{Applied, Failure, Left, Moment, Order, Outcome};
use crate::error::{Code, Diagnostic};
use crate::history::AttemptOutcome;
use crate::sql::{Dialect, split};

use super::session::{Answer, Key, Session};
use super::sql::{
    OWN_ROLE, Settings, count_statements, insert_history, insert_journal, make_journal, make_tables, table,
};
use super::{Postgres, fault, home};

/// How long a cancelled statement may take to end.
const CANCELLED: Duration = Duration::from_secs(10);

/// How long the re-reading after a lost connection may take.
const READ_AGAIN: Duration = Duration::from_secs(20);

/// The message of an order, and what of it is ours.
struct Message {
    sql: String,
    /// Characters before the text.
    before: usize,
    /// Statements before the text.
    statements: usize,
}

pub(super) async fn apply(server: &Postgres, order: &Order<'_>) -> Outcome {
    let began = Instant::now();
    let going = Going { server, order, began };
    let session = match server.session(order.tenant).await {
        Ok(session) => session,
        Err(diagnostic) => return going.failed(going.unreached(diagnostic), Moment::Prepare, Left::Unchanged, true),
    };
    let Some(schema) = home(order.tenant, &session) else {
        let diagnostic = fault::no_schema(&server.server, order.tenant.datasource.database(), None);
        session.discard().await;
        return going.failed(going.unreached(diagnostic), Moment::Prepare, Left::Unchanged, false);
    };
    let message = message(order, &session, &schema);
    let Some(answer) = going.exchange(&session, &message.sql).await else {
        session.discard().await;
        let diagnostic = failed(order, Code::OUTCOME_UNKNOWN).cause("the server did not answer the cancel request");
        return going.read_again(&schema, diagnostic).await;
    };
    match &answer.error {
        None => {
            let notices = session.take_notices();
            session.keep();
            Outcome::Applied(Applied { duration: began.elapsed(), notices, by_another: false })
        }
        Some(error) if fault::is_lost(error) => {
            let diagnostic = fault::lost(order, error);
            session.discard().await;
            going.read_again(&schema, diagnostic).await
        }
        Some(error) => going.refused(session, &schema, &message, &answer, error).await,
    }
}

fn message(order: &Order<'_>, session: &Session, schema: &str) -> Message {
    let settings = Settings {
        verb: "SET LOCAL",
        search_path: order.tenant.datasource.schema(),
        lock_timeout: order.limits.lock_timeout,
        statement_timeout: order.limits.statement_timeout,
        checks_client: session.version_num >= 140_000,
    };
    let mut sql = settings.sql();
    sql.push_str(&make_tables(order, schema));
    sql.push_str(&insert_history(order, schema));
    let (before, statements) = (sql.chars().count(), count_statements(&sql));
    sql.push_str(&order.text.sql);
    // The text may end in a comment, and need not end in a semicolon.
    sql.push_str("\n;\n");
    sql.push_str(OWN_ROLE);
    let row = JournalRow::of(order, AttemptOutcome::Applied);
    sql.push_str(&insert_journal(&row, schema, "pg_catalog.transaction_timestamp()"));
    Message { sql, before, statements }
}

/// An order under way.
struct Going<'g> {
    server: &'g Postgres,
    order: &'g Order<'g>,
    began: Instant,
}

impl Going<'_> {
    /// Sends the message, and a cancel request when the run insists; the answer decides, whichever came first.
    ///
    /// Nothing when the server does not even answer the cancel request.
    async fn exchange(&self, session: &Lease<'_, Key, Session>, sql: &str) -> Option<Answer> {
        let sent = async {
            match session.fresh {
                true => session.send_counting(sql).await,
                false => session.reset_and_send(sql).await,
            }
        };
        futures_util::pin_mut!(sent);
        tokio::select! {
            biased;
            answer = &mut sent => return Some(answer),
            () = self.order.cancel.cancelled() => {}
        }
        session.canceller().cancel().await;
        timeout(CANCELLED, sent).await.ok()
    }

    fn failed(&self, diagnostic: Diagnostic, moment: Moment, left: Left, retry: bool) -> Outcome {
        Outcome::Failed(Failure { diagnostic, moment, left, retry, duration: self.began.elapsed() })
    }

    /// An order that no session could be had for.
    fn unreached(&self, diagnostic: Diagnostic) -> Diagnostic {
        let made = failed(self.order, Code::CHANGESET_FAILED).cause(diagnostic.message());
        let made = diagnostic.causes().iter().fold(made, |made, cause| made.cause(cause));
        match diagnostic.what_next() {
            Some(hint) => made.hint(hint),
            None => made,
        }
    }

    async fn refused(
        &self,
        session: Lease<'_, Key, Session>,
        schema: &str,
        message: &Message,
        answer: &Answer,
        error: &tokio_postgres::Error,
    ) -> Outcome {
        let before_the_text = answer.completed < message.statements;
        if before_the_text && fault::is_making_what_is_there(error) {
            session.keep();
            let (diagnostic, _) = fault::refused(self.order, error);
            return self.read_again(schema, diagnostic).await;
        }
        if before_the_text && fault::is_about(error, schema, HISTORY) {
            match error.code().map(tokio_postgres::error::SqlState::code) {
                // The row is there: another runner has applied it since we looked.
                Some("23505") => {
                    session.keep();
                    let (diagnostic, _) = fault::refused(self.order, error);
                    return self.read_again(schema, diagnostic).await;
                }
                Some("23502") => {
                    session.discard().await;
                    return self.failed(self.left_schema(schema), Moment::Prepare, Left::Unchanged, false);
                }
                _ => {}
            }
        }
        let (mut diagnostic, retry) = fault::refused(self.order, error);
        let (place, moment) = self.place(message, answer, error);
        if let Some(place) = place {
            diagnostic = diagnostic.at(place);
        }
        let row = JournalRow::of(self.order, AttemptOutcome::Failed).error(&diagnostic.one_line());
        let diagnostic = self.note(session, schema, row, diagnostic).await;
        self.failed(diagnostic, moment, Left::Unchanged, retry)
    }

    /// Says where in the file: by the server's position, else by counting the statements that completed.
    fn place(
        &self,
        message: &Message,
        answer: &Answer,
        error: &tokio_postgres::Error,
    ) -> (Option<crate::error::Place>, Moment) {
        let text = &self.order.text.sql;
        let inside = fault::position(error).and_then(|at| at.checked_sub(message.before));
        let offset = inside.and_then(|at| text.char_indices().nth(at));
        if let Some((offset, _)) = offset {
            return (Some(place_at(self.order, offset)), Moment::Execute);
        }
        let Some(done) = answer.completed.checked_sub(message.statements) else { return (None, Moment::Prepare) };
        let statements = split(text, Dialect::Postgres).unwrap_or_default();
        match statements.get(done) {
            Some(statement) => (Some(place_of(self.order, statement)), Moment::Execute),
            None => (None, Moment::Commit),
        }
    }

    fn left_schema(&self, schema: &str) -> Diagnostic {
        failed(self.order, Code::LEFT_SCHEMA)
            .cause(format!("current_schema() is not `{schema}`: the schema is gone, or its USAGE privilege is"))
            .hint(format!("see whether schema `{schema}` exists and the user may use it"))
    }

    /// Journals a failure on its own, after the transaction was rolled back.
    async fn note(
        &self,
        session: Lease<'_, Key, Session>,
        schema: &str,
        row: JournalRow<'_>,
        diagnostic: Diagnostic,
    ) -> Diagnostic {
        let mut sql = String::new();
        if !self.order.tables.journal {
            sql.push_str(&make_journal(schema));
        }
        let began = self.began.elapsed().as_millis();
        let started = format!("(pg_catalog.clock_timestamp() - interval '{began} milliseconds')");
        sql.push_str(&insert_journal(&row, schema, &started));
        let written = timeout(READ_AGAIN, session.reset_and_send(&sql)).await;
        let why = match written {
            Ok(Answer { error: None, .. }) => {
                session.take_notices();
                session.keep();
                return diagnostic;
            }
            Ok(Answer { error: Some(error), .. }) => fault::words(&error),
            Err(_) => format!("no answer within {} s", READ_AGAIN.as_secs()),
        };
        session.discard().await;
        let name = &self.order.tenant.name;
        diagnostic.join(
            Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, format!("the failure is not in the journal of tenant {name}"))
                .cause(why),
        )
    }

    /// Looks on a new session whether the history has the row after all.
    async fn read_again(&self, schema: &str, diagnostic: Diagnostic) -> Outcome {
        let (version, checksum) = (self.order.changeset.version, self.order.text.checksum(self.order.width));
        let sql = format!("SELECT checksum FROM {} WHERE version = {version}", table(schema, HISTORY));
        let look = async {
            let session = self.server.session(self.order.tenant).await.ok()?;
            let rows = session.ask(&sql).await;
            match rows {
                Ok(rows) => {
                    session.keep();
                    Some(rows)
                }
                Err(error) => {
                    let missing = !fault::is_lost(&error);
                    session.discard().await;
                    missing.then(Vec::new)
                }
            }
        };
        let found = timeout(READ_AGAIN, look).await.ok().flatten();
        let row = found.as_ref().and_then(|rows| rows.first()).and_then(|row| row.first()?.clone());
        match row {
            Some(recorded) if recorded == checksum.to_string() => Outcome::Applied(Applied {
                duration: self.began.elapsed(),
                notices: Vec::new(),
                by_another: diagnostic.code() != Code::OUTCOME_UNKNOWN,
            }),
            Some(recorded) => {
                let diagnostic = diagnostic.cause(format!("its history has this version with checksum {recorded}"));
                self.failed(diagnostic, Moment::Commit, Left::Unchanged, false)
            }
            None if diagnostic.code() == Code::OUTCOME_UNKNOWN => {
                let seen = if found.is_some() {
                    "its history did not have it a moment later"
                } else {
                    "it could not be read again"
                };
                self.failed(diagnostic.cause(seen), Moment::Commit, Left::Unknown, false)
            }
            None => self.failed(diagnostic, Moment::Execute, Left::Unchanged, true),
        }
    }
}
