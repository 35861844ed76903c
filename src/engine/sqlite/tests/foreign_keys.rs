use super::Scene;
use crate::engine::{Left, Resume};
use crate::error::Code;
use crate::history::prefix_hash;

const FAMILY: &str = "
    CREATE TABLE parent(id INTEGER PRIMARY KEY, a TEXT);
    CREATE TABLE child(id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent(id) ON DELETE CASCADE);
    INSERT INTO parent VALUES (1, 'x'), (2, 'y');
    INSERT INTO child VALUES (10, 1), (20, 2), (30, 2);";

const REBUILD: &str = "
    CREATE TABLE new_parent(id INTEGER PRIMARY KEY, a TEXT NOT NULL, b INTEGER);
    INSERT INTO new_parent SELECT id, a, 0 FROM parent;
    DROP TABLE parent;
    ALTER TABLE new_parent RENAME TO parent;";

#[tokio::test]
async fn a_rebuilt_table_keeps_its_children() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, FAMILY).await;
    scene.applied(&acme, 2, REBUILD).await;
    assert_eq!(scene.rows(&acme, "SELECT * FROM child"), ["10|1", "20|2", "30|2"]);
    assert_eq!(scene.rows(&acme, "SELECT \"table\" FROM pragma_foreign_key_list('child')"), ["parent"]);
    scene.applied(&acme, 3, &format!("-- mtmigrate: no-transaction\n{REBUILD}")).await;
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM child"), ["3"]);
}

#[tokio::test]
async fn a_table_that_is_renamed_away_before_it_is_rebuilt_takes_its_children_along_and_is_refused() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, FAMILY).await;
    let text = "ALTER TABLE parent RENAME TO old_parent;
        CREATE TABLE parent(id INTEGER PRIMARY KEY, a TEXT);
        INSERT INTO parent SELECT * FROM old_parent;
        DROP TABLE old_parent;";
    let failure = scene.failed(&acme, 2, text).await;
    assert_eq!(failure.diagnostic.code(), Code::FOREIGN_KEYS_BROKEN);
    assert_eq!(failure.diagnostic.causes()[0], "table child, rowid 10: (parent_id) has no row in old_parent");
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM child JOIN parent ON parent.id = parent_id"), ["3"]);
}

#[tokio::test]
async fn rows_without_their_parents_are_named_and_nothing_is_kept() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, FAMILY).await;
    let text = "DELETE FROM parent WHERE id = 2;
        WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
        INSERT INTO child SELECT i, 2 FROM n;";
    let failure = scene.failed(&acme, 2, text).await;
    assert_eq!((failure.diagnostic.code(), failure.left), (Code::FOREIGN_KEYS_BROKEN, Left::Unchanged));
    assert_eq!(
        failure.diagnostic.causes(),
        [
            "table child, rowid 20: (parent_id) has no row in parent",
            "table child, rowid 30: (parent_id) has no row in parent",
            "table child, rowid 100: (parent_id) has no row in parent",
            "table child, rowid 101: (parent_id) has no row in parent",
            "table child, rowid 102: (parent_id) has no row in parent",
            "and 97 more",
        ]
    );
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM parent"), ["2"]);
    assert_eq!(scene.rows(&acme, "SELECT outcome FROM mtmigrate_journal"), ["applied", "failed"]);
}

#[tokio::test]
async fn violations_from_before_do_not_stop_a_text_but_new_ones_do() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, FAMILY).await;
    scene.db(&acme).execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (40, 4)").unwrap();
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
    scene.applied(&acme, 3, REBUILD).await;
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM child"), ["4"]);
    let failure = scene.failed(&acme, 4, "INSERT INTO child VALUES (50, 5);").await;
    assert_eq!(failure.diagnostic.code(), Code::FOREIGN_KEYS_BROKEN);
    scene.applied(&acme, 5, "-- mtmigrate: no-transaction\nVACUUM;").await;
    assert_eq!(scene.rows(&acme, "SELECT count(*) FROM refinery_schema_history"), ["4"]);
}

#[tokio::test]
async fn a_key_that_cannot_be_checked_hides_no_other() {
    let scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, FAMILY).await;
    let mismatch = "CREATE TABLE odd(a REFERENCES parent(a)); INSERT INTO odd VALUES ('x');";
    let failure = scene.failed(&acme, 2, mismatch).await;
    assert!(failure.diagnostic.causes()[0].contains("foreign key mismatch"), "{}", failure.diagnostic);
    scene.db(&acme).execute_batch(&format!("PRAGMA foreign_keys = OFF; {mismatch}")).unwrap();
    scene.applied(&acme, 2, "CREATE TABLE u(a);").await;
    let failure = scene.failed(&acme, 3, "INSERT INTO child VALUES (50, 5);").await;
    assert_eq!(failure.diagnostic.causes(), ["table child, rowid 50: (parent_id) has no row in parent"]);
}

#[tokio::test]
async fn violations_of_a_text_without_transaction_are_not_old_ones_at_the_next_try() {
    let mut scene = Scene::new();
    let acme = scene.tenant("acme");
    scene.applied(&acme, 1, FAMILY).await;
    let text = "-- mtmigrate: no-transaction\nINSERT INTO child VALUES (50, 5);";
    for _ in 0..2 {
        let failure = scene.failed(&acme, 2, text).await;
        assert_eq!(failure.diagnostic.code(), Code::FOREIGN_KEYS_BROKEN);
        scene.resume = Some(Resume { statement_no: 2, prefix: prefix_hash(["INSERT INTO child VALUES (50, 5)"]) });
    }
    scene.db(&acme).execute_batch("DELETE FROM child WHERE parent_id = 5").unwrap();
    scene.applied(&acme, 2, text).await;
}
