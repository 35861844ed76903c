//! Where every tenant stands: a survey as rows, what needs a person first.

pub(super) mod csv;
mod json;
mod markdown;
mod table;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;

use time::Date;

use crate::changeset::Version;
use crate::error::{Diagnostic, ExitStatus, Paint, count};
use crate::history::{Attempt, Finding};
use crate::lockstep::{Account, Found, Position, Scope, Standing, State, Survey};
use crate::schema::{Difference, Fingerprint, Kind, Verdict};
use crate::sql::EngineKind;
use crate::tenant::Tenant;

use super::cohorts::{self, Cohort, in_short};
use super::wire::{pretty, write_pretty};

/// The forms of a status report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFormat {
    /// For a terminal.
    Table,
    /// `mtmigrate.status/1`.
    Json,
    /// RFC 4180, for a spreadsheet.
    Csv,
    /// A table as GitHub shows it.
    Markdown,
}

/// Where every tenant of a selection stands. It points into fleet and survey: a large fleet's facts are not held twice.
#[derive(Clone, Debug)]
pub struct StatusReport<'s> {
    target: Option<Version>,
    /// By urgency of state, then by name.
    rows: Vec<Row<'s>>,
    /// Empty if schemas were not looked at.
    cohorts: Vec<Cohort>,
}

/// One tenant's facts.
#[derive(Clone, Debug)]
struct Row<'s> {
    tenant: &'s Tenant,
    server: &'s str,
    state: State,
    /// What was read, if it was.
    read: Option<&'s Position>,
    /// The versions that it lacks, up to the target.
    pending: Option<&'s [Version]>,
    drift: Vec<Drift>,
    /// What was found out about the statement that is unfinished, in words.
    account: Option<String>,
    error: Option<&'s Diagnostic>,
    quarantined: Option<&'s str>,
}

/// One finding of history drift, or one difference of the schema.
#[derive(Clone, Debug)]
struct Drift {
    kind: &'static str,
    /// Of the history.
    version: Option<Version>,
    /// Of the schema: its name, and what was expected and found of it.
    object: Option<String>,
    expected: Option<String>,
    found: Option<String>,
    detail: String,
    /// Whether another entry says it too: of what belongs to a table that is missing.
    implied: bool,
}

impl Drift {
    /// Tells a schema of which no difference is known.
    fn schema(detail: &str) -> Self {
        let kind = Kind::Schema.as_str();
        Self {
            kind,
            version: None,
            object: None,
            expected: None,
            found: None,
            detail: detail.to_owned(),
            implied: false,
        }
    }
}

impl From<&Finding> for Drift {
    fn from(finding: &Finding) -> Self {
        let (kind, version, detail) = (finding.kind(), finding.version(), finding.detail());
        Self { kind, version, object: None, expected: None, found: None, detail, implied: false }
    }
}

impl From<&Difference> for Drift {
    fn from(difference: &Difference) -> Self {
        Self {
            kind: difference.kind.as_str(),
            version: None,
            object: Some(difference.object.clone()),
            expected: difference.expected.clone(),
            found: difference.found.clone(),
            detail: difference.sentence(),
            implied: false,
        }
    }
}

impl<'s> StatusReport<'s> {
    /// Folds a survey. Without a target, tenants are measured against the changelog's newest version.
    pub fn new(scope: &Scope<'s>, survey: &'s Survey, target: Option<Version>, today: Date) -> Self {
        let target = target.or(scope.changelog.newest());
        let row = |standing: &'s Standing| {
            let account = survey.accounts.get(&standing.tenant).map(account);
            Row { account, ..Row::of(scope, standing, target) }
        };
        let mut rows: Vec<Row<'s>> = survey.standings.iter().map(row).collect();
        rows.sort_by(|a, b| (a.state, a.name()).cmp(&(b.state, b.name())));
        Self { target, rows, cohorts: cohorts::of(scope, survey, today) }
    }

    /// Returns the report as text that ends with a line feed.
    ///
    /// The width is a terminal's and is meant for the table; without one nothing is wrapped.
    pub fn render(&self, format: StatusFormat, paint: Paint, width: Option<usize>) -> String {
        match format {
            StatusFormat::Table => table::render(self, paint, width),
            StatusFormat::Json => pretty(&json::document(self)),
            StatusFormat::Csv => csv::render(self),
            StatusFormat::Markdown => markdown::render(self),
        }
    }

    /// Writes what [`StatusReport::render`] returns. JSON is written as it is made.
    ///
    /// # Errors
    /// What the writer answers.
    pub fn write(
        &self,
        format: StatusFormat,
        paint: Paint,
        width: Option<usize>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        match format {
            StatusFormat::Json => write_pretty(out, &json::document(self)),
            other => out.write_all(self.render(other, paint, width).as_bytes()),
        }
    }

    /// Returns the exit status: 5 if a tenant could not be read. With `check`, the most urgent of what any tenant
    /// asks for: 6 half applied, 3 drifted or ahead, 5 unreachable, 4 behind, new or failed.
    pub fn exit(&self, check: bool) -> ExitStatus {
        let asks = self.rows.iter().map(|row| match row.state {
            State::Unreachable => ExitStatus::Unreachable,
            _ if !check => ExitStatus::Done,
            State::HalfApplied => ExitStatus::HalfApplied,
            State::Drifted | State::Ahead => ExitStatus::Drift,
            State::Failed | State::Behind | State::New => ExitStatus::Pending,
            State::Quarantined | State::Provisioning | State::Current => ExitStatus::Done,
        });
        asks.fold(ExitStatus::Done, ExitStatus::worst)
    }

    /// Returns how many tenants are in a state.
    fn tally(&self, state: State) -> usize {
        self.rows.iter().filter(|row| row.state == state).count()
    }

    /// Returns `30 tenants: 1 half-applied, 2 behind, 27 current; target V20`.
    fn summary(&self) -> String {
        let states = State::ALL.map(|state| (self.tally(state), state.as_str()));
        let said: Vec<String> = states.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let tenants = count(self.rows.len(), "tenant");
        let target = match self.target {
            Some(target) => format!("target V{target}"),
            None => "the changelog is empty".to_owned(),
        };
        match said.is_empty() {
            true => format!("{tenants}; {target}"),
            false => format!("{tenants}: {}; {target}", said.join(", ")),
        }
    }
}

