//! `history`: what happened to a tenant, from its journal.

use std::collections::BTreeMap;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream;

use crate::lockstep::Scope;
use crate::report::{HistoryFormat, HistoryReport, TenantHistory};
use crate::tenant::{ServerId, Tenant, TenantId};

use super::args::Selecting;
use super::walk::Walk;
use super::{Context, Outcome};

const EXAMPLES: &str = "\
Examples:
  mtmigrate history --tenant acme              the last 20 attempts on acme, newest first
  mtmigrate history --tenant 'eu-*' --limit 1  the last attempt on each of these
  mtmigrate history --tenant acme --format json

Exit status: 0 read; 2 usage or configuration; 5 a tenant cannot be reached";

/// Shows what happened to tenants, from their journals.
///
/// Writes to tenants: no. An attempt has its run, who ran it, when, how long, and the error. A tenant that is
/// quarantined or being provisioned is asked only when --tenant names it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    /// The most attempts of each tenant
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: HistoryFormat,
    #[command(flatten)]
    selecting: Selecting,
}

impl ValueEnum for HistoryFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Table, Self::Json]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Table => "table",
            Self::Json => "json",
        }))
    }
}

/// Reads the journals and prints them, in the fleet's order.
pub(super) fn run(args: &HistoryArgs, context: &Context) -> Outcome {
    let console = &context.console;
    let walk = Walk { context, selecting: &args.selecting, target: None };
    walk.read(async |scope| {
        let report = HistoryReport::new(read(&scope, args).await);
        let text = report.render(args.format, console.paint_out(), console.width());
        console.data(&text).map_err(|one| vec![one])?;
        Ok(report.exit())
    })
}

/// Reads every server's tenants, as many at once as the server is wide.
async fn read(scope: &Scope<'_>, args: &HistoryArgs) -> Vec<TenantHistory> {
    let named = !args.selecting.tenants.is_empty();
    let mut by_server: BTreeMap<ServerId, Vec<&Tenant>> = BTreeMap::new();
    for tenant in scope.selection.iter().map(|id| &scope.fleet.tenants[id.0]) {
        if named || tenant.is_active() {
            by_server.entry(tenant.server).or_default().push(tenant);
        }
    }
    let per_server = by_server.into_iter().map(|(id, tenants)| {
        let server = &scope.servers[id.0];
        let readings = stream::iter(tenants).map(async |tenant| {
            let attempts = server.journal(tenant, args.limit).await;
            (tenant.id, TenantHistory { tenant: tenant.name.clone(), attempts })
        });
        Box::pin(readings.buffer_unordered(server.width()))
    });
    let mut histories: Vec<(TenantId, TenantHistory)> = stream::select_all(per_server).collect().await;
    histories.sort_by_key(|(id, _)| *id);
    histories.into_iter().map(|(_, history)| history).collect()
}
