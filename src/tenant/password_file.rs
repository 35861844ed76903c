//! Files of passwords that other clients read too: PostgreSQL's `.pgpass`, MySQL's option files.
//!
//! A file is looked into for each connection, so a password that was changed there holds for the next one.

use std::fs;
use std::path::{Path, PathBuf};

use super::interpolate::Environment;
use super::password::NoPassword;
use crate::error::Secret;
use crate::input;
use crate::sql::EngineKind;

/// The largest such file that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// Who wants a password, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The user.
    pub user: &'a str,
    /// The host, or the folder of a socket.
    pub host: &'a str,
    /// The port; for a socket the one in its name.
    pub port: u16,
    /// The database.
    pub database: &'a str,
}

/// A file of passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordFile {
    format: Format,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// <https://www.postgresql.org/docs/current/libpq-pgpass.html>
    Pgpass,
    /// <https://dev.mysql.com/doc/refman/8.4/en/option-files.html>
    Options,
}

/// Why a file that is there is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: String,
    pub(super) hint: String,
}

/// What an option file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

impl PasswordFile {
    /// Returns the file that the environment names for an engine, or that is in the home folder; it need not be there.
    pub(super) fn of_environment(engine: EngineKind, env: &dyn Environment) -> Option<Self> {
        let set = |name| env.var(name).filter(|value| !value.is_empty());
        let at_home = |name| Some(PathBuf::from(set("HOME")?).join(name));
        match engine {
            EngineKind::Postgres => {
                let path = set("PGPASSFILE").map(PathBuf::from).or_else(|| at_home(".pgpass"))?;
                Some(Self { format: Format::Pgpass, path })
            }
            EngineKind::MySql => Some(Self { format: Format::Options, path: at_home(".my.cnf")? }),
            EngineKind::Sqlite => None,
        }
    }

    /// Takes a file that `tenants.yaml` names.
    pub(super) fn named(engine: EngineKind, path: PathBuf) -> Self {
        let format = if engine == EngineKind::Postgres { Format::Pgpass } else { Format::Options };
        Self { format, path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it may be used: nothing where there is no such file.
    ///
    /// # Errors
    /// What stands against it. `.pgpass` is for its owner alone; an option file that everybody may write is nobody's word.
    pub(super) fn look(&self) -> Result<Option<()>, Refused> {
        let shown = self.path.display();
        let Ok(found) = fs::metadata(&self.path) else { return Ok(None) };
        let refused = |why: String, hint: String| Err(Refused { why, hint });
        if !found.is_file() {
            let why = format!("{shown} is {} and no regular file", input::kind(found.file_type()));
            return refused(why, "make it a file, or take it away".to_owned());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = found.permissions().mode();
            match self.format {
                Format::Pgpass if mode & 0o077 != 0 => {
                    let why = format!("{shown} has group or world access (mode {:04o})", mode & 0o7777);
                    return refused(why, format!("`chmod 600 {shown}`"));
                }
                Format::Options if mode & 0o002 != 0 => {
                    let why = format!("everybody may write {shown} (mode {:04o})", mode & 0o7777);
                    return refused(why, format!("`chmod 600 {shown}`"));
                }
                _ => {}
            }
        }
        match input::look(&self.path, LIMIT) {
            Ok(()) => Ok(Some(())),
            Err(error) => refused(format!("{shown} cannot be read: {error}"), "let this user read it".to_owned()),
        }
    }

    /// Reads an option file; what cannot be read says nothing.
    pub(super) fn options(&self) -> Options {
        match (self.format, self.read()) {
            (Format::Options, Ok(text)) => options(&text),
            _ => Options::default(),
        }
    }

    /// Returns the password for who asks; nothing where the file has none, or may not be used any more.
    pub(super) async fn look_up(&self, asker: &Asker<'_>) -> Result<Option<Secret>, NoPassword> {
        let file = self.clone();
        let read = tokio::task::spawn_blocking(move || match file.look() {
            Ok(Some(())) => file.read().map(Some).map_err(|error| format!("{error}")),
            Ok(None) => Ok(None),
            Err(refused) => Err(refused.why),
        });
        let text = match read.await {
            Ok(Ok(Some(text))) => text,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(why)) => return Err(NoPassword::new(why)),
            Err(_) => return Err(NoPassword::new(format!("{} was not read", self.path.display()))),
        };
        Ok(match self.format {
            Format::Pgpass => pgpass(&text, asker),
            Format::Options => options(&text).password,
        })
    }

    fn read(&self) -> std::io::Result<String> {
        // Other entries may be in any encoding.
        input::read(&self.path, LIMIT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Finds the password of the first line that fits. `*` fits anything, `\:` and `\\` are those characters.
fn pgpass(text: &str, asker: &Asker<'_>) -> Option<Secret> {
    let port = asker.port.to_string();
    let fits = |field: &str, value: &str| field == "*" || unescaped(field) == value;
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        let mut field = || {
            let end = end_of_field(rest)?;
            let field = &rest[..end];
            rest = &rest[end + 1..];
            Some(field)
        };
        let [host, on, database, user] = [field()?, field()?, field()?, field()?];
        // A socket is `localhost` there, or its folder.
        let host = fits(host, asker.host) || (asker.host.starts_with('/') && host == "localhost");
        let found = host && fits(on, &port) && fits(database, asker.database) && fits(user, asker.user);
        let password = unescaped(&rest[..end_of_field(rest).unwrap_or(rest.len())]);
        (found && !password.is_empty()).then(|| Secret::new(password))
    })
}

/// Returns where the `:` is that ends a field.
fn end_of_field(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b':' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescaped(field: &str) -> String {
    let mut made = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => made.extend(chars.next()),
            c => made.push(c),
        }
    }
    made
}

/// Reads the groups `[client]` and `[mtmigrate]`. What is said twice is as it is said last.
fn options(text: &str) -> Options {
    let (mut made, mut ours) = (Options::default(), false);
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[') {
            let group = group.split(']').next().unwrap_or_default().trim();
            ours = ["client", "mtmigrate"].contains(&group);
        } else if ours
            && !line.starts_with(['#', ';', '!'])
            && let Some((key, value)) = line.split_once('=')
        {
            match key.trim() {
                "user" => made.user = Some(value_of(value)).filter(|user| !user.is_empty()),
                "password" => made.password = Some(value_of(value)).filter(|value| !value.is_empty()).map(Secret::new),
                _ => {}
            }
        }
    }
    made
}

