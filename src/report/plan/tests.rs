use std::time::Duration;

use crate::changeset::{Directives, Version};
use crate::error::{ExitStatus, Paint};
use crate::history::Unfinished;
use crate::lockstep::Condition;
use crate::plan::Plan;
use crate::report::sample::Sample;
use crate::sql::EngineKind::{MySql, Postgres, Sqlite};
use crate::tenant::RolloutOrder;

use super::{Gate, PlanFormat, PlanOptions, PlanReport, PlannedText};

fn planned(sample: &Sample) -> PlanReport {
    let pending = sample.survey.positions().map(|(tenant, position)| (tenant, position.pending.clone()));
    PlanReport::new(&sample.scope(), &sample.survey, &Plan::new(pending, None), PlanOptions { sql: false })
}

/// Two steps; the texts are told, because only the loader makes them.
fn two_steps() -> PlanReport {
    let sample = Sample::of(&[("acme", Postgres), ("demo", Sqlite), ("hooli", MySql), ("initech", MySql)], 2);
    let (first, none) = (sample.at(1), sample.at(0));
    let sample = sample.found(0, first).found(1, none.clone()).quarantined(2, "moves to another server");
    let sample = sample.found(3, none).read(3, |position| {
        position.unfinished = Some(Unfinished::FailedAt { version: Version(1), statement_no: 3, prefix: "00".into() });
    });
    let mut report = planned(&sample);
    for (idx, step) in report.steps.iter_mut().enumerate() {
        for text in &mut step.texts {
            let sql = ["CREATE TABLE orders (ref text);\n", "CREATE INDEX\n\tON orders (ref);\n"][idx];
            text.own = idx == 1 && text.engine == Postgres;
            let (folder, directives) = match text.own {
                true => (
                    "postgres/",
                    Directives {
                        no_transaction: true,
                        lock_timeout: Some(Duration::from_secs(5)),
                        ..Directives::default()
                    },
                ),
                false => ("", Directives::default()),
            };
            text.text = Some(PlannedText {
                file: format!("migrations/{folder}{}.sql", step.title),
                checksum: [7_342_916_225_118_000_211, 15_002_114_879_433_620_718][idx],
                directives,
                empty: false,
                sql: Some(sql.into()),
            });
        }
    }
    report
}

/// The same, of a fleet that goes in waves.
fn in_waves() -> PlanReport {
    let mut report = two_steps();
    report.order = Some(RolloutOrder::Step);
    for (idx, step) in report.steps.iter_mut().enumerate() {
        step.waves = vec![("canary".into(), 1), ("rest".into(), idx + 1)];
        let pause = Condition::Pause(Duration::from_secs(600));
        let words = "./smoke-test --fast".into();
        let check = Condition::Check { sql: false, words, timeout: Duration::from_secs(60) };
        let (after, before) = ("canary".to_owned(), "rest".to_owned());
        report.gates.push(Gate {
            version: step.version,
            after,
            before,
            conditions: vec![pause, check, Condition::Confirmation],
        });
    }
    report
}

#[test]
fn a_plan_in_waves_says_who_comes_when_and_what_stands_between() {
    let mut report = in_waves();
    report.steps.iter_mut().flat_map(|step| &mut step.texts).for_each(|text| text.text = None);
    let text = report.render(PlanFormat::Human, Paint::Plain);
    for said in [
        "    acme, demo, initech\n    waves: canary 1, rest 2\n",
        "order: each step goes wave by wave\nafter wave canary, 2 times: pause 10m, then check ./smoke-test --fast, then confirm\n2 steps, ",
    ] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn the_json_format_is_pinned() {
    assert_eq!(in_waves().render(PlanFormat::Json, Paint::Plain), include_str!("../pinned/plan.json"));
}

#[test]
fn a_plan_shows_each_step_with_its_tenants_and_what_is_special() {
    assert_eq!(
        two_steps().render(PlanFormat::Human, Paint::Plain),
        "\
V1__change_1  2 tenants (mysql: default text 1, sqlite: default text 1)
    demo, initech
    continues at statement 3 on initech

-- migrations/V1__change_1.sql
CREATE TABLE orders (ref text);

V2__change_2  3 tenants (postgres: own text 1, mysql: default text 1, sqlite: default text 1)
    acme, demo, initech
    postgres: no-transaction, lock-timeout 5s

-- migrations/postgres/V2__change_2.sql
CREATE INDEX
\tON orders (ref);


-- migrations/V2__change_2.sql
CREATE INDEX
\tON orders (ref);


left out: 1 quarantined tenant: hooli
2 steps, 3 tenants; run `mtmigrate up`
"
    );
    assert_eq!((two_steps().exit(true), two_steps().exit(false)), (ExitStatus::Pending, ExitStatus::Done));
}

#[test]
fn a_plan_without_steps_says_so() {
    let report = planned(&Sample::named(&["acme", "globex"]));
    let text = report.render(PlanFormat::Human, Paint::Plain);
    assert_eq!(text, "nothing to do: no changeset is pending on 2 tenants\n");
    assert_eq!(report.exit(true), ExitStatus::Done);
}

#[test]
fn many_tenants_are_named_up_to_five() {
    let sample = Sample::named(&["a", "b", "c", "d", "e", "f", "g"]);
    let first = sample.at(1);
    let sample = (0..7).fold(sample, |sample, idx| sample.found(idx, first.clone()));
    let text = planned(&sample).render(PlanFormat::Human, Paint::Plain);
    assert!(text.contains("\n    a, b, c, d, e and 2 more\n"), "{text}");
}

#[test]
fn hostile_names_neither_break_a_line_nor_command_the_terminal() {
    let sample = Sample::named(&["x\"; DROP\n\u{1b}[2J", "a|b"]);
    let first = sample.at(1);
    let report = planned(&sample.found(0, first));
    let text = report.render(PlanFormat::Human, Paint::Plain);
    assert!(text.contains("\n    x\"; DROP \\u{1b}[2J\n") && !text.contains('\u{1b}'), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&report.render(PlanFormat::Json, Paint::Plain)).expect("the report is JSON");
    assert_eq!(json["steps"][0]["tenants"][0], "x\"; DROP\n\u{1b}[2J");
}
