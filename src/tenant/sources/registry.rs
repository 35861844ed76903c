//! `registry:`: a query whose rows are tenants, and what a row's columns mean. Rows are data of strangers.

use std::mem::take;
use std::sync::Arc;

use serde_json::Value as Json;

use super::super::claims::Who;
use super::super::interpolate::values;
use super::super::listing::Listing;
use super::super::load::Loader;
use super::super::suggest::did_you_mean;
use super::super::tree::{Mapping, Value};
use super::super::walk::Fields;
use super::question::{Answer, Ask, Hidden, Way};
use crate::error::{Code, Diagnostic, plain};

/// The keys of `registry:`.
pub(super) const REGISTRY_KEYS: [&str; 12] = [
    "url",
    "server",
    "database",
    "query",
    "user",
    "password",
    "connect_timeout",
    "tls",
    "ca_file",
    "client_cert",
    "client_key",
    "max_connections",
];

/// What a row may say of a tenant.
pub(super) const COLUMNS: [&str; 13] = [
    "name", "url", "server", "database", "schema", "user", "password", "label", "labels", "wave", "vars", "state",
    "reason",
];

/// What a row says of a tenant: some of [`COLUMNS`], each once.
pub(super) type Cells = Vec<(&'static str, Value)>;

/// What is wrong with a row, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) hint: String,
}

pub(super) fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), hint: hint.into() })
}

impl Loader<'_> {
    /// Reads `registry:`: which query is asked where. Its server need not have tenants, and gets no budget by it.
    pub(super) fn registry(&mut self, fields: &Fields<'_>) -> Option<Ask> {
        let sql = fields.get("query").and_then(|(value, at)| {
            let text = self.walk.text(value, at, "query")?;
            if text.value().trim().is_empty() {
                self.walk.wrong(Code::BAD_VALUE, at, "`query` is empty", SELECT);
                return None;
            }
            let hidden = Hidden(values(text.written(), self.walk.env, &self.walk.folder));
            Some((text.into_value(), hidden))
        });
        if fields.get("query").is_none() {
            self.walk.wrong(Code::BAD_VALUE, fields.at(), "a registry has no `query`", SELECT);
        }
        let is_named = fields.get("server").is_some();
        let kept = if is_named { None } else { Some(take(&mut self.servers)) };
        let found = self.place(&Listing::alone(*fields, 1), Who::named("the registry"));
        let own = kept.map(|kept| std::mem::replace(&mut self.servers, kept));
        let found = found?;
        let id = found.definition.id;
        let server = own.as_ref().unwrap_or(&self.servers).finished(id, &self.defaults);
        let access = Arc::clone(&found.access);
        let (sql, hidden) = sql?;
        Some(Ask::Query { way: Way { server, access, datasource: found.datasource }, sql, hidden })
    }
}

const SELECT: &str = "write `query: \"SELECT name, url FROM tenants WHERE active\"`";

/// Returns which columns an answer has.
///
/// # Errors
/// `MT142` for every one that is not known, that comes twice, or that is missing.
pub(super) fn columns(answer: &Answer, hidden: &Hidden) -> Result<Vec<&'static str>, Vec<Diagnostic>> {
    let mut known = Vec::with_capacity(answer.columns.len());
    let mut mistakes = Vec::new();
    let mut mistake = |message: String, hint: String| {
        mistakes.push(Diagnostic::new(Code::BAD_ROW, message).state("nothing was touched").hint(hint));
    };
    for written in &answer.columns {
        match COLUMNS.into_iter().find(|column| column.eq_ignore_ascii_case(written)) {
            Some(column) if known.contains(&column) => {
                mistake(format!("the column `{column}` comes twice"), "name each column once, with `AS`".to_owned());
            }
            Some(column) => known.push(column),
            None => {
                let hint = format!("the columns are {}; name them with `AS`", COLUMNS.join(", "));
                let hint = did_you_mean(written, COLUMNS, &hint);
                let shown = hidden.hide(written);
                mistake(format!("the query gives an unknown column `{}`", plain(&shown)), hint);
            }
        }
    }
    if !answer.columns.is_empty() && !known.contains(&"name") {
        mistake("the query gives no column `name`".to_owned(), "`SELECT tenant_id AS name, …`".to_owned());
    }
    if known.contains(&"label") && known.contains(&"labels") {
        mistake("the query gives `label` and `labels`".to_owned(), "keep one of the two".to_owned());
    }
    if mistakes.is_empty() { Ok(known) } else { Err(mistakes) }
}

/// Returns what a row says. NULL and empty texts say nothing.
pub(super) fn cells(columns: &[&'static str], row: Vec<Option<String>>) -> Result<Cells, Wrong> {
    let mut made = Cells::with_capacity(row.len());
    for (&column, text) in columns.iter().zip(row) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { continue };
        made.push(match column {
            "label" | "labels" => ("labels", labels(&text)?),
            "vars" => ("vars", vars(&parsed("vars", &text)?)?),
            _ => (column, Value::text(text)),
        });
    }
    Ok(made)
}

