//! Makes a tenant's place, and says how far the tenant is to be brought: to the fleet's version and not further.
//!
//! Start at [`provision`]; [`super::up`] brings the tenant there, and [`against_others`] compares what came of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::changeset::{Changelog, Version};
use crate::engine::{Creation, Made, RunIdentity};
use crate::error::{Code, Diagnostic, Result, names};
use crate::history::OutOfOrder;
use crate::tenant::{Create, Datasource, Fleet, Tenant, TenantId};

use super::drift::schema_drift;
use super::event::Sink;
use super::jitter::Jitter;
use super::locks::{Locks, Waiting};
use super::standing::{Found, Position};
use super::stop::Stop;
use super::survey::{Depth, Scope, Survey, survey};

/// How many tenants one message names.
const NAMES: usize = 5;

/// The database that PostgreSQL copies where nothing else is said.
const TEMPLATE: &str = "template1";

/// What `provision` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Provision {
    /// Whose place is made; active in the scope's fleet.
    pub tenant: TenantId,
    /// How long to wait for another run's lock; zero tries once.
    pub lock_wait: Duration,
}

/// A place that is there, and how far its tenant is to be brought.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// Whether the place was made now.
    pub made: Made,
    /// The fleet's version; nothing where no other tenant has one, and nothing is to be applied.
    pub target: Option<Version>,
    /// How many other tenants it is the version of; without any it is the changelog's newest.
    pub others: usize,
    /// The others that could not be read: they do not count.
    pub unreadable: Vec<String>,
}

/// What came of making a place.
#[derive(Clone, Debug)]
pub enum Provisioning {
    /// The place is there.
    Ready(Provisioned),
    /// Somebody asked to stop.
    Stopped(Stopped),
}

/// How far it came before somebody asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Nothing was made.
    Before,
    /// The server was at work, and its answer was not waited for.
    Between,
    /// The place is there, and nothing was applied.
    After,
}

/// Makes a tenant's place under its lock, unless it is there. Applies nothing.
///
/// Reading and waiting end when somebody asks to stop, making when somebody insists.
///
/// # Errors
/// `MT155` for a tenant that does not say how it is made; `MT325` where its place holds what is not its own, or is further
/// than the fleet, or nobody of the fleet can be read; `MT301` when another run holds the lock; what a server answers.
pub async fn provision(
    scope: Scope<'_>,
    asked: &Provision,
    run: &RunIdentity,
    stop: &Stop,
    events: Sink<'_>,
) -> Result<Provisioning> {
    let tenant = scope.fleet.tenant(asked.tenant);
    let Some(how) = tenant.made_how() else { return Err(no_create(tenant)) };
    let others: Vec<TenantId> = others(scope.fleet, tenant);
    let among = Scope { selection: &others, ..scope };
    let beside = tokio::select! {
        biased;
        () = stop.wait() => return Ok(Provisioning::Stopped(Stopped::Before)),
        beside = survey(&among, OutOfOrder::Allow, Depth::Histories) => beside,
    };
    let fleet = version_of_fleet(&scope, &beside)?;
    let selection = [tenant.id];
    let scope = Scope { selection: &selection, ..scope };
    let jitter = Jitter::new(&run.run_id);
    let waiting = Waiting { run, wait: asked.lock_wait, stop, events, jitter: &jitter };
    let locks = tokio::select! {
        biased;
        () = stop.hard().cancelled() => return Ok(Provisioning::Stopped(Stopped::Before)),
        locks = Locks::take(scope, &waiting) => locks,
    };
    if stop.asked() {
        // Who holds a lock that is no longer wanted does not matter.
        if let Ok(locks) = locks {
            locks.release().await;
        }
        return Ok(Provisioning::Stopped(Stopped::Before));
    }
    let locks = locks?;
    let made = tokio::select! {
        biased;
        made = make(&scope, tenant, how, &fleet) => made,
        () = stop.hard().cancelled() => return Ok(Provisioning::Stopped(Stopped::Between)),
    };
    locks.release().await;
    let made = made?;
    if stop.asked() {
        return Ok(Provisioning::Stopped(Stopped::After));
    }
    Ok(Provisioning::Ready(Provisioned { made, ..fleet }))
}

fn others(fleet: &Fleet, tenant: &Tenant) -> Vec<TenantId> {
    fleet.tenants.iter().filter(|other| other.id != tenant.id && other.is_active()).map(|other| other.id).collect()
}

