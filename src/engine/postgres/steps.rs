//! A no-transaction changeset on one tenant: statement by statement, on a session that ends with it.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::engine::pool::Lease;
use crate::engine::stepwise::{self, Fault, Step, Steps, failed};
use crate::engine::tables::{JOURNAL, JournalRow, StatementMark};
use crate::engine::traced::{Inquiry, Traced, decide, inquire};
use crate::engine::{Begun, Failure, Fate, Left, Moment, Order, Outcome, Record, Resume};
use crate::error::{Code, Diagnostic, names};
use crate::history::prefix_hash;
use crate::sql::{Dialect, Statement, Trace, split, trace};

use super::apply::mentions;
use super::flush::Commits;
use super::opening::{self, Lasting, opening};
use super::session::{Key, Session};
use super::sql::{
    AS_WE_CAME_FOR_NOW, PG_CATALOG_ALONE, Settings, insert_history, insert_journal, literal, make_journal, make_tables,
    table, under_own_role,
};
use super::{Postgres, fault, fence, home, key, places, probe, work};

/// How long a cancelled statement may take to end.
const CANCELLED: Duration = Duration::from_secs(10);

/// How long the writing of one journal row may take.
const RECORDED: Duration = Duration::from_secs(20);

pub(super) async fn apply(server: &Postgres, order: &Order<'_>) -> Outcome {
    let began = Instant::now();
    let stopped = |diagnostic: Diagnostic, retry: bool, statements: u32| {
        let left = match &order.resume {
            Some(resume) => Left::Half { statement_no: resume.statement_no, statements },
            None => Left::Unchanged,
        };
        Outcome::Failed(Failure { diagnostic, moment: Moment::Prepare, left, retry, duration: began.elapsed() })
    };
    let statements = match split(&order.text.sql, Dialect::Postgres) {
        Ok(statements) => statements,
        Err(error) => {
            let place = stepwise::place_at(order, error.offset);
            return stopped(failed(order, Code::BROKEN_SQL).at(place).cause(error.message), false, 0);
        }
    };
    let count = statements.len() as u32;
    let alone = server.alone(order.tenant.datasource.database());
    let session = async {
        let turn = alone.lock().await;
        server.clean_session(order.tenant).await.map(|session| (turn, session))
    };
    let session = tokio::select! {
        biased;
        session = session => session,
        () = order.cancel.cancelled() => return stopped(failed(order, Code::CANCELLED), false, count),
    };
    let (_alone, session) = match session {
        Ok(session) => session,
        Err(diagnostic) => {
            return stopped(failed(order, Code::CHANGESET_FAILED).cause(diagnostic.one_line()), true, count);
        }
    };
    let Some(schema) = home(order.tenant, &session) else {
        let diagnostic = fault::no_schema(&server.server, order.tenant.datasource.database(), None);
        session.discard().await;
        return stopped(diagnostic, false, count);
    };
    let refused = match fence::outside_by_name(order, &session, &schema).await {
        Ok(None) => None,
        Ok(Some(outside)) => Some((outside, false)),
        Err(error) => Some((failed(order, Code::CHANGESET_FAILED).cause(fault::words(&error)), true)),
    };
    if let Some((diagnostic, retry)) = refused {
        session.discard().await;
        return stopped(diagnostic, retry, count);
    }
    // The text may make its own commits asynchronous.
    server.unflushed.writes(&key(order.tenant));
    let started = String::new();
    let mut steps = OnSession {
        order,
        session: &session,
        schema: &schema,
        statements: &statements,
        started,
        rolled_back_to: None,
        commit_failed: false,
    };
    let mut outcome = stepwise::apply(order, &statements, &mut steps).await;
    if let (Outcome::Failed(failure), Some(again)) = (&mut outcome, steps.rolled_back_to) {
        failure.left = match again {
            0 | 1 => Left::Unchanged,
            statement_no => Left::Half { statement_no, statements: statements.len() as u32 },
        };
    }
    // The text may have left anything in the session.
    session.discard().await;
    outcome
}

