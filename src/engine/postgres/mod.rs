//! PostgreSQL: a database for each tenant, or a schema for each tenant.
//!
//! A transactional changeset is one simple-query message, which is one implicit transaction: settings, history row,
//! text, journal row. The history row comes first, so that two runners that race serialise on its primary key.

mod again;
mod apply;
mod elsewhere;
mod fault;
mod fence;
mod flush;
mod greeting;
mod groups;
mod hosts;
mod lock;
mod places;
mod pooler;
mod probe;
mod question;
mod read;
mod schema;
mod session;
mod socket;
mod sql;
mod steps;
mod tls;
mod watch;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::engine::pool::{Lease, Pool};
use crate::engine::{
    Acceptance, Answer, Begun, Fate, Gauge, Keep, LockAttempt, Order, Outcome, Reading, Record, Resume, RunIdentity,
    Server,
};
use crate::error::Result;
use crate::history::Attempt;
use crate::schema::{Include, Snapshot};
use crate::tenant::{self, Tenant};

use flush::Unflushed;
use lock::Locked;
use pooler::Way;
use session::{Door, Key, Session};
use watch::Watch;

/// One PostgreSQL server.
pub(super) struct Postgres {
    server: tenant::Server,
    /// How its sessions are opened.
    door: Arc<Door>,
    /// What belongs to a schema.
    include: Include,
    /// What the sessions call themselves, so that others can name the run that holds a lock.
    name: Mutex<String>,
    pool: Pool<Key, Session>,
    locked: Arc<tokio::sync::Mutex<Option<Locked>>>,
    watch: Arc<Watch>,
    unflushed: Unflushed,
    /// Whose sessions may be shared by a pooler: looked into before the run lock is taken.
    doubtful: Mutex<Vec<Key>>,
    /// One no-transaction changeset at a time in a database: `CREATE INDEX CONCURRENTLY` waits for every transaction
    /// there, and two of them for each other.
    /// <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>
    alone: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Postgres {
    /// Makes the server; connects only when it is asked something.
    pub fn new(server: tenant::Server, include: Include) -> Self {
        let pool = Pool::new(server.max_connections.get() as usize - 1, server.connect_timeout);
        let locked = Arc::new(tokio::sync::Mutex::new(None));
        let door = Arc::new(Door::new(server.clone()));
        Self {
            watch: Arc::new(Watch { door: door.clone(), locked: locked.clone() }),
            door,
            doubtful: Mutex::default(),
            unflushed: Unflushed::default(),
            server,
            include,
            name: Mutex::new(concat!("mtmigrate ", env!("CARGO_PKG_VERSION")).to_owned()),
            pool,
            locked,
            alone: Mutex::new(HashMap::new()),
        }
    }

    /// Returns a session in the tenant's database; a text may have left anything in it.
    async fn session(&self, tenant: &Tenant) -> Result<Lease<'_, Key, Session>> {
        self.session_with(0, &key(tenant)).await
    }

    /// Returns a session with this key, the lane's own if it is idle.
    async fn session_with(&self, lane: usize, key: &Key) -> Result<Lease<'_, Key, Session>> {
        let name = &self.session_name();
        let lease = self.pool.lease_in(lane, key, || async {
            let session = Session::open(&self.door, key, name).await?;
            self.unflushed.opened(&session);
            Ok(session.watched(self.watch.clone(), key.clone()))
        });
        let lease = lease.await?;
        if lease.fresh && lease.way == Way::Unknown {
            self.doubtful(key);
        }
        Ok(lease)
    }

    /// Returns a session in the tenant's database that is at its start.
    async fn clean_session(&self, tenant: &Tenant) -> Result<Lease<'_, Key, Session>> {
        loop {
            let session = self.session(tenant).await?;
            match timeout(self.server.connect_timeout, session.reset()).await {
                Ok(Ok(())) => return Ok(session),
                // It ended while it was idle, or does not answer; one that was just opened needs no reset.
                _ => session.discard().await,
            }
        }
    }

    /// Notes that sessions with this key may be shared by a pooler.
    fn doubtful(&self, key: &Key) {
        let mut doubtful = self.doubtful.lock().unwrap_or_else(PoisonError::into_inner);
        if !doubtful.contains(key) {
            doubtful.push(key.clone());
        }
    }

    fn session_name(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn alone(&self, database: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        alone.entry(database.to_owned()).or_default().clone()
    }
}

/// Returns which sessions are a tenant's.
fn key(tenant: &Tenant) -> Key {
    Key { access: tenant.access.clone(), database: tenant.datasource.database().to_owned() }
}

/// Returns the schema that is the tenant's: its own, or the one that the session began in.
fn home(tenant: &Tenant, session: &Session) -> Option<String> {
    tenant.datasource.schema().map(str::to_owned).or_else(|| session.home.clone())
}

impl Server for Postgres {
    fn width(&self) -> usize {
        self.pool.limit()
    }

    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>> {
        read::read(self, tenants).boxed()
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        read::journal(self, tenant, limit).boxed()
    }

    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>> {
        schema::inspect(self, tenants).boxed()
    }

    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>> {
        schema::gauge(self, tenants).boxed()
    }

    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        schema::recorded(self, tenant).boxed()
    }

    fn keep<'a>(&'a self, run: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>> {
        schema::keep(self, run, kept).boxed()
    }

    fn accept<'a>(&'a self, acceptance: Acceptance<'a>) -> BoxFuture<'a, Result<()>> {
        async move { schema::accept(self, &acceptance).await }.boxed()
    }

    fn try_lock<'a>(&'a self, run: &'a RunIdentity, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = run.session_name();
        lock::try_lock(self, run, tenants).boxed()
    }

    fn check_lock(&self) -> BoxFuture<'_, Result<()>> {
        lock::check(self).boxed()
    }

    fn unlock(&self) -> BoxFuture<'_, ()> {
        lock::unlock(self).boxed()
    }

    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            match order.text.directives.no_transaction {
                true => steps::apply(self, &order).await,
                false => apply::apply(self, &order).await,
            }
        }
        .boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        flush::flush(self).boxed()
    }

    fn fate<'a>(&'a self, begun: Begun<'a>) -> BoxFuture<'a, Result<Fate>> {
        async move { steps::fate(self, &begun).await }.boxed()
    }

    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<Resume>> {
        async move { steps::record(self, &record).await }.boxed()
    }

    fn ask<'a>(&'a self, tenant: &'a Tenant, question: &'a str, limit: usize) -> BoxFuture<'a, Result<Answer>> {
        question::ask(self, tenant, question, limit).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async move {
            lock::unlock(self).await;
            self.pool.close().await;
        }
        .boxed()
    }
}
