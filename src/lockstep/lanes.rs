//! The order in which the tenants of one server get a changeset.
//!
//! Whoever gives a server orders has a lane. Tenants are dealt out to the lanes, in turn, and keep theirs from step to step
//! where the same tenants are in each: so a connection meets again the tenants whose tables it knows already. A lane
//! that has run dry helps the one with the most tenants left.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::tenant::Tenant;

/// The tenants of one server that wait for their turn.
pub(crate) struct Lanes<'t> {
    waiting: Mutex<Vec<VecDeque<&'t Tenant>>>,
    count: usize,
}

impl<'t> Lanes<'t> {
    /// Deals tenants out to at most `width` lanes. With `back`, and more tenants than lanes, each lane begins at its end.
    pub fn new(tenants: Vec<&'t Tenant>, width: usize, back: bool) -> Self {
        let count = width.min(tenants.len());
        let back = back && tenants.len() > width;
        let mut lanes = vec![VecDeque::with_capacity(tenants.len().div_ceil(count.max(1))); count];
        for (at, tenant) in tenants.into_iter().enumerate() {
            let lane = &mut lanes[at % count];
            if back { lane.push_front(tenant) } else { lane.push_back(tenant) }
        }
        Self { waiting: Mutex::new(lanes), count }
    }

    /// Returns how many lanes there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns who is next in a lane; where it is empty, the last of the fullest.
    pub fn next(&self, lane: usize) -> Option<&'t Tenant> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting[lane].pop_front().or_else(|| waiting.iter_mut().max_by_key(|lane| lane.len())?.pop_back())
    }
}
