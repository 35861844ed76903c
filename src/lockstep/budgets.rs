//! Notices servers that have fewer free connections than their budget: their width shrinks while a run goes on.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::engine::Servers;
use crate::error::{Code, Diagnostic};
use crate::tenant::{Fleet, ServerId};

use super::event::{Event, Sink};

/// The widths of a fleet's servers, as they were told last.
pub struct Budgets<'b> {
    fleet: &'b Fleet,
    servers: &'b Servers,
    told: Vec<AtomicUsize>,
}

/// A server that works on fewer tenants at once than before.
struct Lowered<'l> {
    server: &'l str,
    from: usize,
    to: usize,
}

impl<'b> Budgets<'b> {
    /// Notes what the servers' widths are now.
    pub fn new(fleet: &'b Fleet, servers: &'b Servers) -> Self {
        let told = servers.iter().map(|server| AtomicUsize::new(server.width())).collect();
        Self { fleet, servers, told }
    }

    /// Tells of each server whose width has shrunk since it was told last.
    pub(crate) fn tell(&self, events: Sink<'_>) {
        for Lowered { server, from, to } in self.lowered() {
            events(Event::BudgetLowered { server: server.to_owned(), from, to });
        }
    }

    /// [`Budgets::tell`] of one server alone.
    pub(crate) fn tell_of(&self, server: ServerId, events: Sink<'_>) {
        if let Some(Lowered { server, from, to }) = self.lowered_at(server.0) {
            events(Event::BudgetLowered { server: server.to_owned(), from, to });
        }
    }

    /// Returns a warning for each server whose width has shrunk since it was told last.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let warning = |Lowered { server, from, to }: Lowered<'_>| {
            let message = format!("server {server} has fewer free connections than its budget");
            Diagnostic::warning(Code::NO_CONNECTION, message)
                .state(format!("it was asked over at most {to} at once instead of {from}"))
                .hint("free some, or lower `max_connections:` of the server in tenants.yaml to what is free")
        };
        self.lowered().map(warning).collect()
    }

    fn lowered(&self) -> impl Iterator<Item = Lowered<'b>> + '_ {
        (0..self.told.len()).filter_map(|at| self.lowered_at(at))
    }

    fn lowered_at(&self, at: usize) -> Option<Lowered<'b>> {
        let to = self.servers[at].width();
        if to >= self.told[at].load(Ordering::SeqCst) {
            return None;
        }
        // Of several that notice the same change one tells it.
        let from = self.told[at].fetch_min(to, Ordering::SeqCst);
        (to < from).then(|| Lowered { server: &self.fleet.servers[at].name, from, to })
    }
}
