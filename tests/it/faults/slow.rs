//! A slow network.

use std::time::Duration;

use super::{FIRST, assert_each_once, more};
use crate::support::kinds::numbered;
use crate::support::{Fleet, MariaDb, Options, Postgres, Proxy};

#[test]
fn a_slow_network_costs_time_and_neither_the_budget_nor_the_order() {
    let (postgres, mariadb) = (Postgres::start(Options::default()), MariaDb::start(Options::default()));
    let proxies = [Proxy::to(postgres.port()), Proxy::to(mariadb.port())];
    let mut fleet = Fleet::new();
    let shared = postgres.create_database();
    for name in numbered(8) {
        fleet.postgres_schema(&name, &postgres, &shared);
    }
    let server = format!("pg{}", postgres.port());
    fleet.set_server(&server, "max_connections", "3").server_behind(&server, &proxies[0]);
    for name in ["my1", "my2"] {
        fleet.mariadb(name, &mariadb).behind(name, &proxies[1]);
    }
    fleet.changeset("V1__effects.sql", FIRST);
    for version in 2..=4 {
        more(&mut fleet, version);
    }
    proxies.iter().for_each(|proxy| proxy.delay(Duration::from_millis(20)));
    let mut running = fleet.spawn(&["up"]);
    let (mut most, mut looks) = (0, 0);
    while running.is_running() {
        most = most.max(proxies[0].open());
        looks += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    running.wait().expect(0);
    assert!(looks > 10 && (2..=3).contains(&most), "{most} connections at once in {looks} looks");
    assert_each_once(&fleet, 4);
    assert!(!fleet.run(&["status", "--check"]).expect(0).stderr.contains("error"));
}