/// Says in short what was found out about a statement.
fn account(account: &Account) -> String {
    match account {
        Account::Decided(_, words) => format!("`up` goes on by itself: {words}"),
        Account::Undecided(words) => words.clone(),
        Account::Unasked(why) => why.one_line(),
    }
}

/// Returns what a verdict finds wrong.
fn schema_drift(verdict: &Verdict) -> Vec<Drift> {
    let told: HashSet<&Difference> = in_short(verdict.differences()).into_iter().collect();
    let implied = |difference: &Difference| !told.contains(difference);
    let differences: Vec<Drift> =
        verdict.differences().iter().map(|one| Drift { implied: implied(one), ..Drift::from(one) }).collect();
    match verdict {
        Verdict::Undecided => vec![Drift::schema("its cohort has several schemas, and nothing says which is right")],
        Verdict::Changed { expected: None, .. } if differences.is_empty() => {
            vec![Drift::schema("changed by hand; what was recorded is not known any more")]
        }
        Verdict::Changed { .. } if differences.is_empty() => {
            vec![Drift::schema("changed by hand; it is what others of its cohort have, and not what was recorded")]
        }
        _ => differences,
    }
}

impl<'s> Row<'s> {
    fn of(scope: &Scope<'s>, standing: &'s Standing, target: Option<Version>) -> Self {
        let tenant = &scope.fleet.tenants[standing.tenant.0];
        let bare = Self {
            tenant,
            server: scope.fleet.server_name(tenant),
            state: standing.state(),
            read: None,
            pending: None,
            drift: Vec::new(),
            account: None,
            error: None,
            quarantined: None,
        };
        match &standing.found {
            Found::Quarantined(reason) => Self { quarantined: Some(reason), ..bare },
            Found::Provisioning => bare,
            Found::Unreadable(diagnostic) => Self { error: Some(diagnostic), ..bare },
            Found::Read(position) => bare.read(position, target),
        }
    }

    fn read(self, position: &'s Position, target: Option<Version>) -> Self {
        let all = &position.pending[..];
        let len = target.map_or(all.len(), |target| all.partition_point(|version| *version <= target));
        let mut drift: Vec<Drift> = position.findings.iter().map(Drift::from).collect();
        drift.extend(position.verdict.iter().flat_map(schema_drift));
        Self {
            read: Some(position),
            // What lies beyond the target is not lacked.
            state: match self.state {
                State::Failed | State::Behind | State::New if len == 0 => State::Current,
                state => state,
            },
            pending: Some(&all[..len]),
            drift,
            ..self
        }
    }

    fn name(&self) -> &'s str {
        &self.tenant.name
    }

    fn engine(&self) -> EngineKind {
        self.tenant.datasource.engine()
    }

    /// Returns the highest version in the history.
    fn version(&self) -> Option<Version> {
        self.read?.newest
    }

    /// Returns the journal's last row.
    fn last(&self) -> Option<&'s Attempt> {
        self.read?.last.as_ref()
    }

    fn last_error(&self) -> Option<&'s str> {
        self.last()?.error.as_deref()
    }

    /// Returns that of the live schema, if it was looked at.
    fn fingerprint(&self) -> Option<&'s Fingerprint> {
        Some(self.read?.schema.as_ref()?.fingerprint())
    }
}
