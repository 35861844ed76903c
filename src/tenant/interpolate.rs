//! `${VAR}`, `${VAR:-default}`, `${file:PATH}` and `${cmd:…}` in the texts of `tenants.yaml`.
//!
//! Works on scalars after the YAML was parsed, so that a secret cannot become syntax. Only `${` is special, and `$${`
//! writes it. What a variable holds never reaches a diagnostic: those show the text as it is written in the file.
//!
//! A password's files and commands are not read here but when a connection is first opened ([`super::password`]).

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::password::{Part, read_secret};
use super::references::{Reference, password, references, user_information};
use super::secret_command::{SECRET_LIMIT, SecretCommand};
use crate::error::{Code, Diagnostic, Secret, mask, short};
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
    late: Option<Vec<Part>>,
}

impl<'v> Text<'v> {
    /// Takes the parts of a password that is to be fetched late; the value is then no password.
    pub(super) fn take_late(&mut self) -> Option<Vec<Part>> {
        self.late.take()
    }

    /// Takes data as it is: no reference in it is filled in.
    pub(super) fn data(value: &'v str) -> Self {
        Self { written: value, value: Cow::Borrowed(value), late: None }
    }

    /// Returns the text as one that a source made of what stands in the file, whose password may be fetched late.
    pub(super) fn made_of(self, written: &'v str, late: Option<&[Part]>) -> Self {
        Self { written, late: late.map(<[Part]>::to_vec), ..self }
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
    /// Percent-encoded in the user information, so that a raw password fits; elsewhere as they are. Files and commands of
    /// the password are fetched late.
    Url,
    /// As they are; files and commands are fetched late.
    Secret,
}

/// Returns what variables and files give a text that was filled in before: what no message may show.
pub(super) fn values(written: &str, env: &dyn Environment, folder: &Path) -> Vec<Secret> {
    let given = |(at, reference): (Range<usize>, Reference<'_>)| match reference {
        Reference::Variable { name, .. } => env.var(name),
        Reference::File(_) => Some(fill(&written[at], Kind::Plain, env, folder).ok()?.into_value()),
        Reference::Command(_) | Reference::Escape => None,
    };
    references(written).unwrap_or_default().into_iter().filter_map(given).map(Secret::new).collect()
}

/// What stands in a URL for a password that is fetched late.
const LATER: &str = "later";

/// All but the characters that mean themselves everywhere in a URL.
const DATA: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Fills in the references of a text.
///
/// # Errors
/// `MT107` for each variable that is not set and each file that cannot be read, `MT104` for a malformed reference and
/// for a command where no secret stands.
pub(super) fn fill<'v>(
    written: &'v str,
    kind: Kind,
    env: &dyn Environment,
    folder: &Path,
) -> Result<Text<'v>, Vec<Diagnostic>> {
    if !written.contains("${") {
        return Ok(Text { written, value: Cow::Borrowed(written), late: None });
    }
    let references = references(written).map_err(|mistake| vec![mistake])?;
    let encoded = if kind == Kind::Url { user_information(written, &references) } else { 0..0 };
    let secret = match kind {
        Kind::Plain => 0..0,
        Kind::Url => password(written, &references, &encoded),
        Kind::Secret => 0..written.len(),
    };
    let is_late = |(at, reference): &(Range<usize>, Reference<'_>)| {
        secret.contains(&at.start) && matches!(reference, Reference::File(_) | Reference::Command(_))
    };
    let later = references.iter().any(is_late);
    let mut filling = Filling { written, value: String::with_capacity(written.len()), parts: Vec::new(), done: 0 };
    let mut mistakes = Vec::new();
    for (at, reference) in references {
        if later && at.start >= secret.end {
            filling.literal(secret.end, kind);
        }
        if later && secret.contains(&at.start) {
            match reference.part(env, folder) {
                Ok(part) => filling.part(at, part, &secret, kind),
                Err(mistake) => mistakes.push(mistake),
            }
            continue;
        }
        match reference.resolve(env, folder) {
            Ok(found) => filling.text(at.clone(), &found, encoded.contains(&at.start)),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    if later {
        filling.literal(secret.end, kind);
    }
    filling.value.push_str(&written[filling.done..]);
    let late = later.then_some(filling.parts);
    Ok(Text { written, value: Cow::Owned(filling.value), late })
}

/// A text that is being filled in.
struct Filling<'v> {
    written: &'v str,
    value: String,
    parts: Vec<Part>,
    /// How far.
    done: usize,
}

