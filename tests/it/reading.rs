//! Reading writes nothing, missing things are not made, and who is left out is left alone.

use std::net::TcpListener;

use crate::support::fleet::Place;
use crate::support::kinds::fleet_of_all;
use crate::support::{CANARY, Fleet, MariaDb, Options, Postgres, mariadb, postgres, unique};

fn changesets(fleet: &mut Fleet) -> &mut Fleet {
    fleet
        .changeset("V1__orders.sql", "CREATE TABLE orders (id int);")
        .changeset("V2__lines.sql", "CREATE TABLE order_lines (id int);")
}

const READING: [&[&str]; 10] = [
    &["status", "--format", "json"],
    &["status", "--format", "csv"],
    &["status"],
    &["plan", "--sql"],
    &["plan", "--format", "json"],
    &["history"],
    &["history", "--format", "json"],
    &["drift"],
    &["drift", "--format", "json"],
    &["drift", "--repair-sql"],
];

#[test]
fn a_missing_database_or_schema_is_that_tenants_error_and_is_not_made() {
    let missing = unique("missing");
    let shared = postgres(0).create_database();
    let servers = format!(
        "servers:\n  pg: {{ url: \"{}\" }}\n  my: {{ url: \"{}\" }}\n  files: {{ url: \"sqlite://data\" }}\n",
        postgres(0).server_url(),
        mariadb(0).server_url()
    );
    let present = [postgres(0).create_database(), mariadb(0).create_database()];
    for (keys, hint) in [
        (format!("server: pg, database: {missing}"), "CREATE DATABASE"),
        (format!("server: pg, database: {shared}, schema: {missing}"), "CREATE SCHEMA"),
        (format!("server: my, database: {missing}"), "CREATE DATABASE"),
        (format!("server: files, database: {missing}.db"), "?mode=rwc"),
        (format!("url: \"sqlite://{missing}/x.db\""), "?mode=rwc"),
    ] {
        let mut fleet = Fleet::new();
        changesets(&mut fleet).tenants_yaml(&format!(
            "{servers}tenants:\n  - {{ name: acme, {keys} }}\n  - {{ name: pg, server: pg, database: {} }}\n  \
             - {{ name: my, server: my, database: {} }}\n",
            present[0], present[1]
        ));
        for args in [["up"], ["plan"], ["status"], ["history"]] {
            let output = fleet.run(&args).expect(5).says(&["MT31", "acme"]);
            assert!(output.stderr.contains(hint) || output.stdout.contains(hint), "no {hint:?} in {output}");
        }
        let status = fleet.status();
        assert_eq!((status.state("acme"), status.state("pg"), status.state("my")), ("unreachable", "new", "new"));
        let names: Vec<_> = std::fs::read_dir(fleet.folder()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains(&missing)), "{names:?}");
        assert_eq!(std::fs::read_dir(fleet.folder().join("data")).unwrap().count(), 0);
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(postgres(0).query(&present[0], tables)[0][0].as_deref(), Some("0"), "nothing was changed anywhere");
    assert!(mariadb(0).query(&present[1], "SHOW TABLES").is_empty());
    let made = format!("SELECT count(*) FROM pg_database WHERE datname = '{missing}'");
    assert_eq!(postgres(0).query("postgres", &made)[0][0].as_deref(), Some("0"));
    let made = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{missing}'");
    assert_eq!(postgres(0).query(&shared, &made)[0][0].as_deref(), Some("0"));
    assert!(mariadb(0).query("", &format!("SHOW DATABASES LIKE '{missing}'")).is_empty());
}

#[test]
fn reading_changes_nothing_and_makes_nothing_with_and_without_tables() {
    let mut fleet = fleet_of_all(2);
    changesets(&mut fleet);
    let files = |fleet: &Fleet| {
        let data = std::fs::read_dir(fleet.folder().join("data")).unwrap();
        let mut names: Vec<_> = data.map(|file| file.unwrap().file_name()).collect();
        names.sort_unstable();
        names
    };
    for steps in [None, Some("1"), Some("2")] {
        if let Some(version) = steps {
            fleet.run(&["up", "--to", version]).expect(0);
        }
        let (dumps, files_before) = (fleet.dumps(), files(&fleet));
        for args in READING {
            fleet.run(args).expect(0);
        }
        assert_eq!(fleet.dumps(), dumps);
        assert_eq!(files(&fleet), files_before);
    }
}

