//! `new`: the next changeset's file.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use time::OffsetDateTime;

use crate::changeset::{self, Changelog, Numbering, Version};
use crate::error::{Code, Diagnostic, ExitStatus};
use crate::tenant::{self, ProcessEnvironment};

use super::{Context, Outcome, unusable};

const EXAMPLES: &str = "\
Examples:
  mtmigrate new add_invoices                 makes migrations/V9__add_invoices.sql after V8
  mtmigrate new add_invoices --timestamp     makes migrations/V20261121093000__add_invoices.sql
  $EDITOR \"$(mtmigrate new add_invoices)\"    the path is all that stdout gets

Exit status: 0 made; 2 the name cannot be used, the file exists, or the changelog has mistakes";

/// Makes the next changeset's file, and prints its path.
///
/// Connects to nothing. The version is the newest one plus one, or the time (UTC) if the changelog's newest version
/// is a time of 14 digits. With --migrations no tenants.yaml is needed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct NewArgs {
    /// What it does: letters, digits and underscores
    #[arg(value_name = "NAME")]
    name: String,
    /// Take the time (UTC, 14 digits) as the version
    #[arg(long)]
    timestamp: bool,
}

/// Makes the file and prints its path.
pub(super) fn run(args: &NewArgs, context: &Context) -> Outcome {
    let folder = match &context.global.migrations {
        Some(given) => given.clone(),
        None => tenant::migrations_folder(&context.global.config, &ProcessEnvironment)?,
    };
    let path = make(args, &folder, OffsetDateTime::now_utc())?;
    context.console.data(&path.display().to_string()).map_err(|one| vec![one])?;
    Ok(ExitStatus::Done)
}

fn make(args: &NewArgs, folder: &Path, now: OffsetDateTime) -> Result<PathBuf, Vec<Diagnostic>> {
    if !folder.is_dir() {
        let missing = Diagnostic::new(Code::FILE_UNREADABLE, format!("there is no folder {}", folder.display()));
        return Err(vec![missing.hint(format!("make it: `mkdir -p {}`", folder.display()))]);
    }
    let changelog = changeset::load(folder)?.changelog;
    let numbering = match args.timestamp || counts_time(&changelog) {
        true => Numbering::Timestamp(now),
        false => Numbering::Sequential,
    };
    let name = changeset::next_file_name(&changelog, &args.name, numbering).map_err(|one| vec![one])?;
    let path = folder.join(name);
    let written = File::create_new(&path).and_then(|mut file| file.write_all(header(&args.name).as_bytes()));
    match written {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = Diagnostic::new(Code::ALREADY_THERE, format!("{} exists", path.display()));
            Err(vec![there.state("nothing was written").hint("choose another name")])
        }
        Err(error) => Err(vec![unusable("write", &path, &error)]),
    }
}

/// Returns whether the newest version is a time such as 20261121093000.
fn counts_time(changelog: &Changelog) -> bool {
    const DIGITS_14: std::ops::Range<i64> = 10_000_000_000_000..100_000_000_000_000;
    matches!(changelog.newest(), Some(Version(newest)) if DIGITS_14.contains(&newest))
}

/// Returns the comment that a new file begins with. No line of it may be read as a directive.
fn header(name: &str) -> String {
    format!(
        "-- {name}: runs once for each tenant; once a tenant has it, this text must not change.
-- A comment above the first statement can be a directive, e.g. `-- mtmigrate: lock-timeout 10s`,
-- `-- mtmigrate: statement-timeout 15m`, or `-- mtmigrate: no-transaction` (CREATE INDEX CONCURRENTLY).

"
    )
}

#[cfg(test)]
mod tests {
    use crate::changeset::Directives;
    use crate::sql::EngineKind;

    use super::*;

    fn new(name: &str) -> NewArgs {
        NewArgs { name: name.into(), timestamp: false }
    }

    #[test]
    fn what_a_new_files_header_says_of_directives_is_no_directive() {
        let folder = tempfile::tempdir().unwrap();
        make(&new("add_invoices"), folder.path(), OffsetDateTime::UNIX_EPOCH).unwrap();
        let changelog = changeset::load(folder.path()).unwrap().changelog;
        let text = changelog.changesets()[0].text(EngineKind::Sqlite).unwrap();
        assert_eq!(text.directives, Directives::default());
        assert!(text.empty);
    }

    #[test]
    fn a_changelog_whose_newest_version_is_a_time_goes_on_with_times() {
        let folder = tempfile::tempdir().unwrap();
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap();
        let first = NewArgs { timestamp: true, ..new("a") };
        let names = [(first, 0), (new("b"), 1)].map(|(args, second)| {
            let made = make(&args, folder.path(), at(second)).unwrap();
            made.file_name().unwrap().to_string_lossy().into_owned()
        });
        assert_eq!(names, ["V20270115080000__a.sql", "V20270115080001__b.sql"]);
    }

    #[test]
    fn a_new_file_bears_its_name_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let made = make(&new("add_invoices"), folder.path(), OffsetDateTime::UNIX_EPOCH).unwrap();
        assert_eq!(made, folder.path().join("V1__add_invoices.sql"));
        assert!(std::fs::read_to_string(&made).unwrap().starts_with("-- add_invoices: "));
    }

    #[test]
    fn a_missing_folder_is_an_error_that_says_how_to_make_it() {
        let folder = tempfile::tempdir().unwrap();
        let refused = make(&new("x"), &folder.path().join("none"), OffsetDateTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(refused[0].code(), Code::FILE_UNREADABLE);
        assert!(refused[0].what_next().unwrap().starts_with("make it: `mkdir -p "));
    }
}
