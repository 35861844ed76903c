//! What each engine's schemas are made of: every kind of object and attribute, changed by hand in one tenant of five.
//!
//! The engines' tables of cases are in the modules; here is how a case is looked at.

mod on_mariadb;
mod on_postgres;
mod on_sqlite;
mod repairing;

use std::sync::Arc;

use mtmigrate::engine;
use mtmigrate::schema::{Difference, Member, Snapshot, Verdict, judge};
use mtmigrate::tenant::{self, ProcessEnvironment};

use crate::support::Fleet;

/// One change by hand, and everything that must be said of it.
pub struct Case {
    /// The statements.
    pub change: &'static str,
    /// The sentences, in the order in which a description lists objects; none where the change is no drift.
    pub said: &'static [&'static str],
}

/// Reads the schemas of all tenants of a fleet, in its order.
pub fn inspected(fleet: &Fleet) -> Vec<Arc<Snapshot>> {
    let loaded = tenant::load(&fleet.folder().join("tenants.yaml"), &ProcessEnvironment).expect("a fleet");
    let servers = engine::open(&loaded).expect("servers");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut snapshots = vec![None; loaded.tenants.len()];
        for (id, server) in servers.iter().enumerate() {
            let own: Vec<&tenant::Tenant> = loaded.tenants.iter().filter(|tenant| tenant.server.0 == id).collect();
            for (tenant, answer) in own.iter().zip(server.inspect(&own).await) {
                snapshots[tenant.id.0] = Some(answer.unwrap_or_else(|error| panic!("{}: {error}", tenant.name)));
            }
            server.close().await;
        }
        snapshots.into_iter().map(|snapshot| snapshot.expect("an answer for each tenant")).collect()
    })
}

/// Makes four tenants with `base` and one for each case with `base` and its change, and compares each with the four.
///
/// `add` adds a tenant of this name to the fleet; `drift` is the value of `drift:` in `tenants.yaml`.
#[track_caller]
pub fn check(add: impl Fn(&mut Fleet, &str), base: &str, cases: &[Case], drift: &str) {
    const REST: usize = 4;
    let mut fleet = Fleet::new();
    for no in 0..REST + cases.len() {
        let name = format!("t{no}");
        add(&mut fleet, &name);
        fleet.execute(&name, base);
        if let Some(case) = no.checked_sub(REST).map(|at| &cases[at]) {
            fleet.execute(&name, case.change);
        }
    }
    fleet.set_top("drift", drift);
    let snapshots = inspected(&fleet);
    let mut wrong = Vec::new();
    for (case, changed) in cases.iter().zip(&snapshots[REST..]) {
        let five = snapshots[..REST].iter().chain([changed]).enumerate();
        let members = five.map(|(tenant, live)| Member {
            tenant,
            live: live.clone(),
            recorded: None,
            accepted: Arc::from([]),
            ignores: Arc::default(),
        });
        let cohorts = judge(members.collect());
        let groups: Vec<_> = cohorts.iter().flat_map(|cohort| &cohort.groups).collect();
        let drifted = groups.iter().filter(|group| group.verdict.is_drift());
        let said: Vec<String> =
            drifted.flat_map(|group| group.verdict.differences()).map(Difference::sentence).collect();
        let rest_is_one =
            matches!(groups[0].verdict, Verdict::Expected) && groups[0].tenants.starts_with(&[0, 1, 2, 3]);
        if said != case.said || !rest_is_one {
            wrong.push(format!("{}\n  said {said:#?}\n  not  {:#?}", case.change, case.said));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
