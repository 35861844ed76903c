//! A YAML document as a tree, small enough for a hundred thousand tenants: keys are held once, and a mapping is a list.
//!
//! The YAML library's own tree hashes every key and takes three times as much memory.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_yaml::Number;

/// A node.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(Rc<str>),
    Sequence(Box<[Value]>),
    Mapping(Mapping),
    /// What stands behind a tag.
    Tagged(Box<Value>),
}

/// What is not a number counts as equal to itself, as a key must.
impl Eq for Value {}

/// Keys and values, in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
pub(super) struct Mapping(Vec<(Value, Value)>);

/// The most entries that are compared one by one.
const FEW: usize = 16;

/// Keys that a mapping has already.
pub(super) enum Known {
    Few,
    Many(HashSet<Value>),
}

impl Value {
    /// Makes a text.
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::String(text.into())
    }

    /// Whether nothing stands there.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is text.
    pub fn is_string(&self) -> bool {
        matches!(self, Self::String(_))
    }

    /// Returns the text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the list, if it is one.
    pub fn as_sequence(&self) -> Option<&[Value]> {
        match self {
            Self::Sequence(list) => Some(list),
            _ => None,
        }
    }

    /// Returns the value under a key, if it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Mapping(mapping) => mapping.get(key),
            _ => None,
        }
    }
}

impl Mapping {
    /// Returns the value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(found, _)| found.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// Makes a mapping of entries no two of which have one key.
    pub fn of(entries: Vec<(Value, Value)>) -> Self {
        Self(entries)
    }

    /// Returns the keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Returns the keys, and the values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Value, &mut Value)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Takes a key and its value out; the others stay in order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(found, _)| found.as_str() == Some(key))?;
        Some(self.0.remove(at).1)
    }

    /// Starts to add keys.
    pub fn known(&self) -> Known {
        let keys = || self.0.iter().map(|(key, _)| key.clone()).collect();
        if self.0.len() < FEW { Known::Few } else { Known::Many(keys()) }
    }

    /// Whether a key is there already.
    pub fn has(&self, known: &Known, key: &Value) -> bool {
        match known {
            Known::Few => self.0.iter().any(|(found, _)| found == key),
            Known::Many(keys) => keys.contains(key),
        }
    }

    /// Adds a key that is not there, and its value.
    pub fn add(&mut self, known: &mut Known, key: Value, value: Value) {
        if let Known::Many(keys) = known {
            keys.insert(key.clone());
        }
        self.0.push((key, value));
        if self.0.len() == FEW {
            *known = self.known();
        }
    }
}

