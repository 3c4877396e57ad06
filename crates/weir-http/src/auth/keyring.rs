//! The keys that tokens are checked with. They may change while streams are open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::key::{Algorithm, Key};

/// How long a call waits for keys that may have changed. Whoever publishes them answers within a moment or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long keys are believed that cannot be fetched anew. Whoever keeps weir from its provider keeps a key alive that was
/// withdrawn because it was stolen, and shall not do so for ever.
const KEPT: Duration = Duration::from_secs(24 * 3600);

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
    keys: RwLock<Option<Provided>>,
    wanted: Notify,
    /// The last fetch.
    fetched: watch::Sender<Option<Fetch>>,
}

#[derive(Debug)]
struct Provided {
    keys: Arc<[Key]>,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Fetch {
    ended: Instant,
    with_keys: bool,
}

/// What became of looking for a key once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The keys are as new as they can be.
    Fetched,
    /// They could not be fetched now: what is not there may be there soon.
    NotNow,
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
        let (ended, with_keys) = (Instant::now(), keys.is_some());
        if let Some(keys) = keys {
            *provider.keys.write() = Some(Provided { keys: keys.into(), since: ended });
        }
        provider.fetched.send_replace(Some(Fetch { ended, with_keys }));
    }

    /// Forgets the keys of the provider where it has given none for a day. Says whether it had to.
    pub fn forget_old(&self, now: Instant) -> bool {
        let Some(provider) = &self.provider else { return false };
        let mut provided = provider.keys.write();
        let is_old = |provided: &Provided| now.saturating_duration_since(provided.since) >= KEPT;
        match provided.as_mut().filter(|provided| !provided.keys.is_empty() && is_old(provided)) {
            Some(provided) => provided.keys = Arc::default(),
            None => return false,
        }
        true
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
            Some(provider) => provider.keys.read().as_ref().map(|provided| Arc::clone(&provided.keys)),
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

    /// Waits until the keys of the provider were asked for once more.
    pub(super) async fn look_again(&self) -> Again {
        let Some(provider) = &self.provider else { return Again::Fetched };
        let mut fetched = provider.fetched.subscribe();
        if provider.is_resting() {
            return Again::NotNow;
        }
        provider.wanted.notify_one();
        let seen = tokio::time::timeout(PATIENCE, fetched.changed()).await;
        let with_keys = fetched.borrow().is_some_and(|fetch| fetch.with_keys);
        if matches!(seen, Ok(Ok(()))) && with_keys { Again::Fetched } else { Again::NotNow }
    }
}

impl Provider {
    fn is_resting(&self) -> bool {
        self.fetched.borrow().is_some_and(|last| last.ended.elapsed() < REST)
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

#[cfg(test)]
mod tests {
    use super::super::key::MIN_SECRET_BYTES;
    use super::*;

    #[test]
    fn keys_that_cannot_be_fetched_anew_are_forgotten_after_a_day() {
        let key = || Key::secret(&[b'x'; MIN_SECRET_BYTES]).unwrap();
        let keyring = Keyring::with_provider(vec![key()]);
        let there = || keyring.keys().all().count();
        let later = |duration| Instant::now() + duration;
        assert!(!keyring.forget_old(later(KEPT)));
        keyring.fetched(Some(vec![key()]));
        keyring.fetched(None);
        assert!(!keyring.forget_old(later(KEPT / 2)));
        assert_eq!(there(), 2);
        assert!(keyring.forget_old(later(KEPT)));
        assert!(!keyring.forget_old(later(KEPT)), "once");
        // Those of files stay, and it is no longer a matter of starting.
        assert!(there() == 1 && keyring.has_provided());
        keyring.fetched(Some(vec![key()]));
        assert_eq!(there(), 2);
    }
}
