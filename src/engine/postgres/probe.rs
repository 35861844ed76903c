//! Asks whether a thing is there.
//!
//! Pure. One expression for each thing, which the catalogs answer with one digit. No operator is looked up in a tenant's
//! schema.

use crate::engine::traced::Traced;
use crate::sql::{Probe, Thing};

use super::sql::literal;

/// Writes the value of the journal's column `trace`; the server asks the probes as it writes the row.
pub(super) fn trace(schema: &str, traced: &Traced) -> String {
    if traced.probes().is_empty() {
        return literal(&traced.head());
    }
    let answers = answers(schema, traced.probes());
    format!("pg_catalog.concat({}, {answers}, {})", literal(&traced.head()), literal(&traced.tail()))
}

/// Writes the answers of these probes as one text of digits.
pub(super) fn answers(schema: &str, probes: &[Probe]) -> String {
    let each: Vec<String> = probes.iter().map(|probe| state(schema, &probe.thing)).collect();
    format!("pg_catalog.concat({})", each.join(", "))
}

/// Writes an expression that is `'1'` where the thing is in the schema, `'0'` where it is not, and `'2'` for an index that
/// is not valid.
fn state(schema: &str, thing: &Thing) -> String {
    let is = |column: &str, value: &str| format!("{column} OPERATOR(pg_catalog.=) {}", literal(value));
    let at = is("n.nspname", schema);
    match thing {
        Thing::Index { name, .. } => format!(
            "COALESCE((SELECT CASE WHEN i.indisvalid THEN '1' ELSE '2' END FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE {at} AND {}), '0')",
            is("c.relname", name)
        ),
        Thing::EnumValue { of, value } => format!(
            "CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_enum e \
             JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) e.enumtypid \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace \
             WHERE {at} AND {} AND {}) THEN '1' ELSE '0' END",
            is("t.typname", of),
            is("e.enumlabel", value)
        ),
        // No statement of this engine is traced by other things: it commits with its row.
        _ => "'0'".to_owned(),
    }
}
