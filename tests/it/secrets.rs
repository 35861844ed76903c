//! The password is in every URL and in no output.
//!
//! The harness looks for it in the output of every command of every test, and in every dump. Here is what provokes it:
//! each verb in each format, as loud as it goes; servers that refuse, lie and echo; files with mistakes around it.

mod config;
mod servers;

use std::fs;

use crate::support::fleet::Place;
use crate::support::{CANARY, Fleet, MariaDb, Options, Output, assert_no_secret, mariadb, percent_encoded, postgres};

/// Every verb that reads the fleet, in every format.
const READERS: [&[&str]; 17] = [
    &["validate"],
    &["plan"],
    &["plan", "--sql"],
    &["plan", "--format", "json"],
    &["status"],
    &["status", "--check"],
    &["status", "--format", "json"],
    &["status", "--format", "csv"],
    &["status", "--format", "markdown"],
    &["history"],
    &["history", "--format", "json"],
    &["tenants", "list"],
    &["tenants", "list", "--format", "json"],
    &["tenants", "list", "--format", "csv"],
    &["tenants", "check"],
    &["tenants", "check", "--format", "json"],
    &["new", "next"],
];

/// How loud.
const LOUD: [&[&str]; 4] =
    [&[], &["-v", "-v"], &["-v", "-v", "--log-format", "json"], &["-q", "--log-format", "json", "--color", "always"]];

/// Runs these and then every verb in every format, as loud as it goes; the harness looks for the password.
fn run_everything(fleet: &mut Fleet, first: &[&[&str]]) -> Vec<Output> {
    fleet.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let mut outputs = Vec::new();
    for loud in LOUD {
        for verb in first.iter().chain(&READERS) {
            let args: Vec<&str> = loud.iter().chain(*verb).copied().collect();
            outputs.push(fleet.run(&args));
        }
        for made in fs::read_dir(fleet.migrations()).unwrap() {
            let path = made.unwrap().path();
            if path.to_string_lossy().contains("next") {
                fs::remove_file(path).unwrap();
            }
        }
    }
    outputs
}

const UP: [&[&str]; 2] = [&["up"], &["up", "--format", "json"]];

fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres(0).create_database();
    fleet
        .postgres_database("database", postgres(0))
        .postgres_schema("schema", postgres(0), &shared)
        .mariadb("mysql", mariadb(0))
        .sqlite("file")
        .changeset("V1__a.sql", "CREATE TABLE a (id int);\n")
        .changeset("V2__b.sql", "CREATE TABLE b (id int);\n");
    fleet
}

/// Covers row 51 of docs/failures.md.
#[test]
fn no_verb_shows_it_in_any_format_however_loud() {
    let mut fleet = fleet();
    for output in run_everything(&mut fleet, &UP) {
        assert!([0, 4].contains(&output.status), "{output}");
    }
    // Dumps hold histories and journals.
    assert_eq!(fleet.dumps().len(), 4);
}

/// Covers row 51 of docs/failures.md.
#[test]
fn no_failure_drift_or_half_applied_text_shows_it() {
    let mut failing = fleet();
    failing.changeset("V3__broken.sql", "CREATE TABLE ok (id int);\nCREATE TABLE broken (id no_such_type !!!);\n");
    let outputs = run_everything(&mut failing, &UP);
    assert!(outputs.iter().any(|output| output.status == 6), "MariaDB is half applied");
    failing.run(&["-v", "-v", "repair", "--tenant", "mysql", "--mark-undone", "--reason", "x"]);
    failing.dumps();

    let mut drifted = fleet();
    drifted.run(&["up"]).expect(0);
    drifted.edit("V1__a.sql", "CREATE TABLE a (id bigint);\n").remove("V2__b.sql");
    let outputs = run_everything(&mut drifted, &UP);
    assert!(outputs.iter().any(|output| output.status == 3));
}

