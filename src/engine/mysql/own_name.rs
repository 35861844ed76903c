//! Takes the database's own name out of SQL texts, so that the same object is described alike in every database.
//!
//! Pure. Only where it qualifies an object of the database, never in a literal.

use std::collections::HashSet;

use crate::sql::SqlMode;

/// What a database is called, and what is in it.
pub(super) struct Own {
    /// Its name.
    pub database: String,
    /// Whether the server folds the case of names of databases and tables.
    pub folds: bool,
    /// Its tables, views and sequences, in lower case.
    pub tables: HashSet<String>,
    /// Its routines, in lower case.
    pub routines: HashSet<String>,
}

/// The words after which a name of two parts is a table's or a routine's, and not an alias with its column.
const BEFORE_OBJECTS: [&str; 11] =
    ["from", "join", "straight_join", "into", "update", "table", "call", "references", "nextval", "lastval", "setval"];

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'t> {
    /// White space and comments.
    Space,
    /// A name as it is written: bare or quoted.
    Name(&'t str),
    /// A literal, or anything else.
    Other(&'t str),
}

impl Own {
    /// Takes the name out of a definition or expression that the server writes itself: quoted by backticks, without
    /// comments.
    pub fn canonical(&self, text: &str) -> String {
        let mut walk = Walk::new(self, text, SqlMode::default());
        let mut made = String::with_capacity(text.len());
        while let Some((_, written)) = walk.next() {
            made.push_str(written);
        }
        made
    }

    /// Takes the name out of a body as a person wrote it, and writes it without comments, with one space between
    /// words, and a line for each statement: a restored dump may have lost the comments.
    pub fn body(&self, text: &str, mode: SqlMode) -> String {
        let mut walk = Walk::new(self, text, mode);
        let mut made = String::with_capacity(text.len());
        let mut space = false;
        while let Some((piece, written)) = walk.next() {
            if piece == Piece::Space {
                space = true;
                continue;
            }
            if space && !made.is_empty() && !made.ends_with('\n') {
                made.push(' ');
            }
            space = false;
            made.push_str(written);
            if written == ";" {
                made.push('\n');
            }
        }
        made.truncate(made.trim_end().len());
        made
    }

    fn is(&self, name: &str) -> bool {
        let name = unquoted(name);
        if self.folds { name.to_lowercase() == self.database.to_lowercase() } else { name == self.database }
    }
}

/// A walk over a text that leaves the own name out.
struct Walk<'t> {
    own: &'t Own,
    text: &'t str,
    mode: SqlMode,
    at: usize,
    /// The last piece but for spaces and opening parentheses.
    last: &'t str,
    /// Whether the own name stands alone somewhere: then it may be an alias, too.
    is_alias: bool,
}

impl<'t> Walk<'t> {
    fn new(own: &'t Own, text: &'t str, mode: SqlMode) -> Self {
        let (mut at, mut is_alias, mut before) = (0, false, "");
        while let Some((piece, end)) = next(text, at, mode) {
            if let Piece::Name(name) = piece {
                let dot = after_space(text, end, mode).is_some_and(|(next, _)| next == Piece::Other("."));
                is_alias |= own.is(name) && !dot && before != ".";
            }
            if piece != Piece::Space {
                before = &text[at..end];
            }
            at = end;
        }
        Self { own, text, mode, at: 0, last: "", is_alias }
    }

    /// Returns the next piece, and what is written for it.
    fn next(&mut self) -> Option<(Piece<'t>, &'t str)> {
        let (piece, end) = next(self.text, self.at, self.mode)?;
        let (written, end) = match self.qualified(piece, end) {
            // The name after it is the object's, whatever it is: a table may be called like its database.
            Some(object) => object,
            None => (&self.text[self.at..end], end),
        };
        if piece != Piece::Space && written != "(" {
            self.last = written;
        }
        self.at = end;
        Some((piece, written))
    }

