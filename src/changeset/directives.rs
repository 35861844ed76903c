//! Directives: comments at the top of a text, `-- mtmigrate: WORD [VALUE]`.
//!
//! A comment that nearly is one is an error: passed over, it would let a text run in a way nobody asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use strsim::osa_distance;

use super::{Directives, Touched, Who, recipient, touches};
use crate::error::{Code, Diagnostic, Place};
use crate::sql::{self, Comment, Dialect};

const MARK: &str = "mtmigrate";
const WORDS: [&str; 8] =
    ["no-transaction", "lock-timeout", "statement-timeout", "touches", "touches-cluster", "template", "only", "except"];

/// The longest duration: what PostgreSQL holds in 32 bits of milliseconds, 24 days.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// Reads a text's directives; it is read in each of these dialects.
///
/// A dialect in which the text is broken is left out, for the fleet may not have that engine. Where dialects disagree
/// about what a comment is, the top of the text is read with goodwill, and the rest with reserve: a directive there is
/// an error, so every dialect must see it.
pub(super) fn read(file: &str, text: &str, dialects: &[Dialect]) -> Result<Directives, Vec<Diagnostic>> {
    let readings: Vec<_> = dialects.iter().filter_map(|&dialect| comments(text, dialect)).collect();
    let mut reader =
        Reader { file, text, directives: Directives::default(), lines: BTreeMap::new(), errors: Vec::new() };
    for (comment, at_top) in merged(&readings) {
        if let Err(e) = reader.comment(comment, at_top) {
            reader.errors.push(*e);
        }
    }
    if reader.errors.is_empty() { Ok(reader.directives) } else { Err(reader.errors) }
}

/// Reads a text's comments as its checks do: in the first of the engine's dialects in which it is not broken.
fn comments(text: &str, dialect: Dialect) -> Option<Vec<Comment<'_>>> {
    let others = || Dialect::possible(dialect.engine()).into_iter();
    sql::comments(text, dialect).ok().or_else(|| others().find_map(|dialect| sql::comments(text, dialect).ok()))
}

/// Merges the dialects' comments in order of place, and tells which are at the top.
fn merged<'c, 't>(readings: &'c [Vec<Comment<'t>>]) -> impl Iterator<Item = (&'c Comment<'t>, bool)> {
    let mut places: BTreeMap<usize, (&Comment<'_>, bool, usize)> = BTreeMap::new();
    for comment in readings.iter().flatten() {
        let (_, at_top, seen) = places.entry(comment.offset).or_insert((comment, false, 0));
        *at_top |= comment.before_first_statement;
        *seen += 1;
    }
    places.into_values().filter(|(_, at_top, seen)| *at_top || *seen == readings.len()).map(|(c, top, _)| (c, top))
}

struct Reader<'t> {
    file: &'t str,
    text: &'t str,
    directives: Directives,
    /// The line of each directive that was read.
    lines: BTreeMap<&'static str, usize>,
    errors: Vec<Diagnostic>,
}

