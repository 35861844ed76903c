//! The statements that mtmigrate itself sends to PostgreSQL. Everything is qualified and quoted.

use std::fmt::Write as _;
use std::time::Duration;

use crate::changeset::Width;
use crate::engine::tables::{
    FLEET, HISTORY, JOURNAL, JOURNAL_ADDED, JOURNAL_COLUMNS, JOURNAL_FORMAT, JournalRow, SKIPPED, TRACE,
    applied_on_now, lacking, version_type,
};
use crate::engine::{JournalFormat, Order};

use super::probe;

/// Quotes an identifier, whatever characters it holds.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a literal so that it reads the same whatever `standard_conforming_strings` says.
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE>
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Returns a table of a schema, qualified.
pub(super) fn table(schema: &str, name: &str) -> String {
    format!("{}.{}", ident(schema), ident(name))
}

/// Returns the statements that make what an order's tenant lacks of our tables, each ended by `;\n`.
///
/// `IF NOT EXISTS` because the run lock does not keep refinery itself away.
pub(super) fn make_tables(order: &Order<'_>, schema: &str) -> String {
    let mut sql = String::new();
    match order.tables.history {
        None => sql.push_str(&make_history(schema, order.width)),
        Some(Width::Int4) if order.width == Width::Int8 => sql.push_str(&widen(order, schema)),
        Some(_) => {}
    }
    sql.push_str(&make_journal(order.tables.journal, schema));
    sql
}

/// refinery's own definition.
fn make_history(schema: &str, width: Width) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (version pg_catalog.{} PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255), \
         checksum VARCHAR(255));\n",
        table(schema, HISTORY),
        version_type(width),
    )
}

/// Turns a history that refinery's default build made into one of its `int8-versions` build.
fn widen(order: &Order<'_>, schema: &str) -> String {
    let history = table(schema, HISTORY);
    let mut sql = format!("ALTER TABLE {history} ALTER COLUMN version TYPE pg_catalog.int8;\n");
    if !order.rewrite.is_empty() {
        let cases = order
            .rewrite
            .iter()
            .map(|(version, checksum)| format!("WHEN version OPERATOR(pg_catalog.=) {version} THEN '{checksum}'"));
        let cases = cases.collect::<Vec<_>>().join(" ");
        let _ = writeln!(sql, "UPDATE {history} SET checksum = CASE {cases} ELSE checksum END;");
    }
    sql
}

/// Makes the session's own role the current one again, for a text may have set another that may not write our tables.
/// For the transaction only, and with DEFAULT, not NONE: `ALTER ROLE … SET role` may have given the session its role.
/// <https://www.postgresql.org/docs/current/sql-set-role.html>
pub(super) const OWN_ROLE: &str = "SET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET LOCAL role TO DEFAULT;\n";

/// Makes names in the statements after it mean the system's, whatever stands in the tenant's schema: a session's own
/// settings (`ALTER ROLE … SET search_path = x, pg_catalog`) may put another schema first, whose operators and functions
/// would then be called with our rights. For the transaction only.
/// <https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS>
pub(super) const PG_CATALOG_ALONE: &str = "SET LOCAL search_path = pg_catalog, pg_temp;\n";

/// Makes the search_path what the session began with.
pub(super) const OWN_PATH: &str = "SET LOCAL search_path TO DEFAULT;\n";

/// Lets a new transaction write, whatever the text made of `default_transaction_read_only`. Before any query.
pub(super) const WRITABLE: &str = "SET LOCAL transaction_read_only = off;\n";

/// Does `own` as the user that connected, then takes the text's user and role again: its transaction may still be open.
pub(super) fn under_own_role(own: &str) -> String {
    format!(
        "{WRITABLE}\
         SELECT pg_catalog.set_config('mtmigrate.role', pg_catalog.current_setting('role'), true), \
         pg_catalog.set_config('mtmigrate.user', session_user::pg_catalog.text, true);\n\
         {OWN_ROLE}\
         {own}\
         SELECT pg_catalog.set_config('session_authorization', pg_catalog.current_setting('mtmigrate.user'), true);\n\
         SELECT pg_catalog.set_config('role', pg_catalog.current_setting('mtmigrate.role'), true);\n"
    )
}

