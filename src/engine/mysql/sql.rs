//! Quoting, and the statements that are ours.
//!
//! Pure. Every statement means the same under any `sql_mode`, character set and current database that a text may
//! have left behind: identifiers stand in backticks, literals are hexadecimal, and tables bear their database's name.

use std::fmt::Write;
use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::changeset::{Version, Width};
use crate::engine::tables::{
    FLEET, HISTORY, JOURNAL, JOURNAL_ADDED, JOURNAL_COLUMNS, JOURNAL_FORMAT, JournalRow, SKIPPED, SNAPSHOT, TRACE,
    applied_on_now, lacking, version_type,
};
use crate::engine::{JournalFormat, RunIdentity};
use crate::history::AttemptOutcome;
use crate::sql::Probe;
use crate::tenant::Limits;

use super::probe;

/// The longest wait that the servers take, in seconds: a year.
/// <https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_lock_wait_timeout>
pub(super) const FOREVER_S: u64 = 31_536_000;

/// How many names one list has, at most, where it depends on the tenants how many there are.
const LISTED: usize = 500;

/// Quotes an identifier. Backticks quote under every `sql_mode`, `ANSI_QUOTES` included.
/// <https://dev.mysql.com/doc/refman/8.4/en/identifiers.html>
pub(super) fn name(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

/// Writes a text as a literal that no `sql_mode` and no `SET NAMES` reads otherwise: in hexadecimal, or as it is if no
/// byte of it could end or escape anything, which the server reads faster.
/// <https://dev.mysql.com/doc/refman/8.4/en/hexadecimal-literals.html>
pub(super) fn literal(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" _-.,:+/".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return format!("_utf8mb4'{text}'");
    }
    let mut made = String::with_capacity(12 + 2 * text.len());
    made.push_str("_utf8mb4 x'");
    for byte in text.bytes() {
        // Writing to a String cannot fail.
        let _ = write!(made, "{byte:02x}");
    }
    made.push('\'');
    made
}

/// Writes several texts as a list of literals.
pub(super) fn literals<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().map(literal).collect::<Vec<_>>().join(",")
}

/// The longest message that every server takes unless somebody made it shorter, in bytes.
pub(super) const SMALL_PACKET: usize = 1 << 20;

/// Writes the condition that a column of the catalogs holds one of these names.
///
/// Several lists, as MariaDB makes a join of a list of 1,000, and then opens the tables of all databases.
/// <https://mariadb.com/kb/en/conversion-of-big-in-predicates-into-subqueries/>
pub(super) fn among<'t>(column: &str, names: impl IntoIterator<Item = &'t str>) -> String {
    let names: Vec<String> = names.into_iter().map(literal).collect();
    let lists = names.chunks(LISTED).map(|names| format!("{column} IN ({})", names.join(",")));
    format!("({})", lists.collect::<Vec<_>>().join(" OR "))
}

/// Names a table of ours in a tenant's database.
pub(super) fn table(database: &str, table: &str) -> String {
    format!("{}.{}", name(database), name(table))
}

/// Returns what `SET` is told for an order: its limits.
///
/// Executable comments carry each server's own limit of a statement's run: MariaDB's of any statement
/// (<https://mariadb.com/kb/en/aborting-statements/>), MySQL's of a SELECT
/// (<https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_max_execution_time>).
pub(super) fn settings(limits: &Limits) -> String {
    let lock_s = match limits.lock_timeout {
        Duration::ZERO => FOREVER_S,
        wait => (wait.as_millis().div_ceil(1000) as u64).clamp(1, FOREVER_S),
    };
    let run = limits.statement_timeout.min(Duration::from_secs(FOREVER_S));
    let (run_s, run_ms) = (run.as_secs_f64(), run.as_millis().min(u128::from(u32::MAX)));
    format!(
        "NAMES utf8mb4, SESSION wait_timeout={FOREVER_S}, lock_wait_timeout={lock_s}, \
         innodb_lock_wait_timeout={lock_s} /*M!100101 , max_statement_time={run_s:.6} */ \
         /*!50708 , max_execution_time={run_ms} */"
    )
}