/// What a comment is to us.
#[derive(Debug, PartialEq)]
enum Likeness<'t> {
    /// A directive: what follows `-- mtmigrate:`.
    Exact(&'t str),
    /// Meant as one: what follows the mark.
    Near(&'t str),
    No,
}

impl<'t> Reader<'t> {
    fn comment(&mut self, comment: &Comment<'t>, at_top: bool) -> Result<(), Box<Diagnostic>> {
        let (content, near) = match likeness(comment.text) {
            Likeness::Exact(content) => (content, false),
            Likeness::Near(content) => (content, true),
            Likeness::No => return Ok(()),
        };
        let right = format!("-- mtmigrate: {}", content.split_whitespace().collect::<Vec<_>>().join(" "));
        if near {
            return Err(self.error(comment, "this comment is nearly a directive", format!("write `{right}`")));
        }
        if !at_top {
            let message = "this directive stands after the first statement, where it has no effect";
            return Err(self.error(comment, message, "move it to the top of the file".to_owned()));
        }
        let (word, value) = word_and_value(content);
        let Some(word) = WORDS.into_iter().find(|w| *w == word) else {
            return Err(self.unknown(comment, word));
        };
        if let Some(line) = self.lines.insert(word, comment.line) {
            let message = format!("`{word}` stands in line {line} already");
            return Err(self.error(comment, &message, "keep one of them".to_owned()));
        }
        match word {
            "no-transaction" | "touches-cluster" | "template" if !value.is_empty() => {
                let hint = format!("write `-- mtmigrate: {word}` alone on its line");
                return Err(self.error(comment, &format!("`{word}` takes no value"), hint));
            }
            "no-transaction" => self.directives.no_transaction = true,
            "touches-cluster" => self.directives.touches_cluster = true,
            "template" => self.directives.template = true,
            "only" => self.directives.only = self.who(comment, word, value)?,
            "except" => self.directives.except = self.who(comment, word, value)?,
            "touches" => self.directives.touches = self.places(comment, value)?,
            "lock-timeout" => self.directives.lock_timeout = Some(self.duration(comment, word, value)?),
            _ => self.directives.statement_timeout = Some(self.duration(comment, word, value)?),
        }
        Ok(())
    }

    fn unknown(&self, comment: &Comment<'t>, word: &str) -> Box<Diagnostic> {
        let meant = WORDS.into_iter().find(|known| osa_distance(known, &word.to_lowercase()) <= 3);
        let all = WORDS.map(|w| format!("`{w}`")).join(", ");
        match meant {
            _ if word.is_empty() => self.error(comment, "this directive has no word", format!("there are {all}")),
            Some(meant) => {
                self.error(comment, &format!("the directive `{word}` is unknown"), format!("did you mean `{meant}`?"))
            }
            None => self.error(comment, &format!("the directive `{word}` is unknown"), format!("there are {all}")),
        }
    }

    fn places(&self, comment: &Comment<'t>, value: &str) -> Result<Vec<Touched>, Box<Diagnostic>> {
        touches::read(value).map_err(|why| {
            let message = match value.is_empty() {
                true => "`touches` needs the schemas or tables that it allows".to_owned(),
                false => format!("the value of `touches` is wrong: {why}"),
            };
            let hint = "write schemas and tables, as `-- mtmigrate: touches public, shared.countries`";
            self.error(comment, &message, hint.to_owned())
        })
    }

    fn who(&self, comment: &Comment<'t>, word: &str, value: &str) -> Result<Vec<Who>, Box<Diagnostic>> {
        let hint = format!("write who is meant, as `-- mtmigrate: {word} label=eu,us tenant=acme* engine=postgres`");
        match recipient::read(value) {
            Ok(read) if read.is_empty() => {
                Err(self.error(comment, &format!("`{word}` does not say who is meant"), hint))
            }
            Ok(read) => Ok(read),
            Err(why) => Err(self.error(comment, &format!("the value of `{word}` is wrong: {why}"), hint)),
        }
    }

    fn duration(&self, comment: &Comment<'t>, word: &str, value: &str) -> Result<Duration, Box<Diagnostic>> {
        let example = format!("write a number and a unit, as `-- mtmigrate: {word} 5s`; 0 is no limit");
        let refuse = |why: &str| self.error(comment, why, example.clone());
        if value.is_empty() {
            return Err(refuse(&format!("`{word}` needs a duration")));
        }
        if value == "0" {
            return Ok(Duration::ZERO);
        }
        match humantime::parse_duration(value) {
            Err(e) => Err(Box::new(refuse(&format!("`{value}` is no duration")).cause(e.to_string()))),
            Ok(duration) if duration > LONGEST => Err(refuse(&format!("`{value}` is longer than 24 days"))),
            // Servers count milliseconds, and zero of them would be no limit.
            Ok(duration) if !duration.is_zero() && duration.as_millis() == 0 => {
                Err(refuse(&format!("`{value}` is shorter than a millisecond")))
            }
            Ok(duration) => Ok(duration),
        }
    }

    fn error(&self, comment: &Comment<'t>, message: &str, hint: String) -> Box<Diagnostic> {
        let (line, column) = sql::position(self.text, comment.offset);
        let len = comment.text.lines().next().unwrap_or_default().trim_end().chars().count();
        let place = Place::in_text(self.file, self.text, line, column, len);
        Box::new(Diagnostic::new(Code::BAD_DIRECTIVE, message).at(place).hint(hint))
    }
}

/// Splits `lock-timeout 5s` and `lock-timeout = 5s`.
fn word_and_value(content: &str) -> (&str, &str) {
    let content = content.trim();
    let at = content.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(content.len());
    let (word, value) = content.split_at(at);
    let value = value.trim_start();
    (word, value.strip_prefix('=').unwrap_or(value).trim())
}

/// Judges a comment with its marks.
fn likeness(comment: &str) -> Likeness<'_> {
    if let Some(body) = comment.strip_prefix("--")
        && body.starts_with([' ', '\t'])
        && let Some(content) = body.trim_start().strip_prefix(MARK).and_then(|rest| rest.strip_prefix(':'))
    {
        return Likeness::Exact(content);
    }
    let body = comment.trim_start_matches(['-', '#', '/', '*', '!', ' ', '\t']);
    let body = body.strip_suffix("*/").unwrap_or(body);
    let lines = body.lines().map(|line| line.trim_start_matches([' ', '\t', '*', '-']));
    lines.map(near).find(|likeness| *likeness != Likeness::No).unwrap_or(Likeness::No)
}

