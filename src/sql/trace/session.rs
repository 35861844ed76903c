//! What a text leaves in its session, and which of its statements need it.
//!
//! A text that is continued on a new session lacks what the statements before did to the old one. Plain settings are
//! made again; where something else is needed, the text cannot go on.

use std::collections::{BTreeMap, BTreeSet};

use super::words::Words;
use crate::sql::Dialect;
use crate::sql::lexer::{Kind, Lexer};

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
        let plain = Words::read(statement, self.dialect).is_some_and(|words| match self.dialect {
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
        let found = self.held.iter().find(|(state, _)| facts.needs(state, is_first, self.dialect));
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

/// What is known of a statement, read in one pass however long it is. Words are in lower case.
#[derive(Default)]
struct Facts {
    /// The first words.
    heads: Vec<String>,
    /// The last one.
    last: String,
    names: BTreeSet<String>,
    /// User variables.
    read: BTreeSet<String>,
    written: BTreeSet<String>,
    /// Whether it assigns a system variable.
    sets_system: bool,
    /// The temporary table that it makes.
    temporary: Option<String>,
    /// Whether it calls `set_config`.
    sets_config: bool,
}

impl Facts {
    fn read(statement: &str, dialect: Dialect) -> Self {
        let mut facts = Self::default();
        let mut reader = Reader::default();
        let mut lexer = Lexer::new(statement, dialect);
        // A statement that cannot be read was split as one all the same; what was seen of it counts.
        while let Ok(Some(token)) = lexer.next() {
            if !matches!(token.kind, Kind::Comment | Kind::ExecutableOpen | Kind::ExecutableClose) {
                reader.token(&mut facts, token.kind, &statement[token.span()]);
            }
        }
        reader.settle(&mut facts);
        facts.sets_config = dialect == Dialect::Postgres && facts.names.contains("set_config");
        if facts.head(0) == "call" {
            facts.written.extend(facts.read.iter().cloned());
        }
        facts
    }

    fn head(&self, at: usize) -> &str {
        self.heads.get(at).map_or("", String::as_str)
    }

    fn needs(&self, state: &State, is_first: bool, dialect: Dialect) -> bool {
        let names = |words: &[&str]| words.iter().any(|word| self.names.contains(*word));
        match state {
            State::Variable(name) => self.read.contains(name),
            State::Prepared(name) => {
                matches!(self.head(0), "execute" | "deallocate" | "drop") && self.names.contains(name)
            }
            State::Temporary(name) => self.temporary.as_ref() != Some(name) && self.names.contains(name),
            State::Settings => is_first,
            State::Locks => is_first && self.head(0) != "lock",
            State::Transaction => is_first && !matches!(self.head(0), "begin" | "start"),
            State::LastRow => {
                names(&["last_insert_id", "identity", "lastval", "currval", "last_insert_rowid"])
                    || (is_first && names(&["row_count", "found_rows", "total_changes"]))
                    || (is_first && dialect == Dialect::Sqlite && names(&["changes"]))
            }
        }
    }
}

/// Follows a statement's tokens.
#[derive(Default)]
struct Reader {
    before: String,
    /// A variable whose use the next tokens tell.
    open: Option<String>,
    /// Whether a bare mark stands before a quoted variable's name.
    mark: bool,
    colon: bool,
    into: bool,
    is_set: bool,
    /// Whether an assignment's target comes next.
    target: bool,
    depth: usize,
    temporary: Temporary,
}

/// How far `CREATE TEMPORARY TABLE name` is read.
#[derive(Default, PartialEq)]
enum Temporary {
    #[default]
    No,
    Said,
    Named,
}

impl Reader {
    fn token(&mut self, facts: &mut Facts, kind: Kind, text: &str) {
        let lower = text.to_lowercase();
        let bare = lower.trim_matches(['"', '`', '[', ']', '\'']).to_owned();
        let own = match kind {
            Kind::Variable if !lower.starts_with("@@") && lower.starts_with('@') => Some(lower[1..].to_owned()),
            Kind::Name | Kind::Text if self.mark => Some(bare.clone()),
            _ => None,
        };
        self.mark = kind == Kind::Symbol(b'@');
        if let Some(name) = own {
            self.settle(facts);
            self.open = Some(name);
            if facts.heads.len() < 4 {
                facts.heads.push(String::new());
            }
            self.before = lower;
            return;
        }
        if let Kind::Symbol(symbol) = kind {
            self.symbol(facts, symbol);
        } else {
            self.settle(facts);
            self.word(facts, kind, bare);
        }
        self.before = lower;
    }

    fn symbol(&mut self, facts: &mut Facts, symbol: u8) {
        let assigns = symbol == b'=' && (self.colon || self.target);
        if assigns {
            match self.open.take() {
                Some(name) => drop(facts.written.insert(name)),
                None => facts.sets_system = true,
            }
            self.target = false;
        }
        match symbol {
            b'(' => self.depth += 1,
            b')' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if symbol == b',' {
            self.settle(facts);
            self.target = self.is_set && self.depth == 0;
        } else if symbol != b':' && !assigns {
            self.settle(facts);
            self.into = false;
        }
        self.colon = symbol == b':';
    }

    fn word(&mut self, facts: &mut Facts, kind: Kind, bare: String) {
        let keyword = kind == Kind::Word;
        if facts.heads.is_empty() && keyword && bare == "set" {
            (self.is_set, self.target) = (true, true);
        }
        self.into = keyword && bare == "into";
        if matches!(kind, Kind::Word | Kind::Name | Kind::Variable) {
            // `@@identity` is needed by its name.
            let name = bare.trim_start_matches('@');
            facts.names.insert(name.to_owned());
            facts.last = name.to_owned();
        }
        if matches!(kind, Kind::Word | Kind::Name) {
            self.temporary(facts, keyword, &bare);
        }
        if facts.heads.len() < 4 {
            facts.heads.push(bare);
        }
    }

    fn temporary(&mut self, facts: &mut Facts, keyword: bool, bare: &str) {
        const BETWEEN: [&str; 8] = ["table", "view", "sequence", "if", "not", "exists", "unlogged", "recursive"];
        match self.temporary {
            Temporary::No if keyword && matches!(bare, "temporary" | "temp") => {
                let makes = facts.head(0) == "create" || self.before == "into";
                self.temporary = if makes { Temporary::Said } else { Temporary::No };
            }
            Temporary::Said if keyword && BETWEEN.contains(&bare) => {}
            Temporary::Said => {
                facts.temporary = Some(bare.to_owned());
                self.temporary = Temporary::Named;
            }
            _ => {}
        }
    }

    /// Takes a variable that no assignment follows: read, or a target of `INTO`.
    fn settle(&mut self, facts: &mut Facts) {
        let Some(name) = self.open.take() else { return };
        if self.into {
            facts.written.insert(name)
        } else {
            facts.read.insert(name)
        };
    }
}

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
const READS: [&str; 62] = [
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
fn configures_plainly(words: &Words<'_>) -> bool {
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
