//! Certificates for the tests, made by the `openssl` command when first needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::sandbox::sandbox;

/// How a server speaks TLS.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Off,
    /// Clients choose. The certificate is for `localhost` and 127.0.0.1.
    Optional,
    /// Clients choose. The certificate is of the right CA, for another host.
    OtherHost,
    /// Nobody comes in without TLS.
    Required,
    /// Nobody comes in without a certificate of the CA.
    ClientCertificate,
}

/// The files that a client may need. All are PEM; keys are PKCS #8.
pub struct Files {
    folder: PathBuf,
    /// Signed the servers' certificates and the client's.
    pub ca: PathBuf,
    /// Signed nothing that a server has.
    pub wrong_ca: PathBuf,
    pub client_certificate: PathBuf,
    pub client_key: PathBuf,
    /// A client certificate that the wrong CA signed, and its key.
    pub wrong_client_certificate: PathBuf,
    pub wrong_client_key: PathBuf,
}

/// What a server's settings need.
pub struct ServerFiles {
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

/// The certificates of this test process.
pub fn files() -> &'static Files {
    static FILES: LazyLock<Files> = LazyLock::new(make);
    &FILES
}

impl Files {
    /// The files for a server that speaks TLS.
    pub fn as_text(&self, mode: Mode) -> ServerFiles {
        let name = match mode {
            Mode::OtherHost => "other_host",
            _ => "server",
        };
        let path = |file: String| self.folder.join(file).display().to_string();
        ServerFiles {
            ca: path("ca.pem".into()),
            certificate: path(format!("{name}.pem")),
            key: path(format!("{name}.key")),
        }
    }
}

const CONFIG: &str = "
[req]
distinguished_name = name
prompt = no
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
[other_host]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:db.example
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

fn make() -> Files {
    let folder = sandbox().folder("tls");
    fs::write(folder.join("config"), CONFIG).expect("a file");
    for (name, section, signer) in [
        ("ca", "ca", None),
        ("wrong_ca", "ca", None),
        ("server", "server", Some("ca")),
        ("other_host", "other_host", Some("ca")),
        ("client", "client", Some("ca")),
        ("wrong_client", "client", Some("wrong_ca")),
    ] {
        certificate(&folder, name, section, signer);
    }
    Files {
        ca: folder.join("ca.pem"),
        wrong_ca: folder.join("wrong_ca.pem"),
        client_certificate: folder.join("client.pem"),
        client_key: folder.join("client.key"),
        wrong_client_certificate: folder.join("wrong_client.pem"),
        wrong_client_key: folder.join("wrong_client.key"),
        folder,
    }
}

fn certificate(folder: &Path, name: &str, section: &str, signer: Option<&str>) {
    let key = format!("{name}.key");
    let mut command = Command::new("openssl");
    command
        .current_dir(folder)
        .args(["req", "-x509", "-days", "30", "-config", "config"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-extensions", section, "-subj", &format!("/CN=test {name}")])
        .args(["-keyout", &key, "-out", &format!("{name}.pem")]);
    if let Some(signer) = signer {
        command.args(["-CA", &format!("{signer}.pem"), "-CAkey", &format!("{signer}.key")]);
    }
    let output = command.output().expect("openssl");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {name}: {errors}");
    let key = folder.join(key);
    // PostgreSQL refuses a key that others can read, or that another user owns.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    sandbox().give(&key);
}
