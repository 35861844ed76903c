//! `accept`: records that a person finds a tenant's schema right as it is.

use std::time::Duration;

use clap::Args;

use crate::engine::RunIdentity;
use crate::error::{ExitStatus, plain};
use crate::lockstep::{self, Accept, Accepted, Stop};
use crate::tenant::Selection;

use super::args::{Selecting, duration, reason};
use super::log::RunLog;
use super::screen::Screen;
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate drift                           shows whose schema is not as expected, and in what
  mtmigrate accept --tenant acme --reason \"their report needs the column, ticket 812\"
  mtmigrate history --tenant acme           shows who accepted what, when and why

Exit status: 0 recorded; 2 usage or configuration, or the schema is as expected already; 5 the tenant
  cannot be reached or another run holds the lock; 6 the tenant is half applied";

/// Records that a tenant's present schema is as it should be.
///
/// Writes to tenants: one journal row, with the schema, the differences, who and why; no changeset is run. What is
/// accepted stays accepted through later changesets; another change by hand is drift again. Where nothing says what
/// the tenant's cohort should have, the accepted schema is that from now on.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct AcceptArgs {
    /// The tenant, by its name
    #[arg(long, value_name = "NAME")]
    tenant: String,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// How long to wait for another run's lock; 0 tries once
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    lock_wait: Duration,
}

/// Records it, and says what was accepted.
pub(super) fn run(args: &AcceptArgs, context: &Context) -> Outcome {
    // Its cohort may be anywhere in the fleet.
    let selecting = Selecting { tenants: Vec::new(), labels: Vec::new() };
    let walk = Walk { context, selecting: &selecting, target: None };
    walk.run(async |scope| {
        let named = Selection { tenants: vec![args.tenant.clone()], labels: Vec::new() };
        scope.fleet.select(&named).map_err(|one| vec![one])?;
        let Some(tenant) = scope.fleet.tenants.iter().find(|tenant| tenant.name == args.tenant) else {
            // It matches tenants, so it is a pattern, and one acceptance is about one schema.
            return Err(vec![super::one_tenant(&args.tenant)]);
        };
        let accept = Accept { tenant: tenant.id, reason: &args.reason, lock_wait: args.lock_wait };
        let identity = RunIdentity { fleet: scope.fleet.hash.clone(), ..RunIdentity::new() };
        let screen = Screen::new(&context.console);
        let log = RunLog::new(scope, &identity.run_id);
        let sink = |event| {
            log.take(&event);
            screen.take(&event);
        };
        let accepted = lockstep::accept(scope, &accept, &identity, &Stop::default(), &sink).await;
        drop(screen);
        let accepted = accepted.map_err(|one| vec![one])?;
        context.console.data(&told(&tenant.name, &accepted)).map_err(|one| vec![one])?;
        Ok(ExitStatus::Done)
    })
}

/// Says what was accepted, a line for each difference.
fn told(tenant: &str, accepted: &Accepted) -> String {
    let name = plain(tenant).replace('\n', " ");
    let mut text = format!("{name}: fingerprint {} is accepted\n", accepted.fingerprint.short());
    for difference in &accepted.differences {
        text.push_str(&format!("  {}\n", plain(&difference.sentence()).replace('\n', " ")));
    }
    text.push_str(&format!("`mtmigrate history --tenant {name}` shows who accepted it and why\n"));
    text
}

#[cfg(test)]
mod tests {
    use crate::schema::{Difference, Fingerprint, Kind};

    use super::*;

    #[test]
    fn what_was_accepted_is_told_difference_by_difference() {
        let fingerprint = Fingerprint::parse("1/postgres-15/3fa1c2d400112233445566778899aabb").unwrap();
        let difference = Difference {
            kind: Kind::Column,
            parent: Some("orders".into()),
            object: "orders.no\u{1b}te\n".into(),
            expected: None,
            found: Some("text".into()),
        };
        let said = told("a\ncme", &Accepted { fingerprint: fingerprint.clone(), differences: vec![difference] });
        assert_eq!(
            said,
            "\
a cme: fingerprint 3fa1c2d4 is accepted
  column `orders.no\\u{1b}te ` is not expected
`mtmigrate history --tenant a cme` shows who accepted it and why
"
        );
        let nothing_known = told("acme", &Accepted { fingerprint, differences: Vec::new() });
        assert_eq!(nothing_known.lines().count(), 2);
    }
}
