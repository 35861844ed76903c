//! The walk over `tenants.yaml`: top level, defaults, servers. Start at [`load`]; the tenants are in [`super::tenants`].

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path as FilePath, PathBuf};
use std::rc::Rc;

use super::claims::Claims;
use super::credentials::Credentials;
use super::draft::ConfigFile;
use super::drift::RuleLabels;
use super::interpolate::{Environment, shown};
use super::labels::Labels;
use super::listing::Listing;
use super::locate::Path;
use super::mistakes::Mistakes;
use super::rollout::{self, Rollout};
use super::servers::{Definition, Servers};
use super::settings::Settings;
use super::sources::Question;
use super::sources::entry::Entry;
use super::tree::Value;
use super::url::{DatasourceUrl, Target, parse as parse_url};
use super::walk::{Walk, scalar_key, type_of};
use super::yaml;
use super::{Access, Address, DriftSettings, Fleet, Password, Verify};
use crate::error::{Code, Diagnostic, Place, plain};
use crate::input;
use crate::sql::EngineKind;

pub(super) const TOP_KEYS: [&str; 9] =
    ["migrations", "verify", "drift", "rollout", "labels", "defaults", "servers", "sources", "tenants"];
pub(super) const DEFAULT_KEYS: [&str; 17] = [
    "labels",
    "max_connections",
    "connect_timeout",
    "silence_check",
    "lock_timeout",
    "statement_timeout",
    "retries",
    "retry_pause",
    "tls",
    "ca_file",
    "client_cert",
    "client_key",
    "vars",
    "role",
    "server_settings",
    "extensions_schema",
    "create",
];
pub(super) const SERVER_KEYS: [&str; 19] = [
    "url",
    "max_connections",
    "labels",
    "tls",
    "ca_file",
    "client_cert",
    "client_key",
    "connect_timeout",
    "silence_check",
    "lock_timeout",
    "statement_timeout",
    "retries",
    "retry_pause",
    "lock_database",
    "vars",
    "role",
    "server_settings",
    "extensions_schema",
    "create",
];

/// Loads and resolves a fleet whose sources need no server and no program: reads the file, fills in variables, and opens no
/// connection. A password's files and commands are left for whoever connects ([`super::Password`]).
///
/// # Errors
/// All mistakes of the file in one go, in its order; past the first twenty a last one counts the others. `MT101` when
/// the file cannot be read, `MT321` where something would have to be asked ([`super::ConfigFile`]).
pub fn load(config: &FilePath, env: &dyn Environment) -> Result<Fleet, Vec<Diagnostic>> {
    resolve(&ConfigFile::read(config)?, env)
}

/// Resolves a fleet from the text of its file; `config` says where relative paths begin.
///
/// # Errors
/// As [`load`].
pub fn parse(config: &FilePath, text: &str, env: &dyn Environment) -> Result<Fleet, Vec<Diagnostic>> {
    resolve(&ConfigFile::of(config, text), env)
}

fn resolve(file: &ConfigFile, env: &dyn Environment) -> Result<Fleet, Vec<Diagnostic>> {
    let draft = file.draft(env)?;
    let unanswered = |question: &Question| {
        Diagnostic::new(Code::SOURCE_FAILED, format!("{} must be asked, and nobody asks here", question.asker))
            .at(question.place.clone())
            .state("nothing was touched")
    };
    let mistakes: Vec<Diagnostic> = draft.questions().into_iter().map(unanswered).collect();
    if mistakes.is_empty() { draft.resolve(Vec::new()) } else { Err(mistakes) }
}

/// Returns the fleet's folder of changesets, and looks at nothing else: who writes a changeset need not have the
/// variables and secrets of the servers at hand.
///
/// # Errors
/// As [`load`], for the file as a whole and its `migrations:` key.
pub fn migrations_folder(config: &FilePath, env: &dyn Environment) -> Result<PathBuf, Vec<Diagnostic>> {
    let text = read(config)?;
    let (tree, mut loader) = begin(config, &text, env)?;
    let migrations = tree.get("migrations").filter(|value| !value.is_null());
    let named = migrations.and_then(|value| loader.migrations(value, Path::ROOT.key("migrations")));
    match loader.walk.mistakes.count() {
        0 => Ok(folder_of(config).join(named.as_deref().unwrap_or(MIGRATIONS))),
        _ => Err(loader.walk.mistakes.into_diagnostics()),
    }
}

