//! The table for a person: a line a tenant, and a summary.

use crate::error::{Diagnostic, Paint, short};
use crate::history::Unfinished;
use crate::lockstep::State;
use crate::report::grid::{Column, Grid, NONE};
use crate::report::words::{Tone, minute, on_a_line};

use super::{Drift, Row, StatusReport};

/// The columns but for the note, in order.
pub(super) const COLUMNS: [Column; 7] = [
    Column::Text("name"),
    Column::Text("state"),
    Column::Text("version"),
    Column::Number("behind"),
    Column::Text("engine"),
    Column::Text("server"),
    Column::Text("last change (UTC)"),
];

/// The title of the notes.
pub(super) const NOTE: &str = "note";

/// The column that is coloured.
const STATE: usize = 1;

/// The longest note, in characters; the journal and JSON have the whole of it.
const NOTE_LIMIT: usize = 160;

pub(super) fn render(report: &StatusReport<'_>, paint: Paint, width: Option<usize>) -> String {
    let mut grid = Grid::new(&COLUMNS, NOTE, paint);
    for row in &report.rows {
        grid.row(cells(row), (STATE, tone(row.state)), &note(row));
    }
    format!("{}\n{}\n", grid.text(width), report.summary())
}

/// Returns a row's texts, in the order of [`COLUMNS`], as they came from strangers.
pub(super) fn cells(row: &Row<'_>) -> [String; COLUMNS.len()] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.into());
    [
        row.name().to_owned(),
        row.state.as_str().into(),
        or_none(row.version().map(|version| format!("V{version}"))),
        or_none(row.pending.map(|pending| pending.len().to_string())),
        row.engine().to_string(),
        row.server.to_owned(),
        or_none(row.last().map(|last| minute(last.finished_at))),
    ]
}

fn tone(state: State) -> Tone {
    match state {
        State::HalfApplied | State::Failed | State::Drifted | State::Unreachable | State::Ahead => Tone::Alarm,
        State::Behind | State::New => Tone::Caution,
        State::Quarantined | State::Provisioning => Tone::Quiet,
        State::Current => Tone::Good,
    }
}

/// Returns why a tenant is in its state, in short and on one line.
pub(super) fn note(row: &Row<'_>) -> String {
    let said = match row.state {
        State::Quarantined => row.quarantined.map(str::to_owned),
        State::Unreachable => row.error.map(Diagnostic::one_line),
        State::HalfApplied => row.read.and_then(|position| position.unfinished.as_ref()).map(|open| half(open, row)),
        State::Drifted | State::Ahead => drift(&row.drift),
        State::Failed => row.last().map(|last| failed(last.version, row.last_error())),
        State::Provisioning => Some("being made; `mtmigrate provision` finishes it".to_owned()),
        State::Behind | State::New | State::Current => None,
    };
    short(&on_a_line(&said.unwrap_or_default()), NOTE_LIMIT)
}

fn half(open: &Unfinished, row: &Row<'_>) -> String {
    match open {
        Unfinished::Uncertain { version, statement_no, statements, .. } => {
            let account = row.account.as_ref().map(|words| format!("; {words}")).unwrap_or_default();
            format!("V{version}: statement {statement_no} of {statements} begun, its end not recorded{account}")
        }
        Unfinished::FailedAt { version, statement_no, .. } => {
            let before = statement_no.saturating_sub(1);
            let failed = failed(format!("{version} statement {statement_no}"), row.last_error());
            format!("{failed}; {before} before it committed")
        }
    }
}

fn failed(what: impl std::fmt::Display, error: Option<&str>) -> String {
    format!("V{what}: {}", error.unwrap_or("failed"))
}

fn drift(findings: &[Drift]) -> Option<String> {
    let mut told = findings.iter().filter(|found| !found.implied);
    let first = told.next()?;
    let more = match told.count() {
        0 => String::new(),
        n => format!("; +{n} more"),
    };
    let said = match (&first.object, first.version) {
        // The sentence begins with the kind and the name.
        (Some(_), _) => first.detail.clone(),
        (None, Some(version)) => format!("{} V{version}: {}", first.kind, first.detail),
        (None, None) => format!("{}: {}", first.kind, first.detail),
    };
    Some(format!("{}{more}", short(&said, NOTE_LIMIT - more.len())))
}
