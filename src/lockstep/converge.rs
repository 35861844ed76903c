//! After a step: are all tenants with the same changesets still alike?
//!
//! A full reading after each step would cost more than the step. Instead tenants are kept in classes: those of one
//! class are known to have equal schemas. It begins with what the survey read. A step parts a class: those of it that
//! were measured by the same calls of [`Server::gauge`], with the same answers, stay together, because equal starts
//! with equal changes end equal. So do those of one database whose text leaves no choice: there the text is the change. Those of one class are compared with others by reading the schema of one of them.
//! Who is alone in its cohort with its class needs no reading at all.
//!
//! The measures begin before the survey under the lock reads schemas: what a hand changes in between shows in both.
//!
//! [`Server::gauge`]: crate::engine::Server::gauge

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use crate::changeset::Version;
use crate::engine::Gauge;
use crate::error::{Diagnostic, Result};
use crate::schema::{Difference, Member, Snapshot, broken};
use crate::sql::EngineKind;
use crate::tenant::{ServerId, SessionSettings, Tenant, TenantId};

use super::by_tenant::ByTenant;
use super::drift::SchemaDrift;
use super::expected::{Entry, Expectations, Had, is_judged};
use super::schemas::{Schemas, by_server};
use super::standing::Position;
use super::survey::{READINGS, Scope, Survey, chunk};

/// A measure, and the calls that it and those before it were answered by: only of one chain are they comparable.
#[derive(Clone, Copy)]
struct Measured {
    gauge: Gauge,
    chain: usize,
}

/// The first measures of a run.
#[derive(Default)]
pub(crate) struct Gauges {
    by_tenant: ByTenant<Measured>,
    chains: usize,
}

/// What a run knows of its tenants' schemas.
pub(crate) struct Watch<'w> {
    scope: Scope<'w>,
    schemas: Schemas,
    expectations: Expectations<'w>,
    tracks: ByTenant<Track<'w>>,
    /// The schema that each class has, where it was read.
    classes: Vec<Option<Arc<Snapshot>>>,
    chains: usize,
    /// Who skipped the last step: what the others got did not reach them.
    skipping: BTreeSet<TenantId>,
}

/// What is known of one tenant.
struct Track<'w> {
    /// Where the survey found it.
    position: &'w Position,
    /// The versions that it has now, in order; tenants with equal ones share one list.
    applied: Arc<[Version]>,
    /// Those of them that it skipped.
    skipped: Arc<[Version]>,
    class: usize,
    measured: Option<Measured>,
    /// Whether it got a changeset in this run, or at its end was read anew: what its journal says is of before.
    touched: bool,
    /// Whether it must be like others with its changesets.
    judged: bool,
}

/// What a check found.
pub(crate) struct Checked {
    /// How many cohorts were looked at.
    pub cohorts: usize,
    /// Those of them that were not alike at first sight.
    pub drift: SchemaDrift,
}

impl Gauges {
    /// Measures these tenants for the first time. Whom the server cannot measure is read in full later.
    pub async fn take(scope: &Scope<'_>, tenants: impl IntoIterator<Item = &Tenant>) -> Self {
        let calls = by_server(tenants).into_iter().flat_map(|(server, tenants)| {
            let size = chunk(tenants.len(), scope.servers[server.0].width());
            let calls = tenants.chunks(size).map(|chunk| chunk.iter().map(|tenant| (*tenant, None)).collect());
            calls.collect::<Vec<Call<'_>>>()
        });
        let mut made = Self::default();
        for answers in ask(scope, calls.collect()).await {
            let chain = made.chains;
            made.chains += 1;
            made.by_tenant.extend(answers.into_iter().map(|(tenant, gauge)| (tenant, Measured { gauge, chain })));
        }
        made
    }
}

impl<'w> Watch<'w> {
    /// Starts with the survey under the lock, which looked at schemas.
    pub fn new(scope: Scope<'w>, survey: &'w Survey, schemas: Schemas, gauges: Gauges) -> Self {
        let mut lists: HashMap<Arc<[Version]>, ()> = HashMap::new();
        let mut known: HashMap<*const Snapshot, usize> = HashMap::new();
        let mut classes = Vec::new();
        let mut tracks = ByTenant::default();
        for (tenant, position) in survey.positions() {
            // Equal schemas of a survey are one. Of whom nothing is expected yet it may have looked at none.
            let mut made = || {
                classes.push(position.schema.clone());
                classes.len() - 1
            };
            let class = match &position.schema {
                Some(schema) => *known.entry(Arc::as_ptr(schema)).or_insert_with(made),
                None => made(),
            };
            let list = lists.entry(position.applied.clone()).insert_entry(());
            let applied = list.key().clone();
            let measured = gauges.by_tenant.get(tenant).copied();
            let judged = is_judged(position);
            let skipped = position.skipped.clone();
            tracks.insert(tenant, Track { position, applied, skipped, class, measured, touched: false, judged });
        }
        let expectations = Expectations::new(scope.fleet);
        let skipping = BTreeSet::new();
        Self { scope, schemas, expectations, tracks, classes, chains: gauges.chains, skipping }
    }

