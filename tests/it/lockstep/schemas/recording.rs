//! The end of a run: what journals are told, however it ended.

use std::time::Duration;

use mtmigrate::error::{ExitStatus, Severity};
use mtmigrate::lockstep::{RunOutcome, Signal};
use mtmigrate::tenant::Verify;

use super::recorded;
use crate::lockstep::world::Fault;
use crate::lockstep::{FIVE, Sim};

#[tokio::test(start_paused = true)]
async fn what_verify_off_leaves_alone_stays_recorded() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    let was = sim.recorded("c").unwrap();
    let mut off = sim.then(&FIVE, 2).fault("c", 2, Fault::Fails);
    off.options.verify = Verify::Off;
    assert_eq!(off.up().await.0.exit, ExitStatus::Failed);
    assert_eq!(off.recorded("c"), Some(was), "a failure changed nothing");
    sim.by_hand("c", |state| state.add_column("t1", "note"));
    assert!(off.verdicts().await.contains("c changed"));
}

#[tokio::test(start_paused = true)]
async fn a_killed_run_records_nothing_and_the_next_one_goes_on() {
    let sim = Sim::new(&FIVE, 1);
    sim.up().await;
    let next = sim.then(&FIVE, 3).fault("d", 2, Fault::Hangs);
    assert!(tokio::time::timeout(Duration::from_secs(60), next.up()).await.is_err(), "it is killed");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((next.versions("a").len(), next.recorded("a")), (2, None));
    assert!(next.recorded("d").is_some());
    let (ending, events) = next.up().await;
    assert_eq!((ending.exit, recorded(&events)), (ExitStatus::Done, Some(5)));
    assert!(next.recorded("a").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_halted_run_records_those_that_are_alike() {
    let sim = Sim::new(&FIVE, 2).fault("b", 2, Fault::Fails).slow("b", 50);
    let (ending, events) = sim.up().await;
    assert_eq!((ending.exit, recorded(&events)), (ExitStatus::Failed, Some(5)));
    assert!(FIVE.iter().all(|tenant| sim.recorded(tenant).is_some()));
    sim.by_hand("b", |state| state.add_column("t1", "note"));
    assert!(sim.verdicts().await.contains("b changed"), "also who failed is watched");
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_records_too() {
    let mut sim = Sim::new(&FIVE, 3).slow("a", 1000).slow("b", 1000);
    sim.width = 2;
    let stop = sim.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.ask(Signal::Interrupt);
    });
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, recorded(&events)), (RunOutcome::Interrupted, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn of_whom_nobody_knows_nothing_is_recorded() {
    let sim = Sim::new(&FIVE, 2).fault("c", 2, Fault::LostAfter);
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Failed);
    assert_eq!(sim.recorded("c"), None);
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_keep_the_schema_is_told_and_fails_nothing() {
    let sim = Sim::new(&FIVE, 1);
    sim.world.lock().unwrap().keep_fails.extend(["b".to_owned(), "c".to_owned()]);
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Applied, ExitStatus::Done));
    assert_eq!((ending.diagnostics.len(), recorded(&events)), (1, Some(3)));
    assert_eq!(ending.diagnostics[0].severity(), Severity::Warning);
    assert!(ending.diagnostics[0].to_string().contains("the schemas of 2 tenants were not recorded: b, c"));
    assert_eq!(sim.then(&FIVE, 2).up().await.0.exit, ExitStatus::Done);
}
