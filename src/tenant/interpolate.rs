//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` in the texts of `tenants.yaml`.
//!
//! Works on scalars after the YAML was parsed, so that a secret cannot become syntax. Only `${` is special, and `$${`
//! writes it. What a variable holds never reaches a diagnostic: those show the text as it is written in the file.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Code, Diagnostic, mask, short};
use crate::input;

/// Where variables come from.
pub trait Environment {
    /// Returns the value of a variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment of this process. A variable that is not Unicode counts as not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// A text of the file: as it is written, and with its references filled in. No `Debug`: it may hold secrets.
#[derive(Clone)]
pub(super) struct Text<'v> {
    written: &'v str,
    value: Cow<'v, str>,
}

impl<'v> Text<'v> {
    /// Takes data as it is: no reference in it is filled in.
    pub(super) fn data(value: &'v str) -> Self {
        Self { written: value, value: Cow::Borrowed(value) }
    }

    /// Returns the text with other words for messages to quote.
    pub(super) fn quoted_as(self, written: &'v str) -> Self {
        Self { written, ..self }
    }

    /// Returns the value. It may hold secrets: never for a diagnostic.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Returns the value. It may hold secrets: never for a diagnostic.
    pub(super) fn into_value(self) -> String {
        self.value.into_owned()
    }

    /// Returns what stands in the file, for [`shown`].
    pub(super) fn written(&self) -> &'v str {
        self.written
    }

    /// Returns what stands in the file, passwords masked: on one line, for diagnostics.
    pub(super) fn shown(&self) -> String {
        shown(self.written)
    }
}

/// Returns what stands in the file, passwords masked: on one line, for diagnostics. It takes long, for each of many.
pub(super) fn shown(written: &str) -> String {
    short(&mask(written), 120).replace('\n', "\\n")
}

/// How values are written into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As they are.
    Plain,
    /// Percent-encoded in the user information, so that a raw password fits; elsewhere as they are.
    Url,
}

/// The longest secret file that is read, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

