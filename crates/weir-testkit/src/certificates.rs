//! Certificates made for one test.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// An authority that vouches for whom the test names. Its files live as long as it does.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
    file: PathBuf,
}

/// The files of a certificate and its key, in PEM form.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whom nobody trusts yet.
    ///
    /// # Panics
    /// Where no file can be written.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("an authority signs itself");
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).expect("a temporary file can be written");
        Self { issuer: Issuer::new(params, key), dir, file }
    }

    /// The file of its own certificate.
    pub fn file(&self) -> PathBuf {
        self.file.clone()
    }

    /// A certificate for a server or client of these names or addresses. The first one names its files.
    ///
    /// # Panics
    /// On a name that is none, and where no file can be written.
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_until(names, 4096)
    }

    /// The same, from 2020 to the beginning of this year.
    ///
    /// # Panics
    /// As [`Self::issue`].
    pub fn issue_until(&self, names: &[&str], year: i32) -> Pair {
        let all: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(all).expect("names of hosts");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority signs");
        let write = |suffix: &str, text: String| {
            let path = self.dir.path().join(format!("{}.{suffix}", names[0]));
            std::fs::write(&path, text).expect("a temporary file can be written");
            path
        };
        Pair { certificate: write("pem", certificate.pem()), key: write("key", key.serialize_pem()) }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
