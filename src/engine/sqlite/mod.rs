//! SQLite: a directory of files, one for each tenant.
//!
//! Start at `open`. A changeset's text, history row and journal row commit together (`apply`); a no-transaction
//! text goes statement by statement (`steps`). SQLite blocks, so it works on threads for blocking work, at most
//! `max_connections` of them at once; each order and each reading has a connection of its own and closes it. What the
//! file says about durability (`journal_mode`, `synchronous`) is left alone.

mod apply;
mod brake;
mod codes;
mod fault;
mod file;
mod foreign_keys;
mod job;
mod ledger;
mod lock;
mod reading;
mod steps;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinError;

use super::stepwise;
use super::tables::JournalRow;
use super::{Failure, Left, LockAttempt, Moment, Order, Outcome, Reading, Record, RunIdentity, Server};
use crate::error::{Code, Diagnostic, Result};
use crate::history::Attempt;
use crate::sql::{Dialect, split};
use crate::tenant::{self, Address, Datasource, Tenant};
use brake::Brake;
use file::File;
use job::{Job, LastText};
use ledger::Start;
use lock::Lock;

/// Makes the server of a directory of SQLite files; opens nothing yet.
///
/// # Errors
/// `MT900` for an address that is no directory.
pub(crate) fn open(server: tenant::Server) -> Result<Arc<dyn Server>> {
    let Address::Directory(directory) = server.address else {
        return Err(Diagnostic::new(Code::BUG, format!("server {} is not a directory of SQLite files", server.name)));
    };
    let width = server.max_connections.get() as usize;
    Ok(Arc::new(Directory {
        directory,
        width,
        permits: Semaphore::new(width.min(Semaphore::MAX_PERMITS)),
        texts: LastText::default(),
        lock: Mutex::new(None),
    }))
}

/// One directory of SQLite files.
struct Directory {
    directory: PathBuf,
    width: usize,
    /// One for each connection.
    permits: Semaphore,
    texts: LastText,
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

    async fn apply_one(&self, order: &Order<'_>) -> Result<Outcome> {
        let _permit = self.permit().await?;
        let brake = Brake::new(order.cancel.clone(), order.limits);
        let job = Job::of(order, &self.texts);
        let work = tokio::task::spawn_blocking({
            let (brake, runtime) = (brake.clone(), Handle::current());
            move || apply::run(&job, &brake, &runtime)
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
        let one = |tenant: &Tenant| {
            let tenant = tenant.clone();
            self.on_thread(move || reading::read(&tenant))
        };
        Box::pin(async move {
            let readings: Vec<_> = tenants.iter().map(|tenant| one(tenant)).collect();
            stream::iter(readings).buffered(self.width).collect().await
        })
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        let tenant = tenant.clone();
        Box::pin(self.on_thread(move || reading::journal(&tenant, limit)))
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

    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let statements =
                split(&record.text.sql, Dialect::Sqlite).map_err(|error| stepwise::unsplit(&record, &error))?;
            let mark = stepwise::marked(&record, &statements)?;
            let (tenant, run, name) = (record.tenant.clone(), record.run.clone(), record.changeset.name.clone());
            let row = JournalRow::of_record(&record, mark);
            let (action, version, checksum, outcome) = (row.action, row.version, row.checksum, row.outcome);
            let (statement, error) = (row.statement, row.error);
            let written = self.on_thread(move || {
                let row = JournalRow { run: &run, action, version, name: &name, checksum, outcome, statement, error };
                let connection = File::of(&tenant)?.to_write()?;
                let noted = Start::now(&connection).and_then(|start| ledger::note(&connection, &start, &row));
                Ok(noted.map_err(|error| fault::cause(&error)))
            });
            written.await?.map_err(|cause| stepwise::unrecorded(&record, cause))
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

    /// Every order and reading has closed its own connection already.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

fn died(error: JoinError) -> Diagnostic {
    Diagnostic::new(Code::BUG, "a thread that worked on an SQLite file died").cause(error.to_string())
}
