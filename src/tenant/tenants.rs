//! One entry of `tenants:` → one tenant.

use std::path::{Component, Path as FilePath};
use std::rc::Rc;

use super::claims::{Claim, Home, Who};
use super::interpolate::{Text, shown};
use super::load::{Loader, Source, Way};
use super::locate::Path;
use super::names::{self, Refusal};
use super::servers::Definition;
use super::settings::{Settings, TLS_KEYS};
use super::suggest::did_you_mean;
use super::tree::Value;
use super::url::Target;
use super::walk::Fields;
use super::{Address, Datasource, Tenant, TenantId};
use crate::error::{Code, Diagnostic};
use crate::sql::EngineKind;

const KEYS: [&str; 29] = [
    "name",
    "server",
    "database",
    "schema",
    "url",
    "labels",
    "quarantined",
    "reason",
    "lock_timeout",
    "statement_timeout",
    "retries",
    "retry_pause",
    "max_connections",
    "connect_timeout",
    "silence_check",
    "lock_database",
    "tls",
    "ca_file",
    "client_cert",
    "client_key",
    "state",
    "wave",
    "user",
    "password",
    "vars",
    "role",
    "server_settings",
    "extensions_schema",
    "create",
];

/// The keys that speak of a server, and so go with a URL alone.
const OF_THE_SERVER: [&str; 4] = ["max_connections", "connect_timeout", "silence_check", "lock_database"];

/// Where a tenant lives, and by what way.
struct Found<'v> {
    definition: Rc<Definition>,
    datasource: Datasource,
    home: Home,
    /// The tenant's settings over its server's.
    settings: Settings,
    /// What to point at when somebody else lives there.
    at: Path<'v>,
}

fn path_of_name(index: usize) -> Path<'static> {
    Path::ROOT.key("tenants").index(index).key("name")
}

