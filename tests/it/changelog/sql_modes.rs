//! `sql_mode`: the server's stays, and the splitter follows it.

use crate::support::{Fleet, MariaDb, Options};

use super::{cell, versions};

fn server_with(sql_mode: &str) -> MariaDb {
    MariaDb::start(Options { conf: &[("sql-mode", sql_mode)], ..Options::default() })
}

/// Covers row 46 of docs/failures.md.
#[test]
fn the_servers_global_modes_decide_how_a_text_is_read() {
    let server = server_with("ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
    let mut fleet = Fleet::new();
    fleet.mariadb("my", &server).changeset(
        "V1__t.sql",
        r#"CREATE TABLE "t; x" (a varchar(20), "b" varchar(20));
INSERT INTO "t; x" VALUES ('ends in \', '; b');
INSERT INTO "t; x" VALUES ('it''s \', 'c');
"#,
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "my", "SELECT a FROM `t; x` WHERE b = '; b'"), r"ends in \");
    assert_eq!(cell(&fleet, "my", "SELECT count(*) FROM `t; x`"), "2");
    assert_eq!(versions(&fleet, "my"), ["1"]);
    fleet.run(&["status", "--check"]).expect(0);
    fleet.run(&["history"]).expect(0);
}

/// Covers row 46 of docs/failures.md.
#[test]
fn modes_that_a_text_sets_count_from_there_on_and_not_for_the_next_tenant() {
    let server = server_with("STRICT_TRANS_TABLES");
    let mut fleet = Fleet::new();
    fleet.mariadb("a", &server).mariadb("b", &server).changeset(
        "V1__t.sql",
        r#"CREATE TABLE t (a varchar(40), b varchar(40), mode varchar(200));
INSERT INTO t VALUES ("a quote \" ; here", 'x', @@sql_mode);
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';
INSERT INTO "t" VALUES ('back\', '; slash', @@sql_mode);
SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_ZERO_DATE');
INSERT INTO "t" VALUES ('more\', '; slash', @@sql_mode);
"#,
    );
    fleet.run(&["up", "--jobs", "1"]).expect(0);
    for tenant in ["a", "b"] {
        assert_eq!(cell(&fleet, tenant, "SELECT mode FROM t WHERE b = 'x'"), "STRICT_TRANS_TABLES");
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t WHERE b = '; slash'"), "2");
    }
}

/// Covers row 46 of docs/failures.md.
#[test]
fn the_servers_time_zone_and_mode_stay_as_they_are() {
    let server = MariaDb::start(Options {
        conf: &[("sql-mode", "PIPES_AS_CONCAT"), ("default-time-zone", "+05:30")],
        ..Options::default()
    });
    let mut fleet = Fleet::new();
    fleet.mariadb("my", &server).changeset(
        "V1__t.sql",
        "CREATE TABLE t AS SELECT @@time_zone AS zone, @@sql_mode AS mode, 'a' || 'b' AS joined;",
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "my", "SELECT concat(zone, mode, joined) FROM t"), "+05:30PIPES_AS_CONCATab");
    // The journal's times are UTC all the same.
    let age = "SELECT abs(timestampdiff(MINUTE, finished_at, utc_timestamp())) < 2 FROM mtmigrate_journal
               ORDER BY id DESC LIMIT 1";
    assert_eq!(cell(&fleet, "my", age), "1");
}

/// Covers row 46 of docs/failures.md.
/// Oracle's mode changes the grammar of routine bodies.
#[test]
fn a_text_for_a_server_in_high_not_precedence_and_ignore_space_is_split_alike() {
    let server = server_with("IGNORE_SPACE,HIGH_NOT_PRECEDENCE");
    let mut fleet = Fleet::new();
    fleet.mariadb("my", &server).changeset(
        "V1__t.sql",
        "CREATE FUNCTION f (a INT) RETURNS INT BEGIN RETURN a + 1; END;\nCREATE TABLE t AS SELECT f (1) AS two;\n",
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "my", "SELECT two FROM t"), "2");
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_text_that_poisons_its_session_does_not_reach_the_next_tenant_on_the_same_connection() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.server("maria", &server.server_url()).set_server("maria", "max_connections", "2");
    let names = ["a", "b", "c"].map(|name| (name, server.create_database()));
    let tenants: Vec<String> = names
        .iter()
        .map(|(name, database)| format!("  - {{ name: {name}, server: maria, database: {database} }}\n"))
        .collect();
    let url = serde_json::to_string(&server.server_url()).unwrap();
    fleet.tenants_yaml(&format!(
        "servers:\n  maria: {{ url: {url}, max_connections: 2 }}\ntenants:\n{}",
        tenants.concat()
    ));
    fleet
        .changeset(
            "V1__t.sql",
            "-- mtmigrate: no-transaction
CREATE TABLE t (autocommit int, mode varchar(200), var varchar(20), iso varchar(40), fk int, tmp int, db varchar(64));
CREATE TEMPORARY TABLE leak (a int);
",
        )
        .changeset(
            "V2__poison.sql",
            "-- mtmigrate: no-transaction
INSERT INTO t SELECT @@autocommit, @@sql_mode, @leak, @@tx_isolation, @@foreign_key_checks, 0, DATABASE();
CREATE TEMPORARY TABLE leak (a int);
PREPARE leak FROM 'SELECT 1';
SET @leak = 'leaked', autocommit = 0, foreign_key_checks = 0, sql_mode = 'ANSI_QUOTES', time_zone = '+09:00';
SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SET NAMES latin1;
SET ROLE NONE;
DO GET_LOCK('leak', 0);
LOCK TABLES t WRITE;
",
        )
        .changeset("V3__after.sql", "EXECUTE leak;");
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("1243") && output.stderr.contains("V3__after.sql:1:1"), "{output}");
    let select = "SELECT autocommit, mode LIKE '%ANSI%', var, iso, fk, db = DATABASE() FROM t";
    for (name, database) in &names {
        let row = &server.query(database, select)[0];
        let row: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
        assert_eq!(row, ["1", "0", "NULL", "REPEATABLE-READ", "1", "1"], "{name}");
        let versions = server.query(database, "SELECT version FROM refinery_schema_history ORDER BY 1");
        assert_eq!(versions.len(), 2, "{name}");
    }
    // Nobody holds anything any more.
    assert_eq!(server.query("", "SELECT IS_FREE_LOCK('leak')"), [[Some("1".to_string())]]);
}
