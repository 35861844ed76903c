//! A tenant as changesets know it.

use crate::changeset::{Changeset, Recipient};
use crate::tenant::Tenant;

/// Returns what changesets may ask of a tenant.
pub fn recipient(tenant: &Tenant) -> Recipient<'_> {
    Recipient {
        name: &tenant.name,
        engine: tenant.datasource.engine(),
        labels: &tenant.labels,
        vars: &tenant.vars,
        database: tenant.datasource.database(),
        schema: tenant.datasource.schema(),
    }
}

/// Whether a tenant skips a changeset: by what it says today of labels, names and engines.
pub fn skips(changeset: &Changeset, tenant: &Tenant) -> bool {
    changeset.text(tenant.datasource.engine()).is_some_and(|text| !text.is_for(&recipient(tenant)))
}
