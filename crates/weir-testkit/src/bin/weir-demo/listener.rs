//! One client, which comes back after every end as a browser's does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_testkit::client::Request;
use weir_testkit::sse::Item;
use weir_testkit::{Client, Next, SseStream};

use crate::publishers::{BUSY, SESSIONS, STREAMS, session, stream};
use crate::tally::{Connected, Tally, count};

/// How long a client bears silence: four heartbeats.
const SILENCE: Duration = Duration::from_secs(60);

/// Before it comes back where it was told nothing else.
const RETRY: Duration = Duration::from_secs(5);

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It listens to one session and stays.
    Stays,
    /// The same for several sessions.
    StaysForAll,
    /// It leaves after about so many seconds, and resumes some seconds later.
    Restless(u32),
    /// On a narrow line, it stops reading for so many seconds each minute or so, and then reads all that waits.
    Naps(u32),
    /// It asks again and again, by long-polls.
    Polls,
    /// It follows a durable stream.
    Follows,
}

/// A client of the load.
pub(crate) struct Listener {
    pub(crate) number: u32,
    pub(crate) habit: Habit,
    pub(crate) balancer: SocketAddr,
    /// Those who nap connect here: a balancer reads megabytes ahead of its client, so that weir would not notice.
    pub(crate) direct: SocketAddr,
    pub(crate) tally: Arc<Tally>,
}

/// How a connection ended.
enum End {
    /// The client went.
    Left,
    /// It was sent away, or cut.
    Ended,
}

impl Listener {
    pub(crate) async fn listen(self) {
        let mut rng = fastrand::Rng::new();
        let mut position = String::new();
        // Nobody's clients come all at once.
        sleep(Duration::from_millis(rng.u64(..2000))).await;
        loop {
            let pause = if self.habit == Habit::Polls {
                self.poll(&mut position).await
            } else {
                self.stream(&mut position, &mut rng).await
            };
            sleep(pause).await;
        }
    }

    fn request(&self) -> Request {
        let (name, client) = (session(self.number % SESSIONS), Client::new(self.balancer));
        let request = match self.habit {
            Habit::Stays | Habit::Restless(_) => client.events(&name),
            Habit::StaysForAll => client.get("/v1/events").query("session", name).query("session", BUSY),
            Habit::Naps(_) => Client::new(self.direct).events(BUSY).receive_buffer(4096),
            Habit::Polls => client.events(&name).query("wait", "20"),
            Habit::Follows => {
                client.get(&stream(self.number % STREAMS)).query("live", "sse").query("offset", "now")
            }
        };
        request.deadline(SILENCE)
    }

    /// One connection to its end, and how long to stay away after it.
    async fn stream(&self, position: &mut String, rng: &mut fastrand::Rng) -> Duration {
        let mut request = self.request();
        if !position.is_empty() {
            request = request.header("last-event-id", position.as_str());
        }
        let opened =
            if self.habit == Habit::Follows { request.follow().await } else { request.subscribe().await };
        let Ok(mut stream) = opened else { return RETRY };
        let here = Connected::to(&self.tally);
        let end = self.read(&mut stream, position, rng).await;
        drop(here);
        match end {
            End::Left => Duration::from_secs(rng.u64(1..6)),
            End::Ended => {
                count(&self.tally.reconnects);
                stream.retry().map_or(RETRY, Duration::from_millis)
            }
        }
    }

    async fn read(&self, stream: &mut SseStream, position: &mut String, rng: &mut fastrand::Rng) -> End {
        let mut pause = self.habit.patience(rng);
        loop {
            let next = stream.next().await;
            stream.last_event_id().clone_into(position);
            match next {
                Ok(Next::Item(Item::Event(event))) if event.event == "weir.gap" => count(&self.tally.gaps),
                Ok(Next::Item(Item::Event(event))) if event.event.starts_with("weir.") => {}
                Ok(Next::Item(Item::Event(_))) => count(&self.tally.received),
                Ok(Next::Item(Item::Comment(_) | Item::Retry(_))) => {}
                Ok(Next::Item(Item::Silent { .. } | Item::Violation(_))) => count(&self.tally.unclean),
                Ok(Next::End(_)) | Err(_) => return End::Ended,
            }
            if Instant::now() < pause {
                continue;
            }
            match self.habit {
                Habit::Restless(_) => return End::Left,
                Habit::Naps(seconds) => sleep(Duration::from_secs(seconds.into())).await,
                Habit::Stays | Habit::StaysForAll | Habit::Polls | Habit::Follows => {}
            }
            pause = self.habit.patience(rng);
        }
    }

    /// One long-poll.
    async fn poll(&self, position: &mut String) -> Duration {
        let mut request = self.request();
        if !position.is_empty() {
            request = request.query("lastEventId", position.as_str());
        }
        let here = Connected::to(&self.tally);
        let answer = request.send().await;
        drop(here);
        let Some(body) = answer.ok().filter(|answer| answer.status() == 200).and_then(|it| it.json().ok())
        else {
            return RETRY;
        };
        body["lastEventId"].as_str().unwrap_or_default().clone_into(position);
        if !body["gap"].is_null() {
            count(&self.tally.gaps);
        }
        body["events"].as_array().into_iter().flatten().for_each(|_| count(&self.tally.received));
        Duration::ZERO
    }
}

impl Habit {
    /// Until when it just reads.
    fn patience(self, rng: &mut fastrand::Rng) -> Instant {
        let seconds = match self {
            Self::Restless(mean) => rng.u32(mean / 2..mean * 2),
            Self::Naps(_) => rng.u32(60..90),
            Self::Stays | Self::StaysForAll | Self::Polls | Self::Follows => 3600,
        };
        Instant::now() + Duration::from_secs(seconds.into())
    }
}
