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
        self.fold(Event::StepStarted { version, title, wave: None, tenants, later: 0, step_no, steps })
    }

    fn barrier(&mut self, tally: Tally, decision: Decision) -> &mut Self {
        let elapsed = Duration::from_secs(12);
        self.fold(Event::Barrier { version: Version(1), wave: None, tally, decision, elapsed })
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
    assert_eq!(told.live().unwrap(), "V1__x  step 1 of 2  [======--------------] 1/3 tenants, 1 in flight  1 min 5 s");
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
    assert_eq!(told.live().unwrap(), "V1__x  step 1 of 1  [====================] 1/1 tenants, comparing schemas  2 s");
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
fn who_skipped_a_changeset_is_not_among_those_who_got_it() {
    let mut told = Told::at(Pace::Sparse);
    told.step(1, 1, 4).barrier(Tally { applied: 4, skipped: 3, ..Tally::default() }, Decision::Proceed);
    assert_eq!(told.lines, ["V1__x  step 1 of 1  1 applied, 3 skipped in 12 s"]);
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

fn pause(minutes: u64) -> Condition {
    Condition::Pause(Duration::from_secs(60 * minutes))
}

fn waits(condition: Condition) -> Event {
    Event::GateWaiting { version: Version(1), wave: "canary".into(), condition }
}

fn passes(condition: Condition) -> Event {
    Event::GatePassed { version: Version(1), wave: "canary".into(), condition, elapsed: Duration::from_secs(600) }
}

#[test]
fn a_wave_stands_in_the_line_of_its_step_and_a_pause_counts_down() {
    let mut told = Told::at(Pace::Live);
    let (version, title, wave) = (Version(1), "V1__x".to_owned(), Some("canary".to_owned()));
    told.fold(started()).fold(Event::StepStarted { version, title, wave, tenants: 1, later: 2, step_no: 1, steps: 2 });
    assert_eq!(
        told.live().unwrap(),
        "V1__x  step 1 of 2  wave canary  [--------------------] 0/1 tenants, 0 in flight  0 s"
    );
    told.fold(starts(0)).fold(applied(0)).barrier(Tally { applied: 1, ..Tally::default() }, Decision::Proceed);
    told.fold(waits(pause(10))).later(90);
    assert_eq!(told.live().unwrap(), "V1  after wave canary  pause 10m  8 min 30 s left");
    told.fold(passes(pause(10))).fold(waits(Condition::Confirmation));
    assert_eq!(told.live(), None, "the answer stands there");
    told.fold(passes(Condition::Confirmation));
    assert_eq!(
        told.lines,
        [
            "V1__x  step 1 of 2  wave canary  1 applied in 12 s",
            "V1  after wave canary  pause 10m: passed after 10 min 0 s",
            "V1  after wave canary  confirm: passed after 10 min 0 s",
        ]
    );
}

#[test]
fn without_a_terminal_a_gate_says_that_it_waits_and_a_check_every_30_seconds() {
    let check = Condition::Check { sql: false, words: "./smoke \u{1b}".into(), timeout: Duration::from_secs(600) };
    let mut told = Told::at(Pace::Sparse);
    told.fold(waits(pause(20))).later(599).later(1).fold(waits(check)).later(29).later(1);
    assert_eq!(
        told.lines,
        [
            "V1  after wave canary  pause 20m",
            "V1  after wave canary  pause 20m, since 10 min 0 s",
            "V1  after wave canary  check ./smoke \\u{1b}",
            "V1  after wave canary  check ./smoke \\u{1b}, since 30 s",
        ]
    );
}

#[test]
fn a_quiet_run_shows_nothing() {
    let mut told = Told::at(Pace::Silent);
    told.fold(started()).fold(surveyed(3, 2)).step(1, 1, 3).later(100).barrier(Tally::default(), Decision::Proceed);
    assert_eq!((told.live(), told.lines), (None, Vec::new()));
}
