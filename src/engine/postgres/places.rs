//! Where tenants live: which schema is a tenant's, whether it may be read, and what it has of our tables.

use crate::changeset::Width;
use crate::engine::tables::{self, HISTORY, JOURNAL, TELLING};
use crate::engine::{JournalFormat, Tables};
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::Tenant;

use super::groups::{Answers, Member};
use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, ident, literal, table};
use super::{Postgres, fault};

/// What a tenant's schema has of ours.
pub(super) struct Place {
    /// The tenant's index in the slice.
    pub idx: usize,
    /// Its OID.
    pub oid: String,
    pub schema: String,
    pub tables: Tables,
}

/// What is true of the server, as a session of its user sees it.
pub(super) struct Facts {
    pub server_version: String,
    /// `server_version_num`: 150008.
    pub version_num: u32,
    pub read_only: Option<String>,
    /// The schema that an unqualified name means.
    pub home: Option<String>,
    /// The schema of the first history on the search_path.
    history_at: Option<String>,
}

/// What is found of tenants of one database: those that have no place, or one that may not be read, have an answer.
pub(super) struct Found<T> {
    pub facts: Facts,
    pub places: Vec<Place>,
    pub answers: Answers<T>,
    /// The rows of what was asked after it in the same message.
    pub more: Vec<Vec<Option<String>>>,
}

/// Finds the places of tenants of one database, and what is true of their server, in one round trip.
pub(super) async fn places<T>(
    server: &Postgres,
    session: &Session,
    members: &[Member<'_>],
) -> Result<Found<T>, tokio_postgres::Error> {
    let between = format!("{IN_ORDER}{PG_CATALOG_ALONE}");
    places_in(server, session, members, Around { before: "", between: &between, after: "" }).await
}

/// Takes joins in the order in which they are written: to look for a better one takes longer than these questions.
/// <https://www.postgresql.org/docs/current/explicit-joins.html>
pub(super) const IN_ORDER: &str = "SET LOCAL join_collapse_limit = 1;\n";

/// What else stands in the message that finds places.
pub(super) struct Around<'a> {
    pub before: &'a str,
    /// Leaves `pg_catalog` alone in the search_path.
    pub between: &'a str,
    pub after: &'a str,
}

/// As [`places`], in a message with other statements.
pub(super) async fn places_in<T>(
    server: &Postgres,
    session: &Session,
    members: &[Member<'_>],
    Around { before, between, after }: Around<'_>,
) -> Result<Found<T>, tokio_postgres::Error> {
    let names: Vec<String> = members.iter().map(|(_, tenant)| name_of(tenant)).collect();
    let sql = format!("{before}{};\n{between}{};\n{after}", facts_query(), places_query(&names));
    let mut rows = session.ask(&sql).await?.into_iter();
    let facts = facts(&rows.next().unwrap_or_default());
    let (mut places, mut answers) = (Vec::with_capacity(members.len()), Vec::new());
    for ((idx, tenant), row) in members.iter().zip(rows.by_ref().take(members.len())) {
        match place(server, *idx, tenant, &facts, &row) {
            Ok(place) => places.push(place),
            Err(diagnostic) => answers.push((*idx, Err(diagnostic))),
        }
    }
    Ok(Found { facts, places, answers, more: rows.collect() })
}

/// Returns a tenant's schema as an SQL expression, in the message that finds its place.
pub(super) fn name_of(tenant: &Tenant) -> String {
    let home = || "NULLIF(pg_catalog.current_setting('mtmigrate.home'), '')".to_owned();
    tenant.datasource.schema().map_or_else(home, literal)
}

/// Asks what is true of the server, and holds the schema that an unqualified name means for the rest of the message.
/// Under the session's own search_path, which some of it is about: so everything else is qualified.
fn facts_query() -> String {
    format!(
        "SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery()::pg_catalog.text, \
         pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.current_schema(), \
         (SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
         ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('{HISTORY}')), \
         pg_catalog.current_setting('server_version_num'), \
         pg_catalog.set_config('mtmigrate.home', COALESCE(pg_catalog.current_schema()::pg_catalog.text, ''), true)"
    )
}

/// Reads what is true of the server.
fn facts(row: &[Option<String>]) -> Facts {
    let schema = |i: usize| row.get(i).cloned().flatten();
    let cell = |i: usize| row.get(i).and_then(Option::as_deref).unwrap_or_default();
    let read_only = match (cell(1), cell(2)) {
        ("true", _) => Some("it is a standby (pg_is_in_recovery)".to_owned()),
        (_, "on") => Some("default_transaction_read_only is on".to_owned()),
        _ => None,
    };
    // Distributions add their own words: `15.8 (Debian 15.8-0+deb12u1)`.
    let server_version = cell(0).split(' ').next().unwrap_or_default().to_owned();
    let version_num = cell(5).parse().unwrap_or(0);
    Facts { server_version, version_num, read_only, home: schema(3), history_at: schema(4) }
}

