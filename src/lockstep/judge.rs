//! Judges a survey: either the plan, or why nothing may be changed anywhere.
//!
//! Pure.

use std::collections::BTreeMap;

use crate::changeset::Version;
use crate::engine::stepwise::first_statements;
use crate::error::{Code, Diagnostic, ExitStatus, Place, count, names};
use crate::history::{Finding, Unfinished, prefix_hash};
use crate::plan::{Plan, recipient};
use crate::planted::{self, Bug};
use crate::sql::{Dialect, Statement, replay, split};
use crate::tenant::{Datasource, ServerId, Tenant, TenantId};

use super::drift::schema_drift;
use super::event::RunOutcome;
use super::standing::{Found, Position, Standing};
use super::survey::{Scope, Survey, version_of};
use super::uncertain::Account;
use super::words::minute;

/// How many tenants one message names.
const NAMES: usize = 5;

/// Why nothing may be changed.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// In a word.
    pub outcome: RunOutcome,
    /// The exit status.
    pub exit: ExitStatus,
    /// Every reason, the most urgent first; tenants with the same one are named together.
    pub diagnostics: Vec<Diagnostic>,
}

impl Refusal {
    /// Returns whether half applied tenants are all that stands in the way.
    pub(crate) fn is_half_applied_alone(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.code() == Code::HALF_APPLIED)
    }
}

/// Returns the plan up to the target, or every reason why nothing may be changed in any tenant.
///
/// # Errors
/// Drift in any tenant of the survey, of its history or, if they were looked at, of its schema; a tenant that cannot be read or whose server takes no writes; a tenant that is
/// half applied and needs a person.
pub fn judge(scope: &Scope<'_>, survey: &Survey, target: Option<Version>) -> Result<Plan, Refusal> {
    let pending = survey.positions().map(|(tenant, position)| (tenant, position.pending.clone()));
    let plan = Plan::new(pending, target.filter(|_| !planted::is(Bug::TargetIgnored)));
    let mut diagnostics = half_applied(scope, survey, target);
    if !planted::is(Bug::DriftPassed) {
        diagnostics.extend(drift(scope, survey));
    }
    diagnostics.extend(schema_drift(scope, survey));
    diagnostics.extend(unreadable(scope, survey));
    if !plan.is_empty() {
        diagnostics.extend(read_only(scope, survey));
        diagnostics.extend(folded(scope, survey));
    }
    if diagnostics.is_empty() {
        return Ok(plan);
    }
    let exit = diagnostics.iter().map(|d| d.code().exit()).fold(ExitStatus::Done, ExitStatus::worst);
    let outcome = if exit == ExitStatus::Drift { RunOutcome::Drift } else { RunOutcome::Refused };
    Err(Refusal { outcome, exit, diagnostics })
}

/// Returns the history drift of a survey, one diagnostic for each finding and all its tenants.
pub fn drift(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let mut by_finding: BTreeMap<&Finding, Vec<&str>> = BTreeMap::new();
    for (tenant, position) in survey.positions() {
        for finding in &position.findings {
            by_finding.entry(finding).or_default().push(&scope.fleet.tenants[tenant.0].name);
        }
    }
    by_finding.into_iter().map(|(finding, tenants)| finding.diagnostic(&tenants, scope.changelog)).collect()
}

/// Returns why tenants could not be read; those with the same cause together.
pub fn unreadable(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let unreadable = survey.standings.iter().filter_map(|Standing { tenant, found }| match found {
        Found::Unreadable(diagnostic) => Some((*tenant, diagnostic)),
        Found::Read(_) | Found::Quarantined(_) | Found::Provisioning => None,
    });
    let said = together(scope, unreadable).into_iter().map(|(diagnostic, tenants)| {
        let who = count(tenants.len(), "tenant");
        diagnostic.state(format!("{who} not readable: {}; nothing was changed", names(tenants, NAMES)))
    });
    said.collect()
}

/// Returns each of the diagnostics once, with the names of all tenants that have the same.
pub(crate) fn together<'d, 's>(
    scope: &Scope<'s>,
    all: impl IntoIterator<Item = (TenantId, &'d Diagnostic)>,
) -> Vec<(Diagnostic, Vec<&'s str>)> {
    let fleet = scope.fleet;
    let mut same: Vec<(Diagnostic, Vec<&str>)> = Vec::new();
    let mut index: BTreeMap<(Code, String), usize> = BTreeMap::new();
    for (tenant, diagnostic) in all {
        let at = *index.entry((diagnostic.code(), diagnostic.one_line())).or_insert_with(|| {
            same.push((diagnostic.clone(), Vec::new()));
            same.len() - 1
        });
        same[at].1.push(&fleet.tenants[tenant.0].name);
    }
    same
}

/// Returns the tenants of which a text is partly committed and that `up` cannot continue by itself.
pub fn half_applied(scope: &Scope<'_>, survey: &Survey, target: Option<Version>) -> Vec<Diagnostic> {
    let half = |(id, position): (TenantId, &Position)| {
        let open = position.unfinished.as_ref()?;
        let tenant = &scope.fleet.tenants[id.0];
        half(scope, &Half { tenant, position, open, account: survey.accounts.get(&id), target })
    };
    survey.positions().filter_map(half).collect()
}

/// A tenant of which a text is partly committed.
struct Half<'h> {
    tenant: &'h Tenant,
    position: &'h Position,
    open: &'h Unfinished,
    account: Option<&'h Account>,
    target: Option<Version>,
}

