use super::Scene;
use crate::engine::{Left, Resume};
use crate::error::Code;
use crate::history::{Unfinished, unfinished};

#[tokio::test]
async fn vacuum_and_journal_mode_work_and_every_statement_is_journalled_before_it_runs() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "-- mtmigrate: no-transaction\nVACUUM;\nPRAGMA journal_mode = WAL;").await;
    assert_eq!(
        scene.rows(&acme, "SELECT outcome, statement_no, statements FROM mtmigrate_journal"),
        ["started|1|2", "started|2|2", "applied|NULL|NULL"]
    );
    assert_eq!(scene.rows(&acme, "PRAGMA journal_mode"), ["wal"]);
    assert_eq!(scene.rows(&acme, "SELECT version FROM refinery_schema_history"), ["1"]);
}

#[tokio::test]
async fn a_text_of_which_a_part_is_committed_continues_only_if_that_part_is_unchanged() {
    let mut scene = Scene::new();
    let acme = scene.tenant("acme");
    let text = |first: &str, second: &str| format!("-- mtmigrate: no-transaction\n{first};\n{second};\nVACUUM;");
    let failure = scene.failed(&acme, 1, &text("CREATE TABLE t(a)", "CREATE TABLE t(b)")).await;
    assert_eq!(failure.left, Left::Half { statement_no: 2, statements: 3 });
    assert_eq!(failure.diagnostic.place().unwrap().line, 3);
    assert!(scene.rows(&acme, "SELECT * FROM refinery_schema_history").is_empty());

    let last = scene.server.read(&[&acme]).await.remove(0).unwrap().last.unwrap();
    let Some(Unfinished::FailedAt { statement_no: 2, prefix, .. }) = unfinished(&last) else { panic!("{last:?}") };
    scene.resume = Some(Resume { statement_no: 2, prefix });
    let failure = scene.failed(&acme, 1, &text("CREATE TABLE changed(a)", "CREATE TABLE u(b)")).await;
    assert_eq!(failure.diagnostic.code(), Code::HALF_APPLIED);
    scene.applied(&acme, 1, &text("CREATE TABLE t(a)", "CREATE TABLE u(b)")).await;
    assert_eq!(scene.rows(&acme, "SELECT version FROM refinery_schema_history"), ["1"]);
}

#[tokio::test]
async fn a_transaction_that_is_left_open_is_undone_and_refused() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let text = "-- mtmigrate: no-transaction\nCREATE TABLE t(a);\nBEGIN;\nCREATE TABLE u(a);\nCOMMIT;";
    let failure = scene.failed(&acme, 1, text).await;
    assert_eq!(failure.left, Left::Half { statement_no: 2, statements: 4 });
    assert_eq!(failure.diagnostic.place().unwrap().line, 3);
}

#[tokio::test]
async fn what_another_run_has_recorded_is_not_run_again() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let text = "-- mtmigrate: no-transaction\nCREATE TABLE IF NOT EXISTS t(a);\nINSERT INTO t VALUES (1);";
    scene.applied(&acme, 1, text).await;
    scene.failed(&acme, 1, text).await;
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM t"), ["1"]);
}
