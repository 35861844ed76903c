//! Every datasource is tried, and each trouble is that tenant's own.

use serde_json::Value;

use crate::support::sandbox::free_port;
use crate::support::tls::{Mode, files};
use crate::support::{CANARY, Fleet, MariaDb, Options, Postgres, unique};

use super::json;

fn entry<'d>(document: &'d Value, name: &str) -> &'d Value {
    let tenants = document["tenants"].as_array().expect("tenants");
    tenants.iter().find(|tenant| tenant["name"] == name).unwrap_or_else(|| panic!("no {name} in {document}"))
}

/// One tenant in each trouble, on two servers that offer TLS, and some without trouble.
fn fleet(pg: &Postgres, my: &MariaDb) -> Fleet {
    let [shared, own] = [pg.create_database(), pg.create_database()];
    let [for_reader, for_maker, other] = [my.create_database(), my.create_database(), my.create_database()];
    pg.execute(
        &shared,
        &format!(
            "CREATE ROLE reader LOGIN PASSWORD '{CANARY}'; CREATE ROLE bound LOGIN PASSWORD '{CANARY}'; \
             ALTER ROLE bound SET default_transaction_read_only = on; CREATE SCHEMA bound AUTHORIZATION bound; \
             CREATE SCHEMA narrow; GRANT USAGE ON SCHEMA narrow TO reader; CREATE SCHEMA \"x\"\"; DROP SCHEMA y; --\""
        ),
    );
    my.execute(
        "",
        &format!(
            "CREATE USER reader IDENTIFIED BY '{CANARY}'; GRANT SELECT ON `{for_reader}`.* TO reader; \
             CREATE USER maker IDENTIFIED BY '{CANARY}'; CREATE ROLE makers; \
             GRANT SELECT, CREATE, INSERT, UPDATE ON `{}`.* TO makers; GRANT makers TO maker; SET DEFAULT ROLE makers FOR maker",
            for_maker.replace('_', "\\_"),
        ),
    );
    let pg_as = |user: &str| json(&pg.url_as(user, CANARY, "127.0.0.1", &shared));
    let my_as = |user: &str, database: &str| json(&my.url_as(user, CANARY, "127.0.0.1", database));
    let ca = json(&files().ca.display().to_string());
    let nobody = json(&pg.url("d").replace(&pg.port().to_string(), &free_port().to_string()));
    let wrong = json(&pg.url_as("migrator", "not-the-password", "127.0.0.1", &shared));
    let tenants = [
        ("pg-tls", format!("url: {}, tls: verify-full, ca_file: {ca}", json(&pg.url(&shared)))),
        ("pg-plain", format!("url: {}, tls: disable", json(&pg.url(&own)))),
        (HOSTILE, format!("url: {}, schema: {}", json(&pg.url(&shared)), json(HOSTILE))),
        ("pg-narrow", format!("url: {}, schema: narrow", pg_as("reader"))),
        ("pg-bound", format!("url: {}, schema: bound", pg_as("bound"))),
        ("my-tls", format!("url: {}, tls: require", json(&my.url(&other)))),
        ("my-plain", format!("url: {}, tls: disable", my_as("maker", &for_maker))),
        ("my-narrow", format!("url: {}", my_as("reader", &for_reader))),
        ("wrong", format!("url: {wrong}, schema: wrong")),
        ("nobody", format!("url: {nobody}")),
        ("missing", format!("url: {}", json(&pg.url(&unique("missing"))))),
        ("lite", "url: \"sqlite://data/lite.db?mode=rwc\"".to_owned()),
        ("gone", "url: \"sqlite://data/gone.db\"".to_owned()),
        ("out", "url: \"sqlite://data/out.db\", quarantined: frozen".to_owned()),
    ];
    let listed = tenants.map(|(name, keys)| format!("  - {{ name: {}, {keys} }}\n", json(name)));
    let mut fleet = Fleet::new();
    fleet.tenants_yaml(&format!("tenants:\n{}", listed.concat()));
    fleet
}

const HOSTILE: &str = "x\"; DROP SCHEMA y; --";