/// Reads a value: a comment at its end and quotes around it are taken away, escapes replaced.
/// <https://dev.mysql.com/doc/refman/8.4/en/option-files.html#option-file-syntax>
fn value_of(written: &str) -> String {
    let (mut quote, mut escaped, mut end) = (None, false, written.len());
    for (at, c) in written.char_indices() {
        match (c, quote) {
            ('#', None) => {
                end = at;
                break;
            }
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open && !escaped => quote = None,
            _ => {}
        }
        escaped = c == '\\' && !escaped && quote.is_some();
    }
    let value = written[..end].trim();
    let bare = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let mut made = String::new();
    let mut chars = bare.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.clone().next() } else { None }) {
            ('\\', Some(next @ ('b' | 't' | 'n' | 'r' | 's' | '\\' | '\'' | '"'))) => {
                chars.next();
                made.push(match next {
                    'b' => '\u{8}',
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    's' => ' ',
                    other => other,
                });
            }
            (c, _) => made.push(c),
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_line_of_pgpass_that_fits_gives_the_password() {
        let text = "\
# h:5432:d:u:comment
h:5433:d:u:other port
broken
h:5432:other:u:other database
h:5432:d:u\\:x:escaped \\: and \\\\ user
/run/pg:5432:*:u:folder
localhost:5432:*:u:socket
[h]:5432:d:u:brackets
h:5432:d:u:first
h:*:*:u:second
*:*:*:empty:
*:*:*:*:anyone:more
";
        for (host, port, database, user, password) in [
            ("h", 5432, "d", "u", "first"),
            ("h", 1, "d", "u", "second"),
            ("h", 5433, "d", "u", "other port"),
            ("h", 5432, "d", "u:x", "escaped : and \\ user"),
            ("/run/pg", 5432, "d", "u", "folder"),
            ("/tmp", 5432, "d", "u", "socket"),
            ("::1", 7, "d", "w", "anyone"),
            ("h", 5432, "d", "empty", "anyone"),
        ] {
            let found = pgpass(text, &Asker { user, host, port, database });
            assert_eq!(found.as_ref().map(Secret::reveal), Some(password), "{host}:{port}:{database}:{user}");
        }
        assert_eq!(pgpass("h:5432:d:u:x\r\n", &Asker { user: "w", host: "h", port: 5432, database: "d" }), None);
    }

    #[test]
    fn an_option_file_gives_user_and_password_of_two_groups() {
        for (text, user, password) in [
            ("", None, None),
            ("[client]\nuser=u\npassword=p", Some("u"), Some("p")),
            ("[mysqld]\nuser=m\n[client]\n password = \"a b\" # why\n", None, Some("a b")),
            ("[client]\npassword=a\n[mtmigrate]\npassword='b#c'\nuser = deploy", Some("deploy"), Some("b#c")),
            ("[client]\npassword=a#b", None, Some("a")),
            (
                "[client]\n#password=x\n;password=y\n!include z\npassword=\"a\\\"b\\\\c\\sd\\q\"",
                None,
                Some("a\"b\\c d\\q"),
            ),
            ("password=x\n[ client ]\npassword", None, None),
            ("[client]\npassword=\nuser=''", None, None),
        ] {
            let found = options(text);
            assert_eq!(found.user.as_deref(), user, "{text}");
            assert_eq!(found.password.as_ref().map(Secret::reveal), password, "{text}");
        }
    }

    #[test]
    fn the_environment_says_where_the_files_are() {
        let path = |engine, env: &[(&'static str, &'static str)]| {
            let env: HashMap<&str, &str> = env.iter().copied().collect();
            PasswordFile::of_environment(engine, &env).map(|file| file.path.display().to_string())
        };
        let home = ("HOME", "/home/u");
        for (engine, env, found) in [
            (EngineKind::Postgres, &[home][..], Some("/home/u/.pgpass")),
            (EngineKind::Postgres, &[home, ("PGPASSFILE", "/p")], Some("/p")),
            (EngineKind::Postgres, &[home, ("PGPASSFILE", "")], Some("/home/u/.pgpass")),
            (EngineKind::Postgres, &[], None),
            (EngineKind::MySql, &[home], Some("/home/u/.my.cnf")),
            (EngineKind::Sqlite, &[home], None),
        ] {
            assert_eq!(path(engine, env).as_deref(), found);
        }
    }

    #[test]
    fn a_file_that_others_may_read_or_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (format, mode, allowed) in [
            (Format::Pgpass, 0o600, true),
            (Format::Pgpass, 0o640, false),
            (Format::Pgpass, 0o604, false),
            (Format::Options, 0o644, true),
            (Format::Options, 0o666, false),
        ] {
            let path = folder.path().join("file");
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(PasswordFile { format, path }.look().is_ok(), allowed, "{format:?} {mode:o}");
        }
        let path = folder.path().join("none");
        assert_eq!(PasswordFile { format: Format::Pgpass, path }.look(), Ok(None));
        let path = folder.path().to_owned();
        assert!(PasswordFile { format: Format::Pgpass, path }.look().is_err());
    }
}
