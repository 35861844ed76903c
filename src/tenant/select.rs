//! Which tenants a command is for: `--tenant`, `--label`, `--server`, `--wave`, and `--exclude`.

use std::collections::{BTreeSet, HashMap};

use globset::{GlobBuilder, GlobMatcher};

use super::suggest::did_you_mean;
use super::{Fleet, REST, Server, Tenant, TenantId};
use crate::error::{Code, Diagnostic, Result, plain};

/// What the command line asks for. Empty means all tenants.
///
/// Of several words of one kind a tenant matches any; of several kinds it matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Globs of names. `*` matches any characters, `/` too.
    pub tenants: Vec<String>,
    /// Expressions over labels: `eu` has it, `!eu` has it not, `eu,prod` both hold.
    pub labels: Vec<String>,
    /// Globs of servers' names.
    pub servers: Vec<String>,
    /// Names of waves; [`REST`] is whoever is in none.
    pub waves: Vec<String>,
    /// Who is left out of what the others chose: globs of names, or `label=`, `server=`, `wave=` and a word of that kind.
    pub exclude: Vec<String>,
}

impl Selection {
    /// Returns the selection of one name.
    pub fn of_one(name: &str) -> Self {
        Self { tenants: vec![name.to_owned()], ..Self::default() }
    }
}

impl Fleet {
    /// Returns the tenant of this name.
    ///
    /// # Errors
    /// `MT110` when there is none.
    pub fn named(&self, name: &str) -> Result<&Tenant> {
        let found = self.tenants.iter().find(|tenant| tenant.name == name);
        found.ok_or_else(|| {
            let known = self.tenants.iter().map(|tenant| tenant.name.as_str());
            let hint = did_you_mean(name, known, "`mtmigrate tenants list` shows the names");
            nobody(format!("no tenant is called {}", plain(name))).hint(hint)
        })
    }

    /// Returns the tenants that match, in the file's order, those that are left out too.
    ///
    /// A glob that is a tenant's exact name means that tenant alone, whatever characters it holds, and so does an
    /// expression that is a label.
    ///
    /// # Errors
    /// `MT110` when a word matches no tenant at all, or nothing matches everything; `MT114` for a word that is not
    /// understood.
    pub fn select(&self, selection: &Selection) -> Result<Vec<TenantId>> {
        let finder = Finder::new(self);
        let mut chosen = vec![true; self.tenants.len()];
        for (words, kind) in [
            (&selection.tenants, Kind::Name),
            (&selection.labels, Kind::Label),
            (&selection.servers, Kind::Server),
            (&selection.waves, Kind::Wave),
        ] {
            if !words.is_empty() {
                let found =
                    finder.any(words, |word, found| finder.mark(kind, &format!("{kind} {word}"), word, found))?;
                chosen.iter_mut().zip(found).for_each(|(chosen, found)| *chosen &= found);
            }
        }
        if self.tenants.is_empty() {
            let hint = "list tenants under `tenants:` of the fleet's file, or name a source of them";
            return Err(nobody("the fleet has no tenant").hint(hint));
        }
        if !chosen.contains(&true) {
            let hint = "a tenant must match one word of each option; `mtmigrate tenants list` shows names, labels, \
                        servers and waves";
            return Err(nobody("no tenant matches the whole selection").hint(hint));
        }
        let excluded = finder.any(&selection.exclude, |word, found| finder.mark_excluded(word, found))?;
        chosen.iter_mut().zip(excluded).for_each(|(chosen, excluded)| *chosen &= !excluded);
        let left: Vec<TenantId> = self.tenants.iter().map(|t| t.id).zip(chosen).filter_map(kept).collect();
        if left.is_empty() && !selection.exclude.is_empty() {
            return Err(nobody("--exclude leaves no tenant").hint("take one of the --exclude options away"));
        }
        Ok(left)
    }

    /// Returns the name of the wave in which changesets reach a tenant.
    pub fn wave_name(&self, tenant: &Tenant) -> &str {
        self.rollout.name(tenant.wave)
    }
}

fn kept((id, chosen): (TenantId, bool)) -> Option<TenantId> {
    chosen.then_some(id)
}

