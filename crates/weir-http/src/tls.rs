//! The certificate that public listeners show. It may be replaced while they run: connections that are open go on with the
//! one they began with.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{CertificateError, Error as RustlsError, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What clients may choose between.
pub(crate) const HTTP2: &[u8] = b"h2";
pub(crate) const HTTP1: &[u8] = b"http/1.1";

/// The end of every certificate lies before this time.
const FAR: Duration = Duration::from_secs(1 << 40);

/// Permissions of everybody on a file.
const WORLD: u32 = 0o007;

/// Where the certificate and its key are, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's own certificate, then those between it and an authority that clients know.
    pub certificate: PathBuf,
    /// The private key of the first certificate.
    pub key: PathBuf,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    shown: Mutex<Shown>,
}

/// What new connections are shown.
#[derive(Debug)]
struct Shown {
    config: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
}

/// A certificate that was read and is good to show.
#[derive(Debug)]
pub struct Renewed(Shown);

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not what it should be.
    #[error("{} holds no {what} in PEM form", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// They are not a pair.
    #[error(
        "the key in {} is not that of the first certificate in {}: the server's own certificate comes first, then its chain",
        .0.key.display(), .0.certificate.display()
    )]
    Mismatch(TlsFiles),
    /// TLS cannot use them.
    #[error("cannot use {} with {}: {error}", files.certificate.display(), files.key.display())]
    Unusable {
        /// Which files.
        files: TlsFiles,
        /// Why.
        error: RustlsError,
    },
}

/// What is wrong with a certificate that can be shown all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Clients will refuse it.
    #[error("the certificate in {} has expired: clients refuse it", .0.display())]
    Expired(PathBuf),
    /// Clients will refuse it, for now.
    #[error("the certificate in {} is not valid yet: clients refuse it until then", .0.display())]
    NotYetValid(PathBuf),
    /// Whoever has an account on this machine can show this certificate elsewhere.
    #[error("{} can be read by every user of this machine: chmod 600 it", .0.display())]
    OpenKey(PathBuf),
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`BadTls`].
    pub fn open(files: TlsFiles) -> Result<Self, BadTls> {
        let shown = Mutex::new(Shown::load(&files)?);
        Ok(Self { files, shown })
    }

    /// Reads the files anew. Nothing changes before it is [shown](Self::show).
    ///
    /// # Errors
    /// [`BadTls`].
    pub fn read(&self) -> Result<Renewed, BadTls> {
        Shown::load(&self.files).map(Renewed)
    }

    /// Shows it to the connections that come from now on.
    pub fn show(&self, renewed: Renewed) {
        *self.shown.lock() = renewed.0;
    }

    /// What an operator should know about what is shown, at this time in seconds.
    pub fn doubts(&self, now_secs: u64) -> Vec<Doubt> {
        let TlsFiles { certificate, key } = &self.files;
        let date = match self.shown.lock().at(Duration::from_secs(now_secs)) {
            Some(CertificateError::ExpiredContext { .. }) => Some(Doubt::Expired(certificate.clone())),
            Some(CertificateError::NotValidYetContext { .. }) => {
                Some(Doubt::NotYetValid(certificate.clone()))
            }
            Some(_) | None => None,
        };
        let open = fs::metadata(key).is_ok_and(|key| key.permissions().mode() & WORLD != 0);
        date.into_iter().chain(open.then(|| Doubt::OpenKey(key.clone()))).collect()
    }

    /// After which second clients refuse what is shown.
    pub fn expires_secs(&self) -> Option<u64> {
        match self.shown.lock().at(FAR) {
            Some(CertificateError::ExpiredContext { not_after, .. }) => Some(not_after.as_secs()),
            Some(_) | None => None,
        }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.shown.lock().config).into()
    }
}

impl Shown {
    fn load(files: &TlsFiles) -> Result<Self, BadTls> {
        let TlsFiles { certificate, key } = files;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?)
            .map(|one| one.map(CertificateDer::into_owned))
            .collect();
        let chain = chain.map_err(|_| missing(certificate, "certificate"))?;
        let leaf = chain.first().cloned().ok_or_else(|| missing(certificate, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| missing(key, "private key"))?;
        let unusable = |error| BadTls::Unusable { files: files.clone(), error };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| match matches!(error, RustlsError::InconsistentKeys(_)) {
                true => BadTls::Mismatch(files.clone()),
                false => unusable(error),
            })?;
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        // No session is taken up again, and nothing is read before the handshake is complete: what was said once cannot be
        // said again by somebody else, and a certificate that was replaced is shown to nobody.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), leaf })
    }

    /// What a client that knew every authority would have against the certificate at this time.
    fn at(&self, time: Duration) -> Option<CertificateError> {
        let leaf = ParsedCertificate::try_from(&self.leaf).ok()?;
        let time = UnixTime::since_unix_epoch(time);
        // Dates are looked at before anybody asks who vouches for them.
        match verify_server_cert_signed_by_trust_anchor(&leaf, &RootCertStore::empty(), &[], time, &[]) {
            Err(RustlsError::InvalidCertificate(error)) => Some(error),
            Ok(()) | Err(_) => None,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BadTls> {
    fs::read(path).map_err(|error| BadTls::Unreadable { path: path.to_owned(), error })
}

fn missing(path: &Path, what: &'static str) -> BadTls {
    BadTls::Missing { path: path.to_owned(), what }
}
