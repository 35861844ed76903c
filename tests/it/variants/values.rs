//! Variables in templates: data everywhere, and refused where they are missing.

use std::fmt::Write as _;

use crate::support::fleet::Place;
use crate::support::{Fleet, MariaDb, Options, mariadb, postgres};

/// Values of which any part could end a literal, begin a comment or be another placeholder.
const HOSTILE: [&str; 14] = [
    "'; DROP TABLE x; --",
    "\\'; DROP TABLE x; --",
    "\\\\'",
    "\\",
    "'",
    "''",
    "\"`[]$$ $q$ $1 :a ?",
    "ünï ☃ 日本 😀",
    "line one\nline two\r\n\ttab",
    "/* */ # -- \\g \\. DELIMITER //",
    "${literal:v0} $${",
    "E'a' _utf8mb4 x'00' %s \\0 \\Z",
    "",
    " trailing ",
];

/// The same for names, as far as each engine takes them.
const NAMES: [&str; 7] = ["'; DROP TABLE x; --", "a\"b\"\"c", "a`b``c", "a\\b\\", "größe 日本", "two\nlines", "select"];

/// `defaults:` with every value as `v0`, `v1` and so on, and every name as `i0` and so on.
fn defaults() -> String {
    let written = |value: &str| serde_json::to_string(&value.replace("${", "$${")).unwrap();
    let mut vars = String::new();
    for (no, value) in HOSTILE.iter().enumerate() {
        write!(vars, "v{no}: {}, ", written(value)).unwrap();
    }
    for (no, name) in NAMES.iter().enumerate() {
        write!(vars, "i{no}: {}, ", written(name)).unwrap();
    }
    format!("{{ vars: {{ {vars} }} }}")
}

/// A template that puts each value where literals stand, and each name where names stand.
fn text() -> String {
    let mut sql = "-- mtmigrate: template\nCREATE TABLE x (id int);\nCREATE TABLE v (n int, w varchar(99), hit int);\n"
        .to_owned();
    for no in 0..HOSTILE.len() {
        writeln!(sql, "INSERT INTO v VALUES ({no}, ${{literal:v{no}}}, 0); -- ${{literal:v{no}}} '").unwrap();
        writeln!(sql, "UPDATE v SET hit = 1 WHERE w = ${{literal:v{no}}} AND n={no};").unwrap();
        writeln!(sql, "CREATE TABLE d{no} (id int, w varchar(99) DEFAULT ${{literal:v{no}}});").unwrap();
        writeln!(sql, "INSERT INTO d{no} (id) VALUES (1);").unwrap();
    }
    let columns: Vec<String> = (0..NAMES.len()).map(|no| format!("${{ident:i{no}}} int")).collect();
    writeln!(sql, "CREATE TABLE ${{ident:i0}} ({});", columns.join(", ")).unwrap();
    for no in 0..NAMES.len() {
        writeln!(sql, "INSERT INTO ${{ident:i0}} (${{ident:i{no}}}) VALUES ({no});").unwrap();
    }
    writeln!(sql, "CREATE TABLE who (name varchar(20));\nINSERT INTO who VALUES (${{literal:tenant.name}})").unwrap();
    sql
}

fn column(fleet: &Fleet, tenant: &str, sql: &str) -> Vec<String> {
    fleet.query(tenant, sql).into_iter().map(|row| row[0].clone().unwrap_or("NULL".into())).collect()
}

/// The conditions under which each engine reads quotes and backslashes in its ways.
#[test]
fn hostile_values_and_names_arrive_as_data_on_every_engine() {
    let mode = |mode: &str| MariaDb::start(Options { conf: &[("sql-mode", mode)], ..Options::default() });
    let (plain, quotes) = (mode("NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES"), mode("ANSI_QUOTES,STRICT_TRANS_TABLES"));
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).postgres_database("pg-escapes", postgres(0)).sqlite("lite");
    fleet.mariadb("maria", mariadb(0)).mariadb("no-backslash", &plain).mariadb("ansi", &quotes);
    let Place::Postgres { database, .. } = fleet.place("pg-escapes") else { panic!("it is on PostgreSQL") };
    let escapes = format!("ALTER DATABASE \"{database}\" SET standard_conforming_strings = off");
    fleet.execute("pg-escapes", &escapes);
    fleet.set_top("defaults", &defaults()).changeset("V1__values.sql", &text());
    fleet.run(&["validate"]).expect(0);
    fleet.run(&["up"]).expect(0);
    for tenant in fleet.names() {
        let tenant = tenant.as_str();
        assert_eq!(column(&fleet, tenant, "SELECT w FROM v ORDER BY n"), HOSTILE, "{tenant}");
        let missed = "SELECT w FROM v WHERE hit = 0 ORDER BY n";
        assert_eq!(column(&fleet, tenant, missed), Vec::<String>::new(), "{tenant}");
        for (no, value) in HOSTILE.iter().enumerate() {
            assert_eq!(column(&fleet, tenant, &format!("SELECT w FROM d{no}")), [*value], "{tenant}");
        }
        assert_eq!(fleet.cell(tenant, "SELECT name FROM who"), tenant);
        assert_eq!(fleet.cell(tenant, "SELECT count(*) FROM x"), "0", "{tenant}");
        let columns = match fleet.place(tenant) {
            Place::Sqlite(_) => {
                format!("SELECT name FROM pragma_table_info('{}') ORDER BY cid", NAMES[0].replace('\'', "''"))
            }
            Place::Postgres { .. } => format!(
                "SELECT column_name FROM information_schema.columns WHERE table_name = '{}' ORDER BY ordinal_position",
                NAMES[0].replace('\'', "''")
            ),
            Place::MariaDb { .. } => format!(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{}' \
                 ORDER BY ordinal_position",
                NAMES[0].replace('\'', "''")
            ),
        };
        assert_eq!(column(&fleet, tenant, &columns), NAMES, "{tenant}");
    }
    fleet.run(&["drift"]).expect(0);
}

