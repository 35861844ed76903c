//! Mistakes in `tenants.yaml`, and on the command line, around the password.

use crate::support::{CANARY, Fleet, percent_encoded};

/// Runs the verbs that read `tenants.yaml`; each refuses it, and the harness looks for the password.
#[track_caller]
fn assert_refused(fleet: &Fleet, yaml: &str) {
    for args in [
        &["validate"][..],
        &["status", "-v", "-v"],
        &["up", "--format", "json", "-v", "-v", "--log-format", "json"],
        &["plan", "--log-format", "json"],
    ] {
        let output = fleet.run(args);
        assert_eq!(output.status, 2, "{yaml}\n{output}");
        assert!(output.stderr.contains("MT1"), "{yaml}\n{output}");
    }
}

/// Covers row 51 of docs/failures.md.
#[test]
fn a_malformed_url_with_the_password_in_any_part_is_refused_without_showing_it() {
    let mut fleet = Fleet::new();
    fleet.changeset("V1__a.sql", "CREATE TABLE a (id int)");
    let encoded = percent_encoded(CANARY);
    for url in [
        "postgres//u:§@h/d",
        "postgres:u:§@h/d",
        "postgres:/u:§@h/d",
        "postgress://u:§@h/d",
        "u:§@h/d",
        "https://u:§@h/d",
        "postgres://u:§@/d",
        "postgres://u:§@:5432/d",
        "postgres://u:§@h:port/d",
        "postgres://u:§@h:99999/d",
        "postgres://u:§@h h/d",
        "postgres://u:§@[::1/d",
        "postgres://u:§h/d",
        "postgres://u:§@h:5432",
        "postgres://u:§%ff@h/d",
        "postgres://u:§@h/d?x=1",
        "postgres://u:§@h/d?sslmode=none",
        "postgres://u:§@h/d?connect_timeout=soon",
        "postgres://u:§@h/d?sslrootcert=/no/such/file",
        "postgres://u@h/d?password=§&password=other",
        "postgres://u:other@h/d?password=§",
        "postgres://u@h/d?passwort=§",
        "postgres://u:§@h/d/e",
        "postgres://u:§@h/d#e",
        "mysql://u:§@h/d?sslrootcert=x",
        "mysql://u:§@h",
        "sqlite://u:§@h/d?mode=x",
        "host=h user=u password=§",
        "host=h user=u password='§'",
    ] {
        for password in [CANARY, &encoded] {
            let url = serde_json::to_string(&url.replace('§', password)).unwrap();
            for yaml in [
                format!("tenants: [{{ name: a, url: {url} }}]\n"),
                format!("tenants:\n  - name: a\n    url: {url}\n"),
                format!("servers: {{ eu: {{ url: {url} }} }}\ntenants: [{{ name: a, server: eu, database: d }}]\n"),
            ] {
                fleet.tenants_yaml(&yaml);
                let output = fleet.run(&["validate", "-v", "-v"]);
                assert!([0, 2].contains(&output.status), "{yaml}\n{output}");
            }
            fleet.tenants_yaml(&format!("tenants: [{{ name: a, url: {url} }}]\n"));
            assert_refused(&fleet, &url);
        }
    }
}

#[test]
fn a_mistake_in_yaml_on_the_line_of_the_url_is_shown_without_the_password() {
    let mut fleet = Fleet::new();
    fleet.changeset("V1__a.sql", "CREATE TABLE a (id int)");
    let encoded = percent_encoded(CANARY);
    for yaml in [
        "tenants: [{ name: a, url: \"postgres://u:§@h/d\" ",
        "tenants: [{ name: a, url: \"postgres://u:§@h/d }]",
        "tenants: [{ name: a, url: 'postgres://u:§@h/d }]",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\", color: red }",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\", tls: maybe }",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\", max_connections: 1 }",
        "tenants:\n  - { name: a, urll: \"postgres://u:§@h/d\" }",
        "tenants:\n  - { nome: a, url: \"postgres://u:§@h/d\" }",
        "tenants:\n  - { name: a, url: [\"postgres://u:§@h/d\"] }",
        "tenants:\n  - { name: a, url: { postgres: \"u:§@h/d\" } }",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\", url: \"postgres://u:§@h/d\" }",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\" }\n  - { name: a, url: \"postgres://u:§@h/d\" }",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\" }\n  - { name: b, url: \"postgres://u:§@h/d\" }",
        "tenants:\n  - { name: a, url: \"postgres://u:§@h/d\", server: eu }",
        "tenants:\n  - name: a\n   url: postgres://u:§@h/d\n",
        "tenants:\n  - name: a\n    url: postgres://u:§@h/d\n\tlabels: [x]\n",
        "tenants:\n  - name: a\n    url: >\n      postgres://u:§@h/d\n    colour: red\n",
        "tenants:\n  - name: a\n    url: \"postgres://u:\\\n      §@h/d\"\n    colour: red\n",
        "tenants:\n  - &x { name: a, url: \"postgres://u:§@h/d\" }\n  - *y\n",
        "tenants: \"postgres://u:§@h/d\"\n",
        "\"postgres://u:§@h/d\"\n",
        "postgres://u:§@h/d: x\n",
        "tenants:\n  - \"postgres://u:§@h/d\"\n",
        "server: { eu: { url: \"postgres://u:§@h\" } }\ntenants: []\n",
        "servers: { eu: { url: \"postgres://u:§@h\", password: \"§\" } }\ntenants: [{ name: a, server: eu, database: d }]\n",
        "servers: { \"postgres://u:§@h\": { } }\ntenants: []\n",
        "tenants: [{ name: \"postgres://u:§@h\", server: nowhere }]\n",
        "tenants: [{ name: a, server: \"postgres://u:§@h\", database: d }]\n",
    ] {
        for password in [CANARY, &encoded] {
            let yaml = yaml.replace('§', password);
            fleet.tenants_yaml(&yaml);
            assert_refused(&fleet, &yaml);
        }
    }
}

#[test]
fn a_url_typed_where_the_command_line_does_not_want_one_is_not_repeated() {
    let mut fleet = Fleet::new();
    fleet.sqlite("a").changeset("V1__a.sql", "CREATE TABLE a (id int)");
    let [url, encoded] = [CANARY, &percent_encoded(CANARY)].map(|password| format!("postgres://u:{password}@h/d"));
    for url in [&*url, &*encoded] {
        for args in [
            &["up", url][..],
            &["up", "--to", url],
            &["up", "--tenant", url],
            &["up", "--url", url],
            &["status", "--label", url],
            &["status", "--format", url],
            &["-c", url, "status"],
            &["--migrations", url, "up"],
            &["new", url],
            &["init", "-c", url, "--lock-wait", url],
            &[url],
        ] {
            let output = fleet.run(args);
            assert_eq!(output.status, 2, "{args:?}\n{output}");
        }
    }
}
