//! Schema drift over the simulated engine: before a run, after each step, at its end, and what a person accepts.

mod accepting;
mod converging;
mod halting;
mod recording;

use std::collections::BTreeMap;
use std::time::Duration;

use mtmigrate::engine::RunIdentity;
use mtmigrate::error::Diagnostic;
use mtmigrate::history::OutOfOrder;
use mtmigrate::lockstep::barrier::Tally;
use mtmigrate::lockstep::{self, Accept, Accepted, Depth, Event, Scope, Survey};
use mtmigrate::schema::Verdict;
use mtmigrate::tenant::TenantId;

use super::Sim;
use super::world::{self, Effect};

impl Sim {
    fn effect(self, tenant: &str, version: i64, effect: Effect) -> Self {
        self.world.lock().unwrap().effects.insert((tenant.into(), version), effect);
        self
    }

    /// Changes a tenant as a hand does.
    fn by_hand(&self, tenant: &str, change: impl Fn(&mut world::State)) {
        change(self.world.lock().unwrap().tenants.entry(tenant.into()).or_default());
    }

    /// Goes on with more changesets in the same world.
    fn then(&self, tenants: &[&str], changesets: i64) -> Self {
        let mut next = Self::new(tenants, changesets);
        next.world = self.world.clone();
        next.fleet.drift = self.fleet.drift.clone();
        next
    }

    async fn accept(&self, tenant: &str) -> Result<Accepted, Diagnostic> {
        let servers = self.servers();
        let selection: Vec<TenantId> = (0..self.fleet.tenants.len()).map(TenantId).collect();
        let scope = Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &selection };
        let tenant = self.fleet.tenants.iter().find(|t| t.name == tenant).unwrap().id;
        let asked = Accept { tenant, reason: "ticket 7", lock_wait: Duration::ZERO };
        lockstep::accept(scope, &asked, &RunIdentity::new(), &self.stop, &|_| {}).await
    }

    async fn survey(&self) -> Survey {
        let servers = self.servers();
        let selection: Vec<TenantId> = (0..self.fleet.tenants.len()).map(TenantId).collect();
        let scope = Scope { fleet: &self.fleet, changelog: &self.changelog, servers: &servers, selection: &selection };
        lockstep::survey(&scope, OutOfOrder::Refuse, Depth::Schemas).await
    }

    /// `a expected, b deviates, c -`.
    async fn verdicts(&self) -> String {
        let survey = self.survey().await;
        let word = |tenant: TenantId, verdict: Option<&Verdict>| {
            let word = match verdict {
                None => "-",
                Some(Verdict::Expected) => "expected",
                Some(Verdict::Excused) => "excused",
                Some(Verdict::Changed { .. }) => "changed",
                Some(Verdict::Deviates { .. }) => "deviates",
                Some(Verdict::Undecided) => "undecided",
            };
            format!("{} {word}", self.fleet.tenants[tenant.0].name)
        };
        survey.positions().map(|(tenant, p)| word(tenant, p.verdict.as_ref())).collect::<Vec<_>>().join(", ")
    }

    /// Returns whose schemas were read since the last time, in order.
    fn inspected(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().unwrap().inspected)
    }

    fn recorded(&self, tenant: &str) -> Option<String> {
        let world = self.world.lock().unwrap();
        world.tenants.get(tenant)?.journal.last()?.fingerprint.clone()
    }

    fn tenants(&self) -> BTreeMap<String, world::State> {
        self.world.lock().unwrap().tenants.clone()
    }
}

fn tally(events: &[Event], of: i64) -> Tally {
    let found = events.iter().find_map(|event| match event {
        Event::Barrier { version, tally, .. } if version.0 == of => Some(*tally),
        _ => None,
    });
    found.unwrap()
}

fn verified(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Verified { .. })).count()
}

fn diverged(events: &[Event]) -> Vec<(usize, i64)> {
    let diverged = |event: &Event| match event {
        Event::Diverged { tenant, version } => Some((tenant.0, version.0)),
        _ => None,
    };
    events.iter().filter_map(diverged).collect()
}

fn recorded(events: &[Event]) -> Option<usize> {
    events.iter().find_map(|event| match event {
        Event::Recorded { tenants, .. } => Some(*tenants),
        _ => None,
    })
}