    /// Notes who has a version now; `skipping` are those of them on whom its text did not run.
    pub fn applied(&mut self, version: Version, tenants: &[TenantId], skipping: &BTreeSet<TenantId>) {
        self.skipping.clone_from(skipping);
        self.skipped(version, tenants);
        // One list for all that had one before, and one for those that meet at the same list from others. What they had
        // is held beside it, so that no other comes to lie in its place.
        let mut after: HashMap<*const Version, [Arc<[Version]>; 2]> = HashMap::new();
        let mut lists: BTreeSet<Arc<[Version]>> = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut last = std::ptr::null();
        for (_, track) in self.tracks.iter() {
            // Neighbours mostly share a list.
            if track.applied.as_ptr() != last && seen.insert(track.applied.as_ptr()) {
                lists.insert(track.applied.clone());
            }
            last = track.applied.as_ptr();
        }
        for tenant in tenants {
            let Some(track) = self.tracks.get_mut(*tenant) else { continue };
            let [_before, list] = after.entry(track.applied.as_ptr()).or_insert_with(|| {
                let mut versions = track.applied.to_vec();
                if let Err(at) = versions.binary_search(&version) {
                    versions.insert(at, version);
                }
                let made: Arc<[Version]> = versions.into();
                let list = lists.get(&made).cloned().unwrap_or(made);
                lists.insert(list.clone());
                [track.applied.clone(), list]
            });
            track.applied = list.clone();
            track.touched = true;
            track.judged = true;
        }
    }

    /// Notes who skipped a version, and who got it although it was skipped once.
    fn skipped(&mut self, version: Version, tenants: &[TenantId]) {
        let mut lists: BTreeSet<Arc<[Version]>> = BTreeSet::new();
        for tenant in tenants {
            let Some(track) = self.tracks.get_mut(*tenant) else { continue };
            let mut versions = track.skipped.to_vec();
            match (versions.binary_search(&version), self.skipping.contains(tenant)) {
                (Err(at), true) => versions.insert(at, version),
                (Ok(at), false) => drop(versions.remove(at)),
                _ => continue,
            }
            let made: Arc<[Version]> = versions.into();
            track.skipped = lists.get(&made).cloned().unwrap_or(made);
            lists.insert(track.skipped.clone());
        }
    }

    /// Checks that those who got a version in this step are alike, and like everybody with the same changesets.
    ///
    /// `plain` are the engines whose text does the same to equal schemas ([`crate::sql::is_plain`]).
    ///
    /// # Errors
    /// Why schemas could not be read, with the tenants.
    pub async fn check(
        &mut self,
        step: &[TenantId],
        plain: &BTreeSet<EngineKind>,
    ) -> Result<Checked, Vec<(TenantId, Diagnostic)>> {
        let left = self.spare(step, plain);
        self.measure(&left).await;
        let cohorts = self.cohorts_of(step);
        let mut unread: BTreeMap<usize, TenantId> = BTreeMap::new();
        for cohort in &cohorts {
            // Of each class the first of its tenants.
            let mut classes: BTreeMap<usize, TenantId> = BTreeMap::new();
            for tenant in cohort {
                classes.entry(self.tracks[*tenant].class).or_insert(*tenant);
            }
            if classes.len() > 1 {
                unread.extend(classes.into_iter().filter(|(class, _)| self.classes[*class].is_none()));
            }
        }
        self.read(unread).await?;
        let apart = cohorts.iter().filter(|cohort| !self.is_alike(cohort)).flatten().copied();
        let entries: Vec<TenantId> = apart.collect();
        let entries = entries.into_iter().filter_map(|tenant| self.entry(tenant)).collect();
        Ok(Checked { cohorts: cohorts.len(), drift: SchemaDrift::of(entries) })
    }

