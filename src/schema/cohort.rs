//! Which tenants of a cohort have the schema that they should have.
//!
//! A cohort is tenants of one engine with the same changesets: their schemas must be alike. Start at [`judge`].

use std::collections::HashMap;
use std::sync::Arc;

use super::diff::{Difference, broken, differences};
use super::fingerprint::{Basis, Fingerprint};
use super::ignore::Ignores;
use super::snapshot::Snapshot;

/// One tenant of a cohort.
#[derive(Clone, Debug)]
pub struct Member<T> {
    /// Whose schema it is.
    pub tenant: T,
    /// What its schema is now.
    pub live: Arc<Snapshot>,
    /// What it was after its last changeset, or when a person accepted it; absent if nothing is recorded.
    pub recorded: Option<Recorded>,
    /// Differences from its cohort that a person accepted.
    pub accepted: Arc<[Difference]>,
    /// What may differ.
    pub ignores: Arc<Ignores>,
}

/// What a journal says of a schema.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Itself, if it is still known.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Whether a person said that it is right, and not only that it may differ: it decides where records disagree.
    pub chosen: bool,
}

/// Tenants of a cohort whose schemas can be compared: of one [`Basis`].
#[derive(Clone, Debug)]
pub struct Cohort<T> {
    /// What their descriptions are based on.
    pub basis: Basis,
    /// What they should have; absent where nothing is recorded and no schema has the majority.
    pub reference: Option<Arc<Snapshot>>,
    /// The tenants by what they have and what that means, the expected ones first, then the larger groups.
    pub groups: Vec<Group<T>>,
    /// Tenants whose record has another basis: it says nothing about them.
    pub not_comparable: Vec<T>,
}

/// Tenants with one schema and one verdict.
#[derive(Clone, Debug)]
pub struct Group<T> {
    /// At least one.
    pub tenants: Vec<T>,
    /// What they have.
    pub live: Arc<Snapshot>,
    /// What rules say may differ among them.
    pub ignores: Arc<Ignores>,
    /// What it means.
    pub verdict: Verdict,
}

/// What is to be said of a schema.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is what was recorded, and what the cohort has.
    Expected,
    /// It differs only in what was accepted or may be ignored.
    Excused,
    /// It is not what was recorded: changed by hand since.
    Changed {
        /// What was recorded, or else what the cohort has; absent if neither is known.
        expected: Option<Arc<Snapshot>>,
        /// Shared by all that have the verdict.
        differences: Arc<[Difference]>,
    },
    /// It is not what its cohort has, or holds what the engine itself says does not work.
    Deviates {
        /// What the cohort has.
        expected: Arc<Snapshot>,
        /// Shared by all that have the verdict.
        differences: Arc<[Difference]>,
    },
    /// Nothing is recorded, and no schema has the majority of the cohort.
    Undecided,
}

impl Verdict {
    /// Whether a person must look.
    pub fn is_drift(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Deviates { .. } | Self::Undecided)
    }

    /// Returns what differs.
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Changed { differences, .. } | Self::Deviates { differences, .. } => differences,
            Self::Expected | Self::Excused | Self::Undecided => &[],
        }
    }

    /// Returns what was expected, where that is known and was not found.
    pub fn expected(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Changed { expected, .. } => expected.as_ref(),
            Self::Deviates { expected, .. } => Some(expected),
            Self::Expected | Self::Excused | Self::Undecided => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Expected => 0,
            Self::Excused => 1,
            Self::Changed { .. } => 2,
            Self::Deviates { .. } => 3,
            Self::Undecided => 4,
        }
    }
}

impl<T> Cohort<T> {
    /// Whether a person must look at any of its tenants.
    pub fn is_drift(&self) -> bool {
        self.groups.iter().any(|group| group.verdict.is_drift())
    }
}

