//! Reads typed values out of the YAML tree and notes what is wrong with them.
//!
//! Knows the shapes (text, list of labels, duration, file) and not their meaning.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::interpolate::{Environment, Kind, Text, fill};
use super::locate::Path;
use super::mistakes::Mistakes;
use super::sources::entry::Templated;
use super::suggest::did_you_mean;
use super::tree::{Mapping, Value};
use crate::error::{Code, Diagnostic, plain};

/// The reader of one file.
pub(super) struct Walk<'t> {
    /// What is wrong so far.
    pub(super) mistakes: Mistakes<'t>,
    /// Where variables come from.
    pub(super) env: &'t dyn Environment,
    /// The folder of the file: relative paths begin here.
    pub(super) folder: PathBuf,
    /// Whether texts are data of strangers, in which no reference is filled in.
    pub(super) is_data: bool,
}

/// A mapping whose keys are all known.
#[derive(Clone, Copy)]
pub(super) struct Fields<'v> {
    mapping: &'v Mapping,
    at: Path<'v>,
    /// The texts of the file of which a source made keys.
    templates: &'v [&'v Templated],
}

impl<'v> Fields<'v> {
    /// Takes a mapping whose keys were looked at before.
    pub(super) fn of(mapping: &'v Mapping, at: Path<'v>) -> Self {
        Self { mapping, at, templates: &[] }
    }

    /// Takes the row of a source.
    pub(super) fn of_row(mapping: &'v Mapping, at: Path<'v>, templates: &'v [&'v Templated]) -> Self {
        Self { mapping, at: at.for_all_below(), templates }
    }

    /// Returns the text of a key as messages quote it: as it stands in the file.
    pub(super) fn quoted(&self, key: &str, text: Text<'v>) -> Text<'v> {
        match self.templates.iter().find(|made| made.key == key) {
            Some(made) => text.made_of(&made.written, made.pattern.late()),
            None => text,
        }
    }

    /// Whether the source made this key of a text of the file; otherwise the row has it of its own.
    pub(super) fn is_made(&self, key: &str) -> bool {
        self.templates.iter().any(|made| made.key == key)
    }

    /// Returns the value under a key. A key without a value (`labels:`) counts as absent.
    pub(super) fn get(&self, key: &'v str) -> Option<(&'v Value, Path<'v>)> {
        let value = self.mapping.get(key).filter(|value| !value.is_null())?;
        Some((value, self.at.key(key)))
    }

    /// Returns the mapping's own place.
    pub(super) fn at(&self) -> Path<'v> {
        self.at
    }
}

/// What a duration of zero means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zero {
    /// No limit.
    NoLimit,
    /// Nothing sensible.
    Refused,
}

/// The longest limit: PostgreSQL counts milliseconds in 31 bits
/// (<https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-LOCK-TIMEOUT>).
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// The largest file of TLS material, in bytes: a whole system's authorities are a quarter of a megabyte.
const TLS_FILE_LIMIT: u64 = 16 << 20;

