//! Which names are qualified.

use super::{Dialect, EngineKind, SqlMode, changed_bare, qualified};

fn on(text: &str, dialect: Dialect) -> Vec<String> {
    qualified(text, dialect).into_iter().map(|name| name.qualifier).collect()
}

fn mysql(text: &str) -> Vec<String> {
    on(text, Dialect::default_for(EngineKind::MySql))
}

fn postgres(text: &str) -> Vec<String> {
    on(text, Dialect::Postgres)
}

#[test]
fn a_table_of_another_database_is_found_wherever_one_may_be_named() {
    for text in [
        "SELECT * FROM acme.orders",
        "SELECT * FROM a, acme.orders o, b",
        "SELECT * FROM a JOIN b ON a.x = b.x, acme.orders",
        "SELECT * FROM (a, acme.orders)",
        "SELECT * FROM (a JOIN acme.orders ON a.x = orders.x)",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM acme.orders)",
        "SELECT * FROM a LEFT JOIN acme.orders USING (id)",
        "SELECT * FROM a STRAIGHT_JOIN acme . orders",
        "INSERT INTO acme.orders VALUES (1)",
        "INSERT IGNORE INTO `acme`.`orders` (a, b) SELECT 1, 2",
        "REPLACE INTO acme.orders SET a = 1",
        "UPDATE acme.orders SET a = 1",
        "UPDATE LOW_PRIORITY a, acme.orders SET a.x = 1",
        "DELETE FROM acme.orders",
        "DELETE a, acme.orders FROM a JOIN b",
        "DELETE FROM a USING acme.orders",
        "TRUNCATE acme.orders",
        "TRUNCATE TABLE acme.orders",
        "CREATE TABLE IF NOT EXISTS acme.orders (id int)",
        "CREATE TABLE a LIKE acme.orders",
        "CREATE TABLE a (LIKE acme.orders)",
        "CREATE TABLE a (id int, FOREIGN KEY (id) REFERENCES acme.orders (id))",
        "CREATE TABLE a AS SELECT * FROM acme.orders",
        "CREATE OR REPLACE VIEW acme.v AS SELECT 1",
        "CREATE VIEW v AS SELECT 1 FROM acme.orders",
        "CREATE INDEX i ON acme.orders (id)",
        "DROP INDEX i ON acme.orders",
        "ALTER TABLE acme.orders ADD a int",
        "ALTER TABLE a RENAME TO acme.a",
        "ALTER TABLE a RENAME acme.a",
        "RENAME TABLE a TO b, c TO acme.c",
        "DROP TABLE IF EXISTS a, acme.orders",
        "LOCK TABLES a READ, acme.orders WRITE",
        "CALL acme.p(1)",
        "SELECT acme.f(1)",
        "SELECT acme.orders.id FROM orders",
        "SELECT acme.orders.* FROM orders",
        "CREATE PROCEDURE acme.p() SELECT 1",
        "CREATE TRIGGER acme.t BEFORE INSERT ON orders FOR EACH ROW SET @a = 1",
        "CREATE TRIGGER t BEFORE INSERT ON acme.orders FOR EACH ROW SET @a = 1",
        "CREATE TRIGGER t AFTER UPDATE ON a FOR EACH ROW INSERT INTO acme.orders VALUES (NEW.id)",
        "CREATE EVENT acme.e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders",
        "CREATE PROCEDURE p() BEGIN DECLARE a INT; IF a THEN UPDATE acme.orders SET b = 1; END IF; END",
        "GRANT SELECT ON acme.* TO u",
        "REVOKE ALL ON acme.orders FROM u",
        "DROP DATABASE acme",
        "CREATE SCHEMA IF NOT EXISTS acme",
        "PREPARE s FROM 'DELETE FROM acme.orders'",
        "EXECUTE IMMEDIATE 'DELETE FROM acme.orders WHERE a = ''x'''",
        "SET @sql = 'UPDATE acme.orders SET a = 1'; PREPARE s FROM @sql",
        "CREATE PROCEDURE p() BEGIN PREPARE s FROM \"DROP TABLE acme.orders\"; END",
        "/*!50003 DROP TABLE acme.orders */",
        "EXECUTE IMMEDIATE 'USE acme'",
        "LOAD DATA INFILE 'x' INTO TABLE acme.orders",
        "INSERT INTO a SELECT * FROM b ON DUPLICATE KEY UPDATE x = (SELECT 1 FROM acme.orders)",
        "WITH c AS (SELECT * FROM acme.orders) SELECT * FROM c",
        "ANALYZE TABLE acme.orders",
        "HANDLER acme.orders OPEN",
    ] {
        assert!(mysql(text).contains(&"acme".to_owned()), "{text}: {:?}", mysql(text));
    }
}

