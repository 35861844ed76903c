//! Finds the line and column of a node of `tenants.yaml`, for diagnostics only.
//!
//! A parsed [`serde_yaml::Value`] has forgotten where it stood. So the document is read once more, down the node's
//! [`Path`], and at the node an error is raised: the parser says where that was. A reading costs as much as the first
//! one, so it is for mistakes, of which a bounded number is shown. Start at [`Locator`].

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The deepest node that has a path of its own: `drift.ignore[0].objects[0]`.
const DEPTH: usize = 5;

/// Where a node stands in the document: the keys and indexes that lead to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path<'v> {
    steps: [Option<Step<'v>>; DEPTH],
    part: Part,
    /// Whether it stands for all that is below it too.
    is_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'v> {
    Key(&'v str),
    Index(usize),
}

/// Which half of a mapping's entry is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

impl<'v> Path<'v> {
    /// The document itself.
    pub(super) const ROOT: Path<'static> = Path { steps: [None; DEPTH], part: Part::Value, is_end: false };

    /// Returns the path of the value under a key. Below the depth limit it stays where it is.
    pub(super) fn key(self, key: &'v str) -> Self {
        self.step(Step::Key(key))
    }

    /// Returns the path of an element of a list, from 0.
    pub(super) fn index(self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// Returns the path of the key in place of its value.
    pub(super) fn the_key_itself(self) -> Self {
        if self.is_end { self } else { Self { part: Part::Key, ..self } }
    }

    /// Returns this path as the one of everything below it: rows of a source stand nowhere in the file.
    pub(super) fn for_all_below(self) -> Self {
        Self { is_end: true, ..self }
    }

    fn step(mut self, step: Step<'v>) -> Self {
        if let (Some(free), false) = (self.steps.iter_mut().find(|step| step.is_none()), self.is_end) {
            *free = Some(step);
        }
        self
    }
}

/// A node's place: line and column from 1, and the characters that it covers on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) len: usize,
}

/// How much of a text is read at first, in bytes. Most mistakes repeat, and the ones that are shown come early.
const FIRST_PART: usize = 256 * 1024;

/// Finds nodes in one text, and counts what that costs.
pub(super) struct Locator<'t> {
    text: &'t str,
    read: Cell<usize>,
}

impl<'t> Locator<'t> {
    /// Begins with a file's text.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, read: Cell::new(0) }
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Returns how many bytes were read so far, each as often as it was.
    pub(super) fn bytes_read(&self) -> usize {
        self.read.get()
    }

    /// Finds a node. If the path leads nowhere (a key that came by a merge), the last node on the way stands for it.
    ///
    /// Reads a part of a long text first, and a longer one if the node is not in it: events before the cut are true.
    pub(super) fn find(&self, path: Path<'_>) -> Option<Located> {
        let mut part = FIRST_PART;
        loop {
            let cut = self.text.as_bytes().iter().take(part).rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let whole = part >= self.text.len();
            let text = if whole { self.text } else { &self.text[..cut] };
            self.read.set(self.read.get() + text.len());
            let (found, reached) = locate(text, path);
            if reached || whole {
                return found;
            }
            part *= 4;
        }
    }

    /// Returns ` (line 7)` for a node, or nothing if it is not found.
    pub(super) fn line_of(&self, path: Path<'_>) -> String {
        self.find(path).map(|found| format!(" (line {})", found.line)).unwrap_or_default()
    }
}

/// Finds a node, and says whether it is the node itself.
fn locate(text: &str, path: Path<'_>) -> (Option<Located>, bool) {
    let steps: Vec<Step<'_>> = path.steps.into_iter().flatten().collect();
    let mut at = Landing::default();
    let seek = Seek { steps: &steps, part: path.part, at: &mut at };
    let byte = seek.deserialize(serde_yaml::Deserializer::from_str(text)).err().and_then(|error| error.location());
    let found = byte.map(|location| {
        let byte = location.index();
        let (line, column) = line_and_column(text, byte);
        Located { line, column, len: written_len(rest_of_line(text, byte), at.scalar.as_deref()) }
    });
    (found, at.reached)
}

/// Returns line and column, from 1, of a byte of the text. Lines end at line feeds, as [`str::lines`] has it.
pub(super) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn rest_of_line(text: &str, byte: usize) -> &str {
    text.get(byte..).and_then(|rest| rest.lines().next()).unwrap_or_default()
}

