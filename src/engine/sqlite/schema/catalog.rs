//! Reads a file's schema into objects: from the pragmas, and from the stored texts what those do not tell.
//!
//! A virtual table is described by its module and arguments, of which its columns follow: its module may not be here.
//! <https://www.sqlite.org/pragma.html>

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

use super::Stored;
use super::table::{Indexed, KeyText, TableText};
use super::text::{IndexText, TriggerText, ViewText, VirtualText};
use super::tokens::{identifier, spelled, tokens};
use crate::engine::sqlite::reading::text;
use crate::schema::{Kind, Object};

/// Describes everything that is stored.
pub(super) fn objects(connection: &Connection, stored: &[Stored]) -> rusqlite::Result<Vec<Object>> {
    let traits = traits(connection)?;
    let of = |table: &str| traits.get(&table.to_ascii_lowercase()).copied().unwrap_or_default();
    let stored: Vec<&Stored> = stored.iter().filter(|row| !of(&row.table).shadow).collect();
    let mut objects = Vec::new();
    for row in stored.iter().filter(|row| row.kind == "table") {
        let traits = of(&row.name);
        if traits.is_virtual {
            objects.push(virtual_table(row));
            continue;
        }
        let flagged = Object::new(Kind::Table, None, &row.name).with_flag("without rowid", traits.without_rowid);
        objects.push(flagged.with_flag("strict", traits.strict));
        let written = TableText::parse(&row.sql);
        columns(connection, row, &written, &mut objects)?;
        let mut constraints = Constraints { table: &row.name, taken: HashSet::new(), objects: &mut objects };
        constraints.keys(&written);
        constraints.checks(&written);
        constraints.foreign_keys(connection, &written)?;
        let own = stored.iter().filter(|index| index.kind == "index" && index.table.eq_ignore_ascii_case(&row.name));
        for index in own {
            objects.push(self::index(connection, &row.name, index, &written)?);
        }
    }
    objects.extend(stored.iter().filter_map(|row| match row.kind.as_str() {
        "view" => Some(view(row)),
        "trigger" => Some(trigger(row, &stored)),
        _ => None,
    }));
    Ok(objects)
}

/// What `pragma_table_list` tells of a table.
#[derive(Clone, Copy, Default)]
struct Traits {
    /// It belongs to a virtual table, which keeps its data there.
    shadow: bool,
    is_virtual: bool,
    without_rowid: bool,
    strict: bool,
}

fn traits(connection: &Connection) -> rusqlite::Result<HashMap<String, Traits>> {
    let mut statement =
        connection.prepare("SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main'")?;
    let rows = statement.query_map([], |row| {
        let name = text(row, 0)?.unwrap_or_default().to_ascii_lowercase();
        let kind = text(row, 1)?.unwrap_or_default();
        let (without_rowid, strict) = (row.get(2)?, row.get(3)?);
        Ok((name, Traits { shadow: kind == "shadow", is_virtual: kind == "virtual", without_rowid, strict }))
    })?;
    rows.collect()
}

fn virtual_table(row: &Stored) -> Object {
    let written = VirtualText::parse(&row.sql);
    let arguments = (!written.arguments.is_empty()).then(|| written.arguments.join(", "));
    Object::new(Kind::Table, None, &row.name).with("module", written.module).with_some("arguments", arguments)
}

