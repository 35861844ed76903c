//! One question of a person's, in a transaction that may only read.

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::engine::Answer;
use crate::engine::question::{ANSWERED_WITHIN, bounded, check, refused, unanswered};
use crate::error::Result;
use crate::tenant::Tenant;

use super::sql::ident;
use super::{Postgres, fault};

/// Asks with the tenant's schema as the one that names without a schema mean.
///
/// The session does not stay: a function of the question may have left anything in it.
pub(super) async fn ask(server: &Postgres, tenant: &Tenant, question: &str, limit: usize) -> Result<Answer> {
    check(tenant, question)?;
    let session = server.clean_session(tenant).await?;
    let path = tenant.datasource.schema().map(|schema| format!("SET LOCAL search_path = {};", ident(schema)));
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = {}; {}",
        ANSWERED_WITHIN.as_millis(),
        path.unwrap_or_default()
    );
    let asked = timeout(ANSWERED_WITHIN, async {
        session.ask(&begin).await?;
        session.ask_table(question, limit).await
    })
    .await;
    session.discard().await;
    match asked {
        Ok(Ok(answer)) => bounded(tenant, answer, limit),
        // A limit, or somebody's pg_cancel_backend.
        Ok(Err(error)) if fault::is_lost(&error) || error.code() == Some(&SqlState::QUERY_CANCELED) => {
            Err(unanswered(fault::words(&error)))
        }
        Ok(Err(error)) => Err(refused(tenant, &fault::words(&error))),
        Err(_) => Err(unanswered(fault::no_answer(ANSWERED_WITHIN))),
    }
}
