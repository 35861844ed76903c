//! A text whose statements commit by themselves, as MariaDB's do: what [`stepwise`] asks of a session, simulated.
//!
//! A session holds its tenant's work lock from its first message to its end, so that nobody works beside the statement
//! of a dead runner; under it the history is read again, and [`stepwise::unmoved`] looks at the journal, for what the
//! survey saw may be of before.

use crate::engine::stepwise::{self, Fault, Step, Steps, failed, unmoved};
use crate::engine::tables::JournalRow;
use crate::engine::traced::Traced;
use crate::engine::{Left, Moment, Order, Outcome};
use crate::error::{Code, Diagnostic};
use crate::history::{Attempt, Row};
use crate::sql::{Dialect, Statement, split};

use super::server::{Leased, Simulated, failure, unsent};
use super::state::{attempt, creates, history_row};
use super::whole::applied;
use super::wire::{Backend, Connection, Gone};
use super::world::World;

/// How long a session waits for the work lock, in tries of ten milliseconds.
const TRIES: u32 = 200;

/// What a session finds when it has entered a tenant.
enum Entered {
    Ready,
    /// Another session is at work there.
    Busy,
    /// Another run has applied it meanwhile; whether the same text.
    There(bool),
}

/// One order's session.
struct SimulatedSteps<'s> {
    server: &'s Simulated,
    order: &'s Order<'s>,
    connection: &'s Connection,
    /// Whether the text was recorded along with its last statement.
    recorded: bool,
}

impl Simulated {
    pub(super) async fn by_statements(&self, order: &Order<'_>) -> Outcome {
        let leased = match self.connect().await {
            Ok(leased) => leased,
            Err(why) => return unsent(order, &why),
        };
        let outcome = self.entered(order, &leased).await;
        leased.close().await;
        outcome
    }

    async fn entered(&self, order: &Order<'_>, leased: &Leased<'_>) -> Outcome {
        let (tenant, version) = (order.tenant.id.0, order.changeset.version.0);
        let text = order.text.clone();
        let asked = leased.connection.ask(|backend| async move {
            for _ in 0..TRIES {
                let entered = backend.at_once(|world| world.enter(&backend, tenant))?;
                if entered {
                    return backend.at_once(|world| {
                        let state = &world.tenants[tenant];
                        if let Some(row) = state.has_row(version) {
                            let sum = row.checksum.as_ref().and_then(|sum| sum.parse().ok());
                            return Entered::There(sum.is_some_and(|sum| text.matches(sum)));
                        }
                        Entered::Ready
                    });
                }
                backend.pause(10).await?;
            }
            Some(Entered::Busy)
        });
        let half = |code: Code, cause: &str, left: Left| {
            failure(failed(order, code).cause(cause), Moment::Prepare, left, false)
        };
        match asked.await {
            Ok(Entered::Ready) => {}
            Ok(Entered::There(true)) => return applied(true),
            Ok(Entered::There(false)) => {
                return half(Code::CHANGESET_FAILED, "its history has another text", Left::Unchanged);
            }
            Ok(Entered::Busy) => {
                self.lost(order);
                return half(Code::OUTCOME_UNKNOWN, "a statement of an earlier run is still at work", Left::Unknown);
            }
            Err(Gone) => return unsent(order, &failed(order, Code::UNREACHABLE)),
        }
        let dialect = Dialect::default_for(order.tenant.datasource.engine());
        let statements = match split(&order.text.sql, dialect) {
            Ok(statements) => statements,
            Err(_) => return half(Code::BROKEN_SQL, "it cannot be split", Left::Unchanged),
        };
        let mut steps = SimulatedSteps { server: self, order, connection: &leased.connection, recorded: false };
        stepwise::apply(order, &statements, &mut steps).await
    }
}

