//! From a file to a fleet in two phases: everything that can be known without asking, and the rest.
//!
//! [`ConfigFile::draft`] finds every mistake that needs no server, and says what must be asked; [`Draft::resolve`] takes
//! the answers. A fleet is resolved once: a run works on the list as it was then.

use std::collections::BTreeSet;
use std::path::{Path as FilePath, PathBuf};

use super::hash::hash;
use super::interpolate::Environment;
use super::load::{Loader, MIGRATIONS, Top, begin, folder_of, read};
use super::locate::Path;
use super::rollout::OwnWave;
use super::servers::Definition;
use super::sources::entry::{Entry, path_of};
use super::sources::rows::Beside;
use super::sources::{Ask, Question, Reply, Source, find_tenants};
use super::tree::Value;
use super::walk::Fields;
use super::{Fleet, Tenant, TenantId, yaml};
use crate::error::{Code, Diagnostic};
use crate::sql::EngineKind;

/// A `tenants.yaml` that was read, and not yet looked at.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    config: PathBuf,
    text: String,
}

impl ConfigFile {
    /// Reads the file.
    ///
    /// # Errors
    /// `MT101` when it cannot be read, `MT102` when it is not UTF-8.
    pub fn read(config: &FilePath) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self { config: config.to_owned(), text: read(config)? })
    }

    /// Takes a file's text; `config` says where relative paths begin.
    pub fn of(config: &FilePath, text: impl Into<String>) -> Self {
        Self { config: config.to_owned(), text: text.into() }
    }

    /// Fills in variables and secrets, and resolves what needs no server and no program.
    ///
    /// # Errors
    /// All mistakes of the file in one go, in its order; past the first twenty a last one counts the others.
    pub fn draft<'t>(&'t self, env: &'t dyn Environment) -> Result<Draft<'t>, Vec<Diagnostic>> {
        let (mut tree, mut loader) = begin(&self.config, &self.text, env)?;
        yaml::merge(&mut tree, &mut loader.walk.mistakes);
        let top = loader.fleet(&tree);
        let mut draft = match top {
            Some(top) => Draft { config: &self.config, tree, loader, top, of_sources: Vec::new() },
            None => return Err(loader.walk.mistakes.into_diagnostics()),
        };
        for index in 0..draft.top.entries.len() {
            let asks = draft.top.entries[index].question.is_some();
            let tenants = if asks { Vec::new() } else { draft.tenants_of(index, None) };
            draft.of_sources.push(tenants);
        }
        if draft.questions().is_empty() {
            draft.check_words();
        }
        match draft.loader.walk.mistakes.count() {
            0 => Ok(draft),
            _ => Err(draft.loader.walk.mistakes.into_diagnostics()),
        }
    }
}

/// A fleet of which something may still have to be asked.
pub struct Draft<'t> {
    config: &'t FilePath,
    tree: Value,
    loader: Loader<'t>,
    top: Top,
    /// What each source gave.
    of_sources: Vec<Vec<Tenant>>,
}

