//! Applies a changeset: text, history row and journal row commit together, or not at all.
//!
//! Start at [`run`]. A text that may not be in a transaction goes to [`super::steps`]. A text that may
//! leave something in its session (`leavings`: temporary tables, pragmas, attached databases) has a connection of its own,
//! which is closed after it.

use std::time::Instant;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, Error, ErrorCode};
use tokio::runtime::Handle;

use super::brake::Brake;
use super::fault;
use super::file::File;
use super::foreign_keys::Violations;
use super::job::Job;
use super::kept::Shelf;
use super::ledger::{self, Start};
use super::steps::FileSteps;
use super::writing::Writing;
use crate::changeset::Width;
use crate::engine::stepwise::{self, failed, place_of};
use crate::engine::tables::JournalRow;
use crate::engine::{Applied, Failure, Left, Moment, Order, Outcome};
use crate::error::{Code, Diagnostic, Place};
use crate::history::AttemptOutcome;
use crate::sql::{Dialect, Statement, split};

/// Carries an order out, on the thread that calls it.
pub(super) fn run(job: &Job, brake: &Brake, shelf: &Shelf, runtime: &Handle) -> Outcome {
    let order = &job.order();
    let began = Instant::now();
    if brake.is_cancelled() {
        return Outcome::Failed(Stop::prepare(failed(order, Code::CANCELLED)).failure(began));
    }
    let statements = match split(&order.text.sql, Dialect::Sqlite) {
        Ok(statements) => statements,
        Err(e) => {
            let place = order.text.place(e.line, e.column);
            let stop = Stop::prepare(failed(order, Code::BROKEN_SQL).at(place).cause(e.message));
            return Outcome::Failed(stop.failure(began));
        }
    };
    if order.text.directives.no_transaction {
        return runtime.block_on(stepwise::apply(
            order,
            &statements,
            &mut FileSteps::new(order, brake, shelf, statements.len()),
        ));
    }
    if let Some(failure) = stepwise::half_done(order) {
        return Outcome::Failed(failure);
    }
    match (Whole { order, statements: &statements, brake, shelf, leaves_nothing: job.leaves_nothing }).apply() {
        Ok(by_another) => Outcome::Applied(Applied { duration: began.elapsed(), notices: Vec::new(), by_another }),
        Err(stop) => Outcome::Failed(stop.failure(began)),
    }
}

/// Executes one statement and reads every row it answers.
///
/// As a batch: whatever SQLite takes for a second statement is executed too, never passed over.
pub(super) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut batch = Batch::new(connection, sql);
    while let Some(mut statement) = batch.next()? {
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
    }
    Ok(())
}

/// An order whose text commits as a whole.
struct Whole<'w> {
    order: &'w Order<'w>,
    statements: &'w [Statement<'w>],
    brake: &'w Brake,
    shelf: &'w Shelf,
    /// Whether the text may have a connection that other such texts had.
    leaves_nothing: bool,
}

/// How a transaction ended, if nothing went wrong.
enum Verdict {
    Committed,
    /// Rolled back: a moment ago another run committed the same.
    ByAnother,
    /// Rolled back: these violations are not among the known ones.
    Violates(Violations),
}

/// Why an order ended before it was applied.
struct Stop {
    diagnostic: Diagnostic,
    moment: Moment,
    left: Left,
}

impl Stop {
    fn new(moment: Moment, diagnostic: Diagnostic) -> Self {
        Self { diagnostic, moment, left: Left::Unchanged }
    }

    fn prepare(diagnostic: Diagnostic) -> Self {
        Self::new(Moment::Prepare, diagnostic)
    }

    /// Whether a person wants to find it in the journal: what passes by itself, and what never began, is not there.
    fn is_noteworthy(&self) -> bool {
        self.moment != Moment::Prepare && self.left == Left::Unchanged && !fault::may_pass(&self.diagnostic)
    }

    fn failure(self, began: Instant) -> Failure {
        let Self { diagnostic, moment, left } = self;
        let retry = left == Left::Unchanged && fault::may_pass(&diagnostic);
        Failure { diagnostic, moment, left, retry, duration: began.elapsed() }
    }
}

