//! What a seed draws: the fleet, its changelog, the weather. Made without files, for thousands of seeds in a minute.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::changeset::{Changelog, Changeset, Checksums, Directives, Kind, Text, Version, Who};
use crate::sql::EngineKind;
use crate::tenant::{
    Access, Address, CHECK_TIMEOUT, Check, Datasource, Fleet, OnFailure, Password, RolloutOrder, Server, ServerId,
    Tenant, TenantId, Tls, Verify, Wave, WaveCheck, WaveId,
};

use super::dice::Dice;
use super::world::Weather;

/// A changeset, before it is a file.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub version: i64,
    pub statements: Vec<String>,
    pub no_transaction: bool,
    /// Whether it is for the marked tenants alone.
    pub only: bool,
}

/// The label of the tenants that some changesets are for.
const MARKED: &str = "marked";

/// Draws a number that is mostly small.
fn mostly_small(dice: &mut Dice, small: u64, middle: u64, large: u64) -> u64 {
    match dice.below(100) {
        0..70 => dice.between(1, small),
        70..93 => dice.between(small, middle),
        _ => dice.between(middle, large),
    }
}

/// Draws one to three servers and up to 30 tenants; some of these are there only later.
pub(super) fn fleet(dice: &mut Dice) -> Fleet {
    let servers = match dice.below(10) {
        0..6 => 1,
        6..9 => 2,
        _ => 3,
    };
    let server = |no: u64, dice: &mut Dice| Server {
        name: format!("s{no}"),
        ways: Vec::new(),
        engine: if dice.permille(500) { EngineKind::Postgres } else { EngineKind::MySql },
        address: Address::Tcp { host: format!("s{no}"), port: 1 },
        max_connections: NonZeroU32::new(dice.between(2, 6) as u32).unwrap_or(NonZeroU32::MIN),
        connect_timeout: Duration::from_secs(10),
        silence_check: Duration::from_secs(30),
        lock_database: "postgres".into(),
    };
    let servers: Vec<Server> = (0..servers).map(|no| server(no, dice)).collect();
    let tenants = mostly_small(dice, 4, 10, 30);
    let access = Arc::new(Access { user: None, password: Password::None, tls: Tls::default() });
    let shared = dice.permille(200);
    let mut made = Fleet {
        config: PathBuf::from("tenants.yaml"),
        migrations: PathBuf::from("migrations"),
        servers,
        verify: Verify::Step,
        ..Fleet::default()
    };
    for no in 0..tenants as usize {
        let server = dice.below(made.servers.len() as u64) as usize;
        let datasource = match made.servers[server].engine {
            EngineKind::Postgres if shared => {
                Datasource::Postgres { database: "shared".into(), schema: Some(format!("t{no}")) }
            }
            EngineKind::Postgres => Datasource::Postgres { database: format!("t{no}"), schema: None },
            _ => Datasource::MySql { database: format!("t{no}") },
        };
        made.tenants.push(Tenant {
            access: access.clone(),
            quarantined: dice.permille(60).then(|| "moving".to_owned()),
            ..Tenant::new(TenantId(no), format!("t{no}"), ServerId(server), datasource)
        });
    }
    made
}

/// Draws in which waves changesets reach a fleet; most fleets have none. The dice are none of the others': what they draw
/// stays what it was.
pub(super) fn waves(dice: &mut Dice, fleet: &mut Fleet) {
    if dice.permille(200) {
        fleet.rollout.on_failure = OnFailure::FinishWave;
        fleet.rollout.max_failures = dice.permille(500).then(|| dice.below(3) as usize);
    }
    if !dice.permille(350) {
        return;
    }
    let named = dice.between(1, 3);
    for no in 0..named {
        let command =
            || WaveCheck { what: Check::Command(vec!["smoke".into()]), shown: "smoke".into(), timeout: CHECK_TIMEOUT };
        fleet.rollout.waves.push(Wave {
            name: format!("w{no}"),
            pause: Duration::from_secs(if dice.permille(200) { dice.between(1, 100) } else { 0 }),
            confirm: dice.permille(100),
            checks: if dice.permille(200) { vec![command()] } else { Vec::new() },
            ..Wave::default()
        });
    }
    fleet.rollout.order = *dice.pick(&RolloutOrder::ALL);
    for tenant in &mut fleet.tenants {
        tenant.wave = WaveId(dice.below(named + 1) as usize);
        tenant.own_wave = Some(tenant.wave);
    }
}

