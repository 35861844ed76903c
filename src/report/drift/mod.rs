//! Whose schema or history is not what it should be: the cohorts of a survey, and each difference by name.

mod against;
mod facts;
mod json;
mod lines;
mod markdown;
mod repair;
mod text;

#[cfg(test)]
mod tests;

use time::Date;

use crate::changeset::Version;
use crate::error::{Diagnostic, ExitStatus, Paint, Result};
use crate::lockstep::{Scope, Survey};
use crate::tenant::TenantId;

use super::cohorts::{self, Cohort, SchemaState};

/// The forms of a drift report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftFormat {
    /// For a terminal.
    Text,
    /// `mtmigrate.drift/1`.
    Json,
    /// As GitHub shows it.
    Markdown,
}

/// Whose schema or history is not what it should be.
#[derive(Clone, Debug)]
pub struct DriftReport {
    /// The tenant that the others are compared with, if it is one.
    against: Option<String>,
    cohorts: Vec<Cohort>,
    history: Vec<HistoryDrift>,
    /// What could not be compared, in sentences.
    not_comparable: Vec<String>,
    rules: Vec<Rule>,
    unreadable: Vec<(String, Diagnostic)>,
    without_history: Vec<String>,
    quarantined: Vec<(String, String)>,
    provisioning: Vec<String>,
}

/// One piece of history drift, and who has it.
#[derive(Clone, Debug)]
struct HistoryDrift {
    kind: &'static str,
    version: Option<Version>,
    detail: String,
    tenants: Vec<String>,
}

/// One rule of `drift: ignore:`.
#[derive(Clone, Debug)]
struct Rule {
    objects: Vec<String>,
    labels: Vec<String>,
    reason: String,
    until: Option<Date>,
    over: bool,
}

impl DriftReport {
    /// Folds a survey that looked at schemas.
    pub fn new(scope: &Scope<'_>, survey: &Survey, today: Date) -> Self {
        Self {
            against: None,
            cohorts: cohorts::of(scope, survey, today),
            history: facts::history(scope, survey),
            not_comparable: facts::not_comparable(scope, survey),
            rules: facts::rules(scope, today),
            unreadable: facts::unreadable(scope, survey),
            without_history: facts::without_history(scope, survey),
            quarantined: facts::quarantined(scope, survey),
            provisioning: facts::provisioning(scope, survey),
        }
    }

    /// Compares the tenants of a survey with one of them, whatever their versions.
    ///
    /// # Errors
    /// Why that one could not be looked at.
    pub fn against(scope: &Scope<'_>, survey: &Survey, reference: TenantId, today: Date) -> Result<Self> {
        Ok(Self {
            against: Some(scope.fleet.tenants[reference.0].name.clone()),
            cohorts: vec![against::cohort(scope, survey, reference, today)?],
            history: Vec::new(),
            not_comparable: Vec::new(),
            rules: facts::rules(scope, today),
            unreadable: facts::unreadable(scope, survey),
            without_history: Vec::new(),
            quarantined: facts::quarantined(scope, survey),
            provisioning: facts::provisioning(scope, survey),
        })
    }

    /// Returns the report as text that ends with a line feed.
    ///
    /// The width is a terminal's and is meant for the text; without one nothing is wrapped.
    pub fn render(&self, format: DriftFormat, paint: Paint, width: Option<usize>) -> String {
        match format {
            DriftFormat::Text => text::render(self, paint, width),
            DriftFormat::Json => json::render(self),
            DriftFormat::Markdown => markdown::render(self),
        }
    }

    /// Returns the exit status: 3 with any drift, 5 if a tenant could not be looked at.
    pub fn exit(&self) -> ExitStatus {
        let drift = if self.is_drift() { ExitStatus::Drift } else { ExitStatus::Done };
        let unreadable = if self.unreadable.is_empty() { ExitStatus::Done } else { ExitStatus::Unreachable };
        drift.worst(unreadable)
    }

    /// Returns whether a person must look at any tenant.
    pub fn is_drift(&self) -> bool {
        !self.history.is_empty() || self.drifting() > 0
    }

    /// Returns how many tenants' schemas were compared.
    fn compared(&self) -> usize {
        self.cohorts.iter().map(|cohort| cohort.size).sum()
    }

    /// Returns how many tenants' schemas are not what they should be.
    fn drifting(&self) -> usize {
        self.with(SchemaState::is_drift)
    }

    /// Returns how many tenants have a schema in such a state.
    fn with(&self, wanted: impl Fn(SchemaState) -> bool) -> usize {
        let groups = self.cohorts.iter().flat_map(|cohort| &cohort.groups);
        groups.filter(|group| wanted(group.state)).map(|group| group.tenants.len()).sum()
    }
}

/// Drafts the SQL that makes each deviating group of tenants like what is expected of them.
pub fn repair_draft(scope: &Scope<'_>, survey: &Survey) -> String {
    repair::draft(scope, survey)
}