/// Returns labels: words with commas between them, or a JSON array of texts.
pub(super) fn labels(text: &str) -> Result<Value, Wrong> {
    if text.trim_start().starts_with('[') {
        return labels_of(&parsed("labels", text)?);
    }
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    Ok(Value::Sequence(words.map(Value::text).collect()))
}

/// Returns the labels of a JSON array.
pub(super) fn labels_of(json: &Json) -> Result<Value, Wrong> {
    let list = json.as_array().and_then(|list| list.iter().map(Json::as_str).collect::<Option<Vec<_>>>());
    match list {
        Some(list) => Ok(Value::Sequence(list.into_iter().map(Value::text).collect())),
        None => wrong("`labels` is no list of texts", "`canary,eu`, or as JSON `[\"canary\", \"eu\"]`"),
    }
}

/// Returns the variables of a JSON object. Numbers and truth values are taken as they are written.
pub(super) fn vars(json: &Json) -> Result<Value, Wrong> {
    const HINT: &str = "write a JSON object of texts: `{\"region\": \"eu\"}`";
    let Json::Object(object) = json else { return wrong("`vars` is no JSON object", HINT) };
    let mut made = Vec::with_capacity(object.len());
    for (name, value) in object {
        let value = match value {
            Json::Null => continue,
            Json::String(text) => Value::text(text.as_str()),
            Json::Bool(_) | Json::Number(_) => Value::text(value.to_string()),
            Json::Array(_) | Json::Object(_) => {
                return wrong(format!("`vars` has a list or an object under `{}`", plain(name)), HINT);
            }
        };
        made.push((Value::text(name.as_str()), value));
    }
    Ok(Value::Mapping(Mapping::of(made)))
}

fn parsed(column: &str, text: &str) -> Result<Json, Wrong> {
    serde_json::from_str(text).or_else(|error| {
        // The parser's words show no text of the row, which may be a password in the wrong column.
        let place = format!("line {}, column {}", error.line(), error.column());
        wrong(format!("`{column}` is not JSON ({place})"), "write a JSON array for `labels`, an object for `vars`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(columns: &[&str]) -> Answer {
        Answer { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows: Vec::new() }
    }

    #[test]
    fn columns_are_known_by_name_in_any_case() {
        let none = Hidden::default();
        assert_eq!(columns(&answer(&["NAME", "Url", "label"]), &none).unwrap(), ["name", "url", "label"]);
        assert_eq!(columns(&answer(&[]), &none).unwrap(), [""; 0]);
        for (given, said) in [
            (&["url"][..], "the query gives no column `name`"),
            (&["name", "nmae"], "the query gives an unknown column `nmae`"),
            (&["name", "Name"], "the column `name` comes twice"),
            (&["name", "label", "labels"], "the query gives `label` and `labels`"),
        ] {
            let mistakes = columns(&answer(given), &none).unwrap_err();
            assert_eq!(mistakes.iter().map(Diagnostic::message).collect::<Vec<_>>(), [said]);
        }
    }

    #[test]
    fn what_a_variable_gave_the_query_is_no_columns_name_in_a_message() {
        let hidden = Hidden(vec![crate::error::Secret::new("Hunter2"), crate::error::Secret::new("a")]);
        let mistakes = columns(&answer(&["name", "x_hunter2_Hunter2"]), &hidden).unwrap_err();
        assert_eq!(mistakes[0].message(), "the query gives an unknown column `x_***_***`");
    }

    #[test]
    fn a_rows_values_are_data_and_nulls_say_nothing() {
        let row = |texts: &[Option<&str>]| texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
        let columns = ["name", "url", "labels", "vars"];
        let made =
            cells(&columns, row(&[Some("${HOME}"), None, Some(" a, b,,c "), Some(r#"{"a": 1, "b": "x", "c": null}"#)]));
        let texts = |texts: &[&str]| Value::Sequence(texts.iter().map(|&text| Value::text(text)).collect());
        let vars = Mapping::of(vec![(Value::text("a"), Value::text("1")), (Value::text("b"), Value::text("x"))]);
        let expected =
            vec![("name", Value::text("${HOME}")), ("labels", texts(&["a", "b", "c"])), ("vars", Value::Mapping(vars))];
        assert_eq!(made, Ok(expected));
        assert_eq!(labels(r#"["a,b", "c"]"#), Ok(texts(&["a,b", "c"])));
        for (column, text) in
            [("labels", "[1]"), ("labels", "["), ("vars", "[]"), ("vars", "hunter2"), ("vars", r#"{"a":[]}"#)]
        {
            let refused = cells(&[column], row(&[Some(text)])).unwrap_err();
            assert!(!refused.message.contains("hunter2"), "{refused:?}");
        }
    }
}
