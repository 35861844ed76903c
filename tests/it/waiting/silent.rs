//! Networks that swallow what they carry: whoever waits finds out, and never gives up a statement that is at work.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::fleet::Place;
use crate::support::proxy::{Deed, Point, Proxy, Trap};
use crate::support::{Fleet, Kind, MariaDb, Options, Output, Postgres};

/// Far less than a test may take, and far more than the checks below need on a slow machine.
const SOON: Duration = Duration::from_secs(200);

/// A tenant `a` behind a proxy, with the table `effects`, in a fleet that checks on silence every second.
fn behind_proxy(kind: Kind) -> (Fleet, Proxy) {
    let mut fleet = Fleet::new();
    let proxy = match kind {
        Kind::MariaDb => {
            let server = MariaDb::start(Options::default());
            fleet.mariadb("a", &server);
            Proxy::to(server.port())
        }
        _ => {
            let server = Postgres::start(Options::default());
            fleet.postgres_database("a", &server);
            Proxy::to(server.port())
        }
    };
    let url = match fleet.place("a") {
        Place::Postgres { server, database, .. } => server.url(database),
        Place::MariaDb { server, database } => server.url(database),
        Place::Sqlite(_) => unreachable!("not over a network"),
    };
    fleet.set("a", "url", &format!("{:?}", proxy.url(&url)));
    fleet.changeset("V1__effects.sql", "CREATE TABLE effects (version int);");
    fleet.run(&["up"]).expect(0);
    fleet.set("a", "silence_check", "1s").set("a", "connect_timeout", "2s");
    (fleet, proxy)
}

/// Runs `up` over a network that is well again, with as much patience as one has who says nothing of it.
fn up_in_peace(fleet: &mut Fleet) -> Output {
    fleet.set("a", "silence_check", "1m").set("a", "connect_timeout", "30s");
    up(fleet).expect(0)
}

fn tenant_of(report: &Output) -> Value {
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    report["tenants"][0].clone()
}

/// Runs `up` and sees that it ends soon.
fn up(fleet: &Fleet) -> Output {
    let began = Instant::now();
    let output = fleet.run(&["up", "--format", "json"]);
    assert!(began.elapsed() < SOON, "{:?}: {output}", began.elapsed());
    output
}

