//! What is drift on this engine, and what is not.

use mtmigrate::schema::{Difference, Ignores, repair_sql};
use mtmigrate::sql::EngineKind;

use super::{Case, check, inspected};
use crate::support::Fleet;

/// A schema with something of every kind.
const BASE: &str = "
    CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT);
    CREATE TABLE orders(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        ref TEXT COLLATE NOCASE,
        note varchar(80) DEFAULT 'none',
        amount INTEGER NOT NULL CONSTRAINT positive CHECK (amount > 0),
        total AS (amount * 2),
        customer INTEGER CONSTRAINT buyer REFERENCES customers(id) ON DELETE CASCADE,
        UNIQUE (ref, note),
        CHECK (length(note) < 99));
    CREATE INDEX orders_ref ON orders(ref);
    CREATE UNIQUE INDEX orders_once ON orders(amount, lower(note)) WHERE amount > 5;
    CREATE VIEW big AS SELECT id, ref FROM orders WHERE amount > 100;
    CREATE TRIGGER stamp AFTER UPDATE OF note ON orders WHEN new.amount > 1
        BEGIN UPDATE customers SET name = 'x' WHERE id = new.customer; END;
    CREATE VIRTUAL TABLE texts USING fts5(body, tokenize = 'porter');
    CREATE TABLE facts(k TEXT, v ANY, PRIMARY KEY (k, v)) STRICT, WITHOUT ROWID;
    INSERT INTO customers VALUES (1, 'Ann', 'north');
    INSERT INTO orders(ref, amount, customer) VALUES ('A', 7, 1);
";

fn add(fleet: &mut Fleet, name: &str) {
    fleet.sqlite(name);
}

fn case(change: &'static str, said: &'static [&'static str]) -> Case {
    Case { change, said }
}

/// A table made anew: SQLite alters little.
macro_rules! customers {
    ($($body:tt)*) => {
        concat!("PRAGMA foreign_keys = OFF; DROP TABLE customers; CREATE TABLE ", $($body)*)
    };
}

macro_rules! orders {
    ($from:literal => $to:literal) => {
        concat!(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '",
            $from,
            "', '",
            $to,
            "') WHERE name = 'orders'; PRAGMA writable_schema = RESET;"
        )
    };
}

#[test]
fn every_kind_of_object_is_missed_and_noticed() {
    check(
        add,
        BASE,
        &[
            case("CREATE TABLE extra(a)", &["table `extra` is not expected", "column `extra.a` is not expected"]),
            case(
                "DROP TABLE facts",
                &[
                    "table `facts` is missing",
                    "column `facts.k` is missing",
                    "column `facts.v` is missing",
                    "constraint `facts.primary key` is missing",
                ],
            ),
            case("DROP INDEX orders_ref", &["index `orders_ref` is missing"]),
            case("CREATE INDEX extra ON orders(note)", &["index `extra` is not expected"]),
            case("DROP VIEW big", &["view `big` is missing"]),
            case("CREATE VIEW extra AS SELECT 1", &["view `extra` is not expected"]),
            case("DROP TRIGGER stamp", &["trigger `orders.stamp` is missing"]),
            case(
                "CREATE TRIGGER extra INSTEAD OF DELETE ON big BEGIN SELECT 1; END",
                &["trigger `big.extra` is not expected"],
            ),
            case("DROP TABLE texts", &["table `texts` is missing"]),
            case("CREATE VIRTUAL TABLE boxes USING rtree(id, a, b)", &["table `boxes` is not expected"]),
            case("ALTER TABLE orders ADD COLUMN extra", &["column `orders.extra` is not expected"]),
            case("ALTER TABLE customers DROP COLUMN region", &["column `customers.region` is missing"]),
            case(
                "ALTER TABLE customers RENAME COLUMN region TO area",
                &["column `customers.area` is not expected", "column `customers.region` is missing"],
            ),
        ],
        "{}",
    );
}

#[test]
fn every_attribute_of_a_table_and_of_its_columns_is_noticed() {
    check(
        add,
        BASE,
        &[
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region INT)"),
                &["column `customers.region` is `int`, expected `text`"],
            ),
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region)"),
                &["column `customers.region` is `no type`, expected `text`"],
            ),
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT, region TEXT)"),
                &["column `customers.name` is `nullable`, expected `not null`"],
            ),
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL ON CONFLICT IGNORE, region TEXT)"),
                &["column `customers.name` is `null conflict ignore`, expected `no null conflict`"],
            ),
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT DEFAULT (1+1))"),
                &["column `customers.region` is `default 1 + 1`, expected `no default`"],
            ),
            case(
                orders!("''none''" => "''None''"),
                &["column `orders.note` is `default 'None'`, expected `default 'none'`"],
            ),
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT COLLATE RTRIM)"),
                &["column `customers.region` is `collation rtrim`, expected `no collation`"],
            ),
            case(
                orders!("COLLATE NOCASE" => ""),
                &["column `orders.ref` is `no collation`, expected `collation nocase`"],
            ),
            case(
                orders!("amount * 2" => "amount * 3"),
                &["column `orders.total` is `generated amount * 3`, expected `generated amount * 2`"],
            ),
            case(
                customers!("customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, region TEXT AS (name) STORED)"),
                &["column `customers.region` is `generated name, stored`, expected `no generated, no stored`"],
            ),
            case(
                "DROP TABLE facts; CREATE TABLE facts(k TEXT, v ANY, PRIMARY KEY (k, v)) WITHOUT ROWID",
                &["table `facts` is `no strict`, expected `strict`"],
            ),
            case(
                "DROP TABLE facts; CREATE TABLE facts(k TEXT NOT NULL, v ANY NOT NULL, PRIMARY KEY (k, v)) STRICT",
                &["table `facts` is `no without rowid`, expected `without rowid`"],
            ),
            case(
                "DROP TABLE texts; CREATE VIRTUAL TABLE texts USING fts5(body, tokenize = 'ascii')",
                &[
                    "table `texts` is `arguments body, tokenize = 'ascii'`, expected `arguments body, tokenize = 'porter'`",
                ],
            ),
            case(
                "DROP TABLE texts; CREATE VIRTUAL TABLE texts USING fts4(body, tokenize = 'porter')",
                &["table `texts` is `module fts4`, expected `module fts5`"],
            ),
        ],
        "{}",
    );
}

