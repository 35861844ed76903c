//! What the engine answers about schemas: under odd names and small rights, what it keeps, what it measures.

use std::future::Future;
use std::sync::Arc;

use mtmigrate::changeset::Version;
use mtmigrate::engine::{self, Acceptance, Gauge, JournalFormat, Keep, RunIdentity, Server, Tables};
use mtmigrate::schema::Snapshot;
use mtmigrate::tenant::{self, ProcessEnvironment, Tenant};

use super::super::inspected;
use super::{CASES, base, tenants_of_one_database};
use crate::support::{CANARY, Fleet, Options, Postgres, postgres};

/// Asks the fleet's one server.
fn asked<T, F: Future<Output = T>>(fleet: &Fleet, ask: impl FnOnce(Arc<dyn Server>, Vec<Tenant>) -> F) -> T {
    let loaded = tenant::load(&fleet.folder().join("tenants.yaml"), &ProcessEnvironment).expect("a fleet");
    let server = engine::open(&loaded).expect("servers").remove(0);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = ask(server.clone(), loaded.tenants.clone()).await;
        server.close().await;
        answer
    })
}

fn gauged(server: &Arc<dyn Server>, tenants: &[Tenant], before: &[Option<Gauge>]) -> Vec<Gauge> {
    let asked: Vec<(&Tenant, Option<Gauge>)> = tenants.iter().zip(before.iter().copied()).collect();
    let answers = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(server.gauge(&asked)));
    answers.into_iter().map(|answer| answer.expect("a gauge")).collect()
}

/// Bodies and settings are kept as they were written, with the schema's name in them.
const QUALIFIED: &str = "
CREATE TABLE orders (id int PRIMARY KEY, note text DEFAULT 'orders.note');
CREATE TABLE lines (id int, orders int REFERENCES orders, CHECK (id > 0));
CREATE VIEW both_of_them AS SELECT orders.id, lines.id AS line FROM orders JOIN lines ON lines.orders = orders.id;
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql SET search_path = SCHEMA, pg_temp
    AS $$ SELECT count(*) FROM SCHEMA.orders -- don't count SCHEMA.lines
    WHERE note <> 'orders.lines' $$;
CREATE INDEX lines_of ON lines (orders);
CREATE TRIGGER t BEFORE UPDATE ON lines FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE STATISTICS both_columns ON id, orders FROM lines;
CREATE TYPE text AS (a int);
CREATE TABLE pg_class (a text, b lines);
";

#[test]
fn the_schemas_own_name_stands_nowhere_whatever_it_is() {
    let server = postgres(0);
    let database = server.create_database();
    let mut fleet = Fleet::new();
    let names = ["plain", "orders", "lines", "c", "a b", "x\"y", "it's", "Größe", "total", "idx, x", "a.b", "select"];
    for (no, name) in names.iter().enumerate() {
        let tenant = format!("t{no}");
        fleet.postgres_schema_named(&tenant, server, &database, name);
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        fleet.execute(&tenant, &QUALIFIED.replace("SCHEMA", &quoted));
    }
    let snapshots = inspected(&fleet);
    for (name, snapshot) in names.iter().zip(&snapshots) {
        let all = mtmigrate::schema::differences(&snapshots[0], snapshot);
        assert!(all.is_empty(), "{name}: {all:#?}");
        assert!(Arc::ptr_eq(snapshot, &snapshots[0]), "{name}");
    }
    assert!(snapshots[0].to_text().contains("search_path=<schema>, pg_temp"));
}

/// Covers row 58 of docs/failures.md.
#[test]
fn what_only_happens_to_data_and_storage_is_no_drift() {
    let mut fleet = Fleet::new();
    let add = tenants_of_one_database();
    for name in ["busy", "idle"] {
        add(&mut fleet, name);
        fleet.execute(name, &base());
    }
    let crate::support::fleet::Place::Postgres { server, database, schema: Some(schema) } = fleet.place("busy") else {
        panic!("a schema")
    };
    server
        .execute(database, &format!("INSERT INTO \"{schema}\".customers SELECT g, 'x' FROM generate_series(1, 999) g"));
    for verb in ["VACUUM FULL", "VACUUM ANALYZE", "CLUSTER", "REINDEX TABLE"] {
        let rest = if verb == "CLUSTER" { " USING customers_pkey" } else { "" };
        server.execute(database, &format!("{verb} \"{schema}\".customers{rest}"));
    }
    server.execute(database, &format!("REINDEX TABLE CONCURRENTLY \"{schema}\".customers"));
    let snapshots = inspected(&fleet);
    assert!(Arc::ptr_eq(&snapshots[0], &snapshots[1]));
}