impl Half<'_> {
    /// Returns what stands in the way of continuing by itself, and what a person can do; nothing if nothing does.
    fn in_the_way(&self, version: Version) -> Option<&'static str> {
        let older = self.position.pending.iter().any(|pending| *pending < version);
        let planned = self.position.pending.contains(&version) && self.target.is_none_or(|target| version <= target);
        // The journal's last row tells where to continue; an older changeset's row would come after it and hide it.
        match (planned, older) {
            (true, false) => None,
            (true, true) => Some(
                "take the older changesets that it lacks out of the changelog until `mtmigrate up` has finished this one",
            ),
            (false, _) => {
                Some("put the changeset's file back, or raise `--to`, so that `mtmigrate up` can continue it")
            }
        }
    }
}

fn half(scope: &Scope<'_>, half: &Half<'_>) -> Option<Diagnostic> {
    let name = &half.tenant.name;
    let version = version_of(half.open);
    let title = scope.changelog.get(version).map_or_else(|| format!("V{version}"), ToString::to_string);
    let mut diagnostic = Diagnostic::new(Code::HALF_APPLIED, format!("{title} is half applied on tenant {name}"));
    let hint = match (half.open, half.account) {
        (Unfinished::Uncertain { .. }, Some(Account::Unasked(why))) => {
            return Some(why.clone().state("nothing was changed by this run"));
        }
        (Unfinished::Uncertain { statement_no, statements, .. }, Some(Account::Decided(_, words))) => {
            let hint = half.in_the_way(version)?.to_owned();
            diagnostic = diagnostic.cause(format!("statement {statement_no} of {statements} was begun; {words}"));
            hint
        }
        (Unfinished::Uncertain { statement_no, statements, prefix, .. }, account) => {
            diagnostic = diagnostic.cause(format!(
                "statement {statement_no} of {statements} was begun and its end is not recorded; \
                 the statements before it are committed, and nobody knows about this one"
            ));
            if let Some(place) = statement_at(scope, half.tenant, version, *statement_no, prefix) {
                diagnostic = diagnostic.at(place);
            }
            if let Some(Account::Undecided(words)) = account {
                diagnostic = diagnostic.cause(format!("looked at: {words}"));
            }
            format!(
                "if no run is at work there, look whether it took effect, then type \
                 `mtmigrate repair --tenant {name} --mark-done --reason \"…\"` if it did, or \
                 `mtmigrate repair --tenant {name} --mark-undone --reason \"…\"` if it did not; \
                 `mtmigrate up` goes on from there"
            )
        }
        (Unfinished::FailedAt { statement_no, prefix, .. }, _) => {
            let committed = format!("{} committed", first_statements(statement_no - 1));
            match half.in_the_way(version) {
                Some(hint) => {
                    diagnostic = diagnostic.cause(committed);
                    hint.to_owned()
                }
                None => {
                    let broken = broken_off(scope, half.tenant, version, *statement_no, prefix)?;
                    diagnostic = diagnostic.cause(format!("{committed}, and {}", broken.why));
                    if let Some(place) = broken.place {
                        diagnostic = diagnostic.at(place);
                    }
                    broken.hint
                }
            }
        }
    };
    if let Some(last) = &half.position.last {
        let when = minute(last.finished_at);
        diagnostic = diagnostic.cause(format!("run {} by {}@{} at {when}", last.run_id, last.who, last.host));
    }
    Some(diagnostic.state("nothing was changed by this run").hint(hint))
}

/// Why a text cannot be continued.
struct BrokenOff {
    why: String,
    place: Option<Place>,
    hint: String,
}

