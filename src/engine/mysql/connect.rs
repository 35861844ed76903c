//! Opens connections, encrypted as the fleet's TLS model asks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder, SslOpts, TlsError};
use rustls::CertificateError;

use crate::engine::off_runtime::off_runtime;
use crate::error::{Code, Diagnostic, Result, Secret};
use crate::tenant::{Access, Asker, Endpoint, Given, Server, TlsMode};

use super::fault::{is_full, words};
use super::link::Link;
use super::tls;

/// After this time without traffic the kernel asks whether the server is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Opens connections to one server.
pub(super) struct Connector {
    place: Endpoint,
    /// The server as messages name it.
    pub shown: String,
    limit: Duration,
    /// Whether the server was found to offer no TLS. Asked once, as every refused attempt is a connection more than
    /// the budget for an instant.
    offers_no_tls: AtomicBool,
}

impl Connector {
    /// Makes the connector of a server.
    ///
    /// # Errors
    /// `MT900` for a directory: it is no server of this engine.
    pub fn new(server: &Server) -> Result<Self> {
        let Some(place) = server.address.places().into_iter().next() else {
            return Err(Diagnostic::new(Code::BUG, format!("server {} has no host and port", server.name)));
        };
        let address = server.address.to_string();
        let shown = if server.name == address { address } else { format!("{} ({address})", server.name) };
        Ok(Self { place, shown, limit: server.connect_timeout, offers_no_tls: AtomicBool::new(false) })
    }

    /// Opens a connection; `session` names it to the server. A password that is refused, and that is another one by now, is
    /// tried once more.
    ///
    /// # Errors
    /// `MT310`, `MT311`, `MT314`, `MT320`, `MT117` where there is no password, or `MT115` for files that cannot be used.
    pub async fn connect(self: &Arc<Self>, access: &Arc<Access>, session: Option<&str>) -> Result<Link> {
        let user = access.user.as_deref().unwrap_or_default();
        let (host, port) = self.place.named();
        let asker = Asker { user, host, port, database: "" };
        let given = access.password.get(&asker).await.map_err(|why| why.diagnostic(&self.shown, user))?;
        let refusal = match self.try_with(access, session, &given).await {
            Err(refusal) if refusal.code() == Code::ACCESS_DENIED => refusal,
            answer => return answer,
        };
        match access.password.renewed(&given).await {
            Ok(Some(renewed)) => self.try_with(access, session, &renewed).await,
            Ok(None) => Err(refusal),
            Err(why) => Err(why.causes().iter().fold(refusal, |refusal, why| refusal.cause(why))),
        }
    }

    async fn try_with(self: &Arc<Self>, access: &Arc<Access>, session: Option<&str>, given: &Given) -> Result<Link> {
        // A socket's bytes stay on this machine.
        let encrypts = matches!(self.place, Endpoint::Tcp { .. }) && access.tls.mode != TlsMode::Disable;
        let connecting = {
            let (connector, access, session, given) =
                (self.clone(), access.clone(), session.map(str::to_owned), given.clone());
            async move {
                let ssl = if encrypts { tls::options(&access.tls).await? } else { None };
                let made = connector.attempts(&access, session.as_deref(), (&given, ssl)).await;
                made.map_err(|error| connector.refused(&access, &given, &error))
            }
        };
        let made = tokio::time::timeout(self.limit, async {
            match given.secret.is_some() || encrypts {
                // Logins and handshakes take the processor.
                true => off_runtime(connecting)
                    .await
                    .unwrap_or_else(|| Err(self.unreachable("the connection was not made"))),
                false => connecting.await,
            }
        });
        match made.await {
            Ok(made) => made.map(Link::new),
            Err(_) => Err(self.unreachable(&format!("no answer within {}", humantime::format_duration(self.limit)))),
        }
    }

    /// Says that the server cannot be reached.
    pub fn unreachable(&self, cause: &str) -> Diagnostic {
        Diagnostic::new(Code::UNREACHABLE, format!("cannot reach server {}", self.shown))
            .cause(cause)
            .hint("check that it runs, and its host and port in tenants.yaml; then try again")
    }

    async fn attempts(
        &self,
        access: &Access,
        session: Option<&str>,
        (given, ssl): (&Given, Option<SslOpts>),
    ) -> Result<Conn, Error> {
        let known = self.offers_no_tls.load(Ordering::Relaxed);
        let ssl = ssl.filter(|_| !(known && access.tls.mode == TlsMode::Prefer));
        let error = match Conn::new(self.options(access, session, (given, ssl.clone()))).await {
            Ok(conn) => return Ok(conn),
            Err(error) => error,
        };
        let again = match access.tls.mode {
            // Only this error: a certificate that is refused is never answered by plain text.
            TlsMode::Prefer if offers_no_tls(&error) => {
                self.offers_no_tls.store(true, Ordering::Relaxed);
                None
            }
            TlsMode::VerifyCa => match (ssl, presented_name(&error)) {
                (Some(ssl), Some(name)) => Some(ssl.with_danger_tls_hostname_override(Some(name))),
                _ => return Err(error),
            },
            _ => return Err(error),
        };
        Conn::new(self.options(access, session, (given, again))).await
    }

