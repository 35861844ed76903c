use std::sync::Arc;

use crate::changeset::Version;
use crate::error::{Code, Diagnostic, ExitStatus, Paint};
use crate::history::{AttemptOutcome, Unfinished};
use crate::lockstep::{Found, State};
use crate::report::sample::{AT, Sample, Told, attempt, on, schema};
use crate::schema::Kind::{Column, Index};
use crate::schema::{Snapshot, Verdict};
use crate::sql::EngineKind::{MySql, Postgres, Sqlite};

use super::{Drift, StatusFormat, StatusReport};

/// One tenant in each state but `ahead`; the drift is told, because only the comparison makes findings.
fn fleet() -> StatusReport<'static> {
    let tenants = [
        ("acme", Postgres),
        ("globex", Postgres),
        ("initech", MySql),
        ("umbrella", Postgres),
        ("demo", Sqlite),
        ("hooli", MySql),
        ("wayne", Postgres),
        ("stark", Postgres),
    ];
    let sample = Sample::of(&tenants, 4);
    let (behind, new) = (sample.at(2), sample.at(0));
    let refused = Diagnostic::new(Code::UNREACHABLE, "server eu cannot be reached")
        .cause("connection refused")
        .hint("look whether the server runs");
    let failed = |statement_no: Option<u32>| {
        let mut last = attempt(3, AttemptOutcome::Failed);
        (last.statement_no, last.statements) = (statement_no, statement_no.map(|_| 5));
        last.error = Some("1062: duplicate\nentry 'A-17'".into());
        Some(last)
    };
    let sample = sample
        .found(1, behind.clone())
        .found(2, behind.clone())
        .read(2, |position| {
            position.last = failed(Some(3));
            position.unfinished =
                Some(Unfinished::FailedAt { version: Version(3), statement_no: 3, prefix: "00".into() });
        })
        .found(3, Found::Unreadable(refused))
        .found(4, new)
        .quarantined(5, "moves to another server")
        .found(7, behind)
        .read(7, |position| position.last = failed(None));
    drifted(sample.status(), "wayne")
}

fn drifted<'s>(mut report: StatusReport<'s>, name: &str) -> StatusReport<'s> {
    for row in report.rows.iter_mut().filter(|row| row.name() == name) {
        let detail = "the history has checksum 17, the file 4".to_owned();
        let version = Some(Version(2));
        row.drift.insert(
            0,
            Drift { kind: "changed", version, object: None, expected: None, found: None, detail, implied: false },
        );
        row.state = State::Drifted;
    }
    report.rows.sort_by(|a, b| (a.state, a.name()).cmp(&(b.state, b.name())));
    report
}

fn orders() -> Arc<Snapshot> {
    schema(&[(Column, "orders.note", "text"), (Index, "orders_ref", "CREATE INDEX orders_ref ON orders (ref)")])
}

fn plain(report: &StatusReport<'_>, format: StatusFormat) -> String {
    report.render(format, Paint::Plain, None)
}

#[test]
fn the_table_has_a_line_a_tenant_and_what_needs_a_person_comes_first() {
    assert_eq!(
        plain(&fleet(), StatusFormat::Table),
        "\
name      state         version  behind  engine    server  last change (UTC)  note
initech   half-applied  V2            2  mysql     us      2026-11-21 09:30   V3 statement 3: 1062: duplicate entry 'A-17'; 2 before it committed
stark     failed        V2            2  postgres  eu      2026-11-21 09:30   V3: 1062: duplicate entry 'A-17'
wayne     drifted       V4            0  postgres  eu      2026-11-21 09:30   changed V2: the history has checksum 17, the file 4
umbrella  unreachable   -             -  postgres  eu      -                  server eu cannot be reached: connection refused
globex    behind        V2            2  postgres  eu      2026-11-21 09:30
demo      new           -             4  sqlite    data    -
hooli     quarantined   -             -  mysql     us      -                  moves to another server
acme      current       V4            0  postgres  eu      2026-11-21 09:30

8 tenants: 1 half-applied, 1 failed, 1 drifted, 1 unreachable, 1 behind, 1 new, 1 quarantined, 1 current; target V4
"
    );
}