#[test]
fn every_attribute_of_a_constraint_is_noticed() {
    check(
        add,
        BASE,
        &[
            case(
                orders!("AUTOINCREMENT" => ""),
                &["constraint `orders.primary key` is `no autoincrement`, expected `autoincrement`"],
            ),
            case(
                "DROP TABLE facts; CREATE TABLE facts(k TEXT, v ANY, PRIMARY KEY (v, k)) STRICT, WITHOUT ROWID",
                &["constraint `facts.primary key` is `primary key v, k`, expected `primary key k, v`"],
            ),
            case(
                "DROP TABLE facts; CREATE TABLE facts(k TEXT, v ANY, PRIMARY KEY (k DESC, v)) STRICT, WITHOUT ROWID",
                &["constraint `facts.primary key` is `primary key k desc, v`, expected `primary key k, v`"],
            ),
            case(
                "DROP TABLE facts; CREATE TABLE facts(k TEXT, v ANY, CONSTRAINT pk PRIMARY KEY (k, v) ON CONFLICT REPLACE)
                 STRICT, WITHOUT ROWID",
                &["constraint `facts.pk` is not expected", "constraint `facts.primary key` is missing"],
            ),
            case(
                orders!("UNIQUE (ref, note)" => "UNIQUE (note, ref)"),
                &[
                    "constraint `orders.unique (note, ref)` is not expected",
                    "constraint `orders.unique (ref, note)` is missing",
                ],
            ),
            case(
                orders!("UNIQUE (ref, note)" => "UNIQUE (ref, note) ON CONFLICT FAIL"),
                &["constraint `orders.unique (ref, note)` is `conflict fail`, expected `no conflict`"],
            ),
            case(
                orders!("UNIQUE (ref, note)" => "UNIQUE (ref, note), UNIQUE (note)"),
                &["constraint `orders.unique (note)` is not expected"],
            ),
            case(
                orders!("amount > 0" => "amount >= 0"),
                &["constraint `orders.positive` is `check amount >= 0`, expected `check amount > 0`"],
            ),
            case(
                orders!("CONSTRAINT positive" => ""),
                &["constraint `orders.check (amount > 0)` is not expected", "constraint `orders.positive` is missing"],
            ),
            case(
                orders!("length(note) < 99" => "length(note) < 98"),
                &[
                    "constraint `orders.check (length(note) < 98)` is not expected",
                    "constraint `orders.check (length(note) < 99)` is missing",
                ],
            ),
            case(
                orders!("REFERENCES customers(id)" => "REFERENCES facts(id)"),
                &["constraint `orders.buyer` is `references facts(id)`, expected `references customers(id)`"],
            ),
            case(
                orders!("ON DELETE CASCADE" => "ON DELETE SET NULL"),
                &["constraint `orders.buyer` is `on delete set null`, expected `on delete cascade`"],
            ),
            case(
                orders!("ON DELETE CASCADE" => "ON DELETE CASCADE ON UPDATE RESTRICT"),
                &["constraint `orders.buyer` is `on update restrict`, expected `no on update`"],
            ),
            case(
                orders!("ON DELETE CASCADE" => "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"),
                &["constraint `orders.buyer` is `deferred`, expected `no deferred`"],
            ),
            case(
                orders!("CONSTRAINT buyer" => ""),
                &["constraint `orders.buyer` is missing", "constraint `orders.foreign key (customer)` is not expected"],
            ),
            case(
                orders!("CHECK (length(note) < 99)" => "CHECK (length(note) < 99), FOREIGN KEY (note, ref) REFERENCES facts(k, v)"),
                &["constraint `orders.foreign key (note, ref)` is not expected"],
            ),
        ],
        "{}",
    );
}

