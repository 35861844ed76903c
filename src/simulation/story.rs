//! What happens in the world of a seed: nights with runs and trouble, changes by hand between them, and at last a
//! calm day on which everything is mended and one undisturbed run must reach the end.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout};

use crate::changeset::{Changelog, Version};
use crate::history::{OutOfOrder, Unfinished};
use crate::lockstep::Signal;
use crate::tenant::{Fleet, TenantId, Verify};

use super::dice::Dice;
use super::draw::{self, Draft};
use super::process::Process;
use super::world::{Machine, ProcessId, Shared, Weather, World};

/// A seed's whole story.
pub(super) struct Story {
    pub world: Shared,
    pub dice: Dice,
    /// What is drawn about waves.
    waves: Dice,
    /// What is drawn about changesets that are not for everybody, where there are any.
    marks: Option<Dice>,
    /// Everybody who will ever be there.
    whole: Fleet,
    /// Those who are there now.
    pub fleet: Arc<Fleet>,
    waiting: Vec<Draft>,
    pub drafts: Vec<Draft>,
    pub changelog: Arc<Changelog>,
    /// Whether changesets come that are older than what tenants have.
    unordered: bool,
    pub verify: Verify,
    next_process: ProcessId,
}

/// What came of a seed.
pub(super) struct Told {
    pub log: Vec<String>,
    pub violation: Option<String>,
}

/// No story takes as long, in virtual time.
const FOREVER: Duration = Duration::from_secs(3 * 86_400);

/// What tells the dice of waves from the others.
const WAVES: u64 = 0x7761_7665;

/// What tells the dice of marks from the others.
const MARKS: u64 = 0x6d61_726b;

/// Of so many hundreds of seeds one has servers that refuse the flush.
const UNFLUSHED: u64 = 8;

/// Runs a seed in virtual time, on this thread.
pub(super) fn tell(seed: u64) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output can be built");
    let told = runtime.block_on(async {
        let mut story = Story::begin(seed);
        let world = story.world.clone();
        if timeout(FOREVER, story.whole_story()).await.is_err() {
            world.lock().violate("the end: a run never ends");
        }
        let mut world = world.lock();
        Told { log: std::mem::take(&mut world.log), violation: world.violation.take() }
    });
    // What is still under way then is of no interest.
    runtime.shutdown_background();
    told
}

impl Story {
    fn begin(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut whole = draw::fleet(&mut dice);
        let mut waves = Dice::new(seed ^ WAVES);
        draw::waves(&mut waves, &mut whole);
        let mut marks = Dice::new(seed ^ MARKS);
        let mut marks = draw::labels(&mut marks, &mut whole).then_some(marks);
        let mut drafts = draw::drafts(&mut dice);
        drafts.iter_mut().for_each(|draft| draft.only = is_selective(&mut marks));
        let machine = |server: &crate::tenant::Server| Machine {
            down_until: Instant::now(),
            max_connections: server.max_connections.get(),
        };
        let machines = whole.servers.iter().map(machine).collect();
        let mut world = World::new(dice.fork(), machines);
        world.flushes = !(seed / 100).is_multiple_of(UNFLUSHED);
        let there = match dice.permille(300) {
            true => dice.between(1, whole.tenants.len() as u64) as usize,
            false => whole.tenants.len(),
        };
        let first = match dice.permille(400) {
            true => dice.between(1, drafts.len() as u64) as usize,
            false => drafts.len(),
        };
        let waiting = drafts.split_off(first);
        let mut story = Self {
            world: Shared::new(world),
            changelog: Arc::new(draw::changelog(&drafts)),
            fleet: Arc::new(Fleet { tenants: Vec::new(), ..whole.clone() }),
            whole,
            waiting,
            drafts,
            unordered: dice.permille(150),
            verify: *dice.pick(&Verify::ALL),
            next_process: 1,
            dice,
            waves,
            marks,
        };
        story.add_tenants(there);
        story
    }

    async fn whole_story(&mut self) {
        for night in 0..self.dice.between(1, 3) {
            if night > 0 {
                self.between().await;
            }
            self.night().await;
            if self.world.lock().violation.is_some() {
                return;
            }
            self.changed_prefix().await;
            sleep(Duration::from_millis(*self.dice.pick(&[0, 300, 20_000]))).await;
        }
        self.day().await;
    }

    fn add_tenants(&mut self, there: usize) {
        let mut fleet = Fleet::clone(&self.fleet);
        let mut world = self.world.lock();
        while fleet.tenants.len() < there {
            fleet.tenants.push(self.whole.tenants[fleet.tenants.len()].clone());
            let slow = self.dice.permille(150);
            let server = fleet.tenants.last().map_or(0, |tenant| tenant.server.0);
            world.tenants.push(super::state::State { server, slow, ..Default::default() });
        }
        world.tell(format!("{} tenants", fleet.tenants.len()));
        drop(world);
        self.fleet = Arc::new(fleet);
    }

