//! Texts with placeholders: `${literal:NAME}` and `${ident:NAME}` in a text with the directive `template`.
//!
//! Pure. A value never becomes SQL: [`super::quote`] writes it as one literal or one identifier, and a placeholder stands
//! where one token can stand. The file's text is what the checksum is of; what runs is [`Text::rendered`].

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::recipient::Recipient;
use super::{Directives, Text, quote};
use crate::error::{Code, Diagnostic, Place};
use crate::sql::{Dialect, EngineKind, Standing, position, standings};

/// What a placeholder becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// A string literal.
    Literal,
    /// A quoted identifier.
    Ident,
}

impl Form {
    fn parse(word: &str) -> Option<Self> {
        [Self::Literal, Self::Ident].into_iter().find(|form| form.as_str() == word)
    }

    /// Returns the word in a placeholder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Literal => "literal",
            Self::Ident => "ident",
        }
    }
}

/// A `${…}` of a text, or `$${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark<'t> {
    /// Where it stands, with its braces.
    pub span: Range<usize>,
    pub what: What<'t>,
}

/// What a `${…}` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What<'t> {
    /// A variable's value, or a fact of the tenant's: `tenant.name`.
    Value(Form, &'t str),
    /// `$${`, which writes `${`.
    Escape,
    /// Something else: what is wrong with it.
    Wrong(&'static str),
}

/// Finds every `${…}` of a text, wherever it stands.
pub(super) fn marks(text: &str) -> Vec<Mark<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find("${").map(|next| at + next) {
        // The dollar before may be the end of one that was read already.
        if next > at && text[..next].ends_with('$') {
            found.push(Mark { span: next - 1..next + 2, what: What::Escape });
            at = next + 2;
            continue;
        }
        let line = text[next..].split('\n').next().unwrap_or_default();
        let (end, what) = match line.find('}') {
            Some(end) => (end + 1, value(&line[2..end])),
            None => (line.trim_end().len(), What::Wrong("has no `}` on its line")),
        };
        found.push(Mark { span: next..next + end, what });
        at = next + end;
    }
    found
}

fn value(inside: &str) -> What<'_> {
    let Some((form, name)) = inside.split_once(':') else {
        return What::Wrong("does not say what the value becomes");
    };
    match (Form::parse(form), is_name(name)) {
        (None, _) => What::Wrong("is neither `literal` nor `ident`"),
        (_, false) => What::Wrong("names no variable"),
        (Some(form), true) => What::Value(form, name),
    }
}

