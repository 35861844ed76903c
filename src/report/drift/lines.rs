//! What is said of each group of tenants, in a line: the same for the terminal and for Markdown.

use std::collections::HashSet;

use crate::error::plain;
use crate::report::cohorts::{Cohort, Excused, Schema, SchemaState, in_short};
use crate::report::words::{minute, tenants};
use crate::schema::Difference;

use super::{DriftReport, HistoryDrift, Rule};

/// How many tenants a line names.
const NAMES: usize = 5;

/// How many differences a line tells; the unified diff has all.
const TOLD: usize = 5;

/// How the text of strangers is made safe.
#[derive(Clone, Copy)]
pub(super) struct Voice {
    /// Names and reasons.
    pub name: fn(&str) -> String,
    /// A sentence with object names in backticks.
    pub difference: fn(&Difference) -> String,
}

/// Returns `2,998 tenants`, or with their names `1 tenant (acme)`.
pub(super) fn who(names: &[String], named: bool, voice: Voice) -> String {
    let many = tenants(names.len());
    match named || names.len() == 1 {
        true => format!("{many} ({})", listed(names, NAMES, voice)),
        false => many,
    }
}

/// Returns the names, comma separated, at most `limit` of them and the number of the rest.
pub(super) fn listed(names: &[String], limit: usize, voice: Voice) -> String {
    let shown: Vec<String> = names.iter().take(limit).map(|name| (voice.name)(name)).collect();
    match names.len().saturating_sub(limit) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns what is to be said of a group.
pub(super) fn schema(report: &DriftReport, cohort: &Cohort, group: &Schema, voice: Voice) -> String {
    let (one, label) = (group.tenants.len() == 1, &cohort.label);
    let short = group.fingerprint.short();
    let named = !matches!(group.state, SchemaState::Expected | SchemaState::Excused);
    let who = who(&group.tenants, named, voice);
    let other = report.against.as_deref().map(voice.name).unwrap_or_default();
    match group.state {
        SchemaState::Expected => format!("{who}: fingerprint {short} ({label}), as expected"),
        SchemaState::Excused => {
            let differ = if one { "differs" } else { "differ" };
            format!("{who}: fingerprint {short} ({label}), {differ} only in what is excused")
        }
        SchemaState::Undecided => {
            format!("{who}: fingerprint {short} ({label}), and nothing says whether that is right")
        }
        SchemaState::Changed => {
            let since = group.recorded_at.map(|at| format!(" since {}", minute(at))).unwrap_or_default();
            format!("{who}: {} — changed by hand{since} ({label})", what(group, voice))
        }
        SchemaState::Deviates => {
            let its = if one { "its" } else { "their" };
            format!("{who}: {} — not what {its} cohort has ({label})", what(group, voice))
        }
        SchemaState::Same => format!("{who}: the same as {other}"),
        SchemaState::Differs => format!("{who}: {} — unlike {other}", what(group, voice)),
        SchemaState::NotComparable => {
            let theirs = &group.fingerprint.basis;
            format!("{who}: not comparable with {other}: {theirs} and {}", cohort.basis)
        }
    }
}

fn what(group: &Schema, voice: Voice) -> String {
    let short = group.fingerprint.short();
    if group.differences.is_empty() {
        return match group.expected {
            Some(_) => format!("fingerprint {short} is what others of the cohort have, and not what was recorded"),
            None => format!("fingerprint {short} is not what was recorded, and what was is not known any more"),
        };
    }
    let told = in_short(&group.differences);
    let mut said: Vec<String> = told.iter().take(TOLD).map(|difference| (voice.difference)(difference)).collect();
    if let more @ 1.. = told.len().saturating_sub(TOLD) {
        said.push(format!("and {more} more"));
    }
    said.join("; ")
}

/// Returns what a group's diff is about, before the names of its tenants.
pub(super) fn title(report: &DriftReport, cohort: &Cohort, group: &Schema, voice: Voice) -> String {
    let label = &cohort.label;
    match group.state {
        SchemaState::Changed => format!("changed by hand ({label})"),
        SchemaState::Undecided => format!("undecided ({label})"),
        SchemaState::Differs => format!("unlike {}", report.against.as_deref().map(voice.name).unwrap_or_default()),
        _ => format!("not what the cohort has ({label})"),
    }
}

/// Returns a piece of history drift.
pub(super) fn history(found: &HistoryDrift, voice: Voice) -> String {
    let version = found.version.map(|version| format!(" V{version}")).unwrap_or_default();
    format!("{}: {}{version}: {}", who(&found.tenants, true, voice), found.kind, (voice.name)(&found.detail))
}

/// Returns the differences that are no drift, of every group.
pub(super) fn excused(report: &DriftReport, voice: Voice) -> Vec<String> {
    let groups = report.cohorts.iter().flat_map(|cohort| &cohort.groups).filter(|group| !group.excused.is_empty());
    let told = groups.flat_map(|group| {
        let differences: Vec<Difference> = group.excused.iter().map(|excused| excused.difference.clone()).collect();
        let told: HashSet<Difference> = in_short(&differences).into_iter().cloned().collect();
        let told = group.excused.iter().filter(move |excused| told.contains(&excused.difference));
        told.map(move |excused| one_excused(group, excused, voice))
    });
    told.collect()
}

fn one_excused(group: &Schema, excused: &Excused, voice: Voice) -> String {
    let because = match &excused.rule {
        Some(reason) => format!("ignored: {}", (voice.name)(reason)),
        None => "accepted".to_owned(),
    };
    format!("{}: {} — {because}", who(&group.tenants, true, voice), (voice.difference)(&excused.difference))
}

/// Returns what else a person should know: a word, and what it is about.
pub(super) fn asides(report: &DriftReport, limit: usize, voice: Voice) -> Vec<(&'static str, String)> {
    let mut said: Vec<(&'static str, String)> = Vec::new();
    said.extend(report.not_comparable.iter().map(|sentence| ("not comparable", (voice.name)(sentence))));
    said.extend(report.rules.iter().filter(|rule| rule.over).map(|rule| ("rule over", over(rule, voice))));
    let unreadable = report.unreadable.iter().take(limit);
    said.extend(
        unreadable.map(|(tenant, why)| {
            ("not readable", format!("{}: {}", (voice.name)(tenant), (voice.name)(&why.one_line())))
        }),
    );
    if let more @ 1.. = report.unreadable.len().saturating_sub(limit) {
        said.push(("not readable", format!("and {more} more")));
    }
    if !report.without_history.is_empty() {
        let who = who(&report.without_history, true, voice);
        said.push(("without history", format!("{who}: nothing is expected yet")));
    }
    let quarantined = report.quarantined.iter().take(limit);
    said.extend(
        quarantined.map(|(tenant, why)| ("quarantined", format!("{}: {}", (voice.name)(tenant), (voice.name)(why)))),
    );
    if let more @ 1.. = report.quarantined.len().saturating_sub(limit) {
        said.push(("quarantined", format!("and {more} more")));
    }
    if !report.provisioning.is_empty() {
        said.push(("provisioning", who(&report.provisioning, true, voice)));
    }
    said
}

fn over(rule: &Rule, voice: Voice) -> String {
    let objects: Vec<String> = rule.objects.iter().map(|object| (voice.name)(object)).collect();
    let until = rule.until.map(|until| format!(" since {until}")).unwrap_or_default();
    format!("{}{until}: {}", objects.join(", "), (voice.name)(&rule.reason))
}

/// Returns how it stands, in one line.
pub(super) fn summary(report: &DriftReport, voice: Voice) -> String {
    let (all, drifting) = (report.compared(), report.drifting());
    let mut said = match (&report.against, drifting) {
        (Some(_), 0) => vec![match report.with(|state| state == SchemaState::NotComparable) {
            0 => format!("no difference: {} compared", tenants(all)),
            many => format!("no difference found: {} compared, {many} not comparable", tenants(all - many)),
        }],
        (Some(one), n) => {
            let are = if n == 1 { "is" } else { "are" };
            vec![format!("{n} of {} {are} unlike {}", tenants(all), (voice.name)(one))]
        }
        // Who looked at nothing has not found that there is none.
        (None, 0) if all == 0 => vec!["no schema was looked at".to_owned()],
        (None, 0) if report.history.is_empty() => vec![format!("no drift: {} looked at", tenants(all))],
        (None, 0) => vec![format!("no schema drift: {} looked at", tenants(all))],
        (None, n) => {
            let counted = [
                (SchemaState::Changed, "changed by hand"),
                (SchemaState::Deviates, "not what the cohort has"),
                (SchemaState::Undecided, "undecided"),
            ];
            let counted = counted.map(|(state, words)| (report.with(|other| other == state), words));
            let told: Vec<String> =
                counted.iter().filter(|(n, _)| *n > 0).map(|(n, words)| format!("{n} {words}")).collect();
            vec![format!("drift: {n} of {} ({})", tenants(all), told.join(", "))]
        }
    };
    let of_history: usize = report.history.iter().map(|found| found.tenants.len()).sum();
    for (many, words) in [(of_history, "with history drift"), (report.unreadable.len(), "not readable")] {
        if many > 0 {
            said.push(format!("{many} {words}"));
        }
    }
    said.join("; ")
}

/// Returns a stranger's text on one line, for a terminal.
pub(super) fn bare(text: &str) -> String {
    plain(text).replace('\n', " ")
}
