//! Tells what parts of a text are to the engine: code, comments, or something inside of quotes.

use std::ops::Range;

use super::lexer::{Kind, Lexer};
use super::split::{Clients, Item, Scanner};
use super::{Dialect, SqlError};

/// What a part of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A word of its own: it may be replaced by a literal or by a name.
    Alone,
    /// A part of a longer word, or beside a quote.
    Joined,
    /// Inside a string literal, a dollar quote too.
    InLiteral,
    /// Inside a quoted name.
    InName,
    /// In a comment.
    Comment,
}

/// Tells what these parts are, which are in order; each must be of characters that words are made of.
///
/// # Errors
/// As [`super::split`].
pub fn standings(text: &str, dialect: Dialect, parts: &[Range<usize>]) -> Result<Vec<Standing>, SqlError> {
    // What no token covers is a part of a client's command.
    let mut found = vec![Standing::Joined; parts.len()];
    let mut take = |token: Range<usize>, kind: Kind| {
        let first = parts.partition_point(|part| part.start < token.start);
        let covered = parts[first..].iter().take_while(|part| part.start < token.end).count();
        for (part, found) in parts[first..first + covered].iter().zip(&mut found[first..]) {
            *found = match kind {
                Kind::Comment => Standing::Comment,
                Kind::Text => Standing::InLiteral,
                Kind::Word | Kind::Name if *part == token && !is_joined(text, part, dialect) => Standing::Alone,
                Kind::Name if text[token.clone()].starts_with(['"', '`', '[']) => Standing::InName,
                Kind::Word if text[token.clone()].contains(['"', '\'']) => Standing::InName,
                _ => Standing::Joined,
            };
        }
    };
    let mut scanner = Scanner::new(text, dialect, Clients::AsText);
    while let Some(item) = scanner.next().map_err(|fault| fault.locate(text))? {
        match item {
            Item::Comment { span, .. } => take(span, Kind::Comment),
            Item::Command(_) => {}
            Item::Statement(span, dialect) => {
                let mut lexer = Lexer::new(&text[span.clone()], dialect);
                // It was read once already, so nothing in it is open.
                while let Ok(Some(token)) = lexer.next() {
                    take(span.start + token.start..span.start + token.end, token.kind);
                }
            }
        }
    }
    Ok(found)
}

/// Whether a quote stands right before or behind it: two literals would become one. PostgreSQL's `U&` before it would
/// become a part of it. <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-UESCAPE>
fn is_joined(text: &str, part: &Range<usize>, dialect: Dialect) -> bool {
    let is_quote = |c: char| matches!(c, '\'' | '"' | '`' | '$');
    let before = &text[..part.start];
    let unicode = dialect == Dialect::Postgres && (before.ends_with("U&") || before.ends_with("u&"));
    unicode || before.ends_with(is_quote) || text[part.end..].starts_with(is_quote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{EngineKind, SqlMode};

    /// What each `___` of a text is.
    fn told(text: &str, dialect: Dialect) -> Vec<Standing> {
        let parts: Vec<Range<usize>> = text.match_indices("___").map(|(at, part)| at..at + part.len()).collect();
        standings(text, dialect, &parts).unwrap()
    }

    #[test]
    fn a_part_is_told_by_the_token_that_holds_it() {
        use Standing::{Alone, Comment, InLiteral, InName, Joined};
        for (text, is) in [
            ("SELECT ___", Alone),
            ("SELECT a.___.b;", Alone),
            ("SELECT (___)", Alone),
            ("SELECT x=___,y", Alone),
            ("SELECT ARRAY[___]", Alone),
            ("CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT ___; END", Alone),
            ("SELECT '___'", InLiteral),
            ("SELECT 'it''s ___'", InLiteral),
            ("SELECT $$ ___ $$", InLiteral),
            ("SELECT $q$ $$ ___ $q$", InLiteral),
            ("SELECT E'\\' ___'", InLiteral),
            ("SELECT \"___\"", InName),
            ("SELECT a.\"x ___\"", InName),
            ("SELECT 1 -- ___\n", Comment),
            ("-- ___\nSELECT 1", Comment),
            ("SELECT /* /* ___ */ */ 1", Comment),
            ("SELECT E___", Joined),
            ("SELECT ___b", Joined),
            ("SELECT 'a'___", Joined),
            ("SELECT ___'a'", Joined),
            ("SELECT $___", Joined),
            ("SELECT U&___", Joined),
            ("SELECT a.u&___", Joined),
            ("SELECT 2&___", Alone),
            ("SELECT U& ___", Alone),
            ("SELECT 1___", Joined),
        ] {
            assert_eq!(told(text, Dialect::Postgres), [is], "{text}");
        }
    }

    #[test]
    fn each_engine_has_its_own_quotes_and_comments() {
        use Standing::{Alone, Comment, InLiteral, InName, Joined};
        let mysql = |mode: &str| Dialect::MySql(SqlMode::parse(mode));
        for (text, dialect, is) in [
            ("SELECT \"___\"", mysql(""), InLiteral),
            ("SELECT \"___\"", mysql("ANSI_QUOTES"), InName),
            ("SELECT `___`", mysql(""), InName),
            ("SELECT '\\' ___'", mysql(""), InLiteral),
            ("SELECT '\\', ___ ", mysql("NO_BACKSLASH_ESCAPES"), Alone),
            ("SELECT 1 # ___\n", mysql(""), Comment),
            ("SELECT 1 # ___\n", Dialect::Postgres, Alone),
            ("/*!50000 SELECT ___ */", mysql(""), Alone),
            ("SELECT @___", mysql(""), Joined),
            ("DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT ___; END//", mysql(""), Alone),
            ("DELIMITER ___\nSELECT 1", mysql(""), Joined),
            ("SELECT [___]", Dialect::Sqlite, InName),
            ("SELECT `___`", Dialect::Sqlite, InName),
            ("SELECT :___", Dialect::Sqlite, Joined),
        ] {
            assert_eq!(told(text, dialect), [is], "{text} {dialect:?}");
        }
        assert!(standings("SELECT '", Dialect::default_for(EngineKind::Sqlite), &[]).is_err());
    }
}
