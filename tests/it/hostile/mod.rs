//! PostgreSQL under texts, roles and administrators that mean harm.

use std::thread::sleep;
use std::time::{Duration, Instant};

mod sessions;

use super::support::{CANARY, Fleet, Kind, Options, Postgres, gate, postgres, unique};

/// Ends every session of mtmigrate that answers to this condition.
fn terminate(server: &Postgres, condition: &str) -> usize {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name LIKE 'mtmigrate %' AND {condition}"
    );
    server.query("postgres", &sql).len()
}

/// Waits until a session of mtmigrate answers to this condition.
fn wait_until(server: &Postgres, condition: &str) {
    let sql = format!("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'mtmigrate %' AND {condition}");
    let began = Instant::now();
    while server.query("postgres", &sql).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(90), "no session with {condition}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_idle_session_that_the_server_ended_between_two_steps_is_replaced() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.postgres_database_named("a", &server, "a").postgres_database_named("b", &server, "b");
    fleet.changeset("V1__one.sql", Kind::Database.gate());
    fleet.changeset("V2__two.sql", "CREATE TABLE two (id int)");
    fleet.open_gate("a");
    let up = fleet.spawn(&["up"]);
    fleet.wait_at_gate("b");
    gate::wait_until("a has V1", || fleet.versions("a") == [1]);
    wait_until(&server, "datname = 'a' AND state = 'idle'");
    assert_eq!(terminate(&server, "datname = 'a'"), 1);
    fleet.open_gate("b");
    up.wait().expect(0);
}

#[test]
fn a_session_timeout_of_the_server_ends_neither_the_lock_nor_the_run() {
    let server = Postgres::start(Options { conf: &[("idle_session_timeout", "1s")], ..Options::default() });
    let mut fleet = Fleet::new();
    fleet.postgres_database_named("a", &server, "a").postgres_database_named("b", &server, "b");
    fleet.changeset("V1__one.sql", "SELECT pg_sleep(CASE current_database() WHEN 'b' THEN 3 ELSE 0 END)");
    fleet.changeset("V2__two.sql", "CREATE TABLE two (id int)");
    fleet.run(&["up"]).expect(0);
}

/// Covers row 3 of docs/failures.md.
#[test]
fn a_lock_that_is_lost_in_a_step_halts_before_the_next() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.postgres_database_named("a", &server, "a").postgres_database_named("b", &server, "b");
    fleet.changeset("V1__one.sql", Kind::Database.gate());
    fleet.changeset("V2__two.sql", "CREATE TABLE two (id int)");
    let up = fleet.spawn(&["up", "--format", "json"]);
    ["a", "b"].iter().for_each(|tenant| fleet.wait_at_gate(tenant));
    assert_eq!(terminate(&server, "datname = 'postgres'"), 1);
    // What was answered about the lock a moment ago still holds for the next step.
    sleep(Duration::from_secs(1));
    ["a", "b"].iter().for_each(|tenant| fleet.open_gate(tenant));
    let output = up.wait().expect(1);
    assert!(output.stderr.contains("MT213"), "{output}");
    assert!(output.stderr.contains("not started: a, b"), "{output}");
    assert!(output.stdout.contains("\"not_started\""), "{output}");
    assert!(fleet.query("a", "SELECT 1 FROM pg_class WHERE relname = 'two'").is_empty());
    fleet.run(&["up"]).expect(0);
}

#[test]
fn a_text_that_takes_another_role_is_recorded_all_the_same() {
    for (text, stays) in [
        ("SET ROLE {role}; CREATE TABLE t (id int);", true),
        ("SET SESSION AUTHORIZATION {role}; CREATE TABLE t (id int);", true),
        ("CREATE TABLE t (id int); SET search_path = ''; SET standard_conforming_strings = off;", true),
        ("CREATE TABLE t (id int); SET statement_timeout = '1s'; SET default_transaction_read_only = on;", true),
        ("CREATE TABLE t (id int); SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", true),
        ("CREATE TABLE t (id int); SET TRANSACTION READ ONLY", false),
    ] {
        let server = postgres(0);
        let role = unique("role");
        let mut fleet = Fleet::new();
        fleet.postgres_database("a", server);
        fleet.execute("a", &format!("CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}"));
        let text = text.replace("{role}", &role);
        fleet.changeset("V1__one.sql", &text);
        fleet.changeset("V2__two.sql", "CREATE TABLE two (id int)");
        let output = fleet.run(&["up"]);
        assert_eq!(output.status, if stays { 0 } else { 1 }, "{text}: {output}");
        let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'two'";
        if stays {
            assert_eq!(fleet.query("a", owner)[0][0].as_deref(), Some("migrator"), "{text}");
        }
    }
}