#[test]
fn every_attribute_of_an_index_a_view_and_a_trigger_is_noticed() {
    check(
        add,
        BASE,
        &[
            case(
                "DROP INDEX orders_ref; CREATE INDEX orders_ref ON orders(ref, note)",
                &["index `orders_ref` is `columns ref, note`, expected `columns ref`"],
            ),
            case(
                "DROP INDEX orders_ref; CREATE INDEX orders_ref ON orders(ref DESC)",
                &["index `orders_ref` is `columns ref desc`, expected `columns ref`"],
            ),
            case(
                "DROP INDEX orders_ref; CREATE INDEX orders_ref ON orders(ref COLLATE BINARY)",
                &["index `orders_ref` is `columns ref collate binary`, expected `columns ref`"],
            ),
            case(
                "DROP INDEX orders_ref; CREATE UNIQUE INDEX orders_ref ON orders(ref)",
                &["index `orders_ref` is `unique`, expected `no unique`"],
            ),
            case(
                "DROP INDEX orders_ref; CREATE INDEX orders_ref ON orders(ref) WHERE note IS NULL",
                &["index `orders_ref` is `where note is null`, expected `no where`"],
            ),
            case(
                "DROP INDEX orders_once; CREATE UNIQUE INDEX orders_once ON orders(amount, upper(note)) WHERE amount > 5",
                &["index `orders_once` is `columns amount, upper(note)`, expected `columns amount, lower(note)`"],
            ),
            case(
                "DROP INDEX orders_once; CREATE UNIQUE INDEX orders_once ON orders(amount, lower(note)) WHERE amount > 6",
                &["index `orders_once` is `where amount > 6`, expected `where amount > 5`"],
            ),
            case(
                "DROP INDEX orders_ref; CREATE INDEX orders_ref ON customers(name)",
                &["index `orders_ref` is not expected", "index `orders_ref` is missing"],
            ),
            case(
                "DROP VIEW big; CREATE VIEW big AS SELECT id, ref FROM orders WHERE amount > 101",
                &["view `big` is `select id, ref from orders where amount > 101`, \
                   expected `select id, ref from orders where amount > 100`"],
            ),
            case(
                "DROP VIEW big; CREATE VIEW big(a, b) AS SELECT id, ref FROM orders WHERE amount > 100",
                &["view `big` is `columns a, b`, expected `no columns`"],
            ),
            case(
                "DROP TRIGGER stamp; CREATE TRIGGER stamp BEFORE UPDATE OF note ON orders WHEN new.amount > 1
                 BEGIN UPDATE customers SET name = 'x' WHERE id = new.customer; END",
                &["trigger `orders.stamp` is `event before update of note`, expected `event after update of note`"],
            ),
            case(
                "DROP TRIGGER stamp; CREATE TRIGGER stamp AFTER UPDATE OF note ON orders WHEN new.amount > 2
                 BEGIN UPDATE customers SET name = 'x' WHERE id = new.customer; END",
                &["trigger `orders.stamp` is `when new.amount > 2`, expected `when new.amount > 1`"],
            ),
            case(
                "DROP TRIGGER stamp; CREATE TRIGGER stamp AFTER UPDATE OF note ON orders WHEN new.amount > 1
                 BEGIN UPDATE customers SET name = 'X' WHERE id = new.customer; END",
                &["trigger `orders.stamp` is `update customers set name = 'X' where id = new.customer;`, \
                   expected `update customers set name = 'x' where id = new.customer;`"],
            ),
        ],
        "{}",
    );
}

