//! PostgreSQL: errors that come late, sessions that a text poisons, and what one tenant may not see of another.

use crate::support::gate::wait_until;
use crate::support::{CANARY, Fleet, postgres, unique};

use super::{cell, versions};

/// Covers row 22 of docs/failures.md.
#[test]
fn a_deferred_constraint_that_fails_at_commit_is_a_failed_changeset() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).sqlite("lite");
    let deferred = "CREATE TABLE p (id int PRIMARY KEY);
CREATE TABLE c (p int REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO c VALUES (1);
";
    fleet.changeset("V1__d.sql", deferred);
    let output = fleet.run(&["up", "--tenant", "pg"]).expect(1);
    assert!(output.stderr.contains("23503") && output.stderr.contains("pg is unchanged"), "{output}");
    assert!(!fleet.dump("pg").contains("CREATE TABLE public.p "), "it was rolled back");
    let lite = fleet.run(&["up", "--tenant", "lite"]).expect(1);
    assert!(lite.stderr.contains("MT207"), "{lite}");
    let history = fleet.run(&["history", "--tenant", "pg", "--format", "json"]).expect(0);
    assert!(history.stdout.contains("23503"), "{history}");
    fleet.edit("V1__d.sql", &format!("{deferred}INSERT INTO p VALUES (1);\n"));
    fleet.run(&["up"]).expect(0);
}

/// Covers row 23 of docs/failures.md.
#[test]
fn a_statement_that_fails_late_in_a_text_is_found_at_its_line_and_rolls_back_all_of_it() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).sqlite("lite");
    fleet.changeset(
        "V1__late.sql",
        "CREATE TABLE größe (a int PRIMARY KEY); -- ü\nSELECT 1;\nSELECT 2;\nINSERT INTO größe VALUES (1);\n\n  INSERT INTO größe VALUES (1);\nSELECT 3;\n",
    );
    for tenant in ["pg", "lite"] {
        let output = fleet.run(&["up", "--tenant", tenant]).expect(1);
        assert!(output.stderr.contains("V1__late.sql:6:3"), "{output}");
        assert!(output.stderr.contains(&format!("{tenant} is unchanged")), "{output}");
        assert!(!fleet.dump(tenant).contains("CREATE TABLE public.größe"), "{tenant}");
        fleet.run(&["status", "--tenant", tenant]).expect(0);
    }
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_text_that_poisons_its_session_does_not_reach_the_next_tenant_on_the_same_connection() {
    let role = unique("owner");
    postgres(0).execute("postgres", &format!("CREATE ROLE {role}"));
    let shared = postgres(0).create_database();
    let mut fleet = Fleet::new();
    for name in ["a", "b", "c"] {
        fleet.postgres_schema(name, postgres(0), &shared);
    }
    postgres(0).execute(&shared, &format!("GRANT ALL ON DATABASE {shared} TO {role}"));
    fleet.set_server(&format!("pg{}", postgres(0).port()), "max_connections", "2");
    fleet
        .changeset("V1__t.sql", "CREATE TABLE t (who text, path text, leak text, tz text, tmp text);")
        .changeset(
            "V2__poison.sql",
            &format!(
                "INSERT INTO t SELECT current_user, current_schemas(false)::text, nullif(current_setting('my.leak', true), ''),
    current_setting('TimeZone'), to_regclass('pg_temp.leak')::text;
CREATE TEMP TABLE leak (a int);
PREPARE leak AS SELECT 1;
DECLARE leak CURSOR WITH HOLD FOR SELECT 1;
LISTEN leak;
SELECT pg_advisory_lock(4711);
SET my.leak = 'leaked';
SET TimeZone = 'Asia/Tokyo';
SET standard_conforming_strings = off;
SET lock_timeout = 1;
SET default_transaction_read_only = on;
SET search_path = '';
SET ROLE {role};
"
            ),
        )
        .changeset("V3__after.sql", "INSERT INTO t (who) VALUES ('after');");
    fleet.run(&["up"]).expect(0);
    for tenant in ["a", "b", "c"] {
        let row = &fleet.query(tenant, "SELECT who, path, leak, tz, tmp FROM t WHERE path IS NOT NULL")[0];
        let row: Vec<&str> = row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
        assert_eq!((row[0], row[2], row[3], row[4]), ("migrator", "NULL", "UTC", "NULL"), "{tenant}");
        assert!(row[1].starts_with("{tenant_"), "{tenant}: {row:?}");
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t"), "2");
        assert_eq!(versions(&fleet, tenant), ["1", "2", "3"]);
    }
    let stray = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(postgres(0).query(&shared, stray)[0][0].as_deref(), Some("0"));
}

