//! The value of the directive `touches`: which places outside of its tenant a text may reach.

use std::fmt;

/// A place outside of every tenant that a text may reach: a whole schema, or one table of it. On MySQL/MariaDB a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The schema, in lower case unless it was quoted.
    pub schema: String,
    /// The table, if it is one alone.
    pub table: Option<String>,
}

impl fmt::Display for Touched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{}.{}", written(&self.schema), written(table)),
            None => write!(f, "{}", written(&self.schema)),
        }
    }
}

/// Reads `public, shared.countries, "My Schema"`.
///
/// # Errors
/// In words, the first thing that is none of these.
pub(super) fn read(value: &str) -> Result<Vec<Touched>, String> {
    let mut rest = value.trim();
    let mut read: Vec<Touched> = Vec::new();
    loop {
        let (schema, after) = name(rest)?;
        let (table, after) = match after.strip_prefix('.') {
            Some(after) => {
                let (table, after) = name(after)?;
                (Some(table), after)
            }
            None => (None, after),
        };
        let one = Touched { schema, table };
        if read.contains(&one) {
            return Err(format!("`{one}` stands in it twice"));
        }
        read.push(one);
        match after.trim_start() {
            "" => return Ok(read),
            after => rest = after.strip_prefix(',').ok_or(format!("`{after}` is not understood"))?.trim_start(),
        }
    }
}

/// Takes one name from the start: bare, or in double quotes or backticks.
fn name(text: &str) -> Result<(String, &str), String> {
    let Some(mark) = text.chars().next().filter(|mark| matches!(mark, '"' | '`')) else {
        let end = text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(text.len());
        let (bare, rest) = text.split_at(end);
        return match bare.is_empty() {
            true if text.is_empty() => Err("a name is missing at its end".to_owned()),
            true => Err(format!("`{text}` begins with no name")),
            false => Ok((bare.to_lowercase(), rest)),
        };
    };
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match (c == mark, chars.peek()) {
            (true, Some((_, next))) if *next == mark => {
                inside.push(mark);
                chars.next();
            }
            (true, _) if inside.is_empty() => return Err("a name in it is empty".to_owned()),
            (true, _) => return Ok((inside, &text[at + c.len_utf8()..])),
            (false, _) => inside.push(c),
        }
    }
    Err(format!("the quote of `{text}` is never closed"))
}

/// Returns a name as it must be written to be read as this.
fn written(name: &str) -> String {
    let bare = name.chars().all(|c| (c.is_alphanumeric() && !c.is_uppercase()) || matches!(c, '_' | '$'));
    if bare && !name.is_empty() { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_the_server_reads_names_and_written_back() {
        let value = "Public, shared.countries,\"My \"\"Schema\"\"\" , `Other`.\"T.x\"";
        let read = read(value).unwrap();
        let shown: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["public", "shared.countries", "\"My \"\"Schema\"\"\"", "\"Other\".\"T.x\""]);
        assert_eq!(super::read(&shown.join(", ")).unwrap(), read);
        assert_eq!(read[2], Touched { schema: "My \"Schema\"".into(), table: None });
    }

    #[test]
    fn what_names_no_place_is_said() {
        for (value, why) in [
            ("", "a name is missing at its end"),
            ("public,", "a name is missing at its end"),
            ("public.", "a name is missing at its end"),
            ("public other", "`other` is not understood"),
            ("a.b.c", "`.c` is not understood"),
            ("*", "`*` begins with no name"),
            ("\"open", "the quote of `\"open` is never closed"),
            ("\"\"", "a name in it is empty"),
            ("a, a", "`a` stands in it twice"),
        ] {
            assert_eq!(read(value), Err(why.to_owned()), "{value}");
        }
    }
}
