//! SQLite: a directory of files, one for each tenant.
//!
//! Start at `open`. A changeset's text, history row and journal row commit together (`apply`); a no-transaction
//! text goes statement by statement (`steps`). SQLite blocks, so it works on threads for blocking work, at most
//! `max_connections` of them at once; between two orders of a tenant its connection may stay open, idle (`kept`), and its
//! journal in its place (`writing`). What the file says about durability (WAL mode, `synchronous`) is left alone.

mod apply;
mod brake;
mod codes;
mod create;
mod examine;
mod expectation;
mod fault;
mod fence;
mod file;
mod foreign_keys;
mod heap;
mod job;
mod kept;
mod leavings;
mod ledger;
mod lock;
mod question;
mod reading;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
mod writing;

use std::collections::HashMap;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::future::{BoxFuture, join_all};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinError;

use super::stepwise;
use super::tables::JournalRow;
use super::traced::{Inquiry, inquire};
use super::{
    Acceptance, Answer, Begun, Creation, Examined, Failure, Fate, Gauge, Keep, Left, LockAttempt, Made, Moment, Order,
    Outcome, Reading, Record, Resume, RunIdentity, Server,
};
use crate::error::{Code, Diagnostic, Result};
use crate::history::Attempt;
use crate::schema::{Include, Snapshot};
use crate::sql::{Dialect, split, trace};
use crate::tenant::{self, Address, Datasource, Tenant};
use brake::Brake;
use create::Making;
use expectation::Kept;
use file::File;
use heap::{Abandon, Heap};
use job::{Job, LastText};
use kept::Shelf;
use ledger::Start;
use lock::Lock;
use schema::Seen;

/// Makes the server of a directory of SQLite files; opens nothing yet.
///
/// # Errors
/// `MT900` for an address that is no directory.
pub(crate) fn open(server: tenant::Server, include: Include) -> Result<Arc<dyn Server>> {
    let Address::Directory(directory) = server.address else {
        return Err(Diagnostic::new(Code::BUG, format!("server {} is not a directory of SQLite files", server.name)));
    };
    let width = server.max_connections.get() as usize;
    Ok(Arc::new(Directory {
        directory,
        width,
        include,
        permits: Semaphore::new(width.min(Semaphore::MAX_PERMITS)),
        texts: LastText::default(),
        shelf: Arc::default(),
        lock: Mutex::new(None),
    }))
}

/// One directory of SQLite files.
struct Directory {
    directory: PathBuf,
    width: usize,
    /// What descriptions of schemas are to hold.
    include: Include,
    /// One for each connection.
    permits: Semaphore,
    texts: LastText,
    shelf: Arc<Shelf>,
    lock: Mutex<Option<Lock>>,
}

