//! Asks for parts of the catalogs, several at once, and sees that the answers are whole.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::error::{Diagnostic, Result};
use crate::tenant::Access;

use super::catalog::{Part, Rows};
use super::flavor;
use super::inspect::{cannot_read, unreadable};
use super::link::{Cells, Trouble};
use super::read::LOCK_WAIT;
use super::{MySqlServer, NoSession};

/// How many databases one question is about.
const CHUNK: usize = 500;

/// How many questions are asked at once, where the budget allows.
const AT_ONCE: usize = 4;

/// Warnings about views that refer to what is not there (any more), or whose definer is gone or lacks a right: their
/// rows are read all the same.
const BROKEN_VIEW: [&str; 8] = ["1356", "1449", "1054", "1142", "1143", "1146", "1305", "1370"];

/// Warnings of servers that would like to be asked in other words.
const DEPRECATED: [&str; 4] = ["1287", "1681", "3719", "3778"];

/// The rows of a part, and of which databases it could not be read.
type Answer = (Vec<Cells>, Vec<(String, Diagnostic)>);

/// The rows by part, and which databases could not be read.
#[derive(Default)]
pub(super) struct Answers {
    pub rows: Vec<(usize, Vec<Cells>)>,
    pub troubles: Vec<(String, Diagnostic)>,
}

/// Who asks for what.
pub(super) struct Asking<'s> {
    pub server: &'s MySqlServer,
    pub access: &'s Arc<Access>,
    pub parts: Vec<Part>,
}

impl Asking<'_> {
    /// Asks for the wanted parts of these databases; the answers' rows, by part, and what could not be read of whom.
    pub async fn ask(
        &self,
        databases: &[&str],
        question: fn(&Part, &[&str]) -> String,
        wanted: fn(Rows) -> bool,
    ) -> Result<Answers> {
        let parts: Vec<usize> = (0..self.parts.len()).filter(|at| wanted(self.parts[*at].rows)).collect();
        let chunks = databases.chunks(CHUNK).flat_map(|chunk| parts.iter().map(move |at| (*at, chunk)));
        let asked = chunks.map(|(at, chunk)| async move { (at, self.part(at, chunk, question).await) });
        let at_once = AT_ONCE.min(self.server.pool.limit());
        let answered: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(at_once).collect().await;
        let mut answers = Answers::default();
        for (at, answer) in answered {
            let (rows, troubles) = answer?;
            answers.rows.push((at, rows));
            answers.troubles.extend(troubles);
        }
        Ok(answers)
    }

    /// Asks for one part. A question that is not answered in full is halved until the database that it is for is
    /// alone: a table that another session is altering is left out with a warning, and must not be missed.
    async fn part(&self, at: usize, databases: &[&str], question: fn(&Part, &[&str]) -> String) -> Result<Answer> {
        let (mut rows, mut troubles) = (Vec::new(), Vec::new());
        let mut chunks = vec![databases];
        while let Some(chunk) = chunks.pop() {
            let question = question(&self.parts[at], chunk);
            let asked = format!("{}; {question}; SHOW WARNINGS", flavor::open(LOCK_WAIT.as_secs()));
            let trouble = match self.server.session(self.access, &asked).await {
                Ok((lease, mut sets)) => {
                    self.server.give_back(lease).await;
                    let warnings = sets.pop().unwrap_or_default();
                    match warnings.iter().find_map(incomplete) {
                        None => {
                            rows.extend(sets.pop().unwrap_or_default());
                            continue;
                        }
                        Some(said) => cannot_read(self.server).cause(said),
                    }
                }
                Err(none @ NoSession::Trouble(Trouble::Refused { .. })) => unreadable(self.server, none),
                Err(none) => return Err(unreadable(self.server, none)),
            };
            match chunk {
                [database] => troubles.push(((*database).to_owned(), trouble)),
                _ => {
                    let (one, other) = chunk.split_at(chunk.len() / 2);
                    chunks.extend([one, other]);
                }
            }
        }
        Ok((rows, troubles))
    }
}

/// Returns what a warning says if it means that the answer is not whole.
fn incomplete(warning: &Cells) -> Option<String> {
    let cell = |at: usize| warning.get(at).and_then(Option::as_deref).unwrap_or_default();
    let harmless = BROKEN_VIEW.contains(&cell(1)) || DEPRECATED.contains(&cell(1));
    (!harmless).then(|| format!("{}: {}", cell(1), cell(2)))
}
