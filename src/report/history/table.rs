//! The tables for a person, one a tenant.

use std::time::Duration;

use crate::changeset::Version;
use crate::error::{Paint, render as diagnostic, short};
use crate::history::{Attempt, AttemptOutcome};
use crate::report::grid::{Column, Grid};
use crate::report::words::{Tone, on_a_line, second, short_id, took};

use super::{HistoryReport, TenantHistory};

const COLUMNS: [Column; 8] = [
    Column::Text("when (UTC)"),
    Column::Number("version"),
    Column::Text("changeset"),
    Column::Text("outcome"),
    Column::Text("statement"),
    Column::Number("took"),
    Column::Text("run"),
    Column::Text("by"),
];

/// The column that is coloured.
const OUTCOME: usize = 3;

/// The longest error, in characters; the journal and JSON have the whole of it.
const ERROR_LIMIT: usize = 160;

pub(super) fn render(report: &HistoryReport, paint: Paint, width: Option<usize>) -> String {
    let parts: Vec<String> = report.entries.iter().map(|entry| one(entry, paint, width)).collect();
    parts.join("\n")
}

fn one(entry: &TenantHistory, paint: Paint, width: Option<usize>) -> String {
    let name = on_a_line(&entry.tenant);
    match &entry.attempts {
        Err(error) => format!("{name}\n{}\n", diagnostic(error, paint)),
        Ok(attempts) if attempts.is_empty() => format!("{name}\nno attempts in its journal\n"),
        Ok(attempts) => {
            let mut grid = Grid::new(&COLUMNS, "error, or why", paint);
            for attempt in attempts {
                let error = on_a_line(attempt.error.as_deref().unwrap_or_default());
                grid.row(cells(attempt), (OUTCOME, tone(attempt.outcome)), &short(&error, ERROR_LIMIT));
            }
            format!("{name}\n{}", grid.text(width))
        }
    }
}

fn cells(attempt: &Attempt) -> [String; 8] {
    let statement = match (attempt.statement_no, attempt.statements) {
        (None, _) => String::new(),
        (Some(no), None) => no.to_string(),
        // What is checked after the last statement is counted as one more.
        (Some(no), Some(all)) if no > all => format!("after {all}"),
        (Some(no), Some(all)) => format!("{no} of {all}"),
    };
    // Who has no version yet has 0 in the row of an acceptance.
    let version = match attempt.version {
        Version(0) if attempt.outcome == AttemptOutcome::Accepted => "-".to_owned(),
        version => format!("V{version}"),
    };
    [
        second(attempt.finished_at),
        version,
        attempt.name.clone(),
        attempt.outcome.as_str().into(),
        statement,
        took(Duration::from_millis(u64::try_from(attempt.duration_ms).unwrap_or(0))),
        short_id(&attempt.run_id),
        format!("{}@{}", attempt.who, attempt.host),
    ]
}

fn tone(outcome: AttemptOutcome) -> Tone {
    match outcome {
        AttemptOutcome::Applied | AttemptOutcome::Accepted => Tone::Good,
        AttemptOutcome::Started | AttemptOutcome::Skipped => Tone::Caution,
        AttemptOutcome::Failed => Tone::Alarm,
    }
}