/// Covers row 58 of docs/failures.md.
#[test]
fn what_is_no_change_of_the_schema_is_no_drift() {
    check(
        add,
        BASE,
        &[
            case("VACUUM", &[]),
            case("ANALYZE", &[]),
            case("INSERT INTO orders(ref, amount) VALUES ('B', 8), ('C', 9); DELETE FROM orders WHERE ref = 'C'", &[]),
            case("UPDATE sqlite_sequence SET seq = 1000", &[]),
            case("INSERT INTO texts VALUES ('some words')", &[]),
            case("PRAGMA user_version = 7; PRAGMA application_id = 9; PRAGMA journal_mode = WAL", &[]),
            case("REINDEX", &[]),
            case("CREATE TEMP TABLE mine(a); CREATE TEMP TRIGGER t AFTER INSERT ON orders BEGIN SELECT 1; END", &[]),
            case("CREATE TABLE SCHEMA_migrations(version); CREATE INDEX m ON schema_migrations(version)", &[]),
            case("CREATE TABLE mtmigrate_journal(a); CREATE TABLE refinery_schema_history(b)", &[]),
            case("ALTER TABLE orders RENAME TO other; ALTER TABLE other RENAME TO orders", &[]),
            case("ALTER TABLE customers RENAME COLUMN name TO x; ALTER TABLE customers RENAME COLUMN x TO name", &[]),
            case("ALTER TABLE customers DROP COLUMN region; ALTER TABLE customers ADD COLUMN region TEXT", &[]),
            case(customers!("customers(region TEXT, id INTEGER, name TEXT NOT NULL, PRIMARY KEY (id))"), &[]),
            case(
                customers!(
                    "\"customers\" -- who buys\n (\n[id] integer primary key asc, `name`/* of a person */text not null,\
                     region TEXT DEFAULT NULL)"
                ),
                &[],
            ),
            case("DROP INDEX orders_ref; create index orders_ref on `orders` ( [ref] COLLATE nocase ASC )", &[]),
            case(
                "DROP INDEX orders_once; CREATE UNIQUE INDEX orders_once ON orders(amount,LOWER(\"note\"))WHERE amount>5",
                &[],
            ),
            case(
                "DROP VIEW big; CREATE VIEW [big] as select\n\"id\",ref /* it */ from orders -- x\n where amount>100",
                &[],
            ),
            case(
                "DROP TRIGGER stamp; CREATE TRIGGER IF NOT EXISTS \"stamp\" after update of note on orders for each row
                 when new . amount>1 begin update customers set name='x' where id=NEW.customer ; end",
                &[],
            ),
            case("DROP TABLE texts; CREATE VIRTUAL TABLE texts USING FTS5( body,tokenize='porter' )", &[]),
        ],
        "{}",
    );
}

#[test]
fn comments_and_grants_are_nothing_that_a_file_has() {
    let none = &[case("VACUUM", &[]), case("DROP VIEW big", &["view `big` is missing"])];
    check(add, BASE, none, "{ include: [comments, grants] }");
}

