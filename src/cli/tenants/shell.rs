//! `tenants shell`: the engine's own client, on one tenant.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::cli::{Context, Outcome, named_one};
use crate::error::{Code, Diagnostic, ExitStatus, Secret, plain};
use crate::tenant::{Datasource, Endpoint, Outward, Server, Tenant, TlsMode, mysql_mode};

const EXAMPLES: &str = "\
Examples:
  mtmigrate tenants shell acme                              psql, mariadb or sqlite3 on acme
  mtmigrate tenants shell acme -- -c 'select count(*) from orders'
  mtmigrate tenants shell acme -- --csv < report.sql

Exit status: the client's own; 2 usage or configuration, no such tenant, the client is missing, or
  the password cannot be fetched; 5 a source of tenants.yaml does not answer";

/// Opens the engine's own client on one tenant: psql, mariadb (or mysql), sqlite3.
///
/// Writes to tenants: no, but whoever types there may. The client takes this process's place and its terminal; it finds
/// the password in its environment and never in its arguments. On PostgreSQL the session begins in the tenant's schema.
/// What follows `--` is passed on. What is changed by hand is drift: say it in a changeset.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShellArgs {
    /// The tenant, by its name; one that begins with `-` stands behind the `--`
    #[arg(value_name = "NAME", required_unless_present = "args")]
    tenant: Option<String>,
    /// What the client is told beside the datasource
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Becomes the client.
pub(super) fn run(args: &ShellArgs, context: &Context) -> Outcome {
    let fleet = super::fleet(context)?;
    let (name, told) = match (&args.tenant, args.args.split_first()) {
        (Some(name), _) => (name.clone(), &args.args[..]),
        (None, Some((name, told))) => (name.to_string_lossy().into_owned(), told),
        (None, None) => (String::new(), &args.args[..]),
    };
    let tenant = named_one(&fleet, &name).map_err(|one| vec![one])?;
    if let Some(reason) = &tenant.quarantined {
        context.console.say(&format!("{} is quarantined: {}", plain(&tenant.name), plain(reason)));
    }
    let client = Client::of(tenant).map_err(|one| vec![one])?;
    let password = super::password(&fleet, tenant).map_err(|one| vec![one])?;
    let mut command = client.command(fleet.server(tenant.server), tenant, password.as_ref());
    command.args(told);
    become_it(command, client.kind).map_err(|one| vec![one])
}

/// What kind of client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Psql,
    MariaDb,
    MySql,
    Sqlite,
}

/// A client program.
struct Client {
    kind: Kind,
    program: PathBuf,
}

impl Client {
    /// Finds the client of a tenant's engine.
    ///
    /// # Errors
    /// `MT158` without one; `MT312` for a file that is not there, which the client would make.
    fn of(tenant: &Tenant) -> Result<Self, Diagnostic> {
        let found = |kind, name: &str| Some(Self { kind, program: in_path(name)? });
        match &tenant.datasource {
            Datasource::Postgres { .. } => found(Kind::Psql, "psql").ok_or_else(|| missing(Kind::Psql)),
            Datasource::MySql { .. } => found(Kind::MariaDb, "mariadb")
                .or_else(|| found(Kind::MySql, "mysql").map(Self::by_its_own_word))
                .ok_or_else(|| missing(Kind::MariaDb)),
            Datasource::Sqlite { file, shown, .. } if !file.exists() => {
                let message = format!("the file of tenant {} is not there: {shown}", tenant.name);
                let hint = "`mtmigrate up` makes it where its URL says mode=rwc";
                Err(Diagnostic::new(Code::NO_DATABASE, message).hint(hint))
            }
            Datasource::Sqlite { .. } => found(Kind::Sqlite, "sqlite3").ok_or_else(|| missing(Kind::Sqlite)),
        }
    }

    /// MariaDB's client goes by MySQL's name too, and takes other options.
    fn by_its_own_word(self) -> Self {
        let said = Command::new(&self.program).arg("--version").output();
        let is_mariadb = said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("MariaDB"));
        Self { kind: if is_mariadb { Kind::MariaDb } else { Kind::MySql }, ..self }
    }

    /// Returns the command: nothing that is secret is among its arguments.
    fn command(&self, server: &Server, tenant: &Tenant, password: Option<&Secret>) -> Command {
        let mut command = Command::new(&self.program);
        let password = password.map(Secret::reveal);
        let environment = Outward { server, tenant }.environment(password);
        match self.kind {
            Kind::Psql => {
                OTHERS_OF_LIBPQ.iter().for_each(|name| _ = command.env_remove(name));
                command.envs(environment);
            }
            Kind::MariaDb | Kind::MySql => {
                // A file of options may hold another password, which would win over the environment's.
                command.arg("--no-defaults").args(mysql_arguments(self.kind, server, tenant));
                match password {
                    Some(password) => command.env("MYSQL_PWD", password),
                    None => command.env_remove("MYSQL_PWD"),
                };
            }
            Kind::Sqlite => {
                if let Datasource::Sqlite { file, .. } = &tenant.datasource {
                    command.arg(file);
                }
            }
        }
        command
    }
}

/// What libpq would take from our own environment and what would lead elsewhere.
/// <https://www.postgresql.org/docs/current/libpq-envars.html>
const OTHERS_OF_LIBPQ: [&str; 14] = [
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGPASSWORD",
    "PGSERVICE",
    "PGOPTIONS",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
    "PGREQUIRESSL",
    "PGTARGETSESSIONATTRS",
];

