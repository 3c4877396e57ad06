//! Who is let in. Nobody who is in has to go for it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use weir_core::notice::Refusal;

use crate::call::Caller;
use crate::places::{Network, Place, Places};
use crate::proxies::Proxies;
use crate::rates::{Rate, Rates, Who};
use crate::room::{Room, Taken};

/// Connections that an address may have besides twice as many as it may have clients. A client takes one, and whoever
/// publishes, or is told to come back later, needs one, too.
const MORE_CONNECTIONS: usize = 16;

/// How much is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// See the [module](self). The limits may change while clients are here.
#[derive(Debug)]
pub(crate) struct Admission {
    room: Arc<Room>,
    rules: RwLock<Arc<Rules>>,
}

/// The limits of one time. Whoever was let in by them holds on to what it has to give back.
#[derive(Debug, Default)]
struct Rules {
    ips: Option<Arc<Places<Network>>>,
    subjects: Option<Arc<Places<Arc<str>>>>,
    connections: Option<Arc<Places<Network>>>,
    connects: Option<Arc<Rates>>,
    publishes: Option<Arc<Rates>>,
}

/// A client's place; it is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _room: Taken,
    _ip: Option<Place<Network>>,
    _subject: Option<Place<Arc<str>>>,
}

/// The place of a connection of one address, whatever comes of it.
pub(crate) type Connected = Option<Place<Network>>;

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let rules = Rules::default().changed(limits);
        Self { room: Room::new(limits.clients), rules: RwLock::new(Arc::new(rules)) }
    }

    /// Other limits, for those who come from now on. Who was let in by a limit on how many there are counts for the one that
    /// takes its place; who came while there was none does not.
    pub(crate) fn replace(&self, limits: &Limits) {
        self.room.resize(limits.clients);
        let mut rules = self.rules.write();
        *rules = Arc::new(rules.changed(limits));
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    /// A client's place, taken before anything is awaited, so that no two take the last one.
    pub(crate) fn client(&self, caller: &Caller) -> Result<Admitted, TurnedAway> {
        let rules = self.rules();
        let (network, subject) = (Network::of(caller.address), caller.subject().map(Arc::<str>::from));
        if let Some(rates) = &rules.connects {
            let both = [Some(Who::Network(network)), subject.clone().map(Who::Subject)];
            let passed = both.into_iter().flatten().try_for_each(|who| rates.pass(&who));
            passed.map_err(|wait| TurnedAway { why: Refusal::Rate, wait })?;
        }
        let subject = taken(rules.subjects.as_ref().zip(subject), Refusal::Subject)?;
        let ip = taken(rules.ips.as_ref().zip(Some(network)), Refusal::Ip)?;
        let room = self.room.take().ok_or(Refusal::Limit)?;
        Ok(Admitted { _room: room, _ip: ip, _subject: subject })
    }

    /// What share of the places of clients is left, in hundredths: 0 only where none is.
    pub(crate) fn free(&self) -> usize {
        self.room.free()
    }

    /// Lets a publish begin, or says after which time it may.
    pub(crate) fn publish(&self, caller: &Caller) -> Result<(), Duration> {
        self.rules.read().publishes.as_ref().map_or(Ok(()), |rates| rates.pass(&publisher(caller)))
    }

    /// A publish that was let begin has so many events. Where others that began beside it left nothing, it says after which
    /// time there may be room.
    pub(crate) fn publishes(&self, caller: &Caller, events: usize) -> Result<(), Duration> {
        let more = events.saturating_sub(1);
        let rules = self.rules.read();
        rules.publishes.as_ref().map_or(Ok(()), |rates| rates.charge(&publisher(caller), more))
    }

    /// Forgets whom the rates need not remember any more.
    pub(crate) fn tidy(&self) {
        let rules = self.rules();
        [&rules.connects, &rules.publishes].into_iter().flatten().for_each(|rates| rates.tidy());
    }

    /// The place of a connection, before it has said anything; `Err` where its address has too many. A trusted proxy may
    /// have any number: they are its clients'.
    pub(crate) fn connection(&self, proxies: &Proxies, address: IpAddr) -> Result<Connected, Refusal> {
        if proxies.trust(address) {
            return Ok(None);
        }
        taken(self.rules.read().connections.as_ref().zip(Some(Network::of(address))), Refusal::Ip)
    }
}

impl Rules {
    /// Those of other limits. What has to be remembered of those who are here is taken along.
    fn changed(&self, limits: &Limits) -> Self {
        let connections = |clients: usize| clients.saturating_mul(2).saturating_add(MORE_CONNECTIONS);
        Self {
            ips: places(self.ips.as_ref(), limits.clients_per_ip),
            subjects: places(self.subjects.as_ref(), limits.clients_per_subject),
            connections: places(self.connections.as_ref(), limits.clients_per_ip.map(connections)),
            connects: rates(self.connects.as_ref(), limits.connect_rate),
            publishes: rates(self.publishes.as_ref(), limits.publish_rate),
        }
    }
}

fn places<K: Clone + Eq + std::hash::Hash>(
    have: Option<&Arc<Places<K>>>,
    most: Option<usize>,
) -> Option<Arc<Places<K>>> {
    let most = most?;
    have.map_or_else(
        || Some(Places::new(most)),
        |places| {
            places.resize(most);
            Some(Arc::clone(places))
        },
    )
}

/// The same rate goes on as it is: a reload must not give back to anybody what was used up.
fn rates(have: Option<&Arc<Rates>>, rate: Option<Rate>) -> Option<Arc<Rates>> {
    let rate = rate?;
    let same = have.filter(|rates| rates.rate() == rate);
    Some(same.map_or_else(|| Arc::new(Rates::new(rate)), Arc::clone))
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
