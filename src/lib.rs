//! mtmigrate: versioned schema changesets for a fleet of tenant databases, in lockstep.

pub mod sql;
