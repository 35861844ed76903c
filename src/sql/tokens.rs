//! The tokens of one statement, asked for by their place.

use super::Dialect;
use super::lexer::{Kind, Lexer, Token};

/// Whether a text has a word that may be a keyword, given in lower case: outside of quotes, names and comments.
pub fn has_word(text: &str, dialect: Dialect, word: &str) -> bool {
    let tokens = Tokens::of(text, dialect);
    (0..tokens.list.len()).any(|at| tokens.word(at) == word)
}

/// One statement's tokens, without comments and the marks of executable ones.
pub(super) struct Tokens<'t> {
    pub(super) text: &'t str,
    pub(super) dialect: Dialect,
    pub(super) list: Vec<Token>,
}

impl<'t> Tokens<'t> {
    /// Reads a statement as far as it can be read.
    pub(super) fn of(text: &'t str, dialect: Dialect) -> Self {
        let mut lexer = Lexer::new(text, dialect);
        let mut list = Vec::new();
        while let Ok(Some(token)) = lexer.next() {
            if !matches!(token.kind, Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose) {
                list.push(token);
            }
        }
        Self { text, dialect, list }
    }

    /// The name that a token is, without quotes.
    pub(super) fn name(&self, at: usize) -> Option<String> {
        let token = self.list.get(at)?;
        let written = &self.text[token.span()];
        let quote = written.chars().next().filter(|mark| matches!(mark, '"' | '`' | '['));
        match (token.kind, quote) {
            (Kind::Name, Some('[')) => Some(written[1..written.len() - 1].to_owned()),
            (Kind::Name, Some(mark)) => {
                let inside = &written[1..written.len() - 1];
                Some(inside.replace(&format!("{mark}{mark}"), &mark.to_string()))
            }
            (Kind::Name | Kind::Word, _) if self.dialect == Dialect::Postgres => Some(written.to_lowercase()),
            (Kind::Name | Kind::Word, _) => Some(written.to_owned()),
            _ => None,
        }
    }

    /// A word in lower case, or an opening parenthesis; nothing for another token.
    pub(super) fn word(&self, at: usize) -> String {
        match self.list.get(at) {
            Some(token) if token.kind == Kind::Word => self.text[token.span()].to_ascii_lowercase(),
            Some(token) if token.kind == Kind::Symbol(b'(') => "(".to_owned(),
            _ => String::new(),
        }
    }

    pub(super) fn symbol(&self, at: usize, symbol: u8) -> bool {
        self.list.get(at).is_some_and(|token| token.kind == Kind::Symbol(symbol))
    }

    pub(super) fn dot(&self, at: usize) -> bool {
        self.symbol(at, b'.')
    }

    /// The content of a literal, its escapes undone as far as they matter here.
    pub(super) fn content(&self, written: &str) -> String {
        if let Some(rest) = written.strip_prefix('$')
            && let Some(end) = rest.find('$')
        {
            let tag = end + 2;
            return written.get(tag..written.len().saturating_sub(tag)).unwrap_or_default().to_owned();
        }
        let Some(at) = written.find(['\'', '"']) else { return String::new() };
        let mark = written[at..].chars().next().unwrap_or('\'');
        let inside = written.get(at + 1..written.len() - 1).unwrap_or_default();
        let inside = inside.replace(&format!("{mark}{mark}"), &mark.to_string());
        inside.replace(&format!("\\{mark}"), &mark.to_string())
    }
}
