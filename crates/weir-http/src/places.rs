//! How many of one kind there are at once: clients of an address, clients of a subject.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Whose connections an address's connections are: of IPv6 a whole /64, which is the least that anybody is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// The network of an address in canonical form.
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }

    /// The most of IPv6 that anybody is given without asking for more, a /48: it has as many networks as an attacker needs
    /// to be many.
    pub(crate) fn site(self) -> Option<Self> {
        match self.0 {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Some(Self(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()))
            }
        }
    }
}

/// See the [module](self). Whoever has no place taken takes no memory.
#[derive(Debug)]
pub(crate) struct Places<K> {
    most: AtomicUsize,
    taken: Mutex<HashMap<K, usize>>,
}

/// One place, until it is dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub(crate) struct Place<K: Eq + Hash> {
    of: Arc<Places<K>>,
    key: K,
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// Each may have so many.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: AtomicUsize::new(most), taken: Mutex::default() })
    }

    /// From now on each may have so many. Nobody loses one that it has.
    pub(crate) fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Takes one, where there is one left.
    pub(crate) fn take(self: &Arc<Self>, key: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock();
        let have = taken.get(&key).copied().unwrap_or(0);
        if have >= self.most.load(Ordering::Relaxed) {
            return None;
        }
        taken.insert(key.clone(), have + 1);
        drop(taken);
        Some(Place { of: Arc::clone(self), key })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.of.taken.lock();
        if let Some(have) = taken.get_mut(&self.key) {
            *have -= 1;
            if *have == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_none_is_kept() {
        let places = Places::new(2);
        let held = [places.take("a"), places.take("a"), places.take("b")];
        assert!(held.iter().all(Option::is_some));
        assert!(places.take("a").is_none());
        assert!(places.take("a").is_none());
        drop(held);
        assert!(places.taken.lock().is_empty());
        assert!(places.take("a").is_some());
        assert!(places.taken.lock().is_empty());
    }

    #[test]
    fn whoever_has_more_than_it_may_keeps_it_and_gets_no_more() {
        let places = Places::new(2);
        let mut held = vec![places.take("a"), places.take("a")];
        places.resize(1);
        assert!(places.take("a").is_none());
        held.pop();
        assert!(places.take("a").is_none());
        held.pop();
        assert!(places.take("a").is_some());
    }

    #[test]
    fn networks() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
