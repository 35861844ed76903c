//! The keys `verify` and `drift`: when schemas are compared, what is compared of them, and what may differ.

use std::collections::BTreeSet;

use time::Date;
use time::macros::format_description;

use super::interpolate::Text;
use super::load::Loader;
use super::locate::Path;
use super::suggest::did_you_mean;
use super::tree::Value;
use super::walk::{Fields, Walk};
use super::{DriftSettings, Tenant, Verify};
use crate::error::{Code, plain};
use crate::schema::{Ignore, Include, Kind, Pattern};

pub(super) const KEYS: [&str; 2] = ["include", "ignore"];

pub(super) const RULE_KEYS: [&str; 4] = ["objects", "labels", "reason", "until"];

/// The words of `include`.
const INCLUDED: [&str; 2] = ["comments", "grants"];

/// How many labels a hint lists.
const SHOWN_LABELS: usize = 20;

/// The labels that rules name, each with its rule's place in the list.
pub(super) type RuleLabels = Vec<(usize, String)>;

impl Loader<'_> {
    /// Reads `verify`.
    pub(super) fn verify(&mut self, value: &Value, at: Path<'_>) -> Verify {
        let known = Verify::ALL.map(Verify::as_str);
        let Value::String(_) = value else {
            let hint = format!("write `verify: {}`, `{}` or `{}`", known[0], known[1], known[2]);
            self.walk.wrong_type(at, "verify", "a word", value, &hint);
            return Verify::default();
        };
        let Some(text) = self.walk.text(value, at, "verify") else { return Verify::default() };
        Verify::parse(text.value()).unwrap_or_else(|| {
            let hint = did_you_mean(&text.shown(), known, &format!("the words are {}", known.join(", ")));
            self.walk.wrong(Code::BAD_VALUE, at, format!("`{}` is no word of `verify`", text.shown()), hint);
            Verify::default()
        })
    }

    /// Reads `drift`, and which labels its rules name.
    pub(super) fn drift(&mut self, value: &Value, at: Path<'_>) -> (DriftSettings, RuleLabels) {
        let Some(fields) = self.walk.fields(value, at, "`drift`", &KEYS) else { return Default::default() };
        let include = fields.get("include").map(|(value, at)| include(&mut self.walk, value, at)).unwrap_or_default();
        let (ignore, labels) =
            fields.get("ignore").map(|(value, at)| rules(&mut self.walk, value, at)).unwrap_or_default();
        (DriftSettings { include, ignore }, labels)
    }

    /// Checks that each label of a rule is some tenant's: a rule with a misspelt one excuses nothing.
    pub(super) fn check_rule_labels(&mut self, drift: &Value, at: Path<'_>, labels: &RuleLabels, tenants: &[&Tenant]) {
        let known: BTreeSet<&str> =
            tenants.iter().flat_map(|tenant| tenant.labels.iter()).map(String::as_str).collect();
        for (rule, label) in labels.iter().filter(|(_, label)| !known.contains(label.as_str())) {
            let written =
                drift.get("ignore").and_then(|rules| rules.as_sequence()?.get(*rule)?.get("labels")?.as_sequence());
            let place = written.and_then(|list| list.iter().position(|value| value.as_str() == Some(label)));
            let at = at.key("ignore").index(*rule).key("labels");
            let (first, more) = (known.iter().copied().take(SHOWN_LABELS), known.len() > SHOWN_LABELS);
            let hint = match known.is_empty() {
                true => "no tenant has any label".to_owned(),
                false => {
                    let listed = first.collect::<Vec<_>>().join(", ");
                    format!("the labels are {listed}{}", if more { ", …" } else { "" })
                }
            };
            match place {
                Some(index) => {
                    let message = format!("no tenant has the label `{}`", plain(label));
                    let hint = did_you_mean(label, known.iter().copied(), &hint);
                    self.walk.wrong(Code::BAD_VALUE, at.index(index), message, hint);
                }
                // It came from a variable, and what does is not shown.
                None => self.walk.wrong(Code::BAD_VALUE, at, "no tenant has a label of this rule", hint),
            }
        }
    }
}

fn include(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Include {
    let mut made = Include::default();
    let Value::Sequence(list) = value else {
        walk.wrong_type(at, "include", "a list", value, "write `include: [comments, grants]`, or one of them");
        return made;
    };
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let Some(word) = walk.text(value, at, "include") else { continue };
        match word.value() {
            "comments" => made.comments = true,
            "grants" => made.grants = true,
            _ => {
                let hint = did_you_mean(&word.shown(), INCLUDED, "the words are comments, grants");
                walk.wrong(Code::BAD_VALUE, at, format!("`{}` is no word of `include`", word.shown()), hint);
            }
        }
    }
    made
}

