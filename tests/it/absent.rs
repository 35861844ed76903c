//! A tenant whose database, schema or file is not there: that tenant's error, and nothing is made silently.

use crate::support::{Fleet, mariadb, postgres};

/// A tenant of each kind that is not there.
fn absent() -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet
        .postgres_database("database", postgres(0))
        .postgres_schema("schema", postgres(0), &shared)
        .mariadb("mysql", mariadb(0))
        .sqlite("file")
        .changeset("V1__a.sql", "CREATE TABLE a (id int)");
    let url = |url: String| serde_json::to_string(&url).unwrap();
    fleet
        .set("database", "url", &url(postgres(0).url("no_such_database")))
        .set("schema", "schema", "no_such_schema")
        .set("mysql", "url", &url(mariadb(0).url("no_such_database")))
        .set("file", "url", "\"sqlite://data/no_such_file.db\"");
    fleet
}

#[test]
fn every_verb_says_which_tenant_is_not_there_and_makes_nothing() {
    let fleet = absent();
    for (tenant, code) in [("database", "MT312"), ("schema", "MT313"), ("mysql", "MT312"), ("file", "MT312")] {
        for verb in [&["up"][..], &["plan"], &["history"], &["status", "--check"]] {
            let output = fleet.run(&[verb, &["--tenant", tenant]].concat()).expect(5);
            let said = format!("{}{}", output.stdout, output.stderr);
            for word in [code, tenant, "hint: "] {
                assert!(said.contains(word), "{tenant} {verb:?}: no {word:?} in {output}");
            }
        }
    }
    let made = "SELECT nspname FROM pg_namespace WHERE nspname = 'no_such_schema'";
    assert!(fleet.query("schema", made).is_empty());
    let made = "SELECT datname FROM pg_database WHERE datname = 'no_such_database'";
    assert!(postgres(0).query("postgres", made).is_empty());
    assert!(mariadb(0).query("", "SHOW DATABASES LIKE 'no_such_database'").is_empty());
    assert!(!fleet.folder().join("data/no_such_file.db").exists());
}
