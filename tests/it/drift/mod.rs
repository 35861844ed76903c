//! Schema drift, from the hand-made change to the accepted one, with the real program on real servers.

mod asking;
mod cohorts;
mod converging;
mod halting;
