//! A value as one literal or one identifier, so that nothing in it is SQL.
//!
//! Pure. Right whatever the server's settings are, because nobody knows them before the text runs.

use std::fmt::Write as _;

use super::template::Form;
use crate::sql::EngineKind;

/// Writes a value so that the engine reads it as this.
///
/// # Errors
/// In words, why it cannot: to follow on a value's name.
pub(super) fn quoted(value: &str, form: Form, engine: EngineKind) -> Result<String, String> {
    if value.contains('\0') {
        return Err("holds a NUL character, which no engine takes in a text".to_owned());
    }
    match form {
        Form::Literal => Ok(literal(value, engine)),
        Form::Ident => identifier(value, engine),
    }
}

fn literal(value: &str, engine: EngineKind) -> String {
    let doubled = || value.replace('\'', "''");
    match engine {
        // Whether a backslash in '…' escapes is a setting; in E'…' it always does.
        // https://www.postgresql.org/docs/current/runtime-config-compatible.html#GUC-STANDARD-CONFORMING-STRINGS
        EngineKind::Postgres if value.contains('\\') => format!("E'{}'", doubled().replace('\\', "\\\\")),
        // The same, by sql_mode; there is no form of quotes in which it is certain, but hexadecimal has no escapes.
        // https://dev.mysql.com/doc/refman/8.4/en/hexadecimal-literals.html
        EngineKind::MySql if value.contains('\\') => {
            let mut made = "_utf8mb4 x'".to_owned();
            for byte in value.bytes() {
                // Writing to a String cannot fail.
                let _ = write!(made, "{byte:02x}");
            }
            made + "'"
        }
        EngineKind::Postgres | EngineKind::MySql | EngineKind::Sqlite => format!("'{}'", doubled()),
    }
}

fn identifier(value: &str, engine: EngineKind) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("cannot be a name in {engine}: {why}"));
    if value.is_empty() {
        return refuse("it is empty");
    }
    match engine {
        // A longer one would be cut, and be another's name.
        // https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
        EngineKind::Postgres if value.len() > 63 => refuse("it is longer than 63 bytes"),
        // https://dev.mysql.com/doc/refman/8.4/en/identifiers.html
        EngineKind::MySql if value.chars().count() > 64 => refuse("it is longer than 64 characters"),
        EngineKind::MySql if value.ends_with(' ') => refuse("it ends with a space"),
        EngineKind::MySql if value.chars().any(|c| c > '\u{ffff}') => refuse("a character is beyond U+FFFF"),
        EngineKind::MySql => Ok(format!("`{}`", value.replace('`', "``"))),
        EngineKind::Postgres | EngineKind::Sqlite => Ok(format!("\"{}\"", value.replace('"', "\"\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: [EngineKind; 3] = [EngineKind::Postgres, EngineKind::MySql, EngineKind::Sqlite];

    #[test]
    fn a_value_is_one_literal() {
        for (value, expected) in [
            ("eu", ["'eu'", "'eu'", "'eu'"]),
            ("", ["''", "''", "''"]),
            ("'; DROP TABLE x; --", ["'''; DROP TABLE x; --'", "'''; DROP TABLE x; --'", "'''; DROP TABLE x; --'"]),
            ("a\\'b", ["E'a\\\\''b'", "_utf8mb4 x'615c2762'", "'a\\''b'"]),
            ("\"`$$", ["'\"`$$'", "'\"`$$'", "'\"`$$'"]),
            ("ü\n", ["'ü\n'", "'ü\n'", "'ü\n'"]),
        ] {
            let made = ENGINES.map(|engine| quoted(value, Form::Literal, engine).unwrap());
            assert_eq!(made, expected, "{value:?}");
        }
    }

    #[test]
    fn a_value_is_one_identifier_or_refused() {
        let made = ENGINES.map(|engine| quoted("a\"`\\.b", Form::Ident, engine).unwrap());
        assert_eq!(made, ["\"a\"\"`\\.b\"", "`a\"``\\.b`", "\"a\"\"`\\.b\""]);
        let long = "ü".repeat(33);
        for (value, refused) in [
            ("", [true, true, true]),
            ("a\0b", [true, true, true]),
            (&*long, [true, false, false]),
            (&*"x".repeat(65), [true, true, false]),
            ("a ", [false, true, false]),
            ("😀", [false, true, false]),
        ] {
            let found = ENGINES.map(|engine| quoted(value, Form::Ident, engine).is_err());
            assert_eq!(found, refused, "{value:?}");
        }
        assert!(ENGINES.iter().all(|engine| quoted("a\0b", Form::Literal, *engine).is_err()));
    }
}
