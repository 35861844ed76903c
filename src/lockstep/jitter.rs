//! Pauses that differ from runner to runner, from a seed.

use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stream of pauses; the same seed gives the same ones.
#[derive(Debug)]
pub struct Jitter(AtomicU64);

impl Jitter {
    /// Makes the stream of a seed, such as a run id.
    pub fn new(seed: &str) -> Self {
        let mut hasher = siphasher::sip::SipHasher13::new();
        hasher.write(seed.as_bytes());
        Self(AtomicU64::new(hasher.finish()))
    }

    /// Returns a pause between half and one and a half of the mean.
    pub(crate) fn around(&self, mean: Duration) -> Duration {
        // SplitMix64: a step of the golden ratio, then a finalizer.
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let fraction = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        mean.mul_f64(0.5 + fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runners_pause_differently_and_one_seed_repeats() {
        let pauses = |seed: &str| {
            let jitter = Jitter::new(seed);
            (0..50).map(|_| jitter.around(Duration::from_secs(1))).collect::<Vec<_>>()
        };
        assert_eq!(pauses("a"), pauses("a"));
        assert_ne!(pauses("a"), pauses("b"));
        assert!(pauses("a").iter().all(|p| (0.5..1.5).contains(&p.as_secs_f64())));
    }
}
