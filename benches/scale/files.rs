//! The files of a fleet that there is not: `tenants.yaml` and a folder of changesets.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

/// How a `tenants.yaml` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `- { name: t1, server: s1, database: t1 }`, a database for each.
    Databases,
    /// `- { name: t1, server: s1, database: app, schema: t1 }`: a schema for each.
    Schemas,
    /// The same over several lines, with labels.
    Block,
    /// `- { name: t1, url: "postgres://app:${PW}@s1/t1" }`.
    Urls,
    /// `- { name: t1, server: s1, database: t1.db }` in directories of SQLite files.
    Files,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 5] = [Self::Databases, Self::Schemas, Self::Block, Self::Urls, Self::Files];

    /// Returns its word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Databases => "databases",
            Self::Schemas => "schemas",
            Self::Block => "block",
            Self::Urls => "urls",
            Self::Files => "files",
        }
    }

    /// Returns the shape of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.as_str() == word)
    }
}

/// The most servers that a fleet has; a small one has fewer, for a server's tenants are read 500 at a time.
const SERVERS: usize = 10;

/// Returns a `tenants.yaml` of this shape.
pub fn tenants(shape: Shape, tenants: usize) -> String {
    let mut text = "servers:\n".to_owned();
    let servers = (tenants / 1_000).clamp(1, SERVERS);
    for server in 0..servers {
        let url = match shape {
            Shape::Files => format!("sqlite://data/s{server}?mode=rwc"),
            _ => format!("postgres://app:${{PW}}@s{server}.example"),
        };
        // Writing to a text cannot fail.
        writeln!(text, "  s{server}: {{ url: \"{url}\" }}").ok();
    }
    text.push_str("tenants:\n");
    for no in 0..tenants {
        let (name, server) = (format!("tenant_{no:06}"), no * servers / tenants);
        match shape {
            Shape::Databases => writeln!(text, "  - {{ name: {name}, server: s{server}, database: {name} }}"),
            Shape::Schemas => {
                writeln!(text, "  - {{ name: {name}, server: s{server}, database: app, schema: {name} }}")
            }
            Shape::Block => writeln!(
                text,
                "  - name: {name}\n    server: s{server}\n    database: {name}\n    labels: [eu, \"ring-{}\"]",
                no % 5
            ),
            Shape::Urls => {
                writeln!(text, "  - {{ name: {name}, url: \"postgres://app:${{PW}}@s{server}.example:5432/{name}\" }}")
            }
            Shape::Files => writeln!(text, "  - {{ name: {name}, server: s{server}, database: {name}.db }}"),
        }
        .ok();
    }
    text
}

/// Writes both into a folder.
pub fn write(folder: &Path, shape: Shape, tenants_no: usize, changesets: usize) -> io::Result<()> {
    fs::create_dir_all(folder.join("migrations"))?;
    fs::write(folder.join("tenants.yaml"), tenants(shape, tenants_no))?;
    for no in 1..=changesets {
        let text = format!("CREATE TABLE t{no} (a integer NOT NULL);\n");
        fs::write(folder.join(format!("migrations/V{no}__table_{no}.sql")), text)?;
    }
    Ok(())
}
