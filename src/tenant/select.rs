//! Which tenants a command is for: `--tenant` globs and `--label` words.

use std::collections::{BTreeSet, HashMap};

use globset::{GlobBuilder, GlobMatcher};

use super::suggest::did_you_mean;
use super::{Fleet, TenantId};
use crate::error::{Code, Diagnostic, Result};

/// What the command line asks for. Empty means all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Globs of names; a tenant that matches any is meant. `*` matches any characters, `/` too.
    pub tenants: Vec<String>,
    /// Labels; a tenant that has any is meant.
    pub labels: Vec<String>,
}

impl Fleet {
    /// Returns the tenants that match, in the file's order, those that are left out too.
    ///
    /// With globs and labels both a tenant must match one of each. A glob that is a tenant's exact name means that
    /// tenant alone, whatever characters it holds.
    ///
    /// # Errors
    /// `MT110` when a glob or a label matches no tenant at all, or nothing matches everything; `MT114` for a glob that
    /// is not one.
    pub fn select(&self, selection: &Selection) -> Result<Vec<TenantId>> {
        let by_name = match selection.tenants.as_slice() {
            [] => None,
            globs => Some(self.matching(globs)?),
        };
        self.check_labels(&selection.labels)?;
        let wanted = |tenant: &&super::Tenant| {
            by_name.as_ref().is_none_or(|found| found.contains(&tenant.id))
                && (selection.labels.is_empty() || selection.labels.iter().any(|label| tenant.labels.contains(label)))
        };
        let found: Vec<TenantId> = self.tenants.iter().filter(wanted).map(|tenant| tenant.id).collect();
        if found.is_empty() {
            let message = "no tenant matches both --tenant and --label";
            let hint = "a tenant must match one glob and have one of the labels; `mtmigrate status` lists the tenants";
            return Err(Diagnostic::new(Code::EMPTY_SELECTION, message).hint(hint));
        }
        Ok(found)
    }

    fn matching(&self, globs: &[String]) -> Result<BTreeSet<TenantId>> {
        let exact: HashMap<&str, TenantId> =
            self.tenants.iter().map(|tenant| (tenant.name.as_str(), tenant.id)).collect();
        let mut found = BTreeSet::new();
        for glob in globs {
            if let Some(&id) = exact.get(glob.as_str()) {
                found.insert(id);
                continue;
            }
            let matcher = matcher(glob)?;
            let mut matches = self.tenants.iter().filter(|tenant| matcher.is_match(&tenant.name)).peekable();
            if matches.peek().is_none() {
                let hint = did_you_mean(
                    glob,
                    exact.keys().copied(),
                    "`mtmigrate status` lists the tenants; quote a glob for the shell",
                );
                return Err(
                    Diagnostic::new(Code::EMPTY_SELECTION, format!("--tenant {glob} matches no tenant")).hint(hint)
                );
            }
            found.extend(matches.map(|tenant| tenant.id));
        }
        Ok(found)
    }

    fn check_labels(&self, labels: &[String]) -> Result<()> {
        let known: BTreeSet<&str> =
            self.tenants.iter().flat_map(|tenant| tenant.labels.iter()).map(String::as_str).collect();
        match labels.iter().find(|label| !known.contains(label.as_str())) {
            None => Ok(()),
            Some(label) => {
                let list: Vec<&str> = known.iter().copied().take(SHOWN_LABELS).collect();
                let hint = match list.as_slice() {
                    [] => "no tenant has any label".to_owned(),
                    list => format!(
                        "the labels are {}{}",
                        list.join(", "),
                        if known.len() > list.len() { ", …" } else { "" }
                    ),
                };
                Err(Diagnostic::new(Code::EMPTY_SELECTION, format!("no tenant has the label {label}"))
                    .hint(did_you_mean(label, known, &hint)))
            }
        }
    }
}

/// How many labels a hint lists.
const SHOWN_LABELS: usize = 20;

fn matcher(glob: &str) -> Result<GlobMatcher> {
    let built = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
    built.map(|glob| glob.compile_matcher()).map_err(|error| {
        Diagnostic::new(Code::USAGE, format!("--tenant {glob} is no glob"))
            .cause(error.kind().to_string())
            .hint("`*` any characters, `?` one, `[ab]` one of these, `{a,b}` one of these words; `\\*` a star")
    })
}
