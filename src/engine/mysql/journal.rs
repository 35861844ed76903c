//! Journal rows as they come back: checked as if a stranger wrote them.

use std::str::FromStr;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::changeset::Version;
use crate::engine::tables::{JOURNAL, JOURNAL_COLUMNS, JOURNAL_FORMAT};
use crate::error::{Code, Diagnostic, Result, short};
use crate::history::{Attempt, AttemptOutcome};
use crate::tenant::Tenant;

use super::link::Cells;

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");

/// Reads a row of `select_journal`, without its key.
///
/// # Errors
/// `MT318` for a row of a newer format, or one that is not understood; the row's number and the column are named.
pub(super) fn attempt(tenant: &Tenant, cells: Cells) -> Result<Attempt> {
    let row = Columns { tenant, id: cells.first().cloned().flatten().unwrap_or_default(), cells };
    let format: i64 = row.number("format")?;
    if format > i64::from(JOURNAL_FORMAT) {
        let message = format!("a newer mtmigrate wrote the journal of tenant {}", tenant.name);
        return Err(Diagnostic::new(Code::READ_FAILED, message)
            .cause(format!("row {} of {JOURNAL} has format {format}; this one knows {JOURNAL_FORMAT}", row.id))
            .hint("use the newer one"));
    }
    Ok(Attempt {
        id: row.id.parse().map_err(|_| row.strange("id", &row.id))?,
        run_id: row.text("run_id")?,
        version: Version(row.number("version")?),
        name: row.text("name")?,
        outcome: row.outcome()?,
        statement_no: row.optional_number("statement_no")?,
        statements: row.optional_number("statements")?,
        prefix: row.optional("prefix"),
        who: row.text("who")?,
        host: row.text("host")?,
        tool: row.text("tool")?,
        started_at: row.time("started_at")?,
        finished_at: row.time("finished_at")?,
        duration_ms: row.number("duration_ms")?,
        error: row.optional("error"),
    })
}

struct Columns<'t> {
    tenant: &'t Tenant,
    id: String,
    cells: Cells,
}

impl Columns<'_> {
    fn optional(&self, column: &str) -> Option<String> {
        let at = JOURNAL_COLUMNS.iter().position(|known| *known == column)?;
        self.cells.get(at + 1).cloned().flatten()
    }

    fn text(&self, column: &str) -> Result<String> {
        self.optional(column).ok_or_else(|| self.strange(column, "NULL"))
    }

    fn number<N: FromStr>(&self, column: &str) -> Result<N> {
        let text = self.text(column)?;
        text.parse().map_err(|_| self.strange(column, &text))
    }

    fn optional_number<N: FromStr>(&self, column: &str) -> Result<Option<N>> {
        self.optional(column).map(|_| self.number(column)).transpose()
    }

    fn outcome(&self) -> Result<AttemptOutcome> {
        let word = self.text("outcome")?;
        AttemptOutcome::parse(&word).ok_or_else(|| self.strange("outcome", &word))
    }

    fn time(&self, column: &str) -> Result<OffsetDateTime> {
        let text = self.text(column)?;
        PrimitiveDateTime::parse(&text, TIME)
            .map(PrimitiveDateTime::assume_utc)
            .map_err(|_| self.strange(column, &text))
    }

    fn strange(&self, column: &str, value: &str) -> Diagnostic {
        let message = format!("the journal of tenant {} cannot be read", self.tenant.name);
        let cause = format!("row {} of {JOURNAL}: column {column} holds {:?}", self.id, short(value, 80));
        Diagnostic::new(Code::READ_FAILED, message).cause(cause)
    }
}
