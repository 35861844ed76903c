//! Reads from a table's stored text what no pragma tells: checks, collations, conflict clauses, constraints' names.
//!
//! The text is one that SQLite has accepted; what is strange in it is passed over.
//! <https://www.sqlite.org/lang_createtable.html>

use super::tokens::{Token, spelled, tokens};

/// What the text says of a table.
#[derive(Debug, Default)]
pub(super) struct TableText {
    pub columns: Vec<ColumnText>,
    pub primary_key: Option<KeyText>,
    pub uniques: Vec<KeyText>,
    pub checks: Vec<CheckText>,
    /// In the order in which they are written.
    pub foreign_keys: Vec<ForeignKeyText>,
}

/// What the text says of a column.
#[derive(Debug, Default)]
pub(super) struct ColumnText {
    pub name: String,
    pub collation: Option<String>,
    /// The expression of which the column is generated.
    pub generated: Option<String>,
    /// What happens instead of an error where it is NULL and must not be.
    pub conflict: Option<String>,
}

/// What the text says of a PRIMARY KEY or UNIQUE constraint.
#[derive(Debug, Default)]
pub(super) struct KeyText {
    pub name: Option<String>,
    pub columns: Vec<Indexed>,
    pub conflict: Option<String>,
    pub autoincrement: bool,
}

/// One column of an index or a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexed {
    /// A column's name or an expression, in the canonical spelling.
    pub what: String,
    /// The name, if it is one.
    pub name: Option<String>,
    /// In lower case, where one is written.
    pub collation: Option<String>,
    pub descending: bool,
}

/// What the text says of a CHECK constraint.
#[derive(Debug)]
pub(super) struct CheckText {
    pub name: Option<String>,
    pub expression: String,
    pub conflict: Option<String>,
}

/// What the text says of a foreign key; its pragma tells the rest.
#[derive(Debug, Default)]
pub(super) struct ForeignKeyText {
    pub name: Option<String>,
    pub deferrable: bool,
    pub initially_deferred: bool,
}

impl TableText {
    /// Reads a stored `CREATE TABLE`.
    pub fn parse(sql: &str) -> Self {
        let tokens = tokens(sql);
        let mut table = Self::default();
        let Some(open) = tokens.iter().position(|token| token.is_mark("(")) else { return table };
        for item in items(within(&tokens, open)) {
            let begins = ["constraint", "primary", "unique", "check", "foreign"];
            let of_column = match item.first() {
                Some(first) if !begins.iter().any(|word| first.is(word)) => {
                    table.columns.push(ColumnText { name: first.name(), ..ColumnText::default() });
                    true
                }
                _ => false,
            };
            Walk { tokens: &item[usize::from(of_column)..], at: 0, of_column, table: &mut table }.constraints();
        }
        table
    }

    /// Returns what is written of a column.
    pub fn column(&self, name: &str) -> Option<&ColumnText> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

/// Reads the columns of an index or a key, given what is within the parentheses.
pub(super) fn indexed(list: &[Token]) -> Vec<Indexed> {
    let one = |item: &[Token]| {
        let mut rest = item;
        let mut made = Indexed::default();
        if let Some((last, before)) = rest.split_last()
            && (last.is("asc") || last.is("desc") || last.is("autoincrement"))
            && !before.is_empty()
        {
            // `AUTOINCREMENT` stands behind the direction.
            if last.is("autoincrement") {
                return indexed(before).pop().unwrap_or_default();
            }
            made.descending = last.is("desc");
            rest = before;
        }
        if let [before @ .., word, collation] = rest
            && word.is("collate")
            && !before.is_empty()
        {
            made.collation = Some(collation.name().to_ascii_lowercase());
            rest = before;
        }
        made.name = if let [name] = rest { Some(name.name()) } else { None };
        made.what = spelled(rest);
        made
    };
    items(list).into_iter().map(one).collect()
}

/// Splits at the commas that are in no parentheses.
pub(super) fn items(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    tokens
        .split(|token| {
            depth = match () {
                () if token.is_mark("(") => depth + 1,
                () if token.is_mark(")") => depth.saturating_sub(1),
                () => depth,
            };
            depth == 0 && token.is_mark(",")
        })
        .collect()
}

/// Returns what is within the parenthesis that opens at `open`.
pub(super) fn within(tokens: &[Token], open: usize) -> &[Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is_mark("(") {
            depth += 1;
        } else if token.is_mark(")") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return &tokens[open + 1..at];
            }
        }
    }
    tokens.get(open + 1..).unwrap_or_default()
}

