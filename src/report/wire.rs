//! What the JSON formats share. Not the domain's types: these change with a schema version only.

use std::io::{self, BufWriter, Write};
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
    let mut text = Vec::new();
    write_pretty(&mut text, document).expect("the wire types have string keys, and memory takes what is written");
    String::from_utf8(text).expect("JSON is text")
}

/// Writes what [`pretty`] returns, as it is made: a report of a large fleet is larger than what it is made from.
///
/// # Errors
/// What the writer answers.
pub(super) fn write_pretty(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    let mut plain = PlainJson(BufWriter::with_capacity(BUFFER, out));
    serde_json::to_writer_pretty(&mut plain, document)?;
    plain.write_all(b"\n")?;
    plain.flush()
}

/// How much is written at once, in bytes.
const BUFFER: usize = 64 * 1024;

/// Passes JSON on with nothing in it that a terminal obeys. The serialiser writes whole characters at a time.
struct PlainJson<W: Write>(W);

impl<W: Write> Write for PlainJson<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let harmless = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
        match part.iter().all(harmless) {
            true => self.0.write_all(part)?,
            false => self.0.write_all(plain_json(String::from_utf8_lossy(part).into_owned()).as_bytes())?,
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
