//! A transactional changeset on one tenant: one message, one implicit transaction, one round trip.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT>

use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::engine::pool::Lease;
use crate::engine::silence::sending;
use crate::engine::stepwise::{failed, half_done, place_at, place_of};
use crate::engine::tables::{HISTORY, JOURNAL, JournalRow};
use crate::engine::{Applied, Failure, Left, Moment, Order, Outcome};
use crate::error::{Code, Diagnostic};
use crate::history::AttemptOutcome;
use crate::sql::{Dialect, EngineKind, only_makes, split};

use super::fence::{self, FIRE_DEFERRED, Fence};
use super::opening::{self, Lasting, opening};
use super::session::{Answer, Key, Session};
use super::sql::{
    OWN_PATH, OWN_ROLE, PG_CATALOG_ALONE, Settings, assert_history, count_statements, ident, insert_history,
    insert_journal, insert_journal_where, literal, make_journal, make_tables, table,
};
use super::{Postgres, elsewhere, fault, home, key};

/// How long a cancelled statement may take to end.
const CANCELLED: Duration = Duration::from_secs(10);

/// What to do about a text after which the record cannot be written.
const UNRECORDABLE: &str = "the text ran, but after it mtmigrate's own tables could not be written: let the text leave \
    refinery_schema_history and mtmigrate_journal alone, and the transaction writable";

/// What our own statements after the text fail with, and no deferred constraint does: no privilege, read-only, no table,
/// no column, no schema, and the missing row that `assert_history` finds.
const UNRECORDABLE_CODES: [&str; 6] = ["42501", "25006", "42P01", "42703", "3F000", "22P02"];

/// How much longer than its limits say an answer is waited for, beside a tenth of them.
const GRACE: Duration = Duration::from_secs(10);

/// How long a failure's journal row may take.
const NOTED: Duration = Duration::from_secs(20);

/// The message of an order, and what of it is ours.
struct Message {
    sql: String,
    /// Characters before the text.
    before: usize,
    /// Statements before the text.
    statements: usize,
    /// Those of them that make the session the tenant's, from 0.
    opening: Range<usize>,
    /// Whether the text may load a library.
    loads: bool,
}

pub(super) async fn apply(server: &Postgres, order: &Order<'_>) -> Outcome {
    let began = Instant::now();
    let going = Going { server, order, began };
    if let Some(failure) = half_done(order) {
        return Outcome::Failed(failure);
    }
    let shared = shared(order).map(|key| server.alone(key));
    let _turn = match &shared {
        Some(shared) => Some(shared.lock().await),
        None => None,
    };
    let key = key(order.tenant);
    loop {
        let session = tokio::select! {
            biased;
            session = server.session_with(order.lane, &key) => session,
            () = order.cancel.cancelled() => {
                return going.failed(failed(order, Code::CANCELLED), Moment::Prepare, Left::Unchanged, false);
            }
        };
        let session = match session {
            Ok(session) => session,
            Err(diagnostic) => {
                // Nothing was sent, so another try does no harm; it helps where the server may come back.
                let passing = [Code::UNREACHABLE, Code::NO_CONNECTION].contains(&diagnostic.code());
                return going.failed(going.unreached(diagnostic), Moment::Prepare, Left::Unchanged, passing);
            }
        };
        let Some(schema) = home(order.tenant, &session) else {
            let diagnostic = fault::no_schema(&server.server, order.tenant.datasource.database(), None);
            session.discard().await;
            return going.failed(going.unreached(diagnostic), Moment::Prepare, Left::Unchanged, false);
        };
        // What an earlier order left unread is not about this one.
        session.take_notices();
        let asynchronous = server.unflushed.asynchronous(&session, &key);
        let standing = Standing::of(order, &session);
        let message = message(order, &session, &schema, asynchronous, standing);
        let left = Some(session.backend);
        let answer = match going.exchange(&session, &message.sql, standing == Standing::There).await {
            Ok(answer) => answer,
            Err(silence) => {
                session.discard().await;
                let diagnostic = failed(order, Code::OUTCOME_UNKNOWN).cause(silence);
                return going.read_again(&schema, diagnostic, left).await;
            }
        };
        return match &answer.error {
            None => {
                let notices = session.take_notices();
                if standing != Standing::Gone {
                    session.stands(Some(order.limits));
                }
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
                let mut diagnostic = fault::lost(order, error);
                if let Some(why) = session.given_up() {
                    diagnostic = diagnostic.cause(why);
                }
                let left = left.filter(|_| !fault::is_fatal(error));
                session.discard().await;
                going.read_again(&schema, diagnostic, left).await
            }
            Some(error) => going.refused(session, &schema, &message, &answer, error).await,
        };
    }
}

