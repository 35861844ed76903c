//! Asks for parts of the catalogs, several at once, and sees that the answers are whole.
//!
//! All questions that a connection is to answer go with one message: how often the way to the server and back is gone
//! depends neither on the parts nor on the databases.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::error::{Diagnostic, Result};
use crate::tenant::Access;

use super::catalog::{Part, Rows};
use super::flavor;
use super::inspect::{cannot_read, unreadable};
use super::link::{ANSWER_LIMIT, Cells, Sets, Trouble};
use super::read::LOCK_WAIT;
use super::{MySqlServer, NoSession};

/// How many databases one question is about: the server keeps no more than 1,000 warnings of one.
const CHUNK: usize = 500;

/// Over how many connections questions are asked at once, where the budget allows.
const AT_ONCE: usize = 4;

/// What a message has behind a question, at most, in bytes, and what the protocol adds.
const ENDING: usize = 64;

/// Warnings about views that refer to what is not there (any more), or whose definer is gone or lacks a right: their
/// rows are read all the same.
const BROKEN_VIEW: [&str; 8] = ["1356", "1449", "1054", "1142", "1143", "1146", "1305", "1370"];

/// Warnings of servers that would like to be asked in other words.
const DEPRECATED: [&str; 4] = ["1287", "1681", "3719", "3778"];

/// The rows by part, and which databases could not be read.
#[derive(Default)]
pub(super) struct Answers {
    pub rows: Vec<(usize, Vec<Cells>)>,
    pub troubles: Vec<(String, Diagnostic)>,
}

/// A question for a part of these databases.
struct Question<'q> {
    at: usize,
    databases: &'q [&'q str],
    text: String,
}

/// Who asks for what.
pub(super) struct Asking<'s> {
    pub server: &'s MySqlServer,
    pub access: &'s Arc<Access>,
    pub parts: Vec<Part>,
    /// The longest message that the server takes, in bytes.
    pub max_packet: usize,
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
        let questions = databases.chunks(CHUNK).flat_map(|chunk| parts.iter().map(move |at| (*at, chunk)));
        let mut lanes: Vec<Vec<Question<'_>>> = Vec::new();
        lanes.resize_with(AT_ONCE.min(self.server.pool.limit()).max(1), Vec::new);
        let count = lanes.len();
        for (number, (at, databases)) in questions.enumerate() {
            lanes[number % count].push(Question { at, databases, text: question(&self.parts[at], databases) });
        }
        let mut answers = Answers::default();
        for answered in join_all(lanes.iter().map(|lane| self.lane(lane, question))).await {
            let answered = answered?;
            answers.rows.extend(answered.rows);
            answers.troubles.extend(answered.troubles);
        }
        Ok(answers)
    }

    /// Asks these questions one after the other, with as few messages as the server takes. What was not answered in full
    /// is asked again by itself.
    async fn lane(&self, mut lane: &[Question<'_>], question: fn(&Part, &[&str]) -> String) -> Result<Answers> {
        let mut answers = Answers::default();
        while !lane.is_empty() {
            let mut message = flavor::open(LOCK_WAIT.as_secs());
            let mut count = 0;
            for Question { text, .. } in lane {
                if count > 0 && message.len() + text.len() + ENDING > self.max_packet {
                    break;
                }
                message.push_str("; ");
                message.push_str(text);
                message.push_str("; SHOW WARNINGS");
                count += 1;
            }
            let (asked, rest) = lane.split_at(count);
            lane = rest;
            let limit = ANSWER_LIMIT * u32::try_from(count).unwrap_or(u32::MAX);
            let mut sets = match self.server.session_within(self.access, &message, limit).await {
                Ok((lease, mut sets)) => {
                    self.server.give_back(lease).await;
                    sets.split_off(sets.len().saturating_sub(2 * count)).into_iter()
                }
                Err(NoSession::Trouble(Trouble::Refused { .. })) => Sets::new().into_iter(),
                Err(none) => return Err(unreadable(self.server, none)),
            };
            for one in asked {
                match (sets.next(), sets.next()) {
                    (Some(rows), Some(warnings)) if warnings.iter().all(|said| incomplete(said).is_none()) => {
                        answers.rows.push((one.at, rows));
                    }
                    _ => self.alone(one, question, &mut answers).await?,
                }
            }
        }
        Ok(answers)
    }

    /// Asks a question by itself. One that is not answered in full is halved until the database that it is for is alone:
    /// a table that another session is altering is left out with a warning, and must not be missed.
    async fn alone(
        &self,
        asked: &Question<'_>,
        question: fn(&Part, &[&str]) -> String,
        answers: &mut Answers,
    ) -> Result<()> {
        let mut chunks = vec![asked.databases];
        while let Some(chunk) = chunks.pop() {
            let question = question(&self.parts[asked.at], chunk);
            let message = format!("{}; {question}; SHOW WARNINGS", flavor::open(LOCK_WAIT.as_secs()));
            let trouble = match self.server.session(self.access, &message).await {
                Ok((lease, mut sets)) => {
                    self.server.give_back(lease).await;
                    let warnings = sets.pop().unwrap_or_default();
                    match warnings.iter().find_map(incomplete) {
                        None => {
                            answers.rows.push((asked.at, sets.pop().unwrap_or_default()));
                            continue;
                        }
                        Some(said) => cannot_read(self.server).cause(said),
                    }
                }
                Err(none @ NoSession::Trouble(Trouble::Refused { .. })) => unreadable(self.server, none),
                Err(none) => return Err(unreadable(self.server, none)),
            };
            match chunk {
                [database] => answers.troubles.push(((*database).to_owned(), trouble)),
                _ => {
                    let (one, other) = chunk.split_at(chunk.len() / 2);
                    chunks.extend([one, other]);
                }
            }
        }
        Ok(())
    }
}

/// Returns what a warning says if it means that the answer is not whole.
fn incomplete(warning: &Cells) -> Option<String> {
    let cell = |at: usize| warning.get(at).and_then(Option::as_deref).unwrap_or_default();
    let harmless = BROKEN_VIEW.contains(&cell(1)) || DEPRECATED.contains(&cell(1));
    (!harmless).then(|| format!("{}: {}", cell(1), cell(2)))
}
