//! What tenants' schemas are, read from the catalogs.
//!
//! Start at [`inspect`]. What is read stands in [`parts`], how it is asked in [`catalog`].

mod catalog;
mod delta;
mod expectation;
mod gauge;
mod inspect;
mod parts;
mod parts_types;
mod present;
mod raw;

pub(super) use expectation::{accept, keep, recorded};
pub(super) use gauge::gauge;
pub(super) use inspect::inspect;