impl Loader<'_> {
    /// Reads the tenant at this place of the list.
    pub(super) fn tenant(&mut self, list: &[Value], at: Path<'_>, index: usize) -> Option<Tenant> {
        let fields = self.walk.fields(&list[index], at, "a tenant", &KEYS)?;
        let name = self.name(&fields, index);
        // In words only where there is something to say.
        let who = Who { written: name.as_ref().map(Text::written), index };
        let quarantined = self.quarantined(&fields);
        let found = match (fields.get("server"), fields.get("url")) {
            (Some((_, at)), Some(_)) => {
                let hint = "keep `url` alone, or `server` with `database`";
                let message = format!("{who} has both `server` and `url`");
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
                None
            }
            (None, None) => {
                let hint = "give it `server` and `database`, or a `url` of its own";
                self.walk.wrong(Code::BAD_VALUE, at, format!("{who} has no `server` and no `url`"), hint);
                None
            }
            (Some((value, at)), None) => self.on_server(&fields, value, at, who),
            (None, Some((_, at))) => self.on_its_own(&fields, at, who),
        }?;
        self.claim_home(found.home, list, who, found.at);
        Some(Tenant {
            access: found.definition.access.clone(),
            limits: found.settings.limits(),
            labels: self.claims.shared(found.settings.labels),
            quarantined,
            vars: self.claims.shared_vars(found.settings.vars),
            session: found.settings.session,
            create: found.settings.create,
            ..Tenant::new(TenantId(index), name?.into_value(), found.definition.id, found.datasource)
        })
    }

    fn name<'v>(&mut self, fields: &Fields<'v>, index: usize) -> Option<Text<'v>> {
        let Some((value, at)) = fields.get("name") else {
            let message = format!("tenant number {} has no `name`", index + 1);
            self.walk.wrong(Code::BAD_VALUE, fields.at(), message, "give every tenant a `name` of its own");
            return None;
        };
        let name = self.walk.text(value, at, "name")?;
        if let Err(refusal) = names::check_tenant(name.value()) {
            self.refuse(at, "the name", &name, refusal);
            return None;
        }
        match self.claims.names.get(name.value()) {
            None => {
                self.claims.names.insert(name.value().to_owned(), index);
            }
            Some(&first) => self.walk.mistakes.add(at, |locator| {
                let message =
                    format!("tenant `{}` is there already{}", name.shown(), locator.line_of(path_of_name(first)));
                Diagnostic::new(Code::DUPLICATE_TENANT, message).hint("give every tenant a name of its own")
            }),
        }
        Some(name)
    }

    fn refuse(&mut self, at: Path<'_>, what: &str, name: &Text<'_>, refusal: Refusal) {
        let shown = Some(name.shown()).filter(|shown| !shown.is_empty()).map(|shown| format!(" `{shown}`"));
        let message = format!("{what}{} {}", shown.unwrap_or_default(), refusal.why);
        self.walk.wrong(Code::BAD_NAME, at, message, refusal.hint);
    }

    fn quarantined(&mut self, fields: &Fields<'_>) -> Option<String> {
        const GIVE_A_REASON: &str = "give a reason: `quarantined: \"moving to a new server, ticket 812\"`";
        let reason = fields.get("reason");
        let (value, at) = match (fields.get("quarantined"), reason) {
            (Some((Value::Bool(true), _)), Some(reason)) => reason,
            (Some((Value::Bool(true), at)), None) => {
                self.walk.wrong(Code::BAD_VALUE, at, "`quarantined` has no reason", GIVE_A_REASON);
                return None;
            }
            (Some((Value::Bool(false), _)) | None, None) => return None,
            (Some(quarantined), None) => quarantined,
            (_, Some((_, at))) => {
                let hint = "write `quarantined: true` beside it, or `quarantined: \"the reason\"` alone";
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), "`reason` without `quarantined: true`", hint);
                return None;
            }
        };
        let text = self.walk.text(value, at, "quarantined")?;
        if text.value().trim().is_empty() {
            self.walk.wrong(Code::BAD_VALUE, at, "`quarantined` has an empty reason", GIVE_A_REASON);
            return None;
        }
        Some(text.into_value())
    }

    /// A tenant with `server:`, `database:` and maybe `schema:`.
    fn on_server<'v>(&mut self, fields: &Fields<'v>, server: &Value, at: Path<'v>, who: Who<'_>) -> Option<Found<'v>> {
        for key in OF_THE_SERVER.iter().chain(&TLS_KEYS) {
            if let Some((_, at)) = fields.get(key) {
                let hint =
                    "write it at the server: its tenants share connections; only a tenant with a `url` has its own";
                let message = format!("{who} has `{key}`, which is its server's");
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
            }
        }
        let own = Settings::read(&mut self.walk, fields);
        let name = self.walk.text(server, at, "server")?;
        let database = fields.get("database");
        if database.is_none() {
            let hint = "write `database: …`, for SQLite the file in the server's directory";
            self.walk.wrong(Code::BAD_VALUE, fields.at(), format!("{who} has no `database`"), hint);
        }
        let Some(definition) = self.named.get(name.value()).cloned() else {
            self.unknown_server(&name, at, who);
            return None;
        };
        let definition = definition?;
        let (value, database_at) = database?;
        let database = self.walk.text(value, database_at, "database")?;
        let schema = self.schema(fields, definition.engine, who);
        if let Some((directory, create)) = &definition.directory {
            let file = FilePath::new(database.value());
            if database.value().is_empty() || !file.components().all(|part| matches!(part, Component::Normal(_))) {
                let message =
                    format!("the database of {who} is no file in its server's directory: {}", database.shown());
                let hint = "a relative path without `..`: `database: acme.db`; or give the tenant a `url`";
                self.walk.wrong(Code::BAD_NAME, database_at, message, hint);
                return None;
            }
            let shown = FilePath::new(directory).join(file).to_string_lossy().into_owned();
            let (datasource, home, _) = self.sqlite_file(shown, *create);
            return Some(Found {
                settings: self.inherited(own, &definition.settings, &who, fields.at()),
                definition,
                datasource,
                home,
                at: database_at,
            });
        }
        let database = self.check_database(definition.engine, &database, database_at)?;
        let schema = schema?;
        let datasource = match definition.engine {
            EngineKind::MySql => Datasource::MySql { database: database.clone() },
            _ => Datasource::Postgres { database: database.clone(), schema: schema.clone() },
        };
        Some(Found {
            settings: self.inherited(own, &definition.settings, &who, fields.at()),
            home: Home::OnServer(definition.id, database, schema),
            definition,
            datasource,
            at: fields.get("schema").map_or(database_at, |(_, at)| at),
        })
    }

    fn unknown_server(&mut self, name: &Text<'_>, at: Path<'_>, who: Who<'_>) {
        let named = &self.named;
        self.walk.mistakes.add(at, |_| {
            let mut known: Vec<&str> = named.keys().map(String::as_str).collect();
            known.sort_unstable();
            let listed = &known[..known.len().min(20)];
            let hint = match listed {
                [] => "define it under `servers:`".to_owned(),
                listed => format!("the servers are {}", listed.join(", ")),
            };
            let message = format!("{who} names an unknown server `{}`", name.shown());
            Diagnostic::new(Code::UNKNOWN_SERVER, message).hint(did_you_mean(
                &name.shown(),
                known.iter().copied(),
                &hint,
            ))
        });
    }

    /// A tenant with `url:`.
    fn on_its_own<'v>(&mut self, fields: &Fields<'v>, url_at: Path<'v>, who: Who<'_>) -> Option<Found<'v>> {
        if let Some((_, at)) = fields.get("database") {
            let message = format!("{who} has both `url` and `database`");
            self.walk.wrong(
                Code::BAD_VALUE,
                at.the_key_itself(),
                message,
                "the URL names the database: remove the key",
            );
        }
        let Source { url, settings, written } = self.source(fields, &who)?;
        let schema = self.schema(fields, url.engine, who);
        let own = settings.clone();
        match url.target.clone() {
            Target::Path { path, create } => {
                let file = FilePath::new(&path);
                if path.ends_with('/') || file.file_name().is_none() || self.base.join(file).is_dir() {
                    let message = format!("the URL of {who} names a directory and no file: {}", shown(written));
                    self.walk.wrong(Code::BAD_URL, url_at, message, "name the file: `sqlite://data/acme.db?mode=rwc`");
                    return None;
                }
                let directory = file.parent().map_or_else(String::new, |parent| parent.to_string_lossy().into_owned());
                let name = if directory.is_empty() { ".".to_owned() } else { directory.clone() };
                let (datasource, home, address) = self.sqlite_file(path, create);
                let directory = Some((directory, create));
                let definition =
                    Rc::new(self.define(Way { url, settings, name: &name, address, directory, at: fields.at() })?);
                let settings = self.inherited(own, &self.defaults.clone(), &who, fields.at());
                Some(Found { settings, definition, datasource, home, at: url_at })
            }
            Target::Tcp { database: None, .. } => {
                let hint = "write it after the host: `postgres://user@host:5432/acme`";
                self.walk.wrong(Code::BAD_URL, url_at, format!("the URL of {who} names no database"), hint);
                None
            }
            Target::Tcp { host, port, database: Some(database) } => {
                if let Err(refusal) = check_by_engine(url.engine, &database) {
                    let message = format!("the database in the URL of {who} {}", refusal.why);
                    self.walk.wrong(Code::BAD_NAME, url_at, message, refusal.hint);
                    return None;
                }
                let schema = schema?;
                let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
                let datasource = match url.engine {
                    EngineKind::MySql => Datasource::MySql { database: database.clone() },
                    _ => Datasource::Postgres { database: database.clone(), schema: schema.clone() },
                };
                let address = Address::Tcp { host, port };
                let way = Way { url, settings, name: &name, address, directory: None, at: fields.at() };
                let definition = Rc::new(self.define(way)?);
                let home = Home::OnServer(definition.id, database, schema);
                let settings = self.inherited(own, &self.defaults.clone(), &who, fields.at());
                Some(Found { settings, definition, datasource, home, at: url_at })
            }
        }
    }

    /// Returns the tenant's schema if it has one; nothing if it is wrong.
    fn schema(&mut self, fields: &Fields<'_>, engine: EngineKind, who: Who<'_>) -> Option<Option<String>> {
        let Some((value, at)) = fields.get("schema") else { return Some(None) };
        if engine != EngineKind::Postgres {
            let message = format!("{who} has a `schema`, and {engine} has none in a database");
            self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, "give the tenant a database of its own");
            return None;
        }
        let schema = self.walk.text(value, at, "schema")?;
        if let Err(refusal) = names::check_postgres_schema(schema.value()) {
            self.refuse(at, "the schema", &schema, refusal);
            return None;
        }
        Some(Some(schema.into_value()))
    }

    fn check_database(&mut self, engine: EngineKind, database: &Text<'_>, at: Path<'_>) -> Option<String> {
        if let Err(refusal) = check_by_engine(engine, database.value()) {
            self.refuse(at, "the database", database, refusal);
            return None;
        }
        Some(database.value().to_owned())
    }

    /// Resolves a file as it is written. Two names of one file have one home.
    fn sqlite_file(&mut self, shown: String, create: bool) -> (Datasource, Home, Address) {
        let file = self.base.join(&shown);
        let directory = self.servers.directory(file.parent().unwrap_or(&file));
        let home = Home::of_file(directory.join(file.file_name().unwrap_or_default()));
        (Datasource::Sqlite { shown, file, create }, home, Address::Directory(directory))
    }

    fn claim_home(&mut self, home: Home, list: &[Value], who: Who<'_>, at: Path<'_>) {
        match self.claims.homes.get(&home) {
            None => {
                self.claims.homes.insert(home, Claim { index: who.index, named: who.written.is_some() });
            }
            Some(&Claim { index: first, named }) => self.walk.mistakes.add(at, |locator| {
                let written = list[first].get("name").and_then(Value::as_str).filter(|_| named);
                let other = Who { written, index: first };
                let (here, there) = (locator.line_of(path_of_name(who.index)), locator.line_of(path_of_name(first)));
                let message = format!("{who}{here} lives where {other}{there} lives");
                Diagnostic::new(Code::SHARED_SCHEMA, message)
                    .hint("give each a schema, database or file of its own: a changeset runs once for each tenant")
            }),
        }
    }
}

fn check_by_engine(engine: EngineKind, database: &str) -> Result<(), Refusal> {
    match engine {
        EngineKind::MySql => names::check_mysql(database),
        _ => names::check_postgres(database),
    }
}
