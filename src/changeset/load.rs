//! Files → the changelog; every mistake in one go.

use std::collections::BTreeMap;
use std::path::Path;

use super::checksum::Checksums;
use super::decode::{Decoded, decode};
use super::folder::{self, Found, Scan};
use super::name::Role;
use super::template::neutral;
use super::{Changelog, Changeset, Kind, Text, Version, directives};
use crate::error::{Code, Diagnostic, Place};
use crate::input;
use crate::sql::{self, Dialect, EngineKind};

/// A changelog, and what a person should know about its folder.
#[derive(Debug)]
pub struct Loaded {
    /// The changesets.
    pub changelog: Changelog,
    /// Files that were skipped.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a folder's changesets: files, names and directives.
///
/// Every `.sql` file at the top and in `postgres/`, `mysql/` and `sqlite/` is a changeset or an error; hidden files and
/// other extensions are passed over, unless their name is a changeset's. An empty folder is an empty changelog. The
/// SQL itself is judged by [`check`](super::check), which knows the fleet's engines.
///
/// # Errors
/// All mistakes, in order of file and line: `MT101`, `MT120` to `MT123`, `MT128`, `MT131`.
pub fn load(folder: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let Scan { found, mut errors, warnings, .. } = folder::scan(folder);
    let mut versions: BTreeMap<Version, Vec<File>> = BTreeMap::new();
    for found in found {
        // An unreadable file's name still counts, so that its down text is no orphan.
        let decoded = read(&found).unwrap_or_else(|e| {
            errors.push(e);
            Decoded::default()
        });
        versions.entry(found.name.version).or_default().push(File { found, decoded });
    }
    let changesets = versions.into_values().filter_map(|files| changeset(files, &mut errors)).collect();
    if errors.is_empty() {
        return Ok(Loaded { changelog: Changelog { folder: folder.to_owned(), changesets }, warnings });
    }
    errors.sort_by_cached_key(|e| e.place().map(|p| (p.file.clone(), p.line, p.column)));
    Err(errors)
}

struct File {
    found: Found,
    decoded: Decoded,
}

fn read(found: &Found) -> Result<Decoded, Diagnostic> {
    let bytes = input::read(&found.path, input::FILE_LIMIT).map_err(|e| folder::unreadable(&found.path, &e))?;
    decode(&found.shown, bytes)
}

/// Makes one version's changeset of its files.
fn changeset(mut files: Vec<File>, errors: &mut Vec<Diagnostic>) -> Option<Changeset> {
    // The default text's name is the changeset's; without one the first variant's.
    files.sort_by_key(|f| (f.found.name.role, f.found.engine));
    let (ups, downs): (Vec<File>, Vec<File>) = files.into_iter().partition(|f| f.found.name.role == Role::Up);
    let Some(File { found: first, .. }) = ups.first() else {
        errors.extend(downs.iter().map(|down| orphan(&down.found, None)));
        return None;
    };
    let named = Changeset {
        version: first.name.version,
        name: first.name.name.clone(),
        kind: first.name.kind,
        default: None,
        variants: BTreeMap::new(),
        down: None,
        down_variants: BTreeMap::new(),
    };
    let first = first.shown.clone();
    let ups = slots(ups, errors, |found| {
        (!named.bears(found)).then(|| duplicate(found, &first, found.engine.map(|_| named.to_string())))
    });
    let downs = slots(downs, errors, |found| (!named.bears(found)).then(|| orphan(found, Some(&named.to_string()))));
    let (default, variants) = texts(ups, errors);
    let (down, down_variants) = texts(downs, errors);
    Some(Changeset { default, variants, down, down_variants, ..named })
}

impl Changeset {
    fn bears(&self, found: &Found) -> bool {
        found.name.kind == self.kind && found.name.name == self.name
    }
}

/// One text for each engine, and one for all.
type Slots = BTreeMap<Option<EngineKind>, File>;

/// Puts each file in its place; a second one for a place and one that `refuse` refuses are errors.
fn slots(files: Vec<File>, errors: &mut Vec<Diagnostic>, refuse: impl Fn(&Found) -> Option<Diagnostic>) -> Slots {
    let mut slots = Slots::new();
    for file in files {
        if let Some(holder) = slots.get(&file.found.engine) {
            errors.push(duplicate(&file.found, &holder.found.shown, None));
        } else if let Some(refusal) = refuse(&file.found) {
            errors.push(refusal);
        } else {
            slots.insert(file.found.engine, file);
        }
    }
    slots
}

fn texts(slots: Slots, errors: &mut Vec<Diagnostic>) -> (Option<Text>, BTreeMap<EngineKind, Text>) {
    let own: Vec<EngineKind> = slots.keys().flatten().copied().collect();
    let mut default = None;
    let mut variants = BTreeMap::new();
    for (engine, file) in slots {
        match engine {
            Some(engine) => {
                variants.insert(engine, text(file, &[Dialect::default_for(engine)], errors));
            }
            None => {
                let served = EngineKind::ALL.into_iter().filter(|engine| own.len() == 3 || !own.contains(engine));
                let dialects: Vec<Dialect> = served.map(Dialect::default_for).collect();
                default = Some(text(file, &dialects, errors));
            }
        }
    }
    (default, variants)
}

/// Makes a text that is read in each of these dialects.
fn text(file: File, dialects: &[Dialect], errors: &mut Vec<Diagnostic>) -> Text {
    let File { found: Found { shown, name, .. }, decoded: Decoded { sql, raw } } = file;
    // A placeholder may look like anything to an engine, so a text that may be a template is read without.
    let neutral = sql
        .contains("template")
        .then(|| neutral(&sql))
        .filter(|neutral| directives::read(&shown, neutral, dialects).map_or(true, |directives| directives.template));
    let read = neutral.as_deref().unwrap_or(&sql);
    let directives = directives::read(&shown, read, dialects).unwrap_or_else(|mistakes| {
        errors.extend(mistakes);
        Default::default()
    });
    let mut splits = dialects.iter().filter_map(|&dialect| sql::split(read, dialect).ok()).peekable();
    let empty = splits.peek().is_some() && splits.all(|statements| statements.is_empty());
    let checksums = Checksums::new(name.version, &name.name, &sql, raw.as_deref());
    Text { file: shown, sql, directives, empty, checksums, origin: None }
}

/// Says that a version has two files. `right` is the changeset's name, where a variant misses it.
fn duplicate(found: &Found, holder: &str, right: Option<String>) -> Diagnostic {
    let (shown, version) = (&found.shown, found.name.version);
    let hint = match right {
        Some(right) => {
            format!("if it is this engine's text of {right}, name it {right}.sql; else give it another version")
        }
        None => "give one of them a version of its own".to_owned(),
    };
    let message = format!("{shown} and {holder} both have version {version}");
    Diagnostic::new(Code::DUPLICATE_VERSION, message).at(Place::file(shown)).hint(hint)
}

/// Says that a down text has no changeset, or that the changeset of its version has the name `right`.
fn orphan(found: &Found, right: Option<&str>) -> Diagnostic {
    let shown = &found.shown;
    let prefix = match found.name.kind {
        Kind::Versioned => 'V',
        Kind::Unversioned => 'U',
    };
    let missing = format!("{prefix}{}__{}.sql", found.name.version, found.name.name);
    let hint = match right {
        Some(right) => format!("version {} is {right}: name the file {right}.down.sql", found.name.version),
        None => format!("add {missing}, or remove the file"),
    };
    let message = format!("{shown} takes back a changeset that is not there: {missing}");
    Diagnostic::new(Code::ORPHAN_DOWN, message).at(Place::file(shown)).hint(hint)
}
