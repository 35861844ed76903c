//! What a text leaves in its session, and which of its statements need it.
//!
//! A text that is continued on a new session lacks what the statements before did to the old one. Plain settings are
//! made again; where something else is needed, the text cannot go on.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::plainly::{configures_plainly, sets_plainly};
use super::words::Words;
use crate::sql::Dialect;

/// What a statement needs of a session that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What, in words: `temporary table t`.
    pub what: String,
    /// The statement that made it, from 0.
    pub made_by: usize,
    /// The statement that needs it, from 0.
    pub needed_by: usize,
}

/// Something that ends with its session and is not made again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Variable(String),
    Prepared(String),
    Temporary(String),
    /// A setting whose value only the server knew.
    Settings,
    Locks,
    Transaction,
    /// What the last row that was written got from the server.
    LastRow,
}

impl State {
    /// Whether a statement that is yet to run needs it.
    fn is_needed_by(&self, facts: &Facts, is_first: bool, dialect: Dialect) -> bool {
        let names = |words: &[&str]| words.iter().any(|word| facts.names.contains(*word));
        match self {
            State::Variable(name) => facts.read.contains(name),
            State::Prepared(name) => {
                matches!(facts.head(0), "execute" | "deallocate" | "drop") && facts.names.contains(name)
            }
            State::Temporary(name) => facts.temporary.as_ref() != Some(name) && facts.names.contains(name),
            State::Settings => is_first,
            State::Locks => is_first && facts.head(0) != "lock",
            State::Transaction => is_first && !matches!(facts.head(0), "begin" | "start"),
            State::LastRow => {
                names(&["last_insert_id", "identity", "lastval", "currval", "last_insert_rowid"])
                    || (is_first && names(&["row_count", "found_rows", "total_changes"]))
                    || (is_first && dialect == Dialect::Sqlite && names(&["changes"]))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Variable(name) => format!("variable @{name}"),
            Self::Prepared(name) => format!("prepared statement {name}"),
            Self::Temporary(name) => format!("temporary table {name}"),
            Self::Settings => "the session's settings".into(),
            Self::Locks => "the locks of LOCK TABLES".into(),
            Self::Transaction => "the open transaction".into(),
            Self::LastRow => "the number of the row that was written last".into(),
        }
    }
}

/// Returns which statements (from 0) are to be run again before the one at `first`, on a session that is new.
///
/// # Errors
/// What a statement from `first` on needs, and what cannot be made again.
pub fn replay(statements: &[&str], first: usize, dialect: Dialect) -> Result<Vec<usize>, Missing> {
    let mut past = Past { dialect, again: Vec::new(), held: BTreeMap::new(), begun_with: 0 };
    for (idx, statement) in statements.iter().enumerate().take(first) {
        past.add(idx, statement);
    }
    for (idx, statement) in statements.iter().enumerate().skip(first) {
        if past.held.is_empty() {
            break;
        }
        past.check(idx, idx == first, statement)?;
    }
    Ok(past.again)
}

/// What the statements so far left.
struct Past {
    dialect: Dialect,
    again: Vec<usize>,
    held: BTreeMap<State, usize>,
    /// How many statements were to be run again when the open transaction began.
    begun_with: usize,
}

impl Past {
    fn add(&mut self, idx: usize, statement: &str) {
        let facts = Facts::read(statement, self.dialect);
        self.follow_transaction(idx, &facts);
        match facts.head(0) {
            // MariaDB's, for one statement.
            "set" if facts.head(1) == "statement" => {}
            "set" => self.set(idx, statement, &facts),
            "reset" if self.dialect == Dialect::Postgres => self.set(idx, statement, &facts),
            "pragma" | "attach" | "detach" => self.set(idx, statement, &facts),
            "discard" => drop(self.held.insert(State::Settings, idx)),
            "prepare" if facts.head(1) != "transaction" => {
                self.held.insert(State::Prepared(facts.head(1).to_owned()), idx);
            }
            "deallocate" => drop(self.held.remove(&State::Prepared(facts.last.clone()))),
            "lock" if self.mysql() => drop(self.held.insert(State::Locks, idx)),
            "unlock" => drop(self.held.remove(&State::Locks)),
            "insert" | "replace" | "call" | "execute" => drop(self.held.insert(State::LastRow, idx)),
            _ => {}
        }
        if let Some(name) = &facts.temporary {
            self.held.insert(State::Temporary(name.clone()), idx);
        }
        if facts.head(0) == "drop" {
            self.held.retain(|state, _| !matches!(state, State::Temporary(name) if facts.names.contains(name)));
        }
        if facts.sets_config {
            self.set(idx, statement, &facts);
        }
        if facts.head(0) != "set" {
            for name in &facts.written {
                self.held.insert(State::Variable(name.clone()), idx);
            }
        }
    }

