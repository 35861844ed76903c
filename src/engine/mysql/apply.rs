//! One order on one session: enter the database, split the text as the server reads it, run it step by step.
//!
//! Every statement of DDL commits by itself, and what was open before it too
//! (<https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html>, <https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/>),
//! so text and history row cannot commit together: [`stepwise`] journals the way.

use std::time::Instant;

use crate::engine::stepwise::{self, Fault, failed, place_at, place_of};
use crate::engine::tables::JournalRow;
use crate::engine::tables::journal_format;
use crate::engine::traced::{Inquiry, decide, inquire};
use crate::engine::{Begun, Failure, Fate, Left, Moment, Order, Outcome, Record, Resume};
use crate::error::{Code, Diagnostic};
use crate::sql::{Dialect, SqlMode, Statement, dialect_after, split, trace};

use super::entry::{self, Entry};
use super::link::{ANSWER_LIMIT, Cells, Greeting, Sets, Trouble};
use super::skip::{self, Skipped};
use super::steps::{MySqlSteps, Settled};
use super::{Leased, MySqlServer, NoSession, fault, lock, opening, probe, read, sql};

/// What the intents add to a statement's message, at most, in bytes, but for the probes of a short statement.
const INTENT_ROOM: usize = 16384;

/// Applies one order.
pub(super) async fn apply(server: &MySqlServer, order: Order<'_>) -> Outcome {
    let began = Instant::now();
    let mut lease = match server.lease(&order.tenant.access).await {
        Ok(lease) => lease,
        Err(none) => return Outcome::Failed(before(&order, began, unopened(server, &order, none))),
    };
    if order.skips
        && let Some(entered) = Entry::of(&order, &lease)
    {
        return match skip::at_once(server, &order, lease, entered).await {
            Skipped::Ended(outcome) => outcome,
            Skipped::Not(lease) => carefully(server, &order, began, lease, None).await,
            Skipped::Lost(outcome) => match server.lease(&order.tenant.access).await {
                Ok(lease) => carefully(server, &order, began, lease, Some(outcome)).await,
                Err(_) => outcome,
            },
        };
    }
    let entered = Entry::of(&order, &lease).and_then(|(entry, greeting)| {
        let statements = entry::plain(&order, &greeting)?;
        Some((entry, greeting, statements))
    });
    let Some((entry, greeting, statements)) = entered else {
        return carefully(server, &order, began, lease, None).await;
    };
    // From the first message on it is this order's: whoever goes on with it otherwise resets it, work lock and all.
    lease.begin(greeting.clone(), sql::settings(&order.limits));
    let session = Session::known(greeting);
    let mut steps = MySqlSteps::new(server, &order, session, &statements, lease).entering(entry);
    let outcome = stepwise::apply(&order, &statements, &mut steps).await;
    match steps.settle(outcome).await {
        Settled::Ended(outcome) => outcome,
        Settled::NotBegun(lease) => carefully(server, &order, began, lease, None).await,
        Settled::Lost(outcome) => match server.lease(&order.tenant.access).await {
            Ok(lease) => carefully(server, &order, began, lease, Some(outcome)).await,
            Err(_) => outcome,
        },
    }
}

