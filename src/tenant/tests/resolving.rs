//! What a file becomes: servers and their budgets, access, limits, labels, datasources.

use std::sync::Arc;
use std::time::Duration;

use time::macros::date;

use super::super::password::Part;
use super::super::{Address, Datasource, Late, Limits, Password, TenantId, TlsMode, Verify};
use super::*;
use crate::error::{Code, Secret};
use crate::schema::Include;

const DESIGN: &str = r#"
defaults:
  labels: [prod]
servers:
  eu: { url: "postgres://migrator:${EU_PASSWORD}@db.eu.example:5432", max_connections: 16, labels: [eu] }
  local: { url: "sqlite://data?mode=rwc" }
tenants:
  - { name: acme,   server: eu, database: acme }
  - { name: globex, server: eu, database: shared, schema: globex, labels: [canary] }
  - { name: initech, url: "mysql://migrator@10.0.0.7/initech" }
  - { name: demo,   url: "sqlite://data/demo.db" }
  - { name: local,  server: local, database: acme.db }
  - { name: old,    server: eu, database: old, quarantined: true, reason: "ticket 812" }
  - { name: older,  server: eu, database: older, quarantined: "ticket 813" }
  - { name: back,   server: eu, database: back, quarantined: false }
"#;

#[test]
fn the_fleet_of_the_design_page_resolves_as_that_page_says() {
    let fleet = fleet_with(DESIGN, &[("EU_PASSWORD", "p@ss/w:rd%20")]).unwrap();
    let servers: Vec<_> = fleet.servers.iter().map(|s| (s.name.as_str(), s.max_connections.get())).collect();
    assert_eq!(servers, [("eu", 16), ("local", 4), ("10.0.0.7:3306", 10)]);
    assert_eq!(fleet.servers[0].address, Address::Tcp { host: "db.eu.example".to_owned(), port: 5432 });
    assert_eq!(fleet.servers[0].lock_database, "postgres");
    assert_eq!(fleet.servers[0].connect_timeout, Duration::from_secs(10));
    let tenants: Vec<_> = fleet
        .tenants
        .iter()
        .map(|t| {
            let labels: Vec<&str> = t.labels.iter().map(String::as_str).collect();
            let place = (t.datasource.database(), t.datasource.schema());
            (t.name.as_str(), fleet.server(t.server).name.as_str(), place, labels.join(","), t.quarantined.as_deref())
        })
        .collect();
    assert_eq!(
        tenants,
        [
            ("acme", "eu", ("acme", None), "eu,prod".to_owned(), None),
            ("globex", "eu", ("shared", Some("globex")), "canary,eu,prod".to_owned(), None),
            ("initech", "10.0.0.7:3306", ("initech", None), "prod".to_owned(), None),
            ("demo", "local", ("data/demo.db", None), "prod".to_owned(), None),
            ("local", "local", ("data/acme.db", None), "prod".to_owned(), None),
            ("old", "eu", ("old", None), "eu,prod".to_owned(), Some("ticket 812")),
            ("older", "eu", ("older", None), "eu,prod".to_owned(), Some("ticket 813")),
            ("back", "eu", ("back", None), "eu,prod".to_owned(), None),
        ]
    );
    let acme = fleet.tenant(TenantId(0));
    assert_eq!(acme.access.user.as_deref(), Some("migrator"));
    assert_eq!(acme.access.password, Password::Known(Secret::new("p@ss/w:rd%20")));
    assert!(Arc::ptr_eq(&acme.access, &fleet.tenant(TenantId(1)).access));
    assert_eq!(fleet.migrations, Path::new("migrations"));
    let creates = |id| matches!(fleet.tenant(TenantId(id)).datasource, Datasource::Sqlite { create: true, .. });
    assert!(!creates(3) && creates(4));
}

