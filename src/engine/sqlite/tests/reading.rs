use std::fs;

use super::{Scene, dump};
use crate::changeset::{Version, Width};
use crate::error::Code;
use crate::history::AttemptOutcome;

#[tokio::test]
async fn reading_writes_nothing_whatever_the_journal_mode() {
    for mode in ["DELETE", "WAL", "TRUNCATE", "PERSIST"] {
        let scene = Scene::new();
        let (acme, fresh) = (scene.tenant("acme"), scene.tenant("fresh"));
        scene.db(&acme).execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
        scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
        let before = dump(scene.folder.path());
        let readings = scene.server.read(&[&acme, &fresh]).await;
        assert_eq!(readings[0].as_ref().unwrap().rows.len(), 1);
        assert!(readings[1].as_ref().unwrap().rows.is_empty());
        assert_eq!(scene.server.journal(&acme, 9).await.unwrap().len(), 1);
        assert!(scene.server.journal(&fresh, 9).await.unwrap().is_empty());
        assert_eq!(dump(scene.folder.path()), before, "{mode}");
    }
}

#[tokio::test]
async fn what_an_open_writer_has_committed_to_the_wal_is_read() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let writer = scene.db(&acme);
    writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE kept(a);").unwrap();
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    assert!(scene.path("acme.db-wal").metadata().unwrap().len() > 0);
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM refinery_schema_history;").unwrap();
    assert_eq!(scene.server.read(&[&acme]).await.remove(0).unwrap().rows.len(), 1);
}

/// Copies of the files, taken in the middle of a transaction, are what a killed process leaves.
#[tokio::test]
async fn a_tenant_whose_writer_was_killed_is_read_and_goes_on() {
    for mode in ["DELETE", "WAL"] {
        let scene = Scene::new();
        let (acme, copy) = (scene.tenant("acme"), scene.absent("copy", false));
        scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
        let writer = scene.db(&acme);
        writer.execute_batch(&format!("PRAGMA journal_mode = {mode}; PRAGMA cache_size = 1;")).unwrap();
        writer
            .execute_batch("INSERT INTO t VALUES (1); BEGIN IMMEDIATE; DELETE FROM refinery_schema_history;")
            .unwrap();
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                    INSERT INTO t SELECT zeroblob(999) FROM n";
        writer.execute_batch(fill).unwrap();
        let suffixes: &[&str] = if mode == "WAL" { &["", "-wal"] } else { &["", "-journal"] };
        for suffix in suffixes {
            fs::copy(scene.path(&format!("acme.db{suffix}")), scene.path(&format!("copy.db{suffix}"))).unwrap();
        }
        let reading = scene.server.read(&[&copy]).await.remove(0).unwrap();
        assert_eq!(reading.rows.len(), 1, "{mode}");
        scene.applied(&copy, 2, "CREATE TABLE u(a);").await;
        assert_eq!(scene.rows(&copy, "SELECT count(*) FROM t"), ["1"]);
        assert_eq!(scene.rows(&copy, "PRAGMA integrity_check"), ["ok"]);
    }
}

#[tokio::test]
async fn the_journal_is_read_newest_first() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    scene.failed(&acme, 2, "CREATE TABLE t(a);").await;
    let attempts = scene.server.journal(&acme, 9).await.unwrap();
    let seen: Vec<_> = attempts.iter().map(|a| (a.id, a.version, a.outcome)).collect();
    assert_eq!(seen, [(2, Version(2), AttemptOutcome::Failed), (1, Version(1), AttemptOutcome::Applied)]);
    assert!(attempts[0].error.as_ref().unwrap().contains("already exists"));
    assert_eq!((&attempts[0].run_id, &attempts[0].who), (&scene.run.run_id, &scene.run.who));
    assert_eq!(scene.server.journal(&acme, 1).await.unwrap(), attempts[..1]);
    assert_eq!(scene.server.read(&[&acme]).await.remove(0).unwrap().last.as_ref(), attempts.first());
}

#[tokio::test]
async fn the_historys_width_is_the_declared_one() {
    let mut scene = Scene::new();
    let (narrow, wide) = (scene.tenant("narrow"), scene.tenant("wide"));
    scene.applied(&narrow, 1, "").await;
    scene.width = Width::Int8;
    scene.applied(&wide, 1, "").await;
    let widths: Vec<_> =
        scene.server.read(&[&narrow, &wide]).await.into_iter().map(|r| r.unwrap().tables.history).collect();
    assert_eq!(widths, [Some(Width::Int4), Some(Width::Int8)]);
}

#[tokio::test]
async fn rows_from_strangers_arrive_as_they_are() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "").await;
    let strange = "DELETE FROM refinery_schema_history;
        INSERT INTO refinery_schema_history VALUES (NULL, x'ff00', 1.5, 'ten'), ('seven', NULL, NULL, NULL);";
    scene.db(&acme).execute_batch(strange).unwrap();
    let rows = scene.server.read(&[&acme]).await.remove(0).unwrap().rows;
    assert_eq!((rows[0].version.as_deref(), rows[0].name.as_deref()), (None, Some("\u{fffd}\0")));
    assert_eq!((rows[0].applied_on.as_deref(), rows[0].checksum.as_deref()), (Some("1.5"), Some("ten")));
    assert_eq!((rows[1].version.as_deref(), rows[1].name.as_deref()), (Some("seven"), None));
}

#[tokio::test]
async fn a_journal_row_that_is_not_ours_or_of_a_newer_mtmigrate_is_said() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "").await;
    for (set, cause) in [
        ("started_at = 'yesterday'", "row 1 of mtmigrate_journal: started_at is `yesterday`"),
        ("outcome = 'maybe'", "row 1 of mtmigrate_journal: outcome is `maybe`"),
        ("format = 5", "row 1 of mtmigrate_journal: its format is 5, and this mtmigrate knows 1 to 4"),
    ] {
        scene.db(&acme).execute_batch(&format!("UPDATE mtmigrate_journal SET {set}")).unwrap();
        let unread = scene.server.read(&[&acme]).await.remove(0).unwrap_err();
        assert_eq!(unread.code(), Code::READ_FAILED);
        assert!(unread.causes()[0].starts_with(cause), "{unread}");
        assert_eq!(unread.message(), "the journal of tenant acme is not understood");
    }
}

#[tokio::test]
async fn a_history_of_other_columns_is_said() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.db(&acme).execute_batch("CREATE TABLE refinery_schema_history(v)").unwrap();
    let unread = scene.server.read(&[&acme]).await.remove(0).unwrap_err();
    assert_eq!(unread.causes(), ["SQLITE_ERROR (1): no such column: version"]);
}
