//! The selection's options.

use super::super::{Selection, Wave, WaveId};
use super::*;

const FLEET: &str = r#"
servers:
  files: { url: "sqlite://data" }
  spare: { url: "sqlite://spare" }
tenants:
  - { name: acme, url: "sqlite://1.db", labels: [eu, canary] }
  - { name: acme/eu, url: "sqlite://2.db", labels: [eu] }
  - { name: "a*", url: "sqlite://3.db", labels: [us] }
  - { name: "[x", url: "sqlite://4.db" }
  - { name: globex, server: files, database: g.db, labels: [us, "a/b"], quarantined: moving }
  - { name: "label=us", server: files, database: l.db }
"#;

/// Reads `--label eu --exclude acme`, words apart by spaces.
fn selection(line: &str) -> Selection {
    let mut made = Selection::default();
    let words: Vec<&str> = line.split_whitespace().collect();
    for pair in words.chunks(2) {
        let words = match pair[0] {
            "--tenant" => &mut made.tenants,
            "--label" => &mut made.labels,
            "--server" => &mut made.servers,
            "--wave" => &mut made.waves,
            "--exclude" => &mut made.exclude,
            other => panic!("{other}"),
        };
        words.push(pair[1].to_owned());
    }
    made
}

/// Returns the names of who is chosen, or the mistake.
fn chosen(fleet: &Fleet, line: &str) -> String {
    match fleet.select(&selection(line)) {
        Ok(ids) => ids.into_iter().map(|id| fleet.tenant(id).name.as_str()).collect::<Vec<_>>().join(" "),
        Err(mistake) => mistake.to_string(),
    }
}

/// Puts the first tenant into the wave `canary`, nobody into `early`, and all others come last.
fn waved() -> Fleet {
    let mut fleet = fleet(FLEET);
    let wave = |name: &str| Wave { name: name.into(), ..Wave::default() };
    fleet.rollout.waves = vec![wave("canary"), wave("early")];
    for tenant in &mut fleet.tenants[1..] {
        tenant.wave = WaveId(2);
    }
    fleet
}

#[test]
fn each_name_of_a_server_finds_those_who_are_defined_by_it() {
    let fleet = fleet(
        r#"
servers:
  a: { url: "postgres://a@h" }
  b: { url: "postgres://b@h", tls: require }
  spare: { url: "postgres://c@h" }
  files: { url: "sqlite://data" }
tenants:
  - { name: t1, server: a, database: t1 }
  - { name: t2, server: b, database: t2 }
  - { name: t3, url: "postgres://c@h/t3" }
  - { name: t4, server: files, database: t4.db }
  - { name: t5, url: "sqlite://data/t5.db" }
"#,
    );
    for (line, said) in [
        ("--server a", "t1"),
        ("--server b", "t2"),
        ("--server h:5432", "t3"),
        ("--server files", "t4"),
        ("--server data", "t5"),
        ("--server [ab]", "t1 t2"),
        ("--exclude server=b", "t1 t3 t4 t5"),
        (
            "--server spare",
            "error[MT110]: --server spare matches no tenant\nhint: the server is in tenants.yaml, and no tenant names it",
        ),
        (
            "--server c",
            "error[MT110]: --server c matches no server\nhint: did you mean `a`? the servers are a, b, data, files, h:5432, spare",
        ),
        (
            "--wave canary",
            "error[MT110]: there is no wave canary\nhint: the fleet has no waves; they are defined under `rollout: waves:`",
        ),
    ] {
        assert_eq!(chosen(&fleet, line), said, "{line}");
    }
}

