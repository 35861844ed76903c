//! A program under test: its output is read while it runs, and checked for the password.

use std::fmt;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::assert_no_secret;
use super::daemon::send;
use super::sandbox::sandbox;

/// A program that runs longer is killed, and its test fails.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// What a finished program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit status, or 128 and the number of the signal that ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Status, stdout and stderr together, for messages and snapshots.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Output { status, stdout, stderr } = self;
        write!(f, "status: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

impl Output {
    /// Fails, and shows the whole output, unless the program ended with `status`.
    #[track_caller]
    pub fn expect(self, status: i32) -> Output {
        assert_eq!(self.status, status, "{self}");
        self
    }
}

/// A started program. Dropping it kills the program.
pub struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    begun: Instant,
}

impl Running {
    /// Starts a command; `sandbox().own_command` gives one that the guard knows of.
    pub fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
        Running {
            stdout: Stream::read(child.stdout.take().expect("a pipe")),
            stderr: Stream::read(child.stderr.take().expect("a pipe")),
            child,
            begun: Instant::now(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Kills the program with -9 and returns what it had printed.
    pub fn kill_9(self) -> Output {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// True until the program has ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until stdout or stderr holds `text`. Fails when the program ends without it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        loop {
            let ended = !self.is_running();
            if ended {
                self.stdout.finish();
                self.stderr.finish();
            }
            if self.stdout.text().contains(text) || self.stderr.text().contains(text) {
                return;
            }
            let late = self.begun.elapsed() > TIME_LIMIT;
            assert!(!ended && !late, "no {text:?} in:\n{}", self.output(-1));
            sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end. Fails after 240 seconds, and when the password was printed.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child process") {
                break status;
            }
            if self.begun.elapsed() > TIME_LIMIT {
                self.signal(Signal::KILL);
                panic!("killed after {TIME_LIMIT:?}:\n{}", self.output(-1));
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        self.stdout.finish();
        self.stderr.finish();
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        let output = self.output(code.expect("a status"));
        assert_no_secret("stdout", &output.stdout);
        assert_no_secret("stderr", &output.stderr);
        output
    }

    fn output(&self, status: i32) -> Output {
        Output { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        sandbox().forget(self.child.id());
    }
}

/// One of the two outputs, as far as it has been read.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(mut pipe: impl Read + Send + 'static) -> Stream {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut bytes = into.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&buffer[..count]);
            }
        });
        Stream { bytes, reader: Some(reader) }
    }

    /// Waits for the rest, after the program has ended.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
    }

    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