#[test]
fn an_alias_a_table_or_a_column_with_the_name_of_a_database_is_none() {
    for text in [
        "SELECT acme.id FROM orders acme",
        "SELECT acme.* FROM orders AS acme JOIN b ON acme.id = b.id AND b.x = acme.x",
        "SELECT a.id, acme.id FROM a, acme WHERE a.id = acme.id",
        "SELECT 1 FROM a JOIN acme USING (id) WHERE acme.id IN (1, 2) GROUP BY acme.id, acme.x ORDER BY acme.id, acme.y",
        "UPDATE acme SET acme.a = 1, acme.b = acme.c WHERE acme.id = 1",
        "UPDATE a JOIN acme ON a.id = acme.id SET a.x = acme.x, acme.y = 2",
        "INSERT INTO acme (id, acme) VALUES (1, 2) ON DUPLICATE KEY UPDATE id = VALUES(id), acme.acme = 3",
        "DELETE acme FROM orders acme WHERE acme.id = 1",
        "SELECT EXTRACT(YEAR FROM acme.created), TRIM(LEADING 'x' FROM acme.name), SUBSTRING(acme.c FROM 2) FROM acme",
        "SELECT 'FROM acme.orders', \"acme.orders\" FROM a -- FROM acme.orders",
        "SELECT x FROM a WHERE x LIKE acme.pattern",
        "CREATE TABLE a (acme int, KEY (acme), CHECK (acme > 0.5))",
        "CREATE TRIGGER t BEFORE UPDATE ON acme FOR EACH ROW SET NEW.a = OLD.a",
        "CREATE VIEW v AS SELECT b.x FROM b JOIN acme ON acme.id = b.id",
        "SELECT DATABASE(), SCHEMA() FROM acme WHERE acme.db = DATABASE()",
        "SELECT * FROM a LEFT JOIN b ON b.id = a.id AND acme.x = 1 ORDER BY FIELD(acme.x, 1, 2), acme.y",
        "SELECT GROUP_CONCAT(acme.x ORDER BY acme.y SEPARATOR ', ') FROM acme",
        "SELECT * FROM a FOR UPDATE OF acme",
        "SELECT * FROM a USE INDEX (acme) WHERE x = 1",
        "SELECT 'greetings from acme.example'; PREPARE s FROM 'SELECT 1'",
        "CREATE USER 'acme'@'db.acme'",
        "SELECT MAX(x) OVER (PARTITION BY acme.a ORDER BY acme.b) FROM t acme",
        "SELECT a.x FROM a WHERE (acme.x, acme.y) IN (SELECT x, y FROM b)",
        "SELECT CASE WHEN acme.x THEN acme.y ELSE acme.z END FROM acme",
        "INSERT INTO t SELECT acme.a, acme.b FROM orders acme",
    ] {
        assert_eq!(mysql(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_long_text_is_read_in_linear_time() {
    let rows = |n: usize| format!("INSERT INTO t VALUES {};", vec!["('a', 'b', @x)"; n].join(", "));
    // The best of several tries: others are at work on the machine, too.
    let time = |text: &str| {
        let tries = (0..5).map(|_| {
            let began = std::time::Instant::now();
            assert!(mysql(text).is_empty());
            began.elapsed()
        });
        tries.min().unwrap()
    };
    let (short, long) = (time(&rows(2_000)), time(&rows(40_000)));
    assert!(long < short * 200, "20 times the text took {long:?} after {short:?}");
}

#[test]
fn names_in_quotes_are_read_as_the_mode_reads_them() {
    let ansi = Dialect::MySql(SqlMode::parse("ANSI_QUOTES"));
    assert_eq!(on("SELECT * FROM \"ac\"\"me\".orders", ansi), ["ac\"me"]);
    assert_eq!(mysql("SELECT * FROM `a``b`.`c`"), ["a`b"]);
    assert_eq!(mysql("SELECT * FROM Acme.orders"), ["Acme"], "the server folds, or does not");
    assert_eq!(postgres("SELECT * FROM Acme.orders, \"Acme\".orders"), ["acme", "Acme"]);
}

#[test]
fn a_name_is_placed_where_it_stands() {
    let found =
        qualified("SELECT 1;\n\n  UPDATE ü JOIN acme.orders SET a = 1;", Dialect::default_for(EngineKind::MySql));
    assert_eq!((found[0].line, found[0].column, found[0].len), (3, 17, 11));
    let text = "SELECT 1;\nPREPARE s FROM 'DELETE\nFROM acme.orders';";
    let found = qualified(text, Dialect::default_for(EngineKind::MySql));
    assert_eq!((found[0].line, found[0].column), (2, 16), "in a literal, where that begins");
}

#[test]
fn postgresql_names_schemas_in_places_of_its_own() {
    for text in [
        "CREATE INDEX CONCURRENTLY i ON acme.orders (id)",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY acme.orders (id)",
        "DROP INDEX CONCURRENTLY acme.i",
        "REINDEX TABLE CONCURRENTLY acme.orders",
        "REINDEX INDEX acme.i",
        "VACUUM acme.orders",
        "VACUUM (FULL, ANALYZE) acme.orders",
        "ANALYZE acme.orders",
        "CLUSTER acme.orders",
        "ALTER TYPE acme.mood ADD VALUE 'x'",
        "ALTER TABLE a ATTACH PARTITION acme.p DEFAULT",
        "ALTER TABLE a DETACH PARTITION acme.p CONCURRENTLY",
        "ALTER TABLE a SET SCHEMA acme",
        "CREATE SCHEMA acme",
        "DROP SCHEMA acme CASCADE",
        "COMMENT ON TABLE acme.orders IS 'x'",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY acme.v",
        "MERGE INTO acme.orders USING b ON true WHEN MATCHED THEN DELETE",
        "DO $$ BEGIN INSERT INTO acme.orders VALUES (1); END $$",
        "DO $$ BEGIN EXECUTE 'DROP TABLE acme.orders'; END $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $f$ SELECT 1 FROM acme.orders $f$",
        "CREATE TABLE a PARTITION OF acme.orders DEFAULT",
        "COPY acme.orders FROM '/tmp/x'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA acme TO u",
        "SELECT acme.f()",
    ] {
        assert!(postgres(text).contains(&"acme".to_owned()), "{text}: {:?}", postgres(text));
    }
    for text in [
        "SELECT o.id FROM orders o WHERE o.x IS DISTINCT FROM o.y",
        "UPDATE orders o SET x = 1 FROM b WHERE b.id = o.id",
        "CREATE INDEX CONCURRENTLY i ON orders (lower(ref)) WHERE ref <> ''",
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM t LOOP SELECT x INTO r.y FROM u; END LOOP; END $$",
        "ALTER TABLE a ALTER COLUMN b TYPE int USING b::int",
        "ALTER TABLE orders ALTER COLUMN amount TYPE numeric(12, 2) USING orders.amount::numeric(12, 2)",
        "CREATE POLICY p ON orders USING (orders.amount > 0)",
        "INSERT INTO a SELECT b.x FROM b ON CONFLICT (id) DO UPDATE SET x = excluded.x, y = a.y",
    ] {
        assert_eq!(postgres(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_bare_name_of_what_is_changed_is_told_from_one_that_is_made_or_read() {
    for (text, changed) in [
        ("ALTER TABLE shared ADD b int, ADD c int", "shared"),
        ("ALTER TABLE IF EXISTS ONLY shared RENAME TO x", "shared"),
        ("CREATE INDEX CONCURRENTLY i ON shared (a)", "shared"),
        ("CREATE INDEX ON shared (a)", "shared"),
        ("CREATE TABLE t (a int REFERENCES shared, b int)", "shared"),
        ("DROP TABLE IF EXISTS a, \"Shared\"; DROP INDEX CONCURRENTLY i", "a Shared i"),
        ("COMMENT ON TABLE shared IS 'x'", "shared"),
        ("INSERT INTO shared SELECT * FROM t", "shared"),
        ("UPDATE shared SET a = 1, b = 2", "shared"),
        ("DELETE FROM shared WHERE a IN (SELECT b FROM t)", "shared"),
        ("TRUNCATE a, shared; VACUUM (FULL) shared", "a shared shared"),
        ("DO $$ BEGIN ALTER TABLE shared ADD b int; END $$", "shared"),
        ("GRANT SELECT ON a, shared TO u", "a shared"),
        ("CREATE TABLE t (a int, b int); CREATE INDEX i ON t (a, b); DROP TABLE t", ""),
        ("SELECT * FROM a JOIN b USING (c); SELECT f(x)", ""),
        ("CREATE VIEW v AS SELECT * FROM a, b", ""),
        ("ALTER TABLE x.t ADD b int", ""),
    ] {
        let found = changed_bare(text, Dialect::Postgres, "ext");
        assert!(found.iter().all(|name| name.qualifier == "ext"));
        let names: Vec<String> = found.into_iter().filter_map(|name| name.name).collect();
        assert_eq!(names.join(" "), changed, "{text}");
    }
}
