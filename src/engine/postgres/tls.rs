//! The TLS model of `tenants.yaml`, for rustls.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Code, Diagnostic, Result};
use crate::tenant::{Tls, TlsMode};

/// The clients' sides of TLS of one server: files are read once, and a reconnect may take a session up again.
#[derive(Default)]
pub(super) struct Configs(Mutex<Vec<(Tls, MakeRustlsConnect)>>);

impl Configs {
    /// Returns what shakes hands; nothing where no TLS is asked for.
    ///
    /// # Errors
    /// `MT115` when a file cannot be read or holds nothing usable; then the next call reads it again.
    pub fn of(&self, tls: &Tls) -> Result<Option<MakeRustlsConnect>> {
        if tls.mode == TlsMode::Disable {
            return Ok(None);
        }
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = made.iter().find(|(of, _)| of == tls) {
            return Ok(Some(known.clone()));
        }
        let new = MakeRustlsConnect::new(client_config(tls)?);
        made.push((tls.clone(), new.clone()));
        Ok(Some(new))
    }
}

/// Makes the client's side of TLS.
///
/// # Errors
/// `MT115` when a file cannot be read or holds nothing usable.
fn client_config(tls: &Tls) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Diagnostic::new(Code::BUG, "TLS cannot be set up").cause(error.to_string()))?;
    let builder = match tls.mode {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => {
            let any = Trust { provider, webpki: None };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(any))
        }
        TlsMode::VerifyCa => {
            let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), provider.clone())
                .build()
                .map_err(|error| unusable("authority", error.to_string()))?;
            let chain = Trust { provider, webpki: Some(webpki) };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(chain))
        }
        TlsMode::VerifyFull => builder.with_root_certificates(roots(tls)?),
    };
    let Some(client) = &tls.client else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(&client.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&client.key_file)
        .map_err(|error| unusable(&client.key_file.display().to_string(), error.to_string()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable(&client.cert_file.display().to_string(), error.to_string()))
}

fn roots(tls: &Tls) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| unusable(&file.display().to_string(), error.to_string()))?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
    }
    if roots.is_empty() {
        return Err(unusable("the system's authorities", "there is none").hint("name one with `ca_file:`"));
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let name = file.display().to_string();
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(&name, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(&name, "it holds no certificate"));
    }
    Ok(found)
}

fn unusable(what: &str, cause: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::BAD_TLS, format!("TLS material cannot be used: {what}")).cause(cause)
}

/// Trusts any certificate, or any from a believed authority whatever host it names. The handshake's signatures are
/// checked in either case: the server must own the certificate that it shows.
#[derive(Debug)]
struct Trust {
    provider: Arc<CryptoProvider>,
    webpki: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(webpki) = &self.webpki else { return Ok(ServerCertVerified::assertion()) };
        // The chain is verified before the name, so a wrong name means a good chain.
        match webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
