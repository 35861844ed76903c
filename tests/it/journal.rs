//! The journal that a tenant has, pinned on every engine: format 4.

use crate::support::fleet::Place;
use crate::support::{Fleet, mariadb, postgres};

/// The columns in their order. Programs read them: a change is a new format.
const COLUMNS: [&str; 24] = [
    "id",
    "format",
    "run_id",
    "action",
    "version",
    "name",
    "checksum",
    "outcome",
    "statement_no",
    "statements",
    "prefix",
    "who",
    "host",
    "tool",
    "started_at",
    "finished_at",
    "duration_ms",
    "error",
    "fingerprint",
    "accepted",
    "snapshot",
    "trace",
    "skipped",
    "fleet",
];

fn one_of_each() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("maria", mariadb(0)).sqlite("lite");
    fleet.changeset("V7__two.sql", "CREATE TABLE a (x int);\nCREATE TABLE b (x int);\n");
    fleet.run(&["up"]).expect(0);
    fleet
}

fn cells(fleet: &Fleet, tenant: &str, sql: &str) -> Vec<String> {
    let rows = fleet.query(tenant, sql).into_iter();
    rows.map(|row| row.into_iter().map(|cell| cell.unwrap_or("NULL".into())).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn the_columns_of_the_journal_are_those_of_format_4_on_every_engine() {
    let fleet = one_of_each();
    for tenant in ["pg", "maria", "lite"] {
        let columns = match fleet.place(tenant) {
            Place::Sqlite(_) => "SELECT name FROM pragma_table_info('mtmigrate_journal') ORDER BY cid",
            Place::Postgres { .. } => {
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'mtmigrate_journal' \
                 AND table_schema = 'public' ORDER BY ordinal_position"
            }
            Place::MariaDb { .. } => {
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'mtmigrate_journal' \
                 AND table_schema = database() ORDER BY ordinal_position"
            }
        };
        assert_eq!(cells(&fleet, tenant, columns), COLUMNS, "{tenant}");
    }
}

#[test]
fn an_applied_changeset_leaves_these_rows() {
    let fleet = one_of_each();
    let sql = "SELECT format, action, version, name, checksum, outcome, statement_no, statements, prefix, error, trace \
               FROM mtmigrate_journal ORDER BY id";
    let checksum = "2521904705263802484";
    for tenant in ["pg", "maria", "lite"] {
        let applied = format!("4|up|7|two|{checksum}|applied|NULL|NULL|NULL|NULL|NULL");
        let expected = match tenant {
            "maria" => vec![
                format!("4|up|7|two|{checksum}|started|1|2|d1fba762150c532c|NULL|1 c3d24a2832fc2928 things 0 +table a"),
                format!("4|up|7|two|{checksum}|started|2|2|c3d24a2832fc2928|NULL|1 9fa88f6e6f9aac33 things 0 +table b"),
                applied,
            ],
            _ => vec![applied],
        };
        assert_eq!(cells(&fleet, tenant, sql), expected, "{tenant}");
        let whole = "SELECT count(*) FROM mtmigrate_journal WHERE length(run_id) = 36 AND length(who) > 0 \
                     AND length(host) > 0 AND tool LIKE 'mtmigrate %' AND started_at <= finished_at AND duration_ms >= 0";
        assert_eq!(cells(&fleet, tenant, whole), [expected.len().to_string()], "{tenant}");
    }
}

/// The description of one table on every engine, as the journal keeps it: a change is a new `schema::FORMAT`.
#[test]
fn the_schema_that_a_run_recorded_is_kept_in_these_lines() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("maria", mariadb(0)).sqlite("lite");
    let table = "CREATE TABLE a (x int PRIMARY KEY, note varchar(80) NOT NULL DEFAULT 'it''s')";
    let index = "CREATE INDEX a_note ON a (note)";
    fleet.changeset("V7__two.sql", &format!("{table};\n{index};\n"));
    // The default is another from release to release.
    let in_full = format!("{table} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;\n{index};\n");
    fleet.variant("mysql", "V7__two.sql", &in_full);
    fleet.run(&["up"]).expect(0);
    for (tenant, engine, lines) in [
        ("pg", "1/postgres-", POSTGRES),
        ("maria", "1/mariadb-", MARIADB),
        ("lite", "1/sqlite-3/00d70eb735600db98f0244a1bc57e8bb", SQLITE),
    ] {
        let kept = fleet.cell(tenant, "SELECT snapshot FROM mtmigrate_journal WHERE outcome = 'applied'");
        let (fingerprint, objects) = kept.split_once('\n').unwrap();
        assert!(fingerprint.starts_with(engine), "{tenant}: {fingerprint}");
        assert_eq!(objects, lines, "{tenant}");
        // The versions' hash is that of `7`.
        let record = fleet.cell(tenant, "SELECT fingerprint FROM mtmigrate_journal WHERE outcome = 'applied'");
        assert_eq!(record, format!("{fingerprint}@72b7f98a464cd917"), "{tenant}");
    }
}

const POSTGRES: &str = r#"["table",null,"a",[]]
["column","a","a.note",[["type","character varying(80)"],["null","not null"],["default","'it''s'::character varying"]]]
["column","a","a.x",[["type","integer"],["null","not null"]]]
["constraint","a","a.a_pkey",[["definition","PRIMARY KEY (x)"]]]
["index","a","a_note",[["definition","CREATE INDEX a_note ON a USING btree (note)"]]]
"#;
const MARIADB: &str = r#"["table",null,"a",[["character set","utf8mb4"],["collation","utf8mb4_bin"]]]
["column","a","a.note",[["type","varchar(80)"],["null","not null"],["default","'it''s'"]]]
["column","a","a.x",[["type","int"],["null","not null"]]]
["constraint","a","a.primary key",[["columns","x"]]]
["index","a","a_note",[["columns","note"]]]
"#;
const SQLITE: &str = r#"["table",null,"a",[]]
["column","a","a.note",[["type","varchar(80)"],["null","not null"],["default","'it''s'"]]]
["column","a","a.x",[["type","int"]]]
["constraint","a","a.primary key",[["primary key","x"]]]
["index","a","a_note",[["columns","note"]]]
"#;

/// As an older mtmigrate left it: read as it is, and given what it lacks with the next row.
#[test]
fn a_journal_of_an_older_format_is_read_and_brought_to_format_4() {
    let added: [(u8, &[&str]); 3] = [
        (1, &["fingerprint", "accepted", "snapshot", "trace", "skipped", "fleet"]),
        (2, &["trace", "skipped", "fleet"]),
        (3, &["skipped", "fleet"]),
    ];
    for (format, lacking) in added {
        let mut fleet = one_of_each();
        for tenant in ["pg", "maria", "lite"] {
            let dropped = lacking.iter().map(|column| format!("ALTER TABLE mtmigrate_journal DROP COLUMN {column};"));
            let sql = dropped.collect::<String>() + &format!("UPDATE mtmigrate_journal SET format = {format}");
            fleet.execute(tenant, &sql);
        }
        let before = fleet.dumps();
        for reads in [&["status"][..], &["history"], &["plan"], &["drift"]] {
            fleet.run(reads).expect(0);
        }
        assert_eq!(fleet.dumps(), before, "format {format}");
        fleet.changeset(
            "V8__more.sql",
            "-- mtmigrate: no-transaction\nCREATE TABLE c (x int);\nINSERT INTO c VALUES (1);\n",
        );
        fleet.run(&["up"]).expect(0);
        let rows = "SELECT min(format), max(format), count(trace) > 1, count(skipped) FROM mtmigrate_journal";
        for tenant in ["pg", "maria", "lite"] {
            let found = cells(&fleet, tenant, rows);
            let expected = [format!("{format}|4|1|0"), format!("{format}|4|t|0")];
            assert!(expected.contains(&found[0]), "{tenant}: {found:?}");
        }
    }
}
