//! The command line: one verb, one file. The only place that prints: stdout is data, stderr is talk.
//!
//! Start at [`main`]. A verb returns its exit status, or every diagnostic that stopped it.

mod args;
mod console;
mod files;
mod history;
mod init;
mod log;
mod new;
mod panics;
mod plan;
mod progress;
mod screen;
mod signals;
mod status;
mod up;
mod validate;
mod walk;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::error::{Code, Diagnostic, ExitStatus, mask};

use args::{Cli, Global, Verb};
use console::Console;

/// What a verb comes to: an exit status, or every diagnostic that stopped it.
type Outcome = Result<ExitStatus, Vec<Diagnostic>>;

/// What every verb is given.
struct Context {
    global: Global,
    console: Console,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let status = panics::guard(|| match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => misunderstood(&error),
    });
    ExitCode::from(status.code())
}

fn run(cli: Cli) -> ExitStatus {
    let console = Console::new(&cli.global);
    log::start(&console);
    let context = Context { global: cli.global, console };
    let outcome = match &cli.verb {
        Verb::Init(args) => init::run(args, &context),
        Verb::New(args) => new::run(args, &context),
        Verb::Validate(args) => validate::run(args, &context),
        Verb::Plan(args) => plan::run(args, &context),
        Verb::Up(args) => up::run(args, &context),
        Verb::Status(args) => status::run(args, &context),
        Verb::History(args) => history::run(args, &context),
    };
    outcome.unwrap_or_else(|stopped| {
        context.console.tell(&stopped);
        stopped.iter().map(|d| d.code().exit()).reduce(ExitStatus::worst).unwrap_or(ExitStatus::Bug)
    })
}

/// Prints what clap has to say: help and version on stdout, mistakes on stderr with our code.
fn misunderstood(error: &clap::Error) -> ExitStatus {
    let text = error.render().ansi().to_string();
    if !error.use_stderr() {
        console::write_out(&text).ok();
        return ExitStatus::Done;
    }
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => text,
        _ => text.replacen("error:", &format!("error[{}]:", Code::USAGE), 1),
    };
    // What was typed is shown again, and it may be a URL with a password.
    let masked: Vec<String> = text.lines().map(mask).collect();
    console::write_err(&masked.join("\n"));
    ExitStatus::Usage
}

/// Makes the diagnostic of a file that cannot be read or written.
fn unusable(what: &str, path: &std::path::Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(Code::FILE_UNREADABLE, format!("cannot {what} {}", path.display())).cause(error.to_string())
}
