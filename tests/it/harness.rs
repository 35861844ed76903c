//! The harness tested by itself: a harness that lies makes every other test worthless.

mod guard;
mod proxy;
mod tls;

use std::fs;
use std::path::Path;

use mysql_async::Conn;
use rustix::process::Signal;

use crate::support::daemon::is_alive;
use crate::support::sandbox::{expect_panic, sandbox};
use crate::support::{CANARY, MariaDb, Options, Postgres, Running, USER, percent_encoded};
use crate::support::{Fleet, assert_no_secret, mariadb, postgres, sqlite};

fn one(text: &str) -> Vec<Vec<Option<String>>> {
    vec![vec![Some(text.into())]]
}

#[test]
fn two_postgres_servers_and_a_mariadb_server_answer_side_by_side() {
    assert_ne!(postgres(0).port(), postgres(1).port());
    for server in [postgres(0), postgres(1)] {
        let database = server.create_database();
        server.execute(&database, "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, NULL)");
        let rows = server.query(&database, "SELECT * FROM t");
        assert_eq!(rows, [[Some("1".to_string()), None]]);
    }
    let database = mariadb(0).create_database();
    mariadb(0).execute(&database, "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, NULL)");
    let rows = mariadb(0).query(&database, "SELECT * FROM t");
    assert_eq!(rows, [[Some("1".to_string()), None]]);
}

#[test]
fn the_servers_do_not_run_as_root() {
    for pid in [postgres(0).pid(), mariadb(0).pid()] {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.unwrap())).unwrap();
        let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(uids.split_whitespace().skip(1).all(|uid| uid != "0"), "{uids}");
    }
}

#[test]
fn a_failing_statement_fails_the_test_on_every_engine_also_when_it_is_the_second() {
    let sql = "SELECT 1; SELECT * FROM no_such_table";
    for message in [
        expect_panic(|| postgres(0).execute("postgres", sql)),
        expect_panic(|| mariadb(0).execute("mysql", sql)),
        expect_panic(|| sqlite::execute(&sandbox().root().join("none.db"), sql)),
    ] {
        assert!(message.contains("no_such_table"), "{message}");
    }
}

#[test]
fn a_dump_is_the_same_for_the_same_content_and_shows_a_changed_row_and_object() {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet
        .postgres_database("database", postgres(0))
        .postgres_schema("schema", postgres(0), &shared)
        .mariadb("mysql", mariadb(0))
        .sqlite("file");
    let names: Vec<String> = fleet.dumps().into_keys().collect();
    for tenant in names {
        fleet.execute(
            &tenant,
            "CREATE TABLE t (id int PRIMARY KEY, a text);
             INSERT INTO t VALUES (2, 'two'); INSERT INTO t VALUES (1, NULL)",
        );
        let before = fleet.dump(&tenant);
        assert!(before.contains("two"), "{before}");
        assert_eq!(fleet.dump(&tenant), before);
        fleet.execute(&tenant, "DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (2, 'two')");
        assert_eq!(fleet.dump(&tenant), before, "rows have no order");
        fleet.execute(&tenant, "UPDATE t SET a = 'drei' WHERE id = 2");
        let changed = fleet.dump(&tenant);
        assert_ne!(changed, before);
        fleet.execute(&tenant, "CREATE INDEX i ON t (id)");
        assert_ne!(fleet.dump(&tenant), changed);
    }
}

#[test]
fn looking_at_a_missing_sqlite_file_does_not_make_it() {
    let path = sandbox().root().join("missing.db");
    assert_eq!(sqlite::dump(&path), "no file\n");
    expect_panic(|| drop(sqlite::query(&path, "SELECT 1")));
    assert!(!path.exists());
}

