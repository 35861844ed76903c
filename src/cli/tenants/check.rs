//! `tenants check`: tries every datasource.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::changeset::Changelog;
use crate::cli::args::Selecting;
use crate::cli::walk::{on_runtime, visit};
use crate::cli::{Context, Outcome};
use crate::lockstep::{Budgets, check, check_findings};
use crate::report::{CheckFormat, CheckReport};

const EXAMPLES: &str = "\
Examples:
  mtmigrate tenants check                      every datasource, what is wrong first
  mtmigrate tenants check --tenant acme        one of them
  mtmigrate tenants check --format json | jq '.tenants[] | select(.tls.encrypted == false) | .name'

What is not tried: whether the user may change what others own, and each text's own needs.

Exit status: 0 all can be used; 2 usage or configuration; 5 one cannot be reached or read, takes no
  writes, lets its user not do what a run needs, or its password cannot be fetched; or a source of
  tenants.yaml does not answer";

/// Tries every datasource: reachable, version, TLS, privileges, standby, round trip.
///
/// Writes to tenants: no; the tenant's role and settings are tried in a transaction that is rolled back. It works under a role that
/// may only read, and on a standby; that such a place cannot be migrated is what it finds. All servers are asked at once, each within its max_connections. Quarantined tenants and
/// those that are being made are not asked.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: CheckFormat,
    #[command(flatten)]
    selecting: Selecting,
}

impl ValueEnum for CheckFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Table, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Table => "table",
            Self::Json => "json",
        }))
    }
}

/// Tries them, prints the table on stdout, and on stderr what is behind its words.
pub(super) fn run(args: &CheckArgs, context: &Context) -> Outcome {
    let console = &context.console;
    let fleet = super::fleet(context)?;
    let selection = fleet.select(&args.selecting.selection()).map_err(|one| vec![one])?;
    on_runtime(visit(&fleet, &Changelog::default(), &selection, async |scope| {
        let budgets = Budgets::new(scope.fleet, scope.servers);
        let checked = check(&scope).await;
        let report = CheckReport::new(&scope, &checked);
        let (paint, width) = (console.paint_out(), console.width());
        console.data_by(|out| report.write(args.format, paint, width, out)).map_err(|one| vec![one])?;
        if !console.quiet() {
            console.tell(&check_findings(&scope, &checked));
            console.tell(&budgets.warnings());
        }
        Ok(report.exit())
    }))
}
