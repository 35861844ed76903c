//! A statement of which nobody knows, and the person who looks.

use crate::support::fleet::Place;
use crate::support::{Fleet, mariadb, postgres};

/// A tenant on each engine, and a text of three statements of which the second fails.
fn broken() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("maria", mariadb(0)).sqlite("lite");
    fleet.changeset(
        "V1__three.sql",
        "-- mtmigrate: no-transaction\nCREATE TABLE a (x int);\nINSERT INTO nowhere VALUES (1);\nCREATE TABLE c (x int);\n",
    );
    fleet
}

/// Makes the journal's last row say that statement 2 was about to run, as a killed runner leaves it.
fn uncertain(fleet: &Fleet, tenant: &str) {
    let columns = "format, run_id, action, version, name, checksum, statement_no, statements, prefix, who, host, tool, \
                   started_at, finished_at, duration_ms";
    fleet.execute(
        tenant,
        &format!(
            "INSERT INTO mtmigrate_journal ({columns}, outcome) \
             SELECT {columns}, 'started' FROM mtmigrate_journal WHERE outcome = 'failed'"
        ),
    );
}

fn mended(fleet: &mut Fleet) {
    fleet.edit(
        "V1__three.sql",
        "-- mtmigrate: no-transaction\nCREATE TABLE a (x int);\nCREATE TABLE b (x int);\nCREATE TABLE c (x int);\n",
    );
}

fn tables(fleet: &Fleet, tenant: &str) -> Vec<String> {
    let schema = match fleet.place(tenant) {
        Place::Postgres { .. } => "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
        Place::MariaDb { .. } => "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
        Place::Sqlite(_) => "SELECT name FROM sqlite_schema WHERE type = 'table'",
    };
    let names = fleet.query(tenant, schema).into_iter().filter_map(|row| row.into_iter().next()?);
    let mut names: Vec<String> = names.filter(|name| name.len() == 1).collect();
    names.sort();
    names
}

#[test]
fn a_statement_that_had_no_effect_is_marked_undone_and_runs() {
    for tenant in ["pg", "maria", "lite"] {
        let mut fleet = broken();
        fleet.run(&["up", "--tenant", tenant]).expect(6);
        uncertain(&fleet, tenant);
        mended(&mut fleet);
        let stopped = fleet.run(&["up", "--tenant", tenant]).expect(6);
        assert!(stopped.stderr.contains("statement 2 of 3"), "{stopped}");
        assert!(stopped.stderr.contains(&format!("mtmigrate repair --tenant {tenant} --mark-done")), "{stopped}");
        let said = fleet.run(&["repair", "--tenant", tenant, "--mark-undone", "--reason", "no table b"]).expect(0);
        assert_eq!(said.stdout, format!("{tenant}: V1__three continues at statement 2; run `mtmigrate up`\n"));
        fleet.run(&["up", "--tenant", tenant]).expect(0);
        assert_eq!(tables(&fleet, tenant), ["a", "b", "c"], "{tenant}");
    }
}

#[test]
fn a_statement_that_took_effect_is_marked_done_and_is_not_repeated() {
    for tenant in ["pg", "maria", "lite"] {
        let mut fleet = broken();
        fleet.run(&["up", "--tenant", tenant]).expect(6);
        uncertain(&fleet, tenant);
        mended(&mut fleet);
        fleet.execute(tenant, "CREATE TABLE b (x int)");
        fleet.run(&["repair", "--tenant", tenant, "--mark-done", "--reason", "b is there"]).expect(0);
        fleet.run(&["up", "--tenant", tenant]).expect(0);
        assert_eq!(tables(&fleet, tenant), ["a", "b", "c"], "{tenant}");
        let journal = fleet.query(tenant, "SELECT action, error FROM mtmigrate_journal WHERE action = 'repair'");
        assert_eq!(journal, [[Some("repair".into()), Some("marked done by a person: b is there".into())]]);
    }
}

#[test]
fn a_repair_is_refused_where_nothing_is_half_applied_and_where_the_text_before_was_changed() {
    for tenant in ["pg", "maria", "lite"] {
        let mut fleet = broken();
        fleet.run(&["up", "--tenant", tenant]).expect(6);
        uncertain(&fleet, tenant);
        fleet.edit("V1__three.sql", "-- mtmigrate: no-transaction\nCREATE TABLE z (x int);\nSELECT 2;\nSELECT 3;\n");
        let before = fleet.dump(tenant);
        let repair = ["repair", "--tenant", tenant, "--mark-done", "--reason", "r"];
        let refused = fleet.run(&repair).expect(6);
        assert!(refused.stderr.contains("the text before statement 2 was changed"), "{refused}");
        assert_eq!(fleet.dump(tenant), before);
    }
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset("V1__a.sql", "CREATE TABLE a (x int);");
    fleet.run(&["up"]).expect(0);
    let refused = fleet.run(&["repair", "--tenant", "lite", "--mark-done", "--reason", "r"]).expect(2);
    assert!(refused.stderr.contains("tenant lite is not half applied"), "{refused}");
    let refused = fleet.run(&["repair", "--tenant", "li*", "--mark-done", "--reason", "r"]).expect(2);
    assert!(refused.stderr.contains("`li*` is no tenant's name"), "{refused}");
}