#[test]
fn a_role_that_may_only_read_sees_the_same_and_leaves_nothing() {
    let server = Postgres::start(Options::default());
    server.create_database_named("shared");
    server.execute("shared", "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER far FOREIGN DATA WRAPPER nothing");
    let mut fleet = Fleet::new();
    for name in ["one", "two"] {
        fleet.postgres_schema_named(name, &server, "shared", name);
        fleet.execute(name, &base());
    }
    let all = inspected(&fleet);
    server.execute(
        "shared",
        &format!("CREATE ROLE reader LOGIN PASSWORD '{CANARY}'; GRANT USAGE ON SCHEMA one, two TO reader"),
    );
    let before = server.dump("shared");
    let url = server.url_as("reader", CANARY, "127.0.0.1", "");
    let url = serde_json::to_string(url.trim_end_matches('/')).expect("a text");
    fleet.set_server(&format!("pg{}", server.port()), "url", &url);
    assert_eq!(inspected(&fleet), all);
    let gauges = asked(&fleet, |server, tenants| async move { gauged(&server, &tenants, &[None, None]) });
    assert_eq!(gauges[0].value, gauges[1].value);
    assert_eq!(server.dump("shared"), before);
    server.execute("shared", "REVOKE USAGE ON SCHEMA two FROM reader");
    let answers = asked(&fleet, |server, tenants| async move {
        let tenants: Vec<&Tenant> = tenants.iter().collect();
        server.inspect(&tenants).await.into_iter().map(|answer| answer.map_err(|e| e.one_line())).collect::<Vec<_>>()
    });
    assert_eq!(answers[0].as_ref().ok(), Some(&all[0]));
    assert!(answers[1].as_ref().is_err_and(|why| why.contains("may not read schema `two`")), "{answers:?}");
}

#[test]
fn whatever_is_drift_moves_the_gauge_and_equal_steps_leave_gauges_equal() {
    let mut fleet = Fleet::new();
    let add = tenants_of_one_database();
    let drift: Vec<_> = CASES.iter().filter(|case| !case.said.is_empty()).collect();
    for no in 0..drift.len() + 2 {
        add(&mut fleet, &format!("t{no}"));
        fleet.execute(&format!("t{no}"), &base());
    }
    let step = "ALTER TABLE orders ADD COLUMN added text DEFAULT 'x'; CREATE TABLE more (id int PRIMARY KEY, \
        c int REFERENCES customers); DROP INDEX orders_note; CREATE INDEX orders_note ON orders (note); \
        CREATE OR REPLACE VIEW big AS SELECT id, ref FROM orders WHERE total > 7; ALTER TYPE mood ADD VALUE 'calm'; \
        CREATE FUNCTION extra(m mood) RETURNS int LANGUAGE sql AS 'SELECT 1'";
    asked(&fleet, |server, tenants| {
        let fleet = &fleet;
        async move {
            let first = gauged(&server, &tenants, &vec![None; tenants.len()]);
            assert!(first.iter().all(|gauge| gauge.value == first[0].value), "all are alike");
            for no in 0..tenants.len() {
                tokio::task::block_in_place(|| fleet.execute(&format!("t{no}"), step));
            }
            let before: Vec<_> = first.into_iter().map(Some).collect();
            let second = gauged(&server, &tenants, &before);
            assert!(second.iter().all(|gauge| gauge.value == second[0].value), "all took the same step");
            for (no, case) in drift.iter().enumerate() {
                tokio::task::block_in_place(|| fleet.execute(&format!("t{no}"), case.change));
            }
            let before: Vec<_> = second.into_iter().map(Some).collect();
            let third = gauged(&server, &tenants, &before);
            let rest = third[drift.len()].value;
            assert_eq!(third[drift.len() + 1].value, rest);
            for (gauge, case) in third.iter().zip(&drift) {
                assert_ne!(gauge.value, rest, "{}", case.change);
            }
        }
    });
}

