//! Deterministic simulation: the real lockstep over simulated servers, in virtual time, with everything that goes wrong
//! drawn from one seed.
//!
//! Start at [`story::tell`]: a seed's whole story. Servers are tasks of their own ([`wire`]), so that what a dead runner
//! asked for goes on without it; tenants live in the [`world`]. A text commits as a whole ([`whole`]) or statement by
//! statement through the real [`stepwise`](crate::engine::stepwise) ([`stepping`]). After everything that happens the
//! [`check`]er looks whether the invariants hold.
//!
//! The same seed must give the same events: chance comes from [`dice`] alone, time from tokio's paused clock, everything
//! that is iterated is ordered, and a `select!` is biased, for otherwise it picks by a chance of its own.
//!
//! `docs/testing.md` says what is checked, how a seed is replayed, and how many are run for long.

mod check;
mod day;
mod dice;
mod draw;
mod hands;
mod process;
mod runs;
mod server;
mod state;
mod stepping;
mod story;
mod tests;
mod whole;
mod wire;
mod world;
