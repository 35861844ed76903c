//! What a person accepts, and where nothing says what is right.

use std::time::Duration;

use mtmigrate::engine::Mark;
use mtmigrate::error::{Code, ExitStatus};
use mtmigrate::lockstep::RunOutcome;
use mtmigrate::schema::{Kind, Object};
use mtmigrate::tenant::Verify;

use crate::lockstep::world::{Effect, Fault};
use crate::lockstep::{FIVE, Sim};

#[tokio::test(start_paused = true)]
async fn what_was_accepted_stays_accepted_over_steps_and_after_a_killed_run() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    sim.by_hand("b", |state| state.add_column("t1", "note"));
    assert_eq!(sim.up().await.0.exit, ExitStatus::Drift);
    let accepted = sim.accept("b").await.unwrap();
    assert_eq!(accepted.differences[0].sentence(), "column `t1.note` is not expected");
    assert_eq!(sim.accept("b").await.unwrap_err().code(), Code::USAGE, "once is enough");
    assert_eq!(sim.accept("a").await.unwrap_err().code(), Code::USAGE, "it is as expected");
    let row = sim.tenants()["b"].journal.last().unwrap().clone();
    assert_eq!(row.error.as_deref(), Some("ticket 7: column `t1.note` is not expected"));

    let killed = sim.then(&FIVE, 2).fault("e", 2, Fault::Hangs);
    assert!(tokio::time::timeout(Duration::from_secs(60), killed.up()).await.is_err());
    tokio::time::sleep(Duration::from_millis(1)).await;
    for changesets in [2, 3, 4] {
        let next = sim.then(&FIVE, changesets);
        let (ending, _) = next.up().await;
        assert_eq!(ending.exit, ExitStatus::Done, "{:?}", ending.diagnostics);
        assert!(next.verdicts().await.contains("b excused"));
    }
    // What comes on top was not accepted, and what was accepted is not told again.
    sim.by_hand("b", |state| state.add_column("t2", "other"));
    let (ending, _) = sim.then(&FIVE, 4).up().await;
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("`t2.other`") && !said.contains("`t1.note`"), "{said}");
    // Accepted too, both are.
    sim.then(&FIVE, 4).accept("b").await.unwrap();
    assert_eq!(sim.then(&FIVE, 5).up().await.0.exit, ExitStatus::Done);
    // What does not exist any more is not accepted any more.
    sim.by_hand("b", |state| state.remove("t1.note"));
    sim.then(&FIVE, 5).accept("b").await.unwrap();
    assert_eq!(sim.then(&FIVE, 6).up().await.0.exit, ExitStatus::Done);
    let row = sim.tenants()["b"].journal.last().unwrap().clone();
    assert!(
        row.accepted.as_ref().is_some_and(|text| text.contains("t2.other") && !text.contains("t1.note")),
        "{row:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_for_one_tenant_alone_does_not_forget_what_was_accepted_of_it() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    sim.by_hand("b", |state| state.add_column("t1", "note"));
    sim.accept("b").await.unwrap();
    assert_eq!(sim.then(&["b"], 2).up().await.0.exit, ExitStatus::Done);
    assert_eq!(sim.then(&FIVE, 2).up().await.0.exit, ExitStatus::Done);
    assert!(sim.then(&FIVE, 2).verdicts().await.contains("b excused"));
}

#[tokio::test(start_paused = true)]
async fn repair_keeps_what_was_accepted() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    sim.by_hand("c", |state| state.add_column("t1", "note"));
    sim.accept("c").await.unwrap();
    let next = sim.then(&FIVE, 2).fault("c", 2, Fault::DiesHalf);
    assert_eq!(next.up().await.0.exit, ExitStatus::HalfApplied);
    assert_eq!(next.accept("c").await.unwrap_err().code(), Code::HALF_APPLIED);
    next.repair("c", Mark::Undone).await.unwrap();
    let (ending, _) = next.up().await;
    assert_eq!(ending.exit, ExitStatus::Done, "{:?}", ending.diagnostics);
    assert!(next.verdicts().await.contains("c excused"));
}

#[tokio::test(start_paused = true)]
async fn at_a_first_contact_the_majority_is_right_and_without_one_a_person_is_asked() {
    let mut sim = Sim::new(&FIVE, 1);
    sim.options.verify = Verify::Off;
    sim.up().await;
    sim.by_hand("b", |state| state.add_column("t1", "note"));
    assert_eq!(sim.verdicts().await, "a expected, b deviates, c expected, d expected, e expected");
    sim.by_hand("c", |state| state.add_column("t1", "other"));
    sim.by_hand("d", |state| state.add_column("t1", "note"));
    let next = sim.then(&FIVE, 2);
    let (ending, _) = next.up().await;
    assert_eq!((ending.outcome, ending.diagnostics.len()), (RunOutcome::Drift, 1));
    let said = ending.diagnostics[0].to_string();
    for part in [
        "MT412",
        "5 tenants of one cohort (postgres, V1) have 3 different schemas, and nothing says which is right",
        "2 tenants: a, e",
        "2 tenants: b, d",
        "1 tenant: c",
        "--- a and 1 more\n+++ b and 1 more",
        "mtmigrate accept --tenant a --reason",
    ] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
    let accepted = next.accept("b").await.unwrap();
    assert!(accepted.differences.is_empty(), "nothing was known to be expected");
    assert_eq!(next.verdicts().await, "a deviates, b expected, c deviates, d expected, e deviates");
    for tenant in ["a", "c", "e"] {
        next.accept(tenant).await.unwrap();
    }
    assert_eq!(next.up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn where_records_disagree_a_person_decides() {
    let sim = Sim::new(&["a", "b"], 1);
    sim.by_hand("b", |state| state.add(Object::new(Kind::Table, None, "old")));
    for alone in ["a", "b"] {
        assert_eq!(sim.then(&[alone], 1).up().await.0.exit, ExitStatus::Done);
    }
    assert_eq!(sim.verdicts().await, "a undecided, b undecided");
    sim.accept("a").await.unwrap();
    assert_eq!(sim.verdicts().await, "a expected, b deviates");
    sim.accept("b").await.unwrap();
    assert_eq!(sim.then(&["a", "b"], 2).up().await.0.exit, ExitStatus::Done);
    assert_eq!(sim.then(&["a", "b"], 2).verdicts().await, "a expected, b excused");
}

#[tokio::test(start_paused = true)]
async fn an_index_that_does_not_work_is_told_at_the_end_even_if_all_have_it() {
    let mut sim = Sim::new(&["a", "b"], 1);
    for tenant in ["a", "b"] {
        sim = sim.effect(tenant, 1, Effect::Breaks);
    }
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Drift);
    assert!(ending.diagnostics[0].to_string().contains("index `t1_a` is `invalid`, expected `valid`"));
    for tenant in ["a", "b"] {
        sim.accept(tenant).await.unwrap();
    }
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
}
