//! What weir itself has to tell a client, beside events.

use bytes::BytesMut;
use serde_json::json;

use crate::frame;
use crate::id::EventId;
use crate::name::Session;

/// Why something is missing from a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// It left the window or the log before this client could read it.
    Trimmed,
    /// The position given is not known here.
    UnknownId,
    /// This client's queue was full.
    Overflow,
    /// It left the log before this instance could read it.
    Reader,
    /// It was larger than `--max-event-bytes`.
    Oversize,
    /// The log was emptied or replaced.
    Reset,
}

impl GapReason {
    /// Every reason, for metrics that start at 0.
    pub const ALL: [Self; 6] =
        [Self::Trimmed, Self::UnknownId, Self::Overflow, Self::Reader, Self::Oversize, Self::Reset];

    /// As it stands on the wire and in the metric label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::UnknownId => "unknown-id",
            Self::Overflow => "overflow",
            Self::Reader => "reader",
            Self::Oversize => "oversize",
            Self::Reset => "reset",
        }
    }
}

/// A loss, told exactly where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The session concerned, where it is one.
    pub session: Option<Session>,
    /// How many events of this client, where that can be known.
    pub missed: Option<u64>,
    /// What is missing is above this position.
    pub after: Option<EventId>,
    /// What is missing is below this position.
    pub before: Option<EventId>,
    /// The position from which on everything follows. It is told right after the gap, so that the gap is not repeated
    /// to a client that comes back.
    pub then: EventId,
}

impl Gap {
    /// The object that stands on the wire.
    pub fn to_json(&self) -> serde_json::Value {
        let id = |id: Option<EventId>| id.map(|id| id.to_string());
        json!({
            "reason": self.reason.as_str(),
            "session": self.session.as_ref().map(Session::as_str),
            "missed": self.missed,
            "after": id(self.after),
            "before": id(self.before),
        })
    }
}

/// Why a subscribe is not served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As many clients as `--max-connections` allows.
    Limit,
    /// As many clients of one address as `--max-connections-per-ip` allows.
    Ip,
    /// As many clients of one subject as `--max-connections-per-subject` allows.
    Subject,
    /// Clients of one address or subject come faster than `--connect-rate` allows.
    Rate,
    /// The instance has no memory for more: `--memory-limit`, or what long-polls may take of it together.
    Memory,
    /// The instance is shutting down.
    Draining,
    /// The window has not been loaded within the time a client is held.
    Starting,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 7] =
        [Self::Limit, Self::Ip, Self::Subject, Self::Rate, Self::Memory, Self::Draining, Self::Starting];

    /// As it stands on the wire and in the metric label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Ip => "ip",
            Self::Subject => "subject",
            Self::Rate => "rate",
            Self::Memory => "memory",
            Self::Draining => "draining",
            Self::Starting => "starting",
        }
    }
}

/// A control event, or a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The stream is open; what follows comes after this position.
    Connected(EventId),
    /// A sign of life with the client's position.
    Ping(EventId),
    /// A sign of life where the position has not moved.
    Comment,
    /// Something is missing here.
    Gap(Gap),
    /// The instance lost its log at this time, in ms since the epoch.
    Degraded(u64),
    /// The instance found its log again.
    Restored,
    /// The instance goes away: come back elsewhere.
    Shutdown,
    /// The subscribe cannot be served now: come back later.
    Refused(Refusal),
    /// The stream ends after so many ms, because the token does: get another.
    Expiring(u64),
    /// The token has expired.
    Expired,
    /// The stream was ended, and the token perhaps refused from now on.
    Revoked,
}

/// What the text of notices depends on.
#[derive(Clone, Copy, Debug)]
pub struct NoticeFacts {
    /// The time, in ms since the epoch.
    pub now_ms: u64,
    /// The longest silence of a stream, in ms.
    pub heartbeat_ms: u64,
    /// After which time the client should come back, in ms. Jittered by the caller.
    pub reconnect_ms: u64,
}

impl Notice {
    /// Appends the notice as it stands on the wire.
    pub fn put(&self, out: &mut BytesMut, facts: NoticeFacts) {
        let NoticeFacts { now_ms, heartbeat_ms, reconnect_ms } = facts;
        match self {
            Self::Connected(id) => {
                frame::put_control(
                    out,
                    "weir.connected",
                    Some(*id),
                    &json!({"heartbeat": heartbeat_ms}).to_string(),
                );
            }
            Self::Ping(id) => {
                frame::put_control(out, "weir.ping", Some(*id), &json!({"ts": now_ms}).to_string())
            }
            Self::Comment => out.extend_from_slice(frame::COMMENT),
            Self::Gap(gap) => frame::put_control(out, "weir.gap", None, &gap.to_json().to_string()),
            Self::Degraded(since) => {
                frame::put_control(out, "weir.degraded", None, &json!({"since": since}).to_string());
            }
            Self::Restored => frame::put_control(out, "weir.restored", None, "{}"),
            Self::Shutdown => {
                frame::put_retry(out, reconnect_ms);
                frame::put_control(
                    out,
                    "weir.shutdown",
                    None,
                    &json!({"reconnect": reconnect_ms}).to_string(),
                );
            }
            Self::Refused(why) => {
                let data = json!({"reason": why.as_str(), "reconnect": reconnect_ms});
                frame::put_control(out, "weir.refused", None, &data.to_string());
            }
            Self::Expiring(ms) => {
                frame::put_control(out, "weir.expiring", None, &json!({"in": ms}).to_string());
            }
            Self::Expired => put_expired(out, "expired"),
            Self::Revoked => put_expired(out, "revoked"),
        }
    }
}

fn put_expired(out: &mut BytesMut, reason: &str) {
    frame::put_control(out, "weir.expired", None, &json!({"reason": reason}).to_string());
}