fn is_name(name: &str) -> bool {
    let name = name.strip_prefix("tenant.").unwrap_or(name);
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Returns the text with a word of the same length in the place of each `${…}`: what checks read that know no tenant. Lines
/// and columns are those of the file.
pub(super) fn neutral(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut done = 0;
    for Mark { span, .. } in marks(text) {
        made.push_str(&text[done..span.start]);
        // As many characters, so that columns stay; as many bytes, so that offsets do.
        made.extend(text[span.clone()].chars().flat_map(|c| std::iter::repeat_n('_', c.len_utf8())));
        done = span.end;
    }
    made.push_str(&text[done..]);
    made
}

/// Returns what each mark is to an engine; `None` where its dialects disagree.
///
/// Only a server knows its `sql_mode`: a dialect in which the text is broken is left out, as in the checks.
fn standing(text: &str, engine: EngineKind, marks: &[Mark<'_>]) -> Vec<Option<Standing>> {
    let (neutral, parts) = (neutral(text), marks.iter().map(|mark| mark.span.clone()).collect::<Vec<_>>());
    let mut readings =
        Dialect::possible(engine).into_iter().filter_map(|dialect| standings(&neutral, dialect, &parts).ok());
    let mut found: Vec<Option<Standing>> = match readings.next() {
        Some(first) => first.into_iter().map(Some).collect(),
        None => vec![None; marks.len()],
    };
    for reading in readings {
        for (found, other) in found.iter_mut().zip(reading) {
            *found = found.filter(|standing| *standing == other);
        }
    }
    found
}

/// Returns the values that a template asks for on an engine, each with where it stands first.
pub(super) fn asked(text: &Text, engine: EngineKind) -> Vec<(Form, &str, Range<usize>)> {
    let marks = marks(&text.sql);
    let standings = standing(&text.sql, engine, &marks);
    let mut asked: Vec<(Form, &str, Range<usize>)> = Vec::new();
    for (mark, standing) in marks.into_iter().zip(standings) {
        if let (What::Value(form, name), Some(Standing::Alone)) = (mark.what, standing)
            && !asked.iter().any(|(other, known, _)| (*other, *known) == (form, name))
        {
            asked.push((form, name, mark.span));
        }
    }
    asked
}

/// Returns what is wrong with a template's placeholders, as this engine reads it. Nothing of a text that is none, nor of
/// one that the engine cannot split.
pub(super) fn mistakes(text: &Text, engine: EngineKind) -> Vec<Diagnostic> {
    if !text.directives.template {
        return Vec::new();
    }
    let marks = marks(&text.sql);
    let standings = standing(&text.sql, engine, &marks);
    let judged = marks.iter().zip(standings).filter_map(|(mark, standing)| {
        let why = match (mark.what, standing) {
            (_, Some(Standing::Comment)) => return None,
            (What::Wrong(why), _) => return Some(wrong(text, mark, why)),
            (What::Escape, _) | (_, Some(Standing::Alone)) => return None,
            (_, Some(Standing::InLiteral)) => {
                "stands inside a string, and would be quoted twice; a string of dollars is one too"
            }
            (_, Some(Standing::InName)) => "stands inside a quoted name, and would be quoted twice",
            (_, Some(Standing::Joined)) => "is a part of a longer word, or stands right beside a quote",
            (_, None) => "is a word under one sql_mode and a part of a string or a comment under another",
        };
        Some(wrong(text, mark, why))
    });
    judged.collect()
}

fn wrong(text: &Text, mark: &Mark<'_>, why: &str) -> Diagnostic {
    let written = &text.sql[mark.span.clone()];
    let hint = match mark.what {
        What::Value(..) => {
            "let it stand alone, where a literal or a name can stand: `region = ${literal:region}`; with `||` or concat() it \
             becomes a part of a longer text"
        }
        _ => "write `${literal:NAME}` for a string or `${ident:NAME}` for a name; `$${` writes `${`",
    };
    Diagnostic::new(Code::BAD_PLACEHOLDER, format!("`{}` {why}", crate::error::short(written, 60)))
        .at(place(text, &mark.span))
        .hint(hint)
}

/// Points at a part of a file's text.
pub(super) fn place(text: &Text, span: &Range<usize>) -> Place {
    let (line, column) = position(&text.sql, span.start);
    Place::in_text(&text.file, &text.sql, line, column, text.sql[span.clone()].chars().count())
}

/// The file's text of a rendered one, and which offsets are whose.
#[derive(Debug)]
pub(crate) struct Origin {
    sql: String,
    /// For each placeholder: what it became, and what stands in the file.
    parts: Vec<(Range<usize>, Range<usize>)>,
}

impl Origin {
    /// Returns the offset in the file of an offset in what was made of it.
    fn offset(&self, made: usize) -> usize {
        let after = self.parts.partition_point(|(became, _)| became.start <= made);
        match after.checked_sub(1).map(|at| &self.parts[at]) {
            None => made,
            Some((became, written)) if made < became.end => written.start,
            Some((became, written)) => made - became.end + written.end,
        }
    }
}

impl Text {
    /// Returns the text as checks read it that know no tenant.
    pub(crate) fn neutral(&self) -> Cow<'_, str> {
        match self.directives.template {
            true => Cow::Owned(neutral(&self.sql)),
            false => Cow::Borrowed(&self.sql),
        }
    }

    /// Returns what runs on a tenant: this text, unless it is a template. The checksum stays the file's.
    ///
    /// # Errors
    /// `MT134` for a variable that the tenant has not, `MT136` for a value that cannot stand there; both are found before
    /// anything runs ([`super::check_variables`]).
    pub fn rendered(&self, recipient: &Recipient<'_>) -> Result<Cow<'_, Text>, Diagnostic> {
        if !self.directives.template || self.origin.is_some() {
            return Ok(Cow::Borrowed(self));
        }
        let marks = marks(&self.sql);
        let standings = standing(&self.sql, recipient.engine, &marks);
        let (mut sql, mut parts, mut done) = (String::with_capacity(self.sql.len()), Vec::new(), 0);
        for (mark, standing) in marks.into_iter().zip(standings) {
            let written = match (mark.what, standing) {
                (_, Some(Standing::Comment)) => continue,
                (What::Escape, _) => "${".to_owned(),
                (What::Value(form, name), Some(Standing::Alone)) => {
                    let value = recipient.value(name).ok_or_else(|| missing(self, &mark, recipient))?;
                    quote::quoted(&value, form, recipient.engine)
                        .map_err(|why| refused(self, &mark, recipient, &why))?
                }
                _ => return Err(wrong(self, &mark, "cannot be filled in")),
            };
            sql.push_str(&self.sql[done..mark.span.start]);
            let start = sql.len();
            sql.push_str(&written);
            done = mark.span.end;
            parts.push((start..sql.len(), mark.span));
        }
        sql.push_str(&self.sql[done..]);
        let origin = Some(Arc::new(Origin { sql: self.sql.clone(), parts }));
        let (file, directives, checksums) = (self.file.clone(), self.directives.clone(), self.checksums.clone());
        Ok(Cow::Owned(Text { file, sql, directives, empty: self.empty, checksums, origin }))
    }

    /// Returns the text of which nothing runs: what a tenant gets that the changeset is not for.
    pub fn skipped(&self) -> Text {
        let (file, directives, checksums) = (self.file.clone(), Directives::default(), self.checksums.clone());
        Text { file, sql: String::new(), directives, empty: true, checksums, origin: None }
    }

    /// Points from a byte of what runs to the end of its line, in the file.
    pub fn place_at(&self, offset: usize) -> Place {
        let (sql, offset) = match &self.origin {
            Some(origin) => (&origin.sql, origin.offset(offset)),
            None => (&self.sql, offset),
        };
        let (line, column) = position(sql, offset);
        Place::rest_of_line(&self.file, sql, line, column)
    }

    /// Points from a line and a column of what runs to the end of that line, in the file.
    pub fn place(&self, line: usize, column: usize) -> Place {
        match &self.origin {
            Some(_) => self.place_at(offset_of(&self.sql, line, column)),
            None => Place::rest_of_line(&self.file, &self.sql, line, column),
        }
    }

    /// Points at `len` characters of what runs, in the file; of a template to the end of the line.
    pub fn place_of(&self, line: usize, column: usize, len: usize) -> Place {
        match &self.origin {
            Some(_) => self.place(line, column),
            None => Place::in_text(&self.file, &self.sql, line, column, len),
        }
    }
}

/// Returns the byte of a line and a column, both from 1.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let inside: usize = text[before..].chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
    before + inside
}

fn missing(text: &Text, mark: &Mark<'_>, recipient: &Recipient<'_>) -> Diagnostic {
    let written = &text.sql[mark.span.clone()];
    let message = format!("{} asks for `{written}`, which tenant {} has not", text.file, recipient.name);
    Diagnostic::new(Code::MISSING_VARIABLE, message).at(place(text, &mark.span))
}

fn refused(text: &Text, mark: &Mark<'_>, recipient: &Recipient<'_>, why: &str) -> Diagnostic {
    let written = &text.sql[mark.span.clone()];
    let message = format!("{}: `{written}` of tenant {} {why}", text.file, recipient.name);
    Diagnostic::new(Code::BAD_VARIABLE, message).at(place(text, &mark.span))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::changeset::{Checksums, Version, Width};
    use crate::sql;

    /// A template of this text.
    fn template(sql: &str) -> Text {
        Text {
            file: "V1__x.sql".into(),
            sql: sql.into(),
            directives: Directives { template: true, ..Directives::default() },
            empty: false,
            checksums: Checksums::new(Version(1), "x", sql, None),
            origin: None,
        }
    }

    /// What a template becomes for a tenant of this engine.
    fn rendered(sql: &str, engine: EngineKind) -> Result<Text, Diagnostic> {
        let vars: BTreeMap<String, String> =
            [("region", "eu'1"), ("owner", "my\"role"), ("lines", "a\nb"), ("_1", "\\"), ("nul", "\0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let (labels, database) = (BTreeSet::new(), "shared");
        let acme = Recipient { name: "acme", engine, labels: &labels, vars: &vars, database, schema: None };
        template(sql).rendered(&acme).map(Cow::into_owned)
    }

    #[test]
    fn a_placeholder_becomes_one_literal_or_one_identifier() {
        for (sql, expected) in [
            ("SELECT ${literal:region};", "SELECT 'eu''1';"),
            ("ALTER TABLE t OWNER TO ${ident:owner}", "ALTER TABLE t OWNER TO \"my\"\"role\""),
            ("SELECT ${literal:_1}, 1", "SELECT E'\\\\', 1"),
            ("SELECT ${literal:tenant.name} FROM ${ident:tenant.database}.t", "SELECT 'acme' FROM \"shared\".t"),
            ("SELECT '$${x}' -- ${literal:region} $${\n", "SELECT '${x}' -- ${literal:region} $${\n"),
            ("/* ${what} */ SELECT $1, $$ $$", "/* ${what} */ SELECT $1, $$ $$"),
        ] {
            assert_eq!(rendered(sql, EngineKind::Postgres).unwrap().sql, expected, "{sql}");
        }
        assert_eq!(rendered("SELECT ${literal:_1}", EngineKind::MySql).unwrap().sql, "SELECT _utf8mb4 x'5c'");
    }

    proptest! {
        /// Whatever the value is, it stays one token, by every rule that the server may read by.
        #[test]
        fn no_value_ends_the_statement_that_it_stands_in(value in "[';\"`\\\\$\\-/*#{}\\n a\u{fc}\u{2603}]{1,12}") {
            let text = "SELECT ${literal:v}, ${ident:v} FROM t; -- ${literal:v}\nSELECT 2";
            for engine in EngineKind::ALL {
                let vars = BTreeMap::from([("v".to_owned(), value.clone())]);
                let (labels, name, database) = (BTreeSet::new(), "acme", "d");
                let acme = Recipient { name, engine, labels: &labels, vars: &vars, database, schema: None };
                // Some values are no names there.
                let text = template(text);
                let Ok(made) = text.rendered(&acme) else { continue };
                for dialect in Dialect::possible(engine) {
                    let statements = sql::split(&made.sql, dialect).unwrap();
                    prop_assert_eq!(statements.len(), 2, "{:?}: {}", dialect, made.sql);
                    prop_assert_eq!(statements[1].text, "SELECT 2");
                }
            }
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_file() {
        let sql = "SELECT ${literal:region};";
        let (made, file) = (rendered(sql, EngineKind::Sqlite).unwrap(), template(sql));
        assert_eq!(made.checksum(Width::Int4), file.checksum(Width::Int4));
        assert_eq!(file.skipped().checksum(Width::Int8), file.checksum(Width::Int8));
        assert!(file.skipped().sql.is_empty());
    }

    #[test]
    fn a_place_in_what_runs_is_shown_in_the_file() {
        let made = rendered("SELECT ${literal:lines},\n  ${literal:region}, oops\nFROM t", EngineKind::Sqlite).unwrap();
        assert_eq!(made.sql, "SELECT 'a\nb',\n  'eu''1', oops\nFROM t");
        for (written, place) in
            [("SELECT", "1:1"), ("b',", "1:8"), ("'eu", "2:3"), ("1'", "2:3"), ("oops", "2:22"), ("FROM", "3:1")]
        {
            let found = made.place_at(made.sql.find(written).unwrap());
            assert_eq!(found.to_string(), format!("V1__x.sql:{place}"), "{written}");
            assert!(!found.excerpt.contains("eu"), "a value is nowhere in a message");
        }
        assert_eq!(made.place(3, 12).to_string(), "V1__x.sql:2:22");
    }

    #[test]
    fn what_cannot_be_filled_in_is_an_error() {
        for (sql, code) in [
            ("SELECT ${literal:none}", Code::MISSING_VARIABLE),
            ("SELECT ${ident:tenant.schema}", Code::MISSING_VARIABLE),
            ("SELECT ${literal:nul}", Code::BAD_VARIABLE),
            ("SELECT '${literal:region}'", Code::BAD_PLACEHOLDER),
            ("SELECT ${region}", Code::BAD_PLACEHOLDER),
        ] {
            assert_eq!(rendered(sql, EngineKind::Postgres).unwrap_err().code(), code, "{sql}");
        }
    }

    #[test]
    fn a_placeholder_that_is_none_is_said_with_its_place() {
        let said = |sql: &str, engine| -> Vec<String> {
            let found = mistakes(&template(sql), engine).into_iter();
            found.map(|mistake| format!("{}: {}", mistake.place().unwrap(), mistake.message())).collect()
        };
        let quoted = "and would be quoted twice";
        for (sql, expected) in [
            ("SELECT ${region}", "1:8: `${region}` does not say what the value becomes".to_owned()),
            ("SELECT\n ${text:a}", "2:2: `${text:a}` is neither `literal` nor `ident`".to_owned()),
            ("SELECT ${literal:1a}", "1:8: `${literal:1a}` names no variable".to_owned()),
            ("SELECT ${literal: a}", "1:8: `${literal: a}` names no variable".to_owned()),
            ("SELECT ${literal:a\n}", "1:8: `${literal:a` has no `}` on its line".to_owned()),
            (
                "SELECT 'x ${literal:a}'",
                format!("1:11: `${{literal:a}}` stands inside a string, {quoted}; a string of dollars is one too"),
            ),
            (
                "DO $$ ${literal:a} $$",
                format!("1:7: `${{literal:a}}` stands inside a string, {quoted}; a string of dollars is one too"),
            ),
            ("SELECT \"${ident:a}\"", format!("1:9: `${{ident:a}}` stands inside a quoted name, {quoted}")),
            (
                "SELECT a_${ident:a}",
                "1:10: `${ident:a}` is a part of a longer word, or stands right beside a quote".to_owned(),
            ),
            (
                "SELECT ${ident:a}${ident:b}",
                "1:8: `${ident:a}` is a part of a longer word, or stands right beside a quote".to_owned(),
            ),
        ] {
            assert_eq!(said(sql, EngineKind::Postgres).first(), Some(&format!("V1__x.sql:{expected}")), "{sql}");
        }
        assert!(said("SELECT ${literal:a}, '$${x}' -- ${y}", EngineKind::Postgres).is_empty());
        let moody = said("SELECT '\\', ${literal:a} -- '", EngineKind::MySql);
        assert_eq!(moody.len(), 1, "{moody:?}");
        assert!(moody[0].contains("sql_mode"), "{moody:?}");
    }

    #[test]
    fn checks_read_words_in_the_place_of_placeholders_and_lines_and_columns_stay() {
        let sql = "SELECT ${literal:größe}, '$${' ${";
        let neutral = neutral(sql);
        assert_eq!(neutral.len(), sql.len());
        assert_eq!(neutral, "SELECT __________________, '___' __");
    }
}
