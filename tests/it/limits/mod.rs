//! Lock timeouts and statement timeouts, seen to work on each engine against a session that is in the way.

pub mod blocker;

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{Fleet, Kind, Output, mariadb, postgres};

use blocker::Blocker;

const TENANTS: [&str; 3] = ["pg", "my", "lite"];

/// A tenant of each engine with a table `t`, at V1.
fn with_a_table() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);");
    fleet.run(&["up"]).expect(0);
    fleet
}

fn tenant_of(report: &Output) -> serde_json::Value {
    let report: serde_json::Value = serde_json::from_str(&report.stdout).expect("JSON");
    report["tenants"][0].clone()
}

const ALTER: &str = "ALTER TABLE t ADD COLUMN b int;";

/// A statement of an engine that runs for at least a minute.
fn endless(tenant: &str) -> &'static str {
    match tenant {
        "pg" => "SELECT pg_sleep(60);",
        "my" => "SELECT count(*) FROM seq_1_to_100000 a, seq_1_to_100000 b WHERE a.seq * b.seq = -1;",
        _ => "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n;",
    }
}

/// Covers rows 9, 10, 13 of docs/failures.md.
#[test]
fn the_lock_timeout_directive_ends_the_wait_and_is_tried_again_three_times() {
    let mut fleet = with_a_table();
    fleet.changeset("V2__b.sql", &format!("-- mtmigrate: lock-timeout 200ms\n{ALTER}"));
    for tenant in TENANTS {
        // Who goes by the tenant's own limit does not come to an end.
        fleet.set(tenant, "lock_timeout", "10m");
        let blocker = Blocker::on(&fleet, tenant);
        let output = fleet.run(&["up", "--tenant", tenant, "--format", "json"]).expect(1);
        assert!(output.stderr.contains("MT202"), "{tenant}: {output}");
        assert!(output.stderr.contains("V2__b.sql:2:1") || tenant == "lite", "{tenant}: {output}");
        assert!(output.stderr.contains("hint:"), "{tenant}: {output}");
        assert_eq!(tenant_of(&output)["retries"], 3, "{tenant}: {output}");
        blocker.leave();
        fleet.run(&["up", "--tenant", tenant]).expect(0);
    }
}

/// Covers rows 9, 13 of docs/failures.md.
#[test]
fn a_retry_succeeds_when_the_session_in_the_way_goes() {
    let mut fleet = with_a_table();
    fleet.changeset("V2__b.sql", ALTER);
    for tenant in TENANTS {
        fleet.set(tenant, "lock_timeout", "1s").set(tenant, "retries", "9");
        let blocker = Blocker::on(&fleet, tenant);
        let mut up = fleet.spawn(&["up", "--tenant", tenant, "--format", "json", "-v"]);
        up.wait_for("tried again");
        blocker.leave();
        let output = up.wait().expect(0);
        let tenant_run = tenant_of(&output);
        assert!(tenant_run["retries"].as_u64().unwrap() >= 1, "{tenant}: {output}");
        assert!(output.stderr.contains("tried again"), "{tenant}: {output}");
        assert_eq!(tenant_run["outcome"], "applied", "{tenant}");
    }
    fleet.run(&["status", "--check"]).expect(0);
}

/// What was set in a session for one order holds neither for the next nor for its own retry.
#[test]
fn limits_and_locks_of_one_changeset_end_with_it_on_a_mariadb_session_that_serves_several() {
    let mut fleet = with_a_table();
    fleet.forget_tenant("pg").forget_tenant("lite");
    fleet.run(&["up"]).expect(0);
    let rows = (1..=350).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
    fleet
        .changeset("V2__b.sql", ALTER)
        .changeset("V3__short.sql", "-- mtmigrate: statement-timeout=1s\nCREATE TABLE u (id int);")
        .changeset("V4__rows.sql", &format!("INSERT INTO u VALUES {rows};"))
        .changeset("V5__short.sql", "-- mtmigrate: statement-timeout=1s\nCREATE TABLE v (id bigint);")
        .changeset("V6__long.sql", "INSERT INTO v SELECT COUNT(*) FROM u a, u b, u c WHERE a.id + b.id <> c.id;");
    fleet.set("my", "lock_timeout", "1s").set("my", "max_connections", "2").set("my", "retries", "9");
    let blocker = Blocker::reading(&fleet, "my");
    let mut up = fleet.spawn(&["up", "-v"]);
    up.wait_for("tried again");
    blocker.leave();
    let output = up.wait().expect(0);
    assert!(output.stderr.contains("tried again"), "{output}");
    assert_eq!(fleet.query("my", "SELECT count(*) FROM v")[0][0].as_deref(), Some("1"));
}

