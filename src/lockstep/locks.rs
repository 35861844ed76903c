//! Takes the locks of all servers of a run: all or none, by polling.
//!
//! Waiting with some of them held would deadlock two runs that take them in another order, so whoever meets a held
//! lock gives back what it has, and comes again after a jittered moment.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use crate::engine::{Holder, LockAttempt, RunIdentity};
use crate::error::{Code, Diagnostic, Result};
use crate::planted::{self, Bug};
use crate::tenant::{ServerId, Tenant};

use super::event::{Event, Sink};
use super::jitter::Jitter;
use super::stop::Stop;
use super::survey::Scope;

/// The mean pause between two tries.
const POLL: Duration = Duration::from_millis(250);

/// How long an answer to the question whether the locks are held is good for.
pub(crate) const FRESH: Duration = Duration::from_millis(250);

/// What was answered to a check of the locks, and when it was asked.
pub(crate) struct Checked {
    asked: Instant,
    held: Result<()>,
}

/// The locks that a run holds, or asks for. Dropped with its run, it gives them back in the background.
pub(crate) struct Locks<'a> {
    scope: Scope<'a>,
    servers: Vec<ServerId>,
}

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for id in self.servers.drain(..) {
            let server = self.scope.servers[id.0].clone();
            runtime.spawn(async move { server.unlock().await });
        }
    }
}

/// How to wait for locks.
pub(crate) struct Waiting<'w> {
    pub run: &'w RunIdentity,
    pub wait: Duration,
    pub stop: &'w Stop,
    pub events: Sink<'w>,
    pub jitter: &'w Jitter,
}

impl<'a> Locks<'a> {
    /// Takes the locks of every server of the scope, waiting up to `wait`; zero means try once.
    ///
    /// # Errors
    /// `MT301` naming the holder, or `MT303` naming the session, when the time is over or somebody asks to stop; what a
    /// server answers otherwise.
    pub async fn take(scope: Scope<'a>, waiting: &Waiting<'_>) -> Result<Self> {
        let began = Instant::now();
        let mut by_server = scope.by_server();
        if planted::is(Bug::LockNotTaken) {
            by_server.clear();
        }
        let mut asking = Self { scope, servers: Vec::new() };
        let mut known: Option<(ServerId, String)> = None;
        loop {
            let Some(Met { server, holder, orphan }) = asking.try_all(&by_server, waiting.run).await? else {
                (waiting.events)(Event::LockTaken { servers: asking.servers.len(), waited: began.elapsed() });
                return Ok(asking);
            };
            let name = &scope.fleet.servers[server.0].name;
            if holder.run_id.as_deref() == Some(&waiting.run.run_id) {
                return Err(Diagnostic::new(Code::SHARED_SCHEMA, format!("server {name} is in tenants.yaml twice"))
                    .cause("this run itself holds the lock of a database there under the other name")
                    .state("nothing was changed")
                    .hint("let its tenants share one entry under `servers:`"));
            }
            if began.elapsed() >= waiting.wait || waiting.stop.asked() {
                return Err(match orphan {
                    true => at_work(name, &holder, began.elapsed()),
                    false => held(name, &holder, began.elapsed()),
                });
            }
            let told = (server, holder.description);
            if known.as_ref() != Some(&told) {
                let holder = told.1.clone();
                (waiting.events)(Event::LockWaiting { server: name.clone(), holder });
                known = Some(told);
            }
            let left = waiting.wait.saturating_sub(began.elapsed());
            tokio::select! {
                // Without it the choice is by chance, and a simulated run would not repeat itself.
                biased;
                () = sleep(waiting.jitter.around(POLL).min(left)) => {}
                () = waiting.stop.wait() => {}
            }
        }
    }

    /// Asks in advance, while the last orders of a step are under way, for [`Locks::check_after`].
    pub async fn check_ahead(&self) -> Checked {
        let asked = Instant::now();
        Checked { asked, held: self.check().await }
    }

    /// As [`Locks::check`], but asks nobody where that was done a moment ago.
    ///
    /// # Errors
    /// `MT213` of the first that is not.
    pub async fn check_after(&self, ahead: Option<Checked>) -> Result<()> {
        match ahead.filter(|ahead| ahead.held.is_err() || ahead.asked.elapsed() <= FRESH) {
            Some(ahead) => ahead.held,
            None => self.check().await,
        }
    }

    /// Checks that every lock is still held.
    ///
    /// # Errors
    /// `MT213` of the first that is not.
    pub async fn check(&self) -> Result<()> {
        if planted::is(Bug::LockNotChecked) {
            return Ok(());
        }
        let checks = self.servers.iter().map(|id| self.scope.servers[id.0].check_lock());
        join_all(checks).await.into_iter().collect()
    }

    /// Gives every lock back.
    pub async fn release(mut self) {
        if planted::is(Bug::LockKept) {
            return self.servers.clear();
        }
        self.give_back().await;
    }

    async fn give_back(&mut self) {
        join_all(self.servers.iter().map(|id| self.scope.servers[id.0].unlock())).await;
        self.servers.clear();
    }

    /// Returns who holds one of the locks, after giving back what was taken; nothing when all are held by us.
    async fn try_all(
        &mut self,
        by_server: &BTreeMap<ServerId, Vec<&Tenant>>,
        run: &RunIdentity,
    ) -> Result<Option<Met>> {
        let servers = self.scope.servers;
        let mut tries: FuturesUnordered<_> = by_server
            .iter()
            .map(|(id, tenants)| async move { (*id, servers[id.0].try_lock(run, tenants).await) })
            .collect();
        let mut held = Ok(None);
        while let Some((id, answer)) = tries.next().await {
            match answer {
                Ok(LockAttempt::Taken) => self.servers.push(id),
                Ok(LockAttempt::Held(holder)) => meet(&mut held, Met { server: id, holder, orphan: false }),
                Ok(LockAttempt::Busy(holder)) => meet(&mut held, Met { server: id, holder, orphan: true }),
                Err(diagnostic) => held = Err(diagnostic),
            }
        }
        drop(tries);
        if !matches!(held, Ok(None)) {
            self.give_back().await;
        }
        held
    }
}

/// Who stands in the way.
struct Met {
    server: ServerId,
    holder: Holder,
    /// Whether it is a session of an earlier run, and not a run.
    orphan: bool,
}

/// Keeps the first that is met.
fn meet(held: &mut Result<Option<Met>>, met: Met) {
    if let Ok(none @ None) = held {
        *none = Some(met);
    }
}

fn at_work(server: &str, holder: &Holder, waited: Duration) -> Diagnostic {
    let message = format!("a statement of an earlier run is still at work on server {server}");
    Diagnostic::new(Code::STILL_AT_WORK, message)
        .cause(&holder.description)
        .state(format!("nothing was changed; waited {:.1} s", waited.as_secs_f64()))
        .hint("wait until it has ended, or end that session, and run `mtmigrate up` again; or wait longer with `--lock-wait 10m`")
}

fn held(server: &str, holder: &Holder, waited: Duration) -> Diagnostic {
    Diagnostic::new(Code::LOCK_HELD, format!("another run holds the lock on server {server}"))
        .cause(format!("held by {}", holder.description))
        .state(format!("nothing was changed; waited {:.1} s", waited.as_secs_f64()))
        .hint("wait for it and run `mtmigrate up` again, or wait longer with `--lock-wait 10m`")
}
