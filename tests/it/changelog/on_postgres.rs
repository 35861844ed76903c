//! Changelog shapes on PostgreSQL.

use crate::support::{Fleet, postgres};

use super::{cell, versions};

/// A tenant with a database, two with a schema in a shared one.
fn three() -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet.postgres_database("own", postgres(0)).postgres_schema("one", postgres(0), &shared).postgres_schema(
        "two",
        postgres(0),
        &shared,
    );
    fleet
}

const TENANTS: [&str; 3] = ["own", "one", "two"];

#[test]
fn dollar_quotes_do_blocks_and_begin_atomic_bodies_run_as_they_stand() {
    let mut fleet = three();
    let text = "CREATE TABLE t (a int);
CREATE FUNCTION f(n int) RETURNS int LANGUAGE plpgsql AS $fn$
BEGIN
    -- it's; a $$ comment
    INSERT INTO t VALUES (n);
    RETURN n * 2;
END;
$fn$;
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM t) THEN PERFORM f(1); END IF;
END
$$;
CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql
BEGIN ATOMIC
    SELECT CASE WHEN a = 0 THEN 0 ELSE a * 2 END;
END;
INSERT INTO t VALUES (twice(4)), (length(E'it\\'s; $$')), (length(U&'\\0041;'));
/* nested /* ; */ ; */
CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (5); INSERT INTO t VALUES (6); END;
CALL p();
";
    fleet.changeset("V1__t.sql", text);
    fleet.changeset(
        "V2__again.sql",
        &format!("-- mtmigrate: no-transaction\nDROP TABLE t CASCADE;\nDROP FUNCTION f, twice;\n{text}"),
    );
    // BEGIN ATOMIC bodies depend on the table, so DROP … CASCADE takes the procedure.
    fleet.run(&["up"]).expect(0);
    for tenant in TENANTS {
        assert_eq!(
            cell(&fleet, tenant, "SELECT string_agg(a::text, ',' ORDER BY a) FROM t"),
            "1,2,5,6,8,8",
            "{tenant}"
        );
    }
}

/// Covers row 20 of docs/failures.md.
#[test]
fn a_procedure_that_commits_is_called_in_a_no_transaction_changeset_only() {
    let mut fleet = three();
    fleet.changeset(
        "V1__p.sql",
        "CREATE TABLE t (a int);
CREATE PROCEDURE batches() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..3 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP;
END $$;
",
    );
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V2__call.sql", "CALL batches();");
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("2D000") && output.stderr.contains("V2__call.sql:1:1"), "{output}");
    fleet.edit("V2__call.sql", "-- mtmigrate: no-transaction\nCALL batches();");
    fleet.run(&["up"]).expect(0);
    for tenant in TENANTS {
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t"), "3", "{tenant}");
    }
}

/// Covers row 20 of docs/failures.md.
#[test]
fn a_text_that_begins_or_commits_is_refused_with_its_line() {
    for text in
        ["BEGIN;\nSELECT 1;\nCOMMIT;", "START TRANSACTION;", "SELECT 1;\nCOMMIT AND CHAIN;", "ROLLBACK;", "END;"]
    {
        let mut fleet = three();
        fleet.changeset("V1__x.sql", text);
        super::refused(&fleet, &["MT124", "V1__x.sql:"]);
    }
}

/// Covers row 21 of docs/failures.md.
#[test]
fn an_enum_value_added_by_one_changeset_is_used_by_the_next() {
    let mut fleet = three();
    fleet
        .changeset("V1__e.sql", "CREATE TYPE mood AS ENUM ('ok');\nCREATE TABLE t (m mood);")
        .changeset("V2__add.sql", "ALTER TYPE mood ADD VALUE 'great';")
        .changeset("V3__use.sql", "INSERT INTO t VALUES ('great');");
    fleet.run(&["up"]).expect(0);
    for tenant in TENANTS {
        assert_eq!(cell(&fleet, tenant, "SELECT m FROM t"), "great");
    }
}

