//! Logs on stderr: the subscriber, and a run's events as log lines with tenant, version and run id.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::error::{Code, Diagnostic, Paint, Severity, plain, plain_json};
use crate::lockstep::{Event, Scope};
use crate::tenant::TenantId;

use super::console::{Console, write_err};
use super::line::Line;

/// Drivers: their logs hold statements and errors that are ours to tell, and never what a secret must not reach.
const DRIVERS: [&str; 6] =
    ["mysql_async", "mysql_common", "tokio_postgres", "postgres_protocol", "rusqlite", "refinery"];

/// Begins to write logs, as the options ask.
pub(super) fn start(console: &Console) {
    let line = console.line().clone();
    let json = console.json_talk();
    let writer = move || Above { line: line.clone(), json };
    let layer = fmt::layer().with_ansi(console.paint_err() == Paint::Ansi).with_writer(writer);
    let layer = match json {
        true => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        false => layer.boxed(),
    };
    let filter = filter(console.quiet(), console.verbose());
    // A program that embeds the crate may have a subscriber of its own.
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().ok();
}

/// Returns what is logged. The environment has no say: a forgotten `RUST_LOG=debug` must not show statements.
fn filter(quiet: bool, verbose: u8) -> Targets {
    let (ours, foreign) = match (quiet, verbose) {
        (true, _) => (LevelFilter::ERROR, LevelFilter::ERROR),
        (_, 0) => (LevelFilter::WARN, LevelFilter::WARN),
        (_, 1) => (LevelFilter::INFO, LevelFilter::WARN),
        _ => (LevelFilter::DEBUG, LevelFilter::WARN),
    };
    let drivers = DRIVERS.iter().map(|driver| (*driver, LevelFilter::OFF));
    Targets::new().with_default(foreign).with_target("mtmigrate", ours).with_targets(drivers)
}

/// Writes above the progress line.
struct Above {
    line: Line,
    json: bool,
}

impl Write for Above {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let lines = String::from_utf8_lossy(text).into_owned();
        let lines = if self.json { plain_json(lines) } else { lines };
        self.line.above(|| write_err(&lines));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs a diagnostic in one line.
pub(super) fn diagnostic(one: &Diagnostic) {
    let code = one.code().to_string();
    let place = one.place().map(|place| plain(&place.to_string()));
    let causes = one.causes().join("; ");
    let causes = (!causes.is_empty()).then(|| plain(&causes));
    let (state, hint) = (one.state_now().map(plain), one.what_next().map(plain));
    let (diff, message) = (one.unified_diff().map(plain), plain(one.message()));
    match one.severity() {
        Severity::Error => error!(target: "mtmigrate", code, place, causes, diff, state, hint, "{message}"),
        Severity::Warning => warn!(target: "mtmigrate", code, place, causes, diff, state, hint, "{message}"),
    }
    one.joined().iter().for_each(diagnostic);
}

/// Logs a run's events.
pub(super) struct RunLog<'s> {
    scope: Scope<'s>,
    run_id: String,
}

impl<'s> RunLog<'s> {
    /// Makes the log of a run.
    pub fn new(scope: Scope<'s>, run_id: &str) -> Self {
        Self { scope, run_id: run_id.to_owned() }
    }

