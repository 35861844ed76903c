//! What does not answer, or answers nonsense, stops everything before anything is touched.

use std::time::Instant;

use crate::support::{Fleet, Proxy, mariadb, postgres, sqlite};

use super::program;

/// A fleet with one tenant of its own list beside a source.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int)");
    sqlite::execute(
        &fleet.folder().join("registry.db"),
        "CREATE TABLE r (name text, url text); INSERT INTO r VALUES ('a', 'sqlite://a.db?mode=rwc'), ('b', 'sqlite://b.db?mode=rwc')",
    );
    fleet
}

fn with_source(fleet: &mut Fleet, source: &str) {
    let listed = "tenants: [{ name: listed, url: \"sqlite://listed.db?mode=rwc\" }]";
    fleet.tenants_yaml(&format!("sources:\n  - {source}\n{listed}\n"));
}

#[test]
fn a_source_that_does_not_answer_stops_everything_and_says_so() {
    let (pg, my) = (postgres(0), mariadb(0));
    let (database, my_database) = (pg.create_database(), my.create_database());
    let mut fleet = fleet();
    program(&mut fleet, "fails", "#!/bin/sh\necho some words >&2; echo 'no such region' >&2; exit 3\n");
    program(&mut fleet, "hangs", "#!/bin/sh\nexec sleep 60\n");
    program(&mut fleet, "babbles", "#!/bin/sh\necho '[{\"name\": 1'\n");
    program(&mut fleet, "nothing", "#!/bin/sh\necho '[]'\n");
    let down = format!("postgres://u:pw@127.0.0.1:1/{database}");
    let registry = |url: &str, query: &str| format!("registry: {{ url: \"{url}\", query: \"{query}\" }}");
    let own = |query: &str| registry("sqlite://registry.db", query);
    let cases = [
        (
            registry(&down, "SELECT 1 AS name"),
            5,
            "MT321",
            "the registry in line 2 cannot be asked (server 127.0.0.1:1)",
        ),
        (registry(&pg.url_as("harness", "wrong", "127.0.0.1", &database), "SELECT 1"), 5, "MT321", "cannot be asked"),
        (registry(&my.url_as("nobody", "wrong", "127.0.0.1", &my_database), "SELECT 1"), 5, "MT321", "cannot be asked"),
        (registry(&pg.url("none"), "SELECT 1"), 5, "MT321", "cannot be asked"),
        (registry("sqlite://none.db", "SELECT 1"), 5, "MT321", "the file none.db is not there"),
        (registry(&pg.url(&database), "SELECT * FROM nothing"), 2, "MT140", "relation \"nothing\" does not exist"),
        (registry(&my.url(&my_database), "SELECT * FROM nothing"), 2, "MT140", "doesn't exist"),
        // Lost in the middle: the question may be right.
        (
            registry(&pg.url(&database), "SELECT pg_terminate_backend(pg_backend_pid())"),
            5,
            "MT321",
            "gave no answer to a question",
        ),
        (own("DELETE FROM r"), 2, "MT140", "it begins with `DELETE`"),
        (own("SELECT name, url, 1 AS size FROM r"), 2, "MT142", "unknown column `size`"),
        (
            own("SELECT name FROM r"),
            2,
            "MT104",
            "row 2 of the registry in line 2: tenant `b` has no `server` and no `url`",
        ),
        (
            own("SELECT name, url FROM r UNION ALL SELECT 'listed', 'sqlite://x.db'"),
            2,
            "MT105",
            "tenant `listed` is there already (line 3)",
        ),
        (
            own("SELECT name, 'sqlite://listed.db' AS url FROM r LIMIT 1"),
            2,
            "MT106",
            "tenant `a` lives where tenant `listed` (line 3) lives",
        ),
        (own("SELECT name, url FROM r WHERE false"), 5, "MT322", "the registry in line 2 gives no tenants"),
        (
            format!("{}\n    min_tenants: 3", own("SELECT name, url FROM r")),
            5,
            "MT322",
            "gives 2 tenants, and `min_tenants` is 3",
        ),
        ("command: { run: [\"./fails\"] }".into(), 5, "MT321", "exit status: 3: some words"),
        ("command: { run: [\"./hangs\"], timeout: 300ms }".into(), 5, "MT321", "it ran longer than 300ms"),
        ("command: { run: [\"./none\"] }".into(), 2, "MT140", "./none cannot be started"),
        ("command: { run: [\"./babbles\"] }".into(), 2, "MT143", "what it printed is not JSON"),
        ("command: { run: [\"./nothing\"] }".into(), 5, "MT322", "the command in line 2 gives no tenants"),
        ("discover: { files: \"none/*.db\" }".into(), 5, "MT322", "the discovery in line 2 gives no tenants"),
    ];
    for (source, status, code, words) in cases {
        with_source(&mut fleet, &source);
        let begun = Instant::now();
        let out = fleet.run(&["up"]).expect(status);
        assert!(out.stderr.contains(&format!("error[{code}]: ")) && out.stderr.contains(words), "{source}\n{out}");
        assert!(out.stderr.contains("tenants.yaml:2:") && out.stdout.is_empty(), "{source}\n{out}");
        assert!(begun.elapsed().as_secs() < 50, "{source} took long");
        for file in ["listed.db", "a.db"] {
            assert!(!fleet.folder().join(file).exists(), "{source} touched {file}");
        }
    }
}

