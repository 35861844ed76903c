//! The only door to a database: one trait, one small folder for each engine.
//!
//! Start at [`Server`]. [`open`] is the one place that matches on the engine. Callers never learn how an engine keeps
//! its promises: that PostgreSQL and SQLite commit text, history row and journal row together, and that MariaDB's
//! statements are journalled one by one.

mod identity;
mod mysql;
mod off_runtime;
mod pool;
mod postgres;
mod question;
mod silence;
mod sqlite;
pub(crate) mod stepwise;
pub(crate) mod tables;
pub(crate) mod traced;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::changeset::{Changeset, Text, Version, Width};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{Attempt, Row};
use crate::schema::Snapshot;
use crate::sql::EngineKind;
use crate::tenant::{Fleet, Limits, Tenant};

pub use identity::RunIdentity;

/// One database server, or one directory of SQLite files, as the lockstep sees it.
///
/// An implementation holds at most `max_connections` connections at any instant, the lock's included, and at most
/// [`Server::width`] orders are given to it at once. Files of SQLite that stay open between two orders, idle
/// and without a lock, do not count: they have a bound of their own.
pub trait Server: Send + Sync {
    /// Returns how many orders it can work on at once; at least 1. Fewer than before since the server refused a
    /// connection; who gives more orders makes them wait.
    fn width(&self) -> usize;

    /// Reads where tenants stand; one answer for each, in order. Writes nothing, under a role that may only read.
    ///
    /// Tenants that share a database (or, on MySQL, a server) are read together, in a number of round trips that
    /// does not grow with them. The caller bounds the slice.
    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>>;

    /// Reads a tenant's journal, newest first, at most `limit` rows. A tenant without a journal has none.
    fn journal<'a>(&'a self, tenant: &'a Tenant, limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>>;

    /// Tries once to take the locks of all these tenants' databases, all or nothing, without waiting. Not while a
    /// session of a run that is dead or has lost its lock is at work in one of them, statement by statement.
    ///
    /// # Errors
    /// `MT302` where the lock cannot be asked for, or the server's own `MT31x`.
    fn try_lock<'a>(&'a self, run: &'a RunIdentity, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>>;

    /// Checks that the lock taken by [`Server::try_lock`] is still held; without one, answers that it is.
    ///
    /// # Errors
    /// `MT213` when it was lost.
    fn check_lock(&self) -> BoxFuture<'_, Result<()>>;

    /// Gives the lock back. Never fails: a lock dies with its session.
    fn unlock(&self) -> BoxFuture<'_, ()>;

    /// Applies a changeset to a tenant: executes, commits, records, and reads every result before it answers.
    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome>;

    /// Makes durable what this process committed here and what it read here: afterwards no crash of the server takes any
    /// of it back. [`Server::apply`] alone does not promise that; where it does, there is nothing to do.
    ///
    /// Once under the lock after the reading that a run relies on, then before a barrier opens.
    ///
    /// # Errors
    /// `MT205` where nobody knows whether it is durable: the server may have crashed since, and have lost it.
    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    /// Finds out what became of a statement that was begun and whose end is not recorded: by what was journalled before
    /// it, and by what is there now. Writes nothing. Without the lock the answer is of this instant.
    ///
    /// # Errors
    /// The server's own.
    fn fate<'a>(&'a self, begun: Begun<'a>) -> BoxFuture<'a, Result<Fate>>;

    /// Writes what was found out about a statement into a tenant's journal: one row, and nothing else. The caller holds
    /// the lock. Returns where the text continues.
    ///
    /// # Errors
    /// `MT211` when the text before the statement was changed since it ran; the server's own otherwise.
    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<Resume>>;

    /// Reads what these tenants' schemas are; one answer for each, in order. Writes nothing, under a role that may only
    /// read. Own and foreign tools' tables are left out.
    ///
    /// Tenants that share a database (or, on MySQL, a server) are read together, in a number of round trips that
    /// does not grow with them: the server says which are alike, and one of each is transferred. Equal schemas of one
    /// call are one [`Arc`].
    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>>;

    /// Measures these tenants' schemas, cheaper than [`Server::inspect`] does; one answer for each, in order.
    ///
    /// With the gauge that a tenant had before, only what changed since need be looked at.
    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>>;

    /// Reads the schema that a tenant's journal keeps: the one recorded last. Nothing if none is kept, or it is of a
    /// format that is not known.
    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>>;

    /// Records in the journal what these tenants' schemas are now; one answer for each, in order. The caller holds the
    /// lock.
    ///
    /// The run's own last row of each journal gets the fingerprint, and the snapshot, which older rows lose. A last
    /// row that is another run's is left as it is.
    ///
    /// # Errors
    /// `MT212` for a tenant whose journal cannot be written.
    fn keep<'a>(&'a self, run: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>>;