/// Returns the format of a schema's journal, by its columns.
pub(super) async fn journal_format(
    session: &Session,
    schema: &str,
) -> Result<Option<JournalFormat>, tokio_postgres::Error> {
    let found = session.ask(&format!("{PG_CATALOG_ALONE}{}", places_query(&[literal(schema)]))).await?;
    let cell = |i: usize| found.first().and_then(|row| row.get(i)?.as_deref());
    Ok(format_of(cell))
}

/// Tells the format by a row of [`places_query`]: the journal, then one of [`TELLING`] after the other.
fn format_of<'c>(cell: impl Fn(usize) -> Option<&'c str>) -> Option<JournalFormat> {
    let has = |name: &str| TELLING.iter().position(|column| *column == name).is_some_and(|at| cell(7 + at).is_some());
    cell(6).map(|_| tables::journal_format(has))
}

/// One row for each schema, in order: does it exist, may it be used, and what has it of our tables.
fn places_query(names: &[String]) -> String {
    let class = |alias: &str, name: &str| {
        format!(
            "LEFT JOIN pg_catalog.pg_class {alias} ON {alias}.relnamespace = n.oid AND {alias}.relname = '{name}' \
             AND {alias}.relkind IN ('r', 'p', 'v', 'm', 'f')"
        )
    };
    let telling = |alias: &str, column: &str| {
        format!(
            "LEFT JOIN pg_catalog.pg_attribute {alias} ON {alias}.attrelid = j.oid AND {alias}.attname = '{column}' \
             AND {alias}.attnum > 0"
        )
    };
    let [fingerprint, trace, skipped] = TELLING;
    format!(
        "SELECT n.oid::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE')::text, a.atttypid::regtype::text, \
         pg_catalog.has_table_privilege(h.oid, 'SELECT')::text, h.oid::text, \
         pg_catalog.has_table_privilege(j.oid, 'SELECT')::text, j.oid::text, f.attnum::text, g.attnum::text, \
         k.attnum::text \
         FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY AS s (name, at) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name {} \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = h.oid AND a.attname = 'version' AND a.attnum > 0 {} \
         {} {} {} ORDER BY s.at",
        names.join(", "),
        class("h", HISTORY),
        class("j", JOURNAL),
        telling("f", fingerprint),
        telling("g", trace),
        telling("k", skipped),
    )
}

fn place(server: &Postgres, idx: usize, tenant: &Tenant, facts: &Facts, row: &[Option<String>]) -> Result<Place> {
    let cell = |i: usize| row.get(i).and_then(Option::as_deref);
    let database = tenant.datasource.database();
    let Some(schema) = tenant.datasource.schema().or(facts.home.as_deref()) else {
        return Err(fault::no_schema(&server.server, database, None));
    };
    if let (None, Some(behind)) = (tenant.datasource.schema(), facts.history_at.as_deref().filter(|at| *at != schema)) {
        // As if it were new, it would get every changeset a second time.
        let message =
            format!("database `{database}` has its history in schema `{behind}`, and its sessions begin in `{schema}`");
        return Err(Diagnostic::new(Code::READ_FAILED, message)
            .cause("both are in the search_path; schema \"$user\" stands before public as soon as it exists")
            .hint(format!(
                "say where the tenant lives, `schema: {behind}` in tenants.yaml, or correct the role's search_path"
            )));
    }
    if cell(0).is_none() {
        return Err(fault::no_schema(&server.server, database, Some(schema)));
    }
    let user = tenant.access.user.as_deref().unwrap_or("(none)");
    let refused = |what: String, grant: String| {
        let diagnostic = Diagnostic::new(Code::NO_PRIVILEGE, format!("user {user} may not read {what}"));
        Err(diagnostic.hint(format!("{grant} TO {}", ident(user))))
    };
    if cell(1) != Some("true") {
        return refused(format!("schema `{schema}`"), format!("GRANT USAGE ON SCHEMA {}", ident(schema)));
    }
    for (name, at) in [(HISTORY, 3), (JOURNAL, 5)] {
        if cell(at) == Some("false") {
            return refused(format!("table `{schema}.{name}`"), format!("GRANT SELECT ON {}", table(schema, name)));
        }
    }
    let width = if cell(2) == Some("bigint") { Width::Int8 } else { Width::Int4 };
    let tables = Tables { history: cell(4).map(|_| width), journal: format_of(cell) };
    Ok(Place { idx, oid: cell(0).unwrap_or_default().to_owned(), schema: schema.to_owned(), tables })
}

/// Finds the place of one tenant.
///
/// # Errors
/// `MT31x` where it has none, or one that may not be read.
pub(super) async fn place_of(server: &Postgres, session: &Session, tenant: &Tenant) -> Result<Place> {
    let Found { places, answers, .. } = places::<()>(server, session, &[(0, tenant)])
        .await
        .map_err(|error| fault::connecting(&server.server, &super::groups::key(tenant), &error))?;
    for (_, answer) in answers {
        answer?;
    }
    let bug = || Diagnostic::new(Code::BUG, "a tenant was not asked about");
    places.into_iter().next().ok_or_else(bug)
}
