//! Rows → tenants: a row is read as an entry of `tenants:` is, with what its source says of all. Rows are data: nothing
//! in them is filled in.

use std::mem::replace;
use std::rc::Rc;

use super::super::Tenant;
use super::super::claims::Who;
use super::super::listing::{Base, Listing};
use super::super::load::Loader;
use super::super::tree::{Mapping, Value};
use super::super::url::parse as parse_url;
use super::super::walk::Fields;
use super::entry::{Entry, How, Templated};
use super::pattern::file_name;
use super::question::{Answer, Ask, Hidden, Reply};
use super::registry::{Cells, Wrong, cells, columns};
use super::{SourceKind, command};
use crate::error::{Code, Diagnostic, count, plain};
use crate::sql::EngineKind;

/// The parts of the file that rows are read beside.
#[derive(Clone, Copy)]
pub(in crate::tenant) struct Beside<'v> {
    /// The file's own list of tenants.
    pub(in crate::tenant) listed: &'v [Value],
    /// The entry of `sources:`.
    pub(in crate::tenant) entry: Fields<'v>,
}

impl Loader<'_> {
    /// Makes the tenants of a source, with what was answered if something had to be asked. Too few are a mistake.
    pub(in crate::tenant) fn tenants_of(
        &mut self,
        beside: Beside<'_>,
        entry: &mut Entry,
        reply: Option<Reply>,
    ) -> Vec<Tenant> {
        let how = replace(&mut entry.how, How::Registry);
        let tenants: Option<Vec<Tenant>> = match (how, reply) {
            (How::Names(names), _) => {
                let rows = names.into_iter().map(|(no, name)| (no, Ok(vec![("name", Value::text(name))])));
                Some(self.rows(beside, entry, rows))
            }
            (How::Files(discover, found), _) => {
                Some(self.discovered(beside, entry, discover.sort_out(found, &self.base)))
            }
            (How::Discovered(discover), Some(Reply::Rows(answer))) => {
                let found = discover.found(answer);
                Some(self.discovered(beside, entry, discover.sort_out(found, &self.base)))
            }
            (How::Registry, Some(Reply::Rows(answer))) => self.answered(beside, entry, answer),
            (How::Printed(format), Some(Reply::Output(output))) => match command::rows(format, &output) {
                Ok(rows) => Some(self.rows(beside, entry, (1..).zip(rows))),
                Err(Wrong { message, hint }) => {
                    self.walk.wrong(Code::BAD_LIST, entry.path(), message, hint);
                    None
                }
            },
            // Whoever asks answers each question in its own way.
            (_, reply) => {
                let message = format!("{} was not answered as it was asked: {}", entry.shown(), reply.is_some());
                self.walk.wrong(Code::BUG, entry.path(), message, "report this text");
                None
            }
        };
        let Some(tenants) = tenants else { return Vec::new() };
        if entry.found < entry.least {
            let (found, least) = (count(entry.found, "tenant"), entry.least);
            let message = match entry.found {
                0 => format!("{} gives no tenants", entry.shown()),
                _ => format!("{} gives {found}, and `min_tenants` is {least}", entry.shown()),
            };
            self.walk.mistakes.add(entry.path(), |_| {
                Diagnostic::new(Code::TOO_FEW_TENANTS, message).state("nothing was touched").hint(
                    "look at what it is asked and what is there; if fewer are right, lower `min_tenants` beside it",
                )
            });
        }
        tenants
    }

    fn answered(&mut self, beside: Beside<'_>, entry: &mut Entry, answer: Answer) -> Option<Vec<Tenant>> {
        let none = Hidden::default();
        let hidden = match entry.question.as_ref().map(|question| &question.ask) {
            Some(Ask::Query { hidden, .. }) => hidden,
            _ => &none,
        };
        match columns(&answer, hidden) {
            Ok(known) => {
                let rows = (1..).zip(answer.rows).map(|(no, row)| (no, cells(&known, row)));
                Some(self.rows(beside, entry, rows))
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    self.walk.mistakes.add(entry.path().key("query"), |_| mistake);
                }
                None
            }
        }
    }

    fn discovered(
        &mut self,
        beside: Beside<'_>,
        entry: &mut Entry,
        (discovery, rows): (super::Discovery, Vec<Cells>),
    ) -> Vec<Tenant> {
        entry.discovery = Some(discovery);
        self.rows(beside, entry, (1..).zip(rows.into_iter().map(Ok)))
    }

    fn rows(
        &mut self,
        beside: Beside<'_>,
        entry: &mut Entry,
        rows: impl Iterator<Item = (usize, Result<Cells, Wrong>)>,
    ) -> Vec<Tenant> {
        self.walk.is_data = true;
        let mut tenants = Vec::new();
        for (position, row) in rows {
            entry.found += 1;
            self.walk.mistakes.reading(Some(entry.row(position)));
            tenants.extend(self.row(beside, entry, position, row));
        }
        self.walk.mistakes.reading(None);
        self.walk.is_data = false;
        tenants
    }

    fn row(&mut self, beside: Beside<'_>, entry: &Entry, position: usize, row: Result<Cells, Wrong>) -> Option<Tenant> {
        let at = entry.path();
        let mut cells = match row {
            Ok(cells) => cells,
            Err(Wrong { message, hint }) => {
                self.walk.wrong(Code::BAD_ROW, at, message, hint);
                return None;
            }
        };
        let name = text_of(&cells, "name");
        let Some(name) = name else {
            self.walk.wrong(Code::BAD_ROW, at, "there is no `name`", "give every tenant a `name` of its own");
            return None;
        };
        let templates = self.fill(entry, &mut cells, &name)?;
        give(entry, &mut cells);
        let index = self.claims.row(beside.listed.len(), Some(name), entry.row(position));
        let mapping = Mapping::of(cells.into_iter().map(|(key, value)| (self.key(key), value)).collect());
        let listing = Listing {
            fields: Fields::of_row(&mapping, at, &templates),
            base: Some(Base { settings: &entry.settings, fields: beside.entry, once: &entry.once }),
            origin: super::Origin { source: Some(entry.index), position },
        };
        let who = Who::row(index);
        self.tenant(&listing, beside.listed, who)
    }

    /// Fills in what the source says of all its tenants, where the row says nothing itself. Returns what stands in the file
    /// for it.
    fn fill<'e>(&mut self, entry: &'e Entry, cells: &mut Cells, name: &str) -> Option<Vec<&'e Templated>> {
        let own: Vec<&str> = cells.iter().map(|(key, _)| *key).collect();
        let own_url = text_of(cells, "url");
        let is_said = |key: &str| match key {
            "server" | "database" => own_url.is_some() || own.contains(&key),
            "url" => own.contains(&"server") || own.contains(&key),
            "user" => own_url.as_deref().is_some_and(says_who) || own.contains(&key),
            // A password of the file goes to no host that a row names, and belongs to no user that a row names.
            "password" => own_url.is_some() || own.contains(&"user") || own.contains(&key),
            _ => own.contains(&key),
        };
        let templates: Vec<&Templated> = entry.texts.iter().filter(|text| !is_said(text.key)).collect();
        for text in &templates {
            match text.pattern.filled(name) {
                Ok(filled) => cells.push((text.key, Value::text(filled))),
                Err(unfit) => {
                    let message = format!("the name `{}` {}", plain(name), unfit.why);
                    self.walk.wrong(Code::BAD_TEMPLATE, entry.path(), message, unfit.hint);
                    return None;
                }
            }
        }
        // A stranger's name must not lead to another folder.
        let server = text_of(cells, "server").and_then(|server| self.named.get(&*server).cloned().flatten());
        let is_file = server.is_some_and(|definition| definition.directory.is_some());
        if is_file
            && templates.iter().any(|text| text.key == "database")
            && let Err(unfit) = file_name(name)
        {
            let message = format!("the name `{}` {}", plain(name), unfit.why);
            self.walk.wrong(Code::BAD_TEMPLATE, entry.path(), message, unfit.hint);
            return None;
        }
        Some(templates)
    }

    fn key(&mut self, key: &'static str) -> Value {
        self.keys.entry(key).or_insert_with(|| Value::text(key)).clone()
    }
}

