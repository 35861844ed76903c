//! In a real terminal, made by tmux.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::sandbox::{installed, sandbox};
use crate::support::{Fleet, Kind, postgres, unique};

use super::sqlite_fleet;

/// A terminal with a shell in the fleet's folder.
pub struct Terminal {
    socket: String,
    program: std::path::PathBuf,
}

impl Terminal {
    pub fn in_folder(folder: &Path) -> Terminal {
        let socket = sandbox().root().join(unique("tmux")).display().to_string();
        let terminal = Terminal { socket, program: installed(&["tmux"]) };
        let folder = folder.display().to_string();
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "40",
            "-c",
            &folder,
            "-e",
            "PS1=$ ",
            "-e",
            "TERM=screen",
            "bash",
            "--norc",
            "--noprofile",
        ]);
        terminal
    }

    pub fn tmux(&self, args: &[&str]) -> String {
        // A shell in a new pane has the PATH of who made it.
        let bin = Path::new(env!("CARGO_BIN_EXE_mtmigrate")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(&self.program);
        command.args(["-S", &self.socket]).args(args).env("LC_ALL", "C.UTF-8").env("PATH", path);
        // A person's terminal is neither inside another one nor in CI, and says nothing of colours.
        for name in ["TMUX", "CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "MTMIGRATE_CONFIG"] {
            command.env_remove(name);
        }
        let output = command.output().expect("tmux");
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn enter(&self, line: &str) {
        self.tmux(&["send-keys", line, "Enter"]);
    }

    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).trim_end().to_string()
    }

    #[track_caller]
    pub fn wait_for(&self, holds: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "not seen in:\n{screen}");
            sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new(&self.program).args(["-S", &self.socket, "kill-server"]).output();
    }
}

/// A tenant whose V2 is at work until its gate is opened.
fn slow_fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0));
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);").changeset("V2__slow.sql", Kind::Database.gate());
    fleet
}

#[test]
fn the_progress_line_is_rewritten_and_gone_at_the_end() {
    let fleet = slow_fleet();
    let terminal = Terminal::in_folder(fleet.folder());
    terminal.enter("mtmigrate up; echo status $?");
    // Its clock goes on: seconds, whichever of them is seen.
    let seconds = |screen: &str| (1..90).any(|seconds| screen.contains(&format!("  {seconds} s")));
    let during = terminal.wait_for(|screen| screen.contains("V2__slow  step 2 of 2  [") && seconds(screen));
    assert_eq!(during.matches("in flight").count(), 1, "one line, rewritten:\n{during}");
    fleet.open_gate("pg");
    let after = terminal.wait_for(|screen| {
        screen.contains("status 0") && screen.lines().last().is_some_and(|line| line.starts_with('$'))
    });
    assert!(!after.contains("in flight"), "{after}");
    assert!(after.contains("V2__slow  step 2 of 2  1 applied") && after.contains("1 tenant brought to V2"), "{after}");
}

#[test]
fn ctrl_c_ends_the_line_says_what_happens_and_leaves_the_terminal_sane() {
    let mut fleet = slow_fleet();
    fleet.changeset("V3__u.sql", "CREATE TABLE u (a int);");
    let terminal = Terminal::in_folder(fleet.folder());
    let settings = fleet.folder().join("stty");
    terminal.enter("stty -g > stty; mtmigrate up; echo status $?; stty -g >> stty");
    terminal.wait_for(|screen| screen.contains("V2__slow  step 2 of 3  ["));
    terminal.tmux(&["send-keys", "C-c"]);
    terminal.wait_for(|screen| screen.contains("in flight are finished"));
    fleet.open_gate("pg");
    let after = terminal.wait_for(|screen| screen.contains("status 130"));
    assert!(after.contains("interrupted at V2__slow") && !after.contains("[--"), "{after}");
    // What is typed before the shell asks for it is shown twice: by the terminal, and by the shell.
    terminal.enter("echo still $((3 + 4)) here");
    terminal.wait_for(|screen| screen.contains("still $((3 + 4)) here") && screen.contains("still 7 here"));
    let settings = fs::read_to_string(settings).unwrap();
    let settings: Vec<&str> = settings.lines().collect();
    assert_eq!(settings[0], settings[1], "echo, line mode and the cursor's keys are as before");
    assert_eq!(terminal.tmux(&["display-message", "-p", "#{cursor_flag}"]).trim(), "1", "the cursor is shown");
}

#[test]
fn colours_are_on_in_a_terminal_and_a_dumb_one_gets_plain_lines() {
    let fleet = sqlite_fleet(3);
    let terminal = Terminal::in_folder(fleet.folder());
    terminal.enter("mtmigrate up; mtmigrate status; echo end $?");
    terminal.wait_for(|screen| screen.contains("end 0"));
    assert!(terminal.tmux(&["capture-pane", "-p", "-e"]).contains("\u{1b}[32m"), "green");
    terminal.enter("clear; TERM=dumb mtmigrate status; echo dumb $?");
    terminal.wait_for(|screen| screen.contains("dumb 0"));
    assert!(!terminal.tmux(&["capture-pane", "-p", "-e"]).contains("\u{1b}[32m"));
}

#[test]
fn a_table_in_a_narrow_terminal_is_not_broken_in_its_rows() {
    let mut fleet = sqlite_fleet(0);
    fleet.tenants_yaml(
        "tenants:
  - { name: a-tenant-with-quite-a-long-name, url: \"sqlite://data/a.db?mode=rwc\" }
  - { name: gone, url: \"sqlite://data/none.db\" }
",
    );
    let terminal = Terminal::in_folder(fleet.folder());
    terminal.tmux(&["resize-window", "-x", "80", "-y", "40"]);
    terminal.enter("clear; mtmigrate status -q; echo end");
    let screen = terminal.wait_for(|screen| screen.lines().any(|line| line == "end"));
    let row = screen.lines().find(|line| line.starts_with("a-tenant-with")).unwrap();
    assert!(row.contains("new") && row.contains("sqlite"), "{screen}");
}

#[test]
fn a_message_of_a_stranger_neither_wipes_the_screen_nor_sets_its_title() {
    let mut fleet = sqlite_fleet(1);
    let hostile = "\u{1b}]2;pwned\u{7}\u{1b}[2J\u{1b}[H\u{9b}2J\rgone";
    fleet.changeset(
        "V1__t.sql",
        &format!(
            "CREATE TABLE t (a int);\nCREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT RAISE(ABORT, '{hostile}'); END;\n\
             INSERT INTO t VALUES (1);\n"
        ),
    );
    let terminal = Terminal::in_folder(fleet.folder());
    terminal.enter("clear; echo above; mtmigrate up; mtmigrate history; mtmigrate plan --sql; echo status $?");
    let screen = terminal.wait_for(|screen| screen.contains("status 0"));
    assert!(screen.lines().any(|line| line == "above"), "{screen}");
    assert!(screen.contains("\\u{1b}]2;pwned\\u{7}\\u{1b}[2J\\u{1b}[H\\u{9b}2J\\rgone"), "{screen}");
    let title = terminal.tmux(&["display-message", "-p", "#{pane_title}"]);
    assert!(!title.contains("pwned"), "{title}");
}
