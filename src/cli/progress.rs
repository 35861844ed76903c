//! What the console shows of a run while it goes on: a fold of its events to lines of text.
//!
//! Pure: time is given to it. [`super::screen`] draws.

mod step;

use std::time::{Duration, Instant};

use crate::error::{count, plain};
use crate::lockstep::Event;
use crate::lockstep::barrier::Decision;

use super::console::Pace;

use step::{Step, clock, spell};

/// How long a step stays silent where nothing is rewritten.
const SILENCE: Duration = Duration::from_secs(30);

/// How many finished steps a log gets where nothing is rewritten.
const LINES: usize = 40;

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
    Reading { tenants: usize, since: Instant },
    Waiting { server: String, since: Instant },
    Step(Step),
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
            Event::StepStarted { title, tenants, step_no, steps, .. } => {
                self.phase = Phase::Step(Step::new(title, (*step_no, *steps), *tenants, now));
                None
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
        };
        Some(format!("{}{line}", self.stopping.unwrap_or_default()))
    }

    /// Returns a sign of life, where nothing is rewritten and a step has been silent for long.
    pub fn tick(&mut self, now: Instant) -> Option<String> {
        let Phase::Step(step) = &mut self.phase else { return None };
        if self.pace != Pace::Sparse || step.silent_for(now) < SILENCE {
            return None;
        }
        Some(step.sign_of_life(now))
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

#[cfg(test)]
mod tests {
    use crate::changeset::Version;
    use crate::engine::{Applied, Failure, Left, Moment};
    use crate::error::{Code, Diagnostic};
    use crate::lockstep::barrier::{Reason, Tally};
    use crate::tenant::TenantId;

    use super::*;

    /// A run under a clock that stands until it is moved; every line that is left is kept.
    struct Told {
        progress: Progress,
        start: Instant,
        now: Duration,
        lines: Vec<String>,
    }

    impl Told {
        fn at(pace: Pace) -> Self {
            Self { progress: Progress::new(pace), start: Instant::now(), now: Duration::ZERO, lines: Vec::new() }
        }

        fn fold(&mut self, event: Event) -> &mut Self {
            self.lines.extend(self.progress.fold(&event, self.start + self.now));
            self
        }

        fn later(&mut self, seconds: u64) -> &mut Self {
            self.now += Duration::from_secs(seconds);
            self.lines.extend(self.progress.tick(self.start + self.now));
            self
        }

        fn live(&self) -> Option<String> {
            self.progress.live(self.start + self.now)
        }

        fn step(&mut self, step_no: usize, steps: usize, tenants: usize) -> &mut Self {
            let version = Version(step_no as i64);
            let title = format!("V{step_no}__x");
            self.fold(Event::StepStarted { version, title, tenants, step_no, steps })
        }

        fn barrier(&mut self, tally: Tally, decision: Decision) -> &mut Self {
            self.fold(Event::Barrier { version: Version(1), tally, decision, elapsed: Duration::from_secs(12) })
        }
    }

    fn started() -> Event {
        Event::RunStarted { run_id: "r".into(), tenants: 3, quarantined: 0, target: None }
    }

    fn surveyed(behind: usize, steps: usize) -> Event {
        Event::Surveyed { readable: 3, behind, steps, elapsed: Duration::from_millis(420) }
    }

    fn starts(tenant: usize) -> Event {
        Event::TenantStarted { tenant: TenantId(tenant), version: Version(1) }
    }

    fn applied(tenant: usize) -> Event {
        let applied = Applied { duration: Duration::ZERO, notices: Vec::new(), by_another: false };
        Event::TenantApplied { tenant: TenantId(tenant), version: Version(1), applied, skipped: false }
    }

    fn fails(tenant: usize) -> Event {
        let failure = Failure {
            diagnostic: Diagnostic::new(Code::CHANGESET_FAILED, "x"),
            moment: Moment::Execute,
            left: Left::Unchanged,
            retry: false,
            duration: Duration::ZERO,
        };
        Event::TenantFailed { tenant: TenantId(tenant), version: Version(1), failure }
    }

    #[test]
    fn a_terminal_has_one_line_that_is_rewritten_and_one_that_stays_for_each_step() {
        let mut told = Told::at(Pace::Live);
        assert_eq!(told.live(), None);
        told.fold(started()).later(2);
        assert_eq!(told.live().unwrap(), "reading 3 tenants  2 s");
        told.fold(surveyed(3, 2)).step(1, 2, 3).fold(starts(0)).fold(starts(1)).fold(applied(0)).later(65);
        assert_eq!(
            told.live().unwrap(),
            "V1__x  step 1 of 2  [======--------------] 1/3 tenants, 1 in flight  1 min 5 s"
        );
        told.fold(fails(1));
        assert_eq!(
            told.live().unwrap(),
            "V1__x  step 1 of 2  [======--------------] 1/3 tenants, 1 failed, 0 in flight  1 min 5 s"
        );
        let tally = Tally { applied: 1, failed: 1, not_started: 1, ..Tally::default() };
        told.barrier(tally, Decision::Halt(Reason::Failed));
        assert_eq!(told.live(), None);
        assert_eq!(
            told.lines,
            [
                "read 3 tenants in 420 ms: 3 behind, 2 steps to go",
                "V1__x  step 1 of 2  1 applied, 1 failed, 1 not started in 12 s: halted",
            ]
        );
    }

    #[test]
    fn that_schemas_are_alike_stands_in_the_line_of_the_step() {
        let mut told = Told::at(Pace::Live);
        told.fold(started()).step(1, 1, 1).fold(starts(0)).fold(applied(0)).later(2);
        assert_eq!(
            told.live().unwrap(),
            "V1__x  step 1 of 1  [====================] 1/1 tenants, comparing schemas  2 s"
        );
        let elapsed = Duration::from_millis(3);
        told.fold(Event::Verified { version: Version(1), tenants: 200, cohorts: 2, elapsed });
        told.barrier(Tally { applied: 1, ..Tally::default() }, Decision::Proceed);
        told.fold(Event::Recorded { tenants: 1, elapsed });
        told.fold(Event::Recorded { tenants: 5000, elapsed: Duration::from_secs(2) });
        assert_eq!(told.lines, ["V1__x  step 1 of 1  1 applied, 200 alike in 12 s", "recorded 5000 schemas in 2.0 s"]);
        let mut told = Told::at(Pace::Sparse);
        let diverged = Tally { applied: 3, diverged: 1, ..Tally::default() };
        told.step(7, 99, 3).fold(Event::Diverged { tenant: TenantId(0), version: Version(1) });
        told.barrier(diverged, Decision::Halt(Reason::Diverged));
        assert_eq!(told.lines, ["V7__x  step 7 of 99  3 applied, 1 diverged in 12 s: halted"]);
    }

    #[test]
    fn without_a_terminal_a_long_step_gives_a_sign_of_life_every_30_seconds() {
        let mut told = Told::at(Pace::Sparse);
        told.fold(started()).step(1, 1, 2).fold(starts(0)).later(29).later(1).later(29).fold(applied(0)).later(1);
        assert_eq!(told.live(), None);
        told.barrier(Tally { applied: 2, ..Tally::default() }, Decision::Proceed);
        assert_eq!(
            told.lines,
            [
                "V1__x  step 1 of 1  0 of 2 applied, 1 in flight after 30 s",
                "V1__x  step 1 of 1  1 of 2 applied, 0 in flight after 1 min 0 s",
                "V1__x  step 1 of 1  2 applied in 12 s",
            ]
        );
    }

    #[test]
    fn of_many_steps_a_log_gets_few_lines_and_always_the_last() {
        for (steps, most) in [(1, 1), (40, 40), (41, 40), (1001, 40)] {
            let mut told = Told::at(Pace::Sparse);
            for step_no in 1..=steps {
                told.step(step_no, steps, 1).barrier(Tally { applied: 1, ..Tally::default() }, Decision::Proceed);
            }
            assert!(told.lines.len() <= most, "{steps}: {}", told.lines.len());
            assert!(told.lines.last().unwrap().contains(&format!("step {steps} of {steps}")));
        }
        let mut halted = Told::at(Pace::Sparse);
        halted.step(7, 1001, 1).barrier(Tally { failed: 1, ..Tally::default() }, Decision::Halt(Reason::Failed));
        assert_eq!(halted.lines, ["V7__x  step 7 of 1001  0 applied, 1 failed in 12 s: halted"]);
    }

    #[test]
    fn whoever_waits_for_a_lock_is_told_who_has_it() {
        let mut told = Told::at(Pace::Live);
        let waiting = |holder: &str| Event::LockWaiting { server: "eu".into(), holder: holder.into() };
        told.fold(started()).fold(surveyed(3, 2)).fold(waiting("run a\u{1b}")).later(5);
        assert_eq!(told.live().unwrap(), "waiting for the lock on server eu  5 s");
        told.fold(waiting("run b")).later(6);
        assert_eq!(told.live().unwrap(), "waiting for the lock on server eu  11 s");
        told.fold(Event::LockTaken { servers: 1, waited: Duration::from_secs(11) }).fold(surveyed(0, 0));
        assert_eq!(
            told.lines[1..],
            [
                "waiting for the lock on server eu, held by run a\\u{1b}",
                "waiting for the lock on server eu, held by run b",
                "got the lock after 11 s",
                "read 3 tenants again in 420 ms",
            ]
        );
    }

    #[test]
    fn what_did_not_change_under_the_lock_is_not_told_twice() {
        let mut told = Told::at(Pace::Sparse);
        let taken = Event::LockTaken { servers: 1, waited: Duration::ZERO };
        told.fold(started()).fold(surveyed(3, 2)).fold(taken).fold(surveyed(3, 2));
        assert_eq!(told.lines, ["read 3 tenants in 420 ms: 3 behind, 2 steps to go"]);
    }

    #[test]
    fn a_run_that_was_asked_to_stop_says_so_in_its_line() {
        let mut told = Told::at(Pace::Live);
        told.fold(started()).fold(Event::Stopping { hard: false });
        assert_eq!(told.live().unwrap(), "stopping: reading 3 tenants  0 s");
        told.fold(Event::Stopping { hard: true });
        assert_eq!(told.live().unwrap(), "rolling back: reading 3 tenants  0 s");
    }

    #[test]
    fn a_quiet_run_shows_nothing() {
        let mut told = Told::at(Pace::Silent);
        told.fold(started()).fold(surveyed(3, 2)).step(1, 1, 3).later(100).barrier(Tally::default(), Decision::Proceed);
        assert_eq!((told.live(), told.lines), (None, Vec::new()));
    }
}
