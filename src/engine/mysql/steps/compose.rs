//! The message of a step, and where in it the statements stand.

use crate::engine::mysql::entry::Entry;
use crate::engine::mysql::message::Message;
use crate::engine::mysql::probe;
use crate::engine::mysql::sql::{self, Provided};
use crate::engine::stepwise::Step;
use crate::engine::tables::JournalRow;
use crate::sql::Probe;

use super::MySqlSteps;

/// Where in a message the statements stand that matter, from 0.
pub(super) struct Places {
    /// The text's own.
    pub text: usize,
    /// What shows its warnings.
    pub shown: Option<usize>,
    /// What commits it with its intent.
    pub committed: Option<usize>,
    /// What commits history and journal.
    pub recorded: Option<usize>,
    /// Whether nothing but an intent is there beside the text's own.
    pub is_bare: bool,
}

impl Places {
    /// Returns the statement after which the text's own has taken effect for good; nothing where none of ours follows,
    /// for then the text's own may have many results.
    pub fn settled(&self) -> Option<usize> {
        self.committed.or(self.recorded.map(|_| self.text))
    }
}

impl MySqlSteps<'_> {
    /// Writes the message of a step: the server goes on to the statement only when the intent is written, and to history
    /// and journal only when the statement is done.
    pub(super) fn compose(&self, step: &Step<'_>, entry: Option<&Entry>, proves: bool) -> (Message, Places) {
        let mut message = Message::default();
        for statement in entry.iter().flat_map(|entry| &entry.statements) {
            message.add(statement);
        }
        let began = &self.session.began;
        let ready = entry.map(|entry| entry.ready.clone()).into_iter();
        let ready: Vec<String> = ready.chain(proves.then(|| probe::is_simple(self.database))).collect();
        let mut ready = (!ready.is_empty()).then(|| ready.join(" AND "));
        let is_absent = |probe: &Probe| self.made.as_ref().is_some_and(|made| made.lacks(probe));
        let mut journal = |row: &JournalRow<'_>| {
            let provided = Provided { condition: ready.take(), is_absent: &is_absent };
            sql::insert_journal_if(self.database, row, began, &provided)
        };
        if let Some(ahead) = &step.ahead {
            message.add(&journal(ahead));
        }
        let alone = step.intent.is_atomic() && self.commits_alone;
        if alone {
            message.add("START TRANSACTION");
        }
        message.add(&journal(&step.intent));
        let text = message.add(step.statement.text);
        let last = step.last.as_ref().filter(|_| self.is_plain && self.commits_alone);
        let mut places = Places { text, shown: None, committed: None, recorded: None, is_bare: false };
        if alone || last.is_some() {
            places.shown = Some(message.add("SHOW WARNINGS"));
        }
        if alone {
            places.committed = Some(message.add("COMMIT"));
        }
        if let Some(row) = last {
            message.add("START TRANSACTION");
            message.add(&sql::insert_history(self.database, row));
            message.add(&sql::insert_journal(self.database, row, began));
            places.recorded = Some(message.add("COMMIT"));
            message.add(&sql::end_work(self.database));
        }
        places.is_bare = entry.is_none() && !alone && last.is_none();
        (message, places)
    }
}
