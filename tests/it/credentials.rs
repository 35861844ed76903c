//! Passwords from commands and files: fetched once and late, rotated in the middle of a run, and refused with a clear account.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::killed::wait_until;
use crate::support::{Fleet, Kind, MariaDb, Output, Postgres, mariadb, postgres, unique};

/// The passwords before and after; no output may hold either.
const OLD: &str = "c4nary-S3cret:old@/";
const NEW: &str = "c4nary-S3cret:new@/";

/// As the URL writes them where the file itself has the password.
const OLD_ENCODED: &str = "c4nary-S3cret%3Aold%40%2F";

/// Counts its runs and prints the password.
const COMMAND: &str = "${cmd:sh -c 'echo run >>runs && cat \"./the password\"'}";
const FILE: &str = "${file:the password}";

/// A server of either kind.
#[derive(Clone, Copy)]
enum Server {
    Postgres(&'static Postgres),
    MariaDb(&'static MariaDb),
}

use Server::{MariaDb as My, Postgres as Pg};

impl Server {
    fn execute(self, sql: &str) {
        match self {
            Pg(server) => server.execute("postgres", sql),
            My(server) => server.execute("", sql),
        }
    }

    fn query(self, sql: &str) -> Vec<Vec<Option<String>>> {
        match self {
            Pg(server) => server.query("postgres", sql),
            My(server) => server.query("", sql),
        }
    }

    /// Makes a user with the old password.
    fn user(self) -> String {
        let user = unique("rotating");
        match self {
            Pg(_) => self.execute(&format!("CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{OLD}'")),
            My(_) => self.execute(&format!("CREATE USER {user} IDENTIFIED BY '{OLD}'; GRANT ALL ON *.* TO {user}")),
        }
        user
    }

    /// The user's password is the new one from now on.
    fn rotate(self, user: &str) {
        match self {
            Pg(_) => self.execute(&format!("ALTER ROLE {user} PASSWORD '{NEW}'")),
            My(_) => self.execute(&format!("ALTER USER {user} IDENTIFIED BY '{NEW}'")),
        }
    }

    /// A fleet of so many databases there, whose one server has this password for the user.
    fn fleet(self, tenants: usize, user: &str, password: &str) -> Fleet {
        let mut fleet = Fleet::new();
        fleet.file("the password", format!("{OLD}\n"));
        fleet.changeset("V1__a.sql", "CREATE TABLE a (id int);\n");
        let names: Vec<(String, String)> = (0..tenants).map(|n| (format!("t{n}"), unique("late"))).collect();
        for (name, database) in &names {
            match self {
                Pg(server) => fleet.postgres_database_named(name, server, database),
                My(server) => fleet.mariadb_named(name, server, database),
            };
        }
        fleet.tenants_yaml(&self.yaml(&names, user, password));
        fleet
    }

    fn yaml(self, names: &[(String, String)], user: &str, password: &str) -> String {
        let (scheme, port) = match self {
            Pg(server) => ("postgres", server.port()),
            My(server) => ("mysql", server.port()),
        };
        let url = serde_json::to_string(&format!("{scheme}://{user}:{password}@127.0.0.1:{port}")).unwrap();
        // One connection for the lock and one for all databases.
        let mut yaml = format!("servers:\n  s: {{ url: {url}, max_connections: 2 }}\ntenants:\n");
        for (name, database) in names {
            yaml += &format!("  - {{ name: {name}, server: s, database: {database} }}\n");
        }
        yaml
    }
}

fn runs(fleet: &Fleet) -> usize {
    fs::read_to_string(fleet.folder().join("runs")).map_or(0, |text| text.lines().count())
}

/// Runs `up` over six databases and rotates the password while the second changeset is at work on the first.
fn up_rotated(server: Server, password: &str) -> (Output, Fleet) {
    let user = server.user();
    let mut fleet = server.fleet(6, &user, password);
    // A text that may have taken a role costs MariaDB's session; PostgreSQL's belongs to one database anyway.
    fleet
        .variant("postgres", "V2__slow.sql", Kind::Database.gate())
        .variant("mysql", "V2__slow.sql", &format!("{}\nSELECT 'no role';\n", Kind::MariaDb.gate()))
        .changeset("V3__b.sql", "CREATE TABLE b (id int);\n");
    let running = fleet.spawn(&["up", "-v"]);
    let at_work = match server {
        Pg(_) => format!("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND usename = '{user}'"),
        My(_) => {
            format!("SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep' AND user = '{user}'")
        }
    };
    wait_until("the second changeset", || !server.query(&at_work).is_empty());
    fleet.file("the password", format!("{NEW}\n"));
    server.rotate(&user);
    fleet.names().iter().for_each(|tenant| fleet.open_gate(tenant));
    (running.wait(), fleet)
}

#[test]
fn a_password_that_is_rotated_in_the_middle_of_a_run_does_not_stop_it() {
    for server in [Pg(postgres(0)), My(mariadb(0))] {
        for password in [COMMAND, FILE] {
            let (output, fleet) = up_rotated(server, password);
            let output = output.expect(0);
            for tenant in fleet.names() {
                fleet.query(&tenant, "SELECT * FROM b");
            }
            assert_eq!(runs(&fleet), if password == COMMAND { 2 } else { 0 }, "{output}");
        }
    }
}

#[test]
fn a_fixed_password_that_is_rotated_in_the_middle_of_a_run_halts_it_with_a_clear_account() {
    for server in [Pg(postgres(0)), My(mariadb(0))] {
        let (output, fleet) = up_rotated(server, OLD_ENCODED);
        let halted = output.expect(1).says(&["refuses user", "V2__slow", "nobody has V3", "halted at V2__slow"]);
        assert!(!halted.stderr.contains("MT117"), "{halted}");
        // Nobody has what comes after the barrier that did not open.
        for tenant in fleet.names() {
            assert!(!fleet.dump(&tenant).contains("TABLE public.b") && !fleet.dump(&tenant).contains("TABLE `b`"));
        }
    }
}

#[test]
fn a_command_runs_once_for_all_tenants_of_its_server_and_not_at_validate() {
    for server in [Pg(postgres(0)), My(mariadb(0))] {
        let user = server.user();
        let mut fleet = server.fleet(8, &user, COMMAND);
        fleet.run(&["validate"]).expect(0);
        assert_eq!(runs(&fleet), 0);
        fleet.run(&["up", "-v", "-v"]).expect(0);
        assert_eq!(runs(&fleet), 1);
        fleet.env("RUST_LOG", "trace").run(&["status", "-v", "-v", "--log-format", "json"]).expect(0);
        assert_eq!(runs(&fleet), 2);
    }
}

#[test]
fn a_password_that_cannot_be_had_changes_nothing_and_says_why() {
    for server in [Pg(postgres(0)), My(mariadb(0))] {
        let user = server.user();
        for (password, status, says) in [
            (
                "${cmd:sh -c 'echo c4nary-S3cret; echo sealed >&2; exit 3'}",
                2,
                &["MT117", "no password for user", "the command `sh` ended with status 3", "it said: sealed"][..],
            ),
            ("${cmd:printf ''}", 2, &["MT117", "the command `printf` printed nothing"]),
            ("${cmd:./no-such-program}", 2, &["MT117", "the command `./no-such-program` cannot be run"]),
            ("${cmd:sh -c 'echo run >>runs; echo c4nary-S3cret-wrong'}", 5, &["MT311", "refuses user"]),
            ("${file:empty}", 2, &["MT117", "it is empty"]),
        ] {
            let mut fleet = server.fleet(3, &user, password);
            fleet.file("empty", "");
            let before = fleet.dumps();
            fleet.run(&["up", "-v"]).expect(status).says(says).says(&["t0", "t2"]);
            assert_eq!(fleet.dumps(), before, "{password}");
            fleet.run(&["status"]).expect(5).says(&says[..1]);
            // Once for each command, and once more because it was refused: not for each tenant.
            assert_eq!(runs(&fleet), if status == 5 { 4 } else { 0 }, "{password}");
        }
    }
}

#[test]
fn a_file_of_passwords_lets_in_who_has_none_unless_others_may_read_it() {
    for server in [Pg(postgres(0)), My(mariadb(0))] {
        let user = server.user();
        let mut fleet = server.fleet(2, &user, "");
        let (name, text, loose) = match server {
            Pg(server) => {
                let escaped = OLD.replace(':', "\\:");
                (".pgpass", format!("*:1:*:*:no\n127.0.0.1:{}:*:{user}:{escaped}\n", server.port()), 0o640)
            }
            My(_) => (".my.cnf", format!("[mysqld]\npassword=no\n[client]\npassword = \"{OLD}\"\n"), 0o666),
        };
        fleet.run(&["up"]).expect(5).says(&["MT311"]);
        // The folder is the commands' home.
        fleet.file(name, &text);
        let path = fleet.folder().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(loose)).unwrap();
        fleet.run(&["up"]).expect(5).says(&["MT118", "the file is not used", "chmod 600", "MT311"]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let output = fleet.run(&["up", "-v", "-v"]).expect(0);
        assert!(!output.stderr.contains("MT118"), "{output}");

        if let Pg(_) = server {
            fs::rename(&path, fleet.folder().join("elsewhere")).unwrap();
            fleet.run(&["status"]).expect(5);
            let elsewhere = fleet.folder().join("elsewhere").display().to_string();
            fleet.env("PGPASSFILE", &elsewhere).run(&["status"]).expect(0);
        }
    }
}

#[test]
fn the_lock_is_taken_as_the_servers_user_where_a_tenant_has_one_of_its_own() {
    let server = postgres(0);
    let (admin, own, lock, database) = (Pg(server).user(), unique("own"), unique("meeting"), unique("owned"));
    let mut fleet = Pg(server).fleet(0, &admin, OLD_ENCODED);
    fleet.postgres_database_named("t", server, &database);
    server.execute("postgres", &format!("CREATE ROLE {own} LOGIN PASSWORD '{OLD}'"));
    server.execute("postgres", &format!("ALTER DATABASE {database} OWNER TO {own}"));
    server.execute("postgres", &format!("CREATE DATABASE {lock}"));
    server.execute("postgres", &format!("REVOKE CONNECT ON DATABASE {lock} FROM PUBLIC"));
    let yaml = |user: &str| {
        format!(
            "servers:\n  s: {{ url: \"postgres://{user}127.0.0.1:{}\", lock_database: {lock} }}\n\
             tenants:\n  - {{ name: t, server: s, database: {database}, user: {own}, password: \"{FILE}\" }}\n",
            server.port()
        )
    };
    // A server without a user is met as its tenant, who may not connect there.
    fleet.tenants_yaml(&yaml(""));
    fleet.run(&["up"]).expect(5).says(&["MT302", &own, &lock]);
    fleet.tenants_yaml(&yaml(&format!("{admin}:{OLD_ENCODED}@")));
    fleet.run(&["up"]).expect(0);
}
