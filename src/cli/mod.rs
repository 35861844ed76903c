//! The command line: one verb, one file. The only place that prints: stdout is data, stderr is talk.
//!
//! Start at [`main`]. A verb returns its exit status, or every diagnostic that stopped it.

mod accept;
mod args;
mod console;
mod drift;
mod files;
mod gates;
mod history;
mod init;
mod line;
mod log;
mod new;
mod panics;
mod plan;
mod progress;
mod provision;
mod repair;
mod resolve;
mod rules;
mod schema;
mod screen;
mod signals;
mod status;
mod tenants;
mod up;
mod validate;
mod walk;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

use crate::error::{Code, Diagnostic, ExitStatus, mask, plain};
use crate::tenant::{Fleet, Selection, Tenant};

use args::{Cli, Color, Global, Verb};
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
        Verb::Provision(args) => provision::run(args, &context),
        Verb::Status(args) => status::run(args, &context),
        Verb::History(args) => history::run(args, &context),
        Verb::Drift(args) => drift::run(args, &context),
        Verb::Accept(args) => accept::run(args, &context),
        Verb::Repair(args) => repair::run(args, &context),
        Verb::Tenants(args) => tenants::run(args, &context),
        Verb::Schema(args) => schema::run(args, &context),
    };
    outcome.unwrap_or_else(|stopped| {
        context.console.tell(&stopped);
        stopped.iter().map(|d| d.code().exit()).reduce(ExitStatus::worst).unwrap_or(ExitStatus::Bug)
    })
}

/// Prints what clap has to say: help and version on stdout, mistakes on stderr.
fn misunderstood(error: &clap::Error) -> ExitStatus {
    console::choose_colors(asked_colors(std::env::args_os().skip(1)));
    if error.use_stderr() {
        console::write_err(&mistake(error));
        return ExitStatus::Usage;
    }
    let text = error.render().ansi().to_string();
    match console::write_out(|out| console::write_lines(out, &text)) {
        Ok(()) => ExitStatus::Done,
        Err(_) => ExitStatus::Usage,
    }
}

/// Finds `--color WHEN` in a command line that was not understood as a whole.
fn asked_colors(words: impl Iterator<Item = OsString>) -> Color {
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let value = |at: usize| match words[at].strip_prefix("--color=") {
        Some(value) => Some(value),
        None => words.get(at + 1).filter(|_| words[at] == "--color").map(String::as_str),
    };
    let found = (0..words.len()).find_map(value);
    found.and_then(|value| Color::from_str(value, true).ok()).unwrap_or(Color::Auto)
}

/// Returns clap's words with our code. What was typed is in them, and it may be a URL with a password.
fn mistake(error: &clap::Error) -> String {
    let text = error.render().ansi().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return text;
    }
    let coded = text.replacen("error:", &format!("error[{}]:", Code::USAGE), 1);
    coded.lines().map(|line| plain_between_styles(&mask(line))).collect::<Vec<_>>().join("\n")
}

/// Makes visible what a terminal would obey in a line, but for colours: those are clap's own.
fn plain_between_styles(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut made = plain(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';').filter(|&end| part[end..].starts_with('m'));
        let (style, text) = part.split_at(end.map_or(0, |end| end + 1));
        let begins = if style.is_empty() { plain("\u{1b}[") } else { "\u{1b}[".to_owned() };
        made.extend([begins.as_str(), style, &plain(text)]);
    }
    made
}

/// Returns the tenant of this name.
///
/// # Errors
/// `MT110` when there is none, `MT114` for a pattern.
fn named_one<'f>(fleet: &'f Fleet, name: &str) -> Result<&'f Tenant, Diagnostic> {
    fleet.named(name).map_err(|nobody| match fleet.select(&Selection::of_one(name)) {
        Ok(_) => one_tenant(name),
        Err(_) => nobody,
    })
}

/// Makes the diagnostic of a pattern where one tenant is meant.
fn one_tenant(pattern: &str) -> Diagnostic {
    Diagnostic::new(Code::USAGE, format!("`{pattern}` is no tenant's name"))
        .state("nothing was touched")
        .hint("name one tenant as tenants.yaml does")
}

/// Makes the diagnostic of a file that cannot be read or written.
fn unusable(what: &str, path: &std::path::Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new(Code::FILE_UNREADABLE, format!("cannot {what} {}", path.display())).cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_commands_no_terminal_and_claps_colours_stay() {
        assert_eq!(
            plain_between_styles("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m '\u{1b}[2Jx\u{9b}1A\u{1b}]0;t\u{7}\rok'"),
            "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m '\\u{1b}[2Jx\\u{9b}1A\\u{1b}]0;t\\u{7}\\rok'"
        );
    }

    fn mistake_of(line: &str) -> String {
        let words = std::iter::once("mtmigrate").chain(line.split_whitespace());
        let error = Cli::try_parse_from(words).expect_err("not understood");
        anstream::adapter::strip_str(&mistake(&error)).to_string()
    }

    #[test]
    fn a_mistake_on_the_command_line_has_our_code_and_a_way_out() {
        let text = mistake_of("upp");
        assert!(text.starts_with("error[MT114]: unrecognized subcommand 'upp'\n"), "{text}");
        assert!(text.contains("a similar subcommand exists: 'up'"), "{text}");
        assert!(text.contains("try '--help'"), "{text}");
    }

    #[test]
    fn a_password_that_was_typed_at_the_wrong_place_is_not_shown_again() {
        let text = mistake_of("status postgres://u:hunter2@h/d");
        assert!(text.contains("postgres://u:") && !text.contains("hunter2"), "{text}");
    }
}
