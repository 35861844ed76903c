//! What [`stepwise`](crate::engine::stepwise) asks of a session.
//!
//! A text that holds its own `START TRANSACTION` (it must say `no-transaction`), or turns `autocommit` off, takes the
//! intents into its transaction: they become durable, and are rolled back, with the statements that they announce.
//! When a statement fails in there, all of it is rolled back, and the intents that are left tell where to begin again.

mod compose;
mod record;
mod send;
mod undo;

use crate::changeset::Width;
use crate::engine::stepwise::{Fault, Step, Steps, failed};
use crate::engine::tables::JournalRow;
use crate::engine::{Left, NOTICE_LIMIT, Order, Outcome};
use crate::error::{Code, Diagnostic};
use crate::sql::{Dialect, Statement};

use super::apply::Session;
use super::entry::{self, Entry};
use super::fault::{self, DUPLICATE_COLUMN, Ended, NOT_LOCKED, NOT_NULL};
use super::link::{ANSWER_LIMIT, Cells, Sets, Trouble};
use super::made::Made;
use super::{Leased, MySqlServer, sql};

/// One order's session in its tenant's database.
pub(super) struct MySqlSteps<'o> {
    server: &'o MySqlServer,
    order: &'o Order<'o>,
    database: &'o str,
    session: Session,
    statements: &'o [Statement<'o>],
    lease: Leased<'o>,
    /// The statement (from 1) since which the text's own transaction is open.
    open_since: Option<u32>,
    /// The statement at which the text must begin again, since its own transaction was rolled back.
    rolled_back_to: Option<u32>,
    /// Whether a statement commits by itself now: no transaction is open, and `autocommit` is on.
    commits_alone: bool,
    /// Whether LOCK TABLES is in force: no transaction may be begun, or the locks are gone.
    locked: bool,
    /// What the server said of the database's tables; nothing once a statement may have changed it.
    transactional: Option<bool>,
    by_another: bool,
    notices: Vec<String>,
    /// What goes ahead of the first statement, where the session is not in its database yet.
    entry: Option<Entry>,
    /// Whether the text leaves the session as it was.
    is_plain: bool,
    /// Whether history and journal were written along with the last statement.
    recorded: bool,
    /// Whether something was sent that may have left its marks on the session, or may still arrive.
    is_marked: bool,
    begun: Begun,
    /// Whether the next statement's intent must see that what it writes rolls back.
    is_unproven: bool,
    /// Whether the last statement's intent was found unfit to commit with it.
    is_demoted: bool,
    /// The table that the text made last.
    made: Option<Made>,
}

/// Whether the text was begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Yes,
    /// The server took nothing of it.
    No,
    /// The connection was lost with the first message.
    Unknown,
}

/// How an order's session ended.
pub(super) enum Settled<'o> {
    Ended(Outcome),
    /// The server refused to begin; nothing has run.
    NotBegun(Leased<'o>),
    /// The connection was lost with the first message, so perhaps nothing has run. What is to be said otherwise.
    Lost(Outcome),
}

