//! A whole schema: its objects in one order, and the hash of each and of all.

use std::fmt::Write as _;

use super::fingerprint::{Basis, Fingerprint, object_hash};
use super::object::{Attribute, Kind, Object};

/// The canonical description of a tenant's live schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    objects: Vec<Object>,
    fingerprint: Fingerprint,
}

/// Why a text is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrangeSnapshot {
    /// The line, from 1.
    pub line: usize,
}

impl Snapshot {
    /// Sorts the objects and hashes them.
    pub fn new(basis: &Basis, mut objects: Vec<Object>) -> Self {
        objects.sort_by(|a, b| a.place().cmp(&b.place()));
        let fingerprint = Fingerprint::of(basis, objects.iter().map(|object| object_hash(&line(object))));
        Self { objects, fingerprint }
    }

    /// Returns the objects: a relation, then what belongs to it.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Returns the hash of the whole.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Returns what the description is based on.
    pub fn basis(&self) -> &Basis {
        &self.fingerprint.basis
    }

    /// Whether two can be compared at all.
    pub fn is_comparable_with(&self, other: &Self) -> bool {
        self.basis() == other.basis()
    }

    /// Returns each object with its own hash, 16 hexadecimal digits.
    pub fn hashes(&self) -> impl Iterator<Item = (&Object, String)> {
        self.objects.iter().map(|object| (object, object_hash(&line(object))))
    }

    /// Returns the text that the journal keeps: the fingerprint, then a JSON array for each object, one on a line:
    /// kind, parent or null, name, and the attributes as pairs.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.fingerprint);
        for object in &self.objects {
            let _ = writeln!(text, "{}", line(object));
        }
        text
    }

    /// Reads the journal's text.
    ///
    /// # Errors
    /// The line that is none of ours; line 1 too where the fingerprint is not that of what follows.
    pub fn parse(text: &str) -> Result<Self, StrangeSnapshot> {
        let mut lines = text.lines();
        let strange = |line| StrangeSnapshot { line };
        let fingerprint = lines.next().and_then(Fingerprint::parse).ok_or(strange(1))?;
        let objects: Result<Vec<Object>, _> =
            lines.enumerate().map(|(idx, line)| read(line).ok_or(strange(idx + 2))).collect();
        let made = Self::new(&fingerprint.basis, objects?);
        if made.fingerprint == fingerprint { Ok(made) } else { Err(strange(1)) }
    }
}

/// Returns an object's line. It is hashed into persisted fingerprints and can never change.
fn line(object: &Object) -> String {
    let attributes: Vec<[&str; 2]> =
        object.attributes.iter().map(|attribute| [&*attribute.name, attribute.value.as_str()]).collect();
    let parts = (object.kind.as_str(), &object.parent, &object.name, attributes);
    serde_json::to_string(&parts).unwrap_or_default()
}

fn read(line: &str) -> Option<Object> {
    let (kind, parent, name, attributes): (String, Option<String>, String, Vec<(String, String)>) =
        serde_json::from_str(line).ok()?;
    let attributes = attributes.into_iter().map(|(name, value)| Attribute { name: name.into(), value }).collect();
    Some(Object { kind: Kind::parse(&kind)?, parent, name, attributes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Include;

    fn basis() -> Basis {
        Basis::new("postgres-15", Include::default())
    }

    fn orders() -> Vec<Object> {
        vec![
            Object::new(Kind::Index, Some("orders"), "orders_ref").with("definition", "CREATE INDEX …"),
            Object::new(Kind::Column, Some("orders"), "orders.note").with("type", "text").with("null", "not null"),
            Object::new(Kind::Table, None, "orders").with_flag("row security", true),
            Object::new(Kind::Function, None, "a\"b\n(int)").with("body", "x\ny"),
        ]
    }

    #[test]
    fn the_order_in_which_a_catalog_answers_does_not_matter() {
        let one = Snapshot::new(&basis(), orders());
        let other = Snapshot::new(&basis(), orders().into_iter().rev().collect());
        assert_eq!(one, other);
        let names: Vec<&str> = one.objects().iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["a\"b\n(int)", "orders", "orders.note", "orders_ref"]);
    }

    #[test]
    fn the_fingerprint_in_tenants_journals_never_changes() {
        let made = Snapshot::new(&basis(), orders());
        assert_eq!(made.fingerprint().to_string(), "1/postgres-15/29a41f170bba2f556e462c2e2932b63e");
    }

    #[test]
    fn any_attribute_changes_the_fingerprint_and_the_hash_of_its_object_alone() {
        let made = Snapshot::new(&basis(), orders());
        let mut objects = orders();
        objects[1].attributes[0].value = "varchar(80)".into();
        let other = Snapshot::new(&basis(), objects);
        assert_ne!(made.fingerprint(), other.fingerprint());
        let differ: Vec<&str> = made
            .hashes()
            .zip(other.hashes())
            .filter(|((_, one), (_, other))| one != other)
            .map(|((object, _), _)| object.name.as_str())
            .collect();
        assert_eq!(differ, ["orders.note"]);
    }

    #[test]
    fn what_the_journal_keeps_is_read_back_and_a_strange_text_is_not_believed() {
        let made = Snapshot::new(&basis(), orders());
        let text = made.to_text();
        assert_eq!(Snapshot::parse(&text), Ok(made));
        assert_eq!(Snapshot::parse(""), Err(StrangeSnapshot { line: 1 }));
        assert_eq!(Snapshot::parse(&text.replace("not null", "null")), Err(StrangeSnapshot { line: 1 }));
        assert_eq!(Snapshot::parse(&text.replace("\"column\"", "\"colum\"")), Err(StrangeSnapshot { line: 4 }));
    }
}
