//! What must be found before any tenant sees a text, and what must not be taken for it.

use super::HazardKind::{
    ChangesDatabase, ClientCommand, CopyFromStdin, ForeignKeysPragma, MetaCommand, TransactionControl,
};
use super::tests::{EVERY, MYSQL, ORACLE, POSTGRES, SQLITE};
use super::{Dialect, HazardKind, hazards};

/// A kind, an offset in bytes and the words.
type Found<'a> = (HazardKind, usize, &'a str);

#[track_caller]
fn check(dialect: Dialect, cases: &[(&str, &[Found])]) {
    for (text, expected) in cases {
        let found = hazards(text, dialect).unwrap_or_else(|error| panic!("{dialect:?}: {error}: {text}"));
        let found: Vec<_> = found.iter().map(|hazard| (hazard.kind, hazard.offset, hazard.words.as_str())).collect();
        assert_eq!(found, *expected, "{dialect:?}: {text}");
    }
}

/// Checks that each statement is one hazard of transaction control, shown by the words given.
#[track_caller]
fn check_control(dialect: Dialect, cases: &[(&str, &str)]) {
    for (statement, words) in cases {
        check(dialect, &[(&format!("SELECT 1;{statement}; SELECT 2"), &[(TransactionControl, 9, words)])]);
    }
}

#[track_caller]
fn check_harmless(dialect: Dialect, texts: &[&str]) {
    for text in texts {
        check(dialect, &[(text, &[])]);
    }
}

#[test]
fn transaction_control_is_found_in_every_engine() {
    for dialect in EVERY {
        check_control(
            dialect,
            &[
                ("BEGIN", "BEGIN"),
                ("commit", "commit"),
                ("COMMIT AND CHAIN", "COMMIT"),
                ("ROLLBACK", "ROLLBACK"),
                ("RollBack /* x */", "RollBack"),
            ],
        );
        check_harmless(
            dialect,
            &[
                "SAVEPOINT a; ROLLBACK TO a; ROLLBACK TO SAVEPOINT a; RELEASE a",
                "SELECT 'COMMIT;' -- ; COMMIT;\n; /* ; COMMIT; */",
                "SELECT commit; DROP TABLE begin; COMMENT ON TABLE a IS 'b'",
            ],
        );
    }
}

#[test]
fn transaction_control_has_words_of_its_own_in_each_engine() {
    check_control(
        POSTGRES,
        &[
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
            ("BEGIN  WORK", "BEGIN WORK"),
            ("start\ntransaction READ ONLY", "start transaction"),
            ("END", "END"),
            ("END TRANSACTION", "END"),
            ("ABORT", "ABORT"),
            ("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION"),
            ("COMMIT PREPARED 'x'", "COMMIT PREPARED"),
            ("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED"),
            ("ROLLBACK WORK", "ROLLBACK"),
        ],
    );
    check_harmless(
        POSTGRES,
        &[
            "PREPARE p AS SELECT 1; SET autocommit = 0; LOCK TABLE t; LOCK TABLES; ROLLBACK TRANSACTION TO a",
            "DO $$ BEGIN COMMIT; END $$; CREATE PROCEDURE p() LANGUAGE plpgsql AS $a$ BEGIN COMMIT; END $a$",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END",
        ],
    );
    check_control(
        MYSQL,
        &[
            ("BEGIN WORK", "BEGIN WORK"),
            ("START TRANSACTION", "START TRANSACTION"),
            ("XA START 'x'", "XA START"),
            ("SET autocommit = 0", "SET autocommit"),
            ("SET SESSION autocommit := ON", "SET SESSION autocommit"),
            ("SET @a = 1, @@session.AUTOCOMMIT = 0", "SET @a = 1, @@session.AUTOCOMMIT"),
            ("SET @@autocommit=1", "SET @@autocommit"),
        ],
    );
    check_harmless(
        MYSQL,
        &[
            "BEGIN NOT ATOMIC COMMIT; END; CREATE PROCEDURE p() BEGIN START TRANSACTION; COMMIT; END",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN COMMIT; END; START REPLICA; END",
            // They commit, as DDL does, and every dump has them.
            "LOCK TABLES t WRITE; UNLOCK TABLES",
            "SET @autocommit = 0; SET @a = @@autocommit; SET NAMES utf8; LOCK INSTANCE FOR BACKUP",
            "DELIMITER //\nCREATE PROCEDURE p() BEGIN COMMIT; END; //\nDELIMITER ;\n",
        ],
    );
    check(
        MYSQL,
        &[
            ("/*!40000 COMMIT */;", &[(TransactionControl, 9, "COMMIT")]),
            ("DELIMITER //\nSELECT 1; COMMIT //", &[(TransactionControl, 23, "COMMIT")]),
            ("BEGIN INSERT INTO t VALUES (1)", &[(TransactionControl, 0, "BEGIN")]),
        ],
    );
    check_harmless(ORACLE, &["BEGIN COMMIT; END"]);
    check_control(
        SQLITE,
        &[("BEGIN IMMEDIATE", "BEGIN"), ("END TRANSACTION", "END"), ("ROLLBACK TRANSACTION", "ROLLBACK")],
    );
    check_harmless(
        SQLITE,
        &[
            "START TRANSACTION; ABORT; ROLLBACK TRANSACTION TO SAVEPOINT a; SET autocommit = 0",
            "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END",
        ],
    );
}

