//! Private MariaDB servers.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};
use rustix::process::Signal;

use super::daemon::{Daemon, Launch};
use super::postgres::copy;
use super::sandbox::{installed, sandbox};
use super::tls::{Mode, files};
use super::{CANARY, HARNESS, Options, Rows, USER};
use super::{block_on, percent_encoded, quoted, unique, with_sorted_inserts};

/// A running server; a clone is another handle of it. The last handle stops it.
#[derive(Clone)]
pub struct MariaDb(Arc<Daemon>);

impl MariaDb {
    /// Starts a server of one's own: to kill, or to configure.
    pub fn start(options: Options<'_>) -> MariaDb {
        let folder = sandbox().folder(&unique("mariadb"));
        copy(&TEMPLATE, &folder.join("data"));
        let tmp = folder.join("tmp");
        fs::create_dir(&tmp).expect("a folder");
        sandbox().give(&tmp);
        let users = folder.join("users.sql");
        fs::write(&users, user_statements(options.tls)).expect("users.sql");
        let daemon = Daemon::launch(Launch {
            program: installed(&["mariadbd", "mysqld"]),
            args: &|port| arguments(&folder, port, options),
            // An orderly shutdown could outlast the guard's patience.
            guard_signal: "KILL",
            probe: &answers,
            folder: folder.clone(),
        });
        // The file is read at every start, and a test may change the rights of its users.
        fs::write(&users, "").expect("users.sql");
        MariaDb(Arc::new(daemon))
    }

    /// The URL of a database, for the administrator.
    pub fn url(&self, database: &str) -> String {
        self.url_as(USER, CANARY, "127.0.0.1", database)
    }

    /// The URL of the server, without a database.
    pub fn server_url(&self) -> String {
        self.url("").trim_end_matches('/').to_string()
    }

    /// The URL of a database for any user, by any name of this host.
    pub fn url_as(&self, user: &str, password: &str, host: &str, database: &str) -> String {
        let [user, password, database] = [user, password, database].map(percent_encoded);
        format!("mysql://{user}:{password}@{host}:{}/{database}", self.0.port)
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Runs statements, separated by `;`, in one database (`""`: in none).
    #[track_caller]
    pub fn execute(&self, database: &str, sql: &str) {
        self.query(database, sql);
    }

    /// Runs statements and returns the rows of all of them, as text.
    #[track_caller]
    pub fn query(&self, database: &str, sql: &str) -> Rows {
        match block_on(query(self.0.port, database, sql)) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Makes an empty database with a new name.
    pub fn create_database(&self) -> String {
        let name = unique("db");
        self.create_database_named(&name);
        name
    }

    pub fn create_database_named(&self, name: &str) {
        self.execute("", &format!("CREATE DATABASE {}", quoted(name, '`')));
    }

    /// Everything in a database: objects, rows, routines. The same for the same content.
    pub fn dump(&self, database: &str) -> String {
        let output = Command::new(installed(&["mariadb-dump", "mysqldump"]))
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"])
            .arg(format!("--port={}", self.0.port))
            .arg(format!("--user={HARNESS}"))
            .args(["--skip-ssl", "--single-transaction", "--skip-lock-tables"])
            .args(["--skip-comments", "--skip-dump-date", "--hex-blob"])
            .args(["--skip-extended-insert", "--order-by-primary"])
            .args(["--routines", "--triggers", "--events", "--"])
            .arg(database)
            .env("MYSQL_PWD", CANARY)
            .output()
            .expect("mariadb-dump");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "mariadb-dump {database}: {errors}");
        with_sorted_inserts(&String::from_utf8_lossy(&output.stdout))
    }

    /// Runs a dump in a database, with the client that knows DELIMITER.
    pub fn restore(&self, database: &str, dump: &str) {
        let mut client = Command::new(installed(&["mariadb", "mysql"]))
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--skip-ssl"])
            .arg(format!("--port={}", self.0.port))
            .arg(format!("--user={HARNESS}"))
            .arg(format!("--database={database}"))
            .env("MYSQL_PWD", CANARY)
            .stdin(Stdio::piped())
            .spawn()
            .expect("mariadb");
        client.stdin.take().expect("a pipe").write_all(dump.as_bytes()).expect("a dump");
        assert!(client.wait().is_ok_and(|status| status.success()), "mariadb < dump of {database}");
    }

    /// How many sessions other than the harness's own are connected; who is about to say a name is nobody yet.
    pub fn sessions(&self) -> usize {
        let rows = self.query(
            "",
            &format!(
                "SELECT count(*) FROM information_schema.processlist
                 WHERE user NOT IN ('{HARNESS}', 'system user', 'event_scheduler', 'unauthenticated user')"
            ),
        );
        rows[0][0].as_deref().expect("a count").parse().expect("a count")
    }

    /// Kills the server with -9, as a crash does.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Ends the server in order: MariaDB has no "immediate" shutdown.
    pub fn stop(&self) {
        self.0.stop(Signal::TERM);
    }

    /// Starts the stopped or killed server again, on the same port.
    pub fn restart(&self) {
        self.0.restart(&answers);
    }

    /// Sends a signal to every process of the server: `STOP` and `CONT` make it hang for a while.
    pub fn signal_all(&self, signal: Signal) {
        self.0.signal_all(signal);
    }

    /// No file may grow beyond `bytes` from now on; `None` ends that.
    pub fn limit_files(&self, bytes: Option<u64>) {
        self.0.limit_files(bytes);
    }

    /// The process id of the running server.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }
}

/// A data folder as `mariadb-install-db` leaves it: made once, copied for each server.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = sandbox().folder("mariadb-template");
    let data = folder.join("data");
    let output = sandbox()
        .command("KILL", &installed(&["mariadb-install-db", "mysql_install_db"]), &folder)
        .args(["--no-defaults", "--skip-test-db"])
        .args(["--innodb-log-file-size=4M", "--innodb-flush-method=nosync"])
        .arg(format!("--tmpdir={}", folder.display()))
        .arg(format!("--datadir={}", data.display()))
        .output()
        .expect("mariadb-install-db");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mariadb-install-db: {errors}");
    data
});

