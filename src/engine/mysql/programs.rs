//! Rows of the catalogs → views, triggers, routines and events: what has a text.

use std::collections::HashMap;

use crate::schema::{Kind, Object};
use crate::sql::SqlMode;

use super::catalog::Rows;
use super::describe::{Description, Hidden, Row};
use super::own_name::folded_view;
use super::words::{parameter, said, typed};

impl<'r> Description<'r> {
    pub fn views(&self) -> Result<Vec<Object>, Hidden> {
        let view = |row: Row<'_>| {
            let name = row.text(0);
            let definition = row.get(1).filter(|definition| !definition.is_empty());
            let definition = definition.ok_or_else(|| Hidden::View(name.to_owned()))?;
            let definition = self.own.canonical(definition);
            let definition = if self.lower { folded_view(&definition) } else { definition };
            let unless = |at, default: &str| row.get(at).filter(|value| *value != default).map(str::to_lowercase);
            Ok(Object::new(Kind::View, None, self.table(name))
                .with("definition", definition)
                .with_some("check option", unless(2, "NONE"))
                .with_some("security", unless(3, "DEFINER"))
                .with_some("algorithm", unless(4, "UNDEFINED"))
                .with_some("grants", self.grants(Rows::TableGrants, &[name])))
        };
        self.rows(Rows::Views).map(view).collect()
    }

    pub fn triggers(&self) -> Vec<Object> {
        let mut sorted: Vec<Row<'_>> = self.rows(Rows::Triggers).collect();
        let moment = |row: &Row<'r>| (row.text(1), row.text(2), row.text(3));
        sorted.sort_by_key(|row| (moment(row), row.number(4)));
        let trigger = |(at, row): (usize, &Row<'r>)| {
            let before = at.checked_sub(1).map(|at| sorted[at]).filter(|before| moment(before) == moment(row));
            self.of_table(Kind::Trigger, row.text(1), row.text(0))
                .with("timing", format!("{} {}", row.text(2), row.text(3)).to_lowercase())
                .with_some("follows", before.map(|before| before.text(0)))
                .with("definition", self.own.body(row.text(5), SqlMode::parse(row.text(6))))
        };
        sorted.iter().enumerate().map(trigger).collect()
    }

    pub fn routines(&self) -> Result<Vec<Object>, Hidden> {
        let mut parameters: HashMap<(&str, &str), Vec<Row<'_>>> = HashMap::new();
        for row in self.rows(Rows::Parameters) {
            parameters.entry((row.text(0), row.text(1))).or_default().push(row);
        }
        for list in parameters.values_mut() {
            list.sort_by_key(|row| row.number(2));
        }
        let routine = |row: Row<'_>| {
            let (name, kind) = (row.text(0), row.text(1));
            let body = row.get(7).ok_or_else(|| Hidden::Routine(name.to_owned()))?;
            let object = match kind {
                "FUNCTION" => Object::new(Kind::Function, None, name),
                "PROCEDURE" => Object::new(Kind::Procedure, None, name),
                // Oracle's packages are made of both.
                other => Object::new(Kind::Procedure, None, format!("{} {name}", other.to_lowercase())),
            };
            let list = parameters.get(&(name, kind)).map(|list| list.iter().map(|row| parameter(*row, kind)));
            let list = list.map(|list| list.collect::<Vec<_>>().join(", "));
            let returns = row.get(2).filter(|returns| !returns.is_empty()).map(|returns| typed(returns, row.get(3)));
            let unless = |at, default: &str| row.get(at).filter(|value| *value != default).map(str::to_lowercase);
            Ok(object
                .with_some("parameters", list)
                .with_some("returns", returns.filter(|_| kind == "FUNCTION"))
                .with_flag("deterministic", row.is(4, "YES"))
                .with_some("access", unless(5, "CONTAINS SQL"))
                .with_some("security", unless(6, "DEFINER"))
                .with("definition", self.own.body(body, SqlMode::parse(row.text(9))))
                .with_some("comment", said(row.get(8))))
        };
        self.rows(Rows::Routines).map(routine).collect()
    }

    /// Describes events without their times but for their ends: where none was written the server puts the time of
    /// creation, and a dump writes that out. One that runs once and is dropped then is a job and no part of a schema.
    pub fn events(&self) -> Vec<Object> {
        let once = |row: &Row<'_>| row.is(1, "ONE TIME") && row.is(6, "NOT PRESERVE");
        let event = |row: Row<'_>| {
            let schedule = match row.get(2) {
                Some(every) => format!("every {every} {}", row.text(3)).to_lowercase(),
                None => "once".to_owned(),
            };
            Object::new(Kind::Event, None, row.text(0))
                .with("schedule", schedule)
                .with_some("ends", row.get(4))
                // On a replica an enabled event is called otherwise.
                .with_flag("disabled", row.is(5, "DISABLED"))
                .with_flag("preserved", row.is(6, "PRESERVE"))
                .with("definition", self.own.body(row.text(7), SqlMode::parse(row.text(9))))
                .with_some("comment", said(row.get(8)))
        };
        self.rows(Rows::Events).filter(|row| !once(row)).map(event).collect()
    }
}
