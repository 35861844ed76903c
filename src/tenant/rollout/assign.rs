//! Which tenant is in which wave.

use std::hash::Hasher;

use globset::{GlobBuilder, GlobMatcher};
use siphasher::sip::SipHasher13;

use super::super::{Fleet, Tenant};
use super::{Share, Takes, WaveId};
use crate::error::{Code, Diagnostic, names, plain};

/// The whole fleet, in the unit of a [`Share`].
pub(super) const WHOLE: u32 = 10_000;

/// How many tenants one message names.
const NAMES: usize = 5;

impl Fleet {
    /// Puts every tenant into its wave: the one that it names itself, else the first that takes it, else the rest.
    ///
    /// A wave with a percentage takes at least one tenant that is worked on, if a wave before it leaves any: where the
    /// percentage means none it is the one with the lowest hash. To be called again when tenants were added.
    pub fn assign_waves(&mut self) {
        let waves = &self.rollout.waves;
        let tenants = &mut self.tenants;
        let mut free: Vec<usize> = Vec::with_capacity(tenants.len());
        for (idx, tenant) in tenants.iter_mut().enumerate() {
            tenant.wave = tenant.own_wave.unwrap_or(WaveId(waves.len()));
            if tenant.own_wave.is_none() {
                free.push(idx);
            }
        }
        for (no, wave) in waves.iter().enumerate() {
            let id = WaveId(no);
            let globs = matchers(&wave.takes.names);
            let (mut taken, left): (Vec<usize>, Vec<usize>) =
                free.into_iter().partition(|idx| wave.takes.takes(&globs, &tenants[*idx]));
            free = left;
            let named = tenants.iter().any(|tenant| tenant.own_wave == Some(id) && is_worked_on(tenant));
            if wave.takes.share.is_some() && !named && !taken.iter().any(|idx| is_worked_on(&tenants[*idx])) {
                let left = free.iter().copied().filter(|idx| is_worked_on(&tenants[*idx]));
                let lowest = left.min_by_key(|idx| (hash(&tenants[*idx].name), *idx));
                free.retain(|idx| Some(*idx) != lowest);
                taken.extend(lowest);
            }
            for idx in taken {
                tenants[idx].wave = id;
            }
        }
    }

    /// Returns a warning for each wave that takes nobody, or only tenants that are left out.
    pub fn empty_waves(&self) -> Vec<Diagnostic> {
        let empty = self.rollout.waves.iter().enumerate().filter_map(|(no, wave)| {
            let taken: Vec<&Tenant> = self.tenants.iter().filter(|tenant| tenant.wave == WaveId(no)).collect();
            if taken.iter().any(|tenant| is_worked_on(tenant)) {
                return None;
            }
            let (whom, hint) = match taken.is_empty() {
                true => (
                    "no tenant".to_owned(),
                    "look at its `percent`, `labels` and `tenants`, and at the waves before it: the first that takes a tenant has it",
                ),
                false => (
                    format!(
                        "only tenants that are left out: {}",
                        names(taken.iter().map(|tenant| tenant.name.as_str()), NAMES)
                    ),
                    "until they are active let it take others too, if what stands after it is to be asked",
                ),
            };
            Some(
                Diagnostic::warning(Code::EMPTY_WAVE, format!("wave {} takes {whom}", plain(&wave.name)))
                    .state("what stands after it is asked of nobody: the wave before it is followed by the one after it")
                    .hint(hint),
            )
        });
        empty.collect()
    }
}

/// Whether `up` comes to a tenant at all.
fn is_worked_on(tenant: &Tenant) -> bool {
    tenant.quarantined.is_none() && !tenant.provisioning
}

impl Takes {
    fn takes(&self, globs: &[GlobMatcher], tenant: &Tenant) -> bool {
        self.share.is_some_and(|share| share.holds(&tenant.name))
            || self.labels.iter().any(|label| tenant.labels.contains(label))
            || self.names.contains(&tenant.name)
            || globs.iter().any(|glob| glob.is_match(&tenant.name))
    }
}

impl Share {
    /// Whether a tenant of this name is in it.
    ///
    /// SipHash-1-3 with zero keys of the name falls somewhere into 64 bits, and so into the fleet: whoever is there does
    /// not matter. It can never change: which tenants go first would change with it.
    pub fn holds(self, name: &str) -> bool {
        let at = (u128::from(hash(name)) * u128::from(WHOLE)) >> 64;
        (u128::from(self.from)..u128::from(self.to)).contains(&at)
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The globs were checked when they were read: one that is none matches nothing.
fn matchers(globs: &[String]) -> Vec<GlobMatcher> {
    globs.iter().filter_map(|glob| matcher(glob).ok()).collect()
}

/// Makes a glob of names, as `--tenant` does.
pub(super) fn matcher(glob: &str) -> Result<GlobMatcher, globset::Error> {
    let built = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build()?;
    Ok(built.compile_matcher())
}