/// <https://mariadb.com/kb/en/mariadb-command-line-client/>, <https://dev.mysql.com/doc/refman/8.4/en/mysql-command-options.html>
fn mysql_arguments(kind: Kind, server: &Server, tenant: &Tenant) -> Vec<OsString> {
    let mut made: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: &Path| {
        let mut argument = OsString::from(format!("--{option}="));
        argument.push(value);
        made.push(argument);
    };
    match server.address.places().into_iter().next() {
        Some(Endpoint::Socket(file)) => add("socket", &file),
        Some(Endpoint::Tcp { host, port }) => {
            add("protocol", Path::new("tcp"));
            add("host", Path::new(&host));
            add("port", Path::new(&port.to_string()));
        }
        None => {}
    }
    if let Some(user) = &tenant.access.user {
        add("user", Path::new(user));
    }
    add("database", Path::new(tenant.datasource.database()));
    let tls = &tenant.access.tls;
    if let Some(file) = &tls.ca_file {
        add("ssl-ca", file);
    }
    if let Some(client) = &tls.client {
        add("ssl-cert", &client.cert_file);
        add("ssl-key", &client.key_file);
    }
    match (kind, tls.mode) {
        (Kind::MySql, mode) => add("ssl-mode", Path::new(mysql_mode(mode))),
        (_, TlsMode::Disable) => made.push("--skip-ssl".into()),
        (_, TlsMode::Prefer | TlsMode::Require) => {
            made.extend(["--ssl", "--skip-ssl-verify-server-cert"].map(OsString::from));
        }
        // It knows no check of the authority alone.
        (_, TlsMode::VerifyCa | TlsMode::VerifyFull) => {
            made.extend(["--ssl", "--ssl-verify-server-cert"].map(OsString::from));
        }
    }
    made
}

fn in_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

fn missing(kind: Kind) -> Diagnostic {
    let (program, packages) = match kind {
        Kind::Psql => ("psql", "postgresql-client (Debian, Ubuntu), postgresql (Fedora), libpq (Homebrew)"),
        Kind::MariaDb | Kind::MySql => {
            ("mariadb or mysql", "mariadb-client (Debian, Ubuntu), mariadb (Fedora), mysql-client (Homebrew)")
        }
        Kind::Sqlite => ("sqlite3", "sqlite3 (Debian, Ubuntu), sqlite (Fedora, Homebrew)"),
    };
    Diagnostic::new(Code::NO_CLIENT, format!("the client {program} is not there, or not in PATH"))
        .state("nothing was touched")
        .hint(format!("install the package {packages}"))
}

/// Replaces this process by the command.
///
/// # Errors
/// `MT158` when it cannot be started.
#[cfg(unix)]
fn become_it(mut command: Command, kind: Kind) -> Result<ExitStatus, Diagnostic> {
    use std::os::unix::process::CommandExt;
    Err(not_started(&command.exec(), kind))
}

/// Runs the command, and leaves with its status.
///
/// # Errors
/// `MT158` when it cannot be started.
#[cfg(not(unix))]
fn become_it(mut command: Command, kind: Kind) -> Result<ExitStatus, Diagnostic> {
    let status = command.status().map_err(|error| not_started(&error, kind))?;
    std::process::exit(status.code().unwrap_or(1))
}

fn not_started(error: &std::io::Error, kind: Kind) -> Diagnostic {
    match error.kind() {
        ErrorKind::NotFound => missing(kind),
        _ => missing(kind).cause(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant::{self, ProcessEnvironment};

    /// Returns the client's arguments and the names of its variables for a tenant with these keys.
    fn told(kind: Kind, keys: &str) -> (String, Vec<String>) {
        let text = format!("tenants: [{{ name: acme, {keys} }}]");
        let fleet = tenant::parse(Path::new("tenants.yaml"), &text, &ProcessEnvironment).expect("understood");
        let tenant = &fleet.tenants[0];
        let client = Client { kind, program: "client".into() };
        let command = client.command(fleet.server(tenant.server), tenant, Some(&Secret::new("hunter2")));
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let set = command.get_envs().filter(|(_, value)| value.is_some());
        (words.join(" "), set.map(|(name, _)| name.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn the_password_is_in_the_environment_and_never_in_an_argument() {
        for (kind, keys, arguments, variable) in [
            (Kind::Psql, r#"url: "postgres://u@h/d""#, "", "PGPASSWORD"),
            (
                Kind::MariaDb,
                r#"url: "mysql://u@h:3307/d", tls: verify-full"#,
                "--no-defaults --protocol=tcp --host=h --port=3307 --user=u --database=d --ssl --ssl-verify-server-cert",
                "MYSQL_PWD",
            ),
            (
                Kind::MySql,
                r#"url: "mysql://u@h/d", tls: require"#,
                "--no-defaults --protocol=tcp --host=h --port=3306 --user=u --database=d --ssl-mode=REQUIRED",
                "MYSQL_PWD",
            ),
        ] {
            let (words, variables) = told(kind, keys);
            assert_eq!(words, arguments);
            assert!(variables.iter().any(|name| name == variable), "{variables:?}");
        }
        assert_eq!(told(Kind::Sqlite, r#"url: "sqlite:///data/-x.db""#), ("/data/-x.db".into(), Vec::new()));
    }

    #[test]
    fn a_database_that_looks_like_an_option_is_none() {
        let (words, _) = told(Kind::MariaDb, r#"url: "mysql://--evil@h/--init-command=x", tls: disable"#);
        assert!(words.contains(" --user=--evil --database=--init-command=x --skip-ssl"), "{words}");
    }
}