/// Returns the statement that makes the journal of this format, whatever of it is there. Empty where all is.
pub(super) fn make_journal(there: Option<JournalFormat>, schema: &str) -> String {
    match there {
        None => new_journal(schema),
        Some(JournalFormat::Four) => String::new(),
        Some(older) => {
            let added = lacking(older).iter().map(|name| format!("ADD COLUMN IF NOT EXISTS {name} text"));
            format!("ALTER TABLE {} {};\n", table(schema, JOURNAL), added.collect::<Vec<_>>().join(", "))
        }
    }
}

fn new_journal(schema: &str) -> String {
    let added = JOURNAL_ADDED.map(|name| format!("{name} pg_catalog.text"));
    format!(
        "CREATE TABLE IF NOT EXISTS {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, format smallint NOT NULL, \
         run_id varchar(36) NOT NULL, action varchar(16) NOT NULL, version bigint NOT NULL, name varchar(255) NOT NULL, \
         checksum varchar(20) NOT NULL, outcome varchar(16) NOT NULL, statement_no integer, statements integer, \
         prefix varchar(16), who varchar(255) NOT NULL, host varchar(255) NOT NULL, tool varchar(64) NOT NULL, \
         started_at timestamp with time zone NOT NULL, finished_at timestamp with time zone NOT NULL, \
         duration_ms bigint NOT NULL, error pg_catalog.text, {});\n",
        table(schema, JOURNAL),
        added.join(", "),
    )
}

/// Returns the history row's statement. The version is NULL, and the primary key refuses it, unless the session's
/// first schema is the tenant's: one statement asserts and inserts.
pub(super) fn insert_history(order: &Order<'_>, schema: &str) -> String {
    format!(
        "INSERT INTO {} (version, name, applied_on, checksum) VALUES (CASE WHEN pg_catalog.current_schema() OPERATOR(pg_catalog.=) {} \
         THEN {} END, {}, {}, '{}');\n",
        table(schema, HISTORY),
        literal(schema),
        order.changeset.version,
        literal(&order.changeset.name),
        literal(&applied_on_now()),
        order.text.checksum(order.width),
    )
}

/// Takes a text's role, path, limits and read-only default away for one transaction of ours; stands first in its message.
/// <https://www.postgresql.org/docs/current/sql-set-transaction.html>
pub(super) const AS_WE_CAME_FOR_NOW: &str = "SET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET LOCAL ROLE TO DEFAULT;\n\
    SET LOCAL search_path = pg_catalog, pg_temp;\n\
    SET LOCAL transaction_read_only = off;\nSET LOCAL statement_timeout = 60000;\nSET LOCAL lock_timeout = 60000;\n";

/// Returns a statement that fails (22P02, in words) unless the history has the order's row: its text may have removed
/// it. Nothing in it is constant, or the planner would make it fail always.
pub(super) fn assert_history(order: &Order<'_>, schema: &str) -> String {
    format!(
        "SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) 0 THEN pg_catalog.concat('the text removed its own row \
         from {HISTORY}, rows left: ', pg_catalog.count(*))::integer END \
         FROM {} WHERE version OPERATOR(pg_catalog.=) {};\n",
        table(schema, HISTORY),
        order.changeset.version
    )
}

/// Returns a journal row's statement. `started` is an SQL expression: the transaction's start, or a stored time.
///
/// One row of VALUES without the columns that are NULL, and no arithmetic with `numeric`: a SELECT with a FROM costs the
/// server more than the row itself, and this statement is in each changeset's message.
pub(super) fn insert_journal(row: &JournalRow<'_>, schema: &str, started: &str) -> String {
    let (columns, values) = journal_row(row, schema, started);
    format!("INSERT INTO {} ({columns}) VALUES ({values});\n", table(schema, JOURNAL))
}

/// As [`insert_journal`], only where this condition holds.
pub(super) fn insert_journal_where(row: &JournalRow<'_>, schema: &str, started: &str, condition: &str) -> String {
    let (columns, values) = journal_row(row, schema, started);
    format!("INSERT INTO {} ({columns}) SELECT {values} WHERE {condition};\n", table(schema, JOURNAL))
}

