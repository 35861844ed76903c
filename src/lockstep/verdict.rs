//! What a halted step means for the whole fleet, in words: who has what, and what to type next.

use std::collections::BTreeMap;

use crate::changeset::Version;
use crate::engine::{Failure, Left};
use crate::error::{Code, Diagnostic, count, names};
use crate::plan::Plan;
use crate::tenant::TenantId;

use super::judge::together;
use super::step::StepResult;
use super::survey::{Scope, Survey};

/// How many tenants one message names.
const NAMES: usize = 5;

/// How many tenants got each version in the legs of this run that are over.
pub(crate) type Gained = BTreeMap<Version, usize>;

/// A halted step, and what was known before it.
#[derive(Clone, Copy)]
pub(crate) struct Verdict<'v> {
    pub scope: Scope<'v>,
    pub survey: &'v Survey,
    pub plan: &'v Plan,
    pub version: Version,
    pub gained: &'v Gained,
}

impl Verdict<'_> {
    /// Returns one diagnostic for each failed tenant, with the fleet's state and the next command.
    pub fn diagnostics(&self, result: &StepResult, lock_lost: Option<Diagnostic>) -> Vec<Diagnostic> {
        let fleet = self.fleet(result);
        let mut said: Vec<Diagnostic> = Vec::new();
        said.extend(lock_lost.map(|lost| {
            lost.state(fleet.clone())
                .hint("see why its session ended, then run `mtmigrate up` again: finished tenants are skipped")
        }));
        let mut failures: Vec<&(TenantId, Failure)> = result.failures.iter().collect();
        failures.sort_by_key(|(tenant, failure)| (urgency(failure), *tenant));
        said.extend(failures.into_iter().map(|(tenant, failure)| self.failure(*tenant, failure, &fleet)));
        if said.is_empty() {
            let interrupted = Diagnostic::new(Code::CANCELLED, format!("the run was interrupted at V{}", self.version));
            said.push(interrupted.state(fleet).hint("run `mtmigrate up` again: finished tenants are skipped"));
        }
        said
    }

    /// Returns why nobody could look what a step left, with the fleet's state and the next command.
    pub fn unverified(&self, result: &StepResult, failed: &[(TenantId, Diagnostic)]) -> Vec<Diagnostic> {
        let fleet = self.fleet(result);
        let failed = failed.iter().map(|(tenant, diagnostic)| (*tenant, diagnostic));
        let said = together(&self.scope, failed).into_iter().map(|(diagnostic, tenants)| {
            diagnostic
                .state(format!(
                    "V{} is applied, and whether it had the same effect everywhere is not known: {} not readable ({}); {fleet}",
                    self.version,
                    count(tenants.len(), "schema"),
                    names(tenants, NAMES),
                ))
                .hint("remove the cause, then run `mtmigrate up` again: it looks at all schemas first")
        });
        said.collect()
    }

    fn failure(&self, tenant: TenantId, failure: &Failure, fleet: &str) -> Diagnostic {
        let name = &self.scope.fleet.tenants[tenant.0].name;
        let (state, hint) = match &failure.left {
            Left::Unchanged if failure.diagnostic.code() == Code::CANCELLED => (
                format!("{name} is unchanged (rolled back)"),
                "run `mtmigrate up` again: finished tenants are skipped".to_owned(),
            ),
            Left::Unchanged => (
                format!("{name} is unchanged (rolled back)"),
                "remove the cause, then run `mtmigrate up` again: finished tenants are skipped".to_owned(),
            ),
            Left::Half { statement_no, statements } => {
                let before = statement_no - 1;
                (
                    format!("{name} is half applied: {before} of {statements} statements are committed"),
                    match failure.diagnostic.code() {
                        Code::OUTCOME_UNKNOWN => format!(
                            "nobody knows whether statement {statement_no} took effect: run `mtmigrate status --tenant {name}`"
                        ),
                        _ => format!(
                            "mend statement {statement_no} or its cause, leave the {before} before it as they are, \
                             then run `mtmigrate up` again: it continues there"
                        ),
                    },
                )
            }
            Left::Unknown => (
                format!("nobody knows whether {name} has it"),
                "run `mtmigrate up` again: it reads the history first and does only what is missing".to_owned(),
            ),
        };
        let hint = failure.diagnostic.what_next().map(str::to_owned).unwrap_or(hint);
        failure.diagnostic.clone().state(format!("{state}; {fleet}")).hint(hint)
    }

    fn gained(&self, version: Version) -> usize {
        self.gained.get(&version).copied().unwrap_or(0)
    }

    /// `41 tenants have V42; 212 do not; nobody has V43`.
    pub fn fleet(&self, result: &StepResult) -> String {
        let version = self.version;
        let before = self.survey.positions().filter(|(_, p)| p.applied.contains(&version)).count();
        let have = before + self.gained(version) + result.tally.applied;
        let lack = self.survey.positions().count().saturating_sub(have);
        let mut said =
            format!("{} V{version}; {lack} {}", have_it(have), if lack == 1 { "does not" } else { "do not" });
        if let Some(next) = self.plan.steps().iter().find(|step| **step > version) {
            let beyond = self.survey.positions().filter(|(_, p)| p.applied.contains(next)).count();
            said.push_str(&match beyond + self.gained(*next) {
                0 => format!("; nobody has V{next}"),
                1.. if self.gained(*next) > 0 => format!("; {} V{next}", have_it(beyond + self.gained(*next))),
                1 => format!("; 1 had V{next} before, and nobody else has it"),
                n => format!("; {n} had V{next} before, and nobody else has it"),
            });
        }
        if !result.not_started.is_empty() {
            let tenants = result.not_started.iter().map(|id| self.scope.fleet.tenants[id.0].name.as_str());
            said.push_str(&format!("; not started: {}", names(tenants, NAMES)));
        }
        said
    }
}

/// `1 tenant has`, `2 tenants have`.
fn have_it(tenants: usize) -> String {
    format!("{} {}", count(tenants, "tenant"), if tenants == 1 { "has" } else { "have" })
}

fn urgency(failure: &Failure) -> u8 {
    match failure.left {
        Left::Half { .. } => 0,
        Left::Unknown => 1,
        Left::Unchanged => 2,
    }
}
