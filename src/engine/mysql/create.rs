//! Makes a tenant's database.

use crate::engine::{Creation, Made, not_made};
use crate::error::{Diagnostic, Result};
use crate::tenant::Create;

use super::link::{ANSWER_LIMIT, Trouble};
use super::sql::{literal, name};
use super::{MySqlServer, cause};

/// A database that is there.
const EXISTS: u16 = 1007;

/// Makes what is not there.
/// <https://mariadb.com/kb/en/create-database/>, <https://dev.mysql.com/doc/refman/8.4/en/create-database.html>
pub(super) async fn create(server: &MySqlServer, creation: &Creation<'_>) -> Result<Made> {
    let tenant = creation.tenant;
    let database = tenant.datasource.database();
    let there = format!("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}", literal(database));
    let opened = server.session(&tenant.access, &there).await;
    let (mut lease, found) = opened.map_err(|none| server.unopened(none, tenant))?;
    if found.iter().any(|rows| !rows.is_empty()) {
        server.give_back(lease).await;
        return Ok(Made::There);
    }
    let made = lease.ask(&database_of(database, creation.how), ANSWER_LIMIT).await;
    server.give_back(lease).await;
    match made {
        Ok(_) => Ok(Made::New),
        Err(Trouble::Refused { error, .. }) if error.code == EXISTS => Ok(Made::There),
        Err(trouble) => Err(refused(creation, trouble)),
    }
}

fn database_of(database: &str, how: &Create) -> String {
    let encoding = how.encoding.as_deref().map(|set| format!(" CHARACTER SET {}", name(set))).unwrap_or_default();
    let collation = how.collation.as_deref().map(|rules| format!(" COLLATE {}", name(rules))).unwrap_or_default();
    format!("CREATE DATABASE {}{encoding}{collation}", name(database))
}

fn refused(creation: &Creation<'_>, trouble: Trouble) -> Diagnostic {
    let hint = match &trouble {
        Trouble::Refused { error, .. } if matches!(error.code, 1044 | 1045 | 1142 | 1227) => {
            "GRANT CREATE on the database to the user that connects"
        }
        Trouble::Refused { .. } => "correct `create:` in tenants.yaml, then type it again",
        Trouble::Lost(_) => "type it again: what is there is used",
    };
    not_made(creation.tenant, &cause(trouble)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_quoted() {
        let how = Create { encoding: Some("utf8mb4".into()), collation: Some("x`y".into()), ..Create::default() };
        let made = database_of("a`b", &how);
        assert_eq!(made, "CREATE DATABASE `a``b` CHARACTER SET `utf8mb4` COLLATE `x``y`");
        assert_eq!(database_of("a", &Create::default()), "CREATE DATABASE `a`");
    }
}