fn nobody(message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::EMPTY_SELECTION, message)
}

/// What a word is about.
#[derive(Clone, Copy)]
enum Kind {
    Name,
    Label,
    Server,
    Wave,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "--tenant",
            Self::Label => "--label",
            Self::Server => "--server",
            Self::Wave => "--wave",
        })
    }
}

/// The words of `--exclude` that name another kind than tenants.
const KINDS: [(&str, Kind); 3] = [("label", Kind::Label), ("server", Kind::Server), ("wave", Kind::Wave)];

/// Finds tenants by a word.
struct Finder<'f> {
    fleet: &'f Fleet,
    by_name: HashMap<&'f str, TenantId>,
}

impl<'f> Finder<'f> {
    fn new(fleet: &'f Fleet) -> Self {
        Self { fleet, by_name: fleet.tenants.iter().map(|tenant| (tenant.name.as_str(), tenant.id)).collect() }
    }

    /// Returns who matches any of the words: one flag for each tenant.
    fn any(&self, words: &[String], mark: impl Fn(&str, &mut [bool]) -> Result<()>) -> Result<Vec<bool>> {
        let mut found = vec![false; self.fleet.tenants.len()];
        for word in words {
            mark(word, &mut found)?;
        }
        Ok(found)
    }

    /// Marks who matches a word, which the command line has as `said`.
    fn mark(&self, kind: Kind, said: &str, word: &str, found: &mut [bool]) -> Result<()> {
        match kind {
            Kind::Name => self.mark_named(said, word, found),
            Kind::Label => self.mark_labelled(said, word, found),
            Kind::Server => self.mark_served(said, word, found),
            Kind::Wave => self.mark_in_wave(word, found),
        }
    }

    fn mark_excluded(&self, word: &str, found: &mut [bool]) -> Result<()> {
        let said = format!("--exclude {word}");
        let other = word.split_once('=').filter(|_| !self.by_name.contains_key(word));
        match other.and_then(|(key, word)| Some((KINDS.iter().find(|(known, _)| *known == key)?.1, word))) {
            Some((kind, word)) => self.mark(kind, &said, word, found),
            None => self.mark_named(&said, word, found),
        }
    }

    /// Marks those of whom it is true; returns whether there are any.
    fn mark_if(&self, found: &mut [bool], is: impl Fn(&Tenant) -> bool) -> bool {
        let mut any = false;
        for (_, found) in self.fleet.tenants.iter().zip(found).filter(|(tenant, _)| is(tenant)) {
            (*found, any) = (true, true);
        }
        any
    }

    fn mark_named(&self, said: &str, glob: &str, found: &mut [bool]) -> Result<()> {
        if let Some(id) = self.by_name.get(glob) {
            found[id.0] = true;
            return Ok(());
        }
        let matcher = matcher(said, glob)?;
        if self.mark_if(found, |tenant| matcher.is_match(&tenant.name)) {
            return Ok(());
        }
        let known = self.fleet.tenants.iter().map(|tenant| tenant.name.as_str());
        let hint = did_you_mean(glob, known, "`mtmigrate tenants list` shows the names; quote a glob for the shell");
        Err(nobody(format!("{said} matches no tenant")).hint(hint))
    }

    fn mark_labelled(&self, said: &str, expression: &str, found: &mut [bool]) -> Result<()> {
        let known: BTreeSet<&str> =
            self.fleet.tenants.iter().flat_map(|tenant| tenant.labels.iter()).map(String::as_str).collect();
        let terms = match known.contains(expression) {
            true => vec![Term { label: expression, wanted: true }],
            false => terms(said, expression)?,
        };
        if let Some(Term { label, .. }) = terms.iter().find(|term| !known.contains(term.label)) {
            let list = listed("the labels are", &known, "no tenant has any label");
            return Err(nobody(format!("no tenant has the label {label}")).hint(did_you_mean(label, known, &list)));
        }
        if self.mark_if(found, |tenant| terms.iter().all(|term| term.holds(tenant))) {
            return Ok(());
        }
        let hint = "with a comma all must hold, with `!` a label must be absent; a second --label means `or`";
        Err(nobody(format!("{said} matches no tenant")).hint(hint))
    }

