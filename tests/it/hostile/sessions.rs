//! A session that a hostile changeset had is as new before it serves the next tenant.
//!
//! Two tenants share one session. The first changeset changes everything a session has; the second writes down what it
//! finds. A fleet whose first changeset is harmless tells what must be found.

use super::super::support::{Fleet, MariaDb, Options, Postgres, Rows, postgres, unique};

/// Writes down what a session of PostgreSQL is. The name of the tenant's schema is taken out.
const STATE: &str = "
CREATE TABLE state (kind text, name text, value text);
INSERT INTO state SELECT 'setting', name, replace(setting, current_schema(), '<schema>') FROM pg_settings
    WHERE name <> 'application_name';
INSERT INTO state SELECT 'name', 'application_name', (current_setting('application_name') LIKE 'mtmigrate %')::text;
INSERT INTO state SELECT 'prepared', name, statement FROM pg_prepared_statements;
INSERT INTO state SELECT 'cursor', name, is_holdable::text FROM pg_cursors WHERE name <> 'mtmigrate_fence';
INSERT INTO state SELECT 'listen', channel, '' FROM pg_listening_channels() AS channel;
INSERT INTO state SELECT 'lock', objid::text, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory';
INSERT INTO state SELECT 'temporary', relname, relkind::text FROM pg_class WHERE relnamespace = pg_my_temp_schema();
INSERT INTO state VALUES ('user', current_user, session_user);
INSERT INTO state SELECT 'own', name, coalesce(current_setting(name, true), '') FROM (VALUES ('leak.own')) AS v (name);
DO $$ BEGIN
    INSERT INTO state VALUES ('sequence', 'lastval', lastval()::text);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    INSERT INTO state VALUES ('sequence', 'lastval', 'none');
END $$;
";

/// Changes everything that a session of PostgreSQL has; every setting that a user may set among it.
const HOSTILE: &str = "
CREATE TABLE t (id serial);
INSERT INTO t DEFAULT VALUES;
CREATE TEMP TABLE leak (id int);
CREATE TEMP VIEW leaks AS SELECT 1;
CREATE TEMP SEQUENCE leak_seq;
PREPARE leak AS SELECT 1;
DECLARE leak CURSOR WITH HOLD FOR SELECT 1;
LISTEN leak;
SELECT pg_advisory_lock(4711);
SELECT pg_advisory_lock_shared(4712);
SET leak.own = 'leaked';
SELECT set_config('leak.own', 'leaked', false);
DO $$ DECLARE s record; BEGIN
    FOR s IN SELECT * FROM pg_settings WHERE context IN ('user', 'superuser') AND name !~ '^transaction_|_timeout$' AND name NOT IN
        ('session_authorization', 'role', 'client_encoding', 'search_path', 'exit_on_error', 'ignore_system_indexes',
         'default_transaction_read_only', 'session_replication_role', 'is_superuser')
    LOOP
        BEGIN
            PERFORM set_config(s.name, CASE s.vartype WHEN 'bool' THEN CASE s.setting WHEN 'on' THEN 'off' ELSE 'on' END
                WHEN 'enum' THEN (SELECT v FROM unnest(s.enumvals) AS v WHERE v <> s.setting ORDER BY v DESC LIMIT 1)
                WHEN 'integer' THEN (least(s.max_val::numeric, s.setting::numeric + 7))::text
                WHEN 'real' THEN (least(s.max_val::numeric, s.setting::numeric + 1))::text ELSE s.setting END, false);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $$;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE;
SET TIME ZONE 'Asia/Tokyo';
SET DateStyle = 'German';
SET application_name = 'psql';
SET session_replication_role = replica;
SET search_path = '';
SET statement_timeout = '30s';
SET SESSION AUTHORIZATION {role};
SET ROLE {other};
";

