//! What a command has to say, as a person or a program reads it.
//!
//! Pure: facts and events in, text out; prints nothing and opens nothing. [`RunReport`] is a fold of the run's events,
//! the others of a survey, a plan and journals. The JSON formats are contracts: `docs/formats.md` describes them, the
//! files in `pinned/` hold them, and each has serialisable types of its own and a schema version.

mod check;
mod cohorts;
mod datasource;
mod drift;
mod grid;
mod history;
mod orphans;
mod plan;
mod run;
mod status;
mod tenants;
mod wire;
mod words;

#[cfg(test)]
mod documented;
#[cfg(test)]
mod sample;

pub use check::{CheckFormat, CheckReport};
pub use datasource::{DatasourceFormat, datasource};
pub use drift::{DriftFormat, DriftReport, repair_draft};
pub use history::{HistoryFormat, HistoryReport, TenantHistory};
pub use orphans::OrphansReport;
pub use plan::{PlanFormat, PlanOptions, PlanReport};
pub use run::RunReport;
pub use status::{StatusFormat, StatusReport};
pub use tenants::{TenantsFormat, TenantsReport};
