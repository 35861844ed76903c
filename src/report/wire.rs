//! What the JSON formats share. Not the domain's types: these change with a schema version only.

use std::time::Duration;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::changeset::Version;
use crate::error::{Diagnostic, Severity, plain_json};

use super::words::utc;

/// A version: a string, because 64 bits do not fit a JSON number everywhere.
#[derive(Clone, Copy)]
pub(super) struct WireVersion(pub Version);

impl Serialize for WireVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Versions, as a list of strings.
pub(super) struct WireVersions<'a>(pub &'a [Version]);

impl Serialize for WireVersions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().copied().map(WireVersion))
    }
}

/// A diagnostic in short, in a tenant's entry.
#[derive(Serialize)]
pub(super) struct WireError<'a> {
    code: String,
    message: &'a str,
    cause: Option<String>,
    hint: Option<&'a str>,
}

impl<'a> WireError<'a> {
    pub fn of(diagnostic: &'a Diagnostic) -> Self {
        Self {
            code: diagnostic.code().to_string(),
            message: diagnostic.message(),
            cause: cause(diagnostic),
            hint: diagnostic.what_next(),
        }
    }
}

/// A diagnostic in full.
#[derive(Serialize)]
pub(super) struct WireDiagnostic<'a> {
    code: String,
    severity: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    causes: &'a [String],
    diff: Option<&'a str>,
    state: Option<&'a str>,
    hint: Option<&'a str>,
    joined: Vec<WireDiagnostic<'a>>,
}

impl<'a> WireDiagnostic<'a> {
    pub fn of(diagnostic: &'a Diagnostic) -> Self {
        let place = diagnostic.place();
        // Line 0 is the file as a whole.
        let spot = place.filter(|place| place.line > 0);
        Self {
            code: diagnostic.code().to_string(),
            severity: match diagnostic.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: diagnostic.message(),
            file: place.map(|place| place.file.as_str()),
            line: spot.map(|place| place.line),
            column: spot.map(|place| place.column),
            causes: diagnostic.causes(),
            diff: diagnostic.unified_diff(),
            state: diagnostic.state_now(),
            hint: diagnostic.what_next(),
            joined: diagnostic.joined().iter().map(WireDiagnostic::of).collect(),
        }
    }
}

/// A tenant that is left out on purpose.
#[derive(Serialize)]
pub(super) struct WireQuarantined<'a> {
    pub name: &'a str,
    pub reason: &'a str,
}

/// Returns all causes as one text, the nearest first.
pub(super) fn cause(diagnostic: &Diagnostic) -> Option<String> {
    let causes = diagnostic.causes();
    (!causes.is_empty()).then(|| causes.join("; "))
}

/// Returns a time as RFC 3339 in UTC.
pub(super) fn rfc3339(at: OffsetDateTime) -> String {
    let at = utc(at);
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

/// Returns whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a document as indented JSON, ended by a line feed. A terminal obeys nothing in it.
pub(super) fn pretty(document: &impl Serialize) -> String {
    let mut text = plain_json(
        serde_json::to_string_pretty(document).expect("the wire types have string keys and no failing parts"),
    );
    text.push('\n');
    text
}
