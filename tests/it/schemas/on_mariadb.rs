//! What is drift on this engine, and what is not.

mod alike;
mod expected;

use super::{Case, check};
use crate::support::{Fleet, mariadb};

const BASE: &str = "
CREATE TABLE customers (id int AUTO_INCREMENT PRIMARY KEY, email varchar(190) NOT NULL UNIQUE, a int, b int,
    UNIQUE KEY pair (a, b)) COMMENT 'who buys';
CREATE TABLE orders (id bigint NOT NULL PRIMARY KEY, customer int NOT NULL, ref varchar(40) DEFAULT 'x', note text,
    total decimal(10,2) NOT NULL DEFAULT 0.00, state enum('new','paid') NOT NULL DEFAULT 'new', flag tinyint(1),
    made timestamp(3) NOT NULL DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3), stock int unsigned,
    twice int AS (stock * 2) VIRTUAL, place point NOT NULL, a int, b int,
    KEY orders_ref (ref(10)), KEY state_total (state, total), FULLTEXT KEY note_words (note),
    FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE,
    CONSTRAINT pair_of FOREIGN KEY (a, b) REFERENCES customers (a, b),
    CHECK (total >= 0), CONSTRAINT stocked CHECK (stock < 1000));
CREATE TABLE parts (id int, made date, KEY parts_id (id)) PARTITION BY RANGE (id)
    (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20));
