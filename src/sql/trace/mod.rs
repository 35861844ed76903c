//! Says what tells afterwards whether a statement that was interrupted took effect.
//!
//! Pure. Start at [`trace`]. What is not known for certain is [`Trace::Nothing`]: a statement that is run again though
//! it took effect, or passed over though it did not, is worse than a person who has to look. [`replay`] says which
//! statements a session needs that goes on in the middle of a text.

mod alter;
mod facts;
mod mysql;
mod plainly;
mod postgres;
mod session;
mod words;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_session;

use std::fmt;

use super::Dialect;
use words::Words;

pub use session::{Missing, replay};

/// The most things that are asked for before one statement.
const MOST_PROBES: usize = 100;

/// What tells afterwards whether a statement took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// It can commit together with a row that says so.
    Atomic,
    /// It opens a transaction of the text's own. What follows commits with rows of its own, or not at all; so without
    /// one of these it can be run again.
    Opens,
    /// Running it again changes nothing more.
    Again,
    /// These are there after it and were not before, or the other way round.
    Things(Vec<Probe>),
    /// Nothing does.
    Nothing,
}

/// A thing that a statement makes or takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which.
    pub thing: Thing,
    /// Whether it is there after the statement; else it is gone.
    pub makes: bool,
    /// Whether the statement passes over what is as it is to be: `IF NOT EXISTS`, `IF EXISTS`.
    pub guarded: bool,
}

/// A thing in a tenant's schema, by its name as the server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A table, view or sequence: they share their names. The first is what it is called.
    Relation(&'static str, String),
    /// A column of a table.
    Column { table: String, name: String },
    /// An index; of a table where the engine's indexes belong to one.
    Index { table: Option<String>, name: String },
    /// A foreign key, check or unique constraint of a table.
    Constraint { table: String, name: String },
    /// A `procedure` or `function`.
    Routine(&'static str, String),
    /// A trigger.
    Trigger(String),
    /// An event.
    Event(String),
    /// A value of an enumeration.
    EnumValue { of: String, value: String },
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relation(kind, name) | Self::Routine(kind, name) => write!(f, "{kind} {name}"),
            Self::Column { table, name } => write!(f, "column {table}.{name}"),
            Self::Index { table: Some(table), name } => write!(f, "index {name} of table {table}"),
            Self::Index { table: None, name } => write!(f, "index {name}"),
            Self::Constraint { table, name } => write!(f, "constraint {name} of table {table}"),
            Self::Trigger(name) => write!(f, "trigger {name}"),
            Self::Event(name) => write!(f, "event {name}"),
            Self::EnumValue { of, value } => write!(f, "value {value} of type {of}"),
        }
    }
}

/// Says what tells whether a statement took effect. Names that are qualified with a schema or database say nothing.
pub fn trace(statement: &str, dialect: Dialect) -> Trace {
    let Some(words) = Words::read(statement, dialect) else {
        // Every dump sets its session so, `/*!40101 SET NAMES utf8mb4 */`, whether the server executes it or not.
        let sets = Words::whole(statement, dialect).filter(|words| words.is(0, "set"));
        return sets.map(|words| mysql::trace(&words)).filter(|trace| *trace == Trace::Again).unwrap_or(Trace::Nothing);
    };
    match dialect {
        Dialect::Postgres => postgres::trace(&words),
        Dialect::MySql(_) => mysql::trace(&words),
        Dialect::Sqlite => sqlite(&words),
    }
}

/// Whether a statement of MySQL or MariaDB makes, alters or takes away a table, view or index, and leaves its session as
/// it was: no variable, no lock, no open transaction, no other database, no role. "No" where it is not known.
pub fn only_defines(statement: &str, dialect: Dialect) -> bool {
    matches!(dialect, Dialect::MySql(_))
        && Words::read(statement, dialect).is_some_and(|words| mysql::only_defines(&words))
}

/// Whether a statement of MySQL or MariaDB writes rows of its own database's tables and, where no trigger and no function
/// is there, leaves its session as it was. "No" where it is not known.
pub fn only_writes(statement: &str, dialect: Dialect) -> bool {
    matches!(dialect, Dialect::MySql(_))
        && Words::read(statement, dialect).is_some_and(|words| mysql::only_writes(&words))
}

/// SQLite: everything can be in a transaction but what speaks of transactions, files and the session.
///
/// <https://www.sqlite.org/lang_transaction.html>, <https://www.sqlite.org/lang_vacuum.html>
fn sqlite(words: &Words<'_>) -> Trace {
    match words.lower(0).as_str() {
        // Session settings end with the session; those that the file keeps are set to the same again.
        "pragma" | "vacuum" | "attach" | "detach" | "explain" => Trace::Again,
        "create" if words.is(1, "temp") || words.is(1, "temporary") => Trace::Again,
        "begin" | "commit" | "end" | "rollback" | "savepoint" | "release" | "" => Trace::Nothing,
        _ => Trace::Atomic,
    }
}

/// Makes the trace of an unconditional statement of these probes, or of one that says `IF [NOT] EXISTS`.
fn of_probes(probes: Vec<Probe>) -> Trace {
    match probes {
        probes if probes.is_empty() || probes.len() > MOST_PROBES => Trace::Nothing,
        probes if probes.iter().all(|probe| probe.guarded) => Trace::Again,
        probes => Trace::Things(probes),
    }
}