/// Returns a journal row's columns and their values, without those that are NULL.
fn journal_row(row: &JournalRow<'_>, schema: &str, started: &str) -> (String, String) {
    const NOW: &str = "pg_catalog.clock_timestamp()";
    let (mut columns, mut values) = (String::new(), String::new());
    let mut put = |column: &str, value: Option<String>| {
        if let Some(value) = value {
            let comma = if columns.is_empty() { "" } else { ", " };
            let _ = write!(columns, "{comma}{column}");
            let _ = write!(values, "{comma}{value}");
        }
    };
    let mark = row.statement.as_ref();
    for column in JOURNAL_COLUMNS {
        let value = match column {
            "format" => Some(JOURNAL_FORMAT.to_string()),
            "run_id" => Some(literal(&row.run.run_id)),
            "action" => Some(format!("'{}'", row.action)),
            "version" => Some(row.version.to_string()),
            "name" => Some(literal(row.name)),
            "checksum" => Some(format!("'{}'", row.checksum)),
            "outcome" => Some(format!("'{}'", row.outcome.as_str())),
            "statement_no" => mark.map(|mark| mark.statement_no.to_string()),
            "statements" => mark.map(|mark| mark.statements.to_string()),
            "prefix" => mark.map(|mark| literal(&mark.prefix)),
            "who" => Some(literal(&row.run.who)),
            "host" => Some(literal(&row.run.host)),
            "tool" => Some(literal(&row.run.tool)),
            "started_at" => Some(started.to_owned()),
            "finished_at" => Some(NOW.to_owned()),
            "duration_ms" => Some(format!(
                "(pg_catalog.date_part('epoch', {NOW} OPERATOR(pg_catalog.-) {started}) OPERATOR(pg_catalog.*) 1000)::bigint"
            )),
            "error" => row.error.as_deref().map(literal),
            "fingerprint" => row.fingerprint.map(literal),
            "accepted" => row.accepted.map(literal),
            TRACE => row.trace.as_ref().map(|traced| probe::trace(schema, traced)),
            SKIPPED => row.skipped.as_deref().map(literal),
            FLEET => row.fleet().map(literal),
            _ => None,
        };
        put(column, value);
    }
    (columns, values)
}

/// Returns the journal's columns as text, times in RFC 3339; NULL for what its format lacks.
pub(super) fn journal_columns(format: JournalFormat) -> String {
    let column = |name: &&str| match *name {
        name if lacking(format).contains(&name) => "NULL::text".to_owned(),
        "started_at" | "finished_at" => {
            format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        _ => format!("{name}::text"),
    };
    let columns: Vec<String> = JOURNAL_COLUMNS.iter().map(column).collect();
    format!("id::text, {}", columns.join(", "))
}

/// Returns settings of a session or of a transaction, each ended by `;\n`.
pub(super) struct Settings<'s> {
    /// `SET LOCAL` or `SET`.
    pub verb: &'static str,
    /// The tenant's own schema, if it has one.
    pub search_path: Option<&'s str>,
    pub lock_timeout: Duration,
    pub statement_timeout: Duration,
    /// Whether the server can notice that its client died.
    pub checks_client: bool,
}

impl Settings<'_> {
    /// Returns the statements.
    pub fn sql(&self) -> String {
        let Self { verb, .. } = self;
        let mut sql = format!(
            "{verb} lock_timeout = {};\n{verb} statement_timeout = {};\n",
            millis(self.lock_timeout),
            millis(self.statement_timeout),
        );
        if self.checks_client {
            // A killed runner's backend would go on, holding its locks.
            // https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-CLIENT-CONNECTION-CHECK-INTERVAL
            let _ = writeln!(sql, "{verb} client_connection_check_interval = 500;");
        }
        if let Some(schema) = self.search_path {
            let _ = writeln!(sql, "{verb} search_path = {};", ident(schema));
        }
        sql
    }
}

/// Returns whole milliseconds, at least 1 for anything over zero, since 0 means no limit to the server.
fn millis(duration: Duration) -> u128 {
    match duration.as_millis() {
        0 if !duration.is_zero() => 1,
        whole => whole.min(i32::MAX as u128),
    }
}

/// Returns how many statements of ours a piece of SQL made here has: each ends its own line.
pub(super) fn count_statements(sql: &str) -> usize {
    sql.lines().filter(|line| line.ends_with(';')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        assert_eq!(table("x\"; DROP SCHEMA y; --", "t"), "\"x\"\"; DROP SCHEMA y; --\".\"t\"");
        assert_eq!(literal("a'b\\'c"), "E'a''b\\\\''c'");
    }

    #[test]
    fn a_limit_below_a_millisecond_is_not_read_as_no_limit() {
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_secs(1 << 40)), i32::MAX as u128);
    }
}
