//! `create:`: how `provision` makes a tenant's schema, database or file.

use std::sync::Arc;

use super::walk::{Fields, Walk};

/// How a tenant's schema, database or file is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// The role that owns it; the one that connects without.
    pub owner: Option<String>,
    /// The encoding (PostgreSQL) or character set (MySQL) of a database; the server's without.
    pub encoding: Option<String>,
    /// The collation of a database; the server's without.
    pub collation: Option<String>,
    /// PostgreSQL: the database that a new one is copied from. SQLite: the file.
    pub template: Option<String>,
}

/// Reads `create: true`, or a mapping; nothing for `false`.
pub(super) fn read(_walk: &mut Walk<'_>, _fields: &Fields<'_>) -> Option<Arc<Create>> {
    None
}
