//! Sources as a user meets them: what a template, a row, a match becomes, and what is wrong with it.

use std::fs;

use super::super::{Answer, Ask, ConfigFile, Datasource, Draft, Fleet, Reply, SourceKind};
use super::*;
use crate::error::{Code, Diagnostic, ExitStatus};

/// Reads a file's text in a folder and hands the draft over.
fn drafted<T>(folder: &Path, text: &str, look: impl FnOnce(Draft<'_>) -> T) -> Result<T, Vec<Diagnostic>> {
    let env = HashMap::from([("PW", "p@ss/{tenant}"), ("WORD", "hidden")]);
    let file = ConfigFile::of(&folder.join("tenants.yaml"), text);
    file.draft(&env).map(look)
}

fn rows(columns: &[&str], rows: &[&[&str]]) -> Reply {
    let cell = |text: &&str| if *text == "NULL" { None } else { Some((*text).to_owned()) };
    Reply::Rows(Answer {
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        rows: rows.iter().map(|row| row.iter().map(cell).collect()).collect(),
    })
}

fn printed(text: &str) -> Reply {
    Reply::Output(text.as_bytes().to_vec())
}

fn answered(text: &str, replies: Vec<Reply>) -> Result<Fleet, Vec<Diagnostic>> {
    drafted(Path::new(""), text, |draft| draft.resolve(replies)).and_then(|fleet| fleet)
}

fn rendered(text: &str, replies: Vec<Reply>) -> String {
    match answered(text, replies) {
        Ok(fleet) => panic!("no mistake: {:?}", places(&fleet)),
        Err(mistakes) => render_all(&mistakes, Paint::Plain),
    }
}

/// Returns name, server, database and schema of every tenant.
fn places(fleet: &Fleet) -> Vec<String> {
    let place = |tenant: &super::super::Tenant| {
        let (database, schema) = (tenant.datasource.database(), tenant.datasource.schema());
        let schema = schema.map(|schema| format!(".{schema}")).unwrap_or_default();
        format!("{} {} {database}{schema}", tenant.name, fleet.server(tenant.server).name)
    };
    fleet.tenants.iter().map(place).collect()
}

const EU: &str = "servers: { eu: { url: \"postgres://app:${PW}@db.eu\" }, files: { url: \"sqlite://data\" } }\n";

#[test]
fn a_template_makes_a_tenant_of_each_name_and_of_each_line_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("names.txt"), "\u{feff}initech\r\n# gone: hooli\n\n umbrella\n").unwrap();
    let text = format!(
        "{EU}sources:
  - template: {{ url: \"postgres://app:${{PW}}@db.eu/x_{{tenant}}\", names: [acme, \"a/b@c?\"], names_file: names.txt }}
    labels: [eu]
    lock_timeout: 7s
  - template: {{ server: eu, database: shared, schema: \"{{tenant}}\", names: [\"O'Hara \\\"x\\\"\"] }}
    user: \"u_{{tenant}}\"
  - template: {{ server: files, database: \"{{tenant}}.db\", names: [lite] }}
tenants: [{{ name: listed, server: eu, database: listed }}]
"
    );
    let fleet = drafted(folder.path(), &text, |draft| {
        assert!(draft.questions().is_empty());
        draft.resolve(Vec::new())
    });
    let fleet = fleet.and_then(|fleet| fleet).unwrap();
    let files = folder.path().file_name().is_some().then_some("files").unwrap();
    let lite = format!("lite {files} data/lite.db");
    assert_eq!(
        places(&fleet),
        [
            "listed eu listed",
            "acme eu x_acme",
            "a/b@c? eu x_a/b@c?",
            "initech eu x_initech",
            "umbrella eu x_umbrella",
            "O'Hara \"x\" eu shared.O'Hara \"x\"",
            &lite,
        ]
    );
    let access = |idx: usize| (fleet.tenants[idx].access.user.clone(), fleet.tenants[idx].access.password.clone());
    assert_eq!(
        access(1),
        (Some("app".into()), crate::tenant::Password::Known(crate::error::Secret::new("p@ss/{tenant}")))
    );
    assert_eq!(
        access(5),
        (Some("u_O'Hara \"x\"".into()), crate::tenant::Password::None),
        "a password belongs to its user"
    );
    assert!(fleet.tenants[1].labels.contains("eu") && fleet.tenants[5].labels.is_empty());
    assert_eq!(fleet.tenants[4].limits.lock_timeout, std::time::Duration::from_secs(7));
    let origins: Vec<String> = [0, 1, 3].map(|idx| fleet.origin(&fleet.tenants[idx])).into();
    assert_eq!(origins, ["entry 1 of tenants", "name 1 of the template in line 3", "name 3 of the template in line 3"]);
    let found: Vec<_> = fleet.sources.iter().map(|source| (source.kind, source.line, source.found)).collect();
    let template = SourceKind::Template;
    assert_eq!(found, [(template, 3, 4), (template, 6, 1), (template, 8, 1)]);
    assert!(fleet.tenants.iter().enumerate().all(|(idx, tenant)| tenant.id.0 == idx));
}

const REGISTRY: &str = "sources:
  - registry: { url: \"mysql://ops:${PW}@common/common\", query: \"SELECT * FROM t\" }
";

#[test]
fn a_registrys_rows_are_tenants_and_its_server_has_none() {
    let text = format!("{EU}{REGISTRY}    server: eu\n    database: \"db_{{tenant}}\"\n    labels: [all]\n");
    let asked = drafted(Path::new(""), &text, |draft| {
        let [question] = draft.questions()[..] else { panic!("one question") };
        assert_eq!((question.asker.as_str(), question.place.line), ("the registry in line 3", 3));
        let Ask::Query { way, sql, .. } = &question.ask else { panic!("a query") };
        assert_eq!((way.server.name.as_str(), sql.as_str()), ("common:3306", "SELECT * FROM t"));
        assert_eq!(way.datasource, Datasource::MySql { database: "common".into() });
        let columns =
            ["NAME", "url", "Server", "database", "schema", "user", "password", "label", "wave", "vars", "state"];
        let given = [
            &["a", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "x, y", "NULL", "NULL", "active"][..],
            &["b", "", "eu", "own", "s", "ub", "pb", "[\"z\"]", "", "{\"region\": \"eu\"}", "provisioning"],
            &["c", "mysql://u@h:3307/c", "", "", "", "", "pc", "", "", "", "quarantined"],
            &["d", "sqlite://d.db", "", "", "", "", "", "", "", "", ""],
        ];
        draft.resolve(vec![rows(&columns, &given)])
    });
    let fleet = asked.and_then(|fleet| fleet).unwrap();
    assert_eq!(places(&fleet), ["a eu db_a", "b eu own.s", "c h:3307 c", "d . d.db"]);
    assert!(fleet.servers.iter().all(|server| server.name != "common:3306"));
    let labels: Vec<String> =
        fleet.tenants.iter().map(|t| t.labels.iter().cloned().collect::<Vec<_>>().join(",")).collect();
    assert_eq!(labels, ["all,x,y", "all,z", "all", "all"]);
    let states: Vec<_> = fleet.tenants.iter().map(|t| (t.quarantined.as_deref(), t.provisioning)).collect();
    let quarantined = Some("quarantined in the registry");
    assert_eq!(states, [(None, false), (None, true), (quarantined, false), (None, false)]);
    let password = |idx: usize| fleet.tenants[idx].access.password.known().map(|secret| secret.reveal().to_owned());
    assert_eq!(password(0).as_deref(), Some("p@ss/{tenant}"));
    assert_eq!((fleet.tenants[1].access.user.as_deref(), password(1).as_deref()), (Some("ub"), Some("pb")));
    assert_eq!(password(2).as_deref(), Some("pc"));
}

#[test]
fn a_row_is_data_and_never_reads_our_environment() {
    let fleet = answered(
        &format!("{EU}{REGISTRY}"),
        vec![rows(
            &["name", "server", "database", "password", "label", "user"],
            &[&["${WORD}", "eu", "{tenant}${PW}", "${file:/etc/passwd}", "${WORD}", "$${x"]],
        )],
    );
    let fleet = fleet.unwrap();
    assert_eq!(places(&fleet), ["${WORD} eu {tenant}${PW}"]);
    assert_eq!(fleet.tenants[0].access.password.known().unwrap().reveal(), "${file:/etc/passwd}");
    assert_eq!(fleet.tenants[0].access.user.as_deref(), Some("$${x"));
    assert!(fleet.tenants[0].labels.contains("${WORD}"));
}

#[test]
fn a_wrong_row_names_itself_its_tenant_and_the_registrys_line_and_shows_no_password() {
    for (columns, row, code, said) in [
        (
            &["name"][..],
            &["a"][..],
            Code::BAD_VALUE,
            "row 1 of the registry in line 3: tenant `a` has no `server` and no `url`",
        ),
        (&["name", "url"], &["NULL", "x"], Code::BAD_ROW, "row 1 of the registry in line 3: there is no `name`"),
        (
            &["name", "server", "database"],
            &["a", "us", "d"],
            Code::UNKNOWN_SERVER,
            "tenant `a` names an unknown server `us`",
        ),
        (&["name", "server", "url"], &["a", "eu", "x"], Code::BAD_VALUE, "tenant `a` has both `server` and `url`"),
        (&["name", "url"], &["a", "postgres://u:hunter2@h"], Code::BAD_URL, "the URL of tenant `a` names no database"),
        (&["name", "url"], &["a", "postgres://u:hunter2@h:x/d"], Code::BAD_URL, "port is not a number"),
        (
            &["name", "server", "database"],
            &["a", "files", "../x.db"],
            Code::BAD_NAME,
            "no file in its server's directory",
        ),
        (&["name", "server", "database", "state"], &["a", "eu", "d", "gone"], Code::BAD_VALUE, "`gone` is no state"),
        (&["name", "server", "database", "vars"], &["a", "eu", "d", "hunter2"], Code::BAD_ROW, "`vars` is not JSON"),
        (&["name", "server", "database", "schema"], &["a", "eu", "d", "pg_x"], Code::BAD_NAME, "belongs to the server"),
        (
            &["name", "url", "password"],
            &["a", "sqlite://x", "hunter2"],
            Code::BAD_VALUE,
            "`password` has no meaning for sqlite",
        ),
        (&["nmae"], &["a"], Code::BAD_ROW, "unknown column `nmae`"),
    ] {
        let mistakes = answered(&format!("{EU}{REGISTRY}"), vec![rows(columns, &[row])]).unwrap_err();
        assert_eq!(mistakes[0].code(), code, "{mistakes:?}");
        assert_eq!(mistakes[0].place().unwrap().line, 3);
        let text = render_all(&mistakes, Paint::Plain);
        assert!(text.contains(said), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn duplicates_are_refused_with_both_origins() {
    let text = format!(
        "{EU}{REGISTRY}  - template: {{ server: eu, database: \"{{tenant}}\", names: [c, a] }}
tenants:
  - {{ name: a, server: eu, database: x }}
"
    );
    let columns = ["name", "server", "database"];
    let again = rendered(&text, vec![rows(&columns, &[&["b", "eu", "y"]])]);
    assert!(again.contains("name 2 of the template in line 4: tenant `a` is there already (line 6)"), "{again}");
    let text = text.replace(", a]", "]");
    let said = rendered(
        &text,
        vec![rows(&columns, &[&["b", "eu", "y"], &["c", "eu", "z"], &["d", "eu", "x"], &["e", "eu", "y"]])],
    );
    for one in [
        "row 2 of the registry in line 3: tenant `c` is there already (name 1 of the template in line 4)",
        "row 3 of the registry in line 3: tenant `d` lives where tenant `a` (line 6) lives",
        "row 4 of the registry in line 3: tenant `e` lives where tenant `b` (row 1 of the registry in line 3) lives",
    ] {
        assert!(said.contains(one), "{one}\n{said}");
    }
}

#[test]
fn a_source_that_gives_too_few_is_an_error_and_so_is_an_empty_fleet() {
    let columns = ["name", "url"];
    let one = || rows(&columns, &[&["a", "sqlite://a.db"]]);
    let least = |least: &str| format!("{REGISTRY}    min_tenants: {least}\n");
    for (text, reply, said) in [
        (REGISTRY.to_owned(), rows(&[], &[]), "the registry in line 2 gives no tenants"),
        (least("2"), one(), "the registry in line 2 gives 1 tenant, and `min_tenants` is 2"),
        (least("0"), rows(&columns, &[]), "the fleet has no tenants"),
    ] {
        let mistakes = answered(&text, vec![reply]).unwrap_err();
        assert_eq!((mistakes.len(), mistakes[0].code().exit()), (1, ExitStatus::Unreachable), "{mistakes:?}");
        assert!(mistakes[0].message().contains(said), "{}", mistakes[0]);
        assert_eq!(mistakes[0].state_now(), Some("nothing was touched"));
    }
    let beside = "tenants: [{ name: b, url: \"sqlite://b.db\" }]\n";
    let fleet = answered(&format!("{}{beside}", least("0")), vec![rows(&columns, &[])]).unwrap();
    assert_eq!(fleet.tenants.len(), 1);
    assert_eq!(answered(&least("1"), vec![one()]).unwrap().tenants.len(), 1);
}

#[test]
fn what_a_server_has_is_discovered_but_for_its_own_and_what_is_excepted() {
    let discover = |keys: &str| format!("{EU}sources: [{{ discover: {{ server: eu, {keys} }} }}]\n");
    let schemas = || {
        let given: Vec<[&str; 2]> = ["tenant_b", "tenant_a", "tenant_test_x", "pg_tenant_x", "other", "TENANT_c"]
            .into_iter()
            .map(|schema| ["app", schema])
            .collect();
        rows(&["d", "s"], &given.iter().map(|row| &row[..]).collect::<Vec<_>>())
    };
    let text = discover("database: app, schemas: \"*tenant_*\", except: [\"tenant_test_*\"], name: \"t-{2}\"");
    let fleet = answered(&text, vec![schemas()]).unwrap();
    assert_eq!(places(&fleet), ["t-a eu app.tenant_a", "t-b eu app.tenant_b"]);
    let discovery = fleet.sources[0].discovery.as_ref().unwrap();
    let seen: Vec<_> =
        discovery.matches.iter().map(|m| (m.name.as_str(), m.is_excepted, m.tenant.map(|id| id.0))).collect();
    assert_eq!(seen, [("t-a", false, Some(0)), ("t-b", false, Some(1)), ("t-test_x", true, None)]);

    let text = format!(
        "{}tenants: [{{ name: a, server: eu, database: app, schema: tenant_a }}]\n",
        discover("database: app, schemas: \"tenant_*\", tenants: false")
    );
    let fleet = answered(&text, vec![schemas()]).unwrap();
    assert_eq!(places(&fleet), ["a eu app.tenant_a"]);
    let matches = &fleet.sources[0].discovery.as_ref().unwrap().matches;
    let seen: Vec<_> = matches.iter().map(|m| (m.name.as_str(), m.tenant.is_some())).collect();
    assert_eq!(seen, [("tenant_a", true), ("tenant_b", false), ("tenant_test_x", false)]);

    let asked = drafted(Path::new(""), &discover("schemas: \"tenant_*\""), |draft| {
        matches!(draft.questions()[0].ask, Ask::EveryDatabase { .. })
    });
    assert!(asked.unwrap());
    let mysql = "servers: { my: { url: \"mysql://u@h\" } }\nsources: [{ discover: { server: my, schemas: \"*\" } }]\n";
    let fleet = answered(mysql, vec![rows(&["s"], &[&["b"], &["mysql"], &["Sys"], &["a"]])]).unwrap();
    assert_eq!(places(&fleet), ["a my a", "b my b"]);
}

#[test]
fn files_are_discovered_in_order_and_need_no_server() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    for name in ["b.db", "a%20?.db", "test.db", "b.db-wal"] {
        fs::write(folder.path().join("data").join(name), "").unwrap();
    }
    let text = "sources: [{ discover: { files: \"data/*.db\", except: [\"data/test*\"], name: \"{1}\" } }]\n";
    let resolved = |text: &str| {
        let fleet = drafted(folder.path(), text, |draft| draft.unasked()).and_then(|fleet| fleet);
        fleet.map(|fleet| {
            fleet.tenants.iter().map(|t| format!("{} {}", t.name, t.datasource.database())).collect::<Vec<_>>()
        })
    };
    assert_eq!(resolved(text).unwrap(), ["a%20? data/a%20?.db", "b data/b.db"]);
    let none = resolved(&text.replace("*.db\"", "*.none\"")).unwrap_err();
    assert_eq!(none[0].code(), Code::TOO_FEW_TENANTS);
}

#[test]
fn a_programs_list_is_of_objects_or_of_names() {
    let text = format!(
        "{EU}sources:\n  - command: {{ run: [\"./list\", \"${{WORD}}\"] }}\n    server: eu\n    database: \"{{tenant}}\"\n"
    );
    let run = drafted(Path::new(""), &text, |draft| match &draft.questions()[0].ask {
        Ask::Program { run, timeout, .. } => (run.clone(), timeout.as_secs()),
        other => panic!("{other:?}"),
    });
    assert_eq!(run.unwrap(), (vec!["./list".to_owned(), "hidden".to_owned()], 30));
    let fleet = answered(&text, vec![printed(r#"["a", {"name": "b", "database": "own", "state": "quarantined"}]"#)]);
    let fleet = fleet.unwrap();
    assert_eq!(places(&fleet), ["a eu a", "b eu own"]);
    assert_eq!(fleet.tenants[1].quarantined.as_deref(), Some("quarantined by the command"));
    assert_eq!(fleet.origin(&fleet.tenants[1]), "entry 2 of the command in line 3");
    let wrong = rendered(&text, vec![printed("oops")]);
    assert!(wrong.contains("error[MT143]: what it printed is not JSON") && !wrong.contains("oops"), "{wrong}");
}

#[test]
fn a_name_that_would_leave_its_host_or_folder_is_refused() {
    for (template, name) in [
        ("url: \"postgres://{tenant}.db/x\"", "evil.example/"),
        ("url: \"sqlite://data/{tenant}.db\"", "../../etc/x"),
        ("server: files, database: \"{tenant}\"", "a/b"),
        ("server: files, database: \"{tenant}\"", ".."),
    ] {
        let text = format!("{EU}sources: [{{ template: {{ {template}, names: [\"{name}\"] }} }}]\n");
        let mistakes = answered(&text, Vec::new()).unwrap_err();
        assert_eq!(mistakes[0].code(), Code::BAD_TEMPLATE, "{mistakes:?}");
        assert!(mistakes[0].message().starts_with("name 1 of the template in line 2: "), "{}", mistakes[0]);
    }
}

#[test]
fn what_must_be_asked_is_not_loaded_without_asking() {
    let env: HashMap<&str, &str> = HashMap::from([("PW", "x")]);
    let mistakes = parse(Path::new("tenants.yaml"), REGISTRY, &env).unwrap_err();
    assert_eq!(mistakes[0].code(), Code::SOURCE_FAILED);
    let unasked = drafted(Path::new(""), REGISTRY, |draft| draft.unasked()).and_then(|fleet| fleet).unwrap();
    assert_eq!((unasked.tenants.len(), unasked.sources.len()), (0, 1));
}

#[test]
fn one_list_has_one_hash_however_it_is_described() {
    let names: Vec<String> = (0..40).map(|no| format!("t{no:02}")).collect();
    let each = |write: &dyn Fn(&str) -> String, between: &str| {
        names.iter().map(|name| write(name)).collect::<Vec<_>>().join(between)
    };
    let listed =
        each(&|name| format!("  - {{ name: {name}, server: eu, database: app, schema: tenant_{name} }}"), "\n");
    let in_place = "    server: eu\n    database: app\n    schema: \"tenant_{tenant}\"\n";
    let names_of = |row: &dyn Fn(&str) -> Vec<Option<String>>| names.iter().map(|name| row(name)).collect::<Vec<_>>();
    let answer = |columns: &[&str], rows| {
        Reply::Rows(Answer { columns: columns.iter().map(|&column| column.to_owned()).collect(), rows })
    };
    let ways = [
        (format!("tenants:\n{listed}\n"), vec![]),
        (
            format!(
                "sources: [{{ template: {{ server: eu, database: app, schema: \"tenant_{{tenant}}\", names: [{}] }} }}]",
                names.join(", ")
            ),
            vec![],
        ),
        (format!("{REGISTRY}{in_place}"), vec![answer(&["name"], names_of(&|name| vec![Some(name.to_owned())]))]),
        (
            "sources: [{ discover: { server: eu, database: app, schemas: \"tenant_*\", name: \"{1}\" } }]".to_owned(),
            vec![answer(&["d", "s"], names_of(&|name| vec![Some("app".into()), Some(format!("tenant_{name}"))]))],
        ),
        (
            format!("sources:\n  - command: {{ run: [x] }}\n{in_place}"),
            vec![printed(&format!("[{}]", each(&|name| format!("\"{name}\""), ",")))],
        ),
    ];
    let hashes: Vec<String> =
        ways.into_iter().map(|(way, replies)| answered(&format!("{EU}{way}"), replies).unwrap().hash).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

/// Returns user and password of every tenant.
fn credentials(fleet: &Fleet) -> Vec<String> {
    let one = |tenant: &super::super::Tenant| {
        let password = match &tenant.access.password {
            crate::tenant::Password::None => "-".to_owned(),
            crate::tenant::Password::Known(secret) => secret.reveal().to_owned(),
            _ => "late".to_owned(),
        };
        format!("{} {} {password}", tenant.name, tenant.access.user.as_deref().unwrap_or("-"))
    };
    fleet.tenants.iter().map(one).collect()
}

#[test]
fn a_sources_password_goes_to_no_host_and_to_no_user_that_a_row_names() {
    let text = format!(
        "{EU}sources:\n  - command: {{ run: [./list] }}\n    user: migrator\n    password: \"${{PW}}\"\n    schema: s\n"
    );
    let printed = printed(
        r#"[{"name": "own", "url": "postgres://own:ownpw@elsewhere.example:1/b"},
            {"name": "half", "url": "postgres://own@elsewhere.example:1/c"},
            {"name": "bare", "url": "postgres://elsewhere.example:1/d"},
            {"name": "named", "server": "eu", "database": "e"},
            {"name": "user", "server": "eu", "database": "f", "user": "else"},
            {"name": "both", "url": "postgres://elsewhere.example:1/g", "user": "u", "password": "p"}]"#,
    );
    let fleet = answered(&text, vec![printed]).unwrap();
    assert_eq!(
        credentials(&fleet),
        ["own own ownpw", "half own -", "bare migrator -", "named migrator p@ss/{tenant}", "user else -", "both u p"]
    );
    let text = text.replace("    schema: s\n", "");
    let fleet = answered(&text, vec![self::printed(r#"[{"name": "lite", "url": "sqlite://x.db"}]"#)]).unwrap();
    assert_eq!(credentials(&fleet), ["lite - -"]);
}

#[test]
fn a_row_names_no_file_of_this_machine_but_its_own_database() {
    for url in [
        "postgres://u@h/d?passfile=/etc/hidden",
        "postgres://u@h/d?sslrootcert=/etc/hidden",
        "postgres://u@h/d?sslkey=/etc/hidden&sslcert=/etc/hidden",
        "mysql://u@h/d?defaults-file=/etc/hidden",
    ] {
        let said = rendered(REGISTRY, vec![rows(&["name", "url"], &[&["a", url]])]);
        assert!(said.contains("the URL of tenant `a` names a file of this machine, which a row may not"), "{said}");
        assert!(!said.contains("hidden"), "{said}");
    }
}

#[test]
fn who_is_left_out_is_nobody_to_work_on() {
    let columns = ["name", "url", "state"];
    let out = || rows(&columns, &[&["a", "sqlite://a.db", "provisioning"], &["b", "sqlite://b.db", "quarantined"]]);
    let beside = "tenants: [{ name: c, url: \"sqlite://c.db\" }]\n";
    let given = |rest: &str| format!("{REGISTRY}{rest}");
    for (text, said) in [
        (given(""), Some("the registry in line 2 gives 2 tenants, 0 of them active, and `min_tenants` is 1")),
        (given(beside), Some("the registry in line 2 gives 2 tenants, 0 of them active, and `min_tenants` is 1")),
        (given("    min_tenants: 0\n"), Some("the fleet has no active tenant, and an empty fleet is no success")),
        (given(&format!("    min_tenants: 0\n{beside}")), None),
    ] {
        let checked = answered(&text, vec![out()]).unwrap().check_active();
        let messages = checked.err().unwrap_or_default();
        let messages: Vec<&str> = messages.iter().map(Diagnostic::message).collect();
        assert_eq!(messages, said.into_iter().collect::<Vec<_>>(), "{text}");
    }
    let template = "sources:\n  - template: { url: \"sqlite://{tenant}.db\", names: [a] }\n    quarantined: moving\n";
    assert!(answered(&format!("{template}{beside}"), vec![]).unwrap().check_active().is_ok());
}

#[test]
fn what_is_wrong_with_a_source_is_said_once_and_before_anybody_is_asked() {
    let names = "template: { server: eu, database: \"{tenant}\", names: [a, b, c] }";
    let asked = "command: { run: [./list] }";
    for (source, rest, said) in [
        (names, "wave: wx", "there is no wave `wx`"),
        (asked, "wave: wx", "there is no wave `wx`"),
        (asked, "state: bogus", "`bogus` is no state of a tenant"),
        (asked, "quarantined: true", "`quarantined` has no reason"),
        (asked, "server: nosuch", "a source names an unknown server `nosuch`"),
        (asked, "{ server: eu, url: \"sqlite://{tenant}\" }", "a source has both `server` and `url`"),
        (
            "template: { server: nosuch, database: \"{tenant}\", names: [a, b] }",
            "labels: [x]",
            "unknown server `nosuch`",
        ),
    ] {
        let rest = rest.trim_matches(['{', '}']).replace(", url", "\n    url");
        let text = format!("{EU}sources:\n  - {source}\n    {}\n", rest.trim());
        let mistakes = drafted(Path::new(""), &text, |_| ()).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].message().contains(said), "{mistakes:?}");
    }
}

#[test]
fn a_rule_of_drift_may_name_a_label_that_nobody_has_today() {
    let rule = "drift: { ignore: [{ objects: [x], labels: [canary], reason: why }] }\n";
    let one = || rows(&["name", "url"], &[&["a", "sqlite://a.db"]]);
    assert!(answered(&format!("{REGISTRY}{rule}"), vec![one()]).is_ok());
    let listed = "tenants: [{ name: c, url: \"sqlite://c.db\" }]\n";
    assert!(rendered(&format!("{listed}{rule}"), vec![]).contains("no tenant has the label `canary`"));
}

#[test]
fn a_file_whose_one_source_only_looks_is_known_to_be_empty() {
    let text = format!("{EU}sources:\n  - discover: {{ server: eu, databases: \"*\", tenants: false }}\n");
    let mistakes = drafted(Path::new(""), &text, |draft| draft.unasked()).unwrap().unwrap_err();
    assert!(mistakes[0].message().contains("the fleet has no tenants"), "{mistakes:?}");
    assert!(drafted(Path::new(""), REGISTRY, |draft| draft.unasked()).unwrap().is_ok());
}

#[test]
fn the_hash_does_not_depend_on_the_order_in_which_a_registry_answers() {
    let columns = ["name", "url"];
    let (a, b): (&[&str], &[&str]) = (&["a", "mysql://h/a"], &["b", "mysql://i/b"]);
    let hash = |given: &[&[&str]]| answered(REGISTRY, vec![rows(&columns, given)]).unwrap().hash;
    assert_eq!(hash(&[a, b]), hash(&[b, a]));
}

#[test]
fn a_label_that_would_mean_something_else_behind_the_option_is_refused() {
    for labels in ["[\"!canary\"]", "[\"a,b\"]"] {
        let said = rendered(&format!("tenants: [{{ name: a, url: \"sqlite://a.db\", labels: {labels} }}]\n"), vec![]);
        assert!(said.contains("begins with `!` or holds a comma"), "{said}");
    }
    let said = rendered(REGISTRY, vec![rows(&["name", "url", "label"], &[&["a", "sqlite://a.db", "!x"]])]);
    assert!(said.contains("the label `!x` begins with `!`"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_servers_file_of_passwords_holds_for_its_tenants_own_users_too() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pw");
    fs::write(&file, "*:*:*:own:x\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let text = "servers: { eu: { url: \"postgres://app@h?passfile=pw\" } }
tenants: [{ name: a, server: eu, database: d, user: own }]
";
    let fleet = drafted(folder.path(), text, |draft| draft.resolve(Vec::new())).and_then(|fleet| fleet).unwrap();
    let access = &fleet.tenants[0].access;
    assert_eq!(access.user.as_deref(), Some("own"));
    let crate::tenant::Password::File(named) = &access.password else { panic!("{access:?}") };
    assert!(named.path().ends_with("pw"), "{access:?}");
}
