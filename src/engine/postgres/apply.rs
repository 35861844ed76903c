//! A transactional changeset on one tenant: one message, one implicit transaction, one round trip.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>

use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::engine::pool::Lease;
use crate::engine::stepwise::{failed, half_done, place_at, place_of};
use crate::engine::tables::{HISTORY, JournalRow};
use crate::engine::{Applied, Failure, Left, Moment, Order, Outcome};
use crate::error::{Code, Diagnostic};
use crate::history::AttemptOutcome;
use crate::sql::{Dialect, split};

use super::fence::{self, FIRE_DEFERRED, Fence};
use super::session::{Answer, Key, Session};
use super::sql::{
    OWN_PATH, OWN_ROLE, PG_CATALOG_ALONE, Settings, assert_history, count_statements, ident, insert_history,
    insert_journal, make_journal, make_tables, table,
};
use super::{Postgres, elsewhere, fault, home};

/// How long a cancelled statement may take to end.
const CANCELLED: Duration = Duration::from_secs(10);

/// What to do about a text after which the record cannot be written.
const UNRECORDABLE: &str = "the text ran, but after it mtmigrate's own tables could not be written: let the text leave \
    refinery_schema_history and mtmigrate_journal alone, and the transaction writable";

/// What our own statements after the text fail with, and no deferred constraint does: no privilege, read-only, no table,
/// no column, no schema, and the missing row that `assert_history` finds.
const UNRECORDABLE_CODES: [&str; 6] = ["42501", "25006", "42P01", "42703", "3F000", "22P02"];

/// How long the re-reading after a lost connection may take.
const READ_AGAIN: Duration = Duration::from_secs(20);

/// The message of an order, and what of it is ours.
struct Message {
    sql: String,
    /// Characters before the text.
    before: usize,
    /// Statements before the text.
    statements: usize,
    /// Whether the text may load a library.
    loads: bool,
}

pub(super) async fn apply(server: &Postgres, order: &Order<'_>) -> Outcome {
    let began = Instant::now();
    let going = Going { server, order, began };
    if let Some(failure) = half_done(order) {
        return Outcome::Failed(failure);
    }
    loop {
        let session = tokio::select! {
            biased;
            session = server.session(order.tenant) => session,
            () = order.cancel.cancelled() => {
                return going.failed(failed(order, Code::CANCELLED), Moment::Prepare, Left::Unchanged, false);
            }
        };
        let session = match session {
            Ok(session) => session,
            Err(diagnostic) => {
                return going.failed(going.unreached(diagnostic), Moment::Prepare, Left::Unchanged, true);
            }
        };
        let Some(schema) = home(order.tenant, &session) else {
            let diagnostic = fault::no_schema(&server.server, order.tenant.datasource.database(), None);
            session.discard().await;
            return going.failed(going.unreached(diagnostic), Moment::Prepare, Left::Unchanged, false);
        };
        // What an earlier order left unread is not about this one.
        session.take_notices();
        let message = message(order, &session, &schema);
        let Some(answer) = going.exchange(&session, &message.sql).await else {
            session.discard().await;
            let diagnostic = failed(order, Code::OUTCOME_UNKNOWN).cause("the server did not answer the cancel request");
            return going.read_again(&schema, diagnostic, false).await;
        };
        return match &answer.error {
            None => {
                let notices = session.take_notices();
                // A library stays loaded in the server's process, whatever is discarded.
                if message.loads {
                    session.discard().await
                } else {
                    session.keep()
                }
                Outcome::Applied(Applied { duration: began.elapsed(), notices, by_another: false })
            }
            // An idle session whose end we had not heard of yet; the next one is another, and at last a new one.
            Some(_) if answer.unseen => {
                session.discard().await;
                continue;
            }
            Some(error) if fault::is_lost(error) => {
                let (diagnostic, over) = (fault::lost(order, error), fault::is_fatal(error));
                session.discard().await;
                going.read_again(&schema, diagnostic, over).await
            }
            Some(error) => going.refused(session, &schema, &message, &answer, error).await,
        };
    }
}

fn message(order: &Order<'_>, session: &Session, schema: &str) -> Message {
    let settings = Settings {
        verb: "SET LOCAL",
        search_path: None,
        lock_timeout: order.limits.lock_timeout,
        statement_timeout: order.limits.statement_timeout,
        checks_client: session.checks_client,
    };
    let fence = Fence::around(order, schema);
    let mut sql = settings.sql();
    let first = fence.as_ref().map(Fence::before).unwrap_or_default() + &make_tables(order, schema);
    if !first.is_empty() {
        sql.push_str(PG_CATALOG_ALONE);
        sql.push_str(&first);
    }
    match order.tenant.datasource.schema() {
        Some(schema) => sql.push_str(&format!("SET LOCAL search_path = {};\n", ident(schema))),
        None if !first.is_empty() => sql.push_str(OWN_PATH),
        None => {}
    }
    sql.push_str(&insert_history(order, schema));
    let (before, statements) = (sql.chars().count(), count_statements(&sql));
    let loads = fence.is_some() && fence::may_mention(&order.text.sql, "load '");
    sql.push_str(&order.text.sql);
    // The text may end in a comment, and need not end in a semicolon.
    sql.push_str("\n;\n");
    sql.push_str(OWN_ROLE);
    if fence.is_some() {
        sql.push_str(FIRE_DEFERRED);
    }
    if mentions(&order.text.sql, HISTORY) {
        sql.push_str(&assert_history(order, schema));
    }
    let row = JournalRow::of(order, AttemptOutcome::Applied);
    sql.push_str(&insert_journal(&row, schema, "pg_catalog.transaction_timestamp()"));
    if let Some(fence) = fence {
        sql.push_str(&fence.after());
    }
    Message { sql, before, statements, loads }
}

