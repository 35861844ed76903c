//! How often mtmigrate waits for an answer of a server, counted by a proxy between them. What a wait costs is the
//! network's; how many there are is ours.

use crate::support::{Fleet, MariaDb, Options, Postgres, Proxy, unique};

/// Two connections: one for the lock, one for the work, so that nothing depends on who comes first.
const BUDGET: &str = "2";

/// Runs a command and returns its round trips over the proxy.
fn flights(fleet: &Fleet, proxy: &Proxy, command: &[&str]) -> usize {
    let before = proxy.flights();
    fleet.run(command).expect(0);
    proxy.flights() - before
}

/// A fleet of schemas of one database, behind a proxy.
fn schemas(server: &Postgres, tenants: usize) -> (Fleet, Proxy) {
    let (mut fleet, proxy) = (Fleet::new(), Proxy::to(server.port()));
    let database = server.create_database();
    server.execute(&database, &(0..tenants).map(|n| format!("CREATE SCHEMA s{n};")).collect::<String>());
    let tenant = |n| format!("  - {{ name: t{n}, server: pg, database: {database}, schema: s{n} }}\n");
    let list: String = (0..tenants).map(tenant).collect();
    let url = proxy.url(&server.server_url());
    fleet
        .tenants_yaml(&format!("servers: {{ pg: {{ url: \"{url}\", max_connections: {BUDGET} }} }}\ntenants:\n{list}"));
    (fleet, proxy)
}

/// The same, of MariaDB databases.
fn databases(server: &MariaDb, tenants: usize) -> (Fleet, Proxy) {
    let (mut fleet, proxy) = (Fleet::new(), Proxy::to(server.port()));
    let prefix = unique("trips").replace('-', "_");
    server.execute("", &(0..tenants).map(|n| format!("CREATE DATABASE {prefix}_{n};")).collect::<String>());
    let tenant = |n| format!("  - {{ name: t{n}, server: my, database: {prefix}_{n} }}\n");
    let list: String = (0..tenants).map(tenant).collect();
    let url = proxy.url(&server.server_url());
    fleet
        .tenants_yaml(&format!("servers: {{ my: {{ url: \"{url}\", max_connections: {BUDGET} }} }}\ntenants:\n{list}"));
    (fleet, proxy)
}

/// Changesets of a table and an index.
fn changesets(fleet: &mut Fleet, count: usize) {
    for k in 1..=count {
        let text = format!("CREATE TABLE t{k} (id int PRIMARY KEY, at date);\nCREATE INDEX t{k}_at ON t{k} (at);\n");
        fleet.changeset(&format!("V{k}__t{k}.sql"), &text);
    }
}

/// How many round trips more a tenant more costs, if two tenants and twelve cost so many. What the reading of ten tenants
/// more may take is less than one for each.
///
/// Where it is not what is expected, both are counted again, and the fewest count: a slow machine only adds to them, as an
/// answer about the lock that has become old is asked for again.
fn for_each_tenant(expected: usize, count: impl Fn(usize) -> usize) -> usize {
    let mut fewest = [usize::MAX; 2];
    let mut each = usize::MAX;
    for _ in 0..5 {
        fewest = [(fewest[0], 2), (fewest[1], 12)].map(|(before, tenants)| before.min(count(tenants)));
        each = fewest[1].saturating_sub(fewest[0]) / 10;
        if each == expected {
            break;
        }
    }
    each
}

/// The round trips of a run of so many changesets.
fn of_run((mut fleet, proxy): (Fleet, Proxy), count: usize) -> usize {
    changesets(&mut fleet, count);
    flights(&fleet, &proxy, &["up", "--verify", "run"])
}

#[test]
fn a_changeset_on_a_postgres_tenant_is_one_round_trip() {
    let server = Postgres::start(Options::default());
    for count in [3, 9] {
        let each = for_each_tenant(count, |tenants| of_run(schemas(&server, tenants), count));
        assert_eq!(each, count, "{count} changesets");
    }
}

#[test]
fn a_statement_on_a_mariadb_tenant_is_one_round_trip() {
    let server = MariaDb::start(Options::default());
    for count in [3, 9] {
        let each = for_each_tenant(2 * count, |tenants| of_run(databases(&server, tenants), count));
        assert_eq!(each, 2 * count, "{count} changesets of two statements");
    }
}

