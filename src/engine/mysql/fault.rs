//! The server's errors by their numbers, in our words.
//!
//! <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>,
//! <https://mariadb.com/kb/en/mariadb-error-code-reference/>. Never prints the driver's options: they hold the password.

use std::io::ErrorKind;

use mysql_async::{Error, IoError, ServerError};

use crate::engine::Order;
use crate::engine::stepwise::{Fault, RUN_LONGER, WAIT_LONGER, failed};
use crate::error::{Code, Diagnostic};
use crate::tenant::Tenant;

/// Whether the server, or the user's account there, has no connection free.
///
/// 1226 speaks of hourly limits too, which no waiting helps against; the limit's name is not translated.
pub(super) fn is_full(error: &ServerError) -> bool {
    matches!(error.code, 1040 | 1203) || (error.code == 1226 && error.message.contains("max_user_connections"))
}

/// A duplicate key.
pub(super) const DUPLICATE: u16 = 1062;

/// A column that does not exist.
pub(super) const NO_COLUMN: u16 = 1054;

/// A NULL where none may be.
pub(super) const NOT_NULL: u16 = 1048;

/// A column that is there already.
pub(super) const DUPLICATE_COLUMN: u16 = 1060;

/// A table that is not among those of LOCK TABLES.
pub(super) const NOT_LOCKED: u16 = 1100;

/// A table that does not exist.
pub(super) const NO_TABLE: u16 = 1146;

/// Why a running statement was ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Cancelled,
    Deadline,
}

/// Returns an error as the server says it: `1062 (23000): Duplicate entry …`.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Server(error) => server_words(error),
        // TLS and plain connections end with different words of the driver.
        Error::Io(IoError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
            "the server closed the connection".into()
        }
        Error::Io(IoError::Io(error)) => error.to_string(),
        other => other.to_string(),
    }
}

/// Returns a server's error as it says it.
pub(super) fn server_words(error: &ServerError) -> String {
    format!("{} ({}): {}", error.code, error.state, error.message)
}

/// Answers whether the connection is gone: shutdown, kill, idle limit, or the socket's end.
pub(super) fn is_lost(error: &Error) -> bool {
    match error {
        Error::Server(error) => matches!(error.code, 1053 | 1152 | 1184 | 1927 | 2006 | 2013 | 4031),
        _ => true,
    }
}

/// Answers whether a statement was ended from outside: by a limit, or by somebody's KILL QUERY.
pub(super) fn is_over(error: &ServerError) -> bool {
    matches!(error.code, 1317 | 1969 | 3024)
}

/// What a server's error means for a statement that it refused, and whether it may succeed in a moment.
fn meaning(error: &ServerError, ended: Option<Ended>) -> (Code, bool) {
    match (error.code, ended) {
        (1205 | 1213 | 3572, _) => (Code::LOCK_TIMEOUT, true),
        (1317, Some(Ended::Cancelled)) => (Code::CANCELLED, false),
        (1317, Some(Ended::Deadline)) | (1969 | 3024, _) => (Code::STATEMENT_TIMEOUT, false),
        (1044 | 1045 | 1142 | 1143 | 1227 | 1370, _) => (Code::NO_PRIVILEGE, false),
        (1836, _) => (Code::READ_ONLY, false),
        // 1290 names the option that stands in the way, and not each of them is about writing.
        (1290, _) if error.message.contains("read-only") || error.message.contains("read_only") => {
            (Code::READ_ONLY, false)
        }
        _ => (Code::CHANGESET_FAILED, false),
    }
}

/// Makes the fault of a statement that the server refused.
pub(super) fn refused(order: &Order<'_>, error: &ServerError, ended: Option<Ended>) -> Fault {
    let (code, retry) = meaning(error, ended);
    let diagnostic = failed(order, code).cause(server_words(error));
    let diagnostic = match code {
        Code::NO_PRIVILEGE => diagnostic.hint(format!(
            "grant what is missing to the user of tenant {} on {}",
            order.tenant.name,
            super::sql::name(order.tenant.datasource.database())
        )),
        Code::READ_ONLY => diagnostic.hint("name the server that takes writes, not a replica"),
        Code::LOCK_TIMEOUT => diagnostic.hint(
            format!("end the transaction that holds the lock (SHOW PROCESSLIST), then run `mtmigrate up` again; or {WAIT_LONGER}"),
        ),
        Code::STATEMENT_TIMEOUT => diagnostic.hint(RUN_LONGER),
        _ => diagnostic,
    };
    Fault::Refused { diagnostic, retry }
}

/// Makes the fault of a connection that is gone.
pub(super) fn lost(order: &Order<'_>, cause: String) -> Fault {
    Fault::Lost(failed(order, Code::OUTCOME_UNKNOWN).cause(cause))
}

/// Makes the diagnostic of a tenant whose database cannot be entered or read.
pub(super) fn unreadable(tenant: &Tenant, error: &ServerError) -> Diagnostic {
    let (who, database) = (&tenant.name, tenant.datasource.database());
    let quoted = super::sql::name(database);
    let diagnostic = match error.code {
        1049 => Diagnostic::new(Code::NO_DATABASE, format!("database {quoted} of tenant {who} does not exist")).hint(
            format!(
                "create it: CREATE DATABASE {quoted}; or correct `database:`. mtmigrate does not create it silently"
            ),
        ),
        1044 | 1142 | 1143 | 1227 | 1370 => {
            Diagnostic::new(Code::NO_PRIVILEGE, format!("the user of tenant {who} may not read database {quoted}"))
                .hint(format!("grant it: GRANT SELECT ON {quoted}.* TO …, or correct `database:`"))
        }
        _ => Diagnostic::new(Code::READ_FAILED, format!("the history of tenant {who} cannot be read")),
    };
    diagnostic.cause(server_words(error))
}

/// Returns the line that a syntax error names, from 1, counted from the start of the statement that failed.
pub(super) fn line(error: &ServerError) -> Option<usize> {
    let (_, number) = error.message.rsplit_once(" at line ")?;
    number.parse().ok().filter(|line| *line > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, message: &str) -> ServerError {
        ServerError { code, state: "HY000".into(), message: message.into() }
    }

    #[test]
    fn an_option_that_is_not_about_writing_does_not_make_a_server_read_only() {
        let of = |message| meaning(&error(1290, message), None).0;
        assert_eq!(of("running with the --read-only option so it cannot"), Code::READ_ONLY);
        assert_eq!(of("running with the --secure-file-priv option so it cannot"), Code::CHANGESET_FAILED);
    }

    #[test]
    fn an_interruption_is_ours_only_if_we_sent_it() {
        let of = |ended| meaning(&error(1317, "Query execution was interrupted"), ended).0;
        assert_eq!(of(Some(Ended::Cancelled)), Code::CANCELLED);
        assert_eq!(of(Some(Ended::Deadline)), Code::STATEMENT_TIMEOUT);
        assert_eq!(of(None), Code::CHANGESET_FAILED);
    }

    #[test]
    fn the_line_of_a_syntax_error_is_read_from_its_end() {
        assert_eq!(line(&error(1064, "… near ' at line 3' at line 12")), Some(12));
        assert_eq!(line(&error(1062, "Duplicate entry")), None);
    }
}