impl Whole<'_> {
    /// Applies the text; answers whether it was another run that did, a moment ago.
    fn apply(&self) -> Result<bool, Stop> {
        let file = File::of(self.order.tenant, self.shelf).map_err(Stop::prepare)?;
        let opened = if self.leaves_nothing { file.to_write_again() } else { file.to_write() };
        let mut connection = opened.map_err(Stop::prepare)?;
        self.brake.fit(&mut connection).map_err(|e| self.stop(Moment::Prepare, &e))?;
        let start = Start::now();
        let applied = self.attempts(&connection, &start).map_err(|stop| match stop.is_noteworthy() {
            true => self.note(&connection, &start, stop),
            false => stop,
        });
        if self.leaves_nothing && applied.is_ok() {
            file.keep(connection);
        }
        applied
    }

    /// Tries once; and once more if every violation that was found was there before, knowing that.
    fn attempts(&self, connection: &Writing, start: &Start) -> Result<bool, Stop> {
        let mut known = Violations::default();
        let mut added = Vec::new();
        for _ in 0..2 {
            let found = match self.transaction(connection, start, &known)? {
                Verdict::Committed => return Ok(false),
                Verdict::ByAnother => return Ok(true),
                Verdict::Violates(found) => found,
            };
            known = self.brake.during(|| Violations::find(connection)).map_err(|e| self.stop(Moment::Execute, &e))?;
            added = found.added_to(&known);
            if !added.is_empty() {
                break;
            }
        }
        Err(Stop::new(Moment::Execute, broken_keys(self.order, &added)))
    }

    /// Runs everything in one transaction, and leaves none open.
    ///
    /// IMMEDIATE: a deferred transaction that first reads fails at once, without waiting, when it turns to writing.
    /// <https://www.sqlite.org/lang_transaction.html#deferred_immediate_and_exclusive_transactions>
    fn transaction(&self, connection: &Writing, start: &Start, known: &Violations) -> Result<Verdict, Stop> {
        connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| self.stop(Moment::Prepare, &e))?;
        connection.keep_journal();
        let ended = self.inside(connection, start, known);
        if connection.is_autocommit() {
            return ended;
        }
        match (connection.execute_batch("ROLLBACK"), ended) {
            (Ok(()), ended) => ended,
            (Err(e), Err(stop)) => {
                let diagnostic = stop.diagnostic.join(fault::diagnose(self.order, self.brake, &e));
                Err(Stop { diagnostic, ..stop })
            }
            (Err(e), Ok(_)) => Err(self.stop(Moment::Execute, &e)),
        }
    }

    /// Writes the history row first: of two runs that race, the second learns of the first before its text runs.
    fn inside(&self, connection: &Connection, start: &Start, known: &Violations) -> Result<Verdict, Stop> {
        let order = self.order;
        if let Err(e) = ledger::enter_history(connection, order) {
            return self.taken(connection, &e);
        }
        for statement in self.statements {
            self.brake
                .during(|| execute(connection, statement.text))
                .map_err(|e| Stop::new(Moment::Execute, fault::in_statement(order, self.brake, statement, &e)))?;
            if connection.is_autocommit() {
                return Err(self.left_the_transaction(statement));
            }
        }
        let found = self.brake.during(|| Violations::find(connection)).map_err(|e| self.stop(Moment::Execute, &e))?;
        if !found.added_to(known).is_empty() {
            return Ok(Verdict::Violates(found));
        }
        if ledger::recorded_checksum(connection, order).map_err(|e| self.stop(Moment::Execute, &e))?.is_none() {
            return Err(Stop::new(Moment::Execute, ledger::unrecorded(order)));
        }
        ledger::insert_journal(connection, start, &JournalRow::of(order, AttemptOutcome::Applied))
            .and_then(|()| connection.execute_batch("COMMIT"))
            .map_err(|e| self.not_committed(&e))?;
        Ok(Verdict::Committed)
    }

    /// Decides what it means that the version is in the history already.
    fn taken(&self, connection: &Connection, error: &Error) -> Result<Verdict, Stop> {
        let text = self.order.text;
        let recorded = match ledger::is_taken(error) {
            true => ledger::recorded_checksum(connection, self.order).map_err(|e| self.stop(Moment::Prepare, &e))?,
            false => None,
        };
        match recorded {
            None => Err(self.stop(Moment::Prepare, error)),
            Some(sum) if [Width::Int4, Width::Int8].iter().any(|w| text.checksum(*w).to_string() == sum) => {
                Ok(Verdict::ByAnother)
            }
            Some(sum) => Err(Stop::prepare(ledger::recorded_otherwise(self.order, &sum))),
        }
    }

    /// A commit that failed for want of the disk may have happened; any other failure is undone.
    ///
    /// <https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>
    fn not_committed(&self, error: &Error) -> Stop {
        let stop = self.stop(Moment::Commit, error);
        match fault::kind(error) {
            Some(ErrorCode::SystemIoFailure) => Stop { left: Left::Unknown, ..stop },
            _ => stop,
        }
    }

    fn left_the_transaction(&self, statement: &Statement<'_>) -> Stop {
        let diagnostic = failed(self.order, Code::CHANGESET_FAILED)
            .at(place_of(self.order, statement))
            .cause("the statement ended the transaction in which mtmigrate applies and records the changeset")
            .hint("take it out, or let every statement commit by itself: `-- mtmigrate: no-transaction`");
        Stop { left: Left::Unknown, ..Stop::new(Moment::Execute, diagnostic) }
    }

    fn stop(&self, moment: Moment, error: &Error) -> Stop {
        Stop::new(moment, fault::diagnose(self.order, self.brake, error))
    }

    /// Journals the failure; if that fails too, says so.
    fn note(&self, connection: &Connection, start: &Start, stop: Stop) -> Stop {
        let row = JournalRow::of(self.order, AttemptOutcome::Failed).error(&stop.diagnostic.one_line());
        match ledger::note(connection, start, &row) {
            Ok(()) => stop,
            Err(e) => {
                let lost = Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, "the failure could not be journalled");
                Stop { diagnostic: stop.diagnostic.join(lost.cause(fault::cause(&e))), ..stop }
            }
        }
    }
}

/// Makes the diagnostic of a text that leaves rows without their parents.
pub(super) fn broken_keys(order: &Order<'_>, added: &[String]) -> Diagnostic {
    added
        .iter()
        .fold(failed(order, Code::FOREIGN_KEYS_BROKEN).at(Place::file(&order.text.file)), Diagnostic::cause)
        .hint(
            "keep or move the rows that are referred to; \
             to rebuild a table make the new one, copy the rows, drop the old one, rename the new one",
        )
}
