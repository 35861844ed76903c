//! A table without borders, for a terminal: it survives copy and paste, and wraps to a width if it is given one.

use comfy_table::{ContentArrangement, Table, presets};
use unicode_width::UnicodeWidthStr;

use crate::error::{Paint, plain, short};

use super::words::Tone;

/// Stands before a cell's text in the table and becomes its style afterwards: the library counts these characters as
/// no width at all, whereas it would count an escape sequence as text. [`printable`] keeps strangers from using them.
const MARKS: [(Tone, char); 3] = [(Tone::Alarm, '\u{2061}'), (Tone::Caution, '\u{2062}'), (Tone::Good, '\u{2063}')];

/// Ends a styled text.
const END: char = '\u{2060}';

/// The width between two columns.
const GAP: usize = 2;

/// The longest text of a column, in characters: the library counts widths in 16 bits.
const CELL_LIMIT: usize = 1_000;

/// The narrowest column of notes; where less is left, each note has a line of its own.
const NARROWEST: usize = 24;

/// Stands in a cell where there is nothing to say.
pub(super) const NONE: &str = "-";

/// How far what stands below its row is indented.
const INDENT: usize = 4;

/// A column of a [`Grid`] but for the notes. None is ever wrapped: names are there to be copied.
#[derive(Clone, Copy)]
pub(super) enum Column {
    /// Aligned to the left.
    Text(&'static str),
    /// Aligned to the right.
    Number(&'static str),
}

impl Column {
    /// Returns its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Text(title) | Self::Number(title) => title,
        }
    }
}

/// A table that is being made: columns, one of them coloured, and at the end of each row a note of any length.
pub(super) struct Grid<'c> {
    columns: &'c [Column],
    /// The title of the notes.
    notes: &'static str,
    paint: Paint,
    /// The texts of all cells and notes, one behind the other: a large fleet has a million of them.
    texts: String,
    /// Where each text ends.
    ends: Vec<usize>,
}

impl<'c> Grid<'c> {
    pub fn new(columns: &'c [Column], notes: &'static str, paint: Paint) -> Self {
        Self { columns, notes, paint, texts: String::new(), ends: Vec::new() }
    }

    /// Adds a row: the texts of its columns, the column and tone of the one that is coloured, and its note.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>, (coloured, tone): (usize, Tone), note: &str) {
        let mark = MARKS.iter().find(|(known, _)| *known == tone && self.paint == Paint::Ansi);
        for (at, text) in cells.into_iter().enumerate() {
            match mark {
                Some((_, mark)) if at == coloured => self.add(&format!("{mark}{}{END}", printable(&text))),
                _ => self.add(&printable(&text)),
            }
        }
        self.add(&printable(note));
    }

    fn add(&mut self, text: &str) {
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
    }

    /// Returns the texts of each row, its note last.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = &str>> {
        let width = self.columns.len() + 1;
        (0..self.ends.len() / width).map(move |row| {
            (row * width..(row + 1) * width).map(|at| {
                let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
                &self.texts[start..self.ends[at]]
            })
        })
    }

    /// Returns the lines, each ended by a line feed, without spaces before it.
    ///
    /// Notes are wrapped to the width; without one nothing is. Columns for which there is no room stand below their row,
    /// with their titles; the first two stay.
    pub fn text(&self, width: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.title().width()).collect();
        for row in self.rows() {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = cell.width().max(*widest);
            }
        }
        let taken: usize = widths.iter().map(|width| width + GAP).sum();
        let notes = match width {
            None => Notes::Beside(usize::MAX),
            Some(width) if width < taken + NARROWEST => Notes::Below(width.saturating_sub(INDENT).max(NARROWEST)),
            Some(width) => Notes::Beside(width - taken),
        };
        widths.truncate(match width {
            None => widths.len(),
            Some(width) => fitting(&widths, width),
        });
        let mut made = String::new();
        let titles = self.columns.iter().take(widths.len()).map(|column| column.title());
        match notes {
            Notes::Below(_) => self.line(&mut made, &widths, titles, &notes),
            Notes::Beside(_) => self.line(&mut made, &widths, titles.chain([self.notes]), &notes),
        }
        for row in self.rows() {
            self.line(&mut made, &widths, row, &notes);
        }
        if self.paint == Paint::Ansi {
            for (tone, mark) in MARKS {
                made = made.replace(mark, &tone.style().render().to_string());
            }
            made = made.replace(END, &anstyle::Reset.render().to_string());
        }
        made
    }

    /// Adds a row's lines.
    fn line<'t>(&self, made: &mut String, widths: &[usize], row: impl Iterator<Item = &'t str>, notes: &Notes) {
        let mut row = row.into_iter();
        for ((column, width), cell) in self.columns.iter().zip(widths).zip(row.by_ref().take(widths.len())) {
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            match column {
                Column::Text(_) => made.extend([cell, &blanks]),
                Column::Number(_) => made.extend([&blanks, cell]),
            }
            made.push_str(&" ".repeat(GAP));
        }
        match notes {
            Notes::Below(room) => {
                end(made);
                let mut titles = self.columns.iter().skip(widths.len()).map(|column| column.title());
                let mut below = String::new();
                for cell in row {
                    let title = titles.next();
                    if cell.is_empty() || (title.is_some() && cell == NONE) {
                        continue;
                    }
                    let before = if below.is_empty() { "" } else { "; " };
                    let between = if title.is_some() { " " } else { "" };
                    below.extend([before, title.unwrap_or_default(), between, cell]);
                }
                if below.is_empty() {
                    return;
                }
                for part in wrapped(&below, *room) {
                    made.extend([&" ".repeat(INDENT), part.as_str()]);
                    end(made);
                }
            }
            Notes::Beside(room) => {
                let note = row.next().unwrap_or_default();
                if note.width() <= *room {
                    made.push_str(note);
                    return end(made);
                }
                let taken: usize = widths.iter().map(|width| width + GAP).sum();
                for (at, part) in wrapped(note, *room).iter().enumerate() {
                    if at > 0 {
                        made.push_str(&" ".repeat(taken));
                    }
                    made.push_str(part);
                    end(made);
                }
            }
        }
    }
}

