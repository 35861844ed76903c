//! What a tenant's sessions begin with: `role`, `server_settings`, `extensions_schema`.

use std::collections::BTreeMap;
use std::fmt;

use super::locate::Path;
use super::names::{check_postgres, check_postgres_schema};
use super::tree::Value;
use super::walk::{Fields, Walk, scalar_key, type_of};
use crate::error::{Code, Secret, plain};
use crate::sql::EngineKind;

/// The keys of what sessions begin with.
pub(super) const KEYS: [&str; 3] = ["role", "server_settings", "extensions_schema"];

/// The role of nobody but the user that connects: with it a tenant goes without the role of its label, server or defaults.
const NO_ROLE: &str = "none";

/// The longest value of a setting, in bytes.
const LONGEST: usize = 4096;

/// The settings that mtmigrate sets itself, or reads texts by, with what to do instead. Of both servers: `defaults` and
/// labels are read before it is known for whom.
const OWN: [(&str, &str); 38] = [
    ("search_path", PATH),
    ("role", ROLE),
    ("session_authorization", ROLE),
    ("lock_timeout", LIMIT),
    ("statement_timeout", LIMIT),
    ("lock_wait_timeout", LIMIT),
    ("innodb_lock_wait_timeout", LIMIT),
    ("max_statement_time", LIMIT),
    ("max_execution_time", LIMIT),
    ("wait_timeout", KEPT),
    ("client_connection_check_interval", KEPT),
    ("synchronous_commit", KEPT),
    ("autocommit", KEPT),
    ("completion_type", KEPT),
    ("timestamp", KEPT),
    ("insert_id", KEPT),
    ("sql_log_bin", KEPT),
    ("skip_replication", KEPT),
    ("track_counts", KEPT),
    ("sql_safe_updates", KEPT),
    ("sql_select_limit", KEPT),
    ("transaction_read_only", KEPT),
    ("default_transaction_read_only", KEPT),
    ("tx_read_only", KEPT),
    ("transaction_isolation", KEPT),
    ("tx_isolation", KEPT),
    ("transaction_deferrable", KEPT),
    ("sql_mode", TEXT),
    ("client_encoding", KEPT),
    ("standard_conforming_strings", TEXT),
    ("names", KEPT),
    ("character_set_client", KEPT),
    ("character_set_connection", KEPT),
    ("character_set_results", KEPT),
    ("collation_connection", TEXT),
    ("sql_log_off", KEPT),
    ("pseudo_thread_id", KEPT),
    ("max_allowed_packet", KEPT),
];

const PATH: &str = "the tenant's `schema:` comes first in the path, and `extensions_schema:` behind it";
const ROLE: &str = "write `role: name` beside `server_settings`";
const LIMIT: &str =
    "write `lock_timeout:` or `statement_timeout:` beside `server_settings`: mtmigrate sets it from there";
const KEPT: &str = "mtmigrate relies on it: remove it; a changeset may say `SET` for its own statements";
const TEXT: &str = "the changeset's text is read by it: remove it, and write `SET` into the changeset that needs it";

/// What a tenant's sessions begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionSettings {
    /// The role that texts run as, as it is written; `none` is nobody's. See [`SessionSettings::role`].
    pub role: Option<String>,
    /// The server's settings by name.
    pub settings: BTreeMap<String, Setting>,
    /// PostgreSQL: the schema that comes behind the tenant's own in its `search_path`.
    pub extensions_schema: Option<String>,
}

/// The value of a setting. One that came from a variable or a file is never shown.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Setting {
    /// What the server is told.
    pub value: String,
    /// Whether it came from a reference.
    pub is_hidden: bool,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_hidden { f.write_str("***") } else { self.value.fmt(f) }
    }
}

impl SessionSettings {
    /// Returns what a server said, without the values that are not to be shown.
    pub fn hidden_in(&self, words: &str) -> String {
        let hidden = self.settings.values().filter(|setting| setting.is_hidden && !setting.value.is_empty());
        hidden.fold(words.to_owned(), |words, setting| Secret::new(setting.value.clone()).hidden_in(&words))
    }

    /// Returns the role that texts run as; nothing where they run as the user that connects.
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref().filter(|role| *role != NO_ROLE)
    }

    /// Whether sessions begin as the server makes them, but for the schema of extensions.
    pub fn is_bare(&self) -> bool {
        self.role().is_none() && self.settings.is_empty()
    }

    /// Returns these, and where they are silent those of `base`.
    pub(super) fn over(&self, base: &Self) -> Self {
        let mut settings = base.settings.clone();
        settings.extend(self.settings.clone());
        Self {
            role: self.role.clone().or_else(|| base.role.clone()),
            settings,
            extensions_schema: self.extensions_schema.clone().or_else(|| base.extensions_schema.clone()),
        }
    }
}

/// Reads the three keys.
pub(super) fn read(walk: &mut Walk<'_>, fields: &Fields<'_>) -> SessionSettings {
    let named = |walk: &mut Walk<'_>, key: &'static str| {
        let (value, at) = fields.get(key)?;
        let text = walk.text(value, at, key)?;
        let checked = match key {
            "extensions_schema" => check_postgres_schema(text.value()),
            _ => check_postgres(text.value()),
        };
        if let Err(refusal) = checked {
            walk.wrong(Code::BAD_NAME, at, format!("the name of `{key}` {}", refusal.why), refusal.hint);
            return None;
        }
        Some(text.into_value())
    };
    SessionSettings {
        role: named(walk, "role"),
        extensions_schema: named(walk, "extensions_schema"),
        settings: fields.get("server_settings").map(|(value, at)| settings(walk, value, at)).unwrap_or_default(),
    }
}

