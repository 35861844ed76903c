//! The next changeset's file name.

use time::{OffsetDateTime, UtcOffset};

use super::name::is_word;
use super::{Changelog, Version};
use crate::error::{Code, Diagnostic, Result};

/// How versions are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// One more than the newest.
    Sequential,
    /// The time in UTC as 14 digits, `20261121093000`.
    Timestamp(OffsetDateTime),
}

/// The longest name in bytes, so that `V<version>__<name>.down.sql` fits the 255 that file systems allow.
const NAME_LIMIT: usize = 200;

/// Names the next changeset's file, `V8__add_invoices.sql`.
///
/// Spaces and hyphens in the name become underscores. The version is always above the newest one.
///
/// # Errors
/// `MT113` for a name that no file may bear, `MT128` after the largest version.
pub fn next_file_name(changelog: &Changelog, name: &str, numbering: Numbering) -> Result<String> {
    let name = checked(name)?;
    let newest = changelog.newest().map_or(0, |Version(newest)| newest);
    let next = newest.checked_add(1).ok_or_else(|| {
        Diagnostic::new(Code::BAD_VERSION, format!("there is no version above {newest}"))
            .hint("the newest changeset's version is the largest there is; has it a digit too many?")
    })?;
    let version = match numbering {
        Numbering::Sequential => next,
        Numbering::Timestamp(now) => next.max(digits(now)),
    };
    Ok(format!("V{version}__{name}.sql"))
}

fn checked(name: &str) -> Result<String> {
    let refuse =
        |why: String| Diagnostic::new(Code::BAD_NAME, why).hint("say it in words: `mtmigrate new add_invoices`");
    let made = name.trim().replace([' ', '-'], "_");
    if made.is_empty() {
        return Err(refuse("a changeset needs a name".to_owned()));
    }
    if let Some(odd) = made.chars().find(|c| !is_word(&c.to_string())) {
        return Err(refuse(format!("a changeset's name holds letters, digits and underscores, and no {odd:?}")));
    }
    if made.len() > NAME_LIMIT {
        return Err(refuse(format!("the name has {} bytes, and at most {NAME_LIMIT} fit a file name", made.len())));
    }
    Ok(made)
}

fn digits(now: OffsetDateTime) -> i64 {
    let now = now.to_offset(UtcOffset::UTC);
    let date = (i64::from(now.year()) * 100 + i64::from(u8::from(now.month()))) * 100 + i64::from(now.day());
    ((date * 100 + i64::from(now.hour())) * 100 + i64::from(now.minute())) * 100 + i64::from(now.second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changeset::{Changeset, Kind};
    use time::macros::datetime;

    fn changelog(newest: Option<i64>) -> Changelog {
        let changeset = newest.map(|version| Changeset {
            version: Version(version),
            name: "x".into(),
            kind: Kind::Versioned,
            default: None,
            variants: Default::default(),
            down: None,
            down_variants: Default::default(),
        });
        Changelog { changesets: changeset.into_iter().collect(), ..Default::default() }
    }

    fn next(newest: Option<i64>, name: &str, numbering: Numbering) -> Result<String> {
        next_file_name(&changelog(newest), name, numbering)
    }

    #[test]
    fn the_next_version_is_above_the_newest() {
        let now = Numbering::Timestamp(datetime!(2026-11-21 09:30:00 +1));
        assert_eq!(next(None, "a", Numbering::Sequential).unwrap(), "V1__a.sql");
        assert_eq!(next(Some(7), "add big-table", Numbering::Sequential).unwrap(), "V8__add_big_table.sql");
        assert_eq!(next(Some(20_251_121_093_000), "größe", now).unwrap(), "V20261121083000__größe.sql");
        assert_eq!(next(Some(20_261_121_083_000), "a", now).unwrap(), "V20261121083001__a.sql", "the same second");
        assert_eq!(next(Some(i64::MAX), "a", now).unwrap_err().code(), Code::BAD_VERSION);
    }

    #[test]
    fn a_name_that_no_file_may_bear_is_refused() {
        for name in ["", "  ", "a.sql", "a/b", "../a", "a'b", "a\0", "a\nb", &"x".repeat(201)] {
            assert_eq!(next(None, name, Numbering::Sequential).unwrap_err().code(), Code::BAD_NAME, "{name:?}");
        }
    }
}
