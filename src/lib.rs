//! mtmigrate: versioned schema changesets for a fleet of tenant databases, in lockstep.
//!
//! The modules stand in ranks; each imports lower ranks only (`ARCHITECTURE.md` has the map):
//! [`error`] · [`sql`] · [`schema`] · [`changeset`], [`tenant`] · [`history`] · [`plan`] · [`engine`] · [`lockstep`] ·
//! [`report`] · [`cli`]. An application that embeds the crate calls what the command line calls:
//! [`tenant::load`] (or [`tenant::ConfigFile`] and [`engine::ask_source`] where sources must be asked), [`changeset::load`],
//! [`engine::open`], [`lockstep::up`] and [`lockstep::survey`].

pub mod changeset;
pub mod cli;
pub mod engine;
pub mod error;
pub mod history;
mod input;
pub mod lockstep;
pub mod plan;
mod planted;
pub mod report;
pub mod schema;
#[cfg(test)]
mod simulation;
pub mod sql;
pub mod tenant;
