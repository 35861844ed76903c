//! `plan`: what `up` would do.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::changeset::Version;
use crate::history::OutOfOrder;
use crate::lockstep::{self, Depth};
use crate::report::{PlanFormat, PlanOptions, PlanReport};

use super::args::{Selecting, version};
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate plan                       which changeset goes to how many tenants, in which order
  mtmigrate plan --sql --tenant acme   and the text that would run
  mtmigrate plan --check               in CI: status 4 while something is pending

Exit status: 0 planned; 2 usage or configuration; 3 drift; 4 changesets are pending (--check);
  5 a tenant cannot be reached; 6 a tenant is half applied";

/// Shows what `up` would do, step by step.
///
/// Writes to tenants: no. It connects, reads every selected tenant's history and schema, and judges them as `up` would.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlanArgs {
    /// Plan up to and including this version [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    to: Option<Version>,
    /// Take changesets below a tenant's newest version too
    #[arg(long)]
    allow_out_of_order: bool,
    /// Show the text of every changeset
    #[arg(long)]
    sql: bool,
    /// Exit with 4 when changesets are pending
    #[arg(long)]
    check: bool,
    /// How the plan is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: PlanFormat,
    #[command(flatten)]
    selecting: Selecting,
}

impl ValueEnum for PlanFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Human, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Human => "human",
            Self::Json => "json",
        }))
    }
}

/// Reads every tenant and prints the plan.
pub(super) fn run(args: &PlanArgs, context: &Context) -> Outcome {
    let console = &context.console;
    let walk = Walk { context, selecting: &args.selecting, target: args.to };
    walk.read(async |scope| {
        scope.fleet.check_active()?;
        console.tell(&scope.fleet.empty_waves());
        let out_of_order = if args.allow_out_of_order { OutOfOrder::Allow } else { OutOfOrder::Refuse };
        let mut survey = lockstep::survey(&scope, out_of_order, Depth::of(scope.fleet.verify)).await;
        lockstep::look(&scope, &mut survey).await;
        let plan = match lockstep::judge(&scope, &survey, args.to) {
            Ok(plan) => plan,
            Err(refusal) => {
                console.tell(&refusal.diagnostics);
                return Ok(refusal.exit);
            }
        };
        let report = PlanReport::new(&scope, &survey, &plan, PlanOptions { sql: args.sql });
        let paint = console.paint_out();
        console.data_by(|out| report.write(args.format, paint, out)).map_err(|one| vec![one])?;
        Ok(report.exit(args.check))
    })
}
