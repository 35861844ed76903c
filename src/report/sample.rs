//! A fleet for the reports' tests, without servers: histories and outcomes are told, not read.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;

use crate::changeset::{Changelog, Changeset, Kind, Version, Width};
use crate::engine::{Servers, Tables};
use crate::history::{Attempt, AttemptOutcome};
use crate::lockstep::{FleetCohort, Found, Position, Scope, Standing, Survey};
use crate::schema::{
    self, Difference, Ignore, Ignores, Member, Pattern, Recorded, Snapshot, Verdict, differences, judge,
};
use crate::sql::EngineKind;
use crate::tenant::{Address, Datasource, Fleet, Server, ServerId, Tenant, TenantId};

use super::StatusReport;

/// When everything in the samples happened.
pub(super) const AT: OffsetDateTime = datetime!(2026-11-21 09:30:00.25 UTC);

/// The run of the samples.
pub(super) const RUN: &str = "019aa5d2-7c10-7b3e-9d55-0c1f4a6b8e21";

/// A fleet on one PostgreSQL server, one MySQL server and one folder of SQLite files, and what was found there.
pub(super) struct Sample {
    pub fleet: Fleet,
    pub changelog: Changelog,
    servers: Servers,
    selection: Vec<TenantId>,
    pub survey: Survey,
}

impl Sample {
    /// Makes a fleet of PostgreSQL tenants with these names, on a changelog of two changesets; all are current.
    pub fn named(names: &[impl AsRef<str>]) -> Self {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        Self::of(&names.iter().map(|name| (*name, EngineKind::Postgres)).collect::<Vec<_>>(), 2)
    }

    /// Makes a fleet of these tenants, on a changelog of `V1__change_1` and so on; all are current.
    pub fn of(tenants: &[(&str, EngineKind)], changesets: i64) -> Self {
        let changelog =
            Changelog { folder: "migrations".into(), changesets: (1..=changesets).map(changeset).collect() };
        let servers = vec![
            server("eu", EngineKind::Postgres, "db.eu.example"),
            server("us", EngineKind::MySql, "db.us.example"),
            server("data", EngineKind::Sqlite, "files"),
        ];
        let tenants: Vec<Tenant> = tenants.iter().enumerate().map(|(i, (name, kind))| tenant(i, name, *kind)).collect();
        let selection: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id).collect();
        let fleet = Fleet {
            config: "tenants.yaml".into(),
            migrations: "migrations".into(),
            servers,
            tenants,
            ..Fleet::default()
        };
        let mut made = Self { fleet, changelog, servers: Vec::new(), selection, survey: Survey::default() };
        for idx in 0..made.selection.len() {
            made.survey.standings.push(Standing { tenant: TenantId(idx), found: made.at(changesets) });
        }
        made
    }

    /// Returns what is found of a tenant that has every changeset up to this one.
    pub fn at(&self, version: i64) -> Found {
        let all: Vec<Version> = self.changelog.changesets().iter().map(|changeset| changeset.version).collect();
        let (applied, pending) = all.split_at(all.partition_point(|known| known.0 <= version));
        Found::Read(Box::new(Position {
            applied: applied.into(),
            skipped: Arc::from([]),
            pending: pending.into(),
            newest: applied.last().copied(),
            findings: Vec::new(),
            last: applied.last().map(|version| attempt(version.0, AttemptOutcome::Applied)),
            unfinished: None,
            tables: Tables { history: Some(Width::Int4), journal: Some(crate::engine::JournalFormat::Four) },
            server_version: Arc::from("15.8"),
            read_only: None,
            folds_case: false,
            schema: None,
            verdict: None,
        }))
    }

    /// Changes what is found of a tenant.
    pub fn found(mut self, tenant: usize, found: Found) -> Self {
        self.survey.standings[tenant].found = found;
        self
    }

    /// Changes what was read from a tenant.
    pub fn read(mut self, tenant: usize, change: impl FnOnce(&mut Position)) -> Self {
        let Found::Read(position) = &mut self.survey.standings[tenant].found else {
            unreachable!("the sample's tenant is read before it is changed")
        };
        change(position);
        self
    }

    /// Leaves a tenant out.
    pub fn quarantined(mut self, tenant: usize, reason: &str) -> Self {
        self.fleet.tenants[tenant].quarantined = Some(reason.into());
        self.found(tenant, Found::Quarantined(reason.into()))
    }

    /// Leaves a tenant out that is being made.
    pub fn provisioning(mut self, tenant: usize) -> Self {
        self.fleet.tenants[tenant].provisioning = true;
        self.found(tenant, Found::Provisioning)
    }

    pub fn scope(&self) -> Scope<'_> {
        Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &self.servers, selection: &self.selection }
    }

    /// Returns the report of it. The sample lives as long as the test's process: the report points into it.
    pub fn status(self) -> StatusReport<'static> {
        let kept: &'static Self = Box::leak(Box::new(self));
        StatusReport::new(&kept.scope(), &kept.survey, None, AT.date())
    }
}

/// What is told of one tenant's schema.
pub(super) struct Told {
    tenant: usize,
    live: Arc<Snapshot>,
    recorded: Option<Arc<Snapshot>>,
    accepted: Vec<Difference>,
}

impl Told {
    /// It has this, and its journal says the same.
    pub fn of(tenant: usize, live: &Arc<Snapshot>) -> Self {
        Self { tenant, live: live.clone(), recorded: Some(live.clone()), accepted: Vec::new() }
    }

    /// Its journal says this.
    pub fn was(self, recorded: &Arc<Snapshot>) -> Self {
        Self { recorded: Some(recorded.clone()), ..self }
    }

    /// Its journal says nothing.
    pub fn unrecorded(self) -> Self {
        Self { recorded: None, ..self }
    }