/// The same, where each statement commits by itself.
///
/// Covers row 30 of docs/failures.md.
#[test]
fn a_no_transaction_text_that_sets_a_role_and_an_empty_search_path_is_still_recorded() {
    let role = unique("owner");
    postgres(0).execute("postgres", &format!("CREATE ROLE {role}"));
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet.postgres_schema("a", postgres(0), &shared).postgres_schema("b", postgres(0), &shared);
    fleet.changeset(
        "V1__t.sql",
        &format!(
            "-- mtmigrate: no-transaction
CREATE TABLE t (a int);
SET search_path = '';
SET standard_conforming_strings = off;
SET ROLE {role};
SELECT 1;
SET default_transaction_read_only = on;
"
        ),
    );
    fleet.run(&["up", "--jobs", "1"]).expect(0);
    for tenant in ["a", "b"] {
        assert_eq!(versions(&fleet, tenant), ["1"]);
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t"), "0");
    }
}

/// Covers row 29 of docs/failures.md.
#[test]
fn a_missing_schema_is_that_tenants_error_and_nothing_lands_in_public() {
    let shared = postgres(0).create_database();
    let mut fleet = Fleet::new();
    fleet.postgres_schema_named("there", postgres(0), &shared, "there").postgres_schema_named(
        "gone",
        postgres(0),
        &shared,
        "gone",
    );
    postgres(0).execute(&shared, "DROP SCHEMA gone");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);");
    let output = fleet.run(&["up"]).expect(5);
    assert!(output.stderr.contains("MT313") && output.stderr.contains("CREATE SCHEMA \"gone\""), "{output}");
    let tables =
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', 'there')";
    assert_eq!(postgres(0).query(&shared, tables)[0][0].as_deref(), Some("0"), "nothing anywhere");
    fleet.run(&["status"]).expect(5);
}

/// Covers row 29 of docs/failures.md.
#[test]
fn a_schema_that_is_dropped_between_the_survey_and_its_turn_is_noticed_inside_the_transaction() {
    let shared = postgres(0).create_database();
    let mut fleet = Fleet::new();
    let (first, second) = (unique("first"), unique("second"));
    fleet.postgres_schema_named("a", postgres(0), &shared, &first);
    fleet.postgres_schema_named("b", postgres(0), &shared, &second);
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);").changeset(
        "V2__u.sql",
        // The first tenant's turn lasts until the second one's schema is gone.
        &format!(
            "DO $$ BEGIN IF current_schema() = '{first}' THEN WHILE EXISTS (SELECT FROM pg_namespace WHERE nspname = \
             '{second}') LOOP PERFORM pg_sleep(0.02); END LOOP; END IF; END $$;\nCREATE TABLE u (a int);"
        ),
    );
    let up = fleet.spawn(&["up", "--jobs", "1"]);
    let waits = format!("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = '{shared}'");
    wait_until("the first tenant's turn", || !postgres(0).query(&shared, &waits).is_empty());
    postgres(0).execute(&shared, &format!("DROP SCHEMA {second} CASCADE"));
    let output = up.wait().expect(1);
    assert!(output.stderr.contains("on tenant b") && output.stderr.contains("does not exist"), "{output}");
    let stray = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(postgres(0).query(&shared, stray)[0][0].as_deref(), Some("0"));
}

