//! `init`: a working example.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::error::{Code, Diagnostic, ExitStatus, count};
use crate::tenant::FILE_SCHEMA;

use super::{Context, Outcome, unusable};

const EXAMPLES: &str = "\
Examples:
  mtmigrate init                       here
  mtmigrate init shop                  in the folder `shop`, which is made

Exit status: 0 made; 2 one of the files exists (nothing was written), or the folder takes no files";

/// Makes a working example on SQLite: tenants.yaml and migrations/.
///
/// Connects to nothing, and overwrites nothing. What it makes is the example that the tests run: a dozen tenants
/// with labels, and the changesets of an order system.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct InitArgs {
    /// The folder to make it in
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// The repository's own example, file by file.
const FILES: &[(&str, &str)] = &[
    ("tenants.yaml", include_str!("../../tenants.yaml")),
    ("tenants.schema.json", FILE_SCHEMA),
    ("migrations/V1__create_customers.sql", include_str!("../../migrations/V1__create_customers.sql")),
    ("migrations/V2__create_products.sql", include_str!("../../migrations/V2__create_products.sql")),
    ("migrations/V3__create_orders.down.sql", include_str!("../../migrations/V3__create_orders.down.sql")),
    ("migrations/V3__create_orders.sql", include_str!("../../migrations/V3__create_orders.sql")),
    ("migrations/V4__index_open_orders.sql", include_str!("../../migrations/V4__index_open_orders.sql")),
    ("migrations/V5__order_search.sql", include_str!("../../migrations/V5__order_search.sql")),
    ("migrations/V6__add_order_totals.sql", include_str!("../../migrations/V6__add_order_totals.sql")),
    ("migrations/V7__trim_customer_names.sql", include_str!("../../migrations/V7__trim_customer_names.sql")),
    ("migrations/V8__create_revenue_view.down.sql", include_str!("../../migrations/V8__create_revenue_view.down.sql")),
    ("migrations/V8__create_revenue_view.sql", include_str!("../../migrations/V8__create_revenue_view.sql")),
    ("migrations/mysql/V5__order_search.sql", include_str!("../../migrations/mysql/V5__order_search.sql")),
    ("migrations/postgres/V5__order_search.sql", include_str!("../../migrations/postgres/V5__order_search.sql")),
    ("data/.gitignore", include_str!("../../data/.gitignore")),
];

/// Makes the files and says what to type next.
pub(super) fn run(args: &InitArgs, context: &Context) -> Outcome {
    let here = args.folder == Path::new(".");
    let made = make(if here { Path::new("") } else { &args.folder })?;
    let listed: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    context.console.data(&listed.join("\n")).map_err(|one| vec![one])?;
    let change = if here { String::new() } else { format!("  cd {}\n", args.folder.display()) };
    context.console.say(&format!("next:\n{change}  mtmigrate up\n  mtmigrate status"));
    Ok(ExitStatus::Done)
}

/// Writes every file, or none when one of them exists.
fn make(folder: &Path) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let paths: Vec<PathBuf> = FILES.iter().map(|(name, _)| folder.join(name)).collect();
    let there: Vec<Diagnostic> = paths
        .iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| {
            Diagnostic::new(Code::ALREADY_THERE, format!("{} exists", path.display()))
                .state("nothing was written")
                .hint("name a new folder: `mtmigrate init example`")
        })
        .collect();
    if !there.is_empty() {
        return Err(there);
    }
    for (made, (path, (_, text))) in paths.iter().zip(FILES).enumerate() {
        write(path, text).map_err(|error| {
            vec![unusable("write", path, &error).state(format!("{} written before it", count(made, "file")))]
        })?;
    }
    Ok(paths)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the files below a folder of the repository, as `init` would name them.
    fn below(folder: &str) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            match entry.file_type().unwrap().is_dir() {
                true => found.extend(below(&name)),
                false => found.push(name),
            }
        }
        found
    }

    #[test]
    fn no_file_of_the_repositorys_example_is_forgotten() {
        let mut there = below("migrations");
        there.extend(["tenants.yaml", "tenants.schema.json", "data/.gitignore"].map(str::to_owned));
        there.sort();
        let mut embedded: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        embedded.sort();
        assert_eq!(embedded, there);
    }

    #[test]
    fn the_example_is_made_in_a_new_folder() {
        let base = tempfile::tempdir().unwrap();
        let made = make(&base.path().join("new/shop")).unwrap();
        assert_eq!(made.len(), FILES.len());
        for (path, (_, text)) in made.iter().zip(FILES) {
            assert_eq!(fs::read_to_string(path).unwrap(), *text);
        }
    }

    #[test]
    fn one_file_that_exists_keeps_all_from_being_written() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("data")).unwrap();
        fs::write(base.path().join("data/.gitignore"), "mine").unwrap();
        let refused = make(base.path()).unwrap_err();
        assert_eq!(refused.iter().map(Diagnostic::code).collect::<Vec<_>>(), [Code::ALREADY_THERE]);
        assert!(!base.path().join("tenants.yaml").exists());
        assert_eq!(fs::read_to_string(base.path().join("data/.gitignore")).unwrap(), "mine");
    }
}
