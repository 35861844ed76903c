//! The report for a person: who has what in a line each, then one unified diff for each deviating group.

use crate::error::{Paint, painted_diff};
use crate::report::words::{Tone, tenants, wrapped};

use super::DriftReport;
use super::lines::{self, Voice, bare};

/// How many tenants a diff's head names.
const NAMES: usize = 20;

/// How many lines a section has.
const LINES: usize = 20;

/// How far what continues a line is indented.
const INDENT: usize = 2;

const VOICE: Voice = Voice { name: bare, difference: |difference| bare(&difference.sentence()) };

pub(super) fn render(report: &DriftReport, paint: Paint, width: Option<usize>) -> String {
    let mut parts = vec![cohorts(report, paint, width)];
    parts.extend(diffs(report, paint, width));
    parts.push(section("history drift:", report.history.iter().map(|found| lines::history(found, VOICE)), width));
    parts.push(section("excused:", lines::excused(report, VOICE).into_iter(), width));
    let asides = lines::asides(report, LINES, VOICE);
    parts.push(asides.iter().map(|(word, what)| wrapped(&format!("{word}: {what}"), width, INDENT) + "\n").collect());
    let tone = if report.is_drift() { Tone::Alarm } else { Tone::Good };
    parts.push(format!("{}\n", tone.paint(&wrapped(&lines::summary(report, VOICE), width, INDENT), paint)));
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

/// Returns a line for each group of tenants.
fn cohorts(report: &DriftReport, paint: Paint, width: Option<usize>) -> String {
    let mut text = String::new();
    for cohort in &report.cohorts {
        if let (Some(one), Some(reference)) = (&report.against, &cohort.reference) {
            text.push_str(&format!("{}: fingerprint {} ({})\n", bare(one), reference.short(), cohort.label));
        }
        for group in &cohort.groups {
            let line = wrapped(&lines::schema(report, cohort, group, VOICE), width, INDENT);
            let many = tenants(group.tenants.len());
            let tone = if group.state.is_drift() { Tone::Alarm } else { Tone::Good };
            // A narrow terminal may have broken it inside.
            let line = match line.strip_prefix(&many) {
                Some(rest) => format!("{}{rest}", tone.paint(&many, paint)),
                None => line,
            };
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// Returns a part for each group that has a diff.
fn diffs(report: &DriftReport, paint: Paint, width: Option<usize>) -> Vec<String> {
    let groups = report.cohorts.iter().flat_map(|cohort| cohort.groups.iter().map(move |group| (cohort, group)));
    let parts = groups.filter(|(_, group)| group.state.is_drift()).filter_map(|(cohort, group)| {
        let diff = group.diff.as_deref()?;
        let title = lines::title(report, cohort, group, VOICE);
        let head = format!("{title}: {}", lines::listed(&group.tenants, NAMES, VOICE));
        Some(format!("{}\n{}\n", wrapped(&head, width, INDENT), painted_diff(diff, paint)))
    });
    parts.collect()
}

/// Returns a title and its lines, or nothing if there is none.
fn section(title: &str, all: impl Iterator<Item = String>, width: Option<usize>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() {
        return String::new();
    }
    let mut text = format!("{title}\n");
    for line in all.iter().take(LINES) {
        text.push_str(&format!("{}\n", wrapped(&format!("  {line}"), width, 2 * INDENT)));
    }
    if let more @ 1.. = all.len().saturating_sub(LINES) {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}
