//! A session of the test that is in the way of others until it is told to leave.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, spawn};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rusqlite::Connection;

use crate::support::fleet::Place;
use crate::support::{Fleet, quoted};

/// Whom a blocker is in the way of.
#[derive(Clone, Copy)]
enum Way {
    Everybody,
    Writers,
    Indexes,
    Ddl,
}

/// Holds a lock on a table of a tenant.
pub struct Blocker {
    tell: Sender<()>,
    thread: JoinHandle<()>,
}

impl Blocker {
    /// Keeps everybody from the table `t`: a lock, or a write transaction.
    pub fn on(fleet: &Fleet, tenant: &str) -> Blocker {
        Blocker::start(fleet, tenant, "t", Way::Everybody)
    }

    /// Has read the table `t` in a transaction that goes on: in the way of DDL only.
    pub fn reading(fleet: &Fleet, tenant: &str) -> Blocker {
        Blocker::start(fleet, tenant, "t", Way::Ddl)
    }

    /// Keeps from a table who writes to it, and on SQLite who writes at all; readers pass.
    pub fn of_writers(fleet: &Fleet, tenant: &str, table: &'static str) -> Blocker {
        Blocker::start(fleet, tenant, table, Way::Writers)
    }

    /// Has written to a table in a transaction that goes on: in the way of DDL, of locks, and of an index that is built
    /// concurrently.
    pub fn writing(fleet: &Fleet, tenant: &str, table: &'static str) -> Blocker {
        Blocker::start(fleet, tenant, table, Way::Indexes)
    }

    /// Ends the session. What it held is free when this returns.
    pub fn leave(self) {
        self.tell.send(()).expect("the blocker is there");
        self.thread.join().expect("the blocker");
    }

    fn start(fleet: &Fleet, tenant: &str, table: &'static str, way: Way) -> Blocker {
        let place = fleet.place(tenant).clone();
        let (tell, told) = channel();
        let (ready, is_ready) = channel();
        let thread = spawn(move || match place {
            Place::Postgres { server, database, schema } => {
                let lock = match way {
                    Way::Everybody => format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"),
                    Way::Writers => format!("LOCK TABLE {table} IN SHARE MODE"),
                    Way::Indexes => format!("LOCK TABLE {table} IN ROW EXCLUSIVE MODE"),
                    Way::Ddl => format!("SELECT 1 FROM {table}"),
                };
                let path = schema.map(|schema| format!("SET search_path TO {}", quoted(&schema, '"')));
                postgres(&server.url(&database), &[path.as_deref().unwrap_or(""), "BEGIN", &lock], &ready, &told);
            }
            Place::MariaDb { server, database } => {
                let lock = match way {
                    Way::Everybody => format!("LOCK TABLES {table} WRITE"),
                    Way::Writers => format!("LOCK TABLES {table} READ"),
                    Way::Indexes | Way::Ddl => format!("START TRANSACTION; SELECT 1 FROM {table}"),
                };
                mariadb(&server.url(&database), &lock, &ready, &told);
            }
            Place::Sqlite(path) => {
                let connection = Connection::open(path).expect("a SQLite file");
                connection.execute_batch("BEGIN IMMEDIATE;").expect("a transaction");
                ready.send(()).expect("the test");
                told.recv().unwrap_or_default();
            }
        });
        is_ready.recv().expect("the blocker has its lock");
        Blocker { tell, thread }
    }
}

fn postgres(url: &str, statements: &[&str], ready: &Sender<()>, told: &Receiver<()>) {
    runtime().block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
        let driving = tokio::spawn(connection);
        for statement in statements {
            client.simple_query(statement).await.expect("a lock");
        }
        ready.send(()).expect("the test");
        told.recv().unwrap_or_default();
        // Answered when the lock is gone; a session that only ends holds it for a moment more. The server may be gone.
        let _ = client.batch_execute("ROLLBACK").await;
        drop(client);
        let _ = driving.await;
    });
}

fn mariadb(url: &str, lock: &str, ready: &Sender<()>, told: &Receiver<()>) {
    runtime().block_on(async {
        let mut connection = Conn::from_url(url).await.expect("a session");
        connection.query_iter(lock).await.expect("a lock").drop_result().await.expect("a lock");
        ready.send(()).expect("the test");
        told.recv().unwrap_or_default();
        let _ = connection.query_drop("ROLLBACK").await;
        let _ = connection.query_drop("UNLOCK TABLES").await;
        let _ = connection.disconnect().await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}
