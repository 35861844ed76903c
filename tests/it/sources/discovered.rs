//! Discovery on real servers: schemas, databases, files.

use std::fs;

use crate::support::{Fleet, Options, Postgres, mariadb, sqlite, unique};

use super::places;

#[test]
fn schemas_of_every_database_are_found_where_the_file_names_none() {
    let pg = Postgres::start(Options::default());
    for database in ["one", "two", "shut"] {
        pg.create_database_named(database);
        pg.create_schema_named(database, &format!("tenant_{database}"));
    }
    pg.create_schema_named("one", "tenant_test_1");
    pg.execute("postgres", "ALTER DATABASE shut ALLOW_CONNECTIONS false");
    let mut fleet = Fleet::new();
    let discover = |fleet: &mut Fleet, keys: &str| {
        let server = format!("servers: {{ eu: {{ url: \"{}\" }} }}", pg.server_url());
        fleet.tenants_yaml(&format!("{server}\nsources: [{{ discover: {{ server: eu, {keys} }} }}]\n"));
    };
    let found = |fleet: &Fleet| {
        let named = places(fleet).into_iter().map(|[name, _, database, schema]| format!("{name} {database}.{schema}"));
        let mut named: Vec<String> = named.collect();
        named.sort();
        named
    };
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)");
    discover(&mut fleet, "schemas: \"tenant_*\", except: [\"tenant_test_*\"], name: \"{1}\"");
    assert_eq!(found(&fleet), ["one one.tenant_one", "two two.tenant_two"]);
    fleet.run(&["up"]).expect(0);
    assert_eq!(pg.query("two", "SELECT count(*) FROM tenant_two.t"), [[Some("0".to_owned())]]);

    discover(&mut fleet, "databases: \"*\", except: [postgres]");
    assert_eq!(found(&fleet), ["one one.", "two two."]);
    discover(&mut fleet, "databases: \"pg*\"");
    fleet.run(&["up"]).expect(5);
    // Every schema but the server's own, which no pattern reaches.
    discover(&mut fleet, "database: one, schemas: \"*\"");
    assert_eq!(found(&fleet), ["public one.public", "tenant_one one.tenant_one", "tenant_test_1 one.tenant_test_1"]);
}

#[test]
fn a_database_that_the_user_may_not_enter_is_passed_over_where_schemas_are_looked_for_everywhere() {
    let pg = Postgres::start(Options::default());
    for database in ["one", "closed", "torn"] {
        pg.create_database_named(database);
        pg.create_schema_named(database, &format!("tenant_{database}"));
    }
    pg.execute("postgres", "CREATE ROLE app LOGIN PASSWORD 'app'");
    pg.execute("postgres", "REVOKE CONNECT ON DATABASE closed FROM public");
    pg.execute("postgres", "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'torn'");
    let mut fleet = Fleet::new();
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)");
    let url = pg.url_as("app", "app", "127.0.0.1", "");
    fleet.tenants_yaml(&format!(
        "servers: {{ eu: {{ url: \"{url}\" }} }}\nsources: [{{ discover: {{ server: eu, schemas: \"tenant_*\" }} }}]\n"
    ));
    let out = fleet.run(&["tenants", "list"]).expect(0);
    assert!(out.stdout.contains("tenant_one"), "{out}");
    assert!(!out.stdout.contains("tenant_closed") && !out.stdout.contains("tenant_torn"), "{out}");
}

#[test]
fn databases_of_mariadb_and_files_of_sqlite_are_found() {
    let my = mariadb(0);
    let prefix = unique("found");
    for database in ["b", "a", "test_x"] {
        my.create_database_named(&format!("{prefix}_{database}"));
    }
    let mut fleet = Fleet::new();
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)");
    for name in ["c.db", "ü 名%20?.db", "test.db"] {
        sqlite::execute(&fleet.folder().join("data").join(name), "CREATE TABLE x (id int)");
    }
    fs::write(fleet.folder().join("data/.hidden.db"), "").expect("a file");
    fleet.tenants_yaml(&format!(
        "servers: {{ my: {{ url: \"{}\" }} }}
sources:
  - discover: {{ server: my, schemas: \"{prefix}_*\", except: [\"*_test_*\"], name: \"{{1}}\" }}
    labels: [my]
  - discover: {{ files: \"data/*.db\", except: [\"*/test.db\"], name: \"{{1}}\" }}
",
        my.server_url()
    ));
    fleet.run(&["up"]).expect(0);
    let mut found: Vec<String> =
        places(&fleet).into_iter().map(|[name, _, database, _]| format!("{name} {database}")).collect();
    found.sort();
    let (a, b) = (format!("a {prefix}_a"), format!("b {prefix}_b"));
    assert_eq!(found, [&a, &b, "c data/c.db", "ü 名%20? data/ü 名%20?.db"].map(str::to_owned));
    assert_eq!(my.query(&format!("{prefix}_a"), "SELECT count(*) FROM t"), [[Some("0".to_owned())]]);
    let untouched = sqlite::query(&fleet.folder().join("data/test.db"), "SELECT count(*) FROM sqlite_schema");
    assert_eq!(untouched, [[Some("1".to_owned())]]);
}