/// Covers row 33 of docs/failures.md.
#[test]
fn an_extension_that_lives_in_the_first_tenants_schema_fails_the_second_and_says_so() {
    let shared = postgres(0).create_database();
    let mut fleet = Fleet::new();
    fleet.postgres_schema_named("a", postgres(0), &shared, "ext_a").postgres_schema("b", postgres(0), &shared);
    let text = "CREATE EXTENSION IF NOT EXISTS citext;\nCREATE TABLE t (a citext);";
    fleet.changeset("V1__e.sql", text);
    let output = fleet.run(&["up", "--jobs", "1"]).expect(1);
    assert!(output.stderr.contains("MT214") && output.stderr.contains("extension citext"), "the fence: {output}");
    // By hand, or before there was a fence.
    fleet.execute("a", "CREATE EXTENSION citext SCHEMA ext_a");
    let hint = "hint: extension citext lives in schema ext_a, and a database has it once";
    for text in
        [text, "CREATE EXTENSION citext", "CREATE TABLE t (a citext)", "CREATE TABLE t AS SELECT citext_eq('a', 'b')"]
    {
        fleet.changeset("V1__e.sql", text);
        let output = fleet.run(&["up", "--jobs", "1", "--tenant", "b"]).expect(1);
        assert!(output.stderr.contains("on tenant b") && output.stderr.contains("V1__e.sql:"), "{text}: {output}");
        assert!(output.stderr.contains(hint), "{text}: {output}");
    }
    fleet.execute("a", "ALTER EXTENSION citext SET SCHEMA public");
    fleet.changeset("V1__e.sql", "-- mtmigrate: touches public\nCREATE EXTENSION IF NOT EXISTS citext SCHEMA public;\nCREATE TABLE t (a public.citext);");
    fleet.run(&["up"]).expect(0);
}

/// Covers row 12 of docs/failures.md.
#[test]
fn a_role_that_two_tenants_create_collides_with_the_tenant_and_the_server_named() {
    let role = unique("twice");
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0)).postgres_database("b", postgres(0));
    fleet.changeset("V1__r.sql", &format!("CREATE ROLE {role}"));
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("MT214") && output.stderr.contains("touches-cluster"), "{output}");
    fleet.changeset("V1__r.sql", &format!("-- mtmigrate: touches-cluster\nCREATE ROLE {role}"));
    let output = fleet.run(&["up", "--jobs", "1"]).expect(1);
    assert!(output.stderr.contains("failed on tenant b") && output.stderr.contains("42710"), "{output}");
    assert!(output.stderr.contains(&format!("whole server 127.0.0.1:{}", postgres(0).port())), "{output}");
    let guarded =
        format!("IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role}; END IF;");
    fleet.changeset("V1__r.sql", &format!("-- mtmigrate: touches-cluster\nDO $$ BEGIN {guarded} END $$"));
    fleet.run(&["up", "--tenant", "b"]).expect(0);
    postgres(0).execute("postgres", &format!("DROP ROLE {role}"));
}

/// Covers rows 35, 54 of docs/failures.md.
#[test]
fn a_name_that_the_server_truncates_is_shown_and_a_collision_fails() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0));
    let long = "x".repeat(70);
    fleet.changeset("V1__a.sql", &format!("CREATE TABLE {long}1 (a int);"));
    let output = fleet.run(&["up"]).expect(0);
    assert!(output.stdout.contains("NOTICE") && output.stdout.contains("will be truncated"), "{output}");
    assert!(output.stdout.contains("pg: "), "{output}");
    fleet.changeset("V2__b.sql", &format!("CREATE TABLE {long}2 (a int);"));
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("42P07"), "{output}");
}

/// Covers row 54 of docs/failures.md.
#[test]
fn notices_and_warnings_are_in_the_report_the_json_and_the_log() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0));
    fleet.changeset(
        "V1__n.sql",
        "DO $$ BEGIN RAISE NOTICE 'first notice'; RAISE WARNING 'then a warning'; END $$;\nDROP TABLE IF EXISTS nowhere;",
    );
    let output = fleet.run(&["up", "--format", "json", "-v", "-v"]).expect(0);
    for said in ["NOTICE: first notice", "WARNING: then a warning", "does not exist, skipping"] {
        assert!(output.stdout.contains(said) && output.stderr.contains(said), "no {said:?} in {output}");
    }
}