    /// Reads these tenants' schemas in full and judges everybody but those who are left out. Returns what could not
    /// be read too.
    pub async fn confirm(
        &mut self,
        tenants: &BTreeSet<TenantId>,
        left_out: &BTreeSet<TenantId>,
    ) -> (SchemaDrift, Vec<(TenantId, Diagnostic)>) {
        let asked = tenants.iter().map(|id| &self.scope.fleet.tenants[id.0]);
        let mut unread = Vec::new();
        for (tenant, answer) in self.schemas.inspect(&self.scope, asked).await.into_values() {
            match answer {
                Ok(snapshot) => {
                    self.classes.push(Some(snapshot));
                    self.move_to(tenant, self.classes.len() - 1);
                    if let Some(track) = self.tracks.get_mut(tenant) {
                        track.touched = true;
                    }
                }
                Err(diagnostic) => unread.push((tenant, diagnostic)),
            }
        }
        unread.sort_by_key(|(tenant, _)| *tenant);
        let mut out: BTreeSet<TenantId> = unread.iter().map(|(tenant, _)| *tenant).collect();
        out.extend(left_out);
        let judged: Vec<TenantId> = self.tracks.tenants().filter(|tenant| !out.contains(tenant)).collect();
        let entries = judged.into_iter().filter_map(|tenant| self.entry(tenant)).collect();
        (SchemaDrift::of(entries), unread)
    }

    /// Returns those that got a changeset in this run.
    pub fn touched(&self) -> impl Iterator<Item = TenantId> {
        self.tracks.iter().filter(|(_, track)| track.touched).map(|(tenant, _)| tenant)
    }

    /// Returns a tenant's schema, if it was read since it changed.
    pub fn schema(&self, tenant: TenantId) -> Option<&Arc<Snapshot>> {
        self.classes[self.tracks.get(tenant)?.class].as_ref()
    }

    /// Returns the differences that are accepted of a tenant.
    pub fn accepted(&mut self, tenant: TenantId) -> Arc<[Difference]> {
        let last = self.tracks.get(tenant).and_then(|track| track.position.last.as_ref());
        self.expectations.accepted(tenant, last)
    }

    /// Moves on, unmeasured, the classes whose tenants share a database and its sessions' settings and got a plain text:
    /// they were equal, the same was done to all, so they are. The end of the run reads them. Returns the others.
    fn spare(&mut self, step: &[TenantId], plain: &BTreeSet<EngineKind>) -> Vec<TenantId> {
        let mut by_class: BTreeMap<usize, Vec<&Tenant>> = BTreeMap::new();
        let mut left = Vec::new();
        for id in step {
            let tenant = &self.scope.fleet.tenants[id.0];
            if self.skipping.contains(id) && plain.contains(&tenant.datasource.engine()) {
                // Nothing was done to it: it stays in its class.
                continue;
            }
            match self.tracks.get(*id).filter(|_| plain.contains(&tenant.datasource.engine())) {
                Some(track) => by_class.entry(track.class).or_default().push(tenant),
                None => left.push(*id),
            }
        }
        for tenants in by_class.into_values() {
            if tenants.windows(2).any(|pair| place(pair[0]) != place(pair[1])) {
                left.extend(tenants.iter().map(|tenant| tenant.id));
                continue;
            }
            self.classes.push(None);
            for tenant in tenants {
                self.move_to(tenant.id, self.classes.len() - 1);
            }
        }
        left.sort();
        left
    }

    /// Measures those of a step, in the calls that they were measured by before, and parts their classes.
    async fn measure(&mut self, step: &[TenantId]) {
        let mut calls: BTreeMap<usize, Call<'_>> = BTreeMap::new();
        for tenant in step {
            let Some(Measured { gauge, chain }) = self.tracks.get(*tenant).and_then(|track| track.measured) else {
                continue;
            };
            calls.entry(chain).or_default().push((&self.scope.fleet.tenants[tenant.0], Some(gauge)));
        }
        let answers = ask(&self.scope, calls.into_values().collect()).await;
        let mut together: HashMap<(usize, usize, u128), usize> = HashMap::new();
        let mut measured = ByTenant::default();
        for answers in answers {
            let chain = self.chains;
            self.chains += 1;
            for (tenant, gauge) in answers {
                let Some(track) = self.tracks.get_mut(tenant) else { continue };
                let class = *together.entry((track.class, chain, gauge.value)).or_insert_with(|| {
                    self.classes.push(None);
                    self.classes.len() - 1
                });
                track.class = class;
                track.measured = Some(Measured { gauge, chain });
                measured.insert(tenant, ());
            }
        }
        // Whom nobody measured is like nobody else until it is read.
        for tenant in step.iter().filter(|tenant| !measured.contains(**tenant)) {
            self.classes.push(None);
            self.move_to(*tenant, self.classes.len() - 1);
        }
    }

    fn move_to(&mut self, tenant: TenantId, class: usize) {
        if let Some(track) = self.tracks.get_mut(tenant) {
            track.class = class;
        }
    }