/// The state that the second of two changesets found, by tenant.
fn found(server: &Postgres, first: &str, no_transaction: bool) -> Vec<Rows> {
    let (role, other) = (unique("role"), unique("other"));
    server.execute("postgres", &format!("CREATE ROLE {role}; CREATE ROLE {other}; GRANT {other} TO {role}"));
    let database = server.create_database();
    let mut fleet = Fleet::new();
    fleet.postgres_schema("a", server, &database).postgres_schema("b", server, &database);
    fleet.set_server(&format!("pg{}", server.port()), "max_connections", "2");
    let directive = if no_transaction { "-- mtmigrate: no-transaction\n" } else { "" };
    let text = first.replace("{role}", &role).replace("{other}", &other);
    fleet.changeset("V1__hostile.sql", &format!("{directive}{text}"));
    fleet.changeset("V2__state.sql", STATE);
    let output = fleet.run(&["up"]);
    assert_eq!(output.status, 0, "{output}");
    let found = ["a", "b"].map(|name| fleet.query(name, "SELECT kind, name, value FROM state ORDER BY 1, 2, 3"));
    server.execute("postgres", &format!("DROP ROLE {role}; DROP ROLE {other}"));
    found.into()
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_postgresql_session_is_as_new_for_the_next_tenant_whatever_a_text_did_to_it() {
    let server = postgres(0);
    // The block loads plpgsql into the server's process, as the fence does: its settings are listed from then on.
    let fresh = found(server, "DO $$ BEGIN NULL; END $$", false);
    assert!(fresh[0].len() > 300, "{:?}", fresh[0]);
    for no_transaction in [false, true] {
        for state in found(server, HOSTILE, no_transaction) {
            let differing: Vec<_> = state.iter().filter(|row| !fresh[0].contains(row)).collect();
            assert!(differing.is_empty(), "{no_transaction}: {differing:?}");
            let own = |row: &&Vec<Option<String>>| !row[1].as_deref().is_some_and(|name| name.starts_with("plpgsql."));
            let missing: Vec<_> = fresh[0].iter().filter(own).filter(|row| !state.contains(row)).collect();
            assert!(missing.is_empty(), "{no_transaction}: {missing:?}");
        }
    }
}

/// A library that a text loads stays in the server's process, and its settings with it: that session is given up.
#[test]
fn a_library_that_a_text_loads_is_not_there_for_the_next_tenant() {
    let server = postgres(0);
    for state in found(server, "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0", false) {
        let names: Vec<&str> = state.iter().filter_map(|row| row[1].as_deref()).collect();
        assert!(!names.iter().any(|name| name.starts_with("auto_explain")), "{names:?}");
    }
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_mariadb_session_is_as_new_for_the_next_tenant_whatever_a_text_did_to_it() {
    let server = MariaDb::start(Options::default());
    server.execute("", "CREATE ROLE leak_role; GRANT ALL ON *.* TO leak_role; GRANT leak_role TO migrator");
    let state = "-- mtmigrate: no-transaction
CREATE TABLE state AS SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM information_schema.SESSION_VARIABLES
    WHERE VARIABLE_NAME NOT IN ('TIMESTAMP', 'PSEUDO_THREAD_ID', 'RAND_SEED1', 'RAND_SEED2', 'LAST_INSERT_ID', 'IDENTITY',
        'GTID_BINLOG_POS', 'GTID_BINLOG_STATE', 'GTID_CURRENT_POS', 'INSERT_ID', 'LAST_GTID');
ALTER TABLE state MODIFY value LONGTEXT;
INSERT INTO state VALUES ('role', IFNULL(CURRENT_ROLE(), 'none')), ('user', CURRENT_USER()),
    ('in database', DATABASE() = (SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_NAME = 'state'
        AND TABLE_SCHEMA = DATABASE())), ('variable', IFNULL(@leak, 'none')), ('lock', IFNULL(IS_USED_LOCK('leak'), 'none'));
";
    let hostile = "-- mtmigrate: no-transaction
CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY);
INSERT INTO t VALUES ();
CREATE TEMPORARY TABLE leak (id int);
CREATE TEMPORARY TABLE state (id int);
PREPARE leak FROM 'SELECT 1';
SET @leak = 'leaked', foreign_key_checks = 0, unique_checks = 0, sql_safe_updates = 1, sql_notes = 0, sql_log_off = 1;
SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ORACLE';
SET time_zone = '+09:00', div_precision_increment = 9, group_concat_max_len = 4, auto_increment_increment = 7, sql_select_limit = 1;
SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE;
SET NAMES latin1;
SET CHARACTER SET koi8r;
SET collation_database = latin1_bin, character_set_database = latin1, default_storage_engine = MyISAM, lc_time_names = 'de_DE';
SET max_statement_time = 100, lock_wait_timeout = 77, innodb_lock_wait_timeout = 78, wait_timeout = 79, net_read_timeout = 80;
SET timestamp = 1, rand_seed1 = 1, max_session_mem_used = 99999999, pseudo_slave_mode = 0, old_mode = '';
SET ROLE leak_role;
DO GET_LOCK('leak', 0);
HANDLER t OPEN;
SET autocommit = 0;
";
    let found = |first: &str| -> Vec<Rows> {
        let mut fleet = Fleet::new();
        let url = serde_json::to_string(&server.server_url()).unwrap();
        let databases = [server.create_database(), server.create_database()];
        fleet.tenants_yaml(&format!(
            "servers:\n  m: {{ url: {url}, max_connections: 2 }}\ntenants:\n  - {{ name: a, server: m, database: {} }}\n  \
             - {{ name: b, server: m, database: {} }}\n",
            databases[0], databases[1]
        ));
        fleet.changeset("V1__first.sql", first).changeset("V2__state.sql", state);
        let output = fleet.run(&["up"]);
        assert_eq!(output.status, 0, "{output}");
        databases.iter().map(|database| server.query(database, "SELECT name, value FROM state ORDER BY 1")).collect()
    };
    let fresh = found("-- mtmigrate: no-transaction\nCREATE TABLE t (id int)");
    assert!(fresh[0].len() > 200, "{:?}", fresh[0]);
    for state in found(hostile) {
        let differing: Vec<_> = state.iter().filter(|row| !fresh[0].contains(row)).collect();
        assert!(differing.is_empty(), "{differing:?}");
    }
}

#[test]
fn what_holds_for_texts_that_only_make_tables_does_not_hold_for_others() {
    let server = postgres(0);
    let mut fleet = Fleet::new();
    let database = server.create_database();
    fleet.postgres_schema("acme", server, &database).postgres_schema("bolt", server, &database);
    fleet.set_server(&format!("pg{}", server.port()), "max_connections", "2");
    let limit = |version: u32, seconds: u32| {
        format!(
            "-- mtmigrate: lock-timeout={seconds}s\n-- mtmigrate: statement-timeout={seconds}m\nCREATE TABLE t{version} (id int);\n"
        )
    };
    let state = |version: u32| {
        format!(
            "CREATE TABLE s{version} AS SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout') \
             || ' ' || current_user || ' ' || (current_setting('search_path') = quote_ident(current_schema())) AS found;"
        )
    };
    fleet
        .changeset("V1__a.sql", &limit(1, 7))
        .changeset("V2__b.sql", &limit(2, 7))
        .changeset("V3__c.sql", &state(3))
        .changeset("V4__d.sql", &limit(4, 8))
        .changeset("V5__e.sql", "CREATE TABLE t5 (id int);")
        .changeset("V6__f.sql", &state(6));
    fleet.run(&["up"]).expect(0);
    for tenant in ["acme", "bolt"] {
        for table in ["s3", "s6"] {
            let found = fleet.query(tenant, &format!("SELECT found FROM {table}"));
            assert_eq!(found, [[Some("5s 0 migrator true".to_string())]], "{tenant} {table}");
        }
    }
}
