//! Who was resolved, and from where; nobody is connected to.

use std::net::TcpListener;

use crate::support::{CANARY, Fleet};

use super::json;

const HOSTILE: [&str; 4] = ["x\"; DROP SCHEMA y; --", "Größe", "=1+1", "a|b, c"];

/// A fleet whose servers are a port that nobody may connect to.
fn fleet(port: u16) -> Fleet {
    let mut fleet = Fleet::new();
    let url =
        |scheme: &str| json(&format!("{scheme}://migrator:{CANARY}@127.0.0.1:{port}").replace("/+@x", "%2F%2B%40x"));
    let names: String = HOSTILE
        .iter()
        .map(|name| format!("  - {{ name: {0}, server: pg, database: shared, schema: {0} }}\n", json(name)))
        .collect();
    fleet.tenants_yaml(&format!(
        "defaults: {{ labels: [prod] }}\nservers:\n  pg: {{ url: {} }}\n  my: {{ url: {} }}\ntenants:\n{names}  \
         - {{ name: initech, server: my, database: initech, labels: [eu] }}\n  \
         - {{ name: old, server: my, database: old, quarantined: \"moves\" }}\n  - {{ name: demo, url: \"sqlite://demo.db\" }}\n",
        url("postgres"),
        url("mysql")
    ));
    fleet
}

#[test]
fn the_list_is_the_same_in_every_form_and_asks_nobody() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let fleet = fleet(nobody.local_addr().unwrap().port());
    // The folder of changesets is not looked at.
    std::fs::remove_dir_all(fleet.migrations()).unwrap();
    let document = fleet.run(&["tenants", "list", "--format", "json"]).expect(0).json();
    let tenants = document["tenants"].as_array().expect("tenants");
    let names: Vec<&str> = tenants.iter().filter_map(|tenant| tenant["name"].as_str()).collect();
    assert_eq!(names, [&HOSTILE[..], &["initech", "old", "demo"]].concat());
    assert_eq!((&document["summary"]["active"], &document["summary"]["quarantined"]), (&6.into(), &1.into()));
    let initech = &tenants[4];
    assert_eq!((&initech["user"], &initech["labels"][0]), (&"migrator".into(), &"eu".into()), "{initech}");
    assert_eq!((&initech["origin"]["position"], &initech["wave"]), (&5.into(), &"rest".into()), "{initech}");
    let csv = fleet.run(&["tenants", "list", "--format", "csv"]).expect(0).stdout;
    assert_eq!(csv.split("\r\n").count(), 1 + names.len() + 1, "{csv}");
    assert!(csv.contains("\"x\"\"; DROP SCHEMA y; --\",postgres,pg,127.0.0.1:") && csv.contains("'=1+1,"), "{csv}");
    let table = fleet.run(&["tenants", "list"]).expect(0).stdout;
    assert!(table.contains("entry 5 of tenants") && table.contains("entry 6 of tenants; moves"), "{table}");
    assert!(table.ends_with("7 tenants: 6 active, 1 quarantined; 3 servers\n"), "{table}");
    assert_eq!(nobody.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
}

#[test]
fn every_option_of_the_selection_is_understood_and_a_wrong_word_is_told() {
    let fleet = fleet(1);
    for (args, count) in [
        (&["--server", "my"][..], 2),
        (&["--label", "prod,!eu"], 6),
        (&["--label", "eu", "--label", "prod"], 7),
        (&["--exclude", "server=pg", "--exclude", "old"], 2),
        (&["--wave", "rest"], 7),
        (&["--tenant", "=1+1", "--tenant", "i*"], 2),
    ] {
        let listed = fleet.run(&[&["tenants", "list", "--format", "json"], args].concat()).expect(0).json();
        assert_eq!(listed["summary"]["tenants"], count, "{args:?}");
    }
    for (args, hint) in [
        (["--server", "yx"], "the servers are"),
        (["--label", "prid"], "did you mean `prod`"),
        (["--wave", "canary"], "the fleet has no waves"),
        (["--exclude", "initec"], "did you mean `initech`"),
    ] {
        let refused = fleet.run(&[&["tenants", "list"], &args[..]].concat()).expect(2).says(&["MT110", hint]);
        assert!(refused.stdout.is_empty(), "{refused}");
    }
}
