//! An entry of `sources:`: what it is, what all of its tenants have, and what must be asked for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::super::interpolate::Kind;
use super::super::load::Loader;
use super::super::locate::Path;
use super::super::rollout::OwnWave;
use super::super::servers::Definition;
use super::super::settings::Settings;
use super::super::tenants::KEYS;
use super::super::tree::Value;
use super::super::walk::Fields;
use super::command::{COMMAND_KEYS, Format};
use super::discover::{DISCOVER_KEYS, Discover, Found};
use super::discovery::Discovery;
use super::names::Named;
use super::pattern::Pattern;
use super::registry::REGISTRY_KEYS;
use super::{Ask, InLine, Question, RowOf, Source, SourceKind};
use crate::error::Code;
use crate::sql::EngineKind;

/// The keys of a tenant that a source fills in with each name.
const TEXTS: [&str; 6] = ["server", "database", "schema", "url", "user", "password"];

/// Those of them that say where a tenant lives.
const PLACE: [&str; 4] = ["server", "database", "schema", "url"];

/// The keys that every row gets as they are, unless it has its own.
const GIVEN: [&str; 4] = ["wave", "state", "quarantined", "reason"];

const TEMPLATE_KEYS: [&str; 6] = ["url", "server", "database", "schema", "names", "names_file"];

/// An entry of `sources:` that was understood.
pub(in crate::tenant) struct Entry {
    /// Its place in the list, from 0.
    pub(in crate::tenant) index: usize,
    pub(in crate::tenant) kind: SourceKind,
    pub(in crate::tenant) line: usize,
    /// The fewest tenants that it must give.
    pub(in crate::tenant) least: usize,
    /// How many rows it gave so far, understood or not.
    pub(in crate::tenant) found: usize,
    pub(in crate::tenant) discovery: Option<Discovery>,
    /// What must be asked for it.
    pub(in crate::tenant) question: Option<Question>,
    pub(super) how: How,
    /// What its tenants are set to, unless a row says otherwise.
    pub(super) settings: Settings,
    /// What is filled in with each name, by key.
    pub(super) texts: Vec<Templated>,
    /// What every row gets, by key.
    pub(super) given: Vec<(&'static str, Value)>,
    pub(super) once: Once,
}

/// Where the rows come from.
pub(super) enum How {
    Names(Vec<Named>),
    Files(Discover, Vec<Found>),
    Registry,
    Discovered(Discover),
    Printed(Format),
}

/// A text that is filled in with each name, and how it stands in the file.
pub(in crate::tenant) struct Templated {
    pub(in crate::tenant) key: &'static str,
    pub(in crate::tenant) written: Rc<str>,
    pub(in crate::tenant) pattern: Pattern,
}

/// What was said of an entry's own keys, so that it is not said again for each row.
#[derive(Default)]
pub(in crate::tenant) struct Once {
    pub(in crate::tenant) fits: RefCell<BTreeSet<EngineKind>>,
    pub(in crate::tenant) on_server: Cell<bool>,
}

impl Entry {
    /// Returns the source's words for sentences.
    pub(in crate::tenant) fn shown(&self) -> InLine {
        InLine(self.kind, self.line)
    }

    /// Returns what the fleet keeps of it.
    pub(in crate::tenant) fn into_source(self) -> Source {
        let says_state = self.given.iter().any(|(key, _)| *key != "wave");
        Source {
            kind: self.kind,
            line: self.line,
            found: self.found,
            least_active: if says_state { 0 } else { self.least },
            discovery: self.discovery,
        }
    }

    /// Returns a row's words for sentences.
    pub(in crate::tenant) fn row(&self, position: usize) -> RowOf {
        RowOf { kind: self.kind, line: self.line, position }
    }

    /// Returns what its tenants speak, as far as the file says: the server of a discovery, the place of rows that name none.
    pub(in crate::tenant) fn engine(&self, named: &HashMap<String, Option<Rc<Definition>>>) -> Option<EngineKind> {
        if let How::Discovered(discover) = &self.how {
            return discover.engine();
        }
        self.texts.iter().find_map(|text| match text.key {
            "url" => text.pattern.engine(),
            "server" => Some(named.get(&text.pattern.filled("").ok()?)?.as_ref()?.engine),
            _ => None,
        })
    }

