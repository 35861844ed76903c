//! What outlives a simulated runner: servers with their sessions and locks, tenants, the weather, the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::schema::{Basis, Include, Snapshot};

use super::dice::Dice;
use super::runs::Runs;
use super::state::State;

/// A session's number.
pub(super) type SessionId = u64;

/// A process of a runner; also the number in its run id.
pub(super) type ProcessId = u32;

/// The world, as everybody in it knows it. Never locked across an await.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

/// The world.
pub(super) struct World {
    pub dice: Dice,
    pub weather: Weather,
    pub tenants: Vec<State>,
    pub machines: Vec<Machine>,
    pub sessions: BTreeMap<SessionId, Session>,
    /// What is committed and not on its server's disk, in the order of its log.
    pub volatile: Vec<Volatile>,
    /// Whether servers let a run flush; where they do not, every commit is durable at once.
    pub flushes: bool,
    /// What a crash took back again: tenant and version.
    pub taken_back: BTreeSet<(usize, i64)>,
    next_session: SessionId,
    /// Statements that fail for good until somebody mends their cause: tenant, version, statement.
    pub broken: BTreeSet<(usize, i64, u32)>,
    /// Texts that leave another schema than elsewhere: tenant and version.
    pub odd: BTreeSet<(usize, i64)>,
    /// What the checker knows of runs.
    pub runs: Runs,
    pub log: Vec<String>,
    /// The first invariant that did not hold.
    pub violation: Option<String>,
    began: Instant,
    snapshots: BTreeMap<String, Arc<Snapshot>>,
}

/// A server process.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// It takes no connections before this instant.
    pub down_until: Instant,
    /// What a run may hold of its connections.
    pub max_connections: u32,
}

/// A commit that a crash of its server may take back.
pub(super) struct Volatile {
    pub tenant: usize,
    pub version: i64,
    /// The tenant without it.
    before: State,
}

/// What goes wrong by chance, in so many of a thousand times.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    /// A connection is refused.
    pub refused: u64,
    /// A message is lost on its way.
    pub lost_before: u64,
    /// The connection is lost while the server works on a message.
    pub lost_during: u64,
    /// An answer is lost on its way.
    pub lost_after: u64,
    /// A message takes up to a minute.
    pub hangs: u64,
    /// A statement fails in a way that passes.
    pub passing: u64,
    /// The longest time in which a server notices that a client is gone, in milliseconds.
    pub notice_ms: u64,
    /// Whether a server that notices it in the middle of a transaction rolls that back.
    pub checks_client: bool,
}

/// A session on a server.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub process: ProcessId,
    pub server: usize,
    /// Whether the client still has it.
    pub client: bool,
    /// Whether the server knows that the client is gone.
    pub noticed: bool,
    /// Whether the client asked to end what runs.
    pub cancelled: bool,
    /// Whether it works on a message.
    pub busy: bool,
    /// Whether what it works on ends with its client.
    pub transactional: bool,
    /// The databases whose run lock it holds.
    pub locks: BTreeSet<String>,
    /// The tenant whose work lock it holds.
    pub works_on: Option<usize>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lot {
    Arrives,
    LostBefore,
    LostDuring,
    LostAfter,
}

impl Shared {
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client of a session is gone, and the server will notice.
    pub fn cut(&self, session: SessionId) {
        let mut world = self.lock();
        let notice = world.weather.notice_ms;
        let after = Duration::from_millis(world.dice.below(notice + 1));
        let Some(found) = world.sessions.get_mut(&session).filter(|session| session.client) else { return };
        found.client = false;
        drop(world);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = self.clone();
        runtime.spawn(async move {
            sleep(after).await;
            shared.lock().notice(session);
        });
    }
}

impl World {
    pub fn new(dice: Dice, machines: Vec<Machine>) -> Self {
        Self {
            dice,
            weather: Weather::default(),
            tenants: Vec::new(),
            machines,
            sessions: BTreeMap::new(),
            volatile: Vec::new(),
            flushes: true,
            taken_back: BTreeSet::new(),
            next_session: 1,
            broken: BTreeSet::new(),
            odd: BTreeSet::new(),
            runs: Runs::default(),
            log: Vec::new(),
            violation: None,
            began: Instant::now(),
            snapshots: BTreeMap::new(),
        }
    }

    /// Writes a line into the log, with the time.
    pub fn tell(&mut self, line: impl AsRef<str>) {
        let at = self.began.elapsed().as_millis();
        self.log.push(format!("{at:>8} {}", line.as_ref()));
    }

    /// Says that an invariant does not hold. The first one counts.
    pub fn violate(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.tell(format!("VIOLATION {what}"));
        self.violation.get_or_insert(what);
    }

    /// Opens a session, if the server takes connections.
    pub fn open(&mut self, process: ProcessId, server: usize) -> Option<SessionId> {
        let refused = self.weather.refused;
        if self.machines[server].down_until > Instant::now() || self.dice.permille(refused) {
            return None;
        }
        let id = self.next_session;
        self.next_session += 1;
        let session = Session {
            process,
            server,
            client: true,
            noticed: false,
            cancelled: false,
            busy: false,
            transactional: false,
            locks: BTreeSet::new(),
            works_on: None,
        };
        self.sessions.insert(id, session);
        let held = self.sessions.values().filter(|s| s.client && s.process == process && s.server == server).count();
        if held > self.machines[server].max_connections as usize {
            self.violate(format!("budget: r{process} has {held} connections to server {server}"));
        }
        Some(id)
    }