#[test]
fn one_address_is_one_server_with_the_smallest_budget_that_is_set_for_it() {
    let fleet = fleet(
        r#"
defaults: { max_connections: 3 }
servers:
  eu: { url: "postgres://a@DB.example", max_connections: 16 }
  eu2: { url: "postgresql://b@db.example:5432", max_connections: 12 }
  my: { url: "mysql://a@db.example:5432" }
tenants:
  - { name: a, server: eu, database: a }
  - { name: b, server: eu2, database: b }
  - { name: c, url: "postgres://a@db.EXAMPLE/c", max_connections: 8 }
  - { name: d, url: "postgres://a@db.example/d" }
  - { name: e, url: "postgres://a:pw@[::1]:6000/e" }
  - { name: f, url: "postgres://a:pw@[0:0::1]:6000/f" }
  - { name: g, url: "sqlite://x/../data/g.db" }
  - { name: h, url: "sqlite:data/h.db", max_connections: 2 }
  - { name: i, url: "sqlite:i.db" }
"#,
    );
    let servers: Vec<_> = fleet.servers.iter().map(|s| (s.name.as_str(), s.max_connections.get())).collect();
    assert_eq!(servers, [("eu", 8), ("my", 3), ("[::1]:6000", 3), ("x/../data", 2), (".", 3)]);
    let of: Vec<usize> = fleet.tenants.iter().map(|tenant| tenant.server.0).collect();
    assert_eq!(of, [0, 0, 0, 0, 2, 2, 3, 3, 4]);
    let names: Vec<&str> = fleet.tenants.iter().map(|tenant| fleet.server_name(tenant)).collect();
    let own = "db.example:5432";
    assert_eq!(names, ["eu", "eu2", own, own, "[::1]:6000", "[::1]:6000", "x/../data", "data", "."]);
    let shares = |one: usize, other: usize| Arc::ptr_eq(&fleet.tenants[one].access, &fleet.tenants[other].access);
    assert!(shares(0, 2) && shares(2, 3) && shares(4, 5) && !shares(0, 1) && !shares(0, 4));
}

#[test]
fn the_server_is_asked_as_its_own_url_says_and_else_as_the_tenant() {
    let fleet = fleet(
        r#"
servers:
  a: { url: "postgres://a@h" }
  b: { url: "postgres://b@h" }
  none: { url: "postgres://h" }
tenants:
  - { name: 1, server: a, database: t1, user: own }
  - { name: 2, server: b, database: t2, user: own }
  - { name: 3, server: none, database: t3, user: own }
  - { name: 4, url: "postgres://url@h/t4" }
  - { name: 5, server: b, database: t5 }
"#
        .replace("name: ", "name: t")
        .as_str(),
    );
    assert_eq!(fleet.servers.len(), 1);
    let users: Vec<_> = fleet.tenants.iter().map(|tenant| tenant.server_access().user.as_deref().unwrap()).collect();
    assert_eq!(users, ["a", "b", "own", "url", "b"]);
}

#[test]
fn limits_come_from_the_tenant_before_its_server_before_the_defaults() {
    let fleet = fleet(
        r#"
defaults: { lock_timeout: 1s, connect_timeout: 3s }
servers:
  eu: { url: "postgres://u@h", statement_timeout: 2m, lock_timeout: 2s, connect_timeout: 4s }
  us: { url: "postgres://u@h2" }
tenants:
  - { name: a, server: eu, database: a, lock_timeout: 0 }
  - { name: b, server: eu, database: b, statement_timeout: "0" }
  - { name: c, server: us, database: c }
  - { name: d, url: "postgres://u@h/d", lock_timeout: 250ms }
"#,
    );
    let limits: Vec<_> = fleet.tenants.iter().map(|tenant| tenant.limits).collect();
    let ms = |lock, statement| Limits {
        lock_timeout: Duration::from_millis(lock),
        statement_timeout: Duration::from_millis(statement),
        ..Limits::default()
    };
    assert_eq!(limits, [ms(0, 120_000), ms(2000, 0), ms(1000, 0), ms(250, 0)]);
    let connect: Vec<u64> = fleet.servers.iter().map(|server| server.connect_timeout.as_secs()).collect();
    assert_eq!(connect, [4, 3]);
}

