//! What stands between two waves: a pause, checks, a person.
//!
//! The core knows neither programs nor terminals: [`Gates`] runs commands and asks. Meanwhile the run holds its locks, and
//! looks from time to time whether it still does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream;
use tokio::time::{Instant, sleep, timeout};

use crate::engine::Answer;
use crate::error::{Code, Diagnostic, ExitStatus, count, names, plain, short};
use crate::plan::{Gate, Leg, Plan};
use crate::tenant::{Check, ServerId, Tenant, Wave, WaveCheck};

use super::event::{Condition, Ending, Event, RunOutcome};
use super::judge::Refusal;
use super::locks::Locks;
use super::run::{Run, ended, refused};
use super::survey::{READINGS, Survey};
use super::verdict::Verdict;

/// How often the locks are looked at while a gate is shut. It also keeps their connections from being idle for long.
const LOOK: Duration = Duration::from_secs(30);

/// How many tenants one message names.
const NAMES: usize = 5;

/// How much of an answer one message shows, in characters.
const SHOWN: usize = 120;

/// What opens gates beside time and queries.
pub trait Gates: fmt::Debug + Send + Sync {
    /// Returns whether a person can be asked, or has said yes to everything.
    fn can_confirm(&self) -> bool;

    /// Runs a command and waits for its end. Dropping the future ends the command.
    ///
    /// # Errors
    /// How it ended otherwise than with exit status 0.
    fn run<'a>(&'a self, command: &'a [String], between: &'a Between<'a>) -> BoxFuture<'a, Result<(), Failing>>;

    /// Asks a person whether the run goes on. Asked only where [`Gates::can_confirm`].
    fn confirm<'a>(&'a self, between: &'a Between<'a>) -> BoxFuture<'a, bool>;

    /// Waits until the commands that were dropped have ended. It has a limit of its own.
    fn settled(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Where a run stands at a gate.
#[derive(Clone, Debug)]
pub struct Between<'b> {
    /// The run.
    pub run_id: &'b str,
    /// The wave that has the version.
    pub wave: &'b str,
    /// The wave that is next.
    pub next: &'b str,
    /// The version, `42`.
    pub version: String,
    /// Its changeset, `V42__orders`.
    pub title: String,
    /// The names of the wave's tenants, in the fleet's order.
    pub tenants: Vec<&'b str>,
    /// How the fleet stands, in words.
    pub fleet: String,
}

/// How a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// In words: `exit status 3`.
    pub how: String,
    /// The last of what it printed.
    pub tail: String,
}

/// Nobody runs commands, and nobody can be asked: every gate that needs one stays shut.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGates;

impl Gates for NoGates {
    fn can_confirm(&self) -> bool {
        false
    }

    fn run<'a>(&'a self, _command: &'a [String], _between: &'a Between<'a>) -> BoxFuture<'a, Result<(), Failing>> {
        let how = "this program runs no commands".to_owned();
        Box::pin(async { Err(Failing { how, tail: String::new() }) })
    }

    fn confirm<'a>(&'a self, _between: &'a Between<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }
}

/// Why a gate stays shut.
enum Shut {
    Interrupted,
    LockLost(Diagnostic),
    Failed(Diagnostic),
}