/// Tables and indexes in every spelling that a draft must find again.
const SPELLINGS: &str = "
    CREATE TABLE \"order\"(\"a b\" TEXT COLLATE NOCASE, key TEXT DEFAULT (lower('X') || 'y'), [group] INTEGER NOT NULL
        ON CONFLICT REPLACE DEFAULT -5, PRIMARY KEY (\"group\" DESC, key COLLATE RTRIM) ON CONFLICT IGNORE) WITHOUT ROWID;
    CREATE TABLE parts(id INTEGER PRIMARY KEY AUTOINCREMENT, x BLOB DEFAULT x'00ff', at TEXT DEFAULT CURRENT_TIMESTAMP,
        stored TEXT AS (upper(x)) STORED, named INT CONSTRAINT \"at most\" CHECK (named < 9), f REAL DEFAULT 1.5e3,
        whole INT REFERENCES parts ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED, quote TEXT DEFAULT 'it''s',
        UNIQUE (x, named) ON CONFLICT FAIL, UNIQUE (at), CHECK (x <> ')'), CHECK (x <> ')'),
        CONSTRAINT pair FOREIGN KEY (x, named) REFERENCES \"order\"(\"a b\", key) ON UPDATE CASCADE) STRICT;
    CREATE INDEX \"the index\" ON \"order\"(\"a b\" COLLATE BINARY DESC, length(key)) WHERE key IS NOT NULL;
";

#[test]
fn a_draft_that_was_run_leaves_only_what_it_said() {
    let parts = SPELLINGS.replace(" STRICT", "");
    let full =
        format!("{BASE}{parts}ALTER TABLE customers ADD COLUMN since TEXT NOT NULL DEFAULT 'once' COLLATE RTRIM;");
    let lacking = [
        // Nothing at all is there.
        ("", &["view `big` is missing", "trigger `orders.stamp` is missing", "table `texts` is missing"][..]),
        ("DROP INDEX orders_ref; DROP INDEX orders_once; DROP INDEX \"the index\"", &[]),
        ("ALTER TABLE customers DROP COLUMN since; ALTER TABLE customers DROP COLUMN region", &[]),
        ("ALTER TABLE orders DROP COLUMN total", &[]),
        ("DROP TABLE \"order\"; DROP TABLE facts", &[]),
        ("DROP TABLE parts", &[]),
        (
            "ALTER TABLE parts DROP COLUMN stored; ALTER TABLE parts DROP COLUMN quote; ALTER TABLE parts DROP COLUMN f",
            &["column `parts.stored` is missing"],
        ),
        (
            "DROP TRIGGER stamp; DROP VIEW big; DROP TABLE texts; CREATE TABLE extra(a)",
            &[
                "view `big` is missing",
                "table `extra` is not expected",
                "column `extra.a` is not expected",
                "trigger `orders.stamp` is missing",
                "table `texts` is missing",
            ],
        ),
    ];
    let mut fleet = Fleet::new();
    fleet.sqlite("full");
    fleet.execute("full", &full);
    for (no, (change, _)) in lacking.iter().enumerate() {
        let tenant = format!("t{no}");
        fleet.sqlite(&tenant);
        match change.is_empty() {
            true => fleet.execute(&tenant, ""),
            false => fleet.execute(&tenant, &format!("{full}{change}")),
        }
    }
    let before = inspected(&fleet);
    for (no, (change, said)) in lacking.iter().enumerate() {
        let repair = repair_sql(EngineKind::Sqlite, &before[0], &before[no + 1], &Ignores::default());
        let left: Vec<String> = repair.left.iter().map(Difference::sentence).collect();
        assert_eq!(left, *said, "{change}");
        fleet.execute(&format!("t{no}"), &format!("{};", repair.statements.join(";\n")));
    }
    let after = inspected(&fleet);
    for (no, (change, said)) in lacking.iter().enumerate() {
        let repair = repair_sql(EngineKind::Sqlite, &after[0], &after[no + 1], &Ignores::default());
        assert!(repair.statements.is_empty(), "{change}");
        assert_eq!(repair.left.len(), said.len(), "{change}: {:?}", repair.left);
    }
}