#[test]
fn a_no_transaction_text_that_takes_another_role_is_recorded_all_the_same() {
    for text in [
        "SET ROLE {role};\nCREATE TABLE t (id int);\nCREATE TABLE u (id int);",
        "SET SESSION AUTHORIZATION {role};\nCREATE TABLE t (id int);\nCREATE TABLE u (id int);",
        "CREATE TABLE t (id int);\nSET default_transaction_read_only = on;\nSET default_transaction_read_only = off;\nCREATE TABLE u (id int);",
        "SET search_path = '';\nSET standard_conforming_strings = off;\nSELECT 'a\\\\';\nSET statement_timeout = '1ms';",
    ] {
        let role = unique("role");
        let mut fleet = Fleet::new();
        fleet.postgres_database("a", postgres(0));
        fleet.execute("a", &format!("CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}"));
        fleet.changeset("V1__one.sql", &format!("-- mtmigrate: no-transaction\n{}", text.replace("{role}", &role)));
        let output = fleet.run(&["up"]);
        assert_eq!(output.status, 0, "{text}: {output}");
    }
}

#[test]
fn a_text_that_removes_its_own_history_is_rolled_back() {
    for text in [
        "DROP TABLE refinery_schema_history",
        "DELETE FROM refinery_schema_history",
        "ALTER TABLE refinery_schema_history RENAME TO gone",
        "DROP TABLE mtmigrate_journal",
        "DROP SCHEMA public CASCADE",
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$",
    ] {
        let mut fleet = Fleet::new();
        fleet.postgres_database("a", postgres(0));
        fleet.changeset("V1__one.sql", "CREATE TABLE one (id int)");
        fleet.run(&["up"]).expect(0);
        fleet.changeset("V2__two.sql", text);
        let output = fleet.run(&["up"]);
        assert_eq!(output.status, 1, "{text}: {output}");
        let rows = fleet.query("a", "SELECT version::text FROM refinery_schema_history");
        assert_eq!(rows.len(), 1, "{text}");
    }
}

#[test]
fn an_error_is_placed_at_its_character_after_multibyte_text_and_windows_line_ends() {
    for (text, place) in [
        ("-- größe €🎉\r\nCREATE TABLE t (id int);\r\nSELECT '€🎉' FROM  nowhere;\r\n", "V1__one.sql:3:19"),
        ("CREATE TABLE \"größe🎉\" (id int);\nINSERT INTO \"größe🎉\" VALUES (1/0); -- end", "V1__one.sql:2:1"),
        ("SELECT 1;\n\n  SELCT 2 --", "V1__one.sql:3:3"),
        (
            "CREATE TABLE p (id int PRIMARY KEY);\n/* ü */ CREATE TABLE c (id int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (1)",
            "MT204",
        ),
    ] {
        let mut fleet = Fleet::new();
        fleet.postgres_database("a", postgres(0));
        fleet.changeset("V1__one.sql", text);
        let output = fleet.run(&["up"]).expect(1);
        assert!(output.stderr.contains(place), "{place}: {output}");
        assert!(!output.stderr.contains("MT212"), "{output}");
        assert_eq!(fleet.query("a", "SELECT outcome FROM mtmigrate_journal")[0][0].as_deref(), Some("failed"));
    }
}

