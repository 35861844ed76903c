//! `retries:` and `retry_pause:`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::limits::blocker::Blocker;
use crate::support::{Fleet, mariadb, postgres};

const TENANTS: [&str; 3] = ["pg", "my", "lite"];

fn retries(stdout: &str) -> u64 {
    let report: Value = serde_json::from_str(stdout).expect("JSON");
    report["tenants"][0]["retries"].as_u64().expect("a number")
}

/// Covers rows 9, 10, 13 of docs/failures.md.
#[test]
fn a_changeset_is_tried_again_as_often_and_after_such_pauses_as_tenants_yaml_says() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V2__b.sql", "-- mtmigrate: lock-timeout 100ms\nALTER TABLE t ADD COLUMN b int;");
    for tenant in TENANTS {
        let blocker = Blocker::on(&fleet, tenant);
        fleet.set(tenant, "retries", "0");
        let once = fleet.run(&["up", "--tenant", tenant, "--format", "json"]).expect(1);
        assert_eq!(retries(&once.stdout), 0, "{once}");
        assert!(once.stderr.contains("MT202"), "{once}");
        // The pauses are 0.5 s and 1 s, each by half shorter or longer.
        fleet.set(tenant, "retries", "2").set(tenant, "retry_pause", "500ms");
        let began = Instant::now();
        let twice = fleet.run(&["up", "--tenant", tenant, "--format", "json"]).expect(1);
        assert_eq!(retries(&twice.stdout), 2, "{twice}");
        assert!(began.elapsed() >= Duration::from_millis(750), "{:?}", began.elapsed());
        blocker.leave();
        fleet.run(&["up", "--tenant", tenant]).expect(0);
    }
}

#[test]
fn a_failure_that_another_try_cannot_mend_is_not_tried_again() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);\nCREATE TABLE t (a int);");
    for tenant in TENANTS {
        let output = fleet.run(&["up", "--tenant", tenant, "--format", "json"]);
        assert_eq!(retries(&output.stdout), 0, "{output}");
        assert!(output.stderr.contains("MT2"), "{output}");
    }
}

/// Covers row 9 of docs/failures.md.
#[test]
fn a_serialisation_failure_and_a_deadlock_are_tried_again_and_another_error_of_the_same_text_is_not() {
    for (code, tries) in [("40001", 3), ("40P01", 3), ("P0001", 1)] {
        let mut fleet = Fleet::new();
        fleet.postgres_database("pg", postgres(0)).set("pg", "retry_pause", "10ms");
        // A sequence counts also what is rolled back.
        fleet.execute("pg", "CREATE SEQUENCE tries");
        fleet.changeset(
            "V1__t.sql",
            &format!(
                "CREATE TABLE t (a int);\nDO $$ BEGIN IF nextval('tries') < 3 THEN\n\
                 RAISE EXCEPTION 'again' USING ERRCODE = '{code}'; END IF; END $$;"
            ),
        );
        let output = fleet.run(&["up", "--verify", "off", "--format", "json"]);
        assert_eq!(output.status, if tries == 3 { 0 } else { 1 }, "{code}: {output}");
        assert_eq!(retries(&output.stdout), tries - 1, "{code}: {output}");
        assert_eq!(fleet.query("pg", "SELECT last_value FROM tries"), [[Some(tries.to_string())]], "{code}");
    }
}
