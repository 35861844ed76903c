//! What is no drift: other names, settings, users and histories of the same schema.

use std::sync::Arc;

use mtmigrate::engine::Server;
use mtmigrate::error::{Code, Result};
use mtmigrate::schema::Snapshot;
use mtmigrate::tenant::Tenant;

use super::super::{Case, check, inspected};
use super::expected::with_server;
use super::{BASE, add, case};
use crate::support::{CANARY, Fleet, MariaDb, Options, mariadb};

/// Covers row 58 of docs/failures.md.
#[test]
fn what_is_done_to_data_and_what_only_looks_otherwise_is_no_drift() {
    let cases: Vec<Case> = [
        "INSERT INTO customers (email) VALUES ('a'), ('b'); ALTER TABLE customers AUTO_INCREMENT = 1000",
        "ANALYZE TABLE customers, orders; OPTIMIZE TABLE customers; CHECK TABLE logs",
        "SELECT nextval(numbers), nextval(numbers)",
        "ALTER TABLE orders DROP FOREIGN KEY pair_of, DROP INDEX pair_of; ALTER TABLE orders ADD CONSTRAINT pair_of \
         FOREIGN KEY (a, b) REFERENCES customers (a, b) ON UPDATE NO ACTION ON DELETE RESTRICT",
        "ALTER TABLE orders MODIFY a int(11), MODIFY b int(5)",
        "ALTER TABLE orders MODIFY a int FIRST",
        "ALTER TABLE orders ADD FOREIGN KEY (a) REFERENCES customers (a); ALTER TABLE orders DROP FOREIGN KEY orders_ibfk_1; \
         ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE; \
         ALTER TABLE orders DROP FOREIGN KEY orders_ibfk_2",
        "ALTER TABLE orders DROP CONSTRAINT CONSTRAINT_1; ALTER TABLE orders ADD CHECK (flag < 9), ADD CHECK (total >= 0); \
         ALTER TABLE orders DROP CONSTRAINT CONSTRAINT_1",
        "SET sql_mode='ANSI_QUOTES,PIPES_AS_CONCAT'; CREATE OR REPLACE PROCEDURE tidy(IN days int, OUT gone int) BEGIN \
         DELETE FROM orders WHERE stock = days; SET gone = 1; END",
        "SET NAMES latin1; CREATE OR REPLACE VIEW paid AS SELECT id, total FROM orders WHERE state = 'paid'",
        "CREATE OR REPLACE DEFINER='nobody'@'%' VIEW paid AS SELECT id, total FROM orders WHERE state = 'paid'",
        "CREATE OR REPLACE DEFINER='nobody'@'%' TRIGGER orders_set BEFORE INSERT ON orders FOR EACH ROW SET NEW.stock = 1",
        "CREATE OR REPLACE PROCEDURE tidy(IN days int, OUT gone int) BEGIN -- tidies\n DELETE FROM orders\n WHERE \
         stock = days; /* all */ SET gone = 1; END",
        "ALTER TABLE customers COMMENT 'who pays'; ALTER TABLE customers MODIFY email varchar(190) NOT NULL COMMENT 'c'",
        "ALTER EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 03:00:00'",
        "CREATE EVENT job ON SCHEDULE AT '2037-01-01 00:00:00' DO DELETE FROM logs",
        "CREATE TABLE flyway_schema_history (id int PRIMARY KEY); CREATE TABLE Knex_Migrations (id int, KEY (id)); \
         CREATE TRIGGER ours BEFORE INSERT ON flyway_schema_history FOR EACH ROW SET NEW.id = 1; \
         CREATE TABLE mtmigrate_journal (id int)",
        "GRANT SELECT ON customers TO CURRENT_USER",
        "ALTER TABLE orders STATS_PERSISTENT=0",
        "ALTER TABLE orders ROW_FORMAT=DYNAMIC",
    ]
    .into_iter()
    .map(|change| case(change, &[]))
    .collect();
    check(add, BASE, &cases, "{}");
}

