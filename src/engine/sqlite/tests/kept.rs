//! Connections that stay open must be told from new ones by nothing but the time they take.

use std::fs;
use std::path::Path;

use super::super::writing::Writing;
use super::{Scene, rows, server_of};
use crate::engine::Outcome;
use crate::error::Code;

/// The slots for kept connections are the whole process's: held by the test that takes all of them, and by those that count
/// on one.
static SLOTS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How many files in a folder this process has open.
#[cfg(target_os = "linux")]
fn open_in(folder: &Path) -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = all.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.starts_with(folder)).count()
}

const LEAVE: [&str; 7] = [
    "CREATE TEMP TABLE kept(a); CREATE TEMP TABLE fresh(a);",
    "PRAGMA case_sensitive_like = ON; PRAGMA recursive_triggers = OFF;",
    "ATTACH ':memory:' AS o;",
    "-- mtmigrate: no-transaction\nPRAGMA foreign_keys = ON;\nPRAGMA ignore_check_constraints = ON;",
    "-- mtmigrate: no-transaction\nPRAGMA query_only = OFF;\nPRAGMA journal_mode = PERSIST;\nCREATE TABLE p(a);",
    "SELECT one.name FROM parent AS one, parent AS other;",
    "CREATE TEMP TRIGGER fresh AFTER INSERT ON main.child BEGIN DELETE FROM child; END;",
];

