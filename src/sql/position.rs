//! Turns byte offsets into lines and columns.

use super::SqlError;

/// Tells line and column (from 1, the column in characters) of a byte offset.
///
/// An offset past the end means the end; one inside a character means that character. Lines end with `\n`.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    Lines::new(text).at(offset)
}

/// Answers [`position`] for offsets that mostly grow, reading the text once.
pub(super) struct Lines<'t> {
    text: &'t str,
    offset: usize,
    line: usize,
    column: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Lines { text, offset: 0, line: 1, column: 1 }
    }

    pub(super) fn at(&mut self, offset: usize) -> (usize, usize) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        if offset < self.offset {
            *self = Lines::new(self.text);
        }
        for byte in &self.text.as_bytes()[self.offset..offset] {
            match byte {
                b'\n' => {
                    self.line += 1;
                    self.column = 1;
                }
                // A continuation byte belongs to the character already counted.
                0x80..=0xBF => {}
                _ => self.column += 1,
            }
        }
        self.offset = offset;
        (self.line, self.column)
    }
}

/// An error before its line and column are known.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(offset: usize, message: impl Into<String>) -> Self {
        Fault { offset, message: message.into() }
    }

    pub(super) fn locate(self, text: &str) -> SqlError {
        let (line, column) = position(text, self.offset);
        SqlError { offset: self.offset, line, column, message: self.message }
    }
}
