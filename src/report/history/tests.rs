use crate::error::{Code, Diagnostic, ExitStatus, Paint};
use crate::history::AttemptOutcome::{Accepted, Applied, Failed, Started};
use crate::report::sample::attempt;

use super::{HistoryFormat, HistoryReport, TenantHistory};

fn entry(tenant: &str, attempts: Result<Vec<crate::history::Attempt>, Diagnostic>) -> TenantHistory {
    TenantHistory { tenant: tenant.into(), attempts }
}

fn two_tenants() -> HistoryReport {
    let mut failed = attempt(2, Failed);
    (failed.statement_no, failed.statements) = (Some(3), Some(5));
    failed.prefix = Some("5d41402abc4b2a76".into());
    failed.error = Some("1062: duplicate entry 'A-17'".into());
    let gone = Diagnostic::new(Code::NO_DATABASE, "tenant demo's database does not exist")
        .cause("unable to open database file")
        .hint("make it first");
    let mut applied = attempt(1, Applied);
    applied.fingerprint = Some("1/postgres-15/0123456789abcdef0123456789abcdef".into());
    let mut accepted = attempt(1, Accepted);
    accepted.id = 3;
    accepted.fingerprint = Some("1/postgres-15/3fa1c2d4001122334455667788990000".into());
    accepted.error = Some("ticket 812: a report needs it: column `orders.note` is not expected".into());
    let difference =
        r#"[{"kind":"column","parent":"orders","object":"orders.note","expected":null,"found":"varchar(80)"}]"#;
    accepted.accepted = Some(difference.into());
    HistoryReport::new(vec![entry("acme", Ok(vec![applied, failed, accepted])), entry("demo", Err(gone))])
}

#[test]
fn the_json_format_is_pinned() {
    let text = two_tenants().render(HistoryFormat::Json, Paint::Plain, None);
    assert_eq!(text, include_str!("../pinned/history.json"));
}

#[test]
fn each_tenant_has_its_attempts_newest_first_or_why_there_are_none() {
    assert_eq!(
        two_tenants().render(HistoryFormat::Table, Paint::Plain, None),
        "\
acme
when (UTC)           version  changeset  outcome   statement   took  run            by           error, or why
2026-11-21 09:30:00       V1  change_1   accepted             41 ms  019aa5d2-7c10  deploy@ci-7  ticket 812: a report needs it: column `orders.note` is not expected
2026-11-21 09:30:00       V2  change_2   failed    3 of 5     41 ms  019aa5d2-7c10  deploy@ci-7  1062: duplicate entry 'A-17'
2026-11-21 09:30:00       V1  change_1   applied              41 ms  019aa5d2-7c10  deploy@ci-7

demo
error[MT312]: tenant demo's database does not exist
cause: unable to open database file
hint: make it first
"
    );
    assert_eq!(two_tenants().exit(), ExitStatus::Unreachable);
}

#[test]
fn a_tenant_without_a_journal_says_so() {
    let report = HistoryReport::new(vec![entry("acme", Ok(Vec::new()))]);
    let text = report.render(HistoryFormat::Table, Paint::Plain, None);
    assert_eq!((text.as_str(), report.exit()), ("acme\nno attempts in its journal\n", ExitStatus::Done));
}

#[test]
fn an_acceptance_of_a_tenant_without_a_version_has_none_and_what_is_no_json_is_not_shown_as_it() {
    let mut accepted = attempt(0, Accepted);
    (accepted.name, accepted.accepted) = (String::new(), Some("[{".into()));
    let report = HistoryReport::new(vec![entry("acme", Ok(vec![accepted]))]);
    let text = report.render(HistoryFormat::Table, Paint::Plain, None);
    assert!(!text.contains("V0") && text.contains("  -  "), "{text}");
    let read: serde_json::Value =
        serde_json::from_str(&report.render(HistoryFormat::Json, Paint::Plain, None)).expect("the report is JSON");
    assert!(read["tenants"][0]["attempts"][0]["accepted"].is_null(), "{read}");
}

#[test]
fn the_outcome_is_coloured() {
    let report = HistoryReport::new(vec![entry("acme", Ok(vec![attempt(1, Started), attempt(2, Failed)]))]);
    let text = report.render(HistoryFormat::Table, Paint::Ansi, Some(200));
    assert!(text.contains("\u{1b}[33mstarted\u{1b}[0m") && text.contains("\u{1b}[1m\u{1b}[31mfailed"), "{text:?}");
}

#[test]
fn rows_that_a_stranger_wrote_neither_break_a_line_nor_command_the_terminal() {
    let mut strange = attempt(1, Failed);
    strange.run_id = "größe\u{1b}[2Jxxxxxxxxx".into();
    strange.name = "x\"; DROP\ny".into();
    strange.who = "a|b\u{1b}[2J".into();
    strange.duration_ms = -1;
    strange.error = Some("one\ntwo\u{1b}[2J".into());
    strange.finished_at = time::macros::datetime!(9999-12-31 23:59:59 -23);
    let report = HistoryReport::new(vec![entry("x\n\u{1b}[2J", Ok(vec![strange]))]);
    let text = report.render(HistoryFormat::Table, Paint::Plain, None);
    assert!(!text.contains('\u{1b}') && text.lines().count() == 3, "{text}");
    assert!(text.contains("x\"; DROP\\ny") && text.contains("one two\\u{1b}[2J"), "{text}");
    let json = report.render(HistoryFormat::Json, Paint::Plain, None);
    let read: serde_json::Value = serde_json::from_str(&json).expect("the report is JSON");
    assert_eq!(read["tenants"][0]["attempts"][0]["who"], "a|b\u{1b}[2J");
}
