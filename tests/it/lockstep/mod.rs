//! The lockstep over a simulated engine: order, halts, locks, stops, in virtual time.

mod fake;
mod schemas;
mod waves;
mod world;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake::Fake;
use mtmigrate::changeset::{self, Changelog, Version};
use mtmigrate::engine::{Mark, RunIdentity, Server, Servers};
use mtmigrate::error::{Code, Diagnostic, ExitStatus};
use mtmigrate::history::OutOfOrder;
use mtmigrate::lockstep::{self, Ending, Event, Repair, Repaired, RunOutcome, Scope, Signal, State, Stop, UpOptions};
use mtmigrate::tenant::{self, Fleet, TenantId, Verify};
use world::{Fault, World};

struct NoEnvironment;

impl tenant::Environment for NoEnvironment {
    fn var(&self, _name: &str) -> Option<String> {
        None
    }
}

/// A fleet of simulated tenants and its changelog.
struct Sim {
    fleet: Fleet,
    changelog: Changelog,
    world: Arc<Mutex<World>>,
    width: usize,
    options: UpOptions,
    stop: Stop,
    _folder: tempfile::TempDir,
}

impl Sim {
    fn new(tenants: &[&str], changesets: i64) -> Self {
        let versions: Vec<i64> = (1..=changesets).collect();
        Self::with(tenants, &versions)
    }

    fn with(tenants: &[&str], versions: &[i64]) -> Self {
        Self::rolled_out("", tenants, versions)
    }

    /// A fleet with this `rollout:` in its file.
    fn rolled_out(rollout: &str, tenants: &[&str], versions: &[i64]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for version in versions {
            let file = folder.path().join(format!("V{version}__c{version}.sql"));
            let parts = ["", "_b", "_c", "_d", "_e"].map(|part| format!("CREATE TABLE t{version}{part} (a int);\n"));
            std::fs::write(file, parts.concat()).unwrap();
        }
        // `a@h2` is tenant `a` on server `h2`.
        let line = |name: &&str| {
            let (name, host) = name.split_once('@').unwrap_or((name, "h"));
            format!("  - {{ name: {name}, url: \"postgres://u@{host}/{name}\" }}\n")
        };
        let lines: Vec<String> = tenants.iter().map(line).collect();
        let text = format!("{rollout}\ntenants:\n{}", lines.concat());
        let fleet = tenant::parse(Path::new("tenants.yaml"), &text, &NoEnvironment).unwrap();
        let changelog = changeset::load(folder.path()).unwrap().changelog;
        let options = UpOptions {
            target: None,
            jobs: None,
            lock_wait: Duration::ZERO,
            out_of_order: OutOfOrder::Refuse,
            verify: Verify::Step,
            gates: Arc::new(lockstep::NoGates),
        };
        let world = Arc::new(Mutex::new(World::default()));
        Self { fleet, changelog, world, width: 4, options, stop: Stop::default(), _folder: folder }
    }

    fn fault(self, tenant: &str, version: i64, fault: Fault) -> Self {
        self.world.lock().unwrap().faults.insert((tenant.into(), version), fault);
        self
    }

    fn slow(self, tenant: &str, millis: u64) -> Self {
        self.world.lock().unwrap().slow_ms.insert(tenant.into(), millis);
        self
    }

    /// Opens the servers as a process of its own would.
    fn servers(&self) -> Servers {
        let fake = |no| -> Arc<dyn Server> { Arc::new(Fake::new(self.world.clone(), no, self.width)) };
        (0..self.fleet.servers.len()).map(fake).collect()
    }

    /// Runs `up` as a process of its own would.
    async fn up(&self) -> (Ending, Vec<Event>) {
        let servers = self.servers();
        let selection: Vec<TenantId> = (0..self.fleet.tenants.len()).map(TenantId).collect();
        let scope = Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &selection };
        let events = Mutex::new(Vec::new());
        let sink = |event| events.lock().unwrap().push(event);
        let ending = lockstep::up(scope, &self.options, &RunIdentity::new(), &self.stop, &sink).await;
        (ending, events.into_inner().unwrap())
    }

    async fn repair(&self, tenant: &str, mark: Mark) -> Result<Repaired, Diagnostic> {
        let servers = self.servers();
        let scope = Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &[] };
        let tenant = self.fleet.tenants.iter().find(|t| t.name == tenant).unwrap().id;
        let asked = Repair { tenant, mark, reason: "seen", lock_wait: Duration::ZERO };
        lockstep::repair(scope, &asked, &RunIdentity::new(), &self.stop, &|_| {}).await
    }

    async fn states(&self) -> BTreeMap<String, State> {
        let servers = self.servers();
        let selection: Vec<TenantId> = (0..self.fleet.tenants.len()).map(TenantId).collect();
        let scope = Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &selection };
        let survey = lockstep::survey(&scope, OutOfOrder::Refuse, lockstep::Depth::Histories).await;
        let name = |id: TenantId| self.fleet.tenants[id.0].name.clone();
        survey.standings.iter().map(|s| (name(s.tenant), s.state())).collect()
    }

    fn versions(&self, tenant: &str) -> Vec<String> {
        let world = self.world.lock().unwrap();
        let rows = world.tenants.get(tenant).map(|state| state.rows.clone()).unwrap_or_default();
        rows.into_iter().filter_map(|row| row.version).collect()
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().unwrap().log)
    }

    /// Checks that no tenant got a version before all had the one before, and none got one twice.
    fn check_order(&self) {
        let world = self.world.lock().unwrap();
        let mut reached = 0;
        for line in &world.log {
            let version: i64 = line.rsplit_once('V').unwrap().1.parse().unwrap();
            assert!(version >= reached, "{line} came after V{reached}: {:?}", world.log);
            reached = version;
        }
        for (name, state) in &world.tenants {
            assert!(state.effects.values().all(|n| *n == 1), "{name}: {:?}", state.effects);
        }
    }
}

