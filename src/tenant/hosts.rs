//! The hosts of a datasource URL: pure parsing. One, several, or the folder of a socket.
//!
//! A URL has one host by its grammar; PostgreSQL's may have several, and none where the host is a parameter.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::address::{Address, Endpoint, SessionTarget};
use super::url::{Quoted, UrlMistake, mistake, not_a_url};
use crate::sql::EngineKind;

/// A URL's text around its hosts.
pub(super) struct Authority<'u> {
    before: &'u str,
    hosts: &'u str,
    after: &'u str,
}

/// A host as the URL names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Host(String, Option<u16>),
    /// The folder of a socket.
    Folder(String, Option<u16>),
}

/// What the parameters say of the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WayParameters {
    /// PostgreSQL's `host`.
    pub(super) host: Option<String>,
    /// PostgreSQL's `port`.
    pub(super) port: Option<String>,
    /// MySQL's `socket`.
    pub(super) socket: Option<String>,
    /// PostgreSQL's `target_session_attrs`.
    pub(super) wanted: Option<SessionTarget>,
}

impl<'u> Authority<'u> {
    /// Splits a URL; nothing where it has no `://`.
    pub(super) fn of(text: &'u str) -> Option<Self> {
        let start = text.find("://")? + 3;
        let end = text[start..].find(['/', '?', '#']).map_or(text.len(), |at| start + at);
        let hosts = text[start..end].rfind('@').map_or(start, |at| start + at + 1);
        Some(Self { before: &text[..hosts], hosts: &text[hosts..end], after: &text[end..] })
    }

    /// Returns the URL with a host that every parser takes.
    pub(super) fn with_one_host(&self) -> String {
        format!("{}localhost{}", self.before, self.after)
    }

    /// Reads the hosts; none where there is none.
    pub(super) fn named(&self, engine: EngineKind, quoted: &Quoted<'_>) -> Result<Vec<Named>, UrlMistake> {
        let hosts: Vec<&str> = self.hosts.split(',').collect();
        match hosts.as_slice() {
            [""] => Ok(Vec::new()),
            [_, _, ..] if engine != EngineKind::Postgres => Err(mistake(
                "the URL names several hosts, which only PostgreSQL's can",
                "name the one that takes writes; a name or an address that moves with it does no harm",
            )),
            hosts => hosts.iter().map(|host| one(host, engine, quoted)).collect(),
        }
    }
}

fn no_host(engine: EngineKind) -> UrlMistake {
    let hint = match engine {
        EngineKind::Postgres => {
            "write `postgres://user@host:5432/database`, or for a socket `postgres:///database?host=/run/postgresql`"
        }
        _ => {
            "write `mysql://user@host:3306/database`, or for a socket `mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock`"
        }
    };
    mistake("the URL names no host", hint)
}