fn columns(
    connection: &Connection,
    row: &Stored,
    written: &TableText,
    objects: &mut Vec<Object>,
) -> rusqlite::Result<()> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, hidden FROM pragma_table_xinfo(?1, 'main')";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([&row.name])?;
    while let Some(found) = rows.next()? {
        let name = text(found, 0)?.unwrap_or_default();
        let declared = text(found, 1)?.map(|declared| spelled(&tokens(&declared)).to_ascii_lowercase());
        let not_null: bool = found.get(2)?;
        let default = text(found, 3)?.map(|value| spelled(&tokens(&value))).filter(|value| value != "null");
        // 2 is generated when it is read, 3 when it is written.
        let hidden: i64 = found.get(4)?;
        let of_text = written.column(&name);
        let generated = of_text.and_then(|column| column.generated.clone()).filter(|_| hidden > 1);
        let conflict = of_text.and_then(|column| column.conflict.clone()).filter(|_| not_null);
        let collation = of_text.and_then(|column| column.collation.clone()).filter(|name| name != BINARY);
        objects.push(
            Object::new(Kind::Column, Some(&row.name), format!("{}.{name}", row.name))
                .with_some("type", declared.filter(|declared| !declared.is_empty()))
                .with_some("null", not_null.then_some("not null"))
                .with_some("null conflict", conflict)
                .with_some("default", default)
                .with_some("generated", generated)
                .with_flag("stored", hidden == 3)
                .with_some("collation", collation),
        );
    }
    Ok(())
}

/// The collation that holds where none is written.
const BINARY: &str = "binary";

/// Adds a table's constraints. One without a name is named by what it is.
struct Constraints<'c> {
    table: &'c str,
    taken: HashSet<String>,
    objects: &'c mut Vec<Object>,
}

impl Constraints<'_> {
    fn add(&mut self, name: Option<&str>, otherwise: &str, describe: impl FnOnce(Object) -> Object) {
        let base = format!("{}.{}", self.table, name.unwrap_or(otherwise));
        // SQLite takes the same twice, and two of one name.
        let names = std::iter::once(base.clone()).chain((2..).map(|no| format!("{base} {no}")));
        let name = names.into_iter().find(|name| !self.taken.contains(name)).unwrap_or(base);
        self.taken.insert(name.clone());
        self.objects.push(describe(Object::new(Kind::Constraint, Some(self.table), name)));
    }

    fn keys(&mut self, written: &TableText) {
        let columns = |key: &KeyText| {
            let one = |column: &Indexed| spelled_column(column, written);
            key.columns.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        if let Some(key) = &written.primary_key {
            self.add(key.name.as_deref(), "primary key", |object| {
                let object = object.with("primary key", columns(key)).with_flag("autoincrement", key.autoincrement);
                object.with_some("conflict", key.conflict.clone())
            });
        }
        for key in &written.uniques {
            let columns = columns(key);
            self.add(key.name.as_deref(), &format!("unique ({columns})"), |object| {
                object.with("unique", columns.clone()).with_some("conflict", key.conflict.clone())
            });
        }
    }

    fn checks(&mut self, written: &TableText) {
        for check in &written.checks {
            self.add(check.name.as_deref(), &format!("check ({})", check.expression), |object| {
                object.with("check", &check.expression).with_some("conflict", check.conflict.clone())
            });
        }
    }

    fn foreign_keys(&mut self, connection: &Connection, written: &TableText) -> rusqlite::Result<()> {
        let found = foreign_keys(connection, self.table)?;
        for (at, key) in found.iter().enumerate() {
            // The pragma counts from the last that is written.
            let of_text = written.foreign_keys.get(at).filter(|_| found.len() == written.foreign_keys.len());
            let columns = key.from.join(", ");
            let references = match key.to.iter().all(Option::is_some) {
                true => {
                    format!("{}({})", key.references, key.to.iter().flatten().cloned().collect::<Vec<_>>().join(", "))
                }
                false => key.references.clone(),
            };
            let rule = |rule: &str| Some(rule.to_ascii_lowercase()).filter(|rule| rule != "no action");
            let deferred = of_text.is_some_and(|key| key.deferrable && key.initially_deferred);
            let name = of_text.and_then(|key| key.name.as_deref());
            self.add(name, &format!("foreign key ({columns})"), |object| {
                object
                    .with("foreign key", columns.clone())
                    .with("references", references)
                    .with_some("on delete", rule(&key.on_delete))
                    .with_some("on update", rule(&key.on_update))
                    .with_flag("deferred", deferred)
            });
        }
        Ok(())
    }
}

