//! A draft of repair SQL that is run on a real server makes the schema what it should be, but for what it said.

use mtmigrate::schema::{Difference, Ignores, repair_sql};
use mtmigrate::sql::EngineKind;

use super::inspected;
use crate::support::{Fleet, mariadb, postgres};

/// What is taken away by hand, and what the draft leaves of it.
type Taken = (&'static str, &'static [&'static str]);

const POSTGRES: &str = "
    CREATE TYPE mood AS ENUM ('a');
    CREATE TABLE moods(m mood);
    CREATE UNLOGGED TABLE fast(a int);
    CREATE TABLE customers(
        id integer GENERATED ALWAYS AS IDENTITY (START 5 MAXVALUE 99) PRIMARY KEY,
        name text NOT NULL DEFAULT 'x',
        since timestamptz NOT NULL DEFAULT now());
    CREATE TABLE orders(
        id serial PRIMARY KEY,
        \"Ref\" varchar(80) COLLATE \"C\" NOT NULL UNIQUE,
        amount numeric(10,2) CHECK (amount > 0),
        twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
        customer int CONSTRAINT buyer REFERENCES customers ON DELETE CASCADE,
        parent int REFERENCES orders,
        tags text[] DEFAULT '{}',
        big bigserial,
        \"a b\" int);
    CREATE INDEX i1 ON orders(lower(\"Ref\"), amount DESC) WHERE amount > 1;
    CREATE UNIQUE INDEX i2 ON orders USING btree (tags) INCLUDE (amount);";

const MARIADB: &str = "
    CREATE TABLE customers(
        id int unsigned AUTO_INCREMENT PRIMARY KEY,
        name varchar(80) NOT NULL DEFAULT 'it''s',
        since timestamp NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp()) CHARSET=latin1;
    CREATE TABLE orders(
        id bigint AUTO_INCREMENT PRIMARY KEY,
        `a b` varchar(80) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
        note text,
        amount decimal(10,2) DEFAULT 1.5,
        twice int AS (amount * 2) STORED,
        thrice int AS (amount * 3),
        customer int unsigned,
        u char(36) DEFAULT uuid(),
        b bit(3) DEFAULT b'101',
        e enum('a','b') DEFAULT 'a',
        t timestamp NULL,
        flag tinyint(1) NOT NULL DEFAULT 0,
        few int CHECK (few > 0),
        j json,
        INDEX i1 (note(20) DESC, amount),
        FULLTEXT INDEX words (note),
        CONSTRAINT positive CHECK (amount > 0),
        CHECK (twice < 9),
        CONSTRAINT buyer FOREIGN KEY (customer) REFERENCES customers(id) ON DELETE CASCADE,
        FOREIGN KEY (id) REFERENCES orders(id)) ROW_FORMAT=COMPRESSED;";

/// Gives one tenant the whole schema and one for each case what is left of it, runs the drafts and looks again.
fn check(engine: EngineKind, add: impl Fn(&mut Fleet, &str), whole: &str, cases: &[Taken]) {
    let mut fleet = Fleet::new();
    add(&mut fleet, "whole");
    fleet.execute("whole", whole);
    let tenants: Vec<String> = (0..cases.len()).map(|no| format!("t{no}")).collect();
    for (tenant, (taken, _)) in tenants.iter().zip(cases) {
        add(&mut fleet, tenant);
        fleet.execute(tenant, whole);
        fleet.execute(tenant, taken);
    }
    let before = inspected(&fleet);
    for ((tenant, (taken, left)), found) in tenants.iter().zip(cases).zip(&before[1..]) {
        let repair = repair_sql(engine, &before[0], found, &Ignores::default());
        let said: Vec<String> = repair.left.iter().map(Difference::sentence).collect();
        assert_eq!(said, *left, "{taken}");
        assert!(!repair.statements.is_empty() || !left.is_empty(), "{taken}");
        for statement in &repair.statements {
            fleet.execute(tenant, statement);
        }
    }
    let after = inspected(&fleet);
    for ((taken, left), found) in cases.iter().zip(&after[1..]) {
        let repair = repair_sql(engine, &after[0], found, &Ignores::default());
        let said: Vec<String> = repair.left.iter().map(Difference::sentence).collect();
        assert_eq!(said, *left, "{taken}");
        assert!(repair.statements.is_empty(), "{taken}");
    }
}

#[test]
fn on_postgres() {
    let database = |fleet: &mut Fleet, name: &str| {
        fleet.postgres_database(name, postgres(0));
    };
    let cases: [Taken; 4] = [
        ("DROP TABLE orders; DROP TABLE customers; DROP TABLE fast", &[]),
        (
            "ALTER TABLE customers DROP COLUMN since; ALTER TABLE customers DROP COLUMN name;
             ALTER TABLE orders DROP COLUMN tags; ALTER TABLE orders DROP COLUMN twice;
             ALTER TABLE orders DROP COLUMN \"a b\"; DROP INDEX i1",
            &[],
        ),
        ("DROP TABLE moods; DROP TABLE orders", &[]),
        (
            "ALTER TABLE orders DROP COLUMN big; DROP INDEX i1",
            &["column `orders.big` is missing", "sequence `orders_big_seq` is missing"],
        ),
    ];
    check(EngineKind::Postgres, database, POSTGRES, &cases);
}

#[test]
fn on_mariadb() {
    let database = |fleet: &mut Fleet, name: &str| {
        fleet.mariadb(name, mariadb(0));
    };
    let cases: [Taken; 3] = [
        ("DROP TABLE orders; DROP TABLE customers", &[]),
        (
            "ALTER TABLE orders DROP INDEX i1, DROP INDEX words, DROP COLUMN u, DROP COLUMN b, DROP COLUMN e,
             DROP COLUMN t, DROP COLUMN flag, DROP COLUMN thrice, DROP COLUMN note, DROP COLUMN j",
            &["constraint `orders.j` is missing"],
        ),
        ("ALTER TABLE customers DROP COLUMN since, DROP COLUMN name", &[]),
    ];
    check(EngineKind::MySql, database, MARIADB, &cases);
}
