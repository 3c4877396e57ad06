//! Who is let in. Nobody who is in has to go for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_core::notice::Refusal;

use crate::call::Caller;
use crate::places::{Network, Place, Places};
use crate::proxies::Proxies;

/// Connections that an address may have besides twice as many as it may have clients. A client takes one, and whoever
/// publishes, or is told to come back later, needs one, too.
const MORE_CONNECTIONS: usize = 16;

/// How much is let in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most clients at once.
    pub clients: usize,
    /// Most clients at once of one address, of IPv6 of one /64.
    pub clients_per_ip: Option<usize>,
    /// Most clients at once of one subject.
    pub clients_per_subject: Option<usize>,
}

/// Why somebody is not let in, and after which time there may be room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TurnedAway {
    pub(crate) why: Refusal,
    pub(crate) wait: Duration,
}

impl From<Refusal> for TurnedAway {
    fn from(why: Refusal) -> Self {
        Self { why, wait: Duration::ZERO }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    ips: Option<Arc<Places<Network>>>,
    subjects: Option<Arc<Places<Arc<str>>>>,
    connections: Option<Arc<Places<Network>>>,
}

/// A client's place; it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _room: OwnedSemaphorePermit,
    _ip: Option<Place<Network>>,
    _subject: Option<Place<Arc<str>>>,
}

/// The place of a connection of one address, whatever comes of it.
pub(crate) type Connected = Option<Place<Network>>;

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let connections =
            |clients: usize| Places::new(clients.saturating_mul(2).saturating_add(MORE_CONNECTIONS));
        Self {
            room: Arc::new(Semaphore::new(limits.clients.min(Semaphore::MAX_PERMITS))),
            ips: limits.clients_per_ip.map(Places::new),
            subjects: limits.clients_per_subject.map(Places::new),
            connections: limits.clients_per_ip.map(connections),
        }
    }

    /// A client's place, taken before anything is awaited, so that no two take the last one.
    pub(crate) fn client(&self, caller: &Caller) -> Result<Admitted, TurnedAway> {
        let subject = caller.subject().map(Arc::from);
        let subject = taken(self.subjects.as_ref().zip(subject), Refusal::Subject)?;
        let ip = taken(self.ips.as_ref().zip(Some(Network::of(caller.address))), Refusal::Ip)?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::Limit)?;
        Ok(Admitted { _room: room, _ip: ip, _subject: subject })
    }

    /// The place of a connection, before it has said anything; `Err` where its address has too many. A trusted proxy may
    /// have any number: they are its clients'.
    pub(crate) fn connection(&self, proxies: &Proxies, address: IpAddr) -> Result<Connected, Refusal> {
        if proxies.trust(address) {
            return Ok(None);
        }
        taken(self.connections.as_ref().zip(Some(Network::of(address))), Refusal::Ip)
    }
}

fn taken<K: Clone + Eq + std::hash::Hash>(
    wanted: Option<(&Arc<Places<K>>, K)>,
    otherwise: Refusal,
) -> Result<Option<Place<K>>, Refusal> {
    let Some((places, key)) = wanted else { return Ok(None) };
    places.take(key).map(Some).ok_or(otherwise)
}
