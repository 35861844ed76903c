//! Reads where every tenant stands, and what its schema is. Nothing is written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};

use crate::changeset::{Changelog, Version};
use crate::engine::{Reading, Servers};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{self, OutOfOrder, Unfinished};
use crate::planted::{self, Bug};
use crate::tenant::{Fleet, LeftOut, ServerId, Tenant, TenantId, Verify};

use super::by_tenant::ByTenant;
use super::drift::SchemaDrift;
use super::expected::{Expectations, contradicted, is_judged};
use super::schemas::{Schemas, by_server};
use super::standing::{Found, Position, Standing};
use super::uncertain::Account;

/// How many tenants are asked about in one reading, at least: fewer are not worth a connection more.
const SMALL_CHUNK: usize = 500;

/// How many, at most: bounds memory and the length of one question.
const LARGE_CHUNK: usize = 2_500;

/// How many readings of one server are under way at once.
pub(crate) const READINGS: usize = 4;

/// Returns how many of so many tenants of a server of this width are asked about in one reading. All of them fit into the
/// readings that are under way at once, as long as these are not too large: so the way to the server and back is gone as
/// often for many tenants as for few.
pub(crate) fn chunk(tenants: usize, width: usize) -> usize {
    tenants.div_ceil(READINGS.min(width).max(1)).clamp(SMALL_CHUNK, LARGE_CHUNK)
}

/// How often a cohort with drift is looked at again while its histories move.
const SETTLING: u32 = 3;

/// What a survey is about.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The fleet.
    pub fleet: &'a Fleet,
    /// Its changelog.
    pub changelog: &'a Changelog,
    /// Its servers, in the fleet's order.
    pub servers: &'a Servers,
    /// The tenants that are meant, those that are left out too, in the fleet's order.
    pub selection: &'a [TenantId],
}

impl<'a> Scope<'a> {
    /// Returns the tenants that are not left out, by server.
    pub(crate) fn by_server(&self) -> BTreeMap<ServerId, Vec<&'a Tenant>> {
        by_server(self.tenants().filter(|tenant| tenant.is_active()))
    }

    /// Returns the selected tenants.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &'a Tenant> + use<'a> {
        let fleet = self.fleet;
        self.selection.iter().map(move |id| &fleet.tenants[id.0])
    }
}

/// Where every selected tenant stands, in the selection's order.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// One for each tenant.
    pub standings: Vec<Standing>,
    /// What their schemas come to, if they were looked at.
    pub schemas: Option<SchemaDrift>,
    /// What was found out about statements whose end is not recorded, where it does not decide what became of them.
    pub accounts: BTreeMap<TenantId, Account>,
}

/// How much of a tenant a survey reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Its history and the journal's last row.
    Histories,
    /// Its live schema too, where something is expected of it.
    Judged,
    /// Its live schema too.
    Schemas,
}

impl Depth {
    /// Returns how much `up` reads.
    pub fn of(verify: Verify) -> Self {
        match verify {
            // A step that is checked has every schema before it to compare with.
            Verify::Step => Self::Schemas,
            Verify::Run => Self::Judged,
            Verify::Off => Self::Histories,
        }
    }
}

impl Survey {
    /// Returns those that were read.
    pub fn positions(&self) -> impl Iterator<Item = (TenantId, &Position)> {
        self.standings.iter().filter_map(|s| s.position().map(|p| (s.tenant, p)))
    }
}

/// Reads every selected tenant that is not left out. A tenant that cannot be read does not stop the others.
///
/// Unless it reads [`Depth::Histories`] alone it judges them too. Where that finds drift, the histories of the cohort are read once more:
/// another run may have gone a step between the reading of a history and that of the schema. A tenant whose history
/// goes on moving is not judged.
pub async fn survey(scope: &Scope<'_>, out_of_order: OutOfOrder, depth: Depth) -> Survey {
    survey_with(scope, out_of_order, depth).await.0
}

