//! The integration tests: real servers, the real binary.
//!
//! One binary, so that all tests share the servers that `support` starts.

mod absent;
mod docs;
mod drifting;
mod encryption;
mod failing;
mod harness;
mod killed;
mod lockstep;
mod mixed;
mod oracle;
mod refinery;
mod repair;
mod secrets;
mod support;
