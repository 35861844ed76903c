//! A fleet from its files to its reports, the way that the command line goes.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mtmigrate::engine::RunIdentity;
use mtmigrate::error::{Diagnostic, ExitStatus, Paint};
use mtmigrate::history::OutOfOrder;
use mtmigrate::lockstep::{self, Depth, Scope, Stop, UpOptions};
use mtmigrate::report::{PlanFormat, PlanOptions, PlanReport, RunReport, StatusFormat, StatusReport};
use mtmigrate::tenant::{Environment, Selection, Verify};
use mtmigrate::{changeset, tenant};
use time::OffsetDateTime;

use super::memory;

/// What a fleet's file may ask for.
pub struct Password;

impl Environment for Password {
    fn var(&self, name: &str) -> Option<String> {
        (name == "PW").then(|| "p@ss/w:rd".to_owned())
    }
}

/// Says how long a phase took.
pub type Phases<'p> = &'p mut dyn FnMut(&'static str, Duration);

/// Goes all the way: loads, plans, goes up, and reports; a fleet that is up to date is then looked at again.
///
/// # Errors
/// What is wrong, as a person reads it.
pub async fn walk(folder: &Path, verify: Verify, phases: Phases<'_>) -> Result<(), String> {
    let mut clock = Clock { phases, since: Instant::now() };
    let fleet = tenant::load(&folder.join("tenants.yaml"), &Password).map_err(|mistakes| words(&mistakes))?;
    clock.lap("tenants.yaml");
    let changelog = changeset::load(&fleet.migrations).map_err(|mistakes| words(&mistakes))?.changelog;
    clock.lap("changelog");
    let selection = fleet.select(&Selection::default()).map_err(|one| words(&[one]))?;
    let servers = memory::open(&fleet, &changelog);
    let scope = Scope { fleet: &fleet, changelog: &changelog, servers: &servers, selection: &selection };
    clock.restart();
    plan(scope, verify, &mut clock).await?;
    up(scope, verify, &mut clock).await?;
    status(scope, &mut clock).await
}

/// Loads a fleet's file and does nothing with it.
///
/// # Errors
/// What is wrong, as a person reads it.
pub fn load(folder: &Path, phases: Phases<'_>) -> Result<(), String> {
    let mut clock = Clock { phases, since: Instant::now() };
    let fleet = tenant::load(&folder.join("tenants.yaml"), &Password).map_err(|mistakes| words(&mistakes))?;
    clock.lap("tenants.yaml");
    drop(fleet);
    Ok(())
}

async fn plan(scope: Scope<'_>, verify: Verify, clock: &mut Clock<'_>) -> Result<(), String> {
    let survey = lockstep::survey(&scope, OutOfOrder::Refuse, Depth::of(verify)).await;
    clock.lap("plan: survey");
    let plan = lockstep::judge(&scope, &survey, None).map_err(|refusal| words(&refusal.diagnostics))?;
    let report = PlanReport::new(&scope, &survey, &plan, PlanOptions::default());
    drop(survey);
    report.render(PlanFormat::Human, Paint::Plain);
    clock.lap("plan: text");
    let written = report.write(PlanFormat::Json, Paint::Plain, &mut io::sink());
    written.map_err(|error| error.to_string())?;
    clock.lap("plan: JSON");
    Ok(())
}

async fn up(scope: Scope<'_>, verify: Verify, clock: &mut Clock<'_>) -> Result<(), String> {
    let options = UpOptions {
        target: None,
        jobs: None,
        lock_wait: Duration::ZERO,
        out_of_order: OutOfOrder::Refuse,
        verify,
        gates: std::sync::Arc::new(mtmigrate::lockstep::NoGates),
    };
    let report = Mutex::new(RunReport::new(&scope, OffsetDateTime::now_utc()));
    let sink = |event| {
        if let Ok(mut report) = report.lock() {
            report.fold(&event);
        }
    };
    let ending = lockstep::up(scope, &options, &RunIdentity::new(), &Stop::default(), &sink).await;
    clock.lap("up");
    let report = report.into_inner().map_err(|_| "the report is broken".to_owned())?;
    report.human(Paint::Plain);
    report.write_json(&mut io::sink()).map_err(|error| error.to_string())?;
    clock.lap("up: text and JSON");
    if ending.exit == ExitStatus::Done { Ok(()) } else { Err(words(&ending.diagnostics)) }
}

async fn status(scope: Scope<'_>, clock: &mut Clock<'_>) -> Result<(), String> {
    let survey = lockstep::survey(&scope, OutOfOrder::Refuse, Depth::Schemas).await;
    clock.lap("status: survey");
    let today = OffsetDateTime::now_utc().date();
    let report = StatusReport::new(&scope, &survey, None, today);
    report.render(StatusFormat::Table, Paint::Plain, None);
    clock.lap("status: table");
    let written = report.write(StatusFormat::Json, Paint::Plain, None, &mut io::sink());
    written.map_err(|error| error.to_string())?;
    clock.lap("status: JSON");
    if report.exit(true) == ExitStatus::Done { Ok(()) } else { Err("the fleet is not where it should be".into()) }
}

struct Clock<'p> {
    phases: Phases<'p>,
    since: Instant,
}

impl Clock<'_> {
    fn lap(&mut self, phase: &'static str) {
        (self.phases)(phase, self.since.elapsed());
        self.since = Instant::now();
    }

    fn restart(&mut self) {
        self.since = Instant::now();
    }
}

fn words(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::one_line).collect::<Vec<_>>().join("\n")
}