fn arguments(folder: &Path, port: u16, options: Options<'_>) -> Vec<String> {
    let place = |name: &str| folder.join(name).display().to_string();
    let mut arguments = vec![
        "--no-defaults".to_string(),
        format!("--datadir={}", place("data")),
        format!("--socket={}", place("socket")),
        format!("--pid-file={}", place("pid")),
        // A starting server removes every temporary table it finds there: in a shared folder
        // those of its neighbours, which then crash.
        format!("--tmpdir={}", place("tmp")),
        format!("--init-file={}", place("users.sql")),
        format!("--port={port}"),
    ];
    let fixed = [
        "bind-address=127.0.0.1",
        "skip-name-resolve",
        "max-connections=300",
        "default-time-zone=+00:00",
        "character-set-server=utf8mb4",
        "performance-schema=0",
        "innodb-buffer-pool-size=32M",
        "innodb-log-file-size=4M",
        "key-buffer-size=1M",
        "aria-pagecache-buffer-size=8M",
        // A crash of the server, unlike one of the machine, loses nothing without fsync.
        "innodb-flush-log-at-trx-commit=2",
        "innodb-flush-method=nosync",
        "debug-no-sync",
    ];
    arguments.extend(fixed.iter().map(|setting| format!("--{setting}")));
    if options.tls != Mode::Off {
        let tls = files().as_text(options.tls);
        arguments.push(format!("--ssl-cert={}", tls.certificate));
        arguments.push(format!("--ssl-key={}", tls.key));
        arguments.push(format!("--ssl-ca={}", tls.ca));
    }
    let conf = options.conf.iter();
    arguments.extend(conf.map(|(name, value)| format!("--{name}={value}")));
    arguments
}

/// The harness comes in by password alone, the administrator as `tls` says.
fn user_statements(tls: Mode) -> String {
    let require = match tls {
        Mode::Off | Mode::Optional | Mode::OtherHost => "NONE",
        Mode::Required => "SSL",
        Mode::ClientCertificate => "X509",
    };
    let password = CANARY.replace('\\', "\\\\").replace('\'', "''");
    [(HARNESS, "NONE"), (USER, require)]
        .map(|(user, require)| {
            format!(
                "CREATE USER '{user}'@'%' IDENTIFIED BY '{password}' REQUIRE {require};\n\
                 GRANT ALL ON *.* TO '{user}'@'%' WITH GRANT OPTION;\n"
            )
        })
        .concat()
}

fn answers(port: u16) -> bool {
    block_on(query(port, "", "SELECT 1")).is_ok()
}

async fn query(port: u16, database: &str, sql: &str) -> mysql_async::Result<Rows> {
    let database = (!database.is_empty()).then(|| database.to_string());
    let opts = OptsBuilder::default()
        .ip_or_hostname("127.0.0.1")
        .tcp_port(port)
        .user(Some(HARNESS))
        .pass(Some(CANARY))
        .db_name(database)
        .prefer_socket(false);
    let mut connection = Conn::new(opts).await?;
    let mut rows = Vec::new();
    let mut result = connection.query_iter(sql).await?;
    while !result.is_empty() {
        rows.extend(result.collect::<Row>().await?.into_iter().map(text));
    }
    // An error in a later statement shows only here.
    result.drop_result().await?;
    connection.disconnect().await?;
    Ok(rows)
}

fn text(row: Row) -> Vec<Option<String>> {
    row.unwrap()
        .into_iter()
        .map(|value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true)),
        })
        .collect()
}
