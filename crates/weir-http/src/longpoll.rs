//! A subscribe that is answered once: with what is there, or with the first event that comes.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;
use weir_core::frame;
use weir_core::id::EventId;
use weir_core::notice::{Gap, Notice, Refusal};
use weir_core::subscription::{Budget, End, Format, Intake, Out, Pulled, Subscription, Wants};
use weir_metrics::Transport;

use crate::admission::Admitted;
use crate::body::Body;
use crate::call::{Call, Caller};
use crate::client::{Seated, rejected};
use crate::memory::{Share, UsedUp};
use crate::problem::Problem;
use crate::subscribe::refused;

/// Bounds of one answer.
const ANSWER: Budget = Budget { events: 1000, bytes: 1 << 20 };

/// Answers a long-poll.
pub(crate) async fn answer(
    call: Call<'_>,
    wants: Wants,
    wait: Duration,
    who: (Caller, Admitted),
) -> Result<Response<Body>, Problem> {
    let app = call.app;
    let wants = Wants { intake: Intake::Window, format: Format::Json, visible_beat: false, ..wants };
    let mut seated = Seated::join(app, wants, Transport::LongPoll, who);
    let until = seated.client.expires().into_iter().chain([Instant::now() + wait]).min();
    let until = until.unwrap_or_else(Instant::now);
    let mut answer = Answer::default();
    while !answer.full {
        let Some(pulled) = next(&seated, answer.is_due(), until).await else { break };
        seated.count(&pulled);
        if let Some(End::Refused(why)) = pulled.end {
            return Err(refused(why.into()));
        }
        let ended = pulled.end.is_some();
        answer.take(pulled);
        if ended {
            break;
        }
    }
    let turned_away = |why: Refusal| {
        app.metrics.clients.rejected.inc(rejected(why));
        refused(why.into())
    };
    // Before the window is loaded there is no position to go on from.
    let text = answer.into_text().ok_or_else(|| turned_away(Refusal::Starting))?;
    let share = app.memory.answers.share(text.len()).map_err(|UsedUp| turned_away(Refusal::Memory))?;
    // It is a client until its answer has left, and cut like one that stalls.
    seated.client.wire.waits(Some(Instant::now()));
    call.link.watch(&seated.client);
    Ok(respond(Bytes::from_owner(Leaving { text, _seated: seated, _share: share })))
}

/// An answer on its way, and what is held for it until the last of it has left.
struct Leaving {
    text: String,
    _seated: Seated,
    _share: Share,
}

impl AsRef<[u8]> for Leaving {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn respond(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What comes next: at once where something is there already, else until the time is over or the instance goes away.
async fn next(seated: &Seated, due: bool, until: Instant) -> Option<Pulled> {
    let (app, seat) = (&seated.app, &seated.client.seat);
    loop {
        let pull = poll_fn(|cx| seat.poll_pull(cx, &app.broker.view(app.time()), ANSWER));
        let deadline = seat.look(Subscription::deadline).map_or(until, |at| at.min(until));
        tokio::select! {
            biased;
            pulled = pull => return Some(pulled),
            () = std::future::ready(()), if due => return None,
            () = app.stages.draining() => return None,
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        let now = Instant::now();
        if now >= until {
            if seated.client.expires().is_some_and(|end| now >= end) {
                seat.close(End::Expired);
            }
            return last_look(seated);
        }
    }
}

/// The time is over: the position may have moved, which is worth telling.
fn last_look(seated: &Seated) -> Option<Pulled> {
    let (app, seat) = (&seated.app, &seated.client.seat);
    seat.beat();
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    match seat.poll_pull(&cx, &app.broker.view(app.time()), ANSWER) {
        std::task::Poll::Ready(pulled) => Some(pulled),
        std::task::Poll::Pending => None,
    }
}

/// An answer as it stands on the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    events: Vec<Box<RawValue>>,
    last_event_id: String,
    gap: Option<serde_json::Value>,
}

/// An answer as it comes together.
#[derive(Debug, Default)]
struct Answer {
    events: Vec<Box<RawValue>>,
    bytes: usize,
    gap: Option<Gap>,
    position: Option<EventId>,
    /// Nothing more goes in.
    full: bool,
}

impl Answer {
    /// Whether there is something to tell.
    fn is_due(&self) -> bool {
        !self.events.is_empty() || self.gap.is_some()
    }

    fn take(&mut self, pulled: Pulled) {
        for item in pulled.items {
            if self.full {
                return;
            }
            match item {
                Out::Event(parcel) => {
                    self.position = Some(parcel.event.id);
                    self.push(frame::json_body(&parcel.event));
                }
                // A gap stands before the events, so one that comes after some of them has to wait for the next answer.
                Out::Notice(Notice::Gap(_)) if self.is_due() => self.full = true,
                Out::Notice(Notice::Gap(gap)) => self.gap = Some(gap),
                Out::Notice(Notice::Connected(id) | Notice::Ping(id)) => self.position = Some(id),
                Out::Notice(Notice::Comment) => self.full = true,
                Out::Notice(
                    Notice::Degraded(_)
                    | Notice::Restored
                    | Notice::Shutdown
                    | Notice::Refused(_)
                    | Notice::Expiring(_)
                    | Notice::Expired
                    | Notice::Revoked,
                )
                | Out::Part(_) => {}
            }
        }
    }

    fn push(&mut self, body: String) {
        self.bytes += body.len();
        self.events.push(RawValue::from_string(body).expect("an event's object is JSON"));
        self.full = self.events.len() >= ANSWER.events || self.bytes >= ANSWER.bytes;
    }

    /// `None` where nobody could tell yet where the client stands.
    fn into_text(self) -> Option<String> {
        let body = Wire {
            events: self.events,
            last_event_id: self.position?.to_string(),
            gap: self.gap.as_ref().map(Gap::to_json),
        };
        Some(serde_json::to_string(&body).expect("strings and JSON always serialise"))
    }
}