#[test]
fn how_often_and_after_what_pause_comes_from_the_tenant_before_its_server_before_the_defaults() {
    let fleet = fleet(
        r#"
defaults: { retries: 5, silence_check: 1m }
servers:
  eu: { url: "postgres://u@h", retry_pause: 1s, silence_check: 10s }
  us: { url: "postgres://u@h2", retries: 1 }
tenants:
  - { name: a, server: eu, database: a }
  - { name: b, server: us, database: b, retries: 0, retry_pause: 50ms }
  - { name: c, url: "mysql://u@h/c", retries: "7", silence_check: 2s }
  - { name: d, url: "mysql://u@h3/d" }
"#,
    );
    let tries = |limits: Limits| (limits.retries, limits.retry_pause.as_millis());
    let tries: Vec<_> = fleet.tenants.iter().map(|tenant| tries(tenant.limits)).collect();
    assert_eq!(tries, [(5, 1000), (0, 50), (7, 200), (5, 200)]);
    let checks: Vec<u64> = fleet.servers.iter().map(|server| server.silence_check.as_secs()).collect();
    assert_eq!(checks, [10, 60, 2, 60]);
    assert_eq!((Limits::default().retries, Limits::default().retry_pause), (3, Duration::from_millis(200)));
}

#[test]
fn tls_is_one_model_whether_it_is_written_as_keys_or_as_the_urls_parameters() {
    let fleet = fleet(
        r#"
defaults: { tls: verify-full, ca_file: Cargo.toml }
servers:
  a: { url: "postgres://u@a", tls: require, client_cert: Cargo.toml, client_key: Cargo.lock }
  b: { url: "mysql://u@b" }
tenants:
  - { name: a, server: a, database: a }
  - { name: b, server: b, database: b }
  - { name: c, url: "postgres://h/c?sslmode=allow&sslcert=Cargo.toml&sslkey=Cargo.lock&user=u&password=a%2Bb+c" }
  - { name: d, url: "mysql://u@h/d?ssl_mode=Verify_Identity&ssl-ca=rustfmt.toml&connect_timeout=7" }
  - { name: e, url: "mariadb://u@h/e?sslmode=DISABLED" }
  - { name: f, url: "sqlite://f.db" }
"#,
    );
    let tls: Vec<_> = fleet
        .tenants
        .iter()
        .map(|tenant| {
            let tls = &tenant.access.tls;
            let ca = tls.ca_file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
            (tls.mode, ca, tls.client.as_ref().map(|client| client.key_file.display().to_string()))
        })
        .collect();
    let key = || Some("Cargo.lock".to_owned());
    assert_eq!(
        tls,
        [
            (TlsMode::Require, "Cargo.toml".to_owned(), key()),
            (TlsMode::VerifyFull, "Cargo.toml".to_owned(), None),
            (TlsMode::Prefer, "Cargo.toml".to_owned(), key()),
            (TlsMode::VerifyFull, "rustfmt.toml".to_owned(), None),
            (TlsMode::Disable, "Cargo.toml".to_owned(), None),
            (TlsMode::Prefer, String::new(), None),
        ]
    );
    assert_eq!(fleet.tenants[2].access.user.as_deref(), Some("u"));
    assert_eq!(fleet.tenants[2].access.password, Password::Known(Secret::new("a+b+c")));
    assert_eq!(fleet.server(fleet.tenants[3].server).connect_timeout, Duration::from_secs(7));
}

#[test]
fn anchors_and_merge_keys_work_nested_and_in_lists_and_a_tenants_own_keys_win() {
    let fleet = fleet(
        r#"
servers:
  eu: &eu { url: "postgres://u@h", max_connections: 5, labels: [eu] }
  us: { <<: *eu, url: "postgres://u@h2" }
tenants:
  - &base { name: a, server: eu, database: a, labels: [x] }
  - &more { <<: *base, name: b, database: b, lock_timeout: 1s }
  - { <<: [*more, { database: never, statement_timeout: 1s }], name: c, schema: c }
"#,
    );
    assert_eq!(fleet.servers[1].max_connections.get(), 5);
    let c = &fleet.tenants[2];
    assert_eq!((c.datasource.database(), c.datasource.schema()), ("b", Some("c")));
    assert_eq!(c.limits.lock_timeout + c.limits.statement_timeout, Duration::from_secs(2));
    assert!(c.labels.contains("x") && c.labels.contains("eu"));
}