fn one(host: &str, engine: EngineKind, quoted: &Quoted<'_>) -> Result<Named, UrlMistake> {
    if host.is_empty() {
        return Err(no_host(engine));
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let decoded = percent_decode_str(name).decode_utf8_lossy();
    if engine == EngineKind::Postgres && decoded.starts_with('/') {
        let port = match port {
            None => None,
            Some(port) => Some(number(port).ok_or_else(|| not_a_url(url::ParseError::InvalidPort))?),
        };
        return Ok(Named::Folder(decoded.into_owned(), port));
    }
    let url = Url::parse(&format!("postgres://{host}")).map_err(not_a_url)?;
    let host = match url.host() {
        Some(Host::Domain(name)) if !name.is_empty() => name.to_ascii_lowercase(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        _ => return Err(no_host(engine)),
    };
    if host.contains('%') {
        let hint = "a DNS name or an address; a name with other letters in its ASCII form (`xn--…`); for a socket \
                    PostgreSQL's `host=` or MySQL's `socket=` after `?`";
        return Err(mistake(format!("the host is no name or address{}", quoted.word(&host)), hint));
    }
    if url.port() == Some(0) {
        return Err(mistake("the port is 0", "leave it out for the engine's own: 5432 or 3306"));
    }
    Ok(Named::Host(host, url.port()))
}

fn number(port: &str) -> Option<u16> {
    port.parse().ok().filter(|&port| port > 0)
}

/// Makes the address of what a URL names before and behind its `?`.
pub(super) fn address(
    engine: EngineKind,
    named: Vec<Named>,
    way: WayParameters,
    quoted: &Quoted<'_>,
) -> Result<Address, UrlMistake> {
    match engine {
        EngineKind::Postgres => postgres(named, way, quoted),
        _ => mysql(named, way),
    }
}

fn mysql(named: Vec<Named>, way: WayParameters) -> Result<Address, UrlMistake> {
    let Some(socket) = way.socket else {
        return match named.into_iter().next() {
            Some(Named::Host(host, port)) => Ok(Address::Tcp { host, port: port.unwrap_or(3306) }),
            _ => Err(no_host(EngineKind::MySql)),
        };
    };
    if !matches!(named.as_slice(), [] | [Named::Host(_, None)])
        || named.iter().any(|host| *host != Named::Host("localhost".to_owned(), None))
    {
        let hint =
            "a socket is on this machine: write `mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock`";
        return Err(mistake("the URL names a `socket`, and a host that is not `localhost` alone", hint));
    }
    if !socket.starts_with('/') {
        return Err(mistake("`socket` of the URL is no absolute path", "`socket=/run/mysqld/mysqld.sock`"));
    }
    Ok(Address::Socket(socket.into()))
}

fn postgres(mut named: Vec<Named>, way: WayParameters, quoted: &Quoted<'_>) -> Result<Address, UrlMistake> {
    if let Some(hosts) = &way.host {
        if !named.is_empty() {
            let hint = "name it once, before the path or as `host=`";
            return Err(mistake("the URL names a host before its path, and another with `host`", hint));
        }
        named = hosts
            .split(',')
            .map(|host| match host.starts_with('/') {
                true => Ok(Named::Folder(host.to_owned(), None)),
                // An IPv6 address stands without brackets here.
                false if host.parse::<std::net::Ipv6Addr>().is_ok() => {
                    one(&format!("[{host}]"), EngineKind::Postgres, quoted)
                }
                false => one(host, EngineKind::Postgres, quoted),
            })
            .collect::<Result<_, _>>()?;
    }
    if named.is_empty() {
        return Err(no_host(EngineKind::Postgres));
    }
    if let Some(ports) = &way.port {
        let ports: Vec<&str> = ports.split(',').collect();
        if ports.len() != 1 && ports.len() != named.len() {
            return Err(mistake(
                "`port` of the URL names another number of ports than there are hosts",
                "one, or one for each",
            ));
        }
        for (index, host) in named.iter_mut().enumerate() {
            let (Named::Host(_, port) | Named::Folder(_, port)) = host;
            if port.is_some() {
                return Err(mistake("the URL names a port at its host, and another with `port`", "name it once"));
            }
            let written = ports.get(index).or_else(|| ports.first()).copied().unwrap_or_default();
            *port = Some(
                number(written)
                    .ok_or_else(|| mistake("`port` of the URL is not a number up to 65535", "`port=5432`"))?,
            );
        }
    }
    let places = named.into_iter().map(|host| match host {
        Named::Host(host, port) => Endpoint::Tcp { host, port: port.unwrap_or(5432) },
        Named::Folder(folder, port) => Endpoint::postgres_socket(&folder, port.unwrap_or(5432)),
    });
    let places: Vec<Endpoint> = places.collect();
    if let Some(twice) = (1..places.len()).find(|&index| places[..index].contains(&places[index])) {
        let message = format!("the URL names one host twice{}", quoted.word(&places[twice].to_string()));
        return Err(mistake(message, "name each once"));
    }
    Ok(Address::of(places, way.wanted.unwrap_or_default()))
}