/// A walk through the constraints of one column, or of the table: those need no commas between them.
struct Walk<'w> {
    tokens: &'w [Token],
    at: usize,
    /// Whether they are those of the table's last column.
    of_column: bool,
    table: &'w mut TableText,
}

impl<'w> Walk<'w> {
    fn constraints(&mut self) {
        let mut named = None;
        while let Some(token) = self.next() {
            let name = named.take();
            match () {
                () if token.is("constraint") => named = self.next().map(Token::name),
                () if token.is("not") => self.not(),
                () if token.is("primary") => self.primary_key(name),
                () if token.is("unique") => {
                    let key = self.key(name);
                    self.table.uniques.push(key);
                }
                () if token.is("check") => self.check(name),
                () if token.is("default") => self.default(),
                () if token.is("collate") => {
                    let collation = self.next().map(|token| token.name().to_ascii_lowercase());
                    self.column(|column| column.collation = collation);
                }
                () if token.is("as") => self.generated(),
                () if token.is("foreign") => {
                    self.eat("key");
                    self.parentheses();
                    self.eat("references");
                    self.references(name);
                }
                () if token.is("references") => self.references(name),
                () if token.is("deferrable") => self.deferrable(true),
                // Of `ON DELETE SET DEFAULT`, which is no default.
                () if token.is("set") => self.at += 1,
                // A type's length.
                () if token.is_mark("(") => {
                    self.at -= 1;
                    self.parentheses();
                }
                () => {}
            }
        }
    }

    fn references(&mut self, name: Option<String>) {
        self.table.foreign_keys.push(ForeignKeyText { name, ..ForeignKeyText::default() });
        // The other table's name, which may be any word, and its columns.
        self.next();
        self.parentheses();
    }