    /// Whether it may give tenants at all.
    pub(in crate::tenant) fn gives_tenants(&self) -> bool {
        match &self.how {
            How::Files(discover, _) | How::Discovered(discover) => discover.gives_tenants,
            _ => true,
        }
    }

    /// Returns where it stands in the file: the key that says what it is.
    pub(in crate::tenant) fn path(&self) -> Path<'static> {
        path_of(self.index).key(self.kind.as_str())
    }
}

pub(in crate::tenant) fn path_of(index: usize) -> Path<'static> {
    Path::ROOT.key("sources").index(index)
}

impl Loader<'_> {
    /// Reads `sources:`. Asks nothing but the disk.
    pub(in crate::tenant) fn entries(&mut self, value: &Value, at: Path<'_>) -> Vec<Entry> {
        let Value::Sequence(list) = value else {
            let hint = "write `- template: …`, `- registry: …`, `- discover: …` or `- command: …` for each";
            self.walk.wrong_type(at, "sources", "a list", value, hint);
            return Vec::new();
        };
        (0..list.len()).filter_map(|index| self.entry(&list[index], index)).collect()
    }

    fn entry(&mut self, value: &Value, index: usize) -> Option<Entry> {
        let kinds = SourceKind::ALL.map(SourceKind::as_str);
        let known: Vec<&str> =
            kinds.into_iter().chain(["min_tenants"]).chain(KEYS.into_iter().filter(|key| *key != "name")).collect();
        let fields = self.walk.fields(value, path_of(index), "a source", &known)?;
        let mut chosen = SourceKind::ALL.into_iter().filter(|kind| fields.get(kind.as_str()).is_some());
        let (Some(kind), None) = (chosen.next(), chosen.next()) else {
            let message = "an entry of `sources` is one of template, registry, discover and command";
            let hint = "write one of them; for a second source make a second entry";
            self.walk.wrong(Code::BAD_VALUE, fields.at(), message, hint);
            return None;
        };
        let least = match fields.get("min_tenants") {
            None => Some(1),
            Some((value, at)) => self.walk.count(value, at, "min_tenants", 0, "how many tenants it gives at least"),
        };
        let settings = Settings::read(&mut self.walk, &fields);
        let (own, at) = fields.get(kind.as_str())?;
        let own = self.walk.fields_under(own, at, kind.words(), kind.keys(), &known);
        let read = own.and_then(|own| self.how(kind, &own).map(|how| (own, how)));
        let mut texts = self.texts(&fields, &TEXTS);
        let given = self.given(&fields);
        if given.is_some() {
            self.check_given(&fields)?;
        }
        let line = self.walk.mistakes.line(at);
        let (own, (how, ask)) = read?;
        self.check_place(if kind == SourceKind::Template { &own } else { &fields })?;
        match kind {
            SourceKind::Template => {
                self.refuse_place(kind, &fields, &PLACE)?;
                texts.as_mut()?.extend(self.texts(&own, &PLACE)?);
                let names_the_tenant = |text: &Templated| PLACE.contains(&text.key) && text.pattern.names_the_tenant();
                if !texts.as_ref()?.iter().any(names_the_tenant) {
                    let message = "a template has no `{tenant}`, so all its tenants would live in one place";
                    let hint = "write it where they differ: `url: \"postgres://app@db.eu/{tenant}\"`";
                    self.walk.wrong(Code::BAD_TEMPLATE, own.at(), message, hint);
                }
            }
            SourceKind::Discover => self.refuse_place(kind, &fields, &["server", "database", "url"])?,
            SourceKind::Registry | SourceKind::Command => {}
        }
        let question =
            ask.map(|ask| Question { asker: InLine(kind, line).to_string(), place: self.walk.mistakes.place(at), ask });
        let gives = match &how {
            How::Files(discover, _) | How::Discovered(discover) => discover.gives_tenants,
            _ => true,
        };
        if let (false, Some((_, at))) = (gives, fields.get("min_tenants")) {
            let message = "`min_tenants` stands beside a discovery that gives no tenants";
            self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, "remove it, or `tenants: false`");
        }
        Some(Entry {
            index,
            kind,
            line,
            least: if gives { least? as usize } else { 0 },
            found: 0,
            discovery: None,
            question,
            how,
            settings,
            texts: texts?,
            given: given?,
            once: Once::default(),
        })
    }

    /// Reads what is under the entry's own key.
    fn how(&mut self, kind: SourceKind, own: &Fields<'_>) -> Option<(How, Option<Ask>)> {
        Some(match kind {
            SourceKind::Template => (How::Names(self.names(own)?), None),
            SourceKind::Registry => (How::Registry, Some(self.registry(own)?)),
            SourceKind::Command => {
                let (ask, format) = self.command(own)?;
                (How::Printed(format), Some(ask))
            }
            SourceKind::Discover => match self.discover(own)? {
                (discover, None) => {
                    let found = self.found_files(&discover, own.at())?;
                    (How::Files(discover, found), None)
                }
                (discover, ask) => (How::Discovered(discover), ask),
            },
        })
    }

    /// Reads the texts in which names are filled in.
    fn texts(&mut self, fields: &Fields<'_>, keys: &[&'static str]) -> Option<Vec<Templated>> {
        let mut made = Some(Vec::new());
        for &key in keys {
            let Some((value, at)) = fields.get(key) else { continue };
            let Value::String(written) = value else {
                self.walk.wrong_type(at, key, "text", value, "if it is meant as text, put it in quotes");
                made = None;
                continue;
            };
            let kind = match key {
                "url" => Kind::Url,
                "password" => Kind::Secret,
                _ => Kind::Plain,
            };
            match Pattern::read(written, kind, self.walk.env, &self.walk.folder) {
                Ok(pattern) => {
                    if let Some(made) = &mut made {
                        made.push(Templated { key, written: written.clone(), pattern });
                    }
                }
                Err(mistakes) => {
                    for mistake in mistakes {
                        self.walk.mistakes.add(at, |_| mistake);
                    }
                    made = None;
                }
            }
        }
        made
    }

    fn given(&mut self, fields: &Fields<'_>) -> Option<Vec<(&'static str, Value)>> {
        let mut made = Vec::new();
        for key in GIVEN {
            let Some((value, at)) = fields.get(key) else { continue };
            let value = match value {
                Value::String(_) => Value::text(self.walk.text(value, at, key)?.into_value()),
                other => other.clone(),
            };
            made.push((key, value));
        }
        Some(made)
    }

    /// Checks what all rows get, so that no row has to. Nothing where it is wrong.
    fn check_given(&mut self, fields: &Fields<'_>) -> Option<()> {
        let before = self.walk.mistakes.count();
        self.own_wave(fields);
        self.state(fields);
        (self.walk.mistakes.count() == before).then_some(())
    }

    /// Checks the place that all rows without one of their own get, as far as it is the same for all.
    fn check_place(&mut self, fields: &Fields<'_>) -> Option<()> {
        if fields.get("url").is_some()
            && let Some((key, (_, at))) =
                ["server", "database"].into_iter().find_map(|key| Some((key, fields.get(key)?)))
        {
            let message = format!("a source has both `{key}` and `url`");
            let hint = "keep `url` alone, or `server` with `database`";
            self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
            return None;
        }
        let Some((value @ Value::String(written), at)) = fields.get("server") else { return Some(()) };
        if written.contains('{') {
            return Some(());
        }
        let name = self.walk.text(value, at, "server")?;
        if !self.named.contains_key(name.value()) {
            self.unknown_server(&name, at, "a source");
            return None;
        }
        Some(())
    }

    fn refuse_place(&mut self, kind: SourceKind, fields: &Fields<'_>, keys: &[&'static str]) -> Option<()> {
        let mut all = Some(());
        for key in keys {
            if let Some((_, at)) = fields.get(key) {
                let message = format!("`{key}` stands beside `{}`", kind.as_str());
                let hint = format!("write it inside: `{}: {{ {key}: … }}`", kind.as_str());
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
                all = None;
            }
        }
        all
    }
}

impl SourceKind {
    fn words(self) -> &'static str {
        match self {
            Self::Template => "a template",
            Self::Registry => "a registry",
            Self::Discover => "a discovery",
            Self::Command => "a command",
        }
    }

    pub(in crate::tenant) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Template => &TEMPLATE_KEYS,
            Self::Registry => &REGISTRY_KEYS,
            Self::Discover => &DISCOVER_KEYS,
            Self::Command => &COMMAND_KEYS,
        }
    }
}
