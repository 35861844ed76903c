//! A simulated server as a runner knows it: the trait's promises, kept over a wire that breaks.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::changeset::Width;
use crate::engine::stepwise::{self, failed};
use crate::engine::tables::JournalRow;
use crate::engine::traced::{Inquiry, decide, inquire};
use crate::engine::{
    Acceptance, Begun, Failure, Fate, Gauge, Holder, JournalFormat, Keep, Left, LockAttempt, Moment, Order, Outcome,
    Reading, Record, Resume, RunIdentity, Server, Tables,
};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{Attempt, AttemptOutcome, Unfinished};
use crate::schema::Snapshot;
use crate::sql::{Dialect, EngineKind, split, trace};
use crate::tenant::Tenant;

use super::runs::process_of;
use super::state::attempt;
use super::wire::{Connection, Gone};
use super::world::{ProcessId, Shared, World};

/// One server, as one process knows it.
pub(super) struct Simulated {
    pub world: Shared,
    pub process: ProcessId,
    pub server: usize,
    width: usize,
    /// Everything but the lock's connection.
    places: Semaphore,
    lock: Mutex<Option<Connection>>,
    /// Whether the server has flushed under the lock: then commits are asynchronous.
    flushes: AtomicBool,
    /// What this process may have committed since the last flush: tenant and version.
    unflushed: std::sync::Mutex<BTreeSet<(usize, i64)>>,
    /// Whether the process is dead: it can give nothing back.
    dead: Arc<AtomicBool>,
}

/// A connection in its place in the budget.
pub(super) struct Leased<'s> {
    pub connection: Connection,
    _place: Option<SemaphorePermit<'s>>,
}

/// A flush whose answer was not heard: dropped, it notes that not to know is allowed.
struct Unheard<'s> {
    of: &'s Simulated,
    due: BTreeSet<(usize, i64)>,
}

impl Drop for Unheard<'_> {
    fn drop(&mut self) {
        if self.due.is_empty() {
            return;
        }
        let mut world = self.of.world.lock();
        world.tell(format!("r{} has no answer to its flush of server {}", self.of.process, self.of.server));
        // The core knows of a server and a step, and not of a commit: a text by statements and one that was skipped may be
        // in one step.
        if let Some(view) = world.runs.get_mut(self.of.process) {
            let versions: BTreeSet<i64> = self.due.iter().map(|(_, version)| *version).collect();
            let of_these = view.ordered.iter().filter(|(tenant, version)| {
                view.fleet.tenants[*tenant].server.0 == self.of.server && versions.contains(version)
            });
            view.lost.extend(of_these);
        }
    }
}

impl Leased<'_> {
    /// Closes the connection, and gives its place back.
    pub async fn close(self) {
        self.connection.close().await;
    }
}

impl Simulated {
    pub fn new(world: &Shared, process: ProcessId, server: usize, dead: Arc<AtomicBool>) -> Self {
        let width = world.lock().machines[server].max_connections as usize - 1;
        let (world, lock) = (world.clone(), Mutex::new(None));
        let (flushes, unflushed) = (AtomicBool::new(false), std::sync::Mutex::default());
        Self { world, process, server, width, places: Semaphore::new(width), lock, flushes, unflushed, dead }
    }

