//! One entry of `tenants:` → one tenant.

use std::fmt;
use std::path::{Component, Path as FilePath};
use std::rc::Rc;
use std::sync::Arc;

use super::claims::{Claim, Home, Who, path_of_name};
use super::interpolate::{Text, shown};
use super::listing::Listing;
use super::load::{Loader, Source, Way};
use super::locate::Path;
use super::names::{self, Refusal};
use super::rollout::OwnWave;
use super::servers::Definition;
use super::settings::{Settings, TLS_KEYS};
use super::suggest::did_you_mean;
use super::tree::Value;
use super::url::Target;
use super::walk::Fields;
use super::{Access, Address, Datasource, Tenant, TenantId};
use crate::error::{Code, Diagnostic};
use crate::sql::EngineKind;

pub(super) const KEYS: [&str; 29] = [
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

const GIVE_A_REASON: &str = "give a reason: `quarantined: \"moving to a new server, ticket 812\"`";

/// The keys that speak of a server, and so go with a URL alone.
const OF_THE_SERVER: [&str; 4] = ["max_connections", "connect_timeout", "silence_check", "lock_database"];

/// Where a tenant lives, and by what way.
pub(super) struct Found<'v> {
    pub(super) definition: Rc<Definition>,
    pub(super) datasource: Datasource,
    /// How to get in.
    pub(super) access: Arc<Access>,
    home: Home,
    /// The tenant's settings over its server's.
    settings: Settings,
    /// What to point at when somebody else lives there.
    at: Path<'v>,
}

