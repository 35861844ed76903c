use std::time::Instant;

use super::{Scene, changeset};
use crate::changeset::Width;
use crate::engine::{Left, Moment, Outcome};
use crate::error::Code;

#[tokio::test]
async fn text_history_and_journal_are_recorded_in_full() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let sql = "CREATE TABLE t(a);\nINSERT INTO t VALUES (1);";
    scene.applied(&acme, 7, sql).await;
    let sum = changeset(7, sql, false).1.checksum(Width::Int4);
    assert_eq!(scene.rows(&acme, "SELECT * FROM t"), ["1"]);
    assert_eq!(
        scene.rows(&acme, "SELECT version, name, checksum, typeof(checksum) FROM refinery_schema_history"),
        [format!("7|x|{sum}|text")]
    );
    let applied_on = scene.rows(&acme, "SELECT applied_on FROM refinery_schema_history").remove(0);
    time::OffsetDateTime::parse(&applied_on, &time::format_description::well_known::Rfc3339).unwrap();
    let run = &scene.run;
    assert_eq!(
        scene.rows(
            &acme,
            "SELECT id, format, run_id, action, version, name, checksum, outcome, statement_no, statements, prefix,
                    who, host, tool, error, fingerprint, accepted, snapshot, trace FROM mtmigrate_journal"
        ),
        [format!(
            "1|4|{}|up|7|x|{sum}|applied|NULL|NULL|NULL|{}|{}|{}|NULL|NULL|NULL|NULL|NULL",
            run.run_id, run.who, run.host, run.tool
        )]
    );
    let times = "SELECT count(*) FROM mtmigrate_journal WHERE started_at GLOB '20??-??-??T??:??:??.???Z'
                 AND finished_at >= started_at AND length(finished_at) = 24 AND duration_ms BETWEEN 0 AND 60000";
    assert_eq!(scene.rows(&acme, times), ["1"]);
}

#[tokio::test]
async fn both_tables_are_as_written_down() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "").await;
    let columns = |table| {
        let sql =
            format!("SELECT group_concat(name || ' ' || type || ' ' || pk, ', ') FROM pragma_table_info('{table}')");
        scene.rows(&acme, &sql).remove(0)
    };
    assert_eq!(
        columns("refinery_schema_history"),
        "version int4 1, name VARCHAR(255) 0, applied_on VARCHAR(255) 0, checksum VARCHAR(255) 0"
    );
    assert_eq!(
        columns("mtmigrate_journal"),
        "id INTEGER 1, format INTEGER 0, run_id TEXT 0, action TEXT 0, version INTEGER 0, name TEXT 0, \
         checksum TEXT 0, outcome TEXT 0, statement_no INTEGER 0, statements INTEGER 0, prefix TEXT 0, who TEXT 0, \
         host TEXT 0, tool TEXT 0, started_at TEXT 0, finished_at TEXT 0, duration_ms INTEGER 0, error TEXT 0, \
         fingerprint TEXT 0, accepted TEXT 0, snapshot TEXT 0, trace TEXT 0, \
         skipped TEXT 0, fleet TEXT 0"
    );
}

#[tokio::test]
async fn a_version_of_64_bits_goes_into_a_table_made_for_32() {
    let mut scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "").await;
    scene.width = Width::Int8;
    scene.applied(&acme, 20261121093000, "").await;
    assert_eq!(
        scene.rows(&acme, "SELECT version, typeof(version) FROM refinery_schema_history"),
        ["1|integer", "20261121093000|integer"]
    );
}

#[tokio::test]
async fn a_failing_statement_takes_everything_back_and_points_at_the_word() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let text = "CREATE TABLE t(a);\n  INSERT INTO t\n    VALUES ('ö', nowhere);\n";
    let failure = scene.failed(&acme, 1, text).await;
    assert_eq!((failure.moment, failure.left, failure.retry), (Moment::Execute, Left::Unchanged, false));
    assert_eq!(
        failure.diagnostic.to_string(),
        "error[MT204]: changeset V1__x failed on tenant acme (sqlite)
 --> migrations/V1__x.sql:3:18
  |
3 |     VALUES ('ö', nowhere);
  |                  ^^^^^^^^^
cause: SQLITE_ERROR (1): no such column: nowhere"
    );
    assert_eq!(
        scene.rows(&acme, "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"),
        ["mtmigrate_journal"]
    );
    assert_eq!(
        scene.rows(&acme, "SELECT outcome, statement_no, error FROM mtmigrate_journal"),
        ["failed|NULL|changeset V1__x failed on tenant acme (sqlite): SQLITE_ERROR (1): no such column: nowhere"]
    );
}

