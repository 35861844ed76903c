//! Tenants that come and go: `provision`, tenants that are being made, and what is left of those that went.

use rustix::process::Signal;

use crate::support::gate::wait_until;
use crate::support::{Fleet, Rows, USER, mariadb, percent_encoded, postgres, quoted, unique};

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}

fn versions(rows: &Rows) -> String {
    rows.iter().map(|row| row[0].clone().unwrap_or_default()).collect::<Vec<_>>().join(",")
}

const HISTORY: &str = "SELECT version FROM refinery_schema_history ORDER BY version";

/// A fleet of each kind of tenant, of which one of each is active and one is being made.
struct Kinds {
    fleet: Fleet,
    shared: String,
    owner: String,
    schema: String,
    database: String,
    mariadb: String,
    file: String,
}

impl Kinds {
    fn new() -> Self {
        let (pg, my) = (postgres(0), mariadb(0));
        let [shared, old, old_my] = [pg.create_database(), pg.create_database(), my.create_database()];
        my.execute(&old_my, &format!("ALTER DATABASE {old_my} COLLATE utf8mb4_bin"));
        let old_schema = pg.create_schema(&shared);
        let owner = unique("own\"er");
        pg.execute(&shared, &format!("CREATE ROLE {}", quoted(&owner, '"')));
        let mut kinds = Self {
            fleet: Fleet::new(),
            schema: unique("New\"; DROP SCHEMA 'x'; --"),
            database: unique("New\"; DROP DATABASE x; --"),
            mariadb: unique("New`; DROP 'x'; --"),
            file: format!("{}.db", unique("n'ew %20")),
            shared,
            owner,
        };
        let tenants = [
            ("old-schema", format!("server: pg, database: {}, schema: {}", kinds.shared, old_schema)),
            ("old-db", format!("server: pg, database: {old}")),
            ("old-my", format!("server: my, database: {old_my}")),
            ("old-file", "server: files, database: old.db".to_owned()),
        ];
        let old = tenants.map(|(name, keys)| format!("  - {{ name: {name}, {keys} }}\n")).concat();
        let owner = json(&kinds.owner);
        let new = [
            (
                "new-schema",
                format!(
                    "server: pg, database: {}, schema: {}, create: {{ owner: {owner} }}",
                    kinds.shared,
                    json(&kinds.schema)
                ),
            ),
            (
                "new-db",
                format!(
                    "server: pg, database: {}, create: {{ owner: {owner}, encoding: UTF8, collation: C, template: template0 }}",
                    json(&kinds.database)
                ),
            ),
            (
                "new-my",
                format!(
                    "server: my, database: {}, create: {{ encoding: utf8mb4, collation: utf8mb4_bin }}",
                    json(&kinds.mariadb)
                ),
            ),
            ("new-file", format!("server: files, database: {}", json(&kinds.file))),
        ];
        let new = new.map(|(name, keys)| format!("  - {{ name: {name}, {keys}, state: provisioning }}\n")).concat();
        let servers = format!(
            "defaults: {{ create: true }}\nservers:\n  pg: {{ url: {} }}\n  my: {{ url: {} }}\n  files: {{ url: \"sqlite://data\" }}\n",
            json(&pg.server_url()),
            json(&my.server_url())
        );
        kinds.fleet.tenants_yaml(&format!("{servers}tenants:\n{old}{new}"));
        // The active file is made by hand: its server makes none.
        kinds.fleet.file("data/old.db", "");
        kinds
    }

    /// The histories of the tenants that were being made.
    fn histories(&self) -> [String; 4] {
        let (pg, my) = (postgres(0), mariadb(0));
        let file = self.fleet.folder().join("data").join(&self.file);
        let table = format!("{}.refinery_schema_history", quoted(&self.schema, '"'));
        [
            versions(&pg.query(&self.shared, &HISTORY.replace("refinery_schema_history", &table))),
            versions(&pg.query(&self.database, HISTORY)),
            versions(&my.query(&self.mariadb, HISTORY)),
            versions(&crate::support::sqlite::query(&file, HISTORY)),
        ]
    }
}