/// Draws who is marked, and returns whether anybody may be: in most fleets no tenant is told from another. The dice are
/// none of the others' here too.
pub(super) fn labels(dice: &mut Dice, fleet: &mut Fleet) -> bool {
    let selective = dice.permille(250);
    for tenant in fleet.tenants.iter_mut().filter(|_| selective) {
        if dice.permille(500) {
            mark(tenant);
        }
    }
    selective
}

/// Marks a tenant, or takes its mark away.
pub(super) fn mark(tenant: &mut Tenant) {
    tenant.labels = match tenant.labels.contains(MARKED) {
        true => Arc::default(),
        false => Arc::new([MARKED.to_owned()].into()),
    };
}

/// Draws up to 12 changesets, with room for others in between.
pub(super) fn drafts(dice: &mut Dice) -> Vec<Draft> {
    let count = mostly_small(dice, 4, 7, 12) as i64;
    (1..=count).map(|no| draft(dice, no * 10)).collect()
}

/// Draws a changeset.
pub(super) fn draft(dice: &mut Dice, version: i64) -> Draft {
    let mut statements = Vec::new();
    for no in 1..=dice.between(1, 4) {
        statements.push(match dice.below(4) {
            _ if no == 1 && dice.permille(600) => format!("CREATE TABLE t{version} (a int)"),
            0 | 1 => format!("CREATE INDEX i{version}_{no} ON t{version} (a)"),
            2 => format!("INSERT INTO log VALUES ({version}, {no})"),
            _ => format!("UPDATE totals SET n = n + {no} WHERE v = {version}"),
        });
    }
    Draft { version, statements, no_transaction: dice.permille(200), only: false }
}

/// Makes a changelog of drafts.
pub(super) fn changelog(drafts: &[Draft]) -> Changelog {
    let mut changesets: Vec<Changeset> = drafts.iter().map(changeset).collect();
    changesets.sort_by_key(|changeset| changeset.version);
    Changelog { folder: PathBuf::from("migrations"), changesets }
}

fn changeset(draft: &Draft) -> Changeset {
    let (version, name) = (Version(draft.version), format!("c{}", draft.version));
    let mut sql = String::new();
    if draft.no_transaction {
        sql.push_str("-- mtmigrate: no-transaction\n");
    }
    if draft.only {
        sql.push_str(&format!("-- mtmigrate: only label={MARKED}\n"));
    }
    for statement in &draft.statements {
        sql.push_str(statement);
        sql.push_str(";\n");
    }
    let checksums = Checksums::new(version, &name, &sql, None);
    let only = if draft.only { vec![Who::Label(MARKED.into())] } else { Vec::new() };
    let directives = Directives { no_transaction: draft.no_transaction, only, ..Directives::default() };
    let text = Text {
        file: format!("migrations/V{version}__{name}.sql"),
        sql,
        directives,
        empty: false,
        checksums,
        origin: None,
    };
    Changeset {
        version,
        name,
        kind: Kind::Versioned,
        default: Some(text),
        variants: BTreeMap::new(),
        down: None,
        down_variants: BTreeMap::new(),
    }
}

/// Draws what goes wrong. Most nights have one or two kinds of trouble: with all of them no run would get anywhere.
pub(super) fn weather(dice: &mut Dice) -> Weather {
    let rate = |dice: &mut Dice| if dice.permille(250) { *dice.pick(&[10, 40, 120]) } else { 0 };
    Weather {
        refused: rate(dice) / 2,
        lost_before: rate(dice),
        lost_during: rate(dice),
        lost_after: rate(dice),
        hangs: rate(dice) * 2,
        passing: rate(dice),
        notice_ms: *dice.pick(&[0, 500, 10_000, 60_000]),
        checks_client: dice.permille(500),
    }
}
