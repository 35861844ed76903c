//! The lockstep: no tenant gets changeset k+1 before every tenant has changeset k.
//!
//! Start at [`up`]. Survey → judge → lock → survey again → for each version: step, convergence, barrier → record →
//! report. It emits events and prints nothing; it knows no engine, only [`crate::engine::Server`].

mod accept;
pub mod barrier;
mod budgets;
mod by_tenant;
mod check;
mod closing;
mod converge;
mod drift;
mod durable;
mod event;
mod expected;
mod gates;
mod jitter;
mod judge;
mod lanes;
mod ledger;
mod locks;
mod orphans;
mod provision;
mod repair;
mod run;
mod schemas;
mod standing;
mod step;
mod steps;
mod stop;
mod survey;
mod uncertain;
mod verdict;
mod words;

pub use accept::{Accept, Accepted, accept};
pub use budgets::Budgets;
pub(crate) use by_tenant::ByTenant;
pub use check::{Checked, Read, Tried, check, check_findings, finding};
pub use drift::{FleetCohort, Incomparable, SchemaDrift, schema_drift};
pub use event::{Condition, Ending, Event, RunOutcome, Sink};
pub use expected::expired;
pub use gates::{Between, Failing, Gates, NoGates, conditions};
pub use jitter::Jitter;
pub use judge::{Refusal, drift, half_applied, judge, unreadable};
#[cfg(test)]
pub(crate) use locks::FRESH;
pub use orphans::{Orphan, Past, Stray, orphans};
pub use provision::{Provision, Provisioned, Provisioning, Stopped, against_others, provision};
pub use repair::{Repair, Repaired, repair};
pub use standing::{Found, Position, Standing, State};
pub use stop::{Signal, Stop};
pub use survey::{Depth, Scope, Survey, survey};
pub use uncertain::{Account, look};

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::changeset::{Changelog, Version};
use crate::engine::RunIdentity;
use crate::error::{Code, Diagnostic, Result};
use crate::history::OutOfOrder;
pub use crate::tenant::RETRIES;
use crate::tenant::Verify;

use run::Run;

/// What `up` is asked for beside its scope.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The version to bring the fleet to; the changelog's newest without.
    pub target: Option<Version>,
    /// The most tenants in flight over all servers; the servers' budgets without.
    pub jobs: Option<NonZeroUsize>,
    /// How long to wait for another run's locks; zero tries once.
    pub lock_wait: Duration,
    /// Whether changesets below a tenant's newest are applied.
    pub out_of_order: OutOfOrder,
    /// When schemas are compared.
    pub verify: Verify,
    /// What opens the gates between waves.
    pub gates: Arc<dyn Gates>,
}

/// Checks that a target is in the changelog.
///
/// # Errors
/// `MT111` with the nearest versions.
pub fn check_target(changelog: &Changelog, target: Option<Version>) -> Result<()> {
    let Some(target) = target else { return Ok(()) };
    if changelog.get(target).is_some() {
        return Ok(());
    }
    let versions: Vec<Version> = changelog.changesets().iter().map(|c| c.version).collect();
    let above = versions.partition_point(|version| *version < target);
    let near: Vec<String> =
        versions[above.saturating_sub(2)..(above + 2).min(versions.len())].iter().map(ToString::to_string).collect();
    let hint = match near.is_empty() {
        true => format!("there is no changeset in {}", changelog.folder.display()),
        false => format!("the versions near it are {}", near.join(", ")),
    };
    Err(Diagnostic::new(Code::UNKNOWN_TARGET, format!("version {target} is not in the changelog"))
        .state("nothing was touched")
        .hint(hint))
}

/// Brings the scope's tenants to the target, in lockstep, and says how it ended. Every fact goes to `events`.
///
/// The last event is [`Event::RunFinished`] with the same ending.
pub async fn up(scope: Scope<'_>, options: &UpOptions, run: &RunIdentity, stop: &Stop, events: Sink<'_>) -> Ending {
    let began = Instant::now();
    let quarantined = scope.tenants().filter(|t| t.quarantined.is_some()).count();
    events(Event::RunStarted {
        run_id: run.run_id.clone(),
        tenants: scope.tenants().filter(|tenant| tenant.is_active()).count(),
        quarantined,
        target: options.target.or(scope.changelog.newest()),
    });
    let jitter = Jitter::new(&run.run_id);
    let budgets = Budgets::new(scope.fleet, scope.servers);
    let going = Run { scope, options, run, stop, events, jitter: &jitter, budgets: &budgets };
    let mut ending = match going.whole().await {
        Ok(ending) => ending,
        Err(refusal) => Ending {
            outcome: refusal.outcome,
            exit: refusal.exit,
            diagnostics: refusal.diagnostics,
            elapsed: Duration::ZERO,
        },
    };
    ending.elapsed = began.elapsed();
    events(Event::RunFinished(ending.clone()));
    ending
}
