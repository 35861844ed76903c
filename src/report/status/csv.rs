//! RFC 4180, a record a tenant: the JSON format's facts, flat.
//!
//! For people and their spreadsheets, so neither may obey what strangers wrote: characters that command a terminal are
//! made visible, and before what a spreadsheet would take for a formula stands an apostrophe. The JSON format is exact.
//! <https://www.rfc-editor.org/rfc/rfc4180>

use crate::changeset::Version;
use crate::error::{Diagnostic, plain};
use crate::report::wire::{cause, rfc3339};

use super::{Drift, Row, StatusReport};

/// The header row.
const HEADER: [&str; 23] = [
    "name",
    "engine",
    "server",
    "server_version",
    "database",
    "schema",
    "labels",
    "state",
    "version",
    "pending",
    "drift",
    "last_outcome",
    "last_version",
    "last_at",
    "last_duration_ms",
    "last_run_id",
    "last_error",
    "error_code",
    "error_message",
    "error_cause",
    "error_hint",
    "quarantined",
    "fingerprint",
];

pub(super) fn render(report: &StatusReport<'_>) -> String {
    let mut text = record(&HEADER.map(str::to_owned));
    for row in &report.rows {
        text.push_str(&record(&fields(row)));
    }
    text
}

fn fields(row: &Row<'_>) -> [String; HEADER.len()] {
    let (datasource, last, error) = (&row.tenant.datasource, row.last(), row.error);
    let labels: Vec<&str> = row.tenant.labels.iter().map(String::as_str).collect();
    [
        row.name().to_owned(),
        row.engine().to_string(),
        row.server.to_owned(),
        or_empty(row.read.map(|position| &position.server_version)),
        datasource.database().to_owned(),
        or_empty(datasource.schema()),
        labels.join(" "),
        row.state.as_str().into(),
        or_empty(row.version()),
        row.pending.map_or_else(String::new, joined),
        row.drift.iter().map(finding).collect::<Vec<_>>().join("; "),
        or_empty(last.map(|last| last.outcome.as_str())),
        or_empty(last.map(|last| last.version)),
        or_empty(last.map(|last| rfc3339(last.finished_at))),
        or_empty(last.map(|last| last.duration_ms)),
        or_empty(last.map(|last| &last.run_id)),
        or_empty(last.and_then(|last| last.error.as_ref())),
        or_empty(error.map(Diagnostic::code)),
        or_empty(error.map(Diagnostic::message)),
        or_empty(error.and_then(cause)),
        or_empty(error.and_then(Diagnostic::what_next)),
        or_empty(row.quarantined),
        or_empty(row.fingerprint()),
    ]
}

fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn joined(versions: &[Version]) -> String {
    versions.iter().map(Version::to_string).collect::<Vec<_>>().join(" ")
}

fn finding(drift: &Drift) -> String {
    match (&drift.object, drift.version) {
        // The sentence begins with the kind and the name.
        (Some(_), _) => drift.detail.clone(),
        (None, Some(version)) => format!("{} {version}: {}", drift.kind, drift.detail),
        (None, None) => format!("{}: {}", drift.kind, drift.detail),
    }
}

/// Returns one record, ended as RFC 4180 asks.
pub(in crate::report) fn record(fields: &[String]) -> String {
    let quoted = fields.iter().map(|field| match inert(field) {
        field if field.contains([',', '"', '\n']) => format!("\"{}\"", field.replace('"', "\"\"")),
        field => field,
    });
    format!("{}\r\n", quoted.collect::<Vec<_>>().join(","))
}

/// Returns a text that neither a terminal nor a spreadsheet obeys.
///
/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn inert(field: &str) -> String {
    let field = plain(field);
    // White space is no protection: spreadsheets trim it.
    if field.trim_start().starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads records back as RFC 4180 says.
    fn read(text: &str) -> Vec<Vec<String>> {
        let mut records = Vec::new();
        let mut record = vec![String::new()];
        let mut chars = text.chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            let Some(field) = record.last_mut() else { unreachable!("a record has a field from its start") };
            match (c, quoted) {
                ('"', true) if chars.peek() == Some(&'"') => field.extend(chars.next()),
                ('"', _) => quoted = !quoted,
                (',', false) => record.push(String::new()),
                ('\r', false) if chars.next_if_eq(&'\n').is_some() => {
                    records.push(std::mem::replace(&mut record, vec![String::new()]));
                }
                (c, _) => field.push(c),
            }
        }
        assert_eq!(record, [""], "the text ends with a record's end");
        records
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back_with_nothing_to_obey(
            records in prop::collection::vec(prop::collection::vec("[a,\"\r\n =+@é\u{1b}\u{9b}-]{0,6}", 3), 1..5)
        ) {
            let text: String = records.iter().map(|fields| record(fields)).collect();
            let told = read(&text);
            let made: Vec<Vec<String>> =
                records.iter().map(|fields| fields.iter().map(|field| inert(field)).collect()).collect();
            prop_assert_eq!(&told, &made);
            for field in told.iter().flatten() {
                prop_assert!(!field.trim_start().starts_with(['=', '+', '-', '@']), "{:?}", field);
                prop_assert!(!field.contains(|c: char| c.is_control() && c != '\n'), "{:?}", field);
            }
        }
    }

    #[test]
    fn a_hostile_name_stays_in_its_field_and_commands_nobody() {
        let names = ["x\"; DROP SCHEMA y; --", "a|b", "line\nfeed", "\u{1b}[2J", "=1+1", " @SUM(A1)", "a,b", "a=b"];
        let report = crate::report::sample::Sample::named(&names).status();
        let records = read(&render(&report));
        assert_eq!(records[0], HEADER);
        let mut told: Vec<&str> = records[1..].iter().map(|record| record[0].as_str()).collect();
        told.sort_unstable();
        let mut wanted =
            ["x\"; DROP SCHEMA y; --", "a|b", "line\nfeed", "\\u{1b}[2J", "'=1+1", "' @SUM(A1)", "a,b", "a=b"];
        wanted.sort_unstable();
        assert_eq!(told, wanted);
        assert!(records.iter().all(|record| record.len() == HEADER.len()));
    }
}
