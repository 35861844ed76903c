//! The test harness: real servers, fleets of tenants, the built binary and its oracle.
//!
//! Start at [`fleet::Fleet`]. Servers are started by the test process itself and stopped
//! whatever happens to it: see [`sandbox`]. All helpers block; none may be called inside a
//! tokio runtime.

#![allow(dead_code, reason = "the harness may offer more than today's tests use")]

pub mod daemon;
pub mod fleet;
pub mod gate;
pub mod kinds;
pub mod mariadb;
pub mod oracle;
pub mod pgbouncer;
pub mod postgres;
pub mod proxy;
pub mod running;
pub mod sandbox;
pub mod sqlite;
pub mod tls;

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

pub use fleet::Fleet;
pub use kinds::{KINDS, Kind};
pub use mariadb::MariaDb;
pub use oracle::{Width, oracle};
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use running::{Output, Running};

/// The password in every URL of every test. It needs percent-encoding, and no output may hold it.
pub const CANARY: &str = "c4nary-S3cret/+@x";

/// The administrator in every URL of every test.
pub const USER: &str = "migrator";

/// The harness's own administrator: its sessions are not counted, and it needs no TLS.
const HARNESS: &str = "harness";

/// Rows of text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// How a private server differs from a shared one.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Settings of the server, `("max_connections", "20")`.
    pub conf: &'a [(&'a str, &'a str)],
    pub tls: tls::Mode,
}

/// One of the two shared PostgreSQL servers, started at the first call.
pub fn postgres(number: usize) -> &'static Postgres {
    static SERVERS: [OnceLock<Postgres>; 2] = [const { OnceLock::new() }; 2];
    SERVERS[number].get_or_init(|| Postgres::start(Options::default()))
}

/// One of the two shared MariaDB servers, started at the first call.
pub fn mariadb(number: usize) -> &'static MariaDb {
    static SERVERS: [OnceLock<MariaDb>; 2] = [const { OnceLock::new() }; 2];
    SERVERS[number].get_or_init(|| MariaDb::start(Options::default()))
}

/// Fails if `text` holds the password: raw, percent-encoded, escaped or in part.
///
/// Looks for the two parts that no encoding of a URL or of JSON changes.
#[track_caller]
pub fn assert_no_secret(what: &str, text: &str) {
    for part in ["c4nary", "S3cret"] {
        assert!(!text.contains(part), "the password is in {what}:\n{}", text.replace(part, "<<<HERE>>>"));
    }
}

/// A name that no other call returns, fit for an identifier without quotes.
pub fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{number}_{:05x}", random(0xf_ffff))
}

/// A number from 0 to `max`.
fn random(max: u64) -> u64 {
    RandomState::new().hash_one(0) % (max + 1)
}

/// `text` as it stands in a URL.
pub fn percent_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// `name` as an SQL identifier in this kind of quotes.
pub fn quoted(name: &str, quote: char) -> String {
    let doubled: String = [quote, quote].iter().collect();
    format!("{quote}{}{quote}", name.replace(quote, &doubled))
}

/// Sorts each run of `INSERT` lines: rows have no order.
fn with_sorted_inserts(dump: &str) -> String {
    let mut lines: Vec<&str> = dump.lines().collect();
    for run in lines.chunk_by_mut(|a, b| is_insert(a) && is_insert(b)) {
        run.sort_unstable();
    }
    lines.join("\n")
}

fn is_insert(line: &str) -> bool {
    line.starts_with("INSERT INTO ")
}

/// Runs a future of a driver to its end.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}
