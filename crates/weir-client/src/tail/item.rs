//! What a tail hands over.

use std::fmt;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An event, or something that happened to the stream of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(TailEvent),
    /// Something else.
    Notice(Notice),
}

/// An event. Serialised it is the object of `format=json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailEvent {
    /// Its place in the log.
    pub id: String,
    /// Whom it is addressed to.
    pub session: String,
    /// What kind it is.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What it is about.
    pub key: Option<String>,
    /// The published text.
    pub data: String,
    /// Producer's time in ms since the epoch.
    pub ts: u64,
}

/// Something that happened to the stream. It displays as one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The stream is open.
    Connected {
        /// How often the server says something at least, where it tells.
        heartbeat: Option<Duration>,
    },
    /// Events were lost here.
    Gap(Gap),
    /// The instance lost its log; nothing new comes until [`Self::Restored`].
    Degraded {
        /// Since when, in ms since the epoch.
        since: Option<u64>,
    },
    /// The instance found its log again.
    Restored,
    /// The instance goes away; the stream ends and is resumed elsewhere.
    Shutdown {
        /// When to come back.
        reconnect: Option<Duration>,
    },
    /// The instance cannot serve the stream now.
    Refused {
        /// Why not.
        reason: String,
        /// When to come back.
        reconnect: Option<Duration>,
    },
    /// The token expires soon.
    Expiring {
        /// How soon.
        within: Option<Duration>,
    },
    /// The token expired.
    Expired,
    /// The connection ended or was not made; another follows.
    Disconnected {
        /// What happened.
        why: String,
        /// After which pause the next try is made.
        pause: Duration,
    },
    /// Something that the server sent could not be used.
    Skipped {
        /// The position it had.
        id: Option<String>,
        /// What was wrong.
        why: String,
    },
}

/// Where and how much was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// Why: `trimmed`, `unknown-id`, `overflow`, `reader`, `oversize` or `reset`.
    pub reason: String,
    /// The session it concerns; none where it may be any.
    pub session: Option<String>,
    /// How many events, where it is known.
    pub missed: Option<u64>,
    /// The loss is after this position.
    pub after: Option<String>,
    /// The loss is before this position.
    pub before: Option<String>,
}

/// Makes an item of what the server sent. None is nothing to tell: a heartbeat, or a kind of a later version.
pub(super) fn decode(name: &str, data: &str, id: Option<&str>) -> Option<Item> {
    let decoded = match name {
        "message" => json(data).map(|event| Some(Item::Event(event))),
        _ => control(name, data).map(|notice| notice.map(Item::Notice)),
    };
    decoded.unwrap_or_else(|error| {
        let why = format!("its data is not what {name} carries: {error}");
        Some(Item::Notice(Notice::Skipped { id: id.map(str::to_owned), why }))
    })
}

fn control(name: &str, data: &str) -> Result<Option<Notice>, serde_json::Error> {
    let notice = match name {
        "weir.connected" => Notice::Connected { heartbeat: json::<Fields>(data)?.heartbeat.map(ms) },
        "weir.gap" => Notice::Gap(json(data)?),
        "weir.degraded" => Notice::Degraded { since: json::<Fields>(data)?.since },
        "weir.restored" => Notice::Restored,
        "weir.shutdown" => Notice::Shutdown { reconnect: json::<Fields>(data)?.reconnect.map(ms) },
        "weir.refused" => {
            let Fields { reason, reconnect, .. } = json(data)?;
            Notice::Refused { reason, reconnect: reconnect.map(ms) }
        }
        "weir.expiring" => Notice::Expiring { within: json::<Fields>(data)?.within.map(ms) },
        "weir.expired" => Notice::Expired,
        _ => return Ok(None),
    };
    Ok(Some(notice))
}

/// The fields of all control events but gaps; each has some of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    heartbeat: Option<u64>,
    since: Option<u64>,
    reconnect: Option<u64>,
    reason: String,
    #[serde(rename = "in")]
    within: Option<u64>,
}