    /// Answers, for a name that qualifies one of the database's objects, that object's name as written, and its end.
    fn qualified(&self, piece: Piece<'t>, end: usize) -> Option<(&'t str, usize)> {
        let Piece::Name(name) = piece else { return None };
        if !self.own.is(name) || self.last == "." {
            return None;
        }
        let (Piece::Other("."), after_dot) = after_space(self.text, end, self.mode)? else { return None };
        let (Piece::Name(object), after) = after_space(self.text, after_dot, self.mode)? else { return None };
        let lower = unquoted(object).to_lowercase();
        let (is_table, is_routine) = (self.own.tables.contains(&lower), self.own.routines.contains(&lower));
        let is_own = if self.is_alias {
            let follows = after_space(self.text, after, self.mode).map(|(piece, _)| piece);
            let announced = BEFORE_OBJECTS.iter().any(|word| word.eq_ignore_ascii_case(self.last));
            let called = follows == Some(Piece::Other("("));
            let has_column = follows == Some(Piece::Other("."));
            (is_table && (has_column || announced)) || (is_routine && (called || announced))
        } else {
            is_table || is_routine
        };
        is_own.then_some((object, after))
    }
}

/// Writes the identifiers of a view's definition in lower case, but for the names that its columns get.
///
/// Where the server folds the case of tables' names it does so with aliases too, and columns have no case.
pub(super) fn folded_view(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let (mut at, mut named) = (0, false);
    while let Some((piece, end)) = next(text, at, SqlMode::default()) {
        match piece {
            Piece::Name(name) if name.starts_with('`') && !named => made.push_str(&name.to_lowercase()),
            _ => made.push_str(&text[at..end]),
        }
        named = match piece {
            Piece::Space => named,
            Piece::Name(name) => name.eq_ignore_ascii_case("as"),
            Piece::Other(_) => false,
        };
        at = end;
    }
    made
}

fn unquoted(name: &str) -> String {
    match name.as_bytes().first() {
        Some(b'`') => name[1..name.len() - 1].replace("``", "`"),
        Some(b'"') => name[1..name.len() - 1].replace("\"\"", "\""),
        _ => name.to_owned(),
    }
}

fn after_space(text: &str, mut at: usize, mode: SqlMode) -> Option<(Piece<'_>, usize)> {
    loop {
        match next(text, at, mode)? {
            (Piece::Space, end) => at = end,
            found => return Some(found),
        }
    }
}

/// Returns the piece that begins at a character, and its end. All marks are ASCII, so pieces end on boundaries.
fn next(text: &str, at: usize, mode: SqlMode) -> Option<(Piece<'_>, usize)> {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    let first = *bytes.first()?;
    let until = |end: Option<usize>| end.unwrap_or(rest.len());
    let piece = match first {
        _ if first.is_ascii_whitespace() => {
            (Piece::Space, until(bytes.iter().position(|byte| !byte.is_ascii_whitespace())))
        }
        b'#' => (Piece::Space, until(rest.find('\n'))),
        b'-' if rest.starts_with("--") && bytes.get(2).is_none_or(|byte| byte.is_ascii_whitespace()) => {
            (Piece::Space, until(rest.find('\n')))
        }
        // Executable comments and hints are no comments: their marks stand as they are.
        b'/' if rest.starts_with("/*") && !["/*!", "/*M!", "/*+"].iter().any(|mark| rest.starts_with(mark)) => {
            (Piece::Space, until(rest[2..].find("*/").map(|end| end + 4)))
        }
        b'`' => quoted(rest, b'`', false, Piece::Name),
        b'"' if mode.ansi_quotes => quoted(rest, b'"', false, Piece::Name),
        b'"' | b'\'' => quoted(rest, first, !mode.no_backslash_escapes, Piece::Other),
        // After an @ stands the name of a variable.
        b'@' => {
            let end = 1 + bytes[1..].iter().position(|byte| !is_word(*byte) && *byte != b'@').unwrap_or(rest.len() - 1);
            (Piece::Other(&rest[..end]), end)
        }
        _ if is_word(first) => {
            let end = until(bytes.iter().position(|byte| !is_word(*byte)));
            (Piece::Name(&rest[..end]), end)
        }
        _ => (Piece::Other(&rest[..1]), 1),
    };
    Some((piece.0, at + piece.1))
}

