//! Characters that a terminal obeys or that nobody sees, in whatever strangers can write: no output has them.

use std::fs;

use crate::command_line::csv;
use crate::support::{Fleet, Output, mariadb, postgres};

/// Sets the title, wipes the screen, goes up a line, colours by one character (C1), overwrites the line, hides and
/// turns around what follows, and breaks out of a cell of CSV and Markdown.
const HOSTILE: &str = "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{1b}[1A\u{9b}31m\rok\u{8}\u{200b}\u{202e}fdp | `<b>` \"";

/// What a tenant's name may hold of it: nothing that is a control character.
const NAME: &str = "=cmd\u{200b}\u{202e}fdp|`<b>";

/// Every verb that reads, in every format.
const VERBS: [&[&str]; 16] = [
    &["validate"],
    &["plan"],
    &["plan", "--sql"],
    &["plan", "--format", "json"],
    &["status"],
    &["status", "--format", "json"],
    &["status", "--format", "csv"],
    &["status", "--format", "markdown"],
    &["history"],
    &["history", "--format", "json"],
    &["drift"],
    &["drift", "--format", "json"],
    &["drift", "--format", "markdown"],
    &["drift", "--repair-sql"],
    &["up"],
    &["up", "--format", "json"],
];

/// How it is told.
const WAYS: [&[&str]; 4] =
    [&[], &["-v", "-v"], &["-v", "-v", "--log-format", "json"], &["--color", "always", "-v", "-v"]];

/// Fails where an output holds what a terminal obeys or what is not seen. Our own colours are taken out first.
#[track_caller]
pub(super) fn assert_neutral(args: &[&str], output: &Output) {
    let csv = args.contains(&"csv");
    for text in [&output.stdout, &output.stderr] {
        let text = if args.contains(&"always") { without_colours(text) } else { text.clone() };
        let text = if csv { text.replace("\r\n", "\n") } else { text };
        // Tabs stand in a changeset's own text, which `plan --sql` shows as it is.
        let allowed = |c: char| c == '\n' || (c == '\t' && args.contains(&"--sql"));
        let unseen = |c: char| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        };
        if let Some(found) = text.chars().find(|c| unseen(*c) && !allowed(*c)) {
            panic!("{args:?} printed {found:?}:\n{text:?}");
        }
    }
}

/// Takes out `ESC [ digits ; digits m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let style = part.find(|c: char| !c.is_ascii_digit() && c != ';').filter(|end| part[*end..].starts_with('m'));
        match style {
            Some(end) => made.push_str(&part[end + 1..]),
            None => {
                made.push_str("\u{1b}[");
                made.push_str(part);
            }
        }
    }
    made
}

/// Runs every verb in every format in these ways, and looks at all of it.
fn look_at_everything(fleet: &Fleet, ways: &[&[&str]]) -> Vec<Output> {
    let mut outputs = Vec::new();
    for way in ways {
        for verb in VERBS {
            let args: Vec<&str> = way.iter().chain(verb).copied().collect();
            let output = fleet.run(&args);
            assert_neutral(&args, &output);
            assert_ne!(output.status, 70, "{output}");
            if verb.contains(&"json") && !output.stdout.is_empty() {
                output.json();
            }
            assert_inert_tables(verb, &output.stdout);
            outputs.push(output);
        }
    }
    outputs
}

