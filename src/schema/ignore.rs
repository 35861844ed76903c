//! Rules for what is not drift: objects that a person said may differ.

use globset::{GlobBuilder, GlobMatcher};
use time::Date;

use super::diff::Difference;
use super::object::Kind;

/// Which objects a rule is about: a glob of names, and maybe one kind. `table tmp_*`, `*.legacy_*`.
///
/// What belongs to a relation is meant with it. `*` matches any characters.
#[derive(Clone, Debug)]
pub struct Pattern {
    kind: Option<Kind>,
    glob: GlobMatcher,
    written: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(written: &str) -> Result<Self, String> {
        let (kind, glob) = match written.split_once(' ') {
            Some((word, rest)) => match Kind::parse(word) {
                Some(kind) => (Some(kind), rest.trim()),
                None => {
                    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
                    return Err(format!("`{word}` is no kind of object; the kinds are {}", kinds.join(", ")));
                }
            },
            None => (None, written),
        };
        if glob.is_empty() {
            return Err("it names no object".into());
        }
        let built = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
        let glob = built.map_err(|error| error.kind().to_string())?.compile_matcher();
        Ok(Self { kind, glob, written: written.to_owned() })
    }

    /// Returns it as it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    fn matches(&self, kind: Kind, parent: Option<&str>, name: &str) -> bool {
        let itself = self.kind.is_none_or(|wanted| wanted == kind) && self.glob.is_match(name);
        let relation = |wanted: Kind| {
            use Kind::{ForeignTable, MaterializedView, Table, View};
            matches!(wanted, Table | View | MaterializedView | ForeignTable)
        };
        itself || parent.is_some_and(|parent| self.kind.is_none_or(relation) && self.glob.is_match(parent))
    }
}

/// One rule of `drift: ignore:`.
#[derive(Clone, Debug)]
pub struct Ignore {
    /// The objects.
    pub objects: Vec<Pattern>,
    /// The labels of the tenants that it is for, any of them; all tenants if there is none.
    pub labels: Vec<String>,
    /// Why, in a person's words.
    pub reason: String,
    /// The last day on which it holds; it always does without.
    pub until: Option<Date>,
}

impl Ignore {
    /// Whether the rule is over.
    pub fn is_expired(&self, today: Date) -> bool {
        self.until.is_some_and(|until| today > until)
    }
}

/// The rules that hold for one tenant.
#[derive(Clone, Debug, Default)]
pub struct Ignores(Vec<Pattern>);

impl Ignores {
    /// Chooses the rules that hold today for a tenant with these labels.
    pub fn of(rules: &[Ignore], labels: impl Fn(&str) -> bool, today: Date) -> Self {
        let holds = |rule: &&Ignore| {
            !rule.is_expired(today) && (rule.labels.is_empty() || rule.labels.iter().any(|label| labels(label)))
        };
        Self(rules.iter().filter(holds).flat_map(|rule| rule.objects.iter().cloned()).collect())
    }

    /// Whether an object may differ.
    pub fn ignore(&self, kind: Kind, parent: Option<&str>, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(kind, parent, name))
    }

    /// Whether a difference is none.
    pub fn excuse(&self, difference: &Difference) -> bool {
        self.ignore(difference.kind, difference.parent.as_deref(), &difference.object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    #[test]
    fn a_pattern_means_an_object_and_what_belongs_to_it() {
        let ignored = |written: &str, kind, parent, name| Pattern::parse(written).unwrap().matches(kind, parent, name);
        for (written, kind, parent, name, is) in [
            ("tmp_*", Kind::Table, None, "tmp_a", true),
            ("tmp_*", Kind::Function, None, "tmp_a", true),
            ("table tmp_*", Kind::Function, None, "tmp_a", false),
            ("table tmp_*", Kind::Index, Some("tmp_a"), "a_idx", true),
            ("table tmp_*", Kind::Index, Some("orders"), "tmp_idx", false),
            ("column orders.note", Kind::Column, Some("orders"), "orders.note", true),
            ("column orders.note", Kind::Column, Some("orders"), "orders.notes", false),
            ("column orders", Kind::Column, Some("orders"), "orders.note", false),
            ("*.legacy_*", Kind::Column, Some("a"), "a.legacy_x", true),
        ] {
            assert_eq!(ignored(written, kind, parent, name), is, "{written} {name}");
        }
        for wrong in ["", "tables x", "table ", "a[", "table {"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_holds_for_its_labels_until_its_last_day() {
        let rule = Ignore {
            objects: vec![Pattern::parse("tmp_*").unwrap()],
            labels: vec!["eu".into()],
            reason: "an import is under way".into(),
            until: Some(date!(2026 - 11 - 22)),
        };
        let holds = |label: &str, today| {
            let ignores = Ignores::of(std::slice::from_ref(&rule), |l| l == label, today);
            ignores.ignore(Kind::Table, None, "tmp_a")
        };
        assert!(holds("eu", date!(2026 - 11 - 22)));
        assert!(!holds("eu", date!(2026 - 11 - 23)));
        assert!(!holds("us", date!(2026 - 11 - 22)));
    }
}
