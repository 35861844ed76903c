//! Changelog shapes on MariaDB.

use crate::support::{Fleet, mariadb};

use super::{cell, versions};

fn one() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.mariadb("my", mariadb(0));
    fleet
}

/// Covers row 44 of docs/failures.md.
#[test]
fn a_dump_with_triggers_routines_events_and_delimiters_is_applied_as_the_mysql_client_would() {
    let mut fleet = one();
    fleet.changeset(
        "V1__dump.sql",
        r#"-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
/*!40103 SET TIME_ZONE='+00:00' */;
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;

DROP TABLE IF EXISTS `orders`;
/*!40101 SET @saved_cs_client     = @@character_set_client */;
/*!40101 SET character_set_client = utf8 */;
CREATE TABLE `orders` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `ref` varchar(64) DEFAULT NULL COMMENT 'a ; in a comment, it''s fine',
  `n` int DEFAULT 0,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4;
/*!40101 SET character_set_client = @saved_cs_client */;

LOCK TABLES `orders` WRITE;
/*!40000 ALTER TABLE `orders` DISABLE KEYS */;
INSERT INTO `orders` VALUES (1,'it\'s; "x"',0),(2,'DELIMITER ;;\n-- no',0);
/*!40000 ALTER TABLE `orders` ENABLE KEYS */;
UNLOCK TABLES;
/*!50003 SET @saved_sql_mode       = @@sql_mode */ ;
/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50003 TRIGGER before_order BEFORE INSERT ON orders FOR EACH ROW BEGIN
  SET NEW.n = NEW.n + 1;
  IF NEW.ref IS NULL THEN SET NEW.ref = 'none;'; END IF;
END */;;
DELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;

DELIMITER //
CREATE PROCEDURE add_orders(IN how_many INT)
BEGIN
  DECLARE i INT DEFAULT 0;
  DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;
  again: WHILE i < how_many DO
    INSERT INTO orders (ref) VALUES (CONCAT('p', i));
    SET i = i + 1;
  END WHILE again;
END//
CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC
BEGIN
  CASE a WHEN 0 THEN RETURN 0; ELSE RETURN a * 2; END CASE;
END //
delimiter $$
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN DELETE FROM orders WHERE n < 0; END$$
DELIMITER ;
/*!50001 CREATE ALGORITHM=UNDEFINED VIEW `v` AS select `orders`.`id` AS `id` from `orders` */;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
CALL add_orders(3);

-- Dump completed on 2026-11-21  9:30:00
"#,
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM v"), "5");
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM orders WHERE n = 1"), "3");
    assert_eq!(cell(&fleet, "my", "SELECT ref FROM orders WHERE id = 2"), "DELIMITER ;;\n-- no");
    assert_eq!(cell(&fleet, "my", "SELECT twice(21)"), "42");
    let dump = fleet.dump("my");
    assert!(dump.contains("before_order") && dump.contains("nightly"), "{dump}");
    fleet.run(&["status", "--check"]).expect(0);
}

/// Covers row 44 of docs/failures.md.
#[test]
fn routine_bodies_without_delimiter_are_one_statement_each() {
    let mut fleet = one();
    fleet.changeset(
        "V1__routines.sql",
        "CREATE TABLE t (a int, b int);
CREATE OR REPLACE PROCEDURE fill(IN n INT)
BEGIN
    DECLARE done INT DEFAULT 0; -- it's a comment; END;
    DECLARE c CURSOR FOR SELECT a FROM t;
    DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
    IF n > 0 THEN
        REPEAT
            INSERT INTO t VALUES (n, CASE WHEN n % 2 = 0 THEN 1 ELSE 0 END);
            SET n = n - 1;
        UNTIL n = 0 END REPEAT;
    ELSEIF n < 0 THEN
        lop: LOOP LEAVE lop; END LOOP lop;
    END IF;
END;
CREATE TRIGGER t_bi BEFORE INSERT ON t FOR EACH ROW
BEGIN
    IF NEW.b IS NULL THEN SET NEW.b = 9; END IF;
END;
CREATE FUNCTION plus(a INT) RETURNS INT RETURN a + 1;
CREATE TRIGGER t_bu BEFORE UPDATE ON t FOR EACH ROW SET NEW.b = OLD.b;
CALL fill(4);
INSERT INTO t (a) VALUES (plus(1));
",
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM t WHERE b = 1"), "2");
    assert_eq!(cell(&fleet, "my", "SELECT a FROM t WHERE b = 9"), "2");
}

/// Covers rows 44, 45 of docs/failures.md.
/// PREPARE and @vars need one session, and statements that 1295 refuses the text protocol.
#[test]
fn prepare_and_user_variables_live_for_the_whole_text_and_not_for_the_next_tenant() {
    let mut fleet = one();
    fleet.mariadb("next", mariadb(0)).set_server("x", "url", "\"sqlite://data\"");
    let server = mariadb(0).server_url();
    fleet.server("maria", &server);
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a varchar(40));").changeset(
        "V2__guarded.sql",
        "INSERT INTO t SELECT COALESCE(@leak, 'clean');
SET @leak = 'leaked';
SET @exists = (SELECT count(*) FROM information_schema.columns
               WHERE table_schema = DATABASE() AND table_name = 't' AND column_name = 'b');
SET @ddl = IF(@exists = 0, 'ALTER TABLE t ADD COLUMN b int DEFAULT 5', 'DO 0');
PREPARE stmt FROM @ddl;
EXECUTE stmt;
DEALLOCATE PREPARE stmt;
PREPARE left_behind FROM 'SELECT 1';
LOCK TABLES t WRITE;
UNLOCK TABLES;
CREATE OR REPLACE VIEW v AS SELECT 1 AS one;
FLUSH TABLES;
ALTER USER CURRENT_USER() ACCOUNT UNLOCK;
",
    );
    fleet.run(&["up", "--jobs", "1"]).expect(0);
    for tenant in ["my", "next"] {
        assert_eq!(cell(&fleet, tenant, "SELECT a FROM t"), "clean", "{tenant}");
        assert_eq!(cell(&fleet, tenant, "SELECT b FROM t"), "5", "{tenant}");
    }
}