/// Finds out what became of a statement.
pub(super) async fn fate(server: &Postgres, begun: &Begun<'_>) -> Result<Fate, Diagnostic> {
    let inquiry = match split(&begun.text.sql, Dialect::Postgres) {
        Ok(statements) => inquire(begun, &statements, |statement| trace(statement, Dialect::Postgres)),
        Err(error) => Inquiry::Known(Fate::Unknown(format!("the file cannot be split into statements: {error}"))),
    };
    let (probes, before) = match inquiry {
        Inquiry::Known(fate) => return Ok(fate),
        Inquiry::Ask { probes, before } => (probes, before),
    };
    let session = server.clean_session(begun.tenant).await?;
    let Some(schema) = home(begun.tenant, &session) else {
        let diagnostic = fault::no_schema(&server.server, begun.tenant.datasource.database(), None);
        session.discard().await;
        return Err(diagnostic);
    };
    let question = format!("SELECT {}", probe::answers(&schema, &probes));
    match timeout(RECORDED, session.ask(&question)).await {
        Ok(Ok(rows)) => {
            session.keep();
            let now = rows.into_iter().flatten().next().flatten().unwrap_or_default();
            Ok(decide(&probes, &before, &now))
        }
        Ok(Err(error)) => {
            session.discard().await;
            Err(unlooked(begun, fault::words(&error)))
        }
        Err(_) => {
            session.discard().await;
            Err(unlooked(begun, format!("no answer within {} s", RECORDED.as_secs())))
        }
    }
}

fn unlooked(begun: &Begun<'_>, cause: String) -> Diagnostic {
    let message = format!("what became of a statement of tenant {} cannot be looked up", begun.tenant.name);
    Diagnostic::new(Code::READ_FAILED, message).cause(cause)
}

/// Writes what was found out about a statement.
pub(super) async fn record(server: &Postgres, record: &Record<'_>) -> Result<Resume, Diagnostic> {
    let statements = split(&record.text.sql, Dialect::Postgres).map_err(|error| stepwise::unsplit(record, &error))?;
    let mark = stepwise::marked(record, &statements)?;
    let resume = mark.resume();
    let row = JournalRow::of_record(record, mark);
    let session = server.session(record.tenant).await?;
    let Some(schema) = home(record.tenant, &session) else {
        return Err(fault::no_schema(&server.server, record.tenant.datasource.database(), None));
    };
    let insert = insert_journal(&row, &schema, "pg_catalog.clock_timestamp()");
    let writing = async {
        session.reset().await?;
        // Until this session is over nobody begins there: a row that arrives late never speaks of another run's progress.
        if !work::take(&session, &schema).await? {
            return Ok(false);
        }
        let there = places::journal_format(&session, &schema).await?;
        session.ask(&format!("{}{insert}", make_journal(there, &schema))).await.map(|_| true)
    };
    let written = timeout(RECORDED, writing).await;
    session.discard().await;
    match written {
        Ok(Ok(true)) => Ok(resume),
        Ok(Ok(false)) => Err(stepwise::unrecorded(record, stepwise::AT_WORK)),
        Ok(Err(error)) => Err(stepwise::unrecorded(record, fault::words(&error))),
        Err(_) => Err(stepwise::unrecorded(record, format!("no answer within {} s", RECORDED.as_secs()))),
    }
}

/// Whether a statement that failed may have committed a part of itself: a procedure, or a `DO` block that says so.
/// <https://www.postgresql.org/docs/current/plpgsql-transactions.html>
fn may_commit_inside(statement: &str) -> bool {
    let begins_with = |word: &str| statement.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    begins_with("call") || (begins_with("do") && mentions(statement, "commit"))
}

/// Whether a statement was refused because it cannot be in a transaction: 25001.
fn wants_no_transaction(refused: &Diagnostic) -> bool {
    refused.causes().first().is_some_and(|cause| cause.starts_with(SqlState::ACTIVE_SQL_TRANSACTION.code()))
}

/// Whether a statement ends the text's own transaction, by which it is over also when it fails.
fn ends_transaction(statement: &str) -> bool {
    ["commit", "end"]
        .iter()
        .any(|word| statement.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
}

struct OnSession<'s> {
    order: &'s Order<'s>,
    session: &'s Lease<'s, Key, Session>,
    schema: &'s str,
    statements: &'s [Statement<'s>],
    /// When the order began, by the server's clock, as an SQL expression.
    started: String,
    /// The statement at which the text must begin again, since its own transaction was rolled back.
    rolled_back_to: Option<u32>,
    /// Whether the text's own COMMIT failed: what was in its transaction is rolled back, and the intents with it.
    commit_failed: bool,
}