    /// Journals that a person accepted a tenant's schema: one row, with its snapshot; makes the journal if it is
    /// missing. The caller holds the lock.
    ///
    /// # Errors
    /// `MT212` when it cannot be written.
    fn accept<'a>(&'a self, acceptance: Acceptance<'a>) -> BoxFuture<'a, Result<()>>;

    /// Asks a tenant's database one question, and returns its rows as text. Writes nothing: the transaction refuses it, and
    /// a text of several statements is none. Answers within two minutes, with `limit` rows at most.
    ///
    /// # Errors
    /// `MT326` when the question fails, takes longer or has more rows; the server's own where there is no session.
    fn ask<'a>(&'a self, tenant: &'a Tenant, question: &'a str, limit: usize) -> BoxFuture<'a, Result<Answer>> {
        let _ = (question, limit);
        let deaf = Diagnostic::new(Code::BUG, format!("the server of tenant {} takes no questions", tenant.name));
        async { Err(deaf) }.boxed()
    }

    /// Closes every connection.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The rows of a question, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The columns' names, as the server gives them; none may come where there is no row.
    pub columns: Vec<String>,
    /// One value for each column; nothing for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Where a tenant stands, as read from it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its history rows, in any order; none if it has no history table.
    pub rows: Vec<Row>,
    /// What it has of our tables.
    pub tables: Tables,
    /// The journal's last row.
    pub last: Option<Attempt>,
    /// The server's version, as it names itself: `15.8`, `10.11.6-MariaDB`.
    pub server_version: String,
    /// Why the server takes no writes, if it takes none: a standby, `read_only`.
    pub read_only: Option<String>,
    /// Whether the server folds the case of database names.
    pub folds_case: bool,
}

/// Which of our tables a tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The width of the history's version column; absent without the table.
    pub history: Option<Width>,
    /// The journal's format, by its columns; absent without the table.
    pub journal: Option<JournalFormat>,
}

/// The formats of the journal's table. An older one gets what it lacks with the next row that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JournalFormat {
    /// Without fingerprints.
    One,
    /// With `fingerprint`, `accepted` and `snapshot`.
    Two,
    /// With `trace`.
    Three,
}

/// A measure of a tenant's schema.
///
/// Of tenants of one server whose gauges were taken by the same calls, each given the gauge of the one before, and whose
/// schemas were equal at the first of them, equal ones have equal schemas. Of others, and of unequal ones, nothing is
/// known: [`Server::inspect`] tells.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    /// What is compared.
    pub value: u128,
    /// Until when the engine has looked, in a number of its own.
    pub mark: u64,
}

/// What is to be recorded of a tenant's schema.
#[derive(Clone, Debug)]
pub struct Keep<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// What it is.
    pub snapshot: &'a Snapshot,
    /// What stands in the journal's column `fingerprint`.
    pub record: &'a str,
    /// The accepted differences that still exist, as JSON.
    pub accepted: Option<&'a str>,
}

/// A schema that a person accepted.
#[derive(Clone, Debug)]
pub struct Acceptance<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// What the tenant has of our tables.
    pub tables: Tables,
    /// In whose name.
    pub run: &'a RunIdentity,
    /// The newest version that the tenant has, and its name; 0 and nothing without one.
    pub version: (Version, &'a str),
    /// The schema.
    pub snapshot: &'a Snapshot,
    /// What stands in the journal's column `fingerprint`.
    pub record: &'a str,
    /// The differences that are accepted now and were before, as JSON.
    pub accepted: Option<&'a str>,
    /// Why, and which differences, for people.
    pub words: &'a str,
}

/// What is known of a tenant before an order; the order's journal rows say so again.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What its journal says of its schema, as it stands in the column `fingerprint`.
    pub fingerprint: Option<String>,
    /// The accepted differences, as JSON.
    pub accepted: Option<String>,
    /// The number of its journal's last row when the run read it; nothing without one.
    pub journal_end: Option<i64>,
}

/// One changeset for one tenant.
#[derive(Clone)]
pub struct Order<'a> {
    /// Whom for.
    pub tenant: &'a Tenant,
    /// What.
    pub changeset: &'a Changeset,
    /// The changeset's text for the tenant's engine.
    pub text: &'a Text,
    /// The width in which the history row is written.
    pub width: Width,
    /// In whose name.
    pub run: &'a RunIdentity,
    /// What the tenant has of our tables; what is missing is made with the changeset.
    pub tables: Tables,
    /// The checksums, in the wide width, of the versions that a narrow history may hold: refinery's `int8-versions`
    /// build computes other ones, so they are rewritten when the history is widened. Empty otherwise.
    pub rewrite: Vec<(Version, u64)>,
    /// Where to continue a text of which a part is committed.
    pub resume: Option<Resume>,
    /// What is known of the tenant.
    pub known: Known,
    /// How long its statements may wait and run.
    pub limits: Limits,
    /// Which of those that give the server orders gives it. A tenant keeps its lane from changeset to changeset while no
    /// lane runs dry: a connection that is used in one lane knows its tenants' tables.
    pub lane: usize,
    /// When cancelled, what can be rolled back is.
    pub cancel: CancellationToken,
}

