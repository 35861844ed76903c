//! Applies a text that may not be in a transaction, such as `VACUUM` and `PRAGMA journal_mode`, statement by statement.
//!
//! The order of events is [`stepwise::apply`]'s; here is what each of them is on SQLite. A statement that may be in a
//! transaction is in one with its intent; for the others the intent is durable before they begin. Foreign keys are off here too, and checked after the last
//! statement.

use rusqlite::{Connection, Error, ErrorCode};

use super::apply::{broken_keys, execute};
use super::brake::Brake;
use super::fault;
use super::file::File;
use super::foreign_keys::Violations;
use super::kept::Shelf;
use super::ledger::{self, Start};
use super::writing::Writing;
use crate::engine::Order;
use crate::engine::stepwise::{Fault, Step, Steps, failed, unmoved};
use crate::engine::tables::JournalRow;
use crate::error::{Code, Diagnostic};
use crate::sql::{Dialect, Statement};

/// One order on one file.
pub(super) struct FileSteps<'s> {
    order: &'s Order<'s>,
    brake: &'s Brake,
    shelf: &'s Shelf,
    /// How many the text has.
    statements: u32,
    session: Option<Session>,
}

struct Session {
    connection: Writing,
    start: Start,
    /// Before the text, or before the part of it that is left.
    violations: Violations,
}

impl<'s> FileSteps<'s> {
    pub fn new(order: &'s Order<'s>, brake: &'s Brake, shelf: &'s Shelf, statements: usize) -> Self {
        Self { order, brake, shelf, statements: statements as u32, session: None }
    }

    fn session(&self) -> Result<&Session, Fault> {
        let bug = || refused(Diagnostic::new(Code::BUG, "a statement was to be run before its file was opened"));
        self.session.as_ref().ok_or_else(bug)
    }

    fn execute(&self, connection: &Connection, statement: &Statement<'_>) -> Result<(), Fault> {
        let ran = self.brake.during(|| execute(connection, statement.text));
        ran.map_err(|e| self.sort(&e, fault::in_statement(self.order, self.brake, statement, &e)))
    }

    /// A statement that leaves a transaction open is undone: what comes after it could not be journalled durably.
    fn not_left_open(&self, connection: &Connection) -> Result<(), Fault> {
        if connection.is_autocommit() {
            return Ok(());
        }
        connection.execute_batch("ROLLBACK").map_err(|e| self.fault(&e))?;
        Err(refused(
            failed(self.order, Code::CHANGESET_FAILED)
                .cause(
                    "the statement leaves a transaction open, \
                     and every statement of a no-transaction text commits by itself",
                )
                .hint("take BEGIN and COMMIT out; what belongs in one transaction is a changeset of its own"),
        ))
    }

    fn fault(&self, error: &Error) -> Fault {
        self.sort(error, fault::diagnose(self.order, self.brake, error))
    }

    /// After a failure of the disk nobody knows what it holds; after any other the statement had no effect.
    fn sort(&self, error: &Error, diagnostic: Diagnostic) -> Fault {
        match fault::kind(error) {
            Some(ErrorCode::SystemIoFailure) => Fault::Lost(diagnostic),
            _ => refused(diagnostic),
        }
    }
}

impl Steps for FileSteps<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn prepare(&mut self) -> Result<(), Fault> {
        let order = self.order;
        let mut connection = File::of(order.tenant, self.shelf).and_then(|file| file.to_write()).map_err(refused)?;
        let ready = self.brake.fit(&mut connection).and_then(|()| {
            let start = Start::now();
            ledger::in_transaction(&connection, || ledger::make_tables(&connection, order))?;
            let recorded = ledger::recorded_checksum(&connection, order)?;
            let last = ledger::journal_end(&connection)?;
            // A text that stopped behind its last statement stopped at the check: what it found is not old.
            let checked_before = order.resume.as_ref().is_some_and(|at| at.statement_no > self.statements);
            let violations = match checked_before {
                true => Violations::default(),
                false => self.brake.during(|| Violations::find(&connection))?,
            };
            Ok((start, recorded, last, violations))
        });
        let (start, recorded, last, violations) = ready.map_err(|e| self.fault(&e))?;
        if let Some(recorded) = recorded {
            return Err(refused(ledger::recorded_otherwise(order, &recorded)));
        }
        unmoved(order, last.as_ref().map(|(id, run_id)| (*id, run_id.as_str())))?;
        self.session = Some(Session { connection, start, violations });
        Ok(())
    }

    async fn set_again(&mut self, statement: &Statement<'_>) -> Result<(), Fault> {
        let Session { connection, .. } = self.session()?;
        self.execute(connection, statement)
    }

    async fn run(&mut self, step: Step<'_>) -> Result<(), Fault> {
        let Session { connection, start, .. } = self.session()?;
        let Step { statement, intent, ahead, .. } = step;
        let insert = |row: &JournalRow<'_>| ledger::insert_journal(connection, start, row).map_err(|e| self.fault(&e));
        if let Some(ahead) = ahead {
            insert(&ahead)?;
        }
        if intent.is_atomic() {
            connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| self.fault(&e))?;
            let ran = insert(&intent)
                .and_then(|()| self.execute(connection, statement))
                .and_then(|()| connection.execute_batch("COMMIT").map_err(|e| self.fault(&e)));
            // Some errors have rolled it back already.
            if ran.is_err() && !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK").map_err(|e| self.fault(&e))?;
            }
            return ran;
        }
        insert(&intent)?;
        self.execute(connection, statement)?;
        self.not_left_open(connection)
    }

    async fn check(&mut self) -> Result<(), Fault> {
        let Session { connection, violations, .. } = self.session()?;
        let found = self.brake.during(|| Violations::find(connection)).map_err(|e| self.fault(&e))?;
        let added = found.added_to(violations);
        if added.is_empty() { Ok(()) } else { Err(refused(broken_keys(self.order, &added))) }
    }

    async fn finish(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        let Session { connection, start, .. } = self.session()?;
        ledger::in_transaction(connection, || {
            ledger::insert_history(connection, self.order)?;
            ledger::insert_journal(connection, start, &row)
        })
        .map_err(|e| self.fault(&e))
    }

    async fn note(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        let Session { connection, start, .. } = self.session()?;
        ledger::note(connection, start, &row).map_err(|e| {
            let lost = Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, "the failure could not be journalled");
            refused(lost.cause(fault::cause(&e)))
        })
    }

    fn notices(&mut self) -> Vec<String> {
        Vec::new()
    }
}

fn refused(diagnostic: Diagnostic) -> Fault {
    let retry = fault::may_pass(&diagnostic);
    Fault::Refused { diagnostic, retry }
}
