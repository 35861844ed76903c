//! What is expected of each tenant's schema: its record, what a person accepted, and what rules say may differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use time::{Date, OffsetDateTime};

use crate::changeset::Version;
use crate::history::{Attempt, AttemptOutcome, prefix_hash};
use crate::schema::{
    Cohort, Difference, Fingerprint, Ignore, Ignores, Member, Recorded, Snapshot, Verdict, broken, differences,
};
use crate::sql::EngineKind;
use crate::tenant::{Fleet, Tenant, TenantId};

use super::schemas::Schemas;
use super::standing::Position;

/// A tenant on its way to be judged with its cohort.
pub(crate) struct Entry {
    pub engine: EngineKind,
    pub applied: Arc<[Version]>,
    pub skipped: Arc<[Version]>,
    pub member: Member<TenantId>,
}

/// The versions that a tenant has, and those of them that it skipped.
pub(crate) struct Had {
    pub applied: Arc<[Version]>,
    pub skipped: Arc<[Version]>,
}

fn had(position: &Position) -> Had {
    Had { applied: position.applied.clone(), skipped: position.skipped.clone() }
}

/// Makes what is expected of tenants; equal accepted differences and rules are shared between them.
pub(crate) struct Expectations<'f> {
    fleet: &'f Fleet,
    today: Date,
    nothing: Arc<[Difference]>,
    accepted: HashMap<String, Arc<[Difference]>>,
    ignores: HashMap<&'f BTreeSet<String>, Arc<Ignores>>,
    hashes: Hashes,
}

impl<'f> Expectations<'f> {
    /// Starts with the rules that hold today.
    pub fn new(fleet: &'f Fleet) -> Self {
        Self {
            fleet,
            today: today(),
            nothing: Arc::from([]),
            accepted: HashMap::new(),
            ignores: HashMap::new(),
            hashes: Hashes::default(),
        }
    }

    /// Returns the entry of a tenant as a survey found it; nothing where nothing is expected yet.
    pub fn entry(&mut self, tenant: TenantId, position: &Position, schemas: &Schemas) -> Option<Entry> {
        let live = position.schema.clone().filter(|_| is_judged(position))?;
        let recorded = self.hashes.recorded(position).map(|fingerprint| {
            let snapshot = schemas.get(&fingerprint).cloned();
            Recorded { fingerprint, snapshot, chosen: is_chosen(position.last.as_ref()) }
        });
        Some(self.made(tenant, position, had(position), live, recorded))
    }

    /// Returns the entry of a tenant that got changesets since: of its schema now nothing is recorded.
    pub fn entry_since(&mut self, tenant: TenantId, position: &Position, had: Had, live: Arc<Snapshot>) -> Entry {
        self.made(tenant, position, had, live, None)
    }

    fn made(
        &mut self,
        tenant: TenantId,
        position: &Position,
        Had { applied, skipped }: Had,
        live: Arc<Snapshot>,
        recorded: Option<Recorded>,
    ) -> Entry {
        let accepted = self.accepted(tenant, position.last.as_ref());
        let tenant = &self.fleet.tenants[tenant.0];
        let ignores = self.ignores(tenant);
        let member = Member { tenant: tenant.id, live, recorded, accepted, ignores };
        Entry { engine: tenant.datasource.engine(), applied, skipped, member }
    }

    /// Returns the differences that the journal's last row says are accepted.
    pub fn accepted(&mut self, tenant: TenantId, last: Option<&Attempt>) -> Arc<[Difference]> {
        let Some(text) = last.and_then(|last| last.accepted.as_ref()) else { return self.nothing.clone() };
        if let Some(known) = self.accepted.get(text) {
            return known.clone();
        }
        let read: Arc<[Difference]> = match serde_json::from_str::<Vec<Difference>>(text) {
            Ok(read) => read.into(),
            Err(error) => {
                let tenant = self.fleet.tenants[tenant.0].name.as_str();
                tracing::warn!(tenant, %error, "the accepted differences in the journal are not understood");
                self.nothing.clone()
            }
        };
        self.accepted.insert(text.clone(), read.clone());
        read
    }

    fn ignores(&mut self, tenant: &'f Tenant) -> Arc<Ignores> {
        let (rules, today) = (&self.fleet.drift.ignore, self.today);
        let made = self
            .ignores
            .entry(&tenant.labels)
            .or_insert_with(|| Arc::new(Ignores::of(rules, |label| tenant.labels.contains(label), today)));
        made.clone()
    }
}

/// Whether anything is expected of a tenant's schema: it has a history, and no text of which a part is committed.
pub(crate) fn is_judged(position: &Position) -> bool {
    position.newest.is_some() && position.unfinished.is_none()
}

