use std::time::Duration;

use crate::changeset::Version;
use crate::engine::{Applied, Failure, Left, Moment};
use crate::error::{Code, Diagnostic, ExitStatus, Paint, Place};
use crate::lockstep::barrier::{Decision, Reason, Tally};
use crate::lockstep::{Condition, Ending, Event, RunOutcome};
use crate::report::sample::{AT, RUN, Sample};
use crate::tenant::TenantId;

use super::RunReport;

/// A run that is told event by event.
struct Told(RunReport);

impl Told {
    fn of(sample: &Sample) -> Self {
        let mut report = RunReport::new(&sample.scope(), AT);
        let target = sample.changelog.newest();
        report.fold(&Event::RunStarted { run_id: RUN.into(), tenants: 0, quarantined: 0, target });
        Self(report)
    }

    fn step(mut self, version: i64, tenants: usize) -> Self {
        let title = format!("V{version}__change_{version}");
        let (version, wave) = (Version(version), None);
        self.0.fold(&Event::StepStarted { version, title, wave, tenants, later: 0, step_no: 1, steps: 1 });
        self
    }

    fn wave(mut self, version: i64, wave: &str, tenants: usize, later: usize) -> Self {
        let title = format!("V{version}__change_{version}");
        let (version, wave) = (Version(version), Some(wave.to_owned()));
        self.0.fold(&Event::StepStarted { version, title, wave, tenants, later, step_no: 1, steps: 1 });
        self
    }

    fn applied(mut self, tenant: usize, version: i64, notices: &[&str]) -> Self {
        let (tenant, version) = (TenantId(tenant), Version(version));
        let notices = notices.iter().map(|notice| (*notice).to_owned()).collect();
        let applied = Applied { duration: Duration::from_millis(40), notices, by_another: false };
        self.0.fold(&Event::TenantStarted { tenant, version });
        self.0.fold(&Event::TenantApplied { tenant, version, applied, skipped: false });
        self
    }

    fn failed(mut self, tenant: usize, version: i64, left: Left) -> Self {
        let (tenant, version) = (TenantId(tenant), Version(version));
        let diagnostic = failure(&self.0.tenants[tenant.0].name);
        let duration = Duration::from_millis(7);
        let failure = Failure { diagnostic, moment: Moment::Execute, left, retry: false, duration };
        self.0.fold(&Event::TenantFailed { tenant, version, failure });
        self
    }

    fn fold(mut self, event: Event) -> Self {
        self.0.fold(&event);
        self
    }

    fn barrier(self, version: i64, tally: Tally, decision: Decision) -> Self {
        let elapsed = Duration::from_millis(620);
        self.fold(Event::Barrier { version: Version(version), wave: None, tally, decision, elapsed })
    }

    fn ended(self, outcome: RunOutcome, exit: ExitStatus, diagnostics: Vec<Diagnostic>) -> RunReport {
        let elapsed = Duration::from_millis(12_345);
        self.fold(Event::RunFinished(Ending { outcome, exit, diagnostics, elapsed })).0
    }
}

fn failure(tenant: &str) -> Diagnostic {
    Diagnostic::new(Code::CHANGESET_FAILED, format!("changeset V2__change_2 failed on tenant {tenant} (postgres)"))
        .at(Place::in_text(
            "migrations/V2__change_2.sql",
            "\nCREATE UNIQUE INDEX orders_ref ON orders (ref);\n",
            2,
            1,
            6,
        ))
        .cause("23505: could not create unique index \"orders_ref\"")
        .cause("key (ref)=(A-17) is duplicated")
}

fn verdict(tenant: &str) -> Diagnostic {
    failure(tenant)
        .state(format!("{tenant} is unchanged (rolled back); 2 tenants have V2; 2 do not"))
        .hint("remove the cause, then run `mtmigrate up` again: finished tenants are skipped")
}

fn tally(applied: usize, failed: usize, not_started: usize) -> Tally {
    Tally { applied, failed, not_started, ..Tally::default() }
}

