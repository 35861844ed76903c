//! What may lie in the place of `tenants.yaml`, of a secret's file and of a tenant's own.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::files::fifo;
use crate::support::{CANARY, Fleet};

fn fleet() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.changeset("V1__good.sql", "CREATE TABLE good (id int);\n");
    fleet
}

#[test]
fn what_is_no_regular_file_is_no_fleet_and_waited_for_by_nobody() {
    let fleet = fleet();
    let path = fleet.folder().join("odd");
    for (put, said) in [
        (fifo as fn(&std::path::Path), "it is a FIFO"),
        (|path| fs::create_dir(path).unwrap(), "it is a folder"),
        (|path| symlink("/dev/zero", path).unwrap(), "it is a device"),
        (|path| File::create(path).unwrap().set_len(2 << 30).unwrap(), "at most 64 MiB"),
        (|path| symlink("odd", path).unwrap(), "symbolic links"),
    ] {
        put(&path);
        fleet.run(&["-c", "odd", "validate"]).expect(2).says(&["MT101", said]);
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    }
}

#[test]
fn a_secret_is_read_from_a_regular_file_of_some_length_only() {
    let mut fleet = fleet();
    fifo(&fleet.folder().join("fifo"));
    File::create(fleet.folder().join("huge")).unwrap().set_len(1 << 40).unwrap();
    fleet.file("long", [b'x'; 65 * 1024]).file("binary", b"\xff\0");
    fleet.file("real", format!("{CANARY}\n"));
    for (file, said) in [
        ("fifo", "it is a FIFO"),
        ("/dev/zero", "it is a device"),
        (".", "it is a folder"),
        ("huge", "it has 1099511627776 bytes"),
        ("long", "it has 66560 bytes"),
        ("binary", "it is not UTF-8"),
    ] {
        fleet.tenants_yaml(&format!(
            "tenants: [{{ name: a, url: \"postgres://u@h/d\", labels: [\"${{file:{file}}}\"] }}]\n"
        ));
        fleet.run(&["validate"]).expect(2).says(&["MT107", said]);
        // A password's file is read by who connects, and looked at before.
        fleet
            .tenants_yaml(&format!("tenants: [{{ name: a, url: \"postgres://u:${{file:{file}}}@127.0.0.1:1/d\" }}]\n"));
        match file {
            "binary" => fleet.run(&["status"]).expect(5).says(&["MT117", said]),
            _ => fleet.run(&["validate"]).expect(2).says(&["MT107", said]),
        };
    }
    // As mounted secrets are: a link to a link to a file.
    symlink("real", fleet.folder().join("data/..link")).unwrap();
    fs::rename(fleet.folder().join("data/..link"), fleet.folder().join("..link")).unwrap();
    symlink("..link", fleet.folder().join("link")).unwrap();
    fleet.tenants_yaml("tenants: [{ name: a, url: \"postgres://u:${file:link}@h/d\" }]\n");
    fleet.run(&["validate"]).expect(0);
}

#[test]
fn a_certificate_is_a_regular_file_of_some_length() {
    let mut fleet = fleet();
    fifo(&fleet.folder().join("fifo"));
    File::create(fleet.folder().join("huge")).unwrap().set_len(2 << 30).unwrap();
    for (file, said) in [("fifo", "does not exist"), ("/dev/zero", "does not exist"), ("huge", "larger than 16 MiB")] {
        for scheme in ["postgres", "mysql"] {
            fleet.tenants_yaml(&format!(
                "tenants: [{{ name: a, url: \"{scheme}://u@h/d\", tls: verify-full, ca_file: \"{file}\" }}]\n"
            ));
            fleet.run(&["validate"]).expect(2).says(&["MT115", said]);
        }
    }
}

