//! Readers that go away.

use std::path::Path;

use crate::support::sandbox::sandbox;
use crate::support::{Fleet, Output, Running};

use super::sqlite_fleet;

/// Runs a shell's line in the fleet's folder; `mtmigrate` is the program under test.
fn shell(fleet: &Fleet, line: &str) -> Output {
    let mut command = sandbox().own_command("KILL", Path::new("bash"), fleet.folder());
    let line = format!("set -o pipefail; mtmigrate() {{ {} \"$@\"; }}; {line}", env!("CARGO_BIN_EXE_mtmigrate"));
    command.args(["-c", &line]);
    Running::start(command).wait()
}

#[test]
fn a_closed_stdout_neither_panics_nor_changes_the_exit_status() {
    let fleet = sqlite_fleet(2000);
    for verb in
        ["plan --format json", "status", "status --format csv", "status --format json", "up --format json", "history"]
    {
        let output = shell(&fleet, &format!("mtmigrate {verb} | head -1"));
        assert!(!output.stderr.contains("panick") && !output.stderr.contains("Broken pipe"), "{verb}: {output}");
        assert_eq!(output.status, 0, "{verb}: {output}");
        assert_eq!(output.stdout.lines().count(), 1, "{verb}");
    }
    shell(&fleet, "mtmigrate --help | head -1").expect(0);
    shell(&fleet, "mtmigrate status >&-; true").expect(0);
    let check = shell(&fleet, "mtmigrate status --tenant none | head -1");
    assert_eq!(check.status, 2, "{check}");
}

#[test]
fn a_full_disk_under_stdout_is_an_error_and_not_a_silent_zero() {
    let fleet = sqlite_fleet(3);
    let output = shell(&fleet, "mtmigrate status > /dev/full");
    assert_eq!(output.status, 2, "{output}");
    assert!(output.stderr.contains("cannot write to standard output"), "{output}");
    let output = shell(&fleet, "mtmigrate up > /dev/full");
    assert_eq!(output.status, 0, "the run stands: {output}");
    assert!(output.stderr.contains("cannot write to standard output"), "{output}");
}

#[test]
fn a_closed_stderr_does_not_keep_a_run_from_its_end() {
    let fleet = sqlite_fleet(3);
    shell(&fleet, "mtmigrate -v -v up 2>&-").expect(0);
    shell(&fleet, "mtmigrate status --check").expect(0);
}
