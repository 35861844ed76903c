//! Who a tenant connects as: what its URL says, the keys `user` and `password`, files of passwords.
//!
//! What stands in `tenants.yaml` beats a file. Nothing is fetched here; a file's existence and rights are looked at.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::listing::Listing;
use super::load::Loader;
use super::locate::Path;
use super::password::{Late, Part};
use super::password_file::{Options, PasswordFile, Refused};
use super::servers::Definition;
use super::url::DatasourceUrl;
use super::walk::Fields;
use super::{Access, Password};
use crate::error::{Code, Secret};
use crate::sql::EngineKind;

/// The late passwords and the files of passwords so far: one for all that refer to it.
#[derive(Default)]
pub(super) struct Credentials {
    late: HashMap<Vec<Part>, Arc<Late>>,
    files: HashMap<PathBuf, Option<Arc<PasswordFile>>>,
    options: HashMap<PathBuf, Options>,
}

impl Credentials {
    /// Returns the one password of these parts.
    pub(super) fn late(&mut self, parts: Vec<Part>) -> Password {
        let made = || Arc::new(Late::new(parts.clone()));
        Password::Late(self.late.entry(parts.clone()).or_insert_with(made).clone())
    }

    /// Returns a file of the environment's, if it is there and may be used. What stands against it is said once.
    fn of_environment(&mut self, file: PasswordFile) -> Option<Arc<PasswordFile>> {
        if let Some(known) = self.files.get(file.path()) {
            return known.clone();
        }
        let path = file.path().to_owned();
        let found = match file.look() {
            Ok(found) => found.map(|()| Arc::new(file)),
            Err(Refused { why, hint }) => {
                tracing::warn!("{}: the file is not used: {why}; {hint}", Code::PASSWORD_FILE);
                None
            }
        };
        self.files.insert(path, found.clone());
        found
    }
}