/// Judges the tenants that must be alike; the answer has a cohort for each basis among them.
///
/// The reference is what the recorded tenants have, where they are as recorded and agree, or their majority; where
/// nothing is recorded, what more than half of the tenants have. Without a majority it is what a person chose. Tenants
/// with accepted differences, and those that are not as recorded, have no voice.
pub fn judge<T: Copy>(members: Vec<Member<T>>) -> Vec<Cohort<T>> {
    let mut by_basis: Vec<(Basis, Vec<Member<T>>)> = Vec::new();
    for member in members {
        match by_basis.iter_mut().find(|(basis, _)| basis == member.live.basis()) {
            Some((_, alike)) => alike.push(member),
            None => by_basis.push((member.live.basis().clone(), vec![member])),
        }
    }
    by_basis.into_iter().map(|(basis, members)| judge_comparable(basis, &members)).collect()
}

fn judge_comparable<T: Copy>(basis: Basis, members: &[Member<T>]) -> Cohort<T> {
    let mut bench = Bench::default();
    let records: Vec<Record> = members.iter().map(|member| Record::of(member)).collect();
    let effective: Vec<Arc<Snapshot>> = members.iter().map(|m| bench.effective(&m.live, &m.ignores)).collect();
    let reference = reference(members, &records, &effective);
    let not_comparable =
        members.iter().zip(&records).filter(|(_, r)| **r == Record::NotComparable).map(|(m, _)| m.tenant).collect();
    let mut groups: Vec<Group<T>> = Vec::new();
    let mut index: HashMap<(Fingerprint, u8, Option<Fingerprint>, Vec<Difference>), usize> = HashMap::new();
    for ((member, record), effective) in members.iter().zip(&records).zip(&effective) {
        let verdict = bench.verdict(member, *record, effective, reference.as_ref());
        let expected = verdict.expected().map(|expected| expected.fingerprint().clone());
        let key = (effective.fingerprint().clone(), verdict.rank(), expected, verdict.differences().to_vec());
        let at = *index.entry(key).or_insert_with(|| {
            let (live, ignores) = (member.live.clone(), member.ignores.clone());
            groups.push(Group { tenants: Vec::new(), live, ignores, verdict });
            groups.len() - 1
        });
        groups[at].tenants.push(member.tenant);
    }
    groups.sort_by_key(|group| (group.verdict.rank(), std::cmp::Reverse(group.tenants.len())));
    Cohort { basis, reference: reference.map(|reference| reference.snapshot), groups, not_comparable }
}

/// What a member's record says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Nothing,
    NotComparable,
    Kept,
    Contradicted,
}

impl Record {
    fn of<T>(member: &Member<T>) -> Self {
        match &member.recorded {
            None => Self::Nothing,
            Some(recorded) if recorded.fingerprint.basis != *member.live.basis() => Self::NotComparable,
            Some(recorded) if recorded.fingerprint == *member.live.fingerprint() => Self::Kept,
            Some(_) => Self::Contradicted,
        }
    }
}

/// What a cohort should have.
struct Reference {
    snapshot: Arc<Snapshot>,
    /// Whether a tenant has it by its own record.
    recorded: bool,
}

fn reference<T>(members: &[Member<T>], records: &[Record], effective: &[Arc<Snapshot>]) -> Option<Reference> {
    let voices = |only_recorded: bool, accepted_too: bool| {
        let has_voice = move |(member, record): (&Member<T>, &Record)| {
            let recorded = *record == Record::Kept || (!only_recorded && *record != Record::Contradicted);
            recorded && (accepted_too || member.accepted.is_empty())
        };
        let heard = members.iter().zip(records).map(has_voice);
        members.iter().zip(effective).zip(heard).filter(|(_, heard)| *heard).map(|(voice, _)| voice).collect::<Vec<_>>()
    };
    let chosen = |(member, _): &(&Member<T>, &Arc<Snapshot>)| member.recorded.as_ref().is_some_and(|r| r.chosen);
    for (only_recorded, accepted_too) in [(true, false), (false, false), (false, true)] {
        let voices = voices(only_recorded, accepted_too);
        if !voices.is_empty() {
            let all: Vec<&Arc<Snapshot>> = voices.iter().map(|(_, snapshot)| *snapshot).collect();
            let chosen: Vec<&Arc<Snapshot>> =
                voices.iter().copied().filter(chosen).map(|(_, snapshot)| snapshot).collect();
            let snapshot = majority(&all).or_else(|| majority(&chosen));
            return snapshot.map(|snapshot| Reference { snapshot, recorded: only_recorded });
        }
    }
    None
}

