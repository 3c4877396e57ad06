//! The closed sets of label values. Each value is exported as 0 from the start.

use weir_core::Malformed;
use weir_core::notice::GapReason;
use weir_core::subscription::ResumeResult;

/// A closed set of values of one label.
pub trait Label: Copy + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// The label's value.
    fn as_str(self) -> &'static str;

    /// Its place in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident ($label:literal) { $($(#[$value_doc:meta])* $value:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// The value of the metric label.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)*
                }
            }
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = Self::ALL;

            fn as_str(self) -> &'static str {
                self.as_str()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

labels! {
    /// How a client receives.
    Transport("transport") {
        /// One response that does not end.
        Sse = "sse",
        /// One request per answer.
        LongPoll = "long-poll",
        /// Either, of a durable stream.
        Durable = "durable",
    }

    /// Where the log is.
    Backend("backend") {
        /// In Redis, shared by all instances.
        Redis = "redis",
        /// In a file of this process.
        File = "file",
        /// In the memory of this process.
        Memory = "memory",
    }

    /// Who found that a followed durable stream may have more.
    WokenBy("source") {
        /// A call to this instance that changed it.
        Call = "call",
        /// An announcement of whoever changed it.
        Announcement = "announcement",
        /// The look at all that are followed, which finds what no announcement told.
        Look = "look",
    }

    /// How a TLS handshake ended.
    Handshake("result") {
        /// With a connection.
        Ok = "ok",
        /// One side refused the other, or went.
        Failed = "failed",
        /// The client took too long.
        Timeout = "timeout",
        /// The client spoke HTTP without TLS.
        Plain = "plain",
    }

    /// How reading the settings anew ended.
    Reloaded("result") {
        /// All of it was taken over.
        Ok = "ok",
        /// Something was bad, and all stayed as it was.
        Failed = "failed",
    }

    /// Why a connection of a client ended.
    Disconnect("reason") {
        /// The client left.
        Client = "client",
        /// Its oldest waiting event did not leave in time.
        Stalled = "stalled",
        /// Its queue was full and its policy is `disconnect`.
        Overflow = "overflow",
        /// Its token expired.
        Expired = "expired",
        /// An operator took it off.
        Revoked = "revoked",
        /// The instance was draining.
        Shutdown = "shutdown",
        /// It reached `--max-connection-age`.
        MaxAge = "max-age",
        /// The durable stream that it followed was closed or deleted, or had lost what came next.
        Ended = "ended",
        /// Anything else, such as a broken transport.
        Error = "error",
    }

    /// Why a subscribe was turned away.
    Rejected("reason") {
        /// `--max-connections` is reached.
        Limit = "limit",
        /// `--max-connections-per-ip` is reached.
        Ip = "ip",
        /// `--max-connections-per-subject` is reached.
        Subject = "subject",
        /// It came faster than `--connect-rate`.
        Rate = "rate",
        /// There is no memory for more.
        Memory = "memory",
        /// The instance is draining.
        Draining = "draining",
        /// The window was not loaded in time.
        Starting = "starting",
        /// It may not subscribe.
        Auth = "auth",
    }

    /// Why a request was refused that is neither a publish nor a subscribe turned away.
    Refused("reason") {
        /// Its head is no HTTP, or breaks a rule of it.
        Head = "head",
        /// Its head is larger than allowed.
        HeadSize = "head-size",
        /// Its head was begun and did not become whole in time.
        HeadTimeout = "head-timeout",
        /// The connection never said anything.
        Silent = "silent",
        /// The connection broke a rule of HTTP/2, or flooded what its rules allow.
        Http2 = "http2",
        /// There is no such path.
        Path = "path",
        /// The path does not answer to that method.
        Method = "method",
        /// What it asks for cannot be understood.
        Parameter = "parameter",
        /// It may not read that.
        Auth = "auth",
        /// It is asked for a page of an origin that may not call.
        Origin = "origin",
        /// What it takes to answer is not there at the moment: the keys, the window or the log.
        Unavailable = "unavailable",
    }

    /// How a publish ended. One call counts once, however many events it carries.
    PublishResult("result") {
        /// Written.
        Ok = "ok",
        /// Refused for what it says; nothing was written.
        Invalid = "invalid",
        /// The publisher may not publish; nothing was written.
        Denied = "denied",
        /// The publisher has published as much as it may for now; nothing was written.
        Limited = "limited",
        /// The log did not take it, or did not say whether it did.
        Unavailable = "unavailable",
        /// A repeat under its idempotency key; nothing was written again.
        Duplicate = "duplicate",
    }

    /// How an append to a durable stream ended.
    StreamAppend("result") {
        /// Written, or the stream closed.
        Ok = "ok",
        /// The producer had done so before; nothing was written again.
        Duplicate = "duplicate",
        /// Refused for what it says; nothing was written.
        Invalid = "invalid",
        /// There is no such stream, or it does not take this, or not now; nothing was written.
        Refused = "refused",
        /// Whoever appends may not; nothing was written.
        Denied = "denied",
        /// Whoever appends has done so as much as it may for now; nothing was written.
        Limited = "limited",
        /// There is no room; nothing was written.
        Full = "full",
        /// The streams could not be reached, or did not say whether it was written.
        Unavailable = "unavailable",
    }

    /// Why an event was lost to a connected client.
    Dropped("reason") {
        /// It was queued, and made room for newer ones.
        Overflow = "overflow",
        /// It left the window before a client that was behind had read it.
        Trimmed = "trimmed",
        /// It was larger than `--max-event-bytes`.
        Oversize = "oversize",
    }

    /// Why a queued event was not delivered, although nothing was lost: the client can resume, or asked for it.
    Discarded("reason") {
        /// The client left.
        Client = "client",
        /// The client was disconnected because it did not read.
        Stalled = "stalled",
        /// The client was disconnected by its overflow policy, its age or an error.
        Disconnect = "disconnect",
        /// The shutdown's deadline cut the client off.
        Shutdown = "shutdown",
        /// The client's token expired, or an operator took it off.
        Expired = "expired",
        /// A newer event of the same key took its place.
        Conflated = "conflated",
    }

    /// Why reading failed.
    ReaderError("kind") {
        /// No connection could be made.
        Connect = "connect",
        /// The connection ended.
        Disconnected = "disconnected",
        /// Redis did not answer in time.
        Timeout = "timeout",
        /// The group or the stream is gone.
        NoGroup = "no_group",
        /// The server is a replica or refuses writes (`READONLY`, `NOREPLICAS`, `MISCONF`).
        ReadOnly = "read_only",
        /// The server is out of memory (`OOM`).
        OutOfMemory = "out_of_memory",
        /// The server is loading its data (`LOADING`) or busy (`BUSY`, `TRYAGAIN`, `CLUSTERDOWN`).
        Loading = "loading",
        /// Wrong password or missing rights.
        Auth = "auth",
        /// The server has as many clients as it takes.
        MaxClients = "max_clients",
        /// The key of the stream holds something else.
        WrongType = "wrong_type",
        /// An answer that makes no sense.
        Protocol = "protocol",
        /// Another refusal.
        Refused = "refused",
        /// Entries could not be acknowledged.
        Ack = "ack",
    }

    /// What is asked of Redis, by purpose. Blocking reads are not measured: they take as long as there is nothing to read.
    Operation("command") {
        /// One plain event is added.
        Append = "append",
        /// A batch, a keyed publish or one with a snapshot is added.
        AppendBatch = "append_batch",
        /// Entries are acknowledged.
        Ack = "ack",
        /// Entries are fetched by id, for the window load or after an error.
        Range = "range",
        /// A group is created.
        Join = "join",
        /// Continuity is proved.
        Check = "check",
        /// The lease is renewed, orphans are reaped, the stream is trimmed, facts are collected.
        Upkeep = "upkeep",
        /// A snapshot is fetched.
        Snapshot = "snapshot",
        /// A revocation is added, or those that hold are fetched.
        Revoke = "revoke",
        /// A group is destroyed at the end.
        Leave = "leave",
        /// What this instance counted is added to the totals of all.
        Stats = "stats",
        /// A durable stream is made.
        StreamCreate = "stream_create",
        /// A durable stream is appended to, or closed.
        StreamAppend = "stream_append",
        /// Chunks of a durable stream are read.
        StreamRead = "stream_read",
        /// What is known of a durable stream is asked for.
        StreamHead = "stream_head",
        /// The ends of durable streams that are followed are looked at.
        StreamLook = "stream_look",
        /// A durable stream is deleted.
        StreamDelete = "stream_delete",
        /// Durable streams that have expired are removed.
        StreamSweep = "stream_sweep",
        /// Changes of durable streams are announced that were not announced with the append.
        StreamAnnounce = "stream_announce",
    }
}

/// Sets that the core knows.
macro_rules! core_labels {
    ($($name:ident ($label:literal),)*) => {$(
        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &Self::ALL;

            fn as_str(self) -> &'static str {
                self.as_str()
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

core_labels! {
    Malformed("reason"),
    GapReason("reason"),
    ResumeResult("result"),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<L: Label + PartialEq + std::fmt::Debug>() {
        for (place, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.index(), place, "{value:?} of {}", L::NAME);
        }
    }

    #[test]
    fn every_value_stands_at_its_index() {
        check::<Transport>();
        check::<WokenBy>();
        check::<Reloaded>();
        check::<Disconnect>();
        check::<Rejected>();
        check::<Refused>();
        check::<PublishResult>();
        check::<StreamAppend>();
        check::<Dropped>();
        check::<Discarded>();
        check::<GapReason>();
        check::<ResumeResult>();
        check::<ReaderError>();
        check::<Operation>();
        check::<Malformed>();
    }
}
