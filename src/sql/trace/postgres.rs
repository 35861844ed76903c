//! PostgreSQL: nearly every statement may stand in a transaction with others.

use super::words::Words;
use super::{Probe, Thing, Trace, of_probes};
use crate::sql::lexer::Kind;

/// The longest name that the server keeps whole, in bytes.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>
const LONGEST_NAME: usize = 63;

/// Statements that may be in a transaction whatever they are about.
const ATOMIC: [&str; 17] = [
    "insert", "update", "delete", "merge", "select", "with", "values", "table", "comment", "grant", "revoke",
    "truncate", "security", "refresh", "reassign", "import", "copy",
];

/// Statements that change the session alone, and those that do the same again.
const AGAIN: [&str; 16] = [
    "set",
    "reset",
    "show",
    "prepare",
    "deallocate",
    "listen",
    "unlisten",
    "discard",
    "load",
    "vacuum",
    "analyze",
    "reindex",
    "explain",
    "checkpoint",
    "savepoint",
    "release",
];

/// What is made, altered and dropped outside of transactions.
const NEVER: [&str; 5] = ["database", "tablespace", "subscription", "system", "server"];

/// <https://www.postgresql.org/docs/current/sql-commands.html>
pub(super) fn trace(words: &Words<'_>) -> Trace {
    let first = words.lower(0);
    match first.as_str() {
        // `EXPLAIN ANALYZE` executes.
        "explain" if words.find(1, "analyze").is_some() => Trace::Atomic,
        "prepare" if words.is(1, "transaction") => Trace::Nothing,
        word if AGAIN.contains(&word) => Trace::Again,
        word if ATOMIC.contains(&word) => Trace::Atomic,
        "create" | "alter" | "drop" => definition(&first, words),
        "begin" => Trace::Opens,
        "start" if words.is(1, "transaction") => Trace::Opens,
        "commit" | "end" if !words.is(1, "prepared") && words.find(1, "chain").is_none() => Trace::Atomic,
        "rollback" | "abort" if !words.is(1, "prepared") && words.find(1, "chain").is_none() => Trace::Again,
        _ => Trace::Nothing,
    }
}

fn definition(verb: &str, words: &Words<'_>) -> Trace {
    if words.is_one_of(1, &NEVER) {
        // `ALTER SYSTEM SET` sets what is set already.
        return if words.is(1, "system") { Trace::Again } else { Trace::Nothing };
    }
    let concurrently = words.find(1, "concurrently").is_some();
    match verb {
        "create" if concurrently => create_index(words),
        "drop" if concurrently => drop_index(words),
        _ if concurrently => Trace::Nothing,
        // One that is filled from a query may write by the query's functions.
        "create" if (1..4).any(|at| words.is_one_of(at, &["temp", "temporary"])) && !is_filled(words) => Trace::Again,
        "alter" if words.is(1, "type") => alter_type(words),
        _ => Trace::Atomic,
    }
}

/// Whether a new temporary thing comes of a query.
fn is_filled(words: &Words<'_>) -> bool {
    words.cut || ["as", "select", "with", "execute", "values"].iter().any(|word| words.find(1, word).is_some())
}

/// Not harmless with `IF NOT EXISTS`: an interrupted one leaves an invalid index, which that takes for the index.
/// <https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY>
fn create_index(words: &Words<'_>) -> Trace {
    let index = words.skip(1, &["unique"]);
    if !words.is(index, "index") || !words.is(index + 1, "concurrently") {
        return Trace::Nothing;
    }
    let (at, guarded) = words.guard(index + 2);
    let named = words.is(at + 1, "on").then(|| words.name(at)).flatten();
    let table = words.skip(at + 2, &["only"]);
    match named {
        // A table of another schema has its indexes there.
        Some(name) if name.len() <= LONGEST_NAME && words.name(table).is_some() => {
            Trace::Things(vec![Probe { thing: Thing::Index { table: None, name }, makes: true, guarded }])
        }
        _ => Trace::Nothing,
    }
}

fn drop_index(words: &Words<'_>) -> Trace {
    if !words.is(1, "index") || !words.is(2, "concurrently") {
        return Trace::Nothing;
    }
    let (at, guarded) = words.guard(3);
    // The server takes one index only.
    let end = [at + 1, words.skip(at + 1, &["restrict"])].contains(&words.len());
    match words.name(at).filter(|name| end && name.len() <= LONGEST_NAME) {
        Some(name) => of_probes(vec![Probe { thing: Thing::Index { table: None, name }, makes: false, guarded }]),
        None => Trace::Nothing,
    }
}

/// `ADD VALUE` could not be in a transaction before version 12.
/// <https://www.postgresql.org/docs/11/sql-altertype.html>
fn alter_type(words: &Words<'_>) -> Trace {
    let Some(add) = words.find(2, "add").filter(|&add| words.is(add + 1, "value")) else { return Trace::Atomic };
    let (at, guarded) = words.guard(add + 2);
    let value = words.text(at);
    // A backslash means itself only under `standard_conforming_strings`.
    let plain = words.kind(at) == Some(Kind::Text) && value.starts_with('\'') && !value.contains('\\');
    match words.name(2).filter(|name| add == 3 && plain && name.len() <= LONGEST_NAME) {
        Some(of) => {
            let value = value.trim_matches('\'').replace("''", "'");
            of_probes(vec![Probe { thing: Thing::EnumValue { of, value }, makes: true, guarded }])
        }
        None => Trace::Nothing,
    }
}
