//! Hints for a text that failed for something of which the database or the server has one alone.

use crate::error::{Diagnostic, plain};

use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, literal};
use super::{Postgres, fault};

/// Adds what is known of an extension that lives in another schema, or of a role that another tenant has made.
pub(super) async fn explain(
    server: &Postgres,
    session: &Session,
    home: &str,
    error: &tokio_postgres::Error,
    diagnostic: Diagnostic,
) -> Diagnostic {
    let Some(message) = error.as_db_error().map(|db| db.message()) else { return diagnostic };
    let code = fault::code(error);
    if code == "42710" && message.contains("role ") {
        let server = &server.server.name;
        return diagnostic.hint(format!(
            "roles are of the whole server {server}, and another tenant or a person has made this one there: make it by \
             hand, or only where it is missing (DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = …) …)"
        ));
    }
    // No such type, no such function, the extension is there already.
    if !["42704", "42883", "42710"].contains(&code) {
        return diagnostic;
    }
    // Unanswered, the hint is not worth another error.
    let found = session.ask(&query(home, message)).await.unwrap_or_default();
    match found.first().map(Vec::as_slice) {
        Some([Some(extension), Some(schema)]) => {
            let (extension, schema) = (plain(extension), plain(schema));
            diagnostic.hint(format!(
                "extension {extension} lives in schema {schema}, and a database has it once: put it into a schema that \
                 is nobody's (ALTER EXTENSION {extension} SET SCHEMA public) and qualify its names (public.…)"
            ))
        }
        _ => diagnostic,
    }
}

/// Asks which extension outside of `home` is named by a message, or has a type or a function that is.
fn query(home: &str, message: &str) -> String {
    let message = literal(message);
    format!(
        "{PG_CATALOG_ALONE}SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
         WHERE n.nspname NOT IN ({}, 'pg_catalog') AND (strpos({message}, '\"' || e.extname || '\"') > 0 OR EXISTS (\
         SELECT FROM pg_depend d LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid \
         LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid \
         WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e' \
         AND (strpos({message}, '\"' || t.typname || '\"') > 0 OR strpos({message}, ' ' || p.proname || '(') > 0))) \
         ORDER BY 1 LIMIT 1",
        literal(home),
    )
}
