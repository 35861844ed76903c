//! Reads where tenants stand: those of one database together, in two round trips however many they are.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join, join_all};
use tokio::time::timeout;

use crate::engine::Reading;
use crate::engine::tables::{HISTORY, JOURNAL, attempt};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{Attempt, Row};
use crate::tenant::Tenant;

use super::groups::{ASKING, Answers, Member, Question};
use super::places::{Facts, Found, Place, place_of, places};
use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, journal_columns, table};
use super::{Postgres, fault, groups};

/// How many tables one query reads. The planner's time grows with the square of it: 2,000 histories and journals took
/// 0.55 s by 100, 1.0 s by 500, 2.2 s by 1,000 (PostgreSQL 15).
const UNION: usize = 100;

/// Where do they stand?
struct Standing;

impl Question for Standing {
    type Answer = Reading;

    fn ask<'a>(
        &'a self,
        server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<Reading>, tokio_postgres::Error>> {
        survey(server, session, members).boxed()
    }
}

pub(super) async fn read(server: &Postgres, tenants: &[&Tenant]) -> Vec<Result<Reading>> {
    groups::ask(server, tenants, &Standing).await
}

async fn survey(
    server: &Postgres,
    session: &Session,
    members: &[Member<'_>],
) -> Result<Answers<Reading>, tokio_postgres::Error> {
    let Found { facts, places, mut answers, .. } = places(server, session, members).await?;
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
    let last: Vec<String> = places
        .iter()
        .filter_map(|place| {
            let (from, columns) = (table(&place.schema, JOURNAL), journal_columns(place.tables.journal?));
            // The outer row is the index: `id` alone would be ambiguous with the text column of that name.
            Some(format!("(SELECT {}, {columns} FROM {from} AS j ORDER BY j.id DESC LIMIT 1)", place.idx))
        })
        .collect();
    // Sent together and answered in order: one round trip, and the locks of one query at a time.
    let ask = async |queries: Vec<String>| -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let queries: Vec<String> =
            queries.chunks(UNION).map(|some| PG_CATALOG_ALONE.to_owned() + &some.join(" UNION ALL ")).collect();
        let answers = join_all(queries.iter().map(|query| session.ask(query))).await;
        Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    };
    let (history, last) = join(ask(history), ask(last)).await;
    Ok(Rows { history: history?, last: last? })
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
    // Its lock may be another session's for ever.
    let found = timeout(ASKING, read_journal(server, &session, tenant, limit)).await.unwrap_or_else(|_| {
        Err(Diagnostic::new(Code::READ_FAILED, format!("the journal of tenant {} cannot be read", tenant.name))
            .cause(fault::no_answer(ASKING)))
    });
    match &found {
        Ok(_) => session.keep(),
        Err(_) => session.discard().await,
    }
    found
}

async fn read_journal(server: &Postgres, session: &Session, tenant: &Tenant, limit: u32) -> Result<Vec<Attempt>> {
    let place = place_of(server, session, tenant).await?;
    let Some(format) = place.tables.journal else { return Ok(Vec::new()) };
    let from = table(&place.schema, JOURNAL);
    let sql = format!(
        "{PG_CATALOG_ALONE}SELECT {} FROM {from} AS j ORDER BY j.id DESC LIMIT {limit}",
        journal_columns(format)
    );
    let rows = session.ask(&sql).await.map_err(|error| unreadable(&place, &error))?;
    rows.iter().map(|row| attempt(&tenant.name, row)).collect()
}
