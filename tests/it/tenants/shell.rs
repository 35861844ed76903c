//! The engine's own client takes mtmigrate's place, on the tenant that was named.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::sandbox::installed;
use crate::support::tls::{Mode, files};
use crate::support::{Fleet, MariaDb, Options, Postgres, assert_no_secret, mariadb, postgres, unique};

use super::json;

#[test]
fn the_client_begins_in_the_tenant_whatever_its_name_and_its_status_is_the_status() {
    let mut fleet = Fleet::new();
    let (shared, schema) = (postgres(0).create_database(), format!("x\"; DROP SCHEMA y; -- \\{}", unique("s")));
    fleet.postgres_schema_named("schema", postgres(0), &shared, &schema);
    fleet.mariadb_named("-my`x", mariadb(0), &unique("a b`c")).sqlite("lite").sqlite("gone");
    fleet.changeset("V1__x.sql", "CREATE TABLE x (a int);");
    fleet.run(&["up", "--exclude", "gone"]).expect(0);
    // What leads libpq elsewhere does not.
    fleet.env("PGHOST", "nowhere.invalid").env("PGHOSTADDR", "127.0.0.9").env("PGOPTIONS", "-csearch_path=public");
    fleet.env("PGPASSWORD", "wrong").env("MYSQL_PWD", "wrong").env("PGSERVICE", "other");
    let shell = |args: &[&str]| fleet.run(&[&["tenants", "shell"], args].concat());
    assert_eq!(shell(&["schema", "--", "-XAtc", "SELECT current_schema()"]).expect(0).stdout.trim(), schema);
    let told = shell(&["--", "-my`x", "-Nse", "SELECT count(*) FROM x"]);
    assert_eq!(told.expect(0).stdout.trim(), "0");
    assert_eq!(shell(&["lite", "--", "SELECT count(*) + 7 FROM x"]).expect(0).stdout.trim(), "7");
    // What psql says of a fault of its own.
    shell(&["schema", "--", "-Xc", "SELECT nonsense"]).expect(1).says(&["nonsense"]);
    shell(&["schema", "--", "-X", "-v", "ON_ERROR_STOP=1", "-f", "none.sql"]).expect(1);
    // sqlite3 leaves with its own number of the fault.
    assert_ne!(shell(&["lite", "--", "SELECT nonsense"]).status, 0);
    shell(&["gone"]).expect(5).says(&["MT312", "mtmigrate up"]);
    assert!(!fleet.folder().join("gone.db").exists());
}

#[test]
fn the_client_takes_this_process_place_and_no_argument_holds_the_password() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0));
    for (tenant, args) in
        [("pg", ["-XAtc", "SELECT 'begun', pg_sleep(100)"]), ("my", ["-Nse", "SELECT 'begun', SLEEP(100)"])]
    {
        let running = fleet.spawn(&["tenants", "shell", tenant, "--", args[0], args[1]]);
        let begun = Instant::now();
        let arguments = loop {
            let arguments = fs::read_to_string(format!("/proc/{}/cmdline", running.pid())).unwrap_or_default();
            if arguments.contains("begun") && !arguments.contains("mtmigrate") {
                break arguments;
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{arguments}");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_no_secret("the arguments", &arguments);
        assert_eq!(running.kill_9().status, 137);
    }
}

#[test]
fn a_client_that_is_missing_is_named_with_its_package() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite");
    fleet.changeset("V1__x.sql", "CREATE TABLE x (a int);");
    fleet.run(&["up"]).expect(0);
    let programs = fleet.folder().join("bin");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(installed(&["sh"]), programs.join("sh")).unwrap();
    fleet.env("PATH", &programs.display().to_string());
    for (tenant, package) in [("pg", "postgresql-client"), ("my", "mariadb-client"), ("lite", "sqlite3")] {
        fleet.run(&["tenants", "shell", tenant]).expect(2).says(&["MT158", package]);
    }
}

#[test]
fn the_client_encrypts_as_the_tenant_does() {
    let options = Options { tls: Mode::Required, ..Options::default() };
    let (pg, my) = (Postgres::start(options), MariaDb::start(options));
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", &pg).mariadb("my", &my);
    let ca = json(&files().ca.display().to_string());
    for mode in ["prefer", "require", "verify-full"] {
        for tenant in ["pg", "my"] {
            fleet.set(tenant, "tls", mode).set(tenant, "ca_file", &ca);
        }
        let pg = ["tenants", "shell", "pg", "--", "-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"];
        assert_eq!(fleet.run(&pg).expect(0).stdout, "t\n", "{mode}");
        let my = ["tenants", "shell", "my", "--", "-Nse", "SHOW STATUS LIKE 'Ssl_version'"];
        assert_eq!(fleet.run(&my).expect(0).stdout, "Ssl_version\tTLSv1.3\n", "{mode}");
    }
    fleet.set("pg", "tls", "disable").set("my", "tls", "disable");
    fleet.run(&["tenants", "shell", "pg", "--", "-c", "SELECT 1"]).expect(2);
    fleet.run(&["tenants", "shell", "my", "--", "-e", "SELECT 1"]).expect(1);
}
