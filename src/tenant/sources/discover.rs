//! `discover:`: schemas, databases or files that are there, and which of them are tenants.

use std::rc::Rc;

use percent_encoding::utf8_percent_encode;

use super::super::Datasource;
use super::super::load::Loader;
use super::super::locate::Path;
use super::super::names::{check_mysql, check_postgres_schema};
use super::super::servers::Definition;
use super::super::tree::Value;
use super::super::walk::Fields;
use super::discovery::{Discovery, Match};
use super::files;
use super::glob::Glob;
use super::naming::Naming;
use super::pattern::DATA;
use super::question::{Answer, Ask, Hidden, Way};
use super::registry::Cells;
use crate::error::{Code, Diagnostic, plain};
use crate::sql::EngineKind;

/// The keys of `discover:`.
pub(super) const DISCOVER_KEYS: [&str; 8] =
    ["server", "database", "schemas", "databases", "files", "except", "name", "tenants"];

/// What is looked for.
const LOOKED_FOR: [&str; 3] = ["schemas", "databases", "files"];

/// Every schema of a PostgreSQL database but the server's own, with the database's name.
const SCHEMAS: &str = "SELECT pg_catalog.current_database()::pg_catalog.text, nspname::pg_catalog.text \
    FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.<>) 'information_schema' \
    AND pg_catalog.left(nspname::pg_catalog.text, 3) OPERATOR(pg_catalog.<>) 'pg_'";

/// Every database of a PostgreSQL server that takes connections and is no template.
const POSTGRES_DATABASES: &str = "SELECT datname::pg_catalog.text FROM pg_catalog.pg_database \
    WHERE datallowconn AND NOT datistemplate";

/// The same without those that the user may not enter, and those that a `DROP DATABASE` left half dropped
/// (<https://www.postgresql.org/docs/current/catalog-pg-database.html>, `datconnlimit`).
const ENTERABLE_DATABASES: &str = "SELECT datname::pg_catalog.text FROM pg_catalog.pg_database \
    WHERE datallowconn AND NOT datistemplate AND datconnlimit OPERATOR(pg_catalog.<>) (-2) \
    AND pg_catalog.has_database_privilege(oid, 'CONNECT')";

/// Every database of a MySQL or MariaDB server that the user may see.
const MYSQL_DATABASES: &str = "SELECT schema_name FROM information_schema.schemata";

/// A `discover:` that was understood.
pub(super) struct Discover {
    what: What,
    /// The name of the server in the file, and its definition; none for files.
    server: Option<(String, Rc<Definition>)>,
    glob: Glob,
    except: Vec<Glob>,
    name: Naming,
    /// Whether what matches is a tenant.
    pub(super) gives_tenants: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Schemas,
    Databases,
    Files,
}

/// What was found, before the pattern is asked.
pub(super) enum Found {
    /// A schema in a database.
    Schema(String, String),
    Database(String),
    /// A path relative to the folder of the file.
    File(String),
}

