//! Waves: who gets a version when, and what stands in between.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mtmigrate::error::{Code, ExitStatus};
use mtmigrate::lockstep::{Between, Ending, Event, Failing, Gates, RunOutcome, Signal};

use super::Sim;
use super::world::Fault;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Opens or not, and notes what it was asked.
#[derive(Debug, Default)]
struct Keeper {
    fails: Mutex<bool>,
    says_no: Mutex<bool>,
    nobody: bool,
    asked: Mutex<Vec<String>>,
}

impl Gates for Keeper {
    fn can_confirm(&self) -> bool {
        !self.nobody
    }

    fn run<'a>(&'a self, command: &'a [String], between: &'a Between<'a>) -> BoxFuture<'a, Result<(), Failing>> {
        let asked = format!(
            "{} V{} {}→{} {}",
            command[0],
            between.version,
            between.wave,
            between.next,
            between.tenants.join(",")
        );
        self.asked.lock().unwrap().push(asked);
        let failing = Failing { how: "exit status 3".into(), tail: "orders: 500".into() };
        let answer = if *self.fails.lock().unwrap() { Err(failing) } else { Ok(()) };
        let slow = command.get(1).is_some_and(|word| word == "slow");
        async move {
            if slow {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            answer
        }
        .boxed()
    }

    fn confirm<'a>(&'a self, between: &'a Between<'a>) -> BoxFuture<'a, bool> {
        self.asked.lock().unwrap().push(format!("confirm V{} {}: {}", between.version, between.wave, between.fleet));
        let yes = !*self.says_no.lock().unwrap();
        async move { yes }.boxed()
    }
}

/// A fleet of `a` (wave one), `b` (wave two), `c` and `d` (the rest), and who keeps its gates.
fn fleet(order: &str, one: &str, versions: i64) -> (Sim, Arc<Keeper>) {
    rollout(&format!("order: {order}, waves: [{{ name: one, tenants: [a]{one} }}, {{ two: tenant=b }}]"), versions)
}

fn rollout(text: &str, versions: i64) -> (Sim, Arc<Keeper>) {
    let versions: Vec<i64> = (1..=versions).collect();
    let mut sim = Sim::rolled_out(&format!("rollout: {{ {text} }}"), &NAMES, &versions);
    let keeper = Arc::new(Keeper::default());
    sim.options.gates = keeper.clone();
    sim.width = 1;
    (sim, keeper)
}

/// Returns what happened in words: `V1 one`, `V1 |` for a barrier, `(check …)`.
fn told(events: &[Event]) -> String {
    let told = events.iter().filter_map(|event| match event {
        Event::StepStarted { version, wave, tenants, later, .. } => {
            Some(format!("V{version} {} {tenants}+{later}", wave.as_deref().unwrap_or("all")))
        }
        Event::Barrier { wave, .. } => Some(format!("| {}", wave.as_deref().unwrap_or("all"))),
        Event::GateWaiting { wave, condition, .. } => Some(format!("{wave}: {condition}")),
        Event::GatePassed { .. } => Some("passed".into()),
        Event::GateShut { .. } => Some("shut".into()),
        _ => None,
    });
    told.collect::<Vec<_>>().join(", ")
}

fn is_done(ending: &Ending) {
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Applied, ExitStatus::Done), "{:?}", ending.diagnostics);
}

#[tokio::test(start_paused = true)]
async fn each_step_goes_wave_by_wave_with_a_barrier_and_a_check_in_between() {
    let (sim, keeper) = fleet("step", ", check: [./smoke]", 2);
    let (ending, events) = sim.up().await;
    is_done(&ending);
    assert_eq!(sim.log(), ["a V1", "b V1", "c V1", "d V1", "a V2", "b V2", "d V2", "c V2"]);
    assert_eq!(
        told(&events),
        "V1 one 1+3, | one, one: check ./smoke, passed, V1 two 1+2, | two, V1 rest 2+0, | rest, \
         V2 one 1+3, | one, one: check ./smoke, passed, V2 two 1+2, | two, V2 rest 2+0, | rest"
    );
    assert_eq!(*keeper.asked.lock().unwrap(), ["./smoke V1 one→two a", "./smoke V2 one→two a"]);
}

