//! A table without borders, for a terminal: it survives copy and paste, and wraps to a width if it is given one.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use crate::error::{Paint, plain};

use super::words::Tone;

/// Stands before a cell's text in the table and becomes its style afterwards: the library counts these characters as
/// no width at all, whereas it would count an escape sequence as text. [`printable`] keeps strangers from using them.
const MARKS: [(Tone, char); 3] = [(Tone::Alarm, '\u{2061}'), (Tone::Caution, '\u{2062}'), (Tone::Good, '\u{2063}')];

/// Ends a styled text.
const END: char = '\u{2060}';

/// The width between two columns.
const GAP: u16 = 2;

/// A column of a [`Grid`].
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Text that never wraps.
    Fixed(&'static str),
    /// Numbers: never wrapped, aligned to the right.
    Number(&'static str),
    /// Text that wraps where the table is too wide.
    Wrapped(&'static str),
}

/// A table that is being made.
pub(super) struct Grid {
    table: Table,
    paint: Paint,
}

impl Grid {
    /// Makes a table with these columns. With a width it wraps to it, else not at all.
    pub fn new(columns: &[Column], paint: Paint, width: Option<usize>) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(columns.iter().map(|column| match column {
            Column::Fixed(title) | Column::Number(title) | Column::Wrapped(title) => *title,
        }));
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        for (made, column) in table.column_iter_mut().zip(columns) {
            made.set_padding((0, GAP));
            match column {
                Column::Wrapped(_) => {}
                Column::Fixed(_) => {
                    made.set_constraint(ColumnConstraint::ContentWidth);
                }
                Column::Number(_) => {
                    made.set_constraint(ColumnConstraint::ContentWidth).set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self { table, paint }
    }

    /// Adds a row: the texts of its cells, and the column and tone of the one that is coloured.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>, (coloured, tone): (usize, Tone)) {
        let mark = MARKS.iter().find(|(known, _)| *known == tone && self.paint == Paint::Ansi);
        let cells = cells.into_iter().enumerate().map(|(i, text)| match mark {
            Some((_, mark)) if i == coloured => format!("{mark}{}{END}", printable(&text)),
            _ => printable(&text),
        });
        self.table.add_row(cells.collect::<Vec<_>>());
    }

    /// Returns the lines, each ended by a line feed, without spaces before it.
    pub fn text(&self) -> String {
        let mut text = self.table.trim_fmt();
        if self.paint == Paint::Ansi {
            for (tone, mark) in MARKS {
                text = text.replace(mark, &tone.style().render().to_string());
            }
            text = text.replace(END, &anstyle::Reset.render().to_string());
        }
        text.push('\n');
        text
    }
}

/// Returns a stranger's text as it can stand in a cell: one line, nothing that a terminal obeys, no mark of ours.
fn printable(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '\n' => made.push_str("\\n"),
            '\u{2060}'..='\u{2064}' => made.extend(c.escape_unicode()),
            c => made.push(c),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::Wrapped("name"), Column::Number("behind"), Column::Wrapped("note")];

    fn rows(paint: Paint, width: Option<usize>, names: &[&str]) -> String {
        let mut grid = Grid::new(&COLUMNS, paint, width);
        for name in names {
            grid.row([(*name).into(), "12".into(), "one two three".into()], (1, Tone::Alarm));
        }
        grid.text()
    }

    #[test]
    fn columns_stand_under_each_other_whatever_script_a_name_is_in() {
        assert_eq!(
            rows(Paint::Plain, None, &["acme", "株式会社", "Größe"]),
            "name      behind  note\n\
             acme          12  one two three\n\
             株式会社      12  one two three\n\
             Größe         12  one two three\n"
        );
    }

    #[test]
    fn a_width_wraps_the_columns_that_may() {
        let text = rows(Paint::Plain, Some(24), &["acme"]);
        assert_eq!(text, "name  behind  note\nacme      12  one two\n              three\n");
    }

    #[test]
    fn colour_changes_no_column() {
        let painted = rows(Paint::Ansi, Some(40), &["acme"]);
        assert!(painted.contains("\u{1b}[1m\u{1b}[31m12\u{1b}[0m  one"), "{painted:?}");
        let bare = painted.replace("\u{1b}[1m\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(bare, rows(Paint::Plain, Some(40), &["acme"]));
    }

    #[test]
    fn a_name_neither_breaks_a_line_nor_commands_the_terminal_nor_borrows_a_colour() {
        let text = rows(Paint::Ansi, None, &["a\nb\u{1b}[2J\u{2061}"]);
        assert!(text.contains("a\\nb\\u{1b}[2J\\u{2061}"), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }
}
