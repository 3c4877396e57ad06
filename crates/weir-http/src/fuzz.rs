//! What fuzz targets reach of the inside: how a request is understood, without one. Nobody else calls it.

use std::time::Duration;

use http::request::Parts;
use weir_core::log::NewEvent;
use weir_core::mailbox::Overflow;
use weir_core::subscription::{Format, Wants};
use weir_core::{EventType, Key, Position};

use crate::auth::carrier::{Carrier, carried};
use crate::batch::{self, Syntax};
use crate::problem::Problem;
use crate::query::{Defaults, Labels, Query, Subscribe, position};
use crate::{head, intake, local, publish};

/// The status and the code of a refusal.
pub type Refused = (u16, &'static str);

/// How a subscribe to `/v1/events` with this query is understood, and for how long a long-poll would wait.
///
/// # Errors
/// It is refused.
pub fn subscribe(query: &str, parts: &Parts, most: usize) -> Result<(Wants, Option<Duration>), Refused> {
    let query = Query(query);
    let defaults = Defaults { format: Format::Json, overflow: Overflow::CatchUp };
    let understood = query
        .sessions(most)
        .and_then(|sessions| Subscribe::parse(sessions, query, &parts.headers, defaults))
        .map_err(|problem| refused(&problem))?;
    Ok((understood.wants, understood.wait))
}

/// What a publish with this query says beside its data.
///
/// # Errors
/// It is refused.
#[expect(clippy::type_complexity, reason = "three things that a publish may say")]
pub fn labels(query: &str) -> Result<(Option<EventType>, Option<Key>, Option<u32>), Refused> {
    let Labels { kind, key, snapshot } = Labels::parse(Query(query)).map_err(|problem| refused(&problem))?;
    Ok((kind, key, snapshot))
}

/// The events of a batch, as an array or as lines.
///
/// # Errors
/// It is refused.
pub fn batch(is_array: bool, text: &str, max_event_bytes: usize) -> Result<Vec<NewEvent>, Refused> {
    let syntax = if is_array { Syntax::Array } else { Syntax::Lines };
    batch::parse(syntax, text, max_event_bytes).map_err(|problem| refused(&problem))
}

/// What weir makes of the headers of a request.
#[derive(Debug)]
pub struct Heard {
    /// Whom it is for and where its body ends, or why that is not clear.
    pub head: Result<(), Refused>,
    /// Whether it counts as one of this machine.
    pub is_local: bool,
    /// Its token, and whether it came in the header made for it.
    pub token: Option<(bool, String)>,
    /// Where it wants to go on.
    pub position: Option<Position>,
    /// Whether a batch would be an array.
    pub is_array: Result<bool, Refused>,
    /// Whether its body would be taken as it is.
    pub plain: bool,
    /// Its idempotency key.
    pub idempotency_key: Result<Option<String>, Refused>,
}

/// What weir makes of the headers of this request.
pub fn heard(mut parts: Parts) -> Heard {
    let head = head::check(&parts).map_err(|problem| refused(&problem));
    local::settle_host(&mut parts);
    let headers = &parts.headers;
    let token = carried(headers, Query(""), "weir_token").ok().flatten();
    Heard {
        head,
        is_local: local::is_local(headers),
        token: token.map(|(carrier, token)| (carrier == Carrier::Header, token)),
        position: position(Query(""), headers),
        is_array: Syntax::of(headers)
            .map(|syntax| syntax == Syntax::Array)
            .map_err(|problem| refused(&problem)),
        plain: intake::check_coding(headers).is_ok(),
        idempotency_key: publish::idempotency_key(headers)
            .map(|key| key.map(str::to_owned))
            .map_err(|problem| refused(&problem)),
    }
}

fn refused(problem: &Problem) -> Refused {
    (problem.status.as_u16(), problem.code)
}