#[test]
fn yaml_that_unfolds_or_nests_without_end_is_refused_in_time() {
    let mut fleet = fleet();
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let list = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    laughs.push_str("tenants: *a29\n");
    let merges: String =
        (1..60).map(|n| format!("m{n}: &m{n} {{ <<: [*m{0}, *m{0}], k{n}: *m{0} }}\n", n - 1)).collect();
    let deep = 1_000_000;
    for yaml in [
        laughs,
        format!("m0: &m0 {{ k: v }}\n{merges}tenants: [*m59]\n"),
        "[".repeat(deep),
        format!("tenants: {}{}", "[".repeat(deep), "]".repeat(deep)),
        "{a: ".repeat(deep),
        (0..4_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
        "- ".repeat(deep),
        "? ".repeat(deep),
        "!t ".repeat(deep),
        "a: &a [*a, *a]\ntenants: *a\n".to_owned(),
    ] {
        let begun = Instant::now();
        fleet.tenants_yaml(&yaml);
        let output = fleet.run(&["validate"]).expect(2);
        let shown: String = yaml.chars().take(40).collect();
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?} for {shown:?}", begun.elapsed());
        assert!(
            output.stderr.contains("MT10") && output.stderr.len() < 20_000,
            "{shown:?}: {} bytes",
            output.stderr.len()
        );
    }
}

#[test]
fn two_tenants_are_never_one_file_by_whatever_name() {
    for (make, there) in
        [(symlink_to as fn(&Fleet), true), (symlink_to, false), (hard_link, true), (link_of_a_link, false)]
    {
        let mut fleet = fleet();
        fleet.sqlite_named("acme", "acme.db").sqlite_named("globex", "globex.db");
        if there {
            File::create(fleet.folder().join("data/acme.db")).unwrap();
        }
        make(&fleet);
        for verb in ["validate", "up", "status"] {
            fleet.run(&[verb]).expect(2).says(&["MT106", "acme", "globex"]);
        }
        assert_eq!(fleet.folder().join("data/acme.db").exists(), there, "nothing was made");
    }
}

fn symlink_to(fleet: &Fleet) {
    symlink("acme.db", fleet.folder().join("data/globex.db")).unwrap();
}

fn hard_link(fleet: &Fleet) {
    fs::hard_link(fleet.folder().join("data/acme.db"), fleet.folder().join("data/globex.db")).unwrap();
}

fn link_of_a_link(fleet: &Fleet) {
    symlink(fleet.folder().join("data/../data/between"), fleet.folder().join("data/globex.db")).unwrap();
    symlink("./acme.db", fleet.folder().join("data/between")).unwrap();
}

#[test]
fn a_link_in_the_place_of_a_lock_is_not_written_through() {
    let mut fleet = fleet();
    fleet.sqlite("acme").file("precious", "do not touch\n");
    symlink("../precious", fleet.folder().join("data/.mtmigrate.lock")).unwrap();
    fleet.run(&["up"]).expect(5).says(&["MT302", ".mtmigrate.lock", "a link"]);
    assert_eq!(fs::read_to_string(fleet.folder().join("precious")).unwrap(), "do not touch\n");
    fs::remove_file(fleet.folder().join("data/.mtmigrate.lock")).unwrap();
    fleet.run(&["up"]).expect(0);
}

#[test]
fn nothing_is_written_through_a_link_that_leads_to_nothing() {
    let fleet = fleet();
    let elsewhere = fleet.folder().join("elsewhere");
    symlink(&elsewhere, fleet.migrations().join("V2__next.sql")).unwrap();
    fleet.run(&["new", "next", "--migrations", "migrations"]).expect(2);
    fs::create_dir(fleet.folder().join("example")).unwrap();
    symlink(&elsewhere, fleet.folder().join("example/tenants.yaml")).unwrap();
    fleet.run(&["init", "example"]).expect(2).says(&["MT112"]);
    assert!(!elsewhere.exists());
    assert_eq!(fs::read_dir(fleet.folder().join("example")).unwrap().count(), 1);
}
