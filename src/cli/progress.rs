//! What the console shows of a run while it goes on: a fold of its events to lines of text.
//!
//! Pure: time is given to it. [`super::screen`] draws.

mod step;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::changeset::Version;
use crate::error::{count, plain, short};
use crate::lockstep::barrier::Decision;
use crate::lockstep::{Condition, Event};

use super::console::Pace;

use step::{Step, clock, spell};

/// How long a step stays silent where nothing is rewritten.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a pause between two waves does.
const LONG_SILENCE: Duration = Duration::from_secs(600);

/// How many finished steps a log gets where nothing is rewritten.
const LINES: usize = 40;

/// The longest name of what a gate waits for, in characters.
const GATE: usize = 100;

/// What ends a run and takes no longer has no line of its own.
const NOTICED: Duration = Duration::from_secs(1);

/// A run as far as it has come.
pub(super) struct Progress {
    pace: Pace,
    phase: Phase,
    /// What the last survey found: tenants behind, steps.
    surveyed: Option<(usize, usize)>,
    stopping: Option<&'static str>,
}

enum Phase {
    Idle,
    Reading {
        tenants: usize,
        since: Instant,
    },
    Waiting {
        server: String,
        since: Instant,
    },
    Step(Step),
    /// Between two waves: at which, for what, and until when where that is known.
    Gate {
        head: String,
        until: Option<Instant>,
        since: Instant,
        told: Instant,
    },
}

impl Progress {
    /// Starts before the first event.
    pub fn new(pace: Pace) -> Self {
        Self { pace, phase: Phase::Idle, surveyed: None, stopping: None }
    }

    /// Takes an event; returns the line that it leaves behind, if it leaves one.
    pub fn fold(&mut self, event: &Event, now: Instant) -> Option<String> {
        if self.pace == Pace::Silent {
            return None;
        }
        match event {
            Event::RunStarted { tenants, .. } => {
                self.phase = Phase::Reading { tenants: *tenants, since: now };
                None
            }
            Event::Surveyed { readable, behind, steps, elapsed } => {
                self.surveyed(*readable, (*behind, *steps), *elapsed)
            }
            Event::LockWaiting { server, holder } => {
                let since = match &self.phase {
                    Phase::Waiting { since, .. } => *since,
                    _ => now,
                };
                self.phase = Phase::Waiting { server: plain(server), since };
                Some(format!("waiting for the lock on server {}, held by {}", plain(server), plain(holder)))
            }
            Event::LockTaken { waited, .. } => {
                let waiting = matches!(self.phase, Phase::Waiting { .. });
                self.phase = Phase::Idle;
                waiting.then(|| format!("got the lock after {}", spell(*waited)))
            }
            // The report tells of it with the tenant's name.
            Event::TenantSettled { .. } => None,
            Event::BudgetLowered { server, from, to } => Some(format!(
                "server {} has fewer free connections than its budget: going on with {to} at once there instead of {from}",
                plain(server)
            )),
            Event::StepStarted { title, wave, tenants, step_no, steps, .. } => {
                self.phase = Phase::Step(Step::new(title, wave.as_deref(), (*step_no, *steps), *tenants, now));
                None
            }
            Event::GateWaiting { version, wave, condition } => {
                let head = gate(*version, wave, condition);
                let until = match condition {
                    Condition::Pause(time) => now.checked_add(*time),
                    _ => None,
                };
                // A person's answer stands where the rewritten line would be, and a check may print a lot below its name.
                self.phase = match condition {
                    Condition::Confirmation => Phase::Idle,
                    _ => Phase::Gate { head: head.clone(), until, since: now, told: now },
                };
                match condition {
                    Condition::Pause(_) if self.pace == Pace::Live => None,
                    Condition::Confirmation => None,
                    _ => Some(head),
                }
            }
            Event::GatePassed { version, wave, condition, elapsed } => {
                self.gate_over(*version, wave, condition, "passed", *elapsed)
            }
            Event::GateShut { version, wave, condition, elapsed } => {
                self.gate_over(*version, wave, condition, "not passed", *elapsed)
            }
            Event::TenantStarted { .. } => self.step(Step::tenant_started),
            Event::TenantApplied { .. } => self.step(Step::tenant_applied),
            Event::TenantFailed { .. } => self.step(Step::tenant_failed),
            Event::TenantRetried { .. } | Event::TenantNotStarted { .. } => None,
            Event::Barrier { tally, decision, elapsed, .. } => {
                let phase = std::mem::replace(&mut self.phase, Phase::Idle);
                let Phase::Step(step) = phase else { return None };
                let halted = *decision != Decision::Proceed;
                (halted || self.told(&step)).then(|| step.ended(tally, halted, *elapsed))
            }
            Event::Verified { tenants, .. } => self.step(|step| step.verified(*tenants)),
            Event::Diverged { .. } => None,
            Event::Recorded { tenants, elapsed } if *elapsed >= NOTICED => {
                Some(format!("recorded {} in {}", count(*tenants, "schema"), spell(*elapsed)))
            }
            Event::Recorded { .. } => None,
            Event::Stopping { hard } => {
                self.stopping = Some(if *hard { "rolling back: " } else { "stopping: " });
                None
            }
            Event::RunFinished(_) => {
                self.phase = Phase::Idle;
                None
            }
        }
    }

