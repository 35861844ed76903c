//! Moments at which to kill, from a seed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A small generator (xorshift): the same moments for the same seed.
pub struct Random(u64);

impl Random {
    /// Seeded by `MTMIGRATE_SEED`, else anew. Prints the seed, which a failing test shows.
    pub fn new() -> Random {
        let given = std::env::var("MTMIGRATE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0)) | 1;
        println!("MTMIGRATE_SEED={seed}");
        Random(seed)
    }

    /// A duration between two, in milliseconds.
    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(from + self.0 % (to - from))
    }
}
