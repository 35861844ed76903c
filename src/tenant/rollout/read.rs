//! `rollout:` as it stands in `tenants.yaml`.

use std::collections::BTreeSet;

use super::super::interpolate::Text;
use super::super::load::Loader;
use super::super::locate::Path;
use super::super::suggest::did_you_mean;
use super::super::tree::Value;
use super::super::walk::{Fields, Walk, Zero, type_of};
use super::super::{Tenant, WaveId};
use super::assign::{WHOLE, matcher};
use super::check::checks;
use super::{OnFailure, REST, Rollout, RolloutOrder, Share, Wave};
use crate::error::{Code, names, plain};

pub(in crate::tenant) const KEYS: [&str; 4] = ["waves", "order", "on_failure", "max_failures"];

pub(in crate::tenant) const WAVE_KEYS: [&str; 7] =
    ["name", "percent", "labels", "tenants", "pause", "confirm", "check"];

/// The longest name of a wave, in characters.
const NAME_CHARS: usize = 64;

/// How many waves a hint lists.
const SHOWN: usize = 20;

const A_WAVE: &str =
    "write `- canary: 5%`, `- canary: label=early`, `- canary: tenant=acme*`, or `- { name: canary, percent: 5 }`";

const A_PERCENTAGE: &str =
    "write a number over 0 and up to 100, with at most two digits after the point: `5%`, `0.25%`";

