//! The final summary: what needs a person in full, what went well counted, how it ended last.

use std::collections::{BTreeSet, HashSet};

use crate::error::{Paint, count, names, render_all, short};
use crate::lockstep::barrier::Decision;
use crate::lockstep::{Ending, RunOutcome};
use crate::report::words::{Tone, on_a_line, took};

use super::{Gate, Lowered, RunReport, Step};

/// How many diagnostics are shown in full.
const DIAGNOSTICS: usize = 20;

/// How many names one line holds.
const NAMES: usize = 10;

/// How many steps have a line each; of more, [`STEP_ENDS`] at each end do.
const STEPS: usize = 12;

/// How many of many steps are shown at each end.
const STEP_ENDS: usize = 4;

/// How many quarantined tenants are named.
const QUARANTINED: usize = 5;

/// How many notices are shown.
const NOTICES: usize = 3;

/// The longest line of a stranger's words, in characters.
const LINE: usize = 160;

pub(super) fn render(report: &RunReport, paint: Paint) -> String {
    let ending = report.ending.as_ref();
    let diagnostics = ending.map(|ending| diagnostics(report, ending, paint)).unwrap_or_default();
    let parts = [diagnostics, steps(report, paint), asides(report), vec![outcome(report, paint)]];
    let said: Vec<String> = parts.into_iter().filter(|lines| !lines.is_empty()).map(|lines| lines.join("\n")).collect();
    format!("{}\n", said.join("\n\n"))
}

fn diagnostics(report: &RunReport, ending: &Ending, paint: Paint) -> Vec<String> {
    let (shown, rest) = ending.diagnostics.split_at(ending.diagnostics.len().min(DIAGNOSTICS));
    if shown.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![render_all(shown, paint)];
    if !rest.is_empty() {
        // The lockstep adds state and hint to a failure; its message stays, and tells whose it is.
        let messages: HashSet<&str> = rest.iter().map(|diagnostic| diagnostic.message()).collect();
        let whose = report
            .tenants
            .iter()
            .filter(|tenant| tenant.error.as_ref().is_some_and(|error| messages.contains(error.message())));
        let whose = names(whose.map(|tenant| tenant.name.as_str()), NAMES).replace('\n', " ");
        let colon = if whose.is_empty() { "" } else { ": " };
        lines.push(format!("\nand {} more{colon}{whose}", rest.len()));
    }
    lines
}

fn steps(report: &RunReport, paint: Paint) -> Vec<String> {
    let line = |step: &Step| step_line(step, paint);
    if report.steps.len() <= STEPS {
        return report.steps.iter().map(line).collect();
    }
    let (first, rest) = report.steps.split_at(STEP_ENDS);
    let (between, last) = rest.split_at(rest.len() - STEP_ENDS);
    let applied: usize = between
        .iter()
        .filter_map(|step| step.barrier)
        .map(|barrier| barrier.tally.applied - barrier.tally.skipped)
        .sum();
    let between = format!("… {}, {} applied", count(between.len(), "more step"), count(applied, "changeset"));
    first.iter().map(line).chain([between]).chain(last.iter().map(line)).collect()
}

fn step_line(step: &Step, paint: Paint) -> String {
    let tenants = count(step.tenants, "tenant");
    let title = named(step);
    let Some(barrier) = step.barrier else { return format!("{title}: {tenants}, not finished") };
    match barrier.decision {
        Decision::Proceed => {
            let done = Tone::Good.paint("done", paint);
            let skipped = match barrier.tally.skipped {
                0 => String::new(),
                skipped => format!(" ({skipped} skipped it)"),
            };
            format!("{title}: {done}, {tenants}{skipped} in {}", took(barrier.elapsed))
        }
        Decision::Halt(_) => {
            let halted = Tone::Alarm.paint("halted", paint);
            format!("{title}: {halted} after {}, {tenants}: {}", took(barrier.elapsed), outcomes(step))
        }
    }
}

