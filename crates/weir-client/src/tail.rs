//! Follow sessions; reconnects and resumes by itself.
//!
//! - `item`: what a tail hands over
//! - `connection`: one connection, from the request to its end

mod connection;
mod item;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::problem::Problem;
use crate::sse::Said;
use connection::{Chunk, Connection, Unopened};
pub use item::{Gap, Item, Notice, TailEvent};

/// First pause before a reconnection where the server asks for none.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause of our own choice, which bounds how long a stream stays away after its server came back.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TailRequest {
    /// The sessions, at least one.
    pub sessions: Vec<String>,
    /// Begin after this position: an event id, a time in ms, or `earliest`. None begins with what comes next.
    pub from: Option<String>,
    /// Only events of these types; all where empty.
    pub types: Vec<String>,
    /// Only events about these keys; all where empty.
    pub keys: Vec<String>,
}

/// Why a tail ends for good. Everything else it mends itself.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The position cannot be sent.
    #[error("a position is an event id such as 1795242612345-0, a time in ms, or earliest")]
    BadPosition,
    /// The server said no, and would say so again.
    #[error("{0}")]
    Refused(Problem),
}

/// Sessions that are being followed.
pub struct Tail {
    client: Client,
    request: TailRequest,
    position: Option<String>,
    retry: Option<Duration>,
    backoff: Backoff,
    state: State,
    ready: VecDeque<Item>,
}

enum State {
    Waiting(Instant),
    Connecting(Connecting),
    Open(Box<Connection>),
}

/// The connection under way lives here and not in the caller's future, so that a caller who stops waiting does not
/// start it anew.
type Connecting = Pin<Box<dyn Future<Output = Result<Connection, Unopened>> + Send>>;

impl Client {
    /// Follows sessions. Nothing happens before [`Tail::next`] is called.
    ///
    /// # Errors
    /// [`TailError::BadPosition`].
    pub fn tail(&self, request: TailRequest) -> Result<Tail, TailError> {
        if request.from.as_deref().is_some_and(|from| HeaderValue::from_str(from).is_err() || from.is_empty())
        {
            return Err(TailError::BadPosition);
        }
        Ok(Tail {
            client: self.clone(),
            position: request.from.clone(),
            request,
            retry: None,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            state: State::Waiting(Instant::now()),
            ready: VecDeque::new(),
        })
    }
}

impl Tail {
    /// The next event or notice, however many reconnections it takes.
    ///
    /// Cancel safe: a call that is dropped before it returns loses nothing.
    ///
    /// # Errors
    /// [`TailError`]; calling again begins anew.
    pub async fn next(&mut self) -> Result<Item, TailError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            self.step().await?;
        }
    }

    async fn step(&mut self) -> Result<(), TailError> {
        match &mut self.state {
            State::Waiting(until) => {
                sleep_until(*until).await;
                let open = connection::open(&self.client, &self.request, self.position.as_deref());
                self.state = State::Connecting(Box::pin(open));
            }
            State::Connecting(open) => match open.await {
                Ok(connection) => self.state = State::Open(Box::new(connection)),
                Err(unopened) => self.unopened(unopened)?,
            },
            State::Open(connection) => match connection.read().await {
                Chunk::Said(said) => said.into_iter().for_each(|said| self.take(said)),
                Chunk::End(why) => self.reconnect(why, None),
            },
        }
        Ok(())
    }

    fn unopened(&mut self, unopened: Unopened) -> Result<(), TailError> {
        match unopened {
            Unopened::Refused(problem) if !problem.is_temporary() => {
                self.state = State::Waiting(Instant::now());
                Err(TailError::Refused(problem))
            }
            Unopened::Refused(problem) => {
                let asked = problem.retry_after;
                self.reconnect(problem.to_string(), asked);
                Ok(())
            }
            Unopened::Failed(why) => {
                self.reconnect(why, None);
                Ok(())
            }
        }
    }

    fn reconnect(&mut self, why: String, asked: Option<Duration>) {
        let pause = self.backoff.after_failure(asked.or(self.retry));
        self.state = State::Waiting(Instant::now() + pause);
        self.ready.push_back(Item::Notice(Notice::Disconnected { why, pause }));
    }

    fn take(&mut self, said: Said) {
        match said {
            Said::Retry(pause) => self.retry = Some(pause),
            Said::Oversize { last_id } => {
                self.ready.push_back(Item::Notice(Notice::Skipped {
                    id: last_id.clone(),
                    why: "it is larger than this client takes".to_owned(),
                }));
                self.go_to(last_id);
            }
            Said::Event { name, data, last_id } => {
                let item = item::decode(&name, &data, last_id.as_deref());
                self.go_to(last_id);
                self.heed(item.as_ref());
                self.ready.extend(item);
            }
        }
    }

    /// To come back with the `0-0` of an empty log would ask for whatever is held then, without a word of what is not.
    fn go_to(&mut self, position: Option<String>) {
        if let Some(position) = position {
            self.position = Some(if position == "0-0" { "0-1".to_owned() } else { position });
        }
    }

    /// What a notice means for the connection itself.
    fn heed(&mut self, item: Option<&Item>) {
        match item {
            Some(Item::Notice(Notice::Connected { heartbeat })) => {
                self.backoff.reset();
                if let (State::Open(connection), Some(heartbeat)) = (&mut self.state, heartbeat) {
                    connection.expect_heartbeat(*heartbeat);
                }
            }
            Some(Item::Notice(Notice::Shutdown { reconnect } | Notice::Refused { reconnect, .. })) => {
                self.retry = reconnect.or(self.retry);
            }
            Some(Item::Notice(
                Notice::Gap(_)
                | Notice::Degraded { .. }
                | Notice::Restored
                | Notice::Expiring { .. }
                | Notice::Expired
                | Notice::Disconnected { .. }
                | Notice::Skipped { .. },
            ))
            | Some(Item::Event(_))
            | None => {}
        }
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, request, position, .. } = self;
        f.debug_struct("Tail")
            .field("client", client)
            .field("request", request)
            .field("position", position)
            .finish_non_exhaustive()
    }
}
