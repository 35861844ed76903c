//! The catalogs' words, in a form that is the same for the same thing.
//!
//! Pure.

use super::describe::Row;

/// The types whose number in parentheses is only for display.
const WITH_WIDTH: [&str; 6] = ["tinyint(", "smallint(", "mediumint(", "int(", "bigint(", "year("];

/// Returns a type without its display width, which MySQL 8 no longer keeps and MariaDB always shows.
///
/// Like MySQL, it stays where it means something: `tinyint(1)`, which drivers take for a boolean, and with `zerofill`.
/// <https://dev.mysql.com/doc/relnotes/mysql/8.0/en/news-8-0-19.html>
pub(super) fn data_type(written: &str) -> String {
    let begins = WITH_WIDTH.iter().find(|name| written.starts_with(**name));
    match (begins, written.split_once(')')) {
        (Some(name), Some((_, rest))) if written != "tinyint(1)" && !written.contains("zerofill") => {
            format!("{}{rest}", name.trim_end_matches('('))
        }
        _ => written.to_owned(),
    }
}

/// Returns a type with the collation that its texts have.
pub(super) fn typed(written: &str, collation: Option<&str>) -> String {
    match collation {
        Some(collation) => format!("{} collate {collation}", data_type(written)),
        None => data_type(written),
    }
}

/// Returns a routine's parameter; only procedures say in which direction.
pub(super) fn parameter(row: Row<'_>, routine: &str) -> String {
    let typed = typed(row.text(5), row.get(6));
    match row.text(3).to_lowercase() {
        mode if routine == "PROCEDURE" && mode != "in" => format!("{mode} {} {typed}", row.text(4)),
        _ => format!("{} {typed}", row.text(4)),
    }
}

/// Returns a column of an index: `note(20) desc`.
pub(super) fn index_column(row: Row<'_>) -> String {
    let mut column = match row.get(9) {
        Some(expression) => format!("({expression})"),
        None => row.text(4).to_owned(),
    };
    // The length of a spatial index is the engine's own.
    if let Some(length) = row.get(6).filter(|_| !row.is(7, "SPATIAL")) {
        column.push_str(&format!("({length})"));
    }
    if row.is(5, "D") {
        column.push_str(" desc");
    }
    column
}

/// Returns the character set that a collation is for.
pub(super) fn character_set(collation: &str) -> &str {
    collation.split('_').next().unwrap_or(collation)
}

/// Reads one of a table's options: `row_format=COMPRESSED key_block_size=4`.
pub(super) fn option<'t>(options: &'t str, name: &str) -> Option<&'t str> {
    options.split(' ').find_map(|option| {
        let (key, value) = option.split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Whether a name is a prefix and a number, as the server names what has no name.
pub(super) fn is_numbered(name: &str, prefix: &str) -> bool {
    let begins = name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins && name.len() > prefix.len() && name[prefix.len()..].bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a table's row is a sequence's.
pub(super) fn is_sequence(row: Row<'_>) -> bool {
    row.is(1, "SEQUENCE")
}

/// Returns a comment if there is one.
pub(super) fn said(comment: Option<&str>) -> Option<&str> {
    comment.filter(|comment| !comment.is_empty())
}

/// What a column's `EXTRA` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extra {
    pub auto_increment: bool,
    pub stored: bool,
    pub invisible: bool,
    /// MySQL: the default is an expression and not a value.
    pub default_is_expression: bool,
    pub on_update: Option<String>,
    /// The rest, in lower case.
    pub other: Option<String>,
}

impl Extra {
    /// Reads it: words with spaces in them, one after the other, on MariaDB with commas between some.
    pub fn of(text: &str) -> Self {
        let mut extra = Self::default();
        let mut rest = text.to_lowercase().replace(", ", " ");
        let mut take = |word: &str| {
            let found = rest.find(word);
            if let Some(at) = found {
                rest.replace_range(at..at + word.len(), "");
            }
            found.is_some()
        };
        extra.auto_increment = take("auto_increment");
        extra.stored = take("stored generated");
        // One of the two is what a generated column is.
        take("virtual generated");
        extra.default_is_expression = take("default_generated");
        extra.invisible = take("invisible");
        if let Some(at) = rest.find("on update ") {
            let after = &rest[at + "on update ".len()..];
            let end = after.find(' ').unwrap_or(after.len());
            extra.on_update = Some(after[..end].to_owned());
            rest.replace_range(at..at + "on update ".len() + end, "");
        }
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        extra.other = (!rest.is_empty()).then_some(rest);
        extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_loses_its_display_width_and_nothing_else() {
        for (written, made) in [
            ("int(11)", "int"),
            ("int(10) unsigned", "int unsigned"),
            ("int(5) unsigned zerofill", "int(5) unsigned zerofill"),
            ("tinyint(1)", "tinyint(1)"),
            ("tinyint(1) unsigned", "tinyint unsigned"),
            ("year(4)", "year"),
            ("decimal(10,2)", "decimal(10,2)"),
            ("enum('int(11)')", "enum('int(11)')"),
            ("bit(3)", "bit(3)"),
        ] {
            assert_eq!(data_type(written), made);
        }
    }

    #[test]
    fn a_columns_extra_is_read_word_by_word() {
        let extra = Extra::of("DEFAULT_GENERATED on update CURRENT_TIMESTAMP(3) INVISIBLE");
        assert!(extra.default_is_expression && extra.invisible && !extra.stored);
        assert_eq!(extra.on_update.as_deref(), Some("current_timestamp(3)"));
        assert_eq!(extra.other, None);
        assert_eq!(
            Extra::of("STORED GENERATED, WITHOUT SYSTEM VERSIONING").other.unwrap(),
            "without system versioning"
        );
        assert_eq!(Extra::of(""), Extra::default());
    }

    #[test]
    fn a_name_is_the_servers_own_only_if_nothing_but_a_number_follows() {
        assert!(is_numbered("orders_ibfk_1", "orders_ibfk_") && is_numbered("CONSTRAINT_12", "constraint_"));
        assert!(!is_numbered("orders_ibfk_", "orders_ibfk_") && !is_numbered("orders_ibfk_x", "orders_ibfk_"));
        assert!(!is_numbered("ö", "orders"));
    }
}
