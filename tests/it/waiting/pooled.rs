//! Poolers: those that share sessions are refused before anything is written, the others work.

use crate::support::pgbouncer::PgBouncer;
use crate::support::proxy::Proxy;
use crate::support::tls::Mode;
use crate::support::{Fleet, Options, Postgres, unique};

/// Three tenants with a database each, and changesets of both ways.
fn fleet(server: &Postgres) -> (Fleet, Vec<String>) {
    let mut fleet = Fleet::new();
    let databases: Vec<String> = (0..3).map(|_| unique("pooled")).collect();
    for (name, database) in ["a", "b", "c"].iter().zip(&databases) {
        fleet.postgres_database_named(name, server, database);
    }
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nSET search_path = pg_catalog;").changeset(
        "V2__i.sql",
        "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY t_a ON t (a);\nINSERT INTO t VALUES (1);",
    );
    (fleet, databases)
}

fn through(fleet: &mut Fleet, databases: &[String], url: impl Fn(&str) -> String) {
    for (name, database) in ["a", "b", "c"].iter().zip(databases) {
        fleet.set(name, "url", &format!("{:?}", url(database)));
    }
}

/// Covers row 6 of docs/failures.md.
#[test]
fn pgbouncer_in_transaction_pooling_is_refused_before_anything_is_written() {
    let server = Postgres::start(Options::default());
    // With one server session to give away, and with several in turn.
    for settings in
        [&["pool_mode = transaction"][..], &["pool_mode = transaction", "server_round_robin = 1", "min_pool_size = 3"]]
    {
        let (mut fleet, databases) = fleet(&server);
        let pooler = PgBouncer::to(&server, settings);
        through(&mut fleet, &databases, |database| pooler.url(database));
        let before = fleet.dumps();
        for _ in 0..3 {
            let up = fleet.run(&["up"]).expect(5);
            assert!(up.stderr.contains("error[MT317]") && up.stderr.contains("pool_mode = session"), "{up}");
            assert!(up.stderr.contains("nothing was changed"), "{up}");
        }
        assert_eq!(fleet.dumps(), before);
        // Who only reads needs no session of one's own.
        let status = fleet.run(&["status"]).expect(0);
        assert!(status.stdout.contains("new"), "{status}");
        fleet.run(&["plan"]).expect(0);
        through(&mut fleet, &databases, |database| server.url(database));
        fleet.run(&["up"]).expect(0);
        through(&mut fleet, &databases, |database| pooler.url(database));
        fleet.run(&["status", "--check"]).expect(0);
        fleet.run(&["drift"]).expect(0);
    }
}

/// Covers row 6 of docs/failures.md.
#[test]
fn pgbouncer_in_statement_pooling_is_refused_before_anything_is_written() {
    let server = Postgres::start(Options::default());
    let (mut fleet, databases) = fleet(&server);
    let pooler = PgBouncer::to(&server, &["pool_mode = statement"]);
    through(&mut fleet, &databases, |database| pooler.url(database));
    let before = fleet.dumps();
    let up = fleet.run(&["up"]).expect(5);
    assert!(up.stderr.contains("error[MT317]") && up.stderr.contains("pool_mode = session"), "{up}");
    assert_eq!(fleet.dumps(), before);
    fleet.run(&["status"]).expect(0);
    through(&mut fleet, &databases, |database| server.url(database));
    fleet.run(&["up"]).expect(0);
    through(&mut fleet, &databases, |database| pooler.url(database));
    fleet.run(&["status", "--check"]).expect(0);
}

/// Covers row 6 of docs/failures.md.
#[test]
fn pgbouncer_in_transaction_pooling_for_one_tenants_database_alone_is_refused_too() {
    let server = Postgres::start(Options::default());
    let (mut fleet, databases) = fleet(&server);
    let last = format!("[databases]\n{} = host=127.0.0.1 port={} pool_mode=transaction", databases[2], server.port());
    let pooler = PgBouncer::to(&server, &["pool_mode = session", &last]);
    through(&mut fleet, &databases, |database| pooler.url(database));
    let before = fleet.dumps();
    let up = fleet.run(&["up"]).expect(5);
    assert!(up.stderr.contains("error[MT317]") && up.stderr.contains(&databases[2]), "{up}");
    assert_eq!(fleet.dumps(), before);
}

/// Covers row 6 of docs/failures.md.
#[test]
fn pgbouncer_in_session_pooling_and_a_plain_forwarder_work() {
    let server = Postgres::start(Options::default());
    let (mut pooled, databases) = fleet(&server);
    let pooler = PgBouncer::to(&server, &["pool_mode = session"]);
    through(&mut pooled, &databases, |database| pooler.url(database));
    pooled.run(&["up"]).expect(0);
    pooled.run(&["status", "--check"]).expect(0);

    let (mut forwarded, databases) = fleet(&server);
    let proxy = Proxy::to(server.port());
    through(&mut forwarded, &databases, |database| proxy.url(&server.url(database)));
    forwarded.run(&["up"]).expect(0);
    forwarded.run(&["status", "--check"]).expect(0);
}

#[test]
fn behind_a_plain_forwarder_only_the_database_of_the_lock_is_looked_into() {
    for (tls, parameter) in [(Mode::Off, ""), (Mode::Required, "?sslmode=require")] {
        let server = Postgres::start(Options { tls, ..Options::default() });
        let (mut fleet, databases) = fleet(&server);
        let proxy = Proxy::to(server.port());
        through(&mut fleet, &databases, |database| format!("{}{parameter}", proxy.url(&server.url(database))));
        fleet.remove("V2__i.sql");
        fleet.run(&["up", "--verify", "off"]).expect(0);
        // One for each database, one for the lock, and one that the lock's looks for.
        assert_eq!(proxy.connections(), 3 + 1 + 1, "{parameter}");
    }
}
