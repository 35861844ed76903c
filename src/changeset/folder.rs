//! The folder → the files that are changesets, and a word about each that is not but looks it.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::name::{self, FileName, Misnamed, Verdict};
use crate::error::{Code, Diagnostic, Place};
use crate::input;
use crate::sql::EngineKind;

/// A changeset's file.
#[derive(Debug)]
pub(super) struct Found {
    /// As the user would name it: the folder as given, joined with the name.
    pub shown: String,
    pub path: PathBuf,
    /// The sub-folder's engine; absent at the top.
    pub engine: Option<EngineKind>,
    pub name: FileName,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where links may lead: below the folder that holds this one. Absent where that is not known.
    project: Option<PathBuf>,
    pub found: Vec<Found>,
    pub errors: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
}

/// How deep a folder that is none of ours is searched for `.sql` files.
const SEARCH_DEPTH: usize = 8;

/// Lists a folder's changesets, in order of file name.
pub(super) fn scan(folder: &Path) -> Scan {
    let mut scan = Scan { project: project(folder), ..Scan::default() };
    match entries(folder) {
        Ok(entries) => entries.iter().for_each(|entry| scan.entry(entry, None)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => scan.errors.push(
            unreadable(folder, &e)
                .hint("`mtmigrate init` makes a working example; `--migrations DIR` names another folder"),
        ),
        Err(e) => scan.errors.push(unreadable(folder, &e)),
    }
    scan
}

/// Returns the folder that holds the folder of changesets, by its one name.
fn project(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    Some(folder.parent().unwrap_or(&folder).to_owned())
}

/// Says that a file or folder cannot be read.
pub(super) fn unreadable(path: &Path, e: &io::Error) -> Diagnostic {
    let shown = path.display().to_string();
    Diagnostic::new(Code::FILE_UNREADABLE, format!("{shown} cannot be read"))
        .at(Place::file(shown))
        .cause(e.to_string())
}

impl Scan {
    fn entry(&mut self, entry: &DirEntry, engine: Option<EngineKind>) {
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("sql")) {
                self.misnamed(&path, Code::MISNAMED_CHANGESET, "its name is not UTF-8", None);
            }
            return;
        };
        if name.starts_with('.') {
            return;
        }
        match (fs::metadata(&path), name::read(&name)) {
            (Ok(meta), verdict) if meta.is_dir() => self.folder(&path, &name, engine, verdict),
            (_, Verdict::Other) => {}
            (Err(e), _) => {
                let link = fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink());
                let hint = if link { "it is a symbolic link: mend or remove it" } else { "check its permissions" };
                self.errors.push(unreadable(&path, &e).hint(hint));
            }
            (Ok(meta), _) if !meta.is_file() => {
                let what = input::kind(meta.file_type());
                let cause = io::Error::other(format!("it is {what} and no regular file"));
                self.errors
                    .push(unreadable(&path, &cause).hint("a changeset is a file: remove it, or name it otherwise"));
            }
            (Ok(_), Verdict::Changeset(_)) if let Some(outside) = self.leads_outside(&path) => {
                self.errors.push(foreign_link(&path, &outside));
            }
            (Ok(_), Verdict::Changeset(name)) => {
                self.found.push(Found { shown: path.display().to_string(), path, engine, name });
            }
            (Ok(_), Verdict::Misnamed(Misnamed { code, why, right })) => self.misnamed(&path, code, &why, right),
            (Ok(_), Verdict::Backup) => {
                let shown = path.display().to_string();
                let skipped = format!("{shown} is skipped: it looks like an editor's backup");
                self.warnings.push(
                    Diagnostic::warning(Code::MISNAMED_CHANGESET, skipped).at(Place::file(shown)).hint("remove it"),
                );
            }
        }
    }

    fn folder(&mut self, path: &Path, name: &str, inside: Option<EngineKind>, verdict: Verdict) {
        if matches!(verdict, Verdict::Changeset(_)) {
            return self.misnamed(path, Code::MISNAMED_CHANGESET, "it is a folder", None);
        }
        match (inside, EngineKind::parse(name)) {
            (None, Some(engine)) => match entries(path) {
                Ok(entries) => entries.iter().for_each(|entry| self.entry(entry, Some(engine))),
                Err(e) => self.errors.push(unreadable(path, &e)),
            },
            _ => {
                if let Some(sql) = first_sql(path, SEARCH_DEPTH) {
                    self.errors.push(foreign_folder(path, name, inside, &sql));
                }
            }
        }
    }

    /// Returns where a path leads by links, if that is outside of the project.
    ///
    /// Whoever may add a link to a changelog may not for that reason read what this process may read: excerpts of a
    /// changeset stand in messages, and the whole of it goes to the servers.
    fn leads_outside(&self, path: &Path) -> Option<PathBuf> {
        let project = self.project.as_ref()?;
        path.canonicalize().ok().filter(|real| !real.starts_with(project))
    }

    fn misnamed(&mut self, path: &Path, code: Code, why: &str, right: Option<String>) {
        let shown = path.display().to_string();
        let hint = match right {
            Some(right) => format!("name it {}", path.with_file_name(right).display()),
            None => "name it V<version>__<name>.sql, as V7__add_invoices.sql; what is no changeset belongs elsewhere"
                .to_owned(),
        };
        self.errors
            .push(Diagnostic::new(code, format!("{shown} is no changeset: {why}")).at(Place::file(shown)).hint(hint));
    }
}

/// Says that a link leads to a file that does not belong to the changelog.
fn foreign_link(path: &Path, outside: &Path) -> Diagnostic {
    let cause = format!("it leads to {}, outside of the folder that holds the changesets' folder", outside.display());
    unreadable(path, &io::Error::other(cause)).hint("copy the file into the folder, or link to one in the project")
}

/// Says that `.sql` files lie in a folder that is no engine's.
fn foreign_folder(path: &Path, name: &str, inside: Option<EngineKind>, sql: &Path) -> Diagnostic {
    let shown = path.display().to_string();
    let hint = match engine_meant(name) {
        Some(engine) if inside.is_none() => {
            let note = if engine == EngineKind::MySql { "; mysql/ serves MariaDB too" } else { "" };
            format!("name the folder {}{note}", path.with_file_name(engine.as_str()).display())
        }
        _ => {
            "engines' own texts belong into postgres/, mysql/ or sqlite/ beside the default ones; other files elsewhere"
                .to_owned()
        }
    };
    Diagnostic::new(
        Code::MISNAMED_CHANGESET,
        format!("{} would never run: {name}/ is no engine's folder", sql.display()),
    )
    .at(Place::file(shown))
    .hint(hint)
}

/// Returns the engine that a folder's name means.
fn engine_meant(name: &str) -> Option<EngineKind> {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "mariadb" | "maria" => Some(EngineKind::MySql),
        "postgresql" | "pg" | "pgsql" | "psql" => Some(EngineKind::Postgres),
        "sqlite3" => Some(EngineKind::Sqlite),
        other => EngineKind::parse(other),
    }
}

/// Finds a `.sql` file in a folder or below; links to folders are not followed.
fn first_sql(folder: &Path, depth: usize) -> Option<PathBuf> {
    entries(folder).ok()?.iter().find_map(|entry| {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        match entry.file_type() {
            _ if hidden => None,
            Ok(kind) if kind.is_dir() => depth.checked_sub(1).and_then(|depth| first_sql(&path, depth)),
            Ok(_) => path.extension().is_some_and(|e| e.eq_ignore_ascii_case("sql")).then_some(path),
            Err(_) => None,
        }
    })
}

/// Reads a folder's entries in order of name, whatever order the file system has.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}
