//! The rules of PostgreSQL, and what holds for every engine.

use super::{Dialect, EngineKind, SqlError, SqlMode, comments, position, split};

pub(super) const POSTGRES: Dialect = Dialect::Postgres;
pub(super) const SQLITE: Dialect = Dialect::Sqlite;
pub(super) const MYSQL: Dialect =
    Dialect::MySql(SqlMode { ansi_quotes: false, no_backslash_escapes: false, oracle: false });
pub(super) const ANSI: Dialect =
    Dialect::MySql(SqlMode { ansi_quotes: true, no_backslash_escapes: false, oracle: false });
pub(super) const NO_BACKSLASH: Dialect =
    Dialect::MySql(SqlMode { ansi_quotes: false, no_backslash_escapes: true, oracle: false });
pub(super) const ORACLE: Dialect =
    Dialect::MySql(SqlMode { ansi_quotes: true, no_backslash_escapes: false, oracle: true });

#[track_caller]
pub(super) fn texts(text: &str, dialect: Dialect) -> Vec<&str> {
    match split(text, dialect) {
        Ok(statements) => statements.into_iter().map(|statement| statement.text).collect(),
        Err(error) => panic!("{dialect:?}: {error}: {text}"),
    }
}

/// Checks each text against the statements it must give.
#[track_caller]
pub(super) fn check(dialect: Dialect, cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(texts(text, dialect), *expected, "{dialect:?}: {text}");
    }
}

/// Checks that each text is one statement, alone and before another one.
#[track_caller]
pub(super) fn check_whole(dialect: Dialect, statements: &[&str]) {
    for statement in statements {
        assert_eq!(texts(statement, dialect), [*statement], "{dialect:?}");
        let followed = format!("{statement};\nSELECT 1;");
        assert_eq!(texts(&followed, dialect), [*statement, "SELECT 1"], "{dialect:?}");
    }
}

/// Checks each text against the place and message of its error.
#[track_caller]
pub(super) fn check_errors(dialect: Dialect, cases: &[(&str, usize, &str)]) {
    for (text, offset, message) in cases {
        let (line, column) = position(text, *offset);
        let expected = SqlError { offset: *offset, line, column, message: (*message).to_owned() };
        assert_eq!(split(text, dialect), Err(expected), "{dialect:?}: {text}");
    }
}

pub(super) const EVERY: [Dialect; 6] = [POSTGRES, SQLITE, MYSQL, ANSI, NO_BACKSLASH, ORACLE];

#[test]
fn empty_statements_are_dropped_and_the_last_needs_no_terminator() {
    for dialect in EVERY {
        check(
            dialect,
            &[
                ("", &[]),
                (" \n\t", &[]),
                (";", &[]),
                (";;\n ; ", &[]),
                ("-- nothing\n/* here */ -- at all", &[]),
                ("SELECT 1", &["SELECT 1"]),
                ("SELECT 1;", &["SELECT 1"]),
                (";SELECT 1;; SELECT 2\n;\n", &["SELECT 1", "SELECT 2"]),
                ("\u{feff}SELECT 1;", &["SELECT 1"]),
            ],
        );
    }
}

#[test]
fn comments_around_a_statement_are_left_out_and_those_inside_stay() {
    for dialect in EVERY {
        check(
            dialect,
            &[
                ("-- a;b\nSELECT 1 -- c;d\n;", &["SELECT 1"]),
                ("/* ; */ SELECT /* ; */ 1 /* ; */; -- ;", &["SELECT /* ; */ 1"]),
                ("SELECT 1 -- it's ;\n + 2;", &["SELECT 1 -- it's ;\n + 2"]),
            ],
        );
    }
}

#[test]
fn quotes_hide_semicolons_and_doubled_quotes_stay_inside() {
    for dialect in EVERY {
        check(
            dialect,
            &[
                ("SELECT ';' ; SELECT 'it''s;' ", &["SELECT ';'", "SELECT 'it''s;'"]),
                ("SELECT \";\" ; SELECT \"a\"\";\" ", &["SELECT \";\"", "SELECT \"a\"\";\""]),
                ("SELECT '--;', '/*;', \"--;\" ; SELECT 1", &["SELECT '--;', '/*;', \"--;\"", "SELECT 1"]),
            ],
        );
    }
}

#[test]
fn a_statement_knows_the_place_of_its_first_token() -> Result<(), SqlError> {
    let text = "-- é\n  SELECT 'ü\n;'; /* ä */ SELECT 2;\n\n\tSELECT 3";
    for dialect in EVERY {
        let places: Vec<_> = split(text, dialect)?.iter().map(|s| (s.offset, s.line, s.column)).collect();
        assert_eq!(places, [(8, 2, 3), (32, 3, 13), (44, 5, 2)], "{dialect:?}");
    }
    Ok(())
}

#[test]
fn a_position_counts_characters_from_one_and_never_leaves_the_text() {
    let text = "aé\r\nb";
    let places: Vec<_> = (0..9).map(|offset| position(text, offset)).collect();
    assert_eq!(places, [(1, 1), (1, 2), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 2), (2, 2)]);
}