/// A statement that was begun and whose end is not recorded.
#[derive(Clone, Debug)]
pub struct Begun<'a> {
    /// Whose.
    pub tenant: &'a Tenant,
    /// Which changeset is half applied.
    pub changeset: &'a Changeset,
    /// Its text for the tenant's engine, as it is now.
    pub text: &'a Text,
    /// The statement, from 1, and the hash of those before it, as the journal has them.
    pub at: &'a Resume,
    /// What was journalled before it to tell afterwards.
    pub trace: Option<&'a str>,
}

/// What became of a statement, and in words what shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It took effect: `column orders.note is there, and was not before`.
    Done(String),
    /// It did not, or does no harm when it is run again.
    Undone(String),
    /// Nothing tells; a person must look.
    Unknown(String),
}

/// What was found out about a statement of which nobody knew whether it had an effect.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// Whom about.
    pub tenant: &'a Tenant,
    /// Which changeset is half applied.
    pub changeset: &'a Changeset,
    /// Its text for the tenant's engine.
    pub text: &'a Text,
    /// The width of the changelog's checksums.
    pub width: Width,
    /// In whose name.
    pub run: &'a RunIdentity,
    /// The statement in question, from 1, and the hash of those before it, as the journal has them.
    pub at: Resume,
    /// What was found.
    pub mark: Mark,
    /// Who found it.
    pub finder: Finder,
    /// Why: the person's words, or what shows it.
    pub reason: &'a str,
    /// The differences that were accepted before, as JSON; the row says so again.
    pub accepted: Option<&'a str>,
}

/// Who found out what became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// A person, by `repair`.
    Person,
    /// The run, from what is there.
    Run,
}

/// What was found out about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It had its effect: the text continues after it.
    Done,
    /// It had none: the text continues at it.
    Undone,
}

impl Mark {
    /// Returns the words in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "marked done",
            Self::Undone => "marked undone",
        }
    }
}

/// Where to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The first statement to run, from 1.
    pub statement_no: u32,
    /// The hash of those before it, as the journal has it.
    pub prefix: String,
}

/// How an order ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Text, history row and journal row are committed.
    Applied(Applied),
    /// It is not applied, or nobody knows.
    Failed(Failure),
}

/// A changeset that is applied.
#[derive(Clone, Debug)]
pub struct Applied {
    /// How long it took, as the runner saw it.
    pub duration: Duration,
    /// What the server said meanwhile (NOTICE, WARNING), at most [`NOTICE_LIMIT`] of them.
    pub notices: Vec<String>,
    /// Whether it was another run that applied it, a moment ago.
    pub by_another: bool,
}

/// The most notices that are kept of one changeset on one tenant.
pub const NOTICE_LIMIT: usize = 8;

/// A changeset that is not applied.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong; its `state` is left to the report.
    pub diagnostic: Diagnostic,
    /// In which moment.
    pub moment: Moment,
    /// What it left behind.
    pub left: Left,
    /// Whether the same order may succeed in a moment: lock timeouts, deadlocks, serialisation failures.
    pub retry: bool,
    /// How long it took, as the runner saw it.
    pub duration: Duration,
}

/// The moments of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the server saw any of the text.
    Prepare,
    /// While the text ran.
    Execute,
    /// While text and history row were made durable.
    Commit,
}

/// What a failed order left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: the tenant is as it was.
    Unchanged,
    /// The statements before this one (from 1) are committed, and so may others be; the journal knows.
    Half { statement_no: u32, statements: u32 },
    /// Nobody knows; the next reading will tell.
    Unknown,
}

/// The answer to one try for the locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockAttempt {
    /// All are held now.
    Taken,
    /// None is held by us; somebody has at least one of them.
    Held(Holder),
    /// None is held by us; no run holds them, but a session of an earlier one is still at work there.
    Busy(Holder),
}

/// Who holds a lock, as far as the server tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// In words: run id, process, host, since when.
    pub description: String,
    /// The run's id, if the session names it.
    pub run_id: Option<String>,
}

/// The servers of a fleet, in its order.
pub type Servers = Vec<Arc<dyn Server>>;

/// Makes the servers of a fleet, in its order. Connects to none: a server connects when it is asked something.
///
/// # Errors
/// What makes a server unusable before it is asked.
pub fn open(fleet: &Fleet) -> Result<Servers> {
    let made = fleet.servers.iter().map(|server| -> Result<Arc<dyn Server>> {
        match server.engine {
            EngineKind::Postgres => Ok(Arc::new(postgres::Postgres::new(server.clone(), fleet.drift.include))),
            EngineKind::MySql => mysql::open(server.clone(), fleet.drift.include),
            EngineKind::Sqlite => sqlite::open(server.clone(), fleet.drift.include),
        }
    });
    made.collect()
}