const NEW: [&str; 4] = ["new-schema", "new-db", "new-my", "new-file"];

#[test]
fn provision_makes_every_kind_of_place_and_brings_it_as_far_as_all_the_others_and_not_further() {
    let mut kinds = Kinds::new();
    kinds.fleet.changeset("V1__one.sql", "CREATE TABLE one (id int);");
    kinds.fleet.changeset("V2__two.sql", "CREATE TABLE two (id int);");

    // Who is being made is passed over, and every verb says so.
    for args in [&["plan"][..], &["up"], &["status"], &["drift"], &["validate"]] {
        let output = kinds.fleet.run(args).expect(0);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains("provision"), "{args:?}: {output}");
        assert!(args == ["validate"] || said.contains("new-db"), "{args:?}: {output}");
    }
    let status: serde_json::Value =
        serde_json::from_str(&kinds.fleet.run(&["status", "--format", "json"]).expect(0).stdout).unwrap();
    assert_eq!((&status["summary"]["provisioning"], &status["summary"]["current"]), (&4.into(), &4.into()));
    for args in [
        &["accept", "--tenant", "new-db", "--reason", "x"][..],
        &["repair", "--tenant", "new-db", "--mark-done", "--reason", "x"],
    ] {
        let output = kinds.fleet.run(args);
        assert!(output.status == 2 && output.stderr.contains("being provisioned"), "{args:?}: {output}");
    }

    // The fleet halts half way: V3 is on PostgreSQL and not on the others.
    kinds.fleet.changeset("V3__three.sql", "CREATE TABLE three (id int);");
    kinds.fleet.variant("sqlite", "V3__three.sql", "CREATE TABLE one (id int);");
    kinds.fleet.run(&["up"]).expect(1);
    for tenant in NEW {
        let made = kinds.fleet.run(&["provision", tenant]).expect(0);
        let said = format!("{}{}", made.stdout, made.stderr);
        assert!(said.contains("the fleet's version is V2") && said.contains("state: active"), "{tenant}: {made}");
    }
    assert_eq!(kinds.histories(), ["1,2"; 4].map(str::to_owned));
    let (pg, my) = (postgres(0), mariadb(0));
    let facts = format!(
        "SELECT concat_ws('|', r.rolname, d.datcollate, pg_encoding_to_char(d.encoding)) FROM pg_database d \
         JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = '{}'",
        kinds.database
    );
    assert_eq!(versions(&pg.query("postgres", &facts)), format!("{}|C|UTF8", kinds.owner));
    let owner = format!(
        "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = '{}'",
        kinds.schema.replace('\'', "''")
    );
    assert_eq!(versions(&pg.query(&kinds.shared, &owner)), quoted(&kinds.owner, '"'));
    let collation = "SELECT @@collation_database";
    assert_eq!(versions(&my.query(&kinds.mariadb, collation)), "utf8mb4_bin");

    // Again: what is there is used, and nothing is left to do.
    for tenant in NEW {
        let again = kinds.fleet.run(&["provision", tenant]).expect(0);
        assert!(again.stderr.contains("there already"), "{tenant}: {again}");
    }
    // Then they are as all the others.
    let yaml = std::fs::read_to_string(kinds.fleet.folder().join("tenants.yaml")).unwrap();
    kinds.fleet.tenants_yaml(&yaml.replace("state: provisioning", "state: active"));
    kinds.fleet.variant("sqlite", "V3__three.sql", "CREATE TABLE three (id int);");
    kinds.fleet.run(&["up"]).expect(0);
    kinds.fleet.run(&["drift"]).expect(0);
    assert_eq!(kinds.histories(), ["1,2,3"; 4].map(str::to_owned));

    // One that is made otherwise than the others is not what they are.
    let yaml = std::fs::read_to_string(kinds.fleet.folder().join("tenants.yaml")).unwrap();
    let odd = format!(
        "  - {{ name: odd, server: my, database: {}, create: {{ collation: utf8mb4_unicode_ci }} }}\n",
        unique("odd")
    );
    kinds.fleet.tenants_yaml(&(yaml + &odd));
    let deviates = kinds.fleet.run(&["provision", "odd"]).expect(3);
    assert!(deviates.stderr.contains("MT411") && deviates.stderr.contains("utf8mb4_unicode_ci"), "{deviates}");
}