/// Three tenants; `V2` asks for what only some have.
fn lacking() -> Fleet {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("maria", mariadb(0)).sqlite("lite").sqlite("away");
    fleet.set("pg", "vars", "{ region: eu }").set("away", "labels", "[away]");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (r varchar(20));\n");
    fleet.changeset(
        "V2__region.sql",
        "-- mtmigrate: template\n-- mtmigrate: except label=away\n-- ${literal:never}\nINSERT INTO t\n  VALUES (${literal:region});\n",
    );
    fleet
}

#[test]
fn a_missing_variable_is_refused_for_all_tenants_with_its_place_before_anything_runs() {
    let mut fleet = lacking();
    let before = fleet.dumps();
    for command in ["validate", "plan", "up"] {
        let output = fleet.run(&[command]).expect(2);
        let said = "error[MT134]: migrations/V2__region.sql asks for the variable `region`, which is not set for 2 tenants \
                    (maria, lite)\n --> migrations/V2__region.sql:5:11\n";
        assert!(output.stderr.contains(said), "{command}: {}", output.stderr);
        assert!(output.stderr.contains("hint: write `vars: { region: … }` in tenants.yaml"), "{}", output.stderr);
        assert_eq!(fleet.dumps(), before, "{command}");
    }
    fleet.set_top("defaults", "{ vars: { region: none } }");
    fleet.run(&["up"]).expect(0);
    let regions = ["pg", "maria", "lite", "away"].map(|tenant| column(&fleet, tenant, "SELECT r FROM t").join(","));
    assert_eq!(regions, ["eu", "none", "none", ""]);
}

#[test]
fn a_value_that_cannot_be_a_name_is_refused_before_anything_runs() {
    let mut fleet = Fleet::new();
    fleet.sqlite("lite").mariadb("maria", mariadb(0));
    fleet.set("lite", "vars", "{ n: \"\", l: \"a\\0b\" }").set("maria", "vars", "{ n: \"ends \", l: x }");
    fleet.changeset("V1__t.sql", "-- mtmigrate: template\nCREATE TABLE ${ident:n} (x int);\nSELECT ${literal:l};\n");
    let before = fleet.dumps();
    let output = fleet.run(&["up"]).expect(2);
    for said in [
        "the value of `${ident:n}` for tenant lite cannot be a name in sqlite: it is empty\n --> migrations/V1__t.sql:2:14",
        "the value of `${ident:n}` for tenant maria cannot be a name in mysql: it ends with a space",
        "the value of `${literal:l}` for tenant lite holds a NUL character",
    ] {
        assert!(output.stderr.contains(said), "{said}: {}", output.stderr);
    }
    assert_eq!(fleet.dumps(), before);
}

#[test]
fn a_server_s_error_is_shown_in_the_template_and_without_the_value() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("maria", mariadb(0)).sqlite("lite");
    fleet.set_top("defaults", "{ vars: { long: \"one\\ntwo\\nhush\" } }");
    fleet.changeset(
        "V1__t.sql",
        "-- mtmigrate: template\nCREATE TABLE t (x varchar(40) DEFAULT ${literal:long});\nINSERT INTO t VALUES (${literal:long}); SELECT oops FROM t;\n",
    );
    for tenant in ["pg", "maria", "lite"] {
        let output = fleet.run(&["up", "--tenant", tenant]);
        assert_ne!(output.status, 0, "{tenant}");
        let at = if tenant == "maria" { "3:41" } else { "3:48" };
        assert!(output.stderr.contains(&format!(" --> migrations/V1__t.sql:{at}\n")), "{tenant}: {}", output.stderr);
        assert!(!output.stderr.contains("hush"), "{tenant}: {}", output.stderr);
    }
}