    /// Opens a connection, in a place of the budget.
    pub async fn connect(&self) -> Result<Leased<'_>> {
        let place = self.places.acquire().await.ok();
        match Connection::open(&self.world, self.process, self.server).await {
            Some(connection) => Ok(Leased { connection, _place: place }),
            None => Err(self.unreachable()),
        }
    }

    fn unreachable(&self) -> Diagnostic {
        Diagnostic::new(Code::UNREACHABLE, format!("cannot reach server {}", self.server)).cause("refused")
    }

    /// Opens a connection for one question.
    async fn ask<T: Send + 'static>(&self, what: impl FnOnce(&mut World) -> T + Send + 'static) -> Result<T> {
        let leased = self.connect().await?;
        let answer = leased.connection.ask_at_once(|world, _| what(world)).await;
        leased.close().await;
        answer.map_err(|Gone| self.unreachable())
    }

    /// Asks something about many tenants; without an answer it is none for each.
    async fn ask_of_all<T: Send + 'static>(
        &self,
        tenants: Vec<usize>,
        what: impl Fn(&mut World, usize) -> T + Send + 'static,
    ) -> Vec<Result<T>> {
        let asked = tenants.clone();
        let answer = self.ask(move |world| asked.into_iter().map(|tenant| what(world, tenant)).collect::<Vec<T>>());
        match answer.await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(diagnostic) => tenants.iter().map(|_| Err(diagnostic.clone())).collect(),
        }
    }

    async fn try_lock_of(&self, run: &RunIdentity, tenants: &[&Tenant]) -> Result<LockAttempt> {
        let mut slot = self.lock.lock().await;
        let opened = Connection::open(&self.world, self.process, self.server).await;
        let connection = opened.ok_or_else(|| self.unreachable())?;
        let databases: Vec<String> = tenants.iter().map(|tenant| tenant.datasource.database().to_owned()).collect();
        let asked_for: Vec<usize> = tenants.iter().map(|tenant| tenant.id.0).collect();
        let (server, run_id) = (self.server, run.run_id.clone());
        let asked = connection.ask_at_once(move |world, id| {
            if let Some(holder) = databases.iter().find_map(|database| world.lock_holder(server, database)) {
                return Some((holder, false));
            }
            let orphan = world.sessions.values().find(|s| s.works_on.is_some_and(|tenant| asked_for.contains(&tenant)));
            if let Some(orphan) = orphan {
                return Some((orphan.process, true));
            }
            world.tell(format!("{run_id} locks server {server}"));
            if let Some(session) = world.sessions.get_mut(&id) {
                session.locks.extend(databases);
            }
            None
        });
        match asked.await {
            Ok(None) => {
                *slot = Some(connection);
                Ok(LockAttempt::Taken)
            }
            Ok(Some((holder, orphan))) => {
                connection.close().await;
                let (description, run_id) = (format!("run r{holder}"), Some(format!("r{holder}")));
                let holder = Holder { description, run_id };
                Ok(if orphan { LockAttempt::Busy(holder) } else { LockAttempt::Held(holder) })
            }
            Err(Gone) => Err(self.unreachable()),
        }
    }

    async fn still_locked(&self) -> Result<()> {
        let mut slot = self.lock.lock().await;
        let Some(connection) = slot.as_ref() else { return Ok(()) };
        if connection.ask_at_once(|_, _| ()).await.is_ok() {
            return Ok(());
        }
        *slot = None;
        let server = self.server;
        Err(Diagnostic::new(Code::LOCK_LOST, format!("the run lock on server {server} was lost")))
    }

    /// Whether an order commits asynchronously; it is noted then.
    pub fn asynchronous(&self, order: &Order<'_>) -> bool {
        let flushes = self.flushes.load(Ordering::SeqCst);
        if flushes {
            self.unflushed().insert((order.tenant.id.0, order.changeset.version.0));
        }
        flushes
    }

    fn unflushed(&self) -> std::sync::MutexGuard<'_, BTreeSet<(usize, i64)>> {
        self.unflushed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// As PostgreSQL's: over the session of the lock, which was there before the first of the commits.
    async fn flush_all(&self) -> Result<()> {
        if !self.world.lock().flushes {
            return Ok(());
        }
        let due = self.unflushed().clone();
        if due.is_empty() && self.flushes.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut unheard = Unheard { of: self, due };
        let slot = self.lock.lock().await;
        let server = self.server;
        let flushed = match slot.as_ref() {
            Some(connection) => connection.ask_at_once(move |world, _| world.flushed(server)).await.is_ok(),
            None if unheard.due.is_empty() => return Ok(()),
            None => false,
        };
        if flushed {
            unheard.due.clear();
            self.flushes.store(true, Ordering::SeqCst);
            self.unflushed().clear();
            return Ok(());
        }
        Err(Diagnostic::new(Code::OUTCOME_UNKNOWN, format!("server {server} did not confirm")))
    }

    async fn give_back(&self) {
        if self.dead.load(Ordering::SeqCst) {
            return;
        }
        self.flushes.store(false, Ordering::SeqCst);
        if let Some(connection) = self.lock.lock().await.take() {
            connection.close().await;
        }
    }

    async fn apply_order(&self, order: Order<'_>) -> Outcome {
        self.world.lock().check_order(&order, self.width);
        let by_statements =
            order.tenant.datasource.engine() == EngineKind::MySql || order.text.directives.no_transaction;
        let outcome = match by_statements {
            true => self.by_statements(&order).await,
            false => self.as_a_whole(&order).await,
        };
        let failure = match &outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Applied(_) => None,
        };
        self.world.lock().check_answer(&order, failure);
        outcome
    }

    /// Notes that something of an order was lost, so that not to know is allowed.
    pub fn lost(&self, order: &Order<'_>) -> Diagnostic {
        let mut world = self.world.lock();
        world.tell(format!("r{} lost its connection for t{}", self.process, order.tenant.id.0));
        if let Some(view) = world.runs.get_mut(process_of(&order.run.run_id)) {
            view.lost.insert((order.tenant.id.0, order.changeset.version.0));
        }
        failed(order, Code::OUTCOME_UNKNOWN).cause("the connection was lost")
    }

    /// As the engines do it: by what was journalled before the statement, and by what is there now.
    async fn fate_of(&self, begun: &Begun<'_>) -> Result<Fate> {
        let tenant = begun.tenant.id.0;
        let dialect = Dialect::default_for(begun.tenant.datasource.engine());
        let statements = split(&begun.text.sql, dialect).unwrap_or_default();
        let inquiry = inquire(begun, &statements, |statement| trace(statement, dialect));
        let found = self.ask(move |world| match inquiry {
            Inquiry::Known(fate) => fate,
            Inquiry::Ask { probes, before } => decide(&probes, &before, &world.tenants[tenant].answers(&probes)),
        });
        found.await
    }

    async fn record_of(&self, record: &Record<'_>) -> Result<Resume> {
        let tenant = record.tenant.id.0;
        let statements = split(&record.text.sql, Dialect::default_for(record.tenant.datasource.engine()));
        let mark = stepwise::marked(record, &statements.unwrap_or_default())?;
        let resume = mark.resume();
        let row = attempt(&JournalRow::of_record(record, mark), None);
        let busy = Diagnostic::new(Code::LOCK_FAILED, format!("somebody else is, or was, at work on t{tenant}"));
        let (version, at) = (record.changeset.version, record.at.clone());
        let written = self.ask(move |world| {
            let stands_there = match world.tenants[tenant].open() {
                Some(
                    Unfinished::FailedAt { version: v, statement_no, prefix }
                    | Unfinished::Uncertain { version: v, statement_no, prefix, .. },
                ) => (v, statement_no, prefix) == (version, at.statement_no, at.prefix),
                None => false,
            };
            // A message that comes late must not say of another run's progress what was found before it.
            if !stands_there || world.is_worked_on(tenant, None) {
                return false;
            }
            world.tell(format!("t{tenant} {:?} at statement {:?}", row.outcome, row.statement_no));
            world.durable(tenant).journal(row);
            true
        });
        if written.await? { Ok(resume) } else { Err(busy) }
    }
}

