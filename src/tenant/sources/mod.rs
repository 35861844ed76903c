//! Where tenants come from beside the file's own list: templates, registries, discovery, commands.

/// An entry of `sources:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// The line of `tenants.yaml` where it stands.
    pub line: usize,
    /// How many tenants it gave.
    pub found: usize,
}

/// What a source is. The words are those of `tenants.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A datasource in which a name is filled in.
    Template,
    /// A query whose rows are tenants.
    Registry,
    /// Schemas, databases or files that are there.
    Discover,
    /// A program that prints the list.
    Command,
}

/// Where a tenant is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The index in [`super::Fleet::sources`]; the file's own list without.
    pub source: Option<usize>,
    /// Its place there, from 1: the entry of the list, the row of the registry.
    pub position: usize,
}
