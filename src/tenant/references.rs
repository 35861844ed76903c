//! Where references stand in a text of `tenants.yaml`, and which part of a URL they are in: pure parsing.

use std::ops::Range;

use crate::error::{Code, Diagnostic};

/// What stands in `${…}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference<'v> {
    Variable {
        name: &'v str,
        default: Option<&'v str>,
    },
    File(&'v str),
    Command(&'v str),
    /// `$${`, which writes `${`.
    Escape,
}

/// Finds the references and where they stand, in order.
pub(super) fn references(written: &str) -> Result<Vec<(Range<usize>, Reference<'_>)>, Diagnostic> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = written[at..].find("${").map(|offset| at + offset) {
        if start > at && written[..start].ends_with('$') {
            found.push((start - 1..start + 2, Reference::Escape));
            at = start + 2;
            continue;
        }
        let Some(end) = written[start..].find('}').map(|offset| start + offset) else {
            return Err(malformed("`${` has no `}`"));
        };
        found.push((start..end + 1, reference(&written[start + 2..end])?));
        at = end + 1;
    }
    Ok(found)
}

fn reference(inside: &str) -> Result<Reference<'_>, Diagnostic> {
    if let Some(path) = inside.strip_prefix("file:") {
        return if path.is_empty() { Err(malformed("`${file:}` names no file")) } else { Ok(Reference::File(path)) };
    }
    if let Some(line) = inside.strip_prefix("cmd:") {
        return Ok(Reference::Command(line));
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if default.is_some_and(|default| default.contains("${")) {
        return Err(malformed("a default cannot hold another `${…}`"));
    }
    let mut chars = name.chars();
    let begins = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !begins || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(malformed("what stands in `${…}` is no variable's name"));
    }
    Ok(Reference::Variable { name, default })
}

fn malformed(message: &str) -> Diagnostic {
    Diagnostic::new(Code::BAD_VALUE, message)
        .hint("write `${VAR}`, `${VAR:-default}`, `${file:PATH}` or `${cmd:COMMAND}`; `$${` stands for a literal `${`")
}

/// Returns the bytes of the user information that are its password: what stands after the first `:`.
pub(super) fn password(
    written: &str,
    references: &[(Range<usize>, Reference<'_>)],
    user_information: &Range<usize>,
) -> Range<usize> {
    let flat = flat(written, references);
    let colon = flat[user_information.clone()].iter().position(|&byte| byte == b':');
    colon.map_or(0..0, |colon| user_information.start + colon + 1..user_information.end)
}

/// Returns a text's bytes with references that hold no character that means something.
fn flat(written: &str, references: &[(Range<usize>, Reference<'_>)]) -> Vec<u8> {
    let mut flat = written.as_bytes().to_vec();
    for (at, _) in references {
        flat[at.clone()].fill(b'x');
    }
    flat
}

/// Returns the bytes of a URL template that are its user information: what stands between `://` and the `@` before
/// the host. References count as opaque, whatever characters their defaults hold. SQLite URLs have none.
pub(super) fn user_information(written: &str, references: &[(Range<usize>, Reference<'_>)]) -> Range<usize> {
    let flat = flat(written, references);
    let Some(start) = flat.windows(3).position(|bytes| bytes == b"://").map(|at| at + 3) else { return 0..0 };
    if flat.to_ascii_lowercase().starts_with(b"sqlite") {
        return 0..0;
    }
    let rest = &flat[start..];
    let authority = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let last_at = |bytes: &[u8]| bytes.iter().rposition(|&byte| byte == b'@');
    // A literal password may hold a raw `/`; then the last `@` of all is the best guess.
    let end = last_at(&rest[..authority]).or_else(|| last_at(rest));
    start..end.map_or(start, |end| start + end)
}
