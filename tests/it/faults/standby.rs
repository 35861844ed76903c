//! Servers that take no writes: a standby of PostgreSQL, and MariaDB in `read_only`.

use super::{FIRST, assert_each_once, more};
use crate::killed::wait_until;
use crate::support::fleet::Place;
use crate::support::{CANARY, Fleet, MariaDb, Options, Postgres, mariadb, postgres, unique};

/// Covers row 26 of docs/failures.md.
#[test]
fn a_standby_is_refused_before_the_lock_and_status_works_there() {
    let conf = [("wal_level", "replica"), ("max_wal_senders", "4"), ("hot_standby", "on")];
    let options = Options { conf: &conf, ..Options::default() };
    let primary = Postgres::start(options);
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", &primary).mariadb("my", mariadb(0)).changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    let standby = primary.start_standby(options);
    more(&mut fleet, 2);
    let Place::Postgres { database, .. } = fleet.place("pg").clone() else { unreachable!("a database") };
    let to = |fleet: &mut Fleet, server: &Postgres| {
        fleet.set("pg", "url", &serde_json::to_string(&server.url(&database)).unwrap());
    };

    to(&mut fleet, &standby);
    assert_eq!(standby.query("postgres", "SELECT pg_is_in_recovery()"), [[Some("t".to_string())]]);
    let before = fleet.dumps();
    let refused = fleet.run(&["up"]).expect(5).says(&["MT316", "standby", "tenant", "pg"]);
    assert!(!refused.stderr.contains("lock"), "refused before the lock: {refused}");
    assert_eq!(fleet.dumps(), before, "nothing was changed, on MariaDB neither");
    fleet.run(&["status"]).expect(0);
    assert_eq!([fleet.status().state("pg").to_string(), fleet.status().state("my").to_string()], ["behind", "behind"]);
    fleet.run(&["plan"]).expect(5).says(&["MT316"]);
    fleet.run(&["tenants", "check"]).expect(5).says(&["read-only", "standby (pg_is_in_recovery)", "1 tenant: pg"]);
    fleet.run(&["history", "--tenant", "pg"]).expect(0).says(&["V1"]);

    to(&mut fleet, &primary);
    fleet.run(&["up"]).expect(0);
    assert_each_once(&fleet, 2);
    // With nothing to write the standby is good enough.
    to(&mut fleet, &standby);
    let written = end_of_log(&primary);
    wait_until("the standby has all", || {
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        standby.query("postgres", &replayed) == [[Some("t".to_string())]]
    });
    fleet.run(&["up"]).expect(0).says(&["nothing to do"]);
}

/// Covers row 26 of docs/failures.md.
#[test]
fn a_read_only_mariadb_is_refused_before_the_lock_also_for_a_user_whom_it_binds() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.mariadb("my", &server).postgres_database("pg", postgres(0)).changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    more(&mut fleet, 2);
    let Place::MariaDb { database, .. } = fleet.place("my").clone() else { unreachable!("a database") };
    let user = unique("bound");
    server.execute(
        "",
        &format!("CREATE USER {user} IDENTIFIED BY '{CANARY}'; GRANT ALL ON `{database}`.* TO {user}; SET GLOBAL read_only = 1"),
    );
    let before = fleet.dumps();
    let urls = [server.url(&database), server.url_as(&user, CANARY, "127.0.0.1", &database)];
    for url in &urls {
        fleet.set("my", "url", &serde_json::to_string(url).unwrap());
        let refused = fleet.run(&["up"]).expect(5).says(&["MT316", "read_only", "my"]);
        assert!(!refused.stderr.contains("lock"), "refused before the lock: {refused}");
        fleet.run(&["status"]).expect(0);
        assert_eq!(fleet.status().state("my"), "behind");
    }
    assert_eq!(fleet.dumps(), before, "nothing was changed, on PostgreSQL neither");
    server.execute("", "SET GLOBAL read_only = 0");
    fleet.run(&["up"]).expect(0);
    assert_each_once(&fleet, 2);
}

/// Where the log of a server ends.
fn end_of_log(server: &Postgres) -> String {
    server.query("postgres", "SELECT pg_current_wal_lsn()")[0][0].clone().expect("a place in the log")
}
