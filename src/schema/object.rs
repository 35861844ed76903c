//! One thing in a schema, as its catalog describes it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What kind of thing an object is. The words are persisted in fingerprints and reports, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The schema or database itself: what was granted on it and said of it.
    Schema,
    Extension,
    Enum,
    Domain,
    Composite,
    Range,
    Sequence,
    Table,
    ForeignTable,
    View,
    MaterializedView,
    Column,
    Constraint,
    Index,
    Trigger,
    Policy,
    Rule,
    Statistics,
    Function,
    Procedure,
    Aggregate,
    /// A scheduled event of MySQL.
    Event,
}

impl Kind {
    /// Every kind, in the order in which a description lists them.
    pub const ALL: [Kind; 22] = [
        Self::Schema,
        Self::Extension,
        Self::Enum,
        Self::Domain,
        Self::Composite,
        Self::Range,
        Self::Sequence,
        Self::Table,
        Self::ForeignTable,
        Self::View,
        Self::MaterializedView,
        Self::Column,
        Self::Constraint,
        Self::Index,
        Self::Trigger,
        Self::Policy,
        Self::Rule,
        Self::Statistics,
        Self::Function,
        Self::Procedure,
        Self::Aggregate,
        Self::Event,
    ];

    /// Returns the word, as in `materialized-view`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Extension => "extension",
            Self::Enum => "enum",
            Self::Domain => "domain",
            Self::Composite => "composite",
            Self::Range => "range",
            Self::Sequence => "sequence",
            Self::Table => "table",
            Self::ForeignTable => "foreign-table",
            Self::View => "view",
            Self::MaterializedView => "materialized-view",
            Self::Column => "column",
            Self::Constraint => "constraint",
            Self::Index => "index",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::Rule => "rule",
            Self::Statistics => "statistics",
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::Aggregate => "aggregate",
            Self::Event => "event",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing in a schema. The tenant's own schema or database name stands nowhere in it but inside literals.
///
/// Kind, parent and name together are unique in a schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// The relation that it belongs to: a column's, constraint's, index's, trigger's, policy's, rule's.
    pub parent: Option<String>,
    /// Its name as a person would say it: `orders.note` for a column, `orders_ref` for an index of PostgreSQL,
    /// `total(integer)` for a function.
    pub name: String,
    /// What is true of it, in an order that is the same for every object of its kind and engine. What is the engine's
    /// default or absent is left out, so that a description stays short.
    pub attributes: Vec<Attribute>,
}

/// One fact about an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attribute {
    /// What it is about: `type`, `default`. Persisted in fingerprints, never changes.
    pub name: Cow<'static, str>,
    /// What it is; a definition may have several lines.
    pub value: String,
}

impl Object {
    /// Makes an object without attributes.
    pub fn new(kind: Kind, parent: Option<&str>, name: impl Into<String>) -> Self {
        Self { kind, parent: parent.map(str::to_owned), name: name.into(), attributes: Vec::new() }
    }

    /// Adds an attribute.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push(Attribute { name: name.into(), value: value.into() });
        self
    }

    /// Adds an attribute if there is a value.
    pub fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds an attribute that is true or left out.
    pub fn with_flag(self, name: &'static str, holds: bool) -> Self {
        if holds { self.with(name, YES) } else { self }
    }

    /// Returns an attribute's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_str())
    }

    /// Whether the engine itself says that the object does not work: an index that is not valid.
    pub fn is_broken(&self) -> bool {
        self.get(INVALID).is_some()
    }

    /// Returns what sorts objects for people: a relation, then what belongs to it.
    pub(super) fn place(&self) -> (&str, bool, Kind, &str) {
        (self.parent.as_deref().unwrap_or(&self.name), self.parent.is_some(), self.kind, &self.name)
    }

    /// Returns what makes it one and the same object in two schemas.
    pub(super) fn identity(&self) -> (Kind, Option<&str>, &str) {
        (self.kind, self.parent.as_deref(), &self.name)
    }
}

/// The value of an attribute that is true or left out.
pub(super) const YES: &str = "yes";

/// The attribute of an object that does not work.
pub(super) const INVALID: &str = "invalid";

impl Attribute {
    /// Returns it in words: the value alone where its name would say nothing new, the name alone where it is true.
    pub(super) fn words(&self) -> String {
        match (&*self.name, self.value.as_str()) {
            ("type" | "definition" | "null", value) => value.to_owned(),
            (name, YES) => name.to_owned(),
            (name, value) => format!("{name} {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_words_are_read_back_and_are_those_of_their_serialisation() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert_eq!(Kind::parse("tables"), None);
    }
}
