//! What tenants of the file's list and rows of sources have in common: where they are listed, what is set for them, their
//! state, and the user that they come as.

use super::claims::Who;
use super::interpolate::Text;
use super::load::Loader;
use super::locate::Path;
use super::settings::Settings;
use super::sources::entry::Once;
use super::suggest::did_you_mean;
use super::tenants::Found;
use super::tree::Value;
use super::walk::{Fields, Walk};
use super::{Access, Origin};
use crate::error::{Code, Secret};
use crate::sql::EngineKind;

const STATES: [&str; 3] = ["active", "provisioning", "quarantined"];

/// What a tenant is read from.
pub(super) struct Listing<'v> {
    /// An entry of the file, or a row.
    pub(super) fields: Fields<'v>,
    /// Of a row: what its source says of all.
    pub(super) base: Option<Base<'v>>,
    pub(super) origin: Origin,
}

/// What a source says of all its tenants.
#[derive(Clone, Copy)]
pub(super) struct Base<'v> {
    pub(super) settings: &'v Settings,
    /// Its entry in the file.
    pub(super) fields: Fields<'v>,
    pub(super) once: &'v Once,
}

impl<'v> Listing<'v> {
    /// Takes what no source has a word about.
    pub(super) fn alone(fields: Fields<'v>, position: usize) -> Self {
        Self { fields, base: None, origin: Origin { source: None, position } }
    }
}

impl Loader<'_> {
    /// Reads what is set for a tenant alone, and for all of its source.
    pub(super) fn settings(&mut self, listing: &Listing<'_>) -> Settings {
        let own = Settings::read(&mut self.walk, &listing.fields);
        match listing.base {
            Some(base) => own.over(base.settings),
            None => own,
        }
    }

    /// Reads `user` and `password`, which stand over those of the server or the URL.
    pub(super) fn own_access(&mut self, fields: &Fields<'_>, found: &mut Found<'_>, who: Who<'_>) {
        let (user, password) = (fields.get("user"), fields.get("password"));
        let Some((_, at)) = user.or(password) else { return };
        if found.definition.engine == EngineKind::Sqlite {
            let message = format!("{who} has a `user` or a `password`, and a file has none");
            self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, "remove it");
            return;
        }
        let text = |walk: &mut Walk<'_>, key, field: Option<(&Value, Path<'_>)>| {
            field.and_then(|(value, at)| walk.text(value, at, key)).map(Text::into_value)
        };
        let user = text(&mut self.walk, "user", user);
        let password = text(&mut self.walk, "password", password);
        let old = &found.access;
        // A password belongs to its user.
        let kept = if user.is_none() || user == old.user { old.password.clone() } else { None };
        let access = Access {
            user: user.or_else(|| old.user.clone()),
            password: password.map(Secret::new).or(kept),
            tls: old.tls.clone(),
        };
        found.access = self.servers.share(access);
    }

    /// Reads `state`, `quarantined` and `reason`: why the tenant is left out, and whether it is being made.
    pub(super) fn state(&mut self, fields: &Fields<'_>) -> (Option<String>, bool) {
        let Some((value, at)) = fields.get("state") else { return (self.quarantined(fields), false) };
        let Some(state) = self.walk.text(value, at, "state") else { return (None, false) };
        if let Some((_, at)) = fields.get("quarantined") {
            let hint = "keep one of the two: `state: quarantined` with `reason:`, or `quarantined: \"the reason\"`";
            self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), "`quarantined` stands beside `state`", hint);
            return (None, false);
        }
        let reason = fields.get("reason");
        match (state.value(), reason) {
            ("active", None) => (None, false),
            ("provisioning", None) => (None, true),
            ("quarantined", Some((value, at))) => (self.reason(value, at), false),
            ("quarantined", None) => {
                let hint = "add `reason: \"moving to a new server, ticket 812\"`";
                self.walk.wrong(Code::BAD_VALUE, at, "`state: quarantined` has no `reason`", hint);
                (None, false)
            }
            ("active" | "provisioning", Some((_, at))) => {
                let message = "`reason` without `state: quarantined`";
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, "remove one of the two");
                (None, false)
            }
            _ => {
                let hint = did_you_mean(&state.shown(), STATES, "the states are active, provisioning and quarantined");
                self.walk.wrong(Code::BAD_VALUE, at, format!("`{}` is no state of a tenant", state.shown()), hint);
                (None, false)
            }
        }
    }
}