/// Whether a text has this ASCII word somewhere, in any case. Cheap, and wrong only in the harmless direction.
pub(super) fn mentions(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
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
        let begun = Notify::new();
        let sent = session.send_text(sql, &begun);
        futures_util::pin_mut!(sent);
        tokio::select! {
            biased;
            answer = &mut sent => return Some(answer),
            () = self.order.cancel.cancelled() => {}
        }
        let cancelled = async {
            tokio::select! {
                biased;
                answer = &mut sent => return answer,
                () = begun.notified() => {}
            }
            session.canceller().cancel().await;
            sent.await
        };
        timeout(CANCELLED, cancelled).await.ok()
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
            return self.read_again(schema, diagnostic, true).await;
        }
        if before_the_text && fault::is_about(error, schema, HISTORY) {
            match fault::code(error) {
                // The row is there: another runner has applied it since we looked.
                "23505" => {
                    session.keep();
                    let (diagnostic, _) = fault::refused(self.order, error);
                    return self.read_again(schema, diagnostic, true).await;
                }
                "23502" => {
                    session.discard().await;
                    return self.failed(self.left_schema(schema), Moment::Prepare, Left::Unchanged, false);
                }
                _ => {}
            }
        }
        let (mut diagnostic, mut retry) = fault::refused(self.order, error);
        let (place, moment) = self.place(message, answer, error);
        if moment == Moment::Prepare && fault::is_race(error) {
            // refinery, which knows no run lock, makes the same table at this moment.
            retry = true;
        }
        if moment == Moment::Execute {
            let asked = elsewhere::explain(self.server, &session, schema, error, diagnostic.clone());
            diagnostic = timeout(READ_AGAIN, asked).await.unwrap_or(diagnostic);
        }
        let fenced = (moment == Moment::Commit).then(|| fence::stopped(self.order, error)).flatten();
        if let Some(fenced) = fenced {
            diagnostic = fenced;
        } else if moment == Moment::Commit && UNRECORDABLE_CODES.contains(&fault::code(error)) {
            diagnostic = diagnostic.hint(UNRECORDABLE);
        }
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
            .cause(format!("current_schema() is not `{schema}`: the schema is gone, its USAGE privilege is, or another schema came before it in the search_path"))
            .hint(format!("see whether schema `{schema}` exists and the user may use it; `schema:` in tenants.yaml names it for good"))
    }

    /// Journals a failure on its own, after the transaction was rolled back.
    async fn note(
        &self,
        session: Lease<'_, Key, Session>,
        schema: &str,
        row: JournalRow<'_>,
        diagnostic: Diagnostic,
    ) -> Diagnostic {
        let mut sql = make_journal(self.order.tables.journal, schema);
        let began = self.began.elapsed().as_millis();
        let started = format!("(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '{began} milliseconds')");
        sql.push_str(&insert_journal(&row, schema, &started));
        let writing = async {
            session.reset().await?;
            session.send_counting(&sql).await.error.map_or(Ok(()), Err)
        };
        let why = match timeout(READ_AGAIN, writing).await {
            Ok(Ok(())) => {
                session.keep();
                return diagnostic;
            }
            Ok(Err(error)) => fault::words(&error),
            Err(_) => format!("no answer within {} s", READ_AGAIN.as_secs()),
        };
        session.discard().await;
        let name = &self.order.tenant.name;
        diagnostic.join(
            Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, format!("the failure is not in the journal of tenant {name}"))
                .cause(why),
        )
    }

    /// Looks on another session whether the history has the row after all. `over` says that the session that was lost
    /// can never commit any more.
    async fn read_again(&self, schema: &str, diagnostic: Diagnostic, over: bool) -> Outcome {
        let version = self.order.changeset.version;
        let sql =
            format!("SELECT checksum FROM {} WHERE version OPERATOR(pg_catalog.=) {version}", table(schema, HISTORY));
        let look = async {
            let session = self.server.clean_session(self.order.tenant).await.ok()?;
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
            Some(recorded) if recorded.parse().is_ok_and(|sum| self.order.text.matches(sum)) => {
                Outcome::Applied(Applied {
                    duration: self.began.elapsed(),
                    notices: Vec::new(),
                    by_another: diagnostic.code() != Code::OUTCOME_UNKNOWN,
                })
            }
            Some(recorded) => {
                let diagnostic = diagnostic.cause(format!("its history has this version with checksum {recorded}"));
                self.failed(diagnostic, Moment::Commit, Left::Unchanged, false)
            }
            None if diagnostic.code() == Code::OUTCOME_UNKNOWN && over && found.is_some() => {
                let diagnostic = diagnostic.cause("the server ended the session, and its history does not have it");
                self.failed(diagnostic, Moment::Execute, Left::Unchanged, false)
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
