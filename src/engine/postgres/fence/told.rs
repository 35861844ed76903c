//! What the fence found, as a diagnostic.

use crate::changeset::Touched;
use crate::engine::Order;
use crate::engine::postgres::fault;
use crate::engine::stepwise::failed;
use crate::error::{Code, Diagnostic, Place, plain};
use crate::sql::{Dialect, qualified};

use super::STATE;

/// Makes the diagnostic of a text that the fence stopped; nothing if the error, one after the text, is another.
pub(in crate::engine::postgres) fn stopped(order: &Order<'_>, error: &tokio_postgres::Error) -> Option<Diagnostic> {
    let db = error.as_db_error()?;
    let made = || failed(order, Code::OUTSIDE).at(Place::file(&order.text.file));
    match db.code().code() {
        STATE => Some(told(order, db.detail().unwrap_or_default(), db.hint().and_then(|all| all.parse().ok()))),
        "34000" if db.message().contains("mtmigrate_fence") => {
            Some(made().cause(fault::words(error)).cause("what the text locked and wrote could not be looked at").hint(
                "let the text leave the cursor mtmigrate_fence alone: no `CLOSE ALL`, and no cursor of this name",
            ))
        }
        "42704" | "42501" if db.message().contains("plpgsql") => Some(
            made()
                .cause(fault::words(error))
                .cause("what the text locked and wrote could not be looked at")
                .hint("the fence needs the language plpgsql: CREATE EXTENSION plpgsql, and USAGE on it for the user"),
        ),
        _ => None,
    }
}

/// A line of the fence's findings.
struct Finding<'d> {
    kind: &'d str,
    schema: &'d str,
    words: &'d str,
}

fn told(order: &Order<'_>, detail: &str, all: Option<usize>) -> Diagnostic {
    let findings: Vec<Finding<'_>> = detail
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, '\t');
            Some(Finding { kind: parts.next()?, schema: parts.next()?, words: parts.next()? })
        })
        .collect();
    let place = findings.iter().find_map(|finding| place_of(order, finding.schema));
    let mut made = failed(order, Code::OUTSIDE).at(place.unwrap_or_else(|| Place::file(&order.text.file)));
    for finding in &findings {
        let what = match finding.kind {
            "neighbour" => "in another tenant's schema",
            "cluster" => "of no schema: every tenant's",
            "extension" => "of the database: every tenant's in it",
            _ => "outside of the tenant's schema",
        };
        made = made.cause(format!("{}, {what}", plain(finding.words)));
    }
    if let Some(more) = all.and_then(|all| all.checked_sub(findings.len())).filter(|more| *more > 0) {
        made = made.cause(format!("and {more} more"));
    }
    made.hint(hint(&findings))
}

/// Says what to do: of what is worst first.
fn hint(findings: &[Finding<'_>]) -> String {
    let has = |kind: &str| findings.iter().find(|finding| finding.kind == kind);
    if has("neighbour").is_some() {
        return "take the schema's name out of the text: a changeset changes its own tenant, and each tenant gets it"
            .into();
    }
    if let Some(found) = has("outside") {
        let place = Touched { schema: found.schema.to_owned(), table: None };
        return format!(
            "take the schema's name out of the text; or, if it is shared on purpose, begin the file with \
             `-- mtmigrate: touches {}`",
            plain(&place.to_string())
        );
    }
    if has("extension").is_some() {
        return "give it a schema that is nobody's, CREATE EXTENSION … SCHEMA public, and begin the file with \
                `-- mtmigrate: touches public`"
            .into();
    }
    "do it once by hand, not for each tenant; or, if it can be done again and again, begin the file with \
     `-- mtmigrate: touches-cluster`"
        .into()
}

/// Returns where the text names this schema, if it does.
fn place_of(order: &Order<'_>, schema: &str) -> Option<Place> {
    let names = qualified(&order.text.sql, Dialect::Postgres);
    let name = names.into_iter().find(|name| name.qualifier == schema)?;
    Some(order.text.place(name.line, name.column))
}