/// Returns what tenants take turns at who touch the same thing: their database, or with no name the whole server. Two
/// transactions that make or alter one object at once collide, also with IF NOT EXISTS and OR REPLACE.
fn shared<'o>(order: &'o Order<'_>) -> Option<&'o str> {
    let directives = &order.text.directives;
    match (directives.touches_cluster, directives.touches.is_empty()) {
        (true, _) => Some(""),
        (false, false) => Some(order.tenant.datasource.database()),
        (false, true) => None,
    }
}

/// Whether an order's limits hold for the whole session. Four statements of ours and the reset before them cost a tenth of
/// a small changeset, and texts that leave nothing need them once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// They do, and nothing else was changed in it.
    There,
    /// They will, after this order.
    Made,
    /// The text may change anything in the session: they hold for its transaction alone.
    Gone,
}

impl Standing {
    fn of(order: &Order<'_>, session: &Session) -> Self {
        let leaves_nothing = !session.has_event_triggers && only_makes(&order.text.sql, EngineKind::Postgres);
        match session.standing() {
            _ if !leaves_nothing => Self::Gone,
            Some(limits) if limits == order.limits => Self::There,
            _ => Self::Made,
        }
    }
}

/// Makes the message; `asynchronous` is the statement that lets it commit so, if it may.
fn message(order: &Order<'_>, session: &Session, schema: &str, asynchronous: &str, standing: Standing) -> Message {
    let settings = Settings {
        verb: if standing == Standing::Made { "SET" } else { "SET LOCAL" },
        search_path: None,
        lock_timeout: order.limits.lock_timeout,
        statement_timeout: order.limits.statement_timeout,
        checks_client: session.checks_client,
    };
    let fence = if order.skips { None } else { Fence::around(order, schema) };
    let mut sql = if standing == Standing::There { String::new() } else { settings.sql() };
    sql.push_str(asynchronous);
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
    let opens = count_statements(&sql);
    // Where no text runs, nothing of it needs the tenant's role and settings.
    let opened = match order.skips {
        true => String::new(),
        false => opening(order.tenant, schema, Lasting::Transaction),
    };
    sql.push_str(&opened);
    let (before, statements) = (sql.chars().count(), count_statements(&sql));
    let loads = fence.is_some() && fence::may_mention(&order.text.sql, "load '");
    sql.push_str(&order.text.sql);
    // The text may end in a comment, and need not end in a semicolon.
    sql.push_str("\n;\n");
    if standing == Standing::Gone || !opened.is_empty() {
        sql.push_str(OWN_ROLE);
    }
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
    Message { sql, before, statements, opening: opens..statements, loads }
}

/// The condition under which a failure is journalled: a message that arrives late must not come after what another run
/// wrote, and hide that a text of that one is half applied.
fn not_moved(order: &Order<'_>, schema: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM {} AS j WHERE j.id OPERATOR(pg_catalog.>) {} \
         AND j.run_id OPERATOR(pg_catalog.<>) {})",
        table(schema, JOURNAL),
        order.known.journal_end.unwrap_or(0),
        literal(&order.run.run_id)
    )
}

