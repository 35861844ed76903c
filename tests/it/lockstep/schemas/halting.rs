//! What the survey finds before anything is changed, and what it takes for drift.

use std::time::Duration;

use mtmigrate::error::{Code, ExitStatus};
use mtmigrate::lockstep::{self, Event, Incomparable, RunOutcome, State};
use mtmigrate::schema::{Ignore, Kind, Object, Pattern};
use time::macros::date;

use super::{diverged, recorded, verified};
use crate::lockstep::world::Fault;
use crate::lockstep::{FIVE, Sim};

#[tokio::test(start_paused = true)]
async fn a_change_by_hand_in_one_tenant_changes_nothing_in_any() {
    let first = Sim::new(&FIVE, 2);
    let (_, events) = first.up().await;
    assert_eq!((verified(&events), recorded(&events)), (2, Some(5)));
    first.by_hand("d", |state| state.add_column("t1", "note"));
    for sim in [first.then(&FIVE, 2), first.then(&FIVE, 3)] {
        let before = sim.tenants();
        let (ending, _) = sim.up().await;
        assert_eq!((ending.outcome, ending.exit), (RunOutcome::Drift, ExitStatus::Drift));
        assert_eq!(ending.diagnostics.len(), 1);
        let said = ending.diagnostics[0].to_string();
        for part in [
            "MT410",
            "the schema of tenant d was changed by hand since V2",
            "column `t1.note` is not expected",
            "was recorded by run",
            "4 tenants of this cohort (postgres, V2) have fingerprint",
            "nothing was changed",
            "mtmigrate accept --tenant d --reason",
            "+++ d",
            "+  column t1.note: text",
        ] {
            assert!(said.contains(part), "no {part:?} in:\n{said}");
        }
        assert_eq!(sim.tenants(), before);
        assert_eq!(sim.world.lock().unwrap().lock, None);
    }
    assert_eq!(first.verdicts().await, "a expected, b expected, c expected, d changed, e expected");
    first.by_hand("d", |state| state.remove("t1.note"));
    assert_eq!(first.then(&FIVE, 3).up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn drift_that_comes_while_the_lock_is_waited_for_is_found_under_it() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    let mut next = sim.then(&FIVE, 2);
    next.options.lock_wait = Duration::from_secs(60);
    let world = next.world.clone();
    world.lock().unwrap().lock = Some("0000-other".into());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let mut world = world.lock().unwrap();
        world.tenants.get_mut("e").unwrap().add_column("t1", "note");
        world.lock = None;
    });
    let (ending, events) = next.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Drift, ExitStatus::Drift));
    assert!(events.iter().any(|event| matches!(event, Event::LockTaken { .. })));
    assert!(!events.iter().any(|event| matches!(event, Event::StepStarted { .. })));
}

#[tokio::test(start_paused = true)]
async fn rules_say_what_may_differ_until_their_last_day() {
    let mut sim = Sim::new(&FIVE, 1);
    sim.up().await;
    sim.by_hand("b", |state| state.add(Object::new(Kind::Table, None, "tmp_import")));
    let rule = |until| Ignore {
        objects: vec![Pattern::parse("table tmp_*").unwrap()],
        labels: Vec::new(),
        reason: "an import, ticket 9".into(),
        until: Some(until),
    };
    sim.fleet.drift.ignore = vec![rule(date!(2020 - 01 - 31))];
    let (ending, _) = sim.up().await;
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("ticket 9") && said.contains("2020-01-31"), "{said}");
    assert_eq!(lockstep::expired(&sim.fleet, date!(2020 - 02 - 01)).len(), 1);
    sim.fleet.drift.ignore = vec![rule(date!(2999 - 12 - 31))];
    let next = sim.then(&FIVE, 3);
    let (ending, _) = next.up().await;
    assert_eq!(ending.exit, ExitStatus::Done, "{:?}", ending.diagnostics);
    assert_eq!(next.verdicts().await, "a expected, b expected, c expected, d expected, e expected");
}

