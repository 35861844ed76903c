//! MySQL and MariaDB: names stand in the attributes without quotes.

use super::{NewTable, Sql, Writer, fills, items, knows, own_name, quoted};
use crate::schema::Object;

pub(super) struct MySql {
    pub is_mariadb: bool,
}

impl Writer for MySql {
    /// Foreign keys come when all tables and indexes are there: an index that a key finds is not made twice.
    fn table(&self, new: &NewTable<'_>) -> Option<Sql> {
        knows(new.table, &["engine", "character set", "collation", "row format", "comment"])?;
        let table = quoted(&new.table.name, '`');
        let names: Vec<&str> = new.columns.iter().map(|column| own_name(column)).collect();
        let mut sql = Sql::default();
        let mut body = new.columns.iter().map(|column| self.definition(column)).collect::<Option<Vec<_>>>()?;
        let mut key = None;
        for constraint in &new.constraints {
            if let Some(columns) = constraint.get("columns") {
                knows(constraint, &["columns"])?;
                key = items(columns).first().copied();
                body.push(format!("PRIMARY KEY ({})", indexed(columns, &names)?));
            } else if constraint.get("check").is_some() {
                body.push(check(constraint)?);
            } else {
                sql.after.push(format!("ALTER TABLE {table} ADD {}", foreign_key(constraint, &names)?));
            }
        }
        // A counter must be a key's first column.
        let counts = |column: &&&Object| column.get("auto_increment").is_some();
        if new.columns.iter().find(counts).is_some_and(|column| key != Some(own_name(column))) {
            return None;
        }
        let mut made = format!("CREATE TABLE {table} (\n    {}\n)", body.join(",\n    "));
        let words = [
            ("engine", "ENGINE"),
            ("character set", "CHARACTER SET"),
            ("collation", "COLLATE"),
            ("row format", "ROW_FORMAT"),
        ];
        for (name, word) in words {
            if let Some(value) = new.table.get(name) {
                made.push_str(&format!(" {word} {value}"));
            }
        }
        if let Some(comment) = new.table.get("comment") {
            made.push_str(&format!(" COMMENT {}", literal(comment)));
        }
        sql.at.push(made);
        Some(sql)
    }

    /// Without a default the server would fill in a zero or an empty text.
    fn column(&self, table: &str, column: &Object) -> Option<Sql> {
        if !fills(column, &["generated"]) || column.get("auto_increment").is_some() {
            return None;
        }
        Sql::at(format!("ALTER TABLE {} ADD COLUMN {}", quoted(table, '`'), self.definition(column)?))
    }

    fn index(&self, table: &str, index: &Object, columns: &[&str]) -> Option<Sql> {
        knows(index, &["columns", "unique", "method", "comment"])?;
        let kind = match index.get("method") {
            None if index.get("unique").is_some() => "UNIQUE ",
            None => "",
            Some("FULLTEXT") => "FULLTEXT ",
            Some("SPATIAL") => "SPATIAL ",
            Some(_) => return None,
        };
        let (name, list) = (quoted(&index.name, '`'), indexed(index.get("columns")?, columns)?);
        let comment = index.get("comment").map(|comment| format!(" COMMENT {}", literal(comment))).unwrap_or_default();
        Sql::at(format!("CREATE {kind}INDEX {name} ON {} ({list}){comment}", quoted(table, '`')))
    }
}