/// Whether a text has this ASCII word somewhere, in any case. Cheap, and wrong only in the harmless direction.
pub(super) fn mentions(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// Returns the longest time in which the server answers a message whose every statement it limits, and some more;
/// nothing where it limits none. A semicolon ends a statement; those in a body or a text only make it longer.
/// <https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-STATEMENT-TIMEOUT>
fn longest(statement_timeout: Duration, message: &str) -> Option<Duration> {
    let statements = message.bytes().filter(|byte| *byte == b';').count() + 1;
    let all = statement_timeout.saturating_mul(u32::try_from(statements).unwrap_or(u32::MAX));
    (!all.is_zero()).then(|| all.saturating_add(all / 10).saturating_add(GRACE).saturating_add(sending(message.len())))
}

/// Ends when the time is over; without one never.
async fn passed(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// An order under way.
pub(super) struct Going<'g> {
    pub server: &'g Postgres,
    pub order: &'g Order<'g>,
    pub began: Instant,
}

impl Going<'_> {
    /// Sends the message, and a cancel request when the run insists; the answer decides, whichever came first.
    ///
    /// # Errors
    /// In words, how the server was silent: past the limits that it keeps itself, or to the cancel request.
    async fn exchange(&self, session: &Lease<'_, Key, Session>, sql: &str, as_it_is: bool) -> Result<Answer, String> {
        let begun = Notify::new();
        let sent = session.send_text(sql, as_it_is, &begun);
        futures_util::pin_mut!(sent);
        let longest = longest(self.order.limits.statement_timeout, sql);
        tokio::select! {
            biased;
            answer = &mut sent => return Ok(answer),
            () = self.order.cancel.cancelled() => {}
            () = passed(longest) => {
                let limit = humantime::format_duration(longest.unwrap_or_default());
                return Err(format!("no answer within {limit}, longer than statement_timeout allows"));
            }
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
        timeout(CANCELLED, cancelled).await.map_err(|_| "the server did not answer the cancel request".to_owned())
    }

    pub(super) fn failed(&self, diagnostic: Diagnostic, moment: Moment, left: Left, retry: bool) -> Outcome {
        Outcome::Failed(Failure { diagnostic, moment, left, retry, duration: self.began.elapsed() })
    }

    /// An order that no session could be had for.
    fn unreached(&self, diagnostic: Diagnostic) -> Diagnostic {
        let code = match diagnostic.code() {
            told @ (Code::NO_CONNECTION | Code::POOLED) => told,
            _ => Code::CHANGESET_FAILED,
        };
        let made = failed(self.order, code).cause(diagnostic.message());
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
            return self.read_again(schema, diagnostic, None).await;
        }
        if before_the_text && fault::is_about(error, schema, HISTORY) {
            match fault::code(error) {
                // The row is there: another runner has applied it since we looked.
                "23505" => {
                    session.keep();
                    let (diagnostic, _) = fault::refused(self.order, error);
                    return self.read_again(schema, diagnostic, None).await;
                }
                "23502" => {
                    session.discard().await;
                    return self.failed(self.left_schema(schema), Moment::Prepare, Left::Unchanged, false);
                }
                _ => {}
            }
        }
        let (mut diagnostic, mut retry) = fault::refused(self.order, error);
        if message.opening.contains(&answer.completed) {
            (diagnostic, retry) = (opening::refused(self.order, schema, error), false);
        }
        let (place, moment) = self.place(message, answer, error);
        if moment == Moment::Prepare && fault::is_race(error) {
            // refinery, which knows no run lock, makes the same table at this moment.
            retry = true;
        }
        if moment == Moment::Execute {
            let asked = elsewhere::explain(self.server, &session, schema, error, diagnostic.clone());
            diagnostic = timeout(NOTED, asked).await.unwrap_or(diagnostic);
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
        sql.push_str(&insert_journal_where(&row, schema, &started, &not_moved(self.order, schema)));
        let writing = async {
            session.reset().await?;
            session.send_counting(&sql).await.error.map_or(Ok(()), Err)
        };
        let why = match timeout(NOTED, writing).await {
            Ok(Ok(())) => {
                session.keep();
                return diagnostic;
            }
            Ok(Err(error)) => fault::words(&error),
            Err(_) => format!("no answer within {} s", NOTED.as_secs()),
        };
        session.discard().await;
        let name = &self.order.tenant.name;
        diagnostic.join(
            Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, format!("the failure is not in the journal of tenant {name}"))
                .cause(why),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_long_as_each_statement_may_take_and_a_little_more() {
        let second = Duration::from_secs(1);
        assert_eq!(longest(Duration::ZERO, "SELECT 1; SELECT 2"), None);
        assert_eq!(longest(50 * second, "SELECT 1; SELECT 2"), Some(120 * second));
        assert!(longest(Duration::from_secs(u64::MAX / 2), "a;b;c;d").is_some());
    }
}
