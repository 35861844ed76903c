//! The integration tests: real servers, the real binary.
//!
//! One binary, so that all tests share the servers that `support` starts.

mod harness;
mod hostile;
mod lockstep;
mod oracle;
mod support;