/// Covers row 55 of docs/failures.md.
#[test]
fn a_role_that_does_not_own_the_table_is_named_with_the_object() {
    let (role, database) = (unique("limited"), unique("owned"));
    let mut fleet = Fleet::new();
    fleet.postgres_database_named("pg", postgres(0), &database);
    let password = CANARY.replace('\'', "''");
    postgres(0).execute("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'"));
    postgres(0).execute(
        &database,
        &format!("CREATE TABLE t (a int); GRANT ALL ON SCHEMA public TO {role}; GRANT SELECT ON t TO {role}"),
    );
    let url = serde_json::to_string(&postgres(0).url_as(&role, CANARY, "127.0.0.1", &database)).unwrap();
    fleet.set("pg", "url", &url);
    fleet.changeset("V1__a.sql", "ALTER TABLE t ADD COLUMN b int;");
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("must be owner of table t"), "{output}");
    assert!(output.stderr.contains(&format!("role {role}")) && output.stderr.contains("tenant pg"), "{output}");
}

#[test]
fn a_failed_attempt_is_in_the_journal_and_status_calls_the_tenant_failed_until_it_is_mended() {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet.postgres_database("own", postgres(0)).postgres_schema("schema", postgres(0), &shared);
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);").changeset("V2__x.sql", "SELECT 1 / 0;");
    for tenant in ["own", "schema"] {
        let output = fleet.run(&["up", "--tenant", tenant]).expect(1);
        assert!(output.stderr.contains("22012") && !output.stderr.contains("MT212"), "{output}");
        let output = fleet.run(&["status", "--tenant", tenant, "--format", "json"]).expect(0);
        let status: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(status["tenants"][0]["state"], "failed", "{output}");
        assert!(status["tenants"][0]["last"]["error"].as_str().unwrap().contains("division by zero"), "{output}");
        assert_eq!(status["tenants"][0]["last"]["version"], "2");
    }
    fleet.edit("V2__x.sql", "SELECT 1;");
    fleet.run(&["up"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
}

#[test]
fn a_no_transaction_text_that_fails_inside_its_own_transaction_says_where_and_can_be_continued() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0));
    let text = "-- mtmigrate: no-transaction\nCREATE TABLE t (a int);\nBEGIN;\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1 / (SELECT count(*) FROM guard));\nCOMMIT;\nCREATE TABLE u (a int);\n";
    fleet.execute("pg", "CREATE TABLE guard (a int)");
    fleet.changeset("V1__t.sql", text);
    let output = fleet.run(&["up"]).expect(6);
    assert!(output.stderr.contains("V1__t.sql:5:") && output.stderr.contains("22012"), "{output}");
    assert_eq!(cell(&fleet, "pg", "SELECT count(*) FROM t"), "0", "its transaction was rolled back");
    fleet.execute("pg", "INSERT INTO guard VALUES (1)");
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "pg", "SELECT count(*) FROM t"), "2", "all of its transaction ran again");
    assert_eq!(versions(&fleet, "pg"), ["1"]);
}

#[test]
fn a_no_transaction_text_that_never_ends_its_own_transaction_is_not_called_applied() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0));
    fleet.changeset("V1__t.sql", "-- mtmigrate: no-transaction\nBEGIN;\nCREATE TABLE t (a int);\n");
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("does not end it") && output.stderr.contains("pg is unchanged"), "{output}");
    assert!(versions(&fleet, "pg").is_empty());
    fleet.edit("V1__t.sql", "-- mtmigrate: no-transaction\nBEGIN;\nCREATE TABLE t (a int);\nCOMMIT;\n");
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "pg", "SELECT count(*) FROM t"), "0");
}