    /// What differs from this was accepted.
    pub fn accepted(self, expected: &Snapshot) -> Self {
        Self { accepted: differences(expected, &self.live), ..self }
    }
}

impl Sample {
    /// Tells what tenants of one cohort have, and judges it.
    pub fn cohort(mut self, told: Vec<Told>) -> Self {
        let first = &self.fleet.tenants[told[0].tenant];
        let engine = first.datasource.engine();
        let Found::Read(position) = &self.survey.standings[told[0].tenant].found else {
            unreachable!("the sample's tenant is read before its schema is told")
        };
        let applied = position.applied.clone();
        let ignores = |tenant: &Tenant| {
            let labels = |label: &str| tenant.labels.contains(label);
            Arc::new(Ignores::of(&self.fleet.drift.ignore, labels, AT.date()))
        };
        let recorded = |snapshot: &Arc<Snapshot>| Recorded {
            fingerprint: snapshot.fingerprint().clone(),
            snapshot: Some(snapshot.clone()),
            chosen: false,
        };
        let members = told.iter().map(|told| Member {
            tenant: TenantId(told.tenant),
            live: told.live.clone(),
            recorded: told.recorded.as_ref().map(recorded),
            accepted: told.accepted.clone().into(),
            ignores: ignores(&self.fleet.tenants[told.tenant]),
        });
        let cohorts = judge(members.collect());
        let verdicts: Vec<(TenantId, Verdict)> = cohorts
            .iter()
            .flat_map(|cohort| &cohort.groups)
            .flat_map(|group| group.tenants.iter().map(|tenant| (*tenant, group.verdict.clone())))
            .collect();
        for (tenant, verdict) in verdicts {
            self = self.read(tenant.0, |position| position.verdict = Some(verdict));
        }
        for told in told {
            self = self.read(told.tenant, |position| {
                let fingerprint = told.recorded.map(|recorded| recorded.fingerprint().to_string());
                position.last.iter_mut().for_each(|last| last.fingerprint = fingerprint.clone());
                position.schema = Some(told.live);
            });
        }
        let made = cohorts.into_iter().map(|cohort| {
            let skipped = Arc::from([]);
            FleetCohort { engine, applied: applied.clone(), skipped, cohort }
        });
        self.survey.schemas.get_or_insert_default().cohorts.extend(made);
        self
    }
}

/// Returns a schema of one table, on PostgreSQL 15: each object a kind, a name and its attribute.
pub(super) fn schema(objects: &[(schema::Kind, &str, &str)]) -> Arc<Snapshot> {
    on("postgres-15", objects)
}

/// Returns a schema of one table on this engine.
pub(super) fn on(engine: &str, objects: &[(schema::Kind, &str, &str)]) -> Arc<Snapshot> {
    let of_orders = objects.iter().map(|(kind, name, attribute)| {
        let parent = (*kind != schema::Kind::Table).then_some("orders");
        let made = schema::Object::new(*kind, parent, *name);
        if attribute.is_empty() { made } else { made.with("type", *attribute) }
    });
    let orders = schema::Object::new(schema::Kind::Table, None, "orders");
    let basis = schema::Basis::new(engine, Default::default());
    Arc::new(Snapshot::new(&basis, of_orders.chain([orders]).collect()))
}

/// Returns a rule that always holds, but for one that ended the day before the samples.
pub(super) fn rule(objects: &[&str], labels: &[&str], ended: bool) -> Ignore {
    Ignore {
        objects: objects.iter().map(|written| Pattern::parse(written).expect("a pattern")).collect(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        reason: "the import, ticket 9".into(),
        until: ended.then(|| AT.date().previous_day()).flatten(),
    }
}

/// Returns a journal row of `V<version>__change_<version>`.
pub(super) fn attempt(version: i64, outcome: AttemptOutcome) -> Attempt {
    Attempt {
        id: version,
        run_id: RUN.into(),
        version: Version(version),
        name: format!("change_{version}"),
        outcome,
        statement_no: None,
        statements: None,
        prefix: None,
        who: "deploy".into(),
        host: "ci-7".into(),
        tool: "mtmigrate 0.1.0".into(),
        started_at: AT,
        finished_at: AT + Duration::from_millis(41),
        duration_ms: 41,
        error: None,
        fingerprint: None,
        accepted: None,
        trace: None,
        skipped: Vec::new(),
    }
}

fn changeset(version: i64) -> Changeset {
    Changeset {
        version: Version(version),
        name: format!("change_{version}"),
        kind: Kind::Versioned,
        default: None,
        variants: BTreeMap::new(),
        down: None,
        down_variants: BTreeMap::new(),
    }
}

fn server(name: &str, engine: EngineKind, host: &str) -> Server {
    Server {
        name: name.into(),
        ways: Vec::new(),
        engine,
        address: Address::Tcp { host: host.into(), port: 5432 },
        max_connections: NonZeroU32::MIN.saturating_add(7),
        connect_timeout: Duration::from_secs(10),
        silence_check: Duration::from_secs(30),
        lock_database: "postgres".into(),
    }
}

fn tenant(idx: usize, name: &str, engine: EngineKind) -> Tenant {
    let (server, datasource) = match engine {
        EngineKind::Postgres => (0, Datasource::Postgres { database: "shared".into(), schema: Some(name.to_owned()) }),
        EngineKind::MySql => (1, Datasource::MySql { database: name.to_owned() }),
        EngineKind::Sqlite => {
            let shown = format!("data/{name}.db");
            (2, Datasource::Sqlite { file: shown.clone().into(), shown, create: false })
        }
    };
    Tenant {
        labels: Arc::new(BTreeSet::from(["eu".to_owned(), "prod".to_owned()])),
        ..Tenant::new(TenantId(idx), name, ServerId(server), datasource)
    }
}
