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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{Datasource, ServerId, TenantId};

    fn tenants(count: usize) -> Vec<Tenant> {
        let place = |no| Datasource::Postgres { database: format!("d{no}"), schema: None };
        (0..count).map(|no| Tenant::new(TenantId(no), format!("t{no}"), ServerId(0), place(no))).collect()
    }

    /// Returns whom each lane gets if all are as fast as each other: a turn of each, again and again.
    fn dealt(tenants: &[Tenant], width: usize, back: bool) -> Vec<Vec<usize>> {
        let lanes = Lanes::new(tenants.iter().collect(), width, back);
        let mut got = vec![Vec::new(); lanes.count()];
        for lane in (0..lanes.count()).cycle().take(tenants.len()) {
            got[lane].extend(lanes.next(lane).map(|tenant| tenant.id.0));
        }
        assert!((0..lanes.count()).all(|lane| lanes.next(lane).is_none()), "everybody had a turn");
        got
    }

    #[test]
    fn a_tenant_keeps_its_lane_from_step_to_step_and_steps_go_to_and_fro() {
        let all = tenants(7);
        assert_eq!(dealt(&all, 3, false), [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        assert_eq!(dealt(&all, 3, true), [vec![6, 3, 0], vec![4, 1], vec![5, 2]]);
        // With a lane for each there is no end to begin at.
        assert_eq!(dealt(&all[..3], 3, true), [[0], [1], [2]]);
        assert!(dealt(&all[..0], 3, false).is_empty());
    }

    #[test]
    fn a_lane_that_runs_dry_takes_the_last_of_the_fullest() {
        let all = tenants(6);
        let lanes = Lanes::new(all.iter().collect(), 2, false);
        let next = |lane| lanes.next(lane).map(|tenant| tenant.id.0);
        assert_eq!([next(0), next(0), next(0)], [Some(0), Some(2), Some(4)]);
        assert_eq!([next(0), next(1), next(0), next(1)], [Some(5), Some(1), Some(3), None]);
    }
}
