//! Tells the texts whose effect on a schema follows from the schema alone.

use super::lexer::{Kind, Lexer};
use super::{Dialect, EngineKind, split};

/// How a statement may begin, in words.
const BEGINNINGS: [&[&str]; 9] = [
    &["CREATE", "TABLE"],
    &["CREATE", "UNLOGGED", "TABLE"],
    &["CREATE", "INDEX"],
    &["CREATE", "UNIQUE", "INDEX"],
    &["ALTER", "TABLE"],
    &["DROP", "TABLE"],
    &["DROP", "INDEX"],
    &["COMMENT", "ON", "TABLE"],
    &["COMMENT", "ON", "INDEX"],
];

/// Words that may make the effect depend on something else: on what is there already, on another table's columns, on
/// data, on code, on another session's work, on operators and collations, which no description holds.
const DEPENDING: [&str; 18] = [
    "IF",
    "LIKE",
    "AS",
    "OF",
    "INHERITS",
    "INHERIT",
    "ATTACH",
    "EXTENSION",
    "CONCURRENTLY",
    "SELECT",
    "EXECUTE",
    "CHECK",
    "COLLATE",
    "EXCLUDE",
    "USING",
    "WHERE",
    "SCHEMA",
    // Of every schema: ALTER TABLE ALL IN TABLESPACE.
    "TABLESPACE",
];

/// Whether the text does the same to every tenant of one database whose schemas are equal, or fails.
///
/// True only of PostgreSQL texts that make, alter and drop tables and indexes unconditionally, without a qualified
/// name anywhere: such a name may be another tenant's. Everything else is "no", also what is harmless.
pub fn is_plain(text: &str, engine: EngineKind) -> bool {
    let plain =
        |text| split(text, Dialect::Postgres).is_ok_and(|all| all.iter().all(|one| is_plain_statement(one.text)));
    engine == EngineKind::Postgres && plain(text)
}

/// Whether the text does nothing but make tables and indexes, plainly: [`is_plain`], and no code of anybody's runs that could
/// change the session. A new table has no rows to be computed or checked, and PostgreSQL takes back what the code of an
/// index's expressions and operators did to the session.
/// <https://www.postgresql.org/docs/current/release-8-4-2.html>
pub fn only_makes(text: &str, engine: EngineKind) -> bool {
    let makes = |statement: &str| {
        let mut words = statement.split_whitespace().map(str::to_ascii_uppercase);
        words.next().as_deref() == Some("CREATE")
    };
    is_plain(text, engine) && split(text, Dialect::Postgres).is_ok_and(|all| all.iter().all(|one| makes(one.text)))
}

fn is_plain_statement(statement: &str) -> bool {
    let mut lexer = Lexer::new(statement, Dialect::Postgres);
    let mut words: Vec<String> = Vec::new();
    loop {
        let token = match lexer.next() {
            Ok(Some(token)) => token,
            Ok(None) => break,
            Err(_) => return false,
        };
        let written = &statement[token.span()];
        match token.kind {
            Kind::Word => {
                let word = written.to_ascii_uppercase();
                // What is dropped with its dependents may take something of a neighbour's with it.
                let drops_more =
                    word == "CASCADE" && !matches!(words.last().map(String::as_str), Some("DELETE" | "UPDATE"));
                if drops_more || DEPENDING.contains(&word.as_str()) {
                    return false;
                }
                words.push(word);
            }
            // Elsewhere a literal may be a name: of a relation, of a text search configuration.
            Kind::Text if !matches!(words.last().map(String::as_str), Some("DEFAULT" | "IS")) => return false,
            Kind::Symbol(b':') => return false,
            Kind::Symbol(b'.') if !is_in_number(statement, token.start) => return false,
            Kind::Variable => return false,
            _ => {}
        }
    }
    BEGINNINGS
        .iter()
        .any(|beginning| words.iter().map(String::as_str).take(beginning.len()).eq(beginning.iter().copied()))
}