/// acme gets both changesets, globex fails at the second, initech is not started there, umbrella had it before.
fn halted() -> RunReport {
    let sample = Sample::named(&["acme", "globex", "initech", "umbrella", "hooli"]);
    let sample = sample.quarantined(4, "moves to another server");
    let retried = Event::TenantRetried {
        tenant: TenantId(0),
        version: Version(2),
        attempt: 1,
        diagnostic: Diagnostic::new(Code::LOCK_TIMEOUT, "a changeset waited too long"),
    };
    Told::of(&sample)
        .step(1, 2)
        .applied(0, 1, &["NOTICE: relation \"orders\" exists, skipping"])
        .applied(1, 1, &[])
        .fold(verified(1, 2))
        .fold(Event::BudgetLowered { server: "eu".into(), from: 9, to: 4 })
        .fold(Event::BudgetLowered { server: "eu".into(), from: 4, to: 3 })
        .barrier(1, tally(2, 0, 0), Decision::Proceed)
        .step(2, 3)
        .fold(retried)
        .applied(0, 2, &[])
        .failed(1, 2, Left::Unchanged)
        .fold(Event::TenantNotStarted { tenant: TenantId(2), version: Version(2) })
        .barrier(2, tally(1, 1, 1), Decision::Halt(Reason::Failed))
        .fold(Event::Recorded { tenants: 2, elapsed: Duration::from_millis(5) })
        .ended(RunOutcome::Halted, ExitStatus::Failed, vec![verdict("globex")])
}

fn verified(version: i64, tenants: usize) -> Event {
    Event::Verified { version: Version(version), tenants, cohorts: 1, elapsed: Duration::from_millis(5) }
}

#[test]
fn the_json_format_is_pinned() {
    let mut report = halted();
    for (step, wave) in report.steps.iter_mut().zip(["canary", "rest"]) {
        step.wave = Some(wave.to_owned());
    }
    report.fold(&Event::GateWaiting { version: Version(1), wave: "canary".into(), condition: smoke() });
    let elapsed = Duration::from_millis(812);
    report.fold(&Event::GatePassed { version: Version(1), wave: "canary".into(), condition: smoke(), elapsed });
    assert_eq!(report.json(), include_str!("../pinned/run.json"));
}

fn smoke() -> Condition {
    Condition::Check { sql: false, words: "./smoke-test --fast".into(), timeout: Duration::from_secs(60) }
}