impl Loader<'_> {
    /// Reads `discover:`, and what must be asked for it; nothing for files.
    pub(super) fn discover(&mut self, fields: &Fields<'_>) -> Option<(Discover, Option<Ask>)> {
        let mut chosen = LOOKED_FOR.iter().filter_map(|key| Some((*key, fields.get(key)?)));
        let (Some((key, (value, at))), None) = (chosen.next(), chosen.next()) else {
            let hint = "write one of `schemas:`, `databases:` and `files:` with a glob: `schemas: \"tenant_*\"`";
            self.walk.wrong(Code::BAD_VALUE, fields.at(), "a discovery looks for one kind of thing", hint);
            return None;
        };
        let pattern = self.walk.text(value, at, key);
        let pattern = pattern.and_then(|text| {
            if text.value().is_empty() {
                self.walk.wrong(Code::BAD_VALUE, at, format!("`{key}` is empty"), "write a glob: `tenant_*`");
                return None;
            }
            Some(Glob::new(text.value()))
        });
        let except = self.globs(fields);
        let name = match &pattern {
            Some(pattern) => self.naming(fields, pattern),
            None => None,
        };
        let gives_tenants = match fields.get("tenants") {
            None => true,
            Some((Value::Bool(gives), _)) => *gives,
            Some((value, at)) => {
                let hint = "`tenants: false` only looks, for `status --orphans`";
                self.walk.wrong_type(at, "tenants", "true or false", value, hint);
                return None;
            }
        };
        let (what, server, ask) = match key {
            "files" => {
                self.refuse_keys(
                    fields,
                    &["server", "database"],
                    "files belong to no server: their glob begins at the folder of tenants.yaml",
                );
                (What::Files, None, None)
            }
            _ => {
                let (what, name, definition, ask) = self.on_a_server(fields, key == "schemas")?;
                (what, Some((name, definition)), Some(ask))
            }
        };
        Some((Discover { what, server, glob: pattern?, except: except?, name: name?, gives_tenants }, ask))
    }

    fn on_a_server(&mut self, fields: &Fields<'_>, schemas: bool) -> Option<(What, String, Rc<Definition>, Ask)> {
        let Some((value, at)) = fields.get("server") else {
            let hint = "name one of `servers:`, or look for `files:`";
            self.walk.wrong(Code::BAD_VALUE, fields.at(), "a discovery has no `server`", hint);
            return None;
        };
        let name = self.walk.text(value, at, "server")?;
        let Some(definition) = self.named.get(name.value()).cloned() else {
            self.unknown_server(&name, at, "the discovery");
            return None;
        };
        let definition = definition?;
        let server = self.servers.finished(definition.id, &self.defaults);
        let database = match (fields.get("database"), definition.engine, schemas) {
            (Some((value, at)), EngineKind::Postgres, true) => {
                let text = self.walk.text(value, at, "database")?;
                Some(self.check_database(EngineKind::Postgres, &text, at)?)
            }
            (None, ..) => None,
            (Some(_), ..) => {
                self.refuse_keys(fields, &["database"], "only the schemas of PostgreSQL lie in a database");
                return None;
            }
        };
        let way = |datasource| Way { server: server.clone(), access: definition.access.clone(), datasource };
        let postgres = |database: &str| Datasource::Postgres { database: database.to_owned(), schema: None };
        let (what, ask) = match (definition.engine, schemas, &database) {
            (EngineKind::Sqlite, ..) => {
                let hint =
                    "write `files: \"data/*.db\"` without `server`: SQLite has neither schemas nor databases to list";
                self.walk.wrong(Code::BAD_VALUE, at, "the server of a discovery is a directory of files", hint);
                return None;
            }
            (EngineKind::MySql, ..) => {
                let way = way(Datasource::MySql { database: String::new() });
                (What::Databases, Ask::Query { way, sql: MYSQL_DATABASES.to_owned(), hidden: Hidden::default() })
            }
            (EngineKind::Postgres, false, _) => {
                let way = way(postgres(&server.lock_database));
                (What::Databases, Ask::Query { way, sql: POSTGRES_DATABASES.to_owned(), hidden: Hidden::default() })
            }
            (EngineKind::Postgres, true, Some(database)) => (
                What::Schemas,
                Ask::Query { way: way(postgres(database)), sql: SCHEMAS.to_owned(), hidden: Hidden::default() },
            ),
            (EngineKind::Postgres, true, None) => {
                let (databases, sql) = (ENTERABLE_DATABASES.to_owned(), SCHEMAS.to_owned());
                (What::Schemas, Ask::EveryDatabase { way: way(postgres(&server.lock_database)), databases, sql })
            }
        };
        Some((what, name.into_value(), definition, ask))
    }

    fn refuse_keys(&mut self, fields: &Fields<'_>, keys: &[&'static str], hint: &str) {
        for key in keys {
            if let Some((_, at)) = fields.get(key) {
                let message = format!("`{key}` has no meaning for this discovery");
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
            }
        }
    }

    fn globs(&mut self, fields: &Fields<'_>) -> Option<Vec<Glob>> {
        let Some((value, at)) = fields.get("except") else { return Some(Vec::new()) };
        let Value::Sequence(list) = value else {
            self.walk.wrong_type(at, "except", "a list", value, "write `except: [\"tenant_test_*\"]`");
            return None;
        };
        let globs = list.iter().enumerate();
        let globs = globs.filter_map(|(index, value)| self.walk.text(value, at.index(index), "except"));
        let globs: Vec<Glob> = globs.map(|text| Glob::new(text.value())).collect();
        (globs.len() == list.len()).then_some(globs)
    }

    fn naming(&mut self, fields: &Fields<'_>, pattern: &Glob) -> Option<Naming> {
        let Some((value, at)) = fields.get("name") else { return Some(Naming::whole()) };
        let text = self.walk.text(value, at, "name")?;
        match Naming::read(text.value(), pattern.stars()) {
            Ok(naming) => Some(naming),
            Err(message) => {
                let hint = "`{1}` is what the first `*` of the glob matches; `{{` writes a brace";
                self.walk.wrong(Code::BAD_TEMPLATE, at, message, hint);
                None
            }
        }
    }

    /// Returns the files that match, as they are found on the disk.
    pub(super) fn found_files(&mut self, discover: &Discover, at: Path<'_>) -> Option<Vec<Found>> {
        match files::matching(&self.walk.folder, &discover.glob) {
            Ok(found) => Some(found.into_iter().map(Found::File).collect()),
            Err(error) => {
                let message =
                    format!("the files of a discovery cannot be listed: {}", plain(&discover.glob.to_string()));
                self.walk.mistakes.add(at, |_| {
                    let hint = "its path begins at the folder of tenants.yaml; may it be read?";
                    Diagnostic::new(Code::BAD_LIST, message).cause(error).hint(hint)
                });
                None
            }
        }
    }
}