    /// Returns the line that is rewritten, while there is something to say.
    pub fn live(&self, now: Instant) -> Option<String> {
        if self.pace != Pace::Live {
            return None;
        }
        let line = match &self.phase {
            Phase::Idle => return None,
            Phase::Reading { tenants, since } => {
                format!("reading {}  {}", count(*tenants, "tenant"), clock(now - *since))
            }
            Phase::Waiting { server, since } => {
                format!("waiting for the lock on server {server}  {}", clock(now - *since))
            }
            Phase::Step(step) => step.live(now),
            Phase::Gate { head, until: Some(until), .. } => {
                format!("{head}  {} left", clock(until.saturating_duration_since(now)))
            }
            Phase::Gate { head, since, .. } => format!("{head}  {}", clock(now - *since)),
        };
        Some(format!("{}{line}", self.stopping.unwrap_or_default()))
    }

    /// Returns a sign of life, where nothing is rewritten and a step has been silent for long.
    pub fn tick(&mut self, now: Instant) -> Option<String> {
        if let (Phase::Gate { head, until, since, told }, Pace::Sparse) = (&mut self.phase, self.pace) {
            // A pause may last for days.
            let silence = if until.is_some() { LONG_SILENCE } else { SILENCE };
            if now - *told < silence {
                return None;
            }
            *told = now;
            return Some(format!("{head}, since {}", clock(now - *since)));
        }
        let Phase::Step(step) = &mut self.phase else { return None };
        if self.pace != Pace::Sparse || step.silent_for(now) < SILENCE {
            return None;
        }
        Some(step.sign_of_life(now))
    }

    /// Says how a gate went.
    fn gate_over(
        &mut self,
        version: Version,
        wave: &str,
        condition: &Condition,
        how: &str,
        elapsed: Duration,
    ) -> Option<String> {
        self.phase = Phase::Idle;
        Some(format!("{}: {how} after {}", gate(version, wave, condition), spell(elapsed)))
    }

    fn step(&mut self, change: impl FnOnce(&mut Step)) -> Option<String> {
        if let Phase::Step(step) = &mut self.phase {
            change(step);
        }
        None
    }

    /// The second survey, under the lock, is told only if another run changed something in between.
    fn surveyed(&mut self, readable: usize, found: (usize, usize), elapsed: Duration) -> Option<String> {
        let before = self.surveyed.replace(found);
        self.phase = Phase::Idle;
        if before == Some(found) {
            return None;
        }
        let again = if before.is_some() { " again" } else { "" };
        let read = format!("read {}{again} in {}", count(readable, "tenant"), spell(elapsed));
        match found {
            (0, _) => Some(read),
            (behind, steps) => Some(format!("{read}: {behind} behind, {} to go", count(steps, "step"))),
        }
    }

    /// Of many steps a log gets every n-th and the last.
    fn told(&self, step: &Step) -> bool {
        let every = step.steps.div_ceil(LINES);
        self.pace == Pace::Live || step.step_no == step.steps || step.step_no.is_multiple_of(every)
    }
}

/// `V3  after wave canary  check ./smoke-test`.
fn gate(version: Version, wave: &str, condition: &Condition) -> String {
    format!("V{version}  after wave {}  {}", plain(wave), short(&plain(&condition.to_string()), GATE))
}
