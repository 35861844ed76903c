//! Asks servers what a fleet's sources must know of them. Writes nothing; such a server need not have tenants.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::error::{Code, Diagnostic, Result};
use crate::tenant::{Answer, Ask, Datasource, Fleet, Question, ServerId, Tenant, TenantId, Way};

use super::{Server, open};

/// The most rows of an answer, and the most databases of a server.
const ROWS: usize = 1_000_000;

/// How long goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(5);

/// Asks a server a question of a source, and closes its connections. A program is none of its business.
///
/// # Errors
/// `MT140` where the question is wrong, `MT321` where it cannot be asked or answered; both say that nothing was touched.
pub async fn ask_source(question: &Question) -> Result<Answer> {
    let (way, sql) = match &question.ask {
        Ask::Query { way, sql, .. } => (way, sql),
        Ask::EveryDatabase { way, sql, .. } => (way, sql),
        Ask::Program { .. } => return Err(Diagnostic::new(Code::BUG, "a program is no server")),
    };
    let servers = open(&Fleet { servers: vec![way.server.clone()], ..Fleet::default() })?;
    let [server] = servers.as_slice() else {
        return Err(Diagnostic::new(Code::BUG, "one server was opened as several"));
    };
    let asked = match &question.ask {
        Ask::EveryDatabase { databases, .. } => everywhere(server, way, databases, sql).await,
        _ => ask(server, &asker(way), sql).await,
    };
    // A server that does not answer a goodbye notices the end of the connection by itself.
    timeout(GOODBYE, server.close()).await.ok();
    asked.map_err(|failure| failed(question, way, &failure))
}

async fn ask(server: &Arc<dyn Server>, asker: &Tenant, sql: &str) -> Result<Answer> {
    if let Datasource::Sqlite { shown, file, .. } = &asker.datasource
        && !file.is_file()
    {
        return Err(Diagnostic::new(Code::NO_DATABASE, format!("the file {shown} is not there")));
    }
    server.ask(asker, sql, ROWS).await
}

/// Asks in every database that an answer names, as many at once as the server has connections for.
async fn everywhere(server: &Arc<dyn Server>, way: &Way, databases: &str, sql: &str) -> Result<Answer> {
    let listed = ask(server, &asker(way), databases).await?;
    let names = listed.rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
    let askers: Vec<Tenant> = names.map(|database| asker(&in_database(way, database))).collect();
    let mut all = Answer::default();
    // Few at a time: each has a connection of its own.
    for askers in askers.chunks(server.width().max(1)) {
        for answer in join_all(askers.iter().map(|asker| ask(server, asker, sql))).await {
            let answer = match answer {
                // It was dropped since it was listed.
                Err(gone) if gone.code() == Code::NO_DATABASE => continue,
                other => other?,
            };
            all.columns = answer.columns;
            all.rows.extend(answer.rows);
        }
    }
    Ok(all)
}

fn in_database(way: &Way, database: String) -> Way {
    Way { datasource: Datasource::Postgres { database, schema: None }, ..way.clone() }
}

/// Makes the tenant in whose name a question is asked.
fn asker(way: &Way) -> Tenant {
    let name = match way.datasource.database() {
        "" => way.server.name.clone(),
        database => database.to_owned(),
    };
    Tenant { access: way.access.clone(), ..Tenant::new(TenantId(0), name, ServerId(0), way.datasource.clone()) }
}

/// Says that a source was not answered: by whom, and why.
fn failed(question: &Question, way: &Way, failure: &Diagnostic) -> Diagnostic {
    let is_wrong = failure.code() == Code::QUESTION_FAILED;
    let (code, what) = match is_wrong {
        true => (Code::BAD_QUESTION, "was not answered"),
        false => (Code::SOURCE_FAILED, "cannot be asked"),
    };
    let message = format!("{} {what} (server {})", question.asker, way.server.name);
    let mut made = Diagnostic::new(code, message).at(question.place.clone()).state("nothing was touched");
    // What we said of the tenant that asked would name one that nobody knows.
    let shown = |words: &str| match &question.ask {
        Ask::Query { hidden, .. } => hidden.hide(words),
        _ => words.to_owned(),
    };
    if !is_wrong {
        made = made.cause(shown(failure.message()));
    }
    made = failure.causes().iter().fold(made, |made, cause| made.cause(shown(cause)));
    match failure.what_next() {
        Some(hint) => made.hint(shown(hint)),
        None => made.hint("an empty fleet is no success: nothing runs until every source answers"),
    }
}
