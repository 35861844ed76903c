//! The line at the terminal's bottom that is rewritten while a run goes on.
//!
//! The cursor stays at the line's end: what the terminal itself echoes there, `^C` above all, is wiped with the line.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// To the line's start, and wipe it. Every terminal but a dumb one knows it.
const WIPE: &str = "\r\u{1b}[K";

/// The columns where the width is not known.
const USUAL_WIDTH: usize = 80;

/// One line on stderr, shown or not; a clone is another handle of it.
#[derive(Clone, Default)]
pub(super) struct Line(Arc<Mutex<Bottom>>);

/// What stands at the bottom.
#[derive(Default)]
struct Bottom {
    /// The line, if it is shown.
    line: Option<String>,
    /// Whether a question waits for its answer: its line has no end yet.
    asks: bool,
}

impl Bottom {
    /// Ends the line of a question that was not answered: what is written next stands below it.
    fn end_question(&mut self) {
        if std::mem::take(&mut self.asks) {
            write("\n");
        }
    }
}

impl Line {
    /// Writes a question; the cursor stays behind it until [`Line::answered`], or until something else is written.
    pub fn ask(&self, question: &str) {
        let mut bottom = self.held();
        bottom.end_question();
        if bottom.line.take().is_some() {
            write(WIPE);
        }
        write(question);
        bottom.asks = true;
    }

    /// Notes that the question's line was ended by whoever typed the answer.
    pub fn answered(&self) {
        self.held().asks = false;
    }

    /// Shows this text, cut at the terminal's width, in place of what is shown.
    pub fn show(&self, text: &str) {
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(USUAL_WIDTH, |(width, _)| width.0.into());
        let text = cut(text, width.saturating_sub(1));
        let mut bottom = self.held();
        bottom.end_question();
        if bottom.line.as_ref() != Some(&text) {
            write(&format!("{WIPE}{text}"));
            bottom.line = Some(text);
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        if self.held().line.take().is_some() {
            write(WIPE);
        }
    }

    /// Lets something be written, on either stream, as if the line were not there. It must not write by way of us.
    pub fn above<T>(&self, writes: impl FnOnce() -> T) -> T {
        let mut bottom = self.held();
        bottom.end_question();
        if bottom.line.is_some() {
            write(WIPE);
        }
        let written = writes();
        if let Some(text) = &bottom.line {
            write(text);
        }
        written
    }

    fn held(&self) -> MutexGuard<'_, Bottom> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to stderr; there is nobody to tell that it failed.
fn write(text: &str) {
    let mut stream = io::stderr().lock();
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush()).ok();
}

/// Cuts a text to this many columns; a character beyond ASCII counts as two, the most that one takes.
fn cut(text: &str, columns: usize) -> String {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += if c.is_ascii() { 1 } else { 2 };
        taken <= columns
    };
    text.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_the_terminal_would_break_it() {
        assert_eq!(cut("short", 79), "short");
        assert_eq!(cut("12345", 4), "1234");
        assert_eq!(cut("表表表", 5), "表表");
        assert_eq!(cut("", 0), "");
    }
}
