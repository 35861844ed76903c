//! Makes text from strangers (servers, names, files) safe to print.

/// Returns the text with every control character but the line feed made visible, so that no terminal obeys it.
///
/// What is not seen is made visible too: bidirectional marks reorder what a person reads, and characters without
/// width make two names look like one.
pub fn plain(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => made.push(c),
            '\t' => made.push(' '),
            '\r' => made.push_str("\\r"),
            c if is_unseen(c) => made.extend(c.escape_unicode()),
            c => made.push(c),
        }
    }
    made
}

/// Returns a JSON text with what [`plain`] makes visible as escapes: a reader gets the same data.
///
/// The text's own line feeds stay. JSON asks for escapes of the first 32 control characters only, and terminals obey
/// others. <https://www.rfc-editor.org/rfc/rfc8259#section-7>
pub fn plain_json(json: String) -> String {
    let special = |c: char| is_unseen(c) && !matches!(c, '\n' | '\r' | '\t');
    if !json.contains(special) {
        return json;
    }
    let mut made = String::with_capacity(json.len());
    for c in json.chars() {
        match special(c) {
            true => made.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            false => made.push(c),
        }
    }
    made
}

/// Returns whether a character commands a terminal, or is not seen and changes how others are.
///
/// <https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns at most `limit` characters of the text, with an ellipsis if some were left out.
pub fn short(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut made: String = text.chars().take(limit.saturating_sub(1)).collect();
    made.push('…');
    made
}

/// Returns the names, comma separated, at most `limit` of them and the number of the rest.
pub fn names<'n>(all: impl IntoIterator<Item = &'n str>, limit: usize) -> String {
    let all: Vec<&str> = all.into_iter().collect();
    let shown = all.iter().take(limit).map(|name| plain(name)).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(limit) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}

/// Returns the number with its noun: `1 tenant`, `3 tenants`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_escape_in_a_servers_message_is_shown_and_not_obeyed() {
        assert_eq!(plain("a\u{1b}[31mred\rb\n"), "a\\u{1b}[31mred\\rb\n");
        assert_eq!(plain("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(plain("\u{202e}txt"), "\\u{202e}txt");
        assert_eq!(plain("ac\u{200b}me\u{feff}\u{e0041}"), "ac\\u{200b}me\\u{feff}\\u{e0041}");
        assert_eq!(plain("Größe 株式会社 é\u{301}"), "Größe 株式会社 é\u{301}");
    }

    #[test]
    fn json_says_the_same_without_a_character_that_a_terminal_obeys() {
        let text = "a\u{9b}31m\u{7f}\u{202e}\u{200b}\u{e0041}ü";
        let json = plain_json(serde_json::to_string_pretty(&[text]).unwrap());
        assert_eq!(json, "[\n  \"a\\u009b31m\\u007f\\u202e\\u200b\\udb40\\udc41ü\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(names(["a", "b"], 2), "a, b");
        assert_eq!(names(["a", "b", "c"], 1), "a and 2 more");
        assert_eq!((count(1, "tenant"), count(0, "tenant")), ("1 tenant".into(), "0 tenants".into()));
    }

    #[test]
    fn a_long_text_is_cut_at_characters_and_says_so() {
        assert_eq!(short("Größe", 5), "Größe");
        assert_eq!(short("Größen", 5), "Größ…");
    }
}