/// Whether the dot at this byte stands between digits.
fn is_in_number(statement: &str, dot: usize) -> bool {
    let digit = |at: Option<usize>| at.and_then(|at| statement.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    digit(dot.checked_sub(1)) && digit(Some(dot + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_the_schema_alone_is_plain() {
        for text in [
            "",
            "-- a comment\nCREATE TABLE a (id bigint)",
            "CREATE TABLE a (id bigint PRIMARY KEY, note text NOT NULL DEFAULT 'x', rate numeric DEFAULT 0.5);
             CREATE UNIQUE INDEX a_note ON a (lower(note));",
            "ALTER TABLE a ADD COLUMN b int REFERENCES c ON DELETE CASCADE, DROP COLUMN d; DROP INDEX e; COMMENT ON TABLE a IS 'it''s'",
            "alter table \"IF\" rename to \"select\"",
        ] {
            assert!(is_plain(text, EngineKind::Postgres), "{text}");
        }
    }

    #[test]
    fn what_computes_or_checks_rows_does_more_than_make() {
        for (text, makes) in [
            ("CREATE TABLE a (id bigint DEFAULT f()); create unique index i ON a (lower(note));", true),
            ("-- a comment\nCREATE UNLOGGED TABLE a (id bigint)", true),
            ("/* a */ CREATE TABLE a (id bigint)", true),
            ("CREATE TABLE a (id int); ALTER TABLE a ADD b int DEFAULT f()", false),
            ("ALTER TABLE a ADD CONSTRAINT c UNIQUE (b)", false),
            ("DROP TABLE a", false),
            ("COMMENT ON TABLE a IS 'x'", false),
            ("CREATE TABLE a (id int CHECK (f(id)))", false),
            ("CREATE TABLE a (id int); SELECT f()", false),
        ] {
            assert_eq!(only_makes(text, EngineKind::Postgres), makes, "{text}");
        }
        assert!(!only_makes("CREATE TABLE a (id int)", EngineKind::Sqlite));
    }

    #[test]
    fn what_may_depend_on_anything_else_is_not() {
        for text in [
            "CREATE TABLE IF NOT EXISTS a (id int)",
            "DROP TABLE IF EXISTS a",
            "DROP TABLE a CASCADE",
            "ALTER TABLE a SET SCHEMA other",
            "ALTER TABLE a DROP COLUMN b CASCADE",
            "ALTER TABLE a ADD COLUMN IF NOT EXISTS b int",
            "CREATE TABLE a (LIKE b)",
            "CREATE TABLE a (b int CHECK (b === 1))",
            "CREATE TABLE a (b text COLLATE c)",
            "CREATE INDEX i ON a (to_tsvector('english', b))",
            "ALTER TABLE a ADD b regconfig DEFAULT 'english'::regconfig",
            "CREATE TABLE a AS TABLE b",
            "CREATE TABLE other.a (id int)",
            "CREATE TABLE a (id int REFERENCES \"other\".b)",
            "ALTER TABLE a ALTER b SET DEFAULT nextval('other.s')",
            "CREATE TEMP TABLE a (id int)",
            "CREATE INDEX CONCURRENTLY i ON a (b)",
            "CREATE TABLE a (id int); SELECT f()",
            "DO $$ BEGIN ALTER TABLE a ADD b int; END $$",
            "CALL p()",
            "INSERT INTO a VALUES (1)",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1",
            "CREATE VIEW v AS TABLE a",
            "SET search_path = other; CREATE TABLE a (id int)",
            "CREATE TABLE a (b text DEFAULT 'unterminated)",
            "CREATE EXTENSION citext",
            "ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE other",
            "COMMENT ON DATABASE d IS 'x'",
            "COMMENT ON ROLE r IS 'x'",
            "COMMENT ON TABLESPACE t IS 'x'",
        ] {
            assert!(!is_plain(text, EngineKind::Postgres), "{text}");
        }
        assert!(!is_plain("CREATE TABLE a (id int)", EngineKind::Sqlite), "its files are measured at no cost");
    }
}