/// Covers row 23 of docs/failures.md.
#[test]
fn an_error_late_in_a_text_and_inside_a_call_is_found_with_its_line_and_resumed_there() {
    let mut fleet = one();
    fleet.changeset(
        "V1__late.sql",
        "CREATE TABLE t (a int PRIMARY KEY);
CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; INSERT INTO t VALUES (1); INSERT INTO t VALUES (1); END;
SELECT 1; SELECT 2;
CALL p();
CREATE TABLE u (a int);
",
    );
    let output = fleet.run(&["up"]).expect(6);
    assert!(output.stderr.contains("V1__late.sql:4:1") && output.stderr.contains("1062"), "{output}");
    assert!(output.stderr.contains("Duplicate entry"), "{output}");
    assert!(versions(&fleet, "my").is_empty());
    // What the procedure committed before it failed has stayed: it is not called again unasked.
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM t"), "1");
    let stopped = fleet.run(&["up"]).expect(6);
    assert!(stopped.stderr.contains("MT211") && stopped.stderr.contains("V1__late.sql:4:1"), "{stopped}");
    fleet.execute("my", "DELETE FROM t; DROP PROCEDURE p; CREATE PROCEDURE p() SELECT 1");
    fleet.run(&["repair", "--tenant", "my", "--mark-undone", "--reason", "its rows are taken back"]).expect(0);
    fleet.run(&["up", "--verify", "off"]).expect(0);
    assert_eq!(versions(&fleet, "my"), ["1"]);
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM u"), "0");
}

/// Covers row 20 of docs/failures.md.
/// On MariaDB a text's own transaction is legal only where the text says so.
#[test]
fn start_transaction_needs_no_transaction_and_a_commit_in_a_procedure_does_not() {
    let mut fleet = one();
    let text = "CREATE TABLE t (a int);\nSTART TRANSACTION;\nINSERT INTO t VALUES (1);\nCOMMIT;\n";
    fleet.changeset("V1__t.sql", text);
    super::refused(&fleet, &["MT124", "V1__t.sql:2:1"]);
    fleet.edit("V1__t.sql", &format!("-- mtmigrate: no-transaction\n{text}"));
    fleet.changeset(
        "V2__p.sql",
        "CREATE PROCEDURE p() BEGIN START TRANSACTION; INSERT INTO t VALUES (2); COMMIT; END;\nCALL p();\n",
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM t"), "2");
}

/// Covers row 54 of docs/failures.md.
/// What a server cuts off in non-strict mode is told.
#[test]
fn a_value_that_the_server_truncates_is_reported_with_tenant_and_line() {
    let mut fleet = one();
    fleet.changeset(
        "V1__t.sql",
        "CREATE TABLE t (a varchar(3));\nSET sql_mode = '';\nINSERT INTO t VALUES ('truncated');\n",
    );
    let output = fleet.run(&["up"]).expect(0);
    assert!(output.stdout.contains("1 notice"), "{output}");
    assert!(output.stdout.contains("my: line 3: WARNING 1265"), "{output}");
    fleet.changeset("V2__u.sql", "SET sql_mode = '';\nINSERT INTO t VALUES ('again longer');\n");
    let json = fleet.run(&["up", "--format", "json"]).expect(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let notice = report["tenants"][0]["notices"][0].as_str().unwrap();
    assert!(notice.contains("Data truncated"), "{notice}");
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_text_that_moves_to_another_database_is_refused_before_anything_runs() {
    let mut fleet = one();
    let other = mariadb(0).create_database();
    fleet.changeset("V1__t.sql", &format!("CREATE TABLE t (a int);\nUSE {other};\nCREATE TABLE stray (a int);\n"));
    super::refused(&fleet, &["V1__t.sql:2:1", &other]);
    assert!(mariadb(0).query(&other, "SHOW TABLES").is_empty());
}