/// The folder of changesets of a file that names none.
pub(super) const MIGRATIONS: &str = "migrations";

pub(super) fn folder_of(config: &FilePath) -> PathBuf {
    config.parent().unwrap_or(FilePath::new("")).to_owned()
}

pub(super) fn read(config: &FilePath) -> Result<String, Vec<Diagnostic>> {
    let file = config.display().to_string();
    let bytes = input::read(config, input::FILE_LIMIT).map_err(|error| {
        let message = format!("{file} cannot be read");
        let hint = "name the fleet's file with --config, or make an example with `mtmigrate init`";
        vec![Diagnostic::new(Code::FILE_UNREADABLE, message).cause(error.to_string()).hint(hint)]
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let message = format!("not UTF-8 text: byte {} cannot be read", error.utf8_error().valid_up_to());
        vec![Diagnostic::new(Code::YAML_SYNTAX, message).at(Place::file(&file)).hint("save the file as UTF-8")]
    })
}

pub(super) fn begin<'t>(
    config: &FilePath,
    text: &'t str,
    env: &'t dyn Environment,
) -> Result<(Value, Loader<'t>), Vec<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let file = config.display().to_string();
    let tree = yaml::read(&file, text).map_err(|mistake| vec![mistake])?;
    let folder = folder_of(config);
    let loader = Loader {
        base: std::path::absolute(folder.join(".")).unwrap_or_else(|_| folder.clone()),
        walk: Walk { mistakes: Mistakes::new(file, text), env, folder, is_data: false },
        defaults: Settings::default(),
        servers: Servers::default(),
        named: HashMap::new(),
        claims: Claims::default(),
        rollout: Rollout::default(),
        credentials: Credentials::default(),
        keys: HashMap::new(),
        labels: Labels::default(),
    };
    Ok((tree, loader))
}

/// What the walk has learned so far.
pub(super) struct Loader<'t> {
    pub(super) walk: Walk<'t>,
    /// The folder of the file, absolute.
    pub(super) base: PathBuf,
    pub(super) defaults: Settings,
    pub(super) servers: Servers,
    /// The servers by name; `None` for one whose definition is wrong.
    pub(super) named: HashMap<String, Option<Rc<Definition>>>,
    pub(super) claims: Claims,
    pub(super) rollout: Rollout,
    pub(super) credentials: Credentials,
    /// The keys of rows, each once.
    pub(super) keys: HashMap<&'static str, Value>,
    /// What labels give.
    pub(super) labels: Labels,
}

/// What the file says but for servers and defaults.
pub(super) struct Top {
    pub(super) migrations: Option<String>,
    pub(super) verify: Verify,
    pub(super) drift: DriftSettings,
    /// The labels in rules of drift, to be looked up when all tenants are known.
    pub(super) rule_labels: RuleLabels,
    /// The file's own list.
    pub(super) tenants: Vec<super::Tenant>,
    pub(super) entries: Vec<Entry>,
}

/// What a `url` and the settings beside it say.
pub(super) struct Source<'v> {
    pub(super) url: DatasourceUrl,
    /// Its own, without the defaults.
    pub(super) settings: Settings,
    /// How the URL is written.
    pub(super) written: &'v str,
}

/// A way to a server, before it is known whether the server is new.
pub(super) struct Way<'w> {
    pub(super) url: DatasourceUrl,
    /// Its own, without the defaults.
    pub(super) settings: Settings,
    /// What a new server is called.
    pub(super) name: &'w str,
    /// Whether it is one tenant's URL, and no server of the file.
    pub(super) is_own: bool,
    pub(super) address: Address,
    /// SQLite: the directory as written, and whether files in it may be made.
    pub(super) directory: Option<(String, bool)>,
    /// The mapping that says so.
    pub(super) at: Path<'w>,
}