const FIVE: [&str; 5] = ["a", "b", "c", "d", "e"];

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_version_before_everybody_has_the_one_before() {
    let names: Vec<String> = (0..20).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut sim = Sim::new(&names, 6);
    for (i, name) in names.iter().enumerate() {
        sim = sim.slow(name, (i as u64 * 37) % 11 + 1);
    }
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Applied, ExitStatus::Done));
    sim.check_order();
    assert_eq!(sim.log().len(), 120);
    let (again, _) = sim.up().await;
    assert_eq!(again.outcome, RunOutcome::UpToDate);
    assert!(sim.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_behind_catches_up_before_anybody_goes_on() {
    let sim = Sim::with(&["a", "b"], &[1, 2, 3]);
    let mut first = Sim::with(&["a", "b"], &[1, 2]);
    first.world = sim.world.clone();
    first.up().await;
    sim.world.lock().unwrap().tenants.remove("b");
    sim.log();
    sim.up().await;
    assert_eq!(sim.log(), ["b V1", "b V2", "a V3", "b V3"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_tenant_halts_the_barrier_and_spares_those_in_flight() {
    // The second step goes from the end to the beginning.
    let mut sim = Sim::new(&FIVE, 3).fault("d", 2, Fault::Fails).slow("e", 50);
    sim.width = 2;
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Halted, ExitStatus::Failed));
    assert_eq!(sim.versions("e"), ["1", "2"], "e was in flight and finished");
    assert_eq!(sim.versions("d"), ["1"]);
    assert_eq!(sim.versions("a"), ["1"], "a was not started");
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("changeset V2__c2 failed on tenant d"), "{said}");
    assert!(said.contains("1 tenant has V2; 4 do not; nobody has V3; not started: a, b, c"), "{said}");

    let (again, _) = sim.up().await;
    assert_eq!(again.exit, ExitStatus::Done);
    sim.check_order();
    assert_eq!(sim.versions("d"), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_never_taken_for_an_applied_or_a_failed_changeset() {
    for fault in [Fault::LostBefore, Fault::LostAfter] {
        let sim = Sim::new(&FIVE, 3).fault("c", 2, fault);
        let (ending, _) = sim.up().await;
        assert_eq!(ending.exit, ExitStatus::Failed);
        assert!(ending.diagnostics[0].to_string().contains("nobody knows whether c has it"));
        assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
        sim.check_order();
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_a_few_times() {
    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::Passing(lockstep::RETRIES));
    let (ending, events) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Done);
    let retried = events.iter().filter(|e| matches!(e, Event::TenantRetried { .. })).count();
    assert_eq!(retried as u32, lockstep::RETRIES);

    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::Passing(lockstep::RETRIES + 1));
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Failed);
    assert_eq!(ending.diagnostics[0].code(), Code::LOCK_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn drift_in_one_tenant_changes_nothing_in_any() {
    let sim = Sim::new(&FIVE, 2);
    sim.up().await;
    sim.world.lock().unwrap().tenants.get_mut("d").unwrap().rows[0].checksum = Some("17".into());
    sim.world.lock().unwrap().tenants.get_mut("a").unwrap().rows.pop();
    let before = sim.world.lock().unwrap().tenants.clone();
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Drift, ExitStatus::Drift));
    assert_eq!(ending.diagnostics[0].code(), Code::CHANGED_TEXT);
    assert!(ending.diagnostics[0].to_string().contains('d'));
    assert_eq!(sim.world.lock().unwrap().tenants, before);
    assert_eq!(sim.states().await["d"], State::Drifted);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_cannot_be_reached_holds_everybody_back() {
    let sim = Sim::new(&FIVE, 2);
    sim.world.lock().unwrap().unreachable.extend(["b".to_owned(), "d".to_owned()]);
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Refused, ExitStatus::Unreachable));
    assert_eq!(ending.diagnostics.len(), 1, "one cause is told once");
    assert!(ending.diagnostics[0].to_string().contains("b, d"));
    assert!(sim.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_standby_is_refused_when_there_is_something_to_do_and_only_then() {
    let sim = Sim::new(&FIVE, 2);
    sim.world.lock().unwrap().read_only = Some("it is a standby".into());
    let (ending, _) = sim.up().await;
    assert_eq!(ending.diagnostics[0].code(), Code::READ_ONLY);
    assert_eq!(ending.exit, ExitStatus::Unreachable);
    sim.world.lock().unwrap().read_only = None;
    sim.up().await;
    sim.world.lock().unwrap().read_only = Some("it is a standby".into());
    assert_eq!(sim.up().await.0.outcome, RunOutcome::UpToDate);
}

#[tokio::test(start_paused = true)]
async fn a_held_lock_is_waited_for_and_its_holder_named() {
    let mut sim = Sim::new(&FIVE, 2);
    sim.world.lock().unwrap().lock = Some("0000-other".into());
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Unreachable);
    assert_eq!(ending.diagnostics[0].code(), Code::LOCK_HELD);
    assert!(ending.diagnostics[0].to_string().contains("run 0000-other"));
    assert!(sim.log().is_empty());

    sim.options.lock_wait = Duration::from_secs(60);
    let world = sim.world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        world.lock().unwrap().lock = None;
    });
    let (ending, events) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::Done);
    let waits = events.iter().filter(|e| matches!(e, Event::LockWaiting { .. })).count();
    assert_eq!(waits, 1, "the holder is told once, not at every poll");
    assert_eq!(sim.world.lock().unwrap().lock, None, "the lock is given back");
}

