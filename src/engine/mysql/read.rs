//! The survey: where many tenants of one server stand, in a number of questions that does not grow with them.
//!
//! One message asks the server about itself and which databases and tables there are; then one reads the rows of all
//! tenants. A message that fails is halved, so that one tenant's trouble stays its own. Writes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::changeset::Width;
use crate::engine::tables::{HISTORY, JOURNAL, TELLING, attempt, journal_format};
use crate::engine::{JournalFormat, Reading, Tables};
use crate::error::{Code, Diagnostic, Result};
use crate::history::{Attempt, Row};
use crate::tenant::{Access, Tenant};

use super::link::{ANSWER_LIMIT, Cells, Link, Sets, Trouble};
use super::{MySqlServer, NoSession, fault, sql};

/// How many tenants' tables are read with one statement.
const CHUNK: usize = 100;

/// How long the questions about one tenant are, at most, in bytes.
const TENANT_ROOM: usize = 4096;

/// The longest wait for a table that another session is altering.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Reads where tenants stand; one answer for each, in order.
pub(super) async fn read(server: &MySqlServer, tenants: &[&Tenant]) -> Vec<Result<Reading>> {
    by_access(tenants, |access, members| async move {
        match survey(server, access, &members).await {
            Ok(readings) => readings,
            Err(diagnostic) => members.iter().map(|_| Err(diagnostic.clone())).collect(),
        }
    })
    .await
}

/// Asks about tenants that share credentials together; one answer for each tenant, in order.
pub(super) async fn by_access<'t, T, F>(
    tenants: &[&'t Tenant],
    ask: impl Fn(&'t Arc<Access>, Vec<&'t Tenant>) -> F,
) -> Vec<T>
where
    F: Future<Output = Vec<T>>,
{
    let mut groups: Vec<(&'t Arc<Access>, Vec<usize>)> = Vec::new();
    for (at, tenant) in tenants.iter().enumerate() {
        match groups.iter_mut().find(|(access, _)| **access == tenant.access) {
            Some((_, group)) => group.push(at),
            None => groups.push((&tenant.access, vec![at])),
        }
    }
    let asked = groups.into_iter().map(|(access, group)| {
        let asked = ask(access, group.iter().map(|at| tenants[*at]).collect());
        async move { group.into_iter().zip(asked.await).collect::<Vec<_>>() }
    });
    let mut answers: Vec<_> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Reads a tenant's journal, newest first.
pub(super) async fn attempts(server: &MySqlServer, tenant: &Tenant, limit: u32) -> Result<Vec<Attempt>> {
    let database = tenant.datasource.database();
    let (mut lease, _) = server.session(&tenant.access, &open()).await.map_err(|none| server.unopened(none, tenant))?;
    let question = |format| sql::select_journal(database, format, 0, limit);
    let mut asked = lease.ask(&question(JournalFormat::Four), ANSWER_LIMIT).await;
    for older in [JournalFormat::Three, JournalFormat::Two, JournalFormat::One] {
        if matches!(&asked, Err(Trouble::Refused { error, .. }) if error.code == fault::NO_COLUMN) {
            asked = lease.ask(&question(older), ANSWER_LIMIT).await;
        }
    }
    if matches!(&asked, Err(Trouble::Refused { error, .. }) if error.code == fault::NO_TABLE) {
        // The server says the same of a table in a database that does not exist.
        asked = lease.ask(&format!("USE {}", sql::name(database)), ANSWER_LIMIT).await.map(|_| Sets::new());
    }
    server.give_back(lease).await;
    match asked {
        Ok(sets) => rows(sets).map(|(_, cells)| attempt(&tenant.name, &cells)).collect(),
        Err(trouble) => Err(server.trouble(trouble, tenant)),
    }
}

/// What the server says of itself.
struct Facts {
    version: String,
    read_only: Option<String>,
    folds_case: bool,
    /// The longest message that it takes, in bytes.
    max_packet: usize,
}

/// Our tables in a database: the type of the history's version column, and the columns that tell the journal's format.
#[derive(Default)]
struct Found {
    history: Option<Option<String>>,
    journal: Option<Vec<String>>,
}

async fn survey(server: &MySqlServer, access: &Arc<Access>, tenants: &[&Tenant]) -> Result<Vec<Result<Reading>>> {
    let asked = format!("{}; {}", open(), questions(tenants));
    let (mut lease, mut sets) = match server.session(access, &asked).await {
        Ok(opened) => opened,
        Err(NoSession::Unconnected(diagnostic)) => return Err(diagnostic),
        Err(NoSession::Trouble(Trouble::Lost(cause))) => return Err(server.connector.unreachable(&cause)),
        Err(NoSession::Trouble(Trouble::Refused { error, .. })) => {
            return Err(Diagnostic::new(Code::READ_FAILED, format!("server {} cannot be read", server.shown()))
                .cause(fault::server_words(&error)));
        }
    };
    let columns = sets.pop().unwrap_or_default();
    let schemata = sets.pop().unwrap_or_default();
    let facts = facts(sets.pop().unwrap_or_default());
    let fold = |name: &str| if facts.folds_case { name.to_lowercase() } else { name.to_owned() };
    let mut found: HashMap<String, Found> = schemata
        .into_iter()
        .filter_map(|row| row.into_iter().next()?)
        .map(|name| (fold(&name), Found::default()))
        .collect();
    for row in columns {
        let [Some(schema), Some(table), Some(column), Some(kind)] = &row[..] else { continue };
        let entry = found.entry(fold(schema)).or_default();
        match table.as_str() {
            JOURNAL => entry.journal.get_or_insert_default().push(column.clone()),
            HISTORY if column.eq_ignore_ascii_case("version") => entry.history = Some(Some(kind.clone())),
            HISTORY if entry.history.is_none() => entry.history = Some(None),
            _ => {}
        }
    }
    let link: &mut Link = &mut lease;
    let mut known = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        known.push(match found.get(&fold(tenant.datasource.database())) {
            Some(found) => tables(tenant, found),
            None => missing(server, link, tenant).await,
        });
    }
    let readings = read_all(server, link, &facts, tenants, known).await;
    server.give_back(lease).await;
    Ok(readings)
}

/// Opens a session for reading.
pub(super) fn open() -> String {
    format!("SET NAMES utf8mb4; SET SESSION lock_wait_timeout={}", LOCK_WAIT.as_secs())
}

fn questions(tenants: &[&Tenant]) -> String {
    let among = |column| sql::among(column, tenants.iter().map(|tenant| tenant.datasource.database()));
    format!(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'read_only', 'super_read_only', 'innodb_read_only', \
         'lower_case_table_names', 'max_allowed_packet'); \
         SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE {}; \
         SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS \
         WHERE {} AND TABLE_NAME IN ({}) \
         AND (ORDINAL_POSITION = 1 OR COLUMN_NAME IN ('version', '{}'))",
        among("SCHEMA_NAME"),
        among("TABLE_SCHEMA"),
        sql::literals([HISTORY, JOURNAL]),
        TELLING.join("', '")
    )
}

