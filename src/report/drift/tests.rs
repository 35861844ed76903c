use std::sync::Arc;

use crate::changeset::Version;
use crate::error::{Code, Diagnostic, ExitStatus, Paint};
use crate::history::Finding;
use crate::lockstep::Found;
use crate::report::sample::{AT, Sample, Told, on, rule, schema};
use crate::schema::Kind::{Column, Index, Table};
use crate::schema::Snapshot;
use crate::sql::EngineKind::{MySql, Postgres};
use crate::tenant::TenantId;

use super::{DriftFormat, DriftReport, repair_draft};

fn right() -> Arc<Snapshot> {
    schema(&[(Column, "orders.note", "text"), (Index, "orders_ref", "CREATE INDEX orders_ref ON orders (ref)")])
}

fn changed() -> Arc<Snapshot> {
    schema(&[(Column, "orders.note", "varchar(80)")])
}

fn with_more() -> Arc<Snapshot> {
    schema(&[
        (Column, "orders.more", "integer"),
        (Column, "orders.note", "text"),
        (Index, "orders_ref", "CREATE INDEX orders_ref ON orders (ref)"),
        (Table, "tmp_import", ""),
    ])
}

/// One changed by hand, two that deviate, one accepted, one on MySQL, one unreadable, one left out, one new.
fn fleet() -> Sample {
    let names = [
        ("acme", Postgres),
        ("globex", Postgres),
        ("initech", Postgres),
        ("stark", Postgres),
        ("umbrella", Postgres),
        ("wayne", Postgres),
        ("cyberdyne", MySql),
        ("hooli", MySql),
        ("soylent", Postgres),
        ("piper", Postgres),
        ("vertex", Postgres),
    ];
    let mut sample = Sample::of(&names, 2);
    sample.fleet.drift.ignore = vec![rule(&["table tmp_*"], &["eu"], false), rule(&["*.legacy_*"], &[], true)];
    let deviating = schema(&[(Column, "orders.note", "text")]);
    let mysql = on("mariadb-10.11", &[(Column, "orders.note", "text")]);
    let gone = Diagnostic::new(Code::UNREACHABLE, "server us cannot be reached").cause("connection refused");
    let new = sample.at(0);
    let unknown = Finding::Unknown { version: Version(7), name: "later".into() };
    sample
        .cohort(vec![
            Told::of(0, &changed()).was(&right()),
            Told::of(1, &deviating),
            Told::of(2, &deviating),
            Told::of(3, &with_more()).accepted(&right()),
            Told::of(4, &right()),
            Told::of(5, &right()),
            Told::of(9, &right()),
        ])
        .cohort(vec![Told::of(6, &mysql)])
        .read(4, |position| position.findings = vec![unknown])
        .found(7, Found::Unreadable(gone))
        .quarantined(8, "moves to another server")
        .found(10, new)
}

fn report(sample: &Sample) -> DriftReport {
    DriftReport::new(&sample.scope(), &sample.survey, AT.date())
}

fn text(sample: &Sample, width: Option<usize>) -> String {
    report(sample).render(DriftFormat::Text, Paint::Plain, width)
}

#[test]
fn who_has_what_comes_first_then_one_diff_for_each_deviating_group_then_the_rest() {
    assert_eq!(text(&fleet(), None), include_str!("../pinned/drift.txt"));
    assert_eq!(report(&fleet()).exit(), ExitStatus::Drift);
}

#[test]
fn the_json_format_is_pinned() {
    let sample = fleet();
    let text = report(&sample).render(DriftFormat::Json, Paint::Plain, None);
    assert_eq!(text, include_str!("../pinned/drift.json"));
}

#[test]
fn markdown_is_what_a_pull_request_shows() {
    let text = report(&fleet()).render(DriftFormat::Markdown, Paint::Plain, None);
    assert_eq!(text, include_str!("../pinned/drift.md"));
}

#[test]
fn lines_but_those_of_a_diff_fit_a_terminal() {
    for width in [80, 120] {
        let text = text(&fleet(), Some(width));
        let long: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with(['+', '-', ' ', '@']) && line.chars().count() > width)
            .collect();
        assert!(long.is_empty(), "{width}: {long:#?}");
    }
}

#[test]
fn colour_says_nothing_new() {
    let painted = report(&fleet()).render(DriftFormat::Text, Paint::Ansi, None);
    assert!(painted.contains("\u{1b}[1m\u{1b}[31m1 tenant\u{1b}[0m (acme): column"), "{painted:?}");
    assert!(painted.contains("\u{1b}[32m+++ acme") || painted.contains("\u{1b}[32m+  column"), "{painted:?}");
    let bare = anstream::adapter::strip_str(&painted).to_string();
    assert_eq!(bare, text(&fleet(), None));
}

#[test]
fn a_fleet_without_drift_is_one_line_for_each_cohort_and_status_0() {
    let sample = Sample::named(&["acme", "globex"]);
    let sample = sample.cohort(vec![Told::of(0, &right()), Told::of(1, &right())]);
    let short = right().fingerprint().short().to_owned();
    assert_eq!(
        text(&sample, None),
        format!("2 tenants: fingerprint {short} (postgres, V2), as expected\n\nno drift: 2 tenants looked at\n")
    );
    assert_eq!(report(&sample).exit(), ExitStatus::Done);
}

