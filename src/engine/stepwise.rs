//! The one way to apply a text whose statements commit by themselves.
//!
//! MariaDB's DDL commits by itself, and so does every statement of a no-transaction changeset on PostgreSQL and SQLite.
//! Before each statement its intent is journalled, and with it what will tell afterwards whether the statement took
//! effect ([`Traced`]); after the last one, history row and `applied` are written together. A journal whose last row is
//! an intent says how far the text came, and [`Server::fate`](super::Server::fate) what became of that statement.

use std::time::{Duration, Instant};

use crate::error::{Code, Diagnostic, Place};
use crate::history::{AttemptOutcome, prefix_hash, prefix_hashes};
use crate::planted::{self, Bug};
use crate::sql::{Dialect, SqlError, Statement, Trace, dialect_after, replay, trace};

use super::tables::{JournalRow, StatementMark};
use super::traced::Traced;
use super::{Applied, Failure, Left, Mark, Moment, Order, Outcome, Record, Resume};

/// What the engine is asked for, on one session that is the tenant's alone.
pub(crate) trait Steps: Send {
    /// Returns by which rules the text was split.
    fn dialect(&self) -> Dialect;

    /// Makes what is missing of our tables and sets the order's limits; sees with [`unmoved`] that nobody else was here.
    fn prepare(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Runs a statement of the text once more that changes nothing but the session. Journals nothing.
    fn set_again(&mut self, statement: &Statement<'_>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Whether all that a statement of data writes here now is rolled back with its transaction.
    fn rolls_back(&mut self) -> impl Future<Output = Result<bool, Fault>> + Send {
        async { Ok(true) }
    }

    /// Journals the intent, runs the statement, and reads every result: see [`Step`].
    fn run(&mut self, step: Step<'_>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Whether the statement that ran last was committed together with its intent, where the step said so.
    fn was_atomic(&self) -> bool {
        true
    }

    /// Checks what must hold after the last statement.
    fn check(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Writes the history row and this journal row in one transaction.
    fn finish(&mut self, row: JournalRow<'_>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Writes a journal row.
    fn note(&mut self, row: JournalRow<'_>) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Returns what the server said meanwhile.
    fn notices(&mut self) -> Vec<String>;
}

/// A statement, and what is journalled before it.
pub(crate) struct Step<'s> {
    pub statement: &'s Statement<'s>,
    /// Commits together with the statement where [`JournalRow::is_atomic`] says so; else durable before it begins.
    pub intent: JournalRow<'s>,
    /// Durable before both: it says that what came before is done, where the journal does not say so yet.
    pub ahead: Option<JournalRow<'s>>,
    /// Behind the last statement: the row with which [`Steps::finish`] will be asked to record the text. Whoever records it
    /// along with the statement has nothing left to check and to finish.
    pub last: Option<JournalRow<'s>>,
}

/// How a step went wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server refused it: it had no effect.
    Refused {
        diagnostic: Diagnostic,
        /// Whether it may succeed in a moment.
        retry: bool,
    },
    /// The connection is gone or was given up: nobody knows.
    Lost(Diagnostic),
}

impl Fault {
    fn diagnostic(self) -> Diagnostic {
        match self {
            Self::Refused { diagnostic, .. } | Self::Lost(diagnostic) => diagnostic,
        }
    }
}

/// How to let a changeset wait longer for a lock. Its own text cannot change any more once a tenant has it.
pub(crate) const WAIT_LONGER: &str =
    "raise `lock_timeout:` in tenants.yaml, or the file's own directive while no tenant has it yet";

/// How to let a statement run longer, likewise.
pub(crate) const RUN_LONGER: &str =
    "raise `statement_timeout:` in tenants.yaml, or the file's own directive while no tenant has it yet";

/// Begins the diagnostic of an order that went wrong: `changeset V7__x failed on tenant acme (postgres)`.
pub(crate) fn failed(order: &Order<'_>, code: Code) -> Diagnostic {
    let how = match code {
        Code::LOCK_TIMEOUT => "waited too long for a lock",
        Code::STATEMENT_TIMEOUT => "ran longer than its limit",
        Code::OUTCOME_UNKNOWN => "lost its connection",
        Code::CANCELLED => "was cancelled",
        Code::STILL_AT_WORK => "was not begun",
        _ => "failed",
    };
    let Order { changeset, tenant, .. } = order;
    Diagnostic::new(
        code,
        format!("changeset {changeset} {how} on tenant {} ({})", tenant.name, tenant.datasource.engine()),
    )
}

/// Begins a sentence about the statements before the one at which a text stopped.
pub(crate) fn first_statements(count: u32) -> String {
    match count {
        1 => "its first statement is".to_owned(),
        count => format!("its first {count} statements are"),
    }
}

/// Refuses to run a text as one transaction whose first statements are committed one by one.
pub(crate) fn half_done(order: &Order<'_>) -> Option<Failure> {
    let Resume { statement_no, .. } = *order.resume.as_ref()?;
    let diagnostic = failed(order, Code::HALF_APPLIED)
        .at(Place::file(&order.text.file))
        .cause(format!(
            "{} committed one by one, and now its text is one transaction",
            first_statements(statement_no.saturating_sub(1))
        ))
        .hint("begin the file with `-- mtmigrate: no-transaction` again, then `mtmigrate up` continues it");
    let left = Left::Half { statement_no, statements: statement_no };
    Some(Failure { diagnostic, moment: Moment::Prepare, left, retry: false, duration: Duration::ZERO })
}

/// Points at a byte of the order's text, to the end of that line.
pub(crate) fn place_at(order: &Order<'_>, offset: usize) -> Place {
    order.text.place_at(offset)
}

/// Points at a statement of the order's text.
pub(crate) fn place_of(order: &Order<'_>, statement: &Statement<'_>) -> Place {
    order.text.place(statement.line, statement.column)
}

/// Applies the order's statements one by one, from where the order says.
pub(crate) async fn apply(order: &Order<'_>, statements: &[Statement<'_>], steps: &mut impl Steps) -> Outcome {
    let began = Instant::now();
    let prefixes = prefix_hashes(statements.iter().map(|statement| statement.text));
    let walk = Walk { order, statements, prefixes, began };
    let begin = walk.first().and_then(|first| Ok((first, walk.again(first, steps.dialect())?)));
    let (first, again) = match begin {
        Ok(begin) => begin,
        Err(failure) => return Outcome::Failed(failure),
    };
    if let Err(fault) = walk.open(&again, steps).await {
        return Outcome::Failed(walk.before_the_text(fault, first));
    }
    let start = steps.dialect();
    let mut dialect = statements[..first - 1].iter().fold(start, |now, one| dialect_after(one.text, now, start));
    let mut settled = true;
    if planted::is(Bug::HistoryBeforeText) {
        let _ = steps.finish(JournalRow::of(order, AttemptOutcome::Applied)).await;
    }
    for (idx, statement) in statements.iter().enumerate().skip(first - 1) {
        if order.cancel.is_cancelled() {
            return Outcome::Failed(walk.cancelled(idx + 1, steps).await);
        }
        let ran = async {
            let step = walk.step(idx, dialect, settled, steps).await?;
            settled = step.intent.is_atomic();
            steps.run(step).await?;
            settled &= steps.was_atomic();
            Ok(())
        };
        if let Err(fault) = ran.await {
            return Outcome::Failed(walk.stopped(idx + 1, fault, steps).await);
        }
        dialect = dialect_after(statement.text, dialect, start);
    }
    if let Err(fault) = steps.check().await {
        return Outcome::Failed(walk.stopped(statements.len() + 1, fault, steps).await);
    }
    if let Err(fault) = steps.finish(JournalRow::of(order, AttemptOutcome::Applied)).await {
        let mut failure = walk.stopped(statements.len() + 1, fault, steps).await;
        failure.moment = Moment::Commit;
        return Outcome::Failed(failure);
    }
    Outcome::Applied(Applied { duration: began.elapsed(), notices: steps.notices(), by_another: false })
}

/// Says that a recorded text cannot be split, so that nothing can be said about its statements.
pub(crate) fn unsplit(record: &Record<'_>, error: &SqlError) -> Diagnostic {
    let message = format!("{} cannot be split into statements", record.text.file);
    let place = record.text.place(error.line, error.column);
    Diagnostic::new(Code::BROKEN_SQL, message).at(place).cause(&error.message).state("nothing was recorded")
}

/// Why nothing is recorded while somebody is at work.
pub(crate) const AT_WORK: &str = "a statement of another run is still at work there";

/// Says that what a person found out could not be written.
pub(crate) fn unrecorded(record: &Record<'_>, cause: impl Into<String>) -> Diagnostic {
    let message = format!("the journal of tenant {} could not be written", record.tenant.name);
    Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, message).cause(cause).state("nothing was recorded")
}

/// Returns where a text continues after what a person found out.
///
/// # Errors
/// `MT211` when the text before the statement was changed since it ran, or the statement is no longer there.
pub(crate) fn marked(record: &Record<'_>, statements: &[Statement<'_>]) -> Result<StatementMark, Diagnostic> {
    let refused = |cause: String| {
        let (changeset, tenant) = (record.changeset, &record.tenant.name);
        Diagnostic::new(Code::HALF_APPLIED, format!("{changeset} on tenant {tenant} cannot be marked"))
            .at(Place::file(&record.text.file))
            .cause(cause)
            .state("nothing was recorded")
            .hint("restore the file to what was run, then mark it")
    };
    let no = record.at.statement_no as usize;
    let texts = || statements.iter().map(|statement| statement.text);
    if no == 0 || no > statements.len() + 1 || prefix_hash(texts().take(no - 1)) != record.at.prefix {
        return Err(refused(format!("the text before statement {no} was changed since it was run")));
    }
    let (statement_no, prefix) = match record.mark {
        Mark::Undone => (no, record.at.prefix.clone()),
        Mark::Done if no > statements.len() => return Err(refused(format!("there is no statement {no} in the file"))),
        Mark::Done => (no + 1, prefix_hash(texts().take(no))),
    };
    Ok(StatementMark { statement_no: statement_no as u32, statements: statements.len() as u32, prefix })
}

/// Refuses a tenant whose journal has rows that neither this run wrote nor its survey read: number and run of the last.
///
/// Asked for on a session that keeps other runs away: one that lost its lock and does not know may still be at work.
///
/// # Errors
/// `MT303`.
pub(crate) fn unmoved(order: &Order<'_>, last: Option<(i64, &str)>) -> Result<(), Fault> {
    let known = order.known.journal_end;
    let moved = match last {
        None => known.is_some(),
        Some((id, run_id)) => run_id != order.run.run_id && known != Some(id),
    };
    if !moved || planted::is(Bug::JournalNotReadAgain) {
        return Ok(());
    }
    let cause = match last {
        Some((id, run_id)) => {
            format!("its journal has row {id} of run {run_id}, which was not there when this run read it")
        }
        None => "its journal was emptied since this run read it".to_owned(),
    };
    let diagnostic = failed(order, Code::STILL_AT_WORK)
        .cause(cause)
        .hint("another run is or was at work there: when it has ended, run `mtmigrate up` again");
    Err(Fault::Refused { diagnostic, retry: false })
}

/// One order's way through its statements.
struct Walk<'w> {
    order: &'w Order<'w>,
    statements: &'w [Statement<'w>],
    /// The hash of what comes before each statement, and of all of them.
    prefixes: Vec<String>,
    began: Instant,
}