/// Returns `V7__x`, where the fleet goes in waves `V7__x, wave canary`.
fn named(step: &Step) -> String {
    match &step.wave {
        Some(wave) => format!("{}, wave {}", step.title, on_a_line(wave)),
        None => step.title.clone(),
    }
}

/// Returns `3 applied, 1 failed, 16 not started`.
fn outcomes(step: &Step) -> String {
    let tally = step.barrier.map(|barrier| barrier.tally).unwrap_or_default();
    let counted = [(tally.applied - tally.skipped, "applied"), (tally.skipped, "skipped")];
    let applied = counted.into_iter().filter(|(n, _)| *n > 0).map(|(n, how)| format!("{n} {how}"));
    applied.chain(lacking(step)).collect::<Vec<_>>().join(", ")
}

/// Returns `1 failed` and `16 not started`: those that did not get the version, or of whom a person must look after it.
fn lacking(step: &Step) -> impl Iterator<Item = String> {
    let tally = step.barrier.map(|barrier| barrier.tally).unwrap_or_default();
    let counted = [
        (tally.half, "half applied"),
        (tally.failed, "failed"),
        (tally.unknown, "of unknown outcome"),
        (tally.diverged, "diverged"),
        (tally.unverified, "not looked at"),
        (step.not_started(), "not started"),
    ];
    counted.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}"))
}

/// Returns what a person may want to know beside how it ended.
fn asides(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(gates(report));
    let retries: u32 = report.tenants.iter().map(|tenant| tenant.retries).sum();
    if retries > 0 {
        let tenants = report.tenants.iter().filter(|tenant| tenant.retries > 0).count();
        let times = if retries == 1 { "once".to_owned() } else { format!("{retries} times") };
        lines.push(format!("tried again {times}, on {}", count(tenants, "tenant")));
    }
    let lowered = report.lowered.iter().map(|Lowered { server, from, to }| {
        format!("server {server} had fewer free connections than its budget: {to} at once there instead of {from}")
    });
    lines.extend(lowered.map(|line| brief(&line)));
    if report.notices > 0 {
        lines.push(format!("the servers gave {}:", count(report.notices, "notice")));
        let given = report.tenants.iter().flat_map(|t| t.notices.iter().map(|notice| (&t.name, notice)));
        let shown = given.take(NOTICES);
        lines.extend(shown.map(|(name, notice)| format!("  {}", brief(&format!("{name}: {notice}")))));
    }
    let left_out = report.quarantined.iter().take(QUARANTINED);
    lines.extend(left_out.map(|one| brief(&format!("quarantined, left out: {}: {}", one.name, one.reason))));
    if report.quarantined.len() > QUARANTINED {
        lines.push(format!("and {} more quarantined", report.quarantined.len() - QUARANTINED));
    }
    if !report.provisioning.is_empty() {
        let whose = names(report.provisioning.iter().map(String::as_str), QUARANTINED);
        lines.push(brief(&format!("being provisioned, left out: {whose}")));
    }
    lines
}

/// Returns `between waves: 3 passed; after canary at V2, not passed: check ./smoke-test`.
fn gates(report: &RunReport) -> Option<String> {
    if report.gates.is_empty() {
        return None;
    }
    let open = |gate: &&Gate| gate.went.is_some_and(|(open, _)| open);
    let mut said = format!("between waves: {} passed", report.gates.iter().filter(open).count());
    for gate in report.gates.iter().filter(|gate| !open(gate)) {
        said.push_str(&format!("; after {} at V{}, not passed: {}", gate.wave, gate.version, gate.condition));
    }
    Some(brief(&said))
}

fn brief(text: &str) -> String {
    short(&on_a_line(text), LINE)
}

