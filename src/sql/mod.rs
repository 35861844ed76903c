//! Splits SQL texts into statements, and finds what must not be in them.
//!
//! Pure: opens no file and no connection. Start at [`split`], [`hazards`] or [`comments`].
//! Knows the lexical rules of the three engines and the nesting of routine bodies, and no other grammar:
//! what it does not know it leaves to the server. Every function is linear in the length of the text.

mod body;
mod dialect;
mod hazards;
mod header;
mod lexer;
mod places;
mod plain;
mod position;
mod qualified;
mod routine;
mod set;
mod split;
mod tokens;
mod trace;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_hazards;
#[cfg(test)]
mod tests_mysql;
#[cfg(test)]
mod tests_properties;
#[cfg(test)]
mod tests_qualified;
#[cfg(test)]
mod tests_sqlite;
#[cfg(test)]
mod tests_strategies;

use std::fmt;

pub use dialect::{Dialect, EngineKind, SqlMode};
pub use hazards::{Hazard, HazardKind, hazards};
pub use places::{Standing, standings};
pub use plain::{is_plain, only_makes};
pub use position::position;
pub use qualified::{Qualified, changed_bare, qualified};
pub use set::dialect_after;
pub use tokens::has_word;
pub use trace::{Missing, Probe, Thing, Trace, only_defines, only_writes, replay, trace};

use position::Lines;
use split::{Clients, Item, Scanner};

/// One statement of a text, without its terminator and without surrounding white space.
///
/// Comments before the first token and after the last are left out; executable comments (`/*! … */`) are
/// tokens and stay. The text is exactly what one sends to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'t> {
    /// The statement as written.
    pub text: &'t str,
    /// Where it begins, in bytes from the start of the whole text.
    pub offset: usize,
    /// The line of its first token, from 1.
    pub line: usize,
    /// The column of its first token, from 1, in characters.
    pub column: usize,
}

/// One comment of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment<'t> {
    /// The comment with its marks and without the line's end.
    pub text: &'t str,
    /// Where it begins, in bytes from the start of the whole text.
    pub offset: usize,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Whether no statement and no client command begins before it.
    pub before_first_statement: bool,
}

/// Why a text cannot be split: something in it is opened and never closed, or a client command is malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// Where the thing was opened, in bytes from the start of the text.
    pub offset: usize,
    /// The line of `offset`, from 1.
    pub line: usize,
    /// The column of `offset`, from 1, in characters.
    pub column: usize,
    /// What is wrong, in lower case and without a period: "unterminated string literal".
    pub message: String,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for SqlError {}

/// Splits a text into statements the way the engine's own client would.
///
/// Empty statements are dropped, the last statement needs no terminator, and a text of comments alone gives no
/// statements. `DELIMITER` lines (MySQL) are obeyed and are no statements; other client commands are ordinary text
/// here, so look for [`hazards`] first. In MySQL an assignment of a literal to `sql_mode` in the text changes how the
/// statements after it are read.
///
/// # Errors
/// A string, quoted identifier, comment, dollar quote or routine body that is never closed, with the place where it
/// was opened; a `DELIMITER` without a usable argument.
pub fn split<'t>(text: &'t str, dialect: Dialect) -> Result<Vec<Statement<'t>>, SqlError> {
    let mut scanner = Scanner::new(text, dialect, Clients::AsText);
    let mut lines = Lines::new(text);
    let mut statements = Vec::new();
    while let Some(item) = scanner.next().map_err(|fault| fault.locate(text))? {
        if let Item::Statement(span, _) = item {
            let (line, column) = lines.at(span.start);
            statements.push(Statement { text: &text[span.clone()], offset: span.start, line, column });
        }
    }
    Ok(statements)
}

/// Lists every comment of a text, in order.
///
/// Executable comments (`/*! … */`, `/*M! … */`) are no comments; optimizer hints (`/*+ … */`) are. Client commands
/// and the data lines of `COPY … FROM STDIN` are passed over.
///
/// # Errors
/// As [`split`].
pub fn comments<'t>(text: &'t str, dialect: Dialect) -> Result<Vec<Comment<'t>>, SqlError> {
    let mut scanner = Scanner::new(text, dialect, Clients::Obeyed);
    let mut lines = Lines::new(text);
    let mut comments = Vec::new();
    while let Some(item) = scanner.next().map_err(|fault| fault.locate(text))? {
        if let Item::Comment { span, leading } = item {
            let (line, _) = lines.at(span.start);
            comments.push(Comment {
                text: &text[span.clone()],
                offset: span.start,
                line,
                before_first_statement: leading,
            });
        }
    }
    Ok(comments)
}
