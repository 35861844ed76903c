//! What may lie in `migrations/` beside changesets.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{Fleet, Output};

fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.sqlite("acme").changeset("V1__good.sql", "CREATE TABLE good (id int);\n");
    fleet
}

pub(super) fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Puts something in the place of a second changeset, and returns how `validate` refuses it. Nothing is made anywhere.
#[track_caller]
fn refused(put: impl FnOnce(&Path)) -> Output {
    let fleet = fleet();
    put(&fleet.migrations().join("V2__odd.sql"));
    let refused = fleet.run(&["validate"]).expect(2).says(&["V2__odd.sql"]);
    fleet.run(&["up"]).expect(2);
    assert_eq!(fs::read_dir(fleet.folder().join("data")).unwrap().count(), 0, "no tenant was touched");
    refused
}

#[test]
fn a_link_to_a_file_of_the_project_is_a_changeset_like_any_other() {
    let mut fleet = fleet();
    fleet
        .file("shared/seed.sql", "CREATE TABLE seed (id int);\n")
        .file("shared/sqlite/V4__own.sql", "CREATE TABLE own (id int);\n");
    fleet.changeset("V4__own.sql", "SELECT no_such_thing;\n");
    symlink("V1__good.sql", fleet.migrations().join("V2__again.down.sql")).unwrap();
    symlink("../shared/seed.sql", fleet.migrations().join("V2__again.sql")).unwrap();
    symlink(fleet.folder().join("shared/seed.sql"), fleet.migrations().join("V3__absolute.sql")).unwrap();
    fs::write(fleet.folder().join("shared/seed.sql"), "CREATE TABLE IF NOT EXISTS seed (id int);\n").unwrap();
    symlink("../shared/sqlite", fleet.migrations().join("sqlite")).unwrap();
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.versions("acme"), [1, 2, 3, 4]);
    assert_eq!(fleet.cell("acme", "SELECT count(*) FROM sqlite_schema WHERE name IN ('good', 'seed', 'own')"), "3");
}

#[test]
fn a_folder_of_changesets_that_is_a_link_is_the_folder_that_it_leads_to() {
    let fleet = fleet();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::copy(fleet.migrations().join("V1__good.sql"), elsewhere.path().join("V1__good.sql")).unwrap();
    fs::remove_dir_all(fleet.migrations()).unwrap();
    symlink(elsewhere.path(), fleet.migrations()).unwrap();
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.versions("acme"), [1]);
}

#[test]
fn a_link_out_of_the_project_is_refused_and_what_it_leads_to_is_not_shown() {
    let elsewhere = tempfile::tempdir().unwrap();
    let theirs = elsewhere.path().join("theirs");
    fs::write(&theirs, "hunter2 is no SQL';\n").unwrap();
    for target in [theirs.as_path(), Path::new("/etc/passwd")] {
        let output = refused(|path| symlink(target, path).unwrap());
        let target = target.canonicalize().unwrap().display().to_string();
        let output = output.says(&["MT101", &target, "outside"]);
        assert!(!output.stderr.contains("hunter2") && !output.stderr.contains("root:"), "{output}");
    }
    // By way of an engine's folder, too.
    let fleet = fleet();
    fs::rename(&theirs, elsewhere.path().join("V2__odd.sql")).unwrap();
    symlink(elsewhere.path(), fleet.migrations().join("sqlite")).unwrap();
    let output = fleet.run(&["validate"]).expect(2).says(&["MT101", "outside", "sqlite/V2__odd.sql"]);
    assert!(!output.stderr.contains("hunter2"), "{output}");
}

#[test]
fn a_link_to_nothing_to_a_folder_or_to_itself_is_refused() {
    refused(|path| symlink("nowhere.sql", path).unwrap()).says(&["MT101", "symbolic link"]);
    refused(|path| symlink("V2__odd.sql", path).unwrap()).says(&["MT101", "symbolic link"]);
    refused(|path| symlink(".", path).unwrap()).says(&["it is a folder"]);
    refused(|path| fs::create_dir(path).unwrap()).says(&["it is a folder"]);
}

#[test]
fn links_in_a_circle_of_folders_are_not_followed_for_ever() {
    let fleet = fleet();
    symlink("..", fleet.migrations().join("up")).unwrap();
    fs::create_dir_all(fleet.migrations().join("deep")).unwrap();
    symlink(".", fleet.migrations().join("deep/again")).unwrap();
    let output = fleet.run(&["validate"]);
    // `up/` leads to the project, which holds .sql files that would never run from there.
    assert!([0, 2].contains(&output.status), "{output}");
}

#[test]
fn what_is_no_regular_file_is_refused_and_waited_for_by_nobody() {
    refused(fifo).says(&["MT101", "it is a FIFO"]);
    // A socket's path is short, so it lies elsewhere.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let _listener = UnixListener::bind(&socket).unwrap();
    refused(|path| symlink(&socket, path).unwrap()).says(&["MT101", "it is a socket"]);
    refused(|path| symlink("/dev/zero", path).unwrap()).says(&["MT101", "it is a device"]);
}

#[test]
fn a_file_of_two_gigabytes_is_refused_before_it_is_read() {
    let output = refused(|path| File::create(path).unwrap().set_len(2 << 30).unwrap());
    output.says(&["MT101", "it has 2147483648 bytes", "at most 64 MiB"]);
    let output = refused(|path| File::create(path).unwrap().set_len((64 << 20) + 1).unwrap());
    output.says(&["MT101", "it has 67108865 bytes", "at most 64 MiB"]);
}

/// Covers row 37 of docs/failures.md.
#[test]
fn a_binary_file_is_refused_with_the_offset() {
    refused(|path| fs::write(path, b"\x7fELF\x02\x01\x01\0\0\0").unwrap()).says(&["MT122", "offset 7"]);
    refused(|path| fs::write(path, [0xff; 4096]).unwrap()).says(&["MT122", "offset 0"]);
}

#[test]
fn a_name_that_is_not_utf_8_or_commands_a_terminal_is_refused_by_a_name_that_can_be_read() {
    let fleet = fleet();
    fs::write(fleet.migrations().join(std::ffi::OsStr::from_bytes(b"V2__\xff\x1b[2J.sql")), "SELECT 1;").unwrap();
    fs::write(fleet.migrations().join("V3__\u{1b}]0;pwned\u{7}\u{202e}.sql"), "SELECT 1;").unwrap();
    let output =
        fleet.run(&["validate"]).expect(2).says(&["its name is not UTF-8", "V3__\\u{1b}]0;pwned\\u{7}\\u{202e}.sql"]);
    super::escapes::assert_neutral(&["validate"], &output);
}

#[test]
fn thousands_of_files_are_one_changelog() {
    let mut fleet = fleet();
    for version in 2..=5000 {
        fleet.changeset(&format!("V{version}__x.sql"), "SELECT 1;\n");
    }
    fleet.run(&["validate"]).expect(0).says(&["5000"]);
}
