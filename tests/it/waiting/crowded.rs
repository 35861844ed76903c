//! Servers with fewer free connections than the budget says.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Fleet, Kind, MariaDb, Options, Output, Postgres};

use super::crowd::Crowd;

const TENANTS: usize = 12;

const FEWER: &str = "fewer free connections than its budget";

/// Twelve tenants that each take a moment in V2; nobody is a superuser, for whom servers keep places.
fn on_postgres(server: &Postgres, budget: usize) -> Fleet {
    let mut fleet = Fleet::new();
    for number in 1..=TENANTS {
        let (name, database) = (format!("t{number}"), format!("d{number}"));
        fleet.postgres_database_named(&name, server, &database).set(&name, "max_connections", &budget.to_string());
        server.execute("postgres", &format!("ALTER DATABASE {database} OWNER TO migrator"));
    }
    server.execute("postgres", "ALTER ROLE migrator NOSUPERUSER");
    changesets(&mut fleet, Kind::Database);
    fleet
}

fn on_mariadb(server: &MariaDb, budget: usize) -> Fleet {
    let mut fleet = Fleet::new();
    for number in 1..=TENANTS {
        let name = format!("t{number}");
        fleet.mariadb_named(&name, server, &format!("d{number}")).set(&name, "max_connections", &budget.to_string());
    }
    changesets(&mut fleet, Kind::MariaDb);
    fleet
}

fn changesets(fleet: &mut Fleet, kind: Kind) {
    fleet
        .changeset("V1__effects.sql", "CREATE TABLE effects (version int);")
        .changeset("V2__slow.sql", &format!("INSERT INTO effects VALUES (2);\n{}", kind.slow(1)))
        .changeset("V3__more.sql", "INSERT INTO effects VALUES (3);");
}

/// Sees that everybody has everything once, and that the run said what it met.
fn check(fleet: &Fleet, up: &Output, server: &str) {
    for tenant in fleet.names() {
        assert_eq!(fleet.effects(&tenant), [2, 3], "{tenant}: {up}");
    }
    assert!(up.stderr.contains(FEWER), "{up}");
    let report: Value = serde_json::from_str(&up.stdout).expect("JSON");
    let lowered = report["lowered"].as_array().expect("a list");
    assert_eq!(lowered.len(), 1, "{up}");
    assert!(lowered[0]["server"].as_str().expect("a name").contains(server), "{up}");
    let [from, to] = ["from", "to"].map(|key| lowered[0][key].as_u64().expect("a number"));
    assert!(1 <= to && to < from, "{up}");
    let retries: u64 =
        report["tenants"].as_array().expect("tenants").iter().map(|t| t["retries"].as_u64().unwrap()).sum();
    assert_eq!(retries, 0, "waiting for a place is no failure that is tried again: {up}");
}

/// Covers row 11 of docs/failures.md.
#[test]
fn postgres_with_fewer_places_than_the_budget_is_brought_up_with_those_there_are() {
    // Three of these are the superusers'.
    let server = Postgres::start(Options { conf: &[("max_connections", "8")], ..Options::default() });
    let fleet = on_postgres(&server, 10);
    let up = fleet.run(&["up", "--format", "json"]).expect(0);
    check(&fleet, &up, &server.port().to_string());
    let status = fleet.run(&["status", "--check"]).expect(0);
    assert!(status.stderr.contains("warning[MT320]") && status.stderr.contains(FEWER), "{status}");
    // A budget that fits is never refused anything; one place is for a session of the last run that is about to go.
    let names = fleet.names();
    let mut fleet = fleet;
    for name in names {
        fleet.set(&name, "max_connections", "4");
    }
    let status = fleet.run(&["status", "--check"]).expect(0);
    assert!(!status.stderr.contains("MT320"), "{status}");
}

/// Covers row 11 of docs/failures.md.
#[test]
fn a_role_that_may_have_fewer_sessions_than_the_budget_is_no_failed_tenant() {
    let server = Postgres::start(Options::default());
    let fleet = on_postgres(&server, 10);
    server.execute("postgres", "ALTER ROLE migrator CONNECTION LIMIT 3");
    let up = fleet.run(&["up", "--format", "json"]).expect(0);
    check(&fleet, &up, &server.port().to_string());
}

