//! A disk that is full.
//!
//! A small file system needs rights that not everybody has who runs the tests, so the servers get a limit on the size of
//! their files instead: a write is cut short and the next one refused, which they take for a full disk.

use std::path::Path;

use super::{FIRST, assert_each_once, finish, is_transactional, more};
use crate::support::sandbox::sandbox;
use crate::support::{Fleet, MariaDb, Options, Output, Postgres, Running, mariadb, postgres};

/// V2 writes some 30 MB before it leaves its mark, V3 is small.
fn changesets(fleet: &mut Fleet) {
    let rows = "CREATE TABLE big (t text);\nINSERT INTO big SELECT repeat('x', 1500) FROM generate_series(1, 20000);\n\
                INSERT INTO effects VALUES (2);";
    fleet.variant("postgres", "V2__big.sql", rows);
    let rows = "CREATE TABLE big (t text);\nINSERT INTO big SELECT repeat('x', 1500) FROM seq_1_to_20000;\n\
                INSERT INTO effects VALUES (2);";
    fleet.variant("mysql", "V2__big.sql", rows);
    let rows = "CREATE TABLE big (t text);\nINSERT INTO big WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 \
                FROM n WHERE i < 20000) SELECT hex(zeroblob(750)) FROM n;\nINSERT INTO effects VALUES (2);";
    fleet.variant("sqlite", "V2__big.sql", rows);
    more(fleet, 3);
}

/// Covers row 25 of docs/failures.md.
#[test]
fn a_full_disk_fails_the_tenant_and_the_next_run_works_once_there_is_room() {
    let (full, filled) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let mut fleet = Fleet::new();
    fleet.postgres_database("full", &full).postgres_database("pg", postgres(0));
    fleet.mariadb("filled", &filled).mariadb("my", mariadb(0)).changeset("V1__effects.sql", FIRST);
    fleet.run(&["up"]).expect(0);
    changesets(&mut fleet);
    // Room for a segment of PostgreSQL's log (16 MiB), and for half a page more than 20 MiB of a table.
    full.limit_files(Some(20 * 1024 * 1024 + 4096));
    filled.limit_files(Some(20 * 1024 * 1024 + 4096));
    let output =
        fleet.run(&["up"]).expect(6).says(&["V2__big.sql:2:1", "tenant full", "tenant filled", "nobody has V3"]);
    let output = output.says(&["53100", "full is unchanged (rolled back)", "1114", "filled is half applied"]);
    assert!(output.stderr.contains("1 of 3 statements"), "{output}");
    assert!(!fleet.has_table("full", "big"), "rolled back");
    assert_eq!(fleet.cell("filled", "SELECT count(*) FROM big"), "0", "the statement was rolled back");
    for tenant in ["full", "filled"] {
        assert_eq!(fleet.versions(tenant), [1], "{tenant}");
    }
    // No more room yet: the same again, and no further.
    fleet.run(&["up"]).expect(6).says(&["tenant full", "tenant filled"]);

    full.limit_files(None);
    filled.limit_files(None);
    assert!(is_transactional(&fleet, "full"));
    fleet.run(&["up"]).expect(0);
    assert_each_once(&fleet, 3);
    for tenant in ["full", "filled"] {
        assert_eq!(fleet.cell(tenant, "SELECT count(*) FROM big"), "20000", "{tenant}");
    }
}

/// Runs `up` itself with a limit on the size of its files: it is the one who writes a SQLite file.
fn up_with_limited_files(fleet: &Fleet, kib: u32) -> Output {
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", kib * 2);
    let mut command = sandbox().own_command("KILL", Path::new("sh"), fleet.folder());
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_mtmigrate"), "up"]);
    Running::start(command).wait()
}

/// Covers row 25 of docs/failures.md.
#[test]
fn a_full_disk_rolls_a_sqlite_file_back_and_the_next_run_works_once_there_is_room() {
    for wal in [false, true] {
        let mut fleet = Fleet::new();
        fleet.sqlite("lite").changeset("V1__effects.sql", FIRST);
        fleet.run(&["up"]).expect(0);
        if wal {
            fleet.execute("lite", "PRAGMA journal_mode = WAL");
        }
        changesets(&mut fleet);
        let output = up_with_limited_files(&fleet, 4096);
        assert_eq!(output.status, 1, "{output}");
        output.says(&["V2__big", "tenant lite"]);
        assert_eq!(fleet.query("lite", "PRAGMA integrity_check"), [[Some("ok".to_string())]]);
        assert!(!fleet.has_table("lite", "big"), "rolled back");
        assert_eq!((fleet.versions("lite"), fleet.effects("lite")), (vec![1], vec![1]));
        finish(&fleet);
        assert_each_once(&fleet, 3);
        assert_eq!(fleet.cell("lite", "SELECT count(*) FROM big"), "20000");
    }
}