    fn mysql(&self) -> bool {
        matches!(self.dialect, Dialect::MySql(_))
    }

    fn follow_transaction(&mut self, idx: usize, facts: &Facts) {
        const INSIDE: [&str; 19] = [
            "insert",
            "update",
            "delete",
            "replace",
            "select",
            "set",
            "do",
            "with",
            "savepoint",
            "release",
            "load",
            "values",
            "prepare",
            "execute",
            "deallocate",
            "call",
            "show",
            "explain",
            "commit",
        ];
        let ends = match facts.head(0) {
            "begin" if self.dialect != Dialect::Sqlite && facts.head(1) != "not" => {
                self.held.insert(State::Transaction, idx);
                self.begun_with = self.again.len();
                return;
            }
            "start" if facts.head(1) == "transaction" => {
                self.held.insert(State::Transaction, idx);
                self.begun_with = self.again.len();
                return;
            }
            "rollback" | "abort" if facts.head(1) != "to" && facts.head(2) != "to" => {
                // PostgreSQL takes settings back with their transaction.
                if self.dialect == Dialect::Postgres && self.held.contains_key(&State::Transaction) {
                    self.again.truncate(self.begun_with);
                }
                true
            }
            "commit" | "end" => true,
            head => self.mysql() && !INSIDE.contains(&head) && facts.temporary.is_none() && head != "rollback",
        };
        if ends {
            self.held.remove(&State::Transaction);
        }
    }

    /// Takes a statement that sets something.
    fn set(&mut self, idx: usize, statement: &str, facts: &Facts) {
        // A server that passes a comment over does so again.
        let plain = Words::whole(statement, self.dialect).is_some_and(|words| match self.dialect {
            Dialect::MySql(_) => sets_plainly(&words),
            Dialect::Postgres => facts.head(0) != "select" || configures_plainly(&words),
            Dialect::Sqlite => true,
        });
        let reads_lost = facts.read.iter().any(|name| self.held.contains_key(&State::Variable(name.clone())));
        if !plain || reads_lost {
            for name in &facts.written {
                self.held.insert(State::Variable(name.clone()), idx);
            }
            if facts.written.is_empty() || facts.sets_system {
                self.held.insert(State::Settings, idx);
            }
        } else if self.lives_in_session(facts) {
            for name in &facts.written {
                self.held.remove(&State::Variable(name.clone()));
            }
            self.again.push(idx);
        }
    }

    /// Whether a plain setting ends with the session, neither earlier nor later.
    fn lives_in_session(&self, facts: &Facts) -> bool {
        const NOT_HERE: [&str; 6] = ["local", "transaction", "constraints", "global", "persist", "persist_only"];
        const READINGS: [&str; 9] = [
            "wal_checkpoint",
            "incremental_vacuum",
            "integrity_check",
            "quick_check",
            "foreign_key_check",
            "optimize",
            "table_info",
            "index_list",
            "shrink_memory",
        ];
        match (self.dialect, facts.head(0)) {
            // `SET LOCAL` is MySQL's word for the session.
            (Dialect::MySql(_), "set") => {
                let kept =
                    ["@@global", "@@persist", "password", "default"].iter().any(|w| facts.head(1).starts_with(w));
                facts.head(1) == "local" || !(kept || NOT_HERE.contains(&facts.head(1)))
            }
            (Dialect::Postgres, "set") => !NOT_HERE.contains(&facts.head(1)),
            (Dialect::Sqlite, "pragma") => !facts.names.iter().any(|name| READINGS.contains(&name.as_str())),
            _ => true,
        }
    }

    /// Checks a statement that is yet to run.
    fn check(&mut self, idx: usize, is_first: bool, statement: &str) -> Result<(), Missing> {
        let facts = Facts::read(statement, self.dialect);
        let found = self.held.iter().find(|(state, _)| state.is_needed_by(&facts, is_first, self.dialect));
        if let Some((state, made_by)) = found {
            return Err(Missing { what: state.words(), made_by: *made_by, needed_by: idx });
        }
        // What it makes itself is no longer that of the old session.
        // Not the last row's number: what an INSERT without a serial column leaves is the number before.
        if facts.head(0) == "prepare" {
            self.held.remove(&State::Prepared(facts.head(1).to_owned()));
        }
        for name in &facts.written {
            self.held.remove(&State::Variable(name.clone()));
        }
        if let Some(name) = &facts.temporary {
            self.held.remove(&State::Temporary(name.clone()));
        }
        Ok(())
    }
}
