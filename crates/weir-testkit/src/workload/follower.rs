//! One logical client that comes back wherever it can, and writes down all that it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use weir_core::EventId;

use super::{Ledger, session_name};
use crate::body::End;
use crate::checker::record::{fact, poll_facts};
use crate::checker::{ClientLog, Connection, Ended, Fact, Keeping, Resume, Seen, Session};
use crate::client::{Client, Request};
use crate::stream::{Next, SseStream};

/// How long a client of a stream bears silence. Heartbeats must come more often.
const SILENCE: Duration = Duration::from_secs(10);

/// The pause before a client comes back.
const PAUSE: Duration = Duration::from_millis(100);

/// Numbers from here on are instances behind a proxy.
pub const PROXIED: u16 = 10;

/// Where instances are at the moment, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Vec<(u16, SocketAddr)>>>);

/// What a client does.
#[derive(Clone, Debug)]
pub struct Follower {
    /// For the report.
    pub name: String,
    /// What it asks for.
    pub sessions: Vec<Session>,
    /// By which means.
    pub how: How,
    /// How it reads.
    pub habit: Habit,
    /// The seed of what it chooses.
    pub seed: u64,
}

/// By which means a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A stream, with this policy.
    Stream(&'static str),
    /// A stream that gets at most one event per key in so many ms.
    Conflated(u32),
    /// Long-polls of so many seconds.
    Polls(u32),
}

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// As fast as it can.
    Eager,
    /// It takes so long for each event, with a small receive buffer.
    Slow(Duration),
    /// It stops reading for so long, now and then.
    Naps(Duration),
    /// It leaves and comes back, on average after so many events.
    Restless(u32),
    /// It leaves now and then, and comes back after so long.
    Away(Duration),
}

/// Running clients.
#[derive(Debug)]
pub struct Followers {
    ledger: Arc<Ledger>,
    places: Places,
    stop: watch::Sender<bool>,
    tasks: JoinSet<ClientLog>,
}

impl Places {
    /// An instance is here from now on.
    pub fn set(&self, instance: u16, addr: SocketAddr) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|(other, _)| *other != instance);
        places.push((instance, addr));
        places.sort_unstable();
    }

    /// One of them.
    ///
    /// # Panics
    /// Where there is none.
    pub fn choose(&self, rng: &mut fastrand::Rng) -> (u16, SocketAddr) {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *rng.choice(&*places).expect("there are instances")
    }
}

impl Followers {
    /// None yet.
    pub fn new(ledger: &Arc<Ledger>, places: &Places) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            places: places.clone(),
            stop: watch::Sender::new(false),
            tasks: JoinSet::new(),
        }
    }

    /// Starts one.
    pub fn start(&mut self, follower: Follower) {
        let run = Run {
            rng: fastrand::Rng::with_seed(follower.seed),
            log: ClientLog {
                name: format!("{} ({:?}, {:?})", follower.name, follower.how, follower.habit),
                keeping: follower.how.keeping(),
                connections: Vec::new(),
                retired: None,
            },
            sessions: follower.sessions.clone().into(),
            follower,
            ledger: Arc::clone(&self.ledger),
            places: self.places.clone(),
            told: None,
        };
        self.tasks.spawn(run.run(self.stop.subscribe()));
    }

    /// Ends all of them and takes what they wrote down.
    pub async fn finish(mut self) -> Vec<ClientLog> {
        self.stop.send_replace(true);
        let mut logs = Vec::new();
        while let Some(log) = self.tasks.join_next().await {
            logs.push(log.expect("a client does not panic"));
        }
        logs.sort_by(|one, two| one.name.cmp(&two.name));
        logs
    }
}

impl How {
    fn keeping(self) -> Keeping {
        match self {
            Self::Stream("latest") | Self::Conflated(_) => Keeping::Newest,
            Self::Stream(_) | Self::Polls(_) => Keeping::All,
        }
    }
}

struct Run {
    follower: Follower,
    sessions: Arc<[Session]>,
    ledger: Arc<Ledger>,
    places: Places,
    rng: fastrand::Rng,
    /// The position it comes back with.
    told: Option<EventId>,
    log: ClientLog,
}

impl Run {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> ClientLog {
        loop {
            let ended = tokio::select! {
                ended = self.connect() => ended,
                _ = stop.wait_for(|stop| *stop) => return self.log,
            };
            if let Some(connection) = self.log.connections.last_mut() {
                connection.ended = ended;
                // Most of what is refused is of no interest to anybody.
                if ended == Ended::Refused && connection.seen.is_empty() {
                    self.log.connections.pop();
                }
            }
            let pause = match (ended, self.follower.habit) {
                (Ended::Left, Habit::Away(long)) => long,
                _ => PAUSE,
            };
            tokio::select! {
                () = sleep(pause.mul_f64(0.5 + self.rng.f64())) => {}
                _ = stop.wait_for(|stop| *stop) => return self.log,
            }
        }
    }

