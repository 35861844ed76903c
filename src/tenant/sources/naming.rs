//! How discovered tenants are named: by what the `*` of a glob matched. Pure.

use crate::error::plain;

/// How a tenant is named: texts, and between them what a `*` matched (from 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Star(usize),
}

impl Naming {
    /// Names tenants by the whole of what matches.
    pub(super) fn whole() -> Self {
        Self(Vec::new())
    }

    /// Reads how tenants are named, by a pattern with so many `*`. An empty one is the whole name.
    pub(super) fn read(text: &str, stars: usize) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some(at) = rest.find('{') {
            let (before, braces) = rest.split_at(at);
            pieces.push(Piece::Text(before.to_owned()));
            if let Some(after) = braces.strip_prefix("{{") {
                pieces.push(Piece::Text("{".to_owned()));
                rest = after;
                continue;
            }
            let (inside, after) = braces[1..].split_once('}').ok_or("`{` has no `}`")?;
            let star = inside.parse::<usize>().map_err(|_| format!("`{{{}}}` is not known here", plain(inside)))?;
            if star == 0 || star > stars {
                return Err(format!("`{{{star}}}` is not there: the glob has {stars} `*`"));
            }
            pieces.push(Piece::Star(star - 1));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// Returns the name of what matches, with what each `*` matched.
    pub(super) fn of(&self, whole: &str, captures: &[&str]) -> String {
        if self.0.is_empty() {
            return whole.to_owned();
        }
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Star(star) => captures.get(*star).copied().unwrap_or_default().to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::glob::Glob;
    use super::*;

    #[test]
    fn a_tenant_is_named_by_what_the_stars_matched() {
        for (naming, pattern, name, made) in [
            ("{1}", "tenant_*", "tenant_acme", Ok("acme")),
            ("", "tenant_*", "tenant_acme", Ok("")),
            ("{2}-{1}", "*_*", "a_b", Ok("b-a")),
            ("{{x}", "*", "a", Ok("{x}")),
            ("{2}", "*", "a", Err("`{2}` is not there: the glob has 1 `*`")),
            ("{0}", "*", "a", Err("`{0}` is not there: the glob has 1 `*`")),
            ("{x}", "*", "a", Err("`{x}` is not known here")),
            ("{1", "*", "a", Err("`{` has no `}`")),
        ] {
            let glob = Glob::new(pattern);
            let naming = Naming::read(naming, glob.stars());
            let named = naming.map(|naming| naming.of(name, &glob.captures(name).unwrap()));
            assert_eq!(named.as_deref().map_err(String::as_str), made, "{pattern} {name}");
        }
        assert_eq!(Naming::whole().of("tenant_acme", &["acme"]), "tenant_acme");
    }
}