impl Steps for MySqlSteps<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::MySql(self.session.sql_mode)
    }

    async fn prepare(&mut self) -> Result<(), Fault> {
        if self.entry.is_some() {
            return Ok(());
        }
        let entered = self.session.database.as_ref().map(|name| name.to_lowercase());
        if entered != Some(self.database.to_lowercase()) {
            return Err(self.left_schema(self.session.database.as_deref()));
        }
        let mut missing = Vec::new();
        match (self.order.tables.history, self.order.width) {
            (None, width) => missing.push(sql::create_history(self.database, width)),
            (Some(Width::Int4), Width::Int8) => {
                // The checksums first: ALTER commits, and a narrow history is widened again by the next run.
                missing.extend(sql::rewrite_checksums(self.database, &self.order.rewrite));
                missing.push(sql::widen_history(self.database));
            }
            _ => {}
        }
        match self.order.tables.journal {
            None => missing.push(sql::create_journal(self.database)),
            Some(format) => missing.extend(sql::upgrade_journal(self.database, format)),
        }
        if missing.is_empty() {
            return Ok(());
        }
        let (mut sent, ended) = self.send(&missing.join("; "), None).await;
        if matches!(&sent, Err(Trouble::Refused { error, .. }) if error.code == DUPLICATE_COLUMN) {
            // The upgrade is the last of them; a try of this order before this one made it.
            sent = Ok(Vec::new());
        }
        sent.map(drop).map_err(|trouble| self.fault(trouble, ended))
    }

    async fn set_again(&mut self, statement: &Statement<'_>) -> Result<(), Fault> {
        let (set, ended) = self.send(statement.text, None).await;
        set.map_err(|trouble| self.at(statement, trouble, ended))?;
        self.follow(statement);
        Ok(())
    }

    async fn rolls_back(&mut self) -> Result<bool, Fault> {
        if self.locked {
            return Ok(false);
        }
        match self.transactional {
            Some(known) => Ok(known),
            None if self.is_plain && self.commits_alone => {
                self.is_unproven = true;
                Ok(true)
            }
            None => self.ask_whether_transactional().await,
        }
    }

    fn was_atomic(&self) -> bool {
        !self.is_demoted
    }

    async fn run(&mut self, mut step: Step<'_>) -> Result<(), Fault> {
        let statement = step.statement;
        let no = step.intent.statement.as_ref().map_or(0, |mark| mark.statement_no);
        let entry = self.entry.take();
        self.is_demoted = false;
        let mut proves = std::mem::take(&mut self.is_unproven) && step.intent.is_atomic();
        let (mut sent, mut ended, places) = loop {
            let (message, places) = self.compose(&step, entry.as_ref(), proves);
            let (sent, ended) = self.send(message.text(), places.shown).await;
            match &sent {
                Err(Trouble::Refused { done, error })
                    if proves && entry.is_none() && error.code == NOT_NULL && *done < places.text =>
                {
                    proves = false;
                    self.prove(&mut step).await?;
                }
                _ => break (sent, ended, places),
            }
        };
        let atomic = step.intent.is_atomic();
        if matches!(&sent, Err(Trouble::Refused { done: 0, error }) if error.code == NOT_LOCKED && places.is_bare) {
            // Between LOCK TABLES and UNLOCK TABLES (every dump has them) no other table can be written, so these
            // statements have no intent: the last one stays that of LOCK TABLES.
            (sent, ended) = self.send(statement.text, None).await;
        }
        self.is_marked |= ended.is_some();
        let begun = |done: usize| entry.is_none() || done >= places.text;
        if matches!(&sent, Err(Trouble::Refused { done, error }) if error.code == NOT_NULL && begun(*done)) {
            // The intent may have been refused, and the statement not run: see where the session is.
            self.check().await?;
        }
        let warnings = match sent {
            Ok(warnings) => {
                self.recorded = places.recorded.is_some();
                if proves {
                    self.transactional = Some(true);
                }
                warnings
            }
            Err(Trouble::Refused { done, error }) if !begun(done) => {
                self.begun = Begun::No;
                return Err(fault::lost(self.order, fault::server_words(&error)));
            }
            // Our own COMMIT, told to end: an error does not say whether it did its work. The journal will.
            Err(Trouble::Refused { done, error }) if [places.committed, places.recorded].contains(&Some(done)) => {
                return Err(fault::lost(self.order, fault::server_words(&error)));
            }
            Err(Trouble::Refused { done, .. }) if places.settled().is_some_and(|settled| done > settled) => {
                // The statement is done, and history and journal may be: what is not is sent again by itself.
                self.recorded = places.recorded.is_some_and(|recorded| done > recorded);
                self.is_marked = true;
                self.lease.ask("ROLLBACK", ANSWER_LIMIT).await.or_else(only_lost).map_err(|t| self.fault(t, None))?;
                Vec::new()
            }
            Err(Trouble::Refused { error, .. }) if !atomic && self.may_leave_a_part(statement.text) => {
                return Err(self.partly(&error));
            }
            Err(trouble) => {
                if entry.is_some() && ended.is_none() && matches!(trouble, Trouble::Lost(_)) {
                    self.begun = Begun::Unknown;
                }
                return Err(self.at(statement, trouble, ended));
            }
        };
        self.follow(statement);
        let status = self.lease.status();
        self.open_since = if status.in_transaction { self.open_since.or(Some(no.max(1))) } else { None };
        if ended.is_some() {
            // The statement was done before it could be ended: the order to end would hit the next one.
            self.lease.ask("DO 0", ANSWER_LIMIT).await.or_else(only_lost).map_err(|t| self.fault(t, None))?;
        } else if places.shown.is_none() && status.warnings && self.notices.len() < NOTICE_LIMIT {
            self.warnings(statement).await?;
        }
        self.tell(statement, warnings);
        Ok(())
    }

    async fn check(&mut self) -> Result<(), Fault> {
        if self.recorded {
            return Ok(());
        }
        let sets = self.lease.ask("SELECT DATABASE()", ANSWER_LIMIT).await.map_err(|t| self.fault(t, None))?;
        let now = first(sets).into_iter().next().flatten();
        let stays = match &self.session.database {
            Some(_) => now == self.session.database,
            None => now.as_ref().is_some_and(|now| now.to_lowercase() == self.database.to_lowercase()),
        };
        if stays { Ok(()) } else { Err(self.left_schema(now.as_deref())) }
    }

    async fn finish(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        if self.recorded {
            return Ok(());
        }
        self.write_end(&row).await
    }

    async fn note(&mut self, mut row: JournalRow<'_>) -> Result<(), Fault> {
        if self.entry.is_some() {
            // It was cancelled before the first message: the session is nowhere yet.
            self.begun = Begun::No;
            return Ok(());
        }
        let noted = self.write_note(&mut row).await;
        noted.map_err(|trouble| {
            let message = format!("the journal of tenant {} could not be written", self.order.tenant.name);
            let diagnostic = Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, message).cause(super::cause(trouble));
            Fault::Refused { diagnostic, retry: false }
        })
    }

    fn notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }
}