impl Steps for SimulatedSteps<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::default_for(self.order.tenant.datasource.engine())
    }

    async fn prepare(&mut self) -> Result<(), Fault> {
        let tenant = self.order.tenant.id.0;
        let asked = self.connection.ask_at_once(move |world, _| {
            world.tenants[tenant].last.as_ref().map(|last| (last.id, last.run_id.clone()))
        });
        let last = asked.await.map_err(|Gone| self.lost())?;
        unmoved(self.order, last.as_ref().map(|(id, run_id)| (*id, run_id.as_str()))).inspect_err(|_| {
            // What another run made of the tenant is not known, though no connection broke.
            self.server.lost(self.order);
        })
    }

    async fn set_again(&mut self, _statement: &Statement<'_>) -> Result<(), Fault> {
        self.connection.ask_at_once(|_, _| ()).await.map_err(|Gone| self.lost())
    }

    /// Some tenants have a table that does not roll back.
    async fn rolls_back(&mut self) -> Result<bool, Fault> {
        let rolls_back = !self.order.tenant.id.0.is_multiple_of(3);
        self.connection.ask_at_once(move |_, _| rolls_back).await.map_err(|Gone| self.lost())
    }

    async fn run(&mut self, step: Step<'_>) -> Result<(), Fault> {
        let Step { statement, intent, ahead, last } = step;
        let tenant = self.order.tenant.id.0;
        let (version, no) = (self.order.changeset.version.0, intent.statement.as_ref().map_or(0, |m| m.statement_no));
        let real = self.no_of(statement);
        let (run_id, text) = (self.order.run.run_id.clone(), statement.text.to_owned());
        let (atomic, traced) = (intent.is_atomic(), intent.trace.clone());
        let ahead = ahead.map(|row| attempt(&row, row.trace.as_ref().map(Traced::head)));
        let intent = attempt(&intent, traced.as_ref().map(Traced::head));
        // On some tenants the record travels along, as MariaDB's does behind a definition.
        let last = last.filter(|_| tenant.is_multiple_of(2));
        let last = last.map(|row| (history_row(row.version, row.name, row.checksum), attempt(&row, None)));
        let asked = self.connection.ask(move |backend| async move {
            let pause = backend.at_once(|world| {
                world.tell(format!("t{tenant} V{version} begins statement {no} by {run_id}"));
                let state = world.durable(tenant);
                if let Some(ahead) = ahead {
                    state.journal(ahead);
                }
                if !atomic {
                    let trace = traced.map(|traced| state.traced(&traced));
                    state.journal(Attempt { trace, ..intent.clone() });
                }
                world.work_ms(tenant)
            })?;
            backend.pause(pause).await?;
            let done = backend.at_once(|world| {
                if let Some(refusal) = world.refusal(tenant, version, real) {
                    return Err(refusal);
                }
                let there = |name: &String| world.tenants[tenant].objects.contains_key(name);
                if creates(&text).is_some_and(|(name, _)| there(&name)) {
                    return Err((Code::CHANGESET_FAILED, false));
                }
                let state = world.durable(tenant);
                if atomic {
                    state.journal(intent);
                }
                world.effect(&run_id, backend.id, (tenant, version, real), &text);
                Ok(())
            })?;
            let (Ok(()), Some((history, row))) = (done, last) else { return Some(done.map(|()| false)) };
            backend.pause(1).await?;
            backend.at_once(|world| {
                record(world, &run_id, tenant, history, row);
                Ok(true)
            })
        });
        match asked.await {
            Ok(Ok(recorded)) => {
                self.recorded = recorded;
                Ok(())
            }
            Ok(Err((code, retry))) => {
                Err(Fault::Refused { diagnostic: failed(self.order, code).cause("the server refused it"), retry })
            }
            Err(Gone) => Err(self.lost()),
        }
    }

    async fn check(&mut self) -> Result<(), Fault> {
        if self.recorded {
            return Ok(());
        }
        self.connection.ask_at_once(|_, _| ()).await.map_err(|Gone| self.lost())
    }

    async fn finish(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        if self.recorded {
            return Ok(());
        }
        let (tenant, run_id) = (self.order.tenant.id.0, self.order.run.run_id.clone());
        let history = history_row(row.version, row.name, row.checksum);
        let row = attempt(&row, None);
        let asked = self.connection.ask_at_once(move |world, _| record(world, &run_id, tenant, history, row));
        asked.await.map_err(|Gone| self.lost())
    }

    async fn note(&mut self, row: JournalRow<'_>) -> Result<(), Fault> {
        let (tenant, row) = (self.order.tenant.id.0, attempt(&row, None));
        let asked = self.connection.ask_at_once(move |world, _| {
            world.tell(format!("t{tenant} {:?} at statement {:?}", row.outcome, row.statement_no));
            world.durable(tenant).journal(row);
        });
        asked.await.map_err(|Gone| {
            let diagnostic = Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, "the journal could not be written");
            Fault::Refused { diagnostic, retry: false }
        })
    }

    fn notices(&mut self) -> Vec<String> {
        Vec::new()
    }
}

impl SimulatedSteps<'_> {
    fn lost(&self) -> Fault {
        Fault::Lost(self.server.lost(self.order))
    }

    /// Returns the number of a statement by its place in the text, whatever the intent says.
    fn no_of(&self, statement: &Statement<'_>) -> u32 {
        let before = &self.order.text.sql[..statement.offset];
        before.matches(';').count() as u32 + 1
    }
}

/// Writes history and journal together.
fn record(world: &mut World, run_id: &str, tenant: usize, history: Row, row: Attempt) {
    let version = row.version.0;
    world.durable(tenant).rows.push(history);
    world.tenants[tenant].journal(row);
    world.recorded(run_id, tenant, version);
}

impl World {
    /// A session takes a tenant's work lock, if it is free.
    fn enter(&mut self, by: &Backend, tenant: usize) -> bool {
        if self.is_worked_on(tenant, Some(by.id)) {
            return false;
        }
        if let Some(session) = self.sessions.get_mut(&by.id) {
            session.works_on = Some(tenant);
        }
        true
    }
}
