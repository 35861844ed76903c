//! A fleet of all engines goes up through twenty changesets in one command, in lockstep.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::fleet::Place;
use crate::support::{Fleet, Output, mariadb, postgres};

const CHANGESETS: i64 = 20;
const TENANTS: usize = 29;

/// Three PostgreSQL databases on two servers, twenty schemas in one database, three MariaDB databases, three files.
fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet
        .postgres_database("db1", postgres(0))
        .postgres_database("db2", postgres(0))
        .postgres_database("db3", postgres(1));
    let shared = postgres(1).create_database();
    for number in 1..=20 {
        fleet.postgres_schema(&format!("schema{number}"), postgres(1), &shared);
    }
    for number in 1..=3 {
        fleet.mariadb(&format!("maria{number}"), mariadb(0)).sqlite(&format!("file{number}"));
    }
    fleet
}

/// Each text also records itself with the server's clock.
fn changesets(fleet: &mut Fleet) {
    let recorded = |at: &str| {
        format!("CREATE TABLE recorded (version int, seen {at});\nINSERT INTO recorded (version) VALUES (1);\n")
    };
    let note = |version: i64| format!("INSERT INTO recorded (version) VALUES ({version});\n");
    fleet
        .variant("postgres", "V1__recorded.sql", &recorded("timestamptz DEFAULT clock_timestamp()"))
        .variant("mysql", "V1__recorded.sql", &recorded("datetime(6) DEFAULT current_timestamp(6)"))
        .variant("sqlite", "V1__recorded.sql", &recorded("text DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))"))
        .changeset("V2__orders.sql", &format!("CREATE TABLE orders (id int, ref varchar(40));\n{}", note(2)))
        .changeset("V3__log.sql", &format!("CREATE TABLE log (what text);\n{}", note(3)))
        .variant("postgres", "V3__log.sql", &format!("CREATE TABLE log (what text, more jsonb);\n{}", note(3)))
        .changeset("V4__first.sql", &format!("INSERT INTO orders (id, ref) VALUES (1, 'A;1');\n{}", note(4)))
        .changeset("V5__index.sql", &format!("CREATE INDEX orders_ref ON orders (ref);\n{}", note(5)))
        .variant(
            "postgres",
            "V5__index.sql",
            &format!(
                "-- mtmigrate: no-transaction\nCREATE INDEX CONCURRENTLY orders_ref ON orders (ref);\n{}",
                note(5)
            ),
        )
        .variant(
            "mysql",
            "V6__log_orders.sql",
            &format!(
                "DELIMITER //\nCREATE TRIGGER log_orders AFTER INSERT ON orders FOR EACH ROW\nBEGIN\n  \
                 INSERT INTO log (what) VALUES (NEW.ref);\nEND//\nDELIMITER ;\n{}",
                note(6)
            ),
        )
        .variant(
            "sqlite",
            "V6__log_orders.sql",
            &format!(
                "CREATE TRIGGER log_orders AFTER INSERT ON orders BEGIN\n  \
                 INSERT INTO log (what) VALUES (NEW.ref);\nEND;\n{}",
                note(6)
            ),
        )
        .variant(
            "postgres",
            "V6__log_orders.sql",
            &format!(
                "CREATE FUNCTION log_order() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  \
                 INSERT INTO log (what) VALUES (NEW.ref);\n  RETURN NEW;\nEND $$;\n\
                 CREATE TRIGGER log_orders AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION log_order();\n{}",
                note(6)
            ),
        )
        .changeset("U7__second.sql", &format!("INSERT INTO orders (id, ref) VALUES (2, 'B-2');\n{}", note(7)));
    for version in 8..=CHANGESETS {
        let sql = format!("ALTER TABLE orders ADD COLUMN c{version} int;\n{}", note(version));
        fleet.changeset(&format!("V{version}__column_{version}.sql"), &sql);
    }
}