CREATE TABLE logs (id int, words varchar(20), KEY (id)) ENGINE=MyISAM;
CREATE TABLE kept (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;
CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 2 MAXVALUE 1000 CACHE 10;
CREATE VIEW paid AS SELECT id, total FROM orders WHERE state = 'paid';
CREATE FUNCTION vat(amount decimal(10,2)) RETURNS decimal(10,2) DETERMINISTIC RETURN amount * 0.2;
CREATE PROCEDURE tidy(IN days int, OUT gone int) BEGIN DELETE FROM orders WHERE stock = days; SET gone = 1; END;
CREATE TRIGGER orders_set BEFORE INSERT ON orders FOR EACH ROW SET NEW.stock = 1;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM logs;
CREATE EVENT monthly ON SCHEDULE EVERY 1 MONTH ENDS '2030-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE DO DELETE FROM parts;
";

fn case(change: &'static str, said: &'static [&'static str]) -> Case {
    Case { change, said }
}

fn add(fleet: &mut Fleet, name: &str) {
    fleet.mariadb(name, mariadb(0));
}

#[test]
fn every_change_of_a_table_is_named() {
    check(
        add,
        BASE,
        &[
            case(
                "CREATE TABLE more (id int PRIMARY KEY)",
                &[
                    "table `more` is not expected",
                    "column `more.id` is not expected",
                    "constraint `more.primary key` is not expected",
                ],
            ),
            case(
                "DROP TABLE logs",
                &[
                    "table `logs` is missing",
                    "column `logs.id` is missing",
                    "column `logs.words` is missing",
                    "index `id` is missing",
                ],
            ),
            case(
                "RENAME TABLE logs TO log",
                &[
                    "table `log` is not expected",
                    "column `log.id` is not expected",
                    "column `log.words` is not expected",
                    "index `id` is not expected",
                    "table `logs` is missing",
                    "column `logs.id` is missing",
                    "column `logs.words` is missing",
                    "index `id` is missing",
                ],
            ),
            case("ALTER TABLE logs ENGINE=InnoDB", &["table `logs` is `no engine`, expected `engine MyISAM`"]),
            case("ALTER TABLE logs ENGINE=Aria", &["table `logs` is `engine Aria`, expected `engine MyISAM`"]),
            case(
                "ALTER TABLE customers CHARACTER SET latin1",
                &[
                    "table `customers` is `character set latin1, collation latin1_swedish_ci`, expected `character set utf8mb4, collation utf8mb4_general_ci`",
                    "column `customers.email` is `character set utf8mb4, collation utf8mb4_general_ci`, expected `no character set, no collation`",
                ],
            ),
            case(
                "ALTER TABLE customers COLLATE utf8mb4_bin",
                &[
                    "table `customers` is `collation utf8mb4_bin`, expected `collation utf8mb4_general_ci`",
                    "column `customers.email` is `collation utf8mb4_general_ci`, expected `no collation`",
                ],
            ),
            case(
                "ALTER TABLE customers CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
                &["table `customers` is `collation utf8mb4_unicode_ci`, expected `collation utf8mb4_general_ci`"],
            ),
            case(
                "ALTER TABLE customers ROW_FORMAT=COMPACT",
                &["table `customers` is `row format compact`, expected `no row format`"],
            ),
            case(
                "ALTER TABLE logs ROW_FORMAT=DYNAMIC",
                &["table `logs` is `row format dynamic`, expected `no row format`"],
            ),
            case(
                "SET system_versioning_alter_history=KEEP; ALTER TABLE kept DROP SYSTEM VERSIONING",
                &["table `kept` is `no system versioning`, expected `system versioning`"],
            ),
            case(
                "ALTER TABLE parts ADD PARTITION (PARTITION p2 VALUES LESS THAN MAXVALUE)",
                &["table `parts` is `partition p2 MAXVALUE`, expected `no partition p2`"],
            ),
            case(
                "ALTER TABLE parts DROP PARTITION p1",
                &["table `parts` is `no partition p1`, expected `partition p1 20`"],
            ),
            case(
                "ALTER TABLE parts REORGANIZE PARTITION p1 INTO (PARTITION p1 VALUES LESS THAN (30))",
                &["table `parts` is `partition p1 30`, expected `partition p1 20`"],
            ),
            case(
                "ALTER TABLE parts REMOVE PARTITIONING",
                &[
                    "table `parts` is `no partition by, no partition p0, no partition p1`, expected `partition by RANGE (`id`), partition p0 10, partition p1 20`",
                ],
            ),
            case("ALTER TABLE parts PARTITION BY HASH (id) PARTITIONS 2", &["table `parts` has another definition"]),
            case(
                "ALTER TABLE parts PARTITION BY RANGE (id) SUBPARTITION BY HASH (to_days(made)) SUBPARTITIONS 2 \
                  (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
                &["table `parts` has another definition"],
            ),
            case(
                "CREATE TABLE mem (id int, KEY (id)) ENGINE=MEMORY",
                &["table `mem` is not expected", "column `mem.id` is not expected", "index `id` is not expected"],
            ),
        ],
        "{}",
    );
}

#[test]
fn every_change_of_a_column_is_named() {
    check(
        add,
        BASE,
        &[
            case("ALTER TABLE orders ADD extra int", &["column `orders.extra` is not expected"]),
            case("ALTER TABLE orders DROP flag", &["column `orders.flag` is missing"]),
            case(
                "ALTER TABLE orders RENAME COLUMN flag TO flagged",
                &["column `orders.flag` is missing", "column `orders.flagged` is not expected"],
            ),
            case(
                "ALTER TABLE orders MODIFY note varchar(80)",
                &["column `orders.note` is `varchar(80)`, expected `text`"],
            ),
            case("ALTER TABLE orders MODIFY stock int", &["column `orders.stock` is `int`, expected `int unsigned`"]),
            case(
                "ALTER TABLE orders MODIFY stock bigint unsigned",
                &["column `orders.stock` is `bigint unsigned`, expected `int unsigned`"],
            ),
            case(
                "ALTER TABLE orders MODIFY flag tinyint(4)",
                &["column `orders.flag` is `tinyint`, expected `tinyint(1)`"],
            ),
            case(
                "ALTER TABLE orders MODIFY stock int(6) unsigned zerofill",
                &["column `orders.stock` is `int(6) unsigned zerofill`, expected `int unsigned`"],
            ),
            case(
                "ALTER TABLE orders MODIFY total decimal(12,2) NOT NULL DEFAULT 0.00",
                &["column `orders.total` is `decimal(12,2)`, expected `decimal(10,2)`"],
            ),
            case(
                "ALTER TABLE orders MODIFY state enum('new','paid','sent') NOT NULL DEFAULT 'new'",
                &["column `orders.state` is `enum('new','paid','sent')`, expected `enum('new','paid')`"],
            ),
            case(
                "ALTER TABLE orders MODIFY ref varchar(40) NOT NULL DEFAULT 'x'",
                &["column `orders.ref` is `not null`, expected `nullable`"],
            ),
            case(
                "ALTER TABLE orders MODIFY ref varchar(40) DEFAULT 'y'",
                &["column `orders.ref` is `default 'y'`, expected `default 'x'`"],
            ),
            case(
                "ALTER TABLE orders MODIFY ref varchar(40)",
                &["column `orders.ref` is `no default`, expected `default 'x'`"],
            ),
            case(
                "ALTER TABLE orders MODIFY ref varchar(40) DEFAULT 'NULL'",
                &["column `orders.ref` is `default 'NULL'`, expected `default 'x'`"],
            ),
            case(
                "ALTER TABLE orders MODIFY flag tinyint(1) DEFAULT (1 + 1)",
                &["column `orders.flag` is `default (1 + 1)`, expected `no default`"],
            ),
            case(
                "ALTER TABLE orders MODIFY note text DEFAULT ''",
                &["column `orders.note` is `default ''`, expected `no default`"],
            ),
            case(
                "ALTER TABLE orders MODIFY ref varchar(40) CHARACTER SET latin1 DEFAULT 'x'",
                &[
                    "column `orders.ref` is `character set latin1, collation latin1_swedish_ci`, expected `no character set, no collation`",
                ],
            ),
            case(
                "ALTER TABLE orders MODIFY ref varchar(40) COLLATE utf8mb4_bin DEFAULT 'x'",
                &["column `orders.ref` is `collation utf8mb4_bin`, expected `no collation`"],
            ),
            case(
                "ALTER TABLE orders MODIFY made timestamp(3) NOT NULL DEFAULT current_timestamp(3)",
                &["column `orders.made` is `no on update`, expected `on update current_timestamp(3)`"],
            ),
            case(
                "ALTER TABLE orders MODIFY made timestamp NOT NULL DEFAULT current_timestamp ON UPDATE current_timestamp",
                &["column `orders.made` has another definition"],
            ),
            case(
                "ALTER TABLE orders MODIFY twice int AS (stock * 3) VIRTUAL",
                &["column `orders.twice` is `generated `stock` * 3`, expected `generated `stock` * 2`"],
            ),
            case(
                "ALTER TABLE orders DROP twice, ADD twice int AS (stock * 2) STORED",
                &["column `orders.twice` is `stored`, expected `no stored`"],
            ),
            case(
                "ALTER TABLE orders DROP twice, ADD twice int",
                &["column `orders.twice` is `no generated`, expected `generated `stock` * 2`"],
            ),
            case(
                "ALTER TABLE orders MODIFY flag tinyint(1) INVISIBLE",
                &["column `orders.flag` is `invisible`, expected `no invisible`"],
            ),
            case(
                "SET foreign_key_checks=0; ALTER TABLE customers MODIFY id int",
                &["column `customers.id` is `no auto_increment`, expected `auto_increment`"],
            ),
            case(
                "SET system_versioning_alter_history=KEEP; ALTER TABLE kept MODIFY v int WITHOUT SYSTEM VERSIONING",
                &["column `kept.v` is `extra without system versioning`, expected `no extra`"],
            ),
            case(
                "ALTER TABLE orders ADD `odd ``name``` json",
                &["column `orders.odd `name`` is not expected", "constraint `orders.odd `name`` is not expected"],
            ),
            case(
                "ALTER TABLE orders MODIFY flag tinyint(1) DEFAULT nextval(numbers)",
                &["column `orders.flag` is `default nextval(`numbers`)`, expected `no default`"],
            ),
        ],
        "{}",
    );
}

#[test]
fn every_change_of_an_index_or_a_constraint_is_named() {
    check(
        add,
        BASE,
        &[
            case("CREATE INDEX orders_stock ON orders (stock)", &["index `orders_stock` is not expected"]),
            case("DROP INDEX orders_ref ON orders", &["index `orders_ref` is missing"]),
            case(
                "ALTER TABLE orders RENAME INDEX orders_ref TO ref",
                &["index `orders_ref` is missing", "index `ref` is not expected"],
            ),
            case(
                "ALTER TABLE orders DROP INDEX orders_ref, ADD INDEX orders_ref (ref(20))",
                &["index `orders_ref` is `columns ref(20)`, expected `columns ref(10)`"],
            ),
            case(
                "ALTER TABLE orders DROP INDEX orders_ref, ADD UNIQUE INDEX orders_ref (ref(10))",
                &["index `orders_ref` is `unique`, expected `no unique`"],
            ),
            case(
                "ALTER TABLE orders DROP INDEX state_total, ADD INDEX state_total (total, state)",
                &["index `state_total` is `columns total, state`, expected `columns state, total`"],
            ),
            case(
                "ALTER TABLE orders DROP INDEX state_total, ADD INDEX state_total (state, total DESC)",
                &["index `state_total` is `columns state, total desc`, expected `columns state, total`"],
            ),
            case(
                "ALTER TABLE orders DROP INDEX note_words, ADD INDEX note_words (note(10))",
                &["index `note_words` is `columns note(10), no method`, expected `columns note, method FULLTEXT`"],
            ),
            case("ALTER TABLE orders ADD SPATIAL INDEX place_at (place)", &["index `place_at` is not expected"]),
            case(
                "ALTER TABLE orders ALTER INDEX state_total IGNORED",
                &["index `state_total` is `ignored`, expected `no ignored`"],
            ),
            case("ALTER TABLE logs DISABLE KEYS", &["index `id` is `disabled`, expected `no disabled`"]),
            case("ALTER TABLE orders DROP PRIMARY KEY", &["constraint `orders.primary key` is missing"]),
            case(
                "ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (id, customer)",
                &["constraint `orders.primary key` is `columns id, customer`, expected `columns id`"],
            ),
            case(
                "ALTER TABLE orders DROP FOREIGN KEY orders_ibfk_1",
                &["constraint `orders.foreign key (customer)` is missing"],
            ),
            case(
                "ALTER TABLE orders DROP FOREIGN KEY orders_ibfk_1, ADD FOREIGN KEY (customer) REFERENCES customers (id)",
                &["constraint `orders.foreign key (customer)` is `no on delete`, expected `on delete cascade`"],
            ),
            case(
                "ALTER TABLE orders DROP FOREIGN KEY pair_of; ALTER TABLE orders ADD CONSTRAINT pair_of FOREIGN KEY (a, b) \
                  REFERENCES customers (a, b) ON UPDATE SET NULL",
                &["constraint `orders.pair_of` is `on update set null`, expected `no on update`"],
            ),
            case(
                "ALTER TABLE orders DROP FOREIGN KEY pair_of, ADD CONSTRAINT pair FOREIGN KEY (a, b) \
                  REFERENCES customers (a, b)",
                &[
                    "constraint `orders.pair` is not expected",
                    "constraint `orders.pair_of` is missing",
                    "index `pair` is not expected",
                    "index `pair_of` is missing",
                ],
            ),
            case(
                "ALTER TABLE orders DROP FOREIGN KEY pair_of; ALTER TABLE orders ADD CONSTRAINT pair_of FOREIGN KEY (a) \
                  REFERENCES customers (a)",
                &[
                    "constraint `orders.pair_of` is `foreign key a, references customers (a)`, expected `foreign key a, b, references customers (a, b)`",
                ],
            ),
            case(
                "ALTER TABLE orders ADD CHECK (flag < 2)",
                &["constraint `orders.check (`flag` < 2)` is not expected"],
            ),
            case(
                "ALTER TABLE orders DROP CONSTRAINT CONSTRAINT_1",
                &["constraint `orders.check (`total` >= 0)` is missing"],
            ),
            case(
                "ALTER TABLE orders DROP CONSTRAINT stocked, ADD CONSTRAINT stocked CHECK (stock < 2000)",
                &["constraint `orders.stocked` is `check `stock` < 2000`, expected `check `stock` < 1000`"],
            ),
            case(
                "ALTER TABLE orders MODIFY flag tinyint(1) CHECK (flag in (0, 1))",
                &["constraint `orders.flag` is not expected"],
            ),
        ],
        "{}",
    );
}

#[test]
fn every_change_of_a_view_a_routine_a_trigger_an_event_or_a_sequence_is_named() {
    check(
        add,
        BASE,
        &[
            case("CREATE VIEW more AS SELECT 1 AS one", &["view `more` is not expected"]),
            case("DROP VIEW paid", &["view `paid` is missing"]),
            case(
                "CREATE OR REPLACE VIEW paid AS SELECT id, total FROM orders WHERE state = 'new'",
                &["view `paid` has another definition"],
            ),
            case(
                "CREATE OR REPLACE VIEW paid AS SELECT id, total FROM orders WHERE state = 'paid' WITH LOCAL CHECK OPTION",
                &["view `paid` is `check option local`, expected `no check option`"],
            ),
            case(
                "CREATE OR REPLACE SQL SECURITY INVOKER VIEW paid AS SELECT id, total FROM orders WHERE state = 'paid'",
                &["view `paid` is `security invoker`, expected `no security`"],
            ),
            case(
                "CREATE OR REPLACE ALGORITHM=MERGE VIEW paid AS SELECT id, total FROM orders WHERE state = 'paid'",
                &["view `paid` is `algorithm merge`, expected `no algorithm`"],
            ),
            case("DROP FUNCTION vat", &["function `vat` is missing"]),
            case(
                "CREATE OR REPLACE FUNCTION vat(amount decimal(10,2)) RETURNS decimal(10,2) DETERMINISTIC RETURN amount * 0.3",
                &["function `vat` is `RETURN amount * 0.3`, expected `RETURN amount * 0.2`"],
            ),
            case(
                "CREATE OR REPLACE FUNCTION vat(amount decimal(12,2)) RETURNS decimal(10,2) DETERMINISTIC RETURN amount * 0.2",
                &["function `vat` is `parameters amount decimal(12,2)`, expected `parameters amount decimal(10,2)`"],
            ),
            case(
                "CREATE OR REPLACE FUNCTION vat(amount decimal(10,2)) RETURNS decimal(12,2) DETERMINISTIC RETURN amount * 0.2",
                &["function `vat` is `returns decimal(12,2)`, expected `returns decimal(10,2)`"],
            ),
            case(
                "CREATE OR REPLACE FUNCTION vat(amount decimal(10,2)) RETURNS decimal(10,2) RETURN amount * 0.2",
                &["function `vat` is `no deterministic`, expected `deterministic`"],
            ),
            case("ALTER FUNCTION vat NO SQL", &["function `vat` is `access no sql`, expected `no access`"]),
            case(
                "ALTER PROCEDURE tidy SQL SECURITY INVOKER",
                &["procedure `tidy` is `security invoker`, expected `no security`"],
            ),
            case(
                "CREATE OR REPLACE PROCEDURE tidy(IN days int, INOUT gone int) BEGIN DELETE FROM orders WHERE stock = days; SET gone = 1; END",
                &[
                    "procedure `tidy` is `parameters days int, inout gone int`, expected `parameters days int, out gone int`",
                ],
            ),
            case("CREATE PROCEDURE more() SELECT 1", &["procedure `more` is not expected"]),
            case("DROP TRIGGER orders_set", &["trigger `orders.orders_set` is missing"]),
            case(
                "CREATE OR REPLACE TRIGGER orders_set BEFORE INSERT ON orders FOR EACH ROW SET NEW.stock = 2",
                &["trigger `orders.orders_set` is `SET NEW.stock = 2`, expected `SET NEW.stock = 1`"],
            ),
            case(
                "CREATE OR REPLACE TRIGGER orders_set BEFORE UPDATE ON orders FOR EACH ROW SET NEW.stock = 1",
                &["trigger `orders.orders_set` is `timing before update`, expected `timing before insert`"],
            ),
            case(
                "CREATE TRIGGER more BEFORE INSERT ON orders FOR EACH ROW FOLLOWS orders_set SET NEW.flag = 1",
                &["trigger `orders.more` is not expected"],
            ),
            case("DROP EVENT nightly", &["event `nightly` is missing"]),
            case(
                "ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY",
                &["event `nightly` is `schedule every 2 day`, expected `schedule every 1 day`"],
            ),
            case("ALTER EVENT nightly DISABLE", &["event `nightly` is `disabled`, expected `no disabled`"]),
            case(
                "ALTER EVENT nightly ON COMPLETION PRESERVE",
                &["event `nightly` is `preserved`, expected `no preserved`"],
            ),
            case(
                "ALTER EVENT nightly DO DELETE FROM parts",
                &["event `nightly` is `DELETE FROM parts`, expected `DELETE FROM logs`"],
            ),
            case(
                "ALTER EVENT monthly ON SCHEDULE EVERY 1 MONTH ENDS '2031-01-01 00:00:00'",
                &["event `monthly` is `ends 2031-01-01 00:00:00`, expected `ends 2030-01-01 00:00:00`"],
            ),
            case(
                "ALTER SEQUENCE numbers INCREMENT BY 3",
                &["sequence `numbers` is `increment 3`, expected `increment 2`"],
            ),
            case(
                "ALTER SEQUENCE numbers MAXVALUE 2000",
                &["sequence `numbers` is `maximum 2000`, expected `maximum 1000`"],
            ),
            case(
                "ALTER SEQUENCE numbers CACHE 20 CYCLE",
                &["sequence `numbers` is `cache 20, cycle`, expected `cache 10, no cycle`"],
            ),
            case("DROP SEQUENCE numbers", &["sequence `numbers` is missing"]),
            case("CREATE SEQUENCE more", &["sequence `more` is not expected"]),
        ],
        "{}",
    );
}
