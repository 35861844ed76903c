//! Reads where tenants stand: those of one database together, in three round trips however many they are.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use tokio::time::timeout;

use crate::changeset::Width;
use crate::engine::pool::Lease;
use crate::engine::tables::{HISTORY, JOURNAL, attempt};
use crate::engine::{Reading, Tables};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{Attempt, Row};
use crate::tenant::Tenant;

use super::session::{Key, Session};
use super::sql::{ident, journal_columns, literal, table};
use super::{Postgres, fault};

/// How long one reading may take.
const READING: Duration = Duration::from_secs(120);

/// How many tables one query reads. The planner's time grows with the square of it: 2,000 histories and journals took
/// 0.55 s by 100, 1.0 s by 500, 2.2 s by 1,000 (PostgreSQL 15).
const UNION: usize = 100;

/// What a tenant's schema has of ours.
struct Place {
    /// The tenant's index in the slice.
    idx: usize,
    schema: String,
    tables: Tables,
}

/// What is true of the server, as a session of its user sees it.
struct Facts {
    server_version: String,
    read_only: Option<String>,
    /// The schema that an unqualified name means.
    home: Option<String>,
    /// The schema of the first history on the search_path.
    history_at: Option<String>,
}

pub(super) async fn read(server: &Postgres, tenants: &[&Tenant]) -> Vec<Result<Reading>> {
    let mut groups: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (idx, tenant) in tenants.iter().enumerate() {
        let access = Arc::as_ptr(&tenant.access).addr();
        groups.entry((access, tenant.datasource.database())).or_default().push(idx);
    }
    let groups: Vec<Vec<usize>> = groups.into_values().collect();
    let mut answers: Vec<Option<Result<Reading>>> = tenants.iter().map(|_| None).collect();
    let silent = &OnceLock::new();
    let mut readings = stream::iter(groups)
        .map(|group| async move {
            let members: Vec<(usize, &Tenant)> = group.iter().map(|&idx| (idx, tenants[idx])).collect();
            // A server that does not answer at all is not waited for once more for each of its databases.
            if let Some(diagnostic) = silent.get() {
                return everyone(&members, Diagnostic::clone(diagnostic));
            }
            let answers = match timeout(READING, read_database(server, &members)).await {
                Ok(answers) => answers,
                Err(_) => {
                    let why = fault::no_answer(READING);
                    everyone(&members, fault::unreachable(&server.server, &key(members[0].1), &why))
                }
            };
            if let Some((_, Err(diagnostic))) = answers.first()
                && fault::is_silence(diagnostic)
            {
                let _ = silent.set(diagnostic.clone());
            }
            answers
        })
        .buffer_unordered(server.pool.limit());
    while let Some(group) = readings.next().await {
        for (idx, answer) in group {
            answers[idx] = Some(answer);
        }
    }
    let missing = || Err(Diagnostic::new(Code::BUG, "a tenant was not read"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
}

fn key(tenant: &Tenant) -> Key {
    Key { access: tenant.access.clone(), database: tenant.datasource.database().to_owned() }
}

fn everyone(members: &[(usize, &Tenant)], diagnostic: Diagnostic) -> Vec<(usize, Result<Reading>)> {
    members.iter().map(|(idx, _)| (*idx, Err(diagnostic.clone()))).collect()
}

/// Reads tenants of one database with one user. Never empty.
async fn read_database(server: &Postgres, members: &[(usize, &Tenant)]) -> Vec<(usize, Result<Reading>)> {
    let lease = match server.clean_session(members[0].1).await {
        Ok(lease) => lease,
        Err(diagnostic) => return everyone(members, diagnostic),
    };
    match survey(server, &lease, members).await {
        Ok(answers) => {
            lease.keep();
            answers
        }
        Err(error) => {
            let diagnostic = fault::connecting(&server.server, &key(members[0].1), &error);
            lease.discard().await;
            everyone(members, diagnostic)
        }
    }
}

type Survey = Vec<(usize, Result<Reading>)>;

async fn survey(
    server: &Postgres,
    session: &Lease<'_, Key, Session>,
    members: &[(usize, &Tenant)],
) -> Result<Survey, tokio_postgres::Error> {
    let facts = facts(session).await?;
    let schema = |tenant: &Tenant| tenant.datasource.schema().map(str::to_owned).or_else(|| facts.home.clone());
    let schemas: Vec<Option<String>> = members.iter().map(|(_, tenant)| schema(tenant)).collect();
    let found = session.ask(&places_query(&schemas)).await?;
    let mut answers = Vec::with_capacity(members.len());
    let mut places = Vec::with_capacity(members.len());
    for ((idx, tenant), row) in members.iter().zip(&found) {
        match place(server, *idx, tenant, &facts, row) {
            Ok(place) => places.push(place),
            Err(diagnostic) => answers.push((*idx, Err(diagnostic))),
        }
    }
    match rows_of(session, &places).await {
        Ok(read) => answers.extend(readings(&places, read, &facts, tenant_name(members))),
        // One broken table spoils the joint query: ask for each alone, so that only its own tenant fails.
        Err(error) if !fault::is_lost(&error) => {
            for place in &places {
                let alone = std::slice::from_ref(place);
                match rows_of(session, alone).await {
                    Ok(read) => answers.extend(readings(alone, read, &facts, tenant_name(members))),
                    Err(error) if fault::is_lost(&error) => return Err(error),
                    Err(error) => answers.push((place.idx, Err(unreadable(place, &error)))),
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(answers)
}

fn tenant_name<'m>(members: &'m [(usize, &'m Tenant)]) -> impl Fn(usize) -> &'m str {
    move |idx| members.iter().find(|(at, _)| *at == idx).map_or("?", |(_, tenant)| tenant.name.as_str())
}

async fn facts(session: &Session) -> Result<Facts, tokio_postgres::Error> {
    let sql = format!(
        "SELECT current_setting('server_version'), pg_is_in_recovery()::text, \
         current_setting('default_transaction_read_only'), current_schema(), \
         (SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = pg_catalog.to_regclass('{HISTORY}'))"
    );
    let rows = session.ask(&sql).await?;
    let schema = |i: usize| rows.first().and_then(|row| row.get(i)?.clone());
    let cell = |i: usize| rows.first().and_then(|row| row.get(i)?.as_deref()).unwrap_or_default();
    let read_only = match (cell(1), cell(2)) {
        ("true", _) => Some("it is a standby (pg_is_in_recovery)".to_owned()),
        (_, "on") => Some("default_transaction_read_only is on".to_owned()),
        _ => None,
    };
    // Distributions add their own words: `15.8 (Debian 15.8-0+deb12u1)`.
    let server_version = cell(0).split(' ').next().unwrap_or_default().to_owned();
    Ok(Facts { server_version, read_only, home: schema(3), history_at: schema(4) })
}

/// One row for each schema, in order: does it exist, may it be used, and what has it of our tables.
fn places_query(schemas: &[Option<String>]) -> String {
    let names: Vec<String> = schemas.iter().map(|s| s.as_deref().map_or("NULL".into(), literal)).collect();
    let class = |alias: &str, name: &str| {
        format!(
            "LEFT JOIN pg_catalog.pg_class {alias} ON {alias}.relnamespace = n.oid AND {alias}.relname = '{name}' \
             AND {alias}.relkind IN ('r', 'p', 'v', 'm', 'f')"
        )
    };
    format!(
        "SELECT n.oid::text, pg_catalog.has_schema_privilege(n.oid, 'USAGE')::text, a.atttypid::regtype::text, \
         pg_catalog.has_table_privilege(h.oid, 'SELECT')::text, h.oid::text, \
         pg_catalog.has_table_privilege(j.oid, 'SELECT')::text, j.oid::text \
         FROM unnest(ARRAY[{}]::text[]) WITH ORDINALITY AS s (name, at) \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.name {} \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = h.oid AND a.attname = 'version' AND a.attnum > 0 {} \
         ORDER BY s.at",
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
    if cell(1) != Some("true") {
        return refused(format!("schema `{schema}`"), format!("GRANT USAGE ON SCHEMA {}", ident(schema)));
    }
    for (name, at) in [(HISTORY, 3), (JOURNAL, 5)] {
        if cell(at) == Some("false") {
            return refused(format!("table `{schema}.{name}`"), format!("GRANT SELECT ON {}", table(schema, name)));
        }
    }
    let width = if cell(2) == Some("bigint") { Width::Int8 } else { Width::Int4 };
    let tables = Tables { history: cell(4).map(|_| width), journal: cell(6).is_some() };
    Ok(Place { idx, schema: schema.to_owned(), tables })
}

/// History rows and last journal rows of several schemas, each with the index of its tenant.
struct Rows {
    history: Vec<Vec<Option<String>>>,
    last: Vec<Vec<Option<String>>>,
}

async fn rows_of(session: &Session, places: &[Place]) -> Result<Rows, tokio_postgres::Error> {
    let history: Vec<String> = places
        .iter()
        .filter(|place| place.tables.history.is_some())
        .map(|place| {
            let from = table(&place.schema, HISTORY);
            format!("SELECT {}, version::text, name::text, applied_on::text, checksum::text FROM {from}", place.idx)
        })
        .collect();
    let columns = journal_columns();
    let last: Vec<String> = places
        .iter()
        .filter(|place| place.tables.journal)
        .map(|place| {
            let from = table(&place.schema, JOURNAL);
            // The outer row is the index: `id` alone would be ambiguous with the text column of that name.
            format!("(SELECT {}, {columns} FROM {from} AS j ORDER BY j.id DESC LIMIT 1)", place.idx)
        })
        .collect();
    // Sent together and answered in order: one round trip, and the locks of one query at a time.
    let ask = async |queries: Vec<String>| -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let queries: Vec<String> = queries.chunks(UNION).map(|some| some.join(" UNION ALL ")).collect();
        let answers = join_all(queries.iter().map(|query| session.ask(query))).await;
        Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    };
    Ok(Rows { history: ask(history).await?, last: ask(last).await? })
}

fn readings<'m>(
    places: &[Place],
    read: Rows,
    facts: &Facts,
    name: impl Fn(usize) -> &'m str,
) -> Vec<(usize, Result<Reading>)> {
    let mut history: BTreeMap<usize, Vec<Row>> = BTreeMap::new();
    for mut row in read.history {
        let Some(idx) = index(&row) else { continue };
        let mut cell = |i: usize| row.get_mut(i).and_then(Option::take);
        let row = Row { version: cell(1), name: cell(2), applied_on: cell(3), checksum: cell(4) };
        history.entry(idx).or_default().push(row);
    }
    let last: BTreeMap<usize, Vec<Option<String>>> =
        read.last.into_iter().filter_map(|row| Some((index(&row)?, row))).collect();
    let made = places.iter().map(|place| {
        let last = last.get(&place.idx).map(|row| attempt(name(place.idx), &row[1..])).transpose();
        let reading = last.map(|last| Reading {
            rows: history.remove(&place.idx).unwrap_or_default(),
            tables: place.tables,
            last,
            server_version: facts.server_version.clone(),
            read_only: facts.read_only.clone(),
            folds_case: false,
        });
        (place.idx, reading)
    });
    made.collect()
}

fn index(row: &[Option<String>]) -> Option<usize> {
    row.first()?.as_deref()?.parse().ok()
}

fn unreadable(place: &Place, error: &tokio_postgres::Error) -> Diagnostic {
    Diagnostic::new(Code::READ_FAILED, format!("the history of schema `{}` cannot be read", place.schema))
        .cause(fault::words(error))
        .hint(format!("see whether {} has refinery's columns", table(&place.schema, HISTORY)))
}

pub(super) async fn journal(server: &Postgres, tenant: &Tenant, limit: u32) -> Result<Vec<Attempt>> {
    let session = server.clean_session(tenant).await?;
    let found = read_journal(server, &session, tenant, limit).await;
    match &found {
        Ok(_) => session.keep(),
        Err(_) => session.discard().await,
    }
    found
}

async fn read_journal(
    server: &Postgres,
    session: &Lease<'_, Key, Session>,
    tenant: &Tenant,
    limit: u32,
) -> Result<Vec<Attempt>> {
    let lost = |error: &tokio_postgres::Error| fault::connecting(&server.server, &key(tenant), error);
    let facts = facts(session).await.map_err(|e| lost(&e))?;
    let schema = tenant.datasource.schema().map(str::to_owned).or_else(|| facts.home.clone());
    let found = session.ask(&places_query(std::slice::from_ref(&schema))).await.map_err(|e| lost(&e))?;
    let row = found.first().map_or(&[][..], Vec::as_slice);
    let place = place(server, 0, tenant, &facts, row)?;
    if !place.tables.journal {
        return Ok(Vec::new());
    }
    let from = table(&place.schema, JOURNAL);
    let sql = format!("SELECT {} FROM {from} AS j ORDER BY j.id DESC LIMIT {limit}", journal_columns());
    let rows = session.ask(&sql).await.map_err(|error| unreadable(&place, &error))?;
    rows.iter().map(|row| attempt(&tenant.name, row)).collect()
}
