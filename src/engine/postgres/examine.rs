//! How users come in, and what they may: tenants of one database together, in two round trips, and a third where sessions
//! begin with settings of tenants.yaml.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::engine::tables::{HISTORY, JOURNAL};
use crate::engine::{Examined, Right, Wire};
use crate::error::{Code, Diagnostic, Result};
use crate::tenant::Tenant;

use super::groups::{Answers, Member, Question};
use super::opening::{self, Lasting};
use super::session::Session;
use super::sql::{PG_CATALOG_ALONE, count_statements, ident, literal, table};
use super::{Postgres, groups, home};

/// How do they come in, and may they create?
struct Entering;

impl Question for Entering {
    type Answer = Examined;

    fn ask<'a>(
        &'a self,
        server: &'a Postgres,
        session: &'a Session,
        members: &'a [Member<'a>],
    ) -> BoxFuture<'a, Result<Answers<Examined>, tokio_postgres::Error>> {
        look(server, session, members).boxed()
    }
}

pub(super) async fn examine(server: &Postgres, tenants: &[&Tenant]) -> Vec<Result<Examined>> {
    groups::ask(server, tenants, &Entering).await
}

async fn look(
    server: &Postgres,
    session: &Session,
    members: &[Member<'_>],
) -> Result<Answers<Examined>, tokio_postgres::Error> {
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
    let lock_database = &server.server.lock_database;
    let mut rows = session.ask(&question(&places, lock_database)).await?.into_iter();
    let about = rows.next().unwrap_or_default();
    let wire = Arc::new(wire(&about));
    let connects = about.get(3).and_then(Option::as_deref);
    let mut answers: Answers<Examined> = members
        .iter()
        .zip(rows)
        .map(|((idx, tenant), row)| {
            let schema = home(tenant, session).unwrap_or_default();
            let right = right(tenant, &schema, &row, (lock_database, connects));
            (*idx, right.map(|create| Examined { create, wire: wire.clone(), round_trip }))
        })
        .collect();
    begin(session, members, &mut answers).await?;
    Ok(answers)
}

/// How many tenants' sessions are begun with one message.
const TOGETHER: usize = 200;

/// Lets a session begin as each tenant's settings say, in transactions that are rolled back; who cannot has that for an
/// answer. Those whose rights are not enough are passed over.
async fn begin(
    session: &Session,
    members: &[Member<'_>],
    answers: &mut Answers<Examined>,
) -> Result<(), tokio_postgres::Error> {
    let granted = |answer: &Result<Examined>| answer.as_ref().is_ok_and(|one| one.create == Right::Granted);
    let mut left: Vec<(usize, String, String)> = Vec::new();
    for (at, (_, tenant)) in members.iter().enumerate() {
        let home = home(tenant, session).unwrap_or_default();
        let opening = opening::opening(tenant, &home, Lasting::Transaction);
        if opening.is_empty() || !answers.get(at).is_some_and(|(_, answer)| granted(answer)) {
            continue;
        }
        let path = tenant.datasource.schema().map(|schema| format!("SET LOCAL search_path = {};\n", ident(schema)));
        left.push((at, home, format!("BEGIN;\n{}{opening}ROLLBACK;\n", path.unwrap_or_default())));
    }
    let mut left = left.as_slice();
    while !left.is_empty() {
        let together = &left[..left.len().min(TOGETHER)];
        let message: String = together.iter().map(|(_, _, sql)| sql.as_str()).collect();
        let answer = session.send(&message).await;
        let Some(error) = answer.error else {
            left = &left[together.len()..];
            continue;
        };
        // The server says nothing more of the message; what stands behind the failed one is sent again.
        let mut completed = answer.completed;
        let mut failed = 0;
        for (_, _, sql) in together {
            let Some(rest) = completed.checked_sub(count_statements(sql)) else { break };
            (completed, failed) = (rest, failed + 1);
        }
        let Some((at, home, _)) = together.get(failed).filter(|_| error.code().is_some()) else { return Err(error) };
        answers[*at].1 = Err(opening::cannot_begin(&members[*at].1.session, home, &error));
        session.ask("ROLLBACK").await?;
        left = &left[failed + 1..];
    }
    Ok(())
}

/// One row about the session's encryption and whether its user may connect to where runs take their lock, then one for each
/// place, in order: may the user create there, and the role, and what may the user not do with our tables?
///
/// <https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SSL-VIEW>
fn question(places: &[String], lock_database: &str) -> String {
    let not_allowed = |table: &str, needed: &[&str]| {
        let needed: Vec<String> = needed.iter().map(|privilege| format!("('{privilege}')")).collect();
        format!(
            "(SELECT pg_catalog.array_to_string(ARRAY(SELECT needed.column1 FROM (VALUES {}) AS needed \
             WHERE NOT pg_catalog.has_table_privilege(session_user, c.oid, needed.column1)), ', ') \
             FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid AND c.relname = '{table}')",
            needed.join(", ")
        )
    };
    format!(
        "{PG_CATALOG_ALONE}SELECT s.ssl::text, s.version, s.cipher, (SELECT pg_catalog.has_database_privilege(session_user, d.oid, \
         'CONNECT')::text FROM pg_catalog.pg_database AS d WHERE d.datname = {}) FROM (SELECT 1) AS one \
         LEFT JOIN pg_catalog.pg_stat_ssl AS s ON s.pid = pg_catalog.pg_backend_pid();\n\
         SELECT n.oid::text, pg_catalog.has_schema_privilege(session_user, n.oid, 'CREATE')::text, p.role, r.oid::text, \
         pg_catalog.has_schema_privilege(r.oid, n.oid, 'CREATE')::text, {}, {} \
         FROM (SELECT column1::text AS name, column2::text AS role, pg_catalog.row_number() OVER () AS at \
         FROM (VALUES {}) AS listed) AS p \
         LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = p.name \
         LEFT JOIN pg_catalog.pg_roles AS r ON r.rolname = p.role ORDER BY p.at",
        literal(lock_database),
        not_allowed(HISTORY, &["SELECT", "INSERT"]),
        not_allowed(JOURNAL, &["SELECT", "INSERT", "UPDATE"]),
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

/// Says what may be done at a place; `lock` is the database where runs take their lock, and whether the user may connect to
/// it, if it is there.
fn right(tenant: &Tenant, schema: &str, row: &[Option<String>], lock: (&str, Option<&str>)) -> Result<Right> {
    let cell = |i: usize| row.get(i).and_then(Option::as_deref);
    if cell(0).is_none() {
        let message = format!("the schema of tenant {} went away while it was looked at", tenant.name);
        return Err(Diagnostic::new(Code::NO_SCHEMA, message));
    }
    let user = tenant.access.user.as_deref().unwrap_or("(none)");
    let mut lacking: Vec<Lack> = Vec::new();
    let mut lack = |who: String, kind: &str, what: String, grant: String| {
        lacking.push(Lack { kind: format!("{who}: {kind}"), who, what, grant });
    };
    let create = |name: &str| {
        (format!("create in schema {schema}"), format!("GRANT CREATE ON SCHEMA {} TO {}", ident(schema), ident(name)))
    };
    // History and journal are made and written by the user, what a text makes by its role.
    if cell(1) != Some("true") {
        let (what, grant) = create(user);
        lack(format!("user {user}"), "create", what, grant);
    }
    for (name, lacks) in [(HISTORY, cell(5)), (JOURNAL, cell(6))] {
        if let Some(lacks) = lacks.filter(|lacks| !lacks.is_empty()) {
            let what = format!("{} in table {schema}.{name}", lacks.to_lowercase());
            let grant = format!("GRANT {lacks} ON {} TO {}", table(schema, name), ident(user));
            lack(format!("user {user}"), &format!("{lacks} {name}"), what, grant);
        }
    }
    match lock {
        (_, Some("true")) => {}
        (database, Some(_)) => lack(
            format!("user {user}"),
            "lock",
            format!("connect to database {database}, where runs take their lock"),
            format!("GRANT CONNECT ON DATABASE {} TO {}", ident(database), ident(user)),
        ),
        (database, None) => lack(
            format!("user {user}"),
            "lock",
            format!("connect to database {database}, where runs take their lock: it does not exist"),
            "name one that exists with `lock_database:` under the server".to_owned(),
        ),
    }
    match (cell(2), cell(3), cell(4)) {
        (None, ..) | (_, _, Some("true")) => {}
        (Some(role), None, _) => lack(
            format!("role {role}, which does not exist,"),
            "create",
            format!("create in schema {schema}"),
            "correct `role:` in tenants.yaml, or create the role".to_owned(),
        ),
        (Some(role), ..) => {
            let (what, grant) = create(role);
            lack(format!("role {role}"), "create", what, grant);
        }
    }
    Ok(together(lacking))
}

/// Something that somebody may not do.
struct Lack {
    who: String,
    what: String,
    grant: String,
    kind: String,
}

/// Says all of it in one: `user app may not create in schema a, nor insert in table …; nor may role b create in schema a`.
fn together(lacking: Vec<Lack>) -> Right {
    let Some(first) = lacking.first() else { return Right::Granted };
    let who = first.who.clone();
    let said = |(no, lack): (usize, &Lack)| match (no, lack.who == who) {
        (0, _) => lack.what.clone(),
        (_, true) => format!(", nor {}", lack.what),
        (_, false) => format!(", nor may {} {}", lack.who, lack.what),
    };
    let all = |part: fn(&Lack) -> &str| lacking.iter().map(part).collect::<Vec<_>>().join("; ");
    Right::Lacking {
        what: lacking.iter().enumerate().map(said).collect(),
        grant: all(|lack| &lack.grant),
        kind: all(|lack| &lack.kind),
        who,
    }
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
            let told = match right(&tenant, "a\"b", &row(&cells), ("postgres", Some("true"))).unwrap() {
                Right::Lacking { grant, .. } => Some(grant),
                _ => None,
            };
            assert_eq!(told.as_deref(), lacks, "{cells:?}");
        }
        // All of it at once.
        let cells = [Some("1"), no, Some("app"), Some("2"), no, Some(""), Some("INSERT, UPDATE")];
        let Right::Lacking { who, what, grant, .. } = right(&tenant, "a", &row(&cells), ("lo", no)).unwrap() else {
            panic!("lacking");
        };
        assert_eq!(
            format!("{who} may not {what}"),
            "user (none) may not create in schema a, nor insert, update in table a.mtmigrate_journal, nor connect to \
             database lo, where runs take their lock, nor may role app create in schema a"
        );
        assert_eq!(
            grant,
            "GRANT CREATE ON SCHEMA \"a\" TO \"(none)\"; GRANT INSERT, UPDATE ON \"a\".\"mtmigrate_journal\" TO \
             \"(none)\"; GRANT CONNECT ON DATABASE \"lo\" TO \"(none)\"; GRANT CREATE ON SCHEMA \"a\" TO \"app\""
        );
        assert_eq!(
            right(&tenant, "a", &row(&[None; 5]), ("postgres", Some("true"))).unwrap_err().code(),
            Code::NO_SCHEMA
        );
    }

    #[test]
    fn encryption_is_what_the_server_says_of_the_session() {
        let (protocol, cipher) = (Some("TLSv1.3".to_owned()), Some("TLS_AES_256_GCM_SHA384".to_owned()));
        let said = row(&[Some("true"), Some("TLSv1.3"), Some("TLS_AES_256_GCM_SHA384")]);
        assert_eq!(wire(&said), Wire::Encrypted { protocol, cipher });
        assert_eq!((wire(&row(&[Some("false"), None, None])), wire(&[])), (Wire::Plain, Wire::Plain));
    }
}
