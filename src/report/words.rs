//! Durations, times and ids as a person reads them, and the colours of good and bad.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use time::{OffsetDateTime, UtcOffset};

use crate::error::{Paint, plain};

/// How much a word asks for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Somebody must act.
    Alarm,
    /// Something is left to do.
    Caution,
    /// All is well.
    Good,
    /// Nothing to say.
    Quiet,
}

impl Tone {
    /// Returns the terminal style: bold red, yellow, green, none.
    pub fn style(self) -> Style {
        match self {
            Self::Alarm => Style::new().bold().fg_color(Some(AnsiColor::Red.into())),
            Self::Caution => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Self::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Self::Quiet => Style::new(),
        }
    }

    /// Returns the text in this tone.
    pub fn paint(self, text: &str, paint: Paint) -> String {
        let style = self.style();
        match paint {
            Paint::Ansi => format!("{style}{text}{style:#}"),
            Paint::Plain => text.to_owned(),
        }
    }
}

/// Returns a duration in at most two units: `850 ms`, `12.3 s`, `2 min 03 s`, `1 h 02 min`.
pub(super) fn took(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{whole}.{} s", duration.subsec_millis() / 100),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Returns a time in UTC to the minute: `2026-11-21 09:30`.
pub(super) fn minute(at: OffsetDateTime) -> String {
    let (at, format) = (utc(at), time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]"));
    at.format(format).unwrap_or_else(|_| at.to_string())
}

/// Returns a time in UTC to the second: `2026-11-21 09:30:00`.
pub(super) fn second(at: OffsetDateTime) -> String {
    let (at, format) = (utc(at), time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]"));
    at.format(format).unwrap_or_else(|_| at.to_string())
}

/// Returns a time in UTC, unless it leaves the calendar there: times are read back from databases.
pub(super) fn utc(at: OffsetDateTime) -> OffsetDateTime {
    at.checked_to_offset(UtcOffset::UTC).unwrap_or(at)
}

/// Returns the part of a run id that tells runs apart: a UUIDv7 begins with its time in milliseconds, 13 characters.
pub(super) fn short_id(run_id: &str) -> String {
    run_id.chars().take(13).collect()
}

/// Returns a stranger's text on one printable line.
pub(super) fn on_a_line(text: &str) -> String {
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Returns a stranger's text as GitHub shows it unchanged, in one cell: no markup, no markup's end, no new line.
///
/// <https://github.github.com/gfm/#backslash-escapes>
pub(super) fn escaped(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '\n' => made.push(' '),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' => made.extend(['\\', c]),
            c => made.push(c),
        }
    }
    made
}

/// Returns a number with its thousands apart: `2,998`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut made = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && idx % 3 == first {
            made.push(',');
        }
        made.push(digit);
    }
    made
}

/// Returns a number of tenants: `1 tenant`, `2,998 tenants`.
pub(super) fn tenants(number: usize) -> String {
    format!("{} tenant{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Breaks a line between words so that it fits the width; what follows stands under `indent` spaces. Without a width
/// nothing is broken. A character beyond ASCII counts as two, the most that one takes.
pub(super) fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let columns = |word: &str| word.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    let mut made = String::with_capacity(text.len());
    let mut taken = 0;
    for (idx, word) in text.split(' ').enumerate() {
        let wide = columns(word);
        match idx {
            0 => {}
            _ if taken > indent && taken + 1 + wide > width => {
                made.push('\n');
                made.extend(std::iter::repeat_n(' ', indent));
                taken = indent;
            }
            _ => {
                made.push(' ');
                taken += 1;
            }
        }
        made.push_str(word);
        taken += wide;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_in_the_units_that_matter() {
        let told = [0, 850, 12_349, 59_999, 123_000, 3_720_000].map(|ms| took(Duration::from_millis(ms)));
        assert_eq!(told, ["0 ms", "850 ms", "12.3 s", "59.9 s", "2 min 03 s", "1 h 02 min"]);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0, 12, 998, 1000, 2_998, 1_234_567].map(thousands),
            ["0", "12", "998", "1,000", "2,998", "1,234,567"]
        );
        assert_eq!((tenants(1), tenants(2_998)), ("1 tenant".into(), "2,998 tenants".into()));
    }

    #[test]
    fn a_long_line_is_broken_between_words_and_never_inside_one() {
        assert_eq!(wrapped("one two three four", Some(9), 2), "one two\n  three\n  four");
        assert_eq!(wrapped("one two", None, 2), "one two");
        assert_eq!(wrapped("a-word-that-is-long b", Some(5), 2), "a-word-that-is-long\n  b");
        assert_eq!(wrapped("表表 表", Some(6), 1), "表表\n 表");
        assert_eq!(wrapped("  - x y", Some(80), 4), "  - x y");
    }

    #[test]
    fn a_time_is_told_in_utc_whatever_its_offset() {
        let at = time::macros::datetime!(2026-11-21 10:30:15 +1);
        assert_eq!((minute(at), second(at)), ("2026-11-21 09:30".into(), "2026-11-21 09:30:15".into()));
    }
}