    fn next(&mut self) -> Option<&'w Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    /// Passes over a word if it is the next.
    fn eat(&mut self, word: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|token| token.is(word));
        self.at += usize::from(found);
        found
    }

    /// Passes over what is in parentheses, if they are next.
    fn parentheses(&mut self) -> Option<&'w [Token]> {
        self.tokens.get(self.at).filter(|token| token.is_mark("("))?;
        let inner = within(self.tokens, self.at);
        self.at += inner.len() + 2;
        Some(inner)
    }

    fn conflict(&mut self) -> Option<String> {
        let begins = self.tokens.get(self.at).is_some_and(|token| token.is("on"))
            && self.tokens.get(self.at + 1).is_some_and(|token| token.is("conflict"));
        if !begins {
            return None;
        }
        self.at += 2;
        // ABORT is what happens anyway.
        self.next().map(|token| token.text.to_ascii_lowercase()).filter(|word| word != "abort")
    }

    fn column(&mut self, change: impl FnOnce(&mut ColumnText)) {
        if let Some(column) = self.table.columns.last_mut().filter(|_| self.of_column) {
            change(column);
        }
    }

    fn not(&mut self) {
        if self.eat("deferrable") {
            return self.deferrable(false);
        }
        if self.eat("null") {
            let conflict = self.conflict();
            self.column(|column| column.conflict = conflict);
        }
    }

    fn primary_key(&mut self, name: Option<String>) {
        self.eat("key");
        let mut key = self.key(name);
        key.autoincrement |= self.eat("autoincrement");
        self.table.primary_key = Some(key);
    }

    /// Reads the rest of PRIMARY KEY and UNIQUE, of a column or of the table.
    fn key(&mut self, name: Option<String>) -> KeyText {
        let mut key = KeyText { name, ..KeyText::default() };
        match self.table.columns.last().filter(|_| self.of_column) {
            Some(column) => {
                let what = super::tokens::identifier(&column.name);
                let name = Some(column.name.clone());
                let descending = !self.eat("asc") && self.eat("desc");
                key.columns = vec![Indexed { what, name, collation: None, descending }];
            }
            None => {
                let list = self.parentheses().unwrap_or_default();
                key.autoincrement = list.last().is_some_and(|token| token.is("autoincrement"));
                key.columns = indexed(list);
            }
        }
        key.conflict = self.conflict();
        key
    }

    fn check(&mut self, name: Option<String>) {
        let expression = self.parentheses().map(spelled).unwrap_or_default();
        let conflict = self.conflict();
        self.table.checks.push(CheckText { name, expression, conflict });
    }

    /// Passes over the value, of which the pragma tells.
    fn default(&mut self) {
        if self.parentheses().is_none() {
            let signed = self.next().is_some_and(|token| token.is_mark("-") || token.is_mark("+"));
            self.at += usize::from(signed);
        }
    }

    fn generated(&mut self) {
        let expression = self.parentheses().map(spelled);
        self.column(|column| column.generated = expression);
    }

    /// Only `DEFERRABLE INITIALLY DEFERRED` is deferred. <https://www.sqlite.org/foreignkeys.html#fk_deferred>
    fn deferrable(&mut self, deferrable: bool) {
        let deferred = self.eat("initially") && self.next().is_some_and(|token| token.is("deferred"));
        if let Some(last) = self.table.foreign_keys.last_mut() {
            (last.deferrable, last.initially_deferred) = (deferrable, deferred);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_of_columns_and_of_the_table_are_read_alike() {
        let of_columns = TableText::parse("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT UNIQUE ON CONFLICT IGNORE)");
        let of_table =
            TableText::parse("CREATE TABLE t(a INTEGER, b TEXT, PRIMARY KEY (a) UNIQUE (b) ON CONFLICT IGNORE)");
        for table in [of_columns, of_table] {
            assert_eq!(table.columns.len(), 2);
            assert_eq!(table.primary_key.unwrap().columns[0].what, "a");
            assert_eq!(table.uniques[0].columns[0].what, "b");
            assert_eq!(table.uniques[0].conflict.as_deref(), Some("ignore"));
        }
    }

    #[test]
    fn everything_that_no_pragma_tells_is_found() {
        let table = TableText::parse(
            "CREATE TABLE \"t\" (\"a\" DECIMAL(10, 2) CONSTRAINT some NOT NULL ON CONFLICT REPLACE DEFAULT (max(1, 2)) \
             CONSTRAINT positive CHECK (a > 0) COLLATE NOCASE REFERENCES p (x) ON DELETE SET DEFAULT DEFERRABLE INITIALLY \
             DEFERRED, b AS (a || ',' || ')') STORED, [c d] DEFAULT -1 REFERENCES q NOT DEFERRABLE, \
             CONSTRAINT pk PRIMARY KEY (a DESC, [c d] COLLATE RTRIM), FOREIGN KEY (a, b) REFERENCES r (a, b), \
             CHECK (a IN (1, 2)))",
        );
        let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c d"]);
        assert_eq!(table.columns[0].conflict.as_deref(), Some("replace"));
        assert_eq!(table.columns[0].collation.as_deref(), Some("nocase"));
        assert_eq!(table.columns[1].generated.as_deref(), Some("a || ',' || ')'"));
        let key = table.primary_key.as_ref().unwrap();
        assert_eq!(key.name.as_deref(), Some("pk"));
        assert!(key.columns[0].descending);
        assert_eq!((key.columns[1].what.as_str(), key.columns[1].collation.as_deref()), ("\"c d\"", Some("rtrim")));
        let checks: Vec<_> = table.checks.iter().map(|c| (c.name.as_deref(), c.expression.as_str())).collect();
        assert_eq!(checks, [(Some("positive"), "a > 0"), (None, "a in (1, 2)")]);
        let deferred: Vec<_> = table.foreign_keys.iter().map(|f| f.deferrable && f.initially_deferred).collect();
        assert_eq!(deferred, [true, false, false]);
    }

    #[test]
    fn any_text_is_read_to_its_end() {
        for sql in [
            "",
            "CREATE TABLE t",
            "CREATE TABLE t(",
            "x(,,)",
            "x(a CHECK",
            "x(a DEFAULT",
            "x(PRIMARY KEY(",
            "x(a CONSTRAINT",
        ] {
            TableText::parse(sql);
        }
    }
}
