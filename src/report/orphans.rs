//! What is on the servers and is no tenant.

use serde::Serialize;

use crate::error::{Diagnostic, ExitStatus, Paint, count};
use crate::lockstep::{Orphan, Past};
use crate::tenant::Fleet;

use super::grid::{Column, Grid};
use super::wire::{WireError, WireVersion, pretty};
use super::words::Tone;

const COLUMNS: [Column; 6] = [
    Column::Text("name"),
    Column::Text("was a tenant"),
    Column::Text("version"),
    Column::Text("engine"),
    Column::Text("server"),
    Column::Text("where"),
];

/// The column that is coloured.
const PAST: usize = 1;

/// What matches a pattern of the fleet's file and is in no list.
#[derive(Clone, Debug)]
pub struct OrphansReport {
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    server: Option<String>,
    orphan: Orphan,
}

impl OrphansReport {
    /// Takes what was found.
    pub fn new(fleet: &Fleet, orphans: Vec<Orphan>) -> Self {
        let row = |orphan: Orphan| {
            let server = orphan.stray.server.map(|id| fleet.server(id).name.clone());
            Row { server, orphan }
        };
        Self { rows: orphans.into_iter().map(row).collect() }
    }

    /// Returns the table for a person, ended by a line feed.
    pub fn table(&self, paint: Paint, width: Option<usize>) -> String {
        let mut grid = Grid::new(&COLUMNS, "note", paint);
        for Row { server, orphan: Orphan { stray, past } } in &self.rows {
            let (word, version, tone, note) = match past {
                Past::Tenant(version) => ("yes", *version, Tone::Caution, String::new()),
                Past::None => ("no", None, Tone::Quiet, "it has no table of mtmigrate or refinery".to_owned()),
                Past::Unreadable(why) => ("unknown", None, Tone::Alarm, why.one_line()),
                Past::Unasked => ("unknown", None, Tone::Quiet, "no tenant of the fleet is beside it".to_owned()),
            };
            let place = match stray.datasource.schema() {
                Some(schema) => format!("{}.{schema}", stray.datasource.database()),
                None => stray.datasource.database().to_owned(),
            };
            let cells = [
                stray.name.clone(),
                word.to_owned(),
                version.map_or("-".to_owned(), |version| format!("V{version}")),
                stray.datasource.engine().to_string(),
                server.clone().unwrap_or_else(|| "-".to_owned()),
                place,
            ];
            grid.row(cells, (PAST, tone), &note);
        }
        let summary = match self.rows.len() {
            0 => "no orphan: everything that matches a pattern is in the fleet".to_owned(),
            all => format!("{}, {} of them with a history", count(all, "orphan"), self.with_history()),
        };
        match self.rows.is_empty() {
            true => format!("{summary}\n"),
            false => format!("{}\n{summary}\n", grid.text(width)),
        }
    }

    /// Returns `mtmigrate.orphans/1`, ended by a line feed.
    pub fn json(&self) -> String {
        pretty(&Document {
            schema: "mtmigrate.orphans/1",
            summary: Summary { orphans: self.rows.len(), with_history: self.with_history() },
            orphans: self.rows.iter().map(WireOrphan::of).collect(),
        })
    }

    /// Returns the exit status: 5 if one could not be read; with `check`, else 4 where there is one.
    pub fn exit(&self, check: bool) -> ExitStatus {
        let unreadable = self.rows.iter().any(|row| matches!(row.orphan.past, Past::Unreadable(_)));
        match (unreadable, check && !self.rows.is_empty()) {
            (true, _) => ExitStatus::Unreachable,
            (false, true) => ExitStatus::Pending,
            (false, false) => ExitStatus::Done,
        }
    }

    fn with_history(&self) -> usize {
        self.rows.iter().filter(|row| matches!(row.orphan.past, Past::Tenant(_))).count()
    }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    summary: Summary,
    orphans: Vec<WireOrphan<'a>>,
}

#[derive(Serialize)]
struct Summary {
    orphans: usize,
    with_history: usize,
}

#[derive(Serialize)]
struct WireOrphan<'a> {
    name: &'a str,
    engine: &'static str,
    server: Option<&'a str>,
    database: &'a str,
    schema: Option<&'a str>,
    pattern: &'a str,
    history: Option<bool>,
    version: Option<WireVersion>,
    error: Option<WireError<'a>>,
}

impl<'a> WireOrphan<'a> {
    fn of(row: &'a Row) -> Self {
        let Row { server, orphan: Orphan { stray, past } } = row;
        let (history, version, error): (_, _, Option<&Diagnostic>) = match past {
            Past::Tenant(version) => (Some(true), *version, None),
            Past::None => (Some(false), None, None),
            Past::Unreadable(why) => (None, None, Some(why)),
            Past::Unasked => (None, None, None),
        };
        Self {
            name: &stray.name,
            engine: stray.datasource.engine().as_str(),
            server: server.as_deref(),
            database: stray.datasource.database(),
            schema: stray.datasource.schema(),
            pattern: &stray.pattern,
            history,
            version: version.map(WireVersion),
            error: error.map(WireError::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::changeset::Version;
    use crate::error::Code;
    use crate::lockstep::Stray;
    use crate::tenant::{Datasource, ServerId};

    use super::*;

    fn report(pasts: Vec<Past>) -> OrphansReport {
        let stray = |number: usize| Stray {
            name: ["gone", "scratch", "closed", "far\u{1b}[2J"][number].into(),
            pattern: "tenant_*".into(),
            server: Some(ServerId(0)).filter(|_| number != 3),
            datasource: match number {
                0 => Datasource::Postgres { database: "app".into(), schema: Some("tenant_gone".into()) },
                _ => Datasource::MySql { database: format!("tenant_{number}") },
            },
        };
        let rows = pasts.into_iter().enumerate();
        let rows = rows.map(|(number, past)| {
            let server = Some("eu".to_owned()).filter(|_| number != 3);
            Row { server, orphan: Orphan { stray: stray(number), past } }
        });
        OrphansReport { rows: rows.collect() }
    }

    fn all() -> OrphansReport {
        let denied = Diagnostic::new(Code::NO_PRIVILEGE, "user x may not read it").hint("GRANT it");
        report(vec![Past::Tenant(Some(Version(5))), Past::None, Past::Unreadable(denied), Past::Unasked])
    }

    #[test]
    fn the_json_format_is_pinned() {
        assert_eq!(all().json(), include_str!("pinned/orphans.json"));
    }

    #[test]
    fn the_table_says_what_was_a_tenant() {
        let text = all().table(Paint::Plain, None);
        assert_eq!(
            text,
            "name          was a tenant  version  engine    server  where            note\n\
             gone          yes           V5       postgres  eu      app.tenant_gone\n\
             scratch       no            -        mysql     eu      tenant_1         it has no table of mtmigrate or refinery\n\
             closed        unknown       -        mysql     eu      tenant_2         user x may not read it\n\
             far\\u{1b}[2J  unknown       -        mysql     -       tenant_3         no tenant of the fleet is beside it\n\n\
             4 orphans, 1 of them with a history\n"
        );
        assert!(report(Vec::new()).table(Paint::Plain, None).starts_with("no orphan"));
    }

    #[test]
    fn the_exit_status_says_whether_a_person_must_look() {
        assert_eq!(all().exit(false), ExitStatus::Unreachable);
        assert_eq!(report(vec![Past::None]).exit(false), ExitStatus::Done);
        assert_eq!(report(vec![Past::None]).exit(true), ExitStatus::Pending);
        assert_eq!(report(Vec::new()).exit(true), ExitStatus::Done);
    }
}
