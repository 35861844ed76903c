//! `status`: where every tenant stands.

use std::collections::BTreeSet;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::error::{Code, Diagnostic};
use crate::history::OutOfOrder;
use crate::lockstep::{self, Scope, Stray, Survey};
use crate::report::{OrphansReport, StatusFormat, StatusReport};
use crate::tenant::Fleet;

use super::args::Selecting;
use super::console::Console;
use super::rules::{over, today};
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate status                             a row for each tenant, what needs a person first
  mtmigrate status --label eu --format csv     for a spreadsheet
  mtmigrate status --check                     in CI: status 4 while something is pending
  mtmigrate status --orphans                   schemas, databases and files that no list has (any more)
  mtmigrate status --format json | jq -r '.tenants[] | select(.state == \"behind\") | .name'

Exit status: 0 read; 2 usage or configuration; 3 drift; 4 changesets are pending (--check);
  or there are orphans (--orphans --check); 5 a tenant cannot be reached; 6 a tenant is half applied";

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
    /// Exit with 4 when changesets are pending, or with --orphans when there are any
    #[arg(long)]
    check: bool,
    /// Show what matches the pattern of a `discover:` source and is in no list, and nothing else; as table or json
    #[arg(long, conflicts_with_all = ["tenants", "labels", "servers", "waves", "exclude"])]
    orphans: bool,
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
    if args.orphans {
        return orphans(args, &walk, console);
    }
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

/// Prints what is on the servers and in no list.
fn orphans(args: &StatusArgs, walk: &Walk<'_>, console: &Console) -> Outcome {
    if !matches!(args.format, StatusFormat::Table | StatusFormat::Json) {
        let said = Diagnostic::new(Code::USAGE, "orphans are written as a table or as JSON");
        return Err(vec![said.hint("`mtmigrate status --orphans --format json`")]);
    }
    walk.read(async |scope| {
        let strays = strays(scope.fleet).map_err(|one| vec![one])?;
        let report = OrphansReport::new(scope.fleet, lockstep::orphans(&scope, strays).await);
        let text = match args.format {
            StatusFormat::Json => report.json(),
            _ => report.table(console.paint_out(), console.width()),
        };
        console.data_by(|out| out.write_all(text.as_bytes())).map_err(|one| vec![one])?;
        Ok(report.exit(args.check))
    })
}

/// Returns what the fleet's discoveries saw that is no tenant's place, each place once.
fn strays(fleet: &Fleet) -> Result<Vec<Stray>, Diagnostic> {
    let mut discoveries = fleet.sources.iter().filter_map(|source| source.discovery.as_ref()).peekable();
    if discoveries.peek().is_none() {
        return Err(Diagnostic::new(Code::USAGE, "no source of tenants.yaml discovers anything, so nothing says where to look")
            .state("nothing was touched")
            .hint("add a pattern that only looks: `sources: [{ discover: { server: eu, databases: \"tenant_*\", tenants: false } }]`"));
    }
    let mut seen = BTreeSet::new();
    let all = discoveries.flat_map(|discovery| {
        let strays = discovery.matches.iter().filter(|found| found.tenant.is_none() && !found.is_excepted);
        strays.map(|found| Stray {
            name: found.name.clone(),
            pattern: discovery.pattern.clone(),
            server: discovery.server,
            datasource: found.datasource.clone(),
        })
    });
    Ok(all.filter(|stray| seen.insert((stray.server, stray.datasource.clone()))).collect())
}

/// Returns what a person must know of tenants that are half applied, drifted or unreachable.
fn explained(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let mut all = lockstep::half_applied(scope, survey, None);
    all.extend(lockstep::drift(scope, survey));
    all.extend(lockstep::schema_drift(scope, survey));
    all.extend(lockstep::unreadable(scope, survey));
    all
}