#[test]
fn a_role_that_may_only_read_gets_the_same_answers() {
    let (pg, my) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let mut fleet = Fleet::new();
    pg.create_database_named("shared");
    fleet
        .postgres_database_named("database", &pg, "own")
        .postgres_schema_named("schema", &pg, "shared", "one")
        .mariadb_named("mysql", &my, "own");
    changesets(&mut fleet);
    pg.execute("postgres", &format!("CREATE ROLE reader LOGIN PASSWORD '{CANARY}'"));
    my.execute("", &format!("CREATE USER reader@'%' IDENTIFIED BY '{CANARY}'; GRANT SELECT ON own.* TO reader@'%'"));
    let as_user = |fleet: &mut Fleet, user: &str| {
        let json = |url: String| serde_json::to_string(&url).unwrap();
        fleet.set("database", "url", &json(pg.url_as(user, CANARY, "127.0.0.1", "own")));
        fleet.set("mysql", "url", &json(my.url_as(user, CANARY, "127.0.0.1", "own")));
        let server = pg.url_as(user, CANARY, "127.0.0.1", "");
        fleet.set_server(&format!("pg{}", pg.port()), "url", &json(server.trim_end_matches('/').to_string()));
    };
    for steps in [None, Some("1"), Some("2")] {
        if let Some(version) = steps {
            fleet.run(&["up", "--to", version]).expect(0);
        }
        for (database, schema) in [("own", "public"), ("shared", "one")] {
            pg.execute(
                database,
                &format!(
                    "GRANT USAGE ON SCHEMA {schema} TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader"
                ),
            );
        }
        let dumps = fleet.dumps();
        let answers = |fleet: &Fleet| READING.map(|args| fleet.run(args).expect(0).stdout);
        let as_administrator = answers(&fleet);
        as_user(&mut fleet, "reader");
        assert_eq!(answers(&fleet), as_administrator, "after {steps:?}");
        assert_eq!(fleet.run(&["status", "--check"]).status, if steps == Some("2") { 0 } else { 4 });
        if steps != Some("2") {
            // Writing is refused, and said to be a matter of rights.
            let refused = fleet.run(&["up"]);
            assert!([1, 5].contains(&refused.status), "{refused}");
            assert!(refused.stderr.contains("reader") || refused.stderr.contains("denied"), "{refused}");
        }
        as_user(&mut fleet, "migrator");
        assert_eq!(fleet.dumps(), dumps, "after {steps:?}");
    }
}

#[test]
fn a_quarantined_tenant_is_not_connected_to_and_does_not_hold_the_fleet_back() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let mut fleet = fleet_of_all(1);
    changesets(&mut fleet);
    fleet.mariadb("left", mariadb(0)).postgres_database("behind", postgres(0)).sqlite("file");
    fleet.set("left", "url", &format!("\"mysql://migrator@127.0.0.1:{port}/left\""));
    let left_out = [("left", "moves to another server, ticket 812"), ("behind", "frozen"), ("file", "being copied")];
    for (tenant, reason) in left_out {
        fleet.set(tenant, "quarantined", &format!("\"{reason}\""));
    }
    let before = ["behind", "file"].map(|tenant| fleet.dump(tenant));
    for args in [&["plan"][..], &["up"], &["up"], &["status"]] {
        let output = fleet.run(args).expect(0);
        for (tenant, reason) in left_out {
            let said = format!("{}{}", output.stdout, output.stderr);
            assert!(said.contains(tenant), "{args:?}: no {tenant} in:\n{output}");
            assert!(args[0] == "plan" || said.contains(reason), "{args:?}: no {reason} in:\n{output}");
        }
    }
    fleet.run(&["status", "--check"]).expect(0);
    let status = fleet.status();
    assert_eq!((status.count("quarantined"), status.count("current")), (3, 4));
    assert_eq!(["behind", "file"].map(|tenant| fleet.dump(tenant)), before);
    assert_eq!(nobody.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
    let Place::Sqlite(path) = fleet.place("file") else { unreachable!("a file") };
    assert!(!path.exists());
}