impl MySql {
    /// NULL is always said: a `timestamp` may otherwise get NOT NULL and a default by itself.
    /// <https://mariadb.com/kb/en/timestamp/>
    fn definition(&self, column: &Object) -> Option<String> {
        let understood = [
            "type",
            "character set",
            "collation",
            "null",
            "default",
            "generated",
            "stored",
            "auto_increment",
            "on update",
            "invisible",
            "comment",
        ];
        knows(column, &understood)?;
        let mut sql = format!("{} {}", quoted(own_name(column), '`'), column.get("type")?);
        for (name, word) in [("character set", "CHARACTER SET"), ("collation", "COLLATE")] {
            if let Some(value) = column.get(name) {
                sql.push_str(&format!(" {word} {value}"));
            }
        }
        match column.get("generated") {
            Some(expression) => {
                let stored = if column.get("stored").is_some() { "STORED" } else { "VIRTUAL" };
                sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {stored}"));
            }
            None => sql.push_str(if column.get("null").is_some() { " NOT NULL" } else { " NULL" }),
        }
        if let Some(default) = column.get("default") {
            sql.push_str(&format!(" DEFAULT {}", self.default(column, default)?));
        }
        if let Some(expression) = column.get("on update") {
            sql.push_str(&format!(" ON UPDATE {expression}"));
        }
        for (name, word) in [("auto_increment", " AUTO_INCREMENT"), ("invisible", " INVISIBLE")] {
            if column.get(name).is_some() {
                sql.push_str(word);
            }
        }
        if let Some(comment) = column.get("comment") {
            sql.push_str(&format!(" COMMENT {}", literal(comment)));
        }
        Some(sql)
    }

    /// MySQL wants an expression in parentheses, and shows the bits of a default as a text that is none.
    /// <https://dev.mysql.com/doc/refman/8.4/en/data-type-defaults.html>
    fn default(&self, column: &Object, default: &str) -> Option<String> {
        let now = default.to_ascii_lowercase().starts_with("current_timestamp");
        match self.is_mariadb || now || default.starts_with('\'') {
            true if !self.is_mariadb && column.get("type")?.starts_with("bit") => None,
            true => Some(default.to_owned()),
            false => Some(format!("({default})")),
        }
    }
}

fn check(constraint: &Object) -> Option<String> {
    knows(constraint, &["check"])?;
    let (name, clause) = (own_name(constraint), constraint.get("check")?);
    Some(match name.starts_with("check (") {
        true => format!("CHECK ({clause})"),
        false => format!("CONSTRAINT {} CHECK ({clause})", quoted(name, '`')),
    })
}

fn foreign_key(constraint: &Object, columns: &[&str]) -> Option<String> {
    knows(constraint, &["foreign key", "references", "on update", "on delete"])?;
    let name = own_name(constraint);
    let named = match name.starts_with("foreign key (") {
        true => String::new(),
        false => format!("CONSTRAINT {} ", quoted(name, '`')),
    };
    let (table, theirs) = constraint.get("references")?.strip_suffix(')')?.split_once(" (")?;
    // Of another database, or of a name that cannot be told from that.
    if table.contains('.') {
        return None;
    }
    let theirs: Vec<String> = items(theirs).into_iter().map(|name| quoted(name, '`')).collect();
    let ours = indexed(constraint.get("foreign key")?, columns)?;
    let mut sql = format!("{named}FOREIGN KEY ({ours}) REFERENCES {} ({})", quoted(table, '`'), theirs.join(", "));
    for word in ["on update", "on delete"] {
        if let Some(rule) = constraint.get(word) {
            sql.push_str(&format!(" {} {}", word.to_uppercase(), rule.to_uppercase()));
        }
    }
    Some(sql)
}

/// Writes a list such as `note(20), ref desc, (lower(ref))`; nothing where a name is no column of the table.
fn indexed(list: &str, columns: &[&str]) -> Option<String> {
    let one = |item: &str| {
        let (what, direction) = item.strip_suffix(" desc").map_or((item, ""), |what| (what, " DESC"));
        if what.starts_with('(') && what.ends_with(')') {
            return Some(format!("{what}{direction}"));
        }
        let (name, length) = match what.strip_suffix(')').and_then(|what| what.rsplit_once('(')) {
            Some((name, length)) if length.bytes().all(|byte| byte.is_ascii_digit()) => (name, format!("({length})")),
            _ => (what, String::new()),
        };
        let known = columns.iter().any(|column| column.eq_ignore_ascii_case(name));
        known.then(|| format!("{}{length}{direction}", quoted(name, '`')))
    };
    Some(items(list).into_iter().map(one).collect::<Option<Vec<_>>>()?.join(", "))
}

/// Writes a text; backslashes are doubled, as they escape unless the session says otherwise.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