#[test]
fn comments_and_grants_are_said_where_they_are_asked_for() {
    check(
        add,
        BASE,
        &[
            case(
                "ALTER TABLE customers COMMENT 'who pays'",
                &["table `customers` is `comment who pays`, expected `comment who buys`"],
            ),
            case(
                "ALTER TABLE orders MODIFY note text COMMENT 'words'",
                &["column `orders.note` is `comment words`, expected `no comment`"],
            ),
            case(
                "ALTER TABLE orders DROP INDEX orders_ref, ADD INDEX orders_ref (ref(10)) COMMENT 'i'",
                &["index `orders_ref` is `comment i`, expected `no comment`"],
            ),
            case(
                "ALTER PROCEDURE tidy COMMENT 'tidies'",
                &["procedure `tidy` is `comment tidies`, expected `no comment`"],
            ),
            case(
                "ALTER EVENT nightly COMMENT 'at night'",
                &["event `nightly` is `comment at night`, expected `no comment`"],
            ),
            case("ALTER DATABASE COMMENT 'a tenant'", &["schema `own` is not expected"]),
            case(
                "CREATE OR REPLACE USER one; GRANT SELECT, INSERT ON customers TO one",
                &["table `customers` is `grants insert, select to 'one'@'%'`, expected `no grants`"],
            ),
            case(
                "CREATE OR REPLACE USER two; GRANT UPDATE (note) ON orders TO two",
                &["column `orders.note` is `grants update to 'two'@'%'`, expected `no grants`"],
            ),
            case(
                "CREATE OR REPLACE USER three; EXECUTE IMMEDIATE CONCAT('GRANT SELECT ON `', REPLACE(DATABASE(), '_', '\\\\_'), '`.* TO three WITH GRANT OPTION')",
                &["schema `own` is not expected"],
            ),
        ],
        "{ include: [comments, grants] }",
    );
}

/// Fails unless all descriptions are one; shows the first difference otherwise.
#[track_caller]
fn assert_alike(snapshots: &[Arc<Snapshot>]) {
    for snapshot in snapshots {
        assert_eq!(snapshot.to_text(), snapshots[0].to_text());
        assert!(Arc::ptr_eq(snapshot, &snapshots[0]) || snapshot.fingerprint() == snapshots[0].fingerprint());
    }
}

const HOSTILE: &str = "
CREATE TABLE orders (id int PRIMARY KEY, total int DEFAULT 1);
CREATE TABLE k (id int PRIMARY KEY, orders int, FOREIGN KEY (orders) REFERENCES orders (id));
CREATE SEQUENCE numbers;
ALTER TABLE orders MODIFY total int DEFAULT nextval(numbers);
CREATE FUNCTION total(i int) RETURNS int RETURN i;
CREATE VIEW v AS SELECT k.id, o.total, total(1) AS t, 'it''s `k`.`orders` \\\\' AS q FROM orders o JOIN k ON k.orders = o.id;
CREATE VIEW w AS SELECT k.id, k.t, orders.total AS x FROM v k JOIN orders ON orders.id = k.id;
";

/// What names its own database, in every way that there is; `DB` is its quoted name.
const QUALIFIED: &str = "
CREATE PROCEDURE p() BEGIN SELECT * FROM DB.orders; SELECT DB . k.id, 'DB.k' FROM DB.k; END;
CREATE TRIGGER t BEFORE INSERT ON k FOR EACH ROW SET NEW.orders = (SELECT max(id) FROM DB.orders);
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM DB.k;
CREATE VIEW y AS SELECT DB.orders.id FROM DB.orders WHERE DB.total(1) = 1;
";

#[test]
fn a_databases_own_name_makes_no_difference_however_it_is_spelled() {
    let mut fleet = Fleet::new();
    let server = MariaDb::start(Options::default());
    let names = ["plain", "orders", "k", "o", "total", "select", "it's `odd` \"too\"; --", "a-b c.d", "numbers", "ünï"];
    for (no, database) in names.iter().enumerate() {
        let name = format!("t{no}");
        fleet.mariadb_named(&name, &server, database);
        fleet.execute(&name, HOSTILE);
        let quoted = format!("`{}`", database.replace('`', "``"));
        let body = QUALIFIED.replace("'DB.k'", "'a literal'").replace("DB", &quoted);
        fleet.execute(&name, &body);
    }
    let snapshots = inspected(&fleet);
    assert_alike(&snapshots);
    assert!(snapshots.iter().all(|snapshot| Arc::ptr_eq(snapshot, &snapshots[0])));
    assert!(!snapshots[0].to_text().contains("plain"));
}

#[test]
fn a_name_in_a_literal_is_no_name_of_the_database() {
    let mut fleet = Fleet::new();
    let server = MariaDb::start(Options::default());
    for database in ["one", "two"] {
        fleet.mariadb_named(database, &server, database);
        let sql = format!(
            "CREATE TABLE k (id int); CREATE VIEW v AS SELECT '`{database}`.`k`' AS q FROM k; \
             CREATE PROCEDURE p() SELECT '{database}.k'"
        );
        fleet.execute(database, &sql);
    }
    let snapshots = inspected(&fleet);
    let said: Vec<String> =
        mtmigrate::schema::differences(&snapshots[0], &snapshots[1]).iter().map(|d| d.sentence()).collect();
    assert_eq!(said.len(), 2, "{said:#?}");
}