#[tokio::test(start_paused = true)]
async fn a_lone_tenants_record_tells_what_was_changed() {
    let sim = Sim::new(&["a"], 1);
    sim.up().await;
    sim.by_hand("a", |state| state.add_column("t1", "note"));
    let (ending, _) = sim.then(&["a"], 2).up().await;
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("MT410") && said.contains("+  column t1.note"), "{said}");
    sim.by_hand("a", |state| state.kept = None);
    let (ending, _) = sim.then(&["a"], 2).up().await;
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("what exactly was recorded is not known any more"), "{said}");
    sim.accept("a").await.unwrap();
    assert_eq!(sim.then(&["a"], 2).up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_changeset_may_have_left_is_not_blamed_on_a_hand() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    let next = sim.then(&FIVE, 2).fault("e", 2, Fault::Fails).slow("e", 50);
    assert_eq!(next.up().await.0.exit, ExitStatus::Failed);
    next.by_hand("e", |state| state.add(Object::new(Kind::Index, Some("t1"), "t1_a").with_flag("invalid", true)));
    let (ending, _) = next.up().await;
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("the schema of tenant e was changed since V1"), "{said}");
    assert!(said.contains("V2 failed there at 1970-01-01 00:00 UTC, and may have left this"), "{said}");
    assert!(said.contains("index `t1_a` is not expected"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn all_changed_alike_are_changed_and_told_together() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    for tenant in FIVE {
        sim.by_hand(tenant, |state| state.add_column("t1", "note"));
    }
    let (ending, _) = sim.up().await;
    assert_eq!((ending.exit, ending.diagnostics.len()), (ExitStatus::Drift, 1));
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("the schemas of 5 tenants were changed by hand since V1: a, b, c, d, e"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn of_a_new_tenant_nothing_is_expected_until_it_has_a_changeset() {
    let sim = Sim::new(&["a", "b", "c"], 2);
    sim.by_hand("c", |state| state.add(Object::new(Kind::Table, None, "old")));
    assert_eq!(sim.verdicts().await, "a -, b -, c -");
    assert_eq!(sim.survey().await.schemas.unwrap().without_history, 3);
    assert_eq!(sim.accept("c").await.unwrap_err().code(), Code::USAGE);
    let (ending, events) = sim.up().await;
    assert_eq!((ending.exit, diverged(&events)), (ExitStatus::Drift, vec![(2, 1)]));
    assert!(ending.diagnostics[0].to_string().contains("table `old` is not expected"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_compared_is_said_and_is_no_drift() {
    let sim = Sim::new(&["a", "b", "c"], 1);
    sim.up().await;
    sim.world.lock().unwrap().upgraded.insert("c".into());
    let survey = sim.survey().await;
    let schemas = survey.schemas.unwrap();
    assert!(!schemas.is_drift());
    let found = schemas.incomparable();
    let said: Vec<String> = found.iter().map(|one| one.sentence(&sim.fleet)).collect();
    assert!(matches!(found[..], [Incomparable::Records(_), Incomparable::Bases(_)]), "{said:?}");
    assert!(
        said[0].contains("1 tenant (c)") && said[1].contains("2 tenants on fake-1, 1 tenant on fake-2"),
        "{said:?}"
    );
    assert_eq!(sim.then(&["a", "b", "c"], 2).up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_schema_cannot_be_read_is_not_reachable_and_the_others_are_judged() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    sim.by_hand("b", |state| state.add_column("t1", "note"));
    sim.world.lock().unwrap().blind_from.insert("e".into(), 1);
    let survey = sim.survey().await;
    let states: Vec<State> = survey.standings.iter().map(|standing| standing.state()).collect();
    assert_eq!(states[1], State::Drifted);
    assert_eq!(states[4], State::Unreachable);
    assert_eq!(states[0], State::Current);
}

#[tokio::test(start_paused = true)]
async fn whose_history_goes_on_moving_is_not_judged() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    sim.world.lock().unwrap().busy.insert("c".into());
    assert_eq!(sim.verdicts().await, "a expected, b expected, c -, d expected, e expected");
    sim.world.lock().unwrap().busy.clear();
    assert!(sim.verdicts().await.contains("c changed"));
}

#[tokio::test(start_paused = true)]
async fn a_run_at_work_is_not_taken_for_a_hand() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    let next = FIVE.iter().fold(sim.then(&FIVE, 60), |next, tenant| next.slow(tenant, 0));
    // Surveys all through another run: whatever it met of a step, no tenant is ever said to be changed.
    let (done, ()) = tokio::join!(next.up(), async {
        for _ in 0..150 {
            let said = next.verdicts().await;
            assert!(!["changed", "deviates", "undecided"].iter().any(|word| said.contains(word)), "{said}");
        }
    });
    assert_eq!(done.0.exit, ExitStatus::Done);
}