#[test]
fn words_of_one_option_are_or_options_are_and_and_exclude_takes_away() {
    let fleet = waved();
    for (line, names) in [
        ("", "acme acme/eu a* [x globex label=us"),
        ("--tenant acme", "acme"),
        ("--tenant acme*", "acme acme/eu"),
        ("--tenant a*", "a*"),
        ("--tenant [x", "[x"),
        ("--tenant ?cme --tenant glob{al,ex}", "acme globex"),
        ("--tenant * --label us", "a* globex"),
        ("--label us --label canary", "acme a* globex"),
        ("--tenant acme* --label eu", "acme acme/eu"),
        ("--label eu,canary", "acme"),
        ("--label eu,!canary", "acme/eu"),
        ("--label !eu", "a* [x globex label=us"),
        ("--label !eu,!us", "[x label=us"),
        ("--label !eu --label canary", "acme a* [x globex label=us"),
        ("--label a/b", "globex"),
        ("--server files", "globex label=us"),
        ("--server f*", "globex label=us"),
        ("--server files --label us", "globex"),
        ("--wave canary", "acme"),
        ("--wave rest", "acme/eu a* [x globex label=us"),
        ("--wave canary --wave rest", "acme acme/eu a* [x globex label=us"),
        ("--wave rest --label eu", "acme/eu"),
        ("--exclude acme*", "a* [x globex label=us"),
        ("--exclude a* --exclude [x", "acme acme/eu globex label=us"),
        ("--exclude label=eu", "a* [x globex label=us"),
        ("--exclude label=eu,canary", "acme/eu a* [x globex label=us"),
        ("--exclude label=!eu", "acme acme/eu"),
        ("--exclude label=us", "acme acme/eu a* [x globex"),
        ("--exclude server=files", "acme acme/eu a* [x"),
        ("--exclude wave=canary", "acme/eu a* [x globex label=us"),
        ("--label eu --exclude wave=canary", "acme/eu"),
        ("--label eu --exclude globex", "acme acme/eu"),
    ] {
        assert_eq!(chosen(&fleet, line), names, "{line}");
    }
}

#[test]
fn a_word_that_matches_nobody_is_a_mistake_and_the_nearest_is_told() {
    let fleet = waved();
    for (line, mistake) in [
        (
            "--tenant glbex",
            "error[MT110]: --tenant glbex matches no tenant\nhint: did you mean `globex`? `mtmigrate tenants list` shows the names; quote a glob for the shell",
        ),
        (
            "--tenant acme --tenant xyz*",
            "error[MT110]: --tenant xyz* matches no tenant\nhint: `mtmigrate tenants list` shows the names; quote a glob for the shell",
        ),
        (
            "--label canry",
            "error[MT110]: no tenant has the label canry\nhint: did you mean `canary`? the labels are a/b, canary, eu, us",
        ),
        (
            "--label !canry",
            "error[MT110]: no tenant has the label canry\nhint: did you mean `canary`? the labels are a/b, canary, eu, us",
        ),
        (
            "--label eu,us",
            "error[MT110]: --label eu,us matches no tenant\nhint: with a comma all must hold, with `!` a label must be absent; a second --label means `or`",
        ),
        (
            "--label eu,",
            "error[MT114]: --label eu, names no label\nhint: `eu` has the label, `'!eu'` has it not, `eu,prod` has both; repeat --label for `or`",
        ),
        (
            "--tenant acme --label us",
            "error[MT110]: no tenant matches the whole selection\nhint: a tenant must match one word of each option; `mtmigrate tenants list` shows names, labels, servers and waves",
        ),
        (
            "--server file",
            "error[MT110]: --server file matches no server\nhint: did you mean `files`? the servers are ., files, spare",
        ),
        (
            "--wave earl",
            "error[MT110]: there is no wave earl\nhint: did you mean `early`? the waves are canary, early, rest; they stand under `rollout: waves:`",
        ),
        (
            "--wave early",
            "error[MT110]: no tenant is in wave early\nhint: `mtmigrate tenants list` shows who is in which wave",
        ),
        (
            "--exclude acm",
            "error[MT110]: --exclude acm matches no tenant\nhint: did you mean `acme`? `mtmigrate tenants list` shows the names; quote a glob for the shell",
        ),
        (
            "--exclude label=ue",
            "error[MT110]: no tenant has the label ue\nhint: did you mean `eu`? the labels are a/b, canary, eu, us",
        ),
        (
            "--label canary --exclude label=eu",
            "error[MT110]: --exclude leaves no tenant\nhint: take one of the --exclude options away",
        ),
        (
            "--tenant [y",
            "error[MT114]: --tenant [y is no glob\ncause: unclosed character class; missing ']'\nhint: `*` any characters, `?` one, `[ab]` one of these, `{a,b}` one of these words; `\\*` a star",
        ),
    ] {
        assert_eq!(chosen(&fleet, line), mistake, "{line}");
    }
}

#[test]
fn without_waves_everybody_is_the_rest() {
    let fleet = fleet(FLEET);
    assert_eq!(chosen(&fleet, "--wave rest").split(' ').count(), 6);
    assert!(chosen(&fleet, "--wave canary").starts_with("error[MT110]: there is no wave canary"));
}

#[test]
fn an_empty_fleet_is_no_selection() {
    let mistake = Fleet::default().select(&Selection::default()).expect_err("nobody").to_string();
    assert!(mistake.starts_with("error[MT110]: the fleet has no tenant"), "{mistake}");
}
