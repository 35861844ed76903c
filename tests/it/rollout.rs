//! Waves on real servers, through the program: order, gates, failures.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::command_line::terminal::Terminal;
use crate::support::daemon::is_alive;
use crate::support::gate::wait_until;
use crate::support::{Fleet, Output, mariadb, postgres};

/// A fleet of SQLite files `t1` and so on, and two changesets.
fn files(count: usize) -> Fleet {
    let mut fleet = Fleet::new();
    for no in 1..=count {
        fleet.sqlite(&format!("t{no}"));
    }
    two_changesets(&mut fleet);
    fleet
}

fn two_changesets(fleet: &mut Fleet) {
    fleet.changeset("V1__t.sql", "CREATE TABLE t (a int);").changeset("V2__u.sql", "CREATE TABLE u (a int);");
}

/// Writes a program into the folder.
fn program(fleet: &mut Fleet, name: &str, text: &str) {
    fleet.file(name, format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(fleet.folder().join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Whether a SQLite tenant has a table.
fn has(fleet: &Fleet, tenant: &str, table: &str) -> bool {
    fleet.dump(tenant).contains(&format!("\ntable {table}: "))
}

/// The events of a run in waves: `V1 canary`, `| canary`, `canary: check ./smoke passed`.
fn events(output: &Output) -> Vec<String> {
    let lines = output.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.filter_map(|line| {
        let (word, version) = (|key: &str| line[key].as_str().unwrap_or_default().to_owned(), line["version"].as_str());
        let (wave, version) = (word("wave"), version.unwrap_or_default());
        match line["message"].as_str()? {
            "step started" => Some(format!("V{version} {wave}")),
            "step ended" => Some(format!("| {wave}")),
            "gate passed" => Some(format!("{wave}: {} passed", word("gate"))),
            "gate shut" => Some(format!("{wave}: {} shut", word("gate"))),
            _ => None,
        }
    });
    told.collect()
}

const LOGGED: [&str; 4] = ["up", "--log-format", "json", "-v"];

#[test]
fn an_event_log_shows_canary_check_rest_inside_each_step_and_wave_by_wave_in_the_other_order() {
    for (order, expected) in [
        (
            "step",
            "V1 canary, | canary, canary: check ./smoke --fast passed, V1 rest, | rest, \
             V2 canary, | canary, canary: check ./smoke --fast passed, V2 rest, | rest",
        ),
        (
            "wave",
            "V1 canary, | canary, V2 canary, | canary, canary: check ./smoke --fast passed, \
             V1 rest, | rest, V2 rest, | rest",
        ),
    ] {
        let mut fleet = Fleet::new();
        fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite").sqlite("acme");
        two_changesets(&mut fleet);
        let waves = "waves: [{ name: canary, tenants: [acme, pg], check: [./smoke, --fast] }]";
        fleet.set_top("rollout", &format!("{{ order: {order}, {waves} }}"));
        program(
            &mut fleet,
            "smoke",
            "printenv | grep ^MTMIGRATE_ | sort >> seen; echo args $* names $(cat) >> seen; pwd >> seen",
        );
        let plan = fleet.run(&["plan"]).expect(0);
        let said = if order == "step" { "each step goes wave by wave" } else { "before the next begins" };
        assert!(plan.stdout.contains(said) && plan.stdout.contains("    waves: canary 2, rest 2\n"), "{plan}");
        let output = fleet.run(&[&LOGGED[..], &["--format", "json"]].concat()).expect(0);
        assert_eq!(events(&output).join(", "), expected);
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        let steps = report["steps"].as_array().unwrap();
        let waves: Vec<String> = steps.iter().map(|step| format!("{}{}", step["version"], step["wave"])).collect();
        let in_order = waves.join(" ").replace('"', "");
        assert_eq!(
            in_order,
            if order == "step" { "1canary 1rest 2canary 2rest" } else { "1canary 2canary 1rest 2rest" }
        );
        assert_eq!(
            (&report["gates"][0]["after_wave"], &report["gates"][0]["outcome"]),
            (&"canary".into(), &"passed".into())
        );
        let seen = fs::read_to_string(fleet.folder().join("seen")).unwrap();
        let version = if order == "step" { 1 } else { 2 };
        let run_id = report["run_id"].as_str().unwrap();
        let expected = format!(
            "MTMIGRATE_RUN_ID={run_id}\nMTMIGRATE_TENANTS=pg\nMTMIGRATE_VERSION={version}\nMTMIGRATE_WAVE=canary\n\
             args --fast names pg acme\n{}\n",
            fs::canonicalize(fleet.folder()).unwrap().display()
        );
        assert!(seen.starts_with(&expected), "{seen}\nand not\n{expected}");
        fleet.run(&["drift"]).expect(0);
        assert!(fleet.run(&["up"]).expect(0).stdout.contains("nothing to do"));
    }
}

#[test]
fn a_failing_check_halts_before_the_rest_and_after_it_is_mended_the_run_goes_on() {
    let mut fleet = files(4);
    fleet.set_top("rollout", "{ waves: [{ name: canary, tenants: [t2], check: [./smoke] }] }");
    program(&mut fleet, "smoke", "echo GET /orders: 500; [ -e mended ] || exit 3");
    let before = fleet.dumps();
    for round in 1..=2 {
        let output = fleet.run(&["up"]).expect(1);
        for said in [
            "error[MT215]: the check `./smoke` after wave canary failed at V1__t",
            "cause: exit status 3\ncause: the last of what it printed:\n       GET /orders: 500\n",
            "state: 1 tenant has V1; 3 do not; nobody has V2; wave rest was not begun",
            "between waves: 0 passed; after canary at V1, not passed: check ./smoke",
        ] {
            assert!(output.stderr.contains(said), "round {round}: {said}\n{output}");
        }
        let now = fleet.dumps();
        let same: Vec<&String> = before.keys().filter(|name| before[*name] == now[*name]).collect();
        assert_eq!(same, ["t1", "t3", "t4"], "round {round}");
    }
    fleet.file("mended", "");
    fleet.run(&["up"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
    // What is not there, and what ends otherwise.
    for (command, cause) in [
        ("[./none]", "cause: it cannot be started: No such file or directory"),
        ("[sh, -c, \"kill -9 $$\"]", "cause: ended by signal 9"),
        ("{ run: [sh, -c, \"sleep 77; echo late\"], timeout: 1s }", "cause: it did not end within 1s"),
    ] {
        let mut fleet = files(2);
        fleet.set_top("rollout", &format!("{{ waves: [{{ name: canary, tenants: [t2], check: {command} }}] }}"));
        let output = fleet.run(&["up"]).expect(1);
        assert!(output.stderr.contains(cause), "{output}");
    }
}

#[test]
fn a_query_is_asked_of_every_tenant_of_the_wave_on_every_engine() {
    for (query, status, said) in [
        ("SELECT count(*) = 0 FROM t", 0, "up: 4 tenants brought to V2"),
        (
            "SELECT count(*) > 0 FROM t",
            1,
            "cause: on 3 tenants: pg, my, lite\ncause: pg: it answered `f`, and not true",
        ),
        ("SELECT a FROM t", 1, "cause: pg: it answered no row"),
        (
            "SELECT ok FROM nowhere",
            1,
            "cause: on 3 tenants: pg, my, lite\ncause: pg: the question to tenant pg was not answered",
        ),
        ("DROP TABLE t", 1, "cause: on 3 tenants: pg, my, lite\n"),
    ] {
        let mut fleet = Fleet::new();
        fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0)).sqlite("lite").sqlite("last");
        two_changesets(&mut fleet);
        let waves = format!("waves: [{{ name: canary, tenants: [pg, my, lite], check: {{ sql: \"{query}\" }} }}]");
        fleet.set_top("rollout", &format!("{{ {waves} }}"));
        let output = fleet.run(&["up"]).expect(status);
        assert!(output.to_string().contains(said), "{query}: {said}\n{output}");
        assert_eq!(has(&fleet, "last", "t"), status == 0, "{query}");
    }
}

#[test]
fn a_percentage_takes_the_same_tenants_in_every_run_and_after_others_came() {
    let mut fleet = files(40);
    fleet.set_top("rollout", "{ waves: [{ name: canary, percent: 10%, check: [./note] }] }");
    program(&mut fleet, "note", "cat > names-$MTMIGRATE_VERSION");
    fleet.run(&["up", "--to", "1"]).expect(0);
    fleet.run(&["up", "--to", "2"]).expect(0);
    let names = |version: &str| fs::read_to_string(fleet.folder().join(format!("names-{version}"))).unwrap();
    let (first, second) = (names("1"), names("2"));
    assert_eq!(first, second);
    let count = first.lines().count();
    assert!((1..=8).contains(&count), "about four of forty: {first}");
    for no in 41..=60 {
        fleet.sqlite(&format!("t{no}"));
    }
    fleet.changeset("V3__v.sql", "CREATE TABLE v (a int);");
    fleet.run(&["up"]).expect(0);
    let third = fs::read_to_string(fleet.folder().join("names-3")).unwrap();
    assert!(third.starts_with(&first), "{first}\n{third}");
}

const CONFIRMED: &str = "{ waves: [{ name: canary, tenants: [t1], confirm: true }] }";

#[test]
fn confirm_without_a_terminal_and_without_yes_refuses_and_changes_nothing() {
    let mut fleet = files(3);
    fleet.set_top("rollout", CONFIRMED);
    let output = fleet.run(&["up"]).expect(2);
    assert!(
        output.stderr.contains("error[MT150]: wave canary must be confirmed, and there is nobody to ask"),
        "{output}"
    );
    for no in 1..=3 {
        assert!(!has(&fleet, &format!("t{no}"), "mtmigrate_journal"), "nothing was changed");
    }
    // With nobody behind the gate it is not asked.
    fleet.run(&["up", "--tenant", "t1"]).expect(0);
    fleet.run(&["up"]).expect(2);
    let output = fleet.run(&["up", "--yes"]).expect(0);
    assert!(output.stderr.contains("V1  after wave canary  confirm: passed"), "{output}");
    fleet.run(&["status", "--check"]).expect(0);
}

#[test]
fn a_person_at_the_terminal_says_no_or_yes_or_stops() {
    let mut fleet = files(3);
    fleet.set_top("rollout", CONFIRMED);
    let terminal = Terminal::in_folder(fleet.folder());
    let question = "go on with wave rest? [y/n]";
    let run = |round: u32| {
        // The round is seen only after the screen was cleared: the round before has left the same question there.
        let begun = format!("round {round}");
        terminal.enter(&format!("clear; echo {begun}; mtmigrate up; echo status{round} $?"));
        let asked = terminal.wait_for(|screen| {
            [&*begun, question].iter().all(|line| screen.lines().any(|seen| seen.trim_end() == *line))
        });
        assert!(asked.contains("wave canary has V1__t: 1 tenant has V1; 2 do not; nobody has V2"), "{asked}");
    };
    run(1);
    terminal.enter("what");
    terminal.wait_for(|screen| screen.matches(question).count() == 2);
    terminal.enter("n");
    let after = terminal.wait_for(|screen| screen.contains("status1 1"));
    assert!(after.contains("error[MT216]: wave canary was not confirmed at V1__t"), "{after}");
    run(2);
    terminal.tmux(&["send-keys", "C-d"]);
    let after = terminal.wait_for(|screen| screen.contains("status2 1"));
    assert!(after.lines().any(|line| line.trim_end() == question), "its line has an end: {after}");
    run(3);
    terminal.tmux(&["send-keys", "C-c"]);
    let after = terminal.wait_for(|screen| screen.contains("status3 130"));
    assert!(after.lines().any(|line| line.starts_with("SIGINT: ")), "the question's line has an end: {after}");
    assert!(has(&fleet, "t1", "t") && !has(&fleet, "t2", "t"), "nobody else has it");
    run(4);
    terminal.enter("y");
    terminal.wait_for(|screen| screen.contains("wave canary has V2__u:"));
    terminal.enter("Yes");
    let after = terminal.wait_for(|screen| screen.contains("status4 0"));
    assert!(after.contains("3 tenants brought to V2") || after.contains("tenants brought"), "{after}");
}

#[test]
fn ctrl_c_in_a_pause_or_a_check_ends_the_run_between_the_waves() {
    for gate in ["pause: 10m", "check: [./slow]"] {
        let mut fleet = files(3);
        fleet.set_top("rollout", &format!("{{ waves: [{{ name: canary, tenants: [t1], {gate} }}] }}"));
        program(&mut fleet, "slow", "trap 'echo ended >> slow.log; exit 1' TERM; echo begun; sleep 600 & wait");
        let mut running = fleet.spawn(&["up"]);
        running.wait_for(if gate.starts_with("pause") { "V1  after wave canary  pause 10m" } else { "  begun" });
        running.signal(Signal::INT);
        let output = running.wait().expect(130);
        assert!(output.stderr.contains("the run was interrupted after wave canary, at V1"), "{output}");
        assert!(has(&fleet, "t1", "t") && !has(&fleet, "t2", "t"));
        if gate.starts_with("check") {
            let log = fs::read_to_string(fleet.folder().join("slow.log")).unwrap_or_default();
            assert_eq!(log, "ended\n", "the command was ended too");
        }
        fleet.set_top("rollout", "{ waves: [{ name: canary, tenants: [t1] }] }");
        fleet.run(&["up"]).expect(0);
    }
}

#[test]
fn a_wave_is_finished_up_to_so_many_failures_and_the_next_does_not_begin() {
    // Who of a wave comes first is not said: where the run halts in it, all of it would fail.
    let all = &["t1", "t2", "t3", "t4"][..];
    for (more, fails, failed, have) in [
        ("", all, 1, &[][..]),
        (", on_failure: finish-wave", &["t1", "t2"], 2, &["t3", "t4"]),
        (", on_failure: finish-wave, max_failures: 1", all, 2, &[]),
        (", on_failure: finish-wave, max_failures: 1", &["t1"], 1, &["t2", "t3", "t4"]),
    ] {
        let mut fleet = files(5);
        fleet.set_top("rollout", &format!("{{ waves: [{{ name: canary, tenants: [t1, t2, t3, t4] }}]{more} }}"));
        for name in fails {
            fleet.execute(name, "CREATE TABLE t (b int)");
        }
        let output = fleet.run(&["up", "--jobs", "1", "--verify", "off"]).expect(1);
        assert!(output.stderr.contains("V1__t, wave canary: halted after"), "{output}");
        assert!(output.stderr.contains(&format!(" {failed} failed")), "{output}");
        let names = ["t1", "t2", "t3", "t4", "t5"].into_iter().filter(|name| !fails.contains(name));
        let found: Vec<&str> = names.filter(|name| has(&fleet, name, "t")).collect();
        assert_eq!(found, have, "{more}\n{output}");
        for name in fails {
            fleet.execute(name, "DROP TABLE t");
        }
        fleet.run(&["up"]).expect(0);
    }
}

#[test]
fn a_command_that_ignores_sigterm_is_gone_when_the_run_is() {
    for stubborn in [
        "trap '' TERM; echo $$ > pid; echo begun; exec sleep 600",
        "(trap '' TERM; exec sleep 600) & echo $! > pid; echo begun; wait",
    ] {
        for interrupted in [false, true] {
            let mut fleet = files(2);
            let limit = if interrupted { "10m" } else { "3s" };
            let check = format!("{{ run: [./stubborn], timeout: {limit} }}");
            fleet.set_top("rollout", &format!("{{ waves: [{{ name: canary, tenants: [t1], check: {check} }}] }}"));
            program(&mut fleet, "stubborn", stubborn);
            let mut running = fleet.spawn(&["up"]);
            if interrupted {
                running.wait_for("  begun");
                running.signal(Signal::INT);
            }
            let output = running.wait().expect(if interrupted { 130 } else { 1 });
            let pid = fs::read_to_string(fleet.folder().join("pid")).unwrap();
            let pid = pid.trim().parse().unwrap();
            // It was killed: what is left of it is the system's to clear away, and takes no ten minutes.
            wait_until(&format!("{stubborn} is gone\n{output}"), || !is_alive(pid));
        }
    }
}

#[test]
fn a_check_costs_no_more_than_the_command_takes() {
    let mut fleet = Fleet::new();
    fleet.sqlite("t1").sqlite("t2");
    for no in 1..=12 {
        fleet.changeset(&format!("V{no}__t.sql"), &format!("CREATE TABLE t{no} (a int);"));
    }
    fleet.set_top("rollout", "{ waves: [{ name: canary, tenants: [t1], check: [./quick] }] }");
    program(&mut fleet, "quick", "echo fine");
    let output = fleet.run(&["up", "--format", "json"]).expect(0);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let gates = report["gates"].as_array().unwrap();
    let slow = gates.iter().filter(|gate| gate["duration_ms"].as_u64().unwrap() >= 1000).count();
    // Some of them may have met a busy machine; a pause of the run's own would be in all.
    assert!(gates.len() == 12 && slow <= 6, "{slow} of {}: {output}", gates.len());
}

#[test]
fn a_gate_that_stayed_shut_is_asked_again_whatever_the_waves_became_and_whoever_has_the_version_behind_it() {
    let with = |members: &str| format!("{{ waves: [{{ name: canary, {members}, check: [\"false\"] }}] }}");
    let applied = |fleet: &Fleet| {
        let names = fleet.names();
        names.into_iter().filter(|name| has(fleet, name, "t")).collect::<Vec<_>>().join(" ")
    };
    // The wave is somebody else's now.
    let mut fleet = files(5);
    fleet.set_top("rollout", &with("tenants: [t1]"));
    fleet.run(&["up", "--to", "1"]).expect(1);
    fleet.set_top("rollout", &with("tenants: [t2]"));
    for _again in 0..3 {
        let output = fleet.run(&["up", "--to", "1"]).expect(1);
        assert!(output.stderr.contains("MT215"), "{output}");
        assert_eq!(applied(&fleet), "t1 t2");
    }
    // Somebody behind the gate has got it by name.
    for order in ["step", "wave"] {
        let mut fleet = files(5);
        fleet.set_top("rollout", &with("tenants: [t1]").replace("{ waves", &format!("{{ order: {order}, waves")));
        fleet.run(&["up", "--to", "1", "--tenant", "t4"]).expect(0);
        for _again in 0..2 {
            let output = fleet.run(&["up"]).expect(1);
            assert!(output.stderr.contains("MT215"), "{output}");
            assert_eq!(applied(&fleet), "t1 t4", "{order}");
        }
    }
    // The one of the lowest hash is another one, for more tenants came.
    let mut fleet = files(1);
    fleet.set_top("rollout", &with("percent: 0.01%"));
    fleet.run(&["up", "--to", "1"]).expect(0);
    for no in 2..=40 {
        fleet.sqlite(&format!("t{no}"));
    }
    fleet.run(&["up", "--to", "1"]).expect(1);
    let output = fleet.run(&["up", "--to", "1"]).expect(1);
    assert!(output.stderr.contains("MT215"), "{output}");
    assert_eq!(applied(&fleet).split(' ').count(), 2, "the first canary and the second: {output}");
}
