//! Every file of docs/fleets.md is run: it is valid, its tenants go up, and then they are current.
//!
//! A comment before a block says what it is: `file: NAME` a fleet, `beside: NAME PATH` a file in its folder, `sql: NAME
//! ENGINE DATABASE` what is there before. Hosts and passwords come from variables, so nothing in a file is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{CANARY, Fleet, MariaDb, Options, Postgres};

/// The page's marked blocks: what the comment says, and the text.
fn blocks() -> Vec<(Vec<String>, String)> {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fleets.md")).expect("docs/fleets.md");
    let marked = page.split("<!-- ").skip(1).map(|rest| {
        let (mark, rest) = rest.split_once(" -->\n```").expect("a mark before a block");
        let (_, block) = rest.split_once('\n').expect("a block");
        let (text, _) = block.split_once("```\n").expect("a block's end");
        (mark.split(' ').map(str::to_owned).collect(), text.to_owned())
    });
    marked.collect()
}

/// The texts whose mark begins with these words.
fn of<'b>(blocks: &'b [(Vec<String>, String)], words: &[&str]) -> Vec<(&'b [String], &'b str)> {
    let begins = |mark: &[String]| mark.iter().zip(words).all(|(one, other)| one == other) && mark.len() >= words.len();
    blocks.iter().filter(|(mark, _)| begins(mark)).map(|(mark, text)| (&mark[words.len()..], text.as_str())).collect()
}

struct Servers {
    pg: Postgres,
    my: MariaDb,
}

impl Servers {
    /// Makes the folder of an example, and what its page says is there before.
    fn prepare(&self, blocks: &[(Vec<String>, String)], name: &str, text: &str) -> Fleet {
        let mut fleet = Fleet::new();
        fleet.tenants_yaml(text).changeset("V1__orders.sql", "CREATE TABLE orders (id int);");
        for (path, text) in of(blocks, &["beside:", name]) {
            fleet.file(&path[0], text);
            if text.starts_with("#!") {
                let mode = fs::Permissions::from_mode(0o755);
                fs::set_permissions(fleet.folder().join(&path[0]), mode).expect("a mode");
            }
        }
        for (place, sql) in of(blocks, &["sql:", name]) {
            assert_eq!(place[0], "mysql", "{name}");
            self.my.create_database_named(&place[1]);
            self.my.execute(&place[1], sql);
        }
        for (variable, value) in [
            ("PG_HOST", "127.0.0.1".to_owned()),
            ("PG_PORT", self.pg.port().to_string()),
            ("PG_PASSWORD", CANARY.to_owned()),
            ("MY_HOST", "127.0.0.1".to_owned()),
            ("MY_PORT", self.my.port().to_string()),
            ("MY_PASSWORD", CANARY.to_owned()),
            ("TLS", "prefer".to_owned()),
            ("PAUSE", "50ms".to_owned()),
        ] {
            fleet.env(variable, &value);
        }
        // What is discovered must be there before it is listed.
        match name {
            "schemas-that-are-there" => {
                self.pg.create_database_named("saas");
                for schema in ["tenant_acme", "tenant_globex", "tenant_test_1", "other"] {
                    self.pg.create_schema_named("saas", schema);
                }
            }
            "files-that-are-there" => {
                for file in ["data/acme.db", "data/globex.db", "data/acme.backup.db"] {
                    fleet.file(file, "");
                }
            }
            _ => {}
        }
        fleet
    }

    /// Makes the databases and schemas of the tenants that are listed.
    fn make_homes(&self, listed: &Value) {
        for tenant in listed["tenants"].as_array().expect("tenants") {
            let (database, schema) = (tenant["database"].as_str().expect("a database"), tenant["schema"].as_str());
            match tenant["engine"].as_str() {
                Some("postgres") => {
                    let there = self.pg.query("postgres", "SELECT datname FROM pg_database");
                    if !there.iter().any(|row| row[0].as_deref() == Some(database)) {
                        self.pg.create_database_named(database);
                    }
                    let there = self.pg.query(database, "SELECT nspname FROM pg_namespace");
                    if let Some(schema) =
                        schema.filter(|schema| !there.iter().any(|row| row[0].as_deref() == Some(schema)))
                    {
                        self.pg.create_schema_named(database, schema);
                    }
                }
                Some("mysql") => self.my.execute("", &format!("CREATE DATABASE IF NOT EXISTS `{database}`")),
                _ => {}
            }
        }
    }

    /// Lets an example go up; returns the states of its tenants, by name.
    fn run(&self, blocks: &[(Vec<String>, String)], name: &str, text: &str) -> BTreeMap<String, String> {
        let fleet = self.prepare(blocks, name, text);
        let listed = fleet.run(&["tenants", "list", "--format", "json"]).expect(0).json();
        self.make_homes(&listed);
        fleet.run(&["validate"]).expect(0);
        fleet.run(&["tenants", "check"]).expect(0);
        fleet.run(&["up"]).expect(0);
        fleet.run(&["status", "--check"]).expect(0);
        let tenants = listed["tenants"].as_array().expect("tenants").clone();
        let state = |tenant: &Value| Some((tenant["name"].as_str()?.to_owned(), tenant["state"].as_str()?.to_owned()));
        tenants.iter().filter_map(state).collect()
    }
}

/// An example, how many tenants it has, and the names of those that are left out.
type Example = (&'static str, usize, &'static [&'static str]);

const LISTED: [Example; 4] = [
    ("database-for-each-tenant", 5, &["old"]),
    ("schema-for-each-tenant", 3, &[]),
    ("sqlite-files", 3, &[]),
    ("mixed", 5, &[]),
];

const OF_SOURCES: [Example; 4] = [
    ("databases-from-a-template", 4, &[]),
    ("schemas-that-are-there", 2, &[]),
    ("files-that-are-there", 2, &[]),
    ("registry", 5, &["gone", "newcomer"]),
];

const IN_WAVES: [Example; 1] = [("waves-and-variables", 4, &[])];

fn run(examples: &[Example]) {
    let blocks = blocks();
    let servers = Servers { pg: Postgres::start(Options::default()), my: MariaDb::start(Options::default()) };
    for (name, count, left_out) in examples {
        let text = of(&blocks, &["file:", name])[0].1;
        let states = servers.run(&blocks, name, text);
        assert_eq!(states.len(), *count, "{name}: {states:?}");
        let out: Vec<&String> = states.iter().filter(|(_, state)| *state != "active").map(|(name, _)| name).collect();
        assert_eq!(out, *left_out, "{name}");
    }
}

#[test]
fn every_file_of_the_page_is_run_here() {
    let blocks = blocks();
    let named: BTreeSet<&str> = of(&blocks, &["file:"]).iter().map(|(rest, _)| rest[0].as_str()).collect();
    let known = [&LISTED[..], &OF_SOURCES, &IN_WAVES].concat();
    assert_eq!(named, known.iter().map(|(name, ..)| *name).collect());
    assert_eq!(known.len(), of(&blocks, &["file:"]).len(), "each once");
}

#[test]
fn every_fleet_of_the_page_whose_tenants_are_listed_goes_up() {
    run(&LISTED);
}

#[test]
fn every_fleet_of_the_page_whose_tenants_come_from_sources_goes_up() {
    run(&OF_SOURCES);
}

#[test]
fn the_fleet_of_the_page_that_has_waves_and_variables_goes_up() {
    run(&IN_WAVES);
}
