//! What a tenant has: its history rows, compared with the changelog, and its journal's attempts.
//!
//! Pure. Start at [`compare`]. Rows arrive as a stranger wrote them.

mod compare;
mod finding;

pub use compare::{Comparison, OutOfOrder, compare};
pub use finding::Finding;

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use time::OffsetDateTime;

use crate::changeset::Version;

/// A row of `refinery_schema_history` as it was read: nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The version column as text.
    pub version: Option<String>,
    /// The name column.
    pub name: Option<String>,
    /// The applied_on column: RFC 3339, if refinery or mtmigrate wrote it.
    pub applied_on: Option<String>,
    /// The checksum column: a decimal u64, likewise.
    pub checksum: Option<String>,
}

/// A journal row: one attempt, or one moment of an attempt that cannot be atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The row's number in the tenant's journal; rows are ordered by it, never by time.
    pub id: i64,
    /// The run's UUID as text.
    pub run_id: String,
    /// The changeset's version.
    pub version: Version,
    /// The changeset's name.
    pub name: String,
    /// What happened.
    pub outcome: AttemptOutcome,
    /// The statement that it is about, from 1; absent where a text commits as a whole.
    pub statement_no: Option<u32>,
    /// How many statements the text has, where they are counted.
    pub statements: Option<u32>,
    /// Hash of the statements before `statement_no` ([`prefix_hash`]), where they are counted.
    pub prefix: Option<String>,
    /// The operating system's user that ran mtmigrate.
    pub who: String,
    /// The host that it ran on.
    pub host: String,
    /// `mtmigrate` and its version.
    pub tool: String,
    /// When the attempt began, by the database server's clock.
    pub started_at: OffsetDateTime,
    /// When this row was written, by the database server's clock.
    pub finished_at: OffsetDateTime,
    /// How long the attempt took, in milliseconds.
    pub duration_ms: i64,
    /// The error, in one line; what was accepted and why, where a person accepted a schema.
    pub error: Option<String>,
    /// The fingerprint of the schema that the attempt left, where it is known.
    pub fingerprint: Option<String>,
    /// The differences from its cohort that were accepted for the tenant, as JSON; absent if there is none.
    pub accepted: Option<String>,
    /// Of a statement that was begun: what tells afterwards whether it took effect.
    pub trace: Option<String>,
    /// The versions that were skipped on the tenant, in order: its history has them, and their texts did not run.
    pub skipped: Vec<Version>,
}

/// What a journal row says. The words are persisted, and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// A statement that commits by itself is about to run. The last row of a tenant: nobody knows whether it did.
    Started,
    /// The changeset is applied, and its history row stands.
    Applied,
    /// It failed. With a `statement_no` over 1 the statements before are committed.
    Failed,
    /// A person accepted the tenant's schema as it was; no text ran.
    Accepted,
    /// The changeset is not for the tenant: its history row stands, and no text ran.
    Skipped,
}

impl AttemptOutcome {
    /// Returns the persisted word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Accepted => "accepted",
            Self::Skipped => "skipped",
        }
    }

    /// Reads the persisted word.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Started, Self::Applied, Self::Failed, Self::Accepted, Self::Skipped];
        all.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// Where a text that commits statement by statement stands on a tenant, from the journal's last row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The statement failed and had no effect; those before are committed. The text continues there, if the text
    /// before is still the same.
    FailedAt { version: Version, statement_no: u32, prefix: String },
    /// The runner died while the statement ran: its trace may tell whether it had an effect.
    Uncertain { version: Version, statement_no: u32, statements: u32, prefix: String, trace: Option<String> },
}

/// Returns what the journal's last row leaves open, if anything.
///
/// A failure at statement 1 leaves nothing: the tenant is as it was.
pub fn unfinished(last: &Attempt) -> Option<Unfinished> {
    let statement_no = last.statement_no?;
    match last.outcome {
        AttemptOutcome::Applied | AttemptOutcome::Accepted | AttemptOutcome::Skipped => None,
        AttemptOutcome::Started => Some(Unfinished::Uncertain {
            version: last.version,
            statement_no,
            statements: last.statements.unwrap_or(statement_no),
            prefix: last.prefix.clone().unwrap_or_default(),
            trace: last.trace.clone(),
        }),
        AttemptOutcome::Failed if statement_no <= 1 => None,
        AttemptOutcome::Failed => Some(Unfinished::FailedAt {
            version: last.version,
            statement_no,
            prefix: last.prefix.clone().unwrap_or_default(),
        }),
    }
}

/// Hashes the statements that come before one, so that a changed text is noticed before it is continued.
///
/// SipHash-1-3 with zero keys over each statement's bytes and a zero byte, as 16 hexadecimal digits. It is in
/// tenants' journals (format 1) and can never change.
pub fn prefix_hash<'s>(before: impl IntoIterator<Item = &'s str>) -> String {
    let mut hasher = SipHasher13::new();
    before.into_iter().for_each(|statement| take(&mut hasher, statement));
    digits(&hasher)
}

/// Returns [`prefix_hash`] of nothing, of the first statement, of the first two, and so on to all of them.
pub fn prefix_hashes<'s>(statements: impl IntoIterator<Item = &'s str>) -> Vec<String> {
    let mut hasher = SipHasher13::new();
    let mut hashes = vec![digits(&hasher)];
    for statement in statements {
        take(&mut hasher, statement);
        hashes.push(digits(&hasher));
    }
    hashes
}

fn take(hasher: &mut SipHasher13, statement: &str) {
    hasher.write(statement.as_bytes());
    hasher.write(&[0]);
}

fn digits(hasher: &SipHasher13) -> String {
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(outcome: AttemptOutcome, statement_no: Option<u32>) -> Attempt {
        Attempt {
            id: 1,
            run_id: String::new(),
            version: Version(7),
            name: "a".into(),
            outcome,
            statement_no,
            statements: Some(5),
            prefix: Some("p".into()),
            who: String::new(),
            host: String::new(),
            tool: String::new(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            finished_at: OffsetDateTime::UNIX_EPOCH,
            duration_ms: 0,
            error: None,
            fingerprint: None,
            accepted: None,
            trace: Some("t".into()),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn the_last_row_tells_what_is_unfinished() {
        let version = Version(7);
        let failed = Unfinished::FailedAt { version, statement_no: 3, prefix: "p".into() };
        let prefix = "p".to_owned();
        let trace = Some("t".to_owned());
        let uncertain = Unfinished::Uncertain { version, statement_no: 3, statements: 5, prefix, trace };
        for (outcome, statement_no, left) in [
            (AttemptOutcome::Applied, Some(5), None),
            (AttemptOutcome::Skipped, None, None),
            (AttemptOutcome::Failed, None, None),
            (AttemptOutcome::Failed, Some(1), None),
            (AttemptOutcome::Failed, Some(3), Some(failed)),
            (AttemptOutcome::Started, Some(3), Some(uncertain)),
        ] {
            assert_eq!(unfinished(&attempt(outcome, statement_no)), left, "{outcome:?} {statement_no:?}");
        }
    }

    #[test]
    fn the_prefix_hash_in_tenants_journals_never_changes() {
        assert_eq!(prefix_hash([]), "d1fba762150c532c");
        assert_eq!(prefix_hash(["SELECT 1", "größe"]), "d03df682ae51d76b");
        assert_ne!(prefix_hash(["a", "b"]), prefix_hash(["ab"]));
    }
}