/// Enters the tenant's database with an order's settings, then makes these statements; answers in its last result with the
/// current database, `sql_mode`, `max_allowed_packet`, the server's clock and whether statements commit by themselves.
pub(super) fn enter(database: &str, limits: &Limits, opening: &[String]) -> String {
    let opening: String = opening.iter().map(|statement| format!("{statement}; ")).collect();
    format!(
        "USE {}; SET {}; {opening}SELECT DATABASE(), @@sql_mode, @@max_allowed_packet, UTC_TIMESTAMP(6), @@autocommit",
        name(database),
        settings(limits)
    )
}

/// The longest wait for a work lock, in seconds: shorter than that for the answer.
const WORK_WAIT_S: u128 = 50;

/// Returns the expression of a database's work lock: held by every session that runs a text there, until it ends. So
/// nobody runs the rest of a text while the session of a dead run is still at one of its statements.
pub(super) fn work_lock(database: &str) -> String {
    let [exact, folded] = [false, true].map(|folds| literal(&lock_name("mtmigrate:work:", database, folds)));
    format!("IF(@@lower_case_table_names = 0, {exact}, {folded})")
}

/// Takes the work lock, waiting as long as the text may wait for a lock; answers with 1, and with who holds it. In a
/// second result the journal's last row, number and run; without a journal, its name if it is there all the same.
/// <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html#function_get-lock>
pub(super) fn begin_work(database: &str, limits: &Limits, journal: Option<JournalFormat>) -> String {
    let wait = match limits.lock_timeout {
        Duration::ZERO => WORK_WAIT_S,
        wait => wait.as_millis().div_ceil(1000).min(WORK_WAIT_S),
    };
    let lock = work_lock(database);
    let last = match journal {
        Some(_) => select_journal_end(database),
        None => format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(database),
            literal(JOURNAL)
        ),
    };
    format!("SELECT GET_LOCK({lock}, {wait}), IS_USED_LOCK({lock}); {last}")
}

/// Gives the work lock back.
pub(super) fn end_work(database: &str) -> String {
    format!("DO RELEASE_LOCK({})", work_lock(database))
}

/// Returns the condition that the journal's last row is the one that the run read, or this run's about an older version.
pub(super) fn is_unmoved(database: &str, run_id: &str, version: i64, known: Option<i64>) -> String {
    let journal = table(database, JOURNAL);
    let own = format!("`run_id` = {} AND `version` < {version}", literal(run_id));
    // In a table of its own, as the servers do not read a table that they write to (1093).
    let of_last = |condition: &str| {
        format!(
            "(SELECT {condition} FROM (SELECT `id`, `run_id`, `version` FROM {journal} ORDER BY `id` DESC LIMIT 1) AS `last`)"
        )
    };
    match known {
        Some(id) => of_last(&format!("`id` = {id} OR {own}")),
        None => format!("COALESCE({}, TRUE)", of_last(&own)),
    }
}

/// Reads number, run and version of the journal's last row.
pub(super) fn select_journal_end(database: &str) -> String {
    let columns = ["id", "run_id", "version"].map(as_text).join(", ");
    format!("SELECT {columns} FROM {} ORDER BY `id` DESC LIMIT 1", table(database, JOURNAL))
}

/// Returns the name of a lock of a database: what it is for, and 32 hexadecimal digits of SipHash-1-3-128 with zero keys
/// over the name's bytes; in lower case where the server folds database names.
///
/// A run of one version of mtmigrate must see the lock of another, so this can never change. Hashed because a lock's
/// name has at most 64 characters, as many as a database's.
pub(super) fn lock_name(purpose: &str, database: &str, folds_case: bool) -> String {
    let mut hasher = SipHasher13::new();
    match folds_case {
        true => hasher.write(database.to_lowercase().as_bytes()),
        false => hasher.write(database.as_bytes()),
    }
    format!("{purpose}{:032x}", hasher.finish128().as_u128())
}

/// The engine and the character set of our tables, whatever the defaults are: history and journal are written in one
/// transaction, and names are Unicode.
const TABLE_OPTIONS: &str = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4";

/// Takes the limit of a statement's run off the session: what we write after a text must not be ended by it.
pub(super) const UNLIMITED: &str = "SET SESSION wait_timeout=31536000 /*M!100101 , max_statement_time=0 */";

