//! The four kinds of tenants, fleets of one kind and of all, and what their histories say.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fleet::Place;
use super::{Fleet, Output, mariadb, postgres};

/// How a tenant lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A schema in a PostgreSQL database that it shares.
    Schema,
    /// A PostgreSQL database.
    Database,
    MariaDb,
    Sqlite,
}

pub const KINDS: [Kind; 4] = [Kind::Schema, Kind::Database, Kind::MariaDb, Kind::Sqlite];

impl Kind {
    /// True where a text and its history row commit together.
    pub fn is_transactional(self) -> bool {
        self != Kind::MariaDb
    }

    /// The folder of this engine's own texts.
    pub fn engine(self) -> &'static str {
        match self {
            Kind::Schema | Kind::Database => "postgres",
            Kind::MariaDb => "mysql",
            Kind::Sqlite => "sqlite",
        }
    }

    /// A statement that takes a while: seconds, on SQLite about as many.
    pub fn slow(self, seconds: u32) -> String {
        match self {
            Kind::Schema | Kind::Database => format!("SELECT pg_sleep({seconds});"),
            Kind::MariaDb => format!("DO SLEEP({seconds});"),
            Kind::Sqlite => format!(
                "INSERT INTO effects (version) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                 WHERE i < {}) SELECT i FROM n WHERE i < 0;",
                seconds * 4_000_000
            ),
        }
    }

    /// One statement that takes a while and then leaves this version in the table `effects`.
    pub fn slow_effect(self, version: i64, seconds: u32) -> String {
        match self {
            Kind::Schema | Kind::Database => {
                format!("INSERT INTO effects SELECT {version} FROM (SELECT pg_sleep({seconds})) AS slept;")
            }
            Kind::MariaDb => {
                format!("INSERT INTO effects SELECT {version} FROM (SELECT SLEEP({seconds})) AS slept;")
            }
            Kind::Sqlite => format!(
                "INSERT INTO effects WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
                 SELECT {version} FROM n WHERE i = 1;",
                seconds * 1_000_000
            ),
        }
    }

    /// Adds tenants of this kind; schemas get one database together.
    pub fn add(self, fleet: &mut Fleet, names: &[String]) {
        let shared = if self == Kind::Schema { postgres(0).create_database() } else { String::new() };
        for name in names {
            match self {
                Kind::Schema => fleet.postgres_schema(name, postgres(0), &shared),
                Kind::Database => fleet.postgres_database(name, postgres(0)),
                Kind::MariaDb => fleet.mariadb(name, mariadb(0)),
                Kind::Sqlite => fleet.sqlite(name),
            };
        }
    }
}

/// `t01`, `t02` and so on.
pub fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("t{number:02}")).collect()
}

/// A fleet of `t01` to `t<count>`, all of one kind.
pub fn fleet_of(kind: Kind, count: usize) -> Fleet {
    let mut fleet = Fleet::new();
    kind.add(&mut fleet, &numbered(count));
    fleet
}

/// A fleet with so many tenants of each kind: `schema1`, `database1`, `mariadb1`, `sqlite1` and so on.
pub fn fleet_of_all(of_each: usize) -> Fleet {
    let mut fleet = Fleet::new();
    for kind in KINDS {
        let word = format!("{kind:?}").to_lowercase();
        let names: Vec<String> = (1..=of_each).map(|number| format!("{word}{number}")).collect();
        kind.add(&mut fleet, &names);
    }
    fleet
}

impl Fleet {
    /// The versions that a tenant's history holds, in order; none without the table.
    #[track_caller]
    pub fn versions(&self, tenant: &str) -> Vec<i64> {
        if !self.has_table(tenant, "refinery_schema_history") {
            return Vec::new();
        }
        let rows = self.query(tenant, "SELECT version FROM refinery_schema_history ORDER BY version");
        rows.iter().map(|row| row[0].as_deref().expect("a version").parse().expect("a version")).collect()
    }

    /// The versions of all tenants, by name.
    #[track_caller]
    pub fn all_versions(&self) -> BTreeMap<String, Vec<i64>> {
        self.names().into_iter().map(|name| (name.clone(), self.versions(&name))).collect()
    }

    /// True if the tenant's own schema has this table.
    #[track_caller]
    pub fn has_table(&self, tenant: &str, table: &str) -> bool {
        let sql = match self.place(tenant) {
            Place::Postgres { .. } => {
                format!(
                    "SELECT 1 FROM pg_tables WHERE schemaname::text = current_schema()::text AND tablename = '{table}'"
                )
            }
            Place::MariaDb { .. } => format!(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{table}'"
            ),
            Place::Sqlite(path) if !path.exists() => return false,
            Place::Sqlite(_) => format!("SELECT 1 FROM sqlite_schema WHERE name = '{table}'"),
        };
        !self.query(tenant, &sql).is_empty()
    }

    /// The first cell of the only row.
    #[track_caller]
    pub fn cell(&self, tenant: &str, sql: &str) -> String {
        let rows = self.query(tenant, sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0][0].clone().unwrap_or_else(|| "NULL".into())
    }

    /// The journal in short, in its order: `V2 started 1/3`, `V2 failed 1/3`, `V1 applied`.
    #[track_caller]
    pub fn journal(&self, tenant: &str) -> Vec<String> {
        let sql = "SELECT version, outcome, statement_no, statements FROM mtmigrate_journal ORDER BY id";
        let line = |row: &Vec<Option<String>>| {
            let cell = |i: usize| row[i].clone().unwrap_or_default();
            let at = row[2].as_ref().map_or_else(String::new, |no| format!(" {no}/{}", cell(3)));
            format!("V{} {}{at}", cell(0), cell(1))
        };
        self.query(tenant, sql).iter().map(line).collect()
    }

    /// Writes a changeset in each engine's own words.
    pub fn variants(&mut self, file: &str, sql: impl Fn(Kind) -> String) -> &mut Fleet {
        for kind in [Kind::Database, Kind::MariaDb, Kind::Sqlite] {
            self.variant(kind.engine(), file, &sql(kind));
        }
        self
    }

    /// What the texts left in the table `effects`: versions, as often as they ran.
    #[track_caller]
    pub fn effects(&self, tenant: &str) -> Vec<i64> {
        let rows = self.query(tenant, "SELECT version FROM effects ORDER BY version");
        rows.iter().map(|row| row[0].as_deref().expect("a version").parse().expect("a version")).collect()
    }

    /// What `status` says in JSON.
    #[track_caller]
    pub fn status(&self) -> Status {
        let output = self.run(&["status", "--format", "json"]);
        Status(output.json())
    }
}

impl Output {
    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{self}"))
    }

    /// Fails unless stdout or stderr holds each of these.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Output {
        for text in texts {
            assert!(self.stdout.contains(text) || self.stderr.contains(text), "no {text:?} in:\n{self}");
        }
        self
    }
}

/// `mtmigrate.status/1`.
pub struct Status(pub Value);

impl Status {
    /// A tenant's entry.
    #[track_caller]
    pub fn tenant(&self, name: &str) -> &Value {
        let tenants = self.0["tenants"].as_array().expect("tenants");
        tenants.iter().find(|tenant| tenant["name"] == name).unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    /// A tenant's state.
    #[track_caller]
    pub fn state(&self, name: &str) -> &str {
        self.tenant(name)["state"].as_str().expect("a state")
    }

    /// How many tenants are in a state.
    #[track_caller]
    pub fn count(&self, state: &str) -> u64 {
        self.0["summary"][state].as_u64().expect("a count")
    }
}
