//! What the journal says before a statement, so that afterwards somebody can tell whether it took effect.
//!
//! The column `trace`, persisted: its version; a hash of the statement's text ([`prefix_hash`] of it alone); a word; and
//! for `things` what each probe answered before the statement, one digit each, then the probes in words. It is an intent
//! only: `started` rows have it, others do not.
//!
//! ```text
//! 1 9f86d081884c7d65 ahead                          the statement's own row comes with its effect
//! 1 9f86d081884c7d65 atomic                         this row is the one that came with its effect
//! 1 9f86d081884c7d65 again                          running it again changes nothing more
//! 1 9f86d081884c7d65 things 01 +table a -table b    a was not there, b was
//! 1 9f86d081884c7d65 nothing                        nothing tells
//! ```

use crate::history::prefix_hash;
use crate::sql::{Probe, Statement, Trace};

use super::{Begun, Fate};

/// The version of what stands in the column.
const VERSION: &str = "1";

/// What a probe answers.
pub(crate) const ABSENT: char = '0';
pub(crate) const PRESENT: char = '1';
/// It is there, and nothing can be done with it: an index that is not valid.
pub(crate) const INVALID: char = '2';

/// What is journalled of a statement before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Traced {
    hash: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Ahead,
    Atomic,
    Again,
    Things(Vec<Probe>),
    Nothing,
}

impl Traced {
    /// Makes the trace of a statement.
    pub fn of(statement: &str, trace: Trace) -> Self {
        let kind = match trace {
            Trace::Atomic => Kind::Atomic,
            Trace::Opens | Trace::Again => Kind::Again,
            Trace::Things(probes) => Kind::Things(probes),
            Trace::Nothing => Kind::Nothing,
        };
        Self { hash: prefix_hash([statement]), kind }
    }

    /// Makes the trace of a row that goes before one which comes with its statement's effect.
    pub fn ahead(statement: &str) -> Self {
        Self { hash: prefix_hash([statement]), kind: Kind::Ahead }
    }

    /// Returns what stands in the column before the answers of the probes.
    pub fn head(&self) -> String {
        let word = match &self.kind {
            Kind::Ahead => "ahead",
            Kind::Atomic => "atomic",
            Kind::Again => "again",
            Kind::Things(_) => "things ",
            Kind::Nothing => "nothing",
        };
        format!("{VERSION} {} {word}", self.hash)
    }

    /// Returns what is asked before the statement runs.
    pub fn probes(&self) -> &[Probe] {
        match &self.kind {
            Kind::Things(probes) => probes,
            _ => &[],
        }
    }

    /// Returns what stands behind the answers.
    pub fn tail(&self) -> String {
        in_words(self.probes())
    }

    /// Whether the row commits together with the statement.
    pub fn is_atomic(&self) -> bool {
        self.kind == Kind::Atomic
    }
}

fn in_words(probes: &[Probe]) -> String {
    probes.iter().map(|probe| format!(" {}{}", if probe.makes { '+' } else { '-' }, probe.thing)).collect()
}

/// What is known of a statement by its journal row alone.
pub(crate) enum Inquiry {
    /// Enough.
    Known(Fate),
    /// What these probes answered before; what they answer now tells more.
    Ask { probes: Vec<Probe>, before: String },
}

/// Reads what was journalled before a statement, and holds it against the text as it is now.
pub(crate) fn inquire(begun: &Begun<'_>, statements: &[Statement<'_>], trace: impl Fn(&str) -> Trace) -> Inquiry {
    let unknown = |words: &str| Inquiry::Known(Fate::Unknown(words.to_owned()));
    let no = begun.at.statement_no as usize;
    let before = statements.iter().take(no.saturating_sub(1)).map(|statement| statement.text);
    let Some(statement) = no.checked_sub(1).and_then(|at| statements.get(at)) else {
        return unknown("the file has no such statement any more");
    };
    if prefix_hash(before) != begun.at.prefix {
        return unknown("the text before it was changed since it ran");
    }
    let Some(journalled) = begun.trace else {
        return unknown("its journal row says nothing that would tell: an older mtmigrate wrote it");
    };
    let mut parts = journalled.splitn(5, ' ');
    let mut part = || parts.next().unwrap_or_default();
    let (version, hash, word, answers, tail) = (part(), part(), part(), part(), part());
    if version != VERSION {
        return unknown("a newer mtmigrate began it: ask that one");
    }
    if hash != prefix_hash([statement.text]) {
        return unknown("its text was changed since it was begun");
    }
    match word {
        "atomic" => Inquiry::Known(Fate::Done("it was committed together with its journal row".into())),
        "ahead" => Inquiry::Known(Fate::Undone(
            "it would have been committed together with another journal row, and there is none".into(),
        )),
        "again" => Inquiry::Known(Fate::Undone("running it again changes nothing more".into())),
        "things" => match Traced::of(statement.text, trace(statement.text)) {
            traced if traced.tail().trim_start() == tail && traced.probes().len() == answers.len() => {
                Inquiry::Ask { probes: traced.probes().to_vec(), before: answers.to_owned() }
            }
            _ => unknown("another version of mtmigrate began it, and reads it otherwise: ask that one"),
        },
        _ if statement.text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case("lock")) => unknown(
            "from LOCK TABLES to UNLOCK TABLES nothing can be journalled: look at each of these statements, not at this \
             one alone; marked undone they run again",
        ),
        _ => unknown("nothing that can be looked up would show whether it took effect"),
    }
}

