//! What can go wrong with one command, and what that says about its effect.

use fred::error::{Error, ErrorKind};

use super::advice;
use weir_metrics::ReaderError;

/// What a server says that has as many clients as it takes.
const FULL: &str = "max number of clients";

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// It was not sent.
    #[error("no connection to Redis: {0}")]
    Away(String),
    /// Redis refused it, so it did nothing.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// It was sent, and no answer came in time.
    #[error("Redis did not answer in time")]
    Late,
    /// It was sent, and the connection ended.
    #[error("the connection to Redis ended: {0}")]
    Broken(String),
    /// The answer makes no sense.
    #[error("Redis answered something unexpected: {0}")]
    Garbled(&'static str),
}

impl Fault {
    /// The fault of a command that was handed to the connection.
    pub(super) fn after_sending(error: &Error) -> Self {
        if *error.kind() == ErrorKind::Timeout {
            Self::Late
        } else {
            Self::Broken(error.details().to_owned())
        }
    }

    /// The fault of whoever was asked for the way, `who`: there is no connection yet.
    pub(super) fn away(self, who: std::fmt::Arguments<'_>) -> Self {
        match self {
            Self::Away(why) => Self::Away(format!("{who}: {why}")),
            Self::Refused(why) => Self::Away(format!("{who} refuses: {why}")),
            Self::Late => Self::Away(format!("{who} does not answer")),
            Self::Broken(why) => Self::Away(format!("{who} closed the connection: {why}")),
            Self::Garbled(why) => Self::Away(format!("{who} answers something unexpected: {why}")),
        }
    }

    /// The metric label it counts under where reading failed by it.
    pub(super) fn kind(&self) -> ReaderError {
        match self {
            // What Redis says to a greeting is the reason why there is no connection.
            Self::Away(text) if is_auth(text) => ReaderError::Auth,
            Self::Away(text) if text.contains(FULL) => ReaderError::MaxClients,
            Self::Away(text) if ["LOADING", "CLUSTERDOWN"].iter().any(|code| text.contains(code)) => {
                ReaderError::Loading
            }
            Self::Away(_) => ReaderError::Connect,
            Self::Refused(text) => refusal(text),
            Self::Late => ReaderError::Timeout,
            Self::Broken(_) => ReaderError::Disconnected,
            Self::Garbled(_) => ReaderError::Protocol,
        }
    }

    /// For whoever operates the instance: what happened, and what can be done about it.
    pub(super) fn told(&self) -> String {
        let text = self.to_string();
        match advice::on(&text) {
            Some(advice) => format!("{text} ({advice})"),
            None => text,
        }
    }

    /// Whether it proves that the stream itself is gone, and not only the group.
    pub(super) fn stream_is_gone(&self) -> bool {
        matches!(self, Self::Refused(text) if text.starts_with("UNBLOCKED the stream key no longer exists"))
    }
}

/// Whether a refusal says that this server is not the master.
pub(super) fn says_readonly(refusal: &str) -> bool {
    refusal.starts_with("READONLY")
}

/// The metric label of a refusal: Redis puts a code before the text of an error.
pub(super) fn refusal(text: &str) -> ReaderError {
    match text.split(' ').next().unwrap_or_default() {
        "NOGROUP" | "UNBLOCKED" => ReaderError::NoGroup,
        "READONLY" | "NOREPLICAS" | "MISCONF" => ReaderError::ReadOnly,
        "OOM" => ReaderError::OutOfMemory,
        "LOADING" | "BUSY" | "TRYAGAIN" | "ASK" | "MOVED" | "CLUSTERDOWN" | "MASTERDOWN" => {
            ReaderError::Loading
        }
        "WRONGTYPE" => ReaderError::WrongType,
        _ if is_auth(text) => ReaderError::Auth,
        _ => ReaderError::Refused,
    }
}

fn is_auth(text: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM"].iter().any(|code| text.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_by_code() {
        for (text, kind) in [
            ("NOGROUP No such key 's' or consumer group 'g'", ReaderError::NoGroup),
            ("UNBLOCKED the stream key no longer exists", ReaderError::NoGroup),
            ("READONLY You can't write against a read only replica.", ReaderError::ReadOnly),
            ("NOREPLICAS Not enough good replicas to write.", ReaderError::ReadOnly),
            ("MISCONF Redis is configured to save RDB snapshots", ReaderError::ReadOnly),
            ("OOM command not allowed", ReaderError::OutOfMemory),
            ("MOVED 866 127.0.0.1:7002", ReaderError::Loading),
            ("CLUSTERDOWN The cluster is down", ReaderError::Loading),
            ("NOAUTH Authentication required.", ReaderError::Auth),
            ("LOADING Redis is loading the dataset in memory", ReaderError::Loading),
            ("NOPERM this user has no permissions", ReaderError::Auth),
            ("WRONGTYPE Operation against a key", ReaderError::WrongType),
            ("ERR something else", ReaderError::Refused),
        ] {
            assert_eq!(Fault::Refused(text.to_owned()).kind(), kind, "{text}");
        }
        assert!(Fault::Refused("UNBLOCKED the stream key no longer exists".to_owned()).stream_is_gone());
        assert!(!Fault::Refused("NOGROUP gone".to_owned()).stream_is_gone());
    }
}