impl Run<'_> {
    /// Returns the legs of a plan.
    pub(crate) fn legs(&self, survey: &Survey, plan: &Plan) -> Vec<Leg> {
        plan.legs(self.scope.fleet, survey.positions().map(|(tenant, position)| (tenant, &*position.applied)))
    }

    /// Refuses a plan that a person must confirm where none can be asked.
    pub(crate) fn can_be_confirmed(&self, survey: &Survey, plan: &Plan) -> Result<(), Refusal> {
        if self.options.gates.can_confirm() {
            return Ok(());
        }
        let rollout = &self.scope.fleet.rollout;
        let asks = |gate: &Gate| rollout.waves.get(gate.wave.0).is_some_and(|wave| wave.confirm);
        let legs = self.legs(survey, plan);
        let Some(gate) = legs.iter().flat_map(|leg| &leg.gates).find(|gate| asks(gate)) else { return Ok(()) };
        let message = format!("wave {} must be confirmed, and there is nobody to ask", plain(rollout.name(gate.wave)));
        Err(refused(
            Diagnostic::new(Code::NOT_CONFIRMED, message)
                .cause("standard input and standard error are no terminal, or stderr is written as JSON")
                .state("nothing was changed")
                .hint(
                    "run `mtmigrate up` in a terminal, or say yes to every wave beforehand with `mtmigrate up --yes`",
                ),
        ))
    }

    /// Waits until every gate before a leg is open. Returns how the run ends if one stays shut.
    pub(crate) async fn pass(&self, locks: &Locks<'_>, leg: &Leg, verdict: &Verdict<'_>) -> Result<(), Box<Ending>> {
        for gate in &leg.gates {
            let verdict = Verdict { version: gate.version, ..*verdict };
            let (between, tenants) = self.between(gate, leg, &verdict);
            let Some(wave) = self.scope.fleet.rollout.waves.get(gate.wave.0) else { continue };
            for (condition, check) in with_checks(wave) {
                let (version, wave) = (gate.version, between.wave.to_owned());
                let waiting = Event::GateWaiting { version, wave: wave.clone(), condition: condition.clone() };
                (self.events)(waiting);
                let began = Instant::now();
                let met = self.meet(locks, &condition, check, &between, &tenants).await;
                let elapsed = began.elapsed();
                match met {
                    Ok(()) => (self.events)(Event::GatePassed { version, wave, condition, elapsed }),
                    Err(shut) => {
                        (self.events)(Event::GateShut { version, wave, condition, elapsed });
                        return Err(Box::new(self.shut(shut, &between)));
                    }
                }
            }
        }
        Ok(())
    }

    fn between<'b>(&'b self, gate: &Gate, leg: &Leg, verdict: &Verdict<'b>) -> (Between<'b>, Vec<&'b Tenant>) {
        let (fleet, changelog) = (self.scope.fleet, self.scope.changelog);
        let of_wave = |tenant: &&Tenant| tenant.wave == gate.wave;
        let tenants: Vec<&Tenant> =
            verdict.survey.positions().map(|(id, _)| fleet.tenant(id)).filter(of_wave).collect();
        let title = changelog.get(gate.version).map_or_else(|| format!("V{}", gate.version), ToString::to_string);
        let between = Between {
            run_id: &self.run.run_id,
            wave: fleet.rollout.name(gate.wave),
            next: leg.wave.map_or_else(Default::default, |wave| fleet.rollout.name(wave)),
            version: gate.version.to_string(),
            title,
            tenants: tenants.iter().map(|tenant| tenant.name.as_str()).collect(),
            fleet: verdict.fleet(&Default::default()),
        };
        (between, tenants)
    }

    /// Waits until a condition is met, somebody asks to stop, or a lock is lost.
    async fn meet(
        &self,
        locks: &Locks<'_>,
        condition: &Condition,
        check: Option<&WaveCheck>,
        between: &Between<'_>,
        tenants: &[&Tenant],
    ) -> Result<(), Shut> {
        let met = async {
            match (condition, check) {
                (Condition::Pause(time), _) => {
                    sleep(*time).await;
                    Ok(())
                }
                (Condition::Confirmation, _) => match self.options.gates.confirm(between).await {
                    true => Ok(()),
                    false => Err(not_confirmed(between)),
                },
                (Condition::Check { timeout: limit, .. }, Some(check)) => {
                    let failed = match timeout(*limit, self.ask(check, between, tenants)).await {
                        Ok(answer) => answer.err(),
                        Err(_) => {
                            let late = format!("it did not end within {}", humantime::format_duration(*limit));
                            Some(failed(check, between).cause(late))
                        }
                    };
                    failed.map_or(Ok(()), Err)
                }
                (Condition::Check { .. }, None) => Ok(()),
            }
        };
        let met = tokio::select! {
            biased;
            () = self.stop.wait() => Err(Shut::Interrupted),
            met = met => met.map_err(Shut::Failed),
            lost = lost(locks) => Err(Shut::LockLost(lost)),
        };
        // Under the locks: the next run does not meet a command of this one.
        self.options.gates.settled().await;
        met
    }

    /// # Errors
    /// What the check found, without state and hint.
    async fn ask(&self, check: &WaveCheck, between: &Between<'_>, tenants: &[&Tenant]) -> Result<(), Diagnostic> {
        match &check.what {
            Check::Command(words) => self.options.gates.run(words, between).await.map_err(|Failing { how, tail }| {
                let said = failed(check, between).cause(how);
                if tail.is_empty() { said } else { said.cause(format!("the last of what it printed:\n{tail}")) }
            }),
            Check::Sql(query) => {
                let wrong = self.query(query, tenants).await;
                let Some((first, why)) = wrong.first() else { return Ok(()) };
                let (many, whose) = (count(wrong.len(), "tenant"), names(wrong.iter().map(|(name, _)| *name), NAMES));
                Err(failed(check, between).cause(format!("on {many}: {whose}")).cause(format!("{first}: {why}")))
            }
        }
    }

    /// Asks a query of these tenants. Returns whose answer was not one true value, in the fleet's order, and what it was.
    async fn query<'t>(&self, query: &str, tenants: &[&'t Tenant]) -> Vec<(&'t str, String)> {
        let mut by_server: BTreeMap<ServerId, Vec<&'t Tenant>> = BTreeMap::new();
        for tenant in tenants {
            by_server.entry(tenant.server).or_default().push(tenant);
        }
        let per_server = by_server.into_iter().map(|(id, tenants)| async move {
            let server = &self.scope.servers[id.0];
            let asked = stream::iter(tenants).map(|tenant| async move {
                let answer = server.ask(tenant, query, 1).await;
                (tenant, answer.map_err(|error| error.one_line()).and_then(is_true))
            });
            asked.buffer_unordered(READINGS.min(server.width()).max(1)).collect::<Vec<_>>().await
        });
        let answers = join_all(per_server).await.into_iter().flatten();
        let mut wrong: Vec<_> = answers.filter_map(|(tenant, answer)| Some((tenant, answer.err()?))).collect();
        wrong.sort_by_key(|(tenant, _)| tenant.id);
        wrong.into_iter().map(|(tenant, why)| (tenant.name.as_str(), why)).collect()
    }

    fn shut(&self, shut: Shut, between: &Between<'_>) -> Ending {
        let again = "then run `mtmigrate up` again: finished tenants are skipped";
        let (outcome, exit, said) = match shut {
            Shut::Interrupted => {
                let message =
                    format!("the run was interrupted after wave {}, at V{}", plain(between.wave), between.version);
                let said = Diagnostic::new(Code::CANCELLED, message);
                let hint = "run `mtmigrate up` again: finished tenants are skipped, and what stands after the wave is asked again";
                (RunOutcome::Interrupted, self.stop.exit(), said.hint(hint))
            }
            Shut::LockLost(lost) => {
                (RunOutcome::Halted, ExitStatus::Failed, lost.hint(format!("see why its session ended, {again}")))
            }
            Shut::Failed(said) => {
                let hint = match said.code() {
                    Code::REFUSED_BY_PERSON => {
                        "`mtmigrate up` asks again and goes on with the next wave; finished tenants are skipped"
                            .to_owned()
                    }
                    _ => format!("mend what it found, {again}, and the check is asked again"),
                };
                (RunOutcome::Halted, ExitStatus::Failed, said.hint(hint))
            }
        };
        let state = format!("{}; wave {} was not begun", between.fleet, plain(between.next));
        Ending { diagnostics: vec![said.state(state)], ..ended(outcome, exit) }
    }
}

