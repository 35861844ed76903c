//! Where in a file a diagnostic points.

use super::secret::{mask, mask_quoted};
use super::text::plain;

/// A line of a file, and the characters on it that are meant.
///
/// The excerpt is masked and made printable when the place is made, so that no later rendering can leak a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the user named it, passwords masked.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line's text; empty if it is not known.
    pub excerpt: String,
    /// How many characters are meant; at least 1.
    pub len: usize,
}

/// The longest excerpt that is kept, in characters.
const EXCERPT_LIMIT: usize = 160;

impl Place {
    /// Points at `len` characters from a line and column of `text`, the file's whole text.
    ///
    /// A line or column outside the text gives an empty excerpt.
    pub fn in_text(file: impl Into<String>, text: &str, line: usize, column: usize, len: usize) -> Self {
        let found = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let masked = plain(&mask(found));
        let before: usize = found.chars().take(column.saturating_sub(1)).count();
        let excerpt: String = masked.chars().take(EXCERPT_LIMIT).collect();
        let room = excerpt.chars().count().saturating_sub(before);
        Self { file: mask_quoted(file.into()), line, column: column.max(1), excerpt, len: len.min(room).max(1) }
    }

    /// Points at a file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: mask_quoted(file.into()), line: 0, column: 0, excerpt: String::new(), len: 1 }
    }

    /// Points from a line and column to the end of that line.
    pub fn rest_of_line(file: impl Into<String>, text: &str, line: usize, column: usize) -> Self {
        let found = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let len = found.trim_end().chars().count().saturating_sub(column.saturating_sub(1));
        Self::in_text(file, text, line, column, len)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{}:{}", self.file, line, self.column),
        }
    }
}
