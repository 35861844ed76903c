//! Globs with `*` and `?` that say what each `*` matched. Pure.

use std::fmt;

/// A pattern: `*` is any characters, `?` one, everything else itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(String);

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Glob {
    /// Makes a pattern of a text; any text is one.
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Returns how many `*` it has.
    pub(super) fn stars(&self) -> usize {
        self.0.matches('*').count()
    }

    /// Whether it has a `*` or a `?`.
    pub(super) fn is_open(&self) -> bool {
        self.0.contains(['*', '?'])
    }

    /// Returns what each `*` matched if the whole text matches. A `*` takes as few characters as it can, the first before
    /// the second.
    pub(super) fn captures<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        let pieces: Vec<&str> = self.0.split('*').collect();
        let [first, rest @ ..] = pieces.as_slice() else { return None };
        let mut at = prefix(name, first)?;
        let mut found = Vec::with_capacity(rest.len());
        for (no, piece) in rest.iter().enumerate() {
            let is_last = no + 1 == rest.len();
            // The pieces before the last are taken where they come first; the last must end the text.
            let ends = (at..=name.len()).filter(|&end| name.is_char_boundary(end));
            let (end, next) = ends
                .filter_map(|end| Some((end, end + prefix(&name[end..], piece)?)))
                .find(|&(_, next)| !is_last || next == name.len())?;
            found.push(&name[at..end]);
            at = next;
        }
        (at == name.len()).then_some(found)
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.captures(name).is_some()
    }
}

/// Returns the length of the text's beginning that a piece without `*` matches.
fn prefix(text: &str, piece: &str) -> Option<usize> {
    let mut chars = text.chars();
    for wanted in piece.chars() {
        let found = chars.next()?;
        if wanted != '?' && wanted != found {
            return None;
        }
    }
    Some(text.len() - chars.as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_says_what_it_matched_and_takes_as_little_as_it_can() {
        for (pattern, name, captured) in [
            ("tenant_*", "tenant_acme", Some(vec!["acme"])),
            ("tenant_*", "tenant_", Some(vec![""])),
            ("tenant_*", "Tenant_x", None),
            ("tenant_*", "xtenant_y", None),
            ("*_app", "ü_app", Some(vec!["ü"])),
            ("*_app", "a_app_app", Some(vec!["a_app"])),
            ("*_*", "a_b_c", Some(vec!["a", "b_c"])),
            ("a*b*c", "aXbYbZc", Some(vec!["X", "YbZ"])),
            ("a*b*c", "acb", None),
            ("t?", "tü", Some(vec![])),
            ("t?", "t", None),
            ("t?", "tab", None),
            ("?*", "ab", Some(vec!["b"])),
            ("*", "", Some(vec![""])),
            ("**", "ab", Some(vec!["", "ab"])),
            ("", "", Some(vec![])),
            ("", "a", None),
            ("acme", "acme", Some(vec![])),
            ("a.c[d]", "abc[d]", None),
        ] {
            assert_eq!(Glob::new(pattern).captures(name), captured, "{pattern} {name}");
        }
    }

    #[test]
    fn a_long_name_against_many_stars_ends_soon() {
        let pattern = Glob::new(&"a*".repeat(50));
        assert!(!Glob::new(&format!("{pattern}b")).matches(&"a".repeat(5_000)));
    }
}