/// Returns what more than half of them are.
fn majority(voices: &[&Arc<Snapshot>]) -> Option<Arc<Snapshot>> {
    let mut tally: HashMap<&Fingerprint, usize> = HashMap::new();
    for snapshot in voices {
        *tally.entry(snapshot.fingerprint()).or_default() += 1;
    }
    let wins = |snapshot: &&&Arc<Snapshot>| tally.get(snapshot.fingerprint()).is_some_and(|n| n * 2 > voices.len());
    voices.iter().find(wins).map(|snapshot| Arc::clone(snapshot))
}

/// Comparisons that many tenants share.
#[derive(Default)]
struct Bench {
    effective: HashMap<(usize, usize), Arc<Snapshot>>,
    compared: HashMap<(Fingerprint, Fingerprint), Arc<[Difference]>>,
}

impl Bench {
    /// Returns a snapshot without what is ignored of it.
    fn effective(&mut self, live: &Arc<Snapshot>, ignores: &Arc<Ignores>) -> Arc<Snapshot> {
        let key = (Arc::as_ptr(live).addr(), Arc::as_ptr(ignores).addr());
        let made = self.effective.entry(key).or_insert_with(|| {
            let ignored = |object: &&super::Object| ignores.ignore(object.kind, object.parent.as_deref(), &object.name);
            match live.objects().iter().any(|object| ignored(&object)) {
                false => live.clone(),
                true => {
                    let kept = live.objects().iter().filter(|object| !ignored(object)).cloned().collect();
                    Arc::new(Snapshot::new(live.basis(), kept))
                }
            }
        });
        made.clone()
    }

    fn compared(&mut self, expected: &Snapshot, found: &Snapshot) -> Arc<[Difference]> {
        let key = (expected.fingerprint().clone(), found.fingerprint().clone());
        self.compared.entry(key).or_insert_with(|| differences(expected, found).into()).clone()
    }