/// No cell of CSV is a formula, and no name ends a cell of Markdown or is markup.
#[track_caller]
fn assert_inert_tables(verb: &[&str], text: &str) {
    if verb.contains(&"csv") {
        let formula = |cell: &&String| cell.trim_start().starts_with(['=', '+', '-', '@']);
        let records = csv(text);
        assert_eq!(records.iter().flatten().find(formula), None, "{text}");
        assert!(records.iter().all(|record| record.len() == records[0].len()), "{text}");
    }
    if verb.contains(&"markdown") {
        // What is in a fence is text; its end is longer than any row of marks in it.
        let mut fence = None;
        let outside = text.lines().filter(|line| match &fence {
            None if line.starts_with("```") => {
                fence = Some(line.trim_end_matches("diff").to_owned());
                false
            }
            None => true,
            Some(end) => {
                if line == end {
                    fence = None;
                }
                false
            }
        });
        let outside: Vec<String> =
            outside.map(|line| line.replace(r"\\", "").replace(r"\|", "").replace(r"\<", "")).collect();
        let rows: Vec<&String> = outside.iter().filter(|line| line.starts_with("| ")).collect();
        assert!(rows.iter().all(|row| row.matches('|').count() == rows[0].matches('|').count()), "{text}");
        assert!(!outside.iter().any(|line| line.contains("<b>")), "{text}");
        assert_eq!(fence, None, "a fence is not closed: {text}");
    }
}

/// A tenant on each engine, whose names are as hostile as they may be.
fn fleet() -> (Fleet, [String; 3]) {
    let mut fleet = Fleet::new();
    let names = ["pg", "maria", "lite"].map(|engine| format!("{NAME} {engine}"));
    let [pg, maria, lite] = &names;
    fleet.postgres_database(pg, postgres(0)).mariadb(maria, mariadb(0)).sqlite(lite);
    for name in &names {
        fleet.set(name, "labels", "[\"\\u202elabel\\u200b\"]");
    }
    // JSON leaves some as they are, which YAML takes as escapes only.
    let reason = serde_json::to_string(HOSTILE).unwrap().replace('\u{9b}', "\\u009b");
    fleet.sqlite("away").set("away", "quarantined", &reason);
    fleet.changeset("V1__orders.sql", &format!("-- {}\nCREATE TABLE orders (id int);\n", HOSTILE.replace('\r', "")));
    (fleet, names)
}

/// The hostile text as a literal of each engine.
fn literals() -> [String; 3] {
    let plain = HOSTILE.replace('\'', "''");
    [plain.clone(), plain.replace('\\', "\\\\"), plain]
}

#[test]
fn what_a_server_says_commands_no_terminal() {
    let (mut fleet, _) = fleet();
    let [pg, maria, lite] = literals();
    fleet
        .changeset("V2__says.sql", "SELECT 1;")
        .variant(
            "postgres",
            "V2__says.sql",
            &format!("DO $body$ BEGIN RAISE NOTICE USING MESSAGE = '{pg}'; END $body$;"),
        )
        .variant("mysql", "V2__says.sql", &format!("SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = '{maria}';"));
    let up = fleet.run(&["up"]).expect(0);
    assert_neutral(&["up"], &up);
    assert!(up.stdout.contains("pwned") || up.stderr.contains("pwned"), "the notice is shown: {up}");
    fleet
        .changeset("V3__fails.sql", "SELECT 1;")
        .variant("postgres", "V3__fails.sql", &format!("DO $body$ BEGIN RAISE EXCEPTION USING MESSAGE = '{pg}', DETAIL = '{pg}', HINT = '{pg}'; END $body$;"))
        .variant("mysql", "V3__fails.sql", &format!("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{maria}';"))
        .variant("sqlite", "V3__fails.sql", &format!(
            "CREATE TABLE f (a int);\nCREATE TRIGGER g BEFORE INSERT ON f BEGIN SELECT RAISE(ABORT, '{lite}'); END;\nINSERT INTO f VALUES (1);\n"
        ));
    let outputs = look_at_everything(&fleet, &WAYS);
    assert!(outputs.iter().any(|output| output.stderr.contains("pwned")), "the errors are shown");
    let shown = fleet.run(&["history"]);
    assert!(shown.stdout.contains("\\u{1b}]0;pwned\\u{7}") || shown.stdout.contains("\\u{1b}]0;pwned"), "{shown}");
}

