//! What tells of each kind of statement.

use super::*;
use crate::sql::SqlMode;

const MYSQL: Dialect = Dialect::MySql(SqlMode { ansi_quotes: false, no_backslash_escapes: false, oracle: false });

/// A trace in a word, its probes in words.
fn told(statement: &str, dialect: Dialect) -> String {
    match trace(statement, dialect) {
        Trace::Atomic => "atomic".into(),
        Trace::Opens => "opens".into(),
        Trace::Again => "again".into(),
        Trace::Nothing => "nothing".into(),
        Trace::Things(probes) => {
            let words = |probe: &Probe| {
                let sign = if probe.makes { '+' } else { '-' };
                format!("{sign}{}{}", probe.thing, if probe.guarded { "?" } else { "" })
            };
            probes.iter().map(words).collect::<Vec<_>>().join(", ")
        }
    }
}

#[track_caller]
fn assert_told(dialect: Dialect, all: &[(&str, &str)]) {
    for (statement, expected) in all {
        assert_eq!(told(statement, dialect), *expected, "{statement}");
    }
}

#[test]
fn what_mysql_makes_and_takes_away_is_named() {
    assert_told(
        MYSQL,
        &[
            ("CREATE TABLE orders (id int, KEY k (id))", "+table orders"),
            ("create table `my``t` like other", "+table my`t"),
            ("CREATE ALGORITHM = MERGE DEFINER = `a`@`%` SQL SECURITY INVOKER VIEW v AS SELECT 1", "+view v"),
            ("CREATE SEQUENCE s", "+sequence s"),
            ("CREATE DEFINER=root@localhost PROCEDURE p() BEGIN SELECT 1; END", "+procedure p"),
            ("CREATE FUNCTION f() RETURNS int RETURN 1", "+function f"),
            ("CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1", "+trigger tr"),
            ("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t", "+event e"),
            ("CREATE UNIQUE INDEX i USING BTREE ON t (a)", "+index i of table t"),
            ("DROP TABLE a, b", "-table a, -table b"),
            ("DROP INDEX i ON t", "-index i of table t"),
            ("DROP TRIGGER tr", "-trigger tr"),
            ("RENAME TABLE a TO b, c TO d", "-table a, +table b, -table c, +table d"),
            // Swapped by way of a third: what is both made and taken says nothing.
            ("RENAME TABLE a TO x, b TO a, x TO b", "nothing"),
        ],
    );
}

#[test]
fn the_clauses_of_alter_table_are_read_one_by_one() {
    assert_told(
        MYSQL,
        &[
            ("ALTER TABLE t ADD COLUMN a int, ADD b decimal(8, 2) NOT NULL", "+column t.a, +column t.b"),
            ("ALTER TABLE t ADD (a int, b int, KEY k (a))", "+column t.a, +column t.b"),
            ("ALTER TABLE t DROP a, DROP COLUMN b", "-column t.a, -column t.b"),
            ("ALTER TABLE t ADD INDEX i (a), DROP KEY j", "+index i of table t, -index j of table t"),
            ("ALTER TABLE t ADD UNIQUE KEY u (a), ADD FULLTEXT f (b)", "+index u of table t, +index f of table t"),
            ("ALTER TABLE t ADD PRIMARY KEY (id)", "+index PRIMARY of table t"),
            ("ALTER TABLE t DROP PRIMARY KEY", "-index PRIMARY of table t"),
            ("ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES o (id)", "+constraint c of table t"),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "+constraint c of table t"),
            ("ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)", "+index u of table t"),
            ("ALTER TABLE t DROP FOREIGN KEY c", "-constraint c of table t"),
            ("ALTER TABLE t DROP CONSTRAINT c", "-constraint c of table t"),
            ("ALTER TABLE t CHANGE a b bigint", "-column t.a, +column t.b"),
            ("ALTER TABLE t RENAME COLUMN a TO b", "-column t.a, +column t.b"),
            ("ALTER TABLE t RENAME INDEX a TO b", "-index a of table t, +index b of table t"),
            ("ALTER TABLE t RENAME TO u, ADD a int", "-table t, +table u"),
            ("ALTER ONLINE TABLE t ADD a int", "+column t.a"),
            // One clause tells for all.
            ("ALTER TABLE t MODIFY a bigint, ADD b int", "+column t.b"),
            ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD b int", "+column t.a?, +column t.b"),
            ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, DROP COLUMN IF EXISTS b", "again"),
            ("ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, MODIFY b bigint", "nothing"),
            ("ALTER TABLE t MODIFY a bigint", "nothing"),
            ("ALTER TABLE t CHANGE a A bigint", "nothing"),
            ("ALTER TABLE t ADD INDEX (a)", "nothing"),
            ("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES o (id)", "nothing"),
            ("ALTER TABLE t DROP INDEX i, ADD INDEX i (b)", "nothing"),
            ("ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a", "nothing"),
            ("ALTER TABLE t ADD PARTITION (PARTITION p VALUES LESS THAN (9))", "nothing"),
            ("ALTER TABLE t ENGINE = InnoDB", "nothing"),
            ("ALTER TABLE other.t ADD a int", "nothing"),
            ("ALTER TABLE t RENAME TO other.t", "nothing"),
            ("ALTER TABLE t", "nothing"),
        ],
    );
}