#[test]
fn without_a_majority_every_schema_is_shown_and_compared_with_the_first() {
    let sample = Sample::named(&["acme", "globex"]);
    let sample = sample.cohort(vec![Told::of(0, &right()).unrecorded(), Told::of(1, &changed()).unrecorded()]);
    let text = text(&sample, None);
    let short = changed().fingerprint().short().to_owned();
    for said in [
        format!("1 tenant (globex): fingerprint {short} (postgres, V2), and nothing says whether that is right\n"),
        "undecided (postgres, V2): globex\n--- acme\n+++ globex\n".to_owned(),
        "drift: 2 of 2 tenants (2 undecided)\n".to_owned(),
    ] {
        assert!(text.contains(&said), "{said}{text}");
    }
}

#[test]
fn a_record_that_is_not_known_any_more_is_said() {
    let mut sample = Sample::named(&["acme"]);
    sample = sample.cohort(vec![Told::of(0, &changed()).was(&right())]);
    let cohorts = &mut sample.survey.schemas.as_mut().unwrap().cohorts;
    cohorts[0].cohort.groups[0].verdict =
        crate::schema::Verdict::Changed { expected: None, differences: Vec::new().into() };
    let text = text(&sample, None);
    assert!(text.contains("is not what was recorded, and what was is not known any more — changed by hand"), "{text}");
}

#[test]
fn cohorts_of_one_version_on_servers_that_cannot_be_compared_are_told_apart() {
    let sample = Sample::named(&["acme", "globex"]);
    let sample = sample
        .cohort(vec![Told::of(0, &right())])
        .cohort(vec![Told::of(1, &on("postgres-16", &[(Column, "orders.note", "text")]))]);
    let text = text(&sample, None);
    assert!(
        text.contains("(postgres-15, V2), as expected") && text.contains("(postgres-16, V2), as expected"),
        "{text}"
    );
    assert!(text.contains("not comparable: tenants with the same changesets (postgres, V2)"), "{text}");
    assert_eq!(report(&sample).exit(), ExitStatus::Done);
}

#[test]
fn history_drift_alone_is_drift_too_and_an_unreadable_tenant_alone_is_not() {
    let finding = Finding::Missing { version: Version(1), name: "orders".into() };
    let sample = Sample::named(&["acme"]).cohort(vec![Told::of(0, &right())]);
    let sample = sample.read(0, |position| position.findings = vec![finding]);
    assert_eq!(report(&sample).exit(), ExitStatus::Drift);
    let said = text(&sample, None);
    assert!(said.contains("history drift:\n  1 tenant (acme): missing V1: "), "{said}");
    assert!(said.ends_with("no schema drift: 1 tenant looked at; 1 with history drift\n"), "{said}");
    let gone = Diagnostic::new(Code::UNREACHABLE, "server eu cannot be reached");
    let sample = Sample::named(&["acme"]).found(0, Found::Unreadable(gone));
    assert_eq!(report(&sample).exit(), ExitStatus::Unreachable);
}

#[test]
fn one_tenant_is_compared_with_many_whatever_their_versions() {
    let names = [("acme", Postgres), ("globex", Postgres), ("initech", Postgres), ("hooli", MySql), ("tmp", Postgres)];
    let mut sample = Sample::of(&names, 2);
    sample.fleet.drift.ignore = vec![rule(&["orders.more", "tmp_import"], &[], false)];
    let (old, maria) = (sample.at(1), on("mariadb-10.11", &[]));
    let sample = sample
        .found(1, old)
        .cohort(vec![Told::of(0, &right()), Told::of(2, &right()), Told::of(4, &with_more())])
        .cohort(vec![Told::of(1, &changed())])
        .cohort(vec![Told::of(3, &maria)]);
    let against = |reference| DriftReport::against(&sample.scope(), &sample.survey, TenantId(reference), AT.date());
    let compared = against(0).unwrap();
    let text = compared.render(DriftFormat::Text, Paint::Plain, None);
    let short = right().fingerprint().short().to_owned();
    for said in [
        &format!("acme: fingerprint {short} (postgres, V2)\n2 tenants (initech, tmp): the same as acme\n"),
        "\n1 tenant (globex): column `orders.note` is `varchar(80)`, expected `text`; index `orders_ref` is missing — unlike acme\n",
        "\n1 tenant (hooli): not comparable with acme: 1/mariadb-10.11 and 1/postgres-15\n",
        "\nunlike acme: globex\n--- acme\n+++ globex\n",
        "\n1 of 4 tenants is unlike acme\n",
    ] {
        assert!(text.contains(said), "{said}{text}");
    }
    assert_eq!(compared.exit(), ExitStatus::Drift);
    let json: serde_json::Value =
        serde_json::from_str(&compared.render(DriftFormat::Json, Paint::Plain, None)).expect("the report is JSON");
    assert_eq!((&json["against"], &json["cohorts"][0]["groups"][1]["state"]), (&"acme".into(), &"differs".into()));

    let gone = Diagnostic::new(Code::UNREACHABLE, "server eu cannot be reached");
    let sample = Sample::named(&["acme", "globex"]).found(0, Found::Unreadable(gone)).quarantined(1, "moves");
    let against = |reference| DriftReport::against(&sample.scope(), &sample.survey, TenantId(reference), AT.date());
    assert_eq!(against(0).unwrap_err().code(), Code::UNREACHABLE);
    assert_eq!(against(1).unwrap_err().code(), Code::USAGE);
}

