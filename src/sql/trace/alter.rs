//! The clauses of MySQL's and MariaDB's `ALTER TABLE`. The statement is atomic: what one clause shows holds for all.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/alter-table.html>, <https://mariadb.com/kb/en/alter-table/>

use super::mysql::distinct;
use super::words::Words;
use super::{Probe, Thing, Trace, of_probes};
use crate::sql::lexer::Kind;

/// What follows `ADD` and is no column, beside the kinds of indexes and constraints.
const NO_COLUMN: [&str; 5] = ["partition", "period", "system", "check", "foreign"];

/// What a clause does, as far as it shows.
enum Clause {
    /// It makes or takes away these.
    Shows(Vec<Probe>),
    /// The table has another name after it.
    Renames(String),
    /// Nothing of it shows.
    Hidden,
    /// It cannot be read.
    Strange,
}

/// Reads `ALTER TABLE` from behind `TABLE`.
pub(super) fn alter_table(words: &Words<'_>, at: usize) -> Trace {
    let (named, _) = words.guard(at);
    let Some(table) = words.name(named).filter(|_| !words.cut) else { return Trace::Nothing };
    let mut from = words.skip(named + 1, &["nowait"]);
    if words.is(from, "wait") {
        from += 2;
    }
    let (mut probes, mut hidden, mut renamed) = (Vec::new(), false, None);
    for part in words.list(from) {
        match clause(&part, &table) {
            Clause::Shows(more) => probes.extend(more),
            Clause::Renames(name) => renamed = Some(name),
            Clause::Hidden => hidden = true,
            Clause::Strange => return Trace::Nothing,
        }
    }
    if let Some(name) = renamed {
        let probe = |name, makes| Probe { thing: Thing::Relation("table", name), makes, guarded: false };
        return of_probes(distinct(vec![probe(table, false), probe(name, true)]));
    }
    let all = probes.len();
    let probes = distinct(probes);
    // Clauses that undo each other, or that nothing shows of, may not be done again.
    match of_probes(probes) {
        Trace::Again if hidden => Trace::Nothing,
        Trace::Again | Trace::Things(_) if all == 0 => Trace::Nothing,
        trace => trace,
    }
}

fn clause(part: &Words<'_>, table: &str) -> Clause {
    match part.lower(0).as_str() {
        "add" => add(part, 1, table),
        "drop" => drop(part, table),
        "change" => change(part, table),
        "rename" => rename(part, table),
        "" => Clause::Strange,
        _ => Clause::Hidden,
    }
}

fn shows(things: Vec<(Thing, bool)>, guarded: bool) -> Clause {
    Clause::Shows(things.into_iter().map(|(thing, makes)| Probe { thing, makes, guarded }).collect())
}

fn column(table: &str, name: String) -> Thing {
    Thing::Column { table: table.to_owned(), name }
}

fn index(table: &str, name: String) -> Thing {
    Thing::Index { table: Some(table.to_owned()), name }
}

fn constraint(table: &str, name: String) -> Thing {
    Thing::Constraint { table: table.to_owned(), name }
}

/// The name that a server gives to the index of a primary key.
fn primary(table: &str) -> Thing {
    index(table, "PRIMARY".to_owned())
}

/// Reads a clause from behind `ADD`.
fn add(part: &Words<'_>, at: usize, table: &str) -> Clause {
    match part.lower(at).as_str() {
        "column" => add_column(part, at + 1, table),
        "index" | "key" => add_index(part, at + 1, table),
        "fulltext" | "spatial" | "unique" | "vector" => {
            add_index(part, part.skip(part.skip(at + 1, &["index"]), &["key"]), table)
        }
        "primary" => shows(vec![(primary(table), true)], false),
        "constraint" => add_constraint(part, at + 1, table),
        word if NO_COLUMN.contains(&word) => Clause::Hidden,
        _ => add_column(part, at, table),
    }
}