#[tokio::test]
async fn an_error_while_a_statement_runs_points_at_its_first_line() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let text = "CREATE TABLE t(a UNIQUE);\nINSERT INTO t VALUES (1);\nINSERT INTO t\nVALUES (1);\n";
    let failure = scene.failed(&acme, 1, text).await;
    assert_eq!(failure.diagnostic.place().unwrap().to_string(), "migrations/V1__x.sql:3:1");
    assert_eq!(failure.diagnostic.causes(), ["SQLITE_CONSTRAINT_UNIQUE (2067): UNIQUE constraint failed: t.a"]);
}

#[tokio::test]
async fn a_trigger_with_semicolons_and_a_rollback_in_it_works() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let trigger = "CREATE TABLE t(a); CREATE TABLE log(a);
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN
            INSERT INTO log VALUES (CASE WHEN new.a > 1 THEN 'end;' ELSE 'x' END);
            SELECT RAISE(ROLLBACK, 'no') WHERE new.a = 9;
        END;
        INSERT INTO t VALUES (2);";
    scene.applied(&acme, 1, trigger).await;
    assert_eq!(scene.rows(&acme, "SELECT * FROM log"), ["end;"]);
    let failure = scene.failed(&acme, 2, "CREATE TABLE gone(a);\nINSERT INTO t VALUES (9);").await;
    assert_eq!(failure.left, Left::Unchanged);
    assert_eq!(failure.diagnostic.causes(), ["SQLITE_CONSTRAINT_TRIGGER (1811): no"]);
    assert!(scene.rows(&acme, "SELECT 1 FROM sqlite_schema WHERE name = 'gone'").is_empty());
}

#[tokio::test]
async fn a_broken_text_is_refused_where_it_breaks() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let failure = scene.failed(&acme, 1, "SELECT 1;\nSELECT 'open;\n").await;
    assert_eq!((failure.diagnostic.code(), failure.moment), (Code::BROKEN_SQL, Moment::Prepare));
    assert_eq!(failure.diagnostic.place().unwrap().to_string(), "migrations/V1__x.sql:2:8");
}

#[tokio::test]
async fn a_text_that_commits_by_itself_is_caught() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let failure = scene.failed(&acme, 1, "CREATE TABLE t(a);\nCOMMIT;\nCREATE TABLE u(a);").await;
    assert_eq!(failure.left, Left::Unknown);
    assert_eq!(failure.diagnostic.place().unwrap().line, 2);
}

#[tokio::test]
async fn a_run_that_comes_second_learns_that_the_first_has_done_it() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let Outcome::Applied(applied) = scene.apply(&acme, 1, "CREATE TABLE t(a);").await else { panic!() };
    assert!(applied.by_another);
    let failure = scene.failed(&acme, 1, "CREATE TABLE other(a);").await;
    assert_eq!(failure.moment, Moment::Prepare);
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM mtmigrate_journal"), ["1"]);
}

#[tokio::test]
async fn a_text_that_removes_its_own_history_row_is_refused() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    for text in ["DELETE FROM refinery_schema_history;", "DROP TABLE refinery_schema_history;"] {
        scene.applied(&acme, 1, "").await;
        assert_eq!(scene.failed(&acme, 2, text).await.left, Left::Unchanged);
        assert_eq!(scene.rows(&acme, "SELECT version FROM refinery_schema_history"), ["1"]);
        scene.db(&acme).execute_batch("DELETE FROM refinery_schema_history").unwrap();
    }
}

#[tokio::test]
async fn nothing_of_one_text_meets_the_next() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TEMP TABLE t(a); PRAGMA case_sensitive_like = ON; ATTACH ':memory:' AS o;").await;
    scene.applied(&acme, 2, "CREATE TABLE t(a); CREATE TABLE r AS SELECT 'A' LIKE 'a' AS folds;").await;
    assert_eq!(scene.rows(&acme, "SELECT * FROM r"), ["1"]);
    assert!(scene.failed(&acme, 3, "SELECT * FROM o.sqlite_schema;").await.diagnostic.causes()[0].contains("no such"));
}

