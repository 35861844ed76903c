//! Differences between tenants: variables in templates, and changesets that are not for everybody.

mod skipped;
mod values;
