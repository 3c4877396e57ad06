//! Who is let in. Nobody who is in has to go for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_core::notice::Refusal;

use crate::call::Caller;
use crate::places::{Network, Place, Places};
use crate::proxies::Proxies;
use crate::rates::{Rate, Rates, Who};

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
    /// How fast clients may come, of one address and of one subject.
    pub connect_rate: Option<Rate>,
    /// How fast events may be published, by one subject, or by one address without one.
    pub publish_rate: Option<Rate>,
    /// Resident memory above which nobody more is let in.
    pub memory: Option<u64>,
}

impl Limits {
    /// So many clients at once and no other limit.
    pub fn of_clients(clients: usize) -> Self {
        Self {
            clients,
            clients_per_ip: None,
            clients_per_subject: None,
            connect_rate: None,
            publish_rate: None,
            memory: None,
        }
    }
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
    connects: Option<Rates>,
    publishes: Option<Rates>,
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
            connects: limits.connect_rate.map(Rates::new),
            publishes: limits.publish_rate.map(Rates::new),
        }
    }

    /// A client's place, taken before anything is awaited, so that no two take the last one.
    pub(crate) fn client(&self, caller: &Caller) -> Result<Admitted, TurnedAway> {
        let (network, subject) = (Network::of(caller.address), caller.subject().map(Arc::<str>::from));
        if let Some(rates) = &self.connects {
            let both = [Some(Who::Network(network)), subject.clone().map(Who::Subject)];
            let passed = both.into_iter().flatten().try_for_each(|who| rates.pass(&who));
            passed.map_err(|wait| TurnedAway { why: Refusal::Rate, wait })?;
        }
        let subject = taken(self.subjects.as_ref().zip(subject), Refusal::Subject)?;
        let ip = taken(self.ips.as_ref().zip(Some(network)), Refusal::Ip)?;
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::Limit)?;
        Ok(Admitted { _room: room, _ip: ip, _subject: subject })
    }

    /// Lets a publish begin, or says after which time it may.
    pub(crate) fn publish(&self, caller: &Caller) -> Result<(), Duration> {
        self.publishes.as_ref().map_or(Ok(()), |rates| rates.pass(&publisher(caller)))
    }

    /// A publish that was let begin has so many events. Where others that began beside it left nothing, it says after which
    /// time there may be room.
    pub(crate) fn publishes(&self, caller: &Caller, events: usize) -> Result<(), Duration> {
        let more = events.saturating_sub(1);
        self.publishes.as_ref().map_or(Ok(()), |rates| rates.charge(&publisher(caller), more))
    }

    /// Forgets whom the rates need not remember any more.
    pub(crate) fn tidy(&self) {
        [&self.connects, &self.publishes].into_iter().flatten().for_each(Rates::tidy);
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

fn publisher(caller: &Caller) -> Who {
    match caller.subject() {
        Some(subject) => Who::Subject(subject.into()),
        None => Who::Network(Network::of(caller.address)),
    }
}

fn taken<K: Clone + Eq + std::hash::Hash>(
    wanted: Option<(&Arc<Places<K>>, K)>,
    otherwise: Refusal,
) -> Result<Option<Place<K>>, Refusal> {
    let Some((places, key)) = wanted else { return Ok(None) };
    places.take(key).map(Some).ok_or(otherwise)
}