/// Returns the newest version that every other tenant has that can be read. A tenant without history has no version, and
/// does not count unless none has one.
fn version_of_fleet(scope: &Scope<'_>, survey: &Survey) -> Result<Provisioned> {
    let unreadable: Vec<String> = survey
        .standings
        .iter()
        .filter(|standing| matches!(standing.found, Found::Unreadable(_)))
        .map(|standing| scope.fleet.tenant(standing.tenant).name.clone())
        .collect();
    let read = survey.positions().count();
    if read == 0 && !unreadable.is_empty() {
        let who = names(unreadable.iter().map(String::as_str), NAMES);
        let why = survey.standings.iter().find_map(|standing| match &standing.found {
            Found::Unreadable(why) => Some(why.one_line()),
            _ => None,
        });
        return Err(Diagnostic::new(
            Code::NOT_PROVISIONED,
            "the fleet's version is not known: no other tenant can be read",
        )
        .cause(format!("{who}: {}", why.unwrap_or_default()))
        .state("nothing was made")
        .hint("see `mtmigrate status`; when one of them can be read, type it again"));
    }
    let with_history: Vec<&Position> =
        survey.positions().map(|(_, position)| position).filter(|position| position.newest.is_some()).collect();
    let target = match (read, with_history.as_slice()) {
        (0, _) => scope.changelog.newest(),
        (_, []) => None,
        (_, some) => common(scope.changelog, some.iter().map(|position| &*position.pending)),
    };
    Ok(Provisioned { made: Made::There, target, others: with_history.len(), unreadable })
}

/// Returns the newest version up to which nobody lacks one.
fn common<'p>(changelog: &Changelog, pending: impl Iterator<Item = &'p [Version]>) -> Option<Version> {
    let first_lacked = pending.filter_map(|lacked| lacked.first().copied()).min();
    let versions = changelog.changesets().iter().map(|changeset| changeset.version);
    versions.take_while(|version| first_lacked.is_none_or(|lacked| *version < lacked)).last()
}

/// Makes the place. What is there must be empty, have a history or a journal, or be a copy of the template that nothing
/// was done to yet; and whatever it is a copy of, it has no changeset that the fleet does not have.
async fn make(scope: &Scope<'_>, tenant: &Tenant, how: &Create, fleet: &Provisioned) -> Result<Made> {
    let server = &scope.servers[tenant.server.0];
    let template = file_of_template(scope.fleet, tenant, how);
    let made = server.create(Creation { tenant, how, template: template.as_deref() }).await?;
    let depth = if made == Made::New { Depth::Histories } else { Depth::Schemas };
    let survey = survey(scope, OutOfOrder::Allow, depth).await;
    let position = match survey.standings.first().map(|standing| &standing.found) {
        Some(Found::Read(position)) => position,
        Some(Found::Unreadable(why)) => return Err(why.clone()),
        _ => return Err(Diagnostic::new(Code::BUG, format!("tenant {} was not read", tenant.name))),
    };
    if let Some(newest) = position.newest.filter(|newest| fleet.target.is_none_or(|target| *newest > target)) {
        return Err(further(tenant, newest, fleet, made));
    }
    if made == Made::New {
        return Ok(made);
    }
    let is_ours = position.tables.history.is_some() || position.tables.journal.is_some();
    let Some(live) = position.schema.as_ref().filter(|live| !is_ours && !live.objects().is_empty()) else {
        return Ok(made);
    };
    if let Some(original) = template_as_tenant(tenant, how, template.as_deref()) {
        let seen = server.inspect(&[&original]).await.pop();
        if seen.is_some_and(|seen| seen.is_ok_and(|seen| seen.fingerprint() == live.fingerprint())) {
            return Ok(made);
        }
    }
    let objects: Vec<String> =
        live.objects().iter().filter(|object| object.parent.is_none()).map(|object| object.name.clone()).collect();
    let held = names(objects.iter().map(String::as_str), NAMES);
    Err(Diagnostic::new(
        Code::NOT_PROVISIONED,
        format!("tenant {} is to be made, and its place holds something", tenant.name),
    )
    .cause(format!("there is no history, and there are: {held}"))
    .state("nothing was changed")
    .hint("if it is somebody else's, give the tenant another place; if it may go, remove it; then type it again"))
}

/// Makes the diagnostic of a place that has what the fleet does not have.
fn further(tenant: &Tenant, newest: Version, fleet: &Provisioned, made: Made) -> Diagnostic {
    let has = fleet.target.map_or("no version".to_owned(), |target| format!("V{target}"));
    let whose = match fleet.others {
        0 if fleet.target.is_some() => "the changelog's newest is",
        _ => "the fleet has",
    };
    let from_template = tenant.made_how().is_some_and(|how| how.template.is_some());
    let (state, first) = match made {
        Made::New => ("the place was made, and nothing was applied", "remove the place that was made"),
        Made::There => ("nothing was changed", "remove the place if it may go"),
    };
    let second = if from_template { ", let its template have no more than the fleet" } else { "" };
    Diagnostic::new(Code::NOT_PROVISIONED, format!("tenant {} is further than the fleet", tenant.name))
        .cause(format!("its place has V{newest}, {whose} {has}"))
        .state(state)
        .hint(format!("bring the others there with `mtmigrate up`; or {first}{second}; then type it again"))
}