#[test]
fn sessions_of_others_are_counted_and_the_harness_own_are_not() {
    let servers = [
        Postgres::start(Options::default()).server_url() + "/postgres",
        MariaDb::start(Options::default()).server_url() + "/mysql",
    ];
    // Both servers were temporaries: they are gone by now.
    for url in &servers {
        let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
        let address = format!("127.0.0.1:{port}");
        assert!(std::net::TcpStream::connect(address).is_err(), "a dropped server runs on");
    }
    let postgres = Postgres::start(Options::default());
    let mariadb = MariaDb::start(Options::default());
    assert_eq!((postgres.sessions(), mariadb.sessions()), (0, 0));
    runtime().block_on(async {
        let url = postgres.url("postgres");
        let (_client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let _connection = Conn::from_url(mariadb.url("mysql")).await.unwrap();
        let counted = std::thread::scope(|scope| {
            let count = scope.spawn(|| (postgres.sessions(), mariadb.sessions()));
            count.join().unwrap()
        });
        assert_eq!(counted, (1, 1));
    });
}

#[test]
fn a_killed_server_comes_back_on_its_port_with_its_committed_rows() {
    let postgres = Postgres::start(Options { conf: &[("max_connections", "20")], ..Options::default() });
    assert_eq!(postgres.query("postgres", "SHOW max_connections"), one("20"));
    postgres.execute("postgres", "CREATE TABLE t AS SELECT 1 AS a");
    for stop in [Postgres::kill, Postgres::stop_immediate] {
        let pid = postgres.pid().unwrap();
        stop(&postgres);
        assert!(!is_alive(pid) && postgres.pid().is_none());
        postgres.restart();
        assert_eq!(postgres.query("postgres", "SELECT a FROM t"), one("1"));
    }

    let mariadb = MariaDb::start(Options { conf: &[("max_connections", "20")], ..Options::default() });
    assert_eq!(mariadb.query("", "SELECT @@max_connections"), one("20"));
    let database = mariadb.create_database();
    mariadb.execute(&database, "CREATE TABLE t AS SELECT 1 AS a");
    for stop in [MariaDb::kill, MariaDb::stop] {
        let pid = mariadb.pid().unwrap();
        stop(&mariadb);
        assert!(!is_alive(pid) && mariadb.pid().is_none());
        mariadb.restart();
        assert_eq!(mariadb.query(&database, "SELECT a FROM t"), one("1"));
    }
}

#[test]
fn hostile_names_are_quoted_in_sql_in_urls_and_in_tenants_yaml() {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    let names = ["a-b", "Größe", "select", r#"x"; DROP SCHEMA y; --"#];
    for name in names {
        let own = format!("{name} of its own");
        fleet
            .postgres_schema_named(&format!("{name} 1"), postgres(0), &shared, name)
            .postgres_database_named(&format!("{name} 2"), postgres(0), &own)
            .mariadb_named(&format!("{name} 3"), mariadb(0), name);
        for number in 1..=3 {
            let tenant = format!("{name} {number}");
            fleet.execute(&tenant, "CREATE TABLE t (a int)");
            assert!(fleet.dump(&tenant).contains("CREATE TABLE"), "{tenant}");
        }
        runtime().block_on(async {
            let url = postgres(0).url(&own);
            let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
            drop(connected.unwrap());
            Conn::from_url(mariadb(0).url(name)).await.unwrap();
        });
    }
    let text = fs::read_to_string(fleet.folder().join("tenants.yaml")).unwrap();
    let yaml: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    assert_eq!(yaml["tenants"][9]["schema"], names[3]);
    assert_eq!(yaml["tenants"].as_array().unwrap().len(), 12);
    assert_eq!(yaml["servers"].as_object().unwrap().len(), 1);
}

#[test]
fn the_password_is_found_in_every_form_that_an_output_could_give_it() {
    let url = postgres(0).url("acme");
    assert!(!url.contains(CANARY), "it needs percent-encoding");
    for leak in [CANARY.to_string(), percent_encoded(CANARY), url, format!("{CANARY:?}")] {
        let message = expect_panic(|| assert_no_secret("stdout", &leak));
        assert!(message.contains("the password is in stdout"), "{message}");
    }
    assert_no_secret("stdout", &format!("postgres://{USER}:***@127.0.0.1/acme"));
}

#[test]
fn a_program_that_prints_the_password_fails_its_test() {
    let mut command = sandbox().own_command("KILL", Path::new("sh"), sandbox().root());
    command.args(["-c", r#"echo "cannot connect to $URL" >&2"#]);
    command.env("URL", postgres(0).url("acme"));
    let running = Running::start(command);
    let message = expect_panic(|| drop(running.wait()));
    assert!(message.contains("the password is in stderr"), "{message}");
}

#[test]
fn a_program_is_run_in_the_folder_with_a_clean_environment_and_its_status_is_seen() {
    let shell = |script: &str| {
        let mut command = sandbox().own_command("KILL", Path::new("sh"), sandbox().root());
        command.args(["-c", script]);
        Running::start(command)
    };
    let output = shell("pwd; env | cut -d= -f1 | sort | tr '\\n' ' '; echo talk >&2; exit 3").wait();
    let root = sandbox().root().display().to_string();
    assert_eq!(output.stdout, format!("{root}\nHOME LC_ALL PATH PWD TZ "));
    assert_eq!((output.status, &*output.stderr), (3, "talk\n"));

    let mut sleeper = shell("echo ready; exec sleep 100");
    sleeper.wait_for("ready");
    assert!(sleeper.is_running());
    sleeper.signal(Signal::TERM);
    assert_eq!(sleeper.wait().status, 128 + 15);
    assert_eq!(shell("exec sleep 100").kill_9().status, 128 + 9);
}

#[test]
fn mtmigrate_itself_is_run_in_the_fleets_folder() {
    let mut fleet = Fleet::new();
    fleet.sqlite("a").changeset("V1__a.sql", "CREATE TABLE a (id int)");
    fleet.env("RUST_BACKTRACE", "1");
    // What it answers is for other tests; here it starts and ends.
    assert!(fleet.run(&["--help"]).status < 128);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
