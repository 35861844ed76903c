//! `tenants url`: one tenant's datasource, for a script.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::cli::{Context, Outcome, named_one};
use crate::error::ExitStatus;
use crate::report::{DatasourceFormat, datasource};

const EXAMPLES: &str = "\
Examples:
  mtmigrate tenants url acme                       postgres://migrator@db.eu:5432/acme
  psql \"$(mtmigrate tenants url acme --reveal)\"    `mtmigrate tenants shell acme` hides it better
  set -a; eval \"$(mtmigrate tenants url acme --format env --reveal)\"; set +a; pg_dump > acme.sql
  mtmigrate tenants url acme --format json | jq -r .tenant.database

Exit status: 0 printed; 2 usage or configuration, no such tenant, or the password cannot be fetched;
  5 a source of tenants.yaml does not answer";

/// Prints one tenant's datasource: as a URL, as variables of the environment, or as JSON.
///
/// Connects to nothing but what the sources of tenants.yaml ask for. Writes to tenants: no. The password is left out, and
/// not even fetched, unless --reveal asks for it. It is written in each engine's manner: libpq's URLs and variables (a
/// schema is in `options`); mysql:// and MYSQL_…, of which MySQL's own clients read but some; sqlite:// with the file.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct UrlArgs {
    /// The tenant, by its name
    #[arg(value_name = "NAME")]
    tenant: String,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "url")]
    format: DatasourceFormat,
    /// Print the password too
    #[arg(long)]
    reveal: bool,
}

impl ValueEnum for DatasourceFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Url, Self::Env, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Url => "url",
            Self::Env => "env",
            Self::Json => "json",
        }))
    }
}

/// Prints it, and says on stderr if the password is left out.
pub(super) fn run(args: &UrlArgs, context: &Context) -> Outcome {
    let fleet = super::fleet(context)?;
    let tenant = named_one(&fleet, &args.tenant).map_err(|one| vec![one])?;
    let password = match args.reveal {
        true => super::password(&fleet, tenant).map_err(|one| vec![one])?,
        false => None,
    };
    let made = datasource(&fleet, tenant, password.as_ref().map(|secret| secret.reveal()), args.format);
    context.console.data(&made).map_err(|one| vec![one])?;
    if !args.reveal && !tenant.access.password.is_none() {
        context.console.say("the password is left out; --reveal prints it");
    }
    Ok(ExitStatus::Done)
}
