//! Where tenants live: which schema is a tenant's, whether it may be read, and what it has of our tables.

use crate::changeset::Width;
use crate::engine::tables::{self, HISTORY, JOURNAL, TELLING};
use crate::engine::{JournalFormat, Tables};
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::Tenant;

use super::groups::{Answers, Member};
use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, ident, literal, table};
use super::{Postgres, fault, home};

/// What a tenant's schema has of ours.
pub(super) struct Place {
    /// The tenant's index in the slice.
    pub idx: usize,
    /// Its OID.
    pub oid: String,
    pub schema: String,
    pub tables: Tables,
}

/// What a new tenant has of ours.
const NO_TABLES: Tables = Tables { history: None, journal: None };

/// What is true of the server, as a session of its user sees it.
pub(super) struct Facts {
    pub server_version: String,
    /// `server_version_num`: 150008.
    pub version_num: u32,
    pub read_only: Option<String>,
    /// The schema that an unqualified name means.
    pub home: Option<String>,
    /// The OID of the first history on the search_path.
    history: Option<String>,
    /// Its schema, where that one is not the tenant's own as far as could be seen.
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

/// Finds the places of tenants of one database, and what is true of their server, in one round trip. One more where one
/// tenant alone is asked about and our tables came into its schema since they were looked for.
pub(super) async fn places<T>(
    server: &Postgres,
    session: &Session,
    members: &[Member<'_>],
) -> Result<Found<T>, tokio_postgres::Error> {
    let alone = match members {
        [(idx, tenant)] => home(tenant, session).map(|schema| (*idx, *tenant, schema)),
        _ => None,
    };
    if let Some((idx, tenant, schema)) = &alone
        && session.lacks_tables_in(schema)
        && let Some(found) = new_place(session, *idx, tenant).await?
    {
        return Ok(found);
    }
    let between = format!("{IN_ORDER}{PG_CATALOG_ALONE}");
    let found = places_in(server, session, members, Around { before: "", between: &between, after: "" }).await?;
    if let Some((_, _, schema)) = alone {
        session.lacks_tables(found.places.first().filter(|place| place.tables == NO_TABLES).map(|_| schema));
    }
    Ok(found)
}

/// Looks whether a tenant has a schema that it may use, and in it nothing by the names of our tables; nothing where
/// anything else is found. A process that has not planned a query yet takes eight times as long for the one that tells all.
async fn new_place<T>(
    session: &Session,
    idx: usize,
    tenant: &Tenant,
) -> Result<Option<Found<T>>, tokio_postgres::Error> {
    let rows = session.ask(&new_place_query(tenant)).await?;
    let row = rows.first().map_or(&[][..], Vec::as_slice);
    let (facts, oid) = (facts(row), row.get(FACTS_LEN).cloned().flatten());
    let schema = tenant.datasource.schema().map(str::to_owned);
    // A history further down the search_path is another question too.
    let schema = schema.or_else(|| facts.home.clone().filter(|_| facts.history.is_none()));
    let place = schema.zip(oid).map(|(schema, oid)| Place { idx, oid, schema, tables: NO_TABLES });
    Ok(place.map(|place| Found { facts, places: vec![place], answers: Vec::new(), more: Vec::new() }))
}

/// Asks for the facts, then for the OID of a schema with nothing of ours. Functions alone, which look names up one by one:
/// no relation is planned.
///
/// `to_regnamespace` cuts a name that is too long, so what was found must bear the name; `to_regclass` fails in a schema
/// that may not be used, so it comes behind that question.
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG-TABLE>
fn new_place_query(tenant: &Tenant) -> String {
    let schema = tenant.datasource.schema().map_or_else(|| "pg_catalog.current_schema()".to_owned(), literal);
    let lacks = |table| format!("pg_catalog.to_regclass(q OPERATOR(pg_catalog.||) '.{table}') IS NULL");
    format!(
        "SELECT {}, CASE WHEN n::pg_catalog.text OPERATOR(pg_catalog.=) q AND pg_catalog.has_schema_privilege(n, 'USAGE') \
         THEN CASE WHEN {} AND {} THEN n::pg_catalog.oid END END \
         FROM (SELECT q, pg_catalog.to_regnamespace(q) AS n FROM (SELECT pg_catalog.quote_ident({schema}) AS q) AS i) AS s",
        facts_columns(),
        lacks(HISTORY),
        lacks(JOURNAL),
    )
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
    let mut facts = facts(&rows.next().unwrap_or_default());
    let found: Vec<Vec<Option<String>>> = rows.by_ref().take(members.len()).collect();
    let is_elsewhere = |(member, row): (&Member<'_>, &Vec<Option<String>>)| {
        member.1.datasource.schema().is_none() && row.get(4).cloned().flatten() != facts.history
    };
    if let Some(history) = &facts.history
        && members.iter().zip(&found).any(is_elsewhere)
    {
        let rows = session.ask(&schema_query(history)).await?;
        facts.history_at = rows.into_iter().next().and_then(|row| row.into_iter().next()?);
    }
    let (mut places, mut answers) = (Vec::with_capacity(members.len()), Vec::new());
    for ((idx, tenant), row) in members.iter().zip(&found) {
        match place(server, *idx, tenant, &facts, row) {
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

/// What is true of the server, as columns. Under the session's own search_path, which some of it is about: so everything is
/// qualified.
fn facts_columns() -> String {
    format!(
        "pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery(), \
         pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.current_schema(), \
         pg_catalog.to_regclass('{HISTORY}')::pg_catalog.oid, pg_catalog.current_setting('server_version_num')"
    )
}

/// How many columns these are.
const FACTS_LEN: usize = 6;

/// Asks what is true of the server, and holds the schema that an unqualified name means for the rest of the message.
fn facts_query() -> String {
    format!(
        "SELECT {}, pg_catalog.set_config('mtmigrate.home', COALESCE(pg_catalog.current_schema()::pg_catalog.text, ''), true)",
        facts_columns()
    )
}

/// Asks for the schema of a table by its OID.
fn schema_query(oid: &str) -> String {
    format!(
        "SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
         ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.oid OPERATOR(pg_catalog.=) {}::pg_catalog.oid",
        literal(oid)
    )
}

/// Reads what is true of the server.
fn facts(row: &[Option<String>]) -> Facts {
    let schema = |i: usize| row.get(i).cloned().flatten();
    let cell = |i: usize| row.get(i).and_then(Option::as_deref).unwrap_or_default();
    let read_only = match (cell(1), cell(2)) {
        ("t", _) => Some("it is a standby (pg_is_in_recovery)".to_owned()),
        (_, "on") => Some("default_transaction_read_only is on".to_owned()),
        _ => None,
    };
    // Distributions add their own words: `15.8 (Debian 15.8-0+deb12u1)`.
    let server_version = cell(0).split(' ').next().unwrap_or_default().to_owned();
    let version_num = cell(5).parse().unwrap_or(0);
    Facts { server_version, version_num, read_only, home: schema(3), history: schema(4), history_at: None }
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

/// Tells the format by a row of [`places_query`]: the journal, then which of [`TELLING`] it has.
fn format_of<'c>(cell: impl Fn(usize) -> Option<&'c str>) -> Option<JournalFormat> {
    let there = cell(7).unwrap_or_default().trim_matches(['{', '}']);
    let has = |name: &str| there.split(',').any(|column| column == name);
    cell(6).map(|_| tables::journal_format(has))
}

/// `pg_type`'s OID of bigint, which no server changes.
const BIGINT: &str = "20";

/// One row for each schema, in order: does it exist, may it be used, and what has it of our tables.
///
/// Columns are subqueries, each planned by itself: a join for each of them takes a process longer to plan than to answer.
fn places_query(names: &[String]) -> String {
    let class = |alias: &str, name: &str| {
        format!(
            "LEFT JOIN pg_catalog.pg_class {alias} ON {alias}.relnamespace = n.oid AND {alias}.relname = '{name}' \
             AND {alias}.relkind IN ('r', 'p', 'v', 'm', 'f')"
        )
    };
    format!(
        "SELECT n.oid, pg_catalog.has_schema_privilege(n.oid, 'USAGE'), \
         (SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = h.oid AND a.attname = 'version' AND a.attnum > 0), \
         pg_catalog.has_table_privilege(h.oid, 'SELECT'), h.oid, pg_catalog.has_table_privilege(j.oid, 'SELECT'), j.oid, \
         ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = j.oid AND a.attname IN ({}) \
         AND a.attnum > 0) \
         FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY AS s (name, at) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name {} {} ORDER BY s.at",
        TELLING.map(literal).join(", "),
        names.join(", "),
        class("h", HISTORY),
        class("j", JOURNAL),
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
    if cell(1) != Some("t") {
        return refused(format!("schema `{schema}`"), format!("GRANT USAGE ON SCHEMA {}", ident(schema)));
    }
    for (name, at) in [(HISTORY, 3), (JOURNAL, 5)] {
        if cell(at) == Some("f") {
            return refused(format!("table `{schema}.{name}`"), format!("GRANT SELECT ON {}", table(schema, name)));
        }
    }
    let width = if cell(2) == Some(BIGINT) { Width::Int8 } else { Width::Int4 };
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