    /// Draws what becomes of a message, and how long it is on its way there and back.
    pub fn lot(&mut self) -> (Lot, Duration, Duration) {
        let Weather { lost_before, lost_during, lost_after, hangs, .. } = self.weather;
        let drawn = self.dice.below(1000);
        let lot = match drawn {
            _ if drawn < lost_before => Lot::LostBefore,
            _ if drawn < lost_before + lost_during => Lot::LostDuring,
            _ if drawn < lost_before + lost_during + lost_after => Lot::LostAfter,
            _ => Lot::Arrives,
        };
        let mut there = Duration::from_millis(self.dice.between(1, 4));
        let mut back = Duration::from_millis(self.dice.between(1, 4));
        if self.dice.permille(hangs) {
            let hang = Duration::from_millis(self.dice.below(60_000));
            if self.dice.permille(500) { there += hang } else { back += hang }
        }
        (lot, there, back)
    }

    /// Ends a session: what it holds is free, what it did not commit never was.
    pub fn end(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for state in &mut self.tenants {
            if state.transaction == Some(id) {
                state.transaction = None;
            }
        }
        if !session.locks.is_empty() {
            self.runs.unlocked(session.process);
            self.tell(format!("r{} holds no lock on server {} any more", session.process, session.server));
        }
    }

    /// The server notices that a session's client is gone.
    fn notice(&mut self, id: SessionId) {
        let checks = self.weather.checks_client;
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.noticed = true;
        if !session.busy || (session.transactional && checks) {
            self.end(id);
        }
    }

    /// A session begins to work on a message; not if it is over.
    pub fn begin(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        session.busy = true;
        true
    }

    /// A session has worked off its message.
    pub fn done(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.busy = false;
        if session.noticed {
            self.end(id);
        }
    }

    /// Stops a server and starts it again: no session survives.
    pub fn restart(&mut self, server: usize, down: Duration) {
        self.tell(format!("server {server} is restarted, down for {} ms", down.as_millis()));
        self.machines[server].down_until = Instant::now() + down;
        let gone: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.server == server).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.end(id));
        self.lose(server);
    }

    /// A commit is not on the disk yet: what the tenant is without it is kept.
    pub fn commits_later(&mut self, tenant: usize, version: i64) {
        let before = self.tenants[tenant].clone();
        self.volatile.push(Volatile { tenant, version, before });
    }

    /// A server has written its log: what was committed there is durable.
    pub fn flushed(&mut self, server: usize) {
        self.volatile.retain(|one| self.tenants[one.tenant].server != server);
    }

    /// A commit that is durable at once: so is what was committed on the tenant's server before.
    pub fn durable(&mut self, tenant: usize) -> &mut State {
        self.flushed(self.tenants[tenant].server);
        &mut self.tenants[tenant]
    }

    /// A server has crashed: of what was not on its disk the end of its log is lost.
    fn lose(&mut self, server: usize) {
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.volatile).into_iter().partition(|one| self.tenants[one.tenant].server == server);
        self.volatile = elsewhere;
        if here.is_empty() {
            return;
        }
        let kept = self.dice.below(here.len() as u64 + 1) as usize;
        for Volatile { tenant, version, before } in here.into_iter().skip(kept).rev() {
            self.tell(format!("t{tenant} has lost V{version}"));
            self.taken_back.insert((tenant, version));
            self.tenants[tenant] = State { transaction: None, ..before };
        }
    }

    /// Returns a version below this one that a crash may take from a tenant.
    pub fn may_lose(&self, tenant: usize, below: i64) -> Option<i64> {
        self.volatile.iter().find(|one| one.tenant == tenant && one.version < below).map(|one| one.version)
    }

    /// Ends a session that holds a run lock, if there is any.
    pub fn lose_a_lock(&mut self) {
        let held: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| !session.locks.is_empty()).map(|(id, _)| *id).collect();
        if !held.is_empty() {
            let id = *self.dice.pick(&held);
            self.tell("a lock's session is ended");
            self.end(id);
        }
    }

    /// Returns the process that holds a database's run lock on a server.
    pub fn lock_holder(&self, server: usize, database: &str) -> Option<ProcessId> {
        let mut sessions = self.sessions.values();
        sessions.find(|s| s.server == server && s.locks.contains(database)).map(|s| s.process)
    }

    /// Returns whether another session holds a tenant's work lock.
    pub fn is_worked_on(&self, tenant: usize, but: Option<SessionId>) -> bool {
        self.sessions.iter().any(|(id, session)| Some(*id) != but && session.works_on == Some(tenant))
    }

    /// Returns a tenant's schema; equal ones are one.
    pub fn snapshot(&mut self, tenant: usize) -> Arc<Snapshot> {
        let signature = self.tenants[tenant].signature();
        if let Some(known) = self.snapshots.get(&signature) {
            return known.clone();
        }
        let basis = Basis::new("simulated-1", Include::default());
        let made = Arc::new(Snapshot::new(&basis, self.tenants[tenant].described()));
        self.snapshots.insert(signature, made.clone());
        made
    }
}
