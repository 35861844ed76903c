//! What happens in a run, as it happens. The console, the report and the report after an interrupt are folds of it.

use std::fmt;
use std::time::Duration;

use crate::changeset::Version;
use crate::engine::{Applied, Failure, Mark};
use crate::error::{Diagnostic, ExitStatus};
use crate::tenant::TenantId;

use super::barrier::{Decision, Tally};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run began: nothing has been read yet.
    RunStarted { run_id: String, tenants: usize, quarantined: usize, target: Option<Version> },
    /// Every tenant was read.
    Surveyed { readable: usize, behind: usize, steps: usize, elapsed: Duration },
    /// Somebody else holds a lock.
    LockWaiting { server: String, holder: String },
    /// All locks are held.
    LockTaken { servers: usize, waited: Duration },
    /// What became of a statement that an earlier run had begun: it is known and recorded now, and the text continues.
    TenantSettled { tenant: TenantId, version: Version, statement_no: u32, statements: u32, mark: Mark, words: String },
    /// A server has fewer free connections than its budget: this run makes do with fewer from now on.
    BudgetLowered { server: String, from: usize, to: usize },
    /// A step began; where the fleet goes in waves, for one of these. `later` tenants of later waves lack the version too.
    StepStarted {
        version: Version,
        title: String,
        wave: Option<String>,
        tenants: usize,
        later: usize,
        step_no: usize,
        steps: usize,
    },
    /// A tenant's changeset was given to its server.
    TenantStarted { tenant: TenantId, version: Version },
    /// It failed in a way that may pass, and is tried again.
    TenantRetried { tenant: TenantId, version: Version, attempt: u32, diagnostic: Diagnostic },
    /// It is applied; or `skipped`: recorded without its text, because it is not for this tenant.
    TenantApplied { tenant: TenantId, version: Version, applied: Applied, skipped: bool },
    /// It is not applied, or nobody knows.
    TenantFailed { tenant: TenantId, version: Version, failure: Failure },
    /// The step halted before it was this tenant's turn.
    TenantNotStarted { tenant: TenantId, version: Version },
    /// All outcomes of a step are in; where the fleet goes in waves, those of one of these.
    Barrier { version: Version, wave: Option<String>, tally: Tally, decision: Decision, elapsed: Duration },
    /// Before the next wave begins the run waits, or asks; the wave is the one that has the version.
    GateWaiting { version: Version, wave: String, condition: Condition },
    /// It has waited, or the answer is yes.
    GatePassed { version: Version, wave: String, condition: Condition, elapsed: Duration },
    /// The next wave does not begin.
    GateShut { version: Version, wave: String, condition: Condition, elapsed: Duration },
    /// After a step: the schemas of those that got the version are alike, and like those that had it before.
    Verified { version: Version, tenants: usize, cohorts: usize, elapsed: Duration },
    /// After a step: a tenant's schema is not what its cohort has. It comes before the step's barrier.
    Diverged { tenant: TenantId, version: Version },
    /// At the end of a run: what these tenants' schemas are now stands in their journals.
    Recorded { tenants: usize, elapsed: Duration },
    /// A signal asked the run to stop; what is in flight is finished, or with `hard` rolled back.
    Stopping { hard: bool },
    /// The run is over.
    RunFinished(Ending),
}

/// What must be met between two waves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Some time.
    Pause(Duration),
    /// A command or a query that must succeed within a time.
    Check { sql: bool, words: String, timeout: Duration },
    /// A person's yes.
    Confirmation,
}

impl Condition {
    /// Returns the word in reports.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pause(_) => "pause",
            Self::Check { sql: false, .. } => "command",
            Self::Check { sql: true, .. } => "sql",
            Self::Confirmation => "confirm",
        }
    }
}

/// For a person: `pause 10m`, `check ./smoke-test --fast`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause(time) => write!(f, "pause {}", humantime::format_duration(*time)),
            Self::Check { sql: false, words, .. } => write!(f, "check {words}"),
            Self::Check { sql: true, words, .. } => write!(f, "SQL check {words}"),
            Self::Confirmation => f.write_str("confirm"),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ending {
    /// In a word.
    pub outcome: RunOutcome,
    /// The exit status of the command line.
    pub exit: ExitStatus,
    /// What a person must know, with state and hint; the most urgent first.
    pub diagnostics: Vec<Diagnostic>,
    /// How long it took.
    pub elapsed: Duration,
}

/// A run's outcome. The words are part of the run report's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// Nothing was pending.
    UpToDate,
    /// Every tenant has every changeset up to the target.
    Applied,
    /// Halted at a barrier.
    Halted,
    /// Drift: nothing was changed.
    Drift,
    /// A tenant cannot be reached, is half applied, or another run holds the lock: nothing was changed.
    Refused,
    /// Stopped by a signal.
    Interrupted,
}

impl RunOutcome {
    /// Returns the word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "up-to-date",
            Self::Applied => "applied",
            Self::Halted => "halted",
            Self::Drift => "drift",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Takes events, from any thread.
pub type Sink<'s> = &'s (dyn Fn(Event) + Send + Sync);
