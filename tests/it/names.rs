//! Names are data from strangers: tenants', databases', schemas' and files', whatever they hold.

use crate::support::{Fleet, MariaDb, Options, Postgres};

const DROP: &str = r#"x"; DROP SCHEMA y; --"#;

/// Names that every engine takes.
fn names() -> Vec<String> {
    let of_63_bytes = format!("{}ü", "n".repeat(61));
    assert_eq!(of_63_bytes.len(), 63);
    let others = ["a-b", "Größe", "select", DROP, "it's", "a.b", "$1 %s {}", "100%25", "x`; DROP DATABASE y; -- "];
    others.iter().map(|name| name.trim_end().to_string()).chain([of_63_bytes]).collect()
}

fn changesets(fleet: &mut Fleet) {
    fleet
        .changeset("V1__orders.sql", "CREATE TABLE orders (id int);\nINSERT INTO orders (id) VALUES (1);")
        .changeset("V2__index.sql", "CREATE INDEX orders_id ON orders (id);")
        .variant(
            "postgres",
            "V2__index.sql",
            "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY orders_id ON orders (id);",
        )
        .changeset("V3__column.sql", "ALTER TABLE orders ADD COLUMN note varchar(10);");
}

/// Everything works for every tenant, each is told by its name, and each changeset ran once.
fn assert_all_come_up(fleet: &Fleet) {
    fleet.run(&["validate"]).expect(0);
    fleet.run(&["plan", "--check"]).expect(4);
    fleet.run(&["up"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
    let status = fleet.status();
    for tenant in fleet.names() {
        assert_eq!(status.state(&tenant), "current");
        assert_eq!(fleet.versions(&tenant), [1, 2, 3], "{tenant}");
        assert_eq!(fleet.cell(&tenant, "SELECT count(*) FROM orders"), "1", "{tenant}");
        let pattern = tenant.replace('[', "[[]").replace('{', "[{]").replace('}', "[}]");
        let history = fleet.run(&["history", "--format", "json", "--tenant", &pattern]).expect(0).json();
        assert_eq!(history["tenants"][0]["name"], tenant, "{history}");
    }
    fleet.run(&["up"]).expect(0).says(&["nothing to do"]);
}

/// What stands beside the tenants, and must stay as it is.
const BYSTANDER: &str = "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)";

/// Covers row 34 of docs/failures.md.
#[test]
fn postgres_schemas_may_have_any_name_and_their_neighbours_stay_as_they_are() {
    let mut fleet = Fleet::new();
    let server = Postgres::start(Options::default());
    let shared = server.create_database();
    server.execute(&shared, &format!("CREATE SCHEMA y; SET search_path TO y; {BYSTANDER}"));
    server.execute(&shared, BYSTANDER);
    let [y, public] = ["y", "public"].map(|schema| server.dump_schema(&shared, schema));
    for name in names() {
        fleet.postgres_schema_named(&name, &server, &shared, &name);
    }
    changesets(&mut fleet);
    assert_all_come_up(&fleet);
    assert_eq!(["y", "public"].map(|schema| server.dump_schema(&shared, schema)), [y, public]);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'";
    assert_eq!(server.query(&shared, schemas)[0][0], Some((names().len() + 2).to_string()));
}

/// Covers row 34 of docs/failures.md.
#[test]
fn postgres_databases_may_have_any_name_and_a_schema_of_any_name_in_them() {
    let mut fleet = Fleet::new();
    let server = Postgres::start(Options::default());
    server.create_database_named("y");
    server.execute("y", BYSTANDER);
    let y = server.dump("y");
    for (number, name) in names().iter().enumerate() {
        fleet.postgres_database_named(name, &server, name);
        server.execute(name, &format!("CREATE SCHEMA y; SET search_path TO y; {BYSTANDER}"));
        if number % 2 == 0 {
            fleet.postgres_schema_named(&format!("{name} in it"), &server, name, name);
        }
    }
    changesets(&mut fleet);
    assert_all_come_up(&fleet);
    assert_eq!(server.dump("y"), y);
    for name in names() {
        assert_eq!(server.query(&name, "SELECT id FROM y.orders")[0][0].as_deref(), Some("7"), "{name}");
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'y'";
        assert_eq!(server.query(&name, tables)[0][0].as_deref(), Some("1"), "{name}");
    }
}

/// Covers row 34 of docs/failures.md.
#[test]
fn mariadb_databases_may_have_any_name() {
    let mut fleet = Fleet::new();
    let server = MariaDb::start(Options::default());
    server.create_database_named("y");
    server.execute("y", BYSTANDER);
    let y = server.dump("y");
    let of_64_characters = "ü".repeat(64);
    let more = ["a`b", "x`; DROP DATABASE `y`; --", "a\\'b", &of_64_characters].map(str::to_string);
    for name in names().iter().chain(&more) {
        fleet.mariadb_named(name, &server, name);
    }
    changesets(&mut fleet);
    assert_all_come_up(&fleet);
    assert_eq!(server.dump("y"), y);
}

/// Covers row 34 of docs/failures.md.
#[test]
fn sqlite_files_may_have_any_name() {
    let mut fleet = Fleet::new();
    for name in names() {
        fleet.sqlite_named(&name, &format!("{name}.db")).sqlite_named(&format!("{name} bare"), &name);
    }
    fleet.sqlite_named("like memory", ":memory:").sqlite_named("like a url", "file:x?mode=memory");
    changesets(&mut fleet);
    assert_all_come_up(&fleet);
    let mut files: Vec<String> = std::fs::read_dir(fleet.folder().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| !file.starts_with('.'))
        .collect();
    files.sort_unstable();
    let mut wanted: Vec<String> = names().into_iter().flat_map(|name| [format!("{name}.db"), name]).collect();
    wanted.extend([":memory:".to_string(), "file:x?mode=memory".to_string()]);
    wanted.sort_unstable();
    assert_eq!(files, wanted, "each tenant has its own file, and nothing else is there");
}

/// Covers row 35 of docs/failures.md.
#[test]
fn a_postgres_name_of_64_bytes_is_refused_by_name_before_anything_is_touched() {
    let server = Postgres::start(Options::default());
    let shared = server.create_database();
    let long = format!("{}ü", "n".repeat(62));
    assert_eq!(long.len(), 64);
    // Cut to 63 bytes, and a character with it, it would be this one.
    server.create_schema_named(&shared, &"n".repeat(62));
    server.create_database_named(&"n".repeat(62));
    let before = (server.dump(&shared), server.dump(&"n".repeat(62)));
    for place in [format!("database: {shared}, schema: {long}"), format!("database: {long}")] {
        let mut fleet = Fleet::new();
        fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int);").tenants_yaml(&format!(
            "servers:\n  pg: {{ url: \"{}\" }}\ntenants:\n  - {{ name: acme, server: pg, {place} }}\n",
            server.server_url()
        ));
        for args in [["validate"], ["up"], ["status"]] {
            fleet.run(&args).expect(2).says(&["acme", &long, "64 bytes", "tenants.yaml:4:"]);
        }
    }
    assert_eq!((server.dump(&shared), server.dump(&"n".repeat(62))), before);
}

/// Covers row 34 of docs/failures.md.
#[test]
fn postgres_names_that_differ_only_in_case_are_two_tenants() {
    let mut fleet = Fleet::new();
    let server = Postgres::start(Options::default());
    let shared = server.create_database();
    for name in ["acme", "Acme", "ACME"] {
        fleet.postgres_schema_named(name, &server, &shared, name).postgres_database_named(
            &format!("{name} of its own"),
            &server,
            name,
        );
    }
    changesets(&mut fleet);
    fleet.run(&["up", "--tenant", "Acme"]).expect(0);
    assert!(fleet.versions("acme").is_empty() && fleet.versions("ACME").is_empty());
    fleet.run(&["up"]).expect(0);
    for (tenant, versions) in fleet.all_versions() {
        assert_eq!(versions, [1, 2, 3], "{tenant}");
        assert_eq!(fleet.cell(&tenant, "SELECT count(*) FROM orders"), "1", "{tenant}");
    }
}
