//! What the fleet was resolved to: a row for each tenant, in the fleet's order, from the file alone.

mod json;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::error::{Paint, count};
use crate::sql::EngineKind;
use crate::tenant::{Fleet, Tenant, TenantId};

use super::grid::{Column, Grid, NONE};
use super::status::csv::record;
use super::wire::write_pretty;
use super::words::{Tone, on_a_line};

/// The forms of a list of tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantsFormat {
    /// For a terminal.
    Table,
    /// `mtmigrate.tenants/1`.
    Json,
    /// RFC 4180, for a spreadsheet.
    Csv,
}

/// The tenants of a selection, as they were resolved. It points into the fleet.
///
/// Of credentials it knows the user's name and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct TenantsReport<'f> {
    fleet: &'f Fleet,
    selection: &'f [TenantId],
}

/// Whether commands go to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Provisioning,
    Quarantined,
}

impl State {
    const ALL: [State; 3] = [Self::Active, Self::Provisioning, Self::Quarantined];

    fn of(tenant: &Tenant) -> Self {
        match (&tenant.quarantined, tenant.provisioning) {
            (Some(_), _) => Self::Quarantined,
            (None, true) => Self::Provisioning,
            (None, false) => Self::Active,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Provisioning => "provisioning",
            Self::Quarantined => "quarantined",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Active => Tone::Good,
            Self::Provisioning => Tone::Caution,
            Self::Quarantined => Tone::Quiet,
        }
    }
}

/// The header row of the CSV format.
const HEADER: [&str; 12] =
    ["name", "engine", "server", "address", "database", "schema", "user", "tls", "labels", "wave", "state", "origin"];

impl<'f> TenantsReport<'f> {
    /// Makes the report of these tenants.
    pub fn new(fleet: &'f Fleet, selection: &'f [TenantId]) -> Self {
        Self { fleet, selection }
    }

    /// Writes the report. JSON and CSV are written as they are made. The width is a terminal's, for the table.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn write(
        &self,
        format: TenantsFormat,
        paint: Paint,
        width: Option<usize>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        match format {
            TenantsFormat::Table => out.write_all(self.table(paint, width).as_bytes()),
            TenantsFormat::Json => write_pretty(out, &json::document(self)),
            TenantsFormat::Csv => {
                let mut out = io::BufWriter::new(out);
                out.write_all(record(&HEADER.map(str::to_owned)).as_bytes())?;
                for tenant in self.tenants() {
                    out.write_all(record(&self.fields(tenant)).as_bytes())?;
                }
                out.flush()
            }
        }
    }

    fn tenants(&self) -> impl Iterator<Item = &'f Tenant> + use<'f> {
        let fleet = self.fleet;
        self.selection.iter().map(move |id| fleet.tenant(*id))
    }

    /// Returns how many tenants are in a state.
    fn tally(&self, state: State) -> usize {
        self.tenants().filter(|tenant| State::of(tenant) == state).count()
    }

    /// Columns that say nothing of any tenant are left out.
    fn table(&self, paint: Paint, width: Option<usize>) -> String {
        let with_schema = self.tenants().any(|tenant| tenant.datasource.schema().is_some());
        let with_wave = !self.fleet.rollout.waves.is_empty();
        let with_labels = self.tenants().any(|tenant| !tenant.labels.is_empty());
        let all = ["name", "state", "engine", "server", "database", "schema", "wave", "labels"];
        let shown = [true, true, true, true, true, with_schema, with_wave, with_labels];
        let columns: Vec<Column> =
            all.into_iter().zip(shown).filter_map(|(title, shown)| shown.then_some(Column::Text(title))).collect();
        let mut grid = Grid::new(&columns, "from", paint);
        for tenant in self.tenants() {
            let state = State::of(tenant);
            let cells = [
                tenant.name.clone(),
                state.as_str().to_owned(),
                tenant.datasource.engine().to_string(),
                self.fleet.server_name(tenant).to_owned(),
                tenant.datasource.database().to_owned(),
                tenant.datasource.schema().unwrap_or(NONE).to_owned(),
                self.fleet.wave_name(tenant).to_owned(),
                labels(tenant),
            ];
            let cells = cells.into_iter().zip(shown).filter_map(|(cell, shown)| shown.then_some(cell));
            grid.row(cells, (1, state.tone()), &on_a_line(&self.note(tenant)));
        }
        format!("{}\n{}\n", grid.text(width), self.summary())
    }

    /// Returns where a tenant is listed, and why it is left out.
    fn note(&self, tenant: &Tenant) -> String {
        let origin = self.fleet.origin(tenant);
        tenant.quarantined.as_ref().map_or_else(|| origin.clone(), |reason| format!("{origin}; {reason}"))
    }

    /// Returns `12 tenants: 10 active, 2 quarantined; 3 servers`.
    fn summary(&self) -> String {
        let states = State::ALL.map(|state| (self.tally(state), state.as_str()));
        let said: Vec<String> = states.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let mut servers: Vec<usize> = self.tenants().map(|tenant| tenant.server.0).collect();
        servers.sort_unstable();
        servers.dedup();
        let tenants = count(self.selection.len(), "tenant");
        format!("{tenants}: {}; {}", said.join(", "), count(servers.len(), "server"))
    }

    fn fields(&self, tenant: &Tenant) -> [String; HEADER.len()] {
        let engine = tenant.datasource.engine();
        [
            tenant.name.clone(),
            engine.to_string(),
            self.fleet.server_name(tenant).to_owned(),
            self.fleet.server(tenant.server).address.to_string(),
            tenant.datasource.database().to_owned(),
            tenant.datasource.schema().unwrap_or_default().to_owned(),
            tenant.access.user.clone().unwrap_or_default(),
            tls(tenant).unwrap_or_default().to_owned(),
            labels(tenant),
            self.fleet.wave_name(tenant).to_owned(),
            State::of(tenant).as_str().to_owned(),
            self.fleet.origin(tenant),
        ]
    }
}

fn labels(tenant: &Tenant) -> String {
    tenant.labels.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Returns the mode of encryption; a file has none.
fn tls(tenant: &Tenant) -> Option<&'static str> {
    (tenant.datasource.engine() != EngineKind::Sqlite).then(|| tenant.access.tls.mode.as_str())
}
