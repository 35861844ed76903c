//! File names: refinery's grammar, and how to name what misses it.
//!
//! `V<version>__<name>.sql`, `U…` likewise, and `….down.sql`. Refinery skips other names silently; here each gets a
//! reason and, where one can be derived, the right name.

use super::{Kind, Version};
use crate::error::Code;

/// What a changeset's file name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileName {
    pub kind: Kind,
    pub version: Version,
    pub name: String,
    pub role: Role,
}

/// What a file's text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Applies the changeset.
    Up,
    /// Takes it back: `.down.sql`.
    Down,
}

/// What a file name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Changeset(FileName),
    Misnamed(Misnamed),
    /// An editor's backup of a changeset, `V1__x.sql~`.
    Backup,
    /// Nothing of ours.
    Other,
}

/// A name that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misnamed {
    pub code: Code,
    /// Why, as the end of a sentence that begins with the file's name.
    pub why: String,
    /// The right name, where it can be derived.
    pub right: Option<String>,
}

/// Reads a file name, without its folder.
pub(super) fn read(file_name: &str) -> Verdict {
    if file_name.starts_with('.') {
        return Verdict::Other;
    }
    if let Some(stem) = file_name.strip_suffix(".sql") {
        let (stem, role) = split_role(stem);
        return match strict(stem) {
            Some((kind, version, name)) => match version.parse() {
                Ok(version) => {
                    Verdict::Changeset(FileName { kind, version: Version(version), name: name.into(), role })
                }
                Err(_) => Verdict::Misnamed(too_large(version)),
            },
            None => Verdict::Misnamed(Loose::read(stem, role).misnamed(None)),
        };
    }
    if let Some(stem) = strip_extension(file_name, ".sql") {
        let (stem, role) = split_role(stem);
        return Verdict::Misnamed(Loose::read(stem, role).misnamed(Some("its extension is not `.sql` in lower case")));
    }
    other_extension(file_name)
}

/// Returns whether a text can be a changeset's name: refinery's `\w+`, letters and digits of any script.
pub(super) fn is_word(name: &str) -> bool {
    refinery::Migration::unapplied(&format!("V1__{name}"), "").is_ok_and(|m| m.name() == name)
}

/// Turns what people put between words into underscores.
pub(super) fn underscored(name: &str) -> String {
    name.trim().replace([' ', '-', '.'], "_")
}

/// Takes a stem apart as refinery does; the version is any number of digits.
fn strict(stem: &str) -> Option<(Kind, &str, &str)> {
    let (kind, rest) = match stem.strip_prefix('V') {
        Some(rest) => (Kind::Versioned, rest),
        None => (Kind::Unversioned, stem.strip_prefix('U')?),
    };
    let (version, name) = rest.split_once("__")?;
    let digits = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit());
    (digits && is_word(name)).then_some((kind, version, name))
}

fn split_role(stem: &str) -> (&str, Role) {
    match stem.strip_suffix(".down") {
        Some(stem) => (stem, Role::Down),
        None => (stem, Role::Up),
    }
}

/// Strips an extension in any case.
fn strip_extension<'n>(file_name: &'n str, extension: &str) -> Option<&'n str> {
    let at = file_name.len().checked_sub(extension.len())?;
    let (stem, found) = file_name.split_at_checked(at)?;
    found.eq_ignore_ascii_case(extension).then_some(stem)
}

/// Judges a name that is no `.sql` at all: `V3__x.txt`, `V3__x`, `V3__x.sql.bak`.
fn other_extension(file_name: &str) -> Verdict {
    let Some((head, tail)) = file_name.split_once("__") else { return Verdict::Other };
    let mut letters = head.chars();
    let prefixed = matches!(letters.next(), Some('V' | 'v' | 'U' | 'u'));
    let version = letters.as_str();
    if !prefixed || version.is_empty() || !version.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_')) {
        return Verdict::Other;
    }
    if tail.ends_with('~') {
        return Verdict::Backup;
    }
    if tail.ends_with(".rs") {
        let why = "it is a Rust migration, and mtmigrate runs SQL alone".to_owned();
        return Verdict::Misnamed(Misnamed { code: Code::MISNAMED_CHANGESET, why, right: None });
    }
    let (name, extensions) = tail.split_once('.').unwrap_or((tail, ""));
    let role = if extensions.split('.').any(|e| e == "down") { Role::Down } else { Role::Up };
    let stem = &file_name[..head.len() + 2 + name.len()];
    Verdict::Misnamed(Loose::read(stem, role).misnamed(Some("its extension is not `.sql`")))
}