/// Decides by what the probes answered before the statement, and what they answer now: one digit for each.
pub(crate) fn decide(probes: &[Probe], before: &str, now: &str) -> Fate {
    if before.chars().count() != probes.len() || now.chars().count() != probes.len() {
        return Fate::Unknown("the answers in its journal row do not fit its text".into());
    }
    let looked: Vec<Looked<'_>> = probes
        .iter()
        .zip(before.chars().zip(now.chars()))
        .map(|(probe, (before, now))| Looked { probe, before, now })
        .collect();
    if let Some(invalid) = looked.iter().find(|one| one.probe.makes && one.now == INVALID) {
        return Fate::Unknown(invalid_index(&invalid.probe.thing.to_string()));
    }
    let (telling, silent): (Vec<&Looked<'_>>, Vec<&Looked<'_>>) = looked.iter().partition(|one| one.tells());
    let words = |all: &[&Looked<'_>]| all.iter().map(|one| one.words()).collect::<Vec<_>>().join("; ");
    let moved = silent.iter().any(|one| one.is_there() != (one.before != ABSENT));
    let all = |done: bool| telling.iter().all(|one| one.is_done() == done);
    match telling.is_empty() {
        _ if moved => Fate::Unknown(words(&looked.iter().collect::<Vec<_>>())),
        true if silent.iter().all(|one| one.probe.guarded) => Fate::Undone(words(&silent)),
        true => Fate::Unknown(words(&silent)),
        false if all(true) => Fate::Done(words(&telling)),
        false if all(false) => Fate::Undone(words(&telling)),
        false => Fate::Unknown(format!("it is half done: {}", words(&telling))),
    }
}

fn invalid_index(index: &str) -> String {
    let name = index.strip_prefix("index ").unwrap_or(index).replace('"', "\"\"");
    format!(
        "{index} is there and is not valid: its building was interrupted. Type `DROP INDEX CONCURRENTLY \"{name}\"`, \
         then mark the statement undone"
    )
}

/// One probe, with its answers.
struct Looked<'p> {
    probe: &'p Probe,
    before: char,
    now: char,
}

impl Looked<'_> {
    fn is_there(&self) -> bool {
        self.now != ABSENT
    }

    /// Whether the statement changed it, if it took effect.
    fn tells(&self) -> bool {
        (self.before == PRESENT || self.before == INVALID) != self.probe.makes
    }

    fn is_done(&self) -> bool {
        self.is_there() == self.probe.makes
    }

    fn words(&self) -> String {
        let (now, before) = (self.is_there(), self.before != ABSENT);
        let thing = &self.probe.thing;
        match (now, before) {
            (true, false) => format!("{thing} is there, and was not before"),
            (false, true) => format!("{thing} is gone, and was there before"),
            (true, true) => format!("{thing} is there, as before"),
            (false, false) => format!("{thing} is not there, as before"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Thing;

    fn column(name: &str, makes: bool, guarded: bool) -> Probe {
        Probe { thing: Thing::Column { table: "t".into(), name: name.into() }, makes, guarded }
    }

    #[test]
    fn the_words_in_tenants_journals_never_change() {
        let probes = vec![column("a", true, false), column("b", false, false)];
        let written = |traced: &Traced| format!("{}|{}", traced.head(), traced.tail());
        // Pinned where it is made.
        let hash = prefix_hash(["x"]);
        assert_eq!(
            written(&Traced::of("x", Trace::Things(probes))),
            format!("1 {hash} things | +column t.a -column t.b")
        );
        for (trace, word) in
            [(Trace::Atomic, "atomic"), (Trace::Opens, "again"), (Trace::Again, "again"), (Trace::Nothing, "nothing")]
        {
            assert_eq!(written(&Traced::of("x", trace)), format!("1 {hash} {word}|"));
        }
        assert_eq!(written(&Traced::ahead("x")), format!("1 {hash} ahead|"));
    }

    #[test]
    fn what_is_there_decides_only_where_all_of_it_agrees() {
        let add = [column("a", true, false), column("b", true, false)];
        let swap = [column("a", false, false), column("b", true, false)];
        let guarded = [column("a", true, true), column("b", true, false)];
        for (probes, before, now, fate) in [
            (&add, "00", "11", "done"),
            (&add, "00", "00", "undone"),
            (&add, "00", "01", "unknown"),
            (&add, "10", "11", "done"),
            (&add, "11", "11", "unknown"),
            (&add, "10", "01", "unknown"),
            (&swap, "10", "01", "done"),
            (&swap, "10", "10", "undone"),
            (&swap, "10", "11", "unknown"),
            (&swap, "01", "01", "unknown"),
            (&guarded, "10", "10", "undone"),
            (&guarded, "10", "11", "done"),
            (&guarded, "10", "01", "unknown"),
            (&add, "0", "11", "unknown"),
            (&add, "00", "", "unknown"),
            (&add, "00", "12", "unknown"),
        ] {
            let found = match decide(probes, before, now) {
                Fate::Done(_) => "done",
                Fate::Undone(_) => "undone",
                Fate::Unknown(_) => "unknown",
            };
            assert_eq!(found, fate, "{probes:?} {before} {now}");
        }
    }

    #[test]
    fn an_index_that_is_not_valid_is_named_with_what_to_type() {
        let probe = Probe { thing: Thing::Index { table: None, name: "i".into() }, makes: true, guarded: true };
        let Fate::Unknown(words) = decide(std::slice::from_ref(&probe), "0", "2") else { panic!("decided") };
        assert!(words.contains("`DROP INDEX CONCURRENTLY \"i\"`"), "{words}");
        // One that is to go may be dropped again.
        let gone = Probe { makes: false, guarded: false, ..probe };
        assert!(matches!(decide(&[gone], "1", "2"), Fate::Undone(_)));
    }
}
