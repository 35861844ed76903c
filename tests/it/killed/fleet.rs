//! The runner is killed fifty times in a row over twenty tenants of every kind.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::random::Random;
use super::{assert_applied_once, end_state, wait_until};
use crate::support::kinds::Kind;
use crate::support::{Fleet, KINDS, MariaDb, Options, Postgres};

/// How often the runner is killed.
const KILLS: usize = 50;

/// The changesets at the start. Whenever `up` comes to its end before the last kill, it gets one more.
const CHANGESETS: i64 = 8;

/// How long a run waits for what the killed one left: its sessions end within a second.
const LOCK_WAIT: &str = "10s";

/// Seven schemas of one database, five databases, five databases of MariaDB, three files.
fn fleet(postgres: &Postgres, mariadb: &MariaDb) -> Fleet {
    let mut fleet = Fleet::new();
    let shared = postgres.create_database();
    for (kind, count) in KINDS.into_iter().zip([7, 5, 5, 3]) {
        for number in 1..=count {
            let name = name(kind, number);
            match kind {
                Kind::Schema => fleet.postgres_schema(&name, postgres, &shared),
                Kind::Database => fleet.postgres_database(&name, postgres),
                Kind::MariaDb => fleet.mariadb(&name, mariadb),
                Kind::Sqlite => fleet.sqlite(&name),
            };
        }
    }
    fleet
}

fn name(kind: Kind, number: usize) -> String {
    format!("{kind:?}{number}").to_lowercase()
}

fn kind(tenant: &str) -> Kind {
    *KINDS.iter().find(|kind| tenant.starts_with(&format!("{kind:?}").to_lowercase())).expect("a kind")
}

/// Each changeset has four statements, of which the second takes a moment. Every third goes statement by statement on
/// PostgreSQL, and every fourth on SQLite; on MariaDB all do.
fn statements(kind: Kind, version: i64) -> [String; 4] {
    let slow = match kind {
        Kind::MariaDb => "INSERT INTO t# VALUES (1, SLEEP(0.05))",
        Kind::Sqlite => {
            "INSERT INTO t# WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) \
             SELECT 1, 0 FROM n WHERE i = 30000"
        }
        _ => "INSERT INTO t# SELECT 1, 0 FROM (SELECT pg_sleep(0.05)) AS slept",
    };
    let index = match steps(kind, version) && kind.engine() == "postgres" {
        true => "CREATE INDEX CONCURRENTLY i# ON t# (a)",
        false => "CREATE INDEX i# ON t# (a)",
    };
    ["CREATE TABLE t# (id int PRIMARY KEY, a int)", slow, index, "INSERT INTO t# VALUES (2, 2)"]
        .map(|sql| sql.replace('#', &version.to_string()))
}

/// True where the changeset goes statement by statement.
fn steps(kind: Kind, version: i64) -> bool {
    match kind {
        Kind::MariaDb => true,
        Kind::Sqlite => version % 4 == 0,
        _ => version % 3 == 0,
    }
}

fn add_changeset(fleet: &mut Fleet, version: i64) {
    fleet.variants(&format!("V{version}__t{version}.sql"), |kind| {
        let header = match steps(kind, version) && kind != Kind::MariaDb {
            true => "-- mtmigrate: no-transaction\n",
            false => "",
        };
        header.to_string() + &statements(kind, version).map(|sql| sql + ";\n").concat()
    });
}

/// A query that has a row if a statement took effect.
fn effect(kind: Kind, version: i64, statement: usize) -> String {
    let catalog = match kind {
        Kind::MariaDb => [
            "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 't#'",
            "SELECT 1 FROM information_schema.statistics
             WHERE table_schema = DATABASE() AND table_name = 't#' AND index_name = 'i#'",
        ],
        Kind::Sqlite => {
            ["SELECT 1 FROM sqlite_schema WHERE name = 't#'", "SELECT 1 FROM sqlite_schema WHERE name = 'i#'"]
        }
        _ => [
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 't#'",
            "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('i#')::oid AND indisvalid",
        ],
    };
    let query = match statement {
        1 => catalog[0],
        2 => "SELECT 1 FROM t# WHERE id = 1",
        3 => catalog[1],
        _ => "SELECT 1 FROM t# WHERE id = 2",
    };
    query.replace('#', &version.to_string())
}

/// Version and statement of which the journal knows no end, by tenant.
fn uncertain(fleet: &Fleet) -> Vec<(String, i64, usize)> {
    let last = "SELECT outcome, version, statement_no FROM mtmigrate_journal ORDER BY id DESC LIMIT 1";
    let mut open = Vec::new();
    for tenant in fleet.names().into_iter().filter(|tenant| fleet.has_table(tenant, "mtmigrate_journal")) {
        if let [row] = &fleet.query(&tenant, last)[..]
            && row[0].as_deref() == Some("started")
        {
            let [version, statement] = [1, 2].map(|cell| row[cell].as_deref().unwrap());
            open.push((tenant, version.parse().unwrap(), statement.parse().unwrap()));
        }
    }
    open
}

/// What a person does when `up` answers 6: waits for orphans, looks whether each statement in doubt took effect, takes
/// back half an index, and says so.
fn settle(fleet: &Fleet) {
    for (tenant, version, statement) in uncertain(fleet) {
        let kind = kind(&tenant);
        let took_effect = !fleet.query(&tenant, &effect(kind, version, statement)).is_empty();
        if kind.engine() == "postgres" && statement == 3 && !took_effect {
            fleet.execute(&tenant, &format!("DROP INDEX IF EXISTS i{version}"));
        }
        let mark = if took_effect { "--mark-done" } else { "--mark-undone" };
        fleet.run(&["repair", "--tenant", &tenant, mark, "--reason", "looked", "--lock-wait", LOCK_WAIT]).expect(0);
    }
}