impl Directory {
    async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        let closed = |_| Diagnostic::new(Code::BUG, "a connection was asked for after the server was closed");
        self.permits.acquire().await.map_err(closed)
    }

    /// Does work that blocks on a thread made for that, one connection's worth of it.
    async fn on_thread<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _permit = self.permit().await?;
        tokio::task::spawn_blocking(work).await.map_err(died)?
    }

    /// Does so many pieces of work, and answers in order.
    async fn on_threads<T, W>(&self, count: usize, piece: impl Fn(usize) -> W + Send) -> Vec<Result<T>>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T> + Send + 'static,
    {
        let heap = Heap::new((0..count).map(piece).collect());
        let shares = (0..self.width.min(count)).map(|_| {
            let share = heap.clone();
            self.on_thread(move || {
                share.work_off();
                Ok(())
            })
        });
        // Whoever stops waiting for the answers stops the work too.
        let abandon = Abandon(heap.clone());
        let died = join_all(shares).await.into_iter().find_map(Result::err);
        drop(abandon);
        heap.answers(|| died.clone().unwrap_or_else(|| Diagnostic::new(Code::BUG, DIED)))
    }

    async fn apply_one(&self, order: &Order<'_>) -> Result<Outcome> {
        let _permit = self.permit().await?;
        let brake = Brake::new(order.cancel.clone(), order.limits);
        let job = Job::of(order, &self.texts);
        let work = tokio::task::spawn_blocking({
            let (brake, shelf, runtime) = (brake.clone(), self.shelf.clone(), Handle::current());
            move || apply::run(&job, &brake, &shelf, &runtime)
        });
        brake.watch(work).await.map_err(died)
    }

    fn held(&self) -> MutexGuard<'_, Option<Lock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server for Directory {
    fn width(&self) -> usize {
        self.width
    }

    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>> {
        Box::pin(self.on_threads(tenants.len(), |at| {
            let (tenant, shelf) = (tenants[at].clone(), self.shelf.clone());
            move || reading::read(&tenant, &shelf)
        }))
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        let (tenant, shelf) = (tenant.clone(), self.shelf.clone());
        Box::pin(self.on_thread(move || reading::journal(&tenant, &shelf, limit)))
    }

    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>> {
        let seen = Seen::new(self.include);
        Box::pin(self.on_threads(tenants.len(), move |at| {
            let (tenant, shelf, seen) = (tenants[at].clone(), self.shelf.clone(), seen.clone());
            move || schema::inspect(&tenant, &shelf, &seen)
        }))
    }

    /// Every gauge is of the whole schema: nothing of the one before is needed.
    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>> {
        Box::pin(self.on_threads(tenants.len(), |at| {
            let (tenant, shelf) = (tenants[at].0.clone(), self.shelf.clone());
            move || schema::gauge(&tenant, &shelf)
        }))
    }

    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        let (tenant, shelf) = (tenant.clone(), self.shelf.clone());
        Box::pin(self.on_thread(move || expectation::recorded(&tenant, &shelf)))
    }

    fn keep<'a>(&'a self, run: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>> {
        // Tenants that are alike share their snapshot, and its text.
        let mut texts: HashMap<usize, Arc<str>> = HashMap::new();
        for Keep { snapshot, .. } in kept {
            texts.entry(ptr::from_ref(*snapshot).addr()).or_insert_with(|| snapshot.to_text().into());
        }
        Box::pin(self.on_threads(kept.len(), move |at| {
            let Keep { tenant, snapshot, record, accepted } = &kept[at];
            let (tenant, shelf) = ((*tenant).clone(), self.shelf.clone());
            let kept = Kept {
                run_id: run.run_id.clone(),
                fingerprint: (*record).to_owned(),
                accepted: accepted.map(str::to_owned),
                snapshot: texts[&ptr::from_ref(*snapshot).addr()].clone(),
            };
            move || expectation::keep(&tenant, &shelf, &kept)
        }))
    }

    fn accept<'a>(&'a self, acceptance: Acceptance<'a>) -> BoxFuture<'a, Result<()>> {
        let (tenant, tables, run) = (acceptance.tenant.clone(), acceptance.tables, acceptance.run.clone());
        let (version, name) = (acceptance.version.0, acceptance.version.1.to_owned());
        let (snapshot, words) = (acceptance.snapshot.clone(), acceptance.words.to_owned());
        let (record, accepted) = (acceptance.record.to_owned(), acceptance.accepted.map(str::to_owned));
        let skipped = acceptance.skipped.to_vec();
        let shelf = self.shelf.clone();
        Box::pin(self.on_thread(move || {
            let acceptance = Acceptance {
                tenant: &tenant,
                tables,
                run: &run,
                version: (version, &name),
                snapshot: &snapshot,
                record: &record,
                accepted: accepted.as_deref(),
                skipped: &skipped,
                words: &words,
            };
            expectation::accept(&acceptance, &shelf)
        }))
    }

    fn try_lock<'a>(&'a self, run: &'a RunIdentity, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        let may_make =
            tenants.iter().any(|tenant| matches!(tenant.datasource, Datasource::Sqlite { create: true, .. }));
        Box::pin(async move {
            let (directory, run) = (self.directory.clone(), run.clone());
            let (attempt, lock) = self
                .on_thread(move || {
                    lock::make_directory(&directory, may_make)?;
                    lock::try_lock(&directory, &run)
                })
                .await?;
            if lock.is_some() {
                *self.held() = lock;
            }
            Ok(attempt)
        })
    }

    /// What commits here commits with its row, and the rest can be run again: the journal's row tells, or nothing does.
    fn fate<'a>(&'a self, begun: Begun<'a>) -> BoxFuture<'a, Result<Fate>> {
        Box::pin(async move {
            let statements = match split(&begun.text.sql, Dialect::Sqlite) {
                Ok(statements) => statements,
                Err(error) => {
                    return Ok(Fate::Unknown(format!("the file cannot be split into statements: {error}")));
                }
            };
            match inquire(&begun, &statements, |statement| trace(statement, Dialect::Sqlite)) {
                Inquiry::Known(fate) => Ok(fate),
                Inquiry::Ask { .. } => Ok(Fate::Unknown("its journal row is not one of this engine".into())),
            }
        })
    }

    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<Resume>> {
        Box::pin(async move {
            let statements =
                split(&record.text.sql, Dialect::Sqlite).map_err(|error| stepwise::unsplit(&record, &error))?;
            let mark = stepwise::marked(&record, &statements)?;
            let (tenant, run, name) = (record.tenant.clone(), record.run.clone(), record.changeset.name.clone());
            let (resume, shelf) = (mark.resume(), self.shelf.clone());
            let row = JournalRow::of_record(&record, mark);
            let (action, version, checksum, outcome) = (row.action, row.version, row.checksum, row.outcome);
            let (statement, error, skipped) = (row.statement, row.error, row.skipped);
            let accepted = row.accepted.map(str::to_owned);
            let written = self.on_thread(move || {
                let row = JournalRow {
                    run: &run,
                    action,
                    version,
                    name: &name,
                    checksum,
                    outcome,
                    statement,
                    error,
                    fingerprint: None,
                    accepted: accepted.as_deref(),
                    trace: None,
                    skipped,
                };
                let connection = File::of(&tenant, &shelf)?.to_write()?;
                let noted = ledger::note(&connection, &Start::now(), &row);
                Ok(noted.map_err(|error| fault::cause(&error)))
            });
            written.await?.map_err(|cause| stepwise::unrecorded(&record, cause))?;
            Ok(resume)
        })
    }

    fn check_lock(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { self.held().as_ref().map_or(Ok(()), Lock::check) })
    }

    fn unlock(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let held = self.held().take();
            if let Some(lock) = held {
                lock.release();
            }
        })
    }

    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let began = Instant::now();
            self.apply_one(&order).await.unwrap_or_else(|diagnostic| {
                let (moment, left) = (Moment::Execute, Left::Unknown);
                Outcome::Failed(Failure { diagnostic, moment, left, retry: false, duration: began.elapsed() })
            })
        })
    }

    /// What orders and readings did not keep they have closed themselves.
    fn ask<'a>(&'a self, tenant: &'a Tenant, question: &'a str, limit: usize) -> BoxFuture<'a, Result<Answer>> {
        let (tenant, shelf, question) = (tenant.clone(), self.shelf.clone(), question.to_owned());
        Box::pin(self.on_thread(move || question::ask(&tenant, &shelf, &question, limit)))
    }

    fn create<'a>(&'a self, creation: Creation<'a>) -> BoxFuture<'a, Result<Made>> {
        let making = Making::of(&creation);
        Box::pin(self.on_thread(move || making.make()))
    }

    fn examine<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Examined>>> {
        Box::pin(self.on_threads(tenants.len(), |at| {
            let (tenant, shelf) = (tenants[at].clone(), self.shelf.clone());
            move || examine::examine(&tenant, &shelf)
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let shelf = self.shelf.clone();
            drop(tokio::task::spawn_blocking(move || shelf.clear()).await);
        })
    }
}

const DIED: &str = "a thread that worked on an SQLite file died";

fn died(error: JoinError) -> Diagnostic {
    Diagnostic::new(Code::BUG, DIED).cause(error.to_string())
}