#[test]
fn in_a_narrow_terminal_a_note_stands_below_its_tenant() {
    let text = fleet().render(StatusFormat::Table, Paint::Plain, Some(80));
    assert!(text.lines().take_while(|line| !line.is_empty()).all(|line| line.len() <= 80), "{text}");
    let stark = "stark     failed        V2            2  postgres  eu      2026-11-21 09:30\n    \
                 V3: 1062: duplicate entry 'A-17'\n";
    assert!(text.contains(stark), "{text}");
}

#[test]
fn colour_is_on_the_state_alone_and_says_nothing_new() {
    let text = fleet().render(StatusFormat::Table, Paint::Ansi, None);
    for said in ["\u{1b}[1m\u{1b}[31mhalf-applied\u{1b}[0m", "\u{1b}[33mbehind\u{1b}[0m", "\u{1b}[32mcurrent\u{1b}[0m"]
    {
        assert!(text.contains(said), "{text:?}");
    }
    let bare = ["\u{1b}[1m", "\u{1b}[31m", "\u{1b}[33m", "\u{1b}[32m", "\u{1b}[0m"];
    let bare = bare.iter().fold(text, |text, code| text.replace(code, ""));
    assert_eq!(bare, plain(&fleet(), StatusFormat::Table));
}

#[test]
fn the_json_format_is_pinned() {
    let sample = Sample::of(&[("acme", Postgres), ("demo", Sqlite), ("hooli", MySql), ("umbrella", Postgres)], 4);
    let denied = Diagnostic::new(Code::ACCESS_DENIED, "server eu refuses the user `migrator`")
        .cause("28P01: password authentication failed")
        .hint("look at `url:` in tenants.yaml");
    let behind = sample.at(2);
    let sample = sample.found(1, behind).quarantined(2, "moves to another server").found(3, Found::Unreadable(denied));
    let sample = sample.read(1, |position| {
        let mut last = attempt(3, AttemptOutcome::Failed);
        last.error = Some("UNIQUE constraint failed: orders.ref".into());
        (position.last, position.server_version) = (Some(last), "3.46.0".into());
    });
    let sample = sample
        .cohort(vec![Told::of(0, &schema(&[(Column, "orders.note", "varchar(80)")])).was(&orders())])
        .cohort(vec![Told::of(1, &on("sqlite-3", &[(Column, "orders.note", "TEXT")]))]);
    let report = drifted(sample.status(), "acme");
    assert_eq!(plain(&report, StatusFormat::Json), include_str!("../pinned/status.json"));
}

#[test]
fn the_csv_format_has_the_same_facts_flat() {
    let text = plain(&fleet(), StatusFormat::Csv);
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(
        lines[0],
        "name,engine,server,server_version,database,schema,labels,state,version,pending,drift,last_outcome,\
         last_version,last_at,last_duration_ms,last_run_id,last_error,error_code,error_message,error_cause,\
         error_hint,quarantined,fingerprint"
    );
    assert_eq!(
        lines[1],
        "initech,mysql,us,15.8,initech,,eu prod,half-applied,2,3 4,,failed,3,2026-11-21T09:30:00.291Z,41,\
         019aa5d2-7c10-7b3e-9d55-0c1f4a6b8e21,\"1062: duplicate\nentry 'A-17'\",,,,,,"
    );
    assert!(text.contains("wayne,postgres,eu,15.8,shared,wayne,eu prod,drifted,4,,\"changed 2: the history"));
    assert!(text.contains("MT310,server eu cannot be reached,connection refused,look whether the server runs,,\r\n"));
}