/// Judges a line of a comment, without marks: a mark and a colon, or a mark and a directive's word.
fn near(line: &str) -> Likeness<'_> {
    let at = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
    let (mark, rest) = line.split_at(at);
    if osa_distance(MARK, &mark.to_lowercase()) > 1 {
        return Likeness::No;
    }
    let spaced = rest.trim_start();
    if let Some(content) = spaced.strip_prefix([':', '=']) {
        return Likeness::Near(content);
    }
    let (word, value) = word_and_value(spaced);
    let word = word.to_lowercase();
    // Words of plain English are meant as directives only with what a directive has behind them.
    let is_meant = |known: &&str| match *known {
        "only" | "except" => value.contains('='),
        "template" => value.is_empty(),
        _ => true,
    };
    let known = WORDS.into_iter().filter(is_meant).any(|known| osa_distance(known, &word) <= 1);
    if known { Likeness::Near(spaced) } else { Likeness::No }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::EngineKind;

    fn all() -> [Dialect; 3] {
        EngineKind::ALL.map(Dialect::default_for)
    }

    fn read_all(text: &str) -> Directives {
        read("f.sql", text, &all()).unwrap_or_else(|e| panic!("{text:?}: {e:?}"))
    }

    fn refusal(text: &str) -> (String, String, String) {
        let errors = read("f.sql", text, &all()).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        let e = &errors[0];
        assert_eq!(e.code(), Code::BAD_DIRECTIVE);
        (e.place().unwrap().to_string(), e.message().to_owned(), e.what_next().unwrap_or_default().to_owned())
    }

    #[test]
    fn directives_are_read_from_the_comments_before_the_first_statement() {
        let text = "-- adds an index\n\n--  mtmigrate: no-transaction\n/* why */\n-- mtmigrate: lock-timeout 5s\n\
                    -- mtmigrate:statement-timeout = 1m 30s \nSELECT 1;\n";
        let read = read_all(text);
        assert!(read.no_transaction);
        assert_eq!(read.lock_timeout, Some(Duration::from_secs(5)));
        assert_eq!(read.statement_timeout, Some(Duration::from_secs(90)));
        assert_eq!(read_all("-- mtmigrate: lock-timeout=0\n").lock_timeout, Some(Duration::ZERO));
        assert_eq!(read_all("SELECT 1;"), Directives::default());
    }

    #[test]
    fn places_that_a_text_may_reach_are_read() {
        let read = read_all("-- mtmigrate: touches public, shared.countries\n-- mtmigrate: touches-cluster\nSELECT 1;");
        let shown: Vec<String> = read.touches.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["public", "shared.countries"]);
        assert!(read.touches_cluster);
        assert!(!read_all("-- mtmigrate: touches public\n").touches_cluster);
    }

    #[test]
    fn whom_a_text_is_for_is_read() {
        let read = read_all(
            "-- mtmigrate: template\n-- mtmigrate: only label=eu,us tenant=acme*\n-- mtmigrate: except engine=sqlite\nSELECT 1;",
        );
        let shown = |who: &[Who]| who.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(read.template);
        assert_eq!(shown(&read.only), ["label=eu", "label=us", "tenant=acme*"]);
        assert_eq!(shown(&read.except), ["engine=sqlite"]);
    }

    #[test]
    fn prose_that_mentions_mtmigrate_is_no_directive() {
        for text in [
            "-- mtmigrate is what runs this\nSELECT 1;",
            "-- migrate: by hand\nSELECT 1;",
            "-- mtmigrate only runs this once\nSELECT 1;",
            "-- mtmigrate template texts are described elsewhere\nSELECT 1;",
            "-- note: mtmigrate: no-transaction would be wrong here\nSELECT 1;",
            "SELECT '\n-- mtmigrate: no-transaction\n';",
            "SELECT 1; -- mtmigrate takes no transaction here",
        ] {
            assert_eq!(read_all(text), Directives::default(), "{text}");
        }
    }

    #[test]
    fn what_nearly_is_a_directive_is_an_error_that_shows_the_right_form() {
        for comment in [
            "--mtmigrate: no-transaction",
            "-- mtmigrate no-transaction",
            "-- MTMIGRATE: no-transaction",
            "-- mtmigrate : no-transaction",
            "-- mtmirgate: no-transaction",
            "--- mtmigrate: no-transaction",
            "# mtmigrate: no-transaction",
            "/* mtmigrate: no-transaction */",
            "/*\n * mtmigrate: no-transaction\n */",
        ] {
            let (place, message, hint) = refusal(&format!("\n  {comment}\nSELECT 1;"));
            assert_eq!(place, "f.sql:2:3");
            assert_eq!(message, "this comment is nearly a directive", "{comment}");
            assert_eq!(hint, "write `-- mtmigrate: no-transaction`", "{comment}");
        }
    }

    #[test]
    fn a_word_of_plain_english_is_meant_where_a_directives_value_follows() {
        let only = refusal("-- mtmigrate only label=eu\nSELECT 1;");
        assert_eq!(only.2, "write `-- mtmigrate: only label=eu`");
        assert_eq!(refusal("-- mtmigrate template\nSELECT 1;").2, "write `-- mtmigrate: template`");
    }

    #[test]
    fn a_directive_that_would_not_do_what_it_says_is_an_error_with_its_line() {
        for (text, message, hint) in [
            ("-- mtmigrate: no-transactions", "the directive `no-transactions` is unknown", "did you mean `no-tr"),
            ("-- mtmigrate: No_Transaction", "the directive `No_Transaction` is unknown", "did you mean `no-tr"),
            ("-- mtmigrate: for label=eu", "the directive `for` is unknown", "there are `no-transaction`, `lock"),
            ("-- mtmigrate: template yes", "`template` takes no value", "write `-- mtmigrate: template` alone"),
            (
                "-- mtmigrate: only",
                "`only` does not say who is meant",
                "write who is meant, as `-- mtmigrate: only lab",
            ),
            (
                "-- mtmigrate: except eu",
                "the value of `except` is wrong: `eu` is neither `label=…` nor `tenant=…` nor `engine=…`",
                "write who is meant, as `-- mtmigrate: except lab",
            ),
            ("-- mtmigrate:", "this directive has no word", "there are"),
            ("-- mtmigrate: no-transaction yes", "`no-transaction` takes no value", "write `-- mtmigrate: no-tra"),
            ("-- mtmigrate: lock-timeout", "`lock-timeout` needs a duration", "write a number and a unit"),
            ("-- mtmigrate: lock-timeout 5", "`5` is no duration", "write a number and a unit"),
            ("-- mtmigrate: lock-timeout -5s", "`-5s` is no duration", "write a number and a unit"),
            ("-- mtmigrate: lock-timeout 10us", "`10us` is shorter than a millisecond", "write a number"),
            ("-- mtmigrate: touches-cluster on", "`touches-cluster` takes no value", "write `-- mtmigrate: touches-cl"),
            (
                "-- mtmigrate: touches",
                "`touches` needs the schemas or tables that it allows",
                "write schemas and tables",
            ),
            (
                "-- mtmigrate: touches public;",
                "the value of `touches` is wrong: `;` is not understood",
                "write schemas and tables",
            ),
            ("-- mtmigrate: touch public", "the directive `touch` is unknown", "did you mean `touches`?"),
            ("-- mtmigrate: touches_cluster", "the directive `touches_cluster` is unknown", "did you mean `touches-cl"),
            ("-- mtmigrate: lock-timeout 40d", "`40d` is longer than 24 days", "write a number"),
        ] {
            let (place, found, next) = refusal(&format!("{text}\nSELECT 1;"));
            assert_eq!((place.as_str(), found.as_str()), ("f.sql:1:1", message), "{text}");
            assert!(next.starts_with(hint), "{text}: {next}");
        }
        let twice = refusal("-- mtmigrate: lock-timeout 5s\n-- mtmigrate: lock-timeout 6s\n");
        assert_eq!((twice.0.as_str(), twice.1.as_str()), ("f.sql:2:1", "`lock-timeout` stands in line 1 already"));
        let late = refusal("SELECT 1;\n-- mtmigrate: no-transaction\n");
        assert_eq!(late.0, "f.sql:2:1");
        assert!(late.1.contains("after the first statement"));
    }

    #[test]
    fn a_text_that_only_another_sql_mode_can_read_has_its_directives_all_the_same() {
        let text = "-- mtmigrate: lock-timeout 5s\nINSERT INTO t VALUES ('C:\\');";
        let mysql = Dialect::default_for(EngineKind::MySql);
        assert!(sql::comments(text, mysql).is_err());
        assert_eq!(read("f.sql", text, &[mysql]).unwrap().lock_timeout, Some(Duration::from_secs(5)));
        let wrong = text.replace("5s", "soon");
        assert!(read("f.sql", &wrong, &[mysql]).is_err());
    }

    #[test]
    fn a_dialect_in_which_the_text_is_broken_has_no_say() {
        let text =
            "-- mtmigrate: no-transaction\nDO $$ BEGIN PERFORM 'it''s'; RAISE 'don''t \"'; END $$; SELECT $q$'$q$;";
        assert!(sql::comments(text, Dialect::Sqlite).is_err());
        assert!(read_all(text).no_transaction);
    }
}
