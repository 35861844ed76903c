//! What a tenant's live schema is, and how two of them differ.
//!
//! Pure: engines read their catalogs into [`Object`]s, everything here works on those. Start at [`Snapshot`];
//! [`differences`] and [`unified`] compare two, [`judge`] a cohort.

mod cohort;
mod diff;
mod fingerprint;
mod ignore;
mod object;
mod repair;
mod snapshot;

pub use cohort::{Cohort, Group, Member, Recorded, Verdict, judge};
pub use diff::{Difference, broken, differences, unified};
pub use fingerprint::{Basis, FORMAT, Fingerprint, Include};
pub use ignore::{Ignore, Ignores, Pattern};
pub use object::{Attribute, Kind, Object};
pub use repair::{Repair, repair_sql};
pub use snapshot::{Snapshot, StrangeSnapshot};
