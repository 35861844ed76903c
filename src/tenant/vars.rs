//! `vars:`: what changesets that are templates may ask for.

use std::collections::BTreeMap;

use super::locate::Path;
use super::tree::Value;
use super::walk::{Fields, Walk, scalar_key, type_of};
use crate::error::{Code, plain};

/// Values by name. They are data: nothing in them is SQL.
pub type Vars = BTreeMap<String, String>;

/// Reads `vars:`. Numbers and truth values are taken as YAML understands them.
pub(super) fn read(walk: &mut Walk<'_>, fields: &Fields<'_>) -> Vars {
    let mut vars = Vars::default();
    let Some((value, at)) = fields.get("vars") else { return vars };
    let Value::Mapping(mapping) = value else {
        walk.wrong_type(at, "vars", "a mapping", value, "write `vars: { region: eu-west-1 }`");
        return vars;
    };
    for (key, value) in mapping.iter() {
        let Some(name) = key.as_str().filter(|name| is_name(name)) else {
            let written = key.as_str().map_or_else(|| scalar_key(key), str::to_owned);
            let message = match key.as_str() {
                Some(name) => format!("`{}` is no name of a variable", plain(name)),
                None => format!("the name of a variable is {}", type_of(key)),
            };
            let hint = "a name has letters (a to z), digits and underscores, and begins with no digit: `region`";
            walk.wrong(Code::BAD_NAME, at.key(&written).the_key_itself(), message, hint);
            continue;
        };
        if let Some(value) = one(walk, name, value, at.key(name)) {
            vars.insert(name.to_owned(), value);
        }
    }
    vars
}

fn one(walk: &mut Walk<'_>, name: &str, value: &Value, at: Path<'_>) -> Option<String> {
    match value {
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) => Some(walk.text(value, at, name)?.into_value()),
        _ => {
            let hint = "write a value, as `region: eu-west-1`; an empty text is `\"\"`";
            walk.wrong_type(at, name, "text, a number, `true` or `false`", value, hint);
            None
        }
    }
}

/// Whether a variable may be called this.
fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}
