//! SQLite: lists and expressions stand in the attributes as they stand in SQL.
//!
//! <https://www.sqlite.org/lang_altertable.html#altertabaddcol>

use super::{NewTable, Sql, Writer, fills, knows, own_name, quoted};
use crate::schema::Object;

pub(super) struct Sqlite;

impl Writer for Sqlite {
    fn table(&self, new: &NewTable<'_>) -> Option<Sql> {
        knows(new.table, &["without rowid", "strict"])?;
        let columns = new.columns.iter().map(|column| definition(column));
        let constraints = new.constraints.iter().map(|constraint| self::constraint(constraint));
        let body = columns.chain(constraints).collect::<Option<Vec<_>>>()?.join(",\n    ");
        let options: Vec<&str> =
            ["strict", "without rowid"].into_iter().filter(|name| new.table.get(name).is_some()).collect();
        let options =
            if options.is_empty() { String::new() } else { format!(" {}", options.join(", ").to_uppercase()) };
        Sql::at(format!("CREATE TABLE {} (\n    {body}\n){options}", quoted(&new.table.name, '"')))
    }

    /// A constant default is needed, and a stored column cannot be added.
    fn column(&self, table: &str, column: &Object) -> Option<Sql> {
        let is_constant =
            column.get("default").is_none_or(|default| is_literal(default) && !default.starts_with("current_"));
        if !fills(column, &["generated"]) || !is_constant || column.get("stored").is_some() {
            return None;
        }
        Sql::at(format!("ALTER TABLE {} ADD COLUMN {}", quoted(table, '"'), definition(column)?))
    }

    fn index(&self, table: &str, index: &Object, _columns: &[&str]) -> Option<Sql> {
        knows(index, &["unique", "columns", "where"])?;
        let unique = if index.get("unique").is_some() { "UNIQUE " } else { "" };
        let (name, columns) = (quoted(&index.name, '"'), index.get("columns")?);
        let predicate = index.get("where").map(|predicate| format!(" WHERE {predicate}")).unwrap_or_default();
        Sql::at(format!("CREATE {unique}INDEX {name} ON {} ({columns}){predicate}", quoted(table, '"')))
    }
}

fn definition(column: &Object) -> Option<String> {
    knows(column, &["type", "null", "null conflict", "default", "generated", "stored", "collation"])?;
    let mut sql = quoted(own_name(column), '"');
    let mut add = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            sql.push_str(&format!(" {word}{value}"));
        }
    };
    add("", column.get("type"));
    add("COLLATE ", column.get("collation"));
    add("NOT NULL", column.get("null").map(|_| ""));
    add("ON CONFLICT ", column.get("null conflict"));
    match column.get("default") {
        Some(value) if is_literal(value) => add("DEFAULT ", Some(value)),
        value => add("DEFAULT ", value.map(|value| format!("({value})")).as_deref()),
    }
    add("AS ", column.get("generated").map(|expression| format!("({expression})")).as_deref());
    add("STORED", column.get("stored").map(|_| ""));
    Some(sql)
}

fn constraint(constraint: &Object) -> Option<String> {
    let understood = [
        "primary key",
        "autoincrement",
        "conflict",
        "unique",
        "check",
        "foreign key",
        "references",
        "on delete",
        "on update",
        "deferred",
    ];
    knows(constraint, &understood)?;
    let name = own_name(constraint);
    let unnamed = ["primary key", "unique (", "check (", "foreign key ("].iter().any(|begins| name.starts_with(begins));
    let mut sql = if unnamed { String::new() } else { format!("CONSTRAINT {} ", quoted(name, '"')) };
    let list = |word: &str| constraint.get(word).map(|list| (word.to_uppercase(), list));
    let (word, list) = list("primary key").or(list("unique")).or(list("check")).or(list("foreign key"))?;
    let increment = if constraint.get("autoincrement").is_some() { " AUTOINCREMENT" } else { "" };
    sql.push_str(&format!("{word} ({list}{increment})"));
    for word in ["references", "on delete", "on update"] {
        if let Some(value) = constraint.get(word) {
            let value = if word == "references" { value.to_owned() } else { value.to_uppercase() };
            sql.push_str(&format!(" {} {value}", word.to_uppercase()));
        }
    }
    if let Some(conflict) = constraint.get("conflict") {
        sql.push_str(&format!(" ON CONFLICT {}", conflict.to_uppercase()));
    }
    if constraint.get("deferred").is_some() {
        sql.push_str(" DEFERRABLE INITIALLY DEFERRED");
    }
    Some(sql)
}

/// Whether a default stands without parentheses: a string, a blob, a number, a word.
fn is_literal(value: &str) -> bool {
    let text = value.strip_prefix('x').unwrap_or(value);
    if let Some(inner) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        return !inner.replace("''", "").contains('\'');
    }
    let bare = value.strip_prefix(['-', '+']).unwrap_or(value);
    !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
}
