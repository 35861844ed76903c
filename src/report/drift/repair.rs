//! A draft of the SQL that makes deviating tenants like what is expected of them, for a person to read first.

use crate::error::{names, plain};
use crate::lockstep::{FleetCohort, Scope, Survey};
use crate::report::cohorts::label;
use crate::report::words::{tenants, wrapped};
use crate::schema::{Group, Repair, Verdict, repair_sql};
use crate::tenant::TenantId;

/// How wide comments are.
const WIDTH: usize = 100;

/// How many tenants a block names.
const NAMES: usize = 200;

/// Returns a block for each deviating group; nothing without drift.
pub(super) fn draft(scope: &Scope<'_>, survey: &Survey) -> String {
    let cohorts = survey.schemas.as_ref().map(|schemas| schemas.cohorts.as_slice()).unwrap_or_default();
    let groups = cohorts.iter().flat_map(|cohort| cohort.cohort.groups.iter().map(move |group| (cohort, group)));
    let drifting = groups.filter(|(_, group)| group.verdict.is_drift());
    let blocks: Vec<String> =
        drifting.map(|(cohort, group)| block(scope, cohort, group, &label(cohort, cohorts))).collect();
    blocks.join("\n")
}

fn block(scope: &Scope<'_>, cohort: &FleetCohort, group: &Group<TenantId>, label: &str) -> String {
    let names = names(group.tenants.iter().map(|id| scope.fleet.tenants[id.0].name.as_str()), NAMES);
    let mut text = comment(&format!("{} ({label}): {names}", tenants(group.tenants.len())));
    let Some(expected) = group.verdict.expected() else {
        text.push_str(&comment(match &group.verdict {
            Verdict::Undecided => {
                "nothing says what they should have: `mtmigrate accept` records which schema is right"
            }
            _ => "what was recorded is not known any more, so there is nothing to make it like",
        }));
        return text;
    };
    let Repair { statements, left } = repair_sql(cohort.engine, expected, &group.live, &group.ignores);
    // What a person accepted is nothing to repair.
    let left: Vec<String> = left
        .iter()
        .filter(|difference| group.verdict.differences().contains(difference))
        .map(|difference| comment(&format!("  {}", difference.sentence())))
        .collect();
    if !left.is_empty() {
        text.push_str(&comment("left for a person:"));
        text.extend(left);
    }
    if statements.is_empty() {
        text.push_str(&comment("nothing of it can be derived safely"));
    }
    for statement in statements {
        let statement = statement.trim_end();
        text.push_str(&format!("{statement}{}\n", if statement.ends_with(';') { "" } else { ";" }));
    }
    text
}

/// Returns a text as comment lines: whatever strangers' names hold, it ends with its line.
fn comment(text: &str) -> String {
    let text = plain(text).replace('\n', " ");
    let lines: Vec<String> = wrapped(&text, Some(WIDTH), 2).lines().map(|line| format!("-- {line}\n")).collect();
    lines.concat()
}
