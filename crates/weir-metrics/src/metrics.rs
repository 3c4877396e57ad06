//! All series together, and the page that shows them.

use std::sync::OnceLock;

use prometheus::{Registry, TextEncoder};
use weir_core::EventType;
use weir_core::log::LogFacts;
use weir_core::notice::GapReason;
use weir_core::tally::Tally;

use crate::clients::Clients;
use crate::events::Events;
use crate::instance::Instance;
use crate::label::{Discarded, Dropped};
use crate::log::Log;
use crate::publishing::Publishing;
use crate::redis::Redis;
use crate::registrar::Registrar;
use crate::reloads::Reloads;
use crate::requests::Requests;
use crate::resume::Resume;
use crate::streams::Streams;
use crate::tails::Tails;
use crate::tls::Tls;

/// Every series of one instance. Shared as an `Arc`; all methods take `&self`.
#[derive(Debug)]
pub struct Metrics {
    /// What the process is and whether it serves.
    pub instance: Instance,
    /// Settings that were read anew.
    pub reloads: Reloads,
    /// Connections.
    pub clients: Clients,
    /// Publishes over HTTP.
    pub publishing: Publishing,
    /// Durable streams over HTTP.
    pub streams: Streams,
    /// Requests that were refused.
    pub requests: Requests,
    /// Events on their way from the log to the sockets.
    pub events: Events,
    /// Resumes and gaps.
    pub resume: Resume,
    /// The log and the window.
    pub log: Log,
    /// Durable streams that are followed.
    pub tails: Tails,
    /// TLS on the public listeners.
    pub tls: Tls,
    redis: OnceLock<Redis>,
    registry: Registry,
}

/// What was built, for `weir_build_info`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo<'a> {
    /// Version of the package.
    pub version: &'a str,
    /// Revision of the source; `unknown` where it was not built from a checkout.
    pub revision: &'a str,
}

impl Metrics {
    /// Makes and registers all series, each at 0 or, where 0 would be a claim, at NaN.
    ///
    /// `types` get a label value of their own in `weir_events_total` (`--metric-types`).
    pub fn new(build: BuildInfo<'_>, types: &[EventType]) -> Self {
        let registry = Registry::new();
        let make = Registrar(&registry);
        make.process();
        Self {
            instance: Instance::new(make, build),
            reloads: Reloads::new(make),
            clients: Clients::new(make),
            publishing: Publishing::new(make),
            streams: Streams::new(make),
            requests: Requests::new(make),
            events: Events::new(make, types),
            resume: Resume::new(make),
            log: Log::new(make),
            tails: Tails::new(make),
            tls: Tls::new(make),
            redis: OnceLock::new(),
            registry,
        }
    }

    /// Adds what one step of the core did.
    pub fn tally(&self, tally: &Tally) {
        if *tally == Tally::default() {
            return;
        }
        let events = &self.events;
        events.queued.inc_by(tally.queued);
        events.delivered(tally.delivered, 0);
        events.dropped.add(Dropped::Overflow, tally.dropped.overflow);
        events.dropped.add(Dropped::Trimmed, tally.dropped.trimmed);
        events.dropped.add(Dropped::Oversize, tally.dropped.oversize);
        events.discarded.add(Discarded::Conflated, tally.conflated);
        self.resume.replayed.inc_by(tally.replayed);
        for (reason, count) in GapReason::ALL.into_iter().zip(tally.gaps) {
            self.resume.gaps.add(reason, count);
        }
    }

    /// Shows what was last seen of the log.
    pub fn facts(&self, facts: &LogFacts, now_ms: u64) {
        self.log.facts(facts, now_ms);
        if let Some(redis) = self.redis.get() {
            redis.facts(facts);
        }
    }

    /// The series of the Redis backend. They exist from the first call on, so that an instance with the embedded log
    /// does not show a Redis that is down.
    pub fn redis(&self) -> &Redis {
        self.redis.get_or_init(|| Redis::new(Registrar(&self.registry)))
    }

    /// The page, in Prometheus' text format 0.0.4 (`Content-Type: text/plain; version=0.0.4`).
    pub fn encode(&self) -> String {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).expect("writing to a string cannot fail")
    }
}
