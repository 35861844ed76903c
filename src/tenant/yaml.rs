//! Text → YAML values: what is wrong with the file as YAML, and merge keys. Knows nothing of tenants.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

use super::locate::{Path, line_and_column};
use super::mistakes::Mistakes;
use super::nesting;
use super::tree::{self, Value};
use crate::error::{Code, Diagnostic, Place};

/// Reads the text as one YAML document, merge keys (`<<`) left as they are.
///
/// # Errors
/// `MT102` with the first place that is not YAML, or where a key comes twice.
pub(super) fn read(file: &str, text: &str) -> Result<Value, Diagnostic> {
    if let Some((at, c)) = text.char_indices().find(|&(_, c)| is_forbidden(c)) {
        let message = format!("the control character U+{:04X} cannot stand in YAML", u32::from(c));
        return Err(Diagnostic::new(Code::YAML_SYNTAX, message)
            .at(place(file, text, at, 1))
            .hint("remove it; in a quoted text write it as an escape, `\"\\x07\"`"));
    }
    if let Some(at) = nesting::too_deep(text) {
        let message = format!("brackets are nested more than {} levels deep", nesting::DEEPEST);
        return Err(Diagnostic::new(Code::YAML_SYNTAX, message)
            .at(place(file, text, at, 1))
            .hint("look for a bracket that is never closed: a fleet needs five levels"));
    }
    tree::read(text).map_err(|error| duplicate_key(file, text).unwrap_or_else(|| syntax(file, text, &error)))
}

/// What the YAML specification forbids in a document (<https://yaml.org/spec/1.2.2/#51-character-set>).
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

fn place(file: &str, text: &str, byte: usize, len: usize) -> Place {
    let (line, column) = line_and_column(text, byte);
    Place::in_text(file, text, line, column, len)
}

fn syntax(file: &str, text: &str, error: &serde_yaml::Error) -> Diagnostic {
    let message = without_position(&error.to_string());
    let Some(location) = error.location() else {
        let second = text.rfind("\n---").map_or_else(|| Place::file(file), |at| place(file, text, at + 1, 3));
        return Diagnostic::new(Code::YAML_SYNTAX, format!("not one YAML document: {message}"))
            .at(second)
            .hint("put the whole fleet into one document, with one list of tenants");
    };
    let (line_no, _) = line_and_column(text, location.index());
    let line = text.lines().nth(line_no - 1).unwrap_or_default();
    let indent = &line[..line.len() - line.trim_start().len()];
    let hint = if message == "unknown anchor" {
        "define the anchor above its use: `&base { … }`"
    } else if indent.contains('\t') {
        "indent with spaces: YAML takes no tabs there"
    } else if line.contains("${") {
        "put a value with `${…}` in double quotes: a brace ends an unquoted one inside `{ }`"
    } else {
        "look at indentation, quotes and brackets, here and on the line above"
    };
    Diagnostic::new(Code::YAML_SYNTAX, format!("not YAML: {message}"))
        .at(place(file, text, location.index(), 1))
        .hint(hint)
}

/// Removes the parser's own ` at line 2 column 1`: the place is shown, and counts in its own way.
fn without_position(message: &str) -> String {
    let mut parts = message.split(" at line ");
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let rest = rest.strip_prefix(" column ").unwrap_or(rest);
        made.push_str(rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    made
}

/// Finds the first key that stands twice in its mapping.
///
/// The parser reports it too, but at the mapping and not at the key.
fn duplicate_key(file: &str, text: &str) -> Option<Diagnostic> {
    let mut found = None;
    let error =
        OnceOnly { keys: None, twice: &mut found }.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let key = found?;
    let at = error.location()?.index();
    Some(
        Diagnostic::new(Code::YAML_SYNTAX, format!("the key `{key}` stands twice in one mapping"))
            .at(place(file, text, at, key.chars().count()))
            .hint("keep one of the two, or give the second a name of its own"),
    )
}

/// Walks a node; with `keys` it is the key of a mapping that has these already.
struct OnceOnly<'k, 'f> {
    keys: Option<&'k mut HashSet<String>>,
    twice: &'f mut Option<String>,
}

impl OnceOnly<'_, '_> {
    fn scalar<E: Error>(self, text: String) -> Result<(), E> {
        let Some(keys) = self.keys else { return Ok(()) };
        if keys.contains(&text) {
            *self.twice = Some(text);
            return Err(E::custom("twice"));
        }
        keys.insert(text);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for OnceOnly<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OnceOnly<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<(), E> {
        self.scalar(key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<(), E> {
        self.scalar(key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<(), E> {
        self.scalar(key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<(), E> {
        self.scalar(key.to_string())
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<(), E> {
        self.scalar(key.to_owned())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar("null".to_owned())
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.scalar("null".to_owned())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<(), A::Error> {
        let (_, contents) = tagged.variant_seed(std::marker::PhantomData::<String>)?;
        serde::de::VariantAccess::newtype_variant_seed(contents, OnceOnly { keys: None, twice: self.twice })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(OnceOnly { keys: None, twice: self.twice })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while map.next_key_seed(OnceOnly { keys: Some(&mut keys), twice: self.twice })?.is_some() {
            map.next_value_seed(OnceOnly { keys: None, twice: self.twice })?;
        }
        Ok(())
    }
}

/// Applies every merge key: `<<: *base` takes what the mapping itself does not say.
///
/// The library's `apply_merge` leaves the `<<` of a merged mapping that merges itself, changes the order of keys and
/// does not say where a merge is wrong; so the few lines stand here.
pub(super) fn merge(node: &mut Value, mistakes: &mut Mistakes<'_>) {
    if has_merge(node) {
        merge_below(node, Path::ROOT, mistakes);
    }
}

fn has_merge(node: &Value) -> bool {
    match node {
        Value::Mapping(mapping) => mapping.iter().any(|(key, value)| key.as_str() == Some("<<") || has_merge(value)),
        Value::Sequence(list) => list.iter().any(has_merge),
        Value::Tagged(tagged) => has_merge(tagged),
        _ => false,
    }
}

fn merge_below(node: &mut Value, at: Path<'_>, mistakes: &mut Mistakes<'_>) {
    match node {
        Value::Sequence(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                merge_below(value, at.index(index), mistakes);
            }
        }
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter_mut() {
                merge_below(value, at.key(key.as_str().unwrap_or_default()), mistakes);
            }
            let sources = match mapping.remove("<<") {
                None => return,
                Some(Value::Sequence(list)) => list.into_vec(),
                Some(one) => vec![one],
            };
            let mut known = mapping.known();
            for source in sources {
                let Value::Mapping(source) = source else {
                    mistakes.add(at.key("<<").the_key_itself(), |_| {
                        Diagnostic::new(Code::BAD_VALUE, "`<<` takes a mapping, or a list of mappings")
                            .hint("name an anchor: `<<: *base`, with `&base` at the mapping that is meant")
                    });
                    continue;
                };
                for (key, value) in source {
                    if !mapping.has(&known, &key) {
                        mapping.add(&mut known, key, value);
                    }
                }
            }
        }
        Value::Tagged(tagged) => merge_below(tagged, at, mistakes),
        _ => {}
    }
}
