//! What SQLite's errors mean: codes, causes, places and hints.

use rusqlite::ffi::{self, SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK};
use rusqlite::{Error, ErrorCode};

use super::brake::{Brake, Stopped};
use super::codes;
use super::fence::REFUSED;
use crate::engine::Order;
use crate::engine::stepwise::{RUN_LONGER, failed, place_at, place_of};
use crate::error::{Code, Diagnostic};
use crate::sql::Statement;

/// Makes the diagnostic of an order that SQLite refused to carry out.
pub(super) fn diagnose(order: &Order<'_>, brake: &Brake, error: &Error) -> Diagnostic {
    use ErrorCode as E;
    let (code, hint) = match kind(error) {
        Some(E::OperationInterrupted) if brake.stopped() == Some(Stopped::TimedOut) => {
            (Code::STATEMENT_TIMEOUT, RUN_LONGER)
        }
        Some(E::OperationInterrupted | E::DatabaseBusy | E::DatabaseLocked) if brake.is_cancelled() => {
            (Code::CANCELLED, "")
        }
        Some(E::DatabaseBusy | E::DatabaseLocked) => (
            Code::LOCK_TIMEOUT,
            "another connection holds the file: an application in a long transaction, a backup, or a `sqlite3` shell",
        ),
        Some(E::ReadOnly) => (Code::READ_ONLY, "let this user write to the file and to its folder"),
        Some(E::DiskFull) => (Code::CHANGESET_FAILED, "make room on the disk, or raise `PRAGMA max_page_count`"),
        Some(E::DatabaseCorrupt) => {
            (Code::CHANGESET_FAILED, "the file is damaged: look at `PRAGMA integrity_check`, and restore a backup")
        }
        Some(E::NotADatabase) => (Code::READ_FAILED, NOT_A_DATABASE),
        Some(E::CannotOpen) => (Code::UNREACHABLE, "let this user open the file, and write to its folder"),
        _ => (Code::CHANGESET_FAILED, ""),
    };
    let diagnostic = failed(order, code).cause(cause(error));
    if hint.is_empty() { diagnostic } else { diagnostic.hint(hint) }
}

/// As [`diagnose`], for a statement of the text: points at it, and into it where SQLite says where.
pub(super) fn in_statement(order: &Order<'_>, brake: &Brake, statement: &Statement<'_>, error: &Error) -> Diagnostic {
    let place = match offset(statement, error) {
        Some(offset) => place_at(order, statement.offset + offset),
        None => place_of(order, statement),
    };
    let diagnostic = match kind(error) {
        _ if is_refused(error) => {
            failed(order, Code::OUTSIDE).cause(cause(error)).cause(REFUSED).hint("take the statement out")
        }
        // The transaction has been granted: it is the text's own doing.
        Some(ErrorCode::ReadOnly) => failed(order, Code::CHANGESET_FAILED)
            .cause(cause(error))
            .hint("look for `PRAGMA query_only` in the text, and for a table that SQLite keeps for itself"),
        _ => diagnose(order, brake, error),
    };
    diagnostic.at(place)
}

/// Returns whether the fence refused the statement: for a function SQLite has only words.
fn is_refused(error: &Error) -> bool {
    kind(error) == Some(ErrorCode::AuthorizationForStatementDenied)
        || cause(error).contains("not authorized to use function")
}

/// Returns whether the same order may succeed in a moment.
pub(super) fn may_pass(diagnostic: &Diagnostic) -> bool {
    diagnostic.code() == Code::LOCK_TIMEOUT
}

/// Makes the diagnostic of a file that cannot be opened or read.
pub(super) fn unreadable(shown: &str, error: &Error) -> Diagnostic {
    use ErrorCode as E;
    let (code, message, hint) = match kind(error) {
        Some(E::NotADatabase) => (Code::READ_FAILED, "is not a database", NOT_A_DATABASE),
        Some(E::CannotOpen | E::PermissionDenied) => {
            (Code::UNREACHABLE, "cannot be opened", "let this user open the file and every folder above it")
        }
        Some(E::ReadOnly) => return unrecovered(shown, error),
        Some(E::DatabaseBusy | E::DatabaseLocked) => (
            Code::READ_FAILED,
            "is held by another connection",
            "try again; if it persists, look for an application with `locking_mode=EXCLUSIVE`",
        ),
        Some(E::DatabaseCorrupt) => {
            (Code::READ_FAILED, "is damaged", "look at `PRAGMA integrity_check`, and restore a backup")
        }
        _ => (Code::READ_FAILED, "cannot be read", "look at the file with the `sqlite3` shell"),
    };
    Diagnostic::new(code, format!("file {shown} {message}")).cause(cause(error)).hint(hint)
}

/// Makes the diagnostic of a file whose `-wal` or `-journal` must be worked off by somebody who may write.
pub(super) fn unrecovered(shown: &str, error: &Error) -> Diagnostic {
    Diagnostic::new(Code::READ_FAILED, format!("file {shown} must be recovered before it is read"))
        .cause(cause(error))
        .hint("its last writer died: open it once as a user who may write to the file and to its folder")
}

const NOT_A_DATABASE: &str =
    "correct the tenant's path; a file that SQLCipher or another tool has encrypted cannot be read";

/// Returns whether the file waits for a writer to complete what a killed one began.
pub(super) fn owes_recovery(error: &Error) -> bool {
    matches!(result_code(error).map(|e| e.extended_code), Some(SQLITE_READONLY_ROLLBACK | SQLITE_READONLY_RECOVERY))
}

/// Returns what sort of error it is, if SQLite reported it.
pub(super) fn kind(error: &Error) -> Option<ErrorCode> {
    result_code(error).map(|e| e.code)
}

/// As `Error::sqlite_error`, which passes over errors with an offset.
fn result_code(error: &Error) -> Option<&ffi::Error> {
    match error {
        Error::SqliteFailure(e, _) | Error::SqlInputError { error: e, .. } => Some(e),
        _ => None,
    }
}

/// Returns SQLite's own words: `SQLITE_ERROR (1): no such table: x`.
pub(super) fn cause(error: &Error) -> String {
    let words = match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        Error::InvalidParameterCount(_, _) => {
            return "the statement has parameters (`?`, `:name`, `@name`, `$name`), and there is nothing to bind"
                .into();
        }
        other => other.to_string(),
    };
    match result_code(error) {
        Some(e) => format!("{} ({}): {words}", codes::name(e.extended_code), e.extended_code),
        None => words,
    }
}

/// Returns the byte of the statement at which SQLite stumbled, if it says so.
///
/// <https://www.sqlite.org/c3ref/errcode.html> (`sqlite3_error_offset`)
fn offset(statement: &Statement<'_>, error: &Error) -> Option<usize> {
    let Error::SqlInputError { sql, offset, .. } = error else { return None };
    let before = statement.text.len().checked_sub(sql.len())?;
    let at = before + usize::try_from(*offset).ok()?;
    (at < statement.text.len()).then_some(at)
}