impl Filling<'_> {
    fn text(&mut self, at: Range<usize>, found: &str, encoded: bool) {
        self.value.push_str(&self.written[self.done..at.start]);
        self.done = at.end;
        match encoded {
            true => self.value.extend(utf8_percent_encode(found, DATA)),
            false => self.value.push_str(found),
        }
    }

    /// Adds a part of the password that stands in `secret`.
    fn part(&mut self, at: Range<usize>, part: Part, secret: &Range<usize>, kind: Kind) {
        if self.parts.is_empty() && self.done <= secret.start {
            self.value.push_str(&self.written[self.done..secret.start]);
            self.value.push_str(LATER);
            self.done = secret.start;
        }
        self.literal(at.start, kind);
        self.parts.push(part);
        self.done = at.end;
    }

    /// Adds what the file itself says of the password, up to there.
    fn literal(&mut self, end: usize, kind: Kind) {
        let written = self.written.get(self.done..end).unwrap_or_default();
        self.done = self.done.max(end);
        let text = match kind {
            Kind::Url => percent_decode_str(written).decode_utf8_lossy(),
            _ => Cow::Borrowed(written),
        };
        if !text.is_empty() {
            self.parts.push(Part::Text(Secret::new(text)));
        }
    }
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
            Self::File(path) => read_secret(&folder.join(path)).map_err(|cause| unreadable(path, cause)),
            Self::Command(_) => Err(Diagnostic::new(
                Code::BAD_VALUE,
                "`${cmd:…}` stands where no password is: a command gives a password and nothing else",
            )
            .hint("it may be the password in a URL (`postgres://user:${cmd:…}@host`) or under `password:`; elsewhere write \
                   `${VAR}` or `${file:PATH}`")),
        }
    }

    /// Makes a part of a password that is fetched late. Whether its file is there is seen now; no command is run.
    fn part(self, env: &dyn Environment, folder: &Path) -> Result<Part, Diagnostic> {
        match self {
            Self::File(path) => {
                let file = folder.join(path);
                match input::look(&file, SECRET_LIMIT) {
                    Ok(()) => Ok(Part::File(std::path::absolute(&file).unwrap_or(file))),
                    Err(error) => Err(unreadable(path, error.to_string())),
                }
            }
            Self::Command(line) => SecretCommand::parse(line, folder).map(Part::Command).map_err(malformed_command),
            other => other.resolve(env, folder).map(|text| Part::Text(Secret::new(text))),
        }
    }
}

fn unreadable(path: &str, cause: String) -> Diagnostic {
    Diagnostic::new(Code::UNSET_VARIABLE, format!("the file {path} cannot be read"))
        .cause(cause)
        .hint("a path in `${file:…}` is relative to the folder of this file; is the secret mounted?")
}

fn malformed_command(why: &str) -> Diagnostic {
    Diagnostic::new(Code::BAD_VALUE, format!("the command of `${{cmd:…}}` {why}")).hint(
        "write a program and its arguments, `${cmd:vault read -field=password db/eu}`; no shell reads them, and what \
               needs one, or a `}`, goes into a script",
    )
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
            ("${cmd:true}", "`${cmd:…}` stands where no password is: a command gives a password and nothing else"),
        ] {
            assert_eq!(filled(written, Kind::Plain), Err(message.to_owned()), "{written}");
        }
    }

    /// What is left of the URL, and the parts of the password.
    fn later(written: &str, kind: Kind) -> Result<(String, String), String> {
        let env = HashMap::from([("A", "a"), ("PW", "p@")]);
        match fill(written, kind, &env, Path::new(".")) {
            Ok(mut text) => Ok((
                text.value().to_owned(),
                text.take_late()
                    .map_or(String::new(), |parts| parts.iter().map(Part::revealed).collect::<Vec<_>>().join("|")),
            )),
            Err(mistakes) => Err(mistakes.iter().map(|mistake| mistake.message()).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn a_password_from_a_file_or_a_command_is_left_for_later() {
        for (written, value, parts) in [
            ("postgres://u:${cmd:vault read db/eu}@h/d", "postgres://u:later@h/d", "cmd:vault,read,db/eu"),
            ("postgres://u:${cmd:a 'b c' \"d@e:f\"}@h/d?x=y", "postgres://u:later@h/d?x=y", "cmd:a,b c,d@e:f"),
            ("mysql://${A}:x%40${cmd:a}%2Fy@h", "mysql://a:later@h", "x@|cmd:a|/y"),
            ("mysql://u:${PW}${cmd:a}@h", "mysql://u:later@h", "p@|cmd:a"),
            ("postgres://u:${PW}@h/d", "postgres://u:p%40@h/d", ""),
            ("postgres://u:x${cmd:a}@${A}/${PW}?x=${A}", "postgres://u:later@a/p@?x=a", "x|cmd:a"),
        ] {
            assert_eq!(later(written, Kind::Url), Ok((value.to_owned(), parts.to_owned())), "{written}");
        }
        assert_eq!(later("${cmd:a}-${A}", Kind::Secret), Ok(("later".to_owned(), "cmd:a|-|a".to_owned())));
        assert_eq!(later("${A}", Kind::Secret), Ok(("a".to_owned(), String::new())));
        for (written, message) in [
            ("postgres://${cmd:a}:x@h/d", "`${cmd:…}` stands where no password is"),
            ("postgres://u:x@${cmd:a}/d", "`${cmd:…}` stands where no password is"),
            ("postgres://u:${cmd:}@h/d", "the command of `${cmd:…}` is empty"),
            ("postgres://u:${cmd:a 'b}@h/d", "the command of `${cmd:…}` has a quote that does not end"),
            ("postgres://u:${file:no/such}@h/d", "the file no/such cannot be read"),
        ] {
            let mistake = later(written, Kind::Url).unwrap_err();
            assert!(mistake.starts_with(message), "{written}: {mistake}");
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
