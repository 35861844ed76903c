//! Tenants whose servers are not alike: clocks, settings, rights. And what the exit status says of it.

use super::{FIRST, assert_each_once, more};
use crate::support::kinds::fleet_of_all;
use crate::support::{Fleet, KINDS, Kind, MariaDb, Options, Postgres, postgres};

/// Covers row 53 of docs/failures.md.
/// Order is by sequence, never by time.
///
/// Nobody can set a server's clock back here, so the rows are made to look as if somebody had: each later attempt has
/// an earlier time.
#[test]
fn a_history_whose_clock_went_backwards_is_read_in_its_own_order() {
    let mut fleet = fleet_of_all(1);
    fleet.changeset("V1__effects.sql", FIRST);
    more(&mut fleet, 2);
    fleet.changeset("V3__fails.sql", "INSERT INTO no_such_table VALUES (3);");
    fleet.run(&["up"]).expect(1);
    for tenant in fleet.names() {
        fleet.execute(&tenant, &backwards(&tenant));
    }
    // The last attempt failed, though by its time it was the first of all.
    for tenant in fleet.names() {
        if fleet.journal(&tenant).last().is_some_and(|last| last.starts_with("V3 failed")) {
            assert_eq!(fleet.status().state(&tenant), "failed", "{tenant}");
        }
        let history = fleet.run(&["history", "--tenant", &tenant]).expect(0).stdout;
        let places =
            ["V1", "V2"].map(|version| history.find(version).unwrap_or_else(|| panic!("{version}: {history}")));
        assert_ne!(places[0], places[1]);
    }
    fleet.changeset("V3__fails.sql", "INSERT INTO effects VALUES (3);");
    fleet.run(&["up"]).expect(0);
    assert_each_once(&fleet, 3);
    for tenant in fleet.names() {
        fleet.execute(&tenant, &backwards(&tenant));
    }
    fleet.run(&["up"]).expect(0).says(&["nothing to do"]);
    fleet.run(&["drift"]).expect(0);
    for tenant in fleet.names() {
        assert_eq!(fleet.status().state(&tenant), "current", "{tenant}");
    }
}

/// Gives each row of the journal a time that is earlier the later it was written, and the history too.
fn backwards(tenant: &str) -> String {
    let (time, applied_on) = if tenant.starts_with("mariadb") {
        ("TIMESTAMP('2030-01-01') - INTERVAL id HOUR", "CONCAT('20', 40 - version, '-01-01T00:00:00Z')")
    } else if tenant.starts_with("sqlite") {
        (
            "strftime('%Y-%m-%dT%H:%M:%fZ', '2030-01-01', '-' || id || ' hours')",
            "'20' || (40 - version) || '-01-01T00:00:00Z'",
        )
    } else {
        ("timestamptz '2030-01-01' - id * interval '1 hour'", "'20' || (40 - version) || '-01-01T00:00:00Z'")
    };
    format!(
        "UPDATE mtmigrate_journal SET started_at = {time}, finished_at = {time};
         UPDATE refinery_schema_history SET applied_on = {applied_on};"
    )
}

/// Covers row 53 of docs/failures.md.
/// A server's time zone changes neither the instants nor the order.
#[test]
fn servers_of_other_time_zones_record_the_same_instants() {
    let ahead = Postgres::start(Options { conf: &[("timezone", "Pacific/Kiritimati")], ..Options::default() });
    let behind = MariaDb::start(Options { conf: &[("default-time-zone", "-11:00")], ..Options::default() });
    let mut fleet = Fleet::new();
    fleet.postgres_database("ahead", &ahead).mariadb("behind", &behind).sqlite("lite");
    fleet.postgres_database("utc", postgres(0)).changeset("V1__effects.sql", FIRST);
    more(&mut fleet, 2);
    fleet.run(&["up"]).expect(0);
    let spread = [
        ("ahead", "SELECT count(*) FROM mtmigrate_journal WHERE abs(extract(epoch FROM now() - finished_at)) < 600"),
        ("utc", "SELECT count(*) FROM mtmigrate_journal WHERE abs(extract(epoch FROM now() - finished_at)) < 600"),
        (
            "behind",
            "SELECT count(DISTINCT version) FROM mtmigrate_journal
             WHERE outcome = 'applied' AND abs(timestampdiff(SECOND, finished_at, utc_timestamp())) < 600",
        ),
        (
            "lite",
            "SELECT count(*) FROM mtmigrate_journal WHERE abs(julianday('now') - julianday(finished_at)) < 600.0 / 86400",
        ),
    ];
    for (tenant, sql) in spread {
        assert_eq!(
            fleet.cell(tenant, sql),
            "2",
            "{tenant}: {:?}",
            fleet.query(tenant, "SELECT * FROM mtmigrate_journal")
        );
        let on = fleet.cell(tenant, "SELECT applied_on FROM refinery_schema_history WHERE version = 2");
        let on = time::OffsetDateTime::parse(&on, &time::format_description::well_known::Rfc3339).expect("a time");
        let age = time::OffsetDateTime::now_utc() - on;
        assert!(age.abs() < time::Duration::minutes(10), "{tenant}: {on}");
    }
}

