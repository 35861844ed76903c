//! Finds names that are qualified by a schema or a database: `other.orders`, and not `alias.column`.
//!
//! It knows where a table, a routine or a schema is named: after `FROM`, `JOIN`, `INTO`, `UPDATE`, `TABLE` and the like,
//! in lists of these, before an opening parenthesis (a call), and in names of three parts. A name of two parts anywhere
//! else is an alias and its column. Bodies of routines and texts given to `PREPARE` and `EXECUTE` are read too.

use std::collections::BTreeSet;

use super::Dialect;
use super::lexer::{Kind, Token};
use super::position::Lines;
use super::split::{Clients, Item, Scanner};
use super::tokens::Tokens;

/// How deep texts inside of texts are read.
const DEEPEST: u8 = 3;

/// A name that is qualified, or the name of a schema or database itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qualified {
    /// The schema or database, without quotes; PostgreSQL's bare names in lower case.
    pub qualifier: String,
    /// The object in it, likewise; nothing where the schema or database itself is named, or all in it.
    pub name: Option<String>,
    /// The line where the name begins, from 1. In a text inside of a text, where that one begins.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters it has.
    pub len: usize,
}

/// Lists the qualified names of a text, in order. A text that cannot be split has those before the fault.
pub fn qualified(text: &str, dialect: Dialect) -> Vec<Qualified> {
    let mut found = Vec::new();
    collect(text, dialect, 0, &mut |name, span| {
        if let Named::Qualified(qualifier, name) = name {
            found.push((qualifier, name, span));
        }
    });
    placed(text, found)
}

/// Lists the bare names that a text makes an index on, refers to, alters, drops or writes to, as if `qualifier` stood
/// before them; without those that it makes itself.
pub fn changed_bare(text: &str, dialect: Dialect, qualifier: &str) -> Vec<Qualified> {
    let (mut found, mut made) = (Vec::new(), BTreeSet::new());
    collect(text, dialect, 0, &mut |name, span| match name {
        Named::Changed(name) => found.push((qualifier.to_owned(), Some(name), span)),
        Named::Made(name) => drop(made.insert(name)),
        Named::Qualified(..) => {}
    });
    found.retain(|(_, name, _)| name.as_ref().is_some_and(|name| !made.contains(name)));
    placed(text, found)
}

/// Says where names stand, in order.
fn placed(text: &str, mut found: Vec<(String, Option<String>, Span)>) -> Vec<Qualified> {
    found.sort_by_key(|(_, _, span)| (span.start, span.end));
    let mut lines = Lines::new(text);
    let made = found.into_iter().map(|(qualifier, name, span)| {
        let (line, column) = lines.at(span.start);
        Qualified { qualifier, name, line, column, len: text[span].chars().count() }
    });
    made.collect()
}

type Span = std::ops::Range<usize>;

/// What a name is in its statement.
enum Named {
    /// A schema or database, and the object in it.
    Qualified(String, Option<String>),
    /// A bare name of what is changed.
    Changed(String),
    /// A bare name of what is made.
    Made(String),
}

fn collect(text: &str, dialect: Dialect, depth: u8, found: &mut dyn FnMut(Named, Span)) {
    let mut scanner = Scanner::new(text, dialect, Clients::Obeyed);
    while let Ok(Some(item)) = scanner.next() {
        let Item::Statement(span, dialect) = item else { continue };
        let statement = &text[span.clone()];
        let tokens = Tokens::of(statement, dialect);
        let mut reader = Reader::new(&tokens);
        reader.read();
        for (name, at) in reader.names {
            found(name, span.start + at.start..span.start + at.end);
        }
        if depth < DEEPEST {
            for (inside, literal) in reader.texts {
                let place = span.start + literal.start..span.start + literal.end;
                collect(&inside, dialect, depth + 1, &mut |name, _| found(name, place.clone()));
            }
        }
    }
}

/// Words behind which an object is named.
const BEFORE_OBJECTS: [&str; 17] = [
    "join",
    "straight_join",
    "into",
    "table",
    "tables",
    "references",
    "view",
    "procedure",
    "function",
    "call",
    "trigger",
    "event",
    "sequence",
    "truncate",
    "handler",
    "delete",
    "type",
];

