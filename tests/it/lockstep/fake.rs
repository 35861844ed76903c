//! A simulated server: tenants in memory, scripted faults, virtual time. It keeps the trait's contract, and logs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mtmigrate::changeset::Width;
use mtmigrate::engine::{
    Applied, Failure, Holder, Left, LockAttempt, Mark, Moment, Order, Outcome, Reading, Record, RunIdentity, Server,
    Tables,
};
use mtmigrate::error::{Code, Diagnostic, Result};
use mtmigrate::history::{Attempt, AttemptOutcome, Row, prefix_hash};
use mtmigrate::tenant::Tenant;
use time::OffsetDateTime;

/// What goes wrong for a tenant at a version, once.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The text fails and is rolled back.
    Fails,
    /// It fails with what may pass, this many times.
    Passing(u32),
    /// The connection is lost before the commit.
    LostBefore,
    /// The connection is lost after the commit: the row is there.
    LostAfter,
    /// Statement 3 of 5 fails, two are committed.
    Half,
    /// The runner dies while statement 3 of 5 runs.
    DiesHalf,
    /// It hangs until it is cancelled.
    Hangs,
}

/// What a tenant has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub rows: Vec<Row>,
    pub journal: Vec<Attempt>,
    /// How often each version's text took effect: more than once is the bug that we look for.
    pub effects: BTreeMap<i64, u32>,
}

/// What outlives a runner: the tenants, their faults, the lock.
#[derive(Default)]
pub struct World {
    pub tenants: BTreeMap<String, State>,
    pub faults: BTreeMap<(String, i64), Fault>,
    pub unreachable: BTreeSet<String>,
    pub read_only: Option<String>,
    pub slow_ms: BTreeMap<String, u64>,
    pub lock: Option<String>,
    pub lock_lost: bool,
    pub log: Vec<String>,
    pub in_flight_peak: usize,
    /// The resume that each order of a tenant carried.
    pub resumes: Vec<(String, Option<u32>)>,
}

/// One server of the simulated world.
pub struct Fake {
    pub world: Arc<Mutex<World>>,
    width: usize,
    in_flight: AtomicUsize,
    holds: Mutex<Option<String>>,
}

