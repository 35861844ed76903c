//! Measures schemas after a step: what its transactions wrote into the catalogs, instead of everything.
//!
//! A row of a catalog knows the transaction that wrote it. Rows of transactions that the last look did not know as
//! ended are the delta; what is gone left no row, so the names of all that is there are summed besides. Schemas that
//! were equal and have equal deltas are equal. One thing escapes it, and the full look at the end of a run finds it:
//! types that only exchanged their names.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join};
use sha2::{Digest, Sha256};

use crate::engine::Gauge;
use crate::engine::postgres::groups::{self, Answers, Member, Question};
use crate::engine::postgres::places::{Found, places};
use crate::engine::postgres::session::Session;
use crate::engine::postgres::{Postgres, fault};
use crate::error::Result;
use crate::schema::Include;
use crate::tenant::Tenant;

use super::catalog::{AGAIN, BEGIN, Catalog, HORIZON, LOOKING, Wanted};
use super::inspect::{Hash, hashes, indescribable, wanted};
use super::present::Present;

/// How much is looked at.
#[derive(Clone, Copy)]
enum Look {
    /// All that a schema is made of.
    Whole,
    /// Its names.
    Names,
    /// What transactions wrote that this one, or a later one, did not know as ended.
    Since(u64),
}

struct Gauging {
    include: Include,
    look: Look,
}

/// A sum of hashes, and the transaction before which all had ended when it was taken.
type Measure = (Hash, u64);

pub(in crate::engine::postgres) async fn gauge(
    server: &Postgres,
    tenants: &[(&Tenant, Option<Gauge>)],
) -> Vec<Result<Gauge>> {
    let everyone: Vec<&Tenant> = tenants.iter().map(|(tenant, _)| *tenant).collect();
    let ask = async |look: Look| {
        let gauging = Gauging { include: server.include, look };
        groups::ask(server, &everyone, &gauging).await
    };
    let oldest = tenants.iter().map(|(_, before)| before.map(|gauge| gauge.mark)).min().flatten();
    // A comment has no row of the object that it is on.
    let Some(since) = oldest.filter(|_| !server.include.comments) else {
        let whole = ask(Look::Whole).await;
        return whole.into_iter().map(|measure| measure.map(|(hash, mark)| made(None, &[hash], mark))).collect();
    };
    // Two connections, where there are two.
    let (deltas, names) = join(ask(Look::Since(since)), ask(Look::Names)).await;
    let measures = deltas.into_iter().zip(names).zip(tenants);
    measures
        .map(|((delta, names), (_, before))| {
            let ((delta, mark), (names, _)) = (delta?, names?);
            Ok(made(*before, &[delta, names], mark))
        })
        .collect()
}

fn made(before: Option<Gauge>, hashes: &[Hash], mark: u64) -> Gauge {
    let mut hasher = Sha256::new();
    hasher.update(before.map_or(0, |gauge| gauge.value).to_be_bytes());
    for hash in hashes {
        let (one, other) = hash.as_ref().map_or(("", ""), |(one, other)| (one, other));
        hasher.update(format!("{one} {other}\n"));
    }
    let mut value = [0; 16];
    value.copy_from_slice(&hasher.finalize()[..16]);
    Gauge { value: u128::from_be_bytes(value), mark }
}

impl Question for Gauging {
    type Answer = Measure;

    fn ask<'a>(
        &'a self,
        server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<Measure>, tokio_postgres::Error>> {
        async move {
            let Found { facts, places, mut answers, .. } = places(server, session, members).await?;
            let catalog = Catalog { version: facts.version_num, include: self.include, present: Present::ALL };
            let wanted: Vec<Wanted> = places.iter().map(|place| wanted(place, members)).collect();
            match measured(session, &catalog, &wanted, self.look).await {
                Ok((hashes, mark)) => {
                    let found = places.iter().zip(hashes);
                    answers.extend(found.map(|(place, hash)| (place.idx, Ok((hash, mark)))));
                }
                Err(error) if fault::is_lost(&error) => return Err(error),
                Err(error) => {
                    session.ask("ROLLBACK").await?;
                    answers.extend(places.iter().map(|place| (place.idx, Err(indescribable(&place.schema, &error)))));
                }
            }
            Ok(answers)
        }
        .boxed()
    }
}

/// Measures schemas; one hash for each, in order.
async fn measured(
    session: &Session,
    catalog: &Catalog,
    wanted: &[Wanted],
    look: Look,
) -> Result<(Vec<Hash>, u64), tokio_postgres::Error> {
    let begin = format!("{BEGIN}{LOOKING}{HORIZON}");
    let rows = match look {
        Look::Whole => session.ask(&format!("{begin}{};\nCOMMIT", catalog.hashes(wanted))).await?,
        Look::Names => session.ask(&format!("{begin}{};\nCOMMIT", catalog.names(wanted))).await?,
        Look::Since(mark) => {
            let mut rows = session.ask(&format!("{begin}{}", catalog.signs(mark))).await?;
            let touched: Vec<usize> = single(&rows[1.min(rows.len())..]).collect();
            let delta = catalog.delta(wanted, mark, &touched);
            rows.extend(session.ask(&format!("{AGAIN}{delta};\nCOMMIT")).await?);
            rows
        }
    };
    let horizon = single(&rows).next().unwrap_or(0);
    Ok((hashes(&rows, wanted.len()), horizon))
}

/// Reads the rows of one number: the horizon, and the signs after it.
fn single<T: std::str::FromStr>(rows: &[Vec<Option<String>>]) -> impl Iterator<Item = T> {
    rows.iter().filter(|row| row.len() == 1).filter_map(|row| row[0].as_deref()?.parse().ok())
}