/// Words that may stand between such a word and the name.
const BETWEEN: [&str; 20] = [
    "if",
    "not",
    "exists",
    "only",
    "ignore",
    "low_priority",
    "high_priority",
    "delayed",
    "quick",
    "table",
    "lateral",
    "concurrently",
    "overwrite",
    "from",
    "to",
    "full",
    "verbose",
    "freeze",
    "analyze",
    "of",
];

/// Statements that change all of a list.
const LISTING: [&str; 7] = ["drop", "truncate", "vacuum", "analyze", "lock", "grant", "revoke"];

/// Words that end a list of tables.
const LIST_ENDS: [&str; 14] = [
    "where",
    "set",
    "group",
    "order",
    "having",
    "limit",
    "values",
    "value",
    "select",
    "union",
    "window",
    "returning",
    "begin",
    "as",
];

/// Reads one statement.
struct Reader<'t> {
    text: &'t str,
    dialect: Dialect,
    tokens: &'t Tokens<'t>,
    at: usize,
    /// The first word of the statement, or of the one inside a body, in lower case.
    first: String,
    /// Whether the next `ON` names a table: in the header of an index, a trigger or a grant.
    on_object: bool,
    /// Whether the statement, or the one inside a body, runs a text: `EXECUTE '…'`, `EXECUTE IMMEDIATE '…'`.
    executes: bool,
    /// The word behind which the last object was named.
    behind: String,
    /// Whether a `SELECT` came before.
    in_select: bool,
    /// Whether a user's variable is anywhere in it.
    has_variables: bool,
    /// For each open parenthesis, and outside of all: what is true in there.
    levels: Vec<Level>,
    names: Vec<(Named, Span)>,
    /// Texts inside of it, and where they stand.
    texts: Vec<(String, Span)>,
}

#[derive(Default)]
struct Level {
    /// Whether a comma goes on in a list of objects.
    list: bool,
    /// Whether it holds a query of its own, so that `FROM` is no part of a function's call.
    query: bool,
}

/// A name of one or more parts.
struct Chain {
    parts: Vec<String>,
    span: Span,
    /// Whether it ends in `.*`.
    star: bool,
}

impl<'t> Reader<'t> {
    fn new(tokens: &'t Tokens<'t>) -> Self {
        let Tokens { text, dialect, ref list } = *tokens;
        let is_users = |token: &Token| token.kind == Kind::Variable && !text[token.span()].starts_with("@@");
        Self {
            text,
            dialect,
            tokens,
            at: 0,
            first: String::new(),
            on_object: false,
            executes: false,
            behind: String::new(),
            in_select: false,
            has_variables: list.iter().any(is_users),
            levels: vec![Level { list: false, query: true }],
            names: Vec::new(),
            texts: Vec::new(),
        }
    }

