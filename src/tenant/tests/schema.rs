//! The JSON Schema of `tenants.yaml` says what the file may hold, and no more.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::super::rollout::{check, read as rollout};
use super::super::{ConfigFile, FILE_SCHEMA, SourceKind, create, drift, labels, load, tenants};

/// Every keyword that the schema may use: the checker below knows these alone.
const KEYWORDS: [&str; 23] = [
    "$schema",
    "$defs",
    "$ref",
    "title",
    "description",
    "type",
    "properties",
    "additionalProperties",
    "propertyNames",
    "required",
    "dependentRequired",
    "minProperties",
    "maxProperties",
    "items",
    "minItems",
    "enum",
    "const",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "not",
];

const CHOICES: [&str; 3] = ["anyOf", "oneOf", "allOf"];

fn schema() -> Value {
    serde_json::from_str(FILE_SCHEMA).expect("the schema is JSON")
}

/// Whether a value is what a schema says; the keywords are those of draft 2020-12.
/// <https://json-schema.org/draft/2020-12/json-schema-validation>
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(rules) = schema else { return schema == &Value::Bool(true) };
    rules.iter().all(|(keyword, rule)| holds(root, rules, (keyword, rule), value))
}

fn holds(root: &Value, rules: &Map<String, Value>, (keyword, rule): (&str, &Value), value: &Value) -> bool {
    let all = |schemas: &Value| schemas.as_array().expect("a list").iter().filter(|one| fits(root, one, value)).count();
    let number = || rule.as_u64().expect("a number") as usize;
    match keyword {
        "$ref" => {
            let name = rule.as_str().and_then(|path| path.strip_prefix("#/$defs/")).expect("a definition");
            fits(root, root["$defs"].get(name).unwrap_or_else(|| panic!("{name} is not defined")), value)
        }
        "type" => match rule {
            Value::Array(kinds) => kinds.iter().any(|kind| is_a(value, kind)),
            kind => is_a(value, kind),
        },
        "enum" => rule.as_array().expect("a list").contains(value),
        "const" => rule == value,
        "anyOf" => all(rule) > 0,
        "oneOf" => all(rule) == 1,
        "allOf" => Some(all(rule)) == rule.as_array().map(Vec::len),
        "not" => !fits(root, rule, value),
        _ => match value {
            Value::String(text) => match keyword {
                "pattern" => Regex::new(rule.as_str().expect("a pattern")).expect("a pattern").is_match(text),
                "minLength" => text.chars().count() >= number(),
                "maxLength" => text.chars().count() <= number(),
                _ => true,
            },
            Value::Number(found) if keyword == "minimum" => found.as_f64() >= rule.as_f64(),
            Value::Number(found) if keyword == "maximum" => found.as_f64() <= rule.as_f64(),
            Value::Array(list) => match keyword {
                "items" => list.iter().all(|one| fits(root, rule, one)),
                "minItems" => list.len() >= number(),
                _ => true,
            },
            Value::Object(map) => of_a_mapping(root, rules, (keyword, rule), map),
            _ => true,
        },
    }
}

fn of_a_mapping(
    root: &Value,
    rules: &Map<String, Value>,
    (keyword, rule): (&str, &Value),
    map: &Map<String, Value>,
) -> bool {
    let has_all =
        |keys: &Value| keys.as_array().expect("a list").iter().all(|key| map.contains_key(key.as_str().unwrap()));
    match keyword {
        "properties" => map.iter().all(|(key, value)| rule.get(key).is_none_or(|rule| fits(root, rule, value))),
        "additionalProperties" => {
            let known = rules.get("properties").and_then(Value::as_object);
            let mut others = map.iter().filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
            others.all(|(_, value)| fits(root, rule, value))
        }
        "propertyNames" => map.keys().all(|key| fits(root, rule, &json!(key))),
        "required" => has_all(rule),
        "dependentRequired" => {
            rule.as_object().expect("a mapping").iter().all(|(key, others)| !map.contains_key(key) || has_all(others))
        }
        "minProperties" => map.len() as u64 >= rule.as_u64().expect("a number"),
        "maxProperties" => map.len() as u64 <= rule.as_u64().expect("a number"),
        _ => true,
    }
}

