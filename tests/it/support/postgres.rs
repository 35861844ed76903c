//! Private PostgreSQL servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::daemon::{Daemon, Launch};
use super::sandbox::{installed, sandbox};
use super::tls::{Mode, files};
use super::{CANARY, HARNESS, Options, Rows, USER};
use super::{block_on, percent_encoded, quoted, unique, with_sorted_inserts};

/// A running server; a clone is another handle of it. The last handle stops it.
#[derive(Clone)]
pub struct Postgres(Arc<Daemon>);

impl Postgres {
    /// Starts a server of one's own: to kill, or to configure.
    pub fn start(options: Options<'_>) -> Postgres {
        let folder = sandbox().folder(&unique("postgres"));
        let data = folder.join("data");
        copy(&TEMPLATE, &data);
        write_access_rules(&data, options.tls);
        let daemon = Daemon::launch(Launch {
            program: program("postgres"),
            args: &|port| arguments(&data, port, options),
            // Immediate shutdown: the server ends its own children.
            guard_signal: "QUIT",
            probe: &answers,
            folder,
        });
        let server = Postgres(Arc::new(daemon));
        let password = CANARY.replace('\'', "''");
        server.execute("postgres", &format!("CREATE ROLE {USER} SUPERUSER LOGIN PASSWORD '{password}'"));
        server
    }

    /// Starts a streaming standby of this server, which must run with `wal_level=replica` and some `max_wal_senders`;
    /// `options` are the same as its own.
    pub fn start_standby(&self, options: Options<'_>) -> Postgres {
        let folder = sandbox().folder(&unique("standby"));
        let data = folder.join("data");
        let source = format!("host=127.0.0.1 port={} user={HARNESS}", self.port());
        let output = sandbox()
            .command("KILL", &program("pg_basebackup"), &folder)
            .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--dbname"])
            .arg(&source)
            .arg("--pgdata")
            .arg(&data)
            .env("PGPASSWORD", CANARY)
            .output()
            .expect("pg_basebackup");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_basebackup: {errors}");
        let daemon = Daemon::launch(Launch {
            program: program("postgres"),
            args: &|port| arguments(&data, port, options),
            guard_signal: "QUIT",
            probe: &answers,
            folder,
        });
        Postgres(Arc::new(daemon))
    }

    /// The URL of a database, for the administrator.
    pub fn url(&self, database: &str) -> String {
        self.url_as(USER, CANARY, "127.0.0.1", database)
    }

    /// The URL of the server, without a database.
    pub fn server_url(&self) -> String {
        self.url("").trim_end_matches('/').to_string()
    }

    /// The URL of a database for any role, by any name of this host.
    pub fn url_as(&self, user: &str, password: &str, host: &str, database: &str) -> String {
        let [user, password, database] = [user, password, database].map(percent_encoded);
        format!("postgres://{user}:{password}@{host}:{}/{database}", self.0.port)
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Runs statements, as one message: they commit together.
    #[track_caller]
    pub fn execute(&self, database: &str, sql: &str) {
        self.query(database, sql);
    }

    /// Runs statements and returns the rows of all of them, as text.
    #[track_caller]
    pub fn query(&self, database: &str, sql: &str) -> Rows {
        match block_on(query(self.0.port, database, sql)) {
            Ok(rows) => rows,
            Err(error) => {
                panic!("{sql}: {:?}", error.as_db_error().map(ToString::to_string).unwrap_or(error.to_string()))
            }
        }
    }

    /// Makes an empty database with a new name.
    pub fn create_database(&self) -> String {
        let name = unique("db");
        self.create_database_named(&name);
        name
    }

    pub fn create_database_named(&self, name: &str) {
        // FILE_COPY with fsync off costs less than the default, which logs every block.
        let name = quoted(name, '"');
        self.execute("postgres", &format!("CREATE DATABASE {name} STRATEGY file_copy"));
    }

    /// Makes an empty schema with a new name.
    pub fn create_schema(&self, database: &str) -> String {
        let name = unique("schema");
        self.create_schema_named(database, &name);
        name
    }

    pub fn create_schema_named(&self, database: &str, name: &str) {
        self.execute(database, &format!("CREATE SCHEMA {}", quoted(name, '"')));
    }

    /// Everything in a database: objects, rows, sequences, rights. The same for the same content.
    pub fn dump(&self, database: &str) -> String {
        self.pg_dump(database, &[])
    }

    /// Everything in one schema.
    pub fn dump_schema(&self, database: &str, schema: &str) -> String {
        // The option takes a pattern; in quotes it is a name.
        self.pg_dump(database, &["--schema", &quoted(schema, '"')])
    }

    /// Everything in one schema, as statements that make it again.
    pub fn restorable(&self, database: &str, schema: &str) -> String {
        self.raw_dump(database, &["--schema", &quoted(schema, '"')])
    }

    fn pg_dump(&self, database: &str, options: &[&str]) -> String {
        with_sorted_inserts(&self.raw_dump(database, options))
    }

    fn raw_dump(&self, database: &str, options: &[&str]) -> String {
        let output = Command::new(program("pg_dump"))
            .args(["--inserts", "--no-password", "--host=127.0.0.1"])
            .args(options)
            .arg(format!("--port={}", self.0.port))
            .arg(format!("--username={HARNESS}"))
            .env("PGDATABASE", database)
            .env("PGPASSWORD", CANARY)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("pg_dump");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pg_dump {database}: {errors}");
        let dump = String::from_utf8(output.stdout).expect("a dump in UTF-8");
        let lines: Vec<&str> = dump.lines().filter(|line| !is_noise(line)).collect();
        lines.join("\n")
    }

    /// How many sessions other than the harness's own are connected.
    pub fn sessions(&self) -> usize {
        let rows = self.query(
            "postgres",
            &format!(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE backend_type = 'client backend' AND usename <> '{HARNESS}'"
            ),
        );
        rows[0][0].as_deref().expect("a count").parse().expect("a count")
    }

    /// Kills the server and all its children with -9, as a crash does.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Ends the server at once, sessions with it ("immediate shutdown").
    pub fn stop_immediate(&self) {
        self.0.stop(Signal::QUIT);
    }

    /// Starts the stopped or killed server again, on the same port.
    pub fn restart(&self) {
        self.0.restart(&answers);
    }

    /// Sends a signal to every process of the server: `STOP` and `CONT` make it hang for a while.
    pub fn signal_all(&self, signal: Signal) {
        self.0.signal_all(signal);
    }

    /// No file may grow beyond `bytes` for sessions that begin from now on; `None` ends that.
    pub fn limit_files(&self, bytes: Option<u64>) {
        self.0.limit_files(bytes);
    }

    /// The process id of the running server.
    pub fn pid(&self) -> Option<u32> {
        self.0.pid()
    }
}

/// A data folder as `initdb` leaves it: made once, copied for each server.
static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = sandbox().folder("postgres-template");
    let password_file = folder.join("password");
    fs::write(&password_file, CANARY).expect("a password file");
    sandbox().give(&password_file);
    let data = folder.join("data");
    let output = sandbox()
        .command("KILL", &program("initdb"), &folder)
        .args(["--no-sync", "--no-locale", "--encoding=UTF8"])
        .args(["--auth=scram-sha-256", "--username", HARNESS])
        .arg("--pwfile")
        .arg(&password_file)
        .arg("--pgdata")
        .arg(&data)
        .output()
        .expect("initdb");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "initdb: {errors}");
    data
});

