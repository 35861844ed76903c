//! No false alarm: however tenants came to the same changesets, and whatever their servers' settings, they are one cohort.

use std::collections::BTreeMap;

use crate::support::fleet::Place;
use crate::support::{Fleet, MariaDb, Options, Postgres, quoted};

const TENANTS: usize = 50;

/// Numbers that look random and are the same in every run: a linear congruential generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Brings the tenants up in many runs, each with some of them and to some version, and at last all of them.
fn brought_up_in_any_order(fleet: &Fleet, changesets: usize, seed: u64) {
    let (mut dice, names) = (Dice(seed), fleet.names());
    for _ in 0..12 {
        let to = (1 + dice.below(changesets)).to_string();
        let mut args = vec!["up".to_owned(), "--to".into(), to];
        for _ in 0..1 + dice.below(9) {
            args.extend(["--tenant".into(), names[dice.below(names.len())].clone()]);
        }
        fleet.run(&args.iter().map(String::as_str).collect::<Vec<_>>()).expect(0);
    }
    fleet.run(&["up"]).expect(0);
}

/// One cohort, all of the tenants in it, nothing to say.
#[track_caller]
fn assert_one_cohort(fleet: &Fleet, when: &str) {
    let output = fleet.run(&["drift", "--format", "json"]).expect(0);
    let report = output.json();
    let cohorts = report["cohorts"].as_array().unwrap();
    assert_eq!(cohorts.len(), 1, "{when}: {report:#}");
    assert_eq!(cohorts[0]["groups"].as_array().map(Vec::len), Some(1), "{when}: {report:#}");
    assert_eq!(cohorts[0]["groups"][0]["tenants"].as_array().map(Vec::len), Some(TENANTS), "{when}: {report:#}");
    fleet.run(&["up"]).expect(0);
}

fn files(texts: &[&str]) -> BTreeMap<String, String> {
    texts.iter().enumerate().map(|(idx, sql)| (format!("V{}__c.sql", idx + 1), (*sql).to_owned())).collect()
}

const POSTGRES: [&str; 20] = [
    "CREATE TABLE customers (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, born date DEFAULT '2000-02-29');",
    "CREATE TYPE status AS ENUM ('new', 'paid', 'gone'); CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);",
    "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer bigint NOT NULL REFERENCES \
     customers ON DELETE CASCADE, state status NOT NULL DEFAULT 'new', total cents DEFAULT 0, placed timestamptz DEFAULT \
     '2026-01-02 03:04:05+06', wait interval DEFAULT '1 day 02:03:04', rate double precision DEFAULT 0.1, raw bytea DEFAULT \
     decode('00ff', 'hex'), note text DEFAULT E'it''s a \\\\ and orders.id');",
    "CREATE INDEX orders_open ON orders (lower(note), placed DESC NULLS LAST) INCLUDE (total) WHERE state <> 'gone';",
    "ALTER TABLE orders ADD COLUMN ref text COLLATE \"C\", ADD CONSTRAINT ref_is_short CHECK (length(ref) < 80);",
    "CREATE VIEW open_orders AS SELECT o.id, c.email, o.total FROM orders o JOIN customers c ON c.id = o.customer \
     WHERE o.state = 'new'::status AND o.placed > '2026-01-01+00'::timestamptz;",
    "CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) AS total FROM orders GROUP BY customer;",
    "CREATE FUNCTION total_of(who bigint) RETURNS numeric LANGUAGE sql STABLE AS $$ SELECT sum(total) FROM orders WHERE \
     customer = who $$;",
    "CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.placed = now(); RETURN NEW; END $$;",
    "CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.total IS DISTINCT FROM NEW.total) EXECUTE \
     FUNCTION touched();",
    "CREATE TABLE events (at timestamptz NOT NULL, what jsonb) PARTITION BY RANGE (at);",
    "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');",
    "ALTER TABLE orders ADD COLUMN gross numeric GENERATED ALWAYS AS (total * 1.2) STORED;",
    "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON orders FOR SELECT USING (customer > 0);",
    "CREATE SEQUENCE invoice_no AS int INCREMENT 10 MINVALUE 5 CACHE 3 CYCLE;",
    "CREATE STATISTICS orders_s (dependencies) ON customer, state FROM orders;",
    "CREATE RULE no_delete AS ON DELETE TO customers DO INSTEAD NOTHING;",
    "CREATE TYPE pair AS (a int, b text); CREATE TYPE span AS RANGE (subtype = float8);",
    "ALTER TABLE customers DROP COLUMN born; ALTER TABLE customers ADD COLUMN born date;",
    "CREATE PROCEDURE tidy() LANGUAGE sql AS $$ DELETE FROM events WHERE at < '2020-01-01' $$;",
];

