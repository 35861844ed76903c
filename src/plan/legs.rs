//! In which order changesets reach the waves, and which gates stand in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Plan;
use crate::changeset::Version;
use crate::planted::{self, Bug};
use crate::tenant::{Fleet, Rollout, RolloutOrder, TenantId, WaveId};

/// One changeset for the tenants of one wave that lack it; without waves, for all that lack it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    /// What they get.
    pub version: Version,
    /// Who; absent where the fleet goes without waves.
    pub wave: Option<WaveId>,
    /// How many tenants get it.
    pub tenants: usize,
    /// How many of later waves lack it too.
    pub later: usize,
    /// What must open before it: the gates of waves before it, in order.
    pub gates: Vec<Gate>,
}

/// What stands after a wave, once it has a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The wave that has it.
    pub wave: WaveId,
    /// What it has: the version of the step, or the last one of the plan where each wave goes all the way.
    pub version: Version,
}

/// What is known of the waves of a plan.
struct Waves<'w> {
    rollout: &'w Rollout,
    /// How many of a wave lack each version.
    lacking: BTreeMap<WaveId, BTreeMap<Version, usize>>,
    /// The waves that somebody is in.
    inhabited: BTreeSet<WaveId>,
    /// How many of a wave have a version of the plan already.
    having: BTreeMap<(Version, WaveId), usize>,
}

impl Plan {
    /// Returns the legs of the plan in order, for a fleet whose tenants have these versions.
    ///
    /// A gate is asked when a tenant behind it is to get a version that fewer of those behind it have than lack it, or that a
    /// tenant before it gets too: so it is asked again after a run that halted there, and not for a tenant that came late
    /// and catches up with its wave. Somebody behind it who has the version proves nothing alone: it may have been given
    /// it by name, or have changed its wave.
    pub fn legs<'a>(&self, fleet: &Fleet, has: impl IntoIterator<Item = (TenantId, &'a [Version])>) -> Vec<Leg> {
        if !fleet.rollout.has_waves() {
            let leg = |version: &Version| {
                let tenants =
                    self.cohorts.iter().filter(|c| c.pending.contains(version)).map(|c| c.tenants.len()).sum();
                Leg { version: *version, wave: None, tenants, later: 0, gates: Vec::new() }
            };
            return self.steps.iter().map(leg).collect();
        }
        let waves = Waves::of(self, fleet, has);
        let mut legs = match fleet.rollout.order {
            RolloutOrder::Step => waves.step_by_step(self),
            RolloutOrder::Wave => waves.wave_by_wave(self),
        };
        if planted::is(Bug::WavesBackwards) {
            legs.reverse();
            legs.sort_by_key(|leg| leg.version);
        }
        legs
    }

    /// Returns the tenants of a leg, in the fleet's order.
    pub fn tenants_of(&self, leg: &Leg, fleet: &Fleet) -> Vec<TenantId> {
        let mut tenants = self.tenants_at(leg.version);
        if let Some(wave) = leg.wave {
            tenants.retain(|tenant| fleet.tenant(*tenant).wave == wave);
        }
        tenants
    }
}

impl<'w> Waves<'w> {
    fn of<'a>(plan: &Plan, fleet: &'w Fleet, has: impl IntoIterator<Item = (TenantId, &'a [Version])>) -> Self {
        let mut lacking: BTreeMap<WaveId, BTreeMap<Version, usize>> = BTreeMap::new();
        for cohort in &plan.cohorts {
            let mut sizes: BTreeMap<WaveId, usize> = BTreeMap::new();
            for tenant in &cohort.tenants {
                *sizes.entry(fleet.tenant(*tenant).wave).or_default() += 1;
            }
            for (wave, size) in sizes {
                let of_wave = lacking.entry(wave).or_default();
                cohort.pending.iter().for_each(|version| *of_wave.entry(*version).or_default() += size);
            }
        }
        let (mut inhabited, mut having) = (BTreeSet::new(), BTreeMap::new());
        // Tenants share their lists of versions.
        let mut lists: HashMap<(*const Version, usize, WaveId), (&[Version], usize)> = HashMap::new();
        for (tenant, versions) in has {
            let wave = fleet.tenant(tenant).wave;
            inhabited.insert(wave);
            lists.entry((versions.as_ptr(), versions.len(), wave)).or_insert((versions, 0)).1 += 1;
        }
        for ((_, _, wave), (versions, tenants)) in lists {
            for version in plan.steps.iter().filter(|version| versions.binary_search(version).is_ok()) {
                *having.entry((*version, wave)).or_default() += tenants;
            }
        }
        Self { rollout: &fleet.rollout, lacking, inhabited, having }
    }

