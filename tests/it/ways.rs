//! The ways to a server: sockets, IPv6, several hosts of which one will do.

use std::fs;
use std::path::PathBuf;

use crate::killed::wait_until;
use crate::support::fleet::Place;
use crate::support::sandbox::{free_port, sandbox};
use crate::support::{CANARY, Fleet, Kind, MariaDb, Options, Postgres, USER};
use crate::support::{mariadb, percent_encoded, postgres, unique};

/// A PostgreSQL server with a socket, that listens on IPv6 too.
fn with_socket() -> (Postgres, PathBuf) {
    let folder = sandbox().folder(&unique("socket"));
    let rules = folder.join("pg_hba.conf");
    let lines = ["local all all", "host all all 127.0.0.1/32", "host all all ::1/128"];
    fs::write(&rules, lines.map(|line| format!("{line} scram-sha-256\n")).concat()).unwrap();
    sandbox().give(&rules);
    let (at, rules) = (folder.display().to_string(), rules.display().to_string());
    let conf = [("unix_socket_directories", &*at), ("hba_file", &rules), ("listen_addresses", "127.0.0.1,::1")];
    (Postgres::start(Options { conf: &conf, ..Options::default() }), folder)
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A changeset and `up`, by this way, and by it alone.
fn up_by(fleet: &mut Fleet, tenant: &str, url: &str, number: usize) {
    fleet.changeset(&format!("V{number}__t.sql"), &format!("CREATE TABLE t{number} (id int);\n"));
    fleet.set(tenant, "url", &json(url));
    fleet.run(&["up", "-v"]).expect(0);
    fleet.run(&["status"]).expect(0);
}

#[test]
fn postgres_is_reached_by_its_socket_and_by_ipv6() {
    let (server, folder) = with_socket();
    let mut fleet = Fleet::new();
    let database = unique("ways");
    fleet.postgres_database_named("a", &server, &database);
    let (port, password, folder) = (server.port(), percent_encoded(CANARY), folder.display().to_string());
    let encoded = percent_encoded(&folder);
    let ways = [
        format!("postgres://{USER}:{password}@/{database}?host={folder}&port={port}"),
        format!("postgres://{USER}:{password}@{encoded}:{port}/{database}?sslmode=verify-full"),
        format!("postgres://{USER}:{password}@[::1]:{port}/{database}"),
        format!("postgres:///{database}?host={folder}&port={port}&user={USER}&password={password}"),
        format!("postgres://{USER}:{password}@{encoded}:1,[::1]:{port}/{database}"),
    ];
    for (number, url) in ways.iter().enumerate() {
        up_by(&mut fleet, "a", url, number + 1);
    }
    // A socket that is not there, and an interrupt and a file of passwords by way of one that is.
    fleet.set("a", "url", &json(&format!("postgres://{USER}:{password}@{encoded}:1/{database}")));
    fleet.run(&["status"]).expect(5).says(&["MT310", ".s.PGSQL.1", "No such file"]);
    fleet.set("a", "url", &json(&format!("postgres://{USER}@{encoded}:{port}/{database}?passfile=pass")));
    fleet.file("pass", format!("{folder}:{port}:*:{USER}:{}\n", CANARY.replace(':', "\\:")));
    std::process::Command::new("chmod").arg("600").arg(fleet.folder().join("pass")).status().unwrap();
    fleet.changeset("V9__slow.sql", "SELECT pg_sleep(100);\n");
    let running = fleet.spawn(&["up"]);
    let asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_until("the statement", || !server.query("postgres", asleep).is_empty());
    for _ in 0..2 {
        running.signal(rustix::process::Signal::INT);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let stopped = running.wait();
    assert!([1, 130].contains(&stopped.status), "{stopped}");
    wait_until("the statement is cancelled", || server.query("postgres", asleep).is_empty());
}

#[test]
fn mariadb_is_reached_by_its_socket_and_by_ipv6() {
    let folder = sandbox().folder(&unique("socket"));
    let socket = folder.join("s").display().to_string();
    let conf = [("socket", &*socket), ("bind-address", "*")];
    let server = MariaDb::start(Options { conf: &conf, ..Options::default() });
    let mut fleet = Fleet::new();
    let database = unique("ways");
    fleet.mariadb_named("a", &server, &database);
    let (port, password) = (server.port(), percent_encoded(CANARY));
    let ways = [
        format!("mysql://{USER}:{password}@localhost/{database}?socket={socket}"),
        format!("mysql://{USER}:{password}@/{database}?socket={socket}&ssl-mode=REQUIRED"),
        format!("mysql://{USER}:{password}@[::1]:{port}/{database}"),
    ];
    for (number, url) in ways.iter().enumerate() {
        up_by(&mut fleet, "a", url, number + 1);
    }
    fleet.set("a", "url", &json(&format!("mysql://{USER}:{password}@localhost/{database}?socket={socket}x")));
    fleet.run(&["status"]).expect(5).says(&["MT310", &format!("{socket}x")]);
    fleet.set("a", "url", &json(&format!("mysql://{USER}:{password}@h1,h2/{database}")));
    fleet.run(&["status"]).expect(2).says(&["MT108", "several hosts"]);
}

/// A fleet of three databases on a server of several hosts.
fn of_hosts(primary: &Postgres, hosts: &str, wanted: &str) -> Fleet {
    let mut fleet = Fleet::new();
    fleet.changeset("V1__a.sql", "CREATE TABLE a (id int);\n");
    let names: Vec<String> = (0..3).map(|_| unique("hosts")).collect();
    for (at, database) in names.iter().enumerate() {
        fleet.postgres_database_named(&format!("t{at}"), primary, database);
    }
    to_hosts(&mut fleet, &names, hosts, wanted);
    fleet
}

fn to_hosts(fleet: &mut Fleet, databases: &[String], hosts: &str, wanted: &str) {
    let url = format!("postgres://{USER}:{}@{hosts}?target_session_attrs={wanted}", percent_encoded(CANARY));
    let mut yaml = format!("servers:\n  s: {{ url: {}, max_connections: 3 }}\ntenants:\n", json(&url));
    for (at, database) in databases.iter().enumerate() {
        yaml += &format!("  - {{ name: t{at}, server: s, database: {database} }}\n");
    }
    fleet.tenants_yaml(&yaml);
}

#[test]
fn the_first_host_that_will_do_is_worked_on() {
    let server = Postgres::start(Options::default());
    let reading = Postgres::start(Options::default());
    let (good, gone) = (server.port(), free_port());
    let read_only = reading.port();
    let none = format!("127.0.0.1:{gone},127.0.0.1:{read_only}");
    for (hosts, wanted, status, says) in [
        (format!("127.0.0.1:{gone},127.0.0.1:{good}"), "any", 0, &["3 tenants"][..]),
        (format!("127.0.0.1:{gone},127.0.0.1:{good}"), "read-write", 0, &["3 tenants"]),
        (format!("127.0.0.1:{good},127.0.0.1:{gone}"), "primary", 0, &["3 tenants"]),
        (format!("127.0.0.1:{good},127.0.0.1:{gone}"), "prefer-standby", 0, &["3 tenants"]),
        (none.clone(), "read-write", 5, &["MT323", "is read-write", "transaction_read_only", "refused", &none]),
        (format!("127.0.0.1:{good}"), "standby", 5, &["MT323", "is standby", "it is no standby"]),
        (format!("127.0.0.1:{gone},[::1]:{gone}"), "read-write", 5, &["MT310", "refused", "[::1]"]),
    ] {
        let fleet = of_hosts(&server, &hosts, wanted);
        for tenant in fleet.names() {
            let Place::Postgres { database, .. } = fleet.place(&tenant) else { unreachable!("a database") };
            reading.create_database_named(database);
            reading.execute("postgres", &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
        }
        let before = fleet.dumps();
        fleet.run(&["up", "-v"]).expect(status).says(says);
        assert_eq!(fleet.dumps() == before, status != 0, "{hosts} {wanted}");
    }
}

#[test]
fn a_standby_is_passed_over_and_a_cut_over_halts_the_run_and_the_next_one_goes_there() {
    let conf = [("wal_level", "replica"), ("max_wal_senders", "4"), ("hot_standby", "on")];
    let options = Options { conf: &conf, ..Options::default() };
    let primary = Postgres::start(options);
    let mut fleet = of_hosts(&primary, "127.0.0.1", "any");
    let databases: Vec<String> = primary
        .query("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'hosts%' ORDER BY oid")
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let standby = primary.start_standby(options);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    to_hosts(&mut fleet, &databases, &hosts, "read-write");
    fleet.run(&["up", "-v"]).expect(0);
    to_hosts(&mut fleet, &databases, &hosts, "standby");
    fleet.run(&["status"]).expect(0);

    to_hosts(
        &mut fleet,
        &databases,
        &format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port()),
        "read-write",
    );
    fleet.changeset("V2__slow.sql", &format!("{}\nCREATE TABLE b (id int);\n", Kind::Database.gate()));
    let running = fleet.spawn(&["up", "-v"]);
    let asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_until("the statement", || !primary.query("postgres", asleep).is_empty());
    primary.stop_immediate();
    standby.execute("postgres", "SELECT pg_promote()");
    let halted = running.wait();
    assert!([1, 5].contains(&halted.status), "{halted}");
    let halted = halted.says(&["MT205", "goes on at no other host", "halted at V2__slow"]);
    for database in &databases {
        assert!(standby.query(database, "SELECT 1 FROM pg_tables WHERE tablename = 'b'").is_empty(), "{halted}");
        standby.execute(database, "CREATE SCHEMA gate_is_open");
    }
    fleet.run(&["up", "-v"]).expect(0).says(&["3 tenants"]);
    for database in &databases {
        assert_eq!(standby.query(database, "SELECT 1 FROM pg_tables WHERE tablename = 'b'").len(), 1);
    }
}

#[test]
fn one_tenant_of_forty_with_a_wrong_host_holds_all_back_with_a_clear_account() {
    for (engine, wrong) in [("postgres", "127.0.0.1"), ("mysql", "no-such-host.invalid")] {
        let mut fleet = Fleet::new();
        fleet.changeset("V1__a.sql", "CREATE TABLE a (id int);\n");
        let shared = postgres(1).create_database();
        for number in 0..39 {
            fleet.postgres_schema(&format!("t{number:02}"), postgres(1), &shared);
        }
        let port = free_port();
        let url = format!("{engine}://{USER}:{}@{wrong}:{port}/far", percent_encoded(CANARY));
        match engine {
            "postgres" => fleet.postgres_database("far", postgres(1)),
            _ => fleet.mariadb("far", mariadb(1)),
        };
        fleet.set("far", "url", &json(&url));
        let before = fleet.dumps();
        let shown = format!("{wrong}:{port}");
        fleet.run(&["up"]).expect(5).says(&["MT310", &shown, "far", "nothing was changed"]);
        assert_eq!(fleet.dumps(), before);
        fleet.run(&["status"]).expect(5).says(&["far", "unreachable"]);
    }
}
