//! Waiting with a limit, and trying again: full servers, silent ones, retries, poolers.

mod crowd;
mod crowded;
mod pooled;
mod retries;
mod silent;