/// Makes refinery's table.
pub(super) fn create_history(database: &str, width: Width) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (version {} PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), \
         checksum VARCHAR(255)) {TABLE_OPTIONS}",
        table(database, HISTORY),
        version_type(width)
    )
}

/// Makes room for versions over 32 bits.
pub(super) fn widen_history(database: &str) -> String {
    format!("ALTER TABLE {} MODIFY version {} NOT NULL", table(database, HISTORY), version_type(Width::Int8))
}

/// Gives versions that a narrow history may hold the checksums of a wide one. Both are read as the same text.
pub(super) fn rewrite_checksums(database: &str, rewrite: &[(Version, u64)]) -> Option<String> {
    if rewrite.is_empty() {
        return None;
    }
    let cases = rewrite.iter().map(|(version, checksum)| format!("WHEN {version} THEN '{checksum}'"));
    let cases = cases.collect::<Vec<_>>().join(" ");
    Some(format!("UPDATE {} SET `checksum` = CASE `version` {cases} ELSE `checksum` END", table(database, HISTORY)))
}

/// Makes the journal.
pub(super) fn create_journal(database: &str) -> String {
    let first = JOURNAL_COLUMNS.into_iter().filter(|column| !JOURNAL_ADDED.contains(column));
    let columns: Vec<String> = first.chain(JOURNAL_ADDED).map(journal_column).collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {} (`id` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, {}) {TABLE_OPTIONS}",
        table(database, JOURNAL),
        columns.join(", ")
    )
}

/// Gives an older journal the columns that it lacks; nothing for one that lacks none. Where it has them, the server says
/// [`DUPLICATE_COLUMN`](super::fault::DUPLICATE_COLUMN): MySQL knows no `IF NOT EXISTS` here.
pub(super) fn upgrade_journal(database: &str, from: JournalFormat) -> Option<String> {
    let columns = lacking(from).iter().map(|column| format!("ADD COLUMN {}", journal_column(column)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    (!columns.is_empty()).then(|| format!("ALTER TABLE {} {columns}", table(database, JOURNAL)))
}

/// Asks which columns a database's journal has; no row without a journal.
pub(super) fn select_journal_columns(database: &str) -> String {
    format!(
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(database),
        literal(JOURNAL)
    )
}

fn journal_column(column: &str) -> String {
    format!("{} {}", name(column), journal_type(column))
}

fn journal_type(column: &str) -> &'static str {
    match column {
        "format" => "SMALLINT NOT NULL",
        "version" | "duration_ms" => "BIGINT NOT NULL",
        "statement_no" | "statements" => "INT UNSIGNED NULL",
        "started_at" | "finished_at" => "DATETIME(6) NOT NULL",
        "prefix" | "fingerprint" | FLEET => "VARCHAR(255) NULL",
        "accepted" | SNAPSHOT | TRACE | SKIPPED => "LONGTEXT NULL",
        "error" => "TEXT NULL",
        _ => "VARCHAR(255) NOT NULL",
    }
}

/// Records a changeset as applied, as refinery does.
pub(super) fn insert_history(database: &str, row: &JournalRow<'_>) -> String {
    format!(
        "INSERT INTO {} (`version`, `name`, `applied_on`, `checksum`) VALUES ({}, {}, {}, {})",
        table(database, HISTORY),
        row.version,
        literal(row.name),
        literal(&applied_on_now()),
        literal(&row.checksum.to_string()),
    )
}

/// As [`insert_history`], of a changeset that is skipped: refused (1048) unless the session is in the database and this
/// holds.
pub(super) fn insert_history_if(database: &str, row: &JournalRow<'_>, condition: &str) -> String {
    format!(
        "INSERT INTO {} (`version`, `name`, `applied_on`, `checksum`) \
         VALUES (IF(DATABASE() = {} AND {condition}, {}, NULL), {}, {}, {})",
        table(database, HISTORY),
        literal(database),
        row.version,
        literal(row.name),
        literal(&applied_on_now()),
        literal(&row.checksum.to_string()),
    )
}

/// Writes a journal row; `began` is an expression of when the order began, by the server's clock.
pub(super) fn insert_journal(database: &str, row: &JournalRow<'_>, began: &str) -> String {
    insert_journal_if(database, row, began, &Provided::default())
}

/// What an intent's row relies on.
pub(super) struct Provided<'p> {
    /// What must hold; else the row is refused, with what follows in its message.
    pub condition: Option<String>,
    /// Which things are known to be absent without a question.
    pub is_absent: &'p dyn Fn(&Probe) -> bool,
}

