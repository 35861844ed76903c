//! What became of statements that were begun and whose end is not recorded. Decided under the lock, from what is there.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream;

use crate::engine::{Begun, Fate, Finder, Mark, Record, Resume, RunIdentity};
use crate::error::{Diagnostic, Result};
use crate::history::Unfinished;
use crate::plan::recipient;
use crate::planted::{self, Bug};
use crate::tenant::TenantId;

use super::event::{Event, Sink};
use super::standing::Found;
use super::survey::{Scope, Survey};

/// How many tenants are asked about at once.
const AT_ONCE: usize = 8;

/// What was found out about a tenant's statement.
#[derive(Clone, Debug)]
pub enum Account {
    /// What became of it, and what shows that, in words.
    Decided(Mark, String),
    /// What is there, in words, where it decides nothing.
    Undecided(String),
    /// Why it could not be looked at.
    Unasked(Diagnostic),
}

/// Asks what became of every uncertain statement of a survey, and keeps the answers in it. Writes nothing: without the
/// lock they are of this instant.
pub async fn look(scope: &Scope<'_>, survey: &mut Survey) {
    survey.accounts = accounts(scope, survey).await;
}

/// Asks what became of every uncertain statement of a survey. If that is known of all of them it is recorded, and the
/// survey says where their texts continue; otherwise nothing is written, and the survey has an account of each.
///
/// # Errors
/// What a journal that could not be written answers.
pub(crate) async fn settle(scope: &Scope<'_>, survey: &mut Survey, run: &RunIdentity, events: Sink<'_>) -> Result<()> {
    look(scope, survey).await;
    let open = survey.positions().filter(|(_, position)| is_uncertain(position.unfinished.as_ref())).count();
    let decided: Vec<(TenantId, Mark, String)> = survey
        .accounts
        .iter()
        .filter_map(|(tenant, account)| match account {
            Account::Decided(mark, words) => Some((*tenant, *mark, words.clone())),
            Account::Undecided(_) | Account::Unasked(_) => None,
        })
        .collect();
    // One that is not decided stops the run; then nothing is to be changed anywhere.
    if decided.len() < open {
        return Ok(());
    }
    for (tenant, mark, words) in decided {
        record(scope, survey, run, events, Decided { tenant, mark, words }).await?;
    }
    Ok(())
}

/// A statement, and what became of it.
struct Decided {
    tenant: TenantId,
    mark: Mark,
    words: String,
}

/// Asks about every uncertain statement, but for those whose changeset has no file: the judge speaks of these.
async fn accounts(scope: &Scope<'_>, survey: &Survey) -> BTreeMap<TenantId, Account> {
    let uncertain = survey.positions().filter(|(_, position)| is_uncertain(position.unfinished.as_ref()));
    let asked = stream::iter(uncertain.map(|(tenant, _)| async move { (tenant, fate(scope, survey, tenant).await) }));
    let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    let account = |answer| match answer {
        Ok(Fate::Done(words)) => Account::Decided(Mark::Done, words),
        Ok(Fate::Undone(words)) => Account::Decided(Mark::Undone, words),
        Ok(Fate::Unknown(words)) if planted::is(Bug::UncertainIsDone) => Account::Decided(Mark::Done, words),
        Ok(Fate::Unknown(words)) if planted::is(Bug::UncertainIsUndone) => Account::Decided(Mark::Undone, words),
        Ok(Fate::Unknown(words)) => Account::Undecided(words),
        Err(diagnostic) => Account::Unasked(diagnostic),
    };
    answers.into_iter().filter_map(|(tenant, answer)| Some((tenant, account(answer?)))).collect()
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
    let text = match changeset.text(tenant.datasource.engine())?.rendered(&recipient(tenant)) {
        Ok(text) => text,
        Err(why) => return Some(Err(why)),
    };
    let at = Resume { statement_no: *statement_no, prefix: prefix.clone() };
    let begun = Begun { tenant, changeset, text: &text, at: &at, trace: trace.as_deref() };
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
    let text = text.rendered(&recipient(tenant))?;
    let record = Record {
        tenant,
        changeset,
        text: &text,
        width: scope.changelog.width(),
        run,
        at: Resume { statement_no, prefix },
        mark,
        finder: Finder::Run,
        reason: &words,
        accepted: position.last.as_ref().and_then(|last| last.accepted.as_deref()),
        skipped: position.last.as_ref().map_or(&[], |last| &last.skipped),
    };
    let Resume { statement_no: at, prefix } = scope.servers[tenant.server.0].record(record).await?;
    position.unfinished = (at > 1).then_some(Unfinished::FailedAt { version, statement_no: at, prefix });
    events(Event::TenantSettled { tenant: id, version, statement_no, statements, mark, words });
    Ok(())
}
