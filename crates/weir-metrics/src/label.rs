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
    }

    /// Why a connection of a client ended.
    Disconnect("reason") {
        /// The client left.
        Client = "client",
        /// Its oldest waiting event did not leave in time.
        Stalled = "stalled",
        /// Its queue was full and its policy is `disconnect`.
        Overflow = "overflow",
        /// The instance was draining.
        Shutdown = "shutdown",
        /// It reached `--max-connection-age`.
        MaxAge = "max-age",
        /// Anything else, such as a broken transport.
        Error = "error",
    }

    /// Why a subscribe was turned away.
    Rejected("reason") {
        /// `--max-connections` is reached.
        Limit = "limit",
        /// The instance is draining.
        Draining = "draining",
        /// The window was not loaded in time.
        Starting = "starting",
        /// It may not subscribe.
        Auth = "auth",
    }

    /// How a publish ended. One call counts once, however many events it carries.
    PublishResult("result") {
        /// Written.
        Ok = "ok",
        /// Refused for what it says; nothing was written.
        Invalid = "invalid",
        /// The publisher may not publish; nothing was written.
        Denied = "denied",
        /// Turned away by a limit of the instance; nothing was written.
        Limited = "limited",
        /// The log did not take it, or did not say whether it did.
        Unavailable = "unavailable",
        /// A repeat under its idempotency key; nothing was written again.
        Duplicate = "duplicate",
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
        /// A newer event of the same key took its place.
        Conflated = "conflated",
    }

    /// What went wrong in the log's reader.
    ReaderError("kind") {
        /// The connection was refused or lost.
        Connection = "connection",
        /// No answer in time.
        Timeout = "timeout",
        /// A password or a permission is missing.
        Auth = "auth",
        /// The group or the stream was gone.
        NoGroup = "nogroup",
        /// An answer that weir does not understand.
        Protocol = "protocol",
        /// Any other error that the server answered.
        Server = "server",
    }

    /// A Redis command, or the script in its place. Blocking reads are not measured: they take as long as there is
    /// nothing to read.
    Command("command") {
        /// Appends an event.
        Xadd = "xadd",
        /// Acknowledges a batch.
        Xack = "xack",
        /// Loads the window, or closes a hole.
        Xrange = "xrange",
        /// Makes or destroys a group.
        Xgroup = "xgroup",
        /// Looks at the stream or its groups.
        Xinfo = "xinfo",
        /// Looks at what is not acknowledged.
        Xpending = "xpending",
        /// Trims for producers that do not.
        Xtrim = "xtrim",
        /// Runs a script: appends of several events, appends with an idempotency key, leases.
        Eval = "eval",
        /// Reads a snapshot.
        Get = "get",
        /// Anything else.
        Other = "other",
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
        check::<Disconnect>();
        check::<Rejected>();
        check::<PublishResult>();
        check::<Dropped>();
        check::<Discarded>();
        check::<GapReason>();
        check::<ResumeResult>();
        check::<ReaderError>();
        check::<Command>();
        check::<Malformed>();
    }
}