fn is_a(value: &Value, kind: &Value) -> bool {
    match kind.as_str().expect("a type's name") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{other}"),
    }
}

/// Whether a text of `tenants.yaml` fits the schema.
fn is_valid(text: &str) -> bool {
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    value.apply_merge().expect("merges");
    let value = serde_json::to_value(value).expect("a document with text as keys");
    let schema = schema();
    fits(&schema, &schema, &value)
}

#[test]
fn the_schema_uses_the_keywords_that_are_checked_here_and_no_others() {
    fn look(value: &Value, is_schema: bool) {
        let Value::Object(map) = value else { return };
        for (key, value) in map {
            let (names, list) = (key == "properties" || key == "$defs", CHOICES.contains(&key.as_str()));
            assert!(!is_schema || KEYWORDS.contains(&key.as_str()) || CHOICES.contains(&key.as_str()), "{key}");
            match value {
                Value::Array(all) if list => all.iter().for_each(|one| look(one, true)),
                Value::Object(all) if names => all.values().for_each(|one| look(one, true)),
                other if ["items", "additionalProperties", "propertyNames", "not"].contains(&key.as_str()) => {
                    look(other, true)
                }
                _ => {}
            }
        }
    }
    look(&schema(), true);
}

#[test]
fn every_key_of_the_file_is_in_the_schema_and_no_other() {
    let schema = schema();
    let keys = |pointer: &str| -> BTreeSet<String> {
        let place = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(place["additionalProperties"], json!(false), "{pointer}");
        place["properties"].as_object().expect("properties").keys().cloned().collect()
    };
    for (pointer, known) in [
        ("", &load::TOP_KEYS[..]),
        ("/properties/defaults", &load::DEFAULT_KEYS),
        ("/properties/servers/additionalProperties", &load::SERVER_KEYS),
        ("/properties/tenants/items", &tenants::KEYS),
        ("/properties/drift", &drift::KEYS),
        ("/properties/drift/properties/ignore/items", &drift::RULE_KEYS),
        ("/properties/rollout", &rollout::KEYS),
        ("/$defs/wave/anyOf/0", &rollout::WAVE_KEYS),
        ("/$defs/check/anyOf/1", &check::CHECK_KEYS),
        ("/$defs/create/anyOf/1", &create::KEYS),
        ("/properties/labels/additionalProperties", &labels::KEYS),
    ] {
        assert_eq!(keys(pointer), known.iter().map(|key| (*key).to_owned()).collect(), "{pointer}");
    }
    for kind in SourceKind::ALL {
        let pointer = format!("/properties/sources/items/properties/{}", kind.as_str());
        assert_eq!(keys(&pointer), kind.keys().iter().map(|key| (*key).to_owned()).collect(), "{pointer}");
    }
    // A source may say of all its tenants what a tenant may have, but for the name.
    let beside: BTreeSet<String> =
        ["template", "registry", "discover", "command", "min_tenants"].into_iter().map(str::to_owned).collect();
    let of_tenants = tenants::KEYS.iter().filter(|key| **key != "name").map(|key| (*key).to_owned());
    assert_eq!(keys("/properties/sources/items"), beside.into_iter().chain(of_tenants).collect());
}

#[test]
fn every_key_is_explained() {
    fn look(at: &str, value: &Value) {
        for (key, value) in value["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}.{key}");
            assert!(value["description"].is_string() || value["$ref"].is_string(), "{at}");
            for inner in [value, &value["items"], &value["additionalProperties"]] {
                look(&at, inner);
            }
        }
    }
    let schema = schema();
    look("", &schema);
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        assert!(definition["description"].is_string(), "{name}");
    }
}

