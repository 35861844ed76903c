//! One step of a run: its counts, and its lines.

use std::time::{Duration, Instant};

use crate::error::plain;
use crate::lockstep::barrier::Tally;

/// How many characters the bar has.
const BAR: usize = 20;

/// One step as far as it has come.
pub(super) struct Step {
    title: String,
    wave: Option<String>,
    pub step_no: usize,
    pub steps: usize,
    tenants: usize,
    applied: usize,
    failed: usize,
    in_flight: usize,
    /// How many tenants' schemas were found alike.
    alike: Option<usize>,
    since: Instant,
    told: Instant,
}

impl Step {
    /// Starts the step with this number of how many.
    pub fn new(
        title: &str,
        wave: Option<&str>,
        (step_no, steps): (usize, usize),
        tenants: usize,
        now: Instant,
    ) -> Self {
        let (title, wave) = (title.to_owned(), wave.map(plain));
        Self {
            title,
            wave,
            step_no,
            steps,
            tenants,
            applied: 0,
            failed: 0,
            in_flight: 0,
            alike: None,
            since: now,
            told: now,
        }
    }

    /// Counts a tenant in.
    pub fn tenant_started(&mut self) {
        self.in_flight += 1;
    }

    /// Counts a tenant out that has the version now.
    pub fn tenant_applied(&mut self) {
        self.applied += 1;
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts a tenant out that failed; with nobody in flight it is one that was counted as applied before.
    pub fn tenant_failed(&mut self) {
        self.failed += 1;
        match self.in_flight {
            0 => self.applied = self.applied.saturating_sub(1),
            in_flight => self.in_flight = in_flight - 1,
        }
    }

    /// Takes note that so many tenants' schemas are alike.
    pub fn verified(&mut self, tenants: usize) {
        self.alike = Some(tenants);
    }

    /// Returns how long the last line is ago.
    pub fn silent_for(&self, now: Instant) -> Duration {
        now - self.told
    }

    /// Whether everybody has it, and the step goes on all the same.
    fn is_checking(&self) -> bool {
        self.tenants > 0 && self.applied == self.tenants
    }

    fn head(&self) -> String {
        let head = format!("{}  step {} of {}", self.title, self.step_no, self.steps);
        match &self.wave {
            Some(wave) => format!("{head}  wave {wave}"),
            None => head,
        }
    }

    /// Returns the line that is rewritten.
    pub fn live(&self, now: Instant) -> String {
        let full = match self.tenants {
            0 => 0,
            tenants => self.applied * BAR / tenants,
        };
        let bar = format!("[{:-<BAR$}]", "=".repeat(full));
        let mut line = format!("{}  {bar} {}/{} tenants", self.head(), self.applied, self.tenants);
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        line.push_str(&match self.is_checking() {
            true => format!(", comparing schemas  {}", clock(now - self.since)),
            false => format!(", {} in flight  {}", self.in_flight, clock(now - self.since)),
        });
        line
    }

    /// Returns the line of a step that goes on.
    pub fn sign_of_life(&mut self, now: Instant) -> String {
        self.told = now;
        let mut line = format!("{}  {} of {} applied", self.head(), self.applied, self.tenants);
        if self.failed > 0 {
            line.push_str(&format!(", {} failed", self.failed));
        }
        line.push_str(&match self.is_checking() {
            true => format!(", comparing schemas after {}", clock(now - self.since)),
            false => format!(", {} in flight after {}", self.in_flight, clock(now - self.since)),
        });
        line
    }

    /// Returns the line that stays.
    pub fn ended(&self, tally: &Tally, halted: bool, elapsed: Duration) -> String {
        let counts = [
            (tally.skipped, "skipped"),
            (tally.failed, "failed"),
            (tally.half, "half applied"),
            (tally.unknown, "unknown"),
            (tally.diverged, "diverged"),
            (tally.unverified, "not looked at"),
            (tally.not_started, "not started"),
        ];
        let mut line = format!("{}  {} applied", self.head(), tally.applied - tally.skipped);
        for (number, word) in counts.into_iter().filter(|(number, _)| *number > 0) {
            line.push_str(&format!(", {number} {word}"));
        }
        if let Some(alike) = self.alike {
            line.push_str(&format!(", {alike} alike"));
        }
        line.push_str(&format!(" in {}", spell(elapsed)));
        if halted {
            line.push_str(": halted");
        }
        line
    }
}

/// How long something took: `420 ms`, `1.2 s`, `12 s`, `3 min 5 s`, `2 h 7 min`.
pub(super) fn spell(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..10_000 => format!("{:.1} s", millis as f64 / 1000.0),
        _ => clock(time),
    }
}

/// How long something has gone on, in whole seconds so that the line is calm.
pub(super) fn clock(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
