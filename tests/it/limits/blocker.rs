//! A session of the test that is in the way of others until it is told to leave.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rusqlite::Connection;

use crate::support::Fleet;
use crate::support::fleet::Place;

/// Holds a lock on a tenant's table `t`.
pub struct Blocker {
    tell: Sender<()>,
    thread: JoinHandle<()>,
}

impl Blocker {
    /// Keeps everybody from the table: a lock, or a write transaction.
    pub fn on(fleet: &Fleet, tenant: &str) -> Blocker {
        Blocker::start(fleet, tenant, false)
    }

    /// Has read the table in a transaction that goes on: in the way of DDL only.
    pub fn reading(fleet: &Fleet, tenant: &str) -> Blocker {
        Blocker::start(fleet, tenant, true)
    }

    /// Ends the session.
    pub fn leave(self) {
        self.tell.send(()).expect("the blocker is there");
        self.thread.join().expect("the blocker");
    }

    fn start(fleet: &Fleet, tenant: &str, reading: bool) -> Blocker {
        let place = fleet.place(tenant).clone();
        let (tell, told) = channel();
        let (ready, is_ready) = channel();
        let thread = spawn(move || match place {
            Place::Postgres { server, database, .. } => {
                postgres(&server.url(&database), reading, &ready, &told);
            }
            Place::MariaDb { server, database } => mariadb(&server.url(&database), reading, &ready, &told),
            Place::Sqlite(path) => {
                let connection = Connection::open(path).expect("a SQLite file");
                connection.execute_batch("BEGIN IMMEDIATE; INSERT INTO t (a) VALUES (2);").expect("a transaction");
                ready.send(()).expect("the test");
                told.recv().unwrap_or_default();
            }
        });
        is_ready.recv().expect("the blocker has its lock");
        Blocker { tell, thread }
    }
}

fn postgres(url: &str, reading: bool, ready: &Sender<()>, told: &Receiver<()>) {
    let lock = if reading { "SELECT a FROM t" } else { "LOCK TABLE t IN ACCESS EXCLUSIVE MODE" };
    runtime().block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
        let driving = tokio::spawn(connection);
        client.batch_execute("BEGIN").await.expect("BEGIN");
        client.simple_query(lock).await.expect("a lock");
        ready.send(()).expect("the test");
        told.recv().unwrap_or_default();
        drop(client);
        let _ = driving.await;
    });
}

fn mariadb(url: &str, reading: bool, ready: &Sender<()>, told: &Receiver<()>) {
    let lock = if reading { "START TRANSACTION; SELECT a FROM t" } else { "LOCK TABLES t WRITE" };
    runtime().block_on(async {
        let mut connection = Conn::from_url(url).await.expect("a session");
        connection.query_iter(lock).await.expect("a lock").drop_result().await.expect("a lock");
        ready.send(()).expect("the test");
        told.recv().unwrap_or_default();
        connection.disconnect().await.expect("goodbye");
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}