/// Covers row 24 of docs/failures.md.
#[test]
fn an_answer_of_postgres_that_never_arrives_is_found_in_the_history() {
    let (mut fleet, proxy) = behind_proxy(Kind::Database);
    fleet.changeset("V2__more.sql", "INSERT INTO effects VALUES (2); -- swallowed");
    proxy.arm(Trap::at_text("swallowed", Point::After, Deed::HoldAnswers));
    let output = up(&fleet).expect(0);
    assert_eq!(proxy.sprung(), 1);
    assert_eq!(tenant_of(&output)["outcome"], "applied", "{output}");
    assert_eq!(fleet.effects("a"), [2]);
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_changeset_that_never_reached_postgres_is_known_not_to_have_run() {
    let (mut fleet, proxy) = behind_proxy(Kind::Database);
    fleet.changeset("V2__more.sql", "INSERT INTO effects VALUES (2); -- swallowed");
    proxy.arm(Trap::at_text("swallowed", Point::Before, Deed::Freeze));
    let output = up(&fleet).expect(1);
    assert_eq!(tenant_of(&output)["outcome"], "failed", "{output}");
    assert!(output.stderr.contains("MT205") && output.stderr.contains("unchanged"), "{output}");
    // What the network kept back comes too late: the process that it was for is gone.
    proxy.thaw();
    assert_eq!(fleet.effects("a"), [0; 0]);
    up_in_peace(&mut fleet);
    assert_eq!(fleet.effects("a"), [2]);
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_network_that_freezes_altogether_hangs_no_run() {
    for kind in [Kind::Database, Kind::MariaDb] {
        let (mut fleet, proxy) = behind_proxy(kind);
        fleet.changeset("V2__more.sql", &format!("{}\n-- swallowed", kind.slow_effect(2, 2)));
        proxy.arm(Trap::at_text("slept", Point::After, Deed::Freeze));
        let up = fleet.spawn(&["up", "--format", "json"]);
        proxy.wait_sprung(1);
        proxy.freeze();
        let began = Instant::now();
        let output = up.wait();
        assert!(began.elapsed() < SOON, "{kind:?}: {:?}", began.elapsed());
        assert_ne!(output.status, 0, "{kind:?}: {output}");
        let outcome = if kind == Kind::MariaDb { "half-applied" } else { "unknown" };
        assert_eq!(tenant_of(&output)["outcome"], outcome, "{kind:?}: {output}");
        assert!(output.stderr.contains("MT205"), "{kind:?}: {output}");
        proxy.thaw();
    }
}

/// Covers row 24 of docs/failures.md.
#[test]
fn an_answer_of_mariadb_that_never_arrives_is_not_waited_for_for_ever() {
    let (mut fleet, proxy) = behind_proxy(Kind::MariaDb);
    fleet.changeset("V2__more.sql", "INSERT INTO effects VALUES (2 + 0);");
    proxy.arm(Trap::at_text("2 + 0", Point::After, Deed::HoldAnswers));
    let output = up(&fleet);
    assert_ne!(output.status, 0, "{output}");
    assert!(output.stderr.contains("MT205") && output.stderr.contains("its answer did not arrive"), "{output}");
    assert_eq!(fleet.effects("a"), [2]);
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_statement_at_work_is_never_given_up() {
    for kind in [Kind::Database, Kind::MariaDb] {
        let (mut fleet, _proxy) = behind_proxy(kind);
        fleet.set("a", "silence_check", "100ms").set("a", "connect_timeout", "30s");
        fleet.changeset("V2__slow.sql", &kind.slow_effect(2, 6));
        let output = up(&fleet).expect(0);
        assert_eq!(tenant_of(&output)["retries"], 0, "{kind:?}: {output}");
        assert_eq!(fleet.effects("a"), [2], "{kind:?}");
    }
}

/// Covers rows 2, 24 of docs/failures.md.
#[test]
fn a_connection_that_is_reset_in_the_middle_leaves_postgres_unchanged_and_the_run_knows_it() {
    let (mut fleet, proxy) = behind_proxy(Kind::Database);
    fleet.changeset("V2__slow.sql", &Kind::Database.slow_effect(2, 100));
    proxy.arm(Trap::at_text("slept", Point::After, Deed::Reset));
    let output = up(&fleet).expect(1);
    assert_eq!(tenant_of(&output)["outcome"], "failed", "{output}");
    assert!(output.stderr.contains("MT205") && output.stderr.contains("unchanged"), "{output}");
    fleet.edit("V2__slow.sql", "INSERT INTO effects VALUES (2);");
    // Nothing of the first try is in the way of the second.
    fleet.set("a", "lock_timeout", "10s").set("a", "retries", "0");
    up_in_peace(&mut fleet);
    assert_eq!(fleet.effects("a"), [2]);
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_server_that_ignores_its_own_statement_timeout_is_waited_for_only_a_little_longer() {
    let (mut fleet, proxy) = behind_proxy(Kind::Database);
    fleet.set("a", "silence_check", "10m").set("a", "statement_timeout", "1s");
    fleet.changeset("V2__more.sql", "INSERT INTO effects VALUES (2); -- swallowed");
    proxy.arm(Trap::at_text("swallowed", Point::After, Deed::HoldAnswers));
    let output = up(&fleet).expect(0);
    assert_eq!(tenant_of(&output)["outcome"], "applied", "{output}");
    assert_eq!(fleet.effects("a"), [2]);
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_statement_of_a_text_without_transaction_whose_answer_never_arrives_is_not_waited_for_for_ever() {
    let (mut fleet, proxy) = behind_proxy(Kind::Database);
    fleet.changeset("V2__more.sql", "-- mtmigrate: no-transaction\nINSERT INTO effects VALUES (2 + 0);");
    proxy.arm(Trap::at_text("2 + 0", Point::After, Deed::HoldAnswers));
    let output = up(&fleet);
    assert_ne!(output.status, 0, "{output}");
    assert!(output.stderr.contains("MT205"), "{output}");
    assert_eq!(fleet.effects("a"), [2]);
}

/// Covers row 24 of docs/failures.md.
#[test]
fn a_network_that_freezes_while_tenants_are_read_makes_them_unreachable_and_hangs_nothing() {
    for kind in [Kind::Database, Kind::MariaDb] {
        let (mut fleet, proxy) = behind_proxy(kind);
        fleet.changeset("V2__more.sql", "INSERT INTO effects VALUES (2);");
        // In the middle of the first question about the history; and whatever comes after.
        proxy.arm(Trap::at_text("refinery_schema_history", Point::After, Deed::Freeze));
        let status = fleet.spawn(&["status"]);
        proxy.wait_sprung(1);
        proxy.freeze();
        let began = Instant::now();
        let output = status.wait().expect(5);
        assert!(began.elapsed() < SOON, "{kind:?}: {:?}", began.elapsed());
        assert!(output.stderr.contains("MT3"), "{kind:?}: {output}");
        proxy.thaw();
        up_in_peace(&mut fleet);
    }
}

/// Covers row 24 of docs/failures.md.
#[test]
fn what_another_role_does_is_seen_to_be_at_work_and_to_be_over_without_a_right_to_look_at_it() {
    let server = Postgres::start(Options::default());
    let proxy = Proxy::to(server.port());
    let mut fleet = Fleet::new();
    // The run lock's session is that of the first tenant's role.
    for name in ["a", "b"] {
        fleet.postgres_database_named(name, &server, name);
        server.execute(
            "postgres",
            &format!("CREATE ROLE {name} LOGIN PASSWORD 'only-here'; ALTER DATABASE {name} OWNER TO {name}"),
        );
        let url = proxy.url(&server.url_as(name, "only-here", "127.0.0.1", name));
        fleet.set(name, "url", &format!("{url:?}")).set(name, "silence_check", "500ms");
    }
    fleet.changeset("V1__effects.sql", "CREATE TABLE effects (version int);");
    fleet.changeset("V2__slow.sql", &format!("{} -- swallowed", Kind::Database.slow_effect(2, 7)));
    fleet.run(&["up", "--to", "1"]).expect(0);
    fleet.run(&["up", "--tenant", "a"]).expect(0);
    proxy.arm(Trap::at_text("swallowed", Point::After, Deed::HoldAnswers));
    let began = Instant::now();
    let output = up(&fleet).expect(0);
    assert!(began.elapsed() >= Duration::from_secs(7), "{:?}: given up while it was at work", began.elapsed());
    assert_eq!(proxy.sprung(), 1);
    assert!(output.stdout.contains("applied"), "{output}");
    assert_eq!(fleet.effects("b"), [2]);
}
