//! `repair`: records what a person found out about a half applied tenant.

use std::time::Duration;

use clap::Args;

use crate::engine::{Mark, RunIdentity};
use crate::error::ExitStatus;
use crate::lockstep::{self, Repair, Stop};

use super::args::{Selecting, duration, reason};
use super::log::RunLog;
use super::screen::Screen;
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate status --tenant acme            says which statement nobody knows about
  mtmigrate repair --tenant acme --mark-done --reason \"the column is there\"
  mtmigrate repair --tenant acme --mark-undone --reason \"no such column, ticket 812\"
  mtmigrate up                              continues the text from there

Exit status: 0 recorded; 2 usage or configuration, or the tenant is not half applied; 5 the tenant
  cannot be reached or another run holds the lock; 6 the file was changed before that statement";

/// Records whether the statement at which a tenant's text stopped took effect.
///
/// Writes to tenants: one journal row, with who and why; no changeset is run. A MySQL/MariaDB or no-transaction text
/// stops half applied when its runner dies in the middle of a statement, and only a person can look whether that
/// statement took effect.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RepairArgs {
    /// The tenant, by its name
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// The statement took effect: the text continues after it
    #[arg(long, required_unless_present = "mark_undone", conflicts_with = "mark_undone")]
    mark_done: bool,
    /// The statement did not take effect: the text continues at it
    #[arg(long)]
    mark_undone: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// How long to wait for another run's lock; 0 tries once
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    lock_wait: Duration,
}

/// Records it, and says where the text continues.
pub(super) fn run(args: &RepairArgs, context: &Context) -> Outcome {
    let selecting = Selecting { tenants: vec![args.tenant.clone()], labels: Vec::new() };
    let walk = Walk { context, selecting: &selecting, target: None };
    walk.run(async |scope| {
        let named = scope.fleet.tenants.iter().find(|tenant| tenant.name == args.tenant);
        let Some(tenant) = named else {
            // The selection found tenants, so the name is a pattern, and one record is about one statement.
            return Err(vec![super::one_tenant(&args.tenant)]);
        };
        let mark = if args.mark_done { Mark::Done } else { Mark::Undone };
        let repair = Repair { tenant: tenant.id, mark, reason: &args.reason, lock_wait: args.lock_wait };
        let identity = RunIdentity { fleet: scope.fleet.hash.clone(), ..RunIdentity::new() };
        let screen = Screen::new(&context.console);
        let log = RunLog::new(scope, &identity.run_id);
        let sink = |event| {
            log.take(&event);
            screen.take(&event);
        };
        let repaired = lockstep::repair(scope, &repair, &identity, &Stop::default(), &sink).await;
        drop(screen);
        let repaired = repaired.map_err(|one| vec![one])?;
        let said = format!(
            "{}: {} continues at statement {}; run `mtmigrate up`\n",
            tenant.name, repaired.changeset, repaired.continues_at
        );
        context.console.data(&crate::error::plain(&said)).map_err(|one| vec![one])?;
        Ok(ExitStatus::Done)
    })
}
