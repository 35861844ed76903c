//! `provision`: a new tenant's place, and the fleet's version in it.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::engine::{Made, RunIdentity};
use crate::error::{Code, Diagnostic, ExitStatus, count, names, plain};
use crate::history::OutOfOrder;
use crate::lockstep::{self, NoGates, Provision, Provisioned, Provisioning, Scope, Stop, Stopped, UpOptions};
use crate::tenant::{Datasource, Fleet, LeftOut, Tenant, TenantId, Verify};

use super::args::{Selecting, duration};
use super::console::Console;
use super::signals::{Signals, watch};
use super::up::{Asking, RunFormat, follow, print};
use super::walk::Walk;
use super::{Context, Outcome, files, named_one};

const EXAMPLES: &str = "\
Examples:
  mtmigrate provision initech                  make its place, and bring it to the fleet's version
  mtmigrate provision initech --format json    the run's report, as `up` writes it

Typed again it uses what is there, and goes on where it was interrupted. The fleet's version is the
newest that every other active tenant has; where there are no others, the changelog's newest.

Exit status: 0 done, or nothing to do; 1 a changeset failed; 2 usage or configuration; 3 drift: its
  schema is not what the others have; 5 a server cannot be reached, its place cannot be made, or another
  run holds the lock; 6 it is half applied; 130, 143 interrupted";

/// Makes a tenant's schema, database or file, and brings it to the fleet's version.
///
/// Writes to tenants: yes, to this one. It says `create:` in tenants.yaml, and may be `state: provisioning`. What exists
/// is used if it is empty or has a history, and nothing else is ever touched. No changeset goes to it that
/// the others do not have.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProvisionArgs {
    /// The tenant, as tenants.yaml names it
    #[arg(value_name = "TENANT")]
    tenant: String,
    /// How long to wait for another run's lock; 0 tries once
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    lock_wait: Duration,
    /// How the final report is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: RunFormat,
}

/// Makes the place, brings the tenant to the fleet's version, and compares it with the others.
pub(super) fn run(args: &ProvisionArgs, context: &Context) -> Outcome {
    let selecting = Selecting::default();
    let walk = Walk { context, selecting: &selecting, target: None };
    walk.run(async |scope| {
        let id = named(scope.fleet, &args.tenant).map_err(|one| vec![one])?;
        let fleet = with_active(scope.fleet, id);
        files::check_for(&fleet, scope.changelog, fleet.tenant(id))?;
        let alone = [id];
        let scope = Scope { fleet: &fleet, selection: &alone, ..scope };
        provision(scope, id, args, context).await
    })
}

fn named(fleet: &Fleet, name: &str) -> Result<TenantId, Diagnostic> {
    let tenant = named_one(fleet, name)?;
    match tenant.left_out() {
        Some(LeftOut::Quarantined(reason)) => {
            Err(Diagnostic::new(Code::USAGE, format!("tenant {} is quarantined: {reason}", tenant.name))
                .state("nothing was touched")
                .hint("take `quarantined:` out of tenants.yaml first"))
        }
        Some(LeftOut::Provisioning) | None => Ok(tenant.id),
    }
}

/// Returns the fleet with this tenant as one of those that get changesets.
fn with_active(fleet: &Fleet, id: TenantId) -> Fleet {
    let mut fleet = fleet.clone();
    fleet.tenants[id.0].provisioning = false;
    fleet
}

