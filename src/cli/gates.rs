//! What opens the gates between waves: programs, and a person at the terminal.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, FusedFuture, join3};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use rustix::termios::{QueueSelector, tcflush};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::error::{mask, plain, short};
use crate::lockstep::{Between, Failing, Gates};

use super::console::Console;

/// The most names that the environment holds, in bytes: Linux takes no more than 128 KiB in one variable.
const NAMES_LIMIT: usize = 64 * 1024;

/// The longest line of a command, in bytes; what has no end by then is broken.
const LINE: usize = 8 * 1024;

/// How many of a command's last lines its failure shows.
const TAIL: usize = 20;

/// The longest of these, in characters.
const TAIL_LINE: usize = 400;

/// How often it is looked whether there is an answer.
const LOOK: Duration = Duration::from_millis(50);

/// How long a command may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long what a command leaves behind may hold its output after its end.
const DRAIN: Duration = Duration::from_secs(1);

/// Opens gates in this process's folder and terminal.
pub(super) struct Keeper {
    console: Console,
    /// Where commands run: the folder of tenants.yaml, absolute.
    folder: PathBuf,
    /// Whether everything was confirmed beforehand.
    yes: bool,
    /// The ends of commands that were not waited for.
    endings: TaskTracker,
}

impl Keeper {
    /// Makes one for a fleet's file.
    pub fn new(console: &Console, config: &Path, yes: bool) -> Self {
        let folder = config.parent().unwrap_or(Path::new("")).join(".");
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { console: console.clone(), folder, yes, endings: TaskTracker::new() }
    }

    async fn command(&self, words: &[String], between: &Between<'_>) -> Result<(), Failing> {
        let tail = Mutex::new(VecDeque::new());
        let failing = |how: String| {
            let tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            Failing { how, tail: tail.iter().cloned().collect::<Vec<String>>().join("\n").trim_end().to_owned() }
        };
        let mut child =
            self.start(words, between).map_err(|error| failing(format!("it cannot be started: {error}")))?;
        let names = between.tenants.iter().flat_map(|name| [name, "\n"]).collect::<String>();
        let (feed, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feeds = async {
            if let Some(mut feed) = feed {
                // Whoever does not want the names does not read them.
                feed.write_all(names.as_bytes()).await.ok();
            }
        };
        let mut running = Running { child: Some(child), endings: self.endings.clone() };
        let mut talks = Box::pin(join3(feeds, self.relay(out, &tail), self.relay(err, &tail)).fuse());
        let status = tokio::select! {
            biased;
            status = running.ended() => status,
            never = async { (&mut talks).await; std::future::pending().await } => never,
        };
        // A background process may hold the pipes for ever; what has ended is not asked again, it would never answer.
        if !talks.is_terminated() {
            timeout(DRAIN, talks).await.ok();
        }
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failing(told(status))),
            Err(error) => Err(failing(format!("its end cannot be waited for: {error}"))),
        }
    }

    fn start(&self, words: &[String], between: &Between<'_>) -> io::Result<Child> {
        let Some((program, arguments)) = words.split_first() else { return Err(io::ErrorKind::InvalidInput.into()) };
        // A name without a slash is looked for in PATH, any other begins at the folder.
        let program = if program.contains('/') { self.folder.join(program) } else { PathBuf::from(program) };
        let names = between.tenants.join("\n");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal is for us: we end the command.
            .process_group(0)
            .env("MTMIGRATE_RUN_ID", between.run_id)
            .env("MTMIGRATE_WAVE", between.wave)
            .env("MTMIGRATE_VERSION", &between.version);
        match names.len() <= NAMES_LIMIT {
            true => command.env("MTMIGRATE_TENANTS", names),
            false => command.env_remove("MTMIGRATE_TENANTS"),
        };
        command.spawn()
    }

    /// Shows what a command prints, line by line, and keeps its end.
    async fn relay(&self, stream: Option<impl AsyncRead + Unpin>, tail: &Mutex<VecDeque<String>>) {
        let Some(mut stream) = stream else { return };
        let (mut pending, mut chunk) = (Vec::new(), [0; LINE]);
        loop {
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            pending.extend_from_slice(&chunk[..read]);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.line(&line[..end], tail);
            }
            if !pending.is_empty() && (read == 0 || pending.len() > LINE) {
                self.line(&std::mem::take(&mut pending), tail);
            }
            if read == 0 {
                return;
            }
        }
    }

    fn line(&self, bytes: &[u8], tail: &Mutex<VecDeque<String>>) {
        let text = plain(&mask(String::from_utf8_lossy(bytes).trim_end_matches('\r')));
        self.console.say(&format!("  {text}"));
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(short(&text, TAIL_LINE));
    }

    /// Asks until there is an answer; the input's end is a no.
    async fn ask(&self, between: &Between<'_>) -> io::Result<bool> {
        // What was typed before the question is no answer to it.
        tcflush(io::stdin(), QueueSelector::IFlush).ok();
        self.console.talk(&format!(
            "wave {} has {}: {}",
            plain(between.wave),
            plain(&between.title),
            plain(&between.fleet)
        ));
        loop {
            self.console.line().ask(&format!("go on with wave {}? [y/n] ", plain(between.next)));
            while poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], Some(&Timespec::default()))? == 0 {
                sleep(LOOK).await;
            }
            let mut typed = [0; 256];
            // A terminal gives whole lines, so this does not wait.
            let length = rustix::io::read(io::stdin(), &mut typed)?;
            if typed[..length].ends_with(b"\n") {
                self.console.line().answered();
            }
            match String::from_utf8_lossy(&typed[..length]).trim().to_lowercase().as_str() {
                "y" | "yes" => return Ok(true),
                "n" | "no" => return Ok(false),
                _ if length == 0 => return Ok(false),
                _ => {}
            }
        }
    }
}