#[test]
fn fifty_tenants_on_two_postgresql_servers_are_one_cohort_whatever_was_done_to_their_data() {
    let settings = [
        ("quote_all_identifiers", "on"),
        ("datestyle", "German"),
        ("intervalstyle", "sql_standard"),
        ("extra_float_digits", "-5"),
        ("bytea_output", "escape"),
        ("standard_conforming_strings", "off"),
        ("timezone", "Asia/Kathmandu"),
        ("search_path", "public, pg_catalog"),
        ("default_toast_compression", "pglz"),
    ];
    let servers =
        [Postgres::start(Options::default()), Postgres::start(Options { conf: &settings, ..Options::default() })];
    servers[1].execute(
        "postgres",
        "CREATE DATABASE shared TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    );
    servers[1].execute("postgres", "ALTER DATABASE shared SET search_path = nowhere, public");
    servers[0].create_database_named("shared");
    let mut fleet = Fleet::new();
    for no in 0..TENANTS {
        let (name, server) = (format!("t{no:02}"), &servers[no % 2]);
        match no {
            0..6 => fleet.postgres_database(&name, server),
            // A table's name, a column's, an alias and a key word.
            6 => fleet.postgres_schema_named(&name, server, "shared", "orders"),
            7 => fleet.postgres_schema_named(&name, server, "shared", "total"),
            8 => fleet.postgres_schema_named(&name, server, "shared", "o"),
            9 => fleet.postgres_schema_named(&name, server, "shared", "select"),
            10 => fleet.postgres_schema_named(&name, server, "shared", "It's \"odd\"; --"),
            _ => fleet.postgres_schema(&name, server, "shared"),
        };
    }
    for (file, sql) in files(&POSTGRES) {
        fleet.variant("postgres", &file, &sql);
    }
    brought_up_in_any_order(&fleet, POSTGRES.len(), 1);
    assert_one_cohort(&fleet, "after up");

    for tenant in fleet.names().iter().step_by(3) {
        fleet.execute(
            tenant,
            "INSERT INTO customers (email) SELECT 'a' || n FROM generate_series(1, 50) n;
             INSERT INTO orders (customer, total) SELECT id, id FROM customers;
             REFRESH MATERIALIZED VIEW totals;
             SELECT nextval('invoice_no'), setval('invoice_no', 995);
             DELETE FROM orders WHERE id % 2 = 0;",
        );
        let Place::Postgres { server, database, schema } = fleet.place(tenant) else { unreachable!() };
        let orders = format!("{}.orders", quoted(schema.as_deref().unwrap_or("public"), '"'));
        for statement in ["VACUUM FULL", "ANALYZE", "REINDEX TABLE"] {
            server.execute(database, &format!("{statement} {orders}"));
        }
        server.execute(database, &format!("CLUSTER {orders} USING orders_pkey"));
    }
    assert_one_cohort(&fleet, "after VACUUM, ANALYZE, inserts and sequences");

    // A dump of one is restored in its place.
    let Place::Postgres { server, database, schema: Some(schema) } = fleet.place("t14") else { unreachable!() };
    let dump = server.restorable(database, schema);
    server.execute(database, &format!("DROP SCHEMA {} CASCADE", quoted(schema, '"')));
    server.execute(database, &dump);
    assert_one_cohort(&fleet, "after dump and restore");
}

const MARIADB: [&str; 20] = [
    "CREATE TABLE customers (id bigint AUTO_INCREMENT PRIMARY KEY, email varchar(190) NOT NULL UNIQUE);",
    "CREATE TABLE orders (id int(11) AUTO_INCREMENT PRIMARY KEY, customer bigint NOT NULL, state enum('new','paid') NOT NULL \
     DEFAULT 'new', total decimal(12,2) UNSIGNED DEFAULT 0.00, placed timestamp NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE \
     CURRENT_TIMESTAMP, note varchar(200) DEFAULT 'it''s a \\\\ and orders.id', FOREIGN KEY (customer) REFERENCES \
     customers (id) ON DELETE CASCADE);",
    "CREATE INDEX orders_note ON orders (note(20), placed DESC);",
    "ALTER TABLE orders ADD COLUMN ref varchar(40) CHARACTER SET ascii, ADD CONSTRAINT ref_is_short CHECK (length(ref) < 80);",
    "CREATE VIEW open_orders AS SELECT o.id, c.email, o.total FROM orders o JOIN customers c ON c.id = o.customer WHERE \
     o.state = 'new' AND o.note <> 'orders.note';",
    "CREATE FUNCTION total_of(who bigint) RETURNS decimal(20,2) READS SQL DATA RETURN (SELECT sum(total) FROM orders WHERE \
     customer = who);",
    "CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW SET NEW.note = concat(NEW.note, '!');",
    "CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (year(at)) (PARTITION p2026 VALUES LESS THAN (2027), \
     PARTITION rest VALUES LESS THAN MAXVALUE);",
    "ALTER TABLE orders ADD COLUMN gross decimal(12,2) GENERATED ALWAYS AS (total * 1.2) STORED;",
    "CREATE TABLE old (id int) ENGINE=MyISAM ROW_FORMAT=FIXED CHARSET=latin1;",
    "ALTER TABLE customers ADD COLUMN born date DEFAULT '2000-02-29';",
    "ALTER TABLE customers ADD FULLTEXT INDEX customers_text (email);",
    "CREATE PROCEDURE tidy(IN before_day date, OUT gone int) MODIFIES SQL DATA SQL SECURITY INVOKER BEGIN DELETE FROM events \
     WHERE at < before_day; SET gone = row_count(); END;",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 03:00:00' DISABLE DO DELETE FROM events;",
    "CREATE SEQUENCE invoice_no START WITH 5 INCREMENT BY 10 CACHE 3 CYCLE MAXVALUE 1000;",
    "ALTER TABLE customers DROP COLUMN born;",
    "ALTER TABLE customers ADD COLUMN born date;",
    "CREATE TABLE child (customer bigint, CONSTRAINT named FOREIGN KEY (customer) REFERENCES customers (id) ON UPDATE RESTRICT);",
    "ALTER TABLE customers ADD COLUMN flags tinyint(1) NOT NULL DEFAULT 0, ADD COLUMN doc json;",
    "CREATE VIEW names AS SELECT email AS `an odd name` FROM customers WITH CHECK OPTION;",
];

#[test]
fn fifty_tenants_on_two_mariadb_servers_are_one_cohort_whatever_was_done_to_their_data() {
    let settings = [
        ("sql-mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT"),
        ("lower-case-table-names", "1"),
        ("default-time-zone", "+05:45"),
        ("group-concat-max-len", "64"),
        ("innodb-default-row-format", "dynamic"),
    ];
    let servers =
        [MariaDb::start(Options::default()), MariaDb::start(Options { conf: &settings, ..Options::default() })];
    let mut fleet = Fleet::new();
    for no in 0..TENANTS {
        let (name, server) = (format!("t{no:02}"), &servers[no % 2]);
        match no {
            // A table's name, a column's, an alias, a key word and strangeness; the second server folds capitals.
            6 => fleet.mariadb_named(&name, server, "orders"),
            7 => fleet.mariadb_named(&name, server, "total"),
            8 => fleet.mariadb_named(&name, server, "o"),
            9 => fleet.mariadb_named(&name, server, "select"),
            10 => fleet.mariadb_named(&name, server, "it's `odd` \"too\"; --"),
            _ => fleet.mariadb(&name, server),
        };
    }
    for (file, sql) in files(&MARIADB) {
        // One text for both ways of reading a backslash.
        let delimited = if sql.contains("BEGIN") { format!("DELIMITER //\n{sql}\n//\nDELIMITER ;\n") } else { sql };
        fleet.variant("mysql", &file, &delimited.replace(" \\\\ ", " / "));
    }
    brought_up_in_any_order(&fleet, MARIADB.len(), 2);
    assert_one_cohort(&fleet, "after up");

    for tenant in fleet.names().iter().step_by(3) {
        fleet.execute(
            tenant,
            "INSERT INTO customers (email) SELECT concat('a', seq) FROM seq_1_to_50;
             INSERT INTO orders (customer, total) SELECT id, id FROM customers;
             SELECT nextval(invoice_no), nextval(invoice_no);
             DELETE FROM orders WHERE id % 2 = 0;
             ANALYZE TABLE orders, customers;
             OPTIMIZE TABLE orders;
             ALTER TABLE customers AUTO_INCREMENT = 5000;",
        );
    }
    assert_one_cohort(&fleet, "after ANALYZE, OPTIMIZE, inserts and sequences");

    let Place::MariaDb { server, database } = fleet.place("t14") else { unreachable!() };
    let dump = server.dump(database);
    server.execute("", &format!("DROP DATABASE {}", quoted(database, '`')));
    server.create_database_named(database);
    server.restore(database, &dump);
    assert_one_cohort(&fleet, "after dump and restore");
}

const SQLITE: [&str; 20] = [
    "CREATE TABLE customers (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE COLLATE NOCASE);",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT NOT NULL REFERENCES customers (id) ON DELETE CASCADE, \
     state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'paid')), total NUMERIC DEFAULT 0, note TEXT DEFAULT 'it''s');",
    "CREATE INDEX orders_note ON orders (lower(note), total DESC) WHERE state <> 'paid';",
    "ALTER TABLE orders ADD COLUMN ref TEXT;",
    "CREATE VIEW open_orders AS SELECT o.id, c.email FROM orders o JOIN customers c ON c.id = o.customer;",
    "CREATE TRIGGER touch AFTER UPDATE ON orders BEGIN UPDATE orders SET note = 'x' WHERE id = NEW.id; END;",
    "CREATE TABLE pairs (a INT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID;",
    "CREATE TABLE strictly (a INT, b ANY) STRICT;",
    "ALTER TABLE orders ADD COLUMN gross NUMERIC GENERATED ALWAYS AS (total * 1.2) VIRTUAL;",
    "CREATE VIRTUAL TABLE texts USING fts5(body, tokenize = 'porter');",
    "ALTER TABLE customers ADD COLUMN born TEXT;",
    "ALTER TABLE customers DROP COLUMN born;",
    "ALTER TABLE customers ADD COLUMN born TEXT DEFAULT (date('now'));",
    "CREATE UNIQUE INDEX pairs_b ON pairs (b);",
    "CREATE TABLE child (c INT, FOREIGN KEY (c) REFERENCES customers (id) DEFERRABLE INITIALLY DEFERRED);",
    "ALTER TABLE pairs RENAME TO couples;",
    "ALTER TABLE couples RENAME COLUMN a TO first;",
    "CREATE TEMP TABLE gone (a); DROP TABLE gone;",
    "INSERT INTO customers (email) VALUES ('a@b');",
    "CREATE VIEW names AS SELECT email AS \"an odd name\" FROM customers;",
];

#[test]
fn fifty_sqlite_files_are_one_cohort_whatever_was_done_to_their_data() {
    let mut fleet = Fleet::new();
    for no in 0..TENANTS {
        fleet.sqlite(&format!("t{no:02}"));
    }
    for (file, sql) in files(&SQLITE) {
        fleet.variant("sqlite", &file, &sql);
    }
    brought_up_in_any_order(&fleet, SQLITE.len(), 3);
    assert_one_cohort(&fleet, "after up");
    for tenant in fleet.names().iter().step_by(3) {
        fleet
            .execute(tenant, "INSERT INTO texts (body) VALUES ('a text'); ANALYZE; VACUUM; PRAGMA journal_mode = wal;");
        fleet.execute(tenant, "INSERT INTO customers (email) VALUES ('c@d'); PRAGMA user_version = 7;");
    }
    assert_one_cohort(&fleet, "after VACUUM, ANALYZE, inserts and WAL");
    let Place::Sqlite(path) = fleet.place("t14") else { unreachable!() };
    let copy = path.with_extension("copy");
    fleet.execute("t14", &format!("VACUUM INTO '{}'", copy.display()));
    std::fs::rename(copy, path).unwrap();
    assert_one_cohort(&fleet, "after a copy");
}
