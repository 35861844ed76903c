//! Panics are bugs of ours: said as one, and status 70, wherever they happened.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, Write};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Code, Diagnostic, ExitStatus, Paint, mask, render};

/// Whether any thread of the process panicked.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Does the work. A panic in it, or in any thread meanwhile, is told and makes the status 70.
pub(super) fn guard(work: impl FnOnce() -> ExitStatus) -> ExitStatus {
    panic::set_hook(Box::new(|info| {
        PANICKED.store(true, Ordering::SeqCst);
        tell(info);
    }));
    let status = panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or(ExitStatus::Bug);
    match PANICKED.load(Ordering::SeqCst) {
        true => status.worst(ExitStatus::Bug),
        false => status,
    }
}

/// Writes to stderr by the shortest way: whatever else writes there may be what panicked.
fn tell(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a panic without a message");
    let place = info.location().map(|l| format!("{}:{}", shown(l.file()), l.line()));
    let mut text = render(&diagnostic(message, place), Paint::Plain);
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{trace}"));
    }
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        // The progress line, if there is one, is not finished.
        stderr.write_all(b"\r\x1b[K").ok();
    }
    writeln!(stderr, "{text}").ok();
}

fn diagnostic(message: &str, place: Option<String>) -> Diagnostic {
    let said: Vec<String> = message.lines().map(mask).collect();
    let bug = Diagnostic::new(Code::BUG, format!("a bug in mtmigrate {}", env!("CARGO_PKG_VERSION")))
        .cause(match place {
            Some(place) => format!("panic at {place}: {}", said.join("\n")),
            None => format!("panic: {}", said.join("\n")),
        })
        .state("a changeset that was in flight is as after a lost connection");
    bug.hint(
        "run `mtmigrate status`, and report this text with the command that you typed; RUST_BACKTRACE=1 adds to it",
    )
}

/// Returns a source file's path without the folders of the machine that compiled it.
fn shown(file: &str) -> &str {
    let Some((_, inside)) = file.split_once("/registry/src/") else { return file };
    inside.split_once('/').map_or(inside, |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_names_its_place_and_no_password() {
        let text = diagnostic("no route to postgres://u:hunter2@h/d", Some("src/up.rs:7".into())).to_string();
        assert!(text.starts_with("error[MT900]: a bug in mtmigrate "), "{text}");
        assert!(text.contains("panic at src/up.rs:7: no route to postgres://u:*******@h/d"), "{text}");
    }

    #[test]
    fn a_place_in_a_dependency_is_shown_without_the_compiling_machines_folders() {
        assert_eq!(shown("src/cli/up.rs"), "src/cli/up.rs");
        assert_eq!(shown("/home/x/.cargo/registry/src/index-1/dep-1.0/src/lib.rs"), "dep-1.0/src/lib.rs");
    }
}