#[test]
fn what_mysql_can_commit_with_its_row_and_what_it_can_do_again() {
    assert_told(
        MYSQL,
        &[
            ("INSERT INTO t VALUES (1)", "atomic"),
            ("insert low_priority ignore t select * from other.u", "atomic"),
            ("REPLACE t VALUES (1)", "atomic"),
            ("UPDATE t JOIN u ON t.id = u.id SET t.a = u.a", "atomic"),
            ("DELETE FROM t WHERE id = 1", "atomic"),
            ("WITH x AS (SELECT 1) DELETE FROM t", "atomic"),
            ("LOAD DATA INFILE '/f' INTO TABLE t", "atomic"),
            ("SELECT f(1)", "atomic"),
            ("COMMIT", "atomic"),
            ("INSERT INTO other.t VALUES (1)", "nothing"),
            ("INSERT DELAYED INTO t VALUES (1)", "nothing"),
            ("UPDATE other.t SET a = 1", "nothing"),
            ("DELETE other.t FROM other.t JOIN u ON t.id = u.id", "nothing"),
            ("SELECT 1 INTO OUTFILE '/f'", "nothing"),
            ("CALL p()", "nothing"),
            ("EXECUTE s", "nothing"),
            ("TRUNCATE t", "nothing"),
            ("LOCK TABLES t WRITE", "nothing"),
            ("COMMIT AND CHAIN", "nothing"),
            ("XA COMMIT 'x'", "nothing"),
            ("/*!50000 INSERT INTO t VALUES (1) */", "nothing"),
            ("SELECT COUNT(*) INTO @n FROM t", "again"),
            ("CREATE TABLE IF NOT EXISTS t (id int)", "again"),
            ("CREATE OR REPLACE VIEW v AS SELECT 1", "again"),
            ("CREATE OR REPLACE FUNCTION f() RETURNS int RETURN 1", "again"),
            ("CREATE TEMPORARY TABLE t (id int)", "again"),
            ("CREATE TEMPORARY TABLE t AS SELECT id FROM a", "again"),
            ("CREATE TEMPORARY TABLE t SELECT f(id) FROM a", "nothing"),
            ("DROP TABLE IF EXISTS t", "again"),
            ("OPTIMIZE TABLE t", "again"),
            ("SET NAMES utf8mb4", "again"),
            ("/*!40101 SET NAMES utf8mb4 */", "again"),
            ("/*!40014 SET @OLD=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */", "again"),
            ("/*!40000 ALTER TABLE t DISABLE KEYS */", "nothing"),
            ("SET @a = 1, @@sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')", "again"),
            ("SET @s = (SELECT IF(COUNT(*) = 0, 'a', 'b') FROM information_schema.columns)", "again"),
            ("SET @s = (SELECT f())", "nothing"),
            ("SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)", "nothing"),
            ("SET GLOBAL x = @@x + 1", "nothing"),
            ("SET autocommit = 0", "opens"),
            ("START TRANSACTION", "opens"),
            ("BEGIN", "opens"),
            ("BEGIN NOT ATOMIC SELECT 1; END", "nothing"),
            ("ROLLBACK", "again"),
            // These may have rows by now, or be there and not be filled.
            ("CREATE OR REPLACE TABLE t (id int)", "nothing"),
            ("CREATE TABLE t SELECT * FROM u", "nothing"),
            ("CREATE TABLE IF NOT EXISTS t AS (SELECT 1)", "nothing"),
            ("CREATE OR REPLACE SEQUENCE s", "nothing"),
            ("ANALYZE UPDATE t SET a = 1", "nothing"),
            ("", "nothing"),
        ],
    );
}

#[test]
fn under_ansi_quotes_a_double_quoted_word_is_a_name() {
    let ansi = Dialect::MySql(SqlMode { ansi_quotes: true, ..SqlMode::default() });
    assert_eq!(told("ALTER TABLE \"t\" ADD \"a b\" int", ansi), "+column t.a b");
    assert_eq!(told("ALTER TABLE \"t\" ADD \"a b\" int", MYSQL), "nothing");
}