fn facts(variables: Vec<Cells>) -> Facts {
    let mut facts = Facts { version: String::new(), read_only: None, folds_case: false, max_packet: sql::SMALL_PACKET };
    for row in variables {
        let [Some(name), Some(value)] = &row[..] else { continue };
        match name.as_str() {
            "version" => facts.version = value.clone(),
            "lower_case_table_names" => facts.folds_case = value != "0",
            "max_allowed_packet" => facts.max_packet = value.parse().unwrap_or(facts.max_packet),
            _ if value == "OFF" => {}
            _ => facts.read_only = Some(format!("{name} is {value}")),
        }
    }
    facts
}

fn tables(tenant: &Tenant, found: &Found) -> Result<Tables> {
    let history = match found.history.as_ref().map(|kind| kind.as_deref()) {
        None => None,
        Some(Some("int")) => Some(Width::Int4),
        Some(Some("bigint")) => Some(Width::Int8),
        Some(other) => {
            let message = format!("the history of tenant {} cannot be read", tenant.name);
            let cause = match other {
                Some(kind) => format!("column version of {HISTORY} is of type {kind}, not int or bigint"),
                None => format!("{HISTORY} has no column version"),
            };
            return Err(Diagnostic::new(Code::READ_FAILED, message).cause(cause));
        }
    };
    let journal = found.journal.as_ref();
    let journal = journal.map(|columns| journal_format(|name| columns.iter().any(|column| column == name)));
    Ok(Tables { history, journal })
}

/// Asks why a database is not listed: it is not there, or the user has no right in it.
async fn missing(server: &MySqlServer, link: &mut Link, tenant: &Tenant) -> Result<Tables> {
    match link.ask(&format!("USE {}", sql::name(tenant.datasource.database())), ANSWER_LIMIT).await {
        Ok(_) => Ok(Tables { history: None, journal: None }),
        Err(trouble) => Err(server.trouble(trouble, tenant)),
    }
}

