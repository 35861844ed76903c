//! `template:`: the names that are filled in.

use super::super::load::Loader;
use super::super::locate::Path;
use super::super::tree::Value;
use super::super::walk::Fields;
use crate::error::{Code, plain};
use crate::input;

/// A name's place and the name; in a file its place is the line's number.
pub(super) type Named = (usize, String);

impl Loader<'_> {
    /// Reads `names:` and `names_file:`; both together make one list.
    pub(super) fn names(&mut self, fields: &Fields<'_>) -> Option<Vec<Named>> {
        let (listed, in_file) = (fields.get("names"), fields.get("names_file"));
        if listed.is_none() && in_file.is_none() {
            let hint = "write `names: [acme, globex]`, or `names_file: tenants.txt` with one name a line";
            self.walk.wrong(Code::BAD_VALUE, fields.at(), "a template has no `names` and no `names_file`", hint);
            return None;
        }
        let listed = match listed {
            Some((value, at)) => self.listed_names(value, at)?,
            None => Vec::new(),
        };
        let in_file = match in_file {
            Some((value, at)) => self.names_in_file(value, at)?,
            None => Vec::new(),
        };
        Some(listed.into_iter().chain(in_file).enumerate().map(|(no, name)| (no + 1, name)).collect())
    }

    fn listed_names(&mut self, value: &Value, at: Path<'_>) -> Option<Vec<String>> {
        let Value::Sequence(list) = value else {
            self.walk.wrong_type(at, "names", "a list", value, "write `names: [acme, globex]`");
            return None;
        };
        let mut names = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            names.extend(self.walk.text(value, at.index(index), "names").map(|text| text.into_value()));
        }
        (names.len() == list.len()).then_some(names)
    }

    fn names_in_file(&mut self, value: &Value, at: Path<'_>) -> Option<Vec<String>> {
        let file = self.walk.text(value, at, "names_file")?;
        let bytes = match input::read(&self.walk.folder.join(file.value()), input::FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("the file of names cannot be read: {}", file.shown());
                let hint = "a text file with one name a line; its path begins at the folder of tenants.yaml";
                self.walk.mistakes.add(at, |_| {
                    crate::error::Diagnostic::new(Code::BAD_LIST, message).cause(error.to_string()).hint(hint)
                });
                return None;
            }
        };
        match lines(&bytes) {
            Ok(names) => Some(names),
            Err(byte) => {
                let message = format!("the file of names is not UTF-8 text: byte {byte} of {}", plain(&file.shown()));
                self.walk.wrong(Code::BAD_LIST, at, message, "save the file as UTF-8");
                None
            }
        }
    }
}

/// Returns the names in a file: one a line, without empty lines and those that begin with `#`.
///
/// # Errors
/// The first byte, from 0, that is not UTF-8.
pub(super) fn lines(bytes: &[u8]) -> Result<Vec<String>, usize> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.valid_up_to())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(names.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_name_a_line() {
        let text = "\u{feff}acme\r\n\r\n# who left\n  globex  \n#x\nno # comment\nü";
        assert_eq!(lines(text.as_bytes()).unwrap(), ["acme", "globex", "no # comment", "ü"]);
        assert_eq!(lines(b"").unwrap(), [""; 0]);
        assert_eq!(lines(b"acme\n\xe9\n"), Err(5));
    }
}