#[test]
fn what_is_never_closed_is_an_error_where_it_opened() {
    for dialect in EVERY {
        check_errors(
            dialect,
            &[
                ("SELECT 1;\nSELECT 'a;\nb", 17, "unterminated string literal"),
                ("SELECT 'a'';", 7, "unterminated string literal"),
            ],
        );
    }
    for dialect in [POSTGRES, SQLITE, ANSI, ORACLE] {
        check_errors(dialect, &[("SELECT é, \"a", 11, "unterminated quoted identifier")]);
    }
    for dialect in [MYSQL, ANSI, SQLITE] {
        check_errors(dialect, &[("SELECT `a;``", 7, "unterminated quoted identifier")]);
    }
    for dialect in [POSTGRES, MYSQL] {
        check_errors(dialect, &[("SELECT 1; /* a", 10, "unterminated comment")]);
    }
    check_errors(
        POSTGRES,
        &[
            ("/* a /* b */", 0, "unterminated comment"),
            ("DO $a$ ; $b$", 3, "unterminated dollar-quoted string"),
            ("SELECT E'a\\';", 7, "unterminated string literal"),
            ("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", 20, "BEGIN without END"),
        ],
    );
    check_errors(SQLITE, &[("SELECT [a", 7, "unterminated quoted identifier")]);
}