fn quoted<'t>(rest: &'t str, mark: u8, escapes: bool, piece: impl FnOnce(&'t str) -> Piece<'t>) -> (Piece<'t>, usize) {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' if escapes => at += 2,
            byte if byte == mark && bytes.get(at + 1) == Some(&mark) => at += 2,
            byte if byte == mark => return (piece(&rest[..=at]), at + 1),
            _ => at += 1,
        }
    }
    // It never ends: then it is nothing that can be understood.
    (Piece::Other(rest), rest.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(database: &str) -> Own {
        Own {
            database: database.into(),
            folds: false,
            tables: ["orders", "k"].map(str::to_owned).into(),
            routines: ["total".to_owned()].into(),
        }
    }

    #[test]
    fn the_own_name_goes_where_it_qualifies_an_object_and_stays_in_literals() {
        let text = "select `acme`.`orders`.`id` AS `id`,'`acme`.`orders`' AS `acme` from `acme`.`orders`";
        let said = "select `orders`.`id` AS `id`,'`acme`.`orders`' AS `acme` from `orders`";
        assert_eq!(own("acme").canonical(text), said);
        let other = "select `b`.`orders`.`id` from `b`.`orders` where 'it\\'s' = \"`b`.`orders`\"";
        assert_eq!(own("acme").canonical(other), other);
    }

    #[test]
    fn a_database_may_be_called_like_a_table_or_an_alias_of_its_own() {
        let text = "select `orders`.`orders`.`id` from `orders`.`orders`";
        assert_eq!(own("orders").canonical(text), "select `orders`.`id` from `orders`");
        let text = "select `k`.`id` AS `id` from `k`.`orders` `k`";
        assert_eq!(own("k").canonical(text), "select `k`.`id` AS `id` from `orders` `k`");
        let text = "select `k`.`orders`,`k`.`total`(1),`k`.`total` from (`k`.`orders` `k` join `k`.`k`) where `k`.`k`.`id` = 1";
        let said = "select `k`.`orders`,`total`(1),`k`.`total` from (`orders` `k` join `k`) where `k`.`id` = 1";
        assert_eq!(own("k").canonical(text), said);
        assert_eq!(own("a`b").canonical("from `a``b`.`orders`"), "from `orders`");
    }

    #[test]
    fn a_body_loses_comments_and_white_space_and_no_literal() {
        let body =
            "BEGIN -- acme.orders\n  SELECT  'a  -- b', acme . orders.id /* x */ FROM `acme`.orders;\n\n# c\nEND";
        let said = "BEGIN SELECT 'a  -- b', orders.id FROM orders;\nEND";
        assert_eq!(own("acme").body(body, SqlMode::default()), said);
        let ansi = SqlMode { ansi_quotes: true, ..SqlMode::default() };
        assert_eq!(own("acme").body("SELECT * FROM \"acme\".\"orders\"", ansi), "SELECT * FROM \"orders\"");
        let as_text = "SELECT \"acme\".\"orders\"";
        assert_eq!(own("acme").body(as_text, SqlMode::default()), as_text);
        assert_eq!(own("acme").body("SET @acme.orders = 1", SqlMode::default()), "SET @acme.orders = 1");
        assert_eq!(own("acme").body("SELECT 'never ends ü\\", SqlMode::default()), "SELECT 'never ends ü\\");
    }

    #[test]
    fn a_views_identifiers_lose_their_case_but_its_columns_names_do_not() {
        let text = "select `A`.`Id` AS `Id`,'A`B`' AS `q` from `Orders` `A`";
        assert_eq!(folded_view(text), "select `a`.`id` AS `Id`,'A`B`' AS `q` from `orders` `a`");
    }
}