/// Covers row 51 of docs/failures.md.
#[test]
fn neither_the_process_list_nor_a_session_nor_a_lock_that_is_waited_for_shows_it() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet
        .postgres_database("a", postgres(0))
        .mariadb("b", &server)
        .variant("postgres", "V1__slow.sql", "SELECT pg_sleep(5)")
        .variant("mysql", "V1__slow.sql", "DO SLEEP(5)");
    let mut running = fleet.spawn(&["up", "-v", "-v"]);
    running.wait_for("V1");
    super::killed::wait_for_rows(
        &fleet,
        "b",
        "SELECT 1 FROM information_schema.processlist WHERE info LIKE '%SLEEP(5)%' AND id <> connection_id()",
    );
    fleet.wait_at_gate("a");
    // It keeps the lock and its sessions while they are looked at.
    running.signal(rustix::process::Signal::STOP);
    for file in ["cmdline", "comm", "status"] {
        let text = fs::read(format!("/proc/{}/{file}", running.pid())).unwrap();
        assert_no_secret(file, &String::from_utf8_lossy(&text));
    }
    let sessions =
        "SELECT application_name, query, client_addr FROM pg_stat_activity WHERE datname = current_database()
                    OR application_name LIKE 'mtmigrate%'";
    let sessions = format!("{:?}", fleet.query("a", sessions));
    assert!(sessions.contains("SET LOCAL lock_timeout"), "{sessions}");
    assert_no_secret("pg_stat_activity", &sessions);
    assert_no_secret("the process list", &format!("{:?}", fleet.query("b", "SHOW FULL PROCESSLIST")));
    let held = fleet.run(&["up", "-v", "-v", "--lock-wait", "0"]).expect(5);
    assert!(held.stderr.contains("MT301"), "{held}");
    running.signal(rustix::process::Signal::CONT);
    running.wait().expect(0);
}

/// Covers row 51 of docs/failures.md.
#[test]
fn a_password_from_a_variable_a_file_or_in_percent_encoding_connects_and_is_not_shown() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.postgres_database("a", postgres(0)).mariadb("b", &server).changeset("V1__a.sql", "CREATE TABLE a (id int)");
    let place = |tenant: &str| match fleet.place(tenant) {
        Place::Postgres { server, database, .. } => format!("127.0.0.1:{}/{database}", server.port()),
        Place::MariaDb { server, database } => format!("127.0.0.1:{}/{database}", server.port()),
        Place::Sqlite(_) => unreachable!(),
    };
    let [a, b] = ["a", "b"].map(place);
    let secret = fleet.folder().join("secret").display().to_string();
    let encoded: String = CANARY.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let partly = percent_encoded(CANARY).replace("%2D", "-");
    fleet
        .file("secret", format!("{CANARY}\n"))
        .env("PASSWORD", CANARY)
        .env("WHOLE", &format!("postgres://migrator:{partly}@{a}"));
    for password in [
        "${PASSWORD}",
        "${PASSWORD:-none}",
        &format!("${{file:{secret}}}"),
        &format!("${{cmd:cat '{secret}'}}"),
        &encoded,
        &partly,
    ] {
        let yaml = format!(
            "tenants:\n  - {{ name: a, url: \"postgres://migrator:{password}@{a}\" }}\n  \
             - {{ name: b, url: \"mysql://migrator:{password}@{b}\" }}\n"
        );
        fleet.tenants_yaml(&yaml);
        for args in [&["up", "-v", "-v"][..], &["status", "-v", "-v", "--log-format", "json"]] {
            fleet.run(args).expect(0);
        }
    }
    fleet.tenants_yaml("tenants: [{ name: a, url: \"${WHOLE}\" }]");
    fleet.run(&["status", "-v", "-v"]).expect(0);
    // And when what follows is wrong.
    fleet.tenants_yaml(
        "tenants: [{ name: a, url: \"${WHOLE}?sslmode=${PASSWORD}\" }, { name: a, url: \"${PASSWORD}\" }]",
    );
    fleet.run(&["status", "-v", "-v"]).expect(2);
}