fn arguments(data: &Path, port: u16, options: Options<'_>) -> Vec<String> {
    let port = port.to_string();
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", &port),
        ("unix_socket_directories", ""),
        ("max_connections", "300"),
        ("shared_buffers", "16MB"),
        // In the data folder, where it goes with the server also after a kill; the default leaves it in /dev/shm.
        ("dynamic_shared_memory_type", "mmap"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        // A crash of the server, unlike one of the machine, loses nothing without fsync.
        ("fsync", "off"),
        ("full_page_writes", "off"),
    ];
    let tls = (options.tls != Mode::Off).then(|| files().as_text(options.tls));
    if let Some(tls) = &tls {
        settings.push(("ssl", "on"));
        settings.push(("ssl_cert_file", &tls.certificate));
        settings.push(("ssl_key_file", &tls.key));
        settings.push(("ssl_ca_file", &tls.ca));
    }
    settings.extend(options.conf);
    let settings = settings.iter().flat_map(|(name, value)| ["-c".to_string(), format!("{name}={value}")]);
    ["-D".to_string(), data.display().to_string()].into_iter().chain(settings).collect()
}

/// The harness comes in by password alone, everybody else as `tls` says.
fn write_access_rules(data: &Path, tls: Mode) {
    let (kind, option) = match tls {
        Mode::Off | Mode::Optional | Mode::OtherHost => ("host", ""),
        Mode::Required => ("hostssl", ""),
        Mode::ClientCertificate => ("hostssl", " clientcert=verify-ca"),
    };
    let rules = format!(
        "host all {HARNESS} 127.0.0.1/32 scram-sha-256\n\
         host replication {HARNESS} 127.0.0.1/32 scram-sha-256\n\
         {kind} all all 127.0.0.1/32 scram-sha-256{option}\n"
    );
    fs::write(data.join("pg_hba.conf"), rules).expect("pg_hba.conf");
}

/// Copies a data folder with its owner and rights.
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "cp {}", to.display());
}

/// `PATH` first, then where Debian keeps them, the newest version first.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    versions
        .iter()
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .find(|folder| folder.join("postgres").is_file())
        .map_or_else(|| installed(&[name]), |folder| folder.join(name))
}

pub(super) fn answers(port: u16) -> bool {
    block_on(query(port, "postgres", "SELECT 1")).is_ok()
}

async fn query(port: u16, database: &str, sql: &str) -> Result<Rows, tokio_postgres::Error> {
    let client = connect(port, database).await?;
    let messages = client.simple_query(sql).await?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        })
        .map(|row| (0..row.len()).map(|n| row.get(n).map(str::to_string)).collect())
        .collect())
}

async fn connect(port: u16, database: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = Config::new()
        .host("127.0.0.1")
        .port(port)
        .user(HARNESS)
        .password(CANARY)
        .dbname(database)
        .connect_timeout(Duration::from_secs(10))
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Lines of a dump that differ from call to call or say nothing of the content.
fn is_noise(line: &str) -> bool {
    line.starts_with("\\restrict") || line.starts_with("\\unrestrict") || line.starts_with("--")
}