impl Loader<'_> {
    /// Adds what the keys beside a URL say of user and password. Said twice, it is a mistake.
    /// In a row of a source the key wins: the URL may be the source's for all.
    pub(super) fn add_credentials(&mut self, listing: &Listing<'_>, url: &mut DatasourceUrl) {
        let fields = &listing.fields;
        let Some((user, password)) = self.own_credentials(fields, url.engine) else { return };
        if listing.base.is_some() {
            // A password belongs to its user.
            if user.is_some() && user != url.user {
                url.password = Password::None;
            }
            url.user = user.or_else(|| url.user.take());
            url.password = password.unwrap_or_else(|| url.password.clone());
            return;
        }
        let mut twice = |key, at: Path<'_>| {
            let message = format!("both the URL and `{key}` name the {key}");
            self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, "say it once, here or there");
        };
        match (user, &url.user, fields.get("user")) {
            (Some(_), Some(_), Some((_, at))) => twice("user", at),
            (Some(user), ..) => url.user = Some(user),
            _ => {}
        }
        match (password, url.password.is_none(), fields.get("password")) {
            (Some(_), false, Some((_, at))) => twice("password", at),
            (Some(password), ..) => url.password = password,
            _ => {}
        }
    }

    /// Returns how a tenant gets in that lives on a named server: as the server says, or with a user or password of its own.
    ///
    /// Another user does not get the password of the server's.
    pub(super) fn access_on(&mut self, fields: &Fields<'_>, definition: &Definition) -> Arc<Access> {
        let server = &definition.access;
        let Some((_, at)) = fields.get("server") else { return server.clone() };
        let Some((user, password)) = self.own_credentials(fields, definition.engine) else { return server.clone() };
        let password = match (password, &user) {
            (Some(password), _) => password,
            (None, Some(user)) => {
                let named = definition.password_file.as_deref().map(|path| (path, at));
                self.password_of_file(definition.engine, &mut Some(user.clone()), named)
            }
            (None, None) => return server.clone(),
        };
        self.servers.share(Access { user: user.or_else(|| server.user.clone()), password, tls: server.tls.clone() })
    }

    /// Reads the keys `user` and `password`; nothing where neither is there.
    fn own_credentials(
        &mut self,
        fields: &Fields<'_>,
        engine: EngineKind,
    ) -> Option<(Option<String>, Option<Password>)> {
        let (user, password) = (fields.get("user"), fields.get("password"));
        for (key, found) in [("user", &user), ("password", &password)] {
            if let (EngineKind::Sqlite, Some((_, at))) = (engine, found) {
                let message = format!("`{key}` has no meaning for {engine}");
                self.walk.wrong(Code::BAD_VALUE, at.the_key_itself(), message, "a file has no users: remove it");
            }
        }
        if engine == EngineKind::Sqlite || user.is_none() && password.is_none() {
            return None;
        }
        let user = user.and_then(|(value, at)| self.walk.text(value, at, "user"));
        let password = password.and_then(|(value, at)| self.walk.secret(value, at, "password"));
        let password = password.map(|text| fields.quoted("password", text));
        let password = password.and_then(|mut text| match text.take_late() {
            Some(parts) => Some(self.credentials.late(parts)),
            None => {
                Some(text.into_value()).filter(|text| !text.is_empty()).map(|text| Password::Known(Secret::new(text)))
            }
        });
        Some((user.map(|user| user.into_value()).filter(|user| !user.is_empty()), password))
    }

    /// Returns how a URL gets in; where it has no password, a file may.
    pub(super) fn access_of(&mut self, url: DatasourceUrl, tls: super::Tls, at: Path<'_>) -> Access {
        let DatasourceUrl { engine, mut user, mut password, parameters, .. } = url;
        if password.is_none() {
            let named = parameters.password_file.as_deref().map(|path| (path, at));
            password = self.password_of_file(engine, &mut user, named);
        }
        Access { user, password, tls }
    }

    /// Returns the password of a file, the named one or the environment's. An option file may name the user too.
    fn password_of_file(
        &mut self,
        engine: EngineKind,
        user: &mut Option<String>,
        named: Option<(&str, Path<'_>)>,
    ) -> Password {
        let file = match named {
            Some((path, at)) => self.named_file(engine, path, at),
            None => PasswordFile::of_environment(engine, self.walk.env)
                .and_then(|file| self.credentials.of_environment(file)),
        };
        let Some(file) = file else { return Password::None };
        if engine == EngineKind::MySql {
            let options = self.credentials.options.entry(file.path().to_owned()).or_insert_with(|| file.options());
            if user.is_none() {
                user.clone_from(&options.user);
            }
            if options.password.is_none() {
                return Password::None;
            }
        }
        if user.is_some() { Password::File(file) } else { Password::None }
    }

    fn named_file(&mut self, engine: EngineKind, path: &str, at: Path<'_>) -> Option<Arc<PasswordFile>> {
        let file = PasswordFile::named(engine, self.base.join(path));
        if let Some(known) = self.credentials.files.get(file.path()) {
            return known.clone();
        }
        let parameter = if engine == EngineKind::Postgres { "passfile" } else { "defaults-file" };
        let key = file.path().to_owned();
        match file.look() {
            Ok(Some(())) => {
                let file = Arc::new(file);
                self.credentials.files.insert(key, Some(file.clone()));
                return Some(file);
            }
            Ok(None) => {
                let message = format!("the file of `{parameter}` does not exist");
                let hint = "a relative path begins at the folder of this file";
                self.walk.wrong(Code::PASSWORD_FILE, at, message, hint);
            }
            // The path may come from a variable.
            Err(_) => {
                let message = format!(
                    "the file of `{parameter}` is not used: others than its owner may get at it, or it cannot be read"
                );
                self.walk.wrong(Code::PASSWORD_FILE, at, message, "`chmod 600` it, and let this user own it");
            }
        }
        None
    }
}