impl OnSession<'_> {
    async fn send(&self, sql: &str) -> Result<(), Fault> {
        let sent = self.session.send_counting(sql);
        futures_util::pin_mut!(sent);
        let answer = tokio::select! {
            biased;
            answer = &mut sent => answer,
            () = self.order.cancel.cancelled() => {
                self.session.canceller().cancel().await;
                match timeout(CANCELLED, sent).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(Fault::Lost(failed(self.order, Code::OUTCOME_UNKNOWN)
                        .cause("the server did not answer the cancel request"))),
                }
            }
        };
        match answer.error {
            None => Ok(()),
            Some(error) => Err(self.fault(&error)),
        }
    }

    fn fault(&self, error: &tokio_postgres::Error) -> Fault {
        if fault::is_lost(error) {
            let lost = fault::lost(self.order, error);
            return Fault::Lost(match self.session.given_up() {
                Some(why) => lost.cause(why),
                None => lost,
            });
        }
        let (diagnostic, retry) = fault::refused(self.order, error);
        Fault::Refused { diagnostic, retry }
    }

    /// Whether the text's own transaction is open: then the clock stands where it began.
    async fn in_transaction(&self) -> Result<bool, Fault> {
        let sql = "SELECT pg_catalog.now() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()";
        match self.session.ask(sql).await {
            Ok(rows) => Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("t")),
            Err(error) if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => Ok(true),
            Err(error) => Err(self.fault(&error)),
        }
    }

    /// Rolls the text's own transaction back, and the intents in it. Returns the last statement whose intent is left:
    /// that one opened it, and there the text begins again.
    async fn roll_back(&self, row: &JournalRow<'_>) -> Result<u32, Fault> {
        self.record("ROLLBACK").await?;
        let sql = format!(
            "{AS_WE_CAME_FOR_NOW}SELECT statement_no FROM {} WHERE run_id = {} AND version = {} ORDER BY id DESC LIMIT 1",
            table(self.schema, JOURNAL),
            literal(&row.run.run_id),
            row.version
        );
        let rows = self.session.ask(&sql).await.map_err(|error| self.fault(&error))?;
        Ok(rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0))
    }

    /// Makes the session the tenant's: from here on the text's, and what is ours goes under our own role.
    async fn open(&self) -> Result<(), Fault> {
        let sql = opening(self.order.tenant, self.schema, Lasting::Session);
        if sql.is_empty() {
            return Ok(());
        }
        match self.session.send_counting(&sql).await.error {
            None => Ok(()),
            Some(error) if fault::is_lost(&error) => Err(self.fault(&error)),
            Some(error) => {
                let diagnostic = opening::refused(self.order, self.schema, &error);
                Err(Fault::Refused { diagnostic, retry: false })
            }
        }
    }

    /// Writes without listening to the run's cancellation: what is to be recorded is recorded.
    async fn record(&self, sql: &str) -> Result<(), Fault> {
        match self.session.send_counting(sql).await.error {
            None => Ok(()),
            Some(error) => Err(self.fault(&error)),
        }
    }
}

