//! A simulated server: tenants in memory, scripted faults, virtual time. It keeps the trait's contract, and logs.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mtmigrate::changeset::Width;
use mtmigrate::engine::{
    Acceptance, Answer, Applied, Begun, Failure, Fate, Gauge, Holder, JournalFormat, Keep, Left, LockAttempt, Mark,
    Moment, Order, Outcome, Reading, Record, Resume, RunIdentity, Server, Tables,
};
use mtmigrate::error::{Code, Diagnostic, Result};
use mtmigrate::history::{Attempt, AttemptOutcome, Row, prefix_hash};
use mtmigrate::schema::{Basis, Include, Snapshot};
use mtmigrate::sql::{Dialect, split};
use mtmigrate::tenant::Tenant;
use time::OffsetDateTime;

use super::world::{Fault, State, World};

/// One server of the simulated world.
pub struct Fake {
    pub world: Arc<Mutex<World>>,
    no: usize,
    width: usize,
    in_flight: AtomicUsize,
    holds: Mutex<Option<String>>,
}

impl Fake {
    pub fn new(world: Arc<Mutex<World>>, no: usize, width: usize) -> Self {
        Self { world, no, width, in_flight: AtomicUsize::new(0), holds: Mutex::new(None) }
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
        let World { tenants, effects, after, .. } = &mut *world;
        let state = tenants.entry(order.tenant.name.clone()).or_default();
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
        let effect = effects.get(&(order.tenant.name.clone(), version.0));
        state.take_effect(version.0, effect);
        if let Some(object) = after.remove(&(order.tenant.name.clone(), version.0)) {
            state.add(object);
        }
        state.journalled(attempt(order, AttemptOutcome::Applied, None));
        world.log.push(format!("{} V{version}", order.tenant.name));
        Outcome::Applied(Applied { by_another: false, ..applied })
    }

    fn note(&self, order: &Order<'_>, outcome: Outcome, statement: Option<(u32, AttemptOutcome)>) -> Outcome {
        let mut world = self.world();
        let state = world.tenants.entry(order.tenant.name.clone()).or_default();
        let (no, word) = statement.map_or((None, AttemptOutcome::Failed), |(no, word)| (Some(no), word));
        state.journalled(attempt(order, word, no));
        outcome
    }
}

/// The hash of the statements before one.
fn prefix_before(text: &str, statement_no: u32) -> String {
    let statements = split(text, Dialect::Postgres).unwrap();
    prefix_hash(statements.iter().take(statement_no as usize - 1).map(|statement| statement.text))
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
        prefix: statement_no.map(|no| prefix_before(&order.text.sql, no)),
        who: "tester".into(),
        host: "here".into(),
        tool: "mtmigrate".into(),
        started_at: OffsetDateTime::UNIX_EPOCH,
        finished_at: OffsetDateTime::UNIX_EPOCH,
        duration_ms: 1,
        error: None,
        fingerprint: order
            .known
            .fingerprint
            .clone()
            .filter(|_| outcome == AttemptOutcome::Failed && statement_no.is_none()),
        accepted: order.known.accepted.clone(),
        trace: None,
        skipped: order.known.skipped.clone(),
    }
}

/// Returns a tenant's schema, or why it cannot be read.
fn seen(world: &World, tenant: &Tenant) -> Result<State> {
    let state = world.tenants.get(&tenant.name).cloned().unwrap_or_default();
    let versions = state.rows.iter().filter_map(|row| row.version.as_ref()?.parse::<i64>().ok());
    let blind = world.blind_from.get(&tenant.name).is_some_and(|from| versions.max().unwrap_or(0) >= *from);
    if blind || world.unreachable.contains(&tenant.name) {
        return Err(Diagnostic::new(Code::UNREACHABLE, "cannot reach server fake").cause("gone"));
    }
    Ok(state)
}