/// What is recorded as skipped costs as much as a small text: one message.
#[test]
fn a_changeset_that_a_tenant_skips_is_one_round_trip() {
    let (postgres, mariadb) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let skipping = |(mut fleet, proxy): (Fleet, Proxy)| {
        // Nobody skips the first: then the connections are open, and the tables there.
        fleet.changeset("V1__t.sql", "CREATE TABLE t (id int PRIMARY KEY);\n");
        fleet.run(&["up"]).expect(0);
        for k in 2..=10 {
            fleet.changeset(
                &format!("V{k}__t{k}.sql"),
                &format!("-- mtmigrate: only label=none\nCREATE TABLE t{k} (id int);\n"),
            );
        }
        flights(&fleet, &proxy, &["up", "--verify", "run"])
    };
    let each = for_each_tenant(9, |tenants| skipping(schemas(&postgres, tenants)));
    assert_eq!(each, 9, "postgres, 9 changesets");
    let each = for_each_tenant(9, |tenants| skipping(databases(&mariadb, tenants)));
    assert_eq!(each, 9, "mariadb, 9 changesets");
}

/// What a session's greeting tells and what the look before it found choose the question, so that no answer needs another one.
#[test]
fn a_tenant_alone_in_its_database_is_found_in_one_round_trip_and_read_in_another() {
    let server = Postgres::start(Options::default());
    for schema in ["", ", schema: own"] {
        let (mut fleet, proxy) = (Fleet::new(), Proxy::to(server.port()));
        let database = server.create_database();
        server.execute(&database, "CREATE SCHEMA own");
        fleet.tenants_yaml(&format!(
            "servers: {{ pg: {{ url: \"{}\" }} }}\ntenants:\n  - {{ name: t, server: pg, database: {database}{schema} }}\n",
            proxy.url(&server.server_url())
        ));
        changesets(&mut fleet, 1);
        let status = |fleet: &Fleet| flights(fleet, &proxy, &["status"]);
        let new = status(&fleet);
        fleet.run(&["up"]).expect(0);
        assert_eq!(status(&fleet), new + 1, "its history and its journal are there to be read: {schema:?}");
    }
}

/// The round trips of each command over fleets in which nothing is to be done. Counted again where they differ, as in
/// [`for_each_tenant`].
fn idle(mut fleets: [(Fleet, Proxy); 2]) -> [[usize; 3]; 2] {
    for (fleet, _) in &mut fleets {
        changesets(fleet, 1);
        fleet.run(&["up"]).expect(0);
    }
    let mut fewest = [[usize::MAX; 3]; 2];
    for _ in 0..5 {
        for ((fleet, proxy), fewest) in fleets.iter().zip(&mut fewest) {
            for (command, fewest) in [&["up"][..], &["status", "--check"], &["drift"]].into_iter().zip(fewest) {
                *fewest = flights(fleet, proxy, command).min(*fewest);
            }
        }
        if fewest[0] == fewest[1] {
            break;
        }
    }
    fewest
}

#[test]
fn round_trips_do_not_grow_with_the_schemas_of_a_database() {
    let server = Postgres::start(Options::default());
    let [few, many] = idle([20, 700].map(|tenants| schemas(&server, tenants)));
    assert_eq!(few, many, "up, status, drift");
}

#[test]
fn round_trips_do_not_grow_with_the_databases_of_a_mariadb_server() {
    let server = MariaDb::start(Options::default());
    let [few, many] = idle([20, 700].map(|tenants| databases(&server, tenants)));
    assert_eq!(few, many, "up, status, drift");
}

/// Three servers that answer nothing until all of them were asked.
#[test]
fn all_servers_are_asked_at_once_and_all_databases_as_far_as_the_budget_goes() {
    let servers = [0, 1, 2].map(|_| Postgres::start(Options::default()));
    let proxies = servers.each_ref().map(|server| Proxy::to(server.port()));
    let mut fleet = Fleet::new();
    for (at, (server, proxy)) in servers.iter().zip(&proxies).enumerate() {
        for number in 1..=6 {
            let name = format!("t{at}-{number}");
            fleet.postgres_database(&name, server).behind(&name, proxy).set(&name, "max_connections", "5");
        }
    }
    changesets(&mut fleet, 1);
    fleet.run(&["up"]).expect(0);
    proxies.iter().for_each(Proxy::freeze);
    let before = proxies.each_ref().map(Proxy::connections);
    let mut running = fleet.spawn(&["status", "--check"]);
    // The lock's place is kept free.
    while proxies.iter().zip(before).any(|(proxy, before)| proxy.connections() - before < 4) {
        assert!(running.is_running(), "{}", running.wait());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    proxies.iter().for_each(Proxy::thaw);
    running.wait().expect(0);
}