#[test]
fn check_tells_of_every_datasource_what_is_true_and_of_each_trouble_what_to_do() {
    let options = Options { tls: Mode::Optional, ..Options::default() };
    let (pg, my) = (Postgres::start(options), MariaDb::start(options));
    let fleet = fleet(&pg, &my);
    std::fs::remove_dir_all(fleet.migrations()).unwrap();
    let output = fleet.run(&["tenants", "check", "--format", "json"]).expect(5);
    let document = output.json();
    for (name, state, encrypted, create, code) in [
        ("pg-tls", "fine", Some(true), Some(true), None),
        ("pg-plain", "fine", Some(false), Some(true), None),
        (HOSTILE, "fine", Some(true), Some(true), None),
        ("pg-narrow", "lacking", Some(true), Some(false), Some("MT315")),
        ("pg-bound", "read-only", Some(true), Some(true), Some("MT316")),
        ("my-tls", "fine", Some(true), Some(true), None),
        ("my-plain", "fine", Some(false), Some(true), None),
        ("my-narrow", "lacking", Some(true), Some(false), Some("MT315")),
        ("wrong", "failed", None, None, Some("MT311")),
        ("nobody", "failed", None, None, Some("MT310")),
        ("missing", "failed", None, None, Some("MT312")),
        ("lite", "fine", None, Some(true), None),
        ("gone", "failed", None, None, Some("MT312")),
        ("out", "quarantined", None, None, None),
    ] {
        let found = entry(&document, name);
        assert_eq!(found["state"], state, "{found}");
        assert_eq!(found["tls"]["encrypted"].as_bool(), encrypted, "{found}");
        assert_eq!(found["may_create"].as_bool(), create, "{found}");
        assert_eq!(found["error"]["code"].as_str(), code, "{found}");
        assert_eq!(found["server_version"].is_string(), found["round_trip_us"].is_u64(), "{found}");
    }
    let secure = &entry(&document, "pg-tls")["tls"];
    assert_eq!((&secure["mode"], &secure["protocol"]), (&"verify-full".into(), &"TLSv1.3".into()), "{secure}");
    assert_eq!(entry(&document, "my-tls")["tls"]["protocol"], "TLSv1.3");
    output.says(&["GRANT CREATE ON SCHEMA \"narrow\" TO \"reader\"", "1 tenant: nobody", "takes no writes"]);
    assert!(!fleet.folder().join("data/lite.db").exists(), "a check makes no file");
    let table = fleet.run(&["tenants", "check"]).expect(5);
    assert!(table.stdout.contains("14 tenants: 4 failed, 1 read-only, 2 lacking, 1 quarantined, 6 fine"), "{table}");
    let fine = ["pg-tls", "pg-plain", "x*", "my-tls", "my-plain", "lite", "out"];
    let chosen: Vec<&str> = fine.iter().flat_map(|name| ["--tenant", name]).collect();
    let quiet = fleet.run(&[&["tenants", "check"][..], &chosen].concat()).expect(0);
    assert!(quiet.stderr.is_empty(), "{quiet}");
    assert_eq!(
        pg.query("postgres", "SELECT count(*) FROM pg_namespace WHERE nspname = 'y'")[0][0].as_deref(),
        Some("0")
    );
}

