//! The integration tests: real servers, the real binary.
//!
//! One binary, so that all tests share the servers that `support` starts.

mod absent;
mod budget;
mod changelog;
mod command_line;
mod credentials;
mod docs;
mod drift;
mod drifting;
mod encryption;
mod examples;
mod failing;
mod failures;
mod faults;
mod fence;
mod fuzzed;
mod harness;
mod hostile;
mod journal;
mod killed;
mod lifecycle;
mod limits;
mod lockstep;
mod mixed;
mod names;
mod oracle;
mod questions;
mod reading;
mod refinery;
mod repair;
mod resume;
mod rollout;
mod round_trips;
mod schemas;
mod secrets;
mod security;
mod sessions;
mod sources;
mod stopping;
mod support;
mod tenants;
mod together;
mod variants;
mod waiting;
mod ways;
