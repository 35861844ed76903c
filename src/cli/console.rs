//! The two streams of the process: stdout for data, stderr for talk.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use crate::error::{Code, Diagnostic, Paint, Severity, render_all};

use super::args::{Color, Global, LogFormat};
use super::line::Line;

/// Where a verb prints. Lines of talk never run into the progress line. A clone is another handle of it.
#[derive(Clone)]
pub(super) struct Console {
    quiet: bool,
    verbose: u8,
    log_format: LogFormat,
    paint_out: Paint,
    paint_err: Paint,
    line: Line,
}

/// What is shown of a run while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// A line that is rewritten.
    Live,
    /// Plain lines, few of them.
    Sparse,
    /// Nothing.
    Silent,
}

impl Console {
    /// Makes the console that the options ask for, and tells the colours to whoever writes.
    pub fn new(global: &Global) -> Self {
        choose_colors(global.color);
        Self {
            quiet: global.quiet,
            verbose: global.verbose,
            log_format: global.log_format,
            paint_out: paint(AutoStream::choice(&io::stdout())),
            paint_err: paint(AutoStream::choice(&io::stderr())),
            line: Line::default(),
        }
    }

    /// Returns how text for stdout is painted.
    pub fn paint_out(&self) -> Paint {
        self.paint_out
    }

    /// Returns how text for stderr is painted.
    pub fn paint_err(&self) -> Paint {
        self.paint_err
    }

    /// Returns how many columns a table on stdout may have, if that is a terminal.
    pub fn width(&self) -> Option<usize> {
        let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
        Some(width.0.into())
    }

    /// Returns whether only errors are said.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Returns how often `-v` was given.
    pub fn verbose(&self) -> u8 {
        self.verbose
    }

    /// Returns whether every line of stderr is an object.
    pub fn json_talk(&self) -> bool {
        self.log_format == LogFormat::Json
    }

    /// Returns what is shown of a run while it goes on.
    pub fn pace(&self) -> Pace {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match (self.quiet || self.json_talk(), io::stderr().is_terminal() && !dumb) {
            (true, _) => Pace::Silent,
            (false, true) => Pace::Live,
            (false, false) => Pace::Sparse,
        }
    }

    /// Returns the line at the terminal's bottom; whoever writes to stderr does so above it.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Writes data to stdout. A reader that went away has read enough.
    ///
    /// # Errors
    /// `MT101` when it cannot be written.
    pub fn data(&self, text: &str) -> Result<(), Diagnostic> {
        self.data_by(|out| write_lines(out, text))
    }

    /// [`Console::data`] that is written as it is made: what a report of a large fleet says need not fit into memory.
    ///
    /// # Errors
    /// `MT101` when it cannot be written.
    pub fn data_by(&self, writes: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Diagnostic> {
        self.line.above(|| write_out(writes)).map_err(|error| {
            Diagnostic::new(Code::FILE_UNREADABLE, "cannot write to standard output").cause(error.to_string())
        })
    }

    /// Says a line on stderr, not with `-q`.
    pub fn say(&self, line: &str) {
        match (self.json_talk(), self.quiet) {
            (true, _) => tracing::info!(target: "mtmigrate", "{line}"),
            (false, false) => self.talk(line),
            (false, true) => {}
        }
    }

    /// Says what must not be missed, with `-q` too.
    pub fn notice(&self, line: &str) {
        match self.json_talk() {
            true => tracing::error!(target: "mtmigrate", "{line}"),
            false => self.talk(line),
        }
    }

    /// Says diagnostics on stderr; warnings not with `-q`.
    pub fn tell(&self, all: &[Diagnostic]) {
        if self.json_talk() {
            return all.iter().for_each(super::log::diagnostic);
        }
        let heard = |one: &&Diagnostic| one.severity() == Severity::Error || !self.quiet;
        let all: Vec<Diagnostic> = all.iter().filter(heard).cloned().collect();
        if !all.is_empty() {
            self.talk(&render_all(&all, self.paint_err));
        }
    }

    /// Writes text to stderr above the progress line.
    pub fn talk(&self, text: &str) {
        self.line.above(|| write_err(text));
    }
}

/// Tells the colours to whoever writes to the two streams.
pub(super) fn choose_colors(color: Color) {
    let choice = match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Lets something be written to stdout. A broken pipe is no failure.
pub(super) fn write_out(writes: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    let written = writes(&mut out).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes text and a line feed to stderr. There is nobody to tell that it failed.
pub(super) fn write_err(text: &str) {
    write_lines(&mut anstream::stderr().lock(), text).ok();
}

/// Writes text and a line feed.
pub(super) fn write_lines(stream: &mut (impl Write + ?Sized), text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    if text.is_empty() || text.ends_with('\n') { Ok(()) } else { stream.write_all(b"\n") }
}

fn paint(choice: ColorChoice) -> Paint {
    match choice {
        ColorChoice::Never => Paint::Plain,
        _ => Paint::Ansi,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_with_one_line_feed() {
        for (text, written) in [("a", "a\n"), ("a\n", "a\n"), ("", ""), ("a\nb", "a\nb\n")] {
            let mut stream = Vec::new();
            write_lines(&mut stream, text).unwrap();
            assert_eq!(String::from_utf8(stream).unwrap(), written);
        }
    }
}
