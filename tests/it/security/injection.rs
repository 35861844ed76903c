//! Texts of strangers that are SQL elsewhere: labels, reasons, comments, errors, and who runs. Names are in `names`.

use crate::support::{Fleet, MariaDb, Options, Postgres};

/// Each ends a literal, a name, a comment or a dollar quote on some engine, and goes on.
const HOSTILE: [&str; 6] = [
    "x'; DROP TABLE orders; --",
    "x\\'; DROP TABLE orders; -- ",
    "$$; DROP TABLE orders; -- $x$",
    "\"; DROP TABLE orders; -- `; DROP DATABASE y; --",
    "*/ DROP TABLE orders; /*!50000 DROP DATABASE y */",
    "ends in a backslash \\",
];

const BYSTANDER: &str = "CREATE TABLE orders (id int); INSERT INTO orders VALUES (7)";

struct World {
    fleet: Fleet,
    postgres: Postgres,
    mariadb: MariaDb,
    shared: String,
    /// What must stay as it is.
    bystanders: [String; 3],
}

impl World {
    /// A tenant on each engine, and beside each of them somebody who is none.
    fn new() -> World {
        let (postgres, mariadb) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
        let shared = postgres.create_database();
        postgres.execute(&shared, &format!("CREATE SCHEMA y; SET search_path TO y; {BYSTANDER}"));
        postgres.create_database_named("y");
        postgres.execute("y", BYSTANDER);
        mariadb.create_database_named("y");
        mariadb.execute("y", BYSTANDER);
        let mut fleet = Fleet::new();
        fleet
            .postgres_database("pg", &postgres)
            .postgres_schema("schema", &postgres, &shared)
            .mariadb("maria", &mariadb)
            .sqlite("lite")
            .changeset("V1__orders.sql", "CREATE TABLE orders (id int);\nINSERT INTO orders (id) VALUES (1);\n");
        let mut world = World { fleet, postgres, mariadb, shared, bystanders: Default::default() };
        world.bystanders = world.look();
        world
    }

    fn look(&self) -> [String; 3] {
        [self.postgres.dump_schema(&self.shared, "y"), self.postgres.dump("y"), self.mariadb.dump("y")]
    }

    /// Nobody else's table is touched, and every tenant has its own, with its row.
    #[track_caller]
    fn assert_unharmed(&self) {
        assert_eq!(self.look(), self.bystanders);
        for tenant in TENANTS {
            assert_eq!(self.fleet.cell(tenant, "SELECT count(*) FROM orders"), "1", "{tenant}");
        }
    }

    /// Every tenant's journal has this text, to the letter.
    #[track_caller]
    fn assert_journalled(&self, tenant: &str, column: &str, text: &str) {
        let rows = self.fleet.query(tenant, &format!("SELECT {column} FROM mtmigrate_journal"));
        let found = rows.iter().any(|row| row[0].as_deref().is_some_and(|cell| cell.contains(text)));
        assert!(found, "{tenant} has no {text:?} in {column}: {rows:?}");
    }
}

const TENANTS: [&str; 4] = ["pg", "schema", "maria", "lite"];

#[test]
fn labels_reasons_and_the_environment_are_no_sql() {
    let mut world = World::new();
    let fleet = &mut world.fleet;
    let labels = serde_json::to_string(&HOSTILE).unwrap();
    for tenant in TENANTS {
        fleet.set(tenant, "labels", &labels);
    }
    for (number, text) in HOSTILE.iter().enumerate() {
        let left_out = format!("left out {number}");
        fleet.sqlite(&left_out);
        fleet.set(&left_out, "quarantined", &serde_json::to_string(text).unwrap());
    }
    for name in ["USER", "LOGNAME", "USERNAME", "HOSTNAME", "PGOPTIONS", "PGUSER", "PGDATABASE"] {
        fleet.env(name, HOSTILE[0]);
    }
    fleet.run(&["up"]).expect(0);
    for text in HOSTILE {
        let labelled = fleet.run(&["up", "--label", text]);
        assert_eq!(labelled.status, 0, "{labelled}");
        fleet.run(&["status", "--label", text, "--check"]).expect(0);
    }
    world.assert_unharmed();
}

#[test]
fn comments_and_strings_of_a_changeset_stay_what_they_are() {
    let mut world = World::new();
    for (number, text) in HOSTILE.iter().enumerate() {
        let version = number + 2;
        let file = format!("V{version}__comment.sql");
        let line_comment = format!("-- {text}\nCREATE TABLE c{version} (id int);\n-- {text}");
        world.fleet.changeset(&file, &line_comment);
        // The text begins a statement, is refused where that is read, and stands in the journal as part of the error.
    }
    world.fleet.run(&["up"]).expect(0);
    world.assert_unharmed();
    for tenant in TENANTS {
        assert_eq!(world.fleet.versions(tenant).len(), HOSTILE.len() + 1, "{tenant}");
    }
}

#[test]
fn what_a_server_says_is_kept_to_the_letter_and_run_by_nobody() {
    for text in HOSTILE {
        let mut world = World::new();
        let literal = text.replace('\'', "''");
        let mysql = literal.replace('\\', "\\\\");
        world
            .fleet
            .changeset("V2__fails.sql", "SELECT 1;")
            .variant("postgres", "V2__fails.sql", &format!("DO $body$ BEGIN RAISE EXCEPTION USING MESSAGE = '{literal}'; END $body$;"))
            .variant("mysql", "V2__fails.sql", &format!("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{mysql}';"))
            .variant("sqlite", "V2__fails.sql", &format!(
                "CREATE TABLE f (a int);\nCREATE TRIGGER g BEFORE INSERT ON f BEGIN SELECT RAISE(ABORT, '{literal}'); END;\nINSERT INTO f VALUES (1);\n"
            ));
        for tenant in TENANTS {
            let failed = world.fleet.run(&["up", "--tenant", tenant]);
            assert!([1, 6].contains(&failed.status), "{failed}");
            let said = text.split_whitespace().collect::<Vec<_>>().join(" ");
            world.assert_journalled(tenant, "error", &said);
        }
        world.assert_unharmed();
        // Only MariaDB can be half applied.
        if world.fleet.status().state("maria") == "half-applied" {
            let reason = ["repair", "--tenant", "maria", "--mark-undone", "--reason", text];
            world.fleet.run(&reason);
        }
        world.assert_unharmed();
    }
}

#[test]
fn a_persons_reason_is_kept_to_the_letter() {
    let world = World::new();
    world.fleet.run(&["up"]).expect(0);
    for (number, text) in HOSTILE.iter().enumerate() {
        for tenant in TENANTS {
            world.fleet.execute(tenant, &format!("ALTER TABLE orders ADD COLUMN hand_{number} int"));
            world.fleet.run(&["accept", "--tenant", tenant, "--reason", text]).expect(0);
            world.assert_journalled(tenant, "error", text.trim());
        }
        world.assert_unharmed();
    }
    world.fleet.run(&["status", "--check"]).expect(0);
}