impl Walk<'_> {
    /// Returns which statements (from 0) set the session again before the first one runs.
    fn again(&self, first: usize, dialect: Dialect) -> Result<Vec<usize>, Failure> {
        let texts: Vec<&str> = self.statements.iter().map(|statement| statement.text).collect();
        replay(&texts, first - 1, dialect).map_err(|missing| {
            let (needs, made) = (missing.needed_by + 1, missing.made_by + 1);
            let mut diagnostic = failed(self.order, Code::HALF_APPLIED);
            if let Some(statement) = self.statements.get(missing.needed_by) {
                diagnostic = diagnostic.at(place_of(self.order, statement));
            }
            let tenant = &self.order.tenant.name;
            let diagnostic = diagnostic
                .cause(format!(
                    "it continues at statement {first} on a new session, and statement {needs} needs {}, which \
                     statement {made} left in the session that is over",
                    missing.what
                ))
                .hint(format!(
                    "run what is left of it by hand in one session, with what that needs, and type \
                     `mtmigrate repair --tenant {tenant} --mark-done --reason …` for each statement; or let the text make it \
                     anew from statement {first} on, if no tenant has the changeset yet"
                ));
            self.failure(diagnostic, Moment::Prepare, self.half(first))
        })
    }

    /// Prepares the session, and sets what the text had set before the first statement to run.
    async fn open(&self, again: &[usize], steps: &mut impl Steps) -> Result<(), Fault> {
        steps.prepare().await?;
        for statement in again.iter().filter_map(|&idx| self.statements.get(idx)) {
            steps.set_again(statement).await?;
        }
        Ok(())
    }

    /// Makes the step of a statement; `settled` is whether the journal says already that those before it are done.
    async fn step(
        &self,
        idx: usize,
        dialect: Dialect,
        settled: bool,
        steps: &mut impl Steps,
    ) -> Result<Step<'_>, Fault> {
        let statement = &self.statements[idx];
        let trace = match trace(statement.text, dialect) {
            Trace::Atomic | Trace::Opens if !steps.rolls_back().await? => Trace::Nothing,
            trace => trace,
        };
        let no = idx + 1 + usize::from(planted::is(Bug::IntentOneAhead));
        let row = |traced| JournalRow::of(self.order, AttemptOutcome::Started).at(self.mark(no)).traced(traced);
        let intent = row(Traced::of(statement.text, trace));
        let ahead = (intent.is_atomic() && !settled).then(|| row(Traced::ahead(statement.text)));
        let last = (idx + 1 == self.statements.len()).then(|| JournalRow::of(self.order, AttemptOutcome::Applied));
        Ok(Step { statement, intent, ahead, last })
    }

    /// Returns the first statement to run, from 1.
    fn first(&self) -> Result<usize, Failure> {
        let Some(resume) = &self.order.resume else { return Ok(1) };
        let first = (resume.statement_no as usize).max(1);
        let before = first.saturating_sub(1);
        if self.prefixes.get(before) == Some(&resume.prefix) || planted::is(Bug::PrefixNotChecked) {
            let late = usize::from(planted::is(Bug::ResumeOneTooLate));
            let early = usize::from(planted::is(Bug::ResumeOneTooEarly));
            return Ok((first + late).saturating_sub(early).clamp(1, self.statements.len() + 1));
        }
        let diagnostic = failed(self.order, Code::HALF_APPLIED)
            .at(Place::file(&self.order.text.file))
            .cause(format!("{} committed, and the text of it was changed since", first_statements(before as u32)))
            .hint("restore these statements to what was run; only what comes after them may be mended");
        Err(self.failure(diagnostic, Moment::Prepare, self.half(first)))
    }

    fn mark(&self, statement_no: usize) -> StatementMark {
        StatementMark {
            statement_no: statement_no as u32,
            statements: self.statements.len() as u32,
            prefix: self.prefixes.get(statement_no - 1).cloned().unwrap_or_default(),
        }
    }

    fn half(&self, statement_no: usize) -> Left {
        Left::Half { statement_no: statement_no as u32, statements: self.statements.len() as u32 }
    }

    fn failure(&self, diagnostic: Diagnostic, moment: Moment, left: Left) -> Failure {
        Failure { diagnostic, moment, left, retry: false, duration: self.elapsed() }
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn before_the_text(&self, fault: Fault, first: usize) -> Failure {
        // Nothing of the text was sent, so a connection that was lost here may be made again.
        let retry = matches!(fault, Fault::Refused { retry: true, .. } | Fault::Lost(_));
        let diagnostic = fault.diagnostic();
        let left = match first {
            // Another run was here: where the tenant stands is what that one made of it.
            _ if diagnostic.code() == Code::STILL_AT_WORK => Left::Unknown,
            1 => Left::Unchanged,
            _ => self.half(first),
        };
        Failure { retry, ..self.failure(diagnostic, Moment::Prepare, left) }
    }

    async fn cancelled(&self, statement_no: usize, steps: &mut impl Steps) -> Failure {
        let diagnostic = failed(self.order, Code::CANCELLED);
        self.stopped(statement_no, Fault::Refused { diagnostic, retry: false }, steps).await
    }

    /// Journals a stop at a statement, and says what it leaves.
    async fn stopped(&self, statement_no: usize, fault: Fault, steps: &mut impl Steps) -> Failure {
        let statement = self.statements.get(statement_no - 1);
        let (mut diagnostic, retry) = match fault {
            Fault::Lost(diagnostic) => {
                let diagnostic = self.placed(diagnostic, statement);
                return self.failure(diagnostic, Moment::Execute, self.half(statement_no));
            }
            Fault::Refused { diagnostic, retry } => (self.placed(diagnostic, statement), retry),
        };
        let row = JournalRow::of(self.order, AttemptOutcome::Failed)
            .at(self.mark(statement_no))
            .error(&diagnostic.one_line());
        if let Err(fault) = steps.note(row).await {
            diagnostic = diagnostic.join(fault.diagnostic());
        }
        let left = if statement_no > 1 { self.half(statement_no) } else { Left::Unchanged };
        // A text of which a part is committed is not tried again by itself: the next run continues it.
        Failure { retry: retry && left == Left::Unchanged, ..self.failure(diagnostic, Moment::Execute, left) }
    }

    fn placed(&self, diagnostic: Diagnostic, statement: Option<&Statement<'_>>) -> Diagnostic {
        match statement {
            Some(statement) if diagnostic.place().is_none() => diagnostic.at(place_of(self.order, statement)),
            _ => diagnostic,
        }
    }
}
