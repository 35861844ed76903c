//! `mtmigrate.check/1`: a contract, described in `docs/formats.md`.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::engine::{Right, Wire};
use crate::report::wire::WireError;
use crate::sql::EngineKind;

use super::{CheckReport, Row, State};

/// Returns the document.
pub(super) fn document(report: &CheckReport<'_>) -> impl Serialize {
    Document { schema: "mtmigrate.check/1", summary: Summary(report), tenants: Tenants(&report.rows) }
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    summary: Summary<'a>,
    tenants: Tenants<'a>,
}

/// The number of tenants, and of those in each state.
struct Summary<'a>(&'a CheckReport<'a>);

impl Serialize for Summary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + State::ALL.len()))?;
        map.serialize_entry("tenants", &self.0.rows.len())?;
        for state in State::ALL {
            map.serialize_entry(state.as_str(), &self.0.tally(state))?;
        }
        map.end()
    }
}

/// Each is made when it is its turn.
struct Tenants<'a>(&'a [Row<'a>]);

impl Serialize for Tenants<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Tenant::of))
    }
}

#[derive(Serialize)]
struct Tenant<'a> {
    name: &'a str,
    engine: &'static str,
    server: &'a str,
    database: &'a str,
    schema: Option<&'a str>,
    user: Option<&'a str>,
    state: &'static str,
    server_version: Option<&'a str>,
    read_only: Option<&'a str>,
    may_read: Option<bool>,
    may_create: Option<bool>,
    tls: Option<Tls<'a>>,
    round_trip_us: Option<u64>,
    error: Option<WireError<'a>>,
    quarantined: Option<&'a str>,
}

#[derive(Serialize)]
struct Tls<'a> {
    mode: &'static str,
    encrypted: Option<bool>,
    protocol: Option<&'a str>,
    cipher: Option<&'a str>,
}

impl<'a> Tenant<'a> {
    fn of(row: &'a Row<'a>) -> Self {
        let (tenant, datasource) = (row.tenant, &row.tenant.datasource);
        let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            name: &tenant.name,
            engine: datasource.engine().as_str(),
            server: row.server,
            database: datasource.database(),
            schema: datasource.schema(),
            user: tenant.access.user.as_deref(),
            state: row.state.as_str(),
            server_version: row.read.map(|read| &*read.server_version),
            read_only: row.read.and_then(|read| read.read_only.as_deref()),
            may_read: match row.state {
                State::Failed => Some(false),
                State::Provisioning | State::Quarantined => None,
                State::ReadOnly | State::Lacking | State::Fine => Some(true),
            },
            may_create: row.read.and_then(|read| match read.examined.create {
                Right::Granted => Some(true),
                Right::Lacking { .. } => Some(false),
                Right::Unknown(_) => None,
            }),
            tls: (datasource.engine() != EngineKind::Sqlite).then(|| Tls::of(row)),
            round_trip_us: row.read.map(|read| micros(read.examined.round_trip)),
            error: row.finding.as_ref().map(WireError::of),
            quarantined: tenant.quarantined.as_deref(),
        }
    }
}

impl<'a> Tls<'a> {
    fn of(row: &'a Row<'a>) -> Self {
        let mode = row.tenant.access.tls.mode.as_str();
        match row.read.map(|read| &*read.examined.wire) {
            Some(Wire::Encrypted { protocol, cipher }) => {
                Self { mode, encrypted: Some(true), protocol: protocol.as_deref(), cipher: cipher.as_deref() }
            }
            Some(Wire::Plain | Wire::File) => Self { mode, encrypted: Some(false), protocol: None, cipher: None },
            None => Self { mode, encrypted: None, protocol: None, cipher: None },
        }
    }
}