/// [`survey`], and every schema that it met.
pub(crate) async fn survey_with(scope: &Scope<'_>, out_of_order: OutOfOrder, depth: Depth) -> (Survey, Schemas) {
    let mut found: ByTenant<Found> = ByTenant::default();
    for tenant in scope.tenants() {
        match tenant.left_out() {
            Some(LeftOut::Quarantined(reason)) => found.insert(tenant.id, Found::Quarantined(reason)),
            Some(LeftOut::Provisioning) => found.insert(tenant.id, Found::Provisioning),
            None => {}
        }
    }
    let asked: Vec<&Tenant> =
        scope.tenants().filter(|tenant| tenant.is_active() || planted::is(Bug::QuarantineIgnored)).collect();
    found.extend(read(scope, &asked, out_of_order).await);
    let standings = scope.selection.iter().filter_map(|&tenant| {
        let found = found.remove(tenant)?;
        Some(Standing { tenant, found })
    });
    let mut survey = Survey { standings: standings.collect(), schemas: None, accounts: BTreeMap::new() };
    let mut schemas = Schemas::default();
    if depth != Depth::Histories {
        survey.look(scope, &mut schemas, &asked, depth).await;
        let mut moving = HashSet::new();
        survey.judge(scope, &mut schemas, &moving).await;
        for round in 1..=SETTLING {
            let moved = survey.read_drifting_again(scope, out_of_order).await;
            if moved.is_empty() {
                break;
            }
            survey.look(scope, &mut schemas, &moved, depth).await;
            if round == SETTLING {
                moving.extend(moved.iter().map(|tenant| tenant.id));
            }
            survey.judge(scope, &mut schemas, &moving).await;
        }
    }
    (survey, schemas)
}

impl Survey {
    /// Reads the schemas of those of these tenants that were read, as deep as that.
    async fn look(&mut self, scope: &Scope<'_>, schemas: &mut Schemas, tenants: &[&Tenant], depth: Depth) {
        let wanted = |position: &Position| depth == Depth::Schemas || is_judged(position);
        let readable: ByTenant<()> =
            self.positions().filter(|(_, position)| wanted(position)).map(|(tenant, _)| (tenant, ())).collect();
        let readable = tenants.iter().copied().filter(|tenant| readable.contains(tenant.id));
        let mut inspected = schemas.inspect(scope, readable).await;
        for standing in &mut self.standings {
            match (inspected.remove(standing.tenant), &mut standing.found) {
                (Some(Ok(snapshot)), Found::Read(position)) => position.schema = Some(snapshot),
                (Some(Err(diagnostic)), found) => *found = Found::Unreadable(diagnostic),
                _ => {}
            }
        }
    }

    /// Judges what was seen, cohort by cohort, but for those that another run is at work on.
    async fn judge(&mut self, scope: &Scope<'_>, schemas: &mut Schemas, moving: &HashSet<TenantId>) {
        schemas.fetch(scope, contradicted(self.positions())).await;
        let mut expectations = Expectations::new(scope.fleet);
        let still = self.positions().filter(|(tenant, _)| !moving.contains(tenant));
        let entries = still.filter_map(|(tenant, position)| expectations.entry(tenant, position, schemas));
        let mut drift = SchemaDrift::of(entries.collect());
        drift.without_history = self.positions().filter(|(_, position)| position.newest.is_none()).count();
        let mut verdicts = drift.verdicts();
        for standing in &mut self.standings {
            if let Found::Read(position) = &mut standing.found {
                position.verdict = verdicts.remove(standing.tenant).cloned();
            }
        }
        drop(verdicts);
        self.schemas = Some(drift);
    }

    /// Reads the histories of the cohorts with drift once more; returns the tenants whose history is another one now.
    async fn read_drifting_again<'a>(&mut self, scope: &Scope<'a>, out_of_order: OutOfOrder) -> Vec<&'a Tenant> {
        let drifting = self.schemas.iter().flat_map(|schemas| &schemas.cohorts).filter(|c| c.cohort.is_drift());
        let tenants = drifting.flat_map(|cohort| cohort.cohort.groups.iter().flat_map(|group| &group.tenants));
        let tenants: Vec<&Tenant> = tenants.map(|id| &scope.fleet.tenants[id.0]).collect();
        if tenants.is_empty() {
            return Vec::new();
        }
        let mut again: ByTenant<Found> = read(scope, &tenants, out_of_order).await.into_iter().collect();
        let mut moved = Vec::new();
        for standing in &mut self.standings {
            let Some(found) = again.remove(standing.tenant) else { continue };
            let same = match (&standing.found, &found) {
                (Found::Read(one), Found::Read(other)) => one.is_where(other),
                _ => false,
            };
            if !same {
                standing.found = found;
                moved.push(&scope.fleet.tenants[standing.tenant.0]);
            }
        }
        moved
    }
}

