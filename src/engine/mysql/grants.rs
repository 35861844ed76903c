//! What lines of SHOW GRANTS allow. Pure.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/show-grants.html>, <https://mariadb.com/kb/en/show-grants/>

/// Returns whether these lines together allow to create tables in a database.
///
/// A grant on a pattern of databases counts as if no other pattern were nearer.
pub(super) fn may_create(lines: &[String], database: &str, folds_case: bool) -> bool {
    let gives = |line: &&String| line.strip_prefix("GRANT ").is_some_and(|rest| concerns(rest, database, folds_case));
    let takes = |line: &&String| line.strip_prefix("REVOKE ").is_some_and(|rest| concerns(rest, database, folds_case));
    // MySQL's partial revokes take a database out of what is granted on all.
    lines.iter().any(|line| gives(&line)) && !lines.iter().any(|line| takes(&line))
}

/// Whether `CREATE, DROP ON `db`.* TO …` is about creating in this database.
fn concerns(rest: &str, database: &str, folds_case: bool) -> bool {
    let Some((privileges, rest)) = rest.split_once(" ON ") else { return false };
    let creates = |one: &str| matches!(one.trim(), "CREATE" | "ALL PRIVILEGES" | "ALL");
    privileges.split(',').any(creates) && scope(rest).is_some_and(|scope| scope.covers(database, folds_case))
}

/// Where privileges hold.
enum Scope {
    /// In all databases.
    All,
    /// In the databases whose name matches.
    Pattern(String),
}

/// Reads what stands before ` TO `; nothing for a table, a routine or a proxy.
fn scope(rest: &str) -> Option<Scope> {
    if rest.starts_with("*.* ") {
        return Some(Scope::All);
    }
    let quote = rest.chars().next().filter(|quote| matches!(quote, '`' | '"'))?;
    let mut pattern = String::new();
    let mut chars = rest[1..].char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c == quote {
            false => pattern.push(c),
            true if chars.next_if(|(_, next)| *next == quote).is_some() => pattern.push(quote),
            true => return rest[1 + at + 1..].starts_with(".* ").then_some(Scope::Pattern(pattern)),
        }
    }
    None
}

impl Scope {
    fn covers(&self, database: &str, folds_case: bool) -> bool {
        match self {
            Self::All => true,
            Self::Pattern(pattern) if folds_case => is_like(&pattern.to_lowercase(), &database.to_lowercase()),
            Self::Pattern(pattern) => is_like(pattern, database),
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
            assert_eq!(may_create(&lines, "acme_1", false), may, "{lines:?}");
        }
        assert!(may_create(&["GRANT CREATE ON `ACME_1`.* TO `m`@`%`".to_owned()], "acme_1", true));
        assert!(may_create(&["GRANT CREATE ON `a``b`.* TO `m`@`%`".to_owned()], "a`b", false));
    }
}