async fn provision(scope: Scope<'_>, id: TenantId, args: &ProvisionArgs, context: &Context) -> Outcome {
    let console = &context.console;
    let tenant = scope.fleet.tenant(id);
    let mut signals = Signals::listen().map_err(|one| vec![one])?;
    let stop = Stop::default();
    let mut asking = Asking { signals: &mut signals, stop: &stop };
    let made = match under_signals(scope, id, args, console, &mut asking).await.map_err(|one| vec![one])? {
        Provisioning::Ready(made) => made,
        Provisioning::Stopped(when) => {
            console.notice(&plain(&stopped(tenant, when)));
            return Ok(stop.exit());
        }
    };
    console.say(&told(tenant, &made));
    if !made.unreadable.is_empty() {
        let who = names(made.unreadable.iter().map(String::as_str), 5);
        let said = format!("not readable, so their version does not count: {who}");
        console.say(&plain(&said));
    }
    if let Some(target) = made.target {
        let options = UpOptions {
            target: Some(target),
            jobs: None,
            lock_wait: args.lock_wait,
            out_of_order: OutOfOrder::Refuse,
            verify: scope.fleet.verify,
            // One tenant is one wave: nothing stands behind it.
            gates: Arc::new(NoGates),
        };
        let report = follow(scope, &options, console, &mut asking).await;
        print(&report, args.format, console);
        if report.exit() != ExitStatus::Done {
            return Ok(report.exit());
        }
        if scope.fleet.verify != Verify::Off {
            let deviates = tokio::select! {
                biased;
                signal = asking.signals.next() => {
                    stop.ask(signal);
                    console.notice(&plain(&format!(
                        "interrupted: tenant {} was not compared with the others; type it again",
                        tenant.name
                    )));
                    return Ok(stop.exit());
                }
                deviates = lockstep::against_others(scope, id) => deviates,
            };
            console.tell(&deviates);
            if !deviates.is_empty() {
                return Ok(ExitStatus::Drift);
            }
        }
    }
    console.say(&plain(&format!(
        "tenant {} is ready: if tenants.yaml says `state: provisioning`, write `state: active`",
        tenant.name
    )));
    Ok(ExitStatus::Done)
}

/// Makes the place; a signal ends reading and waiting, and the second one the work.
async fn under_signals(
    scope: Scope<'_>,
    id: TenantId,
    args: &ProvisionArgs,
    console: &Console,
    asking: &mut Asking<'_>,
) -> Result<Provisioning, Diagnostic> {
    let Asking { signals, stop } = asking;
    let run = RunIdentity::new();
    let asked = Provision { tenant: id, lock_wait: args.lock_wait };
    let sink = |event: lockstep::Event| {
        if let lockstep::Event::LockWaiting { server, holder } = &event {
            console.say(&plain(&format!("waiting for the lock of server {server}: {holder}")));
        }
    };
    let watching = watch(async || signals.next().await, stop, |asked| console.notice(&asked.line));
    tokio::select! {
        made = lockstep::provision(scope, &asked, &run, stop, &sink) => made,
        never = watching => match never {},
    }
}

/// `interrupted: nothing was made for tenant initech; type it again`.
fn stopped(tenant: &Tenant, when: Stopped) -> String {
    let name = &tenant.name;
    match when {
        Stopped::Before => format!("interrupted: nothing was made for tenant {name}; type it again"),
        Stopped::Between => format!(
            "interrupted: whether the place of tenant {name} is made was not waited for; typed again it uses what is there"
        ),
        Stopped::After => {
            format!("interrupted: the place of tenant {name} is there, and nothing was applied; type it again")
        }
    }
}

/// `made database initech; the fleet's version is V5, which 12 tenants have`.
fn told(tenant: &Tenant, provisioned: &Provisioned) -> String {
    let what = match &tenant.datasource {
        Datasource::Postgres { schema: Some(schema), database } => format!("schema {schema} in database {database}"),
        Datasource::Sqlite { shown, .. } => format!("file {shown}"),
        other => format!("database {}", other.database()),
    };
    let made = match provisioned.made {
        Made::New => "made",
        Made::There => "there already, and used:",
    };
    let fleet = match (provisioned.target, provisioned.others) {
        (Some(target), 0) => format!("there are no other tenants, so it gets the newest version, V{target}"),
        (Some(target), others) => format!("the fleet's version is V{target} ({} read)", count(others, "other tenant")),
        (None, _) => "the fleet has no version yet, so nothing is applied".to_owned(),
    };
    plain(&format!("{made} {what}; {fleet}"))
}
