//! `create:`: how `provision` makes a tenant's schema, database or file.

use std::sync::Arc;

use super::names::check_postgres;
use super::tree::Value;
use super::walk::{Fields, Walk};
use crate::error::Code;
use crate::sql::EngineKind;

pub(super) const KEYS: [&str; 4] = ["owner", "encoding", "collation", "template"];

/// How a tenant's schema, database or file is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Create {
    /// Whether it is not to be made, whatever its source, server and defaults say: `create: false`.
    pub refused: bool,
    /// The role that owns it; the one that connects without.
    pub owner: Option<String>,
    /// The encoding (PostgreSQL) or character set (MySQL) of a database; the server's without.
    pub encoding: Option<String>,
    /// The collation of a database; the server's without.
    pub collation: Option<String>,
    /// PostgreSQL: the database that a new one is copied from. SQLite: the file.
    pub template: Option<String>,
}

/// Reads `create: true`, `create: false` or a mapping.
pub(super) fn read(walk: &mut Walk<'_>, fields: &Fields<'_>) -> Option<Arc<Create>> {
    let (value, at) = fields.get("create")?;
    if let Value::Bool(made) = value {
        return Some(Arc::new(Create { refused: !made, ..Create::default() }));
    }
    if !matches!(value, Value::Mapping(_)) {
        let hint = "write `create: true`, or `create: { owner: app }`";
        walk.wrong_type(at, "create", "true, false or a mapping", value, hint);
        return None;
    }
    let how = walk.fields(value, at, "`create`", &KEYS)?;
    let mut word = |key: &'static str| {
        let (value, at) = how.get(key)?;
        let text = walk.text(value, at, key)?;
        let refusal = match key {
            "owner" => check_postgres(text.value()).err().map(|refusal| (refusal.why, refusal.hint)),
            _ if text.value().is_empty() => Some(("is empty".to_owned(), "give it a value, or take it out")),
            _ if text.value().contains('\0') => {
                Some(("holds a NUL character".to_owned(), "no server takes one in a name"))
            }
            _ => None,
        };
        if let Some((why, hint)) = refusal {
            walk.wrong(Code::BAD_NAME, at, format!("`{key}` of `create` {why}"), hint);
            return None;
        }
        Some(text.into_value())
    };
    Some(Arc::new(Create {
        refused: false,
        owner: word("owner"),
        encoding: word("encoding"),
        collation: word("collation"),
        template: word("template"),
    }))
}

/// Refuses what has no meaning where it stands: for this engine, or for a tenant with a schema of its own.
pub(super) fn fit(walk: &mut Walk<'_>, fields: &Fields<'_>, engine: EngineKind) {
    let Some((Value::Mapping(how), at)) = fields.get("create") else { return };
    let is_schema = engine == EngineKind::Postgres && fields.get("schema").is_some();
    for key in KEYS.into_iter().filter(|key| how.get(key).is_some_and(|value| !value.is_null())) {
        let (whom, hint) = match (engine, key) {
            (EngineKind::Postgres, "owner") => continue,
            (EngineKind::Postgres, _) if is_schema => {
                ("a schema".to_owned(), "it is the database's, which must be there: a schema has an `owner` alone")
            }
            (EngineKind::Postgres, _) | (EngineKind::MySql, "encoding" | "collation") => continue,
            (EngineKind::Sqlite, "template") => continue,
            (EngineKind::MySql, _) => (engine.to_string(), "a database there has `encoding` and `collation` alone"),
            (EngineKind::Sqlite, _) => (engine.to_string(), "a file has a `template` alone: the file that is copied"),
        };
        let message = format!("`{key}` of `create` has no meaning for {whom}");
        walk.wrong(Code::BAD_VALUE, at.key(key).the_key_itself(), message, hint);
    }
}