fn rules(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> (Vec<Ignore>, RuleLabels) {
    let Value::Sequence(list) = value else {
        let hint = "write `- { objects: [\"table tmp_*\"], reason: \"…\" }` for each rule";
        walk.wrong_type(at, "ignore", "a list", value, hint);
        return Default::default();
    };
    let (mut rules, mut labels) = (Vec::with_capacity(list.len()), RuleLabels::new());
    for (index, value) in list.iter().enumerate() {
        if let Some(rule) = rule(walk, value, at.index(index)) {
            labels.extend(rule.labels.iter().map(|label| (index, label.clone())));
            rules.push(rule);
        }
    }
    (rules, labels)
}

fn rule(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Option<Ignore> {
    let fields = walk.fields(value, at, "a rule of `ignore`", &RULE_KEYS)?;
    let objects = objects(walk, &fields);
    let labels = fields.get("labels").map(|(value, at)| walk.labels(value, at)).unwrap_or_default();
    let reason = reason(walk, &fields);
    let until = fields.get("until").and_then(|(value, at)| until(walk, value, at));
    Some(Ignore { objects: objects?, labels: labels.into_iter().collect(), reason: reason?, until })
}

fn objects(walk: &mut Walk<'_>, fields: &Fields<'_>) -> Option<Vec<Pattern>> {
    let example = "name what may differ: `objects: [\"table tmp_*\", \"*.legacy_*\"]`";
    let Some((value, at)) = fields.get("objects") else {
        walk.wrong(Code::BAD_VALUE, fields.at(), "a rule of `ignore` has no `objects`", example);
        return None;
    };
    let Value::Sequence(list) = value else {
        walk.wrong_type(at, "objects", "a list", value, example);
        return None;
    };
    if list.is_empty() {
        walk.wrong(Code::BAD_VALUE, at, "`objects` of a rule is empty", example);
    }
    let mut patterns = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let Some(text) = walk.text(value, at.index(index), "objects") else { continue };
        patterns.extend(pattern(walk, &text, at.index(index)));
    }
    Some(patterns)
}

fn pattern(walk: &mut Walk<'_>, text: &Text<'_>, at: Path<'_>) -> Option<Pattern> {
    let why = match Pattern::parse(text.value()) {
        Ok(pattern) => return Some(pattern),
        Err(why) => why,
    };
    let shown = text.shown();
    // What comes from a variable appears in no message.
    let why = if shown == text.value() { format!(": {why}") } else { String::new() };
    let example = "a pattern is a glob of names, `tmp_*`, or a kind of object and a glob, `table tmp_*`";
    let word = shown.split(' ').next().unwrap_or_default();
    let kinds = Kind::ALL.map(Kind::as_str);
    let misspelt = shown.contains(' ') && !kinds.contains(&word);
    let hint = if misspelt { did_you_mean(word, kinds, example) } else { example.to_owned() };
    walk.wrong(Code::BAD_VALUE, at, format!("`{shown}` is no pattern of objects{why}"), hint);
    None
}

fn reason(walk: &mut Walk<'_>, fields: &Fields<'_>) -> Option<String> {
    let hint = "say why these objects may differ, for whoever reads the file next";
    let Some((value, at)) = fields.get("reason") else {
        walk.wrong(Code::BAD_VALUE, fields.at(), "a rule of `ignore` has no `reason`", hint);
        return None;
    };
    let text = walk.text(value, at, "reason")?;
    if text.value().trim().is_empty() {
        walk.wrong(Code::BAD_VALUE, at, "`reason` of a rule is empty", hint);
        return None;
    }
    Some(text.into_value())
}

fn until(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Option<Date> {
    let hint = "write a date, `until: 2026-12-31`: the last day on which the rule holds";
    let Value::String(_) = value else {
        walk.wrong_type(at, "until", "a date", value, hint);
        return None;
    };
    let text = walk.text(value, at, "until")?;
    let date = Date::parse(text.value(), format_description!("[year]-[month]-[day]"));
    if date.is_err() {
        walk.wrong(Code::BAD_VALUE, at, format!("`until` is no date: {}", text.shown()), hint);
    }
    date.ok()
}
