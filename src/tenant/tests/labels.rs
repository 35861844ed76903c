//! `vars` and `labels:`: what each tenant gets, and what is wrong with them.

use std::sync::Arc;

use super::*;

/// The variables of each tenant of a file, in words.
fn vars(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let fleet = fleet_with(text, variables).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let shown = |tenant: &crate::tenant::Tenant| {
        let vars: Vec<String> = tenant.vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}: {}", tenant.name, vars.join(" "))
    };
    fleet.tenants.iter().map(shown).collect()
}

/// The first lines of the mistakes of a file, each with its place.
fn mistakes(text: &str) -> Vec<String> {
    let env: HashMap<&str, &str> = HashMap::new();
    let found = parse(Path::new("tenants.yaml"), text, &env).err().unwrap_or_default();
    found
        .iter()
        .map(|mistake| format!("{} {}: {}", mistake.place().unwrap(), mistake.code(), mistake.message()))
        .collect()
}

const LAYERS: &str = r#"
defaults: { vars: { a: default, b: default, c: default, d: default, e: "${REGION}" } }
labels:
  eu: { vars: { a: label, b: label } }
  big: { vars: { size: 12, beta: true, ratio: 0.5, empty: "" } }
servers:
  db: { url: "postgres://u@h", labels: [eu], vars: { a: server, b: server, c: server } }
tenants:
  - { name: acme, server: db, database: acme, vars: { a: tenant } }
  - { name: globex, server: db, database: globex, labels: [big] }
  - { name: initech, url: "sqlite://initech.db" }
  - { name: hooli, url: "sqlite://hooli.db", labels: [eu] }
"#;

#[test]
fn a_tenants_own_variables_win_over_its_labels_its_servers_and_the_defaults() {
    assert_eq!(
        vars(LAYERS, &[("REGION", "north")]),
        [
            "acme: a=tenant b=label c=server d=default e=north",
            "globex: a=label b=label beta=true c=server d=default e=north empty= ratio=0.5 size=12",
            "initech: a=default b=default c=default d=default e=north",
            "hooli: a=label b=label c=default d=default e=north",
        ]
    );
}

#[test]
fn tenants_with_the_same_variables_share_them() {
    let mut text = "defaults: { vars: { a: 1 } }\nlabels: { eu: { vars: { b: 2 } } }\ntenants:\n".to_owned();
    for index in 0..3 {
        text.push_str(&format!("  - {{ name: t{index}, url: \"sqlite://t{index}.db\", labels: [eu] }}\n"));
    }
    let fleet = fleet(&text);
    assert!(fleet.tenants.windows(2).all(|pair| Arc::ptr_eq(&pair[0].vars, &pair[1].vars)));
}

#[test]
fn two_labels_with_two_values_are_refused_unless_the_tenant_decides() {
    let labels = "labels: { eu: { vars: { r: 1, s: 1 } }, big: { vars: { r: 2, s: 1 } } }\n";
    let tenant =
        |more: &str| format!("{labels}tenants:\n  - {{ name: a, url: \"sqlite://a.db\", labels: [eu, big]{more} }}\n");
    assert_eq!(
        mistakes(&tenant("")),
        ["tenants.yaml:3:5 MT137: labels `big` and `eu` give tenant `a` two values of the variable `r`"]
    );
    assert_eq!(vars(&tenant(", vars: { r: 3 }"), &[]), ["a: r=3 s=1"]);
}

#[test]
fn a_label_says_how_a_place_is_made_before_the_server_and_after_the_tenant() {
    let text = r#"
defaults: { create: true }
labels: { eu: { create: { owner: eu } }, us: { create: false }, same: { create: { owner: eu } } }
servers: { db: { url: "postgres://u@h", create: { owner: server } } }
tenants:
  - { name: a, server: db, database: a, labels: [eu, same] }
  - { name: b, server: db, database: b, labels: [us] }
  - { name: c, server: db, database: c, labels: [eu], create: { owner: own } }
  - { name: d, server: db, database: d }
"#;
    let of = |tenant: &crate::tenant::Tenant| tenant.made_how().map(|create| create.owner.clone().unwrap());
    let made: Vec<Option<String>> = fleet(text).tenants.iter().map(of).collect();
    assert_eq!(made, [Some("eu".to_owned()), None, Some("own".to_owned()), Some("server".to_owned())]);
    assert_eq!(
        mistakes(&text.replace("labels: [us] }", "labels: [eu, us] }")),
        ["tenants.yaml:7:5 MT137: labels `eu` and `us` give tenant `b` two values of `create`"]
    );
}

#[test]
fn a_wrong_variable_or_label_is_said_where_it_stands() {
    let tenants = "tenants:\n  - { name: a, url: \"sqlite://a.db\", labels: [eu] }\n";
    for (wrong, said) in [
        ("defaults: { vars: [a] }", "tenants.yaml:1:19 MT104: `vars` takes a mapping, and this is a list"),
        ("defaults: { vars: { 1a: x } }", "tenants.yaml:1:21 MT113: `1a` is no name of a variable"),
        ("defaults: { vars: { größe: x } }", "tenants.yaml:1:21 MT113: `größe` is no name of a variable"),
        ("defaults: { vars: { 7: x } }", "tenants.yaml:1:21 MT113: the name of a variable is a number"),
        (
            "defaults: { vars: { a: [x] } }",
            "tenants.yaml:1:24 MT104: `a` takes text, a number, `true` or `false`, and this is a list",
        ),
        (
            "defaults: { vars: { a: } }",
            "tenants.yaml:1:24 MT104: `a` takes text, a number, `true` or `false`, and this is empty",
        ),
        ("defaults: { vars: { a: \"${NO}\" } }", "tenants.yaml:1:24 MT107: the variable NO is not set"),
        ("labels: [eu]", "tenants.yaml:1:9 MT104: `labels` takes a mapping of labels, and this is a list"),
        ("labels: { 7: {} }", "tenants.yaml:1:11 MT113: a label is a number"),
        ("labels: { eu: { tls: require } }", "tenants.yaml:1:17 MT103: unknown key `tls` of label `eu`"),
        ("labels: { eu: { vars: { a: 1 } }, uk: {} }", "tenants.yaml:1:35 MT104: no tenant has the label `uk`"),
    ] {
        assert_eq!(mistakes(&format!("{wrong}\n{tenants}")), [said], "{wrong}");
    }
    let misplaced =
        "servers: { eu: { url: \"postgres://h\", password: x } }\ntenants: [{ name: a, server: eu, database: a }]\n";
    let misplaced = fleet_with(misplaced, &[]).unwrap_err();
    assert!(
        misplaced.contains("hint: it stands in the `url`, as in `postgres://app:${PASSWORD}@host`; the keys"),
        "{misplaced}"
    );
    let too_deep = "sources: [{ template: { url: \"postgres://h/{tenant}\", names: [a], user: x } }]\n";
    let too_deep = fleet_with(too_deep, &[]).unwrap_err();
    assert!(too_deep.contains("hint: it is a key of the whole entry, one level up; the keys"), "{too_deep}");
    let misspelt = fleet_with(&format!("labels: {{ eus: {{}} }}\n{tenants}"), &[]).unwrap_err();
    assert!(misspelt.contains("did you mean `eu`? the labels are eu"), "{misspelt}");
}
