//! The rules of MySQL and MariaDB: quotes, comments, `DELIMITER`, modes and routine bodies.

use super::tests::{ANSI, MYSQL, NO_BACKSLASH, ORACLE, check, check_errors, check_whole, texts};
use super::{Dialect, SqlMode, split};

#[test]
fn backslashes_escape_unless_the_mode_says_no() {
    check(
        MYSQL,
        &[
            (r"SELECT 'it\';'; SELECT 2", &[r"SELECT 'it\';'", "SELECT 2"]),
            (r#"SELECT "\";"; SELECT 2"#, &[r#"SELECT "\";""#, "SELECT 2"]),
            (r"SELECT '\\'; SELECT 2", &[r"SELECT '\\'", "SELECT 2"]),
            (r"SELECT `\`; SELECT `a``;`", &[r"SELECT `\`", "SELECT `a``;`"]),
        ],
    );
    check(NO_BACKSLASH, &[(r#"SELECT '\'; SELECT "\"; SELECT 3"#, &[r"SELECT '\'", r#"SELECT "\""#, "SELECT 3"])]);
    check(ANSI, &[(r#"SELECT "\"; SELECT '\';'"#, &[r#"SELECT "\""#, r"SELECT '\';'"])]);
}

#[test]
fn two_dashes_open_a_comment_only_before_white_space() {
    check(
        MYSQL,
        &[
            ("SELECT 5--1; SELECT 2", &["SELECT 5--1", "SELECT 2"]),
            ("SELECT 5-- 1; \n; SELECT 2", &["SELECT 5", "SELECT 2"]),
            ("SELECT 5--\t;\n; SELECT 2--", &["SELECT 5", "SELECT 2"]),
            ("SELECT 5--\u{1};\n; SELECT 2", &["SELECT 5", "SELECT 2"]),
            ("SELECT 5# it's ;\n; SELECT 2", &["SELECT 5", "SELECT 2"]),
            ("SELECT 1 /* /* ; */; SELECT 2", &["SELECT 1", "SELECT 2"]),
            (
                "SELECT /*+ MAX_EXECUTION_TIME(1); */ 1; SELECT 2",
                &["SELECT /*+ MAX_EXECUTION_TIME(1); */ 1", "SELECT 2"],
            ),
        ],
    );
}

#[test]
fn executable_comments_are_part_of_a_statement() {
    check(
        MYSQL,
        &[
            ("/*!40101 SET NAMES utf8 */;\n/*!SET a=1*/;", &["/*!40101 SET NAMES utf8 */", "/*!SET a=1*/"]),
            ("SELECT 1 /*! + 1 */ ; SELECT 2", &["SELECT 1 /*! + 1 */", "SELECT 2"]),
            ("/*M!100100 SELECT 1 */; SELECT 2", &["/*M!100100 SELECT 1 */", "SELECT 2"]),
            ("SELECT 1 /*!50000 , '*/;' /* ; */ */; SELECT 2", &["SELECT 1 /*!50000 , '*/;' /* ; */ */", "SELECT 2"]),
            ("/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\nSELECT 1;", &["SELECT 1"]),
            ("/*!50001 a; b */; SELECT 2*/3; SELECT 4", &["/*!50001 a; b */", "SELECT 2*/3", "SELECT 4"]),
        ],
    );
    check_errors(MYSQL, &[("SELECT 1; /*!40000 SELECT 2;", 10, "unterminated executable comment")]);
}

#[test]
fn a_delimiter_line_changes_what_ends_a_statement() {
    check(
        MYSQL,
        &[
            (
                "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\ndelimiter ;\nSELECT 2;",
                &["CREATE PROCEDURE p() BEGIN SELECT 1; END", "SELECT 2"],
            ),
            (
                "delimiter $$\nCREATE PROCEDURE p() BEGIN SELECT 1; END$$\nSELECT 2$$",
                &["CREATE PROCEDURE p() BEGIN SELECT 1; END", "SELECT 2"],
            ),
            (
                "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT 1; END ;;\nDELIMITER ;\nSELECT 2;",
                &["CREATE PROCEDURE p() BEGIN SELECT 1; END", "SELECT 2"],
            ),
            ("  Delimiter\t|  -- why\nSELECT 1|SELECT ';|'|\nDELIMITER ;\n", &["SELECT 1", "SELECT ';|'"]),
            ("DELIMITER '$'\r\nSELECT 1 $\r\nDELIMITER ;\r\nSELECT 2;", &["SELECT 1", "SELECT 2"]),
            ("DELIMITER go\nSELECT good, cargo go\nSELECT 2\ngo", &["SELECT good, cargo", "SELECT 2"]),
            ("DELIMITER §\nSELECT é§SELECT 2§", &["SELECT é", "SELECT 2"]),
            // A semicolon before the delimiter is no part of the statement.
            (
                "DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 1; END;\n$$\nSELECT 2;$$",
                &["CREATE PROCEDURE p() BEGIN SELECT 1; END", "SELECT 2"],
            ),
            // The server would split plain statements sent at once; a routine is left to the delimiter.
            (
                "DELIMITER $$\nDROP PROCEDURE IF EXISTS p; CREATE PROCEDURE p() SELECT 1; SELECT 2 $$",
                &["DROP PROCEDURE IF EXISTS p", "CREATE PROCEDURE p() SELECT 1; SELECT 2"],
            ),
            ("DELIMITER $$\n$$ $$", &[]),
            ("DELIMITER é\n/*! SELECT é */é SELECT 2é", &["/*! SELECT é */", "SELECT 2"]),
            ("DELIMITER $a\nSELECT $ab, 1 $a SELECT 2$a", &["SELECT $ab, 1", "SELECT 2"]),
            ("CREATE TABLE t (\ndelimiter char(1));", &["CREATE TABLE t (\ndelimiter char(1))"]),
            ("SELECT 'x\nDELIMITER //\n'; SELECT 2", &["SELECT 'x\nDELIMITER //\n'", "SELECT 2"]),
        ],
    );
    check_errors(
        MYSQL,
        &[
            ("SELECT 1;\nDELIMITER\nSELECT 2", 10, "DELIMITER without an argument"),
            ("DELIMITER \\\\", 0, "DELIMITER with a backslash"),
            ("DELIMITER 1234567890123456", 0, "DELIMITER longer than 15 bytes"),
        ],
    );
}

#[test]
fn what_mysqldump_writes_is_split_as_its_client_would() {
    let text = r"-- MySQL dump 10.13
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
DROP TABLE IF EXISTS `t;`;
INSERT INTO `t` VALUES (1,'it\'s; \\'),(2,'\n');
/*!50003 SET sql_mode              = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER `tr` BEFORE INSERT ON `t` FOR EACH ROW BEGIN
  IF NEW.a THEN SET NEW.b = '\'; END IF;
END */;;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;
/*!50003 DROP PROCEDURE IF EXISTS `p` */;
DELIMITER ;;
CREATE DEFINER=`root`@`localhost` PROCEDURE `p`()
BEGIN
  SELECT 'it\'s'; -- it's
END ;;
DELIMITER ;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
-- Dump completed
";
    let statements = texts(text, MYSQL);
    assert_eq!(statements.len(), 9, "{statements:#?}");
    assert!(statements[4].starts_with("/*!50003 CREATE*/ /*!50017") && statements[4].ends_with("END */"));
    assert!(statements[7].ends_with("-- it's\nEND"));
}

/// Each is one statement without any `DELIMITER`.
const ROUTINES: [&str; 48] = [
    "CREATE PROCEDURE p() BEGIN END",
    "CREATE PROCEDURE p() BEGIN SELECT 1; BEGIN SELECT 2; END; END",
    "create or replace definer=root@localhost procedure if not exists d.p(IN a INT, OUT b DECIMAL(10,2)) begin select 1; end",
    "CREATE DEFINER='root'@'%' PROCEDURE p() COMMENT 'a; b' LANGUAGE SQL NOT DETERMINISTIC SQL SECURITY INVOKER SELECT 1",
    "CREATE DEFINER = CURRENT_USER() PROCEDURE p() MODIFIES SQL DATA outer_: BEGIN SELECT 1; END outer_",
    "CREATE PROCEDURE p() `l;`: BEGIN SELECT 1; END `l;`",
    "CREATE PROCEDURE p() SELECT IF(a, 1, 2), CASE WHEN a THEN 1 END FROM t",
    "CREATE PROCEDURE p() BEGIN NOT ATOMIC SELECT 1; END",
    "CREATE FUNCTION f(a INT) RETURNS VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DETERMINISTIC RETURN IF(a, 'x', 'y')",
    "CREATE FUNCTION f() RETURNS SET('a','b') NO SQL BEGIN RETURN 'a'; END",
    "CREATE FUNCTION f() RETURNS DOUBLE PRECISION READS SQL DATA RETURN CASE WHEN 1 THEN 2 ELSE 3 END",
    "CREATE FUNCTION f() RETURNS INT UNSIGNED IF 1 THEN RETURN 1; ELSE RETURN 2; END IF",
    "CREATE FUNCTION f() RETURNS TYPE OF t.begin BEGIN RETURN 1; END",
    "CREATE AGGREGATE FUNCTION f(x INT) RETURNS INT BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN 1; LOOP FETCH GROUP NEXT ROW; END LOOP; END",
    "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'f.so'",
    "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW SET NEW.a = 1",
    "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW FOLLOWS `u` BEGIN SET NEW.a = 1; END",
    "CREATE TRIGGER begin AFTER UPDATE ON end FOR EACH ROW PRECEDES begin IF NEW.a THEN SET @a = 1; END IF",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01' + INTERVAL 1 DAY COMMENT 'x' DO BEGIN DELETE FROM t; END",
    "CREATE EVENT IF NOT EXISTS e ON SCHEDULE AT CURRENT_TIMESTAMP DO DELETE FROM t",
    "ALTER DEFINER=a@b EVENT e ON SCHEDULE EVERY 1 HOUR DO BEGIN SELECT 1; END",
    "ALTER EVENT e RENAME TO f",
    "BEGIN NOT ATOMIC SELECT 1; SELECT 2; END",
    "begin /* c */ not\natomic DECLARE x INT; SET x = 1; end",
    "l: BEGIN NOT ATOMIC LEAVE l; END l",
    "IF 1 THEN SELECT 1; ELSEIF 2 THEN SELECT 2; ELSE SELECT 3; END IF",
    "WHILE 1 DO SELECT 1; END WHILE",
    "FOR i IN 1..3 DO SELECT i; END FOR",
    "CREATE PROCEDURE p() BEGIN IF a THEN IF (b) THEN SELECT 1; END IF; ELSE SELECT IF(1,2,3); END IF; END",
    "CREATE PROCEDURE p() BEGIN DROP TABLE IF EXISTS t; CREATE TABLE IF NOT EXISTS t (a INT); INSERT INTO t SELECT REPEAT('x', 3); END",
    "CREATE PROCEDURE p() BEGIN CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE; SELECT CASE a WHEN 1 THEN 2 END; END",
    "CREATE PROCEDURE p() BEGIN IF CASE WHEN a THEN b ELSE c END THEN SELECT 1; END IF; END",
    "CREATE PROCEDURE p() BEGIN l: LOOP ITERATE l; LEAVE l; END LOOP l; WHILE a < 3 DO SET a = a + 1; END WHILE; END",
    "CREATE PROCEDURE p() BEGIN REPEAT SET a = a + 1; UNTIL a > CASE WHEN 1 THEN 2 END END REPEAT; END",
    "CREATE PROCEDURE p() BEGIN REPEAT SET a = 1; UNTIL (SELECT end FROM t) > end END REPEAT; SELECT 1; END",
    "CREATE PROCEDURE p() BEGIN FOR r IN (SELECT a FROM t FOR UPDATE) DO SELECT r.end; END FOR; END",
    "CREATE PROCEDURE p() BEGIN DECLARE c CURSOR FOR SELECT 1; DECLARE EXIT HANDLER FOR SQLEXCEPTION, 1062, SQLSTATE VALUE '23000' BEGIN ROLLBACK; END; SELECT 1; END",
    "CREATE PROCEDURE p() BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = IF(1, 2, 3); SELECT 1; END",
    "CREATE PROCEDURE p() BEGIN DECLARE CONTINUE HANDLER FOR mine IF a THEN SELECT 1; END IF; SELECT 1; END",
    "CREATE PROCEDURE p() BEGIN DECLARE EXIT HANDLER FOR 1062 CASE 1 WHEN 1 THEN SELECT 1; END CASE; END",
    "CREATE PROCEDURE p() BEGIN START TRANSACTION; COMMIT; SELECT t.end, t . begin, `end`, `case`, @end, @@case FROM t; END",
    "CREATE PROCEDURE p() BEGIN INSERT INTO t (begin, end) VALUES (NEW.begin, NEW.end); UPDATE t SET end = end + 1; END",
    "CREATE PROCEDURE p() BEGIN SELECT CASE WHEN start < end THEN end ELSE start END FROM t; SELECT a AS end; END",
    "CREATE PROCEDURE p() BEGIN SELECT CASE WHEN (SELECT a end FROM t) THEN 1.END; SELECT 2; END",
    "CREATE PROCEDURE p() BEGIN -- it's; END\n # END;\n /* END; */ SELECT ';END;'; END",
    "CREATE PROCEDURE p() BEGIN IF 1 THEN BEGIN END; END IF; END",
    "CREATE PROCEDURE p() BEGIN /*!50000 IF 1 THEN SELECT 1; END IF; */ SELECT 2; END",
    "CREATE PROCEDURE p() CASE 1 WHEN 1 THEN SELECT 1; END CASE",
];

#[test]
fn a_routine_needs_no_delimiter() {
    check_whole(MYSQL, &ROUTINES);
    check_whole(ANSI, &ROUTINES);
}

#[test]
fn a_routine_means_the_same_with_and_without_a_delimiter() {
    for routine in ROUTINES {
        for delimiter in ["//", "$$", ";;", "|", "END_OF_IT"] {
            let text = format!("DELIMITER {delimiter}\n{routine} {delimiter}\nDELIMITER ;\nSELECT 1;");
            check(MYSQL, &[(&text, &[routine, "SELECT 1"])]);
        }
    }
}

#[test]
fn what_only_looks_like_a_routine_ends_at_its_semicolon() {
    check(
        MYSQL,
        &[
            ("BEGIN; SELECT 1; COMMIT", &["BEGIN", "SELECT 1", "COMMIT"]),
            ("BEGIN WORK; SELECT 1; END", &["BEGIN WORK", "SELECT 1", "END"]),
            ("XA BEGIN 'x'; SELECT 1", &["XA BEGIN 'x'", "SELECT 1"]),
            ("CREATE TABLE begin (end INT); SELECT 1", &["CREATE TABLE begin (end INT)", "SELECT 1"]),
            ("ALTER PROCEDURE p COMMENT 'begin'; SELECT 1", &["ALTER PROCEDURE p COMMENT 'begin'", "SELECT 1"]),
            ("DROP PROCEDURE IF EXISTS p; SELECT 1", &["DROP PROCEDURE IF EXISTS p", "SELECT 1"]),
            (
                "CREATE DEFINER=a@b SQL SECURITY INVOKER VIEW v AS SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 1",
                &["CREATE DEFINER=a@b SQL SECURITY INVOKER VIEW v AS SELECT CASE 1 WHEN 1 THEN 2 END", "SELECT 1"],
            ),
        ],
    );
}

#[test]
fn a_block_without_its_end_is_an_error_where_it_begins() {
    check_errors(
        MYSQL,
        &[
            ("SELECT 1;\nCREATE PROCEDURE p()\nBEGIN SELECT 1;", 31, "BEGIN without END"),
            ("CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END; SELECT 2", 21, "BEGIN without END"),
            ("CREATE PROCEDURE p() IF 1 THEN SELECT 1;", 21, "IF without END IF"),
            ("CREATE PROCEDURE p() CASE WHEN 1 THEN SELECT 1;", 21, "CASE without END CASE"),
            ("LOOP SELECT 1;", 0, "LOOP without END LOOP"),
            ("REPEAT SELECT 1; UNTIL 1", 0, "REPEAT without END REPEAT"),
            ("WHILE 1 DO", 0, "WHILE without END WHILE"),
            ("FOR i IN 1..2 DO", 0, "FOR without END FOR"),
        ],
    );
    check_errors(
        ORACLE,
        &[
            ("CREATE PROCEDURE p AS a INT;", 19, "declarations without BEGIN"),
            ("CREATE PACKAGE p AS a INT;", 17, "PACKAGE without END"),
        ],
    );
}

#[test]
fn oracle_mode_knows_declarations_packages_and_anonymous_blocks() {
    check_whole(
        ORACLE,
        &[
            "CREATE PROCEDURE p AS BEGIN SELECT 1; END",
            "CREATE OR REPLACE PROCEDURE p(a IN INT) IS x INT; y INT := 1; CURSOR c IS SELECT 1; BEGIN SELECT x; END p",
            "CREATE FUNCTION f(a t.b%TYPE) RETURN VARCHAR(10) DETERMINISTIC AS BEGIN RETURN CASE WHEN a THEN 1 END; END",
            "CREATE FUNCTION f RETURN INT IS BEGIN IF a THEN x := 1; ELSIF b THEN NULL; END IF; RETURN 1; END",
            "CREATE PROCEDURE p AS BEGIN FOR i IN 1..3 LOOP SELECT i; END LOOP; WHILE 1 LOOP EXIT WHEN a; END LOOP; END",
            "CREATE PROCEDURE p AS BEGIN <<l>> LOOP EXIT l; END LOOP; <<m>> BEGIN NULL; END; END",
            "CREATE PROCEDURE p AS BEGIN SELECT 1; EXCEPTION WHEN NO_DATA_FOUND THEN NULL; WHEN OTHERS THEN BEGIN END; END",
            "CREATE PROCEDURE p AS BEGIN DECLARE x INT; BEGIN SELECT x; END; END",
            "CREATE PACKAGE p AS a INT; FUNCTION f RETURN INT; PROCEDURE q(a INT); END",
            "CREATE PACKAGE BODY p AS a INT; FUNCTION f RETURN INT AS b INT; BEGIN RETURN 1; END; PROCEDURE q; PROCEDURE r(a INT) IS BEGIN NULL; END; BEGIN a := 1; END",
            "CREATE OR REPLACE PACKAGE BODY p IS PROCEDURE q AS BEGIN NULL; END q; END p",
            "BEGIN SELECT 1; SELECT 2; END",
            "DECLARE x INT; BEGIN SELECT x; END",
            "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN :NEW.a := 1; END",
        ],
    );
    check(ORACLE, &[("BEGIN; SELECT 1; BEGIN WORK; SELECT 2", &["BEGIN", "SELECT 1", "BEGIN WORK", "SELECT 2"])]);
}

#[test]
fn a_literal_sql_mode_in_the_text_changes_how_the_rest_is_read() {
    let tail = r#"SELECT "\"; SELECT 2"#;
    let follows_ansi = [
        "SET sql_mode = 'ANSI_QUOTES'",
        "set SESSION sql_mode := 'ansi'",
        "SET @@sql_mode='STRICT_TRANS_TABLES,ANSI_QUOTES'",
        "SET @@session.SQL_MODE = \"ANSI_QUOTES\"",
        "SET LOCAL `sql_mode` = ANSI_QUOTES",
        "SET @a = IF(1, 2, 3), sql_mode = 'ANSI_QUOTES', @b = 1",
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
        "SET sql_mode = CONCAT_WS(',', @@SESSION.sql_mode, /* ! */ \"ANSI_QUOTES\")",
        "SET sql_mode = 'ANSI_QUOTES', sql_mode = CONCAT(@@sql_mode, ',NO_ZERO_DATE'), sql_mode = @@sql_mode",
        "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='ANSI_QUOTES' */",
    ];
    for set in follows_ansi {
        check(MYSQL, &[(&format!("{set}; {tail}"), &[set, r#"SELECT "\""#, "SELECT 2"])]);
    }
    let follows_nothing = [
        "SET GLOBAL sql_mode = 'ANSI_QUOTES'",
        "SET @@global.sql_mode = 'ANSI_QUOTES'",
        "SET PERSIST sql_mode = 'ANSI_QUOTES'",
        "SET @sql_mode = 'ANSI_QUOTES'",
        "SET sql_mode_x = 'ANSI_QUOTES'",
        "SELECT sql_mode = 'ANSI_QUOTES'",
        "SET sql_mode = 'ANSI_QUOTES'; SET sql_mode = @saved",
        "SET sql_mode = 'ANSI_QUOTES'; SET sql_mode = DEFAULT",
        "SET sql_mode = 'ANSI_QUOTES'; SET sql_mode = CONCAT(@saved, ',NO_ZERO_DATE')",
        "SET sql_mode = REPLACE(@@sql_mode, 'NO_ZERO_DATE', 'ANSI_QUOTES')",
        "CREATE PROCEDURE p() SET sql_mode = 'ANSI_QUOTES'",
    ];
    for set in follows_nothing {
        assert!(split(&format!("{set}; {tail}"), MYSQL).is_err(), "{set}");
    }
    check(
        ANSI,
        &[
            (
                "SET sql_mode = ''; SELECT \"\\\";\"; SET sql_mode = @x; SELECT \"\\\"; SELECT 1",
                &["SET sql_mode = ''", "SELECT \"\\\";\"", "SET sql_mode = @x", "SELECT \"\\\"", "SELECT 1"],
            ),
            (
                "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; SELECT 1",
                &["SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SELECT '\\'", "SELECT 1"],
            ),
            (
                "SET sql_mode = 'ORACLE'; BEGIN SELECT 1; END; SELECT 2",
                &["SET sql_mode = 'ORACLE'", "BEGIN SELECT 1; END", "SELECT 2"],
            ),
        ],
    );
}

#[test]
fn a_mode_implies_what_the_server_lets_it_imply() {
    let plain = SqlMode::default();
    let ansi = SqlMode { ansi_quotes: true, ..plain };
    for (text, mode) in [
        ("", plain),
        ("STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", plain),
        ("ANSI_QUOTES", ansi),
        ("REAL_AS_FLOAT, ansi", ansi),
        ("NO_BACKSLASH_ESCAPES,X", SqlMode { no_backslash_escapes: true, ..plain }),
        ("ORACLE", SqlMode { oracle: true, ..ansi }),
    ] {
        assert_eq!(SqlMode::parse(text), mode, "{text}");
        assert_eq!(Dialect::MySql(mode), Dialect::MySql(SqlMode::parse(text)));
    }
}
