//! What every request of an instance shares.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dashmap::DashMap;
use parking_lot::Mutex;
use weir_core::durable::StreamStore;
use weir_core::log::EventLog;
use weir_core::mailbox::Overflow;
use weir_core::{Broker, Time};
use weir_metrics::{Metrics, Refused};

use crate::access::Gate;
use crate::admin::console::Console;
use crate::admin::door::AdminToken;
use crate::admission::{Admission, Limits};
use crate::audit::Audit;
use crate::auth::tokens::Tokens;
use crate::client::Client;
use crate::cors::{Cors, Origin};
use crate::memory::Memory;
use crate::problem::Problem;
use crate::proxies::Proxies;
use crate::refusals::Refusals;
use crate::revoked::Revoked;
use crate::seldom::Seldom;
use crate::stage::Stages;
use crate::tails::Tails;

/// How a subscribe that cannot be served now is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuse {
    /// 200, `weir.refused` and a clean end, so that a native `EventSource` comes back by itself.
    Soft,
    /// 503 with `Retry-After`, for load balancers that try elsewhere.
    Status,
}

/// Who needs no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousAccess {
    /// Everybody on this machine who talks to it directly, as far as that shows: a loopback `Host` and no forwarding header.
    Local,
    /// Nobody.
    None,
    /// Whoever subscribes.
    Subscribe,
    /// Whoever publishes.
    Publish,
    /// Everybody.
    All,
}

/// The settings of the front.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Longest wait of a durable stream's long-poll.
    pub long_poll_timeout: Duration,
    /// Longest silence of a stream.
    pub heartbeat: Duration,
    /// Mean reconnection time told to clients.
    pub retry: Duration,
    /// A client whose oldest waiting event has not left completely within this is disconnected.
    pub stall_timeout: Duration,
    /// What a full queue does where the client does not say.
    pub overflow: Overflow,
    /// Most bytes of an event's data.
    pub max_event_bytes: usize,
    /// Most bytes that are appended to a stream at once, or that it begins with.
    pub max_append_bytes: usize,
    /// How much is let in, at first: [`App::change`] changes it.
    pub limits: Limits,
    /// Most sessions on one connection.
    pub max_sessions_per_connection: usize,
    /// Connections are rotated at about this age.
    pub max_connection_age: Option<Duration>,
    /// How a subscribe that cannot be served now is turned away.
    pub refuse: Refuse,
    /// Who needs no token.
    pub anonymous: AnonymousAccess,
    /// What admin calls need. Without it they are for whoever is on this machine.
    pub admin_token: Option<AdminToken>,
    /// How tokens are checked.
    pub tokens: Arc<Tokens>,
    /// Whose pages may call.
    pub cors: Cors,
    /// Whose word is taken about where a request comes from.
    pub proxies: Proxies,
    /// How long an instance whose log is away stays ready.
    pub ready_grace: Duration,
    /// After this long without a return of the reader, although the log answers, the instance is not ready.
    pub reader_patience: Duration,
}

/// See the [module](self).
#[derive(Debug)]
pub struct App {
    /// The instance's window and clients.
    pub broker: Broker,
    /// The log that publishes go to.
    pub log: Arc<dyn EventLog>,
    /// The durable streams.
    pub streams: Arc<dyn StreamStore>,
    /// Every series.
    pub metrics: Arc<Metrics>,
    /// The settings.
    pub config: HttpConfig,
    pub(crate) gate: Gate,
    pub(crate) clients: DashMap<u64, Arc<Client>>,
    pub(crate) admission: Admission,
    pub(crate) memory: Memory,
    pub(crate) refusals: Refusals,
    pub(crate) audit: Audit,
    /// Which operators look.
    pub(crate) console: Console,
    /// Nothing more can be accepted.
    pub(crate) exhausted: Seldom,
    /// When the reader last returned, by the clock that nobody sets.
    progress: Mutex<Instant>,
    /// Whether clients are welcome.
    pub(crate) stages: Stages,
    /// Which durable streams are followed.
    pub(crate) tails: Tails,
    /// Whose tokens are refused although they are good.
    pub(crate) revoked: Revoked,
}

impl App {
    /// An instance that has loaded nothing yet.
    pub fn new(
        broker: Broker,
        log: Arc<dyn EventLog>,
        streams: Arc<dyn StreamStore>,
        metrics: Arc<Metrics>,
        config: HttpConfig,
    ) -> Self {
        let tails = Tails::new(Arc::clone(&metrics));
        metrics.instance.memory_limit(config.limits.memory);
        metrics.clients.max.set(i64::try_from(config.limits.clients).unwrap_or(i64::MAX));
        Self {
            broker,
            log,
            streams,
            metrics,
            gate: Gate {
                anonymous: config.anonymous,
                tokens: Arc::clone(&config.tokens),
                cors: config.cors.clone(),
            },
            clients: DashMap::new(),
            admission: Admission::new(&config.limits),
            memory: Memory::new(config.max_event_bytes.max(config.max_append_bytes), config.limits.memory),
            config,
            refusals: Refusals::default(),
            audit: Audit::default(),
            console: Console::default(),
            exhausted: Seldom::default(),
            progress: Mutex::new(Instant::now()),
            stages: Stages::default(),
            tails,
            revoked: Revoked::default(),
        }
    }

    /// Takes over what may change while the instance runs. Nobody who is here has to go for it.
    pub fn change(&self, limits: &Limits, origins: Vec<Origin>) {
        self.metrics.instance.memory_limit(limits.memory);
        self.metrics.clients.max.set(i64::try_from(limits.clients).unwrap_or(i64::MAX));
        self.admission.replace(limits);
        self.memory.change_limit(limits.memory);
        self.config.cors.replace(origins);
    }

    /// The time now.
    pub fn time(&self) -> Time {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Time { now: Instant::now(), ms: u64::try_from(ms).unwrap_or(u64::MAX) }
    }

    /// The reader has returned, with entries or without: it is alive.
    pub fn reader_returned(&self, time: Time) {
        *self.progress.lock() = time.now;
        self.audit.settle(time.now);
        self.metrics.log.progress(time.ms);
    }

    pub(crate) fn reader_silent_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.progress.lock())
    }

    /// Counts a request that is refused, and hands on how it is told.
    pub(crate) fn refuse(&self, why: Refused, problem: Problem) -> Problem {
        self.metrics.requests.rejected.inc(why);
        problem
    }

    /// A reconnection time for one client, ±20 %, so that clients that were cut off together do not come back together.
    pub(crate) fn reconnect_ms(&self) -> u64 {
        jittered(self.config.retry)
    }

    /// The same for one that there is no room for before so long.
    pub(crate) fn reconnect_after_ms(&self, wait: Duration) -> u64 {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.reconnect_ms().max(wait.saturating_add(fastrand::u64(0..=wait / 5 + 100)))
    }
}

/// ±20 % of a duration, in ms.
pub(crate) fn jittered(mean: Duration) -> u64 {
    let factor = fastrand::f64().mul_add(0.4, 0.8);
    u64::try_from(mean.mul_f64(factor).as_millis()).unwrap_or(u64::MAX)
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's address, as far as it can be known; IPv4 is never written as IPv6.
    pub(crate) address: IpAddr,
    pub(crate) way: Way,
}

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By whoever speaks on it, or by a proxy that says so in each request.
    Direct,
    /// By a trusted proxy for somebody else, of which the requests say nothing.
    Proxied,
}