impl Gates for Keeper {
    fn can_confirm(&self) -> bool {
        let asks = io::stdin().is_terminal() && io::stderr().is_terminal() && !self.console.json_talk();
        self.yes || asks
    }

    fn run<'a>(&'a self, command: &'a [String], between: &'a Between<'a>) -> BoxFuture<'a, Result<(), Failing>> {
        self.command(command, between).boxed()
    }

    fn confirm<'a>(&'a self, between: &'a Between<'a>) -> BoxFuture<'a, bool> {
        async { self.yes || self.ask(between).await.unwrap_or(false) }.boxed()
    }

    fn settled(&self) -> BoxFuture<'_, ()> {
        // Closed, it ends when nobody is left; a later command is taken none the less.
        self.endings.close();
        self.endings.wait().boxed()
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("folder", &self.folder).field("yes", &self.yes).finish_non_exhaustive()
    }
}

/// A command that is at work; it and what it started are ended when this is dropped, and [`Gates::settled`] waits for it.
struct Running {
    child: Option<Child>,
    endings: TaskTracker,
}

impl Running {
    async fn ended(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else { return Err(io::ErrorKind::NotFound.into()) };
        let status = child.wait().await;
        self.child = None;
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        let Some(group) = child.id().and_then(|id| Pid::from_raw(id as i32)) else { return };
        kill_process_group(group, Signal::TERM).ok();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        self.endings.spawn_on(end(child, group), &runtime);
    }
}

/// Waits until nobody of a command's group is left, and kills who is after a while.
async fn end(mut child: Child, group: Pid) {
    let gone = async {
        child.wait().await.ok();
        while test_kill_process_group(group).is_ok() {
            sleep(LOOK).await;
        }
    };
    if timeout(PATIENCE, gone).await.is_err() {
        kill_process_group(group, Signal::KILL).ok();
        // SIGKILL is not refused, but a process in the kernel takes its time.
        timeout(PATIENCE, child.wait()).await.ok();
    }
}

fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
