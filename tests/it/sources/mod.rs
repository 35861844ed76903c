//! Sources against real servers and programs: where a fleet comes from, and what happens when that does not answer.

mod discovered;
mod failing;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{CANARY, Fleet, mariadb, postgres, quoted, sqlite};

/// Writes a program into a fleet's folder.
fn program(fleet: &mut Fleet, name: &str, text: &str) {
    fleet.file(name, text);
    fs::set_permissions(fleet.folder().join(name), Permissions::from_mode(0o755)).expect("a program");
}

/// Returns name, server, database and schema of every tenant, as `status` has them.
fn places(fleet: &Fleet) -> Vec<[String; 4]> {
    let out = fleet.run(&["status", "--format", "json"]).expect(0);
    let status: Value = serde_json::from_str(&out.stdout).expect("JSON");
    let text = |tenant: &Value, key: &str| tenant[key].as_str().unwrap_or_default().to_owned();
    let tenants = status["tenants"].as_array().expect("tenants").iter();
    tenants.map(|tenant| ["name", "server", "database", "schema"].map(|key| text(tenant, key))).collect()
}

/// The same 40 tenants, however they are described, are one list; and each description brings them further.
#[test]
fn one_fleet_in_five_descriptions_is_one_list_and_goes_up() {
    let (pg, my) = (postgres(0), mariadb(0));
    let (database, common, my_common) = (pg.create_database(), pg.create_database(), my.create_database());
    let names: Vec<String> = (0..40).map(|no| format!("t{no:02}")).collect();
    let schemas = names.iter().map(|name| format!("CREATE SCHEMA \"tenant_{name}\";")).collect::<String>();
    pg.execute(&database, &format!("{schemas} CREATE SCHEMA tenant_test_x; CREATE SCHEMA other"));
    let rows = |names: &[String]| {
        let row = |name: &String| format!("('{name}', 'eu', '{database}', 'tenant_{name}')");
        names.iter().map(row).collect::<Vec<_>>().join(", ")
    };
    let fill = format!(
        "CREATE TABLE tenants (id varchar(9), srv varchar(9), db varchar(99), sch varchar(99)); INSERT INTO tenants VALUES {}",
        rows(&names)
    );
    pg.execute(&common, &fill);
    my.execute(&my_common, &fill);
    let mut fleet = Fleet::new();
    sqlite::execute(&fleet.folder().join("registry.db"), &fill);
    fleet.file("names.txt", names.join("\r\n"));
    let object = |name: &String| {
        format!(
            "{{\"name\": \"{name}\", \"server\": \"eu\", \"database\": \"{database}\", \"schema\": \"tenant_{name}\"}}"
        )
    };
    let json = names.iter().map(object).collect::<Vec<_>>().join(",");
    program(&mut fleet, "list-tenants", &format!("#!/bin/sh\n[ \"$1\" = --all ] || exit 3\necho '[{json}]'\n"));
    program(&mut fleet, "list-names", "#!/bin/sh\ncat names.txt\n");
    let query = "SELECT id AS name, srv AS \\\"Server\\\", db AS \\\"DATABASE\\\", sch AS \\\"schema\\\" FROM tenants ORDER BY id";
    let my_query = query.replace("\\\"", "`");
    let listed =
        |name: &String| format!("\n  - {{ name: {name}, server: eu, database: {database}, schema: tenant_{name} }}");
    let in_place = format!("    server: eu\n    database: {database}\n    schema: \"tenant_{{tenant}}\"");
    let ways = [
        format!("tenants:{}", names.iter().map(listed).collect::<String>()),
        format!(
            "sources:\n  - template: {{ server: eu, database: {database}, schema: \"tenant_{{tenant}}\", names_file: names.txt }}"
        ),
        format!(
            "sources:\n  - registry: {{ server: eu, database: {common}, query: \"{query}\" }}\n    min_tenants: 40"
        ),
        format!("sources:\n  - registry: {{ url: \"{}\", query: \"{my_query}\" }}", my.url(&my_common)),
        format!("sources:\n  - registry: {{ url: \"sqlite://registry.db\", query: \"{query}\" }}"),
        format!(
            "sources:\n  - discover: {{ server: eu, database: {database}, schemas: \"tenant_*\", \
             except: [\"tenant_test_*\"], name: \"{{1}}\" }}"
        ),
        "sources:\n  - command: { run: [\"./list-tenants\", \"--all\"], format: json }".to_owned(),
        format!("sources:\n  - command: {{ run: [sh, list-names], format: lines }}\n{in_place}"),
    ];
    let expected: Vec<[String; 4]> =
        names.iter().map(|name| [name.clone(), "eu".into(), database.clone(), format!("tenant_{name}")]).collect();
    for (no, way) in ways.iter().enumerate() {
        fleet.tenants_yaml(&format!("servers: {{ eu: {{ url: \"{}\" }} }}\n{way}\n", pg.server_url()));
        fleet.changeset(&format!("V{}__t{no}.sql", no + 1), &format!("CREATE TABLE t{no} (id int)"));
        assert_eq!(places(&fleet), expected, "{way}");
        fleet.run(&["up"]).expect(0);
        let made = pg.query(&database, &format!("SELECT schemaname FROM pg_tables WHERE tablename = 't{no}'"));
        assert_eq!(made.len(), 40, "{way}");
    }
}

