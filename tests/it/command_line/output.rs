//! What goes to stdout and stderr, in which colours, and how much of it.

use super::sqlite_fleet;

#[test]
fn quiet_prints_nothing_on_stderr_when_all_is_well_and_errors_when_not() {
    let mut fleet = sqlite_fleet(2);
    fleet.changeset("V2__empty.sql", "");
    for verb in ["validate", "plan", "up", "status", "history", "drift"] {
        let output = fleet.run(&["-q", verb]).expect(0);
        assert!(output.stderr.is_empty(), "{verb}: {output}");
        assert!(!output.stdout.is_empty(), "{verb}: data is data");
    }
    fleet.changeset("V3__bad.sql", "SELEKT 1;");
    let output = fleet.run(&["-q", "up"]).expect(1);
    assert!(output.stderr.contains("MT204") && output.stderr.contains("V3__bad.sql:1:1"), "{output}");
}

#[test]
fn json_on_stdout_is_one_document_for_every_verb_whatever_happens() {
    let mut fleet = sqlite_fleet(3);
    let parse = |output: &crate::support::Output| -> serde_json::Value {
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
    };
    let plan = parse(&fleet.run(&["plan", "--format", "json"]).expect(0));
    assert_eq!((&plan["schema"], &plan["summary"]["changesets"]), (&"mtmigrate.plan/1".into(), &3.into()));
    let run = parse(&fleet.run(&["up", "--format", "json"]).expect(0));
    assert_eq!((&run["schema"], &run["exit_status"]), (&"mtmigrate.run/1".into(), &0.into()));
    let again = parse(&fleet.run(&["up", "--format", "json", "-q"]).expect(0));
    assert_eq!(again["outcome"], "up-to-date");
    let status = parse(&fleet.run(&["status", "--format", "json"]).expect(0));
    assert_eq!((&status["schema"], &status["summary"]["current"]), (&"mtmigrate.status/1".into(), &3.into()));
    let drift = parse(&fleet.run(&["drift", "--format", "json"]).expect(0));
    assert_eq!((&drift["schema"], &drift["summary"]["expected"]), (&"mtmigrate.drift/1".into(), &3.into()));
    let history = parse(&fleet.run(&["history", "--format", "json"]).expect(0));
    assert_eq!(history["tenants"][2]["attempts"][0]["outcome"], "applied");
    fleet.changeset("V2__bad.sql", "SELEKT 1;");
    let failed = parse(&fleet.run(&["up", "--format", "json"]).expect(1));
    assert_eq!((&failed["outcome"], &failed["exit_status"]), (&"halted".into(), &1.into()));
    fleet.edit("V1__t.sql", "CREATE TABLE other (a int);");
    let drifted = parse(&fleet.run(&["up", "--format", "json"]).expect(3));
    assert_eq!((&drifted["outcome"], &drifted["diagnostics"][0]["code"]), (&"drift".into(), &"MT401".into()));
}

#[test]
fn csv_and_markdown_have_one_record_a_tenant_with_as_many_columns_as_the_header() {
    let mut fleet = sqlite_fleet(0);
    fleet.tenants_yaml(
        "tenants:
  - { name: \"a, \\\"b\\\" | c;d\", url: \"sqlite://data/a.db?mode=rwc\", labels: [x, y] }
  - { name: plain, url: \"sqlite://data/b.db?mode=rwc\" }
  - { name: gone, url: \"sqlite://data/none.db\" }
  - { name: out, url: \"sqlite://data/c.db\", quarantined: \"moves, soon\" }
",
    );
    let text = fleet.run(&["status", "--format", "csv"]).expect(5).stdout;
    let records = super::csv(&text);
    assert_eq!(records.len(), 5, "{text}");
    assert!(records.iter().all(|record| record.len() == records[0].len() && record.len() >= 20), "{records:#?}");
    let names: Vec<&str> = records.iter().map(|record| record[0].as_str()).collect();
    assert_eq!(names, ["name", "gone", "a, \"b\" | c;d", "plain", "out"]);
    let table = fleet.run(&["status", "--format", "markdown"]).expect(5).stdout;
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    let columns = |row: &str| row.replace("\\|", "").matches('|').count();
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows.iter().all(|row| columns(row) == columns(rows[0])), "{table}");
}

#[test]
fn colours_come_when_asked_for_and_never_into_a_pipe_by_themselves() {
    let mut fleet = sqlite_fleet(1);
    let coloured = |text: &str| text.contains('\u{1b}');
    assert!(!coloured(&fleet.run(&["status"]).expect(0).stdout));
    assert!(coloured(&fleet.run(&["--color", "always", "status"]).expect(0).stdout));
    assert!(coloured(&fleet.run(&["--color", "always", "up", "--nope"]).expect(2).stderr));
    assert!(coloured(&fleet.run(&["--color", "always", "up", "--tenant", "none"]).expect(2).stderr));
    for format in ["json", "csv", "markdown"] {
        let data = fleet.run(&["--color", "always", "status", "--format", format]).expect(0).stdout;
        assert!(!coloured(&data), "{format}: data has no colours");
    }
    fleet.env("CLICOLOR_FORCE", "1");
    assert!(coloured(&fleet.run(&["status"]).expect(0).stdout));
    assert!(!coloured(&fleet.run(&["--color", "never", "status"]).expect(0).stdout));
    fleet.env("NO_COLOR", "1");
    assert!(!coloured(&fleet.run(&["status"]).expect(0).stdout));
}

#[test]
fn progress_without_a_terminal_is_few_plain_lines() {
    let mut fleet = sqlite_fleet(5);
    for number in 2..=20 {
        fleet.changeset(&format!("V{number}__x.sql"), &format!("CREATE TABLE t{number} (a int);"));
    }
    let output = fleet.run(&["up"]).expect(0);
    assert!(!output.stderr.contains(['\r', '\u{1b}']), "{output}");
    assert!(output.stderr.lines().count() <= 25, "{output}");
    assert!(output.stdout.lines().count() <= 15, "{output}");
    for number in 21..=150 {
        fleet.changeset(&format!("V{number}__x.sql"), &format!("CREATE TABLE t{number} (a int);"));
    }
    let output = fleet.run(&["up"]).expect(0);
    assert!(output.stderr.lines().count() <= 50, "{output}");
    assert!(output.stdout.lines().count() <= 15, "{output}");
}

#[test]
fn the_summary_of_300_tenants_fits_a_screen_also_when_one_failed() {
    let mut fleet = sqlite_fleet(300);
    let output = fleet.run(&["up"]).expect(0);
    assert!(output.stdout.lines().count() + output.stderr.lines().count() <= 10, "{output}");
    assert!(output.stdout.contains("300 tenants"), "{output}");
    rusqlite::Connection::open(fleet.folder().join("data/t150.db"))
        .unwrap()
        .execute_batch("INSERT INTO t VALUES (1), (1)")
        .unwrap();
    fleet.changeset("V2__u.sql", "CREATE UNIQUE INDEX t_a ON t (a);");
    let output = fleet.run(&["up"]).expect(1);
    assert!(output.stderr.lines().count() <= 25, "{output}");
    assert!(output.stderr.contains("t150") && output.stderr.contains("V2__u.sql:1:"), "{output}");
}
