//! MySQL and MariaDB: DDL commits by itself, and what it made is there or not.

use super::alter::alter_table;
use super::plainly::{is_pure, sets_plainly};
use super::words::Words;
use super::{Probe, Thing, Trace, of_probes};
use crate::sql::lexer::Kind;

/// What `CREATE` and `DROP` may be about, after the words that qualify it.
const KINDS: [&str; 15] = [
    "table",
    "view",
    "index",
    "procedure",
    "function",
    "trigger",
    "event",
    "sequence",
    "database",
    "schema",
    "user",
    "role",
    "server",
    "package",
    "tablespace",
];

/// How far from `CREATE` the kind may stand: `DEFINER = a@b SQL SECURITY …` comes between.
const HEAD: usize = 24;

/// <https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html>,
/// <https://mariadb.com/kb/en/sql-statements-that-cause-an-implicit-commit/>
pub(super) fn trace(words: &Words<'_>) -> Trace {
    match words.lower(0).as_str() {
        "insert" | "replace" => if_atomic(goes_into_own_table(words)),
        "load" => if_atomic(words.find(1, "table").is_some_and(|at| words.name(at + 1).is_some())),
        "update" | "delete" => if_atomic(!words.cut && names_no_database(words)),
        "with" => if_atomic(!words.cut && names_no_database(words) && !writes_file(words)),
        "select" | "do" | "values" if writes_file(words) => Trace::Nothing,
        // Not more than a reading: what it puts into variables ends with the session.
        "select" | "do" | "values" if !words.cut && is_pure(words, 1) => Trace::Again,
        "select" | "do" | "values" => Trace::Atomic,
        "create" => create(words),
        "drop" => drop(words),
        "alter" => alter(words),
        "rename" => rename(words),
        "set" => set(words),
        "begin" if words.len() == 1 || words.is(1, "work") => Trace::Opens,
        "start" if words.is(1, "transaction") => Trace::Opens,
        "commit" if ends_here(words) => Trace::Atomic,
        "rollback" if ends_here(words) || words.find(1, "to").is_some() => Trace::Again,
        "savepoint" | "release" | "unlock" | "prepare" | "deallocate" | "show" | "describe" | "desc" | "explain"
        | "grant" | "optimize" | "check" | "checksum" | "repair" => Trace::Again,
        "flush" if words.find(1, "lock").is_none() && words.find(1, "export").is_none() => Trace::Again,
        // Without TABLE it is MariaDB's, which executes the statement behind it.
        "analyze" if words.find(1, "table").is_some_and(|at| at < 3) => Trace::Again,
        _ => Trace::Nothing,
    }
}

fn if_atomic(holds: bool) -> Trace {
    if holds { Trace::Atomic } else { Trace::Nothing }
}

/// `COMMIT` and `ROLLBACK` that neither open another transaction nor end the session.
fn ends_here(words: &Words<'_>) -> bool {
    words.skip(1, &["work"]) == words.len()
}

fn writes_file(words: &Words<'_>) -> bool {
    words.cut || words.find(1, "outfile").is_some() || words.find(1, "dumpfile").is_some()
}

/// Whether the table of an `INSERT` or `REPLACE` bears no database's name.
fn goes_into_own_table(words: &Words<'_>) -> bool {
    // Written behind the statement's end, by another thread.
    let delayed = words.is(1, "delayed");
    let table = target(words);
    !delayed && table.is_some_and(|at| words.name(at).is_some())
}

/// Returns where the table of an `INSERT` or `REPLACE` stands.
fn target(words: &Words<'_>) -> Option<usize> {
    const BETWEEN: [&str; 5] = ["low_priority", "delayed", "high_priority", "ignore", "into"];
    (1..words.len()).find(|&at| !words.is_one_of(at, &BETWEEN))
}

/// See [`only_writes`](super::only_writes).
pub(super) fn only_writes(words: &Words<'_>) -> bool {
    // The parenthesis behind the table's name holds its columns.
    let calls_from = match words.lower(0).as_str() {
        "insert" | "replace" => target(words).map(|table| table + 1),
        "update" | "delete" => Some(1),
        _ => None,
    };
    calls_from.is_some_and(|from| is_pure(words, from))
        && !(0..words.len()).any(|at| is_variable(words, at))
        && names_no_database(words)
        && trace(words) == Trace::Atomic
}

