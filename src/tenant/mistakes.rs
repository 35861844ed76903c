//! Gathers the mistakes of one file, so that a person mends them all in one go.

use super::locate::{Located, Locator, Path};
use crate::error::{Code, Diagnostic, Place};

/// The most mistakes that are shown; the others are counted.
const SHOWN: usize = 20;

/// The most that is read to find their places, in bytes: about two seconds. Only a very long file comes so far.
const READ: usize = 48 * 1024 * 1024;

/// The mistakes found so far.
pub(super) struct Mistakes<'t> {
    /// The file as the user named it.
    file: String,
    locator: Locator<'t>,
    found: Vec<Diagnostic>,
    /// How many more there are.
    more: usize,
}

impl<'t> Mistakes<'t> {
    /// Begins with none in a file's text.
    pub(super) fn new(file: String, text: &'t str) -> Self {
        Self { file, locator: Locator::new(text), found: Vec::new(), more: 0 }
    }

    /// Adds a mistake at a node. It is made only if it will be shown: its words and its place cost time.
    pub(super) fn add(&mut self, at: Path<'_>, make: impl FnOnce(&Locator<'_>) -> Diagnostic) {
        if self.found.len() == SHOWN || self.locator.bytes_read() > READ {
            self.more += 1;
            return;
        }
        let place = match self.locator.find(at) {
            Some(Located { line, column, len }) => Place::in_text(&self.file, self.locator.text(), line, column, len),
            None => Place::file(&self.file),
        };
        self.found.push(make(&self.locator).at(place));
    }

    /// Returns the number of mistakes, shown or not.
    pub(super) fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// Returns the mistakes in the file's order, or nothing.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|found| found.place().map(|place| (place.line, place.column)));
        if self.more > 0 {
            let message = format!("and {} more mistakes in {}", self.more, self.file);
            let and_more = Diagnostic::new(Code::BAD_VALUE, message).hint("mend these first, then look again");
            self.found.push(and_more);
        }
        self.found
    }
}
