//! Reads a text token by token, by the engine's lexical rules.
//!
//! White space is passed over; comments are tokens. All marks are ASCII, so every token ends on a character's
//! boundary. The reader of the tokens may change dialect and delimiter between two of them.

use std::ops::Range;

use super::position::Fault;
use super::{Dialect, SqlMode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare word that may be a keyword.
    Word,
    /// A word that cannot be a keyword: quoted, or after a dot.
    Name,
    /// A string literal, dollar quotes included.
    Text,
    Number,
    /// `@x`, `@@x`, `$1`, `:x`, `?1`.
    Variable,
    /// A single character, never a semicolon.
    Symbol(u8),
    Semicolon,
    /// MySQL: what `DELIMITER` made the end of a statement.
    Delimiter,
    /// MySQL: `/*!50003`.
    ExecutableOpen,
    /// MySQL: the `*/` of an executable comment.
    ExecutableClose,
    Comment,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.end
    }
}

pub(super) struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    dialect: Dialect,
    delimiter: Option<&'t str>,
    /// Where the executable comments opened that are not closed yet.
    executable: Vec<usize>,
    last: Option<Token>,
    /// Whether the last token is a dot that qualifies the name after it.
    qualified: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, dialect: Dialect) -> Self {
        // A byte order mark is no part of the first word.
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Lexer {
            text,
            bytes: text.as_bytes(),
            at,
            dialect,
            delimiter: None,
            executable: Vec::new(),
            last: None,
            qualified: false,
        }
    }

    /// Where the next token is looked for.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    pub(super) fn has_delimiter(&self) -> bool {
        self.delimiter.is_some()
    }

    /// Makes `delimiter` the end of a statement; `None` means a semicolon.
    pub(super) fn set_delimiter(&mut self, delimiter: Option<&'t str>) {
        self.delimiter = delimiter;
    }

    /// Where the innermost executable comment opened that is not closed yet.
    pub(super) fn open_executable(&self) -> Option<usize> {
        self.executable.last().copied()
    }

    /// Goes on at `offset`, a character's boundary outside of any comment.
    pub(super) fn jump(&mut self, offset: usize) {
        self.at = offset;
        self.last = None;
        self.qualified = false;
    }

    /// Reads the next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, Fault> {
        while self.peek(0).is_some_and(is_space) {
            self.at += 1;
        }
        let start = self.at;
        let Some(byte) = self.peek(0) else {
            return Ok(None);
        };
        let kind = if self.delimiter_at(start) { self.delimiter_token() } else { self.token(byte)? };
        let token = Token { kind, start, end: self.at };
        if kind != Kind::Comment {
            self.qualified = kind == Kind::Symbol(b'.') && !self.after_digits(start);
            self.last = Some(token);
        }
        Ok(Some(token))
    }

    fn token(&mut self, byte: u8) -> Result<Kind, Fault> {
        let next = self.peek(1);
        match byte {
            b'-' if next == Some(b'-') && self.dashes_open_a_comment() => Ok(self.line_comment()),
            b'#' if self.mysql().is_some() => Ok(self.line_comment()),
            b'/' if next == Some(b'*') => self.block_comment(),
            b'*' if next == Some(b'/') && self.executable.pop().is_some() => Ok(self.take(2, Kind::ExecutableClose)),
            b'\'' => self.quoted(b'\'', self.backslashes_escape(), Kind::Text),
            b'"' => match self.mysql() {
                Some(mode) if !mode.ansi_quotes => self.quoted(b'"', self.backslashes_escape(), Kind::Text),
                _ => self.quoted(b'"', false, Kind::Name),
            },
            b'`' if self.dialect != Dialect::Postgres => self.quoted(b'`', false, Kind::Name),
            b'[' if self.dialect == Dialect::Sqlite => self.bracketed(),
            b'$' if self.dialect == Dialect::Postgres => self.dollar(),
            b'@' if self.mysql().is_some() => Ok(self.user_variable()),
            b'$' | b':' | b'@' | b'?' if self.dialect == Dialect::Sqlite => Ok(self.parameter()),
            b'0'..=b'9' => {
                self.at = self.word_end(self.at, self.dialect != Dialect::Postgres);
                Ok(Kind::Number)
            }
            _ if is_word(byte) || (byte == b'$' && self.mysql().is_some()) => self.word(),
            b';' => Ok(self.take(1, Kind::Semicolon)),
            _ => Ok(self.take(1, Kind::Symbol(byte))),
        }
    }

    fn word(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        self.at = self.word_end(start, true);
        let escaped = self.dialect == Dialect::Postgres && self.text[start..self.at].eq_ignore_ascii_case("e");
        if escaped && self.peek(0) == Some(b'\'') {
            return self.escape_string(start);
        }
        Ok(if self.qualified { Kind::Name } else { Kind::Word })
    }

    /// Whether a dot at `dot` is a number's point.
    fn after_digits(&self, dot: usize) -> bool {
        self.last.is_some_and(|last| {
            last.kind == Kind::Number
                && last.end == dot
                && self.text[last.span()].bytes().all(|byte| byte.is_ascii_digit())
        })
    }

    fn word_end(&self, from: usize, dollars: bool) -> usize {
        // A delimiter of letters ends no word: `cargo` goes on behind `car` under `DELIMITER go`.
        let stops = self.delimiter.is_some_and(|delimiter| !delimiter.as_bytes()[0].is_ascii_alphanumeric());
        let mut end = from;
        while end < self.bytes.len() {
            let byte = self.bytes[end];
            let belongs = is_word_part(byte) || (dollars && byte == b'$');
            if !belongs || (stops && self.delimiter_at(end)) {
                break;
            }
            end += 1;
        }
        end
    }

    fn user_variable(&mut self) -> Kind {
        let marks = if self.peek(1) == Some(b'@') { 2 } else { 1 };
        let mut end = self.word_end(self.at + marks, true);
        // A host may follow one mark (`root@db.example`), a scope two (`@@session.sql_mode`).
        while end > self.at + marks && self.bytes.get(end) == Some(&b'.') {
            let next = self.word_end(end + 1, true);
            if next == end + 1 {
                break;
            }
            end = next;
        }
        if end == self.at + marks {
            return self.take(1, Kind::Symbol(b'@'));
        }
        self.at = end;
        Kind::Variable
    }

    fn parameter(&mut self) -> Kind {
        let mark = self.bytes[self.at];
        let end = self.word_end(self.at + 1, true);
        if end == self.at + 1 {
            return self.take(1, Kind::Symbol(mark));
        }
        self.at = end;
        Kind::Variable
    }

    fn dollar(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            while self.peek(0).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1;
            }
            return Ok(Kind::Variable);
        }
        let name_end = self.word_end(start + 1, false);
        if self.bytes.get(name_end) != Some(&b'$') {
            return Ok(self.take(1, Kind::Symbol(b'$')));
        }
        let tag = &self.text[start..=name_end];
        let from = name_end + 1;
        match self.text[from..].find(tag) {
            Some(found) => {
                self.at = from + found + tag.len();
                Ok(Kind::Text)
            }
            None => Err(Fault::new(start, "unterminated dollar-quoted string")),
        }
    }

    fn quoted(&mut self, quote: u8, backslashes: bool, kind: Kind) -> Result<Kind, Fault> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            if byte == quote {
                if self.peek(1) != Some(quote) {
                    self.at += 1;
                    return Ok(kind);
                }
                self.at += 2;
            } else {
                self.at += if byte == b'\\' && backslashes { 2 } else { 1 };
            }
        }
        let what = if kind == Kind::Text { "string literal" } else { "quoted identifier" };
        Err(Fault::new(start, format!("unterminated {what}")))
    }

    /// Reads the rest of `E'…'`. The literal goes on after white space that holds a line's end, and backslashes
    /// still escape there.
    /// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS>
    fn escape_string(&mut self, start: usize) -> Result<Kind, Fault> {
        loop {
            self.quoted(b'\'', true, Kind::Text).map_err(|fault| Fault { offset: start, ..fault })?;
            match self.continuation() {
                Some(quote) => self.at = quote,
                None => return Ok(Kind::Text),
            }
        }
    }

    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut new_line = false;
        loop {
            match *self.bytes.get(at)? {
                b'\n' | b'\r' => new_line = true,
                b'-' if self.bytes.get(at + 1) == Some(&b'-') => {
                    at = self.line_end(at);
                    continue;
                }
                b'\'' => return new_line.then_some(at),
                byte if is_space(byte) => {}
                _ => return None,
            }
            at += 1;
        }
    }

    fn bracketed(&mut self) -> Result<Kind, Fault> {
        match self.text[self.at..].find(']') {
            Some(found) => {
                self.at += found + 1;
                Ok(Kind::Name)
            }
            None => Err(Fault::new(self.at, "unterminated quoted identifier")),
        }
    }

    fn line_comment(&mut self) -> Kind {
        self.at = self.line_end(self.at);
        if self.bytes[self.at - 1] == b'\r' {
            self.at -= 1;
        }
        Kind::Comment
    }

    fn line_end(&self, from: usize) -> usize {
        // PostgreSQL ends a comment at a carriage return, too.
        let also = if self.dialect == Dialect::Postgres { b'\r' } else { b'\n' };
        let found = self.bytes[from..].iter().position(|&byte| byte == b'\n' || byte == also);
        found.map_or(self.bytes.len(), |length| from + length)
    }

    fn block_comment(&mut self) -> Result<Kind, Fault> {
        let start = self.at;
        if let Some(length) = self.executable_mark() {
            self.executable.push(start);
            return Ok(self.take(length, Kind::ExecutableOpen));
        }
        let mut depth = 1;
        self.at += 2;
        while depth > 0 {
            match (self.peek(0), self.peek(1)) {
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                }
                (Some(b'/'), Some(b'*')) if self.dialect == Dialect::Postgres => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(_), _) => self.at += 1,
                // SQLite takes the end of the text for the end of the comment. <https://www.sqlite.org/lang_comment.html>
                (None, _) if self.dialect == Dialect::Sqlite => depth = 0,
                (None, _) => return Err(Fault::new(start, "unterminated comment")),
            }
        }
        Ok(Kind::Comment)
    }

    /// The length of `/*!`, `/*M!` and the version after it.
    ///
    /// A version that no server reaches makes a plain comment: mariadb-dump begins with `/*M!999999\- enable the
    /// sandbox mode */`, which is not SQL.
    /// <https://dev.mysql.com/doc/refman/8.4/en/comments.html>
    fn executable_mark(&self) -> Option<usize> {
        self.mysql()?;
        let mark = match (self.peek(2), self.peek(3)) {
            (Some(b'!'), _) => 3,
            (Some(b'M'), Some(b'!')) => 4,
            _ => return None,
        };
        let version = &self.bytes[self.at + mark..];
        let digits = version.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
        match digits {
            5 | 6 if version[..digits].iter().all(|&digit| digit == b'9') => None,
            5 | 6 => Some(mark + digits),
            _ => Some(mark),
        }
    }

    fn delimiter_at(&self, at: usize) -> bool {
        let Some(delimiter) = self.delimiter.map(str::as_bytes) else {
            return false;
        };
        if !self.executable.is_empty() || !self.bytes[at..].starts_with(delimiter) {
            return false;
        }
        // `go` ends a statement, `good` does not.
        let letters = delimiter.last().is_some_and(u8::is_ascii_alphanumeric);
        !(letters && self.bytes.get(at + delimiter.len()).is_some_and(|&byte| is_word_part(byte)))
    }

    fn delimiter_token(&mut self) -> Kind {
        self.at += self.delimiter.map_or(0, str::len);
        Kind::Delimiter
    }

    /// In MySQL two dashes open a comment only before white space, a control character or the end.
    /// <https://dev.mysql.com/doc/refman/8.4/en/ansi-diff-comments.html>
    fn dashes_open_a_comment(&self) -> bool {
        self.mysql().is_none() || self.peek(2).is_none_or(|byte| byte <= b' ' || byte == 0x7f)
    }

    fn backslashes_escape(&self) -> bool {
        self.mysql().is_some_and(|mode| !mode.no_backslash_escapes)
    }

    fn mysql(&self) -> Option<SqlMode> {
        match self.dialect {
            Dialect::MySql(mode) => Some(mode),
            Dialect::Postgres | Dialect::Sqlite => None,
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn take(&mut self, length: usize, kind: Kind) -> Kind {
        self.at += length;
        kind
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word(byte) || byte.is_ascii_digit()
}