/// Where SQLite's template is: a relative path begins at the folder of the fleet's file.
fn file_of_template(fleet: &Fleet, tenant: &Tenant, how: &Create) -> Option<PathBuf> {
    let written = how.template.as_deref().filter(|_| matches!(tenant.datasource, Datasource::Sqlite { .. }))?;
    let path = fleet.config.parent().unwrap_or(Path::new("")).join(written);
    Some(std::path::absolute(&path).unwrap_or(path))
}

/// Returns the template as if it were a tenant, to be looked at; nothing where nothing is copied.
fn template_as_tenant(tenant: &Tenant, how: &Create, file: Option<&Path>) -> Option<Tenant> {
    let datasource = match (&tenant.datasource, file) {
        (Datasource::Postgres { schema: None, .. }, _) => {
            let database = how.template.clone().unwrap_or_else(|| TEMPLATE.to_owned());
            Datasource::Postgres { database, schema: None }
        }
        (Datasource::Sqlite { .. }, Some(file)) => {
            Datasource::Sqlite { shown: file.display().to_string(), file: file.to_owned(), create: false }
        }
        _ => return None,
    };
    Some(Tenant { datasource, ..tenant.clone() })
}

fn no_create(tenant: &Tenant) -> Diagnostic {
    if tenant.create.is_some() {
        return Diagnostic::new(
            Code::NO_CREATE,
            format!("tenant {} says that it is not made: `create: false`", tenant.name),
        )
        .state("nothing was touched")
        .hint(
            "take `create: false` out, at the tenant or where it has it from: its source, label, server or `defaults:`",
        );
    }
    let how = match &tenant.datasource {
        Datasource::Postgres { schema: Some(_), .. } => "`create: true` or `create: { owner: app }`",
        Datasource::Postgres { .. } => {
            "`create: true` or `create: { owner: app, template: template0, encoding: UTF8 }`"
        }
        Datasource::MySql { .. } => "`create: true` or `create: { encoding: utf8mb4 }`",
        Datasource::Sqlite { .. } => "`create: true` or `create: { template: template.db }`",
    };
    Diagnostic::new(Code::NO_CREATE, format!("tenant {} does not say how it is made", tenant.name))
        .state("nothing was touched")
        .hint(format!("write {how} at the tenant, its server, its source or under `defaults:`"))
}

/// Compares a tenant's schema with those of the others that have the same changesets. Says nothing of how the others
/// differ among themselves.
pub async fn against_others(scope: Scope<'_>, tenant: TenantId) -> Vec<Diagnostic> {
    let tenant = scope.fleet.tenant(tenant);
    let mut selection = others(scope.fleet, tenant);
    selection.push(tenant.id);
    selection.sort_unstable();
    let scope = Scope { selection: &selection, ..scope };
    let mut survey = survey(&scope, OutOfOrder::Allow, Depth::Schemas).await;
    if let Some(drift) = &mut survey.schemas {
        for cohort in &mut drift.cohorts {
            let its = |tenants: &[TenantId]| tenants.contains(&tenant.id);
            cohort.cohort.groups.retain(|group| !group.verdict.is_drift() || its(&group.tenants));
        }
    }
    schema_drift(&scope, &survey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleets_version_is_the_newest_that_nobody_lacks() {
        let changelog = changelog(&[1, 2, 5]);
        let version = |pending: &[&[i64]]| {
            let pending: Vec<Vec<Version>> =
                pending.iter().map(|lacked| lacked.iter().copied().map(Version).collect()).collect();
            common(&changelog, pending.iter().map(Vec::as_slice)).map(|version| version.0)
        };
        assert_eq!(version(&[&[], &[]]), Some(5));
        assert_eq!(version(&[&[], &[5]]), Some(2));
        assert_eq!(version(&[&[2], &[5]]), Some(1));
        assert_eq!(version(&[&[1, 2, 5]]), None);
    }

    fn changelog(versions: &[i64]) -> Changelog {
        let folder = tempfile::tempdir().unwrap();
        for version in versions {
            std::fs::write(folder.path().join(format!("V{version}__x.sql")), "SELECT 1;").unwrap();
        }
        crate::changeset::load(folder.path()).unwrap().changelog
    }
}
