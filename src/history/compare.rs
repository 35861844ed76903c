//! The pure comparison of a tenant's history with the changelog.
//!
//! Linear in rows and changesets. Each row is believed only as far as it can be read.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Row;
use super::finding::{Finding, shown};
use crate::changeset::{Changelog, Changeset, Kind, Version};
use crate::sql::EngineKind;

/// What becomes of a `V…` changeset below a tenant's newest version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfOrder {
    /// It is drift.
    Refuse,
    /// It is pending.
    Allow,
}

/// Where a tenant stands against the changelog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The changelog's versions that the history has, whether or not their text matches, in order.
    pub applied: Vec<Version>,
    /// The changelog's versions that it has not, in order.
    pub pending: Vec<Version>,
    /// The highest version in the history, whether or not the changelog knows it.
    pub newest: Option<Version>,
    /// What is drift, in order of version; rows without a legible version come first.
    pub findings: Vec<Finding>,
}

/// Compares a tenant's rows, in any order, with the changelog.
pub fn compare(rows: &[Row], changelog: &Changelog, engine: EngineKind, out_of_order: OutOfOrder) -> Comparison {
    let mut compared = Comparison::default();
    let recorded = recorded(rows, &mut compared.findings);
    compared.newest = recorded.last().map(|(version, _)| *version);
    compared.applied.reserve_exact(recorded.len());
    let mut recorded = recorded.into_iter().peekable();
    for changeset in changelog.changesets() {
        let version = changeset.version;
        while let Some((unknown, believed)) = recorded.next_if(|(recorded, _)| *recorded < version) {
            compared.findings.extend(not_ours(unknown, believed, changelog));
        }
        match recorded.next_if(|(recorded, _)| *recorded == version) {
            Some((_, believed)) => {
                compared.applied.push(version);
                compared.findings.extend(believed.and_then(|b| difference(&b, changeset, changelog, engine)));
            }
            None => {
                compared.pending.push(version);
                let newest = compared.newest.filter(|&newest| newest > version);
                if let (Some(newest), Kind::Versioned, OutOfOrder::Refuse) = (newest, changeset.kind, out_of_order) {
                    let name = changeset.name.clone();
                    compared.findings.push(Finding::OutOfOrder { version, name, newest });
                }
            }
        }
    }
    for (unknown, believed) in recorded {
        compared.findings.extend(not_ours(unknown, believed, changelog));
    }
    compared.findings.sort_by_cached_key(|finding| (finding.version(), finding.clone()));
    compared
}

/// Returns what is to be said of a version that no changeset has.
fn not_ours(version: Version, believed: Option<Believed<'_>>, changelog: &Changelog) -> Option<Finding> {
    let name = believed?.name.to_owned();
    let ahead = changelog.newest().is_none_or(|newest| version > newest);
    Some(if ahead { Finding::Unknown { version, name } } else { Finding::Missing { version, name } })
}

/// A row whose every column could be read.
struct Believed<'r> {
    name: &'r str,
    checksum: u64,
}