impl Loader<'_> {
    /// Reads the tenant at this place of the file's own list.
    pub(super) fn listed(&mut self, list: &[Value], at: Path<'_>, index: usize) -> Option<Tenant> {
        let fields = self.walk.fields(&list[index], at, "a tenant", &KEYS)?;
        self.tenant(&Listing::alone(fields, index + 1), list, Who::listed(index))
    }

    /// Reads a tenant. `list` is the file's own list, also for a row of a source.
    pub(super) fn tenant(&mut self, listing: &Listing<'_>, list: &[Value], who: Who<'_>) -> Option<Tenant> {
        let fields = &listing.fields;
        let name = self.name(fields, list.len(), who);
        // In words only where there is something to say.
        let who = who.called(name.as_ref().map(Text::written));
        let (quarantined, provisioning) = self.state(fields);
        let own_wave = self.own_wave(fields);
        let found = self.place(listing, who)?;
        self.claim_home(found.home, list, who, found.at);
        Some(Tenant {
            access: found.access,
            limits: found.settings.limits(),
            labels: self.claims.shared(found.settings.labels),
            origin: listing.origin,
            quarantined,
            own_wave,
            provisioning,
            vars: self.claims.shared_vars(found.settings.vars),
            session: found.settings.session,
            create: found.settings.create,
            way: Some(Arc::clone(&found.definition.way)),
            ..Tenant::new(TenantId(who.index), name?.into_value(), found.definition.id, found.datasource)
        })
    }

    /// Reads where a tenant, or a registry, lives, and how to get in.
    pub(super) fn place<'v>(&mut self, listing: &Listing<'v>, who: Who<'_>) -> Option<Found<'v>> {
        let fields = &listing.fields;
        let mut found = match (fields.get("server"), fields.get("url")) {
            (Some((_, at)), Some(_)) => {
                let hint = "keep `url` alone, or `server` with `database`";
                let message = format!("{who} has both `server` and `url`");
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
                None
            }
            (None, None) => {
                let hint = "give it `server` and `database`, or a `url` of its own";
                self.walk.wrong(Code::BAD_VALUE, fields.at(), format!("{who} has no `server` and no `url`"), hint);
                None
            }
            (Some((value, at)), None) => self.on_server(listing, value, at, who),
            (None, Some((_, at))) => self.on_its_own(listing, at, who),
        }?;
        found.access = self.access_on(fields, &found.definition);
        Some(found)
    }

    fn name<'v>(&mut self, fields: &Fields<'v>, listed: usize, who: Who<'_>) -> Option<Text<'v>> {
        let Some((value, at)) = fields.get("name") else {
            let message = match who.is_row() {
                true => "there is no `name`".to_owned(),
                false => format!("tenant number {} has no `name`", who.index + 1),
            };
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
                self.claims.names.insert(name.value().to_owned(), who.index);
            }
            Some(&first) => self.walk.mistakes.add(at, |locator| {
                let origin = self.claims.origin(listed, first, locator);
                let message = format!("tenant `{}` is there already{origin}", name.shown());
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

    pub(super) fn quarantined(&mut self, fields: &Fields<'_>) -> Option<String> {
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
        self.reason(value, at)
    }

    pub(super) fn reason(&mut self, value: &Value, at: Path<'_>) -> Option<String> {
        let text = self.walk.text(value, at, "quarantined")?;
        if text.value().trim().is_empty() {
            self.walk.wrong(Code::BAD_VALUE, at, "`quarantined` has an empty reason", GIVE_A_REASON);
            return None;
        }
        Some(text.into_value())
    }

    /// A tenant with `server:`, `database:` and maybe `schema:`.
    fn on_server<'v>(
        &mut self,
        listing: &Listing<'v>,
        server: &'v Value,
        at: Path<'v>,
        who: Who<'_>,
    ) -> Option<Found<'v>> {
        let fields = &listing.fields;
        let base = listing.base.filter(|base| !base.once.on_server.replace(true)).map(|base| base.fields);
        for key in OF_THE_SERVER.iter().chain(&TLS_KEYS) {
            if let Some((_, at)) = [Some(*fields), base].into_iter().flatten().find_map(|fields| fields.get(key)) {
                let hint =
                    "write it at the server: its tenants share connections; only a tenant with a `url` has its own";
                let message = format!("{who} has `{key}`, which is its server's");
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, hint);
            }
        }
        let own = self.settings(listing);
        let name = fields.quoted("server", self.walk.text(server, at, "server")?);
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
        Settings::fit_what_is_inherited(&mut self.walk, fields, definition.engine);
        if let Some(base) = listing.base.filter(|base| base.once.fits.borrow_mut().insert(definition.engine)) {
            Settings::fit_what_is_inherited(&mut self.walk, &base.fields, definition.engine);
        }
        let (value, database_at) = database?;
        let database = fields.quoted("database", self.walk.text(value, database_at, "database")?);
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
                access: definition.access.clone(),
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
            access: definition.access.clone(),
            definition,
            datasource,
            at: fields.get("schema").map_or(database_at, |(_, at)| at),
        })
    }

    pub(super) fn unknown_server(&mut self, name: &Text<'_>, at: Path<'_>, who: impl fmt::Display) {
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
    fn on_its_own<'v>(&mut self, listing: &Listing<'v>, url_at: Path<'v>, who: Who<'_>) -> Option<Found<'v>> {
        let fields = &listing.fields;
        if let Some((_, at)) = fields.get("database") {
            let message = format!("{who} has both `url` and `database`");
            self.walk.wrong(
                Code::BAD_VALUE,
                at.the_key_itself(),
                message,
                "the URL names the database: remove the key",
            );
        }
        let Source { url, settings, written } = self.source(listing, &who)?;
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
                let definition = Rc::new(self.define(Way {
                    url,
                    settings,
                    name: &name,
                    is_own: true,
                    address,
                    directory,
                    at: fields.at(),
                })?);
                let access = definition.access.clone();
                let settings = self.inherited(own, &self.defaults.clone(), &who, fields.at());
                Some(Found { settings, definition, datasource, access, home, at: url_at })
            }
            Target::Server { database: None, .. } => {
                let hint = "write it after the host: `postgres://user@host:5432/acme`";
                self.walk.wrong(Code::BAD_URL, url_at, format!("the URL of {who} names no database"), hint);
                None
            }
            Target::Server { address, database: Some(database) } => {
                if let Err(refusal) = check_by_engine(url.engine, &database) {
                    let message = format!("the database in the URL of {who} {}", refusal.why);
                    self.walk.wrong(Code::BAD_NAME, url_at, message, refusal.hint);
                    return None;
                }
                let schema = schema?;
                let name = address.to_string();
                let datasource = match url.engine {
                    EngineKind::MySql => Datasource::MySql { database: database.clone() },
                    _ => Datasource::Postgres { database: database.clone(), schema: schema.clone() },
                };
                let way = Way { url, settings, name: &name, is_own: true, address, directory: None, at: fields.at() };
                let definition = Rc::new(self.define(way)?);
                let home = Home::OnServer(definition.id, database, schema);
                let access = definition.access.clone();
                let settings = self.inherited(own, &self.defaults.clone(), &who, fields.at());
                Some(Found { settings, definition, datasource, access, home, at: url_at })
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
        let schema = fields.quoted("schema", self.walk.text(value, at, "schema")?);
        if let Err(refusal) = names::check_postgres_schema(schema.value()) {
            self.refuse(at, "the schema", &schema, refusal);
            return None;
        }
        Some(Some(schema.into_value()))
    }

    pub(super) fn check_database(&mut self, engine: EngineKind, database: &Text<'_>, at: Path<'_>) -> Option<String> {
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
                self.claims.homes.insert(home, Claim { index: who.index, named: who.is_named() });
            }
            Some(&Claim { index: first, named }) => self.walk.mistakes.add(at, |locator| {
                let row = self.claims.row_at(list.len(), first);
                let written = match row {
                    Some((name, _)) => name.as_deref(),
                    None => list[first].get("name").and_then(Value::as_str),
                };
                let other = Who::listed(first).called(written.filter(|_| named));
                let here = if who.is_row() { String::new() } else { locator.line_of(path_of_name(who.index)) };
                let there = self.claims.origin(list.len(), first, locator);
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