/// Returns what stands after a wave, in order.
pub fn conditions(wave: &Wave) -> Vec<Condition> {
    with_checks(wave).into_iter().map(|(condition, _)| condition).collect()
}

/// Let it run, look, ask: each with the check that it is.
fn with_checks(wave: &Wave) -> Vec<(Condition, Option<&WaveCheck>)> {
    let mut all = Vec::new();
    if !wave.pause.is_zero() {
        all.push((Condition::Pause(wave.pause), None));
    }
    all.extend(wave.checks.iter().map(|check| {
        let sql = matches!(check.what, Check::Sql(_));
        (Condition::Check { sql, words: check.shown.clone(), timeout: check.timeout }, Some(check))
    }));
    if wave.confirm {
        all.push((Condition::Confirmation, None));
    }
    all
}

/// Ends when a lock is not held any more.
async fn lost(locks: &Locks<'_>) -> Diagnostic {
    loop {
        sleep(LOOK).await;
        if let Err(lost) = locks.check().await {
            return lost;
        }
    }
}

/// One row with one value that is true as one of the engines writes it.
fn is_true(answer: Answer) -> Result<(), String> {
    let rows: Vec<&[Option<String>]> = answer.rows.iter().map(Vec::as_slice).collect();
    match rows.as_slice() {
        [[Some(value)]] if ["t", "true", "1"].contains(&value.as_str()) => Ok(()),
        [[Some(value)]] => Err(format!("it answered `{}`, and not true", short(&plain(value), SHOWN))),
        [[None]] => Err("it answered NULL, and not true".to_owned()),
        [] => Err("it answered no row".to_owned()),
        [columns] => Err(format!("it answered {}, and not one", count(columns.len(), "column"))),
        rows => Err(format!("it answered {}, and not one", count(rows.len(), "row"))),
    }
}

fn failed(check: &WaveCheck, between: &Between<'_>) -> Diagnostic {
    let kind = if matches!(check.what, Check::Sql(_)) { "SQL check" } else { "check" };
    let (shown, wave) = (short(&plain(&check.shown), SHOWN), plain(between.wave));
    Diagnostic::new(Code::CHECK_FAILED, format!("the {kind} `{shown}` after wave {wave} failed at {}", between.title))
}

fn not_confirmed(between: &Between<'_>) -> Diagnostic {
    let message = format!("wave {} was not confirmed at {}", plain(between.wave), between.title);
    Diagnostic::new(Code::REFUSED_BY_PERSON, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_passes_with_one_true_value_alone() {
        let answer = |rows: &[&[Option<&str>]]| {
            let row = |row: &&[Option<&str>]| row.iter().map(|value| value.map(str::to_owned)).collect();
            is_true(Answer { columns: Vec::new(), rows: rows.iter().map(row).collect() })
        };
        for value in ["t", "true", "1"] {
            assert_eq!(answer(&[&[Some(value)]]), Ok(()));
        }
        let cases: [(&[&[Option<&str>]], &str); 6] = [
            (&[], "it answered no row"),
            (&[&[Some("f")]], "it answered `f`, and not true"),
            (&[&[Some("2")]], "it answered `2`, and not true"),
            (&[&[None]], "it answered NULL, and not true"),
            (&[&[Some("t"), Some("t")]], "it answered 2 columns, and not one"),
            (&[&[Some("t")], &[Some("t")]], "it answered 2 rows, and not one"),
        ];
        for (rows, why) in cases {
            assert_eq!(answer(rows), Err(why.to_owned()));
        }
    }
}
