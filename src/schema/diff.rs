//! How two schemas differ: object by object, and as one readable text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::ignore::Ignores;
use super::object::{Kind, Object};
use super::snapshot::Snapshot;

/// The longest attribute that a sentence shows, in characters; more is for the unified diff.
const SHOWN: usize = 60;

/// One object that is not the same in two schemas. Persisted as JSON where a person accepted it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Difference {
    /// What it is.
    pub kind: Kind,
    /// The relation that it belongs to.
    pub parent: Option<String>,
    /// Its name, as in [`Object::name`].
    pub object: String,
    /// Those of its attributes that differ, as they are expected; absent where the object is not expected at all.
    pub expected: Option<String>,
    /// As they were found; absent where the object is missing.
    pub found: Option<String>,
}

impl Difference {
    /// Returns it as a clause: ``column `orders.note` is `varchar(80)`, expected `text` ``.
    pub fn sentence(&self) -> String {
        let what = format!("{} `{}`", self.kind, self.object);
        let fits = |text: &str| !text.contains('\n') && text.chars().count() <= SHOWN;
        match (&self.expected, &self.found) {
            (_, None) => format!("{what} is missing"),
            (None, _) => format!("{what} is not expected"),
            (Some(expected), Some(found)) if fits(expected) && fits(found) => {
                format!("{what} is `{found}`, expected `{expected}`")
            }
            _ => format!("{what} has another definition"),
        }
    }
}

/// Returns what is not the same, in the order in which a description lists objects.
///
/// The two must be comparable.
pub fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<Difference> {
    let mut theirs: BTreeMap<_, &Object> = found.objects().iter().map(|object| (object.identity(), object)).collect();
    let mut all: Vec<(&Object, Difference)> = Vec::new();
    for object in expected.objects() {
        match theirs.remove(&object.identity()) {
            None => all.push((object, difference(object, Some(whole(object)), None))),
            Some(other) if other == object => {}
            Some(other) => {
                let (expected, found) = apart(object, other);
                all.push((object, difference(object, Some(expected), Some(found))));
            }
        }
    }
    all.extend(theirs.into_values().map(|object| (object, difference(object, None, Some(whole(object))))));
    all.sort_by(|(a, _), (b, _)| a.place().cmp(&b.place()));
    all.into_iter().map(|(_, difference)| difference).collect()
}

/// Returns what the engine says does not work: indexes that are not valid.
pub fn broken(found: &Snapshot) -> impl Iterator<Item = Difference> {
    let broken = found.objects().iter().filter(|object| object.is_broken());
    broken.map(|object| difference(object, Some("valid".into()), Some("invalid".into())))
}

fn difference(object: &Object, expected: Option<String>, found: Option<String>) -> Difference {
    Difference { kind: object.kind, parent: object.parent.clone(), object: object.name.clone(), expected, found }
}

fn whole(object: &Object) -> String {
    object.attributes.iter().map(|attribute| attribute.words()).collect::<Vec<_>>().join(", ")
}

/// Returns the attributes that differ, in words, of one and of the other.
fn apart(one: &Object, other: &Object) -> (String, String) {
    let mut names: Vec<&str> = one.attributes.iter().map(|attribute| &*attribute.name).collect();
    names.extend(other.attributes.iter().map(|a| &*a.name).filter(|name| one.get(name).is_none()));
    names.retain(|name| one.get(name) != other.get(name));
    let words = |object: &Object| {
        let said = names.iter().map(|name| match object.attributes.iter().find(|a| a.name == *name) {
            Some(attribute) => attribute.words(),
            None if *name == "null" => "nullable".to_owned(),
            None => format!("no {name}"),
        });
        said.collect::<Vec<_>>().join(", ")
    };
    (words(one), words(other))
}

/// Returns one unified diff of two descriptions, three lines of context around each change. Empty if nothing differs.
///
/// `from` and `to` name the sides. What is ignored stands on neither.
pub fn unified((from, expected): (&str, &Snapshot), (to, found): (&str, &Snapshot), ignores: &Ignores) -> String {
    let (old, new) = (described(expected, ignores), described(found, ignores));
    if old == new {
        return String::new();
    }
    TextDiff::from_lines(&old, &new).unified_diff().context_radius(3).header(from, to).to_string()
}

/// Describes a schema for people: a line for each object, what belongs to a relation under it, further lines of a
/// definition behind a bar.
fn described(snapshot: &Snapshot, ignores: &Ignores) -> String {
    let mut text = String::new();
    for object in snapshot.objects().iter().filter(|o| !ignores.ignore(o.kind, o.parent.as_deref(), &o.name)) {
        let indent = if object.parent.is_some() { "  " } else { "" };
        let words = whole(object);
        let mut lines = words.lines();
        let first = lines.next().unwrap_or_default();
        let colon = if first.is_empty() { "" } else { ": " };
        text.push_str(&format!("{indent}{} {}{colon}{first}\n", object.kind, object.name));
        for line in lines {
            text.push_str(&format!("{indent}  | {line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Basis, Include};

    fn snapshot(objects: Vec<Object>) -> Snapshot {
        Snapshot::new(&Basis::new("postgres-15", Include::default()), objects)
    }

    fn note(kind: &str) -> Object {
        Object::new(Kind::Column, Some("orders"), "orders.note").with("type", kind).with("null", "not null")
    }

    fn table() -> Object {
        Object::new(Kind::Table, None, "orders")
    }

    #[test]
    fn a_difference_names_the_object_and_only_what_differs_of_it() {
        let index = Object::new(Kind::Index, Some("orders"), "orders_ref").with("definition", "CREATE INDEX …");
        let extra = Object::new(Kind::Function, None, "f()").with("body", "a\nb");
        let one = snapshot(vec![table(), note("text"), index]);
        let other = snapshot(vec![table().with_flag("row security", true), note("varchar(80)"), extra]);
        let said: Vec<String> = differences(&one, &other).iter().map(Difference::sentence).collect();
        assert_eq!(
            said,
            [
                "function `f()` is not expected",
                "table `orders` is `row security`, expected `no row security`",
                "column `orders.note` is `varchar(80)`, expected `text`",
                "index `orders_ref` is missing",
            ]
        );
        assert!(differences(&one, &one).is_empty());
    }

    #[test]
    fn the_unified_diff_shows_both_sides_and_leaves_out_what_is_ignored() {
        let one = snapshot(vec![table(), note("text")]);
        let body = Object::new(Kind::Function, None, "f()").with("language", "sql").with("body", "SELECT 1\nSELECT 2");
        let other = snapshot(vec![table(), note("varchar(80)"), body]);
        let text = unified(("expected", &one), ("acme", &other), &Ignores::default());
        assert_eq!(
            text,
            "--- expected\n+++ acme\n@@ -1,2 +1,4 @@\n+function f(): language sql, body SELECT 1\n+  | SELECT 2\n \
             table orders\n-  column orders.note: text, not null\n+  column orders.note: varchar(80), not null\n"
        );
        assert_eq!(unified(("a", &one), ("b", &one), &Ignores::default()), "");
    }
}
