//! Records what a person found out about a tenant that is half applied. Runs no text.

use std::time::Duration;

use crate::engine::{Begun, Fate, Finder, Mark, Record, Resume, RunIdentity};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{OutOfOrder, Unfinished};
use crate::plan::recipient;
use crate::tenant::TenantId;

use super::accept::PROVISION;
use super::event::Sink;
use super::jitter::Jitter;
use super::locks::{Locks, Waiting};
use super::standing::Found;
use super::stop::Stop;
use super::survey::{Depth, Scope, survey, version_of};

/// What a person found out.
#[derive(Clone, Debug)]
pub struct Repair<'r> {
    /// Whose statement it is.
    pub tenant: TenantId,
    /// What became of the statement.
    pub mark: Mark,
    /// Why, in the person's words.
    pub reason: &'r str,
    /// How long to wait for another run's lock.
    pub lock_wait: Duration,
}

/// Where a half applied text continues now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The changeset, as its file is named.
    pub changeset: String,
    /// The statement, from 1, that the next `up` begins with.
    pub continues_at: u32,
}

/// Records under the lock what a person found out about the statement at which a tenant's text stopped.
///
/// # Errors
/// `MT114` when the tenant is not half applied; `MT211` when its file was changed before that statement, or is gone;
/// `MT301` when another run holds the lock; what the server answers.
pub async fn repair(
    scope: Scope<'_>,
    repair: &Repair<'_>,
    run: &RunIdentity,
    stop: &Stop,
    events: Sink<'_>,
) -> Result<Repaired> {
    let selection = [repair.tenant];
    let scope = Scope { selection: &selection, ..scope };
    let jitter = Jitter::new(&run.run_id);
    let waiting = Waiting { run, wait: repair.lock_wait, stop, events, jitter: &jitter };
    let locks = Locks::take(scope, &waiting).await?;
    let repaired = under_lock(scope, repair, run).await;
    locks.release().await;
    repaired
}

async fn under_lock(scope: Scope<'_>, repair: &Repair<'_>, run: &RunIdentity) -> Result<Repaired> {
    let tenant = &scope.fleet.tenants[repair.tenant.0];
    let survey = survey(&scope, OutOfOrder::Allow, Depth::Histories).await;
    let (open, last) = match survey.standings.into_iter().next().map(|standing| standing.found) {
        Some(Found::Read(position)) => (position.unfinished, position.last),
        Some(Found::Unreadable(diagnostic)) => return Err(diagnostic),
        Some(Found::Provisioning) => {
            return Err(Diagnostic::new(Code::USAGE, format!("tenant {} is being provisioned", tenant.name))
                .state("nothing was recorded")
                .hint(PROVISION));
        }
        Some(Found::Quarantined(_)) | None => (None, None),
    };
    let Some(open) = open else {
        return Err(Diagnostic::new(Code::USAGE, format!("tenant {} is not half applied", tenant.name))
            .state("nothing was recorded")
            .hint("`mtmigrate status` shows which tenants are"));
    };
    let version = version_of(&open);
    let (uncertain, trace) = match &open {
        Unfinished::Uncertain { trace, .. } => (true, trace.clone()),
        Unfinished::FailedAt { .. } => (false, None),
    };
    let (Unfinished::FailedAt { statement_no, prefix, .. } | Unfinished::Uncertain { statement_no, prefix, .. }) = open;
    let changeset = scope.changelog.get(version);
    let text = changeset.and_then(|changeset| changeset.text(tenant.datasource.engine()));
    let (Some(changeset), Some(text)) = (changeset, text) else {
        let message =
            format!("V{version} is half applied on tenant {}, and the changelog has no text of it", tenant.name);
        return Err(Diagnostic::new(Code::HALF_APPLIED, message)
            .state("nothing was recorded")
            .hint("put the changeset's file back"));
    };
    let text = &*text.rendered(&recipient(tenant))?;
    let at = Resume { statement_no, prefix };
    if repair.mark == Mark::Undone && uncertain {
        // Whoever looked may have looked before the server was done with it: waiting for the lock was waiting for that.
        let begun = Begun { tenant, changeset, text, at: &at, trace: trace.as_deref() };
        if let Ok(Fate::Done(words)) = scope.servers[tenant.server.0].fate(begun).await {
            let message = format!("statement {statement_no} of {changeset} took effect on tenant {}", tenant.name);
            return Err(Diagnostic::new(Code::HALF_APPLIED, message)
                .cause(words)
                .state("nothing was recorded: marked undone it would run twice")
                .hint("`mtmigrate up` goes on after it by itself"));
        }
    }
    let record = Record {
        tenant,
        changeset,
        text,
        width: scope.changelog.width(),
        run,
        at,
        mark: repair.mark,
        finder: Finder::Person,
        reason: repair.reason,
        accepted: last.as_ref().and_then(|last| last.accepted.as_deref()),
        skipped: last.as_ref().map_or(&[], |last| &last.skipped),
    };
    let at = scope.servers[tenant.server.0].record(record).await?;
    Ok(Repaired { changeset: changeset.to_string(), continues_at: at.statement_no })
}