#[tokio::test(start_paused = true)]
async fn what_another_run_did_while_we_waited_is_not_done_again() {
    let mut sim = Sim::new(&FIVE, 3);
    sim.options.lock_wait = Duration::from_secs(60);
    let (one, two) = tokio::join!(sim.up(), sim.up());
    let mut outcomes = [one.0.outcome.as_str(), two.0.outcome.as_str()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["applied", "up-to-date"]);
    sim.check_order();
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_halts_before_the_next_step() {
    let sim = Sim::new(&FIVE, 3);
    sim.world.lock().unwrap().lock_lost = true;
    let (ending, events) = sim.up().await;
    assert_eq!(ending.diagnostics[0].code(), Code::LOCK_LOST);
    assert_eq!(ending.exit, ExitStatus::Failed);
    assert!(sim.log().is_empty());
    assert_eq!(events.iter().filter(|e| matches!(e, Event::TenantNotStarted { .. })).count(), 5);
    let tally = events.iter().find_map(|e| match e {
        Event::Barrier { tally, .. } => Some(*tally),
        _ => None,
    });
    assert_eq!(tally.map(|t| (t.not_started, t.lock_lost)), Some((5, true)));
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_while_another_run_holds_the_lock_is_an_interrupt() {
    let mut sim = Sim::new(&FIVE, 2);
    sim.options.lock_wait = Duration::from_secs(600);
    sim.world.lock().unwrap().lock = Some("0000-other".into());
    let stop = sim.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.ask(Signal::Terminate);
    });
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Interrupted, ExitStatus::Terminated));
    assert_eq!(ending.diagnostics[0].code(), Code::LOCK_HELD, "who holds it is said all the same");
    assert!(ending.elapsed < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_gives_its_lock_back() {
    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::Hangs);
    let servers = sim.servers();
    let selection: Vec<TenantId> = (0..5).map(TenantId).collect();
    let scope = Scope { fleet: &sim.fleet, changelog: &sim.changelog, servers: &servers, selection: &selection };
    let run = RunIdentity::new();
    let up = lockstep::up(scope, &sim.options, &run, &sim.stop, &|_| {});
    assert!(tokio::time::timeout(Duration::from_secs(60), up).await.is_err(), "it hangs");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(sim.world.lock().unwrap().lock, None, "though its server lives on");
}