impl Default for Provided<'_> {
    fn default() -> Self {
        Self { condition: None, is_absent: &|_| false }
    }
}

/// Writes a journal row; an intent's with what it relies on.
pub(super) fn insert_journal_if(database: &str, row: &JournalRow<'_>, began: &str, provided: &Provided<'_>) -> String {
    const NOW: &str = "UTC_TIMESTAMP(6)";
    let began = match row.outcome {
        AttemptOutcome::Started => NOW,
        _ => began,
    };
    let duration = match row.outcome {
        AttemptOutcome::Started => "0".to_owned(),
        _ => format!("TIMESTAMPDIFF(MICROSECOND, {began}, {NOW}) DIV 1000"),
    };
    let text = |text: Option<&str>| text.map_or("NULL".to_owned(), literal);
    let number = |number: Option<u32>| number.map_or("NULL".to_owned(), |n| n.to_string());
    let mark = row.statement.as_ref();
    let values = JOURNAL_COLUMNS.map(|column| match column {
        "fingerprint" => text(row.fingerprint),
        "accepted" => text(row.accepted),
        SKIPPED => text(row.skipped.as_deref()),
        FLEET => text(row.fleet()),
        TRACE => {
            row.trace.as_ref().map_or("NULL".to_owned(), |traced| probe::trace(database, traced, provided.is_absent))
        }
        "format" => JOURNAL_FORMAT.to_string(),
        "run_id" => literal(&row.run.run_id),
        "action" => literal(row.action),
        // A text may leave its database by code (EXECUTE IMMEDIATE 'USE …'): the next statement's intent then fails, and
        // with it the statement, for the column takes no NULL.
        "version" if row.outcome == AttemptOutcome::Started => {
            let condition = provided.condition.as_ref().map_or(String::new(), |condition| format!(" AND {condition}"));
            format!("IF(DATABASE() = {}{condition}, {}, NULL)", literal(database), row.version)
        }
        "version" => row.version.to_string(),
        "name" => literal(row.name),
        "checksum" => literal(&row.checksum.to_string()),
        "outcome" => literal(row.outcome.as_str()),
        "statement_no" => number(mark.map(|m| m.statement_no)),
        "statements" => number(mark.map(|m| m.statements)),
        "prefix" => text(mark.map(|m| m.prefix.as_str())),
        "who" => literal(&row.run.who),
        "host" => literal(&row.run.host),
        "tool" => literal(&row.run.tool),
        "started_at" => began.to_owned(),
        "finished_at" => NOW.to_owned(),
        "duration_ms" => duration.clone(),
        _ => text(row.error.as_deref()),
    });
    format!(
        "INSERT INTO {} ({}) VALUES ({})",
        table(database, JOURNAL),
        JOURNAL_COLUMNS.map(name).join(", "),
        values.join(", ")
    )
}

/// Reads a history; every row begins with `key`, and every value is text.
pub(super) fn select_history(database: &str, key: usize) -> String {
    let columns = ["version", "name", "applied_on", "checksum"].map(as_text).join(", ");
    format!("SELECT {key}, {columns} FROM {}", table(database, HISTORY))
}

/// Reads a journal's last rows, newest first: `key`, the row's number, and [`JOURNAL_COLUMNS`], all as text; NULL for
/// those that its format does not have.
pub(super) fn select_journal(database: &str, format: JournalFormat, key: usize, limit: u32) -> String {
    let column = |name| match name {
        _ if lacking(format).contains(&name) => "CAST(NULL AS CHAR)".to_owned(),
        "started_at" | "finished_at" => format!("DATE_FORMAT({}, '%Y-%m-%dT%H:%i:%s.%fZ')", self::name(name)),
        _ => as_text(name),
    };
    let columns = JOURNAL_COLUMNS.map(column).join(", ");
    format!(
        "SELECT {key}, {}, {columns} FROM {} ORDER BY `id` DESC LIMIT {limit}",
        as_text("id"),
        table(database, JOURNAL)
    )
}