    fn add_drafts(&mut self, drafts: impl IntoIterator<Item = Draft>) {
        self.drafts.extend(drafts);
        self.changelog = Arc::new(draw::changelog(&self.drafts));
        self.world.lock().tell(format!("{} changesets", self.drafts.len()));
    }

    /// Everybody who is to come is there now, nobody is left out, and so is every changeset.
    pub fn complete(&mut self) {
        self.whole.tenants.iter_mut().for_each(|tenant| tenant.quarantined = None);
        self.add_tenants(self.whole.tenants.len());
        let mut fleet = Fleet::clone(&self.fleet);
        fleet.tenants.iter_mut().for_each(|tenant| tenant.quarantined = None);
        self.fleet = Arc::new(fleet);
        let waiting = std::mem::take(&mut self.waiting);
        self.add_drafts(waiting);
    }

    /// What people do between two nights.
    async fn between(&mut self) {
        if self.dice.permille(400) {
            let there = self.dice.between(self.fleet.tenants.len() as u64, self.whole.tenants.len() as u64);
            self.add_tenants(there as usize);
        }
        if self.dice.permille(500) && !self.waiting.is_empty() {
            let more = self.dice.between(1, self.waiting.len() as u64) as usize;
            let more: Vec<Draft> = self.waiting.drain(..more).collect();
            self.add_drafts(more);
        }
        if self.unordered && self.dice.permille(500) {
            self.add_unordered().await;
        }
        if self.dice.permille(600) {
            let mut world = self.world.lock();
            world.broken.clear();
            if self.dice.permille(700) {
                world.take_back();
            }
        }
        if self.dice.permille(200) {
            let rows = !self.unordered;
            self.world.lock().edit_by_hand(rows);
        }
        self.mark();
    }

    /// Some tenants are marked only later, or no more: what they got or skipped stays so.
    fn mark(&mut self) {
        let Some(marks) = &mut self.marks else { return };
        if !marks.permille(400) {
            return;
        }
        let tenant = marks.below(self.fleet.tenants.len() as u64) as usize;
        draw::mark(&mut self.whole.tenants[tenant]);
        let mut fleet = Fleet::clone(&self.fleet);
        draw::mark(&mut fleet.tenants[tenant]);
        self.fleet = Arc::new(fleet);
        self.world.lock().tell(format!("the mark of t{tenant} is another"));
    }

    /// Adds a changeset that is older than others, when no text is half applied: a person would have to finish that.
    async fn add_unordered(&mut self) {
        sleep(Duration::from_secs(300)).await;
        if self.world.lock().tenants.iter().any(|state| state.open().is_some()) {
            return;
        }
        let version = self.dice.pick(&self.drafts).version - 5;
        if self.drafts.iter().chain(&self.waiting).all(|draft| draft.version != version) {
            let only = is_selective(&mut self.marks);
            let draft = Draft { only, ..draw::draft(&mut self.dice, version) };
            self.add_drafts([draft]);
        }
    }

    /// Runs, and what befalls them.
    async fn night(&mut self) {
        let weather = draw::weather(&mut self.dice);
        let mut doings: FuturesUnordered<LocalBoxFuture<'static, ()>> = FuturesUnordered::new();
        {
            let mut world = self.world.lock();
            world.tell(format!("{weather:?}"));
            world.weather = weather;
        }
        self.break_texts();
        self.make_odd();
        let runs = match self.dice.below(10) {
            0..6 => 1,
            6..9 => 2,
            _ => 3,
        };
        for _ in 0..runs {
            let (process, world) = (self.process(), self.world.clone());
            doings.push(Box::pin(async move { drop(process.run(world).await) }));
        }
        if self.dice.permille(150) {
            let server = self.dice.below(self.fleet.servers.len() as u64) as usize;
            let down = self.dice.below(1500);
            doings.push(self.later(move |world| world.restart(server, Duration::from_millis(down))));
        }
        if self.dice.permille(200) {
            doings.push(self.later(World::lose_a_lock));
        }
        if self.dice.permille(120) {
            let rows = !self.unordered;
            doings.push(self.later(move |world| world.edit_by_hand(rows)));
        }
        while doings.next().await.is_some() {}
        self.world.lock().weather = Weather { notice_ms: 500, ..Weather::default() };
    }