/// Reads `rollout`.
pub(in crate::tenant) fn read(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Rollout {
    let mut made = Rollout::default();
    let Some(fields) = walk.fields(value, at, "`rollout`", &KEYS) else { return made };
    if let Some((value, at)) = fields.get("waves") {
        made.waves = waves(walk, value, at);
    }
    let order = fields
        .get("order")
        .and_then(|(value, at)| word(walk, value, at, "order", RolloutOrder::ALL.map(RolloutOrder::as_str)));
    made.order = order.map(|idx| RolloutOrder::ALL[idx]).unwrap_or_default();
    let choice = fields
        .get("on_failure")
        .and_then(|(value, at)| word(walk, value, at, "on_failure", OnFailure::ALL.map(OnFailure::as_str)));
    made.on_failure = choice.map(|idx| OnFailure::ALL[idx]).unwrap_or_default();
    if let Some((value, at)) = fields.get("max_failures") {
        let why = "how many tenants of a wave may fail before nobody else of it is started";
        made.max_failures = walk.count(value, at, "max_failures", 0, why).map(|most| most as usize);
        let misread = choice.is_none() && fields.get("on_failure").is_some();
        if made.on_failure == OnFailure::Halt && !misread {
            let hint = "write `on_failure: finish-wave` beside it: without, the first failure halts the run";
            walk.wrong(Code::BAD_WAVE, at.the_key_itself(), "`max_failures` has no meaning here", hint);
        }
    }
    if made.order == RolloutOrder::Wave && made.waves.is_empty() {
        let at = fields.get("order").map_or(fields.at(), |(_, at)| at);
        walk.wrong(Code::BAD_WAVE, at, "`order: wave` without `waves`", A_WAVE);
    }
    made
}

/// Returns which of these words stands there.
fn word<const N: usize>(
    walk: &mut Walk<'_>,
    value: &Value,
    at: Path<'_>,
    key: &str,
    known: [&'static str; N],
) -> Option<usize> {
    let text = walk.text(value, at, key)?;
    let found = known.iter().position(|word| *word == text.value());
    if found.is_none() {
        let hint = did_you_mean(&text.shown(), known, &format!("the words are {}", known.join(", ")));
        walk.wrong(Code::BAD_VALUE, at, format!("`{}` is no word of `{key}`", text.shown()), hint);
    }
    found
}

fn waves(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Vec<Wave> {
    let Value::Sequence(list) = value else {
        walk.wrong_type(at, "waves", "a list", value, A_WAVE);
        return Vec::new();
    };
    if list.is_empty() {
        walk.wrong(Code::BAD_WAVE, at, "`waves` is empty", A_WAVE);
    }
    let (mut made, mut seen, mut shared) = (Vec::with_capacity(list.len()), BTreeSet::new(), 0);
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let Some((mut wave, percent)) = wave(walk, value, at) else { continue };
        if !seen.insert(wave.name.clone()) {
            let message = format!("wave `{}` is there already", plain(&wave.name));
            walk.wrong(Code::BAD_WAVE, at, message, "give every wave a name of its own");
        }
        if let Some(percent) = percent {
            let share = Share { from: shared, to: (shared + percent).min(WHOLE) };
            if shared + percent > WHOLE {
                let message = format!("the percentages up to wave `{}` add up to more than 100", plain(&wave.name));
                walk.wrong(
                    Code::BAD_WAVE,
                    at,
                    message,
                    "each percentage is a share of the whole fleet, beside those before it",
                );
            }
            wave.takes.share = Some(share);
            shared = share.to;
        }
        made.push(wave);
    }
    made
}

/// Reads a wave, and how much of the fleet it takes, in hundredths of a percent.
fn wave(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Option<(Wave, Option<u32>)> {
    let Value::Mapping(mapping) = value else {
        walk.mistakes.add(at, |_| {
            let message = format!("a wave is a mapping, and this is {}", type_of(value));
            crate::error::Diagnostic::new(Code::BAD_VALUE, message).hint(A_WAVE)
        });
        return None;
    };
    let mut entries = mapping.iter();
    if let (Some((Value::String(key), value)), None) = (entries.next(), entries.next())
        && !WAVE_KEYS.contains(&&**key)
    {
        return short(walk, key, value, at);
    }
    let fields = walk.fields(value, at, "a wave", &WAVE_KEYS)?;
    let mut made = Wave::default();
    let percent = fields.get("percent").and_then(|(value, at)| percent(walk, value, at));
    if let Some((value, at)) = fields.get("labels") {
        made.takes.labels = walk.labels(value, at);
    }
    if let Some((value, at)) = fields.get("tenants") {
        made.takes.names = globs(walk, value, at);
    }
    if let Some((value, at)) = fields.get("pause") {
        made.pause = walk.duration(value, at, "pause", Zero::Refused).unwrap_or_default();
    }
    match fields.get("confirm") {
        None => {}
        Some((Value::Bool(confirm), _)) => made.confirm = *confirm,
        Some((value, at)) => walk.wrong_type(
            at,
            "confirm",
            "true or false",
            value,
            "`confirm: true`: a person, or `--yes`, lets the run go on",
        ),
    }
    if let Some((value, at)) = fields.get("check") {
        made.checks = checks(walk, value, at);
    }
    let Some((value, at)) = fields.get("name") else {
        walk.wrong(Code::BAD_WAVE, fields.at(), "a wave has no `name`", A_WAVE);
        return None;
    };
    let name = walk.text(value, at, "name")?;
    made.name = wave_name(walk, name.value(), &name.shown(), at)?;
    Some((made, percent))
}

/// `canary: 5%`, `canary: label=early`, `canary: tenant=acme*`.
fn short(walk: &mut Walk<'_>, key: &str, value: &Value, at: Path<'_>) -> Option<(Wave, Option<u32>)> {
    let name = wave_name(walk, key, &plain(key), at)?;
    let mut made = Wave { name, ..Wave::default() };
    let written = value.as_str().filter(|text| text.contains('='));
    if written.is_none() {
        let percent = percent(walk, value, at)?;
        return Some((made, Some(percent)));
    }
    let text = walk.text(value, at, key)?;
    match text.value().split_once('=') {
        Some(("label", label)) if !label.is_empty() => drop(made.takes.labels.insert(label.to_owned())),
        Some(("tenant", glob)) if is_glob(walk, glob, &text, at) => made.takes.names.push(glob.to_owned()),
        Some(("tenant", _)) => return None,
        _ => {
            walk.wrong(Code::BAD_WAVE, at, format!("wave `{}` takes nobody: {}", plain(key), text.shown()), A_WAVE);
            return None;
        }
    }
    Some((made, None))
}

fn wave_name(walk: &mut Walk<'_>, name: &str, shown: &str, at: Path<'_>) -> Option<String> {
    let wrong = match name {
        REST => Some(format!("no wave is called `{REST}`: that is whoever is in no other")),
        "" => Some("the name of a wave is empty".to_owned()),
        name if name.chars().any(char::is_control) => Some("the name of a wave holds control characters".to_owned()),
        name if name.chars().count() > NAME_CHARS => {
            Some(format!("the name of a wave has more than {NAME_CHARS} characters: `{shown}`"))
        }
        _ => None,
    };
    match wrong {
        None => Some(name.to_owned()),
        Some(message) => {
            walk.wrong(Code::BAD_WAVE, at, message, "give it a short name of its own: `canary`");
            None
        }
    }
}

/// Returns a percentage in hundredths.
fn percent(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Option<u32> {
    let (found, shown) = match value {
        Value::Number(number) => (number.as_f64(), number.to_string()),
        Value::String(_) => {
            let text = walk.text(value, at, "percent")?;
            let digits = text.value().trim();
            let digits = digits.strip_suffix('%').unwrap_or(digits).trim_end();
            (digits.parse::<f64>().ok(), text.shown())
        }
        _ => {
            walk.wrong_type(at, "percent", "a percentage", value, A_PERCENTAGE);
            return None;
        }
    };
    let hundredths = found.map(|percent| percent * 100.0).filter(|all| *all > 0.0 && *all <= f64::from(WHOLE));
    let whole = hundredths.filter(|all| (all - all.round()).abs() < 1e-6 && all.round() >= 1.0);
    if whole.is_none() {
        walk.wrong(Code::BAD_WAVE, at, format!("`{shown}` is no percentage of the fleet"), A_PERCENTAGE);
    }
    // In range, as was looked at.
    whole.map(|all| all.round() as u32)
}

fn globs(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Vec<String> {
    let Value::Sequence(list) = value else {
        walk.wrong_type(at, "tenants", "a list", value, "write `tenants: [acme, \"demo-*\"]`");
        return Vec::new();
    };
    let mut made = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = at.index(index);
        let Some(text) = walk.text(value, at, "tenants") else { continue };
        if is_glob(walk, text.value(), &text, at) {
            made.push(text.into_value());
        }
    }
    made
}

fn is_glob(walk: &mut Walk<'_>, glob: &str, text: &Text<'_>, at: Path<'_>) -> bool {
    let good = !glob.is_empty() && matcher(glob).is_ok();
    if !good {
        let hint = "`*` any characters, `?` one, `[ab]` one of these, `{a,b}` one of these words; `\\*` a star";
        walk.wrong(Code::BAD_WAVE, at, format!("`{}` is no glob of names", text.shown()), hint);
    }
    good
}

/// The wave that a tenant names itself.
pub(in crate::tenant) trait OwnWave {
    /// Reads a tenant's `wave`.
    fn own_wave(&mut self, fields: &Fields<'_>) -> Option<WaveId>;

    /// Checks that each wave that takes nobody by itself is named by a tenant.
    fn check_waves(&mut self, rollout: &Value, at: Path<'_>, tenants: &[&Tenant]);
}

impl OwnWave for Loader<'_> {
    fn own_wave(&mut self, fields: &Fields<'_>) -> Option<WaveId> {
        let (value, at) = fields.get("wave")?;
        let name = self.walk.text(value, at, "wave")?;
        let found = self.rollout.named(name.value());
        if found.is_none() {
            let known: Vec<&str> = self.rollout.names().collect();
            let listed = names(known.iter().copied(), SHOWN);
            let hint = match self.rollout.has_waves() {
                true => did_you_mean(&name.shown(), known, &format!("the waves are {listed}")),
                false => "the file has no `rollout: waves:`; list the waves there".to_owned(),
            };
            self.walk.wrong(Code::UNKNOWN_WAVE, at, format!("there is no wave `{}`", name.shown()), hint);
        }
        found
    }

    fn check_waves(&mut self, rollout: &Value, at: Path<'_>, tenants: &[&Tenant]) {
        // Where a wave was not understood the places of the others are not known.
        let written = rollout.get("waves").and_then(Value::as_sequence).map_or(0, <[Value]>::len);
        if written != self.rollout.waves.len() {
            return;
        }
        for (index, wave) in self.rollout.waves.iter().enumerate() {
            let named = tenants.iter().any(|tenant| tenant.own_wave == Some(WaveId(index)));
            if wave.takes.is_empty() && !named {
                let message = format!("nothing says whom wave `{}` takes", plain(&wave.name));
                let hint = "give it `percent`, `labels` or `tenants`, or a tenant its name: `wave: canary`";
                self.walk.wrong(Code::BAD_WAVE, at.key("waves").index(index), message, hint);
            }
        }
    }
}
