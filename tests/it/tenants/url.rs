//! A datasource for a script: what it prints leads there, and the password is in it only when it is asked for.

use crate::support::sandbox::installed;
use crate::support::{CANARY, Fleet, mariadb, postgres, unique};

use super::{revealed, sh};

/// A schema whose name wants every kind of quoting.
const SCHEMA: &str = "a b\"\\c'$d Ä";

fn fleet() -> (Fleet, String) {
    let mut fleet = Fleet::new();
    let (shared, schema) = (postgres(0).create_database(), format!("{SCHEMA}{}", unique("s")));
    fleet.postgres_schema_named("schema", postgres(0), &shared, &schema).mariadb("my", mariadb(0)).sqlite("lite");
    fleet.changeset("V1__x.sql", "CREATE TABLE x (a int);");
    fleet.run(&["up"]).expect(0);
    (fleet, schema)
}

#[test]
fn what_is_printed_leads_the_engines_own_client_to_the_tenant() {
    let (fleet, schema) = fleet();
    let psql = installed(&["psql"]).display().to_string();
    let url = revealed(&fleet, &["tenants", "url", "schema", "--reveal"]);
    assert!(url.starts_with("postgres://migrator:c4nary-S3cret%2F%2B%40x@127.0.0.1:"), "{url}");
    std::fs::write(fleet.folder().join("url"), &url).unwrap();
    let asked = "SELECT current_schema() || ' ' || to_regclass('x')::text";
    assert_eq!(sh(&fleet, &format!("{psql} -XAtc \"{asked}\" \"$(cat url)\"")), format!("{schema} x"));
    for (tenant, line, answer) in [
        ("schema", format!("{psql} -XAtc 'SELECT current_schema()'"), schema.as_str()),
        (
            "my",
            "mariadb --no-defaults --protocol=tcp -u\"$MYSQL_USER\" -h\"$MYSQL_HOST\" -P\"$MYSQL_TCP_PORT\" -Nse 'SELECT count(*) FROM x' \
             \"$MYSQL_DATABASE\""
                .to_owned(),
            "0",
        ),
        ("lite", "sqlite3 \"$SQLITE_FILE\" 'SELECT count(*) FROM x'".to_owned(), "0"),
    ] {
        let env = revealed(&fleet, &["tenants", "url", tenant, "--format", "env", "--reveal"]);
        std::fs::write(fleet.folder().join("env"), env).unwrap();
        assert_eq!(sh(&fleet, &format!("set -a; . ./env; set +a; {line}")), answer, "{tenant}");
    }
    let document: serde_json::Value =
        serde_json::from_str(&revealed(&fleet, &["tenants", "url", "my", "--format", "json", "--reveal"])).unwrap();
    assert_eq!((&document["tenant"]["password"], &document["tenant"]["user"]), (&CANARY.into(), &"migrator".into()));
}

#[test]
fn the_password_is_printed_only_when_it_is_asked_for() {
    let (fleet, _) = fleet();
    for format in ["url", "env", "json"] {
        // The harness looks for the password in both outputs.
        for tenant in ["schema", "my"] {
            let told = fleet.run(&["tenants", "url", tenant, "--format", format]).expect(0);
            assert!(told.stdout.contains("migrator") && !told.stdout.contains("PWD"), "{told}");
            assert_eq!(told.stderr, "the password is left out; --reveal prints it\n");
            assert!(fleet.run(&["-q", "tenants", "url", tenant, "--format", format]).expect(0).stderr.is_empty());
        }
        assert!(fleet.run(&["tenants", "url", "lite", "--format", format]).expect(0).stderr.is_empty());
    }
}

#[test]
fn one_tenant_is_meant_and_a_wrong_name_is_told() {
    let (fleet, _) = fleet();
    for verb in ["url", "shell"] {
        fleet.run(&["tenants", verb, "shema"]).expect(2).says(&[
            "MT110",
            "no tenant is called shema",
            "did you mean `schema`",
        ]);
        fleet.run(&["tenants", verb, "s*"]).expect(2).says(&["MT114", "is no tenant's name"]);
    }
}