/// Returns why a half applied text cannot be continued as its file is now. Known before anybody gets anything: the other
/// tenants of its step would get a text that this one cannot have any more.
///
/// Which rules the server reads by is not known here, so a text is continued if any reading fits.
fn broken_off(scope: &Scope<'_>, tenant: &Tenant, version: Version, no: u32, prefix: &str) -> Option<BrokenOff> {
    let engine = tenant.datasource.engine();
    let text = match scope.changelog.get(version)?.text(engine)?.rendered(&recipient(tenant)) {
        Ok(text) => text,
        Err(why) => {
            return Some(BrokenOff {
                why: format!("the rest of it cannot be made of its template: {}", why.message()),
                place: why.place().cloned(),
                hint: format!(
                    "give tenant {} the value back that it was begun with, until this is finished",
                    tenant.name
                ),
            });
        }
    };
    let text = &*text;
    let before = (no as usize).checked_sub(1)?;
    let place = |statement: &Statement<'_>| text.place(statement.line, statement.column);
    let mut missing = None;
    for dialect in Dialect::possible(engine) {
        let Ok(statements) = split(&text.sql, dialect) else { continue };
        let texts: Vec<&str> = statements.iter().map(|statement| statement.text).collect();
        if before > texts.len() || prefix_hash(texts.iter().take(before).copied()) != prefix {
            continue;
        }
        match replay(&texts, before, dialect) {
            Ok(_) => return None,
            Err(lost) => {
                missing = missing.or(Some(BrokenOff {
                    why: format!(
                        "it continues at statement {no} on a new session, and statement {} needs {}, which statement {} left in \
                         the session that is over",
                        lost.needed_by + 1,
                        lost.what,
                        lost.made_by + 1
                    ),
                    place: statements.get(lost.needed_by).map(place),
                    hint: format!(
                        "run what is left of it by hand in one session, with what that needs, and type `mtmigrate repair \
                         --tenant {} --mark-done --reason …` for each statement; or let the text make it anew from \
                         statement {no} on, if no tenant has the changeset yet",
                        tenant.name
                    ),
                }));
            }
        }
    }
    if missing.is_some() || planted::is(Bug::PrefixNotChecked) {
        return missing;
    }
    Some(BrokenOff {
        why: match text.directives.template {
            true => "the text of it, or a variable's value in it, was changed since".to_owned(),
            false => "the text of it was changed since".to_owned(),
        },
        place: Some(Place::file(&text.file)),
        hint: "restore these statements to what was run; only what comes after them may be mended".to_owned(),
    })
}

/// Returns where a statement stands in its file, if those before it are still the ones that ran.
///
/// Read by the engine's default rules: where a server has others the hash differs, and nothing is shown.
fn statement_at(scope: &Scope<'_>, tenant: &Tenant, version: Version, no: u32, prefix: &str) -> Option<Place> {
    let engine = tenant.datasource.engine();
    let text = &*scope.changelog.get(version)?.text(engine)?.rendered(&recipient(tenant)).ok()?;
    let statements = split(&text.sql, Dialect::default_for(engine)).ok()?;
    let before = (no as usize).checked_sub(1)?;
    let statement = statements.get(before)?;
    let same = prefix_hash(statements.iter().take(before).map(|statement| statement.text)) == prefix;
    same.then(|| text.place(statement.line, statement.column))
}

fn read_only(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let mut by_server: BTreeMap<(ServerId, &str), Vec<&str>> = BTreeMap::new();
    for (tenant, position) in survey.positions() {
        let tenant = &scope.fleet.tenants[tenant.0];
        if let Some(why) = &position.read_only {
            by_server.entry((tenant.server, why)).or_default().push(&tenant.name);
        }
    }
    let said = by_server.into_iter().map(|((server, why), tenants)| {
        let server = &scope.fleet.servers[server.0].name;
        Diagnostic::new(Code::READ_ONLY, format!("server {server} takes no writes: {why}"))
            .state(format!("{}: {}; nothing was changed", count(tenants.len(), "tenant"), names(tenants, NAMES)))
            .hint("let it take writes, or name in tenants.yaml one that does; `mtmigrate status` works here too")
    });
    said.collect()
}

/// Finds databases that are one on a server that folds case, though tenants.yaml tells them apart.
fn folded(scope: &Scope<'_>, survey: &Survey) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<(ServerId, String), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (tenant, _) in survey.positions().filter(|(_, position)| position.folds_case) {
        let tenant = &scope.fleet.tenants[tenant.0];
        let Datasource::MySql { database } = &tenant.datasource else { continue };
        if let Some(other) = seen.insert((tenant.server, database.to_lowercase()), &tenant.name) {
            let server = scope.fleet.server_name(tenant);
            found.push(
                Diagnostic::new(
                    Code::CASE_FOLDED,
                    format!("tenants {other} and {} live in one database, `{database}`", tenant.name),
                )
                .cause(format!("server {server} folds the case of database names (lower_case_table_names)"))
                .state("nothing was changed")
                .hint("correct `database:` of one of them"),
            );
        }
    }
    found
}