#[test]
fn a_history_behind_a_schema_that_the_text_put_in_front_is_found_again_or_refused() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0));
    fleet.execute("a", "DROP SCHEMA IF EXISTS migrator");
    // The default search_path is "$user", public.
    fleet.changeset(
        "V1__one.sql",
        "CREATE TABLE effects (id int); INSERT INTO effects VALUES (1); CREATE SCHEMA migrator",
    );
    fleet.run(&["up"]).expect(0);
    let output = fleet.run(&["up"]).expect(5);
    assert!(output.stderr.contains("MT318") && output.stderr.contains("`schema: public`"), "{output}");
    assert!(fleet.query("a", "SELECT 1 FROM pg_tables WHERE schemaname = 'migrator'").is_empty(), "{output}");
}

#[test]
fn a_half_applied_text_is_not_run_again_as_a_transactional_one() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0));
    fleet.execute("a", "CREATE TABLE effects (id int)");
    let text = "INSERT INTO effects VALUES (1);\nINSERT INTO later VALUES (1);";
    fleet.changeset("V1__one.sql", &format!("-- mtmigrate: no-transaction\n{text}"));
    fleet.run(&["up"]).expect(6);
    fleet.execute("a", "CREATE TABLE later (id int)");
    fleet.edit("V1__one.sql", text);
    let output = fleet.run(&["up"]);
    assert_eq!(fleet.query("a", "SELECT id FROM effects").len(), 1, "{output}");
    assert_eq!(output.status, 6, "{output}");
}

#[test]
fn a_half_applied_text_is_not_forgotten_when_an_older_one_comes_before_it() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0)).postgres_database("b", postgres(0));
    fleet.execute("a", "CREATE TABLE effects (id int)");
    fleet.execute("b", "CREATE TABLE effects (id int); CREATE TABLE later (id int)");
    let text = "-- mtmigrate: no-transaction\nINSERT INTO effects VALUES (1);\nINSERT INTO later VALUES (1);";
    fleet.changeset("V5__five.sql", text);
    fleet.run(&["up"]).expect(6);
    fleet.changeset("U4__four.sql", "SELECT 1/(SELECT count(*) FROM pg_tables WHERE tablename = 'only_a')");
    fleet.execute("a", "CREATE TABLE only_a (id int)");
    fleet.run(&["up"]).expect(6);
    fleet.execute("b", "CREATE TABLE only_a (id int)");
    fleet.execute("a", "CREATE TABLE later (id int)");
    let output = fleet.run(&["up"]);
    assert_eq!(fleet.query("a", "SELECT id FROM effects").len(), 1, "{output}");
}

#[test]
fn a_block_in_a_no_transaction_text_is_one_piece() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0));
    fleet.execute("a", "CREATE TABLE effects (id int)");
    let text = "-- mtmigrate: no-transaction\nSELECT 1;\nBEGIN;\nINSERT INTO effects VALUES (1);\nINSERT INTO later VALUES (1);\nCOMMIT;\nINSERT INTO effects VALUES (2);";
    fleet.changeset("V1__one.sql", text);
    fleet.run(&["up"]).expect(6);
    fleet.execute("a", "CREATE TABLE later (id int)");
    let output = fleet.run(&["up"]);
    assert_eq!(output.status, 0, "{output}");
    assert_eq!(fleet.query("a", "SELECT id::text FROM effects ORDER BY 1").len(), 2, "{output}");
}

#[test]
fn a_block_that_committed_a_part_of_itself_is_not_run_again() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0));
    fleet.execute("a", "CREATE TABLE effects (id int)");
    let text = "DO $$ BEGIN INSERT INTO effects VALUES (1); COMMIT; PERFORM 1/0; END $$";
    fleet.changeset("V1__one.sql", &format!("-- mtmigrate: no-transaction\n{text}"));
    let output = fleet.run(&["up"]).expect(6);
    assert!(output.stderr.contains("what this statement committed by itself"), "{output}");
    fleet.run(&["up"]).expect(6);
    assert_eq!(fleet.query("a", "SELECT id FROM effects").len(), 1);
}

#[test]
fn a_history_that_refinery_makes_at_the_same_moment_is_taken() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0));
    fleet.changeset("V1__one.sql", "CREATE TABLE one (id int)");
    let make = "CREATE TABLE refinery_schema_history (version int4 PRIMARY KEY, name VARCHAR(255), \
                applied_on VARCHAR(255), checksum VARCHAR(255)); SELECT pg_sleep(1.5)";
    std::thread::scope(|scope| {
        let refinery = scope.spawn(|| fleet.execute("a", make));
        fleet.wait_at_gate("a");
        fleet.run(&["up"]).expect(0);
        refinery.join().unwrap();
    });
    assert_eq!(fleet.query("a", "SELECT version FROM refinery_schema_history").len(), 1);
}