#[tokio::test]
async fn nothing_of_any_text_meets_a_text_that_may_have_a_kept_connection() {
    for leave in LEAVE {
        let scene = Scene::new();
        let acme = scene.tenant("acme");
        let family = "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT CHECK (name <> ''));
            CREATE TABLE child(id INTEGER PRIMARY KEY, parent_id INT REFERENCES parent(id) ON DELETE CASCADE);
            INSERT INTO parent VALUES (1, 'a'), (2, 'b'); INSERT INTO child VALUES (1, 1), (2, 2);";
        scene.applied(&acme, 1, family).await;
        scene.applied(&acme, 2, leave).await;
        // With foreign keys on the drop would delete the children's rows.
        let rebuild = "CREATE TABLE fresh(a); DROP TABLE fresh;
            CREATE TABLE more(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO more SELECT * FROM parent;
            DROP TABLE parent; ALTER TABLE more RENAME TO parent;
            INSERT INTO child VALUES (3, 1);
            CREATE TABLE folds AS SELECT 'A' LIKE 'a' AS it;";
        scene.applied(&acme, 3, rebuild).await;
        assert_eq!(scene.rows(&acme, "SELECT count(*) FROM child"), ["3"], "{leave}");
        assert_eq!(scene.rows(&acme, "SELECT it FROM folds"), ["1"], "{leave}");
        let checked = "CREATE TABLE c(a CHECK (a > 0)); INSERT INTO c VALUES (0);";
        scene.failed(&acme, 4, checked).await;
        assert_eq!(
            scene.failed(&acme, 5, "INSERT INTO child VALUES (9, 9);").await.diagnostic.code(),
            Code::FOREIGN_KEYS_BROKEN
        );
        assert!(!scene.path("acme.db-journal").exists(), "{leave}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_is_kept_only_behind_a_text_that_leaves_nothing_and_until_the_server_is_closed() {
    let _slots = SLOTS.lock().await;
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let open = || open_in(scene.folder.path());
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    assert_eq!(open(), 1);
    scene.applied(&acme, 2, "CREATE TEMP TABLE t(a);").await;
    assert_eq!(open(), 0);
    scene.applied(&acme, 3, "INSERT INTO t VALUES (1);").await;
    assert_eq!(open(), 1);
    scene.failed(&acme, 4, "CREATE TABLE t(a);").await;
    assert_eq!(open(), 0);
    scene.applied(&acme, 4, "-- mtmigrate: no-transaction\nCREATE TABLE u(a);").await;
    assert_eq!(open(), 0);
    scene.server.read(&[&acme]).await.remove(0).unwrap();
    assert_eq!(open(), 1);
    scene.applied(&acme, 5, "-- mtmigrate: no-transaction\nPRAGMA journal_mode = WAL;").await;
    assert_eq!(open(), 0);
    scene.applied(&acme, 6, "CREATE TABLE v(a);").await;
    scene.server.read(&[&acme]).await.remove(0).unwrap();
    assert_eq!(open(), 0);
    assert!(!scene.path("acme.db-wal").exists());
    scene.db(&acme).execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    scene.applied(&acme, 7, "CREATE TABLE w(a);").await;
    assert_eq!(open(), 1);
    scene.server.close().await;
    assert_eq!(open(), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_more_connections_are_kept_than_the_limit_however_many_files_there_are() {
    let _slots = SLOTS.lock().await;
    let scene = Scene::new();
    let tenants: Vec<_> = (0..270).map(|at| scene.tenant(&format!("t{at}"))).collect();
    let all: Vec<_> = tenants.iter().collect();
    assert!(scene.server.read(&all).await.iter().all(Result::is_ok));
    for tenant in &tenants {
        scene.applied(tenant, 1, "CREATE TABLE t(a);").await;
    }
    let open = open_in(scene.folder.path());
    assert!((1..=super::super::kept::LIMIT).contains(&open), "{open}");
    assert!(scene.server.read(&all).await.iter().all(|reading| reading.as_ref().unwrap().rows.len() == 1));
}

#[tokio::test]
async fn a_file_that_is_replaced_between_two_steps_gets_the_second_and_the_old_one_nothing() {
    for in_place in [false, true] {
        let scene = Scene::new();
        let (acme, spare) = (scene.tenant("acme"), scene.tenant("spare"));
        scene.applied(&spare, 1, "CREATE TABLE t(a); INSERT INTO t VALUES ('spare');").await;
        scene.applied(&acme, 1, "CREATE TABLE t(a); INSERT INTO t VALUES ('acme');").await;
        fs::hard_link(scene.path("acme.db"), scene.path("old.db")).unwrap();
        if in_place {
            fs::copy(scene.path("spare.db"), scene.path("acme.db")).unwrap();
        } else {
            fs::rename(scene.path("spare.db"), scene.path("acme.db")).unwrap();
        }
        assert_eq!(scene.server.read(&[&acme]).await.remove(0).unwrap().rows.len(), 1);
        scene.applied(&acme, 2, "UPDATE t SET a = a || '!';").await;
        assert_eq!(scene.rows(&acme, "SELECT a FROM t"), ["spare!"]);
        assert_eq!(scene.rows(&acme, "PRAGMA integrity_check"), ["ok"]);
        if !in_place {
            assert_eq!(scene.rows(&scene.absent("old", false), "SELECT a FROM t"), ["acme"]);
        }
    }
}

#[tokio::test]
async fn a_file_that_is_removed_between_two_steps_is_missing_in_the_second() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    fs::remove_file(scene.path("acme.db")).unwrap();
    assert_eq!(scene.server.read(&[&acme]).await.remove(0).unwrap_err().code(), Code::NO_DATABASE);
    assert_eq!(scene.failed(&acme, 2, "CREATE TABLE u(a);").await.diagnostic.code(), Code::NO_DATABASE);
    assert!(!scene.path("acme.db").exists());
}

/// Whatever a new server would say; a superuser may write all the same.
#[tokio::test]
async fn a_file_that_becomes_read_only_between_two_steps_is_so_in_the_second() {
    let mut scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let mut rights = fs::metadata(scene.path("acme.db")).unwrap().permissions();
    rights.set_readonly(true);
    fs::set_permissions(scene.path("acme.db"), rights).unwrap();
    let mut codes = Vec::new();
    for _ in 0..2 {
        let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
        let code = match scene.apply(&acme, 2, "CREATE TABLE u(a);").await {
            Outcome::Applied(_) => None,
            Outcome::Failed(failure) => Some(failure.diagnostic.code()),
        };
        assert_eq!(reading.read_only.is_some(), code.is_some());
        codes.push(code);
        scene.server = server_of(scene.folder.path());
    }
    assert_eq!(codes[0], codes[1]);
}

#[tokio::test]
async fn what_others_do_to_a_file_between_two_steps_is_seen_in_the_second() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    for (version, done) in (2..).zip([
        "DROP TABLE mtmigrate_journal",
        "DROP TABLE refinery_schema_history",
        "ALTER TABLE mtmigrate_journal DROP COLUMN trace",
        "ALTER TABLE t ADD COLUMN b; INSERT INTO t VALUES (1, 2);",
    ]) {
        scene.db(&acme).execute_batch(done).unwrap();
        scene.applied(&acme, version, &format!("CREATE TABLE t{version} AS SELECT * FROM t;")).await;
    }
    assert_eq!(scene.rows(&acme, "SELECT * FROM t5"), ["1|2"]);
    assert_eq!(scene.rows(&acme, "SELECT version FROM mtmigrate_journal ORDER BY id"), ["2", "3", "4", "5"]);
    assert_eq!(scene.rows(&acme, "SELECT version FROM refinery_schema_history"), ["3", "4", "5"]);
    // An application that writes is in nobody's way, and is not overtaken.
    let application = scene.db(&acme);
    application.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (3, 4)").unwrap();
    assert_eq!(scene.failed(&acme, 6, "DELETE FROM t;").await.diagnostic.code(), Code::LOCK_TIMEOUT);
    application.execute_batch("COMMIT; PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t VALUES (5, 6)").unwrap();
    drop(application);
    scene.applied(&acme, 6, "CREATE TABLE t6 AS SELECT count(*) AS n FROM t;").await;
    assert_eq!(scene.rows(&acme, "SELECT n FROM t6"), ["3"]);
}

#[tokio::test]
async fn a_journal_stays_from_the_second_changeset_on_and_is_gone_when_the_server_is_closed() {
    let _slots = SLOTS.lock().await;
    let scene = Scene::new();
    let (acme, journal) = (scene.tenant("acme"), scene.path("acme.db-journal"));
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    assert!(!journal.exists(), "one changeset may be the only one");
    scene.applied(&acme, 2, "INSERT INTO t VALUES (1);").await;
    // Zeros: nobody takes it for the journal of a transaction that was interrupted.
    assert!(fs::read(&journal).unwrap().starts_with(&[0; 28]));
    assert_eq!(scene.server.read(&[&acme]).await.remove(0).unwrap().rows.len(), 2);
    let another = scene.db(&acme);
    another.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    assert!(!journal.exists(), "it is everybody's");
    scene.applied(&acme, 3, "INSERT INTO t VALUES (3);").await;
    scene.applied(&acme, 4, "INSERT INTO t VALUES (zeroblob(4000000));").await;
    scene.applied(&acme, 5, "DELETE FROM t WHERE length(a) > 1;").await;
    let kept = fs::metadata(&journal).unwrap().len();
    assert!((1..=256 * 1024).contains(&kept), "of a large transaction not all of it: {kept}");
    assert_eq!(scene.rows(&acme, "SELECT a FROM t"), ["1", "2", "3"]);
    // The application is in the middle of its own transaction when the server is closed, and removes it itself.
    another.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (4)").unwrap();
    scene.server.close().await;
    another.execute_batch("COMMIT").unwrap();
    assert!(!journal.exists());
    assert_eq!(scene.rows(&acme, "SELECT a FROM t"), ["1", "2", "3", "4"]);

    scene.applied(&acme, 6, "INSERT INTO t VALUES (5);").await;
    scene.applied(&acme, 7, "INSERT INTO t VALUES (6);").await;
    assert!(journal.exists());
    scene.server.close().await;
    assert!(!journal.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_journal_that_others_could_not_use_does_not_stay() {
    let _slots = SLOTS.lock().await;
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let (acme, journal) = (scene.tenant("acme"), scene.path("acme.db-journal"));
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    assert_ne!(fs::metadata(scene.path("acme.db")).unwrap().permissions().mode() & 0o777, 0o600);
    scene.applied(&acme, 3, "CREATE TABLE v(a);").await;
    assert!(!journal.exists());
}

#[tokio::test]
async fn a_journal_beside_a_file_that_came_in_place_of_ours_is_left_alone() {
    let _slots = SLOTS.lock().await;
    let scene = Scene::new();
    let (acme, spare, journal) = (scene.tenant("acme"), scene.tenant("spare"), scene.path("acme.db-journal"));
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
    scene.applied(&spare, 1, "CREATE TABLE t(a);").await;
    fs::rename(scene.path("spare.db"), scene.path("acme.db")).unwrap();
    fs::write(&journal, "of another process").unwrap();
    scene.server.close().await;
    assert_eq!(fs::read(&journal).unwrap(), b"of another process");
}

/// The file's mode is somebody's decision, also when it was taken between two changesets.
#[tokio::test]
async fn a_file_in_wal_mode_stays_in_it() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    for version in 1..=3 {
        scene.applied(&acme, version, &format!("CREATE TABLE t{version}(a);")).await;
    }
    let other = scene.db(&acme);
    assert_eq!(rows(&other, "PRAGMA journal_mode = WAL"), ["wal"]);
    let kept = Writing::new(scene.db(&acme)).again();
    kept.execute_batch("BEGIN IMMEDIATE").unwrap();
    kept.keep_journal();
    kept.execute_batch("COMMIT").unwrap();
    drop((kept, other));
    for version in 4..=6 {
        scene.applied(&acme, version, &format!("CREATE TABLE t{version}(a);")).await;
        assert_eq!(scene.rows(&acme, "PRAGMA journal_mode"), ["wal"]);
    }
}
