//! What came of trying every datasource: a row for each tenant, what is wrong first.

mod json;

#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use crate::engine::{Right, Wire};
use crate::error::{Diagnostic, ExitStatus, Paint, count, short};
use crate::lockstep::{Checked, Read, Scope, Tried, finding};
use crate::tenant::Tenant;

use super::grid::{Column, Grid, NONE};
use super::wire::write_pretty;
use super::words::{Tone, on_a_line};

/// The forms of a check's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFormat {
    /// For a terminal.
    Table,
    /// `mtmigrate.check/1`.
    Json,
}

/// What came of trying the datasources of a selection.
#[derive(Clone, Debug)]
pub struct CheckReport<'s> {
    /// By urgency of state, then by name.
    rows: Vec<Row<'s>>,
}

#[derive(Clone, Debug)]
struct Row<'s> {
    tenant: &'s Tenant,
    server: &'s str,
    state: State,
    read: Option<&'s Read>,
    /// What is wrong, if anything is.
    finding: Option<Diagnostic>,
}

/// Whether a datasource can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Failed,
    ReadOnly,
    Lacking,
    Provisioning,
    Quarantined,
    Fine,
}

impl State {
    const ALL: [State; 6] =
        [Self::Failed, Self::ReadOnly, Self::Lacking, Self::Provisioning, Self::Quarantined, Self::Fine];

    fn of(tenant: &Tenant, tried: &Tried) -> Self {
        match tried {
            Tried::PassedOver if tenant.quarantined.is_none() => Self::Provisioning,
            Tried::PassedOver => Self::Quarantined,
            Tried::Failed(_) => Self::Failed,
            Tried::Read(read) if read.read_only.is_some() => Self::ReadOnly,
            Tried::Read(read) => match read.examined.create {
                Right::Lacking { .. } => Self::Lacking,
                Right::Granted | Right::Unknown(_) => Self::Fine,
            },
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::ReadOnly => "read-only",
            Self::Lacking => "lacking",
            Self::Provisioning => "provisioning",
            Self::Quarantined => "quarantined",
            Self::Fine => "fine",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Failed | Self::ReadOnly | Self::Lacking => Tone::Alarm,
            Self::Provisioning | Self::Quarantined => Tone::Quiet,
            Self::Fine => Tone::Good,
        }
    }
}

const COLUMNS: [Column; 8] = [
    Column::Text("name"),
    Column::Text("state"),
    Column::Text("engine"),
    Column::Text("server"),
    Column::Text("version"),
    Column::Text("tls"),
    Column::Text("may"),
    Column::Number("ms"),
];

/// The longest note, in characters; JSON has the whole of it.
const NOTE_LIMIT: usize = 160;

impl<'s> CheckReport<'s> {
    /// Makes the report.
    pub fn new(scope: &Scope<'s>, checked: &'s [Checked]) -> Self {
        let row = |one: &'s Checked| {
            let tenant = scope.fleet.tenant(one.tenant);
            let read = match &one.tried {
                Tried::Read(read) => Some(&**read),
                Tried::Failed(_) | Tried::PassedOver => None,
            };
            let (server, state) = (scope.fleet.server_name(tenant), State::of(tenant, &one.tried));
            Row { tenant, server, state, read, finding: finding(scope, one) }
        };
        let mut rows: Vec<Row<'s>> = checked.iter().map(row).collect();
        rows.sort_by(|a, b| (a.state, &a.tenant.name).cmp(&(b.state, &b.tenant.name)));
        Self { rows }
    }

    /// Writes the report; JSON as it is made. The width is a terminal's, for the table.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn write(
        &self,
        format: CheckFormat,
        paint: Paint,
        width: Option<usize>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        match format {
            CheckFormat::Table => out.write_all(self.table(paint, width).as_bytes()),
            CheckFormat::Json => write_pretty(out, &json::document(self)),
        }
    }

    /// Returns the exit status: 5 if a datasource could not be migrated, whatever the reason has for a status elsewhere.
    pub fn exit(&self) -> ExitStatus {
        let of = |found: &Diagnostic| match found.code().exit() {
            ExitStatus::Bug => ExitStatus::Bug,
            _ => ExitStatus::Unreachable,
        };
        self.rows.iter().filter_map(|row| row.finding.as_ref().map(of)).fold(ExitStatus::Done, ExitStatus::worst)
    }

    fn tally(&self, state: State) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    fn table(&self, paint: Paint, width: Option<usize>) -> String {
        let mut grid = Grid::new(&COLUMNS, "note", paint);
        for row in &self.rows {
            grid.row(row.cells(), (1, row.state.tone()), &short(&on_a_line(&row.note()), NOTE_LIMIT));
        }
        let states = State::ALL.map(|state| (self.tally(state), state.as_str()));
        let said: Vec<String> = states.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        format!("{}\n{}: {}\n", grid.text(width), count(self.rows.len(), "tenant"), said.join(", "))
    }
}

/// Returns a version without what a distribution adds to it: `10.11.6-MariaDB` of `10.11.6-MariaDB-0+deb12u1`.
fn in_short(version: &str) -> String {
    let version = version.split(" (").next().unwrap_or(version);
    let end = version.match_indices('-').nth(1).map_or(version.len(), |(at, _)| at);
    version[..end].to_owned()
}

impl Row<'_> {
    fn cells(&self) -> [String; COLUMNS.len()] {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        [
            self.tenant.name.clone(),
            self.state.as_str().to_owned(),
            self.tenant.datasource.engine().to_string(),
            self.server.to_owned(),
            or_none(self.read.map(|read| in_short(&read.server_version))),
            or_none(self.read.and_then(|read| encryption(&read.examined.wire))),
            self.may().to_owned(),
            or_none(self.read.map(|read| millis(read.examined.round_trip))),
        ]
    }

    fn may(&self) -> &'static str {
        match self.read.map(|read| &read.examined.create) {
            None => NONE,
            Some(Right::Granted) => "read, create",
            Some(Right::Lacking { .. }) => "read",
            Some(Right::Unknown(_)) => "read, ?",
        }
    }

    fn note(&self) -> String {
        if let Some(found) = &self.finding {
            return found.one_line();
        }
        match (&self.tenant.quarantined, self.read.map(|read| &read.examined.create)) {
            (Some(reason), _) => reason.clone(),
            (None, Some(Right::Unknown(why))) => why.clone(),
            _ => String::new(),
        }
    }
}

/// Returns how a connection is protected, in a word; nothing for a file.
fn encryption(wire: &Wire) -> Option<String> {
    match wire {
        Wire::File => None,
        Wire::Plain => Some("plain".to_owned()),
        Wire::Encrypted { protocol, .. } => Some(protocol.clone().unwrap_or_else(|| "encrypted".to_owned())),
    }
}

/// Returns milliseconds with one decimal: `0.4`.
fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}