/// Applies an order on a session that is opened and looked at first.
///
/// With the outcome of a try whose connection was lost, that is the answer unless nothing was begun by that try.
async fn carefully(
    server: &MySqlServer,
    order: &Order<'_>,
    began: Instant,
    lease: Leased<'_>,
    lost: Option<Outcome>,
) -> Outcome {
    let database = order.tenant.datasource.database();
    let work = sql::begin_work(database, &order.limits, order.tables.journal);
    // Where no text runs, nothing of it needs the tenant's role and settings.
    let first = if order.skips { Vec::new() } else { opening::statements(&order.tenant.session) };
    let entry = format!("{}; {work}", sql::enter(database, &order.limits, &first));
    let (mut lease, mut sets) = match server.session_on(lease, &order.tenant.access, (&entry, ANSWER_LIMIT)).await {
        Ok(opened) => opened,
        Err(NoSession::Trouble(Trouble::Refused { done, error }))
            if (opening::BEFORE..opening::BEFORE + first.len()).contains(&done) =>
        {
            let diagnostic = opening::refused(order, &error);
            return lost
                .unwrap_or_else(|| Outcome::Failed(before(order, began, Fault::Refused { diagnostic, retry: false })));
        }
        Err(none) => {
            return lost.unwrap_or_else(|| Outcome::Failed(before(order, began, unopened(server, order, none))));
        }
    };
    let (last, lock) = (sets.pop().unwrap_or_default(), sets.pop().unwrap_or_default());
    let alone = is_alone(order, &mut lease, lock, last).await;
    let session = Session::of(sets);
    if let Some(lost) = lost
        && !matches!(&alone, Ok(Some(version)) if *version != order.changeset.version.0)
        && !matches!(&alone, Ok(None))
    {
        server.give_back(lease).await;
        return lost;
    }
    let statements = match alone.and_then(|_| statements(order, &session)) {
        Ok(statements) => statements,
        Err(fault) => {
            server.give_back(lease).await;
            return Outcome::Failed(before(order, began, fault));
        }
    };
    lease.begin(session.greeting(), sql::settings(&order.limits));
    let mut steps = MySqlSteps::new(server, order, session, &statements, lease);
    let outcome = stepwise::apply(order, &statements, &mut steps).await;
    match steps.settle(outcome).await {
        Settled::Ended(outcome) | Settled::Lost(outcome) => outcome,
        Settled::NotBegun(lease) => {
            server.give_back(lease).await;
            let bug = failed(order, Code::BUG).cause("an order that was entered carefully was not begun");
            Outcome::Failed(before(order, began, Fault::Refused { diagnostic: bug, retry: false }))
        }
    }
}

/// Sees that nobody else is at work in the database, nor was since the run read its journal. Returns which version the
/// journal's last row is about, if that row is this run's.
async fn is_alone(
    order: &Order<'_>,
    lease: &mut Leased<'_>,
    lock: Vec<Cells>,
    last: Vec<Cells>,
) -> Result<Option<i64>, Fault> {
    let database = order.tenant.datasource.database();
    let mut lock = lock.into_iter().flatten();
    let (taken, holder) = (lock.next().flatten(), lock.next().flatten());
    if taken.as_deref() != Some("1") {
        let who = match holder {
            Some(id) => lock::at_work(lease, &id, database).await,
            None => "the work lock was refused; a session that held it has just ended".to_owned(),
        };
        let diagnostic = failed(order, Code::STILL_AT_WORK)
            .cause(who)
            .hint("wait until it has ended, or end that session, and run `mtmigrate up` again");
        return Err(Fault::Refused { diagnostic, retry: false });
    }
    let mut rows = last;
    if order.tables.journal.is_none() && !rows.is_empty() {
        // Made since the survey, by a try of this order before this one or by somebody else.
        let sets = lease.ask(&sql::select_journal_end(database), ANSWER_LIMIT).await;
        let sets = sets.map_err(|trouble| match trouble {
            Trouble::Refused { error, .. } => fault::refused(order, &error, None),
            Trouble::Lost(cause) => fault::lost(order, cause),
        })?;
        rows = sets.into_iter().flatten().collect();
    }
    let row = rows.into_iter().next().unwrap_or_default();
    let (last, version) = match &row[..] {
        [Some(id), Some(run_id), version] => {
            let own = version.as_ref().filter(|_| *run_id == order.run.run_id);
            (id.parse().ok().map(|id| (id, run_id.as_str())), own.and_then(|version| version.parse().ok()))
        }
        _ => (None, None),
    };
    stepwise::unmoved(order, last).map(|()| version)
}

