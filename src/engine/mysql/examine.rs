//! How users come in, and what they may: once for all tenants with the same credentials.

use std::sync::Arc;
use std::time::Instant;

use crate::engine::{Examined, Right, Wire};
use crate::error::{Diagnostic, Result};
use crate::tenant::{Access, SessionSettings, Tenant};

use super::flavor::Flavor;
use super::link::{ANSWER_LIMIT, Cells, Link, Sets, Trouble};
use super::read::{by_access, open};
use super::{MySqlServer, grants, opening, sql};

pub(super) async fn examine(server: &MySqlServer, tenants: &[&Tenant]) -> Vec<Result<Examined>> {
    by_access(tenants, |access, members| async move {
        match look(server, access, &members).await {
            Ok(examined) => examined,
            Err(diagnostic) => members.iter().map(|_| Err(diagnostic.clone())).collect(),
        }
    })
    .await
}

/// Asks for what is true of all of them. Never empty.
async fn look(server: &MySqlServer, access: &Arc<Access>, tenants: &[&Tenant]) -> Result<Vec<Result<Examined>>> {
    let first = tenants[0];
    let (mut lease, _) = server.session(access, &open()).await.map_err(|none| server.unopened(none, first))?;
    let asked = ask(&mut lease).await;
    server.give_back(lease).await;
    let found = asked.map_err(|trouble| server.trouble(trouble, first))?;
    let user = access.user.as_deref().unwrap_or("(none)");
    let mut opened: Vec<(&Arc<SessionSettings>, Option<Diagnostic>)> = Vec::new();
    let mut examined = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let create = right(user, tenant, &found);
        if !matches!(create, Right::Lacking { .. }) {
            let known = opened.iter().position(|(session, _)| **session == tenant.session);
            let at = match known {
                Some(at) => at,
                None => {
                    opened.push((&tenant.session, begin(server, access, tenant).await?));
                    opened.len() - 1
                }
            };
            if let Some(refused) = &opened[at].1 {
                examined.push(Err(refused.clone()));
                continue;
            }
        }
        examined.push(Ok(Examined { create, wire: found.wire.clone(), round_trip: found.round_trip }));
    }
    Ok(examined)
}

/// Lets a session begin as the tenant's settings say, and takes it back. Returns why it cannot.
async fn begin(server: &MySqlServer, access: &Arc<Access>, tenant: &Tenant) -> Result<Option<Diagnostic>> {
    let first = opening::statements(&tenant.session);
    if first.is_empty() {
        return Ok(None);
    }
    let (mut lease, _) = server.session(access, &open()).await.map_err(|none| server.unopened(none, tenant))?;
    let begun = lease.ask(&first.join("; "), ANSWER_LIMIT).await;
    server.give_back(lease).await;
    match begun {
        Ok(_) => Ok(None),
        Err(Trouble::Refused { error, .. }) => Ok(Some(opening::cannot_begin(&tenant.session, &error))),
        Err(lost) => Err(server.trouble(lost, tenant)),
    }
}

/// What the server says of a session and of its user.
struct Found {
    wire: Arc<Wire>,
    round_trip: std::time::Duration,
    folds_case: bool,
    /// The lines of SHOW GRANTS.
    grants: Vec<String>,
}

const ABOUT: &str = "SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher'); \
                     SELECT VERSION(), @@lower_case_table_names; SHOW GRANTS";

async fn ask(link: &mut Link) -> Result<Found, Trouble> {
    let asked = Instant::now();
    link.ask("SELECT 1", ANSWER_LIMIT).await?;
    let round_trip = asked.elapsed();
    let mut sets = link.ask(ABOUT, ANSWER_LIMIT).await?;
    let mut granted = lines(sets.pop().unwrap_or_default());
    let about = sets.pop().unwrap_or_default().into_iter().next().unwrap_or_default();
    let cell = |i: usize| about.get(i).and_then(Option::as_deref).unwrap_or_default();
    let flavor = Flavor::parse(cell(0));
    // MariaDB tells the current role's grants beside the user's, MySQL only when it is asked for them.
    if !flavor.maria && flavor.version >= (8, 0, 0) {
        granted.extend(of_roles(link).await?);
    }
    let wire = Arc::new(wire(&sets.pop().unwrap_or_default()));
    Ok(Found { wire, round_trip, folds_case: cell(1) != "0", grants: granted })
}

/// <https://dev.mysql.com/doc/refman/8.4/en/show-grants.html>
async fn of_roles(link: &mut Link) -> Result<Vec<String>, Trouble> {
    let first = |sets: Sets| lines(sets.into_iter().next().unwrap_or_default());
    let roles = first(link.ask("SELECT CURRENT_ROLE()", ANSWER_LIMIT).await?);
    match roles.first().map(String::as_str) {
        None | Some("NONE" | "") => Ok(Vec::new()),
        // The server's own quoting: `r`@`%`,`s`@`%`.
        Some(roles) => {
            link.ask(&format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"), ANSWER_LIMIT).await.map(first)
        }
    }
}

/// Returns the first column.
fn lines(rows: Vec<Cells>) -> Vec<String> {
    rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
}

fn wire(variables: &[Cells]) -> Wire {
    let value = |wanted: &str| {
        let named =
            |row: &&Cells| row.first().and_then(Option::as_deref).is_some_and(|n| n.eq_ignore_ascii_case(wanted));
        let value = variables.iter().find(named).and_then(|row| row.get(1).cloned().flatten());
        value.filter(|value| !value.is_empty())
    };
    match value("Ssl_cipher") {
        None => Wire::Plain,
        cipher => Wire::Encrypted { protocol: value("Ssl_version"), cipher },
    }
}

fn right(user: &str, tenant: &Tenant, found: &Found) -> Right {
    let database = tenant.datasource.database();
    let lacking = grants::lacking(&found.grants, database, found.folds_case);
    if lacking.is_empty() {
        return Right::Granted;
    }
    match tenant.session.role() {
        Some(role) => Right::Unknown(format!("role {role} is not asked for its grants")),
        None => Right::Lacking {
            who: format!("user {user}"),
            what: format!("{} in database {database}", lacking.join(", ").to_lowercase()),
            grant: format!("GRANT {} ON {}.* TO {}", lacking.join(", "), sql::name(database), sql::name(user)),
            kind: lacking.join(", "),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_without_a_cipher_is_plain() {
        let rows = |pairs: &[(&str, &str)]| {
            let cell = |text: &str| Some(text.to_owned());
            pairs.iter().map(|(name, value)| vec![cell(name), cell(value)]).collect::<Vec<Cells>>()
        };
        assert_eq!(wire(&rows(&[("Ssl_cipher", ""), ("Ssl_version", "")])), Wire::Plain);
        assert_eq!(wire(&[]), Wire::Plain);
        assert_eq!(
            wire(&rows(&[("Ssl_cipher", "TLS_AES_256_GCM_SHA384"), ("Ssl_version", "TLSv1.3")])),
            Wire::Encrypted { protocol: Some("TLSv1.3".into()), cipher: Some("TLS_AES_256_GCM_SHA384".into()) }
        );
    }
}
