//! `rollout:`: in which waves a changeset reaches the fleet, and what stands between two waves.
//!
//! [`read`] reads it from `tenants.yaml`, [`Fleet::assign_waves`] says which tenant is in which wave.

mod assign;
pub(in crate::tenant) mod check;
pub(in crate::tenant) mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

pub(super) use read::{OwnWave, read};

#[cfg(doc)]
use super::Fleet;

/// The name of the wave of those who are in no other; it comes last.
pub const REST: &str = "rest";

/// How long a check may take if the file does not say.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(600);

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
    /// Whom it takes, of those whom no wave before it took.
    pub takes: Takes,
    /// How long to wait after it.
    pub pause: Duration,
    /// Whether a person must say yes after it.
    pub confirm: bool,
    /// What must succeed after it, in order.
    pub checks: Vec<WaveCheck>,
}

/// Whom a wave takes: whoever any of these means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// A share of the fleet.
    pub share: Option<Share>,
    /// Tenants with any of these labels.
    pub labels: BTreeSet<String>,
    /// Tenants whose names match any of these globs.
    pub names: Vec<String>,
}

/// A share of the fleet, in hundredths of a percent from 0 to 10,000: from here, and up to there, that one left out.
///
/// Whom it means follows from a tenant's name alone, see [`Share::holds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Where it begins.
    pub from: u32,
    /// Where it ends.
    pub to: u32,
}

/// What is asked between two waves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveCheck {
    /// What is asked. It may hold what a variable of the file holds: never for a message.
    pub what: Check,
    /// How it stands in the file: the command as it is typed, or the query. For people.
    pub shown: String,
    /// How long it may take.
    pub timeout: Duration,
}

/// What must succeed.
#[derive(Clone, PartialEq, Eq)]
pub enum Check {
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

impl Rollout {
    /// Returns whether the fleet goes in waves.
    pub fn has_waves(&self) -> bool {
        !self.waves.is_empty()
    }

    /// Returns a wave's name.
    pub fn name(&self, wave: WaveId) -> &str {
        self.waves.get(wave.0).map_or(REST, |wave| &wave.name)
    }

    /// Returns the wave of this name; the rest has one too.
    pub fn named(&self, name: &str) -> Option<WaveId> {
        let named = self.waves.iter().position(|wave| wave.name == name);
        named.or_else(|| (name == REST).then_some(self.waves.len())).map(WaveId)
    }

    /// Returns every wave's name in order, the rest's last.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.waves.iter().map(|wave| wave.name.as_str()).chain([REST])
    }
}

impl Wave {
    /// Returns whether anything stands between it and the next one.
    pub fn has_gate(&self) -> bool {
        !self.pause.is_zero() || !self.checks.is_empty() || self.confirm
    }
}

impl Takes {
    /// Returns whether it means nobody, whoever there is.
    pub fn is_empty(&self) -> bool {
        self.share.is_none() && self.labels.is_empty() && self.names.is_empty()
    }
}

/// Its words may be secrets.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command(_) => "Command(…)",
            Self::Sql(_) => "Sql(…)",
        })
    }
}

impl RolloutOrder {
    /// Every order.
    pub const ALL: [RolloutOrder; 2] = [Self::Step, Self::Wave];

    /// Returns the word for it in `tenants.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Wave => "wave",
        }
    }
}

impl OnFailure {
    /// Every choice.
    pub const ALL: [OnFailure; 2] = [Self::Halt, Self::FinishWave];

    /// Returns the word for it in `tenants.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::FinishWave => "finish-wave",
        }
    }
}
