//! Asking Sentinels for the master.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fred::types::Value;
use fred::types::config::{Config, Server};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::fault::Fault;
use super::super::frame;
use super::super::link::{Dialer, Link, Terms, text};

/// How long one Sentinel may take. It bounds what one that stands still costs where it is needed for a majority.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(1);

/// The Sentinels of the URL.
pub(in super::super) struct Sentinels {
    /// How they are reached; their users are not those of Redis.
    config: Config,
    service: String,
    all: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    server: Server,
    /// Kept, because they are asked again and again.
    link: Mutex<Option<Arc<Link>>>,
}

/// What one of them says.
#[derive(Clone, Debug)]
pub(in super::super) struct Word {
    pub(in super::super) master: Server,
    /// Grows with every failover. One that was cut off still tells of an older one.
    pub(in super::super) epoch: i64,
}

impl fmt::Debug for Sentinels {
    /// Without the configuration, because it holds passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinels").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Sentinels {
    pub(super) fn new(config: Config, service: &str, hosts: &[Server]) -> Self {
        let sentinel = |server: &Server| Sentinel { server: server.clone(), link: Mutex::new(None) };
        Self { config, service: service.to_owned(), all: hosts.iter().map(sentinel).collect() }
    }

    /// The master as the newest word has it.
    pub(in super::super) async fn master(&self, dialer: &Dialer) -> Result<Word, Fault> {
        let (words, fault) = self.words(dialer).await;
        newest(words).ok_or_else(|| fault.unwrap_or_else(|| Fault::Away("no Sentinel is given".to_owned())))
    }

    /// The master, where most of them answer.
    pub(in super::super) async fn agreed_master(&self, dialer: &Dialer) -> Option<Word> {
        let (words, _) = self.words(dialer).await;
        if words.len() >= self.majority() { newest(words) } else { None }
    }

    fn majority(&self) -> usize {
        self.all.len() / 2 + 1
    }

    /// Asks all of them at once until most have answered, so that one that stands still is not waited for.
    async fn words(&self, dialer: &Dialer) -> (Vec<Word>, Option<Fault>) {
        let mut asked: FuturesUnordered<_> =
            self.all.iter().map(|sentinel| self.ask(dialer, sentinel)).collect();
        let (mut words, mut fault) = (Vec::new(), None);
        while words.len() < self.majority() {
            match asked.next().await {
                Some(Ok(word)) => words.push(word),
                Some(Err(why)) => fault = Some(why),
                None => break,
            }
        }
        (words, fault)
    }

    async fn ask(&self, dialer: &Dialer, sentinel: &Sentinel) -> Result<Word, Fault> {
        let asked = timeout(PATIENCE, self.word(dialer, sentinel)).await;
        let word = asked.unwrap_or_else(|_| Err(Fault::Late));
        word.map_err(|fault| {
            *sentinel.link.lock() = None;
            fault.away(format_args!("the Sentinel {}", sentinel.server))
        })
    }

    async fn word(&self, dialer: &Dialer, sentinel: &Sentinel) -> Result<Word, Fault> {
        let kept = sentinel.link.lock().clone();
        let link = match kept {
            Some(link) => link,
            None => {
                let made =
                    dialer.dial_as(&self.config, &sentinel.server, Terms::Fixed, CancellationToken::new());
                let link = made.await?;
                *sentinel.link.lock() = Some(Arc::clone(&link));
                link
            }
        };
        let about = |what: &'static str| vec![Value::from_static_str(what), text(&self.service)];
        let answer = link.ask("SENTINEL", about("GET-MASTER-ADDR-BY-NAME"), PATIENCE).await?;
        let master = match frame::items(&answer) {
            Some([host, port]) => server(frame::text(host), frame::number(port)),
            _ => None,
        };
        let unknown = || Fault::Away(format!("knows no service named {}", self.service));
        let master = master.ok_or_else(unknown)?;
        let facts = link.ask("SENTINEL", about("MASTER"), PATIENCE).await?;
        let epoch = frame::field(&facts, "config-epoch").and_then(frame::number);
        Ok(Word { master, epoch: epoch.unwrap_or_default() })
    }
}

fn newest(words: Vec<Word>) -> Option<Word> {
    words.into_iter().max_by_key(|word| word.epoch)
}

/// A server from a reply.
pub(super) fn server(host: Option<&str>, port: Option<i64>) -> Option<Server> {
    let port = u16::try_from(port?).ok().filter(|port| *port > 0)?;
    host.filter(|host| !host.is_empty()).map(|host| Server::new(host, port))
}
