use std::fs;

use super::Scene;
use crate::engine::{Left, Moment};
use crate::error::Code;

#[tokio::test]
async fn a_missing_file_is_neither_read_nor_made_unless_the_tenant_asks_for_it() {
    let scene = Scene::new();
    let acme = scene.absent("sub/acme", false);
    let unread = scene.server.read(&[&acme]).await.remove(0).unwrap_err();
    assert_eq!(
        unread.to_string(),
        "error[MT312]: file data/sub/acme.db does not exist
hint: create it, correct the tenant's path, or let mtmigrate create it: `?mode=rwc` in the URL"
    );
    let failure = scene.failed(&acme, 1, "CREATE TABLE t(a);").await;
    assert_eq!((failure.diagnostic.code(), failure.moment), (Code::NO_DATABASE, Moment::Prepare));
    assert!(!scene.path("sub").exists());

    let acme = scene.absent("sub/acme", true);
    let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
    assert!(reading.rows.is_empty() && reading.tables.history.is_none() && reading.read_only.is_none());
    assert!(!scene.path("sub").exists());
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    assert!(scene.path("sub/acme.db").exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said_to_be_none_and_stays_as_it_is() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    let bytes = "not a database, but long enough for a header ".repeat(40);
    fs::write(scene.path("acme.db"), &bytes).unwrap();
    let unread = scene.server.read(&[&acme]).await.remove(0).unwrap_err();
    assert_eq!(unread.code(), Code::READ_FAILED);
    assert_eq!(unread.causes(), ["SQLITE_NOTADB (26): file is not a database"]);
    let failure = scene.failed(&acme, 1, "CREATE TABLE t(a);").await;
    assert_eq!((failure.diagnostic.code(), failure.left), (Code::READ_FAILED, Left::Unchanged));
    assert_eq!(fs::read_to_string(scene.path("acme.db")).unwrap(), bytes);
}

#[tokio::test]
async fn a_directory_in_the_files_place_is_said() {
    let scene = Scene::new();
    fs::create_dir(scene.path("acme.db")).unwrap();
    let unread = scene.server.read(&[&scene.absent("acme", true)]).await.remove(0).unwrap_err();
    assert_eq!(unread.message(), "data/acme.db is a directory, not a database file");
}

#[tokio::test]
async fn a_damaged_file_fails_its_own_tenant() {
    let scene = Scene::new();
    let (acme, well) = (scene.tenant("acme"), scene.tenant("well"));
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let mut bytes = fs::read(scene.path("acme.db")).unwrap();
    bytes[100..4096].fill(0xee);
    fs::write(scene.path("acme.db"), bytes).unwrap();
    let readings = scene.server.read(&[&acme, &well]).await;
    assert_eq!(readings[0].as_ref().unwrap_err().code(), Code::READ_FAILED);
    assert!(readings[1].is_ok());
    assert_eq!(scene.failed(&acme, 2, "CREATE TABLE u(a);").await.left, Left::Unchanged);
}

/// Needs a user whom permissions bind: root passes every one of them.
#[cfg(unix)]
#[tokio::test]
async fn what_permissions_forbid_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, "CREATE TABLE t(a);").await;
    let allow = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(scene.path("acme.db"), 0o444);
    if fs::OpenOptions::new().append(true).open(scene.path("acme.db")).is_ok() {
        println!("permissions do not bind this user");
        return;
    }
    let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
    assert!(reading.read_only.is_some());
    let failure = scene.failed(&acme, 2, "CREATE TABLE u(a);").await;
    assert_eq!((failure.diagnostic.code(), failure.left), (Code::READ_ONLY, Left::Unchanged));
    allow(scene.path("acme.db"), 0o000);
    assert_eq!(scene.server.read(&[&acme]).await.remove(0).unwrap_err().code(), Code::UNREACHABLE);

    allow(scene.path("acme.db"), 0o644);
    scene.db(&acme).execute_batch("PRAGMA journal_mode = WAL").unwrap();
    allow(scene.folder.path().to_owned(), 0o555);
    let reading = scene.server.read(&[&acme]).await.remove(0).unwrap();
    assert_eq!(reading.rows.len(), 1);
    assert_eq!(scene.failed(&acme, 2, "CREATE TABLE u(a);").await.diagnostic.code(), Code::READ_ONLY);
    assert_eq!(scene.server.try_lock(&scene.run, &[&acme]).await.unwrap_err().code(), Code::LOCK_FAILED);
    allow(scene.folder.path().to_owned(), 0o755);

    let copy = scene.absent("copy", false);
    let writer = scene.db(&acme);
    writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    for suffix in ["", "-wal"] {
        fs::copy(scene.path(&format!("acme.db{suffix}")), scene.path(&format!("copy.db{suffix}"))).unwrap();
    }
    allow(scene.folder.path().to_owned(), 0o555);
    let unread = scene.server.read(&[&copy]).await.remove(0).unwrap_err();
    allow(scene.folder.path().to_owned(), 0o755);
    assert_eq!(unread.message(), "file data/copy.db must be recovered before it is read");
}
