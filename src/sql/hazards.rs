//! Finds what must be refused or warned about before any tenant sees a text.

use std::ops::Range;

use super::lexer::{Kind, Lexer, Token};
use super::position::Lines;
use super::set::assignments;
use super::split::{Clients, Item, Scanner};
use super::{Dialect, SqlError};

/// Hazards show at most this many characters of the text.
const LONGEST_WORDS: usize = 60;

/// What kind of hazard a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HazardKind {
    /// A statement that begins or ends a transaction, or makes the server do so.
    TransactionControl,
    /// A psql command: a backslash outside of quotes.
    MetaCommand,
    /// `COPY … FROM STDIN`, whose data no server finds in the text.
    CopyFromStdin,
    /// A command of the mysql or sqlite3 client.
    ClientCommand,
    /// MySQL: `USE other`, which leads into another tenant's database.
    ChangesDatabase,
    /// SQLite: `PRAGMA foreign_keys`, which has no effect inside a transaction.
    ForeignKeysPragma,
}

/// Something in a text that must be refused or warned about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// What it is.
    pub kind: HazardKind,
    /// Where it begins, in bytes from the start of the text.
    pub offset: usize,
    /// The line of `offset`, from 1.
    pub line: usize,
    /// The column of `offset`, from 1, in characters.
    pub column: usize,
    /// The offending words as written, on one line, at most 60 characters: `COMMIT`, `\restrict`.
    pub words: String,
}

/// Finds what must be refused or warned about before any tenant sees the text, in the order of the text.
///
/// Only statements of the text itself count, not those in routine bodies, `DO` blocks, triggers and quotes. The data
/// lines behind `COPY … FROM STDIN` are passed over, the `\.` that ends them too.
///
/// # Errors
/// As [`split`](super::split); none where a client command or `COPY … FROM STDIN` comes before the fault, since
/// what follows such a line need not be SQL.
pub fn hazards(text: &str, dialect: Dialect) -> Result<Vec<Hazard>, SqlError> {
    let mut scanner = Scanner::new(text, dialect, Clients::Obeyed);
    let mut lines = Lines::new(text);
    let mut found: Vec<Hazard> = Vec::new();
    loop {
        let (kind, span) = match scanner.next() {
            Ok(None) => return Ok(found),
            Ok(Some(Item::Comment { .. })) => continue,
            Ok(Some(Item::Command(line))) => {
                let kind =
                    if dialect == Dialect::Postgres { HazardKind::MetaCommand } else { HazardKind::ClientCommand };
                (kind, first_word(text, line))
            }
            Ok(Some(Item::Statement(span, dialect))) => match of_statement(&text[span.clone()], dialect) {
                Some((kind, words)) => (kind, span.start + words.start..span.start + words.end),
                None => continue,
            },
            Err(_) if found.iter().any(|hazard| hazard.kind.may_hold_no_sql()) => return Ok(found),
            Err(fault) => return Err(fault.locate(text)),
        };
        let (line, column) = lines.at(span.start);
        found.push(Hazard { kind, offset: span.start, line, column, words: shorten(&text[span]) });
    }
}

impl HazardKind {
    /// Whether the lines after it need not be SQL.
    fn may_hold_no_sql(self) -> bool {
        matches!(self, HazardKind::MetaCommand | HazardKind::ClientCommand | HazardKind::CopyFromStdin)
    }
}

/// The hazard that a statement is, and where its words stand in the statement.
fn of_statement(statement: &str, dialect: Dialect) -> Option<(HazardKind, Range<usize>)> {
    let words = Words::read(statement, dialect);
    if let Some(last) = controls_transaction(&words, dialect) {
        return Some((HazardKind::TransactionControl, words.through(last)));
    }
    match dialect {
        Dialect::Postgres => copies_from_stdin(statement, dialect).map(|words| (HazardKind::CopyFromStdin, words)),
        Dialect::MySql(_) if words.is(0, "use") => Some((HazardKind::ChangesDatabase, 0..statement.len())),
        Dialect::MySql(_) if words.is(0, "set") => {
            let assignment = assignments(statement, dialect)
                .into_iter()
                .find(|assignment| assignment.name.eq_ignore_ascii_case("autocommit"))?;
            Some((HazardKind::TransactionControl, words.through(0).start..assignment.name_end))
        }
        Dialect::Sqlite if words.is(0, "pragma") => {
            // A schema's name and a dot may come first.
            let name = if words.is_symbol(2, b'.') { 3 } else { 1 };
            let pragma = words.get(name)?.trim_matches(|mark| matches!(mark, '"' | '\'' | '`' | '[' | ']'));
            pragma.eq_ignore_ascii_case("foreign_keys").then_some((HazardKind::ForeignKeysPragma, 0..statement.len()))
        }
        Dialect::MySql(_) | Dialect::Sqlite => None,
    }
}

