//! One question of a person's to a tenant's database: what all engines check of it and of its answer.

use std::time::Duration;

use crate::error::{Code, Diagnostic, Result, plain};
use crate::sql::{Dialect, EngineKind, has_word, split};
use crate::tenant::Tenant;

use super::Answer;

/// How long an answer is waited for.
pub(super) const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// How a question begins. What else there is has no rows to answer with, or is code that may commit: `CALL`.
const BEGINNINGS: [&str; 5] = ["SELECT", "WITH", "VALUES", "TABLE", "SHOW"];

/// Checks that a text is one question: a single statement that asks, so that none behind it leaves the transaction that may
/// only read.
///
/// # Errors
/// `MT326`.
pub(super) fn check(tenant: &Tenant, question: &str) -> Result<()> {
    let engine = tenant.datasource.engine();
    let statements =
        split(question, Dialect::default_for(engine)).map_err(|error| failed(tenant, &error.message, SYNTAX))?;
    let [statement] = statements.as_slice() else {
        let why = format!("it has {} statements", statements.len());
        return Err(failed(tenant, &why, "a question is one statement"));
    };
    let word: String = statement.text.trim_start_matches('(').chars().take_while(char::is_ascii_alphabetic).collect();
    let asks = BEGINNINGS.iter().any(|known| known.eq_ignore_ascii_case(&word));
    if !asks || engine == EngineKind::Sqlite && word.eq_ignore_ascii_case("SHOW") {
        return Err(failed(tenant, &format!("it begins with `{}`", plain(&word)), "a question is a SELECT"));
    }
    // A transaction that may only read still writes files: <https://mariadb.com/kb/en/select-into-outfile/>.
    match Dialect::possible(engine).into_iter().any(|dialect| has_word(question, dialect, "into")) {
        true => {
            Err(failed(tenant, "it has the word INTO", "a question writes nothing, no file and no variable either"))
        }
        false => Ok(()),
    }
}

const SYNTAX: &str = "correct the question";

/// Says that a question was not answered.
pub(super) fn failed(tenant: &Tenant, why: &str, hint: &str) -> Diagnostic {
    let message = format!("the question to tenant {} was not answered", tenant.name);
    Diagnostic::new(Code::QUESTION_FAILED, message).cause(why).hint(hint)
}

/// Says that a server refused a question.
pub(super) fn refused(tenant: &Tenant, words: &str) -> Diagnostic {
    failed(tenant, words, "correct the question, or let the user read what it asks for; it may not write")
}

/// Says that no answer came: the question may be right.
pub(super) fn unanswered(why: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::UNREACHABLE, "a server gave no answer to a question")
        .cause(why)
        .hint("see whether the server is there, and ask again; a question that takes long must ask for less")
}

/// Adds a row, up to one more than may be; [`bounded`] finds it.
pub(super) fn take(answer: &mut Answer, limit: usize, row: impl FnOnce() -> Vec<Option<String>>) {
    if answer.rows.len() <= limit {
        answer.rows.push(row());
    }
}

/// Returns an answer that is not too long.
///
/// # Errors
/// `MT326`.
pub(super) fn bounded(tenant: &Tenant, answer: Answer, limit: usize) -> Result<Answer> {
    match answer.rows.len() > limit {
        true => Err(failed(tenant, &format!("more than {limit} rows came"), "ask for fewer")),
        false => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{Datasource, ServerId, TenantId};

    #[test]
    fn a_question_is_one_statement_that_asks() {
        let postgres = Datasource::Postgres { database: "d".into(), schema: None };
        let mysql = Datasource::MySql { database: "d".into() };
        let sqlite = Datasource::Sqlite { shown: "x.db".into(), file: "x.db".into(), create: false };
        for (place, question, fine) in [
            (&postgres, "SELECT 1", true),
            (&postgres, " -- why\n (select ';');", true),
            (&postgres, "WITH x AS (SELECT 1) SELECT * FROM x", true),
            (&postgres, "SHOW server_version", true),
            (&postgres, "SELECT 'into' AS \"into\" -- into", true),
            (&postgres, "SELECT 1 INTO x", false),
            (&mysql, "SELECT 'into', `into` FROM x # into", true),
            (&mysql, "SELECT 1 INTO OUTFILE '/tmp/x'", false),
            (&mysql, "SELECT 1 /*!50000 into */ DUMPFILE '/tmp/x'", false),
            (&mysql, "SELECT 1 FROM x into@a", false),
            (&mysql, "CALL p()", false),
            (&postgres, "CALL p()", false),
            (&sqlite, "VALUES (1)", true),
            (&sqlite, "SHOW x", false),
            (&postgres, "", false),
            (&postgres, "SELECT 1; COMMIT; DROP TABLE x", false),
            (&postgres, "ROLLBACK", false),
            (&postgres, "DELETE FROM x", false),
            (&postgres, "SELECT 'x", false),
            (&sqlite, "ATTACH 'x' AS y", false),
            (&sqlite, "PRAGMA journal_mode = wal", false),
        ] {
            let tenant = Tenant::new(TenantId(0), "acme", ServerId(0), place.clone());
            assert_eq!(check(&tenant, question).is_ok(), fine, "{question}");
        }
    }

    #[test]
    fn an_answer_of_too_many_rows_is_refused_and_not_gathered() {
        let place = Datasource::MySql { database: "d".into() };
        let tenant = Tenant::new(TenantId(0), "acme", ServerId(0), place);
        let mut answer = Answer::default();
        (0..10).for_each(|_| take(&mut answer, 3, || vec![None]));
        assert_eq!(answer.rows.len(), 4);
        assert_eq!(bounded(&tenant, answer, 3).unwrap_err().code(), Code::QUESTION_FAILED);
    }
}