#[test]
fn postgres_commits_nearly_everything_with_its_row() {
    assert_told(
        Dialect::Postgres,
        &[
            ("CREATE TABLE t (id int)", "atomic"),
            ("ALTER TABLE t ADD COLUMN a int", "atomic"),
            ("INSERT INTO t VALUES (1)", "atomic"),
            ("CREATE INDEX i ON t (a)", "atomic"),
            ("ALTER TYPE e RENAME VALUE 'a' TO 'b'", "atomic"),
            ("EXPLAIN ANALYZE DELETE FROM t", "atomic"),
            ("COMMIT", "atomic"),
            ("CREATE INDEX CONCURRENTLY i ON t (a)", "+index i"),
            ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"I x\" ON ONLY T (a)", "+index I x?"),
            ("CREATE INDEX CONCURRENTLY Orders_Ref ON t (a)", "+index orders_ref"),
            ("DROP INDEX CONCURRENTLY i", "-index i"),
            ("DROP INDEX CONCURRENTLY IF EXISTS i RESTRICT", "again"),
            ("ALTER TYPE mood ADD VALUE 'it''s' AFTER 'ok'", "+value it's of type mood"),
            ("ALTER TYPE mood ADD VALUE IF NOT EXISTS 'x'", "again"),
            ("VACUUM t", "again"),
            ("SET search_path = x", "again"),
            ("ALTER SYSTEM SET work_mem = '1MB'", "again"),
            ("CREATE TEMP TABLE t (id int)", "again"),
            ("CREATE UNLOGGED TABLE t (id int)", "atomic"),
            ("CREATE TEMP TABLE t AS SELECT f()", "atomic"),
            ("SELECT 1 INTO TEMP t", "atomic"),
            ("WITH u AS (UPDATE a SET n = n + 1 RETURNING n) SELECT * INTO TEMP t FROM u", "atomic"),
            ("BEGIN", "opens"),
            ("ROLLBACK", "again"),
            ("CREATE INDEX CONCURRENTLY ON t (a)", "nothing"),
            ("CREATE INDEX CONCURRENTLY i ON other.t (a)", "nothing"),
            ("DROP INDEX CONCURRENTLY other.i", "nothing"),
            ("ALTER TYPE other.mood ADD VALUE 'x'", "nothing"),
            ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "nothing"),
            ("CREATE DATABASE d", "nothing"),
            ("DO $$ BEGIN COMMIT; END $$", "nothing"),
            ("CALL p()", "nothing"),
            ("PREPARE TRANSACTION 'x'", "nothing"),
            ("COMMIT AND CHAIN", "nothing"),
            ("LOCK TABLE t", "nothing"),
        ],
    );
    let long = "x".repeat(64);
    assert_eq!(told(&format!("CREATE INDEX CONCURRENTLY {long} ON t (a)"), Dialect::Postgres), "nothing");
}

#[test]
fn sqlite_commits_all_but_what_speaks_of_files_and_of_the_session_with_its_row() {
    assert_told(
        Dialect::Sqlite,
        &[
            ("INSERT INTO t VALUES (1)", "atomic"),
            ("CREATE TABLE t (id)", "atomic"),
            ("ALTER TABLE t RENAME TO u", "atomic"),
            ("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END", "atomic"),
            ("PRAGMA journal_mode = WAL", "again"),
            ("VACUUM", "again"),
            ("CREATE TEMP TABLE t (id)", "again"),
            ("BEGIN", "nothing"),
        ],
    );
}

#[test]
fn a_huge_statement_of_data_is_told_by_its_head_and_a_huge_definition_by_nothing() {
    let rows = vec!["(1)"; 5000].join(", ");
    assert_eq!(told(&format!("INSERT INTO t VALUES {rows}"), MYSQL), "atomic");
    let columns = (0..3000).map(|i| format!("ADD c{i} int")).collect::<Vec<_>>().join(", ");
    assert_eq!(told(&format!("ALTER TABLE t {columns}"), MYSQL), "nothing");
}

#[test]
fn what_leaves_its_session_as_it_was_is_told_from_what_may_not() {
    let mysql = Dialect::MySql(SqlMode::default());
    for text in [
        "CREATE TABLE t (id int, at date DEFAULT (now()))",
        "CREATE UNIQUE INDEX i ON t (id)",
        "ALTER TABLE t ADD COLUMN a int, ADD INDEX (a)",
        "DROP TABLE IF EXISTS t, u",
        "CREATE OR REPLACE VIEW v AS SELECT f(id) FROM t",
    ] {
        assert!(only_defines(text, mysql), "{text}");
    }
    for text in [
        "CREATE TEMPORARY TABLE t (id int)",
        "CREATE TABLE t AS SELECT f() AS a",
        "CREATE TABLE t (id int) /*!50100 COMMENT 'x' */",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE DATABASE d",
        "DROP USER u",
        "SET @a = 1",
        "LOCK TABLES t WRITE",
        "USE other",
    ] {
        assert!(!only_defines(text, mysql), "{text}");
    }
    for text in [
        "INSERT INTO t VALUES (1, 'a', now())",
        "INSERT INTO `t` (id, note) VALUES (1, 'a') ON DUPLICATE KEY UPDATE note = 'b'",
        "UPDATE t SET a = upper(b) WHERE id IN (SELECT id FROM u)",
        "DELETE FROM t WHERE id > 3",
    ] {
        assert!(only_writes(text, mysql), "{text}");
    }
    for text in [
        "INSERT INTO other.t VALUES (1)",
        "INSERT INTO t VALUES (f(1))",
        "INSERT INTO t VALUES (@a)",
        "INSERT INTO t VALUES (last_insert_id())",
        "INSERT INTO t SELECT id FROM other.v",
        "INSERT DELAYED INTO t VALUES (1)",
        "UPDATE t SET a = @a := 1",
        "UPDATE t SET a = get_lock('a', 1)",
        "SELECT 1",
    ] {
        assert!(!only_writes(text, mysql), "{text}");
    }
}
