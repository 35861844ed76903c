//! The decision at a barrier: all outcomes of a step are in, and the next version opens or the run halts.
//!
//! Pure, and the only place that decides it.

use crate::planted::{self, Bug};

/// What is known at a barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tenants that have the version now because of this step.
    pub applied: usize,
    /// Those of them that skipped it.
    pub skipped: usize,
    /// Tenants that failed and are as they were.
    pub failed: usize,
    /// Tenants that are half applied.
    pub half: usize,
    /// Tenants of which nobody knows.
    pub unknown: usize,
    /// Tenants whose schema is not what it should be after the step; those that had the version before it count too.
    pub diverged: usize,
    /// Tenants that have the version, but nobody could look what it left.
    pub unverified: usize,
    /// Tenants that were not started.
    pub not_started: usize,
    /// Whether a run lock was lost.
    pub lock_lost: bool,
    /// Whether a person or the system asked to stop.
    pub interrupted: bool,
}

/// Whether the next version opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every tenant of the step has the version.
    Proceed,
    /// Nobody gets the next version.
    Halt(Reason),
}

/// Why a run halts, the most urgent reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A tenant is half applied.
    HalfApplied,
    /// A tenant failed, or its outcome is unknown.
    Failed,
    /// Schemas that must be alike are not.
    Diverged,
    /// Whether schemas are alike could not be looked at.
    Unverified,
    /// The lock is gone: another run may have begun.
    LockLost,
    /// Somebody asked to stop.
    Interrupted,
}

/// Decides whether the next version opens: only when every tenant of the step has this one, all are alike as far as
/// that is asked for, the lock is held, and nobody asked to stop.
pub fn decide(tally: &Tally) -> Decision {
    if planted::is(Bug::BarrierSkipped) {
        return Decision::Proceed;
    }
    if tally.half > 0 && !planted::is(Bug::BarrierForgetsHalf) {
        return Decision::Halt(Reason::HalfApplied);
    }
    let failed = tally.failed > 0 && !planted::is(Bug::BarrierForgetsFailures);
    let unknown = tally.unknown > 0 && !planted::is(Bug::BarrierForgetsUnknown);
    if failed || unknown {
        return Decision::Halt(Reason::Failed);
    }
    // Worse than a lost lock: that ends by itself, and a schema that is wrong does not.
    if tally.diverged > 0 {
        return Decision::Halt(Reason::Diverged);
    }
    if tally.unverified > 0 {
        return Decision::Halt(Reason::Unverified);
    }
    if tally.lock_lost {
        return Decision::Halt(Reason::LockLost);
    }
    if tally.interrupted || tally.not_started > 0 {
        return Decision::Halt(Reason::Interrupted);
    }
    Decision::Proceed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_version_opens_only_when_nothing_at_all_is_amiss() {
        let fine = Tally { applied: 3, ..Tally::default() };
        assert_eq!(decide(&fine), Decision::Proceed);
        for (tally, reason) in [
            (Tally { failed: 1, interrupted: true, ..fine }, Reason::Failed),
            (Tally { unknown: 1, ..fine }, Reason::Failed),
            (Tally { half: 1, failed: 9, ..fine }, Reason::HalfApplied),
            (Tally { diverged: 1, failed: 1, ..fine }, Reason::Failed),
            (Tally { diverged: 1, unverified: 1, lock_lost: true, ..fine }, Reason::Diverged),
            (Tally { unverified: 1, interrupted: true, ..fine }, Reason::Unverified),
            (Tally { lock_lost: true, ..fine }, Reason::LockLost),
            (Tally { interrupted: true, ..fine }, Reason::Interrupted),
            (Tally { not_started: 1, ..fine }, Reason::Interrupted),
        ] {
            assert_eq!(decide(&tally), Decision::Halt(reason), "{tally:?}");
        }
    }
}
