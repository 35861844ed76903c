//! PostgreSQL: constraints and indexes are described by their whole definitions.

use super::{NewTable, Sql, Writer, fills, knows, own_name, quoted};
use crate::schema::Object;

pub(super) struct Postgres;

impl Writer for Postgres {
    /// Foreign keys come when all tables are there.
    fn table(&self, new: &NewTable<'_>) -> Option<Sql> {
        knows(new.table, &["persistence"])?;
        let table = quoted(&new.table.name, '"');
        let mut sql = Sql::default();
        for sequence in &new.sequences {
            let name = quoted(&sequence.name, '"');
            sql.before.push(format!("CREATE SEQUENCE {name}{}", sequence_options(sequence)?));
            let (_, column) = sequence.get("owned by")?.split_at(new.table.name.len() + 1);
            sql.after.push(format!("ALTER SEQUENCE {name} OWNED BY {table}.{}", quoted(column, '"')));
        }
        let mut body = new.columns.iter().map(|column| definition(column)).collect::<Option<Vec<_>>>()?;
        for constraint in &new.constraints {
            knows(constraint, &["definition"])?;
            let definition = constraint.get("definition")?;
            let named = format!("CONSTRAINT {} {definition}", quoted(own_name(constraint), '"'));
            match definition.starts_with("FOREIGN KEY") {
                true => sql.after.push(format!("ALTER TABLE {table} ADD {named}")),
                false => body.push(named),
            }
        }
        let unlogged = if new.table.get("persistence").is_some() { "UNLOGGED " } else { "" };
        sql.at.push(match body.is_empty() {
            true => format!("CREATE {unlogged}TABLE {table} ()"),
            false => format!("CREATE {unlogged}TABLE {table} (\n    {}\n)", body.join(",\n    ")),
        });
        Some(sql)
    }

    fn column(&self, table: &str, column: &Object) -> Option<Sql> {
        if !fills(column, &["generated", "identity"]) {
            return None;
        }
        Sql::at(format!("ALTER TABLE {} ADD COLUMN {}", quoted(table, '"'), definition(column)?))
    }

    fn index(&self, _table: &str, index: &Object, _columns: &[&str]) -> Option<Sql> {
        knows(index, &["definition"])?;
        Sql::at(index.get("definition")?.to_owned())
    }
}

fn definition(column: &Object) -> Option<String> {
    knows(column, &["type", "collation", "null", "default", "generated", "identity"])?;
    let mut sql = format!("{} {}", quoted(own_name(column), '"'), column.get("type")?);
    if let Some(collation) = column.get("collation") {
        sql.push_str(&format!(" COLLATE {collation}"));
    }
    if column.get("null").is_some() {
        sql.push_str(" NOT NULL");
    }
    if let Some(default) = column.get("default") {
        sql.push_str(&format!(" DEFAULT {default}"));
    }
    if let Some((how, expression)) = column.get("generated").and_then(|generated| generated.split_once(' ')) {
        sql.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {}", how.to_uppercase()));
    }
    if let Some(identity) = column.get("identity") {
        let when = ["always", "by default"].into_iter().find(|when| identity.starts_with(when))?;
        sql.push_str(&format!(" GENERATED {} AS IDENTITY", when.to_uppercase()));
        let options: Vec<&str> = identity[when.len()..].split_whitespace().map(option).collect();
        if !options.is_empty() {
            sql.push_str(&format!(" ({})", options.join(" ")));
        }
    }
    Some(sql)
}

fn sequence_options(sequence: &Object) -> Option<String> {
    knows(sequence, &["type", "start", "increment", "minimum", "maximum", "cache", "cycle", "owned by"])?;
    let mut sql = sequence.get("type").map(|kind| format!(" AS {kind}")).unwrap_or_default();
    for name in ["start", "increment", "minimum", "maximum", "cache"] {
        if let Some(value) = sequence.get(name) {
            sql.push_str(&format!(" {} {value}", option(name)));
        }
    }
    if sequence.get("cycle").is_some() {
        sql.push_str(" CYCLE");
    }
    Some(sql)
}

/// Returns a word of a sequence's options as it stands in SQL.
fn option(word: &str) -> &str {
    match word {
        "start" => "START",
        "increment" => "INCREMENT",
        "minimum" => "MINVALUE",
        "maximum" => "MAXVALUE",
        "cache" => "CACHE",
        "cycle" => "CYCLE",
        value => value,
    }
}