#[test]
fn a_mixed_fleet_goes_up_through_twenty_changesets_in_lockstep_and_a_second_run_changes_nothing() {
    let mut fleet = fleet();
    changesets(&mut fleet);
    let output = fleet.run(&["-vv", "--log-format", "json", "up", "--format", "json"]).expect(0);
    assert_the_report_counts_everything(&output);
    assert_the_log_shows_lockstep(&output);
    assert_the_clocks_show_lockstep(&fleet);
    for tenant in fleet.names() {
        assert_eq!(fleet.versions(&tenant), (1..=CHANGESETS).collect::<Vec<i64>>(), "{tenant}");
        // The trigger works, and saw what came after it.
        assert_eq!(fleet.cell(&tenant, "SELECT what FROM log"), "B-2", "{tenant}");
        let applied = "SELECT count(*) FROM mtmigrate_journal WHERE outcome = 'applied'";
        assert_eq!(fleet.cell(&tenant, applied), "20", "{tenant}");
        let other = "SELECT count(*) FROM mtmigrate_journal WHERE outcome = 'failed'";
        assert_eq!(fleet.cell(&tenant, other), "0", "{tenant}");
    }

    let before = fleet.dumps();
    let again = fleet.run(&["up"]).expect(0);
    assert!(again.stdout.contains("nothing to do: 29 tenants have V20"), "{again}");
    fleet.run(&["status"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
    fleet.run(&["plan", "--check"]).expect(0);
    let status = fleet.status();
    assert_eq!((status.0["target"].as_str(), status.0["schema"].as_str()), (Some("20"), Some("mtmigrate.status/1")));
    assert_eq!((status.count("tenants"), status.count("current")), (29, 29));

    fleet.changeset("V21__more.sql", "ALTER TABLE orders ADD COLUMN c21 int;");
    fleet.run(&["status"]).expect(0);
    fleet.run(&["status", "--check"]).expect(4);
    fleet.run(&["plan"]).expect(0).says(&["V21__more"]);
    fleet.run(&["plan", "--check"]).expect(4);
    let status = fleet.status();
    assert_eq!((status.count("behind"), status.count("current")), (29, 0));
    for (tenant, engine) in [("db3", "postgres"), ("schema20", "postgres"), ("maria1", "mysql"), ("file2", "sqlite")] {
        let entry = status.tenant(tenant);
        assert_eq!((entry["engine"].as_str(), entry["version"].as_str()), (Some(engine), Some("20")), "{entry}");
        assert_eq!(entry["pending"], serde_json::json!(["21"]), "{entry}");
        assert_eq!(entry["last"]["outcome"], "applied", "{entry}");
    }
    assert_eq!(fleet.dumps(), before, "a second `up`, `status` and `plan` write nothing");
}

fn assert_the_report_counts_everything(output: &Output) {
    let report = output.json();
    assert_eq!((&report["outcome"], &report["exit_status"]), (&Value::from("applied"), &Value::from(0)));
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len() as i64, CHANGESETS);
    for (step, version) in steps.iter().zip(1..) {
        assert_eq!(step["version"], i64::to_string(&version), "{step}");
        assert_eq!((step["applied"].as_u64(), step["outcome"].as_str()), (Some(TENANTS as u64), Some("proceeded")));
    }
    for tenant in report["tenants"].as_array().unwrap() {
        assert_eq!((tenant["outcome"].as_str(), tenant["applied"].as_i64()), (Some("applied"), Some(CHANGESETS)));
    }
}

/// In the log's order no tenant starts k+1 before all 29 have ended k.
fn assert_the_log_shows_lockstep(output: &Output) {
    let (mut started, mut applied) = (BTreeMap::new(), BTreeMap::new());
    for line in output.stderr.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        let Some(version) = line["version"].as_str().and_then(|version| version.parse::<i64>().ok()) else { continue };
        match line["message"].as_str() {
            Some("started") => {
                *started.entry(version).or_insert(0) += 1;
                let before = applied.get(&(version - 1)).copied().unwrap_or(0);
                assert!(version == 1 || before == TENANTS, "V{version} began with {before} tenants at the one before");
            }
            Some("applied") => *applied.entry(version).or_insert(0) += 1,
            _ => {}
        }
    }
    let all: BTreeMap<i64, usize> = (1..=CHANGESETS).map(|version| (version, TENANTS)).collect();
    assert_eq!(started, all, "{output}");
    assert_eq!(applied, all, "{output}");
}

/// All servers are on this machine and have one clock: by what the texts and the journals recorded, the last tenant's
/// end of k is before the first tenant's beginning of k+1.
fn assert_the_clocks_show_lockstep(fleet: &Fleet) {
    let mut first: BTreeMap<i64, (String, String)> = BTreeMap::new();
    let mut last: BTreeMap<i64, (String, String)> = BTreeMap::new();
    for tenant in fleet.names() {
        for row in fleet.query(&tenant, times(fleet.place(&tenant))) {
            let [Some(version), Some(from), Some(to)] = &row[..] else { panic!("{tenant}: {row:?}") };
            // SQLite's clock has milliseconds, and cutting all of them off alike keeps their order.
            let [from, to] = [from, to].map(|time| (time[..23].replace('T', " "), tenant.clone()));
            let version = version.parse().unwrap();
            let earliest = first.entry(version).or_insert_with(|| from.clone());
            *earliest = from.min(earliest.clone());
            let latest = last.entry(version).or_insert_with(|| to.clone());
            *latest = to.max(latest.clone());
        }
    }
    assert_eq!(first.len() as i64, CHANGESETS);
    for version in 1..CHANGESETS {
        let (ended, began) = (&last[&version], &first[&(version + 1)]);
        assert!(ended.0 <= began.0, "V{version} ended {ended:?}, the next began {began:?}");
    }
}

/// Version, beginning and end, of what the journal and the texts recorded.
fn times(place: &Place) -> &'static str {
    match place {
        Place::Postgres { .. } => {
            "SELECT version, to_char(a AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),
                    to_char(b AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
             FROM (SELECT version, started_at AS a, finished_at AS b FROM mtmigrate_journal
                   UNION ALL SELECT version, seen, seen FROM recorded) AS t"
        }
        Place::MariaDb { .. } => {
            "SELECT version, started_at, finished_at FROM mtmigrate_journal
             UNION ALL SELECT version, seen, seen FROM recorded"
        }
        Place::Sqlite(_) => {
            "SELECT version, started_at, finished_at FROM mtmigrate_journal
             UNION ALL SELECT version, seen, seen FROM recorded"
        }
    }
}