/// A foreign key, as the pragma tells it; names as they stand in SQL.
#[derive(Default)]
struct ForeignKey {
    references: String,
    from: Vec<String>,
    /// Nothing where the text names none: the primary key's then.
    to: Vec<Option<String>>,
    on_update: String,
    on_delete: String,
}

/// Reads a table's foreign keys, in the order in which they are written.
fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let sql = "SELECT id, \"table\", \"from\", \"to\", on_update, on_delete FROM pragma_foreign_key_list(?1, 'main')
               ORDER BY id DESC, seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([table])?;
    let mut keys: Vec<ForeignKey> = Vec::new();
    let mut last = None;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let word = |at| Ok::<_, rusqlite::Error>(text(row, at)?.unwrap_or_default());
        if last != Some(id) {
            let references = identifier(&word(1)?);
            keys.push(ForeignKey { references, on_update: word(4)?, on_delete: word(5)?, ..ForeignKey::default() });
            last = Some(id);
        }
        if let Some(key) = keys.last_mut() {
            key.from.push(identifier(&word(2)?));
            key.to.push(text(row, 3)?.map(|name| identifier(&name)));
        }
    }
    Ok(keys)
}

/// Writes a column of an index or a key: with its collation only if that is not the column's own.
fn spelled_column(column: &Indexed, table: &TableText) -> String {
    let own = column.name.as_deref().and_then(|name| table.column(name));
    let usual = own.and_then(|own| own.collation.as_deref()).unwrap_or(BINARY);
    let collation = column.collation.as_deref().filter(|collation| *collation != usual);
    let what = own.map_or_else(|| column.what.clone(), |own| identifier(&own.name));
    let collated = collation.map_or(what.clone(), |collation| format!("{what} collate {}", identifier(collation)));
    if column.descending { format!("{collated} desc") } else { collated }
}

fn index(connection: &Connection, table: &str, row: &Stored, of: &TableText) -> rusqlite::Result<Object> {
    let mut unique = connection
        .prepare_cached("SELECT \"unique\" FROM pragma_index_list(?1, 'main') WHERE name = ?2 COLLATE NOCASE")?;
    let unique = unique.query_row([table, &row.name], |found| found.get(0))?;
    let written = IndexText::parse(&row.sql);
    let mut statement = connection
        .prepare_cached("SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno")?;
    let columns = statement.query_map([&row.name], |found| {
        let (name, collation) = (text(found, 0)?, text(found, 2)?.map(|name| name.to_ascii_lowercase()));
        Ok((name, found.get::<_, bool>(1)?, collation))
    })?;
    let mut list = Vec::new();
    for (at, column) in columns.enumerate() {
        let (name, descending, collation) = column?;
        // An expression has no name.
        let what = match &name {
            Some(name) => identifier(name),
            None => written.columns.get(at).map(|column| column.what.clone()).unwrap_or_default(),
        };
        list.push(spelled_column(&Indexed { what, name, collation, descending }, of));
    }
    Ok(Object::new(Kind::Index, Some(table), &row.name)
        .with_flag("unique", unique)
        .with("columns", list.join(", "))
        .with_some("where", written.predicate))
}

fn view(row: &Stored) -> Object {
    let ViewText { columns, definition } = ViewText::parse(&row.sql);
    Object::new(Kind::View, None, &row.name).with_some("columns", columns).with("definition", definition)
}

fn trigger(row: &Stored, stored: &[&Stored]) -> Object {
    let TriggerText { event, condition, body } = TriggerText::parse(&row.sql);
    // As the relation is written where it is made.
    let relation = stored
        .iter()
        .find(|other| other.kind != "index" && other.kind != "trigger" && other.name.eq_ignore_ascii_case(&row.table));
    let relation = relation.map_or(&row.table, |relation| &relation.name);
    Object::new(Kind::Trigger, Some(relation), format!("{relation}.{}", row.name))
        .with("event", event)
        .with_some("when", condition)
        .with("definition", body)
}