impl Draft<'_> {
    /// Returns the folder of changesets.
    pub fn migrations(&self) -> PathBuf {
        folder_of(self.config).join(self.top.migrations.as_deref().unwrap_or(MIGRATIONS))
    }

    /// Returns what must be asked, in the order of the sources; nothing for a file that says everything itself.
    pub fn questions(&self) -> Vec<&Question> {
        self.top.entries.iter().filter_map(|entry| entry.question.as_ref()).collect()
    }

    /// Returns what the tenants of sources that must be asked will speak, as far as the file says: what their sources say,
    /// else the named servers but those that only registries are asked on.
    pub fn expected_engines(&self) -> BTreeSet<EngineKind> {
        let named = &self.loader.named;
        let asked = self.top.entries.iter().filter(|entry| entry.question.is_some() && entry.gives_tenants());
        let mut engines = BTreeSet::new();
        let mut is_open = false;
        for entry in asked {
            match entry.engine(named) {
                Some(engine) => drop(engines.insert(engine)),
                None => is_open = true,
            }
        }
        if is_open {
            let is_registrys = |definition: &Definition| {
                let server = self.loader.servers.finished(definition.id, &self.loader.defaults);
                self.questions().iter().any(|question| match &question.ask {
                    Ask::Query { way, .. } => {
                        (way.server.engine, &way.server.address) == (server.engine, &server.address)
                    }
                    _ => false,
                })
            };
            let known = named.values().flatten().filter(|definition| !is_registrys(definition));
            engines.extend(known.map(|definition| definition.engine));
        }
        engines
    }

    /// Resolves the fleet with the answers to all questions, in their order.
    ///
    /// # Errors
    /// Every mistake in the answers, and `MT322` for a source that gives too few tenants.
    pub fn resolve(mut self, replies: Vec<Reply>) -> Result<Fleet, Vec<Diagnostic>> {
        let mut replies = replies.into_iter();
        for index in 0..self.top.entries.len() {
            if self.top.entries[index].question.is_some() {
                self.of_sources[index] = self.tenants_of(index, replies.next());
            }
        }
        self.refuse_nobody();
        if self.top.entries.iter().any(|entry| entry.question.is_some()) {
            self.check_words();
        }
        self.finish()
    }

    /// Says that there is no tenant, where nothing else is wrong.
    fn refuse_nobody(&mut self) {
        let mistakes = &self.loader.walk.mistakes;
        if mistakes.count() == 0 && self.top.tenants.is_empty() && self.of_sources.iter().all(Vec::is_empty) {
            self.loader.walk.mistakes.add(Path::ROOT.key("sources").the_key_itself(), |_| {
                Diagnostic::new(Code::TOO_FEW_TENANTS, "the fleet has no tenants, and an empty fleet is no success")
                    .state("nothing was touched")
                    .hint("`min_tenants: 0` is for a source beside which there are others")
            });
        }
    }

    /// Resolves what is known without an answer: for a look at the file alone. Sources that would have to be asked give no
    /// tenants.
    ///
    /// # Errors
    /// Mistakes that show only when all tenants are known, if they are.
    pub fn unasked(mut self) -> Result<Fleet, Vec<Diagnostic>> {
        if self.questions().is_empty() {
            return self.resolve(Vec::new());
        }
        if !self.top.entries.iter().any(|entry| entry.question.is_some() && entry.gives_tenants()) {
            self.refuse_nobody();
        }
        self.finish()
    }

    fn tenants_of(&mut self, index: usize, reply: Option<Reply>) -> Vec<Tenant> {
        let Self { tree, loader, top, .. } = self;
        let entry = &mut top.entries[index];
        let written = tree.get("sources").and_then(|list| list.as_sequence()?.get(entry.index));
        let Some(Value::Mapping(mapping)) = written else { return Vec::new() };
        let listed = tree.get("tenants").and_then(Value::as_sequence).unwrap_or_default();
        let beside = Beside { listed, entry: Fields::of(mapping, path_of(entry.index)) };
        loader.tenants_of(beside, entry, reply)
    }

    /// Looks up the labels of rules, and whom waves take. Those of a tenant that was not understood are not known.
    fn check_words(&mut self) {
        let Self { tree, loader, top, of_sources, .. } = self;
        let listed = tree.get("tenants").and_then(Value::as_sequence).unwrap_or_default().len();
        let found: usize = top.entries.iter().map(|entry| entry.found).sum();
        let tenants: Vec<&Tenant> = top.tenants.iter().chain(of_sources.iter().flatten()).collect();
        if tenants.len() == listed + found {
            // Sources may give other tenants tomorrow.
            let is_all = tree.get("sources").is_none();
            if let Some(drift) = tree.get("drift").filter(|_| is_all) {
                loader.check_rule_labels(drift, Path::ROOT.key("drift"), &top.rule_labels, &tenants);
            }
            if tree.get("labels").is_some() && is_all {
                loader.check_labels(Path::ROOT.key("labels"), &tenants);
            }
            if let Some(rollout) = tree.get("rollout") {
                loader.check_waves(rollout, Path::ROOT.key("rollout"), &tenants);
            }
        }
    }

    fn finish(self) -> Result<Fleet, Vec<Diagnostic>> {
        let migrations = self.migrations();
        let Self { config, loader, top, of_sources, .. } = self;
        let Top { verify, drift, mut tenants, entries, .. } = top;
        for (entry, of_source) in entries.iter().zip(of_sources) {
            debug_assert!(of_source.iter().all(|tenant| tenant.origin.source == Some(entry.index)));
            tenants.extend(of_source);
        }
        for (idx, tenant) in tenants.iter_mut().enumerate() {
            tenant.id = TenantId(idx);
        }
        if loader.walk.mistakes.count() > 0 {
            return Err(loader.walk.mistakes.into_diagnostics());
        }
        let servers = loader.servers.finish(&loader.defaults);
        let mut sources: Vec<Source> = entries.into_iter().map(Entry::into_source).collect();
        find_tenants(sources.iter_mut().filter_map(|source| source.discovery.as_mut()), &tenants);
        let rollout = loader.rollout;
        let mut fleet = Fleet {
            config: config.to_owned(),
            migrations,
            hash: hash(&servers, &tenants),
            servers,
            tenants,
            drift,
            verify,
            sources,
            rollout,
        };
        fleet.assign_waves();
        Ok(fleet)
    }
}
