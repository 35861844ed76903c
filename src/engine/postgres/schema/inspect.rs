//! Reads what tenants' schemas are: those of one database together. The server says which are alike, and one of each
//! is transferred.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::engine::postgres::groups::{self, Answers, Member, Question};
use crate::engine::postgres::places::{Around, Found, IN_ORDER, Place, name_of, places, places_in};
use crate::engine::postgres::pooler::Way;
use crate::engine::postgres::session::Session;
use crate::engine::postgres::{Postgres, fault, home};
use crate::error::{Code, Diagnostic, Result};
use crate::schema::{Basis, Fingerprint, Include, Object, Snapshot};
use crate::tenant::Tenant;

use super::catalog::{AGAIN, BEGIN, Catalog, LOOKING, WIDTH, Wanted};
use super::parts::Part;
use super::parts_types::{BODY, SETTINGS};
use super::present::Present;
use super::raw::Own;

/// How often a question is asked that met an object in the moment of its end.
const TRIES: usize = 3;

/// What are their schemas?
struct Inspection {
    include: Include,
}

pub(in crate::engine::postgres) async fn inspect(server: &Postgres, tenants: &[&Tenant]) -> Vec<Result<Arc<Snapshot>>> {
    let mut answers = groups::ask(server, tenants, &Inspection { include: server.include }).await;
    // What databases are alike in is not known before their descriptions are.
    let mut known: HashMap<Fingerprint, Arc<Snapshot>> = HashMap::new();
    for snapshot in answers.iter_mut().flatten() {
        *snapshot = known.entry(snapshot.fingerprint().clone()).or_insert_with(|| snapshot.clone()).clone();
    }
    answers
}

impl Question for Inspection {
    type Answer = Arc<Snapshot>;

    fn ask<'a>(
        &'a self,
        server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<Arc<Snapshot>>, tokio_postgres::Error>> {
        describe(server, session, self.include, members).boxed()
    }
}

