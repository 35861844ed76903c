//! Rows of the catalogs → the objects of a description.
//!
//! Pure. Start at [`objects`].
//!
//! Left out is what is no part of a schema or not of everybody's: definers, the sessions' settings that a routine, view
//! or trigger was made under, counters, counts, times, and the names that the server gives to constraints without one.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::schema::{Attribute, Kind, Object};

use super::catalog::Rows;
use super::link::Cells;
use super::own_name::Own;
use super::words::{Extra, character_set, data_type, index_column, is_numbered, is_sequence, option, said};

/// What was read of one database.
pub(super) struct Raw {
    pub database: String,
    pub maria: bool,
    /// Whether the server folds the case of names of databases and tables.
    pub folds: bool,
    /// The rows of each part, without the database's name.
    pub rows: [Vec<Cells>; Rows::COUNT],
    /// The name and the options of each sequence.
    pub sequences: Vec<Cells>,
}

/// What the user may not see, and without which nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    View(String),
    Routine(String),
}

/// A row, cell by cell.
#[derive(Clone, Copy)]
pub(super) struct Row<'r>(&'r Cells);

impl<'r> Row<'r> {
    pub fn get(self, at: usize) -> Option<&'r str> {
        self.0.get(at).and_then(Option::as_deref)
    }

    pub fn text(self, at: usize) -> &'r str {
        self.get(at).unwrap_or_default()
    }

    pub fn number(self, at: usize) -> u64 {
        self.text(at).parse().unwrap_or(0)
    }

    /// Whether a cell holds a word, in any case.
    pub fn is(self, at: usize, word: &str) -> bool {
        self.text(at).eq_ignore_ascii_case(word)
    }
}

/// Makes the objects.
///
/// # Errors
/// What is hidden from the user.
pub(super) fn objects(raw: &Raw) -> Result<Vec<Object>, Hidden> {
    let description = Description::of(raw);
    let mut objects = description.tables();
    objects.extend(description.columns());
    objects.extend(description.indexes());
    objects.extend(description.foreign_keys());
    objects.extend(description.checks());
    objects.extend(description.sequences());
    objects.extend(description.views()?);
    objects.extend(description.triggers());
    objects.extend(description.routines()?);
    objects.extend(description.events());
    objects.extend(description.database());
    unique(&mut objects);
    Ok(objects)
}

pub(super) struct Description<'r> {
    raw: &'r Raw,
    pub own: Own,
    /// Whether names of tables are written in lower case.
    ///
    /// A server with `lower_case_table_names=1` knows no other, and one with 0 keeps what was written: for a fleet on
    /// both, `Orders` and `orders` are one table. So they are everywhere, unless a database has both.
    pub lower: bool,
    /// Collation of each table, by its name as the server has it.
    collations: HashMap<&'r str, &'r str>,
}

impl<'r> Description<'r> {
    fn of(raw: &'r Raw) -> Self {
        let tables = rows(raw, Rows::Tables);
        let names: HashSet<String> = tables.clone().map(|row| row.text(0).to_lowercase()).collect();
        let lower = names.len() == tables.clone().count();
        let routines = rows(raw, Rows::Routines).map(|row| row.text(0).to_lowercase()).collect();
        let own = Own { database: raw.database.clone(), folds: raw.folds, tables: names, routines };
        let collations = tables.filter(|row| !is_sequence(*row)).map(|row| (row.text(0), row.text(4))).collect();
        Self { raw, own, lower, collations }
    }

