//! Whom a client of TLS believes.

use std::sync::Arc;

use anyhow::Context as _;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Authority;

/// One authority, the protocols that are offered by ALPN, and the versions of TLS. It lives as long as the process, which is
/// one test, so that a client is a value that is copied.
#[derive(Clone, Copy, Debug)]
pub struct Trust(&'static Arc<ClientConfig>);

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl Trust {
    /// Believes `authority` and offers `protocols`.
    ///
    /// # Panics
    /// Where the authority has no certificate.
    pub fn new(authority: &Authority, protocols: &[&str]) -> Self {
        Self::of(authority, protocols, rustls::ALL_VERSIONS)
    }

    /// Believes `authority`, offers no protocol and speaks only this version of TLS.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_version(authority: &Authority, version: Version) -> Self {
        let version = match version {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        };
        Self::of(authority, &[], &[version])
    }

    fn of(authority: &Authority, protocols: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority.file()).expect("an authority has a certificate");
        roots.add(root).expect("it is one");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Self(Box::leak(Box::new(Arc::new(config))))
    }

    /// Shakes hands as a client of `localhost`.
    ///
    /// # Errors
    /// The server does not, or proves itself to be somebody else.
    pub async fn connect(self, tcp: TcpStream) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name of a host");
        TlsConnector::from(Arc::clone(self.0)).connect(name, tcp).await.context("TLS handshake")
    }
}
