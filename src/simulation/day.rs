//! The end of a story: everything is mended, and one undisturbed run must reach the end state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::time::sleep;

use crate::engine::Mark;
use crate::error::ExitStatus;
use crate::history::{OutOfOrder, Unfinished};
use crate::lockstep::{self, Accept, Depth, Ending, Repair, RunOutcome, Scope, Stop, survey};
use crate::tenant::TenantId;

use super::draw::{self, Draft};
use super::process::Process;
use super::state::State;
use super::story::Story;
use super::world::Weather;

/// How long everything that dead runners left behind may take to end: hanging messages, statements, noticing.
const ALL_OVER: Duration = Duration::from_secs(900);

/// How often a person looks after a run that says it needs one.
const LOOKS: u32 = 6;

impl Story {
    /// Mends everything, and checks that `up` reaches the end state.
    pub async fn day(&mut self) {
        self.world.lock().weather = Weather { notice_ms: 500, ..Weather::default() };
        sleep(ALL_OVER).await;
        {
            let mut world = self.world.lock();
            world.broken.clear();
            world.take_back();
            let left: Vec<String> = world.sessions.values().map(|s| format!("{s:?}")).collect();
            if let Some(left) = left.first() {
                world.violate(format!("locks: a session outlives everybody: {left}"));
            }
        }
        self.complete();
        for _ in 0..LOOKS {
            if self.world.lock().violation.is_some() {
                return;
            }
            let Some(ending) = self.undisturbed().await else { return };
            let helped = match ending.exit {
                ExitStatus::Done => return self.at_the_end().await,
                ExitStatus::HalfApplied => self.answer().await | self.finish_first().await,
                ExitStatus::Drift => self.accept().await,
                _ => false,
            };
            if !helped {
                break;
            }
        }
        self.world.lock().violate("the end: an undisturbed run does not reach it");
    }

    async fn undisturbed(&mut self) -> Option<Ending> {
        let process = Process::calm(self.next(), &self.fleet, &self.changelog, self.verify);
        process.run(self.world.clone()).await
    }

    /// A person looks at every statement of which nobody knows, and says the truth. Returns whether there was any.
    async fn answer(&mut self) -> bool {
        let uncertain = self.uncertain();
        for &(tenant, mark) in &uncertain {
            let process = Process::calm(self.next(), &self.fleet, &self.changelog, self.verify);
            let servers = process.servers(&self.world, &Arc::new(AtomicBool::new(false)));
            let scope = Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &[] };
            let asked = Repair { tenant: TenantId(tenant), mark, reason: "looked", lock_wait: Duration::ZERO };
            self.world.lock().tell(format!("a person says that t{tenant} is {}", mark.as_str()));
            let said = lockstep::repair(scope, &asked, &process.identity(), &Stop::default(), &|_| {}).await;
            if let Err(refused) = said {
                self.world.lock().violate(format!("the end: a person's answer is refused: {}", refused.one_line()));
            }
        }
        !uncertain.is_empty()
    }

    /// Finishes texts that are half applied and newer than others that their tenants lack, as their message says: with
    /// these out of the changelog. Returns whether there was any.
    async fn finish_first(&mut self) -> bool {
        let open = |(tenant, state): (usize, &State)| match state.open()? {
            Unfinished::FailedAt { version, .. } => Some((tenant, version, state.applied.clone())),
            Unfinished::Uncertain { .. } => None,
        };
        let open: Vec<_> = self.world.lock().tenants.iter().enumerate().filter_map(open).collect();
        let mut any = false;
        for (tenant, version, applied) in open {
            let keeps = |draft: &&Draft| draft.version >= version.0 || applied.contains(&draft.version);
            let kept: Vec<Draft> = self.drafts.iter().filter(keeps).cloned().collect();
            if kept.len() == self.drafts.len() {
                continue;
            }
            any = true;
            let calm = Process::calm(self.next(), &self.fleet, &Arc::new(draw::changelog(&kept)), self.verify);
            let alone = Process { selection: vec![TenantId(tenant)], target: Some(version), ..calm };
            alone.run(self.world.clone()).await;
        }
        any
    }

    /// Returns the statements of which nobody knows, and the truth about them.
    fn uncertain(&self) -> Vec<(usize, Mark)> {
        let world = self.world.lock();
        let found = world.tenants.iter().enumerate().filter_map(|(tenant, state)| match state.open()? {
            Unfinished::Uncertain { version, statement_no, .. } => {
                let done = state.times(version.0, statement_no) > 0;
                Some((tenant, if done { Mark::Done } else { Mark::Undone }))
            }
            Unfinished::FailedAt { .. } => None,
        });
        found.collect()
    }

    /// A person accepts the schemas that are right and not as recorded. Returns whether there was any.
    async fn accept(&mut self) -> bool {
        let process = Process::calm(self.next(), &self.fleet, &self.changelog, self.verify);
        let servers = process.servers(&self.world, &Arc::new(AtomicBool::new(false)));
        let scope =
            Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &process.selection };
        let found = survey(&scope, OutOfOrder::Allow, Depth::Schemas).await;
        let drifted = |(tenant, position): (TenantId, &lockstep::Position)| {
            position.verdict.as_ref().is_some_and(|verdict| verdict.is_drift()).then_some(tenant)
        };
        let tenants: Vec<TenantId> = found.positions().filter_map(drifted).collect();
        for &tenant in &tenants {
            let asked = Accept { tenant, reason: "it is right", lock_wait: Duration::ZERO };
            // Where another one's schema was the reason, accepting that one settles both.
            let _ = lockstep::accept(scope, &asked, &process.identity(), &Stop::default(), &|_| {}).await;
        }
        !tenants.is_empty()
    }

    /// Checks the end state, and that another run has nothing to do.
    async fn at_the_end(&mut self) {
        {
            let versions = self.versions();
            let mut world = self.world.lock();
            let mut wrong = Vec::new();
            // Who skipped the same changesets has the same schema.
            let mut schemas: BTreeMap<&BTreeSet<i64>, String> = BTreeMap::new();
            for (tenant, state) in world.tenants.iter().enumerate() {
                if state.applied != versions || state.rows.len() != versions.len() {
                    wrong.push(format!("the end: t{tenant} has {:?}", state.applied));
                }
                let signature = state.signature();
                if *schemas.entry(&state.skipped).or_insert_with(|| signature.clone()) != signature {
                    wrong.push(format!("the end: the schema of t{tenant} is another one"));
                }
            }
            wrong.into_iter().for_each(|wrong| world.violate(wrong));
        }
        let again = self.undisturbed().await;
        if again.is_none_or(|ending| ending.outcome != RunOutcome::UpToDate) {
            self.world.lock().violate("the end: another run finds something to do");
        }
    }
}