/// Where the notes are.
enum Notes {
    /// Behind the other columns, in so many columns of the terminal.
    Beside(usize),
    /// On lines of their own, behind the columns that had no room, in so many columns of the terminal.
    Below(usize),
}

/// Returns how many columns stand beside each other in a width: at least two.
fn fitting(widths: &[usize], width: usize) -> usize {
    let mut taken = 0;
    let fit = widths.iter().take_while(|column| {
        taken += **column + GAP;
        taken <= width + GAP
    });
    fit.count().max(2).min(widths.len())
}

/// Ends a line, without spaces before its end.
fn end(text: &mut String) {
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

/// Breaks a note between words, and long words where they must be.
fn wrapped(note: &str, width: usize) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.add_row([note]);
    table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 0)));
    table.lines().collect()
}

/// Returns a stranger's text as it can stand in a cell: one line, nothing that a terminal obeys, no mark of ours.
fn printable(text: &str) -> String {
    let text = short(text, CELL_LIMIT);
    let mut made = String::with_capacity(text.len());
    for c in plain(&text).chars() {
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

    const COLUMNS: [Column; 2] = [Column::Text("name"), Column::Number("behind")];

    fn rows(paint: Paint, width: Option<usize>, names: &[&str]) -> String {
        let mut grid = Grid::new(&COLUMNS, "note", paint);
        for name in names {
            grid.row([(*name).into(), "12".into()], (1, Tone::Alarm), "one two three four five six");
        }
        grid.text(width)
    }

    #[test]
    fn columns_stand_under_each_other_whatever_script_a_name_is_in() {
        assert_eq!(
            rows(Paint::Plain, None, &["acme", "株式会社", "Größe"]),
            "name      behind  note\n\
             acme          12  one two three four five six\n\
             株式会社      12  one two three four five six\n\
             Größe         12  one two three four five six\n"
        );
    }

    #[test]
    fn notes_wrap_to_the_width_and_stand_below_their_row_where_too_little_is_left() {
        assert_eq!(
            rows(Paint::Plain, Some(42), &["株式会社"]),
            "name      behind  note\n株式会社      12  one two three four five\n                  six\n"
        );
        let narrow = "name      behind\n株式会社      12\n    one two three four five six\n";
        assert!([31, 41].iter().all(|width| rows(Paint::Plain, Some(*width), &["株式会社"]) == narrow));
        let narrower = "name      behind\n株式会社      12\n    one two three four five\n    six\n";
        assert!([0, 10, 28].iter().all(|width| rows(Paint::Plain, Some(*width), &["株式会社"]) == narrower));
    }

    #[test]
    fn columns_without_room_stand_below_their_row_with_their_titles() {
        let columns = ["name", "state", "server", "schema", "labels"].map(Column::Text);
        let mut grid = Grid::new(&columns, "from", Paint::Plain);
        let row = |cells: [&str; 5]| cells.map(str::to_owned);
        grid.row(row(["acme", "active", "a server", "acme_production", "eu, prod"]), (1, Tone::Good), "line 7");
        grid.row(row(["globex", "active", "us", NONE, NONE]), (1, Tone::Good), "line 8");
        let narrow = "name    state   server\n\
                      acme    active  a server\n    schema acme_production;\n    labels eu, prod; line 7\n\
                      globex  active  us\n    line 8\n";
        assert_eq!(grid.text(Some(30)), narrow);
        assert_eq!(grid.text(Some(24)), narrow);
        assert!(grid.text(Some(23)).starts_with("name    state\nacme    active\n    server a server;"));
        assert!(grid.text(None).lines().all(|line| line.ends_with("from") || line.contains("  line ")));
    }

    #[test]
    fn colour_changes_no_column() {
        for width in [Some(20), Some(40), None] {
            let painted = rows(Paint::Ansi, width, &["acme"]);
            assert!(painted.contains("\u{1b}[1m\u{1b}[31m12\u{1b}[0m"), "{painted:?}");
            let bare = painted.replace("\u{1b}[1m\u{1b}[31m", "").replace("\u{1b}[0m", "");
            assert_eq!(bare, rows(Paint::Plain, width, &["acme"]));
        }
    }

    #[test]
    fn a_name_neither_breaks_a_line_nor_commands_the_terminal_nor_borrows_a_colour() {
        let text = rows(Paint::Ansi, None, &["a\nb\u{1b}[2J\u{2061}"]);
        assert!(text.contains("a\\nb\\u{1b}[2J\\u{2061}"), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn a_name_beyond_reason_is_cut_and_says_so() {
        let text = rows(Paint::Plain, Some(80), &[&"n".repeat(70_000), ""]);
        let name = format!("\n{}…      12\n    one", "n".repeat(CELL_LIMIT - 1));
        assert!(text.contains(&name) && text.lines().count() == 5, "{text}");
    }
}