#[tokio::test(start_paused = true)]
async fn a_half_applied_text_is_finished_before_an_older_one_is_begun() {
    let five = Sim::with(&FIVE, &[5]).fault("c", 5, Fault::Half);
    assert_eq!(five.up().await.0.exit, ExitStatus::HalfApplied);
    let mut both = Sim::with(&FIVE, &[4, 5]);
    both.options.out_of_order = OutOfOrder::Allow;
    both.world = five.world.clone();
    five.log();
    let (ending, _) = both.up().await;
    assert_eq!(ending.exit, ExitStatus::HalfApplied);
    assert!(ending.diagnostics[0].to_string().contains("take the older changesets"), "{}", ending.diagnostics[0]);
    assert!(both.log().is_empty(), "nothing was changed anywhere");
    assert_eq!(five.up().await.0.exit, ExitStatus::Done);
    assert_eq!(both.up().await.0.exit, ExitStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_finishes_what_is_in_flight_and_starts_nothing_new() {
    for (signal, exit) in [(Signal::Interrupt, ExitStatus::Interrupted), (Signal::Terminate, ExitStatus::Terminated)] {
        let mut sim = Sim::new(&FIVE, 3).slow("a", 1000).slow("b", 1000);
        sim.width = 2;
        let stop = sim.stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.ask(signal);
        });
        let (ending, _) = sim.up().await;
        assert_eq!((ending.outcome, ending.exit), (RunOutcome::Interrupted, exit));
        assert_eq!(sim.log(), ["a V1", "b V1"]);
        assert!(ending.diagnostics[0].to_string().contains("not started: c, d, e"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_insists_rolls_back_what_hangs() {
    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::Hangs);
    let stop = sim.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.ask(Signal::Interrupt);
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.insist();
    });
    let (ending, _) = sim.up().await;
    assert_eq!((ending.outcome, ending.exit), (RunOutcome::Interrupted, ExitStatus::Interrupted));
    assert_eq!(ending.diagnostics[0].code(), Code::CANCELLED);
}

#[tokio::test(start_paused = true)]
async fn a_half_applied_text_is_continued_at_its_statement() {
    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::Half);
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::HalfApplied);
    assert!(ending.diagnostics[0].to_string().contains("c is half applied: 2 of 5 statements are committed"));
    assert_eq!(sim.states().await["c"], State::HalfApplied);
    sim.world.lock().unwrap().resumes.clear();
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
    assert!(sim.world.lock().unwrap().resumes.contains(&("c".into(), Some(3))));
}

#[tokio::test(start_paused = true)]
async fn a_statement_of_which_nobody_knows_stops_every_later_run() {
    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::DiesHalf);
    assert_eq!(sim.up().await.0.exit, ExitStatus::HalfApplied);
    sim.log();
    let (ending, _) = sim.up().await;
    assert_eq!(ending.exit, ExitStatus::HalfApplied);
    let said = ending.diagnostics[0].to_string();
    assert!(said.contains("statement 3 of 5"), "{said}");
    assert!(sim.log().is_empty(), "nothing was changed anywhere");
}

#[tokio::test(start_paused = true)]
async fn what_another_run_is_at_work_on_is_not_taken_for_half_applied() {
    let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::DiesHalf);
    sim.up().await;
    sim.world.lock().unwrap().lock = Some("0000-other".into());
    let (ending, _) = sim.up().await;
    assert_eq!((ending.diagnostics[0].code(), ending.exit), (Code::LOCK_HELD, ExitStatus::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_where_a_person_has_looked() {
    for (mark, continues_at) in [(Mark::Undone, 3), (Mark::Done, 4)] {
        let sim = Sim::new(&FIVE, 2).fault("c", 1, Fault::DiesHalf);
        sim.up().await;
        let repaired = sim.repair("c", mark).await.unwrap();
        assert_eq!((repaired.changeset.as_str(), repaired.continues_at), ("V1__c1", continues_at));
        sim.world.lock().unwrap().resumes.clear();
        assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
        assert!(sim.world.lock().unwrap().resumes.contains(&("c".into(), Some(continues_at))));
        assert_eq!(sim.repair("a", mark).await.unwrap_err().code(), Code::USAGE);
        sim.world.lock().unwrap().lock = Some("0000-other".into());
        assert_eq!(sim.repair("c", mark).await.unwrap_err().code(), Code::LOCK_HELD);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_ends_the_run_there_and_an_unknown_one_is_refused() {
    let mut sim = Sim::new(&FIVE, 3);
    sim.options.target = Some(Version(2));
    assert_eq!(sim.up().await.0.exit, ExitStatus::Done);
    assert_eq!(sim.versions("a"), ["1", "2"]);
    assert_eq!(sim.states().await["a"], State::Behind);
    let refused = |version| lockstep::check_target(&sim.changelog, Some(Version(version)));
    assert_eq!(refused(7).unwrap_err().code(), Code::UNKNOWN_TARGET);
    assert!(refused(3).is_ok());
}

#[tokio::test(start_paused = true)]
async fn neither_the_width_of_a_server_nor_jobs_is_exceeded() {
    let names: Vec<String> = (0..30).map(|i| format!("t{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (jobs, peak) in [(None, 7), (NonZeroUsize::new(3), 3)] {
        let mut sim = Sim::new(&names, 2);
        sim.width = 7;
        sim.options.jobs = jobs;
        sim.up().await;
        assert_eq!(sim.world.lock().unwrap().in_flight_peak, peak);
    }
}