#[test]
fn a_statement_that_an_administrator_cancelled_is_not_said_to_have_run_too_long() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", &server);
    fleet.changeset("V1__one.sql", "SELECT pg_sleep(20)");
    let up = fleet.spawn(&["up"]);
    wait_until(&server, "wait_event = 'PgSleep'");
    server.query("postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    let output = up.wait().expect(1);
    assert!(!output.stderr.contains("MT203"), "{output}");
}

#[test]
fn a_session_that_an_administrator_ended_leaves_the_tenant_unchanged_and_says_so() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", &server);
    fleet.changeset("V1__one.sql", "SELECT pg_sleep(20)");
    let up = fleet.spawn(&["up"]);
    wait_until(&server, "wait_event = 'PgSleep'");
    terminate(&server, "wait_event = 'PgSleep'");
    let output = up.wait().expect(1);
    assert!(output.stderr.contains("a is unchanged"), "{output}");
    let rows = fleet.query("a", "SELECT 1 FROM pg_tables WHERE tablename = 'refinery_schema_history'");
    assert!(rows.is_empty());
}

#[test]
fn a_copy_to_stdout_in_a_text_is_told_as_what_it_is() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0));
    fleet.changeset("V1__one.sql", "CREATE TABLE t (id int); COPY t TO STDOUT; CREATE TABLE u (id int)");
    let output = fleet.run(&["up"]);
    let rows = fleet.query("a", "SELECT 1 FROM pg_class WHERE relname = 'u'");
    assert_eq!(rows.is_empty(), output.status != 0, "{output}");
}

#[test]
fn strange_histories_are_told_apart_and_nothing_panics() {
    for (sql, status) in [
        (
            "CREATE VIEW refinery_schema_history AS SELECT 1 AS version, 'a'::text AS name, 'x' AS applied_on, '1' AS checksum",
            3,
        ),
        ("CREATE TABLE refinery_schema_history (version text)", 5),
        (
            "CREATE TABLE refinery_schema_history (version numeric, name text, applied_on timestamptz, checksum numeric)",
            0,
        ),
        (
            "CREATE TABLE refinery_schema_history (version text PRIMARY KEY, name text, applied_on text, checksum text)",
            0,
        ),
        (
            "CREATE MATERIALIZED VIEW refinery_schema_history AS SELECT 1 AS version, 'a'::text AS name, 'x' AS applied_on, '1' AS checksum",
            3,
        ),
        ("CREATE SEQUENCE refinery_schema_history", 1),
        ("CREATE TABLE mtmigrate_journal (id int)", 5),
    ] {
        let mut fleet = Fleet::new();
        fleet.postgres_database("a", postgres(0));
        fleet.execute("a", sql);
        fleet.changeset("V1__one.sql", "CREATE TABLE t (id int)");
        let output = fleet.run(&["up"]);
        assert_eq!(output.status, status, "{sql}: {output}");
    }
}

#[test]
fn a_role_without_create_on_its_schema_is_told_what_to_grant() {
    let server = postgres(0);
    let role = unique("poor");
    let mut fleet = Fleet::new();
    let database = unique("db");
    fleet.postgres_database_named("a", server, &database);
    let password = CANARY.replace('\'', "''");
    fleet.execute("a", &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
    let url = server.url_as(&role, CANARY, "127.0.0.1", &database);
    fleet.set("a", "url", &format!("\"{url}\""));
    fleet.changeset("V1__one.sql", "CREATE TABLE t (id int)");
    fleet.run(&["status"]).expect(0);
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("42501") && output.stderr.contains(&role), "{output}");
}