#[test]
fn the_markdown_table_keeps_hostile_names_in_their_cells() {
    let report = Sample::named(&["a|b", "x\"; DROP", "line\nfeed", "\u{1b}[2J", "<img src=x>", "a\\|b"]).status();
    assert_eq!(
        plain(&report, StatusFormat::Markdown),
        "\
| name | state | version | behind | engine | server | last change (UTC) | note |
| --- | --- | --- | ---: | --- | --- | --- | --- |
| \\\\u{1b}\\[2J | current | V2 | 0 | postgres | eu | 2026-11-21 09:30 |  |
| \\<img src=x\\> | current | V2 | 0 | postgres | eu | 2026-11-21 09:30 |  |
| a\\\\\\|b | current | V2 | 0 | postgres | eu | 2026-11-21 09:30 |  |
| a\\|b | current | V2 | 0 | postgres | eu | 2026-11-21 09:30 |  |
| line feed | current | V2 | 0 | postgres | eu | 2026-11-21 09:30 |  |
| x\"; DROP | current | V2 | 0 | postgres | eu | 2026-11-21 09:30 |  |

6 tenants: 6 current; target V2
"
    );
}

#[test]
fn a_schema_that_is_not_as_expected_is_drift_in_every_form() {
    let sample = Sample::named(&["acme", "globex", "initech"]);
    let changed = schema(&[(Column, "orders.note", "varchar(80)")]);
    let sample =
        sample.cohort(vec![Told::of(0, &changed).was(&orders()), Told::of(1, &orders()), Told::of(2, &orders())]);
    let report = sample.status();
    let table = plain(&report, StatusFormat::Table);
    assert!(table.contains("acme     drifted  V2"), "{table}");
    assert!(table.contains("column `orders.note` is `varchar(80)`, expected `text`; +1 more\n"), "{table}");
    let csv = plain(&report, StatusFormat::Csv);
    let found = "\"column `orders.note` is `varchar(80)`, expected `text`; index `orders_ref` is missing\"";
    assert!(csv.contains(found) && csv.contains(&format!(",{}\r\n", changed.fingerprint())), "{csv}");
    assert_eq!(report.exit(true), ExitStatus::Drift);
    let json: serde_json::Value =
        serde_json::from_str(&plain(&report, StatusFormat::Json)).expect("the report is JSON");
    let (drift, groups) = (&json["tenants"][0]["drift"], &json["cohorts"][0]["groups"]);
    assert_eq!((&drift[1]["kind"], &drift[1]["object"]), (&"index".into(), &"orders_ref".into()));
    assert!(drift[1]["found"].is_null() && drift[1]["version"].is_null(), "{drift}");
    assert_eq!((&groups[0]["state"], &groups[1]["state"]), (&"expected".into(), &"changed".into()));
    assert!(groups[0]["diff"].is_null() && groups[1]["diff"].is_string(), "{groups}");
}

#[test]
fn a_schema_of_which_no_difference_is_known_is_one_entry_that_says_so() {
    let sample = Sample::named(&["acme", "globex"]);
    let changed = schema(&[(Column, "orders.note", "varchar(80)")]);
    let sample = sample.cohort(vec![Told::of(0, &changed).unrecorded(), Told::of(1, &orders()).unrecorded()]);
    let json: serde_json::Value =
        serde_json::from_str(&plain(&sample.status(), StatusFormat::Json)).expect("the report is JSON");
    let drift = &json["tenants"][0]["drift"];
    assert_eq!((drift.as_array().map(Vec::len), &drift[0]["kind"]), (Some(1), &"schema".into()));
    assert!(drift[0]["object"].is_null() && drift[0]["detail"].is_string(), "{drift}");
    let changed = |expected| Verdict::Changed { expected, differences: Vec::new().into() };
    for expected in [None, Some(orders())] {
        assert_eq!(super::schema_drift(&changed(expected)).len(), 1);
    }
}

#[test]
fn hostile_names_neither_break_the_table_nor_change_in_json() {
    let names = ["a|b", "line\nfeed", "x\"; DROP", "\u{1b}[2J", "Größe", "株式会社"];
    let report = Sample::named(&names).status();
    let table = plain(&report, StatusFormat::Table);
    assert_eq!(table.lines().count(), 1 + names.len() + 2, "{table}");
    assert!(!table.contains('\u{1b}') && table.contains("line\\nfeed") && table.contains("x\"; DROP"), "{table}");
    let json = plain(&report, StatusFormat::Json);
    assert!(!json.contains('\u{1b}'), "{json}");
    let read: serde_json::Value = serde_json::from_str(&json).expect("the report is JSON");
    let mut found: Vec<&str> =
        read["tenants"].as_array().into_iter().flatten().filter_map(|t| t["name"].as_str()).collect();
    found.sort_by_key(|name| names.iter().position(|known| known == name));
    assert_eq!(found, names);
}

#[test]
fn a_target_below_the_newest_makes_later_changesets_no_concern() {
    let sample = Sample::named(&["acme", "globex"]);
    let (first, none) = (sample.at(1), sample.at(0));
    let sample = sample.found(0, first).found(1, none);
    let report = StatusReport::new(&sample.scope(), &sample.survey, Some(Version(1)), AT.date());
    let table = plain(&report, StatusFormat::Table);
    assert!(table.ends_with("\n\n2 tenants: 1 new, 1 current; target V1\n"), "{table}");
}

#[test]
fn without_check_only_an_unreadable_tenant_is_not_zero() {
    let fine = Sample::named(&["acme"]);
    let behind = fine.at(1);
    assert_eq!(fine.found(0, behind).status().exit(false), ExitStatus::Done);
    assert_eq!(fleet().exit(false), ExitStatus::Unreachable);
}

#[test]
fn with_check_the_most_urgent_state_decides() {
    use ExitStatus::{Done, Drift, HalfApplied, Pending, Unreachable};
    let mut report = fleet();
    for (urgent, exit) in [
        (State::HalfApplied, HalfApplied),
        (State::Drifted, Drift),
        (State::Unreachable, Unreachable),
        (State::Failed, Pending),
        (State::Behind, Pending),
        (State::New, Pending),
        (State::Quarantined, Done),
        (State::Provisioning, Done),
    ] {
        assert_eq!(report.exit(true), exit, "{urgent:?}");
        report.rows.retain(|row| row.state != urgent);
    }
    report.rows.iter_mut().for_each(|row| row.state = State::Ahead);
    assert_eq!((report.exit(true), report.exit(false)), (Drift, Done));
}

#[test]
fn an_empty_changelog_is_said_and_not_shown_as_a_version() {
    let report = Sample::of(&[("acme", Postgres)], 0).status();
    assert!(plain(&report, StatusFormat::Table).ends_with("1 tenant: 1 current; the changelog is empty\n"));
}

#[test]
fn who_is_being_made_is_named_in_every_report() {
    let sample = Sample::named(&["acme", "initech"]).provisioning(1);
    let drift = crate::report::DriftReport::new(&sample.scope(), &sample.survey, AT.date());
    let text = drift.render(crate::report::DriftFormat::Text, Paint::Plain, None);
    assert!(text.starts_with("provisioning: 1 tenant (initech)\n"), "{text}");
    let run = crate::report::RunReport::new(&sample.scope(), AT);
    assert!(run.human(Paint::Plain).contains("being provisioned, left out: initech\n"), "{}", run.human(Paint::Plain));
    let (plan, options) = (crate::plan::Plan::new(std::iter::empty(), None), crate::report::PlanOptions::default());
    let plan = crate::report::PlanReport::new(&sample.scope(), &sample.survey, &plan, options);
    let text = plan.render(crate::report::PlanFormat::Human, Paint::Plain);
    assert!(text.contains("left out: 1 tenant being provisioned: initech\n"), "{text}");
    let json = [
        drift.render(crate::report::DriftFormat::Json, Paint::Plain, None),
        run.json(),
        plan.render(crate::report::PlanFormat::Json, Paint::Plain),
    ];
    for json in json {
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["provisioning"], serde_json::json!(["initech"]));
    }
    let status = plain(&sample.status(), StatusFormat::Table);
    assert!(status.contains("\ninitech  provisioning  "), "{status}");
}