/// Reads the rows of these tenants; one answer for each.
async fn read_all(
    server: &MySqlServer,
    link: &mut Link,
    facts: &Facts,
    tenants: &[&Tenant],
    known: Vec<Result<Tables>>,
) -> Vec<Result<Reading>> {
    let readable: Vec<(usize, &Tenant, Tables)> = tenants
        .iter()
        .zip(&known)
        .enumerate()
        .filter_map(|(at, (tenant, tables))| tables.as_ref().ok().map(|tables| (at, *tenant, *tables)))
        .collect();
    let mut contents: HashMap<usize, Result<Contents>> = HashMap::new();
    let at_once = (facts.max_packet / TENANT_ROOM).saturating_sub(1).max(1);
    // A message that fails is halved until the tenant that it fails for is alone.
    let mut parts: Vec<_> = readable.chunks(at_once).collect();
    while let Some(part) = parts.pop() {
        match (ask(link, part).await, part) {
            (Ok(found), _) => contents.extend(found.into_iter().map(|(at, contents)| (at, Ok(contents)))),
            (Err(_), []) => {}
            (Err(trouble), [(at, tenant, _)]) => {
                contents.insert(*at, Err(server.trouble(trouble, tenant)));
            }
            (Err(_), _) => {
                let (one, other) = part.split_at(part.len() / 2);
                parts.extend([one, other]);
            }
        }
    }
    let reading = |(at, (tenant, tables)): (usize, (&&Tenant, Result<Tables>))| {
        let contents = contents.remove(&at).unwrap_or_else(|| Ok(Contents::default()));
        reading(facts, tenant, tables?, contents?)
    };
    tenants.iter().zip(known).enumerate().map(reading).collect()
}

/// The rows of one tenant's tables.
#[derive(Default)]
struct Contents {
    history: Vec<Cells>,
    last: Option<Cells>,
}

/// Reads the tables of these tenants with one message; the number before each is the key of its contents.
async fn ask(link: &mut Link, tenants: &[(usize, &Tenant, Tables)]) -> Result<HashMap<usize, Contents>, Trouble> {
    let with_history = tenants.iter().filter(|(_, _, tables)| tables.history.is_some());
    let histories: Vec<_> = with_history.map(|(at, t, _)| sql::select_history(t.datasource.database(), *at)).collect();
    let with_journal = tenants.iter().filter_map(|(at, tenant, tables)| Some((*at, tenant, tables.journal?)));
    let journals: Vec<_> = with_journal
        .map(|(at, tenant, format)| format!("({})", sql::select_journal(tenant.datasource.database(), format, at, 1)))
        .collect();
    let together = |selects: &[String]| selects.join(" UNION ALL ");
    let (of_histories, of_journals) = (histories.chunks(CHUNK).map(together), journals.chunks(CHUNK).map(together));
    let history_count = of_histories.len();
    let questions: Vec<String> = of_histories.chain(of_journals).collect();
    let mut contents: HashMap<usize, Contents> = HashMap::new();
    if questions.is_empty() {
        return Ok(contents);
    }
    let limit = ANSWER_LIMIT * u32::try_from(questions.len()).unwrap_or(u32::MAX);
    let mut histories = link.ask(&questions.join("; "), limit).await?;
    let journals = histories.split_off(history_count.min(histories.len()));
    for (at, cells) in rows(histories) {
        contents.entry(at).or_default().history.push(cells);
    }
    for (at, cells) in rows(journals) {
        contents.entry(at).or_default().last = Some(cells);
    }
    Ok(contents)
}

/// Takes the key off each row.
fn rows(sets: Sets) -> impl Iterator<Item = (usize, Cells)> {
    sets.into_iter().flatten().filter_map(|mut cells| {
        let key = (!cells.is_empty()).then(|| cells.remove(0)).flatten()?.parse().ok()?;
        Some((key, cells))
    })
}

fn reading(facts: &Facts, tenant: &Tenant, tables: Tables, contents: Contents) -> Result<Reading> {
    let row = |cells: Cells| {
        let mut cells = cells.into_iter();
        let mut next = || cells.next().flatten();
        Row { version: next(), name: next(), applied_on: next(), checksum: next() }
    };
    Ok(Reading {
        rows: contents.history.into_iter().map(row).collect(),
        tables,
        last: contents.last.map(|cells| attempt(&tenant.name, &cells)).transpose()?,
        server_version: facts.version.clone(),
        read_only: facts.read_only.clone(),
        folds_case: facts.folds_case,
    })
}
