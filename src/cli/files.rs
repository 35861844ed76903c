//! Loads the fleet and its changelog, with every mistake of both in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::changeset::{self, Changelog, Loaded, Neighbourhood, Recipient};
use crate::error::Diagnostic;
use crate::plan::recipient;
use crate::sql::EngineKind;
use crate::tenant::{ConfigFile, Datasource, Draft, Fleet, ProcessEnvironment, ServerId, Tenant};

use super::Context;
use super::resolve::resolve;

/// The files of a command, checked against each other.
pub(super) struct Files {
    pub fleet: Fleet,
    pub changelog: Changelog,
}

/// Loads and checks what the options name, and asks the fleet's sources. Warnings are said.
///
/// # Errors
/// Every mistake of `tenants.yaml` and of the changelog, before anything is asked; then what a source does not answer, and
/// what is wrong with the answers.
pub(super) async fn load(context: &Context) -> Result<Files, Vec<Diagnostic>> {
    let file = ConfigFile::read(&context.global.config);
    let (draft, changelog) = read(context, &file)?;
    check(context, resolve(draft).await?, changelog, None)
}

/// Loads the fleet alone, and asks its sources.
///
/// # Errors
/// As [`load`], but for the changelog.
pub(super) async fn fleet(context: &Context) -> Result<Fleet, Vec<Diagnostic>> {
    let file = ConfigFile::read(&context.global.config)?;
    resolve(file.draft(&ProcessEnvironment)?).await
}

/// As [`load`], but asks nobody: sources that would have to be asked give no tenants. Returns who they are, too.
///
/// # Errors
/// Every mistake that shows without asking.
pub(super) fn load_unasked(context: &Context) -> Result<(Files, Vec<String>), Vec<Diagnostic>> {
    let file = ConfigFile::read(&context.global.config);
    let (draft, changelog) = read(context, &file)?;
    let unasked: Vec<String> = draft.questions().into_iter().map(|question| question.asker.clone()).collect();
    let expected = (!unasked.is_empty()).then(|| draft.expected_engines());
    Ok((check(context, draft.unasked()?, changelog, expected)?, unasked))
}

/// Reads the files, each with all its mistakes.
fn read<'f>(
    context: &Context,
    file: &'f Result<ConfigFile, Vec<Diagnostic>>,
) -> Result<(Draft<'f>, Changelog), Vec<Diagnostic>> {
    let draft = match file {
        Ok(file) => file.draft(&ProcessEnvironment),
        Err(mistakes) => Err(mistakes.clone()),
    };
    let folder = match (&context.global.migrations, &draft) {
        (Some(given), _) => Some(given.clone()),
        (None, Ok(draft)) => Some(draft.migrations()),
        // The broken file may name another folder, so a missing one is no second mistake.
        (None, Err(_)) => Some(beside(&context.global.config)).filter(|folder| folder.is_dir()),
    };
    let loaded = folder.map(|folder| changeset::load(&folder));
    let (draft, Loaded { changelog, warnings }) = match (draft, loaded) {
        (Ok(draft), Some(Ok(loaded))) => (draft, loaded),
        (draft, loaded) => {
            let mut mistakes = draft.err().unwrap_or_default();
            mistakes.extend(loaded.and_then(Result::err).unwrap_or_default());
            return Err(mistakes);
        }
    };
    context.console.tell(&warnings);
    Ok((draft, changelog))
}

/// Checks the changelog against the fleet. Where not all of it was asked for, `expected` are the engines that the others
/// will have, as far as that is known.
fn check(
    context: &Context,
    fleet: Fleet,
    changelog: Changelog,
    expected: Option<BTreeSet<EngineKind>>,
) -> Result<Files, Vec<Diagnostic>> {
    let is_whole = expected.is_none();
    let mut engines: BTreeSet<EngineKind> = fleet.tenants.iter().map(|t| t.datasource.engine()).collect();
    engines.extend(expected.unwrap_or_default());
    let checked = match is_whole {
        true => changeset::check(&changelog, &engines),
        false => changeset::check_unasked(&changelog, &engines),
    };
    // Who is being made waits: `provision` checks its own.
    let recipients: Vec<Recipient<'_>> = fleet.tenants.iter().filter(|t| t.is_active()).map(recipient).collect();
    // A word that means nobody of those who are known may mean one of the others.
    let asked = changeset::check_variables(&changelog, &recipients);
    let asked = asked.map(|warnings| if is_whole { warnings } else { Vec::new() });
    let named = changeset::check_names(&changelog, &neighbourhoods(&fleet), &recipients);
    let warnings = match (checked, asked, named) {
        (Ok(warnings), Ok(more), Ok(())) => [warnings, more].concat(),
        (checked, asked, named) => {
            return Err([checked.err(), asked.err(), named.err()].into_iter().flatten().flatten().collect());
        }
    };
    context.console.tell(&warnings);
    Ok(Files { fleet, changelog })
}

/// Checks the changelog against one tenant that [`load`] passed over.
///
/// # Errors
/// Every mistake.
pub(super) fn check_for(fleet: &Fleet, changelog: &Changelog, tenant: &Tenant) -> Result<(), Vec<Diagnostic>> {
    let recipients = [recipient(tenant)];
    let asked = changeset::check_variables(changelog, &recipients).err();
    let named = changeset::check_names(changelog, &neighbourhoods(fleet), &recipients).err();
    match [asked, named].into_iter().flatten().flatten().collect::<Vec<_>>() {
        mistakes if mistakes.is_empty() => Ok(()),
        mistakes => Err(mistakes),
    }
}

