//! What the journal keeps of a tenant's schema: read, kept after a run, accepted by a person.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::tables::JournalRow;
use crate::engine::{Acceptance, Keep, RunIdentity};
use crate::error::{Code, Diagnostic, Result};
use crate::schema::Snapshot;
use crate::tenant::Tenant;

use super::fault::{DUPLICATE_COLUMN, NO_COLUMN, NO_TABLE};
use super::link::{ANSWER_LIMIT, Link, Sets, Trouble};
use super::read::by_access;
use super::{MySqlServer, cause, read, sql};

/// How many tenants' journals are written with one message.
const CHUNK: usize = 100;

/// About how many bytes of snapshots one message holds.
const MESSAGE: usize = 1 << 20;

/// The longest wait for a journal that another session holds.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Reads the schema that a tenant's journal keeps.
pub(super) async fn recorded(server: &MySqlServer, tenant: &Tenant) -> Result<Option<Snapshot>> {
    let database = tenant.datasource.database();
    let opened = server.session(&tenant.access, &read::open()).await;
    let (mut lease, _) = opened.map_err(|none| server.unopened(none, tenant))?;
    let mut asked = lease.ask(&sql::select_snapshot(database), ANSWER_LIMIT).await;
    if matches!(&asked, Err(Trouble::Refused { error, .. }) if [NO_TABLE, NO_COLUMN].contains(&error.code)) {
        // No journal, or one of format 1; or the database does not exist.
        asked = lease.ask(&format!("USE {}", sql::name(database)), ANSWER_LIMIT).await.map(|_| Sets::new());
    }
    server.give_back(lease).await;
    let text =
        asked.map_err(|trouble| server.trouble(trouble, tenant))?.into_iter().flatten().flatten().next().flatten();
    Ok(text.and_then(|text| Snapshot::parse(&text).ok()))
}

/// Records what tenants' schemas are now; one answer for each, in order.
pub(super) async fn keep(server: &MySqlServer, run: &RunIdentity, kept: &[Keep<'_>]) -> Vec<Result<()>> {
    let tenants: Vec<&Tenant> = kept.iter().map(|keep| keep.tenant).collect();
    by_access(&tenants, |access, members| async move {
        let own: Vec<&Keep<'_>> =
            members.iter().filter_map(|at| kept.iter().find(|k| std::ptr::eq(k.tenant, *at))).collect();
        let mut answers: Vec<Result<()>> = Vec::with_capacity(own.len());
        let mut lease = match server.session(access, &open()).await {
            Ok((lease, _)) => lease,
            Err(none) => {
                let why = server.unopened(none, own[0].tenant).one_line();
                return own.iter().map(|keep| Err(unwritten(keep.tenant, why.clone()))).collect();
            }
        };
        for chunk in own.chunks(CHUNK) {
            if write(&mut lease, run, chunk).await.is_ok() {
                answers.extend(chunk.iter().map(|_| Ok(())));
                continue;
            }
            // One by one: one tenant's trouble is its own.
            for keep in chunk {
                let written = match write(&mut lease, run, &[keep]).await {
                    // Of this run no row can be there: it would have made the column.
                    Err(Trouble::Refused { error, .. }) if error.code == NO_COLUMN => Ok(()),
                    written => written,
                };
                answers.push(written.map_err(|trouble| unwritten(keep.tenant, cause(trouble))));
            }
        }
        server.give_back(lease).await;
        answers
    })
    .await
}

/// Journals that a person accepted a tenant's schema.
pub(super) async fn accept(server: &MySqlServer, acceptance: &Acceptance<'_>) -> Result<()> {
    let (tenant, database) = (acceptance.tenant, acceptance.tenant.datasource.database());
    let opened = server.session(&tenant.access, &format!("{}; SELECT UTC_TIMESTAMP(6)", open())).await;
    let (mut lease, sets) = opened.map_err(|none| server.unopened(none, tenant))?;
    let began = sets.into_iter().flatten().flatten().next().flatten().unwrap_or_default();
    let prepared = match acceptance.tables.journal {
        None => lease.ask(&sql::create_journal(database), ANSWER_LIMIT).await.map(|_| ()),
        Some(format) => match sql::upgrade_journal(database, format) {
            None => Ok(()),
            Some(upgrade) => match lease.ask(&upgrade, ANSWER_LIMIT).await {
                Err(Trouble::Refused { error, .. }) if error.code == DUPLICATE_COLUMN => Ok(()),
                asked => asked.map(|_| ()),
            },
        },
    };
    let row = JournalRow::of_acceptance(acceptance);
    let message = format!(
        "START TRANSACTION; {}; {}; {}; COMMIT",
        sql::insert_journal(database, &row, &sql::literal(&began)),
        sql::set_snapshot(database, &acceptance.snapshot.to_text()),
        sql::forget_snapshots(database, &acceptance.run.run_id),
    );
    let written = match prepared {
        Ok(()) => transact(&mut lease, &message).await,
        Err(trouble) => Err(trouble),
    };
    server.give_back(lease).await;
    written.map_err(|trouble| unwritten(tenant, cause(trouble)))
}

/// Begins a session that writes to journals.
fn open() -> String {
    let wait = LOCK_WAIT.as_secs();
    format!(
        "SET NAMES utf8mb4; {}; SET SESSION lock_wait_timeout={wait}, innodb_lock_wait_timeout={wait}",
        sql::UNLIMITED
    )
}

/// Writes what is to be kept of these tenants, in one transaction; equal snapshots travel once.
async fn write(link: &mut Link, run: &RunIdentity, kept: &[&Keep<'_>]) -> Result<(), Trouble> {
    let mut alike: BTreeMap<String, Vec<&Keep<'_>>> = BTreeMap::new();
    for keep in kept {
        alike.entry(keep.record.to_owned()).or_default().push(keep);
    }
    let mut messages = vec![String::from("START TRANSACTION")];
    for (record, kept) in alike {
        let last = messages.last_mut().filter(|message| message.len() < MESSAGE);
        let message = match last {
            Some(message) => message,
            None => {
                messages.push(String::from("DO 0"));
                let end = messages.len() - 1;
                &mut messages[end]
            }
        };
        message.push_str(&format!("; {}", sql::remember_snapshot(&kept[0].snapshot.to_text())));
        for keep in kept {
            let database = keep.tenant.datasource.database();
            message.push_str(&format!("; {}", sql::keep_snapshot(database, &run.run_id, &record, keep.accepted)));
            message.push_str(&format!("; {}", sql::forget_snapshots(database, &run.run_id)));
        }
    }
    messages.push("COMMIT".to_owned());
    for message in messages {
        transact(link, &message).await?;
    }
    Ok(())
}

/// Sends a part of a transaction, and takes all of it back if that fails.
async fn transact(link: &mut Link, message: &str) -> Result<(), Trouble> {
    match link.ask(message, ANSWER_LIMIT).await {
        Ok(_) => Ok(()),
        Err(trouble) => {
            // Without an answer the connection is gone, and the transaction with it.
            let _ = link.ask("ROLLBACK", ANSWER_LIMIT).await;
            Err(trouble)
        }
    }
}

fn unwritten(tenant: &Tenant, cause: String) -> Diagnostic {
    let message = format!("the journal of tenant {} could not be written", tenant.name);
    Diagnostic::new(Code::JOURNAL_NOT_WRITTEN, message).cause(cause)
}
