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
pub(super) struct Line(Arc<Mutex<Option<String>>>);

impl Line {
    /// Shows this text, cut at the terminal's width, in place of what is shown.
    pub fn show(&self, text: &str) {
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(USUAL_WIDTH, |(width, _)| width.0.into());
        let text = cut(text, width.saturating_sub(1));
        let mut shown = self.held();
        if shown.as_ref() != Some(&text) {
            write(&format!("{WIPE}{text}"));
            *shown = Some(text);
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        if self.held().take().is_some() {
            write(WIPE);
        }
    }

    /// Lets something be written, on either stream, as if the line were not there. It must not write by way of us.
    pub fn above<T>(&self, writes: impl FnOnce() -> T) -> T {
        let shown = self.held();
        if shown.is_some() {
            write(WIPE);
        }
        let written = writes();
        if let Some(text) = &*shown {
            write(text);
        }
        written
    }

    fn held(&self) -> MutexGuard<'_, Option<String>> {
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