    fn verdict<T>(
        &mut self,
        member: &Member<T>,
        record: Record,
        effective: &Arc<Snapshot>,
        reference: Option<&Reference>,
    ) -> Verdict {
        let excused = |d: &Difference| member.ignores.excuse(d) || member.accepted.contains(d);
        let broken: Vec<Difference> = broken(&member.live).filter(|d| !excused(d)).collect();
        let left = |found: &[Difference]| {
            let mut left: Vec<Difference> = found.iter().filter(|d| !excused(d)).cloned().collect();
            let named = |d: &&Difference| left.iter().any(|l| (l.kind, &l.object) == (d.kind, &d.object));
            let unnamed: Vec<Difference> = broken.iter().filter(|d| !named(d)).cloned().collect();
            left.extend(unnamed);
            left
        };
        let is_reference = reference.is_some_and(|r| r.snapshot.fingerprint() == effective.fingerprint());
        if record == Record::Contradicted && !(is_reference && reference.is_some_and(|r| r.recorded)) {
            let recorded = member.recorded.as_ref().and_then(|recorded| recorded.snapshot.clone());
            let Some(expected) = recorded.or_else(|| reference.map(|r| r.snapshot.clone())) else {
                return Verdict::Changed { expected: None, differences: broken.into() };
            };
            let differences = left(&self.compared(&expected, &member.live));
            return match differences.is_empty() {
                // Where the record itself is not known any more, being as the cohort is no proof of being unchanged.
                true if member.recorded.as_ref().is_some_and(|recorded| recorded.snapshot.is_some()) => {
                    Verdict::Excused
                }
                _ => Verdict::Changed { expected: Some(expected), differences: differences.into() },
            };
        }
        let Some(reference) = reference else { return Verdict::Undecided };
        let differences = match is_reference {
            true => broken,
            false => left(&self.compared(&reference.snapshot, &member.live)),
        };
        match (differences.is_empty(), is_reference) {
            (true, true) => Verdict::Expected,
            (true, false) => Verdict::Excused,
            (false, _) => Verdict::Deviates { expected: reference.snapshot.clone(), differences: differences.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Include, Kind, Object, Pattern, ignore::Ignore};
    use time::macros::date;

    fn schema(columns: &[&str]) -> Arc<Snapshot> {
        on("postgres-15", columns)
    }

    fn on(engine: &str, columns: &[&str]) -> Arc<Snapshot> {
        let column = |name: &&str| Object::new(Kind::Column, Some("t"), format!("t.{name}")).with("type", "text");
        let objects = columns.iter().map(column).chain([Object::new(Kind::Table, None, "t")]).collect();
        Arc::new(Snapshot::new(&Basis::new(engine, Include::default()), objects))
    }

    fn member(tenant: &'static str, live: &Arc<Snapshot>) -> Member<&'static str> {
        let (accepted, ignores) = (Arc::from([]), Arc::default());
        Member { tenant, live: live.clone(), recorded: None, accepted, ignores }
    }

    fn recorded(member: Member<&'static str>, was: &Arc<Snapshot>) -> Member<&'static str> {
        let recorded = Recorded { fingerprint: was.fingerprint().clone(), snapshot: Some(was.clone()), chosen: false };
        Member { recorded: Some(recorded), ..member }
    }

    /// `expected: a b | deviates: c (column `t.x` is missing)`.
    fn told(cohorts: &[Cohort<&'static str>]) -> String {
        let group = |group: &Group<&str>| {
            let word = match group.verdict {
                Verdict::Expected => "expected",
                Verdict::Excused => "excused",
                Verdict::Changed { .. } => "changed",
                Verdict::Deviates { .. } => "deviates",
                Verdict::Undecided => "undecided",
            };
            let why: Vec<String> = group.verdict.differences().iter().map(Difference::sentence).collect();
            let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
            format!("{word}: {}{why}", group.tenants.join(" "))
        };
        let cohort = |cohort: &Cohort<&str>| cohort.groups.iter().map(group).collect::<Vec<_>>().join(" | ");
        cohorts.iter().map(cohort).collect::<Vec<_>>().join(" || ")
    }

    #[test]
    fn at_a_first_contact_the_majority_is_the_reference_and_without_one_a_person_is_asked() {
        let (one, other) = (schema(&["x"]), schema(&[]));
        let said = told(&judge(vec![member("a", &one), member("b", &other), member("c", &one)]));
        assert_eq!(said, "expected: a c | deviates: b (column `t.x` is missing)");
        let said = told(&judge(vec![member("a", &one), member("b", &other)]));
        assert_eq!(said, "undecided: a | undecided: b");
        assert_eq!(told(&judge(vec![member("a", &one)])), "expected: a");
    }

    #[test]
    fn a_record_weighs_more_than_numbers() {
        let (was, now) = (schema(&["x"]), schema(&["x", "y"]));
        let changed = |name| recorded(member(name, &now), &was);
        let said = told(&judge(vec![changed("a"), changed("b"), recorded(member("c", &was), &was)]));
        assert_eq!(said, "expected: c | changed: a b (column `t.y` is not expected)");
        let said = told(&judge(vec![member("a", &now), member("b", &now), recorded(member("c", &was), &was)]));
        assert_eq!(said, "expected: c | deviates: a b (column `t.y` is not expected)");
        assert_eq!(told(&judge(vec![changed("a")])), "changed: a (column `t.y` is not expected)");
    }

    #[test]
    fn where_records_disagree_a_person_decides() {
        let (one, other) = (schema(&["x"]), schema(&["y"]));
        let kept = |name, live| recorded(member(name, live), live);
        assert_eq!(told(&judge(vec![kept("a", &one), kept("b", &other)])), "undecided: a | undecided: b");
        let mut chosen = kept("a", &one);
        chosen.recorded.as_mut().unwrap().chosen = true;
        let said = told(&judge(vec![chosen.clone(), kept("b", &other)]));
        assert_eq!(said, "expected: a | deviates: b (column `t.x` is missing; column `t.y` is not expected)");
        let said = told(&judge(vec![chosen, kept("b", &other), kept("c", &other)]));
        assert!(said.starts_with("expected: b c | deviates: a"), "numbers weigh more: {said}");
    }

    #[test]
    fn a_tenant_that_came_back_to_what_its_cohort_has_by_record_is_as_expected() {
        let (odd, now) = (schema(&["x"]), schema(&["x", "y"]));
        let said = told(&judge(vec![recorded(member("a", &now), &odd), recorded(member("b", &now), &now)]));
        assert_eq!(said, "expected: a b");
    }

    #[test]
    fn what_a_person_accepted_is_excused_and_whatever_comes_on_top_is_not() {
        let (all, odd, odder) = (schema(&["x"]), schema(&[]), schema(&["z"]));
        let accepted: Arc<[Difference]> = differences(&all, &odd).into();
        let with = |member: Member<_>| Member { accepted: accepted.clone(), ..member };
        let said = told(&judge(vec![recorded(member("a", &all), &all), with(recorded(member("b", &odd), &odd))]));
        assert_eq!(said, "expected: a | excused: b");
        let said = told(&judge(vec![recorded(member("a", &all), &all), with(member("b", &odder))]));
        assert_eq!(said, "expected: a | deviates: b (column `t.z` is not expected)");
    }

    #[test]
    fn those_with_accepted_differences_have_no_voice_however_many_they_are() {
        let (all, odd) = (schema(&["x"]), schema(&[]));
        let accepted: Arc<[Difference]> = differences(&all, &odd).into();
        let odd = |name| Member { accepted: accepted.clone(), ..recorded(member(name, &odd), &odd) };
        let said = told(&judge(vec![odd("a"), odd("b"), recorded(member("c", &all), &all)]));
        assert_eq!(said, "expected: c | excused: a b");
    }

    #[test]
    fn what_is_ignored_neither_votes_nor_differs() {
        let rule = Ignore {
            objects: vec![Pattern::parse("column t.tmp*").unwrap()],
            labels: Vec::new(),
            reason: "x".into(),
            until: None,
        };
        let ignores = Arc::new(Ignores::of(&[rule], |_| false, date!(2026 - 11 - 22)));
        let with = |name, live: &Arc<Snapshot>| Member { ignores: ignores.clone(), ..member(name, live) };
        let said = told(&judge(vec![
            with("a", &schema(&["x", "tmp1"])),
            with("b", &schema(&["x", "tmp2"])),
            with("c", &schema(&["tmp3"])),
        ]));
        assert_eq!(said, "expected: a b | deviates: c (column `t.x` is missing)");
        let was = schema(&["x"]);
        assert_eq!(told(&judge(vec![recorded(with("a", &schema(&["x", "tmp1"])), &was)])), "excused: a");
    }

    #[test]
    fn what_cannot_be_compared_is_neither_equal_nor_different() {
        let (new, old) = (on("postgres-16", &["x"]), schema(&["y"]));
        let cohorts = judge(vec![member("a", &new), member("b", &old), recorded(member("c", &new), &old)]);
        assert_eq!(told(&cohorts), "expected: a c || expected: b");
        assert_eq!(cohorts[0].not_comparable, ["c"]);
    }

    #[test]
    fn what_the_engine_says_does_not_work_is_an_error_even_if_all_have_it() {
        let index = Object::new(Kind::Index, Some("t"), "t_idx").with_flag("invalid", true);
        let live = Arc::new(Snapshot::new(&Basis::new("postgres-15", Include::default()), vec![index]));
        let said = told(&judge(vec![recorded(member("a", &live), &live), member("b", &live)]));
        assert_eq!(said, "deviates: a b (index `t_idx` is `invalid`, expected `valid`)");
    }
}
