//! The plan for a person: each step with its tenants and what is special about its texts.

use crate::changeset::{Directives, Who};
use crate::error::{Paint, count, names, plain};
use crate::report::words::{Tone, on_a_line};
use crate::tenant::RolloutOrder;

use super::{EngineText, Gate, PlanReport, Step};

/// How many tenants one line names.
const NAMES: usize = 5;

pub(super) fn render(report: &PlanReport, paint: Paint) -> String {
    let mut text = String::new();
    for step in &report.steps {
        text.push_str(&heading(step, paint));
        for line in details(report, step) {
            text.push_str(&format!("    {line}\n"));
        }
        text.push_str(&sql(step));
    }
    if !report.steps.is_empty() {
        text.push('\n');
    }
    if !report.quarantined.is_empty() {
        let tenants = count(report.quarantined.len(), "quarantined tenant");
        let whose = on_a_line(&names(report.quarantined.iter().map(|(name, _)| name.as_str()), NAMES));
        text.push_str(&format!("left out: {tenants}: {whose}\n"));
    }
    if !report.provisioning.is_empty() {
        let tenants = count(report.provisioning.len(), "tenant");
        let whose = on_a_line(&names(report.provisioning.iter().map(String::as_str), NAMES));
        text.push_str(&format!("left out: {tenants} being provisioned: {whose}\n"));
    }
    for line in waves(report) {
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&total(report, paint));
    text.push('\n');
    text
}

/// Returns `V5__order_search  12 tenants (postgres: own text 4, sqlite: default text 8)`.
fn heading(step: &Step, paint: Paint) -> String {
    let by_engine = step.texts.iter().map(|text| {
        let which = match (text.own, &text.text) {
            (_, None) => "no text",
            (true, _) => "own text",
            (false, _) => "default text",
        };
        format!("{}: {which} {}", text.engine, text.tenants)
    });
    let by_engine = by_engine.collect::<Vec<_>>().join(", ");
    format!("{}  {} ({by_engine})\n", Tone::Caution.paint(&step.title, paint), count(step.tenants, "tenant"))
}

fn details(report: &PlanReport, step: &Step) -> Vec<String> {
    let mut lines = vec![on_a_line(&names(report.tenants_at(step.version), NAMES))];
    if !step.waves.is_empty() {
        let waves: Vec<String> =
            step.waves.iter().map(|(wave, tenants)| format!("{} {tenants}", on_a_line(wave))).collect();
        lines.push(format!("waves: {}", waves.join(", ")));
    }
    lines.extend(step.texts.iter().filter_map(special));
    if !step.skips.is_empty() {
        let whose = names(step.skips.iter().filter_map(|id| report.name(*id)), NAMES);
        lines.push(on_a_line(&format!("recorded as skipped on {}: {whose}", count(step.skips.len(), "tenant"))));
    }
    if let [(first, statement_no), rest @ ..] = step.continues.as_slice() {
        let first = on_a_line(report.name(*first).unwrap_or_default());
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more continue", rest.len()) };
        lines.push(format!("continues at statement {statement_no} on {first}{more}"));
    }
    lines
}

/// Returns what an engine's text asks for beside being run.
fn special(text: &EngineText) -> Option<String> {
    let planned = text.text.as_ref()?;
    let Directives {
        no_transaction,
        lock_timeout,
        statement_timeout,
        touches,
        touches_cluster,
        template,
        only,
        except,
    } = &planned.directives;
    let touched: Vec<String> = touches.iter().map(ToString::to_string).collect();
    let touched = names(touched.iter().map(String::as_str), NAMES);
    let limit = |name: &str, limit: std::time::Duration| format!("{name} {}", humantime::format_duration(limit));
    let who = |word: &str, who: &[Who]| {
        let words: Vec<String> = who.iter().map(ToString::to_string).collect();
        (!words.is_empty()).then(|| on_a_line(&format!("{word} {}", words.join(" "))))
    };
    let said: Vec<String> = [
        template.then(|| "template: each tenant's own values are put into it".to_owned()),
        who("only", only),
        who("except", except),
        no_transaction.then(|| "no-transaction".to_owned()),
        (!touches.is_empty()).then(|| format!("touches {touched}")),
        touches_cluster.then(|| "touches-cluster".to_owned()),
        lock_timeout.map(|wait| limit("lock-timeout", wait)),
        statement_timeout.map(|run| limit("statement-timeout", run)),
        planned.empty.then(|| "no statement in it".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!said.is_empty()).then(|| format!("{}: {}", text.engine, said.join(", ")))
}

/// Returns the step's texts, each once, under a comment that names its file.
fn sql(step: &Step) -> String {
    let mut shown: Vec<&str> = Vec::new();
    let mut made = String::new();
    for planned in step.texts.iter().filter_map(|text| text.text.as_ref()) {
        let Some(sql) = &planned.sql else { continue };
        if shown.contains(&planned.file.as_str()) {
            continue;
        }
        shown.push(&planned.file);
        made.push_str(&format!("\n-- {}\n", on_a_line(&planned.file)));
        // Tabs stay as they are: a person may copy the text.
        let lines: Vec<String> = sql.trim_end().split('\t').map(plain).collect();
        made.push_str(&format!("{}\n\n", lines.join("\t")));
    }
    made
}

/// Returns how the waves come, and what stands between them.
fn waves(report: &PlanReport) -> Vec<String> {
    let Some(order) = report.order.filter(|_| !report.steps.is_empty()) else { return Vec::new() };
    let mut lines = vec![match order {
        RolloutOrder::Step => "order: each step goes wave by wave".to_owned(),
        RolloutOrder::Wave => "order: each wave goes through all its steps before the next begins".to_owned(),
    }];
    let mut by_wave: Vec<(&Gate, usize)> = Vec::new();
    for gate in &report.gates {
        match by_wave.iter_mut().find(|(known, _)| known.after == gate.after) {
            Some((_, times)) => *times += 1,
            None => by_wave.push((gate, 1)),
        }
    }
    lines.extend(by_wave.into_iter().map(|(gate, times)| {
        let conditions: Vec<String> = gate.conditions.iter().map(|one| on_a_line(&one.to_string())).collect();
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        format!("after wave {}, {times}: {}", on_a_line(&gate.after), conditions.join(", then "))
    }));
    lines
}

fn total(report: &PlanReport, paint: Paint) -> String {
    if report.steps.is_empty() {
        let said = format!("nothing to do: no changeset is pending on {}", count(report.readable, "tenant"));
        return Tone::Good.paint(&said, paint);
    }
    let (steps, tenants) = (count(report.steps.len(), "step"), count(report.plan.tenants(), "tenant"));
    format!("{steps}, {tenants}; run `mtmigrate up`")
}
