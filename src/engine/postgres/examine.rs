//! How users come in, and whether they may create: tenants of one database together, in two round trips.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::engine::{Examined, Right, Wire};
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::Tenant;

use super::groups::{Answers, Member, Question};
use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, ident, literal};
use super::{Postgres, groups, home};

/// How do they come in, and may they create?
struct Entering;

impl Question for Entering {
    type Answer = Examined;

    fn ask<'a>(
        &'a self,
        _server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<Examined>, tokio_postgres::Error>> {
        look(session, members).boxed()
    }
}

pub(super) async fn examine(server: &Postgres, tenants: &[&Tenant]) -> Vec<Result<Examined>> {
    groups::ask(server, tenants, &Entering).await
}

async fn look(session: &Session, members: &[Member<'_>]) -> Result<Answers<Examined>, tokio_postgres::Error> {
    let asked = Instant::now();
    session.ask("SELECT 1").await?;
    let round_trip = asked.elapsed();
    let places: Vec<String> = members
        .iter()
        .map(|(_, tenant)| {
            let role = tenant.session.role().map_or("NULL".to_owned(), literal);
            format!("({}, {role})", literal(&home(tenant, session).unwrap_or_default()))
        })
        .collect();
    let mut rows = session.ask(&question(&places)).await?.into_iter();
    let wire = Arc::new(wire(&rows.next().unwrap_or_default()));
    let answer = |((idx, tenant), row): (&Member<'_>, Vec<Option<String>>)| {
        let right = right(tenant, &home(tenant, session).unwrap_or_default(), &row);
        (*idx, right.map(|create| Examined { create, wire: wire.clone(), round_trip }))
    };
    Ok(members.iter().zip(rows).map(answer).collect())
}

/// One row about the session's encryption, then one for each place, in order: may the user create there, and the role?
///
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SSL-VIEW>
fn question(places: &[String]) -> String {
    format!(
        "{PG_CATALOG_ALONE}SELECT s.ssl::text, s.version, s.cipher FROM (SELECT 1) AS one \
         LEFT JOIN pg_catalog.pg_stat_ssl AS s ON s.pid = pg_catalog.pg_backend_pid();\n\
         SELECT n.oid::text, pg_catalog.has_schema_privilege(session_user, n.oid, 'CREATE')::text, p.role, r.oid::text, \
         pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')::text \
         FROM (SELECT column1::text AS name, column2::text AS role, pg_catalog.row_number() OVER () AS at \
         FROM (VALUES {}) AS listed) AS p \
         LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = p.name \
         LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = p.role ORDER BY p.at",
        places.join(", ")
    )
}

fn wire(row: &[Option<String>]) -> Wire {
    match row.first().and_then(Option::as_deref) {
        Some("true") => {
            Wire::Encrypted { protocol: row.get(1).cloned().flatten(), cipher: row.get(2).cloned().flatten() }
        }
        _ => Wire::Plain,
    }
}

fn right(tenant: &Tenant, schema: &str, row: &[Option<String>]) -> Result<Right> {
    let cell = |i: usize| row.get(i).and_then(Option::as_deref);
    if cell(0).is_none() {
        let message = format!("the schema of tenant {} went away while it was looked at", tenant.name);
        return Err(Diagnostic::new(Code::NO_SCHEMA, message));
    }
    let user = tenant.access.user.as_deref().unwrap_or("(none)");
    let lacking = |who: &str, name: &str| Right::Lacking {
        who: format!("{who} {name}"),
        what: format!("create in schema {schema}"),
        grant: format!("GRANT CREATE ON SCHEMA {} TO {}", ident(schema), ident(name)),
    };
    // History and journal are made by the user, what a text makes by its role.
    Ok(match (cell(1), cell(2), cell(3), cell(4)) {
        (Some("true"), None, ..) | (Some("true"), _, _, Some("true")) => Right::Granted,
        (Some("true"), Some(role), None, _) => Right::Lacking {
            who: format!("role {role}, which does not exist,"),
            what: format!("create in schema {schema}"),
            grant: "correct `role:` in tenants.yaml, or create the role".to_owned(),
        },
        (Some("true"), Some(role), ..) => lacking("role", role),
        _ => lacking("user", user),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{Datasource, ServerId, TenantId};

    fn row(cells: &[Option<&str>]) -> Vec<Option<String>> {
        cells.iter().map(|cell| cell.map(str::to_owned)).collect()
    }

    #[test]
    fn what_is_lacking_is_told_with_the_grant_that_gives_it() {
        let place = Datasource::Postgres { database: "d".into(), schema: None };
        let tenant = Tenant::new(TenantId(0), "acme", ServerId(0), place);
        let (yes, no) = (Some("true"), Some("false"));
        for (cells, lacks) in [
            ([Some("1"), yes, None, None, None], None),
            ([Some("1"), yes, Some("app"), Some("2"), yes], None),
            ([Some("1"), no, None, None, None], Some("GRANT CREATE ON SCHEMA \"a\"\"b\" TO \"(none)\"")),
            ([Some("1"), no, Some("app"), Some("2"), yes], Some("GRANT CREATE ON SCHEMA \"a\"\"b\" TO \"(none)\"")),
            ([Some("1"), yes, Some("app"), Some("2"), no], Some("GRANT CREATE ON SCHEMA \"a\"\"b\" TO \"app\"")),
            ([Some("1"), yes, Some("app"), None, None], Some("correct `role:` in tenants.yaml, or create the role")),
        ] {
            let told = match right(&tenant, "a\"b", &row(&cells)).unwrap() {
                Right::Lacking { grant, .. } => Some(grant),
                _ => None,
            };
            assert_eq!(told.as_deref(), lacks, "{cells:?}");
        }
        assert_eq!(right(&tenant, "a", &row(&[None; 5])).unwrap_err().code(), Code::NO_SCHEMA);
    }

    #[test]
    fn encryption_is_what_the_server_says_of_the_session() {
        let (protocol, cipher) = (Some("TLSv1.3".to_owned()), Some("TLS_AES_256_GCM_SHA384".to_owned()));
        let said = row(&[Some("true"), Some("TLSv1.3"), Some("TLS_AES_256_GCM_SHA384")]);
        assert_eq!(wire(&said), Wire::Encrypted { protocol, cipher });
        assert_eq!((wire(&row(&[Some("false"), None, None])), wire(&[])), (Wire::Plain, Wire::Plain));
    }
}
