//! A command whose output is a password: `${cmd:vault read -field=password db/eu}`.
//!
//! No shell reads it. It runs in a process group of its own, so that what it started ends with it.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::password::NoPassword;
use crate::error::short;

/// How long a command may take.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// The most that it may print, in bytes; the same holds for a secret's file.
pub(super) const SECRET_LIMIT: u64 = 64 * 1024;

/// How much of its complaints is shown, in characters.
const COMPLAINT: usize = 600;

/// The pause between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);

/// A program, its arguments, and the folder to run in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct SecretCommand {
    words: Vec<String>,
    folder: PathBuf,
}

/// Shows the program alone: an argument may be a secret.
impl fmt::Debug for SecretCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {:?}", self.program())
    }
}

impl SecretCommand {
    /// Splits a line into words: white space divides them, `'…'`, `"…"` and `\` quote as in a shell, and nothing else means
    /// anything.
    ///
    /// # Errors
    /// In words, what is wrong with the line.
    pub(super) fn parse(line: &str, folder: &Path) -> Result<Self, &'static str> {
        let words = split(line).ok_or("has a quote that does not end")?;
        match words.first() {
            None => Err("is empty"),
            Some(program) if program.is_empty() => Err("names no program"),
            _ if line.contains('\0') => Err("holds a NUL"),
            _ => {
                Ok(Self { words, folder: std::path::absolute(folder.join(".")).unwrap_or_else(|_| folder.to_owned()) })
            }
        }
    }

    /// Returns the words.
    #[cfg(test)]
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Runs it to its end, or until `limit` is over or `stopped` is set; returns what it printed without the last line
    /// feed. Blocks.
    ///
    /// # Errors
    /// Why there is no password. What it printed is in none of them.
    pub(super) fn run(&self, limit: Duration, stopped: &AtomicBool) -> Result<String, NoPassword> {
        let program = self.program();
        let failed = |why: String| NoPassword::new(format!("the command `{program}` {why}"));
        // A path is relative to the folder too; a bare name is looked for in PATH.
        let found = if program.contains('/') { self.folder.join(program) } else { PathBuf::from(program) };
        let mut command = Command::new(found);
        command.args(&self.words[1..]).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|error| failed(format!("cannot be run: {error}")))?;
        let mut running = Group { child, over: false };
        let printed = collect(running.child.stdout.take());
        let complaints = collect(running.child.stderr.take());
        let began = Instant::now();
        let ended = running.wait(began, limit, stopped);
        let complaint = |failure: NoPassword| match tail(&complaints.recv_timeout(PAUSE * 10).unwrap_or_default()) {
            Some(tail) => failure.cause(format!("it said: {tail}")),
            None => failure,
        };
        let status = match ended {
            Ok(Some(status)) => status,
            Ok(None) if stopped.load(Ordering::SeqCst) => return Err(failed("was given up".to_owned())),
            Ok(None) => {
                return Err(complaint(failed(format!("did not end within {} s, and was ended", limit.as_secs_f64()))));
            }
            Err(error) => return Err(failed(format!("cannot be waited for: {error}"))),
        };
        if !status.success() {
            return Err(complaint(failed(words_of(status))));
        }
        // What it left running may hold the pipe open.
        let left = limit.saturating_sub(began.elapsed()).max(PAUSE);
        let Ok(bytes) = printed.recv_timeout(left) else {
            running.end();
            return Err(failed(format!(
                "left something running that printed for longer than {} s",
                limit.as_secs_f64()
            )));
        };
        if bytes.len() as u64 > SECRET_LIMIT {
            return Err(failed(format!("printed more than {} KiB", SECRET_LIMIT >> 10)));
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(failed("printed what is not UTF-8 text".to_owned()));
        };
        match without_line_end(text) {
            text if text.is_empty() => Err(complaint(failed("printed nothing".to_owned()))),
            text => Ok(text),
        }
    }
}

/// A child and what it started.
struct Group {
    child: Child,
    over: bool,
}

