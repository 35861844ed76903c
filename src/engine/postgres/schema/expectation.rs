//! What a tenant's journal keeps of its schema.

use std::collections::HashMap;
use std::fmt::Write as _;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::engine::postgres::groups::{self, ASKING, Answers, Member, Question};
use crate::engine::postgres::places::{journal_format, place_of};
use crate::engine::postgres::session::Session;
use crate::engine::postgres::sql::{PG_CATALOG_ALONE, insert_journal, literal, make_journal, table};
use crate::engine::postgres::{Postgres, fault, home};
use crate::engine::tables::{JOURNAL, JournalRow, SNAPSHOT};
use crate::engine::{Acceptance, JournalFormat, Keep, RunIdentity};
use crate::error::{Code, Diagnostic, Result};
use crate::schema::Snapshot;
use crate::tenant::Tenant;

/// How long a message with snapshots is, in bytes, before the next one begins.
const MESSAGE: usize = 4 << 20;

/// How long writing may wait and take, and what its names mean.
const LIMITS: &str = "SET LOCAL search_path = pg_catalog, pg_temp;\nSET LOCAL lock_timeout = '10s';\n\
    SET LOCAL statement_timeout = '60s';\n";

/// No such table, no such column.
const LACKING: [&str; 2] = ["42P01", "42703"];

/// Holds a snapshot's text for one message, so that it is sent once for all tenants that have it.
const HELD: &str = "mtmigrate.snapshot";

pub(in crate::engine::postgres) async fn recorded(server: &Postgres, tenant: &Tenant) -> Result<Option<Snapshot>> {
    let session = server.clean_session(tenant).await?;
    let found = async {
        let place = place_of(server, &session, tenant).await?;
        if place.tables.journal < Some(JournalFormat::Two) {
            return Ok(None);
        }
        let from = table(&place.schema, JOURNAL);
        let sql = format!(
            "{PG_CATALOG_ALONE}SELECT {SNAPSHOT} FROM {from} WHERE {SNAPSHOT} IS NOT NULL ORDER BY id DESC LIMIT 1"
        );
        session.ask(&sql).await.map(Some).map_err(|error| {
            Diagnostic::new(Code::READ_FAILED, format!("the journal of tenant {} cannot be read", tenant.name))
                .cause(fault::words(&error))
        })
    };
    // Its lock may be another session's for ever.
    let found: Result<Option<Vec<Vec<Option<String>>>>> = timeout(ASKING, found).await.unwrap_or_else(|_| {
        Err(Diagnostic::new(Code::READ_FAILED, format!("the journal of tenant {} cannot be read", tenant.name))
            .cause(fault::no_answer(ASKING)))
    });
    match &found {
        Ok(_) => session.keep(),
        Err(_) => session.discard().await,
    }
    let rows = found?.unwrap_or_default();
    let text = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
    Ok(text.and_then(|text| Snapshot::parse(&text).ok()))
}

/// Keep these.
struct Keeping<'k> {
    run: &'k RunIdentity,
    kept: &'k [Keep<'k>],
}

pub(in crate::engine::postgres) async fn keep(
    server: &Postgres,
    run: &RunIdentity,
    kept: &[Keep<'_>],
) -> Vec<Result<()>> {
    let tenants: Vec<&Tenant> = kept.iter().map(|keep| keep.tenant).collect();
    groups::ask(server, &tenants, &Keeping { run, kept }).await
}

/// What is written for one tenant.
struct Writing<'w> {
    idx: usize,
    keep: &'w Keep<'w>,
    /// The index of its snapshot's text among all.
    text: usize,
    sql: String,
}

impl Question for Keeping<'_> {
    type Answer = ();

    fn ask<'a>(
        &'a self,
        server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<()>, tokio_postgres::Error>> {
        async move {
            let mut answers = Vec::with_capacity(members.len());
            let mut texts: Vec<String> = Vec::new();
            let mut known = HashMap::new();
            let mut writings = Vec::with_capacity(members.len());
            for &(idx, tenant) in members {
                let Some(keep) = self.kept.get(idx) else { continue };
                let Some(schema) = home(tenant, session) else {
                    let database = tenant.datasource.database();
                    answers.push((idx, Err(fault::no_schema(&server.server, database, None))));
                    continue;
                };
                let text = *known.entry(keep.snapshot.fingerprint()).or_insert_with(|| {
                    texts.push(keep.snapshot.to_text());
                    texts.len() - 1
                });
                writings.push(Writing { idx, keep, text, sql: self.update(keep, &schema) });
            }
            writings.sort_by_key(|writing| writing.text);
            for some in messages(&writings, &texts) {
                match session.ask(&message(some, &texts)).await {
                    Ok(_) => answers.extend(some.iter().map(|writing| (writing.idx, Ok(())))),
                    Err(error) if fault::is_lost(&error) => return Err(error),
                    // One tenant's trouble stays its own.
                    Err(_) => {
                        for one in some {
                            let written = session.ask(&message(std::slice::from_ref(one), &texts)).await;
                            let written = match written {
                                Err(error) if fault::is_lost(&error) => return Err(error),
                                // Without the table or these columns there is no row of this run.
                                Err(error) if LACKING.contains(&fault::code(&error)) => Ok(()),
                                Err(error) => Err(unwritten(one.keep.tenant, fault::words(&error))),
                                Ok(_) => Ok(()),
                            };
                            answers.push((one.idx, written));
                        }
                    }
                }
            }
            Ok(answers)
        }
        .boxed()
    }
}

