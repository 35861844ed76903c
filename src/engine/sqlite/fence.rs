//! The fence: a text reaches its own tenant's file, and no other.
//!
//! SQLite asks an authorizer about everything that a statement wants, when it is prepared; triggers, views and the
//! statements that `VACUUM INTO` runs by itself included. <https://www.sqlite.org/c3ref/set_authorizer.html>

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ffi};

/// Pragmas that reach further than the connection and its file, or make SQLite trust what is written into its schema.
/// The limits of the heap and the directories are the whole process's. <https://www.sqlite.org/pragma.html>
const PRAGMAS: [&str; 5] =
    ["writable_schema", "temp_store_directory", "data_store_directory", "soft_heap_limit", "hard_heap_limit"];

/// What a person is told of a statement that was refused.
pub(super) const REFUSED: &str = "a changeset reaches its own tenant's file only: no ATTACH of another one, no VACUUM INTO, \
    no extension, none of the pragmas writable_schema, soft_heap_limit, hard_heap_limit, temp_store_directory, \
    data_store_directory";

/// Puts the fence around what is prepared on a connection from now on.
///
/// # Errors
/// SQLite's, if it cannot be set.
pub(super) fn put(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.authorizer(Some(
        |asked: AuthContext<'_>| if is_inside(&asked.action) { Authorization::Allow } else { Authorization::Deny },
    ))
}

fn is_inside(action: &AuthAction<'_>) -> bool {
    match action {
        // VACUUM copies into a nameless file of its own.
        AuthAction::Attach { filename } => filename.is_empty() || *filename == ":memory:",
        // A name that is worked out when the statement runs.
        AuthAction::Unknown { code, .. } => *code != ffi::SQLITE_ATTACH,
        AuthAction::Function { function_name } => !function_name.eq_ignore_ascii_case("load_extension"),
        AuthAction::Pragma { pragma_name, pragma_value } => {
            pragma_value.is_none() || !PRAGMAS.iter().any(|pragma| pragma.eq_ignore_ascii_case(pragma_name))
        }
        _ => true,
    }
}
