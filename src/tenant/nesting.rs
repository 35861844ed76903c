//! Finds brackets that are nested without end, before the parser does.
//!
//! The parser looks at every open bracket for every token, so a text of a million `[` would keep it busy for hours. What
//! is read here is less than YAML: where a bracket may or may not be text, it counts as one that opens.

/// The deepest nesting of `[ ]` and `{ }`. A fleet needs five levels, and the parser itself gives up at 128.
pub(super) const DEEPEST: usize = 100;

/// Returns the byte of the first bracket that is nested too deeply.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > DEEPEST {
                    return Some(at);
                }
                at + 1
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'"' | b'\'' => after_quotes(bytes, at),
            b'#' => end_of_line(bytes, at),
            _ if byte.is_ascii_whitespace() || is_indicator(bytes, at) => at + 1,
            // An anchor, an alias or a tag: a token may begin behind it.
            b'&' | b'*' | b'!' => end_of_word(bytes, at),
            _ => after_plain(bytes, at, depth > 0),
        };
    }
    None
}

/// Whether a token may begin behind this byte.
fn is_indicator(bytes: &[u8], at: usize) -> bool {
    match bytes[at] {
        b',' | b':' => true,
        b'-' | b'?' => bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace),
        _ => false,
    }
}

fn after_quotes(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 1,
            // Two quotes in a row are one that is text, or a text that begins anew: its end is the same.
            _ if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Where a text without quotes ends: at a comment, at a `:` that ends a key, at its line's end; among brackets at one.
fn after_plain(bytes: &[u8], start: usize, in_brackets: bool) -> usize {
    let blank = |at: usize| bytes.get(at).is_none_or(u8::is_ascii_whitespace);
    let ends = |at: &usize| match bytes[*at] {
        b'\n' => true,
        b'#' => blank(*at - 1),
        b':' => blank(*at + 1) || in_brackets,
        b'[' | b']' | b'{' | b'}' | b',' => in_brackets,
        _ => false,
    };
    (start + 1..bytes.len()).find(ends).unwrap_or(bytes.len())
}

fn end_of_line(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |found| start + found)
}

fn end_of_word(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'[' | b']' | b'{' | b'}' | b',');
    bytes[start + 1..].iter().position(ends).map_or(bytes.len(), |found| start + 1 + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_without_end_are_found_at_the_first_that_is_too_deep() {
        for open in ["[", "{a: ", "[ &x ", "- [", "{? [", "[\n", "['', ", "[\"\\\"\", ", "!t [", "{\"[\":["] {
            let brackets = open.matches(['[', '{']).count() - usize::from(open.contains("\"[\""));
            let sound = open.repeat(DEEPEST / brackets);
            assert_eq!(too_deep(&sound), None, "{open:?}");
            let found = too_deep(&open.repeat(DEEPEST + 1));
            assert!(found.is_some_and(|at| at >= sound.len()), "{open:?}: {found:?}");
        }
    }

    #[test]
    fn brackets_in_texts_are_no_nesting() {
        for line in [
            "- { name: \"a[\", url: 'b{{[' }\n",
            "- name: a [b {c\n",
            "- a[b{\n",
            "# [{\n",
            "- x # [\n",
            "- { name: it's, url: \"a\\\"[\" }\n",
            "- 'it''s ['\n",
            "- \"${A:-[}\"\n",
            "- https://h/[\n",
        ] {
            assert_eq!(too_deep(&line.repeat(1_000)), None, "{line:?}");
        }
    }

    #[test]
    fn what_is_nested_and_closed_again_may_come_as_often_as_it_likes() {
        assert_eq!(too_deep(&format!("{}{}\n", "[".repeat(DEEPEST), "]".repeat(DEEPEST)).repeat(50)), None);
    }
}
