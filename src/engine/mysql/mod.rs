//! MySQL and MariaDB: a database for each tenant; DDL that commits by itself, journalled statement by statement.
//!
//! Start at [`open`]. Tenants of a server that share credentials share connections: `USE` takes one to the next
//! tenant, and the session is reset in between. One connection of the budget is the run lock's; while no lock is
//! held its place serves to end running statements.

mod apply;
mod asking;
mod catalog;
mod connect;
mod describe;
mod entry;
mod expectation;
mod fault;
mod flavor;
mod inspect;
mod link;
mod lock;
mod made;
mod message;
mod own_name;
mod probe;
mod programs;
mod question;
mod read;
mod sql;
mod steps;
mod tls;
mod watch;
mod words;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::error::{Diagnostic, Result};
use crate::history::Attempt;
use crate::schema::{Include, Snapshot};
use crate::tenant::{self, Access, Tenant};

use super::pool::{Close, Lease, Pool};
use super::{
    Acceptance, Answer, Begun, Fate, Gauge, Keep, LockAttempt, Order, Outcome, Reading, Record, Resume, RunIdentity,
    Server,
};

use connect::Connector;
use link::{ANSWER_LIMIT, Link, Sets, Trouble};
use watch::Watch;

/// The longest time that ending a statement may take, the connection to do it included.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Makes the door to one server. Opens no connection.
///
/// # Errors
/// `MT900` for a server that is none of this engine.
pub(crate) fn open(server: tenant::Server, include: Include) -> Result<Arc<dyn Server>> {
    let connector = Arc::new(Connector::new(&server)?);
    let lock = Arc::new(Mutex::new(None));
    let (silence_check, limit) = (server.silence_check, server.connect_timeout);
    let watch = Arc::new(Watch { connector: connector.clone(), lock: lock.clone(), silence_check, limit });
    let orders = server.max_connections.get().saturating_sub(1) as usize;
    let pool = Pool::new(orders, server.connect_timeout);
    Ok(Arc::new(MySqlServer { connector, include, pool, lock, watch }))
}

/// One server of MySQL or MariaDB.
struct MySqlServer {
    connector: Arc<Connector>,
    /// What is read beside the schemas.
    include: Include,
    /// Everything but the lock's connection.
    pool: Pool<Arc<Access>, Link>,
    /// The lock's connection; whoever holds the mutex may use its place in the budget.
    lock: Arc<Mutex<Option<lock::Held>>>,
    watch: Arc<Watch>,
}

/// A connection in use.
type Leased<'s> = Lease<'s, Arc<Access>, Link>;

/// Why there is no session.
enum NoSession {
    /// No connection could be made.
    Unconnected(Diagnostic),
    /// The opening message went wrong.
    Trouble(Trouble),
}