impl<'o> MySqlSteps<'o> {
    /// Takes a session that entered the tenant's database.
    pub fn new(
        server: &'o MySqlServer,
        order: &'o Order<'o>,
        session: Session,
        statements: &'o [Statement<'o>],
        lease: Leased<'o>,
    ) -> Self {
        let database = order.tenant.datasource.database();
        let commits_alone = session.autocommit;
        let is_plain = entry::is_plain(statements, session.sql_mode);
        Self {
            server,
            order,
            database,
            session,
            statements,
            lease,
            open_since: None,
            rolled_back_to: None,
            commits_alone,
            locked: false,
            transactional: None,
            by_another: false,
            notices: Vec::new(),
            entry: None,
            is_plain,
            recorded: false,
            // The tenant's role and settings must not be the next one's.
            is_marked: !order.tenant.session.is_bare(),
            begun: Begun::Yes,
            is_unproven: false,
            is_demoted: false,
            made: None,
        }
    }

    /// Lets the first statement's message enter the database.
    pub fn entering(mut self, entry: Entry) -> Self {
        self.entry = Some(entry);
        self
    }

    /// Gives the connection back, and says what the steps know and the walk does not.
    pub async fn settle(self, mut outcome: Outcome) -> Settled<'o> {
        match self.begun {
            Begun::Yes => {}
            Begun::No => return Settled::NotBegun(self.lease),
            Begun::Unknown => {
                self.lease.discard().await;
                return Settled::Lost(outcome);
            }
        }
        let is_clean = self.is_plain && self.recorded && !self.is_marked && !self.lease.may_have_role();
        match is_clean {
            // Nothing but our settings stands there, and the next order has its own.
            true => self.lease.keep(),
            false => self.server.give_back(self.lease).await,
        }
        match &mut outcome {
            Outcome::Applied(applied) => applied.by_another = self.by_another,
            Outcome::Failed(failure) => {
                if let (Some(since), Left::Half { statement_no, .. }) = (self.rolled_back_to, &mut failure.left) {
                    *statement_no = since;
                    if since <= 1 {
                        failure.left = Left::Unchanged;
                    }
                }
            }
        }
        Settled::Ended(outcome)
    }

    /// Keeps in mind what a statement that was done makes of the session and of the tables.
    fn follow(&mut self, statement: &Statement<'_>) {
        let status = self.lease.status();
        self.commits_alone = status.autocommit && !status.in_transaction;
        let first = statement.text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if ["insert", "update", "delete", "replace", "load", "select", "set", "do", "with"].contains(&first.as_str()) {
            return;
        }
        self.transactional = None;
        let text = statement.text.to_ascii_lowercase();
        match (Made::by(statement.text, self.dialect()), &mut self.made) {
            (Some(made), _) => self.made = Some(made),
            (None, Some(made)) if self.is_plain && !Made::may_end_by(&text) => made.add(&text),
            (None, _) => self.made = None,
        }
        let locks = text.match_indices("lock table").any(|(at, _)| !text[..at].ends_with("un"));
        self.locked = match first.as_str() {
            "unlock" | "start" | "begin" => false,
            "lock" => true,
            // In a comment that the server executes.
            _ => self.locked || locks,
        };
    }

    fn fault(&self, trouble: Trouble, ended: Option<Ended>) -> Fault {
        match trouble {
            Trouble::Refused { error, .. } => fault::refused(self.order, &error, ended),
            Trouble::Lost(cause) => fault::lost(self.order, cause),
        }
    }

    /// Makes the fault of a statement of the text, at the line that the server names.
    fn at(&self, statement: &Statement<'_>, trouble: Trouble, ended: Option<Ended>) -> Fault {
        let line = match &trouble {
            Trouble::Refused { error, .. } => fault::line(error),
            Trouble::Lost(_) => None,
        };
        match (line, self.fault(trouble, ended)) {
            (Some(line), Fault::Refused { diagnostic, retry }) if line > 1 => {
                let place = self.order.text.place(statement.line + line - 1, 1);
                Fault::Refused { diagnostic: diagnostic.at(place), retry }
            }
            (_, fault) => fault,
        }
    }

    fn left_schema(&self, now: Option<&str>) -> Fault {
        let now = now.map_or("no database".to_owned(), |name| format!("database {}", sql::name(name)));
        let diagnostic = failed(self.order, Code::LEFT_SCHEMA)
            .cause(format!("the session is in {now}, not in {}", sql::name(self.database)))
            .hint("take `USE` out of the text: a changeset runs in its tenant's database");
        Fault::Refused { diagnostic, retry: false }
    }
}

fn only_lost(trouble: Trouble) -> Result<Sets, Trouble> {
    match trouble {
        Trouble::Refused { .. } => Ok(Sets::new()),
        lost => Err(lost),
    }
}

/// Returns the first row of a message's rows.
fn first(sets: Sets) -> Cells {
    sets.into_iter().flatten().next().unwrap_or_default()
}
