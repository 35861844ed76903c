//! Gathers the mistakes of one file, so that a person mends them all in one go.

use super::RowOf;
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
    /// The row of a source that is being read.
    row: Option<RowOf>,
}

impl<'t> Mistakes<'t> {
    /// Begins with none in a file's text.
    pub(super) fn new(file: String, text: &'t str) -> Self {
        Self { file, locator: Locator::new(text), found: Vec::new(), more: 0, row: None }
    }

    /// Adds a mistake at a node. It is made only if it will be shown: its words and its place cost time.
    pub(super) fn add(&mut self, at: Path<'_>, make: impl FnOnce(&Locator<'_>) -> Diagnostic) {
        if self.found.len() == SHOWN || self.locator.bytes_read() > READ {
            self.more += 1;
            return;
        }
        let place = self.place(at);
        let made = make(&self.locator).at(place);
        self.found.push(match &self.row {
            Some(row) => made.within(&row.to_string()),
            None => made,
        });
    }

    /// Says which row of a source the next mistakes are of; none for the file itself.
    pub(super) fn reading(&mut self, row: Option<RowOf>) {
        self.row = row;
    }

    /// Returns the line of a node, from 1; 0 if it is not found.
    pub(super) fn line(&self, at: Path<'_>) -> usize {
        self.locator.find(at).map_or(0, |found| found.line)
    }

    /// Returns the place of a node.
    pub(super) fn place(&self, at: Path<'_>) -> Place {
        match self.locator.find(at) {
            Some(Located { line, column, len }) => Place::in_text(&self.file, self.locator.text(), line, column, len),
            None => Place::file(&self.file),
        }
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