#[test]
fn no_rendering_may_name_another_tenants_database_and_each_may_name_its_own() {
    let mut fleet = Fleet::new();
    fleet.mariadb("a", mariadb(0)).mariadb("b", mariadb(0));
    let place = |fleet: &Fleet, tenant: &str| match fleet.place(tenant) {
        Place::MariaDb { database, .. } => database.clone(),
        _ => panic!("it is on MariaDB"),
    };
    let (of_a, of_b) = (place(&fleet, "a"), place(&fleet, "b"));
    fleet.changeset("V1__own.sql", "-- mtmigrate: template\nCREATE TABLE ${ident:tenant.database}.t (x int);\n");
    fleet.changeset("V2__other.sql", "-- mtmigrate: template\nINSERT INTO ${ident:where}.t VALUES (1);\n");
    fleet.set("a", "vars", &format!("{{ where: {of_a} }}")).set("b", "vars", &format!("{{ where: {of_a} }}"));
    let before = fleet.dumps();
    let output = fleet.run(&["up"]).expect(2);
    let said = format!("migrations/V2__other.sql names database `{of_a}`, which is tenant a's");
    assert!(output.stderr.contains(&said), "{}", output.stderr);
    assert!(output.stderr.contains(" --> migrations/V2__other.sql:2:13\n"), "{}", output.stderr);
    assert!(!output.stderr.contains("V1__own"), "{}", output.stderr);
    assert_eq!(fleet.dumps(), before);
    fleet.set("b", "vars", &format!("{{ where: {of_b} }}"));
    fleet.run(&["up"]).expect(0);
}

#[test]
fn a_variable_that_was_changed_in_the_middle_of_a_half_applied_text_is_noticed() {
    let mut fleet = Fleet::new();
    fleet.mariadb("maria", mariadb(0)).set("maria", "vars", "{ region: eu }");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (r varchar(20));\n");
    let text = |last: &str| format!("-- mtmigrate: template\nINSERT INTO t VALUES (${{literal:region}});\n{last};\n");
    fleet.changeset("V2__region.sql", &text("INSERT INTO nowhere VALUES (1)"));
    fleet.run(&["up"]).expect(6);
    fleet.set("maria", "vars", "{ region: us }");
    fleet.edit("V2__region.sql", &text("INSERT INTO t VALUES ('done')"));
    let before = fleet.dumps();
    let output = fleet.run(&["up"]).expect(6);
    assert!(
        output.stderr.contains("the text of it, or a variable's value in it, was changed since"),
        "{}",
        output.stderr
    );
    assert_eq!(fleet.dumps(), before);
    fleet.set("maria", "vars", "{ region: eu }");
    fleet.run(&["up"]).expect(0);
    assert_eq!(column(&fleet, "maria", "SELECT r FROM t"), ["eu", "done"]);
}

#[test]
fn who_is_half_applied_and_lost_the_value_is_said_to_be_before_anybody_gets_the_changeset() {
    let mut fleet = Fleet::new();
    fleet.mariadb("half", mariadb(0)).set("half", "vars", "{ region: eu }").set("half", "labels", "[eu]");
    fleet.changeset("V1__t.sql", "CREATE TABLE t (r varchar(20));\n");
    let text = |last: &str| {
        format!(
            "-- mtmigrate: template\n-- mtmigrate: only label=eu\nINSERT INTO t VALUES ('x');\n\
             INSERT INTO t VALUES (${{literal:region}});\n{last};\n"
        )
    };
    fleet.changeset("V2__region.sql", &text("INSERT INTO nowhere VALUES (1)"));
    fleet.run(&["up"]).expect(6);
    fleet.mariadb("other", mariadb(0)).set("other", "vars", "{ region: us }").set("other", "labels", "[eu]");
    fleet.run(&["up", "--tenant", "other", "--to", "1"]).expect(0);
    fleet.edit("V2__region.sql", &text("INSERT INTO t VALUES ('done')"));
    // Without the label nobody asks for its variables when the files are read.
    fleet.set("half", "vars", "{}").set("half", "labels", "[]");
    let before = fleet.dumps();
    let output = fleet.run(&["up"]).expect(6);
    for said in ["MT211", "which tenant half has not", "give tenant half the value back"] {
        assert!(output.stderr.contains(said), "{said}: {output}");
    }
    assert_eq!(fleet.dumps(), before);
    fleet.set("half", "vars", "{ region: eu }");
    fleet.run(&["up"]).expect(0);
    assert_eq!(column(&fleet, "half", "SELECT r FROM t"), ["x", "eu", "done"]);
}
