//! A journal of format 1, as an older mtmigrate left it.

use super::{Scene, dump};
use crate::changeset::Version;
use crate::engine::JournalFormat;
use crate::tenant::Tenant;

/// The table and a row, to the letter of the build that wrote format 1.
const FORMAT_1: &str = "CREATE TABLE mtmigrate_journal(
             id INTEGER PRIMARY KEY AUTOINCREMENT,
             format INTEGER NOT NULL,
             run_id TEXT NOT NULL,
             action TEXT NOT NULL,
             version INTEGER NOT NULL,
             name TEXT NOT NULL,
             checksum TEXT NOT NULL,
             outcome TEXT NOT NULL,
             statement_no INTEGER,
             statements INTEGER,
             prefix TEXT,
             who TEXT NOT NULL,
             host TEXT NOT NULL,
             tool TEXT NOT NULL,
             started_at TEXT NOT NULL,
             finished_at TEXT NOT NULL,
             duration_ms INTEGER NOT NULL,
             error TEXT);
    INSERT INTO mtmigrate_journal VALUES (1, 1, 'r', 'up', 1, 'x', '17', 'failed', NULL, NULL, NULL, 'ci', 'host',
        'mtmigrate 0.0.1', '2026-11-21T09:30:00.000Z', '2026-11-21T09:30:01.000Z', 1000, 'no');";

/// A tenant with such a journal, and with a view that no longer works.
pub(super) fn of_format_1(scene: &Scene) -> Tenant {
    let acme = scene.tenant("acme");
    scene.db(&acme).execute_batch(FORMAT_1).unwrap();
    scene.db(&acme).execute_batch("CREATE TABLE gone(a); CREATE VIEW v AS SELECT a FROM gone;").unwrap();
    scene.db(&acme).execute_batch("PRAGMA legacy_alter_table = ON; DROP TABLE gone;").unwrap();
    acme
}

#[tokio::test]
async fn a_journal_of_format_1_is_read_as_it_is() {
    let scene = Scene::new();
    let acme = of_format_1(&scene);
    let before = dump(scene.folder.path());
    let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
    assert_eq!(reading.tables.journal, Some(JournalFormat::One));
    let last = reading.last.unwrap();
    assert_eq!((last.version, last.fingerprint, last.accepted), (Version(1), None, None));
    assert_eq!(scene.server.journal(&acme, 9).await.unwrap().len(), 1);
    assert_eq!(dump(scene.folder.path()), before);
}

#[tokio::test]
async fn the_first_row_that_is_written_makes_a_journal_of_format_1_one_of_format_4() {
    for text in ["CREATE TABLE t(a);", "CREATE TABLE;", "-- mtmigrate: no-transaction\nCREATE TABLE t(a);"] {
        let scene = Scene::new();
        let acme = of_format_1(&scene);
        scene.apply(&acme, 1, text).await;
        let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
        assert_eq!(reading.tables.journal, Some(JournalFormat::Four), "{text}");
        assert!(reading.last.unwrap().id > 1, "{text}");
        let formats = "SELECT min(format), max(format), count(snapshot) FROM mtmigrate_journal";
        assert_eq!(scene.rows(&acme, formats), ["1|4|0"], "{text}");
    }
}