/// Finds out what became of a statement.
pub(super) async fn fate(server: &MySqlServer, begun: &Begun<'_>) -> Result<Fate, Diagnostic> {
    let opening = format!("{}; SELECT @@sql_mode", read::open());
    let opened = server.session(&begun.tenant.access, &opening).await;
    let (mut lease, sets) = opened.map_err(|none| server.unopened(none, begun.tenant))?;
    let sql_mode = sets.into_iter().next_back().into_iter().flatten().flatten().next().flatten();
    let start = Dialect::MySql(SqlMode::parse(&sql_mode.unwrap_or_default()));
    let inquiry = match split(&begun.text.sql, start) {
        Ok(statements) => {
            let before = statements.iter().take(begun.at.statement_no.saturating_sub(1) as usize);
            let dialect = before.fold(start, |now, one| dialect_after(one.text, now, start));
            inquire(begun, &statements, |statement| trace(statement, dialect))
        }
        Err(error) => Inquiry::Known(Fate::Unknown(format!("the file cannot be split into statements: {error}"))),
    };
    let fate = match inquiry {
        Inquiry::Known(fate) => Ok(fate),
        Inquiry::Ask { probes, before } => {
            let question = format!("SELECT {}", probe::answers(begun.tenant.datasource.database(), &probes));
            let asked = lease.ask(&question, ANSWER_LIMIT).await;
            let now = asked.map(|sets| sets.into_iter().flatten().flatten().next().flatten().unwrap_or_default());
            now.map(|now| decide(&probes, &before, &now)).map_err(|trouble| server.trouble(trouble, begun.tenant))
        }
    };
    server.give_back(lease).await;
    fate
}

/// Writes what was found out about a statement.
pub(super) async fn record(server: &MySqlServer, record: &Record<'_>) -> Result<Resume, Diagnostic> {
    let (tenant, database) = (record.tenant, record.tenant.datasource.database());
    // Until this session is reset nobody begins there: a row that arrives late never speaks of another run's progress.
    let opening =
        format!("{}; SELECT GET_LOCK({}, 0)", sql::enter(database, &tenant.limits, &[]), sql::work_lock(database));
    let opened = server.session(&tenant.access, &opening).await;
    let (mut lease, mut sets) = opened.map_err(|none| server.unopened(none, tenant))?;
    let taken = sets.pop().unwrap_or_default().into_iter().flatten().next().flatten();
    if taken.as_deref() != Some("1") {
        server.give_back(lease).await;
        return Err(stepwise::unrecorded(record, stepwise::AT_WORK));
    }
    let session = Session::of(sets);
    let marked = split(&record.text.sql, Dialect::MySql(session.sql_mode))
        .map_err(|error| stepwise::unsplit(record, &error))
        .and_then(|statements| stepwise::marked(record, &statements));
    let written = match marked {
        Ok(mark) => {
            let resume = mark.resume();
            let row = JournalRow::of_record(record, mark);
            let journal = sql::insert_journal(database, &row, &session.began);
            let mut asked = lease.ask(&journal, ANSWER_LIMIT).await;
            if matches!(&asked, Err(Trouble::Refused { error, .. }) if error.code == fault::NO_COLUMN) {
                // An older journal. Only now: the row must not be written before the text was checked.
                asked = match upgrade(&mut lease, database).await {
                    Ok(()) => lease.ask(&journal, ANSWER_LIMIT).await,
                    Err(trouble) => Err(trouble),
                };
            }
            asked.map(|_| resume).map_err(|trouble| stepwise::unrecorded(record, super::cause(trouble)))
        }
        Err(refused) => Err(refused),
    };
    server.give_back(lease).await;
    written
}

/// Gives a journal of an older format what it lacks.
async fn upgrade(lease: &mut Leased<'_>, database: &str) -> Result<(), Trouble> {
    let columns = lease.ask(&sql::select_journal_columns(database), ANSWER_LIMIT).await?;
    let columns: Vec<String> = columns.into_iter().flatten().flatten().flatten().collect();
    let format = journal_format(|name| columns.iter().any(|column| column.eq_ignore_ascii_case(name)));
    match sql::upgrade_journal(database, format) {
        Some(upgrade) => lease.ask(&upgrade, ANSWER_LIMIT).await.map(|_| ()),
        None => Ok(()),
    }
}

/// What the server said when the session entered the database.
pub(super) struct Session {
    /// Not known of one that is yet to enter its database.
    pub database: Option<String>,
    pub sql_mode: SqlMode,
    greeting: Greeting,
    /// Whether statements commit by themselves.
    pub autocommit: bool,
    /// When the order began, by the server's clock, as an expression.
    pub began: String,
}