#[test]
fn whoever_lacks_what_up_needs_is_not_fine_and_hears_of_all_of_it() {
    let (pg, my) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let (shared, locks) = (pg.create_database(), pg.create_database());
    let [bare, seeing, full] = [my.create_database(), my.create_database(), my.create_database()];
    for (user, rights, database) in [
        ("bare", "CREATE", &bare),
        ("seeing", "CREATE, SELECT", &seeing),
        ("full", "CREATE, SELECT, INSERT, UPDATE", &full),
    ] {
        my.execute(
            "",
            &format!("CREATE USER {user} IDENTIFIED BY '{CANARY}'; GRANT {rights} ON `{database}`.* TO {user}"),
        );
    }
    my.execute("", "CREATE ROLE strangers");
    let mut fleet = Fleet::new();
    fleet.tenants_yaml(&format!("tenants:\n  - {{ name: old, url: {}, schema: old }}\n", json(&pg.url(&shared))));
    pg.execute(&shared, "CREATE SCHEMA old");
    fleet.changeset("V1__one.sql", "CREATE TABLE one (a int);");
    fleet.run(&["up"]).expect(0);
    pg.execute(
        &shared,
        &format!(
            "CREATE ROLE app LOGIN PASSWORD '{CANARY}'; CREATE ROLE granted; GRANT granted TO app; CREATE ROLE strangers; \
             GRANT ALL ON SCHEMA old TO app, strangers, granted; GRANT SELECT ON ALL TABLES IN SCHEMA old TO app; \
             CREATE SCHEMA new; GRANT ALL ON SCHEMA new TO app, granted; CREATE SCHEMA far; \
             GRANT ALL ON SCHEMA far TO app, strangers; CREATE SCHEMA odd; GRANT ALL ON SCHEMA odd TO app; \
             CREATE SCHEMA lost; GRANT ALL ON SCHEMA lost TO app; \
             REVOKE CONNECT ON DATABASE {locks} FROM PUBLIC"
        ),
    );
    let pg_url = |user: &str| json(&pg.url_as(user, CANARY, "127.0.0.1", &shared));
    let elsewhere = pg_url("app").replace("127.0.0.1", "localhost");
    let tenants = [
        ("my-bare", format!("url: {}", json(&my.url_as("bare", CANARY, "127.0.0.1", &bare)))),
        ("my-seeing", format!("url: {}", json(&my.url_as("seeing", CANARY, "127.0.0.1", &seeing)))),
        ("my-full", format!("url: {}", json(&my.url_as("full", CANARY, "127.0.0.1", &full)))),
        ("my-role", format!("url: {}, role: strangers", json(&my.url(&my.create_database())))),
        (
            "my-odd",
            format!("url: {}, server_settings: {{ sort_buffer_size: lots }}", json(&my.url(&my.create_database()))),
        ),
        ("pg-table", format!("url: {}, schema: old", pg_url("app"))),
        (
            "pg-fine",
            format!("url: {}, schema: new, role: granted, server_settings: {{ work_mem: 12MB }}", pg_url("app")),
        ),
        ("pg-role", format!("url: {}, schema: far, role: strangers", pg_url("app"))),
        ("pg-odd", format!("url: {}, schema: odd, server_settings: {{ work_mem: 12potatoes }}", pg_url("app"))),
        ("pg-ext", format!("url: {}, schema: lost, extensions_schema: nosuchext", pg_url("app"))),
        ("pg-lock", format!("url: {elsewhere}, schema: new2, lock_database: {locks}")),
    ];
    pg.execute(&shared, "CREATE SCHEMA new2; GRANT ALL ON SCHEMA new2 TO app");
    let listed = tenants.map(|(name, keys)| format!("  - {{ name: {name}, {keys} }}\n"));
    fleet.tenants_yaml(&format!("tenants:\n{}", listed.concat()));
    let output = fleet.run(&["tenants", "check", "--format", "json"]).expect(5);
    let document = output.json();
    for (name, state, code, said) in [
        ("my-bare", "lacking", "MT315", "GRANT SELECT, INSERT, UPDATE ON"),
        ("my-seeing", "lacking", "MT315", "GRANT INSERT, UPDATE ON"),
        ("my-full", "fine", "", ""),
        ("my-role", "failed", "MT324", "strangers"),
        ("my-odd", "failed", "MT324", "sort_buffer_size"),
        ("pg-table", "lacking", "MT315", "GRANT INSERT, UPDATE ON \\\"old\\\".\\\"mtmigrate_journal\\\" TO"),
        ("pg-fine", "fine", "", ""),
        ("pg-role", "failed", "MT324", "permission denied to set role"),
        ("pg-odd", "failed", "MT324", "work_mem"),
        ("pg-ext", "failed", "MT324", "nosuchext"),
        ("pg-lock", "lacking", "MT315", "GRANT CONNECT ON DATABASE"),
    ] {
        let found = entry(&document, name);
        assert_eq!(found["state"], state, "{found}");
        assert_eq!(found["error"]["code"].as_str().unwrap_or_default(), code, "{found}");
        assert!(found["error"].to_string().contains(said), "{said}: {found}");
    }
}

#[test]
fn a_password_that_cannot_be_fetched_is_a_datasource_that_cannot_be_used() {
    let mut fleet = Fleet::new();
    fleet.tenants_yaml("tenants:\n  - { name: a, url: \"postgres://u:${cmd:exit 3}@127.0.0.1/d\" }\n");
    let checked = fleet.run(&["tenants", "check"]).expect(5);
    assert!(checked.stderr.contains("MT117"), "{checked}");
    fleet.run(&["tenants", "url", "a", "--reveal"]).expect(2);
}

#[test]
fn a_server_is_asked_within_its_budget_and_once_for_all_schemas_of_a_database() {
    let pg = Postgres::start(Options {
        conf: &[("max_connections", "12"), ("log_connections", "on")],
        ..Options::default()
    });
    let mut fleet = Fleet::new();
    let shared = pg.create_database();
    let tenants: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let schemas: String = tenants.iter().map(|name| format!("CREATE SCHEMA {name};")).collect();
    pg.execute(&shared, &schemas);
    let listed: String = tenants
        .iter()
        .map(|name| format!("  - {{ name: {name}, server: pg, database: {shared}, schema: {name} }}\n"))
        .collect();
    fleet.tenants_yaml(&format!(
        "servers:\n  pg: {{ url: {}, max_connections: 3 }}\ntenants:\n{listed}",
        json(&pg.server_url())
    ));
    let before = sessions_so_far(&pg);
    let checked = fleet.run(&["tenants", "check", "--format", "json"]).expect(0).json();
    assert_eq!(checked["summary"]["fine"], 40);
    let opened = sessions_so_far(&pg) - before;
    assert!(opened <= 3, "{opened} sessions for one database");
}

/// How many sessions there ever were in any database, but for this one.
fn sessions_so_far(pg: &Postgres) -> i64 {
    let rows = pg.query(
        "postgres",
        "SELECT pg_stat_force_next_flush(); SELECT sum(sessions) FROM pg_stat_database WHERE datname <> 'postgres'",
    );
    rows.last().and_then(|row| row[0].as_deref()?.parse().ok()).expect("a count")
}
