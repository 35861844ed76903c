//! `migrations/` → the changelog: names, variants, directives, checksums.
//!
//! Start at [`load`]: files, names, directives. Then [`check`]: the texts against the fleet's engines,
//! [`check_variables`]: the templates against the tenants' variables, and [`check_names`]: against the tenants' places. Opens no connection. File names, the history's checksums and their two widths are refinery's; the folder is scanned here,
//! because refinery skips what it does not understand.

mod check;
mod checksum;
mod decode;
mod directives;
mod folder;
mod load;
mod name;
mod neighbours;
mod next;
mod quote;
mod recipient;
mod template;
#[cfg(test)]
mod tests;
mod touches;
mod variables;

pub use check::{check, check_unasked};
pub use load::{Loaded, load};
pub use neighbours::{Neighbourhood, check_names};
pub use next::{Numbering, next_file_name};
pub use recipient::{Glob, Recipient, Who};
pub use touches::Touched;
pub use variables::check_variables;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::sql::EngineKind;
pub(crate) use checksum::Checksums;

/// A changeset's version: 0 to 2^63-1, timestamps included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub i64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How wide refinery hashes and stores versions.
///
/// Refinery decides it when it is compiled; a changelog decides it here: [`Width::Int4`] while every version fits
/// 32 bits. It can never be decided otherwise: both are in tenants' history tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// `int4`, refinery's default.
    Int4,
    /// `int8`, refinery's `int8-versions`.
    Int8,
}

/// Whether a changeset may be applied below a tenant's newest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `V…`: in order.
    Versioned,
    /// `U…`: in any order.
    Unversioned,
}

/// All changesets, in order of version.
#[derive(Clone, Debug, Default)]
pub struct Changelog {
    /// The folder, as the user named it.
    pub folder: PathBuf,
    pub(crate) changesets: Vec<Changeset>,
}

/// One versioned change.
#[derive(Clone, Debug)]
pub struct Changeset {
    /// Its version.
    pub version: Version,
    /// Its name: letters, digits and underscores.
    pub name: String,
    /// Versioned or not.
    pub kind: Kind,
    /// The text for every engine that has no own.
    pub(crate) default: Option<Text>,
    /// The engines' own texts.
    pub(crate) variants: BTreeMap<EngineKind, Text>,
    /// The text that takes it back, and the engines' own ones.
    pub(crate) down: Option<Text>,
    pub(crate) down_variants: BTreeMap<EngineKind, Text>,
}

/// A changeset's text for one engine or for all.
#[derive(Clone, Debug)]
pub struct Text {
    /// The file, as the user would name it.
    pub file: String,
    /// The SQL: UTF-8 without a byte order mark, lines ended by a line feed.
    pub sql: String,
    /// What its leading comments ask for.
    pub directives: Directives,
    /// Whether it holds no statement.
    pub empty: bool,
    pub(crate) checksums: Checksums,
    /// What it was made of, if it was: the file's template.
    pub(crate) origin: Option<Arc<template::Origin>>,
}

/// What a text's leading comments ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `no-transaction`: statement by statement, each committing by itself.
    pub no_transaction: bool,
    /// `lock-timeout DURATION`: the longest wait for a lock; zero waits for ever.
    pub lock_timeout: Option<Duration>,
    /// `statement-timeout DURATION`: the longest run of one statement; zero is no limit.
    pub statement_timeout: Option<Duration>,
    /// `touches PLACES`: what it may reach outside of its tenant.
    pub touches: Vec<Touched>,
    /// `template`: a tenant's values are put in the place of `${literal:NAME}` and `${ident:NAME}`.
    pub template: bool,
    /// `only WORDS`: it is for these tenants alone; for all where it is empty.
    pub only: Vec<Who>,
    /// `except WORDS`: it is not for these tenants.
    pub except: Vec<Who>,
    /// `touches-cluster`: it may reach what belongs to no schema, such as roles and databases.
    pub touches_cluster: bool,
}

impl Changelog {
    /// Returns the changesets in order of version.
    pub fn changesets(&self) -> &[Changeset] {
        &self.changesets
    }

    /// Returns the changeset with this version.
    pub fn get(&self, version: Version) -> Option<&Changeset> {
        self.changesets.binary_search_by_key(&version, |c| c.version).ok().map(|i| &self.changesets[i])
    }

    /// Returns the highest version, if there is any changeset.
    pub fn newest(&self) -> Option<Version> {
        self.changesets.last().map(|c| c.version)
    }

    /// Returns the width in which versions are written: the wide one as soon as one version needs it.
    pub fn width(&self) -> Width {
        match self.newest() {
            Some(Version(newest)) if newest > i64::from(i32::MAX) => Width::Int8,
            _ => Width::Int4,
        }
    }
}

impl Changeset {
    /// Returns the text for an engine: its own, else the default.
    pub fn text(&self, engine: EngineKind) -> Option<&Text> {
        self.variants.get(&engine).or(self.default.as_ref())
    }

    /// Returns the text that takes it back on an engine.
    pub fn down(&self, engine: EngineKind) -> Option<&Text> {
        self.down_variants.get(&engine).or(self.down.as_ref())
    }

    /// Returns every text that applies it: the default first, then the engines' own.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Text> {
        self.default.iter().chain(self.variants.values())
    }

    /// Returns the engines that have a text of their own.
    pub fn variants(&self) -> impl Iterator<Item = EngineKind> {
        self.variants.keys().copied()
    }
}

impl fmt::Display for Changeset {
    /// `V7__add_invoices`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self.kind {
            Kind::Versioned => 'V',
            Kind::Unversioned => 'U',
        };
        write!(f, "{prefix}{}__{}", self.version, self.name)
    }
}

impl Text {
    /// Returns the checksum that a history row in this width bears.
    pub fn checksum(&self, width: Width) -> u64 {
        self.checksums.of(width)
    }

    /// Returns whether a recorded checksum is of this text.
    ///
    /// Either width counts, and so do other line ends and a byte order mark: what refinery recorded from a checkout
    /// on Windows is the same text.
    pub fn matches(&self, recorded: u64) -> bool {
        self.checksums.accept(recorded)
    }
}