    /// Returns the cohorts that tenants of a step are in, with those of them that got nothing in it.
    fn cohorts_of(&self, step: &[TenantId]) -> Vec<Vec<TenantId>> {
        fn key<'t>(engine: EngineKind, track: &'t Track<'_>) -> (EngineKind, *const Version, &'t [Version]) {
            (engine, track.applied.as_ptr(), &track.skipped)
        }
        let engine = |tenant: TenantId| self.scope.fleet.tenants[tenant.0].datasource.engine();
        let mut cohorts: BTreeMap<_, Vec<TenantId>> = BTreeMap::new();
        for tenant in step {
            if let Some(track) = self.tracks.get(*tenant) {
                cohorts.entry(key(engine(*tenant), track)).or_default();
            }
        }
        for (tenant, track) in self.tracks.iter().filter(|(_, track)| track.judged) {
            if let Some(cohort) = cohorts.get_mut(&key(engine(tenant), track)) {
                cohort.push(tenant);
            }
        }
        cohorts.into_values().collect()
    }

    /// Reads the schemas of classes, each by one of its tenants.
    async fn read(&mut self, unread: BTreeMap<usize, TenantId>) -> Result<(), Vec<(TenantId, Diagnostic)>> {
        let asked = unread.values().map(|id| &self.scope.fleet.tenants[id.0]);
        let mut found = self.schemas.inspect(&self.scope, asked).await;
        let mut failed = Vec::new();
        for (class, tenant) in unread {
            match found.remove(tenant) {
                Some(Ok(snapshot)) => self.classes[class] = Some(snapshot),
                Some(Err(diagnostic)) => failed.push((tenant, diagnostic)),
                None => {}
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(failed) }
    }

    /// Whether all of a cohort are known to have one schema, in which nothing is broken.
    fn is_alike(&self, cohort: &[TenantId]) -> bool {
        let mut classes: BTreeSet<usize> = BTreeSet::new();
        for tenant in cohort {
            classes.insert(self.tracks[*tenant].class);
        }
        if classes.len() <= 1 {
            return true;
        }
        let mut schemas = classes.iter().map(|class| self.classes[*class].as_ref());
        let Some(Some(first)) = schemas.next() else { return false };
        broken(first).next().is_none() && schemas.all(|other| other.is_some_and(|other| Arc::ptr_eq(first, other)))
    }

    fn entry(&mut self, tenant: TenantId) -> Option<Entry> {
        let track = self.tracks.get(tenant).filter(|track| track.judged)?;
        let live = self.classes[track.class].clone()?;
        let had = Had { applied: track.applied.clone(), skipped: track.skipped.clone() };
        if track.touched {
            return Some(self.expectations.entry_since(tenant, track.position, had, live));
        }
        let entry = self.expectations.entry(tenant, track.position, &self.schemas)?;
        let Had { applied, skipped } = had;
        Some(Entry { applied, skipped, member: Member { live, ..entry.member }, ..entry })
    }
}

/// Returns what tenants must share to be moved on unmeasured: a database, its user, and what sessions begin with: a text
/// reads `'01/02/2020'` by the session's `DateStyle`.
fn place(tenant: &Tenant) -> (ServerId, &str, usize, &SessionSettings) {
    (tenant.server, tenant.datasource.database(), Arc::as_ptr(&tenant.access).addr(), &*tenant.session)
}

/// Tenants of one server that are measured together.
type Call<'t> = Vec<(&'t Tenant, Option<Gauge>)>;

/// Asks servers to measure, in parallel over servers; returns the answers of each call, without those that failed.
async fn ask(scope: &Scope<'_>, calls: Vec<Call<'_>>) -> Vec<Vec<(TenantId, Gauge)>> {
    let mut by_server: BTreeMap<usize, Vec<&Call<'_>>> = BTreeMap::new();
    for call in calls.iter().filter(|call| !call.is_empty()) {
        by_server.entry(call[0].0.server.0).or_default().push(call);
    }
    let per_server = by_server.into_iter().map(|(id, calls)| -> BoxStream<'_, (&Call<'_>, Vec<Result<Gauge>>)> {
        let server = &scope.servers[id];
        let answers = stream::iter(calls).map(move |call| async move { (call, server.gauge(call).await) });
        Box::pin(answers.buffer_unordered(READINGS.min(server.width())))
    });
    let answered: Vec<(&Call<'_>, Vec<Result<Gauge>>)> = stream::select_all(per_server).collect().await;
    let measured = answered.into_iter().map(|(call, answers)| {
        let of_call = call.iter().zip(answers).filter_map(|((tenant, _), answer)| match answer {
            Ok(gauge) => Some((tenant.id, gauge)),
            Err(error) => {
                tracing::debug!(tenant = tenant.name, error = error.one_line(), "not measured");
                None
            }
        });
        of_call.collect()
    });
    measured.collect()
}
