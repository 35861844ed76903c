//! Whom a changeset is for: what its texts may ask of a tenant, and the directives `only` and `except`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::Text;
use crate::sql::EngineKind;

/// A tenant, as changesets know it.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it speaks.
    pub engine: EngineKind,
    /// Its labels.
    pub labels: &'a BTreeSet<String>,
    /// What templates may ask for.
    pub vars: &'a BTreeMap<String, String>,
    /// Its database, or its file as `tenants.yaml` names it.
    pub database: &'a str,
    /// Its schema, if `tenants.yaml` names one.
    pub schema: Option<&'a str>,
}

/// What a template may ask for beside variables.
pub(super) const FACTS: [&str; 3] = ["tenant.name", "tenant.database", "tenant.schema"];

impl Recipient<'_> {
    /// Returns the value that a placeholder of this name stands for.
    pub(super) fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "tenant.name" => Some(self.name.into()),
            "tenant.database" => Some(self.database.into()),
            "tenant.schema" => self.schema.map(Cow::from),
            name => self.vars.get(name).map(Cow::from),
        }
    }
}

/// One of the words behind `only` or `except`. Tenants are meant by their label, their name, or their engine.
#[derive(Clone, Debug)]
pub enum Who {
    /// `label=eu`.
    Label(String),
    /// `tenant=acme*`.
    Tenant(Glob),
    /// `engine=postgres`.
    Engine(EngineKind),
}

/// A glob of tenants' names: `*` is any characters.
#[derive(Clone, Debug)]
pub struct Glob {
    written: String,
    matcher: GlobMatcher,
}

impl Glob {
    fn parse(written: &str) -> Result<Self, String> {
        let built = GlobBuilder::new(written).literal_separator(false).backslash_escape(true).build();
        let matcher = built.map_err(|error| format!("`{written}` is no glob: {}", error.kind()))?.compile_matcher();
        Ok(Self { written: written.to_owned(), matcher })
    }
}

impl Who {
    /// Whether a tenant is meant.
    pub fn means(&self, recipient: &Recipient<'_>) -> bool {
        match self {
            Self::Label(label) => recipient.labels.contains(label),
            Self::Tenant(glob) => glob.matcher.is_match(recipient.name),
            Self::Engine(engine) => recipient.engine == *engine,
        }
    }
}

impl PartialEq for Who {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Who {}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "label={label}"),
            Self::Tenant(glob) => write!(f, "tenant={}", glob.written),
            Self::Engine(engine) => write!(f, "engine={engine}"),
        }
    }
}

/// Reads `label=eu,us tenant=acme* engine=postgres`.
///
/// # Errors
/// In words, the first thing that is none of these.
pub(super) fn read(value: &str) -> Result<Vec<Who>, String> {
    let mut read: Vec<Who> = Vec::new();
    for word in value.split_whitespace() {
        let Some((key, values)) = word.split_once('=') else {
            return Err(format!("`{word}` is neither `label=…` nor `tenant=…` nor `engine=…`"));
        };
        for value in values.split(',') {
            let one = match key {
                _ if value.is_empty() => return Err(format!("a value is missing in `{word}`")),
                "label" => Who::Label(value.to_owned()),
                "tenant" => Who::Tenant(Glob::parse(value)?),
                "engine" => Who::Engine(EngineKind::parse(value).ok_or_else(|| {
                    let known = EngineKind::ALL.map(EngineKind::as_str).join(", ");
                    format!("`{value}` is no engine; there are {known}")
                })?),
                _ => return Err(format!("`{key}` is neither `label` nor `tenant` nor `engine`")),
            };
            if read.contains(&one) {
                return Err(format!("`{one}` stands in it twice"));
            }
            read.push(one);
        }
    }
    Ok(read)
}

impl Text {
    /// Whether it is for a tenant: one of `only`, if there is an `only`, and none of `except`.
    ///
    /// Of a changeset's texts the one for the tenant's engine counts.
    pub fn is_for(&self, recipient: &Recipient<'_>) -> bool {
        let means = |who: &Who| who.means(recipient);
        let (only, except) = (&self.directives.only, &self.directives.except);
        (only.is_empty() || only.iter().any(means)) && !except.iter().any(means)
    }

    /// Whether it is for no tenant of an engine, whoever they are.
    pub(super) fn passes_over(&self, engine: EngineKind) -> bool {
        let is = |who: &Who| matches!(who, Who::Engine(one) if *one == engine);
        let is_another = |who: &Who| matches!(who, Who::Engine(one) if *one != engine);
        let (only, except) = (&self.directives.only, &self.directives.except);
        except.iter().any(is) || !only.is_empty() && only.iter().all(is_another)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_meant_by_any_word_is_meant() {
        let labels: BTreeSet<String> = ["eu".to_owned(), "big".to_owned()].into();
        let vars = BTreeMap::new();
        let acme = Recipient {
            name: "acme-1",
            engine: EngineKind::MySql,
            labels: &labels,
            vars: &vars,
            database: "d",
            schema: None,
        };
        for (value, meant) in [
            ("label=eu", true),
            ("label=us", false),
            ("label=us,eu", true),
            ("label=us tenant=acme*", true),
            ("tenant=acme", false),
            ("tenant=globex,acme-?", true),
            ("engine=postgres", false),
            ("engine=postgres engine=mysql", true),
            ("label=EU", false),
        ] {
            assert_eq!(read(value).unwrap().iter().any(|who| who.means(&acme)), meant, "{value}");
        }
    }

    #[test]
    fn what_means_nobody_is_said() {
        for (value, why) in [
            ("eu", "`eu` is neither `label=…` nor `tenant=…` nor `engine=…`"),
            ("labels=eu", "`labels` is neither `label` nor `tenant` nor `engine`"),
            ("label=", "a value is missing in `label=`"),
            ("label=a,,b", "a value is missing in `label=a,,b`"),
            ("engine=oracle", "`oracle` is no engine; there are postgres, mysql, sqlite"),
            ("label=a label=a", "`label=a` stands in it twice"),
            ("tenant=[", "`[` is no glob: unclosed character class; missing ']'"),
        ] {
            assert_eq!(read(value).unwrap_err(), why, "{value}");
        }
    }
}
