//! The keys that tokens are checked with. They may change while streams are open.

use std::sync::Arc;

use parking_lot::RwLock;

use super::key::Key;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Keyring {
    files: RwLock<Arc<[Key]>>,
}

impl Keyring {
    /// Keys that files hold.
    pub fn new(files: Vec<Key>) -> Self {
        Self { files: RwLock::new(files.into()) }
    }

    /// Takes other keys for those of the files. Who is connected stays so.
    pub fn replace_files(&self, keys: Vec<Key>) {
        *self.files.write() = keys.into();
    }

    /// The keys to check a token with.
    pub(super) fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.files.read())
    }
}