impl Keeping<'_> {
    /// One statement: the run's own last row gets the snapshot, and only then do older ones lose theirs.
    fn update(&self, keep: &Keep<'_>, schema: &str) -> String {
        let journal = table(schema, JOURNAL);
        format!(
            "WITH kept AS (UPDATE {journal} SET fingerprint = {}, accepted = {}, \
             {SNAPSHOT} = pg_catalog.current_setting('{HELD}') \
             WHERE id = (SELECT max(id) FROM {journal}) AND run_id = {} RETURNING id) \
             UPDATE {journal} SET {SNAPSHOT} = NULL WHERE {SNAPSHOT} IS NOT NULL AND id < (SELECT id FROM kept);\n",
            literal(keep.record),
            keep.accepted.map_or("NULL".to_owned(), literal),
            literal(&self.run.run_id),
        )
    }
}

/// Cuts what is to be written into messages that are not too long.
fn messages<'w>(writings: &'w [Writing<'w>], texts: &[String]) -> Vec<&'w [Writing<'w>]> {
    let (mut messages, mut rest, mut length, mut at) = (Vec::new(), writings, 0, 0);
    while at < rest.len() {
        let is_another = at == 0 || rest[at].text != rest[at - 1].text;
        length += rest[at].sql.len() + if is_another { texts[rest[at].text].len() } else { 0 };
        at += 1;
        if length > MESSAGE || at == rest.len() {
            let (some, others) = rest.split_at(at);
            messages.push(some);
            (rest, length, at) = (others, 0, 0);
        }
    }
    messages
}

fn message(writings: &[Writing<'_>], texts: &[String]) -> String {
    let mut sql = LIMITS.to_owned();
    let mut held = None;
    for writing in writings {
        if held != Some(writing.text) {
            held = Some(writing.text);
            // The text itself need not come back.
            let _ = writeln!(
                sql,
                "SELECT pg_catalog.set_config('{HELD}', {}, true) IS NULL;",
                literal(&texts[writing.text])
            );
        }
        sql.push_str(&writing.sql);
    }
    sql
}

pub(in crate::engine::postgres) async fn accept(server: &Postgres, acceptance: &Acceptance<'_>) -> Result<()> {
    let tenant = acceptance.tenant;
    let session = server.clean_session(tenant).await?;
    let Some(schema) = home(tenant, &session) else {
        session.discard().await;
        return Err(fault::no_schema(&server.server, tenant.datasource.database(), None));
    };
    let written = write(&session, acceptance, &schema).await;
    match &written {
        Ok(()) => session.keep(),
        Err(_) => session.discard().await,
    }
    written.map_err(|error| unwritten(tenant, fault::words(&error)))
}

async fn write(session: &Session, acceptance: &Acceptance<'_>, schema: &str) -> Result<(), tokio_postgres::Error> {
    let there = journal_format(session, schema).await?;
    let journal = table(schema, JOURNAL);
    let row = JournalRow::of_acceptance(acceptance);
    let sql = format!(
        "{LIMITS}{}{}UPDATE {journal} SET {SNAPSHOT} = CASE WHEN id = (SELECT max(id) FROM {journal}) THEN {} END \
         WHERE {SNAPSHOT} IS NOT NULL OR id = (SELECT max(id) FROM {journal});\n",
        make_journal(there, schema),
        insert_journal(&row, schema, "pg_catalog.transaction_timestamp()"),
        literal(&acceptance.snapshot.to_text()),
    );
    session.ask(&sql).await.map(drop)
}

fn unwritten(tenant: &Tenant, cause: String) -> Diagnostic {
    Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, format!("the journal of tenant {} could not be written", tenant.name))
        .cause(cause)
        .state("its schema was not recorded")
}
