//! What a tenant's schema is, and what its journal keeps of it.

use std::sync::Arc;

use super::journal::of_format_1;
use super::{Scene, dump};
use crate::changeset::Version;
use crate::engine::{Acceptance, Gauge, JournalFormat, Keep, RunIdentity, Tables};
use crate::error::Code;
use crate::history::AttemptOutcome;
use crate::schema::Snapshot;
use crate::tenant::Tenant;

impl Scene {
    async fn inspected(&self, tenant: &Tenant) -> Arc<Snapshot> {
        self.server.inspect(&[tenant]).await.remove(0).unwrap()
    }

    async fn gauged(&self, tenant: &Tenant) -> Gauge {
        self.server.gauge(&[(tenant, None)]).await.remove(0).unwrap()
    }

    async fn kept(&self, run: &RunIdentity, tenant: &Tenant, snapshot: &Snapshot) {
        let record = &snapshot.fingerprint().to_string();
        let kept = [Keep { tenant, snapshot, record, accepted: Some("[]") }];
        self.server.keep(run, &kept).await.remove(0).unwrap();
    }

    async fn accepted(&self, tenant: &Tenant, snapshot: &Snapshot) -> crate::error::Result<()> {
        let tables = Tables { history: None, journal: None };
        let (version, accepted, words) = ((Version(1), "x"), Some("[1]"), "it is fine");
        let (run, record) = (&self.run, &snapshot.fingerprint().to_string());
        let acceptance = Acceptance { tenant, tables, run, version, snapshot, record, accepted, skipped: &[], words };
        self.server.accept(acceptance).await
    }
}

const KEPT: &str = "SELECT id, fingerprint, accepted, snapshot IS NOT NULL FROM mtmigrate_journal ORDER BY id";

#[tokio::test]
async fn equal_schemas_of_one_call_are_one_however_they_came_about() {
    let scene = Scene::new();
    let tenants: Vec<Tenant> = ["a", "b", "c", "d"].iter().map(|name| scene.tenant(name)).collect();
    scene.db(&tenants[0]).execute_batch("CREATE TABLE t(a, b TEXT)").unwrap();
    scene.db(&tenants[1]).execute_batch("CREATE TABLE t(a); ALTER TABLE t ADD COLUMN b TEXT").unwrap();
    scene.db(&tenants[2]).execute_batch("CREATE TABLE t(a)").unwrap();
    scene.db(&tenants[3]).execute_batch("CREATE TABLE t(a, b TEXT)").unwrap();
    let all: Vec<&Tenant> = tenants.iter().collect();
    let found: Vec<_> = scene.server.inspect(&all).await.into_iter().map(|found| found.unwrap()).collect();
    assert!(Arc::ptr_eq(&found[0], &found[1]) && Arc::ptr_eq(&found[0], &found[3]));
    assert_ne!(found[0], found[2]);
    let gauges: Vec<_> = all.iter().map(|tenant| (*tenant, None)).collect();
    let gauges: Vec<_> = scene.server.gauge(&gauges).await.into_iter().map(|found| found.unwrap().value).collect();
    assert_eq!(gauges[0], gauges[3]);
    assert_ne!(gauges[0], gauges[2]);
}

#[tokio::test]
async fn own_tables_and_data_are_no_part_of_a_schema_nor_of_its_gauge() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let empty = (scene.inspected(&acme).await, scene.gauged(&acme).await.value);
    assert!(empty.0.objects().is_empty());
    scene
        .applied(&acme, 1, "CREATE TABLE IF NOT EXISTS Knex_migrations(a); CREATE INDEX i ON knex_migrations(a);")
        .await;
    scene.db(&acme).execute_batch("ANALYZE; VACUUM;").unwrap();
    assert_eq!((scene.inspected(&acme).await, scene.gauged(&acme).await.value), empty);
}

#[tokio::test]
async fn a_view_that_no_longer_works_is_described_too() {
    let scene = Scene::new();
    let acme = of_format_1(&scene);
    let found = scene.inspected(&acme).await;
    assert_eq!(found.objects().len(), 1);
    assert_eq!(found.objects()[0].get("definition"), Some("select a from gone"));
}

