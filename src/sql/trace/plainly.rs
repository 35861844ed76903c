//! Settings whose values follow from what was set before, and queries that only read.

use super::words::Words;
use crate::sql::lexer::Kind;

/// Functions whose value follows from their arguments and the session's settings.
const OF_ARGUMENTS: [&str; 14] = [
    "concat",
    "concat_ws",
    "replace",
    "upper",
    "lower",
    "trim",
    "ifnull",
    "nullif",
    "coalesce",
    "if",
    "left",
    "right",
    "cast",
    "convert",
];

/// What may stand before a parenthesis in a query that only reads.
const READS: [&str; 63] = [
    "values",
    "select",
    "from",
    "join",
    "on",
    "using",
    "where",
    "and",
    "or",
    "not",
    "in",
    "exists",
    "as",
    "case",
    "when",
    "then",
    "else",
    "having",
    "by",
    "union",
    "all",
    "any",
    "some",
    "distinct",
    "like",
    "between",
    "count",
    "max",
    "min",
    "sum",
    "avg",
    "group_concat",
    "length",
    "char_length",
    "substring",
    "substr",
    "substring_index",
    "locate",
    "instr",
    "now",
    "current_timestamp",
    "utc_timestamp",
    "curdate",
    "date",
    "date_format",
    "date_add",
    "date_sub",
    "unix_timestamp",
    "abs",
    "round",
    "floor",
    "ceil",
    "greatest",
    "least",
    "database",
    "schema",
    "version",
    "user",
    "hex",
    "quote",
    "char",
    "varchar",
    "decimal",
];

/// Whether the words from `from` on call no function that could write.
pub(super) fn is_pure(words: &Words<'_>, from: usize) -> bool {
    let known = |at: usize| words.is_one_of(at, &OF_ARGUMENTS) || words.is_one_of(at, &READS);
    let callable = |at: usize| matches!(words.kind(at), Some(Kind::Word | Kind::Name));
    !words.cut
        && words.find(from, "next").is_none()
        // A sequence's last value is the session's.
        && words.find(from, "previous").is_none()
        && (from..words.len()).all(|at| !callable(at) || !words.is_symbol(at + 1, b'(') || known(at))
}

/// Whether MySQL's `SET` gives everything a value that follows from what was set before.
pub(super) fn sets_plainly(words: &Words<'_>) -> bool {
    !words.cut && words.is(0, "set") && words.list(1).iter().all(assigns_plainly)
}

fn assigns_plainly(one: &Words<'_>) -> bool {
    let Some(equals) = (0..one.len()).find(|&at| one.is_symbol(at, b'=')) else {
        // `SET NAMES utf8mb4`, `SET ROLE r`: words and literals alone.
        return (0..one.len()).all(|at| matches!(one.kind(at), Some(Kind::Word | Kind::Name | Kind::Text)));
    };
    let kept = one.is_one_of(0, &["global", "persist", "persist_only"])
        || ["@@global.", "@@persist"].iter().any(|scope| one.text(0).to_ascii_lowercase().starts_with(scope));
    let value = one.part(equals + 1, one.len());
    let single = value.len() == 1;
    (0..value.len()).all(|at| match value.kind(at) {
        Some(Kind::Text | Kind::Number) => true,
        Some(Kind::Variable) => !kept,
        Some(Kind::Symbol(b'@' | b'.')) => false,
        Some(Kind::Symbol(_)) => true,
        Some(Kind::Word) if value.is_symbol(at + 1, b'(') => value.is_one_of(at, &OF_ARGUMENTS),
        Some(Kind::Word) => {
            single || value.is_one_of(at, &["null", "true", "false", "as", "char", "using", "utf8mb4", "utf8"])
        }
        _ => false,
    })
}

/// Whether a statement is `SELECT set_config('name', 'value', false)` and no more.
pub(super) fn configures_plainly(words: &Words<'_>) -> bool {
    let at = if words.is(1, "pg_catalog") && words.is_symbol(2, b'.') { 3 } else { 1 };
    let literal = |at: usize| words.kind(at) == Some(Kind::Text);
    words.text(at).eq_ignore_ascii_case("set_config")
        && words.is_symbol(at + 1, b'(')
        && literal(at + 2)
        && words.is_symbol(at + 3, b',')
        && literal(at + 4)
        && words.is_symbol(at + 5, b',')
        && words.is_one_of(at + 6, &["false", "true"])
        && words.is_symbol(at + 7, b')')
        && words.len() == at + 8
}