#[test]
fn a_run_in_waves_names_them_and_what_was_waited_for() {
    let sample = Sample::named(&["acme", "globex", "initech", "umbrella"]);
    let (version, wave, condition) = (Version(1), "canary".to_owned(), smoke());
    let waiting = Event::GateWaiting { version, wave: wave.clone(), condition: condition.clone() };
    let elapsed = Duration::from_millis(812);
    let first =
        || Told::of(&sample).wave(1, "canary", 1, 2).applied(0, 1, &[]).barrier(1, tally(1, 0, 0), Decision::Proceed);
    let shut = Event::GateShut { version, wave: wave.clone(), condition: condition.clone(), elapsed };
    let told = first().fold(waiting.clone()).fold(shut);
    let text = told.ended(RunOutcome::Halted, ExitStatus::Failed, Vec::new()).human(Paint::Plain);
    for said in [
        "V1__change_1, wave canary: done, 1 tenant in 620 ms\n",
        "\nbetween waves: 0 passed; after canary at V1, not passed: check ./smoke-test --fast\n",
        "\nhalted after V1__change_1, wave canary: 2 tenants have it, 2 in later waves do not; 1 changeset applied in 12.3 s\n",
    ] {
        assert!(text.contains(said), "{text}");
    }
    let passed = Event::GatePassed { version, wave, condition, elapsed };
    let told =
        first().fold(waiting).fold(passed).wave(1, "rest", 2, 0).applied(1, 1, &[]).failed(2, 1, Left::Unchanged);
    let told = told.barrier(1, tally(1, 1, 0), Decision::Halt(Reason::Failed));
    let text = told.ended(RunOutcome::Halted, ExitStatus::Failed, Vec::new()).human(Paint::Plain);
    for said in [
        "V1__change_1, wave rest: halted after 620 ms, 2 tenants: 1 applied, 1 failed\n",
        "\nbetween waves: 1 passed\n",
        "\nhalted at V1__change_1, wave rest: 3 tenants have it, 1 failed; 1 part before it done; 2 changesets applied",
    ] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_halted_run_shows_the_failure_in_full_and_counts_the_rest() {
    assert_eq!(
        halted().human(Paint::Plain),
        "\
error[MT204]: changeset V2__change_2 failed on tenant globex (postgres)
 --> migrations/V2__change_2.sql:2:1
  |
2 | CREATE UNIQUE INDEX orders_ref ON orders (ref);
  | ^^^^^^
cause: 23505: could not create unique index \"orders_ref\"
cause: key (ref)=(A-17) is duplicated
state: globex is unchanged (rolled back); 2 tenants have V2; 2 do not
hint: remove the cause, then run `mtmigrate up` again: finished tenants are skipped

V1__change_1: done, 2 tenants in 620 ms
V2__change_2: halted after 620 ms, 3 tenants: 1 applied, 1 failed, 1 not started

tried again once, on 1 tenant
server eu had fewer free connections than its budget: 3 at once there instead of 9
the servers gave 1 notice:
  acme: NOTICE: relation \"orders\" exists, skipping
quarantined, left out: hooli: moves to another server

halted at V2__change_2: 2 tenants have it, 1 failed, 1 not started; 1 step before it done; 3 changesets applied in 12.3 s
"
    );
    assert_eq!(halted().exit(), ExitStatus::Failed);
}

#[test]
fn colour_says_nothing_new() {
    let painted = halted().human(Paint::Ansi);
    assert!(
        painted.contains("\u{1b}[32mdone\u{1b}[0m") && painted.contains("\u{1b}[1m\u{1b}[31mhalted"),
        "{painted:?}"
    );
}

fn thousands(steps: i64) -> (Sample, Told) {
    let names: Vec<String> = (0..5_000).map(|i| format!("tenant_{i:04}")).collect();
    let sample = Sample::named(&names);
    let mut told = Told::of(&sample);
    told.0.target = Some(Version(steps));
    for version in 1..steps {
        told = told.step(version, names.len());
        for idx in 0..names.len() {
            told = told.applied(idx, version, &["NOTICE: it exists, skipping"]);
        }
        told = told.barrier(version, tally(names.len(), 0, 0), Decision::Proceed);
    }
    (sample, told)
}

#[test]
fn the_summary_of_five_thousand_tenants_fits_a_screen() {
    let (_, mut told) = thousands(20);
    told = told.step(20, 5_000).applied(0, 20, &[]).failed(1, 20, Left::Unchanged);
    told = told.barrier(20, tally(1, 1, 0), Decision::Halt(Reason::Failed));
    let text = told.ended(RunOutcome::Halted, ExitStatus::Failed, vec![verdict("tenant_0001")]).human(Paint::Plain);
    assert!(text.lines().count() <= 40, "{text}");
    for said in [
        "\n… 12 more steps, 60000 changesets applied\n",
        "the servers gave 95000 notices:\n  tenant_0000: NOTICE: it exists, skipping\n",
        "\nhalted at V20__change_20: 1 tenant has it, 1 failed, 4998 not started; 19 steps before it done; \
         95001 changesets applied in 12.3 s\n",
    ] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn the_notices_that_are_kept_do_not_grow_with_changesets() {
    let (_, told) = thousands(4);
    let kept: usize = told.0.tenants.iter().map(|tenant| tenant.notices.len()).sum();
    assert_eq!((kept, told.0.notices), (super::NOTICES_KEPT, 15_000));
}

#[test]
fn many_failures_are_shown_in_full_up_to_twenty_and_named_beyond() {
    let names: Vec<String> = (0..40).map(|i| format!("t{i:02}")).collect();
    let sample = Sample::named(&names);
    let mut told = Told::of(&sample).step(1, 40);
    for idx in 0..40 {
        told = told.failed(idx, 1, Left::Unchanged);
    }
    told = told.barrier(1, tally(0, 40, 0), Decision::Halt(Reason::Failed));
    let diagnostics = names.iter().map(|name| verdict(name)).collect();
    let text = told.ended(RunOutcome::Halted, ExitStatus::Failed, diagnostics).human(Paint::Plain);
    assert_eq!(text.matches("error[MT204]").count(), 20);
    assert!(text.contains("\nand 20 more: t20, t21, t22, t23, t24, t25, t26, t27, t28, t29 and 10 more\n"), "{text}");
}

#[test]
fn a_fleet_that_was_brought_up_is_counted() {
    let sample = Sample::named(&["acme", "globex", "initech"]);
    let told = Told::of(&sample).step(2, 2).applied(0, 2, &[]).applied(1, 2, &[]);
    let told = told.barrier(2, tally(2, 0, 0), Decision::Proceed);
    let report = told.ended(RunOutcome::Applied, ExitStatus::Done, Vec::new());
    let last = "up: 2 tenants brought to V2 in 12.3 s, 1 had it already (1 step, 2 changesets applied)\n";
    assert!(report.human(Paint::Plain).ends_with(last), "{}", report.human(Paint::Plain));
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("the report is JSON");
    assert_eq!([&json["tenants"][1]["outcome"], &json["tenants"][2]["outcome"]], ["applied", "up-to-date"]);
}

#[test]
fn a_run_that_changed_nothing_says_so_in_one_line() {
    let said = |outcome, exit| {
        let sample = Sample::named(&["acme", "globex"]);
        Told::of(&sample).ended(outcome, exit, Vec::new()).human(Paint::Plain)
    };
    assert_eq!(said(RunOutcome::UpToDate, ExitStatus::Done), "nothing to do: 2 tenants have V2\n");
    let drift = said(RunOutcome::Drift, ExitStatus::Drift);
    assert_eq!(drift, "halted on drift: nothing was changed (2 tenants)\n");
    let refused = said(RunOutcome::Refused, ExitStatus::Unreachable);
    assert_eq!(refused, "refused: nothing was changed (2 tenants)\n");
    let interrupted = said(RunOutcome::Interrupted, ExitStatus::Interrupted);
    assert_eq!(interrupted, "interrupted: nothing was changed (2 tenants)\n");
}

#[test]
fn a_step_that_was_never_begun_has_everybody_not_started() {
    let sample = Sample::named(&["acme", "globex"]);
    let lost = Tally { lock_lost: true, ..Tally::default() };
    let told = Told::of(&sample).step(1, 2).barrier(1, lost, Decision::Halt(Reason::LockLost));
    let text = told.ended(RunOutcome::Halted, ExitStatus::Failed, Vec::new()).human(Paint::Plain);
    assert!(text.contains("halted at V1__change_1: 0 tenants have it, 2 not started; 0 changesets"), "{text}");
}

#[test]
fn half_applied_and_unknown_tenants_are_told_apart() {
    let sample = Sample::named(&["acme", "globex", "initech"]);
    let told = Told::of(&sample)
        .step(1, 3)
        .failed(0, 1, Left::Half { statement_no: 2, statements: 3 })
        .failed(1, 1, Left::Unknown)
        .fold(Event::TenantStarted { tenant: TenantId(2), version: Version(1) });
    let json: serde_json::Value = serde_json::from_str(&told.0.json()).expect("the report is JSON");
    let outcomes: Vec<&str> =
        json["tenants"].as_array().into_iter().flatten().filter_map(|tenant| tenant["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["half-applied", "unknown", "unknown"]);
    assert_eq!((json["outcome"].as_str(), told.0.exit()), (None, ExitStatus::Bug));
    assert!(told.0.human(Paint::Plain).ends_with("the run has not ended\n"));
}

fn deviates() -> Diagnostic {
    Diagnostic::new(Code::SCHEMA_DEVIATES, "V1__change_1 left tenant globex with another schema than its cohort")
        .cause("column `orders.note` is `varchar(80)`, expected `text`")
        .diff("--- expected\n+++ globex\n@@ -1,2 +1,2 @@\n table orders\n-  column orders.note: text\n+  column orders.note: varchar(80)\n")
        .state("2 tenants have V1")
}

#[test]
fn a_step_after_which_schemas_differ_says_who_diverged_and_shows_the_difference() {
    let sample = Sample::named(&["acme", "globex"]);
    let told = Told::of(&sample).step(1, 2).applied(0, 1, &[]).applied(1, 1, &[]);
    let told = told.fold(Event::Diverged { tenant: TenantId(1), version: Version(1) });
    let diverged = Tally { applied: 2, diverged: 1, ..Tally::default() };
    let told = told.barrier(1, diverged, Decision::Halt(Reason::Diverged));
    let report = told.ended(RunOutcome::Halted, ExitStatus::Drift, vec![deviates()]);
    let text = report.human(Paint::Plain);
    assert!(text.contains("\n-  column orders.note: text\n+  column orders.note: varchar(80)\nstate: "), "{text}");
    assert!(text.contains("V1__change_1: halted after 620 ms, 2 tenants: 2 applied, 1 diverged\n"), "{text}");
    assert!(text.contains("\nhalted at V1__change_1: 2 tenants have it, 1 diverged; 2 changesets applied"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.json()).expect("the report is JSON");
    let step = &json["steps"][0];
    assert_eq!((&step["diverged"], &step["verified"], &step["outcome"]), (&1.into(), &false.into(), &"halted".into()));
    assert_eq!([&json["tenants"][0]["outcome"], &json["tenants"][1]["outcome"]], ["applied", "diverged"]);
    assert!(json["diagnostics"][0]["diff"].as_str().is_some_and(|diff| diff.starts_with("--- expected\n")), "{json}");
    assert_eq!((&json["exit_status"], &json["recorded"]), (&3.into(), &serde_json::Value::Null));
}

#[test]
fn what_the_end_of_a_run_finds_is_counted_though_every_step_went_through() {
    let sample = Sample::named(&["acme", "globex"]);
    let told = Told::of(&sample).step(1, 2).applied(0, 1, &[]).applied(1, 1, &[]);
    let told = told.barrier(1, tally(2, 0, 0), Decision::Proceed);
    let told = told.fold(Event::Diverged { tenant: TenantId(1), version: Version(1) });
    let text = told.ended(RunOutcome::Halted, ExitStatus::Drift, vec![deviates()]).human(Paint::Plain);
    assert!(text.contains("\nhalted at V1__change_1: 2 tenants have it, 1 diverged; 2 changesets applied"), "{text}");
}

#[test]
fn hostile_names_and_notices_neither_break_a_line_nor_command_the_terminal() {
    let sample = Sample::named(&["x\"; DROP\n\u{1b}[2J", "a|b\nc"]).quarantined(1, "why\n\u{1b}[2J");
    let told = Told::of(&sample).step(1, 1).applied(0, 1, &["NOTICE: \u{1b}[2J\nhere"]);
    let told = told.barrier(1, tally(1, 0, 0), Decision::Proceed);
    let report = told.ended(RunOutcome::Applied, ExitStatus::Done, Vec::new());
    let (text, json) = (report.human(Paint::Plain), report.json());
    assert!(!text.contains('\u{1b}') && !json.contains('\u{1b}'), "{text}{json}");
    assert!(text.contains("\n  x\"; DROP \\u{1b}[2J: NOTICE: \\u{1b}[2J here\n"), "{text}");
    assert!(text.contains("\nquarantined, left out: a|b c: why \\u{1b}[2J\n"), "{text}");
}
