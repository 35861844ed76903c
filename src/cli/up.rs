//! `up`: brings the fleet to the target in lockstep.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use time::OffsetDateTime;

use crate::changeset::Version;
use crate::engine::RunIdentity;
use crate::error::{Diagnostic, ExitStatus};
use crate::history::OutOfOrder;
use crate::lockstep::{self, Event, Scope, Stop, UpOptions};
use crate::report::RunReport;
use crate::tenant::Verify;

use super::args::{Selecting, duration, version};
use super::console::Console;
use super::gates::Keeper;
use super::log::RunLog;
use super::rules;
use super::screen::Screen;
use super::signals::{Signals, watch};
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate up                                 every tenant to the newest version
  mtmigrate up --label canary                  some tenants first
  mtmigrate up --to 42 --jobs 4                to V42, at most 4 tenants at once
  mtmigrate up --lock-wait 10m --format json > run.json
  mtmigrate up --yes                           in CI: go on where a wave must be confirmed
  mtmigrate up --verify run                    compare schemas before and after, not at each step

A run that halted or was killed is continued by the same command: only what is missing runs.
The first Ctrl-C or SIGTERM finishes what is in flight, the second (or 10 s) rolls it back.

Exit status: 0 done, or nothing to do; 1 a changeset or a check between waves failed, or a wave was
  not confirmed; 2 usage or configuration; 3 drift: nothing was changed, or a changeset had not the same effect everywhere and
  nobody got the next one; 5 a tenant cannot be reached or another run holds the lock, nothing was
  changed; 6 a tenant is half applied; 130, 143 interrupted";

/// Brings every tenant to the newest version, in lockstep.
///
/// Writes to tenants: yes. No tenant gets changeset k+1 before every tenant has changeset k and all with the same
/// changesets have the same schema; with waves, `rollout:` in the fleet's file, each in its turn. Nothing is changed anywhere while any selected tenant has drifted, is half applied
/// and needs a person, or cannot be reached; one that can go on by itself is finished in its turn.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct UpArgs {
    /// Bring tenants up to and including this version [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = version)]
    to: Option<Version>,
    /// The most tenants at work at once [default: what the servers' max_connections allow]
    #[arg(long, value_name = "N", value_parser = jobs)]
    jobs: Option<NonZeroUsize>,
    /// How long to wait for another run's lock; 0 tries once
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    lock_wait: Duration,
    /// Apply changesets below a tenant's newest version too
    #[arg(long)]
    allow_out_of_order: bool,
    /// When schemas are compared: before the first step and after every one, before and at the end, or
    /// never [default: `verify:` in the fleet's file, else step]
    #[arg(long, value_name = "WHEN")]
    verify: Option<Verify>,
    /// Say yes to every wave that must be confirmed (`confirm: true`)
    #[arg(long)]
    yes: bool,
    /// How the final report is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: RunFormat,
    #[command(flatten)]
    selecting: Selecting,
}

/// How the final report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RunFormat {
    Human,
    Json,
}

impl ValueEnum for Verify {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

/// Runs, and prints the report however it ended.
pub(super) fn run(args: &UpArgs, context: &Context) -> Outcome {
    let walk = Walk { context, selecting: &args.selecting, target: args.to };
    walk.run(async |scope| {
        scope.fleet.check_active()?;
        context.console.tell(&rules::over(scope.fleet, rules::today()));
        context.console.tell(&scope.fleet.empty_waves());
        let report = going(scope, args, &context.console).await?;
        print(&report, args.format, &context.console);
        Ok(report.exit())
    })
}

/// Runs as the command line says.
///
/// Under the process's signals; screen, log and report are folds of one stream of events.
async fn going(scope: Scope<'_>, args: &UpArgs, console: &Console) -> Result<RunReport, Vec<Diagnostic>> {
    let options = UpOptions {
        target: args.to,
        jobs: args.jobs,
        lock_wait: args.lock_wait,
        verify: args.verify.unwrap_or(scope.fleet.verify),
        out_of_order: if args.allow_out_of_order { OutOfOrder::Allow } else { OutOfOrder::Refuse },
        gates: Arc::new(Keeper::new(console, &scope.fleet.config, args.yes)),
    };
    let mut signals = Signals::listen().map_err(|one| vec![one])?;
    Ok(follow(scope, &options, console, &mut Asking { signals: &mut signals, stop: &Stop::default() }).await)
}

/// What asks a run to stop.
pub(super) struct Asking<'a> {
    pub signals: &'a mut Signals,
    pub stop: &'a Stop,
}

/// Runs with these options.
pub(super) async fn follow(
    scope: Scope<'_>,
    options: &UpOptions,
    console: &Console,
    asking: &mut Asking<'_>,
) -> RunReport {
    let Asking { signals, stop } = asking;
    let identity = RunIdentity::of(&scope.fleet.hash);
    let screen = Screen::new(console);
    let log = RunLog::new(scope, &identity.run_id);
    let report = Mutex::new(RunReport::new(&scope, OffsetDateTime::now_utc()));
    let sink = |event: Event| {
        report.lock().unwrap_or_else(PoisonError::into_inner).fold(&event);
        log.take(&event);
        screen.take(&event);
        if let (Event::RunFinished(ending), true) = (&event, console.json_talk()) {
            console.tell(&ending.diagnostics);
        }
    };
    let watching = watch(
        async || signals.next().await,
        stop,
        |asked| {
            console.notice(&asked.line);
            sink(Event::Stopping { hard: asked.hard });
        },
    );
    tokio::select! {
        _ending = lockstep::up(scope, options, &identity, stop, &sink) => {}
        never = watching => match never {},
        never = screen.keep_drawing() => match never {},
    }
    screen.clear();
    drop(screen);
    // Whoever insisted cut the run short, and with it the wait for a command's end.
    options.gates.settled().await;
    report.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Prints the report. The run is over and its exit status stands, so a full disk under stdout is only told.
pub(super) fn print(report: &RunReport, format: RunFormat, console: &Console) {
    let done = report.exit() == ExitStatus::Done;
    let written = match format {
        RunFormat::Human if done || console.json_talk() => console.data(&report.human(console.paint_out())),
        RunFormat::Human => {
            console.talk(&report.human(console.paint_err()));
            Ok(())
        }
        RunFormat::Json => {
            if !console.quiet() && !console.json_talk() {
                console.talk(&report.human(console.paint_err()));
            }
            console.data_by(|out| report.write_json(out))
        }
    };
    if let Err(unwritten) = written {
        console.tell(&[unwritten.state("the run itself is over; its exit status stands")]);
    }
}

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "a whole number from 1".into())
}
