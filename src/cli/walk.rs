//! The way of every verb that connects: files, selection, target, servers, work, and the connections' end.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::changeset::{Changelog, Version};
use crate::engine;
use crate::error::{Code, Diagnostic};
use crate::lockstep::{Budgets, Scope, check_target};
use crate::tenant::{Fleet, TenantId};

use super::args::Selecting;
use super::{Context, Outcome, files};

/// How long goodbyes to the servers may take; what is left then is cut.
const GOODBYE: Duration = Duration::from_secs(5);

/// How long threads that are stuck in a file's lock or a name server are waited for at the end.
const THREADS: Duration = Duration::from_secs(1);

/// A walk to the servers.
pub(super) struct Walk<'w> {
    pub context: &'w Context,
    pub selecting: &'w Selecting,
    pub target: Option<Version>,
}

impl Walk<'_> {
    /// [`Walk::run`] for a verb that reads, and says on stderr which servers had fewer free connections than their budget.
    pub fn read(&self, work: impl AsyncFnOnce(Scope<'_>) -> Outcome) -> Outcome {
        let console = &self.context.console;
        self.run(async |scope| {
            let budgets = Budgets::new(scope.fleet, scope.servers);
            let outcome = work(scope).await;
            if !console.quiet() {
                console.tell(&budgets.warnings());
            }
            outcome
        })
    }

    /// Loads the files, does the work on the selected tenants, and closes every connection.
    ///
    /// # Errors
    /// Whatever is wrong before the first connection, and what the work itself returns.
    pub fn run(&self, work: impl AsyncFnOnce(Scope<'_>) -> Outcome) -> Outcome {
        on_runtime(async {
            let files = files::load(self.context).await?;
            let selection = files.fleet.select(&self.selecting.selection()).map_err(|one| vec![one])?;
            check_target(&files.changelog, self.target).map_err(|one| vec![one])?;
            visit(&files.fleet, &files.changelog, &selection, work).await
        })
    }
}

/// Opens the servers, does the work on these tenants, and closes every connection.
///
/// # Errors
/// What the work itself returns.
pub(super) async fn visit(
    fleet: &Fleet,
    changelog: &Changelog,
    selection: &[TenantId],
    work: impl AsyncFnOnce(Scope<'_>) -> Outcome,
) -> Outcome {
    let servers = engine::open(fleet).map_err(|one| vec![one])?;
    let outcome = work(Scope { fleet, changelog, servers: &servers, selection }).await;
    // A server that does not answer a goodbye notices the end of the connection by itself.
    timeout(GOODBYE, join_all(servers.iter().map(|server| server.close()))).await.ok();
    outcome
}

/// Works on a runtime of its own.
///
/// # Errors
/// `MT900` without a runtime, and what the work itself returns.
pub(super) fn on_runtime<T>(work: impl Future<Output = Result<T, Vec<Diagnostic>>>) -> Result<T, Vec<Diagnostic>> {
    let runtime = runtime().map_err(|one| vec![one])?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(THREADS);
    outcome
}

/// Makes a runtime of one thread.
///
/// # Errors
/// `MT900`.
pub(super) fn runtime() -> Result<Runtime, Diagnostic> {
    let made = Builder::new_current_thread().enable_all().build();
    made.map_err(|error| Diagnostic::new(Code::BUG, "cannot start the runtime").cause(error.to_string()))
}
