//! `docs/formats.md` is true: its examples are the pinned texts, and it describes every key in them.

use std::collections::BTreeSet;

use serde_json::Value;

const FORMATS: &str = include_str!("../../docs/formats.md");

const PINNED: [&str; 9] = [
    include_str!("pinned/status.json"),
    include_str!("pinned/run.json"),
    include_str!("pinned/plan.json"),
    include_str!("pinned/history.json"),
    include_str!("pinned/drift.json"),
    include_str!("pinned/tenants.json"),
    include_str!("pinned/check.json"),
    include_str!("pinned/datasource.json"),
    include_str!("pinned/orphans.json"),
];

#[test]
fn every_example_in_the_docs_is_what_is_printed() {
    for pinned in PINNED {
        assert!(FORMATS.contains(&format!("```json\n{pinned}```\n")), "docs/formats.md has no such example:\n{pinned}");
    }
    assert_eq!(FORMATS.matches("```json\n").count(), PINNED.len());
}

#[test]
fn every_key_of_a_format_is_described_in_its_own_section() {
    for pinned in PINNED {
        let document: Value = serde_json::from_str(pinned).expect("a pinned text is JSON");
        let schema = document["schema"].as_str().unwrap_or_default();
        let section = FORMATS.split("\n## ").find(|section| section.starts_with(&format!("`{schema}`")));
        let section = section.unwrap_or_else(|| panic!("docs/formats.md has no section `{schema}`"));
        let missing: Vec<String> =
            keys(&document).into_iter().filter(|key| !section.contains(&format!("`{key}`"))).collect();
        assert!(missing.is_empty(), "{schema}: {missing:?} are not described");
    }
}

fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => map.keys().cloned().chain(map.values().flat_map(keys)).collect(),
        Value::Array(values) => values.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}
