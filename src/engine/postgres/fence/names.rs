//! What a text names outside of its tenant. For texts whose statements commit one by one.

use crate::changeset::Touched;
use crate::engine::Order;
use crate::engine::postgres::session::Session;
use crate::engine::postgres::sql::{PG_CATALOG_ALONE, literal};
use crate::engine::stepwise::{failed, place_of};
use crate::engine::tables::{HISTORY, JOURNAL};
use crate::error::{Code, Diagnostic, plain};
use crate::sql::{Dialect, Qualified, changed_bare, qualified, split};

/// Statements about what belongs to no tenant, by their first two words; those of the second row about the database.
const EVERYBODYS: [&[&str]; 2] = [
    &["role", "user", "group", "database", "tablespace", "system", "subscription"],
    &["extension", "publication", "event", "language", "server", "access"],
];

/// Refuses a text whose statements commit one by one, so that no fence can stand around them, for what it names: before
/// any of it is run.
///
/// # Errors
/// The server's, where it is asked which of the names are neighbours' schemas.
pub(in crate::engine::postgres) async fn outside_by_name(
    order: &Order<'_>,
    session: &Session,
    home: &str,
) -> Result<Option<Diagnostic>, tokio_postgres::Error> {
    if let Some(refused) = everybodys(order) {
        return Ok(Some(refused));
    }
    if let Some(name) = of_the_extensions(order, session, home).await? {
        return Ok(Some(found_behind(order, &name)));
    }
    let touches = &order.text.directives.touches;
    let allowed = |name: &Qualified| {
        let system = name.qualifier.starts_with("pg_") || name.qualifier == "information_schema";
        let listed =
            |place: &Touched| place.schema == name.qualifier && (place.table.is_none() || place.table == name.name);
        system || name.qualifier == home || touches.iter().any(listed)
    };
    let mut names = qualified(&order.text.sql, Dialect::Postgres);
    names.retain(|name| !allowed(name));
    if names.is_empty() {
        return Ok(None);
    }
    let asked: Vec<String> = names.iter().map(|name| literal(&name.qualifier)).collect();
    let neighbours = session.ask(&neighbours_among(&asked)).await?;
    let is_neighbour = |name: &Qualified| {
        neighbours.iter().any(|row| row.first().is_some_and(|cell| cell.as_ref() == Some(&name.qualifier)))
    };
    if order.tenant.datasource.schema().is_none() {
        names.retain(is_neighbour);
    }
    Ok(names.first().map(|name| refused(order, name, is_neighbour(name))))
}

/// Returns a bare name of something that the text changes, and that is in the extensions' schema and not at home: there
/// the path finds it.
async fn of_the_extensions(
    order: &Order<'_>,
    session: &Session,
    home: &str,
) -> Result<Option<Qualified>, tokio_postgres::Error> {
    let tenant = order.tenant;
    // In a database that is the tenant's it is the tenant's too.
    let (Some(schema), Some(_)) = (&tenant.session.extensions_schema, tenant.datasource.schema()) else {
        return Ok(None);
    };
    let listed = |name: &Qualified| {
        let mut touches = order.text.directives.touches.iter();
        touches.any(|place| place.schema == *schema && (place.table.is_none() || place.table == name.name))
    };
    let mut names = changed_bare(&order.text.sql, Dialect::Postgres, schema);
    names.retain(|name| !listed(name));
    if names.is_empty() {
        return Ok(None);
    }
    let asked: Vec<String> = names.iter().filter_map(|name| name.name.as_deref().map(literal)).collect();
    let there = session
        .ask(&format!(
            "{PG_CATALOG_ALONE}SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = {} AND c.relname IN ({}) AND NOT EXISTS (SELECT FROM pg_class h JOIN pg_namespace hn \
             ON hn.oid = h.relnamespace WHERE hn.nspname = {} AND h.relname = c.relname)",
            literal(schema),
            asked.join(", "),
            literal(home),
        ))
        .await?;
    let is_there = |name: &Qualified| there.iter().any(|row| row.first().is_some_and(|cell| *cell == name.name));
    Ok(names.into_iter().find(is_there))
}

/// Asks which of these schemas have a history or a journal.
fn neighbours_among(schemas: &[String]) -> String {
    format!(
        "{PG_CATALOG_ALONE}SELECT n.nspname FROM pg_namespace n WHERE n.nspname IN ({}) AND EXISTS (SELECT FROM pg_class h \
         WHERE h.relname IN ('{JOURNAL}', '{HISTORY}') AND h.relnamespace = n.oid)",
        schemas.join(", "),
    )
}

fn refused(order: &Order<'_>, name: &Qualified, neighbour: bool) -> Diagnostic {
    let text = order.text;
    let schema = Touched { schema: name.qualifier.clone(), table: None }.to_string();
    let schema = plain(&schema);
    let (whose, or) = match neighbour {
        true => ("another tenant's".to_owned(), String::new()),
        false => (
            "not the tenant's".to_owned(),
            format!("; or, if it is shared on purpose, begin the file with `-- mtmigrate: touches {schema}`"),
        ),
    };
    failed(order, Code::OUTSIDE)
        .at(text.place_of(name.line, name.column, name.len))
        .cause(format!("schema {schema} is {whose}; nothing was run"))
        .hint(format!("take the schema's name out of the text{or}"))
}

/// Says that a bare name means something of the extensions' schema.
fn found_behind(order: &Order<'_>, name: &Qualified) -> Diagnostic {
    let schema = Touched { schema: name.qualifier.clone(), table: None }.to_string();
    let (schema, bare) = (plain(&schema), plain(name.name.as_deref().unwrap_or_default()));
    failed(order, Code::OUTSIDE)
        .at(order.text.place_of(name.line, name.column, name.len))
        .cause(format!(
            "`{bare}` is not in the tenant's schema, and in `extensions_schema` {schema}, which is not the tenant's; nothing was run"
        ))
        .hint(format!(
            "correct the name; or, if it is shared on purpose, begin the file with `-- mtmigrate: touches {schema}`"
        ))
}

fn everybodys(order: &Order<'_>) -> Option<Diagnostic> {
    if order.text.directives.touches_cluster {
        return None;
    }
    let kinds = if order.tenant.datasource.schema().is_some() { &EVERYBODYS[..] } else { &EVERYBODYS[..1] };
    let statements = split(&order.text.sql, Dialect::Postgres).unwrap_or_default();
    let found = statements.iter().find(|statement| {
        let mut words = statement.text.split_whitespace().map(str::to_ascii_lowercase);
        let verb = words.next().is_some_and(|verb| ["create", "alter", "drop"].contains(&verb.as_str()));
        let object = words.next().unwrap_or_default();
        verb && kinds.iter().any(|kinds| kinds.contains(&object.as_str()))
    })?;
    Some(
        failed(order, Code::OUTSIDE)
            .at(place_of(order, found))
            .cause("what the statement makes or changes is of no schema: every tenant's; nothing was run")
            .hint(
                "do it once by hand, not for each tenant; or, if it can be done again and again, begin the file with \
                 `-- mtmigrate: touches-cluster`",
            ),
    )
}
