//! What is set again on a new session, and what stands in the way of going on.

use super::*;
use crate::sql::SqlMode;

const MYSQL: Dialect = Dialect::MySql(SqlMode { ansi_quotes: false, no_backslash_escapes: false, oracle: false });

/// Continues at the statement after `|`; answers with those that run again, or with what is missing.
fn told(dialect: Dialect, before: &[&str], after: &[&str]) -> String {
    let all: Vec<&str> = before.iter().chain(after).copied().collect();
    match replay(&all, before.len(), dialect) {
        Ok(again) => format!("{again:?}"),
        Err(Missing { what, made_by, needed_by }) => format!("{needed_by} needs {what} of {made_by}"),
    }
}

#[test]
fn plain_settings_are_made_again_in_their_order() {
    let insert = "INSERT INTO t VALUES (1)";
    assert_eq!(told(MYSQL, &["SET NAMES latin1", insert, "SET @a = 1"], &["SELECT @a"]), "[0, 2]");
    let dump = ["SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'", "SET FOREIGN_KEY_CHECKS=0"];
    assert_eq!(told(MYSQL, &dump, &["SET SQL_MODE=@OLD_SQL_MODE"]), "[0, 1]");
    let dump = ["/*!40014 SET @OLD_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */"];
    assert_eq!(told(MYSQL, &dump, &["/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_CHECKS */"]), "[0]");
    // What the server keeps by itself is not.
    let kept = ["SET GLOBAL x = 1", "SET @@global.y = 2", "SET TRANSACTION READ ONLY", "SET STATEMENT a = 1 FOR DO 1"];
    assert_eq!(told(MYSQL, &kept, &[insert]), "[]");
    let postgres = ["SET ROLE r", "SET LOCAL a = 1", "RESET b", "SELECT pg_catalog.set_config('c', '', false)"];
    assert_eq!(told(Dialect::Postgres, &postgres, &[insert]), "[0, 2, 3]");
    assert_eq!(told(Dialect::Postgres, &["SET a = 1", "BEGIN", "SET b = 1", "ROLLBACK"], &[insert]), "[0]");
    let sqlite = ["PRAGMA legacy_alter_table = ON", "PRAGMA integrity_check", insert];
    assert_eq!(told(Dialect::Sqlite, &sqlite, &[insert]), "[0]");
}

#[test]
fn what_only_the_old_session_had_is_missed_where_it_is_needed() {
    for (dialect, before, after, expected) in [
        (MYSQL, "SET @n = (SELECT COUNT(*) FROM t)", "INSERT INTO u VALUES (@n)", "1 needs variable @n of 0"),
        (MYSQL, "SELECT COUNT(*) INTO @n FROM t", "INSERT INTO u VALUES (@N)", "1 needs variable @n of 0"),
        (MYSQL, "SELECT @n := 1", "SET @m = @n", "1 needs variable @n of 0"),
        (MYSQL, "CALL p(@out)", "DO @out", "1 needs variable @out of 0"),
        (MYSQL, "PREPARE s FROM 'DO 1'", "EXECUTE s", "1 needs prepared statement s of 0"),
        (MYSQL, "CREATE TEMPORARY TABLE x (id int)", "INSERT INTO x VALUES (1)", "1 needs temporary table x of 0"),
        (MYSQL, "LOCK TABLES t WRITE", "INSERT INTO t VALUES (1)", "1 needs the locks of LOCK TABLES of 0"),
        (MYSQL, "START TRANSACTION", "DELETE FROM t", "1 needs the open transaction of 0"),
        (MYSQL, "SET sql_mode = (SELECT m FROM t)", "DELETE FROM t", "1 needs the session's settings of 0"),
        (
            MYSQL,
            "INSERT INTO t VALUES (1)",
            "UPDATE u SET a = LAST_INSERT_ID()",
            "1 needs the number of the row that was written last of 0",
        ),
        (Dialect::Postgres, "PREPARE q AS SELECT 1", "EXECUTE q", "1 needs prepared statement q of 0"),
        (Dialect::Postgres, "CREATE TEMP TABLE x AS TABLE t", "TABLE x", "1 needs temporary table x of 0"),
        (Dialect::Postgres, "SELECT 1 INTO TEMP x", "TABLE x", "1 needs temporary table x of 0"),
        (Dialect::Postgres, "BEGIN", "TABLE x", "1 needs the open transaction of 0"),
        (
            Dialect::Postgres,
            "SELECT set_config('a', b, false) FROM t",
            "TABLE t",
            "1 needs the session's settings of 0",
        ),
        (Dialect::Sqlite, "CREATE TEMP TABLE x (id)", "INSERT INTO x VALUES (1)", "1 needs temporary table x of 0"),
    ] {
        assert_eq!(told(dialect, &[before], &[after]), expected, "{before} | {after}");
        // Nothing is missed by a text that does not ask for it.
        let first_only = ["LOCK", "START", "BEGIN", "SET sql_mode", "SELECT set_config"];
        if !first_only.iter().any(|word| before.starts_with(word)) {
            assert_eq!(told(dialect, &[before], &["INSERT INTO z VALUES (1)"]), "[]", "{before}");
        }
    }
}

#[test]
fn what_was_given_back_or_is_made_anew_is_not_missed() {
    let insert = "INSERT INTO u VALUES (1)";
    for (before, after) in [
        (vec!["CREATE TEMPORARY TABLE x (id int)", "DROP TEMPORARY TABLE x"], vec!["SELECT * FROM x"]),
        (vec!["CREATE TEMPORARY TABLE x (id int)"], vec!["CREATE TEMPORARY TABLE x (id int)", "SELECT * FROM x"]),
        (vec!["PREPARE s FROM @q", "DEALLOCATE PREPARE s"], vec!["DO 1"]),
        (vec!["PREPARE s FROM 'DO 1'"], vec!["PREPARE s FROM 'DO 2'", "EXECUTE s"]),
        (vec!["LOCK TABLES t WRITE", "UNLOCK TABLES"], vec![insert]),
        (vec!["START TRANSACTION", insert, "COMMIT"], vec![insert]),
        // The definition has committed it.
        (vec!["START TRANSACTION", insert, "CREATE TABLE y (id int)"], vec![insert]),
        (vec!["SELECT 1 INTO @n"], vec!["SET @n = 2", "SELECT @n"]),
        (vec!["SELECT 1 INTO @n"], vec!["SELECT 2 INTO @n", "SELECT @n"]),
    ] {
        assert_eq!(told(MYSQL, &before, &after), "[]", "{before:?} | {after:?}");
    }
}

/// The insert between may be into a table without a serial column.
#[test]
fn the_last_rows_number_is_not_taken_from_another_insert() {
    let after = ["INSERT INTO u VALUES (1)", "SELECT LAST_INSERT_ID()"];
    let told = told(MYSQL, &["INSERT INTO t VALUES (1)"], &after);
    assert_eq!(told, "2 needs the number of the row that was written last of 0");
}

#[test]
fn a_setting_that_hangs_on_what_is_lost_is_lost() {
    let lost = ["SELECT v INTO @v FROM t", "SET @w = @v"];
    assert_eq!(told(MYSQL, &lost, &["DO @w"]), "2 needs variable @w of 1");
}
