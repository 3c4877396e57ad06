//! Subscribers that may speak TLS, and a publisher, one socket after the other. Where only what the server spends is of
//! interest, the generator may take its time.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::clock::now_ns;
use crate::heard::Heard;
use crate::scan::Found;
use crate::stamp::Stamp;
use crate::visit::answer;

/// How long anything may take; what has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate for the server, and clients that believe it.
#[derive(Debug)]
pub struct Certificate {
    client: Arc<ClientConfig>,
    directory: TempDir,
}

impl Certificate {
    /// A new one, with a key on P-256.
    ///
    /// # Errors
    /// There is no room for its files.
    pub fn new() -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("cert.pem"), made.cert.pem())?;
        std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { client: Arc::new(client), directory })
    }

    /// What makes weir show it.
    pub fn flags(&self) -> Vec<String> {
        let file = |name: &str| -> PathBuf { self.directory.path().join(name) };
        let flags = [("--tls-cert", file("cert.pem")), ("--tls-key", file("key.pem"))];
        flags.into_iter().flat_map(|(flag, file)| [flag.to_owned(), file.display().to_string()]).collect()
    }
}

/// A connection.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    fn open(server: SocketAddr, certificate: Option<&Certificate>) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(server)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let Some(certificate) = certificate else { return Ok(Self::Plain(tcp)) };
        let session =
            ClientConnection::new(Arc::clone(&certificate.client), ServerName::try_from("localhost")?)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, tcp))))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Subscribers of one session.
#[derive(Default)]
pub struct Listeners(Vec<Heard<Wire>>);

/// The publisher of their session.
pub struct Publisher {
    wire: BufReader<Wire>,
    published: u64,
}

impl std::fmt::Debug for Listeners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listeners").field(&self.0.len()).finish()
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("published", &self.published).finish_non_exhaustive()
    }
}

impl Listeners {
    /// Another subscriber, whose stream is open.
    ///
    /// # Errors
    /// The server refuses it, or does not answer in time.
    pub fn add(&mut self, server: SocketAddr, certificate: Option<&Certificate>) -> anyhow::Result<()> {
        let mut wire = Wire::open(server, certificate)?;
        wire.write_all(format!("GET /v1/sessions/s0/events HTTP/1.1\r\nHost: {server}\r\n\r\n").as_bytes())?;
        self.0.push(Heard::begin(wire)?);
        Ok(())
    }

    /// Waits until everybody has this event.
    ///
    /// # Errors
    /// Somebody got none, or another.
    pub fn get(&mut self, number: u64) -> anyhow::Result<()> {
        for (nth, listener) in self.0.iter_mut().enumerate() {
            let found = listener.hear().with_context(|| format!("event {number} for listener {nth}"))?;
            let right = matches!(found, Found::Stamp(stamp) if stamp.number == number);
            ensure!(right, "not event {number} for listener {nth}: {found:?}");
        }
        Ok(())
    }
}

impl Publisher {
    /// One that has published nothing.
    ///
    /// # Errors
    /// Nobody listens, or not with this certificate.
    pub fn open(server: SocketAddr, certificate: Option<&Certificate>) -> anyhow::Result<Self> {
        Ok(Self { wire: BufReader::new(Wire::open(server, certificate)?), published: 0 })
    }

    /// Publishes an event, and says its number.
    ///
    /// # Errors
    /// It was refused.
    pub fn publish(&mut self) -> anyhow::Result<u64> {
        let number = self.published;
        let mut body = Vec::new();
        Stamp { session: 0, number, sent_ns: now_ns() }.put(&mut body);
        let head = "POST /v1/sessions/s0/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: ";
        let request = [format!("{head}{}\r\n\r\n", body.len()).as_bytes(), &body].concat();
        self.wire.get_mut().write_all(&request)?;
        answer(&mut self.wire, "201").context("publish")?;
        self.published += 1;
        Ok(number)
    }
}
