//! What lines of SHOW GRANTS allow. Pure.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/show-grants.html>, <https://mariadb.com/kb/en/show-grants/>

use crate::engine::tables::{HISTORY, JOURNAL};

/// What `up` needs in a tenant's database: the privilege, and the tables of ours that it is needed on, or else the whole
/// database.
const NEEDED: [(&str, &[&str]); 4] =
    [("CREATE", &[]), ("SELECT", &[HISTORY, JOURNAL]), ("INSERT", &[HISTORY, JOURNAL]), ("UPDATE", &[JOURNAL])];

/// Returns the privileges that these lines together do not give and `up` needs.
///
/// A grant on a pattern of databases counts as if no other pattern were nearer.
pub(super) fn lacking(lines: &[String], database: &str, folds_case: bool) -> Vec<&'static str> {
    let allows = |privilege: &str, table: Option<&str>| {
        let about = |verb: &str| {
            let mut rest = lines.iter().filter_map(|line| line.strip_prefix(verb));
            rest.any(|rest| concerns(rest, privilege, Place { database, table, folds_case }))
        };
        // MySQL's partial revokes take a database out of what is granted on all.
        about("GRANT ") && !about("REVOKE ")
    };
    let is_lacking = |(privilege, tables): &(&str, &[&str])| {
        !allows(privilege, None) && (tables.is_empty() || !tables.iter().all(|table| allows(privilege, Some(table))))
    };
    NEEDED.iter().filter(|needed| is_lacking(needed)).map(|(privilege, _)| *privilege).collect()
}

/// What a privilege is asked for.
#[derive(Clone, Copy)]
struct Place<'p> {
    database: &'p str,
    /// One table of it, or else all of it.
    table: Option<&'p str>,
    folds_case: bool,
}

/// Whether `CREATE, DROP ON `db`.* TO …` is about this privilege at this place.
fn concerns(rest: &str, privilege: &str, place: Place<'_>) -> bool {
    let Some((privileges, rest)) = rest.split_once(" ON ") else { return false };
    let is_it = |one: &str| matches!(one.trim(), "ALL PRIVILEGES" | "ALL") || one.trim() == privilege;
    privileges.split(',').any(is_it) && scope(rest).is_some_and(|scope| scope.covers(place))
}

/// Where privileges hold.
enum Scope {
    /// In all databases.
    All,
    /// In the databases whose name matches.
    Pattern(String),
    /// In a table of a database, or a routine.
    Table(String, String),
}

/// Reads what stands before ` TO `; nothing for a proxy.
fn scope(rest: &str) -> Option<Scope> {
    if rest.starts_with("*.* ") {
        return Some(Scope::All);
    }
    let (database, rest) = quoted(rest)?;
    let rest = rest.strip_prefix('.')?;
    match quoted(rest) {
        Some((table, rest)) => rest.starts_with(' ').then_some(Scope::Table(database, table)),
        None => rest.starts_with("* ").then_some(Scope::Pattern(database)),
    }
}

/// Reads a name in quotes, and returns it with what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '`' | '"'))?;
    let mut name = String::new();
    let mut chars = text[1..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c == quote {
            false => name.push(c),
            true if chars.next_if(|(_, next)| *next == quote).is_some() => name.push(quote),
            true => return Some((name, &text[1 + at + 1..])),
        }
    }
    None
}

impl Scope {
    fn covers(&self, Place { database, table, folds_case }: Place<'_>) -> bool {
        let fold = |name: &str| if folds_case { name.to_lowercase() } else { name.to_owned() };
        match self {
            Self::All => true,
            Self::Pattern(pattern) => is_like(&fold(pattern), &fold(database)),
            Self::Table(of, name) => fold(of) == fold(database) && table.is_some_and(|table| fold(name) == fold(table)),
        }
    }
}

