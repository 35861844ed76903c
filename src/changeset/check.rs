//! The texts against the fleet's engines: what would fail or mislead is said before any tenant is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::template::mistakes;
use super::{Changelog, Changeset, Text};
use crate::error::{Code, Diagnostic, Place};
use crate::sql::{self, Dialect, EngineKind, Hazard, HazardKind};

/// Checks every text under every engine of the fleet that would run it; a text that none runs is not looked at.
///
/// Returns the warnings: `MT129` for a text without a statement, `MT130` for `PRAGMA foreign_keys`.
///
/// # Errors
/// All mistakes: `MT135` for a placeholder of a template that is wrong, `MT127` where an engine has no text, `MT126` where a text cannot be split, `MT124` where it begins or
/// ends a transaction without `no-transaction`, `MT125` where it holds what only a client program understands. Each
/// once for a file, at its first place.
pub fn check(changelog: &Changelog, engines: &BTreeSet<EngineKind>) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for changeset in changelog.changesets() {
        let without: Vec<EngineKind> = engines.iter().copied().filter(|&e| changeset.text(e).is_none()).collect();
        if !without.is_empty() {
            errors.push(no_variant(changelog, changeset, &without));
        }
        for (text, engines) in served(changeset, engines) {
            if text.empty {
                warnings.push(empty(changeset, text));
            }
            judge(text, &engines, &mut errors, &mut warnings);
        }
    }
    if errors.is_empty() { Ok(warnings) } else { Err(errors) }
}

/// As [`check`], for a fleet of which not all engines are known: texts that none of the known ones runs are looked at as
/// the engines would that they are filed under, and a mistake is one that all of these would find.
///
/// # Errors
/// As [`check`].
pub fn check_unasked(changelog: &Changelog, known: &BTreeSet<EngineKind>) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
    let (mut errors, warnings) = match check(changelog, known) {
        Ok(warnings) => (Vec::new(), warnings),
        Err(errors) => (errors, Vec::new()),
    };
    for changeset in changelog.changesets() {
        let known: BTreeSet<&str> = served(changeset, known).iter().map(|(text, _)| text.file.as_str()).collect();
        for (text, engines) in served(changeset, &BTreeSet::from(EngineKind::ALL)) {
            if known.contains(text.file.as_str()) {
                continue;
            }
            let found = engines.iter().map(|engine| {
                let mut found = Vec::new();
                judge(text, &[*engine], &mut found, &mut Vec::new());
                found
            });
            let found: Vec<Vec<Diagnostic>> = found.collect();
            if found.iter().all(|found| !found.is_empty()) {
                errors.extend(found.into_iter().next().unwrap_or_default());
            }
        }
    }
    if errors.is_empty() { Ok(warnings) } else { Err(errors) }
}

/// Returns the texts that apply or take back a changeset, each with the engines that it serves.
fn served<'c>(changeset: &'c Changeset, engines: &BTreeSet<EngineKind>) -> Vec<(&'c Text, Vec<EngineKind>)> {
    let mut served: BTreeMap<&str, (&Text, Vec<EngineKind>)> = BTreeMap::new();
    for &engine in engines {
        for text in [changeset.text(engine), changeset.down(engine)].into_iter().flatten() {
            served.entry(&text.file).or_insert((text, Vec::new())).1.push(engine);
        }
    }
    served.into_values().collect()
}

fn judge(text: &Text, engines: &[EngineKind], errors: &mut Vec<Diagnostic>, warnings: &mut Vec<Diagnostic>) {
    let mut said = BTreeSet::new();
    let sql = text.neutral();
    for &engine in engines.iter().filter(|engine| !text.passes_over(**engine)) {
        for mistake in mistakes(text, engine) {
            // What one engine reads so, another does too.
            if !errors.iter().any(|known| known.place() == mistake.place() && known.code() == mistake.code()) {
                errors.push(mistake);
            }
        }
        let hazards = match hazards(&sql, engine) {
            Ok(hazards) => hazards,
            Err(e) => {
                if said.insert(Code::BROKEN_SQL) {
                    errors.push(broken(text, engine, &e));
                }
                continue;
            }
        };
        for hazard in hazards {
            let Some(found) = diagnostic(text, engine, &hazard) else { continue };
            if said.insert(found.code()) {
                let list = if hazard.kind == HazardKind::ForeignKeysPragma { &mut *warnings } else { &mut *errors };
                list.push(found);
            }
        }
    }
}

/// Finds the hazards of a text as the engine reads it: in the first of its dialects in which the text is not broken.
fn hazards(text: &str, engine: EngineKind) -> Result<Vec<Hazard>, sql::SqlError> {
    let usual = sql::hazards(text, Dialect::default_for(engine));
    let read = |dialect| sql::hazards(text, dialect).ok();
    if usual.is_ok() { usual } else { Dialect::possible(engine).into_iter().find_map(read).map_or(usual, Ok) }
}

