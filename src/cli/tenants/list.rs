//! `tenants list`: what the fleet was resolved to.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::cli::args::Selecting;
use crate::cli::{Context, Outcome};
use crate::error::ExitStatus;
use crate::report::{TenantsFormat, TenantsReport};

const EXAMPLES: &str = "\
Examples:
  mtmigrate tenants list                                  all of them, and where each is listed
  mtmigrate tenants list --label eu --exclude wave=canary   who a selection means
  mtmigrate tenants list --format csv > tenants.csv
  mtmigrate tenants list --format json | jq -r '.tenants[] | select(.wave == \"canary\") | .name'

Exit status: 0 listed; 2 usage or configuration; 5 a source of tenants cannot be asked";

/// Shows the tenants, where each lives, in which wave it is, and where it is listed.
///
/// Connects to nothing but what the sources of tenants.yaml ask for. Writes to tenants: no. Of credentials the user's
/// name alone is shown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: TenantsFormat,
    #[command(flatten)]
    selecting: Selecting,
}

impl ValueEnum for TenantsFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Table, Self::Json, Self::Csv]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
        }))
    }
}

/// Prints the list.
pub(super) fn run(args: &ListArgs, context: &Context) -> Outcome {
    let fleet = super::fleet(context)?;
    let selection = fleet.select(&args.selecting.selection()).map_err(|one| vec![one])?;
    let report = TenantsReport::new(&fleet, &selection);
    let (console, format) = (&context.console, args.format);
    let written = console.data_by(|out| report.write(format, console.paint_out(), console.width(), out));
    written.map_err(|one| vec![one])?;
    Ok(ExitStatus::Done)
}
