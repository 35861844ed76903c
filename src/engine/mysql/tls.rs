//! The fleet's TLS model in the driver's options; the files are read and checked here, so that errors name them.

use std::path::Path;

use mysql_async::{ClientIdentity, SslOpts};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Code, Diagnostic, Result};
use crate::tenant::{ClientCertificate, Tls, TlsMode};

/// Makes the driver's options; none for a plain connection.
///
/// # Errors
/// `MT115` for a file that cannot be read or holds no certificate or key.
pub(super) async fn options(tls: &Tls) -> Result<Option<SslOpts>> {
    let options = match tls.mode {
        TlsMode::Disable => return Ok(None),
        // The driver needs some authority to make a verifier, and asks it nothing: its built-in ones stay.
        TlsMode::Prefer | TlsMode::Require => SslOpts::default().with_danger_accept_invalid_certs(true),
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let roots = match &tls.ca_file {
                Some(file) => vec![authorities(file).await?],
                None => system_authorities().await?,
            };
            SslOpts::default()
                .with_disable_built_in_roots(true)
                .with_root_certs(roots.into_iter().map(Into::into).collect())
        }
    };
    let identity = match &tls.client {
        Some(client) => Some(identity(client).await?),
        None => None,
    };
    Ok(Some(options.with_client_identity(identity)))
}

async fn authorities(file: &Path) -> Result<Vec<u8>> {
    let pem = read(file).await?;
    certificates(file, &pem)?;
    Ok(pem)
}

/// Loads the system's authorities as DER, leaving out what rustls cannot use.
async fn system_authorities() -> Result<Vec<Vec<u8>>> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.map_err(|error| {
        Diagnostic::new(Code::BUG, "the system's authorities were not loaded").cause(error.to_string())
    })?;
    let usable = |der: &CertificateDer<'_>| RootCertStore::empty().add(der.clone().into_owned()).is_ok();
    let roots: Vec<_> = loaded.certs.iter().filter(|der| usable(der)).map(|der| der.to_vec()).collect();
    if roots.is_empty() {
        return Err(Diagnostic::new(
            Code::BAD_TLS,
            "this system has no certificate authorities to verify a server with",
        )
        .hint("install the package `ca-certificates`, or set `ca_file`"));
    }
    Ok(roots)
}

async fn identity(client: &ClientCertificate) -> Result<ClientIdentity> {
    let chain = read(&client.cert_file).await?;
    certificates(&client.cert_file, &chain)?;
    let key = read(&client.key_file).await?;
    if PrivateKeyDer::from_pem_slice(&key).is_err() {
        return Err(bad(&client.key_file, "it holds no private key that can be used")
            .hint("PEM of PKCS#8, PKCS#1 or SEC1, not encrypted: `openssl pkey -in KEY -out PLAIN_KEY`"));
    }
    Ok(ClientIdentity::new(chain.into(), key.into()))
}

fn certificates(file: &Path, pem: &[u8]) -> Result<()> {
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|error| bad(file, &error.to_string()))?;
        count += 1;
    }
    if count == 0 { Err(bad(file, "it holds no certificate in PEM")) } else { Ok(()) }
}

async fn read(file: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(file).await.map_err(|error| bad(file, &error.to_string()))
}

fn bad(file: &Path, cause: &str) -> Diagnostic {
    Diagnostic::new(Code::BAD_TLS, format!("TLS file {} cannot be used", file.display())).cause(cause)
}
