//! Loads the fleet and its changelog, with every mistake of both in one go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::changeset::{self, Changelog, Loaded};
use crate::error::Diagnostic;
use crate::sql::EngineKind;
use crate::tenant::{self, Fleet, ProcessEnvironment};

use super::Context;

/// The files of a command, checked against each other.
pub(super) struct Files {
    pub fleet: Fleet,
    pub changelog: Changelog,
}

/// Loads and checks what the options name. Warnings are said.
///
/// # Errors
/// Every mistake of `tenants.yaml` and of the changelog.
pub(super) fn load(context: &Context) -> Result<Files, Vec<Diagnostic>> {
    let fleet = tenant::load(&context.global.config, &ProcessEnvironment);
    let folder = match (&context.global.migrations, &fleet) {
        (Some(given), _) => Some(given.clone()),
        (None, Ok(fleet)) => Some(fleet.migrations.clone()),
        // The broken file may name another folder, so a missing one is no second mistake.
        (None, Err(_)) => Some(beside(&context.global.config)).filter(|folder| folder.is_dir()),
    };
    let loaded = folder.map(|folder| changeset::load(&folder));
    let (fleet, Loaded { changelog, warnings }) = match (fleet, loaded) {
        (Ok(fleet), Some(Ok(loaded))) => (fleet, loaded),
        (fleet, loaded) => {
            let mut mistakes = fleet.err().unwrap_or_default();
            mistakes.extend(loaded.and_then(Result::err).unwrap_or_default());
            return Err(mistakes);
        }
    };
    context.console.tell(&warnings);
    let engines: BTreeSet<EngineKind> = fleet.tenants.iter().map(|t| t.datasource.engine()).collect();
    let warnings = changeset::check(&changelog, &engines)?;
    context.console.tell(&warnings);
    Ok(Files { fleet, changelog })
}

/// Returns the folder of changesets that a fleet's file has if it says nothing.
fn beside(config: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join("migrations")
}