#[test]
fn all_sources_that_do_not_answer_are_told_in_one_go_and_mistakes_before_any_is_asked() {
    let mut fleet = fleet();
    let proxy = Proxy::to(postgres(0).port());
    let registry =
        format!("registry: {{ url: \"{}\", query: \"SELECT broken\" }}", proxy.url(&postgres(0).url("postgres")));
    let both = format!("{registry}\n  - command: {{ run: [\"./none\"] }}");
    with_source(&mut fleet, &both);
    let out = fleet.run(&["status"]).expect(2);
    assert_eq!(out.stderr.matches("error[MT140]").count(), 2, "{out}");
    let asked = proxy.connections();
    assert!(asked > 0);
    with_source(&mut fleet, &format!("{registry}\n  - template: {{ url: x, names: [a] }}"));
    fleet.run(&["status"]).expect(2);
    with_source(&mut fleet, &registry);
    fleet.changeset("V2_misnamed.sql", "SELECT 1");
    fleet.run(&["status"]).expect(2);
    assert_eq!(proxy.connections(), asked, "a file with mistakes asks nobody");
}

#[test]
fn validate_asks_nobody_and_says_whom_it_did_not_ask() {
    let mut fleet = fleet();
    let proxy = Proxy::to(postgres(0).port());
    program(&mut fleet, "marks", "#!/bin/sh\ntouch ran; echo '[\"x\"]'\n");
    let url = proxy.url(&postgres(0).url("postgres"));
    with_source(
        &mut fleet,
        &format!(
            "registry: {{ url: \"{url}\", query: \"SELECT 1\" }}\n  - command: {{ run: [\"./marks\"] }}
  - template: {{ url: \"sqlite://{{tenant}}.db\", names: [t] }}"
        ),
    );
    let out = fleet.run(&["validate"]).expect(0);
    assert!(out.stdout.starts_with("ok: 2 tenants, and those of 2 sources not asked, on 1 server"), "{out}");
    assert!(
        out.stderr.contains("not asked") && out.stderr.contains("the registry in line 2, the command in line 3"),
        "{out}"
    );
    fleet.tenants_yaml(&format!("sources: [{{ registry: {{ url: \"{url}\", query: \"SELECT 1\" }} }}]\n"));
    let out = fleet.run(&["validate"]).expect(0);
    assert!(
        out.stdout.starts_with("ok: 0 tenants, and those of 1 source not asked, on 0 servers, 1 changeset"),
        "{out}"
    );
    assert_eq!(proxy.connections(), 0);
    assert!(!fleet.folder().join("ran").exists());
}

#[test]
fn a_fleet_of_which_nobody_is_active_is_no_success() {
    let mut fleet = fleet();
    let query = "SELECT name, url, 'quarantined' AS state FROM r";
    fleet.tenants_yaml(&format!("sources:\n  - registry: {{ url: \"sqlite://registry.db\", query: \"{query}\" }}\n"));
    for verb in ["up", "plan"] {
        let out = fleet.run(&[verb]).expect(5);
        assert!(out.stderr.contains("error[MT322]: the registry in line 2 gives 2 tenants, 0 of them active"), "{out}");
    }
    fleet.run(&["tenants", "list"]).expect(0);
    fleet.run(&["status"]).expect(0);
}

#[test]
fn registries_of_one_server_hold_no_more_connections_than_its_budget() {
    let pg = postgres(0);
    let database = pg.create_database();
    let mut fleet = fleet();
    let registry = |no: usize| {
        format!(
            "  - registry: {{ server: eu, database: {database}, query: \"SELECT 'n{no}' AS name, 'sqlite://n{no}.db' AS url, \
             'seen' || count(*) AS label FROM pg_stat_activity, pg_sleep(0.2) WHERE datname = current_database() \
             AND backend_type = 'client backend'\" }}\n"
        )
    };
    let url = pg.server_url();
    let registries: String = (0..6).map(registry).collect();
    fleet.tenants_yaml(&format!("servers: {{ eu: {{ url: \"{url}\", max_connections: 2 }} }}\nsources:\n{registries}"));
    let out = fleet.run(&["tenants", "list", "--format", "json"]).expect(0);
    assert_eq!(out.stdout.matches("\"seen1\"").count(), 6, "{out}");
}

#[test]
fn a_command_ends_with_all_that_it_started() {
    let mut fleet = fleet();
    program(&mut fleet, "leaves", "#!/bin/sh\n(sleep 7; touch late) &\necho '[]'\n");
    program(&mut fleet, "hangs", "#!/bin/sh\n(sleep 7; touch late) &\nsleep 60\n");
    for (name, words) in [
        ("leaves", "it left something running that held its output open for longer than 2s"),
        ("hangs", "it ran longer than 2s"),
    ] {
        with_source(&mut fleet, &format!("command: {{ run: [\"./{name}\"], timeout: 2s }}"));
        let out = fleet.run(&["up"]).expect(5);
        assert!(out.stderr.contains(words), "{out}");
    }
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert!(!fleet.folder().join("late").exists());
}

#[test]
fn what_a_variable_gave_a_query_is_in_no_message() {
    let pg = postgres(0);
    let mut fleet = fleet();
    for query in ["SELECT * FROM ${file:word}", "SELECT 1 AS name, 2 AS ${file:word}"] {
        fleet.file("word", "Hunter2word");
        let url = pg.url("postgres");
        with_source(&mut fleet, &format!("registry: {{ url: \"{url}\", query: \"{query}\" }}"));
        let out = fleet.run(&["status"]).expect(2);
        assert!(out.stderr.contains("***") && !out.stderr.to_lowercase().contains("hunter2"), "{out}");
    }
}

#[test]
fn validate_does_not_complain_of_what_only_unasked_tenants_make_right() {
    let mut fleet = fleet();
    fleet.tenants_yaml(
        "sources:\n  - command: { run: [\"./list\"] }\n\
         rollout: { waves: [{ name: canary, labels: [canary] }] }\n\
         tenants: [{ name: listed, url: \"sqlite://listed.db\" }]\n",
    );
    fleet.changeset("V2__eu.sql", "-- mtmigrate: only label=eu\nSELECT 1");
    let out = fleet.run(&["validate"]).expect(0);
    assert!(!out.stderr.contains("MT153") && !out.stderr.contains("MT123"), "{out}");
    fleet.changeset("V3__broken.sql", "SELECT 'broken");
    fleet.tenants_yaml("sources:\n  - command: { run: [\"./list\"] }\n");
    fleet.run(&["validate"]).expect(2);
}