    fn mark_served(&self, said: &str, glob: &str, found: &mut [bool]) -> Result<()> {
        let names = |server: &'f Server| {
            let others = server.ways.iter().map(|way| way.name.as_str());
            others.chain(Some(server.name.as_str()).filter(|_| server.ways.is_empty()))
        };
        let known: BTreeSet<&str> = self.fleet.servers.iter().flat_map(names).collect();
        let meant: BTreeSet<&str> = match known.get(glob) {
            Some(&exact) => BTreeSet::from([exact]),
            None => {
                let matcher = matcher(said, glob)?;
                known.iter().copied().filter(|name| matcher.is_match(name)).collect()
            }
        };
        if self.mark_if(found, |tenant| meant.contains(self.fleet.server_name(tenant))) {
            return Ok(());
        }
        if !meant.is_empty() {
            let hint = "the server is in tenants.yaml, and no tenant names it";
            return Err(nobody(format!("{said} matches no tenant")).hint(hint));
        }
        let list = listed("the servers are", &known, "the fleet has no server");
        Err(nobody(format!("{said} matches no server")).hint(did_you_mean(glob, known, &list)))
    }

    fn mark_in_wave(&self, name: &str, found: &mut [bool]) -> Result<()> {
        if self.mark_if(found, |tenant| self.fleet.wave_name(tenant) == name) {
            return Ok(());
        }
        let waves = self.fleet.rollout.waves.iter().map(|wave| wave.name.as_str());
        let known: Vec<&str> = waves.chain([REST]).collect();
        if known.contains(&name) {
            let hint = "`mtmigrate tenants list` shows who is in which wave";
            return Err(nobody(format!("no tenant is in wave {name}")).hint(hint));
        }
        if self.fleet.rollout.waves.is_empty() {
            let hint = "the fleet has no waves; they are defined under `rollout: waves:`";
            return Err(nobody(format!("there is no wave {name}")).hint(hint));
        }
        let list = format!("the waves are {}; they stand under `rollout: waves:`", known.join(", "));
        Err(nobody(format!("there is no wave {name}")).hint(did_you_mean(name, known, &list)))
    }
}

/// A label that a tenant must have, or must not.
struct Term<'w> {
    label: &'w str,
    wanted: bool,
}

impl Term<'_> {
    fn holds(&self, tenant: &Tenant) -> bool {
        tenant.labels.contains(self.label) == self.wanted
    }
}

/// Reads `eu`, `!eu`, `eu,!prod`.
fn terms<'w>(said: &str, expression: &'w str) -> Result<Vec<Term<'w>>> {
    let term = |word: &'w str| {
        let word = word.trim();
        match word.strip_prefix('!') {
            Some(label) => Term { label: label.trim_start(), wanted: false },
            None => Term { label: word, wanted: true },
        }
    };
    let terms: Vec<Term<'w>> = expression.split(',').map(term).collect();
    match terms.iter().all(|term| !term.label.is_empty()) {
        true => Ok(terms),
        false => Err(Diagnostic::new(Code::USAGE, format!("{said} names no label"))
            .hint("`eu` has the label, `'!eu'` has it not, `eu,prod` has both; repeat --label for `or`")),
    }
}

/// How many names a hint lists.
const SHOWN: usize = 20;

/// Returns `the labels are a, b`, or what is said when there is none.
fn listed(begins: &str, known: &BTreeSet<&str>, none: &str) -> String {
    let list: Vec<&str> = known.iter().copied().take(SHOWN).collect();
    match list.as_slice() {
        [] => none.to_owned(),
        list => format!("{begins} {}{}", list.join(", "), if known.len() > list.len() { ", …" } else { "" }),
    }
}

fn matcher(said: &str, glob: &str) -> Result<GlobMatcher> {
    let built = GlobBuilder::new(glob).literal_separator(false).backslash_escape(true).build();
    built.map(|glob| glob.compile_matcher()).map_err(|error| {
        Diagnostic::new(Code::USAGE, format!("{said} is no glob"))
            .cause(error.kind().to_string())
            .hint("`*` any characters, `?` one, `[ab]` one of these, `{a,b}` one of these words; `\\*` a star")
    })
}
