//! Changelogs as people write them, on real servers.

mod files;
mod large;
mod on_mariadb;
mod on_postgres;
mod on_sqlite;
mod postgres_errors;
mod sql_modes;

use crate::support::{Fleet, Output, mariadb, postgres};

/// A fleet with a tenant of each kind: `pg` a database, `schema` a schema, `my` and `lite`.
pub fn one_of_each() -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet
        .postgres_database("pg", postgres(0))
        .postgres_schema("schema", postgres(0), &shared)
        .mariadb("my", mariadb(0))
        .sqlite("lite");
    fleet
}

/// Fails unless `up` refuses with status 2, says all of this, and leaves every tenant as it was.
#[track_caller]
pub fn refused(fleet: &Fleet, said: &[&str]) -> Output {
    let before = fleet.dumps();
    let output = fleet.run(&["up"]).expect(2);
    for words in said {
        assert!(output.stderr.contains(words), "no {words:?} in:\n{output}");
    }
    assert_eq!(fleet.dumps(), before, "something was changed");
    output
}

/// The only cell of a tenant's only row.
#[track_caller]
pub fn cell(fleet: &Fleet, tenant: &str, sql: &str) -> String {
    let rows = fleet.query(tenant, sql);
    assert_eq!(rows.len(), 1, "{tenant}: {sql}: {rows:?}");
    rows[0][0].clone().unwrap_or_else(|| "NULL".into())
}

/// The versions that a tenant's history holds, in order.
#[track_caller]
pub fn versions(fleet: &Fleet, tenant: &str) -> Vec<String> {
    let rows = fleet.query(tenant, "SELECT version FROM refinery_schema_history ORDER BY version");
    rows.into_iter().map(|row| row[0].clone().expect("a version")).collect()
}
