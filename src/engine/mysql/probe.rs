//! Asks whether a thing is there, and whether the tables of a database are transactional.
//!
//! Pure. One expression for each thing, which `information_schema` answers with 0 or 1. Names of tables are compared byte
//! by byte where the server tells `T` from `t`, those of other things without case.
//! <https://dev.mysql.com/doc/refman/8.4/en/identifier-case-sensitivity.html>

use crate::engine::traced::{ABSENT, Traced};
use crate::sql::{Probe, Thing};

use super::sql::literal;

/// The column by which MariaDB finds a database's triggers without a look at those of all databases. A trigger is in its
/// table's database.
const TRIGGERS_OF: &str = "EVENT_OBJECT_SCHEMA";

/// Writes the value of the journal's column `trace`; the server asks the probes as it writes the row, but for those of
/// things that are known to be absent.
pub(super) fn trace(database: &str, traced: &Traced, is_absent: &dyn Fn(&Probe) -> bool) -> String {
    let (head, tail) = (traced.head(), traced.tail());
    if traced.probes().iter().all(is_absent) {
        let answers: String = traced.probes().iter().map(|_| ABSENT).collect();
        return literal(&format!("{head}{answers}{tail}"));
    }
    format!("CONCAT({}, {}, {})", literal(&head), answers(database, traced.probes()), literal(&tail))
}

/// Writes the answers of these probes as one text of digits.
pub(super) fn answers(database: &str, probes: &[Probe]) -> String {
    let each: Vec<String> = probes.iter().map(|probe| is_there(database, &probe.thing)).collect();
    format!("CONCAT({})", each.join(", "))
}

/// Asks whether every table of a database rolls back, and everything that a statement of data may set off there.
///
/// A trigger or function that names other databases may write to tables of theirs. A condition.
pub(super) fn is_transactional(database: &str) -> String {
    let database = literal(database);
    let elsewhere = |body: &str| {
        let own = format!("REPLACE(REPLACE(LOWER({body}), 'new.', ''), 'old.', '')");
        format!("COALESCE({own} LIKE '%.%' OR {own} LIKE '%call%', TRUE)")
    };
    format!(
        "NOT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {database} \
         AND TABLE_TYPE NOT LIKE '%VIEW' AND COALESCE(ENGINE, '') <> 'InnoDB') \
         AND NOT EXISTS (SELECT 1 FROM information_schema.TRIGGERS WHERE {TRIGGERS_OF} = {database} AND {}) \
         AND NOT EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {database} \
         AND ROUTINE_TYPE = 'FUNCTION' AND {})",
        elsewhere("ACTION_STATEMENT"),
        elsewhere("ROUTINE_DEFINITION")
    )
}

/// Writes the condition that a database has nothing but InnoDB's tables, and neither triggers nor functions nor views,
/// whose queries may take locks: there a statement of data sets nothing off, and rolls back.
pub(super) fn is_simple(database: &str) -> String {
    let database = literal(database);
    format!(
        "NOT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {database} \
         AND COALESCE(ENGINE, '') <> 'InnoDB') \
         AND NOT EXISTS (SELECT 1 FROM information_schema.TRIGGERS WHERE {TRIGGERS_OF} = {database}) \
         AND NOT EXISTS (SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {database} \
         AND ROUTINE_TYPE = 'FUNCTION')"
    )
}

/// Writes an expression that is `'1'` where the thing is in the database, and `'0'` where it is not.
fn is_there(database: &str, thing: &Thing) -> String {
    let (from, schema, conditions) = match thing {
        Thing::Relation(_, name) => ("TABLES", "TABLE_SCHEMA", vec![table("TABLE_NAME", name)]),
        Thing::Column { table: of, name } => {
            ("COLUMNS", "TABLE_SCHEMA", vec![table("TABLE_NAME", of), named("COLUMN_NAME", name)])
        }
        Thing::Index { table: of, name } => {
            let of = of.iter().map(|of| table("TABLE_NAME", of));
            ("STATISTICS", "TABLE_SCHEMA", of.chain([named("INDEX_NAME", name)]).collect())
        }
        Thing::Constraint { table: of, name } => {
            let of = table("TABLE_NAME", of);
            ("TABLE_CONSTRAINTS", "CONSTRAINT_SCHEMA", vec![of, named("CONSTRAINT_NAME", name)])
        }
        Thing::Routine(kind, name) => {
            let kind = format!("ROUTINE_TYPE = '{}'", kind.to_uppercase());
            ("ROUTINES", "ROUTINE_SCHEMA", vec![kind, named("ROUTINE_NAME", name)])
        }
        Thing::Trigger(name) => ("TRIGGERS", TRIGGERS_OF, vec![table("TRIGGER_NAME", name)]),
        Thing::Event(name) => ("EVENTS", "EVENT_SCHEMA", vec![named("EVENT_NAME", name)]),
        // Not a thing of this engine: nothing is there.
        Thing::EnumValue { .. } => return "'0'".to_owned(),
    };
    let schema = format!("{schema} = {}", literal(database));
    let conditions: Vec<String> = std::iter::once(schema).chain(conditions).collect();
    format!("IF(EXISTS (SELECT 1 FROM information_schema.{from} WHERE {}), '1', '0')", conditions.join(" AND "))
}

/// Compares without case, and letter by letter: to the catalogs' own collations `e` is `é`.
fn named(column: &str, name: &str) -> String {
    format!("LOWER(CONVERT({column} USING utf8mb4)) COLLATE utf8mb4_bin = LOWER({}) COLLATE utf8mb4_bin", literal(name))
}

fn table(column: &str, name: &str) -> String {
    let same = format!("CONVERT({column} USING utf8mb4) COLLATE utf8mb4_bin = {} COLLATE utf8mb4_bin", literal(name));
    // The plain comparison lets the server open that table alone.
    format!("{column} = {} AND IF(@@lower_case_table_names = 0, {same}, {})", literal(name), named(column, name))
}
