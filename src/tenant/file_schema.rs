//! What `tenants.yaml` may hold, for editors.

/// The JSON Schema (draft 2020-12) of `tenants.yaml`, as it stands beside the repository's example.
pub const FILE_SCHEMA: &str = include_str!("../../tenants.schema.json");
