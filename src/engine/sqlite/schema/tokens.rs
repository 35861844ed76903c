//! Reads SQL that SQLite has accepted and stored, token by token, and writes it in one canonical spelling.
//!
//! White space, comments, the case of keywords and how a name is quoted are not in it: `"a"`, `[a]`, `` `a` `` and `a`
//! are one. The case of names is: in quotes they may be strings, if SQLite found no such name, and a view shows them. Literals
//! are as they were written.

use super::words::{RESERVED, UNRESERVED};

/// The reserved words with which a value may end.
const VALUES: [&str; 7] = ["null", "end", "true", "false", "current_date", "current_time", "current_timestamp"];

/// Names that are SQLite's own: in whatever case they are written, nobody chose it.
const ROWS: [&str; 4] = ["new", "old", "excluded", "rowid"];

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word without quotes: a keyword or a name.
    Word,
    /// A name in quotes; the text is without them.
    Quoted,
    /// A string, a blob or a number, as written.
    Literal,
    /// Anything else: one operator.
    Mark,
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub text: String,
}

impl Token {
    /// Whether it is this keyword, given in lower case.
    pub fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this operator.
    pub fn is_mark(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    /// Returns the name that it is where the grammar wants one; there even a string is a name.
    pub fn name(&self) -> String {
        match self.text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            Some(inner) if self.kind == Kind::Literal => inner.replace("''", "'"),
            _ => self.text.clone(),
        }
    }

    /// Whether it is a keyword that is no name without quotes.
    fn is_reserved(&self) -> bool {
        self.kind == Kind::Word && among(&RESERVED, &self.text)
    }

    /// Whether a value may end with it.
    fn ends_value(&self) -> bool {
        match self.kind {
            Kind::Word => !self.is_reserved() || VALUES.iter().any(|word| self.is(word)),
            Kind::Quoted | Kind::Literal => true,
            Kind::Mark => self.text == ")",
        }
    }

    fn spelling(&self, before_parenthesis: bool) -> String {
        match self.kind {
            Kind::Quoted if !is_plain(&self.text) || among(&RESERVED, &self.text) => {
                format!("\"{}\"", self.text.replace('"', "\"\""))
            }
            // A function's name too: `Lower(x)` is `lower(x)`.
            Kind::Word | Kind::Quoted
                if before_parenthesis
                    || [&RESERVED[..], &UNRESERVED, &ROWS].into_iter().any(|words| among(words, &self.text)) =>
            {
                self.text.to_ascii_lowercase()
            }
            _ => self.text.clone(),
        }
    }
}

/// Reads all tokens but comments.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = length_of(rest, first);
        let (text, behind) = rest.split_at(length);
        rest = behind;
        let kind = match first {
            _ if first.is_ascii_whitespace() || text.starts_with("--") || text.starts_with("/*") => continue,
            '"' | '`' | '[' => Kind::Quoted,
            '\'' | '0'..='9' => Kind::Literal,
            '.' if length > 1 => Kind::Literal,
            'x' | 'X' if text.ends_with('\'') => Kind::Literal,
            _ if is_word(first) => Kind::Word,
            _ => Kind::Mark,
        };
        let text = match kind {
            Kind::Quoted => unquoted(text, first),
            Kind::Literal if first != '\'' => text.to_ascii_lowercase(),
            _ => text.to_owned(),
        };
        found.push(Token { kind, text });
    }
    found
}

/// Returns the bytes of the first token, white space and comments included. Never 0.
fn length_of(rest: &str, first: char) -> usize {
    let until =
        |pattern: &str, from: usize| rest[from..].find(pattern).map_or(rest.len(), |at| from + at + pattern.len());
    match first {
        '\'' | '"' | '`' => quoted_length(rest, first, 0),
        '[' => until("]", 1),
        'x' | 'X' if rest[1..].starts_with('\'') => quoted_length(rest, '\'', 1),
        '0'..='9' => number_length(rest),
        '.' if rest[1..].starts_with(|next: char| next.is_ascii_digit()) => number_length(rest),
        '-' if rest.starts_with("--") => until("\n", 2),
        '/' if rest.starts_with("/*") => until("*/", 2),
        _ if is_word(first) => {
            rest.find(|c: char| !is_word(c) && c != '$' && !c.is_ascii_digit()).unwrap_or(rest.len())
        }
        _ => {
            let long = ["->>", "->", "||", "<<", ">>", "<=", ">=", "==", "!=", "<>"];
            long.iter().find(|mark| rest.starts_with(**mark)).map_or(first.len_utf8(), |mark| mark.len())
        }
    }
}