    pub fn rows(&self, part: Rows) -> impl Iterator<Item = Row<'r>> + Clone {
        rows(self.raw, part)
    }

    pub fn table(&self, name: &str) -> String {
        if self.lower { name.to_lowercase() } else { name.to_owned() }
    }

    /// Begins an object that belongs to a table and is named after it.
    pub fn of_table(&self, kind: Kind, table: &str, name: &str) -> Object {
        let table = self.table(table);
        Object::new(kind, Some(&table), format!("{table}.{name}"))
    }

    fn tables(&self) -> Vec<Object> {
        let mut partitions = self.partitions();
        let tables = self.rows(Rows::Tables).filter(|row| !row.is(1, "VIEW") && !is_sequence(*row));
        let table = |row: Row<'_>| {
            let (engine, format) = (row.text(2), row.text(3));
            // The actual format: an InnoDB table without one takes the server's default at the time. Others choose by
            // their columns, so there only what was written counts.
            let format = match engine.eq_ignore_ascii_case("InnoDB") {
                true => Some(format.to_lowercase()).filter(|format| !format.is_empty() && format != "dynamic"),
                false => option(row.text(5), "row_format").map(|format| format.to_lowercase()),
            };
            let mut object = Object::new(Kind::Table, None, self.table(row.text(0)))
                .with_some("engine", Some(engine).filter(|engine| !engine.eq_ignore_ascii_case("InnoDB")))
                .with_some("character set", row.get(4).map(character_set))
                .with_some("collation", row.get(4))
                .with_some("row format", format)
                .with_flag("system versioning", row.is(1, "SYSTEM VERSIONED"));
            object.attributes.extend(partitions.remove(row.text(0)).unwrap_or_default());
            object
                .with_some("comment", said(row.get(6)))
                .with_some("grants", self.grants(Rows::TableGrants, &[row.text(0)]))
        };
        tables.map(table).collect()
    }

    /// Returns each table's partitions as attributes: how it is partitioned, then one for each.
    fn partitions(&self) -> HashMap<&'r str, Vec<Attribute>> {
        let mut sorted: Vec<Row<'_>> = self.rows(Rows::Partitions).collect();
        sorted.sort_by_key(|row| (row.text(0), row.number(3), row.number(4)));
        let mut made: HashMap<&str, Vec<Attribute>> = HashMap::new();
        let attribute = |name: String, value: String| Attribute { name: name.into(), value };
        for row in sorted {
            let attributes = made.entry(row.text(0)).or_default();
            if attributes.is_empty() {
                let mut by = format!("{} ({})", row.text(5), row.text(7));
                if let Some(method) = row.get(6) {
                    by.push_str(&format!(" subpartition by {method} ({})", row.text(8)));
                }
                attributes.push(attribute("partition by".into(), by));
            }
            let name = format!("partition {}", row.text(1));
            let at = attributes.iter().position(|a| a.name == name).unwrap_or_else(|| {
                attributes.push(attribute(name, row.get(9).unwrap_or("by position").to_owned()));
                if let Some(comment) = said(row.get(10)) {
                    attributes.push(attribute(format!("comment of partition {}", row.text(1)), comment.to_owned()));
                    return attributes.len() - 2;
                }
                attributes.len() - 1
            });
            if let Some(sub) = row.get(2) {
                let first = row.number(4) <= 1;
                attributes[at].value.push_str(&format!("{} {sub}", if first { ":" } else { "," }));
            }
        }
        made
    }

    fn columns(&self) -> Vec<Object> {
        // A view's columns follow from its definition, and a sequence's are the same everywhere.
        let of_tables = |row: &Row<'_>| self.collations.get(row.text(0)).is_some_and(|collation| !collation.is_empty());
        self.rows(Rows::Columns).filter(of_tables).map(|row| self.column(row)).collect()
    }

    fn column(&self, row: Row<'_>) -> Object {
        let (table, name) = (row.text(0), row.text(1));
        let tables = self.collations.get(table).copied().unwrap_or_default();
        let charset = row.get(5).filter(|charset| *charset != character_set(tables));
        let extra = Extra::of(row.text(7));
        let default = row.get(2).filter(|default| !default.eq_ignore_ascii_case("NULL")).map(|default| {
            match (self.raw.maria, extra.default_is_expression) {
                // MariaDB writes every default as an expression; MySQL writes texts and numbers bare.
                (true, _) | (false, true) => self.own.canonical(default),
                (false, false) => format!("'{}'", default.replace('\'', "''")),
            }
        });
        let generated = row.get(8).filter(|expression| !expression.is_empty());
        self.of_table(Kind::Column, table, name)
            .with("type", data_type(row.text(4)))
            .with_some("character set", charset)
            .with_some("collation", row.get(6).filter(|collation| *collation != tables))
            .with_some("null", row.is(3, "NO").then_some("not null"))
            .with_some("default", default)
            .with_some("generated", generated.map(|expression| self.own.canonical(expression)))
            .with_flag("stored", extra.stored)
            .with_flag("auto_increment", extra.auto_increment)
            .with_some("on update", extra.on_update)
            .with_flag("invisible", extra.invisible)
            .with_some("extra", extra.other)
            .with_some("comment", said(row.get(9)))
            .with_some("grants", self.grants(Rows::ColumnGrants, &[table, name]))
    }

    fn indexes(&self) -> Vec<Object> {
        let mut indexes: BTreeMap<(&str, &str), Vec<Row<'_>>> = BTreeMap::new();
        for row in self.rows(Rows::Indexes) {
            indexes.entry((row.text(0), row.text(1))).or_default().push(row);
        }
        let index = |((table, name), mut parts): ((&str, &str), Vec<Row<'_>>)| {
            parts.sort_by_key(|row| row.number(3));
            let columns: Vec<String> = parts.iter().map(|row| index_column(*row)).collect();
            let first = parts[0];
            let (object, unique) = match name {
                "PRIMARY" => (self.of_table(Kind::Constraint, table, "primary key"), false),
                _ => (Object::new(Kind::Index, Some(&self.table(table)), name), first.text(2) == "0"),
            };
            object
                .with("columns", columns.join(", "))
                .with_flag("unique", unique)
                .with_some("method", first.get(7).filter(|method| *method != "BTREE"))
                .with_flag("ignored", first.is(8, "YES"))
                .with_flag("disabled", first.is(10, "disabled"))
                .with_some("comment", said(first.get(11)))
        };
        indexes.into_iter().map(index).collect()
    }

    fn foreign_keys(&self) -> Vec<Object> {
        let rules: HashMap<(&str, &str), Row<'_>> =
            self.rows(Rows::Rules).map(|row| ((row.text(0), row.text(1)), row)).collect();
        let mut keys: BTreeMap<(&str, &str), Vec<Row<'_>>> = BTreeMap::new();
        for row in self.rows(Rows::ForeignKeys) {
            keys.entry((row.text(0), row.text(1))).or_default().push(row);
        }
        let key = |((table, name), mut parts): ((&str, &str), Vec<Row<'_>>)| {
            parts.sort_by_key(|row| row.number(3));
            let list = |at: usize| parts.iter().map(|row| row.text(at)).collect::<Vec<_>>().join(", ");
            let columns = list(2);
            let referenced = self.table(parts[0].text(5));
            let elsewhere = parts[0].get(4).map_or(String::new(), |database| format!("{database}."));
            let rule = |at| {
                let rule = rules.get(&(table, name)).and_then(|row| row.get(at));
                // Both refuse at once in InnoDB, and both are the default.
                rule.filter(|rule| !matches!(*rule, "RESTRICT" | "NO ACTION")).map(str::to_lowercase)
            };
            let object = match is_numbered(name, &format!("{table}_ibfk_")) {
                true => self.of_table(Kind::Constraint, table, &format!("foreign key ({columns})")),
                false => self.of_table(Kind::Constraint, table, name),
            };
            object
                .with("foreign key", &columns)
                .with("references", format!("{elsewhere}{referenced} ({})", list(6)))
                .with_some("on update", rule(2))
                .with_some("on delete", rule(3))
        };
        keys.into_iter().map(key).collect()
    }

    fn checks(&self) -> Vec<Object> {
        let check = |row: Row<'_>| {
            let (table, name) = (row.text(0), row.text(1));
            let clause = self.own.canonical(row.text(3));
            let numbered = is_numbered(name, "CONSTRAINT_") || is_numbered(name, &format!("{table}_chk_"));
            let object = match numbered && !row.is(2, "Column") {
                true => self.of_table(Kind::Constraint, table, &format!("check ({clause})")),
                false => self.of_table(Kind::Constraint, table, name),
            };
            object.with("check", clause).with_flag("not enforced", row.is(4, "NO"))
        };
        self.rows(Rows::Checks).map(check).collect()
    }

    fn sequences(&self) -> Vec<Object> {
        let options: HashMap<&str, Row<'_>> = self.raw.sequences.iter().map(|row| (name_of(row), Row(row))).collect();
        let sequence = |table: Row<'_>| {
            let object = Object::new(Kind::Sequence, None, self.table(table.text(0)));
            let row = options.get(table.text(0)).copied();
            let unless = |at, default: &str| row.and_then(|row| row.get(at)).filter(|value| *value != default);
            object
                .with_some("start", unless(1, "1"))
                .with_some("minimum", unless(2, "1"))
                .with_some("maximum", unless(3, "9223372036854775806"))
                .with_some("increment", unless(4, "1"))
                .with_some("cache", unless(5, "1000"))
                .with_flag("cycle", unless(6, "0").is_some())
                .with_some("engine", table.get(2).filter(|engine| !engine.eq_ignore_ascii_case("InnoDB")))
                .with_some("comment", said(table.get(6)))
                .with_some("grants", self.grants(Rows::TableGrants, &[table.text(0)]))
        };
        self.rows(Rows::Tables).filter(|row| is_sequence(*row)).map(sequence).collect()
    }

    /// Describes the database itself, where something is said of it or granted on it.
    fn database(&self) -> Option<Object> {
        let comment = self.rows(Rows::Database).next().and_then(|row| said(row.get(0)));
        let object = Object::new(Kind::Schema, None, "own")
            .with_some("comment", comment)
            .with_some("grants", self.grants(Rows::DatabaseGrants, &[]));
        (!object.attributes.is_empty()).then_some(object)
    }

    /// Returns what is granted on a thing: a line for each grantee.
    pub fn grants(&self, part: Rows, of: &[&str]) -> Option<String> {
        let mut granted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for row in self.rows(part).filter(|row| of.iter().enumerate().all(|(at, name)| row.text(at) == *name)) {
            let (grantee, privilege) = (row.text(of.len()), row.text(of.len() + 1).to_lowercase());
            let further = if row.is(of.len() + 2, "YES") { " with grant option" } else { "" };
            granted.entry(grantee).or_default().push(format!("{privilege}{further}"));
        }
        let line = |(grantee, mut privileges): (&str, Vec<String>)| {
            privileges.sort();
            format!("{} to {grantee}", privileges.join(", "))
        };
        let lines: Vec<String> = granted.into_iter().map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

fn rows(raw: &Raw, part: Rows) -> impl Iterator<Item = Row<'_>> + Clone {
    raw.rows[part as usize].iter().map(Row)
}

fn name_of(row: &Cells) -> &str {
    Row(row).text(0)
}

/// Gives a number to all but the first of objects that would be one and the same: two equal checks without a name.
fn unique(objects: &mut [Object]) {
    let mut seen: HashMap<(Kind, Option<String>, String), u32> = HashMap::new();
    for object in objects {
        let count = seen.entry((object.kind, object.parent.clone(), object.name.clone())).or_default();
        *count += 1;
        if *count > 1 {
            object.name = format!("{} #{count}", object.name);
        }
    }
}