impl Walk<'_> {
    /// Notes a mistake at a node.
    pub(super) fn wrong(&mut self, code: Code, at: Path<'_>, message: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.add(at, |_| Diagnostic::new(code, message).hint(hint));
    }

    /// Notes that a value has the wrong type.
    pub(super) fn wrong_type(&mut self, at: Path<'_>, key: &str, wanted: &str, value: &Value, hint: &str) {
        self.mistakes.add(at, |_| {
            let message = format!("`{key}` takes {wanted}, and this is {}", type_of(value));
            Diagnostic::new(Code::BAD_VALUE, message).hint(hint)
        });
    }

    /// Returns a node's fields, if it is a mapping. Keys that are not among `known` are mistakes.
    pub(super) fn fields<'v>(
        &mut self,
        value: &'v Value,
        at: Path<'v>,
        what: &str,
        known: &[&str],
    ) -> Option<Fields<'v>> {
        self.fields_under(value, at, what, known, &[])
    }

    /// As [`Walk::fields`], of the value of a key: whoever writes here one of the keys `beside` that one is told so.
    pub(super) fn fields_under<'v>(
        &mut self,
        value: &'v Value,
        at: Path<'v>,
        what: &str,
        known: &[&str],
        beside: &[&str],
    ) -> Option<Fields<'v>> {
        let Value::Mapping(mapping) = value else {
            self.mistakes.add(at, |_| {
                Diagnostic::new(Code::BAD_VALUE, format!("{what} is a mapping, and this is {}", type_of(value)))
                    .hint(format!("write `{{ key: value }}` with the keys {}", known.join(", ")))
            });
            return None;
        };
        for (key, _) in mapping.iter() {
            match key.as_str() {
                Some(key) if known.contains(&key) => {}
                Some(key) => self.mistakes.add(at.key(key).the_key_itself(), |_| {
                    let hint = format!("the keys here are {}", known.join(", "));
                    let hint = match key {
                        _ if beside.contains(&key) => format!("it is a key of the whole entry, one level up; {hint}"),
                        "user" | "password" if known.contains(&"url") => {
                            format!("it stands in the `url`, as in `postgres://app:${{PASSWORD}}@host`; {hint}")
                        }
                        _ => hint,
                    };
                    Diagnostic::new(Code::UNKNOWN_KEY, format!("unknown key `{}` of {what}", plain(key)))
                        .hint(did_you_mean(key, known.iter().copied(), &hint))
                }),
                None => self.mistakes.add(at.key(&scalar_key(key)).the_key_itself(), |_| {
                    Diagnostic::new(Code::UNKNOWN_KEY, format!("a key of {what} is {}", type_of(key)))
                        .hint(format!("the keys here are {}", known.join(", ")))
                }),
            }
        }
        Some(Fields::of(mapping, at))
    }

    /// Returns a text with its references filled in.
    pub(super) fn text<'v>(&mut self, value: &'v Value, at: Path<'_>, key: &str) -> Option<Text<'v>> {
        self.filled(value, at, key, Kind::Plain)
    }

    /// Returns the text of a URL with its references filled in.
    pub(super) fn url_text<'v>(&mut self, value: &'v Value, at: Path<'_>) -> Option<Text<'v>> {
        self.filled(value, at, "url", Kind::Url)
    }

    /// Returns a secret; its files and commands are not fetched yet.
    pub(super) fn secret<'v>(&mut self, value: &'v Value, at: Path<'_>, key: &str) -> Option<Text<'v>> {
        self.filled(value, at, key, Kind::Secret)
    }

    fn filled<'v>(&mut self, value: &'v Value, at: Path<'_>, key: &str, kind: Kind) -> Option<Text<'v>> {
        let Value::String(written) = value else {
            self.wrong_type(at, key, "text", value, "if it is meant as text, put it in quotes");
            return None;
        };
        if self.is_data {
            return Some(Text::data(written));
        }
        match fill(written, kind, self.env, &self.folder) {
            Ok(text) => Some(text),
            Err(mistakes) => {
                for mistake in mistakes {
                    self.mistakes.add(at, |_| mistake);
                }
                None
            }
        }
    }

    /// Returns a list of labels.
    pub(super) fn labels(&mut self, value: &Value, at: Path<'_>) -> BTreeSet<String> {
        let Value::Sequence(list) = value else {
            let hint = match value {
                Value::String(text) if !text.contains(['$', ',']) => format!("write `labels: [{}]`", plain(text)),
                _ => "write `labels: [prod, eu]`".to_owned(),
            };
            self.wrong_type(at, "labels", "a list", value, &hint);
            return BTreeSet::new();
        };
        let mut labels = BTreeSet::new();
        for (index, value) in list.iter().enumerate() {
            let Some(label) = self.text(value, at.index(index), "labels") else { continue };
            if label.value().is_empty() || label.value().chars().any(char::is_control) {
                let hint = "a label is a word to select tenants by: `--label canary`";
                self.wrong(Code::BAD_NAME, at.index(index), "a label is empty or holds control characters", hint);
                continue;
            }
            if is_an_expression(label.value()) {
                let message = format!("the label `{}` begins with `!` or holds a comma", label.shown());
                self.wrong(Code::BAD_NAME, at.index(index), message, OF_AN_EXPRESSION);
                continue;
            }
            labels.insert(label.into_value());
        }
        labels
    }

    /// Returns a duration (`5s`, `2m`).
    pub(super) fn duration(&mut self, value: &Value, at: Path<'_>, key: &str, zero: Zero) -> Option<Duration> {
        let hint = match zero {
            Zero::NoLimit => "write a number and a unit, `5s` or `2m`; `0` is no limit",
            Zero::Refused => "write a number and a unit, `5s` or `2m`",
        };
        let (found, shown) = match value {
            Value::Number(number) if number.as_f64() == Some(0.0) => (Some(Duration::ZERO), "0".to_owned()),
            Value::Number(number) => (None, number.to_string()),
            Value::String(_) => {
                let text = self.text(value, at, key)?;
                let trimmed = text.value().trim();
                let found = if trimmed == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(trimmed) };
                (found.ok(), text.shown())
            }
            _ => {
                self.wrong_type(at, key, "a duration", value, hint);
                return None;
            }
        };
        let Some(duration) = found else {
            self.wrong(Code::BAD_VALUE, at, format!("`{key}` is no duration: {shown}"), hint);
            return None;
        };
        let message = match duration {
            Duration::ZERO if zero == Zero::Refused => format!("`{key}` must be longer than nothing"),
            Duration::ZERO => return Some(duration),
            short if short < Duration::from_millis(1) => format!("`{key}` is shorter than a millisecond: {shown}"),
            long if long > LONGEST => format!("`{key}` is longer than 24 days: {shown}"),
            _ => return Some(duration),
        };
        self.wrong(Code::BAD_VALUE, at, message, hint);
        None
    }

    /// Returns a whole number of at least `least`.
    pub(super) fn count(&mut self, value: &Value, at: Path<'_>, key: &str, least: u32, why: &str) -> Option<u32> {
        let (found, shown) = match value {
            Value::Number(number) => (number.as_u64().and_then(|n| u32::try_from(n).ok()), number.to_string()),
            Value::String(_) => {
                let text = self.text(value, at, key)?;
                (text.value().trim().parse().ok(), text.shown())
            }
            _ => {
                self.wrong_type(at, key, "a whole number", value, why);
                return None;
            }
        };
        let found = found.filter(|&count| count >= least);
        if found.is_none() {
            let message = format!("`{key}` takes a whole number of at least {least}: {shown}");
            self.wrong(Code::BAD_VALUE, at, message, why);
        }
        found
    }

    /// Returns the path of a file of TLS material that exists.
    pub(super) fn tls_file(&mut self, value: &Value, at: Path<'_>, key: &str) -> Option<PathBuf> {
        let text = self.text(value, at, key)?;
        self.existing_file(text.value(), &text.shown(), at, key)
    }

    /// Returns the path of a file that exists; `shown` stands for it in the message.
    pub(super) fn existing_file(&mut self, written: &str, shown: &str, at: Path<'_>, key: &str) -> Option<PathBuf> {
        let path = self.folder.join(written);
        let found = path.metadata().ok().filter(|found| found.is_file() && !written.is_empty());
        if found.as_ref().is_some_and(|found| found.len() > TLS_FILE_LIMIT) {
            let message = format!("the file of `{key}` is larger than {} MiB: {shown}", TLS_FILE_LIMIT >> 20);
            self.wrong(Code::BAD_TLS, at, message, "a PEM file holds some certificates or a key");
            return None;
        }
        if found.is_some() {
            return Some(path);
        }
        let message = format!("the file of `{key}` does not exist: {shown}");
        self.wrong(Code::BAD_TLS, at, message, "a PEM file; a relative path begins at the folder of this file");
        None
    }
}

/// What to do about a label that is none.
pub(super) const OF_AN_EXPRESSION: &str =
    "`--label '!a'` means whoever has not the label `a`, and `a,b` whoever has both: write two labels, or another word";

/// Whether `--label` would take a label for something else than a word.
pub(super) fn is_an_expression(label: &str) -> bool {
    label.trim_start().starts_with('!') || label.contains(',')
}

/// Names a value's type in a sentence.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
        Value::Tagged(_) => "a value with a tag",
    }
}

/// Returns a key that is a number or a truth value as it is written; for others nothing.
pub(super) fn scalar_key(key: &Value) -> String {
    match key {
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => String::new(),
    }
}