    fn read(&mut self) {
        let mut starts = true;
        while let Some(token) = self.tokens.list.get(self.at) {
            let word = self.tokens.word(self.at);
            if starts && !word.is_empty() {
                self.first.clone_from(&word);
                self.on_object = matches!(word.as_str(), "grant" | "revoke");
            }
            starts = token.kind == Kind::Semicolon
                || matches!(word.as_str(), "begin" | "then" | "else" | "do" | "loop" | "repeat" | "atomic");
            match token.kind {
                Kind::Symbol(b'(') => self.levels.push(Level::default()),
                Kind::Symbol(b')') if self.levels.len() > 1 => drop(self.levels.pop()),
                Kind::Symbol(b',') if self.level().list => {
                    self.at += 1;
                    // Elsewhere a comma may begin another column, or another part of ALTER TABLE.
                    if !LISTING.contains(&self.first.as_str()) {
                        self.behind.clear();
                    }
                    self.object();
                    continue;
                }
                Kind::Text => self.text(),
                Kind::Semicolon => {
                    self.level().list = false;
                    self.executes = false;
                }
                Kind::Word | Kind::Name if self.is_chain() => {
                    self.mention();
                    continue;
                }
                Kind::Word if self.keyword(&word) => continue,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Acts on a word; answers whether it has gone on by itself.
    fn keyword(&mut self, word: &str) -> bool {
        let before = self.at.checked_sub(1).map(|at| self.tokens.word(at)).unwrap_or_default();
        if LIST_ENDS.contains(&word) && !(word == "as" && self.level().list) {
            self.level().list = false;
        }
        match word {
            "select" | "delete" | "with" | "perform" => {
                self.level().query = true;
                self.in_select |= word == "select";
            }
            "execute" => self.executes = true,
            "index" | "trigger" => self.on_object |= self.ddl(),
            _ => {}
        }
        if self.dialect == Dialect::Postgres && matches!(word, "vacuum" | "analyze" | "cluster" | "copy") {
            self.behind = word.to_owned();
            self.at += 1;
            self.pass_options();
            self.object();
            return true;
        }
        let objects = match word {
            // EXTRACT(YEAR FROM x), TRIM(x FROM y), IS DISTINCT FROM x, PREPARE s FROM '…'.
            "from" => self.level().query && before != "distinct" && self.first != "prepare",
            // A policy's, a join's and a new type's USING is followed by an expression.
            "using" => self.level().query && matches!(self.first.as_str(), "delete" | "merge" | "with"),
            // ON DUPLICATE KEY UPDATE, ON UPDATE CASCADE, FOR UPDATE, BEFORE UPDATE OF.
            "update" => !matches!(before.as_str(), "key" | "on" | "for" | "before" | "after" | "or" | "no"),
            // A column of this name is no object of its own.
            "delete" => !matches!(before.as_str(), "on" | "before" | "after" | "or"),
            "into" => self.dialect != Dialect::Postgres || matches!(before.as_str(), "insert" | "merge" | "ignore"),
            "on" if self.on_object => {
                self.on_object = false;
                true
            }
            "like" => self.first == "create" && (before == "(" || self.levels.len() == 1) && !self.in_select,
            "to" => matches!(self.first.as_str(), "rename" | "alter") && before != "by",
            "rename" => self.first == "alter",
            "index" => self.dialect == Dialect::Postgres,
            // A partition of a table, and not those of a window.
            "partition" => self.dialect == Dialect::Postgres && self.tokens.word(self.at + 1) != "by",
            "schema" | "database" => return self.schema(&before),
            // In a text that is run by EXECUTE IMMEDIATE; elsewhere it is a hint for an index.
            "use" if self.first == "use" && before.is_empty() => return self.database(),
            // CREATE TYPE, and not the column of ALTER COLUMN … TYPE x.
            "type" => self.ddl() && matches!(before.as_str(), "create" | "drop" | "alter" | "on"),
            "table" | "tables" | "view" | "procedure" | "function" | "trigger" | "event" | "sequence" => {
                !matches!(before.as_str(), "execute" | ".") || self.dialect == Dialect::Postgres
            }
            word => BEFORE_OBJECTS.contains(&word),
        };
        if objects {
            self.behind = word.to_owned();
            self.at += 1;
            self.object();
        }
        objects
    }

    /// Goes on behind `(FULL, ANALYZE)`.
    fn pass_options(&mut self) {
        if self.tokens.symbol(self.at, b'(') {
            while self.at < self.tokens.list.len() && !self.tokens.symbol(self.at, b')') {
                self.at += 1;
            }
            self.at += 1;
        }
    }

    /// Reads the object at this place, if one is named here.
    fn object(&mut self) {
        while BETWEEN.contains(&self.tokens.word(self.at).as_str()) && !self.tokens.dot(self.at + 1) {
            self.at += 1;
        }
        self.level().list = true;
        if self.tokens.symbol(self.at, b'(') {
            // FROM (a JOIN b): the parenthesis is a list as well, until a query begins in it.
            self.levels.push(Level { list: true, query: true });
            self.at += 1;
            return self.object();
        }
        let word = self.tokens.word(self.at);
        let another = ["on", "schema", "database"].contains(&word.as_str()) || BEFORE_OBJECTS.contains(&word.as_str());
        if (another || LIST_ENDS.contains(&word.as_str())) && !self.tokens.dot(self.at + 1) {
            return;
        }
        let Some(chain) = self.chain() else { return };
        let grant = chain.star && matches!(self.first.as_str(), "grant" | "revoke");
        let qualifier = match chain.parts.len() {
            1 if grant => 0,
            1 => return self.bare(chain),
            2 => 0,
            // A catalog's name comes first.
            3 if self.dialect == Dialect::Postgres => 1,
            3 => 0,
            _ => return,
        };
        let name = chain.parts.get(qualifier + 1).cloned();
        self.names.push((Named::Qualified(chain.parts[qualifier].clone(), name), chain.span));
    }

    /// Keeps a bare name, unless it is only read there or is no table's, index's, view's or sequence's.
    fn bare(&mut self, chain: Chain) {
        let name = chain.parts[0].clone();
        let named = match self.behind.as_str() {
            "table" | "tables" | "view" | "sequence" | "index" if self.first == "create" => Named::Made(name),
            "table" | "tables" | "view" | "sequence" | "index" | "on" | "references" | "into" | "update"
            | "truncate" | "delete" | "vacuum" | "analyze" | "cluster" | "copy" => Named::Changed(name),
            "from" if self.first == "delete" && !self.in_select => Named::Changed(name),
            _ => return,
        };
        self.names.push((named, chain.span));
    }

    /// Reads a name that stands where a value does: three parts, or a call.
    fn mention(&mut self) {
        let Some(chain) = self.chain() else { return };
        let parts = chain.parts.len() + usize::from(chain.star);
        if parts == 3 || (parts == 2 && !chain.star && self.tokens.symbol(self.at, b'(')) {
            self.names.push((Named::Qualified(chain.parts[0].clone(), chain.parts.get(1).cloned()), chain.span));
        }
    }

    /// Reads the database's name of `USE`.
    fn database(&mut self) -> bool {
        self.at += 1;
        let named = self.chain().filter(|chain| chain.parts.len() == 1);
        self.names.extend(named.map(|chain| (Named::Qualified(chain.parts[0].clone(), None), chain.span)));
        true
    }

    /// Reads the names of schemas or databases themselves.
    fn schema(&mut self, before: &str) -> bool {
        let named = match self.dialect {
            Dialect::Postgres => matches!(before, "create" | "drop" | "alter" | "set" | "on" | "in"),
            _ => self.ddl() && matches!(before, "create" | "drop" | "alter" | "replace"),
        };
        if !named {
            return false;
        }
        self.at += 1;
        loop {
            while BETWEEN.contains(&self.tokens.word(self.at).as_str()) {
                self.at += 1;
            }
            let Some(chain) = self.chain().filter(|chain| chain.parts.len() == 1) else { return true };
            if chain.parts[0] != "authorization" {
                self.names.push((Named::Qualified(chain.parts[0].clone(), None), chain.span));
            }
            if !self.tokens.symbol(self.at, b',') {
                return true;
            }
            self.at += 1;
        }
    }

    /// Keeps a literal that is a text to be run.
    fn text(&mut self) {
        let span = self.tokens.list[self.at].span();
        let written = &self.text[span.clone()];
        let before = self.at.checked_sub(1).map(|at| self.tokens.word(at)).unwrap_or_default();
        let runs = match self.dialect {
            Dialect::Postgres => {
                self.first == "do"
                    || (self.first == "create" && before == "as" && written.starts_with('$'))
                    || self.executes
            }
            Dialect::MySql(_) => {
                self.first == "prepare"
                    || self.executes
                    || (matches!(self.first.as_str(), "set" | "select") && self.has_variables)
            }
            Dialect::Sqlite => false,
        };
        if runs {
            self.texts.push((self.tokens.content(written), span));
        }
    }

    /// Reads a name of as many parts as there are.
    fn chain(&mut self) -> Option<Chain> {
        let mut parts = vec![self.tokens.name(self.at)?];
        let mut span = self.tokens.list[self.at].span();
        self.at += 1;
        while self.tokens.dot(self.at) {
            if self.tokens.symbol(self.at + 1, b'*') {
                span.end = self.tokens.list[self.at + 1].end;
                self.at += 2;
                return Some(Chain { parts, span, star: true });
            }
            let Some(part) = self.tokens.name(self.at + 1) else { break };
            parts.push(part);
            span.end = self.tokens.list[self.at + 1].end;
            self.at += 2;
        }
        Some(Chain { parts, span, star: false })
    }

    fn is_chain(&self) -> bool {
        self.tokens.dot(self.at + 1) && self.tokens.name(self.at).is_some()
    }

    fn ddl(&self) -> bool {
        matches!(self.first.as_str(), "create" | "drop" | "alter" | "comment" | "grant" | "revoke")
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }
}
