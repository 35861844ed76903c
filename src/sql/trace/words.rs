//! A statement's words, as far as they are looked at.

use crate::sql::Dialect;
use crate::sql::lexer::{Kind, Lexer, Token};

/// The most tokens that are looked at. A statement of data is longer, and its head tells all.
const MOST: usize = 4096;

/// The tokens of a statement but for comments.
pub(super) struct Words<'t> {
    text: &'t str,
    dialect: Dialect,
    tokens: Vec<Token>,
    /// Whether the statement goes on behind the last token.
    pub cut: bool,
}

impl<'t> Words<'t> {
    /// Reads a statement; nothing if it cannot be read, or holds a comment that some servers execute.
    pub fn read(text: &'t str, dialect: Dialect) -> Option<Self> {
        let executable = |mark| matches!(dialect, Dialect::MySql(_)) && text.contains(mark);
        if executable("/*!") || executable("/*M!") {
            return None;
        }
        Self::whole(text, dialect)
    }

    /// Reads a statement; what stands in such a comment counts as executed.
    pub fn whole(text: &'t str, dialect: Dialect) -> Option<Self> {
        let mut lexer = Lexer::new(text, dialect);
        let mut words = Self { text, dialect, tokens: Vec::new(), cut: false };
        while let Some(token) = lexer.next().ok()? {
            if words.tokens.len() == MOST {
                words.cut = true;
                break;
            }
            if !matches!(token.kind, Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose) {
                words.tokens.push(token);
            }
        }
        Some(words)
    }

    /// Returns a part of the tokens.
    pub fn part(&self, from: usize, to: usize) -> Words<'t> {
        let tokens = self.tokens.get(from..to.max(from)).unwrap_or_default().to_vec();
        Words { text: self.text, dialect: self.dialect, tokens, cut: self.cut }
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Returns a token as written; empty behind the end.
    pub fn text(&self, at: usize) -> &'t str {
        self.tokens.get(at).map_or("", |token| &self.text[token.span()])
    }

    /// Returns a bare word in lower case; empty for anything else.
    pub fn lower(&self, at: usize) -> String {
        match self.kind(at) {
            Some(Kind::Word) => self.text(at).to_ascii_lowercase(),
            _ => String::new(),
        }
    }

    /// Whether a bare word stands there.
    pub fn is(&self, at: usize, word: &str) -> bool {
        self.kind(at) == Some(Kind::Word) && self.text(at).eq_ignore_ascii_case(word)
    }

    /// Whether one of these bare words stands there.
    pub fn is_one_of(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    pub fn is_symbol(&self, at: usize, symbol: u8) -> bool {
        self.kind(at) == Some(Kind::Symbol(symbol))
    }

    /// Returns where a bare word stands, at `from` or later.
    pub fn find(&self, from: usize, word: &str) -> Option<usize> {
        (from..self.len()).find(|&at| self.is(at, word))
    }

    /// Returns the index behind these words if they stand there, else `at`.
    pub fn skip(&self, at: usize, words: &[&str]) -> usize {
        let there = words.iter().enumerate().all(|(i, word)| self.is(at + i, word));
        if there { at + words.len() } else { at }
    }

    /// Reads a name that no dot follows or precedes, as the server keeps it.
    pub fn name(&self, at: usize) -> Option<String> {
        let qualified = self.is_symbol(at + 1, b'.') || (at > 0 && self.is_symbol(at - 1, b'.'));
        match self.kind(at)? {
            _ if qualified => None,
            Kind::Word | Kind::Name => Some(self.spelled(at)),
            _ => None,
        }
    }

    /// Returns a name without its quotes, folded as the engine folds it.
    pub fn spelled(&self, at: usize) -> String {
        let written = self.text(at);
        let inside = || written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        match written.as_bytes().first() {
            Some(b'"') => inside().replace("\"\"", "\""),
            Some(b'`') => inside().replace("``", "`"),
            Some(b'[') => inside().to_owned(),
            // <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
            _ if self.dialect == Dialect::Postgres => written.to_ascii_lowercase(),
            _ => written.to_owned(),
        }
    }

    /// Cuts at commas that stand outside of parentheses, from `from` on.
    pub fn list(&self, from: usize) -> Vec<Words<'t>> {
        let (mut parts, mut start, mut depth) = (Vec::new(), from, 0_usize);
        for at in from..self.len() {
            match self.kind(at) {
                Some(Kind::Symbol(b'(')) => depth += 1,
                Some(Kind::Symbol(b')')) => depth = depth.saturating_sub(1),
                Some(Kind::Symbol(b',')) if depth == 0 => {
                    parts.push(self.part(start, at));
                    start = at + 1;
                }
                _ => {}
            }
        }
        if start < self.len() {
            parts.push(self.part(start, self.len()));
        }
        parts
    }

    /// Reads `IF NOT EXISTS` or `IF EXISTS`; returns the index behind it, and whether it stands there.
    pub fn guard(&self, at: usize) -> (usize, bool) {
        let behind = self.skip(self.skip(at, &["if", "not", "exists"]), &["if", "exists"]);
        (behind, behind > at)
    }
}
