//! A connection pooler in front of a PostgreSQL server.

use std::fs;

use super::daemon::{Daemon, Launch};
use super::postgres::answers;
use super::sandbox::{installed, sandbox};
use super::{CANARY, HARNESS, Postgres, USER, unique};

/// A running pgbouncer. Dropping it stops it.
pub struct PgBouncer {
    daemon: Daemon,
    server: Postgres,
}

impl PgBouncer {
    /// Starts one for every database of a server; `settings` are lines of its `[pgbouncer]` section.
    pub fn to(server: &Postgres, settings: &[&str]) -> PgBouncer {
        let folder = sandbox().folder(&unique("pgbouncer"));
        let (config, users) = (folder.join("pgbouncer.ini"), folder.join("users.txt"));
        let target = server.port();
        let daemon = Daemon::launch(Launch {
            program: installed(&["pgbouncer"]),
            args: &|port| {
                let password = CANARY.replace('"', "\"\"");
                fs::write(&users, format!("\"{USER}\" \"{password}\"\n\"{HARNESS}\" \"{password}\"\n")).expect("users");
                let own = format!(
                    "[databases]\n* = host=127.0.0.1 port={target}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                     listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n{}\n",
                    users.display(),
                    settings.join("\n")
                );
                fs::write(&config, own).expect("pgbouncer.ini");
                sandbox().give(&config);
                sandbox().give(&users);
                vec![config.display().to_string()]
            },
            guard_signal: "KILL",
            probe: &answers,
            folder: folder.clone(),
        });
        PgBouncer { daemon, server: server.clone() }
    }

    /// The URL of a database of the server, through the pooler.
    pub fn url(&self, database: &str) -> String {
        let direct = format!(":{}/", self.server.port());
        self.server.url(database).replacen(&direct, &format!(":{}/", self.daemon.port), 1)
    }
}
