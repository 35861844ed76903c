//! A step counts when what it committed is on the disks: every server is asked before the barrier opens, and before the run
//! ends.
//!
//! An engine may commit a changeset so that a crash of its server takes it back as a whole. Then lockstep holds only if
//! nobody gets the next version before: a tenant that lost this one would lack it, while others have the next.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::changeset::Changeset;
use crate::engine::{Failure, Left, Moment};
use crate::error::{Code, Diagnostic, Result};
use crate::planted::{self, Bug};
use crate::tenant::{ServerId, TenantId};

use super::event::Event;
use super::step::{StepResult, Stepping};

/// How long servers may take where somebody insists on the run's end.
const PATIENCE: Duration = Duration::from_secs(5);

const GIVEN_UP: &str = "the run was told to end at once, and its server had not confirmed that it is on its disk";

impl Stepping<'_> {
    /// Makes durable what the run read: a run that was killed a moment ago may have committed it, and nobody waited until
    /// it was on the disk.
    ///
    /// # Errors
    /// The server's own.
    pub async fn rely(&self) -> Result<()> {
        let servers = self.scope.by_server().into_keys();
        join_all(servers.map(|id| self.scope.servers[id.0].flush())).await.into_iter().collect()
    }

    /// Makes durable what the step committed. Of tenants whose server does not confirm it nobody knows.
    pub async fn flush(&self, changeset: &Changeset, result: &mut StepResult) {
        if planted::is(Bug::BarrierWithoutFlush) {
            return;
        }
        let server_of = |tenant: &TenantId| self.scope.fleet.tenants[tenant.0].server;
        let servers: BTreeSet<ServerId> = result.applied.iter().map(server_of).collect();
        let flushes = servers.into_iter().map(|id| async move {
            let flushed = tokio::select! {
                biased;
                flushed = self.scope.servers[id.0].flush() => flushed,
                () = self.given_up() => Err(Diagnostic::new(Code::OUTCOME_UNKNOWN, GIVEN_UP)),
            };
            flushed.err().map(|why| (id, why))
        });
        for (server, why) in join_all(flushes).await.into_iter().flatten() {
            let (lost, kept) = result.applied.iter().partition(|tenant| server_of(tenant) == server);
            result.applied = kept;
            for tenant in lost {
                let failure = self.unconfirmed(changeset, tenant, &why);
                let event = Event::TenantFailed { tenant, version: changeset.version, failure: failure.clone() };
                (self.events)(event);
                result.take_back(tenant, failure);
            }
        }
    }

    /// Ends when somebody insists on the run's end, and the servers had their moment.
    async fn given_up(&self) {
        self.stop.hard().cancelled().await;
        sleep(PATIENCE).await;
    }

    fn unconfirmed(&self, changeset: &Changeset, tenant: TenantId, why: &Diagnostic) -> Failure {
        let tenant = &self.scope.fleet.tenants[tenant.0];
        let (name, engine) = (&tenant.name, tenant.datasource.engine());
        let message = format!("changeset {changeset} was committed on tenant {name} ({engine}), and may be lost again");
        let diagnostic = Diagnostic::new(Code::OUTCOME_UNKNOWN, message).cause(why.message());
        let diagnostic = why.causes().iter().fold(diagnostic, |made, cause| made.cause(cause));
        Failure { diagnostic, moment: Moment::Commit, left: Left::Unknown, retry: false, duration: Duration::ZERO }
    }
}
