//! A server in memory that keeps four bytes for each tenant: how many changesets it has.
//!
//! It answers as a real engine does: rows and attempts are made anew for each reading and given away. Changesets are
//! those of a changelog, applied in its order; an order out of turn, or before everybody has the changeset before, is
//! refused. It makes no mistakes: those are in `tests/it/lockstep`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mtmigrate::changeset::{Changelog, Width};
use mtmigrate::engine::{
    Acceptance, Applied, Begun, Failure, Fate, Gauge, JournalFormat, Keep, Left, LockAttempt, Moment, Order, Outcome,
    Reading, Record, Resume, RunIdentity, Server, Servers, Tables,
};
use mtmigrate::error::{Code, Diagnostic, Result};
use mtmigrate::history::{Attempt, AttemptOutcome, Row};
use mtmigrate::schema::{Basis, Include, Kind, Object, Snapshot};
use mtmigrate::sql::EngineKind;
use mtmigrate::tenant::{Fleet, Tenant};
use time::OffsetDateTime;

/// What all servers of a fleet share.
struct World {
    /// How many changesets each tenant has.
    has: Vec<AtomicU32>,
    /// How many tenants have got each changeset.
    got: Vec<AtomicUsize>,
    /// Whose journal says what its schema is.
    kept: Vec<AtomicBool>,
    rows: Vec<Row>,
    names: Vec<String>,
    /// The schema after so many changesets, and what a journal says of it.
    schemas: Vec<(OnceLock<Arc<Snapshot>>, OnceLock<String>)>,
    changelog: Vec<mtmigrate::changeset::Version>,
    run: OnceLock<RunIdentity>,
}

/// One server of it.
pub struct Memory {
    world: Arc<World>,
    width: usize,
}

/// Makes a server in memory for each of a fleet's.
pub fn open(fleet: &Fleet, changelog: &Changelog) -> Servers {
    let changesets = changelog.changesets();
    let row = |changeset: &mtmigrate::changeset::Changeset| Row {
        version: Some(changeset.version.to_string()),
        name: Some(changeset.name.clone()),
        applied_on: Some("2026-11-21T00:00:00.123456789Z".into()),
        checksum: changeset.text(EngineKind::Postgres).map(|text| text.checksum(changelog.width()).to_string()),
    };
    let world = Arc::new(World {
        has: fleet.tenants.iter().map(|_| AtomicU32::new(0)).collect(),
        got: changesets.iter().map(|_| AtomicUsize::new(0)).collect(),
        kept: fleet.tenants.iter().map(|_| AtomicBool::new(false)).collect(),
        rows: changesets.iter().map(row).collect(),
        names: changesets.iter().map(|changeset| changeset.name.clone()).collect(),
        schemas: (0..=changesets.len()).map(|_| Default::default()).collect(),
        changelog: changesets.iter().map(|changeset| changeset.version).collect(),
        run: OnceLock::new(),
    });
    let server = |server: &mtmigrate::tenant::Server| -> Arc<dyn Server> {
        Arc::new(Memory { world: world.clone(), width: server.max_connections.get() as usize - 1 })
    };
    fleet.servers.iter().map(server).collect()
}

impl World {
    fn has(&self, tenant: &Tenant) -> usize {
        self.has[tenant.id.0].load(SeqCst) as usize
    }

    fn snapshot(&self, has: usize) -> Arc<Snapshot> {
        let table = |no: usize| {
            let name = format!("t{no}");
            let column = Object::new(Kind::Column, Some(&name), format!("{name}.a")).with("type", "integer");
            [Object::new(Kind::Table, None, name), column]
        };
        let made =
            || Arc::new(Snapshot::new(&Basis::new("memory-1", Include::default()), (0..has).flat_map(table).collect()));
        self.schemas[has].0.get_or_init(made).clone()
    }

    fn reading(&self, tenant: &Tenant) -> Reading {
        let has = self.has(tenant);
        Reading {
            rows: self.rows[..has].to_vec(),
            tables: Tables {
                history: (has > 0).then_some(Width::Int4),
                journal: (has > 0).then_some(JournalFormat::Three),
            },
            last: self.last(tenant, has),
            server_version: "15.8".into(),
            read_only: None,
            folds_case: false,
        }
    }