    /// Each version through all waves.
    fn step_by_step(&self, plan: &Plan) -> Vec<Leg> {
        let mut legs = Vec::new();
        for &version in &plan.steps {
            let mut asked = BTreeSet::new();
            for &wave in self.lacking.keys() {
                let Some(mut leg) = self.leg(version, wave) else { continue };
                for gate in self.gates_before(wave, &mut asked) {
                    if self.is_new_behind(gate, version)
                        || self.comes_before(gate, |lacks| lacks.contains_key(&version))
                    {
                        leg.gates.push(Gate { wave: gate, version });
                    }
                }
                legs.push(leg);
            }
        }
        legs
    }

    /// Each wave through all versions.
    fn wave_by_wave(&self, plan: &Plan) -> Vec<Leg> {
        let (mut legs, mut asked) = (Vec::new(), BTreeSet::new());
        let Some(&last) = plan.steps.last() else { return legs };
        for &wave in self.lacking.keys() {
            let mut gates = Vec::new();
            for gate in self.gates_before(wave, &mut asked) {
                let mut behind = self.lacking.range(WaveId(gate.0 + 1)..).flat_map(|(_, lacking)| lacking.keys());
                let is_new = behind.any(|version| self.is_new_behind(gate, *version));
                if is_new || self.comes_before(gate, |lacks| !lacks.is_empty()) {
                    gates.push(Gate { wave: gate, version: last });
                }
            }
            for &version in &plan.steps {
                if let Some(leg) = self.leg(version, wave) {
                    legs.push(Leg { gates: std::mem::take(&mut gates), ..leg });
                }
            }
        }
        legs
    }

    fn leg(&self, version: Version, wave: WaveId) -> Option<Leg> {
        let lack = |(_, lacking): (&WaveId, &BTreeMap<Version, usize>)| lacking.get(&version).copied();
        let tenants = self.lacking.get(&wave)?.get(&version).copied()?;
        let later = self.lacking.range(WaveId(wave.0 + 1)..).filter_map(lack).sum();
        Some(Leg { version, wave: Some(wave), tenants, later, gates: Vec::new() })
    }

    /// Returns the waves before one whose gates were not looked at yet.
    fn gates_before(&self, wave: WaveId, asked: &mut BTreeSet<WaveId>) -> Vec<WaveId> {
        let has_gate = |id: &WaveId| self.rollout.waves.get(id.0).is_some_and(|wave| wave.has_gate());
        let before = self.inhabited.range(..wave).copied().filter(has_gate);
        before.filter(|id| asked.insert(*id)).collect()
    }

    /// Whether somebody in this wave or one before it gets what is asked for.
    fn comes_before(&self, gate: WaveId, gets: impl Fn(&BTreeMap<Version, usize>) -> bool) -> bool {
        self.lacking.range(..=gate).any(|(_, lacking)| gets(lacking))
    }