/// Keys are taken out with their values.
impl IntoIterator for Mapping {
    type Item = (Value, Value);
    type IntoIter = std::vec::IntoIter<(Value, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Reads a document.
///
/// # Errors
/// The parser's own, also where a key stands twice in one mapping.
pub(super) fn read(text: &str) -> Result<Value, serde_yaml::Error> {
    Reader { keys: &RefCell::default(), is_key: false }.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// Reads a node, with the keys that were met so far.
#[derive(Clone, Copy)]
struct Reader<'k> {
    keys: &'k RefCell<HashSet<Rc<str>>>,
    is_key: bool,
}

impl Reader<'_> {
    fn text(self, text: &str) -> Rc<str> {
        if !self.is_key {
            return text.into();
        }
        let mut keys = self.keys.borrow_mut();
        if let Some(known) = keys.get(text) {
            return known.clone();
        }
        let made: Rc<str> = text.into();
        keys.insert(made.clone());
        made
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(self.text(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, contents) = tagged.variant_seed(PhantomData::<String>)?;
        if tag.is_empty() {
            return Err(A::Error::custom("empty YAML tag is not allowed"));
        }
        Ok(Value::Tagged(Box::new(contents.newtype_variant_seed(self)?)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Self { is_key: false, ..self })? {
            values.push(value);
        }
        Ok(Value::Sequence(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::default();
        let mut known = mapping.known();
        while let Some(key) = entries.next_key_seed(Self { is_key: true, ..self })? {
            if mapping.has(&known, &key) {
                return Err(A::Error::custom(twice(&key)));
            }
            let value = entries.next_value_seed(Self { is_key: false, ..self })?;
            mapping.add(&mut known, key, value);
        }
        Ok(Value::Mapping(mapping))
    }
}

/// Says that a key stands twice, as the YAML library says it.
fn twice(key: &Value) -> String {
    match key {
        Value::Null => "duplicate entry with null key".to_owned(),
        Value::Bool(truth) => format!("duplicate entry with key `{truth}`"),
        Value::Number(number) => format!("duplicate entry with key {number}"),
        Value::String(text) => format!("duplicate entry with key {text:?}"),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => "duplicate entry in YAML map".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the library's own tree is the same.
    fn same(ours: &Value, theirs: &serde_yaml::Value) -> bool {
        use serde_yaml::Value as Theirs;
        match (ours, theirs) {
            (Value::Null, Theirs::Null) => true,
            (Value::Bool(one), Theirs::Bool(other)) => one == other,
            (Value::Number(one), Theirs::Number(other)) => one == other,
            (Value::String(one), Theirs::String(other)) => **one == **other,
            (Value::Sequence(one), Theirs::Sequence(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
            }
            (Value::Mapping(one), Theirs::Mapping(other)) => {
                let entries = one.iter().zip(other);
                one.0.len() == other.len() && entries.into_iter().all(|((k, v), (l, w))| same(k, l) && same(v, w))
            }
            (Value::Tagged(one), Theirs::Tagged(other)) => same(one, &other.value),
            _ => false,
        }
    }

    fn many(last: &str) -> String {
        let keys: String = (0..40).map(|no| format!("k{no}: {no}\n")).collect();
        format!("{keys}{last}: x\n")
    }

    #[test]
    fn a_document_is_understood_as_the_library_understands_it() {
        let documents = [
            "",
            "~",
            "a",
            "7",
            "-7",
            "0x10",
            "1.5",
            ".nan",
            "true",
            "[]",
            "{}",
            "[a, [b, {c: d}], ~]",
            "!tag x",
            "!tag {a: !other [1]}",
            "a: &x {b: 1}\nc: *x\nd: [*x, *x]",
            "'7': x\n7: y\ntrue: z\n~: w\n[a]: v",
            "a: 1\na: 2",
            "1: a\n1: b",
            "~: 1\n~: 2",
            "true: 1\ntrue: 2",
            "[a]: 1\n[a]: 2",
            "x: {a: 1, b: {a: 1, a: 2}}",
            "a: 1\na: {b: 1, b: 2}",
            "a: *none",
            "a: [",
            "- a\n b",
            "a: 1\n---\nb: 2",
            "<<: {a: 1}\na: 2",
            "!<> x",
        ];
        let documents = documents.map(str::to_owned).into_iter().chain([many("k40"), many("k7"), many("k39")]);
        for text in documents {
            match (read(&text), serde_yaml::from_str::<serde_yaml::Value>(&text)) {
                (Ok(ours), Ok(theirs)) => assert!(same(&ours, &theirs), "{text}\n{ours:?}\n{theirs:?}"),
                (Err(ours), Err(theirs)) => {
                    assert_eq!(ours.to_string(), theirs.to_string(), "{text}");
                    let place = |error: &serde_yaml::Error| error.location().map(|at| at.index());
                    assert_eq!(place(&ours), place(&theirs), "{text}");
                }
                (ours, theirs) => panic!("{text}\n{ours:?}\n{theirs:?}"),
            }
        }
    }

    #[test]
    fn a_hundred_thousand_tenants_fit_because_a_node_is_small() {
        assert_eq!(size_of::<Value>(), 24);
    }
}