/// Whether a name matches a pattern of `%`, `_` and `\`.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.chars();
    let Some(first) = parts.next() else { return name.is_empty() };
    let rest = parts.as_str();
    let mut chars = name.chars();
    match first {
        '%' => name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| is_like(rest, &name[at..])),
        '_' => chars.next().is_some() && is_like(rest, chars.as_str()),
        '\\' if !rest.is_empty() => chars.next() == parts.next() && is_like(parts.as_str(), chars.as_str()),
        c => chars.next() == Some(c) && is_like(rest, chars.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_covered_by_grants_on_it_on_all_and_on_patterns() {
        for (lines, may) in [
            (&["GRANT ALL PRIVILEGES ON *.* TO `m`@`%` IDENTIFIED BY PASSWORD '*X' WITH GRANT OPTION"][..], true),
            (&["GRANT USAGE ON *.* TO `m`@`%`"], false),
            (&["GRANT USAGE ON *.* TO `m`@`%`", "GRANT SELECT, CREATE ON `acme_1`.* TO `m`@`%`"], true),
            (&["GRANT CREATE ON `acme\\_1`.* TO `m`@`%`"], true),
            (&["GRANT CREATE ON `acme\\_2`.* TO `m`@`%`"], false),
            (&["GRANT CREATE ON `acme%`.* TO `m`@`%`"], true),
            (&["GRANT CREATE ON `acme__`.* TO `m`@`%`"], true),
            (&["GRANT CREATE ON `ACME_1`.* TO `m`@`%`"], false),
            (&["GRANT CREATE ON \"acme_1\".* TO `m`@`%`"], true),
            (&["GRANT CREATE ON `acme_1`.`orders` TO `m`@`%`"], false),
            (&["GRANT CREATE VIEW, CREATE ROUTINE ON `acme_1`.* TO `m`@`%`"], false),
            (&["GRANT SELECT (a, b) ON `acme_1`.`t` TO `m`@`%`"], false),
            (&["GRANT `CREATE ON x` TO `m`@`%`", "GRANT PROXY ON ''@'' TO 'm'@'%'"], false),
            (&["GRANT CREATE ON *.* TO `m`@`%`", "REVOKE CREATE ON `acme_1`.* FROM `m`@`%`"], false),
            (&[], false),
        ] {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(!lacking(&lines, "acme_1", false).contains(&"CREATE"), may, "{lines:?}");
        }
        let lacks = |line: &str, database: &str, folds: bool| lacking(&[line.to_owned()], database, folds);
        assert!(!lacks("GRANT CREATE ON `ACME_1`.* TO `m`@`%`", "acme_1", true).contains(&"CREATE"));
        assert!(!lacks("GRANT CREATE ON `a``b`.* TO `m`@`%`", "a`b", false).contains(&"CREATE"));
    }

    #[test]
    fn rows_of_our_own_tables_need_rights_too_on_the_database_or_on_both_tables() {
        for (lines, expected) in [
            (&["GRANT CREATE ON `acme`.* TO `m`@`%`"][..], &["SELECT", "INSERT", "UPDATE"][..]),
            (&["GRANT SELECT, CREATE ON `acme`.* TO `m`@`%`"], &["INSERT", "UPDATE"]),
            (&["GRANT SELECT, INSERT, UPDATE, CREATE ON `acme`.* TO `m`@`%`"], &[]),
            (&["GRANT ALL PRIVILEGES ON `acme`.* TO `m`@`%`"], &[]),
            (
                &["GRANT SELECT, INSERT, UPDATE ON `acme`.`mtmigrate_journal` TO `m`@`%`"],
                &["CREATE", "SELECT", "INSERT"],
            ),
            (
                &[
                    "GRANT CREATE ON `acme`.* TO `m`@`%`",
                    "GRANT SELECT, INSERT, UPDATE ON `acme`.`mtmigrate_journal` TO `m`@`%`",
                    "GRANT SELECT, INSERT ON `acme`.`refinery_schema_history` TO `m`@`%`",
                ],
                &[],
            ),
            (&["GRANT ALL PRIVILEGES ON *.* TO `m`@`%`", "REVOKE INSERT ON `acme`.* FROM `m`@`%`"], &["INSERT"]),
        ] {
            let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(lacking(&lines, "acme", false), expected, "{lines:?}");
        }
    }
}
