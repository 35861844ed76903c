//! `rollout:`: in which waves a changeset reaches the fleet, and what stands between two waves.

use std::time::Duration;

/// The index of a wave in [`Rollout::waves`]; past their end it is the rest of the fleet, which comes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaveId(pub usize);

/// In which waves a changeset reaches the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// The waves that are named, the first first. Whoever is in none of them comes after the last.
    pub waves: Vec<Wave>,
    /// Whether a changeset reaches all waves before the next one begins.
    pub order: RolloutOrder,
    /// What a failure means for those of its wave that have not begun.
    pub on_failure: OnFailure,
    /// With [`OnFailure::FinishWave`]: how many tenants of a wave may fail before nobody else is started.
    pub max_failures: Option<usize>,
}

/// A part of the fleet, and what must hold before the next one begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wave {
    /// Its name.
    pub name: String,
    /// How long to wait after it.
    pub pause: Duration,
    /// Whether a person must say yes after it.
    pub confirm: bool,
    /// What must succeed after it, in order.
    pub checks: Vec<WaveCheck>,
}

/// What is asked between two waves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaveCheck {
    /// A command and its arguments: anything but exit status 0 halts the run.
    Command(Vec<String>),
    /// A query that is asked of every tenant of the wave: anything but one true value halts the run.
    Sql(String),
}

/// What comes first, all waves of a changeset or all changesets of a wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RolloutOrder {
    /// Each changeset through all waves. No tenant gets the next one before all have this one.
    #[default]
    Step,
    /// Each wave through all changesets. The barrier holds inside a wave and between waves.
    Wave,
}

/// What a failure means for those of its wave that have not begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Nobody else is started.
    #[default]
    Halt,
    /// The others of its wave get the changeset too; then the run halts.
    FinishWave,
}