/// Returns what the journal says of a schema: its fingerprint, and behind `@` the hash of the versions that the tenant
/// had then. Persisted.
pub(crate) fn record(schema: &Fingerprint, applied: &[Version]) -> String {
    format!("{schema}@{}", versions_hash(applied))
}

/// The hashes of version lists that were met: many tenants have the same.
#[derive(Default)]
pub(crate) struct Hashes(HashMap<*const Version, Hashed>);

struct Hashed {
    hash: String,
    /// The list itself, so that no other comes to lie in its place.
    _kept: Arc<[Version]>,
}

impl Hashes {
    /// [`recorded`], for one of many.
    pub fn recorded(&mut self, position: &Position) -> Option<Fingerprint> {
        let (schema, versions) = said(position)?;
        let applied = &position.applied;
        let made = || Hashed { hash: versions_hash(applied), _kept: applied.clone() };
        let known = self.0.entry(applied.as_ptr()).or_insert_with(made);
        Fingerprint::parse(schema).filter(|_| versions == known.hash)
    }
}

fn versions_hash(applied: &[Version]) -> String {
    let versions: Vec<String> = applied.iter().map(ToString::to_string).collect();
    prefix_hash(versions.iter().map(String::as_str))
}

/// Returns what the journal's last row says the schema is. A row of a statement's start says nothing, nor does a text
/// that is none of ours, nor one of another history: who lets refinery itself apply a changeset leaves no row.
pub(crate) fn recorded(position: &Position) -> Option<Fingerprint> {
    Hashes::default().recorded(position)
}

/// Returns the two parts of what the journal's last row says.
fn said(position: &Position) -> Option<(&str, &str)> {
    let last = position.last.as_ref().filter(|last| last.outcome != AttemptOutcome::Started)?;
    last.fingerprint.as_deref()?.split_once('@')
}

/// Returns the recorded schemas that the live ones contradict, with the tenants of which they are recorded.
pub(crate) fn contradicted<'p>(
    positions: impl Iterator<Item = (TenantId, &'p Position)>,
) -> BTreeMap<Fingerprint, Vec<TenantId>> {
    let mut wanted: BTreeMap<Fingerprint, Vec<TenantId>> = BTreeMap::new();
    let mut hashes = Hashes::default();
    for (tenant, position) in positions.filter(|(_, position)| is_judged(position)) {
        let (Some(recorded), Some(live)) = (hashes.recorded(position), &position.schema) else { continue };
        if recorded.basis == *live.basis() && recorded != *live.fingerprint() {
            wanted.entry(recorded).or_default().push(tenant);
        }
    }
    wanted
}

/// Whether a person said that the schema is right, and not only that it may differ from another.
fn is_chosen(last: Option<&Attempt>) -> bool {
    let none = |last: &Attempt| last.accepted.as_deref().is_none_or(|text| text == "[]");
    last.is_some_and(|last| last.outcome == AttemptOutcome::Accepted && none(last))
}

/// Returns those of the accepted differences that still exist.
pub(crate) fn still(accepted: &[Difference], reference: &Snapshot, live: &Snapshot) -> Vec<Difference> {
    if accepted.is_empty() {
        return Vec::new();
    }
    let mut exist = differences(reference, live);
    exist.extend(broken(live));
    accepted.iter().filter(|difference| exist.contains(difference)).cloned().collect()
}

/// Whether a cohort's reference is that of tenants without accepted differences. If not, as when such a tenant is
/// selected alone, it says nothing about whether an accepted difference still exists.
pub(crate) fn is_measured_by_others(
    cohort: &Cohort<TenantId>,
    mut has_none_accepted: impl FnMut(TenantId) -> bool,
) -> bool {
    let expected = cohort.groups.iter().filter(|group| matches!(group.verdict, Verdict::Expected));
    expected.flat_map(|group| &group.tenants).any(|tenant| has_none_accepted(*tenant))
}

/// Returns differences as the journal keeps them; nothing if there is none.
pub(crate) fn json(differences: &[Difference]) -> Option<String> {
    if differences.is_empty() {
        return None;
    }
    serde_json::to_string(differences).ok()
}

/// Returns the date in UTC, by which rules end.
pub(crate) fn today() -> Date {
    OffsetDateTime::now_utc().date()
}

/// Returns the rules under `drift: ignore:` that are over.
pub fn expired(fleet: &Fleet, today: Date) -> Vec<&Ignore> {
    fleet.drift.ignore.iter().filter(|rule| rule.is_expired(today)).collect()
}
