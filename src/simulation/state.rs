//! What one simulated tenant has: its history, its journal's last row, its schema; and, for the checker alone, what
//! really ran there.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::engine::tables::JournalRow;
use crate::engine::traced::{ABSENT, PRESENT, Traced};
use crate::history::{Attempt, AttemptOutcome, Row, Unfinished, unfinished};
use crate::schema::{Kind, Object, Snapshot};
use crate::sql::{Probe, Thing};

use super::world::{ProcessId, SessionId};

/// A tenant.
#[derive(Clone, Default)]
pub(super) struct State {
    /// Where it is.
    pub server: usize,
    pub rows: Vec<Row>,
    pub last: Option<Attempt>,
    /// Names and definitions of what is in the schema.
    pub objects: BTreeMap<String, String>,
    /// The snapshot that the journal keeps.
    pub kept: Option<Snapshot>,
    /// The session whose transaction is open here; its history row keeps others waiting.
    pub transaction: Option<SessionId>,
    /// How often each statement took effect, and as what text: the truth, which no hand changes.
    pub effects: BTreeMap<(i64, u32), Effect>,
    /// The versions whose history row was ever committed: the truth likewise.
    pub applied: BTreeSet<i64>,
    /// Those of them that are not for the tenant: their texts did not run.
    pub skipped: BTreeSet<i64>,
    /// What hands changed, to be taken back.
    pub edits: Vec<Edit>,
    /// Since when the history is not what was committed.
    pub drifted: Option<Instant>,
    pub slow: bool,
}

/// A statement that took effect.
#[derive(Clone, Debug)]
pub(super) struct Effect {
    pub text: String,
    pub times: u32,
    /// Who ran it last.
    pub by: ProcessId,
}

/// What a hand changed.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// A row's checksum; this was it.
    Checksum(String, Option<String>),
    /// A row is gone; this was it.
    Removed(Row),
    /// A row of a version that no changelog has.
    Unknown(String),
    /// A column was added.
    Column(String),
}

impl State {
    /// Adds a row to the journal.
    pub fn journal(&mut self, row: Attempt) {
        let id = self.last.as_ref().map_or(0, |last| last.id) + 1;
        self.last = Some(Attempt { id, ..row });
    }

    /// Returns what stands in the journal's column `trace`: the probes are answered by what is there.
    pub fn traced(&self, traced: &Traced) -> String {
        format!("{}{}{}", traced.head(), self.answers(traced.probes()), traced.tail())
    }

    /// Answers probes, one digit for each.
    pub fn answers(&self, probes: &[Probe]) -> String {
        let answer = |probe: &Probe| {
            let there = match &probe.thing {
                Thing::Relation(kind, name) => self.objects.contains_key(&format!("{kind} {name}")),
                Thing::Index { name, .. } => self.objects.contains_key(&format!("index {name}")),
                _ => false,
            };
            if there { PRESENT } else { ABSENT }
        };
        probes.iter().map(answer).collect()
    }

    pub fn has_row(&self, version: i64) -> Option<&Row> {
        let version = version.to_string();
        self.rows.iter().find(|row| row.version.as_deref() == Some(&version))
    }

    /// Returns what the journal's last row leaves open.
    pub fn open(&self) -> Option<Unfinished> {
        self.last.as_ref().and_then(unfinished).filter(|open| {
            let (Unfinished::FailedAt { version, .. } | Unfinished::Uncertain { version, .. }) = open;
            self.has_row(version.0).is_none()
        })
    }

    /// Returns how often a statement took effect.
    pub fn times(&self, version: i64, statement_no: u32) -> u32 {
        self.effects.get(&(version, statement_no)).map_or(0, |effect| effect.times)
    }

    /// Whether anything of a version took effect, in anybody's name or in that of one process.
    pub fn has_any(&self, version: i64, by: Option<ProcessId>) -> bool {
        let mut effects = self.effects.range((version, 0)..=(version, u32::MAX));
        effects.any(|(_, effect)| by.is_none_or(|by| effect.by == by))
    }

    /// Does what a statement does. The truth counts it.
    pub fn take_effect(&mut self, by: ProcessId, version: i64, statement_no: u32, text: &str) {
        if let Some((name, definition)) = creates(text) {
            self.objects.insert(name, definition);
        }
        let effect = self.effects.entry((version, statement_no)).or_insert(Effect { text: text.into(), times: 0, by });
        (effect.times, effect.by) = (effect.times + 1, by);
        text.clone_into(&mut effect.text);
    }

    /// Returns what the schema is, in a word that differs if the schema does.
    pub fn signature(&self) -> String {
        let mut made = String::new();
        for (name, definition) in &self.objects {
            made.push_str(name);
            made.push('=');
            made.push_str(definition);
            made.push(';');
        }
        made
    }

    /// Returns the schema as an engine describes it.
    pub fn described(&self) -> Vec<Object> {
        let object = |(name, definition): (&String, &String)| match name.split_once(' ') {
            Some(("table", name)) => vec![
                Object::new(Kind::Table, None, name),
                Object::new(Kind::Column, Some(name), format!("{name}.a")).with("type", definition),
            ],
            Some(("index", name)) => vec![Object::new(Kind::Index, None, name).with("definition", definition)],
            _ => vec![Object::new(Kind::View, None, name.as_str()).with("definition", definition)],
        };
        self.objects.iter().flat_map(object).collect()
    }
}

/// Returns name and definition of what a statement creates; nothing for one that changes rows.
pub(super) fn creates(text: &str) -> Option<(String, String)> {
    let mut words = text.splitn(4, ' ');
    let (verb, kind, name) = (words.next()?, words.next()?, words.next()?);
    (verb == "CREATE").then(|| (format!("{} {name}", kind.to_lowercase()), words.next().unwrap_or_default().to_owned()))
}

/// Makes the journal's row as it is read.
pub(super) fn attempt(row: &JournalRow<'_>, trace: Option<String>) -> Attempt {
    let statement = row.statement.as_ref();
    Attempt {
        id: 0,
        run_id: row.run.run_id.clone(),
        version: crate::changeset::Version(row.version),
        name: row.name.to_owned(),
        outcome: row.outcome,
        statement_no: statement.map(|mark| mark.statement_no),
        statements: statement.map(|mark| mark.statements),
        prefix: statement.map(|mark| mark.prefix.clone()),
        who: row.run.who.clone(),
        host: row.run.host.clone(),
        tool: row.run.tool.clone(),
        started_at: time::OffsetDateTime::UNIX_EPOCH,
        finished_at: time::OffsetDateTime::UNIX_EPOCH,
        duration_ms: 0,
        error: row.error.clone(),
        fingerprint: row.fingerprint.map(str::to_owned),
        accepted: row.accepted.map(str::to_owned),
        trace: trace.filter(|_| row.outcome == AttemptOutcome::Started),
        skipped: row.skipped.as_deref().map(skipped).unwrap_or_default(),
    }
}

fn skipped(versions: &str) -> Vec<crate::changeset::Version> {
    versions.split(',').filter_map(|version| version.parse().ok().map(crate::changeset::Version)).collect()
}

/// Makes a history row.
pub(super) fn history_row(version: i64, name: &str, checksum: u64) -> Row {
    Row {
        version: Some(version.to_string()),
        name: Some(name.to_owned()),
        applied_on: Some("2026-11-21T00:00:00Z".into()),
        checksum: Some(checksum.to_string()),
    }
}