#[test]
fn servers_with_other_settings_have_the_same_schemas() {
    let settings: [&[(&str, &str)]; 4] = [
        &[],
        &[("lower_case_table_names", "1"), ("sql_mode", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH")],
        &[("lower_case_table_names", "1"), ("group-concat-max-len", "4")],
        &[("max-error-count", "0"), ("default-time-zone", "+05:00")],
    ];
    let mut fleet = Fleet::new();
    for (no, conf) in settings.iter().enumerate() {
        let server = MariaDb::start(Options { conf, ..Options::default() });
        let name = format!("t{no}");
        fleet.mariadb_named(&name, &server, "Tenant");
        fleet.execute(&name, BASE);
        fleet.execute(
            &name,
            "CREATE TABLE Invoices (Id int PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES customers (id))",
        );
        fleet.execute(&name, "CREATE VIEW Big AS SELECT I.Id, C.email FROM Invoices I JOIN customers C ON I.o = C.id");
        if no > 0 {
            server.execute("", "SET GLOBAL sql_select_limit = 2; SET GLOBAL sql_quote_show_create = 0");
        }
    }
    assert_alike(&inspected(&fleet));
}

#[test]
fn two_tables_of_one_database_that_differ_in_case_are_two() {
    let mut fleet = Fleet::new();
    fleet.mariadb("t", mariadb(0));
    fleet.execute("t", "CREATE TABLE Orders (id int); CREATE TABLE orders (id int)");
    let names: Vec<String> = inspected(&fleet)[0].objects().iter().map(|object| object.name.clone()).collect();
    assert_eq!(names, ["Orders", "Orders.id", "orders", "orders.id"]);
}

#[test]
fn under_a_role_that_may_only_read_the_same_is_read_and_without_the_right_to_see_a_definition_it_is_said() {
    let server = MariaDb::start(Options::default());
    let mut fleet = Fleet::new();
    fleet.mariadb_named("all", &server, "own");
    fleet.execute("all", BASE);
    let role = |name: &str, grants: &[&str]| {
        server.execute("", &format!("CREATE USER {name} IDENTIFIED BY '{}'", CANARY.replace('\'', "''")));
        for grant in grants {
            server.execute("", &format!("GRANT {grant} TO {name}"));
        }
    };
    role("reader", &["SELECT, SHOW VIEW, TRIGGER, EVENT ON own.*", "SELECT ON mysql.proc"]);
    role("no_views", &["SELECT, TRIGGER, EVENT ON own.*", "SELECT ON mysql.proc"]);
    role("no_routines", &["SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON own.*"]);
    role("nothing", &[]);
    let read = |fleet: &mut Fleet, user: &str| {
        let url = format!("{:?}", server.url_as(user, CANARY, "127.0.0.1", "own"));
        fleet.set("all", "url", &url);
        try_inspected(fleet).remove(0)
    };
    let whole = inspected(&fleet).remove(0);
    assert_eq!(read(&mut fleet, "reader").expect("a schema").to_text(), whole.to_text());
    for (user, hint) in [("no_views", "GRANT SHOW VIEW ON `own`.*"), ("no_routines", "GRANT SELECT ON mysql.proc")] {
        let refused = read(&mut fleet, user).unwrap_err();
        assert_eq!(refused.code(), Code::NO_PRIVILEGE, "{refused}");
        assert!(refused.what_next().is_some_and(|said| said.contains(hint)), "{refused}");
    }
    assert_eq!(read(&mut fleet, "nothing").unwrap_err().code(), Code::NO_PRIVILEGE);
}

#[test]
fn a_database_that_does_not_exist_is_its_tenants_trouble_alone() {
    let mut fleet = Fleet::new();
    fleet.mariadb("here", mariadb(0)).mariadb("gone", mariadb(0));
    fleet.execute("gone", "EXECUTE IMMEDIATE CONCAT('DROP DATABASE ', DATABASE())");
    let answers = try_inspected(&fleet);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1].as_ref().unwrap_err().code(), Code::NO_DATABASE);
}

/// Reads the schemas of all tenants of a fleet on one server, whatever the answers are.
fn try_inspected(fleet: &Fleet) -> Vec<Result<Arc<Snapshot>>> {
    with_server(fleet, async |server: &dyn Server, tenants: &[&Tenant]| server.inspect(tenants).await)
}
