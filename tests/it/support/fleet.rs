//! A project folder with tenants and changesets, and mtmigrate run in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::sandbox::sandbox;
use super::{MariaDb, Output, Postgres, Proxy, Rows, Running, assert_no_secret};
use super::{quoted, sqlite, unique};

/// A project folder: `tenants.yaml` and `migrations/`. Removed at the end of its test unless that failed.
///
/// ```ignore
/// let mut fleet = Fleet::new();
/// fleet.postgres_database("acme", postgres(0)).sqlite("demo");
/// fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int)");
/// fleet.run(&["up"]).expect(0);
/// assert!(fleet.dump("acme").contains("orders"));
/// ```
pub struct Fleet {
    folder: PathBuf,
    tenants: Vec<Tenant>,
    /// Named servers: their keys in `tenants.yaml`, values as YAML.
    servers: BTreeMap<String, BTreeMap<String, String>>,
    env: BTreeMap<String, String>,
    /// Further keys of `tenants.yaml`, values as YAML.
    top: BTreeMap<String, String>,
}

struct Tenant {
    name: String,
    /// Its keys in `tenants.yaml`, values as YAML.
    keys: BTreeMap<String, String>,
    place: Place,
}

/// Where a tenant's data lies, for looks past mtmigrate.
#[derive(Clone)]
pub enum Place {
    Postgres { server: Postgres, database: String, schema: Option<String> },
    MariaDb { server: MariaDb, database: String },
    Sqlite(PathBuf),
}

impl Fleet {
    /// An empty fleet: no tenants, no changesets.
    pub fn new() -> Fleet {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("fleet").replace("::", ".");
        let test: String = test.chars().take(80).collect();
        // Ours, not the servers': mtmigrate runs as the user of the tests.
        let folder = sandbox().root().join(unique(&format!("fleet-{test}")));
        fs::create_dir_all(folder.join("migrations")).expect("a folder");
        fs::create_dir_all(folder.join("data")).expect("a folder");
        let (servers, env, top) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let fleet = Fleet { folder, tenants: Vec::new(), servers, env, top };
        fleet.write();
        fleet
    }

    /// The folder, where the commands run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the changesets.
    pub fn migrations(&self) -> PathBuf {
        self.folder.join("migrations")
    }

    // Tenants.

    /// A tenant with a new database of its own.
    pub fn postgres_database(&mut self, name: &str, server: &Postgres) -> &mut Fleet {
        self.postgres_database_named(name, server, &unique("tenant"))
    }

    /// A tenant with a new database of this name.
    pub fn postgres_database_named(&mut self, name: &str, server: &Postgres, database: &str) -> &mut Fleet {
        server.create_database_named(database);
        let place = Place::Postgres { server: server.clone(), database: database.into(), schema: None };
        self.tenant(name, &[("url", &server.url(database))], place)
    }

    /// A tenant with a new schema in a database that others share, through a named server.
    pub fn postgres_schema(&mut self, name: &str, server: &Postgres, database: &str) -> &mut Fleet {
        self.postgres_schema_named(name, server, database, &unique("tenant"))
    }

    /// A tenant with a new schema of this name.
    pub fn postgres_schema_named(&mut self, name: &str, server: &Postgres, database: &str, schema: &str) -> &mut Fleet {
        server.create_schema_named(database, schema);
        let server_name = format!("pg{}", server.port());
        self.server(&server_name, &server.server_url());
        let keys = [("server", &*server_name), ("database", database), ("schema", schema)];
        let place = Place::Postgres { server: server.clone(), database: database.into(), schema: Some(schema.into()) };
        self.tenant(name, &keys, place)
    }

    /// A tenant with a new database of its own.
    pub fn mariadb(&mut self, name: &str, server: &MariaDb) -> &mut Fleet {
        self.mariadb_named(name, server, &unique("tenant"))
    }

    /// A tenant with a new database of this name.
    pub fn mariadb_named(&mut self, name: &str, server: &MariaDb, database: &str) -> &mut Fleet {
        server.create_database_named(database);
        let place = Place::MariaDb { server: server.clone(), database: database.into() };
        self.tenant(name, &[("url", &server.url(database))], place)
    }

