//! A file's bytes → its text: UTF-8 without byte order mark, NUL or CRLF.

use crate::error::{Code, Diagnostic, Place, Result};

/// The byte order mark, as a character of the text.
pub(super) const BOM: char = '\u{feff}';

/// A file's text.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Without byte order mark; lines ended by a line feed. A lone carriage return stays.
    pub sql: String,
    /// As the file has it, where that differs.
    pub raw: Option<String>,
}

/// Reads bytes as a changeset's text.
///
/// # Errors
/// `MT122` for anything but UTF-8 and for a NUL, with the byte's offset: psql stops silently at a NUL, and servers
/// disagree about other encodings.
pub(super) fn decode(file: &str, bytes: Vec<u8>) -> Result<Decoded> {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes[..] {
        let refused = Diagnostic::new(Code::NOT_UTF8, format!("{file} is UTF-16: its byte order mark says so"));
        return Err(refused.at(Place::file(file)).hint(AS_UTF8));
    }
    let raw = match String::from_utf8(bytes) {
        Ok(raw) => raw,
        Err(e) => return Err(not_utf8(file, e.utf8_error().valid_up_to(), e.as_bytes())),
    };
    if let Some(offset) = raw.find('\0') {
        let refused = Diagnostic::new(Code::NOT_UTF8, format!("{file} holds a NUL (byte offset {offset})"));
        let hint = if raw.matches('\0').count() * 4 > raw.len() { AS_UTF8 } else { "remove the NUL" };
        return Err(refused.at(place(file, raw.as_bytes(), offset)).hint(hint));
    }
    let sql = raw.strip_prefix(BOM).unwrap_or(&raw).replace("\r\n", "\n");
    let raw = (sql != raw).then_some(raw);
    Ok(Decoded { sql, raw })
}

const AS_UTF8: &str = "save the file as UTF-8";

fn not_utf8(file: &str, offset: usize, bytes: &[u8]) -> Diagnostic {
    let byte = bytes.get(offset).copied().unwrap_or_default();
    Diagnostic::new(Code::NOT_UTF8, format!("{file} is not UTF-8: byte {byte:#04x} at offset {offset}"))
        .at(place(file, bytes, offset))
        .hint(AS_UTF8)
}

/// Points at a byte; what comes before it is UTF-8.
fn place(file: &str, bytes: &[u8], offset: usize) -> Place {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    Place::in_text(file, &String::from_utf8_lossy(bytes), line, column, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_checkout_gives_the_same_text() {
        for bytes in ["a;\nb\rc;\n", "a;\r\nb\rc;\r\n", "\u{feff}a;\r\nb\rc;\r\n", "\u{feff}a;\nb\rc;\n"] {
            assert_eq!(decode("f", bytes.into()).unwrap().sql, "a;\nb\rc;\n");
        }
        assert_eq!(decode("f", "a;\r\n".into()).unwrap().raw.as_deref(), Some("a;\r\n"));
        assert_eq!(decode("f", "a;\n".into()).unwrap().raw, None);
    }

    #[test]
    fn what_is_not_utf8_is_refused_with_the_bytes_offset_line_and_column() {
        for (bytes, message, at) in [
            (&b"a;\n-- Gr\xf6\xdfe\n"[..], "f is not UTF-8: byte 0xf6 at offset 8", "f:2:6"),
            (b"a;\n\nb\0c", "f holds a NUL (byte offset 5)", "f:3:2"),
            (b"\xff\xfea\0", "f is UTF-16: its byte order mark says so", "f"),
            (b"\xc3", "f is not UTF-8: byte 0xc3 at offset 0", "f:1:1"),
        ] {
            let refused = decode("f", bytes.into()).unwrap_err();
            assert_eq!(refused.code(), Code::NOT_UTF8);
            assert_eq!((refused.message(), refused.place().unwrap().to_string().as_str()), (message, at));
        }
    }
}