/// Names of strangers, through templates, files of names and registries, lead to the places that they name and nowhere else.
#[test]
fn hostile_names_are_data_wherever_they_come_from() {
    const NAMES: [&str; 6] =
        ["a\"b'c`d", "x/y?z#w@v:u%20t&s=r", "ü 名 \\", "${HOME}", "{tenant}", "'; DROP TABLE t; --"];
    let pg = postgres(0);
    let mut fleet = Fleet::new();
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)");
    let shared = pg.create_database();
    let marked = |name: &str| format!("{shared} {name}");
    for name in NAMES {
        pg.create_database_named(&marked(name));
        pg.create_schema_named(&shared, name);
    }
    fleet.file("names.txt", NAMES.join("\n"));
    let literal = |text: &str| quoted(text, '\'');
    let rows = NAMES.map(|name| format!("({}, {})", literal(&format!("r {name}")), literal(name))).join(", ");
    fleet.file("registry.sql", "");
    sqlite::execute(
        &fleet.folder().join("registry.db"),
        &format!("CREATE TABLE r (n text, s text); INSERT INTO r VALUES {rows}"),
    );
    let url = pg.url("x").trim_end_matches("/x").to_owned();
    fleet.tenants_yaml(&format!(
        "servers: {{ eu: {{ url: \"{url}\" }} }}
sources:
  - template: {{ url: \"{url}/{shared} {{tenant}}\", names_file: names.txt }}
  - registry: {{ url: \"sqlite://registry.db\", query: \"SELECT n AS name, s AS schema FROM r\" }}
    server: eu
    database: {shared}
"
    ));
    fleet.run(&["up"]).expect(0);
    let found: Vec<[String; 4]> = places(&fleet);
    let expected: Vec<(String, String, String)> = (NAMES.iter())
        .map(|name| (name.to_string(), marked(name), String::new()))
        .chain(NAMES.iter().map(|name| (format!("r {name}"), shared.clone(), name.to_string())))
        .collect();
    let found: Vec<_> = found.into_iter().map(|[name, _, database, schema]| (name, database, schema)).collect();
    let mut sorted = (found, expected);
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    for name in NAMES {
        assert_eq!(pg.query(&marked(name), "SELECT count(*) FROM t"), [[Some("0".to_owned())]], "{name}");
        let made = format!("SELECT count(*) FROM pg_tables WHERE tablename = 't' AND schemaname = {}", literal(name));
        assert_eq!(pg.query(&shared, &made), [[Some("1".to_owned())]], "{name}");
    }
}

/// A registry gives users and passwords, and none of them shows, however loud the run is.
#[test]
fn a_registrys_passwords_open_their_tenants_and_never_show() {
    let (pg, my) = (postgres(0), mariadb(0));
    let (one, two, common) = (pg.create_database(), pg.create_database(), my.create_database());
    my.execute(
        &common,
        &format!(
            "CREATE TABLE r (name varchar(9), url varchar(200), database_name varchar(99), user varchar(99), password varchar(99));
             INSERT INTO r VALUES ('one', '{}', NULL, NULL, NULL), ('two', NULL, '{two}', 'harness', '{CANARY}')",
            pg.url(&one)
        ),
    );
    let mut fleet = Fleet::new();
    fleet.env("RUST_LOG", "trace").changeset("V1__t.sql", "CREATE TABLE t (id int)");
    let query =
        "SELECT name, url, IF(url IS NULL, 'eu', NULL) AS server, database_name AS `database`, user, password FROM r";
    let write = |fleet: &mut Fleet, query: &str| {
        let server = pg.url_as("nobody", "wrong", "127.0.0.1", "").trim_end_matches('/').to_owned();
        let registry = format!("{{ url: \"{}\", query: \"{query}\" }}", my.url(&common));
        fleet.tenants_yaml(&format!(
            "servers: {{ eu: {{ url: \"{server}\" }} }}\nsources: [{{ registry: {registry} }}]\n"
        ));
    };
    write(&mut fleet, query);
    fleet.run(&["up", "-v", "-v"]).expect(0);
    for database in [&one, &two] {
        assert_eq!(pg.query(database, "SELECT count(*) FROM t"), [[Some("0".to_owned())]]);
    }
    write(&mut fleet, &query.replace(" user,", " concat(user, '/') AS `schema`, url AS server, user,"));
    fleet.run(&["up", "-v", "-v"]).expect(2);
}