/// Covers row 11 of docs/failures.md.
#[test]
fn other_clients_that_take_places_in_the_middle_of_a_run_make_it_slower_and_nothing_else() {
    let server = Postgres::start(Options { conf: &[("max_connections", "14")], ..Options::default() });
    let mut fleet = on_postgres(&server, 8);
    // The first tenants are at work until the crowd is there.
    let crowded = "DO $$ BEGIN WHILE (SELECT count(*) FROM pg_stat_activity WHERE usename = 'crowd') < 4 LOOP\n\
                   PERFORM pg_stat_clear_snapshot(), pg_sleep(0.05); END LOOP; END $$;";
    fleet.changeset("V2__slow.sql", &format!("INSERT INTO effects VALUES (2);\n{crowded}"));
    server.execute("postgres", "CREATE ROLE crowd SUPERUSER LOGIN PASSWORD 'only-here'");
    let mut up = fleet.spawn(&["up", "--format", "json", "-v"]);
    up.wait_for("V2__slow");
    // Superusers, who also get the last three places: none of those that the run gives back for another database are free
    // to it again before it makes do with fewer.
    let crowd = Crowd::gathered(&server.url_as("crowd", "only-here", "127.0.0.1", "postgres"), 4);
    let up = up.wait().expect(0);
    drop(crowd);
    check(&fleet, &up, &server.port().to_string());
}

/// Covers row 11 of docs/failures.md.
#[test]
fn mariadb_with_fewer_places_than_the_budget_is_brought_up_with_those_there_are() {
    // The fewest that it can be set to; other clients hold some.
    let server = MariaDb::start(Options { conf: &[("max-connections", "10")], ..Options::default() });
    let fleet = on_mariadb(&server, 12);
    let crowd = Crowd::gathered(&server.url(""), 6);
    let up = fleet.run(&["up", "--format", "json"]).expect(0);
    // Reading asks four questions at once at most.
    let more = Crowd::gathered(&server.url(""), 3);
    let status = fleet.run(&["status", "--check"]).expect(0);
    assert!(status.stderr.contains("warning[MT320]") && status.stderr.contains(FEWER), "{status}");
    drop((crowd, more));
    check(&fleet, &up, &server.port().to_string());
}

/// Covers row 11 of docs/failures.md.
#[test]
fn a_user_of_mariadb_that_may_have_fewer_sessions_than_the_budget_is_no_failed_tenant() {
    let server = MariaDb::start(Options::default());
    let fleet = on_mariadb(&server, 10);
    server.execute("", "ALTER USER migrator@'%' WITH MAX_USER_CONNECTIONS 3");
    let up = fleet.run(&["up", "--format", "json"]).expect(0);
    check(&fleet, &up, &server.port().to_string());
}

#[test]
fn a_server_without_any_free_place_is_given_up_after_the_connect_timeout_with_nothing_changed() {
    let (postgres, mariadb) = (
        Postgres::start(Options { conf: &[("max_connections", "6")], ..Options::default() }),
        MariaDb::start(Options::default()),
    );
    let mut fleet = Fleet::new();
    for number in 1..=4 {
        let names = ["p", "m"].map(|kind| format!("{kind}{number}"));
        fleet.postgres_database_named(&names[0], &postgres, &names[0]).mariadb_named(&names[1], &mariadb, &names[1]);
        fleet.set(&names[0], "connect_timeout", "2s").set(&names[1], "connect_timeout", "2s");
        postgres.execute("postgres", &format!("ALTER DATABASE {} OWNER TO migrator", names[0]));
    }
    postgres.execute("postgres", "ALTER ROLE migrator NOSUPERUSER");
    mariadb.execute("", "ALTER USER migrator@'%' WITH MAX_USER_CONNECTIONS 3");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);");
    let crowds = [Crowd::gathered(&postgres.url("postgres"), 3), Crowd::gathered(&mariadb.url(""), 3)];
    for verb in ["up", "status"] {
        let began = Instant::now();
        let output = fleet.run(&[verb]).expect(5);
        assert!(output.stderr.contains("error[MT320]") && output.stderr.contains("hint:"), "{output}");
        assert!(
            output.stderr.contains("max_connections") && output.stderr.contains("4 tenants not readable: p1"),
            "{output}"
        );
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
    drop(crowds);
    for name in fleet.names() {
        fleet.set(&name, "connect_timeout", "30s");
    }
    fleet.run(&["up"]).expect(0);
}
