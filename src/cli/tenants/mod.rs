//! `tenants`: who is in the fleet, whether each datasource answers, and ways to it for scripts and people.

mod check;
mod list;
mod shell;
mod url;

use clap::{Args, Subcommand};

use crate::error::{Diagnostic, Secret};
use crate::tenant::{Asker, Fleet, Tenant};

use super::walk::{on_runtime, runtime};
use super::{Context, Outcome, files};

const EXAMPLES: &str = "\
Examples:
  mtmigrate tenants list               who was resolved, and from where
  mtmigrate tenants check              whether each datasource can be used
  mtmigrate tenants url acme           where acme lives, for a script
  mtmigrate tenants shell acme         psql, mariadb or sqlite3 on acme

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
    Url(url::UrlArgs),
    Shell(shell::ShellArgs),
}

/// Does what the second word says.
pub(super) fn run(args: &TenantsArgs, context: &Context) -> Outcome {
    match &args.verb {
        TenantsVerb::List(args) => list::run(args, context),
        TenantsVerb::Check(args) => check::run(args, context),
        TenantsVerb::Url(args) => url::run(args, context),
        TenantsVerb::Shell(args) => shell::run(args, context),
    }
}

/// Loads the fleet alone, and asks its sources.
///
/// # Errors
/// Every mistake of `tenants.yaml`, and what a source does not answer.
fn fleet(context: &Context) -> Result<Fleet, Vec<Diagnostic>> {
    on_runtime(files::fleet(context))
}

/// Fetches a tenant's password, if it has one, as a connection would.
///
/// # Errors
/// `MT117` when it cannot be fetched.
fn password(fleet: &Fleet, tenant: &Tenant) -> Result<Option<Secret>, Diagnostic> {
    let server = fleet.server(tenant.server);
    let Some(place) = server.address.places().into_iter().next() else { return Ok(None) };
    let user = tenant.access.user.as_deref().unwrap_or_default();
    let (host, port) = place.named();
    let asker = Asker { user, host, port, database: tenant.datasource.database() };
    let given = runtime()?.block_on(tenant.access.password.get(&asker));
    given.map(|given| given.secret).map_err(|why| why.diagnostic(fleet.server_name(tenant), user))
}
