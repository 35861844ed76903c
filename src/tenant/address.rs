//! Where a server is: a host and a port, a socket, several of them, or a directory.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a server is. Two ways to one server are two servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A host name or address (IPv6 without brackets) and a port.
    Tcp { host: String, port: u16 },
    /// The file of a Unix socket.
    Socket(PathBuf),
    /// PostgreSQL: places that are tried in order, and what the session there must be.
    Several { places: Vec<Endpoint>, wanted: SessionTarget },
    /// A directory of SQLite files, absolute.
    Directory(PathBuf),
}

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// A host name or address (IPv6 without brackets) and a port.
    Tcp { host: String, port: u16 },
    /// The file of a Unix socket.
    Socket(PathBuf),
}

/// What a session must be, as libpq means it.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-TARGET-SESSION-ATTRS>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SessionTarget {
    /// Any.
    #[default]
    Any,
    /// It takes writes.
    ReadWrite,
    /// It takes none.
    ReadOnly,
    /// Its server is no standby.
    Primary,
    /// Its server is a standby.
    Standby,
    /// Its server is a standby, or any where none of them is.
    PreferStandby,
}

impl SessionTarget {
    /// Every choice.
    pub const ALL: [SessionTarget; 6] =
        [Self::Any, Self::ReadWrite, Self::ReadOnly, Self::Primary, Self::Standby, Self::PreferStandby];

    /// Returns the word for it in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }

    /// Returns the choice that a word of a URL means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.as_str() == word)
    }

    /// Returns why a session will not do, if it will not.
    pub fn misses(self, in_recovery: bool, read_only: bool) -> Option<&'static str> {
        match self {
            Self::ReadWrite if in_recovery => Some("it is a standby and takes no writes"),
            Self::ReadWrite if read_only => Some("it takes no writes (transaction_read_only is on)"),
            Self::ReadOnly if !read_only && !in_recovery => Some("it takes writes"),
            Self::Primary if in_recovery => Some("it is a standby"),
            Self::Standby | Self::PreferStandby if !in_recovery => Some("it is no standby"),
            _ => None,
        }
    }
}

impl Address {
    /// Returns the places to try, in order; none for a directory.
    pub fn places(&self) -> Vec<Endpoint> {
        match self {
            Self::Tcp { host, port } => vec![Endpoint::Tcp { host: host.clone(), port: *port }],
            Self::Socket(file) => vec![Endpoint::Socket(file.clone())],
            Self::Several { places, .. } => places.clone(),
            Self::Directory(_) => Vec::new(),
        }
    }

    /// Returns what a session there must be.
    pub fn wanted(&self) -> SessionTarget {
        match self {
            Self::Several { wanted, .. } => *wanted,
            _ => SessionTarget::Any,
        }
    }

    /// Makes the address of these places.
    pub(super) fn of(mut places: Vec<Endpoint>, wanted: SessionTarget) -> Self {
        if places.len() != 1 || wanted != SessionTarget::Any {
            return Self::Several { places, wanted };
        }
        match places.remove(0) {
            Endpoint::Tcp { host, port } => Self::Tcp { host, port },
            Endpoint::Socket(file) => Self::Socket(file),
        }
    }
}

impl Endpoint {
    /// Returns the file of PostgreSQL's socket in a folder.
    /// <https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-UNIX-SOCKET-DIRECTORIES>
    pub(super) fn postgres_socket(folder: &str, port: u16) -> Self {
        Self::Socket(Path::new(folder).join(format!(".s.PGSQL.{port}")))
    }

    /// Returns host and port as files of passwords name them: for a socket its folder, and the port in its name.
    pub fn named(&self) -> (&str, u16) {
        match self {
            Self::Tcp { host, port } => (host, *port),
            Self::Socket(file) => {
                let port = file.extension().and_then(|port| port.to_str()?.parse().ok());
                (file.parent().and_then(Path::to_str).unwrap_or_default(), port.unwrap_or(0))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(file) => file.display().fmt(f),
        }
    }
}

/// Shows `host:port`, the socket's file, `h1:5432,h2:5433`, or the directory.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Directory(path) = self {
            return path.display().fmt(f);
        }
        for (index, place) in self.places().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{place}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_a_url_writes_it() {
        let tcp = |host: &str, port| Endpoint::Tcp { host: host.into(), port };
        for (places, shown) in [
            (vec![tcp("h", 5432)], "h:5432"),
            (vec![tcp("::1", 1)], "[::1]:1"),
            (vec![tcp("h1", 5432), tcp("h2", 5433)], "h1:5432,h2:5433"),
            (vec![Endpoint::postgres_socket("/run/pg", 5433)], "/run/pg/.s.PGSQL.5433"),
        ] {
            assert_eq!(Address::of(places, SessionTarget::Any).to_string(), shown);
        }
        assert_eq!(Endpoint::postgres_socket("/run/pg", 5433).named(), ("/run/pg", 5433));
        assert_eq!(Address::of(vec![tcp("h", 1)], SessionTarget::Primary).wanted(), SessionTarget::Primary);
    }

    #[test]
    fn a_session_is_what_is_wanted_as_libpq_means_it() {
        use SessionTarget::*;
        for (wanted, primary, read_only_primary, standby) in [
            (Any, true, true, true),
            (ReadWrite, true, false, false),
            (ReadOnly, false, true, true),
            (Primary, true, true, false),
            (Standby, false, false, true),
            (PreferStandby, false, false, true),
        ] {
            let found = [(false, false), (false, true), (true, true)].map(|(r, o)| wanted.misses(r, o).is_none());
            assert_eq!(found, [primary, read_only_primary, standby], "{wanted:?}");
            assert_eq!(SessionTarget::parse(wanted.as_str()), Some(wanted));
        }
    }
}