/// Counts the characters of the scalar that a line's rest begins with, quotes included; 1 for a list or a mapping.
fn written_len(rest: &str, scalar: Option<&str>) -> usize {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let len = if let Some(quote) = quote {
        let end = rest.char_indices().skip(1).find(|&(at, c)| c == quote && !rest[..at].ends_with('\\'));
        end.map_or(rest.trim_end().len(), |(at, _)| at + 1)
    } else if let Some(scalar) = scalar.filter(|scalar| rest.starts_with(scalar)) {
        scalar.len()
    } else if rest.starts_with(['[', '{']) {
        1
    } else {
        rest.find([',', ']', '}', ':', ' ']).unwrap_or(rest.len())
    };
    rest[..len].chars().count().max(1)
}

/// The message of the error that is raised on purpose; nobody sees it.
const HERE: &str = "here";

/// What stands where the search ended.
#[derive(Default)]
struct Landing {
    /// Whether that is the node that was sought.
    reached: bool,
    /// Its text, if it is one.
    scalar: Option<String>,
}

struct Seek<'p, 's> {
    steps: &'p [Step<'p>],
    part: Part,
    at: &'s mut Landing,
}

impl Seek<'_, '_> {
    fn land<E: Error>(self, scalar: Option<&str>) -> Result<(), E> {
        self.at.reached = self.steps.is_empty() && self.part == Part::Value;
        self.at.scalar = scalar.map(str::to_owned);
        Err(E::custom(HERE))
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.land(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.land(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.land(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.land(None)
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<(), E> {
        self.land(Some(found))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.land(None)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.land(None)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        self.land(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if let Some((Step::Index(index), steps)) = self.steps.split_first() {
            for _ in 0..*index {
                list.next_element::<IgnoredAny>()?;
            }
            list.next_element_seed(Seek { steps, part: self.part, at: self.at })?;
        }
        self.land(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((Step::Key(wanted), steps)) = self.steps.split_first() {
            let stop = steps.is_empty() && self.part == Part::Key;
            while let Some(matches) = map.next_key_seed(KeySeed { wanted, stop, at: self.at })? {
                if matches {
                    return map.next_value_seed(Seek { steps, ..self });
                }
                map.next_value::<IgnoredAny>()?;
            }
        }
        self.land(None)
    }
}

/// Says whether a key is the wanted one, or raises the error there.
struct KeySeed<'p, 's> {
    wanted: &'p str,
    stop: bool,
    at: &'s mut Landing,
}

impl KeySeed<'_, '_> {
    fn compare<E: Error>(self, key: &str) -> Result<bool, E> {
        let matches = key == self.wanted;
        if matches && self.stop {
            *self.at = Landing { reached: true, scalar: Some(key.to_owned()) };
            return Err(E::custom(HERE));
        }
        Ok(matches)
    }
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        // As text, whatever it looks like: a list or a mapping as a key is no text, and an error of its own here.
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        self.compare(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
defaults: { labels: [prod] } # Größe
servers:
  eu: { url: \"postgres://h\", max_connections: 16 }
tenants:
  - { name: 'Größe', labels: [a, bb] }
  - name: b
    7: x
  - { <<: { server: eu } }
";

    #[test]
    fn a_node_is_found_by_its_path_with_the_length_of_what_is_written() {
        let tenant = |index| Path::ROOT.key("tenants").index(index);
        for (path, word) in [
            (Path::ROOT, "defaults"),
            (Path::ROOT.key("defaults").the_key_itself(), "defaults"),
            (Path::ROOT.key("defaults"), "{"),
            (Path::ROOT.key("servers").key("eu").key("url"), "\"postgres://h\""),
            (Path::ROOT.key("servers").key("eu").key("max_connections"), "16"),
            (tenant(0).key("name"), "'Größe'"),
            (tenant(0).key("labels").index(1), "bb"),
            (tenant(0).key("labels").the_key_itself(), "labels"),
            (tenant(1), "name"),
            (tenant(1).key("7").the_key_itself(), "7"),
            (tenant(2).key("server"), "{"),
            (tenant(9).key("server"), "-"),
        ] {
            let found = Locator::new(TEXT).find(path).unwrap();
            let line = TEXT.lines().nth(found.line - 1).unwrap();
            let covered: String = line.chars().skip(found.column - 1).take(found.len).collect();
            assert_eq!(covered, word, "{path:?} {found:?}");
        }
    }

    #[test]
    fn a_node_far_down_a_long_text_is_found_in_a_longer_part() {
        let mut text = "tenants:\n".to_owned();
        for index in 0..40_000 {
            text.push_str(&format!("  - {{ name: t{index} }}\n"));
        }
        let locator = Locator::new(&text);
        for index in [0, 20_000, 39_999] {
            let found = locator.find(Path::ROOT.key("tenants").index(index).key("name")).unwrap();
            assert_eq!((found.line, found.column), (index + 2, 13));
        }
    }
}
