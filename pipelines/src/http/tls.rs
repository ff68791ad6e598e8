//! TLS: a certificate and its key out of two files, read again when they change.
//!
//! Invariant: a handshake is made with the newest pair that fits together; files that are broken,
//! or half replaced, leave the pair before them in use.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// The longest file of certificates or of a key.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with the files of a certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is no PEM.
    #[error("{path}: not PEM: {cause:?}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: pem::Error,
    },
    /// A file holds something else.
    #[error("{path}: holds no {wanted}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What should be there.
        wanted: &'static str,
    },
    /// The key is of a kind that is not known.
    #[error("{path}: not a key that can be used: {cause}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: rustls::Error,
    },
    /// The two do not belong together.
    #[error("{certificate}: cannot be used with the key {key}: {cause}")]
    Unfit {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        cause: rustls::Error,
    },
}

/// TLS with a certificate. Clones have the same.
#[derive(Clone)]
pub struct Tls {
    pub(super) acceptor: TlsAcceptor,
}

/// Where a certificate and its key are, both as PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The certificate, and those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Tls {
    /// TLS 1.2 and 1.3 with a certificate and its key.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn open(files: Files) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let stamp = files.stamp()?;
        let key = Arc::new(files.read(&provider)?);
        let unfit = |cause| {
            let Files { certificate, key } = files.clone();
            TlsError::Unfit { certificate, key, cause }
        };
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?;
        let shown = Shown { files, provider, held: Mutex::new((stamp, key)) };
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// What is seen of two files without reading them; it changes when one of them does.
type Stamp = [(u64, i64, i64, u64); 2];

impl Files {
    fn stamp(&self) -> Result<Stamp, TlsError> {
        let of = |path: &Path| {
            let seen = fs::metadata(path).map_err(|cause| unreadable(path, cause))?;
            Ok(stamp(&seen))
        };
        Ok([of(&self.certificate)?, of(&self.key)?])
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let Self { certificate, key } = self;
        let wanted = "certificate (-----BEGIN CERTIFICATE-----)";
        let chain = CertificateDer::pem_slice_iter(&text(certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| malformed(certificate, wanted, cause))?;
        if chain.is_empty() {
            return Err(TlsError::Missing { path: certificate.clone(), wanted });
        }
        let wanted = "private key (-----BEGIN PRIVATE KEY-----)";
        let secret = PrivateKeyDer::from_pem_slice(&text(key)?)
            .map_err(|cause| malformed(key, wanted, cause))?;
        let secret = provider.key_provider.load_private_key(secret);
        let secret = secret.map_err(|cause| TlsError::Key { path: key.clone(), cause })?;
        let pair = CertifiedKey::new(chain, secret);
        pair.keys_match().map_err(|cause| {
            let (certificate, key) = (certificate.clone(), key.clone());
            TlsError::Unfit { certificate, key, cause }
        })?;
        Ok(pair)
    }
}

fn stamp(seen: &Metadata) -> (u64, i64, i64, u64) {
    use std::os::unix::fs::MetadataExt;
    (seen.ino(), seen.mtime(), seen.mtime_nsec(), seen.len())
}

fn unreadable(path: &Path, cause: io::Error) -> TlsError {
    TlsError::Unreadable { path: path.into(), cause }
}

fn malformed(path: &Path, wanted: &'static str, cause: pem::Error) -> TlsError {
    let path = path.into();
    match cause {
        pem::Error::NoItemsFound => TlsError::Missing { path, wanted },
        cause => TlsError::Malformed { path, cause },
    }
}

fn text(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(|cause| unreadable(path, cause))?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|cause| unreadable(path, cause))?;
    Ok(text)
}

/// The pair that is shown to callers, and the stamp of the files it was last looked for in.
struct Shown {
    files: Files,
    provider: Arc<CryptoProvider>,
    held: Mutex<(Stamp, Arc<CertifiedKey>)>,
}

impl Shown {
    fn current(&self) -> Arc<CertifiedKey> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = self.files.stamp().ok().filter(|stamp| *stamp != held.0);
        if let Some(stamp) = newer {
            let path = self.files.certificate.display();
            // Either way these files were looked at; the other half of a change has another stamp.
            held.0 = stamp;
            match self.files.read(&self.provider) {
                Ok(pair) => {
                    tracing::info!("{path}: read again, new connections have this certificate");
                    held.1 = Arc::new(pair);
                }
                Err(problem) => {
                    tracing::warn!(
                        "the certificate before is used until this is mended: {problem}"
                    );
                }
            }
        }
        Arc::clone(&held.1)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the certificate in {}", self.files.certificate.display())
    }
}
