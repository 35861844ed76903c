//! `vars:`: what changesets that are templates may ask for.

use std::collections::BTreeMap;

use super::walk::{Fields, Walk};

/// Values by name. They are data: nothing in them is SQL.
pub type Vars = BTreeMap<String, String>;

/// Reads `vars:`.
pub(super) fn read(_walk: &mut Walk<'_>, _fields: &Fields<'_>) -> Vars {
    Vars::default()
}
