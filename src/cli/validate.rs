//! `validate`: the files, without connecting.

use std::collections::BTreeMap;

use clap::Args;

use crate::changeset::Changelog;
use crate::error::{ExitStatus, count, names};
use crate::sql::EngineKind;
use crate::tenant::{Fleet, LeftOut};

use super::{Context, Outcome, files};

const EXAMPLES: &str = "\
Examples:
  mtmigrate validate                   in a pull request's check
  mtmigrate validate -c eu.yaml --migrations migrations

Exit status: 0 no mistake (there may be warnings); 2 mistakes, all of them printed; 5 a source gives
  fewer tenants than it must";

/// Checks tenants.yaml and the changelog.
///
/// Connects to nothing and runs no program: what a registry, a discovery or a command would answer is not known. Every mistake of both is reported in one go, with file, line, excerpt and hint: names,
/// versions, directives, texts that cannot be split or that commit by themselves, an engine without a text.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ValidateArgs {}

/// Checks the files and prints what they hold.
pub(super) fn run(_args: &ValidateArgs, context: &Context) -> Outcome {
    let (files, unasked) = files::load_unasked(context)?;
    if !unasked.is_empty() {
        let who = names(unasked.iter().map(String::as_str), 20);
        context.console.say(&format!("not asked, because validate connects to nothing: {who}"));
    }
    // Who is not known may be in any wave.
    if unasked.is_empty() {
        context.console.tell(&files.fleet.empty_waves());
    }
    context
        .console
        .data(&format!("ok: {}", told(&files.fleet, &files.changelog, unasked.len())))
        .map_err(|one| vec![one])?;
    Ok(ExitStatus::Done)
}

/// `12 tenants on 1 server (sqlite 12), 8 changesets, newest V8`; `unasked` sources may have more tenants.
fn told(fleet: &Fleet, changelog: &Changelog, unasked: usize) -> String {
    let mut engines: BTreeMap<EngineKind, usize> = BTreeMap::new();
    for tenant in &fleet.tenants {
        *engines.entry(tenant.datasource.engine()).or_default() += 1;
    }
    let engines: Vec<String> = engines.iter().map(|(engine, tenants)| format!("{engine} {tenants}")).collect();
    let mut said = count(fleet.tenants.len(), "tenant");
    if unasked > 0 {
        said.push_str(&format!(", and those of {} not asked,", count(unasked, "source")));
    }
    said.push_str(&format!(" on {}", count(fleet.servers.len(), "server")));
    if !engines.is_empty() {
        said.push_str(&format!(" ({})", engines.join(", ")));
    }
    let quarantined = fleet.tenants.iter().filter(|t| t.quarantined.is_some()).count();
    if quarantined > 0 {
        said.push_str(&format!(", {quarantined} quarantined"));
    }
    let provisioning = fleet.tenants.iter().filter(|tenant| tenant.left_out() == Some(LeftOut::Provisioning)).count();
    if provisioning > 0 {
        said.push_str(&format!(", {provisioning} being provisioned"));
    }
    said.push_str(&format!(", {}", count(changelog.changesets().len(), "changeset")));
    if let Some(newest) = changelog.newest() {
        said.push_str(&format!(", newest V{newest}"));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_fleet_is_told_without_engines_and_newest_and_whom_nobody_asked_is_not_forgotten() {
        let fleet = Fleet { config: "c".into(), migrations: "m".into(), ..Fleet::default() };
        assert_eq!(told(&fleet, &Changelog::default(), 0), "0 tenants on 0 servers, 0 changesets");
        let unasked = "0 tenants, and those of 2 sources not asked, on 0 servers, 0 changesets";
        assert_eq!(told(&fleet, &Changelog::default(), 2), unasked);
    }
}