    /// Does something to the world some time in the night.
    fn later(&mut self, what: impl FnOnce(&mut World) + 'static) -> LocalBoxFuture<'static, ()> {
        let most = *self.dice.pick(&[60, 400, 2000]);
        let after = Duration::from_millis(self.dice.below(most));
        let world = self.world.clone();
        Box::pin(async move {
            sleep(after).await;
            what(&mut world.lock());
        })
    }

    /// Some texts do something else to one tenant than to the others.
    fn make_odd(&mut self) {
        if self.dice.permille(100) {
            let tenant = self.dice.below(self.fleet.tenants.len() as u64) as usize;
            let version = self.dice.pick(&self.drafts).version;
            self.world.lock().odd.insert((tenant, version));
        }
    }

    /// Some statements fail for good, until their cause is mended.
    fn break_texts(&mut self) {
        if !self.dice.permille(350) {
            return;
        }
        let mut world = self.world.lock();
        for _ in 0..self.dice.between(1, 2) {
            let tenant = self.dice.below(self.fleet.tenants.len() as u64) as usize;
            let draft = self.dice.pick(&self.drafts);
            let statement_no = self.dice.between(1, draft.statements.len() as u64) as u32;
            world.broken.insert((tenant, draft.version, statement_no));
        }
    }

    /// Draws a run.
    fn process(&mut self) -> Process {
        let calm = Process::calm(self.next(), &self.fleet, &self.changelog, self.verify);
        let dice = &mut self.dice;
        let mut selection = calm.selection.clone();
        if dice.permille(200) {
            selection.retain(|_| dice.permille(600));
            if selection.is_empty() {
                selection.push(TenantId(0));
            }
        }
        let target = dice.permille(150).then(|| Version(dice.pick(&self.drafts).version));
        let killed_at = dice.permille(350).then(|| {
            let most = 1 << dice.between(2, 10);
            dice.between(1, most)
        });
        let stops = dice.permille(150).then(|| {
            let signal = *dice.pick(&[Signal::Interrupt, Signal::Terminate]);
            let insists = dice.permille(400).then(|| Duration::from_millis(dice.below(30)));
            (Duration::from_millis(dice.below(500)), signal, insists)
        });
        // Somebody runs an older checkout.
        let changelog = match dice.permille(60) {
            true => {
                let first = dice.between(1, self.drafts.len() as u64) as usize;
                Arc::new(draw::changelog(&self.drafts[..first]))
            }
            false => self.changelog.clone(),
        };
        let opens = !self.waves.permille(250);
        let target = target.filter(|target| changelog.get(*target).is_some());
        let allows = self.unordered && dice.permille(700);
        Process {
            changelog,
            selection,
            target,
            jobs: dice.permille(150).then(|| NonZeroUsize::new(dice.between(1, 4) as usize)).flatten(),
            lock_wait: Duration::from_millis(*dice.pick(&[0, 3_000, 15_000])),
            out_of_order: if allows { OutOfOrder::Allow } else { OutOfOrder::Refuse },
            verify: if dice.permille(800) { self.verify } else { *dice.pick(&Verify::ALL) },
            starts_after: Duration::from_millis(*dice.pick(&[0, 3, 40, 400])),
            killed_at,
            stops,
            opens,
            ..calm
        }
    }

    pub fn next(&mut self) -> ProcessId {
        self.next_process += 1;
        self.next_process - 1
    }

    /// Somebody changes what was run of a half applied text, and tries to continue that tenant alone.
    async fn changed_prefix(&mut self) {
        let open = self.world.lock().tenants.iter().enumerate().find_map(|(tenant, state)| {
            let (Unfinished::FailedAt { version, statement_no, .. }
            | Unfinished::Uncertain { version, statement_no, .. }) = state.open()?;
            (statement_no > 1).then_some((tenant, version.0))
        });
        let Some((tenant, version)) = open.filter(|_| self.dice.permille(300)) else { return };
        let mut drafts = self.drafts.clone();
        for draft in drafts.iter_mut().filter(|draft| draft.version == version) {
            draft.statements[0] = format!("INSERT INTO changed VALUES ({version})");
        }
        self.world.lock().tell(format!("the text of V{version} is changed, for t{tenant} alone"));
        let calm = Process::calm(self.next(), &self.fleet, &Arc::new(draw::changelog(&drafts)), self.verify);
        Process { selection: vec![TenantId(tenant)], ..calm }.run(self.world.clone()).await;
    }

    /// Returns the versions of all changesets.
    pub fn versions(&self) -> BTreeSet<i64> {
        self.drafts.iter().map(|draft| draft.version).collect()
    }
}

/// Draws whether a changeset is for the marked tenants alone.
fn is_selective(marks: &mut Option<Dice>) -> bool {
    marks.as_mut().is_some_and(|marks| marks.permille(350))
}
