//! `command:`: a program that prints the list, and what it may print.

use std::time::Duration;

use serde_json::Value as Json;

use super::super::interpolate::Text;
use super::super::load::Loader;
use super::super::suggest::did_you_mean;
use super::super::tree::Value;
use super::super::walk::{Fields, Zero};
use super::names::lines;
use super::question::Ask;
use super::registry::{COLUMNS, Cells, Wrong, labels, labels_of, vars, wrong};
use crate::error::{Code, plain};

/// The keys of `command:`.
pub(super) const COMMAND_KEYS: [&str; 3] = ["run", "format", "timeout"];

/// How long a program may run if the file does not say.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a program prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An array of objects, whose keys are a registry's columns, or of names.
    Json,
    /// One name a line.
    Lines,
}

const FORMATS: [&str; 2] = ["json", "lines"];

impl Loader<'_> {
    /// Reads `command:`.
    pub(super) fn command(&mut self, fields: &Fields<'_>) -> Option<(Ask, Format)> {
        const RUN: &str = "write the program and its arguments as a list: `run: [\"./list-tenants\", \"--all\"]`";
        let run = match fields.get("run") {
            Some((Value::Sequence(list), at)) if !list.is_empty() => {
                let words = list.iter().enumerate();
                let words = words.filter_map(|(index, value)| self.walk.text(value, at.index(index), "run"));
                let words: Vec<Text<'_>> = words.collect();
                let written = words.first().map(Text::shown).unwrap_or_default();
                let words: Vec<String> = words.into_iter().map(Text::into_value).collect();
                match words.first() {
                    Some(program) if program.is_empty() || words.iter().any(|word| word.contains('\0')) => {
                        self.walk.wrong(Code::BAD_VALUE, at, "`run` names no program, or holds a NUL character", RUN);
                        None
                    }
                    _ => (words.len() == list.len()).then_some((words, written)),
                }
            }
            Some((Value::Sequence(_), at)) => {
                self.walk.wrong(Code::BAD_VALUE, at, "`run` is empty", RUN);
                None
            }
            Some((value, at)) => {
                self.walk.wrong_type(at, "run", "a list", value, RUN);
                None
            }
            None => {
                self.walk.wrong(Code::BAD_VALUE, fields.at(), "a command has no `run`", RUN);
                None
            }
        };
        let timeout = match fields.get("timeout") {
            Some((value, at)) => self.walk.duration(value, at, "timeout", Zero::Refused),
            None => Some(TIMEOUT),
        };
        let format = self.format(fields);
        let folder = self.base.clone();
        let (run, written) = run?;
        Some((Ask::Program { run, written, folder, timeout: timeout? }, format?))
    }

    fn format(&mut self, fields: &Fields<'_>) -> Option<Format> {
        let Some((value, at)) = fields.get("format") else { return Some(Format::Json) };
        let text = self.walk.text(value, at, "format")?;
        match text.value() {
            "json" => Some(Format::Json),
            "lines" => Some(Format::Lines),
            _ => {
                let hint = did_you_mean(&text.shown(), FORMATS, "the formats are json and lines");
                self.walk.wrong(Code::BAD_VALUE, at, format!("`{}` is no format of a command", text.shown()), hint);
                None
            }
        }
    }
}

/// Returns the rows that a program printed.
///
/// # Errors
/// For what is no list at all; a row that is wrong is one in its place.
pub(super) fn rows(format: Format, output: &[u8]) -> Result<Vec<Result<Cells, Wrong>>, Wrong> {
    match format {
        Format::Lines => match lines(output) {
            Ok(names) => Ok(names.into_iter().map(|name| Ok(named(name))).collect()),
            Err(byte) => wrong(format!("what it printed is not UTF-8 text: byte {byte}"), "print UTF-8"),
        },
        Format::Json => {
            const HINT: &str = "print one JSON array, of objects with the columns of a registry or of names";
            match serde_json::from_slice::<Json>(output) {
                Ok(Json::Array(list)) => Ok(list.into_iter().map(row).collect()),
                Ok(_) => wrong("what it printed is no JSON array", HINT),
                Err(error) => {
                    let place = format!("line {}, column {}", error.line(), error.column());
                    wrong(format!("what it printed is not JSON ({place})"), HINT)
                }
            }
        }
    }
}

fn named(name: String) -> Cells {
    vec![("name", Value::text(name))]
}

fn row(json: Json) -> Result<Cells, Wrong> {
    let object = match json {
        Json::String(name) => return Ok(named(name)),
        Json::Object(object) => object,
        _ => return wrong("an entry is no object and no text", "print `{\"name\": \"acme\", …}`, or `\"acme\"` alone"),
    };
    if object.contains_key("label") && object.contains_key("labels") {
        return wrong("an entry has `label` and `labels`", "keep one of the two");
    }
    let mut made = Cells::with_capacity(object.len());
    for (key, value) in &object {
        let Some(column) = COLUMNS.into_iter().find(|column| column == key) else {
            let hint = did_you_mean(key, COLUMNS, &format!("the keys are {}", COLUMNS.join(", ")));
            return wrong(format!("an entry has an unknown key `{}`", plain(key)), hint);
        };
        made.push(match (column, value) {
            (_, Json::Null) => continue,
            (_, Json::String(text)) if text.is_empty() => continue,
            ("label" | "labels", Json::String(text)) => ("labels", labels(text)?),
            ("label" | "labels", value) => ("labels", labels_of(value)?),
            ("vars", value) => ("vars", vars(value)?),
            (_, Json::String(text)) => (column, Value::text(text.as_str())),
            (_, Json::Number(number)) => (column, Value::text(number.to_string())),
            _ => return wrong(format!("`{column}` of an entry is no text"), "print a text, or leave the key out"),
        });
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: &str) -> Vec<String> {
        let row = |row: Result<Cells, Wrong>| match row {
            Ok(cells) => cells.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join(" "),
            Err(wrong) => wrong.message,
        };
        match rows(Format::Json, output.as_bytes()) {
            Ok(rows) => rows.into_iter().map(row).collect(),
            Err(wrong) => vec![wrong.message],
        }
    }

    #[test]
    fn a_program_prints_objects_or_names() {
        assert_eq!(said(r#"["a", {"name": "b", "url": null}]"#), [r#"name=String("a")"#, r#"name=String("b")"#]);
        assert_eq!(
            said(r#"[{"name": 7, "labels": ["x"], "vars": {"n": true}, "schema": ""}]"#),
            [
                r#"labels=Sequence([String("x")]) name=String("7") vars=Mapping(Mapping([(String("n"), String("true"))]))"#
            ]
        );
        assert_eq!(rows(Format::Lines, b"a\n\n# no\nb\r\n").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_list_of_tenants_is_said() {
        for (output, message) in [
            ("", "what it printed is not JSON (line 1, column 0)"),
            ("{}", "what it printed is no JSON array"),
            ("[7]", "an entry is no object and no text"),
            (r#"[{"nam": "x"}]"#, "an entry has an unknown key `nam`"),
            (r#"[{"name": true}]"#, "`name` of an entry is no text"),
            (r#"[{"labels": {}}]"#, "`labels` is no list of texts"),
            (r#"[{"label": "a", "labels": ["b"]}]"#, "an entry has `label` and `labels`"),
        ] {
            assert_eq!(said(output), [message], "{output}");
        }
    }
}