#[test]
fn psql_commands_are_found_though_what_follows_is_no_sql() {
    check(
        POSTGRES,
        &[
            (
                "\\restrict abc\nSELECT 1;\n\\unrestrict abc",
                &[(MetaCommand, 0, "\\restrict"), (MetaCommand, 24, "\\unrestrict")],
            ),
            (
                "SELECT 1;\n  \\connect it's\nCOMMIT;",
                &[(MetaCommand, 12, "\\connect"), (TransactionControl, 26, "COMMIT")],
            ),
            ("\\echo a\nSELECT 'b", &[(MetaCommand, 0, "\\echo")]),
            ("\\.", &[(MetaCommand, 0, "\\.")]),
            ("SELECT 1 \\gexec\nCOMMIT", &[(MetaCommand, 9, "\\gexec"), (TransactionControl, 16, "COMMIT")]),
        ],
    );
    check_harmless(POSTGRES, &["SELECT '\n\\restrict', $$\n\\connect$$ -- \\x\n/*\n\\y */, \"\n\\z\""]);
    assert!(hazards("SELECT 'a\n\\restrict x", POSTGRES).is_err(), "the fault comes first");
    assert!(hazards("COMMIT; SELECT 'a", POSTGRES).is_err());
}

#[test]
fn copy_from_stdin_is_found_and_its_data_are_passed_over() {
    check(
        POSTGRES,
        &[
            (
                "COPY t (a, b) FROM stdin;\n1\tit's\n\\N\t\"\n\\.\nCOMMIT;",
                &[(CopyFromStdin, 0, "COPY t (a, b) FROM stdin"), (TransactionControl, 41, "COMMIT")],
            ),
            ("copy\n  t from -- x\n STDIN WITH (FORMAT csv)", &[(CopyFromStdin, 0, "copy t from -- x STDIN")]),
            ("COPY t FROM STDIN;\n'", &[(CopyFromStdin, 0, "COPY t FROM STDIN")]),
            (
                "COPY \"a very long name that goes on and on\" (\"and a long column\") FROM STDIN",
                &[(CopyFromStdin, 0, "COPY \"a very long name that goes on and on\" (\"and a long col")],
            ),
        ],
    );
    check_harmless(
        POSTGRES,
        &[
            "COPY t FROM 'stdin'; COPY t TO STDOUT; COPY (SELECT 1 FROM stdin) TO '/x'; SELECT 1 FROM stdin",
            "COPY t FROM PROGRAM 'x'; COPY t (\"from stdin\") FROM '/x'",
        ],
    );
    check_harmless(MYSQL, &["COPY t FROM STDIN"]);
}

#[test]
fn commands_of_the_mysql_and_sqlite_clients_are_found() {
    check(
        MYSQL,
        &[
            ("source it's.sql\nSELECT 1;\nSYSTEM ls", &[(ClientCommand, 0, "source"), (ClientCommand, 26, "SYSTEM")]),
            ("\\. a.sql\nSELECT 1;\n  \\! ls", &[(ClientCommand, 0, "\\."), (ClientCommand, 21, "\\!")]),
            ("DELIMITER //\nSELECT 1//\nsource a", &[(ClientCommand, 24, "source")]),
        ],
    );
    check_harmless(MYSQL, &["SELECT source, system FROM\nsource; SELECT '\nsource x'"]);
    check(
        SQLITE,
        &[
            (".read it's\nSELECT 1;\n.mode csv", &[(ClientCommand, 0, ".read"), (ClientCommand, 21, ".mode")]),
            ("SELECT 1;\n.quit\n'", &[(ClientCommand, 10, ".quit")]),
        ],
    );
    check_harmless(SQLITE, &["SELECT a\n.b FROM a; SELECT '\n.read x'"]);
}

#[test]
fn the_foreign_keys_pragma_of_sqlite_is_found() {
    check(
        SQLITE,
        &[
            ("PRAGMA foreign_keys = OFF; SELECT 1", &[(ForeignKeysPragma, 0, "PRAGMA foreign_keys = OFF")]),
            ("pragma main.\"Foreign_Keys\"(1)", &[(ForeignKeysPragma, 0, "pragma main.\"Foreign_Keys\"(1)")]),
            ("PRAGMA /* x */ foreign_keys", &[(ForeignKeysPragma, 0, "PRAGMA /* x */ foreign_keys")]),
        ],
    );
    check_harmless(SQLITE, &["PRAGMA foreign_key_check; PRAGMA foreign_key_list(t); PRAGMA defer_foreign_keys = ON"]);
    check_harmless(POSTGRES, &["PRAGMA foreign_keys = ON"]);
}

#[test]
fn a_hazard_knows_its_line_and_column() {
    let found = hazards("SELECT 'é';\n /* ü */ COMMIT;", POSTGRES).unwrap_or_default();
    assert_eq!(found.iter().map(|h| (h.line, h.column)).collect::<Vec<_>>(), [(2, 10)]);
}

#[test]
fn a_use_leads_to_another_database_unless_it_is_a_word_of_something_else() {
    check(
        MYSQL,
        &[
            ("USE other; SELECT 1", &[(ChangesDatabase, 0, "USE other")]),
            ("SELECT 1;\nuse `a``b`;", &[(ChangesDatabase, 10, "use `a``b`")]),
        ],
    );
    check_harmless(MYSQL, &["SELECT * FROM t USE INDEX (i); SELECT 'USE x'; -- USE y\nSELECT 1"]);
    check_harmless(SQLITE, &["SELECT use FROM t"]);
}
