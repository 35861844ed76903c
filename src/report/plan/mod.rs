//! What `up` would do, step by step, with the SQL on demand.

mod human;
mod json;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::changeset::{Changeset, Directives, Version};
use crate::error::{ExitStatus, Paint};
use crate::history::Unfinished;
use crate::lockstep::{ByTenant, Condition, Found, Scope, Survey, conditions};
use crate::plan::{Leg, Plan, skips};
use crate::sql::EngineKind;
use crate::tenant::{RolloutOrder, TenantId, WaveId};

use super::wire::{pretty, write_pretty};

/// The forms of a plan report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanFormat {
    /// For a person.
    Human,
    /// `mtmigrate.plan/1`.
    Json,
}

/// What a plan report shows beside the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// The changesets' texts.
    pub sql: bool,
}

/// What `up` would do. A step's tenants are asked of the plan when they are shown: memory grows with tenants.
#[derive(Clone, Debug)]
pub struct PlanReport {
    plan: Plan,
    steps: Vec<Step>,
    names: ByTenant<String>,
    quarantined: Vec<(String, String)>,
    provisioning: Vec<String>,
    readable: usize,
    /// In which order waves and steps come; absent where the fleet goes without waves.
    order: Option<RolloutOrder>,
    gates: Vec<Gate>,
}

/// What stands before a wave begins.
#[derive(Clone, Debug)]
struct Gate {
    version: Version,
    after: String,
    before: String,
    conditions: Vec<Condition>,
}

/// One step.
#[derive(Clone, Debug)]
struct Step {
    version: Version,
    title: String,
    tenants: usize,
    /// How many of them are in each wave, where the fleet goes in waves.
    waves: Vec<(String, usize)>,
    texts: Vec<EngineText>,
    /// Tenants of which a part of the text is committed, and the statement at which it continues.
    continues: Vec<(TenantId, u32)>,
    /// Who skips it; steps that the same tenants skip share them.
    skips: Arc<[TenantId]>,
}

/// What the tenants of one engine get in a step.
#[derive(Clone, Debug)]
struct EngineText {
    engine: EngineKind,
    tenants: usize,
    /// Whether the engine has a text of its own.
    own: bool,
    /// Absent where the changelog has none for the engine; loading refuses that.
    text: Option<PlannedText>,
}

#[derive(Clone, Debug)]
struct PlannedText {
    file: String,
    checksum: u64,
    directives: Directives,
    empty: bool,
    /// When it was asked for.
    sql: Option<String>,
}

impl PlanReport {
    /// Takes a plan, and what the survey and the changelog say about its steps.
    pub fn new(scope: &Scope<'_>, survey: &Survey, plan: &Plan, options: PlanOptions) -> Self {
        let quarantined = survey.standings.iter().filter_map(|standing| match &standing.found {
            Found::Quarantined(reason) => Some((scope.fleet.tenants[standing.tenant.0].name.clone(), reason.clone())),
            _ => None,
        });
        let rollout = &scope.fleet.rollout;
        let legs = plan.legs(scope.fleet, survey.positions().map(|(tenant, position)| (tenant, &*position.applied)));
        let gates =
            legs.iter().flat_map(|leg| leg.gates.iter().map(move |gate| (leg, gate))).filter_map(|(leg, gate)| {
                let conditions = conditions(rollout.waves.get(gate.wave.0)?);
                let name = |wave: WaveId| rollout.name(wave).to_owned();
                Some(Gate { version: gate.version, after: name(gate.wave), before: name(leg.wave?), conditions })
            });
        let planned = plan.steps().iter().filter_map(|version| scope.changelog.get(*version));
        let mut steps: Vec<Step> = Vec::new();
        for changeset in planned {
            let mut step = Step::of(scope, survey, (plan, &legs), changeset, options);
            if let Some(same) = steps.iter().rev().find(|other| other.skips == step.skips) {
                step.skips = same.skips.clone();
            }
            steps.push(step);
        }
        Self {
            steps,
            plan: plan.clone(),
            names: scope.selection.iter().map(|id| (*id, scope.fleet.tenants[id.0].name.clone())).collect(),
            quarantined: quarantined.collect(),
            provisioning: survey
                .standings
                .iter()
                .filter(|standing| matches!(standing.found, Found::Provisioning))
                .map(|standing| scope.fleet.tenants[standing.tenant.0].name.clone())
                .collect(),
            readable: survey.positions().count(),
            order: rollout.has_waves().then_some(rollout.order),
            gates: gates.collect(),
        }
    }

    /// Returns the report as text that ends with a line feed.
    pub fn render(&self, format: PlanFormat, paint: Paint) -> String {
        match format {
            PlanFormat::Human => human::render(self, paint),
            PlanFormat::Json => pretty(&json::document(self)),
        }
    }

    /// Writes what [`PlanReport::render`] returns. JSON is written as it is made: it names each step's tenants.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn write(&self, format: PlanFormat, paint: Paint, out: &mut dyn io::Write) -> io::Result<()> {
        match format {
            PlanFormat::Human => out.write_all(human::render(self, paint).as_bytes()),
            PlanFormat::Json => write_pretty(out, &json::document(self)),
        }
    }

    /// Returns the exit status: with `check`, 4 when a step is pending.
    pub fn exit(&self, check: bool) -> ExitStatus {
        if check && !self.plan.is_empty() { ExitStatus::Pending } else { ExitStatus::Done }
    }

    /// Returns the names of a step's tenants, in the fleet's order.
    fn tenants_at(&self, version: Version) -> impl Iterator<Item = &str> {
        self.plan.tenants_at(version).into_iter().filter_map(|id| self.name(id))
    }

    fn name(&self, id: TenantId) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }
}

impl Step {
    fn of(
        scope: &Scope<'_>,
        survey: &Survey,
        (plan, legs): (&Plan, &[Leg]),
        changeset: &Changeset,
        options: PlanOptions,
    ) -> Self {
        let waves = legs.iter().filter(|leg| leg.version == changeset.version);
        let waves = waves.filter_map(|leg| Some((scope.fleet.rollout.name(leg.wave?).to_owned(), leg.tenants)));
        let tenants = plan.tenants_at(changeset.version);
        let mut by_engine: BTreeMap<EngineKind, usize> = BTreeMap::new();
        for id in &tenants {
            *by_engine.entry(scope.fleet.tenants[id.0].datasource.engine()).or_default() += 1;
        }
        let texts = by_engine.into_iter().map(|(engine, tenants)| EngineText {
            engine,
            tenants,
            own: changeset.variants().any(|own| own == engine),
            text: changeset.text(engine).map(|text| PlannedText {
                file: text.file.clone(),
                checksum: text.checksum(scope.changelog.width()),
                directives: text.directives.clone(),
                empty: text.empty,
                sql: options.sql.then(|| text.sql.clone()),
            }),
        });
        let continues = survey.positions().filter_map(|(id, position)| match position.unfinished {
            Some(Unfinished::FailedAt { version, statement_no, .. }) if version == changeset.version => {
                Some((id, statement_no))
            }
            _ => None,
        });
        let continues: Vec<(TenantId, u32)> = continues.collect();
        // What was begun is ended.
        let begun = |id: &TenantId| continues.iter().any(|(begun, _)| begun == id);
        let skips = tenants.iter().copied().filter(|id| skips(changeset, scope.fleet.tenant(*id)) && !begun(id));
        Self {
            skips: skips.collect(),
            version: changeset.version,
            title: changeset.to_string(),
            tenants: tenants.len(),
            waves: waves.collect(),
            texts: texts.collect(),
            continues,
        }
    }
}