fn is_variable(words: &Words<'_>, at: usize) -> bool {
    words.kind(at) == Some(Kind::Variable) || words.is_symbol(at, b'@')
}

/// Whether everything before a dot is a table or an alias that the statement names elsewhere alone.
fn names_no_database(words: &Words<'_>) -> bool {
    let dotted = |at: usize| words.is_symbol(at + 1, b'.');
    let after_dot = |at: usize| at > 0 && words.is_symbol(at - 1, b'.');
    let is_name = |at: usize| matches!(words.kind(at), Some(Kind::Word | Kind::Name));
    let alone: Vec<String> = (0..words.len())
        .filter(|&at| is_name(at) && !dotted(at) && !after_dot(at))
        .map(|at| words.spelled(at).to_lowercase())
        .collect();
    (0..words.len())
        .filter(|&at| is_name(at) && dotted(at))
        .all(|at| !after_dot(at) && alone.contains(&words.spelled(at).to_lowercase()))
}

fn create(words: &Words<'_>) -> Trace {
    let Some(at) = (1..words.len().min(HEAD)).find(|&at| words.is_one_of(at, &KINDS)) else { return Trace::Nothing };
    let replaces = words.is(1, "or") && words.is(2, "replace");
    let kind = words.lower(at);
    let (named, guarded) = words.guard(at + 1);
    if (1..at).any(|at| words.is(at, "temporary")) {
        // The query that fills it may write by its functions.
        let writes = fills(words, named + 1) && !is_pure(words, named + 1);
        return if writes { Trace::Nothing } else { Trace::Again };
    }
    let harmless = guarded || replaces;
    let makes = |thing| of_probes(vec![Probe { thing, makes: true, guarded: harmless }]);
    let Some(name) = words.name(named) else { return Trace::Nothing };
    match kind.as_str() {
        // What was made anew may have rows by now; and a table filled from a query may be there and not be filled.
        "table" | "sequence" if replaces || fills(words, named) => Trace::Nothing,
        "table" => makes(Thing::Relation("table", name)),
        "sequence" => makes(Thing::Relation("sequence", name)),
        "view" => makes(Thing::Relation("view", name)),
        // Loaded from a library, it is none of a database's.
        "function" if words.find(named, "soname").is_some() => Trace::Nothing,
        "function" => makes(Thing::Routine("function", name)),
        "procedure" => makes(Thing::Routine("procedure", name)),
        "trigger" => makes(Thing::Trigger(name)),
        "event" => makes(Thing::Event(name)),
        "index" => match table_of(words, named) {
            Some(table) => makes(Thing::Index { table: Some(table), name }),
            None => Trace::Nothing,
        },
        "database" | "schema" | "user" | "role" if guarded => Trace::Again,
        _ => Trace::Nothing,
    }
}

/// See [`only_defines`](super::only_defines).
pub(super) fn only_defines(words: &Words<'_>) -> bool {
    const DEFINED: [&str; 5] = ["table", "tables", "view", "index", "sequence"];
    let is_kind = |at: &usize| words.is_one_of(*at, &KINDS) || words.is(*at, "tables");
    let what = (1..words.len().min(HEAD)).find(is_kind).filter(|&at| words.is_one_of(at, &DEFINED));
    let is_definition = |at: usize| {
        let temporary = (1..at).any(|at| words.is(at, "temporary"));
        // A query that fills a table is run, a view's is not.
        !temporary && (words.is(at, "view") || !fills(words, at + 1))
    };
    words.is_one_of(0, &["create", "alter", "drop", "rename"])
        && what.is_some_and(is_definition)
        && !words.cut
        && !(0..words.len()).any(|at| is_variable(words, at))
}

/// Whether a new table is filled from a query.
fn fills(words: &Words<'_>, from: usize) -> bool {
    let rows = |at: usize| words.is(at, "values") && words.is(at + 1, "row");
    words.cut || (from..words.len()).any(|at| words.is_one_of(at, &["select", "with", "table"]) || rows(at))
}

/// Reads the table of `… INDEX name [USING BTREE] ON table`.
fn table_of(words: &Words<'_>, name: usize) -> Option<String> {
    let on = (name + 1..name + 4).find(|&at| words.is(at, "on"))?;
    words.name(on + 1)
}

