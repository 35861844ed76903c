//! What a text begins with beside its limits: the extensions' schema, the tenant's settings, its role.
//!
//! Behind everything of ours that goes ahead of the text, so that our own rows are written as the user that connected.

use crate::engine::Order;
use crate::engine::stepwise::failed;
use crate::error::{Code, Diagnostic};
use crate::tenant::{SessionSettings, Tenant};

use super::fault;
use super::sql::{ident, literal};

/// What the assertion says where the tenant's schema is not the first of the path.
const NOT_HOME: &str = "not in the tenant's schema";

/// What it says where the extensions' schema is not in the path.
const NO_EXTENSIONS: &str = "no extensions' schema";

/// How long settings hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// To the end of the transaction: the next tenant's text begins without.
    Transaction,
    /// To the end of the session, which is the tenant's alone.
    Session,
}

/// Returns the statements, each a line; none where the tenant asks for nothing.
///
/// Names and values are literals: none of them can end its statement. The role comes last, for a setting may need the
/// rights of the user that connected; the assertion comes behind it, for the schemas of the path that a role may not use
/// are passed over, and what the text makes would then land in the next one.
/// <https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH>
pub(super) fn opening(tenant: &Tenant, home: &str, lasting: Lasting) -> String {
    let session = &tenant.session;
    let extensions = session.extensions_schema.as_deref();
    if session.is_bare() && extensions.is_none() {
        return String::new();
    }
    let local = lasting == Lasting::Transaction;
    let set = |name: &str, value: &str| format!("pg_catalog.set_config({}, {value}, {local})", on_a_line(name));
    let mut sql = String::new();
    let mut say = |what: String| sql.push_str(&format!("SELECT {what};\n"));
    if let Some(extensions) = extensions {
        let quoted = on_a_line(&ident(extensions));
        let path = match tenant.datasource.schema() {
            Some(schema) => on_a_line(&format!("{}, {}", ident(schema), ident(extensions))),
            None => {
                format!("pg_catalog.concat_ws(', ', NULLIF(pg_catalog.current_setting('search_path'), ''), {quoted})")
            }
        };
        say(set("search_path", &path));
    }
    if !session.settings.is_empty() {
        let all: Vec<String> =
            session.settings.iter().map(|(name, value)| set(name, &on_a_line(&value.value))).collect();
        say(all.join(", "));
    }
    if let Some(role) = session.role() {
        say(set("role", &on_a_line(role)));
    }
    let mut asserted = format!(
        "CASE WHEN pg_catalog.current_schema() OPERATOR(pg_catalog.=) {} THEN NULL ELSE \
         pg_catalog.concat('{}', pg_catalog.current_schema())::integer END",
        on_a_line(home),
        NOT_HOME.replace('\'', "''"),
    );
    if let Some(extensions) = extensions {
        asserted.push_str(&format!(
            ", CASE WHEN {} OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(true)) THEN NULL ELSE \
             pg_catalog.concat('{}', pg_catalog.current_schema())::integer END",
            on_a_line(extensions),
            NO_EXTENSIONS.replace('\'', "''"),
        ));
    }
    say(asserted);
    sql
}

/// Writes a literal without a line break in it: statements of ours are counted by their lines.
fn on_a_line(text: &str) -> String {
    literal(text).replace('\n', "\\n").replace('\r', "\\r")
}

/// Says that a session cannot begin as the tenant's settings say. Nothing of the text has run.
pub(super) fn refused(order: &Order<'_>, home: &str, error: &tokio_postgres::Error) -> Diagnostic {
    explained(failed(order, Code::SESSION_REFUSED), &order.tenant.session, home, error)
}

/// Says the same where no text is to run.
pub(super) fn cannot_begin(session: &SessionSettings, home: &str, error: &tokio_postgres::Error) -> Diagnostic {
    let message = "a session cannot begin as tenants.yaml says";
    explained(Diagnostic::new(Code::SESSION_REFUSED, message), session, home, error)
}

fn explained(
    diagnostic: Diagnostic,
    session: &SessionSettings,
    home: &str,
    error: &tokio_postgres::Error,
) -> Diagnostic {
    let whose = match session.role() {
        Some(role) => format!("role {}", ident(role)),
        None => "the user that connects".to_owned(),
    };
    let words = fault::words(error);
    let lacks = match &session.extensions_schema {
        Some(extensions) if words.contains(NO_EXTENSIONS) => Some(extensions.as_str()),
        _ if words.contains(NOT_HOME) => Some(home),
        _ => None,
    };
    let Some(schema) = lacks else {
        return diagnostic.cause(session.hidden_in(&words)).hint(
            "correct `role:` and `server_settings:` in tenants.yaml, or GRANT the role to the user that connects",
        );
    };
    let grant = session.role().map(ident).unwrap_or_else(|| "the user".to_owned());
    diagnostic
        .cause(format!("schema {} is not there, or {whose} may not use it", ident(schema)))
        .hint(format!("make it, or GRANT USAGE ON SCHEMA {} TO {grant}", ident(schema)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::tenant::{Datasource, ServerId, Setting, TenantId};

    use super::super::sql::count_statements;
    use super::*;

    fn tenant(session: SessionSettings, schema: Option<&str>) -> Tenant {
        let datasource = Datasource::Postgres { database: "d".into(), schema: schema.map(str::to_owned) };
        Tenant { session: Arc::new(session), ..Tenant::new(TenantId(0), "a", ServerId(0), datasource) }
    }

    #[test]
    fn a_tenant_that_asks_for_nothing_costs_nothing() {
        assert_eq!(opening(&tenant(SessionSettings::default(), Some("s")), "s", Lasting::Transaction), "");
        let none = SessionSettings { role: Some("none".into()), ..SessionSettings::default() };
        assert_eq!(opening(&tenant(none, Some("s")), "s", Lasting::Transaction), "");
    }

    #[test]
    fn hostile_names_and_values_stay_inside_their_quotes_and_lines() {
        let hostile = "x'; DROP TABLE y;\n--\\".to_owned();
        let session = SessionSettings {
            role: Some(hostile.clone()),
            settings: [("app.a".to_owned(), Setting { value: hostile.clone(), is_hidden: false })].into(),
            extensions_schema: Some(hostile.clone()),
        };
        let sql = opening(&tenant(session, Some(&hostile)), &hostile, Lasting::Transaction);
        assert_eq!((sql.lines().count(), count_statements(&sql)), (4, 4), "{sql}");
        assert!(sql.contains(r"set_config(E'role', E'x''; DROP TABLE y;\n--\\', true)"), "{sql}");
        assert!(sql.contains(r"set_config(E'app.a', E'x''; DROP TABLE y;\n--\\', true)"), "{sql}");
    }
}