impl Session {
    fn of(sets: Sets) -> Self {
        let mut cells = sets.into_iter().next_back().unwrap_or_default().into_iter().flatten();
        let mut next = || cells.next().flatten();
        let (database, sql_mode, max_packet, began, autocommit) = (next(), next(), next(), next(), next());
        let sql_mode = sql_mode.unwrap_or_default();
        Self {
            database,
            sql_mode: SqlMode::parse(&sql_mode),
            greeting: Greeting {
                sql_mode,
                max_packet: max_packet.and_then(|bytes| bytes.parse().ok()).unwrap_or(usize::MAX),
            },
            began: sql::literal(&began.unwrap_or_default()),
            autocommit: autocommit.as_deref() == Some("1"),
        }
    }

    /// What is known of a session before it says so.
    fn known(greeting: Greeting) -> Self {
        let sql_mode = SqlMode::parse(&greeting.sql_mode);
        Self { database: None, sql_mode, greeting, autocommit: true, began: entry::BEGAN.to_owned() }
    }

    fn greeting(&self) -> Greeting {
        self.greeting.clone()
    }
}

/// Splits the text, and refuses it before anything ran if the server does not take one of its statements.
fn statements<'t>(order: &Order<'t>, session: &Session) -> Result<Vec<Statement<'t>>, Fault> {
    let statements = split(&order.text.sql, Dialect::MySql(session.sql_mode)).map_err(|error| {
        let diagnostic = failed(order, Code::BROKEN_SQL).at(place_at(order, error.offset)).cause(error.message);
        Fault::Refused { diagnostic, retry: false }
    })?;
    let takes = session.greeting.max_packet.saturating_sub(INTENT_ROOM);
    if let Some(large) = statements.iter().find(|statement| statement.text.len() > takes) {
        let diagnostic = failed(order, Code::TOO_LARGE)
            .at(place_of(order, large))
            .cause(format!(
                "the statement has {} bytes, and the server's max_allowed_packet is {} ({INTENT_ROOM} of them are kept \
                 for the journal)",
                large.text.len(),
                session.greeting.max_packet
            ))
            .hint("raise max_allowed_packet on the server, or split the statement");
        return Err(Fault::Refused { diagnostic, retry: false });
    }
    if let Some(local) = statements.iter().find(|statement| reads_local_file(statement.text)) {
        let diagnostic = failed(order, Code::NOT_SQL)
            .at(place_of(order, local))
            .cause("LOCAL INFILE asks the client for a file, and mtmigrate sends none")
            .hint("load a file of the server, or write the rows as INSERT");
        return Err(Fault::Refused { diagnostic, retry: false });
    }
    Ok(statements)
}

/// Answers whether a statement is `LOAD DATA … LOCAL`. The driver would drop the connection in its middle.
fn reads_local_file(statement: &str) -> bool {
    let words: Vec<_> = statement.split_whitespace().take(4).map(str::to_ascii_uppercase).collect();
    matches!(words.first().map(String::as_str), Some("LOAD")) && words.iter().any(|word| word == "LOCAL")
}

fn unopened(server: &MySqlServer, order: &Order<'_>, none: NoSession) -> Fault {
    let inner = server.unopened(none, order.tenant);
    let mut diagnostic = failed(order, inner.code()).cause(inner.message());
    for cause in inner.causes() {
        diagnostic = diagnostic.cause(cause);
    }
    if let Some(hint) = inner.what_next() {
        diagnostic = diagnostic.hint(hint);
    }
    // Too many connections, a restart, a lost packet: nothing was sent, so another try does no harm.
    let retry = [Code::UNREACHABLE, Code::NO_CONNECTION].contains(&inner.code());
    Fault::Refused { retry, diagnostic }
}

/// Makes the failure of an order of which the server saw nothing.
fn before(order: &Order<'_>, began: Instant, fault: Fault) -> Failure {
    let (diagnostic, retry) = match fault {
        Fault::Refused { diagnostic, retry } => (diagnostic, retry),
        Fault::Lost(diagnostic) => (diagnostic, false),
    };
    let left = match &order.resume {
        _ if diagnostic.code() == Code::STILL_AT_WORK => Left::Unknown,
        Some(resume) if resume.statement_no > 1 => {
            Left::Half { statement_no: resume.statement_no, statements: resume.statement_no }
        }
        _ => Left::Unchanged,
    };
    Failure { diagnostic, moment: Moment::Prepare, left, retry, duration: began.elapsed() }
}
