//! Whatever ends a test process, its servers stop and its folder goes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::daemon::is_alive;
use crate::support::sandbox::sandbox;
use crate::support::{MariaDb, Options, Postgres, Running};

/// Not a test: the body of the child processes that the next test starts and ends.
#[test]
#[ignore = "started by `the_guard_stops_servers_and_removes_the_folder_however_a_test_process_ends`"]
fn child_of_the_guard_test() {
    let Ok(end) = std::env::var("MTMIGRATE_TEST_CHILD") else {
        return;
    };
    let postgres = Postgres::start(Options::default());
    let mariadb = MariaDb::start(Options::default());
    let mut command = sandbox().own_command("KILL", Path::new("sleep"), sandbox().root());
    let sleeper = Running::start({
        command.arg("100");
        command
    });
    let pids = [postgres.pid().unwrap(), mariadb.pid().unwrap(), sleeper.pid()];
    println!("\nchild {} {pids:?}", sandbox().root().display());
    println!("ready");
    match &*end {
        "panics" => panic!("on purpose"),
        "exits" => std::process::exit(0),
        _ => sleep(Duration::from_secs(200)),
    }
}

#[test]
fn the_guard_stops_servers_and_removes_the_folder_however_a_test_process_ends() {
    for end in ["kill -9", "Ctrl-C", "exits", "panics"] {
        // A shell's background job ignores Ctrl-C, and so would what it starts.
        let mut child = Command::new("env");
        child
            .arg("--default-signal=INT")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "harness::guard::child_of_the_guard_test"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env("MTMIGRATE_TEST_CHILD", end)
            .env_remove("MTMIGRATE_KEEP");
        child.process_group(0);
        let mut child = Running::start(child);
        child.wait_for("ready");
        // The guard keeps stderr open: the output is complete when the guard is done.
        match end {
            "kill -9" => child.signal(Signal::KILL),
            "Ctrl-C" => {
                let group = Pid::from_raw(child.pid().try_into().unwrap());
                kill_process_group(group.unwrap(), Signal::INT).unwrap();
            }
            _ => {}
        }
        let output = child.wait();
        let line = output.stdout.lines().find_map(|line| line.strip_prefix("child "));
        let (root, pids) = line.unwrap().split_once(' ').unwrap();
        let pids: Vec<u32> = serde_json::from_str(pids).unwrap();
        wait_until(&format!("the servers stop after {end}"), || !pids.iter().any(|pid| is_alive(*pid)));
        let root = PathBuf::from(root);
        if end == "panics" {
            assert!(output.stderr.contains(&format!("kept: {}", root.display())), "{output}");
            assert!(fs::exists(root.join("failed")).unwrap());
            fs::remove_dir_all(&root).unwrap();
        }
        wait_until(&format!("the folder goes after {end}"), || !root.exists());
    }
}

#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(90), "waited in vain: {what}");
        sleep(Duration::from_millis(20));
    }
}
