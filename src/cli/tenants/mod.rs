//! `tenants`: who is in the fleet, whether each datasource answers, and ways to it for scripts and people.

mod check;
mod list;

use clap::{Args, Subcommand};

use crate::error::Diagnostic;
use crate::tenant::{self, Fleet, ProcessEnvironment};

use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate tenants list               who was resolved, and from where
  mtmigrate tenants check              whether each datasource can be used

Exit status: 0 done; 2 usage or configuration; `mtmigrate tenants VERB --help` has the others";

/// Lists the tenants, tries their datasources, and leads to one of them.
///
/// Writes to tenants: no. None of these needs the folder of changesets.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TenantsArgs {
    #[command(subcommand)]
    verb: TenantsVerb,
}

/// What to do with the tenants.
#[derive(Debug, Subcommand)]
enum TenantsVerb {
    List(list::ListArgs),
    Check(check::CheckArgs),
}

/// Does what the second word says.
pub(super) fn run(args: &TenantsArgs, context: &Context) -> Outcome {
    match &args.verb {
        TenantsVerb::List(args) => list::run(args, context),
        TenantsVerb::Check(args) => check::run(args, context),
    }
}

/// Loads the fleet alone.
///
/// # Errors
/// Every mistake of `tenants.yaml`.
fn fleet(context: &Context) -> Result<Fleet, Vec<Diagnostic>> {
    tenant::load(&context.global.config, &ProcessEnvironment)
}