/// Covers row 56 of docs/failures.md.
///
/// Two versions of a server are not installed side by side: these two are told apart by a setting, which makes one of
/// them refuse what the other takes, as an older version does.
#[test]
fn a_text_that_one_of_two_servers_does_not_know_halts_and_who_is_ahead_is_listed() {
    let [new, old] = ["", "NO_ZERO_DATE,STRICT_ALL_TABLES"]
        .map(|mode| MariaDb::start(Options { conf: &[("sql-mode", mode)], ..Options::default() }));
    let mut fleet = Fleet::new();
    for (name, server) in [("new1", &new), ("new2", &new), ("old1", &old), ("old2", &old)] {
        fleet.mariadb(name, server);
    }
    fleet.changeset("V1__effects.sql", "CREATE TABLE effects (version int);\nINSERT INTO effects VALUES (1);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V2__dates.sql", "ALTER TABLE effects ADD COLUMN day date NOT NULL DEFAULT '0000-00-00';");
    fleet.changeset("V3__more.sql", "INSERT INTO effects (version) VALUES (2), (3);");
    let output = fleet.run(&["up", "--jobs", "4"]).expect(1);
    let output = output.says(&["V2__dates", "1067", "old1", "nobody has V3"]);
    let have = fleet.all_versions();
    for (tenant, versions) in &have {
        let ahead = versions[..] == [1, 2] && tenant.starts_with("new");
        assert!(ahead || versions[..] == [1], "{have:?} {output}");
    }
    let ahead = have.values().filter(|versions| versions.contains(&2)).count();
    assert!(output.stderr.contains(&format!("{ahead} tenant")), "{output}");
    // The versions of the servers are in the status.
    let status = fleet.status();
    let version = old.query("", "SELECT @@version");
    for tenant in fleet.names() {
        assert_eq!(status.tenant(&tenant)["server_version"], *version[0][0].as_ref().expect("a version"), "{tenant}");
    }
    old.execute("", "SET GLOBAL sql_mode = ''");
    fleet.run(&["up"]).expect(0);
    assert_each_once(&fleet, 3);
}

/// Covers row 57 of docs/failures.md.
/// Whatever kept a changeset from a tenant, the status is not 0.
#[test]
fn no_run_that_left_something_undone_exits_with_0() {
    for kind in KINDS {
        let mut fleet = crate::support::kinds::fleet_of(kind, 2);
        fleet.changeset("V1__effects.sql", FIRST);
        fleet.run(&["status", "--check"]).expect(4);
        fleet.run(&["plan", "--check"]).expect(4);
        fleet.run(&["up"]).expect(0);
        fleet.run(&["status", "--check"]).expect(0);
        // A text that fails.
        fleet.changeset("V2__fails.sql", "INSERT INTO effects (nothing) VALUES (2);");
        fleet.run(&["up"]).expect(1);
        fleet.remove("V2__fails.sql");
        // A text that was changed: drift.
        let text = format!("{FIRST}\n-- changed\nINSERT INTO effects VALUES (4);");
        fleet.edit("V1__effects.sql", &text);
        for args in [&["up"][..], &["drift"], &["status", "--check"]] {
            fleet.run(args).expect(3);
        }
        fleet.edit("V1__effects.sql", FIRST);
        // A tenant that cannot be reached.
        more(&mut fleet, 3);
        if kind == Kind::Database {
            let url = postgres(0).url("no_such_database");
            fleet.set("t02", "url", &serde_json::to_string(&url).unwrap());
            fleet.run(&["up"]).expect(5);
            assert_eq!(fleet.versions("t01"), [1]);
        }
        // Files that are not understood, and a selection of nobody.
        fleet.changeset("V4_misnamed.sql", "SELECT 1;");
        fleet.run(&["up"]).expect(2);
        fleet.remove("V4_misnamed.sql");
        fleet.run(&["up", "--tenant", "nobody"]).expect(2);
        fleet.run(&["up", "--to", "99"]).expect(2);
    }
}