#[test]
fn names_of_all_kinds_pass_through_unchanged() {
    let sixty_three = "x".repeat(63);
    for name in ["a-b", "Größe", "select", "x\"; DROP SCHEMA y; --", " ", "名", &sixty_three] {
        let text = serde_json::json!({
            "servers": { "eu": { "url": "postgres://u@h" } },
            "tenants": [{ "name": name, "server": "eu", "database": name, "schema": name }],
        });
        let fleet = fleet(&text.to_string());
        let tenant = &fleet.tenants[0];
        assert_eq!((tenant.name.as_str(), tenant.datasource.database()), (name, name));
        assert_eq!(tenant.datasource.schema(), Some(name));
    }
}

#[test]
fn relative_paths_begin_at_the_files_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tenants.yaml");
    std::fs::write(folder.path().join("ca.pem"), "").unwrap();
    std::fs::write(folder.path().join("pw"), "secret\n").unwrap();
    let text = "migrations: db\ndefaults: { ca_file: ca.pem, max_connections: \"${N:-7}\" }\ntenants:\n  \
                - { name: a, url: \"sqlite:a%20b.db\" }\n  - { name: b, url: \"postgres://u:${file:pw}@h/b\" }\n";
    std::fs::write(&config, text).unwrap();
    let env: HashMap<&str, &str> = HashMap::new();
    let fleet = super::super::load(&config, &env).unwrap();
    assert_eq!(fleet.migrations, folder.path().join("db"));
    let Datasource::Sqlite { shown, file, .. } = &fleet.tenants[0].datasource else { panic!("no file") };
    assert_eq!((shown.as_str(), file), ("a b.db", &folder.path().join("a b.db")));
    assert_eq!(fleet.tenants[1].access.tls.ca_file, Some(folder.path().join("ca.pem")));
    let later = Password::Late(Arc::new(Late::new(vec![Part::File(folder.path().join("pw"))])));
    assert_eq!(fleet.tenants[1].access.password, later);
    assert_eq!(fleet.servers[1].max_connections.get(), 7);
}

#[test]
fn a_server_is_where_its_url_says_however_it_is_written() {
    for (url, address) in [
        ("postgres://u@H/d", "h:5432"),
        ("postgres://u@[::1]:5433/d", "[::1]:5433"),
        ("postgres://u@[::1],10.0.0.1:7/d", "[::1]:5432,10.0.0.1:7"),
        ("postgres://u:${cmd:a,b@c/d e}@h1:1,h2/d", "h1:1,h2:5432"),
        ("postgres:///d?host=/run/pg", "/run/pg/.s.PGSQL.5432"),
        ("postgres://u@/d?host=/run/pg&port=5433", "/run/pg/.s.PGSQL.5433"),
        ("postgres://u@%2Frun%2Fpg:5433/d", "/run/pg/.s.PGSQL.5433"),
        ("postgres://%2Frun%2Fpg,h/d", "/run/pg/.s.PGSQL.5432,h:5432"),
        ("postgres:///d?host=h1,::1&port=1,2", "h1:1,[::1]:2"),
        ("postgres://h1,h2/d?port=9", "h1:9,h2:9"),
        ("mysql://u@[::1]/d", "[::1]:3306"),
        ("mysql://u@localhost/d?socket=/run/m.sock", "/run/m.sock"),
        ("mysql:///d?socket=%2Frun%2Fm.sock", "/run/m.sock"),
    ] {
        let fleet = fleet(&format!("tenants: [{{ name: a, url: \"{url}\" }}]"));
        assert_eq!(fleet.servers[0].address.to_string(), address, "{url}");
        assert_eq!(fleet.servers[0].name, address, "{url}");
        assert_eq!(fleet.tenants[0].datasource.database(), "d", "{url}");
    }
}

