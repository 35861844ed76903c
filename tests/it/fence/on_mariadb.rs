//! MySQL and MariaDB: a text that names another tenant's database is refused before anything runs.

use super::super::support::{Fleet, mariadb, unique};

/// Covers row 32 of docs/failures.md.
#[test]
fn a_text_that_names_another_tenants_database_is_refused_by_every_command_before_anything_runs() {
    let server = mariadb(0);
    let (acme, globex, shared) = (unique("acme"), unique("globex"), unique("shared"));
    let mut fleet = Fleet::new();
    fleet.mariadb_named("acme", server, &acme).mariadb_named("globex", server, &globex);
    server.create_database_named(&shared);
    server.execute(&shared, "CREATE TABLE countries (id int PRIMARY KEY); INSERT INTO countries VALUES (1)");
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int PRIMARY KEY)");
    fleet.run(&["up"]).expect(0);
    let before = fleet.dumps();
    for text in [
        format!("SELECT 1;\nINSERT INTO {globex}.orders VALUES (1);"),
        format!(
            "SELECT 1;\nCREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW INSERT INTO {globex}.orders VALUES (NEW.id);"
        ),
        format!("SELECT 1;\nPREPARE s FROM 'DELETE FROM {globex}.orders'; EXECUTE s;"),
        format!("SELECT 1;\nRENAME TABLE orders TO {globex}.moved;"),
    ] {
        fleet.changeset("V2__next.sql", &text);
        for command in ["validate", "plan", "up"] {
            let output = fleet.run(&[command]).expect(2);
            assert!(output.stderr.contains("error[MT133]"), "{command}: {text}: {output}");
            assert!(output.stderr.contains("V2__next.sql:2:"), "{command}: {text}: {output}");
            assert!(output.stderr.contains(&format!("`{globex}`, which is tenant globex's")), "{text}: {output}");
        }
        assert_eq!(fleet.dumps(), before, "{text}");
    }
    // What no tenant owns may be named, and what only looks like a database is none.
    fleet.changeset(
        "V2__next.sql",
        &format!(
            "-- mtmigrate: touches {shared}\nINSERT INTO orders SELECT id FROM {shared}.countries;\n\
             SELECT {globex}.id FROM orders AS {globex} JOIN orders b ON {globex}.id = b.id;"
        ),
    );
    fleet.run(&["up"]).expect(0);
    assert_eq!(fleet.query("globex", "SELECT id FROM orders").len(), 1);
}

/// `USE` in the text itself is refused before anything runs. Hidden in a literal it is found there if it names a tenant's
/// database; else the next statement is not run, and the end of the text is not reached. Routines may not have it.
#[test]
fn a_text_that_goes_to_another_database_by_code_is_found_out() {
    let server = mariadb(0);
    let (other, globex) = (server.create_database(), unique("globex"));
    for (text, said) in [
        (format!("EXECUTE IMMEDIATE 'USE {globex}'"), "MT133"),
        (format!("EXECUTE IMMEDIATE 'USE {other}'"), "MT206"),
        (format!("EXECUTE IMMEDIATE 'USE {other}'; CREATE TABLE leaked (a int)"), "MT206"),
        (
            format!("SET @s = CONCAT('US', 'E {other}'); PREPARE s FROM @s; EXECUTE s; CREATE TABLE leaked (a int)"),
            "MT206",
        ),
        (format!("CREATE PROCEDURE p() USE {other}"), "1314"),
    ] {
        let mut fleet = Fleet::new();
        fleet.mariadb("acme", server);
        if said == "MT133" {
            fleet.mariadb_named("globex", server, &globex);
        }
        fleet.changeset("V1__use.sql", &text);
        let output = fleet.run(&["up", "--tenant", "acme"]);
        assert_ne!(output.status, 0, "{text}: {output}");
        assert!(output.stderr.contains(said), "{text}: {output}");
        assert!(server.query(&other, "SHOW TABLES").is_empty(), "{text}");
    }
}
