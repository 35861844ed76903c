//! `drift`: whose schema is not what it should be.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::error::{Code, Diagnostic, ExitStatus, count, names};
use crate::history::OutOfOrder;
use crate::lockstep::{self, Depth, Scope, Survey};
use crate::report::{DriftFormat, DriftReport, repair_draft};
use crate::tenant::{Selection, TenantId};

use super::args::Selecting;
use super::console::Console;
use super::rules::{over, today};
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate drift                              who has what, and a diff for whoever deviates
  mtmigrate drift --label canary --format markdown
  mtmigrate drift --tenant acme --against globex
  mtmigrate drift --repair-sql > draft.sql     what would make the deviating ones like their cohort
  mtmigrate drift --format json | jq -r '.cohorts[].groups[] | select(.diff) | .tenants[]'

What to do about it: undo the change; or `mtmigrate accept` if it is right; or a rule under
`drift: ignore:` in tenants.yaml. docs/drift.md says what is compared on each engine.

Exit status: 0 no drift; 2 usage or configuration; 3 drift, of schemas or of histories, or --against
  found a difference; 5 a tenant cannot be reached; 6 a tenant is half applied, and was not judged";

/// Shows whose schema is not what was recorded, or not what the tenants with the same changesets have.
///
/// Writes to tenants: no. It reads every live schema, works under a role that may only read, and on a standby.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DriftArgs {
    /// Compare the selected tenants with this one, whatever their versions
    #[arg(long, value_name = "TENANT")]
    against: Option<String>,
    /// Print SQL that adds what is missing, a draft to read first; it takes nothing away
    #[arg(long, conflicts_with_all = ["format", "against"])]
    repair_sql: bool,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: DriftFormat,
    #[command(flatten)]
    selecting: Selecting,
}

impl ValueEnum for DriftFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Text, Self::Json, Self::Markdown]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Markdown => "markdown",
        }))
    }
}

/// How many tenants one message names.
const NAMED: usize = 5;

/// Reads every tenant's schema, prints the report on stdout, and on stderr what to do about it.
pub(super) fn run(args: &DriftArgs, context: &Context) -> Outcome {
    let walk = Walk { context, selecting: &args.selecting, target: None };
    walk.read(async |scope| match &args.against {
        Some(name) => against(args, name, scope, &context.console).await,
        None => {
            let survey = lockstep::survey(&scope, OutOfOrder::Refuse, Depth::Schemas).await;
            whole(args, &scope, &survey, &context.console)
        }
    })
}

fn whole(args: &DriftArgs, scope: &Scope<'_>, survey: &Survey, console: &Console) -> Outcome {
    let report = DriftReport::new(scope, survey, today());
    if args.repair_sql {
        console.data(&repair_draft(scope, survey)).map_err(|one| vec![one])?;
        console.say(
            "this is a draft: read it, then run it by hand on those tenants, or put it into a changeset; \
             it takes nothing away",
        );
    } else {
        print(&report, args.format, console)?;
        if report.is_drift() {
            console.say(
                "undo what was changed (`mtmigrate drift --repair-sql` drafts what is missing); or, if it is right, \
                 `mtmigrate accept`; or a rule under `drift: ignore:` in tenants.yaml",
            );
        }
    }
    // The other forms have them on stdout, for people.
    if args.repair_sql || args.format == DriftFormat::Json {
        console.tell(&over(scope.fleet, today()));
    }
    told(scope, survey, console);
    Ok(report.exit().worst(half_applied(scope, survey, console)))
}

/// Tells of tenants that are half applied: their schemas are between two changesets, and nobody judged them.
fn half_applied(scope: &Scope<'_>, survey: &Survey, console: &Console) -> ExitStatus {
    let open = survey.positions().filter(|(_, position)| position.unfinished.is_some());
    let open: Vec<&str> = open.map(|(tenant, _)| scope.fleet.tenant(tenant).name.as_str()).collect();
    if open.is_empty() {
        return ExitStatus::Done;
    }
    let message = format!("{} half applied, and not judged: {}", count(open.len(), "tenant"), names(open, NAMED));
    console.tell(&[Diagnostic::new(Code::HALF_APPLIED, message)
        .state("their schemas are between two changesets")
        .hint(
            "`mtmigrate status` says at which statement; `mtmigrate up` continues, or says what a person must find out",
        )]);
    ExitStatus::HalfApplied
}

async fn against(args: &DriftArgs, name: &str, scope: Scope<'_>, console: &Console) -> Outcome {
    let named = Selection::of_one(name);
    scope.fleet.select(&named).map_err(|one| vec![one])?;
    let Some(one) = scope.fleet.tenants.iter().find(|tenant| tenant.name == name) else {
        return Err(vec![super::one_tenant(name)]);
    };
    let mut selection: Vec<TenantId> = scope.selection.to_vec();
    if selection == [one.id] {
        return Err(vec![
            Diagnostic::new(Code::USAGE, format!("there is no other tenant to compare {name} with"))
                .state("nothing was touched")
                .hint("name the others with --tenant or --label"),
        ]);
    }
    if !selection.contains(&one.id) {
        selection.push(one.id);
    }
    let scope = Scope { selection: &selection, ..scope };
    let survey = lockstep::survey(&scope, OutOfOrder::Refuse, Depth::Schemas).await;
    let report = DriftReport::against(&scope, &survey, one.id, today()).map_err(|one| vec![one])?;
    print(&report, args.format, console)?;
    told(&scope, &survey, console);
    Ok(report.exit())
}

fn print(report: &DriftReport, format: DriftFormat, console: &Console) -> Result<ExitStatus, Vec<Diagnostic>> {
    let text = report.render(format, console.paint_out(), console.width());
    console.data(&text).map_err(|one| vec![one])?;
    Ok(report.exit())
}

/// Tells in full why tenants could not be looked at; the report has it in short.
fn told(scope: &Scope<'_>, survey: &Survey, console: &Console) {
    if !console.quiet() {
        console.tell(&lockstep::unreadable(scope, survey));
    }
}