    /// Logs an event, from any thread.
    pub fn take(&self, event: &Event) {
        let run_id = self.run_id.as_str();
        match event {
            Event::RunStarted { tenants, quarantined, target, .. } => {
                let target = target.map(|version| version.to_string());
                info!(target: "mtmigrate::run", run_id, tenants, quarantined, to = target, "run started");
            }
            Event::Surveyed { readable, behind, steps, elapsed } => {
                let ms = elapsed.as_millis() as u64;
                info!(target: "mtmigrate::run", run_id, readable, behind, steps, elapsed_ms = ms, "surveyed");
            }
            Event::LockWaiting { server, holder } => {
                let (server, holder) = (plain(server), plain(holder));
                info!(target: "mtmigrate::run", run_id, server, holder, "waiting for the lock");
            }
            Event::LockTaken { servers, waited } => {
                let ms = waited.as_millis() as u64;
                info!(target: "mtmigrate::run", run_id, servers, waited_ms = ms, "lock taken");
            }
            Event::TenantSettled { tenant, version, statement_no, mark, words, .. } => {
                let (tenant, mark, words) = (self.name(*tenant), mark.as_str(), plain(words));
                warn!(target: "mtmigrate::run", run_id, tenant, %version, statement_no, mark, words, "settled");
            }
            Event::BudgetLowered { server, from, to } => {
                let server = plain(server);
                warn!(target: "mtmigrate::run", run_id, server, from, to, "budget lowered");
            }
            Event::StepStarted { version, title, wave, tenants, step_no, steps, .. } => {
                info!(target: "mtmigrate::run", run_id, %version, title, wave, tenants, step_no, steps, "step started");
            }
            Event::TenantStarted { tenant, version } => {
                let tenant = self.name(*tenant);
                debug!(target: "mtmigrate::run", run_id, tenant, %version, "started");
            }
            Event::TenantRetried { tenant, version, attempt, diagnostic } => {
                let (tenant, code, cause) = (self.name(*tenant), diagnostic.code(), diagnostic.one_line());
                info!(target: "mtmigrate::run", run_id, tenant, %version, attempt, %code, cause, "tried again");
            }
            Event::TenantApplied { tenant, version, applied, skipped } => {
                let (tenant, ms) = (self.name(*tenant), applied.duration.as_millis() as u64);
                for notice in &applied.notices {
                    debug!(target: "mtmigrate::run", run_id, tenant, %version, notice = plain(notice), "notice");
                }
                let by_another = applied.by_another;
                debug!(target: "mtmigrate::run", run_id, tenant, %version, duration_ms = ms, by_another, skipped, "applied");
            }
            Event::TenantFailed { tenant, version, failure } => {
                let (tenant, ms) = (self.name(*tenant), failure.duration.as_millis() as u64);
                let (code, cause) = (failure.diagnostic.code(), failure.diagnostic.one_line());
                if code == Code::CANCELLED {
                    info!(target: "mtmigrate::run", run_id, tenant, %version, duration_ms = ms, "rolled back");
                } else {
                    warn!(target: "mtmigrate::run", run_id, tenant, %version, duration_ms = ms, %code, cause, "failed");
                }
            }
            Event::TenantNotStarted { tenant, version } => {
                let tenant = self.name(*tenant);
                debug!(target: "mtmigrate::run", run_id, tenant, %version, "not started");
            }
            Event::Barrier { version, wave, tally, decision, elapsed } => {
                let (applied, failed, ms) = (tally.applied, tally.failed, elapsed.as_millis() as u64);
                let (half, unknown, not_started) = (tally.half, tally.unknown, tally.not_started);
                let (diverged, unverified) = (tally.diverged, tally.unverified);
                info!(
                    target: "mtmigrate::run", run_id, %version, wave, applied, failed, half, unknown, not_started, diverged,
                    unverified, elapsed_ms = ms, ?decision, "step ended"
                );
            }
            Event::GateWaiting { version, wave, condition } => {
                let gate = plain(&condition.to_string());
                info!(target: "mtmigrate::run", run_id, %version, wave, gate, "waiting at a gate");
            }
            Event::GatePassed { version, wave, condition, elapsed } => {
                let (gate, ms) = (plain(&condition.to_string()), elapsed.as_millis() as u64);
                info!(target: "mtmigrate::run", run_id, %version, wave, gate, elapsed_ms = ms, "gate passed");
            }
            Event::GateShut { version, wave, condition, elapsed } => {
                let (gate, ms) = (plain(&condition.to_string()), elapsed.as_millis() as u64);
                info!(target: "mtmigrate::run", run_id, %version, wave, gate, elapsed_ms = ms, "gate shut");
            }
            Event::Verified { version, tenants, cohorts, elapsed } => {
                let ms = elapsed.as_millis() as u64;
                info!(target: "mtmigrate::run", run_id, %version, tenants, cohorts, elapsed_ms = ms, "schemas are alike");
            }
            Event::Diverged { tenant, version } => {
                let tenant = self.name(*tenant);
                warn!(target: "mtmigrate::run", run_id, tenant, %version, "diverged");
            }
            Event::Recorded { tenants, elapsed } => {
                let ms = elapsed.as_millis() as u64;
                info!(target: "mtmigrate::run", run_id, tenants, elapsed_ms = ms, "schemas recorded");
            }
            Event::Stopping { hard } => info!(target: "mtmigrate::run", run_id, hard, "stopping"),
            Event::RunFinished(ending) => {
                let (outcome, exit, ms) =
                    (ending.outcome.as_str(), ending.exit.code(), ending.elapsed.as_millis() as u64);
                info!(target: "mtmigrate::run", run_id, outcome, exit, elapsed_ms = ms, "run finished");
            }
        }
    }

    fn name(&self, tenant: TenantId) -> String {
        plain(&self.scope.fleet.tenants[tenant.0].name)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn what_is_logged_depends_on_the_options_alone_and_never_shows_a_drivers_talk() {
        for (quiet, verbose, ours, foreign) in [
            (true, 0, Level::ERROR, Level::ERROR),
            (false, 0, Level::WARN, Level::WARN),
            (false, 1, Level::INFO, Level::WARN),
            (false, 2, Level::DEBUG, Level::WARN),
            (false, 9, Level::DEBUG, Level::WARN),
        ] {
            let filter = filter(quiet, verbose);
            for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(filter.would_enable("mtmigrate::engine::mysql", &level), level <= ours);
                assert_eq!(filter.would_enable("rustls::client", &level), level <= foreign);
                for driver in DRIVERS {
                    assert!(!filter.would_enable(&format!("{driver}::conn"), &level), "{driver} {level}");
                }
            }
        }
    }
}