/// Returns how it ended, in one line.
fn outcome(report: &RunReport, paint: Paint) -> String {
    let Some(ending) = &report.ending else {
        return Tone::Alarm.paint("the run has not ended", paint);
    };
    let (tone, said) = match ending.outcome {
        RunOutcome::Applied => (Tone::Good, applied(report, ending)),
        RunOutcome::UpToDate => (Tone::Good, up_to_date(report)),
        RunOutcome::Halted => (Tone::Alarm, stopped("halted", report, ending)),
        RunOutcome::Drift => (Tone::Alarm, stopped("halted on drift", report, ending)),
        RunOutcome::Refused => (Tone::Alarm, stopped("refused", report, ending)),
        RunOutcome::Interrupted => (Tone::Caution, stopped("interrupted", report, ending)),
    };
    tone.paint(&said, paint)
}

/// Returns `up: 29 tenants brought to V20 in 12.3 s (20 steps, 580 changesets applied)`.
fn applied(report: &RunReport, ending: &Ending) -> String {
    let brought = report.tenants.iter().filter(|tenant| tenant.applied + tenant.skipped > 0).count();
    let target = report.target.map_or_else(String::new, |target| format!(" to V{target}"));
    // Each wave has its own part of a step.
    let steps = report.steps.iter().map(|step| step.version).collect::<BTreeSet<_>>().len();
    let had = match report.tenants.len() - brought {
        0 => String::new(),
        rest => format!(", {rest} had it already"),
    };
    let skipped = match report.skipped() {
        0 => String::new(),
        skipped => format!(", {skipped} skipped"),
    };
    format!(
        "up: {} brought{target} in {}{had} ({}, {} applied{skipped})",
        count(brought, "tenant"),
        took(ending.elapsed),
        count(steps, "step"),
        count(report.changesets(), "changeset"),
    )
}

fn up_to_date(report: &RunReport) -> String {
    let tenants = count(report.tenants.len(), "tenant");
    match report.target {
        Some(target) => format!("nothing to do: {tenants} {} V{target}", have(report.tenants.len())),
        None => format!("nothing to do: the changelog is empty ({tenants})"),
    }
}

/// Returns `halted at V7__x: 3 tenants have it, 1 failed, 16 not started; 6 steps before it done in 12.3 s`.
fn stopped(how: &str, report: &RunReport, ending: &Ending) -> String {
    let Some(step) = report.steps.last() else {
        return format!("{how}: nothing was changed ({})", count(report.tenants.len(), "tenant"));
    };
    let applied = step.barrier.map_or(0, |barrier| barrier.tally.applied);
    // A step holds every tenant that lacks its version: those outside it have it.
    let having = report.tenants.len().saturating_sub(step.tenants + step.later) + applied;
    let have = format!("{} {} it", count(having, "tenant"), have(having));
    let mut fleet: Vec<String> = [have].into_iter().chain(lacking(step)).collect();
    if step.later > 0 {
        fleet.push(format!("{} in later waves {} not", step.later, if step.later == 1 { "does" } else { "do" }));
    }
    // What was found at the end of the run stands in no step's tally.
    if step.barrier.is_none_or(|barrier| barrier.tally.diverged == 0)
        && let diverged @ 1.. = report.diverged()
    {
        fleet.push(format!("{diverged} diverged"));
    }
    let before = match report.steps.len() - 1 {
        0 => String::new(),
        // A wave's part of a step is not the step.
        n => format!("; {} before it done", count(n, if step.wave.is_some() { "part" } else { "step" })),
    };
    format!(
        "{how} {}: {}{before}; {} applied in {}",
        whereabouts(report, step),
        fleet.join(", "),
        count(report.changesets(), "changeset"),
        took(ending.elapsed),
    )
}

/// Returns `at V7__x`, `at V7__x, wave canary` and, where a gate stayed shut, `after V7__x, wave canary`.
fn whereabouts(report: &RunReport, step: &Step) -> String {
    let shut = report.gates.last().is_some_and(|gate| gate.went.is_some_and(|(open, _)| !open));
    format!("{} {}", if shut { "after" } else { "at" }, named(step))
}

fn have(number: usize) -> &'static str {
    if number == 1 { "has" } else { "have" }
}