/// Reads the schema that a journal keeps; nothing if none.
pub(super) fn select_snapshot(database: &str) -> String {
    let column = name(SNAPSHOT);
    let journal = table(database, JOURNAL);
    format!("SELECT {column} FROM {journal} WHERE {column} IS NOT NULL ORDER BY `id` DESC LIMIT 1")
}

/// Sends a snapshot that several journals are to keep.
pub(super) fn remember_snapshot(text: &str) -> String {
    format!("SET @mtmigrate_snapshot = {}", literal(text))
}

/// Gives the journal's last row, if it is this run's, the snapshot that was sent before.
pub(super) fn keep_snapshot(database: &str, run_id: &str, fingerprint: &str, accepted: Option<&str>) -> String {
    format!(
        "UPDATE {} SET `fingerprint` = {}, `accepted` = {}, {} = @mtmigrate_snapshot WHERE `id` = {}",
        table(database, JOURNAL),
        literal(fingerprint),
        accepted.map_or("NULL".to_owned(), literal),
        name(SNAPSHOT),
        last_row_of(database, run_id)
    )
}

/// Gives the row that this session has just inserted its snapshot.
pub(super) fn set_snapshot(database: &str, text: &str) -> String {
    let (journal, column) = (table(database, JOURNAL), name(SNAPSHOT));
    format!("UPDATE {journal} SET {column} = {} WHERE `id` = LAST_INSERT_ID()", literal(text))
}

/// Takes the snapshots off all rows but the last, if that is this run's.
pub(super) fn forget_snapshots(database: &str, run_id: &str) -> String {
    let (journal, column) = (table(database, JOURNAL), name(SNAPSHOT));
    let last = last_row_of(database, run_id);
    format!("UPDATE {journal} SET {column} = NULL WHERE {column} IS NOT NULL AND `id` < {last}")
}

/// Finds the journal's last row, if it is this run's: NULL otherwise. In tables of its own, as the servers do not read
/// a table that they update (1093).
fn last_row_of(database: &str, run_id: &str) -> String {
    let journal = table(database, JOURNAL);
    format!(
        "(SELECT `id` FROM (SELECT `id`, `run_id` FROM {journal} ORDER BY `id` DESC LIMIT 1) AS `last` \
         WHERE `run_id` = {})",
        literal(run_id)
    )
}

/// Reads which statement a run journalled last of a version; nothing if none.
pub(super) fn select_last_intent(database: &str, run: &RunIdentity, version: i64) -> String {
    format!(
        "SELECT {} FROM {} WHERE `run_id` = {} AND `version` = {version} ORDER BY `id` DESC LIMIT 1",
        as_text("statement_no"),
        table(database, JOURNAL),
        literal(&run.run_id)
    )
}

/// Casts a column to the session's character set: a UNION of columns that differ there is refused otherwise (1271).
fn as_text(column: &str) -> String {
    format!("CAST({} AS CHAR)", name(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_one_identifier_and_a_hostile_text_one_literal() {
        assert_eq!(name("x`; DROP DATABASE y; --"), "`x``; DROP DATABASE y; --`");
        assert_eq!(literal("a'\\"), "_utf8mb4 x'61275c'");
        assert_eq!(literal(""), "_utf8mb4 x''");
    }

    #[test]
    fn limits_are_whole_seconds_of_at_least_one_and_zero_waits_as_long_as_the_server_can() {
        let enter = |lock_ms, run_ms| {
            let limits = Limits {
                lock_timeout: Duration::from_millis(lock_ms),
                statement_timeout: Duration::from_millis(run_ms),
                ..Limits::default()
            };
            enter("d", &limits, &[])
        };
        assert!(enter(1, 0).contains(" lock_wait_timeout=1,"));
        assert!(enter(5001, 0).contains(" lock_wait_timeout=6,"));
        assert!(enter(0, 0).contains(" lock_wait_timeout=31536000,"));
        assert!(enter(0, 1500).contains("max_statement_time=1.500000 "));
        assert!(enter(0, 1500).contains("max_execution_time=1500 "));
    }
}