impl Loader<'_> {
    pub(super) fn fleet(&mut self, tree: &Value) -> Option<Top> {
        if tree.is_null() {
            self.no_tenants(Path::ROOT);
            return None;
        }
        let top = self.walk.fields(tree, Path::ROOT, "tenants.yaml", &TOP_KEYS)?;
        let migrations = top.get("migrations").and_then(|(value, at)| self.migrations(value, at));
        let verify = top.get("verify").map(|(value, at)| self.verify(value, at)).unwrap_or_default();
        if let Some((value, at)) = top.get("rollout") {
            self.rollout = rollout::read(&mut self.walk, value, at);
        }
        let (drift, rule_labels) = top.get("drift").map(|(value, at)| self.drift(value, at)).unwrap_or_default();
        if let Some((value, at)) = top.get("defaults")
            && let Some(fields) = self.walk.fields(value, at, "`defaults`", &DEFAULT_KEYS)
        {
            self.defaults = Settings::read(&mut self.walk, &fields);
        }
        if let Some((value, at)) = top.get("labels") {
            self.read_labels(value, at);
        }
        if let Some((value, at)) = top.get("servers") {
            self.read_servers(value, at);
        }
        let has_sources = top.get("sources").is_some_and(|(value, _)| value.as_sequence() != Some(&[]));
        let tenants: Vec<super::Tenant> = match top.get("tenants") {
            Some((Value::Sequence(list), at)) if !list.is_empty() => {
                (0..list.len()).filter_map(|index| self.listed(list, at.index(index), index)).collect()
            }
            None | Some((Value::Sequence(_), _)) if has_sources => Vec::new(),
            None | Some((Value::Sequence(_), _)) => {
                self.no_tenants(Path::ROOT.key("tenants").the_key_itself());
                return None;
            }
            Some((value, at)) => {
                let hint = "write `- { name: acme, url: … }` for each tenant";
                self.walk.wrong_type(at, "tenants", "a list", value, hint);
                return None;
            }
        };
        let entries = top.get("sources").map(|(value, at)| self.entries(value, at)).unwrap_or_default();
        Some(Top { migrations, verify, drift, rule_labels, tenants, entries })
    }

    fn no_tenants(&mut self, at: Path<'_>) {
        let hint = "list them under `tenants:`: `- { name: acme, url: \"sqlite://data/acme.db?mode=rwc\" }`";
        self.walk.wrong(Code::BAD_VALUE, at, "the fleet has no tenants, and an empty fleet is no success", hint);
    }

    fn migrations(&mut self, value: &Value, at: Path<'_>) -> Option<String> {
        let text = self.walk.text(value, at, "migrations")?;
        if text.value().is_empty() {
            self.walk.wrong(Code::BAD_VALUE, at, "`migrations` is empty", "name the folder of the changesets");
        }
        Some(text.into_value())
    }

    fn read_servers(&mut self, value: &Value, at: Path<'_>) {
        let Value::Mapping(servers) = value else {
            self.walk.wrong_type(at, "servers", "a mapping", value, "write `eu: { url: … }` for each server");
            return;
        };
        for (key, value) in servers.iter() {
            let Some(name) = key.as_str().filter(|name| !name.is_empty()) else {
                let what = if key.is_string() { "empty" } else { type_of(key) };
                let message = format!("the name of a server is {what}");
                let written = scalar_key(key);
                let at = at.key(&written).the_key_itself();
                self.walk.wrong(Code::BAD_NAME, at, message, "a name is text; put it in quotes");
                continue;
            };
            let definition = self.named_server(name, value, at.key(name));
            self.named.insert(name.to_owned(), definition.map(Rc::new));
        }
    }

    fn named_server(&mut self, name: &str, value: &Value, at: Path<'_>) -> Option<Definition> {
        let what = format!("server `{}`", plain(name));
        let fields = self.walk.fields(value, at, &what, &SERVER_KEYS)?;
        let Source { url, settings, written } = self.source(&Listing::alone(fields, 1), &what)?;
        let url_at = at.key("url");
        let (address, directory) = match &url.target {
            Target::Server { database: Some(_), .. } => {
                let hint = "name the database at the tenant: `{ name: acme, server: …, database: acme }`";
                self.walk.wrong(Code::BAD_URL, url_at, format!("the URL of {what} names a database"), hint);
                return None;
            }
            Target::Server { address, database: None } => (address.clone(), None),
            Target::Path { path, create } => {
                let directory = self.servers.directory(&self.base.join(path));
                if directory.is_file() {
                    let message = format!("the URL of {what} is a file and no directory: {}", shown(written));
                    let hint = "name the directory, and the file at the tenant: `database: acme.db`";
                    self.walk.wrong(Code::BAD_URL, url_at, message, hint);
                    return None;
                }
                (Address::Directory(directory), Some((path.clone(), *create)))
            }
        };
        self.define(Way { url, settings, name, is_own: false, address, directory, at })
    }

    /// Reads a `url` and the settings beside it.
    pub(super) fn source<'v>(&mut self, listing: &Listing<'v>, what: &dyn Display) -> Option<Source<'v>> {
        let fields = &listing.fields;
        let mut settings = self.settings(listing);
        let Some((value, at)) = fields.get("url") else {
            self.walk.wrong(
                Code::BAD_VALUE,
                fields.at(),
                format!("{what} has no `url`"),
                "`url: \"postgres://user@host\"`",
            );
            return None;
        };
        let mut text = fields.quoted("url", self.walk.url_text(value, at)?);
        let written = text.written();
        match parse_url(text.value(), written) {
            Ok(mut url) => {
                if let Some(parts) = text.take_late() {
                    url.password = self.credentials.late(parts);
                }
                if self.walk.is_data && !fields.is_made("url") && url.parameters.names_a_file() {
                    let message = format!("the URL of {what} names a file of this machine, which a row may not");
                    let hint = "say the files of passwords and TLS at a server of this file, or beside the source";
                    self.walk.wrong(Code::BAD_URL, at, message, hint);
                    return None;
                }
                self.add_credentials(listing, &mut url);
                Settings::fit(&mut self.walk, fields, url.engine);
                if let Some(base) = listing.base.filter(|base| base.once.fits.borrow_mut().insert(url.engine)) {
                    Settings::fit(&mut self.walk, &base.fields, url.engine);
                }
                settings.join(&mut self.walk, url.parameters.clone(), written, at);
                Some(Source { url, settings, written })
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    self.walk.wrong(Code::BAD_URL, at, mistake.message, mistake.hint);
                }
                None
            }
        }
    }

    /// Registers a way to a server: a name's, or a tenant's own.
    pub(super) fn define(&mut self, way: Way<'_>) -> Option<Definition> {
        let Way { url, settings, name, is_own, address, directory, at } = way;
        let Ok(id) = self.servers.at(|| name.to_owned(), url.engine, address, &settings) else {
            let message = "one server has two databases for the run's lock";
            let hint = "two URLs lead to one server: say `lock_database` once, or the same";
            self.walk.wrong(Code::BAD_VALUE, at.key("lock_database"), message, hint);
            return None;
        };
        let settings = settings.over(&self.defaults);
        let engine = url.engine;
        let password_file = url.parameters.password_file.clone();
        let access = match engine {
            EngineKind::Sqlite => Access { user: None, password: Password::None, tls: super::Tls::default() },
            _ => self.access_of(url, settings.tls(), at.key("url")),
        };
        let access = self.servers.share(access);
        let of_the_server = Some(&access).filter(|access| !is_own && access.user.is_some());
        let way = self.servers.way(id, name, of_the_server);
        Some(Definition { id, way, engine, access, settings, password_file, directory })
    }
}
