//! What happens in a run, as it happens. The console, the report and the report after an interrupt are folds of it.

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
    /// A step began.
    StepStarted { version: Version, title: String, tenants: usize, step_no: usize, steps: usize },
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
    /// All outcomes of a step are in.
    Barrier { version: Version, tally: Tally, decision: Decision, elapsed: Duration },
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
