//! The keys that tokens are checked with. They may change while streams are open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::key::{Algorithm, Key};

/// How long a call waits for keys that may have changed. Whoever publishes them answers within a moment or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Within this time after a fetch nobody asks for another, so that tokens that name keys that never were cause no flood.
const REST: Duration = Duration::from_secs(10);

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Keyring {
    files: RwLock<Arc<[Key]>>,
    provider: Option<Provider>,
}

/// Somebody else's keys, that are fetched by whoever holds the keyring. Nothing here calls anybody.
#[derive(Debug, Default)]
struct Provider {
    /// The last good ones.
    keys: RwLock<Option<Arc<[Key]>>>,
    wanted: Notify,
    /// When the last fetch ended.
    fetched: watch::Sender<Option<Instant>>,
}

/// The keys of one moment.
pub(super) struct Keys {
    files: Arc<[Key]>,
    /// `None` as long as a provider has given none.
    provided: Option<Arc<[Key]>>,
}

impl Keyring {
    /// Keys that files hold.
    pub fn new(files: Vec<Key>) -> Self {
        Self { files: RwLock::new(files.into()), provider: None }
    }

    /// Keys that files hold, and those that a provider will give.
    pub fn with_provider(files: Vec<Key>) -> Self {
        Self { provider: Some(Provider::default()), ..Self::new(files) }
    }

    /// Takes other keys for those of the files. Who is connected stays so.
    pub fn replace_files(&self, keys: Vec<Key>) {
        *self.files.write() = keys.into();
    }

    /// A fetch has ended: with the keys of the provider, or without, which leaves those of before.
    pub fn fetched(&self, keys: Option<Vec<Key>>) {
        let Some(provider) = &self.provider else { return };
        if let Some(keys) = keys {
            *provider.keys.write() = Some(keys.into());
        }
        provider.fetched.send_replace(Some(Instant::now()));
    }

    /// Whether the provider has ever given keys.
    pub fn has_provided(&self) -> bool {
        self.provider.as_ref().is_some_and(|provider| provider.keys.read().is_some())
    }

    /// Has the keys of the provider fetched now, unless they were just fetched.
    pub fn refresh(&self) {
        if let Some(provider) = &self.provider {
            provider.wanted.notify_one();
        }
    }

    /// Resolves when a call needs the keys of the provider again, and they may be asked for.
    pub async fn wanted(&self) {
        let Some(provider) = &self.provider else { return std::future::pending().await };
        loop {
            provider.wanted.notified().await;
            if !provider.is_resting() {
                return;
            }
        }
    }

    /// Whether some token can be checked.
    pub(crate) fn is_ready(&self) -> bool {
        let provided = self.provider.as_ref().is_none_or(|provider| provider.keys.read().is_some());
        provided || !self.files.read().is_empty()
    }

    /// The keys to check a token with.
    pub(super) fn keys(&self) -> Keys {
        let provided = match &self.provider {
            Some(provider) => provider.keys.read().clone(),
            None => Some(Arc::default()),
        };
        Keys { files: Arc::clone(&self.files.read()), provided }
    }

    pub(super) fn has_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// Whether a provider might know a key for this that is not here.
    pub(super) fn may_be_provided(&self, algorithm: Algorithm) -> bool {
        self.provider.is_some() && algorithm != Algorithm::Hs256
    }

    /// Waits until the keys of the provider were asked for once more. `false` where that is not to be expected.
    pub(super) async fn look_again(&self) -> bool {
        let Some(provider) = &self.provider else { return false };
        let mut fetched = provider.fetched.subscribe();
        if provider.is_resting() {
            return false;
        }
        provider.wanted.notify_one();
        tokio::time::timeout(PATIENCE, fetched.changed()).await.is_ok_and(|seen| seen.is_ok())
    }
}

impl Provider {
    fn is_resting(&self) -> bool {
        self.fetched.borrow().is_some_and(|last| last.elapsed() < REST)
    }
}

impl Keys {
    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        self.files.iter().chain(self.provided())
    }

    /// Those of the provider.
    pub(super) fn provided(&self) -> impl Iterator<Item = &Key> {
        self.provided.iter().flat_map(|keys| keys.iter())
    }

    /// Whether a provider has given none yet.
    pub(super) fn are_awaited(&self) -> bool {
        self.provided.is_none()
    }
}
