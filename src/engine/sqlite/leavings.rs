//! Tells the texts that leave nothing in their session.

use crate::changeset::Text;
use crate::sql::{Dialect, split};

/// How a statement may begin, in words.
const BEGINNINGS: [&[&str]; 14] = [
    &["CREATE", "TABLE"],
    &["CREATE", "INDEX"],
    &["CREATE", "UNIQUE", "INDEX"],
    &["CREATE", "VIEW"],
    &["CREATE", "TRIGGER"],
    &["ALTER", "TABLE"],
    &["DROP", "TABLE"],
    &["DROP", "INDEX"],
    &["DROP", "VIEW"],
    &["DROP", "TRIGGER"],
    &["INSERT"],
    &["UPDATE"],
    &["DELETE"],
    &["REPLACE"],
];

/// Words that may leave something behind, or ask for what a session did before; wherever they stand, also as a name, in
/// quotes, or in a comment.
const LEAVING: [&str; 10] = [
    // As the name of the temporary schema, too.
    "TEMP",
    "TEMPORARY",
    "PRAGMA",
    "ATTACH",
    "DETACH",
    // Registers a tokenizer with the connection, where that is switched on.
    "FTS3_TOKENIZER",
    "LOAD_EXTENSION",
    "CHANGES",
    "TOTAL_CHANGES",
    "LAST_INSERT_ROWID",
];

/// Whether a text leaves nothing in its session, and gets the same answers in a new one and in one that such texts used.
///
/// True only of texts that make, alter and drop what is in the file, and change its rows.
pub(super) fn leaves_nothing(text: &Text) -> bool {
    // SQLite takes this mark for a space, in the middle of a text too.
    if text.sql.contains('\u{feff}') {
        return false;
    }
    let words = || text.sql.split(|c: char| !is_in_name(c)).filter(|word| !word.is_empty());
    let begins_well = |statement: &str| {
        let words: Vec<&str> = statement.split_whitespace().take(3).collect();
        BEGINNINGS.iter().any(|all| {
            all.len() <= words.len() && all.iter().zip(&words).all(|(one, word)| one.eq_ignore_ascii_case(word))
        })
    };
    !text.directives.no_transaction
        && !words().any(|word| LEAVING.iter().any(|one| one.eq_ignore_ascii_case(word)) || is_pragma_function(word))
        && split(&text.sql, Dialect::Sqlite).is_ok_and(|all| all.iter().all(|one| begins_well(one.text)))
}

/// `pragma_table_info(…)` and its like.
fn is_pragma_function(word: &str) -> bool {
    word.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("pragma_"))
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::leaves_nothing;
    use crate::changeset::{Checksums, Directives, Text, Version};

    fn text(sql: &str, no_transaction: bool) -> Text {
        Text {
            file: "V1__x.sql".into(),
            sql: sql.into(),
            directives: Directives { no_transaction, ..Directives::default() },
            empty: false,
            checksums: Checksums::new(Version(1), "x", sql, None),
            origin: None,
        }
    }

    #[test]
    fn what_changes_the_file_alone_leaves_nothing() {
        for sql in [
            "",
            "-- a comment\nCREATE TABLE a (id int, template text);\ncreate unique\nindex a_id ON a (id);",
            "INSERT INTO a VALUES (1); UPDATE a SET id = 2; DELETE FROM a; REPLACE INTO a VALUES (3);",
            "ALTER TABLE a ADD b int; DROP TABLE a; DROP INDEX IF EXISTS i; CREATE VIEW v AS SELECT 1; DROP VIEW v;",
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET id = new.id; END; DROP TRIGGER t;",
        ] {
            assert!(leaves_nothing(&text(sql, false)), "{sql}");
        }
        assert!(!leaves_nothing(&text("CREATE TABLE a (id int)", true)));
    }

    #[test]
    fn what_may_leave_something_or_ask_for_it_is_told() {
        for sql in [
            "CREATE TEMP TABLE a (id int)",
            "CREATE temporary VIEW a AS SELECT 1",
            "CREATE TABLE temp.a (id int)",
            "CREATE TABLE \"Temp\".a (id int)",
            "CREATE TABLE [temp] . a (id int)",
            "CREATE TABLE 'temp'.a (id int)",
            "INSERT INTO a VALUES (1); PRAGMA foreign_keys = ON",
            "INSERT INTO a SELECT * FROM pragma_table_info('a')",
            "ATTACH ':memory:' AS o",
            "DETACH o",
            "CREATE VIRTUAL TABLE a USING fts5 (b)",
            "INSERT INTO a VALUES (total_changes())",
            "INSERT INTO a VALUES (changes())",
            "INSERT INTO a VALUES (\"last_insert_rowid\"())",
            "INSERT INTO a SELECT fts3_tokenizer('x', x'00')",
            "SELECT 1",
            "ANALYZE",
            "REINDEX",
            "VACUUM",
            "WITH x AS (SELECT 1) INSERT INTO a SELECT * FROM x",
            "CREATE/**/TABLE a (id int)",
            "CREATE TABLE \u{feff}temp.a (id int)",
            "INSERT INTO a VALUES ('open",
        ] {
            assert!(!leaves_nothing(&text(sql, false)), "{sql}");
        }
    }
}