#[tokio::test(start_paused = true)]
async fn each_wave_goes_all_the_way_before_the_next_begins() {
    let (sim, keeper) = fleet("wave", ", confirm: true", 2);
    let (ending, events) = sim.up().await;
    is_done(&ending);
    assert_eq!(sim.log(), ["a V1", "a V2", "b V1", "b V2", "c V1", "d V1", "d V2", "c V2"]);
    assert_eq!(
        told(&events),
        "V1 one 1+3, | one, V2 one 1+3, | one, one: confirm, passed, V1 two 1+2, | two, V2 two 1+2, | two, \
         V1 rest 2+0, | rest, V2 rest 2+0, | rest"
    );
    assert_eq!(*keeper.asked.lock().unwrap(), ["confirm V2 one: 1 tenant has V2; 3 do not"]);
    let verified = events.iter().filter(|event| matches!(event, Event::Verified { .. })).count();
    assert_eq!(verified, 6, "each leg is compared, and half a step is no drift");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_halts_before_the_next_wave_and_is_asked_again() {
    for order in ["step", "wave"] {
        let (sim, keeper) = fleet(order, ", check: [./smoke]", 1);
        *keeper.fails.lock().unwrap() = true;
        let (ending, events) = sim.up().await;
        assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Failed));
        assert_eq!(told(&events), "V1 one 1+3, | one, one: check ./smoke, shut");
        assert_eq!(
            ending.diagnostics[0].to_string(),
            "error[MT215]: the check `./smoke` after wave one failed at V1__c1\n\
             cause: exit status 3\n\
             cause: the last of what it printed:\n       orders: 500\n\
             state: 1 tenant has V1; 3 do not; wave two was not begun\n\
             hint: mend what it found, then run `mtmigrate up` again: finished tenants are skipped, and the check is asked again"
        );
        let (again, events) = sim.up().await;
        assert_eq!((again.exit, told(&events)), (ExitStatus::Failed, "one: check ./smoke, shut".to_owned()));
        *keeper.fails.lock().unwrap() = false;
        let (ending, _) = sim.up().await;
        is_done(&ending);
        let mut log = sim.log();
        log.sort();
        assert_eq!(log, ["a V1", "b V1", "c V1", "d V1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_is_asked_of_every_tenant_of_the_wave() {
    let text = "waves: [{ name: one, tenants: [a, b], check: { sql: SELECT ok } }]";
    let (sim, _) = rollout(text, 1);
    is_done(&sim.up().await.0);
    assert_eq!(sim.world.lock().unwrap().log_asked, ["SELECT ok of a", "SELECT ok of b"]);
    for (answer, cause) in [
        (Some("f"), "cause: b: it answered `f`, and not true"),
        (None, "cause: b: it answered NULL, and not true"),
        (Some("error"), "cause: b: the question was not answered: no table"),
    ] {
        let (sim, _) = rollout(text, 1);
        sim.world.lock().unwrap().answers.insert("b".into(), answer.map(str::to_owned));
        let (ending, _) = sim.up().await;
        let said = ending.diagnostics[0].to_string();
        assert!(
            said.starts_with("error[MT215]: the SQL check `SELECT ok` after wave one failed at V1__c1\n"),
            "{said}"
        );
        assert!(said.contains("cause: on 1 tenant: b\n") && said.contains(cause), "{said}");
        assert_eq!((ending.exit, sim.versions("c").len()), (ExitStatus::Failed, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_no_halts_the_run_and_the_next_one_asks_again() {
    let (sim, keeper) = fleet("step", ", confirm: true", 1);
    *keeper.says_no.lock().unwrap() = true;
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Failed));
    let said = ending.diagnostics[0].to_string();
    assert!(said.starts_with("error[MT216]: wave one was not confirmed at V1__c1\n"), "{said}");
    assert!(said.contains("state: 1 tenant has V1; 3 do not; wave two was not begun\n"), "{said}");
    *keeper.says_no.lock().unwrap() = false;
    is_done(&sim.up().await.0);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_can_be_asked_nothing_is_changed() {
    let (mut sim, _) = fleet("step", ", confirm: true", 1);
    sim.options.gates = Arc::new(Keeper { nobody: true, ..Keeper::default() });
    let (ending, events) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Refused, ExitStatus::Usage));
    assert_eq!(ending.diagnostics[0].code(), Code::NOT_CONFIRMED);
    assert!(sim.log().is_empty() && !events.iter().any(|event| matches!(event, Event::LockTaken { .. })));
    // Where no wave begins after it, it is not asked.
    let (mut sim, _) = rollout("waves: [{ name: all, tenants: [a, b, c, d], confirm: true }]", 1);
    sim.options.gates = Arc::new(Keeper { nobody: true, ..Keeper::default() });
    is_done(&sim.up().await.0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_waited_for_and_ends_with_a_stop_and_so_does_a_check() {
    let (sim, _) = fleet("step", ", pause: 10m", 1);
    let (ending, _) = sim.up().await;
    is_done(&ending);
    assert!(
        ending.elapsed > Duration::from_secs(600) && ending.elapsed < Duration::from_secs(602),
        "{:?}",
        ending.elapsed
    );
    for gate in [", pause: 10m", ", check: [./smoke, slow]"] {
        let (sim, _) = fleet("step", gate, 1);
        let stop = sim.stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            stop.ask(Signal::Interrupt);
        });
        let (ending, events) = sim.up().await;
        assert_eq!((ending.outcome, ending.exit), (RunOutcome::Interrupted, ExitStatus::Interrupted));
        assert!(ending.elapsed < Duration::from_secs(61), "{:?}", ending.elapsed);
        assert!(
            ending.diagnostics[0].message().contains("interrupted after wave one, at V1"),
            "{:?}",
            ending.diagnostics
        );
        assert!(
            events.iter().any(|event| matches!(event, Event::Recorded { tenants: 1, .. })),
            "what a has is recorded"
        );
        assert_eq!(sim.log(), ["a V1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_too_long_fails() {
    let (sim, _) = fleet("step", ", check: { run: [./smoke, slow], timeout: 5s }", 1);
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Failed);
    assert!(ending.diagnostics[0].to_string().contains("cause: it did not end within 5s"), "{:?}", ending.diagnostics);
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_lost_in_a_pause_halts_without_waiting_for_its_end() {
    let (sim, _) = fleet("step", ", pause: 10m", 1);
    let world = sim.world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.lock().unwrap().lock_lost = true;
    });
    let (ending, _) = sim.up().await;
    assert_eq!((ending.diagnostics[0].code(), ending.exit), (Code::LOCK_LOST, ExitStatus::Failed));
    assert!(ending.elapsed < Duration::from_secs(100), "{:?}", ending.elapsed);
    assert_eq!(sim.log(), ["a V1"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_halts_in_its_wave_and_the_words_tell_who_has_what() {
    let (sim, _) = fleet("step", "", 2);
    let sim = sim.fault("b", 2, Fault::Fails);
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Failed);
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("; 1 tenant has V2; 3 do not"), "{said}");
    assert_eq!(sim.log(), ["a V1", "b V1", "c V1", "d V1", "a V2"]);
    let (sim, _) = fleet("wave", "", 2);
    let sim = sim.fault("b", 1, Fault::Fails);
    let (ending, _) = sim.up().await;
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("; 1 tenant has V1; 3 do not; 1 tenant has V2"), "{said}");
    sim.log();
    is_done(&sim.up().await.0);
    assert_eq!(sim.log(), ["b V1", "b V2", "c V1", "d V1", "d V2", "c V2"]);
}

#[tokio::test(start_paused = true)]
async fn a_wave_is_finished_where_the_file_says_so_and_nothing_after_it_begins() {
    for (more, fails, has) in [
        ("", &["a"][..], &["b", "c"][..]),
        ("", &["a", "b"], &["c"]),
        (", max_failures: 2", &["a", "b"], &["c"]),
        (", max_failures: 1", &["a", "b"], &[]),
        (", max_failures: 0", &["a"], &[]),
    ] {
        let text = format!("on_failure: finish-wave{more}, waves: [{{ name: one, tenants: [a, b, c] }}]");
        let (sim, _) = rollout(&text, 2);
        let sim = fails.iter().fold(sim, |sim, tenant| sim.fault(tenant, 1, Fault::Fails));
        let (ending, _) = sim.up().await;
        assert_eq!((ending.exit, ending.diagnostics.len()), (ExitStatus::Failed, fails.len()), "{more}");
        let found: Vec<&str> = NAMES.into_iter().filter(|name| !sim.versions(name).is_empty()).collect();
        assert_eq!(found, has, "{more} {fails:?}: d is of the next wave");
        assert!(sim.log().iter().all(|line| line.ends_with("V1")));
        is_done(&sim.up().await.0);
    }
    // Without waves the step is the wave; what is half applied stops everybody.
    let sim = Sim::rolled_out("rollout: { on_failure: finish-wave }", &NAMES, &[1]);
    let mut sim = sim.fault("a", 1, Fault::Fails);
    sim.width = 1;
    assert_eq!(sim.up().await.0.exit, ExitStatus::Failed);
    assert_eq!(sim.log(), ["b V1", "c V1", "d V1"]);
    let mut sim = Sim::rolled_out("rollout: { on_failure: finish-wave }", &NAMES, &[1]).fault("b", 1, Fault::Half);
    sim.width = 1;
    assert_eq!(sim.up().await.0.exit, ExitStatus::HalfApplied);
    assert_eq!(sim.log(), ["a V1"]);
}