fn journal(fleet: &Fleet, tenant: &str) -> Vec<String> {
    let sql = "SELECT format, action, version, outcome, fingerprint, accepted, left(snapshot, 13), error \
               FROM mtmigrate_journal ORDER BY id";
    let rows = fleet.query(tenant, sql).into_iter();
    rows.map(|row| row.into_iter().map(|cell| cell.unwrap_or("-".into())).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn what_a_run_and_a_person_record_is_kept_once_and_read_again() {
    let mut fleet = Fleet::new();
    let database = postgres(0).create_database();
    for name in ["a", "b", "old"] {
        fleet.postgres_schema(name, postgres(0), &database);
    }
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int);");
    fleet.run(&["up"]).expect(0);
    // As if the run had recorded nothing.
    for name in ["a", "b"] {
        fleet.execute(name, "UPDATE mtmigrate_journal SET fingerprint = NULL, accepted = NULL, snapshot = NULL");
    }
    // A journal that an older build made.
    fleet.execute(
        "old",
        "ALTER TABLE mtmigrate_journal DROP fingerprint, DROP accepted, DROP snapshot, DROP trace, DROP skipped, DROP fleet; \
         UPDATE mtmigrate_journal SET format = 1",
    );
    let run_id = fleet.query("a", "SELECT max(run_id) FROM mtmigrate_journal")[0][0].clone().expect("a run");
    let live = inspected(&fleet);
    asked(&fleet, |server, tenants| {
        let (fleet, live) = (&fleet, &live);
        async move {
            assert_eq!(server.recorded(&tenants[2]).await.expect("an answer"), None);
            let keep = |at: usize| Keep { tenant: &tenants[at], snapshot: &live[at], record: "it", accepted: None };
            let mut run = RunIdentity::new();
            let results = server.keep(&run, &[keep(0), keep(1), keep(2)]).await;
            assert!(results.iter().all(Result::is_ok), "{results:?}");
            assert_eq!(server.recorded(&tenants[0]).await.expect("an answer"), None, "the last row is another run's");
            run.run_id = run_id;
            let results = server.keep(&run, &[keep(0), keep(1), keep(2)]).await;
            assert!(results.iter().all(Result::is_ok), "{results:?}");
            for at in [0, 1] {
                let found = server.recorded(&tenants[at]).await.expect("an answer");
                assert_eq!(found.as_ref(), Some(&*live[at]));
            }
            assert_eq!(server.recorded(&tenants[2]).await.expect("an answer"), None, "format 1 has no place for it");
            for (at, format) in [(0, JournalFormat::Two), (2, JournalFormat::One)] {
                let acceptance = Acceptance {
                    tenant: &tenants[at],
                    tables: Tables { history: None, journal: Some(format) },
                    run: &run,
                    version: (Version(1), "orders"),
                    snapshot: &live[at],
                    record: "what it is",
                    accepted: Some("[]"),
                    skipped: &[],
                    words: "hot fix, it's \\ fine",
                };
                server.accept(acceptance).await.expect("it is written");
                let found: Option<Snapshot> = server.recorded(&tenants[at]).await.expect("an answer");
                assert_eq!(found.as_ref(), Some(&*live[at]));
            }
            let accepted = "4|accept|1|accepted|what it is|[]|1/postgres-15|hot fix, it's \\ fine".to_owned();
            let rows = |name: &str| tokio::task::block_in_place(|| journal(fleet, name));
            assert_eq!(rows("a"), ["4|up|1|applied|it|-|-|-".to_owned(), accepted.clone()]);
            assert_eq!(rows("b"), ["4|up|1|applied|it|-|1/postgres-15|-"]);
            assert_eq!(rows("old"), ["1|up|1|applied|-|-|-|-".to_owned(), accepted]);
        }
    });
    // The rest of mtmigrate reads what is there.
    fleet.run(&["status"]).expect(0);
    fleet.changeset("V2__lines.sql", "CREATE TABLE lines (id int);");
    fleet.run(&["up"]).expect(0);
}

/// Operators are looked up by the search_path too, and whoever may make one in his schema must not be called by those who look.
#[test]
fn an_operator_of_a_tenants_own_is_never_called_by_those_who_look() {
    let mut fleet = Fleet::new();
    let database = postgres(0).create_database();
    for name in ["a", "b", "c"] {
        fleet.postgres_schema(name, postgres(0), &database);
        fleet.execute(
            name,
            "CREATE TABLE orders (id serial PRIMARY KEY, note text DEFAULT 'x', at int CHECK (at > 0));
             CREATE VIEW open_orders AS SELECT id FROM orders WHERE note <> 'y';
             CREATE INDEX orders_note ON orders (lower(note));
             CREATE FUNCTION never(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION never(\"char\", \"char\") RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION never(oid, oid) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE FUNCTION never(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'called'; END $$;
             CREATE OPERATOR = (leftarg = int, rightarg = int, function = never);
             CREATE OPERATOR = (leftarg = \"char\", rightarg = \"char\", function = never);
             CREATE OPERATOR = (leftarg = oid, rightarg = oid, function = never);
             CREATE OPERATOR = (leftarg = text, rightarg = text, function = never);",
        );
    }
    // Two distinct schemas, so that a second question is asked.
    fleet.execute("c", "CREATE TABLE other (x int)");
    let found = inspected(&fleet);
    assert!(found[0] == found[1] && found[0] != found[2]);
    asked(&fleet, |server, tenants| {
        let fleet = &fleet;
        async move {
            let everyone: Vec<_> = tenants.iter().map(|tenant| (tenant, None)).collect();
            let before = server.gauge(&everyone).await;
            assert!(before.iter().all(Result::is_ok), "{before:?}");
            tokio::task::block_in_place(|| fleet.execute("a", "ALTER TABLE orders ADD COLUMN more int DEFAULT 1"));
            let since: Vec<_> = tenants.iter().zip(before).map(|(tenant, gauge)| (tenant, gauge.ok())).collect();
            let after = server.gauge(&since).await;
            assert!(after.iter().all(Result::is_ok), "{after:?}");
        }
    });
}
