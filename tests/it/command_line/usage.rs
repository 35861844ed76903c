//! Verbs, options, help, and mistakes with them.

use std::fs;

use crate::support::Fleet;

use super::sqlite_fleet;

#[test]
fn every_verb_has_a_help_on_stdout_with_examples_and_status_0() {
    let fleet = Fleet::new();
    let whole = fleet.run(&["--help"]).expect(0);
    assert!(whole.stdout.contains("Exit status") && whole.stderr.is_empty(), "{whole}");
    for verb in
        ["init", "new", "validate", "plan", "up", "status", "history", "drift", "accept", "repair", "tenants", "schema"]
    {
        assert!(whole.stdout.contains(&format!("\n  {verb} ")), "{verb}");
        for args in [[verb, "--help"], [verb, "-h"], ["help", verb]] {
            let help = fleet.run(&args).expect(0);
            assert!(help.stdout.contains("Examples:") && help.stdout.contains(&format!("mtmigrate {verb}")), "{help}");
            assert!(help.stderr.is_empty(), "{help}");
        }
    }
    let version = fleet.run(&["--version"]).expect(0);
    assert_eq!(version.stdout, format!("mtmigrate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_schema_that_is_printed_is_the_one_that_lies_beside_the_example() {
    let fleet = Fleet::new();
    let printed = fleet.run(&["schema", "tenants.yaml"]).expect(0).stdout;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(printed, fs::read_to_string(root.join("tenants.schema.json")).unwrap());
    assert!(fs::read_to_string(root.join("tenants.yaml")).unwrap().contains("$schema=./tenants.schema.json"));
    assert!(fleet.run(&["schema"]).expect(0).stdout.starts_with("tenants.yaml  "));
}

#[test]
fn what_is_not_understood_is_said_on_stderr_with_status_2() {
    let fleet = sqlite_fleet(1);
    for args in [
        &["upp"][..],
        &[],
        &["up", "--nope"],
        &["up", "--jobs", "0"],
        &["up", "--to", "x"],
        &["status", "--format", "xml"],
        &["up", "extra"],
        &["-q", "-v", "up"],
        &["--color", "blue", "status"],
        &["up", "--verify", "always"],
        &["drift", "--format", "csv"],
        &["drift", "--repair-sql", "--format", "text"],
        &["drift", "--repair-sql", "--against", "t001"],
        &["accept", "--tenant", "t001"],
        &["accept", "--reason", "x"],
        &["accept", "--tenant", "t001", "--reason", " "],
        &["accept", "--tenant", "t001", "--reason", "x", "--label", "eu"],
        &["tenants"],
        &["tenants", "check", "--format", "csv"],
        &["tenants", "url"],
        &["tenants", "shell"],
        &["schema", "other.yaml"],
    ] {
        let output = fleet.run(args).expect(2);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}: {output}");
    }
    assert!(fleet.run(&["upp"]).stderr.contains("'up'"));
}

#[test]
fn global_options_stand_before_and_after_the_verb() {
    let mut fleet = sqlite_fleet(1);
    fleet.file("other.yaml", "tenants:\n  - { name: x, url: \"sqlite://data/x.db?mode=rwc\" }\n");
    fleet.file("elsewhere/V1__x.sql", "CREATE TABLE x (a int);");
    for args in [
        &["-c", "other.yaml", "--migrations", "elsewhere", "plan"][..],
        &["plan", "--migrations", "elsewhere", "--config", "other.yaml"],
        &["--config=other.yaml", "plan", "--migrations=elsewhere"],
    ] {
        let output = fleet.run(args).expect(0);
        assert!(output.stdout.contains("V1__x"), "{output}");
    }
}

#[test]
fn the_configs_place_comes_from_the_option_then_from_mtmigrate_config() {
    let mut fleet = sqlite_fleet(1);
    fleet.file("a/fleet.yaml", "tenants:\n  - { name: a, url: \"sqlite://a.db?mode=rwc\" }\n");
    fleet.file("a/migrations/V1__in_a.sql", "SELECT 1;");
    fleet.file("b/fleet.yaml", "migrations: ../c\ntenants:\n  - { name: b, url: \"sqlite://b.db?mode=rwc\" }\n");
    fleet.file("c/V1__in_c.sql", "SELECT 1;");
    fleet.env("MTMIGRATE_CONFIG", "a/fleet.yaml");
    assert!(fleet.run(&["plan"]).expect(0).stdout.contains("V1__in_a"));
    // `migrations:` and SQLite's files are relative to the config, and the option to where one stands.
    assert!(fleet.run(&["plan", "-c", "b/fleet.yaml"]).expect(0).stdout.contains("V1__in_c"));
    fleet.run(&["up", "-c", "b/fleet.yaml"]).expect(0);
    assert!(fleet.folder().join("b/b.db").exists());
    assert!(fleet.run(&["plan", "-c", "b/fleet.yaml", "--migrations", "a/migrations"]).stderr.contains("V1"));
}

#[test]
fn files_that_are_not_there_are_named_with_what_to_do() {
    let fleet = Fleet::new();
    let output = fleet.run(&["up", "-c", "none.yaml"]).expect(2);
    assert!(output.stderr.contains("none.yaml") && output.stderr.contains("MT101"), "{output}");
    let output = fleet.run(&["validate", "--migrations", "none"]).expect(2);
    assert!(output.stderr.contains("none") && output.stderr.contains("hint:"), "{output}");
}

#[test]
fn a_selection_that_matches_nothing_or_is_no_glob_is_an_error() {
    let fleet = sqlite_fleet(3);
    for verb in ["plan", "up", "status", "history", "drift"] {
        for args in [[verb, "--tenant", "nobody"], [verb, "--label", "nothing"]] {
            let output = fleet.run(&args).expect(2);
            assert!(output.stderr.contains("MT110") && output.stdout.is_empty(), "{output}");
        }
        fleet.run(&[verb, "--tenant", "t[0"]).expect(2);
    }
    // One that matches beside one that does not: a typing error must not shrink a deploy silently.
    let output = fleet.run(&["up", "--tenant", "t001", "--tenant", "t0O2"]).expect(2);
    assert!(output.stderr.contains("t0O2"), "{output}");
    fleet.run(&["up", "--tenant", "t00[12]"]).expect(0);
    assert!(fleet.folder().join("data/t002.db").exists() && !fleet.folder().join("data/t003.db").exists());
}

#[test]
fn one_tenant_is_named_and_never_meant_by_a_pattern() {
    let fleet = sqlite_fleet(3);
    for (name, code) in [("t00*", "MT114"), ("t0O2", "MT110")] {
        for args in [&["accept", "--reason", "x", "--tenant", name][..], &["drift", "--against", name]] {
            let output = fleet.run(args).expect(2);
            assert!(output.stderr.contains(code) && output.stdout.is_empty(), "{args:?}: {output}");
        }
    }
    let alone = fleet.run(&["drift", "--tenant", "t001", "--against", "t001"]).expect(2);
    assert!(alone.stderr.contains("no other tenant"), "{alone}");
    assert!(
        !fleet.folder().join("data").exists() || fs::read_dir(fleet.folder().join("data")).unwrap().next().is_none()
    );
}

#[test]
fn to_stops_at_a_version_and_an_unknown_one_is_an_error_that_names_its_neighbours() {
    let mut fleet = sqlite_fleet(2);
    fleet.changeset("V2__u.sql", "CREATE TABLE u (a int);").changeset("V4__v.sql", "CREATE TABLE v (a int);");
    let output = fleet.run(&["up", "--to", "3"]).expect(2);
    assert!(output.stderr.contains("MT111") && output.stderr.contains("2, 4"), "{output}");
    assert!(!fleet.folder().join("data/t001.db").exists());
    fleet.run(&["up", "--to", "V2"]).expect(0);
    let plan = fleet.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("V4__v") && !plan.stdout.contains("V2__u"), "{plan}");
    let older = fleet.run(&["up", "--to", "1"]).expect(0);
    assert!(older.stdout.contains("nothing to do"), "{older}");
    fleet.run(&["plan", "--check"]).expect(4);
    fleet.run(&["up", "--jobs", "1"]).expect(0);
    fleet.run(&["plan", "--check"]).expect(0);
}
