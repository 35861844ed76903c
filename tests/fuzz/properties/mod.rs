//! What holds for any input: shared by the fuzz targets and by the test that runs their corpora.
//!
//! Each function takes one input and panics where something does not hold.

pub mod changeset;
pub mod sql;
pub mod tenants;

use mtmigrate::error::{Diagnostic, Paint, render};

/// Returns line and column, from 1, of a byte of the text; counted here once more, by other means.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before: Vec<&str> = text[..offset].split('\n').collect();
    (before.len(), before.last().map_or(0, |line| line.chars().count()) + 1)
}

/// A diagnostic points into the file that it is about, and a terminal obeys nothing in it.
fn assert_sound(found: &Diagnostic, text: &str) {
    if let Some(place) = found.place().filter(|place| place.line > 0) {
        // Where a text ends with a line feed, its end is a line of its own.
        let line = text.split('\n').nth(place.line - 1);
        let line = line.unwrap_or_else(|| panic!("{place} is behind the end: {found:?}"));
        assert!(place.column <= line.chars().count() + 1, "{place} is behind its line's end: {found:?}");
    }
    let shown = render(found, Paint::Plain);
    let obeyed =
        |c: &char| (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert_eq!(shown.chars().find(obeyed), None, "{shown:?}");
    assert!(!found.message().is_empty());
}
