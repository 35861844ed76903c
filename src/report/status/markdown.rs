//! The table as GitHub shows it, for a pull request or a wiki.

use crate::report::grid::Column;
use crate::report::words::escaped;

use super::StatusReport;
use super::table::{COLUMNS, NOTE, cells, note};

pub(super) fn render(report: &StatusReport<'_>) -> String {
    let mut text = line(COLUMNS.map(|column| column.title().to_owned()), NOTE);
    let rule = COLUMNS.map(|column| match column {
        Column::Text(_) => "---".to_owned(),
        Column::Number(_) => "---:".to_owned(),
    });
    text.push_str(&line(rule, "---"));
    for row in &report.rows {
        text.push_str(&line(cells(row).map(|cell| escaped(&cell)), &escaped(&note(row))));
    }
    format!("{text}\n{}\n", report.summary())
}

fn line(cells: [String; COLUMNS.len()], note: &str) -> String {
    format!("| {} | {note} |\n", cells.join(" | "))
}
