//! The corpora of the fuzz targets, run as ordinary tests: what once was found stays mended. `docs/testing.md` has the rest.

#[path = "../../fuzz/properties/mod.rs"]
mod properties;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// The most files of one corpus, and the most bytes of one of them: the corpora are part of the repository.
const FILES: usize = 600;
const BYTES: usize = 4096;

/// Checks every file of a corpus, and says which one it was that fails.
fn run(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!((50..=FILES).contains(&files.len()), "{} files in the corpus of {target}", files.len());
    for file in files {
        let bytes = fs::read(&file).expect("an input");
        assert!(bytes.len() <= BYTES, "{} is too long", file.display());
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
            eprintln!("the input is {}", file.display());
            resume_unwind(panic);
        }
    }
}

#[test]
fn the_splitter_holds_its_properties_on_every_input_of_its_corpus() {
    run("sql", properties::sql::check);
}

#[test]
fn a_changesets_file_holds_its_properties_on_every_input_of_its_corpus() {
    let folder = tempfile::tempdir().expect("a folder");
    run("changeset", |bytes| properties::changeset::check(bytes, folder.path()));
}

#[test]
fn tenants_yaml_holds_its_properties_on_every_input_of_its_corpus() {
    run("tenants", properties::tenants::check);
}

#[test]
fn whatever_opens_something_is_read_in_linear_time() {
    for unit in
        ["(", "/* ", "/*!", "'", "$$", "$a$ $b$ ", "[", "`", "BEGIN ", "CASE ", "COPY t FROM STDIN;\n", "\\x\n", "--\n"]
    {
        properties::sql::check_time(unit);
    }
    for unit in
        ["DELIMITER //\n", "CREATE TRIGGER t ", "IF(", "SET sql_mode='ANSI_QUOTES';", "E'", "@", ";", "SELECT 1; "]
    {
        properties::sql::check_time(unit);
    }
}
