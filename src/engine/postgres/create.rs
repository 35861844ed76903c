//! Makes a tenant's schema, or its database.

use tokio_postgres::error::SqlState;

use crate::engine::{Creation, Made, not_made};
use crate::error::{Diagnostic, Result};
use crate::tenant::Create;

use super::session::Key;
use super::sql::{ident, literal};
use super::{Postgres, fault, key};

/// Makes what is not there. A database is made over the server's `lock_database`, by one statement of its own.
/// <https://www.postgresql.org/docs/current/sql-createdatabase.html>
pub(super) async fn create(server: &Postgres, creation: &Creation<'_>) -> Result<Made> {
    let Creation { tenant, how, .. } = creation;
    let home = key(tenant);
    let (key, there, make) = match tenant.datasource.schema() {
        Some(schema) => (
            home,
            format!("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) {}", literal(schema)),
            schema_of(schema, how),
        ),
        None => (
            Key { database: server.server.lock_database.clone(), ..home },
            format!(
                "SELECT 1 FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) {}",
                literal(tenant.datasource.database())
            ),
            database_of(tenant.datasource.database(), how),
        ),
    };
    let session = server.session_with(0, &key).await?;
    let made = async {
        session.reset().await?;
        if !session.ask(&there).await?.is_empty() {
            return Ok(Made::There);
        }
        match session.ask(&make).await {
            Ok(_) => Ok(Made::New),
            Err(error) if is_there(&error) => Ok(Made::There),
            Err(error) => Err(error),
        }
    };
    let made: std::result::Result<Made, tokio_postgres::Error> = made.await;
    match made {
        Ok(made) => {
            session.keep();
            Ok(made)
        }
        Err(error) => {
            session.discard().await;
            Err(refused(creation, &error))
        }
    }
}

fn schema_of(schema: &str, how: &Create) -> String {
    let owner = how.owner.as_ref().map(|owner| format!(" AUTHORIZATION {}", ident(owner))).unwrap_or_default();
    format!("CREATE SCHEMA {}{owner}", ident(schema))
}

fn database_of(database: &str, how: &Create) -> String {
    let mut sql = format!("CREATE DATABASE {}", ident(database));
    let mut say = |word: &str, value: Option<String>| {
        if let Some(value) = value {
            sql.push_str(&format!(" {word} {value}"));
        }
    };
    say("OWNER", how.owner.as_deref().map(ident));
    say("TEMPLATE", how.template.as_deref().map(ident));
    say("ENCODING", how.encoding.as_deref().map(literal));
    say("LC_COLLATE", how.collation.as_deref().map(literal));
    say("LC_CTYPE", how.collation.as_deref().map(literal));
    sql
}

/// Whether somebody else made it a moment ago.
fn is_there(error: &tokio_postgres::Error) -> bool {
    [Some(&SqlState::DUPLICATE_DATABASE), Some(&SqlState::DUPLICATE_SCHEMA)].contains(&error.code())
}

fn refused(creation: &Creation<'_>, error: &tokio_postgres::Error) -> Diagnostic {
    let hint = match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) if creation.tenant.datasource.schema().is_some() => {
            "GRANT CREATE ON DATABASE … TO the user that connects, and the owner's role too"
        }
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            "ALTER ROLE … CREATEDB for the user that connects, and GRANT it the owner"
        }
        Some(&SqlState::OBJECT_IN_USE) => {
            "nobody may be connected to a template while it is copied: end those sessions"
        }
        _ => {
            "correct `create:` in tenants.yaml (another encoding or collation needs `template: template0`), then type it again"
        }
    };
    not_made(creation.tenant, &fault::words(error)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_and_the_rest_is_data() {
        let how = Create {
            owner: Some("a\"b".into()),
            encoding: Some("UTF8'; --".into()),
            collation: Some("C".into()),
            template: Some("template0".into()),
            ..Create::default()
        };
        assert_eq!(
            database_of("x\"y", &how),
            "CREATE DATABASE \"x\"\"y\" OWNER \"a\"\"b\" TEMPLATE \"template0\" ENCODING E'UTF8''; --' LC_COLLATE E'C' \
             LC_CTYPE E'C'"
        );
        assert_eq!(schema_of("s", &how), "CREATE SCHEMA \"s\" AUTHORIZATION \"a\"\"b\"");
        assert_eq!(database_of("x", &Create::default()), "CREATE DATABASE \"x\"");
    }
}
