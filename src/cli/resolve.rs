//! Asks what a fleet's sources must know, all servers and programs at once: servers by `engine`, programs here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus as Ended, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::engine;
use crate::error::{Code, Diagnostic, Result, plain};
use crate::tenant::{Ask, Draft, Fleet, Question, Reply};

/// The most that a program may print on stdout, in bytes.
const OUTPUT: u64 = 64 << 20;

/// How much of the end of its stderr is kept, in bytes.
const WORDS: usize = 4096;

/// How much of it is shown, in characters.
const SHOWN: usize = 600;

/// Asks every question of a draft, and resolves the fleet with the answers.
///
/// # Errors
/// Every question that was not answered (`MT140`, `MT321`), or what is wrong with the answers.
pub(super) async fn resolve(draft: Draft<'_>) -> Result<Fleet, Vec<Diagnostic>> {
    let questions = draft.questions();
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (no, question) in questions.iter().enumerate() {
        groups.entry(group(no, question)).or_default().push(no);
    }
    // What is asked of one server is asked one after the other: together the questions could hold more connections than
    // its budget.
    let asked = groups.into_values().map(async |group| {
        let mut answers = Vec::with_capacity(group.len());
        for no in group {
            answers.push((no, ask(questions[no]).await));
        }
        answers
    });
    let mut answers: Vec<(usize, Result<Reply>)> = join_all(asked).await.into_iter().flatten().collect();
    answers.sort_by_key(|(no, _)| *no);
    let (mut replies, mut failures) = (Vec::new(), Vec::new());
    for (_, answer) in answers {
        match answer {
            Ok(reply) => replies.push(reply),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { draft.resolve(replies) } else { Err(failures) }
}

/// Returns what questions of one server have in common; a program is alone.
fn group(no: usize, question: &Question) -> String {
    match &question.ask {
        Ask::Query { way, .. } | Ask::EveryDatabase { way, .. } => {
            format!("{} {}", way.server.engine, way.server.address)
        }
        Ask::Program { .. } => no.to_string(),
    }
}

async fn ask(question: &Question) -> Result<Reply> {
    match &question.ask {
        Ask::Program { run, written, folder, timeout } => {
            let printed = print(run, folder, *timeout).await;
            printed.map(Reply::Output).map_err(|trouble| trouble.told(question, written))
        }
        Ask::Query { .. } | Ask::EveryDatabase { .. } => engine::ask_source(question).await.map(Reply::Rows),
    }
}

/// Why a program gave no list.
enum Trouble {
    /// It could not be started.
    Unstarted(std::io::Error),
    /// It ended with another status than 0; and the end of what it said.
    Failed(Ended, Vec<u8>),
    /// It ran longer than it may.
    Late(Duration),
    /// It ended, and something that it started did not close its output.
    Held(Duration),
    /// It printed more than is read.
    Endless,
    /// What it printed could not be read.
    Unread(std::io::Error),
}

/// Runs a program in a folder, without a shell and without input, and returns what it printed on stdout.
async fn print(run: &[String], folder: &Path, limit: Duration) -> Result<Vec<u8>, Trouble> {
    let [program, arguments @ ..] = run else { return Err(Trouble::Unstarted(std::io::ErrorKind::NotFound.into())) };
    // A path is the folder's; a bare name is looked up in PATH.
    let found = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut child = Command::new(found)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Trouble::Unstarted)?;
    let mut group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        let mut output = Vec::new();
        let reading = async {
            if let Some(stdout) = stdout {
                stdout.take(OUTPUT + 1).read_to_end(&mut output).await.map_err(Trouble::Unread)?;
            }
            // Who goes on printing would wait for a reader for ever.
            if output.len() as u64 > OUTPUT { Err(Trouble::Endless) } else { Ok(()) }
        };
        let ((), words) = tokio::try_join!(reading, async { last_words(stderr).await.map_err(Trouble::Unread) })?;
        let ended = child.wait().await.map_err(Trouble::Unread)?;
        if ended.success() { Ok(output) } else { Err(Trouble::Failed(ended, words)) }
    };
    let talked = timeout(limit, talk).await;
    match talked {
        Ok(Ok(output)) => {
            // What it left running holds no pipe of ours, and is its own business.
            group.0 = None;
            Ok(output)
        }
        Ok(trouble) => trouble,
        Err(_) if matches!(child.try_wait(), Ok(Some(_))) => Err(Trouble::Held(limit)),
        Err(_) => Err(Trouble::Late(limit)),
    }
}

/// A program and what it started, which ends when this goes.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Reads to the end and keeps the last of it.
async fn last_words(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let (mut kept, mut part) = (Vec::new(), vec![0; WORDS]);
    let Some(mut from) = from else { return Ok(kept) };
    loop {
        let read = from.read(&mut part).await?;
        if read == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&part[..read]);
        kept.drain(..kept.len().saturating_sub(WORDS));
    }
}

impl Trouble {
    fn told(self, question: &Question, program: &str) -> Diagnostic {
        let (code, cause, hint) = match self {
            Self::Unstarted(error) => {
                let hint = "a path begins at the folder of tenants.yaml, a name without `/` is looked up in PATH; \
                            may it be executed?";
                (Code::BAD_QUESTION, format!("{program} cannot be started: {error}"), hint)
            }
            Self::Failed(ended, words) => {
                let said = tail(&words);
                let said = if said.is_empty() { "it said nothing on stderr".to_owned() } else { said };
                (Code::SOURCE_FAILED, format!("{ended}: {said}"), "run it by hand in the folder of tenants.yaml")
            }
            Self::Late(limit) => {
                let limit = humantime::format_duration(limit);
                (Code::SOURCE_FAILED, format!("it ran longer than {limit}"), "mend it, or give it a longer `timeout:`")
            }
            Self::Held(limit) => {
                let limit = humantime::format_duration(limit);
                let cause = format!("it left something running that held its output open for longer than {limit}");
                (Code::SOURCE_FAILED, cause, "start what goes on running with its output elsewhere: `>/dev/null 2>&1`")
            }
            Self::Endless => {
                let cause = format!("it printed more than {} MiB", OUTPUT >> 20);
                (Code::SOURCE_FAILED, cause, "print the list alone")
            }
            Self::Unread(error) => (Code::SOURCE_FAILED, error.to_string(), "run it by hand"),
        };
        Diagnostic::new(code, format!("{} gave no list", question.asker))
            .at(question.place.clone())
            .cause(cause)
            .state("nothing was touched")
            .hint(hint)
    }
}

/// Returns the end of what a program said, as a stranger's words.
fn tail(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(SHOWN);
    let end: String = text.chars().skip(skipped).collect();
    let told = plain(&end);
    if skipped > 0 { format!("…{told}") } else { told }
}
