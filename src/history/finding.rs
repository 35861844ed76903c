//! One piece of history drift, and how it is told.

use crate::changeset::{Changelog, Changeset, Text, Version};
use crate::error::{Code, Diagnostic, Place, plain, short};

/// A difference between a tenant's history and the changelog that a person must look at.
///
/// Equal on every tenant that has the same difference, so that they are told together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Finding {
    /// The text is not the one that was applied.
    Changed { version: Version, name: String, recorded: u64, expected: u64 },
    /// The changeset has another name than when it was applied. Its text may have changed too.
    Renamed { version: Version, recorded: String, expected: String },
    /// The changelog has no such version, or no text of it for the tenant's engine, but newer ones.
    Missing { version: Version, name: String },
    /// The version is above all that the changelog has: the tenant is ahead.
    Unknown { version: Version, name: String },
    /// A changeset that was not applied, below the newest that was.
    OutOfOrder { version: Version, name: String, newest: Version },
    /// A row that cannot be read. `version` is there if that much could be.
    Strange { version: Option<Version>, row: String, what: String },
}

/// The most tenants that a diagnostic names.
const NAMED: usize = 5;

/// The longest part of a stranger's text that is shown, in characters.
const SHOWN: usize = 60;

impl Finding {
    /// Returns the kind's word. The words are in `status`'s JSON, and never change.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Renamed { .. } => "renamed",
            Self::Missing { .. } => "missing",
            Self::Unknown { .. } => "unknown",
            Self::OutOfOrder { .. } => "out-of-order",
            Self::Strange { .. } => "strange",
        }
    }

    /// Returns the version, where the row has a legible one.
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Changed { version, .. }
            | Self::Renamed { version, .. }
            | Self::Missing { version, .. }
            | Self::Unknown { version, .. }
            | Self::OutOfOrder { version, .. } => Some(*version),
            Self::Strange { version, .. } => *version,
        }
    }

    /// Returns the difference on one line.
    pub fn detail(&self) -> String {
        match self {
            Self::Changed { name, recorded, expected, .. } => {
                format!("{} was changed: checksum {recorded} is recorded, the file's is {expected}", word(name))
            }
            Self::Renamed { recorded, expected, .. } => {
                format!("{} was applied; the changelog has {}", word(recorded), word(expected))
            }
            Self::Missing { name, .. } => format!("{} was applied; the changelog lacks it", word(name)),
            Self::Unknown { name, .. } => format!("{} was applied; the changelog does not reach it", word(name)),
            Self::OutOfOrder { name, newest, .. } => {
                format!("{} was not applied, but version {newest} was", word(name))
            }
            Self::Strange { row, what, .. } => format!("{what}: {row}"),
        }
    }

    /// Tells the finding once, for all tenants that have it.
    pub fn diagnostic(&self, tenants: &[&str], changelog: &Changelog) -> Diagnostic {
        let whom = listed(tenants);
        let changeset = self.version().and_then(|version| changelog.get(version));
        let made = match self {
            Self::Changed { name, version, recorded, expected } => {
                let applied = other_text(changeset, *recorded)
                    .map(|text| format!("what was applied is the text of {}", text.file));
                let restore = "restore the text that was applied, and put what is new into a changeset of its own";
                let made = Diagnostic::new(
                    Code::CHANGED_TEXT,
                    format!("{} was changed after it was applied to {whom}", label(changeset, *version, name)),
                )
                .cause(format!("checksum {recorded} is recorded, the file's is {expected}"))
                .hint(restore);
                applied.into_iter().fold(made, Diagnostic::cause)
            }
            Self::Renamed { version, recorded, expected } => Diagnostic::new(
                Code::CHANGED_TEXT,
                format!("{} was renamed after it was applied to {whom}", label(changeset, *version, expected)),
            )
            .cause(format!("the name {} is recorded", word(recorded)))
            .hint(format!(
                "name the file {}.sql again; the name is part of the checksum",
                label(changeset, *version, recorded)
            )),
            Self::Missing { version, name } => Diagnostic::new(
                Code::MISSING_FILE,
                format!("{} was applied to {whom}, and its file is missing", label(changeset, *version, name)),
            )
            .hint(format!(
                "put the file back into {}; an applied changeset stays in the changelog",
                changelog.folder.display()
            )),
            Self::Unknown { version, name } => {
                let newest = match changelog.newest() {
                    Some(newest) => format!("the changelog ends at version {newest}"),
                    None => "the changelog is empty".to_owned(),
                };
                Diagnostic::new(
                    Code::UNKNOWN_VERSION,
                    format!(
                        "{} was applied to {whom}, and the changelog does not know it",
                        label(changeset, *version, name)
                    ),
                )
                .cause(newest)
                .hint("a newer release was here: check out the one that has this changeset")
            }
            Self::OutOfOrder { version, name, newest } => {
                let above = changelog.newest().map_or(*newest, |last| last.max(*newest));
                Diagnostic::new(
                    Code::OUT_OF_ORDER,
                    format!(
                        "{} is older than version {newest}, which {whom} already has",
                        label(changeset, *version, name)
                    ),
                )
                .hint(format!(
                    "give it a version above {above}, or, if its order does not matter, run with --allow-out-of-order"
                ))
            }
            Self::Strange { row, what, .. } => {
                Diagnostic::new(Code::STRANGE_ROW, format!("a history row of {whom} is not understood: {what}"))
                    .cause(row.clone())
                    .hint("correct the row in refinery_schema_history; refinery and mtmigrate never write such a row")
            }
        };
        let made = made.state("nothing was changed");
        match self.text(changeset) {
            Some(text) => made.at(Place::file(&text.file)),
            None => made,
        }
    }

    /// Returns the text that it is about, if it is about one.
    fn text<'c>(&self, changeset: Option<&'c Changeset>) -> Option<&'c Text> {
        let mut texts = changeset?.texts();
        match self {
            Self::Changed { expected, .. } => texts.find(|text| text.matches(*expected)),
            Self::Renamed { .. } | Self::OutOfOrder { .. } => texts.next(),
            Self::Missing { .. } | Self::Unknown { .. } | Self::Strange { .. } => None,
        }
    }
}

/// Returns a stranger's text, quoted and short; line ends and control characters in it become visible.
pub(super) fn shown(text: &str) -> String {
    plain(&format!("{:?}", short(text, SHOWN)))
}

/// Returns a changeset's name as it is if it is one, else quoted.
fn word(name: &str) -> String {
    let clean =
        !name.is_empty() && name.chars().count() <= SHOWN && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if clean { name.to_owned() } else { shown(name) }
}

/// Names a version as its file does; what the changelog does not know is taken for a `V…`.
fn label(changeset: Option<&Changeset>, version: Version, name: &str) -> String {
    match changeset {
        Some(changeset) if changeset.name == name => changeset.to_string(),
        _ => format!("V{version}__{}", word(name)),
    }
}

/// Returns the changeset's text that a recorded checksum is of: one for another engine, or the default one before the
/// engine got its own.
fn other_text(changeset: Option<&Changeset>, recorded: u64) -> Option<&Text> {
    changeset?.texts().find(|text| text.matches(recorded))
}

fn listed(tenants: &[&str]) -> String {
    let named: Vec<&str> = tenants.iter().take(NAMED).copied().collect();
    let word = if tenants.len() == 1 { "tenant" } else { "tenants" };
    match tenants.len() - named.len() {
        0 => format!("{word} {}", named.join(", ")),
        more => format!("{word} {} and {more} more", named.join(", ")),
    }
}
