//! Whether a file can be changed, and how long one look into it takes.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::{Examined, Right, Wire};
use crate::error::Result;
use crate::tenant::Tenant;

use super::file::File;
use super::kept::Shelf;

pub(super) fn examine(tenant: &Tenant, shelf: &Shelf) -> Result<Examined> {
    let file = File::of(tenant, shelf)?;
    let asked = Instant::now();
    file.read(|connection| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))?;
    let round_trip = asked.elapsed();
    let shown = tenant.datasource.database();
    let create = match (file.takes_writes(), file.folder_takes_files()) {
        (true, true) => Right::Granted,
        (false, _) => Right::Lacking {
            who: "this user".to_owned(),
            what: format!("write to {shown}"),
            grant: "let this user write to the file".to_owned(),
            kind: "the file".to_owned(),
        },
        (true, false) => Right::Lacking {
            who: "this user".to_owned(),
            what: format!("make the files beside {shown} that SQLite writes with"),
            grant: "let this user write to the folder".to_owned(),
            kind: "the folder".to_owned(),
        },
    };
    Ok(Examined { create, wire: Arc::new(Wire::File), round_trip })
}
