//! A server process: started, awaited, stopped and killed.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::sandbox::{free_port, installed, sandbox};

const START_LIMIT: Duration = Duration::from_secs(180);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A server of this test process, in a folder of its own. Dropping it kills the server.
pub struct Daemon {
    pub folder: PathBuf,
    pub port: u16,
    program: PathBuf,
    args: Vec<String>,
    /// What the guard sends when this process is gone.
    guard_signal: &'static str,
    child: Mutex<Option<Child>>,
}

/// What [`Daemon::launch`] starts.
pub struct Launch<'a> {
    pub folder: PathBuf,
    pub program: PathBuf,
    /// The arguments, given a port.
    pub args: &'a dyn Fn(u16) -> Vec<String>,
    pub guard_signal: &'static str,
    /// True when the server on this port answers.
    pub probe: &'a dyn Fn(u16) -> bool,
}

impl Daemon {
    /// Starts a server on a free port and waits until it answers.
    pub fn launch(launch: Launch<'_>) -> Daemon {
        let mut attempt = 1;
        loop {
            let port = free_port();
            let daemon = Daemon {
                folder: launch.folder.clone(),
                port,
                program: launch.program.clone(),
                args: (launch.args)(port),
                guard_signal: launch.guard_signal,
                child: Mutex::new(None),
            };
            match daemon.start(launch.probe) {
                Ok(()) => return daemon,
                // Another process took the port between our look and the server's.
                Err(log) if attempt < 5 && log.contains("ddress already in use") => attempt += 1,
                Err(log) => panic!("{} did not start:\n{log}", launch.program.display()),
            }
        }
    }

    /// Starts the stopped server again, on the same port, and waits until it answers.
    pub fn restart(&self, probe: &dyn Fn(u16) -> bool) {
        let begun = Instant::now();
        while let Err(log) = self.start(probe) {
            // Somebody else's port for a moment: that of a connection that goes out, or of a look for a free one.
            let may_pass = log.contains("ddress already in use") && begun.elapsed() < STOP_LIMIT;
            assert!(may_pass, "{} did not start again:\n{log}", self.program.display());
            sleep(Duration::from_millis(200));
        }
    }

    fn start(&self, probe: &dyn Fn(u16) -> bool) -> Result<(), String> {
        let log_path = self.folder.join("log");
        let log = File::options().create(true).append(true).open(&log_path).expect("a log file");
        let mut command = sandbox().command(self.guard_signal, &installed(&["sh"]), &self.folder);
        // So that MariaDB, like PostgreSQL by itself, takes a file's limit for a full disk (see `limit_files`).
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(&self.program).args(&self.args);
        note_command(&self.folder, &command);
        let child = command.stdout(log.try_clone().expect("a log file")).stderr(log).spawn().expect("a server process");
        *self.child() = Some(child);
        let begun = Instant::now();
        while !probe(self.port) {
            let exited = matches!(self.child().as_mut().map(Child::try_wait), Some(Ok(Some(_))) | None);
            if exited || begun.elapsed() > START_LIMIT {
                self.kill();
                return Err(tail(&log_path));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills every process of the server with -9 and waits for their end.
    pub fn kill(&self) {
        let Some(mut child) = self.child().take() else {
            return;
        };
        // A dead parent has no children and a running one makes new ones: stop it and look.
        send(child.id(), Signal::STOP);
        let children = descendants(child.id());
        let _ = child.kill();
        for pid in &children {
            send(*pid, Signal::KILL);
        }
        let _ = child.wait();
        wait_for_end(&children);
        sandbox().forget(child.id());
    }

    /// Stops the server with `signal`, and with -9 if that takes longer than a minute.
    pub fn stop(&self, signal: Signal) {
        if let Some(child) = self.child().as_mut() {
            send(child.id(), signal);
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < STOP_LIMIT {
                sleep(Duration::from_millis(5));
            }
        }
        self.kill();
    }

    /// Sends a signal to every process of the server, the first one first.
    pub fn signal_all(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            send(pid, signal);
            descendants(pid).into_iter().for_each(|pid| send(pid, signal));
        }
    }

    /// No file that the first process of the server, or one that it starts from now on, writes may grow beyond `bytes`;
    /// `None` ends that. To the server it is what a full disk is: a write that is cut short, and then refused.
    ///
    /// The soft limit alone: everybody may change that of processes of one's own, root or not.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let pid = self.pid().expect("a running server");
        let ignored = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running server");
        let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim).expect("signals");
        let ignored = u64::from_str_radix(ignored, 16).expect("signals");
        assert!(ignored & (1 << (25 - 1)) != 0, "SIGXFSZ would end the server");
        // As the server's own user: another one, root too, may need a right to do so.
        let limit = bytes.map_or("unlimited".to_string(), |bytes| bytes.to_string());
        let output = sandbox()
            .command("KILL", &installed(&["prlimit"]), &self.folder)
            .args([format!("--pid={pid}"), format!("--fsize={limit}:")])
            .output()
            .expect("prlimit");
        assert!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The process id of the running server.
    pub fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let started = self.pid().is_some();
        self.kill();
        if started && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Sends a signal; a process that is gone is no error.
pub fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process id"), signal);
}

/// True while the process runs; a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// Waits until none of the processes runs.
pub fn wait_for_end(pids: &[u32]) {
    let begun = Instant::now();
    while let Some(pid) = pids.iter().find(|pid| is_alive(**pid)) {
        assert!(begun.elapsed() < STOP_LIMIT, "process {pid} does not end");
        sleep(Duration::from_millis(5));
    }
}

/// The children of a process, and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.1)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// State and parent of a process.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some((fields.next()?.to_string(), fields.next()?.parse().ok()?))
}

/// Leaves the command in the folder, for the person who looks at a kept one.
fn note_command(folder: &Path, command: &Command) {
    let words: Vec<_> = command.get_args().skip(9).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let _ = fs::write(folder.join("command"), words.join(" ") + "\n");
}

fn tail(log: &Path) -> String {
    let log = fs::read(log).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
