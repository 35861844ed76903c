//! What only a server or a program can tell, and how they answer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::{Access, Datasource, Server};
use crate::error::{Place, Secret};

/// What must be asked before the fleet is known. Whoever asks waits for all answers, bounded by the servers' own limits.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who wants to know: `the registry in line 20`.
    pub asker: String,
    /// Where the question stands in `tenants.yaml`.
    pub place: Place,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked. Its `Debug` says which kind and no more: texts may hold what variables gave.
#[derive(Clone)]
pub enum Ask {
    /// One query in one database. It answers with [`Reply::Rows`].
    Query { way: Way, sql: String, hidden: Hidden },
    /// PostgreSQL: one query in every database that another one names. It answers with [`Reply::Rows`], all together.
    EveryDatabase { way: Way, databases: String, sql: String },
    /// A program and its arguments, run in a folder, without a shell; and how the program stands in the
    /// file, for messages. It answers with [`Reply::Output`].
    Program { run: Vec<String>, written: String, folder: PathBuf, timeout: Duration },
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query { .. } => f.write_str("Query"),
            Self::EveryDatabase { .. } => f.write_str("EveryDatabase"),
            Self::Program { written, .. } => write!(f, "Program({written})"),
        }
    }
}

/// What variables and files gave a question's text: a server may repeat it in its answer, and no message shows it.
#[derive(Clone, Default)]
pub struct Hidden(pub(super) Vec<Secret>);

/// Shorter ones are no secrets, and stand in any sentence. In bytes.
const SECRET: usize = 3;

impl Hidden {
    /// Returns a server's words without them, in lower case too: a server may fold an identifier.
    pub fn hide(&self, words: &str) -> String {
        let values = self.0.iter().filter(|value| value.reveal().len() >= SECRET);
        values.fold(words.to_owned(), |words, value| {
            let folded = Secret::new(value.reveal().to_lowercase());
            folded.hidden_in(&value.hidden_in(&words))
        })
    }
}

/// Where a question is asked, and how to get in.
#[derive(Clone, Debug)]
pub struct Way {
    /// The server. It need not be one of the fleet's.
    pub server: Server,
    /// How to get in.
    pub access: Arc<Access>,
    /// The database or file there.
    pub datasource: Datasource,
}

/// What was answered. Its `Debug` shows nothing of it: rows may hold passwords.
#[derive(Clone)]
pub enum Reply {
    /// The rows of a query.
    Rows(Answer),
    /// What a program printed on stdout.
    Output(Vec<u8>),
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(answer) => write!(f, "Rows({})", answer.rows.len()),
            Self::Output(bytes) => write!(f, "Output({} bytes)", bytes.len()),
        }
    }
}

/// The rows of a question, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The columns' names, as the server gives them; none may come where there is no row.
    pub columns: Vec<String>,
    /// One value for each column; nothing for NULL.
    pub rows: Vec<Vec<Option<String>>>,
}