fn too_large(version: &str) -> Misnamed {
    let why = format!("its version {version} is beyond the largest one, {}", i64::MAX);
    Misnamed { code: Code::BAD_VERSION, why, right: None }
}

/// A stem, read with goodwill.
struct Loose<'s> {
    prefix: Option<char>,
    version: &'s str,
    separator: &'s str,
    name: &'s str,
    role: Role,
}

impl<'s> Loose<'s> {
    fn read(stem: &'s str, mut role: Role) -> Self {
        let mut rest = stem.trim_start_matches(|c: char| !c.is_alphanumeric());
        let mut prefix = None;
        let mut letters = rest.chars();
        if let Some(letter @ ('V' | 'v' | 'U' | 'u')) = letters.next()
            && letters.as_str().starts_with(|c: char| c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | ' '))
        {
            // What stands before the prefix is wrong too, and the reason given is the prefix.
            prefix = (rest.len() == stem.len()).then_some(letter);
            rest = letters.as_str();
        }
        let (version, rest) = split_version(rest);
        let (separator, mut name) = cut(rest, |c| matches!(c, '_' | '-' | '.' | ' '));
        for (suffix, meant) in [(".up", Role::Up), (".down", Role::Down)] {
            if let Some(cut) = strip_extension(name, suffix) {
                (name, role) = (cut, meant);
            }
        }
        Self { prefix, version, separator, name, role }
    }

    /// Says what is wrong, first things first; `extension` is what is wrong with the extension, if that is all.
    fn misnamed(&self, extension: Option<&str>) -> Misnamed {
        let code = Code::MISNAMED_CHANGESET;
        let why = if self.version.is_empty() {
            "it has no version".to_owned()
        } else if !self.version.bytes().all(|b| b.is_ascii_digit()) {
            format!("its version {} is not an integer", self.version)
        } else if self.version.parse::<i64>().is_err() {
            return too_large(self.version);
        } else if !matches!(self.prefix, Some('V' | 'U')) {
            "it does not begin with a capital V (or U)".to_owned()
        } else if self.name.is_empty() {
            "it has no name after the version".to_owned()
        } else if self.separator != "__" {
            "between version and name stand two underscores".to_owned()
        } else if let Some(odd) = self.name.chars().find(|c| !is_word(&c.to_string())) {
            format!("a name holds letters, digits and underscores, and no {odd:?}")
        } else {
            extension.unwrap_or("its end is not `.sql` or `.down.sql`").to_owned()
        };
        Misnamed { code, why, right: self.right() }
    }

    fn right(&self) -> Option<String> {
        let prefix = self.prefix.unwrap_or('V').to_ascii_uppercase();
        let version: i64 = self.version.parse().ok()?;
        let name = underscored(self.name);
        let end = match self.role {
            Role::Up => "sql",
            Role::Down => "down.sql",
        };
        is_word(&name).then(|| format!("{prefix}{version}__{name}.{end}"))
    }
}

/// Splits the version off: digits, and what other tools join them by (`1.2__x`, `1_2__x`, `1-2__x`).
fn split_version(text: &str) -> (&str, &str) {
    let head = text.split_once("__").map_or("", |(head, _)| head);
    let joined = head.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    if joined && head.starts_with(|c: char| c.is_ascii_digit()) && head.ends_with(|c: char| c.is_ascii_digit()) {
        return text.split_at(head.len());
    }
    let (digits, rest) = cut(text, |c| c.is_ascii_digit());
    match rest.strip_prefix('.').map(|fraction| cut(fraction, |c| c.is_ascii_digit() || c == '.').0) {
        Some(fraction) if !digits.is_empty() && fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            text.split_at(digits.len() + 1 + fraction.len())
        }
        _ => (digits, rest),
    }
}

