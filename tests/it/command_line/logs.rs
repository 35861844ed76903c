//! Logs for programs.

use crate::support::{Fleet, mariadb, postgres};

#[test]
fn json_logs_are_one_object_a_line_and_carry_run_tenant_and_version() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite {\"x\"}");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);").changeset("V2__empty.sql", "-- nothing");
    fleet.changeset("V3__bad.sql", "SELECT\n nonsense FROM nowhere;");
    let output = fleet.run(&["up", "--log-format", "json", "-v", "-v", "--format", "json"]).expect(1);
    let lines: Vec<serde_json::Value> = output
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.iter().all(|line| line.is_object() && line["level"].is_string() && line["timestamp"].is_string()));
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let of_run = |line: &&serde_json::Value| line["run_id"] == report["run_id"];
    assert!(lines.iter().filter(of_run).count() > 10, "{output}");
    for tenant in ["pg", "my", "lite {\"x\"}"] {
        let of_tenant = lines.iter().filter(of_run).filter(|line| line["tenant"] == tenant && line["version"] == "1");
        assert!(of_tenant.count() >= 2, "{tenant}: {output}");
    }
    let error = lines.iter().find(|line| line["code"] == "MT204" && line["level"] == "ERROR");
    let error = error.unwrap_or_else(|| panic!("no MT204: {output}"));
    assert!(error["place"].as_str().unwrap().contains("V3__bad.sql:"), "{error}");
    assert!(lines.iter().any(|line| line["code"] == "MT129" && line["level"] == "WARN"), "{output}");
}

#[test]
fn mistakes_before_any_connection_are_json_lines_too() {
    let mut fleet = Fleet::new();
    fleet.tenants_yaml("tenants:\n  - { name: a, url: \"sqlite://a.db\", color: red }\n");
    let output = fleet.run(&["--log-format", "json", "up"]).expect(2);
    let line: serde_json::Value = serde_json::from_str(output.stderr.lines().next().unwrap()).unwrap();
    assert_eq!((&line["code"], &line["level"]), (&"MT103".into(), &"ERROR".into()), "{output}");
}

#[test]
fn a_forgotten_rust_log_shows_nothing_of_drivers_and_statements() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).env("RUST_LOG", "trace");
    fleet.changeset("V1__t.sql", "CREATE TABLE hidden_words (a int);");
    let output = fleet.run(&["up", "-v", "-v"]).expect(0);
    assert!(!output.stderr.contains("hidden_words") && !output.stderr.contains("tokio_postgres"), "{output}");
}