/// Reads the rows, in order of version; a version whose row is strange has nothing to believe.
fn recorded<'r>(rows: &'r [Row], findings: &mut Vec<Finding>) -> Vec<(Version, Option<Believed<'r>>)> {
    let mut strange = |version, row, what: &str| {
        findings.push(Finding::Strange { version, row: shown_row(row), what: what.to_owned() });
    };
    let mut by_version: Vec<(Version, &Row)> = Vec::with_capacity(rows.len());
    for row in rows {
        match version(row) {
            Some(version) => by_version.push((version, row)),
            None => strange(None, row, "its version is no whole number from 0 up"),
        }
    }
    // Of several with one version the first to be read comes first, and is the one that counts.
    by_version.sort_by_key(|(version, _)| *version);
    let mut recorded: Vec<(Version, Option<Believed<'r>>)> = Vec::with_capacity(by_version.len());
    for (version, row) in by_version {
        if recorded.last().is_some_and(|(last, _)| *last == version) {
            strange(Some(version), row, "its version is there twice");
            continue;
        }
        let believed = believe(row).map_err(|what| strange(Some(version), row, what)).ok();
        recorded.push((version, believed));
    }
    recorded
}

fn version(row: &Row) -> Option<Version> {
    row.version.as_deref()?.parse().ok().filter(|&v| v >= 0).map(Version)
}

fn believe(row: &Row) -> Result<Believed<'_>, &'static str> {
    let name = row.name.as_deref().ok_or("its name is null")?;
    let checksum = row.checksum.as_deref().ok_or("its checksum is null")?;
    let checksum = checksum.parse().map_err(|_| "its checksum is no decimal number of 64 bits")?;
    let applied_on = row.applied_on.as_deref().ok_or("its applied_on is null")?;
    if !is_plain_time(applied_on) {
        OffsetDateTime::parse(applied_on, &Rfc3339).map_err(|_| "its applied_on is no RFC 3339 time")?;
    }
    Ok(Believed { name, checksum })
}

/// Whether this is a time as refinery and we write it, on a day that every month has: the parser takes all of these, and
/// a large fleet has millions.
fn is_plain_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((date_and_time, rest)) = bytes.split_at_checked(19) else { return false };
    let shape = date_and_time.iter().zip(b"0000-00-00T00:00:00").all(|(byte, form)| match form {
        b'0' => byte.is_ascii_digit(),
        form => byte == form,
    });
    let pair = |at: usize| (date_and_time[at] - b'0') * 10 + (date_and_time[at + 1] - b'0');
    let in_range = || {
        (1..=12).contains(&pair(5)) && (1..=28).contains(&pair(8)) && pair(11) < 24 && pair(14) < 60 && pair(17) < 60
    };
    let fraction = match rest {
        [b'Z'] => true,
        [b'.', digits @ .., b'Z'] => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    shape && fraction && in_range()
}

fn difference(row: &Believed<'_>, changeset: &Changeset, changelog: &Changelog, engine: EngineKind) -> Option<Finding> {
    let version = changeset.version;
    // The checksum covers the name, so after a renaming it says nothing about the text.
    if row.name != changeset.name {
        return Some(Finding::Renamed { version, recorded: row.name.to_owned(), expected: changeset.name.clone() });
    }
    let name = changeset.name.clone();
    match changeset.text(engine) {
        None => Some(Finding::Missing { version, name }),
        Some(text) if text.matches(row.checksum) => None,
        Some(text) => {
            let expected = text.checksum(changelog.width());
            Some(Finding::Changed { version, name, recorded: row.checksum, expected })
        }
    }
}

fn shown_row(row: &Row) -> String {
    let columns = [&row.version, &row.name, &row.applied_on, &row.checksum];
    let columns = columns.map(|column| column.as_deref().map_or("null".to_owned(), shown));
    let [version, name, applied_on, checksum] = columns;
    format!("version {version}, name {name}, applied_on {applied_on}, checksum {checksum}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changeset;
    use crate::error::Code;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const ENGINE: EngineKind = EngineKind::Sqlite;

    fn changelog(files: &[(&str, &str)]) -> Changelog {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        changeset::load(folder.path()).unwrap().changelog
    }

    /// V1 to V4, U5 and V6.
    static ORDERS: LazyLock<Changelog> = LazyLock::new(|| {
        changelog(
            &["V1__a", "V2__b", "V3__c", "V4__d", "U5__e", "V6__f"]
                .map(|n| (format!("{n}.sql"), n))
                .each_ref()
                .map(|(file, text)| (file.as_str(), *text)),
        )
    });

    fn row(version: &str, name: &str, checksum: &str) -> Row {
        Row {
            version: Some(version.into()),
            name: Some(name.into()),
            applied_on: Some("2026-11-21T09:30:00.123456789Z".into()),
            checksum: Some(checksum.into()),
        }
    }

    /// Rows as refinery writes them.
    fn applied(changelog: &Changelog, versions: &[i64]) -> Vec<Row> {
        let row = |&version: &i64| {
            let changeset = changelog.get(Version(version)).unwrap();
            let checksum = changeset.text(ENGINE).unwrap().checksum(changelog.width());
            row(&version.to_string(), &changeset.name, &checksum.to_string())
        };
        versions.iter().map(row).collect()
    }

    fn versions(list: &[Version]) -> Vec<i64> {
        list.iter().map(|v| v.0).collect()
    }

    fn findings(rows: &[Row]) -> Vec<(&'static str, String)> {
        let compared = compare(rows, &ORDERS, ENGINE, OutOfOrder::Refuse);
        compared.findings.iter().map(|f| (f.kind(), f.detail())).collect()
    }

    proptest! {
        #[test]
        fn what_is_taken_for_a_time_at_first_sight_is_one(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,10})?(Z|z|\\+00:00)?"
        ) {
            prop_assert!(!is_plain_time(&text) || OffsetDateTime::parse(&text, &Rfc3339).is_ok(), "{}", text);
        }
    }

    #[test]
    fn a_time_as_refinery_and_we_write_it_is_taken_at_first_sight() {
        for text in ["2026-11-21T09:30:00Z", "2026-11-21T09:30:00.1Z", "2026-11-21T09:30:00.123456789Z"] {
            assert!(is_plain_time(text) && OffsetDateTime::parse(text, &Rfc3339).is_ok(), "{text}");
        }
        for text in
            ["", "2026-02-30T09:30:00Z", "2026-11-21T09:30:00", "2026-11-21T09:30:00.Z", "größe-11-21T09:30:00Z"]
        {
            assert!(!is_plain_time(text), "{text}");
        }
    }

    #[test]
    fn being_behind_is_not_drift() {
        for (applied_so_far, newest) in [(&[][..], None), (&[2, 1], Some(2)), (&[1, 2, 3, 4, 5, 6], Some(6))] {
            let compared = compare(&applied(&ORDERS, applied_so_far), &ORDERS, ENGINE, OutOfOrder::Refuse);
            assert_eq!(compared.newest, newest.map(Version));
            assert_eq!(compared.applied.len() + compared.pending.len(), 6);
            assert!(compared.applied.is_sorted() && compared.pending.is_sorted());
            assert_eq!(compared.findings, []);
        }
    }

    #[test]
    fn a_changed_text_a_renamed_file_and_a_missing_one_are_drift() {
        let mut rows = applied(&ORDERS, &[1, 2, 3, 4]);
        rows[1].checksum = Some("42".into());
        rows[2] = row("3", "see", "43");
        rows.push(row("0", "gone", "44"));
        rows.push(row("99", "new", "45"));
        rows.retain(|r| r.version.as_deref() != Some("4"));
        let expected = ORDERS.get(Version(2)).unwrap().text(ENGINE).unwrap().checksum(ORDERS.width());
        assert_eq!(
            findings(&rows),
            [
                ("missing", "gone was applied; the changelog lacks it".to_owned()),
                ("changed", format!("b was changed: checksum 42 is recorded, the file's is {expected}")),
                ("renamed", "see was applied; the changelog has c".to_owned()),
                ("out-of-order", "d was not applied, but version 99 was".to_owned()),
                ("out-of-order", "f was not applied, but version 99 was".to_owned()),
                ("unknown", "new was applied; the changelog does not reach it".to_owned()),
            ]
        );
    }

    #[test]
    fn a_late_changeset_is_drift_unless_it_is_a_u_or_allowed() {
        let rows = applied(&ORDERS, &[1, 2, 4, 6]);
        let refused = compare(&rows, &ORDERS, ENGINE, OutOfOrder::Refuse);
        assert_eq!(versions(&refused.pending), [3, 5]);
        let late = Finding::OutOfOrder { version: Version(3), name: "c".into(), newest: Version(6) };
        assert_eq!(refused.findings, [late]);
        let allowed = compare(&rows, &ORDERS, ENGINE, OutOfOrder::Allow);
        assert_eq!((versions(&allowed.pending), allowed.findings), (vec![3, 5], vec![]));
    }

    #[test]
    fn either_width_and_a_windows_checkout_are_the_same_text() {
        let sql = "SELECT 1;\nSELECT 2;\n";
        let wide = changelog(&[("V1__a.sql", sql), ("V20261121093000__b.sql", "x")]);
        let narrow = refinery::Migration::unapplied("V1__a", &sql.replace('\n', "\r\n")).unwrap();
        let rows = [row("1", "a", &narrow.checksum().to_string())];
        assert_eq!(compare(&rows, &wide, ENGINE, OutOfOrder::Refuse).findings, []);
    }

    #[test]
    fn a_strange_row_is_shown_and_counts_as_applied_where_its_version_is_legible() {
        let fine = applied(&ORDERS, &[1]).remove(0);
        for (row, what) in [
            (Row { version: None, ..fine.clone() }, "its version is no whole number from 0 up"),
            (Row { version: Some("-1".into()), ..fine.clone() }, "its version is no whole number from 0 up"),
            (Row { version: Some("one".into()), ..fine.clone() }, "its version is no whole number from 0 up"),
            (Row { name: None, ..fine.clone() }, "its name is null"),
            (Row { checksum: None, ..fine.clone() }, "its checksum is null"),
            (Row { checksum: Some("-5".into()), ..fine.clone() }, "its checksum is no decimal number of 64 bits"),
            (Row { applied_on: None, ..fine.clone() }, "its applied_on is null"),
            (Row { applied_on: Some("yesterday".into()), ..fine.clone() }, "its applied_on is no RFC 3339 time"),
        ] {
            let legible = usize::from(!what.contains("version"));
            let compared = compare(&[row], &ORDERS, ENGINE, OutOfOrder::Refuse);
            assert_eq!(compared.applied.len(), legible, "{what}");
            assert_eq!(compared.findings.len(), 1);
            assert!(compared.findings[0].detail().starts_with(what), "{:?}", compared.findings);
        }
        let twice = findings(&[fine.clone(), fine]);
        let [(kind, detail)] = &twice[..] else { panic!("{twice:?}") };
        assert_eq!(*kind, "strange");
        assert!(detail.starts_with("its version is there twice: version \"1\", name \"a\", applied_on"));
    }

    #[test]
    fn a_finding_is_told_once_for_all_its_tenants() {
        let changed = Finding::Changed { version: Version(2), name: "b".into(), recorded: 1, expected: 2 };
        let told = changed.diagnostic(&["t1", "t2", "t3", "t4", "t5", "t6", "t7"], &ORDERS);
        assert_eq!(told.code(), Code::CHANGED_TEXT);
        assert_eq!(told.message(), "V2__b was changed after it was applied to tenants t1, t2, t3, t4, t5 and 2 more");
        let late = Finding::OutOfOrder { version: Version(5), name: "e".into(), newest: Version(60) };
        let told = late.diagnostic(&["acme"], &ORDERS);
        assert_eq!(told.message(), "U5__e is older than version 60, which tenant acme already has");
        assert_eq!(told.state_now(), Some("nothing was changed"));
        assert!(told.what_next().unwrap().starts_with("give it a version above 60, or"));
        assert!(told.place().unwrap().file.ends_with("U5__e.sql"));
    }

    #[test]
    fn a_text_that_another_variant_replaced_is_recognised() {
        let changelog = changelog(&[("V1__a.sql", "SELECT 'any'"), ("sqlite/V1__a.sql", "SELECT 'own'")]);
        let default = changelog.get(Version(1)).unwrap().text(EngineKind::MySql).unwrap();
        let rows = [row("1", "a", &default.checksum(changelog.width()).to_string())];
        let compared = compare(&rows, &changelog, ENGINE, OutOfOrder::Refuse);
        let told = compared.findings[0].diagnostic(&["acme"], &changelog);
        assert!(told.place().unwrap().file.ends_with("sqlite/V1__a.sql"));
        assert_eq!(told.causes()[1], format!("what was applied is the text of {}", default.file));
    }

    #[test]
    fn a_name_from_a_stranger_does_not_reach_the_terminal_raw() {
        let renamed = findings(&[row("1", "a\n\u{1b}[31m", "1")]);
        assert_eq!(renamed[0].1, "\"a\\n\\u{1b}[31m\" was applied; the changelog has a");
    }

    fn cell() -> impl Strategy<Value = Option<String>> {
        proptest::option::of(prop_oneof![
            "\\PC{0,8}",
            "-?[0-9]{1,21}",
            Just("2026-11-21T09:30:00Z".to_owned()),
            "[0-7]",
            "[a-f]",
        ])
    }

    fn any_row() -> impl Strategy<Value = Row> {
        (cell(), cell(), cell(), cell()).prop_map(|(version, name, applied_on, checksum)| Row {
            version,
            name,
            applied_on,
            checksum,
        })
    }

    proptest! {
        #[test]
        fn whatever_the_rows_hold_each_changeset_is_applied_or_pending_and_each_row_is_accounted_for(
            rows in proptest::collection::vec(any_row(), 0..12)
        ) {
            let compared = compare(&rows, &ORDERS, ENGINE, OutOfOrder::Refuse);
            let mut all: Vec<Version> = compared.applied.iter().chain(&compared.pending).copied().collect();
            all.sort();
            let known: Vec<Version> = ORDERS.changesets().iter().map(|c| c.version).collect();
            prop_assert_eq!(all, known);
            let late = compared.findings.iter().filter(|f| f.kind() == "out-of-order").count();
            prop_assert!(compared.findings.len() - late <= rows.len());
            prop_assert!(compared.findings.len() - late + compared.applied.len() >= rows.len());
            for finding in &compared.findings {
                prop_assert!(!finding.detail().contains('\n'));
                prop_assert!(finding.diagnostic(&["acme"], &ORDERS).to_string().contains("acme"));
            }
            let mut shuffled = rows;
            shuffled.reverse();
            let again = compare(&shuffled, &ORDERS, ENGINE, OutOfOrder::Refuse);
            prop_assert_eq!((again.applied, again.pending, again.newest), (compared.applied, compared.pending, compared.newest));
        }
    }
}