    /// Whether fewer tenants of the waves after this one have a version than lack it.
    fn is_new_behind(&self, gate: WaveId, version: Version) -> bool {
        let behind = WaveId(gate.0 + 1);
        let last = WaveId(usize::MAX);
        let having: usize = self.having.range((version, behind)..=(version, last)).map(|(_, tenants)| tenants).sum();
        let lacking: usize = self.lacking.range(behind..).filter_map(|(_, lacking)| lacking.get(&version)).sum();
        having < lacking
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    /// Returns the legs of tenants `a`, `b` and `c`, of waves `one`, `two` and none, that have so many of three versions.
    fn legs(order: &str, has: [usize; 3], gates: &str) -> String {
        let text = format!(
            "rollout: {{ order: {order}, waves: [{{ name: one, tenants: [a]{gates} }}, {{ name: two, tenants: [b]{gates} }}] }}\n\
             tenants: [{{ name: a, url: \"sqlite://a\" }}, {{ name: b, url: \"sqlite://b\" }}, {{ name: c, url: \"sqlite://c\" }}]\n"
        );
        let env = crate::tenant::ProcessEnvironment;
        let fleet = crate::tenant::parse(Path::new("t.yaml"), &text, &env).unwrap();
        let all = [Version(1), Version(2), Version(3)];
        let pending = has.iter().enumerate().map(|(id, has)| (TenantId(id), Arc::from(&all[*has..])));
        let plan = Plan::new(pending, None);
        let legs = plan.legs(&fleet, has.iter().enumerate().map(|(id, has)| (TenantId(id), &all[..*has])));
        let told = legs.iter().map(|leg| {
            let gates: String =
                leg.gates.iter().map(|gate| format!("({}@{}) ", fleet.rollout.name(gate.wave), gate.version)).collect();
            assert_eq!(plan.tenants_of(leg, &fleet).len(), leg.tenants);
            format!("{gates}V{} {}+{}", leg.version, fleet.rollout.name(leg.wave.unwrap()), leg.later)
        });
        told.collect::<Vec<_>>().join(", ")
    }

    const CONFIRM: &str = ", confirm: true";

    #[test]
    fn each_version_goes_through_all_waves_or_each_wave_through_all_versions() {
        assert_eq!(legs("step", [1, 1, 1], ""), "V2 one+2, V2 two+1, V2 rest+0, V3 one+2, V3 two+1, V3 rest+0");
        assert_eq!(legs("wave", [1, 1, 1], ""), "V2 one+2, V3 one+2, V2 two+1, V3 two+1, V2 rest+0, V3 rest+0");
        assert_eq!(legs("step", [2, 1, 3], ""), "V2 two+0, V3 one+1, V3 two+0");
        assert_eq!(legs("wave", [3, 3, 3], CONFIRM), "");
    }

    #[test]
    fn a_gate_stands_before_the_first_who_would_get_something_new_behind_it() {
        assert_eq!(
            legs("step", [1, 1, 1], CONFIRM),
            "V2 one+2, (one@2) V2 two+1, (two@2) V2 rest+0, V3 one+2, (one@3) V3 two+1, (two@3) V3 rest+0"
        );
        assert_eq!(
            legs("wave", [1, 1, 1], CONFIRM),
            "V2 one+2, V3 one+2, (one@3) V2 two+1, V3 two+1, (two@3) V2 rest+0, V3 rest+0"
        );
    }

    #[test]
    fn a_gate_that_a_run_halted_at_is_asked_again_and_one_that_was_passed_is_not() {
        for order in ["step", "wave"] {
            assert_eq!(legs(order, [3, 2, 2], CONFIRM), "(one@3) V3 two+1, (two@3) V3 rest+0", "halted after one");
            assert_eq!(legs(order, [3, 3, 2], CONFIRM), "(two@3) V3 rest+0", "halted after two");
        }
        // Whoever comes late catches up with those who are behind the same gate.
        assert_eq!(legs("step", [3, 0, 3], CONFIRM), "V1 two+0, V2 two+0, V3 two+0");
        assert_eq!(legs("wave", [3, 0, 3], CONFIRM), "V1 two+0, V2 two+0, V3 two+0");
        // Who has it behind the gate without having passed it (by name, or out of another wave) opens it for nobody.
        assert_eq!(
            legs("step", [0, 0, 1], CONFIRM),
            "V1 one+1, (one@1) V1 two+0, V2 one+2, (one@2) V2 two+1, (two@2) V2 rest+0, V3 one+2, (one@3) V3 two+1, \
             (two@3) V3 rest+0"
        );
        assert_eq!(legs("step", [2, 3, 2], CONFIRM), "V3 one+1, (one@3) (two@3) V3 rest+0");
        assert_eq!(legs("wave", [2, 3, 2], CONFIRM), "V3 one+1, (one@3) (two@3) V3 rest+0");
        // In a wave that nobody else is in, and that nobody is behind, everything is new.
        assert_eq!(legs("step", [3, 3, 1], CONFIRM), "(two@2) V2 rest+0, (two@3) V3 rest+0");
    }
}
