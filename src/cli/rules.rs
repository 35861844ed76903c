//! Rules of `drift: ignore:` that are over: whoever looks at schemas is told of them until they are taken out.

use time::{Date, OffsetDateTime};

use crate::error::{Code, Diagnostic};
use crate::lockstep;
use crate::tenant::Fleet;

/// Returns the day by which rules hold.
pub(super) fn today() -> Date {
    OffsetDateTime::now_utc().date()
}

/// Returns a warning for each rule that is over.
pub(super) fn over(fleet: &Fleet, today: Date) -> Vec<Diagnostic> {
    let said = lockstep::expired(fleet, today).into_iter().filter_map(|rule| {
        let objects: Vec<String> = rule.objects.iter().map(|pattern| format!("`{}`", pattern.as_str())).collect();
        let labels = match rule.labels.as_slice() {
            [] => String::new(),
            labels => format!(", for label {}", labels.join(", ")),
        };
        let message = format!("a rule of `drift: ignore:` ended on {}: {}{labels}", rule.until?, objects.join(", "));
        Some(
            Diagnostic::warning(Code::EXPIRED_RULE, message)
                .cause(format!("its reason was: {}", rule.reason))
                .state("what it excused is drift again")
                .hint("take it out of tenants.yaml; or, if its reason still holds, give it a later `until:`"),
        )
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use crate::schema::{Ignore, Pattern};
    use crate::tenant::DriftSettings;

    use super::*;

    #[test]
    fn a_rule_is_told_of_from_the_day_after_its_last() {
        let rule = |until| Ignore {
            objects: vec![Pattern::parse("table tmp_*").unwrap(), Pattern::parse("*.legacy_*").unwrap()],
            labels: vec!["eu".into(), "us".into()],
            reason: "the import, ticket 9".into(),
            until,
        };
        let fleet = Fleet {
            config: "c".into(),
            migrations: "m".into(),
            drift: DriftSettings { ignore: vec![rule(Some(date!(2026 - 11 - 21))), rule(None)], ..Default::default() },
            ..Fleet::default()
        };
        assert!(over(&fleet, date!(2026 - 11 - 21)).is_empty());
        let said: Vec<String> = over(&fleet, date!(2026 - 11 - 22)).iter().map(Diagnostic::to_string).collect();
        assert_eq!(
            said,
            ["\
warning[MT116]: a rule of `drift: ignore:` ended on 2026-11-21: `table tmp_*`, `*.legacy_*`, for label eu, us
cause: its reason was: the import, ticket 9
state: what it excused is drift again
hint: take it out of tenants.yaml; or, if its reason still holds, give it a later `until:`"]
        );
    }
}