/// Splits before the first character that does not satisfy `wanted`.
fn cut(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !wanted(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(file_name: &str) -> Misnamed {
        match read(file_name) {
            Verdict::Misnamed(misnamed) => misnamed,
            other => panic!("{file_name}: {other:?}"),
        }
    }

    #[test]
    fn refinerys_names_are_read() {
        for (file_name, kind, version, name, role) in [
            ("V1__a.sql", Kind::Versioned, 1, "a", Role::Up),
            ("V01__a_b.sql", Kind::Versioned, 1, "a_b", Role::Up),
            ("U0___9.sql", Kind::Unversioned, 0, "_9", Role::Up),
            ("V1__größe.sql", Kind::Versioned, 1, "größe", Role::Up),
            ("V20261121093000__x.sql", Kind::Versioned, 20_261_121_093_000, "x", Role::Up),
            ("V9223372036854775807__x__y.sql", Kind::Versioned, i64::MAX, "x__y", Role::Up),
            ("V2__order_search.down.sql", Kind::Versioned, 2, "order_search", Role::Down),
        ] {
            let name = FileName { kind, version: Version(version), name: name.into(), role };
            assert_eq!(read(file_name), Verdict::Changeset(name), "{file_name}");
        }
    }

    #[test]
    fn a_misnamed_file_is_told_its_right_name() {
        for (file_name, right) in [
            ("V3_add.sql", "V3__add.sql"),
            ("V3-add.sql", "V3__add.sql"),
            ("V3___.SQL", ""),
            ("V1__add-users.sql", "V1__add_users.sql"),
            ("V1__add users.sql", "V1__add_users.sql"),
            ("V1_add-users.down.sql", "V1__add_users.down.sql"),
            ("v1__x.sql", "V1__x.sql"),
            ("u1__x.sql", "U1__x.sql"),
            ("|1__x.sql", "V1__x.sql"),
            ("1__x.sql", "V1__x.sql"),
            ("000042_create_users.up.sql", "V42__create_users.sql"),
            ("000042_create_users.down.sql", "V42__create_users.down.sql"),
            ("20240131120000_x.sql", "V20240131120000__x.sql"),
            ("V3__x.SQL", "V3__x.sql"),
            ("V3__x.Down.sql", "V3__x.down.sql"),
            ("V3__x.sql.txt", "V3__x.sql"),
            ("V3__x.down.sql.bak", "V3__x.down.sql"),
            ("V3__x.txt", "V3__x.sql"),
            ("V3__x", "V3__x.sql"),
            ("V1.2__x.sql", ""),
            ("V1_2__x.sql", ""),
            ("V1.2_x.sql", ""),
            ("V__x.sql", ""),
            ("V1__.sql", ""),
            ("V1.sql", ""),
            ("R__views.sql", ""),
            ("schema.sql", ""),
            ("update_users.sql", ""),
            ("V1__a*b.sql", ""),
            ("V3__x.rs", ""),
        ] {
            let misnamed = refused(file_name);
            assert_eq!(misnamed.right.as_deref().unwrap_or_default(), right, "{file_name}");
            assert_eq!(misnamed.code, Code::MISNAMED_CHANGESET);
            if !right.is_empty() {
                assert!(matches!(read(right), Verdict::Changeset(_)), "{right}");
            }
        }
    }

    #[test]
    fn the_reason_is_the_first_thing_that_is_wrong() {
        for (file_name, why) in [
            ("V3_add.sql", "between version and name stand two underscores"),
            ("V1__add-users.sql", "a name holds letters, digits and underscores, and no '-'"),
            ("v1__x.sql", "it does not begin with a capital V (or U)"),
            ("|1__x.sql", "it does not begin with a capital V (or U)"),
            ("V1.2__x.sql", "its version 1.2 is not an integer"),
            ("V1_2__x.sql", "its version 1_2 is not an integer"),
            ("V__x.sql", "it has no version"),
            ("V1__.sql", "it has no name after the version"),
            ("V3__x.txt", "its extension is not `.sql`"),
        ] {
            assert_eq!(refused(file_name).why, why, "{file_name}");
        }
    }

    #[test]
    fn a_version_beyond_64_bits_is_out_of_range() {
        for file_name in ["V9223372036854775808__x.sql", "v99999999999999999999_x.sql"] {
            assert_eq!(refused(file_name).code, Code::BAD_VERSION);
        }
    }

    #[test]
    fn what_is_nothing_of_ours_is_passed_over() {
        for file_name in ["README.md", ".gitkeep", ".V1__x.sql.swp", ".sql", "Vacation__plan.txt", "v2_notes.txt"] {
            assert_eq!(read(file_name), Verdict::Other, "{file_name}");
        }
        assert_eq!(read("V1__x.sql~"), Verdict::Backup);
    }

    proptest! {
        #[test]
        fn every_sql_file_is_a_changeset_or_gets_a_usable_name(file_name in "[VvUu|]?[0-9]{0,21}[_.\\- ]{0,3}\\PC{0,8}(\\.down)?\\.sql") {
            match read(&file_name) {
                Verdict::Changeset(_) => {}
                Verdict::Misnamed(Misnamed { right: None, .. }) => {}
                Verdict::Misnamed(Misnamed { right: Some(right), .. }) => {
                    prop_assert!(matches!(read(&right), Verdict::Changeset(_)), "{} -> {}", file_name, right);
                }
                other => prop_assert!(file_name.starts_with('.'), "{:?}", other),
            }
        }
    }
}
