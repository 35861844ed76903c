//! `check:` of a wave: what must succeed before the next one begins.

use super::super::locate::Path;
use super::super::tree::Value;
use super::super::walk::{Fields, Walk, Zero};
use super::{CHECK_TIMEOUT, Check, WaveCheck};
use crate::error::Code;

pub(in crate::tenant) const CHECK_KEYS: [&str; 3] = ["run", "sql", "timeout"];

const A_CHECK: &str = "write `check: [\"./smoke-test\", \"--fast\"]`, `check: { sql: \"SELECT …\" }`, or a list of such, each with its `timeout`";

/// One check, or a list of such. A list whose first entry is text is a command.
pub(super) fn checks(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Vec<WaveCheck> {
    match value {
        Value::Sequence(list) if list.first().is_some_and(|first| !first.is_string()) => {
            list.iter().enumerate().filter_map(|(index, value)| check(walk, value, at.index(index))).collect()
        }
        one => check(walk, one, at).into_iter().collect(),
    }
}

fn check(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Option<WaveCheck> {
    match value {
        Value::Sequence(_) => {
            let (what, shown) = command(walk, value, at)?;
            Some(WaveCheck { what, shown, timeout: CHECK_TIMEOUT })
        }
        Value::Mapping(_) => {
            let fields = walk.fields(value, at, "a check", &CHECK_KEYS)?;
            let timeout =
                fields.get("timeout").and_then(|(value, at)| walk.duration(value, at, "timeout", Zero::Refused));
            let (what, shown) = asked(walk, &fields)?;
            Some(WaveCheck { what, shown, timeout: timeout.unwrap_or(CHECK_TIMEOUT) })
        }
        value => {
            walk.wrong_type(at, "check", "a command as a list of words, or a mapping", value, A_CHECK);
            None
        }
    }
}

/// Returns what is asked, and how it stands in the file.
fn asked(walk: &mut Walk<'_>, fields: &Fields<'_>) -> Option<(Check, String)> {
    match (fields.get("run"), fields.get("sql")) {
        (Some((value, at)), None) => command(walk, value, at),
        (None, Some((value, at))) => {
            let text = walk.text(value, at, "sql")?;
            if text.value().trim().is_empty() {
                walk.wrong(Code::BAD_WAVE, at, "`sql` of a check is empty", A_CHECK);
                return None;
            }
            let shown = text.shown();
            Some((Check::Sql(text.into_value()), shown))
        }
        _ => {
            walk.wrong(Code::BAD_WAVE, fields.at(), "a check has either `run` or `sql`", A_CHECK);
            None
        }
    }
}

/// A command and its arguments, and how they stand in the file. No shell reads them.
fn command(walk: &mut Walk<'_>, value: &Value, at: Path<'_>) -> Option<(Check, String)> {
    let Value::Sequence(list) = value else {
        walk.wrong_type(at, "run", "a list of words", value, A_CHECK);
        return None;
    };
    let (mut words, mut shown) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
    for (index, value) in list.iter().enumerate() {
        let word = walk.text(value, at.index(index), "check")?;
        shown.push(word.shown());
        words.push(word.into_value());
    }
    if words.first().is_none_or(String::is_empty) || words.iter().any(|word| word.contains('\0')) {
        walk.wrong(Code::BAD_WAVE, at, "the command of a check is empty, or holds a NUL character", A_CHECK);
        return None;
    }
    Some((Check::Command(words), shown.join(" ")))
}
