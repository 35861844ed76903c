//! `--tenant` and `--label`.

use super::super::Selection;
use super::*;

const FLEET: &str = r#"
tenants:
  - { name: acme, url: "sqlite://1.db", labels: [eu, canary] }
  - { name: acme/eu, url: "sqlite://2.db", labels: [eu] }
  - { name: "a*", url: "sqlite://3.db", labels: [us] }
  - { name: "[x", url: "sqlite://4.db" }
  - { name: globex, url: "sqlite://5.db", labels: [us], quarantined: moving }
"#;

#[test]
fn globs_and_labels_select_as_they_read_and_never_nothing() {
    let fleet = fleet(FLEET);
    for (tenants, labels, chosen) in [
        (&[][..], &[][..], "acme acme/eu a* [x globex"),
        (&["acme"], &[], "acme"),
        (&["acme*"], &[], "acme acme/eu"),
        (&["a*"], &[], "a*"),
        (&["[x"], &[], "[x"),
        (&["?cme", "glob{al,ex}"], &[], "acme globex"),
        (&["*"], &["us"], "a* globex"),
        (&[], &["us", "canary"], "acme a* globex"),
        (&["acme*"], &["eu"], "acme acme/eu"),
        (
            &["glbex"],
            &[],
            "error[MT110]: --tenant glbex matches no tenant\nhint: did you mean `globex`? `mtmigrate status` lists the tenants; quote a glob for the shell",
        ),
        (
            &["acme", "xyz*"],
            &[],
            "error[MT110]: --tenant xyz* matches no tenant\nhint: `mtmigrate status` lists the tenants; quote a glob for the shell",
        ),
        (
            &[],
            &["canry"],
            "error[MT110]: no tenant has the label canry\nhint: did you mean `canary`? the labels are canary, eu, us",
        ),
        (
            &["acme"],
            &["us"],
            "error[MT110]: no tenant matches both --tenant and --label\nhint: a tenant must match one glob and have one of the labels; `mtmigrate status` lists the tenants",
        ),
        (
            &["[y"],
            &[],
            "error[MT114]: --tenant [y is no glob\ncause: unclosed character class; missing ']'\nhint: `*` any characters, `?` one, `[ab]` one of these, `{a,b}` one of these words; `\\*` a star",
        ),
    ] {
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let selection = Selection { tenants: own(tenants), labels: own(labels) };
        let found = match fleet.select(&selection) {
            Ok(ids) => ids.into_iter().map(|id| fleet.tenant(id).name.as_str()).collect::<Vec<_>>().join(" "),
            Err(mistake) => mistake.to_string(),
        };
        assert_eq!(found, chosen, "{selection:?}");
    }
}