    fn last(&self, tenant: &Tenant, has: usize) -> Option<Attempt> {
        let run = self.run.get()?;
        let kept = self.kept[tenant.id.0].load(SeqCst);
        Some(Attempt {
            id: has as i64,
            run_id: run.run_id.clone(),
            version: *self.changelog.get(has.checked_sub(1)?)?,
            name: self.names[has - 1].clone(),
            outcome: AttemptOutcome::Applied,
            statement_no: None,
            statements: None,
            prefix: None,
            who: run.who.clone(),
            host: run.host.clone(),
            tool: run.tool.clone(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            finished_at: OffsetDateTime::UNIX_EPOCH,
            duration_ms: 1,
            error: None,
            fingerprint: self.schemas[has].1.get().filter(|_| kept).cloned(),
            accepted: None,
            trace: None,
            skipped: Vec::new(),
        })
    }

    fn apply(&self, order: &Order<'_>) -> Outcome {
        let (tenant, version) = (order.tenant.id.0, order.changeset.version);
        let has = self.has[tenant].load(SeqCst) as usize;
        if self.changelog.get(has) != Some(&version) {
            return refused(order, "it is not the next changeset of this tenant");
        }
        if has > 0 && self.got[has - 1].load(SeqCst) < self.has.len() {
            return refused(order, "somebody lacks the changeset before");
        }
        self.run.get_or_init(|| order.run.clone());
        self.has[tenant].store(has as u32 + 1, SeqCst);
        self.got[has].fetch_add(1, SeqCst);
        self.kept[tenant].store(false, SeqCst);
        Outcome::Applied(Applied { duration: Duration::from_micros(1), notices: Vec::new(), by_another: false })
    }
}

fn refused(order: &Order<'_>, why: &str) -> Outcome {
    let message = format!("changeset {} failed on tenant {}", order.changeset, order.tenant.name);
    Outcome::Failed(Failure {
        diagnostic: Diagnostic::new(Code::CHANGESET_FAILED, message).cause(why),
        moment: Moment::Execute,
        left: Left::Unchanged,
        retry: false,
        duration: Duration::ZERO,
    })
}

fn none_of_ours<T: Send>() -> BoxFuture<'static, Result<T>> {
    async { Err(Diagnostic::new(Code::BUG, "nothing is half applied here")) }.boxed()
}

impl Server for Memory {
    fn width(&self) -> usize {
        self.width
    }

    fn read<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Reading>>> {
        async move { tenants.iter().map(|tenant| Ok(self.world.reading(tenant))).collect() }.boxed()
    }

    fn journal<'a>(&'a self, tenant: &'a Tenant, _limit: u32) -> BoxFuture<'a, Result<Vec<Attempt>>> {
        async move { Ok(self.world.last(tenant, self.world.has(tenant)).into_iter().collect()) }.boxed()
    }

    fn try_lock<'a>(&'a self, _: &'a RunIdentity, _: &'a [&'a Tenant]) -> BoxFuture<'a, Result<LockAttempt>> {
        async { Ok(LockAttempt::Taken) }.boxed()
    }

    fn check_lock(&self) -> BoxFuture<'_, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn unlock(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    /// Lets others go first, as whoever waits for a server does.
    fn apply<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            tokio::task::yield_now().await;
            self.world.apply(&order)
        }
        .boxed()
    }

    fn fate<'a>(&'a self, _: Begun<'a>) -> BoxFuture<'a, Result<Fate>> {
        none_of_ours()
    }

    fn record<'a>(&'a self, _: Record<'a>) -> BoxFuture<'a, Result<Resume>> {
        none_of_ours()
    }

    fn inspect<'a>(&'a self, tenants: &'a [&'a Tenant]) -> BoxFuture<'a, Vec<Result<Arc<Snapshot>>>> {
        async move { tenants.iter().map(|tenant| Ok(self.world.snapshot(self.world.has(tenant)))).collect() }.boxed()
    }

    fn gauge<'a>(&'a self, tenants: &'a [(&'a Tenant, Option<Gauge>)]) -> BoxFuture<'a, Vec<Result<Gauge>>> {
        let gauge = |(tenant, before): &(&Tenant, Option<Gauge>)| {
            let mark = self.world.has(tenant) as u64;
            let mut hasher = DefaultHasher::new();
            before.map(|before| (before.value, mark - before.mark)).hash(&mut hasher);
            Ok(Gauge { value: hasher.finish().into(), mark })
        };
        async move { tenants.iter().map(gauge).collect() }.boxed()
    }

    fn recorded<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Option<Snapshot>>> {
        async move { Ok(Some(Snapshot::clone(&self.world.snapshot(self.world.has(tenant))))) }.boxed()
    }

    fn keep<'a>(&'a self, _: &'a RunIdentity, kept: &'a [Keep<'a>]) -> BoxFuture<'a, Vec<Result<()>>> {
        let keep = |keep: &Keep<'_>| {
            let has = self.world.has(keep.tenant);
            let record = self.world.schemas[has].1.get_or_init(|| keep.record.to_owned());
            self.world.kept[keep.tenant.id.0].store(record == keep.record, SeqCst);
            Ok(())
        };
        async move { kept.iter().map(keep).collect() }.boxed()
    }

    fn accept<'a>(&'a self, _: Acceptance<'a>) -> BoxFuture<'a, Result<()>> {
        none_of_ours()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}
