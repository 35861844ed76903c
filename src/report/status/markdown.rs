//! The table as GitHub shows it, for a pull request or a wiki.

use crate::error::plain;

use super::StatusReport;
use super::table::{COLUMNS, cells};

pub(super) fn render(report: &StatusReport) -> String {
    let mut text = line(COLUMNS.map(str::to_owned));
    text.push_str(&line(COLUMNS.map(|title| if title == "behind" { "---:" } else { "---" }.to_owned())));
    for row in &report.rows {
        text.push_str(&line(cells(row).map(|cell| escaped(&cell))));
    }
    format!("{text}\n{}\n", report.summary())
}

fn line(cells: [String; COLUMNS.len()]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Returns a stranger's text as GitHub shows it unchanged, in one cell: no markup, no markup's end, no new line.
///
/// <https://github.github.com/gfm/#backslash-escapes>
fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '\n' => made.push(' '),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' => made.extend(['\\', c]),
            c => made.push(c),
        }
    }
    made
}
