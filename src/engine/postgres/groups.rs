//! Tenants of one database, asked about together on one session.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::error::{Code, Diagnostic, Result};
use crate::tenant::Tenant;

use super::session::{Key, Session};
use super::{Postgres, fault};

/// How long one question may take.
pub(super) const ASKING: Duration = Duration::from_secs(120);

/// A tenant, and where it stands in the slice that is asked about.
pub(super) type Member<'m> = (usize, &'m Tenant);

/// What is known of some tenants, in any order.
pub(super) type Answers<T> = Vec<(usize, Result<T>)>;

/// A question about tenants.
pub(super) trait Question: Sync {
    /// What is known of a tenant afterwards.
    type Answer: Send;

    /// Asks about tenants of one database, on a session that is at its start and must be so afterwards.
    ///
    /// # Errors
    /// What concerns all of them: the connection's.
    fn ask<'a>(
        &'a self,
        server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<Self::Answer>, tokio_postgres::Error>>;
}

/// Asks about tenants, those of one database and user together; one answer for each, in order.
pub(super) async fn ask<Q: Question>(server: &Postgres, tenants: &[&Tenant], question: &Q) -> Vec<Result<Q::Answer>> {
    let mut groups: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
    for (idx, tenant) in tenants.iter().enumerate() {
        let access = Arc::as_ptr(&tenant.access).addr();
        groups.entry((access, tenant.datasource.database())).or_default().push(idx);
    }
    let mut answers: Vec<Option<Result<Q::Answer>>> = tenants.iter().map(|_| None).collect();
    let silent = &OnceLock::new();
    // Those first whose connections are there: others would take their places.
    let (there, others): (Vec<Vec<usize>>, Vec<Vec<usize>>) =
        groups.into_values().partition(|group| server.pool.has(&key(tenants[group[0]])));
    let asked = there.into_iter().chain(others).map(|group| {
        let members: Vec<Member<'_>> = group.iter().map(|&idx| (idx, tenants[idx])).collect();
        ask_group(server, members, question, silent).boxed()
    });
    let mut asked = stream::iter(asked).buffer_unordered(server.pool.limit());
    while let Some(group) = asked.next().await {
        for (idx, answer) in group {
            answers[idx] = Some(answer);
        }
    }
    let missing = || Err(Diagnostic::new(Code::BUG, "a tenant was not asked about"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
}

async fn ask_group<Q: Question>(
    server: &Postgres,
    members: Vec<Member<'_>>,
    question: &Q,
    silent: &OnceLock<Diagnostic>,
) -> Answers<Q::Answer> {
    // A server that does not answer at all is not waited for once more for each of its databases.
    if let Some(diagnostic) = silent.get() {
        return everyone(&members, diagnostic);
    }
    let answers = ask_database(server, &members, question).await;
    if let Some((_, Err(diagnostic))) = answers.first()
        && fault::is_silence(diagnostic)
    {
        let _ = silent.set(diagnostic.clone());
    }
    answers
}

/// Asks about tenants of one database with one user. Never empty.
async fn ask_database<Q: Question>(server: &Postgres, members: &[Member<'_>], question: &Q) -> Answers<Q::Answer> {
    let lease = match server.clean_session(members[0].1).await {
        Ok(lease) => lease,
        Err(diagnostic) => return everyone(members, &diagnostic),
    };
    // Waiting for a session has limits of its own, and where the server has few it may be a long turn.
    let Ok(asked) = timeout(ASKING, question.ask(server, &lease, members)).await else {
        let why = fault::no_answer(ASKING);
        lease.discard().await;
        return everyone(members, &fault::unreachable(&server.server, &key(members[0].1), &why));
    };
    match asked {
        Ok(answers) => {
            lease.keep();
            answers
        }
        Err(error) => {
            let diagnostic = fault::connecting(&server.server, &key(members[0].1), &error);
            lease.discard().await;
            everyone(members, &diagnostic)
        }
    }
}

/// Returns what identifies the connections that a tenant can be asked over.
pub(super) fn key(tenant: &Tenant) -> Key {
    Key { access: tenant.access.clone(), database: tenant.datasource.database().to_owned() }
}

fn everyone<T>(members: &[Member<'_>], diagnostic: &Diagnostic) -> Answers<T> {
    members.iter().map(|(idx, _)| (*idx, Err(diagnostic.clone()))).collect()
}
