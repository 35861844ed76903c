//! A no-transaction changeset on one tenant: statement by statement, on a session that ends with it.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::engine::pool::Lease;
use crate::engine::stepwise::{self, Fault, Steps, failed};
use crate::engine::tables::JournalRow;
use crate::engine::{Failure, Left, Moment, Order, Outcome};
use crate::error::{Code, Diagnostic, names};
use crate::sql::{Dialect, HazardKind, Statement, hazards, split};

use super::apply::mentions;
use super::session::{Key, Session};
use super::sql::{AS_WE_CAME_FOR_NOW, Settings, insert_history, insert_journal, literal, make_tables};
use super::{Postgres, fault, home};

/// How long a cancelled statement may take to end.
const CANCELLED: Duration = Duration::from_secs(10);

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
    let statements = match blocks(&order.text.sql, statements) {
        Ok(statements) => statements,
        Err(unended) => {
            let diagnostic = failed(order, Code::TRANSACTION_CONTROL).at(stepwise::place_of(order, &unended));
            return stopped(
                diagnostic.cause("the text does not end this transaction").hint("add its COMMIT"),
                false,
                0,
            );
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
    let mut steps = OnSession { order, session: &session, schema: &schema, started: String::new() };
    let outcome = stepwise::apply(order, &statements, &mut steps).await;
    // The text may have left anything in the session.
    session.discard().await;
    outcome
}

/// Joins what stands between `BEGIN` and `COMMIT` to one statement: it commits as one, and is one message.
///
/// # Errors
/// The `BEGIN` of a transaction that the text does not end.
fn blocks<'t>(text: &'t str, statements: Vec<Statement<'t>>) -> Result<Vec<Statement<'t>>, Statement<'t>> {
    let mut joined: Vec<Statement<'t>> = Vec::with_capacity(statements.len());
    let mut open = false;
    for statement in statements {
        let end = statement.offset + statement.text.len();
        let begins = begins(statement.text);
        match joined.last_mut() {
            Some(block) if open => block.text = &text[block.offset..end],
            _ => joined.push(statement),
        }
        open = begins.unwrap_or(open);
    }
    match joined.pop_if(|_| open) {
        Some(unended) => Err(unended),
        None => Ok(joined),
    }
}

/// Whether a statement that failed may have committed a part of itself: a procedure, or a `DO` block that says so.
/// <https://www.postgresql.org/docs/current/plpgsql-transactions.html>
fn may_commit_inside(statement: &str) -> bool {
    let begins_with = |word: &str| statement.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    begins_with("call") || (begins_with("do") && mentions(statement, "commit"))
}

/// Whether a transaction is open after this statement; nothing where the statement has no say in it.
fn begins(statement: &str) -> Option<bool> {
    let found = hazards(statement, Dialect::Postgres).ok()?;
    let control = found.iter().find(|hazard| hazard.kind == HazardKind::TransactionControl)?;
    let words = control.words.to_ascii_lowercase();
    if words.ends_with("prepared") {
        return None;
    }
    let last: Vec<String> = statement.split_whitespace().rev().take(2).map(str::to_ascii_lowercase).collect();
    let chained = matches!(last.as_slice(), [chain, and] if chain == "chain" && and == "and");
    Some(chained || words.starts_with("begin") || words.starts_with("start"))
}

struct OnSession<'s> {
    order: &'s Order<'s>,
    session: &'s Lease<'s, Key, Session>,
    schema: &'s str,
    /// When the order began, by the server's clock, as an SQL expression.
    started: String,
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
            return Fault::Lost(fault::lost(self.order, error));
        }
        let (diagnostic, retry) = fault::refused(self.order, error);
        Fault::Refused { diagnostic, retry }
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
    async fn prepare(&mut self) -> Result<(), Fault> {
        let settings = Settings {
            verb: "SET",
            search_path: self.order.tenant.datasource.schema(),
            lock_timeout: self.order.limits.lock_timeout,
            statement_timeout: self.order.limits.statement_timeout,
            checks_client: self.session.checks_client,
        };
        self.record(&settings.sql()).await?;
        let tables = make_tables(self.order, self.schema);
        if !tables.is_empty() {
            self.record(&tables).await?;
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
        self.started = literal(cell(1));
        Ok(())
    }

    /// Two messages: `CREATE INDEX CONCURRENTLY` is refused in a message with anything else (25001).
    async fn run(&mut self, intent: JournalRow<'_>, statement: &Statement<'_>) -> Result<(), Fault> {
        let intent = insert_journal(&intent, self.schema, "pg_catalog.clock_timestamp()");
        self.record(&format!("{AS_WE_CAME_FOR_NOW}{intent}")).await?;
        match self.send(statement.text).await {
            Err(Fault::Refused { diagnostic, .. }) if may_commit_inside(statement.text) => {
                let why = diagnostic.causes().first().cloned().unwrap_or_default();
                Err(Fault::Lost(failed(self.order, Code::HALF_APPLIED).cause(why).hint(
                    "what this statement committed by itself before it failed has stayed: look what is there; \
                     `mtmigrate up` does not run it again by itself",
                )))
            }
            sent => sent,
        }
    }

    /// An interrupted `CREATE INDEX CONCURRENTLY` leaves an invalid index, which `IF NOT EXISTS` then takes for good.
    async fn check(&mut self) -> Result<(), Fault> {
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
            .hint(
                "rebuild it in place (REINDEX INDEX CONCURRENTLY …), then run `mtmigrate up` again: it looks once more",
            );
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

    async fn note(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        // The text may have begun a transaction that has failed.
        let journal = insert_journal(&row, self.schema, &self.started);
        self.record("ROLLBACK").await?;
        self.record(&format!("{AS_WE_CAME_FOR_NOW}{journal}")).await
    }

    fn notices(&mut self) -> Vec<String> {
        self.session.take_notices()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commits_as_one_is_one_statement() {
        let text = "VACUUM;\nBEGIN; INSERT INTO a VALUES (1);\n SAVEPOINT s; ROLLBACK TO s; COMMIT ;\nSELECT 1;\n\
                    START  TRANSACTION; SELECT 2; COMMIT AND CHAIN; SELECT 3; END";
        let joined = blocks(text, split(text, Dialect::Postgres).unwrap()).unwrap();
        let texts: Vec<&str> = joined.iter().map(|statement| statement.text).collect();
        assert_eq!(
            texts,
            [
                "VACUUM",
                "BEGIN; INSERT INTO a VALUES (1);\n SAVEPOINT s; ROLLBACK TO s; COMMIT",
                "SELECT 1",
                "START  TRANSACTION; SELECT 2; COMMIT AND CHAIN; SELECT 3; END"
            ]
        );
    }

    #[test]
    fn a_transaction_that_the_text_does_not_end_is_found() {
        let text = "SELECT 1;\nBEGIN; SELECT 2";
        let unended = blocks(text, split(text, Dialect::Postgres).unwrap()).unwrap_err();
        assert_eq!((unended.line, unended.column), (2, 1));
    }
}
