use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Scene;
use crate::engine::{Left, Moment};
use crate::error::Code;

/// Longer than any test waits.
const FOREVER: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO t SELECT i FROM n;";

#[tokio::test]
async fn a_busy_writer_is_waited_for_then_named_and_the_same_order_works_when_it_is_gone() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let writer = scene.db(&acme);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let failure = scene.failed(&acme, 2, "CREATE TABLE u(a);").await;
    assert!(began.elapsed() >= scene.limits.lock_timeout);
    assert_eq!(failure.diagnostic.code(), Code::LOCK_TIMEOUT);
    assert_eq!((failure.retry, failure.left, failure.moment), (true, Left::Unchanged, Moment::Prepare));
    assert_eq!(failure.diagnostic.causes(), ["SQLITE_BUSY (5): database is locked"]);
    writer.execute_batch("ROLLBACK").unwrap();
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
}

#[tokio::test]
async fn a_reader_that_stands_before_the_commit_makes_it_a_failure_that_may_be_tried_again() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let reader = scene.db(&acme);
    reader.execute_batch("BEGIN; SELECT * FROM t;").unwrap();
    let failure = scene.failed(&acme, 2, "CREATE TABLE u(a);").await;
    assert_eq!(failure.diagnostic.code(), Code::LOCK_TIMEOUT);
    assert_eq!((failure.retry, failure.left, failure.moment), (true, Left::Unchanged, Moment::Commit));
    reader.execute_batch("COMMIT").unwrap();
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
}

#[tokio::test]
async fn a_statement_over_its_limit_is_stopped_and_taken_back() {
    let mut scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.limits.statement_timeout = Duration::from_secs(2);
    let failure = scene.failed(&acme, 1, &format!("CREATE TABLE t(a);\n{FOREVER}")).await;
    assert_eq!((failure.diagnostic.code(), failure.left), (Code::STATEMENT_TIMEOUT, Left::Unchanged));
    assert_eq!(failure.diagnostic.place().unwrap().line, 2);
    assert_eq!(scene.rows(&acme, "SELECT name FROM sqlite_schema WHERE name = 't'"), [""; 0]);
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
}

#[tokio::test]
async fn a_cancelled_order_is_taken_back() {
    for head in ["", "-- mtmigrate: no-transaction\n"] {
        let scene = Scene::new();
        let acme = scene.tenant("acme");
        let cancel = scene.cancel.clone();
        let text = format!("{head}CREATE TABLE t(a);\n{FOREVER}");
        let order = scene.failed(&acme, 1, &text);
        // What the second statement writes is in the file before it commits.
        let running = || std::fs::metadata(scene.path("acme.db")).is_ok_and(|file| file.len() > 1 << 20);
        let soon = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            while !running() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.cancel();
        };
        let (failure, ()) = tokio::join!(order, soon);
        assert_eq!(failure.diagnostic.code(), Code::CANCELLED);
        let left = if head.is_empty() { Left::Unchanged } else { Left::Half { statement_no: 2, statements: 2 } };
        assert_eq!(failure.left, left);
        let tables = scene.rows(&acme, "SELECT name FROM sqlite_schema WHERE name = 't'");
        assert_eq!(tables.len(), usize::from(!head.is_empty()));
    }
}

#[tokio::test]
async fn a_cancel_ends_a_wait_for_a_lock_that_has_no_limit() {
    let mut scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.limits.lock_timeout = Duration::ZERO;
    let writer = scene.db(&acme);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let cancel = scene.cancel.clone();
    let soon = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        cancel.cancel();
    };
    let (failure, ()) = tokio::join!(scene.failed(&acme, 1, "CREATE TABLE t(a);"), soon);
    // Without waiting it would have been the lock's fault.
    assert_eq!((failure.diagnostic.code(), failure.retry), (Code::CANCELLED, false));
}

#[tokio::test]
async fn a_full_disk_takes_everything_back_and_the_next_order_works() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let text = "PRAGMA max_page_count = 20;\nCREATE TABLE t(a);\nINSERT INTO t VALUES (zeroblob(200000));";
    let failure = scene.failed(&acme, 1, text).await;
    assert_eq!(failure.diagnostic.causes(), ["SQLITE_FULL (13): database or disk is full"]);
    assert_eq!((failure.left, failure.diagnostic.place().unwrap().line), (Left::Unchanged, 3));
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
}

/// The folder in which this test's own child process dies.
const DIE_IN: &str = "MTMIGRATE_TEST_DIE_IN";

/// Whether it dies after changesets that it applied.
const DIE_LATE: &str = "MTMIGRATE_TEST_DIE_LATE";

#[tokio::test]
async fn a_process_killed_in_the_middle_of_a_text_leaves_the_tenant_as_it_was() {
    if let Some(folder) = std::env::var_os(DIE_IN) {
        let scene = Scene::of(folder.into());
        let acme = scene.absent("acme", false);
        if std::env::var_os(DIE_LATE).is_some() {
            scene.applied(&acme, 2, "CREATE TABLE k(a);").await;
            scene.applied(&acme, 3, "CREATE TABLE l(a);").await;
            scene.apply(&acme, 4, &format!("DELETE FROM t; {FOREVER}")).await;
        }
        scene.apply(&acme, 2, &format!("PRAGMA cache_size = 1; DELETE FROM t; {FOREVER}")).await;
    }
    // The last one dies over a connection that carried changesets before, whose journal stayed.
    for (mode, grown, late) in
        [("DELETE", "acme.db", false), ("WAL", "acme.db-wal", false), ("DELETE", "acme.db", true)]
    {
        let scene = Scene::new();
        let acme = scene.tenant("acme");
        scene.db(&acme).execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
        scene.applied(&acme, 1, "CREATE TABLE t(a); INSERT INTO t VALUES (1);").await;
        let test =
            "engine::sqlite::tests::stopping::a_process_killed_in_the_middle_of_a_text_leaves_the_tenant_as_it_was";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(DIE_IN, scene.folder.path())
            .envs(late.then_some((DIE_LATE, "yes")))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::fs::metadata(scene.path(grown)).map_or(0, |m| m.len()) < 1 << 20 {
            assert!(began.elapsed() < Duration::from_secs(90), "the child writes nothing");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
        let had = if late { 3 } else { 1 };
        assert_eq!((reading.rows.len(), reading.last.unwrap().id), (had, had as i64), "{mode}");
        scene.applied(&acme, had as i64 + 1, "CREATE TABLE u(a);").await;
        assert_eq!(scene.rows(&acme, "SELECT * FROM t"), ["1"]);
        assert_eq!(scene.rows(&acme, "PRAGMA integrity_check"), ["ok"]);
    }
}
