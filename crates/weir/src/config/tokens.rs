//! What tokens are checked with.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use weir_client::document::DocumentUrl;
use weir_http::auth::key::{BadKey, Key};
use weir_http::auth::keyring::Keyring;
use weir_http::auth::tokens::{Rules, Tokens};

use crate::args::tokens::TokenArgs;

/// Most bytes of a key file. A larger one is another file by mistake, perhaps without an end.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where the keys are, and what else tokens have to say.
#[derive(Clone, Debug)]
pub(crate) struct TokenConfig {
    secrets: Vec<PathBuf>,
    public_keys: Vec<PathBuf>,
    /// Where public keys are fetched.
    pub(crate) jwks_url: Option<DocumentUrl>,
    rules: Rules,
    cookie: String,
    /// What the files held at start.
    keys: Vec<Key>,
}

/// A key file is of no use.
#[derive(Debug, thiserror::Error)]
#[error("cannot use --{flag} {}: {cause}", .file.display())]
pub(crate) struct BadKeyFile {
    flag: &'static str,
    file: PathBuf,
    cause: BadFile,
}

/// Why it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFile {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] std::io::Error),
    /// It is something else.
    #[error("it is larger than any key")]
    Large,
    /// See [`BadKey`].
    #[error("{0}")]
    Key(#[from] BadKey),
}

impl TokenConfig {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`BadKeyFile`].
    pub(crate) fn new(args: &TokenArgs) -> Result<Self, BadKeyFile> {
        let mut config = Self {
            secrets: args.jwt_secret_file.clone(),
            public_keys: args.jwt_public_key_file.clone(),
            jwks_url: args.jwks_url.clone(),
            rules: Rules { audience: args.jwt_audience.clone(), issuer: args.jwt_issuer.clone() },
            cookie: args.token_cookie.clone(),
            keys: Vec::new(),
        };
        config.keys = config.read_keys()?;
        Ok(config)
    }

    /// Whether tokens can be checked.
    pub(crate) fn has_keys(&self) -> bool {
        !self.keys.is_empty() || self.jwks_url.is_some()
    }

    /// Whether tokens are taken that somebody made for another service, which has the same provider.
    pub(crate) fn takes_any_audience(&self) -> bool {
        self.jwks_url.is_some() && self.rules.audience.is_empty()
    }

    /// What the files hold now: all of it, or what is wrong.
    ///
    /// # Errors
    /// [`BadKeyFile`].
    pub(crate) fn read_keys(&self) -> Result<Vec<Key>, BadKeyFile> {
        let secret = |bytes: &[u8]| Key::secret(bytes).map(|key| vec![key]);
        let secrets = self.secrets.iter().map(|file| read(("jwt-secret-file", file), secret));
        let public = self.public_keys.iter().map(|file| read(("jwt-public-key-file", file), Key::public));
        let keys: Vec<Vec<Key>> = secrets.chain(public).collect::<Result<_, _>>()?;
        Ok(keys.into_iter().flatten().collect())
    }

    /// Files with secrets that every user of this machine can read.
    pub(crate) fn open_secrets(&self) -> impl Iterator<Item = &Path> {
        let is_open = |file: &&PathBuf| file.metadata().is_ok_and(|meta| meta.mode() & 0o004 != 0);
        self.secrets.iter().filter(is_open).map(PathBuf::as_path)
    }

    /// How the instance begins to check tokens.
    pub(crate) fn tokens(&self) -> Tokens {
        let keys = self.keys.clone();
        let keyring = match self.jwks_url {
            Some(_) => Keyring::with_provider(keys),
            None => Keyring::new(keys),
        };
        Tokens { keyring, rules: self.rules.clone(), cookie: self.cookie.clone() }
    }
}

fn read(
    (flag, file): (&'static str, &PathBuf),
    parse: impl FnOnce(&[u8]) -> Result<Vec<Key>, BadKey>,
) -> Result<Vec<Key>, BadKeyFile> {
    let keys = contents(file).and_then(|bytes| Ok(parse(&bytes)?));
    keys.map_err(|cause| BadKeyFile { flag, file: file.clone(), cause })
}

/// What a file holds, which is small.
///
/// # Errors
/// [`BadFile`].
pub(crate) fn contents(file: &Path) -> Result<Vec<u8>, BadFile> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(BadFile::Large) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(files: &[&Path]) -> TokenArgs {
        TokenArgs {
            jwt_secret_file: files.iter().map(|file| file.to_path_buf()).collect(),
            jwt_public_key_file: Vec::new(),
            jwks_url: None,
            jwt_audience: Vec::new(),
            jwt_issuer: Vec::new(),
            token_cookie: "weir_token".to_owned(),
        }
    }

    #[test]
    fn a_file_of_no_use_is_named_and_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            TokenConfig::new(&args(&[file.path()])).unwrap_err().to_string()
        };
        let start = format!("cannot use --jwt-secret-file {}: ", file.path().display());
        assert_eq!(refused(""), format!("{start}it is empty"));
        assert_eq!(refused(&"x".repeat(70_000)), format!("{start}it is larger than any key"));
        let short = refused("hunter2\n");
        assert!(
            short.starts_with(&format!("{start}a secret has at least 32 bytes, this one has 7: ")),
            "{short}"
        );
        assert!(!short.contains("hunter"));
        let nowhere = TokenConfig::new(&args(&[Path::new("/nowhere")])).unwrap_err().to_string();
        assert_eq!(nowhere, "cannot use --jwt-secret-file /nowhere: No such file or directory (os error 2)");
    }

    #[test]
    fn who_can_read_a_secret() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x".repeat(40)).unwrap();
        let config = TokenConfig::new(&args(&[file.path()])).unwrap();
        for (mode, open) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(config.open_secrets().count(), open, "{mode:o}");
        }
    }
}