/// The index of the last word that makes the statement transaction control.
///
/// <https://www.postgresql.org/docs/current/tutorial-transactions.html>,
/// <https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html>, <https://www.sqlite.org/lang_transaction.html>
fn controls_transaction(words: &Words<'_>, dialect: Dialect) -> Option<usize> {
    let (postgres, sqlite) = (dialect == Dialect::Postgres, dialect == Dialect::Sqlite);
    let mysql = !postgres && !sqlite;
    let oracle = matches!(dialect, Dialect::MySql(mode) if mode.oracle);
    match words.get(0)?.to_ascii_lowercase().as_str() {
        "begin" if words.is(1, "work") => Some(1),
        // MariaDB's blocks. In its Oracle mode whatever follows BEGIN makes it one.
        "begin" if mysql && words.is(1, "not") && words.is(2, "atomic") => None,
        "begin" if oracle && words.get(1).is_some() => None,
        "begin" => Some(0),
        "start" if !sqlite && words.is(1, "transaction") => Some(1),
        "commit" if postgres && words.is(1, "prepared") => Some(1),
        "commit" => Some(0),
        "rollback" if postgres && words.is(1, "prepared") => Some(1),
        "rollback" => {
            let noise = usize::from(words.is(1, "work") || words.is(1, "transaction"));
            (!words.is(1 + noise, "to")).then_some(0)
        }
        "end" if !mysql => Some(0),
        "abort" if postgres => Some(0),
        "prepare" if postgres && words.is(1, "transaction") => Some(1),
        "xa" if mysql => Some(usize::from(words.get(1).is_some())),
        _ => None,
    }
}

/// Where the words from `COPY` to `STDIN` stand in a statement, if it is `COPY … FROM STDIN`.
pub(super) fn copies_from_stdin(statement: &str, dialect: Dialect) -> Option<Range<usize>> {
    let mut lexer = Lexer::new(statement, dialect);
    let mut first = None;
    let mut depth = 0_usize;
    let mut after_from = false;
    while let Ok(Some(token)) = lexer.next() {
        let is = |word: &str| token.kind == Kind::Word && statement[token.span()].eq_ignore_ascii_case(word);
        match token.kind {
            Kind::Comment => continue,
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let Some(start) = first else {
            if !is("copy") {
                return None;
            }
            first = Some(token.start);
            continue;
        };
        if depth == 0 && after_from {
            return is("stdin").then_some(start..token.end);
        }
        after_from = depth == 0 && is("from");
    }
    None
}

/// The first tokens of a statement that are no comments.
struct Words<'t> {
    statement: &'t str,
    tokens: Vec<Token>,
}

impl<'t> Words<'t> {
    const MOST: usize = 4;

    fn read(statement: &'t str, dialect: Dialect) -> Self {
        let mut lexer = Lexer::new(statement, dialect);
        let mut tokens = Vec::new();
        while let Ok(Some(token)) = lexer.next() {
            if matches!(token.kind, Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose) {
                continue;
            }
            tokens.push(token);
            if tokens.len() == Words::MOST {
                break;
            }
        }
        Words { statement, tokens }
    }

    fn get(&self, index: usize) -> Option<&'t str> {
        self.tokens.get(index).map(|token| &self.statement[token.span()])
    }

    fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|text| text.eq_ignore_ascii_case(word))
    }

    fn is_symbol(&self, index: usize, symbol: u8) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == Kind::Symbol(symbol))
    }

    /// From the first word to the one at `last`.
    fn through(&self, last: usize) -> Range<usize> {
        let start = self.tokens.first().map_or(0, |token| token.start);
        start..self.tokens.get(last).map_or(start, |token| token.end)
    }
}

fn first_word(text: &str, line: Range<usize>) -> Range<usize> {
    let word = text[line.clone()].split_whitespace().next().unwrap_or_default();
    line.start..line.start + word.len()
}

fn shorten(text: &str) -> String {
    // A statement may be long, and its words are few.
    let mut words = String::new();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.extend(word.chars().take(LONGEST_WORDS));
        if words.len() > 4 * LONGEST_WORDS {
            break;
        }
    }
    words.chars().take(LONGEST_WORDS).collect()
}
