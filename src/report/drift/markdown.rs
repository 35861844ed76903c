//! The report as GitHub shows it, for a pull request or an issue.

use crate::error::plain;
use crate::report::words::escaped;
use crate::schema::Difference;

use super::DriftReport;
use super::lines::{self, Voice};

/// How many tenants a diff's head names, and how many of one kind the asides have.
const LIMIT: usize = 20;

const VOICE: Voice = Voice { name: escaped, difference: sentence };

pub(super) fn render(report: &DriftReport) -> String {
    let mut text = format!("## Drift\n\n{}\n\n", lines::summary(report, VOICE));
    for cohort in &report.cohorts {
        if let (Some(one), Some(reference)) = (&report.against, &cohort.reference) {
            text.push_str(&format!("- {}: fingerprint {} ({})\n", escaped(one), reference.short(), cohort.label));
        }
        for group in &cohort.groups {
            text.push_str(&format!("- {}\n", lines::schema(report, cohort, group, VOICE)));
        }
    }
    for cohort in &report.cohorts {
        for group in cohort.groups.iter().filter(|group| group.state.is_drift()) {
            let Some(diff) = &group.diff else { continue };
            let title = lines::title(report, cohort, group, VOICE);
            let names = lines::listed(&group.tenants, LIMIT, VOICE);
            text.push_str(&format!("\n### {title}\n\n{names}\n\n{}", fenced(diff)));
        }
    }
    list(&mut text, "History", report.history.iter().map(|found| lines::history(found, VOICE)));
    list(&mut text, "Excused", lines::excused(report, VOICE).into_iter());
    let asides = lines::asides(report, LIMIT, VOICE);
    list(&mut text, "Also", asides.into_iter().map(|(word, what)| format!("{word}: {what}")));
    text
}

fn list(text: &mut String, title: &str, all: impl Iterator<Item = String>) {
    let mut all = all.peekable();
    if all.peek().is_some() {
        text.push_str(&format!("\n### {title}\n\n"));
    }
    all.for_each(|line| text.push_str(&format!("- {line}\n")));
}

/// Returns a diff as a block whose fence is longer than any in it.
fn fenced(diff: &str) -> String {
    let diff: Vec<String> = diff.lines().map(plain).collect();
    let longest = diff.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}diff\n{}\n{fence}\n", diff.join("\n"))
}

/// Returns a difference with its names as code; where one of them would end the code by itself, nothing is code.
fn sentence(difference: &Difference) -> String {
    let sentence = difference.sentence();
    let parts = [Some(&difference.object), difference.expected.as_ref(), difference.found.as_ref()];
    match parts.into_iter().flatten().any(|part| part.contains('`')) {
        true => escaped(&sentence),
        false => plain(&sentence).replace('\n', " "),
    }
}