/// Whether a row's own URL leaves no room for a user of the source's. What is wrong with it is said elsewhere.
fn says_who(url: &str) -> bool {
    match parse_url(url, "") {
        Ok(url) => url.engine == EngineKind::Sqlite || url.user.is_some() || !url.password.is_none(),
        Err(_) => true,
    }
}

fn text_of(cells: &Cells, key: &str) -> Option<Rc<str>> {
    cells.iter().find_map(|(found, value)| match value {
        Value::String(text) if *found == key => Some(text.clone()),
        _ => None,
    })
}

/// Adds what every row gets, and a reason where one is needed.
fn give(entry: &Entry, cells: &mut Cells) {
    let state = text_of(cells, "state");
    match state.as_deref() {
        Some("quarantined") if text_of(cells, "reason").is_none() => {
            let what = if entry.kind == SourceKind::Registry { "in the registry" } else { "by the command" };
            cells.push(("reason", Value::text(format!("quarantined {what}"))));
        }
        Some("quarantined") => {}
        // A column may tell why somebody was quarantined once.
        _ => cells.retain(|(key, _)| *key != "reason"),
    }
    for (key, value) in &entry.given {
        let of_state = *key != "wave" && state.is_some();
        if !of_state && !cells.iter().any(|(found, _)| found == key) {
            cells.push((key, value.clone()));
        }
    }
}
