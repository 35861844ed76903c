//! What the journal keeps of a schema.

use std::sync::Arc;

use mtmigrate::changeset::Version;
use mtmigrate::engine::{self, Acceptance, JournalFormat, Keep, RunIdentity, Server};
use mtmigrate::error::Code;
use mtmigrate::schema::Snapshot;
use mtmigrate::tenant::{self, ProcessEnvironment, Tenant};

use crate::support::{Fleet, mariadb};

/// The journal of format 1, as an older build made it.
const OLD: &str = "CREATE TABLE mtmigrate_journal (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
    format SMALLINT NOT NULL, run_id VARCHAR(255) NOT NULL, action VARCHAR(255) NOT NULL, version BIGINT NOT NULL, \
    name VARCHAR(255) NOT NULL, checksum VARCHAR(255) NOT NULL, outcome VARCHAR(255) NOT NULL, \
    statement_no INT UNSIGNED NULL, statements INT UNSIGNED NULL, prefix VARCHAR(255) NULL, who VARCHAR(255) NOT NULL, \
    host VARCHAR(255) NOT NULL, tool VARCHAR(255) NOT NULL, started_at DATETIME(6) NOT NULL, \
    finished_at DATETIME(6) NOT NULL, duration_ms BIGINT NOT NULL, error TEXT NULL) ENGINE=InnoDB; \
    INSERT INTO mtmigrate_journal VALUES (1, 1, 'old', 'up', 1, 'orders', '17', 'applied', NULL, NULL, NULL, 'ci', \
    'host', 'mtmigrate 0.1.0', '2026-01-01', '2026-01-01', 5, NULL)";

const ROWS: &str =
    "SELECT outcome, fingerprint IS NOT NULL, accepted, snapshot IS NOT NULL FROM mtmigrate_journal ORDER BY id";

/// Asks a fleet's only server something.
pub fn with_server<T>(fleet: &Fleet, ask: impl AsyncFnOnce(&dyn Server, &[&Tenant]) -> T) -> T {
    let loaded = tenant::load(&fleet.folder().join("tenants.yaml"), &ProcessEnvironment).expect("a fleet");
    let server = engine::open(&loaded).expect("servers").remove(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let tenants: Vec<&Tenant> = loaded.tenants.iter().collect();
        let answer = ask(server.as_ref(), &tenants).await;
        server.close().await;
        answer
    })
}

async fn live(server: &dyn Server, tenants: &[&Tenant]) -> Vec<Arc<Snapshot>> {
    server.inspect(tenants).await.into_iter().map(|answer| answer.expect("a schema")).collect()
}

fn shown(fleet: &Fleet, tenant: &str) -> Vec<String> {
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "-".into());
    fleet.query(tenant, ROWS).iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_runs_own_last_rows_keep_the_schema_and_older_ones_lose_it() {
    let mut fleet = Fleet::new();
    for tenant in ["a", "b", "foreign", "old", "none"] {
        fleet.mariadb(tenant, mariadb(0));
    }
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int PRIMARY KEY, note text)");
    fleet.run(&["up", "--verify", "off", "--tenant", "a,b,foreign"]);
    for tenant in ["a", "b", "foreign"] {
        if !fleet.has_table(tenant, "mtmigrate_journal") {
            fleet.execute(tenant, &format!("CREATE TABLE orders (id int PRIMARY KEY, note text); {OLD}"));
            let added = "ALTER TABLE mtmigrate_journal ADD fingerprint VARCHAR(255), ADD accepted LONGTEXT, ADD snapshot LONGTEXT";
            fleet.execute(tenant, added);
        }
        fleet.execute(tenant, "UPDATE mtmigrate_journal SET snapshot = 'before'");
    }
    fleet.execute("old", OLD);
    let run = RunIdentity::new();
    let own = format!(
        "INSERT INTO mtmigrate_journal SELECT NULL, 2, '{}', action, version, name, checksum, outcome, statement_no, \
         statements, prefix, who, host, tool, started_at, finished_at, duration_ms, error, NULL, NULL, NULL \
         FROM mtmigrate_journal LIMIT 1",
        run.run_id
    );
    fleet.execute("a", &own);
    fleet.execute("b", &own);
    with_server(&fleet, async |server: &dyn Server, tenants: &[&Tenant]| {
        let live = live(server, tenants).await;
        let keep = |at: usize, accepted| Keep { tenant: tenants[at], snapshot: &live[at], record: "it", accepted };
        let kept = [keep(0, None), keep(1, Some("[]")), keep(2, None), keep(3, None), keep(4, None)];
        let answers = server.keep(&run, &kept).await;
        assert!(answers[..4].iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(answers[4].as_ref().unwrap_err().code(), Code::JOURNAL_NOT_WRITTEN);
        assert_eq!(server.recorded(tenants[0]).await.unwrap().as_ref(), Some(&*live[0]));
        for (at, name) in [(2, "what is no snapshot"), (3, "a journal of format 1"), (4, "no journal")] {
            assert_eq!(server.recorded(tenants[at]).await.unwrap(), None, "{name}");
        }
    });
    assert_eq!(shown(&fleet, "a").last().unwrap(), "applied 1 - 1");
    assert_eq!(shown(&fleet, "b").last().unwrap(), "applied 1 [] 1");
    for tenant in ["a", "b"] {
        assert_eq!(shown(&fleet, tenant).iter().filter(|row| row.ends_with(" 1")).count(), 1);
    }
    assert_eq!(fleet.cell("foreign", "SELECT max(snapshot) FROM mtmigrate_journal"), "before");
}