/// Refuses what has no meaning for an engine: a role, a setting, a path.
pub(super) fn fit(walk: &mut Walk<'_>, fields: &Fields<'_>, engine: EngineKind) {
    for key in KEYS {
        let why = match (engine, key) {
            (EngineKind::Postgres, _) | (EngineKind::MySql, "role" | "server_settings") => continue,
            (EngineKind::MySql, _) => "a database there has no schemas: remove it",
            (EngineKind::Sqlite, "server_settings") => {
                "a file has no server: remove it, and write `PRAGMA` into the changeset that needs it"
            }
            (EngineKind::Sqlite, _) => "a file has no roles and no schemas: remove it",
        };
        if let Some((_, at)) = fields.get(key) {
            walk.wrong(Code::BAD_VALUE, at.the_key_itself(), format!("`{key}` has no meaning for {engine}"), why);
        }
    }
}

fn settings(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> BTreeMap<String, Setting> {
    let mut made = BTreeMap::new();
    let Value::Mapping(mapping) = value else {
        let hint = "write `server_settings: { work_mem: 64MB }`";
        walk.wrong_type(at, "server_settings", "a mapping", value, hint);
        return made;
    };
    for (key, value) in mapping.iter() {
        let written = key.as_str().map_or_else(|| scalar_key(key), str::to_owned);
        let at = at.key(&written);
        let name = written.to_ascii_lowercase();
        if !is_name(&name) {
            let message = match key.as_str() {
                Some(_) => format!("`{}` is no name of a setting", plain(&written)),
                None => format!("the name of a setting is {}", type_of(key)),
            };
            let hint = "a name is letters, digits, `_`, and a dot before an extension's own";
            walk.wrong(Code::BAD_NAME, at.the_key_itself(), message, hint);
            continue;
        }
        let own = OWN.iter().find(|(own, _)| *own == name).map(|(_, hint)| *hint);
        if let Some(hint) = own.or(name.starts_with("mtmigrate.").then_some(KEPT)) {
            let message = format!("`{name}` is not to be set by `server_settings`");
            walk.wrong(Code::OWN_SETTING, at.the_key_itself(), message, hint);
            continue;
        }
        if let Some(value) = setting(walk, value, at, &name)
            && made.insert(name.clone(), value).is_some()
        {
            let hint = "the case of a setting's name does not count: say it once";
            walk.wrong(Code::BAD_VALUE, at.the_key_itself(), format!("the setting `{name}` is said twice"), hint);
        }
    }
    made
}

fn setting(walk: &mut Walk<'_>, value: &Value, at: Path<'_>, name: &str) -> Option<Setting> {
    let mut is_hidden = false;
    let value = match value {
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null => {
            walk.wrong(
                Code::BAD_VALUE,
                at,
                format!("the setting `{name}` has no value"),
                "give it one, or take it out",
            );
            return None;
        }
        value => {
            let text = walk.text(value, at, name)?;
            is_hidden = text.written() != text.value();
            text.into_value()
        }
    };
    if value.len() > LONGEST || value.contains('\0') {
        let message = format!("the value of `{name}` is longer than {LONGEST} bytes or holds a NUL character");
        walk.wrong(Code::BAD_VALUE, at, message, "no server takes one like this");
        return None;
    }
    Some(Setting { value, is_hidden })
}

/// Whether this is a setting's name, in lower case.
fn is_name(name: &str) -> bool {
    name.split('.').all(|part| {
        let first = part.chars().next();
        first.is_some_and(|first| first.is_ascii_lowercase() || first == '_')
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    }) && name.len() <= 63
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str) -> Setting {
        Setting { value: value.to_owned(), is_hidden: false }
    }

    #[test]
    fn what_came_from_a_reference_is_not_shown() {
        let settings = [("app.key".to_owned(), Setting { value: "hunter2".into(), is_hidden: true })];
        let session = SessionSettings { settings: settings.into(), ..SessionSettings::default() };
        assert!(!format!("{session:?}").contains("hunter2"));
        assert_eq!(session.hidden_in("invalid value: \"hunter2\"").find("hunter2"), None);
    }

    #[test]
    fn a_tenants_settings_merge_by_name_over_the_others_and_none_is_no_role() {
        let set = |role: Option<&str>, settings: &[(&str, &str)]| SessionSettings {
            role: role.map(str::to_owned),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), told(value))).collect(),
            extensions_schema: None,
        };
        let base = set(Some("owner"), &[("work_mem", "64MB"), ("jit", "off")]);
        let own = set(None, &[("jit", "on")]).over(&base);
        assert_eq!(own, set(Some("owner"), &[("work_mem", "64MB"), ("jit", "on")]));
        assert_eq!(own.role(), Some("owner"));
        assert_eq!(set(Some("none"), &[]).over(&base).role(), None);
    }

    #[test]
    fn a_settings_name_is_a_word_or_words_with_dots() {
        for (name, is) in [
            ("work_mem", true),
            ("app.tenant", true),
            ("_x9", true),
            ("9x", false),
            ("", false),
            ("a.", false),
            ("a b", false),
            ("a'", false),
            ("x\"; drop", false),
        ] {
            assert_eq!(is_name(name), is, "{name}");
        }
    }
}
