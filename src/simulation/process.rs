//! One execution of `up` as a process of its own, that may be killed at any await point.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::changeset::{Changelog, Version};
use crate::engine::{RunIdentity, Server, Servers};
use crate::history::OutOfOrder;
use crate::lockstep::{self, Between, Ending, Event, Failing, Gates, Scope, Signal, Stop, UpOptions};
use crate::tenant::{Fleet, TenantId, Verify};

use super::runs::RunView;
use super::server::Simulated;
use super::world::{ProcessId, Shared};

/// A server notices a dead client after at most a minute, and a message hangs for at most as long.
const NOTICED: Duration = Duration::from_secs(125);

/// What a process is started with, and what befalls it.
#[derive(Clone)]
pub(super) struct Process {
    pub id: ProcessId,
    pub fleet: Arc<Fleet>,
    pub changelog: Arc<Changelog>,
    pub selection: Vec<TenantId>,
    pub target: Option<Version>,
    pub jobs: Option<NonZeroUsize>,
    pub lock_wait: Duration,
    pub out_of_order: OutOfOrder,
    pub verify: Verify,
    pub starts_after: Duration,
    /// How often its `up` is polled before it is killed.
    pub killed_at: Option<u64>,
    /// When it is asked to stop, and when somebody insists.
    pub stops: Option<(Duration, Signal, Option<Duration>)>,
    /// Whether checks between waves succeed, and people say yes.
    pub opens: bool,
}

/// Checks that take a moment, and a person who needs longer.
#[derive(Debug)]
struct Keeper {
    opens: bool,
}

impl Gates for Keeper {
    fn can_confirm(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, _command: &'a [String], _between: &'a Between<'a>) -> BoxFuture<'a, Result<(), Failing>> {
        let failing = || Failing { how: "exit status 1".into(), tail: String::new() };
        sleep(Duration::from_millis(50)).map(move |()| if self.opens { Ok(()) } else { Err(failing()) }).boxed()
    }

    fn confirm<'a>(&'a self, _between: &'a Between<'a>) -> BoxFuture<'a, bool> {
        sleep(Duration::from_secs(5)).map(|()| self.opens).boxed()
    }
}

/// A future that dies at a poll: what it left undone stays so.
struct Mortal<'m, T> {
    alive: Option<Pin<Box<dyn Future<Output = T> + 'm>>>,
    polls_left: Option<u64>,
    dead: Arc<AtomicBool>,
}

impl<T> Future for Mortal<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if self.polls_left == Some(0) {
            // Before anything is dropped: a dead process gives nothing back.
            self.dead.store(true, Ordering::SeqCst);
            self.alive = None;
            return Poll::Ready(None);
        }
        self.polls_left = self.polls_left.map(|left| left - 1);
        match &mut self.alive {
            Some(alive) => alive.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

impl Process {
    /// Makes an undisturbed run over everybody.
    pub fn calm(id: ProcessId, fleet: &Arc<Fleet>, changelog: &Arc<Changelog>, verify: Verify) -> Self {
        Self {
            id,
            fleet: fleet.clone(),
            changelog: changelog.clone(),
            selection: (0..fleet.tenants.len()).map(TenantId).collect(),
            target: None,
            jobs: None,
            lock_wait: Duration::ZERO,
            out_of_order: OutOfOrder::Allow,
            verify,
            starts_after: Duration::ZERO,
            killed_at: None,
            stops: None,
            opens: true,
        }
    }

    pub fn identity(&self) -> RunIdentity {
        RunIdentity {
            run_id: format!("r{}", self.id),
            who: "seed".into(),
            host: "simulation".into(),
            pid: self.id,
            tool: "mtmigrate".into(),
            fleet: String::new(),
        }
    }

    /// Opens the servers as this process knows them.
    pub fn servers(&self, world: &Shared, dead: &Arc<AtomicBool>) -> Servers {
        let server = |no| -> Arc<dyn Server> { Arc::new(Simulated::new(world, self.id, no, dead.clone())) };
        (0..self.fleet.servers.len()).map(server).collect()
    }

    /// Runs to the end, or to its death.
    pub async fn run(self, world: Shared) -> Option<Ending> {
        sleep(self.starts_after).await;
        let dead = Arc::new(AtomicBool::new(false));
        let servers = self.servers(&world, &dead);
        let meant = self.selection.iter().filter(|id| self.fleet.tenants[id.0].is_active());
        let scope: BTreeSet<usize> = meant.map(|id| id.0).collect();
        let view = RunView::new(self.fleet.clone(), self.changelog.clone(), scope);
        let view = RunView { target: self.target, verify: self.verify, ..view };
        world.lock().runs.add(self.id, view);
        let (identity, stop) = (self.identity(), Stop::default());
        let options = UpOptions {
            target: self.target,
            jobs: self.jobs,
            lock_wait: self.lock_wait,
            out_of_order: self.out_of_order,
            verify: self.verify,
            gates: Arc::new(Keeper { opens: self.opens }),
        };
        let stopping = self.stops.map(|stops| tokio::spawn(stopper(world.clone(), self.id, stop.clone(), stops)));
        let told = world.clone();
        let sink = move |event: Event| told.lock().event(self.id, &event);
        let scope =
            Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &self.selection };
        let up = lockstep::up(scope, &options, &identity, &stop, &sink);
        let mortal = Mortal { alive: Some(Box::pin(up)), polls_left: self.killed_at, dead };
        let ending = mortal.await;
        if let Some(stopping) = stopping {
            stopping.abort();
        }
        match &ending {
            None => {
                world.lock().tell(format!("r{} is killed", self.id));
                tokio::spawn(free_after_death(world, self.id));
            }
            Some(_) => {
                let mut world = world.lock();
                if world.sessions.values().any(|s| s.process == self.id && s.client && !s.locks.is_empty()) {
                    world.violate(format!("r{} has ended and keeps a lock", self.id));
                }
            }
        }
        ending
    }
}

/// Checks that a dead process's locks are free as soon as every server can know that it is dead.
async fn free_after_death(world: Shared, id: ProcessId) {
    sleep(NOTICED).await;
    let mut world = world.lock();
    if world.sessions.values().any(|session| session.process == id && !session.locks.is_empty()) {
        world.violate(format!("locks: r{id} is dead, and its lock is not free"));
    }
}

async fn stopper(world: Shared, id: ProcessId, stop: Stop, stops: (Duration, Signal, Option<Duration>)) {
    let (after, signal, insists) = stops;
    sleep(after).await;
    {
        let mut world = world.lock();
        world.tell(format!("r{id} is asked to stop"));
        if let Some(view) = world.runs.get_mut(id) {
            view.stopping = true;
        }
        stop.ask(signal);
    }
    if let Some(after) = insists {
        sleep(after).await;
        world.lock().tell(format!("r{id} is told to stop at once"));
        stop.insist();
    }
}