    /// A tenant with a file of its own, which mtmigrate makes.
    pub fn sqlite(&mut self, name: &str) -> &mut Fleet {
        let file = format!("data/{}.db", unique("tenant"));
        let place = Place::Sqlite(self.folder.join(&file));
        self.tenant(name, &[("url", &format!("sqlite://{file}?mode=rwc"))], place)
    }

    /// A tenant with a file of this name, through a named server.
    pub fn sqlite_named(&mut self, name: &str, file: &str) -> &mut Fleet {
        let place = Place::Sqlite(self.folder.join("data").join(file));
        self.server("files", "sqlite://data?mode=rwc");
        self.tenant(name, &[("server", "files"), ("database", file)], place)
    }

    fn tenant(&mut self, name: &str, keys: &[(&str, &str)], place: Place) -> &mut Fleet {
        let keys = keys.iter().map(|(key, value)| (key.to_string(), json(value)));
        self.tenants.push(Tenant { name: name.into(), keys: keys.collect(), place });
        self.write();
        self
    }

    /// Sets a key of a tenant to a value in YAML: `("acme", "labels", "[canary]")`.
    pub fn set(&mut self, tenant: &str, key: &str, yaml: &str) -> &mut Fleet {
        let tenant = self.tenants.iter_mut().find(|other| other.name == tenant);
        let keys = &mut tenant.expect("a tenant of this name").keys;
        keys.insert(key.into(), yaml.into());
        self.write();
        self
    }

    /// Takes a tenant out of `tenants.yaml`; its data stay.
    pub fn forget_tenant(&mut self, name: &str) -> &mut Fleet {
        self.tenants.retain(|tenant| tenant.name != name);
        self.write();
        self
    }

    /// Adds a named server, or gives it another URL.
    pub fn server(&mut self, name: &str, url: &str) -> &mut Fleet {
        self.set_server(name, "url", &json(url))
    }

    /// Sets a key of a named server to a value in YAML. A server of a schema tenant is `pg<port>`.
    pub fn set_server(&mut self, name: &str, key: &str, yaml: &str) -> &mut Fleet {
        let keys = self.servers.entry(name.into()).or_default();
        keys.insert(key.into(), yaml.into());
        self.write();
        self
    }

    /// Sets a key of `tenants.yaml` itself to a value in YAML: `("verify", "run")`.
    pub fn set_top(&mut self, key: &str, yaml: &str) -> &mut Fleet {
        self.top.insert(key.into(), yaml.into());
        self.write();
        self
    }

    /// Puts a tenant that has a URL of its own behind a proxy: mtmigrate comes through it, looks past mtmigrate do not.
    pub fn behind(&mut self, tenant: &str, proxy: &Proxy) -> &mut Fleet {
        let url = match self.place(tenant) {
            Place::Postgres { server, database, schema: None } => server.url(database),
            Place::MariaDb { server, database } => server.url(database),
            _ => panic!("tenant {tenant} has no URL of its own to a port"),
        };
        self.set(tenant, "url", &json(&proxy.url(&url)))
    }

    /// Puts a named server behind a proxy. A server of a schema tenant is `pg<port>`.
    pub fn server_behind(&mut self, server: &str, proxy: &Proxy) -> &mut Fleet {
        let url: String = serde_json::from_str(&self.servers[server]["url"]).expect("a URL");
        self.server(server, &proxy.url(&url))
    }

    /// Replaces `tenants.yaml` until the next call that changes tenants or servers.
    pub fn tenants_yaml(&mut self, text: &str) -> &mut Fleet {
        self.file("tenants.yaml", text)
    }

    // Files.

    /// Writes a changeset for every engine; writing it again edits it.
    pub fn changeset(&mut self, file: &str, sql: &str) -> &mut Fleet {
        self.file(&format!("migrations/{file}"), sql)
    }

    /// Writes an engine's own text of a changeset: `("mysql", "V2__search.sql", …)`.
    pub fn variant(&mut self, engine: &str, file: &str, sql: &str) -> &mut Fleet {
        self.changeset(&format!("{engine}/{file}"), sql)
    }

    /// Changes a changeset that exists.
    pub fn edit(&mut self, file: &str, sql: &str) -> &mut Fleet {
        assert!(self.migrations().join(file).exists(), "no changeset {file}");
        self.changeset(file, sql)
    }

