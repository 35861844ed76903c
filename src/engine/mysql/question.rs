//! One question of a person's, in a transaction that may only read.

use crate::engine::Answer;
use crate::engine::question::{ANSWERED_WITHIN, bounded, check, refused, unanswered};
use crate::error::Result;
use crate::tenant::Tenant;

use super::link::Trouble;
use super::{MySqlServer, fault, read, sql};

/// Asks in the tenant's database; without one (its name is empty) in none.
///
/// The session does not stay as it is: a function of the question may have left anything in it.
pub(super) async fn ask(server: &MySqlServer, tenant: &Tenant, question: &str, limit: usize) -> Result<Answer> {
    check(tenant, question)?;
    let place = match tenant.datasource.database() {
        "" => String::new(),
        database => format!("; USE {}", sql::name(database)),
    };
    // Whatever ends this transaction, the next one may only read too.
    let only_reads = "SET SESSION TRANSACTION READ ONLY; START TRANSACTION READ ONLY";
    let opening = format!("{}{place}; {only_reads}", read::open());
    let (mut lease, _) =
        server.session(&tenant.access, &opening).await.map_err(|none| server.unopened(none, tenant))?;
    let asked = lease.ask_table(question, ANSWERED_WITHIN, limit).await;
    server.give_back(lease).await;
    match asked {
        Ok(answer) => bounded(tenant, answer, limit),
        Err(Trouble::Refused { error, .. }) if fault::is_over(&error) => Err(unanswered(fault::server_words(&error))),
        Err(Trouble::Refused { error, .. }) => Err(refused(tenant, &fault::server_words(&error))),
        Err(Trouble::Lost(cause)) => Err(unanswered(cause)),
    }
}