#[test]
fn postgres_backslashes_escape_only_in_escape_strings() {
    check(
        POSTGRES,
        &[
            (r"SELECT '\'; SELECT 2", &[r"SELECT '\'", "SELECT 2"]),
            (r"SELECT E'\';'; SELECT e'\\'; SELECT 2", &[r"SELECT E'\';'", r"SELECT e'\\'", "SELECT 2"]),
            (
                r"SELECT U&'\'; SELECT b'1', X'ff'; SELECT n'\'",
                &[r"SELECT U&'\'", "SELECT b'1', X'ff'", r"SELECT n'\'"],
            ),
            (r"SELECT nice'\'; SELECT 2", &[r"SELECT nice'\'", "SELECT 2"]),
            // An escape string goes on behind a line's end.
            ("SELECT E'a' -- b\n'\\';'; SELECT 2", &["SELECT E'a' -- b\n'\\';'", "SELECT 2"]),
            ("SELECT E'a' '\\'; SELECT 2", &["SELECT E'a' '\\'", "SELECT 2"]),
            (r#"SELECT "\"; SELECT U&"\"; SELECT 2"#, &[r#"SELECT "\""#, r#"SELECT U&"\""#, "SELECT 2"]),
            ("SELECT `a; SELECT [1; SELECT #2", &["SELECT `a", "SELECT [1", "SELECT #2"]),
        ],
    );
}

#[test]
fn postgres_dollar_quotes_close_with_their_own_tag() {
    check(
        POSTGRES,
        &[
            ("DO $$ BEGIN; 'x $a$ END $$; SELECT 1", &["DO $$ BEGIN; 'x $a$ END $$", "SELECT 1"]),
            ("SELECT $a$ ; $$ ; $b$ $a$; SELECT 1", &["SELECT $a$ ; $$ ; $b$ $a$", "SELECT 1"]),
            ("SELECT $é1_$;$é1_$; SELECT 1", &["SELECT $é1_$;$é1_$", "SELECT 1"]),
            // Not behind an identifier, not a parameter, no tag with a digit first.
            ("SELECT a$$; SELECT b$$", &["SELECT a$$", "SELECT b$$"]),
            ("SELECT a$x$; SELECT b$x$", &["SELECT a$x$", "SELECT b$x$"]),
            ("SELECT $1, $2; SELECT $1", &["SELECT $1, $2", "SELECT $1"]),
            ("SELECT $1$; SELECT 2$;", &["SELECT $1$", "SELECT 2$"]),
            ("SELECT 1$$;$$; SELECT 2", &["SELECT 1$$;$$", "SELECT 2"]),
        ],
    );
}

#[test]
fn postgres_comments_nest_and_end_at_a_carriage_return() {
    check(
        POSTGRES,
        &[
            ("SELECT 1 /* a /* ; */ ; */; SELECT 2", &["SELECT 1", "SELECT 2"]),
            ("SELECT 1 /* /*/ ; */ */ + 1; SELECT 2", &["SELECT 1 /* /*/ ; */ */ + 1", "SELECT 2"]),
            ("SELECT 5--1;\n; SELECT 2", &["SELECT 5", "SELECT 2"]),
            ("SELECT 1 -- a\rFROM t; SELECT 2", &["SELECT 1 -- a\rFROM t", "SELECT 2"]),
            ("SELECT 1 /*! ; */; SELECT 2", &["SELECT 1", "SELECT 2"]),
        ],
    );
}

#[test]
fn postgres_semicolons_in_parentheses_and_sql_bodies_do_not_split() {
    check_whole(
        POSTGRES,
        &[
            "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b;)",
            "CREATE FUNCTION f(a int DEFAULT 1) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a; SELECT 2; END",
            "create or replace procedure p() begin /* c */ atomic\n insert into t values (1);\n end",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN CASE 1 WHEN 1 THEN 2 END END; END",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS \"end\"; SELECT 1 AS end; SELECT t.end FROM t; END",
            "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ATOMIC; $$",
            "CREATE FUNCTION begin() RETURNS int AS 'select 1' LANGUAGE sql",
        ],
    );
    check(
        POSTGRES,
        &[
            ("BEGIN; SELECT 1; END; SELECT 2", &["BEGIN", "SELECT 1", "END", "SELECT 2"]),
            ("SELECT 1); SELECT 2", &["SELECT 1)", "SELECT 2"]),
            ("BEGIN ATOMIC; END", &["BEGIN ATOMIC", "END"]),
        ],
    );
}

#[test]
fn a_dump_of_postgres_splits_at_its_functions_and_triggers() {
    let text = r#"--
-- PostgreSQL database dump
--
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

CREATE FUNCTION public.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
DECLARE
    n text := $$it's;$$;
BEGIN
    NEW.updated_at := now(); -- $1
    RETURN NEW;
END;
$_$;


ALTER FUNCTION public.touch() OWNER TO app;

CREATE TRIGGER touch BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.touch();
COMMENT ON TABLE public.t IS 'a; b';
"#;
    let statements = texts(text, POSTGRES);
    let begins: Vec<_> = statements.iter().map(|s| s.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        begins,
        [
            "SET standard_conforming_strings",
            "SELECT pg_catalog.set_config('search_path',",
            "CREATE FUNCTION",
            "ALTER FUNCTION",
            "CREATE TRIGGER",
            "COMMENT ON"
        ]
    );
    assert!(statements[2].ends_with("END;\n$_$"));
}

#[test]
fn every_comment_is_listed_with_its_marks() -> Result<(), SqlError> {
    let text = "-- mtmigrate: x\r\n/* a\n*/ SELECT '--', /* b */ 1; -- c";
    for dialect in EVERY {
        let found = comments(text, dialect)?;
        let found: Vec<_> = found.iter().map(|c| (c.text, c.offset, c.line, c.before_first_statement)).collect();
        let expected = [
            ("-- mtmigrate: x", 0, 1, true),
            ("/* a\n*/", 17, 2, true),
            ("/* b */", 38, 3, false),
            ("-- c", 49, 3, false),
        ];
        assert_eq!(found, expected, "{dialect:?}");
    }
    let found = comments("# a\n/*! SELECT /*+ h */ 1 */; /*M!100000 SET x = 1 */", MYSQL)?;
    let found: Vec<_> = found.iter().map(|c| (c.text, c.before_first_statement)).collect();
    assert_eq!(found, [("# a", true), ("/*+ h */", false)]);
    let found = comments("COPY t FROM stdin;\n-- data\n\\.\n-- a\n\\connect it's -- b\n", POSTGRES)?;
    assert_eq!(found.iter().map(|c| c.text).collect::<Vec<_>>(), ["-- a"]);
    Ok(())
}

#[test]
fn engines_are_named_as_in_the_files() {
    for engine in EngineKind::ALL {
        assert_eq!(EngineKind::parse(engine.as_str()), Some(engine));
        assert_eq!(engine.to_string(), engine.as_str());
    }
    assert_eq!(EngineKind::parse("mariadb"), None);
    assert_eq!(Dialect::default_for(EngineKind::MySql), MYSQL);
}

#[test]
fn a_text_of_twenty_megabytes_is_read_in_linear_time() -> Result<(), SqlError> {
    let shapes = [
        "SELECT 1;",
        ";",
        "/*",
        "*/",
        "'",
        "$a",
        "$$",
        "((((",
        "E'a'\n",
        "E'a' -- b\n",
        "1.",
        "a.",
        "--",
        "\n",
        "`",
        "é",
        "BEGIN\n",
        "CREATE PROCEDURE p() BEGIN ",
        "/*! ",
        "case ",
        "DELIMITER //\n//",
        "\\x\n",
        "COPY t FROM stdin;\n",
        "SET sql_mode='',",
        "SET a=1;",
        "[",
        "$a$;",
        "@",
        "@a.",
        "x'",
        "\"",
        "<<",
        "DECLARE HANDLER FOR 1,",
    ];
    for shape in shapes {
        // A quadratic reader needs hours for these.
        let text = shape.repeat(100_000 / shape.len());
        for dialect in EVERY {
            let _ = split(&text, dialect);
            let _ = super::hazards(&text, dialect);
            let _ = comments(&text, dialect);
        }
    }
    let long = "INSERT INTO t VALUES (1, 'it''s; é'); ".repeat(20_000_000 / 39);
    assert_eq!(split(&long, MYSQL)?.len(), 20_000_000 / 39);
    Ok(())
}
