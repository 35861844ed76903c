//! What the documents show works as they show it.

use std::fs;
use std::path::Path;

use crate::support::sandbox::sandbox;
use crate::support::tls::files;
use crate::support::{Fleet, Running};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The blocks of a language in a document.
fn blocks<'d>(document: &'d str, language: &str) -> Vec<&'d str> {
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_commands_of_the_readme_work_in_the_order_shown() {
    let readme = document("README.md");
    let block = blocks(&readme, "sh").into_iter().find(|block| block.contains("mtmigrate init shop")).unwrap();
    let fleet = Fleet::new();
    let mut command = sandbox().own_command("KILL", Path::new("bash"), fleet.folder());
    let program = env!("CARGO_BIN_EXE_mtmigrate");
    command.args(["-euc", &format!("mtmigrate() {{ {program} \"$@\"; }}\n{block}\npwd")]);
    let output = Running::start(command).wait().expect(0);
    assert!(output.stdout.contains("migrations/V9__add_invoices.sql"), "{output}");
    assert!(output.stdout.contains("11 tenants brought to V9"), "{output}");
    assert!(output.stdout.trim_end().ends_with("shop"), "{output}");
    for verb in ["init", "new", "validate", "plan", "up", "status"] {
        assert!(block.contains(&format!("mtmigrate {verb}")), "{verb} is shown");
    }
}

#[test]
fn every_option_of_mtmigrate_that_a_document_shows_exists() {
    let fleet = Fleet::new();
    for name in [
        "README.md",
        "docs/changesets.md",
        "docs/tenants.md",
        "docs/fleets.md",
        "docs/rollout.md",
        "docs/lifecycle.md",
        "docs/formats.md",
        "docs/errors.md",
        "docs/drift.md",
    ] {
        let text = document(name);
        // In code, to its end: `mtmigrate up --lock-wait 10m`.
        for code in text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("mtmigrate ")) {
            let code = code.lines().next().unwrap();
            let mut words = code.split_whitespace().take_while(|word| !word.starts_with(['|', '>', '#']));
            let Some(verb) = words.next().filter(|verb| verb.chars().all(|c| c.is_ascii_lowercase())) else { continue };
            let mut asked = vec![verb];
            if verb == "tenants" {
                asked.extend(words.next().filter(|word| word.chars().all(|c| c.is_ascii_lowercase())));
            }
            asked.push("--help");
            let help = fleet.run(&asked).expect(0).stdout;
            for option in words.filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap();
                assert!(help.contains(option), "{name} shows `mtmigrate {code}`: no {option} in {help}");
            }
        }
    }
}

#[test]
fn the_example_of_tenants_md_and_of_the_readme_are_fleets() {
    for (name, tenants) in [("docs/tenants.md", 5), ("README.md", 5)] {
        let text = document(name);
        let example = blocks(&text, "yaml").into_iter().find(|block| block.contains("tenants:")).unwrap();
        let mut fleet = Fleet::new();
        let secret = fleet.folder().join("mysql-password");
        fleet.file("mysql-password", "from-a-file\n");
        fleet.file("certs/ca.pem", fs::read(&files().ca).unwrap());
        // The one path that a test cannot write.
        let example = example.replace("/run/secrets/mysql", &secret.display().to_string());
        fleet.tenants_yaml(&example).env("EU_PASSWORD", "any: #thing\"").changeset("V1__x.sql", "SELECT 1;");
        let output = fleet.run(&["validate"]).expect(0);
        assert!(output.stdout.starts_with(&format!("ok: {tenants} tenants")), "{name}: {output}");
        assert!(output.stdout.contains("1 quarantined"), "{name}: {output}");
        let mut without = Fleet::new();
        without.tenants_yaml(&example).changeset("V1__x.sql", "SELECT 1;");
        assert!(without.run(&["validate"]).expect(2).stderr.contains("EU_PASSWORD"), "{name}");
    }
}