impl Fake {
    pub fn new(world: Arc<Mutex<World>>, width: usize) -> Self {
        Self { world, width, in_flight: AtomicUsize::new(0), holds: Mutex::new(None) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    async fn work(&self, order: &Order<'_>) -> Outcome {
        let name = order.tenant.name.clone();
        let version = order.changeset.version.0;
        let (pause, fault) = {
            let mut world = self.world();
            world.resumes.push((name.clone(), order.resume.as_ref().map(|r| r.statement_no)));
            let fault = world.faults.remove(&(name.clone(), version));
            (world.slow_ms.get(&name).copied().unwrap_or(1), fault)
        };
        let hangs = matches!(fault, Some(Fault::Hangs));
        let pause = Duration::from_millis(if hangs { 86_400_000 } else { pause });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = order.cancel.cancelled() => return failure(order, Code::CANCELLED, Left::Unchanged, false),
        }
        match fault {
            None | Some(Fault::Hangs) => self.commit(order),
            Some(Fault::Fails) => {
                self.note(order, failure(order, Code::CHANGESET_FAILED, Left::Unchanged, false), None)
            }
            Some(Fault::Passing(times)) => {
                if times > 1 {
                    self.world().faults.insert((name, version), Fault::Passing(times - 1));
                }
                failure(order, Code::LOCK_TIMEOUT, Left::Unchanged, true)
            }
            Some(Fault::LostBefore) => failure(order, Code::OUTCOME_UNKNOWN, Left::Unknown, false),
            Some(Fault::LostAfter) => {
                self.commit(order);
                failure(order, Code::OUTCOME_UNKNOWN, Left::Unknown, false)
            }
            Some(Fault::Half) => {
                let half = Left::Half { statement_no: 3, statements: 5 };
                let failed = failure(order, Code::CHANGESET_FAILED, half, false);
                self.note(order, failed, Some((3, AttemptOutcome::Failed)))
            }
            Some(Fault::DiesHalf) => {
                let half = Left::Half { statement_no: 3, statements: 5 };
                let failed = failure(order, Code::OUTCOME_UNKNOWN, half, false);
                self.note(order, failed, Some((3, AttemptOutcome::Started)))
            }
        }
    }

    /// Text, history row and journal row in one piece, as PostgreSQL does it.
    fn commit(&self, order: &Order<'_>) -> Outcome {
        let mut world = self.world();
        let state = world.tenants.entry(order.tenant.name.clone()).or_default();
        let version = order.changeset.version;
        let applied = Applied { duration: Duration::from_millis(1), notices: Vec::new(), by_another: true };
        if state.rows.iter().any(|row| row.version == Some(version.to_string())) {
            return Outcome::Applied(applied);
        }
        *state.effects.entry(version.0).or_default() += 1;
        state.rows.push(Row {
            version: Some(version.to_string()),
            name: Some(order.changeset.name.clone()),
            applied_on: Some("2026-11-21T00:00:00Z".into()),
            checksum: Some(order.text.checksum(order.width).to_string()),
        });
        state.journal.push(attempt(order, AttemptOutcome::Applied, None));
        world.log.push(format!("{} V{version}", order.tenant.name));
        Outcome::Applied(Applied { by_another: false, ..applied })
    }

    fn note(&self, order: &Order<'_>, outcome: Outcome, statement: Option<(u32, AttemptOutcome)>) -> Outcome {
        let mut world = self.world();
        let state = world.tenants.entry(order.tenant.name.clone()).or_default();
        let (no, word) = statement.map_or((None, AttemptOutcome::Failed), |(no, word)| (Some(no), word));
        state.journal.push(attempt(order, word, no));
        outcome
    }
}

fn attempt(order: &Order<'_>, outcome: AttemptOutcome, statement_no: Option<u32>) -> Attempt {
    Attempt {
        id: 0,
        run_id: order.run.run_id.clone(),
        version: order.changeset.version,
        name: order.changeset.name.clone(),
        outcome,
        statement_no,
        statements: statement_no.map(|_| 5),
        prefix: statement_no.map(|_| prefix_hash(["a", "b"])),
        who: "tester".into(),
        host: "here".into(),
        tool: "mtmigrate".into(),
        started_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: OffsetDateTime::UNIX_EPOCH,
        duration_ms: 1,
        error: None,
    }
}

fn failure(order: &Order<'_>, code: Code, left: Left, retry: bool) -> Outcome {
    let message = format!("changeset {} failed on tenant {}", order.changeset, order.tenant.name);
    Outcome::Failed(Failure {
        diagnostic: Diagnostic::new(code, message),
        moment: Moment::Execute,
        left,
        retry,
        duration: Duration::from_millis(1),
    })
}

impl Server for Fake {
    fn width(&self) -> usize {
        self.width
    }

    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>> {
        let world = self.world();
        let read = tenants.iter().map(|tenant| {
            if world.unreachable.contains(&tenant.name) {
                return Err(Diagnostic::new(Code::UNREACHABLE, "cannot reach server fake").cause("refused"));
            }
            let state = world.tenants.get(&tenant.name).cloned().unwrap_or_default();
            Ok(Reading {
                tables: Tables {
                    history: (!state.rows.is_empty()).then_some(Width::Int4),
                    journal: !state.journal.is_empty(),
                },
                rows: state.rows,
                last: state.journal.last().cloned(),
                server_version: "fake".into(),
                read_only: world.read_only.clone(),
                folds_case: false,
            })
        });
        let read: Vec<_> = read.collect();
        drop(world);
        async move { read }.boxed()
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, _limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        let found = self.world().tenants.get(&tenant.name).cloned().unwrap_or_default().journal;
        async move { Ok(found) }.boxed()
    }

    fn try_lock<'a>(&'a self, run: &'a RunIdentity, _tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        let mut world = self.world();
        let answer = match &world.lock {
            Some(holder) => {
                LockAttempt::Held(Holder { description: format!("run {holder}"), run_id: Some(holder.clone()) })
            }
            None => {
                world.lock = Some(run.run_id.clone());
                *self.holds.lock().unwrap() = Some(run.run_id.clone());
                LockAttempt::Taken
            }
        };
        async move { Ok(answer) }.boxed()
    }

    fn check_lock(&self) -> BoxFuture<'_, Result<()>> {
        let lost = self.world().lock_lost;
        async move {
            match lost {
                true => Err(Diagnostic::new(Code::LOCK_LOST, "the run lock on server fake was lost")),
                false => Ok(()),
            }
        }
        .boxed()
    }

    fn unlock(&self) -> BoxFuture<'_, ()> {
        if self.holds.lock().unwrap().take().is_some() {
            self.world().lock = None;
        }
        async {}.boxed()
    }

    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let now = self.in_flight.fetch_add(1, SeqCst) + 1;
            {
                let mut world = self.world();
                world.in_flight_peak = world.in_flight_peak.max(now);
            }
            let outcome = self.work(&order).await;
            self.in_flight.fetch_sub(1, SeqCst);
            outcome
        }
        .boxed()
    }

    /// As the real engines do it: the text has five statements here, and nobody looks at them.
    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<()>> {
        let mut world = self.world();
        let state = world.tenants.entry(record.tenant.name.clone()).or_default();
        if let Some(last) = state.journal.last().cloned() {
            let statement_no = match record.mark {
                Mark::Done => record.at.statement_no + 1,
                Mark::Undone => record.at.statement_no,
            };
            let outcome = AttemptOutcome::Failed;
            state.journal.push(Attempt { outcome, statement_no: Some(statement_no), ..last });
        }
        async { Ok(()) }.boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// Dropping a server is a runner's death: its lock is free.
impl Drop for Fake {
    fn drop(&mut self) {
        if self.holds.lock().unwrap().take().is_some() {
            self.world().lock = None;
        }
    }
}
