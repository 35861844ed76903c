//! Drafts the SQL that makes one schema like another, where that is safe to derive.
//!
//! Pure. Start at [`repair_sql`]. What each engine's SQL looks like is in its own file, and works on the attributes as
//! that engine's reader writes them. A draft is for a person to read: a snapshot knows no order of columns, so a table's
//! come in the order of their names.

mod mysql;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;

use super::diff::{Difference, differences};
use super::ignore::Ignores;
use super::object::{Kind, Object};
use super::snapshot::Snapshot;
use crate::sql::EngineKind;

/// A draft, and what it leaves to a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// In the order in which they must run; none ends with a semicolon.
    pub statements: Vec<String>,
    /// The differences that remain.
    pub left: Vec<Difference>,
}

/// Drafts what makes `found` like `expected`: missing tables, columns and indexes.
///
/// Never drops, and never alters what is there. Left are, beside all other differences: a column that must not be NULL
/// and has no default, for which existing rows have no value; what has an attribute of which the draft could not be
/// sure, comments and privileges among them; and what needs something that is left.
///
/// The two must be comparable, and of this engine.
pub fn repair_sql(engine: EngineKind, expected: &Snapshot, found: &Snapshot, ignores: &Ignores) -> Repair {
    let writer: &dyn Writer = match engine {
        EngineKind::Postgres => &postgres::Postgres,
        EngineKind::MySql => &mysql::MySql { is_mariadb: expected.basis().engine.starts_with("mariadb") },
        EngineKind::Sqlite => &sqlite::Sqlite,
    };
    let missing: Vec<&Object> = expected.objects().iter().filter(|object| !has(found, object)).collect();
    let mut drafts = drafts(writer, &missing, found, ignores);
    // What needs something that is left is left too, and so is what needs that.
    loop {
        let left: Vec<&Object> = missing.iter().copied().filter(|o| !drafts.iter().any(|d| d.makes(o))).collect();
        let before = drafts.len();
        drafts.retain(|draft| !left.iter().any(|object| draft.needs(object)));
        if drafts.len() == before {
            break;
        }
    }
    let made = |difference: &Difference| {
        let is =
            |o: &&Object| (o.kind, &o.parent, &o.name) == (difference.kind, &difference.parent, &difference.object);
        difference.found.is_none() && drafts.iter().any(|draft| draft.objects.iter().any(is))
    };
    let left = differences(expected, found).into_iter().filter(|d| !ignores.excuse(d) && !made(d)).collect();
    drafts.sort_by_key(Draft::rank);
    let before = drafts.iter().flat_map(|draft| &draft.sql.before);
    let at = drafts.iter().flat_map(|draft| &draft.sql.at);
    let after = drafts.iter().flat_map(|draft| &draft.sql.after);
    let statements = before.chain(at).chain(after).cloned().collect();
    Repair { statements, left }
}

/// How an engine's SQL looks; nothing where an attribute is not understood.
trait Writer {
    /// Makes a table with its columns and constraints, and the sequences that belong to it.
    fn table(&self, table: &NewTable<'_>) -> Option<Sql>;

    /// Adds a column to a table with rows.
    fn column(&self, table: &str, column: &Object) -> Option<Sql>;

    /// Makes an index of a table with these columns.
    fn index(&self, table: &str, index: &Object, columns: &[&str]) -> Option<Sql>;
}

/// A table that is to be made.
struct NewTable<'o> {
    table: &'o Object,
    columns: Vec<&'o Object>,
    constraints: Vec<&'o Object>,
    sequences: Vec<&'o Object>,
}

/// Statements, and where they stand among those of other drafts.
#[derive(Default)]
struct Sql {
    before: Vec<String>,
    at: Vec<String>,
    /// When all tables, columns and indexes are there.
    after: Vec<String>,
}

impl Sql {
    fn at(statement: String) -> Option<Self> {
        Some(Self { at: vec![statement], ..Self::default() })
    }
}

/// The SQL for some of what is missing.
struct Draft<'o> {
    objects: Vec<&'o Object>,
    sql: Sql,
}

impl Draft<'_> {
    fn makes(&self, object: &Object) -> bool {
        self.objects.iter().any(|made| made.identity() == object.identity())
    }

    /// Tables come first, then columns, generated ones after those that they may be made of, then indexes.
    fn rank(&self) -> (usize, bool) {
        let of = |kind| self.objects.iter().any(|object| object.kind == kind);
        let kind = [Kind::Table, Kind::Column, Kind::Index].into_iter().position(of).unwrap_or_default();
        (kind, self.objects.iter().any(|object| object.get("generated").is_some()))
    }

    /// Whether it cannot be without something: a column of the same table, a relation, a type, a function.
    fn needs(&self, object: &Object) -> bool {
        use Kind::{Column, Constraint, Index, Policy, Rule, Schema, Statistics, Trigger};
        let name = match object.kind {
            Column if self.objects.iter().any(|own| own.parent == object.parent) => own_name(object),
            Column | Constraint | Index | Trigger | Policy | Rule | Statistics | Schema => return false,
            _ => object.name.split('(').next().unwrap_or_default(),
        };
        let needs = |own: &&Object| {
            own.parent.as_deref() == Some(name) || own.attributes.iter().any(|a| mentions(&a.value, name))
        };
        self.objects.iter().any(needs)
    }
}

