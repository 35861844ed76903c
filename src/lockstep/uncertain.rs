//! What became of statements that were begun and whose end is not recorded. Decided under the lock, from what is there.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;

use crate::engine::{Begun, Fate, Finder, Mark, Record, Resume, RunIdentity};
use crate::error::{Diagnostic, Result};
use crate::history::Unfinished;
use crate::planted::{self, Bug};
use crate::tenant::TenantId;

use super::event::{Event, Sink};
use super::standing::Found;
use super::survey::{Scope, Survey};

/// How many tenants are asked about at once.
const AT_ONCE: usize = 8;

/// What was found out about a tenant's statement, where it decides nothing.
#[derive(Clone, Debug)]
pub enum Account {
    /// What is there, in words.
    Undecided(String),
    /// Why it could not be looked at.
    Unasked(Diagnostic),
}

/// A statement, and what became of it.
struct Decided {
    tenant: TenantId,
    mark: Mark,
    words: String,
}

/// Asks what became of every uncertain statement of a survey. If that is known of all of them it is recorded, and the
/// survey says where their texts continue; otherwise nothing is written, and the survey has an account of the others.
///
/// # Errors
/// What a journal that could not be written answers.
pub(crate) async fn settle(scope: &Scope<'_>, survey: &mut Survey, run: &RunIdentity, events: Sink<'_>) -> Result<()> {
    let uncertain = survey.positions().filter(|(_, position)| is_uncertain(position.unfinished.as_ref()));
    let tenants: Vec<TenantId> = uncertain.map(|(tenant, _)| tenant).collect();
    let asked = stream::iter(tenants.iter().map(|&tenant| fate(scope, survey, tenant)));
    let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    let (mut decided, mut accounts) = (Vec::new(), BTreeMap::new());
    for (tenant, answer) in tenants.into_iter().zip(answers) {
        match answer {
            Some(Ok(Fate::Done(words))) => decided.push(Decided { tenant, mark: Mark::Done, words }),
            Some(Ok(Fate::Undone(words))) => decided.push(Decided { tenant, mark: Mark::Undone, words }),
            Some(Ok(Fate::Unknown(words))) if planted::is(Bug::UncertainIsDone) => {
                decided.push(Decided { tenant, mark: Mark::Done, words })
            }
            Some(Ok(Fate::Unknown(words))) if planted::is(Bug::UncertainIsUndone) => {
                decided.push(Decided { tenant, mark: Mark::Undone, words })
            }
            Some(Ok(Fate::Unknown(words))) => {
                accounts.insert(tenant, Account::Undecided(words));
            }
            Some(Err(diagnostic)) => {
                accounts.insert(tenant, Account::Unasked(diagnostic));
            }
            // Without its file nothing can be asked; the judge says so.
            None => return Ok(()),
        }
    }
    survey.accounts = accounts;
    if !survey.accounts.is_empty() {
        return Ok(());
    }
    for one in decided {
        record(scope, survey, run, events, one).await?;
    }
    Ok(())
}

fn is_uncertain(open: Option<&Unfinished>) -> bool {
    matches!(open, Some(Unfinished::Uncertain { .. }))
}

/// Asks about one tenant; nothing if its changeset is not in the changelog.
async fn fate(scope: &Scope<'_>, survey: &Survey, tenant: TenantId) -> Option<Result<Fate>> {
    let open = survey.positions().find(|(id, _)| *id == tenant)?.1.unfinished.as_ref()?;
    let Unfinished::Uncertain { version, statement_no, prefix, trace, .. } = open else { return None };
    let tenant = &scope.fleet.tenants[tenant.0];
    let changeset = scope.changelog.get(*version)?;
    let text = changeset.text(tenant.datasource.engine())?;
    let at = Resume { statement_no: *statement_no, prefix: prefix.clone() };
    let begun = Begun { tenant, changeset, text, at: &at, trace: trace.as_deref() };
    Some(scope.servers[tenant.server.0].fate(begun).await)
}

async fn record(
    scope: &Scope<'_>,
    survey: &mut Survey,
    run: &RunIdentity,
    events: Sink<'_>,
    Decided { tenant: id, mark, words }: Decided,
) -> Result<()> {
    let standing = survey.standings.iter_mut().find(|standing| standing.tenant == id);
    let Some(Found::Read(position)) = standing.map(|standing| &mut standing.found) else { return Ok(()) };
    let Some(Unfinished::Uncertain { version, statement_no, statements, prefix, .. }) = position.unfinished.clone()
    else {
        return Ok(());
    };
    let tenant = &scope.fleet.tenants[id.0];
    let Some(changeset) = scope.changelog.get(version) else { return Ok(()) };
    let Some(text) = changeset.text(tenant.datasource.engine()) else { return Ok(()) };
    let record = Record {
        tenant,
        changeset,
        text,
        width: scope.changelog.width(),
        run,
        at: Resume { statement_no, prefix },
        mark,
        finder: Finder::Run,
        reason: &words,
        accepted: position.last.as_ref().and_then(|last| last.accepted.as_deref()),
    };
    let Resume { statement_no: at, prefix } = scope.servers[tenant.server.0].record(record).await?;
    position.unfinished = (at > 1).then_some(Unfinished::FailedAt { version, statement_no: at, prefix });
    events(Event::TenantSettled { tenant: id, version, statement_no, statements, mark, words });
    Ok(())
}