/// Returns what to say about a hazard; nothing where the text's directives allow it.
fn diagnostic(text: &Text, engine: EngineKind, hazard: &Hazard) -> Option<Diagnostic> {
    let (file, words) = (&text.file, &hazard.words);
    let made = match hazard.kind {
        HazardKind::ForeignKeysPragma if text.directives.no_transaction => return None,
        HazardKind::TransactionControl if text.directives.no_transaction && engine != EngineKind::Sqlite => {
            return None;
        }
        HazardKind::TransactionControl => transaction_control(text, engine),
        HazardKind::ChangesDatabase => {
            Diagnostic::new(Code::OTHER_DATABASE, format!("{file} goes to another database: `{words}`"))
                .cause("a changeset runs in its tenant's database, and in no other")
                .hint("remove the line")
        }
        HazardKind::MetaCommand => {
            Diagnostic::new(Code::NOT_SQL, format!("{file} holds a psql command, which {engine} does not understand"))
                .hint("remove the line; psql commands stay behind in dumps")
        }
        HazardKind::CopyFromStdin => {
            Diagnostic::new(Code::NOT_SQL, format!("{file} copies from stdin, and its data lines are no SQL"))
                .hint("write the rows as INSERT (`pg_dump --inserts`)")
        }
        HazardKind::ClientCommand => {
            let client = if engine == EngineKind::Sqlite { "sqlite3" } else { "mysql" };
            Diagnostic::new(Code::NOT_SQL, format!("{file} holds a command of the {client} client"))
                .hint("remove it; of client commands only DELIMITER is understood, in MySQL's texts")
        }
        HazardKind::ForeignKeysPragma => Diagnostic::warning(
            Code::FOREIGN_KEYS_PRAGMA,
            format!("{file} sets PRAGMA foreign_keys, which has no effect in a transaction"),
        )
        .hint("remove it: foreign keys are off while a changeset runs, and are checked before it is committed"),
    };
    let place = Place::in_text(file, &text.sql, hazard.line, hazard.column, words.chars().count());
    Some(made.at(place))
}

fn transaction_control(text: &Text, engine: EngineKind) -> Diagnostic {
    let message = format!("{} begins or ends a transaction by itself", text.file);
    let made = Diagnostic::new(Code::TRANSACTION_CONTROL, message);
    match engine {
        EngineKind::Sqlite if text.directives.no_transaction => made
            .cause("every statement of a no-transaction text commits by itself, and before it a row of the journal")
            .hint("remove it; what belongs in one transaction is a changeset of its own, without the directive"),
        EngineKind::Sqlite => made
            .cause("text and history row are committed together, so the text may not end the transaction")
            .hint("remove it: the whole file is one transaction already"),
        EngineKind::MySql => made
            .cause(
                "each statement is journalled before it runs, and a transaction of the text takes these rows with it",
            )
            .hint("remove it, or begin the file with `-- mtmigrate: no-transaction` if it is meant"),
        EngineKind::Postgres => {
            made.cause("text and history row are committed together, so the text may not end the transaction").hint(
                "remove it, or begin the file with `-- mtmigrate: no-transaction` to commit each statement by itself",
            )
        }
    }
}

fn broken(text: &Text, engine: EngineKind, e: &sql::SqlError) -> Diagnostic {
    let (file, sql) = (&text.file, &text.sql);
    Diagnostic::new(Code::BROKEN_SQL, format!("{file} cannot be split into statements, as {engine} reads it"))
        .at(Place::rest_of_line(file, sql, e.line, e.column))
        .cause(e.message.clone())
        .hint(format!("mend it, or give {engine} a text of its own in {engine}/ if others read this one well"))
}

fn no_variant(changelog: &Changelog, changeset: &Changeset, without: &[EngineKind]) -> Diagnostic {
    let names: Vec<&str> = without.iter().map(|e| e.as_str()).collect();
    let at = |folder: &str| changelog.folder.join(folder).join(format!("{changeset}.sql")).display().to_string();
    let own: Vec<String> = names.iter().map(|name| at(name)).collect();
    let made = Diagnostic::new(
        Code::NO_VARIANT,
        format!("changeset {changeset} has no text for {}, which tenants of the fleet run on", names.join(" and ")),
    )
    .hint(format!(
        "add {}, or {} for every engine; comments alone are a text that does nothing",
        own.join(" and "),
        at("")
    ));
    match changeset.texts().next() {
        Some(text) => made.at(Place::file(&text.file)),
        None => made,
    }
}

fn empty(changeset: &Changeset, text: &Text) -> Diagnostic {
    let file = &text.file;
    let message = format!("{file} has no statement: {changeset} is recorded and nothing is run");
    Diagnostic::warning(Code::EMPTY_CHANGESET, message)
        .at(Place::file(file))
        .hint("write a statement, or remove the file, before `up`: later a change of it is MT401")
}
