//! A text that commits as a whole, with its history row and its journal row, as PostgreSQL does it in one message.

use std::time::Duration;

use crate::engine::stepwise::{failed, half_done};
use crate::engine::tables::JournalRow;
use crate::engine::{Applied, Failure, Left, Moment, Order, Outcome};
use crate::error::Code;
use crate::history::AttemptOutcome;
use crate::sql::{Dialect, split};

use super::server::{Leased, Simulated, failure, unsent};
use super::state::{attempt, history_row};
use super::wire::{Backend, Gone};
use super::world::World;

/// How long a transaction waits for another one's history row, in tries of ten milliseconds.
const TRIES: u32 = 200;

/// What the server answers.
enum Said {
    Committed,
    /// The history row was there.
    There,
    Refused {
        code: Code,
        passes: bool,
    },
    Cancelled,
}

/// One message.
struct Message {
    run_id: String,
    tenant: usize,
    version: i64,
    name: String,
    checksum: u64,
    statements: Vec<String>,
    applied: crate::history::Attempt,
    /// Whether its commit is durable only after a flush.
    asynchronous: bool,
}

impl Simulated {
    pub(super) async fn as_a_whole(&self, order: &Order<'_>) -> Outcome {
        if let Some(failure) = half_done(order) {
            return Outcome::Failed(failure);
        }
        let leased = match self.connect().await {
            Ok(leased) => leased,
            Err(why) => return unsent(order, &why),
        };
        let id = leased.connection.id;
        let answer = self.exchange(order, &leased).await;
        match answer {
            Ok(Said::Committed) => {
                leased.close().await;
                applied(false)
            }
            Ok(Said::There) => {
                leased.close().await;
                let diagnostic = failed(order, Code::CHANGESET_FAILED).cause("its version is in the history");
                self.read_again(order, failure(diagnostic, Moment::Prepare, Left::Unchanged, true), true).await
            }
            Ok(Said::Cancelled) => failure(failed(order, Code::CANCELLED), Moment::Execute, Left::Unchanged, false),
            Ok(Said::Refused { code, passes }) => {
                let diagnostic = failed(order, code).cause("the server refused it");
                let row = JournalRow::of(order, AttemptOutcome::Failed).error(&diagnostic.one_line());
                let (row, tenant) = (attempt(&row, None), order.tenant.id.0);
                // Without its row in the journal it failed all the same.
                let _ = leased.connection.ask_at_once(move |world, _| world.durable(tenant).journal(row)).await;
                leased.close().await;
                failure(diagnostic, Moment::Execute, Left::Unchanged, passes)
            }
            Err(Gone) => {
                let diagnostic = self.lost(order);
                let over = !self.world.lock().sessions.contains_key(&id);
                drop(leased);
                let left = if over { Left::Unchanged } else { Left::Unknown };
                self.read_again(order, failure(diagnostic, Moment::Execute, left, false), false).await
            }
        }
    }

    /// Sends the message; when the order is cancelled the server is told, and its answer awaited.
    async fn exchange(&self, order: &Order<'_>, leased: &Leased<'_>) -> Result<Said, Gone> {
        let message = Message { asynchronous: self.asynchronous(order), ..message(order) };
        let asked = leased.connection.ask(|backend| work(backend, message));
        futures_util::pin_mut!(asked);
        tokio::select! {
            biased;
            answer = &mut asked => return answer,
            () = order.cancel.cancelled() => {}
        }
        if let Some(session) = self.world.lock().sessions.get_mut(&leased.connection.id) {
            session.cancelled = true;
        }
        asked.await
    }

    /// Looks whether the history has the version; if it has not, or cannot be read, the order ended so.
    async fn read_again(&self, order: &Order<'_>, otherwise: Outcome, by_another: bool) -> Outcome {
        let Ok(leased) = self.connect().await else { return self.unread(order, otherwise) };
        let (tenant, version) = (order.tenant.id.0, order.changeset.version.0);
        let asked = leased.connection.ask_at_once(move |world, _| world.tenants[tenant].has_row(version).cloned());
        let found = asked.await;
        leased.close().await;
        match found {
            Ok(Some(row)) if row.checksum.as_ref().is_some_and(|c| c.parse().is_ok_and(|c| order.text.matches(c))) => {
                applied(by_another)
            }
            // Of whom the row is, and what ran before its answer was lost, nobody knows.
            Ok(Some(_)) if !by_another => self.unread(order, otherwise),
            Ok(Some(_)) => {
                let diagnostic = failed(order, Code::CHANGESET_FAILED).cause("its history has another text");
                failure(diagnostic, Moment::Commit, Left::Unchanged, false)
            }
            Ok(None) => otherwise,
            Err(Gone) => self.unread(order, otherwise),
        }
    }

