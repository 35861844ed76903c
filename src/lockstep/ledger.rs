//! What is known of tenants while a run goes on: which of our tables they have, what is open, and what their journals
//! say of their schemas.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::changeset::{Version, Width};
use crate::engine::{JournalFormat, Known, Tables};
use crate::history::Unfinished;
use crate::tenant::TenantId;

use super::by_tenant::ByTenant;
use super::expected::Hashes;
use super::survey::Survey;

/// Facts from the survey under the lock, kept true as changesets are applied.
pub(crate) struct Ledger {
    tables: Mutex<ByTenant<Tables>>,
    unfinished: HashMap<TenantId, Unfinished>,
    known: Mutex<ByTenant<Known>>,
}

impl Ledger {
    /// Starts from a survey.
    pub fn new(survey: &Survey) -> Self {
        let tables = survey.positions().map(|(tenant, position)| (tenant, position.tables)).collect();
        let open =
            |(tenant, position): (TenantId, &super::standing::Position)| Some((tenant, position.unfinished.clone()?));
        let mut hashes = Hashes::default();
        let known = survey.positions().filter_map(|(tenant, position)| {
            let last = position.last.as_ref()?;
            // A journal that said something goes on saying it until a changeset changes the schema: a failure that
            // left everything as it was must not make a tenant one of which nothing is recorded.
            let fingerprint = last.fingerprint.clone().filter(|_| hashes.recorded(position).is_some());
            let accepted = last.accepted.clone();
            let skipped = last.skipped.clone();
            Some((tenant, Known { fingerprint, accepted, skipped, journal_end: Some(last.id) }))
        });
        Self {
            tables: Mutex::new(tables),
            unfinished: survey.positions().filter_map(open).collect(),
            known: Mutex::new(known.collect()),
        }
    }

    /// Returns which of our tables a tenant has.
    pub fn tables(&self, tenant: TenantId) -> Tables {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(tenant).copied().unwrap_or(Tables { history: None, journal: None })
    }

    /// Notes that a changeset was applied, or skipped: both tables are there now, the history in this width or a wider
    /// one; and what is recorded of the schema is true no more.
    pub fn applied(&self, tenant: TenantId, width: Width, version: Version, skipped: bool) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let history = tables.get(tenant).and_then(|known| known.history);
        let history = Some(history.map_or(width, |had| had.max(width)));
        tables.insert(tenant, Tables { history, journal: Some(JournalFormat::Four) });
        drop(tables);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if skipped && known.get(tenant).is_none() {
            known.insert(tenant, Known::default());
        }
        if let Some(known) = known.get_mut(tenant) {
            known.fingerprint = None;
            match (known.skipped.binary_search(&version), skipped) {
                (Err(at), true) => known.skipped.insert(at, version),
                (Ok(at), false) => drop(known.skipped.remove(at)),
                _ => {}
            }
        }
    }

    /// Returns what is known of a tenant's schema before its next order.
    pub fn known(&self, tenant: TenantId) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).cloned().unwrap_or_default()
    }

    /// Returns the text of which a part was committed before this run.
    pub fn unfinished(&self, tenant: TenantId) -> Option<&Unfinished> {
        self.unfinished.get(&tenant)
    }
}