fn reading(world: &mut World, tenant: usize) -> Reading {
    let state = &world.tenants[tenant];
    Reading {
        tables: Tables {
            history: (!state.rows.is_empty()).then_some(Width::Int4),
            journal: state.last.as_ref().map(|_| JournalFormat::Four),
        },
        rows: state.rows.clone(),
        last: state.last.clone(),
        server_version: "simulated".into(),
        read_only: None,
        folds_case: false,
    }
}

fn gauge(world: &mut World, tenant: usize) -> Gauge {
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write(world.tenants[tenant].signature().as_bytes());
    Gauge { value: hasher.finish().into(), mark: 0 }
}

/// Makes the failure of an order of which the server saw nothing.
pub(super) fn unsent(order: &Order<'_>, why: &Diagnostic) -> Outcome {
    let left = match &order.resume {
        Some(resume) if resume.statement_no > 1 => {
            Left::Half { statement_no: resume.statement_no, statements: resume.statement_no }
        }
        _ => Left::Unchanged,
    };
    let diagnostic = failed(order, Code::CHANGESET_FAILED).cause(why.message());
    failure(diagnostic, Moment::Prepare, left, true)
}

pub(super) fn failure(diagnostic: Diagnostic, moment: Moment, left: Left, retry: bool) -> Outcome {
    Outcome::Failed(Failure { diagnostic, moment, left, retry, duration: std::time::Duration::ZERO })
}

