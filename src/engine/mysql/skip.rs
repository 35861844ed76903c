//! Records a changeset as skipped: history and journal in one message, on a connection that is known.
//!
//! What must hold is the condition of the history row, as it is of a text's first intent: [`super::entry`]. Where it does
//! not, nothing is written, and the order goes the careful way.

use std::time::Instant;

use crate::engine::stepwise::Fault;
use crate::engine::tables::JournalRow;
use crate::engine::{Applied, Failure, Left, Moment, Order, Outcome};
use crate::history::AttemptOutcome;

use super::entry::{BEGAN, Entry};
use super::link::{ANSWER_LIMIT, Greeting, Trouble};
use super::message::Message;
use super::{Leased, MySqlServer, fault, sql};

/// How it went.
pub(super) enum Skipped<'o> {
    Ended(Outcome),
    /// The server refused; nothing is written.
    Not(Leased<'o>),
    /// The connection was lost: perhaps it is written. What is to be said if nobody finds out.
    Lost(Outcome),
}

/// Writes both rows of an order that skips its changeset.
pub(super) async fn at_once<'o>(
    server: &MySqlServer,
    order: &Order<'_>,
    mut lease: Leased<'o>,
    (entry, greeting): (Entry, Greeting),
) -> Skipped<'o> {
    let began = Instant::now();
    let database = order.tenant.datasource.database();
    let row = JournalRow::of(order, AttemptOutcome::Applied);
    let mut message = Message::default();
    for statement in &entry.statements {
        message.add(statement);
    }
    message.add("START TRANSACTION");
    message.add(&sql::insert_history_if(database, &row, &entry.ready));
    message.add(&sql::insert_journal(database, &row, BEGAN));
    message.add("COMMIT");
    message.add(&sql::end_work(database));
    lease.begin(greeting, sql::settings(&order.limits));
    match lease.ask(message.text(), ANSWER_LIMIT).await {
        Ok(_) => {
            // As after a plain text: nothing but our settings stands there, unless the user has a role.
            match lease.may_have_role() {
                true => server.give_back(lease).await,
                false => lease.keep(),
            }
            let notices = Vec::new();
            Skipped::Ended(Outcome::Applied(Applied { duration: began.elapsed(), notices, by_another: false }))
        }
        Err(Trouble::Refused { .. }) => Skipped::Not(lease),
        Err(Trouble::Lost(cause)) => {
            lease.discard().await;
            let (Fault::Lost(diagnostic) | Fault::Refused { diagnostic, .. }) = fault::lost(order, cause);
            let (moment, left) = (Moment::Commit, Left::Unknown);
            let failure = Failure { diagnostic, moment, left, retry: false, duration: began.elapsed() };
            Skipped::Lost(Outcome::Failed(failure))
        }
    }
}
