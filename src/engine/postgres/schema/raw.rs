//! Takes the name of its own schema out of a routine's raw text, which the server keeps as it was written.

use std::collections::HashSet;

/// What stands for the schema's own name in a routine's settings.
const OWN: &str = "<schema>";

/// A tenant's schema, as texts may name it.
pub(super) struct Own<'s> {
    pub schema: &'s str,
    /// The names of its relations, types and routines.
    pub names: HashSet<&'s str>,
}

impl Own<'_> {
    /// Takes `schema.` away before a name of the schema's, quoted or not; in comments too, and never in a literal.
    pub fn out_of_body(&self, body: &str) -> String {
        if !self.is_in(body) {
            return body.to_owned();
        }
        let mut made = String::with_capacity(body.len());
        let mut at = 0;
        let mut after_dot = false;
        while at < body.len() {
            let token = token(body, at);
            let text = &body[at..at + token.length];
            at += token.length;
            match token.kind {
                Kind::Comment => made.push_str(&self.out_of_comment(text)),
                Kind::Name if !after_dot && name(text) == self.schema => match self.qualified(&body[at..]) {
                    Some(skipped) => at += skipped,
                    None => made.push_str(text),
                },
                _ => made.push_str(text),
            }
            after_dot = text == "." || after_dot && token.kind == Kind::Space;
        }
        made
    }

    /// Puts a token for the schema into a setting such as `search_path=acme, pg_temp`.
    pub fn out_of_settings(&self, settings: &str) -> String {
        let lines = settings.lines().map(|line| match line.split_once('=') {
            Some(("search_path", path)) => {
                format!("search_path={}", self.out_of_path(path))
            }
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Each name in a list is bare or quoted, and nothing but names is in it.
    fn out_of_path(&self, path: &str) -> String {
        let mut made = String::with_capacity(path.len());
        let mut at = 0;
        while at < path.len() {
            let token = token(path, at);
            let text = &path[at..at + token.length];
            at += token.length;
            made.push_str(if token.kind == Kind::Name && name(text) == self.schema { OWN } else { text });
        }
        made
    }

    /// Cheap, and wrong only in the harmless direction.
    fn is_in(&self, text: &str) -> bool {
        let quoted = self.schema.replace('"', "\"\"");
        let found = |part: &str| text.contains(part);
        found(self.schema) || found(&quoted) || text.to_lowercase().contains(self.schema)
    }

    /// A comment has no literals: an apostrophe in it is one.
    fn out_of_comment(&self, comment: &str) -> String {
        let mut made = String::with_capacity(comment.len());
        let mut at = 0;
        while at < comment.len() {
            let rest = &comment[at..];
            let length = word(rest).or_else(|| quoted(rest, '"').filter(|_| rest.starts_with('"')));
            let Some(length) = length else {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                made.push_str(&rest[..length]);
                at += length;
                continue;
            };
            at += length;
            match self.qualified(&comment[at..]).filter(|_| name(&rest[..length]) == self.schema) {
                Some(skipped) => at += skipped,
                None => made.push_str(&rest[..length]),
            }
        }
        made
    }

    /// Returns how much stands before a name of the schema's if a dot and such a name come next.
    fn qualified(&self, rest: &str) -> Option<usize> {
        let dot = rest.trim_start();
        let next = dot.strip_prefix('.')?.trim_start();
        let token = token(next, 0);
        let is_own = token.kind == Kind::Name && self.names.contains(name(&next[..token.length]).as_str());
        is_own.then(|| rest.len() - next.len())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    Literal,
    Comment,
    Space,
    Other,
}

struct Token {
    kind: Kind,
    length: usize,
}

/// Reads what stands at an offset, by the server's lexical rules. Never empty; what does not end goes to the end.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>
fn token(text: &str, at: usize) -> Token {
    let rest = &text[at..];
    let made = |kind, length| Token { kind, length };
    let first = rest.chars().next().unwrap_or(' ');
    match first {
        _ if first.is_whitespace() => made(Kind::Space, rest.len() - rest.trim_start().len()),
        '-' if rest.starts_with("--") => made(Kind::Comment, rest.find(['\n', '\r']).unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => made(Kind::Comment, block(rest)),
        '\'' => made(Kind::Literal, quoted(rest, '\'').unwrap_or(rest.len())),
        '"' => made(Kind::Name, quoted(rest, '"').unwrap_or(rest.len())),
        '$' => match dollar(rest) {
            Some(length) => made(Kind::Literal, length),
            None => made(Kind::Other, 1),
        },
        'e' | 'E' if rest[1..].starts_with('\'') => made(Kind::Literal, 1 + escaped(&rest[1..])),
        _ => match word(rest) {
            Some(length) => made(Kind::Name, length),
            None if first.is_ascii_digit() => {
                let ends = |c: char| !(c.is_alphanumeric() || c == '_');
                made(Kind::Other, rest.find(ends).unwrap_or(rest.len()))
            }
            None => made(Kind::Other, first.len_utf8()),
        },
    }
}

/// The length of the word that a text begins with.
fn word(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let begins = first.is_ascii_alphabetic() || first == '_' || !first.is_ascii() && !first.is_whitespace();
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii() && !c.is_whitespace());
    begins.then(|| text.find(ends).unwrap_or(text.len()))
}

/// The length of what stands in quotes at the start, where a doubled one is no end.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.find(quote)? + 1;
        if !text[at..].starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

fn escaped(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => drop(chars.next()),
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn dollar(text: &str) -> Option<usize> {
    let tag = text[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))? + 1;
    let is_tag = text[tag..].starts_with('$') && !text[1..].starts_with(|c: char| c.is_ascii_digit());
    let tag = is_tag.then(|| &text[..=tag])?;
    Some(text[tag.len()..].find(tag).map_or(text.len(), |end| end + 2 * tag.len()))
}

fn block(text: &str) -> usize {
    let (mut depth, mut at) = (1, 2);
    while depth > 0 {
        let Some(next) = text.get(at..).and_then(|rest| rest.find(['/', '*'])) else { return text.len() };
        at += next;
        match &text.as_bytes()[at..] {
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// Returns what an identifier names: quotes taken off, or folded.
fn name(identifier: &str) -> String {
    match identifier.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').unwrap_or(quoted).replace("\"\"", "\""),
        None => identifier.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_schema_is_taken_out_of_a_body_and_stays_in_literals() {
        let own = Own { schema: "acme", names: ["orders", "total"].into() };
        for (body, expected) in [
            ("SELECT * FROM acme.orders", "SELECT * FROM orders"),
            ("SELECT * FROM \"acme\" . \"orders\", ACME.total()", "SELECT * FROM \"orders\", total()"),
            ("SELECT acme.note FROM lines acme", "SELECT acme.note FROM lines acme"),
            ("SELECT x.acme.orders", "SELECT x.acme.orders"),
            ("SELECT 'acme.orders', $$acme.orders$$", "SELECT 'acme.orders', $$acme.orders$$"),
            ("SELECT E'\\'acme.orders', $1, acme.total()", "SELECT E'\\'acme.orders', $1, total()"),
            ("-- don't use acme.orders\nSELECT acme.total()", "-- don't use orders\nSELECT total()"),
            ("/* a /* acme.orders */ ' */ acme.orders", "/* a /* orders */ ' */ orders"),
            ("SELECT 'acme.orders", "SELECT 'acme.orders"),
            ("SELECT U&'acme.orders' || macme.orders", "SELECT U&'acme.orders' || macme.orders"),
            ("$a$ acme.orders", "$a$ acme.orders"),
        ] {
            assert_eq!(own.out_of_body(body), expected);
        }
    }

    #[test]
    fn the_own_schema_in_a_setting_is_a_token() {
        let own = Own { schema: "A b", names: HashSet::new() };
        let settings = "search_path=\"A b\", \"x, \"\"A b\", pg_temp\nwork_mem=A b";
        assert_eq!(own.out_of_settings(settings), "search_path=<schema>, \"x, \"\"A b\", pg_temp\nwork_mem=A b");
    }
}
