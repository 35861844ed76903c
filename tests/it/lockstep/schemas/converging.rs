//! After a step: alike or halted, and at what cost.

use mtmigrate::error::ExitStatus;
use mtmigrate::lockstep::RunOutcome;
use mtmigrate::schema::{Kind, Object};
use mtmigrate::tenant::Verify;

use super::{diverged, recorded, tally, verified};
use crate::lockstep::world::Effect;
use crate::lockstep::{FIVE, Sim};

#[tokio::test(start_paused = true)]
async fn a_changeset_that_has_another_effect_on_one_tenant_halts_before_the_next_version() {
    let sim = Sim::new(&FIVE, 3).effect("b", 2, Effect::OtherType).effect("d", 2, Effect::Skips);
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Drift));
    for tenant in FIVE {
        assert_eq!(sim.versions(tenant), ["1", "2"], "{tenant}");
    }
    assert_eq!((verified(&events), diverged(&events)), (1, vec![(1, 2), (3, 2)]));
    assert_eq!(tally(&events, 2).diverged, 2);
    assert_eq!(ending.diagnostics.len(), 2, "each once, though the end of the run sees them again");
    let said = ending.diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "MT411",
        "V2__c2 left tenant b with another schema than its cohort",
        "V2__c2 left tenant d with another schema than its cohort",
        "column `t2.a` is `varchar(80)`, expected `int`",
        "table `t2` is missing",
        "3 tenants of this cohort (postgres, V2)",
        "5 tenants have V2; 0 do not; nobody has V3",
        "then run `mtmigrate up` again",
        "-  column t2.a: int\n+  column t2.a: varchar(80)",
    ] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
    // Nothing says yet who is right, so nothing is recorded: the others may be made like one of these.
    assert_eq!((recorded(&events), sim.recorded("a")), (None, None));
    assert_eq!(sim.up().await.0.outcome, RunOutcome::Drift);
    sim.by_hand("b", |state| {
        state.remove("t2.a");
        state.add(Object::new(Kind::Column, Some("t2"), "t2.a").with("type", "int"));
    });
    sim.accept("d").await.unwrap();
    assert_eq!(sim.verdicts().await, "a expected, b expected, c expected, d excused, e expected");
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
    assert_eq!(sim.verdicts().await, "a expected, b expected, c expected, d excused, e expected");
}

#[tokio::test(start_paused = true)]
async fn who_is_measured_otherwise_is_read_and_goes_on_if_the_schemas_are_equal() {
    let sim = Sim::new(&FIVE, 3);
    sim.world.lock().unwrap().odd_gauges.insert("c".into());
    let (ending, events) = sim.up().await;
    assert_eq!((ending.exit, verified(&events)), (ExitStatus::Done, 3));
    // Two surveys of five, one of each of two classes after each step, and five at the end.
    let inspected = sim.inspected();
    assert_eq!(inspected.len(), 10 + 3 * 2 + 5, "{inspected:?}");
    for step in inspected[10..16].chunks(2) {
        assert!(step == ["a", "c"] || step == ["c", "a"], "{inspected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tenants_of_one_server_are_compared_without_reading_any() {
    let sim = Sim::new(&FIVE, 4);
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
    assert_eq!(sim.inspected().len(), 5 + 5 + 5, "two surveys and the end");
}

#[tokio::test(start_paused = true)]
async fn of_two_servers_one_tenant_each_is_read_after_a_step() {
    let names = ["a", "b", "c", "x@h2", "y@h2"];
    let sim = Sim::new(&names, 2);
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
    let inspected = sim.inspected();
    assert_eq!(inspected.len(), 5 + 5 + 2 * 2 + 5, "{inspected:?}");
    let mut step = inspected[10..12].to_vec();
    step.sort_unstable();
    assert_eq!(step, ["a", "x"]);

    // The same effect on all of one server is no less another one.
    let sim = Sim::new(&names, 3).effect("x", 2, Effect::Skips).effect("y", 2, Effect::Skips);
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Drift));
    assert!(ending.diagnostics[0].to_string().contains("left 2 tenants with another schema than their cohort: x, y"));
    assert_eq!(sim.versions("a"), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_hand_at_work_while_the_run_goes_on_is_noticed_at_the_step() {
    let sim = Sim::new(&FIVE, 3);
    let note = Object::new(Kind::Column, Some("t1"), "t1.note").with("type", "text");
    sim.world.lock().unwrap().after.insert(("e".into(), 2), note);
    let (ending, events) = sim.up().await;
    assert_eq!((ending.exit, diverged(&events)), (ExitStatus::Drift, vec![(4, 2)]));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_looked_at_after_a_step_holds_everybody_back() {
    let sim = Sim::new(&["a", "b@h2"], 3);
    sim.world.lock().unwrap().blind_from.insert("b".into(), 2);
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Unreachable));
    assert_eq!((sim.versions("a").len(), sim.versions("b").len()), (2, 2));
    assert_eq!((tally(&events, 2).unverified, tally(&events, 2).diverged), (1, 0));
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("V2 is applied, and whether it had the same effect everywhere is not known"), "{said}");
    assert!(said.contains("nobody has V3"), "{said}");
    sim.world.lock().unwrap().blind_from.clear();
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn with_verify_run_all_steps_go_and_the_end_tells() {
    let mut sim = Sim::new(&FIVE, 3).effect("b", 1, Effect::Skips);
    sim.options.verify = Verify::Run;
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Drift));
    assert_eq!((verified(&events), diverged(&events)), (0, vec![(1, 3)]));
    assert_eq!(sim.versions("b"), ["1", "2", "3"]);
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("the schema of tenant b is not what its cohort has (postgres, V3)"), "{said}");
    assert!(said.contains("every changeset of this run is applied"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn with_verify_off_nobody_looks_and_nothing_is_recorded() {
    let mut sim = Sim::new(&FIVE, 3).effect("b", 1, Effect::Skips);
    sim.options.verify = Verify::Off;
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, recorded(&events)), (RunOutcome::Applied, None));
    assert!(sim.inspected().is_empty());
    assert_eq!(sim.recorded("a"), None);
    sim.options.verify = Verify::Step;
    assert_eq!(sim.up().await.0.exit, ExitStatus::Drift);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_catches_up_must_arrive_where_the_others_are() {
    let three = ["a", "b", "c"];
    let sim = Sim::new(&three, 2);
    sim.up().await;
    let next = sim.then(&["a", "b", "c", "d"], 2).effect("d", 1, Effect::OtherType);
    let (ending, events) = next.up().await;
    assert_eq!((ending.exit, diverged(&events)), (ExitStatus::Drift, vec![(3, 2)]), "alone at V1, with others at V2");
    assert_eq!(next.recorded("d"), None);

    let fine = sim.then(&["a", "b", "c", "e"], 2);
    let (ending, events) = fine.up().await;
    assert_eq!((ending.exit, verified(&events), recorded(&events)), (ExitStatus::Done, 2, Some(1)));
    assert_eq!(fine.verdicts().await, "a expected, b expected, c expected, e expected");
}