fn drafts<'o>(writer: &dyn Writer, missing: &[&'o Object], found: &Snapshot, ignores: &Ignores) -> Vec<Draft<'o>> {
    let wanted: Vec<&Object> =
        missing.iter().copied().filter(|o| !ignores.ignore(o.kind, o.parent.as_deref(), &o.name)).collect();
    let of = |kind: Kind| wanted.iter().copied().filter(move |object| object.kind == kind);
    let mut drafts = Vec::new();
    for table in of(Kind::Table).filter(|table| !is_taken(found, &table.name)) {
        let own = |kind: Kind| {
            let belongs = |object: &&&Object| object.kind == kind && object.parent.as_deref() == Some(&table.name);
            missing.iter().filter(belongs).copied().collect::<Vec<&Object>>()
        };
        let serves = |object: &&Object| {
            let owner = object.get("owned by").and_then(|owner| owner.strip_prefix(&table.name));
            object.kind == Kind::Sequence && owner.is_some_and(|rest| rest.starts_with('.'))
        };
        let sequences: Vec<&Object> = missing.iter().copied().filter(serves).collect();
        let new = NewTable { table, columns: own(Kind::Column), constraints: own(Kind::Constraint), sequences };
        if let Some(sql) = writer.table(&new) {
            let parts = [vec![table], new.columns, new.constraints, new.sequences];
            drafts.push(Draft { objects: parts.concat(), sql });
        }
    }
    let is_table = |name: &str| found.objects().iter().any(|o| o.kind == Kind::Table && o.name == name);
    for column in of(Kind::Column) {
        let table = column.parent.as_deref().filter(|table| is_table(table));
        if let Some(sql) = table.and_then(|table| writer.column(table, column)) {
            drafts.push(Draft { objects: vec![column], sql });
        }
    }
    for index in of(Kind::Index) {
        let Some(table) = index.parent.as_deref() else { continue };
        let all = found.objects().iter().chain(drafts.iter().flat_map(|draft| draft.objects.iter().copied()));
        let own = all.filter(|o| o.kind == Kind::Column && o.parent.as_deref() == Some(table));
        let columns: Vec<&str> = own.map(own_name).collect();
        if let Some(sql) = writer.index(table, index, &columns).filter(|_| !columns.is_empty()) {
            drafts.push(Draft { objects: vec![index], sql });
        }
    }
    drafts
}

fn has(snapshot: &Snapshot, object: &Object) -> bool {
    snapshot.objects().iter().any(|other| other.identity() == object.identity())
}

/// Whether another relation has this name already.
fn is_taken(found: &Snapshot, name: &str) -> bool {
    use Kind::{ForeignTable, MaterializedView, Sequence, Table, View};
    let relation = |kind: Kind| matches!(kind, Table | View | MaterializedView | ForeignTable | Sequence);
    found.objects().iter().any(|object| relation(object.kind) && object.name == name)
}

/// Returns the name that something has in its table: `note` for `orders.note`.
fn own_name(object: &Object) -> &str {
    let rest = object.parent.as_deref().and_then(|parent| object.name.strip_prefix(parent)?.strip_prefix('.'));
    rest.unwrap_or(&object.name)
}

/// Returns the names of a list such as `a, b desc`, with what stands in parentheses left whole.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut items) = (0_usize, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                items.push(list[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    items.push(list[from..].trim());
    items
}

/// Whether all attributes are among those that are understood.
fn knows(object: &Object, understood: &[&str]) -> Option<()> {
    object.attributes.iter().all(|attribute| understood.contains(&&*attribute.name)).then_some(())
}

/// Whether a column gets a value in every row that is there already.
fn fills(column: &Object, others: &[&str]) -> bool {
    let fills = |name: &&str| column.get(name).is_some();
    column.get("null").is_none() || column.get("default").is_some() || others.iter().any(fills)
}

/// Whether a name stands in a text as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let stands_alone = |(at, found): (usize, &str)| {
        !text[..at].chars().next_back().is_some_and(is_part)
            && !text[at + found.len()..].chars().next().is_some_and(is_part)
    };
    !name.is_empty() && text.match_indices(name).any(stands_alone)
}

fn quoted(name: &str, quote: char) -> String {
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}