/// Covers row 32 of docs/failures.md.
#[tokio::test]
async fn a_text_can_neither_reach_another_file_nor_load_code() {
    let scene = Scene::new();
    let (acme, other) = (scene.tenant("acme"), scene.tenant("other"));
    scene.applied(&other, 1, "CREATE TABLE t(a);").await;
    let (there, new) = (scene.path("other.db"), scene.path("new.db"));
    let texts = [
        (format!("CREATE TABLE u(a);\nATTACH '{}' AS o;\nINSERT INTO o.t VALUES (1);", there.display()), 2),
        (format!("CREATE TABLE u(a);\nATTACH '{}' AS o;", new.display()), 2),
        (format!("CREATE TABLE u(a);\nATTACH '{}' || '' AS o;", there.display()), 2),
        (format!("CREATE TABLE u(a);\nATTACH \"file:{}\" AS o;", there.display()), 2),
        ("CREATE TABLE u(a);\nPRAGMA writable_schema = ON;".to_owned(), 2),
        ("CREATE TABLE u(a);\nPRAGMA main.Writable_Schema(1);".to_owned(), 2),
        ("CREATE TABLE u(a);\nPRAGMA hard_heap_limit = 1000;".to_owned(), 2),
        ("CREATE TABLE u(a);\nSELECT load_extension('evil');".to_owned(), 2),
    ];
    for (at, (text, line)) in texts.iter().enumerate() {
        for directive in ["", "-- mtmigrate: no-transaction\n"] {
            let acme = scene.tenant(&format!("acme{at}{}", directive.len()));
            let failure = scene.failed(&acme, 1, &format!("{directive}{text}")).await;
            assert_eq!(failure.diagnostic.code(), Code::OUTSIDE, "{text}: {}", failure.diagnostic);
            assert_eq!(failure.diagnostic.place().unwrap().line, line + usize::from(!directive.is_empty()), "{text}");
        }
    }
    let into = format!("-- mtmigrate: no-transaction\nVACUUM;\nVACUUM INTO '{}';", new.display());
    let failure = scene.failed(&acme, 1, &into).await;
    assert_eq!((failure.diagnostic.code(), failure.diagnostic.place().unwrap().line), (Code::OUTSIDE, 3));
    assert!(!new.exists());
    assert!(scene.rows(&other, "SELECT * FROM t").is_empty());
}

#[tokio::test]
async fn names_from_strangers_are_file_names_like_any_other() {
    let scene = Scene::new();
    for name in ["a b%20?mode=ro#x", "x\"; DROP TABLE y; --", "Größe", "select", "file:evil", "-rf", "a\nb", "ü'"] {
        let tenant = scene.absent(name, true);
        scene.applied(&tenant, 1, "PRAGMA user_version = 7; CREATE TABLE t(a);").await;
        scene.db(&tenant).execute_batch("PRAGMA journal_mode = WAL").unwrap();
        let readings = scene.server.read(&[&tenant]).await;
        assert_eq!(readings[0].as_ref().unwrap().rows.len(), 1, "{name}");
    }
    assert_eq!(std::fs::read_dir(scene.folder.path()).unwrap().count(), 8);
}

/// Prints what orders cost; run it with `--nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_tenants_get_five_changesets_each() {
    use futures_util::stream::{self, StreamExt};
    let scene = Scene::new();
    let tenants: Vec<_> = (0..200).map(|i| scene.tenant(&format!("t{i}"))).collect();
    let began = Instant::now();
    for version in 1..=5 {
        let sql = format!("CREATE TABLE t{version}(a); CREATE INDEX i{version} ON t{version}(a);");
        let orders = tenants.iter().map(|tenant| scene.applied(tenant, version, &sql));
        stream::iter(orders).buffer_unordered(scene.server.width()).collect::<Vec<_>>().await;
    }
    println!("1000 orders: {:?}", began.elapsed());
    let began = Instant::now();
    let all: Vec<_> = tenants.iter().collect();
    assert!(scene.server.read(&all).await.iter().all(|r| r.as_ref().is_ok_and(|r| r.rows.len() == 5)));
    println!("200 readings: {:?}", began.elapsed());
}