fn add_column(part: &Words<'_>, at: usize, table: &str) -> Clause {
    let (at, guarded) = part.guard(at);
    if !part.is_symbol(at, b'(') {
        return match part.name(at) {
            Some(name) => shows(vec![(column(table, name), true)], guarded),
            None => Clause::Strange,
        };
    }
    // Several at once; indexes among them have no say.
    let inside = part.part(at + 1, part.len().saturating_sub(1));
    let all = inside.list(0);
    let columns = all.iter().filter(|one| {
        !one.is_one_of(
            0,
            &["index", "key", "unique", "primary", "fulltext", "spatial", "constraint", "foreign", "check"],
        )
    });
    let names: Option<Vec<_>> = columns.map(|one| Some((column(table, one.name(0)?), true))).collect();
    names.map_or(Clause::Strange, |names| shows(names, guarded))
}

fn add_index(part: &Words<'_>, at: usize, table: &str) -> Clause {
    let (at, guarded) = part.guard(at);
    match part.name(at) {
        Some(name) if !part.is(at, "using") => shows(vec![(index(table, name), true)], guarded),
        // The server finds a name for it.
        _ => Clause::Hidden,
    }
}

fn add_constraint(part: &Words<'_>, at: usize, table: &str) -> Clause {
    let (at, guarded) = part.guard(at);
    const WHAT: [&str; 4] = ["primary", "unique", "foreign", "check"];
    let (name, what) = match part.is_one_of(at, &WHAT) {
        true => (None, at),
        false => (part.name(at), at + 1),
    };
    let unnamed_index = || part.is_symbol(part.skip(part.skip(what + 1, &["index"]), &["key"]), b'(');
    match (part.lower(what).as_str(), name) {
        ("primary", _) => shows(vec![(primary(table), true)], guarded),
        ("unique", Some(name)) if unnamed_index() => shows(vec![(index(table, name), true)], guarded),
        ("foreign" | "check", Some(name)) => shows(vec![(constraint(table, name), true)], guarded),
        _ => Clause::Hidden,
    }
}

fn drop(part: &Words<'_>, table: &str) -> Clause {
    let what = part.lower(1);
    let (at, guarded) = match what.as_str() {
        "column" | "index" | "key" | "constraint" | "check" => part.guard(2),
        "foreign" => part.guard(3),
        "primary" => return shows(vec![(primary(table), false)], false),
        "partition" | "period" | "system" => return Clause::Hidden,
        _ => part.guard(1),
    };
    let Some(name) = part.name(at) else { return Clause::Strange };
    let thing = match what.as_str() {
        "index" | "key" => index(table, name),
        "constraint" | "check" | "foreign" => constraint(table, name),
        _ => column(table, name),
    };
    shows(vec![(thing, false)], guarded)
}

fn change(part: &Words<'_>, table: &str) -> Clause {
    let (at, guarded) = part.guard(part.skip(1, &["column"]));
    match (part.name(at), part.name(at + 1)) {
        (Some(old), Some(new)) if old.to_lowercase() != new.to_lowercase() => {
            shows(vec![(column(table, old), false), (column(table, new), true)], guarded)
        }
        (Some(_), Some(_)) => Clause::Hidden,
        _ => Clause::Strange,
    }
}

fn rename(part: &Words<'_>, table: &str) -> Clause {
    let pair = |thing: fn(&str, String) -> Thing| {
        let (at, guarded) = part.guard(2);
        let named = part.is(at + 1, "to").then(|| Some((part.name(at)?, part.name(at + 2)?))).flatten();
        named.map_or(Clause::Strange, |(old, new)| {
            shows(vec![(thing(table, old), false), (thing(table, new), true)], guarded)
        })
    };
    match part.lower(1).as_str() {
        "column" => pair(column),
        "index" | "key" => pair(index),
        _ => {
            let at = if part.is_one_of(1, &["to", "as"]) || part.kind(1) == Some(Kind::Symbol(b'=')) { 2 } else { 1 };
            part.name(at).filter(|_| part.len() == at + 1).map_or(Clause::Strange, Clause::Renames)
        }
    }
}
