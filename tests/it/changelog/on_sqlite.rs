//! Changelog shapes on SQLite.

use crate::support::Fleet;

use super::{cell, versions};

const PARENT_AND_CHILDREN: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE deleted (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL REFERENCES parent (id) ON DELETE CASCADE);
    CREATE TABLE nulled (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent (id) ON DELETE SET NULL);
    INSERT INTO parent VALUES (1, 'a'), (2, 'b'), (3, 'c');
    INSERT INTO deleted SELECT id, id FROM parent;
    INSERT INTO nulled SELECT id, id FROM parent;
";

const REBUILD: &str = "
    CREATE TABLE new_parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL, more INT DEFAULT 7);
    INSERT INTO new_parent (id, name) SELECT id, name FROM parent;
    DROP TABLE parent;
    ALTER TABLE new_parent RENAME TO parent;
";

/// Covers row 50 of docs/failures.md.
#[test]
fn a_rebuilt_table_keeps_the_children_of_its_rows() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset("V1__t.sql", PARENT_AND_CHILDREN).changeset("V2__rebuild.sql", REBUILD);
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "lite", "SELECT count(*) FROM parent WHERE more = 7"), "3");
    assert_eq!(cell(&fleet, "lite", "SELECT count(*) FROM deleted"), "3");
    assert_eq!(cell(&fleet, "lite", "SELECT count(*) FROM nulled WHERE parent_id = id"), "3");
    // The reference still says `parent`, not the name that the table had meanwhile.
    assert!(cell(&fleet, "lite", "SELECT sql FROM sqlite_schema WHERE name = 'deleted'").contains("parent (id)"));
}

/// Covers row 50 of docs/failures.md.
#[test]
fn a_rebuild_that_orphans_children_is_rolled_back_and_names_them() {
    let mut fleet = Fleet::new();
    let loses = REBUILD.replace("FROM parent;", "FROM parent WHERE id < 3;");
    fleet.sqlite("lite").changeset("V1__t.sql", PARENT_AND_CHILDREN);
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V2__rebuild.sql", &loses);
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.contains("MT207") && output.stderr.contains("deleted"), "{output}");
    assert_eq!(versions(&fleet, "lite"), ["1"]);
    assert_eq!(cell(&fleet, "lite", "SELECT count(*) FROM parent"), "3");
    assert_eq!(cell(&fleet, "lite", "SELECT count(*) FROM deleted"), "3");
}

/// Covers row 50 of docs/failures.md.
#[test]
fn pragma_foreign_keys_in_a_text_has_no_effect_and_is_warned_about() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset("V1__t.sql", PARENT_AND_CHILDREN);
    fleet.changeset("V2__rebuild.sql", &format!("PRAGMA foreign_keys = ON;\n{REBUILD}"));
    let checked = fleet.run(&["validate"]).expect(0);
    assert!(checked.stderr.contains("warning[MT130]") && checked.stderr.contains("V2__rebuild.sql:1:"), "{checked}");
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "lite", "SELECT count(*) FROM deleted"), "3");
}

#[test]
fn triggers_with_statements_inside_are_one_statement() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset(
        "V1__t.sql",
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
         CREATE TABLE log (line TEXT);
         CREATE TRIGGER after_t AFTER INSERT ON t WHEN new.a > 0 BEGIN
             INSERT INTO log VALUES ('first; ' || CASE WHEN new.a = 1 THEN 'one' ELSE 'more' END);
             UPDATE t SET b = 'set' WHERE a = new.a; -- BEGIN; END;
         END;
         CREATE TEMP TRIGGER temporary AFTER INSERT ON main.t BEGIN SELECT 1; END;
         INSERT INTO t (a) VALUES (1), (0);",
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "lite", "SELECT line FROM log"), "first; one");
    assert_eq!(cell(&fleet, "lite", "SELECT b FROM t WHERE a = 1"), "set");
}

/// Covers row 20 of docs/failures.md.
#[test]
fn a_text_with_its_own_transaction_is_refused_also_where_it_says_no_transaction() {
    let mut fleet = Fleet::new();
    let text = "BEGIN;\nCREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\nCOMMIT;\n";
    fleet.sqlite("lite").changeset("V1__t.sql", text);
    super::refused(&fleet, &["MT124", "V1__t.sql:1:1", "the whole file is one transaction already"]);
    fleet.edit("V1__t.sql", &format!("-- mtmigrate: no-transaction\n{text}"));
    super::refused(&fleet, &["MT124", "V1__t.sql:2:1", "a changeset of its own"]);
}

#[test]
fn vacuum_and_wal_mode_run_in_a_no_transaction_changeset() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset(
        "V1__t.sql",
        "-- mtmigrate: no-transaction\nPRAGMA journal_mode = WAL;\nCREATE TABLE t (a int);\nVACUUM;\n",
    );
    fleet.changeset("V2__u.sql", "CREATE TABLE u (a int);");
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet, "lite", "PRAGMA journal_mode"), "wal");
    assert_eq!(versions(&fleet, "lite"), ["1", "2"]);
    assert_eq!(cell(&fleet, "lite", "PRAGMA integrity_check"), "ok");
    fleet.run(&["status", "--check"]).expect(0);
}

/// Covers row 30 of docs/failures.md.
#[test]
fn attached_databases_temp_tables_and_pragmas_of_one_tenant_do_not_reach_the_next() {
    let mut fleet = Fleet::new();
    fleet.sqlite("a").sqlite("b");
    fleet.changeset(
        "V1__t.sql",
        "CREATE TEMP TABLE leak (a int);
         PRAGMA recursive_triggers = ON;
         PRAGMA case_sensitive_like = ON;
         CREATE TABLE t (a int);",
    );
    // Were the first tenant's session used for the second, the temporary table would be there already.
    fleet.run(&["up", "--jobs", "1"]).expect(0);
    fleet.changeset("V2__like.sql", "CREATE TABLE u AS SELECT 'A' LIKE 'a' AS folded;");
    fleet.run(&["up", "--jobs", "1"]).expect(0);
    assert_eq!(cell(&fleet, "b", "SELECT folded FROM u"), "1");
}