    /// Makes the driver's options. No set-up statements: `sql_mode` and the time zone stay the server's.
    fn options(&self, access: &Access, session: Option<&str>, (given, ssl): (&Given, Option<SslOpts>)) -> Opts {
        let builder = match &self.place {
            Endpoint::Tcp { host, port } => OptsBuilder::default().ip_or_hostname(host.clone()).tcp_port(*port),
            Endpoint::Socket(file) => OptsBuilder::default().socket(Some(file.to_string_lossy())),
        };
        let builder = builder
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .tcp_nodelay(true)
            .stmt_cache_size(0)
            .user(access.user.clone())
            .pass(given.secret.as_ref().map(|password| password.reveal().to_owned()))
            .ssl_opts(ssl);
        match session {
            Some(session) => builder.connect_attribute("program_name", session).into(),
            None => builder.into(),
        }
    }

    fn refused(&self, access: &Access, given: &Given, error: &Error) -> Diagnostic {
        let user = access.user.as_deref().unwrap_or_default();
        let words = Secret::hide(given.secret.as_ref(), user, words(error));
        match error {
            Error::Server(server) if matches!(server.code, 1044 | 1045 | 1130 | 1251 | 1698 | 1862 | 3118) => {
                Diagnostic::new(Code::ACCESS_DENIED, format!("server {} refuses user {user:?}", self.shown))
                    .cause(words)
                    .hint("check user and password, and from which hosts the user may connect")
            }
            Error::Server(server) if server.code == 3159 => self
                .tls_failed(&words)
                .hint("the server takes encrypted connections only: set `tls: require`, or better `verify-full`"),
            Error::Server(server) if is_full(server) => {
                Diagnostic::new(Code::NO_CONNECTION, format!("server {} has no free connection", self.shown))
                    .cause(words)
                    .hint(
                        "see who holds them (SHOW PROCESSLIST), free at least two, or raise the server's \
                         max_connections or the user's own limit; then run the command again",
                    )
            }
            _ if offers_no_tls(error) => self
                .tls_failed("the server offers no TLS")
                .hint("set up TLS on the server; `tls: prefer` or `disable` would send everything in the clear"),
            _ => match certificate_error(error) {
                Some(hint) => self.tls_failed(&words).hint(hint),
                None => self.unreachable(&words),
            },
        }
    }

    fn tls_failed(&self, cause: &str) -> Diagnostic {
        Diagnostic::new(Code::TLS_FAILED, format!("no TLS connection to server {}", self.shown)).cause(cause)
    }
}

fn offers_no_tls(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
}

fn rustls_error(error: &Error) -> Option<&rustls::Error> {
    match error {
        Error::Io(IoError::Tls(TlsError::Tls(error))) => Some(error),
        Error::Io(IoError::Io(error)) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

/// Returns a hint if it is TLS that failed.
fn certificate_error(error: &Error) -> Option<&'static str> {
    let found = rustls_error(error);
    match found {
        Some(rustls::Error::InvalidCertificate(why)) => Some(match why {
            CertificateError::UnknownIssuer => "set `ca_file` to the authority that signed the server's certificate",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "connect by a name that the certificate bears; one without any name serves `tls: require` only"
            }
            _ => "renew the server's certificate, or check the clocks",
        }),
        Some(_) => Some("check the server's TLS versions, and whether it wants a client certificate"),
        None if matches!(error, Error::Io(IoError::Tls(_))) => Some("check `ca_file` and the client certificate"),
        None => match error {
            Error::Io(IoError::Io(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && error.to_string().contains("tls") =>
            {
                Some("the server ended the handshake: check its log, and whether it wants a client certificate")
            }
            _ => None,
        },
    }
}

/// Returns a name of the server's certificate, if its authority is believed and only its names differ from the host.
///
/// For `verify-ca`. The driver's own switch looks for a word that rustls 0.23 no longer prints, so the connection is
/// made again under a name that the certificate bears. rustls checks the chain before the name, and the second
/// handshake checks both again.
fn presented_name(error: &Error) -> Option<String> {
    let Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. })) =
        rustls_error(error)
    else {
        return None;
    };
    presented.iter().find_map(|name| concrete(name))
}

/// Reads `DnsName("*.example.com")` or `IpAddress(127.0.0.1)`, and puts a label in the place of a star.
fn concrete(presented: &str) -> Option<String> {
    let (_, inner) = presented.split_once('(')?;
    let name = inner.strip_suffix(')')?.trim_matches('"');
    let name = match name.strip_prefix("*.") {
        Some(rest) => format!("any.{rest}"),
        None => name.to_owned(),
    };
    rustls::pki_types::ServerName::try_from(name.as_str()).ok().map(|_| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_certificate_becomes_one_that_it_is_valid_for() {
        assert_eq!(concrete("DnsName(\"db.example\")").as_deref(), Some("db.example"));
        assert_eq!(concrete("DnsName(\"*.db.example\")").as_deref(), Some("any.db.example"));
        assert_eq!(concrete("IpAddress(127.0.0.1)").as_deref(), Some("127.0.0.1"));
        assert_eq!(concrete("UniformResourceIdentifier"), None);
    }
}
