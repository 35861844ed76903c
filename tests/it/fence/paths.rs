//! PostgreSQL: whose functions and operators our own statements call.

use super::super::support::{Fleet, postgres, unique};

/// A schema that the role's own settings put before `pg_catalog`, with doubles of what our statements call. Each double
/// takes note that it was called; those that are called inside a double are the system's.
fn doubles(schema: &str) -> String {
    let mut sql = format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.calls (what text); GRANT ALL ON {schema}.calls TO PUBLIC;"
    );
    let mut double = |name: &str, arguments: &str, result: &str, call: &str| {
        sql += &format!(
            "CREATE FUNCTION {schema}.{name}({arguments}) RETURNS {result} LANGUAGE plpgsql SET search_path = pg_catalog AS \
             $$ BEGIN INSERT INTO {schema}.calls VALUES ('{name}({arguments})'); RETURN {call}; END $$;"
        );
    };
    for (name, arguments, result, call) in [
        ("current_setting", "text", "text", "pg_catalog.current_setting($1)"),
        ("current_schema", "", "name", "NULL::name"),
        ("pg_is_in_recovery", "", "boolean", "false"),
        ("to_char", "timestamp, text", "text", "pg_catalog.to_char($1, $2)"),
        ("set_config", "text, text, boolean", "text", "pg_catalog.set_config($1, $2, $3)"),
        ("has_table_privilege", "oid, text", "boolean", "true"),
        ("clock_timestamp", "", "timestamptz", "pg_catalog.clock_timestamp()"),
        ("now", "", "timestamptz", "pg_catalog.now()"),
        ("timezone", "text, timestamptz", "timestamp", "pg_catalog.timezone($1, $2)"),
        ("array_to_string", "text[], text", "text", "pg_catalog.array_to_string($1, $2)"),
        ("age", "xid", "int", "1"),
        ("txid_status", "bigint", "text", "'aborted'"),
    ] {
        double(name, arguments, result, call);
    }
    for (at, (operator, left, right, result)) in [
        ("=", "oid", "oid", "boolean"),
        ("=", "name", "text", "boolean"),
        ("=", "name", "name", "boolean"),
        ("=", "text", "text", "boolean"),
        ("=", "int", "int", "boolean"),
        ("=", "bigint", "bigint", "boolean"),
        ("=", "bigint", "int", "boolean"),
        ("=", "smallint", "int", "boolean"),
        ("=", "\"char\"", "\"char\"", "boolean"),
        ("<>", "name", "text", "boolean"),
        (">", "smallint", "int", "boolean"),
        ("<", "bigint", "bigint", "boolean"),
        ("-", "timestamptz", "timestamptz", "interval"),
        ("-", "timestamptz", "interval", "timestamptz"),
        ("*", "numeric", "numeric", "numeric"),
        ("||", "text", "text", "text"),
    ]
    .into_iter()
    .enumerate()
    {
        double(
            &format!("op{at}"),
            &format!("{left}, {right}"),
            result,
            &format!("$1 OPERATOR(pg_catalog.{operator}) $2"),
        );
    }
    for (at, (operator, left, right)) in [
        ("=", "oid", "oid"),
        ("=", "name", "text"),
        ("=", "name", "name"),
        ("=", "text", "text"),
        ("=", "int", "int"),
        ("=", "bigint", "bigint"),
        ("=", "bigint", "int"),
        ("=", "smallint", "int"),
        ("=", "\"char\"", "\"char\""),
        ("<>", "name", "text"),
        (">", "smallint", "int"),
        ("<", "bigint", "bigint"),
        ("-", "timestamptz", "timestamptz"),
        ("-", "timestamptz", "interval"),
        ("*", "numeric", "numeric"),
        ("||", "text", "text"),
    ]
    .into_iter()
    .enumerate()
    {
        sql += &format!(
            "CREATE OPERATOR {schema}.{operator} (FUNCTION = {schema}.op{at}, LEFTARG = {left}, RIGHTARG = {right});"
        );
    }
    sql
}

#[test]
fn no_function_and_no_operator_of_a_schema_before_pg_catalog_is_called_by_statements_of_ours() {
    let server = postgres(0);
    let database = server.create_database();
    let (evil, role) = (unique("evil"), unique("role"));
    let mut fleet = Fleet::new();
    fleet
        .postgres_schema_named("acme", server, &database, "acme")
        .postgres_schema_named("globex", server, &database, "globex");
    let password = super::super::support::CANARY.replace('\'', "''");
    server.execute(
        &database,
        &format!(
            "{} CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'; \
             ALTER ROLE {role} IN DATABASE {database} SET search_path = {evil}, pg_catalog, acme",
            doubles(&evil)
        ),
    );
    let url = server.url_as(&role, super::super::support::CANARY, "127.0.0.1", "");
    fleet.server(&format!("pg{}", server.port()), url.trim_end_matches('/'));
    fleet.set_server(&format!("pg{}", server.port()), "lock_database", &database);
    let calls = |when: &str| {
        let calls = server.query(&database, &format!("SELECT what FROM {evil}.calls GROUP BY 1"));
        assert!(calls.is_empty(), "{when}: {calls:?}");
    };
    fleet.changeset("V1__plain.sql", "CREATE TABLE orders (id int PRIMARY KEY)");
    fleet.run(&["up"]).expect(0);
    calls("a plain text");
    fleet.changeset(
        "V2__fenced.sql",
        "INSERT INTO orders VALUES (1); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    );
    fleet.run(&["up"]).expect(0);
    calls("a text with a fence");
    for command in [&["status"][..], &["history", "--tenant", "acme"], &["drift"], &["plan"]] {
        fleet.run(command).expect(0);
        calls(command[0]);
    }
    fleet.changeset("V3__fails.sql", "INSERT INTO orders VALUES (1)");
    fleet.run(&["up"]).expect(1);
    calls("a text that fails");
    server.execute(&database, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