#[test]
fn an_interrupt_while_waiting_for_the_lock_is_an_interrupt() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", &server);
    fleet.changeset("V1__one.sql", Kind::Database.gate());
    let up = fleet.spawn(&["up"]);
    fleet.wait_at_gate("a");
    let mut second = fleet.spawn(&["up"]);
    second.wait_for("lock");
    second.signal(rustix::process::Signal::INT);
    let output = second.wait();
    fleet.open_gate("a");
    up.wait().expect(0);
    assert_eq!(output.status, 130, "{output}");
}

#[test]
fn a_server_that_never_answers_is_given_up_once_and_not_for_each_database() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut fleet = Fleet::new();
    let mut yaml = format!(
        "servers:\n  s: {{ url: \"postgres://u@127.0.0.1:{port}\", connect_timeout: 3s, max_connections: 3 }}\ntenants:\n"
    );
    for i in 0..30 {
        yaml += &format!("  - {{ name: t{i}, server: s, database: d{i} }}\n");
    }
    fleet.tenants_yaml(&yaml);
    fleet.changeset("V1__c.sql", "SELECT 1");
    let began = Instant::now();
    let output = fleet.run(&["up"]).expect(5);
    // Three at once, that would be thirty seconds for each database.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(output.stderr.contains("30 tenants not readable"), "{output}");
    // A person who stops it is not kept waiting either.
    fleet.tenants_yaml(&yaml.replace("connect_timeout: 3s", "connect_timeout: 100s"));
    let up = fleet.spawn(&["up"]);
    sleep(Duration::from_millis(500));
    up.signal(rustix::process::Signal::INT);
    let began = Instant::now();
    up.wait().expect(130);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

struct NoEnvironment;

impl mtmigrate::tenant::Environment for NoEnvironment {
    fn var(&self, _name: &str) -> Option<String> {
        None
    }
}

#[test]
fn a_run_inside_an_application_is_kept_out_by_its_sibling_and_leaves_nothing_when_dropped() {
    use mtmigrate::lockstep::{RunOutcome, Scope, Stop, UpOptions, up};
    use mtmigrate::{changeset, engine, history, tenant};

    let server = Postgres::start(Options::default());
    server.create_database_named("a");
    let mut fleet = Fleet::new();
    let text = format!("CREATE TABLE one (id int); {} SELECT pg_sleep(2);", Kind::Database.gate());
    fleet.changeset("V1__one.sql", &text);
    let changelog = changeset::load(&fleet.migrations()).unwrap().changelog;
    let text = format!("tenants:\n  - {{ name: a, url: \"{}\" }}\n", server.url("a"));
    let tenants = tenant::parse(std::path::Path::new("tenants.yaml"), &text, &NoEnvironment).unwrap();
    let servers = engine::open(&tenants).unwrap();
    let selection = [tenant::TenantId(0)];
    let scope = Scope { fleet: &tenants, changelog: &changelog, servers: &servers, selection: &selection };
    let options = |secs| UpOptions {
        verify: mtmigrate::tenant::Verify::Off,
        target: None,
        jobs: None,
        lock_wait: Duration::from_secs(secs),
        out_of_order: history::OutOfOrder::Refuse,
        gates: std::sync::Arc::new(mtmigrate::lockstep::NoGates),
    };
    let stop = Stop::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let [one, two, three] = [(); 3].map(|()| engine::RunIdentity::new());

    // Dropped in the middle of its text: rolled back, and the lock is free.
    let began = options(0);
    let dropped = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(1), up(scope, &began, &one, &stop, &|_| {})).await
    });
    assert!(dropped.is_err());
    // Its text would stand before the gate for ever.
    gate::wait_until("the sessions of a dropped run end", || server.sessions() == 0);
    assert!(server.query("a", "SELECT 1 FROM pg_class WHERE relname = 'one'").is_empty());

    server.execute("a", "CREATE SCHEMA gate_is_open");
    // Two at once over the same servers: one works, one waits and finds nothing to do.
    let (long, sink) = (options(60), |_| {});
    let both = async { tokio::join!(up(scope, &long, &two, &stop, &sink), up(scope, &long, &three, &stop, &sink)) };
    let (two, three) = runtime.block_on(both);
    let mut outcomes = [two.outcome, three.outcome].map(RunOutcome::as_str);
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["applied", "up-to-date"], "{two:?} {three:?}");
}