/// Covers row 5 of docs/failures.md.
#[test]
fn an_index_is_built_concurrently_on_many_tenants_of_one_database() {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    let names: Vec<String> = (1..=8).map(|n| format!("t{n}")).collect();
    for name in &names {
        fleet.postgres_schema(name, postgres(0), &shared);
    }
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nINSERT INTO t SELECT generate_series(1, 1000);").changeset(
        "V2__i.sql",
        "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY t_a ON t (a);\nCREATE UNIQUE INDEX CONCURRENTLY t_u ON t (a);",
    );
    fleet.changeset("V3__u.sql", "CREATE TABLE u (a int);");
    fleet.run(&["up"]).expect(0);
    for name in &names {
        let valid = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                     WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = 't' AND indisvalid";
        assert_eq!(cell(&fleet, name, valid), "2", "{name}");
    }
}

/// Covers row 18 of docs/failures.md.
#[test]
fn an_invalid_index_that_if_not_exists_would_hide_stops_the_changeset() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0));
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (1);").changeset(
        "V2__i.sql",
        "-- mtmigrate: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_a ON t (a);\n",
    );
    let output = fleet.run(&["up"]);
    assert!(output.stderr.contains("23505"), "{output}");
    assert_eq!(cell(&fleet, "pg", "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_a'::regclass"), "f");
    fleet.execute("pg", "DELETE FROM t WHERE ctid = '(0,1)'");
    // Who looks at schemas sees it before the text is tried again; who does not, after it.
    let output = fleet.run(&["up"]).expect(3);
    assert!(output.stderr.contains("index `t_a` is `invalid`, expected `valid`"), "{output}");
    let output = fleet.run(&["up", "--verify", "off"]);
    assert!(output.stderr.contains("MT208") && output.stderr.contains("t_a"), "{output}");
    assert_eq!(versions(&fleet, "pg"), ["1"]);
    fleet.execute("pg", "REINDEX INDEX t_a");
    fleet.run(&["up"]).expect(0);
    assert_eq!(versions(&fleet, "pg"), ["1", "2"]);
}

/// Covers row 19 of docs/failures.md.
#[test]
fn a_no_transaction_text_of_many_statements_is_sent_one_by_one() {
    let mut fleet = three();
    fleet.changeset(
        "V1__t.sql",
        "-- mtmigrate: no-transaction
CREATE TABLE t (a int);
CREATE INDEX CONCURRENTLY t_a ON t (a);
VACUUM t;
BEGIN;
INSERT INTO t VALUES (1);
COMMIT;
DO $$ BEGIN INSERT INTO t VALUES (2); COMMIT; END $$;
DROP INDEX CONCURRENTLY t_a;
",
    );
    fleet.run(&["up"]).expect(0);
    for tenant in TENANTS {
        assert_eq!(cell(&fleet, tenant, "SELECT count(*) FROM t"), "2", "{tenant}");
        let rows = "SELECT count(DISTINCT statement_no) FROM mtmigrate_journal WHERE outcome = 'started'";
        assert_eq!(cell(&fleet, tenant, rows), "8", "{tenant}");
    }
}

/// Covers row 46 of docs/failures.md.
/// Settings that change how quotes are read.
#[test]
fn standard_conforming_strings_off_on_the_database_is_read_as_the_server_does() {
    let mut fleet = Fleet::new();
    fleet.postgres_database_named("pg", postgres(0), "old_strings");
    postgres(0).execute(
        "postgres",
        "ALTER DATABASE old_strings SET standard_conforming_strings = off;
         ALTER DATABASE old_strings SET escape_string_warning = off;",
    );
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a text);\nINSERT INTO t VALUES ('x');");
    fleet.run(&["up"]).expect(0);
    assert_eq!(versions(&fleet, "pg"), ["1"]);
}
