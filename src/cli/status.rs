//! `status`: where every tenant stands.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::error::Diagnostic;
use crate::history::OutOfOrder;
use crate::lockstep::{self, Scope, Survey};
use crate::report::{StatusFormat, StatusReport};

use super::args::Selecting;
use super::rules::{over, today};
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate status                             a row for each tenant, what needs a person first
  mtmigrate status --label eu --format csv     for a spreadsheet
  mtmigrate status --check                     in CI: status 4 while something is pending
  mtmigrate status --format json | jq -r '.tenants[] | select(.state == \"behind\") | .name'

Exit status: 0 read; 2 usage or configuration; 3 drift; 4 changesets are pending (--check);
  5 a tenant cannot be reached; 6 a tenant is half applied";

/// Shows where every tenant stands.
///
/// Writes to tenants: no. It reads histories and live schemas, works under a role that may only read, and on a standby.
/// States: half-applied, failed,
/// drifted, unreachable, ahead, behind, new, quarantined, provisioning, current.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: StatusFormat,
    /// Exit with 4 when changesets are pending
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    selecting: Selecting,
}

impl ValueEnum for StatusFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Table, Self::Json, Self::Csv, Self::Markdown]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Markdown => "markdown",
        }))
    }
}

/// Reads every tenant, prints the table on stdout, and on stderr what is behind its words.
pub(super) fn run(args: &StatusArgs, context: &Context) -> Outcome {
    let console = &context.console;
    let walk = Walk { context, selecting: &args.selecting, target: None };
    walk.read(async |scope| {
        let mut survey = lockstep::survey(&scope, OutOfOrder::Refuse, lockstep::Depth::Schemas).await;
        lockstep::look(&scope, &mut survey).await;
        let report = StatusReport::new(&scope, &survey, scope.changelog.newest(), today());
        let (paint, width) = (console.paint_out(), console.width());
        console.data_by(|out| report.write(args.format, paint, width, out)).map_err(|one| vec![one])?;
        if !console.quiet() {
            console.tell(&explained(&scope, &survey));
            console.tell(&over(scope.fleet, today()));
        }
        Ok(report.exit(args.check))
    })
}

/// Returns what a person must know of tenants that are half applied, drifted or unreachable.
fn explained(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let mut all = lockstep::half_applied(scope, survey, None);
    all.extend(lockstep::drift(scope, survey));
    all.extend(lockstep::schema_drift(scope, survey));
    all.extend(lockstep::unreadable(scope, survey));
    all
}
