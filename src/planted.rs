//! Bugs that can be planted in the core, to show that the simulation's checker finds them. Outside the crate's own
//! tests none is ever there: [`is`] is constantly false, and the optimiser removes its uses.

/// A realistic bug. Each has a test in `simulation` that the seeds catch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Bug {
    /// The next version opens whatever became of this one.
    BarrierSkipped,
    /// The next version opens although a tenant failed.
    BarrierForgetsFailures,
    /// The next version opens although nobody knows what became of a tenant.
    BarrierForgetsUnknown,
    /// The next version opens although a tenant is half applied.
    BarrierForgetsHalf,
    /// A text that goes statement by statement gets its history row before its first statement.
    HistoryBeforeText,
    /// The intent that is journalled is that of the statement after.
    IntentOneAhead,
    /// No lock is taken.
    LockNotTaken,
    /// The locks are not given back at the end.
    LockKept,
    /// What was read before the lock was ours is not read again under it.
    NotReadAgain,
    /// Nobody looks before a step whether the lock is still held.
    LockNotChecked,
    /// An order whose answer was lost counts as applied.
    LostIsApplied,
    /// An order whose answer was lost counts as rolled back.
    LostIsUnchanged,
    /// After a failure the other tenants of the step are started all the same.
    HaltingIgnored,
    /// After a request to stop tenants are started all the same.
    StopIgnored,
    /// History drift refuses nothing.
    DriftPassed,
    /// A half applied text begins at its first statement again.
    ResumeIgnored,
    /// A half applied text continues one statement too late.
    ResumeOneTooLate,
    /// A half applied text continues one statement too early.
    ResumeOneTooEarly,
    /// Nobody looks whether another run wrote to the journal since it was read.
    JournalNotReadAgain,
    /// A text continues although what was run of it has been changed.
    PrefixNotChecked,
    /// A statement of which nobody knows counts as done.
    UncertainIsDone,
    /// A statement of which nobody knows counts as not done.
    UncertainIsUndone,
    /// Every failure is tried again.
    EverythingRetried,
    /// More orders are given to a server than it can take at once.
    WidthIgnored,
    /// Tenants that are left out on purpose are worked on.
    QuarantineIgnored,
    /// Versions above the target are applied too.
    TargetIgnored,
    /// The next version opens before this one is on the servers' disks.
    BarrierWithoutFlush,
    /// Nobody looks after a step whether all are alike.
    StepNotVerified,
    /// A run that left a tenant half applied exits like one that failed.
    HalfExitsAsFailed,
    /// A run that halted says that it is done.
    HaltExitsAsDone,
    /// The next wave begins whatever became of the one before.
    WaveBarrierSkipped,
    /// Of each version the last wave comes first.
    WavesBackwards,
    /// Where a wave is to be finished its failures are not counted, and what is half applied stops nobody.
    FailuresNotCounted,
    /// Everybody gets every changeset, whomever it is for.
    SkipsIgnored,
    /// What was begun on a tenant is skipped when the tenant's labels have changed since.
    BegunIsSkipped,
    /// What was skipped is not told apart from what was applied.
    SkipsForgotten,
}

#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(test)]
pub(crate) use planting::{is, with};

#[cfg(test)]
mod planting {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        /// A seed runs on one thread from beginning to end.
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted on this thread.
    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Does something with a bug planted on this thread.
    pub(crate) fn with<T>(bug: Option<Bug>, what: impl FnOnce() -> T) -> T {
        struct Pulled;
        impl Drop for Pulled {
            fn drop(&mut self) {
                PLANTED.set(None);
            }
        }
        PLANTED.set(bug);
        let _pulled = Pulled;
        what()
    }
}
