//! PostgreSQL: what a text locks and writes outside of its tenant is found before the commit.

use super::super::support::{Fleet, Postgres, postgres, unique};

/// Two tenants in schemas of one database, which holds a shared schema, too; both tenants have V1.
struct Neighbours {
    fleet: Fleet,
    server: Postgres,
    database: String,
    /// Their schemas.
    acme: String,
    globex: String,
}

impl Neighbours {
    fn new() -> Neighbours {
        let server = postgres(0);
        let database = server.create_database();
        let (acme, globex) = (unique("acme"), unique("globex"));
        server.execute(
            &database,
            "CREATE SCHEMA shared; CREATE TABLE shared.countries (id serial PRIMARY KEY, name text); \
             INSERT INTO shared.countries (name) VALUES ('nl'); CREATE TABLE shared.old (id int); \
             CREATE FUNCTION shared.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE shared.mood AS ENUM ('so'); \
             CREATE DOMAIN shared.age AS int; CREATE TABLE public.cities (id int PRIMARY KEY)",
        );
        let mut fleet = Fleet::new();
        fleet.postgres_schema_named("acme", server, &database, &acme);
        fleet.postgres_schema_named("globex", server, &database, &globex);
        fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int PRIMARY KEY, country int)");
        fleet.run(&["up"]).expect(0);
        Neighbours { fleet, server: server.clone(), database, acme, globex }
    }

    /// Everything but acme's own schema, and the server's roles.
    fn outside(&self) -> String {
        let roles = "SELECT rolname || coalesce(setconfig::text, '') FROM pg_roles \
             LEFT JOIN pg_db_role_setting s ON s.setrole = pg_roles.oid WHERE rolname IN ('migrator', 'fence_new') ORDER BY 1";
        let schemas = [&*self.globex, "shared", "public"].map(|schema| self.server.dump_schema(&self.database, schema));
        let wide = "SELECT extname FROM pg_extension UNION ALL SELECT pubname FROM pg_publication UNION ALL \
             SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' UNION ALL SELECT defaclacl::text FROM pg_default_acl \
             UNION ALL SELECT castfunc::text FROM pg_cast WHERE oid >= 16384 ORDER BY 1";
        let rest = [roles, wide].map(|sql| format!("{:?}", self.server.query(&self.database, sql)));
        // A sequence counts on, whatever becomes of the transaction.
        let lines = schemas.iter().flat_map(|dump| dump.lines()).filter(|line| !line.contains("setval"));
        lines.collect::<Vec<_>>().join("\n") + &rest.join("\n")
    }

    fn text(&self, text: &str) -> String {
        text.replace("{acme}", &self.acme).replace("{globex}", &self.globex)
    }

    /// Gives the next changeset to acme alone.
    fn up(&mut self, text: &str) -> super::super::support::Output {
        let text = self.text(text);
        self.fleet.changeset("V2__next.sql", &text);
        self.fleet.run(&["up", "--tenant", "acme"])
    }
}

