//! What happened to tenants, from their journals.

mod json;
mod table;

#[cfg(test)]
mod tests;

use crate::error::{Diagnostic, ExitStatus, Paint};
use crate::history::Attempt;

/// The forms of a history report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryFormat {
    /// For a terminal.
    Table,
    /// `mtmigrate.history/1`.
    Json,
}

/// One tenant's journal.
#[derive(Clone, Debug)]
pub struct TenantHistory {
    /// Whose.
    pub tenant: String,
    /// Its attempts, or why they could not be read.
    pub attempts: Result<Vec<Attempt>, Diagnostic>,
}

/// What happened to tenants, the newest first.
#[derive(Clone, Debug)]
pub struct HistoryReport {
    entries: Vec<TenantHistory>,
}

impl HistoryReport {
    /// Takes journals. Rows are ordered by their number, never by time: clocks are set back.
    pub fn new(mut entries: Vec<TenantHistory>) -> Self {
        for attempts in entries.iter_mut().filter_map(|entry| entry.attempts.as_mut().ok()) {
            attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.id));
        }
        Self { entries }
    }

    /// Returns the report as text that ends with a line feed.
    ///
    /// The width is a terminal's and is meant for the tables; without one nothing is wrapped.
    pub fn render(&self, format: HistoryFormat, paint: Paint, width: Option<usize>) -> String {
        match format {
            HistoryFormat::Table => table::render(self, paint, width),
            HistoryFormat::Json => json::render(self),
        }
    }

    /// Returns the exit status: 5 if a tenant could not be read.
    pub fn exit(&self) -> ExitStatus {
        match self.entries.iter().any(|entry| entry.attempts.is_err()) {
            true => ExitStatus::Unreachable,
            false => ExitStatus::Done,
        }
    }
}