/// All but the characters that mean themselves everywhere in a URL.
const DATA: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fills in the references of a text.
///
/// # Errors
/// `MT107` for each variable that is not set and each file that cannot be read, `MT104` for a malformed reference.
pub(super) fn fill<'v>(
    written: &'v str,
    kind: Kind,
    env: &dyn Environment,
    folder: &Path,
) -> Result<Text<'v>, Vec<Diagnostic>> {
    if !written.contains("${") {
        return Ok(Text { written, value: Cow::Borrowed(written) });
    }
    let references = references(written).map_err(|mistake| vec![mistake])?;
    let encoded = if kind == Kind::Url { user_information(written, &references) } else { 0..0 };
    let mut value = String::with_capacity(written.len());
    let mut mistakes = Vec::new();
    let mut done = 0;
    for (at, reference) in references {
        value.push_str(&written[done..at.start]);
        done = at.end;
        match reference.resolve(env, folder) {
            Ok(found) if encoded.contains(&at.start) => value.extend(utf8_percent_encode(&found, DATA)),
            Ok(found) => value.push_str(&found),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    value.push_str(&written[done..]);
    if mistakes.is_empty() { Ok(Text { written, value: Cow::Owned(value) }) } else { Err(mistakes) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference<'v> {
    Variable {
        name: &'v str,
        default: Option<&'v str>,
    },
    File(&'v str),
    /// `$${`, which writes `${`.
    Escape,
}

impl Reference<'_> {
    fn resolve(self, env: &dyn Environment, folder: &Path) -> Result<String, Diagnostic> {
        match self {
            Self::Escape => Ok("${".to_owned()),
            Self::Variable { name, default: Some(default) } => {
                Ok(env.var(name).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned()))
            }
            Self::Variable { name, default: None } => env.var(name).ok_or_else(|| {
                Diagnostic::new(Code::UNSET_VARIABLE, format!("the variable {name} is not set"))
                    .hint(format!("set {name}, or give a default: `${{{name}:-…}}`"))
            }),
            Self::File(path) => read_secret(&folder.join(path)).map_err(|cause| {
                Diagnostic::new(Code::UNSET_VARIABLE, format!("the file {path} cannot be read"))
                    .cause(cause)
                    .hint("a path in `${file:…}` is relative to the folder of this file; is the secret mounted?")
            }),
        }
    }
}

/// Reads a file's text without the line ending at its end.
fn read_secret(path: &Path) -> Result<String, String> {
    let bytes = input::read(path, FILE_LIMIT).map_err(|error| error.to_string())?;
    let mut text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Finds the references and where they stand, in order.
fn references(written: &str) -> Result<Vec<(Range<usize>, Reference<'_>)>, Diagnostic> {
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
        .hint("write `${VAR}`, `${VAR:-default}` or `${file:PATH}`; `$${` stands for a literal `${`")
}

/// Returns the bytes of a URL template that are its user information: what stands between `://` and the `@` before
/// the host. References count as opaque, whatever characters their defaults hold. SQLite URLs have none.
fn user_information(written: &str, references: &[(Range<usize>, Reference<'_>)]) -> Range<usize> {
    let mut flat = written.as_bytes().to_vec();
    for (at, _) in references {
        flat[at.clone()].fill(b'x');
    }
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    impl Environment for HashMap<&str, &str> {
        fn var(&self, name: &str) -> Option<String> {
            self.get(name).map(|&value| value.to_owned())
        }
    }

    fn filled(written: &str, kind: Kind) -> Result<String, String> {
        let env = HashMap::from([("A", "a"), ("EMPTY", ""), ("PW", "p@:/?#%ü w")]);
        fill(written, kind, &env, Path::new(".")).map(Text::into_value).map_err(|mistakes| {
            mistakes.iter().map(|mistake| mistake.message().to_owned()).collect::<Vec<_>>().join("; ")
        })
    }

    #[test]
    fn references_are_filled_in_and_everything_else_stays() {
        for (written, value) in [
            ("plain $A $ {A} $$", "plain $A $ {A} $$"),
            ("<${A}${A}>", "<aa>"),
            ("${A:-b}${NO:-b}${EMPTY:-b}${NO:-}", "abb"),
            ("${EMPTY}", ""),
            ("$${A} $$${A}", "${A} $${A}"),
            ("${NO:-a:-b?@/}", "a:-b?@/"),
        ] {
            assert_eq!(filled(written, Kind::Plain).as_deref(), Ok(value), "{written}");
        }
    }

    #[test]
    fn a_raw_password_is_data_in_the_user_information_and_nowhere_else() {
        let encoded = "p%40%3A%2F%3F%23%25%C3%BC%20w";
        for (written, value) in [
            ("postgres://u:${PW}@h/d", format!("postgres://u:{encoded}@h/d")),
            ("postgres://${A}:x${PW}@h/d?a=b@c", format!("postgres://a:x{encoded}@h/d?a=b@c")),
            ("postgres://u:${PW}/x@h/d", format!("postgres://u:{encoded}/x@h/d")),
            ("postgres://u:${NO:-a@b}@h/d", "postgres://u:a%40b@h/d".to_owned()),
            ("postgres://h/${PW}", "postgres://h/p@:/?#%ü w".to_owned()),
            ("postgres://h/d?x=a@${PW}", "postgres://h/d?x=a@p@:/?#%ü w".to_owned()),
            ("sqlite://${PW}@x", "sqlite://p@:/?#%ü w@x".to_owned()),
            ("${PW}", "p@:/?#%ü w".to_owned()),
        ] {
            assert_eq!(filled(written, Kind::Url), Ok(value), "{written}");
        }
    }

    #[test]
    fn a_wrong_reference_is_named() {
        for (written, message) in [
            ("${NO} ${A} ${NO2}", "the variable NO is not set; the variable NO2 is not set"),
            ("${A", "`${` has no `}`"),
            ("${}", "what stands in `${…}` is no variable's name"),
            ("${1A}", "what stands in `${…}` is no variable's name"),
            ("${A-b}", "what stands in `${…}` is no variable's name"),
            ("${A:-${B}}", "a default cannot hold another `${…}`"),
            ("${file:}", "`${file:}` names no file"),
            ("${file:no/such}", "the file no/such cannot be read"),
        ] {
            assert_eq!(filled(written, Kind::Plain), Err(message.to_owned()), "{written}");
        }
    }

    #[test]
    fn a_secrets_file_loses_the_line_ending_at_its_end_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        for (content, value) in [("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n"), (" pw ", " pw "), ("", "")] {
            std::fs::write(folder.path().join("secret"), content).unwrap();
            let env: HashMap<&str, &str> = HashMap::new();
            let text = fill("${file:secret}", Kind::Plain, &env, folder.path()).unwrap();
            assert_eq!(text.value(), value);
        }
    }
}
