//! What a look at a datasource finds beside where the tenant stands: how its user comes in, and what it may do.

use std::sync::Arc;
use std::time::Duration;

/// What a look at a tenant's datasource found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// Whether changesets can make objects there, and a run its rows.
    pub create: Right,
    /// How the connection is protected; tenants that were asked over one share it.
    pub wire: Arc<Wire>,
    /// How long the shortest question took over an open connection.
    pub round_trip: Duration,
}

/// Whether somebody may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// They may.
    Granted,
    /// They may not.
    Lacking {
        /// Who: `user app`.
        who: String,
        /// What they may not: `create in schema acme`.
        what: String,
        /// What gives all of it: statements, or what to do.
        grant: String,
        /// What it is, whatever the place is called: the same for tenants that lack the same.
        kind: String,
    },
    /// The server does not tell; why, in words.
    Unknown(String),
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wire {
    /// There is none: a file is opened.
    File,
    /// Everything on it can be read by who stands in between.
    Plain,
    /// It is encrypted.
    Encrypted {
        /// `TLSv1.3`; nothing where the server does not say.
        protocol: Option<String>,
        /// The cipher by the server's name; nothing where it does not say.
        cipher: Option<String>,
    },
}
