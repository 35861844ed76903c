//! The exit statuses of the command line, and which of several wins.

/// What a command's exit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// Done, or nothing to do: 0.
    Done,
    /// A changeset failed; the run halted at its barrier: 1.
    Failed,
    /// Usage or configuration; nothing was touched: 2.
    Usage,
    /// Drift; halted, nothing was changed: 3.
    Drift,
    /// Changesets are pending (`--check`): 4.
    Pending,
    /// A tenant cannot be reached, or another run holds the lock: 5.
    Unreachable,
    /// A tenant is half applied and needs a person: 6.
    HalfApplied,
    /// A bug in mtmigrate: 70.
    Bug,
    /// Interrupted by SIGINT: 130.
    Interrupted,
    /// Ended by SIGTERM: 143.
    Terminated,
}

impl ExitStatus {
    /// Returns the number that the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Drift => 3,
            Self::Pending => 4,
            Self::Unreachable => 5,
            Self::HalfApplied => 6,
            Self::Bug => 70,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Returns the more urgent of two: a bug, then usage, then 6, 1, 3, an interrupt, 5, 4, 0.
    ///
    /// An interrupt ranks below what a person must act on, so that a CI log of a halted run names the halt.
    pub fn worst(self, other: Self) -> Self {
        if self.urgency() >= other.urgency() { self } else { other }
    }

    fn urgency(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Pending => 1,
            Self::Unreachable => 2,
            Self::Interrupted | Self::Terminated => 3,
            Self::Drift => 4,
            Self::Failed => 5,
            Self::HalfApplied => 6,
            Self::Usage => 7,
            Self::Bug => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus::*;

    #[test]
    fn the_most_urgent_status_wins_in_the_order_of_the_contract() {
        let order = [HalfApplied, Failed, Drift, Unreachable, Pending, Done];
        for (i, worse) in order.iter().enumerate() {
            for better in &order[i..] {
                assert_eq!(worse.worst(*better), *worse);
                assert_eq!(better.worst(*worse), *worse);
            }
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_contract() {
        let all = [Done, Failed, Usage, Drift, Pending, Unreachable, HalfApplied, Bug, Interrupted, Terminated];
        assert_eq!(all.map(|s| s.code()), [0, 1, 2, 3, 4, 5, 6, 70, 130, 143]);
    }
}