#[test]
fn what_cannot_be_compared_is_neither_the_same_nor_different() {
    let sample = Sample::of(&[("acme", Postgres), ("hooli", MySql)], 2);
    let sample = sample.cohort(vec![Told::of(0, &right())]).cohort(vec![Told::of(1, &on("mariadb-10.11", &[]))]);
    let report = DriftReport::against(&sample.scope(), &sample.survey, TenantId(0), AT.date()).unwrap();
    let text = report.render(DriftFormat::Text, Paint::Plain, None);
    assert!(text.ends_with("no difference found: 0 tenants compared, 1 not comparable\n"), "{text}");
    assert_eq!(report.exit(), ExitStatus::Done);
}

#[test]
fn what_belongs_to_a_table_that_is_missing_is_told_with_it() {
    let mut objects = vec![(Column, "orders.note", "text")];
    objects.push((Table, "items", ""));
    let short = schema(&objects);
    let whole = |objects: &[(crate::schema::Kind, &'static str, &'static str)]| {
        let mut all: Vec<crate::schema::Object> = schema(objects).objects().to_vec();
        all.push(crate::schema::Object::new(Column, Some("items"), "items.id").with("type", "integer"));
        Arc::new(Snapshot::new(short.basis(), all))
    };
    let sample = Sample::named(&["acme", "globex", "initech"]);
    let right = whole(&objects);
    let lacks = schema(&objects[..1]);
    let sample = sample.cohort(vec![Told::of(0, &lacks), Told::of(1, &right), Told::of(2, &right)]);
    let said = text(&sample, None);
    assert!(said.contains("1 tenant (acme): table `items` is missing — not what its cohort has"), "{said}");
    let json = report(&sample).render(DriftFormat::Json, Paint::Plain, None);
    let status = sample.status().render(crate::report::StatusFormat::Table, Paint::Plain, None);
    assert!(status.contains("table `items` is missing\n"), "{status}");
    assert!(json.contains("items.id"), "{json}");
}

#[test]
fn a_draft_has_a_block_for_each_deviating_group_and_says_what_is_left() {
    let sample = Sample::named(&["a\n; DROP TABLE x; --", "globex", "initech", "umbrella"]);
    let sample = sample.cohort(vec![
        Told::of(0, &changed()).was(&right()),
        Told::of(1, &right()),
        Told::of(2, &right()),
        Told::of(3, &with_more()).accepted(&right()),
    ]);
    let draft = repair_draft(&sample.scope(), &sample.survey);
    assert!(draft.starts_with("-- 1 tenant (postgres, V2): a ; DROP TABLE x; --\n"), "{draft}");
    assert!(!draft.contains("umbrella") && draft.lines().all(|line| !line.starts_with("; ")), "{draft}");
    let fine = Sample::named(&["acme"]).cohort(vec![Told::of(0, &right())]);
    assert_eq!(repair_draft(&fine.scope(), &fine.survey), "");
    let undecided = Sample::named(&["acme", "globex"])
        .cohort(vec![Told::of(0, &right()).unrecorded(), Told::of(1, &changed()).unrecorded()]);
    let draft = repair_draft(&undecided.scope(), &undecided.survey);
    assert_eq!(draft.matches("-- nothing says what they should have").count(), 2, "{draft}");
}

#[test]
fn hostile_names_neither_break_a_line_nor_command_the_terminal_nor_become_markup() {
    let hostile = schema(&[(Column, "orders.<img>`\u{1b}[2J\nx", "text")]);
    let sample = Sample::named(&["a|b\n\u{1b}[2J", "<img src=x>", "x", "y"]).quarantined(3, "why\n\u{1b}[2J");
    let sample = sample.cohort(vec![Told::of(0, &hostile), Told::of(1, &right()), Told::of(2, &right())]);
    for format in [DriftFormat::Text, DriftFormat::Json, DriftFormat::Markdown] {
        let text = report(&sample).render(format, Paint::Plain, None);
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let markdown = report(&sample).render(DriftFormat::Markdown, Paint::Plain, None);
    let outside: String = markdown.split("```").step_by(2).collect();
    assert!(!outside.replace("\\<", "").contains('<'), "{markdown}");
    let against = DriftReport::against(&sample.scope(), &sample.survey, TenantId(0), AT.date()).unwrap();
    let text = against.render(DriftFormat::Text, Paint::Plain, None);
    assert!(text.starts_with("a|b \\u{1b}[2J: fingerprint"), "{text}");
}