    /// One connection, to its end.
    async fn connect(&mut self) -> Ended {
        let (instance, addr) = self.places.choose(&mut self.rng);
        self.log.connections.push(Connection {
            instance,
            sessions: Arc::clone(&self.sessions),
            resume: self.told.map_or(Resume::Live, Resume::After),
            opened: self.ledger.now(),
            seen: Vec::new(),
            ended: Ended::Open,
        });
        let request = self.request(addr);
        match self.follower.how {
            How::Polls(_) => self.poll(request).await,
            How::Stream(_) | How::Conflated(_) => self.stream(request).await,
        }
    }

    fn request(&self, addr: SocketAddr) -> Request {
        let client = Client::new(addr);
        let mut request = match &*self.sessions {
            [one] => client.events(&session_name(*one)),
            several => several.iter().fold(client.get("/v1/events"), |request, session| {
                request.query("session", session_name(*session))
            }),
        };
        request = match self.follower.how {
            How::Stream(policy) => request.query("overflow", policy),
            How::Conflated(ms) => request.query("conflate", ms.to_string()),
            How::Polls(secs) => request.query("wait", secs.to_string()),
        };
        if let Some(told) = self.told {
            request = request.header("last-event-id", told.to_string());
        }
        if matches!(self.follower.habit, Habit::Slow(_) | Habit::Naps(_)) {
            request = request.receive_buffer(4096);
        }
        request.deadline(SILENCE)
    }

    async fn stream(&mut self, request: Request) -> Ended {
        let Ok(mut stream) = request.subscribe().await else { return Ended::Refused };
        loop {
            let comments = stream.comments();
            match stream.next().await {
                Ok(Next::Item(item)) => {
                    if let Some(fact) = fact(&item) {
                        self.take_from(&stream, fact);
                        if self.dawdle().await {
                            return Ended::Left;
                        }
                    }
                }
                Ok(Next::End(End::Clean)) => return Ended::Clean,
                Ok(Next::End(End::Cut)) => return Ended::Cut,
                Err(error) => {
                    // An end that is no end of HTTP, or silence. Anything else the server should not have said.
                    let text = format!("{error:#}");
                    // Nobody stands between this client and its instance: a stream without a sign of life is deaf.
                    let direct = self.log.connections.last().is_some_and(|last| last.instance < PROXIED);
                    if direct && text.contains("nothing within") && stream.comments() == comments {
                        self.take(Fact::Dirty("not even a heartbeat".into()));
                    }
                    if error.downcast_ref::<std::io::Error>().is_none() && !text.contains("nothing within") {
                        self.take(Fact::Dirty(text.into()));
                    }
                    return Ended::Cut;
                }
            }
        }
    }

    fn take_from(&mut self, stream: &SseStream, fact: Fact) {
        self.take(fact);
        // As a browser does: the last id of the stream, where it had one.
        self.told = stream.last_event_id().parse().ok().or(self.told);
    }

    async fn poll(&mut self, request: Request) -> Ended {
        let Ok(answer) = request.send().await else { return Ended::Refused };
        if answer.status() != 200 || answer.end == End::Cut {
            return Ended::Refused;
        }
        match answer.json().and_then(|answer| poll_facts(&answer)) {
            Ok(facts) => {
                if let Some(Fact::Position(id)) = facts.last() {
                    self.told = Some(*id);
                }
                facts.into_iter().for_each(|fact| self.take(fact));
                Ended::Clean
            }
            Err(error) => {
                self.take(Fact::Dirty(format!("{error:#}").into()));
                Ended::Clean
            }
        }
    }

    fn take(&mut self, fact: Fact) {
        if let Fact::Event { value, .. } = fact {
            self.ledger.arrived(value);
        }
        let seen = Seen { at: self.ledger.now(), fact };
        if let Some(connection) = self.log.connections.last_mut() {
            connection.seen.push(seen);
        }
    }

    /// Does what it is used to between two events; whether it leaves.
    async fn dawdle(&mut self) -> bool {
        match self.follower.habit {
            Habit::Eager => false,
            Habit::Slow(pause) => {
                sleep(pause).await;
                false
            }
            Habit::Naps(nap) => {
                if self.rng.u32(0..500) == 0 {
                    sleep(nap).await;
                }
                false
            }
            Habit::Restless(events) => self.rng.u32(0..events.max(1)) == 0,
            Habit::Away(_) => self.rng.u32(0..300) == 0,
        }
    }
}
