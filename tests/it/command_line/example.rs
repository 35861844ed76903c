//! `init` and `new`.

use std::fs;

use crate::support::Fleet;

/// A folder with nothing in it.
fn empty() -> Fleet {
    let fleet = Fleet::new();
    for entry in fs::read_dir(fleet.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fleet
}

#[test]
fn init_makes_an_example_in_an_empty_folder_that_every_verb_works_on() {
    let fleet = empty();
    let made = fleet.run(&["init"]).expect(0);
    assert!(made.stdout.lines().all(|path| fleet.folder().join(path).exists()), "{made}");
    assert!(made.stderr.contains("mtmigrate up"), "{made}");
    let checked = fleet.run(&["validate"]).expect(0);
    assert!(checked.stdout.starts_with("ok: 12 tenants") && checked.stderr.is_empty(), "{checked}");
    fleet.run(&["plan", "--check"]).expect(4);
    fleet.run(&["status"]).expect(0);
    assert!(!fleet.folder().join("data/acme.db").exists(), "reading makes no file");
    fleet.run(&["up"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
    let history = fleet.run(&["history", "--tenant", "acme"]).expect(0);
    assert!(history.stdout.contains("V8") || history.stdout.contains("create_revenue_view"), "{history}");
    assert!(fleet.run(&["up"]).expect(0).stdout.contains("nothing to do"));
    assert!(!fleet.folder().join("data/zephyr.db").exists(), "a quarantined tenant is left out");
}

#[test]
fn init_overwrites_nothing_and_says_what_is_there() {
    let mut fleet = empty();
    fleet.file("tenants.yaml", "mine").file("migrations/V1__create_customers.sql", "mine");
    let output = fleet.run(&["init"]).expect(2);
    assert!(
        output.stderr.contains("tenants.yaml exists") && output.stderr.contains("V1__create_customers"),
        "{output}"
    );
    assert_eq!(fs::read_to_string(fleet.folder().join("tenants.yaml")).unwrap(), "mine");
    assert!(!fleet.folder().join("migrations/V2__create_products.sql").exists());
    fleet.run(&["init", "a/b"]).expect(0);
    fleet.run(&["validate", "-c", "a/b/tenants.yaml"]).expect(0);
    fleet.run(&["init", "a/b"]).expect(2);
}

#[test]
fn new_makes_the_next_file_and_prints_its_path_alone() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").changeset("V9__x.sql", "SELECT 1;").changeset("V10__x.sql", "SELECT 1;");
    let made = fleet.run(&["new", "add_invoices"]).expect(0);
    assert_eq!(made.stdout, "migrations/V11__add_invoices.sql\n");
    assert!(made.stderr.is_empty(), "{made}");
    let timed = fleet.run(&["new", "later", "--timestamp"]).expect(0).stdout;
    let digits = timed.trim_start_matches("migrations/V").trim_end_matches("__later.sql\n");
    assert!(digits.len() == 14 && digits.starts_with("20"), "{timed}");
    // From then on the changelog counts time.
    let next = fleet.run(&["new", "after"]).expect(0).stdout;
    assert!(next.trim_start_matches("migrations/V20").len() > 14, "{next}");
    fleet.run(&["validate"]).expect(0);
    fleet.run(&["up"]).expect(0);
}

#[test]
fn new_makes_words_of_spaces_and_hyphens_and_refuses_what_no_file_may_bear() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite");
    for name in ["", "  ", "../x", "x.sql", "a/b", "a;b", "x\ny", &"long".repeat(60)] {
        let output = fleet.run(&["new", name]).expect(2);
        assert!(output.stderr.contains("MT113") && output.stdout.is_empty(), "{name:?}: {output}");
    }
    assert_eq!(fs::read_dir(fleet.migrations()).unwrap().count(), 0);
    for (name, made) in [("add-users", "V1__add_users"), ("1 starts with a digit", "V2__1_starts_with_a_digit")] {
        assert_eq!(fleet.run(&["new", name]).expect(0).stdout, format!("migrations/{made}.sql\n"));
    }
    assert_eq!(fleet.run(&["new", "größe"]).expect(0).stdout, "migrations/V3__größe.sql\n");
    fleet.run(&["new", "x", "--migrations", "none"]).expect(2);
    fleet.run(&["validate"]).expect(0);
    fleet.run(&["up"]).expect(0);
}