/// Covers row 32 of docs/failures.md.
#[test]
fn what_a_text_reaches_outside_of_its_schema_is_refused_and_named() {
    let mut place = Neighbours::new();
    let before = place.outside();
    for (text, said) in [
        (
            "INSERT INTO {globex}.orders VALUES (1)",
            "table {globex}.orders (RowExclusiveLock), in another tenant's schema",
        ),
        ("SELECT * FROM {globex}.orders", "table {globex}.orders (AccessShareLock), in another tenant's schema"),
        ("DROP TABLE {globex}.orders", "table {globex}.orders (AccessExclusiveLock), in another tenant's"),
        ("CREATE TABLE {globex}.more (id int)", "table {globex}.more (AccessExclusiveLock), in another"),
        (
            "CREATE TABLE mine (id int); ALTER TABLE mine SET SCHEMA {globex}",
            "table {globex}.mine (AccessExclusiveLock)",
        ),
        ("INSERT INTO shared.countries (name) VALUES ('be')", "table shared.countries (RowExclusiveLock), outside of"),
        ("SELECT nextval('shared.countries_id_seq')", "sequence shared.countries_id_seq (RowExclusiveLock), outside"),
        ("DROP TABLE shared.old", "table shared.old (AccessExclusiveLock)"),
        ("ALTER TABLE shared.old SET SCHEMA {acme}", "table shared.old (AccessExclusiveLock)"),
        ("GRANT SELECT ON shared.old TO PUBLIC", "table shared.old (made or changed)"),
        ("GRANT SELECT (id) ON shared.old TO PUBLIC", "table shared.old (made or changed)"),
        ("COMMENT ON TABLE shared.old IS 'x'", "table shared.old (ShareUpdateExclusiveLock)"),
        ("ANALYZE shared.old", "table shared.old (ShareUpdateExclusiveLock)"),
        ("TRUNCATE shared.old", "table shared.old (AccessExclusiveLock)"),
        ("CREATE VIEW shared.v AS SELECT 1", "view shared.v (AccessExclusiveLock)"),
        ("CREATE TABLE t (c int REFERENCES shared.countries)", "table shared.countries (ShareRowExclusiveLock)"),
        ("CREATE FUNCTION shared.g() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function shared.g() (made or changed)"),
        (
            "CREATE OR REPLACE FUNCTION shared.f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            "function shared.f() (made or",
        ),
        ("ALTER FUNCTION shared.f() STABLE", "function shared.f() (made or changed)"),
        ("GRANT EXECUTE ON FUNCTION shared.f() TO PUBLIC", "function shared.f() (made or changed)"),
        ("DROP FUNCTION shared.f()", "function shared.f (AccessExclusiveLock)"),
        ("ALTER TYPE shared.mood RENAME VALUE 'so' TO 'no'", "shared.mood"),
        ("ALTER TYPE shared.mood ADD VALUE 'no'", "shared.mood"),
        ("DROP TYPE shared.mood", "type shared.mood (AccessExclusiveLock)"),
        ("ALTER DOMAIN shared.age ADD CHECK (value > 0)", "shared.age"),
        ("CREATE OPERATOR shared.=== (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)", "operator shared.==="),
        ("CREATE SCHEMA more", "schema more (made or changed), outside of the tenant's schema"),
        ("DROP SCHEMA shared CASCADE", "schema shared (AccessExclusiveLock)"),
        ("GRANT USAGE ON SCHEMA shared TO PUBLIC", "schema shared (made or changed)"),
        ("CREATE EXTENSION citext", "extension citext (made or changed), of the database"),
        ("CREATE EXTENSION citext SCHEMA public", "extension citext (made or changed), of the database"),
        ("CREATE PUBLICATION p", "publication p (made or changed), of no schema"),
        ("CREATE CAST (bool AS bytea) WITH INOUT", "of no schema: every tenant's"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "of no schema: every tenant's"),
        ("CREATE ROLE fence_new", "pg_authid (RowExclusiveLock), of no schema: every tenant's"),
        ("ALTER ROLE migrator SET work_mem = '5MB'", "pg_db_role_setting (RowExclusiveLock), of no schema"),
        (
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = ''5MB''', current_database()); END $$",
            "pg_db_role_setting",
        ),
        ("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO PUBLIC', current_database()); END $$", "database"),
        ("GRANT pg_read_all_data TO migrator", "pg_auth_members (RowExclusiveLock)"),
        // What a part of the text did that was a transaction of its own.
        (
            "DO $$ BEGIN BEGIN CREATE FUNCTION shared.g() RETURNS int LANGUAGE sql AS 'SELECT 1'; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$",
            "function shared.g() (made or changed)",
        ),
        // What a deferred trigger does at the commit.
        (
            "CREATE FUNCTION reach() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM shared.old; RETURN NULL; END'; \
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION reach(); \
             INSERT INTO orders VALUES (1)",
            "table shared.old (RowExclusiveLock)",
        ),
        // By another way than a name in the text.
        ("SET search_path = shared; DELETE FROM old", "table shared.old (RowExclusiveLock)"),
        ("DO $$ BEGIN EXECUTE 'DELETE FROM sha' || 'red.old'; END $$", "table shared.old (RowExclusiveLock)"),
        (
            "SET track_counts = off; ALTER FUNCTION shared.f() STABLE; SET track_counts = on",
            "function shared.f() (made",
        ),
    ] {
        let output = place.up(text);
        assert_eq!(output.status, 1, "{text}: {output}");
        assert!(output.stderr.contains("error[MT214]"), "{text}: {output}");
        assert!(output.stderr.contains(&place.text(said)), "{text}: {said}: {output}");
        assert!(output.stderr.contains("acme is unchanged (rolled back)"), "{text}: {output}");
        assert!(
            place.fleet.query("acme", "SELECT 1 FROM refinery_schema_history WHERE version = 2").is_empty(),
            "{text}"
        );
        let after = place.outside();
        let changed: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
        assert!(after == before, "{text}: {changed:?}");
    }
}

#[test]
fn what_a_text_does_in_its_own_schema_is_its_own() {
    for text in [
        "CREATE TABLE t (id serial PRIMARY KEY, c text, UNIQUE (c)); INSERT INTO t (c) VALUES ('a'); UPDATE t SET c = 'b'; DROP TABLE orders",
        "CREATE TYPE mood AS ENUM ('so'); CREATE DOMAIN age AS int CHECK (value > 0); CREATE TABLE t (a age, m mood); ALTER TYPE mood ADD VALUE 'no'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT f(); ALTER FUNCTION f() STABLE; DROP FUNCTION f()",
        "CREATE VIEW v AS SELECT * FROM orders; CREATE MATERIALIZED VIEW m AS SELECT * FROM v; REFRESH MATERIALIZED VIEW m",
        "CREATE TABLE {acme}.t (id int); INSERT INTO {acme}.t SELECT id FROM {acme}.orders; COMMENT ON SCHEMA {acme} IS 'x'",
        "CREATE TEMP TABLE scratch (id int, note text); INSERT INTO scratch VALUES (1, repeat('x', 10000)); CREATE TEMP VIEW tv AS SELECT * FROM scratch",
        "CREATE TYPE pair AS (a int, b int); CREATE FUNCTION f(pair) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$; CREATE CAST (pair AS text) WITH FUNCTION f(pair); DROP TYPE pair CASCADE",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA {acme} GRANT SELECT ON TABLES TO PUBLIC; GRANT SELECT ON orders TO PUBLIC; GRANT USAGE ON SCHEMA {acme} TO PUBLIC",
        // Reading what is shared changes nothing.
        "INSERT INTO orders SELECT id FROM shared.countries; SELECT shared.f(), 'so'::shared.mood; CREATE TABLE t (a shared.age)",
        "SELECT * FROM information_schema.tables; SELECT count(*) FROM pg_catalog.pg_class; SELECT sum(pg_total_relation_size(oid)) FROM pg_class",
        "CREATE STATISTICS st ON id, country FROM orders; ANALYZE orders; CREATE POLICY p ON orders USING (true); CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING",
    ] {
        let mut place = Neighbours::new();
        let output = place.up(text);
        assert_eq!(output.status, 0, "{text}: {output}");
    }
}

#[test]
fn a_text_that_closes_its_eyes_is_refused() {
    let mut place = Neighbours::new();
    for (text, said) in [
        ("CLOSE ALL; INSERT INTO shared.old VALUES (1)", "cursor \"mtmigrate_fence\" does not exist"),
        (
            "CLOSE mtmigrate_fence; DECLARE mtmigrate_fence CURSOR FOR SELECT 'x', NULL::oid[], NULL::text[]",
            "was fetched from",
        ),
        ("FETCH ALL FROM mtmigrate_fence; DELETE FROM shared.old", "was fetched from"),
        ("MOVE FORWARD 1 IN mtmigrate_fence; DELETE FROM shared.old", "was fetched from"),
        ("DROP EXTENSION plpgsql", "plpgsql"),
        (
            "CREATE FUNCTION eq(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false'; CREATE OPERATOR = (FUNCTION = eq, LEFTARG = oid, RIGHTARG = oid); \
             SET search_path = {acme}, pg_catalog; DELETE FROM shared.old",
            "table shared.old (RowExclusiveLock)",
        ),
        (
            "CREATE TEMP TABLE pg_locks (id int); CREATE TEMP TABLE pg_class (id int); DELETE FROM shared.old",
            "table shared.old",
        ),
        (
            "SET plpgsql.variable_conflict = 'use_column'; SET quote_all_identifiers = on; DELETE FROM shared.old",
            "shared",
        ),
        (
            "SET plpgsql.extra_errors = 'all'; SET standard_conforming_strings = off; DELETE FROM shared.old",
            "shared.old",
        ),
    ] {
        let output = place.up(text);
        assert_eq!(output.status, 1, "{text}: {output}");
        assert!(output.stderr.contains("error[MT214]") && output.stderr.contains(said), "{text}: {output}");
    }
}

#[test]
fn what_a_directive_names_may_be_reached_and_nothing_else() {
    for (touches, text, status) in [
        (
            "shared",
            "INSERT INTO shared.countries (name) VALUES ('be'); DROP FUNCTION shared.f(); DROP TABLE shared.old",
            0,
        ),
        (
            "shared.countries",
            "INSERT INTO shared.countries (name) VALUES ('be'); CREATE INDEX more ON shared.countries (name)",
            0,
        ),
        (
            "shared.countries",
            "CREATE TABLE t (c int REFERENCES shared.countries); GRANT SELECT ON shared.countries TO PUBLIC",
            0,
        ),
        ("shared.countries", "DELETE FROM shared.old", 1),
        ("shared.countries", "DROP FUNCTION shared.f()", 1),
        ("public, shared.old", "DELETE FROM shared.old; ALTER TABLE public.cities ADD n int", 0),
        ("public", "CREATE EXTENSION citext SCHEMA public; CREATE TABLE t (a public.citext)", 0),
        ("public", "CREATE EXTENSION citext", 1),
        ("shared", "DELETE FROM {globex}.orders", 1),
        ("more", "CREATE SCHEMA more; CREATE TABLE more.t (id int)", 0),
        ("shared", "CREATE ROLE fence_listed", 1),
    ] {
        let mut place = Neighbours::new();
        let output = place.up(&format!("-- mtmigrate: touches {touches}\n{text}"));
        assert_eq!(output.status, status, "{touches}: {text}: {output}");
        assert_eq!(output.stderr.contains("MT214"), status == 1, "{touches}: {text}: {output}");
    }
    let mut place = Neighbours::new();
    let role = unique("fence_role");
    place.up(&format!("-- mtmigrate: touches-cluster\nCREATE ROLE {role}; CREATE PUBLICATION p")).expect(0);
    place.server.execute(&place.database, &format!("DROP ROLE {role}"));
}

/// A tenant without `schema:` is its database: all of it, but for the schemas that are other tenants'.
#[test]
fn a_tenant_that_is_a_database_may_change_all_of_it_but_its_neighbours() {
    let server = postgres(0);
    let database = server.create_database();
    let globex = unique("globex");
    let mut fleet = Fleet::new();
    fleet.postgres_schema_named("globex", server, &database, &globex);
    fleet.changeset("V1__orders.sql", "CREATE TABLE orders (id int)");
    fleet.run(&["up"]).expect(0);
    let url = server.url(&database);
    let mut whole = Fleet::new();
    whole.tenants_yaml(&format!("tenants:\n  - {{ name: whole, url: \"{url}\" }}\n"));
    for (version, text, status) in [
        (1, "CREATE SCHEMA more; CREATE TABLE more.t (id int); CREATE EXTENSION citext; CREATE PUBLICATION p", 0),
        (2, "DELETE FROM {globex}.orders", 1),
        (2, "SELECT * FROM {globex}.orders", 1),
        (2, "CREATE FUNCTION {globex}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", 1),
        (2, "CREATE ROLE fence_whole", 1),
        (2, "ALTER TABLE more.t ADD n int; DROP SCHEMA more CASCADE", 0),
    ] {
        whole.changeset(&format!("V{version}__x.sql"), &text.replace("{globex}", &globex));
        let output = whole.run(&["up"]);
        assert_eq!(output.status, status, "{text}: {output}");
        assert_eq!(output.stderr.contains("MT214"), status == 1, "{text}: {output}");
    }
}

/// Statements that commit one by one have no transaction to look at: what they name is looked at instead.
#[test]
fn a_no_transaction_text_that_names_what_is_outside_is_refused_before_it_runs() {
    let mut place = Neighbours::new();
    let before = place.outside();
    let index = "CREATE INDEX CONCURRENTLY mine ON orders (country)";
    for (text, said) in [
        (format!("{index};\nCREATE INDEX CONCURRENTLY i ON {{globex}}.orders (country)"), "V2__next.sql:3:32"),
        (format!("{index};\nVACUUM shared.old"), "V2__next.sql:3:8"),
        (format!("{index};\nDO $$ BEGIN DELETE FROM shared.old; END $$"), "V2__next.sql:3:4"),
        (format!("{index};\nSELECT shared.f()"), "V2__next.sql:3:8"),
        (format!("{index};\nDROP SCHEMA shared CASCADE"), "V2__next.sql:3:13"),
        (format!("{index};\nCREATE DATABASE fence_more"), "V2__next.sql:3:1"),
        (format!("{index};\nCREATE ROLE fence_more"), "V2__next.sql:3:1"),
        (format!("{index};\nALTER SYSTEM SET work_mem = '5MB'"), "V2__next.sql:3:1"),
        (format!("{index};\nCREATE EXTENSION citext"), "V2__next.sql:3:1"),
    ] {
        let output = place.up(&format!("-- mtmigrate: no-transaction\n{text}"));
        assert_eq!(output.status, 1, "{text}: {output}");
        assert!(output.stderr.contains("error[MT214]") && output.stderr.contains(said), "{text}: {output}");
        assert!(place.fleet.query("acme", "SELECT 1 FROM pg_class WHERE relname = 'mine'").is_empty(), "{text}");
        assert!(place.outside() == before, "{text}");
    }
    let output = place.up("-- mtmigrate: no-transaction\nVACUUM {globex}.orders");
    assert!(!output.stderr.contains("mtmigrate: touches"), "no directive allows a neighbour's schema: {output}");
    let text = "-- mtmigrate: no-transaction\n-- mtmigrate: touches shared.old\n";
    let own =
        format!("{text}{index};\nVACUUM {{acme}}.orders;\nVACUUM shared.old;\nSELECT o.oid FROM pg_catalog.pg_class o");
    place.up(&own).expect(0);
}