impl Group {
    /// Waits for the child; nothing when the time is over or nobody wants it any more.
    fn wait(&mut self, began: Instant, limit: Duration, stopped: &AtomicBool) -> std::io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.over = true;
                return Ok(Some(status));
            }
            if began.elapsed() >= limit || stopped.load(Ordering::SeqCst) {
                self.end();
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends all of it.
    fn end(&mut self) {
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        if !self.over {
            let _ = self.child.kill();
            let _ = self.child.wait();
            self.over = true;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.end();
        }
    }
}

/// Reads a pipe to its end on a thread of its own, and keeps a byte more than may be printed.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let room = (SECRET_LIMIT as usize + 1).saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..count.min(room)]);
            }
        }
        let _ = sender.send(kept);
    });
    receiver
}

/// Returns a text without the line ending at its end.
pub(super) fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// Returns the last lines, on one line.
fn tail(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let skipped = line.chars().count().saturating_sub(COMPLAINT);
    let tail: String = line.chars().skip(skipped).collect();
    match skipped {
        _ if tail.is_empty() => None,
        0 => Some(short(&tail, COMPLAINT)),
        _ => Some(format!("…{tail}")),
    }
}

fn words_of(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with status {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

/// Splits a line into words; nothing where a quote does not end.
/// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02>
fn split(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("here"), "from the folder\n").unwrap();
        let command = SecretCommand::parse(line, folder.path()).unwrap();
        // What ends by itself has all the time that a slow machine takes; what does not has enough to begin.
        let limit = Duration::from_secs(if line.contains("sleep 60") { 3 } else { 50 });
        let failure = command.run(limit, &AtomicBool::new(false));
        failure.map_err(|failure| failure.causes().join(" / "))
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, words) in [
            ("", Some(vec![])),
            (" a  b\tc\n", Some(vec!["a", "b", "c"])),
            ("a 'b  c' \"d  e\"", Some(vec!["a", "b  c", "d  e"])),
            ("a'b'\"c\"d", Some(vec!["abcd"])),
            (r#"a\ b "\"\\\n" '\'"#, Some(vec!["a b", r#""\\n"#, r"\"])),
            ("a '' \"\"", Some(vec!["a", "", ""])),
            ("$A `b` * ~ # ; | > <", Some(vec!["$A", "`b`", "*", "~", "#", ";", "|", ">", "<"])),
            ("a 'b", None),
            ("a \"b", None),
            ("a \\", None),
        ] {
            let words = words.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(split(line), words, "{line}");
        }
    }

    #[test]
    fn a_command_runs_in_the_folder_and_loses_the_last_line_feed() {
        assert_eq!(run("cat here").as_deref(), Ok("from the folder"));
        assert_eq!(run("printf 'a\\n\\n'").as_deref(), Ok("a\n"));
        assert_eq!(run("sh -c 'printf x; cat; exec sleep 0'").as_deref(), Ok("x"), "it has no input");
    }

    #[test]
    fn a_command_that_gives_no_password_is_explained_without_what_it_printed() {
        for (line, why) in [
            ("no-such-program", "the command `no-such-program` cannot be run"),
            ("sh -c 'echo S3cret; echo no >&2; exit 3'", "the command `sh` ended with status 3 / it said: no"),
            ("sh -c 'kill -9 $$'", "was ended by a signal"),
            ("sh -c 'echo; echo why >&2'", "printed nothing / it said: why"),
            ("sh -c 'echo S3cret; sleep 60'", "did not end within 3 s, and was ended"),
            ("sh -c 'sleep 60 & echo S3cret'", "left something running that printed for longer than 3 s"),
            ("head -c 70000 /dev/zero", "printed more than 64 KiB"),
            ("printf '\\377'", "printed what is not UTF-8 text"),
        ] {
            let began = Instant::now();
            let said = run(line).unwrap_err();
            assert!(said.contains(why) && !said.contains("S3cret"), "{line}: {said}");
            assert!(began.elapsed() < Duration::from_secs(50), "{line}");
        }
    }

    #[test]
    fn only_the_end_of_a_long_complaint_is_shown() {
        assert_eq!(tail(b" a\n b\n"), Some("a b".to_owned()));
        assert_eq!(tail(b"\n"), None);
        let long = tail("x".repeat(1000).as_bytes()).unwrap();
        assert_eq!(long.chars().count(), COMPLAINT + 1);
    }
}