fn json<T: DeserializeOwned>(data: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(data)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { .. } => f.write_str("connected"),
            Self::Gap(gap) => gap.fmt(f),
            Self::Degraded { .. } => f.write_str("degraded: the instance lost its log and waits for it"),
            Self::Restored => f.write_str("restored: the instance found its log again"),
            Self::Shutdown { .. } => f.write_str("shutdown: the instance goes away"),
            Self::Refused { reason, .. } => write!(f, "refused for now: {reason}"),
            Self::Expiring { within: Some(within) } => write!(f, "the token expires in {within:.0?}"),
            Self::Expiring { within: None } => f.write_str("the token expires soon"),
            Self::Expired => f.write_str("the token expired"),
            Self::Disconnected { why, pause } => write!(f, "disconnected: {why}; next try in {pause:.1?}"),
            Self::Skipped { id: Some(id), why } => write!(f, "skipped the event at {id}: {why}"),
            Self::Skipped { id: None, why } => write!(f, "skipped an event: {why}"),
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, session, missed, after, before } = self;
        write!(f, "gap ({reason}): ")?;
        match missed {
            Some(1) => f.write_str("1 event missed")?,
            Some(missed) => write!(f, "{missed} events missed")?,
            None => f.write_str("an unknown number of events missed")?,
        }
        for (word, value) in [("of session", session), ("after", after), ("before", before)] {
            if let Some(value) = value {
                write!(f, " {word} {value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, data: &str) -> Notice {
        let item = decode(name, data, Some("7-0"));
        let Some(Item::Notice(notice)) = item else { panic!("{name} gave {item:?}") };
        notice
    }

    #[test]
    fn an_event_survives_the_way_out() {
        let text = r#"{"id":"7-0","session":"a","type":null,"key":"k","data":"{\"x\":1}","ts":5}"#;
        let Some(Item::Event(event)) = decode("message", text, None) else { panic!("no event") };
        assert_eq!((event.data.as_str(), event.kind.as_deref()), (r#"{"x":1}"#, None));
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn every_control_event_of_the_contract() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(
            notice("weir.connected", r#"{"heartbeat":1000}"#),
            Notice::Connected { heartbeat: second }
        );
        assert_eq!(notice("weir.degraded", r#"{"since":5}"#), Notice::Degraded { since: Some(5) });
        assert_eq!(notice("weir.restored", "{}"), Notice::Restored);
        assert_eq!(notice("weir.shutdown", r#"{"reconnect":1000}"#), Notice::Shutdown { reconnect: second });
        let refused = Notice::Refused { reason: "limit".into(), reconnect: second };
        assert_eq!(notice("weir.refused", r#"{"reason":"limit","reconnect":1000}"#), refused);
        assert_eq!(notice("weir.expiring", r#"{"in":1000}"#), Notice::Expiring { within: second });
        assert_eq!(notice("weir.expired", "{}"), Notice::Expired);
        assert_eq!(decode("weir.ping", r#"{"ts":1}"#, None), None);
        assert_eq!(decode("weir.of-a-later-version", "no json", None), None);
    }

    #[test]
    fn gaps_say_what_is_known() {
        let all = r#"{"reason":"trimmed","session":"a","missed":3,"after":"1-0","before":"5-0"}"#;
        assert_eq!(
            notice("weir.gap", all).to_string(),
            "gap (trimmed): 3 events missed of session a after 1-0 before 5-0"
        );
        let none = r#"{"reason":"reset","session":null,"missed":null,"after":null,"before":null}"#;
        assert_eq!(notice("weir.gap", none).to_string(), "gap (reset): an unknown number of events missed");
    }

    #[test]
    fn what_cannot_be_read_is_skipped_and_told() {
        for (name, data) in
            [("message", "{"), ("message", "{}"), ("weir.gap", "[1,"), ("weir.connected", "x")]
        {
            let told = notice(name, data);
            assert!(matches!(&told, Notice::Skipped { id: Some(id), .. } if id == "7-0"), "{told:?}");
        }
    }
}
