//! Groups a text's tokens into statements.

use std::ops::Range;

use super::body::Tracker;
use super::hazards::copies_from_stdin;
use super::lexer::{Kind, Lexer, Token};
use super::position::Fault;
use super::set::sql_mode_after;
use super::{Dialect, SqlMode};

/// The engine's own client cuts a longer one short.
const LONGEST_DELIMITER: usize = 15;

/// What to do with the commands that the engine's own client would obey and never send.
///
/// `DELIMITER` is obeyed in any case: without it the text has no statements.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Clients {
    /// They are ordinary text.
    AsText,
    /// Each is an item of its own, up to its line's end; the data lines of `COPY … FROM STDIN` are passed over.
    Obeyed,
}

/// A part of a text.
pub(super) enum Item {
    /// A statement, and the dialect by which it was read.
    Statement(Range<usize>, Dialect),
    Comment {
        span: Range<usize>,
        leading: bool,
    },
    /// A client command, to its line's end.
    Command(Range<usize>),
}

/// A statement that has begun.
struct Pending {
    first: Token,
    end: usize,
    tracker: Tracker,
    /// Its first word, which an executable comment may hold.
    word: Option<Range<usize>>,
}

/// Reads a text item by item.
pub(super) struct Scanner<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    clients: Clients,
    initial_mode: SqlMode,
    pending: Option<Pending>,
    leading: bool,
    /// Whether the rest of the text is known to hold no end of data lines.
    no_data_end: bool,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str, dialect: Dialect, clients: Clients) -> Self {
        let initial_mode = match dialect {
            Dialect::MySql(mode) => mode,
            Dialect::Postgres | Dialect::Sqlite => SqlMode::default(),
        };
        Scanner {
            text,
            lexer: Lexer::new(text, dialect),
            clients,
            initial_mode,
            pending: None,
            leading: true,
            no_data_end: false,
        }
    }

    /// Reads the next item; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Item>, Fault> {
        while let Some(token) = self.lexer.next()? {
            if token.kind == Kind::Comment {
                return Ok(Some(Item::Comment { span: token.span(), leading: self.leading }));
            }
            if self.pending.is_none() && self.is_delimiter_command(token) {
                self.set_delimiter(token)?;
                continue;
            }
            if let Some(command) = self.command(token) {
                return Ok(Some(command));
            }
            if !self.ends_statement(token) {
                self.add(token);
            } else if let Some(pending) = self.pending.take() {
                return Ok(Some(self.finish(pending)));
            }
        }
        if let Some(offset) = self.lexer.open_executable() {
            return Err(Fault::new(offset, "unterminated executable comment"));
        }
        let Some(pending) = self.pending.take() else {
            return Ok(None);
        };
        match pending.tracker.open_block() {
            Some((offset, message)) if !self.lexer.has_delimiter() => Err(Fault::new(offset, message)),
            _ => Ok(Some(self.finish(pending))),
        }
    }

    fn ends_statement(&self, token: Token) -> bool {
        let semicolon_ends = |pending: &Pending| {
            if self.lexer.has_delimiter() {
                // The client would send all up to the delimiter at once, and the server would then split it here.
                // Whatever may hold a body is left whole: that is what the delimiter is for.
                !pending.tracker.is_compound()
            } else {
                pending.tracker.ends_at_semicolon()
            }
        };
        match token.kind {
            Kind::Delimiter => true,
            Kind::Semicolon => {
                self.lexer.open_executable().is_none() && self.pending.as_ref().is_none_or(semicolon_ends)
            }
            _ => false,
        }
    }

    fn add(&mut self, token: Token) {
        self.leading = false;
        let dialect = self.lexer.dialect();
        let pending = self.pending.get_or_insert_with(|| Pending {
            first: token,
            end: token.end,
            tracker: Tracker::new(dialect),
            word: None,
        });
        // Semicolons behind the last token are a terminator that the client sends, and no part of the statement.
        if token.kind != Kind::Semicolon {
            pending.end = token.end;
        }
        if matches!(token.kind, Kind::ExecutableOpen | Kind::ExecutableClose) {
            return;
        }
        if pending.word.is_none() {
            pending.word = Some(token.span());
        }
        pending.tracker.token(token, &self.text[token.span()]);
    }

    fn finish(&mut self, pending: Pending) -> Item {
        let span = pending.first.start..pending.end;
        let statement = &self.text[span.clone()];
        let dialect = self.lexer.dialect();
        let begins_with =
            |word: &str| pending.word.as_ref().is_some_and(|first| self.text[first.clone()].eq_ignore_ascii_case(word));
        match dialect {
            Dialect::MySql(mode) if begins_with("set") => {
                let mode = sql_mode_after(statement, mode, self.initial_mode);
                self.lexer.set_dialect(Dialect::MySql(mode));
            }
            Dialect::Postgres
                if self.clients == Clients::Obeyed
                    && begins_with("copy")
                    && copies_from_stdin(statement, dialect).is_some() =>
            {
                self.skip_copy_data();
            }
            _ => {}
        }
        Item::Statement(span, dialect)
    }

    /// Goes on behind the data lines, which a line with `\.` ends; without one there are no data.
    fn skip_copy_data(&mut self) {
        if self.no_data_end {
            return;
        }
        let mut at = self.lexer.offset();
        for line in self.text[at..].split_inclusive('\n') {
            at += line.len();
            if line.trim_end() == "\\." {
                return self.lexer.jump(at);
            }
        }
        self.no_data_end = true;
    }

    fn is_delimiter_command(&self, token: Token) -> bool {
        matches!(self.lexer.dialect(), Dialect::MySql(_)) && self.is_word(token, "delimiter")
    }

    /// Obeys `DELIMITER xx`; what follows the argument on its line is passed over, as in the engine's client.
    /// <https://mariadb.com/kb/en/delimiters/>
    fn set_delimiter(&mut self, token: Token) -> Result<(), Fault> {
        self.leading = false;
        let line = self.line_from(token.start);
        let rest = self.text[token.end..line.end].trim_start();
        let quoted = rest.chars().next().filter(|mark| matches!(mark, '\'' | '"' | '`')).and_then(|mark| {
            let inside = &rest[1..];
            inside.find(mark).map(|end| &inside[..end])
        });
        let delimiter = quoted.or_else(|| rest.split_whitespace().next()).unwrap_or_default();
        if delimiter.is_empty() {
            return Err(Fault::new(token.start, "DELIMITER without an argument"));
        }
        if delimiter.contains('\\') {
            return Err(Fault::new(token.start, "DELIMITER with a backslash"));
        }
        if delimiter.len() > LONGEST_DELIMITER {
            let message = format!("DELIMITER longer than {LONGEST_DELIMITER} bytes");
            return Err(Fault::new(token.start, message));
        }
        self.lexer.set_delimiter(Some(delimiter).filter(|&delimiter| delimiter != ";"));
        self.lexer.jump(line.end);
        Ok(())
    }

    /// The client command that begins with this token, or the statement that it cuts short.
    fn command(&mut self, token: Token) -> Option<Item> {
        let fresh = self.pending.is_none();
        let backslash = token.kind == Kind::Symbol(b'\\');
        let is_command = match self.lexer.dialect() {
            // psql takes a backslash outside of quotes for a command wherever it stands.
            Dialect::Postgres => backslash,
            Dialect::MySql(_) => fresh && (backslash || self.is_word(token, "source") || self.is_word(token, "system")),
            Dialect::Sqlite => fresh && token.kind == Kind::Symbol(b'.'),
        };
        if !is_command || self.clients == Clients::AsText {
            return None;
        }
        if let Some(pending) = self.pending.take() {
            self.lexer.jump(token.start);
            return Some(self.finish(pending));
        }
        self.leading = false;
        let line = self.line_from(token.start);
        self.lexer.jump(line.end);
        Some(Item::Command(line))
    }

    fn is_word(&self, token: Token, word: &str) -> bool {
        token.kind == Kind::Word && self.text[token.span()].eq_ignore_ascii_case(word)
    }

    fn line_from(&self, start: usize) -> Range<usize> {
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        start..start + line.trim_end().len()
    }
}