impl Server for MySqlServer {
    fn width(&self) -> usize {
        self.pool.limit()
    }

    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>> {
        read::read(self, tenants).boxed()
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        read::attempts(self, tenant, limit).boxed()
    }

    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>> {
        inspect::inspect(self, tenants).boxed()
    }

    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>> {
        // The server cannot tell what changed since: all of it is measured again.
        async move { inspect::gauge(self, &tenants.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>()).await }
            .boxed()
    }

    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        expectation::recorded(self, tenant).boxed()
    }

    fn keep<'a>(&'a self, run: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>> {
        expectation::keep(self, run, kept).boxed()
    }

    fn accept<'a>(&'a self, acceptance: Acceptance<'a>) -> BoxFuture<'a, Result<()>> {
        async move { expectation::accept(self, &acceptance).await }.boxed()
    }

    fn try_lock<'a>(&'a self, run: &'a RunIdentity, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        lock::try_lock(self, run, tenants).boxed()
    }

    fn check_lock(&self) -> BoxFuture<'_, Result<()>> {
        lock::check(self).boxed()
    }

    fn unlock(&self) -> BoxFuture<'_, ()> {
        lock::unlock(self).boxed()
    }

    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome> {
        apply::apply(self, order).boxed()
    }

    fn fate<'a>(&'a self, begun: Begun<'a>) -> BoxFuture<'a, Result<Fate>> {
        async move { apply::fate(self, &begun).await }.boxed()
    }

    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<Resume>> {
        async move { apply::record(self, &record).await }.boxed()
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

impl MySqlServer {
    /// Returns the server as messages name it.
    fn shown(&self) -> &str {
        &self.connector.shown
    }

    /// Opens a connection for the pool.
    async fn connect(&self, access: &Arc<Access>) -> Result<Link> {
        Ok(self.connector.connect(access, None).await?.watched(self.watch.clone(), access.clone()))
    }

    /// Opens a session with a message that changes nothing but the session, and returns its answer.
    ///
    /// An idle connection may have died meanwhile; then another one is taken. At most as many turns as connections.
    async fn session(&self, access: &Arc<Access>, opening: &str) -> Result<(Leased<'_>, Sets), NoSession> {
        self.session_within(access, opening, ANSWER_LIMIT).await
    }

    /// The same for a message that the server may answer as late as this.
    async fn session_within(
        &self,
        access: &Arc<Access>,
        opening: &str,
        limit: Duration,
    ) -> Result<(Leased<'_>, Sets), NoSession> {
        let lease = self.lease(access).await?;
        self.session_on(lease, access, (opening, limit)).await
    }

    /// Opens a session on this connection, or on another one if it has died.
    async fn session_on<'s>(
        &'s self,
        mut lease: Leased<'s>,
        access: &Arc<Access>,
        (opening, limit): (&str, Duration),
    ) -> Result<(Leased<'s>, Sets), NoSession> {
        loop {
            let clean = !lease.is_worn() || lease.reset().await;
            match if clean { Some(lease.ask(opening, limit).await) } else { None } {
                Some(Ok(sets)) => return Ok((lease, sets)),
                Some(Err(Trouble::Lost(_))) | None if !lease.fresh => lease.discard().await,
                Some(Err(trouble)) => {
                    self.give_back(lease).await;
                    return Err(NoSession::Trouble(trouble));
                }
                None => lease.discard().await,
            }
            lease = self.lease(access).await?;
        }
    }

    /// Takes a connection: an idle one, which may have died meanwhile, or a new one.
    async fn lease(&self, access: &Arc<Access>) -> Result<Leased<'_>, NoSession> {
        self.pool.lease(access, || self.connect(access)).await.map_err(NoSession::Unconnected)
    }

    /// Gives a connection back as good as new, or closes it.
    ///
    /// Reset now and not at its next use: what a text left behind (locks, an open transaction, temporary tables)
    /// must not stand while the connection idles.
    async fn give_back(&self, mut lease: Leased<'_>) {
        if lease.reset().await {
            lease.keep();
        } else {
            lease.discard().await;
        }
    }

    /// Says why a tenant could not be read.
    fn trouble(&self, trouble: Trouble, tenant: &Tenant) -> Diagnostic {
        match trouble {
            Trouble::Refused { error, .. } => fault::unreadable(tenant, &error),
            Trouble::Lost(cause) => self.connector.unreachable(&cause),
        }
    }

    /// Says why there is no session for a tenant.
    fn unopened(&self, none: NoSession, tenant: &Tenant) -> Diagnostic {
        match none {
            NoSession::Unconnected(diagnostic) => diagnostic,
            NoSession::Trouble(trouble) => self.trouble(trouble, tenant),
        }
    }

    /// Ends the statement that runs on a connection of this access.
    ///
    /// Over the lock's connection, which is idle; without one, over a new one in its place in the budget. Only the
    /// same user may end a statement, so with other credentials a connection of the pool is waited for.
    /// <https://dev.mysql.com/doc/refman/8.4/en/kill.html>
    ///
    /// # Errors
    /// In words, why it was not ended.
    async fn kill(&self, access: &Arc<Access>, connection: u32) -> Result<(), String> {
        let kill = format!("KILL QUERY {connection}");
        let mut slot = self.lock.lock().await;
        match slot.as_mut() {
            Some(held) if held.access == *access => held.link.ask(&kill, KILL_LIMIT).await.map(|_| ()).map_err(cause),
            Some(_) => {
                drop(slot);
                let connect = self.pool.lease(access, || self.connect(access));
                let leased = tokio::time::timeout(KILL_LIMIT, connect).await;
                let mut lease =
                    leased.map_err(|_| "no connection was free to end it".to_owned())?.map_err(|d| d.one_line())?;
                let asked = lease.ask(&kill, KILL_LIMIT).await;
                self.give_back(lease).await;
                asked.map(|_| ()).map_err(cause)
            }
            None => {
                let connect = self.pool.beside(|| self.connector.connect(access, None));
                let made = tokio::time::timeout(KILL_LIMIT, connect).await;
                let mut link = made.map_err(|_| "no connection to end it".to_owned())?.map_err(|d| d.one_line())?;
                let asked = link.ask(&kill, KILL_LIMIT).await;
                link.close().await;
                asked.map(|_| ()).map_err(cause)
            }
        }
    }
}

fn cause(trouble: Trouble) -> String {
    match trouble {
        Trouble::Refused { error, .. } => fault::server_words(&error),
        Trouble::Lost(cause) => cause,
    }
}