/// What holds at every instant, seen from outside: lockstep; and where a text commits as a whole, its table is there
/// exactly if its history row is. Each tenant is looked at in one query: an orphan may still commit.
///
/// `begun` has the tenants that are known to have a history.
fn assert_invariants(fleet: &Fleet, begun: &mut BTreeSet<String>) {
    let mut counts = Vec::new();
    for tenant in fleet.names() {
        if begun.contains(&tenant) || fleet.has_table(&tenant, "refinery_schema_history") {
            counts.push(assert_history_is_what_is_there(fleet, &tenant));
            begun.insert(tenant);
        } else {
            counts.push(0);
        }
    }
    let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
    assert!(most - least <= 1, "no lockstep: {counts:?}");
}

/// Returns how many changesets a tenant's history has.
fn assert_history_is_what_is_there(fleet: &Fleet, tenant: &str) -> usize {
    let kind = kind(tenant);
    let in_schema = "FROM information_schema.tables WHERE table_schema = ";
    let (tables, table) = match kind {
        Kind::MariaDb => (format!("SELECT table_name {in_schema} DATABASE()"), "CONCAT('t', version)"),
        Kind::Sqlite => ("SELECT name FROM sqlite_schema".to_string(), "'t' || version"),
        _ => (format!("SELECT table_name {in_schema} current_schema()"), "'t' || version"),
    };
    // Versions in the history, and the next one: is their table there?
    let rows = fleet.query(
        tenant,
        &format!(
            "SELECT version, {table} IN ({tables}) FROM (SELECT version FROM refinery_schema_history
             UNION ALL SELECT coalesce(max(version), 0) + 1 FROM refinery_schema_history) AS h ORDER BY version"
        ),
    );
    let (next, applied) = rows.split_last().expect("a next version");
    let is_there = |row: &Vec<Option<String>>| ["1", "t"].contains(&row[1].as_deref().unwrap());
    assert!(applied.iter().all(is_there), "{tenant} has no table of a version in its history: {rows:?}");
    let version: i64 = next[0].as_deref().unwrap().parse().unwrap();
    assert_eq!(version, i64::try_from(rows.len()).unwrap(), "{tenant} has a hole: {rows:?}");
    let early = !steps(kind, version) && is_there(next);
    assert!(!early, "{tenant} has the table of V{version}, and not its row: {rows:?}");
    applied.len()
}

/// Runs `up` until it is at its end; answers 6 with what a person does.
fn finish(fleet: &Fleet, servers: &(Postgres, MariaDb)) {
    let begun = Instant::now();
    loop {
        let output = fleet.run(&["up", "--lock-wait", LOCK_WAIT]);
        match output.status {
            0 => return,
            // What a killed run left is still at work.
            5 if begun.elapsed() < Duration::from_secs(90) => sleep(Duration::from_millis(200)),
            6 => {
                wait_for_orphans(servers);
                settle(fleet);
            }
            _ => panic!("{output}"),
        }
    }
}

fn wait_for_orphans((postgres, mariadb): &(Postgres, MariaDb)) {
    wait_until("the orphans end", || postgres.sessions() + mariadb.sessions() == 0);
}

/// Covers rows 3, 16, 17 of docs/failures.md.
/// Whatever instant it is, `up` again reaches the end state of an
/// undisturbed fleet, each statement ran once, and no lock is left.
#[test]
fn a_runner_killed_fifty_times_in_a_row_over_twenty_mixed_tenants_reaches_the_undisturbed_end() {
    let servers = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let (mut killed, mut twin) = (fleet(&servers.0, &servers.1), fleet(&servers.0, &servers.1));
    let mut random = Random::new();
    let mut versions = 0;
    let mut add = |killed: &mut Fleet, count: i64| {
        for _ in 0..count {
            versions += 1;
            add_changeset(killed, versions);
            add_changeset(&mut twin, versions);
        }
        versions
    };
    let mut last = add(&mut killed, CHANGESETS);
    let (mut kills, mut settled, mut begun) = (0, 0, BTreeSet::new());
    while kills < KILLS {
        let running = killed.spawn(&["up", "--lock-wait", LOCK_WAIT]);
        sleep(random.millis(20, 450));
        let output = running.kill_9();
        match output.status {
            137 => kills += 1,
            0 => last = add(&mut killed, 1),
            6 => {
                wait_for_orphans(&servers);
                settle(&killed);
                settled += 1;
            }
            // An orphan's statement was still at work.
            5 => {}
            _ => panic!("{output}"),
        }
        assert_invariants(&killed, &mut begun);
    }
    println!("{kills} kills, {settled} times a person, {last} changesets");
    finish(&killed, &servers);
    twin.run(&["up"]).expect(0);
    let names = killed.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_applied_once(&killed, &names, usize::try_from(last).unwrap());
    killed.run(&["drift"]).expect(0);
    wait_for_orphans(&servers);
    // Nothing is left to wait for.
    killed.run(&["up", "--lock-wait", "0"]).expect(0);
    for ((tenant, killed), twin) in names.iter().zip(end_state(&killed, &names)).zip(end_state(&twin, &names)) {
        assert_eq!(comparable(&killed), comparable(&twin), "{tenant}");
    }
}

/// A dump without the schema's own name, which differs between twins.
fn comparable(dump: &str) -> String {
    let schema = dump.lines().find_map(|line| line.strip_prefix("CREATE SCHEMA ")?.strip_suffix(';'));
    match schema {
        Some(schema) => dump.replace(schema, "tenant"),
        None => dump.to_string(),
    }
}