/// Covers rows 9, 10 of docs/failures.md.
#[test]
fn readers_behind_a_waiting_ddl_are_stopped_for_the_lock_timeout_and_no_longer() {
    let mut fleet = with_a_table();
    fleet.changeset("V2__b.sql", &format!("-- mtmigrate: lock-timeout 300ms\n{ALTER}"));
    for tenant in ["pg", "my"] {
        // Who goes by the tenant's own limit stops the readers for longer than a slow machine does.
        fleet.set(tenant, "lock_timeout", "10m");
        // Reading is no obstacle to readers; the DDL that waits behind it is.
        let blocker = Blocker::reading(&fleet, tenant);
        let mut up = fleet.spawn(&["up", "--tenant", tenant]);
        let mut worst = Duration::ZERO;
        let mut reads = 0;
        while up.is_running() {
            let began = Instant::now();
            fleet.query(tenant, "SELECT a FROM t");
            worst = worst.max(began.elapsed());
            reads += 1;
            sleep(Duration::from_millis(20));
        }
        up.wait().expect(1);
        blocker.leave();
        assert!(reads > 3 && worst < Duration::from_secs(30), "{tenant}: {worst:?} of {reads} reads");
    }
}

#[test]
fn the_statement_timeout_directive_ends_a_statement_that_runs_too_long() {
    let mut fleet = with_a_table();
    for tenant in TENANTS {
        fleet.changeset("V2__long.sql", &format!("-- mtmigrate: statement-timeout 400ms\n{}", endless(tenant)));
        let output = fleet.run(&["up", "--tenant", tenant, "--format", "json"]).expect(1);
        assert!(output.stderr.contains("MT203"), "{tenant}: {output}");
        assert!(output.stderr.contains("V2__long.sql:2:1"), "{tenant}: {output}");
        assert_eq!(tenant_of(&output)["retries"], 0, "{tenant}: {output}");
    }
}

#[test]
fn the_keys_of_tenants_yaml_set_both_limits_and_a_directive_overrides_them() {
    let mut fleet = with_a_table();
    for tenant in TENANTS {
        fleet.set(tenant, "lock_timeout", "100ms").set(tenant, "statement_timeout", "1500ms");
    }
    for tenant in TENANTS {
        fleet.changeset("V2__b.sql", ALTER);
        let blocker = Blocker::on(&fleet, tenant);
        let output = fleet.run(&["up", "--tenant", tenant]).expect(1);
        assert!(output.stderr.contains("MT202"), "{tenant}: {output}");
        blocker.leave();
        fleet.edit("V2__b.sql", endless(tenant));
        let output = fleet.run(&["up", "--tenant", tenant]).expect(1);
        assert!(output.stderr.contains("MT203"), "{tenant}: {output}");
        fleet.edit("V2__b.sql", &format!("-- mtmigrate: lock-timeout 1m\n-- mtmigrate: statement-timeout 0\n{ALTER}"));
        let blocker = Blocker::on(&fleet, tenant);
        let up = fleet.spawn(&["up", "--tenant", tenant, "--format", "json"]);
        sleep(Duration::from_millis(1500));
        blocker.leave();
        let output = up.wait().expect(0);
        assert_eq!(tenant_of(&output)["retries"], 0, "{tenant}: it simply waited: {output}");
        // The next engine begins with its own V2.
    }
}

#[test]
fn a_no_transaction_changeset_has_the_same_limits() {
    let mut fleet = with_a_table();
    for tenant in TENANTS {
        let head =
            "-- mtmigrate: no-transaction\n-- mtmigrate: lock-timeout 200ms\n-- mtmigrate: statement-timeout 5s\n";
        fleet.changeset("V2__b.sql", &format!("{head}{ALTER}"));
        let blocker = Blocker::on(&fleet, tenant);
        let output = fleet.run(&["up", "--tenant", tenant, "--format", "json"]).expect(1);
        assert!(output.stderr.contains("MT202"), "{tenant}: {output}");
        assert_eq!(tenant_of(&output)["retries"], 3, "{tenant}: {output}");
        blocker.leave();
        let head = head.replace("5s", "400ms");
        fleet.edit("V2__b.sql", &format!("{head}{}", endless(tenant)));
        let output = fleet.run(&["up", "--tenant", tenant]).expect(1);
        assert!(output.stderr.contains("MT203") && output.stderr.contains("V2__b.sql:4:1"), "{tenant}: {output}");
    }
}

/// A waiting run holds nothing that a running `CREATE INDEX CONCURRENTLY` waits for.
///
/// Covers row 4 of docs/failures.md.
#[test]
fn a_run_that_waits_for_the_lock_does_not_block_an_index_that_the_holder_builds_concurrently() {
    let mut fleet = with_a_table();
    fleet.forget_tenant("my").forget_tenant("lite").changeset(
        "V2__i.sql",
        &format!("-- mtmigrate: no-transaction\n{}\nCREATE INDEX CONCURRENTLY t_a ON t (a);\n", Kind::Database.gate()),
    );
    let holder = fleet.spawn(&["up"]);
    fleet.wait_at_gate("pg");
    let mut waiter = fleet.spawn(&["-v", "up", "--lock-wait", "100s"]);
    waiter.wait_for("waiting for the lock");
    fleet.open_gate("pg");
    // Had they waited for each other, the holder would end when the waiter gives up, and that with another status.
    holder.wait().expect(0);
    let waited = waiter.wait().expect(0);
    assert!(waited.stdout.contains("nothing to do"), "{waited}");
}