#[test]
fn the_example_and_every_file_in_the_docs_fit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(root.join("tenants.yaml")).expect("the example");
    assert!(
        example.starts_with("# yaml-language-server: $schema=./tenants.schema.json\n"),
        "an editor finds the schema"
    );
    assert!(is_valid(&example));
    let docs = fs::read_dir(root.join("docs")).expect("the docs").map(|entry| entry.expect("an entry").path());
    let mut seen = 0;
    for page in docs.filter(|path| path.extension().is_some_and(|end| end == "md")).chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).expect("a page");
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        for block in
            blocks.filter(|block| load::TOP_KEYS.iter().any(|key| format!("\n{block}").contains(&format!("\n{key}:"))))
        {
            assert!(is_valid(block), "{}:\n{block}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen} files in the docs");
}

#[test]
fn what_the_file_may_say_fits_and_what_it_may_not_does_not() {
    for (text, fine) in [
        ("tenants: [{ name: a, url: \"postgres://h/d\" }]", true),
        ("tenants: [{ name: a, server: eu, database: d, schema: s, labels: [x], lock_timeout: 0, retries: 0 }]", true),
        ("tenants: [{ name: a, url: \"${URL}\", max_connections: \"${N:-4}\", tls: \"${TLS}\" }]", true),
        (
            "tenants: [{ name: a, url: \"sqlite://a.db\", quarantined: true, reason: x, create: { template: t.db } }]",
            true,
        ),
        ("tenants: [{ name: a, url: \"mysql://h/d\", vars: { region: eu, n: 3 }, server_settings: { a.b: 1 } }]", true),
        (
            "rollout: { order: wave, waves: [{ canary: 5% }, { name: b, labels: [x], check: [./x, y], pause: 10m }] }",
            true,
        ),
        ("rollout: { waves: [{ name: b, check: { sql: SELECT 1, timeout: 5s } }, { c: label=x }] }", true),
        (
            "rollout: { waves: [{ name: b, check: [{ run: [./x] }, { sql: SELECT 1 }] }], on_failure: finish-wave, max_failures: 2 }",
            true,
        ),
        ("sources: [{ template: { url: \"postgres://h/{tenant}\", names: [a] }, labels: [x], min_tenants: 3 }]", true),
        (
            "sources: [{ registry: { url: \"mysql://h/c\", query: SELECT 1 } }, { command: { run: [./x], format: lines } }]",
            true,
        ),
        (
            "sources: [{ discover: { server: eu, database: d, schemas: \"t_*\", except: [\"t_x*\"], name: \"{1}\" } }]",
            true,
        ),
        ("labels: { eu: { vars: { region: eu }, role: r, server_settings: { work_mem: 64MB } } }", true),
        ("defaults: { create: true, extensions_schema: ext }", true),
        ("drift: { include: [comments], ignore: [{ objects: [\"tmp_*\"], reason: x, until: 2026-12-31 }] }", true),
        ("tenant: []", false),
        ("tenants: [{ nmae: a, url: \"postgres://h/d\" }]", false),
        ("tenants: [{ url: \"postgres://h/d\" }]", false),
        ("tenants: [{ name: a }]", false),
        ("tenants: [{ name: a, server: eu }]", false),
        ("tenants: [{ name: a, server: eu, database: d, url: \"postgres://h/d\" }]", false),
        ("tenants: [{ name: a, url: \"http://h/d\" }]", false),
        ("tenants: [{ name: a, url: \"postgres://h/d\", tls: always }]", false),
        ("tenants: [{ name: a, url: \"postgres://h/d\", lock_timeout: 5 }]", false),
        ("tenants: [{ name: a, url: \"postgres://h/d\", labels: eu }]", false),
        ("tenants: [{ name: a, url: \"postgres://h/d\", client_cert: a.pem }]", false),
        ("tenants: [{ name: a, url: \"postgres://h/d\", vars: { \"1x\": a } }]", false),
        ("servers: { eu: { max_connections: 4 } }", false),
        ("servers: { eu: { url: \"postgres://h\", max_connections: many } }", false),
        ("verify: sometimes", false),
        ("rollout: { waves: [{ name: b, check: { sql: SELECT 1, run: [x] } }] }", false),
        ("rollout: { waves: [{ canary: 5%, early: 10% }] }", false),
        ("sources: [{ template: { url: x, names: [a] }, command: { run: [x] } }]", false),
        ("sources: [{ template: { url: \"postgres://h/{tenant}\" } }]", false),
        ("sources: [{ command: { run: ./list } }]", false),
        ("labels: { eu: { create: { owner: app } }, us: { create: false } }", true),
        ("labels: { eu: { url: x } }", false),
        ("defaults: { url: \"postgres://h\" }", false),
        ("drift: { ignore: [{ objects: [\"tmp_*\"] }] }", false),
        ("tenants: [{ name: a, url: \"SQLITE://a.db\", retry_pause: 1.5s, lock_timeout: 1h 0.5m }]", true),
        (
            "servers: { eu: { url: \"Postgres://h\", labels: , vars: , server_settings: , create: , connect_timeout: \"${T:-5s}\" } }",
            true,
        ),
        (
            "defaults:\nservers:\nrollout:\ndrift:\nlabels:\nsources:\ntenants: [{ name: a, url: \"sqlite://a.db\", labels: , vars: , create: }]",
            true,
        ),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", state: quarantined, reason: x }]", true),
        ("rollout: { waves: [{ a: 0.25% }, { b: .5% }, { c: 10 }, { d: tenant=x* }, { name: e, percent: 5 }] }", true),
        (
            "sources: [{ registry: { server: eu, database: d, query: SELECT 1 } }, { discover: { files: \"*.db\" } }]",
            true,
        ),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", database: a.db }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", quarantined: \"\" }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", quarantined: true }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", state: quarantined }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", state: active, quarantined: x, reason: y }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", reason: x }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", role: \"\" }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", retry_pause: 0 }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", connect_timeout: 0s }]", false),
        ("tenants: [{ name: a, url: \"sqlite://a.db\", silence_check: \"0\" }]", false),
        ("defaults: { max_connections: 1 }", false),
        ("defaults: { max_connections: \"0\" }", false),
        ("rollout: { waves: [{ rest: 5% }] }", false),
        ("rollout: { waves: [{ name: rest }] }", false),
        ("rollout: { waves: [{ canary: foo }] }", false),
        ("rollout: { waves: [{ canary: 0 }] }", false),
        ("rollout: { waves: [{ canary: 101 }] }", false),
        ("rollout: { waves: [{ canary: 5% }], max_failures: 2 }", false),
        ("rollout: { waves: [{ canary: 5% }], max_failures: 2, on_failure: halt }", false),
        ("rollout: { order: wave }", false),
        ("sources: [{ registry: { query: SELECT 1 } }]", false),
        ("sources: [{ registry: { query: SELECT 1, url: \"mysql://h/c\", server: eu, database: d } }]", false),
        ("sources: [{ registry: { query: SELECT 1, server: eu } }]", false),
        ("sources: [{ discover: { schemas: \"t_*\" } }]", false),
        ("sources: [{ discover: { databases: \"t_*\" } }]", false),
        ("sources: [{ discover: { files: \"*.db\", server: eu } }]", false),
        ("sources: [{ discover: { databases: \"t_*\", server: eu, database: d } }]", false),
    ] {
        assert_eq!(is_valid(text), fine, "{text}");
        if !fine {
            let others =
                if text.starts_with("tenant") { "" } else { "\ntenants: [{ name: z, url: \"sqlite://z.db\" }]" };
            let file = ConfigFile::of(Path::new("tenants.yaml"), format!("{text}{others}"));
            let env: HashMap<&str, &str> = HashMap::new();
            assert!(file.draft(&env).is_err(), "the program takes {text}");
        }
    }
}