#[test]
fn two_lists_of_hosts_are_two_servers_and_so_are_two_wishes() {
    let urls = [
        "h1,h2/a",
        "h1:5432,h2/b",
        "h2,h1/c",
        "h1/d",
        "h1,h2/e?target_session_attrs=read-write",
        "h1/f?target_session_attrs=any",
        "h1/g?target_session_attrs=primary",
    ];
    let tenants: String = urls
        .iter()
        .enumerate()
        .map(|(at, url)| format!("  - {{ name: t{at}, url: \"postgres://u@{url}\" }}\n"))
        .collect();
    let fleet = fleet(&format!("tenants:\n{tenants}"));
    let servers: Vec<usize> = fleet.tenants.iter().map(|tenant| tenant.server.0).collect();
    assert_eq!(servers, [0, 0, 1, 2, 3, 2, 4]);
    let wanted: Vec<&str> = fleet.servers.iter().map(|server| server.address.wanted().as_str()).collect();
    assert_eq!(wanted, ["any", "any", "any", "read-write", "primary"]);
}

#[test]
fn a_tenant_on_a_server_may_have_a_user_and_a_password_of_its_own() {
    let text = "\
servers: { eu: { url: \"postgres://u:${cmd:secret eu}@h\" } }
tenants:
  - { name: a, server: eu, database: a }
  - { name: b, server: eu, database: b }
  - { name: c, server: eu, database: c, user: c }
  - { name: d, server: eu, database: d, user: d, password: \"${cmd:secret d}\" }
  - { name: e, server: eu, database: e, password: x }
  - { name: f, url: \"postgres://h/f\", user: f, password: \"${PW}-\" }
  - { name: g, url: \"postgres://u:${cmd:secret eu}@h2/g\" }
";
    let fleet = fleet_with(text, &[("PW", "p@")]).unwrap();
    let access = |at: usize| &fleet.tenants[at].access;
    assert!(Arc::ptr_eq(access(0), access(1)));
    assert!(Arc::ptr_eq(access(0), access(6)), "one reference is fetched once");
    assert_eq!((access(2).user.as_deref(), &access(2).password), (Some("c"), &Password::None));
    assert!(matches!((access(3).user.as_deref(), &access(3).password), (Some("d"), Password::Late(_))));
    assert_ne!(access(3).password, access(0).password);
    let known = |text: &str| Password::Known(Secret::new(text));
    assert_eq!((access(4).user.as_deref(), &access(4).password), (Some("u"), &known("x")));
    assert_eq!((access(5).user.as_deref(), &access(5).password), (Some("f"), &known("p@-")));
}

#[test]
fn a_file_of_passwords_serves_who_has_none() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write(".pgpass", "*:*:*:*:x\n", 0o600);
    write(".my.cnf", "[client]\nuser=m\npassword=x\n", 0o600);
    write("other.cnf", "[mtmigrate]\nuser=o\npassword=y\n", 0o600);
    write("open", "*:*:*:*:x\n", 0o644);
    let home = folder.path().display().to_string();
    let seen = |url: &str, passfile: &str| {
        let text = format!("tenants: [{{ name: a, url: \"{url}\" }}]");
        let fleet = fleet_with(&text, &[("HOME", &home), ("PGPASSFILE", passfile)]).unwrap();
        let access = fleet.tenants[0].access.clone();
        (access.user.clone().unwrap_or_default(), matches!(access.password, Password::File(_)))
    };
    let other = format!("mysql://h/d?defaults-file={home}/other.cnf");
    for (url, passfile, user, from_file) in [
        ("postgres://u@h/d", "", "u", true),
        ("postgres://h/d", "", "", false),
        ("postgres://u:p@h/d", "", "u", false),
        ("postgres://u@h/d", &format!("{home}/none"), "u", false),
        ("postgres://u@h/d", &format!("{home}/open"), "u", false),
        ("mysql://h/d", "", "m", true),
        ("mysql://u@h/d", "", "u", true),
        ("mysql://u:p@h/d", "", "u", false),
        (&other, "", "o", true),
    ] {
        assert_eq!(seen(url, passfile), (user.to_owned(), from_file), "{url} {passfile}");
    }
}

#[test]
#[ignore = "a measurement: run with --release --ignored --nocapture"]
fn a_hundred_thousand_tenants_load_in_well_under_two_seconds() {
    let mut text =
        "servers:\n  eu: { url: \"postgres://u:${PW}@h\" }\n  dir: { url: \"sqlite://data\" }\ntenants:\n".to_owned();
    for index in 0..100_000 {
        text.push_str(&match index % 3 {
            0 => format!("  - {{ name: t{index}, server: eu, database: shared, schema: t{index}, labels: [eu] }}\n"),
            1 => format!("  - {{ name: t{index}, url: \"mysql://u:${{PW}}@h{}/t{index}\" }}\n", index % 50),
            _ => format!("  - {{ name: t{index}, server: dir, database: t{index}.db }}\n"),
        });
    }
    let started = std::time::Instant::now();
    let fleet = fleet_with(&text, &[("PW", "pw")]).unwrap();
    eprintln!("{} tenants, {} bytes: {:?}", fleet.tenants.len(), text.len(), started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(2));
    for (what, broken) in
        [("early", text.replace("name: t1", "name: t2")), ("late", text.replace("name: t9999", "nam: t9999"))]
    {
        let started = std::time::Instant::now();
        let mistakes = fleet_with(&broken, &[("PW", "pw")]).err().unwrap();
        eprintln!("{} {what} mistakes placed: {:?}", mistakes.matches("error[").count() - 1, started.elapsed());
    }
}

#[test]
fn the_folder_of_changesets_is_known_without_the_servers_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tenants.yaml");
    for (text, expected) in [
        ("tenants:\n- { name: a, url: \"postgres://u:${PW}@h/a\" }\n", Ok("migrations")),
        ("migrations: db/changes\ntenants: []\n", Ok("db/changes")),
        ("migrations: ${UNSET}\n", Err(Code::UNSET_VARIABLE)),
        ("migrations: [a]\n", Err(Code::BAD_VALUE)),
    ] {
        std::fs::write(&config, text).unwrap();
        let found = crate::tenant::migrations_folder(&config, &HashMap::<&str, &str>::new());
        let found = found.map(|path| path.strip_prefix(folder.path()).unwrap().to_owned());
        let expected = expected.map(std::path::PathBuf::from);
        assert_eq!(found.map_err(|mistakes| mistakes[0].code()), expected, "{text}");
    }
}

#[test]
fn what_counts_as_drift_and_when_it_is_looked_for_is_the_files_to_say() {
    let tenants = "tenants: [{ name: a, url: \"sqlite://a.db\", labels: [eu] }]\n";
    let silent = fleet(tenants);
    assert_eq!((silent.verify, silent.drift.include, silent.drift.ignore.len()), (Verify::Step, Include::default(), 0));
    let empty = fleet(&format!("verify:\ndrift: {{ include: [], ignore: }}\n{tenants}"));
    assert_eq!((empty.verify, empty.drift.include, empty.drift.ignore.len()), (Verify::Step, Include::default(), 0));
    // YAML 1.1 read `off` as a truth value; here it is a word.
    for (word, verify) in [("step", Verify::Step), ("run", Verify::Run), ("off", Verify::Off)] {
        assert_eq!(fleet(&format!("verify: {word}\n{tenants}")).verify, verify);
    }
    let drift = "
drift:
  include: [grants]
  ignore:
    - { objects: [\"table tmp_*\", \"*.legacy_*\"], labels: [eu], reason: \"ticket 9\", until: 2026-12-31 }
    - { objects: [x], reason: for ever }
";
    let drift = fleet(&format!("{tenants}{drift}")).drift;
    assert_eq!(drift.include, Include { comments: false, grants: true });
    let told: Vec<_> = drift
        .ignore
        .iter()
        .map(|rule| {
            let objects: Vec<&str> = rule.objects.iter().map(|pattern| pattern.as_str()).collect();
            (objects.join(" | "), rule.labels.join(" "), rule.reason.as_str(), rule.until)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("table tmp_* | *.legacy_*".to_owned(), "eu".to_owned(), "ticket 9", Some(date!(2026 - 12 - 31))),
            ("x".to_owned(), String::new(), "for ever", None),
        ]
    );
}
