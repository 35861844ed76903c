//! What a tenant's sessions begin with: its role, its settings, the extensions' schema; and that the next tenant's do not.

use crate::support::fleet::Place;
use crate::support::{CANARY, Fleet, Rows, mariadb, postgres, unique};

/// A value that would do harm anywhere but in its quotes.
const HOSTILE: &str = "'; DROP TABLE made; --\\";

fn cell(rows: &Rows) -> &str {
    rows[0][0].as_deref().expect("a value")
}

/// What two tenants of one connection saw: the one with settings, and the other.
fn seen(fleet: &Fleet) -> [String; 2] {
    ["own", "bare"].map(|tenant| {
        let rows = fleet.query(tenant, "SELECT seen FROM made ORDER BY id");
        let rows: Vec<&str> = rows.iter().map(|row| row[0].as_deref().unwrap_or("NULL")).collect();
        rows.join("\n")
    })
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_postgres_text_runs_with_its_tenants_role_settings_and_extensions_and_the_next_one_without() {
    let server = postgres(0);
    let (database, owner, ext) = (server.create_database(), unique("Owner\"x"), unique("Ext'x"));
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    server.create_schema_named(&database, &ext);
    server.execute(
        &database,
        &format!(
            "CREATE ROLE {owner}; GRANT CREATE ON DATABASE {database} TO {owner}; GRANT USAGE, CREATE ON SCHEMA {ext} TO {owner};
             CREATE FUNCTION {ext}.new_id() RETURNS int LANGUAGE sql AS 'SELECT 7';
             CREATE DOMAIN {ext}.word AS text",
            owner = quoted(&owner),
            ext = quoted(&ext),
        ),
    );
    let mut fleet = Fleet::new();
    fleet.postgres_schema("own", server, &database).postgres_schema("bare", server, &database);
    let named = format!("pg{}", server.port());
    fleet.set_server(&named, "extensions_schema", &serde_json::to_string(&ext).unwrap());
    // One connection for both.
    fleet.set_server(&named, "max_connections", "2");
    fleet.set_server(&named, "server_settings", "{ jit: false, App.Note: server }");
    fleet.set("own", "role", &serde_json::to_string(&owner).unwrap());
    let settings = format!("{{ work_mem: 77MB, app.note: {} }}", serde_json::to_string(HOSTILE).unwrap());
    fleet.set("own", "server_settings", &settings);
    let Place::Postgres { schema: Some(schema), .. } = fleet.place("own") else { panic!("a schema") };
    server.execute(&database, &format!("GRANT USAGE, CREATE ON SCHEMA \"{schema}\" TO {}", quoted(&owner)));
    let schema = schema.clone();

    // Plain definitions keep the session as it stands; the others reset it; the last goes statement by statement.
    fleet.changeset("V1__plain.sql", "CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY, seen text);");
    fleet.changeset("V2__more.sql", "CREATE TABLE second (id int DEFAULT new_id(), w word);");
    let look = "INSERT INTO made (seen) SELECT concat_ws('|', current_user, current_setting('work_mem'), \
                current_setting('app.note'), current_setting('jit'), current_schema(), new_id());";
    fleet.changeset("V3__look.sql", look);
    let begun = format!("-- mtmigrate: no-transaction\n{look}\nCREATE INDEX CONCURRENTLY i ON made (seen);\n{look}");
    fleet.changeset("V4__stepwise.sql", &begun);
    let up = fleet.run(&["up"]).expect(0);
    assert!(!format!("{up}").contains("DROP TABLE"), "{up}");

    let [own, bare] = seen(&fleet);
    let line = format!("{owner}|77MB|{HOSTILE}|off|{schema}|7");
    assert_eq!(own, [&*line; 3].join("\n"));
    let Place::Postgres { schema: Some(other), .. } = fleet.place("bare") else { panic!("a schema") };
    assert_eq!(bare, [&*format!("migrator|4MB|server|off|{other}|7"); 3].join("\n"));

    // What the text made is the role's; history and journal are the user's that connected.
    let owners = |schema: &str| {
        let sql = format!(
            "SELECT string_agg(c.relname || '=' || r.rolname, ' ' ORDER BY c.relname) FROM pg_class c \
             JOIN pg_roles r ON r.oid = c.relowner WHERE c.relkind = 'r' AND c.relnamespace = '\"{schema}\"'::regnamespace"
        );
        cell(&server.query(&database, &sql)).to_owned()
    };
    let ours = "mtmigrate_journal=migrator refinery_schema_history=migrator";
    assert_eq!(
        owners(&schema),
        format!("made={owner} mtmigrate_journal=migrator refinery_schema_history=migrator second={owner}")
    );
    assert_eq!(owners(other), format!("made=migrator {ours} second=migrator"));
    // Reading sees the same whoever made it.
    fleet.run(&["status", "--check"]).expect(0);
    fleet.run(&["drift"]).expect(0);

    // The extensions' schema is used, and not changed.
    fleet.changeset("V5__outside.sql", &format!("SELECT new_id(); CREATE TABLE {}.stray (id int);", quoted(&ext)));
    let refused = fleet.run(&["up"]).expect(1);
    assert!(refused.stderr.contains("MT214"), "{refused}");
    fleet.remove("V5__outside.sql");

    // What cannot be set is said before the text runs.
    fleet.changeset("V5__x.sql", "CREATE TABLE x (id int);");
    for (key, value, said) in [
        ("role", "nobody_here", "role \"nobody_here\" does not exist"),
        ("server_settings", "{ work_mem: \"'; DROP TABLE made; --\" }", "invalid value for parameter \"work_mem\""),
        ("extensions_schema", "missing", "schema \"missing\" is not there"),
    ] {
        fleet.set("own", key, value);
        let refused = fleet.run(&["up", "--tenant", "own"]).expect(1);
        assert!(refused.stderr.contains("MT324") && refused.stderr.contains(said), "{key}: {refused}");
        fleet.set(
            "own",
            key,
            match key {
                "role" => "none",
                "server_settings" => "{}",
                _ => "null",
            },
        );
    }
    // A role that may not use its tenant's schema makes nothing in the next one of the path.
    server.execute(&database, &format!("REVOKE ALL ON SCHEMA \"{schema}\" FROM {}", quoted(&owner)));
    fleet.set("own", "role", &serde_json::to_string(&owner).unwrap());
    let refused = fleet.run(&["up", "--tenant", "own"]).expect(1);
    assert!(refused.stderr.contains("MT324") && refused.stderr.contains("GRANT USAGE"), "{refused}");
    fleet.set("own", "role", "none");
    fleet.run(&["up"]).expect(0);
    assert_eq!(
        cell(&server.query(
            &database,
            &format!(
                "SELECT count(*) FROM pg_class WHERE relname = 'x' AND relnamespace = '{}'::regnamespace",
                quoted(&ext).replace('\'', "''")
            )
        )),
        "0"
    );
}

#[test]
fn a_database_tenant_has_the_extensions_schema_behind_its_own_path() {
    let server = postgres(0);
    let mut fleet = Fleet::new();
    fleet.postgres_database("own", server);
    fleet.execute(
        "own",
        "CREATE SCHEMA extensions; CREATE FUNCTION extensions.new_id() RETURNS int LANGUAGE sql AS 'SELECT 7'",
    );
    fleet.set("own", "extensions_schema", "extensions");
    fleet.changeset("V1__x.sql", "CREATE TABLE x AS SELECT new_id() AS id, current_setting('search_path') AS path;");
    fleet.run(&["up"]).expect(0);
    assert_eq!(cell(&fleet.query("own", "SELECT path FROM public.x")), "\"$user\", public, \"extensions\"");
}

/// Covers row 30 of docs/failures.md.
#[test]
fn a_mariadb_text_runs_with_its_tenants_role_and_settings_and_the_next_one_without() {
    let server = mariadb(0);
    let role = unique("own'er`x");
    let quoted = format!("`{}`", role.replace('`', "``"));
    let mut fleet = Fleet::new();
    fleet.mariadb("own", server).mariadb("bare", server);
    fleet.execute("own", &format!("CREATE ROLE {quoted}; GRANT {quoted} TO migrator"));
    // One server by name, so that both share its connection.
    for tenant in ["own", "bare"] {
        let Place::MariaDb { database, .. } = fleet.place(tenant) else { panic!("a database") };
        let database = database.clone();
        let url = server.url(&database);
        fleet.set(tenant, "url", &serde_json::to_string(&url).unwrap());
        fleet.set(tenant, "max_connections", "2");
    }
    fleet.set("own", "role", &serde_json::to_string(&role).unwrap());
    fleet.set(
        "own",
        "server_settings",
        "{ time_zone: \"+03:00\", Sort_Buffer_Size: 1048576, foreign_key_checks: off }",
    );
    fleet.changeset("V1__plain.sql", "CREATE TABLE made (id int AUTO_INCREMENT PRIMARY KEY, seen text);");
    let look = "INSERT INTO made (seen) SELECT CONCAT_WS('|', IFNULL(CURRENT_ROLE(), 'none'), @@time_zone, \
                @@sort_buffer_size, @@foreign_key_checks);";
    fleet.changeset("V2__look.sql", look);
    fleet.changeset("V3__look.sql", &format!("{look}\n{look}"));
    fleet.run(&["up"]).expect(0);
    let [own, bare] = seen(&fleet);
    assert_eq!(own, [&*format!("{role}|+03:00|1048576|OFF"); 3].join("\n"));
    assert_eq!(bare, ["none|+00:00|2097152|ON"; 3].join("\n"));

    fleet.changeset("V4__x.sql", "CREATE TABLE x (id int);");
    for (key, value, said) in [
        ("role", "\"nobody'here\"", "Invalid role specification"),
        ("server_settings", "{ time_zone: \"'; DROP TABLE made; --\" }", "Unknown or incorrect time zone"),
        ("server_settings", "{ no_such_thing: 1 }", "Unknown system variable"),
    ] {
        fleet.set("own", key, value);
        let refused = fleet.run(&["up", "--tenant", "own"]).expect(1);
        assert!(refused.stderr.contains("MT324") && refused.stderr.contains(said), "{key}: {refused}");
        fleet.set("own", key, if key == "role" { "none" } else { "{}" });
    }
    fleet.run(&["up"]).expect(0);
    fleet.run(&["status", "--check"]).expect(0);
}

#[test]
fn what_has_no_meaning_for_an_engine_and_what_is_ours_is_refused_when_the_file_is_read() {
    let mut fleet = Fleet::new();
    fleet.sqlite("file").changeset("V1__x.sql", "CREATE TABLE x (id int);");
    fleet.set("file", "role", "x").set("file", "server_settings", "{ search_path: public }");
    let refused = fleet.run(&["validate"]).expect(2);
    fleet.set_top(
        "defaults",
        "{ server_settings: { insert_id: 7, tx_isolation: x, transaction_isolation: x, sql_log_bin: off, skip_replication: on } }",
    );
    let own = fleet.run(&["validate"]).expect(2);
    for name in ["insert_id", "tx_isolation", "transaction_isolation", "sql_log_bin", "skip_replication"] {
        assert!(own.stderr.contains(&format!("`{name}` is not to be set")), "{name}: {own}");
    }
    for said in ["`role` has no meaning for sqlite", "MT154", "`search_path` is not to be set"] {
        assert!(refused.stderr.contains(said), "{said}: {refused}");
    }
}

#[test]
fn a_user_with_few_rights_makes_and_migrates_a_tenant_that_belongs_to_a_role() {
    let server = postgres(0);
    let (database, user, role, schema) =
        (server.create_database(), unique("deployer"), unique("owner"), unique("belongs"));
    server.execute(
        &database,
        &format!(
            "CREATE ROLE {role}; CREATE ROLE {user} LOGIN PASSWORD '{}'; GRANT {role} TO {user};
             GRANT CREATE ON DATABASE {database} TO {user}; GRANT CREATE ON DATABASE {database} TO {role}",
            CANARY.replace('\'', "''")
        ),
    );
    let mut fleet = Fleet::new();
    let url = server.url_as(&user, CANARY, "127.0.0.1", &database);
    let tenants = |settings: &str| {
        format!(
            "tenants:\n  - {{ name: own, url: {}, schema: {schema}, create: {{ owner: {role} }}, role: {role}, server_settings: {{ {settings} }} }}\n",
            serde_json::to_string(&url).unwrap()
        )
    };
    fleet.env("KEY", "hunter2-is-the-key");
    fleet.tenants_yaml(&tenants("app.key: \"${KEY}\""));
    let look = "INSERT INTO made (seen) SELECT current_user || current_setting('app.key');";
    fleet.changeset("V1__made.sql", "CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY, seen text);");
    fleet.changeset("V2__look.sql", look);
    let own_transaction = "BEGIN; CREATE TABLE inside (id int); INSERT INTO made (seen) VALUES (current_user); COMMIT;";
    fleet.changeset("V3__steps.sql", &format!("-- mtmigrate: no-transaction\n{look}\n{own_transaction}\nVACUUM made;"));
    fleet.run(&["provision", "own"]).expect(0);
    let seen = format!("SELECT string_agg(seen, ' ' ORDER BY id) FROM \"{schema}\".made");
    let line = format!("{role}hunter2-is-the-key");
    assert_eq!(cell(&server.query(&database, &seen)), format!("{line} {line} {role}"));
    let owners = format!(
        "SELECT string_agg(tablename || '=' || tableowner, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = '{schema}'"
    );
    let owned = format!("inside={role} made={role} mtmigrate_journal={user} refinery_schema_history={user}");
    assert_eq!(cell(&server.query(&database, &owners)), owned);

    // A statement that fails in the text's own transaction: what is rolled back is found out as the user.
    let fails =
        "-- mtmigrate: no-transaction\nCREATE TABLE a (id int);\nBEGIN; CREATE TABLE b (id int); SELECT 1 / 0; COMMIT;";
    fleet.changeset("V4__fails.sql", fails);
    let failed = fleet.run(&["up"]);
    assert!(failed.stderr.contains("division by zero") && !failed.stderr.contains("permission denied"), "{failed}");
    fleet.changeset("V4__fails.sql", &fails.replace("1 / 0", "1"));
    fleet.run(&["up"]).expect(0);

    // What came from a variable is not in the server's words either.
    fleet.changeset("V5__more.sql", "CREATE TABLE more (id int);");
    fleet.tenants_yaml(&tenants("work_mem: \"${KEY}\""));
    let refused = fleet.run(&["up"]).expect(1);
    assert!(refused.stderr.contains("MT324") && !refused.stderr.contains("hunter2"), "{refused}");
}

#[test]
fn a_plain_text_changes_nothing_that_lives_in_the_extensions_schema() {
    let server = postgres(0);
    let (database, ext) = (server.create_database(), unique("ext"));
    server.create_schema_named(&database, &ext);
    let made = format!(
        "CREATE TABLE {ext}.shared (id int PRIMARY KEY, a int); CREATE INDEX shared_a ON {ext}.shared (a);
         CREATE FUNCTION {ext}.new_id() RETURNS int LANGUAGE sql AS 'SELECT 7'; CREATE DOMAIN {ext}.word AS text"
    );
    server.execute(&database, &made);
    let mut fleet = Fleet::new();
    fleet.postgres_schema("acme", server, &database);
    fleet.set("acme", "extensions_schema", &ext);
    fleet
        .changeset("V1__own.sql", "CREATE TABLE own (id int DEFAULT new_id(), w word); CREATE INDEX own_w ON own (w);");
    fleet.run(&["up"]).expect(0);
    let before = server.dump_schema(&database, &ext);
    for text in [
        "ALTER TABLE shared ADD b int",
        "CREATE INDEX i ON shared (a)",
        "CREATE UNIQUE INDEX i ON shared (a)",
        "COMMENT ON TABLE shared IS 'x'",
        "COMMENT ON INDEX shared_a IS 'x'",
        "DROP INDEX shared_a",
        "DROP TABLE shared",
        "CREATE TABLE mine (s int REFERENCES shared)",
        "CREATE UNLOGGED TABLE mine (a int); ALTER TABLE shared ALTER a SET NOT NULL",
    ] {
        for directive in ["", "-- mtmigrate: no-transaction\n"] {
            let file = "V2__outside.sql";
            fleet.changeset(file, &format!("{directive}{text};"));
            let refused = fleet.run(&["up"]).expect(1);
            assert!(refused.stderr.contains("MT214") && refused.stderr.contains(&ext), "{directive}{text}: {refused}");
            assert_eq!(server.dump_schema(&database, &ext), before, "{directive}{text}");
            fleet.remove(file);
        }
    }
    // What is its own of that name is meant, and what is shared on purpose may be changed.
    fleet.changeset("V2__own.sql", "CREATE TABLE shared (id int); ALTER TABLE shared ADD b int;");
    let steps =
        "-- mtmigrate: no-transaction\nALTER TABLE shared ADD c int;\nCREATE INDEX CONCURRENTLY i ON shared (c);";
    fleet.changeset("V3__own.sql", steps);
    fleet.changeset("V4__touch.sql", &format!("-- mtmigrate: touches {ext}\nDROP INDEX shared_a;"));
    fleet.run(&["up"]).expect(0);
}

#[test]
fn texts_that_read_their_values_by_different_settings_are_compared_after_the_step() {
    let server = postgres(0);
    let database = server.create_database();
    let mut fleet = Fleet::new();
    for (tenant, style) in [("a", "MDY"), ("b", "DMY"), ("c", "DMY")] {
        fleet.postgres_schema(tenant, server, &database);
        fleet.set(tenant, "server_settings", &format!("{{ DateStyle: \"ISO, {style}\" }}"));
    }
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int);");
    fleet.run(&["up"]).expect(0);
    fleet.changeset("V2__d.sql", "ALTER TABLE t ADD d date NOT NULL DEFAULT '01/02/2020';");
    fleet.changeset("V3__u.sql", "CREATE TABLE u (id int);");
    let output = fleet.run(&["up"]).expect(3);
    assert!(output.stderr.contains("V2__d left tenant a with another schema"), "{output}");
    assert_eq!(fleet.versions("b"), [1, 2], "nobody gets the next one");
}

#[test]
fn who_skips_a_changeset_needs_no_role_and_no_settings_for_it() {
    let mut fleet = Fleet::new();
    fleet.postgres_database("pg", postgres(0)).mariadb("my", mariadb(0));
    fleet.changeset("V1__t.sql", "CREATE TABLE t (id int);");
    fleet.run(&["up"]).expect(0);
    for tenant in ["pg", "my"] {
        fleet.set(tenant, "role", "nobody_here");
    }
    fleet.changeset("V2__only.sql", "-- mtmigrate: only label=none\nCREATE TABLE x (id int);");
    fleet.run(&["up"]).expect(0);
    assert_eq!((fleet.versions("pg"), fleet.versions("my")), (vec![1, 2], vec![1, 2]));
}
