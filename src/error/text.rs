//! Makes text from strangers (servers, names, files) safe to print.

/// Returns the text with every control character but the line feed made visible, so that no terminal obeys it.
///
/// Bidirectional overrides are made visible too: they reorder what a person reads.
pub fn plain(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => made.push(c),
            '\t' => made.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => made.extend(c.escape_unicode()),
            c if c.is_control() => made.extend(c.escape_default()),
            c => made.push(c),
        }
    }
    made
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
        assert_eq!(plain("\u{202e}txt"), "\\u{202e}txt");
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
