//! The splitter: `sql::split`, `sql::comments`, `sql::hazards`, under every dialect and `sql_mode`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::time::{Duration, Instant};

use mtmigrate::sql::{Dialect, EngineKind, HazardKind, SqlMode, Statement};
use mtmigrate::sql::{comments, hazards, is_plain, position, split};

use super::line_and_column;

/// How long a text is made by repeating it, in bytes, and how long reading it may take then.
///
/// What is linear takes less than a second without optimisation, on a slow machine. What is quadratic takes minutes.
const LONG: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// One text in this many is made long.
const ONE_IN: u64 = 4096;

/// Checks one text under all dialects; bytes that are not UTF-8 are replaced.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for dialect in dialects() {
        check_in(&text, dialect);
    }
    for engine in EngineKind::ALL {
        is_plain(&text, engine);
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    if hasher.finish().is_multiple_of(ONE_IN) {
        check_time(&text);
    }
}

/// Every dialect, MySQL's under every mode that changes how a text is read.
fn dialects() -> impl Iterator<Item = Dialect> {
    let modes = (0..8).map(|bits| {
        Dialect::MySql(SqlMode { ansi_quotes: bits & 1 > 0, no_backslash_escapes: bits & 2 > 0, oracle: bits & 4 > 0 })
    });
    [Dialect::Postgres, Dialect::Sqlite].into_iter().chain(modes)
}

/// Reading a long text takes time that grows with its length, not with its square.
pub fn check_time(unit: &str) {
    if unit.is_empty() {
        return;
    }
    let text = unit.repeat(LONG.div_ceil(unit.len()));
    for dialect in dialects() {
        let begun = Instant::now();
        drop((split(&text, dialect), comments(&text, dialect), hazards(&text, dialect)));
        assert!(begun.elapsed() < PATIENCE, "{dialect:?} takes {:?} for {LONG} bytes of {unit:?}", begun.elapsed());
    }
}

fn check_in(text: &str, dialect: Dialect) {
    let split_once = split(text, dialect);
    assert_eq!(split_once, split(text, dialect), "{dialect:?}: another time, another answer");
    let comments = check_comments(text, dialect);
    let commands = check_hazards(text, dialect);
    match split_once {
        Ok(statements) => {
            check_places(text, &statements);
            if let (Some(comments), Some(false)) = (comments, commands) {
                check_gaps(text, dialect, &statements, comments);
            }
            check_joined(text, dialect, &statements);
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.offset) && !error.message.is_empty());
            assert_eq!((error.line, error.column), line_and_column(text, error.offset), "{error:?}");
        }
    }
}