#[test]
fn names_of_objects_and_rows_of_strangers_command_no_terminal() {
    let (fleet, names) = fleet();
    fleet.run(&["up"]).expect(0);
    let name = HOSTILE.replace('\r', "");
    for (tenant, quote) in names.iter().zip(['"', '`', '"']) {
        // MariaDB's names have no room for more.
        let name: String = name.chars().take(60).collect();
        let quoted = crate::support::quoted(&name, quote);
        fleet.execute(tenant, &format!("CREATE TABLE {quoted} (id int, {quoted} int)"));
        fleet.execute(tenant, &format!("ALTER TABLE orders ADD COLUMN {quoted} int"));
    }
    let outputs = look_at_everything(&fleet, &WAYS);
    assert!(outputs.iter().any(|output| output.stdout.contains("pwned")), "the differences are shown");

    for tenant in &names {
        let args = ["accept", "--tenant", tenant, "--reason", &name];
        let output = fleet.run(&args).expect(0);
        assert_neutral(&args, &output);
    }
    look_at_everything(&fleet, &WAYS[..1]);

    for (tenant, literal) in names.iter().zip(literals()) {
        fleet.execute(tenant, &format!("UPDATE mtmigrate_journal SET who = '{literal}', host = '{literal}', tool = '{literal}', error = '{literal}', name = '{literal}'"));
        fleet.execute(
            tenant,
            &format!("INSERT INTO refinery_schema_history VALUES (99, '{literal}', '{literal}', '{literal}')"),
        );
    }
    look_at_everything(&fleet, &WAYS[2..3]);
}

#[test]
fn files_and_arguments_command_no_terminal() {
    let (mut fleet, _) = fleet();
    let name = HOSTILE.replace('/', "");
    fleet.changeset(&format!("V2__{name}.sql"), "SELECT 1;");
    fs::create_dir(fleet.migrations().join(&name)).unwrap();
    fleet.changeset(&format!("{name}/V3__x.sql"), "SELECT 1;");
    look_at_everything(&fleet, &WAYS[1..3]);
    for args in [
        vec!["-c", &name, "status"],
        vec!["--migrations", &name, "validate"],
        vec!["status", "--tenant", &name],
        vec!["status", "--label", &name],
        vec!["status", "--format", &name],
        vec!["up", "--to", &name],
        vec!["new", &name],
        vec![&name],
        vec!["accept", "--tenant", &name, "--reason", "x"],
    ] {
        let output = fleet.run(&args);
        assert_eq!(output.status, 2, "{args:?}: {output}");
        assert_neutral(&args, &output);
    }
}

#[test]
fn a_file_of_a_stranger_commands_no_terminal_by_what_is_wrong_in_it() {
    let mut fleet = Fleet::new();
    fleet.sqlite("acme").changeset("V1__x.sql", &format!("SELECT '{}';\nSELECT '{}\n", HOSTILE, HOSTILE));
    assert_neutral(&["validate"], &fleet.run(&["validate"]).expect(2));
    let text: String = HOSTILE.chars().filter(|c| !c.is_control()).collect();
    for yaml in [
        format!("tenants: [{{ name: 'a', \"{}\": 1 }}]\n", text.replace('"', "")),
        format!("tenants: [{{ name: 'a', url: 'sqlite://a.db', labels: '{text}' }}]\n"),
        format!("tenants: [{{ name: 'a', server: '{text}', database: d }}]\n"),
        format!("{HOSTILE}: {{\n"),
        "tenants: [{ name: \"\\e[2J\\x9b\", url: \"\\e]0;pwned\\a://\" }]\n".to_owned(),
        "servers: { \"\\e[2J\": { url: \"postgres://h\", \"\\u202e\": 1 } }\ntenants: [{ name: a, server: \"\\e[2J\", database: \"\\e\" }]\n".to_owned(),
    ] {
        fleet.tenants_yaml(&yaml);
        for way in WAYS {
            let args: Vec<&str> = way.iter().chain(&["validate"]).copied().collect();
            assert_neutral(&args, &fleet.run(&args).expect(2));
        }
    }
}
