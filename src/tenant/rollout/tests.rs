use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::super::{Fleet, parse};
use super::{CHECK_TIMEOUT, Check, OnFailure, RolloutOrder, Share, WaveCheck};

fn tenants(names: &[&str]) -> String {
    let line = |name: &&str| match name.split_once('+') {
        Some((name, more)) => format!("  - {{ name: {name}, url: \"sqlite://{name}.db\", {more} }}\n"),
        None => format!("  - {{ name: {name}, url: \"sqlite://{name}.db\" }}\n"),
    };
    format!("tenants:\n{}", names.iter().map(line).collect::<String>())
}

fn parsed(rollout: &str, names: &[&str]) -> Result<Fleet, Vec<String>> {
    let env: HashMap<&str, &str> = HashMap::from([("SHARE", "20")]);
    let text = format!("rollout: {rollout}\n{}", tenants(names));
    let said = |mistake: &crate::error::Diagnostic| {
        let place = mistake.place().map_or_else(String::new, |place| format!(" at {place}"));
        format!("{} {}{place}", mistake.code(), mistake.message())
    };
    parse(Path::new("t.yaml"), &text, &env).map_err(|mistakes| mistakes.iter().map(said).collect())
}

/// Returns each tenant's wave: `a:canary b:rest`.
fn waves(rollout: &str, names: &[&str]) -> String {
    let fleet = parsed(rollout, names).unwrap_or_else(|mistakes| panic!("{rollout}: {mistakes:#?}"));
    let told = |tenant: &super::super::Tenant| format!("{}:{}", tenant.name, fleet.rollout.name(tenant.wave));
    fleet.tenants.iter().map(told).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_rollout_is_read_with_its_gates() {
    let text = "{ order: wave, on_failure: finish-wave, max_failures: 3, waves: [{ name: c, percent: \"${SHARE}%\", pause: 10m, \
                confirm: true, check: [[./smoke, --fast], { sql: SELECT 1, timeout: 2s }, { run: [./other, \"${SHARE}\"] }] }, { d: 0.5% }] }";
    let fleet = parsed(text, &["a"]).unwrap();
    let (rollout, wave) = (&fleet.rollout, &fleet.rollout.waves[0]);
    assert_eq!(
        (rollout.order, rollout.on_failure, rollout.max_failures),
        (RolloutOrder::Wave, OnFailure::FinishWave, Some(3))
    );
    assert_eq!((wave.name.as_str(), wave.pause, wave.confirm), ("c", Duration::from_secs(600), true));
    assert_eq!(wave.takes.share, Some(Share { from: 0, to: 2000 }));
    assert_eq!(rollout.waves[1].takes.share, Some(Share { from: 2000, to: 2050 }));
    let words = |words: &[&str]| Check::Command(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(
        wave.checks,
        [
            WaveCheck { what: words(&["./smoke", "--fast"]), shown: "./smoke --fast".into(), timeout: CHECK_TIMEOUT },
            WaveCheck {
                what: Check::Sql("SELECT 1".into()),
                shown: "SELECT 1".into(),
                timeout: Duration::from_secs(2)
            },
            WaveCheck { what: words(&["./other", "20"]), shown: "./other ${SHARE}".into(), timeout: CHECK_TIMEOUT },
        ]
    );
    assert!(
        !format!("{wave:?}").contains("[\"./other\", \"20\"]"),
        "what a variable holds is in no debug text: {wave:?}"
    );
    assert!(wave.has_gate() && !rollout.waves[1].has_gate());
    assert_eq!(rollout.names().collect::<Vec<_>>(), ["c", "d", "rest"]);
    assert_eq!(
        parsed("{ waves: [{ name: c, percent: 5, check: [./smoke] }] }", &["a"]).unwrap().rollout.waves[0].checks.len(),
        1
    );
}

#[test]
fn the_example_of_the_docs_is_understood() {
    let page = include_str!("../../../docs/rollout.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let env: HashMap<&str, &str> = HashMap::new();
    let fleet = parse(Path::new("t.yaml"), &format!("{example}{}", tenants(&["acme-1", "b"])), &env).unwrap();
    assert_eq!(fleet.rollout.names().collect::<Vec<_>>(), ["canary", "early", "big", "rest"]);
    assert_eq!(fleet.rollout.waves.iter().filter(|wave| wave.has_gate()).count(), 2);
}

#[test]
fn a_tenant_is_in_the_first_wave_that_takes_it_and_in_its_own_before_all() {
    let fleet =
        ["acme", "globex+labels: [early]", "demo-1", "demo-2+labels: [early]", "hooli+wave: big", "x+wave: rest"];
    for (rollout, expected) in [
        (
            "{ waves: [{ early: label=early }, { demo: tenant=demo-* }, { name: big, tenants: [acme] }] }",
            "acme:big globex:early demo-1:demo demo-2:early hooli:big x:rest",
        ),
        (
            "{ waves: [{ demo: \"tenant=demo-*\" }, { name: big, labels: [early], tenants: [\"ac?e\"] }] }",
            "acme:big globex:big demo-1:demo demo-2:demo hooli:big x:rest",
        ),
        ("{ waves: [{ all: 100% }, { name: big }] }", "acme:all globex:all demo-1:all demo-2:all hooli:big x:rest"),
    ] {
        assert_eq!(waves(rollout, &fleet), expected);
    }
    let none = parsed("{ on_failure: finish-wave }", &["a", "b"]).unwrap();
    assert!(none.tenants.iter().all(|tenant| none.rollout.name(tenant.wave) == "rest"));
}

/// The hash is persisted behaviour: were it another one, other tenants would go first.
#[test]
fn a_percentage_means_the_same_tenants_for_ever() {
    let names: Vec<String> = (0..1000).map(|no| format!("tenant-{no}")).collect();
    let within = |from, to| names.iter().filter(|name| Share { from, to }.holds(name)).cloned().collect::<Vec<_>>();
    assert_eq!(within(0, 100), PINNED);
    assert_eq!(within(0, 3000).len(), 295, "about 300");
    assert_eq!(within(0, 10_000).len(), 1000);
    assert_eq!(within(0, 3000).len() + within(3000, 10_000).len(), 1000, "shares neither overlap nor leave gaps");
}

const PINNED: [&str; 12] = [
    "tenant-7",
    "tenant-31",
    "tenant-69",
    "tenant-91",
    "tenant-158",
    "tenant-229",
    "tenant-295",
    "tenant-312",
    "tenant-342",
    "tenant-369",
    "tenant-402",
    "tenant-414",
];

#[test]
fn who_is_added_moves_nobody_else() {
    let names: Vec<String> = (0..60).map(|no| format!("tenant-{no}")).collect();
    let of = |count: usize| {
        let names: Vec<&str> = names[..count].iter().map(String::as_str).collect();
        waves("{ waves: [{ canary: 10% }, { big: 30% }] }", &names)
    };
    let (few, many) = (of(40), of(60));
    assert!(many.starts_with(&few), "{few}\n{many}");
    assert!(few.contains(":canary") && few.contains(":big") && few.contains(":rest"));
}

#[test]
fn of_a_small_fleet_a_percentage_takes_the_one_with_the_lowest_hash_that_is_worked_on() {
    let of = |names: &[&str]| waves("{ waves: [{ canary: 0.01% }, { next: 0.01% }] }", names);
    let three = of(&["a", "b", "c"]);
    assert_eq!(three.matches(":canary").count(), 1, "{three}");
    assert_eq!(three.matches(":next").count(), 1, "{three}");
    let first = three.split(' ').find(|one| one.ends_with(":canary")).unwrap().split_once(':').unwrap().0.to_owned();
    let names: Vec<String> = ["a", "b", "c"]
        .map(|name| if name == first { format!("{name}+quarantined: moves") } else { name.to_owned() })
        .into();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let without = of(&names);
    assert!(!without.contains(&format!("{first}:canary")) && without.contains(":canary"), "{without}");
    assert_eq!(of(&["a+wave: canary", "b", "c"]).matches(":canary").count(), 1, "who names it is enough");
}

#[test]
fn a_wave_without_anybody_is_told() {
    let fleet = parsed("{ waves: [{ early: label=none }, { all: 100% }] }", &["a"]).unwrap();
    let told: Vec<String> = fleet.empty_waves().iter().map(|warning| warning.message().to_owned()).collect();
    assert_eq!(told, ["wave early takes no tenant"]);
    let waves = "{ waves: [{ name: early, tenants: [a, b] }, { name: late, tenants: [c] }] }";
    let fleet = parsed(waves, &["a+quarantined: moves", "b+state: provisioning", "c"]).unwrap();
    let told: Vec<String> = fleet.empty_waves().iter().map(|warning| warning.message().to_owned()).collect();
    assert_eq!(told, ["wave early takes only tenants that are left out: a, b"]);
}

#[test]
fn every_mistake_is_found_in_one_go_with_its_place() {
    for (rollout, names, expected) in [
        ("{ wave: [] }", ["a"], &["MT103 unknown key `wave` of `rollout` at t.yaml:1:12"][..]),
        ("{ waves: [] }", ["a"], &["MT152 `waves` is empty at t.yaml:1:19"]),
        (
            "{ waves: [{ canary: 0% }, { big: 101 }, { x: 0.001% }, { y: many }, { z: [5] }] }",
            ["a"],
            &[
                "MT152 `0%` is no percentage of the fleet at t.yaml:1:20",
                "MT152 `101` is no percentage of the fleet at t.yaml:1:36",
                "MT152 `0.001%` is no percentage of the fleet at t.yaml:1:50",
                "MT152 `many` is no percentage of the fleet at t.yaml:1:65",
                "MT104 `percent` takes a percentage, and this is a list at t.yaml:1:78",
            ],
        ),
        (
            "{ waves: [{ canary: 5% }, { canary: 5% }, { rest: 5% }] }",
            ["a"],
            &[
                "MT152 wave `canary` is there already at t.yaml:1:36",
                "MT152 no wave is called `rest`: that is whoever is in no other at t.yaml:1:52",
            ],
        ),
        (
            "{ waves: [{ a: 60% }, { b: 60% }] }",
            ["a"],
            &["MT152 the percentages up to wave `b` add up to more than 100 at t.yaml:1:32"],
        ),
        ("{ waves: [{ name: c, pause: 5m }] }", ["a"], &["MT152 nothing says whom wave `c` takes at t.yaml:1:20"]),
        (
            "{ waves: [{ name: c, percents: 5 }, { percent: 5 }, { d: env=x }, 7] }",
            ["a"],
            &[
                "MT103 unknown key `percents` of a wave at t.yaml:1:31",
                "MT152 a wave has no `name` at t.yaml:1:46",
                "MT152 wave `d` takes nobody: env=x at t.yaml:1:62",
                "MT104 a wave is a mapping, and this is a number at t.yaml:1:76",
            ],
        ),
        ("{ waves: [{ c: \"tenant=[\" }] }", ["a"], &["MT152 `tenant=[` is no glob of names at t.yaml:1:20"]),
        (
            "{ waves: [{ c: 5% }], order: waves, on_failure: stop, max_failures: 1 }",
            ["a"],
            &[
                "MT104 `waves` is no word of `order` at t.yaml:1:39",
                "MT104 `stop` is no word of `on_failure` at t.yaml:1:58",
            ],
        ),
        ("{ max_failures: 1 }", ["a"], &["MT152 `max_failures` has no meaning here at t.yaml:1:12"]),
        ("{ order: wave }", ["a"], &["MT152 `order: wave` without `waves` at t.yaml:1:19"]),
        ("{ waves: [{ c: 5% }] }", ["a+wave: cc"], &["MT151 there is no wave `cc` at t.yaml:3:44"]),
        (
            "{ waves: [{ name: c, percent: 5, check: [] }] }",
            ["a"],
            &["MT152 the command of a check is empty, or holds a NUL character at t.yaml:1:50"],
        ),
        (
            "{ waves: [{ name: c, percent: 5, check: { sql: x, run: [y] }, confirm: 1, pause: 0 }] }",
            ["a"],
            &[
                "MT152 a check has either `run` or `sql` at t.yaml:1:50",
                "MT104 `confirm` takes true or false, and this is a number at t.yaml:1:81",
                "MT104 `pause` must be longer than nothing at t.yaml:1:91",
            ],
        ),
    ] {
        let found = parsed(rollout, &names).expect_err(rollout);
        assert_eq!(found, expected, "{rollout}");
    }
}