/// Returns which tenants' places a text could name from each other's.
fn neighbourhoods(fleet: &Fleet) -> BTreeMap<EngineKind, Vec<Neighbourhood>> {
    let mut found: BTreeMap<(EngineKind, ServerId, Option<&str>), Neighbourhood> = BTreeMap::new();
    for tenant in &fleet.tenants {
        let server = &fleet.server(tenant.server).name;
        let (database, home, shown) = match &tenant.datasource {
            Datasource::MySql { database } => (None, database, format!("server {server}")),
            Datasource::Postgres { database, schema: Some(schema) } => {
                (Some(database.as_str()), schema, format!("server {server} in database {database}"))
            }
            Datasource::Postgres { .. } | Datasource::Sqlite { .. } => continue,
        };
        let neighbourhood = found.entry((tenant.datasource.engine(), tenant.server, database)).or_default();
        neighbourhood.shown = shown;
        neighbourhood.homes.insert(home.clone(), tenant.name.clone());
    }
    let mut all: BTreeMap<EngineKind, Vec<Neighbourhood>> = BTreeMap::new();
    for ((engine, ..), neighbourhood) in found {
        all.entry(engine).or_default().push(neighbourhood);
    }
    all
}

/// Returns the folder of changesets that a fleet's file has if it says nothing.
fn beside(config: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join("migrations")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use crate::cli::args::Cli;
    use crate::cli::console::Console;
    use crate::error::Code;

    use super::*;

    /// Writes these files and returns the codes of every mistake that loading them finds.
    fn mistakes(files: &[(&str, &str)]) -> Vec<Code> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let config = folder.path().join("tenants.yaml");
        let global =
            Cli::try_parse_from(["mtmigrate", "validate", "-q", "-c", &config.to_string_lossy()]).unwrap().global;
        let context = Context { console: Console::new(&global), global };
        load_unasked(&context).err().unwrap_or_default().iter().map(Diagnostic::code).collect()
    }

    const FLEET: &str = "tenants:\n  - { name: a, url: \"sqlite://a.db\" }\n";

    #[test]
    fn mistakes_of_the_fleet_and_of_the_changelog_are_found_in_one_go() {
        let broken = format!("{FLEET}oops: 1\n");
        let files = [("tenants.yaml", broken.as_str()), ("migrations/V1_x.sql", "SELECT 1;\n")];
        assert_eq!(mistakes(&files), [Code::UNKNOWN_KEY, Code::MISNAMED_CHANGESET]);
    }

    #[test]
    fn a_text_that_names_another_tenants_database_is_found() {
        let fleet =
            "tenants:\n  - { name: a, url: \"mysql://u@h/acme\" }\n  - { name: b, url: \"mysql://u@h/globex\" }\n";
        let files = [("tenants.yaml", fleet), ("migrations/V1__x.sql", "SELECT 1; DELETE FROM globex.t; COMMIT")];
        assert_eq!(mistakes(&files), [Code::TRANSACTION_CONTROL, Code::NEIGHBOUR]);
    }

    #[test]
    fn a_broken_fleet_without_the_usual_folder_is_one_mistake() {
        let broken = format!("{FLEET}oops: 1\n");
        assert_eq!(mistakes(&[("tenants.yaml", &broken)]), [Code::UNKNOWN_KEY]);
    }

    #[test]
    fn texts_are_checked_although_nobody_was_asked() {
        let source = |rest: &str| format!("{rest}sources:\n  - command: {{ run: [./list] }}\n");
        let alone = source("");
        let beside = source("servers: { eu: { url: \"mysql://u@h\" } }\n");
        let with_url = format!("{alone}    url: \"postgres://u@h/{{tenant}}\"\n");
        for (fleet, file, text, codes) in [
            (&alone, "V1__x.sql", "SELECT 'broken", vec![Code::BROKEN_SQL]),
            (&alone, "V1__x.sql", "BEGIN; SELECT 1", vec![Code::TRANSACTION_CONTROL]),
            (&alone, "V1__x.sql", "DO $$ BEGIN; x'; $$", vec![]),
            (&alone, "postgres/V1__x.sql", "SELECT 'broken", vec![Code::BROKEN_SQL]),
            (&beside, "postgres/V1__x.sql", "SELECT 1", vec![Code::NO_VARIANT]),
            (&with_url, "mysql/V1__x.sql", "SELECT 1", vec![Code::NO_VARIANT]),
            (&with_url, "V1__x.sql", "-- mtmigrate: only label=eu\nSELECT 1", vec![]),
        ] {
            let file = format!("migrations/{file}");
            assert_eq!(mistakes(&[("tenants.yaml", fleet), (&file, text)]), codes, "{fleet}{file}: {text}");
        }
    }

    #[test]
    fn a_text_that_is_wrong_for_an_engine_of_the_fleet_is_found() {
        let files = [("tenants.yaml", FLEET), ("migrations/postgres/V1__x.sql", "SELECT 1;\n")];
        assert_eq!(mistakes(&files), [Code::NO_VARIANT]);
    }
}