/// Statements are slices of the text, in order, and know where they stand.
fn check_places(text: &str, statements: &[Statement<'_>]) {
    let mut end = 0;
    for statement in statements {
        assert!(statement.offset >= end && !statement.text.is_empty(), "{statement:?}");
        end = statement.offset + statement.text.len();
        assert_eq!(text.get(statement.offset..end), Some(statement.text));
        assert_eq!((statement.line, statement.column), line_and_column(text, statement.offset), "{statement:?}");
        assert_eq!(position(text, statement.offset), (statement.line, statement.column));
        assert_eq!(statement.text.trim_ascii(), statement.text);
    }
}

/// Returns where the comments stand, if the text can be read.
fn check_comments(text: &str, dialect: Dialect) -> Option<Vec<Range<usize>>> {
    let found = comments(text, dialect).ok()?;
    let mut end = 0;
    let mut leading = true;
    for comment in &found {
        assert!(comment.offset >= end, "{comment:?}");
        end = comment.offset + comment.text.len();
        assert_eq!(text.get(comment.offset..end), Some(comment.text));
        assert_eq!(comment.line, line_and_column(text, comment.offset).0);
        assert!(comment.text.starts_with(['-', '/', '#']), "{comment:?}");
        assert!(leading || !comment.before_first_statement, "{comment:?}");
        leading = comment.before_first_statement;
    }
    Some(found.iter().map(|comment| comment.offset..comment.offset + comment.text.len()).collect())
}

/// Returns whether a client command is in it, if the text can be read.
fn check_hazards(text: &str, dialect: Dialect) -> Option<bool> {
    let found = hazards(text, dialect).ok()?;
    let mut last = None;
    for hazard in &found {
        assert!(last < Some(hazard.offset), "{found:?}");
        last = Some(hazard.offset);
        assert_eq!((hazard.line, hazard.column), line_and_column(text, hazard.offset), "{hazard:?}");
        let words: Vec<&str> = hazard.words.split_whitespace().collect();
        assert!(hazard.words.chars().count() <= 60 && words.join(" ") == hazard.words.trim(), "{hazard:?}");
        if let Some(first) = words.first() {
            let there = text[hazard.offset..].trim_start();
            let same = there.chars().zip(first.chars()).all(|(a, b)| a == b);
            assert!(same, "{hazard:?} is not what stands there");
        }
    }
    let of_a_client = [HazardKind::MetaCommand, HazardKind::ClientCommand, HazardKind::CopyFromStdin];
    Some(found.iter().any(|hazard| of_a_client.contains(&hazard.kind)))
}

/// Between the statements stand white space, comments, ends of statements and DELIMITER lines, and nothing else.
fn check_gaps(text: &str, dialect: Dialect, statements: &[Statement<'_>], mut comments: Vec<Range<usize>>) {
    let mut delimiter = ";".to_owned();
    let mut at = 0;
    comments.reverse();
    let mut statements = statements.iter().peekable();
    while at < text.len() {
        let rest = &text[at..];
        while comments.last().is_some_and(|comment| comment.end <= at) {
            comments.pop();
        }
        if let Some(statement) = statements.next_if(|statement| statement.offset == at) {
            at += statement.text.len();
        } else if let Some(comment) = comments.last().filter(|comment| comment.start == at) {
            at = comment.end;
        } else if rest.starts_with(|c: char| c.is_ascii_whitespace() || c == '\u{b}') {
            at += 1;
        } else if at == 0 && rest.starts_with('\u{feff}') {
            at += '\u{feff}'.len_utf8();
        } else if rest.starts_with(delimiter.as_str()) {
            at += delimiter.len();
        } else if rest.starts_with(';') {
            at += 1;
        } else if let Some(argument) = delimiter_line(dialect, rest) {
            let line = rest.split('\n').next().unwrap_or_default();
            delimiter = argument;
            at += line.trim_end().len();
        } else {
            panic!("{dialect:?} loses what stands at byte {at}: {:?}", rest.chars().take(20).collect::<String>());
        }
    }
}

fn delimiter_line(dialect: Dialect, rest: &str) -> Option<String> {
    let word = rest.get(..9).filter(|word| word.eq_ignore_ascii_case("delimiter"))?;
    let argument = rest[word.len()..].split('\n').next()?.trim();
    let argument = match argument.chars().next() {
        Some(mark @ ('\'' | '"' | '`')) if argument[1..].contains(mark) => argument[1..].split(mark).next()?,
        _ => argument.split_whitespace().next()?,
    };
    matches!(dialect, Dialect::MySql(_)).then(|| argument.to_owned())
}

/// Joined again, statements split into themselves.
fn check_joined(text: &str, dialect: Dialect, statements: &[Statement<'_>]) {
    const DELIMITER: &str = "~§~";
    // MySQL's two dashes mean a comment at the end of a line and arithmetic elsewhere.
    let ends_in_dashes = |statement: &Statement<'_>| statement.text.ends_with('-');
    if text.contains(DELIMITER) || (matches!(dialect, Dialect::MySql(_)) && statements.iter().any(ends_in_dashes)) {
        return;
    }
    let texts: Vec<&str> = statements.iter().map(|statement| statement.text).collect();
    // What a delimiter holds together cannot be written without one.
    let joined = if text.to_ascii_lowercase().contains("delimiter") && matches!(dialect, Dialect::MySql(_)) {
        format!(
            "DELIMITER {DELIMITER}\n{}",
            texts.iter().map(|text| format!("{text}\n{DELIMITER}\n")).collect::<String>()
        )
    } else {
        // A byte order mark is one at the start of a text alone.
        texts.iter().map(|text| format!("\n{text}\n;")).collect()
    };
    let again = split(&joined, dialect);
    let again: Result<Vec<&str>, _> = again.as_ref().map(|all| all.iter().map(|statement| statement.text).collect());
    assert_eq!(again.as_ref(), Ok(&texts), "{dialect:?}, joined again: {joined:?}");
}
