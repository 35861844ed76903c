//! A server never sees more sessions of a run than its budget, the lock's included.

use crate::support::gate::wait_until;
use crate::support::{Fleet, Kind, MariaDb, Options, Postgres, Proxy};

const TENANTS: usize = 12;
const BUDGET: usize = 4;

/// Runs `up` over twelve tenants that each sleep for a second, and returns the most sessions ever seen.
fn peak(fleet: &mut Fleet, kind: Kind, sessions: &dyn Fn() -> usize) -> usize {
    fleet
        .changeset("V1__effects.sql", "CREATE TABLE effects (version int);")
        .changeset("V2__slow.sql", &format!("INSERT INTO effects VALUES (2);\n{}", kind.slow(1)))
        .changeset("V3__more.sql", "INSERT INTO effects VALUES (3);");
    let mut running = fleet.spawn(&["up"]);
    let mut peak = 0;
    while running.is_running() {
        peak = peak.max(sessions());
    }
    let output = running.wait().expect(0);
    // A budget that is passed would be waited out, where the server allows no more.
    assert!(!output.stderr.contains("free connections"), "{output}");
    for tenant in fleet.names() {
        assert_eq!(fleet.effects(&tenant), [2, 3], "{tenant}");
    }
    peak
}

/// Covers row 11 of docs/failures.md.
#[test]
fn postgres_sees_no_more_sessions_than_the_budget_over_twelve_databases() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    for number in 1..=TENANTS {
        let (name, database) = (format!("t{number}"), format!("d{number}"));
        fleet.postgres_database_named(&name, &server, &database).set(&name, "max_connections", &BUDGET.to_string());
        server.execute("postgres", &format!("ALTER DATABASE {database} OWNER TO migrator"));
    }
    // The server itself refuses one more, even for an instant.
    server.execute("postgres", &format!("ALTER ROLE migrator NOSUPERUSER CONNECTION LIMIT {BUDGET}"));
    assert_eq!(peak(&mut fleet, Kind::Database, &|| server.sessions()), BUDGET);
    // A server has a moment's work after the last of them was closed.
    wait_until("all sessions end", || server.sessions() == 0);
    fleet.run(&["status", "--check"]).expect(0);
}

#[test]
fn postgres_sees_no_more_sessions_than_the_budget_over_twelve_schemas() {
    let server = Postgres::start(Options::default());
    let mut fleet = Fleet::new();
    server.create_database_named("shared");
    for number in 1..=TENANTS {
        fleet.postgres_schema_named(&format!("t{number}"), &server, "shared", &format!("s{number}"));
        server.execute("shared", &format!("ALTER SCHEMA s{number} OWNER TO migrator"));
    }
    fleet.set_server(&format!("pg{}", server.port()), "max_connections", &BUDGET.to_string());
    server.execute("postgres", &format!("ALTER ROLE migrator NOSUPERUSER CONNECTION LIMIT {BUDGET}"));
    assert_eq!(peak(&mut fleet, Kind::Schema, &|| server.sessions()), BUDGET);
    // A server has a moment's work after the last of them was closed.
    wait_until("all sessions end", || server.sessions() == 0);
}

/// Covers row 11 of docs/failures.md.
#[test]
fn mariadb_sees_no_more_sessions_than_the_budget_over_twelve_databases() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    for number in 1..=TENANTS {
        let name = format!("t{number}");
        fleet.mariadb_named(&name, &server, &format!("d{number}")).set(&name, "max_connections", &BUDGET.to_string());
    }
    server.execute("", &format!("ALTER USER migrator@'%' WITH MAX_USER_CONNECTIONS {BUDGET}"));
    // The server refuses one more. Its list, unlike its count, still has a closed one for a moment: no exact peak.
    assert!(peak(&mut fleet, Kind::MariaDb, &|| server.sessions()) >= BUDGET);
    // A server has a moment's work after the last of them was closed.
    wait_until("all sessions end", || server.sessions() == 0);
}

/// A run goes to and fro over its tenants, so that each step begins with the connections that the one before left.
#[test]
fn databases_beyond_the_budget_keep_the_connections_that_were_used_last() {
    const STEPS: usize = 10;
    let server = Postgres::start(Options::default());
    let proxy = Proxy::to(server.port());
    let mut fleet = Fleet::new();
    for number in 1..=TENANTS {
        let (name, database) = (format!("t{number}"), format!("d{number}"));
        fleet.postgres_database_named(&name, &server, &database).behind(&name, &proxy);
        fleet.set(&name, "max_connections", "6");
    }
    for version in 1..=STEPS {
        fleet.changeset(&format!("V{version}__t.sql"), &format!("CREATE TABLE t{version} (id int);"));
    }
    fleet.run(&["up", "--verify", "run"]).expect(0);
    // Five places beside the lock's. Two readings, the first step, nine further ones, the reading at the end, the record.
    let (all, missing) = (TENANTS, TENANTS - 5);
    let expected = all + 1 + missing + all + (STEPS - 1) * missing + 2 * missing;
    let connects = proxy.connections();
    let from_end_to_end = expected + (STEPS - 1) * 5;
    println!("{connects} connects, {expected} at best, {from_end_to_end} from end to end again");
    // Who is slow in a step keeps its place out of turn.
    assert!(connects <= from_end_to_end - STEPS, "{connects} connects, {expected} at best");
}

#[test]
fn the_smallest_budget_of_two_is_enough() {
    let (postgres, mariadb) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let mut fleet = Fleet::new();
    for number in 1..=3 {
        let names = ["p", "m"].map(|kind| format!("{kind}{number}"));
        fleet.postgres_database_named(&names[0], &postgres, &names[0]).mariadb_named(&names[1], &mariadb, &names[1]);
        fleet.set(&names[0], "max_connections", "2").set(&names[1], "max_connections", "2");
        postgres.execute("postgres", &format!("ALTER DATABASE {} OWNER TO migrator", names[0]));
    }
    postgres.execute("postgres", "ALTER ROLE migrator NOSUPERUSER CONNECTION LIMIT 2");
    mariadb.execute("", "ALTER USER migrator@'%' WITH MAX_USER_CONNECTIONS 2");
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int);").variant(
        "postgres",
        "V2__index.sql",
        "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY orders_id ON orders (id);",
    );
    fleet.changeset("V2__index.sql", "CREATE INDEX orders_id ON orders (id);");
    for command in [&["up"][..], &["status", "--check"], &["history"]] {
        let output = fleet.run(command).expect(0);
        assert!(!output.stderr.contains("free connections"), "{output}");
    }
}