#[test]
fn provision_goes_on_where_it_was_interrupted_and_touches_nothing_that_is_not_its_own() {
    let pg = postgres(0);
    let (template, made, strange, missing) =
        (pg.create_database(), unique("made"), pg.create_database(), unique("missing"));
    pg.execute(&template, "CREATE TABLE seed (id int); INSERT INTO seed VALUES (7)");
    pg.execute(&strange, "CREATE TABLE theirs (id int)");
    // A run that was killed behind CREATE DATABASE.
    pg.execute("postgres", &format!("CREATE DATABASE {made} TEMPLATE {template}"));
    let mut fleet = Fleet::new();
    let seed = fleet.folder().join("seed.db");
    crate::support::sqlite::execute(&seed, "CREATE TABLE seed (id int); INSERT INTO seed VALUES (7)");
    std::fs::copy(&seed, fleet.folder().join("data/made.db")).unwrap();
    crate::support::sqlite::execute(&fleet.folder().join("data/strange.db"), "CREATE TABLE theirs (id int)");
    let tenants = |state: &str| {
        format!(
            "servers:\n  pg: {{ url: {url}, create: {{ template: {template} }} }}\n  files: {{ url: \"sqlite://data\", create: {{ template: seed.db }} }}\n\
             tenants:\n\
             {state}  - {{ name: made, server: pg, database: {made}, state: provisioning }}\n\
             {state}  - {{ name: fresh, server: pg, database: {missing}, state: provisioning }}\n\
             {state}  - {{ name: strange, server: pg, database: {strange}, state: provisioning }}\n\
             {state}  - {{ name: made-file, server: files, database: made.db, state: provisioning }}\n\
             {state}  - {{ name: fresh-file, server: files, database: fresh.db, state: provisioning }}\n\
             {state}  - {{ name: strange-file, server: files, database: strange.db, state: provisioning }}\n\
             {state}  - {{ name: away, server: pg, database: away, quarantined: moving }}\n\
             {state}  - {{ name: said-nothing, url: \"sqlite://x.db\" }}\n",
            url = json(&pg.server_url()),
        )
    };
    let text = tenants("");
    let alone = text.replace("  - { name: said-nothing, url: \"sqlite://x.db\" }\n", "");
    fleet.tenants_yaml(&alone);
    fleet.changeset("V1__one.sql", "CREATE TABLE one AS SELECT id FROM seed;");
    fleet.changeset("V2__two.sql", "CREATE TABLE two (id int); SELECT no_such_thing;");
    for tenant in ["made", "fresh", "made-file", "fresh-file"] {
        // Without other tenants it gets the newest version, and stops where a changeset fails.
        let failed = fleet.run(&["provision", tenant]).expect(1);
        assert!(failed.stderr.contains("MT204"), "{tenant}: {failed}");
    }
    fleet.changeset("V2__two.sql", "CREATE TABLE two (id int);");
    for tenant in ["made", "fresh", "made-file", "fresh-file"] {
        fleet.run(&["provision", tenant]).expect(0);
    }
    let seen = "SELECT id FROM one";
    assert_eq!(
        ["7", "7"],
        [&made, &missing].map(|database| versions(&pg.query(database, seen))).each_ref().map(String::as_str)
    );
    for file in ["made.db", "fresh.db"] {
        assert_eq!(versions(&crate::support::sqlite::query(&fleet.folder().join("data").join(file), HISTORY)), "1,2");
    }
    // Killed in the middle of a changeset.
    fleet.changeset("V3__three.sql", "CREATE TABLE three (id int);");
    fleet.variant("postgres", "V3__three.sql", "CREATE TABLE three (id int); SELECT pg_sleep(60);");
    let running = fleet.spawn(&["provision", "fresh"]);
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    wait_until("the changeset is at work", || versions(&pg.query(&missing, at_work)) != "0");
    running.kill_9();
    fleet.variant("postgres", "V3__three.sql", "CREATE TABLE three (id int);");
    fleet.run(&["provision", "fresh"]).expect(0);
    assert_eq!(versions(&pg.query(&missing, HISTORY)), "1,2,3");

    for tenant in ["strange", "strange-file"] {
        let refused = fleet.run(&["provision", tenant]).expect(5);
        assert!(refused.stderr.contains("MT325") && refused.stderr.contains("theirs"), "{tenant}: {refused}");
    }
    assert_eq!(versions(&pg.query(&strange, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")), "1");

    // Who is not there hears who makes it.
    let absent = fleet.run(&["status"]);
    assert!(!absent.stderr.contains("MT312"), "{absent}");
    fleet.tenants_yaml(&alone.replace(&format!("{missing}, state: provisioning"), "absent_one"));
    let absent = fleet.run(&["status"]).expect(5);
    assert!(absent.stderr.contains("MT312") && absent.stderr.contains("`mtmigrate provision fresh`"), "{absent}");
    // A folder that is not there is no fault of the template.
    fleet.tenants_yaml(&alone.replace("fresh.db", "no/such/fresh.db"));
    let refused = fleet.run(&["provision", "fresh-file"]).expect(5);
    assert!(refused.stderr.contains("its folder") && !refused.stderr.contains("template"), "{refused}");
    // Who does not say how, who is left out, who is nobody.
    fleet.tenants_yaml(&text);
    for (tenant, said) in [
        ("said-nothing", "MT155"),
        ("away", "quarantined"),
        ("*", "no tenant's name"),
        ("fersh", "error[MT110]: no tenant is called fersh\nhint: did you mean `fresh`?"),
    ] {
        let refused = fleet.run(&["provision", tenant]).expect(2);
        assert!(refused.stderr.contains(said), "{tenant}: {refused}");
    }
    // The others cannot be read: how far it is to go is not known.
    let gone = alone + "  - { name: gone, server: pg, database: no_such_database }\n";
    fleet.tenants_yaml(&gone.replace(&missing, &unique("later")));
    let refused = fleet.run(&["provision", "fresh"]).expect(5);
    assert!(refused.stderr.contains("MT325") && refused.stderr.contains("gone"), "{refused}");
    // A server that refuses says why.
    let user = unique("poor");
    pg.execute("postgres", &format!("CREATE ROLE {user} LOGIN PASSWORD 'p'"));
    let poor =
        gone.replace(&percent_encoded(USER), &user).replace("gone, server: pg", "gone, quarantined: x, server: pg");
    let poor = poor.replace(&percent_encoded(crate::support::CANARY), "p").replace(&missing, &unique("later"));
    fleet.tenants_yaml(&poor);
    let refused = fleet.run(&["provision", "fresh"]).expect(5);
    assert!(refused.stderr.contains("MT325") && refused.stderr.contains("CREATEDB"), "{refused}");
}

#[test]
fn what_a_tenant_left_behind_is_found_by_the_pattern_and_nothing_is_touched() {
    let (pg, my) = (postgres(0), mariadb(0));
    let (shared, prefix) = (pg.create_database(), unique("orph"));
    let [stays, gone, scratch, test] = ["stays", "gone", "scr'atch", "test"].map(|name| format!("{prefix}_{name}"));
    for schema in [&stays, &gone, &scratch, &test] {
        pg.create_schema_named(&shared, schema);
    }
    let [my_stays, my_gone] = ["my_stays", "my_gone"].map(|name| format!("{prefix}_{name}"));
    my.create_database_named(&my_stays);
    my.create_database_named(&my_gone);
    let mut fleet = Fleet::new();
    let servers = format!(
        "servers:\n  pg: {{ url: {} }}\n  my: {{ url: {} }}\n  files: {{ url: \"sqlite://data?mode=rwc\" }}\n",
        json(&pg.server_url()),
        json(&my.server_url())
    );
    let tenant = |name: &str, place: &str| format!("  - {{ name: {name}, {place} }}\n");
    let stay = [
        tenant("stays", &format!("server: pg, database: {shared}, schema: {stays}")),
        tenant("my-stays", &format!("server: my, database: {my_stays}")),
        tenant("file-stays", "server: files, database: stays.db"),
        tenant("made", &format!("server: my, database: {prefix}_my_made, state: provisioning")),
    ]
    .concat();
    let leave = [
        tenant("gone", &format!("server: pg, database: {shared}, schema: {gone}")),
        tenant("my-gone", &format!("server: my, database: {my_gone}")),
        tenant("file-gone", "server: files, database: gone.db"),
    ]
    .concat();
    fleet.changeset("V7__one.sql", "CREATE TABLE one (id int);");
    fleet.tenants_yaml(&format!("{servers}tenants:\n{stay}{leave}"));
    fleet.run(&["up"]).expect(0);
    let nowhere = fleet.run(&["status", "--orphans"]).expect(2);
    assert!(nowhere.stderr.contains("tenants: false"), "{nowhere}");
    my.create_database_named(&format!("{prefix}_my_made"));
    std::fs::write(fleet.folder().join("data/not-one.txt"), "text").unwrap();

    // They left the list; the patterns only look.
    let looks = format!(
        "sources:\n  - discover: {{ server: pg, database: {shared}, schemas: \"{prefix}_*\", except: [\"*_test\"], name: \"{{1}}\", tenants: false }}\n  \
         - discover: {{ server: my, databases: \"{prefix}_*\", tenants: false }}\n  - discover: {{ files: \"data/*.db\", tenants: false }}\n"
    );
    fleet.tenants_yaml(&format!("{servers}{looks}tenants:\n{stay}"));
    let orphans = |args: &[&str], status| {
        let args = [&["status", "--orphans", "--format", "json"], args].concat();
        let output = fleet.run(&args).expect(status);
        let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let of = |one: &serde_json::Value| {
            let word = |key: &str| one[key].as_str().unwrap_or("-").to_owned();
            let place = if one["schema"].is_null() { word("database") } else { word("schema") };
            format!("{} {} {place} {} {}", word("name"), word("engine"), one["history"], word("version"))
        };
        found["orphans"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let seen = [
        format!("gone postgres {gone} true 7"),
        format!("scr'atch postgres {scratch} false -"),
        format!("{my_gone} mysql {my_gone} true 7"),
        "data/gone.db sqlite data/gone.db true 7".to_owned(),
    ];
    assert_eq!(orphans(&[], 0), seen);
    assert_eq!(orphans(&["--check"], 4), seen);
    let table = fleet.run(&["status", "--orphans"]).expect(0);
    assert!(table.stdout.contains("4 orphans, 3 of them with a history"), "{table}");
    fleet.run(&["status", "--orphans", "--format", "csv"]).expect(2);
    fleet.run(&["status", "--check"]).expect(0);

    // Who is in the list again is none.
    fleet.tenants_yaml(&format!("{servers}{looks}tenants:\n{stay}{leave}"));
    let args = ["status", "--orphans", "--check", "--format", "json"];
    let left = fleet.run(&args).expect(4);
    assert!(left.stdout.contains("scr'atch") && !left.stdout.contains("gone"), "{left}");
}

#[test]
fn a_signal_while_the_others_are_read_or_the_lock_is_waited_for_makes_nothing() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut fleet = Fleet::new();
        // It takes connections and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        fleet.tenants_yaml(&format!(
            "servers:\n  files: {{ url: \"sqlite://data\", create: true }}\n  silent: {{ url: \"postgres://u@127.0.0.1:{port}\", connect_timeout: 60s, tls: disable }}\n\
             tenants:\n  - {{ name: fresh, server: files, database: fresh.db, state: provisioning }}\n  - {{ name: other, server: silent, database: d }}\n"
        ));
        fleet.changeset("V1__one.sql", "CREATE TABLE one (id int);");
        let mut running = fleet.spawn(&["provision", "fresh"]);
        let _held = silent.accept().unwrap();
        running.signal(signal);
        running.wait_for("nothing new is started");
        let output = running.wait().expect(status);
        assert!(output.stderr.contains("interrupted: nothing was made for tenant fresh"), "{output}");
        assert!(!output.stderr.contains("is ready"), "{output}");
        assert!(!fleet.folder().join("data/fresh.db").exists(), "{output}");
    }
}

#[test]
fn a_template_that_is_further_than_the_fleet_makes_nobody_ready() {
    let mut fleet = Fleet::new();
    let pg = postgres(0);
    let (template, old, new) = (pg.create_database(), pg.create_database(), unique("further"));
    fleet.tenants_yaml(&format!(
        "tenants:\n  - {{ name: t-file, url: \"sqlite://t.db?mode=rwc\" }}\n  - {{ name: t-pg, url: {} }}\n",
        json(&pg.url(&template))
    ));
    fleet.changeset("V1__one.sql", "CREATE TABLE one (id int);");
    fleet.changeset("V2__two.sql", "CREATE TABLE two (id int);");
    fleet.run(&["up"]).expect(0);
    fleet.tenants_yaml(&format!(
        "servers:\n  pg: {{ url: {}, create: {{ template: {template} }} }}\n  files: {{ url: \"sqlite://data?mode=rwc\", create: {{ template: t.db }} }}\n\
         tenants:\n  - {{ name: old-pg, server: pg, database: {old} }}\n  - {{ name: old-file, server: files, database: old.db }}\n\
         \x20 - {{ name: new-pg, server: pg, database: {new}, state: provisioning }}\n\
         \x20 - {{ name: new-file, server: files, database: new.db, state: provisioning }}\n",
        json(&pg.server_url())
    ));
    // The fleet has no version yet, then V1, then what the template has.
    for (to, said) in [(None, "no version"), (Some("1"), "V1"), (Some("2"), "")] {
        if let Some(to) = to {
            fleet.run(&["up", "--to", to]).expect(0);
        }
        for tenant in ["new-pg", "new-file"] {
            let output = fleet.run(&["provision", tenant]);
            if said.is_empty() {
                output.expect(0);
                continue;
            }
            let output = output.expect(5);
            let cause = format!("its place has V2, the fleet has {said}");
            assert!(output.stderr.contains("MT325") && output.stderr.contains(&cause), "{tenant}: {output}");
            assert!(!output.stderr.contains("is ready"), "{tenant}: {output}");
        }
    }
}

#[test]
fn a_tenant_that_is_being_made_keeps_nobody_from_going_on() {
    let mut fleet = Fleet::new();
    fleet.tenants_yaml(
        "tenants:\n  - { name: old, url: \"sqlite://old.db?mode=rwc\", vars: { region: eu } }\n\
         \x20 - { name: new, url: \"sqlite://new.db\", state: provisioning, create: true }\n\
         \x20 - { name: not, url: \"sqlite://not.db\", state: provisioning, create: false }\n",
    );
    fleet.changeset("V1__one.sql", "-- mtmigrate: template\nCREATE TABLE one AS SELECT ${literal:region} AS region;");
    fleet.run(&["validate"]).expect(0);
    fleet.run(&["up"]).expect(0);
    let lacks = fleet.run(&["provision", "new"]).expect(2);
    assert!(lacks.stderr.contains("MT134") && !fleet.folder().join("new.db").exists(), "{lacks}");
    let refused = fleet.run(&["provision", "not"]).expect(2);
    assert!(refused.stderr.contains("MT134") || refused.stderr.contains("`create: false`"), "{refused}");
    fleet.changeset("V1__one.sql", "CREATE TABLE one (a int);");
    let refused = fleet.run(&["provision", "not"]).expect(2);
    assert!(refused.stderr.contains("MT155") && refused.stderr.contains("`create: false`"), "{refused}");
    for option in ["--tenant", "--label", "--server", "--wave", "--exclude"] {
        let refused = fleet.run(&["status", "--orphans", option, "x"]).expect(2);
        assert!(refused.stderr.contains("cannot be used with"), "{option}: {refused}");
    }
}