fn drop(words: &Words<'_>) -> Trace {
    let (named, guarded) = words.guard(2);
    let takes = |thing| Probe { thing, makes: false, guarded };
    let one = |thing: fn(String) -> Thing| match words.name(named) {
        Some(name) => of_probes(vec![takes(thing(name))]),
        None => Trace::Nothing,
    };
    match words.lower(1).as_str() {
        "temporary" | "prepare" => Trace::Again,
        kind @ ("table" | "tables" | "view" | "sequence") => {
            let kind = match kind {
                "view" => "view",
                "sequence" => "sequence",
                _ => "table",
            };
            let names: Option<Vec<_>> = words.list(named).iter().map(|one| one.name(0)).collect();
            let things = names.unwrap_or_default().into_iter().map(|name| takes(Thing::Relation(kind, name)));
            if words.cut { Trace::Nothing } else { of_probes(things.collect()) }
        }
        "index" => match (words.name(named), table_of(words, named)) {
            (Some(name), table @ Some(_)) => of_probes(vec![takes(Thing::Index { table, name })]),
            _ => Trace::Nothing,
        },
        "procedure" => one(|name| Thing::Routine("procedure", name)),
        "function" => one(|name| Thing::Routine("function", name)),
        "trigger" => one(Thing::Trigger),
        "event" => one(Thing::Event),
        "database" | "schema" | "user" | "role" if guarded => Trace::Again,
        _ => Trace::Nothing,
    }
}

fn alter(words: &Words<'_>) -> Trace {
    let table = words.skip(words.skip(1, &["online"]), &["ignore"]);
    if words.is(table, "table") {
        return alter_table(words, table + 1);
    }
    // These are given what they have already.
    let head = (1..words.len().min(HEAD)).find(|&at| words.is_one_of(at, &KINDS));
    match head.map(|at| words.lower(at)).as_deref() {
        Some("view" | "procedure" | "function" | "database" | "schema") => Trace::Again,
        _ => Trace::Nothing,
    }
}

fn rename(words: &Words<'_>) -> Trace {
    if !words.is_one_of(1, &["table", "tables"]) || words.cut {
        return Trace::Nothing;
    }
    let (from, guarded) = words.guard(2);
    let mut probes = Vec::new();
    for one in words.list(from) {
        let to = one.find(1, "to");
        let (Some(old), Some(new)) = (one.name(0), to.and_then(|to| one.name(to + 1))) else { return Trace::Nothing };
        for (name, makes) in [(old, false), (new, true)] {
            probes.push(Probe { thing: Thing::Relation("table", name), makes, guarded });
        }
    }
    let clear = distinct(probes);
    if clear.iter().any(|probe| probe.guarded) { Trace::Nothing } else { of_probes(clear) }
}

/// Drops what is both made and taken away: it says nothing.
pub(super) fn distinct(probes: Vec<Probe>) -> Vec<Probe> {
    let same = |a: &Thing, b: &Thing| a.to_string().eq_ignore_ascii_case(&b.to_string());
    let once = |probe: &&Probe| probes.iter().filter(|other| same(&other.thing, &probe.thing)).count() == 1;
    probes.iter().filter(once).cloned().collect()
}

/// `SET STATEMENT … FOR` (MariaDB) executes what follows; `SET PASSWORD` and roles are kept by the server.
fn set(words: &Words<'_>) -> Trace {
    if words.is_one_of(1, &["statement", "password", "default", "resource"]) {
        return Trace::Nothing;
    }
    let autocommit = (1..words.len()).any(|at| {
        let bare = words.text(at).rsplit(['.', '@']).next().unwrap_or_default();
        bare.trim_matches('`').eq_ignore_ascii_case("autocommit")
    });
    match sets_plainly(words) {
        true if autocommit => Trace::Opens,
        true => Trace::Again,
        // What it reads now it may read again: the variable ends with the session.
        false if !autocommit && !words.cut && only_variables(words) && is_pure(words, 1) => Trace::Again,
        false => Trace::Nothing,
    }
}

/// Whether every assignment is to a user's variable.
fn only_variables(words: &Words<'_>) -> bool {
    let own = |one: &Words<'_>| one.kind(0) == Some(Kind::Variable) && !one.text(0).starts_with("@@");
    words.list(1).iter().all(own)
}