impl Server for Simulated {
    fn width(&self) -> usize {
        self.width
    }

    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>> {
        self.ask_of_all(tenants.iter().map(|tenant| tenant.id.0).collect(), reading).boxed()
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, _limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        let tenant = tenant.id.0;
        self.ask(move |world| world.tenants[tenant].last.iter().cloned().collect()).boxed()
    }

    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>> {
        self.ask_of_all(tenants.iter().map(|tenant| tenant.id.0).collect(), World::snapshot).boxed()
    }

    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>> {
        self.ask_of_all(tenants.iter().map(|(tenant, _)| tenant.id.0).collect(), gauge).boxed()
    }

    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        let tenant = tenant.id.0;
        self.ask(move |world| world.tenants[tenant].kept.clone()).boxed()
    }

    fn keep<'a>(&'a self, run: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>> {
        let tenants: Vec<usize> = kept.iter().map(|keep| keep.tenant.id.0).collect();
        let what = kept.iter().map(|keep| {
            let accepted = keep.accepted.map(str::to_owned);
            (keep.tenant.id.0, (keep.snapshot.clone(), keep.record.to_owned(), accepted))
        });
        let what: std::collections::BTreeMap<_, _> = what.collect();
        let run_id = run.run_id.clone();
        let keep = move |world: &mut World, tenant: usize| {
            let Some((snapshot, record, accepted)) = what.get(&tenant) else { return };
            let state = world.durable(tenant);
            if let Some(last) = state.last.as_mut().filter(|last| last.run_id == run_id) {
                last.fingerprint = Some(record.clone());
                last.accepted.clone_from(accepted);
                state.kept = Some(snapshot.clone());
            }
        };
        self.ask_of_all(tenants, keep).boxed()
    }

    fn accept<'a>(&'a self, acceptance: Acceptance<'a>) -> BoxFuture<'a, Result<()>> {
        let row =
            Attempt { outcome: AttemptOutcome::Accepted, ..attempt(&JournalRow::of_acceptance(&acceptance), None) };
        let (tenant, snapshot) = (acceptance.tenant.id.0, acceptance.snapshot.clone());
        self.ask(move |world| {
            world.tell(format!("t{tenant} accepted"));
            world.durable(tenant).kept = Some(snapshot);
            world.tenants[tenant].journal(row);
        })
        .boxed()
    }

    fn try_lock<'a>(&'a self, run: &'a RunIdentity, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        self.try_lock_of(run, tenants).boxed()
    }

    fn check_lock(&self) -> BoxFuture<'_, Result<()>> {
        self.still_locked().boxed()
    }

    fn unlock(&self) -> BoxFuture<'_, ()> {
        self.give_back().boxed()
    }

    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome> {
        self.apply_order(order).boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        self.flush_all().boxed()
    }

    fn fate<'a>(&'a self, begun: Begun<'a>) -> BoxFuture<'a, Result<Fate>> {
        async move { self.fate_of(&begun).await }.boxed()
    }

    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<Resume>> {
        async move { self.record_of(&record).await }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.give_back().boxed()
    }
}
