//! `tenants list`, `check`, `url` and `shell`, on real servers.

mod check;
mod list;
mod shell;
mod url;

use std::path::Path;
use std::process::Command;

use crate::support::Fleet;
use crate::support::sandbox::sandbox;

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}

/// Runs `mtmigrate` where its output may hold the password: the harness does not look at it.
fn revealed(fleet: &Fleet, args: &[&str]) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_mtmigrate"));
    let output = sandbox().own_command("KILL", program, fleet.folder()).args(args).output().expect("mtmigrate");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Runs a shell's line, and returns what it printed.
fn sh(fleet: &Fleet, line: &str) -> String {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(fleet.folder()).env("LC_ALL", "C.UTF-8");
    let output = command.output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
