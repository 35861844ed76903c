//! Reads the assignments of a MySQL or MariaDB `SET`.
//! <https://dev.mysql.com/doc/refman/8.4/en/set-variable.html>

use super::lexer::{Kind, Lexer, Token};
use super::{Dialect, SqlMode};

/// One assignment to a system variable.
pub(super) struct Assignment<'t> {
    /// Whether it is for the server and not for this session.
    pub(super) global: bool,
    /// The variable's name without scope, as written.
    pub(super) name: &'t str,
    /// Where the name ends, in bytes.
    pub(super) name_end: usize,
    /// The value without quotes if it is one literal or one word.
    pub(super) literal: Option<&'t str>,
    /// The value's words, literals and marks as written, but for comments.
    value: Vec<&'t str>,
}

/// The system variables that a statement assigns; none if it is no `SET` or cannot be read.
pub(super) fn assignments<'t>(statement: &'t str, dialect: Dialect) -> Vec<Assignment<'t>> {
    let mut assignments = Vec::new();
    let mut lexer = Lexer::new(statement, dialect);
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut seen_set = false;
    while let Ok(Some(token)) = lexer.next() {
        match token.kind {
            Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose => continue,
            Kind::Symbol(b'(') => depth += 1,
            Kind::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !seen_set {
            if token.kind != Kind::Word || !statement[token.span()].eq_ignore_ascii_case("set") {
                return assignments;
            }
            seen_set = true;
        } else if depth == 0 && token.kind == Kind::Symbol(b',') {
            assignments.extend(assignment(statement, &tokens));
            tokens.clear();
        } else {
            tokens.push(token);
        }
    }
    assignments.extend(assignment(statement, &tokens));
    assignments
}

/// Returns how a text is read after a statement; `initial` is how it began.
pub fn dialect_after(statement: &str, current: Dialect, initial: Dialect) -> Dialect {
    let begins = statement.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("set"));
    match (current, initial) {
        (Dialect::MySql(mode), Dialect::MySql(initial)) if begins || statement.starts_with("/*") => {
            Dialect::MySql(sql_mode_after(statement, mode, initial))
        }
        _ => current,
    }
}

/// The mode after a statement: a literal's, or `initial` where only the server knows the value.
pub(super) fn sql_mode_after(statement: &str, current: SqlMode, initial: SqlMode) -> SqlMode {
    let mut mode = current;
    for assignment in assignments(statement, Dialect::MySql(current)) {
        if !assignment.global && assignment.name.eq_ignore_ascii_case("sql_mode") {
            mode = match assignment.literal {
                Some(literal) if !literal.eq_ignore_ascii_case("default") => SqlMode::parse(literal),
                _ => built_from(&assignment.value, mode).unwrap_or(initial),
            };
        }
    }
    mode
}

/// The mode that `CONCAT(@@sql_mode, ',ANSI_QUOTES')` and the like make of the current one.
fn built_from(value: &[&str], current: SqlMode) -> Option<SqlMode> {
    let own = ["@@sql_mode", "@@session.sql_mode", "@@local.sql_mode"];
    let is_own = |word: &&str| own.iter().any(|own| own.eq_ignore_ascii_case(word));
    let function = value.first()?.to_ascii_lowercase();
    if value.len() == 1 && is_own(&value[0]) {
        return Some(current);
    }
    if !matches!(function.as_str(), "concat" | "concat_ws") || !value.iter().any(is_own) {
        return None;
    }
    let texts = value.iter().filter(|word| word.starts_with(['\'', '"']));
    let added = texts.map(|text| SqlMode::parse(text.trim_matches(['\'', '"']))).collect::<Vec<_>>();
    let any = |part: fn(&SqlMode) -> bool| part(&current) || added.iter().any(part);
    Some(SqlMode {
        ansi_quotes: any(|mode| mode.ansi_quotes),
        no_backslash_escapes: any(|mode| mode.no_backslash_escapes),
        oracle: any(|mode| mode.oracle),
    })
}

fn assignment<'t>(statement: &'t str, tokens: &[Token]) -> Option<Assignment<'t>> {
    let equals = tokens.iter().position(|token| token.kind == Kind::Symbol(b'='))?;
    let colon = equals.checked_sub(1).filter(|&before| tokens[before].kind == Kind::Symbol(b':'));
    let (target, value) = (&tokens[..colon.unwrap_or(equals)], &tokens[equals + 1..]);
    let name = target.last()?;
    let written = &statement[name.span()];
    let scope =
        target.iter().rev().nth(1).filter(|scope| scope.kind == Kind::Word).map(|scope| &statement[scope.span()]);
    let (scope, bare) = match written.strip_prefix("@@") {
        Some(qualified) => qualified.rsplit_once('.').map_or((None, qualified), |(scope, bare)| (Some(scope), bare)),
        // One mark makes a user's variable, which is nobody's setting.
        None if name.kind == Kind::Variable => return None,
        None => (scope, written.trim_matches('`')),
    };
    let global = scope
        .is_some_and(|scope| ["global", "persist", "persist_only"].iter().any(|word| scope.eq_ignore_ascii_case(word)));
    let written_all = value.iter().map(|token| &statement[token.span()]).collect();
    Some(Assignment { global, name: bare, name_end: name.end, literal: literal(statement, value), value: written_all })
}

fn literal<'t>(statement: &'t str, value: &[Token]) -> Option<&'t str> {
    let [value] = value else {
        return None;
    };
    let written = &statement[value.span()];
    match value.kind {
        Kind::Word => Some(written),
        Kind::Text | Kind::Name => Some(&written[1..written.len() - 1]),
        _ => None,
    }
}