/// Returns the bytes of what is in quotes that begin at `from`; a doubled quote is not its end.
fn quoted_length(rest: &str, quote: char, from: usize) -> usize {
    let mut at = from + 1;
    while let Some(found) = rest[at..].find(quote) {
        at += found + 1;
        match rest[at..].starts_with(quote) {
            true => at += 1,
            false => return at,
        }
    }
    rest.len()
}

fn number_length(rest: &str) -> usize {
    let is_hexadecimal = rest.starts_with("0x") || rest.starts_with("0X");
    let mut last = ' ';
    let ends = move |c: char| {
        let is_sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E') && !is_hexadecimal;
        last = c;
        !(is_word(c) || c.is_ascii_digit() || c == '.' || is_sign)
    };
    rest.find(ends).unwrap_or(rest.len())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn unquoted(text: &str, quote: char) -> String {
    let inner = text.get(1..text.len() - 1).unwrap_or_default();
    match quote {
        '[' => inner.to_owned(),
        _ => inner.replace(&format!("{quote}{quote}"), &quote.to_string()),
    }
}

/// Whether a name is one without quotes too, if it is no keyword.
fn is_plain(name: &str) -> bool {
    name.chars().next().is_some_and(is_word) && name.chars().all(|c| is_word(c) || c == '$' || c.is_ascii_digit())
}

fn among(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Returns a name as it stands in SQL.
pub(super) fn identifier(name: &str) -> String {
    Token { kind: Kind::Quoted, text: name.to_owned() }.spelling(false)
}

/// Writes tokens in the canonical spelling; a line ends behind each semicolon.
pub(super) fn spelled(tokens: &[Token]) -> String {
    let mut text = String::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| &tokens[at]);
        if let Some(before) = before {
            let sign = is_sign(before) && !at.checked_sub(2).is_some_and(|at| tokens[at].ends_value());
            match before.is_mark(";") {
                true => text.push('\n'),
                false if sign || is_tight(before, token) => {}
                false => text.push(' '),
            }
        }
        let opens = tokens.get(at + 1).is_some_and(|next| next.is_mark("("));
        text.push_str(&token.spelling(opens));
    }
    text
}

fn is_sign(token: &Token) -> bool {
    ["-", "+", "~"].iter().any(|mark| token.is_mark(mark))
}

/// Whether nothing stands between two tokens.
fn is_tight(before: &Token, token: &Token) -> bool {
    let calls = token.is_mark("(") && matches!(before.kind, Kind::Word | Kind::Quoted) && !before.is_reserved();
    let closes = [",", ")", ";", "."].iter().any(|mark| token.is_mark(mark));
    calls || closes || before.is_mark("(") || before.is_mark(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelling(sql: &str) -> String {
        spelled(&tokens(sql))
    }

    #[test]
    fn another_spelling_of_the_same_is_the_same() {
        for (one, other) in [
            ("SELECT a,b FROM t", "select \"a\" , [b] -- the table\n from `t`"),
            ("a/* why */>-1 AND b<>'X'", "a > - 1 and b<> 'X'"),
            ("LOWER (\"note\")", "lower(note)"),
            ("key IS NOT NULL", "\"KEY\" is not null"),
            ("a.b = X'AB'", "a . b = x'ab'"),
            ("1E+5 + .5", "1e+5+.5"),
        ] {
            assert_eq!(spelling(one), spelling(other));
        }
    }

    #[test]
    fn what_means_something_else_is_not_the_same() {
        for (one, other) in [
            ("'a  b'", "'a b'"),
            ("'A'", "'a'"),
            ("\"null\"", "null"),
            ("\"a b\"", "a b"),
            ("'it''s'", "'its'"),
            ("Note", "note"),
            ("\"current_date\"", "current_date"),
            ("a || b", "a | b"),
        ] {
            assert_ne!(spelling(one), spelling(other));
        }
    }

    #[test]
    fn the_canonical_spelling_reads_like_sql_and_is_spelled_the_same_again() {
        for (sql, canonical) in [
            ("a>-1 AND b IN(1,2)", "a > -1 and b in (1, 2)"),
            ("a- -1", "a - -1"),
            ("CASE WHEN x THEN 1 END-1", "case when x then 1 end - 1"),
            ("\"order\".[a \"b\"]", "\"order\".\"a \"\"b\"\"\""),
            ("json->>'$.a'", "json ->> '$.a'"),
            ("INSERT INTO Log(ref) VALUES(NEW.ref);SELECT 1;", "insert into log(ref) values (new.ref);\nselect 1;"),
            ("ümlaut='ö' /* left open", "ümlaut = 'ö'"),
        ] {
            assert_eq!(spelling(sql), canonical);
            assert_eq!(spelling(canonical), canonical);
        }
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for sql in ["'", "\"", "[", "x'", "/*", "--", ".", "0x", "1e", "", "ö", "'''", "$1"] {
            spelling(sql);
        }
    }
}