/// Reads where these tenants stand, in parallel over servers.
async fn read(scope: &Scope<'_>, tenants: &[&Tenant], out_of_order: OutOfOrder) -> Vec<(TenantId, Found)> {
    let by_server = by_server(tenants.iter().copied());
    let mut per_server: FuturesUnordered<_> = by_server
        .iter()
        .map(|(id, tenants)| async move {
            let server = &scope.servers[id.0];
            let readings = stream::iter(tenants.chunks(chunk(tenants.len(), server.width())))
                .map(|chunk| async move { (chunk, server.read(chunk).await) })
                .buffer_unordered(READINGS.min(server.width()));
            let mut compared = Vec::with_capacity(tenants.len());
            let mut shared = Shared::default();
            futures_util::pin_mut!(readings);
            while let Some((chunk, answers)) = readings.next().await {
                for (tenant, answer) in chunk.iter().zip(answers) {
                    compared.push((tenant.id, shared.found(scope.changelog, tenant, answer, out_of_order)));
                }
            }
            compared
        })
        .collect();
    let mut found = Vec::with_capacity(tenants.len());
    while let Some(compared) = per_server.next().await {
        found.extend(compared);
    }
    found
}

/// Says that `provision` makes a place that is not there, where it may.
pub(crate) fn or_provision(tenant: &Tenant, gone: Diagnostic) -> Diagnostic {
    if !matches!(gone.code(), Code::NO_DATABASE | Code::NO_SCHEMA) || tenant.made_how().is_none() {
        return gone;
    }
    let first = gone.what_next().map(|hint| format!("{hint}; or ")).unwrap_or_default();
    let hint = format!("{first}let `mtmigrate provision {}` make it, as its `create:` says", tenant.name);
    gone.hint(hint)
}

/// Version lists that many tenants share.
#[derive(Default)]
struct Shared {
    lists: HashMap<Vec<Version>, Arc<[Version]>>,
    texts: HashMap<String, Arc<str>>,
}

impl Shared {
    fn found(
        &mut self,
        changelog: &Changelog,
        tenant: &Tenant,
        answer: Result<Reading>,
        out_of_order: OutOfOrder,
    ) -> Found {
        let reading = match answer {
            Ok(reading) => reading,
            Err(diagnostic) => return Found::Unreadable(or_provision(tenant, diagnostic)),
        };
        let compared = history::compare(&reading.rows, changelog, tenant.datasource.engine(), out_of_order);
        let open = reading.last.as_ref().and_then(history::unfinished);
        let unfinished = open.filter(|open| !compared.applied.contains(&version_of(open)));
        // What stands in the history no more was not skipped either.
        let last = reading.last.iter().flat_map(|last| last.skipped.iter().copied());
        let skipped = last.filter(|version| compared.applied.binary_search(version).is_ok()).collect();
        Found::Read(Box::new(Position {
            skipped: self.list(skipped),
            applied: self.list(compared.applied),
            pending: self.list(compared.pending),
            newest: compared.newest,
            findings: compared.findings,
            last: reading.last,
            unfinished,
            tables: reading.tables,
            server_version: self.text(reading.server_version),
            read_only: reading.read_only,
            folds_case: reading.folds_case,
            schema: None,
            verdict: None,
        }))
    }

    fn list(&mut self, versions: Vec<Version>) -> Arc<[Version]> {
        if let Some(known) = self.lists.get(&versions) {
            return known.clone();
        }
        let made: Arc<[Version]> = versions.clone().into();
        self.lists.insert(versions, made.clone());
        made
    }

    fn text(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return known.clone();
        }
        let made: Arc<str> = text.clone().into();
        self.texts.insert(text, made.clone());
        made
    }
}

/// Returns the version that an open text is of.
pub(crate) fn version_of(open: &Unfinished) -> Version {
    match open {
        Unfinished::FailedAt { version, .. } | Unfinished::Uncertain { version, .. } => *version,
    }
}
