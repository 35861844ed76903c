//! How an order comes to its tenant's database without a message of its own.
//!
//! On a connection that is known, what opens the session travels ahead of the first statement, and what would otherwise
//! be looked at in between is a condition of its intent: the server refuses that row, and with it the statement, where
//! the session, the work lock or the journal is not as it must be. Then nothing of the text has run, and the order goes
//! the careful way: a message that only opens the session, and a look at the answer.

use std::time::Duration;

use crate::engine::{JournalFormat, Order};
use crate::sql::{Dialect, SqlMode, Statement, only_defines, only_writes, split};

use super::link::{Greeting, Link};
use super::sql;

/// How long a connection may have been idle: a longer time is long enough for somebody in between to have dropped it.
const IDLE: Duration = Duration::from_secs(10);

/// How much longer than its text a message may be, in bytes: the probes of a statement come to the most.
const ROOM: usize = 128 << 10;

/// When the order began, by the server's clock, where only the session knows it.
pub(super) const BEGAN: &str = "@mtmigrate_began";

/// What goes ahead of the first statement's intent.
pub(super) struct Entry {
    pub statements: Vec<String>,
    /// The condition of the intent.
    pub ready: String,
}

impl Entry {
    /// Makes the entry of an order on this connection; nothing where the order must go the careful way.
    pub fn of(order: &Order<'_>, link: &Link) -> Option<(Self, Greeting)> {
        let greeting = link.greeting().filter(|_| link.answered_within(IDLE))?;
        let database = order.tenant.datasource.database();
        let tables = order.tables;
        let ready_made = tables.history.is_none_or(|width| width == order.width)
            && tables.journal.is_none_or(|format| format == JournalFormat::Four);
        if order.resume.is_some() || !ready_made || !order.tenant.session.is_bare() {
            return None;
        }
        let (lock, settings) = (sql::work_lock(database), sql::settings(&order.limits));
        let settings = if link.has_settings(&settings) { String::new() } else { format!("{settings}, ") };
        let mut statements = vec![
            format!("USE {}", sql::name(database)),
            // Whoever has to wait for the lock goes the careful way.
            format!("SET {settings}{BEGAN} = UTC_TIMESTAMP(6), @mtmigrate_lock = GET_LOCK({lock}, 0)"),
        ];
        if tables.history.is_none() {
            statements.push(sql::create_history(database, order.width));
        }
        if tables.journal.is_none() {
            statements.push(sql::create_journal(database));
        }
        let ready = format!(
            "@@sql_mode = {} AND @@autocommit = 1 AND IS_USED_LOCK({lock}) = CONNECTION_ID() AND {}",
            sql::literal(&greeting.sql_mode),
            sql::is_unmoved(database, &order.run.run_id, order.changeset.version.0, order.known.journal_end)
        );
        Some((Self { statements, ready }, greeting.clone()))
    }
}

/// Splits the text if nothing of it is out of the ordinary; nothing where it must be looked at in other ways.
pub(super) fn plain<'t>(order: &Order<'t>, greeting: &Greeting) -> Option<Vec<Statement<'t>>> {
    let mode = SqlMode::parse(&greeting.sql_mode);
    let statements = split(&order.text.sql, Dialect::MySql(mode)).ok()?;
    let fits = order.text.sql.len() + ROOM < greeting.max_packet;
    (fits && is_plain(&statements, mode)).then_some(statements)
}

/// Whether a text only defines what is in its database, and writes to its tables: then the session is as it was before,
/// where no trigger and no function is there.
pub(super) fn is_plain(statements: &[Statement<'_>], mode: SqlMode) -> bool {
    let dialect = Dialect::MySql(mode);
    let is_plain = |one: &Statement<'_>| only_defines(one.text, dialect) || only_writes(one.text, dialect);
    !statements.is_empty() && statements.iter().all(is_plain)
}