#[test]
fn what_a_person_accepts_is_one_row_and_makes_or_upgrades_the_journal() {
    let mut fleet = Fleet::new();
    fleet.mariadb("none", mariadb(0)).mariadb("old", mariadb(0)).mariadb("new", mariadb(0));
    fleet.execute("old", OLD);
    with_server(&fleet, async |server: &dyn Server, tenants: &[&Tenant]| {
        let live = live(server, tenants).await;
        // The third accepts twice; the second time as if the journal were still of format 1.
        for (at, format) in [(0, None), (1, Some(JournalFormat::One)), (2, None), (2, Some(JournalFormat::One))] {
            let mut tables = server.read(&tenants[at..=at]).await.remove(0).unwrap().tables;
            if at < 2 {
                assert_eq!(tables.journal, format);
            }
            tables.journal = format;
            let run = RunIdentity::new();
            let acceptance = Acceptance {
                tenant: tenants[at],
                tables,
                run: &run,
                version: (Version(1), "orders"),
                snapshot: &live[at],
                record: "what it is",
                accepted: Some("[]"),
                skipped: &[],
                words: "because",
            };
            server.accept(acceptance).await.unwrap();
            assert_eq!(server.recorded(tenants[at]).await.unwrap().as_ref(), Some(&*live[at]));
            let last = server.read(&tenants[at..=at]).await.remove(0).unwrap();
            assert_eq!(last.tables.journal, Some(JournalFormat::Four));
            assert_eq!(last.last.unwrap().fingerprint, Some("what it is".to_owned()));
            let attempts = server.journal(tenants[at], 10).await.unwrap();
            assert_eq!(attempts[0].accepted.as_deref(), Some("[]"));
        }
    });
    assert_eq!(shown(&fleet, "none"), ["accepted 1 [] 1"]);
    assert_eq!(shown(&fleet, "old"), ["applied 0 - 0", "accepted 1 [] 1"]);
    assert_eq!(shown(&fleet, "new"), ["accepted 1 [] 0", "accepted 1 [] 1"]);
}

#[test]
fn an_old_journal_is_read_as_it_is_and_upgraded_by_the_next_row() {
    let mut fleet = Fleet::new();
    fleet.mariadb("old", mariadb(0));
    fleet.execute("old", OLD);
    with_server(&fleet, async |server: &dyn Server, tenants: &[&Tenant]| {
        let reading = server.read(tenants).await.remove(0).unwrap();
        assert_eq!(reading.tables.journal, Some(JournalFormat::One));
        assert_eq!(reading.last.unwrap().fingerprint, None);
        assert_eq!(server.journal(tenants[0], 5).await.unwrap()[0].run_id, "old");
    });
    assert!(
        !fleet
            .query("old", "SHOW COLUMNS FROM mtmigrate_journal")
            .iter()
            .any(|row| row[0].as_deref() == Some("snapshot"))
    );
}

#[test]
fn a_gauge_is_the_same_for_the_same_schema_and_another_for_another() {
    let mut fleet = Fleet::new();
    for tenant in ["a", "b", "c", "d"] {
        fleet.mariadb(tenant, mariadb(0));
        fleet.execute(
            tenant,
            "CREATE TABLE orders (id int PRIMARY KEY); CREATE SEQUENCE s; CREATE VIEW v AS SELECT id FROM orders",
        );
    }
    fleet.execute("b", "INSERT INTO orders VALUES (1); SELECT nextval(s); CREATE TABLE mtmigrate_journal (id int)");
    fleet.execute("c", "CREATE INDEX more ON orders (id)");
    fleet.execute("d", "ALTER SEQUENCE s INCREMENT BY 2");
    with_server(&fleet, async |server: &dyn Server, tenants: &[&Tenant]| {
        let asked: Vec<_> = tenants.iter().map(|tenant| (*tenant, None)).collect();
        let gauges: Vec<u128> = server.gauge(&asked).await.into_iter().map(|gauge| gauge.unwrap().value).collect();
        assert_eq!(gauges[0], gauges[1]);
        assert!(gauges[2] != gauges[0] && gauges[3] != gauges[0] && gauges[2] != gauges[3]);
    });
}
