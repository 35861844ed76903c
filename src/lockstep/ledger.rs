//! What is known of tenants while a run goes on: which of our tables they have, and what is open.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::changeset::Width;
use crate::engine::Tables;
use crate::history::Unfinished;
use crate::tenant::TenantId;

use super::survey::Survey;

/// Facts from the survey under the lock, kept true as changesets are applied.
pub(crate) struct Ledger {
    tables: Mutex<HashMap<TenantId, Tables>>,
    unfinished: HashMap<TenantId, Unfinished>,
}

impl Ledger {
    /// Starts from a survey.
    pub fn new(survey: &Survey) -> Self {
        let tables = survey.positions().map(|(tenant, position)| (tenant, position.tables)).collect();
        let open =
            |(tenant, position): (TenantId, &super::standing::Position)| Some((tenant, position.unfinished.clone()?));
        Self { tables: Mutex::new(tables), unfinished: survey.positions().filter_map(open).collect() }
    }

    /// Returns which of our tables a tenant has.
    pub fn tables(&self, tenant: TenantId) -> Tables {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.get(&tenant).copied().unwrap_or(Tables { history: None, journal: false })
    }

    /// Notes that a changeset was applied: both tables are there now, the history in this width or a wider one.
    pub fn applied(&self, tenant: TenantId, width: Width) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tables.entry(tenant).or_insert(Tables { history: None, journal: false });
        known.history = Some(known.history.map_or(width, |had| had.max(width)));
        known.journal = true;
    }

    /// Returns the text of which a part was committed before this run.
    pub fn unfinished(&self, tenant: TenantId) -> Option<&Unfinished> {
        self.unfinished.get(&tenant)
    }
}