async fn describe(
    server: &Postgres,
    session: &Session,
    include: Include,
    members: &[Member<'_>],
) -> Result<Answers<Arc<Snapshot>>, tokio_postgres::Error> {
    match described(server, session, include, members).await {
        Err(error) if !fault::is_lost(&error) => {}
        answers => return answers,
    }
    // One that cannot be described spoils the joint question: only its own tenant shall fail.
    let mut answers = Vec::with_capacity(members.len());
    for member in members {
        match described(server, session, include, std::slice::from_ref(member)).await {
            Ok(found) => answers.extend(found),
            Err(error) if fault::is_lost(&error) => return Err(error),
            Err(error) => {
                let schema = home(member.1, session).unwrap_or_default();
                answers.push((member.0, Err(indescribable(&schema, &error))));
            }
        }
    }
    Ok(answers)
}

/// Returns what to look at for a tenant. One without a schema of its own has the whole database.
pub(super) fn wanted(place: &Place, members: &[Member<'_>]) -> Wanted {
    let whole = members.iter().any(|(idx, tenant)| *idx == place.idx && tenant.datasource.schema().is_none());
    Wanted { oid: place.oid.clone(), schema: place.schema.clone(), whole }
}

/// Says that a schema cannot be read.
pub(super) fn indescribable(schema: &str, error: &tokio_postgres::Error) -> Diagnostic {
    Diagnostic::new(Code::READ_FAILED, format!("schema `{schema}` cannot be described"))
        .cause(fault::words(error))
        .hint("an object of it may have been changed at this moment: try again")
}

/// Describes the schemas of these tenants. Leaves the session as it was.
async fn described(
    server: &Postgres,
    session: &Session,
    include: Include,
    members: &[Member<'_>],
) -> Result<Answers<Arc<Snapshot>>, tokio_postgres::Error> {
    let mut tried = 0;
    loop {
        tried += 1;
        match look(server, session, include, members).await {
            Err(error) if !fault::is_lost(&error) => {
                session.ask("ROLLBACK").await?;
                if tried == TRIES {
                    return Err(error);
                }
            }
            found => return found,
        }
    }
}

/// Finds the places and sees what is there at all; then asks about that alone, in the same transaction. A pooler may refuse
/// a transaction of several messages: where there may be one, all is asked for at once.
async fn look(
    server: &Postgres,
    session: &Session,
    include: Include,
    members: &[Member<'_>],
) -> Result<Answers<Arc<Snapshot>>, tokio_postgres::Error> {
    let names: Vec<String> = members.iter().map(|(_, tenant)| name_of(tenant)).collect();
    let between = format!("{IN_ORDER}{LOOKING}");
    let around = Around { before: BEGIN, between: &between, after: &Present::question(&names) };
    let (found, begin) = match session.way {
        Way::Unknown => (places(server, session, members).await?, format!("{BEGIN}{LOOKING}")),
        Way::Direct | Way::Forwarded => (places_in(server, session, members, around).await?, AGAIN.to_owned()),
    };
    let Found { facts, places, mut answers, more } = found;
    let catalog = Catalog { version: facts.version_num, include, present: Present::of(&more) };
    let wanted: Vec<Wanted> = places.iter().map(|place| wanted(place, members)).collect();
    let found = snapshots(session, &catalog, &wanted, begin).await?;
    answers.extend(places.iter().zip(found).map(|(place, found)| (place.idx, Ok(found))));
    Ok(answers)
}

/// Describes schemas, and ends the transaction, which `begin` begins or goes on with; one answer for each, in order.
async fn snapshots(
    session: &Session,
    catalog: &Catalog,
    wanted: &[Wanted],
    mut begin: String,
) -> Result<Vec<Arc<Snapshot>>, tokio_postgres::Error> {
    // Of each distinct hash, the first schema with it.
    let mut distinct: Vec<Wanted> = Vec::new();
    let mut which: Vec<usize> = Vec::with_capacity(wanted.len());
    let is_empty = catalog.looked_for().next().is_none();
    if wanted.len() > 1 && !is_empty {
        let hashes = hashes(&session.ask(&format!("{begin}{}", catalog.hashes(wanted))).await?, wanted.len());
        begin = AGAIN.to_owned();
        let mut seen: HashMap<(&Hash, bool), usize> = HashMap::new();
        for (hash, wanted) in hashes.iter().zip(wanted) {
            which.push(*seen.entry((hash, wanted.whole)).or_insert_with(|| {
                distinct.push(wanted.clone());
                distinct.len() - 1
            }));
        }
    } else {
        distinct.extend_from_slice(wanted);
        which.extend(0..wanted.len());
    }
    let rows = match distinct.is_empty() || is_empty {
        true => session.ask("COMMIT").await?,
        false => session.ask(&format!("{begin}{};\nCOMMIT", catalog.rows(&distinct))).await?,
    };
    let basis = Basis::new(format!("postgres-{}", catalog.version / 10_000), catalog.include);
    let described: Vec<Arc<Snapshot>> =
        objects(rows, catalog, &distinct).into_iter().map(|objects| Arc::new(Snapshot::new(&basis, objects))).collect();
    Ok(which.into_iter().filter_map(|at| described.get(at).cloned()).collect())
}

/// What the server says of a schema: two sums of hashes; nothing of an empty one.
pub(super) type Hash = Option<(String, String)>;

/// Reads rows of an index from 1 and two sums.
pub(super) fn hashes(rows: &[Vec<Option<String>>], count: usize) -> Vec<Hash> {
    let mut hashes = vec![None; count];
    for row in rows {
        let [Some(idx), Some(one), Some(other)] = row.as_slice() else { continue };
        if let Some(at) = position(idx).filter(|at| *at < count) {
            hashes[at] = Some((one.clone(), other.clone()));
        }
    }
    hashes
}

fn position(idx: &str) -> Option<usize> {
    idx.parse::<usize>().ok()?.checked_sub(1)
}

/// Makes the objects of each schema from rows: see [`Catalog::rows`].
fn objects(rows: Vec<Vec<Option<String>>>, catalog: &Catalog, wanted: &[Wanted]) -> Vec<Vec<Object>> {
    let parts = catalog.parts();
    let mut made: Vec<Vec<Object>> = wanted.iter().map(|_| Vec::new()).collect();
    for row in rows {
        let mut cells = row.into_iter();
        let mut cell = || cells.next().flatten();
        let at = cell().as_deref().and_then(position);
        let part = cell().and_then(|no| parts.get(no.parse::<usize>().ok()?).copied());
        let (Some(objects), Some(part)) = (at.and_then(|at| made.get_mut(at)), part) else { continue };
        let (parent, name) = (cell(), cell().unwrap_or_default());
        let values: Vec<Option<String>> = (0..WIDTH).map(|_| cell()).collect();
        objects.push(object(part, parent.as_deref(), name, values));
    }
    for (objects, wanted) in made.iter_mut().zip(wanted) {
        without_own_name(objects, &wanted.schema);
    }
    made
}

fn object(part: &Part, parent: Option<&str>, name: String, values: Vec<Option<String>>) -> Object {
    let names = part.attributes.iter().map(|(name, _)| *name);
    let gap = WIDTH - 2 - part.attributes.len();
    let names = names.chain(std::iter::repeat_n("", gap)).chain(["comment", "grants"]);
    names.zip(values).fold(Object::new(part.kind, parent, name), |object, (name, value)| object.with_some(name, value))
}

/// Takes the schema's own name out of what the server keeps as it was written.
fn without_own_name(objects: &mut [Object], schema: &str) {
    let is_raw = |object: &Object| object.get(BODY).is_some() || object.get(SETTINGS).is_some();
    if !objects.iter().any(is_raw) {
        return;
    }
    let names: Vec<String> = objects
        .iter()
        .filter(|object| object.parent.is_none())
        .map(|object| object.name.split('(').next().unwrap_or_default().to_owned())
        .collect();
    let own = Own { schema, names: names.iter().map(String::as_str).collect() };
    for object in objects.iter_mut().filter(|object| is_raw(object)) {
        let is_sql = matches!(object.get("language"), Some("sql" | "plpgsql"));
        for attribute in &mut object.attributes {
            match &*attribute.name {
                BODY if is_sql => attribute.value = own.out_of_body(&attribute.value),
                SETTINGS => attribute.value = own.out_of_settings(&attribute.value),
                _ => {}
            }
        }
    }
}