    /// Removes a changeset.
    pub fn remove(&mut self, file: &str) -> &mut Fleet {
        fs::remove_file(self.migrations().join(file)).expect("a changeset");
        self
    }

    /// Writes any file below the folder.
    pub fn file(&mut self, path: &str, content: impl AsRef<[u8]>) -> &mut Fleet {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
        self
    }

    /// Sets an environment variable for the commands.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Fleet {
        self.env.insert(name.into(), value.into());
        self
    }

    // Commands.

    /// Runs `mtmigrate` with these arguments in the folder, and waits for its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.spawn(args).wait()
    }

    /// Starts `mtmigrate` with these arguments in the folder.
    pub fn spawn(&self, args: &[&str]) -> Running {
        let program = Path::new(env!("CARGO_BIN_EXE_mtmigrate"));
        let mut command = sandbox().own_command("KILL", program, &self.folder);
        command.args(args).envs(&self.env);
        Running::start(command)
    }

    // Looks past mtmigrate.

    /// The tenants' names, in the order of `tenants.yaml`.
    pub fn names(&self) -> Vec<String> {
        self.tenants.iter().map(|tenant| tenant.name.clone()).collect()
    }

    /// Where a tenant's data lies.
    pub fn place(&self, tenant: &str) -> &Place {
        let tenant = self.tenants.iter().find(|other| other.name == tenant);
        &tenant.expect("a tenant of this name").place
    }

    /// Runs statements in a tenant's schema, past mtmigrate.
    #[track_caller]
    pub fn execute(&self, tenant: &str, sql: &str) {
        match self.place(tenant) {
            Place::Sqlite(path) => sqlite::execute(path, sql),
            _ => drop(self.query(tenant, sql)),
        }
    }

    /// Rows from a tenant's schema, as text.
    #[track_caller]
    pub fn query(&self, tenant: &str, sql: &str) -> Rows {
        match self.place(tenant) {
            Place::Postgres { server, database, schema: Some(schema) } => {
                let path = format!("SET search_path TO {};\n", quoted(schema, '"'));
                server.query(database, &(path + sql))
            }
            Place::Postgres { server, database, .. } => server.query(database, sql),
            Place::MariaDb { server, database } => server.query(database, sql),
            Place::Sqlite(path) => sqlite::query(path, sql),
        }
    }

    /// Everything in a tenant's schema, history and journal too. Never holds the password.
    #[track_caller]
    pub fn dump(&self, tenant: &str) -> String {
        let dump = match self.place(tenant) {
            Place::Postgres { server, database, schema: Some(schema) } => server.dump_schema(database, schema),
            Place::Postgres { server, database, .. } => server.dump(database),
            Place::MariaDb { server, database } => server.dump(database),
            Place::Sqlite(path) => sqlite::dump(path),
        };
        assert_no_secret(&format!("the data of {tenant}"), &dump);
        dump
    }

    /// The dumps of all tenants by name, to see that nothing changed anywhere.
    #[track_caller]
    pub fn dumps(&self) -> BTreeMap<String, String> {
        let names = self.tenants.iter().map(|tenant| &tenant.name);
        names.map(|name| (name.clone(), self.dump(name))).collect()
    }

    /// Names are written as JSON strings: hostile ones stay what they are.
    fn write(&self) {
        let mut text = String::from("tenants:");
        for Tenant { name, keys, .. } in &self.tenants {
            text += &format!("\n  - {{ name: {}{} }}", json(name), with_comma(keys));
        }
        if self.tenants.is_empty() {
            text += " []";
        }
        if !self.servers.is_empty() {
            text += "\nservers:";
        }
        for (name, keys) in &self.servers {
            let keys = with_comma(keys);
            text += &format!("\n  {name}: {{ {} }}", keys.trim_start_matches(", "));
        }
        for (key, yaml) in &self.top {
            text += &format!("\n{key}: {yaml}");
        }
        fs::write(self.folder.join("tenants.yaml"), text + "\n").expect("tenants.yaml");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// `, key: value` for each.
fn with_comma(keys: &BTreeMap<String, String>) -> String {
    keys.iter().map(|(key, value)| format!(", {key}: {value}")).collect()
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a string")
}