impl Steps for OnSession<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn prepare(&mut self) -> Result<(), Fault> {
        let settings = Settings {
            verb: "SET",
            search_path: self.order.tenant.datasource.schema(),
            lock_timeout: self.order.limits.lock_timeout,
            statement_timeout: self.order.limits.statement_timeout,
            checks_client: self.session.checks_client,
        };
        // An intent must be durable before its statement runs, whatever the session's own commits are.
        let durable = match self.session.commits {
            Some(Commits::Off) => "SET synchronous_commit = local;\n",
            _ => "",
        };
        self.record(&format!("{}{durable}", settings.sql())).await?;
        work::begin(self.order, self.session, self.schema).await?;
        let tables = make_tables(self.order, self.schema);
        if !tables.is_empty()
            && let Some(error) = self.session.send_counting(&format!("{PG_CATALOG_ALONE}{tables}")).await.error
        {
            return Err(match (self.fault(&error), fault::is_making_what_is_there(&error)) {
                (Fault::Refused { diagnostic, .. }, true) => Fault::Refused { diagnostic, retry: true },
                (fault, _) => fault,
            });
        }
        let sql = "SELECT pg_catalog.current_schema(), pg_catalog.clock_timestamp()::text";
        let rows = self.session.ask(sql).await.map_err(|error| self.fault(&error))?;
        let cell = |i: usize| rows.first().and_then(|row| row.get(i)?.as_deref()).unwrap_or_default();
        if cell(0) != self.schema {
            let diagnostic = failed(self.order, Code::LEFT_SCHEMA).cause(format!(
                "current_schema() is `{}` and not `{}`",
                cell(0),
                self.schema
            ));
            return Err(Fault::Refused { diagnostic, retry: false });
        }
        self.started = format!("({}::timestamp with time zone)", literal(cell(1)));
        self.open().await
    }

    async fn set_again(&mut self, statement: &Statement<'_>) -> Result<(), Fault> {
        self.send(statement.text).await
    }

    /// One message where statement and intent commit together; else two, for `CREATE INDEX CONCURRENTLY` is refused in a
    /// message with anything else (25001).
    async fn run(&mut self, step: Step<'_>) -> Result<(), Fault> {
        let Step { statement, mut intent, ahead, .. } = step;
        let journal =
            |row: &JournalRow<'_>| under_own_role(&insert_journal(row, self.schema, "pg_catalog.clock_timestamp()"));
        if let Some(ahead) = ahead {
            self.record(&journal(&ahead)).await?;
        }
        if intent.is_atomic() {
            match self.send(&format!("{}{}", journal(&intent), statement.text)).await {
                Err(Fault::Refused { diagnostic, .. }) if wants_no_transaction(&diagnostic) => {}
                Err(refused @ Fault::Refused { .. }) => {
                    self.commit_failed = ends_transaction(statement.text);
                    return Err(refused);
                }
                sent => return sent,
            }
            // It was rolled back, intent and all. By itself it may run, and then nothing tells.
            intent = intent.traced(Traced::of(statement.text, Trace::Nothing));
        }
        self.record(&journal(&intent)).await?;
        match self.send(statement.text).await {
            Err(Fault::Refused { diagnostic, .. }) if may_commit_inside(statement.text) => {
                let why = diagnostic.causes().first().cloned().unwrap_or_default();
                Err(Fault::Lost(failed(self.order, Code::HALF_APPLIED).cause(why).hint(
                    "what this statement committed by itself before it failed has stayed: look what is there; \
                     `mtmigrate up` does not run it again until you say what became of it with `mtmigrate repair`",
                )))
            }
            sent => sent,
        }
    }

    /// An interrupted `CREATE INDEX CONCURRENTLY` leaves an invalid index, which `IF NOT EXISTS` then takes for good.
    async fn check(&mut self) -> Result<(), Fault> {
        if self.in_transaction().await? {
            let diagnostic = failed(self.order, Code::CHANGESET_FAILED)
                .cause("the text begins a transaction and does not end it")
                .hint(
                    "add the COMMIT, or take the BEGIN out: what belongs in one transaction is a changeset of its own",
                );
            return Err(Fault::Refused { diagnostic, retry: false });
        }
        let sql = format!(
            "{AS_WE_CAME_FOR_NOW}SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND NOT i.indisvalid AND c.relkind = 'i' ORDER BY 1",
            literal(self.schema)
        );
        let rows = self.session.ask(&sql).await.map_err(|error| self.fault(&error))?;
        let invalid: Vec<&str> = rows.iter().filter_map(|row| row.first()?.as_deref()).collect();
        if invalid.is_empty() {
            return Ok(());
        }
        let diagnostic = failed(self.order, Code::INVALID_INDEX)
            .cause(format!("not valid in schema `{}`: {}", self.schema, names(invalid.iter().copied(), 5)))
            .hint(match invalid.iter().any(|name| name.contains("_ccnew") || name.contains("_ccold")) {
                // https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY
                true => {
                    "what is called …_ccnew or …_ccold was left by an interrupted REINDEX: drop it (DROP INDEX \
                     CONCURRENTLY …); then run `mtmigrate up` again: it looks once more"
                }
                false => {
                    "rebuild it in place (REINDEX INDEX CONCURRENTLY …), then run `mtmigrate up` again: it looks once more"
                }
            });
        Err(Fault::Refused { diagnostic, retry: false })
    }

    async fn finish(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        // The text may have moved the session's search_path, which the history row asserts.
        let path = match self.order.tenant.datasource.schema() {
            Some(schema) => format!("SET LOCAL search_path = {};\n", super::sql::ident(schema)),
            None => "SET LOCAL search_path TO DEFAULT;\n".to_owned(),
        };
        let history = insert_history(self.order, self.schema);
        let journal = insert_journal(&row, self.schema, &self.started);
        self.record(&format!("{AS_WE_CAME_FOR_NOW}{path}{history}{journal}")).await
    }

    async fn note(&mut self, mut row: JournalRow<'_>) -> Result<(), Fault> {
        if self.commit_failed || self.in_transaction().await? {
            let last = self.roll_back(&row).await?;
            if let Some(mark) = &mut row.statement
                && last < mark.statement_no
            {
                let again = last.max(1);
                let before = self.statements.iter().take(again as usize - 1).map(|statement| statement.text);
                *mark = StatementMark { statement_no: again, statements: mark.statements, prefix: prefix_hash(before) };
                self.rolled_back_to = Some(again);
            }
        }
        self.record(&format!("{AS_WE_CAME_FOR_NOW}{}", insert_journal(&row, self.schema, &self.started))).await
    }

    fn notices(&mut self) -> Vec<String> {
        self.session.take_notices()
    }
}