    /// Only the history tells whether the version is there, by this session or by another run.
    fn unread(&self, order: &Order<'_>, outcome: Outcome) -> Outcome {
        self.lost(order);
        match outcome {
            Outcome::Failed(failed) => Outcome::Failed(Failure { left: Left::Unknown, ..failed }),
            applied @ Outcome::Applied(_) => applied,
        }
    }
}

pub(super) fn applied(by_another: bool) -> Outcome {
    Outcome::Applied(Applied { duration: Duration::ZERO, notices: Vec::new(), by_another })
}

fn message(order: &Order<'_>) -> Message {
    let statements = split(&order.text.sql, Dialect::default_for(order.tenant.datasource.engine()));
    Message {
        run_id: order.run.run_id.clone(),
        tenant: order.tenant.id.0,
        version: order.changeset.version.0,
        name: order.changeset.name.clone(),
        checksum: order.text.checksum(order.width),
        statements: statements.unwrap_or_default().iter().map(|statement| statement.text.to_owned()).collect(),
        applied: attempt(&JournalRow::of(order, AttemptOutcome::Applied), None),
        asynchronous: false,
    }
}

/// Works on a message: history row, text, journal row, commit.
async fn work(backend: Backend, message: Message) -> Option<Said> {
    let (tenant, version) = (message.tenant, message.version);
    let mut tries = 0;
    loop {
        let turn = backend.at_once(|world| {
            if let Some(session) = world.sessions.get_mut(&backend.id) {
                session.transactional = true;
            }
            let state = &mut world.tenants[tenant];
            if state.has_row(version).is_some() {
                return Some(Said::There);
            }
            if state.transaction.is_none() {
                state.transaction = Some(backend.id);
            }
            (state.transaction != Some(backend.id) && tries >= TRIES)
                .then_some(Said::Refused { code: Code::LOCK_TIMEOUT, passes: true })
        })?;
        if turn.is_some() {
            return turn;
        }
        if backend.world.lock().tenants[tenant].transaction == Some(backend.id) {
            break;
        }
        tries += 1;
        backend.pause(10).await?;
    }
    for (idx, _) in message.statements.iter().enumerate() {
        let pause = backend.at_once(|world| world.work_ms(tenant))?;
        backend.pause(pause).await?;
        let refused = backend.at_once(|world| world.refusal(tenant, version, idx as u32 + 1))?;
        let cancelled = backend.at_once(|world| world.sessions[&backend.id].cancelled)?;
        if refused.is_some() || cancelled {
            backend.at_once(|world| world.tenants[tenant].transaction = None)?;
            let said = refused.map(|(code, passes)| Said::Refused { code, passes });
            return Some(said.unwrap_or(Said::Cancelled));
        }
    }
    backend.at_once(|world| world.commit(&backend, &message))?;
    Some(Said::Committed)
}

impl World {
    /// Commits a text, its history row and its journal row in one piece.
    fn commit(&mut self, by: &Backend, message: &Message) {
        let Message { run_id, tenant, version, .. } = message;
        match message.asynchronous {
            true => self.commits_later(*tenant, *version),
            false => self.flushed(self.tenants[*tenant].server),
        }
        for (idx, text) in message.statements.iter().enumerate() {
            self.effect(run_id, by.id, (*tenant, *version, idx as u32 + 1), text);
        }
        let state = &mut self.tenants[*tenant];
        state.transaction = None;
        state.rows.push(history_row(*version, &message.name, message.checksum));
        state.journal(message.applied.clone());
        self.recorded(run_id, *tenant, *version);
    }

    /// Draws how long a statement takes.
    pub fn work_ms(&mut self, tenant: usize) -> u64 {
        let slow = if self.tenants[tenant].slow { 40 } else { 1 };
        self.dice.between(1, 12) * slow
    }

    /// Returns how a statement fails, if it does.
    pub fn refusal(&mut self, tenant: usize, version: i64, statement_no: u32) -> Option<(Code, bool)> {
        if self.broken.contains(&(tenant, version, statement_no)) {
            return Some((Code::CHANGESET_FAILED, false));
        }
        let passing = self.weather.passing;
        self.dice.permille(passing).then_some((Code::LOCK_TIMEOUT, true))
    }
}