fn hash(parts: &impl std::hash::Hash) -> u128 {
    use std::hash::Hasher;
    let mut hasher = std::hash::DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish().into()
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
                    journal: (!state.journal.is_empty()).then_some(JournalFormat::Four),
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

    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>> {
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut world = self.world();
            world.inspected.extend(tenants.iter().map(|tenant| tenant.name.clone()));
            let World { busy, tenants: states, .. } = &mut *world;
            for name in tenants.iter().map(|tenant| &tenant.name).filter(|name| busy.contains(*name)) {
                let state = states.entry(name.clone()).or_default();
                let row = state.journal.last().cloned();
                state.add_column("t1", &format!("c{}", state.journal.len()));
                row.into_iter().for_each(|row| state.journalled(row));
            }
            let snapshot = |tenant: &&Tenant| {
                let state = seen(&world, tenant)?;
                let engine = if world.upgraded.contains(&tenant.name) { "fake-2" } else { "fake-1" };
                Ok(Arc::new(Snapshot::new(&Basis::new(engine, Include::default()), state.objects)))
            };
            tenants.iter().map(snapshot).collect()
        }
        .boxed()
    }

    /// As an engine that only looks at what changed since: comparable with who was measured by the same calls.
    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>> {
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let world = self.world();
            let gauge = |(tenant, before): &(&Tenant, Option<Gauge>)| {
                let state = seen(&world, tenant)?;
                let mark = state.changes.len() as u64;
                let Some(before) = before else { return Ok(Gauge { value: 0, mark }) };
                let odd = world.odd_gauges.contains(&tenant.name).then_some(&tenant.name);
                let value = hash(&(before.value, &state.changes[before.mark as usize..], odd));
                Ok(Gauge { value, mark })
            };
            tenants.iter().map(gauge).collect()
        }
        .boxed()
    }

    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        let kept = self.world().tenants.get(&tenant.name).and_then(|state| state.kept.clone());
        async move { Ok(kept.and_then(|text| Snapshot::parse(&text).ok())) }.boxed()
    }

    fn keep<'a>(&'a self, run: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>> {
        let mut world = self.world();
        let keep = |keep: &Keep<'_>| {
            let name = &keep.tenant.name;
            if world.keep_fails.contains(name) {
                return Err(
                    Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, "the journal could not be written").cause("full")
                );
            }
            let Some(state) = world.tenants.get_mut(name) else { return Ok(()) };
            if let Some(last) = state.journal.last_mut().filter(|last| last.run_id == run.run_id) {
                last.fingerprint = Some(keep.record.to_owned());
                last.accepted = keep.accepted.map(str::to_owned);
                state.kept = Some(keep.snapshot.to_text());
            }
            Ok(())
        };
        let answers: Vec<_> = kept.iter().map(keep).collect();
        async move { answers }.boxed()
    }

    fn accept<'a>(&'a self, acceptance: Acceptance<'a>) -> BoxFuture<'a, Result<()>> {
        let mut world = self.world();
        let state = world.tenants.entry(acceptance.tenant.name.clone()).or_default();
        state.kept = Some(acceptance.snapshot.to_text());
        state.journalled(Attempt {
            id: 0,
            run_id: acceptance.run.run_id.clone(),
            version: acceptance.version.0,
            name: acceptance.version.1.into(),
            outcome: AttemptOutcome::Accepted,
            statement_no: None,
            statements: None,
            prefix: None,
            who: "tester".into(),
            host: "here".into(),
            tool: "mtmigrate".into(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            finished_at: OffsetDateTime::UNIX_EPOCH,
            duration_ms: 0,
            error: Some(acceptance.words.into()),
            fingerprint: Some(acceptance.record.to_owned()),
            accepted: acceptance.accepted.map(str::to_owned),
            trace: None,
            skipped: acceptance.skipped.to_vec(),
        });
        async { Ok(()) }.boxed()
    }

    fn try_lock<'a>(&'a self, run: &'a RunIdentity, _tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        let mut world = self.world();
        // The lock of the first server stands for all.
        if self.no > 0 {
            return async { Ok(LockAttempt::Taken) }.boxed();
        }
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
    fn record<'a>(&'a self, record: Record<'a>) -> BoxFuture<'a, Result<Resume>> {
        let mut resume = record.at.clone();
        let mut world = self.world();
        let state = world.tenants.entry(record.tenant.name.clone()).or_default();
        if let Some(last) = state.journal.last().cloned() {
            let statement_no = match record.mark {
                Mark::Done => record.at.statement_no + 1,
                Mark::Undone => record.at.statement_no,
            };
            let outcome = AttemptOutcome::Failed;
            resume = Resume { statement_no, prefix: prefix_before(&record.text.sql, statement_no) };
            let accepted = record.accepted.map(str::to_owned);
            let (fingerprint, statement_no) = (None, Some(statement_no));
            let prefix = Some(resume.prefix.clone());
            state.journalled(Attempt { outcome, statement_no, prefix, fingerprint, accepted, ..last });
        }
        async move { Ok(resume) }.boxed()
    }

    /// What the world says of the tenant, and true if it says nothing.
    fn ask<'a>(&'a self, tenant: &'a Tenant, question: &'a str, _limit: usize) -> BoxFuture<'a, Result<Answer>> {
        let mut world = self.world();
        world.log_asked.push(format!("{question} of {}", tenant.name));
        let value = world.answers.get(&tenant.name).cloned().unwrap_or_else(|| Some("t".into()));
        let answer = match value.as_deref() {
            Some("error") => {
                Err(Diagnostic::new(Code::QUESTION_FAILED, "the question was not answered").cause("no table"))
            }
            _ => Ok(Answer { columns: vec!["x".into()], rows: vec![vec![value]] }),
        };
        async move { answer }.boxed()
    }

    /// Nobody can look at a simulated statement.
    fn fate<'a>(&'a self, begun: Begun<'a>) -> BoxFuture<'a, Result<Fate>> {
        let words = format!("statement {} of {} leaves no trace", begun.at.statement_no, begun.changeset);
        async move { Ok(Fate::Unknown(words)) }.boxed()
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