impl Discover {
    /// Returns what the server speaks.
    pub(super) fn engine(&self) -> Option<EngineKind> {
        self.server.as_ref().map(|(_, definition)| definition.engine)
    }

    /// Returns what a server answered.
    pub(super) fn found(&self, answer: Answer) -> Vec<Found> {
        let found = |row: Vec<Option<String>>| {
            let mut texts = row.into_iter().map(Option::unwrap_or_default);
            let first = texts.next()?;
            match self.what {
                What::Schemas => Some(Found::Schema(first, texts.next()?)),
                _ => Some(Found::Database(first)),
            }
        };
        answer.rows.into_iter().filter_map(found).collect()
    }

    /// Returns what matches the pattern, in order of name, and the rows of those that are tenants.
    pub(super) fn sort_out(&self, found: Vec<Found>, folder: &std::path::Path) -> (Discovery, Vec<Cells>) {
        let engine = self.server.as_ref().map_or(EngineKind::Sqlite, |(_, definition)| definition.engine);
        let mut made: Vec<(Match, Cells)> = found
            .into_iter()
            .filter(|found| !found.is_the_servers(engine))
            .filter_map(|found| {
                let captures = self.glob.captures(found.name())?;
                let name = self.name.of(found.name(), &captures);
                let is_excepted = self.except.iter().any(|except| except.matches(found.name()));
                let cells = self.cells(&name, &found);
                Some((Match { name, datasource: found.datasource(engine, folder), is_excepted, tenant: None }, cells))
            })
            .collect();
        made.sort_by(|(one, _), (other, _)| one.datasource.cmp(&other.datasource));
        let discovery = Discovery {
            engine,
            server: self.server.as_ref().map(|(_, definition)| definition.id),
            pattern: self.glob.to_string(),
            matches: made.iter().map(|(found, _)| found.clone()).collect(),
        };
        let rows = made.into_iter().filter(|(found, _)| self.gives_tenants && !found.is_excepted);
        (discovery, rows.map(|(_, cells)| cells).collect())
    }

    fn cells(&self, name: &str, found: &Found) -> Cells {
        let mut cells: Cells = vec![("name", Value::text(name))];
        if let Some((server, _)) = &self.server {
            cells.push(("server", Value::text(server.as_str())));
        }
        match found {
            Found::Schema(database, schema) => {
                cells.push(("database", Value::text(database.as_str())));
                cells.push(("schema", Value::text(schema.as_str())));
            }
            Found::Database(database) => cells.push(("database", Value::text(database.as_str()))),
            Found::File(path) => {
                let parts = path.split('/').map(|part| utf8_percent_encode(part, DATA).to_string());
                cells.push(("url", Value::text(format!("sqlite://{}", parts.collect::<Vec<_>>().join("/")))));
            }
        }
        cells
    }
}

impl Found {
    /// Returns what the pattern is matched against.
    fn name(&self) -> &str {
        match self {
            Self::Schema(_, name) | Self::Database(name) | Self::File(name) => name,
        }
    }

    /// Whether it belongs to the server itself, and so can be nobody's.
    fn is_the_servers(&self, engine: EngineKind) -> bool {
        match self {
            Self::Schema(_, name) => check_postgres_schema(name).is_err(),
            Self::Database(name) => engine == EngineKind::MySql && check_mysql(name).is_err(),
            Self::File(_) => false,
        }
    }

    fn datasource(&self, engine: EngineKind, folder: &std::path::Path) -> Datasource {
        match self {
            Self::Schema(database, schema) => {
                Datasource::Postgres { database: database.clone(), schema: Some(schema.clone()) }
            }
            Self::Database(database) if engine == EngineKind::MySql => Datasource::MySql { database: database.clone() },
            Self::Database(database) => Datasource::Postgres { database: database.clone(), schema: None },
            Self::File(path) => Datasource::Sqlite { shown: path.clone(), file: folder.join(path), create: false },
        }
    }
}