#[tokio::test]
async fn looking_at_a_schema_leaves_no_trace_whatever_the_journal_mode() {
    for mode in ["DELETE", "WAL", "TRUNCATE", "PERSIST"] {
        let scene = Scene::new();
        let (acme, missing) = (scene.tenant("acme"), scene.absent("missing", true));
        scene.db(&acme).execute_batch(&format!("PRAGMA journal_mode = {mode}")).unwrap();
        scene.applied(&acme, 1, "CREATE TABLE t(a); CREATE VIRTUAL TABLE v USING fts5(a);").await;
        let snapshot = scene.inspected(&acme).await;
        scene.kept(&scene.run, &acme, &snapshot).await;
        let before = dump(scene.folder.path());
        assert_eq!(scene.inspected(&acme).await, snapshot);
        scene.gauged(&acme).await;
        assert_eq!(scene.server.recorded(&acme).await.unwrap().as_ref(), Some(&*snapshot));
        assert!(scene.inspected(&missing).await.objects().is_empty());
        scene.gauged(&missing).await;
        assert_eq!(scene.server.recorded(&missing).await.unwrap(), None);
        scene.kept(&scene.run, &missing, &snapshot).await;
        assert_eq!(dump(scene.folder.path()), before, "{mode}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_looked_at_is_said_and_spares_the_others() {
    let scene = Scene::new();
    let (acme, gone) = (scene.tenant("acme"), scene.absent("gone", false));
    let found = scene.server.inspect(&[&gone, &acme]).await;
    assert_eq!(found[0].as_ref().unwrap_err().code(), Code::NO_DATABASE);
    assert!(found[1].is_ok());
}

#[tokio::test]
async fn a_virtual_table_of_a_module_that_is_not_here_is_described_all_the_same() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let forged = "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES ('table', 'v', 'v', 0,
                  'CREATE VIRTUAL TABLE v USING vec0(a float[3])');";
    scene.db(&acme).execute_batch(forged).unwrap();
    let found = scene.inspected(&acme).await;
    assert_eq!(found.objects()[0].get("module"), Some("vec0"));
    assert_eq!(found.objects()[0].get("arguments"), Some("a float \"3\""));
}

#[tokio::test]
async fn the_runs_own_last_row_keeps_the_schema_and_the_rows_before_it_lose_theirs() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let one = scene.inspected(&acme).await;
    scene.kept(&scene.run, &acme, &one).await;
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
    let two = scene.inspected(&acme).await;
    scene.kept(&scene.run, &acme, &two).await;
    let (first, second) = (one.fingerprint().to_string(), two.fingerprint().to_string());
    assert_eq!(scene.rows(&acme, KEPT), [format!("1|{first}|[]|0"), format!("2|{second}|[]|1")]);
    assert_eq!(scene.server.recorded(&acme).await.unwrap().as_ref(), Some(&*two));
    let last = scene.server.read(&[&acme]).await.remove(0).unwrap().last.unwrap();
    assert_eq!((last.fingerprint, last.accepted.as_deref()), (Some(second), Some("[]")));
}

#[tokio::test]
async fn the_last_row_of_another_run_is_left_as_it_is() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let snapshot = scene.inspected(&acme).await;
    let before = dump(scene.folder.path());
    scene.kept(&RunIdentity::new(), &acme, &snapshot).await;
    assert_eq!(dump(scene.folder.path()), before);
    assert_eq!(scene.server.recorded(&acme).await.unwrap(), None);
}

#[tokio::test]
async fn an_accepted_schema_is_a_row_of_its_own_and_makes_the_journal_that_it_needs() {
    let scene = Scene::new();
    let old = of_format_1(&scene);
    let fresh = scene.absent("fresh", true);
    for (tenant, id) in [(&old, 2), (&fresh, 1)] {
        let snapshot = scene.inspected(tenant).await;
        scene.accepted(tenant, &snapshot).await.unwrap();
        assert_eq!(scene.server.recorded(tenant).await.unwrap().as_ref(), Some(&*snapshot));
        let reading = scene.server.read(&[tenant]).await.remove(0).unwrap();
        assert_eq!(reading.tables.journal, Some(JournalFormat::Four));
        let last = reading.last.unwrap();
        assert_eq!((last.id, last.version, last.outcome), (id, Version(1), AttemptOutcome::Accepted));
        assert_eq!((last.error.as_deref(), last.accepted.as_deref()), (Some("it is fine"), Some("[1]")));
        scene.accepted(tenant, &snapshot).await.unwrap();
        assert_eq!(scene.rows(tenant, "SELECT count(snapshot) FROM mtmigrate_journal"), ["1"]);
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_said() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let snapshot = scene.inspected(&acme).await;
    let trigger = "CREATE TRIGGER no BEFORE UPDATE ON mtmigrate_journal BEGIN SELECT raise(ABORT, 'no'); END;";
    scene.db(&acme).execute_batch(trigger).unwrap();
    let kept = [Keep { tenant: &acme, snapshot: &snapshot, record: "x", accepted: None }];
    let refused = scene.server.keep(&scene.run, &kept).await.remove(0).unwrap_err();
    assert_eq!(refused.code(), Code::JOURNAL_NOT_WRITTEN);
    assert_eq!(refused.causes(), ["SQLITE_CONSTRAINT_TRIGGER (1811): no"]);
    assert_eq!(scene.accepted(&acme, &snapshot).await.unwrap_err().code(), Code::JOURNAL_NOT_WRITTEN);
    assert_eq!(scene.rows(&acme, KEPT), ["1|NULL|NULL|0"]);
}

#[tokio::test]
async fn a_strange_snapshot_in_the_journal_is_not_believed() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "").await;
    for strange in ["'x'", "x'00ff'", "7"] {
        scene.db(&acme).execute_batch(&format!("UPDATE mtmigrate_journal SET snapshot = {strange}")).unwrap();
        assert_eq!(scene.server.recorded(&acme).await.unwrap(), None);
    }
}
